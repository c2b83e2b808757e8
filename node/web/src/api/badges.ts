// The badges of the node, and giving them: what its members see of them, and what its moderators do with them.
import type { Role } from "./asks";
import { readSaying, type Saying, time } from "./credentials";
import { ask } from "./http";
import type { Session } from "./session";
import { clean, isFields } from "./text";

export interface Badge {
  id: string;
  name: string;
  description: string;
}

/** What the node has given somebody. */
export type Given = Saying & {
  number: number;
  untilMs: number | null;
  takenBackMs: number | null;
};

/** What is written of a badge here: in letters of any alphabet that is less than the 255 and 1,024 bytes that nodes take. */
export const NAME_LETTERS = 80;
export const DESCRIPTION_LETTERS = 300;
/** Of others it may be longer. */
const DESCRIPTION_READ = 1_024;
const ID_LETTERS = 64;
/** No node gives more of them. */
const MOST = 500;
const ROOT = "/_wayside/v1";

/** The badges that this node has defined or given. */
export async function badges({ token }: Session): Promise<Badge[]> {
  const said = await ask<unknown>("GET", `${ROOT}/badges`, { token });
  return listOf(said, "badges").map(readBadge).filter((one) => one !== null);
}

function readBadge(said: unknown): Badge | null {
  if (!isFields(said) || typeof said.badge !== "string" || said.badge === "" || said.badge.length > ID_LETTERS) return null;
  const { badge: id } = said;
  return { id, name: clean(said.name, NAME_LETTERS) || clean(id, NAME_LETTERS), description: clean(said.description, DESCRIPTION_READ) };
}

/** Whether somebody may give badges here. */
export async function mayGive({ token }: Session): Promise<boolean> {
  const { role } = await ask<{ role?: Role }>("GET", `${ROOT}/account`, { token });
  return role === "moderator" || role === "operator";
}

/** Gives somebody a badge, for good or until a moment. */
export async function give(userId: string, { id, name, description }: Badge, untilMs: number | null, { token }: Session): Promise<void> {
  const badge = { id, name, ...(description === "" ? {} : { description }) };
  await ask("POST", `${ROOT}/given`, { body: { user_id: userId, badge, ...(untilMs === null ? {} : { until_ms: untilMs }) }, token });
}

/** What the node has given somebody, taken back or not. */
export async function given(userId: string, { token }: Session): Promise<Given[]> {
  const said = await ask<unknown>("GET", `${ROOT}/given?${new URLSearchParams({ user_id: userId })}`, { token });
  return listOf(said, "given").map(readGiven).filter((one) => one !== null);
}

function readGiven(said: unknown): Given | null {
  if (!isFields(said) || !Number.isSafeInteger(said.number)) return null;
  const saying = readSaying(said);
  const { number, until_ms: untilMs, taken_back_ms: takenBackMs } = said;
  return saying && { ...saying, number: number as number, untilMs: time(untilMs), takenBackMs: time(takenBackMs) };
}

export async function takeBack(number: number, { token }: Session): Promise<void> {
  await ask("DELETE", `${ROOT}/given/${number}`, { token });
}

function listOf(said: unknown, name: string): unknown[] {
  const all = isFields(said) ? said[name] : null;
  return Array.isArray(all) ? all.slice(0, MOST) : [];
}
