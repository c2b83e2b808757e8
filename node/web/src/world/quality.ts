// How much is drawn: what each level means, and which one a machine is given by itself.
import type { Quality } from "../settings";

export type Level = Exclude<Quality, "auto">;

export interface Budget {
  /** Pixels drawn for a pixel of the page, at most. */
  pixelRatio: number;
  /** Below this the picture is never reduced, however slow it is. */
  leastRatio: number;
  /** Edge of the shadow map; 0 is no shadows. */
  shadowSize: number;
  /** Lamps that light what is around them; all others only glow. */
  lamps: number;
  /** Physically based materials with light from the sky, or plain ones. */
  rich: boolean;
  /** Edge of each side of the painted sky. */
  skySize: number;
}

export const BUDGETS: Record<Level, Budget> = {
  low: { pixelRatio: 1, leastRatio: 0.66, shadowSize: 0, lamps: 0, rich: false, skySize: 256 },
  medium: { pixelRatio: 1.5, leastRatio: 0.7, shadowSize: 1024, lamps: 3, rich: true, skySize: 512 },
  high: { pixelRatio: 2, leastRatio: 1, shadowSize: 2048, lamps: 6, rich: true, skySize: 1024 },
};

const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

let software: boolean | null = null;

/** Whether pictures are drawn by the processor; asked of a context of its own, before the real one. */
export function isSoftware(): boolean {
  software ??= probe();
  return software;
}

function probe(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) return false;
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  const name: unknown = info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : "";
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return SOFTWARE.test(String(name));
}

export function levelFor(wish: Quality): Level {
  if (wish !== "auto") return wish;
  const phone = matchMedia("(pointer: coarse)").matches && Math.min(screen.width, screen.height) < 600;
  if (isSoftware() || phone) return "low";
  return navigator.hardwareConcurrency >= 8 ? "high" : "medium";
}

/** A processor that draws is given a coarse picture: it can do no more in a reasonable time. */
export function firstRatio(budget: Budget): number {
  const most = Math.min(window.devicePixelRatio, budget.pixelRatio);
  return isSoftware() ? Math.min(most, budget.leastRatio) : most;
}
