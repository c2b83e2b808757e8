// The first screen: one field and one button for a newcomer, and a way to sign in.
import { hasPasskeys, type Invitation, type NodeInfo, type Provider, type World } from "../api/node";
import { enterAsGuest, register, type Session, signIn, signInByToken } from "../api/session";
import { count, t } from "../i18n";
import { type Address, addressOf } from "../travel/address";
import { asksOf } from "../travel/host";
import { asksLine } from "./asks";
import { busy, field, h, say } from "./dom";
import { words } from "./errors";
import { icon } from "./icons";
import { brand, scenery, screen } from "./shell";
import { userField } from "./user";

/** What is known of who comes and where to. */
export interface Arrival {
  node: NodeInfo;
  session: Session | null;
  invitation: { code: string; info: Invitation } | null;
  invitationOver: boolean;
  /** Where the address of the page leads, and what is known of that. */
  goal: Address | null;
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
  else if (arrival.toAccount || awayOf(arrival) !== null) account(card, arrival, doors);
  else if (arrival.invitation && arrival.invitation.info.role !== "guest") newMember(card, arrival, doors);
  else if (arrival.invitation || arrival.node.registration === "open") guest(card, arrival, doors);
  else account(card, arrival, doors);
}

/** The node of the world that the address names, where that is another one: guests are nobody there. */
function awayOf({ goal, node }: Arrival): string | null {
  return goal !== null && goal.serverName !== node.server_name ? goal.serverName : null;
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

/** For whom the world is, where that is not everybody. */
function whoMayCome(arrival: Arrival): HTMLElement | null {
  const line = asksLine(asksOf(arrival.world ?? arrival.first, awayOf(arrival) !== null));
  return line && h("p", { class: "for" }, icon("badge"), line);
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
  const away = awayOf(arrival);
  const other = textButton(t("welcome.other"), () => {
    if (!session.guest || confirm(t("welcome.other_guest"))) doors.forgotten();
  });
  const heading = t("welcome.back", { name: session.name });
  const lead = world ? h("p", { class: "lead", text: t("welcome.to", { world }) }) : whereTo(arrival);
  const told = away === null ? null : h("p", { class: "lead away", text: t("welcome.away", { node: away }) });
  fill(card, h("h1", { text: heading }), lead, whoIsThere(arrival), whoMayCome(arrival), told, go, other);
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
    whoMayCome(arrival),
    form(t("welcome.enter"), deed, doors, name.row),
    fromHome(arrival),
    textButton(t("welcome.have_account"), () => account(card, arrival, doors)),
  );
  name.input.focus();
}

/** The way into the world that is named, or where newcomers arrive, for those who live on another node. */
function fromHome({ node, goal, world, first }: Arrival): HTMLElement {
  const place = h("div", { class: "by-home" });
  const there = world ?? first;
  const address = goal ?? (there && addressOf(there, node.server_name));
  // What everybody loads first is kept small: few come from elsewhere.
  if (node.dids && address) void import("../sign-in/home").then(({ visitDoor }) => visitDoor(place, node, address)).catch(console.warn);
  return place;
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
    whoMayCome(arrival),
    form(t("welcome.create"), deed, doors, name.row, password.row),
    arrival.goal && fromHome(arrival),
    textButton(t("welcome.have_account"), () => account(card, arrival, doors)),
  );
  name.input.focus();
}

function account(card: HTMLElement, arrival: Arrival, doors: WelcomeDoors): void {
  const user = userField(arrival.node, { autocomplete: "username webauthn" });
  const password = passwordField(t("welcome.password"), "current-password", null);
  const deed = (): Promise<Session> => signIn(user.input.value, password.input.value);
  const away = awayOf(arrival);
  const open = away === null && (arrival.invitation !== null || arrival.node.registration === "open");
  const heading = away !== null ? t("welcome.go_away", { node: away }) : open || arrival.toAccount ? t("welcome.sign_in") : title(arrival);
  const lead = arrival.toAccount
    ? t("welcome.to_account")
    : away !== null
      ? t("welcome.to_away", { node: away })
      : arrival.invitationOver
        ? t("welcome.invitation_over")
        : open
          ? null
          : t("welcome.by_invitation");
  const passkey = h("div", { class: "by-passkey" });
  // Whoever wants into a world needs no account here for that.
  const home = arrival.goal ? fromHome(arrival) : identity(arrival);
  fill(
    card,
    h("h1", { text: heading }),
    lead === null ? null : h("p", { class: "lead", text: lead }),
    whoMayCome(arrival),
    form(t("welcome.sign_in"), deed, doors, user.row, password.row),
    passkey,
    ...arrival.node.providers.map(otherDoor),
    home,
    open && !arrival.toAccount ? textButton(t("welcome.as_guest"), () => welcome(arrival, doors)) : null,
  );
  user.input.focus();
  if (!hasPasskeys(arrival.node)) return;
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

/** The way in by an identity from elsewhere, which has an account here or gets one. */
function identity({ node }: Arrival): HTMLElement {
  const place = h("div", { class: "by-home" });
  const errand = { node, page: new URL(signInPage(), location.origin), confirm: false };
  if (node.dids) void import("../sign-in/home").then(({ homeDoor }) => homeDoor(place, errand)).catch(console.warn);
  return place;
}

/** The way in by an account elsewhere. */
function otherDoor({ id, name }: Provider): HTMLElement {
  return h("a", { class: "secondary", text: t("welcome.with", { name }), attrs: { href: signInPage({ provider: id }) } });
}

/** The page that signs people in, and brings them back to this one. */
function signInPage(more: Record<string, string> = {}): string {
  return `/sign-in?${new URLSearchParams({ home: location.pathname + location.search, ...more })}`;
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
