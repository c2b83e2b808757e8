// The luggage of a person: what the nodes of their friends keep of them, sealed so that the recovery words alone open it.
import { Aes128Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { base64url, type Bytes, fromBase64url, utf8 } from "./bytes";
import { isObject, type Json, type JsonObject, readJson } from "./canonical";
import { expanded } from "./derived";
import { isMxid } from "./did";
import { IdentityError } from "./errors";

/** Somebody of whom the luggage tells. */
export interface Companion {
  account: string;
  /** As the person saw it; null where there was none. */
  name: string | null;
}

/** What was packed, opened. Whoever knows the key may have sealed it: nothing of it is believed. */
export interface Luggage {
  /** The account of the person where it was packed. */
  account: string;
  packedMs: number;
  name: string | null;
  friends: readonly Companion[];
  blocked: readonly Companion[];
  /** All of it as JSON, for the new home, which knows more of it than the page does. */
  text: string;
}

/** What came of opening it: `locked` is that there is some which these words do not open. */
export type Opened = { luggage: Luggage } | { luggage: null; why: "none" | "locked" | "unsupported" };

const VERSION = 1;
/** As nodes pack it: a thousand friends, and twice as many who are blocked. */
export const LUGGAGE_BYTES = 512 * 1024;
const [MOST_FRIENDS, MOST_BLOCKED] = [1_000, 2_000];
/** Of more copies the rest is not looked at. */
const MOST_SEALED = 32;
const NAME_LETTERS = 255;
const [ENC_BYTES, TAG_BYTES] = [32, 16];
const LATEST_MS = 8.64e15;
const INFO = utf8("wayside luggage");

const suite = (): CipherSuite =>
  new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes128Gcm() });

/** The public key by which a home seals for these words; null where the browser cannot do that. */
export async function sealKeyOf(entropy: Bytes): Promise<string | null> {
  if (!(await isAble())) return null;
  const { publicKey } = await keyPairOf(entropy);
  return base64url(new Uint8Array(await suite().kem.serializePublicKey(publicKey)));
}

/** Opens what was sealed for a person, of which the newest counts. */
export async function openLuggage(sealed: readonly string[], entropy: Bytes, scid: string): Promise<Opened> {
  if (sealed.length === 0) return { luggage: null, why: "none" };
  if (!(await isAble())) return { luggage: null, why: "unsupported" };
  const { privateKey } = await keyPairOf(entropy);
  const all = await Promise.all(sealed.slice(0, MOST_SEALED).map((one) => opened(one, privateKey, scid)));
  const [newest] = all.filter((one) => one !== null).sort((one, other) => other.packedMs - one.packedMs);
  return newest ? { luggage: newest } : { luggage: null, why: "locked" };
}

/** One that was sealed, or null where it cannot be opened or is none. */
async function opened(sealed: string, key: CryptoKey, scid: string): Promise<Luggage | null> {
  try {
    return readLuggage(new TextDecoder("utf-8", { fatal: true }).decode(await unseal(sealed, key, scid)), scid);
  } catch (error) {
    console.warn("a copy of the luggage cannot be opened", error);
    return null;
  }
}

async function unseal(sealed: string, key: CryptoKey, scid: string): Promise<ArrayBuffer> {
  const most = ENC_BYTES + LUGGAGE_BYTES + TAG_BYTES;
  const bytes = sealed.length <= Math.ceil((most * 4) / 3) ? fromBase64url(sealed) : null;
  if (!bytes || bytes.length < ENC_BYTES + TAG_BYTES || bytes.length > most) throw wrong("it is too large, or damaged");
  return openSealed(bytes, key, { info: INFO, aad: utf8(scid) });
}

/** What a sender has sealed in base mode: their key, and behind it the text (RFC 9180, section 6.1). */
export function openSealed(sealed: Bytes, recipientKey: CryptoKey, { info, aad }: { info: Bytes; aad: Bytes }): Promise<ArrayBuffer> {
  const [enc, ciphertext] = [sealed.slice(0, ENC_BYTES), sealed.slice(ENC_BYTES)];
  return suite().open({ recipientKey, enc, info }, ciphertext, aad);
}

/** Reads luggage. Whoever is named in it without an account is left out; whether there is such an account the node finds. */
export function readLuggage(text: string, scid: string): Luggage {
  if (text.length > LUGGAGE_BYTES) throw wrong("it is too large");
  const whole = readJson(text);
  if (!isObject(whole)) throw wrong("it is no object");
  if (whole.version !== VERSION) throw wrong("it is of another version");
  if (whole.scid !== scid) throw wrong("it is that of somebody else");
  const { account, packed_ms: packedMs, friends = [], blocked = [] } = whole;
  if (typeof account !== "string" || !isMxid(account)) throw wrong("its account is none");
  if (typeof packedMs !== "number" || packedMs < 0 || packedMs > LATEST_MS) throw wrong("it does not say when it was packed");
  if (!Array.isArray(friends) || !Array.isArray(blocked)) throw wrong("its friends or those who are blocked are no list");
  if (friends.length > MOST_FRIENDS || blocked.length > MOST_BLOCKED) throw wrong("it tells of too many people");
  const sound = { friends: friends.filter(isCompanion), blocked: blocked.filter(isCompanion) };
  return {
    account,
    packedMs,
    name: nameIn(whole),
    friends: sound.friends.map(companion),
    blocked: sound.blocked.map(companion),
    text: JSON.stringify({ ...whole, ...sound }),
  };
}

function isCompanion(one: Json): one is JsonObject & { account: string } {
  return isObject(one) && typeof one.account === "string" && one.account !== "" && one.account.length <= NAME_LETTERS;
}

const companion = (one: JsonObject & { account: string }): Companion => ({ account: one.account, name: nameIn(one) });

function nameIn({ name }: JsonObject): string | null {
  return typeof name === "string" && name.trim() !== "" && name.length <= NAME_LETTERS ? name : null;
}

async function keyPairOf(entropy: Bytes): Promise<CryptoKeyPair> {
  const ikm = await expanded(entropy, "wayside luggage key");
  return suite().kem.deriveKeyPair(ikm);
}

/** Whether this browser has the curve: those of before 2025 may not. */
async function isAble(): Promise<boolean> {
  try {
    await crypto.subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]);
    return true;
  } catch (error) {
    console.warn("this browser cannot open or seal luggage", error);
    return false;
  }
}

function wrong(message: string): IdentityError {
  return new IdentityError("malformed", `the luggage cannot be read: ${message}`);
}
