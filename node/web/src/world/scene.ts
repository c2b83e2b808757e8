// Fetches the scene of a world, telling how many bytes have come, and reads what is in it.
import {
  AnimationMixer,
  Box3,
  type BufferGeometry,
  Color,
  DirectionalLight,
  type Group,
  Light,
  type Material,
  type Matrix4,
  Mesh,
  MeshStandardMaterial,
  type Object3D,
  PointLight,
  Quaternion,
  Vector3,
} from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { cutIntoChunks } from "./chunks";
import { Solid } from "./collision";
import { plainMaterial } from "./plain";
import { readSky, type SkyColours, type SkyJson } from "./sky";
import { type GltfJson, nodeObjects, type SeatJson, solidGeometry } from "./shapes";

export interface Seat {
  /** Its place in the order of the scene's nodes. */
  place: number;
  back: Vector3;
  knee: Vector3;
  foot: Vector3;
  /** Which way somebody on it looks. */
  yaw: number;
}

export interface Lamp {
  position: Vector3;
  colour: Color;
  strength: number;
  /** Whether the light itself is seen: a lamp is, the light of a sky or of many bulbs is not. */
  glows: boolean;
}

export interface Sun {
  towards: Vector3;
  colour: Color;
  strength: number;
}

/** Where somebody comes in, and which way they look. */
export interface Spawn {
  at: Vector3;
  yaw: number;
}

/** Places of a scene by the names of their nodes, of which the first of each name counts. */
export type Places = ReadonlyMap<string, Spawn>;

export interface LoadedScene {
  root: Group;
  solid: Solid;
  seats: Seat[];
  lamps: Lamp[];
  /** The first place to come in at, where the file has one. */
  spawn: Spawn | null;
  /** What its nodes are called, and where those are. */
  places: Places;
  waters: Mesh[];
  /** The sun, where the file has one. */
  sun: Sun | null;
  /** The colours of the sky, where the file says them (OMI_environment_sky). */
  sky: SkyColours | null;
  mixer: AnimationMixer | null;
  bounds: Box3;
}

/** The bytes could not be fetched, or are no scene. */
export class SceneError extends Error {
  override name = "SceneError";

  constructor(readonly why: "unreachable" | "broken", cause: unknown) {
    super(`the scene is ${why}`, { cause });
  }
}

export type Progress = (loaded: number, total: number) => void;

/** Reads a file while telling how much of it is there. */
export async function fetchBytes(url: string, size: number, progress: Progress): Promise<ArrayBuffer> {
  const response = await fetch(url);
  if (!response.ok || !response.body) throw new Error(`${url} was answered with ${response.status}`);
  // What goes over the wire may be packed: its length is not that of the file.
  const packed = response.headers.has("Content-Encoding");
  const total = size || (packed ? 0 : Number(response.headers.get("Content-Length")));
  const chunks: Uint8Array[] = [];
  let loaded = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    loaded += value.length;
    progress(loaded, Math.max(total, loaded));
  }
  const whole = new Uint8Array(loaded);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole.buffer;
}

export async function loadScene(url: string, size: number, progress: Progress): Promise<LoadedScene> {
  let bytes: ArrayBuffer;
  try {
    bytes = await fetchBytes(url, size, progress);
  } catch (error) {
    throw new SceneError("unreachable", error);
  }
  return readScene(bytes);
}

export async function readScene(bytes: ArrayBuffer): Promise<LoadedScene> {
  try {
    const gltf = await new GLTFLoader().parseAsync(bytes, "");
    const solid = new Solid(await solidGeometry(gltf));
    const root = gltf.scene;
    const json = gltf.parser.json as GltfJson & SkyJson;
    const objects = nodeObjects(gltf);
    const seats = readSeats(json, objects);
    const spawn = readSpawn(json, objects);
    const places = readPlaces(json, objects);
    const { lamps, sun } = takeLights(root);
    const mixer = gltf.animations.length > 0 ? new AnimationMixer(root) : null;
    for (const clip of gltf.animations) mixer?.clipAction(clip).play();
    const waters: Mesh[] = [];
    root.traverse((object) => {
      if (isWater(object)) waters.push(object);
      if (!mixer) object.matrixAutoUpdate = false;
    });
    root.updateMatrixWorld(true);
    if (!mixer) cutIntoChunks(root);
    const bounds = new Box3().setFromObject(root);
    const sky = readSky(json);
    return { root, solid, seats, spawn, places, lamps, waters, sun, sky, mixer, bounds };
  } catch (error) {
    throw new SceneError("broken", error);
  }
}

function isWater(object: Object3D): object is Mesh {
  return object instanceof Mesh && (object.name === "water" || object.parent?.name === "water");
}

function readSeats(json: GltfJson, objects: Map<number, Object3D>): Seat[] {
  const seats: Seat[] = [];
  let place = 0;
  (json.nodes ?? []).forEach((node, index) => {
    const seat = node.extensions?.OMI_seat;
    if (!seat) return;
    const object = objects.get(index);
    // A seat that is in no scene keeps its place in the order.
    if (object) seats.push(placed(seat, place, object.matrixWorld));
    place += 1;
  });
  return seats;
}

function readSpawn(json: GltfJson, objects: Map<number, Object3D>): Spawn | null {
  const index = (json.nodes ?? []).findIndex((node) => node.extensions?.OMI_spawn_point);
  const object = objects.get(index);
  return object ? standing(object) : null;
}

function standing(object: Object3D): Spawn {
  const ahead = new Vector3(0, 0, 1).transformDirection(object.matrixWorld);
  return { at: new Vector3().setFromMatrixPosition(object.matrixWorld), yaw: Math.atan2(ahead.x, ahead.z) };
}

/** Names as they stand in the file: those of objects are made fit for animations. */
function readPlaces(json: GltfJson, objects: Map<number, Object3D>): Places {
  const places = new Map<string, Spawn>();
  (json.nodes ?? []).forEach(({ name }, index) => {
    const object = objects.get(index);
    if (object && name !== undefined && !places.has(name)) places.set(name, standing(object));
  });
  return places;
}

function placed(seat: SeatJson, place: number, matrix: Matrix4): Seat {
  const [back, knee, foot] = [seat.back, seat.knee, seat.foot].map((at) =>
    new Vector3(...at).applyMatrix4(matrix),
  ) as [Vector3, Vector3, Vector3];
  return { place, back, knee, foot, yaw: Math.atan2(knee.x - back.x, knee.z - back.z) };
}

/** Lights of the file are replaced by ours, which know what the machine can afford. */
function takeLights(root: Group): { lamps: Lamp[]; sun: Sun | null } {
  const lamps: Lamp[] = [];
  let sun: Sun | null = null;
  const lights: Light[] = [];
  root.traverse((object) => {
    if (object instanceof Light) lights.push(object);
  });
  for (const light of lights) {
    const position = light.getWorldPosition(new Vector3());
    if (light instanceof PointLight) {
      const glows = light.name.startsWith("lamp");
      lamps.push({ position, colour: light.color.clone(), strength: light.intensity, glows });
    } else if (light instanceof DirectionalLight) {
      const turn = light.getWorldQuaternion(new Quaternion());
      const towards = new Vector3(0, 0, 1).applyQuaternion(turn);
      sun = { towards, colour: light.color.clone(), strength: light.intensity };
    }
    light.removeFromParent();
  }
  return { lamps, sun };
}

/** Frees what the graphics card holds of a scene. */
export function discard(loaded: LoadedScene): void {
  loaded.root.traverse((object) => {
    if (!(object instanceof Mesh)) return;
    (object.geometry as BufferGeometry).dispose();
    for (const material of [object.material as Material | Material[]].flat()) material.dispose();
  });
}

/** Draws everything with materials that a slow machine can afford. */
export function plainMaterials(root: Object3D): void {
  const made = new Map<string, Material>();
  root.traverse((object) => {
    if (!(object instanceof Mesh) || !(object.material instanceof MeshStandardMaterial)) return;
    const rich = object.material;
    const plain = made.get(rich.uuid) ?? plainMaterial(rich);
    made.set(rich.uuid, plain);
    object.material = plain;
  });
}
