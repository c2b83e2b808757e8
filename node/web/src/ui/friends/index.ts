// What a member has of friends on the page: fetched when somebody is one, and not before.
import "../messages/messages.css";
import "./friends.css";
import type { Session } from "../../api/session";
import { Friends } from "../../friends/model";
import { reportFriends } from "../../hook";
import { loadMore } from "../../i18n";
import { membershipOf } from "../../membership";

export { whereabouts } from "../../friends/place";
export { besideWorlds } from "./beside";
export { FriendsPanel } from "./panel";
export { personDialog } from "./person";

let current: Friends | null = null;

/** The friends of a member, whose conversations leave it to them to show who asks. */
export async function friendsOf(session: Session): Promise<Friends> {
  await loadMore("friends");
  const friends = current?.session.token === session.token ? current : new Friends(session);
  current = friends;
  reportFriends(() => told(friends));
  void membershipOf(session)?.then(({ messages }) => messages.befriend(friends), () => {});
  return friends;
}

/** What stories look at. */
function told(friends: Friends): object {
  const list = (friends.known?.friends ?? []).map(({ userId, standing, place }) => ({ userId, standing, place: place?.name ?? null }));
  const blocked = friends.blocked.map(({ userId }) => userId);
  return { open: friends.isSeen, list, requests: friends.requests, blocked, tell: friends.known?.tell ?? null };
}
