// The stage: renderer, camera, light, sky and the pace of frames, by what the machine can afford.
import {
  ACESFilmicToneMapping,
  DirectionalLight,
  FogExp2,
  HemisphereLight,
  type IUniform,
  PCFShadowMap,
  PerspectiveCamera,
  PMREMGenerator,
  Scene,
  Mesh,
  Vector3,
  type WebGLCubeRenderTarget,
  WebGLRenderer,
} from "three";
import { settings } from "../settings";
import { Lamps } from "./lamps";
import { type Budget, BUDGETS, firstRatio, isSoftware, levelFor, type Level } from "./quality";
import { PLAIN_LIGHT } from "./plain";
import { discard, type LoadedScene, plainMaterials } from "./scene";
import { EVENING, paintSky } from "./sky";
import { makeWater } from "./water";
import { warmFigure } from "./warm";

/** Where the sun stands when the scene does not say. */
const SUN = new Vector3(-0.62, 0.27, 0.74).normalize();
const SHADOW_REACH_M = 22;
/** Of the light of the sky, what bodies are given besides: they are who one looks at. */
const BODY_FILL = 0.35;
/** A frame that takes longer on average makes the picture coarser; a faster one finer again. */
const SLOW_MS = 42;
const FAST_MS = 19;
const ADAPT_FRAMES = 24;

export class Stage {
  readonly renderer: WebGLRenderer;
  readonly scene = new Scene();
  readonly camera = new PerspectiveCamera(62, 1, 0.08, 600);
  readonly level: Level = levelFor(settings().quality);
  readonly budget: Budget = BUDGETS[this.level];
  readonly software: boolean = isSoftware();
  private readonly fog = new FogExp2(EVENING.haze.getHex(), 0.004);
  private readonly dome = new HemisphereLight(EVENING.shade, EVENING.ground, 1.1);
  private readonly sunlight = new DirectionalLight(EVENING.sun, 3.2);
  private readonly sun = SUN.clone();
  private sky: WebGLCubeRenderTarget | null = null;
  private lamps: Lamps | null = null;
  private loaded: LoadedScene | null = null;
  private compiled: Promise<unknown> = Promise.resolve();
  private waterTimes: IUniform<number>[] = [];
  private ratio: number;
  private slowness = 0;
  private frames = 0;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.renderer = new WebGLRenderer({
      canvas,
      // Smooth edges cost a processor that draws four times the work.
      antialias: window.devicePixelRatio < 2 && !this.software,
      powerPreference: "high-performance",
    });
    const { renderer } = this;
    renderer.toneMapping = ACESFilmicToneMapping;
    renderer.toneMappingExposure = 1.0;
    renderer.shadowMap.enabled = this.budget.shadowSize > 0;
    renderer.shadowMap.type = PCFShadowMap;
    renderer.xr.enabled = true;
    this.ratio = firstRatio(this.budget);
    this.scene.fog = this.fog;
    this.scene.add(this.dome);
    this.scene.add(this.sunlight, this.sunlight.target);
    this.castShadows();
    this.resize();
  }

  /** Compiles what draws most bodies, while there is nothing to be seen yet. */
  warm(): void {
    const figure = warmFigure(this.budget.rich);
    this.scene.add(figure);
    this.renderer.compile(this.scene, this.camera);
    figure.removeFromParent();
  }

  /** Puts up a scene, and compiles what draws it before it is first seen. */
  async show(loaded: LoadedScene): Promise<void> {
    if (this.loaded === loaded) {
      await this.compiled;
      return;
    }
    this.clear();
    this.loaded = loaded;
    this.setHour(loaded);
    this.sky?.dispose();
    this.sky = paintSky(this.renderer, this.sun, this.budget.skySize, loaded.sky);
    this.scene.background = this.sky.texture;
    if (this.budget.rich) {
      const light = new PMREMGenerator(this.renderer);
      this.scene.environment = light.fromCubemap(this.sky.texture).texture;
      this.scene.environmentIntensity = 0.55;
      light.dispose();
    } else {
      plainMaterials(loaded.root);
    }
    const { shadowSize } = this.budget;
    loaded.root.traverse((object) => {
      if (!(object instanceof Mesh)) return;
      object.castShadow = shadowSize > 0;
      object.receiveShadow = shadowSize > 0;
    });
    const sky = this.sky.texture;
    this.waterTimes = loaded.waters.map((water) => makeWater(water, sky));
    this.lamps = new Lamps(loaded.lamps, this.budget.lamps);
    this.scene.add(loaded.root, this.lamps.group);
    this.compiled = this.renderer.compileAsync(this.scene, this.camera);
    await this.compiled;
    // What is drawn once, unseen, is ready to be drawn: drivers put off work until then.
    loaded.bounds.getCenter(this.camera.position).y += 2;
    this.camera.updateMatrixWorld();
    this.renderer.setViewport(0, 0, 16, 9);
    this.render();
    this.resize();
  }

  /** Takes the scene down. */
  clear(): void {
    this.renderer.setAnimationLoop(null);
    this.camera.layers.set(0);
    this.lamps?.group.removeFromParent();
    this.lamps = null;
    this.waterTimes = [];
    if (!this.loaded) return;
    this.loaded.root.removeFromParent();
    discard(this.loaded);
    this.loaded = null;
  }

  /** Light and air of the hour, the scene's own where it has them. */
  private setHour(loaded: LoadedScene): void {
    const { sun, sky } = loaded;
    if (sun && sun.towards.y > 0.05) {
      this.sun.copy(sun.towards).normalize();
      this.sunlight.color.copy(sun.colour);
      this.sunlight.intensity = sun.strength;
    }
    this.dome.intensity = this.budget.rich ? 0.85 : 1.7;
    if (sky) {
      this.fog.color.copy(sky.horizon).lerp(sky.top, 0.22);
      this.dome.color.copy(sky.ambient);
      this.dome.groundColor.copy(sky.horizon).lerp(sky.bottom, 0.55);
    }
    const { sunlight, dome } = this;
    // Lambert's reflection of light that comes from one direction, or from everywhere, by a circle's pi.
    PLAIN_LIGHT.uSun.value.copy(this.sun);
    PLAIN_LIGHT.uSunlight.value.copy(sunlight.color).multiplyScalar(sunlight.intensity / Math.PI);
    PLAIN_LIGHT.uAbove.value.copy(dome.color).multiplyScalar(dome.intensity / Math.PI);
    PLAIN_LIGHT.uFill.value.copy(PLAIN_LIGHT.uAbove.value).multiplyScalar(BODY_FILL);
    PLAIN_LIGHT.uBelow.value.copy(dome.groundColor).multiplyScalar(dome.intensity / Math.PI);
  }

  private castShadows(): void {
    const { shadowSize } = this.budget;
    const { shadow } = this.sunlight;
    this.sunlight.castShadow = shadowSize > 0;
    shadow.mapSize.set(shadowSize, shadowSize);
    shadow.camera.left = shadow.camera.bottom = -SHADOW_REACH_M;
    shadow.camera.right = shadow.camera.top = SHADOW_REACH_M;
    shadow.camera.near = 1;
    shadow.camera.far = 160;
    shadow.bias = -0.0004;
    shadow.normalBias = 0.03;
    shadow.radius = 3;
  }

  resize(): void {
    this.resizeTo(window.innerWidth, window.innerHeight);
  }

  resizeTo(width: number, height: number): void {
    const { renderer, camera } = this;
    if (renderer.xr.isPresenting || width === 0) return;
    renderer.setPixelRatio(this.ratio);
    renderer.setSize(width, height, false);
    renderer.setViewport(0, 0, width, height);
    camera.aspect = width / height;
    // A tall screen shows as much to the sides as a person needs to find their way.
    camera.fov = camera.aspect < 1 ? 74 : 62;
    camera.updateProjectionMatrix();
  }

  /** Moves light and water on, around somebody who is there. */
  update(around: Vector3, seconds: number, timeS: number): void {
    this.loaded?.mixer?.update(seconds);
    for (const time of this.waterTimes) time.value = timeS;
    // In whole steps, or the edges of shadows would swim with every step somebody takes.
    const step = (SHADOW_REACH_M * 2) / Math.max(1, this.budget.shadowSize) * 8;
    const { target } = this.sunlight;
    target.position.set(
      Math.round(around.x / step) * step,
      Math.round(around.y / step) * step,
      Math.round(around.z / step) * step,
    );
    this.sunlight.position.copy(target.position).addScaledVector(this.sun, 80);
    this.lamps?.update(around, this.renderer.domElement.height, seconds);
  }

  render(): void {
    this.renderer.render(this.scene, this.camera);
  }

  /** Hears how long frames take, and finds the resolution that the machine can keep up with. */
  pace(frameMs: number): void {
    // To change the size of the picture stops a processor that draws for longer than it gains.
    if (settings().quality !== "auto" || this.software || this.renderer.xr.isPresenting) return;
    this.slowness += Math.min(frameMs, 200);
    this.frames += 1;
    if (this.frames < ADAPT_FRAMES) return;
    const mean = this.slowness / this.frames;
    this.slowness = 0;
    this.frames = 0;
    const most = Math.min(window.devicePixelRatio, this.budget.pixelRatio);
    const wanted = mean > SLOW_MS ? this.ratio * 0.85 : mean < FAST_MS ? this.ratio * 1.08 : this.ratio;
    const ratio = Math.min(most, Math.max(this.budget.leastRatio, wanted));
    if (Math.abs(ratio - this.ratio) < 0.01) return;
    this.ratio = ratio;
    this.resize();
  }

  dispose(): void {
    this.clear();
    this.sky?.dispose();
    this.renderer.dispose();
    this.renderer.forceContextLoss();
    this.canvas.remove();
  }
}
