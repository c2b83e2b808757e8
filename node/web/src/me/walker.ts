// Moves one's own body by what is asked of it, before the node has heard of it.
import { Vector3 } from "three";
import { turnBetween } from "../net/interpolation";
import { Motion, type Pose } from "../net/pose";
import { HEIGHT, type Solid, STEP, walkable } from "../world/collision";
import type { Intent } from "./input";

const GRAVITY = 9.81;
const JUMP = 4.2;
const WALK = 2.2;
const RUN = 5;
const ACCELERATION = 11;
const AIR_ACCELERATION = 3;
const TURN_PER_S = 11;
/** So long after leaving the ground, and so long before reaching it, a jump is still meant. */
const GRACE_S = 0.12;
/** Whoever falls deeper than this below the world stands where they last stood. */
const FALL_M = 30;
/** A correction is shown as a quick glide, not as a jump. */
const GLIDE_PER_S = 9;
const GLIDE_MOST_M = 4;

const goal = new Vector3();

export class Walker {
  /** The point on the ground between the feet, as the node is told. */
  readonly feet = new Vector3();
  /** The same as it is shown: steps and corrections are smoothed. */
  readonly shown = new Vector3();
  yaw = 0;
  speed = 0;
  motion: Motion = Motion.Stands;
  grounded = true;
  /** Set while somebody sits; then nothing moves them. */
  seated = false;
  /** Goes the other way than it faces. */
  backwards = false;
  /** Where the feet are shown while somebody sits. */
  readonly seat = new Vector3();
  private readonly velocity = new Vector3();
  private readonly glide = new Vector3();
  private readonly safe = new Vector3();
  private airS = 0;
  private jumpS = Infinity;
  private jumped = false;

  constructor(private readonly solid: Solid) {}

  place(pose: Pick<Pose, "x" | "y" | "z">): void {
    const before = this.shown.clone();
    this.feet.set(pose.x, pose.y, pose.z);
    this.safe.copy(this.feet);
    this.velocity.set(0, 0, 0);
    this.glide.subVectors(before, this.feet);
    if (this.glide.length() > GLIDE_MOST_M) this.glide.set(0, 0, 0);
    this.shown.copy(this.feet).add(this.glide);
  }

  /** Jumps to a place, as who moves by pointing does. */
  put(x: number, y: number, z: number): void {
    this.feet.set(x, y, z);
    this.velocity.set(0, 0, 0);
    this.jumped = true;
  }

  update(seconds: number, intent: Intent, view: number, facing: number | null): void {
    if (this.seated) {
      this.motion = Motion.Sits;
      this.speed = 0;
    } else {
      this.steer(seconds, intent, view);
      this.fall(seconds, intent.jump);
      this.turn(seconds, facing);
      this.judge();
    }
    this.smooth(seconds);
  }

  /** What of the pose is told to the node; the mark of a jump is told once. */
  pose(lookYaw: number, lookPitch: number): Pose {
    const { feet, yaw, motion, jumped } = this;
    this.jumped = false;
    return { motion, jumped, x: feet.x, y: feet.y, z: feet.z, yaw, lookYaw, lookPitch, tracked: null };
  }

  private steer(seconds: number, intent: Intent, view: number): void {
    const pace = Math.hypot(intent.forward, intent.aside);
    const fastest = intent.run ? RUN : WALK;
    goal.set(
      Math.sin(view) * intent.forward - Math.cos(view) * intent.aside,
      0,
      Math.cos(view) * intent.forward + Math.sin(view) * intent.aside,
    );
    goal.multiplyScalar(pace > 0 ? fastest * Math.min(1, pace) / pace : 0);
    const rate = this.grounded ? ACCELERATION : AIR_ACCELERATION;
    const share = 1 - Math.exp(-seconds * rate);
    this.velocity.x += (goal.x - this.velocity.x) * share;
    this.velocity.z += (goal.z - this.velocity.z) * share;
    if (pace === 0 && Math.hypot(this.velocity.x, this.velocity.z) < 0.05) {
      this.velocity.x = this.velocity.z = 0;
    }
    const [x, z] = [this.feet.x, this.feet.z];
    if (this.velocity.x !== 0 || this.velocity.z !== 0) {
      this.solid.slide(this.feet, this.velocity.x * seconds, this.velocity.z * seconds, this.grounded);
    }
    // What a wall stopped is no speed any more.
    const moved = Math.hypot(this.feet.x - x, this.feet.z - z) / Math.max(seconds, 1e-3);
    const meant = Math.hypot(this.velocity.x, this.velocity.z);
    this.speed = Math.min(moved, meant);
    if (moved < meant * 0.5) {
      this.velocity.x *= 0.6;
      this.velocity.z *= 0.6;
    }
  }

  private fall(seconds: number, jump: boolean): void {
    const { feet, velocity } = this;
    this.jumpS = jump ? 0 : this.jumpS + seconds;
    if (this.jumpS < GRACE_S && this.airS < GRACE_S && velocity.y <= 0) {
      velocity.y = JUMP;
      this.jumpS = this.airS = Infinity;
      this.grounded = false;
    }
    const below = this.grounded ? STEP : Math.max(0.02, -velocity.y * seconds);
    const ground = this.solid.ground(feet.x, feet.z, feet.y + STEP + 0.05, feet.y - below - 0.02);
    if (velocity.y <= 0 && ground && (walkable(ground) || ground.y >= feet.y - 0.02)) {
      feet.y = ground.y;
      velocity.y = 0;
      this.grounded = true;
      this.airS = 0;
      this.safe.copy(feet);
      return;
    }
    this.grounded = false;
    this.airS += seconds;
    velocity.y -= GRAVITY * seconds;
    const rise = velocity.y * seconds;
    if (rise > 0 && rise > this.solid.headroom(feet)) velocity.y = 0;
    else feet.y += rise;
    if (feet.y < this.solid.bounds.min.y - FALL_M) {
      this.put(this.safe.x, this.safe.y, this.safe.z);
      this.shown.copy(feet);
    }
  }

  private turn(seconds: number, facing: number | null): void {
    const along = Math.atan2(this.velocity.x, this.velocity.z);
    const moves = Math.hypot(this.velocity.x, this.velocity.z) > 0.3;
    const wanted = facing ?? (moves ? along : this.yaw);
    const rate = facing === null ? TURN_PER_S : TURN_PER_S * 3;
    this.backwards = facing !== null && moves && Math.abs(turnBetween(facing, along)) > 1.8;
    this.yaw += turnBetween(this.yaw, wanted) * (1 - Math.exp(-seconds * rate));
  }

  private judge(): void {
    // A small step down is no flight.
    if (!this.grounded && (this.airS > 0.1 || this.velocity.y > 0)) this.motion = Motion.Air;
    else if (this.speed > WALK * 1.3) this.motion = Motion.Runs;
    else if (this.speed > 0.15) this.motion = Motion.Walks;
    else this.motion = Motion.Stands;
  }

  private smooth(seconds: number): void {
    this.glide.multiplyScalar(Math.exp(-seconds * GLIDE_PER_S));
    if (this.seated) {
      this.shown.lerp(this.seat, 1 - Math.exp(-seconds * 8));
      return;
    }
    const goalY = this.feet.y + this.glide.y;
    const steps = this.grounded && Math.abs(goalY - this.shown.y) < STEP * 1.5;
    const share = steps ? 1 - Math.exp(-seconds * 16) : 1;
    this.shown.x = this.feet.x + this.glide.x;
    this.shown.z = this.feet.z + this.glide.z;
    this.shown.y += (goalY - this.shown.y) * share;
  }
}

export const EYES_M = HEIGHT - 0.12;
