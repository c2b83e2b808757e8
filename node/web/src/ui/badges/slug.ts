// What a badge is called among programs, made of what it is called among people.

/** So many letters an id has at most. */
export const ID_LETTERS = 64;
/** What an id is made of. */
export const ID_PATTERN = "[a-z0-9]+(-[a-z0-9]+)*";

/** The id for a name; empty where nothing of it can stand in one. */
export function slugOf(name: string): string {
  const plain = name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/ß/g, "ss");
  const slug = plain.replace(/[^a-z0-9]+/g, "-").replace(/^-/, "");
  return slug.slice(0, ID_LETTERS).replace(/-$/, "");
}
