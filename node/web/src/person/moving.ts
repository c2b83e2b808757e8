// Moving in: an identity of another node comes to live here, in the place of the one that was made here.
//
// The version by which it does is kept with its keys before the node hears of it. A page that closes in the middle
// finds it in force the next time (`arrived`), or writes the very same one again.
import { ApiError } from "../api/http";
import type { Bytes } from "../identity/bytes";
import { freshUpdateSecret } from "../identity/derived";
import { scidOf } from "../identity/did";
import { personOf } from "../identity/document";
import { IdentityError } from "../identity/errors";
import type { Log } from "../identity/log";
import type { Luggage } from "../identity/luggage";
import { type Home, recover, type Recovery, recoveryFor } from "../identity/person";
import type { Keeping } from "./keeping";
import type { UnpackedSaid } from "./node";
import { isHere } from "./reading";
import { type Due, type Moving, NO_SECRETS, type Secrets } from "./store";

/** What somebody moves in with. */
export interface Bringing {
  entropy: Bytes;
  /** Their log, as far as it goes. */
  log: Log;
  luggage: Luggage | null;
}

/** Where they move in. */
export interface Threshold {
  home: Home;
  /** The identity that was made for the account, if one was. */
  before: Log | null;
  nowMs: number;
}

/** What came with somebody who has moved in, and what they save anew. */
export interface Came {
  account: string;
  recovery: Recovery;
  log: Log;
  copies: readonly string[];
  /** What came of the luggage; null where there was none, or it is unpacked later. */
  unpacked: Unpacked | null;
  /** Whether something is left that the page does the next time it opens. */
  isLate: boolean;
}

/** What a home has made of luggage. */
export interface Unpacked {
  friends: number;
  blocked: number;
  /** Badges and other credentials that it holds for them. */
  credentials: number;
  /** Those whom it cannot ask: they are nobody's account. */
  failed: readonly string[];
}

const MOST_FAILED = 3_000;
const NAME_LETTERS = 255;

/** The log by which somebody lives here, with all that it needs kept in this browser. */
export async function setOut(keeping: Keeping, { entropy, log: there, luggage }: Bringing, { home, before, nowMs }: Threshold): Promise<Log> {
  mustLiveElsewhere(there, home);
  const recovery = await recoveryFor(there, entropy);
  const { sealKeyOf } = await import("../identity/luggage");
  const due: Due = { sealKey: await sealKeyOf(entropy), luggage: luggage?.text ?? null };
  const secrets = await keeping.secrets();
  const device = await keeping.deviceFor(there.did);
  const again = secrets?.moving ? await sameAgain(secrets.moving, there, home, device.multikey) : null;
  const keys = again && secrets?.moving ? secrets.moving.keys : { secret: freshUpdateSecret(), number: 0 };
  const log = again ?? (await recover(there, recovery, { keys, home, devices: [device.multikey] }, nowMs)).log;
  const { versionId } = log.last;
  const from = { number: there.last.number, versionId: there.last.versionId };
  const moving: Moving = { did: log.did, line: log.line, versionId, from, keys, due };
  await keeping.keep({ ...NO_SECRETS, did: before?.did ?? log.did, ...secrets, moving });
  return log;
}

/** Who lives on this node already has an account of theirs here. */
export function mustLiveElsewhere(log: Log, home: Home): void {
  if (log.last.deactivated) throw new IdentityError("ended", "the DID was deactivated, which is for ever");
  const { mxid, service } = personOf(log.last.state);
  if (!isHere(log, home) && service !== home.service) return;
  throw new IdentityError("here", "the person lives on this node already", mxid);
}

/** What was written before for the same way, where an answer was lost: a second version beside it would be a fork. */
async function sameAgain(moving: Moving, there: Log, home: Home, device: string): Promise<Log | null> {
  if (moving.from.versionId !== there.last.versionId) return null;
  const log = await there.with(moving.line);
  const { nodeKey, devices } = personOf(log.last.state);
  return isHere(log, home) && nodeKey === home.nodeKey && devices.includes(device) ? log : null;
}

/** The secrets of somebody whose way here came into force, or null where it did not. */
export function arrived({ moving }: Secrets, log: Log): Secrets | null {
  if (!moving || !log.has(moving.versionId)) return null;
  const { keys: next, due } = moving;
  return { ...NO_SECRETS, did: log.did, next, confirmed: true, vaultDue: true, due };
}

/** Whether a DID is that of somebody who is on the way here. */
export function isComing(moving: Moving | null | undefined, did: string | null): moving is Moving {
  return !!moving && did !== null && did.split(":")[2] === scidOf(moving.did);
}

/** Gives a way up that the node refused, with what was kept for it. */
export async function turnedBack(keeping: Keeping): Promise<void> {
  const secrets = await keeping.secrets();
  if (!secrets?.moving) return;
  if (scidOf(secrets.did) === scidOf(secrets.moving.did)) {
    await keeping.drop();
    return;
  }
  await keeping.keep({ ...secrets, moving: null });
  await keeping.forgetDevice(secrets.moving.did);
}

/** Whether a node has said no for good, and not nothing or that it takes it later. */
export function isRefusal(error: unknown): boolean {
  return error instanceof ApiError && [400, 403, 404, 409, 413].includes(error.status);
}

export function readUnpacked({ friends, blocked, credentials, failed }: UnpackedSaid): Unpacked {
  const all = Array.isArray(failed) ? failed.slice(0, MOST_FAILED) : [];
  const accounts = all.filter((one): one is string => typeof one === "string" && one.length <= NAME_LETTERS);
  return { friends: numberOf(friends), blocked: numberOf(blocked), credentials: numberOf(credentials), failed: accounts };
}

const numberOf = (said: unknown): number => (typeof said === "number" && Number.isInteger(said) && said > 0 ? said : 0);
