// One's own words among those of others: once, and in the order of the room.
import { describe, expect, it } from "vitest";
import { ChatLog } from "../src/visit/chatlog";

const OWN = "@ann:a.test";

function said(eventId: string, sender: string, body: string, transaction: string | null = null) {
  return { kind: "message" as const, eventId, sender, body, emote: false, timeMs: 0, transaction };
}

const shown = (log: ChatLog) => log.lines.map(({ body, state }) => `${body} ${state}`);

describe("the log", () => {
  it("shows a line at once, and puts it where the room has it", () => {
    const log = new ChatLog(OWN);
    log.saying("mine", "t1");
    log.take(said("$1", "@bob:a.test", "theirs"));
    expect(shown(log)).toEqual(["theirs sent", "mine sending"]);
    expect(log.take(said("$2", OWN, "mine", "t1"))).toBeNull();
    expect(shown(log)).toEqual(["theirs sent", "mine sent"]);
  });

  it("leaves what is still on its way at the end, in the order in which it was said", () => {
    const log = new ChatLog(OWN);
    log.saying("one", "t1");
    log.saying("two", "t2");
    log.take(said("$1", "@bob:a.test", "theirs"));
    log.take(said("$2", OWN, "one", "t1"));
    expect(shown(log)).toEqual(["theirs sent", "one sent", "two sending"]);
    log.take(said("$3", OWN, "two", "t2"));
    log.take(said("$2", OWN, "one", "t1"));
    expect(shown(log)).toEqual(["theirs sent", "one sent", "two sent"]);
  });

  it("keeps a line once when the answer comes before the event", () => {
    const log = new ChatLog(OWN);
    const line = log.saying("mine", "t1");
    log.confirm(line, "$2");
    log.take(said("$1", "@bob:a.test", "theirs"));
    log.take(said("$2", OWN, "mine", "t1"));
    expect(shown(log)).toEqual(["theirs sent", "mine sent"]);
  });

  it("keeps a line once when the event comes before the answer", () => {
    const log = new ChatLog(OWN);
    const line = log.saying("mine", "t1");
    log.take(said("$1", OWN, "mine"));
    log.confirm(line, "$1");
    expect(shown(log)).toEqual(["mine sent"]);
  });

  it("keeps what a device has read or said of a line, when the page hears of it without one", () => {
    const log = new ChatLog(OWN);
    const sealed = (eventId: string, why: "no_device" | "withheld") =>
      ({ kind: "unreadable", eventId, sender: "@bob:a.test", timeMs: 0, why }) as const;
    log.before([said("$1", "@bob:a.test", "words"), sealed("$2", "withheld")]);
    log.before([sealed("$1", "no_device"), sealed("$2", "no_device"), sealed("$3", "no_device")]);
    log.take(sealed("$2", "no_device"));
    expect(shown(log)[0]).toBe("words sent");
    expect(log.lines.map(({ unreadable }) => unreadable)).toEqual([null, "withheld", "no_device"]);
  });

  it("puts older lines before what is there", () => {
    const log = new ChatLog(OWN);
    log.take(said("$2", "@bob:a.test", "later"));
    log.before([said("$1", "@bob:a.test", "earlier"), said("$2", "@bob:a.test", "later")]);
    expect(shown(log)).toEqual(["earlier sent", "later sent"]);
  });

  it("puts words in the place of what could not be read, and takes it away where it is not for people", () => {
    const log = new ChatLog(OWN);
    const sealed = (eventId: string) =>
      ({ kind: "unreadable", eventId, sender: "@bob:a.test", timeMs: 0, why: "waiting" }) as const;
    log.take(sealed("$1"));
    log.take(sealed("$2"));
    expect(log.lines.map(({ unreadable }) => unreadable)).toEqual(["waiting", "waiting"]);
    expect(log.take({ ...said("$1", "@bob:a.test", "late"), sealed: true })).toBeNull();
    log.take({ kind: "nothing", eventId: "$2" });
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toMatchObject({ body: "late", unreadable: null, sealed: true });
  });

  it("believes no edit in the clear of what came encrypted", () => {
    const log = new ChatLog(OWN);
    log.take({ ...said("$1", "@bob:a.test", "true"), sealed: true });
    const edit = { kind: "edited", eventId: "$1", sender: "@bob:a.test", body: "false" } as const;
    log.take(edit);
    expect(log.lines[0]?.body).toBe("true");
    log.take({ ...edit, body: "truer", sealed: true });
    expect(log.lines[0]?.body).toBe("truer");
  });
});
