// Cuts large meshes into pieces by place, so that what is behind somebody's back is not drawn.
import { Box3, BufferAttribute, BufferGeometry, Mesh, type Object3D, Sphere, Vector3 } from "three";

/** Pieces of fewer triangles are not cut any further: each one drawn costs something by itself. */
const LARGE = 1500;
/** Nor are those within a square of this edge, seen from above. */
const SMALL_M = 16;

const corner = new Vector3();
const middle = new Vector3();
const box = new Box3();

export function cutIntoChunks(root: Object3D): void {
  const large: Mesh[] = [];
  root.traverse((object) => {
    if (object instanceof Mesh && triangles(object.geometry) > LARGE && isPlain(object)) large.push(object);
  });
  for (const mesh of large) cut(mesh);
}

function triangles(geometry: BufferGeometry): number {
  return (geometry.getIndex()?.count ?? 0) / 3;
}

/** Blended, bent or moving meshes are drawn in an order, or from places, that pieces would not keep. */
function isPlain(mesh: Mesh): boolean {
  const { geometry, material } = mesh;
  return (
    mesh.children.length === 0 &&
    mesh.type === "Mesh" &&
    geometry.groups.length === 0 &&
    Object.keys(geometry.morphAttributes).length === 0 &&
    !Array.isArray(material) &&
    !material.transparent
  );
}

function cut(mesh: Mesh): void {
  const { parent } = mesh;
  const index = mesh.geometry.getIndex();
  const position = mesh.geometry.getAttribute("position");
  if (!parent || !index || !position) return;
  const count = triangles(mesh.geometry);
  /** Where the middle of each triangle is, seen from above. */
  const middles = new Float32Array(count * 2);
  for (let at = 0; at < count; at += 1) {
    middle.set(0, 0, 0);
    for (let one = 0; one < 3; one += 1) {
      middle.add(corner.fromBufferAttribute(position, index.getX(at * 3 + one)));
    }
    middle.divideScalar(3).applyMatrix4(mesh.matrixWorld);
    middles.set([middle.x, middle.z], at * 2);
  }
  const all = Array.from({ length: count }, (_, at) => at);
  for (const part of parted(all, middles)) {
    // In the order of the file: triangles beside each other share corners that are computed once.
    part.sort((a, b) => a - b);
    const corners = part.flatMap((at) => [index.getX(at * 3), index.getX(at * 3 + 1), index.getX(at * 3 + 2)]);
    parent.add(piece(mesh, corners, position.count > 65535));
  }
  mesh.removeFromParent();
}

/** Halves along the longer side, with as many triangles in each half, until the parts are small. */
function parted(part: number[], middles: Float32Array): number[][] {
  if (part.length <= LARGE) return [part];
  const at = (one: number, side: number): number => middles[one * 2 + side] ?? 0;
  const edges = [0, 1].map((side) => {
    let [least, most] = [Infinity, -Infinity];
    for (const one of part) {
      least = Math.min(least, at(one, side));
      most = Math.max(most, at(one, side));
    }
    return most - least;
  });
  const [wide = 0, deep = 0] = edges;
  if (Math.max(wide, deep) < SMALL_M) return [part];
  const side = wide > deep ? 0 : 1;
  part.sort((a, b) => at(a, side) - at(b, side));
  const half = part.length >> 1;
  return [...parted(part.slice(0, half), middles), ...parted(part.slice(half), middles)];
}

function piece(whole: Mesh, corners: number[], wide: boolean): Mesh {
  const geometry = new BufferGeometry();
  for (const [name, attribute] of Object.entries(whole.geometry.attributes)) {
    geometry.setAttribute(name, attribute);
  }
  const list = wide ? new Uint32Array(corners) : new Uint16Array(corners);
  geometry.setIndex(new BufferAttribute(list, 1));
  const position = whole.geometry.getAttribute("position");
  box.makeEmpty();
  for (const one of corners) box.expandByPoint(corner.fromBufferAttribute(position, one));
  geometry.boundingBox = box.clone();
  geometry.boundingSphere = box.getBoundingSphere(new Sphere());
  const mesh = new Mesh(geometry, whole.material);
  mesh.name = whole.name;
  mesh.matrixAutoUpdate = false;
  mesh.matrix.copy(whole.matrix);
  mesh.matrixWorld.copy(whole.matrixWorld);
  return mesh;
}
