// Controllers and hands in a headset: what is seen of them, where they point, what they press.
import {
  CylinderGeometry,
  type Group,
  Mesh,
  MeshBasicMaterial,
  Quaternion,
  Raycaster,
  SphereGeometry,
  Vector3,
  type WebGLRenderer,
  type XRHandSpace,
} from "three";
import type { Part } from "../net/pose";
import { glove, JointGlove } from "./gloves";
import type { Panel } from "./panel";

export type Side = "left" | "right";

type Pointer = ReturnType<WebGLRenderer["xr"]["getController"]>;

interface Hand {
  pointer: Pointer;
  grip: Group;
  joints: XRHandSpace;
  glove: Group;
  fingers: JointGlove;
  beam: Mesh;
  /** Where the beam meets the panel. */
  dot: Mesh;
  source: XRInputSource | null;
}

export interface Ray {
  origin: Vector3;
  direction: Vector3;
}

/** What somebody presses with, and lets go again. */
export interface Trigger {
  side: Side;
  /** Fingers that were brought together, and no button. */
  pinch: boolean;
}

const BEAM_M = 1.6;
const rays = new CylinderGeometry(0.0012, 0.0035, 1, 8, 1, true).rotateX(-Math.PI / 2).translate(0, 0, -0.5);
const spot = new SphereGeometry(0.008, 12, 10);
const light = new MeshBasicMaterial({ color: "#ffdcab", transparent: true, opacity: 0.75, toneMapped: false, fog: false });
/** Above the panel, which it lies on. */
const SPOT_ORDER = 21;

const at = new Vector3();
const to = new Quaternion();

export class Hands {
  private readonly hands: Hand[] = [];
  private readonly raycaster = new Raycaster();
  /** Takes away again what was put on the renderer's controllers, which outlive every visit. */
  private readonly undo: (() => void)[] = [];

  constructor(
    private readonly renderer: WebGLRenderer,
    rig: Group,
  ) {
    for (const index of [0, 1]) {
      const hand = this.hand(index);
      rig.add(hand.pointer, hand.grip, hand.joints);
      this.hands.push(hand);
    }
  }

  private hand(index: number): Hand {
    const { xr } = this.renderer;
    const [pointer, grip, joints] = [xr.getController(index), xr.getControllerGrip(index), xr.getHand(index)];
    const [beam, dot] = [new Mesh(rays, light), new Mesh(spot, light)];
    dot.renderOrder = SPOT_ORDER;
    const hand: Hand = { pointer, grip, joints, glove: glove(), fingers: new JointGlove(joints), beam, dot, source: null };
    pointer.add(beam, dot);
    grip.add(hand.glove);
    const connected = ({ data }: { data: XRInputSource }): void => {
      hand.source = data;
      hand.glove.scale.x = data.handedness === "left" ? -1 : 1;
    };
    const disconnected = (): void => {
      hand.source = null;
    };
    pointer.addEventListener("connected", connected);
    pointer.addEventListener("disconnected", disconnected);
    this.undo.push(() => {
      pointer.removeEventListener("connected", connected);
      pointer.removeEventListener("disconnected", disconnected);
      hand.fingers.dispose();
      for (const part of [beam, dot, hand.glove, pointer, grip, joints]) part.removeFromParent();
    });
    return hand;
  }

  /** Tells of triggers and pinches: where one begins, and where it ends. */
  listen(pressed: (trigger: Trigger) => void, released: (trigger: Trigger) => void): void {
    for (const hand of this.hands) {
      const { pointer } = hand;
      const tell = (deed: (trigger: Trigger) => void) => (): void => {
        const { source } = hand;
        if (source?.handedness === "left" || source?.handedness === "right") {
          deed({ side: source.handedness, pinch: Boolean(source.hand) });
        }
      };
      const [start, end] = [tell(pressed), tell(released)];
      pointer.addEventListener("selectstart", start);
      pointer.addEventListener("selectend", end);
      this.undo.push(() => {
        pointer.removeEventListener("selectstart", start);
        pointer.removeEventListener("selectend", end);
      });
    }
  }

  dispose(): void {
    for (const undo of this.undo) undo();
  }

  /** Whether somebody is here with nothing but their hands. */
  get bare(): boolean {
    return this.hands.some(({ source }) => Boolean(source?.hand));
  }

  /** Both sticks, and whether a button that calls the panel is held. */
  read(): { left: [number, number]; right: [number, number]; buttons: boolean } {
    const found: Record<Side, [number, number]> = { left: [0, 0], right: [0, 0] };
    let buttons = false;
    for (const { source } of this.hands) {
      const pad = source?.gamepad;
      if (!pad || source.hand || (source.handedness !== "left" && source.handedness !== "right")) continue;
      found[source.handedness] = [pad.axes[2] ?? pad.axes[0] ?? 0, pad.axes[3] ?? pad.axes[1] ?? 0];
      buttons ||= pad.buttons[4]?.pressed === true || pad.buttons[5]?.pressed === true;
    }
    return { ...found, buttons };
  }

  private of(side: Side): Hand | null {
    return this.hands.find(({ source }) => source?.handedness === side) ?? null;
  }

  has(side: Side): boolean {
    return this.of(side) !== null;
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
      hand.fingers.update();
      const hit = this.hit(hand, panel);
      hand.beam.scale.z = hit?.distance ?? BEAM_M;
      hand.beam.visible = hand.source !== null && panel.mesh.visible;
      hand.dot.visible = hit !== null;
      hand.dot.position.z = -(hit?.distance ?? 0);
      if (hit) panel.hover(hit);
    }
  }

  /** Presses what a hand points at on the panel, if it does. */
  press(side: Side, panel: Panel): boolean {
    const hand = this.of(side);
    const hit = hand ? this.hit(hand, panel) : null;
    if (hit) panel.press(hit);
    return hit !== null;
  }

  /** Where a hand is in the room, through the given way of writing it down; null if it is not tracked. */
  part(side: Side, write: (at: Vector3, to: Quaternion) => Part): Part | null {
    const hand = this.of(side);
    if (!hand?.source) return null;
    const tracked = hand.source.hand ? hand.joints : hand.grip;
    if (!tracked.visible) return null;
    const place = hand.source.hand ? (hand.joints.joints.wrist ?? hand.pointer) : hand.grip;
    return write(at.copy(place.position), to.copy(place.quaternion));
  }
}
