// What a node asks to see and nobody has seen yet: what it says, and what of it somebody agrees to show there.
import { MOST_ASKS } from "../api/asks";
import { issuerName, readSaying, type Saying, time } from "../api/credentials";
import { base64url, sha256, utf8 } from "../identity/bytes";
import { canonical, isObject, type Json, type JsonObject } from "../identity/canonical";
import { agree, isAgreed, isRefused, refuse } from "./agreed";

/** A credential that a node asks to see, with what it says in a way that can be put into words. */
export interface Disclosure {
  credential: JsonObject;
  saying: Saying;
  /** Whose word it is. */
  issuerName: string;
  /** When it ends, if ever. */
  untilMs: number | null;
}

/** Asks somebody whether a node is shown all of these; null is that they gave no answer. */
export type Consent = (serverName: string, disclosures: readonly Disclosure[]) => Promise<boolean | null>;

export interface Choice {
  shown: readonly JsonObject[];
  /** Whether somebody was asked, which takes as long as they think about it. */
  wasAsked: boolean;
  /** Whether they go without something that fits. */
  isWithheld: boolean;
}

const KINDS = ["Badge", "AgeGroup", "NodeRole"] as const;

/** What of that which is asked somebody shows a node: nothing to which they have not said yes, there or before. */
export async function chosen(asked: readonly JsonObject[], serverName: string, consent: Consent | null): Promise<Choice> {
  const known = asked.slice(0, MOST_ASKS).map(readDisclosure).filter((one) => one !== null);
  const all = await Promise.all(known.map(async (one) => ({ one, fingerprint: await fingerprintOf(one.credential) })));
  const open = all.filter(({ fingerprint }) => !isAgreed(serverName, fingerprint));
  const asks = open.length > 0 && !isRefused(serverName) ? consent : null;
  const answer = asks && (await asks(serverName, open.map(({ one }) => one)));
  if (answer === true) for (const { fingerprint } of open) agree(serverName, fingerprint);
  if (answer === false) refuse(serverName);
  const shown = all.filter(({ fingerprint }) => isAgreed(serverName, fingerprint)).map(({ one }) => one.credential);
  return { shown, wasAsked: asks !== null, isWithheld: shown.length < all.length };
}

/** Reads what a credential says of its person; null where there are no words for it, and nobody could say yes to it. */
export function readDisclosure(credential: JsonObject): Disclosure | null {
  const { type, credentialSubject: subject, validUntil } = credential;
  const kinds = KINDS.filter((kind) => Array.isArray(type) && type.includes(kind));
  if (kinds.length !== 1 || !isObject(subject)) return null;
  const { ageGroup, ageSource, ...rest } = subject;
  const saying = readSaying({ ...rest, type: kinds[0], age_group: ageGroup, age_source: ageSource });
  const issuer = issuerName(issuerOf(credential));
  if (saying === null || issuer === "" || (saying.type === "Badge" && saying.name === "")) return null;
  // A role is said anew each time, and good for some minutes only: when these end says nothing.
  const ends = saying.type !== "NodeRole" && typeof validUntil === "string";
  return { credential, saying, issuerName: issuer, untilMs: ends ? time(Date.parse(validUntil)) : null };
}

/** What stays the same where the same is said by the same anew, as homes do with a role at every visit. */
async function fingerprintOf(credential: JsonObject): Promise<string> {
  const { type = null, credentialSubject: subject = null } = credential;
  return base64url(await sha256(utf8(canonical([type, issuerOf(credential), subject]))));
}

function issuerOf({ issuer = null }: JsonObject): Json {
  return isObject(issuer) ? (issuer.id ?? null) : issuer;
}
