// The key of this browser: made once for a person, and gone when they sign out.
import { describe, expect, it } from "vitest";
import { utf8 } from "../../src/identity/bytes";
import {
  deviceKeyOf,
  forgetDeviceKey,
  freshDeviceKey,
  keepDeviceKey,
  type KeptKey,
  type KeyStore,
} from "../../src/identity/device";
import { move } from "../../src/identity/person";
import { signerFromSeed, verify } from "../../src/identity/signing";
import { ada, filled, home, MINUTE, START } from "./ada";

function memory(): KeyStore & { kept: Map<string, KeptKey> } {
  const kept = new Map<string, KeptKey>();
  return {
    kept,
    get: (id) => Promise.resolve(kept.get(id)),
    add: (key) => Promise.resolve(!kept.has(key.id) && Boolean(kept.set(key.id, key))),
    delete: (id) => Promise.resolve(void kept.delete(id)),
  };
}

describe("the key of a device", () => {
  it("signs, and is found again by whoever it is for", async () => {
    const store = memory();
    const { log, keys } = await ada();
    const other = (await ada(filled(3))).log.did;
    expect(await deviceKeyOf(log.did, store)).toBeNull();
    const key = await keepDeviceKey(log.did, await freshDeviceKey(), store);
    const again = await deviceKeyOf(log.did, store);
    expect(again?.multikey).toBe(key.multikey);
    expect(await verify(key.multikey, utf8("a"), await again!.sign(utf8("a")))).toBe(true);
    expect(await deviceKeyOf(other, store)).toBeNull();
    const moved = (await move(log, keys, await home("b.example"), START + MINUTE)).log.did;
    expect((await deviceKeyOf(moved, store))?.multikey).toBe(key.multikey);
  });

  it("cannot be taken out", async () => {
    const { privateKey } = await freshDeviceKey();
    for (const form of ["pkcs8", "jwk"] as const) {
      await expect(crypto.subtle.exportKey(form, privateKey)).rejects.toThrow(DOMException);
    }
  });

  it("is one, even where two pages make one at a time", async () => {
    const store = memory();
    const { did } = (await ada()).log;
    const [one, two] = [await freshDeviceKey(), await freshDeviceKey()];
    const kept = await Promise.all([keepDeviceKey(did, one, store), keepDeviceKey(did, two, store)]);
    expect(kept[0].multikey).toBe(kept[1].multikey);
    expect(store.kept.size).toBe(1);
  });

  it("is gone when somebody signs out", async () => {
    const store = memory();
    const { did } = (await ada()).log;
    await keepDeviceKey(did, await freshDeviceKey(), store);
    await forgetDeviceKey(did, store);
    expect(store.kept.size).toBe(0);
    await expect(forgetDeviceKey(did, store)).resolves.toBeUndefined();
  });

  it("is not what lies in its place and can be taken out, or is none", async () => {
    const store = memory();
    const { did, scid } = (await ada()).log;
    const key = await freshDeviceKey();
    const { multikey } = await signerFromSeed(filled(1));
    const made = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
    const { privateKey, publicKey } = made as CryptoKeyPair;
    for (const other of [privateKey, publicKey, {} as CryptoKey]) {
      store.kept.set(scid, { id: scid, multikey, privateKey: other });
      expect(await deviceKeyOf(did, store)).toBeNull();
    }
    expect((await keepDeviceKey(did, key, store)).multikey).toBe(key.multikey);
    expect((await deviceKeyOf(did, store))?.multikey).toBe(key.multikey);
  });
});
