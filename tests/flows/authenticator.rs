//! An authenticator of the tests' own: it makes passkeys and shows them as it is told, rightly or wrongly.
//!
//! It shares no code with the node: keys and signatures are those of the TLS library, and what goes
//! around them is written out byte by byte (Web Authentication Level 3, 6.1 and 6.5.1).

use anyhow::{Context, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Flags of authenticator data: somebody was there, and it was the right person.
const PRESENT: u8 = 0x01;
const VERIFIED: u8 = 0x04;
/// A new key is in it.
const ATTESTED: u8 = 0x40;

/// A device that holds one passkey.
pub(crate) struct Authenticator {
    /// The page that asks it, as the browser says.
    pub(crate) origin: String,
    /// Whether it looks who holds it.
    pub(crate) verifies: bool,
    /// How often it has been used; a copy of it counts on by itself.
    pub(crate) counter: u32,
    /// What it tells of whose passkey it shows.
    pub(crate) handle: Option<Vec<u8>>,
    id: Vec<u8>,
    key: KeyPair,
}

impl Authenticator {
    /// A new device in a browser on that page.
    pub(crate) fn new(origin: &str) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        // As random as the key, and as much its own.
        let id = Sha256::digest(key.public_key_raw()).to_vec();
        let origin = origin.to_owned();
        Ok(Self { origin, verifies: true, counter: 1, handle: None, id, key })
    }

    /// Makes the passkey that a node asks for.
    pub(crate) fn make(&mut self, options: &Value) -> Result<Value> {
        self.handle = Some(decoded(&options["user"]["id"])?);
        let client_data = self.client_data("webauthn.create", options);
        let mut data = self.data(&options["rp"]["id"], ATTESTED)?;
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len())?.to_be_bytes());
        data.extend(&self.id);
        // A point of the curve P-256, for ES256 (RFC 9053, 7.1.1).
        let point = self.key.public_key_raw();
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(&point[1..33]);
        data.extend([0x22, 0x58, 0x20]);
        data.extend(&point[33..65]);
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
        object.extend(u16::try_from(data.len())?.to_be_bytes());
        object.extend(data);
        Ok(self.credential(&json!({
            "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
            "attestationObject": URL_SAFE_NO_PAD.encode(object),
            "transports": ["internal"],
        })))
    }

    /// Shows the passkey to a node that asks for one.
    pub(crate) fn show(&mut self, options: &Value) -> Result<Value> {
        self.counter += 1;
        let client_data = self.client_data("webauthn.get", options);
        let data = self.data(&options["rpId"], 0)?;
        let mut signed = data.clone();
        signed.extend(Sha256::digest(&client_data));
        Ok(self.credential(&json!({
            "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
            "authenticatorData": URL_SAFE_NO_PAD.encode(data),
            "signature": URL_SAFE_NO_PAD.encode(self.key.sign(&signed)?),
            "userHandle": self.handle.as_ref().map(|handle| URL_SAFE_NO_PAD.encode(handle)),
        })))
    }

    fn data(&self, rp_id: &Value, more: u8) -> Result<Vec<u8>> {
        let rp_id = rp_id.as_str().context("options name no relying party")?;
        let verified = if self.verifies { VERIFIED } else { 0 };
        let mut data = Sha256::digest(rp_id).to_vec();
        data.push(PRESENT | verified | more);
        data.extend(self.counter.to_be_bytes());
        Ok(data)
    }

    fn client_data(&self, kind: &str, options: &Value) -> String {
        let (challenge, origin) = (&options["challenge"], &self.origin);
        json!({ "type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false })
            .to_string()
    }

    fn credential(&self, response: &Value) -> Value {
        let id = URL_SAFE_NO_PAD.encode(&self.id);
        json!({
            "id": id, "rawId": id, "type": "public-key", "response": response,
            "clientExtensionResults": {},
        })
    }
}

fn decoded(text: &Value) -> Result<Vec<u8>> {
    Ok(URL_SAFE_NO_PAD.decode(text.as_str().context("no bytes")?)?)
}
