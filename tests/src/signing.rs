//! Keys by which servers sign, as ruma understands them: a second opinion on what a node signs.

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue,
    serde::Base64,
    signatures::{Ed25519KeyPair, PublicKeyMap, sign_json, verify_json},
};
use serde_json::{Value, json};

/// Where the seed lies in the document that ruma makes of a key (RFC 8410, "Private Key Format").
const SEED: std::ops::Range<usize> = 16..48;

/// An ed25519 key of a server, under a version.
#[derive(Debug)]
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: String,
}

impl SigningKey {
    /// A new key under a version such as `a_1`.
    pub fn generate(version: &str) -> Result<Self> {
        let document = Ed25519KeyPair::generate();
        let pair = Ed25519KeyPair::from_der(&document, version.to_owned())?;
        let seed = document.get(SEED).context("a key has a seed")?;
        Ok(Self { pair, seed: STANDARD_NO_PAD.encode(seed) })
    }

    /// Its id: `ed25519:VERSION`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("ed25519:{}", self.pair.version())
    }

    /// Its public half, as servers publish it.
    #[must_use]
    pub fn public(&self) -> String {
        STANDARD_NO_PAD.encode(self.pair.public_key())
    }

    /// The line that Synapse keeps of it: algorithm, version and seed.
    #[must_use]
    pub fn line(&self) -> String {
        format!("ed25519 {} {}", self.pair.version(), self.seed)
    }

    /// The pair, for what ruma does with it.
    #[must_use]
    pub fn pair(&self) -> &Ed25519KeyPair {
        &self.pair
    }

    /// Signs an object in the name of a server.
    pub fn sign(&self, server: &str, object: &Value) -> Result<Value> {
        let mut object = canonical(object)?;
        sign_json(server, &self.pair, &mut object)?;
        Ok(serde_json::to_value(object)?)
    }

    /// What a server publishes that has this key (server-server API, "Publishing keys").
    pub fn published(&self, server: &str, valid_until_ms: u64) -> Result<Value> {
        let keys = json!({
            "server_name": server,
            "valid_until_ts": valid_until_ms,
            "verify_keys": { self.id(): { "key": self.public() } },
            "old_verify_keys": {},
        });
        self.sign(server, &keys)
    }
}

/// Checks that an object is signed by a server with a key that this answer of `/key/v2/server` shows;
/// signatures of others are not looked at.
pub fn verify(object: &Value, server: &str, published: &Value) -> Result<()> {
    let keys = published["verify_keys"].as_object().context("no keys are published")?;
    let keys = keys.iter().map(|(id, key)| {
        let key = key["key"].as_str().context("a key that is published is text")?;
        Ok((id.clone(), Base64::parse(key)?))
    });
    let map = PublicKeyMap::from([(server.to_owned(), keys.collect::<Result<_>>()?)]);
    let mut own = object.clone();
    own["signatures"] = json!({ server: &object["signatures"][server] });
    verify_json(&map, &canonical(&own)?).with_context(|| format!("verifying {object}"))
}

/// JSON as it is hashed and signed; a number that cannot be is an error.
pub(crate) fn canonical(object: &Value) -> Result<CanonicalJsonObject> {
    match CanonicalJsonValue::try_from(object.clone()) {
        Ok(CanonicalJsonValue::Object(object)) => Ok(object),
        other => anyhow::bail!("not an object of canonical JSON: {other:?}"),
    }
}
