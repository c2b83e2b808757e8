// The badges that somebody shows in a world, as they may be written there.
import { clean } from "../api/text";
import type { WornBadge } from "../net/codec";

const NAME_LETTERS = 80;
const HOST_LETTERS = 255;

/** Without what could disguise their names; one of which nothing is left to be seen is none. */
export function wornOf(badges: readonly WornBadge[]): WornBadge[] {
  const read = badges.map(({ name, issuer }) => ({ name: clean(name, NAME_LETTERS), issuer: clean(issuer, HOST_LETTERS) }));
  return read.filter(({ name, issuer }) => name !== "" && issuer !== "");
}
