// JSON that is signed: read so that two readers see the same, and written in one way only.
import { IdentityError } from "./errors";

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [name: string]: Json;
}

/** Deeper than this the node reads nothing, and a walk would run out of stack some day. */
const DEPTH = 127;
/** Half a pair of UTF-16, which stands for no letter and has no bytes in UTF-8. */
const HALF_PAIR = /\p{Surrogate}/u;
/** Texts and numbers of JSON that is known to be sound: a colon stands behind a text that is a name. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"([ \t\r\n]*:)?|-?\d[\d.eE+-]*/g;

/**
 * Reads JSON as RFC 7493 bounds it. The browser's own parser silently takes the last of two members with one
 * name and rounds large numbers: whoever wrote such a text could show one thing here and another elsewhere.
 */
export function readJson(text: string): Json {
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (cause) {
    throw new IdentityError("malformed", "reading JSON: the text is none", null, cause);
  }
  let written = 0;
  for (const [token, colon] of text.matchAll(TOKENS)) {
    if (colon !== undefined) written += 1;
    else if (/^-?\d+$/.test(token)) mustBeExact(token);
  }
  if (names(value, 0) !== written) {
    throw new IdentityError("malformed", "reading JSON: a name stands twice in one object");
  }
  return value;
}

/** How many names of members a value holds, all of it checked on the way. */
function names(value: Json, depth: number): number {
  if (typeof value === "string") mustBeWhole(value);
  if (typeof value === "number") mustBeFinite(value);
  if (typeof value !== "object" || value === null) return 0;
  if (depth >= DEPTH) throw new IdentityError("malformed", "reading JSON: it is nested too deep");
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + names(item, depth + 1), 0);
  return Object.entries(value).reduce((sum, [name, item]) => {
    mustBeWhole(name);
    return sum + 1 + names(item, depth + 1);
  }, 0);
}

function mustBeWhole(text: string): void {
  if (HALF_PAIR.test(text)) throw new IdentityError("malformed", "JSON holds half of a letter");
}

function mustBeExact(whole: string): void {
  if (Number.isSafeInteger(Number(whole))) return;
  throw new IdentityError("malformed", "reading JSON: a whole number is larger than 2^53 - 1");
}

function mustBeFinite(number: number): void {
  if (!Number.isFinite(number)) throw new IdentityError("malformed", "JSON holds a number that is out of range");
}

/**
 * The one way to write a value: the JSON Canonicalization Scheme (RFC 8785). It is defined by what ECMAScript
 * does with numbers and texts, and by the order of units of UTF-16, in which `sort` puts texts.
 */
export function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  switch (typeof value) {
    case "string":
      mustBeWhole(value);
      return JSON.stringify(value);
    case "number":
      mustBeFinite(value);
      return JSON.stringify(value);
    case "boolean":
      return value ? "true" : "false";
    case "object":
      return value === null ? "null" : members(value);
    default:
      throw new IdentityError("malformed", `JSON holds something of the type ${typeof value}`);
  }
}

function members(object: JsonObject): string {
  const sorted = Object.keys(object).sort();
  // The key stands in the object, since it was read from it.
  return `{${sorted.map((name) => `${canonical(name)}:${canonical(object[name] as Json)}`).join()}}`;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a value is a list of texts, none longer than `most` letters. */
export function isTexts(value: Json | undefined, most: number): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string" && item.length <= most);
}
