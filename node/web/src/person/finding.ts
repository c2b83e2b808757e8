// Looking for somebody whose home may be gone: by their home here, which asks other nodes for copies of them.
import { clean } from "../api/text";
import { ApiError } from "../api/http";
import type { Bytes } from "../identity/bytes";
import { isObject, type Json } from "../identity/canonical";
import { isServer, matrixUri } from "../identity/did";
import { IdentityError } from "../identity/errors";
import { Log } from "../identity/log";
import type { Opened } from "../identity/luggage";
import { recoveryFor } from "../identity/person";
import type { PersonNode, Sought, Wanted } from "./node";

/** Who is looked for, and where. */
export interface Asking {
  entropy: Bytes;
  /** The log of the recovery file, where there is one: the one in force may be longer. */
  known: Log | null;
  /** What they are called: a DID or an account; of one whose log is known, that says it. */
  name: string;
  /** Servers, and accounts of friends. */
  at: readonly string[];
}

/** What a server has said. */
export interface Answer {
  server: string;
  found: boolean;
  /** What was the matter, in words of the node. */
  why: string;
}

export interface Found {
  log: Log;
  /** Whether nobody but the recovery file knows the log. */
  isFromFile: boolean;
  opened: Opened;
}

export const MOST_ASKED = 16;
const MOST_ANSWERS = 32;
const WHY_LETTERS = 200;

/** Finds somebody whose words these are. `heard` is told what each has said, whatever comes of it. */
export async function seek(node: PersonNode, asking: Asking, heard: (answers: readonly Answer[]) => void): Promise<Found> {
  const { known, name, entropy } = asking;
  const { openLuggage, sealKeyOf } = await import("../identity/luggage");
  // Whoever keeps a copy gives it to those alone who have the words.
  const sought = await soughtBy(node, asking, await sealKeyOf(entropy));
  heard(readAnswers(sought.asked));
  const given = typeof sought.log === "string" ? await Log.read(sought.log, name.startsWith("did:") ? name : undefined) : null;
  const log = longer(given, known);
  if (!log) throw new IdentityError("not_found", "nobody who was asked has the log");
  if (name.startsWith("@") && !isCalled(log, name)) throw new IdentityError("wrong_person", `the log is not that of ${name}`, log.did);
  if (log.last.deactivated) throw new IdentityError("ended", "the DID was deactivated, which is for ever");
  await recoveryFor(log, entropy);
  return { log, isFromFile: given === null, opened: await openLuggage(readSealed(sought.sealed), entropy, log.scid) };
}

/** Nobody who has it is no trouble to whoever brings the log along. */
async function soughtBy(node: PersonNode, { known, name, at }: Asking, sealKey: string | null): Promise<Sought> {
  const who: Omit<Wanted, "at"> = known ? { did: known.did } : name.startsWith("@") ? { account: name } : { did: name };
  try {
    const opens = sealKey === null ? {} : { seal_key: sealKey };
    return await node.search({ ...who, ...opens, at: at.slice(0, MOST_ASKED) });
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
    return { log: null, sealed: [], asked: error.body.asked };
  }
}

/** Of two logs the one that goes on from the other. */
function longer(given: Log | null, known: Log | null): Log | null {
  if (!given || !known) return given ?? known;
  if (given.scid !== known.scid) throw new IdentityError("wrong_person", "the log is that of somebody else", given.did);
  if (given.has(known.last.versionId)) return given;
  if (known.has(given.last.versionId)) return known;
  throw new IdentityError("forked", "the recovery file and the log that was found tell different histories");
}

/** Whether an account is or was that of a person, as they say themselves. */
function isCalled(log: Log, account: string): boolean {
  const uri = matrixUri(account);
  return log.versions.some(({ state: { alsoKnownAs } }) => Array.isArray(alsoKnownAs) && alsoKnownAs.includes(uri));
}

const readSealed = (said: unknown): string[] => (Array.isArray(said) ? said.filter((one): one is string => typeof one === "string") : []);

function readAnswers(said: unknown): Answer[] {
  const all = Array.isArray(said) ? (said as Json[]).slice(0, MOST_ANSWERS) : [];
  return all.flatMap((one) => {
    if (!isObject(one) || typeof one.server !== "string" || !isServer(one.server)) return [];
    return { server: one.server, found: one.found === true, why: clean(one.why, WHY_LETTERS) };
  });
}
