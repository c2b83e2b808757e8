// The live preview of a body: a small stage of its own, turned by dragging.
import type { VRM } from "@pixiv/three-vrm";
import {
  ACESFilmicToneMapping,
  CircleGeometry,
  DirectionalLight,
  Group,
  HemisphereLight,
  Mesh,
  MeshBasicMaterial,
  PerspectiveCamera,
  Scene,
  WebGLRenderer,
} from "three";
import { Animator, type Doing } from "../bodies/animator";
import { discard, heightOf, loadVrm } from "../bodies/library";
import { loadMotions } from "../bodies/motions";

const TURN_PER_PIXEL = 0.011;
const WAVE_S = 2.6;

export class Mirror {
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(27, 1, 0.1, 30);
  private readonly turntable = new Group();
  private vrm: VRM | null = null;
  private animator: Animator | null = null;
  private readonly doing: Doing = { speed: 0, air: false, sits: false, emote: null };
  private lastMs = 0;
  private shownS = 0;
  private turn = 0.35;
  /** Of the body that is shown, with what it wears on its head. */
  private heightM = 1.75;
  private wish = 0;

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.renderer = new WebGLRenderer({ canvas, alpha: true, antialias: true });
    this.renderer.toneMapping = ACESFilmicToneMapping;
    const sun = new DirectionalLight("#ffe2bd", 2.6);
    sun.position.set(1.5, 2.5, 3);
    const rim = new DirectionalLight("#ffae7a", 1.6);
    rim.position.set(-2, 1.5, -2.5);
    const floor = new Mesh(
      new CircleGeometry(0.62, 48).rotateX(-Math.PI / 2),
      new MeshBasicMaterial({ color: "#2b2548", transparent: true, opacity: 0.35 }),
    );
    this.scene.add(new HemisphereLight("#cfd4ff", "#a3766c", 1.7), sun, rim, this.turntable, floor);
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons !== 0) this.turn += event.movementX * TURN_PER_PIXEL;
    });
    canvas.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") this.turn -= 0.3;
      if (event.key === "ArrowRight") this.turn += 0.3;
    });
    this.renderer.setAnimationLoop((nowMs) => this.frame(nowMs));
  }

  /** Throws where the body cannot be shown. */
  async show(url: string): Promise<void> {
    this.wish += 1;
    const wish = this.wish;
    const [vrm, motions] = await Promise.all([loadVrm(url), loadMotions()]);
    if (wish !== this.wish) {
      discard(vrm);
      return;
    }
    this.clear();
    this.vrm = vrm;
    this.animator = new Animator(vrm, motions);
    this.turntable.add(vrm.scene);
    this.heightM = Math.min(4, Math.max(1, heightOf(vrm)));
    this.doing.emote = "wave";
    this.shownS = 0;
  }

  private clear(): void {
    this.animator?.dispose();
    if (!this.vrm) return;
    this.vrm.scene.removeFromParent();
    discard(this.vrm);
    this.vrm = null;
  }

  private frame(nowMs: number): void {
    const seconds = Math.min(0.1, (nowMs - this.lastMs) / 1000);
    this.lastMs = nowMs;
    this.shownS += seconds;
    if (this.shownS > WAVE_S) this.doing.emote = null;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (width === 0) return;
    const ratio = Math.min(2, window.devicePixelRatio);
    if (this.canvas.width !== Math.floor(width * ratio)) {
      this.renderer.setPixelRatio(ratio);
      this.renderer.setSize(width, height, false);
      this.camera.aspect = width / height;
      this.camera.updateProjectionMatrix();
    }
    const middle = this.heightM / 2;
    this.camera.position.set(0, middle + 0.3, 0.7 + this.heightM * 2.35);
    this.camera.lookAt(0, middle - 0.02, 0);
    this.turntable.rotation.y = this.turn;
    if (this.vrm) {
      this.animator?.update(seconds, this.doing);
      this.vrm.update(seconds);
    }
    this.renderer.render(this.scene, this.camera);
  }

  dispose(): void {
    this.wish += 1;
    this.clear();
    this.renderer.setAnimationLoop(null);
    this.renderer.dispose();
    this.renderer.forceContextLoss();
  }
}
