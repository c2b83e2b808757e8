//! Invitations of people of whom only an address is known (client-server API, third-party invites).
//!
//! Whoever invites leaves a pledge in the room: an `m.room.third_party_invite` event with a token and the
//! keys of an identity server. When somebody shows that server that the address is theirs, it signs their
//! name and the token; with that proof, whoever speaks for them turns the pledge into an invitation.

use std::collections::BTreeMap;

use ruma::{
    AnyKeyName, CanonicalJsonObject, CanonicalJsonValue, OwnedUserId, SigningKeyId, UserId,
    events::StateEventType,
    serde::{Base64, base64::Standard},
    signatures::{to_canonical_json_string_for_signing, verify_canonical_json_bytes},
    third_party_invite::IdentityServerBase64PublicKey as Key,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{canonical, event::EventError, state::StateKey};

/// Bytes of a proof, and keys of a pledge and signatures of a proof that are tried with each other: anybody
/// may write some.
const PROOF_BYTES: usize = 8 * 1024;
const MOST: usize = 10;

/// The content of an `m.room.third_party_invite` event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pledge {
    /// What the room is shown of whom it invites: no address.
    #[serde(default)]
    pub display_name: String,
    /// The first of the keys, and where it is told whether it is in use still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_validity_url: Option<String>,
    #[serde(default)]
    public_keys: Vec<PledgeKey>,
}

/// A key by which an identity server signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PledgeKey {
    /// Base64, of either alphabet.
    pub public_key: String,
    /// Where it is told whether the key is in use still, if it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_validity_url: Option<String>,
}

impl Pledge {
    /// Where the state of a room keeps the pledge of that token.
    #[must_use]
    pub fn state_key(token: &str) -> StateKey {
        StateKey::new(StateEventType::RoomThirdPartyInvite, token)
    }

    /// A pledge for whoever any of the keys vouches for; none without a key.
    #[must_use]
    pub fn new(display_name: String, keys: Vec<PledgeKey>) -> Option<Self> {
        let PledgeKey { public_key, key_validity_url } = keys.first()?.clone();
        let public_key = Some(public_key);
        Some(Self { display_name, public_key, key_validity_url, public_keys: keys })
    }

    /// Reads the content of an event. One that was taken back has no key, and is none.
    #[must_use]
    pub fn read(content: &RawValue) -> Option<Self> {
        let read: Self = serde_json::from_str(content.get()).ok()?;
        let has_key = read.public_key.is_some() || !read.public_keys.is_empty();
        has_key.then_some(read)
    }

    /// The key by which a proof is signed (room versions, authorization rules of `m.room.member`: any
    /// signature by any of the keys will do).
    #[must_use]
    pub fn signer(&self, proof: &Proof) -> Option<PledgeKey> {
        let first = self.public_key.clone().map(|public_key| PledgeKey {
            public_key,
            key_validity_url: self.key_validity_url.clone(),
        });
        let mut keys = first.into_iter().chain(self.public_keys.iter().cloned()).take(MOST);
        let text = to_canonical_json_string_for_signing(&proof.signed).ok()?;
        keys.find(|key| proof.is_by(key, &text))
    }
}

/// What an identity server signs for somebody who has shown that an address is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    user_id: OwnedUserId,
    sender: Option<OwnedUserId>,
    token: String,
    signed: CanonicalJsonObject,
}

impl Proof {
    /// Reads `third_party_invite.signed`. Nothing is believed yet: ask the pledge ([`Pledge::signer`]).
    pub fn read(signed: &RawValue) -> Result<Self, EventError> {
        if signed.get().len() > PROOF_BYTES {
            return Err(EventError::TooLarge);
        }
        let signed = canonical::parse_object(signed.get())?;
        let text = |name: &str| match signed.get(name) {
            Some(CanonicalJsonValue::String(text)) => Ok(text.clone()),
            _ => Err(EventError::BadFormat(format!("signed.{name}: want a text"))),
        };
        let person = |name: &str| {
            let named = UserId::parse(text(name)?);
            named.map_err(|error| EventError::BadFormat(format!("signed.{name}: {error}")))
        };
        let user_id = person("mxid")?;
        let sender = if signed.contains_key("sender") { Some(person("sender")?) } else { None };
        let token = text("token")?;
        let Some(CanonicalJsonValue::Object(by)) = signed.get("signatures") else {
            return Err(EventError::BadFormat("signed.signatures: want an object".to_owned()));
        };
        let named = by.values().filter_map(CanonicalJsonValue::as_object);
        if by.len() > MOST || named.map(CanonicalJsonObject::len).sum::<usize>() > MOST {
            let most = format!("signed.signatures: want {MOST} at most");
            return Err(EventError::BadFormat(most));
        }
        Ok(Self { user_id, sender, token, signed })
    }

    /// Whose the address is.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// Who has pledged to invite them, where the proof says it: one that clients show does.
    #[must_use]
    pub fn sender(&self) -> Option<&UserId> {
        self.sender.as_deref()
    }

    /// Which pledge it is for.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// It as a member event carries it (`third_party_invite`), under the name that the pledge gives.
    #[must_use]
    pub fn carried(&self, display_name: &str) -> CanonicalJsonObject {
        let name = CanonicalJsonValue::String(display_name.to_owned());
        let signed = CanonicalJsonValue::Object(self.signed.clone());
        BTreeMap::from([("display_name".to_owned(), name), ("signed".to_owned(), signed)])
    }

    /// Whether somebody has signed it by that key, under whatever name; `text` is what is signed.
    fn is_by(&self, key: &PledgeKey, text: &str) -> bool {
        let Ok(key) = Key(key.public_key.clone()).decode() else { return false };
        let Some(CanonicalJsonValue::Object(by)) = self.signed.get("signatures") else {
            return false;
        };
        let named = by.values().filter_map(CanonicalJsonValue::as_object).flatten();
        named.into_iter().any(|(id, signature)| {
            let (Ok(id), Some(signature)) =
                (<&SigningKeyId<AnyKeyName>>::try_from(id.as_str()), signature.as_str())
            else {
                return false;
            };
            let Ok(signature) = Base64::<Standard>::parse(signature) else { return false };
            let algorithm = id.algorithm();
            verify_canonical_json_bytes(&algorithm, &key, signature.as_bytes(), text.as_bytes())
                .is_ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;
    use serde_json::{Value, json, value::to_raw_value};

    use super::*;
    use crate::{
        auth::Refusal,
        key::ServerKey,
        testing::{Room, draft, user},
        version::RoomVersion,
    };

    fn identity_key(seed: u8) -> ServerKey {
        ServerKey::from_seed([seed; 32], "0").unwrap()
    }

    fn keys(seeds: &[u8]) -> Vec<PledgeKey> {
        let url = Some("https://id.example/isvalid".to_owned());
        let key = |seed: &u8| PledgeKey {
            public_key: identity_key(*seed).public_key_base64(),
            key_validity_url: url.clone(),
        };
        seeds.iter().map(key).collect()
    }

    fn proof(seed: u8, name: &str, token: &str) -> Value {
        let text = json!({ "mxid": user(name), "token": token, "more": 1 }).to_string();
        let mut object = canonical::parse_object(&text).unwrap();
        identity_key(seed).sign_json(server_name!("id.example"), &mut object).unwrap();
        serde_json::to_value(object).unwrap()
    }

    fn read(proof: &Value) -> Result<Proof, EventError> {
        Proof::read(&to_raw_value(proof).unwrap())
    }

    #[test]
    fn a_pledge_knows_by_which_of_its_keys_a_proof_is_signed() {
        let pledge = Pledge::new("b...@c...".to_owned(), keys(&[1, 2])).unwrap();
        let content = to_raw_value(&pledge).unwrap();
        let pledge = Pledge::read(&content).unwrap();
        assert_eq!(pledge.display_name, "b...@c...");
        for seed in [1, 2] {
            let proof = read(&proof(seed, "bob", "t")).unwrap();
            assert_eq!((proof.user_id(), proof.token()), (&*user("bob"), "t"));
            assert_eq!(proof.sender(), None);
            let signer = pledge.signer(&proof).unwrap();
            assert_eq!(signer, keys(&[seed])[0]);
        }
        assert_eq!(pledge.signer(&read(&proof(3, "bob", "t")).unwrap()), None);
        for (field, other) in
            [("mxid", json!(user("carol"))), ("token", json!("u")), ("x", json!(1))]
        {
            let mut changed = proof(1, "bob", "t");
            changed[field] = other;
            assert_eq!(pledge.signer(&read(&changed).unwrap()), None, "{field}");
        }
    }

    #[test]
    fn a_key_is_read_in_either_alphabet_and_at_the_top_alone() {
        let standard =
            (0..=u8::MAX).map(identity_key).find(|it| it.public_key_base64().contains('/'));
        let standard = standard.unwrap();
        let text = json!({ "mxid": user("bob"), "token": "t" }).to_string();
        let mut object = canonical::parse_object(&text).unwrap();
        standard.sign_json(server_name!("id.example"), &mut object).unwrap();
        let proof = read(&serde_json::to_value(object).unwrap()).unwrap();
        let key = standard.public_key_base64().replace('+', "-").replace('/', "_");
        let content = to_raw_value(&json!({ "public_key": key })).unwrap();
        let signer = Pledge::read(&content).unwrap().signer(&proof).unwrap();
        assert_eq!(signer, PledgeKey { public_key: key, key_validity_url: None });
    }

    #[test]
    fn what_is_no_proof_or_no_pledge_is_none() {
        for (field, wrong) in [
            ("mxid", json!("bob")),
            ("mxid", json!(1)),
            ("token", json!(null)),
            ("signatures", json!([])),
        ] {
            let mut changed = proof(1, "bob", "t");
            changed[field] = wrong;
            assert!(read(&changed).is_err(), "{field}");
        }
        assert!(read(&json!([])).is_err());
        let of = |signatures: Value| {
            let mut changed = proof(1, "bob", "t");
            changed["signatures"] = signatures;
            read(&changed).unwrap()
        };
        let pledge = Pledge::new(String::new(), keys(&[1])).unwrap();
        let one = json!({ "ed25519:0": "AAAA" });
        let many: serde_json::Map<_, _> = (0..11).map(|n| (n.to_string(), one.clone())).collect();
        let mut changed = proof(1, "bob", "t");
        changed["signatures"] = many.into();
        assert!(read(&changed).is_err(), "eleven servers");
        let many: serde_json::Map<_, _> = (0..11).map(|n| (n.to_string(), "AAAA".into())).collect();
        changed["signatures"] = json!({ "a": many });
        assert!(read(&changed).is_err(), "eleven keys");
        let mut changed = proof(1, "bob", "t");
        changed["more"] = json!("x".repeat(PROOF_BYTES));
        assert_eq!(read(&changed), Err(EventError::TooLarge));
        let crowded = Pledge::new(String::new(), keys(&[&[9; MOST][..], &[1]].concat())).unwrap();
        assert_eq!(crowded.signer(&read(&proof(1, "bob", "t")).unwrap()), None, "too many keys");
        for odd in [
            json!({}),
            json!({ "a": 1 }),
            json!({ "a": { "x": "y" } }),
            json!({ "a": { "ed25519:0": 7 } }),
        ] {
            assert_eq!(pledge.signer(&of(odd.clone())), None, "{odd}");
        }
        assert_eq!(Pledge::new(String::new(), Vec::new()), None);
        for taken_back in [json!({}), json!({ "display_name": "b", "public_keys": [] }), json!([])]
        {
            assert_eq!(Pledge::read(&to_raw_value(&taken_back).unwrap()), None, "{taken_back}");
        }
    }

    /// The rules of rooms and this room of the house mean the same by a proof.
    #[test]
    fn the_rules_let_in_whom_a_pledge_lets_in() {
        for version in RoomVersion::ALL {
            let (mut room, create) = Room::created(version, &json!({}));
            let join = json!({ "membership": "join" });
            let alice = user("alice");
            let join = draft("alice", "m.room.member", Some(alice.as_str()), &join, 2);
            let join = room.send(&join, &[create]).unwrap();
            let pledge = Pledge::new("b".to_owned(), keys(&[1])).unwrap();
            let pledged = serde_json::to_value(&pledge).unwrap();
            let pledged = draft("alice", "m.room.third_party_invite", Some("t"), &pledged, 3);
            let pledged = room.send(&pledged, &[join]).unwrap();
            let invite = |sender: &str, target: &str, proof: &Value| {
                let carried = read(proof).unwrap().carried(&pledge.display_name);
                let content = json!({ "membership": "invite", "third_party_invite": carried });
                draft(sender, "m.room.member", Some(user(target).as_str()), &content, 4)
            };
            let good = proof(1, "bob", "t");
            assert!(
                room.send(&invite("alice", "bob", &good), std::slice::from_ref(&pledged)).is_ok()
            );
            for (sender, target, proof) in [
                ("alice", "carol", good.clone()),
                ("carol", "bob", good),
                ("alice", "bob", proof(2, "bob", "t")),
                ("alice", "bob", proof(1, "bob", "u")),
            ] {
                let refused =
                    room.send(&invite(sender, target, &proof), std::slice::from_ref(&pledged));
                assert!(matches!(refused, Err(Refusal::Rules(_))), "{sender} {target}");
            }
            let taken_back = draft("alice", "m.room.third_party_invite", Some("t"), &json!({}), 5);
            let taken_back = room.send(&taken_back, &[pledged]).unwrap();
            let late = invite("alice", "bob", &proof(1, "bob", "t"));
            assert!(matches!(room.send(&late, &[taken_back]), Err(Refusal::Rules(_))));
        }
    }
}
