// A person to test with, and what forges versions of their log.
import { type Bytes, utf8 } from "../../src/identity/bytes";
import { canonical, type JsonObject } from "../../src/identity/canonical";
import { updateKey } from "../../src/identity/derived";
import { IdentityError } from "../../src/identity/errors";
import { Log } from "../../src/identity/log";
import { hash } from "../../src/identity/multikey";
import { type Changed, type Home, newPerson } from "../../src/identity/person";
import { prove, type Purpose } from "../../src/identity/proof";
import { type Signer, signerFromSeed } from "../../src/identity/signing";

export const START = Date.UTC(2026, 4, 1);
export const MINUTE = 60_000;

export const filled = (byte: number, length = 32): Bytes => new Uint8Array(length).fill(byte);
export const ENTROPY = filled(7, 16);
export const SECRET = filled(8);
export const RECOVERY = { entropy: ENTROPY, number: 1 };

export const signer = (seed: number): Promise<Signer> => signerFromSeed(filled(seed));
export const multikey = async (seed: number): Promise<string> => (await signer(seed)).multikey;

export async function home(host = "a.example", name = "ada"): Promise<Home> {
  const [path, nodeKey] = [["people", name], await multikey(100)];
  return { host, path, mxid: `@${name}:${host}`, nodeKey, service: `https://${host}` };
}

export async function ada(secret = SECRET): Promise<Changed> {
  const keys = { secret, number: 0 };
  return newPerson({ home: await home(), device: await multikey(1), keys, recovery: RECOVERY, nowMs: START });
}

/** Why something was refused, or that it was not. */
export async function why(deed: () => unknown): Promise<string> {
  try {
    await deed();
    return "not refused";
  } catch (error) {
    if (error instanceof IdentityError) return error.why;
    throw error;
  }
}

/** What a version would be that follows on a log, before somebody changes it. */
export async function nextEntry(log: Log): Promise<JsonObject> {
  const key = await updateKey(SECRET, 2);
  return {
    versionId: log.last.versionId,
    versionTime: "2026-05-01T00:01:00Z",
    parameters: { updateKeys: [key.multikey], nextKeyHashes: [await hash(utf8("another"))] },
    state: log.last.state,
  };
}

/** A line that is chained and signed soundly, whatever it says. */
export async function forged(
  entry: JsonObject,
  number: number,
  by: Signer,
  purpose: Purpose = "assertionMethod",
): Promise<string> {
  const whole = { ...entry, versionId: `${number}-${await hash(utf8(canonical(entry)))}` };
  const verificationMethod = `did:key:${by.multikey}#${by.multikey}`;
  const claims = { verificationMethod, purpose, createdMs: START };
  return canonical({ ...whole, proof: [await prove(whole, claims, by)] });
}
