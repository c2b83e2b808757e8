// Logs that a node made up, cut, forked or changed: nothing is signed behind any of them.
import { describe, expect, it, vi } from "vitest";
import { canonical, type JsonObject } from "../../src/identity/canonical";
import { utf8 } from "../../src/identity/bytes";
import { updateKey } from "../../src/identity/derived";
import { commitment, begin, goOn, Log } from "../../src/identity/log";
import { hash } from "../../src/identity/multikey";
import { rotate } from "../../src/identity/person";
import type { Signer } from "../../src/identity/signing";
import { ada, forged, MINUTE, multikey, nextEntry, SECRET, signer, START, why } from "./ada";

const changed = (line: string, member: string, value: JsonObject[string]): string =>
  canonical({ ...(JSON.parse(line) as JsonObject), [member]: value });

describe("a log", () => {
  it("is read as it was written", async () => {
    const { log, keys } = await ada();
    const longer = (await rotate(log, keys, START + MINUTE)).log;
    const read = await Log.read(longer.text, log.did);
    expect(read.last).toEqual(longer.last);
    expect([read.last.number, read.scid, read.did]).toEqual([2, log.scid, log.did]);
    expect(read.last.updateKeys).toEqual([await (await updateKey(SECRET, 2)).multikey]);
    expect(read.has(log.last.versionId)).toBe(true);
    expect(log.has(read.last.versionId)).toBe(false);
    await expect(Log.read(longer.text.trimEnd())).resolves.toBeDefined();
  });

  it("of somebody else is not taken for one's own", async () => {
    const [{ log }, other] = [await ada(), await ada(new Uint8Array(32))];
    expect(await why(() => Log.read(other.log.text, log.did))).toBe("wrong_person");
    expect(await why(() => Log.read(log.text, log.did.replace("ada", "bob")))).toBe("wrong_person");
  });

  it("with a broken chain is refused", async () => {
    const { log, keys } = await ada();
    const { lines } = (await rotate(log, keys, START + MINUTE)).log;
    const [first = "", second = ""] = lines;
    const other = (await ada(new Uint8Array(32))).log.line;
    const id = log.last.versionId;
    for (const broken of [
      [],
      [second],
      [second, first],
      [first, first],
      [first, second, second],
      [other, second],
      ["", first],
      [first, "", second],
      [first, "{"],
      [`${first},`],
      [first, changed(second, "versionTime", "2026-05-01T00:01:01Z")],
      [first, changed(second, "versionId", id)],
      [first, changed(second, "versionId", `2-${id.slice(2)}`)],
      [first, changed(second, "more", 1)],
      [first, changed(second, "proof", [])],
      [first, changed(second, "proof", (JSON.parse(first) as JsonObject).proof ?? null)],
      [first, changed(second, "state", { ...log.last.state, service: [] })],
      [changed(first, "versionTime", "2026-04-01T00:00:00Z"), second],
      [changed(first, "parameters", {}), second],
      [first, second.replace('"state":{', '"state":{},"state":{')],
      [first, second.replaceAll("a.example", "b.example")],
      [first.replaceAll(log.scid, await hash(utf8("a")))],
    ]) {
      expect(await why(() => Log.read(broken.join("\n"))), broken.join("\n").slice(-200)).toBe("bad_log");
    }
    expect(await why(() => Log.read("a".repeat(2 * 1024 * 1024 + 1)))).toBe("bad_log");
    expect(await why(() => Log.read("{}\n".repeat(1_001)))).toBe("bad_log");
  });

  it("with a sound chain and another fault is refused", async () => {
    const { log } = await ada();
    const [two, thief] = [await updateKey(SECRET, 2), await signer(66)];
    const entry = await nextEntry(log);
    const parameters = entry.parameters as JsonObject;
    const saying = (said: JsonObject): JsonObject => ({ ...entry, parameters: { ...parameters, ...said } });
    expect(await why(async () => log.with(await forged(entry, 2, two)))).toBe("not refused");
    const state = log.last.state;
    const moved = log.did.replace("a.example", "b.example");
    const wrongs: [JsonObject, Signer][] = [
      [entry, thief],
      [saying({ updateKeys: [thief.multikey] }), thief],
      [saying({ updateKeys: [two.multikey, thief.multikey] }), thief],
      [saying({ updateKeys: [two.multikey, thief.multikey] }), two],
      [saying({ updateKeys: [] }), two],
      [saying({ updateKeys: "z6Mk" }), two],
      [saying({ nextKeyHashes: [7] }), two],
      [saying({ nextKeyHashes: Array<string>(101).fill("a") }), two],
      [saying({ scid: log.scid }), two],
      [saying({ method: "did:webvh:2.0" }), two],
      [saying({ witness: { threshold: 1, witnesses: [{ id: "did:key:z6Mk" }] } }), two],
      [saying({ witness: "nobody" }), two],
      [saying({ surprise: true }), two],
      [saying({ deactivated: 1 }), two],
      [{ ...entry, parameters: { updateKeys: [two.multikey] } }, two],
      [{ ...entry, parameters: {} }, await updateKey(SECRET, 1)],
      [{ ...entry, versionTime: "2026-05-01T00:00:00Z" }, two],
      [{ ...entry, versionTime: "tomorrow" }, two],
      [{ ...entry, state: [] }, two],
      [{ ...entry, state: { ...state, id: "did:web:a.example" } }, two],
      [{ ...entry, state: { ...state, id: moved } }, two],
      [{ ...entry, state: { ...state, id: (await ada(new Uint8Array(32))).log.did } }, two],
    ];
    for (const [wrong, by] of wrongs) {
      expect(await why(async () => log.with(await forged(wrong, 2, by))), JSON.stringify(wrong)).toBe("bad_log");
    }
    const also = { ...state, id: moved, alsoKnownAs: [log.did] };
    expect(await why(async () => log.with(await forged({ ...entry, state: also }, 2, two)))).toBe("not refused");
  });

  it("is signed by nobody who names one key and shows another", async () => {
    const { log } = await ada();
    const [two, thief, entry] = [await updateKey(SECRET, 2), await signer(66), await nextEntry(log)];
    for (const multikey of [two.multikey, `${two.multikey}#${thief.multikey}`, `${thief.multikey}#${two.multikey}`]) {
      const line = await forged(entry, 2, { multikey, sign: thief.sign });
      expect(await why(() => log.with(line)), multikey).toBe("bad_log");
    }
    expect(await why(async () => log.with(await forged(entry, 2, two, "authentication")))).toBe("bad_log");
  });

  it("begins with the version that its SCID is the hash of", async () => {
    const { log } = await ada();
    const scid = await hash(utf8("a"));
    const { proof, ...first } = JSON.parse(log.line.replaceAll(log.scid, scid)) as JsonObject;
    const line = await forged({ ...first, versionId: scid }, 1, await updateKey(SECRET, 1));
    expect(proof).toBeDefined();
    expect(await why(() => Log.read(line))).toBe("bad_log");
  });
});

describe("going on", () => {
  it("asks no key to sign that the last version did not commit to", async () => {
    const { log } = await ada();
    const key = await signer(66);
    const sign = vi.fn(key.sign);
    const parameters: JsonObject = { updateKeys: [key.multikey], nextKeyHashes: [await commitment(key.multikey)] };
    const draft = { parameters, document: log.last.state, timeMs: START + MINUTE };
    expect(await why(() => goOn(log, draft, { ...key, sign }))).toBe("wrong_key");
    const two = await updateKey(SECRET, 2);
    expect(await why(() => goOn(log, draft, { ...two, sign }))).toBe("wrong_key");
    const early = { ...draft, parameters: { ...parameters, updateKeys: [two.multikey] }, timeMs: START };
    expect(await why(() => goOn(log, early, { ...two, sign }))).toBe("clock");
    expect(sign).not.toHaveBeenCalled();
  });

  it("without commitment takes the keys of before, and nothing after the end", async () => {
    const key = await signer(1);
    const document = { id: "did:webvh:{SCID}:a.example" };
    const first = await begin({ parameters: { updateKeys: [key.multikey] }, document, timeMs: START }, key);
    const state = first.last.state;
    const draft = { parameters: { updateKeys: [await multikey(2)] }, document: state, timeMs: START + MINUTE };
    expect(await why(async () => goOn(first, draft, await signer(2)))).toBe("wrong_key");
    const second = await goOn(first, draft, key);
    const end = { parameters: { updateKeys: [], deactivated: true }, document: state, timeMs: START + 2 * MINUTE };
    const ended = await goOn(second, end, await signer(2));
    expect(await why(() => goOn(ended, { ...end, timeMs: START + 3 * MINUTE }, key))).toBe("ended");
    expect(await why(async () => begin({ ...draft, document }, key))).toBe("wrong_key");
  });
});
