// The way to an instance: asks for a ticket, opens the socket, and comes again when it breaks.
import { BrokenFrame } from "./bytes";
import { type ClientFrame, decode, encode, NEVER, type NodeFrame } from "./codec";

const FIRST_WAIT_MS = 250;
/** For a minute or so a node is expected back at any moment, as after a new version of it. */
const QUICK_WAIT_MS = 1_500;
const QUICK_ATTEMPTS = 40;
const LONGEST_WAIT_MS = 8_000;
const PING_MS = 2_000;
/** A socket on which nothing comes for so long is taken to be dead. */
const SILENCE_MS = 8_000;
const WELCOME_MS = 10_000;

/** Where a ticket is good, as a whole address of the web. */
export interface Door {
  ticket: string;
  url: string;
}

export type State =
  | { kind: "connecting" }
  | { kind: "open" }
  | { kind: "waiting"; untilMs: number; attempt: number; reason: number | null; error: unknown }
  | { kind: "over"; reason: number | null; error: unknown };

export interface Listener {
  /** Asks for a new ticket; an error that says so ends the connection for good. */
  door(): Promise<Door>;
  /** Whether there is no use in trying again, and otherwise how long to wait at least. */
  verdict(error: unknown): { over: boolean; waitMs: number };
  frame(frame: NodeFrame): void;
  state(state: State): void;
}

export class Connection {
  private socket: WebSocket | null = null;
  private attempt = 0;
  private heardMs = 0;
  private beatMs = performance.now();
  private nonce = 0;
  private pingedMs = 0;
  private welcomed = false;
  private bye: { reason: number; againMs: number } | null = null;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private readonly pulse: ReturnType<typeof setInterval>;
  private ended = false;
  roundTripMs = 0;

  constructor(private readonly listener: Listener) {
    this.pulse = setInterval(() => this.beat(), PING_MS);
    void this.open();
  }

  get isOpen(): boolean {
    return this.welcomed && this.socket?.readyState === WebSocket.OPEN;
  }

  send(frame: ClientFrame): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(encode(frame));
  }

  /** Leaves at once, for ever. */
  leave(): void {
    this.send({ kind: "go" });
    this.end();
  }

  /** Does not wait any longer. */
  again(): void {
    if (this.ended || this.socket) return;
    if (this.timer) clearTimeout(this.timer);
    void this.open();
  }

  /** Begins the visit anew without a pause, as after something about the person has changed; throws where that is refused. */
  async renew(): Promise<void> {
    const { socket } = this;
    if (this.ended || !this.isOpen) return;
    const door = await this.listener.door();
    // What broke meanwhile comes again by itself.
    if (this.ended || this.socket !== socket) return;
    this.send({ kind: "go" });
    this.drop();
    this.enter(door);
  }

  private end(): void {
    this.ended = true;
    clearInterval(this.pulse);
    if (this.timer) clearTimeout(this.timer);
    this.drop();
  }

  private drop(): void {
    const { socket } = this;
    this.socket = null;
    this.welcomed = false;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    socket.close();
  }

  private async open(): Promise<void> {
    this.timer = null;
    this.bye = null;
    this.listener.state({ kind: "connecting" });
    let door: Door;
    try {
      door = await this.listener.door();
    } catch (error) {
      this.failed(null, error);
      return;
    }
    if (!this.ended) this.enter(door);
  }

  private enter(door: Door): void {
    const socket = new WebSocket(door.url.replace(/^http/, "ws"));
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    this.heardMs = performance.now() + WELCOME_MS - SILENCE_MS;
    socket.onopen = () => socket.send(encode({ kind: "hello", ticket: door.ticket }));
    socket.onmessage = (message: MessageEvent<ArrayBuffer>) => this.hear(message.data);
    socket.onclose = () => this.failed(this.bye, null);
  }

  private hear(data: ArrayBuffer): void {
    this.heardMs = performance.now();
    let frame: NodeFrame;
    try {
      frame = decode(new Uint8Array(data));
    } catch (error) {
      if (!(error instanceof BrokenFrame)) throw error;
      console.warn("a frame of the node cannot be read", error);
      return;
    }
    if (frame.kind === "bye") {
      this.bye = { reason: frame.reason, againMs: frame.againMs };
      this.failed(this.bye, null);
      return;
    }
    if (frame.kind === "pong" && frame.nonce === this.nonce) {
      this.roundTripMs = this.heardMs - this.pingedMs;
    }
    if (frame.kind === "welcome") {
      this.attempt = 0;
      this.welcomed = true;
      this.listener.state({ kind: "open" });
    }
    this.listener.frame(frame);
  }

  private beat(): void {
    const nowMs = performance.now();
    // A page that stood still could not hear: that is no silence of the node.
    if (nowMs - this.beatMs > PING_MS * 1.5) this.heardMs = Math.max(this.heardMs, nowMs - PING_MS);
    this.beatMs = nowMs;
    if (!this.socket) return;
    if (nowMs - this.heardMs > SILENCE_MS) {
      this.failed(null, null);
      return;
    }
    if (!this.isOpen) return;
    this.nonce = (this.nonce + 1) >>> 0;
    this.pingedMs = performance.now();
    this.send({ kind: "ping", nonce: this.nonce });
  }

  private failed(bye: { reason: number; againMs: number } | null, error: unknown): void {
    if (this.ended) return;
    this.drop();
    const reason = bye?.reason ?? null;
    const verdict = error ? this.listener.verdict(error) : { over: false, waitMs: 0 };
    if (bye?.againMs === NEVER || verdict.over) {
      this.end();
      this.listener.state({ kind: "over", reason, error });
      return;
    }
    const longest = this.attempt < QUICK_ATTEMPTS ? QUICK_WAIT_MS : LONGEST_WAIT_MS;
    const backoff = Math.min(longest, FIRST_WAIT_MS * 2 ** this.attempt);
    // Everybody who lost the same node must not come back in the same moment.
    const waitMs = Math.max(backoff * (0.75 + Math.random() * 0.5), bye?.againMs ?? 0, verdict.waitMs);
    this.attempt += 1;
    const { attempt } = this;
    this.listener.state({ kind: "waiting", untilMs: Date.now() + waitMs, attempt, reason, error });
    this.timer = setTimeout(() => void this.open(), waitMs);
  }
}
