// The vectors of specs/vectors/identity.json, made anew from fixed secrets and times and compared to the letter.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type Bytes } from "../../src/identity/bytes";
import { canonical, type Json, type JsonObject, readJson } from "../../src/identity/canonical";
import { recoverySeed, updateSeed } from "../../src/identity/derived";
import { commitment, Log } from "../../src/identity/log";
import { addDevice, changeNodeKey, deactivate, move, newPerson, recover, rotate } from "../../src/identity/person";
import { prove, readProof, verifyProof } from "../../src/identity/proof";
import { signerFromSeed } from "../../src/identity/signing";
import { readWords, wordsOf } from "../../src/identity/words";

const FILE = join(import.meta.dirname, "../../../../specs/vectors/identity.json");
const START = Date.UTC(2026, 0, 2, 3, 4, 5);
const MINUTE = 60_000;
const END = START + MINUTE;

const CANONICAL: Record<string, string> = {
  "names in another order, with spaces": '{ "b": [ 1, true , null ],\n\t"a": {"d": "", "c": {}} }',
  "names that sort by units of UTF-16": '{"\u20ac":1,"\\r":2,"\ufb33":3,"1":4,"\u{1f600}":5,"\u0080":6,"\u00f6":7}',
  "texts with all that is escaped": '"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/\\u007f\\b\\t\\f"',
  "numbers": "[-0, 0.0, 1E30, 4.50, 2e-3, 1e21, 1e-7, 0.000001, -9007199254740991]",
  "a name that other languages keep for themselves": '{"constructor": 1, "__proto__": {"a": 2}}',
};

const REFUSED: Record<string, string> = {
  "a name twice": '{"a":1,"a":1}',
  "a name twice, once written otherwise": '{"a":{"b":1,"\\u0062":2}}',
  "a number beyond what a double tells apart": "9007199254740992",
  "the same below zero": "[-9007199254740992]",
  "half of a pair": '"\\ud800"',
  "half of a pair in a name": '{"\\udc00":1}',
  "more behind the end": "[1] 2",
  "no end": '{"a":',
  "nothing": "",
  "nested too deep": "[".repeat(200) + "]".repeat(200),
};

const bytes = (first: number, length: number): Bytes => Uint8Array.from({ length }, (_, at) => (first + at) & 0xff);
const hex = (all: Uint8Array): string => Buffer.from(all).toString("hex");
const unhex = (text: Json | undefined): Bytes => Uint8Array.from(Buffer.from(text as string, "hex"));

const ENTROPY = bytes(0x10, 16);
const SECRET = bytes(0x40, 32);
/** After the recovery. */
const FRESH_SECRET = bytes(0x80, 32);
const DEVICE_SEEDS = [bytes(0xa0, 32), bytes(0xb0, 32), bytes(0xc0, 32)];
const NODE_SEEDS = [bytes(0xd0, 32), bytes(0xe0, 32), bytes(0xf0, 32)];

const keyOf = async (seed: Bytes | undefined): Promise<string> => (await signerFromSeed(seed ?? bytes(0, 0))).multikey;

async function multikeys(): Promise<JsonObject[]> {
  const named = [["a device", DEVICE_SEEDS[0]], ["a node", NODE_SEEDS[0]], ["zeros", new Uint8Array(32)]] as const;
  return Promise.all(
    named.map(async ([name, seed]) => {
      const multikey = await keyOf(seed);
      return { name, seed: hex(seed ?? bytes(0, 0)), multikey, commitment: await commitment(multikey) };
    }),
  );
}

async function derived(): Promise<JsonObject[]> {
  const numbers = [1, 2, 12];
  const of = async (kind: string, secret: Bytes, number: number, seed: Bytes): Promise<JsonObject> => {
    const name = `wayside ${kind} key ${number}`;
    return { name, kind, secret: hex(secret), number, seed: hex(seed), multikey: await keyOf(seed) };
  };
  return Promise.all([
    ...numbers.map(async (number) => of("recovery", ENTROPY, number, await recoverySeed(ENTROPY, number))),
    ...numbers.map(async (number) => of("update", SECRET, number, await updateSeed(SECRET, number))),
  ]);
}

async function proofs(): Promise<JsonObject[]> {
  const seed = DEVICE_SEEDS[0] ?? bytes(0, 0);
  const signer = await signerFromSeed(seed);
  const verificationMethod = `did:key:${signer.multikey}#${signer.multikey}`;
  const of = async (name: string, document: JsonObject, more: object): Promise<JsonObject> => {
    const claims = { verificationMethod, purpose: "authentication", createdMs: START, ...more } as const;
    return { name, seed: hex(seed), document, proof: await prove(document, claims, signer) };
  };
  const context = ["https://www.w3.org/ns/credentials/v2"];
  return [
    await of("somebody shows who they are", { hello: "w\u00f6rld" }, { domain: "a.example", challenge: "c0ffee" }),
    await of("a time with parts of a second, and an end", { at: 1.5 }, { createdMs: START + 120, expiresMs: END }),
    await of("a document with contexts", { "@context": context, id: "urn:a" }, { purpose: "assertionMethod" }),
  ];
}

async function log(): Promise<JsonObject[]> {
  const [one, two, three] = await Promise.all(DEVICE_SEEDS.map(keyOf));
  const [first, second, third] = await Promise.all(NODE_SEEDS.map(keyOf));
  const steps: JsonObject[] = [];
  const step = <T extends { log: Log }>(name: string, changed: T): T => {
    const told = steps.length;
    for (const line of changed.log.lines.slice(told)) steps.push({ name, line });
    return changed;
  };
  const home = (host: string, nodeKey = ""): Parameters<typeof move>[2] => {
    const path = ["people", "ada"];
    return { host, path, mxid: `@ada:${host}`, nodeKey, service: `https://${host}` };
  };
  let keys = { secret: SECRET, number: 0 };
  const recovery = { entropy: ENTROPY, number: 1 };
  const begun = { home: home("a.example", first), device: one ?? "", keys, recovery, nowMs: START };
  let last = step("a person begins", await newPerson(begun));
  last = step("a device comes", await addDevice(last.log, last.keys, two ?? "", START + MINUTE));
  last = step("the update key is used up", await rotate(last.log, last.keys, START + 2 * MINUTE));
  keys = { secret: FRESH_SECRET, number: 0 };
  const anew = { keys, home: begun.home, devices: [three ?? ""] };
  last = step("the person recovers", await recover(last.log, recovery, anew, START + 3 * MINUTE));
  last = step("the person moves", await move(last.log, last.keys, home("b.example:8448", second), START + 4 * MINUTE));
  last = step("the key of the node changes", await changeNodeKey(last.log, last.keys, third ?? "", START + 5 * MINUTE));
  step("the person ends it, in two versions", await deactivate(last.log, last.keys, START + 6 * MINUTE));
  return steps;
}

async function vectors(): Promise<Record<string, JsonObject[]>> {
  const canonicals = Object.entries(CANONICAL);
  const entropies = [new Uint8Array(16), ENTROPY, new Uint8Array(16).fill(0xff)];
  return {
    canonical: canonicals.map(([name, json]) => ({ name, json, canonical: canonical(readJson(json)) })),
    refused: Object.entries(REFUSED).map(([name, json]) => ({ name, json })),
    multikeys: await multikeys(),
    words: entropies.map((entropy) => ({ entropy: hex(entropy), words: wordsOf(entropy).join(" ") })),
    derived: await derived(),
    proofs: await proofs(),
    log: await log(),
  };
}

/** A vector a line, so that a change is seen, and in ASCII, so that it is seen as it is. */
function written(sections: Record<string, JsonObject[]>): string {
  const parts = Object.entries(sections).map(([name, items]) => {
    return ` ${JSON.stringify(name)}: [\n${items.map((item) => `  ${JSON.stringify(item)}`).join(",\n")}\n ]`;
  });
  const escaped = (letter: string): string => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `{\n${parts.join(",\n")}\n}\n`.replace(/[\u007f-\uffff]/g, escaped);
}

describe("the vectors of specs/", () => {
  let kept: Record<string, JsonObject[]>;

  beforeAll(async () => {
    if (process.env.WAYSIDE_WRITE === "1") writeFileSync(FILE, written(await vectors()));
    kept = JSON.parse(readFileSync(FILE, "utf8")) as Record<string, JsonObject[]>;
  });

  it("are made to the letter", async () => {
    expect(readFileSync(FILE, "utf8"), "WAYSIDE_WRITE=1 writes it anew").toBe(written(await vectors()));
  });

  it("name what is refused", () => {
    for (const { name, json } of kept.refused ?? []) expect(() => readJson(json as string), name as string).toThrow();
    expect(kept.refused).toHaveLength(Object.keys(REFUSED).length);
  });

  it("read back as they are", async () => {
    for (const { entropy, words } of kept.words ?? []) expect(hex(readWords(words as string))).toBe(entropy);
    for (const { seed, document, proof } of kept.proofs ?? []) {
      const multikey = await keyOf(unhex(seed));
      expect(await verifyProof(readProof(proof ?? null), document as JsonObject, multikey)).toBe(true);
    }
    const read = await Log.read((kept.log ?? []).map(({ line }) => `${line as string}\n`).join(""));
    expect(read.versions).toHaveLength(8);
    expect(read.last.deactivated).toBe(true);
  });
});
