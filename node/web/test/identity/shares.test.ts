// Shares of the recovery entropy: enough of one set bring it back, and everything else is told apart.
import { describe, expect, it } from "vitest";
import { combineShares, readShare, type Share, splitEntropy, writeShare } from "../../src/identity/shares";
import { ENTROPY, filled, why } from "./ada";

const read = (texts: readonly string[]): Promise<Share[]> => Promise.all(texts.map(readShare));

describe("shares", () => {
  it("bring the entropy back, whichever they are", async () => {
    const texts = await splitEntropy(ENTROPY, 3, 5);
    const shares = await read(texts);
    expect(new Set(shares.map(({ set }) => set)).size).toBe(1);
    expect(shares.map(({ index, needed }) => [index, needed])).toEqual([1, 2, 3, 4, 5].map((index) => [index, 3]));
    for (const some of [[0, 1, 2], [4, 2, 0], [1, 3, 4], [0, 1, 2, 3, 4]]) {
      expect(await combineShares(some.map((at) => shares[at]!))).toEqual(ENTROPY);
    }
    const all = await read(await splitEntropy(ENTROPY, 16, 16));
    expect(await combineShares(all)).toEqual(ENTROPY);
  });

  it("are read however they are typed", async () => {
    const text = (await splitEntropy(ENTROPY, 2, 10))[9] ?? "";
    const share = await readShare(text);
    expect(text).toMatch(/^WAYSIDE-SHARE-1-[0-9A-Z]{8}-10-2(-[0-9A-Z]{6}){7}$/);
    const typed = [text.toLowerCase(), ` ${text.replaceAll("-", " \n")} `, text.replaceAll("-", "\u2014")];
    // Letters that look like digits are those digits; the head is a word, and stays one.
    const [head, rest] = [text.slice(0, 14), text.slice(14)];
    for (const one of [...typed, head + rest.replaceAll("0", "o"), text.split("-").join(" - ")]) {
      expect(await readShare(one), one).toEqual(share);
    }
  });

  it("that are mistyped are known to be", async () => {
    const [text = ""] = await splitEntropy(ENTROPY, 2, 3);
    const parts = text.split("-");
    for (let at = 3; at < parts.length; at += 1) {
      const part = parts[at] ?? "";
      const other = parts.with(at, part.slice(0, -1) + (part.endsWith("2") ? "3" : "2"));
      expect(await why(() => readShare(other.join("-"))), other.join("-")).toBe("mistyped_share");
    }
    const swapped = parts.with(6, parts[7] ?? "").with(7, parts[6] ?? "");
    const cut = [text.slice(1), text.slice(0, -1), `${text}2`, "", "wayside"];
    for (const one of [...cut, swapped.join("-"), text.replace(/.$/, "U"), "a".repeat(500)]) {
      expect(await why(() => readShare(one)), one).toBe("mistyped_share");
    }
    expect(await why(() => readShare(text.replace("SHARE-1", "SHARE-2")))).toBe("newer");
  });

  it("say how many are missing", async () => {
    const shares = await read(await splitEntropy(ENTROPY, 3, 4));
    expect(await why(() => combineShares([]))).toBe("missing_shares");
    for (const [some, about] of [[[0], "2"], [[0, 1], "1"], [[1, 1, 1], "2"]] as const) {
      await expect(combineShares(some.map((at) => shares[at]!))).rejects.toMatchObject({ why: "missing_shares", about });
    }
  });

  it("of two sets, or false ones, bring nothing back", async () => {
    const one = await read(await splitEntropy(ENTROPY, 2, 3));
    const two = await read(await splitEntropy(ENTROPY, 2, 3));
    expect(await why(() => combineShares([one[0]!, two[1]!]))).toBe("mixed_shares");
    // Somebody who knows how shares are written makes them look like the others.
    const posing = { ...two[1]!, set: one[0]!.set };
    expect(await why(() => combineShares([one[0]!, posing]))).toBe("false_share");
    expect(await why(() => combineShares([one[0]!, { ...one[1]!, needed: 3 }]))).toBe("false_share");
    expect(await why(() => combineShares([one[0]!, { ...one[1]!, index: 1 }]))).toBe("false_share");
    expect(await why(() => combineShares([one[0]!, { ...one[0]!, index: 2 }]))).toBe("false_share");
    const bent = { ...one[1]!, bytes: one[1]!.bytes.map((byte, at) => (at === 0 ? byte ^ 1 : byte)) };
    expect(await why(() => combineShares([one[0]!, bent]))).toBe("false_share");
  });

  it("that somebody has chosen, and put where the secret lies, are refused", async () => {
    const [text = ""] = await splitEntropy(ENTROPY, 2, 3);
    const share = await readShare(text);
    expect(await writeShare(share)).toBe(text);
    const chosen = { ...share, bytes: share.bytes.with(-1, 0) };
    for (const other of [chosen, { ...share, index: 17 }, { ...share, needed: 1 }, { ...share, set: "00" }]) {
      expect(await why(async () => readShare(await writeShare(other)))).toBe("false_share");
    }
  });

  it("are made in numbers that make sense", async () => {
    for (const [needed, count] of [[1, 2], [0, 0], [3, 2], [2, 17], [2.5, 4], [NaN, 4]] as const) {
      expect(await why(() => splitEntropy(ENTROPY, needed, count)), `${needed} of ${count}`).toBe("malformed");
    }
    expect(await why(() => splitEntropy(filled(1, 15), 2, 3))).toBe("malformed");
  });
});
