// Remote bodies between and beyond the poses that are known of them.
import { describe, expect, it } from "vitest";
import { TickClock } from "../src/net/clock";
import { PoseBuffer, turnBetween } from "../src/net/interpolation";
import { Motion, type Pose } from "../src/net/pose";

const pose = (x: number, more: Partial<Pose> = {}): Pose => ({
  motion: Motion.Walks,
  jumped: false,
  x,
  y: 0,
  z: 0,
  yaw: 0,
  lookYaw: 0,
  lookPitch: 0,
  tracked: null,
  ...more,
});

describe("a buffer of poses", () => {
  it("shows what is between two poses, and the speed", () => {
    const buffer = new PoseBuffer(pose(0), 0);
    buffer.add(pose(1), 100);
    const shown = buffer.at(50);
    expect(shown.pose.x).toBeCloseTo(0.5);
    expect(shown.speed).toBeCloseTo(10);
  });

  it("turns the shorter way round", () => {
    const buffer = new PoseBuffer(pose(0, { yaw: 0.1 }), 0);
    buffer.add(pose(0, { yaw: Math.PI * 2 - 0.1 }), 100);
    expect(Math.sin(buffer.at(50).pose.yaw)).toBeCloseTo(0);
    expect(turnBetween(3, -3)).toBeCloseTo(Math.PI * 2 - 6);
  });

  it("does not smooth over a jump", () => {
    const buffer = new PoseBuffer(pose(0), 0);
    buffer.add(pose(8, { jumped: true }), 100);
    expect(buffer.at(10).pose.x).toBe(8);
  });

  it("goes on for at most 200 ms by the last speed", () => {
    const buffer = new PoseBuffer(pose(0), 0);
    buffer.add(pose(1), 100);
    expect(buffer.at(200).pose.x).toBeCloseTo(2);
    expect(buffer.at(300).pose.x).toBeCloseTo(3);
    expect(buffer.at(450).pose.x).toBeCloseTo(3);
  });

  it("stands still through a pause instead of gliding through it", () => {
    const buffer = new PoseBuffer(pose(0, { motion: Motion.Stands }), 0);
    buffer.add(pose(0.2), 1000);
    expect(buffer.at(800).pose.x).toBe(0);
    expect(buffer.at(950).pose.x).toBeCloseTo(0.1);
  });

  it("ignores what comes late", () => {
    const buffer = new PoseBuffer(pose(0), 0);
    buffer.add(pose(1), 100);
    buffer.add(pose(-5), 50);
    expect(buffer.at(50).pose.x).toBeCloseTo(0.5);
  });
});

describe("the clock of ticks", () => {
  it("believes the least delayed frame", () => {
    const clock = new TickClock(30);
    clock.heard(30, 1_050);
    clock.heard(60, 2_010);
    clock.heard(90, 3_090);
    expect(clock.timeOf(90)).toBeCloseTo(3_010, 0);
  });
});
