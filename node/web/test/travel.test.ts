// Ways to worlds of other nodes: addresses, what a node gives, and for whom somebody shows who they are.
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../src/api/http";
import type { NodeInfo, World } from "../src/api/node";
import { elsewhere, type Session } from "../src/api/session";
import { loadMore } from "../src/i18n";
import type { JsonObject } from "../src/identity/canonical";
import { readProof, verifyProof } from "../src/identity/proof";
import type { Vouched } from "../src/present/holder";
import { domainOf, hostAt, originOf, there } from "../src/travel/abroad";
import { forgetAgreed } from "../src/travel/agreed";
import { addressOf, pageAt, pathTo, readAddress } from "../src/travel/address";
import { bringHome } from "../src/travel/bringing";
import type { Consent } from "../src/travel/disclosure";
import { asksOf, homeHost, isLacking, NOWHERE, opened, placed, reach, sought, UntoldError } from "../src/travel/host";
import { whyNot } from "../src/travel/why";
import { multikey, signer } from "./identity/ada";
import { storage } from "./storage";

vi.mock(import("../src/present/holder"), async (original) => ({
  ...(await original()),
  holderOf: async () => ({ did: "did:a", signer: await signer(1) }),
  membership: vouching,
}));

const vouching = vi.hoisted(() =>
  vi.fn(async (_: unknown, __?: unknown): Promise<Vouched> => ({ credential: { credentialSubject: { id: "did:a" } }, others: [], asked: [] })),
);

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
  cache: RequestCache | undefined;
}

/** Answers what is asked by the beginning of its address, and notes it. */
function answering(answers: Record<string, unknown>): Asked[] {
  const all: Asked[] = [];
  vi.stubGlobal("fetch", async (url: string, { method, headers, body, cache }: RequestInit) => {
    all.push({ url, method: method ?? "GET", headers: headers as Record<string, string>, body: body ? JSON.parse(`${body as string}`) : null, cache });
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

  it("asks of people of other nodes what it asks of them, where the world itself asks for nothing", () => {
    const badge = { type: "Badge", issuer_name: "b.example", badge: "x", name: "x" } as const;
    const home = { type: "HomeMembership", issuer: "did:a", issuer_name: "a.example" } as const;
    const world = placed(base, { ...plaza, visitors_ask: [home] });
    expect([asksOf(world, true), asksOf(world, false), asksOf(null, true)]).toEqual([[home], [], []]);
    expect(asksOf(placed(base, { ...plaza, asks: [badge], visitors_ask: [home] }), true)).toEqual([badge]);
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
    const { challenge, presentation } = there.at(-1)!.body as { challenge: string; presentation: JsonObject };
    const { proof, ...bare } = presentation;
    const read = readProof(proof!);
    expect(challenge).toBe("c-1");
    expect(read.options).toMatchObject({ domain: "origin:https://b.example", challenge: "c-1", proofPurpose: "authentication" });
    expect(await verifyProof(read, bare, await multikey(1))).toBe(true);
  });

  /** What of a presentation stands in the request by which somebody came in. */
  const shownIn = (asked: Asked[]): unknown => {
    const coming = asked.find(({ url }) => url.endsWith("/visitors"))?.body as { presentation: JsonObject };
    return coming.presentation.verifiableCredential;
  };
  const about = (id: string, name: string): JsonObject => ({ name, credentialSubject: { id } });
  const doors = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
    "POST https://b.example/_wayside/v1/visitors/challenge": { challenge: "c-1" },
    "POST https://b.example/_wayside/v1/worlds/!room/visitors": { ticket: "t", expires_ms: 1, transports: [], world: plaza, ...more },
  });

  it("shows what the home says of them and of nobody else, by what the world asks for", async () => {
    const badge = { type: "Badge", issuer: "did:web:b.example", issuer_name: "b.example", badge: "first-light", name: "First light" };
    const home = { type: "HomeMembership", issuer: "did:web:a.example", issuer_name: "a.example" };
    const world = { ...plaza, public: false, asks: [badge], visitors_ask: [home] };
    const asked = answering({ ...doors(), "GET https://b.example/_wayside/v1/worlds/!room": world });
    const others = [about("did:a", "one"), about("did:b", "theirs"), "none", about("did:a", "two")];
    vouching.mockResolvedValueOnce({ credential: about("did:a", "home"), others, asked: [] });
    await hostAt("https://b.example", "b.example").admit("!room", session);
    expect(shownIn(asked)).toEqual([about("did:a", "home"), about("did:a", "one"), about("did:a", "two")]);
    expect(vouching).toHaveBeenLastCalledWith(session, [badge, home]);
  });

  it("asks once what a world asks for, and anew where they lacked it", async () => {
    const cards = (asked: Asked[]): number => asked.filter(({ url, method }) => method === "GET" && url.endsWith("/worlds/!room")).length;
    const host = hostAt("https://b.example", "b.example");
    const asked = answering({ ...doors(), "GET https://b.example/_wayside/v1/worlds/!room": plaza });
    await host.world("!room", session);
    await host.admit("!room", session);
    await host.admit("!room", session);
    expect(cards(asked)).toBe(1);
    const no = Response.json({ errcode: "M_FORBIDDEN", error: "no", "org.wayside.reason": "lacking" }, { status: 403 });
    const later = answering({ ...doors(), "POST https://b.example/_wayside/v1/worlds/!room/visitors": no, "GET https://b.example/_wayside/v1/worlds/!room": plaza });
    await expect(host.admit("!room", session)).rejects.toSatisfy(isLacking);
    await expect(host.admit("!room", session)).rejects.toSatisfy(isLacking);
    expect(cards(later)).toBe(1);
    // Whoever is not told comes in all the same.
    answering({ ...doors(), "GET https://b.example/_wayside/v1/worlds/!room": new Response("", { status: 500 }) });
    expect((await hostAt("https://b.example", "b.example").admit("!room", session)).ticket).toBe("t");
  });

  describe("and is given a pass there", () => {
    const at = (name: string) => hostAt(`https://${name}`, name);
    const door = (pass?: unknown, room = "!room", name = "b.example"): Record<string, unknown> => ({
      [`POST https://${name}/_wayside/v1/visitors/challenge`]: { challenge: "c-1" },
      [`POST https://${name}/_wayside/v1/worlds/`]: { ticket: "t", expires_ms: 1, transports: [], world: { ...plaza, room_id: room }, pass },
      [`GET https://${name}/_wayside/v1/worlds/${room}/portals`]: { portals: [] },
    });
    const looks = (asked: Asked[]): unknown => asked.filter(({ url }) => url.includes("/portals")).map(({ url }) => url);
    const portals = (room: string, name = "b.example"): string => `https://${name}/_wayside/v1/worlds/${room}/portals`;

    it("shows it where they ask for the portals of that room, of which the browser keeps nothing", async () => {
      const host = at("b.example");
      const asked = answering(door("p 1&x"));
      await host.portals("!room", session);
      // It is the room of the world that it is for, by whichever name they came.
      const visit = await host.admit("#plaza:b.example", session);
      await host.portals("!room", session);
      expect(looks(asked)).toEqual([portals("!room"), `${portals("!room")}?pass=p+1%26x`]);
      expect(new URL(asked.at(-1)!.url).searchParams.get("pass")).toBe("p 1&x");
      expect([asked[0]?.cache, asked.at(-1)?.cache]).toEqual([undefined, "no-store"]);
      expect(asked.at(-1)?.headers.Authorization).toBeUndefined();
      expect(visit).not.toHaveProperty("pass");
    });

    it("shows no other room, node or person that pass", async () => {
      const [host, other] = [at("b.example"), at("c.example")];
      answering(door("p-1"));
      await host.admit("!room", session);
      const asked = answering({ ...door(), ...door(undefined, "!other"), ...door(undefined, "!room", "c.example") });
      await host.portals("!other", session);
      await other.portals("!room", session);
      await at("b.example").portals("!room", session);
      await host.portals("!room", { ...session, userId: "@eve:a.example" });
      expect(looks(asked)).toEqual([portals("!other"), portals("!room", "c.example"), portals("!room"), portals("!room")]);
    });

    it("shows the newest of each room, and none where that is none", async () => {
      const host = at("b.example");
      for (const [pass, room] of [["p-1", "!room"], ["q-1", "!other"], ["p-2", "!room"]]) {
        answering(door(pass, room));
        await host.admit(room!, session);
      }
      const asked = answering({ ...door(), ...door(undefined, "!other") });
      await host.portals("!room", session);
      await host.portals("!other", session);
      expect(looks(asked)).toEqual([`${portals("!room")}?pass=p-2`, `${portals("!other")}?pass=q-1`]);
      for (const none of [undefined, null, 7, "", {}, "x".repeat(2_049)]) {
        const later = answering(door(none));
        await host.admit("!room", session);
        await host.portals("!room", session);
        expect(looks(later)).toEqual([portals("!room")]);
      }
    });
  });

  it("has no word about another shown as theirs", async () => {
    const asked = answering(doors());
    vouching.mockResolvedValueOnce({ credential: about("did:b", "home"), others: [about("did:a", "one")], asked: [] });
    await expect(hostAt("https://b.example", "b.example").admit("!room", session)).rejects.toMatchObject({ why: "unvouched" });
    expect(asked.some(({ url }) => url.endsWith("/visitors"))).toBe(false);
  });

  describe("of whom something is asked that nobody there has seen", () => {
    const subject = { id: "did:a", ageGroup: "18plus", ageSource: "verified" };
    const age: JsonObject = { type: ["VerifiableCredential", "AgeGroup"], issuer: "did:web:a.example", credentialSubject: subject };
    const asking = (all: JsonObject[]): void => {
      vouching.mockResolvedValue({ credential: about("did:a", "home"), others: [about("did:a", "one")], asked: all });
    };
    const always = [about("did:a", "home"), about("did:a", "one")];
    const host = (name = "b.example") => hostAt("https://b.example", name);
    const challenges = (asked: Asked[]): number => asked.filter(({ url }) => url.endsWith("/challenge")).length;
    const saying = (answer: boolean | null) => vi.fn<Consent>(async () => answer);

    beforeEach(() => {
      vi.stubGlobal("localStorage", storage());
      forgetAgreed();
      asking([age, { ...age, credentialSubject: { ...subject, id: "did:b" } }]);
    });
    afterEach(() => asking([]));

    it("shows it by no means without a yes, and is not asked again on this page", async () => {
      const asked = answering(doors());
      await host().admit("!room", session);
      expect(shownIn(asked)).toEqual(always);
      const no = saying(false);
      const later = answering(doors());
      await host().admit("!room", session, no);
      expect(shownIn(later)).toEqual(always);
      await host().admit("!room", session, no);
      expect(no).toHaveBeenCalledTimes(1);
      expect(no).toHaveBeenCalledWith("b.example", [expect.objectContaining({ credential: age, issuerName: "a.example" })]);
    });

    it("shows it after a yes, with all that they say by then, and at once the next time", async () => {
      const yes = saying(true);
      const asked = answering(doors());
      await host().admit("!room", session, yes);
      expect([shownIn(asked), challenges(asked)]).toEqual([[...always, age], 2]);
      const later = answering(doors());
      await host().admit("!room", session, yes);
      expect([shownIn(later), challenges(later), yes.mock.calls.length]).toEqual([[...always, age], 1, 1]);
      // Another node has not seen it.
      const other = answering(doors());
      await host("c.example").admit("!room", session);
      expect(shownIn(other)).toEqual(always);
    });

    it("shows nothing that their home says only once they have agreed to something else", async () => {
      const asked = answering(doors());
      const swapping: Consent = async () => {
        asking([{ ...age, credentialSubject: { ...subject, ageGroup: "under13" } }]);
        return true;
      };
      await host().admit("!room", session, swapping);
      expect(shownIn(asked)).toEqual(always);
    });

    it("is let in without where they give no answer, and tells nothing where they turn back", async () => {
      const none = saying(null);
      const asked = answering(doors());
      await host().admit("!room", session, none);
      await host().admit("!room", session, none);
      expect([shownIn(asked), none.mock.calls.length]).toEqual([always, 2]);
      const quiet = answering(doors());
      await expect(host().admit("!room", session, () => Promise.reject(new Error("turned back")))).rejects.toThrow("turned back");
      expect(quiet.some(({ url }) => url.endsWith("/visitors"))).toBe(false);
    });

    it("is told that they went without, where they are not let in for that", async () => {
      await loadMore("travel");
      const no = Response.json({ errcode: "M_FORBIDDEN", error: "no", "org.wayside.reason": "lacking" }, { status: 403 });
      answering({ ...doors(), "POST https://b.example/_wayside/v1/worlds/!room/visitors": no });
      const refused = await host().admit("!room", session, saying(false)).catch((error: unknown) => error);
      expect(isLacking(refused)).toBe(true);
      expect(whyNot(refused, "b.example", "a.example").about).toContain("went without");
      asking([]);
      const lacking = await host().admit("!room", session).catch((error: unknown) => error);
      expect(whyNot(lacking, "b.example", "a.example").about).toContain("hold none");
    });
  });

  describe("and is given something there", () => {
    const HELD = "/_wayside/v1/identity/credentials";
    let token = 0;
    /** Each on a page of their own. */
    const fresh = (): Session => ({ ...session, token: `t-${++token}` });
    const named = (...names: string[]): JsonObject[] => names.map((name) => about("did:a", name));

    /** A home that holds some already, and refuses the one called "refused"; gives what is asked of it. */
    function homeWith(held: JsonObject[]): { asked: string[]; most: () => number } {
      const asked: string[] = [];
      let [open, most] = [0, 0];
      vi.stubGlobal("fetch", async (url: string, { method, body, headers }: RequestInit) => {
        expect([url, (headers as Record<string, string>).Authorization]).toEqual([HELD, `Bearer t-${token}`]);
        most = Math.max(most, ++open);
        await Promise.resolve();
        open -= 1;
        const name = method === "POST" ? (JSON.parse(body as string) as { credential: JsonObject }).credential.name : "held";
        asked.push(String(name));
        if (name === "refused") return Response.json({ errcode: "M_FORBIDDEN", error: "no" }, { status: 403 });
        return Response.json(method === "POST" ? {} : { credentials: held.map((credential) => ({ id: "ab", credential })) });
      });
      return { asked, most: () => most };
    }

    it("is in before that is brought home", async () => {
      let arrive = (_: Response): void => {};
      const kept: string[] = [];
      answering(doors({ given: named("one") }));
      const there = fetch;
      vi.stubGlobal("fetch", (url: string, options: RequestInit) => {
        if (!url.startsWith(HELD)) return there(url, options);
        kept.push(options.method ?? "");
        return new Promise<Response>((resolve) => (arrive = resolve));
      });
      expect((await hostAt("https://b.example", "b.example").admit("!room", fresh())).ticket).toBe("t");
      expect(kept).toEqual(["GET"]);
      arrive(Response.json({ credentials: [] }));
      await vi.waitFor(() => expect(kept).toEqual(["GET", "POST"]));
      arrive(Response.json({}));
    });

    it("brings it home, one after the other, whatever is refused", async () => {
      const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
      const who = fresh();
      const { asked, most } = homeWith([]);
      await bringHome(named("one", "refused", "three"), who);
      expect([asked, most(), warned.mock.calls.length]).toEqual([["held", "one", "refused", "three"], 1, 1]);
      for (const odd of [undefined, null, {}, "x"]) await bringHome(odd, fresh());
      expect(asked).toHaveLength(4);
      warned.mockRestore();
    });

    it("brings nothing that is held already, of which the home is asked once", async () => {
      const who = fresh();
      const { asked } = homeWith([{ credentialSubject: { id: "did:a" }, name: "one" }]);
      await bringHome(named("one", "two", "two"), who);
      await bringHome(named("one", "two", "three"), who);
      expect(asked).toEqual(["held", "two", "three"]);
      await bringHome(named("one"), fresh());
      expect(asked.slice(3)).toEqual(["held"]);
    });

    it("brings a few at a time, and none where it is not known what is held", async () => {
      const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
      const { asked } = homeWith([]);
      const many = named(..."abcdefghij");
      const who = fresh();
      await bringHome(["\ud800", ...many], who);
      expect(asked.join("")).toBe("heldabcdefgh");
      await bringHome(many, who);
      expect(asked.slice(9)).toEqual(["i", "j"]);
      const down = vi.fn(async () => Response.json({}, { status: 502 }));
      vi.stubGlobal("fetch", down);
      const other = fresh();
      await bringHome(many, other);
      await bringHome(many, other);
      expect(down).toHaveBeenCalledTimes(2);
      warned.mockRestore();
    });
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

  it("says that they hold nothing of what is asked for", () => {
    expect(why(refused(403, "no", { "org.wayside.reason": "lacking" }))).toMatchObject({ isPrivate: false, about: expect.stringContaining("hold none") });
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
