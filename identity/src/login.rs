//! Showing who one is: a presentation that a DID signs for one node, one purpose and one moment.
//!
//! The node gives a challenge, which it knows again by its purpose and time; whoever holds a key under
//! `authentication` of their DID signs a verifiable presentation with it, in which stand the node (as
//! `domain`) and the challenge. A presentation for one node is worth nothing at another, and one that
//! was used is worth nothing again, as the challenge is taken once (specs/identity.md, Proofs). It is secured by
//! a proof in it, or by a token around it ([`crate::jose`]), in which the two are called `aud` and `nonce`.
//!
//! ```
//! use serde_json::Value;
//! use wayside_identity::{did::{plan, Plan}, key::SigningKey, login, time::Moment};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SigningKey::from_seed([7; 32]);
//! let multikey = key.public().to_multikey();
//! let did = format!("did:key:{multikey}").parse()?;
//! let asked = login::Asked { domain: "b.example", challenge: "c-1", now: Moment(1_000) };
//! let shown = login::present(&did, &format!("{did}#{multikey}"), &asked, &[], &key);
//! let Plan::Known(document) = plan(&did)? else { unreachable!() };
//! assert_eq!(login::verify(&shown, &document, &asked)?.did(), &did);
//! # Ok(()) }
//! ```

use serde_json::{Value, json};
use wayside_specs::{Did, limits};

use crate::{
    did::Document,
    jose::{self, JoseError, Kind, Token},
    key::{PublicKey, SigningKey},
    proof::{Claims, Proof, ProofError, Purpose},
    time::{self, Moment},
};

/// The context of a presentation (VC Data Model 2.0, section 4.13).
const CONTEXT: &str = "https://www.w3.org/ns/credentials/v2";
/// How long a proof is good after it was made, in milliseconds.
const LASTS_MS: i64 = 5 * 60 * 1_000;

/// What a node asks to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The node, by its server name.
    pub domain: &'a str,
    /// What it gave.
    pub challenge: &'a str,
    /// When it is.
    pub now: Moment,
}

/// Why a presentation shows nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// It is no presentation.
    #[error("reading who you are: {0}")]
    Malformed(&'static str),
    /// It is that of somebody else than the document's.
    #[error("the proof is that of {0}, and the DID is another")]
    OtherHolder(String),
    /// It was made to another end.
    #[error("the proof was made for {0}, not to show who you are")]
    OtherPurpose(&'static str),
    /// It was made for another node.
    #[error("the proof was made for {0:?}, which is not this node")]
    OtherNode(String),
    /// It answers another challenge.
    #[error("the proof answers another question than this node asked: begin again")]
    OtherChallenge,
    /// Its key may not say who somebody is.
    #[error("the key {0:?} is none of those by which this DID shows who it is")]
    OtherKey(String),
    /// It was made too long ago.
    #[error("the proof was made at {0}, which is too long ago: begin again")]
    TooOld(String),
    /// It does not verify.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The token around it is none, or does not verify.
    #[error(transparent)]
    Token(#[from] JoseError),
}

/// Somebody who has shown that they are a DID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    did: Did,
    method: String,
}

impl Proven {
    /// Who.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// The DID URL of the key by which they did.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }
}

/// Whom a presentation says it is of, before anything of it is believed: whose document to look for.
pub fn holder(presentation: &Value) -> Result<Did, LoginError> {
    let opened = Token::within(presentation, Kind::Presentation)?;
    holder_in(opened.as_ref().map_or(presentation, |(presentation, _)| presentation))
}

fn holder_in(presentation: &Value) -> Result<Did, LoginError> {
    let holder = match presentation.get("holder") {
        Some(Value::Object(members)) => members.get("id").and_then(Value::as_str),
        holder => holder.and_then(Value::as_str),
    };
    let holder = holder.and_then(|holder| holder.parse().ok());
    holder.ok_or(LoginError::Malformed("its holder is no DID"))
}

/// Refuses a presentation that shows nothing whoever its holder is: what it says of itself is looked at before
/// anybody is asked whose keys are whose. Gives its holder.
pub fn plausible(presentation: &Value, asked: &Asked<'_>) -> Result<Did, LoginError> {
    let (holder, signed) = parts(presentation)?;
    signed.judge(asked)?;
    if !signed.method().starts_with(&format!("{holder}#")) {
        return Err(LoginError::OtherKey(signed.method().to_owned()));
    }
    Ok(holder)
}

/// A presentation of credentials, or of none, by a key of a DID.
#[must_use]
pub fn present(
    did: &Did,
    method: &str,
    asked: &Asked<'_>,
    credentials: &[Value],
    key: &SigningKey,
) -> Value {
    let mut presentation = of(did, credentials);
    let claims = Claims {
        verification_method: method,
        purpose: Purpose::Authentication,
        created: asked.now,
        expires: Some(asked.now.plus_ms(LASTS_MS)),
        domain: Some(asked.domain),
        challenge: Some(asked.challenge),
    };
    presentation["proof"] = Proof::sign(&presentation, &claims, key);
    presentation
}

/// The same by a token around it.
#[must_use]
pub fn present_token(
    did: &Did,
    method: &str,
    asked: &Asked<'_>,
    credentials: &[Value],
    key: &SigningKey,
) -> String {
    let mut claims = of(did, credentials);
    claims["iat"] = asked.now.0.div_euclid(1_000).into();
    claims["exp"] = asked.now.plus_ms(LASTS_MS).0.div_euclid(1_000).into();
    claims["aud"] = asked.domain.into();
    claims["nonce"] = asked.challenge.into();
    jose::sign(&claims, Kind::Presentation, method, key)
}

fn of(did: &Did, credentials: &[Value]) -> Value {
    let mut presentation = json!({
        "@context": [CONTEXT],
        "type": ["VerifiablePresentation"],
        "holder": did.as_str(),
    });
    if !credentials.is_empty() {
        presentation["verifiableCredential"] = credentials.into();
    }
    presentation
}

/// Whether a presentation shows that its holder is here: `document` is that of [`holder`], found just
/// now. The credentials in it are for others to judge.
pub fn verify(
    presentation: &Value,
    document: &Document,
    asked: &Asked<'_>,
) -> Result<Proven, LoginError> {
    let (holder, signed) = parts(presentation)?;
    if holder != *document.id() {
        return Err(LoginError::OtherHolder(holder.to_string()));
    }
    signed.judge(asked)?;
    // A key that somebody else controls shows that it is they who are here.
    let method = signed.method().to_owned();
    let key = document.own_key(&method, Purpose::Authentication);
    signed.verify(key.ok_or_else(|| LoginError::OtherKey(method.clone()))?)?;
    Ok(Proven { did: holder, method })
}

/// What secures a presentation.
enum Signed {
    /// A proof in it, and what that stands over.
    Within(Proof, Value),
    /// A token around it.
    Around(Token),
}

/// The holder of a presentation, and what secures it.
fn parts(presentation: &Value) -> Result<(Did, Signed), LoginError> {
    let opened = Token::within(presentation, Kind::Presentation)?;
    let value = opened.as_ref().map_or(presentation, |(value, _)| value);
    let holder = holder_in(value)?;
    let has_type = |value: &Value| match value {
        Value::Array(types) => types.iter().any(|it| it == "VerifiablePresentation"),
        kind => kind == "VerifiablePresentation",
    };
    if !value.get("type").is_some_and(has_type) {
        return Err(LoginError::Malformed("it is no VerifiablePresentation"));
    }
    if let Some((value, token)) = opened {
        // It is secured once: of a proof beside the token, nobody would ask what it says.
        let is_bare = value.get("proof").is_none();
        let twice = LoginError::Malformed("it must hold no proof beside the token around it");
        return is_bare.then_some((holder, Signed::Around(token))).ok_or(twice);
    }
    let mut bare = presentation.clone();
    let mut proofs = Proof::take_from(&mut bare)?;
    match (proofs.pop(), proofs.is_empty()) {
        (Some(proof), true) => Ok((holder, Signed::Within(proof, bare))),
        _ => Err(LoginError::Malformed("it must hold one proof")),
    }
}

impl Signed {
    /// The DID URL of the key that it claims.
    fn method(&self) -> &str {
        match self {
            Self::Within(proof, _) => proof.verification_method(),
            Self::Around(token) => token.method(),
        }
    }

    /// What it says of itself, which it signs too.
    fn judge(&self, asked: &Asked<'_>) -> Result<(), LoginError> {
        let (domain, challenge, created) = match self {
            Self::Within(proof, _) if proof.purpose() != Purpose::Authentication => {
                return Err(LoginError::OtherPurpose(proof.purpose().as_str()));
            }
            Self::Within(proof, _) => (proof.domain(), proof.challenge(), proof.created()),
            Self::Around(token) => (token.audience(), token.nonce(), token.issued()),
        };
        if domain != Some(asked.domain) {
            return Err(LoginError::OtherNode(domain.unwrap_or_default().to_owned()));
        }
        if challenge != Some(asked.challenge) {
            return Err(LoginError::OtherChallenge);
        }
        match self {
            Self::Within(proof, _) => proof.is_current(asked.now, limits::CLOCK_SKEW_MS)?,
            Self::Around(token) => token.is_current(asked.now, limits::CLOCK_SKEW_MS)?,
        }
        let created = created.ok_or(LoginError::Malformed("its proof has no date"))?;
        if created.plus_ms(LASTS_MS + limits::CLOCK_SKEW_MS) < asked.now {
            return Err(LoginError::TooOld(time::write(created)));
        }
        Ok(())
    }

    /// Whether it stands over the presentation, by a key.
    fn verify(&self, key: &PublicKey) -> Result<(), LoginError> {
        match self {
            Self::Within(proof, bare) => Ok(proof.verify(bare, key)?),
            Self::Around(token) => Ok(token.verify(key)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wayside_specs::Did;

    use super::{Asked, LoginError, holder, plausible, present, present_token, verify};
    use crate::{
        did::Document,
        jose::{JoseError, Kind, Token, envelope, sign},
        key::SigningKey,
        proof::{Claims, Proof, ProofError, Purpose},
        time::Moment,
    };

    const NOW: Moment = Moment(1_700_000_000_000);
    const ASKED: Asked<'_> = Asked { domain: "b.example", challenge: "visit.1", now: NOW };
    const DID: &str = "did:web:a.example:people:ada";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32])
    }

    /// Ada's own key, that of her node, and one that Eve controls.
    fn document() -> Document {
        let method = |id: &str, seed, controller: &str| {
            json!({"id": format!("{DID}#{id}"), "type": "Multikey", "controller": controller,
                "publicKeyMultibase": key(seed).public().to_multikey()})
        };
        let methods =
            [method("own", 1, DID), method("node", 2, DID), method("eve", 3, "did:web:e.example")];
        let value = json!({"id": DID, "verificationMethod": methods,
            "authentication": ["#own", "#eve"], "assertionMethod": ["#own", "#node"]});
        Document::from_value(value).unwrap()
    }

    fn shown(method: &str, asked: &Asked<'_>, seed: u8) -> Value {
        let did: Did = DID.parse().unwrap();
        present(&did, &format!("{DID}#{method}"), asked, &[], &key(seed))
    }

    fn verified(presentation: &Value) -> Result<(), LoginError> {
        // What is refused at once is refused in the end.
        let result = judged(presentation);
        assert!(result.is_err() || plausible(presentation, &ASKED).is_ok());
        result
    }

    fn judged(presentation: &Value) -> Result<(), LoginError> {
        verify(presentation, &document(), &ASKED).map(|proven| {
            assert_eq!(
                (proven.did().as_str(), proven.method()),
                (DID, "did:web:a.example:people:ada#own")
            );
        })
    }

    #[test]
    fn a_person_shows_who_they_are_by_their_own_key_alone() {
        assert_eq!(verified(&shown("own", &ASKED, 1)), Ok(()));
        for (method, seed) in [("node", 2), ("eve", 3), ("nobody", 4)] {
            let refused = verified(&shown(method, &ASKED, seed));
            assert!(matches!(refused, Err(LoginError::OtherKey(_))), "{method}: {refused:?}");
        }
        let stolen = verified(&shown("own", &ASKED, 2));
        assert_eq!(stolen, Err(LoginError::Proof(ProofError::BadSignature)));
    }

    #[test]
    fn a_proof_for_another_node_challenge_or_time_shows_nothing() {
        let elsewhere = shown("own", &Asked { domain: "c.example", ..ASKED }, 1);
        assert_eq!(verified(&elsewhere), Err(LoginError::OtherNode("c.example".to_owned())));
        let replayed = shown("own", &Asked { challenge: "visit.0", ..ASKED }, 1);
        assert_eq!(verified(&replayed), Err(LoginError::OtherChallenge));
        let minutes =
            |minutes: i64| shown("own", &Asked { now: NOW.plus_ms(minutes * 60_000), ..ASKED }, 1);
        assert_eq!(verified(&minutes(4)), Ok(()));
        assert_eq!(verified(&minutes(-4)), Ok(()));
        for off in [10, -11] {
            let refused = verified(&minutes(off));
            assert!(matches!(refused, Err(LoginError::Proof(_))), "{off}: {refused:?}");
        }
        let claims = |purpose, expires| Claims {
            verification_method: "did:web:a.example:people:ada#own",
            purpose,
            created: NOW.plus_ms(-11 * 60_000),
            expires,
            domain: Some("b.example"),
            challenge: Some("visit.1"),
        };
        let mut bare = shown("own", &ASKED, 1);
        bare.as_object_mut().unwrap().remove("proof");
        let mut with = |claims: &Claims<'_>| {
            bare.as_object_mut().unwrap().remove("proof");
            bare["proof"] = Proof::sign(&bare, claims, &key(1));
            verified(&bare)
        };
        let old = with(&claims(Purpose::Authentication, None));
        assert!(matches!(old, Err(LoginError::TooOld(_))), "{old:?}");
        let other = with(&claims(Purpose::AssertionMethod, None));
        assert_eq!(other, Err(LoginError::OtherPurpose("assertionMethod")));
    }

    #[test]
    fn a_token_around_a_presentation_shows_who_somebody_is_too() {
        let token = |method: &str, asked: &Asked<'_>, seed| {
            json!(present_token(
                &DID.parse().unwrap(),
                &format!("{DID}#{method}"),
                asked,
                &[],
                &key(seed)
            ))
        };
        let good = token("own", &ASKED, 1);
        assert_eq!(plausible(&good, &ASKED).unwrap().as_str(), DID);
        assert_eq!(holder(&good).unwrap().as_str(), DID);
        for value in [&good, &envelope(good.as_str().unwrap(), Kind::Presentation)] {
            assert_eq!(verified(value), Ok(()));
        }
        for (method, seed) in [("node", 2), ("eve", 3), ("nobody", 1)] {
            let refused = verified(&token(method, &ASKED, seed));
            assert!(matches!(refused, Err(LoginError::OtherKey(_))), "{method}: {refused:?}");
        }
        let stolen = verified(&token("own", &ASKED, 2));
        assert_eq!(stolen, Err(JoseError::BadSignature.into()));
        let elsewhere = token("own", &Asked { domain: "c.example", ..ASKED }, 1);
        assert_eq!(verified(&elsewhere), Err(LoginError::OtherNode("c.example".to_owned())));
        let replayed = token("own", &Asked { challenge: "visit.0", ..ASKED }, 1);
        assert_eq!(verified(&replayed), Err(LoginError::OtherChallenge));
        for off in [10, -11] {
            let asked = Asked { now: NOW.plus_ms(off * 60_000), ..ASKED };
            let refused = verified(&token("own", &asked, 1));
            assert!(matches!(refused, Err(LoginError::Token(_))), "{off}: {refused:?}");
        }
        let (payload, _) = Token::read(good.as_str().unwrap(), Kind::Presentation).unwrap();
        for (member, value, refusal) in [
            ("iat", None, Some("its proof has no date")),
            ("iat", Some(json!(1_699_999_000)), None),
            ("holder", None, Some("its holder is no DID")),
            ("type", Some(json!("VerifiableCredential")), Some("it is no VerifiablePresentation")),
            ("proof", Some(json!({})), Some("it must hold no proof beside the token around it")),
        ] {
            let mut claims = payload.clone();
            claims.as_object_mut().unwrap().remove(member);
            claims.as_object_mut().unwrap().extend(value.map(|it| (member.to_owned(), it)));
            claims.as_object_mut().unwrap().remove("exp");
            let signed = sign(&claims, Kind::Presentation, &format!("{DID}#own"), &key(1));
            let refused = verified(&json!(signed)).unwrap_err();
            match refusal {
                Some(why) => assert_eq!(refused, LoginError::Malformed(why), "{member}"),
                None => assert!(matches!(refused, LoginError::TooOld(_)), "{refused:?}"),
            }
        }
    }

    #[test]
    fn what_is_changed_or_no_presentation_shows_nothing() {
        let good = shown("own", &ASKED, 1);
        for (member, value) in [
            ("holder", json!("did:web:e.example")),
            ("holder", json!("ada")),
            ("holder", Value::Null),
            ("type", json!(["VerifiableCredential"])),
            ("type", Value::Null),
            ("proof", Value::Null),
            ("proof", json!([good["proof"], good["proof"]])),
            ("verifiableCredential", json!([{"role": "operator"}])),
            ("@context", json!([])),
        ] {
            let mut changed = good.clone();
            changed[member] = value;
            assert!(verified(&changed).is_err(), "{changed}");
        }
        for value in [json!([]), json!("x"), Value::Null] {
            assert!(holder(&value).is_err() && verified(&value).is_err());
        }
        assert_eq!(holder(&json!({"holder": {"id": DID}})).unwrap().as_str(), DID);
    }
}
