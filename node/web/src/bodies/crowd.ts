// Everybody else who is here: their bodies, moved by what the node says and drawn as far as it pays.
import { Frustum, Matrix4, type PerspectiveCamera, type Scene, Sphere, Vector3 } from "three";
import { elsewhere } from "../api/session";
import type { Entered } from "../net/codec";
import { DELAY_MS, PoseBuffer, turnBetween } from "../net/interpolation";
import { Motion, type Pose } from "../net/pose";
import { settings } from "../settings";
import type { Seat } from "../world/scene";
import { Body } from "./body";
import type { MotionName } from "./motions";
import { TrackedPose } from "./tracked";

export interface Person {
  entered: Entered;
  body: Body;
  buffer: PoseBuffer | null;
  motion: Motion;
  yaw: number;
  tracked: TrackedPose;
  /** Time that the body has not been animated for. */
  owedS: number;
  /** From the eye, and how many are nearer. */
  distance: number;
  rank: number;
  seen: boolean;
}

export const EMOTES: Record<number, MotionName> = { 1: "wave", 2: "dance", 3: "point" };
/**
 * Who is nearer than this, and among so many nearest, is animated in every frame, the next in every second
 * and every fourth, all others in every eighth: a crowd costs little more than a company.
 */
const PACES: readonly (readonly [metres: number, rank: number, pace: number])[] = [
  [9, 8, 1],
  [18, 16, 2],
  [32, 32, 4],
];
const SLOWEST = 8;
const UNSEEN = 16;
const SPRING_M = 12;
const NAMES_NEAR_M = 9;
const FORMER_MS = 2500;

const frustum = new Frustum();
const matrix = new Matrix4();
const sphere = new Sphere(new Vector3(), 1.6);
const eye = new Vector3();
const goal = new Vector3();

export class Crowd {
  readonly people = new Map<number, Person>();
  /** Who was here before the connection broke: they keep their bodies if they are here again. */
  private readonly former = new Map<string, Person>();
  private formerUntilMs = 0;
  /** Known as soon as the scene is there. */
  seats: readonly Seat[] = [];
  private frame = 0;
  private readonly near: Person[] = [];

  constructor(
    private readonly scene: Scene,
    /** Of the node of the world: whoever lives on another is shown with their home. */
    private readonly serverName: string,
  ) {}

  entered(entered: Entered): void {
    const known = this.people.get(entered.slot);
    if (known && known.entered.userId === entered.userId) {
      const before = known.entered;
      known.entered = entered;
      this.seated(entered.slot, entered.seat);
      if (before.avatar !== entered.avatar || before.fallback !== entered.fallback) {
        void known.body.wear(entered.avatar, entered.fallback);
      }
      return;
    }
    this.left(entered.slot);
    const before = this.former.get(entered.userId);
    if (before) {
      this.former.delete(entered.userId);
      before.buffer = null;
      this.people.set(entered.slot, before);
      this.entered(entered);
      return;
    }
    const body = new Body(entered.userId, elsewhere(entered.userId, this.serverName));
    // Until its first pose is known, a body is nowhere.
    body.group.visible = false;
    const person: Person = {
      entered,
      body,
      buffer: null,
      motion: Motion.Stands,
      yaw: 0,
      tracked: new TrackedPose(),
      owedS: 0,
      distance: 0,
      rank: 0,
      seen: false,
    };
    this.people.set(entered.slot, person);
    this.scene.add(body.group);
    this.seated(entered.slot, entered.seat);
    void body.wear(entered.avatar, entered.fallback);
  }

  left(slot: number): void {
    this.people.get(slot)?.body.dispose();
    this.people.delete(slot);
  }

  pose(slot: number, pose: Pose, timeMs: number): void {
    const person = this.people.get(slot);
    if (!person) return;
    if (person.buffer) {
      person.buffer.add(pose, timeMs);
      return;
    }
    person.buffer = new PoseBuffer(pose, timeMs);
    const { group } = person.body;
    if (!group.visible) {
      group.position.set(pose.x, pose.y, pose.z);
      group.rotation.y = person.yaw = pose.yaw;
    }
    group.visible = true;
  }

  seated(slot: number, place: number | null): void {
    const person = this.people.get(slot);
    if (!person) return;
    person.entered.seat = place;
    person.body.seat = place === null ? null : (this.seats.find((seat) => seat.place === place) ?? null);
  }

  emoted(slot: number, emote: number, nowMs: number): void {
    const name = EMOTES[emote];
    if (name) this.people.get(slot)?.body.emote(name, nowMs);
  }

  byUser(userId: string): Person | null {
    for (const person of this.people.values()) if (person.entered.userId === userId) return person;
    return null;
  }

  takes(place: number): boolean {
    for (const person of this.people.values()) if (person.entered.seat === place) return true;
    return false;
  }

  update(seconds: number, nowMs: number, camera: PerspectiveCamera, perPixel: number): void {
    this.frame += 1;
    if (this.former.size > 0 && nowMs > this.formerUntilMs) this.forgetFormer();
    matrix.multiplyMatrices(camera.projectionMatrix, camera.matrixWorldInverse);
    frustum.setFromProjectionMatrix(matrix);
    camera.getWorldPosition(eye);
    const { names } = settings();
    this.rank();
    for (const [slot, person] of this.people) {
      const { body, buffer } = person;
      if (!buffer) continue;
      this.move(person, buffer, nowMs - DELAY_MS, seconds);
      const { distance } = person;
      sphere.center.copy(body.group.position);
      sphere.center.y += 0.9;
      const seen = frustum.intersectsSphere(sphere);
      person.seen = seen;
      this.animate(slot, person, seconds);
      body.settle(nowMs);
      const named = names === "always" || (names === "near" && distance < NAMES_NEAR_M);
      if (!seen) continue;
      goal.copy(body.group.position).applyMatrix4(camera.matrixWorldInverse);
      body.label(person.entered, named, -goal.z, perPixel, nowMs);
    }
  }

  private move(person: Person, buffer: PoseBuffer, timeMs: number, seconds: number): void {
    const { pose, speed } = buffer.at(timeMs);
    const { body } = person;
    const { position } = body.group;
    const seat = body.seat;
    const sits = seat !== null || pose.motion === Motion.Sits;
    const yaw = seat ? seat.yaw : pose.yaw;
    if (seat) body.seatedAt(seat, goal);
    else goal.set(pose.x, pose.y, pose.z);
    // Sitting down and getting up is a movement, and so is everything that is not a jump elsewhere.
    const near = position.distanceToSquared(goal) < 9 && !pose.jumped;
    const follow = sits || body.doing.sits ? 1 - Math.exp(-seconds * 8) : 1;
    if (near) position.lerp(goal, follow);
    else position.copy(goal);
    person.yaw += turnBetween(person.yaw, yaw) * (1 - Math.exp(-seconds * 14));
    body.group.rotation.y = person.yaw;
    const facing = Math.sin(person.yaw) * Math.sin(pose.yaw) + Math.cos(person.yaw) * Math.cos(pose.yaw);
    person.motion = pose.motion;
    body.doing.speed = sits ? 0 : facing < -0.5 ? -speed : speed;
    body.doing.air = pose.motion === Motion.Air;
    body.doing.sits = sits;
    body.lookYaw = pose.lookYaw;
    body.lookPitch = pose.lookPitch;
    person.tracked.aim(pose.tracked);
  }

  /** Who of those that are seen is how near, as they were in the last frame. */
  private rank(): void {
    this.near.length = 0;
    for (const person of this.people.values()) {
      person.distance = eye.distanceTo(person.body.group.position);
      if (person.seen) this.near.push(person);
    }
    this.near.sort((a, b) => a.distance - b.distance);
    this.near.forEach((person, rank) => {
      person.rank = rank;
    });
  }

  private animate(slot: number, person: Person, seconds: number): void {
    person.owedS += seconds;
    const { distance, rank, seen } = person;
    const found = PACES.find(([reach, most]) => distance < reach && rank < most);
    const pace = seen ? (found?.[2] ?? SLOWEST) : UNSEEN;
    if ((this.frame + slot) % pace !== 0) return;
    const { body } = person;
    const owed = Math.min(0.25, person.owedS);
    body.animate(owed);
    if (body.vrm) person.tracked.apply(body.vrm, body.group, owed);
    if (seen && distance < SPRING_M) body.swing(owed);
    person.owedS = 0;
  }

  /** The visit begins anew: whoever is not named again in a moment has gone. */
  renew(nowMs: number): void {
    for (const person of this.people.values()) this.former.set(person.entered.userId, person);
    this.people.clear();
    this.formerUntilMs = nowMs + FORMER_MS;
  }

  private forgetFormer(): void {
    for (const person of this.former.values()) person.body.dispose();
    this.former.clear();
  }

  clear(): void {
    this.forgetFormer();
    for (const person of this.people.values()) person.body.dispose();
    this.people.clear();
  }
}
