// Keys that grow from secrets: recovery keys from what people keep as words, update keys from what the vault holds.
import { type Bytes, utf8 } from "./bytes";
import { IdentityError } from "./errors";
import { type Signer, signerFromSeed } from "./signing";

export const ENTROPY_BYTES = 16;
export const UPDATE_SECRET_BYTES = 32;
/** No log has more versions, and every version uses at most one key of a kind. */
export const MOST_KEYS = 1_001;

export const freshEntropy = (): Bytes => crypto.getRandomValues(new Uint8Array(ENTROPY_BYTES));

export const freshUpdateSecret = (): Bytes => crypto.getRandomValues(new Uint8Array(UPDATE_SECRET_BYTES));

/** The recovery key of a number, counted from 1. */
export async function recoveryKey(entropy: Bytes, number: number): Promise<Signer> {
  return signerFromSeed(await recoverySeed(entropy, number));
}

/** The update key of a number, counted from 1. */
export async function updateKey(secret: Bytes, number: number): Promise<Signer> {
  return signerFromSeed(await updateSeed(secret, number));
}

export function recoverySeed(entropy: Bytes, number: number): Promise<Bytes> {
  return seed(entropy, ENTROPY_BYTES, "wayside recovery key", number);
}

export function updateSeed(secret: Bytes, number: number): Promise<Bytes> {
  return seed(secret, UPDATE_SECRET_BYTES, "wayside update key", number);
}

async function seed(secret: Bytes, length: number, name: string, number: number): Promise<Bytes> {
  if (secret.length !== length) throw new IdentityError("malformed", `the secret of a ${name} has ${length} bytes`);
  if (!Number.isInteger(number) || number < 1 || number > MOST_KEYS) {
    throw new IdentityError("malformed", `keys are numbered from 1 to ${MOST_KEYS}`);
  }
  return expanded(secret, `${name} ${number}`);
}

/** 32 bytes by HKDF with SHA-256 (RFC 5869), without salt. */
export async function expanded(secret: Bytes, info: string): Promise<Bytes> {
  const root = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const how = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info: utf8(info) };
  return new Uint8Array(await crypto.subtle.deriveBits(how, root, 256));
}
