// Recovery entropy in shares: any k of n bring it back, and fewer tell nothing (Shamir's secret sharing).
import { combine, split } from "shamir-secret-sharing";
import { type Bytes, joined, sha256, utf8 } from "./bytes";
import { ENTROPY_BYTES } from "./derived";
import { IdentityError } from "./errors";

/** A share that was read. */
export interface Share {
  /** What all shares of one splitting have in common, and no others. */
  set: string;
  /** Which one it is, counted from 1. */
  index: number;
  /** How many are needed. */
  needed: number;
  bytes: Bytes;
}

const HEAD = ["WAYSIDE", "SHARE", "1"];
/** Base 32 by Crockford: without letters that look like others, so that shares can be written by hand. */
const LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const MOST_SHARES = 16;
const SET_BYTES = 5;
/** Beside the entropy a part of its hash is shared, by which a false share is known. */
const PROOF_BYTES = 4;
/** What is shared, and the place on the curve. */
const SHARE_BYTES = ENTROPY_BYTES + PROOF_BYTES + 1;
const CHECK_BYTES = 5;
const TEXT_LETTERS = 400;
const GROUP = 6;

/** Splits entropy into `count` shares as text, any `needed` of which bring it back. */
export async function splitEntropy(entropy: Bytes, needed: number, count: number): Promise<string[]> {
  const areNumbers = Number.isInteger(needed) && Number.isInteger(count);
  if (!areNumbers || needed < 2 || needed > count || count > MOST_SHARES || entropy.length !== ENTROPY_BYTES) {
    const message = `there are at most ${MOST_SHARES} shares, of which 2 or more are needed`;
    throw new IdentityError("malformed", message);
  }
  const set = base32(crypto.getRandomValues(new Uint8Array(SET_BYTES)));
  const shared = await split(joined(entropy, await proofOf(entropy, set)), count, needed);
  return Promise.all(
    shared.map((bytes, at) => writeShare({ set, index: at + 1, needed, bytes: Uint8Array.from(bytes) })),
  );
}

/** A share as it is handed out. */
export async function writeShare(share: Share): Promise<string> {
  const { set, index, needed, bytes } = share;
  const letters = base32(joined(bytes, await checkOf(share)));
  const groups = letters.match(new RegExp(`.{1,${GROUP}}`, "g")) ?? [];
  return [...HEAD, set, index, needed, ...groups].join("-");
}

/** Reads a share that somebody typed, in whatever case, spacing and dashes between its groups. */
export async function readShare(text: string): Promise<Share> {
  const parts = text.length > TEXT_LETTERS ? [] : text.normalize("NFKC").toUpperCase().split(/[\s\p{Pd}]+/u);
  const [first, second, version, set = "", index = "", needed = "", ...rest] = parts.filter((part) => part !== "");
  if (first !== HEAD[0] || second !== HEAD[1]) throw mistyped("it does not begin as shares do");
  if (version !== HEAD[2]) throw new IdentityError("newer", "the share was written by a later release of Wayside");
  const all = fromBase32(rest.join(""));
  if (all?.length !== SHARE_BYTES + CHECK_BYTES) throw mistyped("letters are missing, or are too many");
  const known = fromBase32(set);
  const share: Share = {
    set: known ? base32(known) : "",
    index: Number(withDigits(index)),
    needed: Number(withDigits(needed)),
    bytes: all.slice(0, SHARE_BYTES),
  };
  const check = await checkOf(share);
  if (!check.every((byte, at) => all[SHARE_BYTES + at] === byte)) throw mistyped("a letter or number is another");
  const isSound = known?.length === SET_BYTES && share.index >= 1 && share.index <= MOST_SHARES;
  const isEnough = share.needed >= 2 && share.needed <= MOST_SHARES;
  // No share lies where the secret itself does: it would be one that somebody chose.
  if (!isSound || !isEnough || share.bytes[SHARE_BYTES - 1] === 0) throw falseShare();
  return share;
}

/** The entropy that shares bring back. One that is given twice counts once. */
export async function combineShares(shares: readonly Share[]): Promise<Bytes> {
  const [first] = shares;
  if (!first) throw new IdentityError("missing_shares", "there is no share yet");
  const { set, needed } = first;
  if (shares.some((share) => share.set !== set)) {
    throw new IdentityError("mixed_shares", "the shares are of different sets");
  }
  const byIndex = new Map<number, Share>();
  for (const share of shares) {
    const known = byIndex.get(share.index);
    const isSame = !known || known.bytes.join() === share.bytes.join();
    if (!isSame || share.needed !== needed) throw falseShare();
    byIndex.set(share.index, share);
  }
  const missing = needed - byIndex.size;
  if (missing > 0) {
    const message = `${needed} shares are needed, and ${byIndex.size} are here`;
    throw new IdentityError("missing_shares", message, String(missing));
  }
  return combined([...byIndex.values()], set);
}

async function combined(shares: readonly Share[], set: string): Promise<Bytes> {
  let whole: Bytes;
  try {
    whole = Uint8Array.from(await combine(shares.map(({ bytes }) => bytes)));
  } catch {
    // Two of them say that they lie at the same place.
    throw falseShare();
  }
  const entropy = whole.slice(0, ENTROPY_BYTES);
  const proof = await proofOf(entropy, set);
  if (!proof.every((byte, at) => whole[ENTROPY_BYTES + at] === byte)) throw falseShare();
  return entropy;
}

async function checkOf({ set, index, needed, bytes }: Share): Promise<Bytes> {
  const head = utf8([...HEAD, set, index, needed, ""].join("-"));
  return (await sha256(joined(head, bytes))).slice(0, CHECK_BYTES);
}

async function proofOf(entropy: Bytes, set: string): Promise<Bytes> {
  return (await sha256(joined(utf8(`${HEAD.join("-")}-${set}-`), entropy))).slice(0, PROOF_BYTES);
}

function base32(bytes: Uint8Array): string {
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
  const digits = bits.match(/.{1,5}/g) ?? [];
  return digits.map((digit) => LETTERS.charAt(parseInt(digit.padEnd(5, "0"), 2))).join("");
}

/** Letters that look like digits are those digits. */
const withDigits = (text: string): string => text.replace(/O/g, "0").replace(/[IL]/g, "1");

/** The bytes of a text in base 32, or null where it is none. */
function fromBase32(text: string): Bytes | null {
  const plain = withDigits(text);
  const digits = Array.from(plain, (letter) => LETTERS.indexOf(letter));
  if (digits.includes(-1)) return null;
  const bits = digits.map((digit) => digit.toString(2).padStart(5, "0")).join("");
  const bytes = Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => parseInt(byte, 2));
  return base32(bytes) === plain ? bytes : null;
}

function mistyped(message: string): IdentityError {
  return new IdentityError("mistyped_share", `the share was not written as it is: ${message}`);
}

function falseShare(): IdentityError {
  return new IdentityError("false_share", "one of the shares is false: together they bring back nothing");
}
