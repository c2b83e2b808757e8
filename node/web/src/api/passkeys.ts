// Passkeys: asking the browser for them, and telling the node what it answers.
import { ApiError, ask } from "./http";
import type { Session } from "./session";

export interface Passkey {
  id: string;
  name: string;
  created_ms: number;
  used_ms: number | null;
}

/** What proves that somebody holds a passkey, once and soon. */
export interface Shown {
  ceremony: string;
  credential: object;
}

/** What a passkey is shown for by somebody who is not signed in. */
export type Goal = "sign_in" | "password";

interface Descriptor {
  type: "public-key";
  id: string;
}

interface Begun<T> {
  ceremony: string;
  options: T;
  expires_in_ms: number;
}

/** The options of both kinds, in the JSON of Web Authentication: bytes are base64url. */
interface Making {
  challenge: string;
  user: { id: string; name: string; displayName: string };
  excludeCredentials?: Descriptor[];
  extensions?: AuthenticationExtensionsClientInputs;
}
interface Showing {
  challenge: string;
  allowCredentials: Descriptor[];
}

/** Why the browser gave no passkey. */
export class PasskeyError extends Error {
  override name = "PasskeyError";

  constructor(readonly why: "aborted" | "known" | "unsupported" | "blocked" | "left") {
    super(why);
  }
}

/** A page that waits longer asks anew before what it asked for has run out. */
const EARLY_MS = 60_000;
const WAIT_MS = 60_000;
const PATH = "/_wayside/v1/passkeys";

/** What waits for a passkey beside a form; the browser waits for one thing at a time. */
let waiting: AbortController | null = null;

export async function passkeys(session: Session): Promise<Passkey[]> {
  return (await ask<{ passkeys: Passkey[] }>("GET", PATH, { token: session.token })).passkeys;
}

export async function renamePasskey(session: Session, id: string, name: string): Promise<void> {
  await ask("PUT", `${PATH}/${encodeURIComponent(id)}`, { body: { name }, token: session.token });
}

/** Removes one, for whoever proves that it is theirs. */
export async function removePasskey(session: Session, id: string, auth: object): Promise<void> {
  await ask("DELETE", `${PATH}/${encodeURIComponent(id)}`, { body: auth, token: session.token });
}

/** Has the browser make one, for whoever proves that the account is theirs. */
export async function addPasskey(session: Session, name: string, auth: object): Promise<Passkey> {
  const { token } = session;
  const { ceremony, options } = await ask<Begun<Making>>("POST", `${PATH}/add`, { body: auth, token });
  stopWaiting();
  const made = await answered(
    navigator.credentials.create({
      publicKey: {
        ...(options as object as PublicKeyCredentialCreationOptions),
        challenge: bytes(options.challenge),
        user: { ...options.user, id: bytes(options.user.id) },
        excludeCredentials: descriptors(options.excludeCredentials ?? []),
        // Some passkeys keep secrets only where that was asked of them when they were made.
        extensions: { ...options.extensions, prf: {} },
      },
    }),
  );
  const response = made.response as AuthenticatorAttestationResponse;
  const credential = {
    ...outside(made),
    response: {
      clientDataJSON: text(response.clientDataJSON),
      attestationObject: text(response.attestationObject),
    },
    clientExtensionResults: { credProps: made.getClientExtensionResults().credProps },
  };
  return ask("POST", PATH, { body: { ceremony, credential, name }, token });
}

/** Asks somebody for a passkey whom the node does not know yet. */
export async function showPasskey(goal: Goal): Promise<Shown> {
  return shown(await begin(goal));
}

/** Asks for one of those of whoever is signed in, to confirm what they do. */
export async function confirmByPasskey(session: Session): Promise<Shown> {
  return shown(await ask<Begun<Showing>>("POST", `${PATH}/confirm`, { body: {}, token: session.token }));
}

/** Answers a refusal that asks whoever is signed in for a proof. */
export function passkeyProof(shown: Shown, refusal: ApiError): object {
  return { auth: { type: "org.wayside.passkey", session: refusal.body.session, ...shown } };
}

/**
 * Has the browser offer passkeys beside the names that it remembers, for as long as nobody takes one,
 * something else is asked for, or the place of it is gone.
 */
export async function waitForPasskey(place: HTMLElement): Promise<Shown | null> {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return null;
  stopWaiting();
  const mine = new AbortController();
  waiting = mine;
  while (place.isConnected && !mine.signal.aborted) {
    const begun = await begin("sign_in");
    const early = AbortSignal.timeout(begun.expires_in_ms - EARLY_MS);
    try {
      return await shown(begun, { mediation: "conditional", signal: AbortSignal.any([mine.signal, early]) });
    } catch (error) {
      // Only what has become too old is asked for again.
      if (!early.aborted) throw error;
    }
  }
  return null;
}

/** Has the browser offer nothing any more that nobody asks for now. */
export function stopWaiting(): void {
  waiting?.abort();
  waiting = null;
}

/** A token that signs this device in. */
export async function loginToken(shown: Shown): Promise<string> {
  return (await ask<{ login_token: string }>("POST", `${PATH}/token`, { body: shown })).login_token;
}

/** Sets a password in place of one that was forgotten; gives whose it is. */
export async function replacePassword(shown: Shown, password: string): Promise<string> {
  return (await ask<{ user_id: string }>("POST", `${PATH}/password`, { body: { ...shown, password } })).user_id;
}

/** Lets the browser know that a passkey opens nothing here, so that it offers it no more. */
export function forgetPasskey({ credential }: Shown): void {
  const browser = PublicKeyCredential as unknown as {
    signalUnknownCredential?: (gone: { rpId: string; credentialId: string }) => Promise<void>;
  };
  const { id: credentialId } = credential as { id: string };
  void browser.signalUnknownCredential?.({ rpId: location.hostname, credentialId }).catch(() => {});
}

const begin = (goal: Goal): Promise<Begun<Showing>> => ask("POST", `${PATH}/show`, { body: { for: goal } });

async function shown(begun: Begun<Showing>, how: CredentialRequestOptions = {}): Promise<Shown> {
  if (!how.mediation) stopWaiting();
  const { ceremony, options } = begun;
  const asked = navigator.credentials.get({
    signal: AbortSignal.timeout(begun.expires_in_ms + WAIT_MS),
    ...how,
    publicKey: {
      ...(options as object as PublicKeyCredentialRequestOptions),
      challenge: bytes(options.challenge),
      allowCredentials: descriptors(options.allowCredentials),
    },
  });
  const given = await answered(asked);
  const response = given.response as AuthenticatorAssertionResponse;
  const credential = {
    ...outside(given),
    response: {
      clientDataJSON: text(response.clientDataJSON),
      authenticatorData: text(response.authenticatorData),
      signature: text(response.signature),
      userHandle: response.userHandle ? text(response.userHandle) : null,
    },
  };
  return { ceremony, credential };
}

/** What browsers say in the names of their errors, as reasons. */
async function answered(asked: Promise<Credential | null>): Promise<PublicKeyCredential> {
  let given: Credential | null;
  try {
    given = await asked;
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    if (name === "InvalidStateError") throw new PasskeyError("known");
    if (name === "NotSupportedError" || name === "SecurityError") throw new PasskeyError("unsupported");
    if (name === "NotAllowedError" || name === "AbortError" || name === "TimeoutError") throw new PasskeyError("aborted");
    throw error;
  }
  if (given === null) throw new PasskeyError("aborted");
  return given as PublicKeyCredential;
}

const outside = (given: PublicKeyCredential): object => ({ id: given.id, rawId: text(given.rawId), type: given.type });

const descriptors = (all: Descriptor[]): PublicKeyCredentialDescriptor[] =>
  all.map(({ type, id }) => ({ type, id: bytes(id) }));

function bytes(base64url: string): Uint8Array<ArrayBuffer> {
  const plain = atob(base64url.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

function text(buffer: ArrayBuffer): string {
  const plain = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
