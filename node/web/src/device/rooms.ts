// What the device knows of rooms: who is in them, what they are called, what was said last.
import { localpart } from "../api/session";
import { FRIEND } from "./friends";
import { nodeOfWorld, WORLD } from "./invitation";
import type { JoinedRoom, RawEvent } from "./sync";

export interface Member {
  membership: string;
  name: string;
}

/** As many events of a room are kept here; older ones are asked for again. */
const MOST_EVENTS = 300;
/** What of a room's state is of use here. */
const KEPT = new Set([
  "m.room.create",
  "m.room.name",
  "m.room.canonical_alias",
  "m.room.join_rules",
  "m.room.encryption",
  "m.room.power_levels",
  "m.room.history_visibility",
  "m.room.tombstone",
]);

export class Room {
  membership: "join" | "invite" = "join";
  /** In the order of the room. */
  events: RawEvent[] = [];
  /** Where to ask for what came before; null where nothing did. */
  before: string | null = null;
  unread = 0;
  /** Whether something was unread before the last news. */
  hadUnread = false;
  readonly members = new Map<string, Member>();
  /** Whether those are all, and not just those who speak. */
  membersKnown = false;
  /** The event by which it became encrypted, as far as that is known. */
  private sealedBy: string | null = null;
  private readonly state = new Map<string, RawEvent>();
  private heroes: string[] = [];
  private invitation: RawEvent | null = null;
  /** Who says in their invitation that they ask to be friends. */
  private asker: string | null = null;
  /** The server name of the node on which it is, where it is a world to which the person is invited. */
  worldServer: string | null = null;

  constructor(readonly roomId: string) {}

  /** Takes what is new; returns the events of the timeline that are, and whether there is a gap before them. */
  take(news: JoinedRoom): { fresh: RawEvent[]; gap: boolean } {
    this.membership = "join";
    const { state, timeline, summary, unread_notifications: unread } = news;
    if (summary?.["m.heroes"]) this.heroes = summary["m.heroes"];
    this.hadUnread = this.unread > 0;
    if (unread) this.unread = unread.notification_count ?? 0;
    const gap = timeline?.limited === true;
    if (gap) {
      // Whoever came or went meanwhile and has said nothing is not told of.
      this.members.clear();
      this.membersKnown = false;
    }
    for (const event of state?.events ?? []) this.apply(event);
    if (gap || this.events.length === 0) {
      this.events = [];
      this.before = timeline?.prev_batch ?? null;
    }
    const known = new Set(this.events.map((event) => event.event_id));
    const fresh = (timeline?.events ?? []).filter((event) => !known.has(event.event_id));
    for (const event of fresh) this.apply(event);
    this.events = [...this.events, ...fresh].slice(-MOST_EVENTS);
    return { fresh, gap };
  }

  invited(state: readonly RawEvent[], own: string): void {
    this.membership = "invite";
    for (const event of state) {
      this.apply(event);
      if (event.type === "m.room.member" && event.state_key === own) this.invitation = event;
      if (event.type === FRIEND && event.sender === event.state_key) this.asker = event.sender ?? null;
    }
    this.worldServer = this.isWorld ? nodeOfWorld(state, own) : null;
  }

  apply(event: RawEvent): void {
    const { type, state_key: key, content } = event;
    if (key === undefined) return;
    if (type === "m.room.member") {
      const name = typeof content.displayname === "string" ? content.displayname : localpart(key);
      this.members.set(key, { membership: String(content.membership), name });
    } else if (key === "" && KEPT.has(type)) {
      if (type === "m.room.encryption") this.sealedBy ??= event.event_id ?? null;
      // What is encrypted stays so, whatever a node says later.
      if (type !== "m.room.encryption" || !this.isEncrypted) this.state.set(type, event);
    }
  }

  private content(type: string): Record<string, unknown> {
    return this.state.get(type)?.content ?? {};
  }

  get isEncrypted(): boolean {
    return this.state.has("m.room.encryption");
  }

  /** Whether an event stands before the one by which the room became encrypted: it could not be otherwise. */
  isBeforeEncryption(event: RawEvent): boolean {
    const place = this.events.findIndex(({ event_id: id }) => id !== undefined && id === this.sealedBy);
    return place >= 0 && this.events.slice(0, place).some(({ event_id: id }) => id === event.event_id);
  }

  get encryption(): Record<string, unknown> {
    return this.content("m.room.encryption");
  }

  get isWorld(): boolean {
    return this.content("m.room.create").type === WORLD;
  }

  get isSpace(): boolean {
    return this.content("m.room.create").type === "m.space";
  }

  /** Whether somebody may come in without being asked. */
  get isOpen(): boolean {
    return this.content("m.room.join_rules").join_rule === "public";
  }

  get historyVisibility(): string {
    return String(this.content("m.room.history_visibility").history_visibility ?? "shared");
  }

  nameOf(userId: string): string {
    return this.members.get(userId)?.name ?? localpart(userId);
  }

  /** Those who read what is said, but for the person. */
  others(own: string): string[] {
    return this.withMembership(["join", "invite"]).filter((userId) => userId !== own);
  }

  withMembership(which: readonly string[]): string[] {
    return [...this.members].filter(([, { membership }]) => which.includes(membership)).map(([userId]) => userId);
  }

  /** What the room is called, or else after whom (client-server API, calculating the display name). */
  title(own: string): string {
    const { name } = this.content("m.room.name");
    if (typeof name === "string" && name !== "") return name;
    const { alias } = this.content("m.room.canonical_alias");
    if (typeof alias === "string") return alias;
    const members = this.others(own);
    const named = members.length > 0 ? members : this.heroes.length > 0 ? this.heroes : [...this.members.keys()];
    const names = named.filter((userId) => userId !== own).map((userId) => this.nameOf(userId));
    return names.slice(0, 3).join(", ");
  }

  /** Whether somebody has the power to set that state. */
  may(userId: string, type: string): boolean {
    const { users, users_default: common, events, state_default: least } = this.content("m.room.power_levels") as {
      users?: Record<string, number>;
      users_default?: number;
      events?: Record<string, number>;
      state_default?: number;
    };
    return this.isCreator(userId) || (users?.[userId] ?? common ?? 0) >= (events?.[type] ?? least ?? 50);
  }

  /** From version 12 on whoever made a room may do everything in it, and stands in no list. */
  private isCreator(userId: string): boolean {
    const create = this.state.get("m.room.create");
    if (!create || Number(create.content.room_version) < 12) return false;
    const more = create.content.additional_creators;
    return create.sender === userId || (Array.isArray(more) && more.includes(userId));
  }

  get inviter(): string | null {
    return this.invitation?.sender ?? null;
  }

  /** Whether whoever invites asks to be friends. */
  get asksFriend(): boolean {
    return this.inviter !== null && this.asker === this.inviter;
  }

  /** Whether the invitation is to a direct conversation. */
  get invitedDirectly(): boolean {
    return this.invitation?.content.is_direct === true;
  }
}
