// The licence of a body, which its author signs: other nodes show by it what its file alone does not let them.
import type { JsonObject } from "../identity/canonical";
import { prove } from "../identity/proof";
import { writeTime } from "../identity/time";
import type { Holder } from "./holder";

const PERMISSIONS = ["onlyAuthor", "onlySeparatelyLicensedPerson", "everyone"] as const;
export type Permission = (typeof PERMISSIONS)[number];

/** What the file of a body allows, in the words of VRM 1.0. */
export interface Terms {
  permission: Permission;
  redistribution: boolean;
  violent: boolean;
  sexual: boolean;
}

const CONTEXTS = ["https://www.w3.org/ns/credentials/v2", "urn:wayside:credentials:v1"];

/** Reads them from the report of a body; what is not said is not allowed. */
export function termsOf(licence: Record<string, unknown> | null | undefined): Terms {
  const { avatar_permission: said, redistribution, violent, sexual } = licence ?? {};
  const permission = PERMISSIONS.find((one) => one === said) ?? "onlyAuthor";
  return { permission, redistribution: redistribution === true, violent: violent === true, sexual: sexual === true };
}

/** Says as its author that a body may be used as its file says, by whoever signs. */
export async function signLicence({ did, signer }: Holder, sha256: string, terms: Terms, nowMs: number): Promise<JsonObject> {
  const { permission, redistribution, violent, sexual } = terms;
  const credential: JsonObject = {
    "@context": CONTEXTS,
    type: ["VerifiableCredential", "AvatarLicence"],
    issuer: did,
    validFrom: writeTime(nowMs),
    credentialSubject: {
      type: "LicensedAvatar",
      sha256,
      avatarPermission: permission,
      allowRedistribution: redistribution,
      allowExcessivelyViolentUsage: violent,
      allowExcessivelySexualUsage: sexual,
      // Who signs for themselves is whom they license.
      ...(permission === "onlySeparatelyLicensedPerson" ? { allowedUsers: [did] } : {}),
    },
  };
  const claims = { verificationMethod: `${did}#${signer.multikey}`, purpose: "assertionMethod" as const, createdMs: nowMs };
  return { ...credential, proof: await prove(credential, claims, signer) };
}
