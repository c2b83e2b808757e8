// Moving by pointing: an arc to a place, and a ring where somebody would stand.
import {
  BufferGeometry,
  Color,
  Float32BufferAttribute,
  Group,
  Line,
  LineBasicMaterial,
  Mesh,
  MeshBasicMaterial,
  RingGeometry,
  Vector3,
} from "three";
import type { Visit } from "../visit/visit";
import { walkable } from "../world/collision";
import type { Ray } from "./hands";

const POINTS = 40;
const STEP_S = 0.04;
const SPEED = 7.5;
const GRAVITY = 9.81;
/** The node believes a jump of eight metres; this leaves it a little. */
const REACH_M = 7;
const GOOD = new Color("#ffd08a");
const BAD = new Color("#c98080");

export class Pointing {
  readonly group = new Group();
  private readonly line: Line;
  private readonly ring: Mesh;
  private readonly colour = new LineBasicMaterial({ color: GOOD });
  private readonly ringColour = new MeshBasicMaterial({ color: GOOD, transparent: true, opacity: 0.85 });
  private readonly goal = new Vector3();
  private good = false;

  constructor(private readonly visit: Visit) {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new Float32BufferAttribute(new Float32Array(POINTS * 3), 3));
    this.line = new Line(geometry, this.colour);
    this.line.frustumCulled = false;
    this.ring = new Mesh(new RingGeometry(0.24, 0.32, 40).rotateX(-Math.PI / 2), this.ringColour);
    this.group.add(this.line, this.ring);
    this.group.visible = false;
  }

  show(yes: boolean): void {
    this.group.visible = yes;
  }

  aim(ray: Ray): void {
    const { scene, walker } = this.visit;
    if (!scene || !walker) return;
    const positions = this.line.geometry.getAttribute("position");
    const point = ray.origin.clone();
    const speed = ray.direction.clone().multiplyScalar(SPEED);
    const way = new Vector3();
    this.good = false;
    let count = 0;
    for (; count < POINTS; count += 1) {
      positions.setXYZ(count, point.x, point.y, point.z);
      way.copy(speed).multiplyScalar(STEP_S);
      const length = way.length();
      const hit = scene.solid.hit(point, way.clone().divideScalar(length), length);
      if (hit !== null) {
        this.goal.copy(point).addScaledVector(way, hit / length);
        const ground = scene.solid.ground(this.goal.x, this.goal.z, this.goal.y + 0.3, this.goal.y - 0.3);
        this.good =
          ground !== null && walkable(ground) && this.goal.distanceTo(walker.feet) < REACH_M;
        if (ground) this.goal.y = ground.y;
        break;
      }
      point.add(way);
      speed.y -= GRAVITY * STEP_S;
    }
    positions.needsUpdate = true;
    this.line.geometry.setDrawRange(0, count);
    this.ring.visible = this.good;
    this.ring.position.copy(this.goal).y += 0.02;
    this.colour.color.copy(this.good ? GOOD : BAD);
  }

  go(): void {
    const { walker } = this.visit;
    if (!this.good || !walker || walker.seated) return;
    walker.put(this.goal.x, this.goal.y, this.goal.z);
    this.good = false;
  }
}
