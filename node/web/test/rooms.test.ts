// What the device makes of the rooms that the node tells of.
import { describe, expect, it } from "vitest";
import { nodeOfWorld, WORLD } from "../src/device/invitation";
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

  it("says on which node it is, where it is a world to which the person is invited", () => {
    const invitation = state("m.room.member", { membership: "invite" }, OWN, "@ann:b");
    const invited = (type: string | undefined): Room => {
      const room = new Room("!r");
      room.invited([state("m.room.create", type ? { type } : {}, "", "@_wayside:c"), invitation], OWN);
      return room;
    };
    expect([invited(WORLD).worldServer, invited("m.space").worldServer, invited(undefined).worldServer]).toEqual(["c", null, null]);
  });
});

describe("the node of a world to which somebody is invited", () => {
  const made = (sender: string): RawEvent => state("m.room.create", { type: WORLD }, "", sender);
  const invited = (by: string): RawEvent => state("m.room.member", { membership: "invite" }, OWN, by);
  const nameless = ({ sender: _, ...event }: RawEvent): RawEvent => event;
  const node = (...shown: RawEvent[]): string | null => nodeOfWorld(shown, OWN);

  it("is that of the service user who made it, whoever invites", () => {
    expect(node(made("@_wayside:b.example:8448"), invited("@ann:c.example"))).toBe("b.example:8448");
    expect(node(made("@_wayside:[::1]:8448"), invited("@_wayside:c.example"))).toBe("[::1]:8448");
    expect(node(made("@_wayside:n"), invited("@ann:c.example"))).toBe("n");
  });

  it("is else that of a service user who speaks of a member, of whom is invited before others", () => {
    const joined = member("@_wayside:b.example", "join");
    expect(node(invited("@_wayside:b.example"))).toBe("b.example");
    expect(node(nameless(made("")), invited("@ann:c.example"), joined)).toBe("b.example");
    expect(node(joined, invited("@_wayside:c.example"))).toBe("c.example");
  });

  it("is else that of whoever invites, and else not known", () => {
    expect(node(nameless(made("")), invited("@ann:c.example"))).toBe("c.example");
    // Nobody else makes worlds.
    expect(node(made("@eve:b.example"), invited("@ann:c.example"))).toBe("c.example");
    expect(node(made("@_wayside2:b.example"), invited("@ann:c.example"), member("@eve:d.example", "join"))).toBe("c.example");
    expect([node(), node(nameless(invited(""))), node(member("@eve:d.example", "join"))]).toEqual([null, null, null]);
  });

  it("is none whose name is no server name", () => {
    for (const odd of ["@_wayside", "@_wayside:", "_wayside:b.example", "@_wayside:b.example/x", "@_wayside:b example", "@_wayside:b?x"]) {
      expect(node(made(odd), invited("@ann:c.example")), odd).toBe("c.example");
      expect(node(made(odd), invited(odd)), odd).toBeNull();
    }
  });
});
