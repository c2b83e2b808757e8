// Cuts large meshes into pieces by place, so that what is behind somebody's back is not drawn.
import { Box3, BufferAttribute, BufferGeometry, Mesh, type Object3D, Sphere, Vector3 } from "three";

/** Meshes of fewer triangles are left whole. */
const LARGE = 2500;
/** Edge of the squares, seen from above, that a mesh is cut along. */
const SQUARE_M = 64;

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
  const squares = new Map<number, number[]>();
  for (let at = 0; at < index.count; at += 3) {
    middle.set(0, 0, 0);
    for (let one = 0; one < 3; one += 1) {
      middle.add(corner.fromBufferAttribute(position, index.getX(at + one)));
    }
    middle.divideScalar(3).applyMatrix4(mesh.matrixWorld);
    const square = Math.floor(middle.x / SQUARE_M) * 4096 + Math.floor(middle.z / SQUARE_M);
    const list = squares.get(square);
    const three = [index.getX(at), index.getX(at + 1), index.getX(at + 2)];
    if (list) list.push(...three);
    else squares.set(square, three);
  }
  for (const list of squares.values()) parent.add(piece(mesh, list, position.count > 65535));
  mesh.removeFromParent();
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
