// The portals of a world as they are seen: a surface in each arch with the place behind it, and a sign above.
import { CanvasTexture, Color, Group, Mesh, type PerspectiveCamera, type ShaderMaterial, SRGBColorSpace, Vector3 } from "three";
import { type Gate, seenFrom } from "../visit/crossing";
import { Sign, type SignText } from "./sign";
import { surfaceGeometry, surfaceMaterial, type SurfaceUniforms } from "./surface";

/** A portal that stands somewhere. */
export interface Standing extends Gate, SignText {
  /** Whether it needs an arch of its own: it stands in none of the scene's. */
  own: boolean;
  /** The address of a picture of the place behind it. */
  picture: string | null;
  /** A colour of its own where there is no picture, between 0 and 1. */
  hue: number;
}

/** Above arches of the scene, which are stout, and above slender ones. */
const SIGN_M = { scene: 4.15, own: 3.62 };
/** Pictures are seen at the size of a door: none takes more of the graphics card than that needs. */
const PICTURE_PX = 640;
const FADES_PER_S = 1.6;
/** The picture of a portal that nobody is near enough to see is not fetched. */
const LOOK_M = 60;

const eye = new Vector3();

export class PortalViews {
  readonly group = new Group();
  private readonly views = new Map<string, View>();
  private readonly calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  private readonly shapes = { scene: surfaceGeometry(false), own: surfaceGeometry(true) };
  /** Which one is being walked through. */
  opening: string | null = null;

  /** Shows these portals and no others. */
  show(all: readonly Standing[]): void {
    const wanted = new Map(all.map((one) => [one.id, one]));
    for (const [id, view] of this.views) {
      if (wanted.has(id)) continue;
      view.dispose();
      this.views.delete(id);
    }
    for (const one of all) {
      const view = this.views.get(one.id) ?? this.raise(one);
      view.tell(one);
    }
  }

  private raise(one: Standing): View {
    const view = new View(one, this.shapes[one.own ? "own" : "scene"]);
    this.views.set(one.id, view);
    this.group.add(view.mesh);
    return view;
  }

  update(seconds: number, timeS: number, camera: PerspectiveCamera, perPixel: number): void {
    camera.getWorldPosition(eye);
    for (const [id, view] of this.views) view.update(seconds, this.calm ? 0 : timeS, eye, perPixel, id === this.opening);
  }

  dispose(): void {
    for (const view of this.views.values()) view.dispose();
    this.views.clear();
    this.shapes.scene.dispose();
    this.shapes.own.dispose();
    this.group.removeFromParent();
  }
}

class View {
  readonly mesh: Mesh;
  private readonly material: ShaderMaterial;
  private readonly uniforms: SurfaceUniforms;
  private readonly sign: Sign;
  private wanted: string | null = null;
  private shown: string | null = null;
  private dark = 0;
  private ended = false;

  constructor(private readonly gate: Standing, shape: Mesh["geometry"]) {
    const { at, yaw, own, hue } = gate;
    const { material, uniforms } = surfaceMaterial();
    this.material = material;
    this.uniforms = uniforms;
    uniforms.uTint.value = new Color().setHSL(hue, 0.5, 0.5);
    this.mesh = new Mesh(shape, material);
    this.mesh.position.copy(at);
    this.mesh.rotation.y = yaw;
    this.mesh.name = "portal";
    this.sign = new Sign(own ? SIGN_M.own : SIGN_M.scene);
    this.mesh.add(this.sign.sprite);
  }

  tell({ name, lines, trouble, picture }: Standing): void {
    this.sign.write({ name, lines, trouble });
    this.dark = trouble === null ? 0 : 1;
    this.wanted = picture;
  }

  update(seconds: number, timeS: number, from: Vector3, perPixel: number, opening: boolean): void {
    const { uniforms, sign } = this;
    const distance = from.distanceTo(this.mesh.position);
    if (this.wanted !== this.shown && distance < LOOK_M) void this.look(this.wanted);
    uniforms.uTime.value = timeS;
    const share = 1 - Math.exp(-seconds * FADES_PER_S * 2);
    uniforms.uDark.value += (this.dark - uniforms.uDark.value) * share;
    uniforms.uOpening.value += ((opening ? 1 : 0) - uniforms.uOpening.value) * share;
    const seen = uniforms.uPicture.value ? 1 : 0;
    uniforms.uSeen.value += (seen - uniforms.uSeen.value) * share;
    sign.place(distance, perPixel, seenFrom(this.gate, from).out >= 0);
  }

  private async look(address: string | null): Promise<void> {
    this.shown = address;
    const canvas = address === null ? null : await pictureAt(address).catch((error: unknown) => {
      // The sky of an evening is seen in its place.
      console.warn("the picture of a portal cannot be shown", error);
      return null;
    });
    if (this.ended || this.shown !== address) return;
    const { uniforms } = this;
    uniforms.uPicture.value?.dispose();
    uniforms.uPicture.value = null;
    uniforms.uSeen.value = 0;
    if (!canvas) return;
    const texture = new CanvasTexture(canvas);
    texture.colorSpace = SRGBColorSpace;
    texture.anisotropy = 4;
    uniforms.uPicture.value = texture;
    uniforms.uAspect.value = canvas.width / canvas.height;
  }

  dispose(): void {
    this.ended = true;
    this.uniforms.uPicture.value?.dispose();
    this.material.dispose();
    this.sign.dispose();
    this.mesh.removeFromParent();
  }
}

/** Fetches a picture, and draws it no larger than it is seen. */
async function pictureAt(address: string): Promise<HTMLCanvasElement> {
  const image = new Image();
  image.crossOrigin = "anonymous";
  image.src = address;
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const scale = Math.min(1, PICTURE_PX / Math.max(1, Math.min(width, height)), 2048 / Math.max(1, width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}
