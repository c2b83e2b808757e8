// Where a friend is, as somewhere to go.
import type { Place } from "../api/friends";
import type { Goal } from "../passage";
import { shown } from "../travel/address";

/** Null where nobody can be followed. */
export function goalAt({ world, server: serverName, name }: Place): Goal | null {
  if (world === null) return null;
  const address = { name: world, serverName };
  return { address, name: name || shown(address), back: false };
}
