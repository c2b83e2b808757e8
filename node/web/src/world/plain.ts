// A material for machines that cannot afford more: lit once a corner, short enough to compile at once.
import { Color, type Material, ShaderMaterial, type Side, type Texture, UniformsLib, UniformsUtils, Vector3 } from "three";

/** The light of the hour, shared by everything that is drawn plainly. */
export const PLAIN_LIGHT = {
  uSun: { value: new Vector3(0, 1, 0) },
  uSunlight: { value: new Color() },
  uAbove: { value: new Color() },
  uBelow: { value: new Color() },
  uFill: { value: new Color() },
};

const VERTEX = /* glsl */ `
#include <common>
#include <uv_pars_vertex>
#include <color_pars_vertex>
#include <fog_pars_vertex>
#include <morphtarget_pars_vertex>
#include <skinning_pars_vertex>
uniform vec3 uSun;
uniform vec3 uSunlight;
uniform vec3 uAbove;
uniform vec3 uBelow;
uniform vec3 uFill;
varying vec3 vLight;
#ifdef FLAT_SHADED
  varying vec3 vPlace;
#endif
#define WRAP 0.5
void main() {
  #include <uv_vertex>
  #include <color_vertex>
  #include <beginnormal_vertex>
  #include <morphinstance_vertex>
  #include <morphnormal_vertex>
  #include <skinbase_vertex>
  #include <skinnormal_vertex>
  #include <begin_vertex>
  #include <morphtarget_vertex>
  #include <skinning_vertex>
  #include <project_vertex>
  #include <fog_vertex>
  #ifdef FLAT_SHADED
    vPlace = (modelMatrix * vec4(transformed, 1.0)).xyz;
  #else
    vec3 normal = normalize(mat3(modelMatrix) * objectNormal);
    float facing = dot(normal, uSun);
    #ifdef USE_SKINNING
      // Light reaches around what is soft, so that nobody is a shadow who walks towards the sun.
      facing = (facing + WRAP) / (1.0 + WRAP);
      vLight = uFill;
    #else
      vLight = vec3(0.0);
    #endif
    vLight += mix(uBelow, uAbove, normal.y * 0.5 + 0.5) + uSunlight * max(facing, 0.0);
  #endif
}`;

const FRAGMENT = /* glsl */ `
#include <common>
#include <uv_pars_fragment>
#include <map_pars_fragment>
#include <color_pars_fragment>
#include <fog_pars_fragment>
uniform vec3 uColour;
uniform vec3 uEmissive;
uniform float uOpacity;
uniform float uCut;
varying vec3 vLight;
#ifdef FLAT_SHADED
  uniform vec3 uSun;
  uniform vec3 uSunlight;
  uniform vec3 uAbove;
  uniform vec3 uBelow;
  varying vec3 vPlace;
#endif
void main() {
  vec4 diffuseColor = vec4(uColour, uOpacity);
  #include <map_fragment>
  #include <color_fragment>
  if (diffuseColor.a < uCut) discard;
  #ifdef FLAT_SHADED
    // Corners without normals belong to flat faces (glTF 2.0, 3.7.2.1).
    vec3 normal = normalize(cross(dFdx(vPlace), dFdy(vPlace)));
    vec3 light = mix(uBelow, uAbove, normal.y * 0.5 + 0.5) + uSunlight * max(dot(normal, uSun), 0.0);
  #else
    vec3 light = vLight;
  #endif
  gl_FragColor = vec4(diffuseColor.rgb * light + uEmissive, diffuseColor.a);
  #include <tonemapping_fragment>
  #include <colorspace_fragment>
  #include <fog_fragment>
}`;

/** What plain and rich materials have in common. */
export interface Surface {
  name: string;
  color: Color;
  map: Texture | null;
  emissive: Color;
  emissiveIntensity: number;
  vertexColors: boolean;
  transparent: boolean;
  opacity: number;
  alphaTest: number;
  side: Side;
  flatShading?: boolean;
}

export function plainMaterial(surface: Surface): Material {
  const material = new ShaderMaterial({
    name: surface.name,
    vertexShader: VERTEX,
    fragmentShader: FRAGMENT,
    fog: true,
    vertexColors: surface.vertexColors,
    transparent: surface.transparent,
    depthWrite: !surface.transparent,
    side: surface.side,
    uniforms: {
      ...UniformsUtils.clone(UniformsLib.fog),
      ...PLAIN_LIGHT,
      map: { value: surface.map },
      mapTransform: { value: surface.map?.matrix },
      uColour: { value: surface.color },
      uEmissive: { value: surface.emissive.clone().multiplyScalar(surface.emissiveIntensity) },
      uOpacity: { value: surface.opacity },
      uCut: { value: surface.alphaTest },
    },
  });
  // By these the renderer knows that there is a picture to be read, and that faces are flat.
  return Object.assign(material, { map: surface.map, flatShading: surface.flatShading ?? false });
}
