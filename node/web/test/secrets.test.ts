// The recovery key as people write it, and what it locks.
import { describe, expect, it } from "vitest";
import { describe as described, fits, freshKey, readRecoveryKey, seal, unseal, writeRecoveryKey } from "../src/device/secrets";

/** Of the specification's own tests (client-server API, key representation). */
const WRITTEN = "EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4d";
const KEY = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";

const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

describe("a recovery key", () => {
  it("is written as other clients write it", () => {
    const key = readRecoveryKey(WRITTEN);
    expect(key && hex(key)).toBe(KEY);
    expect(key && writeRecoveryKey(key)).toBe(WRITTEN);
    expect(hex(readRecoveryKey(` ${WRITTEN.replaceAll(" ", "")}\n`) ?? new Uint8Array())).toBe(KEY);
  });

  it("is known to be mistyped", () => {
    const wrong = ["", "EsTc", WRITTEN.slice(0, -1), WRITTEN.replace("4d", "4e"), WRITTEN.replace("LW2K", "LW0K"), "1".repeat(5000)];
    for (const text of wrong) expect(readRecoveryKey(text), text.slice(0, 60)).toBeNull();
  });

  it("fits what was described by it, and nothing else", async () => {
    const key = freshKey();
    const description = await described(key);
    expect(await fits(key, description)).toBe(true);
    expect(await fits(key, { ...description, mac: `${description.mac}=` })).toBe(true);
    expect(await fits(freshKey(), description)).toBe(false);
  });
});

describe("a secret", () => {
  it("comes out by its key and its name alone", async () => {
    const key = freshKey();
    const sealed = await seal("the master key", key, "m.cross_signing.master");
    expect(await unseal(sealed, key, "m.cross_signing.master")).toBe("the master key");
    expect(await unseal(sealed, key, "m.megolm_backup.v1")).toBeNull();
    expect(await unseal(sealed, freshKey(), "m.cross_signing.master")).toBeNull();
  });
});
