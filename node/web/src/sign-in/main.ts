// The page on which people let programs and devices in: the only one that ever sees their password.
import { ApiError } from "../api/http";
import { type NodeInfo, nodeInfo } from "../api/node";
import { loginToken, type Shown } from "../api/passkeys";
import { invitationOf, signIn as signInHere, signInByToken, usernameOf } from "../api/session";
import { loadMore, loadTexts, t } from "../i18n";
import { busy, field, h, say } from "../ui/dom";
import { words } from "../ui/errors";
import { newPassword, passkeyDoor } from "../ui/passkey";
import { brand, mount, scenery, screen } from "../ui/shell";
import { userField } from "../ui/user";
import { asked, choosePassword, createAccount, decide, hasOwnDoor, hostOf, look, ownerOf, type Program, type Proof, type Stranger, wantsAccount } from "./asking";
import { leave } from "./away";
import { confirmPage } from "./confirming";
import { homeDoor } from "./home";
import { providerButtons, takeIn } from "./providers";

const address = new URL(location.href);
const card = h("main", { class: "card welcome-card" });

interface Question {
  what: Stranger;
  program: Program;
  node: NodeInfo;
}

function show(...children: (Node | null | false)[]): void {
  card.replaceChildren(...children.filter((child) => child instanceof Node));
  card.querySelector<HTMLElement>("input:not([type=hidden]), button.primary")?.focus();
}

function told(title: string, lead: string): void {
  show(h("h1", { text: title }), h("p", { class: "lead", text: lead }));
}

/** The form's rows above a line for what went wrong and its button. */
function form(button: string, deed: () => Promise<void>, ...rows: Node[]): HTMLFormElement {
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const go = h("button", { class: "primary", text: button, attrs: { type: "submit" } });
  const element = h("form", { class: "form" }, ...rows, wrong, go);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    say(wrong, null);
    void busy(go, () => deed().catch((error: unknown) => say(wrong, words(error))));
  });
  return element;
}

function quiet(text: string, deed: () => void): HTMLElement {
  return h("button", { class: "quiet", text, attrs: { type: "button" }, on: { click: deed } });
}

/** Who asks, where it comes from and where it leads: people judge by these. */
function introduction({ what, program, node }: Question): (Node | null)[] {
  const name = program.name;
  const title = "device" in what ? t("link.asks", { name }) : t("sign_in.to", { name });
  const goal = "authorization" in what ? what.authorization.redirect_uri : "sso" in what ? what.sso : null;
  const lines = [
    program.uri && hostOf(program.uri) !== name ? t("sign_in.from", { host: hostOf(program.uri) }) : null,
    goal ? t("sign_in.goes_to", { host: hostOf(goal) }) : null,
    t("sign_in.untrusted"),
  ];
  const hints = lines.filter((line) => line !== null).map((text) => h("li", { text }));
  const lead = t("sign_in.lead", { node: node.name || node.server_name });
  return [h("h1", { text: title }), h("p", { class: "lead", text: lead }), h("ul", { class: "hint" }, ...hints)];
}

/** Ends on this page, or goes on to where the program waits. */
function end({ what, program }: Question, goal: string | null, allowed: boolean): void {
  if (goal === null) {
    const word = allowed ? "done" : "denied";
    told(t(`link.${word}`), t(`link.${word}_lead`));
    return;
  }
  const go = h("a", { class: "primary", text: t("sign_in.go"), attrs: { href: goal } });
  const lead = t(allowed ? "sign_in.going_lead" : "sign_in.denied_lead");
  show(h("h1", { text: t("sign_in.going", { name: program.name }) }), h("p", { class: "lead", text: lead }), go);
  // The back button leads to the program, and not to a form that was sent already.
  if ("authorization" in what || "sso" in what) location.replace(goal);
}

function answer(question: Question, proof: Proof | Shown | null): Promise<void> {
  return decide(question.what, proof).then((goal) => end(question, goal, proof !== null));
}

/** The choice to turn it away, which a client of before OAuth cannot be told. */
function deny(question: Question): HTMLElement | null {
  if ("sso" in question.what) return null;
  const button = quiet(t("sign_in.deny"), () => {
    answer(question, null).catch((error: unknown) => told(t("sign_in.broken"), words(error)));
  });
  return button;
}

const names = { name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true };

/** The page that asks this question, for those who leave it and come back. */
function pageOf({ what }: Question): URL {
  if (!("device" in what)) return address;
  const page = new URL("/link", address);
  page.searchParams.set("code", what.device);
  return page;
}

/** What opens an account of this node. */
function passwordFields(node: NodeInfo): Record<"user" | "password", ReturnType<typeof field>> {
  const value = address.searchParams.get("login_hint");
  const secret = { type: "password", name: "password", autocomplete: "current-password", maxlength: 512, required: true };
  return {
    user: userField(node, { autocomplete: "username webauthn", value }),
    password: field(t("welcome.password"), secret),
  };
}

/** The place for the way by an identity whose home is elsewhere, which fills itself. */
function byHome(node: NodeInfo, page: URL): HTMLElement {
  const place = h("div", { class: "by-home" });
  void homeDoor(place, { node, page, confirm: false });
  return place;
}

function signIn(question: Question): void {
  const { user, password } = passwordFields(question.node);
  const button = "device" in question.what ? t("link.allow") : t("sign_in.allow");
  const deed = (): Promise<void> =>
    answer(question, { user: user.input.value.trim(), password: password.input.value });
  const passkey = h("div", { class: "by-passkey" });
  show(
    ...introduction(question),
    form(button, deed, user.row, password.row),
    passkey,
    providerButtons(question.node.providers, pageOf(question)),
    byHome(question.node, pageOf(question)),
    question.node.registration !== "closed" && quiet(t("sign_in.have_none"), () => create(question)),
    deny(question),
  );
  void passkeyDoor(passkey, question.node, {
    enter: (shown) => answer(question, shown),
    forgotten: () => newPassword(show, (name, chosen) => answer(question, { user: name, password: chosen }), () => signIn(question)),
  });
}

/** Signs somebody in to this node's own client, for a page of it that waits for them. */
function signInFor(home: string, node: NodeInfo): void {
  const { user, password } = passwordFields(node);
  const go = (): void => location.replace(home);
  const passkey = h("div", { class: "by-passkey" });
  show(
    h("h1", { text: t("welcome.sign_in") }),
    h("p", { class: "lead", text: t("sign_in.home_lead", { node: node.name || node.server_name }) }),
    form(t("sign_in.allow"), () => signInHere(user.input.value, password.input.value).then(go), user.row, password.row),
    passkey,
    providerButtons(node.providers, address),
    byHome(node, address),
  );
  void passkeyDoor(passkey, node, {
    enter: (shown) => loginToken(shown).then(signInByToken).then(go),
    forgotten: () => newPassword(show, (name, chosen) => signInHere(name, chosen).then(go), () => signInFor(home, node)),
  });
}

function create(question: Question): void {
  const user = field(t("welcome.name"), { ...names, maxlength: 64 });
  const secret = { type: "password", name: "password", autocomplete: "new-password", minlength: 8, maxlength: 512 };
  const password = field(t("welcome.password_new"), { ...secret, required: true }, t("welcome.password_hint"));
  const needs = question.node.registration === "token";
  const invitation = field(t("sign_in.invitation"), { name: "invitation", required: true }, t("sign_in.invitation_hint"));
  let made: { user: string; password: string } | null = null;
  const deed = async (): Promise<void> => {
    const proof = { user: usernameOf(user.input.value), password: password.input.value };
    // An account that was made before something else failed is not made again.
    if (made?.user !== proof.user) {
      await createAccount(proof, needs ? invitationOf(invitation.input.value) : null);
      made = proof;
    }
    await answer(question, proof);
  };
  show(
    ...introduction(question),
    form(t("sign_in.create"), deed, user.row, password.row, ...(needs ? [invitation.row] : [])),
    quiet(t("sign_in.have_one"), () => signIn(question)),
  );
}

/** Asks somebody who has proven who they are whether to let it in: they may not have come for that. */
function confirm(question: Question, userId: string | null, token: string): void {
  const button = "device" in question.what ? t("sign_in.let_in") : t("sign_in.go");
  show(
    ...introduction(question),
    userId !== null && h("p", { text: t("sign_in.as", { name: userId }) }),
    form(button, () => answer(question, { login_token: token })),
    deny(question),
  );
}

/** Goes on for somebody whom a provider vouches for, with what the page was asked that they left. */
async function proven(page: URL, userId: string | null, token: string, node: NodeInfo): Promise<void> {
  const what = asked(page);
  if (!what) return told(t("sign_in.title"), t("sign_in.nothing"));
  if ("home" in what) {
    await signInByToken(token);
    location.replace(what.home);
    return;
  }
  confirm({ what, program: await look(what), node }, userId, token);
}

/** Goes to a provider at once, where a client has asked for that one or somebody has chosen it. */
async function goTo(id: string, node: NodeInfo): Promise<boolean> {
  const provider = node.providers.find((provider) => provider.id === id);
  if (provider) await leave(provider, address);
  return provider !== undefined;
}

/** Asks for the code that a device shows. */
function link(node: NodeInfo): void {
  const code = field(t("link.code"), {
    name: "code",
    autocomplete: "off",
    autocapitalize: "characters",
    spellcheck: "false",
    maxlength: 16,
    required: true,
    value: address.searchParams.get("code"),
  });
  const deed = async (): Promise<void> => {
    const what = { device: code.input.value };
    signIn({ what, program: await look(what), node });
  };
  const lead = h("p", { class: "lead", text: t("link.lead") });
  show(h("h1", { text: t("link.title") }), lead, form(t("link.next"), deed, code.row));
}

/** Lets somebody choose a new password who has a link of the node's operator. */
async function reset(code: string): Promise<void> {
  const owner = await ownerOf(code);
  const secret = { type: "password", name: "password", autocomplete: "new-password", minlength: 8, maxlength: 512 };
  const password = field(t("welcome.password_new"), { ...secret, required: true }, t("welcome.password_hint"));
  const deed = async (): Promise<void> => {
    await choosePassword(code, password.input.value);
    told(t("reset.done"), t("reset.done_lead"));
  };
  // Password managers want to know for whom it is.
  const name = h("input", { attrs: { type: "hidden", name: "username", autocomplete: "username", value: owner } });
  const lead = h("p", { class: "lead", text: t("reset.lead", { name: owner }) });
  show(h("h1", { text: t("reset.title") }), lead, form(t("reset.set"), deed, name, password.row));
}

const doors = { show, form, told };

async function begin(): Promise<void> {
  const node = await nodeInfo();
  screen("welcome", scenery(), h("div", { class: "welcome" }, brand(node.name), card));
  if (address.pathname === "/link") return link(node);
  if (address.pathname.startsWith("/reset/")) return reset(decodeURIComponent(address.pathname.slice("/reset/".length)));
  if (address.pathname === "/sign-in/return") {
    const confirming = (page: URL, word: { word: string; browser: string }): Promise<void> =>
      confirmPage(doors, node, page.searchParams.get("confirm") ?? "", page, word);
    return takeIn(address, { node, show, form, proven: (page, userId, token) => proven(page, userId, token, node), confirming });
  }
  const waiting = address.searchParams.get("confirm");
  if (waiting !== null) return confirmPage(doors, node, waiting, address);
  const what = asked(address);
  const chosen = address.searchParams.get("provider");
  if (what && chosen !== null) {
    // Whoever comes back by the back button chooses anew.
    address.searchParams.delete("provider");
    history.replaceState(null, "", address);
    if (await goTo(chosen, node)) return;
  }
  if (what && "home" in what) return hasOwnDoor(what.home) ? location.replace(what.home) : signInFor(what.home, node);
  if (!what) return told(t("sign_in.title"), t("sign_in.nothing"));
  const question = { what, program: await look(what), node };
  if (wantsAccount(address) && node.registration !== "closed") create(question);
  else signIn(question);
}

mount();
await loadTexts();
await loadMore("sign-in");
try {
  screen("welcome", scenery(), h("div", { class: "welcome" }, brand(""), card));
  await begin();
} catch (error) {
  const why = error instanceof ApiError ? error.body.error_description : null;
  told(t("sign_in.broken"), typeof why === "string" ? t("sign_in.broken_lead", { text: why }) : words(error));
}
