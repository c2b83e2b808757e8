// Seals luggage as a home does, for whoever has some words.
import { Aes128Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { base64url, fromBase64url, joined, utf8 } from "../../src/identity/bytes";
import { sealKeyOf } from "../../src/identity/luggage";
import { ENTROPY } from "./ada";

export const suite = (): CipherSuite => new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes128Gcm() });

export async function sealed(text: string, scid: string, { entropy = ENTROPY, info = "wayside luggage" } = {}): Promise<string> {
  const recipientPublicKey = await suite().kem.deserializePublicKey(fromBase64url((await sealKeyOf(entropy))!)!);
  const { enc, ct } = await suite().seal({ recipientPublicKey, info: utf8(info) }, utf8(text), utf8(scid));
  return base64url(joined(new Uint8Array(enc), new Uint8Array(ct)));
}
