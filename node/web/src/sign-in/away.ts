// People whom somebody else knows: on their way to their provider of identities, and back from it.
import { ask, FAR_MS } from "../api/http";
import type { Provider } from "../api/node";
import type { Shown } from "../api/passkeys";
import { type Brought, broughtBy } from "./returned";

const KEY = "wayside.away";
const SECRET_BYTES = 32;

/** What this tab keeps while its person is away. */
interface Away {
  /** A secret by which the node knows this browser again. */
  browser: string;
  /** The page that they left, with what it was asked. */
  page: string;
  /** The host of their home, where they went there. */
  home?: string;
}

/**
 * Whom a provider vouches for: somebody who has an account here, who comes in, confirms something or is known to
 * it from now on, or a newcomer.
 */
export type Arrived =
  | { user_id: string; login_token: string }
  | { user_id: string; word: string }
  | { user_id: string; linked: string }
  | Newcomer;

export interface Newcomer {
  ticket: string;
  provider: string;
  name: string | null;
  displayname: string | null;
  registration: boolean;
}

/** A secret by which the node knows this browser again. */
export function newSecret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Goes where the node says; the page of that address is where its person goes on afterwards. */
export async function leaveTo(
  browser: string,
  page: URL,
  begin: () => Promise<{ location: string }>,
  toHome = false,
): Promise<void> {
  const door = (await begin()).location;
  const away: Away = { browser, page: page.pathname + page.search, ...(toHome ? { home: new URL(door).host } : {}) };
  sessionStorage.setItem(KEY, JSON.stringify(away));
  location.assign(door);
}

/** Goes to a provider, to come in or to confirm something. */
export function leave(provider: Provider, page: URL, confirm = false): Promise<void> {
  const browser = newSecret();
  const path = `/_wayside/v1/providers/${encodeURIComponent(provider.id)}/begin`;
  return leaveTo(browser, page, () => ask("POST", path, { body: { browser, confirm } }));
}

/** Goes to one's home on another node, to come in or to confirm something. */
export function leaveForHome(home: string, page: URL, confirm: boolean): Promise<void> {
  const browser = newSecret();
  const asked = { body: { browser, confirm, home }, timeoutMs: FAR_MS };
  return leaveTo(browser, page, () => ask("POST", "/_wayside/v1/providers/did/begin", asked), true);
}

/** What this tab kept, if its person set out from here. */
export function kept(): Away | null {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Away | null;
  } catch {
    return null;
  }
}

/** What came of the journey: nothing where its person was turned away, or why their home could not answer. */
export async function arrive(address: URL, { browser, page }: Away): Promise<Arrived | { failed: string } | null> {
  const brought: Brought | null = broughtBy(address);
  if (brought === null || "failed" in brought) return brought;
  const confirm = new URL(page, location.origin).searchParams.get("confirm");
  const body = { ...brought, browser, ...(confirm ? { confirm } : {}) };
  return ask("POST", "/_wayside/v1/providers/finish", { body, timeoutMs: FAR_MS });
}

export const makeAccount = ({ ticket }: Newcomer, { browser }: Away, name: string): Promise<{ login_token: string }> =>
  ask("POST", "/_wayside/v1/providers/register", { body: { ticket, browser, name } });

/** Tells the node that a newcomer is somebody whom it knows by another name. */
export const makeKnown = ({ ticket }: Newcomer, { browser }: Away, proof: Known): Promise<{ login_token: string }> => {
  const shown = "ceremony" in proof ? { passkey: proof } : { proof };
  return ask("POST", "/_wayside/v1/providers/link", { body: { ticket, browser, ...shown } });
};

/** By what somebody shows that an account here is theirs. */
export type Known = { user: string; password: string } | Shown;
