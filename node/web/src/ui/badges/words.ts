// What a credential says, who gave it and until when, in words.
import type { Saying } from "../../api/credentials";
import { ApiError } from "../../api/http";
import { locale, t } from "../../i18n";
import { sentence, words } from "../errors";

/** What it is called. */
export function titleOf(saying: Saying): string {
  switch (saying.type) {
    case "Badge":
      return saying.name;
    case "AgeGroup":
      return t(`badges.age.${saying.group}`);
    case "NodeRole":
      return t(`badges.role.${saying.role}`);
  }
}

/** What more there is to say of it. */
export function aboutOf(saying: Saying): string {
  if (saying.type === "Badge") return saying.description;
  return saying.type === "AgeGroup" && saying.source !== null ? t(`badges.source.${saying.source}`) : "";
}

export const isOver = (untilMs: number | null, nowMs: number): boolean => untilMs !== null && untilMs <= nowMs;

/** Until when it counts, where it ends. */
export function untilWords(untilMs: number | null, nowMs: number): string | null {
  if (untilMs === null) return null;
  // What ends as a day begins counts until the day before.
  const day = new Intl.DateTimeFormat(locale(), { dateStyle: "medium" }).format(Math.max(0, untilMs - 1));
  return t(isOver(untilMs, nowMs) ? "badges.over" : "badges.until", { day });
}

/** What the node refused about somebody; what it does not find is none of its places. */
export function badgeWords(error: unknown): string {
  return error instanceof ApiError && error.code === "M_NOT_FOUND" ? sentence(error.message) : words(error);
}
