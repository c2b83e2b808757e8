// A figure that nobody sees: with it, what draws bodies is compiled before the first one comes.
import {
  Bone,
  BufferGeometry,
  DataTexture,
  Float32BufferAttribute,
  Group,
  Mesh,
  type Material,
  MeshStandardMaterial,
  Skeleton,
  SkinnedMesh,
  SRGBColorSpace,
  type Texture,
  Uint16BufferAttribute,
} from "three";
import { plainMaterial } from "./plain";

export function warmFigure(rich: boolean): Group {
  const made = (surface: { vertexColors?: boolean; map?: Texture }): Material => {
    const standard = new MeshStandardMaterial(surface);
    return rich ? standard : plainMaterial(standard);
  };
  const group = new Group();
  const ground = new Mesh(triangle().setAttribute("color", zeros(3)), made({ vertexColors: true }));
  const map = new DataTexture(new Uint8Array(4), 1, 1);
  map.colorSpace = SRGBColorSpace;
  const skin = new SkinnedMesh(skinned(), made({ map }));
  const bone = new Bone();
  skin.add(bone);
  skin.bind(new Skeleton([bone]));
  group.add(ground, skin);
  return group;
}

function zeros(size: number): Float32BufferAttribute {
  return new Float32BufferAttribute(new Float32Array(3 * size), size);
}

function triangle(): BufferGeometry {
  return new BufferGeometry().setAttribute("position", zeros(3)).setAttribute("normal", zeros(3));
}

function skinned(): BufferGeometry {
  return triangle()
    .setAttribute("uv", zeros(2))
    .setAttribute("skinIndex", new Uint16BufferAttribute(new Uint16Array(12), 4))
    .setAttribute("skinWeight", zeros(4));
}
