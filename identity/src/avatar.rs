//! What somebody's profile says of the body that they wear, and whether its author lets them wear it.
//!
//! The file of a body says itself what its author allows (VRM 1.0, `meta`). Who may wear it can be said
//! further by a licence: a credential of the type [`LICENCE`], in which whoever made the body names it by its
//! hash. Nobody can prove to have made something; a licence says who stands by it.
//!
//! ```
//! use serde_json::json;
//! use wayside_identity::avatar::{Body, Permission, Refused, Terms};
//!
//! let said = json!({ "url": "mxc://a.example/body", "sha256": "07".repeat(32) });
//! let Some(Body::Uploaded(body)) = Body::read(&said) else { unreachable!() };
//! assert_eq!(body.sha256, [7; 32]);
//!
//! let terms = Terms { permission: Permission::OnlyAuthor, violent: false, sexual: false };
//! let wearer = "did:web:a.example:people:ada".parse().unwrap();
//! assert_eq!(terms.let_wear(None, &wearer), Err(Refused::NotTheAuthor));
//! ```

use serde_json::{Map, Value, json};
use wayside_specs::Did;

use crate::credential::{Credential, CredentialError};

/// The profile field in which an account says what it wears (specs/travel.md).
pub const PROFILE_FIELD: &str = "org.wayside.avatar";
/// The type of an author's licence.
pub const LICENCE: &str = "urn:wayside:AvatarLicence";
/// Longest address of a body, in bytes.
const URL_BYTES: usize = 512;
/// Most people that one licence names.
const ALLOWED: usize = 256;

/// What somebody wears.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// One of those that every node makes alike for an account.
    Generated {
        /// Which of them.
        variant: u32,
    },
    /// A file of their own.
    Uploaded(Uploaded),
}

/// A body that somebody brought along.
#[derive(Clone, Debug, PartialEq)]
pub struct Uploaded {
    /// Where it is, as `mxc:` address.
    pub url: String,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// The licence by which they wear it, as it was issued: an object, or the text of a token.
    pub licence: Option<Value>,
}

impl Body {
    /// Reads the profile field; nothing where it says no body.
    #[must_use]
    pub fn read(said: &Value) -> Option<Self> {
        if let Some(variant) = said.get("variant") {
            return Some(Self::Generated { variant: u32::try_from(variant.as_u64()?).ok()? });
        }
        let url = said.get("url")?.as_str().filter(|url| url.len() <= URL_BYTES)?;
        let sha256 = hash(said.get("sha256")?)?;
        let is_credential = |it: &&Value| it.is_object() || it.is_string();
        let licence = said.get("licence").filter(is_credential).cloned();
        Some(Self::Uploaded(Uploaded { url: url.to_owned(), sha256, licence }))
    }

    /// The profile field that says it.
    #[must_use]
    pub fn told(&self) -> Value {
        match self {
            Self::Generated { variant } => json!({ "variant": variant }),
            Self::Uploaded(Uploaded { url, sha256, licence }) => {
                let mut told = json!({ "url": url, "sha256": hex::encode(sha256) });
                if let Some(licence) = licence {
                    told["licence"] = licence.clone();
                }
                told
            }
        }
    }
}

/// Who may wear a body (VRM 1.0, `avatarPermission`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Whoever made it.
    OnlyAuthor,
    /// Whom its author names.
    OnlySeparatelyLicensedPerson,
    /// Everybody.
    Everyone,
}

impl Permission {
    /// Reads it; what is not known allows the least.
    #[must_use]
    pub fn named(name: Option<&str>) -> Self {
        match name {
            Some("everyone") => Self::Everyone,
            Some("onlySeparatelyLicensedPerson") => Self::OnlySeparatelyLicensedPerson,
            _ => Self::OnlyAuthor,
        }
    }
}

/// What an author allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Who may wear it.
    pub permission: Permission,
    /// Whether it may be shown in acts of excessive violence.
    pub violent: bool,
    /// Whether it may be shown in sexual acts.
    pub sexual: bool,
}

/// Why a body is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Only its author may wear it, and they did not say to be that.
    #[error("the licence of this body lets only its author wear it")]
    NotTheAuthor,
    /// Only whom its author names may wear it.
    #[error("the licence of this body lets only those wear it whom its author names")]
    NotNamed,
    /// The world is for more violence than the author allows.
    #[error("the licence of this body does not allow excessive violence, for which this world is")]
    Violence,
    /// The world is for sexual acts, which the author does not allow.
    #[error("the licence of this body does not allow sexual acts, for which this world is")]
    Sex,
}

impl Refused {
    /// Its short name (specs/travel.md).
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotTheAuthor => "body_licence_author",
            Self::NotNamed => "body_licence_person",
            Self::Violence => "body_violent",
            Self::Sex => "body_sexual",
        }
    }
}

impl Terms {
    /// Whether somebody may wear it, by the file and a licence that was verified. Gives what is allowed to
    /// them: both together allow what either does.
    pub fn let_wear(self, licence: Option<&Licence>, wearer: &Did) -> Result<Self, Refused> {
        let is_author = licence.is_some_and(|it| it.author.subject() == wearer.subject());
        let is_named = licence.is_some_and(|it| it.names(wearer));
        let terms = self.with(licence);
        match terms.permission {
            Permission::OnlyAuthor if !is_author => Err(Refused::NotTheAuthor),
            Permission::OnlySeparatelyLicensedPerson if !is_author && !is_named => {
                Err(Refused::NotNamed)
            }
            _ => Ok(terms),
        }
    }

    /// Whether a body may be shown in a world that is for violence and sexual acts as well.
    pub fn fit_mature(self) -> Result<(), Refused> {
        match self {
            Self { violent: false, .. } => Err(Refused::Violence),
            Self { sexual: false, .. } => Err(Refused::Sex),
            _ => Ok(()),
        }
    }

    /// What the file and a licence allow together.
    #[must_use]
    pub fn with(self, licence: Option<&Licence>) -> Self {
        let Some(more) = licence.map(|licence| licence.terms) else { return self };
        Self {
            permission: self.permission.max(more.permission),
            violent: self.violent || more.violent,
            sexual: self.sexual || more.sexual,
        }
    }
}

/// What the author of a body says of it beside the file. It is worth nothing before the credential that says
/// it was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licence {
    author: Did,
    terms: Terms,
    allowed: Vec<Did>,
}

impl Licence {
    /// Reads the licence of the body of that hash.
    pub fn read(credential: &Credential, sha256: &[u8; 32]) -> Result<Self, CredentialError> {
        let broken = |why| CredentialError::Malformed(why);
        if !credential.is(LICENCE) || !credential.is_plain() {
            return Err(broken("it is no licence of a body"));
        }
        let subject = credential.value().get("credentialSubject").and_then(Value::as_object);
        let subject = subject.ok_or(broken("a licence speaks of one body"))?;
        if subject.get("type") != Some(&json!("LicensedAvatar")) {
            return Err(broken("a licence speaks of a LicensedAvatar"));
        }
        if subject.get("sha256").and_then(hash).as_ref() != Some(sha256) {
            return Err(broken("the licence is that of another body"));
        }
        let allowed = match subject.get("allowedUsers") {
            None => Some(Vec::new()),
            Some(Value::Array(named)) if named.len() <= ALLOWED => {
                named.iter().map(|one| one.as_str()?.parse().ok()).collect()
            }
            Some(_) => None,
        };
        let allowed = allowed.ok_or(broken("allowedUsers of a licence is a list of DIDs"))?;
        let author = credential.issuer().parse();
        let author = author.map_err(|_| broken("the author of a licence is a DID"))?;
        Ok(Self { author, terms: terms_in(subject), allowed })
    }

    /// Who says it.
    #[must_use]
    pub fn author(&self) -> &Did {
        &self.author
    }

    /// Whether it names somebody, wherever they live by now.
    fn names(&self, wearer: &Did) -> bool {
        self.allowed.iter().any(|named| named.subject() == wearer.subject())
    }
}

fn terms_in(subject: &Map<String, Value>) -> Terms {
    let allows = |name: &str| subject.get(name) == Some(&Value::Bool(true));
    Terms {
        permission: Permission::named(subject.get("avatarPermission").and_then(Value::as_str)),
        violent: allows("allowExcessivelyViolentUsage"),
        sexual: allows("allowExcessivelySexualUsage"),
    }
}

fn hash(text: &Value) -> Option<[u8; 32]> {
    let text = text.as_str()?;
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).ok()?;
    // One hash has one text.
    (hex::encode(hash) == text).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credential::Draft,
        did::{Plan, plan},
        key::SigningKey,
        time::Moment,
    };

    const HASH: [u8; 32] = [7; 32];
    const CLOSED: Terms =
        Terms { permission: Permission::OnlyAuthor, violent: false, sexual: false };

    fn author() -> (SigningKey, Did) {
        let key = SigningKey::from_seed([3; 32]);
        let did = format!("did:key:{}", key.public().to_multikey()).parse().unwrap();
        (key, did)
    }

    fn signed(kind: &str, subject: Value) -> Credential {
        let (key, did) = author();
        let draft = Draft {
            issuer: json!(did.as_str()),
            types: &[kind],
            subject,
            from: Moment(1_000),
            until: None,
            status: None,
        };
        let method = format!("{did}#{}", key.public().to_multikey());
        let credential = Credential::read(&draft.signed(&method, &key)).unwrap();
        let Plan::Known(document) = plan(&did).unwrap() else { panic!("a did:key is known") };
        credential.verify(&document, Moment(2_000)).unwrap();
        credential
    }

    fn licence(more: &Value) -> Result<Licence, CredentialError> {
        let mut subject = json!({ "type": "LicensedAvatar", "sha256": hex::encode(HASH) });
        subject.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        Licence::read(&signed("AvatarLicence", subject), &HASH)
    }

    #[test]
    fn a_body_is_told_and_read_again() {
        let uploaded = |licence| {
            Body::Uploaded(Uploaded { url: "mxc://a.test/b".into(), sha256: HASH, licence })
        };
        for body in [
            Body::Generated { variant: 0 },
            Body::Generated { variant: u32::MAX },
            uploaded(None),
            uploaded(Some(json!({ "id": "x" }))),
            uploaded(Some(json!("eyJ.x.y"))),
        ] {
            assert_eq!(Body::read(&body.told()), Some(body));
        }
        let ok = hex::encode(HASH);
        for wrong in [
            json!(null),
            json!([]),
            json!({}),
            json!({ "variant": -1 }),
            json!({ "variant": 4_294_967_296_u64 }),
            json!({ "variant": "1" }),
            json!({ "url": "mxc://a.test/b" }),
            json!({ "sha256": ok }),
            json!({ "url": 1, "sha256": ok }),
            json!({ "url": "x".repeat(513), "sha256": ok }),
            json!({ "url": "mxc://a.test/b", "sha256": ok.to_uppercase().replace('0', "A") }),
            json!({ "url": "mxc://a.test/b", "sha256": &ok[1..] }),
            json!({ "url": "mxc://a.test/b", "sha256": "é".repeat(32) }),
            json!({ "url": "mxc://a.test/b", "sha256": "+7".repeat(32) }),
        ] {
            assert_eq!(Body::read(&wrong), None, "{wrong}");
        }
        bolero::check!().with_type::<String>().for_each(|text| {
            let _read = Body::read(&json!({ "url": text, "sha256": text, "licence": text }));
        });
    }

    #[test]
    fn a_body_is_worn_by_whom_its_author_lets() {
        let (_, ann) = author();
        let bob: Did = "did:web:b.test:people:bob".parse().unwrap();
        let permit = |permission| Terms { permission, ..CLOSED };
        let named = licence(&json!({
            "avatarPermission": "onlySeparatelyLicensedPerson", "allowedUsers": [bob.as_str()],
        }));
        let (closed, named) = (licence(&json!({})).unwrap(), named.unwrap());
        let open = licence(&json!({ "avatarPermission": "everyone" })).unwrap();
        let (only, some) = (Permission::OnlyAuthor, Permission::OnlySeparatelyLicensedPerson);
        for (permission, licence, wearer, worn) in [
            (Permission::Everyone, None, &bob, Ok(())),
            (only, None, &ann, Err(Refused::NotTheAuthor)),
            (only, Some(&closed), &ann, Ok(())),
            (only, Some(&closed), &bob, Err(Refused::NotTheAuthor)),
            (only, Some(&named), &bob, Ok(())),
            (some, None, &bob, Err(Refused::NotNamed)),
            (some, Some(&closed), &bob, Err(Refused::NotNamed)),
            (some, Some(&closed), &ann, Ok(())),
            (some, Some(&named), &bob, Ok(())),
            (only, Some(&open), &bob, Ok(())),
        ] {
            let shown = permit(permission).let_wear(licence, wearer);
            assert_eq!(shown.map(drop), worn, "{permission:?} {licence:?} {wearer}");
        }
        assert_eq!(open.author(), &ann);
    }

    #[test]
    fn whoever_moved_is_still_named() {
        let scid = "QmQq6Kg4ZZ1p49znzxnWmes4LkkWgMWLrnrfPre8UD56bz";
        let named = licence(&json!({
            "avatarPermission": "onlySeparatelyLicensedPerson",
            "allowedUsers": [format!("did:webvh:{scid}:a.test:people:eve")],
        }));
        let moved = format!("did:webvh:{scid}:c.test:people:eve").parse().unwrap();
        assert!(CLOSED.let_wear(Some(&named.unwrap()), &moved).is_ok());
    }

    #[test]
    fn a_body_is_shown_where_its_author_lets_it() {
        let open = Terms { permission: Permission::Everyone, ..CLOSED };
        let wearer = author().1;
        let fit = |terms: Terms, licence: Option<&Licence>| {
            terms.let_wear(licence, &wearer).and_then(Terms::fit_mature)
        };
        assert_eq!(fit(open, None), Err(Refused::Violence));
        let violent = Terms { violent: true, ..open };
        assert_eq!(fit(violent, None), Err(Refused::Sex));
        assert_eq!(fit(Terms { sexual: true, ..violent }, None), Ok(()));
        let more = licence(&json!({ "allowExcessivelySexualUsage": true })).unwrap();
        assert_eq!(fit(violent, Some(&more)), Ok(()));
        for not_true in [json!("true"), json!(1), json!(null)] {
            let more = licence(&json!({ "allowExcessivelySexualUsage": not_true })).unwrap();
            assert_eq!(fit(violent, Some(&more)), Err(Refused::Sex));
        }
    }

    #[test]
    fn what_is_no_licence_of_that_body_is_refused() {
        for wrong in [
            json!({ "allowedUsers": "did:web:b.test" }),
            json!({ "allowedUsers": ["bob"] }),
            json!({ "allowedUsers": vec!["did:web:b.test"; ALLOWED + 1] }),
            json!({ "sha256": "08".repeat(32) }),
            json!({ "sha256": null }),
            json!({ "type": "HomeMembership" }),
        ] {
            assert!(licence(&wrong).is_err(), "{wrong}");
        }
        let of = |kind, subject| Licence::read(&signed(kind, subject), &HASH);
        let subject = json!({ "type": "LicensedAvatar", "sha256": hex::encode(HASH) });
        assert!(of("AvatarLicence", subject.clone()).is_ok());
        assert!(of("HomeMembership", subject.clone()).is_err());
        assert!(of("AvatarLicence", json!([subject, subject])).is_err());
    }
}
