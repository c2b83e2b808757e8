// Which world the address of the page asks for: by its own path, or by a link that another program has opened here.
import type { NodeInfo } from "./api/node";
import { rename } from "./past";
import { type Address, pathTo, readAddress } from "./travel/address";
import { OTHER, readUri } from "./travel/uri";

export { OTHER };

/** The world that the path names. */
export function goalHere(info: NodeInfo): Address | null {
  const place = /^\/w\/(.+?)\/?$/.exec(location.pathname)?.[1];
  const via = new URLSearchParams(location.search).get("via");
  return place === undefined ? null : readAddress(decodeURIComponent(place), via, info.server_name);
}

/** The world of a `matrix:` link, by whose own address it is then known here; or that the link leads to none. */
export function goalOfLink(info: NodeInfo): Address | typeof OTHER | null {
  if (!/^\/open\/?$/.test(location.pathname)) return null;
  const goal = readUri(new URLSearchParams(location.search).get("uri") ?? "");
  if (goal === null || goal === OTHER) return OTHER;
  rename(pathTo(goal, info.server_name));
  return goal;
}
