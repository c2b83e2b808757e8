// The versions of a person's DID: begun, changed, recovered, moved and ended.
//
// Every version uses up one key. The update keys grow from a secret that the vault holds, one after another; each
// version names the key that signs it and commits to the one after, so that nobody can write the next version by
// a key that was seen. Beside it every version commits to the recovery key, which is used when the secret is lost
// or in wrong hands, and brings another secret.
import type { Bytes } from "./bytes";
import type { JsonObject } from "./canonical";
import { MOST_KEYS, recoveryKey, updateKey } from "./derived";
import { didOf, SCID } from "./did";
import { documentOf, lastDocument, type Person, personOf } from "./document";
import { IdentityError } from "./errors";
import { begin, commitment, goOn, type Log, nameOf } from "./log";
import type { Signer } from "./signing";
import { writeTime } from "./time";

/** The secret from which update keys grow. */
export interface UpdateKeys {
  secret: Bytes;
  /** The number of the key that was used last; 0 where none was. */
  number: number;
}

/** What people keep as words. */
export interface Recovery {
  entropy: Bytes;
  /** The number of the key that the log commits to. */
  number: number;
}

/** Where a person lives, and what their home node says of itself. */
export interface Home {
  /** The name of the host, with a port behind a colon where it has one. */
  host: string;
  /** The segments of the path under which the log lies. */
  path: readonly string[];
  mxid: string;
  nodeKey: string;
  /** The address of the node. */
  service: string;
}

export interface NewPerson {
  home: Home;
  /** The key of the first device, as Multikey. */
  device: string;
  keys: UpdateKeys;
  recovery: Recovery;
  nowMs: number;
}

/** What a change leads to: the log, whose last line is new, and the keys to keep. */
export interface Changed {
  log: Log;
  keys: UpdateKeys;
}

const SECOND_MS = 1_000;
/** How far the last version may be ahead of the clock here: no node takes one that is further ahead. */
const SKEW_MS = 5 * 60 * SECOND_MS;

/** The first version. The first update key signs it. */
export async function newPerson({ home, device, keys, recovery, nowMs }: NewPerson): Promise<Changed> {
  const { mxid, nodeKey, service } = home;
  const did = didOf(SCID, home.host, home.path);
  const person: Person = { did, mxid, formerly: [], devices: [device], nodeKey, service };
  const number = keys.number + 1;
  const signer = await updateKey(keys.secret, number);
  const nextKeyHashes = await Promise.all([
    updateCommitment(keys.secret, number + 1),
    recoveryCommitment(recovery),
  ]);
  const parameters = { updateKeys: [signer.multikey], nextKeyHashes, portable: true };
  const log = await begin({ parameters, document: documentOf(person), timeMs: wholeSecond(nowMs) }, signer);
  return { log, keys: { ...keys, number } };
}

export function addDevice(log: Log, keys: UpdateKeys, device: string, nowMs: number): Promise<Changed> {
  return change(log, keys, nowMs, (person) => ({ ...person, devices: [...person.devices, device] }));
}

/** Takes a device's key out of the document. The last is not taken: a person without one could not act. */
export function revokeDevice(log: Log, keys: UpdateKeys, device: string, nowMs: number): Promise<Changed> {
  return change(log, keys, nowMs, (person) => {
    if (!person.devices.includes(device)) throw new IdentityError("malformed", "the person has no such device");
    return { ...person, devices: person.devices.filter((key) => key !== device) };
  });
}

export function changeNodeKey(log: Log, keys: UpdateKeys, nodeKey: string, nowMs: number): Promise<Changed> {
  return change(log, keys, nowMs, (person) => ({ ...person, nodeKey }));
}

/** Uses up a key without another change; with a recovery, the words from then on are others. */
export function rotate(log: Log, keys: UpdateKeys, nowMs: number, recovery?: Recovery): Promise<Changed> {
  return change(log, keys, nowMs, (person) => person, recovery);
}

/** Moves the person to another home. The names from before stay, as those of the same person. */
export function move(log: Log, keys: UpdateKeys, home: Home, nowMs: number): Promise<Changed> {
  return change(log, keys, nowMs, (person) => {
    const did = didOf(log.scid, home.host, home.path);
    if (did === person.did) throw new IdentityError("malformed", "the person lives there already");
    const { mxid, nodeKey, service } = home;
    return { did, formerly: namesBefore(log, did), devices: person.devices, mxid, nodeKey, service };
  });
}

/**
 * Takes the DID back by the recovery key. `keys` grow from a new secret, since the one of before is lost or known
 * to somebody else. For the same reason nothing is taken from the last document, which may be theirs: the person
 * says where they live and which devices are theirs, and may come back in another home.
 */
export async function recover(
  log: Log,
  recovery: Recovery,
  { keys, home, devices }: { keys: UpdateKeys; home: Home; devices: readonly string[] },
  nowMs: number,
): Promise<Changed & { recovery: Recovery }> {
  mustNotHaveEnded(log);
  const { mxid, nodeKey, service } = home;
  const did = didOf(log.scid, home.host, home.path);
  const document = documentOf({ did, mxid, formerly: namesBefore(log, did), devices, nodeKey, service });
  const signer = await recoveryKey(recovery.entropy, recovery.number);
  await mustBeCommitted(log, signer);
  const next = { ...recovery, number: recovery.number + 1 };
  const nextKeyHashes = await Promise.all([
    updateCommitment(keys.secret, keys.number + 1),
    recoveryCommitment(next),
  ]);
  const parameters = { updateKeys: [signer.multikey], nextKeyHashes };
  const timeMs = nextTime(log, nowMs);
  return { log: await goOn(log, { parameters, document, timeMs }, signer), keys, recovery: next };
}

/**
 * Ends the DID, for ever. It takes two versions, since keys that were committed to cannot be left out before
 * commitment is given up (section "Deactivate"); both have to be published together.
 */
export async function deactivate(log: Log, keys: UpdateKeys, nowMs: number): Promise<Changed> {
  mustNotHaveEnded(log);
  const person = personOf(log.last.state);
  const number = keys.number + 1;
  const signer = await updateKey(keys.secret, number);
  await mustBeCommitted(log, signer);
  const parameters: JsonObject = { updateKeys: [signer.multikey], nextKeyHashes: [] };
  // The second must be later than the first, and no later than now if that can be.
  const opening = { parameters, document: documentOf(person), timeMs: nextTime(log, nowMs - SECOND_MS) };
  const open = await goOn(log, opening, signer);
  const end: JsonObject = { updateKeys: [], deactivated: true };
  const closing = { parameters: end, document: lastDocument(person), timeMs: nextTime(open, nowMs) };
  return { log: await goOn(open, closing, signer), keys: { ...keys, number } };
}

/**
 * The keys with the number that a log has come to. A vault that was kept before the last version was published is
 * behind it; one that was kept while no node took that version is ahead by one.
 */
export async function caughtUp(log: Log, { secret, number }: UpdateKeys): Promise<UpdateKeys> {
  for (let used = Math.max(0, number - 1); used < MOST_KEYS && used <= log.last.number; used += 1) {
    if (log.last.nextKeyHashes.includes(await updateCommitment(secret, used + 1))) return { secret, number: used };
  }
  throw new IdentityError("wrong_key", "the log does not commit to a key of the vault: the DID was recovered since");
}

/** The recovery with the number of the key that a log commits to, for somebody who has the words alone. */
export async function recoveryFor(log: Log, entropy: Bytes): Promise<Recovery> {
  for (let number = 1; number <= log.last.number && number <= MOST_KEYS; number += 1) {
    const recovery = { entropy, number };
    if (log.last.nextKeyHashes.includes(await recoveryCommitment(recovery))) return recovery;
  }
  throw new IdentityError("wrong_words", "the words are those of another identity, or were replaced since");
}

async function change(
  log: Log,
  keys: UpdateKeys,
  nowMs: number,
  edit: (person: Person) => Person,
  recovery?: Recovery,
): Promise<Changed> {
  mustNotHaveEnded(log);
  const document = documentOf(edit(personOf(log.last.state)));
  const number = keys.number + 1;
  const signer = await updateKey(keys.secret, number);
  await mustBeCommitted(log, signer);
  const nextKeyHashes = [
    await updateCommitment(keys.secret, number + 1),
    recovery ? await recoveryCommitment(recovery) : await recoveryCommitmentOf(log, signer),
  ];
  const parameters = { updateKeys: [signer.multikey], nextKeyHashes };
  const timeMs = nextTime(log, nowMs);
  return { log: await goOn(log, { parameters, document, timeMs }, signer), keys: { ...keys, number } };
}

/** What the DID was called before it was called so, the oldest first. */
function namesBefore(log: Log, did: string): string[] {
  const names = log.versions.map(nameOf).filter((name) => name !== did);
  return names.filter((name, at) => names.lastIndexOf(name) === at);
}

/** What a log commits to beside the update key: the recovery key, of which only this is known here. */
async function recoveryCommitmentOf(log: Log, signer: Signer): Promise<string> {
  const own = await commitment(signer.multikey);
  const [recovery, ...more] = log.last.nextKeyHashes.filter((one) => one !== own);
  if (recovery === undefined || more.length > 0) {
    throw new IdentityError("not_mine", "the log must commit to one update key and one recovery key");
  }
  return recovery;
}

async function mustBeCommitted(log: Log, signer: Signer): Promise<void> {
  if (log.last.nextKeyHashes.includes(await commitment(signer.multikey))) return;
  throw new IdentityError("wrong_key", "the last version of the log does not commit to the key that is next here");
}

function mustNotHaveEnded(log: Log): void {
  if (log.last.deactivated) throw new IdentityError("ended", "the DID was deactivated, which is for ever");
}

async function updateCommitment(secret: Bytes, number: number): Promise<string> {
  return commitment((await updateKey(secret, number)).multikey);
}

async function recoveryCommitment({ entropy, number }: Recovery): Promise<string> {
  return commitment((await recoveryKey(entropy, number)).multikey);
}

/** Now, or as soon after the last version as a whole second can be. */
function nextTime(log: Log, nowMs: number): number {
  const { timeMs } = log.last;
  if (timeMs > nowMs + SKEW_MS) {
    throw new IdentityError("clock", `the last version is dated ${writeTime(timeMs)}, which is still to come`);
  }
  return Math.max(wholeSecond(nowMs), wholeSecond(timeMs) + SECOND_MS);
}

const wholeSecond = (ms: number): number => Math.floor(ms / SECOND_MS) * SECOND_MS;
