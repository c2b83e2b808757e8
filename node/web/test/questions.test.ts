// Which questions of a closed page's time still stand.
import { describe, expect, it } from "vitest";
import { isFresh, shownUntil, standing } from "../src/device/questions";
import type { RawEvent } from "../src/device/sync";

const OWN = { userId: "@me:n", deviceId: "HERE" };
const NOW = 1_000 * 60_000;
const minutes = (count: number): number => count * 60_000;

const asks = (id: string, agoMs = 1_000, more: object = {}, sender = "@ann:n"): RawEvent => ({
  type: "m.room.message",
  event_id: id,
  sender,
  origin_server_ts: NOW - agoMs,
  content: { msgtype: "m.key.verification.request", from_device: "PHONE", to: "@me:n", ...more },
});
const answers = (id: string, kind: string, sender: string, device = "ELSEWHERE"): RawEvent => ({
  type: `m.key.verification.${kind}`,
  event_id: `${id}-${kind}`,
  sender,
  origin_server_ts: NOW,
  content: { from_device: device, "m.relates_to": { rel_type: "m.reference", event_id: id } },
});
const open = (...events: RawEvent[]): (string | undefined)[] => standing(events, OWN, NOW).open.map((one) => one.event_id);
const brokenOff = (...events: RawEvent[]): string[] => standing(events, OWN, NOW).brokenOff;

describe("a question that came while no page was open", () => {
  it("stands for ten minutes, by a clock that is not far ahead", () => {
    expect(open(asks("$1"), asks("$2", minutes(10)), asks("$3", minutes(10) + 1))).toEqual(["$1", "$2"]);
    expect(open(asks("$1", -minutes(5)), asks("$2", -minutes(5) - 1))).toEqual(["$1"]);
    expect([isFresh(NOW - minutes(11), NOW), isFresh(NOW, NOW)]).toEqual([false, true]);
  });

  it("is shown for two minutes, and never beyond its time", () => {
    expect(shownUntil(NOW, NOW)).toBe(NOW + minutes(2));
    expect(shownUntil(NOW - minutes(9), NOW)).toBe(NOW + minutes(1));
  });

  it("is over when one of the two ends it, and nobody else can", () => {
    for (const kind of ["cancel", "done"]) {
      expect(open(asks("$1"), answers("$1", kind, "@ann:n"))).toEqual([]);
      expect(open(asks("$1"), answers("$1", kind, "@eve:n"))).toEqual(["$1"]);
      expect(open(asks("$1"), answers("$2", kind, "@ann:n"))).toEqual(["$1"]);
    }
  });

  it("is another device's where that has answered, and somebody else's where they are asked", () => {
    expect(open(asks("$1"), answers("$1", "ready", "@me:n"))).toEqual([]);
    expect(brokenOff(asks("$1"), answers("$1", "ready", "@me:n"))).toEqual([]);
    expect(open(asks("$1", 0, { to: "@bob:n" }), asks("$2", 0, { to: 7 }))).toEqual([]);
  });

  it("was broken off where this device had begun with it", () => {
    expect(brokenOff(asks("$1"), answers("$1", "ready", "@me:n", "HERE"))).toEqual(["$1"]);
    const mine = asks("$1", 0, { to: "@ann:n", from_device: "HERE" }, "@me:n");
    expect([brokenOff(mine), open(mine)]).toEqual([["$1"], []]);
    expect(brokenOff(mine, answers("$1", "cancel", "@me:n", "HERE"))).toEqual([]);
    expect(brokenOff(asks("$1", 0, { to: "@ann:n" }, "@me:n"))).toEqual([]);
  });
});
