// Blends the motions of one body by what it does and how fast it goes.
import type { VRM } from "@pixiv/three-vrm";
import { type AnimationAction, AnimationMixer, LoopOnce, Vector3 } from "three";
import { fit, hipsHeight, type MotionName, type Motions } from "./motions";

/** What a body does in a frame. */
export interface Doing {
  /** Metres a second over the ground; less than nothing is backwards. */
  speed: number;
  air: boolean;
  sits: boolean;
  emote: MotionName | null;
}

/** How fast weights follow what a body does, per second. */
const BLEND = 9;
const MOVING_FROM = 0.12;
const MOVING_FULL = 0.7;
/** Bodies of the same motion do not all breathe at once. */
let spread = 0;

export class Animator {
  private readonly mixer: AnimationMixer;
  private readonly actions = new Map<MotionName, AnimationAction | null>();
  private readonly weights = new Map<MotionName, number>();
  private phase = 0;
  private airS = 0;
  private emoteS = 0;
  private lastEmote: MotionName | null = null;
  private readonly ratio: number;

  constructor(
    private readonly vrm: VRM,
    private readonly motions: Motions,
  ) {
    this.mixer = new AnimationMixer(vrm.scene);
    const walk = motions.get("walk");
    this.ratio = hipsHeight(vrm) / (walk?.hipsHeight ?? hipsHeight(vrm));
    this.weights.set("idle", 1);
    spread += 0.37;
    const idle = this.action("idle");
    if (idle) idle.time = (spread * idle.getClip().duration) % idle.getClip().duration;
  }

  /** Where the hips are when this body sits, in its own frame. */
  seatedHips(into: Vector3): Vector3 {
    const clip = this.action("sit")?.getClip();
    const hips = this.vrm.humanoid.getNormalizedBoneNode("hips");
    const track = clip?.tracks.find((one) => one.name === `${hips?.name}.position`);
    if (track) return into.fromArray(Array.from(track.values.slice(0, 3)));
    return into.set(0, hipsHeight(this.vrm) * 0.55, 0);
  }

  /** How long an emote takes; a dance goes on until something else is done. */
  emoteLength(name: MotionName): number {
    if (name === "dance") return Infinity;
    return this.action(name)?.getClip().duration ?? 2;
  }

  update(seconds: number, doing: Doing): void {
    const speed = Math.abs(doing.speed);
    this.step(seconds, doing, speed);
    const moving = smooth(MOVING_FROM, MOVING_FULL, speed);
    const running = smooth(this.natural("walk") * 1.25, this.natural("run") * 0.85, speed);
    const emote = doing.emote && !doing.sits && !doing.air ? doing.emote : null;
    const free = doing.sits || doing.air || emote ? 0 : 1;
    this.aim("idle", free * (1 - moving), seconds);
    this.aim("walk", free * moving * (1 - running), seconds);
    this.aim("run", free * moving * running, seconds);
    this.aim("jump", doing.air && !doing.sits ? 1 : 0, seconds);
    this.aim("sit", doing.sits ? 1 : 0, seconds);
    for (const name of ["wave", "dance", "point"] as const) {
      this.aim(name, emote === name ? 1 : 0, seconds);
    }
    this.normalise();
    this.mixer.update(seconds);
  }

  private step(seconds: number, doing: Doing, speed: number): void {
    const walkShare = this.weights.get("walk") ?? 0;
    const runShare = this.weights.get("run") ?? 0;
    const whole = walkShare + runShare;
    if (whole > 0.01) {
      const rate =
        (walkShare * this.rate("walk", speed) + runShare * this.rate("run", speed)) / whole;
      this.phase = (this.phase + seconds * rate * Math.sign(doing.speed || 1) + 1) % 1;
      this.place("walk", this.phase);
      this.place("run", this.phase);
    }
    const jump = this.actions.get("jump");
    this.airS = doing.air ? this.airS + seconds : 0;
    if (jump) jump.time = Math.min(this.airS, jump.getClip().duration * 0.6);
    this.emoteS = doing.emote && doing.emote === this.lastEmote ? this.emoteS + seconds : 0;
    this.lastEmote = doing.emote;
  }

  /** Rounds of a gait a second, so that the feet stay where they are set down. */
  private rate(name: "walk" | "run", speed: number): number {
    const duration = this.actions.get(name)?.getClip().duration ?? 1;
    const natural = this.natural(name);
    return Math.min(2.2, Math.max(0.3, natural > 0 ? speed / natural : 1)) / duration;
  }

  private natural(name: "walk" | "run"): number {
    return (this.motions.get(name)?.speed ?? (name === "walk" ? 1.5 : 4.2)) * this.ratio;
  }

  private place(name: MotionName, phase: number): void {
    const action = this.actions.get(name);
    if (action) action.time = phase * action.getClip().duration;
  }

  private aim(name: MotionName, goal: number, seconds: number): void {
    const now = this.weights.get(name) ?? 0;
    const share = 1 - Math.exp(-seconds * BLEND);
    const next = now + (goal - now) * share;
    this.weights.set(name, goal === 0 && next < 0.004 ? 0 : next);
    if (goal > 0 && now === 0) this.begin(name);
  }

  private begin(name: MotionName): void {
    const action = this.action(name);
    if (action && (name === "wave" || name === "point")) action.reset();
  }

  /** Weights that add up to less than one would let the rest pose through. */
  private normalise(): void {
    let sum = 0;
    for (const [name, weight] of this.weights) if (weight > 0 && this.action(name)) sum += weight;
    for (const [name, weight] of this.weights) {
      const action = this.actions.get(name);
      if (!action) continue;
      action.enabled = weight > 0;
      action.setEffectiveWeight(sum > 0 ? weight / sum : 0);
    }
  }

  private action(name: MotionName): AnimationAction | null {
    const known = this.actions.get(name);
    if (known !== undefined) return known;
    const file = this.motions.get(name);
    const action = file ? this.mixer.clipAction(fit(file, this.vrm)) : null;
    if (action) {
      action.play();
      action.setEffectiveWeight(0);
      // Gaits and the jump are placed by hand; the rest run by themselves.
      if (name === "walk" || name === "run" || name === "jump") action.timeScale = 0;
      if (name === "wave" || name === "point") {
        action.setLoop(LoopOnce, 1);
        action.clampWhenFinished = true;
      }
    }
    this.actions.set(name, action);
    return action;
  }

  dispose(): void {
    this.mixer.stopAllAction();
    this.mixer.uncacheRoot(this.vrm.scene);
  }
}

function smooth(from: number, to: number, value: number): number {
  const share = Math.min(1, Math.max(0, (value - from) / (to - from)));
  return share * share * (3 - 2 * share);
}
