// The friends of a member as a page has them: asked for when there is news, and kept for the views.
import { befriend, block, type Blocked, blocks, type Friend, friends, type Friends as Known, setAudience, type Audience, type Standing, unblock, unfriend } from "../api/friends";
import { ApiError } from "../api/http";
import type { Session } from "../api/session";
import { type BlockBytes, blockBytes } from "./blocks";
import { PlaceLease } from "./place";
import { type Parts, partsOf } from "./sorting";

/** However much news there is, the node is asked no more often than this. */
export const LEAST_MS = 2_000;
/** Who looks at them sees what no news has told of. */
export const LOOK_MS = 60_000;
const RETRY_MS = 5_000;

type Watcher = () => void;

export class Friends {
  /** What is known; null is nothing yet. */
  known: Known | null = null;
  /** Why they are not known, where they could not be asked for. */
  trouble: unknown = null;
  readonly place: PlaceLease;
  private readonly watchers = new Set<Watcher>();
  private readonly blockWatchers = new Set<(blocks: BlockBytes) => void>();
  /** The panels in which somebody sees them. */
  private readonly lookers = new Set<object>();
  /** Rooms of invitations that say they are requests, of which it is not known yet whether they are. */
  private doubtful = new Set<string>();
  /** Those that are none. */
  private readonly unlisted = new Set<string>();
  private looking: ReturnType<typeof setInterval> | undefined;
  private resting: ReturnType<typeof setTimeout> | null = null;
  private askedMs = -Infinity;
  private asking: Promise<void> | null = null;

  constructor(readonly session: Session) {
    this.place = new PlaceLease(session);
    void this.ask();
  }

  /** Tells of every change until the returned function is called. */
  watch(watcher: Watcher): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  /** Tells a visit elsewhere whom the person blocks from now on. */
  watchBlocks(watcher: (blocks: BlockBytes) => void): () => void {
    this.blockWatchers.add(watcher);
    return () => this.blockWatchers.delete(watcher);
  }

  /** Somebody looks at them, or no longer does. */
  look(where: object, yes: boolean): void {
    if (yes === this.lookers.has(where)) return;
    if (yes) this.lookers.add(where);
    else this.lookers.delete(where);
    clearInterval(this.looking);
    if (this.lookers.size === 0) return;
    this.looking = setInterval(() => this.heard(), LOOK_MS);
    if (yes) this.heard();
  }

  /** Whether somebody looks at them. */
  get isSeen(): boolean {
    return this.lookers.size > 0;
  }

  get parts(): Parts {
    return partsOf(this.known?.friends ?? []);
  }

  get blocked(): readonly Blocked[] {
    return this.known?.blocked ?? [];
  }

  /** How many ask the person. */
  get requests(): number {
    return this.known?.friends.filter(({ standing }) => standing === "asking").length ?? 0;
  }

  of(userId: string): Friend | null {
    return this.known?.friends.find((one) => one.userId === userId) ?? null;
  }

  isBlocked(userId: string): boolean {
    return this.blocked.some((one) => one.userId === userId);
  }

  /** There is news: of those people, or of anybody where that is not said. */
  heard(of: readonly string[] | null = null): void {
    if (of !== null && !of.some((userId) => this.of(userId))) return;
    const restMs = this.askedMs + LEAST_MS - Date.now();
    this.resting ??= setTimeout(() => {
      this.resting = null;
      void this.ask();
    }, Math.max(0, restMs));
  }

  /** Whether an invitation is a request that is listed here. One of which the node knows nothing is none. */
  claims(roomId: string): boolean {
    if (this.known === null) return this.trouble === null;
    if (this.lists(roomId)) return true;
    if (this.unlisted.has(roomId)) return false;
    // It has just come: the node is asked of it first.
    this.doubtful.add(roomId);
    this.heard();
    return true;
  }

  private lists(roomId: string): boolean {
    return this.known?.friends.some((one) => one.roomId === roomId) ?? false;
  }

  /** Asks for them now. */
  async ask(): Promise<void> {
    // What was asked for before something changed may not know of it yet.
    await this.asking;
    this.asking ??= this.fetch().finally(() => {
      this.asking = null;
    });
    await this.asking;
  }

  private async fetch(): Promise<void> {
    this.askedMs = Date.now();
    const [old, doubtful] = [this.known, this.doubtful];
    this.doubtful = new Set();
    try {
      this.known = await friends(this.session);
      this.trouble = null;
      for (const roomId of doubtful) if (!this.lists(roomId)) this.unlisted.add(roomId);
    } catch (error) {
      // What was known before is shown still.
      this.trouble = error;
      console.warn("friends are not known", error);
    }
    if (old && this.known && printOf(old) !== printOf(this.known)) void this.tellBlocks();
    for (const watcher of [...this.watchers]) watcher();
  }

  private async tellBlocks(): Promise<void> {
    if (this.blockWatchers.size === 0) return;
    try {
      const said = await blocks(this.session);
      const fresh = said && blockBytes(said);
      if (fresh) for (const watcher of [...this.blockWatchers]) watcher(fresh);
    } catch (error) {
      console.warn("another node was not told who is blocked", error);
      setTimeout(() => void this.tellBlocks(), RETRY_MS);
    }
  }

  async befriend(userId: string, message = ""): Promise<Standing> {
    const standing = await befriend(userId, message, this.session);
    await this.ask();
    return standing;
  }

  async end(userId: string): Promise<void> {
    try {
      await unfriend(userId, this.session);
    } catch (error) {
      // They have ended it themselves meanwhile.
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
    }
    await this.ask();
  }

  async block(userId: string): Promise<void> {
    await block(userId, this.session);
    await this.ask();
  }

  async unblock(userId: string): Promise<void> {
    await unblock(userId, this.session);
    await this.ask();
  }

  async tell(to: Audience): Promise<void> {
    await setAudience(to, this.session);
    if (this.known) this.known = { ...this.known, tell: to };
    await this.ask();
  }
}

const printOf = ({ blocked }: Known): string => blocked.map(({ userId }) => userId).sort().join(" ");
