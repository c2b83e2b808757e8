//! What an issuer says of somebody, and signs (W3C Verifiable Credentials Data Model 2.0).
//!
//! A [`Credential`] is read by every rule of the data model that does not need the network, and is worth
//! nothing until [`Credential::verify`] has held its proof against the document of its issuer. What an issuer
//! may say, of whom, and whether it has taken it back since, is the caller's to judge.
//!
//! It is one type whatever secures it: proofs inside it ([`crate::proof`]), or a token around it, alone or in an
//! envelope ([`crate::jose`]). Contexts are those that are known here; nothing is fetched. A type that none of
//! them defines makes the credential none: two readers could take it for two things.
//!
//! ```
//! use serde_json::json;
//! use wayside_identity::{credential::{Credential, Draft}, did::{plan, Plan}, key::SigningKey, time::Moment};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SigningKey::from_seed([7; 32]);
//! let multikey = key.public().to_multikey();
//! let issuer = format!("did:key:{multikey}");
//! let draft = Draft {
//!     issuer: json!(issuer), types: &["HomeMembership"], subject: json!({"id": "did:web:a.example:people:ada"}),
//!     from: Moment(1_000), until: Some(Moment(9_000)), status: None,
//! };
//! let signed = draft.signed(&format!("{issuer}#{multikey}"), &key);
//! let Plan::Known(document) = plan(&issuer.parse()?)? else { unreachable!() };
//! let credential = Credential::read(&signed)?;
//! credential.verify(&document, Moment(2_000))?;
//! assert!(credential.is("urn:wayside:HomeMembership"));
//! # Ok(()) }
//! ```

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use wayside_specs::{Did, limits};

use crate::{
    did::Document,
    jose::{self, JoseError, Kind, Token},
    key::SigningKey,
    proof::{Claims, Proof, ProofError, Purpose},
    rdf::{self, Contexts, is_iri},
    time::{self, Moment},
};

/// The context that every credential and presentation begins with.
pub const BASE_CONTEXT: &str = "https://www.w3.org/ns/credentials/v2";
/// The context of what nodes and authors say of each other here (`specs/credentials.json`).
pub const OWN_CONTEXT: &str = "urn:wayside:credentials:v1";
/// Most credentials that are shown at once.
const CREDENTIALS: usize = 16;
/// Most items of a member that may hold several.
const ITEMS: usize = 64;

/// Why a credential or a presentation is none, or is worth nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// It breaks a rule of the data model.
    #[error("reading a credential: {0}")]
    Malformed(&'static str),
    /// A member of it does.
    #[error("reading a credential: {0} {1}")]
    Member(&'static str, &'static str),
    /// Its types cannot be told.
    #[error("reading a credential: {0}")]
    Meaning(#[from] rdf::Error),
    /// It is said by somebody else.
    #[error("the credential is issued by {0:?}, and the key is another's")]
    OtherIssuer(String),
    /// Its proof is no statement of its issuer.
    #[error("the credential is signed by {0:?}, which may not make statements for its issuer")]
    OtherKey(String),
    /// It is not good yet.
    #[error("the credential is good from {0} on")]
    Early(String),
    /// It is good no longer.
    #[error("the credential was good until {0}")]
    Late(String),
    /// Its proof does not verify.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The token around it is none, or does not verify.
    #[error(transparent)]
    Token(#[from] JoseError),
}

/// A credential as it was read: nothing in it is believed yet.
#[derive(Clone, Debug)]
pub struct Credential {
    issuer: String,
    types: Vec<String>,
    valid_from: Option<Moment>,
    valid_until: Option<Moment>,
    /// What secures it, where that is around it.
    token: Option<Token>,
    value: Value,
}

impl Credential {
    /// Reads a credential: an object, the text of a token around one, or an envelope of such a token.
    pub fn read(value: &Value) -> Result<Self, CredentialError> {
        Self::read_with(value, &Contexts::new())
    }

    /// The same with further contexts that the caller vouches for.
    pub fn read_with(value: &Value, contexts: &Contexts) -> Result<Self, CredentialError> {
        let (value, token) = match Token::within(value, Kind::Credential)? {
            Some((value, token)) => (Cow::Owned(value), Some(token)),
            None => (Cow::Borrowed(value), None),
        };
        let members = frame(&value, "VerifiableCredential")?;
        let issuer = id_of(members.get("issuer"), "issuer")?;
        let issuer = issuer.ok_or(CredentialError::Malformed("it has no issuer"))?;
        named(members)?;
        if let Some(Value::Object(issuer)) = members.get("issuer") {
            named(issuer)?;
        }
        subjects(members)?;
        let [valid_from, valid_until] =
            ["validFrom", "validUntil"].map(|name| moment(members, name));
        let (valid_from, valid_until) = (valid_from?, valid_until?);
        if valid_from.zip(valid_until).is_some_and(|(from, until)| until < from) {
            return Err(CredentialError::Malformed("it ends before it begins"));
        }
        for (name, needs_id) in [
            ("credentialStatus", false),
            ("credentialSchema", true),
            ("refreshService", false),
            ("termsOfUse", false),
            ("evidence", false),
            ("proof", false),
        ] {
            parts(members, name, needs_id)?;
        }
        let types = rdf::types(members, contexts)?;
        let issuer = issuer.to_owned();
        let value = value.into_owned();
        Ok(Self { issuer, types, valid_from, valid_until, token, value })
    }

    /// Who says it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether it is of a type, which is said by its whole address.
    #[must_use]
    pub fn is(&self, kind: &str) -> bool {
        self.types.iter().any(|it| it == kind)
    }

    /// What it says of somebody.
    #[must_use]
    pub fn says_of(&self, did: &Did) -> Option<&Map<String, Value>> {
        let subjects =
            items(self.value.get("credentialSubject")).iter().filter_map(Value::as_object);
        let mut of =
            subjects.filter(|it| it.get("id").and_then(Value::as_str) == Some(did.as_str()));
        of.next()
    }

    /// What it says of a person, wherever they have moved since: a did:webvh is compared by its SCID.
    #[must_use]
    pub fn says_of_person(&self, did: &Did) -> Option<&Map<String, Value>> {
        let is_them = |it: &&Map<String, Value>| {
            let id = it.get("id").and_then(Value::as_str).and_then(|id| id.parse::<Did>().ok());
            id.is_some_and(|id| id.subject() == did.subject())
        };
        items(self.value.get("credentialSubject")).iter().filter_map(Value::as_object).find(is_them)
    }

    /// Whether its members have the names that nodes of ours give them, and mean the same for everybody.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.value.get("@context") == Some(&json!([BASE_CONTEXT, OWN_CONTEXT]))
    }

    /// Where its issuer says whether it still stands by it.
    #[must_use]
    pub fn statuses(&self) -> &[Value] {
        items(self.value.get("credentialStatus"))
    }

    /// Until when it is good, where it says so.
    #[must_use]
    pub fn valid_until(&self) -> Option<Moment> {
        self.valid_until
    }

    /// The credential as it came, without a token that was around it.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether its issuer says so, and says it now: `issuer` is the document of [`Self::issuer`], found just
    /// now. Of several proofs every one must verify, and so must the token around it.
    pub fn verify(&self, issuer: &Document, now: Moment) -> Result<(), CredentialError> {
        // Whoever has moved since is the same, with the keys that they have by now.
        let named = self.issuer.parse::<Did>().ok();
        if named.as_ref().map(Did::subject) != Some(issuer.id().subject()) {
            return Err(CredentialError::OtherIssuer(self.issuer.clone()));
        }
        let skew_ms = limits::CLOCK_SKEW_MS;
        if let Some(from) = self.valid_from.filter(|from| *from > now.plus_ms(skew_ms)) {
            return Err(CredentialError::Early(time::write(from)));
        }
        if let Some(until) = self.valid_until.filter(|until| until.plus_ms(skew_ms) < now) {
            return Err(CredentialError::Late(time::write(until)));
        }
        let key_of = |method: &str| {
            let fragment = method.strip_prefix(&*self.issuer).unwrap_or_default();
            let now = format!("{}{fragment}", issuer.id());
            let key = issuer.own_key(&now, Purpose::AssertionMethod);
            key.ok_or_else(|| CredentialError::OtherKey(method.to_owned()))
        };
        if let Some(token) = &self.token {
            token.is_current(now, skew_ms)?;
            token.verify(key_of(token.method())?)?;
            if self.value.get("proof").is_none() {
                return Ok(());
            }
        }
        let mut bare = self.value.clone();
        let proofs = Proof::take_from(&mut bare)?;
        for proof in &proofs {
            let method = proof.verification_method();
            if proof.purpose() != Purpose::AssertionMethod {
                return Err(CredentialError::OtherKey(method.to_owned()));
            }
            let key = key_of(method)?;
            // What it is was read by all of its contexts.
            if !proof.covers_contexts(&bare) {
                return Err(ProofError::OtherContext.into());
            }
            proof.is_current(now, skew_ms)?;
            proof.verify(&proof.covered(&bare, &proofs)?, key)?;
        }
        Ok(())
    }
}

/// A credential that is to be said.
#[derive(Clone, Debug)]
pub struct Draft<'d> {
    /// Who says it: a DID, or an object with its `id`.
    pub issuer: Value,
    /// What kind it is, beside `VerifiableCredential`: terms of [`OWN_CONTEXT`].
    pub types: &'d [&'d str],
    /// What is said, of whom.
    pub subject: Value,
    /// From when it is good.
    pub from: Moment,
    /// Until when.
    pub until: Option<Moment>,
    /// Where the issuer says whether it still stands by it.
    pub status: Option<Value>,
}

impl Draft<'_> {
    /// Says it by `eddsa-jcs-2022`, with a key that stands under `assertionMethod` of the issuer.
    #[must_use]
    pub fn signed(&self, method: &str, key: &SigningKey) -> Value {
        secured(self.value(), self.from, method, key)
    }

    /// Says it by a token around it, with such a key (VC-JOSE-COSE, section 3.1.1).
    #[must_use]
    pub fn token(&self, method: &str, key: &SigningKey) -> String {
        jose::sign(&self.value(), Kind::Credential, method, key)
    }

    /// What is said, before anybody has put their name to it.
    pub(crate) fn value(&self) -> Value {
        let types: Vec<_> = ["VerifiableCredential"].iter().chain(self.types).collect();
        let mut credential = json!({
            "@context": [BASE_CONTEXT, OWN_CONTEXT],
            "type": types,
            "issuer": self.issuer,
            "validFrom": time::write(self.from),
            "credentialSubject": self.subject,
        });
        if let Some(until) = self.until {
            credential["validUntil"] = time::write(until).into();
        }
        if let Some(status) = &self.status {
            credential["credentialStatus"] = status.clone();
        }
        credential
    }
}

/// A credential with a proof by `eddsa-jcs-2022` in it.
pub(crate) fn secured(mut credential: Value, now: Moment, method: &str, key: &SigningKey) -> Value {
    let claims = Claims {
        verification_method: method,
        purpose: Purpose::AssertionMethod,
        created: now,
        expires: None,
        domain: None,
        challenge: None,
    };
    credential["proof"] = Proof::sign(&credential, &claims, key);
    credential
}

/// Reads a presentation by the rules of the data model, whatever secures it, and gives the credentials that it
/// shows, each of which [`Credential::read`] takes as it is.
pub fn presented(value: &Value, contexts: &Contexts) -> Result<Vec<Value>, CredentialError> {
    let opened = Token::within(value, Kind::Presentation)?;
    let value = opened.as_ref().map_or(value, |(value, _)| value);
    let members = frame(value, "VerifiablePresentation")?;
    id_of(members.get("holder"), "holder")?;
    parts(members, "proof", false)?;
    rdf::types(members, contexts)?;
    let shown = items(members.get("verifiableCredential"));
    if shown.len() > CREDENTIALS {
        return Err(CredentialError::Malformed("it shows too many credentials"));
    }
    for credential in shown {
        let members = credential.as_object();
        let members = members.ok_or(CredentialError::Malformed("what it shows is no object"))?;
        let types = texts(members.get("type"), "type")?;
        if types.contains(&"EnvelopedVerifiableCredential") {
            let id = members.get("id").and_then(Value::as_str);
            if !id.is_some_and(|id| id.starts_with("data:") && id.contains(',')) {
                return Err(CredentialError::Malformed("an envelope that it shows holds nothing"));
            }
        } else if !types.contains(&"VerifiableCredential") {
            return Err(CredentialError::Malformed("what it shows is no credential"));
        }
    }
    Ok(shown.to_vec())
}

/// What credentials and presentations have alike.
fn frame<'v>(value: &'v Value, kind: &str) -> Result<&'v Map<String, Value>, CredentialError> {
    let members = value.as_object().ok_or(CredentialError::Malformed("it is no object"))?;
    let first = items(members.get("@context")).first();
    if first.and_then(Value::as_str) != Some(BASE_CONTEXT) {
        let why = "its first context is not that of credentials of version 2";
        return Err(CredentialError::Malformed(why));
    }
    if !texts(members.get("type"), "type")?.contains(&kind) {
        return Err(CredentialError::Malformed("its type does not say what it is"));
    }
    if let Some(id) = members.get("id") {
        url(id, "id")?;
    }
    Ok(members)
}

/// Names and descriptions are texts, or say in which language they are one (section 11.1).
fn named(members: &Map<String, Value>) -> Result<(), CredentialError> {
    let is_text = |value: &Value| match value {
        Value::String(_) => true,
        Value::Object(members) => {
            let known =
                |name: &String| ["@value", "@language", "@direction"].contains(&name.as_str());
            members.contains_key("@value")
                && members.keys().all(known)
                && members.values().all(Value::is_string)
        }
        _ => false,
    };
    for name in ["name", "description"] {
        let texts = items(members.get(name));
        if texts.len() > ITEMS || !texts.iter().all(is_text) {
            return Err(CredentialError::Member(name, "is no text, nor one of a language"));
        }
    }
    Ok(())
}

fn subjects(members: &Map<String, Value>) -> Result<(), CredentialError> {
    let subjects = items(members.get("credentialSubject"));
    if subjects.is_empty() || subjects.len() > ITEMS {
        return Err(CredentialError::Member("credentialSubject", "is missing, or holds too many"));
    }
    for subject in subjects {
        let said = subject.as_object().filter(|said| !said.is_empty());
        let said = said.ok_or(CredentialError::Member("credentialSubject", "says nothing"))?;
        if let Some(id) = said.get("id") {
            url(id, "the id of credentialSubject")?;
        }
    }
    Ok(())
}

/// A member that holds objects, each of a type, and maybe with an id.
fn parts(
    members: &Map<String, Value>,
    name: &'static str,
    needs_id: bool,
) -> Result<(), CredentialError> {
    let parts = items(members.get(name));
    if parts.len() > ITEMS {
        return Err(CredentialError::Member(name, "holds too many"));
    }
    for part in parts {
        let part = part.as_object().ok_or(CredentialError::Member(name, "is no object"))?;
        if texts(part.get("type"), name)?.is_empty() {
            return Err(CredentialError::Member(name, "has no type"));
        }
        match part.get("id") {
            Some(id) => url(id, name)?,
            None if needs_id => return Err(CredentialError::Member(name, "has no id")),
            None => {}
        }
    }
    Ok(())
}

/// The id of a member that is one, or an object that has one.
fn id_of<'v>(
    value: Option<&'v Value>,
    name: &'static str,
) -> Result<Option<&'v str>, CredentialError> {
    let id = match value {
        None => return Ok(None),
        Some(Value::Object(members)) => members.get("id"),
        Some(id) => Some(id),
    };
    let id = id.ok_or(CredentialError::Member(name, "has no id"))?;
    url(id, name)?;
    Ok(id.as_str())
}

fn url(value: &Value, name: &'static str) -> Result<(), CredentialError> {
    if value.as_str().is_some_and(|text| text.len() <= limits::URL_BYTES && is_iri(text)) {
        return Ok(());
    }
    Err(CredentialError::Member(name, "is no address, or holds several"))
}

fn moment(
    members: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<Moment>, CredentialError> {
    let Some(value) = members.get(name) else { return Ok(None) };
    let moment = value.as_str().and_then(time::read_anywhere);
    moment.map(Some).ok_or(CredentialError::Member(name, "is no date with its time zone"))
}

fn texts<'v>(
    value: Option<&'v Value>,
    name: &'static str,
) -> Result<Vec<&'v str>, CredentialError> {
    let values = items(value);
    let texts: Option<Vec<_>> = values.iter().map(Value::as_str).collect();
    let texts = texts.filter(|texts| texts.len() <= ITEMS);
    texts.ok_or(CredentialError::Member(name, "has a type that is no text, or too many"))
}

/// The items of a member: none where it is missing, one where it stands for itself.
fn items(value: Option<&Value>) -> &[Value] {
    match value {
        None => &[],
        Some(Value::Array(items)) => items,
        Some(one) => std::slice::from_ref(one),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};
    use wayside_specs::Did;

    use super::{Credential, CredentialError, Draft, presented};
    use crate::{
        did::Document,
        key::SigningKey,
        proof::{Claims, Cryptosuite, Proof, ProofError, Purpose},
        rdf::Contexts,
        time::Moment,
    };

    pub(crate) const NODE: &str = "did:web:a.example";
    pub(crate) const ADA: &str = "did:web:a.example:people:ada";
    pub(crate) const NOW: Moment = Moment(1_700_000_000_000);
    pub(crate) const HOUR_MS: i64 = 3_600_000;

    pub(crate) fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32])
    }

    /// A node that vouches by one key, and shows itself by another.
    pub(crate) fn document() -> Document {
        let method = |id: &str, seed, controller: &str| {
            json!({"id": format!("{NODE}#{id}"), "type": "Multikey", "controller": controller,
                "publicKeyMultibase": key(seed).public().to_multikey()})
        };
        let methods = [method("word", 1, NODE), method("door", 2, NODE), method("eve", 3, ADA)];
        let value = json!({"id": NODE, "verificationMethod": methods,
            "authentication": ["#door"], "assertionMethod": ["#word", "#eve"]});
        Document::from_value(value).unwrap()
    }

    pub(crate) fn draft() -> Draft<'static> {
        Draft {
            issuer: json!({"id": NODE, "name": "The Commons"}),
            types: &["HomeMembership"],
            subject: json!({"id": ADA, "account": "matrix:u/ada:a.example"}),
            from: NOW,
            until: Some(NOW.plus_ms(HOUR_MS)),
            status: None,
        }
    }

    fn verified(value: &Value, now: Moment) -> Result<(), CredentialError> {
        Credential::read(value)?.verify(&document(), now)
    }

    #[test]
    fn what_an_issuer_says_is_believed_while_it_says_so() {
        let signed = draft().signed(&format!("{NODE}#word"), &key(1));
        assert_eq!(verified(&signed, NOW), Ok(()));
        let credential = Credential::read(&signed).unwrap();
        assert_eq!(credential.issuer(), NODE);
        assert!(credential.is("urn:wayside:HomeMembership") && !credential.is("HomeMembership"));
        let said = credential.says_of(&ADA.parse::<Did>().unwrap()).unwrap();
        assert_eq!(said["account"], "matrix:u/ada:a.example");
        assert!(credential.says_of(&NODE.parse::<Did>().unwrap()).is_none());
        let at = |ms| verified(&signed, NOW.plus_ms(ms));
        assert_eq!(at(HOUR_MS + 4 * 60_000), Ok(()));
        assert!(matches!(at(HOUR_MS + 10 * 60_000), Err(CredentialError::Late(_))));
        assert!(matches!(at(-10 * 60_000), Err(CredentialError::Early(_))));
    }

    #[test]
    fn whoever_has_moved_stands_by_it_with_the_keys_of_now() {
        let scid = "did:webvh:QmQq6Kg4ZZ1p49znzxnWmes4LkkWgMWLrnrfPre8UD56bz";
        let [before, now] = ["a", "c"].map(|home| format!("{scid}:{home}.example:people:ada"));
        let draft = Draft { issuer: json!(before), until: None, ..draft() };
        let signed = Credential::read(&draft.signed(&format!("{before}#word"), &key(1))).unwrap();
        let moved = |id: &str, seed| {
            let method = json!({"id": format!("{id}#word"), "type": "Multikey", "controller": id,
                "publicKeyMultibase": key(seed).public().to_multikey()});
            let value = json!({"id": id, "verificationMethod": [method],
                "assertionMethod": ["#word"]});
            Document::from_value(value).unwrap()
        };
        assert_eq!(signed.verify(&moved(&before, 1), NOW), Ok(()));
        assert_eq!(signed.verify(&moved(&now, 1), NOW), Ok(()));
        let renewed = signed.verify(&moved(&now, 2), NOW);
        assert_eq!(renewed, Err(ProofError::BadSignature.into()), "a key that is theirs no more");
        let other = now.replace("QmQq", "QmRr");
        let other = signed.verify(&moved(&other, 1), NOW);
        assert!(matches!(other, Err(CredentialError::OtherIssuer(_))), "{other:?}");
    }

    #[test]
    fn what_others_sign_is_no_word_of_the_issuer() {
        for (method, seed) in [("door", 2), ("eve", 3), ("nobody", 4)] {
            let signed = draft().signed(&format!("{NODE}#{method}"), &key(seed));
            let refused = verified(&signed, NOW);
            assert!(matches!(refused, Err(CredentialError::OtherKey(_))), "{method}: {refused:?}");
        }
        let stolen = draft().signed(&format!("{NODE}#word"), &key(2));
        assert_eq!(verified(&stolen, NOW), Err(ProofError::BadSignature.into()));
        let foreign = Draft { issuer: json!("did:web:e.example"), ..draft() };
        let foreign = foreign.signed(&format!("{NODE}#word"), &key(1));
        assert!(matches!(verified(&foreign, NOW), Err(CredentialError::OtherIssuer(_))));
        let shown = {
            let mut bare = draft().signed(&format!("{NODE}#word"), &key(1));
            bare.as_object_mut().unwrap().remove("proof");
            let claims = Claims {
                verification_method: &format!("{NODE}#word"),
                purpose: Purpose::Authentication,
                created: NOW,
                expires: None,
                domain: None,
                challenge: None,
            };
            bare["proof"] = Proof::sign(&bare, &claims, &key(1));
            bare
        };
        assert!(matches!(verified(&shown, NOW), Err(CredentialError::OtherKey(_))));
    }

    #[test]
    fn whatever_is_changed_in_it_it_is_worth_nothing() {
        let signed = draft().signed(&format!("{NODE}#word"), &key(1));
        for (at, value) in [
            ("/credentialSubject/account", json!("matrix:u/eve:a.example")),
            ("/credentialSubject/id", json!("did:web:e.example")),
            ("/validUntil", json!("2999-01-01T00:00:00Z")),
            ("/issuer/name", json!("Another")),
            ("/type/1", json!("urn:example:Badge")),
        ] {
            let mut changed = signed.clone();
            *changed.pointer_mut(at).unwrap() = value;
            let refused = verified(&changed, NOW);
            assert_eq!(refused, Err(ProofError::BadSignature.into()), "{at}");
        }
        let mut more = signed.clone();
        more["credentialStatus"] = json!({"type": "Nothing"});
        assert!(verified(&more, NOW).is_err());
        let mut told_otherwise = signed.clone();
        told_otherwise["@context"].as_array_mut().unwrap().push(json!({"Medal": "urn:example:M"}));
        let refused = verified(&told_otherwise, NOW);
        assert_eq!(refused, Err(ProofError::OtherContext.into()), "types that nobody signed");
        let mut bare = signed;
        bare.as_object_mut().unwrap().remove("proof");
        assert!(matches!(verified(&bare, NOW), Err(CredentialError::Proof(_))));
    }

    #[test]
    fn what_it_says_can_be_signed_as_rdf_too() {
        let mut bare = draft().signed(&format!("{NODE}#word"), &key(1));
        bare.as_object_mut().unwrap().remove("proof");
        let claims = Claims {
            verification_method: &format!("{NODE}#word"),
            purpose: Purpose::AssertionMethod,
            created: NOW,
            expires: None,
            domain: None,
            challenge: None,
        };
        let proof = Proof::sign_rdf(Cryptosuite::EddsaRdfc2022, &bare, &claims, &key(1));
        bare["proof"] = proof.unwrap();
        assert_eq!(verified(&bare, NOW), Ok(()));
    }

    #[test]
    fn what_a_presentation_shows_is_given() {
        let signed = draft().signed(&format!("{NODE}#word"), &key(1));
        let presentation = json!({
            "@context": ["https://www.w3.org/ns/credentials/v2"],
            "type": "VerifiablePresentation",
            "holder": ADA,
            "verifiableCredential": [signed],
        });
        assert_eq!(presented(&presentation, &Contexts::new()), Ok(vec![signed]));
        let mut many = presentation;
        many["verifiableCredential"] = vec![json!({"type": "VerifiableCredential"}); 17].into();
        assert!(presented(&many, &Contexts::new()).is_err());
    }
}
