// The friends of a member, with what shows them: fetched for members alone.
import type { Session } from "./api/session";
import type { Friends } from "./friends/model";
import { membershipOf } from "./membership";

export interface Friendship {
  friends: Friends;
  parts: typeof import("./ui/friends");
}

/** Null for guests, and where it could not be fetched. */
export async function friendshipOf(session: Session): Promise<Friendship | null> {
  if (session.guest) return null;
  try {
    const parts = await import("./ui/friends");
    return { parts, friends: await parts.friendsOf(session) };
  } catch (error) {
    console.warn("friends cannot be shown", error);
    // Who asks is then shown where all other invitations are.
    void membershipOf(session)?.then(({ messages }) => messages.befriend(null), () => {});
    return null;
  }
}
