// The first screen: one field and one button for a newcomer, and a way to sign in.
import { hasPasskeys, type Invitation, type NodeInfo, type Provider, type World } from "../api/node";
import { enterAsGuest, register, type Session, signIn, signInByToken } from "../api/session";
import { count, t } from "../i18n";
import { busy, field, h, say } from "./dom";
import { words } from "./errors";
import { brand, scenery, screen } from "./shell";
import { userField } from "./user";

/** What is known of who comes and where to. */
export interface Arrival {
  node: NodeInfo;
  session: Session | null;
  invitation: { code: string; info: Invitation } | null;
  invitationOver: boolean;
  world: World | null;
  /** Where somebody comes in who names no world. */
  first: World | null;
  /** Whether they come to look after their account. */
  toAccount: boolean;
}

export interface WelcomeDoors {
  entered(session: Session): void;
  /** The remembered person does not want to be that person here. */
  forgotten(): void;
}

export function welcome(arrival: Arrival, doors: WelcomeDoors): void {
  const card = h("main", { class: "card welcome-card" });
  screen("welcome", scenery(), h("div", { class: "welcome" }, brand(arrival.node.name), card));
  const { session } = arrival;
  if (session) comeBack(card, arrival, session, doors);
  else if (arrival.toAccount) account(card, arrival, doors);
  else if (arrival.invitation && arrival.invitation.info.role !== "guest") newMember(card, arrival, doors);
  else if (arrival.invitation || arrival.node.registration === "open") guest(card, arrival, doors);
  else account(card, arrival, doors);
}

function title(arrival: Arrival): string {
  const world = arrival.world?.name;
  if (arrival.invitation) return world ? t("welcome.invited_to", { world }) : t("welcome.invited");
  return world ? t("welcome.to", { world }) : t("welcome.title");
}

/** Where the door leads, where the title does not say it. */
function whereTo(arrival: Arrival): HTMLElement | null {
  const { world, first } = arrival;
  if (world || !first) return null;
  return h("p", { class: "lead", text: t("welcome.arrive_in", { world: first.name }) });
}

function whoIsThere(arrival: Arrival): HTMLElement | null {
  const world = arrival.world ?? arrival.first;
  if (!world || world.people === 0) return null;
  return h("p", { class: "presence", text: count("people", world.people) });
}

function fill(card: HTMLElement, ...children: (Node | string | null)[]): void {
  card.replaceChildren(...children.filter((child) => child !== null));
}

/** A form that says beside its button what went wrong. */
function form(button: string, deed: () => Promise<Session>, doors: WelcomeDoors, ...rows: Node[]): HTMLFormElement {
  const wrong = h("p", { class: "wrong", attrs: { role: "alert", hidden: true } });
  const go = h("button", { class: "primary", text: button, attrs: { type: "submit" } });
  const element = h("form", { class: "form" }, ...rows, wrong, go);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    performance.mark("wayside:click");
    say(wrong, null);
    void busy(go, async () => {
      try {
        doors.entered(await deed());
      } catch (error) {
        say(wrong, words(error));
      }
    });
  });
  return element;
}

function textButton(text: string, deed: () => void): HTMLElement {
  const button = h("button", { class: "quiet", text, attrs: { type: "button" } });
  button.addEventListener("click", deed);
  return button;
}

function comeBack(card: HTMLElement, arrival: Arrival, session: Session, doors: WelcomeDoors): void {
  const go = h("button", { class: "primary", text: t("welcome.enter"), attrs: { type: "button" } });
  go.addEventListener("click", () => {
    performance.mark("wayside:click");
    doors.entered(session);
  });
  const world = arrival.world?.name;
  const other = textButton(t("welcome.other"), () => {
    if (!session.guest || confirm(t("welcome.other_guest"))) doors.forgotten();
  });
  const heading = t("welcome.back", { name: session.name });
  const lead = world ? h("p", { class: "lead", text: t("welcome.to", { world }) }) : whereTo(arrival);
  fill(card, h("h1", { text: heading }), lead, whoIsThere(arrival), go, other);
  go.focus();
}

function guest(card: HTMLElement, arrival: Arrival, doors: WelcomeDoors): void {
  const name = field(
    t("welcome.name"),
    { name: "name", autocomplete: "nickname", maxlength: 64, required: true, enterkeyhint: "go" },
    t("welcome.name_hint"),
  );
  const deed = (): Promise<Session> =>
    enterAsGuest(name.input.value.trim(), arrival.invitation?.code ?? null);
  fill(
    card,
    h("h1", { text: title(arrival) }),
    arrival.invitationOver ? h("p", { class: "lead", text: t("welcome.invitation_over_open") }) : whereTo(arrival),
    whoIsThere(arrival),
    form(t("welcome.enter"), deed, doors, name.row),
    textButton(t("welcome.have_account"), () => account(card, arrival, doors)),
  );
  name.input.focus();
}

function newMember(card: HTMLElement, arrival: Arrival, doors: WelcomeDoors): void {
  const name = field(t("welcome.name"), {
    name: "name",
    autocomplete: "username",
    maxlength: 64,
    required: true,
  });
  const password = passwordField(t("welcome.password_new"), "new-password", t("welcome.password_hint"));
  const deed = (): Promise<Session> =>
    register(name.input.value.trim(), password.input.value, arrival.invitation?.code ?? null);
  const lead = t("welcome.member_invited", { node: arrival.node.name || arrival.node.server_name });
  fill(
    card,
    h("h1", { text: title(arrival) }),
    h("p", { class: "lead", text: lead }),
    form(t("welcome.create"), deed, doors, name.row, password.row),
    textButton(t("welcome.have_account"), () => account(card, arrival, doors)),
  );
  name.input.focus();
}

function account(card: HTMLElement, arrival: Arrival, doors: WelcomeDoors): void {
  const user = userField(arrival.node, { autocomplete: "username webauthn" });
  const password = passwordField(t("welcome.password"), "current-password", null);
  const deed = (): Promise<Session> => signIn(user.input.value, password.input.value);
  const open = arrival.invitation !== null || arrival.node.registration === "open";
  const lead = arrival.toAccount
    ? t("welcome.to_account")
    : arrival.invitationOver
      ? t("welcome.invitation_over")
      : open
        ? null
        : t("welcome.by_invitation");
  const passkey = h("div", { class: "by-passkey" });
  fill(
    card,
    h("h1", { text: open || arrival.toAccount ? t("welcome.sign_in") : title(arrival) }),
    lead === null ? null : h("p", { class: "lead", text: lead }),
    form(t("welcome.sign_in"), deed, doors, user.row, password.row),
    passkey,
    ...arrival.node.providers.map(otherDoor),
    open && !arrival.toAccount ? textButton(t("welcome.as_guest"), () => welcome(arrival, doors)) : null,
  );
  user.input.focus();
  if (!hasPasskeys(arrival.node)) return;
  // What everybody loads first is kept small: few have a passkey.
  const parts = Promise.all([import("./passkey"), import("../api/passkeys")]);
  void parts.then(([{ newPassword, passkeyDoor }, { loginToken }]) => {
    const enter = async (session: Promise<Session>): Promise<void> => doors.entered(await session);
    return passkeyDoor(passkey, arrival.node, {
      enter: (shown) => enter(loginToken(shown).then(signInByToken)),
      forgotten: () =>
        newPassword((...children) => fill(card, ...children), (name, chosen) => enter(signIn(name, chosen)), () => account(card, arrival, doors)),
    });
  });
}

/** The way in by an account elsewhere. */
function otherDoor({ id, name }: Provider): HTMLElement {
  const href = `/sign-in?${new URLSearchParams({ home: location.pathname + location.search, provider: id })}`;
  return h("a", { class: "secondary", text: t("welcome.with", { name }), attrs: { href } });
}

function passwordField(
  label: string,
  autocomplete: string,
  hint: string | null,
): { row: HTMLElement; input: HTMLInputElement } {
  const least = autocomplete === "new-password" ? 8 : null;
  const attrs = { type: "password", name: "password", autocomplete, minlength: least };
  return field(label, { ...attrs, maxlength: 512, required: true }, hint);
}
