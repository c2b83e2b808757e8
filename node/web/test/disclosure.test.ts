// What somebody shows a node of what it asks to see: read for words, asked about, remembered and forgotten.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { issuerName } from "../src/api/credentials";
import { consentBy } from "../src/consent";
import type { JsonObject } from "../src/identity/canonical";
import { agree, forgetAgreed, isAgreed, isRefused, refuse } from "../src/travel/agreed";
import { chosen, type Consent, readDisclosure } from "../src/travel/disclosure";
import { type Kept, storage } from "./storage";

vi.mock(import("../src/ui/consent"), () => ({ consentReady: vi.fn(async () => {}), consentDialog: dialog }));
const dialog = vi.hoisted(() => vi.fn(async (_: string, __: unknown, pause: (yes: boolean) => void) => {
  pause(true);
  pause(false);
  return true;
}));

const said = (type: string, more: JsonObject, issuer = "did:web:b.example"): JsonObject => ({
  type: ["VerifiableCredential", type],
  issuer,
  validUntil: "2030-01-02T00:00:00Z",
  credentialSubject: { id: "did:a", ...more },
});
const badge = said("Badge", { badge: "first-light", name: "First light", description: "Came first" });
const age = said("AgeGroup", { ageGroup: "18plus", ageSource: "verified" });
const role = said("NodeRole", { role: "moderator", node: "did:web:b.example" });

let kept: Kept;
beforeEach(() => {
  kept = storage();
  vi.stubGlobal("localStorage", kept);
  forgetAgreed();
});
afterEach(() => vi.unstubAllGlobals());

describe("what is asked for", () => {
  it("is read from the credential itself", () => {
    const untilMs = Date.UTC(2030, 0, 2);
    const by = { issuerName: "b.example", untilMs };
    expect(readDisclosure(badge)).toEqual({ credential: badge, saying: { type: "Badge", name: "First light", description: "Came first" }, ...by });
    expect(readDisclosure(age)).toEqual({ credential: age, saying: { type: "AgeGroup", group: "18plus", source: "verified" }, ...by });
    // It is good for as long as it takes to show it.
    expect(readDisclosure(role)).toEqual({ credential: role, saying: { type: "NodeRole", role: "moderator" }, ...by, untilMs: null });
    const named = { ...age, issuer: { id: "did:web:b.example%3A8448", name: "a.example" } };
    expect(readDisclosure(named)?.issuerName).toBe("b.example:8448");
  });

  it("is nothing to which somebody could say yes where there are no words for it", () => {
    const odd = [
      {}, said("Ticket", {}), said("AgeGroup", { ageGroup: "21plus" }), said("NodeRole", { role: "king" }), said("Badge", { badge: "\u2066" }),
      { ...age, issuer: null }, { ...age, issuer: "b.example" }, { ...age, credentialSubject: [{ id: "did:a" }] }, { ...age, type: "AgeGroup" },
      { ...age, type: ["AgeGroup", "Badge"] },
    ] satisfies JsonObject[];
    for (const one of odd) expect(readDisclosure(one), JSON.stringify(one)).toBeNull();
  });

  it("cannot turn the words around it, and is of a length that can be read", () => {
    const long = readDisclosure(said("Badge", { badge: "x", name: "\u202e<b>\n".repeat(400), type: "NodeRole", role: "operator" }, `did:web:b.example:${"x".repeat(900)}`));
    const { saying, issuerName: by } = long!;
    expect(saying).toMatchObject({ type: "Badge", name: expect.not.stringContaining("\u202e") });
    expect([[...(saying as { name: string }).name].length, [...by].length]).toEqual([80, 255]);
  });

  it("is the word of a place, or of nobody who has one", () => {
    const dids = ["did:web:b.example", "did:web:b.example%3a8448:people:ada", "did:webvh:Qm1:b.example:x", "did:key:z6Mk", "did:web:", "b.example", 3];
    expect(dids.map(issuerName)).toEqual(["b.example", "b.example:8448/people/ada", "b.example/x", "did:key:z6Mk", "did:web:", "", ""]);
  });
});

describe("consent", () => {
  const saying = (answer: boolean | null) => vi.fn<Consent>(async () => answer);

  it("is asked for what is not decided, once for all of it", async () => {
    const [yes, more] = [saying(true), saying(true)];
    expect(await chosen([age], "b.test", yes)).toEqual({ shown: [age], wasAsked: true, isWithheld: false });
    expect(await chosen([age, badge, role, said("Ticket", {})], "b.test", more)).toEqual({ shown: [age, badge, role], wasAsked: true, isWithheld: false });
    expect(more.mock.calls[0]?.[1].map(({ credential }) => credential)).toEqual([badge, role]);
    expect(await chosen([], "b.test", yes)).toEqual({ shown: [], wasAsked: false, isWithheld: false });
    expect(yes).toHaveBeenCalledTimes(1);
  });

  it("is remembered for a node and what is said, in whatever words it is signed", async () => {
    await chosen([role], "b.test", saying(true));
    const anew = { ...role, validUntil: "2031-01-01T00:00:00Z", proof: { proofValue: "z2" } };
    expect((await chosen([anew], "b.test", null)).shown).toEqual([anew]);
    const others = [said("NodeRole", { role: "operator", node: "did:web:b.example" }), { ...role, issuer: "did:web:c.example" }, age];
    expect((await chosen(others, "b.test", null)).shown).toEqual([]);
    expect((await chosen([role], "c.test", null)).shown).toEqual([]);
    // Not what was shown is kept, but by what it is told from others.
    expect([...kept.all.values()].join()).not.toContain("moderator");
  });

  it("counts on a page that keeps nothing, and on the next where it does", async () => {
    vi.stubGlobal("localStorage", { ...kept, getItem: () => null, setItem: () => { throw new Error("full"); } });
    await chosen([age], "b.test", saying(true));
    expect((await chosen([age], "b.test", null)).shown).toEqual([age]);
    vi.stubGlobal("localStorage", kept);
    agree("b.test", "x");
    vi.resetModules();
    const next = await import("../src/travel/agreed");
    expect([next.isAgreed("b.test", "x"), next.isRefused("b.test")]).toEqual([true, false]);
  });

  it("that is not given counts for that node, and what was agreed to before is shown still", async () => {
    await chosen([age], "b.test", saying(true));
    const no = saying(false);
    expect(await chosen([age, role], "b.test", no)).toEqual({ shown: [age], wasAsked: true, isWithheld: true });
    expect(await chosen([age, badge], "b.test", no)).toEqual({ shown: [age], wasAsked: false, isWithheld: true });
    expect([no.mock.calls.length, isRefused("c.test")]).toEqual([1, false]);
    expect(await chosen([badge], "c.test", saying(null))).toEqual({ shown: [], wasAsked: true, isWithheld: true });
    expect(isRefused("c.test")).toBe(false);
  });

  it("is forgotten with the session, and beyond 200 the oldest first", () => {
    for (let one = 0; one < 210; one += 1) agree("b.test", `${one}`);
    agree("b.test", "50");
    expect(["9", "10", "50", "209"].map((one) => isAgreed("b.test", one))).toEqual([false, true, true, true]);
    refuse("b.test");
    forgetAgreed();
    expect([isAgreed("b.test", "50"), isRefused("b.test"), kept.all.size]).toEqual([false, false, 0]);
    kept.setItem("wayside.agreed_to_show", "{");
    expect(isAgreed("b.test", "50")).toBe(false);
  });

  it("is asked for where it is seen, and of nobody who has turned back", async () => {
    const doors = { pause: vi.fn(), takeOff: vi.fn(async () => {}), isWanted: vi.fn(() => true) };
    const disclosures = [readDisclosure(age)!];
    expect(await consentBy(doors)("b.test", disclosures)).toBe(true);
    expect([doors.takeOff.mock.calls.length, doors.pause.mock.calls]).toEqual([1, [[true], [false]]]);
    doors.isWanted.mockReturnValueOnce(true).mockReturnValueOnce(false);
    await expect(consentBy(doors)("b.test", disclosures)).rejects.toThrow("turned back");
    doors.isWanted.mockReturnValueOnce(false);
    await expect(consentBy(doors)("b.test", disclosures)).rejects.toThrow("turned back");
    expect(dialog).toHaveBeenCalledTimes(2);
  });
});
