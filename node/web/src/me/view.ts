// The camera: over the shoulder or through one's own eyes, never inside of a wall.
import { type PerspectiveCamera, Vector3 } from "three";
import { change, settings } from "../settings";
import type { Solid } from "../world/collision";
import type { Intent } from "./input";

const NEAREST_M = 1.3;
const FURTHEST_M = 8;
const USUAL_M = 3.4;
const PITCH_LIMIT = 1.35;
const WALL_M = 0.22;
/** How fast the camera comes back after a wall has pushed it in, per second. */
const BACK_PER_S = 4;

const back = new Vector3();
const pivot = new Vector3();

export class View {
  /** Where somebody looks: at a yaw of 0 along +Z. */
  yaw = 0;
  pitch = -0.12;
  private wished = USUAL_M;
  private distance = USUAL_M;
  private height = 1.5;

  constructor(private readonly solid: Solid) {}

  get firstPerson(): boolean {
    return settings().firstPerson;
  }

  toggle(): void {
    change({ firstPerson: !this.firstPerson });
    this.wished = USUAL_M;
  }

  turn(intent: Intent): void {
    this.yaw += intent.yaw;
    this.pitch = Math.min(PITCH_LIMIT, Math.max(-PITCH_LIMIT, this.pitch + intent.pitch));
    if (intent.zoom === 0) return;
    if (this.firstPerson) {
      if (intent.zoom > 0) {
        change({ firstPerson: false });
        this.wished = NEAREST_M + 0.2;
      }
      return;
    }
    this.wished = Math.min(FURTHEST_M, this.wished + intent.zoom);
    if (this.wished < NEAREST_M) change({ firstPerson: true });
  }

  /** Follows a body whose eyes are so high over the feet. */
  follow(camera: PerspectiveCamera, feet: Vector3, eyes: number, seconds: number): void {
    this.height += (eyes - this.height) * (1 - Math.exp(-seconds * 8));
    pivot.set(feet.x, feet.y + this.height, feet.z);
    const level = Math.cos(this.pitch);
    back.set(-Math.sin(this.yaw) * level, -Math.sin(this.pitch), -Math.cos(this.yaw) * level);
    if (this.firstPerson) {
      this.distance = 0.4;
      camera.position.copy(pivot).addScaledVector(back, -0.08);
    } else {
      const free = this.solid.hit(pivot, back, this.wished + WALL_M);
      const room = free === null ? this.wished : Math.max(0.35, free - WALL_M);
      const share = room < this.distance ? 1 - Math.exp(-seconds * 30) : 1 - Math.exp(-seconds * BACK_PER_S);
      this.distance += (Math.min(this.wished, room) - this.distance) * share;
      if (this.distance > room) this.distance = room;
      camera.position.copy(pivot).addScaledVector(back, this.distance);
      camera.position.y += 0.12 * Math.min(1, this.distance / USUAL_M);
    }
    camera.rotation.set(this.pitch, this.yaw + Math.PI, 0, "YXZ");
  }
}
