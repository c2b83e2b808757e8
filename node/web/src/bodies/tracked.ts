// Puts the head and the hands of a body where somebody's headset and controllers are.
import type { VRM, VRMHumanBoneName } from "@pixiv/three-vrm";
import { type Object3D, Quaternion, Vector3 } from "three";
import type { Part, Tracked } from "../net/pose";

const shoulder = new Vector3();
const hand = new Vector3();
const elbow = new Vector3();
const wanted = new Vector3();
const now = new Vector3();
const axis = new Vector3();
const bend = new Vector3();
const turn = new Quaternion();
const outer = new Quaternion();

export class TrackedPose {
  private tracked: Tracked | null = null;

  get now(): Tracked | null {
    return this.tracked;
  }

  aim(tracked: Tracked | null): void {
    this.tracked = tracked;
  }

  /** After the motions have been played, overrides what is tracked. */
  apply(vrm: VRM, root: Object3D, seconds: number): void {
    const { tracked } = this;
    if (!tracked || seconds < 0) return;
    root.updateWorldMatrix(true, false);
    const head = vrm.humanoid.getNormalizedBoneNode("head");
    if (head?.parent) {
      head.parent.getWorldQuaternion(outer).invert();
      root.getWorldQuaternion(turn);
      head.quaternion.copy(outer).multiply(turn).multiply(new Quaternion(...tracked.head.turn));
    }
    reach(vrm, root, "left", tracked.left);
    reach(vrm, root, "right", tracked.right);
    vrm.humanoid.update();
  }
}

/** Two bones and a known distance make a triangle: the elbow bends by the law of cosines. */
function reach(vrm: VRM, root: Object3D, side: "left" | "right", part: Part | null): void {
  if (!part) return;
  const [upper, lower, end] = (["UpperArm", "LowerArm", "Hand"] as const).map((bone) =>
    vrm.humanoid.getNormalizedBoneNode(`${side}${bone}` as VRMHumanBoneName),
  );
  if (!upper || !lower || !end) return;
  upper.getWorldPosition(shoulder);
  lower.getWorldPosition(elbow);
  end.getWorldPosition(hand);
  const [upperLength, lowerLength] = [shoulder.distanceTo(elbow), elbow.distanceTo(hand)];
  root.localToWorld(wanted.fromArray(part.position));
  const reachable = upperLength + lowerLength - 0.001;
  const distance = Math.min(reachable, Math.max(0.05, wanted.distanceTo(shoulder)));
  wanted.sub(shoulder).setLength(distance);
  // The elbow hangs down and outwards.
  root.getWorldQuaternion(turn);
  bend.set(side === "left" ? 0.5 : -0.5, -1, -0.35).applyQuaternion(turn);
  const along = (upperLength ** 2 - lowerLength ** 2 + distance ** 2) / (2 * distance);
  const off = Math.sqrt(Math.max(0, upperLength ** 2 - along ** 2));
  axis.copy(wanted).normalize();
  bend.addScaledVector(axis, -bend.dot(axis)).normalize();
  elbow.copy(shoulder).addScaledVector(axis, along).addScaledVector(bend, off);
  wanted.add(shoulder);
  point(upper, lower, elbow);
  point(lower, end, wanted);
}

/** Turns a bone so that its child lies towards a place. */
function point(bone: Object3D, child: Object3D, at: Vector3): void {
  bone.getWorldPosition(shoulder);
  child.getWorldPosition(now).sub(shoulder).normalize();
  hand.subVectors(at, shoulder).normalize();
  turn.setFromUnitVectors(now, hand);
  bone.getWorldQuaternion(outer);
  turn.multiply(outer);
  bone.parent?.getWorldQuaternion(outer);
  bone.quaternion.copy(outer.invert().multiply(turn));
}
