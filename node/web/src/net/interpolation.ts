// Shows a remote body a little in the past, between the poses that are known of it.
import { Motion, type Pose } from "./pose";

/** So much in the past bodies are shown, so that there is nearly always a newer pose to go to. */
export const DELAY_MS = 100;
/** For so long a body goes on by its last speed when nothing more is heard. */
const EXTRAPOLATE_MS = 200;
/** Poses further apart than this have a standstill between them, not a slow glide. */
const GAP_MS = 250;
/** A body that begins to move again is taken to have stood until so long before. */
const START_MS = 100;
const KEPT = 32;

interface Sample {
  timeMs: number;
  pose: Pose;
}

/** Where a body is shown, and how fast it goes. */
export interface Shown {
  pose: Pose;
  /** Metres a second over the ground. */
  speed: number;
}

export class PoseBuffer {
  private samples: Sample[] = [];
  private readonly shown: Shown;

  constructor(first: Pose, timeMs: number) {
    this.samples.push({ timeMs, pose: first });
    this.shown = { pose: { ...first }, speed: 0 };
  }

  add(pose: Pose, timeMs: number): void {
    const last = this.samples[this.samples.length - 1];
    // Snapshots may come late and out of order: an older one changes nothing any more.
    if (last && timeMs <= last.timeMs) return;
    if (last && timeMs - last.timeMs > GAP_MS) {
      const stillMs = Math.max(last.timeMs, timeMs - START_MS);
      if (stillMs > last.timeMs) this.samples.push({ timeMs: stillMs, pose: last.pose });
    }
    this.samples.push({ timeMs, pose });
    if (this.samples.length > KEPT) this.samples.splice(0, this.samples.length - KEPT);
  }

  /** The same object every time: what is to be kept of it is to be copied. */
  at(timeMs: number): Shown {
    const { samples, shown } = this;
    let index = samples.length - 1;
    while (index > 0 && (samples[index]?.timeMs ?? 0) > timeMs) index -= 1;
    const from = samples[index];
    const to = samples[index + 1];
    if (!from) return shown;
    if (to) {
      const spanMs = to.timeMs - from.timeMs;
      between(from.pose, to.pose, clamp((timeMs - from.timeMs) / spanMs), shown);
      shown.speed = to.pose.jumped ? 0 : ground(from.pose, to.pose) / (spanMs / 1000);
      return shown;
    }
    this.beyond(from, samples[index - 1], timeMs);
    return shown;
  }

  private beyond(last: Sample, before: Sample | undefined, timeMs: number): void {
    const { shown } = this;
    Object.assign(shown.pose, last.pose);
    shown.speed = 0;
    const moves = last.pose.motion !== Motion.Stands && last.pose.motion !== Motion.Sits;
    const overMs = timeMs - last.timeMs;
    if (!before || !moves || last.pose.jumped || overMs > EXTRAPOLATE_MS * 2) return;
    const spanMs = last.timeMs - before.timeMs;
    const ahead = Math.min(overMs, EXTRAPOLATE_MS) / spanMs;
    shown.pose.x += (last.pose.x - before.pose.x) * ahead;
    shown.pose.z += (last.pose.z - before.pose.z) * ahead;
    if (overMs < EXTRAPOLATE_MS) shown.speed = ground(before.pose, last.pose) / (spanMs / 1000);
  }
}

function between(from: Pose, to: Pose, share: number, shown: Shown): void {
  const late = share >= 0.5 || to.jumped;
  const part = to.jumped ? 1 : share;
  const { pose } = shown;
  pose.motion = late ? to.motion : from.motion;
  pose.jumped = to.jumped;
  pose.x = from.x + (to.x - from.x) * part;
  pose.y = from.y + (to.y - from.y) * part;
  pose.z = from.z + (to.z - from.z) * part;
  pose.yaw = from.yaw + turnBetween(from.yaw, to.yaw) * part;
  pose.lookYaw = from.lookYaw + turnBetween(from.lookYaw, to.lookYaw) * part;
  pose.lookPitch = from.lookPitch + (to.lookPitch - from.lookPitch) * part;
  pose.tracked = late ? to.tracked : from.tracked;
}

function ground(from: Pose, to: Pose): number {
  return Math.hypot(to.x - from.x, to.z - from.z);
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share));
}

/** The shorter way round from one angle to another, in radians. */
export function turnBetween(from: number, to: number): number {
  const turn = Math.PI * 2;
  const way = (((to - from) % turn) + turn) % turn;
  return way > Math.PI ? way - turn : way;
}
