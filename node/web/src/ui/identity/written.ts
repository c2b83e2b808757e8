// How keys, names and days of an identity are written for people.
import { locale } from "../../i18n";

const [HEAD, TAIL] = [6, 6];

/** The end of a key, by which people tell it from others. */
export const endOf = (key: string): string => key.slice(-TAIL);

export const dayOf = (ms: number): string => new Intl.DateTimeFormat(locale(), { dateStyle: "medium" }).format(ms);

/** A DID with the middle of its SCID left out: where it is, and enough to tell it from another. */
export function didWithPlace(did: string): string {
  const [scheme, method, scid = "", ...place] = did.split(":");
  const short = scid.length > HEAD + TAIL ? `${scid.slice(0, HEAD)}…${scid.slice(-TAIL)}` : scid;
  return [scheme, method, short, ...place].join(":");
}

/** The machine on which a DID is. */
export const hostOf = (did: string): string => (did.split(":")[3] ?? "").replace("%3A", ":");
