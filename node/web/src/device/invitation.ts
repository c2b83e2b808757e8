// On which node the world is to which somebody is invited, as far as the invitation says it.
import { localpart, serverOf } from "../api/session";
import { isServerName } from "../travel/uri";
import type { RawEvent } from "./sync";

/** The service user of a node, who makes its worlds. */
const SERVICE = "_wayside";
export const WORLD = "org.matrix.msc3815.world";

/**
 * The server name of the node of a world, by what an invitation shows of its room: that of whoever made the world,
 * or else of a service user who speaks of a member, or else of whoever invites; null where none of them is named.
 * Nobody vouches for what is shown: the node that is asked has such a world, or the door stays closed.
 */
export function nodeOfWorld(shown: readonly RawEvent[], own: string): string | null {
  const made = shown.findLast(({ type, state_key: key, content }) => type === "m.room.create" && key === "" && content.type === WORLD);
  const members = shown.filter(({ type }) => type === "m.room.member");
  const invitation = members.findLast(({ state_key: key }) => key === own);
  const services = [made, invitation, ...members].map((event) => serverIn(event?.sender, SERVICE));
  return services.find((server) => server !== null) ?? serverIn(invitation?.sender);
}

/** The server in the id of a user, of the one of that name where one is asked for. */
function serverIn(userId: unknown, name?: string): string | null {
  if (typeof userId !== "string" || !/^@[^:]+:/.test(userId)) return null;
  const server = serverOf(userId);
  return isServerName(server) && (name === undefined || localpart(userId) === name) ? server : null;
}
