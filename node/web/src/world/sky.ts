// The evening sky: painted once into a cube that is background, reflection and light.
import {
  BackSide,
  BoxGeometry,
  Color,
  CubeCamera,
  HalfFloatType,
  LinearFilter,
  Mesh,
  Scene,
  ShaderMaterial,
  type Vector3,
  Vector4,
  WebGLCubeRenderTarget,
  type WebGLRenderer,
} from "three";

/** The colours of the hour, shared by sky, fog, water and lights. */
export const EVENING = {
  zenith: new Color("#26407e"),
  high: new Color("#6f7fb8"),
  horizon: new Color("#f0b490"),
  glow: new Color("#ffb765"),
  haze: new Color("#b69aa6"),
  sun: new Color("#ffc88f"),
  shade: new Color("#8ea0d6"),
  ground: new Color("#6a584c"),
};

/** The gradient of OMI_environment_sky, with its curves and the halo of its sun. */
export interface SkyColours {
  top: Color;
  horizon: Color;
  bottom: Color;
  ambient: Color;
  curves: [top: number, bottom: number];
  halo: [angle: number, curve: number];
}

type Triple = [number, number, number];

/** The JSON of a glTF file, as far as the sky is in it. */
export interface SkyJson {
  extensions?: {
    OMI_environment_sky?: {
      skies?: {
        ambientLightColor?: Triple;
        gradient?: {
          topColor: Triple;
          horizonColor: Triple;
          bottomColor: Triple;
          topCurve?: number;
          bottomCurve?: number;
          sunAngleMax?: number;
          sunCurve?: number;
        };
      }[];
    };
  };
}

export function readSky(json: SkyJson): SkyColours | null {
  const sky = json.extensions?.OMI_environment_sky?.skies?.[0];
  const gradient = sky?.gradient;
  if (!gradient) return null;
  const { topCurve = 0.15, bottomCurve = 0.02, sunAngleMax = 0.5, sunCurve = 0.15 } = gradient;
  const top = new Color(...gradient.topColor);
  return {
    top,
    horizon: new Color(...gradient.horizonColor),
    bottom: new Color(...gradient.bottomColor),
    ambient: sky.ambientLightColor ? new Color(...sky.ambientLightColor) : top.clone(),
    curves: [topCurve, bottomCurve],
    halo: [sunAngleMax, sunCurve],
  };
}

const VERTEX = /* glsl */ `
varying vec3 vDirection;
void main() {
  vDirection = (modelMatrix * vec4(position, 0.0)).xyz;
  gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
}`;

const FRAGMENT = /* glsl */ `
uniform vec3 uSun;
uniform vec3 uZenith;
uniform vec3 uHigh;
uniform vec3 uHorizon;
uniform vec3 uGlow;
uniform vec3 uHaze;
varying vec3 vDirection;

float hash(vec2 p) {
  p = fract(p * vec2(123.34, 345.45));
  p += dot(p, p + 34.345);
  return fract(p.x * p.y);
}
float noise(vec2 p) {
  vec2 i = floor(p);
  vec2 f = fract(p);
  vec2 u = f * f * (3.0 - 2.0 * f);
  return mix(mix(hash(i), hash(i + vec2(1.0, 0.0)), u.x),
             mix(hash(i + vec2(0.0, 1.0)), hash(i + vec2(1.0, 1.0)), u.x), u.y);
}
float clouds(vec2 p) {
  float sum = 0.0;
  float part = 0.5;
  for (int i = 0; i < 6; i++) {
    sum += part * noise(p);
    p = mat2(1.6, 1.2, -1.2, 1.6) * p + 7.3;
    part *= 0.5;
  }
  return sum;
}
void main() {
  vec3 d = normalize(vDirection);
  float up = max(d.y, 0.0);
  float toSun = max(dot(d, uSun), 0.0);
  float side = 0.5 + 0.5 * dot(normalize(d.xz + 1e-5), normalize(uSun.xz));
  vec3 low = mix(uHaze, uHorizon, smoothstep(0.1, 1.0, side));
  vec3 sky = mix(low, uHigh, smoothstep(0.0, 0.26, up));
  sky = mix(sky, uZenith, smoothstep(0.12, 0.85, up));
  sky += uGlow * (0.42 * pow(toSun, 6.0) * exp(-up * 2.2) + 0.5 * pow(toSun, 48.0));

  // Thin high clouds, lit from the side of the sun, dissolving towards the horizon.
  if (d.y > 0.015) {
    vec2 at = d.xz / (d.y + 0.16);
    float body = clouds(at * vec2(0.9, 1.7) + 3.1);
    float veil = smoothstep(0.46, 0.82, body) * smoothstep(0.015, 0.2, d.y);
    float lit = clouds(at * vec2(0.9, 1.7) + 3.1 + normalize(uSun.xz) * 0.12);
    float edge = clamp((body - lit) * 5.0 + 0.55, 0.0, 1.0);
    vec3 dark = mix(uHigh, uHaze, 0.6) * 0.92;
    vec3 bright = mix(vec3(1.0, 0.86, 0.78), uGlow * 1.25, pow(toSun, 3.0));
    sky = mix(sky, mix(dark, bright, edge), veil * 0.72);
  }
  // First stars where it is darkest.
  vec3 grid = floor(d * 190.0);
  float star = step(0.9985, hash(grid.xy + grid.z * 17.0)) * smoothstep(0.55, 0.95, up);
  sky += star * 0.55;
  // The sun itself.
  sky += vec3(1.0, 0.82, 0.55) * smoothstep(0.99905, 0.99945, dot(d, uSun)) * 9.0;
  // Below the horizon lies haze, for what the land does not cover.
  sky = mix(sky, low * 0.82, smoothstep(0.0, -0.08, d.y));
  gl_FragColor = vec4(sky, 1.0);
}`;

/** A sky that the scene describes: its gradient as it stands, with a sun that dazzles a little less. */
const GRADIENT = /* glsl */ `
uniform vec3 uSun;
uniform vec3 uTop;
uniform vec3 uHorizon;
uniform vec3 uBottom;
uniform vec3 uGlow;
uniform vec4 uCurves;
varying vec3 vDirection;
void main() {
  vec3 d = normalize(vDirection);
  float height = 1.0 - acos(clamp(d.y, -1.0, 1.0)) / 1.5707963;
  vec3 sky = height >= 0.0
    ? mix(uHorizon, uTop, clamp(1.0 - pow(1.0 - height, 1.0 / uCurves.x), 0.0, 1.0))
    : mix(uHorizon, uBottom, clamp(1.0 - pow(1.0 + height, 1.0 / uCurves.y), 0.0, 1.0));
  float away = acos(clamp(dot(d, uSun), -1.0, 1.0));
  float size = 0.028;
  float far = clamp((away - size) / (uCurves.z - size), 0.0, 1.0);
  float halo = pow(1.0 - far, 1.0 / uCurves.w);
  sky = mix(sky, vec3(1.75, 1.02, 0.52), halo * 0.75);
  sky += uGlow * 0.28 * pow(1.0 - clamp(away / 1.5, 0.0, 1.0), 3.0);
  sky = mix(sky, vec3(3.6, 2.3, 1.15), 1.0 - smoothstep(size * 0.9, size * 1.1, away));
  gl_FragColor = vec4(sky, 1.0);
}`;

/** Paints the sky for a sun that stands there, with sides of so many pixels. */
export function paintSky(
  renderer: WebGLRenderer,
  sun: Vector3,
  size: number,
  own: SkyColours | null,
): WebGLCubeRenderTarget {
  const material = new ShaderMaterial({
    vertexShader: VERTEX,
    fragmentShader: own ? GRADIENT : FRAGMENT,
    side: BackSide,
    depthWrite: false,
    depthTest: false,
    toneMapped: false,
    uniforms: {
      uSun: { value: sun },
      uZenith: { value: EVENING.zenith },
      uHigh: { value: EVENING.high },
      uTop: { value: own?.top },
      uBottom: { value: own?.bottom },
      uCurves: { value: own ? new Vector4(...own.curves, ...own.halo) : null },
      uHorizon: { value: own?.horizon ?? EVENING.horizon },
      uGlow: { value: EVENING.glow },
      uHaze: { value: EVENING.haze },
    },
  });
  const box = new Mesh(new BoxGeometry(10, 10, 10), material);
  const scene = new Scene();
  scene.add(box);
  const target = new WebGLCubeRenderTarget(size, {
    type: HalfFloatType,
    generateMipmaps: false,
    minFilter: LinearFilter,
    magFilter: LinearFilter,
  });
  const camera = new CubeCamera(0.1, 20, target);
  camera.update(renderer, scene);
  box.geometry.dispose();
  material.dispose();
  return target;
}
