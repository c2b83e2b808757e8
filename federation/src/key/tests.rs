//! Keys and signatures against the specification's vectors, and documents of strangers.

use bolero::check;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, MilliSecondsSinceUnixEpoch, OwnedServerName, UInt,
    serde::Base64, signatures::add_content_hash_to_event,
};
use serde::Deserialize;

use super::{KeyError, PublicKeys, ServerKey, ServerKeys};
use crate::version::RoomVersion;

#[derive(Deserialize)]
struct Vectors {
    seed: String,
    server: OwnedServerName,
    version: String,
    json: Vec<Signed>,
    events: Vec<SignedEvent>,
}

#[derive(Deserialize)]
struct Signed {
    object: CanonicalJsonObject,
    signature: String,
}

#[derive(Deserialize)]
struct SignedEvent {
    event: CanonicalJsonObject,
    hash: String,
    signature: String,
}

fn vectors() -> (Vectors, ServerKey) {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../vectors/signing.json")).unwrap();
    let seed: Base64 = Base64::parse(&vectors.seed).unwrap();
    let key = ServerKey::from_seed(seed.as_bytes().try_into().unwrap(), &vectors.version).unwrap();
    (vectors, key)
}

fn signature<'a>(object: &'a CanonicalJsonObject, server: &str, key_id: &str) -> &'a str {
    let all = object["signatures"].as_object().unwrap();
    all[server].as_object().unwrap()[key_id].as_str().unwrap()
}

#[test]
fn signatures_are_those_of_the_specification() {
    let (vectors, key) = vectors();
    assert_eq!(key.key_id(), "ed25519:1");
    let mut keys = PublicKeys::new();
    keys.insert(&vectors.server, "ed25519:1", &key.public_key_base64()).unwrap();
    for Signed { mut object, signature: expected } in vectors.json {
        key.sign_json(&vectors.server, &mut object).unwrap();
        assert_eq!(signature(&object, "domain", "ed25519:1"), expected);
        assert_eq!(keys.verify_json(&vectors.server, &object), Ok(()));
        object.insert("three".into(), CanonicalJsonValue::Null);
        assert!(matches!(
            keys.verify_json(&vectors.server, &object),
            Err(KeyError::BadSignature(_))
        ));
    }
    for SignedEvent { mut event, hash, signature: expected } in vectors.events {
        add_content_hash_to_event(&mut event).unwrap();
        assert_eq!(event["hashes"].as_object().unwrap()["sha256"].as_str(), Some(hash.as_str()));
        key.sign_event(RoomVersion::V10, &vectors.server, &mut event).unwrap();
        assert_eq!(signature(&event, "domain", "ed25519:1"), expected);
    }
}

#[test]
fn only_the_named_server_is_looked_at() {
    let (vectors, key) = vectors();
    let other = OwnedServerName::try_from("other.example").unwrap();
    let mut keys = PublicKeys::new();
    keys.insert(&vectors.server, "ed25519:1", &key.public_key_base64()).unwrap();
    let mut object = CanonicalJsonObject::new();
    assert!(keys.verify_json(&vectors.server, &object).is_err());
    key.sign_json(&other, &mut object).unwrap();
    assert!(keys.verify_json(&vectors.server, &object).is_err());
    key.sign_json(&vectors.server, &mut object).unwrap();
    assert_eq!(keys.verify_json(&vectors.server, &object), Ok(()));
    assert!(keys.verify_json(&other, &object).is_err());
}

#[test]
fn key_versions_are_checked() {
    for bad in ["", "a b", "a:b", "ä", "a-b"] {
        let key = ServerKey::from_seed([1; 32], bad);
        assert!(matches!(key, Err(KeyError::BadVersion(_))), "{bad:?}");
    }
}

fn at(ms: u32) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(UInt::from(ms))
}

fn document() -> (OwnedServerName, String) {
    let server = OwnedServerName::try_from("alice.example:8448").unwrap();
    let key = ServerKey::from_seed([3; 32], "a_1").unwrap();
    let old = ServerKey::from_seed([4; 32], "a_0").unwrap();
    let old = [(old.key_id().to_string(), old.public_key_base64(), at(500))];
    let json = ServerKeys::publish(&server, &key, &old, at(2_000)).unwrap();
    (server, json)
}

#[test]
fn a_published_document_reads_back() {
    let (server, json) = document();
    let keys = ServerKeys::parse(&json).unwrap();
    assert_eq!(
        (keys.server.clone(), keys.valid_until, keys.keys.len()),
        (server.clone(), at(2_000), 2)
    );
    for (time, new, old) in
        [(400, true, true), (500, true, true), (501, true, false), (2_001, false, false)]
    {
        let valid = keys.valid_at(at(time));
        assert_eq!(valid.contains(&server, "ed25519:a_1"), new, "{time}");
        assert_eq!(valid.contains(&server, "ed25519:a_0"), old, "{time}");
    }
}

#[test]
fn a_changed_document_is_refused() {
    let (_, json) = document();
    for (from, to) in [
        ("2000", "2001"),
        ("alice.example", "mallory.example"),
        ("\"verify_keys\"", "\"verify_kexs\""),
        ("ed25519:a_1", "ed25519:a_2"),
        ("500", "-1"),
    ] {
        let changed = json.replacen(from, to, 1);
        assert_ne!(changed, json);
        assert!(ServerKeys::parse(&changed).is_err(), "{changed}");
    }
}

#[test]
fn documents_of_strangers_never_panic() {
    let json = include_str!("../../vectors/seeds/keys/document.json").trim_end();
    assert_eq!(json, document().1, "signing is deterministic");
    check!().with_type::<(usize, u8, Vec<u8>)>().for_each(|(at, byte, bytes)| {
        let mut damaged = json.as_bytes().to_vec();
        let at = at % damaged.len();
        damaged[at] = *byte;
        for bytes in [bytes, &damaged] {
            if let Ok(text) = std::str::from_utf8(bytes) {
                let _ = ServerKeys::parse(text);
            }
        }
    });
}
