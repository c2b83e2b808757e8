// Leads a person from the address they came by, over name and world, into a visit.
import { ApiError } from "./api/http";
import { leave } from "./api/inviting";
import { fullAlias, invitationInfo, nodeInfo, type NodeInfo, shortAlias, type World, world, worlds } from "./api/node";
import { confirmed, forget, remembered, renamed, type Session, signOut } from "./api/session";
import { report } from "./hook";
import { t } from "./i18n";
import { endMembership, membershipOf, onMembershipEnd } from "./membership";
import { closedPage } from "./ui/closed";
import { h } from "./ui/dom";
import { words } from "./ui/errors";
import { settingsDialog, keepDialog } from "./ui/settings";
import { brand, notice, scenery, screen } from "./ui/shell";
import { type Arrival, welcome } from "./ui/welcome";
import { redrawWorlds, type WorldsDoors, worldsScreen } from "./ui/worlds";
import { isSoftware } from "./world/quality";

let node: NodeInfo | null = null;
let session: Session | null = null;
let arrival: Arrival | null = null;
/** The world that the address names, where it is not known to whoever opens it. */
let unknownPlace: string | null = null;
/** Whether the address is that of the page of accounts. */
const isAccountPage = (): boolean => /^\/account\/?$/.test(location.pathname);
/** Shows the present screen anew, as after a change of language. */
let again: () => void = () => {};

/** The parts that draw worlds are large: they are fetched while somebody types their name. */
const walking = (): Promise<typeof import("./walking")> => import("./walking");

export async function start(): Promise<void> {
  onMembershipEnd((who) => ({ gone: () => lostBy(who), signOut: leaveAccount }));
  try {
    const path = location.pathname;
    const join = /^\/join\/([^/]+)\/?$/.exec(path)?.[1] ?? null;
    const place = /^\/w\/(.+?)\/?$/.exec(path)?.[1] ?? null;
    const before = remembered();
    const [info, known] = await Promise.all([nodeInfo(), before ? confirmed(before) : null]);
    node = info;
    session = known;
    // A link into a world may bring its invitation along.
    const code = join === null ? new URLSearchParams(location.search).get("invitation") : decodeURIComponent(join);
    const [invitation, asked, first] = await Promise.all([
      code === null ? null : optional(invitationInfo(code)),
      place === null ? null : optional(world(fullAlias(decodeURIComponent(place), info.server_name), known)),
      place !== null || (known && !known.guest) ? null : defaultWorld(info),
    ]);
    arrival = {
      node: info,
      session,
      invitation: code !== null && invitation ? { code, info: invitation } : null,
      invitationOver: code !== null && !invitation,
      world: asked,
      first,
      toAccount: isAccountPage(),
    };
    unknownPlace = place !== null && !asked ? fullAlias(decodeURIComponent(place), info.server_name) : null;
    // What is not there for a stranger may be there for whoever they are.
    if (unknownPlace !== null && !known) notice(t("closed.perhaps"), "bad");
  } catch (error) {
    failure(error, () => void start());
    return;
  }
  if (session && node && unknownPlace !== null) closedDoor(node, session, unknownPlace);
  else if (session && arrival.toAccount) await account();
  else if (session && location.pathname === "/") await list();
  else arrive();
  requestIdleCallbackOrSoon(() => void makeReady());
}

/** What is not there is null; every other trouble is one. */
async function optional<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 403)) return null;
    throw error;
  }
}

function arrive(): void {
  if (!arrival) return;
  report({ phase: "welcome" });
  again = arrive;
  const current = { ...arrival, session };
  welcome(current, {
    entered: (entered) => {
      session = entered;
      void goOn(current);
    },
    forgotten: () => {
      const old = session;
      session = null;
      forget();
      if (old && !old.guest) {
        void signOut(old).catch(() => {});
        void endMembership(old).catch(console.warn);
      }
      arrive();
    },
  });
}

/** Fetches what walking needs, and where it is clear where to, that world. */
async function makeReady(): Promise<void> {
  document.documentElement.classList.toggle("lively", !isSoftware());
  if (!arrival || arrival.toAccount) return;
  const target = arrival.world ?? arrival.first;
  (await walking()).makeReady(isFrugal() ? null : target);
}

/** Somebody who pays for every byte fetches only what they asked for. */
function isFrugal(): boolean {
  return (navigator as { connection?: { saveData?: boolean } }).connection?.saveData === true;
}

/** Where a person wants to go who has just come in. */
async function goOn(from: Arrival): Promise<void> {
  if (from.toAccount) {
    await account();
    return;
  }
  if (unknownPlace !== null) {
    await enterRoom(unknownPlace);
    return;
  }
  const target = from.world ?? (session?.guest ? (from.first ?? (await defaultWorld(from.node))) : null);
  if (target) await visitWorld(target);
  else await list();
}

async function defaultWorld(info: NodeInfo): Promise<World | null> {
  if (!info.default_world) return null;
  return optional(world(info.default_world, session)).catch(() => null);
}

async function list(): Promise<void> {
  if (!node || !session) {
    arrive();
    return;
  }
  unknownPlace = null;
  if (location.pathname !== "/") history.pushState(null, "", "/");
  document.title = t("app.name");
  again = () => void list();
  try {
    const all = await worlds(session);
    report({ phase: "worlds" });
    showWorlds(node, session, all);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) lostSession();
    else failure(error, () => void list());
  }
}

function showWorlds(info: NodeInfo, who: Session, all: World[]): void {
  const keep = (): void =>
    keepDialog(info, who, (member) => {
      session = member;
      void list();
    });
  const doors: WorldsDoors = {
    enter: (target) => void visitWorld(target),
    look: () => void import("./ui/avatar").then(({ avatarDialog }) => avatarDialog(who, keep)),
    settings: () => settingsDialog({ node: info, session: who }, () => again()),
    create: () => void create(),
    keep,
    signOut: leaveAccount,
    decline: async ({ room_id: roomId }) => {
      try {
        await leave(roomId, who);
      } catch (error) {
        notice(words(error), "bad");
      }
      await lookAgain(who, doors);
    },
  };
  worldsScreen(info, who, all, doors);
  requestIdleCallbackOrSoon(() => {
    if (session === who) void offerMessages(info, who, doors);
  });
}

/** Shows the worlds of now in place of those that are listed. */
async function lookAgain(who: Session, doors: WorldsDoors): Promise<void> {
  try {
    redrawWorlds(who, await worlds(who), doors);
  } catch (error) {
    console.warn("the worlds cannot be listed anew", error);
  }
}

/** Lets somebody look after their account. */
async function account(): Promise<void> {
  if (!node || !session) return;
  const [info, who] = [node, session];
  report({ phase: "account" });
  again = () => void account();
  const signIn = (): void => {
    if (!confirm(t("welcome.other_guest"))) return;
    session = null;
    forget();
    arrive();
  };
  const keep = (): void =>
    keepDialog(info, who, (member) => {
      session = member;
      void account();
    });
  try {
    const { accountScreen, farewell } = await import("./ui/account");
    await accountScreen(info, who, {
      worlds: () => void list(),
      look: () => void import("./ui/avatar").then(({ avatarDialog }) => avatarDialog(who, keep)),
      named: (name) => {
        session = renamed(who, name);
      },
      signOut: leaveAccount,
      ended: () => {
        session = null;
        forget();
        void endMembership(who).catch(console.warn);
        farewell(info, who);
      },
      keep,
      signIn,
    });
  } catch (error) {
    failure(error, () => void account());
  }
}

/** Shows what waits for a member, as soon as it is there. */
async function offerMessages(info: NodeInfo, who: Session, doors: WorldsDoors): Promise<void> {
  const opened = membershipOf(who);
  if (!opened) return;
  try {
    const { messages, parts } = await opened;
    const place = document.querySelector<HTMLElement>(".worlds");
    if (!place) return;
    parts.besideWorlds(messages, place, {
      serverName: info.server_name,
      enter: (roomId) => void enterRoom(roomId),
      worldsChanged: () => void lookAgain(who, doors),
    });
  } catch (error) {
    // Worlds can be entered without.
    console.warn("messages cannot be opened", error);
  }
}

/** Signs out here, and leaves no key behind. */
function leaveAccount(): void {
  const old = session;
  session = null;
  if (old) {
    void endMembership(old).catch(console.warn);
    const out = signOut(old).catch(() => {});
    // Out of a world there is no shorter way than a new page.
    if (isWalking()) void out.then(() => location.assign("/"));
  }
  if (!isWalking()) void start();
}

/** A visit hears by itself that the account is signed out. */
function isWalking(): boolean {
  return document.body.dataset.screen === "walking";
}

async function create(): Promise<void> {
  if (!session || !node) return;
  report({ phase: "create" });
  const who = session;
  const { createPage } = await import("./ui/create");
  createPage(node, who, {
    cancel: () => void list(),
    created: (made) => void world(made, who).then(visitWorld, () => list()),
  });
}

/** Goes to a world by its room or its alias, or to the page that says that it is not open. */
async function enterRoom(name: string): Promise<void> {
  if (!session || !node) return;
  const [who, info] = [session, node];
  try {
    const found = await optional(world(name, who));
    if (found) await visitWorld(found);
    else closedDoor(info, who, name);
  } catch (error) {
    failure(error, () => void enterRoom(name));
  }
}

/** Says that a place is not there, or not for this person, until it is. */
function closedDoor(info: NodeInfo, who: Session, name: string): void {
  report({ phase: "closed" });
  again = () => closedDoor(info, who, name);
  closedPage(info, who, {
    again: async () => {
      try {
        const found = await optional(world(name, who));
        if (found) await visitWorld(found);
      } catch (error) {
        notice(words(error), "bad");
      }
    },
    list: () => void list(),
  });
}

async function visitWorld(target: World): Promise<void> {
  if (!session || !node) return;
  const short = target.alias ? shortAlias(target.alias, node.server_name) : target.room_id;
  const path = `/w/${encodeURI(short)}`;
  if (location.pathname !== path) history.pushState(null, "", path);
  else if (location.search !== "") history.replaceState(null, "", path);
  document.title = `${target.name} · ${t("app.name")}`;
  const info = node;
  try {
    const { walk } = await walking();
    again = walk(target, session, info, {
      left: () => void list(),
      signedOut: lostSession,
      session: (member) => {
        session = member;
      },
      again: (where) => void visitWorld(where),
      enter: (roomId) => void enterRoom(roomId),
    });
  } catch (error) {
    console.error(error);
    failure(error, () => void visitWorld(target));
  }
}

/** A device that hears late that it was left ends nobody else's stay. */
function lostBy(who: Session): void {
  if (session?.token === who.token && !isWalking()) lostSession();
}

function lostSession(): void {
  session = null;
  forget();
  notice(t("error.session"), "bad");
  void start();
}

function failure(error: unknown, retry: () => void): void {
  report({ phase: "error", error: String(error) });
  const go = h("button", { class: "primary", text: t("error.again"), attrs: { type: "button" } });
  go.addEventListener("click", retry);
  const card = h(
    "main",
    { class: "card welcome-card", attrs: { role: "alert" } },
    h("h1", { text: t("error.title") }),
    h("p", { class: "lead", text: words(error) }),
    go,
  );
  screen("welcome", scenery(), h("div", { class: "welcome" }, brand(node?.name ?? ""), card));
  go.focus();
}

function requestIdleCallbackOrSoon(deed: () => void): void {
  if ("requestIdleCallback" in window) requestIdleCallback(deed, { timeout: 1500 });
  else setTimeout(deed, 300);
}

window.addEventListener("popstate", () => location.reload());
