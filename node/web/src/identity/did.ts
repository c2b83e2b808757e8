// The names of a person: a did:webvh, which proves itself wherever it stands, and the Matrix user id behind it.
import { IdentityError } from "./errors";
import { isHash } from "./multikey";

/** What stands for the SCID before it is known. */
export const SCID = "{SCID}";
const MOST_LETTERS = 1_024;
const WEBVH = /^did:webvh:([^:]+):([^:]+(?::[^:]+)*)$/;
/** The letters of the grammar of DIDs; others are written by their bytes (W3C DID 1.0, section 3.1). */
const PLAIN = /[A-Za-z0-9._-]/;
const LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
/** The name of a machine, whose last part does not begin with a digit as those of addresses do, and a port. */
const HOST = new RegExp(`^(?:(?:${LABEL}\\.)+(?=[a-z])${LABEL}|localhost)(?::[1-9]\\d{0,4})?$`);
const MXID = /^@([\x21-\x39\x3b-\x7e]+):([A-Za-z0-9.:[\]-]+)$/;
const MXID_LETTERS = 255;
/** A server of Matrix: a name or an address, with a port or without one. */
const SERVER = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
const SERVER_LETTERS = 230;

/** The DID of a log that lies under a path of a host. */
export function didOf(scid: string, host: string, path: readonly string[]): string {
  const named = HOST.test(host) && URL.canParse(`https://${host}`) ? new URL(`https://${host}`).hostname : "";
  // A name that the web reads otherwise, as some in other scripts, would be another place.
  if (named === "" || named !== host.split(":")[0]) {
    throw new IdentityError("malformed", "naming a DID: the host must be the name of a machine in small letters");
  }
  const did = ["did:webvh", scid, host.replace(":", "%3A"), ...path.map(segment)].join(":");
  if (did.length > MOST_LETTERS) throw new IdentityError("malformed", "naming a DID: it is too long");
  return did;
}

/** What proves itself in a DID, and stays the same wherever the person moves. */
export function scidOf(did: string): string {
  const scid = did.length <= MOST_LETTERS ? WEBVH.exec(did)?.[1] : undefined;
  if (scid === undefined || !isHash(scid)) throw new IdentityError("malformed", "reading a DID: it is no did:webvh");
  return scid;
}

/** Whether a text is the DID of a person. */
export function isDid(text: string): boolean {
  try {
    return scidOf(text) !== "";
  } catch {
    return false;
  }
}

/** The URI of a Matrix user id (Matrix specification, appendices, "Matrix URI scheme"). */
export function matrixUri(mxid: string): string {
  const [, localpart, server] = (mxid.length <= MXID_LETTERS && MXID.exec(mxid)) || [];
  if (localpart === undefined || server === undefined) {
    throw new IdentityError("malformed", "naming a person: the Matrix user id is none");
  }
  // These two are common in user ids, and mean nothing in a path.
  const written = encodeURIComponent(localpart).replaceAll("%3D", "=").replaceAll("%2B", "+");
  return `matrix:u/${written}:${server}`;
}

/** Whether a text is a Matrix user id. */
export function isMxid(text: string): boolean {
  try {
    return matrixUri(text) !== "";
  } catch {
    return false;
  }
}

/** Whether a text names a server of Matrix. */
export const isServer = (text: string): boolean => text.length <= SERVER_LETTERS && SERVER.test(text);

/** The user id of such a URI, or null where it names none. */
export function mxidOf(uri: string): string | null {
  try {
    const mxid = uri.startsWith("matrix:u/") ? `@${decodeURIComponent(uri.slice("matrix:u/".length))}` : "";
    return matrixUri(mxid) === uri ? mxid : null;
  } catch {
    return null;
  }
}

function segment(text: string): string {
  const leadsAway = text === "" || text === "." || text === ".." || /[/\\%\p{C}]/u.test(text);
  if (leadsAway) throw new IdentityError("malformed", "naming a DID: a part of its path would lead elsewhere");
  return Array.from(text, (letter) => (PLAIN.test(letter) ? letter : encoded(letter))).join("");
}

function encoded(letter: string): string {
  const bytes = Array.from(new TextEncoder().encode(letter), (byte) => byte.toString(16).toUpperCase());
  return bytes.map((byte) => `%${byte.padStart(2, "0")}`).join("");
}
