// What a node says of friends: read within bounds, whatever it is; and whom people mean by what they type.
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Friend, MOST_FRIENDS, readBlocks, readFriends, readPlace, readUserId } from "../../src/api/friends";
import { goalAt } from "../../src/friends/goal";
import { readPerson } from "../../src/friends/typed";
import de from "../../src/i18n/friends.de.json";
import en from "../../src/i18n/friends.en.json";

const place = { world: "#plaza:b.test", server: "b.test", name: "The Plaza", public: true, since_ms: 5 };
const ada = {
  user_id: "@ada:a.test",
  standing: "friend",
  name: "Ada",
  avatar_url: "mxc://a.test/abc_-9",
  did: "did:webvh:abc:a.test",
  room_id: "!room",
  since_ms: 17,
  presence: "online",
  active_ms: 18,
  place,
};

const quietly = (): unknown => vi.spyOn(console, "warn").mockImplementation(() => {});

afterEach(() => vi.restoreAllMocks());

describe("friends", () => {
  const one = (more: object): Friend | undefined => readFriends({ friends: [{ ...ada, ...more }] }).friends[0];

  it("are read", () => {
    const { friends, blocked, tell } = readFriends({ friends: [ada], blocked: [{ user_id: "@x:y.test" }], tell: "nobody" });
    expect(friends).toEqual([
      {
        userId: "@ada:a.test",
        standing: "friend",
        name: "Ada",
        avatar: "mxc://a.test/abc_-9",
        proven: true,
        roomId: "!room",
        sinceMs: 17,
        message: "",
        presence: "online",
        activeMs: 18,
        place: { world: "#plaza:b.test", server: "b.test", name: "The Plaza", public: true, sinceMs: 5 },
      },
    ]);
    expect(blocked).toEqual([{ userId: "@x:y.test", name: "x" }]);
    expect(tell).toBe("nobody");
  });

  it("are nobody where nothing can be read", () => {
    const odd = [null, 1, "x", [], {}, { friends: 1, blocked: "x", tell: 3 }, { friends: [null, 1, [], {}, { ...ada, standing: "lover" }, { ...ada, user_id: 7 }] }];
    for (const said of odd) expect(readFriends(said)).toEqual({ friends: [], blocked: [], tell: "friends" });
  });

  it("are no more than can be shown, and each is one", () => {
    quietly();
    const many = Array.from({ length: 10_000 }, (_, index) => ({ ...ada, user_id: `@u${index}:a.test` }));
    expect(readFriends({ friends: many }).friends).toHaveLength(MOST_FRIENDS);
    expect(console.warn).toHaveBeenCalledWith(expect.stringContaining("10000"));
    expect(readFriends({ friends: [ada, { ...ada, name: "Again" }] }).friends.map(({ name }) => name)).toEqual(["Again"]);
  });

  it("have names of one short line that turn nothing around", () => {
    expect(one({ name: "A\u202eda\u2066 \u0000L\u0007ove\u200blace\u2028" })?.name).toBe("Ada Lovelace");
    expect(one({ name: "Ada\n\n  Lovelace" })?.name).toBe("Ada Lovelace");
    expect([...(one({ name: "😀".repeat(100_000) })?.name ?? "")]).toHaveLength(80);
    for (const name of [null, 3, "", " \u202e\u200f ", { toString: "x" }]) expect(one({ name })?.name).toBe("ada");
    expect(one({ standing: "asking", message: `hi\u202e ${"x".repeat(9_999)}` })?.message).toMatch(/^hi x{496}…$/);
  });

  it("keep nothing else that is odd", () => {
    const odd = one({ avatar_url: "https://a.test/x", did: 3, room_id: "#x", since_ms: -1, presence: "busy", active_ms: Infinity, place: { ...place, server: "b test" } });
    expect(odd).toMatchObject({ avatar: null, proven: false, roomId: "", sinceMs: 0, presence: null, activeMs: null, place: null });
    for (const avatar of ["mxc://a.test/../x", "mxc://a.test/x/y", "mxc:///x", "mxc://a.test/x?y", `mxc://a.test/${"x".repeat(300)}`]) {
      expect(one({ avatar_url: avatar })?.avatar, avatar).toBeNull();
    }
    // Who is none yet has not said where they are.
    expect(one({ standing: "asked" })?.place).toBeNull();
  });
});

describe("accounts", () => {
  it("are of a server", () => {
    for (const sound of ["@ada:a.test", "@Old.Name/x+y=z:a.test:8448", "@a:[::1]:80"]) expect(readUserId(sound)).toBe(sound);
    const odd = [null, 3, "", "ada", "@ada", "@:a.test", "@ada:", "@ada:a test", "@ad a:a.test", "@ädä:a.test", "@ada\u202e:a.test", "@ada:a.test/x", `@${"x".repeat(255)}:a.test`];
    for (const said of odd) expect(readUserId(said), `${String(said)}`).toBeNull();
  });

  it("are meant by names, addresses and links", () => {
    const read = (typed: string): string | null => readPerson(typed, "a.test");
    for (const typed of ["ada", " @Ada ", "ada:a.test", "@ada:a.test"]) expect(read(typed), typed).toBe("@ada:a.test");
    const links = [
      "matrix:u/bob:b.test:8448",
      "MATRIX:user/bob:b.test:8448?action=chat",
      "web+matrix:u/bob%3Ab.test%3A8448",
      "https://matrix.to/#/@bob:b.test:8448",
      "https://matrix.to/#/%40bob%3Ab.test%3A8448?via=c.test",
    ];
    for (const typed of links) expect(read(typed), typed).toBe("@bob:b.test:8448");
    const none = ["", "two words", "#plaza:b.test", "matrix:r/plaza:b.test", "matrix:u/%", "https://matrix.to/#/#plaza:b.test", "https://b.test/x", "@a:b:c d", "javascript:alert(1)"];
    for (const typed of none) expect(read(typed), typed).toBeNull();
  });
});

describe("where a friend is", () => {
  it("leads to a world of the node that is named, or nowhere", () => {
    expect(goalAt(readPlace(place)!)).toEqual({ address: { name: "#plaza:b.test", serverName: "b.test" }, name: "The Plaza", back: false });
    expect(readPlace({ ...place, world: "!room" })?.world).toBe("!room");
    for (const world of ["#plaza:c.test", "plaza", "javascript:alert(1)", "#x:b.test/../y", 3, undefined]) {
      const read = readPlace({ ...place, world });
      expect(read?.world, String(world)).toBeNull();
      expect(goalAt(read!)).toBeNull();
    }
    expect(goalAt(readPlace({ ...place, name: undefined })!)?.name).toBe("plaza");
  });

  it("is not known more closely where the world is private, whatever is said", () => {
    for (const said of [false, undefined, 1]) {
      expect(readPlace({ ...place, public: said })).toEqual({ world: null, server: "b.test", name: "", public: false, sinceMs: 5 });
    }
    for (const odd of [null, 3, {}, { ...place, server: 1 }]) expect(readPlace(odd)).toBeNull();
  });
});

describe("whom somebody blocks", () => {
  const sixteen = "AAECAwQFBgcICQoLDA0ODw";

  it("is told as it was said", () => {
    expect(readBlocks({ salt: sixteen, hashes: [sixteen], more: 1 })).toEqual({ salt: sixteen, hashes: [sixteen] });
  });

  it("is not told where it is none", () => {
    for (const odd of [null, {}, { salt: 1, hashes: [] }, { salt: "AA", hashes: [] }, { salt: sixteen, hashes: {} }]) expect(readBlocks(odd)).toBeNull();
    expect(readBlocks({ salt: sixteen, hashes: [1, "x", `${sixteen}A`, sixteen] })?.hashes).toEqual([sixteen]);
    expect(readBlocks({ salt: sixteen, hashes: Array.from({ length: 3_000 }, () => sixteen) })?.hashes).toHaveLength(2_000);
  });
});

describe("the texts of friends", () => {
  it("say the same things with the same gaps", () => {
    const gaps = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(([gap]) => gap).sort();
    const german: Record<string, string> = de;
    expect(Object.keys(german)).toEqual(Object.keys(en));
    for (const [key, text] of Object.entries(en)) expect([...new Set(gaps(german[key] ?? ""))], key).toEqual([...new Set(gaps(text))]);
  });
});
