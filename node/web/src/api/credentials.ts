// What a person was given: the credentials that they hold with their home, and which of them everybody sees.
import { AGE_GROUPS, AGE_SOURCES, type AgeGroup, type AgeSource, type Role, ROLES } from "./asks";
import { ask } from "./http";
import type { Session } from "./session";
import { clean, isFields, oneOf } from "./text";

/** What a credential says of its person. */
export type Saying =
  | { type: "Badge"; name: string; description: string }
  | { type: "AgeGroup"; group: AgeGroup; source: AgeSource | null }
  | { type: "NodeRole"; role: Role };

export type Held = Saying & {
  id: string;
  /** The host of who gave it. */
  issuerName: string;
  /** When it ends, if ever. */
  untilMs: number | null;
  /** Whether everybody sees it. */
  shown: boolean;
};

const CREDENTIALS = "/_wayside/v1/identity/credentials";
/** No home keeps more of them. */
const MOST = 64;
const NAME_LETTERS = 80;
const HOST_LETTERS = 255;
const DESCRIPTION_LETTERS = 1_024;
const ID = /^[0-9a-f]{1,128}$/i;
const LATEST_MS = 8.64e15;

const one = (id: string): string => `${CREDENTIALS}/${encodeURIComponent(id)}`;

/** All of them, the newest first. */
export async function credentials({ token }: Session): Promise<Held[]> {
  const said = await ask<unknown>("GET", CREDENTIALS, { token });
  const all = isFields(said) && Array.isArray(said.credentials) ? said.credentials : [];
  return all
    .slice(0, MOST)
    .map(readHeld)
    .filter((held) => held !== null);
}

/** The credentials themselves, as the home has them. */
export async function heldCredentials({ token }: Session): Promise<unknown[]> {
  const said = await ask<unknown>("GET", CREDENTIALS, { token });
  const all = isFields(said) && Array.isArray(said.credentials) ? said.credentials : [];
  return all.slice(0, MOST).flatMap((held) => (isFields(held) && held.credential !== undefined ? [held.credential] : []));
}

/** Has the home keep a credential that its person was given. */
export async function keep(credential: unknown, { token }: Session): Promise<void> {
  await ask("POST", CREDENTIALS, { body: { credential }, token });
}

/** Shows a badge to everybody, or no more. */
export async function show(id: string, shown: boolean, { token }: Session): Promise<void> {
  await ask("PUT", one(id), { body: { shown }, token });
}

export async function remove(id: string, { token }: Session): Promise<void> {
  await ask("DELETE", one(id), { token });
}

/** Reads what the home says of one; the names in it are those of who gave it. */
export function readHeld(said: unknown): Held | null {
  if (!isFields(said) || typeof said.id !== "string" || !ID.test(said.id)) return null;
  const saying = readSaying(said);
  return (
    saying && {
      ...saying,
      id: said.id,
      issuerName: clean(said.issuer_name, HOST_LETTERS),
      untilMs: time(said.until_ms),
      shown: said.shown === true,
    }
  );
}

/** What a credential says, as far as this page knows its kind. */
export function readSaying(said: Record<string, unknown>): Saying | null {
  switch (said.type) {
    case "Badge": {
      const name = clean(said.name, NAME_LETTERS) || clean(said.badge, NAME_LETTERS);
      return { type: "Badge", name, description: clean(said.description, DESCRIPTION_LETTERS) };
    }
    case "AgeGroup": {
      const group = oneOf(AGE_GROUPS, said.age_group);
      return group && { type: "AgeGroup", group, source: oneOf(AGE_SOURCES, said.age_source) };
    }
    case "NodeRole": {
      const role = oneOf(ROLES, said.role);
      return role && { type: "NodeRole", role };
    }
    default:
      return null;
  }
}

/** What people call an issuer: the host on which it is, with the path below it, or the DID itself; empty where it is none. */
export function issuerName(did: unknown): string {
  if (typeof did !== "string" || !did.startsWith("did:")) return "";
  const [, method, ...parts] = did.split(":");
  const place = method === "web" ? parts : method === "webvh" ? parts.slice(1) : [];
  const [host, ...path] = place;
  return clean(host ? [host.replace(/%3A/gi, ":"), ...path].join("/") : did, HOST_LETTERS);
}

/** A moment that can be written as a day. */
export function time(said: unknown): number | null {
  return typeof said === "number" && said >= 0 && said <= LATEST_MS ? said : null;
}
