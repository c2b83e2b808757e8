// What a program or device asks of whoever signs in, as the address says it and the node knows it.
import { ask } from "../api/http";
import type { Shown } from "../api/passkeys";

/** Who asks: a program with a page of its own, a device that shows a code, or a client of before OAuth. */
export type Stranger = { authorization: Record<string, string> } | { device: string } | { sso: string };

/** What somebody signs in for: a stranger, or this node's own client, at one of its pages. */
export type What = Stranger | { home: string };

export interface Program {
  name: string;
  uri?: string;
}

/** What somebody knows, or that they have come in already by another way. */
export type Proof = { user: string; password: string } | { login_token: string };

/** What the address asks for; nothing where somebody opened the page without a program. */
export function asked(address: URL): What | null {
  const given = address.searchParams;
  const code = given.get("code");
  if (address.pathname === "/link") return code === null ? null : { device: code };
  const sso = given.get("sso");
  if (sso !== null) return { sso };
  const home = given.get("home");
  if (home !== null) return { home: pageHere(home) };
  if (!given.has("client_id")) return null;
  // A name that stands twice means nothing (RFC 6749, 3.1): the node is shown none of both.
  const once = [...new Set(given.keys())].filter((name) => given.getAll(name).length === 1);
  return { authorization: Object.fromEntries(once.map((name) => [name, given.get(name) ?? ""])) };
}

/** A page of this node, whatever an address makes of itself: nobody is sent elsewhere. */
function pageHere(home: string): string {
  const { pathname, search } = new URL(home, location.origin);
  return `${location.origin}${pathname}${search}`;
}

/** Whether a page of this node lets people in by itself; the one on which they show who they are sends them here. */
export const hasOwnDoor = (home: string): boolean => new URL(home).pathname !== "/present";

export const wantsAccount = (address: URL): boolean =>
  (address.searchParams.get("prompt") ?? "").split(" ").includes("create");

export const look = (what: Stranger): Promise<Program> => ask("POST", "/_wayside/v1/sign-in/look", { body: { what } });

/** Lets it in, or without a proof turns it away; gives the address to go to, if there is one. */
export async function decide(what: Stranger, proof: Proof | Shown | null): Promise<string | null> {
  const body = proof === null ? { what } : "ceremony" in proof ? { what, passkey: proof } : { what, proof };
  return (await ask<{ location: string | null }>("POST", "/_wayside/v1/sign-in", { body })).location;
}

/** Makes an account that nothing is signed in to yet. */
export async function createAccount(proof: { user: string; password: string }, invitation: string | null): Promise<void> {
  const auth = invitation ? { type: "m.login.registration_token", token: invitation } : { type: "m.login.dummy" };
  const body = { auth, username: proof.user, password: proof.password, inhibit_login: true };
  await ask("POST", "/_matrix/client/v3/register", { body });
}

/** Whose password a link of the node's operator changes. */
export async function ownerOf(link: string): Promise<string> {
  return (await ask<{ user_id: string }>("GET", `/_wayside/v1/resets/${encodeURIComponent(link)}`)).user_id;
}

export async function choosePassword(link: string, password: string): Promise<void> {
  await ask("POST", `/_wayside/v1/resets/${encodeURIComponent(link)}`, { body: { password } });
}

/** The host to which an address leads, or the program on this device that takes it. */
export function hostOf(uri: string): string {
  const url = new URL(uri);
  return url.host === "" ? url.protocol : url.host;
}
