// Moving by pointing: an arc of lights to a place, and a ring where somebody would stand.
import {
  type BufferGeometry,
  Color,
  CylinderGeometry,
  Float32BufferAttribute,
  Group,
  InstancedMesh,
  type Material,
  Matrix4,
  Mesh,
  MeshBasicMaterial,
  Quaternion,
  RingGeometry,
  CircleGeometry,
  DoubleSide,
  SphereGeometry,
  Vector3,
} from "three";
import type { Visit } from "../visit/visit";
import { walkable } from "../world/collision";
import type { Ray } from "./hands";

const STEPS = 60;
const STEP_S = 0.03;
const SPEED = 7.5;
const GRAVITY = 9.81;
/** The node believes a jump of eight metres; this leaves it a little. */
const REACH_M = 7;
const GOOD = new Color("#ffd08a");
const BAD = new Color("#e2736b");
/** Between two lights of the arc, which flow along it. */
const GAP_M = 0.16;
const FLOW_M_PER_S = 0.5;
const MOST_LIGHTS = 80;
const LIGHT_M = 0.015;
/** About as high over the ground the node looks whether a wall is in the way (REALTIME-5). */
const WALL_HEIGHTS_M = [0.5, 1.35];
/** Lights far away are larger, so that they look as large. */
const LIGHT_PER_M = 0.0045;
const GLOW_M = 0.55;

const matrix = new Matrix4();
const turn = new Quaternion();
const scale = new Vector3();
const point = new Vector3();
const way = new Vector3();
const speed = new Vector3();
const from = new Vector3();

export class Pointing {
  readonly group = new Group();
  private readonly colour = shining(1);
  private readonly faint = shining(0.3);
  private readonly lights = new InstancedMesh(new SphereGeometry(1, 10, 8), this.colour, MOST_LIGHTS);
  private readonly place = new Group();
  private readonly goal = new Vector3();
  private readonly line: Vector3[] = [];
  private flow = 0;
  private good = false;

  constructor(private readonly visit: Visit) {
    this.lights.frustumCulled = false;
    const glow = shining(1);
    glow.vertexColors = true;
    glow.color = this.colour.color;
    this.place.add(
      new Mesh(new RingGeometry(0.3, 0.37, 48).rotateX(-Math.PI / 2), this.colour),
      new Mesh(new CircleGeometry(0.3, 48).rotateX(-Math.PI / 2), this.faint),
      new Mesh(rising(), glow),
    );
    this.faint.color = this.colour.color;
    this.group.add(this.lights, this.place);
    this.group.visible = false;
  }

  dispose(): void {
    this.lights.dispose();
    this.group.traverse((part) => {
      if (!(part instanceof Mesh)) return;
      (part.geometry as BufferGeometry).dispose();
      (part.material as Material).dispose();
    });
  }

  show(yes: boolean): void {
    this.group.visible = yes;
  }

  aim(ray: Ray, seconds: number): void {
    this.follow(ray);
    this.flow = (this.flow + seconds * FLOW_M_PER_S) % GAP_M;
    this.drawLights(ray.origin);
    this.place.visible = this.good;
    this.place.position.copy(this.goal).y += 0.02;
    this.colour.color.copy(this.good ? GOOD : BAD);
  }

  /** Lets a point fly from the hand until it meets something. */
  private follow({ origin, direction }: Ray): void {
    const { scene, walker } = this.visit;
    this.good = false;
    this.line.length = 0;
    if (!scene || !walker) return;
    point.copy(origin);
    speed.copy(direction).multiplyScalar(SPEED);
    for (let step = 0; step < STEPS; step += 1) {
      this.line.push(point.clone());
      way.copy(speed).multiplyScalar(STEP_S);
      const length = way.length();
      const hit = scene.solid.hit(point, way.clone().divideScalar(length), length);
      if (hit !== null) {
        this.goal.copy(point).addScaledVector(way, hit / length);
        const ground = scene.solid.ground(this.goal.x, this.goal.z, this.goal.y + 0.3, this.goal.y - 0.3);
        if (ground) this.goal.y = ground.y;
        this.good = ground !== null && walkable(ground) && this.believed(walker.feet);
        this.line.push(this.goal.clone());
        return;
      }
      point.add(way);
      speed.y -= GRAVITY * STEP_S;
    }
  }

  /** Whether the node will let somebody go there: it is near enough, and nothing is in the way. */
  private believed(feet: Vector3): boolean {
    const { scene } = this.visit;
    if (!scene || this.goal.distanceTo(feet) > REACH_M) return false;
    const top = Math.max(feet.y, this.goal.y);
    return WALL_HEIGHTS_M.every((height) => {
      // Up, across and down: over the edge of stairs, and through nothing.
      from.copy(feet).y += height;
      const corners = [feet.clone().setY(top), this.goal.clone().setY(top), this.goal.clone()];
      return corners.every((corner) => {
        corner.y += height;
        const length = way.subVectors(corner, from).length();
        const free = length < 1e-4 || scene.solid.hit(from, way.divideScalar(length), length) === null;
        from.copy(corner);
        return free;
      });
    });
  }

  /** Puts the lights along the line, all as far from each other. */
  private drawLights(eye: Vector3): void {
    let count = 0;
    let next = GAP_M + this.flow;
    for (let index = 1; index < this.line.length; index += 1) {
      const [low, high] = [this.line[index - 1], this.line[index]];
      if (!low || !high) break;
      const length = low.distanceTo(high);
      for (; next < length && count < MOST_LIGHTS; next += GAP_M) {
        point.copy(low).lerp(high, next / length);
        scale.setScalar(LIGHT_M + LIGHT_PER_M * point.distanceTo(eye));
        this.lights.setMatrixAt(count, matrix.compose(point, turn, scale));
        count += 1;
      }
      next -= length;
    }
    this.lights.count = count;
    this.lights.instanceMatrix.needsUpdate = true;
  }

  go(): void {
    const { walker } = this.visit;
    if (!this.good || !walker || walker.seated) return;
    walker.put(this.goal.x, this.goal.y, this.goal.z);
    this.good = false;
  }
}

function shining(opacity: number): MeshBasicMaterial {
  return new MeshBasicMaterial({
    color: GOOD.clone(),
    transparent: true,
    opacity,
    toneMapped: false,
    fog: false,
    depthWrite: false,
    side: DoubleSide,
  });
}

/** A glow that rises from the ring and fades. */
function rising(): CylinderGeometry {
  const geometry = new CylinderGeometry(0.335, 0.335, GLOW_M, 48, 1, true).translate(0, GLOW_M / 2, 0);
  const positions = geometry.getAttribute("position");
  const colours = new Float32Array(positions.count * 4);
  for (let index = 0; index < positions.count; index += 1) {
    colours.set([1, 1, 1, positions.getY(index) < GLOW_M / 2 ? 0.5 : 0], index * 4);
  }
  geometry.setAttribute("color", new Float32BufferAttribute(colours, 4));
  return geometry;
}
