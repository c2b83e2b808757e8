// Loads VRM bodies, a few at a time, so that a crowd arriving does not stop the picture.
import { MToonMaterial, type VRM, VRMLoaderPlugin, VRMUtils } from "@pixiv/three-vrm";
import { VRMLookAtQuaternionProxy } from "@pixiv/three-vrm-animation";
import {
  type Material,
  Mesh,
  SkinnedMesh,
  Sphere,
  Vector3,
} from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { plainMaterial } from "../world/plain";

const AT_ONCE = 2;
const TIMEOUT_MS = 30_000;

let plain = false;
let running = 0;
const waiting: (() => void)[] = [];

const loader = new GLTFLoader().register((parser) => new VRMLoaderPlugin(parser));

/** Whether bodies are drawn with plain materials, which compile and draw faster. */
export function drawPlainly(yes: boolean): void {
  plain = yes;
}

/** A body of its own for every caller; the browser keeps the file. */
export async function loadVrm(url: string): Promise<VRM> {
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${url} was answered with ${response.status}`);
  const bytes = await response.arrayBuffer();
  if (running >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  running += 1;
  try {
    return await readVrm(bytes);
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}

export async function readVrm(bytes: ArrayBuffer): Promise<VRM> {
  const gltf = await loader.parseAsync(bytes, "");
  const vrm = gltf.userData.vrm as VRM | undefined;
  if (!vrm) throw new Error("the file holds no VRM");
  VRMUtils.rotateVRM0(vrm);
  if (vrm.lookAt) {
    // Motions may turn the eyes; without this, each of them would make one for itself, and say so.
    const proxy = new VRMLookAtQuaternionProxy(vrm.lookAt);
    proxy.name = "VRMLookAtQuaternionProxy";
    vrm.scene.add(proxy);
  }
  VRMUtils.combineSkeletons(vrm.scene);
  const sphere = new Sphere(new Vector3(0, 0.9, 0), 2);
  vrm.scene.traverse((object) => {
    if (!(object instanceof Mesh)) return;
    object.castShadow = true;
    // Computed by three.js, it would cost the skinning of every corner on the processor.
    if (object instanceof SkinnedMesh) object.boundingSphere = sphere;
    if (plain) object.material = plainOf(object.material as Material | Material[]);
  });
  return vrm;
}

/** How tall a body is, with what is on its head, before any bone is turned. */
export function heightOf(vrm: VRM): number {
  let most = 0;
  vrm.scene.traverse((object) => {
    if (!(object instanceof SkinnedMesh)) return;
    const { geometry } = object as SkinnedMesh;
    if (!geometry.boundingBox) geometry.computeBoundingBox();
    most = Math.max(most, geometry.boundingBox?.max.y ?? 0);
  });
  return most;
}

export function discard(vrm: VRM): void {
  VRMUtils.deepDispose(vrm.scene);
}

const EMPTY: Material[] = [];

function plainOf(material: Material | Material[]): Material | Material[] {
  if (!Array.isArray(material)) return plainOne(material) ?? material;
  // An outline of a toon material is a second material of the same mesh: it is left out.
  const kept = material.filter((one) => !(one instanceof MToonMaterial && one.isOutline));
  const made = kept.map((one) => plainOne(one) ?? one);
  return made.length > 0 ? made : EMPTY;
}

const made = new WeakMap<Material, Material>();

function plainOne(material: Material): Material | null {
  if (!(material instanceof MToonMaterial)) return null;
  let plainly = made.get(material);
  if (!plainly) {
    const { name, color, map, emissive, emissiveIntensity, vertexColors } = material;
    const { transparent, opacity, alphaTest, side } = material;
    const surface = { name, color, map, emissive, emissiveIntensity, vertexColors };
    plainly = plainMaterial({ ...surface, transparent, opacity, alphaTest, side });
    made.set(material, plainly);
  }
  return plainly;
}
