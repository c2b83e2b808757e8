// Another node, where somebody has no account: who they are is shown there by the keys of this browser.
import { MOST_ASKS, type NamedAsk } from "../api/asks";
import { blocks as blocksOf } from "../api/friends";
import { ApiError, ask } from "../api/http";
import { farNode, type Visit, type World, world } from "../api/node";
import { portalsAbroad } from "../api/portals";
import { elsewhere, type Session } from "../api/session";
import { loadMore, t } from "../i18n";
import type { Json, JsonObject } from "../identity/canonical";
import { identityOf } from "../person";
import { type Holder, holderOf, isAbout, isOfPerson, membership, present, type Vouched } from "../present/holder";
import { addressOf, pathTo } from "./address";
import { bringHome } from "./bringing";
import { chosen, type Consent } from "./disclosure";
import { type Host, isLacking, opened, optional, placed, portalsAt, reach, UntoldError, withheld } from "./host";

interface Challenge {
  challenge: string;
}

const JOIN_MS = 60_000;
/** Of so many worlds of a node it is remembered what they ask for. */
const MOST_ASKING = 100;
/** Of so many worlds of a node the pass is kept that was given last. */
const MOST_PASSES = 100;
const PASS_LETTERS = 2_048;
const WORLD = "org.matrix.msc3815.world";

/** The node of a server name, as somebody's home finds it. */
export async function abroad(serverName: string, session: Session): Promise<Host> {
  const [found] = await Promise.all([session.guest ? null : farNode(serverName, session), loadMore("travel")]);
  if (!found) throw new UntoldError("guest");
  if (!found.dids) throw new UntoldError("unasked");
  return hostAt(originOf(found.public_url), serverName);
}

/** Where it answers. What somebody shows of themselves is told to nobody who could only be overheard. */
export function originOf(address: string): string {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url?.protocol === "https:" || (url?.protocol === "http:" && url.hostname === "localhost")) return url.origin;
  throw new UntoldError("unsafe");
}

export function hostAt(base: string, serverName: string): Host {
  const page = (one: World): string => base + pathTo(addressOf(one, serverName), serverName);
  const asked = new AskedFor();
  const passes = new Passes();
  const look = async (name: string): Promise<World | null> => {
    const found = await optional(there(world(name, null, base)));
    return found && asked.heard(name, placed(base, found));
  };
  return {
    serverName,
    isHome: false,
    at: (reference) => reach(base, reference),
    world: look,
    admit: async (name, session, consent) => {
      // It is known of most worlds already. Whoever cannot learn it may be let in all the same.
      const asks = asked.of(name) ?? look(name).then(() => asked.of(name) ?? [], () => []);
      try {
        const { pass, ...visit } = opened(base, await admitted({ base, serverName, name, asks }, session, consent ?? null));
        passes.given(visit.world.room_id, session, pass);
        asked.heard(name, visit.world);
        void bringHome(visit.given, session);
        return visit;
      } catch (error) {
        // It may ask for something else by now.
        if (isLacking(error)) asked.forget(name);
        throw error;
      }
    },
    join: (roomId, session) => join(roomId, serverName, session),
    page,
    portals: async (roomId, session) => {
      const all = await optional(there(portalsAbroad(roomId, base, passes.of(roomId, session))));
      return portalsAt(base, all ?? []);
    },
    way: async (one) => ({ link: page(one), about: t("travel.invite", { node: serverName }) }),
  };
}

/** What the worlds of a node ask for, by each name by which they were asked for; those seen last are remembered. */
class AskedFor {
  private readonly known = new Map<string, readonly NamedAsk[]>();

  heard(name: string, world: World): World {
    const asks = [...(world.asks ?? []), ...(world.visitors_ask ?? [])].slice(0, MOST_ASKS);
    for (const one of new Set([name, world.room_id])) {
      this.known.delete(one);
      this.known.set(one, asks);
    }
    for (const oldest of [...this.known.keys()].slice(0, -MOST_ASKING)) this.known.delete(oldest);
    return world;
  }

  of(name: string): readonly NamedAsk[] | null {
    return this.known.get(name) ?? null;
  }

  forget(name: string): void {
    this.known.delete(name);
  }
}

/** The passes that a node gave for visits, each for one person in one room; they are told to nobody but that node. */
class Passes {
  private readonly newest = new Map<string, { userId: string; pass: string }>();

  /** Takes what came with a visit, in place of what came with the one before it; nodes of before give none. */
  given(roomId: string, { userId }: Session, pass: unknown): void {
    this.newest.delete(roomId);
    if (typeof pass !== "string" || pass === "" || pass.length > PASS_LETTERS) return;
    this.newest.set(roomId, { userId, pass });
    for (const oldest of [...this.newest.keys()].slice(0, -MOST_PASSES)) this.newest.delete(oldest);
  }

  of(roomId: string, { userId }: Session): string | null {
    const found = this.newest.get(roomId);
    return found?.userId === userId ? found.pass : null;
  }
}

/** A world on another node, and what is asked of those who come in. */
interface Door {
  base: string;
  serverName: string;
  name: string;
  asks: Awaitable<readonly NamedAsk[]>;
}

/**
 * Shows who somebody is, for this node at the address where it is asked and no other: a node that named another as
 * whom it is for could pass the answer on. A node says freely what it asks for: what nobody has seen yet of whoever
 * comes is theirs to show.
 */
async function admitted(door: Door, session: Session, consent: Consent | null): Promise<Visit> {
  const { base, serverName, name } = door;
  let said = await gathered(door, session);
  let choice = await chosen(said.asked, serverName, consent);
  if (choice.wasAsked) {
    // However long somebody thought about it, the challenge and the word of their home are good.
    said = await gathered(door, session);
    choice = await chosen(said.asked, serverName, null);
  }
  const { holder, challenge, blocks } = said;
  const presentation = await present(holder, { domain: domainOf(base), challenge }, [...said.shown, ...choice.shown], Date.now());
  const path = `/_wayside/v1/worlds/${encodeURIComponent(name)}/visitors`;
  try {
    return await there(ask("POST", base + path, { body: { challenge, presentation, ...(blocks && { blocks }) } }));
  } catch (error) {
    throw choice.isWithheld && isLacking(error) ? withheld(error) : error;
  }
}

/** All that is needed to come in. What does not depend on one another is asked for at the same time. */
async function gathered({ base, asks }: Door, session: Session) {
  if (session.guest) throw new UntoldError("guest");
  const asking = begun(there(ask<Challenge>("POST", `${base}/_wayside/v1/visitors/challenge`, { body: {} })));
  // Whom somebody blocks is hidden from the first moment on; who that is, that node cannot read from it.
  const hiding = begun(blocksOf(session));
  const word = await vouched(session, async () => asks);
  const [{ challenge }, blocks] = await Promise.all([asking, hiding]);
  return { ...word, challenge, blocks };
}

type Awaitable<T> = T | Promise<T>;

/** Something that is awaited later: should it fail before that, it is still said only there. */
function begun<T>(deed: Promise<T>): Promise<T> {
  deed.catch(() => {});
  return deed;
}

/** Somebody, and what their home says of them. */
interface Word {
  holder: Holder;
  /** What is shown to every node to which they come. */
  shown: JsonObject[];
  /** What is shown if they say so. */
  asked: JsonObject[];
}

/** Who somebody is, with what their home says of them. A member who comes by a link may have no identity here yet. */
async function vouched(session: Session, asks: () => Promise<readonly NamedAsk[]>): Promise<Word> {
  const word = async (): Promise<Vouched> => membership(session, await asks());
  let saying = begun(word());
  let holder = await holderOf(session);
  if (holder === "no_identity") {
    await identityOf(session)?.ensure();
    // What was said before was said of nobody.
    saying = begun(word());
    holder = await holderOf(session);
  }
  if (typeof holder === "string") throw new UntoldError(holder);
  return aboutThem(await saying, holder);
}

/** What the home says of somebody. A word about another would be shown as theirs. */
function aboutThem({ credential, others, asked }: Vouched, holder: Holder): Word {
  if (!isAbout(credential, holder)) throw new UntoldError("unvouched");
  const theirs = (all: readonly Json[]): JsonObject[] => all.filter((one) => isOfPerson(one, holder));
  return { holder, shown: [credential, ...theirs(others)], asked: theirs(asked) };
}

/** Whom an answer is for: the address of the web at which that node is asked. */
export const domainOf = (base: string): string => `origin:${new URL(base).origin}`;

/** What another node says of somebody's session is nothing: their home alone knows who is signed in. */
export async function there<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
    throw new ApiError(403, "M_FORBIDDEN", error.message, null, error.body);
  }
}

/**
 * Has the home join the room of a world. What is said in the world goes there in the person's own name, so it has
 * to be the room of a world of that node, and not another one that they are in.
 */
async function join(roomId: string, serverName: string, { token }: Session): Promise<void> {
  const room = encodeURIComponent(roomId);
  const via = new URLSearchParams({ via: serverName });
  await ask("POST", `/_matrix/client/v3/join/${room}?${via}`, { body: {}, token, timeoutMs: JOIN_MS });
  const path = `/_matrix/client/v3/rooms/${room}/state/m.room.create/?format=event`;
  const made = await ask<{ sender?: string; content?: { type?: string } }>("GET", path, { token });
  const isTheirs = elsewhere(made.sender ?? "", serverName) === null && made.content?.type === WORLD;
  if (!isTheirs) throw new UntoldError("misled");
}
