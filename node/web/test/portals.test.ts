// Portals: what a node says of them, the addresses that people type, and who may set them.
import { afterEach, describe, expect, it, vi } from "vitest";
import { hasPower, placeAt, placeOf, type Portal, readPortals } from "../src/api/portals";
import { readTyped } from "../src/travel/typed";
import { addressBy, OTHER, readUri, uriOf } from "../src/travel/uri";

const target = { name: "Garden", description: "", rating: "general", people: 3, capacity: 50, public: true, preview: "/_wayside/x", visitors: "open" };
const portal = {
  id: "1",
  uri: "matrix:r/garden:b.test?action=join",
  name: null,
  node: "portal_1",
  position: null,
  yaw: null,
  address: "#garden:b.test",
  server_name: "b.test",
  target,
  trouble: null,
};

afterEach(() => vi.restoreAllMocks());

describe("what a node says of its portals", () => {
  it("is read", () => {
    const [read] = readPortals({ portals: [portal] });
    expect(read).toEqual({ ...portal, server_name: undefined, serverName: "b.test" });
  });

  it("is held within bounds, whatever it is", () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    for (const odd of [null, 1, "x", [], {}, { portals: 1 }, { portals: [null, 1, {}, { ...portal, id: "" }, { ...portal, id: "x".repeat(256) }, { ...portal, address: null }] }]) {
      expect(readPortals(odd)).toEqual([]);
    }
    expect(readPortals({ portals: Array.from({ length: 70 }, (_, id) => ({ ...portal, id: `${id}` })) })).toHaveLength(64);
    expect(console.warn).toHaveBeenCalledWith(expect.stringContaining("70"));
    expect(readPortals({ portals: [portal, { ...portal, name: "again" }] })).toHaveLength(1);
  });

  it("shows nothing that is none", () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const one = (more: object): Portal => readPortals({ portals: [{ ...portal, ...more }] })[0]!;
    expect(one({ position: [1, 2, "3"], yaw: 1 })).toMatchObject({ position: null, yaw: null });
    expect(one({ position: [1, 2, 1e9] }).position).toBeNull();
    expect(one({ position: [1, 2, 3], yaw: 0.5 })).toMatchObject({ position: [1, 2, 3], yaw: 0.5 });
    expect(one({ name: "ä".repeat(257) }).name).toBeNull();
    expect(one({ target: { ...target, people: -1, capacity: "x", rating: "odd", visitors: "odd" } }).target).toMatchObject({
      people: 0,
      capacity: 0,
      rating: "general",
      visitors: null,
    });
    expect(one({ target: null, trouble: "closed" }).trouble).toBe("closed");
    expect(one({ target: null, trouble: "odd" }).trouble).toBe("silent");
  });
});

describe("a place", () => {
  it("is written in whole millimetres and degrees", () => {
    expect(placeAt([1.2344, -0.5, 3], -Math.PI / 2)).toEqual({ position_mm: [1234, -500, 3000], yaw_deg: 270 });
    expect(placeAt([0, 0, 0], 4 * Math.PI)).toMatchObject({ yaw_deg: 0 });
  });

  it("of a portal stays what it is", () => {
    const [read] = readPortals({ portals: [portal] });
    expect(placeOf(read!)).toEqual({ node: "portal_1" });
    expect(placeOf({ ...read!, node: null, position: [1, 2, 3], yaw: Math.PI })).toEqual({ position_mm: [1000, 2000, 3000], yaw_deg: 180 });
    expect(placeOf({ ...read!, node: null })).toEqual({});
  });
});

describe("a matrix: URI", () => {
  it("is written as it is read", () => {
    const all = [
      ["#garden:b.test", "b.test", "matrix:r/garden:b.test?action=join"],
      ["#café/?#:b.test:8448", "b.test:8448", "matrix:r/caf%C3%A9%2F%3F%23:b.test:8448?action=join"],
      ["!abc_-9", "b.test", "matrix:roomid/abc_-9?via=b.test"],
      ["!abc:c.test", "b.test:8448", "matrix:roomid/abc:c.test?via=b.test:8448"],
    ] as const;
    for (const [name, serverName, uri] of all) {
      expect(uriOf({ name, serverName })).toBe(uri);
      expect(readUri(uri)).toEqual({ name, serverName });
      expect(readUri(`web+${uri}`)).toEqual({ name, serverName });
    }
  });

  it("is read in all of its forms, and links like it", () => {
    const garden = { name: "#garden:b.test", serverName: "b.test" };
    for (const text of [
      "MATRIX:r/garden:b.test",
      "matrix:room/garden:b.test",
      "matrix://host/r/garden:b.test",
      "matrix:r/garden%3Ab.test#x",
      "https://matrix.to/#/#garden:b.test",
      "https://matrix.to/#/%23garden:b.test?via=c.test",
    ]) {
      expect(readUri(text), text).toEqual(garden);
    }
    expect(readUri("https://matrix.to/#/!abc:b.test?via=c.test&via=d.test")).toEqual({ name: "!abc:b.test", serverName: "c.test" });
    expect(readUri("matrix:roomid/abc:b.test")).toEqual({ name: "!abc:b.test", serverName: "b.test" });
  });

  it("names something else, or nothing", () => {
    for (const other of ["matrix:u/ada:b.test", "matrix:r/garden:b.test/e/x", "matrix:x/y", "https://matrix.to/#/@ada:b.test"]) {
      expect(readUri(other), other).toBe(OTHER);
    }
    const none = ["", "matrix:", "matrix:r/garden", "matrix:roomid/abc", "matrix:r/%", "matrix:r/a b:c.test", "matrix:r/garden:b test", "javascript:x", `matrix:r/${"x".repeat(3_000)}:b.test`, "matrix:r/garden:b.test/../x:y"];
    for (const text of none) expect([null, OTHER], text).toContain(readUri(text));
    expect(readUri("matrix:r/garden")).toBeNull();
    expect(readUri("matrix:roomid/abc")).toBeNull();
  });
});

describe("what somebody types", () => {
  const own = { server_name: "a.test", public_url: "https://a.test/" };
  const read = (text: string): unknown => readTyped(text, own);
  vi.stubGlobal("location", { origin: "http://localhost:5000" });

  it("is an alias, here or elsewhere", () => {
    const here = { name: "#garden:a.test", serverName: "a.test" };
    for (const text of ["garden", " #garden ", "#garden:a.test", "garden:a.test", "https://a.test/w/garden", "http://localhost:5000/w/garden/"]) {
      expect(read(text), text).toEqual(here);
    }
    const there = { name: "#garden:b.test:8448", serverName: "b.test:8448" };
    for (const text of ["garden:b.test:8448", "#garden:b.test:8448", "matrix:r/garden:b.test:8448", "https://a.test/w/garden:b.test:8448", "https://c.test/w/garden:b.test:8448"]) {
      expect(read(text), text).toEqual(there);
    }
  });

  it("is the id of a room", () => {
    expect(read("!abc")).toEqual({ name: "!abc", serverName: "a.test" });
    expect(read("!abc:b.test")).toEqual({ name: "!abc:b.test", serverName: "b.test" });
    expect(read("https://a.test/w/!abc")).toEqual({ name: "!abc", serverName: "a.test" });
    expect(read("https://a.test/w/!abc?via=b.test")).toEqual({ name: "!abc", serverName: "b.test" });
    expect(read("https://c.test/w/!abc?via=b.test")).toEqual({ name: "!abc", serverName: "b.test" });
  });

  it("is a page whose node is asked for its name", () => {
    expect(read("https://b.test/w/garden")).toEqual({ link: "https://b.test/w/garden", place: "garden" });
  });

  it("is something else, or nothing", () => {
    for (const text of ["@ada:b.test", "https://b.test/account", "ftp://x", "matrix:u/ada:b.test"]) expect(read(text), text).toBe(OTHER);
    for (const text of ["", "  ", "two words", "#", "matrix:r/x"]) expect(read(text), text).toBeNull();
  });

  it("names a server, or is refused", () => {
    expect(addressBy("#x:[::1]:80", null)).toEqual({ name: "#x:[::1]:80", serverName: "[::1]:80" });
    for (const odd of ["#x:", "#x:a/b", "#x:a b", "#x:javascript:alert(1)", `#${"x".repeat(255)}:a.test`]) expect(addressBy(odd, null), odd).toBeNull();
  });
});

describe("whoever sets a portal", () => {
  it("has the power for it", () => {
    expect(hasPower({}, "@ada:a.test")).toBe(false);
    expect(hasPower({ users: { "@ada:a.test": 50 } }, "@ada:a.test")).toBe(true);
    expect(hasPower({ users: { "@ada:a.test": 50 }, state_default: 60 }, "@ada:a.test")).toBe(false);
    expect(hasPower({ users_default: 10, events: { "org.wayside.portal": 10 } }, "@bob:a.test")).toBe(true);
    expect(hasPower({ users: { "@ada:a.test": "100" } }, "@ada:a.test")).toBe(false);
  });
});
