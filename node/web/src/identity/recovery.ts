// The recovery file: everything with which somebody comes back without their devices and without their home.
import { utf8 } from "./bytes";
import { isObject, isTexts, type Json, readJson } from "./canonical";
import { isDid, isServer } from "./did";
import { isAddress } from "./document";
import { MOST_KEYS, recoveryKey } from "./derived";
import { IdentityError } from "./errors";
import { commitment, Log } from "./log";
import type { Recovery } from "./person";
import { readTime, writeTime } from "./time";
import { readWords, wordsOf } from "./words";

export interface RecoveryFile {
  /** How the person is called, for whoever finds the file. */
  name: string;
  /** The address of the home node when it was saved. */
  home: string;
  recovery: Recovery;
  /** The log as it was; the one in force may be longer. */
  log: Log;
  savedMs: number;
  /** Servers that held copies when it was saved: they are asked where the home is gone. */
  copies: readonly string[];
}

const TYPE = "wayside-recovery";
const VERSION = 1;
const FILE_BYTES = 4 * 1024 * 1024;
const NAME_LETTERS = 255;
const MOST_COPIES = 16;

export async function writeRecoveryFile(file: RecoveryFile): Promise<string> {
  const { name, home, recovery, log, savedMs, copies } = file;
  if (!isName(name)) throw new IdentityError("malformed", "making a recovery file: the name is empty or too long");
  if (!isAddress(home)) throw new IdentityError("malformed", "making a recovery file: the home is no address");
  await mustOpen(log, recovery);
  const members: Json = {
    type: TYPE,
    version: VERSION,
    did: log.did,
    name,
    home,
    words: wordsOf(recovery.entropy),
    recoveryKey: recovery.number,
    log: log.text,
    saved: writeTime(savedMs),
    copies: servers(copies),
  };
  return `${JSON.stringify(members, null, 1)}\n`;
}

/** Reads a recovery file, of which nothing is believed: anybody may have written or changed it. */
export async function readRecoveryFile(text: string): Promise<RecoveryFile> {
  if (text.length > FILE_BYTES || utf8(text).length > FILE_BYTES) throw wrong("it is too large");
  const file = parsed(text);
  if (!isObject(file) || file.type !== TYPE) throw wrong("it is a file of another kind");
  if (typeof file.version === "number" && file.version > VERSION) {
    throw new IdentityError("newer", "the recovery file was written by a later release of Wayside");
  }
  const { version, did, name, home, words, recoveryKey: number, log: lines, saved, copies = [] } = file;
  if (version !== VERSION) throw wrong("it says no version");
  if (typeof did !== "string" || !isDid(did)) throw wrong("its did is none");
  if (typeof name !== "string" || !isName(name)) throw wrong("its name is missing or too long");
  if (typeof home !== "string" || !isAddress(home)) throw wrong("its home is no address of the web");
  if (!isTexts(words, 40) || words.length > 24) throw wrong("its words are no list of words");
  if (typeof number !== "number" || !Number.isInteger(number) || number < 1 || number > MOST_KEYS) {
    throw wrong("its recoveryKey is no number of a key");
  }
  const savedMs = typeof saved === "string" ? readTime(saved) : null;
  if (savedMs === null) throw wrong("it does not say when it was saved");
  if (typeof lines !== "string") throw wrong("its log is missing");
  // Files of before name none.
  if (!isTexts(copies, NAME_LETTERS)) throw wrong("its copies are no list of servers");
  const recovery = { entropy: readWords(words.join(" ")), number };
  const log = await Log.read(lines, did);
  await mustOpen(log, recovery);
  return { name, home, recovery, log, savedMs, copies: servers(copies) };
}

const servers = (names: readonly string[]): string[] => [...new Set(names.filter(isServer))].slice(0, MOST_COPIES);

/** Twelve words that were changed pass their own checksum once in sixteen times; what the log commits to tells. */
async function mustOpen(log: Log, { entropy, number }: Recovery): Promise<void> {
  const key = await recoveryKey(entropy, number);
  if (log.last.nextKeyHashes.includes(await commitment(key.multikey))) return;
  throw new IdentityError("wrong_words", "the words are not those that the log of this identity commits to");
}

function parsed(text: string): Json {
  try {
    return readJson(text);
  } catch (cause) {
    throw new IdentityError("malformed", "the recovery file is damaged, or is none", null, cause);
  }
}

function isName(text: string): boolean {
  return text.trim() !== "" && text.length <= NAME_LETTERS && !/\p{Cc}/u.test(text);
}

function wrong(message: string): IdentityError {
  return new IdentityError("malformed", `the recovery file cannot be read: ${message}`);
}
