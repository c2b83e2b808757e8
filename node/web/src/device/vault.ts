// Where the keys of devices lie in this browser, and how they are taken away for good.
import { channelOf } from "./protocol";
import type { RawEvent } from "./sync";

/** The store of a device and what it is locked with. */
export interface Vault {
  store: string;
  key: Uint8Array;
}

interface Kept extends Vault {
  /** The name of the device's channel. */
  id: string;
  comparisons?: Comparisons;
}

/** Comparisons from device to device that were not over when the last page closed. */
export interface Comparisons {
  /** What other devices have asked and nobody has answered. */
  questions: RawEvent[];
  /** What was asked or taken up here: it ends with the page. */
  begun: Begun[];
}

export interface Begun {
  id: string;
  userId: string;
  /** The other device, or null where all of them were asked. */
  deviceId: string | null;
  sinceMs: number;
}

const DATABASE = "wayside-devices";
const TABLE = "vaults";
/** As the library calls the two databases of a store. */
const PARTS = ["::matrix-sdk-crypto", "::matrix-sdk-crypto-meta"];
/** Another page may still hold a database open; it is asked to let go, and not waited for without end. */
const DELETE_MS = 5_000;

/** The vault of a device, a new one where there is none. */
export async function vaultOf(userId: string, deviceId: string): Promise<Vault> {
  const id = channelOf({ userId, deviceId });
  const known = await table("readonly", (kept) => kept.get(id) as IDBRequest<Kept | undefined>);
  if (known) return known;
  const key = crypto.getRandomValues(new Uint8Array(32));
  const fresh: Kept = { id, store: storeOf(id), key };
  await table("readwrite", (kept) => kept.put(fresh));
  return fresh;
}

export async function comparisonsOf(userId: string, deviceId: string): Promise<Comparisons> {
  const id = channelOf({ userId, deviceId });
  const known = await table("readonly", (kept) => kept.get(id) as IDBRequest<Kept | undefined>);
  return known?.comparisons ?? { questions: [], begun: [] };
}

/** Keeps them; a vault that is gone by now does not come back. */
export async function keepComparisons(userId: string, deviceId: string, comparisons: Comparisons): Promise<void> {
  const id = channelOf({ userId, deviceId });
  const known = await table("readonly", (kept) => kept.get(id) as IDBRequest<Kept | undefined>);
  if (known) await table("readwrite", (kept) => kept.put({ ...known, comparisons }));
}

/** Takes the key of a device away: what its store holds is of no use to anybody from then on. */
export async function forgetKey(userId: string, deviceId: string): Promise<void> {
  const id = channelOf({ userId, deviceId });
  await table("readwrite", (kept) => kept.delete(id));
}

/** Deletes everything of a device that nothing works with any more. */
export async function erase(userId: string, deviceId: string): Promise<void> {
  await forgetKey(userId, deviceId);
  await deleteStore(storeOf(channelOf({ userId, deviceId })));
}

/** Deletes what other accounts have left here, but for those that a page still uses. */
export async function eraseOthers(userId: string, deviceId: string): Promise<void> {
  const own = channelOf({ userId, deviceId });
  const ids = await table("readonly", (kept) => kept.getAllKeys() as IDBRequest<string[]>);
  for (const id of ids.filter((one) => one !== own)) {
    await navigator.locks.request(id, { ifAvailable: true }, async (lock) => {
      if (!lock) return;
      await table("readwrite", (kept) => kept.delete(id));
      await deleteStore(storeOf(id));
    });
  }
}

/** The name of a store says whose it is, so that it is found without its key. */
function storeOf(id: string): string {
  return `store of ${id}`;
}

async function deleteStore(store: string): Promise<void> {
  await Promise.all(PARTS.map((part) => deleteDatabase(store + part)));
}

function deleteDatabase(name: string): Promise<void> {
  return new Promise((resolve) => {
    const asked = indexedDB.deleteDatabase(name);
    asked.onsuccess = () => resolve();
    asked.onerror = () => resolve();
    setTimeout(resolve, DELETE_MS);
  });
}

async function table<T>(mode: IDBTransactionMode, deed: (kept: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const database = await opened();
  try {
    return await result(deed(database.transaction(TABLE, mode).objectStore(TABLE)));
  } finally {
    database.close();
  }
}

function opened(): Promise<IDBDatabase> {
  const asked = indexedDB.open(DATABASE, 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore(TABLE, { keyPath: "id" });
  return result(asked);
}

function result<T>(asked: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error ?? new Error("the browser's database refused"));
  });
}
