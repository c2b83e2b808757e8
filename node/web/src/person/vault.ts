// The vault as the node keeps it: opened by its locks, given others, and brought up to date with what is in force.
import type { Bytes } from "../identity/bytes";
import { IdentityError } from "../identity/errors";
import type { UpdateKeys } from "../identity/person";
import { ClosedVault, type Key, type Lock, Vault } from "../identity/vault";
import type { PersonNode } from "./node";

/** An open vault, and what opens it again. */
export interface Opened {
  keys: UpdateKeys;
  vaultKey: Bytes;
}

export async function locksOf(node: PersonNode, did: string): Promise<readonly Lock[]> {
  return (await closed(node, did))?.locks ?? [];
}

export async function unlocked(node: PersonNode, did: string, key: Key): Promise<Opened> {
  const vault = await closed(node, did);
  if (!vault) throw new IdentityError("damaged", "there is no vault any more");
  const { keys, dataKey: vaultKey } = await vault.open(key);
  return { keys, vaultKey };
}

/**
 * The vault of now with keys and one lock more; a new one where there is none, a damaged one, or one that this
 * browser may not keep up to date: it opens nothing, or would some day.
 */
export async function withLock(node: PersonNode, did: string, keys: UpdateKeys, vaultKey: Bytes | null, key: Key): Promise<Vault> {
  const vault = await closed(node, did).catch((error: unknown) => {
    if (error instanceof IdentityError && error.why === "damaged") return null;
    throw error;
  });
  const known = vaultKey && (await vault?.reopen(vaultKey));
  return known ? known.holding(keys).with(key) : Vault.make(did, keys, key);
}

/** Takes a lock away, and with the last one the vault. */
export async function withoutLock(node: PersonNode, did: string, vaultKey: Bytes | null, lock: Lock): Promise<void> {
  const vault = await closed(node, did);
  if (!vault) return;
  if (vault.locks.length === 1) {
    await node.keepVault(null);
    return;
  }
  const open = vaultKey && (await vault.reopen(vaultKey));
  if (!open) throw new IdentityError("wrong_key", "this browser does not hold the key of the vault");
  await node.keepVault(await open.without(lock).write());
}

/** Brings the vault up to date, where this browser may: its keys are found without, but not as quickly. */
export async function freshen(node: PersonNode, did: string, keys: UpdateKeys, vaultKey: Bytes): Promise<void> {
  const open = await (await closed(node, did))?.reopen(vaultKey);
  if (open) await node.keepVault(await open.holding(keys).write());
}

async function closed(node: PersonNode, did: string): Promise<ClosedVault | null> {
  const text = await node.vault();
  return text === null ? null : ClosedVault.read(text, did);
}
