// Who asks to be shown who somebody is, as the address says it (OpenID for Verifiable Presentations 1.0, section 5).
import { isObject, isTexts, type Json, readJson } from "../identity/canonical";
import { IdentityError } from "../identity/errors";
import { FORMAT, isPossible, type Query, QueryError, readQuery, speaksOurs } from "./dcql";

/** Where an answer goes, and how. */
export interface Way {
  /** The address of whoever asks: they are who can be reached there, and nobody else. */
  address: URL;
  mode: "fragment" | "direct_post";
  /** What they know their question by. */
  state: string | null;
}

export interface Request {
  way: Way;
  /** The whole name of whoever asks, for whom alone the answer is made. */
  clientId: string;
  nonce: string;
  /** What they call themselves, which anybody could. */
  claimedName: string | null;
  query: Query;
}

/** What a verifier is told that got nothing, in the words of the specification (section 8.5) and of OAuth. */
export type ErrorCode =
  | "access_denied"
  | "invalid_request"
  | "invalid_scope"
  | "invalid_transaction_data"
  | "request_not_supported"
  | "request_uri_not_supported"
  | "unsupported_response_type"
  | "vp_formats_not_supported";

/** A question that breaks a rule, which its asker can be told. */
export class Refused extends Error {
  override name = "Refused";

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly way: Way,
  ) {
    super(message);
  }
}

/** A question of which it cannot be told who asks: nothing is sent anywhere. */
export class Astray extends Error {
  override name = "Astray";
}

const PREFIX = "redirect_uri:";
const QUERY_LETTERS = 16 * 1024;
const ADDRESS_LETTERS = 2_048;
const WORD_LETTERS = 1_024;
const NAME_LETTERS = 80;
/** The letters of `nonce` and `state` (section 5.2). */
const WORD = /^[A-Za-z0-9._~-]+$/;
/** What turns letters around or is no sign at all has no place in a name. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** Reads the question behind the `?` of an address. */
export function readRequest(search: string): Request {
  const given = parameters(search);
  const clientId = one(given, "client_id") ?? astray("client_id is missing");
  const way = wayOf(given, clientId);
  const refuse = (code: ErrorCode, message: string): never => {
    throw new Refused(code, message, way);
  };
  mustBeKnown(given, refuse);
  const nonce = given.get("nonce")?.[0];
  if (nonce === undefined || !isWord(nonce)) return refuse("invalid_request", "nonce must be letters, digits and -._~");
  const metadata = objectOf(given, "client_metadata", refuse);
  mustTakeOurs(metadata, refuse);
  const query = queryOf(objectOf(given, "dcql_query", refuse), refuse);
  return { way, clientId, nonce, claimedName: nameOf(metadata), query };
}

/** What is given under each name. One without a value is as good as left out (RFC 6749, section 3.1). */
function parameters(search: string): Map<string, string[]> {
  if (search.length > QUERY_LETTERS) return astray("the address is too long");
  try {
    decodeURIComponent(search);
  } catch {
    return astray("the address is not encoded as UTF-8");
  }
  const given = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(search)) {
    if (value !== "") given.set(name, [...(given.get(name) ?? []), value]);
  }
  return given;
}

/** What decides where an answer goes stands once, or nowhere. */
function one(given: Map<string, string[]>, name: string): string | null {
  const values = given.get(name) ?? [];
  if (values.length > 1) return astray(`${name} stands twice`);
  return values[0] ?? null;
}

/**
 * Where the answer goes: to the address that the asker has for a name (section 5.9.3, `redirect_uri`). Anybody may
 * ask, and whoever can be reached there gets the answer, which is worth nothing to others.
 */
function wayOf(given: Map<string, string[]>, clientId: string): Way {
  if (!clientId.startsWith(PREFIX)) return astray("client_id must be redirect_uri and an address");
  const named = clientId.slice(PREFIX.length);
  const address = addressOf(named) ?? astray("the address in client_id must be https, or http of localhost");
  const [redirect, response] = [one(given, "redirect_uri"), one(given, "response_uri")];
  if ([redirect, response].some((said) => said !== null && said !== named)) {
    return astray("the answer would go to another address than that in client_id");
  }
  const said = one(given, "response_mode") ?? "fragment";
  const isPosted = said === "direct_post" || said === "direct_post.jwt";
  // Pages of this node post to https alone; who sends somebody back to this machine does so by their browser.
  if (isPosted && address.protocol !== "https:") return astray("an answer is posted to https alone");
  const words = given.get("state") ?? [];
  const state = words.length === 1 && isWord(words[0]) ? words[0] : null;
  // The answer to a mode that is not known here stands behind the #, where no server writes it down.
  const way: Way = { address, mode: isPosted ? "direct_post" : "fragment", state };
  if (said !== way.mode) throw new Refused("invalid_request", "response_mode must be fragment or direct_post", way);
  if (way.mode === "direct_post" && redirect !== null) {
    throw new Refused("invalid_request", "redirect_uri has no place beside the response_mode direct_post", way);
  }
  if (way.mode === "fragment" && response !== null) {
    throw new Refused("invalid_request", "response_uri belongs to the response_mode direct_post", way);
  }
  if (words.length > 0 && state === null) {
    throw new Refused("invalid_request", "state must be letters, digits and -._~, and stand once", way);
  }
  return way;
}

/** An address to which an answer may go: what is read from it must not differ from what it says. */
export function addressOf(text: string): URL | null {
  if (text.length > ADDRESS_LETTERS || !/^https?:\/\/[^/\\]/.test(text)) return null;
  if (!/^[\x21-\x7e]+$/.test(text) || /[\\#"<>]/.test(text) || !URL.canParse(text)) return null;
  const url = new URL(text);
  const isSafe = url.protocol === "https:" || url.hostname === "localhost";
  return isSafe && url.username === "" && url.password === "" && url.hostname !== "" ? url : null;
}

/** What asks for more than this page does, or in another way, is refused by name. */
function mustBeKnown(given: Map<string, string[]>, refuse: (code: ErrorCode, message: string) => never): void {
  const twice = [...given].find(([, values]) => values.length > 1);
  if (twice) refuse("invalid_request", `a parameter stands twice: ${twice[0].replace(/[^\x20-\x7e]/g, "?").slice(0, 64)}`);
  // Whoever is known by an address has no key by which they could sign (section 5.9.3).
  if (given.has("request")) refuse("request_not_supported", "a request object cannot be signed by an address");
  if (given.has("request_uri")) refuse("request_uri_not_supported", "a request object cannot be signed by an address");
  if (given.has("request_uri_method")) refuse("invalid_request", "request_uri_method has no place without request_uri");
  if (given.has("transaction_data")) refuse("invalid_transaction_data", "no transactions are signed here");
  const type = given.get("response_type")?.[0];
  if (type === undefined) refuse("invalid_request", "response_type is missing");
  if (type !== "vp_token") refuse("unsupported_response_type", "response_type must be vp_token");
  const [scope, query] = [given.has("scope"), given.has("dcql_query")];
  if (scope && !query) refuse("invalid_scope", "no scope stands for a query here: dcql_query is wanted");
  if (scope) refuse("invalid_request", "scope has no place beside dcql_query");
}

function objectOf(
  given: Map<string, string[]>,
  name: string,
  refuse: (code: ErrorCode, message: string) => never,
): Record<string, Json> {
  const text = given.get(name)?.[0];
  if (text === undefined) return refuse("invalid_request", `${name} is missing`);
  try {
    const value = readJson(text);
    if (isObject(value)) return value;
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
  }
  return refuse("invalid_request", `${name} must be an object of JSON in which no name stands twice`);
}

/** Whether the asker can read what is shown here (section 11.1, appendix B.1.3.2.3). */
function mustTakeOurs(metadata: Record<string, Json>, refuse: (code: ErrorCode, message: string) => never): void {
  const formats = metadata.vp_formats_supported;
  if (!isObject(formats)) return refuse("invalid_request", "client_metadata must say vp_formats_supported");
  const ours = formats[FORMAT];
  if (!isObject(ours)) return refuse("vp_formats_not_supported", `the one format here is ${FORMAT}`);
  const takes = (name: string, value: string): boolean => {
    const list = ours[name];
    return list === undefined || (isTexts(list, NAME_LETTERS) && list.includes(value));
  };
  if (!takes("proof_type_values", "DataIntegrityProof") || !takes("cryptosuite_values", "eddsa-jcs-2022")) {
    refuse("vp_formats_not_supported", "proofs here are DataIntegrityProof by eddsa-jcs-2022");
  }
}

function queryOf(said: Record<string, Json>, refuse: (code: ErrorCode, message: string) => never): Query {
  try {
    const query = readQuery(said);
    if (!speaksOurs(query)) refuse("vp_formats_not_supported", `the one format here is ${FORMAT}`);
    if (!isPossible(query)) refuse("access_denied", "there is no such credential here");
    return query;
  } catch (error) {
    if (error instanceof QueryError) return refuse("invalid_request", error.message);
    throw error;
  }
}

function nameOf({ client_name: name }: Record<string, Json>): string | null {
  if (typeof name !== "string") return null;
  const shown = Array.from(name.replace(UNSEEN, "").trim()).slice(0, NAME_LETTERS).join("");
  return shown === "" ? null : shown;
}

function isWord(text: string | undefined): text is string {
  return text !== undefined && text.length <= WORD_LETTERS && WORD.test(text);
}

function astray(message: string): never {
  throw new Astray(message);
}
