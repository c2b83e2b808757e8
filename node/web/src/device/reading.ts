// Reads the events of rooms: opens what is encrypted, and says of the rest why it cannot.
import {
  type DecryptedRoomEvent,
  DecryptionErrorCode,
  MegolmDecryptionError,
  ShieldColor,
  ShieldStateCode,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { type Doubt, readEvent, type Said, type Unreadable } from "../api/chat";
import type { Machine } from "./machine";
import type { Room } from "./rooms";
import type { RawEvent } from "./sync";

/** Where keys may come from that are not here. */
export interface Elsewhere {
  /** Asks for the key of a message; true where there is a chance that it comes. */
  fetch(roomId: string, sessionId: string): boolean;
}

export interface Reading {
  /** The event as it is, or as it was before it was encrypted. */
  clear: RawEvent;
  said: Said | null;
}

export class Reader {
  /** What was read, by event; an event is opened once. */
  private readonly readings = new Map<string, Reading>();

  constructor(
    private readonly machine: Machine,
    private readonly elsewhere: Elsewhere,
  ) {}

  async read(room: Room, event: RawEvent): Promise<Reading> {
    return this.readings.get(event.event_id ?? "") ?? this.readNow(room, event);
  }

  private async readNow(room: Room, event: RawEvent): Promise<Reading> {
    const id = event.event_id ?? "";
    const reading = isSealed(event) ? await this.open(room, event) : plain(room, event);
    if (id !== "") this.readings.set(id, reading);
    return reading;
  }

  /** Reads again what could not be read, or was in doubt; returns what is otherwise now. */
  async readAgain(room: Room): Promise<Said[]> {
    const fresh: Said[] = [];
    for (const event of room.events) {
      const before = this.readings.get(event.event_id ?? "")?.said;
      if (before?.kind === "unreadable") {
        const { said } = await this.readNow(room, event);
        if (said?.kind === "unreadable" && said.why === before.why) continue;
        // An edit that is read late is two things: the line that stood for it goes, and another one changes.
        const isLine = said?.kind === "message" || said?.kind === "unreadable";
        if (!isLine) fresh.push({ kind: "nothing", eventId: before.eventId });
        if (said) fresh.push(said);
      } else if (before?.kind === "message" && before.sealed && before.doubt) {
        const { said } = await this.readNow(room, event);
        if (said?.kind === "message" && said.doubt !== before.doubt) fresh.push(said);
      }
    }
    return fresh;
  }

  /** What was taken back is not read any more. */
  redact(eventId: string): void {
    const known = this.readings.get(eventId);
    if (known) this.readings.set(eventId, { ...known, said: null });
  }

  /** Forgets events that are not kept any more. */
  forget(events: readonly RawEvent[]): void {
    for (const { event_id: id } of events) this.readings.delete(id ?? "");
  }

  private async open(room: Room, event: RawEvent): Promise<Reading> {
    try {
      const opened = await this.machine.decrypt(event, room.roomId);
      const clear: RawEvent = { ...event, ...(JSON.parse(opened.event) as RawEvent), unsigned: event.unsigned ?? {} };
      const said = readEvent(clear);
      if (said?.kind === "message") Object.assign(said, { sealed: true, doubt: doubtOf(opened) });
      if (said?.kind === "edited") said.sealed = true;
      return { clear, said };
    } catch (error) {
      const why = this.why(room, event, error);
      const said = readEvent(event);
      return { clear: event, said: said?.kind === "unreadable" ? { ...said, why } : null };
    }
  }

  private why(room: Room, event: RawEvent, error: unknown): Unreadable {
    if (!(error instanceof MegolmDecryptionError)) return "broken";
    const { code, maybe_withheld: withheld } = error;
    if (code !== DecryptionErrorCode.MissingRoomKey && code !== DecryptionErrorCode.UnknownMessageIndex) return "broken";
    const sessionId = event.content.session_id;
    const mayCome = typeof sessionId === "string" && this.elsewhere.fetch(room.roomId, sessionId);
    const membership = event.unsigned?.membership;
    if (membership !== undefined && membership !== "join") return "not_there_yet";
    if (withheld !== undefined) return "withheld";
    if (mayCome) return "backup";
    return (event.origin_server_ts ?? 0) < this.machine.olm.deviceCreationTimeMs ? "other_device" : "waiting";
  }
}

export function isSealed(event: RawEvent): boolean {
  return event.type === "m.room.encrypted" && event.content.algorithm !== undefined;
}

/** In an encrypted room everything that is not is suspicious: the node could have written it. */
function plain(room: Room, event: RawEvent): Reading {
  const said = readEvent(event);
  const isLate = room.isEncrypted && !room.isBeforeEncryption(event);
  if (said?.kind === "message" && isLate) said.doubt = "unprotected";
  return { clear: event, said };
}

function doubtOf(opened: DecryptedRoomEvent): Doubt | null {
  const { color, code } = opened.shieldState(false);
  if (color === ShieldColor.None) return null;
  switch (code) {
    case ShieldStateCode.UnsignedDevice:
      return "unsigned_device";
    case ShieldStateCode.UnknownDevice:
      return "unknown_device";
    case ShieldStateCode.AuthenticityNotGuaranteed:
      return "not_certain";
    default:
      return "unverified";
  }
}
