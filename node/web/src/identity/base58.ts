// Base 58 by the alphabet of Bitcoin, in which keys, hashes and signatures are written.
import { type Bytes } from "./bytes";

const LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/** Longest text that is read: the work grows with the square of its length. */
const MOST_LETTERS = 1_600;

export function base58(bytes: Uint8Array): string {
  let number = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  let text = "";
  for (; number > 0n; number /= 58n) text = LETTERS.charAt(Number(number % 58n)) + text;
  return "1".repeat(zeros(bytes)) + text;
}

/** The bytes of a text, or null where it is none in base 58. */
export function fromBase58(text: string): Bytes | null {
  if (text.length > MOST_LETTERS) return null;
  const digits = Array.from(text, (letter) => LETTERS.indexOf(letter));
  if (digits.includes(-1)) return null;
  let number = digits.reduce((sum, digit) => sum * 58n + BigInt(digit), 0n);
  const bytes: number[] = [];
  for (; number > 0n; number /= 256n) bytes.push(Number(number % 256n));
  return Uint8Array.from([...Array<number>(zeros(digits)).fill(0), ...bytes.reverse()]);
}

/** Zeros in front are no part of a number, and are written one by one. */
function zeros(digits: ArrayLike<number>): number {
  let count = 0;
  while (digits[count] === 0) count += 1;
  return count;
}
