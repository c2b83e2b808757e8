// Water: ripples that mirror the painted sky.
import {
  type CubeTexture,
  type IUniform,
  type Mesh,
  ShaderMaterial,
  type Texture,
  UniformsLib,
  UniformsUtils,
} from "three";
import { PLAIN_LIGHT } from "./plain";
import { EVENING } from "./sky";

const VERTEX = /* glsl */ `
#include <fog_pars_vertex>
varying vec3 vWorld;
void main() {
  vec4 world = modelMatrix * vec4(position, 1.0);
  vWorld = world.xyz;
  vec4 mvPosition = viewMatrix * world;
  gl_Position = projectionMatrix * mvPosition;
  #include <fog_vertex>
}`;

const FRAGMENT = /* glsl */ `
#include <common>
#include <fog_pars_fragment>
uniform float uTime;
uniform samplerCube uSky;
uniform vec3 uDeep;
uniform vec3 uSun;
uniform vec3 uSunlight;
varying vec3 vWorld;

vec2 ripple(vec2 p, vec2 along, float length, float speed, float height) {
  float phase = dot(p, along) * 6.2832 / length + uTime * speed;
  return along * cos(phase) * height;
}
void main() {
  vec2 p = vWorld.xz;
  vec2 bent = p + 0.25 * sin(p.yx * 1.7 + uTime * 0.3);
  vec2 slope = ripple(bent, vec2(0.8, 0.6), 1.9, 1.1, 0.035)
    + ripple(bent, vec2(-0.45, 0.89), 1.13, 1.7, 0.03)
    + ripple(bent, vec2(0.95, -0.31), 0.61, 2.3, 0.025)
    + ripple(bent, vec2(-0.7, -0.71), 0.37, 3.1, 0.018);
  vec3 toEye = cameraPosition - vWorld;
  float far = length(toEye);
  toEye /= far;
  vec3 normal = normalize(vec3(slope.x, 1.0, slope.y) * vec3(1.0 / (1.0 + far * 0.02), 1.0, 1.0 / (1.0 + far * 0.02)));
  vec3 mirrored = reflect(-toEye, normal);
  // Far away a pixel holds many waves: those that lean to the eye are seen, and mirror a higher sky.
  float many = smoothstep(8.0, 120.0, far);
  mirrored = normalize(vec3(mirrored.x, abs(mirrored.y) + 0.34 * many, mirrored.z));
  vec3 sky = min(textureCube(uSky, vec3(-mirrored.x, mirrored.yz)).rgb, vec3(6.0));
  float fresnel = 0.04 + 0.96 * pow(1.0 - max(dot(normal, toEye), 0.0), 4.0);
  vec3 colour = mix(uDeep * (0.8 + 0.5 * slope.y + 0.5 * slope.x), sky, clamp(fresnel + 0.1, 0.0, mix(1.0, 0.72, many)));
  // The way of light below the sun: single waves that happen to throw it here.
  vec2 towards = normalize(uSun.xz);
  float below = max(dot(normalize(-toEye.xz), towards), 0.0);
  float thrown = sin(dot(bent, vec2(2.1, 1.3)) + uTime * 1.4) * sin(dot(bent.yx, vec2(1.7, -2.3)) - uTime * 1.1);
  colour += uSunlight * (0.06 + 0.5 * smoothstep(0.35, 0.95, thrown)) * pow(below, 220.0) * 0.22;
  gl_FragColor = vec4(colour, 0.95);
  #include <tonemapping_fragment>
  #include <colorspace_fragment>
  #include <fog_fragment>
}`;

/** Makes a mesh water; the returned uniform is the time in seconds. */
export function makeWater(mesh: Mesh, sky: CubeTexture | Texture): IUniform<number> {
  const time: IUniform<number> = { value: 0 };
  mesh.material = new ShaderMaterial({
    vertexShader: VERTEX,
    fragmentShader: FRAGMENT,
    fog: true,
    transparent: true,
    uniforms: {
      ...UniformsUtils.clone(UniformsLib.fog),
      uTime: time,
      uSun: PLAIN_LIGHT.uSun,
      uSunlight: PLAIN_LIGHT.uSunlight,
      uSky: { value: sky },
      uDeep: { value: EVENING.zenith.clone().lerp(EVENING.high, 0.25).multiplyScalar(0.55) },
    },
  });
  mesh.castShadow = false;
  mesh.receiveShadow = false;
  return time;
}
