// Reading what a node says of an identity: proven as a whole, and never behind what this browser has seen of it.
import type { DeviceKey } from "../identity/device";
import { didOf, matrixUri, SCID } from "../identity/did";
import { personOf } from "../identity/document";
import { IdentityError } from "../identity/errors";
import { Log } from "../identity/log";
import { caughtUp, type Home, recoveryFor, type UpdateKeys } from "../identity/person";
import type { Said } from "./node";
import type { Secrets, Seen } from "./store";

/** An identity as it is now, and what this browser holds of it. */
export interface Now {
  said: Said;
  log: Log;
  secrets: Secrets | null;
  /** The key of this browser. */
  device: DeviceKey | null;
}

/** The log that a node gives, or null where it has none. What was proven before is not proven again. */
export async function readLog(said: Said, before: Log | null, seen: Seen | undefined): Promise<Log | null> {
  const { did, log: text } = said;
  if (text === null) {
    if (seen) throw new IdentityError("rewound", "the node has no log where this browser has seen one");
    return null;
  }
  const log = (await goneOn(before, text)) ?? (await Log.read(text));
  if (did !== null && log.did !== did) {
    throw new IdentityError("wrong_person", `the log is that of ${log.did}, not of ${did}`, log.did);
  }
  if (seen && seen.scid !== log.scid) throw new IdentityError("rewound", "the node gives the log of somebody else");
  if (seen && !log.has(seen.versionId)) {
    throw new IdentityError("rewound", `the log leaves out or changes version ${seen.number}, which was seen before`);
  }
  return log;
}

async function goneOn(before: Log | null, text: string): Promise<Log | null> {
  if (!before || !text.startsWith(before.text)) return null;
  let log = before;
  for (const line of text.slice(before.text.length).split("\n").filter((one) => one !== "")) log = await log.with(line);
  return log;
}

/** Where somebody's identity has to be on a node, or null where that gives none. */
export function homeOf({ host, path, service, node_key: nodeKey }: Said, mxid: string): Home | null {
  if (host === null || path === null || service === null) return null;
  try {
    didOf(SCID, host, path);
    matrixUri(mxid);
  } catch (error) {
    console.warn("this node's name cannot be that of an identity", error);
    return null;
  }
  return { host, path, mxid, nodeKey, service };
}

/** Whether an identity is where the node gives it a place, and not at another by now. */
export function isHere(log: Log, home: Home | null): boolean {
  return home !== null && log.did === didOf(log.scid, home.host, home.path);
}

/** The devices of a person with the moment since when they are, the oldest first; none where the DID has ended. */
export function devicesOf(log: Log): { key: string; sinceMs: number }[] {
  if (log.last.deactivated) return [];
  return personOf(log.last.state).devices.map((key) => ({ key, sinceMs: sinceWhen(log, key) ?? log.last.timeMs }));
}

function sinceWhen(log: Log, key: string): number | null {
  return log.versions.find(({ state }) => names(state.authentication, key))?.timeMs ?? null;
}

/** Whether a key was that of a device and is no more: another device has removed it. */
export function wasRemoved(log: Log, { multikey }: DeviceKey): boolean {
  return !names(log.last.state.authentication, multikey) && sinceWhen(log, multikey) !== null;
}

const names = (list: unknown, key: string): boolean => Array.isArray(list) && list.includes(`#${key}`);

/** What of some secrets is in force by a log: versions may have come from elsewhere since they were kept. */
export async function inForce(log: Log, secrets: Secrets): Promise<Secrets> {
  const { keys, next, entropy } = secrets;
  const isWords = entropy !== null && (await orNull(recoveryFor(log, entropy))) !== null;
  const words = isWords ? entropy : null;
  const now = next && (await known(log, next));
  if (now) return { ...secrets, keys: now, next: null, entropy: words };
  return { ...secrets, keys: keys && (await known(log, keys)), entropy: words };
}

const known = (log: Log, keys: UpdateKeys): Promise<UpdateKeys | null> => orNull(caughtUp(log, keys));

/** What a log commits to, or null where it commits to something else. */
async function orNull<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof IdentityError && (error.why === "wrong_key" || error.why === "wrong_words")) return null;
    throw error;
  }
}
