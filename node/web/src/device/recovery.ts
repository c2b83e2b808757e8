// The person's own keys: made once, kept behind a recovery key, and a backup of the keys of messages.
import {
  BackupDecryptionKey,
  DeviceId,
  type OtherUserIdentity,
  OwnUserIdentity,
  RoomId,
  UserId,
} from "@matrix-org/matrix-sdk-crypto-wasm";
import { ApiError, ask } from "../api/http";
import { asksForProof, type Proof, proven } from "../api/proof";
import { DeviceError } from "./errors";
import { type AnyRequest, CLIENT, type Machine } from "./machine";
import { CONFIRM_MS, type Own } from "./protocol";
import { describe, fits, freshKey, type KeyDescription, readRecoveryKey, seal, type Sealed, unseal, writeRecoveryKey } from "./secrets";

const BACKUP = "m.megolm_backup.v1";
const MASTER = "m.cross_signing.master";
const SELF_SIGNING = "m.cross_signing.self_signing";
const USER_SIGNING = "m.cross_signing.user_signing";
const DEFAULT_KEY = "m.secret_storage.default_key";
const BACKUP_ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2";
/** A key that the backup did not have may have come into it since. */
const ASK_AGAIN_MS = 60_000;

interface BackupVersion {
  version: string;
  algorithm: string;
  auth_data: { public_key: string; signatures?: object };
}

interface BackedUp {
  session_data: { ephemeral: string; mac: string; ciphertext: string };
}

export class Recovery {
  own: Own;
  /** Which keys were asked of the backup of late. */
  private readonly asked = new Map<string, "asking" | "answered">();
  private fetching: Promise<void> = Promise.resolve();
  private uploading = false;
  private key: { key: BackupDecryptionKey; version: string } | null = null;
  private waiting: { session: string; answered: (done: boolean) => void } | null = null;

  constructor(
    private readonly machine: Machine,
    private readonly changed: () => void,
  ) {
    const { userId, deviceId } = machine.identity;
    this.own = { userId, deviceId, trust: "unknown", recovery: "unknown", backup: false };
    void machine.olm.registerReceiveSecretCallback(async (name) => {
      if (name === BACKUP) setTimeout(() => void this.openBackup().catch(console.warn));
    });
  }

  /** Finds out how the person's keys are, and makes them where there are none. */
  async begin(): Promise<void> {
    const { olm } = this.machine;
    await olm.updateTrackedUsers([this.me()]);
    await olm.markAllTrackedUsersAsDirty();
    await this.machine.pump();
    if (!(await this.identity())) await this.makeIdentity(null);
    await this.look();
    if (this.own.trust === "verified") await this.openBackup();
    this.own.recovery = (await this.storageKey()) ? "ready" : "missing";
    this.changed();
  }

  private me(): UserId {
    return new UserId(this.machine.identity.userId);
  }

  async identity(): Promise<OwnUserIdentity | undefined> {
    const identity: OwnUserIdentity | OtherUserIdentity | undefined = await this.machine.olm.getIdentity(this.me());
    return identity instanceof OwnUserIdentity ? identity : undefined;
  }

  /** Looks whether this device is known to be the person's. */
  async look(): Promise<void> {
    const { olm, identity } = this.machine;
    const device = await olm.getDevice(this.me(), new DeviceId(identity.deviceId));
    const trust = device?.isCrossSigningTrusted() ? "verified" : "unverified";
    if (trust === this.own.trust) return;
    this.own.trust = trust;
    this.changed();
  }

  /** After another device has said that this one is the person's: what it knows is asked of it. */
  async verified(): Promise<void> {
    await this.look();
    await this.machine.olm.requestMissingSecretsIfNeeded();
    await this.machine.pump();
    await this.openBackup();
  }

  /** Makes the person's keys and shows the public ones to the node, with a proof where it asks for one. */
  private async makeIdentity(proof: Proof): Promise<void> {
    const { machine } = this;
    const requests = await machine.olm.bootstrapCrossSigning(true);
    if (requests.uploadKeysRequest) await machine.send(requests.uploadKeysRequest as AnyRequest);
    const body = JSON.parse(requests.uploadSigningKeysRequest.body) as object;
    const { token } = machine.identity;
    try {
      await this.prove(proof, (auth) =>
        ask("POST", `${CLIENT}/keys/device_signing/upload`, { body: { ...body, ...auth }, token }),
      );
    } catch (error) {
      // The library goes by the new keys already, which nobody has been shown: those that the node knows count.
      await this.learnAnew();
      throw error;
    }
    await machine.send(requests.uploadSignaturesRequest);
    await this.learnAnew();
    await this.makeBackup();
  }

  /** Asks the node anew whose keys are which. */
  private async learnAnew(): Promise<void> {
    await this.machine.olm.markAllTrackedUsersAsDirty();
    await this.machine.pump();
    await this.look();
  }

  private async makeBackup(): Promise<void> {
    const { machine } = this;
    const key = BackupDecryptionKey.createRandomKey();
    const { publicKeyBase64 } = key.megolmV1PublicKey;
    const auth_data: { public_key: string; signatures?: object } = { public_key: publicKeyBase64 };
    const signatures = await machine.olm.sign(JSON.stringify(auth_data));
    auth_data.signatures = JSON.parse(signatures.asJSON()) as object;
    const body = { algorithm: BACKUP_ALGORITHM, auth_data };
    const { token } = machine.identity;
    const { version } = await ask<{ version: string }>("POST", `${CLIENT}/room_keys/version`, { body, token });
    await machine.olm.disableBackup();
    await this.use(key, version);
  }

  private async use(key: BackupDecryptionKey, version: string): Promise<void> {
    const { olm } = this.machine;
    // Storing takes the key for itself.
    const own = BackupDecryptionKey.fromBase64(key.toBase64());
    await olm.saveBackupDecryptionKey(own, version);
    await olm.enableBackupV1(key.megolmV1PublicKey.publicKeyBase64, version);
    this.key = { key, version };
    this.asked.clear();
    this.own.backup = true;
    this.changed();
    await this.upload();
  }

  /** Uses the backup of the node where its key is here, or has just come. */
  async openBackup(): Promise<void> {
    const { olm } = this.machine;
    const version = await this.backupVersion();
    if (!version || version.algorithm !== BACKUP_ALGORITHM) return;
    const kept = (await olm.getBackupKeys()).decryptionKeyBase64;
    const come = await olm.getSecretsFromInbox(BACKUP);
    for (const text of [kept, ...come]) {
      if (text === undefined) continue;
      const key = BackupDecryptionKey.fromBase64(text);
      if (key.megolmV1PublicKey.publicKeyBase64 !== version.auth_data.public_key) continue;
      if (come.size > 0) await olm.deleteSecretsFromInbox(BACKUP);
      await this.use(key, version.version);
      return;
    }
  }

  private async backupVersion(): Promise<BackupVersion | null> {
    return missing(ask<BackupVersion>("GET", `${CLIENT}/room_keys/version`, { token: this.machine.identity.token }));
  }

  /** Puts keys that are new into the backup, a batch at a time. */
  async upload(): Promise<void> {
    if (!this.own.backup || this.uploading) return;
    this.uploading = true;
    try {
      for (;;) {
        const request = await this.machine.olm.backupRoomKeys();
        if (!request) break;
        await this.machine.send(request);
      }
    } catch (error) {
      if (!(error instanceof ApiError && (error.code === "M_WRONG_ROOM_KEYS_VERSION" || error.status === 404))) throw error;
      // Somebody has made another backup since: this one is used no more, unless the key fits that too.
      this.own.backup = false;
      this.key = null;
      await this.machine.olm.disableBackup();
      this.changed();
    } finally {
      this.uploading = false;
    }
  }

  /** Asks the backup for the key of a message; one after the other, and each not too often. */
  fetch(roomId: string, sessionId: string): boolean {
    const { key } = this;
    if (!key) return false;
    const name = `${roomId} ${sessionId}`;
    const before = this.asked.get(name);
    if (before !== undefined) return before === "asking";
    this.asked.set(name, "asking");
    this.fetching = this.fetching
      .then(() => this.fetchOne(roomId, sessionId, name, key))
      .catch((error: unknown) => {
        this.asked.delete(name);
        console.warn("the backup could not be asked for a key", error);
      });
    return true;
  }

  private async fetchOne(
    roomId: string,
    sessionId: string,
    name: string,
    { key, version }: { key: BackupDecryptionKey; version: string },
  ): Promise<void> {
    const at = `${CLIENT}/room_keys/keys/${encodeURIComponent(roomId)}/${encodeURIComponent(sessionId)}`;
    const path = `${at}?version=${encodeURIComponent(version)}`;
    const found = await missing(ask<BackedUp>("GET", path, { token: this.machine.identity.token }));
    this.asked.set(name, "answered");
    setTimeout(() => this.asked.delete(name), ASK_AGAIN_MS);
    if (!found) {
      this.notFound(roomId);
      return;
    }
    const { ephemeral, mac, ciphertext } = found.session_data;
    const session = JSON.parse(key.decryptV1(ephemeral, mac, ciphertext)) as object;
    const sessions = new Map([[new RoomId(roomId), new Map([[sessionId, session]])]]);
    await this.machine.olm.importBackedUpRoomKeys(sessions, () => undefined, version);
  }

  /** Told of rooms in which a message stays unread, because the backup has not got its key. */
  notFound: (roomId: string) => void = () => {};

  draft(): string {
    return writeRecoveryKey(freshKey());
  }

  /** Locks the person's keys behind a recovery key that they have kept. */
  async save(text: string): Promise<void> {
    const key = readRecoveryKey(text);
    if (!key) throw new DeviceError("malformed_key");
    const keys = await this.machine.olm.exportCrossSigningKeys();
    const { masterKey, self_signing_key: selfSigning, userSigningKey: userSigning } = keys ?? {};
    if (!masterKey || !selfSigning || !userSigning) throw new DeviceError("unverified");
    if (!this.key) await this.makeBackup();
    const id = crypto.randomUUID().replaceAll("-", "");
    await this.keep(`m.secret_storage.key.${id}`, await describe(key));
    const secrets: [string, string | undefined][] = [
      [MASTER, masterKey],
      [SELF_SIGNING, selfSigning],
      [USER_SIGNING, userSigning],
      [BACKUP, this.key?.key.toBase64()],
    ];
    for (const [name, secret] of secrets) {
      if (secret !== undefined) await this.keep(name, { encrypted: { [id]: await seal(secret, key, name) } });
    }
    await this.keep(DEFAULT_KEY, { key: id });
    this.own.recovery = "ready";
    this.changed();
  }

  /** Takes the person's keys out from behind their recovery key, and signs this device with them. */
  async restore(text: string): Promise<void> {
    const key = readRecoveryKey(text);
    if (!key) throw new DeviceError("malformed_key");
    const known = await this.storageKey();
    if (!known) throw new DeviceError("no_recovery");
    if (!(await fits(key, known.description))) throw new DeviceError("wrong_key");
    const secret = async (name: string): Promise<string | undefined> => {
      const kept = await this.kept<{ encrypted?: Record<string, Sealed> }>(name);
      const sealed = kept?.encrypted?.[known.id];
      return (sealed && (await unseal(sealed, key, name))) ?? undefined;
    };
    const { olm } = this.machine;
    const [master, self, user] = await Promise.all([MASTER, SELF_SIGNING, USER_SIGNING].map(secret));
    const status = await olm.importCrossSigningKeys(master, self, user);
    if (!status.hasMaster || !status.hasSelfSigning) throw new DeviceError("stale_recovery");
    const device = await olm.getDevice(this.me(), new DeviceId(this.machine.identity.deviceId));
    if (!device) throw new DeviceError("stale_recovery");
    await this.machine.send(await device.verify());
    await this.learnAnew();
    await this.restoreBackup(await secret(BACKUP));
  }

  private async restoreBackup(secret: string | undefined): Promise<void> {
    const version = await this.backupVersion();
    const key = secret === undefined ? null : BackupDecryptionKey.fromBase64(secret);
    const fitting = key && version?.auth_data.public_key === key.megolmV1PublicKey.publicKeyBase64;
    if (key && version && fitting) await this.use(key, version.version);
    else if (!version) await this.makeBackup();
  }

  /** Makes new keys in place of those that are lost: whoever verified the person has to do it again. */
  async reset(proof: Proof): Promise<void> {
    await this.makeIdentity(proof);
    await this.keep(DEFAULT_KEY, {});
    this.own.recovery = "missing";
    this.changed();
  }

  /** Does what the node wants a proof for. */
  async prove<T>(proof: Proof, deed: (auth: object) => Promise<T>): Promise<T> {
    try {
      return await deed({});
    } catch (error) {
      if (!asksForProof(error)) throw error;
      if (proof === null) throw new DeviceError("no_proof");
      if (proof === "page") {
        const session = String(error.body.session);
        await this.confirming(session);
        return deed({ auth: { session } });
      }
      return deed(proven(this.machine.identity.userId, proof, error));
    }
  }

  /** What waits to be confirmed on the sign-in page. */
  get toConfirm(): string | null {
    return this.waiting?.session ?? null;
  }

  /** Has a page send its person to confirm a session, and waits for their word. */
  private async confirming(session: string): Promise<void> {
    this.waiting?.answered(false);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const done = await new Promise<boolean>((answered) => {
      this.waiting = { session, answered };
      timer = setTimeout(() => answered(false), CONFIRM_MS);
      this.changed();
    });
    clearTimeout(timer);
    if (this.toConfirm === session) this.waiting = null;
    this.changed();
    if (!done) throw new DeviceError("unconfirmed");
  }

  confirmed(session: string, done: boolean): void {
    if (this.toConfirm === session) this.waiting?.answered(done);
  }

  private async storageKey(): Promise<{ id: string; description: KeyDescription } | null> {
    const id = (await this.kept<{ key?: string }>(DEFAULT_KEY))?.key;
    if (id === undefined) return null;
    const description = await this.kept<KeyDescription>(`m.secret_storage.key.${id}`);
    return description?.mac === undefined ? null : { id, description };
  }

  private data(type: string): string {
    const { userId } = this.machine.identity;
    return `${CLIENT}/user/${encodeURIComponent(userId)}/account_data/${encodeURIComponent(type)}`;
  }

  private kept<T>(type: string): Promise<T | null> {
    return missing(ask<T>("GET", this.data(type), { token: this.machine.identity.token }));
  }

  private async keep(type: string, body: object): Promise<void> {
    await ask("PUT", this.data(type), { body, token: this.machine.identity.token });
  }
}

/** What is not there is null. */
async function missing<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}
