// Friends as a page has them: their order, how often they are asked for, invitations that are requests, and who is told of blocks.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Friend } from "../../src/api/friends";
import type { Session } from "../../src/api/session";
import { friendsIn } from "../../src/device/friends";
import { Room } from "../../src/device/rooms";
import type { Answer, RawEvent } from "../../src/device/sync";
import { Friends, LEAST_MS, LOOK_MS } from "../../src/friends/model";
import { partsOf } from "../../src/friends/sorting";

const session: Session = { userId: "@me:a.test", deviceId: "A", token: "secret", name: "Me", guest: false };
const place = { world: "#plaza:b.test", server: "b.test", name: "The Plaza", public: true, sinceMs: 0 };
const friend = (name: string, more: Partial<Friend> = {}): Friend => ({
  userId: `@${name.toLowerCase()}:b.test`,
  standing: "friend",
  name,
  avatar: null,
  proven: true,
  roomId: `!${name}`,
  sinceMs: 0,
  message: "",
  presence: null,
  activeMs: null,
  place: null,
  ...more,
});

describe("the list", () => {
  it("begins with those who are in a world, then those who are online, each by name", () => {
    const all = [
      friend("Zoe", { presence: "online" }),
      friend("Bob"),
      friend("Yan", { place: { ...place, public: false, world: null } }),
      friend("Ann", { presence: "unavailable" }),
      friend("Ida", { presence: "online" }),
      friend("Max", { place, presence: "offline" }),
    ];
    expect(partsOf(all).friends.map(({ name }) => name)).toEqual(["Max", "Yan", "Ida", "Zoe", "Ann", "Bob"]);
  });

  it("has a part for each standing, and those first who have waited longest", () => {
    const parts = partsOf([
      friend("B", { standing: "asking", sinceMs: 9 }),
      friend("A", { standing: "asking", sinceMs: 10 }),
      friend("D", { standing: "asked" }),
      friend("C", { standing: "asked" }),
    ]);
    expect(parts.asking.map(({ name }) => name)).toEqual(["B", "A"]);
    expect(parts.asked.map(({ name }) => name)).toEqual(["C", "D"]);
    expect(parts.friends).toEqual([]);
  });
});

describe("asking for friends", () => {
  let said: { friends: object[]; blocked: object[] } | null;
  let calls: string[];
  const times = (what: string): number => calls.filter((call) => call === what).length;
  const later = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
  const ann = { user_id: "@ann:b.test", standing: "friend", room_id: "!ann" };

  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("window", { addEventListener: () => {} });
    vi.spyOn(console, "warn").mockImplementation(() => {});
    [said, calls] = [{ friends: [ann], blocked: [] }, []];
    vi.stubGlobal("fetch", async (path: string, { method }: RequestInit) => {
      calls.push(`${method} ${decodeURIComponent(path.replace("/_wayside/v1/", ""))}`);
      if (said === null) return Response.json({ errcode: "M_UNKNOWN", error: "broken" }, { status: 500 });
      if (path.endsWith("/blocks")) return Response.json({ salt: "AAECAwQFBgcICQoLDA0ODw", hashes: ["_____________________w"] });
      return Response.json(path.endsWith("/friends") ? said : {});
    });
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });

  it("happens once for much news, and not for that of strangers", async () => {
    const friends = new Friends(session);
    await later(0);
    for (let news = 0; news < 50; news += 1) friends.heard();
    await later(LEAST_MS - 1);
    expect(times("GET friends")).toBe(1);
    await later(1);
    expect(times("GET friends")).toBe(2);
    friends.heard(["@stranger:c.test"]);
    await later(LEAST_MS * 2);
    expect(times("GET friends")).toBe(2);
    friends.heard(["@stranger:c.test", "@ann:b.test"]);
    await later(0);
    expect(times("GET friends")).toBe(3);
  });

  it("happens every minute for as long as somebody looks", async () => {
    const friends = new Friends(session);
    const panel = {};
    await later(LEAST_MS);
    friends.look(panel, true);
    expect(friends.isSeen).toBe(true);
    await later(LOOK_MS * 3 + LEAST_MS);
    expect(times("GET friends")).toBe(5);
    friends.look(panel, false);
    await later(LOOK_MS * 3);
    expect(times("GET friends")).toBe(5);
  });

  it("keeps what was known where that fails, and says so", async () => {
    const friends = new Friends(session);
    await later(0);
    said = null;
    await friends.ask();
    expect(friends.trouble).not.toBeNull();
    expect(friends.of("@ann:b.test")).not.toBeNull();
  });

  it("decides which invitations are requests", async () => {
    const friends = new Friends(session);
    // Until it is known, nothing is shown twice.
    expect(friends.claims("!bob")).toBe(true);
    said = { friends: [{ user_id: "@bob:b.test", standing: "asking", room_id: "!bob" }], blocked: [] };
    await later(0);
    expect(friends.claims("!bob")).toBe(true);
    // It came after the node was asked; the node is asked again, and knows nothing of it.
    expect(friends.claims("!false")).toBe(true);
    await later(LEAST_MS);
    expect(friends.claims("!false")).toBe(false);
    expect(friends.claims("!bob")).toBe(true);
  });

  it("leaves invitations alone where nothing is known of friends", async () => {
    said = null;
    const friends = new Friends(session);
    await later(0);
    expect(friends.claims("!bob")).toBe(false);
  });

  it("tells a visit elsewhere of blocks that are new, with hashes of now", async () => {
    const friends = new Friends(session);
    await later(0);
    const told = vi.fn();
    const unwatch = friends.watchBlocks(told);
    await friends.ask();
    expect(told).not.toHaveBeenCalled();
    said = { friends: [], blocked: [{ user_id: "@ann:b.test" }] };
    await friends.block("@ann:b.test");
    await later(0);
    expect(told).toHaveBeenCalledOnce();
    const [{ salt, hashes }] = told.mock.calls[0]!;
    expect([...salt]).toEqual([...Array(16).keys()]);
    expect(hashes[0]).toHaveLength(16);
    expect(friends.isBlocked("@ann:b.test")).toBe(true);
    unwatch();
    await friends.unblock("@ann:b.test");
    await later(0);
    expect(told).toHaveBeenCalledOnce();
  });
});

describe("news of friends", () => {
  const event = (type: string, more: object = {}): RawEvent => ({ type, content: {}, ...more }) as RawEvent;
  const news = (part: Partial<Answer>): string[] | null => friendsIn({ next_batch: "", ...part });

  it("are of anybody, of those who are seen, or none", () => {
    expect(news({})).toEqual([]);
    expect(news({ presence: { events: [event("m.presence", { sender: "@ann:b.test" })] } })).toEqual(["@ann:b.test"]);
    expect(news({ rooms: { join: { "!r": { timeline: { events: [event("org.wayside.friend")] } } } } })).toBeNull();
    expect(news({ rooms: { join: { "!r": { timeline: { events: [event("m.room.message")] } } } } })).toEqual([]);
    expect(news({ rooms: { invite: { "!r": { invite_state: { events: [event("org.wayside.friend")] } } } } })).toBeNull();
    expect(news({ rooms: { leave: { "!r": {} } } })).toBeNull();
    expect(news({ account_data: { events: [event("org.wayside.place")] } })).toBeNull();
    expect(news({ presence: { events: Array.from({ length: 300 }, () => event("m.presence", { sender: "@a:b.test" })) } })).toBeNull();
  });

  it("come with invitations of those who ask, and of nobody in their name", () => {
    const asks = (sender: string, key: string): boolean => {
      const room = new Room("!r");
      const member = event("m.room.member", { sender: "@ann:b.test", state_key: "@me:a.test", content: { membership: "invite", is_direct: true } });
      room.invited([member, event("org.wayside.friend", { sender, state_key: key })], "@me:a.test");
      return room.asksFriend;
    };
    expect(asks("@ann:b.test", "@ann:b.test")).toBe(true);
    expect(asks("@eve:b.test", "@ann:b.test")).toBe(false);
    expect(asks("@eve:b.test", "@eve:b.test")).toBe(false);
  });
});
