//! The record of a friendship, which each of two people signs of the other.
//!
//! It is a credential of the type `urn:wayside:Friendship` (`specs/credentials.json`): its issuer is one person,
//! who names their account in it, and it speaks of the other by their DID, or by the `matrix:` URI of their
//! account where they have none. What is read is worth nothing before [`Credential::verify`], and two people are
//! friends when each has said so of the other.
//!
//! ```
//! use wayside_identity::{
//!     credential::Credential, friend::{Friendship, With}, key::SigningKey, time::Moment,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let friendship = Friendship {
//!     from: "did:web:a.example:people:ada".parse()?,
//!     account: "@ada:a.example".to_owned(),
//!     with: With::Person("did:web:b.example:people:bob".parse()?),
//! };
//! let key = SigningKey::from_seed([7; 32]);
//! let record = friendship.signed(Moment(1_000), "did:web:a.example:people:ada#device", &key);
//! assert_eq!(Friendship::read(&Credential::read(&record)?), Some(friendship));
//! # Ok(()) }
//! ```

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};
use wayside_specs::{Did, limits};

use crate::{
    credential::{Credential, Draft},
    key::SigningKey,
    time::Moment,
};

/// The type of the events that carry such a record.
pub const EVENT: &str = "org.wayside.friend";
/// What kind of credential it is, beside `VerifiableCredential`.
const TYPES: [&str; 1] = ["Friendship"];
/// As what it speaks of the other.
const FRIEND: &str = "Friend";
/// What a record may say: whatever else stood in it would be signed, and looked at by nobody.
const MEMBERS: [&str; 6] =
    ["@context", "type", "issuer", "validFrom", "credentialSubject", "proof"];
/// Largest record in bytes of JSON: two DIDs, two accounts and a proof fit well.
const BYTES: usize = 16 * 1024;
/// What every `matrix:` URI of an account begins with.
const ACCOUNT: &str = "matrix:u/";
/// What is escaped in such a URI: all that may not stand in a segment of its path, and the sign of an escape.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What somebody says of a friend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Friendship {
    /// Who says it.
    pub from: Did,
    /// The Matrix user id of their own account.
    pub account: String,
    /// Of whom.
    pub with: With,
}

/// Who somebody's friend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum With {
    /// A person.
    Person(Did),
    /// The Matrix user id of the account of somebody who has no DID.
    Account(String),
}

impl Friendship {
    /// Says it from then on, with a key that stands under `assertionMethod` of who says it.
    #[must_use]
    pub fn signed(&self, since: Moment, method: &str, key: &SigningKey) -> Value {
        self.drafted(since).signed(method, key)
    }

    /// What is to be signed, for whoever signs it in another way.
    #[must_use]
    pub fn draft(&self, since: Moment) -> Value {
        self.drafted(since).value()
    }

    fn drafted(&self, since: Moment) -> Draft<'static> {
        let id = match &self.with {
            With::Person(did) => did.as_str().to_owned(),
            With::Account(user_id) => uri(user_id),
        };
        Draft {
            issuer: json!({ "id": self.from.as_str(), "account": uri(&self.account) }),
            types: &TYPES,
            subject: json!({ "id": id, "type": FRIEND }),
            from: since,
            until: None,
            status: None,
        }
    }

    /// Reads what a credential says; none where that is no friendship, or more than one.
    #[must_use]
    pub fn read(credential: &Credential) -> Option<Self> {
        let said = credential.value().as_object()?;
        let is_such = credential.is_plain()
            && said.get("type") == Some(&json!(["VerifiableCredential", TYPES[0]]))
            && said.contains_key("validFrom")
            && said.keys().all(|name| MEMBERS.contains(&name.as_str()))
            && credential.value().to_string().len() <= BYTES;
        if !is_such {
            return None;
        }
        let [from, account] = texts(said.get("issuer")?, ["id", "account"])?;
        let [with, kind] = texts(said.get("credentialSubject")?, ["id", "type"])?;
        let from: Did = from.parse().ok()?;
        let account = user_id(account)?;
        let with = match user_id(with) {
            Some(user_id) => With::Account(user_id),
            None => With::Person(with.parse().ok()?),
        };
        let is_another = match &with {
            With::Person(did) => did.subject() != from.subject(),
            With::Account(user_id) => *user_id != account,
        };
        (kind == FRIEND && is_another).then_some(Self { from, account, with })
    }
}

/// The texts of an object that has these members and no others.
fn texts<'v, const N: usize>(value: &'v Value, names: [&str; N]) -> Option<[&'v str; N]> {
    let members = value.as_object().filter(|members| members.len() == N)?;
    let mut texts = [""; N];
    for (text, name) in texts.iter_mut().zip(names) {
        *text = members.get(name)?.as_str()?;
    }
    Some(texts)
}

/// The `matrix:` URI of an account.
fn uri(user_id: &str) -> String {
    let bare = user_id.strip_prefix('@').unwrap_or(user_id);
    format!("{ACCOUNT}{}", utf8_percent_encode(bare, ESCAPED))
}

/// The account of a `matrix:` URI, which is written in one way alone.
fn user_id(text: &str) -> Option<String> {
    let bare = percent_decode_str(text.strip_prefix(ACCOUNT)?).decode_utf8().ok()?;
    let (name, server) = bare.split_once(':')?;
    let is_server = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    let is_one = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_graphic())
        && !server.is_empty()
        && server.bytes().all(is_server)
        && bare.len() < limits::ID_BYTES;
    let user_id = format!("@{bare}");
    (is_one && uri(&user_id) == text).then_some(user_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credential::CredentialError,
        did::Document,
        key::SigningKey,
        proof::{Claims, Cryptosuite, Proof, ProofError, Purpose},
    };

    const ADA: &str = "did:web:a.example:people:ada";
    const METHOD: &str = "did:web:a.example:people:ada#device";
    const NOW: Moment = Moment(1_700_000_000_000);

    fn key() -> SigningKey {
        SigningKey::from_seed([1; 32])
    }

    fn document() -> Document {
        let method = json!({"id": METHOD, "type": "Multikey", "controller": ADA,
            "publicKeyMultibase": key().public().to_multikey()});
        Document::from_value(json!({"id": ADA, "verificationMethod": [method],
            "assertionMethod": [METHOD]}))
        .unwrap()
    }

    fn did(text: &str) -> Did {
        text.parse().unwrap()
    }

    fn friendship(with: With) -> Friendship {
        Friendship { from: did(ADA), account: "@ada:a.example".to_owned(), with }
    }

    fn with_bob() -> Friendship {
        friendship(With::Person(did("did:web:b.example:people:bob")))
    }

    fn claims() -> Claims<'static> {
        Claims {
            verification_method: METHOD,
            purpose: Purpose::AssertionMethod,
            created: NOW,
            expires: None,
            domain: None,
            challenge: None,
        }
    }

    fn signed(mut record: Value) -> Value {
        record["proof"] = Proof::sign(&record, &claims(), &key());
        record
    }

    fn read(record: Value) -> Option<Friendship> {
        Friendship::read(&Credential::read(&signed(record)).unwrap())
    }

    #[test]
    fn a_friendship_is_signed_and_read_back() {
        let scid = "did:webvh:QmcL3ZxmVLxnU6fFt8fXtqqtyMgEdNw4DMgFYwB6zTwxrC";
        let longest = format!("@{}:b.example", "b".repeat(limits::ID_BYTES - 11));
        for with in [
            With::Person(did("did:web:b.example:people:bob")),
            With::Person(did(&format!("{scid}:b.example:people:bob"))),
            With::Person(did(&format!("did:web:{}", "b".repeat(limits::DID_BYTES - 8)))),
            With::Account("@bob:b.example".to_owned()),
            With::Account("@bob/of=the.house:b.example:8448".to_owned()),
            With::Account("@Bob?#%25|^`:[::1]:8448".to_owned()),
            With::Account(longest),
        ] {
            let friendship = friendship(with);
            let record = signed(friendship.draft(NOW));
            let credential = Credential::read(&record);
            let credential = credential.unwrap_or_else(|error| panic!("{error}: {record}"));
            assert_eq!(credential.verify(&document(), NOW), Ok(()));
            assert_eq!(credential.issuer(), ADA);
            assert_eq!(Friendship::read(&credential).as_ref(), Some(&friendship), "{record}");
        }
        let record = with_bob().draft(NOW);
        assert_eq!(record["issuer"], json!({"id": ADA, "account": "matrix:u/ada:a.example"}));
        assert_eq!(record["validFrom"], json!("2023-11-14T22:13:20Z"));
    }

    #[test]
    fn a_friendship_can_be_signed_as_rdf_too() {
        for with in [with_bob().with, With::Account("@bob:b.example".to_owned())] {
            let mut record = friendship(with).draft(NOW);
            let suite = Cryptosuite::EddsaRdfc2022;
            record["proof"] = Proof::sign_rdf(suite, &record, &claims(), &key()).unwrap();
            let credential = Credential::read(&record).unwrap();
            assert_eq!(credential.verify(&document(), NOW), Ok(()));
            assert!(Friendship::read(&credential).is_some());
        }
    }

    #[test]
    fn whatever_is_changed_in_a_friendship_is_worth_nothing() {
        for (at, value) in [
            ("/issuer/account", json!("matrix:u/eve:a.example")),
            ("/credentialSubject/id", json!("did:web:e.example:people:eve")),
            ("/validFrom", json!("2023-11-14T22:13:21Z")),
        ] {
            let mut changed = signed(with_bob().draft(NOW));
            *changed.pointer_mut(at).unwrap() = value;
            let refused = Credential::read(&changed).unwrap().verify(&document(), NOW);
            let bad = CredentialError::Proof(ProofError::BadSignature);
            assert_eq!(refused, Err(bad), "{at}");
        }
    }

    #[test]
    fn what_is_not_to_the_letter_is_no_friendship() {
        assert_eq!(read(with_bob().draft(NOW)), Some(with_bob()));
        for (at, value) in [
            ("/type", json!(["VerifiableCredential", "HomeMembership"])),
            ("/type", json!(["VerifiableCredential", "Friendship", "HomeMembership"])),
            ("/type", json!(["VerifiableCredential"])),
            ("/type", json!(["Friendship", "VerifiableCredential"])),
            ("/issuer", json!(ADA)),
            ("/issuer", json!({"id": ADA})),
            ("/issuer", json!({"id": ADA, "account": "matrix:u/ada:a.example", "name": "Ada"})),
            ("/issuer/id", json!("https://a.example")),
            ("/issuer/id", json!("matrix:u/ada:a.example")),
            ("/issuer/account", json!("@ada:a.example")),
            ("/issuer/account", json!(["matrix:u/ada:a.example"])),
            ("/issuer/account", json!("matrix:r/ada:a.example")),
            ("/issuer/account", json!("matrix:u/ada:a.example?action=chat")),
            ("/issuer/account", json!("matrix:u/%61da:a.example")),
            ("/issuer/account", json!("matrix:u/a%2fda:a.example")),
            ("/issuer/account", json!("matrix:u/a%FFda:a.example")),
            ("/issuer/account", json!("matrix:u/a%20da:a.example")),
            ("/issuer/account", json!("matrix:u/ada:a.example/")),
            ("/issuer/account", json!("matrix:u/ada:a_example")),
            ("/issuer/account", json!("matrix:u/ada:")),
            ("/issuer/account", json!("matrix:u/:a.example")),
            ("/issuer/account", json!("matrix:u/ada")),
            ("/issuer/account", json!(format!("matrix:u/{}:a.example", "a".repeat(245)))),
            ("/credentialSubject", json!([{"id": "did:web:b.example", "type": "Friend"}])),
            ("/credentialSubject", json!({"id": "did:web:b.example"})),
            ("/credentialSubject", json!({"type": "Friend", "account": "matrix:u/b:b.example"})),
            ("/credentialSubject/type", json!("LicensedAvatar")),
            ("/credentialSubject/type", json!(["Friend"])),
            ("/credentialSubject/id", json!(ADA)),
            ("/credentialSubject/id", json!("matrix:u/ada:a.example")),
            ("/credentialSubject/id", json!("https://b.example")),
            ("/credentialSubject/id", json!("did:web:b.example#key")),
            ("/credentialSubject/id", json!(format!("did:web:{}", "b".repeat(1_017)))),
            (
                "/@context",
                json!([crate::credential::BASE_CONTEXT, crate::credential::OWN_CONTEXT,
                {"Medal": "urn:example:Medal"}]),
            ),
        ] {
            let mut record = with_bob().draft(NOW);
            *record.pointer_mut(at).unwrap() = value.clone();
            assert_eq!(read(record), None, "{at} {value}");
        }
        for (name, value) in [
            ("validUntil", json!("2999-01-01T00:00:00Z")),
            ("credentialStatus", json!({"type": "BitstringStatusListEntry"})),
            ("id", json!("urn:example:record")),
            ("name", json!("Friends")),
            ("more", json!(1)),
        ] {
            let mut record = with_bob().draft(NOW);
            record[name] = value;
            assert_eq!(read(record), None, "{name}");
        }
        let mut timeless = with_bob().draft(NOW);
        timeless.as_object_mut().unwrap().remove("validFrom");
        assert_eq!(read(timeless), None);
    }

    #[test]
    fn somebody_who_moved_is_no_friend_of_themselves() {
        let home = |host: &str| {
            did(&format!("did:webvh:QmcL3ZxmVLxnU6fFt8fXtqqtyMgEdNw4DMgFYwB6zTwxrC:{host}"))
        };
        let with = With::Person(home("b.example"));
        let record = Friendship { from: home("a.example"), ..friendship(with) };
        assert_eq!(read(record.draft(NOW)), None);
    }

    #[test]
    fn a_record_that_is_too_large_is_no_friendship() {
        let mut record = signed(with_bob().draft(NOW));
        let room = BYTES - record.to_string().len() - r#","nonce":"""#.len();
        for (more, fits) in [(room, true), (room + 1, false)] {
            record["proof"]["nonce"] = "n".repeat(more).into();
            let credential = Credential::read(&record).unwrap();
            assert_eq!(Friendship::read(&credential).is_some(), fits, "{more} of {room}");
        }
    }
}
