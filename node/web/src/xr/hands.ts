// Controllers and hands in a headset: what is seen of them, where they point, what they press.
import {
  BufferGeometry,
  CapsuleGeometry,
  type Group,
  Line,
  LineBasicMaterial,
  Mesh,
  MeshLambertMaterial,
  Quaternion,
  Raycaster,
  SphereGeometry,
  Vector3,
  type WebGLRenderer,
} from "three";
import type { Part } from "../net/pose";
import type { Panel } from "./panel";

type Side = "left" | "right";

type Pointer = ReturnType<WebGLRenderer["xr"]["getController"]>;

interface Hand {
  pointer: Pointer;
  grip: Group;
  joints: Group;
  beam: Line;
  source: XRInputSource | null;
}

const BEAM_M = 4;
const glove = new CapsuleGeometry(0.032, 0.07, 6, 14).rotateX(Math.PI / 2.4);
const knuckle = new SphereGeometry(0.009, 10, 8);
const beamLine = new BufferGeometry().setFromPoints([new Vector3(), new Vector3(0, 0, -1)]);

const at = new Vector3();
const to = new Quaternion();

export interface Ray {
  origin: Vector3;
  direction: Vector3;
}

export class Hands {
  private readonly hands: Hand[] = [];
  private readonly raycaster = new Raycaster();
  private readonly skin = new MeshLambertMaterial({ color: "#f3c9a0" });
  private listeners: (() => void)[] = [];

  constructor(renderer: WebGLRenderer, rig: Group) {
    for (const index of [0, 1]) {
      const pointer = renderer.xr.getController(index);
      const grip = renderer.xr.getControllerGrip(index);
      const joints = renderer.xr.getHand(index);
      const beam = new Line(beamLine, new LineBasicMaterial({ color: "#ffd9a3", transparent: true, opacity: 0.7 }));
      beam.scale.z = BEAM_M;
      pointer.add(beam);
      grip.add(new Mesh(glove, this.skin));
      const hand: Hand = { pointer, grip, joints, beam, source: null };
      pointer.addEventListener("connected", (event) => {
        hand.source = event.data;
        grip.visible = !event.data.hand;
        if (event.data.hand) this.showJoints(joints);
      });
      pointer.addEventListener("disconnected", () => {
        hand.source = null;
      });
      rig.add(pointer, grip, joints);
      this.hands.push(hand);
    }
  }

  /** Joints come with the first frame in which the hand is tracked. */
  private showJoints(joints: Group): void {
    setTimeout(() => {
      for (const joint of joints.children) {
        if (joint.children.length === 0) joint.add(new Mesh(knuckle, this.skin));
      }
    }, 300);
  }

  listen(select: (which: number) => void): void {
    this.hands.forEach((hand, which) => {
      const pressed = (): void => select(which);
      hand.pointer.addEventListener("selectstart", pressed);
      this.listeners.push(() => hand.pointer.removeEventListener("selectstart", pressed));
    });
  }

  ignore(): void {
    for (const stop of this.listeners) stop();
    this.listeners = [];
  }

  /** Both sticks, and whether a button that calls the panel is held. */
  read(): { left: [number, number]; right: [number, number]; buttons: boolean } {
    const found: Record<Side, [number, number]> = { left: [0, 0], right: [0, 0] };
    let buttons = false;
    for (const { source } of this.hands) {
      const pad = source?.gamepad;
      if (!pad || (source.handedness !== "left" && source.handedness !== "right")) continue;
      found[source.handedness] = [pad.axes[2] ?? pad.axes[0] ?? 0, pad.axes[3] ?? pad.axes[1] ?? 0];
      buttons ||= pad.buttons[4]?.pressed === true || pad.buttons[5]?.pressed === true;
    }
    return { ...found, buttons };
  }

  private of(side: Side): Hand | null {
    return this.hands.find(({ source }) => source?.handedness === side) ?? null;
  }

  ray(side: Side): Ray {
    const hand = this.of(side) ?? this.hands[0];
    const origin = new Vector3();
    const direction = new Vector3(0, 0, -1);
    if (hand) {
      origin.setFromMatrixPosition(hand.pointer.matrixWorld);
      direction.transformDirection(hand.pointer.matrixWorld);
    }
    return { origin, direction };
  }

  private hit(hand: Hand, panel: Panel): { x: number; y: number; distance: number } | null {
    if (!panel.mesh.visible || !hand.source) return null;
    this.raycaster.ray.origin.setFromMatrixPosition(hand.pointer.matrixWorld);
    this.raycaster.ray.direction.set(0, 0, -1).transformDirection(hand.pointer.matrixWorld);
    const found = this.raycaster.intersectObject(panel.mesh, false)[0];
    return found?.uv ? { x: found.uv.x, y: 1 - found.uv.y, distance: found.distance } : null;
  }

  /** Ends the beams where they meet the panel, and marks what they point at. */
  point(panel: Panel): void {
    panel.hover(null);
    for (const hand of this.hands) {
      const hit = this.hit(hand, panel);
      hand.beam.scale.z = hit?.distance ?? BEAM_M;
      hand.beam.visible = hand.source !== null && panel.mesh.visible;
      if (hit) panel.hover(hit);
    }
  }

  press(which: number, panel: Panel): boolean {
    const hand = this.hands[which];
    const hit = hand ? this.hit(hand, panel) : null;
    if (hit) panel.press(hit);
    return hit !== null;
  }

  /** Where a hand is in the room, through the given way of writing it down; null if it is not tracked. */
  part(side: Side, write: (at: Vector3, to: Quaternion) => Part): Part | null {
    const hand = this.of(side);
    if (!hand) return null;
    const place = hand.source?.hand ? (hand.joints.children[0] ?? hand.pointer) : hand.grip;
    return write(at.copy(place.position), to.copy(place.quaternion));
  }
}
