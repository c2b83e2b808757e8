// The key of this browser as one of a person's devices: made here, and never seen outside.
import { database } from "./database";
import { scidOf } from "./did";
import { isMultikey } from "./multikey";
import { freshKey, type Signer, signerOf } from "./signing";

/** The key of a device, which can sign and cannot be taken out. */
export interface DeviceKey extends Signer {
  readonly privateKey: CryptoKey;
}

/** What is kept of a key. */
export interface KeptKey {
  /** The SCID of the person, which stays when they move. */
  id: string;
  multikey: string;
  privateKey: CryptoKey;
}

/** Where keys are kept. */
export interface KeyStore {
  get(id: string): Promise<KeptKey | undefined>;
  /** Keeps a key where none is kept under its id; says whether it did. */
  add(key: KeptKey): Promise<boolean>;
  delete(id: string): Promise<void>;
}

const TABLE = "devices";
const table = database("wayside-identity", [TABLE], "id");

/** A new key, which is in the page alone until it is kept. */
export async function freshDeviceKey(): Promise<DeviceKey> {
  const { multikey, privateKey } = await freshKey();
  return deviceKey(multikey, privateKey);
}

/** The key of this browser for a person, or null where it has none. */
export async function deviceKeyOf(did: string, store: KeyStore = browserKeys): Promise<DeviceKey | null> {
  const kept = await store.get(scidOf(did));
  return kept && isSound(kept) ? deviceKey(kept.multikey, kept.privateKey) : null;
}

/**
 * Keeps a key for a person, and gives the one that is kept: another page of this browser may have been first, and
 * a person would see two devices where there is one. Keep it before it is published, or it may be lost.
 */
export async function keepDeviceKey(did: string, key: DeviceKey, store: KeyStore = browserKeys): Promise<DeviceKey> {
  const { multikey, privateKey } = key;
  const kept = { id: scidOf(did), multikey, privateKey };
  if (await store.add(kept)) return key;
  const known = await deviceKeyOf(did, store);
  if (known) return known;
  // What lies there is no key that can be used.
  await store.delete(kept.id);
  await store.add(kept);
  return key;
}

/** Takes the key away, when somebody signs out: nothing of it is left in this browser. */
export async function forgetDeviceKey(did: string, store: KeyStore = browserKeys): Promise<void> {
  await store.delete(scidOf(did));
}

function deviceKey(multikey: string, privateKey: CryptoKey): DeviceKey {
  return { ...signerOf(multikey, privateKey), privateKey };
}

function isSound({ multikey, privateKey }: KeptKey): boolean {
  const isKey = privateKey instanceof CryptoKey && privateKey.type === "private" && !privateKey.extractable;
  return isKey && privateKey.algorithm.name === "Ed25519" && isMultikey(multikey);
}

/** The database of the browser. */
const browserKeys: KeyStore = {
  get: (id) => table(TABLE, "readonly", (kept) => kept.get(id) as IDBRequest<KeptKey | undefined>),
  add: async (key) => {
    try {
      await table(TABLE, "readwrite", (kept) => kept.add(key));
      return true;
    } catch (error) {
      if (error instanceof DOMException && error.name === "ConstraintError") return false;
      throw error;
    }
  },
  delete: (id) => table(TABLE, "readwrite", (kept) => kept.delete(id)),
};
