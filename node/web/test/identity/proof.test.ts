// Data Integrity proofs, good and bad.
import { describe, expect, it } from "vitest";
import type { JsonObject } from "../../src/identity/canonical";
import { prove, readProof, verifyProof } from "../../src/identity/proof";
import { multikey, signer, START, why } from "./ada";

const claims = { verificationMethod: "did:example:a#key", purpose: "authentication", createdMs: START } as const;
const document: JsonObject = { "@context": ["urn:a"], id: "urn:b", "\u20ac": [1.5, null] };

const made = async (of = document): Promise<JsonObject> =>
  prove(of, { ...claims, domain: "a.example", challenge: "b" }, await signer(1));

describe("a proof", () => {
  it("holds its members and no others", async () => {
    const { proofValue, ...rest } = await made();
    expect(rest).toEqual({
      type: "DataIntegrityProof",
      cryptosuite: "eddsa-jcs-2022",
      created: "2026-05-01T00:00:00Z",
      verificationMethod: "did:example:a#key",
      proofPurpose: "authentication",
      domain: "a.example",
      challenge: "b",
      "@context": ["urn:a"],
    });
    expect(proofValue).toMatch(/^z[1-9A-HJ-NP-Za-km-z]{80,90}$/);
    expect(Object.keys(await prove({ id: "urn:b" }, claims, await signer(1)))).toHaveLength(6);
  });

  it("stands over its document by its key alone", async () => {
    const [one, two] = [await multikey(1), await multikey(2)];
    const proof = readProof(await made());
    expect(await verifyProof(proof, document, one)).toBe(true);
    expect(await verifyProof(proof, document, two)).toBe(false);
    expect(await verifyProof(proof, { ...document, id: "urn:c" }, one)).toBe(false);
    const other = readProof({ ...(await made()), challenge: "c" });
    expect(await verifyProof(other, document, one)).toBe(false);
  });

  it("minds the contexts that it was made under, and none that came later", async () => {
    const key = await multikey(1);
    const proof = readProof(await made());
    expect(await verifyProof(proof, { ...document, "@context": ["urn:a", "urn:later"] }, key)).toBe(true);
    expect(await verifyProof(proof, { ...document, "@context": ["urn:later", "urn:a"] }, key)).toBe(false);
    expect(await verifyProof(proof, { ...document, "@context": [] }, key)).toBe(false);
    const { "@context": _, ...without } = document;
    expect(await verifyProof(proof, without, key)).toBe(false);
  });

  it("that cannot be read is refused", async () => {
    const good = await made();
    const wrong: JsonObject[] = [
      { ...good, type: "Proof" },
      { ...good, cryptosuite: "eddsa-rdfc-2022" },
      { ...good, created: "yesterday" },
      { ...good, expires: 7 },
      { ...good, proofPurpose: 7 },
      { ...good, verificationMethod: "a".repeat(3_000) },
      { ...good, proofValue: (good.proofValue as string).slice(1) },
      { ...good, proofValue: "z6Mk" },
      { ...good, proofValue: 7 },
    ];
    for (const proof of wrong) expect(await why(() => readProof(proof))).toBe("malformed");
    for (const proof of [null, [], "a"]) expect(await why(() => readProof(proof))).toBe("malformed");
  });
});
