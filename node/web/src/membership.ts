// What only members have: a device that encrypts, conversations, and who they are. It is large, and fetched for them alone.
import type { Session } from "./api/session";
import { loadMore } from "./i18n";
import type { Messages } from "./ui/messages/model";

type Parts = typeof import("./ui/messages");

export interface Membership {
  messages: Messages;
  parts: Parts;
}

export interface MembershipDoors {
  /** The account was signed out elsewhere, or here, and its device is late to hear of it. */
  gone(): void;
  /** The person signs out, to sign in again. */
  signOut(): void;
}

let doorsOf: (session: Session) => MembershipDoors = () => ({ gone: () => {}, signOut: () => {} });
let current: { key: string; opened: Promise<Membership> } | null = null;

export function onMembershipEnd(told: typeof doorsOf): void {
  doorsOf = told;
}

/** The conversations of a member; null for guests, and where a browser has no locks and no keys. */
export function membershipOf(session: Session): Promise<Membership> | null {
  const { guest, deviceId } = session;
  if (guest || deviceId === null || !isSecureContext || !("locks" in navigator)) return null;
  const key = `${session.userId} ${deviceId}`;
  if (current?.key === key) return current.opened;
  const opened = open(session, deviceId);
  const now = { key, opened };
  current = now;
  // What could not be fetched is fetched the next time that it is wanted.
  opened.catch(() => {
    if (current === now) current = null;
  });
  return opened;
}

async function open(session: Session, deviceId: string): Promise<Membership> {
  const [parts] = await Promise.all([import("./ui/messages"), loadMore("members")]);
  return { messages: new parts.Messages(session, deviceId, doorsOf(session)), parts };
}

/** The identity of a member, with what shows it; null for guests, and where a browser keeps no keys. */
export function identityParts({ guest }: Session): Promise<typeof import("./ui/identity")> | null {
  return guest || !isSecureContext || !("locks" in navigator) ? null : import("./ui/identity");
}

/** Has this browser forget who a member is; says whether they sign out, where they would lose that by it. */
export async function letGo(session: Session): Promise<boolean> {
  try {
    return (await (await identityParts(session))?.leaving(session)) ?? true;
  } catch (error) {
    // Nobody is kept from signing out.
    console.warn("the identity cannot be let go of", error);
    return true;
  }
}

/** Deletes the keys of a member who signs out. */
export async function endMembership({ userId, deviceId }: Session): Promise<void> {
  const ended = current;
  current = null;
  if (ended) {
    await (await ended.opened).messages.erase();
  } else if (deviceId !== null && isSecureContext) {
    const { erase } = await import("./device/vault");
    await erase(userId, deviceId);
  }
}
