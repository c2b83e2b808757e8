// Walking through a portal: when a step leads through it, and when nobody goes through.
import { Vector3 } from "three";
import { describe, expect, it } from "vitest";
import { BACK_M, before, Crossing, crosses, type Gate, isBehind, isOutside, seenFrom } from "../src/visit/crossing";

/** Faces along +X, a metre up. */
const gate: Gate = { id: "a", at: new Vector3(10, 1, 5), yaw: Math.PI / 2 };
const at = (x: number, y: number, z: number): Vector3 => new Vector3(x, y, z);

describe("a step", () => {
  it("leads through the surface from either side", () => {
    expect(crosses(gate, at(10.3, 1, 5), at(9.8, 1, 5))).toBe(true);
    expect(crosses(gate, at(9.8, 1, 5.5), at(10.3, 1, 5.5))).toBe(true);
  });

  it("leads past it beside, above and below", () => {
    expect(crosses(gate, at(10.3, 1, 6.3), at(9.8, 1, 6.3))).toBe(false);
    expect(crosses(gate, at(10.3, 4.3, 5), at(9.8, 4.3, 5))).toBe(false);
    expect(crosses(gate, at(10.3, -0.7, 5), at(9.8, -0.7, 5))).toBe(false);
    expect(crosses(gate, at(10.3, 1, 5), at(10.1, 1, 5))).toBe(false);
  });

  it("is judged where it meets the surface, not where it ends", () => {
    expect(crosses(gate, at(10.1, 1, 6.2), at(9.1, 1, 7.2))).toBe(false);
    expect(crosses(gate, at(10.1, 1, 6.1), at(9.1, 1, 6.6))).toBe(true);
  });
});

describe("before a gate", () => {
  it("whoever is put back stands on the side from which they came", () => {
    for (const from of [at(10.2, 1, 5.4), at(9.8, 1, 4.2)]) {
      const { x, z } = before(gate, from, BACK_M);
      const seen = seenFrom(gate, at(x, 1, z));
      expect(Math.sign(seen.out)).toBe(Math.sign(seenFrom(gate, from).out));
      expect(Math.abs(seen.out)).toBeCloseTo(BACK_M);
      expect(seen.aside).toBeCloseTo(seenFrom(gate, from).aside);
      expect(isOutside(gate, at(x, 1, z))).toBe(true);
    }
  });

  it("nobody gets behind it who waits, but whoever walks around it does", () => {
    const from = at(10.3, 1, 5);
    expect(isBehind(gate, at(9.7, 1, 5), from)).toBe(true);
    expect(isBehind(gate, at(10.4, 1, 5), from)).toBe(false);
    expect(isBehind(gate, at(9.7, 1, 7), from)).toBe(false);
    expect(isBehind(gate, at(7, 1, 5), from)).toBe(false);
  });
});

describe("whoever walks", () => {
  const walk = (crossing: Crossing, points: Vector3[], fromMs = 3_000): (string | null)[] =>
    points.map((point, step) => crossing.step([gate], point, fromMs + step * 16)?.gate.id ?? null);

  it("goes through once they have stood outside", () => {
    const crossing = new Crossing(0);
    expect(walk(crossing, [at(11, 1, 5), at(10.2, 1, 5), at(9.9, 1, 5), at(10.1, 1, 5)])).toEqual([null, null, "a", null]);
    expect(walk(crossing, [at(11, 1, 5), at(10.2, 1, 5), at(9.9, 1, 5)])).toEqual([null, null, "a"]);
  });

  it("says from where they came", () => {
    const crossing = new Crossing(0);
    walk(crossing, [at(11, 1, 5), at(10.2, 1, 5)]);
    expect(crossing.step([gate], at(9.9, 1, 5), 4_000)?.from.x).toBeCloseTo(10.2);
  });

  it("goes through none within two seconds, nor where they arrive in one", () => {
    expect(walk(new Crossing(0), [at(11, 1, 5), at(10.2, 1, 5), at(9.9, 1, 5)], 1_000)).toEqual([null, null, null]);
    expect(walk(new Crossing(0), [at(10.1, 1, 5), at(9.9, 1, 5), at(10.1, 1, 5)])).toEqual([null, null, null]);
  });

  it("is not taken to have walked where they were put", () => {
    expect(walk(new Crossing(0), [at(11, 1, 5), at(9, 1, 5)])).toEqual([null, null]);
    const crossing = new Crossing(0);
    walk(crossing, [at(11, 1, 5), at(10.2, 1, 5)]);
    crossing.moved();
    expect(walk(crossing, [at(9.9, 1, 5)])).toEqual([null]);
  });
});
