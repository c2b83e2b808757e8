// Luggage: sealed as RFC 9180 has it, opened by the words alone, and held within bounds whoever sealed it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { type Bytes, joined, utf8 } from "../../src/identity/bytes";
import { LUGGAGE_BYTES, openLuggage, openSealed, readLuggage, sealKeyOf } from "../../src/identity/luggage";
import { ENTROPY, filled, START, why } from "./ada";
import { sealed, suite } from "./sealing";

const SCID = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG";
const bytes = (hex: string): Bytes => Uint8Array.from(Buffer.from(hex, "hex"));

const PACKED = {
  version: 1,
  scid: SCID,
  account: "@ada:a.example",
  packed_ms: START,
  name: "Ada",
  avatar: { variant: 3, bytes: "AAAA" },
  friends: [{ account: "@bob:b.example", did: "did:web:b.example:people:bob", name: "Bob" }],
  blocked: [{ account: "@eve:e.example" }],
};

beforeEach(() => void vi.spyOn(console, "warn").mockImplementation(() => {}));

describe("the seal", () => {
  it("opens the vector of RFC 9180, A.1.1", async () => {
    const ikm = bytes("6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037");
    const { privateKey, publicKey } = await suite().kem.deriveKeyPair(ikm);
    expect(new Uint8Array(await suite().kem.serializePublicKey(publicKey))).toEqual(
      bytes("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"),
    );
    expect(new Uint8Array(await suite().kem.serializePrivateKey(privateKey))).toEqual(
      bytes("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"),
    );
    const enc = bytes("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431");
    const ciphertext = bytes("f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a");
    const bound = { info: utf8("Ode on a Grecian Urn"), aad: utf8("Count-0") };
    const plain = await openSealed(joined(enc, ciphertext), privateKey, bound);
    expect(new TextDecoder().decode(plain)).toBe("Beauty is truth, truth beauty");
    await expect(openSealed(joined(enc, ciphertext), privateKey, { ...bound, aad: utf8("Count-1") })).rejects.toThrow();
  });

  it("opens the vectors of specs/vectors/luggage.json", async () => {
    const file = join(import.meta.dirname, "../../../../specs/vectors/luggage.json");
    for (const vector of JSON.parse(readFileSync(file, "utf8")).sealed) {
      const entropy = bytes(vector.entropy);
      expect(await sealKeyOf(entropy)).toBe(vector.seal_key);
      const { luggage } = await openLuggage([vector.sealed], entropy, vector.scid);
      expect(JSON.parse(luggage?.text ?? "")).toEqual(vector.luggage);
    }
  });

  it("grows from the words", async () => {
    expect(await sealKeyOf(Uint8Array.from({ length: 16 }, (_, at) => 0x10 + at))).toBe("1fdY7KMXa_8KxIDteP7h5b85ep8bL3yGyLq_2xRQTBk");
    expect(await sealKeyOf(ENTROPY)).not.toBe(await sealKeyOf(filled(6, 16)));
  });

  it("is none where a browser lacks the curve", async () => {
    const one = await sealed(JSON.stringify(PACKED), SCID);
    const lacks = vi.spyOn(crypto.subtle, "generateKey").mockRejectedValue(new DOMException("no", "NotSupportedError"));
    expect(await sealKeyOf(ENTROPY)).toBeNull();
    expect(await openLuggage([one], ENTROPY, SCID)).toEqual({ luggage: null, why: "unsupported" });
    lacks.mockRestore();
  });
});

describe("luggage", () => {
  it("is opened by the words, and the newest counts", async () => {
    const older = await sealed(JSON.stringify({ ...PACKED, packed_ms: START - 1, friends: [] }), SCID);
    const newer = await sealed(JSON.stringify(PACKED), SCID);
    const { luggage } = await openLuggage([older, newer, older], ENTROPY, SCID);
    expect(luggage).toMatchObject({
      account: "@ada:a.example",
      packedMs: START,
      name: "Ada",
      friends: [{ account: "@bob:b.example", name: "Bob" }],
      blocked: [{ account: "@eve:e.example", name: null }],
    });
    expect(JSON.parse(luggage!.text)).toEqual(PACKED);
  });

  it("is none where there is none, or other words or another person are needed", async () => {
    expect(await openLuggage([], ENTROPY, SCID)).toEqual({ luggage: null, why: "none" });
    const text = JSON.stringify(PACKED);
    const other = SCID.replace("Qm", "Qn");
    const all = [
      await sealed(text, SCID, { entropy: filled(6, 16) }),
      await sealed(text, other),
      await sealed(text, SCID, { info: "wayside" }),
      await sealed(JSON.stringify({ ...PACKED, scid: other }), SCID),
      (await sealed(text, SCID)).slice(0, -2),
      "", "=", "A".repeat(43), "A".repeat(63), "A".repeat(2_000_000),
    ];
    expect(await openLuggage(all, ENTROPY, SCID)).toEqual({ luggage: null, why: "locked" });
    expect((await openLuggage([...all, await sealed(text, SCID)], ENTROPY, SCID)).luggage).not.toBeNull();
  });

  it("as large as it may be is opened", async () => {
    const { length } = JSON.stringify({ ...PACKED, more: "" });
    const full = JSON.stringify({ ...PACKED, more: "x".repeat(LUGGAGE_BYTES - length) });
    expect((await openLuggage([await sealed(full, SCID)], ENTROPY, SCID)).luggage?.text).toHaveLength(LUGGAGE_BYTES);
    expect((await openLuggage([await sealed(`${full} `, SCID)], ENTROPY, SCID)).luggage).toBeNull();
  });

  it("that somebody made up is refused, or held within bounds", async () => {
    const people = (count: number): object[] => Array.from({ length: count }, (_, at) => ({ account: `@f${at}:b.example` }));
    const wrong = ["[]", "null", "7", "{", '{"version":1,"version":1}'].concat(
      [
        { version: 2 }, { version: "1" }, { scid: "another" }, { account: "ada" }, { account: 7 }, { packed_ms: -1 },
        { packed_ms: 1e300 }, { packed_ms: "today" }, { friends: {} }, { blocked: "all" }, { friends: people(1_001) }, { blocked: people(2_001) },
      ].map((one) => JSON.stringify({ ...PACKED, ...one })),
    );
    for (const text of wrong) expect(await why(() => readLuggage(text, SCID)), text.slice(0, 80)).toBe("malformed");
    const odd = [7, null, [], {}, { account: 7 }, { account: "" }, { account: "x".repeat(256) }];
    const friends = [...odd, { account: "@bob:b.example", name: 7 }, { account: "nobody" }, { account: "@cy:c.example", name: " " }];
    const read = readLuggage(JSON.stringify({ ...PACKED, name: ["Ada"], friends, blocked: odd }), SCID);
    expect(read.friends).toEqual([
      { account: "@bob:b.example", name: null },
      { account: "nobody", name: null },
      { account: "@cy:c.example", name: null },
    ]);
    expect([read.name, read.blocked, JSON.parse(read.text).blocked]).toEqual([null, [], []]);
    expect(readLuggage(JSON.stringify({ ...PACKED, friends: undefined, blocked: undefined }), SCID)).toMatchObject({ friends: [], blocked: [] });
  });
});
