// What a node says of itself, its invitations and its worlds.
import type { Ask, NamedAsk } from "./asks";
import { ask, FAR_MS, upload } from "./http";
import type { Session } from "./session";

export interface Provider {
  id: string;
  name: string;
  brand?: string;
}

export interface NodeInfo {
  server_name: string;
  name: string;
  version: string;
  try_out: boolean;
  registration: "open" | "token" | "closed";
  /** Who else may vouch for people. */
  providers: Provider[];
  public_url: string;
  passkeys: boolean;
  /** Whether people may sign in by a DID, whose home is another node. */
  dids: boolean;
  /** Whether it sends mail, and people may say their address for their name. */
  emails: boolean;
  default_world: string | null;
}

export interface Invitation {
  role: string;
}

export type Rating = "general" | "teen" | "mature";

export interface World {
  room_id: string;
  alias: string | null;
  name: string;
  description: string;
  preview: string | null;
  scene: { url: string; sha256: string; bytes: number };
  people: number;
  capacity: number;
  rating: Rating;
  /** Whether anybody may come. */
  public: boolean;
  encrypted: boolean;
  names?: string[];
  /** Whether the person was invited and has not come yet. */
  invited?: boolean;
  /** Whoever holds one of these may come, though the world is not public; nodes of before ask for nothing. */
  asks?: readonly NamedAsk[];
  /** What people of other nodes have to show one of to come into a public world. */
  visitors_ask?: readonly NamedAsk[];
}

export interface Visit {
  ticket: string;
  expires_ms: number;
  transports: { kind: string; url: string }[];
  world: World;
  /** Whether the node takes whom the person blocks, and hears in the visit where that changes. */
  blocks?: boolean;
  /** Credentials that the node gave the person and that they did not show it; what another node says, unread. */
  given?: unknown;
  /** By it the node knows for the time of the visit who asks; what another node says, unread. */
  pass?: unknown;
}

export interface Issue {
  code: string;
  severity: "error" | "warning" | "information";
  pointer?: string;
  message: string;
}

export interface WorldWish {
  name: string;
  description: string;
  scene: string;
  preview: string | null;
  capacity: number;
  rating: Rating;
  public: boolean;
  encrypted: boolean;
  /** What opens a world that is not public. */
  asks?: readonly Ask[];
}

export const nodeInfo = (): Promise<NodeInfo> => ask("GET", "/_wayside/v1/node");

/** Whether people can use passkeys here: browsers keep them for one address of a node alone. */
export function hasPasskeys(node: NodeInfo): boolean {
  return node.passkeys && location.origin === new URL(node.public_url).origin && "PublicKeyCredential" in window;
}

/** Whether anybody may come in here by what they have elsewhere. */
export const takesLinks = ({ dids, providers }: NodeInfo): boolean => dids || providers.length > 0;

export const invitationInfo = (invitation: string): Promise<Invitation> =>
  ask("GET", `/_wayside/v1/invitations/${encodeURIComponent(invitation)}`);

export async function worlds(session: Session | null): Promise<World[]> {
  const token = session?.token ?? null;
  return (await ask<{ worlds: World[] }>("GET", "/_wayside/v1/worlds", { token })).worlds;
}

/** A world of this node, or of the one at an origin, to whom no token is ever shown. */
export const world = (name: string, token: string | null, origin = ""): Promise<World> =>
  ask("GET", `${origin}/_wayside/v1/worlds/${encodeURIComponent(name)}`, origin === "" ? { token } : {});

export const visit = (name: string, session: Session): Promise<Visit> =>
  ask("POST", `/_wayside/v1/worlds/${encodeURIComponent(name)}/visits`, {
    body: {},
    token: session.token,
  });

/** Another node, as this one finds it. */
export interface FarNode {
  server_name: string;
  name: string;
  public_url: string;
  /** Whether it takes people who show who they are. */
  dids: boolean;
}

export const farNode = (serverName: string, { token }: Session): Promise<FarNode> =>
  ask("GET", `/_wayside/v1/nodes/${encodeURIComponent(serverName)}`, { token, timeoutMs: FAR_MS });

/** Where the pages are of the home that somebody names. */
export const homeAt = (home: string): Promise<{ url: string }> =>
  ask("POST", "/_wayside/v1/homes", { body: { home }, timeoutMs: FAR_MS });

export const createWorld = (
  wish: WorldWish,
  session: Session,
): Promise<{ room_id: string; alias: string | null }> =>
  ask("POST", "/_wayside/v1/worlds", { body: wish, token: session.token });

/** An invitation for guests, made by a member, for a week. */
export const inviteGuests = (
  session: Session,
): Promise<{ invitation: string; link: string }> =>
  ask("POST", "/_wayside/v1/invitations", {
    body: { role: "guest", uses: 20, lasts_ms: 7 * 24 * 3600 * 1000 },
    token: session.token,
  });

/** Puts a file into the node's media and says under which address. */
export async function uploadMedia(
  file: Blob,
  name: string,
  session: Session,
  progress: (sent: number, total: number) => void,
): Promise<string> {
  const path = `/_matrix/media/v3/upload?filename=${encodeURIComponent(name)}`;
  return (await upload<{ content_uri: string }>(path, file, session.token, progress)).content_uri;
}

/** How a world is written in an address: without its node where that is this one. */
export function shortAlias(alias: string, serverName: string): string {
  const bare = alias.replace(/^#/, "");
  return bare.endsWith(`:${serverName}`) ? bare.slice(0, -serverName.length - 1) : bare;
}

/** The whole alias of what stands in an address. */
export function fullAlias(short: string, serverName: string): string {
  if (short.startsWith("!") || short.startsWith("#")) return short;
  return short.includes(":") ? `#${short}` : `#${short}:${serverName}`;
}
