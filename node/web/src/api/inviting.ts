// Who may come into a room: inviting people, and taking that back, by the Matrix client API.
import { ask } from "./http";
import { localpart, type Session } from "./session";

export interface Invited {
  userId: string;
  name: string;
}

interface MemberEvent {
  state_key?: string;
  content?: { displayname?: unknown };
}

const room = (roomId: string): string => `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}`;

/** What somebody is called; fails where there is nobody of that address. */
export async function nameOf(userId: string, { token }: Session): Promise<string> {
  const path = `/_matrix/client/v3/profile/${encodeURIComponent(userId)}`;
  const { displayname } = await ask<{ displayname?: string }>("GET", path, { token });
  return displayname ?? localpart(userId);
}

export const invite = (roomId: string, userId: string, { token }: Session): Promise<object> =>
  ask("POST", `${room(roomId)}/invite`, { body: { user_id: userId }, token });

/** Takes an invitation back. */
export const uninvite = (roomId: string, userId: string, { token }: Session): Promise<object> =>
  ask("POST", `${room(roomId)}/kick`, { body: { user_id: userId }, token });

/** Leaves a room, or declines to come. */
export const leave = (roomId: string, { token }: Session): Promise<object> =>
  ask("POST", `${room(roomId)}/leave`, { body: {}, token });

/** Those who were invited and have not come yet. */
export async function invited(roomId: string, { token }: Session): Promise<Invited[]> {
  const { chunk } = await ask<{ chunk: MemberEvent[] }>("GET", `${room(roomId)}/members?membership=invite`, { token });
  return chunk.map(({ state_key: userId = "", content }) => {
    const name = content?.displayname;
    return { userId, name: typeof name === "string" ? name : localpart(userId) };
  });
}
