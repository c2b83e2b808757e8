// Tells the node again and again where the person is, for as long as they are there: what it is told lasts minutes.
import { deletePlace, leavePlace, putPlace, type Whereabouts, worldName } from "../api/friends";
import type { World } from "../api/node";
import type { Session } from "../api/session";
import { addressOf } from "../travel/address";

export const AGAIN_MS = 60_000;

/** There is one of it for a person, so that who leaves one world for another is not taken to have gone. */
export class PlaceLease {
  /** Where they are; null is nowhere. */
  private place: Whereabouts | null = null;
  private due = false;
  private telling = false;
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly session: Session) {
    window.addEventListener("pagehide", () => {
      if (this.place) leavePlace(this.session);
    });
    // A page that was only put aside is where it was.
    window.addEventListener("pageshow", ({ persisted }) => {
      if (persisted && this.place) this.tell();
    });
  }

  begin(place: Whereabouts): void {
    this.place = place;
    this.tell();
    clearInterval(this.timer);
    this.timer = setInterval(() => this.tell(), AGAIN_MS);
  }

  end(): void {
    if (this.place === null) return;
    this.place = null;
    clearInterval(this.timer);
    this.tell();
  }

  private tell(): void {
    this.due = true;
    if (!this.telling) void this.tellAll();
  }

  /** One thing after the other: what is told last has to arrive last. */
  private async tellAll(): Promise<void> {
    this.telling = true;
    while (this.due) {
      this.due = false;
      try {
        await (this.place === null ? deletePlace(this.session) : putPlace(this.place, this.session));
      } catch (error) {
        // It is told again in a minute; what was told before ends by itself.
        console.warn("the node was not told where this is", error);
      }
    }
    this.telling = false;
  }
}

/** What is told of being in a world of a node. */
export function whereabouts(world: World, serverName: string): Whereabouts {
  const { name } = addressOf(world, serverName);
  return { world: name, server: serverName, name: worldName(world.name, name), public: world.public };
}
