// The identity of whoever is signed in: one for a session, in whatever part of the page asks for it.
import type { Session } from "../api/session";
import { nodeOf } from "./node";
import { OwnIdentity } from "./own";
import { personStore } from "./store";

export type { Answer, Asking, Found } from "./finding";
export type { Came } from "./moving";
export type { OwnIdentity, ToSave } from "./own";
export type { Device, Elsewhere, Overview } from "./overview";

let current: { token: string; own: OwnIdentity } | null = null;

/** The identity of a member; null for guests, and where a browser has no locks and no keys. */
export function identityOf(session: Session): OwnIdentity | null {
  if (session.guest || !isSecureContext || !("locks" in navigator) || !("indexedDB" in window)) return null;
  if (current?.token !== session.token) current = { token: session.token, own: opened(session) };
  return current.own;
}

function opened(session: Session): OwnIdentity {
  const alone = <T>(name: string, deed: () => Promise<T>): Promise<T> => navigator.locks.request(name, deed) as Promise<T>;
  return new OwnIdentity(session.userId, { node: nodeOf(session), store: personStore, alone, nowMs: Date.now });
}
