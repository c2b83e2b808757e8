// Leads a person from the address they came by, over name and world, into a visit.
import { ApiError } from "./api/http";
import { leave } from "./api/inviting";
import { invitationInfo, nodeInfo, type NodeInfo, type Visit as Ticket, type World, worlds } from "./api/node";
import { confirmed, forget, remembered, renamed, type Session, signOut } from "./api/session";
import { consentBy } from "./consent";
import { goalHere, goalOfLink, OTHER } from "./goals";
import { report, reportFriends } from "./hook";
import { t } from "./i18n";
import { endMembership, identityParts, letGo, onMembershipEnd } from "./membership";
import { Nodes } from "./nodes";
import { goOn as goTo, isSettled, onStep, settle, stay } from "./past";
import { type Address, addressOf, pathTo } from "./travel/address";
import { forgetAgreed } from "./travel/agreed";
import { type Host, isLacking, lacked, optional, placed, sought } from "./travel/host";
import { forgetKnown, know } from "./travel/known";
import { askingPage, closedPage, whyHere } from "./ui/closed";
import { h } from "./ui/dom";
import { words } from "./ui/errors";
import { settingsDialog, keepDialog } from "./ui/settings";
import { brand, notice, scenery, screen } from "./ui/shell";
import { type Arrival, welcome } from "./ui/welcome";
import type { WalkDoors, Walking } from "./walking";
import { redrawWorlds, type WorldsDoors, worldsScreen } from "./ui/worlds";
import { isSoftware } from "./world/quality";

let node: NodeInfo | null = null;
let session: Session | null = null;
/** Where worlds are. */
let nodes: Nodes | null = null;
let arrival: Arrival | null = null;
/** The visit of now. */
let walk: Walking | null = null;
/** How often somebody has gone back or forward. */
let steps = 0;
/** How often somebody has set out for somewhere: whoever turns back is not led on by what comes late. */
let errands = 0;
/** Whether the address is that of the page of accounts. */
const isAccountPage = (): boolean => /^\/account\/?$/.test(location.pathname);
/** Shows the present screen anew, as after a change of language. */
let again: () => void = () => {};

/** The parts that draw worlds are large: they are fetched while somebody types their name. */
const walkingParts = (): Promise<typeof import("./walking")> => import("./walking");

/** Few go to other nodes. */
const travel = (): Promise<typeof import("./travel")> => import("./travel");

export async function start(): Promise<void> {
  onMembershipEnd((who) => ({ gone: () => lostBy(who), signOut: () => void leaveAccount() }));
  let trouble: unknown = null;
  const turned = setOut();
  try {
    const asked = new URLSearchParams(location.search);
    const join = /^\/join\/([^/]+)\/?$/.exec(location.pathname)?.[1] ?? null;
    const before = remembered();
    const [info, known] = await Promise.all([nodeInfo(), before ? confirmed(before) : null]);
    node = info;
    session = known;
    nodes = new Nodes(info);
    const goal = goalHere(info) ?? goalOfLink(info);
    if (goal === OTHER) {
      unopened(info);
      return;
    }
    // A link into a world may bring its invitation along.
    const code = join === null ? asked.get("invitation") : decodeURIComponent(join);
    const [invitation, world, first] = await Promise.all([
      code === null ? null : optional(invitationInfo(code)),
      goal && seen(goal).catch((error: unknown) => {
        if (isHere(goal)) throw error;
        trouble = error;
        return null;
      }),
      goal !== null || (known && !known.guest) ? null : defaultWorld(info),
    ]);
    arrival = {
      node: info,
      session,
      invitation: code !== null && invitation ? { code, info: invitation } : null,
      invitationOver: code !== null && !invitation,
      goal,
      world,
      first,
      toAccount: isAccountPage(),
    };
    // What is not there for a stranger may be there for whoever they are.
    if (goal && isHere(goal) && !world && !known) notice(t("closed.perhaps"), "bad");
  } catch (error) {
    failure(error, () => void start());
    return;
  }
  if (turned()) return;
  const { goal, world, toAccount } = arrival;
  // On another node it may be there for those who show who they are, which they do when they walk in.
  if (session && goal && !world && (isHere(goal) || trouble !== null)) await closedDoor(goal, trouble);
  else if (session && toAccount) await account();
  else if (session && location.pathname === "/") await list();
  else arrive();
  requestIdleCallbackOrSoon(() => void makeReady());
}

const isHere = (goal: Address): boolean => nodes?.isHome(goal) ?? false;

/** A world as everybody sees it who asks for it; of another node, members see it whose home finds that. */
async function seen(goal: Address): Promise<World | null> {
  if (isHere(goal)) return (await hostOf(goal)).world(goal.name, session);
  if (!session) return null;
  asking(goal);
  return (await hostOf(goal)).world(goal.name, session);
}

/** The node of a world. */
async function hostOf(goal: Address): Promise<Host> {
  if (!nodes) throw new Error("nobody asks for a world before this node has said who it is");
  return nodes.find(goal, session);
}

/** Sets out for somewhere; the returned function says whether the person has turned to something else since. */
function setOut(): () => boolean {
  errands += 1;
  const mine = errands;
  return () => errands !== mine;
}

/** Says that another node is asked, which may take a while. */
function asking(goal: Address): void {
  if (!node || isHere(goal)) return;
  report({ phase: "asking" });
  const values = { node: goal.serverName };
  askingPage(node, t("asking.title", values), t("asking.lead", values), () => void list());
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
    forgotten: async () => {
      const old = session;
      if (old && !(await letGo(old))) return;
      if (session !== old) return;
      session = null;
      forgetHere();
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
  const [{ makeReady }] = await Promise.all([import("./world/backstage"), walkingParts()]);
  makeReady(isFrugal() ? null : (target?.scene ?? null));
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
  if (from.goal) {
    await enter(from.goal, from.world);
    return;
  }
  const target = session?.guest ? (from.first ?? (await defaultWorld(from.node))) : null;
  if (target && nodes) await visitWorld(nodes.home, target);
  else await list();
}

async function defaultWorld(info: NodeInfo): Promise<World | null> {
  if (!info.default_world) return null;
  return nodes?.home.world(info.default_world, session).catch(() => null) ?? null;
}

async function list(): Promise<void> {
  if (!node || !session) {
    arrive();
    return;
  }
  const turned = setOut();
  if (arrival) arrival = { ...arrival, goal: null, world: null };
  goTo("/");
  document.title = t("app.name");
  again = () => void list();
  try {
    const all = await listed(session);
    if (turned()) return;
    report({ phase: "worlds" });
    showWorlds(node, session, all);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) lostSession();
    else failure(error, () => void list());
  }
}

async function listed(who: Session): Promise<World[]> {
  return (await worlds(who)).map((world) => placed(location.origin, world));
}

function showWorlds(info: NodeInfo, who: Session, all: World[]): void {
  const keep = (): void =>
    keepDialog(info, who, (member) => {
      session = member;
      void list();
    });
  const doors: WorldsDoors = {
    enter: (target) => void (nodes && visitWorld(nodes.home, target)),
    look: () => void import("./ui/avatar").then(({ avatarDialog }) => avatarDialog(who, keep)),
    settings: () => settingsDialog({ node: info, session: who }, () => again()),
    create: () => void create(),
    keep,
    signOut: () => void leaveAccount(),
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
  if (!who.guest) requestIdleCallbackOrSoon(() => void offer(info, who, doors));
}

/** Shows what a member has beside the worlds. */
async function offer(info: NodeInfo, who: Session, doors: WorldsDoors): Promise<void> {
  try {
    const { offerAll } = await import("./offers");
    if (session !== who) return;
    await offerAll(info, who, {
      enter: (world) => void enter(world),
      worldsChanged: () => void lookAgain(who, doors),
      host: hostOf,
      through: (host, way) => void visitWorld(host, way.world, false, way),
      signedOut: lostSession,
    });
  } catch (error) {
    // Worlds can be entered without.
    console.warn("what members have cannot be fetched", error);
  }
}

/** Shows the worlds of now in place of those that are listed. */
async function lookAgain(who: Session, doors: WorldsDoors): Promise<void> {
  try {
    redrawWorlds(who, await listed(who), doors);
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
    forgetHere();
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
      signOut: () => void leaveAccount(),
      ended: () => {
        session = null;
        forgetHere();
        void endMembership(who).catch(console.warn);
        void identityParts(who)?.then(({ forgetIdentity }) => forgetIdentity(who)).catch(console.warn);
        farewell(info, who);
      },
      keep,
      signIn,
    });
  } catch (error) {
    failure(error, () => void account());
  }
}

/** Signs out here, and leaves no key behind. */
async function leaveAccount(): Promise<void> {
  const old = session;
  if (old && !(await letGo(old))) return;
  // Whoever pressed twice is out already.
  if (session !== old) return;
  session = null;
  forgetHere();
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
    created: (roomId) => void enterRoom(roomId),
  });
}

/** Goes to a world of this node by its room. */
async function enterRoom(roomId: string): Promise<void> {
  if (node) await enter({ name: roomId, serverName: node.server_name });
}

/** Goes to a world, or to the page that says why it does not open; `still` where it has not before. */
async function enter(goal: Address, known: World | null = null, still = false): Promise<void> {
  if (!session) return;
  const who = session;
  const turned = setOut();
  const consent = consentBy({ pause: () => {}, takeOff: async () => {}, isWanted: () => !turned() });
  try {
    if (!known || !nodes?.knows(goal)) asking(goal);
    const host = await hostOf(goal);
    const found = known ?? (await sought(host, goal.name, who, consent));
    if (turned()) return;
    if (found) await visitWorld(host, found, still);
    else await closedDoor(goal, null, still);
  } catch (error) {
    if (turned()) return;
    if (error instanceof ApiError && error.status === 401) lostSession();
    else await closedDoor(goal, error, still);
  }
}

/** Says why somebody does not come in there, until they do. */
async function closedDoor(goal: Address, error: unknown, still = false): Promise<void> {
  if (!session || !node) return;
  const [who, info] = [session, node];
  try {
    const why = isHere(goal) ? whyHere(error) : (await travel()).whyNot(error, goal.serverName, info.server_name);
    const asks = isLacking(error) ? await lacked(await hostOf(goal), goal.name, who) : [];
    report({ phase: "closed" });
    again = () => void closedDoor(goal, error, still);
    closedPage(info, who, { why, asks, still }, { again: () => enter(goal, null, true), list: () => void list() });
  } catch (trouble) {
    failure(trouble, () => void closedDoor(goal, error, still));
  }
}

/** Walks into a world, by a ticket where somebody has one already. */
async function visitWorld(host: Host, target: World, still = false, ticket: Ticket | null = null): Promise<void> {
  if (!session || !node) return;
  const info = node;
  const address = addressOf(target, host.serverName);
  goTo(pathTo(address, info.server_name));
  // Whoever comes this far was told that this node learns who they are.
  if (!host.isHome) know(host.serverName);
  document.title = `${target.name} · ${t("app.name")}`;
  try {
    const { begin } = await walkingParts();
    const doors: WalkDoors = {
      left: () => void list(),
      signedOut: lostSession,
      session: (member) => {
        session = member;
      },
      again: (where) => void visitWorld(host, where),
      enter: (world) => void enter(world),
      refused: (error) => void closedDoor(address, error, still),
      host: hostOf,
      through: (other, way) => void visitWorld(other, way.world, false, way),
    };
    walk = begin({ host, target, ticket }, session, info, doors);
    again = walk.redraw;
  } catch (error) {
    console.error(error);
    failure(error, () => void visitWorld(host, target));
  }
}

/** A device that hears late that it was left ends nobody else's stay. */
function lostBy(who: Session): void {
  if (session?.token === who.token && !isWalking()) lostSession();
}

function lostSession(): void {
  session = null;
  forgetHere();
  notice(t("error.session"), "bad");
  void start();
}

/** This browser forgets whose it was, where they have been, and what they have shown there. */
function forgetHere(): void {
  forget();
  forgetKnown();
  forgetAgreed();
  reportFriends(null);
}

/** Says that a link of another program leads to no world. */
function unopened(info: NodeInfo): void {
  report({ phase: "unopened" });
  again = () => unopened(info);
  void import("./ui/unopened").then(({ unopenedPage }) => unopenedPage(info, () => location.assign("/"))).catch((error: unknown) => failure(error, again));
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

/** Whoever goes back to a world goes there as carefully as forward; back to a page, the page begins anew. */
onStep(() => {
  const goal = node && isWalking() ? goalHere(node) : null;
  if (goal && walk) {
    void stepBack(walk, goal);
    return;
  }
  walk?.quit();
  location.reload();
});

async function stepBack(from: Walking, goal: Address): Promise<void> {
  steps += 1;
  const mine = steps;
  if (isSettled()) {
    from.turnBack();
    return;
  }
  const isGone = await from.back(goal);
  if (isGone) settle();
  // Whoever has gone on meanwhile is led by that.
  else if (mine === steps) stay();
}
