// What has been said in a room: history, news and one's own words on their way, in one list.
import type { Doubt, Said, Unreadable } from "../api/chat";
import { localpart } from "../api/session";

export interface Line {
  key: string;
  eventId: string | null;
  transaction: string | null;
  sender: string;
  body: string;
  emote: boolean;
  timeMs: number;
  state: "sent" | "sending" | "failed";
  edited: boolean;
  redacted: boolean;
  /** Whether it came encrypted. */
  sealed: boolean;
  doubt: Doubt | null;
  /** Why its words are not known, where they are not. */
  unreadable: Unreadable | null;
  /** Why it was not sent, in words, where there is more to say than that. */
  failure: string | null;
}

type Needed = "eventId" | "transaction" | "sender" | "body" | "emote" | "timeMs" | "state";

const BLANK = { edited: false, redacted: false, sealed: false, doubt: null, unreadable: null, failure: null };

/** More than this is not kept on the page. */
const MOST_LINES = 300;

export class ChatLog {
  readonly lines: Line[] = [];
  private readonly names = new Map<string, string>();
  /** Whose words are not shown. */
  private hidden: ReadonlySet<string> = new Set();
  private counter = 0;

  constructor(private readonly own: string) {}

  nameOf(userId: string): string {
    return this.names.get(userId) ?? localpart(userId);
  }

  name(userId: string, name: string): void {
    this.names.set(userId, name);
  }

  /** Hides what those people say and have said, and nobody else's words. */
  hide(people: ReadonlySet<string>): void {
    this.hidden = people;
    this.lines.splice(0, this.lines.length, ...this.lines.filter(({ sender }) => !people.has(sender)));
  }

  /** Older lines, before everything that is there. */
  before(history: readonly Said[]): void {
    const [news] = [this.lines.splice(0)];
    for (const said of history) this.take(said);
    for (const line of news) {
      const place = line.eventId ? this.lines.findIndex((other) => other.eventId === line.eventId) : -1;
      if (place < 0) this.lines.push(line);
      // What is read by now stays read, whoever tells of it once more and cannot.
      else if (this.lines[place]?.unreadable) this.lines[place] = line;
    }
  }

  /** Takes an event in; returns the line where it is a new one that somebody said. */
  take(said: Said): Line | null {
    switch (said.kind) {
      case "named":
        this.names.set(said.userId, said.name);
        return null;
      case "redacted":
        this.change(said.eventId, (line) => Object.assign(line, { redacted: true, body: "", unreadable: null }));
        return null;
      case "nothing": {
        const place = this.lines.findIndex((line) => line.eventId === said.eventId && line.unreadable);
        if (place >= 0) this.lines.splice(place, 1);
        return null;
      }
      case "edited":
        this.change(said.eventId, (line) => {
          // Only who said something can say it differently, and nobody can say in the clear that
          // something encrypted was meant otherwise.
          const isTheirs = line.sender === said.sender && (!line.sealed || said.sealed === true);
          if (isTheirs) Object.assign(line, { edited: true, body: said.body });
        });
        return null;
      case "message":
        return this.message(said);
      case "unreadable": {
        const { eventId, sender, timeMs, why } = said;
        const known = this.lines.find((line) => line.eventId === eventId);
        // Where a device has said why, that is why.
        if (known?.unreadable && why !== "no_device") known.unreadable = why;
        if (known) return null;
        const fields = { eventId, transaction: null, sender, body: "", emote: false, timeMs };
        return this.heard({ ...fields, state: "sent", sealed: true, unreadable: why });
      }
    }
  }

  private message(said: Extract<Said, { kind: "message" }>): Line | null {
    const known = this.lines.find((line) => line.eventId === said.eventId);
    const echo = this.lines.find(
      (line) =>
        line.state !== "sent" &&
        said.sender === this.own &&
        (said.transaction ? line.transaction === said.transaction : line.body === said.body),
    );
    if (!known && echo) this.confirm(echo, said.eventId);
    const own = known ?? echo;
    const { sealed = false, doubt = null } = said;
    if (own) {
      if (own.unreadable) Object.assign(own, { body: said.body, emote: said.emote, unreadable: null });
      Object.assign(own, { sealed: own.sealed || sealed, doubt });
      if (own.transaction !== null) {
        own.transaction = null;
        this.lines.splice(this.lines.indexOf(own), 1);
        this.place(own);
      }
      return null;
    }
    const { eventId, sender, body, emote, timeMs } = said;
    return this.heard({ eventId, transaction: null, sender, body, emote, timeMs, state: "sent", sealed, doubt });
  }

  /** Events come in the order of the room: each behind all that have come, and before what has not yet. */
  private place(line: Line): void {
    const last = this.lines.findLastIndex((other) => other.transaction === null);
    this.lines.splice(last + 1, 0, line);
  }

  /** One's own words, before the node has them. */
  saying(body: string, transaction: string): Line {
    const line = { eventId: null, transaction, sender: this.own, body, emote: false };
    return this.push({ ...line, timeMs: Date.now(), state: "sending" });
  }

  confirm(line: Line, eventId: string): void {
    line.eventId = eventId;
    line.state = "sent";
    // The event may have come by the instance before the answer to sending it.
    const twin = this.lines.findIndex((other) => other !== line && other.eventId === eventId);
    if (twin >= 0) this.lines.splice(twin, 1);
  }

  private change(eventId: string, how: (line: Line) => void): void {
    const line = this.lines.find((one) => one.eventId === eventId);
    if (line) how(line);
  }

  /** The line of what somebody else said; null where nobody is to see it. */
  private heard(fields: Pick<Line, Needed> & Partial<Line>): Line | null {
    return this.hidden.has(fields.sender) ? null : this.push(fields);
  }

  private push(fields: Pick<Line, Needed> & Partial<Line>): Line {
    this.counter += 1;
    const line = { ...BLANK, ...fields, key: `${this.counter}` };
    if (line.transaction === null) this.place(line);
    else this.lines.push(line);
    if (this.lines.length > MOST_LINES) this.lines.shift();
    return line;
  }
}
