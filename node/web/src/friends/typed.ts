// Whom somebody means by what they type: an address, a link to a person, a URI.
import { readUserId } from "../api/friends";
import { fullAddress } from "../api/session";
import { PAGE, SCHEME } from "../travel/uri";

/** The account that is meant, one without a node being of this one; null is that it names nobody. */
export function readPerson(typed: string, serverName: string): string | null {
  const text = typed.trim();
  if (SCHEME.test(text)) return readUserId(decoded(text.replace(SCHEME, ""))?.replace(/^(?:u|user)\//, "@"));
  if (PAGE.test(text)) return readUserId(decoded(text.replace(PAGE, "")));
  // A room is nobody.
  if (/^[#!$]/.test(text)) return null;
  // On a telephone names begin with a large letter by themselves; no account of now has one.
  const isShort = !text.includes(":");
  return readUserId(fullAddress(isShort ? text.toLowerCase() : text, serverName));
}

/** The path of a link, without what says how to get there. */
function decoded(rest: string): string | null {
  try {
    return decodeURIComponent(rest.split(/[?#]/)[0] ?? "");
  } catch {
    return null;
  }
}
