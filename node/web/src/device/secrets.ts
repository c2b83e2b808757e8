// The recovery key, and secrets that it locks in the account's data (client-server API, secret storage).

export interface Sealed {
  iv: string;
  ciphertext: string;
  mac: string;
}

/** How a key is described, so that whoever types one learns whether it is the right one. */
export interface KeyDescription {
  algorithm: string;
  iv: string;
  mac: string;
}

export const ALGORITHM = "m.secret_storage.v1.aes-hmac-sha2";

const LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/** What every recovery key begins with. */
const HEAD = [0x8b, 0x01];
const KEY_BYTES = 32;
/** No key is longer, however it is spaced. */
const MOST_LETTERS = 200;

/** A key as people write it down: base58 in groups of four. */
export function writeRecoveryKey(key: Uint8Array): string {
  const bytes = [...HEAD, ...key];
  bytes.push(parityOf(bytes));
  return base58(bytes).replace(/.{4}(?=.)/g, "$& ");
}

/** The key that somebody typed, or null where it cannot be one. */
export function readRecoveryKey(text: string): Uint8Array<ArrayBuffer> | null {
  const bytes = text.length > MOST_LETTERS ? null : unbase58(text.replace(/\s+/g, ""));
  if (!bytes || bytes.length !== HEAD.length + KEY_BYTES + 1) return null;
  if (HEAD.some((part, index) => bytes[index] !== part) || parityOf(bytes) !== 0) return null;
  return new Uint8Array(bytes.slice(HEAD.length, HEAD.length + KEY_BYTES));
}

export function freshKey(): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(KEY_BYTES));
}

export async function describe(key: Uint8Array<ArrayBuffer>): Promise<KeyDescription> {
  const { iv, mac } = await sealBytes(new Uint8Array(KEY_BYTES), key, "", freshIv());
  return { algorithm: ALGORITHM, iv, mac };
}

/** Whether a key is the one that is described. */
export async function fits(key: Uint8Array<ArrayBuffer>, description: KeyDescription): Promise<boolean> {
  const { mac } = await sealBytes(new Uint8Array(KEY_BYTES), key, "", bytesOf(description.iv));
  // Written with padding by some.
  return mac === base64(bytesOf(description.mac));
}

export async function seal(secret: string, key: Uint8Array<ArrayBuffer>, name: string): Promise<Sealed> {
  return sealBytes(new TextEncoder().encode(secret), key, name, freshIv());
}

/** The secret, or null where it was not locked with this key. */
export async function unseal(sealed: Sealed, key: Uint8Array<ArrayBuffer>, name: string): Promise<string | null> {
  const { lock, stamp } = await keysFor(key, name);
  const ciphertext = bytesOf(sealed.ciphertext);
  if (!(await crypto.subtle.verify("HMAC", stamp, bytesOf(sealed.mac), ciphertext))) return null;
  const counter = { name: "AES-CTR", counter: bytesOf(sealed.iv), length: 64 };
  return new TextDecoder().decode(await crypto.subtle.decrypt(counter, lock, ciphertext));
}

async function sealBytes(
  secret: Uint8Array<ArrayBuffer>,
  key: Uint8Array<ArrayBuffer>,
  name: string,
  iv: Uint8Array<ArrayBuffer>,
): Promise<Sealed> {
  const { lock, stamp } = await keysFor(key, name);
  const ciphertext = await crypto.subtle.encrypt({ name: "AES-CTR", counter: iv, length: 64 }, lock, secret);
  const mac = await crypto.subtle.sign("HMAC", stamp, ciphertext);
  return { iv: base64(iv), ciphertext: base64(new Uint8Array(ciphertext)), mac: base64(new Uint8Array(mac)) };
}

/** Every secret is locked and stamped with keys of its own. */
async function keysFor(key: Uint8Array<ArrayBuffer>, name: string): Promise<{ lock: CryptoKey; stamp: CryptoKey }> {
  const root = await crypto.subtle.importKey("raw", key, "HKDF", false, ["deriveBits"]);
  const info = new TextEncoder().encode(name);
  const derive = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(32), info };
  const bits = await crypto.subtle.deriveBits(derive, root, 512);
  const [lock, stamp] = await Promise.all([
    crypto.subtle.importKey("raw", bits.slice(0, 32), "AES-CTR", false, ["encrypt", "decrypt"]),
    crypto.subtle.importKey("raw", bits.slice(32), { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]),
  ]);
  return { lock, stamp };
}

function freshIv(): Uint8Array<ArrayBuffer> {
  const iv = crypto.getRandomValues(new Uint8Array(16));
  // Bit 63 is left out, because implementations differ in what comes after it.
  iv[8] = (iv[8] ?? 0) & 0x7f;
  return iv;
}

/** Without padding, as the specification writes it. */
export function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/=+$/, "");
}

export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replace(/=+$/, "")), (letter) => letter.charCodeAt(0));
}

function parityOf(bytes: readonly number[]): number {
  return bytes.reduce((parity, byte) => parity ^ byte, 0);
}

function base58(bytes: readonly number[]): string {
  let number = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  let text = "";
  for (; number > 0n; number /= 58n) text = LETTERS.charAt(Number(number % 58n)) + text;
  return text;
}

function unbase58(text: string): number[] | null {
  let number = 0n;
  for (const letter of text) {
    const digit = LETTERS.indexOf(letter);
    if (digit < 0) return null;
    number = number * 58n + BigInt(digit);
  }
  const bytes: number[] = [];
  for (; number > 0n; number /= 256n) bytes.unshift(Number(number % 256n));
  return bytes;
}
