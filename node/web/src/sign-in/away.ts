// People whom somebody else knows: on their way to their provider of identities, and back from it.
import { ask } from "../api/http";
import type { Provider } from "../api/node";
import type { Proof } from "./asking";

const KEY = "wayside.away";
const SECRET_BYTES = 32;

/** What this tab keeps while its person is away. */
interface Away {
  /** A secret by which the node knows this browser again. */
  browser: string;
  /** The page that they left, with what it was asked. */
  page: string;
}

/** Whom a provider vouches for: somebody who has an account here, or a newcomer. */
export type Arrived = { user_id: string; login_token: string } | Newcomer;

export interface Newcomer {
  ticket: string;
  provider: string;
  name: string | null;
  displayname: string | null;
  registration: boolean;
}

/** Goes to a provider; the page of that address is where its person goes on afterwards. */
export async function leave(provider: Provider, page: URL): Promise<void> {
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  const browser = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const away: Away = { browser, page: page.pathname + page.search };
  sessionStorage.setItem(KEY, JSON.stringify(away));
  const path = `/_wayside/v1/providers/${encodeURIComponent(provider.id)}/begin`;
  location.assign((await ask<{ location: string }>("POST", path, { body: { browser } })).location);
}

/** What this tab kept, if its person set out from here. */
export function kept(): Away | null {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Away | null;
  } catch {
    return null;
  }
}

/** Shows the node with what the provider sent its person back; nothing where it turned them away. */
export async function arrive(address: URL, { browser }: Away): Promise<Arrived | null> {
  const [state, code, iss] = ["state", "code", "iss"].map((name) => address.searchParams.get(name));
  if (!state || !code) return null;
  const body = { state, code, browser, ...(iss ? { iss } : {}) };
  return ask("POST", "/_wayside/v1/providers/finish", { body });
}

export const makeAccount = ({ ticket }: Newcomer, { browser }: Away, name: string): Promise<{ login_token: string }> =>
  ask("POST", "/_wayside/v1/providers/register", { body: { ticket, browser, name } });

/** Tells the node that a newcomer is somebody whom it knows by another name. */
export const makeKnown = ({ ticket }: Newcomer, { browser }: Away, proof: Proof): Promise<{ login_token: string }> =>
  ask("POST", "/_wayside/v1/providers/link", { body: { ticket, browser, proof } });
