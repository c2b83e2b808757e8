// The live preview of a scene that somebody is about to put up, and the picture taken of it.
import { Mesh, Vector3 } from "three";
import { type LoadedScene, readScene } from "../world/scene";
import { Stage } from "../world/stage";

const TURN_PER_PIXEL = 0.006;
const PICTURE: [number, number] = [1280, 720];

export interface Seen {
  triangles: number;
  seats: number;
}

export class Easel {
  private stage: Stage | null = null;
  private readonly middle = new Vector3();
  private yaw = 0.6;
  private pitch = 0.28;
  private distance = 20;

  constructor(private canvas: HTMLCanvasElement) {
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons === 0) return;
      this.turn(-event.movementX * TURN_PER_PIXEL, event.movementY * TURN_PER_PIXEL);
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.distance *= Math.exp(event.deltaY * 0.001);
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => {
      const steps: Record<string, [number, number]> = {
        ArrowLeft: [-0.15, 0],
        ArrowRight: [0.15, 0],
        ArrowUp: [0, 0.1],
        ArrowDown: [0, -0.1],
      };
      const step = steps[event.key];
      if (!step) return;
      event.preventDefault();
      this.turn(...step);
    });
  }

  private turn(yaw: number, pitch: number): void {
    this.yaw += yaw;
    this.pitch = Math.min(1.4, Math.max(-0.1, this.pitch + pitch));
  }

  /** Shows a scene; throws where the bytes are none. */
  async open(bytes: ArrayBuffer): Promise<Seen> {
    const loaded = await readScene(bytes);
    this.stage ??= new Stage(this.canvas);
    await this.stage.show(loaded);
    this.lookAt(loaded);
    let triangles = 0;
    loaded.root.traverse((object) => {
      if (!(object instanceof Mesh)) return;
      const { index, attributes } = object.geometry;
      triangles += (index?.count ?? attributes.position?.count ?? 0) / 3;
    });
    this.stage.renderer.setAnimationLoop((nowMs) => this.frame(nowMs));
    this.frame(performance.now());
    return { triangles: Math.round(triangles), seats: loaded.seats.length };
  }

  /** Begins with what somebody sees who comes in, or else with the whole from a corner. */
  private lookAt({ spawn, bounds }: LoadedScene): void {
    if (spawn) {
      this.middle.set(Math.sin(spawn.yaw) * 7, 1.7, Math.cos(spawn.yaw) * 7).add(spawn.at);
      [this.yaw, this.pitch, this.distance] = [spawn.yaw + Math.PI, 0.12, 9];
      return;
    }
    bounds.getCenter(this.middle);
    const size = bounds.getSize(new Vector3());
    this.middle.y = bounds.min.y + Math.min(size.y * 0.3, 3);
    [this.yaw, this.pitch] = [0.6, 0.28];
    this.distance = Math.min(60, Math.max(4, Math.hypot(size.x, size.z) * 0.45));
  }

  private frame(nowMs: number): void {
    const { stage, canvas } = this;
    if (!stage || !canvas.isConnected) {
      stage?.renderer.setAnimationLoop(null);
      return;
    }
    const { clientWidth: width, clientHeight: height } = canvas;
    const ratio = stage.renderer.getPixelRatio();
    if (canvas.width !== Math.floor(width * ratio)) stage.resizeTo(width, height);
    this.draw(nowMs);
  }

  private draw(nowMs: number): void {
    const { stage, middle, distance, yaw, pitch } = this;
    if (!stage) return;
    const level = Math.cos(pitch) * distance;
    stage.camera.position.set(
      middle.x + Math.sin(yaw) * level,
      middle.y + Math.sin(pitch) * distance,
      middle.z + Math.cos(yaw) * level,
    );
    stage.camera.lookAt(middle);
    stage.update(middle, 0.016, nowMs / 1000);
    stage.render();
  }

  /** What is seen now, as a JPEG of a fixed size. */
  async picture(): Promise<Blob | null> {
    const { stage, canvas } = this;
    if (!stage) return null;
    stage.renderer.setPixelRatio(1);
    stage.renderer.setSize(...PICTURE, false);
    stage.camera.aspect = PICTURE[0] / PICTURE[1];
    stage.camera.updateProjectionMatrix();
    this.draw(performance.now());
    // Without waiting: the drawn picture is gone after the frame.
    const picture = new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.86));
    stage.resizeTo(canvas.clientWidth, canvas.clientHeight);
    return picture;
  }

  dispose(): void {
    this.stage?.dispose();
    this.stage = null;
  }
}
