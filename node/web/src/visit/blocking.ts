// Tells the node of a visit whom the person blocks from now on, where that node wants to hear it.
import type { BlockBytes } from "../friends/blocks";
import type { ClientFrame } from "../net/codec";

/** A node ends the visit of whoever says it anew more often (specs/social.md); this is twice as long as that. */
export const LEAST_MS = 1_000;

export interface Line {
  readonly isOpen: boolean;
  send(frame: ClientFrame): void;
}

export class Blocking {
  /** Whether the node wants to hear it: that of their home knows it. */
  private wanted = false;
  /** Whom they block otherwise than the node was told. */
  private news: BlockBytes | null = null;
  private toldMs = -Infinity;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly line: () => Line) {}

  /** A ticket is asked for, and the node is told with that. */
  asks(): void {
    this.news = null;
  }

  /** The visit begins, and so does what the node counts. */
  begins(wanted: boolean): void {
    this.wanted = wanted;
    this.toldMs = -Infinity;
  }

  block(blocks: BlockBytes): void {
    this.news = blocks;
    this.tell();
  }

  /** Tells what is to be told, of several in a row the newest. */
  tell(): void {
    const { news, wanted } = this;
    if (!news || !wanted || !this.line().isOpen) return;
    clearTimeout(this.timer);
    const waitMs = this.toldMs + LEAST_MS - performance.now();
    if (waitMs > 0) {
      this.timer = setTimeout(() => this.tell(), waitMs);
      return;
    }
    this.news = null;
    this.toldMs = performance.now();
    this.line().send({ kind: "blocks", ...news });
  }

  dispose(): void {
    this.news = null;
    clearTimeout(this.timer);
  }
}
