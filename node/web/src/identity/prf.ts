// Asking a passkey for a secret that it alone can answer with (Web Authentication 3, PRF extension).
import { type Bytes, base64url, fromBase64url } from "./bytes";
import { IdentityError } from "./errors";
import type { PasskeyLock } from "./vault";

export interface PasskeyAnswer {
  kind: "passkey";
  credential: string;
  salt: string;
  output: Bytes;
}

const OUTPUT_BYTES = 32;

/**
 * Has the browser ask for one of some passkeys, each with its own salt, and gives the answer of whichever is shown.
 * The challenge is nobody's: what counts is the answer, which is never sent anywhere.
 */
export async function askPasskey(
  locks: readonly Omit<PasskeyLock, "kind">[],
  signal?: AbortSignal,
  credentials: Pick<CredentialsContainer, "get"> = navigator.credentials,
): Promise<PasskeyAnswer> {
  const allowCredentials = locks.map(({ credential }) => ({ type: "public-key" as const, id: bytesOf(credential) }));
  const salts = locks.map(({ credential, salt }) => [credential, { first: bytesOf(salt) }] as const);
  const publicKey: PublicKeyCredentialRequestOptions = {
    challenge: crypto.getRandomValues(new Uint8Array(32)),
    allowCredentials,
    userVerification: "required",
    extensions: { prf: { evalByCredential: Object.fromEntries(salts) } },
  };
  const given = await answered(credentials.get({ publicKey, ...(signal && { signal }) }));
  const credential = base64url(new Uint8Array(given.rawId));
  const lock = locks.find((one) => one.credential === credential);
  if (!lock) throw new IdentityError("wrong_passkey", "another passkey was shown than was asked for");
  const output = given.getClientExtensionResults().prf?.results?.first;
  const bytes = output === undefined ? null : copied(output);
  if (bytes?.length !== OUTPUT_BYTES) {
    throw new IdentityError("no_prf", "this passkey, or the browser with it, cannot keep secrets");
  }
  return { kind: "passkey", credential, salt: lock.salt, output: bytes };
}

async function answered(asked: Promise<Credential | null>): Promise<PublicKeyCredential> {
  let given: Credential | null;
  try {
    given = await asked;
  } catch (cause) {
    const name = cause instanceof DOMException ? cause.name : "";
    if (name === "NotSupportedError" || name === "SecurityError") {
      throw new IdentityError("unsupported", "this browser has no passkeys here", null, cause);
    }
    if (name !== "NotAllowedError" && name !== "AbortError" && name !== "TimeoutError") throw cause;
    throw new IdentityError("aborted", "no passkey was shown", null, cause);
  }
  if (!given) throw new IdentityError("aborted", "no passkey was shown");
  return given as PublicKeyCredential;
}

function copied(source: BufferSource): Bytes {
  if (source instanceof ArrayBuffer) return new Uint8Array(source.slice(0));
  return Uint8Array.from(new Uint8Array(source.buffer, source.byteOffset, source.byteLength));
}

function bytesOf(text: string): Bytes {
  const bytes = fromBase64url(text);
  if (!bytes) throw new IdentityError("malformed", "asking for a passkey: its id or its salt is no base64url");
  return bytes;
}
