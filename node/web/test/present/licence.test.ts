// The licence of a body, as its author signs it.
import { describe, expect, it } from "vitest";
import { readProof, verifyProof } from "../../src/identity/proof";
import { signLicence, termsOf } from "../../src/present/licence";
import { multikey, signer } from "../identity/ada";

describe("a licence", () => {
  it("says what the file says, and nothing that it does not", () => {
    expect(termsOf({ avatar_permission: "onlySeparatelyLicensedPerson", violent: true, sexual: false, redistribution: true })).toEqual({
      permission: "onlySeparatelyLicensedPerson",
      violent: true,
      sexual: false,
      redistribution: true,
    });
    for (const odd of [null, undefined, {}, { avatar_permission: "all", violent: "yes", sexual: 1 }]) {
      expect(termsOf(odd)).toEqual({ permission: "onlyAuthor", violent: false, sexual: false, redistribution: false });
    }
  });

  it("is signed by the key of the author, over all of it", async () => {
    const holder = { did: "did:webvh:x:a.example:ada", signer: await signer(1) };
    const terms = { permission: "onlyAuthor", redistribution: false, violent: true, sexual: false } as const;
    const { proof, ...credential } = await signLicence(holder, "ab".repeat(32), terms, Date.UTC(2026, 10, 28));
    expect(credential).toEqual({
      "@context": ["https://www.w3.org/ns/credentials/v2", "urn:wayside:credentials:v1"],
      type: ["VerifiableCredential", "AvatarLicence"],
      issuer: holder.did,
      validFrom: "2026-11-28T00:00:00Z",
      credentialSubject: {
        type: "LicensedAvatar",
        sha256: "ab".repeat(32),
        avatarPermission: "onlyAuthor",
        allowRedistribution: false,
        allowExcessivelyViolentUsage: true,
        allowExcessivelySexualUsage: false,
      },
    });
    const read = readProof(proof!);
    expect(read.purpose).toBe("assertionMethod");
    expect(read.verificationMethod).toBe(`${holder.did}#${await multikey(1)}`);
    expect(await verifyProof(read, credential, await multikey(1))).toBe(true);
    expect(await verifyProof(read, { ...credential, issuer: "did:x" }, await multikey(1))).toBe(false);
  });

  it("names whoever signs where the file wants each person licensed", async () => {
    const holder = { did: "did:a", signer: await signer(1) };
    const terms = { permission: "onlySeparatelyLicensedPerson", redistribution: false, violent: false, sexual: false } as const;
    expect(await signLicence(holder, "ab".repeat(32), terms, 0)).toMatchObject({ credentialSubject: { allowedUsers: ["did:a"] } });
  });
});
