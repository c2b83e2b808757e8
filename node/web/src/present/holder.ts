// Whoever is asked: what their home knows of their DID, the key of this browser for it, and what it signs.
import type { Ask, NamedAsk } from "../api/asks";
import { ApiError, ask } from "../api/http";
import type { Session } from "../api/session";
import { isObject, type Json, type JsonObject } from "../identity/canonical";
import { deviceKeyOf, type KeyStore } from "../identity/device";
import { personOf } from "../identity/document";
import { IdentityError } from "../identity/errors";
import { Log } from "../identity/log";
import { prove } from "../identity/proof";
import type { Signer } from "../identity/signing";

/** Whom something is shown to, and what they asked to be signed along. */
export interface Asked {
  domain: string;
  challenge: string;
}

/** Somebody whose DID names the key of this browser. */
export interface Holder {
  did: string;
  signer: Signer;
}

/** Why nothing can be signed here for somebody. */
export type Lack =
  /** They have no DID, or none with keys of their own. */
  | "no_identity"
  /** This browser is none of the devices of their DID. */
  | "no_key"
  /** Their DID has come to its end. */
  | "ended"
  /** It has another home by now. */
  | "moved"
  /** What the home says of the DID does not prove itself. */
  | "unproven"
  /** The browser cannot do what is needed. */
  | "unsupported";

interface Identity {
  did: string | null;
  log: string | null;
}

/** What the home says of somebody to others. */
export interface Vouched {
  /** That they are a member of it. */
  credential: Json;
  /** The badges that they show everybody. */
  others: readonly Json[];
  /** What fits that which is asked for and nobody has seen yet: it is shown to nobody but by their word. */
  asked: readonly Json[];
}

/** The same as homes say it. */
type Said = Pick<Vouched, "credential"> & Partial<Vouched>;

/** Whom this page has proven to be here, by what the home said: the same text proves the same once more. */
interface Proven extends Identity {
  mxid: string;
  holder: Holder;
}

const LASTS_MS = 5 * 60_000;
const CONTEXT = "https://www.w3.org/ns/credentials/v2";

let proven: Proven | null = null;

/** Has this page forget whom it has proven to be here, as whoever signs out has their keys forgotten. */
export function forgetHolder(): void {
  proven = null;
}

/** Who somebody is here, as far as they can show it from this browser. */
export async function holderOf(session: Session): Promise<Holder | Lack> {
  let identity: Identity;
  try {
    identity = await ask<Identity>("GET", "/_wayside/v1/identity", { token: session.token });
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return "no_identity";
    throw error;
  }
  const { did, log } = identity;
  const { userId: mxid } = session;
  if (proven && proven.did === did && proven.log === log && proven.mxid === mxid) return proven.holder;
  const holder = await holderBy(identity, mxid);
  if (typeof holder !== "string") proven = { did, log, mxid, holder };
  return holder;
}

/** The same by what the home has said; it is believed in nothing that its log does not prove. */
export async function holderBy({ did, log }: Identity, mxid: string, store?: KeyStore): Promise<Holder | Lack> {
  if (did === null || log === null) return "no_identity";
  try {
    const { last, did: name } = await Log.read(log, did);
    if (last.deactivated) return "ended";
    const person = personOf(last.state);
    if (name !== did || person.mxid !== mxid) return "moved";
    const signer = await deviceKeyOf(did, store);
    return signer && person.devices.includes(signer.multikey) ? { did, signer } : "no_key";
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    return error.why === "unsupported" ? "unsupported" : "unproven";
  }
}

/** The word of the home that somebody is a member of it, with what else a node is to see of them. */
export async function membership({ token }: Session, asks: readonly NamedAsk[] = []): Promise<Vouched> {
  const body = { asks: asks.map(unnamed) };
  // Homes of before know of no others, and of nothing that is asked about.
  const { credential, others = [], asked = [] } = await ask<Said>("POST", "/_wayside/v1/identity/membership", { body, token });
  return { credential, others, asked };
}

/** Without the name of its issuer, which is for people. */
function unnamed({ issuer_name: _, ...asked }: NamedAsk): Ask {
  return asked;
}

/** Whether a credential speaks of somebody: the word about another would be shown as theirs. */
export function isAbout(credential: Json, { did }: Holder): credential is JsonObject {
  const subject = isObject(credential) ? credential.credentialSubject : undefined;
  return isObject(subject) && subject.id === did;
}

/** The same of what somebody was given, which stays theirs when they move: a did:webvh is compared by its SCID. */
export function isOfPerson(credential: Json, { did }: Holder): credential is JsonObject {
  const subject = isObject(credential) ? credential.credentialSubject : undefined;
  const id = isObject(subject) ? subject.id : undefined;
  return typeof id === "string" && compared(id) === compared(did);
}

function compared(did: string): string {
  return did.startsWith("did:webvh:") ? did.split(":", 3).join(":") : did;
}

/** Shows that somebody is here, to whoever asked and once (VC Data Model 2.0, section 4.13). */
export async function present(
  { did, signer }: Holder,
  { domain, challenge }: Asked,
  credentials: readonly JsonObject[],
  nowMs: number,
): Promise<JsonObject> {
  const presentation: JsonObject = {
    "@context": [CONTEXT],
    type: ["VerifiablePresentation"],
    holder: did,
    verifiableCredential: [...credentials],
  };
  const proof = await prove(
    presentation,
    {
      verificationMethod: `${did}#${signer.multikey}`,
      purpose: "authentication",
      createdMs: nowMs,
      expiresMs: nowMs + LASTS_MS,
      domain,
      challenge,
    },
    signer,
  );
  return { ...presentation, proof };
}
