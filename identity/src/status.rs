//! Whether an issuer still stands by what it said: lists of bits that it publishes (Bitstring Status List 1.0).
//!
//! A credential names an [`Entry`]: a place in a list, and what a bit there says. The list is a credential of
//! the same issuer, which the caller fetches, or is handed; [`StatusList::read`] verifies it once, and
//! [`StatusList::judge`] answers from it for as long as it may be kept. An issuer keeps a [`Bitstring`] and
//! publishes it by [`Publication`].
//!
//! The list and the credential must have one issuer. The specification lets them differ, but nothing in an
//! entry says whose list it is to be: whoever can answer at its address could take back, or give back, what
//! another has said.
//!
//! ```
//! use serde_json::json;
//! use wayside_identity::{credential::{Credential, Draft}, did::{plan, Plan}, key::SigningKey, time::Moment};
//! use wayside_identity::status::{Bitstring, Entry, Publication, Status, StatusList, StatusPurpose};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SigningKey::from_seed([7; 32]);
//! let multikey = key.public().to_multikey();
//! let issuer = format!("did:key:{multikey}").parse()?;
//! let Plan::Known(document) = plan(&issuer)? else { unreachable!() };
//! let (method, now) = (format!("{issuer}#{multikey}"), Moment(1_000));
//!
//! let url = "https://a.example/status/1";
//! let entry = Entry::new(StatusPurpose::Revocation, 94_567, url)?;
//! let draft = Draft {
//!     issuer: json!(issuer.as_str()), types: &["HomeMembership"], subject: json!({"id": "did:web:a.example:ada"}),
//!     from: now, until: None, status: Some(entry.to_value()),
//! };
//! let credential = Credential::read(&draft.signed(&method, &key))?;
//!
//! let mut bits = Bitstring::new(Bitstring::LEAST);
//! bits.set(94_567, true)?;
//! let published = Publication {
//!     url, issuer: json!(issuer.as_str()), purpose: StatusPurpose::Revocation, bits: &bits,
//!     from: now, until: None, ttl_ms: None,
//! };
//! let list = StatusList::read(&Credential::read(&published.signed(&method, &key))?, &document, now)?;
//! for entry in Entry::all(&credential)? {
//!     assert_eq!(list.judge(&entry, &credential, now)?, Status::Revoked);
//! }
//! # Ok(()) }
//! ```

use std::io::{Read, Write};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, GzBuilder, bufread::GzDecoder};
use serde_json::{Map, Value, json};
use url::Url;
use wayside_specs::limits;

use crate::{
    credential::{Credential, CredentialError, Draft, secured},
    did::Document,
    key::SigningKey,
    time::{self, Moment},
};

/// The type of a credential that is a list.
const LIST: &str = "https://www.w3.org/ns/credentials/status#BitstringStatusListCredential";
/// Longest list when it is unpacked, in bytes: a small text can hold any amount of zeroes.
const MOST_BYTES: usize = 16 * 1_024 * 1_024;
/// Longest text of a list: its bytes, packed as badly as can be.
const TEXT_BYTES: usize = MOST_BYTES / 3 * 4 + 64 * 1_024;
/// How long a list is kept that does not say so, in milliseconds: the Recommendation leaves it open.
const TTL_MS: i64 = 300_000;
/// Longest time that one is kept, whatever it says.
const MOST_TTL_MS: i64 = 24 * 3_600_000;
/// Most purposes of one list.
const PURPOSES: usize = 16;

/// Why it cannot be told whether an issuer still stands by a credential.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// An entry or a list breaks a rule.
    #[error("reading a status: {0}")]
    Malformed(&'static str),
    /// The list is no credential, or is not its issuer's.
    #[error(transparent)]
    List(#[from] CredentialError),
    /// The list is somebody else's.
    #[error("the status list is issued by {0:?}, and the credential is not")]
    OtherIssuer(String),
    /// The list is another than the entry names.
    #[error("the status list is {0:?}, and the credential names another")]
    OtherList(String),
    /// The list says nothing of what was asked.
    #[error("the status list does not tell of a {0}")]
    OtherPurpose(&'static str),
    /// The list is so short that whoever asks for it tells about whom.
    #[error("the status list has fewer than 131,072 entries")]
    Short,
    /// The list ends before.
    #[error("the status list has no entry {0}")]
    Beyond(usize),
    /// The list must not be kept any longer.
    #[error("the status list could be kept until {0}: it has to be fetched again")]
    Old(String),
}

/// What a bit says when it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusPurpose {
    /// The credential is good no longer, and never will be.
    Revocation,
    /// The credential is not good for now.
    Suspension,
}

impl StatusPurpose {
    /// The name that stands in entries and lists.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revocation => "revocation",
            Self::Suspension => "suspension",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Revocation, Self::Suspension].into_iter().find(|purpose| purpose.as_str() == name)
    }
}

/// Whether an issuer stands by a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Good,
    /// It took it back.
    Revoked,
    /// It does not for now.
    Suspended,
}

/// A place in a list, which stands in a credential (section 2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    purpose: StatusPurpose,
    index: usize,
    list: String,
}

impl Entry {
    /// A place in the list that is at an address. Whoever gives places gives them at random: one after the other they
    /// tell who came when.
    pub fn new(purpose: StatusPurpose, index: usize, list: &str) -> Result<Self, StatusError> {
        let url = Url::parse(list).ok().filter(|_| list.len() <= limits::URL_BYTES);
        let url = url.filter(|url| url.scheme() == "https" && url.fragment().is_none());
        let is_plain = |url: &Url| url.username().is_empty() && url.password().is_none();
        if !url.as_ref().is_some_and(is_plain) {
            return Err(StatusError::Malformed("statusListCredential is no https address"));
        }
        Ok(Self { purpose, index, list: list.to_owned() })
    }

    /// The places that a credential names, by which it can be told whether it is still good. What has another type
    /// or purpose says nothing of that, and is passed over (VC-JOSE-COSE, section 5.4).
    pub fn all(credential: &Credential) -> Result<Vec<Self>, StatusError> {
        let entries = credential.statuses().iter().filter_map(Value::as_object);
        entries.filter_map(|entry| Self::read(entry).transpose()).collect()
    }

    fn read(members: &Map<String, Value>) -> Result<Option<Self>, StatusError> {
        let malformed = StatusError::Malformed;
        if !has(members.get("type"), "BitstringStatusListEntry") {
            return Ok(None);
        }
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let purpose = text("statusPurpose").ok_or(malformed("an entry has no statusPurpose"))?;
        let Some(purpose) = StatusPurpose::named(purpose) else { return Ok(None) };
        if members.get("statusSize").is_some_and(|size| size.as_u64() != Some(1)) {
            return Err(malformed("statusSize is 1 for what is either so or not"));
        }
        let index = text("statusListIndex").and_then(|digits| {
            let index: usize = digits.parse().ok()?;
            (index.to_string() == digits).then_some(index)
        });
        let index = index.ok_or(malformed("statusListIndex is no number as a text"))?;
        let list = text("statusListCredential");
        let list = list.ok_or(malformed("an entry has no statusListCredential"))?;
        if text("id") == Some(list) {
            return Err(malformed("an entry has the address of its list"));
        }
        Self::new(purpose, index, list).map(Some)
    }

    /// What is to stand under `credentialStatus`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        json!({
            "id": format!("{}#{}", self.list, self.index),
            "type": "BitstringStatusListEntry",
            "statusPurpose": self.purpose.as_str(),
            "statusListIndex": self.index.to_string(),
            "statusListCredential": self.list,
        })
    }

    /// Where the list is, by https.
    #[must_use]
    pub fn list(&self) -> &str {
        &self.list
    }

    /// What its bit says.
    #[must_use]
    pub fn purpose(&self) -> StatusPurpose {
        self.purpose
    }

    /// Its place in the list.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }
}

/// The bits of a list, one for each credential; the first is the highest of the first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitstring(Vec<u8>);

impl Bitstring {
    /// Fewest entries: among so many, nobody stands out who is asked for.
    pub const LEAST: usize = 131_072;
    /// Most entries.
    pub const MOST: usize = MOST_BYTES * 8;

    /// As many as asked for, but no fewer than [`Self::LEAST`] and no more than [`Self::MOST`], all unset.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        Self(vec![0; entries.clamp(Self::LEAST, Self::MOST).div_ceil(8)])
    }

    /// Whether a bit is set; none beyond the last.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<bool> {
        Some(self.0.get(index / 8)? & mask(index) != 0)
    }

    /// Sets a bit, or takes it back.
    pub fn set(&mut self, index: usize, is_set: bool) -> Result<(), StatusError> {
        let byte = self.0.get_mut(index / 8).ok_or(StatusError::Beyond(index))?;
        if is_set {
            *byte |= mask(index);
        } else {
            *byte &= !mask(index);
        }
        Ok(())
    }

    /// The text that is published: GZIP, in base64url behind a `u`. It takes tens of milliseconds for the largest:
    /// the caller does it on a thread for such work.
    #[must_use]
    pub fn encode(&self) -> String {
        format!("u{}", URL_SAFE_NO_PAD.encode(packed(&self.0)))
    }

    /// Reads such a text.
    pub fn decode(text: &str) -> Result<Self, StatusError> {
        let malformed = StatusError::Malformed;
        let packed = text.strip_prefix('u').filter(|text| text.len() <= TEXT_BYTES);
        let packed = packed.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let packed = packed.ok_or(malformed("encodedList is not in base64url, or is too long"))?;
        let mut bits = Vec::with_capacity(Self::LEAST / 8);
        let mut unpacked = GzDecoder::new(&packed[..]);
        let read = unpacked.by_ref().take(MOST_BYTES as u64 + 1).read_to_end(&mut bits);
        read.map_err(|_| malformed("encodedList is not packed by GZIP, or was cut"))?;
        if bits.len() > MOST_BYTES {
            return Err(malformed("encodedList is larger than 16 MiB when it is unpacked"));
        }
        if !unpacked.into_inner().is_empty() {
            return Err(malformed("behind encodedList stands something else"));
        }
        if bits.len() < Self::LEAST / 8 {
            return Err(StatusError::Short);
        }
        Ok(Self(bits))
    }
}

/// Bytes by GZIP, with no time in it and as made on Unix: the same bytes have the same text.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzBuilder::new().operating_system(3).write(Vec::new(), Compression::best());
    let written = packed.write_all(bytes).and_then(|()| packed.finish());
    written.expect("a Vec takes all that is written")
}

fn mask(index: usize) -> u8 {
    0x80 >> (index % 8)
}

/// A list that its issuer signed, read once and kept while it may be.
#[derive(Clone, Debug)]
pub struct StatusList {
    issuer: String,
    id: Option<String>,
    purposes: Vec<StatusPurpose>,
    bits: Bitstring,
    until: Moment,
}

impl StatusList {
    /// Verifies a list by the document of its issuer, found just now, and unpacks it. That takes tens of milliseconds
    /// and 16 MiB at most: the caller does it on a thread for such work.
    pub fn read(list: &Credential, issuer: &Document, now: Moment) -> Result<Self, StatusError> {
        let malformed = StatusError::Malformed;
        if !list.is(LIST) {
            return Err(malformed("it is no BitstringStatusListCredential"));
        }
        list.verify(issuer, now)?;
        let subject = list.value().get("credentialSubject").and_then(Value::as_object);
        let subject = subject.ok_or(malformed("a status list speaks of one list"))?;
        if !has(subject.get("type"), "BitstringStatusList") {
            return Err(malformed("its subject is no BitstringStatusList"));
        }
        let purposes = match subject.get("statusPurpose") {
            Some(Value::Array(several)) if several.len() <= PURPOSES => &several[..],
            Some(one @ Value::String(_)) => std::slice::from_ref(one),
            _ => return Err(malformed("a status list has no statusPurpose")),
        };
        let purposes =
            purposes.iter().filter_map(|it| StatusPurpose::named(it.as_str()?)).collect();
        let ttl_ms = match subject.get("ttl") {
            None => TTL_MS,
            Some(ttl) => ttl.as_i64().filter(|ms| *ms >= 0).ok_or(malformed("ttl is no number"))?,
        };
        let kept = now.plus_ms(ttl_ms.min(MOST_TTL_MS));
        let valid = list.valid_until().map(|until| until.plus_ms(limits::CLOCK_SKEW_MS));
        let encoded = subject.get("encodedList").and_then(Value::as_str);
        let bits = Bitstring::decode(encoded.ok_or(malformed("it has no encodedList"))?)?;
        Ok(Self {
            issuer: list.issuer().to_owned(),
            id: list.value().get("id").and_then(Value::as_str).map(str::to_owned),
            purposes,
            bits,
            until: valid.map_or(kept, |valid| valid.min(kept)),
        })
    }

    /// Until when it may be kept: what the issuer takes back meanwhile is not seen.
    #[must_use]
    pub fn until(&self) -> Moment {
        self.until
    }

    /// Whether the issuer of a credential stands by it, as an entry of it asks (section 3.2).
    pub fn judge(
        &self,
        entry: &Entry,
        of: &Credential,
        now: Moment,
    ) -> Result<Status, StatusError> {
        if self.issuer != of.issuer() {
            return Err(StatusError::OtherIssuer(self.issuer.clone()));
        }
        // Of several lists of one issuer, nobody may hand over the one that suits them.
        if let Some(id) = self.id.as_ref().filter(|id| **id != entry.list) {
            return Err(StatusError::OtherList(id.clone()));
        }
        if !self.purposes.contains(&entry.purpose) {
            return Err(StatusError::OtherPurpose(entry.purpose.as_str()));
        }
        if self.until < now {
            return Err(StatusError::Old(time::write(self.until)));
        }
        match (self.bits.get(entry.index), entry.purpose) {
            (None, _) => Err(StatusError::Beyond(entry.index)),
            (Some(false), _) => Ok(Status::Good),
            (Some(true), StatusPurpose::Revocation) => Ok(Status::Revoked),
            (Some(true), StatusPurpose::Suspension) => Ok(Status::Suspended),
        }
    }
}

/// A list that is to be published.
#[derive(Clone, Debug)]
pub struct Publication<'p> {
    /// Where it will be, by https: what entries name.
    pub url: &'p str,
    /// Who says it: a DID, or an object with its `id`.
    pub issuer: Value,
    /// What a bit says.
    pub purpose: StatusPurpose,
    /// The bits.
    pub bits: &'p Bitstring,
    /// From when it is good.
    pub from: Moment,
    /// Until when.
    pub until: Option<Moment>,
    /// How long others may keep it before they ask again, in milliseconds; it is for them to say where it is not.
    pub ttl_ms: Option<i64>,
}

impl Publication<'_> {
    /// The credential of the list, with a key under `assertionMethod` of the issuer.
    #[must_use]
    pub fn signed(&self, method: &str, key: &SigningKey) -> Value {
        let mut subject = json!({
            "id": format!("{}#list", self.url),
            "type": "BitstringStatusList",
            "statusPurpose": self.purpose.as_str(),
            "encodedList": self.bits.encode(),
        });
        if let Some(ttl_ms) = self.ttl_ms {
            subject["ttl"] = ttl_ms.into();
        }
        let draft = Draft {
            issuer: self.issuer.clone(),
            types: &["BitstringStatusListCredential"],
            subject,
            from: self.from,
            until: self.until,
            status: None,
        };
        let mut credential = draft.value();
        credential["id"] = self.url.into();
        secured(credential, self.from, method, key)
    }
}

/// Whether a member is a type, or holds it among others.
fn has(value: Option<&Value>, kind: &str) -> bool {
    match value {
        Some(Value::Array(types)) => types.iter().any(|it| it == kind),
        Some(one) => one == kind,
        None => false,
    }
}

#[cfg(test)]
mod tests;
