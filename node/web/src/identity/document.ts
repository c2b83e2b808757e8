// The DID document of a person: written in one way, and taken for a person's only if it is written in that way.
import { canonical, isObject, isTexts, type Json, type JsonObject } from "./canonical";
import { matrixUri, mxidOf, scidOf, SCID } from "./did";
import { IdentityError } from "./errors";
import { isMultikey } from "./multikey";

/** What the document of a person says. */
export interface Person {
  did: string;
  /** The Matrix user id in force. */
  mxid: string;
  /** What the DID was called before, the oldest first. */
  formerly: readonly string[];
  /** The keys of the person's devices, as Multikeys. */
  devices: readonly string[];
  /** The key with which the home node may assert things in the person's name. */
  nodeKey: string;
  /** The address of the home node. */
  service: string;
}

const CONTEXT = ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"];
export const MOST_DEVICES = 32;
const MOST_NAMES = 100;
const TEXT_LETTERS = 2_048;

export function documentOf(person: Person): JsonObject {
  const { did, devices, nodeKey, service } = person;
  mustBeSound(person);
  const own = devices.map((key) => `#${key}`);
  const node = `#node-${nodeKey}`;
  const method = (id: string, key: string): JsonObject => {
    return { id, type: "Multikey", controller: did, publicKeyMultibase: key };
  };
  return {
    "@context": [...CONTEXT],
    id: did,
    alsoKnownAs: [matrixUri(person.mxid), ...person.formerly],
    verificationMethod: [...devices.map((key) => method(`#${key}`, key)), method(node, nodeKey)],
    authentication: own,
    assertionMethod: [...own, node],
    service: [{ id: "#home", type: "WaysideHome", serviceEndpoint: service }],
  };
}

/** What is left of the document when a DID has come to its end: the names that it had, and no key. */
export function lastDocument({ did, formerly }: Person): JsonObject {
  return { "@context": [...CONTEXT], id: did, alsoKnownAs: [...formerly] };
}

/**
 * Reads the document of a person. Whatever is in it beside what such a document says would be signed again with
 * the next version, by somebody who has not seen it: a document that differs from how it is written is refused.
 */
export function personOf(document: Json): Person {
  if (!isObject(document)) throw notMine("it is no object");
  const { id, alsoKnownAs, authentication, assertionMethod, service } = document;
  if (!isTexts(authentication, TEXT_LETTERS)) throw notMine("its authentication is no list of names of keys");
  const foreign = authentication.find((name) => !name.startsWith("#") || !isMultikey(name.slice(1)));
  if (foreign !== undefined) throw notMine(`authentication holds ${foreign}, which is the key of no device`);
  const asserting = isTexts(assertionMethod, TEXT_LETTERS) ? assertionMethod : [];
  const nodeKey = asserting.find((name) => name.startsWith("#node-"))?.slice("#node-".length);
  const [alias, ...formerly] = isTexts(alsoKnownAs, TEXT_LETTERS) ? alsoKnownAs : [];
  const mxid = mxidOf(alias ?? "");
  const home = Array.isArray(service) && isObject(service[0]) ? service[0].serviceEndpoint : undefined;
  if (typeof id !== "string" || mxid === null || nodeKey === undefined || typeof home !== "string") {
    throw notMine("its name, the key of the node or the address of the home is missing");
  }
  const devices = authentication.map((name) => name.slice(1));
  const person: Person = { did: id, mxid, formerly, devices, nodeKey, service: home };
  if (canonical(documentOf(person)) !== canonical(document)) throw notMine("it holds something that is not known here");
  return person;
}

/** Refuses a document that lets anybody speak for the person but devices of theirs, and assert but the node named. */
export function onlyMine(document: Json, devices: readonly string[], nodeKey: string): Person {
  const person = personOf(document);
  const foreign = person.devices.find((key) => !devices.includes(key));
  if (foreign !== undefined) throw notMine(`authentication holds ${foreign}, which is no device of the person`);
  if (person.nodeKey !== nodeKey) throw notMine(`it names ${person.nodeKey} as the key of the node`);
  return person;
}

function mustBeSound({ did, formerly, devices, nodeKey, service }: Person): void {
  if (!did.startsWith(`did:webvh:${SCID}:`)) scidOf(did);
  // A former name of another history would be a claim to be somebody else.
  const others = formerly.filter((old) => old === did || scidOf(old) !== scidOf(did));
  if (others.length > 0) throw notMine(`${others[0]} is no former name of the person`);
  if (formerly.length > MOST_NAMES) throw new IdentityError("too_many", "the person has moved too often");
  if (devices.length === 0) throw new IdentityError("malformed", "a person has at least one device");
  if (devices.length > MOST_DEVICES) {
    throw new IdentityError("too_many", `a person has at most ${MOST_DEVICES} devices`, String(MOST_DEVICES));
  }
  const keys = [...devices, nodeKey];
  if (!keys.every(isMultikey) || new Set(keys).size !== keys.length) {
    throw notMine("its keys must be Multikeys of Ed25519, and each another");
  }
  if (!isAddress(service)) throw notMine("the address of the home must be one of the web");
}

/** Whether a text is the address of a node: by HTTPS, or on this machine. */
export function isAddress(text: string): boolean {
  if (text.length > TEXT_LETTERS || !URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  const isSafe = protocol === "https:" || (protocol === "http:" && hostname === "localhost");
  return isSafe && username === "" && password === "";
}

function notMine(message: string): IdentityError {
  return new IdentityError("not_mine", `the document is not the person's own: ${message}`);
}
