// The page on which somebody shows another node who they are: it asks them first, and signs nothing without.
import "./present.css";
import { type NodeInfo, nodeInfo } from "../api/node";
import { confirmed, remembered, type Session } from "../api/session";
import { type Key, loadMore, loadTexts, t } from "../i18n";
import { shortDid } from "../ui/did";
import { busy, h, say } from "../ui/dom";
import { words } from "../ui/errors";
import { icon } from "../ui/icons";
import { brand, mount, scenery, screen } from "../ui/shell";
import { deliver, notShown, PostError, shown } from "./answer";
import { answeredBy } from "./dcql";
import type { Holder, Lack } from "./holder";
import { Astray, readRequest, Refused, type Request, type Way } from "./request";

/** What is asked, and where. */
interface Question {
  request: Request;
  node: NodeInfo;
}

/** So long a button is in view before it can be pressed. */
const CALM_MS = 800;
const card = h("main", { class: "card welcome-card" });
/** What the keys of a person need is fetched only when somebody is there to show who they are. */
const holders = (): Promise<typeof import("./holder")> => import("./holder");

/** Shows these on the card, and gives the focus to what leads on, which is never before what is to be read. */
function show(...children: (Node | null)[]): void {
  card.replaceChildren(...children.filter((child) => child !== null));
  card.querySelector<HTMLElement>(".primary")?.focus({ preventScroll: true });
}

const title = (text: string): HTMLElement => h("h1", { text });
const lead = (text: string): HTMLElement => h("p", { class: "lead", text });
const link = (text: string, href: string): HTMLElement => h("a", { class: "primary", text, attrs: { href } });

/** A button and the place for what went wrong with its deed. */
function does(look: string, text: string, deed: () => Promise<void>): HTMLElement[] {
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const button = h("button", { class: look, text, attrs: { type: "button" } });
  const failed = (error: unknown): void => {
    say(wrong, error instanceof Undone ? error.message : words(error));
    wrong.scrollIntoView({ block: "nearest" });
  };
  button.addEventListener("click", () => {
    say(wrong, null);
    void busy(button, () => deed().catch(failed));
  });
  return [wrong, button];
}

/**
 * Lets a button be pressed once the page was in view for a while: somebody who presses on another page finds this one
 * under their pointer, where that has brought it there.
 */
function calmly(elements: HTMLElement[]): HTMLElement[] {
  const [button] = elements.filter((one) => one instanceof HTMLButtonElement);
  if (!button) return elements;
  let seen: ReturnType<typeof setTimeout> | undefined;
  const look = (): void => {
    clearTimeout(seen);
    button.toggleAttribute("disabled", true);
    if (document.visibilityState !== "visible") return;
    seen = setTimeout(() => button.toggleAttribute("disabled", false), CALM_MS);
  };
  const over = new AbortController();
  for (const moment of ["focus", "visibilitychange"]) window.addEventListener(moment, look, { signal: over.signal });
  button.addEventListener("click", () => over.abort(), { once: true });
  look();
  return elements;
}

/** Why nothing came of it, in the words of the page. */
class Undone extends Error {}

/** Tells whoever asked, and goes on to where they say. */
async function tell(answer: URLSearchParams, way: Way): Promise<void> {
  const { host } = way.address;
  let goal: string | null;
  try {
    goal = await deliver(answer, way);
  } catch (error) {
    if (error instanceof PostError) throw new Undone(t("present.undelivered", { host }));
    throw error;
  }
  if (goal === null) {
    const word = answer.has("vp_token") ? "done" : "left";
    return show(title(t(`present.${word}`)), lead(t(`present.${word}_lead`, { host })));
  }
  show(title(t("present.going", { host })), lead(t("present.going_lead")), link(t("present.go"), goal));
  // The back button leads to who asked, and not to an answer that was given already.
  location.replace(goal);
}

/** Turns whoever asked away. */
function notNow({ way }: Request): HTMLElement[] {
  return does("quiet", t("present.not_now"), () => tell(notShown("access_denied", "the person does not want to", way), way));
}

/**
 * What breaks a rule is told to whoever asked, but only once its person has seen where they are going: a page that
 * sent everybody on by itself would lend its name to any address.
 */
function refused({ code, message, way }: Refused): void {
  const { host } = way.address;
  const text = code === "access_denied" ? t("present.nothing_like_it", { host }) : t("present.refused_lead", { host, text: message });
  show(title(t("present.refused")), lead(text), ...does("primary", t("present.back", { host }), () => tell(notShown(code, message, way), way)));
}

/** Who asks: the address counts, and what they call themselves is said as just that. */
function asker({ way, claimedName }: Request): HTMLElement {
  const { host } = way.address;
  return h(
    "div",
    { class: "asker" },
    h("span", { class: "hint", text: t("present.who") }),
    h("strong", { text: host }),
    claimedName !== null && claimedName !== host && h("span", { class: "hint", text: t("present.calls_itself", { name: claimedName }) }),
  );
}

/** Whether somebody seems to have come from another place than the one that asks; most pages do not say. */
function caution({ way }: Request): HTMLElement | null {
  const from = URL.canParse(document.referrer) ? new URL(document.referrer).host : "";
  const { host } = way.address;
  if (from === "" || from === host || from === location.host) return null;
  return h("p", { class: "caution" }, icon("caution"), h("span", { text: t("present.from_elsewhere", { from, host }) }));
}

/** Asks somebody who is signed in whether to show it. */
function consent(question: Question, session: Session, holder: Holder): void {
  const { request, node } = question;
  const { name, userId: user } = session;
  const learns = [
    t(user.startsWith(`@${name}:`) ? "present.name_plain" : "present.name", { name, user }),
    t("present.did", { did: shortDid(holder.did) }),
    t("present.home", { node: node.server_name }),
  ];
  const items = learns.map((text) => h("li", {}, icon("check"), h("span", { text })));
  const hints = [t("present.no_more"), t("present.untrusted")].map((text) => h("p", { class: "hint", text }));
  show(
    title(t("present.title")),
    asker(request),
    caution(request),
    h("div", { class: "learns" }, h("h2", { text: t("present.learns") }), h("ul", { attrs: { title: holder.did } }, ...items)),
    h("div", {}, ...hints),
    ...calmly(does("primary", t("present.show"), () => answer(question, session, holder))),
    ...notNow(request),
  );
  // Nobody shows who they are by a key that they pressed for something else.
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
}

/** Signs, and shows it to whoever asked. */
async function answer({ request, node }: Question, session: Session, holder: Holder): Promise<void> {
  const { isAbout, membership, present } = await holders();
  const { credential } = await membership(session);
  if (!isAbout(credential, holder)) throw new Undone(t("present.foreign", { node: node.server_name }));
  const { way, query, clientId: domain, nonce: challenge } = request;
  const ids = answeredBy(query, credential);
  // Only now is it known whether the word of the home says all that is asked for.
  if (!ids) return refused(new Refused("access_denied", "there is no such credential here", way));
  await tell(shown(ids, await present(holder, { domain, challenge }, [credential], Date.now()), way), way);
}

/** Why it cannot be shown from here, and what helps. */
function lacking(question: Question, lack: Lack | "guest"): void {
  const { request, node } = question;
  const values = { node: node.server_name, host: request.way.address.host };
  const account = h("a", { class: "primary", text: t("present.account"), attrs: { href: "/account", target: "_blank", rel: "noopener" } });
  const again = does("secondary", t("present.again"), () => look(question));
  const isLost = lack === "ended" || lack === "moved" || lack === "unsupported";
  show(
    title(t(`present.${lack}` satisfies Key)),
    lead(t(`present.${lack}_lead` satisfies Key, values)),
    ...(isLost ? [] : [account, ...again]),
    asker(request),
    ...notNow(request),
  );
}

/** Asks somebody to sign in who is not, and to come back. */
function signedOut({ request, node }: Question): void {
  const href = `/sign-in?${new URLSearchParams({ home: location.pathname + location.search })}`;
  const why = lead(t("present.sign_in_lead", { node: node.name || node.server_name }));
  show(title(t("present.title")), asker(request), caution(request), why, link(t("present.sign_in"), href), ...notNow(request));
}

/** Looks who is here, and whether they can show it. */
async function look(question: Question): Promise<void> {
  const before = remembered();
  const session = before && (await confirmed(before));
  if (!session) return signedOut(question);
  if (session.guest) return lacking(question, "guest");
  const holder = await (await holders()).holderOf(session);
  if (typeof holder === "string") lacking(question, holder);
  else consent(question, session, holder);
}

/** What is asked; where nothing is, or it cannot be answered, the page says so. */
function asked(): Request | null {
  if (location.search === "") {
    show(title(t("present.title")), lead(t("present.nothing")));
    return null;
  }
  try {
    return readRequest(location.search);
  } catch (error) {
    if (error instanceof Refused) refused(error);
    else if (error instanceof Astray) show(title(t("present.astray")), lead(t("present.astray_lead", { text: error.message })));
    else throw error;
    return null;
  }
}

async function begin(): Promise<void> {
  const node = await nodeInfo();
  screen("welcome", scenery(), h("div", { class: "welcome" }, brand(node.name), card));
  document.title = `${t("present.title")} · ${t("app.name")}`;
  const request = asked();
  if (request) await look({ request, node });
}

mount();
await loadTexts();
await loadMore("present");
screen("welcome", scenery(), h("div", { class: "welcome" }, brand(""), card));
try {
  await begin();
} catch (error) {
  const again = does("primary", t("error.again"), begin);
  show(title(t("present.broken")), lead(words(error)), ...again);
}
