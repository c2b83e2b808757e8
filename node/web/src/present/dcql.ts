// What a verifier asks to be shown, in the Digital Credentials Query Language, held against what there is to show.
import { isObject, type Json, type JsonObject } from "../identity/canonical";

/** One credential that is asked for. */
interface Wish {
  id: string;
  format: string;
  /** Whether it can be what this page shows, as far as that is known before it is fetched. */
  possible: boolean;
  claims: Claim[] | null;
  /** Which of the claims will do together, the best first. */
  claimSets: string[][] | null;
}

interface Claim {
  id: string | null;
  path: (string | number | null)[];
  values: Json[] | null;
}

interface WishSet {
  options: string[][];
  required: boolean;
}

export interface Query {
  wishes: Wish[];
  sets: WishSet[] | null;
}

/** The one format that is known here: Data Integrity (OpenID4VP 1.0, appendix B.1.3.2). */
export const FORMAT = "ldp_vc";
/** What the word of a home about its member is, by the whole names of its types. */
const TYPES = ["https://www.w3.org/2018/credentials#VerifiableCredential", "urn:wayside:HomeMembership"];
const ID = /^[A-Za-z0-9_-]{1,64}$/;
const MOST = 16;
const TEXT_LETTERS = 512;

/** Why a query is none. */
export class QueryError extends Error {
  override name = "QueryError";
}

/** Reads a query (section 6); members that are not known are passed over, as it says. */
export function readQuery(value: Json): Query {
  if (!isObject(value)) throw new QueryError("dcql_query must be an object");
  const wishes = some(value.credentials, "credentials").map(wish);
  const ids = wishes.map(({ id }) => id);
  if (new Set(ids).size < ids.length) throw new QueryError("credentials must each have another id");
  const { credential_sets: said } = value;
  return { wishes, sets: said === undefined ? null : some(said, "credential_sets").map((one) => wishSet(one, ids)) };
}

/** Whether anything is asked for in a format that is known here. */
export const speaksOurs = ({ wishes }: Query): boolean => wishes.some(({ format }) => format === FORMAT);

/** Whether a credential of the home could answer it, before one is fetched. */
export const isPossible = (query: Query): boolean => answered(query, ({ possible }) => possible) !== null;

/** The names under which a credential answers a query, or null where it does not. */
export function answeredBy(query: Query, credential: JsonObject): string[] | null {
  return answered(query, (one) => one.possible && hasClaims(one, credential));
}

/** All that is required has to be there, or nothing is shown (section 6.4.2). */
function answered({ wishes, sets }: Query, fits: (wish: Wish) => boolean): string[] | null {
  const there = new Set(wishes.filter(fits).map(({ id }) => id));
  if (sets === null) return there.size === wishes.length ? [...there] : null;
  const chosen = new Set<string>();
  for (const { options, required } of sets) {
    const option = options.find((ids) => ids.every((id) => there.has(id)));
    if (!option && required) return null;
    for (const id of option ?? []) chosen.add(id);
  }
  return chosen.size > 0 ? [...chosen] : null;
}

function wish(value: Json): Wish {
  if (!isObject(value)) throw new QueryError("credentials must hold objects");
  const { id, format, meta, multiple, require_cryptographic_holder_binding: bound, trusted_authorities: trusted } = value;
  if (typeof id !== "string" || !ID.test(id)) throw new QueryError("the id of a credential must be letters, digits, _ and -");
  if (!isText(format)) throw new QueryError(`the format of ${id} must be a text`);
  if (!isObject(meta)) throw new QueryError(`the meta of ${id} must be an object`);
  mustBeTruth(multiple, `multiple of ${id}`);
  mustBeTruth(bound, `require_cryptographic_holder_binding of ${id}`);
  if (trusted !== undefined) some(trusted, `trusted_authorities of ${id}`).forEach(authority);
  const claims = value.claims === undefined ? null : some(value.claims, `claims of ${id}`).map(claim);
  const claimSets = value.claim_sets === undefined ? null : setsOf(value.claim_sets, claims, id);
  const known = format === FORMAT && isOurs(meta, id);
  // None of those authorities vouches for nodes. A word without a proof by its holder, anybody could show again.
  return { id, format, possible: known && bound !== false && trusted === undefined, claims, claimSets };
}

/** Whether one of the alternatives of types is met (appendix B.1.1). */
function isOurs({ type_values: alternatives }: JsonObject, id: string): boolean {
  const wanted = some(alternatives, `type_values of ${id}`).map((one) => some(one, `type_values of ${id}`));
  if (!wanted.every((types) => types.every(isText))) throw new QueryError(`type_values of ${id} must hold lists of texts`);
  return wanted.some((types) => types.every((type) => TYPES.includes(type as string)));
}

function authority(value: Json): void {
  const isOne = isObject(value) && isText(value.type) && some(value.values, "values of an authority").every(isText);
  if (!isOne) throw new QueryError("trusted_authorities must hold objects of a type and values");
}

function claim(value: Json): Claim {
  if (!isObject(value)) throw new QueryError("claims must hold objects");
  const { id = null } = value;
  if (id !== null && (typeof id !== "string" || !ID.test(id))) throw new QueryError("the id of a claim must be letters, digits, _ and -");
  const path = some(value.path, "the path of a claim");
  if (!path.every(isStep)) throw new QueryError("the path of a claim must hold texts, nulls and numbers");
  const values = value.values === undefined ? null : some(value.values, "the values of a claim");
  if (values && !values.every(isPlain)) throw new QueryError("the values of a claim must be texts, whole numbers, true or false");
  return { id, path, values };
}

function setsOf(value: Json, claims: Claim[] | null, id: string): string[][] {
  const ids = claims?.map((one) => one.id) ?? [];
  if (ids.length === 0 || ids.includes(null) || new Set(ids).size < ids.length) {
    throw new QueryError(`claim_sets of ${id} want claims that each have an id`);
  }
  return some(value, `claim_sets of ${id}`).map((one) => naming(one, ids as string[], `claim_sets of ${id}`));
}

function wishSet(value: Json, ids: readonly string[]): WishSet {
  if (!isObject(value)) throw new QueryError("credential_sets must hold objects");
  const { required } = value;
  mustBeTruth(required, "required of a set");
  const options = some(value.options, "the options of a set").map((one) => naming(one, ids, "the options of a set"));
  return { options, required: required !== false };
}

/** A list of names that were given before. */
function naming(value: Json, known: readonly string[], what: string): string[] {
  const names = some(value, what);
  if (!names.every((name) => typeof name === "string" && known.includes(name))) throw new QueryError(`${what} name what is not there`);
  return names as string[];
}

/** Whether a credential holds one of the sets of claims, or all where there are no sets (section 6.4.1). */
function hasClaims({ claims, claimSets }: Wish, credential: JsonObject): boolean {
  if (!claims) return true;
  const held = new Set(claims.filter((one) => holds(credential, one)));
  if (!claimSets) return held.size === claims.length;
  return claimSets.some((ids) => ids.every((id) => [...held].some((one) => one.id === id)));
}

function holds(credential: JsonObject, { path, values }: Claim): boolean {
  const found = selected(credential, path);
  return found.length > 0 && (values === null || found.some((one) => values.includes(one)));
}

/** What a path leads to (section 7.1.1); nothing where it leads nowhere. */
function selected(root: Json, path: Claim["path"]): Json[] {
  let found: Json[] = [root];
  for (const step of path) {
    const isRight = typeof step === "string" ? isObject : Array.isArray;
    if (!found.every((one) => isRight(one))) return [];
    found = found.flatMap((one): Json[] => {
      if (typeof step === "string") return Object.hasOwn(one as JsonObject, step) ? [(one as JsonObject)[step] as Json] : [];
      const items = one as Json[];
      return step === null ? items : items.slice(step, step + 1);
    });
  }
  return found;
}

/** A list that is not empty, nor longer than anybody needs. */
function some(value: Json | undefined, what: string): Json[] {
  if (Array.isArray(value) && value.length > 0 && value.length <= MOST) return value;
  throw new QueryError(`${what} must be a list of 1 to ${MOST}`);
}

function mustBeTruth(value: Json | undefined, what: string): void {
  if (value !== undefined && typeof value !== "boolean") throw new QueryError(`${what} must be true or false`);
}

function isText(value: Json | undefined): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= TEXT_LETTERS;
}

const isPlain = (value: Json): boolean => isText(value) || typeof value === "boolean" || Number.isInteger(value);

function isStep(value: Json): value is string | number | null {
  return value === null || typeof value === "string" || (typeof value === "number" && Number.isInteger(value) && value >= 0);
}
