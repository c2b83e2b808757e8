// Where friends are, and since when they are not here, in words.
import type { Friend, Place } from "../../api/friends";
import { locale, t } from "../../i18n";

const MINUTE_MS = 60_000;
/** The units in which a time that has passed is told, the largest first, and from when on. */
const UNITS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 24 * 60 * MINUTE_MS],
  ["hour", 60 * MINUTE_MS],
  ["minute", MINUTE_MS],
];
/** Who was last here longer ago is simply not here. */
const LONGEST_MS = 30 * 24 * 60 * MINUTE_MS;

/** How it is with a friend now; `isHere` where they are in the same world. */
export function whereWords({ place, presence, activeMs }: Friend, home: string, isHere: boolean, nowMs: number): string {
  if (isHere) return t("friends.here");
  if (place) return placeWords(place, home);
  if (presence === "online") return t("friends.online");
  if (presence === "unavailable") return t("friends.away");
  const sinceMs = nowMs - (activeMs ?? 0);
  return sinceMs > LONGEST_MS ? t("friends.offline") : t("friends.last", { time: ago(sinceMs) });
}

function placeWords({ name: world, server: node, public: open }: Place, home: string): string {
  const isHome = node === home;
  if (!open) return isHome ? t("friends.in_private") : t("friends.in_private_at", { node });
  if (world === "") return isHome ? t("friends.in_some") : t("friends.in_some_at", { node });
  return isHome ? t("friends.in", { world }) : t("friends.in_at", { world, node });
}

function ago(ms: number): string {
  const [unit, unitMs] = UNITS.find(([, least]) => ms >= least) ?? (["minute", MINUTE_MS] as const);
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: "auto" });
  return format.format(-Math.max(0, Math.floor(ms / unitMs)), unit);
}
