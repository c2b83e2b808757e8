// What somebody says in a world: the way into the room of its chat, and sending as that room is.
import { history, isEncrypted, send } from "../api/chat";
import { t } from "../i18n";
import type { Line } from "./chatlog";
import type { Audience, Visit } from "./visit";

/** Sends what is encrypted, for those whose device can. */
export interface Speaker {
  /** Whether it is known, whatever the node says now, that a room is encrypted. */
  knowsSealed(roomId: string): boolean;
  send(roomId: string, body: string, transaction: string): Promise<string>;
  /** Why something was not sent, in words. */
  words(error: unknown): string;
}

type Heard = Pick<Audience, "chat" | "heard">;

export class Speech {
  /** Null for guests, who have no device. */
  speaker: Speaker | null = null;
  /** Whether the chat is encrypted; null while that is not known. */
  private sealed: boolean | null = null;
  /** The room of the chat, and the way into it. */
  private room: { id: string; joined: Promise<void> } | null = null;

  constructor(
    private readonly visit: Pick<Visit, "host" | "session" | "chat" | "world" | "bubble">,
    private readonly audience: Heard,
  ) {}

  /** Sees to it that the person is in the room of the chat, beside everything else. */
  listen(): void {
    void this.joined().catch(() => {});
  }

  /** Ends when the person is in that room. */
  joined(): Promise<void> {
    const { room_id: id } = this.visit.world;
    if (this.room?.id === id) return this.room.joined;
    const room = { id, joined: this.visit.host.join(id, this.visit.session) };
    this.room = room;
    room.joined.then(
      () => {
        this.audience.heard(null);
        void this.readHistory();
      },
      (error: unknown) => {
        // It is tried again when it is wanted again.
        if (this.room === room) this.room = null;
        console.warn("the room of the chat cannot be joined", error);
        this.audience.heard({ error });
      },
    );
    return room.joined;
  }

  /** Asks for what was said before. */
  async readHistory(): Promise<void> {
    try {
      this.visit.chat.before(await history(this.visit.world.room_id, this.visit.session));
      this.audience.chat(null);
    } catch (error) {
      console.warn("what was said before cannot be read", error);
    }
  }

  /** Says something; the line shows at once, and whether it arrived. */
  async say(body: string): Promise<void> {
    const line = this.visit.chat.saying(body, `w${Date.now().toString(36)}.${Math.random().toString(36).slice(2, 8)}`);
    this.visit.bubble(line, performance.now());
    await this.deliver(line);
  }

  async retry(line: Line): Promise<void> {
    line.state = "sending";
    await this.deliver(line);
  }

  private async deliver(line: Line): Promise<void> {
    this.audience.chat(line);
    try {
      this.visit.chat.confirm(line, await this.post(line));
    } catch (error) {
      // The event may have come by the instance although the answer did not.
      if (line.state === "sending") line.state = "failed";
      line.failure = this.why(error);
      console.warn("a message could not be sent", error);
    }
    this.audience.chat(null);
  }

  /** Sends a line as the chat is: in the clear only where it is known not to be encrypted. */
  private async post(line: Line): Promise<string> {
    const { room_id: roomId, public: open } = this.visit.world;
    const { body, transaction } = line;
    await this.joined();
    // In a private world the device decides, which remembers what was encrypted once; it is waited for.
    if (this.speaker && (!open || this.speaker.knowsSealed(roomId))) {
      return this.speaker.send(roomId, body, transaction ?? "");
    }
    // Encryption is for ever, but may have been switched on a moment ago: that is asked before each line.
    if (!this.sealed) {
      this.sealed = null;
      this.sealed = await isEncrypted(roomId, this.visit.session);
    }
    if (!this.sealed) return send(roomId, body, transaction ?? "", this.visit.session);
    if (!this.speaker) throw new SealedError();
    return this.speaker.send(roomId, body, transaction ?? "");
  }

  private why(error: unknown): string | null {
    // Why they are not in the room stands beside the lines.
    if (this.room === null) return null;
    if (error instanceof SealedError) return t(this.visit.session.guest ? "chat.sealed" : "chat.sealed_here");
    const byDevice = this.speaker !== null && !this.visit.world.public;
    if (this.sealed === null && !byDevice) return t("chat.unknown");
    if (byDevice) return this.speaker?.words(error) ?? null;
    return this.sealed ? (this.speaker?.words(error) ?? null) : null;
  }
}

/** The chat is encrypted, and there is nothing here that could encrypt. */
class SealedError extends Error {
  override name = "SealedError";
}
