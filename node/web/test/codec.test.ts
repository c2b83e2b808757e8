// The codec against the vectors that the node writes, and against frames made by hand.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { BrokenFrame } from "../src/net/bytes";
import { type ClientFrame, decode, encode, NEVER, NO_SEAT, VERSION } from "../src/net/codec";
import { Motion, packTurn, type Part, type Pose, unpackTurn } from "../src/net/pose";

interface PoseFields {
  motion: string;
  jumped: boolean;
  at: [number, number, number];
  yaw: number;
  look_yaw: number;
  look_pitch: number;
  tracked?: { hands: number; parts: { at_mm: [number, number, number]; turn: number }[] };
}

interface Vector {
  name: string;
  frame: string;
  fields: Record<string, unknown>;
  hex: string;
}

interface Vectors {
  frames: Vector[];
  broken: { name: string; from: string; hex: string }[];
}

const FILE = join(import.meta.dirname, "../../../specs/vectors/realtime.json");
const vectors = existsSync(FILE) ? (JSON.parse(readFileSync(FILE, "utf8")) as Vectors) : null;
const TURN = Math.PI * 2;
const MOTIONS = ["stand", "walk", "run", "air", "sit"];

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function poseOf(fields: PoseFields): Pose {
  const [x, y, z] = fields.at.map((steps) => steps / 500) as [number, number, number];
  const part = (index: number): Part => {
    const { at_mm, turn } = fields.tracked?.parts[index] ?? { at_mm: [0, 0, 0], turn: 0 };
    return { position: at_mm.map((mm) => mm / 1000) as Part["position"], turn: unpackTurn(turn) };
  };
  const hands = fields.tracked?.hands ?? 0;
  return {
    motion: MOTIONS.indexOf(fields.motion) as Motion,
    jumped: fields.jumped,
    x,
    y,
    z,
    yaw: (fields.yaw / 65536) * TURN,
    lookYaw: (fields.look_yaw / 256) * TURN,
    lookPitch: (fields.look_pitch / 256) * TURN,
    tracked: fields.tracked
      ? { head: part(0), left: hands & 1 ? part(1) : null, right: hands & 2 ? part(2) : null }
      : null,
  };
}

function clientFrame({ frame, fields }: Vector): ClientFrame {
  const number = (name: string): number => fields[name] as number;
  switch (frame) {
    case "hello":
      return { kind: "hello", ticket: fields.ticket as string };
    case "input":
      return { kind: "input", sequence: number("sequence"), pose: poseOf(fields.pose as PoseFields) };
    case "sit":
      return { kind: "sit", seat: number("seat") };
    case "emote":
      return { kind: "emote", emote: number("emote") };
    case "ping":
      return { kind: "ping", nonce: number("nonce") };
    case "blocks": {
      const { salt, hashes } = fields as { salt: string; hashes: string[] };
      return { kind: "blocks", salt: bytesOf(salt), hashes: hashes.map(bytesOf) };
    }
    default:
      return { kind: frame } as ClientFrame;
  }
}

/** The fields of a vector in the names and units of this client. */
function expected(fields: Record<string, unknown>): Record<string, unknown> {
  const names: Record<string, string> = {
    tick_hz: "tickHz",
    user_id: "userId",
    again_ms: "againMs",
    kind: "asked",
  };
  const seat = (value: unknown): unknown => (value === NO_SEAT ? null : value);
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      if (name === "pose") return [name, poseOf(value as PoseFields)];
      if (name === "seat") return [name, seat(value)];
      if (name === "badges") {
        const badges = value as [string, string][];
        return [name, badges.map(([issuer, badge]) => ({ issuer, name: badge }))];
      }
      if (name === "bodies") {
        const bodies = value as [number, PoseFields][];
        return [name, bodies.map(([slot, pose]) => ({ slot, pose: poseOf(pose) }))];
      }
      return [names[name] ?? name, value];
    }),
  );
}

/** The turns of a headset's vectors are any bits; only of a unit quaternion is there a way back. */
function withoutTurns(hex: string): string {
  if (!hex.startsWith("02") || hex.length <= 34) return hex;
  const parts = hex.slice(36).match(/.{20}/g) ?? [];
  return hex.slice(0, 36) + parts.map((part) => part.slice(0, 12)).join("");
}

describe.skipIf(!vectors)("the vectors of specs/", () => {
  const frames = vectors?.frames ?? [];
  const isClient = (hex: string): boolean => parseInt(hex.slice(0, 2), 16) < 0x40;

  it.each(frames.filter(({ hex }) => isClient(hex)))("writes: $name", (vector) => {
    if (vector.frame === "hello") expect(vector.fields.version).toBe(VERSION);
    expect(withoutTurns(hexOf(encode(clientFrame(vector))))).toBe(withoutTurns(vector.hex));
  });

  it.each(frames.filter(({ hex }) => !isClient(hex)))("reads: $name", (vector) => {
    const { kind, ...fields } = decode(bytesOf(vector.hex)) as unknown as Record<string, unknown>;
    expect(kind).toBe(vector.frame);
    expect(fields).toEqual(expected(vector.fields));
  });

  it.each((vectors?.broken ?? []).filter(({ from }) => from !== "client"))("refuses: $name", (vector) => {
    expect(() => decode(bytesOf(vector.hex))).toThrow(BrokenFrame);
  });
});

const standing: Pose = {
  motion: Motion.Stands,
  jumped: false,
  x: 0,
  y: 0,
  z: 0,
  yaw: 0,
  lookYaw: 0,
  lookPitch: 0,
  tracked: null,
};

const input = (pose: Partial<Pose>): string =>
  hexOf(encode({ kind: "input", sequence: 1, pose: { ...standing, ...pose } })).slice(6);

describe("poses", () => {
  it("rounds halves away from zero", () => {
    expect(input({ x: 0.003, y: -0.003 })).toBe("00020000feffff00000000000000");
  });

  it("holds values at the ends of their ranges", () => {
    expect(input({ x: 1e9, y: -1e9, lookPitch: 9, lookYaw: -9 })).toBe("00ffff7f00008000000000008040");
  });

  it("takes yaws of any turn, and the last half step as none", () => {
    expect(input({ yaw: -Math.PI / 2 }).slice(20, 24)).toBe("00c0");
    expect(input({ yaw: TURN * 0.999999 }).slice(20, 24)).toBe("0000");
  });

  it("packs turns to within a thousandth", () => {
    const turn: Part["turn"] = [0.1, -0.7, 0.2, -0.678];
    const length = Math.hypot(...turn);
    const back = unpackTurn(packTurn(turn));
    const same = back.reduce((sum, value, at) => sum + (value * (turn[at] ?? 0)) / length, 0);
    expect(Math.abs(same)).toBeGreaterThan(0.999);
  });
});

describe("frames", () => {
  it("are refused when empty, unknown, short or long", () => {
    for (const hex of ["", "00", "ff", "44", "4400", "44000000", "4b01000000"]) {
      expect(() => decode(bytesOf(hex)), hex).toThrow(BrokenFrame);
    }
  });

  it("of random bytes never break the decoder", () => {
    let seed = 7;
    for (let round = 0; round < 20_000; round += 1) {
      const bytes = Uint8Array.from({ length: round % 40 }, () => {
        seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
        return seed >>> 24;
      });
      if (bytes[0] !== undefined) bytes[0] = 0x41 + (bytes[0] % 12);
      try {
        decode(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(BrokenFrame);
      }
    }
  });

  it("name up to four badges of who comes in, each with who gave it", () => {
    const entered = "43040000ffff01006101004e02002f6102002f62";
    const badge = "09" + "00" + hexOf(new TextEncoder().encode("b.example")) + "0500" + hexOf(new TextEncoder().encode("First"));
    const read = (count: number, badges: string): unknown => (decode(bytesOf(`${entered}0${count}${badges}`)) as { badges: unknown }).badges;
    expect(read(0, "")).toEqual([]);
    expect(read(4, badge.repeat(4))).toEqual(Array(4).fill({ issuer: "b.example", name: "First" }));
    for (const [count, badges] of [[5, badge.repeat(5)], [1, ""], [0, badge], [2, badge]] as const) {
      expect(() => read(count, badges), `${count}`).toThrow(BrokenFrame);
    }
    expect(() => decode(bytesOf(entered))).toThrow(BrokenFrame);
  });

  it("tell a person something about themselves by a code", () => {
    expect(decode(bytesOf("4c0600626f64795f78"))).toEqual({ kind: "notice", code: "body_x" });
    for (const hex of ["4c", "4c0200", "4c010061ff", "4c0100ff"]) expect(() => decode(bytesOf(hex)), hex).toThrow(BrokenFrame);
  });

  it("say never by the largest number", () => {
    expect(decode(bytesOf("4b04ffffffff"))).toEqual({ kind: "bye", reason: 4, againMs: NEVER });
  });
});
