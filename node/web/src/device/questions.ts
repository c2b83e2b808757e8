// What was asked in a room while no page was open: which questions still stand, and which were broken off here.
import type { RawEvent } from "./sync";

/** A question that is older than this was meant for another day (client-server API, key verification framework). */
export const LATEST_MS = 10 * 60_000;
/** A clock that is ahead by more than this is not believed. */
const EARLIEST_MS = 5 * 60_000;
/** Somebody who was asked and does nothing for so long does not want to. */
const PATIENCE_MS = 2 * 60_000;

export interface Asker {
  userId: string;
  deviceId: string;
}

export interface Standing {
  /** Questions to this person that nobody has answered. */
  open: RawEvent[];
  /** Those that this device asked or took up, which ended with the page that did. */
  brokenOff: string[];
}

/** Whether an event of a room is part of a comparison. */
export function isTalk({ type, content }: RawEvent): boolean {
  return isQuestion({ type, content }) || type.startsWith("m.key.verification.");
}

function isQuestion({ type, content }: Pick<RawEvent, "type" | "content">): boolean {
  return type === "m.room.message" && content.msgtype === "m.key.verification.request";
}

/** Whether a question of that time is one of now. */
export function isFresh(askedMs: number, nowMs: number): boolean {
  return nowMs - askedMs <= LATEST_MS && askedMs - nowMs <= EARLIEST_MS;
}

/** Until when a question is shown that nobody answers. */
export function shownUntil(askedMs: number, heardMs: number): number {
  return Math.min(askedMs + LATEST_MS, heardMs + PATIENCE_MS);
}

/** Looks through the events of a room, opened and in their order. */
export function standing(events: readonly RawEvent[], own: Asker, nowMs: number): Standing {
  const found: Standing = { open: [], brokenOff: [] };
  for (const [place, question] of events.entries()) {
    const id = question.event_id;
    if (!isQuestion(question) || !id || !isFresh(question.origin_server_ts ?? 0, nowMs)) continue;
    const answers = events.slice(place + 1).filter((event) => isTalk(event) && questionOf(event) === id);
    const involved = [question.sender, question.content.to];
    // Only those two can end it.
    const ended = ["m.key.verification.cancel", "m.key.verification.done"];
    if (answers.some(({ type, sender }) => ended.includes(type) && involved.includes(sender))) continue;
    const mine = [question, ...answers].filter(({ sender }) => sender === own.userId);
    if (mine.some(({ content }) => content.from_device === own.deviceId)) found.brokenOff.push(id);
    else if (mine.length === 0 && question.content.to === own.userId) found.open.push(question);
  }
  return found;
}

function questionOf({ content }: RawEvent): unknown {
  return (content["m.relates_to"] as { event_id?: unknown } | undefined)?.event_id;
}
