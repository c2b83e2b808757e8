// Where a world is: what stands in an address of the page, and how an address is written.
import { fullAlias, shortAlias, type World } from "../api/node";
import type { Portal } from "../api/portals";

export interface Address {
  /** The whole alias of the world, or the id of its room. */
  name: string;
  /** The server name of the node on which it is. */
  serverName: string;
}

/** Reads what stands behind `/w/`. Not every id of a room names its node: `via` says it then, as in links of Matrix. */
export function readAddress(place: string, via: string | null, own: string): Address {
  const name = fullAlias(place, own);
  const [, named] = split(name);
  const said = via !== null && via !== "" && name.startsWith("!") ? via : null;
  return { name, serverName: said ?? named ?? own };
}

/** The address of a world of a node. */
export function addressOf({ alias, room_id: roomId }: World, serverName: string): Address {
  // An alias of another node would lead there.
  const isTheirs = alias !== null && split(alias)[1] === serverName;
  return { name: isTheirs ? alias : roomId, serverName };
}

/** The path to a world on the pages of a node. */
export function pathTo({ name, serverName }: Address, own: string): string {
  const short = name.startsWith("!") ? name : shortAlias(name, own);
  const path = `/w/${encodeURI(short).replace(/[?#]/g, encodeURIComponent)}`;
  const isSaid = serverName === own || split(name)[1] === serverName;
  return isSaid ? path : `${path}?${new URLSearchParams({ via: serverName })}`;
}

/** The page of a world on another node, whose address ends in a slash or not. */
export function pageAt(base: string, address: Address): string {
  // No node has no name: the path then says on which one the world is.
  return base.replace(/\/+$/, "") + pathTo(address, "");
}

/** How a world is called of which nothing but its address is known. */
export function shown({ name, serverName }: Address): string {
  return name.startsWith("#") ? split(name)[0].slice(1) : serverName;
}

/** What a portal is called: as those say who made it, or else as its world is. */
export function titleOf({ name, target, address, serverName }: Portal): string {
  return name || target?.name || shown({ name: address, serverName });
}

function split(name: string): [string, string | null] {
  const colon = name.indexOf(":");
  return colon < 0 ? [name, null] : [name.slice(0, colon), name.slice(colon + 1)];
}
