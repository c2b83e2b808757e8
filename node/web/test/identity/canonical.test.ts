// JSON as it is signed: one way to write it, and no two ways to read it.
import { describe, expect, it } from "vitest";
import { canonical, type Json, readJson } from "../../src/identity/canonical";
import { IdentityError } from "../../src/identity/errors";

describe("canonical JSON", () => {
  it("writes numbers as ECMAScript does", () => {
    const double = (bits: bigint): number => new Float64Array(new BigUint64Array([bits]).buffer)[0] ?? 0;
    const samples: [bigint, string][] = [
      [0x8000000000000000n, "0"],
      [0x0000000000000001n, "5e-324"],
      [0x7fefffffffffffffn, "1.7976931348623157e+308"],
      [0x4340000000000000n, "9007199254740992"],
      [0x44b52d02c7e14af6n, "1e+23"],
      [0x3eb0c6f7a0b5ed8cn, "9.999999999999997e-7"],
      [0x41b3de4355555555n, "333333333.3333333"],
    ];
    for (const [bits, text] of samples) expect(canonical(double(bits))).toBe(text);
  });

  it("refuses what is no JSON", () => {
    const strange = [NaN, Infinity, undefined, () => 1, 1n, { a: undefined }, [undefined], "\ud800", { "\udc00": 1 }];
    for (const value of strange) expect(() => canonical(value as Json)).toThrow(IdentityError);
  });

  it("reads as what was written", () => {
    const value = { z: [1, { y: null, x: "\u{1f600}\u0001" }], "": { ":": '"a":1', "\\": "\\\":" }, __proto__: 3 };
    expect(canonical(readJson(canonical(value as unknown as Json)))).toBe(canonical(value as unknown as Json));
  });
});

describe("reading JSON", () => {
  it("is not confused by what stands in texts", () => {
    for (const text of ['{"a":"b\\":","c":"\\\\"}', '["a:", ":", "\\"a\\":1,\\"a\\":1"]', '{"a" \n:"9007199254740993"}']) {
      expect(() => readJson(text)).not.toThrow();
    }
  });

  it("refuses what two readers would see otherwise", () => {
    const doubled = ['{"a":1,"b":{"c":1,"c":1}}', '{"__proto__":1,"__proto__":2}', '[{"a":1},{"\\u0061":1,"a":2}]'];
    const large = ["9007199254740992", '{"a":-9007199254740993}', "1e999"];
    const broken = ["", "{", "[1,]", "nul", "'a'", "\u00a01", '"\\ud800"', '{"\\udfff":1}'];
    for (const text of [...doubled, ...large, ...broken]) expect(() => readJson(text), text).toThrow(IdentityError);
    expect(readJson("9007199254740991")).toBe(Number.MAX_SAFE_INTEGER);
    expect(readJson("1e30")).toBe(1e30);
  });

  it("holds out against what is deep or long", () => {
    const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
    expect(() => readJson(nested(127))).not.toThrow();
    expect(() => readJson(nested(128))).toThrow(IdentityError);
    expect(() => readJson(nested(1_000_000))).toThrow(IdentityError);
    const long = `{"a":"${"\\\\x".repeat(700_000)}"}`;
    expect(() => readJson(long)).not.toThrow();
  });
});
