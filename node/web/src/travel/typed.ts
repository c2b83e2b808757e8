// Where a world is that somebody names by hand: an alias, a link that they were sent, a URI.
import { ask } from "../api/http";
import { fullAlias, homeAt, type NodeInfo } from "../api/node";
import type { Address } from "./address";
import { addressBy, isServerName, isUri, OTHER, readUri } from "./uri";

/** A page of a node, whose name is not known yet. */
export interface Page {
  link: string;
  place: string;
}

type Own = Pick<NodeInfo, "server_name" | "public_url">;

/** Reads what was typed; null is that it names nothing. */
export function readTyped(typed: string, own: Own): Address | Page | typeof OTHER | null {
  const text = typed.trim();
  if (text === "") return null;
  if (isUri(text)) return readUri(text);
  if (/^https?:\/\//i.test(text)) return readLink(text, own);
  if (/^[@$]|^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return OTHER;
  return orHere(fullAlias(text.replace(/^#/, ""), own.server_name), null, own);
}

/** Not every id of a room says where that is: it is here then, where nothing else says otherwise. */
function orHere(name: string, via: string | null, own: Own): Address | null {
  return addressBy(name, via) ?? addressBy(name, own.server_name);
}

/** A link to a world; the server name stands in it, or the pages are those of a node that has one. */
function readLink(text: string, own: Own): Address | Page | typeof OTHER | null {
  if (!URL.canParse(text)) return null;
  const { origin, pathname, searchParams } = new URL(text);
  const way = /^\/w\/([^/]+)\/?$/.exec(pathname)?.[1];
  const place = way === undefined ? null : decoded(way);
  if (place === null) return OTHER;
  const via = searchParams.get("via");
  const isOwn = origin === new URL(own.public_url).origin || origin === location.origin;
  if (isOwn) return orHere(fullAlias(place, own.server_name), via, own);
  if (place.includes(":") || (place.startsWith("!") && via !== null)) return addressBy(fullAlias(place, ""), via);
  return { link: text, place };
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

export const isPage = (read: object): read is Page => "link" in read;

/** Asks whose page it is: the node says its own name, and the world is then looked for by that name alone. */
export async function addressAt({ link, place }: Page): Promise<Address | null> {
  const { url } = await homeAt(link);
  if (!URL.canParse(url)) return null;
  const { server_name: name } = await ask<{ server_name?: unknown }>("GET", `${new URL(url).origin}/_wayside/v1/node`);
  if (typeof name !== "string" || !isServerName(name)) return null;
  return addressBy(fullAlias(place, name), name);
}
