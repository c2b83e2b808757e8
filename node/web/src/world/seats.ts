// Seats: which is near enough, and where a body must be so that it sits on one.
import { Vector3 } from "three";
import type { Seat } from "./scene";

/** Somebody nearer than this may sit down. */
export const REACH_M = 1.8;

/** Of the hips, above and in front of where the back and the seat meet, for a person of 1.6 m. */
const HIPS_ABOVE = 0.07;
const HIPS_BEFORE = 0.15;

const POINT_BEFORE = 0.12;

const forward = new Vector3();
const UP = new Vector3(0, 1, 0);

/** The place of the feet of a body whose hips are there, in its own frame, when it sits. */
export function seatRoot(seat: Seat, hips: Vector3, into: Vector3): Vector3 {
  forward.subVectors(seat.knee, seat.back).setY(0).normalize();
  into.copy(seat.back).addScaledVector(forward, HIPS_BEFORE);
  into.y += HIPS_ABOVE;
  const offset = hips.clone().applyAxisAngle(UP, seat.yaw);
  return into.sub(offset);
}

/** The point that stands for a body on that seat in the real-time protocol. */
export function seatedPoint(seat: Seat, into: Vector3): Vector3 {
  forward.subVectors(seat.knee, seat.back).setY(0).normalize();
  return into.copy(seat.back).addScaledVector(forward, POINT_BEFORE).setY(seat.foot.y);
}

/** The nearest seat in reach that nobody sits on. */
export function nearest(
  seats: readonly Seat[],
  at: Vector3,
  taken: (place: number) => boolean,
): Seat | null {
  let best: Seat | null = null;
  let least = REACH_M;
  for (const seat of seats) {
    const distance = Math.hypot(seat.knee.x - at.x, seat.knee.z - at.z);
    if (distance > least || Math.abs(seat.foot.y - at.y) > 1.2 || taken(seat.place)) continue;
    best = seat;
    least = distance;
  }
  return best;
}
