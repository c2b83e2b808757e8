// Confirming what somebody does who is signed in: by their password again, or by a passkey.
import { ApiError, ask } from "./http";
import { passkeyProof, type Shown } from "./passkeys";
import { passwordProof } from "./session";

/** What somebody shows here. */
type Evidence = { password: string } | Shown;

/** What somebody shows, or that they confirm it on the sign-in page; nothing where the node asks for nothing. */
export type Proof = Evidence | "page" | null;

/** By what the node takes somebody's word; by nothing where it asks for no proof. */
export interface Ways {
  password: boolean;
  passkey: boolean;
  /** On the sign-in page. */
  page: boolean;
}

/** Asks which proofs the node takes of somebody, by a deed that does nothing: it signs out none of their devices. */
export async function waysToProve(token: string): Promise<Ways> {
  try {
    await ask("POST", "/_matrix/client/v3/delete_devices", { body: { devices: [] }, token });
  } catch (error) {
    if (asksForProof(error)) return waysOf(error);
    throw error;
  }
  return { password: false, passkey: false, page: false };
}

export function asksForProof(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 401 && Array.isArray(error.body.flows);
}

/** Those of the ways that a refusal offers which this page knows, each by itself. */
export function waysOf(refusal: ApiError): Ways {
  const flows = refusal.body.flows as { stages: string[] }[];
  const takes = (stage: string): boolean => flows.some(({ stages }) => stages.length === 1 && stages[0] === stage);
  return { password: takes("m.login.password"), passkey: takes("org.wayside.passkey"), page: takes("m.login.sso") };
}

/** Answers a refusal with what somebody shows. */
export function proven(userId: string, proof: Evidence, refusal: ApiError): object {
  return "password" in proof ? passwordProof(userId, proof.password, refusal) : passkeyProof(proof, refusal);
}
