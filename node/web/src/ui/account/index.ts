// The page on which people look after their account: all of it, or the part that a program sends them to.
import "./account.css";
import { type Device, devices } from "../../api/account";
import { hasPasskeys, type NodeInfo, takesLinks } from "../../api/node";
import type { Session } from "../../api/session";
import { loadMore, t } from "../../i18n";
import { h } from "../dom";
import { words } from "../errors";
import { icon, type Icon } from "../icons";
import { brand, notice, scenery, screen } from "../shell";
import { addressOf, asked, type View } from "./asked";
import { calledAs, devicePart, devicesPart, signOutPart } from "./devices";
import { endPart, keysPart, passwordPart, profilePart } from "./parts";
import { button } from "./part";

export interface AccountDoors {
  /** Goes to the list of worlds. */
  worlds(): void;
  look(): void;
  /** Others call them by this name from now on. */
  named(name: string): void;
  signOut(): void;
  /** The account is no more. */
  ended(): void;
  /** Makes a guest a member. */
  keep(): void;
  /** A guest has an account, and signs in to it. */
  signIn(): void;
}

/** Shows what the address asks for. */
export async function accountScreen(node: NodeInfo, session: Session, doors: AccountDoors): Promise<void> {
  await Promise.all([loadMore("account"), loadMore("passkeys")]);
  if (session.guest) {
    guestPage(node, session, doors);
    return;
  }
  const { view, understood } = asked(new URL(location.href));
  await show(node, session, doors, view, understood ? "" : t("account.unknown_action"));
}

async function show(node: NodeInfo, session: Session, doors: AccountDoors, view: View, said: string): Promise<void> {
  let device: Device | null = null;
  if ("deviceId" in view) {
    try {
      device = (await devices(session)).find((one) => one.device_id === view.deviceId) ?? null;
    } catch (error) {
      notice(words(error), "bad");
    }
    if (!device) {
      const unknown = t("account.unknown_device", { device: view.deviceId.slice(0, 64), user: session.userId });
      return show(node, session, doors, { part: "all" }, unknown);
    }
  }
  const go = (next: View, told = ""): void => {
    history.pushState(null, "", addressOf(next));
    void show(node, session, doors, next, told);
  };
  const nav = h(
    "nav",
    { class: "bar-buttons", attrs: { "aria-label": t("worlds.account") } },
    barButton("people", t("account.worlds"), doors.worlds),
    barButton("leave", t("worlds.sign_out"), doors.signOut),
  );
  const title = device && "deviceId" in view ? calledAs(device) : t("account.title");
  const heading = h(
    "div",
    { class: "account-head" },
    h("h1", { text: title }),
    h("p", { class: "lead", text: t("account.as", { user: session.userId }) }),
    said !== "" && h("p", { class: "account-said", text: said, attrs: { role: "status" } }),
  );
  const all = view.part === "all" ? null : button("secondary account-all", t("account.all"), () => go({ part: "all" }));
  const parts = partsOf(node, session, doors, view, device, go);
  screen("account", scenery(), h("main", { class: "account" }, h("header", { class: "bar" }, brand(node.name), nav), heading, ...parts, all));
  document.title = `${title} · ${t("app.name")}`;
}

function partsOf(
  node: NodeInfo,
  session: Session,
  doors: AccountDoors,
  view: View,
  device: Device | null,
  go: (view: View, said?: string) => void,
): HTMLElement[] {
  const deviceDoors = { go, signOut: doors.signOut };
  const profile = (): HTMLElement => profilePart(session, doors.look, doors.named).element;
  const list = (): HTMLElement => devicesPart(session, deviceDoors).element;
  const password = (): HTMLElement => passwordPart(session).element;
  const keys = (): HTMLElement => keysPart(session).element;
  const end = (): HTMLElement => endPart(session, doors.ended).element;
  switch (view.part) {
    case "all":
      return [profile(), identity(session), held(session), list(), password(), ...waysIn(node, session), keys(), running(session), end()];
    case "profile":
      return [profile()];
    case "devices":
      return [list()];
    case "password":
      return [password()];
    case "keys":
      return [keys()];
    case "end":
      return [end()];
    case "device":
      return device ? [devicePart(session, device, deviceDoors).element, signOutPart(session, device, deviceDoors).element] : [];
    case "sign-out":
      return device ? [signOutPart(session, device, deviceDoors).element, devicePart(session, device, deviceDoors).element] : [];
  }
}

/** Who somebody is, whatever node they are on. */
function identity(session: Session): HTMLElement {
  const place = h("section", { attrs: { hidden: true } });
  void import("../identity/part").then(async ({ identityPart }) => place.replaceWith((await identityPart(session)).element)).catch(console.warn);
  return place;
}

/** What somebody was given, and keeps with their home. */
function held(session: Session): HTMLElement {
  const place = h("section", { attrs: { hidden: true } });
  void import("../identity/held").then(async ({ heldPart }) => place.replaceWith((await heldPart(session)).element)).catch(console.warn);
  return place;
}

/** What only those see who run the node: until it is known that somebody does, there is nothing. */
function running(session: Session): HTMLElement {
  const place = h("section", { attrs: { hidden: true } });
  void import("./servers").then(({ serversPart }) => serversPart(place, session)).catch(console.warn);
  return place;
}

/** Passkeys and accounts elsewhere, as the settings have them. */
function waysIn(node: NodeInfo, session: Session): HTMLElement[] {
  const place = (): HTMLElement => h("section", { class: "card account-part settings-part" });
  const all: HTMLElement[] = [];
  if (hasPasskeys(node)) {
    const passkeys = place();
    all.push(passkeys);
    void import("../passkeys").then(({ passkeysPart }) => passkeysPart(passkeys, session)).catch(console.warn);
  }
  if (takesLinks(node)) {
    const links = place();
    all.push(links);
    void import("../links").then(({ linksPart }) => linksPart(links, session, node)).catch(console.warn);
  }
  return all;
}

function barButton(name: Icon, text: string, deed: () => void): HTMLElement {
  const element = h("button", { class: "ghost", attrs: { type: "button" } }, icon(name), h("span", { text }));
  element.addEventListener("click", deed);
  return element;
}

/** Guests have nothing here that they could look after from elsewhere. */
function guestPage(node: NodeInfo, session: Session, doors: AccountDoors): void {
  const keep = button("primary", t("hud.keep"), doors.keep);
  card(
    node,
    t("account.guest"),
    [t("account.as", { user: session.userId }), t("account.guest_lead")],
    keep,
    button("quiet", t("welcome.have_account"), doors.signIn),
  );
  keep.focus();
}

/** What is left to say to somebody whose account has ended. */
export function farewell(node: NodeInfo, session: Session): void {
  const front = h("a", { class: "primary", text: t("account.front"), attrs: { href: "/" } });
  card(node, t("account.ended"), [t("account.ended_lead", { user: session.userId })], front);
  front.focus();
}

function card(node: NodeInfo, title: string, leads: string[], ...below: Node[]): void {
  const element = h(
    "main",
    { class: "card welcome-card" },
    h("h1", { text: title }),
    ...leads.map((text) => h("p", { class: "lead", text })),
    ...below,
  );
  screen("account", scenery(), h("div", { class: "welcome" }, brand(node.name), element));
}
