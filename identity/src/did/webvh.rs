//! did:webvh 1.0: a DID whose whole history proves itself, wherever its log was found.
//!
//! A log is a line of JSON for each version. Every version is chained to the one before by its hash,
//! and signed by a key that the history itself authorises; the name of the DID holds the hash of the
//! first version (its SCID), so that nobody can begin another history under it. [`History::read`]
//! decides all of that without a network. [`write`] begins and continues logs.

mod parameters;
mod witness;
pub mod write;

use std::{fmt, str::FromStr};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use url::Url;
use wayside_specs::{Did, limits};

pub use self::parameters::{Parameters, Witnesses};

use super::{DidError, Document, place};
use crate::{
    json::{self, NoJson, canonical},
    key::{PublicKey, base58, from_base58},
    proof::{Cryptosuite, Proof, ProofError, Purpose},
    time::{self, Moment},
};

/// What stands for the SCID before it is known.
pub const SCID: &str = "{SCID}";
/// A hash by SHA-256 as multihash: its number, and its length in bytes.
const SHA_256: [u8; 2] = [0x12, 32];

/// Where the log of a DID is, and who it is that the log has to be of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    scid: String,
    log: Url,
    witness: Url,
}

impl Place {
    /// The place that a DID names.
    pub fn of(did: &Did) -> Result<Self, DidError> {
        if did.method() != "webvh" {
            return Err(DidError::BadDid("it is none of did:webvh"));
        }
        let parts = did.id().split_once(':');
        let (scid, place) = parts.ok_or(DidError::BadDid("it names no host"))?;
        if !is_hash(scid) {
            return Err(DidError::BadDid("its SCID is no hash by SHA-256"));
        }
        Ok(Self {
            scid: scid.to_owned(),
            log: place::address(place, "did.jsonl")?,
            witness: place::address(place, "did-witness.json")?,
        })
    }

    /// What proves itself: the same wherever the person moves.
    #[must_use]
    pub fn scid(&self) -> &str {
        &self.scid
    }

    /// Where the log is.
    #[must_use]
    pub fn log(&self) -> &Url {
        &self.log
    }

    /// Where the proofs of witnesses are, if it has some.
    #[must_use]
    pub fn witness(&self) -> &Url {
        &self.witness
    }
}

/// The id of a version: its number, counted from 1, and the hash of its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionId {
    /// The number.
    pub number: usize,
    /// The hash, which holds all of the history before.
    pub hash: String,
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.hash)
    }
}

impl FromStr for VersionId {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let wrong = Fault::Entry("its versionId is no number, dash and hash");
        let Some((number, hash)) = text.split_once('-') else { return Err(wrong) };
        let digits = number.bytes().all(|digit| digit.is_ascii_digit());
        match number.parse() {
            Ok(number) if digits && !text.starts_with('0') && is_hash(hash) => {
                Ok(Self { number, hash: hash.to_owned() })
            }
            _ => Err(wrong),
        }
    }
}

/// Which rule a version breaks.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is no JSON that can be signed.
    #[error(transparent)]
    NoJson(#[from] NoJson),
    /// It has not the form of an entry.
    #[error("{0}")]
    Entry(&'static str),
    /// It is to be read by rules that are not known here.
    #[error("its rules are those of {0:?}; did:webvh:1.0 is known here")]
    UnknownRules(String),
    /// Its parameters are none.
    #[error("its parameters are none: {0}")]
    Parameters(&'static str),
    /// Its keys are not those that the version before committed to.
    #[error("a key of it is none of those that the version before committed to")]
    NotCommitted,
    /// It is not the version that follows.
    #[error("it calls itself {0}, which is another number")]
    OtherNumber(usize),
    /// Its hash is not that of its content behind the version before.
    #[error("the chain is broken: its hash is not that of what it holds")]
    BrokenChain,
    /// It begins another history than its DID names.
    #[error("its SCID is not the hash of the first version")]
    OtherBeginning,
    /// Its time does not come after that of the version before, or has not come yet.
    #[error("its time {0}")]
    Time(&'static str),
    /// None of its proofs is by a key that may change the DID.
    #[error("it is signed by {0}, which may not change the DID")]
    OtherSigner(String),
    /// Its proof is worth nothing.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// What it calls the DID is no name that it may have.
    #[error("what it calls the DID {0}")]
    Name(&'static str),
    /// Its document is none.
    #[error(transparent)]
    Document(Box<DidError>),
    /// It comes after the end.
    #[error("it comes after the DID was deactivated")]
    AfterTheEnd,
    /// Too few witnesses stand by it.
    #[error("{found} of its witnesses stand by it, and {needed} have to")]
    Unwitnessed {
        /// Those that do.
        found: usize,
        /// Those that have to.
        needed: usize,
    },
}

/// One version of a DID.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its id.
    pub id: VersionId,
    /// From when on it is good, as whoever signed it says.
    pub time: Moment,
    /// The rules from it on.
    pub parameters: Parameters,
    /// The document. Its id is the name of the DID from here on.
    pub document: Document,
}

/// The history of a DID, every version of which was proven.
#[derive(Clone, Debug)]
pub struct History {
    scid: String,
    versions: Vec<Version>,
}

impl History {
    /// Reads a log: `log` as it stands in `did.jsonl`, `witness` as in `did-witness.json` if there is
    /// one. `now` is for times that have not come, give or take [`limits::CLOCK_SKEW_MS`].
    ///
    /// One version that breaks a rule refuses the whole: a history is trusted or it is not.
    pub fn read(log: &[u8], witness: Option<&[u8]>, now: Moment) -> Result<Self, DidError> {
        match Self::read_to_fault(log, witness, now)? {
            (history, None) => Ok(history),
            (_, Some(fault)) => Err(fault),
        }
    }

    /// The same for whoever asks for one version by its id: those before the first that breaks a rule
    /// are good (section "Read", step 10), and at least one is.
    pub fn read_to_fault(
        log: &[u8],
        witness: Option<&[u8]>,
        now: Moment,
    ) -> Result<(Self, Option<DidError>), DidError> {
        too_large("the log of the DID", log, limits::DID_LOG_BYTES)?;
        too_large("the file of witnesses", witness.unwrap_or_default(), limits::DID_WITNESS_BYTES)?;
        let mut history = Self { scid: String::new(), versions: Vec::new() };
        let mut fault = None;
        for (index, line) in lines(log).enumerate() {
            let why = if index >= limits::DID_LOG_ENTRIES {
                Some(Fault::Entry("the log has too many versions"))
            } else {
                history.take(line, now).err()
            };
            if let Some(why) = why {
                fault = Some(DidError::BadLog { version: index + 1, why });
                break;
            }
        }
        if let Err((index, why)) = witness::verify(&history.versions, witness) {
            history.versions.truncate(index);
            fault = Some(DidError::BadLog { version: index + 1, why });
        }
        if history.versions.is_empty() {
            let why = Fault::Entry("the log is empty");
            return Err(fault.unwrap_or(DidError::BadLog { version: 1, why }));
        }
        Ok((history, fault))
    }

    /// What proves itself: the same in every version.
    #[must_use]
    pub fn scid(&self) -> &str {
        &self.scid
    }

    /// All versions, the first first.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The last version.
    #[must_use]
    pub fn latest(&self) -> &Version {
        let [.., latest] = &self.versions[..] else { unreachable!("read refuses an empty log") };
        latest
    }

    /// What the DID is called now.
    #[must_use]
    pub fn did(&self) -> &Did {
        self.latest().document.id()
    }

    /// Whether the DID is or was called so.
    #[must_use]
    pub fn has_name(&self, did: &Did) -> bool {
        self.versions.iter().any(|version| version.document.id() == did)
    }

    /// The version that was good at a moment.
    #[must_use]
    pub fn at(&self, moment: Moment) -> Option<&Version> {
        self.versions.iter().rev().find(|version| version.time <= moment)
    }

    /// Whether it goes on from what was known of it: the same up to that version. A history that is
    /// shorter or forked does not.
    #[must_use]
    pub fn continues(&self, known: &VersionId) -> bool {
        let version = known.number.checked_sub(1).and_then(|index| self.versions.get(index));
        version.is_some_and(|version| version.id == *known)
    }

    /// Judges the line that follows, and takes it in.
    fn take(&mut self, line: &[u8], now: Moment) -> Result<(), Fault> {
        let mut entry = Entry::read(line)?;
        let before = self.versions.last();
        let number = self.versions.len() + 1;
        if entry.id.number != number {
            return Err(Fault::OtherNumber(entry.id.number));
        }
        if before.is_some_and(|before| before.parameters.deactivated) {
            return Err(Fault::AfterTheEnd);
        }
        let (parameters, scid) =
            Parameters::after(before.map(|before| &before.parameters), &entry.parameters()?)?;
        let scid = scid.unwrap_or_else(|| self.scid.clone());
        if before.is_none() && entry.beginning(&scid).as_ref() != Some(&scid) {
            return Err(Fault::OtherBeginning);
        }
        if before.is_some_and(|before| entry.time <= before.time) {
            return Err(Fault::Time("is not after that of the version before"));
        }
        if entry.time > now.plus_ms(limits::CLOCK_SKEW_MS) {
            return Err(Fault::Time("is still to come"));
        }
        let previous = before.map_or_else(|| scid.clone(), |before| before.id.to_string());
        if entry.hash_behind(&previous) != entry.id.hash {
            return Err(Fault::BrokenChain);
        }
        let committed = before.is_none_or(|before| before.parameters.commits());
        let signers = match before {
            Some(before) if !committed => &before.parameters.update_keys,
            _ => &parameters.update_keys,
        };
        entry.signed_by(signers, now)?;
        let document = entry.document()?;
        may_be_called(&document, &scid, before, &parameters)?;
        self.scid = scid;
        self.versions.push(Version { id: entry.id, time: entry.time, parameters, document });
        Ok(())
    }
}

/// An entry of a log whose form was checked, without its proofs.
struct Entry {
    id: VersionId,
    time: Moment,
    value: Value,
    proofs: Vec<Proof>,
}

impl Entry {
    fn read(line: &[u8]) -> Result<Self, Fault> {
        const MEMBERS: [&str; 5] = ["versionId", "versionTime", "parameters", "state", "proof"];
        if line.len() > limits::DID_ENTRY_BYTES {
            return Err(Fault::Entry("it is too long"));
        }
        let mut value = json::read(line)?;
        let members = value.as_object().ok_or(Fault::Entry("it is no object"))?;
        if !members.keys().all(|name| MEMBERS.contains(&name.as_str())) {
            return Err(Fault::Entry("it holds a member that no entry has"));
        }
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let id = text("versionId").ok_or(Fault::Entry("it has no versionId"))?.parse()?;
        let time = text("versionTime").and_then(time::read);
        let time = time.ok_or(Fault::Entry("its versionTime is no time in UTC"))?;
        let proofs = Proof::take_from(&mut value)?;
        Ok(Self { id, time, value, proofs })
    }

    fn parameters(&self) -> Result<Map<String, Value>, Fault> {
        let parameters = self.value["parameters"].as_object();
        parameters.cloned().ok_or(Fault::Entry("it has no parameters"))
    }

    /// The SCID that grows from this entry as the first (section "Verify SCID").
    ///
    /// One that still holds what stands for the SCID has none: another that holds the SCID there would
    /// have the same.
    fn beginning(&self, scid: &str) -> Option<String> {
        let mut value = self.value.clone();
        if canonical(&value).contains(SCID) {
            return None;
        }
        value["versionId"] = SCID.into();
        Some(hash(canonical(&replaced(value, scid, SCID)).as_bytes()))
    }

    /// The hash of the entry behind a version, or behind the SCID (section "Verify The Entry Hash").
    fn hash_behind(&mut self, previous: &str) -> String {
        self.value["versionId"] = previous.into();
        let hash = hash(canonical(&self.value).as_bytes());
        self.value["versionId"] = self.id.to_string().into();
        hash
    }

    /// Whether one of its proofs is by a key that may change the DID; others beside it say nothing.
    fn signed_by(&self, keys: &[String], now: Moment) -> Result<(), Fault> {
        let mut refusal = None;
        for proof in &self.proofs {
            let verified = signer(proof).and_then(|(name, key)| {
                if !keys.contains(&name) {
                    return Err(Fault::OtherSigner(name));
                }
                verify(proof, &self.value, &key, now)
            });
            match verified {
                Ok(()) => return Ok(()),
                Err(fault) => refusal = refusal.or(Some(fault)),
            }
        }
        Err(refusal.unwrap_or(Fault::Entry("it has no proof")))
    }

    fn document(&mut self) -> Result<Document, Fault> {
        let state = self.value.get_mut("state").map(Value::take);
        let state = state.ok_or(Fault::Entry("it has no state"))?;
        if state.to_string().len() > limits::DID_DOCUMENT_BYTES {
            return Err(Fault::Entry("its document is too large"));
        }
        Document::from_value(state).map_err(|error| Fault::Document(Box::new(error)))
    }
}

/// The key that a proof of a log names, which is a did:key in full: what stands before and behind the
/// `#` must be the same key, since one reader would verify by the one and another authorise the other.
fn signer(proof: &Proof) -> Result<(String, PublicKey), Fault> {
    let method = proof.verification_method();
    let named = method.strip_prefix("did:key:").and_then(|rest| rest.split_once('#'));
    let Some((key, _)) = named.filter(|(key, fragment)| key == fragment) else {
        return Err(ProofError::Malformed("its key is no did:key with the same key behind").into());
    };
    let public = PublicKey::from_multikey(key);
    // One key has one text, lest it be counted for two.
    let public = public.ok().filter(|public| public.to_multikey() == key);
    let public = public.ok_or(ProofError::Malformed("its key is none in base 58"))?;
    Ok((key.to_owned(), public))
}

/// Whether a proof of the kind that logs have stands over a value.
fn verify(proof: &Proof, value: &Value, key: &PublicKey, now: Moment) -> Result<(), Fault> {
    if proof.purpose() != Purpose::AssertionMethod {
        return Err(ProofError::Malformed("its purpose must be assertionMethod").into());
    }
    if proof.suite() != Cryptosuite::EddsaJcs2022 {
        return Err(ProofError::Malformed("its cryptosuite must be eddsa-jcs-2022").into());
    }
    proof.is_current(now, limits::CLOCK_SKEW_MS)?;
    Ok(proof.verify(value, key)?)
}

/// Whether a version may call the DID what it does (section "DID Portability").
fn may_be_called(
    document: &Document,
    scid: &str,
    before: Option<&Version>,
    parameters: &Parameters,
) -> Result<(), Fault> {
    let name = document.id();
    let place = Place::of(name).map_err(|_| Fault::Name("is no did:webvh"))?;
    if place.scid != scid {
        return Err(Fault::Name("has another SCID"));
    }
    let Some(before) = before.filter(|before| before.document.id() != name) else { return Ok(()) };
    if !parameters.portable {
        return Err(Fault::Name("is another place, and the DID is not portable"));
    }
    let old = before.document.id().as_str();
    if !document.also_known_as().iter().any(|other| other == old) {
        return Err(Fault::Name("is another place, and alsoKnownAs does not hold the one before"));
    }
    Ok(())
}

/// A hash as logs write it: base 58 over a multihash by SHA-256.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    base58(&[SHA_256.as_slice(), &Sha256::digest(bytes)].concat())
}

/// Whether a text is such a hash.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    text.len() <= 50
        && from_base58(text).is_ok_and(|bytes| bytes.len() == 34 && bytes.starts_with(&SHA_256))
}

/// A value with one text in place of another, wherever it stands.
fn replaced(value: Value, from: &str, to: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(from, to)),
        Value::Array(items) => {
            items.into_iter().map(|item| replaced(item, from, to)).collect::<Vec<_>>().into()
        }
        Value::Object(members) => {
            let members = members.into_iter();
            let members =
                members.map(|(name, value)| (name.replace(from, to), replaced(value, from, to)));
            Value::Object(members.collect())
        }
        other => other,
    }
}

/// The lines of a log; the last may end without its newline.
fn lines(log: &[u8]) -> impl Iterator<Item = &[u8]> {
    let log = log.strip_suffix(b"\n").unwrap_or(log);
    log.split(|byte| *byte == b'\n').filter(move |_| !log.is_empty())
}

fn too_large(what: &'static str, bytes: &[u8], most: usize) -> Result<(), DidError> {
    if bytes.len() > most { Err(DidError::TooLarge { what, most }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
