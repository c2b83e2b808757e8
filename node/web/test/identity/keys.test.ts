// Keys, hashes and times as texts, and signatures by them.
import { createHash } from "node:crypto";
import { describe, expect, it, vi } from "vitest";
import { base58, fromBase58 } from "../../src/identity/base58";
import { base64url, fromBase64url, joined, utf8 } from "../../src/identity/bytes";
import { updateKey } from "../../src/identity/derived";
import { isSmall } from "../../src/identity/curve";
import { didOf, matrixUri, mxidOf, SCID, scidOf } from "../../src/identity/did";
import { hash, isHash, isMultikey, multikey, publicKeyOf } from "../../src/identity/multikey";
import { freshKey, signerFromSeed, signerOf, verify } from "../../src/identity/signing";
import { readTime, writeTime } from "../../src/identity/time";
import { filled, signer, why } from "./ada";

/** Of RFC 8032, section 7.1, the second test. */
const RFC = {
  seed: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
  key: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
  signature:
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
};
const unhex = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(text, "hex"));

describe("bytes as text", () => {
  it("come back from both bases", () => {
    for (const all of [[], [0], [0, 0, 1], [255, 0], filled(0, 64), filled(255, 64)]) {
      const bytes = Uint8Array.from(all);
      expect(fromBase58(base58(bytes))).toEqual(bytes);
      expect(fromBase64url(base64url(bytes))).toEqual(bytes);
    }
    expect(base58(utf8("Hello World!"))).toBe("2NEpo7TZRRrLZSi2U");
    expect(base58(Uint8Array.from([0, 0, 40, 127, 180, 205]))).toBe("11233QC4");
  });

  it("have one text each, and no other is taken", () => {
    for (const text of ["0", "O", "I", "l", "a b", "ä", "1".repeat(1_601)]) expect(fromBase58(text)).toBeNull();
    for (const text of ["a", "ab=", "ab+/", "AB", "a b", "abcde"]) expect(fromBase64url(text), text).toBeNull();
  });
});

const KEY = unhex(RFC.key);

describe("a Multikey", () => {
  it("is read as it is written", () => {
    expect(publicKeyOf(multikey(KEY))).toEqual(KEY);
    expect(multikey(KEY)).toMatch(/^z6Mk/);
  });

  it("of another kind, base or length is refused", () => {
    const other = [[0xec, 0x01], [0xed, 0x81, 0x00], [0xed]].map((head) => `z${base58(joined(head, KEY))}`);
    const short = `z${base58(joined([0xed, 0x01], KEY.slice(1)))}`;
    const bare = multikey(KEY).slice(1);
    for (const text of [...other, short, "", "z", bare, `m${bare}`, `z${"1".repeat(2_000)}`]) {
      expect(isMultikey(text), text).toBe(false);
    }
  });

  it("of no point of the curve, or of one that stands for nobody, is refused", async () => {
    const small = [
      "00".repeat(32),
      `01${"00".repeat(31)}`,
      `01${"00".repeat(30)}80`,
      `ec${"ff".repeat(30)}7f`,
      "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ];
    for (const key of small) expect([isMultikey(multikey(unhex(key))), isSmall(unhex(key))], key).toEqual([false, true]);
    // Beyond the prime: what others read as one of the numbers below it.
    const beyond = [`ed${"ff".repeat(30)}7f`, `ee${"ff".repeat(30)}7f`, `f0${"ff".repeat(30)}ff`, "ff".repeat(32)];
    const none = [`02${"00".repeat(31)}`, "05".repeat(32)];
    for (const key of [...beyond, ...none]) expect(isMultikey(multikey(unhex(key))), key).toBe(false);
    for (let seed = 0; seed < 20; seed += 1) expect(isMultikey((await signer(seed)).multikey)).toBe(true);
  });

  it("is committed to by a hash of its text", async () => {
    expect(await hash(utf8(""))).toBe("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n");
    expect(isHash(await hash(utf8("a")))).toBe(true);
    for (const text of ["", "Qm", "zQm", (await hash(utf8("a"))).slice(0, -1)]) expect(isHash(text)).toBe(false);
  });
});

describe("a signature", () => {
  it("is that of RFC 8032", async () => {
    const key = await signerFromSeed(unhex(RFC.seed));
    expect(key.multikey).toBe(multikey(unhex(RFC.key)));
    expect(Buffer.from(await key.sign(Uint8Array.of(0x72))).toString("hex")).toBe(RFC.signature);
    expect(await verify(key.multikey, Uint8Array.of(0x72), unhex(RFC.signature))).toBe(true);
  });

  it("stands over nothing else", async () => {
    const [one, two] = [await signer(1), await signer(2)];
    const signature = await one.sign(utf8("a"));
    const changed = Uint8Array.from(signature, (byte, at) => (at === 40 ? byte ^ 1 : byte));
    expect(await verify(one.multikey, utf8("a"), signature)).toBe(true);
    expect(await verify(two.multikey, utf8("a"), signature)).toBe(false);
    expect(await verify(one.multikey, utf8("b"), signature)).toBe(false);
    expect(await verify(one.multikey, utf8("a"), changed)).toBe(false);
    expect(await verify(one.multikey, utf8("a"), signature.slice(1))).toBe(false);
    expect(await verify("z6Mk", utf8("a"), signature)).toBe(false);
  });

  it("by a key that would stand over everything is none", async () => {
    // With the neutral point as key and as first half, and zero as second, the equation holds for any message.
    const neutral = joined([1], filled(0, 31));
    expect(await verify(multikey(neutral), utf8("anything"), joined(neutral, filled(0)))).toBe(false);
  });

  it("whose first half is a point of small order is none, even of whoever has the key", async () => {
    const sha512 = (...parts: Uint8Array[]): Uint8Array => createHash("sha512").update(joined(...parts)).digest();
    const number = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
    const [seed, message, neutral] = [filled(1), utf8("a"), joined([1], filled(0, 31))];
    const key = (await signer(1)).multikey;
    const secret = sha512(seed).slice(0, 32);
    secret[0] = (secret[0] ?? 0) & 0xf8;
    secret[31] = ((secret[31] ?? 0) & 0x7f) | 0x40;
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const second = (number(sha512(neutral, publicKeyOf(key), message)) * number(secret)) % order;
    const hex = second.toString(16).padStart(64, "0");
    const signature = joined(neutral, unhex(hex).reverse());
    expect(await verify(key, message, signature)).toBe(false);
  });

  it("is made alike by a key that cannot be taken out", async () => {
    const { multikey: named, privateKey } = await freshKey();
    expect(privateKey.extractable).toBe(false);
    expect(await verify(named, utf8("a"), await signerOf(named, privateKey).sign(utf8("a")))).toBe(true);
  });

  it("is said to be impossible where the browser has no Ed25519", async () => {
    const none = (): never => {
      throw new DOMException("unrecognized name", "NotSupportedError");
    };
    vi.spyOn(crypto.subtle, "importKey").mockImplementation(none);
    vi.spyOn(crypto.subtle, "generateKey").mockImplementation(none);
    expect(await why(() => signerFromSeed(filled(1)))).toBe("unsupported");
    expect(await why(() => freshKey())).toBe("unsupported");
    expect(await why(() => verify(multikey(KEY), utf8("a"), filled(9, 64)))).toBe("unsupported");
    vi.restoreAllMocks();
  });

  it("grows from secrets of one length and from numbers that count", async () => {
    expect(await why(() => signerFromSeed(filled(1, 31)))).toBe("malformed");
    for (const number of [0, -1, 1.5, NaN, 1_002]) expect(await why(() => updateKey(filled(1), number))).toBe("malformed");
    expect(await why(() => updateKey(filled(1, 16), 1))).toBe("malformed");
  });
});

describe("times", () => {
  it("are read as they are written", () => {
    const samples: [string, number][] = [
      ["1970-01-01T00:00:00Z", 0],
      ["2000-01-01T00:00:10Z", 946_684_810_000],
      ["2026-11-28T06:35:07.125Z", 1_795_847_707_125],
      ["2026-11-28T06:35:07.1Z", 1_795_847_707_100],
    ];
    for (const [text, ms] of samples) expect([writeTime(ms), readTime(text)]).toEqual([text, ms]);
    expect(readTime("2000-01-01T00:00:00+00:00")).toBe(946_684_800_000);
  });

  it("that are none are refused", () => {
    const days = ["", "now", "2000-01-01", "2000-13-01T00:00:00Z", "2000-02-30T00:00:00Z", "2000-01-01T24:00:00Z"];
    const zones = ["2000-01-01T00:00:00", "2000-01-01T00:00:00+01:00", "+020000-01-01T00:00:00Z"];
    for (const text of [...days, ...zones]) {
      expect(readTime(text), text).toBeNull();
    }
  });
});

describe("names", () => {
  it("of a DID say where its log lies", () => {
    const samples: [string, string[], string][] = [
      ["a.example", ["people", "ada"], "a.example:people:ada"],
      ["a.example:8448", ["people", "a=b+c~"], "a.example%3A8448:people:a%3Db%2Bc%7E"],
      ["localhost:1", ["people", "ä"], "localhost%3A1:people:%C3%A4"],
      ["xn--fsq.example", [], "xn--fsq.example"],
    ];
    for (const [host, path, rest] of samples) expect(didOf(SCID, host, path)).toBe(`did:webvh:{SCID}:${rest}`);
  });

  it("that lead elsewhere are refused", async () => {
    const hosts = ["", "a", "A.example", "-a.example", "a..example", "a.example.", "xn--a.example", "u@a.example"];
    const ports = ["a.example:", "a.example:0", "a.example:65536", "a.example:1:2"];
    const numbers = ["127.0.0.1", "127.1", "[::1]", "a.0x7f", "2130706433"];
    for (const host of [...hosts, ...ports, ...numbers, "a.example/x"]) {
      expect(await why(() => didOf(SCID, host, [])), host).toBe("malformed");
    }
    for (const part of ["", ".", "..", "a/b", "a\\b", "%2e", "a\u0000", "a\u202e"]) {
      expect(await why(() => didOf(SCID, "a.example", [part])), part).toBe("malformed");
    }
    const scid = await hash(utf8("a"));
    expect(scidOf(`did:webvh:${scid}:a.example:people:ada`)).toBe(scid);
    const own = `did:webvh:${scid}`;
    for (const did of ["", "did:web:a.example", own, `${own}:`, `${own}:a.example::b`, "did:webvh:Qm:a.example"]) {
      expect(await why(() => scidOf(did)), did).toBe("malformed");
    }
  });

  it("of Matrix are written in one way", async () => {
    const samples: [string, string][] = [
      ["@ada:a.example", "matrix:u/ada:a.example"],
      ["@a=b+c/d:[::1]:8448", "matrix:u/a=b+c%2Fd:[::1]:8448"],
    ];
    for (const [mxid, uri] of samples) expect([matrixUri(mxid), mxidOf(uri)]).toEqual([uri, mxid]);
    const long = `@${"a".repeat(255)}:b`;
    for (const mxid of ["", "ada:a.example", "@ada", "@:a.example", "@ada:", "@a da:a.example", long]) {
      expect(await why(() => matrixUri(mxid)), mxid).toBe("malformed");
    }
    for (const uri of ["", "matrix:r/ada:a", "matrix:u/%61da:a.example", "matrix:u/%zz:a", "https://a.example"]) {
      expect(mxidOf(uri), uri).toBeNull();
    }
  });
});
