//! Data Integrity proofs: a signature inside the JSON that it is over (W3C Data Integrity 1.0).
//!
//! A [`Proof`] is read with all bounds checked, says what it claims (by which key, to what end, when),
//! and is verified against a document and a key that the caller found trustworthy. What a claim is
//! worth (whether the key may sign to that end, whether the time is right) is the caller's to judge.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{
    json::canonical,
    key::{BadSignature, KeyKind, PublicKey, SigningKey, base58, multibase},
    rdf,
    time::{self, Moment},
};

/// Ways to write and hash what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cryptosuite {
    /// The JSON Canonicalization Scheme, SHA-256 and Ed25519 (vc-di-eddsa, section 3.3).
    EddsaJcs2022,
    /// What the document says as RDF, SHA-256 and Ed25519 (section 3.2).
    EddsaRdfc2022,
    /// The same under the name of 2020 (`Ed25519Signature2020`), for those who know no other.
    Ed25519Signature2020,
}

impl Cryptosuite {
    /// The type of its proofs, and the name of the suite where the type does not say it.
    #[must_use]
    pub fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::EddsaJcs2022 => (DATA_INTEGRITY, Some("eddsa-jcs-2022")),
            Self::EddsaRdfc2022 => (DATA_INTEGRITY, Some("eddsa-rdfc-2022")),
            Self::Ed25519Signature2020 => ("Ed25519Signature2020", None),
        }
    }

    /// The suite of a type and a name.
    fn named(kind: &str, name: Option<&str>) -> Result<Self, ProofError> {
        let all = [Self::EddsaJcs2022, Self::EddsaRdfc2022, Self::Ed25519Signature2020];
        let found = all.into_iter().find(|suite| suite.names() == (kind, name));
        found.ok_or_else(|| ProofError::UnknownSuite(name.unwrap_or(kind).to_owned()))
    }
}

/// The type of proofs that name their suite.
const DATA_INTEGRITY: &str = "DataIntegrityProof";

/// What a proof is made for (Controlled Identifiers 1.0, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Says that something is so.
    AssertionMethod,
    /// Says who somebody is.
    Authentication,
    /// Agrees on a secret; no proof is made for it, but keys are.
    KeyAgreement,
    /// Does what a capability allows.
    CapabilityInvocation,
    /// Hands a capability on.
    CapabilityDelegation,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 5] = [
        Self::AssertionMethod,
        Self::Authentication,
        Self::KeyAgreement,
        Self::CapabilityInvocation,
        Self::CapabilityDelegation,
    ];

    /// The name that stands in proofs and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AssertionMethod => "assertionMethod",
            Self::Authentication => "authentication",
            Self::KeyAgreement => "keyAgreement",
            Self::CapabilityInvocation => "capabilityInvocation",
            Self::CapabilityDelegation => "capabilityDelegation",
        }
    }
}

/// Why a proof is worth nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is no proof that could be read.
    #[error("reading a proof: {0}")]
    Malformed(&'static str),
    /// It is made in a way that is not known here.
    #[error("the cryptosuite {0:?} is not known here")]
    UnknownSuite(String),
    /// What the document says cannot be told apart from what it does not.
    #[error(transparent)]
    NotRdf(#[from] rdf::Error),
    /// The contexts that it was made under are not those of the document.
    #[error("the document does not begin with the contexts of its proof")]
    OtherContext,
    /// It is by a key of another kind than its suite signs with.
    #[error("the key is of another kind than the proof")]
    OtherKind,
    /// It does not stand over this document.
    #[error("the proof does not verify: the document was changed, or another key signed it")]
    BadSignature,
    /// Its time is over.
    #[error("the proof was good until {0}")]
    Expired(String),
    /// It says that it was made later than now.
    #[error("the proof is dated {0}, which is still to come")]
    FromTheFuture(String),
}

impl From<BadSignature> for ProofError {
    fn from(_: BadSignature) -> Self {
        Self::BadSignature
    }
}

/// What a new proof says of itself.
#[derive(Clone, Debug)]
pub struct Claims<'c> {
    /// The DID URL of the key.
    pub verification_method: &'c str,
    /// What for.
    pub purpose: Purpose,
    /// When it is made.
    pub created: Moment,
    /// Until when it is good.
    pub expires: Option<Moment>,
    /// Whom it is for, where only they may take it.
    pub domain: Option<&'c str>,
    /// What they asked to be signed along.
    pub challenge: Option<&'c str>,
}

impl Claims<'_> {
    fn options(&self, suite: Cryptosuite) -> Value {
        let (kind, name) = suite.names();
        let mut options = json!({
            "type": kind,
            "created": time::write(self.created),
            "verificationMethod": self.verification_method,
            "proofPurpose": self.purpose.as_str(),
        });
        for (member, value) in [
            ("cryptosuite", name.map(str::to_owned)),
            ("expires", self.expires.map(time::write)),
            ("domain", self.domain.map(str::to_owned)),
            ("challenge", self.challenge.map(str::to_owned)),
        ] {
            if let Some(value) = value {
                options[member] = value.into();
            }
        }
        options
    }
}

/// A proof as it came.
#[derive(Clone, Debug)]
pub struct Proof {
    suite: Cryptosuite,
    purpose: Purpose,
    verification_method: String,
    created: Option<Moment>,
    expires: Option<Moment>,
    signature: [u8; 64],
    /// The ids of proofs that it stands over too (Data Integrity 1.0, section 2.1.2).
    previous: Vec<String>,
    /// All of it, as it came.
    value: Map<String, Value>,
}

/// Longest text in a proof that is read, in bytes.
const TEXT_BYTES: usize = 2_048;
/// Most proofs that one document is read with.
const PROOFS: usize = 16;

impl Proof {
    /// Reads a proof.
    pub fn read(value: &Value) -> Result<Self, ProofError> {
        let malformed = ProofError::Malformed;
        let members = value.as_object().ok_or(malformed("it is no object"))?;
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= TEXT_BYTES => Ok(Some(text.as_str())),
            Some(_) => Err(malformed("a member that must be a text is none, or is too long")),
        };
        let moment = |name: &str| match text(name)? {
            None => Ok(None),
            Some(text) => {
                let moment = time::read(text);
                moment.map(Some).ok_or(malformed("a time in it is no time"))
            }
        };
        let kind = text("type")?.ok_or(malformed("it has no type"))?;
        let suite = Cryptosuite::named(kind, text("cryptosuite")?)?;
        let previous = match members.get("previousProof") {
            None => Vec::new(),
            Some(ids) => {
                let ids = items(ids).iter().map(|id| id.as_str().map(str::to_owned));
                let ids = ids.collect::<Option<Vec<_>>>().filter(|ids| ids.len() <= PROOFS);
                ids.ok_or(malformed("the proofs before it are named by no texts, or too many"))?
            }
        };
        let said = text("proofPurpose")?.ok_or(malformed("it has no purpose"))?;
        let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.as_str() == said);
        let method = text("verificationMethod")?.ok_or(malformed("it names no key"))?;
        let signature = text("proofValue")?.ok_or(malformed("it holds no signature"))?;
        let signature = signature.strip_prefix('z').and_then(|_| multibase(signature).ok());
        let signature = signature.and_then(|bytes| bytes.try_into().ok());
        Ok(Self {
            suite,
            purpose: purpose.ok_or(malformed("its purpose is not known here"))?,
            verification_method: method.to_owned(),
            created: moment("created")?,
            expires: moment("expires")?,
            signature: signature.ok_or(malformed("its signature is none in base 58"))?,
            previous,
            value: members.clone(),
        })
    }

    /// Reads what stands under `proof` in a document: one or several, and takes it out.
    pub fn take_from(document: &mut Value) -> Result<Vec<Self>, ProofError> {
        let members = document.as_object_mut();
        let proof = members.and_then(|members| members.remove("proof"));
        match proof {
            Some(Value::Array(proofs)) if proofs.len() > PROOFS => {
                Err(ProofError::Malformed("there are too many"))
            }
            Some(Value::Array(proofs)) if !proofs.is_empty() => {
                proofs.iter().map(Self::read).collect()
            }
            Some(proof @ Value::Object(_)) => Ok(vec![Self::read(&proof)?]),
            _ => Err(ProofError::Malformed("there is none")),
        }
    }

    /// Signs a document by `eddsa-jcs-2022`, and gives what is to stand under its `proof`.
    #[must_use]
    pub fn sign(document: &Value, claims: &Claims<'_>, key: &SigningKey) -> Value {
        let mut options = claims.options(Cryptosuite::EddsaJcs2022);
        if let Some(context) = document.get("@context") {
            options["@context"] = context.clone();
        }
        let signature = key.sign(&jcs_digest(&options, document));
        options["proofValue"] = format!("z{}", base58(&signature)).into();
        options
    }

    /// The same by a suite over RDF: only what its contexts define can be signed.
    pub fn sign_rdf(
        suite: Cryptosuite,
        document: &Value,
        claims: &Claims<'_>,
        key: &SigningKey,
    ) -> Result<Value, ProofError> {
        let mut options = claims.options(suite);
        let digest = rdf_digest(&options, document, &rdf::Contexts::new())?;
        options["proofValue"] = format!("z{}", base58(&key.sign(&digest))).into();
        Ok(options)
    }

    /// What the proof stands over: a document without its proofs, and those of all its proofs that this
    /// one names as before it.
    pub fn covered(&self, bare: &Value, all: &[Self]) -> Result<Value, ProofError> {
        let mut covered = bare.clone();
        if self.previous.is_empty() {
            return Ok(covered);
        }
        let find = |id: &String| {
            let named = |proof: &&Self| proof.value.get("id").and_then(Value::as_str) == Some(id);
            all.iter().find(named).map(|proof| Value::Object(proof.value.clone()))
        };
        let before = self.previous.iter().map(find).collect::<Option<Vec<_>>>();
        let before = before.ok_or(ProofError::Malformed("a proof before it is missing"))?;
        covered["proof"] = before.into();
        Ok(covered)
    }

    /// Whether the proof stands over what it covers, by a key.
    pub fn verify(&self, covered: &Value, key: &PublicKey) -> Result<(), ProofError> {
        self.verify_with(covered, key, &rdf::Contexts::new())
    }

    /// The same with further contexts that the caller vouches for.
    pub fn verify_with(
        &self,
        covered: &Value,
        key: &PublicKey,
        contexts: &rdf::Contexts,
    ) -> Result<(), ProofError> {
        if key.kind() != KeyKind::Ed25519 {
            return Err(ProofError::OtherKind);
        }
        if !self.previous.is_empty() && covered.get("proof").is_none() {
            return Err(ProofError::Malformed("it stands over another proof too"));
        }
        let mut options = Value::Object(self.value.clone());
        if let Some(members) = options.as_object_mut() {
            members.remove("proofValue");
        }
        let digest = match self.suite {
            Cryptosuite::EddsaJcs2022 => {
                let covered = under_context(covered, options.get("@context"))?;
                jcs_digest(&options, &covered)
            }
            Cryptosuite::EddsaRdfc2022 | Cryptosuite::Ed25519Signature2020 => {
                rdf_digest(&options, covered, contexts)?
            }
        };
        Ok(key.verify(&digest, &self.signature)?)
    }

    /// Whether all contexts of a document stand under the proof: of one over JSON others may come after those
    /// that it was made under, and tell of types what nobody signed.
    #[must_use]
    pub fn covers_contexts(&self, document: &Value) -> bool {
        let signed = self.value.get("@context");
        self.suite != Cryptosuite::EddsaJcs2022
            || signed.is_none_or(|signed| document.get("@context") == Some(signed))
    }

    /// Whether its time is now, give or take what clocks may differ.
    pub fn is_current(&self, now: Moment, skew_ms: i64) -> Result<(), ProofError> {
        if let Some(expires) = self.expires.filter(|expires| expires.plus_ms(skew_ms) < now) {
            return Err(ProofError::Expired(time::write(expires)));
        }
        if let Some(created) = self.created.filter(|created| *created > now.plus_ms(skew_ms)) {
            return Err(ProofError::FromTheFuture(time::write(created)));
        }
        Ok(())
    }

    /// How it was made.
    #[must_use]
    pub fn suite(&self) -> Cryptosuite {
        self.suite
    }

    /// What for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The DID URL of the key that it claims.
    #[must_use]
    pub fn verification_method(&self) -> &str {
        &self.verification_method
    }

    /// When it says that it was made.
    #[must_use]
    pub fn created(&self) -> Option<Moment> {
        self.created
    }

    /// Whom it is for, if it says so.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.value.get("domain").and_then(Value::as_str)
    }

    /// What it was asked to sign along, if anything.
    #[must_use]
    pub fn challenge(&self) -> Option<&str> {
        self.value.get("challenge").and_then(Value::as_str)
    }
}

fn items(context: &Value) -> &[Value] {
    context.as_array().map_or(std::slice::from_ref(context), Vec::as_slice)
}

/// A document under the contexts that a proof was made under: those that came later, as of a proof beside
/// it, are none of this proof's.
fn under_context<'d>(
    document: &'d Value,
    signed: Option<&Value>,
) -> Result<Cow<'d, Value>, ProofError> {
    let whole = document.get("@context");
    match signed {
        None => Ok(Cow::Borrowed(document)),
        Some(_) if signed == whole => Ok(Cow::Borrowed(document)),
        Some(signed) => {
            if !whole.is_some_and(|whole| items(whole).starts_with(items(signed))) {
                return Err(ProofError::OtherContext);
            }
            let mut document = document.clone();
            document["@context"] = signed.clone();
            Ok(Cow::Owned(document))
        }
    }
}

/// What is signed: the hash of the options, then that of the document (section 3.3.4).
fn jcs_digest(options: &Value, document: &Value) -> [u8; 64] {
    digest(&canonical(options), &canonical(document))
}

/// The same of what both say as RDF, the options in the words of the document (section 3.2.5).
fn rdf_digest(
    options: &Value,
    document: &Value,
    contexts: &rdf::Contexts,
) -> Result<[u8; 64], ProofError> {
    let mut options = options.clone();
    if let Some(members) = options.as_object_mut() {
        members.remove("@context");
    }
    by_name(&options)?;
    by_name(document)?;
    options["@context"] = document.get("@context").cloned().unwrap_or_default();
    let options = rdf::canonical_with(&options, contexts)?;
    Ok(digest(&options, &rdf::canonical_with(document, contexts)?))
}

/// Whether whoever reads the members by their names sees all that is said: what has another name in JSON
/// (an address for `validUntil`, `@id` for `id`) says the same as RDF, and is passed over by readers.
fn by_name(value: &Value) -> Result<(), ProofError> {
    match value {
        Value::Array(items) => items.iter().try_for_each(by_name),
        Value::Object(members) => {
            let is_literal = members.contains_key("@value");
            let hidden = |name: &String| {
                name.contains(':') || (name.starts_with('@') && name != "@context" && !is_literal)
            };
            match members.keys().find(|name| hidden(name)) {
                Some(_) => Err(ProofError::Malformed("a member of the document has no plain name")),
                // Contexts are told by their addresses alone.
                None => members
                    .iter()
                    .filter(|(name, _)| *name != "@context")
                    .map(|(_, it)| it)
                    .try_for_each(by_name),
            }
        }
        _ => Ok(()),
    }
}

fn digest(options: &str, document: &str) -> [u8; 64] {
    let mut digest = [0; 64];
    digest[..32].copy_from_slice(&Sha256::digest(options));
    digest[32..].copy_from_slice(&Sha256::digest(document));
    digest
}

#[cfg(test)]
mod tests;
