// What people keep for the day on which they have lost everything else.
import { describe, expect, it } from "vitest";
import { freshEntropy } from "../../src/identity/derived";
import { IdentityError } from "../../src/identity/errors";
import { rotate } from "../../src/identity/person";
import { readRecoveryFile, writeRecoveryFile } from "../../src/identity/recovery";
import { readWords, wordsOf } from "../../src/identity/words";
import { ada, ENTROPY, filled, MINUTE, RECOVERY, START, why } from "./ada";

const WORDS = wordsOf(ENTROPY);

describe("recovery words", () => {
  it("are those of BIP 39", () => {
    const samples: [number, string][] = [
      [0x00, `${"abandon ".repeat(11)}about`],
      [0x7f, "legal winner thank year wave sausage worth useful legal winner thank yellow"],
      [0x80, "letter advice cage absurd amount doctor acoustic avoid letter advice cage above"],
      [0xff, `${"zoo ".repeat(11)}wrong`],
    ];
    for (const [byte, words] of samples) {
      expect(wordsOf(filled(byte, 16)).join(" ")).toBe(words);
      expect(readWords(words)).toEqual(filled(byte, 16));
    }
    const entropy = freshEntropy();
    expect(readWords(wordsOf(entropy).join(" "))).toEqual(entropy);
  });

  it("are read however they are typed", () => {
    const numbered = WORDS.map((word, at) => `${at + 1}. ${word}`).join("\n");
    const shouted = `  ${WORDS.join("\u00a0 \t").toUpperCase()}\r\n`;
    const wide = WORDS.join(", ").replace(/[a-z]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) + 0xfee0));
    const hidden = WORDS.join("-").replace("a", "a\u200b").replace("e", "e\u0301");
    for (const text of [numbered, shouted, wide, hidden]) expect(readWords(text), text).toEqual(ENTROPY);
  });

  it("that are wrong are told apart", () => {
    const refusal = (words: string[]): unknown => {
      try {
        return readWords(words.join(" "));
      } catch (error) {
        return error instanceof IdentityError && [error.why, error.about];
      }
    };
    expect(refusal(WORDS.with(2, "abandn"))).toEqual(["unknown_word", "abandn"]);
    expect(refusal(WORDS.with(2, "x".repeat(100)))).toEqual(["unknown_word", "x".repeat(40)]);
    expect(refusal(WORDS.slice(1))).toEqual(["word_count", "11"]);
    expect(refusal([...WORDS, "zoo"])).toEqual(["word_count", "13"]);
    expect(refusal([])).toEqual(["word_count", "0"]);
    expect(refusal(Array<string>(900).fill("zoo"))).toEqual(["word_count", "many more"]);
    expect(refusal(WORDS.with(11, WORDS[11] === "zoo" ? "abandon" : "zoo"))).toEqual(["wrong_words", null]);
  });
});

describe("a recovery file", () => {
  const NOW = START + MINUTE;
  const saved = async (): Promise<Record<string, unknown>> => {
    const { log } = await ada();
    const file = { name: "Ada", home: "https://a.example", recovery: RECOVERY, log, savedMs: NOW, copies: ["b.example"] };
    return JSON.parse(await writeRecoveryFile(file)) as Record<string, unknown>;
  };

  it("is read as it was saved", async () => {
    const file = await saved();
    const { log } = await ada();
    expect(file).toEqual({
      type: "wayside-recovery",
      version: 1,
      did: log.did,
      name: "Ada",
      home: "https://a.example",
      words: WORDS,
      recoveryKey: 1,
      log: log.text,
      saved: "2026-05-01T00:01:00Z",
      copies: ["b.example"],
    });
    const read = await readRecoveryFile(JSON.stringify(file));
    expect(read).toMatchObject({ name: "Ada", home: "https://a.example", recovery: RECOVERY, savedMs: NOW, copies: ["b.example"] });
    expect(read.log.text).toBe(log.text);
  });

  it("is not made with words that open nothing", async () => {
    const { log } = await ada();
    const file = { name: "Ada", home: "https://a.example", recovery: RECOVERY, log, savedMs: NOW, copies: ["b.example"] };
    expect(await why(() => writeRecoveryFile({ ...file, recovery: { ...RECOVERY, number: 2 } }))).toBe("wrong_words");
    expect(await why(() => writeRecoveryFile({ ...file, name: " " }))).toBe("malformed");
    expect(await why(() => writeRecoveryFile({ ...file, home: "a.example" }))).toBe("malformed");
  });

  it("is refused where a field of it is wrong", async () => {
    const file = await saved();
    const other = (await ada(filled(3))).log;
    const wrong: [string, unknown, string][] = [
      ["type", "wayside-vault", "malformed"],
      ["version", 2, "newer"],
      ["version", "1", "malformed"],
      ["did", other.did, "wrong_person"],
      ["did", "did:web:a.example", "malformed"],
      ["did", undefined, "malformed"],
      ["name", "", "malformed"],
      ["name", "a\nb", "malformed"],
      ["name", "a".repeat(256), "malformed"],
      ["home", "javascript:alert(1)", "malformed"],
      ["home", "http://a.example", "malformed"],
      ["words", WORDS.join(" "), "malformed"],
      ["words", WORDS.slice(1), "word_count"],
      ["words", WORDS.with(0, "wayside"), "unknown_word"],
      ["words", wordsOf(filled(1, 16)), "wrong_words"],
      ["words", Array<string>(25).fill("zoo"), "malformed"],
      ["recoveryKey", 0, "malformed"],
      ["recoveryKey", 1.5, "malformed"],
      ["recoveryKey", 2, "wrong_words"],
      ["log", "", "bad_log"],
      ["log", other.text, "wrong_person"],
      ["log", 7, "malformed"],
      ["saved", "today", "malformed"],
      ["copies", "b.example", "malformed"],
      ["copies", [7], "malformed"],
      ["copies", null, "malformed"],
    ];
    for (const [member, value, expected] of wrong) {
      const text = JSON.stringify({ ...file, [member]: value });
      expect(await why(() => readRecoveryFile(text)), `${member} ${String(value)}`).toBe(expected);
    }
    for (const text of ["", "[]", "null", "{", '{"type":"wayside-recovery","type":"wayside-recovery"}']) {
      expect(await why(() => readRecoveryFile(text)), text).toBe("malformed");
    }
    expect(await why(() => readRecoveryFile(JSON.stringify({ ...file, more: "a".repeat(4 << 20) })))).toBe("malformed");
  });

  it("names servers that hold copies, if it names some", async () => {
    const { copies: _, ...before } = await saved();
    expect((await readRecoveryFile(JSON.stringify(before))).copies).toEqual([]);
    const many = Array.from({ length: 20 }, (_, at) => `s${at}.example`);
    const copies = ["b.example:8448", "b.example:8448", "https://b.example", "", "@bob:b.example", "[::1]:80", ...many];
    const read = await readRecoveryFile(JSON.stringify({ ...before, copies }));
    expect(read.copies).toEqual(["b.example:8448", "[::1]:80", ...many.slice(0, 14)]);
  });

  it("that is older than the log is good for what it says", async () => {
    const file = await readRecoveryFile(JSON.stringify(await saved()));
    const { log, keys } = await ada();
    const longer = (await rotate(log, keys, NOW)).log;
    expect(longer.has(file.log.last.versionId)).toBe(true);
  });
});
