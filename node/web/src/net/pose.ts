// Poses as the real-time protocol writes them (specs/realtime.md, "Poses").
import { BrokenFrame, type Reader, type Writer } from "./bytes";

export const Motion = { Stands: 0, Walks: 1, Runs: 2, Air: 3, Sits: 4 } as const;
export type Motion = (typeof Motion)[keyof typeof Motion];

/** A tracked part of a body: metres and a unit quaternion, in the frame of the body. */
export interface Part {
  position: [number, number, number];
  turn: [number, number, number, number];
}

/** What of a body is tracked by a headset; hands that are not are null. */
export interface Tracked {
  head: Part;
  left: Part | null;
  right: Part | null;
}

/** Where a body is: metres and radians. A yaw of 0 looks along +Z, of a quarter turn along +X. */
export interface Pose {
  motion: Motion;
  jumped: boolean;
  x: number;
  y: number;
  z: number;
  yaw: number;
  lookYaw: number;
  lookPitch: number;
  tracked: Tracked | null;
}

const TURN = Math.PI * 2;
const STEPS_PER_METRE = 500;
const POSITION_LIMIT = 0x7fffff;
const QUARTER = 64;
const TRACKED_BIT = 0x10;
const JUMPED_BIT = 0x20;
const KNOWN_BITS = 0x3f;
const SMALLEST_THREE_STEPS = 1023;

/** To the nearest step, halves away from zero, held at the ends of the range (REALTIME-4). */
function steps(value: number, low: number, high: number): number {
  const rounded = Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
  // A negative zero and what is no number become zero.
  return Math.min(high, Math.max(low, rounded)) || 0;
}

export function writePose(writer: Writer, pose: Pose): void {
  const { tracked } = pose;
  writer.u8(pose.motion | (tracked ? TRACKED_BIT : 0) | (pose.jumped ? JUMPED_BIT : 0));
  for (const metres of [pose.x, pose.y, pose.z]) {
    writer.i24(steps(metres * STEPS_PER_METRE, -POSITION_LIMIT - 1, POSITION_LIMIT));
  }
  const whole = ((pose.yaw % TURN) + TURN) % TURN;
  writer.u16(steps((whole / TURN) * 65536, 0, 65536) & 0xffff);
  writer.i8(steps((pose.lookYaw / TURN) * 256, -128, 127));
  writer.i8(steps((pose.lookPitch / TURN) * 256, -QUARTER, QUARTER));
  if (!tracked) return;
  writer.u8((tracked.left ? 1 : 0) | (tracked.right ? 2 : 0));
  writePart(writer, tracked.head);
  writePart(writer, tracked.left);
  writePart(writer, tracked.right);
}

export function readPose(reader: Reader): Pose {
  const state = reader.u8();
  const motion = state & 0x0f;
  if (state & ~KNOWN_BITS) throw new BrokenFrame("unknown bits of a pose are set");
  if (!isMotion(motion)) throw new BrokenFrame("a pose has an unknown motion");
  const x = reader.i24() / STEPS_PER_METRE;
  const y = reader.i24() / STEPS_PER_METRE;
  const z = reader.i24() / STEPS_PER_METRE;
  const yaw = (reader.u16() / 65536) * TURN;
  const lookYaw = (reader.i8() / 256) * TURN;
  const pitch = reader.i8();
  if (Math.abs(pitch) > QUARTER) throw new BrokenFrame("a look pitch is beyond a quarter turn");
  const lookPitch = (pitch / 256) * TURN;
  const tracked = state & TRACKED_BIT ? readTracked(reader) : null;
  return { motion, jumped: (state & JUMPED_BIT) !== 0, x, y, z, yaw, lookYaw, lookPitch, tracked };
}

function isMotion(value: number): value is Motion {
  return value <= Motion.Sits;
}

function readTracked(reader: Reader): Tracked {
  const hands = reader.u8();
  if (hands & ~3) throw new BrokenFrame("unknown bits of tracked hands are set");
  const [head, left, right] = [readPart(reader), readPart(reader), readPart(reader)];
  return { head, left: hands & 1 ? left : null, right: hands & 2 ? right : null };
}

function writePart(writer: Writer, part: Part | null): void {
  if (!part) {
    writer.i16(0).i16(0).i16(0).u32(0);
    return;
  }
  for (const metres of part.position) writer.i16(steps(metres * 1000, -32768, 32767));
  writer.u32(packTurn(part.turn));
}

function readPart(reader: Reader): Part {
  const position: Part["position"] = [
    reader.i16() / 1000,
    reader.i16() / 1000,
    reader.i16() / 1000,
  ];
  return { position, turn: unpackTurn(reader.u32()) };
}

export function packTurn(turn: Part["turn"]): number {
  const length = Math.hypot(...turn) || 1;
  let largest = 0;
  turn.forEach((value, index) => {
    if (Math.abs(value) > Math.abs(turn[largest] ?? 0)) largest = index;
  });
  // A quaternion and its negative are the same turn: the one whose largest part is positive is meant.
  const sign = (turn[largest] ?? 0) < 0 ? -1 : 1;
  let packed = largest;
  turn.forEach((value, index) => {
    if (index === largest) return;
    const part = ((sign * value) / length) * Math.SQRT1_2 + 0.5;
    packed = packed * 1024 + steps(part * SMALLEST_THREE_STEPS, 0, SMALLEST_THREE_STEPS);
  });
  return packed;
}

export function unpackTurn(packed: number): Part["turn"] {
  const largest = packed >>> 30;
  const turn: Part["turn"] = [0, 0, 0, 0];
  let [shift, left] = [20, 1];
  for (let index = 0; index < 4; index += 1) {
    if (index === largest) continue;
    const part = (((packed >>> shift) & 0x3ff) / SMALLEST_THREE_STEPS - 0.5) * Math.SQRT2;
    turn[index] = part;
    left -= part * part;
    shift -= 10;
  }
  turn[largest] = Math.sqrt(Math.max(0, left));
  return turn;
}
