//! What nodes and communities say of people beside that they live there: roles, age groups and badges.
//!
//! Each is a credential of a type of `specs/credentials.json`, made by `draft` and read back by `of`. What is read
//! is worth as much as its issuer is to the reader, and nothing before [`Credential::verify`]. A role alone has its
//! issuer fixed: on a node, nobody but the node gives roles. [`Asks`] is what a door asks of whoever comes.
//!
//! ```
//! use wayside_identity::{badge::Badge, credential::Credential, key::SigningKey, time::Moment};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (node, ada) = ("did:web:a.example".parse()?, "did:web:a.example:people:ada".parse()?);
//! let badge = Badge::new("first-light", "First light", Some("Came on the first day"), None).ok_or("no badge")?;
//! let signed = badge.draft(&node, &ada, Moment(1_000), None)
//!     .signed("did:web:a.example#word", &SigningKey::from_seed([7; 32]));
//! assert_eq!(Badge::of(&Credential::read(&signed)?, &ada), Some(badge));
//! # Ok(()) }
//! ```

mod asks;

use serde_json::{Map, Value, json};
use wayside_specs::{Did, Role};

pub use self::asks::{Ask, Asks, BadAsk, Wanted};
use crate::{
    credential::{Credential, Draft},
    time::Moment,
};

/// The type of the credential of a role.
const NODE_ROLE: &str = "urn:wayside:NodeRole";
/// That of an age group.
const AGE_GROUP: &str = "urn:wayside:AgeGroup";
/// That of a badge.
const BADGE: &str = "urn:wayside:Badge";
/// Longest id of a badge, in bytes.
const ID_BYTES: usize = 64;
/// Longest name of a badge, in bytes.
const NAME_BYTES: usize = 255;
/// Longest description of a badge, in bytes.
const DESCRIPTION_BYTES: usize = 1_024;

/// What somebody may do on a node, as the node says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRole {
    /// The role.
    pub role: Role,
    /// The node, which is who says it.
    pub node: Did,
}

impl NodeRole {
    /// Says it of somebody.
    #[must_use]
    pub fn draft(&self, of: &Did, from: Moment, until: Option<Moment>) -> Draft<'static> {
        let said = json!({ "role": self.role.as_str(), "node": self.node.as_str() });
        draft(&["NodeRole"], said, [&self.node, of], from, until)
    }

    /// Reads what a credential says of somebody; none where it is no word of a node about its own people.
    #[must_use]
    pub fn of(credential: &Credential, whom: &Did) -> Option<Self> {
        let said = said(credential, NODE_ROLE, whom)?;
        let role = text(said, "role")?.parse().ok()?;
        let node: Did = text(said, "node")?.parse().ok()?;
        (credential.issuer() == node.as_str()).then_some(Self { role, node })
    }
}

/// How old somebody is, as closely as a world has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// Younger than 13.
    Under13,
    /// From 13 to 15.
    From13,
    /// 16 or 17.
    From16,
    /// 18 or older.
    Adult,
}

impl Age {
    /// Every group, the youngest first.
    pub const ALL: [Self; 4] = [Self::Under13, Self::From13, Self::From16, Self::Adult];

    /// The name that stands in credentials.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Under13 => "under13",
            Self::From13 => "13to15",
            Self::From16 => "16to17",
            Self::Adult => "18plus",
        }
    }

    /// The group of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// How an issuer came to know an age; the last three as ISO/IEC 27566-1 tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgeSource {
    /// They said so themselves, and nobody looked.
    SelfDeclared,
    /// It follows from what else is known of them.
    Inferred,
    /// It was guessed by how they look, sound or behave.
    Estimated,
    /// It was calculated from a date of birth that somebody answers for.
    Verified,
}

impl AgeSource {
    /// Every source, the one that says the least first.
    pub const ALL: [Self; 4] =
        [Self::SelfDeclared, Self::Inferred, Self::Estimated, Self::Verified];

    /// The name that stands in credentials.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SelfDeclared => "selfDeclared",
            Self::Inferred => "inferred",
            Self::Estimated => "estimated",
            Self::Verified => "verified",
        }
    }

    /// The source of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// The age group of somebody. They grow out of it: whoever says it lets it end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgeGroup {
    /// The group.
    pub age: Age,
    /// How that is known.
    pub source: AgeSource,
}

impl AgeGroup {
    /// Says it of somebody.
    #[must_use]
    pub fn draft(self, issuer: &Did, of: &Did, from: Moment, until: Moment) -> Draft<'static> {
        let said = json!({ "ageGroup": self.age.as_str(), "ageSource": self.source.as_str() });
        draft(&["AgeGroup"], said, [issuer, of], from, Some(until))
    }

    /// Reads what a credential says of somebody; none where it says no age, not how it is known, or for ever.
    #[must_use]
    pub fn of(credential: &Credential, whom: &Did) -> Option<Self> {
        let said = said(credential, AGE_GROUP, whom)?;
        credential.valid_until()?;
        let (age, source) = (text(said, "ageGroup")?, text(said, "ageSource")?);
        Some(Self { age: Age::named(age)?, source: AgeSource::named(source)? })
    }
}

/// Something that somebody was given for whatever they did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Badge {
    id: String,
    name: String,
    description: Option<String>,
    image: Option<[u8; 32]>,
}

impl Badge {
    /// A badge, by an id that its issuer gives no other one, a name and a description for people, and the SHA-256
    /// of its picture. None where one of them is empty or too long, or the id is of other signs than letters,
    /// digits, `.`, `-` and `_`.
    #[must_use]
    pub fn new(
        id: &str,
        name: &str,
        description: Option<&str>,
        image: Option<[u8; 32]>,
    ) -> Option<Self> {
        let is_one = is_id(id)
            && fits(name, NAME_BYTES)
            && description.is_none_or(|text| fits(text, DESCRIPTION_BYTES));
        is_one.then(|| Self {
            id: id.to_owned(),
            name: name.to_owned(),
            description: description.map(str::to_owned),
            image,
        })
    }

    /// What its issuer calls it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is given for.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// SHA-256 of its picture.
    #[must_use]
    pub fn image(&self) -> Option<&[u8; 32]> {
        self.image.as_ref()
    }

    /// Gives it to somebody.
    #[must_use]
    pub fn draft(
        &self,
        issuer: &Did,
        to: &Did,
        from: Moment,
        until: Option<Moment>,
    ) -> Draft<'static> {
        let mut said = json!({ "badge": self.id, "name": self.name });
        if let Some(description) = &self.description {
            said["description"] = description.as_str().into();
        }
        if let Some(image) = &self.image {
            said["image"] = hex::encode(image).into();
        }
        draft(&["Badge"], said, [issuer, to], from, until)
    }

    /// Reads what a credential gives somebody; none where that is no badge.
    #[must_use]
    pub fn of(credential: &Credential, whom: &Did) -> Option<Self> {
        let said = said(credential, BADGE, whom)?;
        // What is there and is no text makes it none: another reader could show something else.
        let may_be = |name: &str| match said.get(name) {
            None => Some(None),
            Some(_) => text(said, name).map(Some),
        };
        let image = match may_be("image")? {
            None => None,
            Some(digits) => Some(hash(digits)?),
        };
        Self::new(text(said, "badge")?, text(said, "name")?, may_be("description")?, image)
    }
}

fn draft(
    types: &'static [&'static str],
    mut said: Value,
    [issuer, of]: [&Did; 2],
    from: Moment,
    until: Option<Moment>,
) -> Draft<'static> {
    said["id"] = of.as_str().into();
    Draft { issuer: json!(issuer.as_str()), types, subject: said, from, until, status: None }
}

/// What a credential of a type says of somebody, in members that mean the same for everybody. Whoever has moved
/// keeps what they were given.
fn said<'c>(credential: &'c Credential, kind: &str, of: &Did) -> Option<&'c Map<String, Value>> {
    let is_such = credential.is(kind) && credential.is_plain();
    credential.says_of_person(of).filter(|_| is_such)
}

/// Whether a badge may be told from others by it.
fn is_id(id: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    fits(id, ID_BYTES) && id.bytes().all(is_sign)
}

/// Whether a text says something, and not too much.
fn fits(text: &str, most: usize) -> bool {
    !text.trim().is_empty() && text.len() <= most
}

fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    members.get(name)?.as_str()
}

fn hash(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(digits, &mut hash).ok()?;
    // One hash has one text.
    (hex::encode(hash) == digits).then_some(hash)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wayside_specs::{Did, Role};

    use super::{Age, AgeGroup, AgeSource, Badge, NodeRole};
    use crate::{
        credential::{Credential, CredentialError, Draft},
        did::Document,
        key::SigningKey,
        proof::{Claims, Cryptosuite, Proof, ProofError, Purpose},
        time::Moment,
    };

    const METHOD: &str = "did:web:a.example#word";
    const NOW: Moment = Moment(1_700_000_000_000);
    const YEAR: Moment = Moment(1_730_000_000_000);

    fn did(text: &str) -> Did {
        text.parse().unwrap()
    }

    fn node() -> Did {
        did("did:web:a.example")
    }

    fn ada() -> Did {
        did("did:web:a.example:people:ada")
    }

    fn key() -> SigningKey {
        SigningKey::from_seed([1; 32])
    }

    fn document() -> Document {
        let method = json!({"id": METHOD, "type": "Multikey", "controller": node().as_str(),
            "publicKeyMultibase": key().public().to_multikey()});
        Document::from_value(json!({"id": node().as_str(), "verificationMethod": [method],
            "assertionMethod": [METHOD]}))
        .unwrap()
    }

    fn role() -> NodeRole {
        NodeRole { role: Role::Moderator, node: node() }
    }

    fn badge() -> Badge {
        let description = Some("Came on the first day");
        Badge::new("first-light", "First light ☀", description, Some([7; 32])).unwrap()
    }

    fn drafts() -> [Draft<'static>; 3] {
        let age = AgeGroup { age: Age::From16, source: AgeSource::SelfDeclared };
        [
            role().draft(&ada(), NOW, None),
            age.draft(&node(), &ada(), NOW, YEAR),
            badge().draft(&node(), &ada(), NOW, Some(YEAR)),
        ]
    }

    fn signed(draft: &Draft<'_>) -> Credential {
        Credential::read(&draft.signed(METHOD, &key())).unwrap()
    }

    /// A draft in which one thing is said otherwise.
    fn with(draft: &Draft<'static>, member: &str, value: Value) -> Credential {
        let mut draft = draft.clone();
        draft.subject[member] = value;
        signed(&draft)
    }

    #[test]
    fn what_is_given_to_people_is_read_back() {
        let [given_role, given_age, given_badge] = drafts();
        assert_eq!(NodeRole::of(&signed(&given_role), &ada()), Some(role()));
        assert_eq!(Badge::of(&signed(&given_badge), &ada()), Some(badge()));
        assert_eq!((badge().id(), badge().name()), ("first-light", "First light ☀"));
        assert_eq!(badge().description(), Some("Came on the first day"));
        assert_eq!(badge().image(), Some(&[7; 32]));
        let plain = Badge::new("a.B_9", "A", None, None).unwrap();
        let read = Badge::of(&signed(&plain.draft(&node(), &ada(), NOW, None)), &ada());
        assert_eq!(read, Some(plain));
        for age in Age::ALL {
            for source in AgeSource::ALL {
                let group = AgeGroup { age, source };
                let read = AgeGroup::of(&signed(&group.draft(&node(), &ada(), NOW, YEAR)), &ada());
                assert_eq!(read, Some(group));
            }
        }
        for draft in [&given_role, &given_age, &given_badge] {
            let credential = signed(draft);
            assert_eq!(credential.verify(&document(), NOW), Ok(()));
            let eve = did("did:web:e.example");
            assert_eq!(NodeRole::of(&credential, &eve), None, "it speaks of somebody else");
            assert_eq!(AgeGroup::of(&credential, &eve), None);
            assert_eq!(Badge::of(&credential, &eve), None);
        }
        let [role, age, badge] = [&given_role, &given_age, &given_badge].map(signed);
        assert!(NodeRole::of(&age, &ada()).is_none() && AgeGroup::of(&badge, &ada()).is_none());
        assert!(Badge::of(&role, &ada()).is_none());
    }

    #[test]
    fn what_is_given_to_people_can_be_signed_as_rdf_too() {
        let [ada, bob] = [ada(), did("did:web:b.example:people:bob")];
        let licensed = json!({
            "type": "LicensedAvatar", "sha256": "07".repeat(32), "allowRedistribution": false,
            "avatarPermission": "onlySeparatelyLicensedPerson", "allowedUsers": [ada.as_str(), bob.as_str()],
            "allowExcessivelyViolentUsage": true, "allowExcessivelySexualUsage": false,
        });
        let licence = Draft {
            issuer: json!(node().as_str()),
            types: &["AvatarLicence"],
            subject: licensed,
            from: NOW,
            until: None,
            status: None,
        };
        for draft in drafts().into_iter().chain([licence]) {
            let claims = Claims {
                verification_method: METHOD,
                purpose: Purpose::AssertionMethod,
                created: NOW,
                expires: None,
                domain: None,
                challenge: None,
            };
            let mut bare = draft.value();
            let proof = Proof::sign_rdf(Cryptosuite::EddsaRdfc2022, &bare, &claims, &key());
            bare["proof"] = proof.unwrap();
            assert_eq!(Credential::read(&bare).unwrap().verify(&document(), NOW), Ok(()));
        }
    }

    #[test]
    fn whatever_is_changed_in_what_was_given_is_worth_nothing() {
        for (draft, member, value) in [
            (0, "role", json!("operator")),
            (0, "node", json!("did:web:e.example")),
            (1, "ageGroup", json!("18plus")),
            (1, "ageSource", json!("verified")),
            (2, "badge", json!("last-light")),
            (2, "image", json!("00".repeat(32))),
            (2, "id", json!("did:web:e.example")),
        ] {
            let mut changed = drafts()[draft].signed(METHOD, &key());
            changed["credentialSubject"][member] = value;
            let refused = Credential::read(&changed).unwrap().verify(&document(), NOW);
            let bad = CredentialError::Proof(ProofError::BadSignature);
            assert_eq!(refused, Err(bad), "{member}");
        }
    }

    #[test]
    fn what_says_nothing_that_is_known_is_not_read() {
        let [role, age, badge] = drafts();
        for (member, value) in [
            ("role", json!("king")),
            ("role", json!(["operator"])),
            ("node", json!("a.example")),
            // Another node's roles are not this one's to give.
            ("node", json!("did:web:e.example")),
        ] {
            assert_eq!(NodeRole::of(&with(&role, member, value), &ada()), None, "{member}");
        }
        for (member, value) in [
            ("ageGroup", json!("17")),
            ("ageGroup", json!(17)),
            ("ageSource", json!("hearsay")),
            ("ageSource", json!(true)),
        ] {
            assert_eq!(AgeGroup::of(&with(&age, member, value), &ada()), None, "{member}");
        }
        let endless = Draft { until: None, ..age };
        assert_eq!(AgeGroup::of(&signed(&endless), &ada()), None, "nobody stays sixteen");
        for (member, value) in [
            ("badge", json!("")),
            ("badge", json!("first light")),
            ("badge", json!("x".repeat(65))),
            ("badge", json!(1)),
            ("name", json!(" ")),
            ("name", json!("x".repeat(256))),
            ("name", json!({"@value": "First light", "@language": "en"})),
            ("description", json!("")),
            ("description", json!("x".repeat(1_025))),
            ("description", json!(1)),
            ("image", json!("07".repeat(31))),
            ("image", json!("0A".repeat(32))),
            ("image", json!("https://e.example/x.png")),
            ("image", json!([])),
        ] {
            assert_eq!(Badge::of(&with(&badge, member, value), &ada()), None, "{member}");
        }
    }
}
