//! The signing key of a server, and the published keys of others (server-server API, "Retrieving server keys").

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, OwnedServerName,
    OwnedServerSigningKeyId, ServerName, ServerSigningKeyId, SigningKeyAlgorithm, UInt,
    serde::Base64,
    signatures::{
        Ed25519KeyPair, KeyPair, PublicKeyMap, sign_event, sign_json, verify_canonical_json_bytes,
        verify_json,
    },
};

use crate::{
    canonical::{self, CanonicalError},
    version::RoomVersion,
};

/// Most bytes of a published key document that are read.
const KEYS_BYTES: usize = 65_535;
/// Most keys, current and old together, that one document may list.
const KEYS_COUNT: usize = 64;

/// Why a key could not be made, read or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key's version has other characters than `[a-zA-Z0-9_]`, or none.
    #[error("naming a signing key: {0:?} is not a key version of letters, digits and underscores")]
    BadVersion(String),
    /// A key, key id or document has the wrong shape.
    #[error("reading server keys: {0}")]
    BadFormat(String),
    /// A signature is missing, by an unknown key, or wrong.
    #[error("verifying signed JSON: {0}")]
    BadSignature(String),
    /// The object cannot be signed: its `signatures` (or what an event needs) has the wrong shape.
    #[error("signing JSON: {0}")]
    NotSignable(String),
}

impl From<CanonicalError> for KeyError {
    fn from(error: CanonicalError) -> Self {
        Self::BadFormat(error.to_string())
    }
}

/// An Ed25519 signing key of this server. It has no `Debug` and never leaves this type.
pub struct ServerKey {
    id: OwnedServerSigningKeyId,
    pair: Ed25519KeyPair,
}

impl ServerKey {
    /// Makes the key from a seed of 32 secret random bytes and its version (the part of the key id
    /// after `ed25519:`).
    pub fn from_seed(seed: [u8; 32], version: &str) -> Result<Self, KeyError> {
        // RFC 8410: version 0, algorithm 1.3.101.112, the seed as a nested octet string.
        const PREFIX: [u8; 16] = [
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
            0x04, 0x20,
        ];
        let named = OwnedServerSigningKeyId::try_from(format!("ed25519:{version}")).ok();
        let plain = version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let id = named
            .filter(|_| plain && !version.is_empty())
            .ok_or_else(|| KeyError::BadVersion(version.to_owned()))?;
        let mut document = [0; 48];
        document[..16].copy_from_slice(&PREFIX);
        document[16..].copy_from_slice(&seed);
        let pair = Ed25519KeyPair::from_der(&document, version.to_owned())
            .map_err(|error| KeyError::BadFormat(error.to_string()))?;
        Ok(Self { id, pair })
    }

    /// The key id, such as `ed25519:a_1`.
    #[must_use]
    pub fn key_id(&self) -> &ServerSigningKeyId {
        &self.id
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.pair.public_key()
    }

    /// The public half in unpadded base64, as it is published.
    #[must_use]
    pub fn public_key_base64(&self) -> String {
        Base64::<ruma::serde::base64::Standard, _>::new(self.public_key()).encode()
    }

    /// Signs an object in place as `server` (appendices, "Signing Details"); `signatures` and
    /// `unsigned` are not covered.
    pub fn sign_json(
        &self,
        server: &ServerName,
        object: &mut CanonicalJsonObject,
    ) -> Result<(), KeyError> {
        sign_json(server.as_str(), &self.pair, object)
            .map_err(|error| KeyError::NotSignable(error.to_string()))
    }

    /// Adds this server's signature to an event that already carries its content hash
    /// (server-server API, "Signing Events").
    pub fn sign_event(
        &self,
        version: RoomVersion,
        server: &ServerName,
        event: &mut CanonicalJsonObject,
    ) -> Result<(), KeyError> {
        sign_event(server.as_str(), &self.pair, event, &version.rules().redaction)
            .map_err(|error| KeyError::NotSignable(error.to_string()))
    }

    /// The signature of raw bytes in unpadded base64.
    pub(crate) fn sign_bytes(&self, message: &[u8]) -> String {
        self.pair.sign(message).base64()
    }
}

/// Public keys for verification: server, then key id, then the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicKeys(PublicKeyMap);

impl PublicKeys {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key; `key` is base64 with or without padding.
    pub fn insert(&mut self, server: &ServerName, key_id: &str, key: &str) -> Result<(), KeyError> {
        let key = read_key(key_id, key)?;
        self.0.entry(server.as_str().to_owned()).or_default().insert(key_id.to_owned(), key);
        Ok(())
    }

    /// Whether a key of this server with this id is known.
    #[must_use]
    pub fn contains(&self, server: &ServerName, key_id: &str) -> bool {
        self.0.get(server.as_str()).is_some_and(|keys| keys.contains_key(key_id))
    }

    /// Adds every key of `other`.
    pub fn extend(&mut self, other: &Self) {
        for (server, keys) in &other.0 {
            let ours = self.0.entry(server.clone()).or_default();
            ours.extend(keys.iter().map(|(id, key)| (id.clone(), key.clone())));
        }
    }

    /// Checks that `server` signed the object with a key that is known here (appendices, "Checking
    /// for a Signature"); signatures of others are not looked at.
    pub fn verify_json(
        &self,
        server: &ServerName,
        object: &CanonicalJsonObject,
    ) -> Result<(), KeyError> {
        let Some(CanonicalJsonValue::Object(all)) = object.get("signatures") else {
            return Err(KeyError::BadSignature("it carries no signatures".into()));
        };
        let Some(own) = all.get(server.as_str()) else {
            return Err(KeyError::BadSignature(format!("no signature of {server}")));
        };
        let mut narrowed = object.clone();
        narrowed.insert(
            "signatures".into(),
            CanonicalJsonValue::Object([(server.as_str().to_owned(), own.clone())].into()),
        );
        verify_json(&self.0, &narrowed).map_err(|error| KeyError::BadSignature(error.to_string()))
    }

    /// Checks the signature of raw bytes by one key of a server; `signature` is base64.
    pub(crate) fn verify_bytes(
        &self,
        server: &ServerName,
        key_id: &str,
        signature: &str,
        message: &[u8],
    ) -> Result<(), KeyError> {
        let wrong = |why: String| KeyError::BadSignature(why);
        let key = self.0.get(server.as_str()).and_then(|keys| keys.get(key_id));
        let key = key.ok_or_else(|| wrong(format!("no key {key_id} of {server} is known")))?;
        let signature: Base64 =
            Base64::parse(signature).map_err(|error| wrong(error.to_string()))?;
        let (key, signature) = (key.as_bytes(), signature.as_bytes());
        verify_canonical_json_bytes(&SigningKeyAlgorithm::Ed25519, key, signature, message)
            .map_err(|error| wrong(error.to_string()))
    }

    /// As ruma wants them.
    pub(crate) fn as_map(&self) -> &PublicKeyMap {
        &self.0
    }
}

/// One published key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedKey {
    /// The key in unpadded base64.
    pub key: String,
    /// When it ceased to be used; `None` while it is current.
    pub expired: Option<MilliSecondsSinceUnixEpoch>,
}

/// The keys that a server publishes at `/_matrix/key/v2/server`, checked for its own signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerKeys {
    /// Whose keys these are.
    pub server: OwnedServerName,
    /// Until when the document may be trusted; callers cap it at seven days from now.
    pub valid_until: MilliSecondsSinceUnixEpoch,
    /// The Ed25519 keys by key id; other algorithms are left out.
    pub keys: BTreeMap<String, PublishedKey>,
}

impl ServerKeys {
    /// Reads a document of a stranger, at most 65,535 bytes and 64 keys, and checks that it is
    /// signed by at least one of its own current keys (and by no current key wrongly).
    pub fn parse(json: &str) -> Result<Self, KeyError> {
        if json.len() > KEYS_BYTES {
            return Err(KeyError::BadFormat(format!("more than {KEYS_BYTES} bytes")));
        }
        let object = canonical::parse_object(json)?;
        let server = field_str(&object, "server_name")?;
        let server = OwnedServerName::try_from(server)
            .map_err(|error| KeyError::BadFormat(format!("server_name: {error}")))?;
        let valid_until = field_time(&object, "valid_until_ts")?;
        let mut keys = BTreeMap::new();
        read_keys(&object, "old_verify_keys", &mut keys)?;
        read_keys(&object, "verify_keys", &mut keys)?;
        let document = Self { server, valid_until, keys };
        let mut current = PublicKeys::new();
        for (id, published) in document.keys.iter().filter(|(_, key)| key.expired.is_none()) {
            current.insert(&document.server, id, &published.key)?;
        }
        current.verify_json(&document.server, &object)?;
        Ok(document)
    }

    /// Writes the document of this server, signed by `key`, with the keys it no longer uses
    /// (id, unpadded base64, when each expired).
    pub fn publish(
        server: &ServerName,
        key: &ServerKey,
        old: &[(String, String, MilliSecondsSinceUnixEpoch)],
        valid_until: MilliSecondsSinceUnixEpoch,
    ) -> Result<String, KeyError> {
        let mut object = CanonicalJsonObject::new();
        object.insert("server_name".into(), server.as_str().into());
        object.insert("valid_until_ts".into(), CanonicalJsonValue::Integer(valid_until.0.into()));
        let mut current = CanonicalJsonObject::new();
        current.insert("key".into(), key.public_key_base64().into());
        let current = [(key.key_id().to_string(), current.into())];
        object.insert("verify_keys".into(), CanonicalJsonObject::from(current).into());
        let mut expired = CanonicalJsonObject::new();
        for (id, public, at) in old {
            let mut entry = CanonicalJsonObject::new();
            entry.insert("key".into(), public.clone().into());
            entry.insert("expired_ts".into(), CanonicalJsonValue::Integer(at.0.into()));
            expired.insert(id.clone(), entry.into());
        }
        object.insert("old_verify_keys".into(), expired.into());
        key.sign_json(server, &mut object)?;
        Ok(canonical::to_string(&object))
    }

    /// The keys with which something of `at` may be signed: current ones while the document is
    /// valid, old ones until they expired (room version 5, "Signing key validity period").
    #[must_use]
    pub fn valid_at(&self, at: MilliSecondsSinceUnixEpoch) -> PublicKeys {
        let mut valid = PublicKeys::new();
        for (id, published) in &self.keys {
            let until = published.expired.unwrap_or(self.valid_until);
            if at <= until {
                let inserted = valid.insert(&self.server, id, &published.key);
                debug_assert!(inserted.is_ok(), "every key was read when the document was");
            }
        }
        valid
    }
}

/// Reads one of the two maps of keys; a current key wins over an old one of the same id.
fn read_keys(
    object: &CanonicalJsonObject,
    field: &'static str,
    keys: &mut BTreeMap<String, PublishedKey>,
) -> Result<(), KeyError> {
    let old = field == "old_verify_keys";
    let map = match object.get(field) {
        Some(CanonicalJsonValue::Object(map)) => map,
        None if old => return Ok(()),
        _ => return Err(KeyError::BadFormat(format!("{field}: want an object"))),
    };
    for (id, entry) in map {
        if !id.starts_with("ed25519:") {
            continue;
        }
        if keys.len() >= KEYS_COUNT {
            return Err(KeyError::BadFormat(format!("more than {KEYS_COUNT} keys")));
        }
        let CanonicalJsonValue::Object(entry) = entry else {
            return Err(KeyError::BadFormat(format!("{field}.{id}: want an object")));
        };
        let key = read_key(id, field_str(entry, "key")?)?.encode();
        let expired = if old { Some(field_time(entry, "expired_ts")?) } else { None };
        keys.insert(id.clone(), PublishedKey { key, expired });
    }
    Ok(())
}

/// Reads a public Ed25519 key of 32 bytes and checks its id.
fn read_key(id: &str, key: &str) -> Result<Base64, KeyError> {
    if OwnedServerSigningKeyId::try_from(id).is_err() {
        return Err(KeyError::BadFormat(format!("{id:?} is not a key id")));
    }
    let key = Base64::parse(key).map_err(|error| KeyError::BadFormat(format!("{id}: {error}")))?;
    if key.as_bytes().len() == 32 {
        Ok(key)
    } else {
        Err(KeyError::BadFormat(format!("{id}: want 32 bytes")))
    }
}

fn field_str<'a>(object: &'a CanonicalJsonObject, field: &str) -> Result<&'a str, KeyError> {
    object
        .get(field)
        .and_then(CanonicalJsonValue::as_str)
        .ok_or_else(|| KeyError::BadFormat(format!("{field}: want a string")))
}

fn field_time(
    object: &CanonicalJsonObject,
    field: &str,
) -> Result<MilliSecondsSinceUnixEpoch, KeyError> {
    object
        .get(field)
        .and_then(CanonicalJsonValue::as_integer)
        .and_then(|number| u64::try_from(i64::from(number)).ok())
        .and_then(|number| UInt::try_from(number).ok())
        .map(MilliSecondsSinceUnixEpoch)
        .ok_or_else(|| KeyError::BadFormat(format!("{field}: want milliseconds")))
}

#[cfg(test)]
mod tests;
