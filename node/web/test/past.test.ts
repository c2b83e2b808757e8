// The order of addresses: whoever is not let in where they step stays, and the address with them.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

interface Entry {
  state: unknown;
  path: string;
}

/** A browser's history, as far as the page uses it; steps are told at once. */
function browser(first: string): { path: () => string; step: (by: number) => void } {
  const entries: Entry[] = [{ state: null, path: first }];
  let at = 0;
  const listeners: (() => void)[] = [];
  const step = (by: number): void => {
    at = Math.max(0, Math.min(entries.length - 1, at + by));
    for (const listener of listeners) listener();
  };
  vi.stubGlobal("window", { addEventListener: (_: string, listener: () => void) => listeners.push(listener) });
  vi.stubGlobal("location", {
    get pathname() {
      return entries[at]!.path.split("?")[0];
    },
    get search() {
      const query = entries[at]!.path.split("?")[1];
      return query === undefined ? "" : `?${query}`;
    },
  });
  vi.stubGlobal("history", {
    get state() {
      return entries[at]!.state;
    },
    pushState: (state: unknown, _: string, path: string) => {
      entries.splice(at + 1, Infinity, { state, path });
      at += 1;
    },
    replaceState: (state: unknown, _: string, path: string) => (entries[at] = { state, path }),
    go: step,
  });
  return { path: () => entries[at]!.path, step };
}

beforeEach(() => vi.resetModules());
afterEach(() => vi.unstubAllGlobals());

describe("somebody who steps back", () => {
  it("is led where they go, or stays where they are", async () => {
    const { path, step } = browser("/");
    const past = await import("../src/past");
    const told = vi.fn();
    past.onStep(told);
    for (const way of ["/w/a", "/w/b", "/w/c"]) past.goOn(way);
    step(-1);
    expect([path(), told.mock.calls.length]).toEqual(["/w/b", 1]);
    expect(past.isSettled()).toBe(false);
    past.stay();
    expect(past.isSettled()).toBe(true);
    // The way back to where they are leads nobody anywhere.
    expect([path(), told.mock.calls.length]).toEqual(["/w/c", 1]);
    step(-1);
    past.settle();
    past.stay();
    expect([path(), told.mock.calls.length]).toEqual(["/w/b", 2]);
    step(-1);
    step(-1);
    past.stay();
    expect([path(), told.mock.calls.length]).toEqual(["/w/b", 4]);
    step(1);
    expect(path()).toBe("/w/c");
    past.stay();
    expect(path()).toBe("/w/b");
  });

  it("finds an address once that was only written differently", async () => {
    const { path, step } = browser("/open?uri=x");
    const past = await import("../src/past");
    past.onStep(() => {});
    past.rename("/w/a");
    past.goOn("/w/a?via=b.test");
    past.goOn("/w/b");
    past.goOn("/w/b");
    step(-1);
    expect(path()).toBe("/w/a?via=b.test");
    step(-1);
    expect(path()).toBe("/w/a?via=b.test");
  });
});

describe("the nodes to which somebody has gone", () => {
  it("are remembered, the newest of them, and forgotten", async () => {
    const kept = new Map<string, string>();
    vi.stubGlobal("localStorage", {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => kept.set(key, value),
      removeItem: (key: string) => kept.delete(key),
    });
    const { forgetKnown, isKnown, know } = await import("../src/travel/known");
    for (let node = 0; node < 210; node += 1) know(`${node}.test`);
    know("50.test");
    expect([isKnown("9.test"), isKnown("10.test"), isKnown("50.test"), isKnown("209.test")]).toEqual([false, true, true, true]);
    know("210.test");
    expect([isKnown("10.test"), isKnown("11.test"), isKnown("50.test")]).toEqual([false, true, true]);
    kept.set("wayside.walked_to", "{");
    expect(isKnown("50.test")).toBe(false);
    forgetKnown();
    expect(kept.size).toBe(0);
  });
});
