// Data Integrity proofs by eddsa-jcs-2022: a signature inside the JSON that it is over (vc-di-eddsa, section 3.3).
import { base58, fromBase58 } from "./base58";
import { type Bytes, joined, sha256, utf8 } from "./bytes";
import { canonical, isObject, type Json, type JsonObject } from "./canonical";
import { IdentityError } from "./errors";
import { type Signer, verify } from "./signing";
import { readTime, writeTime } from "./time";

export type Purpose = "assertionMethod" | "authentication";

/** What a proof says of itself; times are in milliseconds since 1970. */
export interface Claims {
  /** The DID URL of the key. */
  verificationMethod: string;
  purpose: Purpose;
  createdMs: number;
  expiresMs?: number;
  /** Whom it is for, where only they may take it. */
  domain?: string;
  /** What they asked to be signed along. */
  challenge?: string;
}

/** A proof as it came, of which nothing is known yet but that it can be read. */
export interface Proof {
  verificationMethod: string;
  purpose: string;
  signature: Bytes;
  /** All of it but the signature: what is signed with the document. */
  options: JsonObject;
}

const TYPE = "DataIntegrityProof";
const SUITE = "eddsa-jcs-2022";
const TEXT_LETTERS = 2_048;

/** Signs a document, and gives what is to stand under its `proof`. */
export async function prove(document: JsonObject, claims: Claims, signer: Signer): Promise<JsonObject> {
  const options: JsonObject = {
    type: TYPE,
    cryptosuite: SUITE,
    created: writeTime(claims.createdMs),
    verificationMethod: claims.verificationMethod,
    proofPurpose: claims.purpose,
  };
  if (claims.expiresMs !== undefined) options.expires = writeTime(claims.expiresMs);
  if (claims.domain !== undefined) options.domain = claims.domain;
  if (claims.challenge !== undefined) options.challenge = claims.challenge;
  if (document["@context"] !== undefined) options["@context"] = document["@context"];
  const signature = await signer.sign(await digest(options, document));
  return { ...options, proofValue: `z${base58(signature)}` };
}

export function readProof(value: Json): Proof {
  if (!isObject(value) || value.type !== TYPE || value.cryptosuite !== SUITE) {
    throw new IdentityError("malformed", `reading a proof: it must be a ${TYPE} by ${SUITE}`);
  }
  const { proofValue, ...options } = value;
  const { verificationMethod, proofPurpose } = options;
  if (!isText(verificationMethod) || !isText(proofPurpose) || !isText(proofValue)) {
    throw new IdentityError("malformed", "reading a proof: its key, its purpose or its signature is missing");
  }
  const times = [options.created, options.expires].filter((time) => time !== undefined);
  if (!times.every((time) => isText(time) && readTime(time) !== null)) {
    throw new IdentityError("malformed", "reading a proof: a time in it is no time");
  }
  const signature = proofValue.startsWith("z") ? fromBase58(proofValue.slice(1)) : null;
  if (signature?.length !== 64) {
    throw new IdentityError("malformed", "reading a proof: its signature is none in base 58");
  }
  return { verificationMethod, purpose: proofPurpose, signature, options };
}

/**
 * Whether a proof stands over a document (without its proof) by a key. What that is worth, by the purpose, the
 * time and whose key it is, is the caller's to judge.
 */
export async function verifyProof(proof: Proof, document: JsonObject, multikey: string): Promise<boolean> {
  const signed = proof.options["@context"];
  if (signed === undefined) return verify(multikey, await digest(proof.options, document), proof.signature);
  const whole = document["@context"];
  if (whole === undefined || !beginsWith(whole, signed)) return false;
  // Contexts that came later, as of a proof beside this one, are none of this proof's.
  const then = { ...document, "@context": signed };
  return verify(multikey, await digest(proof.options, then), proof.signature);
}

function beginsWith(whole: Json, signed: Json): boolean {
  const [all, first] = [whole, signed].map((context) => (Array.isArray(context) ? context : [context]));
  return first !== undefined && canonical(all?.slice(0, first.length) ?? null) === canonical(first);
}

function isText(value: Json | undefined): value is string {
  return typeof value === "string" && value.length <= TEXT_LETTERS;
}

/** What is signed: the hash of the options, then that of the document (section 3.3.4). */
async function digest(options: JsonObject, document: JsonObject): Promise<Bytes> {
  return joined(await sha256(utf8(canonical(options))), await sha256(utf8(canonical(document))));
}
