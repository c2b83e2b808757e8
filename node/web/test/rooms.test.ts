// What the device makes of the rooms that the node tells of.
import { describe, expect, it } from "vitest";
import { Room } from "../src/device/rooms";
import type { RawEvent } from "../src/device/sync";

const OWN = "@me:n";

const state = (type: string, content: Record<string, unknown>, key = "", sender = "@ann:n"): RawEvent => ({
  type,
  state_key: key,
  sender,
  content,
});
const member = (userId: string, membership: string, displayname?: string): RawEvent =>
  state("m.room.member", { membership, ...(displayname ? { displayname } : {}) }, userId, userId);
const said = (id: string): RawEvent => ({ type: "m.room.message", event_id: id, sender: "@ann:n", content: { body: id } });

describe("a room", () => {
  it("is called as it says, or after those in it", () => {
    const room = new Room("!r");
    room.take({ state: { events: [member(OWN, "join", "Me"), member("@ann:n", "join", "Ann"), member("@eve:n", "leave")] } });
    expect(room.title(OWN)).toBe("Ann");
    room.apply(state("m.room.name", { name: "Garden" }));
    expect(room.title(OWN)).toBe("Garden");
    expect(room.others(OWN)).toEqual(["@ann:n"]);
  });

  it("stays encrypted, whatever is said of it later", () => {
    const room = new Room("!r");
    expect(room.isEncrypted).toBe(false);
    room.apply(state("m.room.encryption", { algorithm: "m.megolm.v1.aes-sha2", rotation_period_msgs: 7 }));
    room.apply(state("m.room.encryption", {}));
    expect(room.isEncrypted && room.encryption.rotation_period_msgs).toBe(7);
  });

  it("takes each event once, and forgets what is before a gap", () => {
    const room = new Room("!r");
    room.take({ state: { events: [member("@ann:n", "join")] }, timeline: { events: [said("$1")], prev_batch: "a" } });
    room.membersKnown = true;
    expect(room.take({ timeline: { events: [said("$1"), said("$2")] } }).fresh).toHaveLength(1);
    const { gap } = room.take({ timeline: { events: [said("$9")], limited: true, prev_batch: "b" } });
    expect([gap, room.events.length, room.before, room.membersKnown]).toEqual([true, 1, "b", false]);
  });

  it("lets those encrypt who have the power", () => {
    const room = new Room("!r");
    room.apply(state("m.room.create", { room_version: "12" }));
    room.apply(state("m.room.power_levels", { users: { "@bob:n": 100 }, events: { "m.room.encryption": 100 } }));
    const may = (userId: string): boolean => room.may(userId, "m.room.encryption");
    expect([may("@ann:n"), may("@bob:n"), may("@eve:n")]).toEqual([true, true, false]);
  });

  it("says who invites, and to what", () => {
    const room = new Room("!r");
    const event = { ...state("m.room.member", { membership: "invite", is_direct: true }, OWN), sender: "@ann:n" };
    room.invited([event], OWN);
    expect([room.membership, room.inviter, room.invitedDirectly]).toEqual(["invite", "@ann:n", true]);
  });
});
