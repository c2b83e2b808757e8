// Which texts of 32 bytes are public keys of Ed25519 at all (RFC 8032, section 5.1.3).
import type { Bytes } from "./bytes";

const P = 2n ** 255n - 19n;
/** The constant of the curve: -121665 / 121666. */
const D = 0x52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3n;
/** The heights of the points whose order is 8 or less: the last two are those of order 8. */
const EIGHTH = 0x5fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
const SMALL = new Set([0n, 1n, P - 1n, EIGHTH, P - EIGHTH]);

/**
 * Whether bytes are a key: a point of the curve, written in the one way, whose order is large. Browsers differ in
 * what they make of others, and the node refuses a whole history for one of them.
 */
export function isPublicKey(bytes: Bytes): boolean {
  const y = heightOf(bytes);
  if (bytes.length !== 32 || y >= P || SMALL.has(y)) return false;
  const square = (y * y) % P;
  // x^2 = (y^2 - 1) / (d y^2 + 1), which is a square exactly if the product of the two is.
  const product = ((square - 1n + P) * ((D * square + 1n) % P)) % P;
  return power(product, (P - 1n) / 2n) === 1n;
}

/** Whether bytes stand for a point of small order, in whatever way. */
export function isSmall(bytes: Bytes): boolean {
  return SMALL.has(heightOf(bytes) % P);
}

/** The number that stands in front of the sign, the least byte first. */
function heightOf(bytes: Bytes): bigint {
  const number = bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
  return number & (2n ** 255n - 1n);
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let [square, left] = [base, exponent]; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % P;
    square = (square * square) % P;
  }
  return result;
}
