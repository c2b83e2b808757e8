// Reading what others say: texts without what could disguise them, and words of a known set.

/** What cannot be seen and what turns the text around it: a name could pretend by it to be another. */
const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/gu;

/** A text in one line, without what cannot be seen, and of at most so many letters. */
export function clean(said: unknown, most: number): string {
  if (typeof said !== "string") return "";
  // What is far too long is not looked at for longer than it takes to cut it.
  const line = said.slice(0, most * 8).replace(/\s+/g, " ").replace(UNSEEN, "").trim();
  const letters = [...line];
  return letters.length > most ? `${letters.slice(0, most - 1).join("").trimEnd()}…` : line;
}

export function oneOf<T extends string>(all: readonly T[], said: unknown): T | null {
  return all.find((one) => one === said) ?? null;
}

export function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
