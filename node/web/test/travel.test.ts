// Ways to worlds of other nodes: addresses, what a node gives, and for whom somebody shows who they are.
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { ApiError } from "../src/api/http";
import type { NodeInfo, World } from "../src/api/node";
import { elsewhere, type Session } from "../src/api/session";
import { loadMore } from "../src/i18n";
import type { JsonObject } from "../src/identity/canonical";
import { readProof, verifyProof } from "../src/identity/proof";
import { domainOf, hostAt, originOf, there } from "../src/travel/abroad";
import { addressOf, pageAt, pathTo, readAddress } from "../src/travel/address";
import { homeHost, NOWHERE, opened, placed, reach, sought, UntoldError } from "../src/travel/host";
import { whyNot } from "../src/travel/why";
import { multikey, signer } from "./identity/ada";

vi.mock(import("../src/present/holder"), async (original) => ({
  ...(await original()),
  holderOf: async () => ({ did: "did:a", signer: await signer(1) }),
  membership: async () => ({ credentialSubject: { id: "did:a" } }),
}));

const session: Session = { userId: "@ada:a.example", deviceId: "A", token: "secret", name: "Ada", guest: false };
const plaza: World = {
  room_id: "!room",
  alias: "#plaza:b.example",
  name: "Plaza",
  description: "",
  preview: "/_wayside/v1/assets/aa",
  scene: { url: "/_wayside/v1/assets/bb", sha256: "bb", bytes: 1 },
  people: 0,
  capacity: 20,
  rating: "general",
  public: true,
  encrypted: false,
};

interface Asked {
  url: string;
  method: string;
  headers: Record<string, string>;
  body: unknown;
}

/** Answers what is asked by the beginning of its address, and notes it. */
function answering(answers: Record<string, unknown>): Asked[] {
  const all: Asked[] = [];
  vi.stubGlobal("fetch", async (url: string, { method, headers, body }: RequestInit) => {
    all.push({ url, method: method ?? "GET", headers: headers as Record<string, string>, body: body ? JSON.parse(`${body as string}`) : null });
    const found = Object.entries(answers).find(([key]) => `${method} ${url}`.startsWith(key));
    if (!found) return Response.json({ errcode: "M_NOT_FOUND", error: "nothing here" }, { status: 404 });
    return found[1] instanceof Response ? found[1].clone() : Response.json(found[1]);
  });
  return all;
}

afterEach(() => vi.unstubAllGlobals());

describe("an address", () => {
  const read = (place: string, via: string | null = null): unknown => readAddress(place, via, "a.example");

  it("names a world, and the node on which it is", () => {
    expect(read("plaza")).toEqual({ name: "#plaza:a.example", serverName: "a.example" });
    expect(read("plaza:b.example")).toEqual({ name: "#plaza:b.example", serverName: "b.example" });
    expect(read("plaza:b.example:8448")).toEqual({ name: "#plaza:b.example:8448", serverName: "b.example:8448" });
    expect(read("!room:b.example")).toEqual({ name: "!room:b.example", serverName: "b.example" });
  });

  it("says by itself where a room is whose id does not", () => {
    expect(read("!room")).toEqual({ name: "!room", serverName: "a.example" });
    expect(read("!room", "")).toEqual({ name: "!room", serverName: "a.example" });
    expect(read("!room", "b.example")).toEqual({ name: "!room", serverName: "b.example" });
    // Where an alias is says the alias.
    expect(read("plaza", "b.example")).toEqual({ name: "#plaza:a.example", serverName: "a.example" });
  });

  it("is written as it is read", () => {
    const ways: [string, string][] = [
      ["plaza", "a.example"],
      ["plaza:b.example", "a.example"],
      ["!room?via=b.example", "a.example"],
      ["!room:b.example", "a.example"],
      ["plaza:b.example", ""],
      ["caf%C3%A9%3F:b.example", "a.example"],
    ];
    for (const [way, own] of ways) {
      const { pathname, search, searchParams } = new URL(`https://a.example/w/${way}`);
      const address = readAddress(decodeURIComponent(pathname.slice(3)), searchParams.get("via"), own);
      expect(pathTo(address, own)).toBe(pathname + search);
    }
  });

  it("of a world is its alias, where that is of its node", () => {
    expect(addressOf(plaza, "b.example").name).toBe("#plaza:b.example");
    expect(addressOf({ ...plaza, alias: "#plaza:c.example" }, "b.example").name).toBe("!room");
    expect(addressOf({ ...plaza, alias: null }, "b.example").name).toBe("!room");
  });

  it("leads from a home to the node of the world, however the home is written", () => {
    const there = addressOf(plaza, "b.example");
    for (const home of ["https://a.example", "https://a.example/"]) {
      expect(pageAt(home, there)).toBe("https://a.example/w/plaza:b.example");
    }
    expect(pageAt("https://a.example:8443/", { name: "!room", serverName: "b.example" })).toBe(
      "https://a.example:8443/w/!room?via=b.example",
    );
  });
});

describe("what a node gives", () => {
  const base = "https://b.example:8443";

  it("lies on that node, or nowhere", () => {
    expect(reach(base, "/_wayside/v1/bodies/0123")).toBe(`${base}/_wayside/v1/bodies/0123`);
    expect(reach(base, `${base}/x`)).toBe(`${base}/x`);
    const astray = ["https://a.example/_matrix/x", "//c.example/x", "http://b.example:8443/x", "javascript:alert(1)", "data:,x", "https://b.example/x", "http://[", "\\\\c.example\\x"];
    for (const one of astray) expect(reach(base, one), one).toBe(NOWHERE);
  });

  it("has whole addresses", () => {
    const world = placed(base, plaza);
    expect([world.preview, world.scene.url]).toEqual([`${base}/_wayside/v1/assets/aa`, `${base}/_wayside/v1/assets/bb`]);
    expect(placed(base, { ...plaza, preview: null }).preview).toBeNull();
    const transports = [{ kind: "websocket", url: "wss://c.example/x" }, { kind: "websocket", url: "/_wayside/v1/realtime" }];
    const visit = opened(base, { ticket: "t", expires_ms: 1, transports, world: plaza });
    expect(visit.transports).toEqual([{ kind: "websocket", url: `${base}/_wayside/v1/realtime` }]);
    expect(visit.world).toEqual(world);
  });

  it("shows of portals what lies there, to whom no token is shown", async () => {
    const target = { name: "Garden", description: "", rating: "general", people: 0, capacity: 9, public: true, visitors: "open" };
    const portal = { id: "1", uri: "matrix:r/x:c.example", address: "#x:c.example", server_name: "c.example" };
    const portals = [
      { ...portal, target: { ...target, preview: "/_wayside/v1/assets/cc" } },
      { ...portal, id: "2", target: { ...target, preview: "https://c.example/cc" } },
      { ...portal, id: "3", target: null, trouble: "silent" },
    ];
    const asked = answering({ [`GET ${base}/_wayside/v1/worlds/!room/portals`]: { portals } });
    const seen = await hostAt(base, "b.example").portals("!room", session);
    expect(seen.map((one) => one.target?.preview)).toEqual([`${base}/_wayside/v1/assets/cc`, NOWHERE, undefined]);
    expect(asked[0]?.headers.Authorization).toBeUndefined();
    // An older node knows nothing of portals.
    expect(await hostAt(base, "b.example").portals("!other", session)).toEqual([]);
  });

  it("is asked for at home with a token, and elsewhere never", async () => {
    vi.stubGlobal("location", { origin: "https://a.example" });
    const asked = answering({ "GET /_wayside": plaza, "GET https://b.example/": plaza });
    const node = { server_name: "a.example", public_url: "https://a.example", registration: "open" } as NodeInfo;
    expect((await homeHost(node).world("#plaza:a.example", session))?.scene.url).toBe("https://a.example/_wayside/v1/assets/bb");
    expect((await hostAt("https://b.example", "b.example").world("#plaza:b.example", session))?.scene.url).toBe("https://b.example/_wayside/v1/assets/bb");
    expect(asked.map(({ headers }) => headers.Authorization)).toEqual(["Bearer secret", undefined]);
  });

  it("is shown to whom it lets in where not everybody sees it, and is else not there", async () => {
    const host = hostAt("https://b.example", "b.example");
    const ticket = { ticket: "t", expires_ms: 1, transports: [], world: plaza };
    answering({});
    expect(await sought({ ...host, admit: async () => ticket }, "!room", session)).toBe(plaza);
    const no = (status: number) => async (): Promise<never> => Promise.reject(new ApiError(status, "M_X", "no", null, {}));
    expect(await sought({ ...host, admit: no(404) }, "!room", session)).toBeNull();
    await expect(sought({ ...host, admit: no(403) }, "!room", session)).rejects.toThrow(ApiError);
  });

  it("ends nobody's session at home", async () => {
    const gone = new ApiError(401, "M_UNKNOWN_TOKEN", "sign in again", null, {});
    await expect(there(Promise.reject(gone))).rejects.toMatchObject({ status: 403, code: "M_FORBIDDEN" });
    const down = new ApiError(502, "M_UNKNOWN", "down", null, {});
    await expect(there(Promise.reject(down))).rejects.toBe(down);
  });
});

describe("whoever shows who they are", () => {
  it("does so for the address at which they ask, whatever is said there", () => {
    expect(domainOf("https://b.example:8443")).toBe("origin:https://b.example:8443");
    expect(originOf("https://b.example:8443/")).toBe("https://b.example:8443");
    expect(originOf("https://b.example:443/x?y")).toBe("https://b.example");
    expect(originOf("http://localhost:8008")).toBe("http://localhost:8008");
    for (const open of ["http://b.example", "ws://b.example", "b.example", "", "file:///etc"]) {
      expect(() => originOf(open), open).toThrow(UntoldError);
    }
  });

  it("signs what is asked there, and for no other node that it might name", async () => {
    const asked = answering({
      "POST https://b.example/_wayside/v1/visitors/challenge": { challenge: "c-1", domain: "origin:https://c.example", expires_in_ms: 1 },
      "POST https://b.example/_wayside/v1/worlds/!room/visitors": { ticket: "t", expires_ms: 1, transports: [], world: plaza },
    });
    expect((await hostAt("https://b.example", "b.example").admit("!room", session)).ticket).toBe("t");
    const there = asked.filter(({ url }) => url.startsWith("https://b.example/"));
    expect(there.every(({ headers }) => headers.Authorization === undefined)).toBe(true);
    const { challenge, presentation } = there[1]!.body as { challenge: string; presentation: JsonObject };
    const { proof, ...bare } = presentation;
    const read = readProof(proof!);
    expect(challenge).toBe("c-1");
    expect(read.options).toMatchObject({ domain: "origin:https://b.example", challenge: "c-1", proofPurpose: "authentication" });
    expect(await verifyProof(read, bare, await multikey(1))).toBe(true);
  });

  it("speaks only in a room of a world of that node", async () => {
    const host = hostAt("https://b.example", "b.example");
    const made = (sender: string, type: string | undefined): Record<string, unknown> => ({
      "POST /_matrix/client/v3/join/!room?via=b.example": { room_id: "!room" },
      "GET /_matrix/client/v3/rooms/!room/state/m.room.create/?format=event": { sender, content: { type } },
    });
    answering(made("@wayside:b.example", "org.matrix.msc3815.world"));
    await host.join("!room", session);
    const others: [string, string | undefined][] = [
      ["@eve:a.example", undefined],
      ["@wayside:a.example", "org.matrix.msc3815.world"],
      ["@eve:b.example", undefined],
    ];
    for (const [sender, type] of others) {
      answering(made(sender, type));
      await expect(host.join("!room", session)).rejects.toMatchObject({ why: "misled" });
    }
  });

  it("is shown with their home where others live elsewhere", () => {
    expect(elsewhere("@ada:a.example:8448", "a.example")).toBe("a.example:8448");
    expect(elsewhere("@ada:a.example", "a.example")).toBeNull();
  });
});

describe("a door that does not open", () => {
  beforeAll(() => loadMore("travel"));
  const why = (error: unknown): unknown => whyNot(error, "b.example", "a.example");
  const refused = (status: number, message: string, body: object = {}): ApiError =>
    new ApiError(status, "M_X", message, null, body as Record<string, unknown>);

  it("says whether an invitation helps, or the page of the account", () => {
    expect(why(null)).toMatchObject({ isPrivate: true, toAccount: false, about: expect.stringContaining("b.example") });
    expect(why(new UntoldError("no_key"))).toMatchObject({ isPrivate: false, toAccount: true });
    expect(why(new UntoldError("moved"))).toMatchObject({ toAccount: false, about: expect.stringContaining("a.example") });
  });

  it("says what was said there, or that nobody answers", () => {
    expect(why(refused(403, "those who run this world have shut you out of it"))).toMatchObject({
      about: expect.stringContaining("“Those who run this world have shut you out of it.”"),
    });
    expect(why(refused(403, "begin again", { "org.wayside.reason": "late" }))).toMatchObject({ about: expect.stringContaining("too long") });
    for (const status of [0, 502, 504]) expect(why(refused(status, "x"))).toMatchObject({ about: expect.stringContaining("does not answer") });
    expect(why(refused(404, "x"))).toMatchObject({ about: expect.stringContaining("no node") });
  });
});
