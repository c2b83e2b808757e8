// The motions that every body shares: loaded once, fitted to each body.
import type { VRM } from "@pixiv/three-vrm";
import {
  createVRMAnimationClip,
  type VRMAnimation,
  VRMAnimationLoaderPlugin,
} from "@pixiv/three-vrm-animation";
import type { AnimationClip } from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";

export const NAMES = ["idle", "walk", "run", "sit", "jump", "wave", "dance", "point"] as const;
export type MotionName = (typeof NAMES)[number];

export interface MotionFile {
  animation: VRMAnimation;
  /** Metres a second at which the feet do not slide, for a body whose hips are so high. */
  speed: number;
  hipsHeight: number;
}

export type Motions = Map<MotionName, MotionFile>;

const SPEEDS: Partial<Record<MotionName, number>> = { walk: 1.5, run: 4.2 };

interface Extras {
  speed_mps?: number;
  hips_height_m?: number;
}

let loading: Promise<Motions> | null = null;

/** A motion that cannot be had is missing: bodies then stand where they would move. */
export function loadMotions(): Promise<Motions> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Motions> {
  const loader = new GLTFLoader().register((parser) => new VRMAnimationLoaderPlugin(parser));
  const motions: Motions = new Map();
  await Promise.all(
    NAMES.map(async (name) => {
      try {
        const gltf = await loader.loadAsync(`/_wayside/v1/motions/${name}`);
        const animation = (gltf.userData.vrmAnimations as VRMAnimation[] | undefined)?.[0];
        if (!animation) return;
        const extras = ((gltf.asset as { extras?: Extras }).extras ?? {}) as Extras;
        const hips = animation.restHipsPosition.y || 1;
        motions.set(name, {
          animation,
          speed: extras.speed_mps ?? SPEEDS[name] ?? 0,
          hipsHeight: extras.hips_height_m ?? hips,
        });
      } catch (error) {
        console.warn(`the motion ${name} cannot be had`, error);
      }
    }),
  );
  return motions;
}

export function fit(file: MotionFile, vrm: VRM): AnimationClip {
  return createVRMAnimationClip(file.animation, vrm);
}

export function hipsHeight(vrm: VRM): number {
  return vrm.humanoid.normalizedRestPose.hips?.position?.[1] ?? 0.9;
}
