// Which news of the node are about friends: requests and answers, blocks, who is there, and where.
import type { Answer, RawEvent } from "./sync";

export const FRIEND = "org.wayside.friend";
const OWN = ["org.wayside.place", "m.ignored_user_list"];
/** Of more people than that it is not said who they are. */
const MOST = 200;

/** Whose news they are; null where anybody's may be among them, nobody's where they are of something else. */
export function friendsIn({ presence, account_data: data, rooms }: Answer): string[] | null {
  const seen = (presence?.events ?? []).flatMap(({ sender }) => sender ?? []);
  const own = (data?.events ?? []).some(({ type }) => OWN.includes(type));
  const joined = Object.values(rooms?.join ?? {}).flatMap(({ state, timeline }) => [...(state?.events ?? []), ...(timeline?.events ?? [])]);
  const invited = Object.values(rooms?.invite ?? {}).flatMap(({ invite_state: state }) => state?.events ?? []);
  const isOf = ({ type }: RawEvent): boolean => type === FRIEND;
  // Whoever takes a request back leaves its room.
  const left = Object.keys(rooms?.leave ?? {}).length > 0;
  return own || left || seen.length > MOST || [...joined, ...invited].some(isOf) ? null : seen;
}
