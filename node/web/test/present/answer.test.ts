// What is shown to whoever asks: by the right key, for them alone, and only by a device of the DID.
import { afterEach, describe, expect, it, vi } from "vitest";
import type { JsonObject } from "../../src/identity/canonical";
import type { KeptKey, KeyStore } from "../../src/identity/device";
import { freshDeviceKey, keepDeviceKey } from "../../src/identity/device";
import { addDevice, deactivate } from "../../src/identity/person";
import { readProof, verifyProof } from "../../src/identity/proof";
import { deliver, goalOf, notShown, PostError, shown } from "../../src/present/answer";
import { holderBy, isAbout, type Lack, present } from "../../src/present/holder";
import type { Way } from "../../src/present/request";
import { ada, MINUTE, multikey, signer, START } from "../identity/ada";

const address = new URL("https://b.example/sign-in/return");
const way: Way = { address, mode: "fragment", state: "s-1" };
const question = { domain: `redirect_uri:${address.href}`, challenge: "n-1" };
const credential: JsonObject = { type: ["VerifiableCredential", "HomeMembership"], credentialSubject: { id: "did:a" } };

function memory(): KeyStore {
  const kept = new Map<string, KeptKey>();
  return {
    get: async (id) => kept.get(id),
    add: async (key) => !kept.has(key.id) && !!kept.set(key.id, key),
    delete: async (id) => void kept.delete(id),
  };
}

afterEach(() => vi.unstubAllGlobals());

describe("a presentation", () => {
  it("stands over what it shows, by the key that it names", async () => {
    const { log } = await ada();
    const presentation = await present({ did: log.did, signer: await signer(1) }, question, [credential], START);
    const { proof, ...bare } = presentation;
    expect(bare).toEqual({
      "@context": ["https://www.w3.org/ns/credentials/v2"],
      type: ["VerifiablePresentation"],
      holder: log.did,
      verifiableCredential: [credential],
    });
    const read = readProof(proof!);
    expect(read.options).toEqual({
      "@context": ["https://www.w3.org/ns/credentials/v2"],
      type: "DataIntegrityProof",
      cryptosuite: "eddsa-jcs-2022",
      created: "2026-05-01T00:00:00Z",
      expires: "2026-05-01T00:05:00Z",
      verificationMethod: `${log.did}#${await multikey(1)}`,
      proofPurpose: "authentication",
      ...question,
    });
    expect(await verifyProof(read, bare, await multikey(1))).toBe(true);
    expect(await verifyProof(read, { ...bare, verifiableCredential: [] }, await multikey(1))).toBe(false);
    const other = readProof({ ...(proof as JsonObject), domain: "redirect_uri:https://c.example/" });
    expect(await verifyProof(other, bare, await multikey(1))).toBe(false);
  });

  it("shows all that is said of somebody, in the order in which it is given", async () => {
    const { log } = await ada();
    const all = [credential, { type: ["VerifiableCredential", "Badge"], credentialSubject: { id: log.did } }];
    const { proof, ...bare } = await present({ did: log.did, signer: await signer(1) }, question, all, START);
    expect(bare.verifiableCredential).toEqual(all);
    const read = readProof(proof!);
    expect(await verifyProof(read, bare, await multikey(1))).toBe(true);
    expect(await verifyProof(read, { ...bare, verifiableCredential: [credential] }, await multikey(1))).toBe(false);
  });

  it("goes back behind the #, under every name that was asked for", async () => {
    const goal = new URL((await deliver(shown(["home", "b"], { id: "a&b=c#d +" }, way), way)) ?? "");
    expect(goal.href.split("#")[0]).toBe(address.href);
    const given = new URLSearchParams(goal.hash.slice(1));
    expect(given.get("state")).toBe("s-1");
    expect(JSON.parse(given.get("vp_token") ?? "")).toEqual({ home: [{ id: "a&b=c#d +" }], b: [{ id: "a&b=c#d +" }] });
    const without = notShown("access_denied", "no", { ...way, state: null });
    expect(await deliver(without, way)).toBe(`${address.href}#error=access_denied&error_description=no`);
  });

  it("is posted where that is asked for, and its person goes where they are sent", async () => {
    const posted = { ...way, mode: "direct_post" } as const;
    const fetch = vi.fn(async (_: URL, __: RequestInit) => Response.json({ redirect_uri: "https://b.example/in#code=1" }));
    vi.stubGlobal("fetch", fetch);
    expect(await deliver(notShown("access_denied", "no", posted), posted)).toBe("https://b.example/in#code=1");
    const [url, { method, body, credentials }] = fetch.mock.calls[0]!;
    expect([url.href, method, `${body}`, credentials]).toEqual([
      address.href, "POST", "error=access_denied&error_description=no&state=s-1", "omit",
    ]);
    vi.stubGlobal("fetch", async () => Response.json({}, { status: 400 }));
    await expect(deliver(new URLSearchParams(), posted)).rejects.toThrow(PostError);
    vi.stubGlobal("fetch", async () => Promise.reject(new TypeError("offline")));
    await expect(deliver(new URLSearchParams(), posted)).rejects.toThrow(PostError);
  });

  it("leads on to addresses of the web alone", () => {
    expect(goalOf("{}")).toBe(null);
    expect(goalOf('{"redirect_uri":"http://localhost:1/a"}')).toBe("http://localhost:1/a");
    const bad = ["", "[", "null", '{"redirect_uri":1}', '{"redirect_uri":"javascript:alert(1)"}', '{"redirect_uri":"/in"}', '{"redirect_uri":"http://b.example/"}'];
    for (const text of [...bad, JSON.stringify("a".repeat(70_000))]) expect(() => goalOf(text), text.slice(0, 40)).toThrow(PostError);
  });
});

describe("whoever is asked", () => {
  const mxid = "@ada:a.example";

  it("shows who they are from a device of theirs", async () => {
    const { log, keys } = await ada();
    const [key, store] = [await freshDeviceKey(), memory()];
    await keepDeviceKey(log.did, key, store);
    const before = { did: log.did, log: log.text };
    // The key lies here, and the document does not name it: it is no device of theirs, or none any more.
    expect(await holderBy(before, mxid, store)).toBe<Lack>("no_key");
    const { log: later } = await addDevice(log, keys, key.multikey, START + MINUTE);
    const now = { did: log.did, log: later.text };
    expect(await holderBy(now, mxid, store)).toMatchObject({ did: log.did, signer: { multikey: key.multikey } });
    expect(await holderBy(now, mxid, memory())).toBe<Lack>("no_key");
    expect(await holderBy(now, "@eve:a.example", store)).toBe<Lack>("moved");
    expect(await holderBy({ ...now, log: later.text.replace("2026-05-01T00:01:00Z", "2026-05-01T00:02:00Z") }, mxid, store)).toBe<Lack>("unproven");
    expect(await holderBy({ ...now, did: log.did.replace("ada", "eve") }, mxid, store)).toBe<Lack>("unproven");
  });

  it("shows nothing without an identity, nor by one that has ended", async () => {
    expect(await holderBy({ did: null, log: null }, mxid, memory())).toBe<Lack>("no_identity");
    expect(await holderBy({ did: "did:web:a.example:people:ada", log: null }, mxid, memory())).toBe<Lack>("no_identity");
    const { log, keys } = await ada();
    const ended = await deactivate(log, keys, START + MINUTE);
    expect(await holderBy({ did: log.did, log: ended.log.text }, mxid, memory())).toBe<Lack>("ended");
  });

  it("shows no word about somebody else", async () => {
    const holder = { did: "did:a", signer: await signer(1) };
    expect(isAbout(credential, holder)).toBe(true);
    const others = [null, [], {}, { credentialSubject: [] }, { credentialSubject: { id: "did:b" } }];
    expect(others.some((one) => isAbout(one, holder))).toBe(false);
  });
});
