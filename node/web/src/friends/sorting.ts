// The order in which people are listed: who can be met now before who might be, and then by name.
import type { Friend } from "../api/friends";

/** The parts of the list of friends. */
export interface Parts {
  /** Who asks the person, those first who have waited longest. */
  asking: Friend[];
  friends: Friend[];
  /** Whom the person has asked. */
  asked: Friend[];
}

export function partsOf(all: readonly Friend[]): Parts {
  const of = (standing: Friend["standing"]): Friend[] => all.filter((one) => one.standing === standing);
  return {
    asking: of("asking").sort((a, b) => a.sinceMs - b.sinceMs || byName(a, b)),
    friends: of("friend").sort((a, b) => nearness(b) - nearness(a) || byName(a, b)),
    asked: of("asked").sort(byName),
  };
}

/** In a world, at a device, or neither. */
function nearness({ place, presence }: Friend): number {
  if (place !== null) return 2;
  return presence === "online" ? 1 : 0;
}

const byName = (a: Friend, b: Friend): number => a.name.localeCompare(b.name) || a.userId.localeCompare(b.userId);
