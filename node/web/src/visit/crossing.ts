// When somebody walks through a portal: the way of their feet against its surface.
import type { Vector3 } from "three";

/** How large the opening of every portal is. */
export const WIDE_M = 2.5;
export const HIGH_M = 3.25;

/** Where a portal stands: the middle of its threshold, and which way it faces. */
export interface Gate {
  id: string;
  at: Readonly<Vector3>;
  yaw: number;
}

/** Seen from a gate: along its threshold, up, and out of it. */
export interface Seen {
  aside: number;
  up: number;
  out: number;
}

/** Nobody has walked further between two frames: they were put there. */
const STEP_M = 1.6;
/** Feet may be a little below a threshold that lies on a step. */
const BELOW_M = 0.6;
/** Whoever is nearer than this does not stand outside. */
const DOORSTEP_M = 0.35;
/** Where whoever was not let through is put, and whoever waits to be. */
export const BACK_M = 0.9;
export const BEFORE_M = 0.3;
const ARRIVED_MS = 2_000;

export function seenFrom({ at, yaw }: Gate, point: Readonly<Vector3>): Seen {
  const [x, z] = [point.x - at.x, point.z - at.z];
  const [sine, cosine] = [Math.sin(yaw), Math.cos(yaw)];
  return { aside: x * cosine - z * sine, up: point.y - at.y, out: x * sine + z * cosine };
}

/** Whether a step leads through the surface, from either side. */
export function crosses(gate: Gate, from: Readonly<Vector3>, to: Readonly<Vector3>): boolean {
  const [before, after] = [seenFrom(gate, from), seenFrom(gate, to)];
  if (before.out >= 0 === after.out >= 0) return false;
  const part = before.out / (before.out - after.out);
  const aside = before.aside + (after.aside - before.aside) * part;
  const up = before.up + (after.up - before.up) * part;
  return Math.abs(aside) <= WIDE_M / 2 && up >= -BELOW_M && up < HIGH_M;
}

/** Whether a point has come to the other side of a surface, as seen from where somebody was, and is right behind it. */
export function isBehind(gate: Gate, point: Readonly<Vector3>, was: Readonly<Vector3>): boolean {
  const { aside, out } = seenFrom(gate, point);
  const isOther = out >= 0 !== seenFrom(gate, was).out >= 0;
  return isOther && Math.abs(aside) <= WIDE_M / 2 && Math.abs(out) < BACK_M;
}

/** Whether a point is beside a gate, and not in it. */
export function isOutside(gate: Gate, point: Readonly<Vector3>): boolean {
  const { aside, up, out } = seenFrom(gate, point);
  const isBeside = Math.abs(aside) > WIDE_M / 2 + DOORSTEP_M || up < -BELOW_M - DOORSTEP_M || up > HIGH_M;
  return isBeside || Math.abs(out) > DOORSTEP_M;
}

/** A point so far before the surface, on the side of another point, and within its width. */
export function before(gate: Gate, point: Readonly<Vector3>, distance: number): { x: number; z: number } {
  const { aside, out } = seenFrom(gate, point);
  const [sine, cosine] = [Math.sin(gate.yaw), Math.cos(gate.yaw)];
  const along = Math.max(-WIDE_M / 2 + 0.35, Math.min(WIDE_M / 2 - 0.35, aside));
  const away = out >= 0 ? distance : -distance;
  return { x: gate.at.x + along * cosine + away * sine, z: gate.at.z - along * sine + away * cosine };
}

/** Watches somebody's feet: whoever has just arrived, or has not stood outside a portal before, goes through none. */
export class Crossing {
  private readonly armed = new Set<string>();
  private last: { x: number; y: number; z: number } | null = null;

  constructor(private readonly arrivedMs: number) {}

  /** The gate through which the feet have come since the last time, and where they were before. */
  step<G extends Gate>(gates: readonly G[], feet: Readonly<Vector3>, nowMs: number): { gate: G; from: Vector3 } | null {
    const from = this.last && feet.clone().set(this.last.x, this.last.y, this.last.z);
    this.last = { x: feet.x, y: feet.y, z: feet.z };
    const walked = from !== null && from.distanceTo(feet) <= STEP_M && nowMs - this.arrivedMs > ARRIVED_MS;
    const through = walked ? gates.find((gate) => this.armed.has(gate.id) && crosses(gate, from, feet)) : undefined;
    for (const gate of gates) {
      if (isOutside(gate, feet)) this.armed.add(gate.id);
    }
    if (through) this.armed.delete(through.id);
    return through && from ? { gate: through, from } : null;
  }

  /** The feet were put somewhere else. */
  moved(): void {
    this.last = null;
  }
}
