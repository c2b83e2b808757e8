// A scene as anybody's modeller may write one: a small island, of meshes and colours and nothing else.

const SIDES = 28;
const COLOURS = {
  sand: [0.9, 0.76, 0.52],
  grass: [0.34, 0.52, 0.2],
  wall: [0.93, 0.87, 0.76],
  roof: [0.62, 0.2, 0.12],
  bark: [0.3, 0.19, 0.12],
  leaf: [0.16, 0.38, 0.2],
};

/** Triangles between two circles one over the other; the upper one is closed, or a tip. */
function drum([x, y, z], low, high, height, sides = SIDES) {
  const corner = (radius, level, side) => {
    const angle = ((side + 0.5) / sides) * 2 * Math.PI;
    return [x + radius * Math.sin(angle), level, z + radius * Math.cos(angle)];
  };
  return Array.from({ length: sides }, (_, side) => {
    const [a, b] = [corner(low, y, side), corner(low, y, side + 1)];
    const [c, d] = [corner(high, y + height, side), corner(high, y + height, side + 1)];
    return [[a, b, d], [a, d, c], [c, d, [x, y + height, z]]];
  }).flat();
}

const house = ([x, y, z], size) => ({
  wall: drum([x, y, z], size, size, size, 4),
  roof: drum([x, y + size, z], size * 1.25, 0, size * 0.7, 4),
});

const tree = ([x, y, z], height) => ({
  bark: drum([x, y, z], height * 0.06, height * 0.05, height * 0.4, 8),
  leaf: [0.3, 0.52, 0.74].flatMap((share, index) =>
    drum([x, y + height * share, z], height * (0.26 - index * 0.06), 0, height * 0.34, 12),
  ),
});

function parts() {
  const ring = (count, radius, from) =>
    Array.from({ length: count }, (_, index) => {
      const angle = from + (index / count) * 2 * Math.PI;
      return [radius * Math.sin(angle), 0, radius * Math.cos(angle)];
    });
  return [
    { sand: drum([0, -1.2, 0], 30, 24, 0.95), grass: drum([0, -0.4, 0], 20, 19, 0.4) },
    { sand: drum([0, -0.3, 0], 5, 5, 0.33) },
    ...ring(5, 13, 0.5).map((place, index) => house(place, 2 + (index % 3) * 0.4)),
    ...ring(11, 17, 0.2).map((place, index) => tree(place, 4 + ((index * 7) % 5) * 0.6)),
    ...ring(5, 9, 1.1).map((place, index) => tree(place, 2.6 + (index % 2) * 0.7)),
  ];
}

/** Three numbers to a corner: where it is, and where its triangle looks. */
function corners(triangles) {
  const [places, normals] = [[], []];
  for (const [a, b, c] of triangles) {
    const [u, v] = [b, c].map((corner) => corner.map((part, axis) => part - a[axis]));
    const across = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    const length = Math.hypot(...across);
    // At a tip, a side of a triangle is a point.
    if (length < 1e-9) continue;
    for (const corner of [a, b, c]) {
      places.push(...corner);
      normals.push(...across.map((part) => part / length));
    }
  }
  return [places, normals].map((list) => new Float32Array(list));
}

/** The bytes of the GLB; `more` stands in its JSON too. */
export function island(more = {}) {
  const names = Object.keys(COLOURS);
  const [buffers, bufferViews, accessors, primitives] = [[], [], [], []];
  for (const [material, name] of names.entries()) {
    const lists = corners(parts().flatMap((part) => part[name] ?? []));
    const [POSITION, NORMAL] = lists.map((list) => {
      const byteOffset = buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);
      buffers.push(Buffer.from(list.buffer));
      bufferViews.push({ buffer: 0, byteOffset, byteLength: list.byteLength });
      const axis = (from) => [...list].filter((_, index) => index % 3 === from);
      const range = (least) => [0, 1, 2].map((from) => axis(from).reduce((a, b) => least(a, b)));
      const count = list.length / 3;
      const [min, max] = [range(Math.min), range(Math.max)];
      accessors.push({ bufferView: bufferViews.length - 1, componentType: 5126, type: "VEC3", count, min, max });
      return accessors.length - 1;
    });
    primitives.push({ attributes: { POSITION, NORMAL }, material });
  }
  const bytes = Buffer.concat(buffers);
  const json = {
    asset: { version: "2.0" },
    scene: 0,
    scenes: [{ nodes: [0] }],
    nodes: [{ name: "Island", mesh: 0 }],
    meshes: [{ primitives }],
    materials: names.map((name) => ({
      name,
      pbrMetallicRoughness: { baseColorFactor: [...COLOURS[name], 1], metallicFactor: 0, roughnessFactor: 0.9 },
    })),
    accessors,
    bufferViews,
    buffers: [{ byteLength: bytes.length }],
    ...more,
  };
  const text = Buffer.from(JSON.stringify(json));
  const padded = Buffer.concat([text, Buffer.alloc(-text.length & 3, " ")]);
  const head = (length, kind) => Buffer.from(new Uint32Array([length, kind]).buffer);
  const length = 12 + 8 + padded.length + 8 + bytes.length;
  const mark = Buffer.from(new Uint32Array([0x46546c67, 2, length]).buffer);
  return Buffer.concat([mark, head(padded.length, 0x4e4f534a), padded, head(bytes.length, 0x004e4942), bytes]);
}
