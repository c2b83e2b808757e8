// Signing and verifying with Ed25519, by the browser's own cryptography.
import { type Bytes, fromBase64url, joined } from "./bytes";
import { isSmall } from "./curve";
import { IdentityError } from "./errors";
import { isMultikey, multikey, publicKeyOf } from "./multikey";

/** Whoever can sign with a key: one that was derived from a secret, or one that nobody can take out of the browser. */
export interface Signer {
  readonly multikey: string;
  sign(bytes: Bytes): Promise<Bytes>;
}

const ED25519 = "Ed25519";
const SEED_BYTES = 32;
const SIGNATURE_BYTES = 64;
/** What stands in front of a seed in PKCS #8 (RFC 8410, section 7): version, algorithm, and two lengths. */
const PKCS8_HEAD = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/** The key that grows from 32 secret bytes. */
export async function signerFromSeed(seed: Bytes): Promise<Signer> {
  if (seed.length !== SEED_BYTES) throw new IdentityError("malformed", "a key grows from 32 bytes");
  const pkcs8 = joined(PKCS8_HEAD, seed);
  // Only a key that may be taken out tells its public half; the one that stays may not.
  const open = await supported(() => crypto.subtle.importKey("pkcs8", pkcs8, ED25519, true, ["sign"]));
  const { x } = await supported(() => crypto.subtle.exportKey("jwk", open));
  const publicKey = fromBase64url(x ?? "");
  if (publicKey?.length !== 32) throw unsupported(null);
  const closed = await supported(() => crypto.subtle.importKey("pkcs8", pkcs8, ED25519, false, ["sign"]));
  return signerOf(multikey(publicKey), closed);
}

/** A new key that nobody can take out of this browser, not even this page. */
export async function freshKey(): Promise<{ multikey: string; privateKey: CryptoKey }> {
  const made = await supported(() => crypto.subtle.generateKey(ED25519, false, ["sign", "verify"]));
  const pair = made as CryptoKeyPair;
  const publicKey = await supported(() => crypto.subtle.exportKey("raw", pair.publicKey));
  return { multikey: multikey(new Uint8Array(publicKey)), privateKey: pair.privateKey };
}

export function signerOf(named: string, privateKey: CryptoKey): Signer {
  return {
    multikey: named,
    sign: async (bytes) => new Uint8Array(await supported(() => crypto.subtle.sign(ED25519, privateKey, bytes))),
  };
}

/** Whether a signature stands over bytes by a key. */
export async function verify(named: string, bytes: Bytes, signature: Bytes): Promise<boolean> {
  if (!isMultikey(named) || signature.length !== SIGNATURE_BYTES) return false;
  // Signatures with such a first half stand over messages in some browsers, and over none in others.
  if (isSmall(signature.slice(0, 32))) return false;
  const key = await supported(() => crypto.subtle.importKey("raw", publicKeyOf(named), ED25519, false, ["verify"]));
  return supported(() => crypto.subtle.verify(ED25519, key, signature, bytes));
}

async function supported<T>(deed: () => Promise<T>): Promise<T> {
  try {
    return await deed();
  } catch (cause) {
    throw unsupported(cause);
  }
}

function unsupported(cause: unknown): IdentityError {
  const message = "this browser cannot sign with Ed25519: a newer one can, over HTTPS";
  return new IdentityError("unsupported", message, null, cause);
}
