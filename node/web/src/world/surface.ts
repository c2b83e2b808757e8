// What is seen in a portal: the place behind it as if through water that stands upright, and the arch around it.
import {
  type BufferGeometry,
  Color,
  DoubleSide,
  ExtrudeGeometry,
  Float32BufferAttribute,
  Path,
  ShaderMaterial,
  Shape,
  ShapeGeometry,
  type Texture,
  UniformsLib,
  UniformsUtils,
} from "three";
import { mergeGeometries } from "three/addons/utils/BufferGeometryUtils.js";
import { HIGH_M, WIDE_M } from "../visit/crossing";
import { PLAIN_LIGHT } from "./plain";

const HALF = WIDE_M / 2;
/** Where the sides end and the bow begins. */
const SPRING = HIGH_M - HALF;
const PIECES = 20;
/** Of an arch of its own, beside the opening and through it. */
const THICK_M = 0.17;
const DEEP_M = 0.3;

const VERTEX = /* glsl */ `
#include <fog_pars_vertex>
attribute float frame;
varying vec2 vAt;
varying vec3 vEye;
varying vec3 vNormal;
varying float vFrame;
void main() {
  vec4 world = modelMatrix * vec4(position, 1.0);
  vAt = position.xy;
  vFrame = frame;
  vNormal = mat3(modelMatrix) * normal;
  // A portal is only turned and moved, so that the way back is the transpose.
  vEye = transpose(mat3(modelMatrix)) * (cameraPosition - world.xyz);
  vec4 mvPosition = viewMatrix * world;
  gl_Position = projectionMatrix * mvPosition;
  #include <fog_vertex>
}`;

const FRAGMENT = /* glsl */ `
#include <common>
#include <fog_pars_fragment>
uniform float uTime;
uniform float uSeen;
uniform float uDark;
uniform float uOpening;
uniform float uAspect;
uniform vec3 uTint;
uniform sampler2D uPicture;
uniform vec3 uSun;
uniform vec3 uSunlight;
uniform vec3 uAbove;
uniform vec3 uBelow;
varying vec2 vAt;
varying vec3 vEye;
varying vec3 vNormal;
varying float vFrame;

const vec3 AMBER = vec3(1.0, 0.46, 0.15);
const vec3 DUSK = vec3(0.035, 0.045, 0.13);
const vec3 PLUM = vec3(0.22, 0.12, 0.24);

vec3 stone() {
  vec3 normal = normalize(vNormal);
  vec3 light = mix(uBelow, uAbove, normal.y * 0.5 + 0.5) + uSunlight * max(dot(normal, uSun), 0.0);
  // What faces the opening is lit by it.
  float lit = smoothstep(0.22, 0.0, abs(${HALF.toFixed(3)} - (vAt.y < ${SPRING.toFixed(3)} ? abs(vAt.x) : length(vAt - vec2(0.0, ${SPRING.toFixed(3)})))));
  return vec3(0.62, 0.54, 0.48) * light + AMBER * (1.0 - 0.75 * uDark) * lit * 0.35;
}

/** The sky of an evening, where there is no picture. */
vec3 evening(vec2 at) {
  float up = clamp(at.y / ${HIGH_M.toFixed(2)}, 0.0, 1.0);
  vec3 low = mix(vec3(1.0, 0.52, 0.25), uTint, 0.35);
  vec3 sky = mix(low, mix(PLUM, uTint * 0.5, 0.4), smoothstep(0.1, 0.55, up));
  sky = mix(sky, DUSK * 1.6, smoothstep(0.5, 1.0, up));
  return sky + vec3(1.0, 0.72, 0.42) * smoothstep(0.55, 0.0, length(at - vec2(0.35, 0.75))) * 0.7;
}

void main() {
  vec3 colour;
  if (vFrame > 0.5) {
    colour = stone();
  } else {
    float side = gl_FrontFacing ? 1.0 : -1.0;
    float edge = vAt.y < ${SPRING.toFixed(3)} ? ${HALF.toFixed(3)} - abs(vAt.x) : ${HALF.toFixed(3)} - length(vAt - vec2(0.0, ${SPRING.toFixed(3)}));
    float rim = smoothstep(0.55, 0.0, edge);
    vec3 eye = normalize(vEye);
    vec2 wave = vec2(sin(vAt.y * 2.9 + uTime * 0.9) + sin(vAt.y * 6.1 - uTime * 1.3 + vAt.x * 2.0), cos(vAt.x * 3.3 - uTime * 0.7) + sin(vAt.x * 5.7 + uTime * 1.1 + vAt.y));
    wave *= 0.008 + 0.022 * rim + 0.05 * uOpening;
    // The place lies behind the surface: it moves as what is seen through a window does.
    vec2 at = vAt - eye.xy / max(abs(eye.z), 0.45) * 0.4 + wave;
    at.x *= side;
    vec2 size = uAspect > ${(WIDE_M / HIGH_M).toFixed(4)} ? vec2(${HIGH_M.toFixed(2)} * uAspect, ${HIGH_M.toFixed(2)}) : vec2(${WIDE_M.toFixed(2)}, ${WIDE_M.toFixed(2)} / uAspect);
    vec2 uv = vec2(at.x, at.y - ${(HIGH_M / 2).toFixed(3)}) / (size * 1.18) + 0.5;
    // What lightens everything in the world would leave a picture pale.
    vec3 seen = pow(texture2D(uPicture, uv).rgb, vec3(1.45)) * 1.4;
    vec3 place = mix(evening(at), seen, uSeen);
    float film = sin(vAt.x * 4.0 + vAt.y * 2.3 + uTime * 0.8 + 2.0 * sin(vAt.y * 1.6 - uTime * 0.5));
    place += vec3(1.0, 0.86, 0.7) * smoothstep(0.82, 1.0, film) * (0.07 + 0.25 * uOpening);
    float swirl = 0.5 + 0.5 * sin(vAt.x * 2.2 + 3.0 * sin(vAt.y * 1.1 + uTime * 0.21) + uTime * 0.13);
    vec3 night = mix(DUSK * 0.35, DUSK * 1.1, swirl * swirl);
    colour = mix(place, night, uDark);
    vec3 glow = mix(AMBER * 1.5, vec3(0.2, 0.19, 0.36), uDark);
    float ring = rim * rim * (0.72 + 0.12 * sin(uTime * 1.1));
    colour = mix(colour, glow, clamp(ring + uOpening * (0.25 + 0.2 * rim), 0.0, 1.0));
  }
  gl_FragColor = vec4(colour, 1.0);
  #include <tonemapping_fragment>
  #include <colorspace_fragment>
  #include <fog_fragment>
}`;

export interface SurfaceUniforms {
  uTime: { value: number };
  /** How much of the picture is there, from 0 to 1. */
  uSeen: { value: number };
  uDark: { value: number };
  uOpening: { value: number };
  uAspect: { value: number };
  uTint: { value: Color };
  uPicture: { value: Texture | null };
}

export function surfaceMaterial(): { material: ShaderMaterial; uniforms: SurfaceUniforms } {
  const uniforms = {
    ...UniformsUtils.clone(UniformsLib.fog),
    ...PLAIN_LIGHT,
    uTime: { value: 0 },
    uSeen: { value: 0 },
    uDark: { value: 0 },
    uOpening: { value: 0 },
    uAspect: { value: 16 / 9 },
    uTint: { value: new Color() },
    uPicture: { value: null },
  };
  const material = new ShaderMaterial({ name: "portal", vertexShader: VERTEX, fragmentShader: FRAGMENT, fog: true, side: DoubleSide, uniforms });
  return { material, uniforms };
}

/** The surface alone, for an arch of the scene, or with an arch of its own around it; both are drawn at once. */
export function surfaceGeometry(own: boolean): BufferGeometry {
  const surface = marked(new ShapeGeometry(bow(new Shape(), HALF), PIECES), 0);
  if (!own) return surface;
  const shape = bow(new Shape(), HALF + THICK_M);
  shape.holes.push(bow(new Path(), HALF));
  const arch = new ExtrudeGeometry(shape, { depth: DEEP_M, bevelEnabled: false, curveSegments: PIECES });
  arch.translate(0, 0, -DEEP_M / 2);
  const whole = mergeGeometries([surface.toNonIndexed(), marked(arch, 1)]);
  surface.dispose();
  arch.dispose();
  return whole;
}

function bow<P extends Path>(path: P, half: number): P {
  path.moveTo(-half, 0).lineTo(half, 0).lineTo(half, SPRING);
  path.absarc(0, SPRING, half, 0, Math.PI, false);
  path.lineTo(-half, 0);
  return path;
}

/** Says of each corner whether it belongs to the arch. */
function marked(geometry: BufferGeometry, frame: number): BufferGeometry {
  geometry.deleteAttribute("uv");
  const count = geometry.getAttribute("position").count;
  return geometry.setAttribute("frame", new Float32BufferAttribute(new Float32Array(count).fill(frame), 1));
}
