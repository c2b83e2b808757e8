// The portals of a world: what its node says of them, and setting them as state of the world's room.
import { ApiError, type Ask, ask, FAR_MS } from "./http";
import type { Rating } from "./node";
import type { Session } from "./session";
import { isFields, oneOf } from "./text";

export const PORTAL = "org.wayside.portal";

/** The world to which a portal leads, as the node of the portal found it. */
export interface Target {
  name: string;
  description: string;
  rating: Rating;
  people: number;
  capacity: number;
  public: boolean;
  /** A picture that the node of the portal fetched. */
  preview: string | null;
  /** Whom of elsewhere it lets in; "home" where it is on the node of the portal. */
  visitors: Visitors | null;
}

const VISITORS = ["open", "nodes", "invited", "credentials", "home"] as const;
export type Visitors = (typeof VISITORS)[number];

const TROUBLES = ["silent", "unknown", "closed"] as const;
/** Why nothing is known of the target: its node does not answer, has no such world for everybody, or takes no visitors. */
export type Trouble = (typeof TROUBLES)[number];

export interface Portal {
  id: string;
  uri: string;
  /** What those who made it call it. */
  name: string | null;
  /** The node of the scene on which it stands, or else where. */
  node: string | null;
  position: [number, number, number] | null;
  yaw: number | null;
  /** The alias of the world, or the id of its room. */
  address: string;
  serverName: string;
  target: Target | null;
  trouble: Trouble | null;
}

/** Where a portal is to stand; nowhere is in the list alone. */
export type Place = { node: string } | { position_mm: [number, number, number]; yaw_deg: number } | Record<string, never>;

const MOST = 64;
const RATINGS: readonly Rating[] = ["general", "teen", "mature"];
/** As far as anybody can be from the middle of a world. */
const REACH_M = 16_777;
const COUNT = 1_000_000;

/** The portals of a world of this node, as somebody sees them who is signed in. */
export const portalsOf = (world: string, token: string | null): Promise<Portal[]> => portalsBy(pathOf(world), { token });

/** Those of a world of the node at an origin, to whom no token is ever shown, but the pass that it gave for a visit. */
export function portalsAbroad(world: string, origin: string, pass: string | null): Promise<Portal[]> {
  const path = origin + pathOf(world);
  return pass === null ? portalsBy(path) : portalsBy(`${path}?${new URLSearchParams({ pass })}`, { secret: true });
}

const pathOf = (world: string): string => `/_wayside/v1/worlds/${encodeURIComponent(world)}/portals`;

async function portalsBy(path: string, options: Ask = {}): Promise<Portal[]> {
  return readPortals(await ask<unknown>("GET", path, { timeoutMs: FAR_MS, ...options }));
}

/** Reads what a node says; nothing that it might say does more than not to be shown. */
export function readPortals(said: unknown): Portal[] {
  const all = isFields(said) && Array.isArray(said.portals) ? said.portals : [];
  if (all.length > MOST) console.warn(`of ${all.length} portals only the first ${MOST} are shown`);
  const read = all.slice(0, MOST).map(readPortal);
  const sound = read.filter((one) => one !== null);
  if (sound.length < read.length) console.warn(`${read.length - sound.length} portals cannot be read`);
  // Two of one id could not be told apart.
  return [...new Map(sound.map((one) => [one.id, one])).values()];
}

function readPortal(said: unknown): Portal | null {
  if (!isFields(said)) return null;
  const [id, uri] = [text(said.id, 255), text(said.uri, 2_048)];
  const [address, serverName] = [text(said.address, 255), text(said.server_name, 255)];
  if (!id || uri === null || !address || !serverName) return null;
  const position = readPosition(said.position);
  const target = readTarget(said.target);
  return {
    id,
    uri,
    name: text(said.name, 512),
    node: text(said.node, 255),
    position,
    yaw: position && typeof said.yaw === "number" && Number.isFinite(said.yaw) ? said.yaw : null,
    address,
    serverName,
    target,
    trouble: target ? null : (oneOf(TROUBLES, said.trouble) ?? "silent"),
  };
}

function readPosition(said: unknown): [number, number, number] | null {
  if (!Array.isArray(said) || said.length !== 3) return null;
  const sound = said.every((part) => typeof part === "number" && Math.abs(part) <= REACH_M);
  return sound ? (said as [number, number, number]) : null;
}

function readTarget(said: unknown): Target | null {
  if (!isFields(said)) return null;
  return {
    name: text(said.name, 512) ?? "",
    description: text(said.description, 8_192) ?? "",
    rating: oneOf(RATINGS, said.rating) ?? "general",
    people: number(said.people),
    capacity: number(said.capacity),
    public: said.public !== false,
    preview: text(said.preview, 2_048),
    visitors: oneOf(VISITORS, said.visitors),
  };
}

/** A text of at most so many bytes, or nothing. */
function text(said: unknown, bytes: number): string | null {
  if (typeof said !== "string" || said.length > bytes) return null;
  return new TextEncoder().encode(said).length <= bytes ? said : null;
}

function number(said: unknown): number {
  return typeof said === "number" && said >= 0 && said <= COUNT ? Math.floor(said) : 0;
}

const state = (roomId: string, type: string, key = ""): string =>
  `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/${type}/${encodeURIComponent(key)}`;

/** Sets a portal up, or another in its place. */
export function setPortal(
  roomId: string,
  id: string,
  portal: { uri: string; name: string; place: Place },
  { token }: Session,
): Promise<object> {
  const { uri, name, place } = portal;
  const body = { uri, ...(name === "" ? {} : { name }), ...place };
  return ask("PUT", state(roomId, PORTAL, id), { body, token });
}

export const removePortal = (roomId: string, id: string, { token }: Session): Promise<object> =>
  ask("PUT", state(roomId, PORTAL, id), { body: {}, token });

/** Where a portal stands, as its state says it: what the node tells of it is in other units. */
export function placeOf({ node, position, yaw }: Portal): Place {
  if (node !== null) return { node };
  return position ? placeAt(position, yaw ?? 0) : {};
}

/** A place in whole millimetres and degrees. */
export function placeAt([x, y, z]: readonly [number, number, number], yaw: number): Place {
  const degrees = Math.round((yaw * 180) / Math.PI);
  const mm = (metres: number): number => Math.round(metres * 1000);
  return { position_mm: [mm(x), mm(y), mm(z)], yaw_deg: ((degrees % 360) + 360) % 360 };
}

interface Levels {
  users?: Record<string, unknown>;
  users_default?: unknown;
  events?: Record<string, unknown>;
  state_default?: unknown;
}

/** Whether somebody may set portals in a room, as their home knows it. */
export async function maySetPortals(roomId: string, { token, userId }: Session): Promise<boolean> {
  try {
    return hasPower(await ask<Levels>("GET", state(roomId, "m.room.power_levels"), { token }), userId);
  } catch (error) {
    // Whoever is not in the room, or in none that has such levels, sets nothing in it.
    if (error instanceof ApiError && (error.status === 403 || error.status === 404)) return false;
    throw error;
  }
}

export function hasPower(levels: Levels, userId: string): boolean {
  const level = (said: unknown, otherwise: number): number => (typeof said === "number" ? said : otherwise);
  const own = level(levels.users?.[userId], level(levels.users_default, 0));
  return own >= level(levels.events?.[PORTAL], level(levels.state_default, 50));
}
