// Whom somebody blocks, as the frame of a visit carries it.
import type { Blocks } from "../api/friends";
import { fromBase64url } from "../identity/bytes";

export interface BlockBytes {
  salt: Uint8Array;
  hashes: Uint8Array[];
}

/** The bytes of what the node says; null where they are none, and nothing is to be told by them. */
export function blockBytes({ salt, hashes }: Blocks): BlockBytes | null {
  const read = (text: string): Uint8Array | null => fromBase64url(text.replaceAll("+", "-").replaceAll("/", "_"));
  const bytes = read(salt);
  return bytes && { salt: bytes, hashes: hashes.map(read).filter((one) => one !== null) };
}
