// Recovery entropy as twelve words that people write down (BIP 39, English).
import { entropyToMnemonic, mnemonicToEntropy } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { type Bytes } from "./bytes";
import { ENTROPY_BYTES } from "./derived";
import { IdentityError } from "./errors";

const WORDS = 12;
/** Twelve words are never longer, however they are numbered and spaced. */
const MOST_LETTERS = 2_000;

export function wordsOf(entropy: Bytes): string[] {
  if (entropy.length !== ENTROPY_BYTES) throw new IdentityError("malformed", `words stand for ${ENTROPY_BYTES} bytes`);
  return entropyToMnemonic(entropy, wordlist).split(" ");
}

/** The entropy of words that somebody typed, in whatever case and spacing, numbered or not. */
export function readWords(text: string): Bytes {
  if (text.length > MOST_LETTERS) throw miscounted("many more");
  // Signs that are not seen, and the marks that some keyboards put on letters, are not what was meant.
  const plain = text.normalize("NFKD").replace(/[\p{M}\p{Cf}]/gu, "").toLowerCase();
  const words = plain.split(/[^\p{L}]+/u).filter((word) => word !== "");
  const at = words.findIndex((word) => !wordlist.includes(word));
  const unknown = words[at];
  if (unknown !== undefined) {
    const shown = unknown.slice(0, 40);
    throw new IdentityError("unknown_word", `word ${at + 1}, ${JSON.stringify(shown)}, is not in the list`, shown);
  }
  if (words.length !== WORDS) throw miscounted(String(words.length));
  try {
    return Uint8Array.from(mnemonicToEntropy(words.join(" "), wordlist));
  } catch (cause) {
    const message = "the words do not belong together: one is another, or their order is";
    throw new IdentityError("wrong_words", message, null, cause);
  }
}

function miscounted(count: string): IdentityError {
  return new IdentityError("word_count", `there must be ${WORDS} words, and there are ${count}`, count);
}
