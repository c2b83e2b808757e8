//! The keys that devices and people publish to encrypt end to end, and the signatures that tie them together.
//!
//! A server never holds the secret halves. What it can check, it checks before it passes a key on:
//! that the record is the owner's, and that a signature which claims to tie two keys together does
//! (client-server API, end-to-end encryption and cross-signing).

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, SigningKeyAlgorithm, UserId,
    serde::Base64,
    signatures::{to_canonical_json_string_for_signing, verify_canonical_json_bytes},
};

use crate::canonical;

/// Most bytes of one published record: more than any client makes.
const RECORD_BYTES: usize = 65_535;
/// What a key's name begins with, before the device's id or the key itself.
const ED25519: &str = "ed25519:";

/// Why a published record is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The record has the wrong shape.
    #[error("reading published keys: {0}")]
    BadFormat(&'static str),
    /// The record names another owner than whoever publishes it.
    #[error("published keys name {0} as their owner, who is not who publishes them")]
    Foreign(String),
    /// A signature that must be there is missing or wrong.
    #[error("the key is not signed by {0}, as it must be")]
    BadSignature(&'static str),
}

/// What a key of a person is for (client-server API, cross-signing).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Usage {
    /// Signs the other two.
    Master,
    /// Signs the person's own devices.
    SelfSigning,
    /// Signs other people's master keys.
    UserSigning,
}

impl Usage {
    /// All of them, the one first that signs the others.
    pub const ALL: [Self; 3] = [Self::Master, Self::SelfSigning, Self::UserSigning];

    /// The word in a key's `usage`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::SelfSigning => "self_signing",
            Self::UserSigning => "user_signing",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|usage| usage.as_str() == word)
    }
}

/// A published record: keys with their owner, and signatures over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record(CanonicalJsonObject);

/// A cross-signing key whose form has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonKey {
    /// The record as it was published.
    pub record: Record,
    /// What it is for.
    pub usage: Usage,
    /// The public key in unpadded base64, which is its name too.
    pub public_key: String,
}

impl Record {
    /// Reads a record that `owner` publishes.
    pub fn read(json: &str, owner: &UserId) -> Result<Self, RecordError> {
        if json.len() > RECORD_BYTES {
            return Err(RecordError::BadFormat("a record has at most 65535 bytes"));
        }
        let object = canonical::parse_object(json)
            .map_err(|_| RecordError::BadFormat("a record is an object of canonical JSON"))?;
        let record = Self(object);
        match record.text("user_id") {
            Some(named) if named == owner.as_str() => {}
            Some(named) => return Err(RecordError::Foreign(named.to_owned())),
            None => return Err(RecordError::BadFormat("user_id says whose the keys are")),
        }
        check_signatures(&record.0)?;
        Ok(record)
    }

    /// Reads the keys of a device (client-server API, `DeviceKeys`).
    pub fn read_device(json: &str, owner: &UserId, device_id: &str) -> Result<Self, RecordError> {
        let record = Self::read(json, owner)?;
        match record.text("device_id") {
            Some(named) if named == device_id => {}
            Some(_) => return Err(RecordError::Foreign("another device".to_owned())),
            None => return Err(RecordError::BadFormat("device_id says whose the keys are")),
        }
        let algorithms = record.0.get("algorithms").and_then(CanonicalJsonValue::as_array);
        let are_texts = |list: &[CanonicalJsonValue]| list.iter().all(|it| it.as_str().is_some());
        if !algorithms.is_some_and(are_texts) {
            return Err(RecordError::BadFormat("a device has algorithms, a list of texts"));
        }
        if !record.keys().is_some_and(|keys| keys.values().all(|key| key.as_str().is_some())) {
            return Err(RecordError::BadFormat(
                "a device has keys, which are texts by their names",
            ));
        }
        Ok(record)
    }

    /// The record as canonical JSON.
    #[must_use]
    pub fn json(&self) -> String {
        canonical::to_string(&self.0)
    }

    /// The Ed25519 key of a device, in base64.
    #[must_use]
    pub fn device_key(&self, device_id: &str) -> Option<&str> {
        self.keys()?.get(&format!("{ED25519}{device_id}"))?.as_str()
    }

    /// Whether both say the same, whoever signed them.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let said = |record: &Self| to_canonical_json_string_for_signing(&record.0).ok();
        let one = said(self);
        one.is_some() && one == said(other)
    }

    /// The signature of a person's key over this record, as it was published.
    #[must_use]
    pub fn signature(&self, signer: &UserId, key_name: &str) -> Option<&str> {
        let by = self.0.get("signatures")?.as_object()?.get(signer.as_str())?.as_object()?;
        by.get(&format!("{ED25519}{key_name}"))?.as_str()
    }

    /// The names of the keys by which somebody signed this record.
    pub fn signed_with<'r>(&'r self, signer: &UserId) -> impl Iterator<Item = &'r str> + use<'r> {
        let signatures = self.0.get("signatures").and_then(CanonicalJsonValue::as_object);
        let by = signatures.and_then(|it| it.get(signer.as_str())).and_then(|it| it.as_object());
        by.into_iter().flatten().filter_map(|(name, _)| name.strip_prefix(ED25519))
    }

    /// Whether this record carries a right signature by that key, which is named by a device's id or
    /// by the key itself.
    #[must_use]
    pub fn is_signed_by(&self, signer: &UserId, key_name: &str, public_key: &str) -> bool {
        let decoded = |text: &str| Base64::<ruma::serde::base64::Standard>::parse(text).ok();
        let signature = self.signature(signer, key_name).and_then(decoded);
        let (Some(signature), Some(key)) = (signature, decoded(public_key)) else { return false };
        let Ok(signed) = to_canonical_json_string_for_signing(&self.0) else { return false };
        let (key, signature) = (key.as_bytes(), signature.as_bytes());
        let algorithm = SigningKeyAlgorithm::Ed25519;
        verify_canonical_json_bytes(&algorithm, key, signature, signed.as_bytes()).is_ok()
    }

    /// The record with further signatures, each of a signer by a key's name.
    #[must_use]
    pub fn signed<'s>(
        mut self,
        signatures: impl IntoIterator<Item = (&'s UserId, &'s str, &'s str)>,
    ) -> Self {
        for (signer, key_name, signature) in signatures {
            let all = entry(&mut self.0, "signatures");
            let by = all.and_then(|all| entry(all, signer.as_str()));
            if let Some(by) = by {
                let signature = CanonicalJsonValue::String(signature.to_owned());
                by.insert(format!("{ED25519}{key_name}"), signature);
            }
        }
        self
    }

    /// The record with what the server says beside it.
    #[must_use]
    pub fn with_device_name(mut self, name: Option<&str>) -> Self {
        self.0.remove("unsigned");
        let Some(name) = name else { return self };
        if let Some(unsigned) = entry(&mut self.0, "unsigned") {
            let name = CanonicalJsonValue::String(name.to_owned());
            unsigned.insert("device_display_name".to_owned(), name);
        }
        self
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    fn keys(&self) -> Option<&CanonicalJsonObject> {
        self.0.get("keys")?.as_object()
    }
}

impl PersonKey {
    /// Reads a cross-signing key: one public key, named by itself, for that use.
    pub fn read(json: &str, owner: &UserId, usage: Usage) -> Result<Self, RecordError> {
        let record = Record::read(json, owner)?;
        let uses = record.0.get("usage").and_then(CanonicalJsonValue::as_array);
        let is_meant = |it: &CanonicalJsonValue| it.as_str() == Some(usage.as_str());
        if !uses.is_some_and(|uses| uses.iter().any(is_meant)) {
            return Err(RecordError::BadFormat("usage does not hold what the key is sent for"));
        }
        let wrong = RecordError::BadFormat("a key of a person is one Ed25519 key named by itself");
        let keys = record.keys().filter(|keys| keys.len() == 1).ok_or_else(|| wrong.clone())?;
        let named = keys.iter().next().and_then(|(name, key)| {
            let key = key.as_str()?;
            (name.strip_prefix(ED25519)? == key).then(|| key.to_owned())
        });
        let public_key = named.ok_or_else(|| wrong.clone())?;
        let bytes = Base64::<ruma::serde::base64::Standard>::parse(&public_key);
        if !bytes.is_ok_and(|bytes| bytes.as_bytes().len() == 32) {
            return Err(wrong);
        }
        Ok(Self { record, usage, public_key })
    }

    /// Checks that the person's master key signed this one.
    pub fn must_be_signed_by(&self, owner: &UserId, master: &Self) -> Result<(), RecordError> {
        if self.record.is_signed_by(owner, &master.public_key, &master.public_key) {
            Ok(())
        } else {
            Err(RecordError::BadSignature("the person's master key"))
        }
    }
}

/// Checks a key that a device has given away for a first message: a text, or an object with the key
/// and signatures over it.
pub fn check_one_time_key(json: &str) -> Result<(), RecordError> {
    if !json.trim_start().starts_with('{') {
        let text = serde_json::from_str::<String>(json);
        return text.map(drop).map_err(|_| RecordError::BadFormat("a key is a text or an object"));
    }
    let object = canonical::parse_object(json)
        .map_err(|_| RecordError::BadFormat("a key is an object of canonical JSON"))?;
    let key = object.get("key").is_some_and(|key| key.as_str().is_some());
    let fallback = object.get("fallback");
    if !key || fallback.is_some_and(|it| !matches!(it, CanonicalJsonValue::Bool(_))) {
        return Err(RecordError::BadFormat("an object of a key holds key, a text, and fallback"));
    }
    check_signatures(&object)
}

/// What others are shown as signatures has the form of signatures.
fn check_signatures(object: &CanonicalJsonObject) -> Result<(), RecordError> {
    let Some(signatures) = object.get("signatures") else { return Ok(()) };
    let is_by = |by: &CanonicalJsonValue| {
        by.as_object().is_some_and(|by| by.values().all(|it| it.as_str().is_some()))
    };
    if signatures.as_object().is_some_and(|all| all.values().all(is_by)) {
        return Ok(());
    }
    Err(RecordError::BadFormat("signatures are texts by their keys' names, by who signed"))
}

fn entry<'o>(
    object: &'o mut CanonicalJsonObject,
    name: &str,
) -> Option<&'o mut CanonicalJsonObject> {
    let empty = || CanonicalJsonValue::Object(CanonicalJsonObject::new());
    object.entry(name.to_owned()).or_insert_with(empty).as_object_mut()
}

#[cfg(test)]
mod tests;
