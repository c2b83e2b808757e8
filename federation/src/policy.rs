//! Which server looks over what is said in a room, and what it has signed (server-server API, "Policy Servers").

use ruma::{
    OwnedServerName, ServerName,
    events::{StateEventType, TimelineEventType},
};
use serde_json::{Value, value::RawValue};

use crate::{
    event::{Event, EventError},
    key::PublicKeys,
    state::StateKey,
    version::RoomVersion,
};

/// The id of the key by which every policy server signs.
pub const KEY_ID: &str = "ed25519:policy_server";
/// The type of the event that names the policy server of a room.
const KIND: &str = "m.room.policy";

/// The policy server of a room as its state names it. It counts while somebody of that server is in the
/// room, which is for the caller to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    via: OwnedServerName,
    /// Unpadded base64, if it is a key at all: where it is none, nothing is ever signed.
    key: String,
}

impl Policy {
    /// Where the state of a room names its policy server.
    #[must_use]
    pub fn state_key() -> StateKey {
        StateKey::new(StateEventType::from(KIND), "")
    }

    /// Reads the content of an `m.room.policy` event. Without a server or a key of the one algorithm that
    /// all know the room has no policy server.
    #[must_use]
    pub fn read(content: &RawValue) -> Option<Self> {
        // Not by a struct, as which serde would take a list too.
        let content: Value = serde_json::from_str(content.get()).ok()?;
        let via = OwnedServerName::try_from(content.get("via")?.as_str()?).ok()?;
        let key = content.get("public_keys")?.get("ed25519")?.as_str()?.to_owned();
        Some(Self { via, key })
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &ServerName {
        &self.via
    }

    /// Whether an event carries the server's signature by the key that the room names.
    #[must_use]
    pub fn has_signed(&self, version: RoomVersion, event: &Event) -> bool {
        // Looked for first, for most of the work is to find out what was signed.
        event.json().contains(KEY_ID) && self.check(version, event).is_ok()
    }

    /// The event with a signature of the server, if it is one by the key that the room names. The id
    /// stays, and so do all other signatures: the server may be the sender's own.
    pub fn sign(
        &self,
        version: RoomVersion,
        event: &Event,
        signature: &str,
    ) -> Result<Event, EventError> {
        let signed = event.with_signature(version, &self.via, KEY_ID, signature)?;
        self.check(version, &signed)?;
        Ok(signed)
    }

    fn check(&self, version: RoomVersion, event: &Event) -> Result<(), EventError> {
        let mut keys = PublicKeys::new();
        let read = keys.insert(&self.via, KEY_ID, &self.key);
        read.map_err(|error| EventError::BadSignature(error.to_string()))?;
        event.signed_by(version, &self.via, &keys)
    }
}

/// Whether no policy server is asked about an event of this type and state key: the one that names it, so
/// that no room is at the mercy of a policy server that is gone.
#[must_use]
pub fn is_exempt(kind: &TimelineEventType, state_key: Option<&str>) -> bool {
    state_key == Some("") && kind.to_string() == KIND
}

#[cfg(test)]
mod tests {
    use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, room_id, server_name, uint, user_id};
    use serde_json::{json, value::to_raw_value};

    use super::*;
    use crate::{canonical, event::Draft, key::ServerKey};

    fn read(content: &Value) -> Option<Policy> {
        Policy::read(&to_raw_value(content).unwrap())
    }

    /// A message of somebody of `a.test`.
    fn said(version: RoomVersion) -> Event {
        let draft = Draft {
            kind: "m.room.message".into(),
            state_key: None,
            sender: user_id!("@ann:a.test").to_owned(),
            content: to_raw_value(&json!({ "body": "hello" })).unwrap(),
            redacts: None,
            origin_server_ts: MilliSecondsSinceUnixEpoch(uint!(1)),
        };
        let room = match version {
            RoomVersion::V12 => room_id!("!abcdefghijabcdefghijabcdefghijabcdefghijabc"),
            RoomVersion::V10 | RoomVersion::V11 => room_id!("!room:a.test"),
        };
        let before = OwnedEventId::try_from(format!("${}", "p".repeat(43))).unwrap();
        let cited = OwnedEventId::try_from(format!("${}", "c".repeat(43))).unwrap();
        let key = ServerKey::from_seed([1; 32], "a").unwrap();
        draft.seal(version, Some(room), &[(before, 1)], vec![cited], &key).unwrap()
    }

    /// What a policy server gives for an event.
    fn signature(version: RoomVersion, event: &Event, server: &ServerName, seed: u8) -> String {
        let key = ServerKey::from_seed([seed; 32], "policy_server").unwrap();
        let signed = event.cosign(version, server, &key).unwrap();
        let object: Value = serde_json::from_str(signed.json()).unwrap();
        object["signatures"][server.as_str()][KEY_ID].as_str().unwrap().to_owned()
    }

    fn policy(server: &ServerName, seed: u8) -> Policy {
        let key = ServerKey::from_seed([seed; 32], "policy_server").unwrap();
        let keys = json!({ "ed25519": key.public_key_base64() });
        read(&json!({ "via": server, "public_keys": keys })).unwrap()
    }

    #[test]
    fn a_room_has_a_policy_server_if_all_of_it_is_there() {
        let found = read(&json!({
            "via": "policy.test:1", "public_keys": { "ed25519": "x", "other": 5 }, "more": [],
        }));
        assert_eq!(found.unwrap().server(), server_name!("policy.test:1"));
        for none in [
            json!({}),
            json!([]),
            json!("policy.test"),
            json!(null),
            json!({ "via": "policy.test" }),
            json!({ "via": "policy.test", "public_keys": {} }),
            json!({ "via": "policy.test", "public_keys": [] }),
            json!({ "via": "policy.test", "public_keys": ["x"] }),
            json!(["policy.test", { "ed25519": "x" }]),
            json!({ "via": "policy.test", "public_keys": "x" }),
            json!({ "via": "policy.test", "public_keys": { "ed25519": 5 } }),
            json!({ "via": "policy.test", "public_keys": { "ed25519": null } }),
            json!({ "via": "policy.test", "public_keys": { "ED25519": "x" } }),
            json!({ "via": "policy.test", "public_key": "x" }),
            json!({ "via": ["policy.test"], "public_keys": { "ed25519": "x" } }),
            json!({ "via": "", "public_keys": { "ed25519": "x" } }),
            json!({ "via": "no server", "public_keys": { "ed25519": "x" } }),
            json!({ "via": "https://policy.test/", "public_keys": { "ed25519": "x" } }),
            json!({ "public_keys": { "ed25519": "x" } }),
        ] {
            assert_eq!(read(&none), None, "{none}");
        }
    }

    #[test]
    fn only_the_event_that_names_it_is_exempt() {
        assert!(is_exempt(&KIND.into(), Some("")));
        for (kind, key) in [
            (KIND, None),
            (KIND, Some("x")),
            ("m.room.message", None),
            ("m.room.power_levels", Some("")),
        ] {
            assert!(!is_exempt(&kind.into(), key), "{kind} {key:?}");
        }
    }

    #[test]
    fn its_signature_counts_by_the_key_that_the_room_names() {
        for version in RoomVersion::ALL {
            for server in [server_name!("policy.test"), server_name!("a.test")] {
                let (event, policy) = (said(version), policy(server, 7));
                assert!(!policy.has_signed(version, &event));
                let right = signature(version, &event, server, 7);
                let signed = policy.sign(version, &event, &right).unwrap();
                assert!(policy.has_signed(version, &signed));
                assert_eq!(signed.id(), event.id());
                // What was there stays.
                let object = canonical::parse_object(signed.json()).unwrap();
                let signatures = &object["signatures"].as_object().unwrap()["a.test"];
                assert!(signatures.as_object().unwrap().contains_key("ed25519:a"));
                // It holds for what a redaction leaves, as all signatures do.
                assert!(policy.has_signed(version, &signed.redact(version).unwrap()));

                let other = signature(version, &event, server, 8);
                for wrong in [other.as_str(), "", "no base64!", &right[1..]] {
                    let refused = policy.sign(version, &event, wrong);
                    assert!(matches!(refused, Err(EventError::BadSignature(_))), "{wrong:?}");
                }
                let by_another = event.with_signature(version, server, KEY_ID, &other).unwrap();
                assert!(!policy.has_signed(version, &by_another));
                // A wrong one gives way to a right one.
                assert!(policy.sign(version, &by_another, &right).is_ok());
                let elsewhere = server_name!("other.test");
                let elsewhere = event.with_signature(version, elsewhere, KEY_ID, &right).unwrap();
                assert!(!policy.has_signed(version, &elsewhere));
            }
        }
    }

    #[test]
    fn a_key_that_is_none_signs_nothing() {
        let event = said(RoomVersion::V12);
        let right = signature(RoomVersion::V12, &event, server_name!("policy.test"), 7);
        for key in ["", "x", "AAAA", &"A".repeat(10_000)] {
            let policy = json!({ "via": "policy.test", "public_keys": { "ed25519": key } });
            let policy = read(&policy).unwrap();
            assert!(policy.sign(RoomVersion::V12, &event, &right).is_err(), "{key:?}");
            assert!(!policy.has_signed(RoomVersion::V12, &event));
        }
    }
}
