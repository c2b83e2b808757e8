// Addresses of rooms as other programs write them: `matrix:` URIs (Matrix specification, appendices) and matrix.to links.
import type { Address } from "./address";

/** What a URI names that is no room: a person, say, or something that was said. */
export const OTHER = "other";

export const SCHEME = /^(?:web\+)?matrix:(?:\/\/[^/?#]*\/)?/i;
export const PAGE = /^https?:\/\/(?:www\.)?matrix\.to\/?#\//i;
const LETTERS = 2_048;
/** A server name: a name or an address, with a port or without one. */
const SERVER = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
/** Ids of the newest rooms end without a server name. */
const NAME = /^(?:#[^\s\0:]+:.+|![^\s\0:]+(?::.+)?)$/;
const BYTES = 255;

/** The URI by which a portal names its world. */
export function uriOf({ name, serverName }: Address): string {
  const bare = encoded(name.slice(1));
  return name.startsWith("#") ? `matrix:r/${bare}?action=join` : `matrix:roomid/${bare}?via=${encoded(serverName)}`;
}

/** A colon may stand as it is, and stands there in every example. */
const encoded = (text: string): string => encodeURIComponent(text).replaceAll("%3A", ":");

/** The room that a URI or a link names; null where it is none of either kind, or cannot be read. */
export function readUri(text: string): Address | typeof OTHER | null {
  if (text.length > LETTERS) return null;
  try {
    if (SCHEME.test(text)) return readScheme(text.replace(SCHEME, ""));
    if (PAGE.test(text)) return readPage(text.replace(PAGE, ""));
  } catch {
    // What is no percent-encoded text names nothing.
  }
  return null;
}

/** Whether a text is one of the two, right or wrong. */
export const isUri = (text: string): boolean => SCHEME.test(text) || PAGE.test(text);

function readScheme(rest: string): Address | typeof OTHER | null {
  const [path = "", query = ""] = parted(rest.split("#")[0] ?? "", "?");
  const parts = path.split("/").map(decodeURIComponent);
  const [kind = "", id = ""] = parts;
  const sigil = { r: "#", room: "#", roomid: "!" }[kind];
  // What was said in a room is named below it.
  if (sigil === undefined || parts.length !== 2) return path === "" ? null : OTHER;
  return checked(sigil + id, query);
}

function readPage(rest: string): Address | typeof OTHER | null {
  const [path = "", query = ""] = parted(rest, "?");
  const parts = path.split("/").map(decodeURIComponent);
  const [id = ""] = parts;
  if (!/^[#!]/.test(id) || parts.length !== 1) return id === "" ? null : OTHER;
  return checked(id, query);
}

function checked(name: string, query: string): Address | null {
  const via = new URLSearchParams(query).getAll("via").find(isServerName);
  return addressBy(name, via ?? null);
}

/** An alias or the id of a room, as an address; `via` says where a room is whose id does not. */
export function addressBy(name: string, via: string | null): Address | null {
  const colon = name.indexOf(":");
  const named = colon < 0 ? null : name.slice(colon + 1);
  const serverName = name.startsWith("!") ? (via ?? named) : named;
  if (!NAME.test(name) || new TextEncoder().encode(name).length > BYTES) return null;
  if (serverName === null || !isServerName(serverName)) return null;
  return named === null || isServerName(named) ? { name, serverName } : null;
}

export const isServerName = (text: string): boolean => text.length <= 230 && SERVER.test(text);

function parted(text: string, by: string): [string, string] {
  const at = text.indexOf(by);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
