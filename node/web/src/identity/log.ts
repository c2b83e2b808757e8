// Logs of did:webvh 1.0: read with every version proven, begun, and gone on with.
import { canonical, isObject, isTexts, type Json, type JsonObject, readJson } from "./canonical";
import { utf8 } from "./bytes";
import { SCID, scidOf } from "./did";
import { IdentityError } from "./errors";
import { hash, isHash } from "./multikey";
import { prove, readProof, verifyProof } from "./proof";
import type { Signer } from "./signing";
import { readTime, writeTime } from "./time";

/** What a version is to say. */
export interface Draft {
  /** The parameters that change. Of the first version, `method` and `scid` are added. */
  parameters: JsonObject;
  /** The document. In the first version `{SCID}` stands wherever the SCID will. */
  document: JsonObject;
  /** From when on, in milliseconds since 1970; after the version before. */
  timeMs: number;
}

/** One version, proven. */
export interface Version {
  number: number;
  versionId: string;
  timeMs: number;
  /** The keys one of which signs the next version; of this version, if the one before committed to them. */
  updateKeys: readonly string[];
  /** Hashes of the keys of the next version. While there are some, no other key can come. */
  nextKeyHashes: readonly string[];
  portable: boolean;
  deactivated: boolean;
  state: JsonObject;
}

interface Entry {
  versionId: string;
  timeMs: number;
  parameters: JsonObject;
  state: JsonObject;
  proofs: Json[];
  /** All of it but the proofs. */
  signed: JsonObject;
}

const METHOD = "did:webvh:1.0";
const LOG_BYTES = 2 * 1024 * 1024;
const LOG_ENTRIES = 1_000;
const ITEMS = 100;
const TEXT_LETTERS = 2_048;
const PROOFS = 16;
const MEMBERS = ["versionId", "versionTime", "parameters", "state", "proof"];
const PARAMETERS = [
  "method", "scid", "updateKeys", "nextKeyHashes", "witness", "watchers", "portable", "deactivated", "ttl",
];

/**
 * A history of which every version was proven here: what it is chained to, and who signed it.
 *
 * Logs come from the node, which might have made them up; there is no other way to such a value than by this
 * proof, and nothing is signed but behind one. Whether versions were left out at the end only somebody knows who
 * remembers one of them (`has`).
 */
export class Log {
  private constructor(
    readonly scid: string,
    readonly lines: readonly string[],
    readonly versions: readonly Version[],
    private readonly bytes: number,
  ) {}

  /** Reads a log as it stands in `did.jsonl`, which has to be that of a DID where one is given. */
  static async read(text: string, did?: string): Promise<Log> {
    if (text.length > LOG_BYTES) throw broken(1, "the log is too large");
    const lines = text.replace(/\n$/, "").split("\n");
    let log = new Log("", [], [], 0);
    for (const line of lines) log = await log.with(line);
    if (did !== undefined && !log.isOf(did)) {
      throw new IdentityError("wrong_person", `the log is that of ${log.did}, not of ${did}`, log.did);
    }
    return log;
  }

  /** The last version. */
  get last(): Version {
    const last = this.versions.at(-1);
    if (!last) throw broken(1, "the log is empty");
    return last;
  }

  /** The last line, without a newline. */
  get line(): string {
    return this.lines.at(-1) ?? "";
  }

  /** The whole, as it is served. */
  get text(): string {
    return this.lines.map((line) => `${line}\n`).join("");
  }

  /** What the DID is called now. */
  get did(): string {
    return nameOf(this.last);
  }

  /** Whether the DID is or was called so. */
  isOf(did: string): boolean {
    return this.versions.some((version) => nameOf(version) === did);
  }

  /** Whether it goes on from a version that was seen before: a log that was shortened or forked does not. */
  has(versionId: string): boolean {
    return this.versions.some((version) => version.versionId === versionId);
  }

  /** The log with one version more, which is judged. */
  async with(line: string): Promise<Log> {
    const number = this.versions.length + 1;
    if (number > LOG_ENTRIES) throw broken(number, "the log has too many versions");
    const bytes = this.bytes + utf8(line).length + 1;
    if (bytes > LOG_BYTES) throw broken(number, "the log is too large");
    if (line.includes("\n")) throw broken(number, "it is more than one line");
    try {
      const { scid, version } = await judged(this.versions.at(-1), this.scid, readEntry(line), number);
      return new Log(scid, [...this.lines, line], [...this.versions, version], bytes);
    } catch (cause) {
      if (!(cause instanceof IdentityError) || cause.why !== "malformed") throw cause;
      throw broken(number, cause.message);
    }
  }
}

/** Begins a log, signed by one of its own update keys. */
export async function begin(draft: Draft, signer: Signer): Promise<Log> {
  const { updateKeys } = draft.parameters;
  if (!isTexts(updateKeys, TEXT_LETTERS) || !updateKeys.includes(signer.multikey)) throw otherKey(signer);
  const entry: JsonObject = {
    versionId: SCID,
    versionTime: writeTime(draft.timeMs),
    parameters: { ...draft.parameters, method: METHOD, scid: SCID },
    state: draft.document,
  };
  const scid = await hash(utf8(canonical(entry)));
  const line = await signed(replaced(entry, SCID, scid) as JsonObject, 1, draft.timeMs, signer);
  return Log.read(line);
}

/** Goes on with a log by a key that may: one that its last version committed to, where it committed to some. */
export async function goOn(log: Log, draft: Draft, signer: Signer): Promise<Log> {
  const { last } = log;
  if (last.deactivated) throw new IdentityError("ended", "the DID was deactivated, which is for ever");
  const committed = last.nextKeyHashes.length > 0;
  const named = committed ? draft.parameters.updateKeys : [...last.updateKeys];
  if (!isTexts(named, TEXT_LETTERS) || !named.includes(signer.multikey)) throw otherKey(signer);
  if (committed && !last.nextKeyHashes.includes(await commitment(signer.multikey))) throw otherKey(signer);
  if (draft.timeMs <= last.timeMs) {
    throw new IdentityError("clock", `the last version is dated ${writeTime(last.timeMs)}, which is still to come`);
  }
  const entry: JsonObject = {
    versionId: last.versionId,
    versionTime: writeTime(draft.timeMs),
    parameters: draft.parameters,
    state: draft.document,
  };
  // What was written is judged as what is read, so that nothing is published that others refuse.
  return log.with(await signed(entry, last.number + 1, draft.timeMs, signer));
}

/** What stands in `nextKeyHashes` for a key that is to come. */
export function commitment(multikey: string): Promise<string> {
  return hash(utf8(multikey));
}

async function signed(entry: JsonObject, number: number, createdMs: number, signer: Signer): Promise<string> {
  const whole = { ...entry, versionId: `${number}-${await hash(utf8(canonical(entry)))}` };
  const key = signer.multikey;
  const verificationMethod = `did:key:${key}#${key}`;
  const proof = await prove(whole, { verificationMethod, purpose: "assertionMethod", createdMs }, signer);
  return canonical({ ...whole, proof: [proof] });
}

function readEntry(line: string): Entry {
  const value = readJson(line);
  if (!isObject(value) || !Object.keys(value).every((name) => MEMBERS.includes(name))) throw wrong("it is no entry");
  const { proof, ...rest } = value;
  const { versionId, versionTime, parameters, state } = rest;
  if (typeof versionId !== "string") throw wrong("it has no versionId");
  const timeMs = typeof versionTime === "string" ? readTime(versionTime) : null;
  if (timeMs === null) throw wrong("its versionTime is no time in UTC");
  if (!isObject(parameters) || !isObject(state)) throw wrong("its parameters or its state is no object");
  const proofs = isObject(proof) ? [proof] : proof;
  if (!Array.isArray(proofs) || proofs.length > PROOFS) throw wrong("it has no proof, or too many");
  return { versionId, timeMs, parameters, state, proofs, signed: rest };
}

/** Judges an entry as the one that follows a version, or as the first (section "Read"). */
async function judged(
  before: Version | undefined,
  known: string,
  entry: Entry,
  number: number,
): Promise<{ scid: string; version: Version }> {
  const { parameters, state, timeMs, versionId } = entry;
  if (before?.deactivated) throw wrong("it comes after the DID was deactivated");
  const scid = before ? known : await beginning(entry);
  if (before && parameters.scid !== undefined) throw wrong("scid stands in the first version, and nowhere else");
  if (before && timeMs <= before.timeMs) throw wrong("its time is not after that of the version before");
  const chained = { ...entry.signed, versionId: before?.versionId ?? scid };
  if (versionId !== `${number}-${await hash(utf8(canonical(chained)))}`) {
    throw wrong("the chain is broken: its hash is not that of what it holds behind the version before");
  }
  const rules = await rulesAfter(before, parameters);
  const signers = before && before.nextKeyHashes.length === 0 ? before.updateKeys : rules.updateKeys;
  if (!(await isSignedBy(entry, signers))) throw wrong("no key has signed it that may change the DID");
  const version = { number, versionId, timeMs, ...rules, state };
  mayBeCalled(version, scid, before);
  return { scid, version };
}

/** The SCID that an entry says, where it is the one that grows from it (section "Verify SCID"). */
async function beginning({ parameters, signed }: Entry): Promise<string> {
  const { scid } = parameters;
  if (typeof scid !== "string" || !isHash(scid)) throw wrong("its SCID is no hash by SHA-256");
  const first = replaced({ ...signed, versionId: SCID }, scid, SCID);
  if ((await hash(utf8(canonical(first)))) !== scid) throw wrong("its SCID is not the hash of the first version");
  return scid;
}

type Rules = Pick<Version, "updateKeys" | "nextKeyHashes" | "portable" | "deactivated">;

/** What is in force after a version says so (section "did:webvh DID Method Parameters"). */
async function rulesAfter(before: Version | undefined, said: JsonObject): Promise<Rules> {
  const unknown = Object.keys(said).find((name) => !PARAMETERS.includes(name));
  if (unknown !== undefined) throw wrong(`${unknown} is no parameter of ${METHOD}`);
  if ((said.method ?? (before && METHOD)) !== METHOD) throw wrong(`its rules are not those of ${METHOD}`);
  // Other people have to stand by such a version, whom nobody asks here.
  if (!["null", "{}"].includes(canonical(said.witness ?? null))) throw wrong("it wants witnesses");
  const updateKeys = texts(said, "updateKeys") ?? before?.updateKeys;
  if (!updateKeys) throw wrong("the first version must name its updateKeys");
  const rules: Rules = {
    updateKeys,
    nextKeyHashes: texts(said, "nextKeyHashes") ?? before?.nextKeyHashes ?? [],
    portable: truth(said, "portable") ?? before?.portable ?? false,
    deactivated: truth(said, "deactivated") ?? false,
  };
  if (before && rules.portable && !before.portable) throw wrong("portable may be said in the first version only");
  if (before && before.nextKeyHashes.length > 0) {
    const both = said.updateKeys !== undefined && said.nextKeyHashes !== undefined;
    if (!both || updateKeys.length === 0) throw wrong("it must name its updateKeys and nextKeyHashes");
    const hashes = await Promise.all(updateKeys.map(commitment));
    if (!hashes.every((one) => before.nextKeyHashes.includes(one))) {
      throw wrong("a key of it is none of those that the version before committed to");
    }
  }
  return rules;
}

/** Whether one of its proofs is by one of the keys; others beside it say nothing. */
async function isSignedBy({ proofs, signed }: Entry, keys: readonly string[]): Promise<boolean> {
  for (const proof of proofs.map(readProof)) {
    // One reader would verify by what stands before the `#`, and another authorise what stands behind it.
    const key = keys.find((one) => proof.verificationMethod === `did:key:${one}#${one}`);
    if (key === undefined || proof.purpose !== "assertionMethod") continue;
    if (await verifyProof(proof, signed, key)) return true;
  }
  return false;
}

/** Whether a version may call the DID what it does (section "DID Portability"). */
function mayBeCalled(version: Version, scid: string, before: Version | undefined): void {
  const { state, portable } = version;
  if (typeof state.id !== "string" || scidOf(state.id) !== scid) throw wrong("its document is of another DID");
  const old = before?.state.id;
  if (old === undefined || old === state.id) return;
  if (!portable) throw wrong("it moves the DID, which is not portable");
  const also = Array.isArray(state.alsoKnownAs) ? state.alsoKnownAs : [];
  if (!also.includes(old)) throw wrong("it moves the DID, and alsoKnownAs does not hold the name before");
}

/** What a version calls the DID; that it is a name was found when it was judged. */
export const nameOf = ({ state }: Version): string => state.id as string;

/** A list of texts; `null` once stood for an empty one. */
function texts(said: JsonObject, name: string): string[] | undefined {
  const list = said[name] === null ? [] : said[name];
  if (list === undefined) return undefined;
  if (!isTexts(list, TEXT_LETTERS) || list.length > ITEMS) throw wrong(`${name} is no list of texts, or is too long`);
  return list;
}

function truth(said: JsonObject, name: string): boolean | undefined {
  const value = said[name];
  if (value !== undefined && typeof value !== "boolean") throw wrong(`${name} must be true or false`);
  return value;
}

/** A value with one text in place of another, wherever it stands. */
function replaced(value: Json, from: string, to: string): Json {
  if (typeof value === "string") return value.replaceAll(from, to);
  if (Array.isArray(value)) return value.map((item) => replaced(item, from, to));
  if (!isObject(value)) return value;
  const members = Object.entries(value);
  return Object.fromEntries(members.map(([name, item]) => [name.replaceAll(from, to), replaced(item, from, to)]));
}

const wrong = (message: string): IdentityError => new IdentityError("malformed", message);

function broken(number: number, message: string): IdentityError {
  return new IdentityError("bad_log", `version ${number} of the log: ${message}`);
}

function otherKey({ multikey }: Signer): IdentityError {
  return new IdentityError("wrong_key", `${multikey} may not write the next version: it was not committed to`);
}
