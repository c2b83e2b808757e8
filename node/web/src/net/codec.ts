// The frames of the real-time protocol (specs/realtime.md): writes the client's, reads the node's.
import { BrokenFrame, Reader, Writer } from "./bytes";
import { type Pose, readPose, writePose } from "./pose";

export const VERSION = 1;
export const NO_SEAT = 0xffff;
/** A BYE after which nobody should come again by themselves. */
export const NEVER = 0xffffffff;

const Kind = {
  Hello: 0x01,
  Input: 0x02,
  Sit: 0x03,
  Stand: 0x04,
  Emote: 0x05,
  Ping: 0x06,
  Go: 0x07,
  Blocks: 0x08,
  Welcome: 0x41,
  Snapshot: 0x42,
  Entered: 0x43,
  Left: 0x44,
  Emoted: 0x45,
  Correction: 0x46,
  Seated: 0x47,
  Refused: 0x48,
  Event: 0x49,
  Pong: 0x4a,
  Bye: 0x4b,
  Notice: 0x4c,
} as const;

/** The last reasons of CORRECTION, REFUSED and BYE. */
const CORRECTIONS = 6;
const REFUSALS = 5;
const BYES = 12;
/** So many badges stand at most in an ENTERED. */
const BADGES = 4;

export type ClientFrame =
  | { kind: "hello"; ticket: string }
  | { kind: "input"; sequence: number; pose: Pose }
  | { kind: "sit"; seat: number }
  | { kind: "stand" }
  | { kind: "emote"; emote: number }
  | { kind: "ping"; nonce: number }
  | { kind: "go" }
  /** Whom the person blocks, each hashed with the salt of now to 16 bytes. */
  | { kind: "blocks"; salt: Uint8Array; hashes: readonly Uint8Array[] };

export interface Welcome {
  kind: "welcome";
  version: number;
  slot: number;
  tickHz: number;
  tick: number;
  capacity: number;
  pose: Pose;
}

export interface Snapshot {
  kind: "snapshot";
  tick: number;
  bodies: { slot: number; pose: Pose }[];
}

/** What somebody was given and shows everybody. */
export interface WornBadge {
  /** The host of who gave it. */
  issuer: string;
  name: string;
}

export interface Entered {
  kind: "entered";
  slot: number;
  guest: boolean;
  own: boolean;
  seat: number | null;
  userId: string;
  name: string;
  avatar: string;
  fallback: string;
  badges: readonly WornBadge[];
}

export type NodeFrame =
  | Welcome
  | Snapshot
  | Entered
  | { kind: "left"; slot: number }
  | { kind: "emoted"; slot: number; emote: number; tick: number }
  | { kind: "correction"; sequence: number; reason: number; pose: Pose }
  | { kind: "seated"; slot: number; seat: number | null }
  | { kind: "refused"; asked: number; reason: number }
  | { kind: "event"; event: string }
  | { kind: "pong"; nonce: number; tick: number }
  | { kind: "bye"; reason: number; againMs: number }
  /** Something about the person themselves, as a code that the page has words for. */
  | { kind: "notice"; code: string };

export function encode(frame: ClientFrame): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  switch (frame.kind) {
    case "hello":
      return writer.u8(Kind.Hello).u8(VERSION).text(frame.ticket).done();
    case "input":
      writer.u8(Kind.Input).u16(frame.sequence);
      writePose(writer, frame.pose);
      return writer.done();
    case "sit":
      return writer.u8(Kind.Sit).u16(frame.seat).done();
    case "stand":
      return writer.u8(Kind.Stand).done();
    case "emote":
      return writer.u8(Kind.Emote).u8(frame.emote).done();
    case "ping":
      return writer.u8(Kind.Ping).u32(frame.nonce).done();
    case "go":
      return writer.u8(Kind.Go).done();
    case "blocks":
      writer.u8(Kind.Blocks).raw(frame.salt).u16(frame.hashes.length);
      for (const hash of frame.hashes) writer.raw(hash);
      return writer.done();
  }
}

/** Throws BrokenFrame for whatever is not exactly one frame of a known kind (REALTIME-1). */
export function decode(bytes: Uint8Array): NodeFrame {
  const reader = new Reader(bytes);
  const frame = body(reader.u8(), reader);
  reader.end();
  return frame;
}

function body(kind: number, reader: Reader): NodeFrame {
  switch (kind) {
    case Kind.Welcome:
      return {
        kind: "welcome",
        version: reader.u8(),
        slot: reader.u16(),
        tickHz: reader.u8(),
        tick: reader.u32(),
        capacity: reader.u16(),
        pose: readPose(reader),
      };
    case Kind.Snapshot:
      return snapshot(reader);
    case Kind.Entered:
      return entered(reader);
    case Kind.Left:
      return { kind: "left", slot: reader.u16() };
    case Kind.Emoted:
      return { kind: "emoted", slot: reader.u16(), emote: reader.u8(), tick: reader.u32() };
    case Kind.Correction:
      return {
        kind: "correction",
        sequence: reader.u16(),
        reason: reason(reader, CORRECTIONS),
        pose: readPose(reader),
      };
    case Kind.Seated:
      return { kind: "seated", slot: reader.u16(), seat: seat(reader.u16()) };
    case Kind.Refused:
      return { kind: "refused", asked: reader.u8(), reason: reason(reader, REFUSALS) };
    case Kind.Event:
      return { kind: "event", event: reader.long() };
    case Kind.Pong:
      return { kind: "pong", nonce: reader.u32(), tick: reader.u32() };
    case Kind.Bye:
      return { kind: "bye", reason: reason(reader, BYES), againMs: reader.u32() };
    case Kind.Notice:
      return { kind: "notice", code: reader.text() };
    default:
      throw new BrokenFrame(`frames of kind ${kind} are unknown`);
  }
}

function snapshot(reader: Reader): Snapshot {
  const tick = reader.u32();
  const count = reader.u8();
  const bodies: Snapshot["bodies"] = [];
  for (let index = 0; index < count; index += 1) {
    bodies.push({ slot: reader.u16(), pose: readPose(reader) });
  }
  return { kind: "snapshot", tick, bodies };
}

function entered(reader: Reader): Entered {
  const slot = reader.u16();
  const flags = reader.u8();
  if (flags & ~3) throw new BrokenFrame("unknown flags are set");
  return {
    kind: "entered",
    slot,
    guest: (flags & 1) !== 0,
    own: (flags & 2) !== 0,
    seat: seat(reader.u16()),
    userId: reader.text(),
    name: reader.text(),
    avatar: reader.text(),
    fallback: reader.text(),
    badges: badges(reader),
  };
}

function badges(reader: Reader): WornBadge[] {
  const count = reader.u8();
  if (count > BADGES) throw new BrokenFrame(`nobody shows ${count} badges`);
  const all: WornBadge[] = [];
  for (let index = 0; index < count; index += 1) all.push({ issuer: reader.text(), name: reader.text() });
  return all;
}

function reason(reader: Reader, last: number): number {
  const value = reader.u8();
  if (value === 0 || value > last) throw new BrokenFrame(`there is no reason ${value}`);
  return value;
}

function seat(place: number): number | null {
  return place === NO_SEAT ? null : place;
}
