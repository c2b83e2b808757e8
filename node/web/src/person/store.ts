// What this browser keeps of a person beside the key of the device: their secrets, locked, and what was seen of them.
import { base64url, type Bytes, fromBase64url, utf8 } from "../identity/bytes";
import { database } from "../identity/database";
import type { UpdateKeys } from "../identity/person";

/** What this browser knows of a person that others must not. */
export interface Secrets {
  /** What the DID was called when they were kept. */
  did: string;
  /** From which update keys grow; null where this browser cannot change the log. */
  keys: UpdateKeys | null;
  /** Those that come into force by a version that is on its way. */
  next: UpdateKeys | null;
  /** The recovery secret, for as long as it is not saved. */
  entropy: Bytes | null;
  /** Whether the person has said that they saved it. */
  confirmed: boolean;
  /** What opens the vault, so that it can be kept up to date. */
  vaultKey: Bytes | null;
  /** Whether the vault is behind what this browser knows. */
  vaultDue: boolean;
  /** What the node is to be told once words are noted as saved. */
  due: Due | null;
  /** An identity of elsewhere that is on its way here, to take the place of this one. */
  moving: Moving | null;
}

export interface Due {
  /** By what a home seals luggage; null where this browser cannot say. */
  sealKey: string | null;
  /** What the person brought along, as JSON, to be unpacked. */
  luggage: string | null;
}

/** What somebody needs who moves in, kept before anybody hears of it. */
export interface Moving {
  /** What the DID is called as soon as they live here. */
  did: string;
  /** The version by which they do, as a line of the log. */
  line: string;
  versionId: string;
  /** The version on which it follows. */
  from: { number: number; versionId: string };
  /** From which update keys grow from then on. */
  keys: UpdateKeys;
  due: Due;
}

export const NO_SECRETS = {
  keys: null,
  next: null,
  entropy: null,
  confirmed: false,
  vaultKey: null,
  vaultDue: false,
  due: null,
  moving: null,
} satisfies Omit<Secrets, "did">;

/** Secrets as they lie there: nobody can take their key out of the browser, not even this page. */
export interface KeptSecrets {
  userId: string;
  key: CryptoKey;
  iv: Bytes;
  ciphertext: Bytes;
}

/** The newest version that was seen of an account's DID. */
export interface Seen {
  userId: string;
  scid: string;
  number: number;
  versionId: string;
}

/** Where it is kept. */
export interface PersonStore {
  secrets(userId: string): Promise<KeptSecrets | undefined>;
  keep(secrets: KeptSecrets): Promise<void>;
  forget(userId: string): Promise<void>;
  seen(userId: string): Promise<Seen | undefined>;
  see(seen: Seen): Promise<void>;
  unsee(userId: string): Promise<void>;
}

const IV_BYTES = 12;
const [SECRETS, SEEN] = ["secrets", "seen"] as const;
const table = database("wayside-person", [SECRETS, SEEN], "userId");

/** Locks secrets with a new key. */
export async function sealed(userId: string, secrets: Secrets): Promise<KeptSecrets> {
  const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const how = { name: "AES-GCM", iv, additionalData: utf8(userId) };
  const ciphertext = await crypto.subtle.encrypt(how, key, utf8(JSON.stringify(secrets, written)));
  return { userId, key, iv, ciphertext: new Uint8Array(ciphertext) };
}

/** What was locked, or null where it cannot be opened: somebody changed it. */
export async function unsealed({ userId, key, iv, ciphertext }: KeptSecrets): Promise<Secrets | null> {
  try {
    const how = { name: "AES-GCM", iv, additionalData: utf8(userId) };
    const plain = await crypto.subtle.decrypt(how, key, ciphertext);
    // Those that were kept by a page of before lack what is newer.
    return { ...NO_SECRETS, ...(JSON.parse(new TextDecoder().decode(plain), read) as Secrets) };
  } catch (error) {
    console.warn("what this browser keeps of an identity cannot be opened", error);
    return null;
  }
}

const written = (_: string, value: unknown): unknown => (value instanceof Uint8Array ? { bytes: base64url(value) } : value);

function read(_: string, value: unknown): unknown {
  const { bytes } = (value ?? {}) as { bytes?: unknown };
  return typeof bytes === "string" ? fromBase64url(bytes) : value;
}

/** The database of the browser. */
export const personStore: PersonStore = {
  secrets: (userId) => table(SECRETS, "readonly", (kept) => kept.get(userId) as IDBRequest<KeptSecrets | undefined>),
  keep: async (secrets) => {
    await table(SECRETS, "readwrite", (kept) => kept.put(secrets));
  },
  forget: (userId) => table(SECRETS, "readwrite", (kept) => kept.delete(userId)),
  seen: (userId) => table(SEEN, "readonly", (kept) => kept.get(userId) as IDBRequest<Seen | undefined>),
  see: async (seen) => {
    await table(SEEN, "readwrite", (kept) => kept.put(seen));
  },
  unsee: (userId) => table(SEEN, "readwrite", (kept) => kept.delete(userId)),
};
