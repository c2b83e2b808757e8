// What pages and the device say to each other over their channel: questions, answers and news.
import type { Said } from "../api/chat";
import type { Proof } from "../api/proof";

/** How long something waits that somebody confirms on the sign-in page: the node waits no longer. */
export const CONFIRM_MS = 10 * 60_000;

/** Whose device it is, and by which token it speaks for them. */
export interface Identity {
  userId: string;
  deviceId: string;
  token: string;
}

/**
 * `opening` until the first news of the node are read; `lost` where this browser no longer has the
 * keys under which the node knows the device; `failed` where it cannot work here at all.
 */
export type Phase = "opening" | "ready" | "lost" | "failed";

/**
 * How far a conversation is kept from others: `open` to everybody and therefore never encrypted,
 * `plain` where it could be, `encrypted`, `verified` where everybody in it is, and `changed` where
 * somebody verified has other keys now.
 */
export type Shield = "open" | "plain" | "encrypted" | "verified" | "changed";

export interface Person {
  userId: string;
  name: string;
  trust: "verified" | "unverified" | "changed" | "no_keys";
}

export interface Conversation {
  roomId: string;
  kind: "direct" | "room" | "world";
  membership: "join" | "invite";
  name: string;
  /** Whom a direct conversation is with, or who invites. */
  other: string | null;
  /** Whether the other one of a direct conversation is there; null where that is not told. */
  online: boolean | null;
  unread: number;
  last: { sender: string; name: string; body: string; timeMs: number } | null;
  shield: Shield;
  /** Everybody else in an encrypted conversation, with what is known of their keys. */
  people: Person[];
  /** Whether the person may switch encryption on. */
  mayEncrypt: boolean;
  /** Whether it is an invitation by which somebody asks to be friends. */
  asksFriend: boolean;
  /** The server name of the node of a world to which the person is invited, as the invitation says it. */
  worldServer: string | null;
}

export interface OwnDevice {
  deviceId: string;
  name: string;
  seenMs: number | null;
  isThis: boolean;
  verified: boolean;
  /** Whether it has keys at all: one without them can read nothing that is encrypted. */
  hasKeys: boolean;
}

/** Two devices that compare emoji, from the first question to the end. */
export interface Flow {
  id: string;
  userId: string;
  name: string;
  /** The other device where both are one's own. */
  deviceId: string | null;
  self: boolean;
  weAsked: boolean;
  stage: "asked" | "waiting" | "ready" | "comparing" | "confirmed" | "done" | "cancelled";
  /** Each with its number in the table of the specification, which has names for them. */
  emoji: { symbol: string; number: number }[];
  /** Why it was cancelled, as the specification names reasons; empty for no reason in particular. */
  reason: string;
  cancelledByUs: boolean;
}

export interface Own {
  userId: string;
  deviceId: string;
  /** Whether this device is known to belong to the person, who has keys to say so. */
  trust: "unknown" | "unverified" | "verified";
  /** Whether a recovery key has been saved. */
  recovery: "unknown" | "missing" | "ready";
  /** Whether messages are read from a backup and kept in it. */
  backup: boolean;
}

/** Everything that a page shows but the words of conversations. */
export interface Overview {
  phase: Phase;
  own: Own;
  conversations: Conversation[];
  flows: Flow[];
  /** The person's own devices of which it is not known that they are theirs. */
  signIns: OwnDevice[];
  /** What waits to be confirmed on the sign-in page, by the session of its refusal. */
  toConfirm: string | null;
}

export interface Page {
  said: Said[];
  more: boolean;
}

export interface Calls {
  hello(): Overview;
  open(roomId: string): Page;
  older(roomId: string): Page;
  send(roomId: string, body: string, transaction: string): string;
  read(roomId: string): void;
  direct(userId: string): string;
  answer(roomId: string, accept: boolean): void;
  leave(roomId: string): void;
  encrypt(roomId: string): void;
  verifyPerson(userId: string): string;
  verifyDevice(deviceId: string | null): string;
  acceptFlow(id: string): void;
  compareFlow(id: string): void;
  matchFlow(id: string, same: boolean): void;
  cancelFlow(id: string): void;
  dismissFlow(id: string): void;
  acceptChange(userId: string): void;
  newRecoveryKey(): string;
  saveRecovery(key: string): void;
  restore(key: string): void;
  reset(proof: Proof): void;
  devices(): OwnDevice[];
  removeDevice(deviceId: string, proof: Proof): void;
  /** What waited was confirmed, or will not be. */
  confirmed(session: string, done: boolean): void;
  erase(): void;
}

export type CallName = keyof Calls;

/** What is wrong with what was asked, where no answer of the node says it. */
export type FaultCode =
  | "no_address"
  | "nobody"
  | "unknown_room"
  | "identity_changed"
  | "unverified"
  | "malformed_key"
  | "wrong_key"
  | "no_recovery"
  | "stale_recovery"
  | "no_identity"
  | "no_proof"
  | "unconfirmed"
  | "moved"
  | "silent";

export interface Fault {
  code: string;
  message: string;
  /** Of the node's answer, or null where the device itself refuses. */
  status: number | null;
  retryAfterMs: number | null;
  /** Whom it is about, where it is about somebody. */
  about: string | null;
}

export type News =
  | { kind: "overview"; overview: Overview }
  /** Words that came, or that can be read now; `reset` where those before them are to be asked for anew. */
  | { kind: "said"; roomId: string; said: Said[]; reset: boolean }
  /** Something about friends is new: of those people, or of anybody where that is not said. */
  | { kind: "friends"; of: string[] | null }
  /** The account is signed out here, and everything of the device is gone. */
  | { kind: "gone" };

export type Letter =
  | { to: "device"; id: string; call: CallName; args: unknown[] }
  | { to: "page"; id: string; value: unknown }
  | { to: "page"; id: string; fault: Fault }
  | { to: "pages"; news: News }
  /** The device begins to work in another page: whoever waits for an answer gets none. */
  | { to: "pages"; begins: true };

/** The name of the channel and of the lock of a device. */
export function channelOf({ userId, deviceId }: Pick<Identity, "userId" | "deviceId">): string {
  return `wayside-device ${userId} ${deviceId}`;
}
