// The testing hook `window.wayside`: what the page is doing, for stories that drive a real browser.
import type { Visit } from "./visit/visit";

interface Reported {
  phase: string;
  error?: string;
}

const errors: string[] = [];
let phase = "starting";
let visit: Visit | null = null;
let friends: (() => object) | null = null;

export function report(news: Reported): void {
  phase = news.phase;
  if (news.error !== undefined) errors.push(news.error);
}

export function reportVisit(now: Visit | null): void {
  visit = now;
}

/** Says from where it is known how it is with friends; null where it is with nobody's. */
export function reportFriends(now: typeof friends): void {
  friends = now;
}

function me(): object | null {
  if (!visit?.walker) return null;
  const { feet, yaw, motion, speed } = visit.walker;
  const { x, y, z } = feet;
  const { shownUrl: avatar, isFallback, doing } = visit.own.body;
  const place = visit.seat?.place ?? null;
  return { x, y, z, yaw, motion, speed, seat: place, slot: visit.slot, avatar, isFallback, emote: doing.emote };
}

function bodies(): object[] {
  if (!visit) return [];
  return [...visit.crowd.people].map(([slot, { entered, body, motion, yaw, tracked: parts }]) => {
    const { x, y, z } = body.group.position;
    const { userId, name, seat, guest, badges } = entered;
    const { shownUrl: avatar, isFallback, doing } = body;
    const { emote, speed } = doing;
    const tracked = parts.now;
    return { slot, userId, name, guest, badges, x, y, z, yaw, motion, speed, emote, seat, avatar, isFallback, tracked };
  });
}

function state(): object {
  const world = visit ? { ...visit.world } : null;
  const chat = (visit?.chat.lines ?? []).map(({ sender, body, eventId, state: sent, redacted }) => {
    return { sender, body, eventId, state: sent, redacted };
  });
  const frame = {
    count: visit?.frames.count ?? 0,
    fps: visit?.frames.fps ?? 0,
    quality: visit?.stage.level ?? null,
    roundTripMs: visit?.connection.roundTripMs ?? null,
  };
  const seats = (visit?.scene?.seats ?? []).map(({ place, knee }) => ({ place, x: knee.x, y: knee.y, z: knee.z }));
  const arches = [...(visit?.scene?.places ?? [])]
    .filter(([name]) => name.startsWith("portal_"))
    .map(([name, { at, yaw }]) => ({ name, x: at.x, y: at.y, z: at.z, yaw }));
  const node = visit?.host.serverName ?? null;
  const befriended = friends?.() ?? null;
  return { phase, node, me: me(), friends: befriended, bodies: bodies(), chat, world, seats, arches, frame, errors: [...errors] };
}

declare global {
  interface Window {
    wayside: { state(): object };
  }
}

export function installHook(): void {
  window.wayside = { state };
  window.addEventListener("error", (event) => errors.push(String(event.message)));
  window.addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
}
