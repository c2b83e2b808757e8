// Public keys of Ed25519 as documents write them (Controlled Identifiers 1.0, section 2.2.2), and hashes as logs do.
import { base58, fromBase58 } from "./base58";
import { type Bytes, joined, sha256 } from "./bytes";
import { isPublicKey } from "./curve";
import { IdentityError } from "./errors";

/** The number of Ed25519 in the table of multicodec. */
const ED25519 = [0xed, 0x01];
const KEY_BYTES = 32;
/** A hash by SHA-256 as multihash: its number, and its length in bytes. */
const SHA_256 = [0x12, 32];

export function multikey(publicKey: Bytes): string {
  return `z${base58(joined(ED25519, publicKey))}`;
}

/** The public key that a Multikey of Ed25519 holds. */
export function publicKeyOf(text: string): Bytes {
  const bytes = text.startsWith("z") ? fromBase58(text.slice(1)) : null;
  if (bytes?.length !== ED25519.length + KEY_BYTES || ED25519.some((byte, at) => bytes[at] !== byte)) {
    throw new IdentityError("malformed", "reading a key: it is no Multikey of Ed25519 in base 58");
  }
  const key = bytes.slice(ED25519.length);
  if (!isPublicKey(key)) throw new IdentityError("malformed", "reading a key: it is no point that could be one");
  return key;
}

export function isMultikey(text: string): boolean {
  try {
    return publicKeyOf(text).length === KEY_BYTES;
  } catch {
    return false;
  }
}

/** A hash as logs write it: base 58 over a multihash by SHA-256. */
export async function hash(bytes: Bytes): Promise<string> {
  return base58(joined(SHA_256, await sha256(bytes)));
}

export function isHash(text: string): boolean {
  const bytes = text.length <= 50 ? fromBase58(text) : null;
  return bytes?.length === 34 && SHA_256.every((byte, at) => bytes[at] === byte);
}
