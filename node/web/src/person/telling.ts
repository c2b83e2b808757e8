// What a node is told once somebody has saved their words: that, by what it seals for them, and what they brought along.
import type { Bytes } from "../identity/bytes";
import type { Keeping } from "./keeping";
import { isRefusal, readUnpacked, type Unpacked } from "./moving";
import type { PersonNode, Said } from "./node";

/**
 * Tells the node, and then forgets the words: not before it is known that nobody needs them here. What the node
 * seals by follows from them, and is kept until the node knows it, as is what somebody brought along.
 */
export async function noteSaved(node: PersonNode, keeping: Keeping, words: Bytes | null): Promise<Unpacked | null> {
  const secrets = await keeping.secrets();
  if (secrets) await keeping.keep({ ...secrets, confirmed: true });
  const known = words ?? secrets?.entropy ?? null;
  const luggage = secrets?.due?.luggage ?? null;
  const due = known ? { luggage, sealKey: await sealKeyOf(known) } : (secrets?.due ?? null);
  if (secrets) await keeping.keep({ ...secrets, confirmed: true, due });
  await node.noteSaved(due?.sealKey ?? null);
  const unpacked = luggage === null ? null : await unpack(node, luggage);
  if (secrets) await keeping.keep({ ...secrets, confirmed: true, entropy: null, due: null });
  return unpacked;
}

/** Where words are known, and the node seals by none or by others. */
export async function tellSealKey(node: PersonNode, { seal_key: known }: Said, entropy: Bytes): Promise<void> {
  const key = await sealKeyOf(entropy);
  if (key !== null && key !== known) await node.noteSaved(key);
}

/** Luggage that the node refuses is not shown to it again. */
async function unpack(node: PersonNode, luggage: string): Promise<Unpacked | null> {
  try {
    return readUnpacked(await node.unpack(luggage));
  } catch (error) {
    if (!isRefusal(error)) throw error;
    console.warn("the node does not take the luggage", error);
    return null;
  }
}

/** Fetched with what it needs where somebody has words, and by nobody else. */
async function sealKeyOf(entropy: Bytes): Promise<string | null> {
  return (await import("../identity/luggage")).sealKeyOf(entropy);
}
