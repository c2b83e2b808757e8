// What members have beside the list of worlds: conversations, friends, and who they are; fetched once they see it.
import type { NodeInfo } from "./api/node";
import type { Session } from "./api/session";
import { friendshipOf } from "./friendship";
import { goalAt } from "./friends/goal";
import { identityParts, type Membership, membershipOf } from "./membership";
import { Passage, type PassageDoors } from "./passage";
import type { Address } from "./travel/address";

export interface OfferDoors {
  /** Goes into a world, on whichever node it is. */
  enter(world: Address): void;
  /** Shows the worlds of now in place of those that are listed. */
  worldsChanged(): void;
  /** The node of a world. */
  host: PassageDoors["host"];
  /** Goes in by a ticket. */
  through: PassageDoors["enter"];
  signedOut(): void;
}

/** Puts all of them beside the list, as they come. */
export async function offerAll(info: NodeInfo, who: Session, doors: OfferDoors): Promise<void> {
  const place = document.querySelector<HTMLElement>(".worlds:not([data-offered])");
  if (!place) return;
  place.dataset.offered = "";
  void offerIdentity(who, place);
  const write = await offerMessages(info, who, place, doors);
  await offerFriends(info, who, place, write, doors);
}

type Write = ReturnType<Membership["parts"]["besideWorlds"]>;

/** Shows what waits for a member; gives the way to write to somebody, where there is one. */
async function offerMessages(info: NodeInfo, who: Session, place: HTMLElement, doors: OfferDoors): Promise<Write | null> {
  try {
    const opened = await membershipOf(who);
    if (!opened || !place.isConnected) return null;
    const { messages, parts } = opened;
    const { enter, worldsChanged } = doors;
    return parts.besideWorlds(messages, place, { serverName: info.server_name, enter, worldsChanged });
  } catch (error) {
    // Worlds can be entered without.
    console.warn("messages cannot be opened", error);
    return null;
  }
}

/** Sees to it that a member has an identity, and asks them to keep it safe. */
async function offerIdentity(who: Session, place: HTMLElement): Promise<void> {
  try {
    const parts = await identityParts(who);
    if (place.isConnected) await parts?.identityCard(who, place);
  } catch (error) {
    // Worlds can be entered without.
    console.warn("the identity cannot be opened", error);
  }
}

/** Shows friends, to whom a member goes as carefully as through a portal: who is not let in stays at the list. */
async function offerFriends(info: NodeInfo, who: Session, place: HTMLElement, write: Write | null, doors: OfferDoors): Promise<void> {
  const friendship = await friendshipOf(who);
  if (!friendship || !place.isConnected) return;
  const { host, through: enter, signedOut } = doors;
  const passage = new Passage(place, info, () => who, { host, enter, signedOut, pause: () => {}, takeOff: async () => {} });
  friendship.parts.besideWorlds(friendship.friends, place, {
    serverName: info.server_name,
    join: (where) => {
      const goal = goalAt(where);
      if (goal) void passage.open(goal);
    },
    write: write && (({ userId, roomId }) => write(userId, roomId)),
  });
}
