// A login of somebody through matrix-js-sdk, and how a story waits for what must be seen there.
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";

const KEPT_LOG_LINES = 60;
const LONGEST_LOG_LINE = 300;

// The client is written for Node.js 22, of which this is all that it needs and version 20 lacks.
Promise.withResolvers ??= () => {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
};

// Packages lie outside of the checkout, where setup has put them.
const require = createRequire(join(process.env.WAYSIDE_SDK, "package.json"));
export const loaded = (name) => import(pathToFileURL(require.resolve(name)));
/** The end of what the client says of itself, for a story that fails. */
export const log = [];
// Before all else: other parts of the client take what they log with as soon as they are loaded.
const { logger } = await loaded("matrix-js-sdk/lib/logger.js");
logger.methodFactory = (level) => (...said) => {
  const words = said.map((part) => (typeof part === "string" ? part : inspect(part, { depth: 1 })).split("\n")[0]);
  log.push(`${level} ${words.join(" ").slice(0, LONGEST_LOG_LINE)}`);
  if (log.length > KEPT_LOG_LINES) log.shift();
};
logger.rebuild();

export const sdk = await loaded("matrix-js-sdk");
export const cryptoApi = await loaded("matrix-js-sdk/lib/crypto-api/index.js");
// The same module as the client's own, which is not the one that `require` finds.
const wasm = new URL("node.mjs", pathToFileURL(require.resolve("@matrix-org/matrix-sdk-crypto-wasm")));
export const { Attachment, EncryptedAttachment } = await import(wasm);
const { RustBackupManager } = await loaded("matrix-js-sdk/lib/rust-crypto/backup.js");
const { SlidingSync } = await loaded("matrix-js-sdk/lib/sliding-sync.js");

// Keys go to the backup at a moment that is left to chance, in real life: up to ten seconds later.
RustBackupManager.maxBackupLoopStartDelayMillis = 0;

export const PASSWORD = "correct horse battery staple";
export const SAS = "m.sas.v1";
const SOON_MS = 20_000;
const LOOK_MS = 25;
const POLL_MS = 10_000;
const WINDOW = 30;
/** What a list of rooms needs to know, by sliding sync, and what is needed of a room that is opened. */
const LISTED_STATE = [
  ["m.room.create", ""],
  ["m.room.name", ""],
  ["m.room.encryption", ""],
  ["m.room.member", "$ME"],
  ["m.room.member", "$LAZY"],
];
const OPENED_STATE = [...LISTED_STATE, ["m.room.power_levels", ""], ["m.room.join_rules", ""], ["m.room.topic", "*"]];

const begun = performance.now();

export function done(what) {
  console.log(`${((performance.now() - begun) / 1000).toFixed(2).padStart(6)} s  ${what}`);
}

/** Fails with what was found. */
export function ensure(holds, what) {
  if (!holds) throw new Error(typeof what === "string" ? `not so: ${what}` : JSON.stringify(what));
}

export function same(found, expected, what) {
  const [one, other] = [found, expected].map((value) => JSON.stringify(value));
  if (one !== other) throw new Error(`${what}: expected ${other}, found ${one}`);
}

/** Waits until `seen` answers with something, and passes that on. */
export async function until(what, seen, limit = SOON_MS) {
  for (const start = performance.now(); ; await pause(LOOK_MS)) {
    const answer = await seen();
    if (answer) return answer;
    if (performance.now() - start > limit) throw new Error(`nobody ever saw ${what}`);
  }
}

/** What a request is refused with; fails if it is granted. */
export async function refused(what, request) {
  try {
    await request;
  } catch (error) {
    if (error instanceof sdk.MatrixError) return error;
    throw error;
  }
  throw new Error(`${what} was not refused`);
}

/** Goes through user-interactive authentication by password: asks without it, then with it. */
export function byPassword(userId, refusals = []) {
  return async (request) => {
    try {
      return await request(null);
    } catch (error) {
      if (error.httpStatus !== 401 || !error.data.flows) throw error;
      refusals.push(error.data);
      const identifier = { type: "m.id.user", user: userId };
      return request({ type: "m.login.password", identifier, password: PASSWORD, session: error.data.session });
    }
  };
}

const everybody = [];

export class Device {
  /** Keys of the secret storage that this device has been told, by their ids. */
  #secrets = new Map();
  /** What has been asked of it in verifications, newest last. */
  requests = [];
  wasLoggedOut = false;

  /** Makes an account, and a device of it by a login of its own. */
  static async register(url, name, wish) {
    const auth = { type: "m.login.dummy" };
    const door = sdk.createClient({ baseUrl: url, logger });
    const account = { username: name, password: PASSWORD, initial_device_display_name: "first", auth };
    const made = await door.registerRequest(account);
    const device = await Device.logIn(url, made.user_id, "second", wish);
    ensure(device.id !== made.device_id, "a login makes a device of its own");
    const first = sdk.createClient({ baseUrl: url, userId: made.user_id, accessToken: made.access_token, logger });
    await first.logout();
    return device;
  }

  /** By sliding sync or not, and with a window of so many events on each room. */
  static async logIn(url, userId, name, { sliding = false, window = WINDOW } = {}) {
    const door = sdk.createClient({ baseUrl: url, logger });
    const identifier = { type: "m.id.user", user: userId };
    const proof = { type: "m.login.password", identifier, password: PASSWORD };
    const session = await door.loginRequest({ ...proof, initial_device_display_name: name });
    same(session.user_id, userId, "user after login");
    const device = new Device(url, session);
    everybody.push(device);
    await device.#start(url, sliding, window);
    return device;
  }

  constructor(url, session) {
    this.sliding = null;
    this.client = sdk.createClient({
      baseUrl: url,
      userId: session.user_id,
      deviceId: session.device_id,
      accessToken: session.access_token,
      verificationMethods: [SAS],
      cryptoCallbacks: {
        getSecretStorageKey: async ({ keys }) => {
          const id = Object.keys(keys).find((each) => this.#secrets.has(each));
          return id ? [id, this.#secrets.get(id)] : null;
        },
        cacheSecretStorageKey: (id, _, key) => this.#secrets.set(id, key),
      },
      logger,
    });
    this.client.on(sdk.HttpApiEvent.SessionLoggedOut, () => (this.wasLoggedOut = true));
  }

  async #start(url, sliding, window) {
    await this.client.initRustCrypto({ useIndexedDB: false });
    this.client.on(cryptoApi.CryptoEvent.VerificationRequestReceived, (request) => this.requests.push(request));
    if (sliding) {
      // A longer past of a room that is opened would end up behind its newest event: the client takes all
      // that comes for newer than what it has.
      const lists = new Map([["all", { ranges: [[0, 99]], timeline_limit: window, required_state: LISTED_STATE }]]);
      const open = { timeline_limit: window, required_state: OPENED_STATE };
      this.sliding = new SlidingSync(url, lists, open, this.client, POLL_MS);
    }
    const options = { initialSyncLimit: window, pollTimeout: POLL_MS, threadSupport: true, lazyLoadMembers: true };
    await this.client.startClient({ ...options, slidingSync: this.sliding ?? undefined });
    await until(`a first sync of ${this.userId}`, () => this.client.getSyncState() === sdk.SyncState.Syncing);
  }

  get userId() {
    return this.client.getUserId();
  }

  get id() {
    return this.client.getDeviceId();
  }

  get crypto() {
    return this.client.getCrypto();
  }

  /** Tells the device the key of the secret storage, as its owner would type it. */
  async tell(recoveryKey) {
    const id = await this.client.secretStorage.getDefaultKeyId();
    this.#secrets.set(id, cryptoApi.decodeRecoveryKey(recoveryKey));
  }

  room(id) {
    return this.client.getRoom(id);
  }

  /** Looks into a room: by sliding sync more of its state is told only then. */
  open(id) {
    this.sliding?.modifyRoomSubscriptions(this.sliding.getRoomSubscriptions().add(id));
  }

  /** An event of a room, in the timeline or in a thread, once it is there and is not sealed. */
  event(roomId, what, holds) {
    return until(`${what} at ${this.userId} on ${this.id}`, async () => {
      const room = this.room(roomId);
      const events = room ? [room.getLiveTimeline(), ...room.getThreads().map((thread) => thread.liveTimeline)] : [];
      for (const event of events.flatMap((timeline) => timeline.getEvents())) {
        await event.getDecryptionPromise();
        if (!event.isDecryptionFailure() && !event.isSending() && holds(event)) return event;
      }
      return null;
    });
  }

  /** A message of these words, which must have come encrypted. */
  async hears(roomId, body) {
    const event = await this.event(roomId, `the message "${body}"`, (each) => each.getContent().body === body);
    ensure(event.isEncrypted(), `"${body}" came encrypted`);
    return event;
  }

  async says(roomId, body, more = {}, threadId = null) {
    const content = { msgtype: "m.text", body, ...more };
    return (await this.client.sendMessage(roomId, threadId, content)).event_id;
  }

  /** The device of another as this one knows it. */
  async knows(other) {
    return (await this.crypto.getUserDeviceInfo([other.userId])).get(other.userId)?.get(other.id);
  }

  /** How many messages of a room are worth a notification, and how many a highlight. */
  counts(roomId) {
    const room = this.room(roomId);
    if (!this.sliding) {
      const { Total, Highlight } = sdk.NotificationCountType;
      return [Total, Highlight].map((kind) => room.getUnreadNotificationCount(kind));
    }
    // By sliding sync servers need not count: a client goes by its rules and receipts.
    const events = room.getLiveTimeline().getEvents();
    const read = events.findIndex((event) => event.getId() === room.getEventReadUpTo(this.userId));
    const unread = events.slice(read + 1).filter((event) => event.getSender() !== this.userId);
    const actions = unread.map((event) => this.client.getPushActionsForEvent(event, true));
    const worth = actions.filter((each) => each?.notify);
    return [worth.length, worth.filter((each) => each.tweaks.highlight).length];
  }

  /** Keeps its owner's secrets and the keys of their rooms on the server, behind the recovery key that it gives. */
  async keepSecrets() {
    const key = await this.crypto.createRecoveryKeyFromPassphrase();
    const createSecretStorageKey = async () => key;
    const wish = { createSecretStorageKey, setupNewSecretStorage: true, setupNewKeyBackup: true };
    await this.crypto.bootstrapSecretStorage(wish);
    await until("secrets stored", () => this.crypto.isSecretStorageReady());
    await until("a backup of keys", () => this.crypto.getActiveSessionBackupVersion());
    done("secrets behind a recovery key, and a backup of keys");
    return key.encodedPrivateKey;
  }

  stop() {
    this.client.stopClient();
  }

  /** Logs out; the token is worth nothing then. */
  async leave() {
    const fetched = () => this.client.whoami();
    this.client.stopClient();
    await this.client.logout();
    same((await refused("a logged-out token", fetched())).errcode, "M_UNKNOWN_TOKEN", "what it is told");
  }
}

/** Tells a story to its end, and ends with it whatever the client still has in mind. */
export async function tell(story) {
  let status = 0;
  try {
    await story();
  } catch (error) {
    status = 1;
    process.stderr.write(`${error.stack ?? error}\n---- log of the client ----\n${log.join("\n")}\n`);
  }
  for (const device of everybody) device.stop();
  process.exit(status);
}
