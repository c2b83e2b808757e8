// The vault: the update secret as it is kept, so that the home node may store it and cannot read it.
//
// A random data key locks the secret; every lock holds that key once more, locked by what a person has or knows.
// Whatever is locked is bound to the person by the SCID of their DID, which stays when they move: a vault of
// somebody else opens nothing here. A lock that was removed still opens copies from before; whoever fears that
// somebody has both makes a new secret, by recovery.
import { type Bytes, base64url, fromBase64url, utf8 } from "./bytes";
import { canonical, isObject, type Json, type JsonObject, readJson } from "./canonical";
import { expanded, MOST_KEYS, UPDATE_SECRET_BYTES } from "./derived";
import { scidOf } from "./did";
import { IdentityError } from "./errors";
import { hash, isHash } from "./multikey";
import type { UpdateKeys } from "./person";

/** A lock as anybody may see it; bytes are base64url. */
export type Lock = PasskeyLock | PassphraseLock;

export interface PasskeyLock {
  kind: "passkey";
  /** The id of the credential. */
  credential: string;
  /** What the passkey is asked to answer. */
  salt: string;
}

export interface PassphraseLock {
  kind: "passphrase";
  salt: string;
  iterations: number;
}

/** What opens a lock, or makes one. */
export type Key =
  | { kind: "passphrase"; passphrase: string }
  /** The answer of the passkey to the salt (Web Authentication 3, PRF extension). */
  | { kind: "passkey"; credential: string; salt: string; output: Bytes };

/** What was locked with AES-GCM. */
interface Sealed {
  iv: string;
  ciphertext: string;
}

type Locked = Lock & Sealed;

const TYPE = "wayside-vault";
const VERSION = 1;
const VAULT_BYTES = 64 * 1024;
const MOST_LOCKS = 16;
/** Each costs the browser a moment to try. */
const MOST_PASSPHRASES = 4;
const ITERATIONS = 600_000;
/** Fewer are quickly guessed, and more would keep a page busy for whoever made them up. */
const [LEAST_ITERATIONS, MOST_ITERATIONS] = [100_000, 5_000_000];
const LEAST_PASSPHRASE = 12;
const MOST_PASSPHRASE = 1_024;
const KEY_BYTES = 32;
const IV_BYTES = 12;
const SALT_BYTES = 32;
/** Web Authentication, section 4: no id of a credential is longer. */
const CREDENTIAL_BYTES = 1_023;

/** A vault that was read and not opened: it says which locks it has. */
export class ClosedVault {
  private constructor(
    readonly scid: string,
    readonly locks: readonly Lock[],
    private readonly locked: readonly Locked[],
    private readonly content: Sealed,
  ) {}

  /** Reads the vault of a person. */
  static async read(text: string, did: string): Promise<ClosedVault> {
    if (text.length > VAULT_BYTES) throw damaged("it is too large");
    const vault = parsed(text);
    if (!isObject(vault) || vault.type !== TYPE) throw damaged("it is something else");
    if (typeof vault.version === "number" && vault.version > VERSION) {
      throw new IdentityError("newer", "the vault was written by a later release of Wayside");
    }
    const { check, ...rest } = vault;
    // What is told apart here is an accident: whoever means harm writes the check anew, and meets the locks.
    if (check !== (await hash(utf8(canonical(rest))))) throw damaged("it was changed or cut off on its way");
    const { version, scid, content, locks } = rest;
    if (version !== VERSION || typeof scid !== "string" || !isHash(scid)) throw damaged("it does not say whose it is");
    if (scid !== scidOf(did)) throw new IdentityError("wrong_person", "the vault is that of somebody else", scid);
    if (!Array.isArray(locks) || locks.length === 0 || locks.length > MOST_LOCKS) throw damaged("it has no lock");
    const locked = locks.map(readLock);
    if (passphrases(locked) > MOST_PASSPHRASES) throw damaged("it has too many passphrases");
    return new ClosedVault(scid, locked.map(outside), locked, readSealed(content));
  }

  async open(key: Key): Promise<Vault> {
    const fitting = this.locked.filter((lock) => fits(lock, key));
    for (const lock of fitting) {
      const dataKey = await unsealed(lock, await lockKey(lock, key), bound(this.scid, outside(lock)));
      if (!dataKey) continue;
      const content = await unsealed(this.content, dataKey, bound(this.scid, null));
      if (!content) throw damaged("its lock opens, and what it holds was changed");
      return new Vault(this.scid, readContent(content), dataKey, this.locked);
    }
    throw wrongKey(key);
  }

  /** Opens by the key of a vault that was open here before (`Vault.dataKey`); null where it has another by now. */
  async reopen(dataKey: Bytes): Promise<Vault | null> {
    const content = await unsealed(this.content, dataKey, bound(this.scid, null));
    return content && new Vault(this.scid, readContent(content), dataKey, this.locked);
  }
}

/** An open vault. It is not changed, but followed by another. */
export class Vault {
  readonly #keys: UpdateKeys;
  readonly #dataKey: Bytes;
  readonly #locked: readonly Locked[];

  /** For this file alone: vaults are made by `make` and opened by `ClosedVault.open`. */
  constructor(
    readonly scid: string,
    keys: UpdateKeys,
    dataKey: Bytes,
    locked: readonly Locked[],
  ) {
    this.#keys = keys;
    this.#dataKey = dataKey;
    this.#locked = locked;
  }

  /** A new vault of a person with one lock. */
  static async make(did: string, keys: UpdateKeys, key: Key): Promise<Vault> {
    const dataKey = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
    return new Vault(scidOf(did), checkedKeys(keys), dataKey, []).with(key);
  }

  get keys(): UpdateKeys {
    return { ...this.#keys };
  }

  /** What opens it without a lock, for a browser that holds the update secret and is to keep it up to date. */
  get dataKey(): Bytes {
    return this.#dataKey.slice();
  }

  get locks(): Lock[] {
    return this.#locked.map(outside);
  }

  /** With one lock more. */
  async with(key: Key): Promise<Vault> {
    if (this.#locked.length >= MOST_LOCKS) throw tooMany(`${MOST_LOCKS} locks`);
    if (key.kind === "passphrase" && passphrases(this.#locked) >= MOST_PASSPHRASES) {
      throw tooMany(`${MOST_PASSPHRASES} passphrases`);
    }
    if (key.kind === "passkey" && this.#locked.some((lock) => fits(lock, key))) {
      throw new IdentityError("malformed", "the passkey opens the vault already");
    }
    const lock = freshLock(key);
    const sealed = await seal(this.#dataKey, await lockKey(lock, key), bound(this.scid, lock));
    return new Vault(this.scid, this.#keys, this.#dataKey, [...this.#locked, { ...lock, ...sealed }]);
  }

  /** Without one of its locks. */
  without(lock: Lock): Vault {
    const left = this.#locked.filter((one) => canonical(members(outside(one))) !== canonical(members(lock)));
    if (left.length === this.#locked.length) throw new IdentityError("malformed", "the vault has no such lock");
    if (left.length === 0) throw new IdentityError("malformed", "the last lock of a vault cannot be removed");
    return new Vault(this.scid, this.#keys, this.#dataKey, left);
  }

  /** With other keys, behind the same locks. */
  holding(keys: UpdateKeys): Vault {
    return new Vault(this.scid, checkedKeys(keys), this.#dataKey, this.#locked);
  }

  /** The vault as text, for the node to keep. */
  async write(): Promise<string> {
    const { secret, number } = this.#keys;
    const content = utf8(canonical({ updateSecret: base64url(secret), updateKey: number }));
    const sealed = await seal(content, this.#dataKey, bound(this.scid, null));
    const rest: JsonObject = {
      type: TYPE,
      version: VERSION,
      scid: this.scid,
      content: { ...sealed },
      locks: this.#locked.map(members),
    };
    return canonical({ ...rest, check: await hash(utf8(canonical(rest))) });
  }
}

/** What the locks of passkeys are to be asked with: see `askPasskey`. */
export function passkeyLocks(locks: readonly Lock[]): PasskeyLock[] {
  return locks.filter((lock) => lock.kind === "passkey");
}

/** What a passkey is to be asked when it is to open a vault from now on. */
export function freshPasskeyLock(credential: Bytes): PasskeyLock {
  return { kind: "passkey", credential: base64url(credential), salt: freshSalt() };
}

function freshLock(key: Key): Lock {
  if (key.kind === "passphrase") {
    mustBeStrong(key.passphrase);
    return { kind: "passphrase", salt: freshSalt(), iterations: ITERATIONS };
  }
  const { kind, credential, salt } = key;
  return readLockOnly({ kind, credential, salt });
}

const freshSalt = (): string => base64url(crypto.getRandomValues(new Uint8Array(SALT_BYTES)));

function fits(lock: Lock, key: Key): boolean {
  if (lock.kind === "passkey") return key.kind === "passkey" && lock.credential === key.credential;
  // Some browsers take no empty text for a key.
  return key.kind === "passphrase" && key.passphrase !== "";
}

/** What a lock is locked with. */
async function lockKey(lock: Lock, key: Key): Promise<Bytes> {
  if (lock.kind === "passphrase" && key.kind === "passphrase") {
    const { salt, iterations } = lock;
    const root = await crypto.subtle.importKey("raw", utf8(normal(key.passphrase)), "PBKDF2", false, ["deriveBits"]);
    const how = { name: "PBKDF2", hash: "SHA-256", salt: bytesOf(salt, SALT_BYTES, SALT_BYTES), iterations };
    return new Uint8Array(await crypto.subtle.deriveBits(how, root, KEY_BYTES * 8));
  }
  if (key.kind !== "passkey" || key.output.length !== KEY_BYTES) {
    throw new IdentityError("malformed", `a passkey answers with ${KEY_BYTES} bytes`);
  }
  return expanded(key.output, "wayside vault passkey");
}

/** A passphrase as it is on every keyboard. */
const normal = (passphrase: string): string => passphrase.slice(0, MOST_PASSPHRASE + 1).normalize("NFKC");

function mustBeStrong(passphrase: string): void {
  const letters = Array.from(normal(passphrase)).length;
  if (letters >= LEAST_PASSPHRASE && passphrase.length <= MOST_PASSPHRASE) return;
  const message = `a passphrase has ${LEAST_PASSPHRASE} to ${MOST_PASSPHRASE} letters`;
  throw new IdentityError("weak_passphrase", message, String(LEAST_PASSPHRASE));
}

/** What is not secret and yet must not be changed: whose it is, and of which lock. */
function bound(scid: string, lock: Lock | null): Bytes {
  return utf8(canonical({ type: TYPE, version: VERSION, scid, lock: lock && members(lock) }));
}

async function seal(plain: Bytes, key: Bytes, additionalData: Bytes): Promise<Sealed> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const aes = await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt"]);
  const ciphertext = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData }, aes, plain);
  return { iv: base64url(iv), ciphertext: base64url(new Uint8Array(ciphertext)) };
}

/** What was locked, or null where it was not with this key or for this place. */
async function unsealed({ iv, ciphertext }: Sealed, key: Bytes, additionalData: Bytes): Promise<Bytes | null> {
  const aes = await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["decrypt"]);
  const how = { name: "AES-GCM", iv: bytesOf(iv, IV_BYTES, IV_BYTES), additionalData };
  try {
    return new Uint8Array(await crypto.subtle.decrypt(how, aes, bytesOf(ciphertext, 16, 1_024)));
  } catch (error) {
    if (error instanceof DOMException && error.name === "OperationError") return null;
    throw error;
  }
}

function readContent(plain: Bytes): UpdateKeys {
  const content = parsed(new TextDecoder().decode(plain));
  const { updateSecret, updateKey } = isObject(content) ? content : {};
  const secret = typeof updateSecret === "string" ? fromBase64url(updateSecret) : null;
  if (!secret || typeof updateKey !== "number") throw damaged("it holds something else than keys");
  return checkedKeys({ secret, number: updateKey });
}

function checkedKeys(keys: UpdateKeys): UpdateKeys {
  const { secret, number } = keys;
  if (secret.length !== UPDATE_SECRET_BYTES || !Number.isInteger(number) || number < 0 || number > MOST_KEYS) {
    throw damaged("it holds something else than keys");
  }
  return { secret, number };
}

function readLock(value: Json): Locked {
  return { ...readLockOnly(value), ...readSealed(value) };
}

function readLockOnly(value: Json): Lock {
  const lock = isObject(value) ? value : {};
  const { kind, credential, salt, iterations } = lock;
  bytesOf(salt, SALT_BYTES, SALT_BYTES);
  if (kind === "passkey") {
    bytesOf(credential, 1, CREDENTIAL_BYTES);
    return { kind, credential: credential as string, salt: salt as string };
  }
  if (kind !== "passphrase") throw new IdentityError("newer", "the vault has a lock of a kind that is not known here");
  if (typeof iterations !== "number" || !Number.isInteger(iterations)) throw damaged("a lock of it is none");
  if (iterations < LEAST_ITERATIONS || iterations > MOST_ITERATIONS) {
    throw damaged(`a lock of it takes ${iterations} rounds, which are too few or too many`);
  }
  return { kind, salt: salt as string, iterations };
}

function readSealed(value: Json | undefined): Sealed {
  const { iv, ciphertext } = isObject(value) ? value : {};
  bytesOf(iv, IV_BYTES, IV_BYTES);
  bytesOf(ciphertext, 16, 1_024);
  return { iv: iv as string, ciphertext: ciphertext as string };
}

/** The bytes of a text that has so many. */
function bytesOf(text: Json | undefined, least: number, most: number): Bytes {
  const bytes = typeof text === "string" && text.length <= 2 * most + 4 ? fromBase64url(text) : null;
  if (!bytes || bytes.length < least || bytes.length > most) throw damaged("a part of it has another length");
  return bytes;
}

/** A lock without what it locks. */
function outside(lock: Lock): Lock {
  if (lock.kind === "passkey") return { kind: lock.kind, credential: lock.credential, salt: lock.salt };
  return { kind: lock.kind, salt: lock.salt, iterations: lock.iterations };
}

const members = (lock: Lock): JsonObject => ({ ...lock });

const passphrases = (locks: readonly Lock[]): number => locks.filter(({ kind }) => kind === "passphrase").length;

function parsed(text: string): Json {
  try {
    return readJson(text);
  } catch (cause) {
    throw new IdentityError("damaged", "the vault is damaged: it is no JSON", null, cause);
  }
}

function damaged(message: string): IdentityError {
  return new IdentityError("damaged", `the vault is damaged: ${message}`);
}

function wrongKey({ kind }: Key): IdentityError {
  if (kind === "passphrase") return new IdentityError("wrong_passphrase", "the passphrase does not open the vault");
  return new IdentityError("wrong_passkey", "the passkey does not open the vault");
}

function tooMany(bound: string): IdentityError {
  return new IdentityError("too_many", `a vault has at most ${bound}`);
}
