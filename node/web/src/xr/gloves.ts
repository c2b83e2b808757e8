// What is seen of a hand: a glove around a controller, and one that follows every joint of bare fingers.
import {
  type BufferGeometry,
  CatmullRomCurve3,
  CylinderGeometry,
  Group,
  InstancedMesh,
  Matrix4,
  Mesh,
  MeshLambertMaterial,
  Quaternion,
  SphereGeometry,
  TubeGeometry,
  Vector3,
  type XRHandSpace,
} from "three";
import { mergeGeometries } from "three/addons/utils/BufferGeometryUtils.js";

type Place = readonly [number, number, number];

const wool = new MeshLambertMaterial({ color: "#f1e2cd" });
const hem = new MeshLambertMaterial({ color: "#e0925a" });

/*
 * A right hand, in metres: fingers close around the Z axis with the thumb at its negative end, the back of
 * the hand is at positive X and the arm at positive Y.
 */
const INDEX: Place[] = [[0.024, -0.014, -0.03], [0.022, -0.05, -0.036], [0.014, -0.078, -0.041], [0.003, -0.1, -0.044]];
const CURLED: Place[] = [[0.024, -0.012, 0], [0.022, -0.04, 0], [0.004, -0.055, 0], [-0.014, -0.044, 0], [-0.016, -0.022, 0]];
const THUMB: Place[] = [[0.012, 0.034, -0.034], [-0.004, 0.012, -0.05], [-0.012, -0.014, -0.054], [-0.014, -0.034, -0.05]];

function finger(line: readonly Place[], radius: number, aside = 0): BufferGeometry[] {
  const points = line.map(([x, y, z]) => new Vector3(x, y, z + aside));
  const tube = new TubeGeometry(new CatmullRomCurve3(points), 14, radius, 10);
  const end = points[points.length - 1] ?? new Vector3();
  return [tube, new SphereGeometry(radius, 10, 8).translate(end.x, end.y, end.z)];
}

function hand(): BufferGeometry {
  const palm = new SphereGeometry(1, 20, 14).scale(0.019, 0.05, 0.043).translate(0.021, 0.022, 0);
  const wrist = new CylinderGeometry(0.025, 0.026, 0.04, 18).translate(0.018, 0.062, 0);
  const curled = [-0.009, 0.011, 0.03].flatMap((aside, index) => finger(CURLED, 0.0115 - index * 0.0008, aside));
  return mergeGeometries([palm, wrist, ...finger(INDEX, 0.0112), ...curled, ...finger(THUMB, 0.0125)]);
}

/** How far a wrist bends, from that to the space of a grip: its handle leans forward, and the arm is behind it. */
const WRIST = 1.35;

let made: { glove: BufferGeometry; cuff: BufferGeometry } | null = null;

/** The glove of a right hand; mirrored along X it is that of a left one. */
export function glove(): Group {
  made ??= { glove: hand(), cuff: new CylinderGeometry(0.031, 0.035, 0.03, 20).translate(0.018, 0.085, 0) };
  const group = new Group().add(new Mesh(made.glove, wool), new Mesh(made.cuff, hem));
  group.rotation.x = WRIST;
  return group;
}

const FINGERS = ["thumb", "index-finger", "middle-finger", "ring-finger", "pinky-finger"] as const;
const PALM_RADIUS_M = 0.013;
const SMALLEST_RADIUS_M = 0.006;

/** Joints of a hand by name, from the wrist to the tip of each finger, and what lies between them. */
function bonesOf(): { joints: string[]; bones: [string, string][] } {
  const chains = FINGERS.map((name) => {
    const middle = name === "thumb" ? [] : [`${name}-phalanx-intermediate`];
    return ["wrist", `${name}-metacarpal`, `${name}-phalanx-proximal`, ...middle, `${name}-phalanx-distal`, `${name}-tip`];
  });
  const along = (chain: string[]): [string, string][] =>
    chain.slice(1).map((joint, index) => [chain[index] ?? joint, joint]);
  const across = (bone: string): [string, string][] => along(FINGERS.slice(1).map((name) => `${name}-${bone}`));
  const bones = [...chains.flatMap(along), ...across("metacarpal"), ...across("phalanx-proximal")];
  return { joints: [...new Set(chains.flat())], bones };
}

const { joints, bones } = bonesOf();
const ball = new SphereGeometry(1, 12, 10);
const rod = new CylinderGeometry(1, 1, 1, 12, 1, true);
const UP = new Vector3(0, 1, 0);
const from = new Vector3();
const way = new Vector3();
const scale = new Vector3();
const turn = new Quaternion();
const matrix = new Matrix4();

/** Balls at the joints of a hand that is tracked, and rods between them. */
export class JointGlove {
  private readonly balls = new InstancedMesh(ball, wool, joints.length);
  private readonly rods = new InstancedMesh(rod, wool, bones.length);

  constructor(private readonly space: XRHandSpace) {
    for (const mesh of [this.balls, this.rods]) {
      mesh.frustumCulled = false;
      space.add(mesh);
    }
  }

  update(): void {
    if (!this.space.visible) return;
    joints.forEach((name, index) => {
      const radius = this.radius(name);
      matrix.compose(this.place(name, from), turn.identity(), scale.setScalar(radius));
      this.balls.setMatrixAt(index, matrix);
    });
    bones.forEach(([low, high], index) => {
      const radius = (this.radius(low) + this.radius(high)) / 2;
      this.place(low, from);
      this.place(high, way).sub(from);
      from.addScaledVector(way, 0.5);
      const length = way.length();
      turn.setFromUnitVectors(UP, way.normalize());
      matrix.compose(from, turn, scale.set(radius, length, radius));
      this.rods.setMatrixAt(index, matrix);
    });
    this.balls.instanceMatrix.needsUpdate = this.rods.instanceMatrix.needsUpdate = true;
  }

  dispose(): void {
    for (const mesh of [this.balls, this.rods]) mesh.removeFromParent().dispose();
  }

  private joint(name: string): XRHandSpace["joints"][XRHandJoint] {
    return this.space.joints[name as XRHandJoint];
  }

  private place(name: string, into: Vector3): Vector3 {
    const joint = this.joint(name);
    return joint ? into.copy(joint.position) : into.set(0, 0, 0);
  }

  /** A palm is thicker than its bones. */
  private radius(name: string): number {
    const told = Math.max(SMALLEST_RADIUS_M, this.joint(name)?.jointRadius ?? 0);
    return name === "wrist" || name.endsWith("metacarpal") ? Math.max(PALM_RADIUS_M, told * 0.8) : told;
  }
}
