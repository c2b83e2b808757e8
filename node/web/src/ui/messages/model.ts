// The conversations of a member as a page has them: what the device says, kept for the views.
import type { Said } from "../../api/chat";
import type { Session } from "../../api/session";
import { DeviceLink } from "../../device/link";
import type { MembershipDoors } from "../../membership";
import type { CallName, Calls, Conversation, Overview } from "../../device/protocol";
import { erase } from "../../device/vault";
import { ChatLog, type Line } from "../../visit/chatlog";
import { words } from "./words";

type Watcher = () => void;

/** The list of friends, which has the requests of others and hears from here when there is news of it. */
export interface Befriended {
  watch(watcher: Watcher): () => void;
  heard(of: readonly string[] | null): void;
  /** Whether an invitation that asks to be friends stands there. */
  claims(roomId: string): boolean;
}

/** What is said in one conversation. */
export class Thread {
  readonly log: ChatLog;
  /** Whether older words can be asked for. */
  more = false;
  state: "opening" | "open" | "failed" = "opening";

  constructor(
    readonly roomId: string,
    private readonly messages: Messages,
  ) {
    this.log = new ChatLog(messages.session.userId);
    this.log.name(messages.session.userId, messages.session.name);
    void this.open();
  }

  async open(): Promise<void> {
    try {
      const { said, more } = await this.messages.call("open", this.roomId);
      this.log.before(said);
      this.more = more;
      this.state = "open";
    } catch (error) {
      console.warn("a conversation cannot be opened", error);
      this.state = "failed";
    }
    this.messages.changed();
  }

  /** Asks anew for what was said, where news are missing; what is on its way stays. */
  async reopen(): Promise<void> {
    const { lines } = this.log;
    lines.splice(0, lines.length, ...lines.filter(({ state }) => state !== "sent"));
    await this.open();
  }

  async older(): Promise<void> {
    const { said, more } = await this.messages.call("older", this.roomId);
    this.log.before(said);
    this.more = more;
    this.messages.changed();
  }

  async say(body: string): Promise<void> {
    await this.deliver(this.log.saying(body, crypto.randomUUID()));
  }

  async retry(line: Line): Promise<void> {
    line.state = "sending";
    await this.deliver(line);
  }

  private async deliver(line: Line): Promise<void> {
    this.messages.changed();
    try {
      const { body, transaction } = line;
      this.log.confirm(line, await this.messages.call("send", this.roomId, body, transaction ?? ""));
    } catch (error) {
      // The event may have come although the answer did not.
      if (line.state === "sending") {
        line.state = "failed";
        line.failure = words(error, (userId) => this.log.nameOf(userId));
      }
    }
    this.messages.changed();
  }
}

export class Messages {
  overview: Overview | null = null;
  /** Another tab holds the device, and does not answer. */
  silent = false;
  private readonly link: DeviceLink;
  private readonly threads = new Map<string, Thread>();
  private readonly watchers = new Set<Watcher>();
  private readonly hearers = new Map<string, (said: Said) => void>();
  private announce: () => void = () => {};
  /** When conversations are known. */
  readonly ready = new Promise<void>((resolve) => {
    this.announce = resolve;
  });
  /** Null until that is there, and false where it cannot be. */
  private befriended: Befriended | null | false = null;
  private soon = false;
  private leaving = false;

  constructor(
    readonly session: Session,
    deviceId: string,
    private readonly doors: MembershipDoors,
  ) {
    const { userId, token } = session;
    this.link = new DeviceLink(
      { userId, deviceId, token },
      {
        overview: (overview) => this.take(overview),
        said: (roomId, said, reset) => this.hear(roomId, said, reset),
        friends: (of) => {
          if (this.befriended) this.befriended.heard(of);
        },
        gone: () => {
          if (!this.leaving) void this.gone();
        },
        silent: (yes) => {
          if (yes === this.silent) return;
          this.silent = yes;
          this.changed();
        },
      },
    );
  }

  /** Tells of every change until the returned function is called. */
  watch(watcher: Watcher): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  /** Gives somebody else what is said in a room too, as to the world that it belongs to. */
  hearIn(roomId: string, hearer: (said: Said) => void): () => void {
    this.hearers.set(roomId, hearer);
    return () => this.hearers.delete(roomId);
  }

  /** Views are drawn once for all that changes at a time, and between frames of the world. */
  changed(): void {
    if (this.soon) return;
    this.soon = true;
    setTimeout(() => {
      this.soon = false;
      for (const watcher of [...this.watchers]) watcher();
    });
  }

  /** Leaves it to the list of friends to show who asks; null where there is none. */
  befriend(friends: Befriended | null): void {
    if (this.befriended === friends) return;
    this.befriended = friends ?? false;
    friends?.watch(() => this.changed());
    this.changed();
  }

  private take(overview: Overview): void {
    this.overview = overview;
    if (overview.phase === "ready") this.announce();
    this.changed();
  }

  private hear(roomId: string, said: Said[], reset: boolean): void {
    const hearer = this.hearers.get(roomId);
    if (hearer) said.forEach(hearer);
    const thread = this.threads.get(roomId);
    if (thread && reset) void thread.reopen();
    else if (thread) for (const one of said) thread.log.take(one);
    this.changed();
  }

  /** Asks the device, once it knows anything. */
  async call<K extends CallName>(call: K, ...args: Parameters<Calls[K]>): Promise<ReturnType<Calls[K]>> {
    if (call !== "erase") await this.ready;
    return this.link.call(call, ...args);
  }

  /** Those that are listed: worlds that anybody may enter have their chat where they are. */
  get conversations(): Conversation[] {
    const all = this.overview?.conversations ?? [];
    const shown = all.filter(({ kind, shield, membership }) => kind !== "world" || membership === "invite" || shield !== "open");
    return shown.filter((one) => !this.isRequest(one));
  }

  /** Whether it is in the list of friends that this is answered. */
  private isRequest({ asksFriend, roomId }: Conversation): boolean {
    if (!asksFriend || this.befriended === false) return false;
    return this.befriended?.claims(roomId) ?? true;
  }

  /** Which worlds the person is in or invited to, and how those are kept; null until that is known. */
  get worldsPrint(): string | null {
    if (this.overview?.phase !== "ready") return null;
    const worlds = this.overview.conversations.filter(({ kind }) => kind === "world");
    const prints = worlds.map(({ roomId, membership, shield }) => [roomId, membership, shield === "open", shield === "plain"].join());
    return prints.sort().join(" ");
  }

  conversation(roomId: string): Conversation | null {
    return this.overview?.conversations.find((one) => one.roomId === roomId) ?? null;
  }

  thread(roomId: string): Thread {
    const known = this.threads.get(roomId);
    if (known && known.state !== "failed") return known;
    const thread = new Thread(roomId, this);
    this.threads.set(roomId, thread);
    return thread;
  }

  /** How much waits for the person, but for what is said in one room. */
  waiting(except: string | null): number {
    const { flows = [], signIns = [] } = this.overview ?? {};
    const listed = this.conversations.filter(({ roomId }) => roomId !== except);
    const unread = listed.reduce((sum, { unread: own, membership }) => sum + (membership === "invite" ? 1 : own), 0);
    return unread + flows.filter(({ stage }) => stage === "asked").length + signIns.length;
  }

  /** Of what came last and was not read, whom it is from; empty where there is nothing of that kind. */
  get newest(): string {
    return this.conversations.find(({ unread, membership }) => unread > 0 || membership === "invite")?.name ?? "";
  }

  /** Deletes everything that the device keeps here. */
  async erase(): Promise<void> {
    this.leaving = true;
    try {
      await this.link.call("erase");
    } finally {
      await this.end();
    }
  }

  private async gone(): Promise<void> {
    this.leaving = true;
    this.doors.gone();
    await this.end();
  }

  private async end(): Promise<void> {
    this.close();
    const { userId, deviceId } = this.link.identity;
    await erase(userId, deviceId);
  }

  close(): void {
    this.watchers.clear();
    this.link.close();
  }

  /** Lets the person sign in anew, where this sign-in has lost its keys. */
  signInAgain(): void {
    this.doors.signOut();
  }
}
