// Badges and what worlds ask for: read within bounds, and put into words.
import { describe, expect, it } from "vitest";
import { type NamedAsk, readAsks } from "../src/api/asks";
import { readHeld } from "../src/api/credentials";
import { asksWords } from "../src/ui/asks";
import { endOf } from "../src/ui/badges/form";
import { slugOf } from "../src/ui/badges/slug";
import { isOver, titleOf } from "../src/ui/badges/words";
import { wornOf } from "../src/visit/worn";

const by = { issuer: "did:web:b.example", issuer_name: "b.example" };
const badge: NamedAsk = { type: "Badge", ...by, badge: "first-light", name: "First light" };
const adult: NamedAsk = { type: "AgeGroup", ...by, at_least: "18plus", sources: ["verified"] };
const moderator: NamedAsk = { type: "NodeRole", ...by, at_least: "moderator" };
const home: NamedAsk = { type: "HomeMembership", ...by };

describe("what a world asks for", () => {
  it("is said in words, of which one is enough", () => {
    expect(asksWords([badge])).toBe("For who holds: First light (b.example)");
    expect(asksWords([adult])).toBe("For 18 or older, confirmed by b.example");
    expect(asksWords([moderator])).toBe("For moderators of b.example or above");
    expect(asksWords([home])).toBe("For people of b.example");
    const other: NamedAsk = { type: "Badge", issuer_name: "", badge: "x" };
    expect(asksWords([badge, other])).toBe("For who holds: First light (b.example) or x (this node)");
    expect(asksWords([badge, moderator, home])).toBe(
      "For who holds First light (b.example), moderators of b.example or above, or people of b.example",
    );
  });

  it("has names that are no part of the words around them", () => {
    const odd: NamedAsk = { ...badge, name: "{issuer} {what} {name} $&" };
    expect(asksWords([odd])).toBe("For who holds: {issuer} {what} {name} $& (b.example)");
  });

  it("is read as it is, and nothing else", () => {
    expect(readAsks([badge, adult, moderator, home])).toEqual([badge, adult, moderator, home]);
    for (const none of [undefined, null, {}, "x", [null, 3, {}, []]]) expect(readAsks(none)).toEqual([]);
    const broken = [
      { ...badge, type: "Ticket" }, { ...badge, badge: "" }, { ...badge, badge: "x".repeat(65) }, { ...adult, at_least: "21plus" },
      { ...moderator, at_least: "owner" }, { ...home, issuer: undefined }, { ...home, issuer: "d".repeat(3_000) },
    ];
    expect(readAsks(broken)).toEqual([]);
    expect(readAsks(Array(40).fill(badge))).toHaveLength(16);
    expect(readAsks([{ ...adult, sources: ["verified", "guessed", 3] }])).toEqual([adult]);
  });

  it("is called something that can be seen, and cannot turn what stands around it", () => {
    const [read] = readAsks([{ ...badge, name: "\u202egold\n\u0000", issuer_name: "b\u200b.example" }]);
    expect(read).toMatchObject({ name: "gold", issuer_name: "b.example" });
    expect(readAsks([{ ...badge, name: null }])[0]).toMatchObject({ name: "first-light" });
  });
});

describe("what somebody was given", () => {
  const held = { id: "ab12", type: "Badge", badge: "first-light", issuer_name: "b.example", name: "First light", until_ms: null, shown: true, held_ms: 5, credential: {} };

  it("is read by its kind", () => {
    expect(readHeld(held)).toEqual({
      type: "Badge", name: "First light", description: "", id: "ab12", issuerName: "b.example", untilMs: null, shown: true,
    });
    expect(readHeld({ ...held, type: "AgeGroup", age_group: "13to15", age_source: "guessed" })).toMatchObject({ group: "13to15", source: null });
    expect(titleOf(readHeld({ ...held, name: "\u2066" })!)).toBe("first-light");
    for (const odd of [null, {}, { ...held, id: "../x" }, { ...held, id: 3 }, { ...held, type: "Ticket" }, { ...held, type: "NodeRole", role: "king" }]) {
      expect(readHeld(odd)).toBeNull();
    }
    expect(readHeld({ ...held, until_ms: 1e99, shown: "yes" })).toMatchObject({ untilMs: null, shown: false });
  });

  it("counts until its end", () => {
    expect([isOver(null, 5), isOver(6, 5), isOver(5, 5)]).toEqual([false, false, true]);
    expect(endOf("")).toBeNull();
    expect(endOf("2027-02-28")).toBe(new Date(2027, 2, 1).getTime());
  });

  it("is shown in a world without what could disguise it", () => {
    expect(wornOf([{ issuer: "b.example", name: "\u202eFirst\tlight" }, { issuer: "b.example", name: "\u200b" }, { issuer: "", name: "x" }])).toEqual([
      { issuer: "b.example", name: "First light" },
    ]);
    expect([...(wornOf([{ issuer: "b", name: "x".repeat(900) }])[0]?.name ?? "")]).toHaveLength(80);
  });
});

describe("the id of a badge", () => {
  it.each([
    ["First light", "first-light"],
    ["  Größe & Café!  ", "grosse-cafe"],
    ["--a--b--", "a-b"],
    ["2027", "2027"],
    ["Свет", ""],
    ["", ""],
    ["x".repeat(100), "x".repeat(64)],
    [`${"x".repeat(63)} y`, "x".repeat(63)],
  ])("is made of its name: %s", (name, id) => expect(slugOf(name)).toBe(id));
});
