// Presses on somebody's body: near enough to how they are drawn, and not the end of a drag.
import { Vector3 } from "three";
import type { Visit } from "./visit";

/** A pointer that goes further looks around. */
const STILL_PX = 6;
const LONGEST_MS = 500;
/** Nobody further away is meant. */
const REACH_M = 25;
/** A body is about as wide, for a finger or a mouse. */
const WIDTH_M = 0.6;
const LEAST_PX = 12;

const feet = new Vector3();
const head = new Vector3();

/** Tells whose body is pressed until the returned function is called. */
export function watchPresses(visit: Visit, pressed: (userId: string) => void): () => void {
  const { canvas } = visit.stage;
  const stop = new AbortController();
  const { signal } = stop;
  let down: { x: number; y: number; ms: number } | null = null;
  canvas.addEventListener("pointerdown", ({ clientX: x, clientY: y, timeStamp: ms }) => (down = { x, y, ms }), { signal });
  canvas.addEventListener(
    "pointerup",
    ({ clientX: x, clientY: y, timeStamp: ms }) => {
      const from = down;
      down = null;
      if (!from || ms - from.ms > LONGEST_MS || Math.hypot(x - from.x, y - from.y) > STILL_PX) return;
      const userId = personAt(visit, x, y);
      if (userId !== null) pressed(userId);
    },
    { signal },
  );
  return () => stop.abort();
}

/** The nearest of those who are drawn there. */
function personAt({ crowd, stage }: Visit, x: number, y: number): string | null {
  const { camera, canvas } = stage;
  const box = canvas.getBoundingClientRect();
  let found: string | null = null;
  let nearest = REACH_M;
  for (const { body, entered, seen, distance } of crowd.people.values()) {
    if (!seen || !body.group.visible || distance > nearest) continue;
    body.group.getWorldPosition(feet);
    head.copy(feet);
    head.y += body.eyes;
    feet.project(camera);
    head.project(camera);
    if (feet.z > 1 || head.z > 1) continue;
    const [left, bottom] = [box.left + ((feet.x + 1) / 2) * box.width, box.top + ((1 - feet.y) / 2) * box.height];
    const top = box.top + ((1 - head.y) / 2) * box.height;
    const height = Math.abs(bottom - top);
    const half = Math.max(LEAST_PX, (height * WIDTH_M) / Math.max(0.5, body.eyes) / 2);
    if (Math.abs(x - left) > half || y > bottom + half / 2 || y < top - half) continue;
    found = entered.userId;
    nearest = distance;
  }
  return found;
}
