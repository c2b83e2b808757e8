// Moves a body through what is solid: it slides along walls, climbs steps, and stands on ground.
import { type BufferGeometry, Box3, DoubleSide, Line3, Ray, Vector3 } from "three";
import { MeshBVH } from "three-mesh-bvh";

/** A body is half a metre wide and 1.6 m high (specs/realtime.md, "Movement"). */
export const RADIUS = 0.25;
export const HEIGHT = 1.6;
export const STEP = 0.4;
const STEEPEST = Math.cos((50 * Math.PI) / 180);
/** Never further than this at once, or a body could step over a thin wall. */
const STRIDE = 0.12;
/**
 * The ground is felt under the middle of a body, as the node does it, and close around, so that a crack
 * is no fall.
 */
const FEELERS: readonly (readonly [number, number])[] = [
  [0, 0],
  [0.06, 0],
  [-0.06, 0],
  [0, 0.06],
  [0, -0.06],
];

export interface Ground {
  y: number;
  /** The upward part of the surface's normal. */
  up: number;
  /** The level parts of it: downhill. */
  nx: number;
  nz: number;
}

const segment = new Line3();
const box = new Box3();
const ray = new Ray();
const onTriangle = new Vector3();
const onSegment = new Vector3();
const push = new Vector3();
const normal = new Vector3();
const goal = new Vector3();
const flat = new Vector3();

export class Solid {
  private readonly bvh: MeshBVH | null;
  readonly bounds = new Box3();

  constructor(geometry: BufferGeometry) {
    const count = geometry.getAttribute("position").count;
    this.bvh = count > 0 ? new MeshBVH(geometry, { targetLeafSize: 8 }) : null;
    this.bvh?.getBoundingBox(this.bounds);
  }

  /** How far along the direction, a unit vector, the first surface is, or null within the distance. */
  hit(from: Vector3, direction: Vector3, distance: number): number | null {
    ray.origin.copy(from);
    ray.direction.copy(direction);
    const found = this.bvh?.raycastFirst(ray, DoubleSide, 0, distance);
    if (!found) return null;
    if (found.face) normal.copy(found.face.normal);
    return found.distance;
  }

  /** The highest ground between the two heights. */
  ground(x: number, z: number, top: number, bottom: number): Ground | null {
    let best: Ground | null = null;
    for (const [dx, dz] of FEELERS) {
      goal.set(x + dx, top, z + dz);
      const distance = this.hit(goal, DOWN, top - bottom);
      if (distance === null) continue;
      const face = normal.y < 0 ? -1 : 1;
      const found = {
        y: top - distance,
        up: Math.abs(normal.y),
        nx: normal.x * face,
        nz: normal.z * face,
      };
      // The middle decides how steep it is; around it only what can be stood on counts.
      if (dx === 0 && dz === 0) best = found;
      else if (found.up >= STEEPEST && (!best || (best.up >= STEEPEST && found.y > best.y + 0.02))) {
        best = found;
      }
    }
    return best;
  }

  /** Moves level, as far as walls and slopes let it; the feet stay at their height. */
  slide(feet: Vector3, dx: number, dz: number, grounded: boolean): void {
    const strides = Math.max(1, Math.ceil(Math.hypot(dx, dz) / STRIDE));
    for (let stride = 0; stride < strides; stride += 1) {
      const [x, z] = [feet.x, feet.z];
      feet.x += dx / strides;
      feet.z += dz / strides;
      this.pushOut(feet);
      const slope = grounded ? this.tooSteep(feet) : null;
      if (slope) this.alongSlope(feet, x, z, slope);
    }
  }

  /** Rises no further than the ceiling lets it. */
  headroom(feet: Vector3): number {
    goal.set(feet.x, feet.y + HEIGHT - 0.2, feet.z);
    return (this.hit(goal, UP, 2) ?? 2) - 0.2;
  }

  /** The slope under a body that would have to climb it. */
  private tooSteep(feet: Vector3): Ground | null {
    const under = this.ground(feet.x, feet.z, feet.y + STEP + 0.05, feet.y - 0.1);
    return under && under.up < STEEPEST && under.y > feet.y + 0.01 ? under : null;
  }

  /** Takes the uphill part out of the last step, or else all of it. */
  private alongSlope(feet: Vector3, x: number, z: number, slope: Ground): void {
    flat.set(slope.nx, 0, slope.nz).normalize();
    const uphill = Math.min(0, (feet.x - x) * flat.x + (feet.z - z) * flat.z);
    feet.x -= flat.x * uphill;
    feet.z -= flat.z * uphill;
    if (this.tooSteep(feet)) {
      feet.x = x;
      feet.z = z;
    }
  }

  /** The part of a body above a step must not be in anything. */
  private pushOut(feet: Vector3): void {
    const { bvh } = this;
    if (!bvh) return;
    for (let round = 0; round < 3; round += 1) {
      segment.start.set(feet.x, feet.y + STEP + RADIUS, feet.z);
      segment.end.set(feet.x, feet.y + HEIGHT - RADIUS, feet.z);
      box.makeEmpty().expandByPoint(segment.start).expandByPoint(segment.end);
      box.expandByScalar(RADIUS);
      push.set(0, 0, 0);
      bvh.shapecast({
        intersectsBounds: (bounds) => bounds.intersectsBox(box),
        intersectsTriangle: (triangle) => {
          const distance = triangle.closestPointToSegment(segment, onTriangle, onSegment);
          if (distance >= RADIUS) return false;
          flat.subVectors(onSegment, onTriangle).setY(0);
          const level = flat.length();
          if (level < 1e-4) return false;
          // Pushed out level only: what is above or below must not lift a body.
          const depth = Math.sqrt(RADIUS ** 2 - Math.min(RADIUS, Math.abs(onSegment.y - onTriangle.y)) ** 2) - level;
          if (depth <= 0) return false;
          flat.multiplyScalar(depth / level);
          segment.start.add(flat);
          segment.end.add(flat);
          push.add(flat);
          return false;
        },
      });
      feet.x += push.x;
      feet.z += push.z;
      if (push.lengthSq() < 1e-8) return;
    }
  }
}

export function walkable(ground: Ground): boolean {
  return ground.up >= STEEPEST;
}

const DOWN = new Vector3(0, -1, 0);
const UP = new Vector3(0, 1, 0);
