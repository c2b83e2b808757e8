// The identity of whoever is signed in, as this browser reads, makes and changes it.
//
// Whatever cannot be made again is kept here before it is published, so that nothing is lost whenever the page
// closes; what is published and not yet noted here is found in the log the next time (`inForce`).
import type { Bytes } from "../identity/bytes";
import { freshEntropy, freshUpdateSecret } from "../identity/derived";
import { freshDeviceKey, type KeyStore } from "../identity/device";
import { scidOf } from "../identity/did";
import { personOf } from "../identity/document";
import { IdentityError } from "../identity/errors";
import type { Log } from "../identity/log";
import { isMultikey } from "../identity/multikey";
import {
  addDevice,
  type Changed,
  changeNodeKey,
  type Home,
  newPerson,
  recover,
  type Recovery,
  recoveryFor,
  revokeDevice,
  rotate,
  type UpdateKeys,
} from "../identity/person";
import type { Key, Lock } from "../identity/vault";
import { type Answer, type Asking, type Found, seek } from "./finding";
import { Keeping } from "./keeping";
import { arrived, type Bringing, type Came, isComing, isRefusal, mustLiveElsewhere, setOut, turnedBack, type Unpacked } from "./moving";
import type { PersonNode, Said } from "./node";
import { NOTHING, type Overview, overviewOf } from "./overview";
import { devicesOf, homeOf, inForce, isHere, type Now, readLog, wasRemoved } from "./reading";
import { NO_SECRETS, type PersonStore, type Secrets, type Seen } from "./store";
import { noteSaved, tellSealKey } from "./telling";
import { freshen, locksOf, unlocked, withLock, withoutLock } from "./vault";

/** What brings an identity back, for the person to save; the log is for the recovery file. */
export interface ToSave {
  recovery: Recovery;
  log: Log;
  /** The servers that hold copies, for the recovery file. */
  copies: readonly string[];
  /** The person has it: it is forgotten here. New words come into force by this, and not before. */
  saved(): Promise<void>;
}

/** What this room needs of the page. */
export interface Doors {
  node: PersonNode;
  store: PersonStore;
  /** Where keys of devices are kept, if not in the browser's database. */
  devices?: KeyStore;
  /** Does one thing at a time in all pages of this browser. */
  alone<T>(name: string, deed: () => Promise<T>): Promise<T>;
  nowMs(): number;
}

/** Another browser may change the log at the same moment. */
const TRIES = 3;
/** Whoever signs out waits no longer for the node. */
const LEAVE_MS = 5_000;

/** The log was changed elsewhere between reading and writing. */
class GoneOn extends Error {}

export class OwnIdentity {
  #log: Log | null = null;
  #unpacked: Unpacked | null = null;
  readonly #keeping: Keeping;

  constructor(
    readonly userId: string,
    private readonly doors: Doors,
  ) {
    this.#keeping = new Keeping(userId, doors.store, doors.devices);
  }

  /** Sees to it that there is one where there can be, and says how it stands. */
  ensure(): Promise<Overview> {
    return this.#alone(async () => {
      try {
        return await this.#begun();
      } catch (error) {
        // A database that refuses is one that private windows of some browsers have.
        const isUnable = error instanceof DOMException || (error instanceof IdentityError && error.why === "unsupported");
        if (isUnable) return { ...NOTHING, state: "none", why: "browser" };
        if (!(error instanceof IdentityError)) throw error;
        console.warn("the identity cannot be believed", error);
        return { ...NOTHING, state: "broken", why: error.why };
      }
    });
  }

  /** Words to save: those of now where they are in this browser still, new ones otherwise. */
  toSave(): Promise<ToSave> {
    return this.#alone(async () => {
      const { said, log, secrets } = await this.#now();
      if (!secrets?.entropy) return this.#newWords(said, log, keysOf(secrets));
      const recovery = await recoveryFor(log, secrets.entropy);
      return { recovery, log, copies: said.copies ?? [], saved: () => this.#alone(() => this.#noteSaved()) };
    });
  }

  /** Words that take the place of those of now as soon as the person has them. */
  newWords(): Promise<ToSave> {
    return this.#alone(async () => {
      const { said, log, secrets } = await this.#now();
      return this.#newWords(said, log, keysOf(secrets));
    });
  }

  /** Goes on to the next key, so that one that somebody may have seen is of no use. */
  renew(): Promise<void> {
    return this.#alone(() => this.#change((log, keys) => rotate(log, keys, this.doors.nowMs())));
  }

  removeDevice(key: string): Promise<void> {
    return this.#alone(() => this.#change((log, keys) => revokeDevice(log, keys, key, this.doors.nowMs())));
  }

  /** What opens the vault. */
  locks(): Promise<readonly Lock[]> {
    return this.#alone(async () => locksOf(this.doors.node, (await this.#now()).log.did));
  }

  /** Locks what changes the identity by one thing more, for other devices of the person to open. */
  addLock(key: Key): Promise<void> {
    return this.#alone(async () => {
      const { log, secrets } = await this.#now();
      const { node } = this.doors;
      const vault = await withLock(node, log.did, keysOf(secrets), secrets?.vaultKey ?? null, key);
      // One that this browser could not open again could never be kept up to date.
      if (secrets) await this.#keeping.keep({ ...secrets, vaultKey: vault.dataKey });
      await node.keepVault(await vault.write());
    });
  }

  removeLock(lock: Lock): Promise<void> {
    return this.#alone(async () => {
      const { log, secrets } = await this.#now();
      await withoutLock(this.doors.node, log.did, secrets?.vaultKey ?? null, lock);
    });
  }

  /** The ids of the passkeys by which the person signs in. */
  credentials(): Promise<string[]> {
    return this.doors.node.credentials();
  }

  /** Makes this browser a device of the person by what opens the vault. */
  join(key: Key): Promise<void> {
    return this.#alone(async () => {
      const { log, secrets } = await this.#now();
      const { keys, vaultKey } = await unlocked(this.doors.node, log.did, key);
      const mine = (await inForce(log, { ...NO_SECRETS, did: log.did, keys })).keys;
      if (!mine) throw new IdentityError("wrong_key", "the vault is behind the log: the DID was recovered since");
      const device = await this.#keeping.deviceFor(log.did);
      await this.#keeping.keep({ ...NO_SECRETS, ...secrets, did: log.did, keys: mine, vaultKey });
      if (personOf(log.last.state).devices.includes(device.multikey)) return;
      await this.#change((now, then) => addDevice(now, then, device.multikey, this.doors.nowMs()));
    });
  }

  /** Whether some words are those of this identity; refuses others. */
  mustOpen(entropy: Bytes): Promise<void> {
    return this.#alone(async () => {
      const { said, log } = await this.#now();
      await recoveryFor(log, entropy);
      // Who types their words has them: what they saved before there was luggage is mended by the way.
      if (said.saved) await tellSealKey(this.doors.node, said, entropy).catch(late);
    });
  }

  /** Looks for somebody who lived elsewhere, whose words these are; refuses whoever lives here. */
  async seek(asking: Asking, heard: (answers: readonly Answer[]) => void): Promise<Found> {
    const found = await seek(this.doors.node, asking, heard);
    mustLiveElsewhere(found.log, this.#homeOf(await this.doors.node.look()));
    return found;
  }

  /** Has somebody of elsewhere live here, by their words: the identity that was made here gives way to theirs. */
  moveIn(bringing: Bringing): Promise<Came> {
    return this.#alone(async () => {
      const { said, log: before } = await this.#look();
      const home = this.#homeOf(said);
      const held = before && (await this.#held(said, before));
      // An answer to the first attempt may have been lost.
      const isIn = held && held.log.scid === bringing.log.scid && isHere(held.log, home);
      this.#unpacked = null;
      const coming = { home, before, nowMs: this.doors.nowMs() };
      const now = await this.#settled(isIn ? held : await this.#movedIn(await setOut(this.#keeping, bringing, coming)));
      const recovery = await recoveryFor(now.log, bringing.entropy);
      const [unpacked, isLate] = [this.#unpacked, !!now.secrets?.due];
      return { account: this.userId, recovery, log: now.log, copies: now.said.copies ?? [], unpacked, isLate };
    });
  }

  /**
   * Takes the identity back by its recovery secret: whoever had the keys of before has nothing any more, and the
   * vault is to be locked anew, since a copy of it may be in wrong hands too. Of the devices those stay that the
   * person names, and this browser is one.
   */
  recover(entropy: Bytes, others: readonly string[]): Promise<void> {
    return this.#alone(async () => {
      const { log, secrets, said } = await this.#now();
      const home = this.#homeOf(said);
      const recovery = await recoveryFor(log, entropy);
      const device = await this.#keeping.deviceFor(log.did);
      const next: UpdateKeys = { secret: freshUpdateSecret(), number: 0 };
      await this.#keeping.keep({ ...NO_SECRETS, ...secrets, did: log.did, next, vaultKey: null, vaultDue: true });
      const devices = [device.multikey, ...others.filter((key) => key !== device.multikey)];
      const changed = await recover(log, recovery, { keys: next, home, devices }, this.doors.nowMs());
      await this.#settled(await this.#published(log, changed));
      await this.#noteSaved(entropy);
    });
  }

  /** Believes what the node says now, and forgets what this browser has seen before. */
  startOver(): Promise<void> {
    return this.#alone(async () => {
      const secrets = await this.#keeping.secrets();
      await this.doors.store.unsee(this.userId);
      // Keys are looked for from the first on: those of a log that is shorter were used already.
      if (secrets?.keys) await this.#keeping.keep({ ...secrets, keys: { ...secrets.keys, number: 0 } });
      this.#log = null;
    });
  }

  /** Whether the identity would be lost if this browser forgot it now. */
  async wouldBeLost(): Promise<boolean> {
    const secrets = await this.#keeping.secrets();
    if (!secrets) return false;
    const asked = this.#alone(async () => {
      const { log, said, device, secrets: now } = await this.#now();
      // That words are saved which are here still is what a node says, and not the person.
      if ((said.saved && !now?.entropy) || log.last.deactivated || !device) return false;
      const isAlone = devicesOf(log).every(({ key }) => key === device.multikey);
      return isAlone && (await locksOf(this.doors.node, log.did)).length === 0;
    });
    // Of whoever cannot be asked, this browser knows the most.
    return within(asked, () => secrets.entropy !== null && !secrets.confirmed);
  }

  /** Takes this browser out of the devices where another remains, and leaves nothing of the identity in it. */
  async leave(): Promise<void> {
    if (await this.#keeping.secrets()) await within(this.#alone(() => this.#revokeOwn()), () => undefined);
    await this.forget();
  }

  /** Leaves nothing of it in this browser. */
  async forget(): Promise<void> {
    await this.#keeping.leave(this.#log?.did);
  }

  async #begun(): Promise<Overview> {
    const { said, log } = await this.#look();
    const home = homeOf(said, this.userId);
    if (!home) return { ...NOTHING, state: "none", why: "node" };
    // Whoever comes by an identity that they have elsewhere is that person here too, and no second one.
    if (!log && said.linked !== null) return { ...NOTHING, state: "none", why: "linked", did: said.linked };
    const now = log ? await this.#held(said, log) : await this.#begin(home);
    return overviewOf(await this.#settled(now), this.userId);
  }

  /** Makes an identity, or takes what another page or browser was first to make. */
  async #begin(home: Home): Promise<Now> {
    // Of an attempt that never came to the node.
    await this.#keeping.drop();
    const device = await freshDeviceKey();
    const [keys, entropy] = [{ secret: freshUpdateSecret(), number: 0 }, freshEntropy()];
    const recovery = { entropy, number: 1 };
    const nowMs = this.doors.nowMs();
    const made = await newPerson({ home, device: device.multikey, keys, recovery, nowMs });
    await this.#keeping.keep({ ...NO_SECRETS, did: made.log.did, keys: made.keys, entropy });
    await this.#keeping.deviceFor(made.log.did, device);
    let refusal: unknown = null;
    const answer = await this.doors.node.write(made.log.text).catch((error: unknown) => {
      refusal = error;
      return this.doors.node.look();
    });
    const { said, log } = await this.#look(answer);
    if (!log) throw refusal;
    return this.#held(said, log);
  }

  /** The last device is not taken out: a person without one could not act. */
  async #revokeOwn(): Promise<void> {
    const { log, device, secrets } = await this.#now();
    const own = device?.multikey ?? "";
    const keys = devicesOf(log).map(({ key }) => key);
    if (!secrets?.keys || !keys.includes(own) || keys.length === 1) return;
    await this.#change((now, then) => revokeDevice(now, then, own, this.doors.nowMs()));
  }

  /** What is there now, with everything done that was left undone. */
  async #now(): Promise<Now> {
    const { said, log } = await this.#look();
    if (!log) throw new IdentityError("malformed", "there is no identity yet");
    return this.#settled(await this.#held(said, log));
  }

  async #look(given?: Said): Promise<{ said: Said; log: Log | null }> {
    const said = given ?? (await this.doors.node.look());
    const log = await readLog(said, this.#log, await this.#seen(said));
    this.#log = log;
    if (log) {
      const { number, versionId } = log.last;
      await this.doors.store.see({ userId: this.userId, scid: log.scid, number, versionId });
    }
    return { said, log };
  }

  /** What this browser has seen: of whoever is on the way here, the log from which they come. */
  async #seen({ did }: Said): Promise<Seen | undefined> {
    const seen = await this.doors.store.seen(this.userId);
    const moving = (await this.#keeping.secrets())?.moving;
    if (!isComing(moving, did) || seen?.scid === scidOf(moving.did)) return seen;
    return { userId: this.userId, scid: scidOf(moving.did), ...moving.from };
  }

  async #held(said: Said, log: Log): Promise<Now> {
    const kept = await this.#keeping.secrets();
    const secrets = kept && (arrived(kept, log) ?? kept);
    if (kept && secrets && secrets !== kept) await this.#giveWay(kept, secrets);
    // What was made here for a first version that another page or browser was before with.
    const isStale = secrets !== null && scidOf(secrets.did) !== log.scid;
    if (isStale) await this.#keeping.drop();
    return { said, log, device: await this.#keeping.device(log.did), secrets: isStale ? null : secrets };
  }

  /** What was made here is forgotten for what came into force in its place, and not before. */
  async #giveWay(made: Secrets, came: Secrets): Promise<void> {
    await this.#keeping.keep(came);
    if (scidOf(made.did) !== scidOf(came.did)) await this.#keeping.forgetDevice(made.did);
  }

  /** Publishes the version by which somebody lives here. An answer that was lost is not taken for a refusal. */
  async #movedIn(coming: Log): Promise<Now> {
    let said: Said;
    try {
      said = await this.doors.node.moveIn(coming.text);
    } catch (error) {
      said = await this.doors.node.look().catch(() => {
        throw error;
      });
      const { log } = await this.#look(said);
      if (!log?.has(coming.last.versionId)) {
        if (isRefusal(error)) await turnedBack(this.#keeping);
        throw error;
      }
    }
    const { log } = await this.#look(said);
    if (!log?.has(coming.last.versionId)) throw new IdentityError("rewound", "the node has not kept what it took");
    return this.#held(said, log);
  }

  #homeOf(said: Said): Home {
    const home = homeOf(said, this.userId);
    if (home) return home;
    throw new IdentityError("malformed", "this node gives no place for an identity");
  }

  /** Finds what came into force since, and does what was left undone when a page closed. */
  async #settled(now: Now): Promise<Now> {
    const { log, device } = now;
    if (device && wasRemoved(log, device)) {
      await this.#keeping.drop(log.did);
      return { ...now, device: null, secrets: null };
    }
    if (!now.secrets) return now;
    const secrets = await inForce(log, now.secrets);
    if (differ(secrets, now.secrets)) await this.#keeping.keep(secrets);
    if (secrets.vaultDue && !secrets.next) await this.#withoutVault(secrets).catch(late);
    if (secrets.confirmed && (secrets.entropy || secrets.due)) await this.#noteSaved().catch(late);
    else if (now.said.saved && secrets.entropy) await tellSealKey(this.doors.node, now.said, secrets.entropy).catch(late);
    return this.#withNodeKey({ ...now, secrets: await this.#keeping.secrets() });
  }

  /** Puts the node's key of now into the document, where the node says that it has another. */
  async #withNodeKey(now: Now): Promise<Now> {
    const { log, said, secrets, device } = now;
    const key = said.node_key;
    const home = homeOf(said, this.userId);
    if (!secrets?.keys || !device || !isHere(log, home) || !isMultikey(key)) return now;
    const { nodeKey, devices } = personOf(log.last.state);
    if (nodeKey === key || !devices.includes(device.multikey)) return now;
    const changed = await changeNodeKey(log, secrets.keys, key, this.doors.nowMs());
    try {
      const then = await this.#published(log, changed);
      await this.#keeping.keep({ ...secrets, keys: changed.keys });
      await this.#freshen(then.log, changed.keys, secrets.vaultKey);
      return { ...then, secrets: await this.#keeping.secrets() };
    } catch (error) {
      late(error);
      return now;
    }
  }

  /** Changes the log by the next key; once more, where it was changed elsewhere meanwhile. */
  async #change(edit: (log: Log, keys: UpdateKeys) => Promise<Changed>): Promise<void> {
    for (let left = TRIES; ; left -= 1) {
      const { log, secrets } = await this.#now();
      const changed = await edit(log, keysOf(secrets));
      try {
        const then = await this.#settled(await this.#published(log, changed));
        await this.#freshen(then.log, changed.keys, then.secrets?.vaultKey ?? null);
        return;
      } catch (error) {
        if (!(error instanceof GoneOn)) throw error;
        if (left === 1) throw error.cause;
      }
    }
  }

  /** Publishes what follows on a log. An answer that was lost is not taken for a refusal. */
  async #published(before: Log, changed: Changed): Promise<Now> {
    const lines = changed.log.lines.slice(before.lines.length).join("\n");
    let said: Said;
    try {
      said = await this.doors.node.write(lines);
    } catch (error) {
      said = await this.doors.node.look().catch(() => {
        throw error;
      });
      const { log } = await this.#look(said);
      if (!log || log.last.number === before.last.number) throw error;
      if (!log.has(changed.log.last.versionId)) throw new GoneOn("", { cause: error });
    }
    const { log } = await this.#look(said);
    if (!log) throw new IdentityError("rewound", "the node has not kept what it took");
    return this.#held(said, log);
  }

  async #newWords(said: Said, log: Log, keys: UpdateKeys): Promise<ToSave> {
    const recovery: Recovery = { entropy: freshEntropy(), number: 1 };
    const draft = await rotate(log, keys, this.doors.nowMs(), recovery);
    const saved = (): Promise<void> =>
      this.#alone(async () => {
        await this.#change((now, then) => rotate(now, then, this.doors.nowMs(), recovery));
        await this.#noteSaved(recovery.entropy);
      });
    return { recovery, log: draft.log, copies: said.copies ?? [], saved };
  }

  /** What came of the luggage that was unpacked by it, if there was some. */
  async #noteSaved(words: Bytes | null = null): Promise<void> {
    const unpacked = await noteSaved(this.doors.node, this.#keeping, words);
    this.#unpacked = unpacked ?? this.#unpacked;
  }

  async #freshen(log: Log, keys: UpdateKeys, vaultKey: Bytes | null): Promise<void> {
    if (vaultKey) await freshen(this.doors.node, log.did, keys, vaultKey).catch(late);
  }

  /** Takes a vault away whose secret was replaced. */
  async #withoutVault(secrets: Secrets): Promise<void> {
    await this.doors.node.keepVault(null);
    await this.#keeping.keep({ ...secrets, vaultDue: false });
  }

  #alone<T>(deed: () => Promise<T>): Promise<T> {
    return this.doors.alone(`wayside identity of ${this.userId}`, deed);
  }
}

function keysOf(secrets: Secrets | null): UpdateKeys {
  if (secrets?.keys) return secrets.keys;
  throw new IdentityError("wrong_key", "this browser does not hold what changes the identity");
}

function differ(one: Secrets, other: Secrets): boolean {
  const isSame = one.keys?.number === other.keys?.number && one.keys?.secret === other.keys?.secret;
  return !isSame || one.next !== other.next || one.entropy !== other.entropy;
}

/** What is not done now is done the next time that a page opens. */
const late = (error: unknown): void => console.warn("a part of the identity is brought up to date later", error);

/** What was asked, or something else where that takes too long or fails. */
async function within<T>(asked: Promise<T>, otherwise: () => T): Promise<T> {
  const early = asked.catch((error: unknown) => {
    console.warn("the identity cannot be asked for", error);
    return otherwise();
  });
  return Promise.race([early, new Promise<T>((resolve) => setTimeout(() => resolve(otherwise()), LEAVE_MS))]);
}
