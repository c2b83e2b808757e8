//! Credentials and presentations inside a signature: JSON Web Tokens by VC-JOSE-COSE.
//!
//! By "Securing Verifiable Credentials using JOSE and COSE" (W3C Recommendation, 15 May 2025) a token is a JWS
//! (RFC 7515) in the compact serialization, whose payload is the credential or the presentation as it is.
//! [`Token::within`] finds one wherever the data model lets it stand: as a text, or in an envelope
//! (`EnvelopedVerifiableCredential`, `data:application/vc+jwt,…`). What reads credentials and presentations
//! ([`crate::credential`], [`crate::login`]) opens it so; nobody else has to tell what secures them.
//!
//! The key is found where every other key is, in the document of whoever speaks: a token that brings a key along,
//! or says where to get one, is refused, and so is all that would change what is verified (`crit`, `b64`) or
//! leaves it unsigned (`none`). The text has one form: base64url without padding or loose bits, in three parts.
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
//! let token = draft.token(&format!("{issuer}#{multikey}"), &key);
//! let Plan::Known(document) = plan(&issuer.parse()?)? else { unreachable!() };
//! Credential::read(&json!(token))?.verify(&document, Moment(2_000))?;
//! # Ok(()) }
//! ```

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::{
    credential::BASE_CONTEXT,
    json::{self, canonical},
    key::{KeyKind, PublicKey, SigningKey},
    time::{self, Moment},
};

/// Longest token, in bytes of its text.
pub const TOKEN_BYTES: usize = 64 * 1_024;
/// Longest header, in bytes of its text.
const HEADER_BYTES: usize = 4 * 1_024;
/// Longest text that is read of a header or a claim, in bytes.
const TEXT_BYTES: usize = 2_048;
/// Longest name in a header that is told, in letters.
const NAME_LETTERS: usize = 64;

/// The algorithms that are known here, by the keys that they are of (RFC 7518, 8037 and 9864).
const ALGORITHMS: [(&str, KeyKind); 4] = [
    ("EdDSA", KeyKind::Ed25519),
    ("Ed25519", KeyKind::Ed25519),
    ("ES256", KeyKind::P256),
    ("ES384", KeyKind::P384),
];

/// Header parameters with which a token is refused, and why.
const REFUSED: [(&str, &str); 6] = [
    ("crit", "its header says that more must be understood than is known here"),
    ("b64", "its payload is signed in another form than it has"),
    ("jwk", "it brings its own key along"),
    ("x5c", "it brings its own key along"),
    ("jku", "it says itself where its key is to be found"),
    ("x5u", "it says itself where its key is to be found"),
];

/// Why a token is worth nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// It is none that could be read.
    #[error("reading a token: {0}")]
    Malformed(&'static str),
    /// It is signed in a way that is not known here, or not at all.
    #[error("reading a token: the algorithm {0:?} is not known here")]
    UnknownAlgorithm(String),
    /// It holds something else.
    #[error("reading a token: it is of the type {found:?}, and {wanted:?} was expected")]
    OtherType {
        /// What it says to be.
        found: String,
        /// What it was to be.
        wanted: &'static str,
    },
    /// It names somebody else as the one who speaks than what is in it.
    #[error("the token is that of {0:?}, and what is in it is another's")]
    OtherIssuer(String),
    /// Its key is of another kind than its algorithm signs with.
    #[error("the key is of another kind than the token")]
    OtherKind,
    /// It does not stand over its payload.
    #[error("the token does not verify: it was changed, or another key signed it")]
    BadSignature,
    /// Its time is over.
    #[error("the token was good until {0}")]
    Expired(String),
    /// Its time is still to come.
    #[error("the token is good from {0} on, which is still to come")]
    Early(String),
}

/// What a token holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `application/vc+jwt`.
    Credential,
    /// `application/vp+jwt`.
    Presentation,
}

impl Kind {
    /// `typ` and `cty` of its headers.
    fn media(self) -> [&'static str; 2] {
        match self {
            Self::Credential => ["vc+jwt", "vc"],
            Self::Presentation => ["vp+jwt", "vp"],
        }
    }

    /// The type of what holds it inside a document, and what stands before it there.
    fn envelope(self) -> [&'static str; 2] {
        match self {
            Self::Credential => ["EnvelopedVerifiableCredential", "data:application/vc+jwt,"],
            Self::Presentation => ["EnvelopedVerifiablePresentation", "data:application/vp+jwt,"],
        }
    }

    /// Whose word it is, as the payload names them.
    fn speaker(self) -> &'static str {
        match self {
            Self::Credential => "issuer",
            Self::Presentation => "holder",
        }
    }
}

/// What secures a credential or a presentation from around it, as it came: nothing of it is believed yet.
#[derive(Clone, Debug)]
pub struct Token {
    jws: Jws,
    method: String,
    issued: Option<Moment>,
    not_before: Option<Moment>,
    expires: Option<Moment>,
    audience: Option<String>,
    nonce: Option<String>,
}

impl Token {
    /// Finds the token of which a value is the text, or that it envelopes, and gives what is in it; none where
    /// a value is neither, and has to be secured by proofs of its own.
    pub fn within(value: &Value, kind: Kind) -> Result<Option<(Value, Self)>, JoseError> {
        if let Value::String(text) = value {
            return Self::read(text, kind).map(Some);
        }
        let [envelope, before] = kind.envelope();
        let is_envelope = match value.get("type") {
            Some(Value::Array(types)) => types.iter().any(|it| it == envelope),
            Some(one) => one == envelope,
            None => false,
        };
        if !is_envelope {
            return Ok(None);
        }
        let token = value.get("id").and_then(Value::as_str).and_then(|id| id.strip_prefix(before));
        let token = token.ok_or(JoseError::Malformed("an envelope holds no token of its kind"))?;
        Self::read(token, kind).map(Some)
    }

    /// Reads a token, and gives what is in it.
    pub fn read(text: &str, kind: Kind) -> Result<(Value, Self), JoseError> {
        let malformed = JoseError::Malformed;
        let (header, payload, jws) = Jws::read(text)?;
        must_hold(&header, kind)?;
        let payload = json::read(&payload).map_err(|_| malformed("what is in it is no JSON"))?;
        let claims = payload.as_object().ok_or(malformed("what is in it is no object"))?;
        if claims.contains_key("vc") || claims.contains_key("vp") {
            return Err(malformed("it is of version 1.1, which wraps a credential once more"));
        }
        let audience = audience_of(claims)?;
        // Whoever is not named there must not take it (RFC 7519, section 4.1.3), and who reads a credential has
        // no name here.
        if kind == Kind::Credential && audience.is_some() {
            return Err(malformed("it is for somebody, and a credential is for everybody"));
        }
        let issuer = issuer_of(&header, claims, kind)?;
        let method = text_of(&header, "kid")?.ok_or(malformed("it names no key"))?;
        // Only below somebody who is named can a key have no more than a fragment (section 4.3).
        let method = match issuer {
            Some(issuer) if method.starts_with('#') => format!("{issuer}{method}"),
            _ => method.to_owned(),
        };
        let token = Self {
            jws,
            method,
            issued: date_of(claims, "iat")?,
            not_before: date_of(claims, "nbf")?,
            expires: date_of(claims, "exp")?,
            audience: audience.map(str::to_owned),
            nonce: text_of(claims, "nonce")?.map(str::to_owned),
        };
        Ok((payload, token))
    }

    /// The DID URL of the key that it claims.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// When it says that it was signed.
    #[must_use]
    pub fn issued(&self) -> Option<Moment> {
        self.issued
    }

    /// For whom it was made, if it says so.
    #[must_use]
    pub fn audience(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    /// What it was asked to sign along, if anything.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// Whether its time is now, give or take what clocks may differ; that of what is in it is another matter
    /// (section 3.1.3).
    pub fn is_current(&self, now: Moment, skew_ms: i64) -> Result<(), JoseError> {
        if let Some(expires) = self.expires.filter(|expires| expires.plus_ms(skew_ms) < now) {
            return Err(JoseError::Expired(time::write(expires)));
        }
        let from = [self.issued, self.not_before].into_iter().flatten().max();
        match from.filter(|from| *from > now.plus_ms(skew_ms)) {
            Some(from) => Err(JoseError::Early(time::write(from))),
            None => Ok(()),
        }
    }

    /// Whether it stands over what is in it, by a key.
    pub fn verify(&self, key: &PublicKey) -> Result<(), JoseError> {
        self.jws.verify(key)
    }
}

/// A token around a credential or a presentation, by a key that a DID URL names.
#[must_use]
pub fn sign(payload: &Value, kind: Kind, method: &str, key: &SigningKey) -> String {
    let [typ, cty] = kind.media();
    // Whoever knows the newer name of the algorithm knows this one too.
    let header = json!({ "alg": "EdDSA", "typ": typ, "cty": cty, "kid": method });
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(canonical(value));
    let signed = format!("{}.{}", encoded(&header), encoded(payload));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The object by which a token stands inside a document (VC Data Model 2.0, section 4.13).
#[must_use]
pub fn envelope(token: &str, kind: Kind) -> Value {
    let [envelope, before] = kind.envelope();
    json!({ "@context": BASE_CONTEXT, "type": envelope, "id": format!("{before}{token}") })
}

/// A header, a payload, and the signature over both.
type Opened = (Map<String, Value>, Vec<u8>, Jws);

/// The signature of a JWS in the compact serialization.
#[derive(Clone, Debug)]
struct Jws {
    algorithm: KeyKind,
    /// What is signed: the header and the payload as they are written.
    signed: String,
    signature: Vec<u8>,
}

impl Jws {
    fn read(text: &str) -> Result<Opened, JoseError> {
        let malformed = JoseError::Malformed;
        if text.len() > TOKEN_BYTES {
            return Err(malformed("it is too long"));
        }
        let parts: Vec<_> = text.splitn(4, '.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(malformed(
                "it must have three parts, of which the last is its one signature",
            ));
        };
        if header.len() > HEADER_BYTES {
            return Err(malformed("its header is too long"));
        }
        let decoded = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part);
            bytes.map_err(|_| malformed("a part of it is not in base64url as it is written once"))
        };
        let signed = text[..header.len() + 1 + payload.len()].to_owned();
        let Ok(Value::Object(header)) = json::read(&decoded(header)?) else {
            return Err(malformed("its header is no JSON object"));
        };
        if let Some((_, why)) = REFUSED.iter().find(|(name, _)| header.contains_key(*name)) {
            return Err(malformed(why));
        }
        let name = text_of(&header, "alg")?.ok_or(malformed("it names no algorithm"))?;
        let known = ALGORITHMS.iter().find(|(known, _)| *known == name);
        let (_, algorithm) = known.ok_or_else(|| JoseError::UnknownAlgorithm(shortened(name)))?;
        let jws = Self { algorithm: *algorithm, signed, signature: decoded(signature)? };
        Ok((header, decoded(payload)?, jws))
    }

    fn verify(&self, key: &PublicKey) -> Result<(), JoseError> {
        // What a key is for is told by the key: an algorithm that does not fit it is a confusion, or worse.
        if key.kind() != self.algorithm {
            return Err(JoseError::OtherKind);
        }
        let verified = key.verify(self.signed.as_bytes(), &self.signature);
        verified.map_err(|_| JoseError::BadSignature)
    }
}

/// Whether a header says what a token was to be. It may leave both types out, as the Recommendation's own
/// examples do: the payload has to say by its types what it is.
fn must_hold(header: &Map<String, Value>, kind: Kind) -> Result<(), JoseError> {
    for (name, wanted) in ["typ", "cty"].into_iter().zip(kind.media()) {
        let Some(found) = text_of(header, name)? else { continue };
        // Of a media type, `application/` may be left out, and capitals do not count (RFC 7515, section 4.1.9).
        let lower = found.to_ascii_lowercase();
        if lower.strip_prefix("application/").unwrap_or(&lower) != wanted {
            return Err(JoseError::OtherType { found: shortened(found), wanted });
        }
    }
    Ok(())
}

/// Whom a token names as the one who speaks, in its header or among its claims: nobody but whose word what is
/// in it is (section 4.1.2).
fn issuer_of<'c>(
    header: &'c Map<String, Value>,
    claims: &'c Map<String, Value>,
    kind: Kind,
) -> Result<Option<&'c str>, JoseError> {
    let speaker = match claims.get(kind.speaker()) {
        Some(Value::Object(members)) => members.get("id"),
        speaker => speaker,
    };
    let named = [text_of(header, "iss")?, text_of(claims, "iss")?];
    let other = named.iter().flatten().find(|named| speaker.and_then(Value::as_str) != Some(named));
    match other {
        Some(other) => Err(JoseError::OtherIssuer((*other).to_owned())),
        None => Ok(named.into_iter().flatten().next()),
    }
}

/// For whom a token is: one, since it is worth nothing to others.
fn audience_of(claims: &Map<String, Value>) -> Result<Option<&str>, JoseError> {
    match claims.get("aud") {
        Some(Value::Array(several)) => match &several[..] {
            [Value::String(one)] if one.len() <= TEXT_BYTES => Ok(Some(one)),
            _ => Err(JoseError::Malformed("it is for several, or for nobody")),
        },
        _ => text_of(claims, "aud"),
    }
}

fn text_of<'m>(members: &'m Map<String, Value>, name: &str) -> Result<Option<&'m str>, JoseError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= TEXT_BYTES => Ok(Some(text)),
        Some(_) => {
            Err(JoseError::Malformed("a member that must be a text is none, or is too long"))
        }
    }
}

/// A date as RFC 7519 writes it: seconds since 1970, maybe with a part of one.
fn date_of(claims: &Map<String, Value>, name: &str) -> Result<Option<Moment>, JoseError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let ms = seconds.and_then(|seconds| i64::try_from(seconds.as_millis()).ok());
    let date =
        ms.map(Moment).ok_or(JoseError::Malformed("a date in it is no number of seconds"))?;
    Ok(Some(date))
}

fn shortened(name: &str) -> String {
    name.chars().take(NAME_LETTERS).collect()
}

#[cfg(test)]
mod tests;
