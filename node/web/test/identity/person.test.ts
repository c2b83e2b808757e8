// A person's versions: each is what it should be, and none says more than the person wanted.
import { describe, expect, it } from "vitest";
import type { Json, JsonObject } from "../../src/identity/canonical";
import { recoveryKey, updateKey } from "../../src/identity/derived";
import { documentOf, MOST_DEVICES, onlyMine, personOf } from "../../src/identity/document";
import { commitment, Log } from "../../src/identity/log";
import {
  addDevice,
  caughtUp,
  changeNodeKey,
  deactivate,
  move,
  newPerson,
  recover,
  recoveryFor,
  revokeDevice,
  rotate,
} from "../../src/identity/person";
import { ada, ENTROPY, filled, forged, home, MINUTE, multikey, nextEntry, RECOVERY, SECRET, START, why } from "./ada";

const FRESH = { secret: filled(9), number: 0 };
/** What somebody comes back with. */
const anew = async (host = "a.example"): Promise<Parameters<typeof recover>[2]> => {
  return { keys: FRESH, home: await home(host), devices: [await multikey(3)] };
};

const committed = (log: Log): readonly string[] => log.last.nextKeyHashes;
const ofUpdate = async (number: number, secret = SECRET): Promise<string> =>
  commitment((await updateKey(secret, number)).multikey);
const ofRecovery = async (number: number, entropy = ENTROPY): Promise<string> =>
  commitment((await recoveryKey(entropy, number)).multikey);

describe("a new person", () => {
  it("has one device, and a node that may only assert", async () => {
    const { log, keys } = await ada();
    const [device, node] = [await multikey(1), await multikey(100)];
    const { did } = log;
    expect(did).toBe(`did:webvh:${log.scid}:a.example:people:ada`);
    expect(keys).toEqual({ secret: SECRET, number: 1 });
    expect(log.last.state).toEqual({
      "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
      id: did,
      alsoKnownAs: ["matrix:u/ada:a.example"],
      verificationMethod: [
        { id: `#${device}`, type: "Multikey", controller: did, publicKeyMultibase: device },
        { id: `#node-${node}`, type: "Multikey", controller: did, publicKeyMultibase: node },
      ],
      authentication: [`#${device}`],
      assertionMethod: [`#${device}`, `#node-${node}`],
      service: [{ id: "#home", type: "WaysideHome", serviceEndpoint: "https://a.example" }],
    });
    expect(log.last.updateKeys).toEqual([(await updateKey(SECRET, 1)).multikey]);
    expect(committed(log)).toEqual([await ofUpdate(2), await ofRecovery(1)]);
    expect(log.last.portable).toBe(true);
  });

  it("is not made of what leads elsewhere", async () => {
    const keys = { secret: SECRET, number: 0 };
    const made = async (other: object): Promise<string> => {
      const [device, at] = [await multikey(1), { ...(await home()), ...other }];
      return why(() => newPerson({ home: at, device, keys, recovery: RECOVERY, nowMs: START }));
    };
    expect(await made({})).toBe("not refused");
    expect(await made({ host: "127.0.0.1" })).toBe("malformed");
    expect(await made({ path: ["..", "ada"] })).toBe("malformed");
    expect(await made({ mxid: "ada" })).toBe("malformed");
    expect(await made({ service: "http://a.example" })).toBe("not_mine");
    expect(await made({ service: "https://me@a.example" })).toBe("not_mine");
    expect(await made({ nodeKey: await multikey(1) })).toBe("not_mine");
    expect(await made({ nodeKey: "z6Mk" })).toBe("not_mine");
  });
});

describe("a change", () => {
  it("uses the next key, commits to the one after, and keeps the recovery", async () => {
    let { log, keys } = await ada();
    ({ log, keys } = await addDevice(log, keys, await multikey(2), START));
    ({ log, keys } = await changeNodeKey(log, keys, await multikey(101), START));
    ({ log, keys } = await revokeDevice(log, keys, await multikey(1), START));
    ({ log, keys } = await rotate(log, keys, START));
    expect(keys.number).toBe(5);
    expect(log.last.updateKeys).toEqual([(await updateKey(SECRET, 5)).multikey]);
    expect(committed(log)).toEqual([await ofUpdate(6), await ofRecovery(1)]);
    const person = personOf(log.last.state);
    expect(person.devices).toEqual([await multikey(2)]);
    expect(person.nodeKey).toBe(await multikey(101));
    // Each version is a second later at least, whatever the clock says.
    expect(log.versions.map(({ timeMs }) => timeMs - START)).toEqual([0, 1_000, 2_000, 3_000, 4_000]);
    await expect(Log.read(log.text, log.did)).resolves.toBeDefined();
  });

  it("can bring other words", async () => {
    const { log, keys } = await ada();
    const other = { entropy: filled(5, 16), number: 1 };
    const rotated = await rotate(log, keys, START, other);
    expect(committed(rotated.log)).toEqual([await ofUpdate(3), await ofRecovery(1, other.entropy)]);
    expect(await why(() => recoveryFor(rotated.log, ENTROPY))).toBe("wrong_words");
    expect(await recoveryFor(rotated.log, other.entropy)).toEqual(other);
  });

  it("is not made with a key that is not next", async () => {
    const { log, keys } = await ada();
    for (const wrong of [{ ...keys, number: 0 }, { ...keys, number: 2 }, { secret: filled(3), number: 1 }]) {
      expect(await why(() => rotate(log, wrong, START + MINUTE))).toBe("wrong_key");
    }
  });

  it("leaves a person at least one device, and none twice, and not too many", async () => {
    const { log, keys } = await ada();
    const one = await multikey(1);
    expect(await why(() => revokeDevice(log, keys, one, START))).toBe("malformed");
    expect(await why(async () => revokeDevice(log, keys, await multikey(2), START))).toBe("malformed");
    expect(await why(() => addDevice(log, keys, one, START))).toBe("not_mine");
    expect(await why(async () => addDevice(log, keys, await multikey(100), START))).toBe("not_mine");
    const person = personOf(log.last.state);
    const devices = await Promise.all(Array.from({ length: MOST_DEVICES + 1 }, (_, at) => multikey(at + 1)));
    expect(await why(() => documentOf({ ...person, devices }))).toBe("too_many");
    expect(await why(() => documentOf({ ...person, devices: devices.slice(1) }))).toBe("not refused");
  });

  it("is not dated before a version that is still to come", async () => {
    const { log, keys } = await ada();
    expect(await why(() => rotate(log, keys, START - 6 * MINUTE))).toBe("clock");
    expect((await rotate(log, keys, START - 4 * MINUTE)).log.last.timeMs).toBe(START + 1_000);
  });

  it("is not made behind a version that commits to more than is known", async () => {
    const { log, keys } = await ada();
    const entry = await nextEntry(log);
    const two = await updateKey(SECRET, 2);
    const nextKeyHashes = [await ofUpdate(3), await ofRecovery(1), await ofUpdate(9)];
    const parameters = { updateKeys: [two.multikey], nextKeyHashes };
    const more = await log.with(await forged({ ...entry, parameters }, 2, two));
    expect(await why(() => rotate(more, { ...keys, number: 2 }, START + 2 * MINUTE))).toBe("not_mine");
  });
});

describe("recovery", () => {
  it("brings another secret and the devices that are there", async () => {
    const { log, keys } = await ada();
    const later = await addDevice(log, keys, await multikey(2), START + MINUTE);
    const known = await recoveryFor(later.log, ENTROPY);
    const back = await recover(later.log, known, await anew(), START + 2 * MINUTE);
    expect(back.log.last.updateKeys).toEqual([(await recoveryKey(ENTROPY, 1)).multikey]);
    expect(committed(back.log)).toEqual([await ofUpdate(1, FRESH.secret), await ofRecovery(2)]);
    expect(personOf(back.log.last.state).devices).toEqual([await multikey(3)]);
    expect(back.recovery).toEqual({ entropy: ENTROPY, number: 2 });
    // Whoever had the secret of before has nothing any more.
    expect(await why(() => rotate(back.log, later.keys, START + 3 * MINUTE))).toBe("wrong_key");
    expect(await why(() => caughtUp(back.log, later.keys))).toBe("wrong_key");
    const next = await rotate(back.log, back.keys, START + 3 * MINUTE);
    expect(committed(next.log)).toEqual([await ofUpdate(2, FRESH.secret), await ofRecovery(2)]);
    expect((await recoveryFor(next.log, ENTROPY)).number).toBe(2);
  });

  it("takes the words of the person and the number of the key alone", async () => {
    const { log } = await ada();
    const back = await anew();
    for (const wrong of [{ entropy: ENTROPY, number: 2 }, { entropy: filled(1, 16), number: 1 }]) {
      expect(await why(() => recover(log, wrong, back, START + MINUTE))).toBe("wrong_key");
    }
    expect(await why(() => recover(log, RECOVERY, { ...back, devices: [] }, START + MINUTE))).toBe("malformed");
  });

  it("takes nothing from a document that whoever had the keys wrote", async () => {
    const { log } = await ada();
    const two = await updateKey(SECRET, 2);
    const parameters = { updateKeys: [two.multikey], nextKeyHashes: [await ofUpdate(3), await ofRecovery(1)] };
    const did = log.did.replace("a.example", "thief.example");
    const state = { id: did, alsoKnownAs: [log.did], authentication: [`did:key:${await multikey(66)}`], more: 1 };
    const stolen = await log.with(await forged({ ...(await nextEntry(log)), parameters, state }, 2, two));
    const back = await recover(stolen, RECOVERY, await anew("b.example"), START + 2 * MINUTE);
    const { id, alsoKnownAs } = back.log.last.state;
    expect(id).toBe(log.did.replace("a.example", "b.example"));
    expect(alsoKnownAs).toEqual(["matrix:u/ada:b.example", log.did, did]);
    const node = (await home()).nodeKey;
    expect(onlyMine(back.log.last.state, [await multikey(3)], node).service).toBe("https://b.example");
  });

  it("finds how far the keys of a vault have come", async () => {
    const { log, keys } = await ada();
    const further = await rotate((await rotate(log, keys, START)).log, { ...keys, number: 2 }, START);
    for (const number of [0, 1, 2, 3, 4]) {
      expect((await caughtUp(further.log, { ...keys, number })).number, String(number)).toBe(3);
    }
  });
});

describe("moving", () => {
  it("keeps the names from before, and names the user id in force", async () => {
    const { log, keys } = await ada();
    const there = await move(log, keys, await home("b.example:8448", "ada2"), START + MINUTE);
    const did = `did:webvh:${log.scid}:b.example%3A8448:people:ada2`;
    expect(there.log.did).toBe(did);
    expect(there.log.last.state.alsoKnownAs).toEqual(["matrix:u/ada2:b.example:8448", log.did]);
    expect(there.log.last.state.verificationMethod).toMatchObject([{ controller: did }, { controller: did }]);
    const back = await move(there.log, there.keys, await home(), START + 2 * MINUTE);
    expect(back.log.did).toBe(log.did);
    expect(back.log.last.state.alsoKnownAs).toEqual(["matrix:u/ada:a.example", did]);
    expect(await why(async () => move(log, keys, await home(), START + MINUTE))).toBe("malformed");
    await expect(Log.read(back.log.text, did)).resolves.toBeDefined();
  });
});

describe("the end", () => {
  it("takes two versions, after which nothing comes", async () => {
    const { log, keys } = await ada();
    const { log: ended } = await deactivate(log, keys, START + MINUTE);
    expect(ended.versions).toHaveLength(3);
    expect(ended.last).toMatchObject({ deactivated: true, updateKeys: [], nextKeyHashes: [], timeMs: START + MINUTE });
    expect(ended.last.state).not.toHaveProperty("authentication");
    expect(ended.last.state.alsoKnownAs).toEqual([]);
    const later = START + 2 * MINUTE;
    for (const deed of [rotate, deactivate]) expect(await why(() => deed(ended, keys, later))).toBe("ended");
    expect(await why(async () => recover(ended, RECOVERY, await anew(), later))).toBe("ended");
  });
});

describe("a document", () => {
  it("in which the node's key may sign in is refused", async () => {
    const { log } = await ada();
    const [device, node] = [await multikey(1), await multikey(100)];
    const { state } = log.last;
    const methods = state.verificationMethod as JsonObject[];
    expect(onlyMine(state, [device], node).devices).toEqual([device]);
    const method = { ...methods[1], id: `#${node}` } as JsonObject;
    const smuggled: Record<string, Json> = {
      "by its own name": { ...state, authentication: [`#${device}`, `#node-${node}`] },
      "by its name in full": { ...state, authentication: [`#${device}`, `${log.did}#node-${node}`] },
      "inside": { ...state, authentication: [`#${device}`, method] },
      "as a device without a method": { ...state, authentication: [`#${device}`, `#${node}`] },
      "under the name of the device": {
        ...state,
        verificationMethod: [{ ...methods[0], publicKeyMultibase: node }, methods[1] as JsonObject],
      },
      "under another purpose": { ...state, capabilityInvocation: [`#node-${node}`] },
      "in a method nobody names": { ...state, verificationMethod: [...methods, { ...method, id: "#more" }] },
      "as controller": { ...state, controller: "did:web:a.example" },
      "as controller of a method": {
        ...state,
        verificationMethod: [{ ...methods[0], controller: "did:web:a.example" }, methods[1] as JsonObject],
      },
    };
    for (const [how, document] of Object.entries(smuggled)) {
      expect(await why(() => onlyMine(document, [device, node], node)), how).toBe("not_mine");
    }
  });

  it("with another device or another node than is known is refused", async () => {
    const { log, keys } = await ada();
    const [one, two, node] = [await multikey(1), await multikey(2), await multikey(100)];
    const { state } = (await addDevice(log, keys, two, START)).log.last;
    expect(await why(() => onlyMine(state, [one, two], node))).toBe("not refused");
    expect(await why(() => onlyMine(state, [one], node))).toBe("not_mine");
    expect(await why(() => onlyMine(state, [one, two], one))).toBe("not_mine");
  });

  it("with something that is not known here is not signed again", async () => {
    const { log } = await ada();
    const { state } = log.last;
    const other = (await ada(filled(3))).log.did;
    for (const document of [
      null,
      [],
      {},
      { ...state, more: 1 },
      { ...state, service: [] },
      { ...state, service: [...(state.service as Json[]), { id: "#x", type: "X", serviceEndpoint: "urn:x" }] },
      { ...state, alsoKnownAs: [] },
      { ...state, alsoKnownAs: ["matrix:u/ada:a.example", "matrix:u/eve:b.example"] },
      { ...state, alsoKnownAs: ["matrix:u/ada:a.example", other] },
      { ...state, alsoKnownAs: ["matrix:u/ada:a.example", log.did] },
      { ...state, authentication: [] },
      { ...state, "@context": ["https://www.w3.org/ns/did/v1"] },
    ]) {
      const refusal = await why(() => personOf(document as Json));
      expect(["not_mine", "malformed"], JSON.stringify(document)).toContain(refusal);
    }
    const entry = { ...(await nextEntry(log)), state: { ...state, more: 1 } };
    const keys = { secret: SECRET, number: 2 };
    const odd = await log.with(await forged(entry, 2, await updateKey(SECRET, 2)));
    expect(await why(() => rotate(odd, keys, START + 2 * MINUTE))).toBe("not_mine");
  });
});
