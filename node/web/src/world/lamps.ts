// The lights of a scene: lamps glow, and the nearest few lights shine on what is around them.
import {
  AdditiveBlending,
  BufferGeometry,
  Float32BufferAttribute,
  Group,
  PointLight,
  Points,
  ShaderMaterial,
  type Vector3,
} from "three";
import type { Lamp } from "./scene";

const VERTEX = /* glsl */ `
attribute vec3 color;
uniform float uHeight;
varying vec3 vColour;
void main() {
  vec4 at = modelViewMatrix * vec4(position, 1.0);
  float size = 1.5 * projectionMatrix[1][1] * uHeight / max(0.1, -at.z);
  gl_PointSize = min(size, 400.0);
  vColour = color * smoothstep(0.4, 1.6, -at.z) * exp(at.z * 0.012);
  gl_Position = projectionMatrix * at;
}`;

const FRAGMENT = /* glsl */ `
varying vec3 vColour;
void main() {
  float far = length(gl_PointCoord - 0.5) * 2.0;
  float glow = pow(max(0.0, 1.0 - far), 2.6);
  gl_FragColor = vec4(vColour * glow * 0.8, 1.0);
  #include <colorspace_fragment>
}`;

/** How far the lights of the pool reach, and how bright they are. */
const REACH_M = 9;
const STRENGTH = 14;
/** Lights fade from one lamp to another rather than jump. */
const FADE_PER_S = 3;

export class Lamps {
  readonly group = new Group();
  private readonly glow: ShaderMaterial;
  private readonly pool: { light: PointLight; lamp: Lamp | null }[] = [];

  constructor(
    private readonly lamps: Lamp[],
    lights: number,
  ) {
    const geometry = new BufferGeometry();
    const seen = lamps.filter((lamp) => lamp.glows);
    const at = seen.flatMap((lamp) => lamp.position.toArray());
    const colours = seen.flatMap((lamp) => lamp.colour.toArray());
    geometry.setAttribute("position", new Float32BufferAttribute(at, 3));
    geometry.setAttribute("color", new Float32BufferAttribute(colours, 3));
    this.glow = new ShaderMaterial({
      vertexShader: VERTEX,
      fragmentShader: FRAGMENT,
      uniforms: { uHeight: { value: 720 } },
      blending: AdditiveBlending,
      depthWrite: false,
      transparent: true,
    });
    if (seen.length > 0) this.group.add(new Points(geometry, this.glow));
    for (let index = 0; index < Math.min(lights, lamps.length); index += 1) {
      const light = new PointLight(0xffffff, 0, REACH_M, 1.6);
      this.group.add(light);
      this.pool.push({ light, lamp: null });
    }
  }

  /** Keeps the lights at the lamps nearest to where somebody is. */
  update(at: Vector3, heightPx: number, seconds: number): void {
    const uniform = this.glow.uniforms.uHeight;
    if (uniform) uniform.value = heightPx / 2;
    if (this.pool.length === 0) return;
    this.lamps.sort((a, b) => a.position.distanceToSquared(at) - b.position.distanceToSquared(at));
    const nearest = this.lamps.slice(0, this.pool.length);
    const unlit = nearest.filter((lamp) => !this.pool.some((place) => place.lamp === lamp));
    for (const place of this.pool) {
      const stays = place.lamp !== null && nearest.includes(place.lamp);
      const goal = stays ? STRENGTH : 0;
      const { light } = place;
      light.intensity += (goal - light.intensity) * Math.min(1, seconds * FADE_PER_S);
      if (!stays && light.intensity < 0.3) {
        place.lamp = unlit.pop() ?? null;
        if (place.lamp) {
          light.position.copy(place.lamp.position);
          light.color.copy(place.lamp.colour);
        }
      }
    }
  }
}
