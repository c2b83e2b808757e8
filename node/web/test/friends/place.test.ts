// The lease of where somebody is: told at once and every minute, in its order, and ended when they leave or the page closes.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { World } from "../../src/api/node";
import type { Session } from "../../src/api/session";
import { AGAIN_MS, PlaceLease, whereabouts } from "../../src/friends/place";

const session: Session = { userId: "@me:a.test", deviceId: "A", token: "secret", name: "Me", guest: false };
const plaza = { world: "#plaza:b.test", server: "b.test", name: "The Plaza", public: true };
const garden = { ...plaza, world: "#garden:b.test", name: "Garden" };

describe("where somebody is", () => {
  let calls: string[];
  let tookMs: number;
  let fails: boolean;
  let page: Record<string, (event: object) => void>;
  const later = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(console, "warn").mockImplementation(() => {});
    [calls, tookMs, fails, page] = [[], 0, false, {}];
    vi.stubGlobal("window", { addEventListener: (name: string, deed: (event: object) => void) => (page[name] = deed) });
    vi.stubGlobal("fetch", async (_: string, { method, body, keepalive }: RequestInit) => {
      await new Promise((resolve) => setTimeout(resolve, tookMs));
      calls.push(`${method} ${body ? JSON.parse(`${body as string}`).name : ""}${keepalive ? "at last" : ""}`.trim());
      return fails ? Response.json({ errcode: "M_UNKNOWN" }, { status: 502 }) : Response.json({ lasts_ms: 180_000 });
    });
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });

  it("is told at once, every minute, and not after they have left", async () => {
    const lease = new PlaceLease(session);
    lease.begin(plaza);
    await later(AGAIN_MS * 2 + 1);
    expect(calls).toEqual(["PUT The Plaza", "PUT The Plaza", "PUT The Plaza"]);
    lease.end();
    lease.end();
    await later(AGAIN_MS * 2);
    expect(calls.slice(3)).toEqual(["DELETE"]);
  });

  it("is the newest where one goes on at once, however slow the node is", async () => {
    tookMs = 5_000;
    const lease = new PlaceLease(session);
    lease.begin(plaza);
    await later(1_000);
    lease.end();
    lease.begin(garden);
    await later(20_000);
    expect(calls).toEqual(["PUT The Plaza", "PUT Garden"]);
  });

  it("is told again after it could not be", async () => {
    fails = true;
    const lease = new PlaceLease(session);
    lease.begin(plaza);
    await later(0);
    fails = false;
    await later(AGAIN_MS + 1);
    expect(calls).toEqual(["PUT The Plaza", "PUT The Plaza"]);
  });

  it("ends with the page, and begins again with one that was only put aside", async () => {
    const lease = new PlaceLease(session);
    page.pagehide?.({});
    await later(0);
    expect(calls).toEqual([]);
    lease.begin(plaza);
    await later(0);
    page.pagehide?.({});
    page.pageshow?.({ persisted: true });
    await later(0);
    expect(calls).toEqual(["PUT The Plaza", "DELETE at last", "PUT The Plaza"]);
  });

  it("is the world as its node names it", () => {
    const world = { room_id: "!room", alias: "#plaza:b.test", name: `The\u202e Plaza${"x".repeat(999)}`, public: false } as World;
    expect(whereabouts(world, "b.test")).toMatchObject({ world: "#plaza:b.test", server: "b.test", public: false });
    expect(whereabouts(world, "b.test").name).toHaveLength(80);
    // A node takes 200 bytes, and no name at all from nobody.
    expect(new TextEncoder().encode(whereabouts({ ...world, name: "😀".repeat(90) }, "b.test").name)).toHaveLength(200);
    expect(whereabouts({ ...world, name: " " }, "b.test").name).toBe("#plaza:b.test");
    // An alias of another node is none of its own.
    expect(whereabouts({ ...world, alias: "#plaza:c.test" }, "b.test").world).toBe("!room");
    expect(whereabouts({ ...world, alias: null }, "b.test").world).toBe("!room");
  });
});
