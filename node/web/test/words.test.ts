// Texts in every language, what is read from rooms, and what names become.
import { describe, expect, it } from "vitest";
import { readEvent } from "../src/api/chat";
import { fullAlias, shortAlias } from "../src/api/node";
import { invitationOf, usernameOf } from "../src/api/session";
import accountDe from "../src/i18n/account.de.json";
import accountEn from "../src/i18n/account.en.json";
import badgesDe from "../src/i18n/badges.de.json";
import badgesEn from "../src/i18n/badges.en.json";
import de from "../src/i18n/de.json";
import en from "../src/i18n/en.json";
import identityDe from "../src/i18n/identity.de.json";
import identityEn from "../src/i18n/identity.en.json";
import membersDe from "../src/i18n/members.de.json";
import membersEn from "../src/i18n/members.en.json";
import passkeysDe from "../src/i18n/passkeys.de.json";
import passkeysEn from "../src/i18n/passkeys.en.json";
import presentDe from "../src/i18n/present.de.json";
import presentEn from "../src/i18n/present.en.json";
import signInDe from "../src/i18n/sign-in.de.json";
import signInEn from "../src/i18n/sign-in.en.json";
import travelDe from "../src/i18n/travel.de.json";
import travelEn from "../src/i18n/travel.en.json";
import { ChatLog } from "../src/visit/chatlog";

const gaps = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(([gap]) => gap).sort();

describe("languages", () => {
  it.each<[string, Record<string, string>, Record<string, string>]>([
    ["for everybody", en, de],
    ["for accounts", accountEn, accountDe],
    ["for who is given something", badgesEn, badgesDe],
    ["for who looks after who they are", identityEn, identityDe],
    ["for members", membersEn, membersDe],
    ["for ways in", passkeysEn, passkeysDe],
    ["for who shows who they are", presentEn, presentDe],
    ["for who signs in", signInEn, signInDe],
    ["for who goes to other nodes", travelEn, travelDe],
  ])("all say the same things with the same gaps, %s", (_, english, german) => {
    expect(Object.keys(german)).toEqual(Object.keys(english));
    for (const [key, text] of Object.entries(english)) expect(gaps(german[key] ?? ""), key).toEqual(gaps(text));
  });

  it("keep apart what only members read", () => {
    expect(Object.keys(membersEn).filter((key) => key in en)).toEqual([]);
    const names = [membersEn, membersDe].map((texts) => texts["verify.emoji_names"].split("|").length);
    expect(names).toEqual([64, 64]);
  });
});

describe("names and links", () => {
  it("become what accounts may be called", () => {
    expect(usernameOf(" Zoé Müller! ")).toBe("zoe_muller");
    expect(invitationOf("https://node.example/join/abc-DEF/ ")).toBe("abc-DEF");
    expect(invitationOf("abc-DEF")).toBe("abc-DEF");
  });

  it("leave the own node out of addresses", () => {
    expect(shortAlias("#plaza:node.example", "node.example")).toBe("plaza");
    expect(shortAlias("#plaza:other.example", "node.example")).toBe("plaza:other.example");
    expect(fullAlias("plaza", "node.example")).toBe("#plaza:node.example");
    expect(fullAlias("!room", "node.example")).toBe("!room");
  });
});

const message = (eventId: string, body: string, more: object = {}): unknown => ({
  type: "m.room.message",
  event_id: eventId,
  sender: "@ann:n",
  content: { msgtype: "m.text", body },
  ...more,
});

describe("the chat", () => {
  const take = (log: ChatLog, event: unknown): unknown => {
    const said = readEvent(event);
    return said && log.take(said);
  };

  it("reads messages, edits by their author, and redactions", () => {
    const log = new ChatLog("@me:n");
    take(log, message("$1", "helo"));
    const edit = { "m.new_content": { body: "hello" }, "m.relates_to": { rel_type: "m.replace", event_id: "$1" } };
    take(log, { ...(message("$2", "") as object), sender: "@eve:n", content: edit });
    expect(log.lines[0]?.body).toBe("helo");
    take(log, { ...(message("$3", "") as object), content: edit });
    expect(log.lines[0]?.body).toBe("hello");
    take(log, { type: "m.room.redaction", event_id: "$4", redacts: "$1" });
    expect(log.lines[0]).toMatchObject({ redacted: true, body: "" });
  });

  it("shows one's own words once, whichever answer comes first", () => {
    const log = new ChatLog("@ann:n");
    const first = log.saying("hi", "t1");
    take(log, message("$1", "hi"));
    log.confirm(first, "$1");
    expect(log.lines).toHaveLength(1);
    const second = log.saying("again", "t2");
    log.confirm(second, "$2");
    take(log, message("$2", "again"));
    expect(log.lines).toHaveLength(2);
  });

  it("puts history before what has been said since", () => {
    const log = new ChatLog("@me:n");
    take(log, message("$2", "news"));
    const said = [message("$1", "old"), message("$2", "news")].map(readEvent).filter((one) => one !== null);
    log.before(said);
    expect(log.lines.map(({ body }) => body)).toEqual(["old", "news"]);
  });

  it("ignores what it does not know", () => {
    for (const event of [null, 3, {}, { type: "m.room.message" }, message("$1", "x", { content: {} })]) {
      expect(readEvent(event)).toBeNull();
    }
  });
});
