// What an address holds by which somebody comes back.
import { describe, expect, it } from "vitest";
import { broughtBy } from "../../src/sign-in/returned";

const at = (rest: string): ReturnType<typeof broughtBy> => broughtBy(new URL(`https://b.example/sign-in/return${rest}`));
const token = encodeURIComponent('{"home":[{"holder":"did:a"}]}');

describe("coming back", () => {
  it("from a provider brings a code", () => {
    expect(at("?state=a.b&code=c")).toEqual({ state: "a.b", code: "c" });
    expect(at("?state=a.b&code=c&iss=https://c.example")).toEqual({ state: "a.b", code: "c", iss: "https://c.example" });
    expect([at(""), at("#"), at("?state=a"), at("?error=access_denied&state=a")]).toEqual([null, null, null, null]);
  });

  it("from one's home brings what was shown there", () => {
    const brought = { state: "did.1", vp_token: { home: [{ holder: "did:a" }] } };
    expect(at(`#vp_token=${token}&state=did.1`)).toEqual(brought);
    expect(at(`#state=did.1&more=1&vp_token=${token}`)).toEqual(brought);
    expect(at("#error=access_denied&error_description=no&state=did.1")).toBe(null);
  });

  it.each<[string, string, string]>([
    ["the reason of a home", "#error=vp_formats_not_supported&state=a", "vp_formats_not_supported"],
    ["a reason that is none", "#error=%3Cb%3E&state=a", "malformed"],
    ["two reasons", "#error=access_denied&error=invalid_request&state=a", "malformed"],
    ["no state", `#vp_token=${token}`, "malformed"],
    ["two states", `#vp_token=${token}&state=a&state=b`, "malformed"],
    ["a state of other letters", `#vp_token=${token}&state=a/b`, "malformed"],
    ["nothing shown", "#state=a", "malformed"],
    ["two things shown", `#vp_token=${token}&vp_token=${token}&state=a`, "malformed"],
    ["a list", "#vp_token=[]&state=a", "malformed"],
    ["no JSON", "#vp_token={&state=a", "malformed"],
    ["one name for two", "#vp_token=%7B%22home%22%3A1%2C%22home%22%3A2%7D&state=a", "malformed"],
    ["no end of things", `#vp_token=${"a".repeat(140_000)}&state=a`, "too_large"],
  ])("with %s brings nothing", (_, rest, failed) => expect(at(rest)).toEqual({ failed }));
});
