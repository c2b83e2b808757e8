// Friends, blocks and where somebody is: what the node says of them, held within bounds, and what is asked of it.
import { ApiError, ask, FAR_MS } from "./http";
import { localpart, type Session } from "./session";
import { clean, isFields, oneOf } from "./text";
import { addressBy, isServerName } from "../travel/uri";

const ROOT = "/_wayside/v1";

export const PLACE = "org.wayside.place";

const STANDINGS = ["friend", "asked", "asking"] as const;
/** `asked` is that the person has asked them, `asking` that they ask. */
export type Standing = (typeof STANDINGS)[number];

const PRESENCES = ["online", "unavailable", "offline"] as const;
export type Presence = (typeof PRESENCES)[number];

const AUDIENCES = ["nobody", "friends", "everybody"] as const;
/** Who is told where somebody is. */
export type Audience = (typeof AUDIENCES)[number];

/** Where somebody is; of a world that is not public only its node is known. */
export interface Place {
  /** The alias of the world, or the id of its room; null where nobody can be followed there. */
  world: string | null;
  server: string;
  /** Empty where that is not told. */
  name: string;
  public: boolean;
  sinceMs: number;
}

export interface Friend {
  userId: string;
  standing: Standing;
  name: string;
  /** A picture, as an address of Matrix. */
  avatar: string | null;
  /** Whether it is proven who they are, wherever their account is. */
  proven: boolean;
  /** The room of their conversation. */
  roomId: string;
  sinceMs: number;
  message: string;
  presence: Presence | null;
  activeMs: number | null;
  place: Place | null;
}

export interface Blocked {
  userId: string;
  name: string;
}

export interface Friends {
  friends: Friend[];
  blocked: Blocked[];
  tell: Audience;
}

/** Whom somebody blocks, as another node learns it for one visit: by hashes that are others the next time. */
export interface Blocks {
  salt: string;
  hashes: string[];
}

/** Where the person is, as their page tells their node. */
export interface Whereabouts {
  world: string;
  server: string;
  name: string;
  public: boolean;
}

export const MOST_FRIENDS = 2_000;
const MOST_BLOCKED = 10_000;
/** No node takes more of them (specs/social.md). */
const MOST_HASHES = 2_000;
export const NAME_LETTERS = 80;
/** How long the name of a world may be, as it is told. */
const WORLD_BYTES = 200;
/** How long a message may be that goes along with a request. */
export const MESSAGE_BYTES = 500;
const LATEST_MS = 8.64e15;
/** What accounts may be called, with those of former times (Matrix specification, appendices). */
const LOCALPART = /^[!-9;-~]+$/;
const PICTURE = /^mxc:\/\/[^/\s]{1,230}\/[\w-]{1,255}$/;
/** Sixteen bytes in base64, without what fills it up. */
const SIXTEEN = /^[A-Za-z0-9+/_-]{22}$/;

export async function friends({ token }: Session): Promise<Friends> {
  return readFriends(await ask<unknown>("GET", `${ROOT}/friends`, { token }));
}

/** Asks somebody to be friends, or accepts where they ask. */
export async function befriend(userId: string, message: string, { token }: Session): Promise<Standing> {
  const body = message === "" ? {} : { message };
  const said = await ask<unknown>("PUT", one("friends", userId), { body, token, timeoutMs: FAR_MS });
  return isFields(said) && said.standing === "friend" ? "friend" : "asked";
}

/** Ends a friendship, refuses a request, or takes one back. */
export const unfriend = (userId: string, { token }: Session): Promise<object> => ask("DELETE", one("friends", userId), { token });

export const block = (userId: string, { token }: Session): Promise<object> => ask("PUT", one("blocks", userId), { body: {}, token });

export const unblock = (userId: string, { token }: Session): Promise<object> => ask("DELETE", one("blocks", userId), { token });

/** Whom somebody blocks, for a visit to another node; null where their own node knows of no blocks. */
export async function blocks({ token }: Session): Promise<Blocks | null> {
  try {
    return readBlocks(await ask<unknown>("GET", `${ROOT}/blocks`, { token }));
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 405)) return null;
    throw error;
  }
}

export const setAudience = (to: Audience, { token, userId }: Session): Promise<object> =>
  ask("PUT", `/_matrix/client/v3/user/${encodeURIComponent(userId)}/account_data/${PLACE}`, { body: { to }, token });

export const putPlace = (place: Whereabouts, { token }: Session): Promise<object> => ask("PUT", `${ROOT}/place`, { body: place, token });

export const deletePlace = ({ token }: Session): Promise<object> => ask("DELETE", `${ROOT}/place`, { token });

/** Says that the person is nowhere any more while their page closes, which waits for no answer. */
export function leavePlace({ token }: Session): void {
  const headers = { Authorization: `Bearer ${token}` };
  fetch(`${ROOT}/place`, { method: "DELETE", headers, keepalive: true }).catch(() => {});
}

const one = (kind: "friends" | "blocks", userId: string): string => `${ROOT}/${kind}/${encodeURIComponent(userId)}`;

/** Reads what a node says; nothing that it might say does more than not to be shown. */
export function readFriends(said: unknown): Friends {
  const fields = isFields(said) ? said : {};
  return {
    friends: readAll(fields.friends, MOST_FRIENDS, readFriend),
    blocked: readAll(fields.blocked, MOST_BLOCKED, readBlocked),
    tell: oneOf(AUDIENCES, fields.tell) ?? "friends",
  };
}

function readAll<T extends { userId: string }>(said: unknown, most: number, read: (one: unknown) => T | null): T[] {
  const all = Array.isArray(said) ? said : [];
  if (all.length > most) console.warn(`of ${all.length} people only the first ${most} are shown`);
  const sound = all.slice(0, most).map(read).filter((it) => it !== null);
  // Two of one id could not be told apart.
  return [...new Map(sound.map((it) => [it.userId, it])).values()];
}

function readFriend(said: unknown): Friend | null {
  if (!isFields(said)) return null;
  const userId = readUserId(said.user_id);
  const standing = oneOf(STANDINGS, said.standing);
  if (userId === null || standing === null) return null;
  const { room_id: roomId, avatar_url: avatar, did, message } = said;
  return {
    userId,
    standing,
    name: clean(said.name, NAME_LETTERS) || localpart(userId),
    avatar: typeof avatar === "string" && PICTURE.test(avatar) ? avatar : null,
    proven: typeof did === "string" && did.startsWith("did:"),
    roomId: typeof roomId === "string" && /^![^\s\0]{1,254}$/.test(roomId) ? roomId : "",
    sinceMs: time(said.since_ms) ?? 0,
    message: clean(message, MESSAGE_BYTES),
    presence: oneOf(PRESENCES, said.presence),
    activeMs: time(said.active_ms),
    place: standing === "friend" ? readPlace(said.place) : null,
  };
}

function readBlocked(said: unknown): Blocked | null {
  const userId = isFields(said) ? readUserId(said.user_id) : null;
  if (!isFields(said) || userId === null) return null;
  return { userId, name: clean(said.name, NAME_LETTERS) || localpart(userId) };
}

export function readPlace(said: unknown): Place | null {
  if (!isFields(said)) return null;
  const { server, world } = said;
  if (typeof server !== "string" || !isServerName(server)) return null;
  const isPublic = said.public === true;
  const address = isPublic && typeof world === "string" ? addressBy(world, server) : null;
  return {
    // A world of another node than the one that is named would lead somewhere else than is said.
    world: address?.serverName === server ? address.name : null,
    server,
    name: isPublic ? clean(said.name, NAME_LETTERS) : "",
    public: isPublic,
    sinceMs: time(said.since_ms) ?? 0,
  };
}

export function readBlocks(said: unknown): Blocks | null {
  if (!isFields(said) || typeof said.salt !== "string" || !SIXTEEN.test(said.salt) || !Array.isArray(said.hashes)) return null;
  const hashes = said.hashes.filter((hash): hash is string => typeof hash === "string" && SIXTEEN.test(hash));
  return { salt: said.salt, hashes: hashes.slice(0, MOST_HASHES) };
}

/** An account, or null for what is none. */
export function readUserId(said: unknown): string | null {
  if (typeof said !== "string" || said.length > 255 || !said.startsWith("@")) return null;
  const colon = said.indexOf(":");
  const isSound = colon > 1 && LOCALPART.test(said.slice(1, colon)) && isServerName(said.slice(colon + 1));
  return isSound ? said : null;
}

/** The name of a world as a node takes it: cut where it has too many bytes, and its address where it has none. */
export function worldName(said: unknown, address: string): string {
  const letters = [...(clean(said, NAME_LETTERS) || address)];
  const isLong = (): boolean => new TextEncoder().encode(letters.join("")).length > WORLD_BYTES;
  while (isLong()) letters.pop();
  return letters.join("");
}

function time(said: unknown): number | null {
  return typeof said === "number" && said >= 0 && said <= LATEST_MS ? said : null;
}
