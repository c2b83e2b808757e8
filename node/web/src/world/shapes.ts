// What of a scene holds bodies: the colliders that it names, or else all of its triangles.
import {
  BoxGeometry,
  BufferAttribute,
  BufferGeometry,
  CapsuleGeometry,
  CylinderGeometry,
  Matrix4,
  Mesh,
  type Object3D,
  SphereGeometry,
  Vector3,
} from "three";
import type { GLTF } from "three/addons/loaders/GLTFLoader.js";

/** The JSON of a glTF file, as far as shapes, seats and spawn points are in it. */
export interface GltfJson {
  nodes?: {
    name?: string;
    children?: number[];
    extensions?: {
      OMI_physics_body?: { motion?: { type?: string }; collider?: { shape?: number } };
      OMI_seat?: SeatJson;
      OMI_spawn_point?: object;
    };
  }[];
  extensions?: { OMI_physics_shape?: { shapes?: ShapeJson[] } };
}

export interface SeatJson {
  back: [number, number, number];
  knee: [number, number, number];
  foot: [number, number, number];
  angle?: number;
}

interface ShapeJson {
  type?: string;
  box?: { size?: [number, number, number] };
  sphere?: { radius?: number };
  capsule?: { radiusTop?: number; radiusBottom?: number; height?: number };
  cylinder?: { radiusTop?: number; radiusBottom?: number; height?: number };
  trimesh?: { mesh?: number };
  convex?: { mesh?: number };
}

/** The objects that came of the nodes of a file, by the place of the node. */
export function nodeObjects(gltf: GLTF): Map<number, Object3D> {
  const objects = new Map<number, Object3D>();
  gltf.scene.traverse((object) => {
    const node = gltf.parser.associations.get(object)?.nodes;
    // The primitives of a node's mesh are marked with the node as well: the outermost is meant.
    if (node !== undefined && !objects.has(node)) objects.set(node, object);
  });
  return objects;
}

/** One geometry with the positions of everything that holds bodies, in metres of the world. */
export async function solidGeometry(gltf: GLTF): Promise<BufferGeometry> {
  gltf.scene.updateMatrixWorld(true);
  const json = gltf.parser.json as GltfJson;
  const named = (json.nodes ?? []).some((node) => node.extensions?.OMI_physics_body?.collider);
  const parts = named ? await colliders(gltf, json) : drawn(gltf.scene);
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return new BufferGeometry().setAttribute("position", new BufferAttribute(whole, 3));
}

/** The shapes of all colliders that nothing moves (specs/realtime.md, "Movement"). */
async function colliders(gltf: GLTF, json: GltfJson): Promise<Float32Array[]> {
  const nodes = json.nodes ?? [];
  const shapes = json.extensions?.OMI_physics_shape?.shapes ?? [];
  const objects = nodeObjects(gltf);
  const parts: Float32Array[] = [];
  const visit = async (index: number, held: boolean): Promise<void> => {
    const node = nodes[index];
    if (!node) return;
    const body = node.extensions?.OMI_physics_body;
    const solid = held && (body?.motion?.type ?? "static") === "static";
    const shape = shapes[body?.collider?.shape ?? -1];
    const object = objects.get(index);
    if (solid && shape && object) {
      const geometry = await geometryOf(shape, gltf);
      if (geometry) parts.push(...geometry.map((one) => soup(one, object.matrixWorld)));
    }
    for (const child of node.children ?? []) await visit(child, solid);
  };
  const children = new Set(nodes.flatMap((node) => node.children ?? []));
  for (let index = 0; index < nodes.length; index += 1) {
    if (!children.has(index)) await visit(index, true);
  }
  return parts;
}

async function geometryOf(shape: ShapeJson, gltf: GLTF): Promise<BufferGeometry[] | null> {
  const round = shape.capsule ?? shape.cylinder;
  const [top, bottom] = [round?.radiusTop ?? 0.5, round?.radiusBottom ?? 0.5];
  switch (shape.type) {
    case "box":
      return [new BoxGeometry(...(shape.box?.size ?? [1, 1, 1]))];
    case "sphere":
      return [new SphereGeometry(shape.sphere?.radius ?? 0.5, 16, 12)];
    case "capsule":
      return [new CapsuleGeometry(Math.max(top, bottom), shape.capsule?.height ?? 1, 4, 12)];
    case "cylinder":
      return [new CylinderGeometry(top, bottom, shape.cylinder?.height ?? 2, 16)];
    case "trimesh":
    case "convex": {
      const mesh = shape.trimesh?.mesh ?? shape.convex?.mesh;
      if (mesh === undefined || mesh < 0) return null;
      const object = (await gltf.parser.getDependency("mesh", mesh)) as Object3D;
      const found: BufferGeometry[] = [];
      object.traverse((part) => {
        if (part instanceof Mesh) found.push(part.geometry as BufferGeometry);
      });
      return found;
    }
    default:
      return null;
  }
}

function drawn(scene: Object3D): Float32Array[] {
  const parts: Float32Array[] = [];
  scene.traverse((object) => {
    if (object instanceof Mesh && object.name !== "water") {
      parts.push(soup(object.geometry as BufferGeometry, object.matrixWorld));
    }
  });
  return parts;
}

/** The corners of all triangles, one after the other, where the matrix puts them. */
function soup(geometry: BufferGeometry, matrix: Matrix4): Float32Array {
  const position = geometry.getAttribute("position");
  const index = geometry.getIndex();
  const count = index?.count ?? position?.count ?? 0;
  const corners = new Float32Array(count * 3);
  const corner = new Vector3();
  for (let at = 0; at < count; at += 1) {
    corner.fromBufferAttribute(position as BufferAttribute, index ? index.getX(at) : at);
    corner.applyMatrix4(matrix).toArray(corners, at * 3);
  }
  return corners;
}
