// What people say in a room: sending through the Matrix client API, and reading events.
import { ApiError, ask } from "./http";
import { localpart, type Session } from "./session";

/** A room event as the client-server API writes it, as far as chat looks into it. */
interface RoomEvent {
  type?: string;
  event_id?: string;
  sender?: string;
  origin_server_ts?: number;
  redacts?: string;
  state_key?: string;
  content?: Record<string, unknown>;
  unsigned?: { transaction_id?: string; redacted_because?: unknown };
}

/** Why something that was said cannot be read. */
export type Unreadable = "no_device" | "waiting" | "backup" | "other_device" | "withheld" | "not_there_yet" | "broken";

/** What speaks against it that something was said by whom it seems to be from. */
export type Doubt = "unprotected" | "unsigned_device" | "unknown_device" | "unverified" | "not_certain";

/** One change to what is read in the chat. */
export type Said =
  | {
      kind: "message";
      eventId: string;
      sender: string;
      body: string;
      emote: boolean;
      timeMs: number;
      transaction: string | null;
      /** Whether it came encrypted. */
      sealed?: boolean;
      doubt?: Doubt | null;
    }
  | { kind: "unreadable"; eventId: string; sender: string; timeMs: number; why: Unreadable }
  /** What could not be read turned out not to be meant for people. */
  | { kind: "nothing"; eventId: string }
  | { kind: "edited"; eventId: string; sender: string; body: string; sealed?: boolean }
  | { kind: "redacted"; eventId: string }
  | { kind: "named"; userId: string; name: string };

export function readEvent(value: unknown): Said | null {
  if (typeof value !== "object" || value === null) return null;
  const event = value as RoomEvent;
  const content = event.content ?? {};
  const sender = event.sender ?? "";
  if (event.type === "m.room.redaction") {
    const eventId = event.redacts ?? content.redacts;
    return typeof eventId === "string" ? { kind: "redacted", eventId } : null;
  }
  if (event.type === "m.room.member" && event.state_key && content.membership === "join") {
    const name = typeof content.displayname === "string" ? content.displayname : null;
    return { kind: "named", userId: event.state_key, name: name ?? localpart(event.state_key) };
  }
  if (event.type === "m.room.encrypted" && event.event_id && content.algorithm) {
    const timeMs = event.origin_server_ts ?? Date.now();
    return { kind: "unreadable", eventId: event.event_id, sender, timeMs, why: "no_device" };
  }
  if (event.type !== "m.room.message" || !event.event_id) return null;
  // Devices that compare keys talk about it in the room; what they say is not for people.
  if (String(content.msgtype).startsWith("m.key.verification.")) return null;
  const relation = content["m.relates_to"] as { rel_type?: string; event_id?: string } | undefined;
  if (relation?.rel_type === "m.replace" && relation.event_id) {
    const fresh = content["m.new_content"] as { body?: unknown } | undefined;
    const body = fresh?.body;
    if (typeof body !== "string") return null;
    return { kind: "edited", eventId: relation.event_id, sender, body };
  }
  if (typeof content.body !== "string") return null;
  return {
    kind: "message",
    eventId: event.event_id,
    sender,
    body: content.body,
    emote: content.msgtype === "m.emote",
    timeMs: event.origin_server_ts ?? Date.now(),
    transaction: event.unsigned?.transaction_id ?? null,
  };
}

/** The last messages of a room, oldest first. */
export async function history(roomId: string, session: Session): Promise<Said[]> {
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=50`;
  const page = await ask<{ chunk?: unknown[]; state?: unknown[] }>("GET", path, {
    token: session.token,
  });
  const events = [...(page.state ?? []), ...(page.chunk ?? []).reverse()];
  return events.map(readEvent).filter((said) => said !== null);
}

/** Whether a room is encrypted; fails where that cannot be known. */
export async function isEncrypted(roomId: string, session: Session): Promise<boolean> {
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/state/m.room.encryption/`;
  try {
    await ask("GET", path, { token: session.token });
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return false;
    throw error;
  }
}

/** Sends in the clear. */
export async function send(
  roomId: string,
  body: string,
  transaction: string,
  session: Session,
): Promise<string> {
  const room = encodeURIComponent(roomId);
  const path = `/_matrix/client/v3/rooms/${room}/send/m.room.message/${transaction}`;
  const content = { msgtype: "m.text", body };
  const sent = await ask<{ event_id: string }>("PUT", path, {
    body: content,
    token: session.token,
  });
  return sent.event_id;
}
