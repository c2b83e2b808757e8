// What somebody brings along who comes back from where they went to show who they are.
import { isObject, type JsonObject, readJson } from "../identity/canonical";
import { IdentityError } from "../identity/errors";

/** What the node is shown, in the words of whoever vouches. */
export type Brought =
  | { state: string; code: string; iss?: string }
  | { state: string; vp_token: JsonObject }
  /** Their home could not answer, for a reason that it names. */
  | { failed: string };

/** Presentations with the word of a home have a few thousand letters. */
const FRAGMENT_LETTERS = 128 * 1024;
const STATE = /^[A-Za-z0-9._~-]{1,1024}$/;
const CODE = /^[a-z_]{1,64}$/;

/** What an address holds; nothing where they were turned away, or did not want to. */
export function broughtBy(address: URL): Brought | null {
  return address.hash.length > 1 ? fromHome(address.hash.slice(1)) : fromProvider(address.searchParams);
}

/** A provider of identities answers behind the question mark (OpenID Connect Core 1.0, section 3.1.2.5). */
function fromProvider(given: URLSearchParams): Brought | null {
  const [state, code, iss] = ["state", "code", "iss"].map((name) => given.get(name));
  if (!state || !code) return null;
  return { state, code, ...(iss ? { iss } : {}) };
}

/** A home answers behind the #, which no server is told (OpenID4VP 1.0, section 8). */
function fromHome(fragment: string): Brought | null {
  if (fragment.length > FRAGMENT_LETTERS) return { failed: "too_large" };
  const given = new URLSearchParams(fragment);
  const once = (name: string): string | null => {
    const values = given.getAll(name);
    return values.length === 1 ? (values[0] ?? null) : null;
  };
  if (given.has("error")) {
    const code = once("error") ?? "";
    if (code === "access_denied") return null;
    return { failed: CODE.test(code) ? code : "malformed" };
  }
  const [state, token] = [once("state"), once("vp_token")];
  const shown = token === null ? null : object(token);
  if (state === null || !STATE.test(state) || shown === null) return { failed: "malformed" };
  return { state, vp_token: shown };
}

function object(text: string): JsonObject | null {
  try {
    const value = readJson(text);
    return isObject(value) ? value : null;
  } catch (error) {
    if (error instanceof IdentityError) return null;
    throw error;
  }
}
