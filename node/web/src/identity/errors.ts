// Why something about a person's identity was refused: a reason for the page to put into words, and a sentence.

export type Why =
  /** The browser cannot do what is needed. */
  | "unsupported"
  /** It is not what it should be, whoever wrote it. */
  | "malformed"
  /** It was what it should be, and was changed since. */
  | "damaged"
  /** It was written by a later release. */
  | "newer"
  /** A history breaks its own rules. */
  | "bad_log"
  /** A history leaves out or changes what was seen of it before. */
  | "rewound"
  /** A document holds what the person has not put there. */
  | "not_mine"
  /** Another key is needed. */
  | "wrong_key"
  /** It is about somebody else. */
  | "wrong_person"
  /** Nobody who was asked knows the person. */
  | "not_found"
  /** Two histories of one person contradict each other. */
  | "forked"
  /** They live on this node already; `about` is their account. */
  | "here"
  /** The DID has come to its end. */
  | "ended"
  /** The clock here or where the history was written is wrong. */
  | "clock"
  /** So many words are none of ours; `about` says how many there are. */
  | "word_count"
  /** A word is not in the list; `about` is the word. */
  | "unknown_word"
  /** The words do not belong together, or open another identity. */
  | "wrong_words"
  | "weak_passphrase"
  | "wrong_passphrase"
  | "wrong_passkey"
  /** The passkey cannot keep secrets. */
  | "no_prf"
  /** Whoever was asked did not want to, or took too long. */
  | "aborted"
  | "mistyped_share"
  | "mixed_shares"
  /** Shares are missing; `about` says how many. */
  | "missing_shares"
  | "false_share"
  /** There is a bound, and it is reached. */
  | "too_many";

export class IdentityError extends Error {
  override name = "IdentityError";

  constructor(
    readonly why: Why,
    message: string,
    /** What the page may name when it says so. */
    readonly about: string | null = null,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? {} : { cause });
  }
}
