// Another node, where somebody has no account: who they are is shown there by the keys of this browser.
import { blocks as blocksOf } from "../api/friends";
import { ApiError, ask } from "../api/http";
import { farNode, type Visit, type World, world } from "../api/node";
import { portalsOf } from "../api/portals";
import { elsewhere, type Session } from "../api/session";
import { loadMore, t } from "../i18n";
import { identityOf } from "../person";
import { type Holder, holderOf, isAbout, membership, present } from "../present/holder";
import { addressOf, pathTo } from "./address";
import { type Host, opened, optional, placed, portalsAt, reach, UntoldError } from "./host";

interface Challenge {
  challenge: string;
}

const JOIN_MS = 60_000;
const WORLD = "org.matrix.msc3815.world";

/** The node of a server name, as somebody's home finds it. */
export async function abroad(serverName: string, session: Session): Promise<Host> {
  await loadMore("travel");
  if (session.guest) throw new UntoldError("guest");
  const { public_url: address, dids } = await farNode(serverName, session);
  if (!dids) throw new UntoldError("unasked");
  return hostAt(originOf(address), serverName);
}

/** Where it answers. What somebody shows of themselves is told to nobody who could only be overheard. */
export function originOf(address: string): string {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url?.protocol === "https:" || (url?.protocol === "http:" && url.hostname === "localhost")) return url.origin;
  throw new UntoldError("unsafe");
}

export function hostAt(base: string, serverName: string): Host {
  const page = (one: World): string => base + pathTo(addressOf(one, serverName), serverName);
  return {
    serverName,
    isHome: false,
    at: (reference) => reach(base, reference),
    world: async (name) => {
      const found = await optional(there(world(name, null, base)));
      return found && placed(base, found);
    },
    admit: async (name, session) => opened(base, await admitted(base, name, session)),
    join: (roomId, session) => join(roomId, serverName, session),
    page,
    portals: async (roomId) => portalsAt(base, (await optional(there(portalsOf(roomId, null, base)))) ?? []),
    way: async (one) => ({ link: page(one), about: t("travel.invite", { node: serverName }) }),
  };
}

/**
 * Shows who somebody is, for this node at the address where it is asked and no other: a node that named another as
 * whom it is for could pass the answer on.
 */
async function admitted(base: string, name: string, session: Session): Promise<Visit> {
  const holder = await holderFor(session);
  const { challenge } = await there(ask<Challenge>("POST", `${base}/_wayside/v1/visitors/challenge`, { body: {} }));
  // Whom somebody blocks is hidden from the first moment on; who that is, that node cannot read from it.
  const [credential, blocks] = await Promise.all([membership(session), blocksOf(session)]);
  if (!isAbout(credential, holder)) throw new UntoldError("unvouched");
  const presentation = await present(holder, { domain: domainOf(base), challenge }, credential, Date.now());
  const path = `/_wayside/v1/worlds/${encodeURIComponent(name)}/visitors`;
  return there(ask("POST", base + path, { body: { challenge, presentation, ...(blocks && { blocks }) } }));
}

/** Whom an answer is for: the address of the web at which that node is asked. */
export const domainOf = (base: string): string => `origin:${new URL(base).origin}`;

/** A member who comes by a link may have seen nothing here yet by which they would have got an identity. */
async function holderFor(session: Session): Promise<Holder> {
  if (session.guest) throw new UntoldError("guest");
  let holder = await holderOf(session);
  if (holder === "no_identity") {
    await identityOf(session)?.ensure();
    holder = await holderOf(session);
  }
  if (typeof holder === "string") throw new UntoldError(holder);
  return holder;
}

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
