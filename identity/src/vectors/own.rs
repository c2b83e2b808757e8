//! The vectors of specs/vectors/identity.json, which the browser's code wrote and this code has to read.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::{section_of, text};
use crate::{
    did::webvh::{History, write::commitment},
    json,
    key::{PublicKey, SigningKey},
    proof::Proof,
    time::Moment,
};

const VECTORS: &str = include_str!("../../../specs/vectors/identity.json");
const NOW: Moment = Moment(1_800_000_000_000);

fn vectors(section: &str) -> Vec<Value> {
    section_of(VECTORS, section)
}

fn bytes(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn key(seed: &str) -> SigningKey {
    SigningKey::from_seed(bytes(seed).try_into().unwrap())
}

#[test]
fn json_is_read_and_written_alike() {
    for vector in vectors("canonical") {
        let value = json::read(text(&vector, "json").as_bytes()).unwrap();
        assert_eq!(json::canonical(&value), text(&vector, "canonical"), "{}", vector["name"]);
    }
    for vector in vectors("refused") {
        assert!(json::read(text(&vector, "json").as_bytes()).is_err(), "{}", vector["name"]);
    }
}

#[test]
fn keys_and_what_commits_to_them_are_alike() {
    for vector in vectors("multikeys") {
        let key = key(text(&vector, "seed")).public();
        assert_eq!(key.to_multikey(), text(&vector, "multikey"), "{}", vector["name"]);
        assert_eq!(PublicKey::from_multikey(text(&vector, "multikey")).unwrap(), key);
        assert_eq!(commitment(&key.to_multikey()), text(&vector, "commitment"));
    }
}

/// HKDF (RFC 5869) by SHA-256 with no salt, for the 32 bytes of one step.
fn hkdf(secret: &[u8], info: &str) -> Vec<u8> {
    let mac = |key: &[u8], parts: &[&[u8]]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    };
    mac(&mac(&[0; 32], &[secret]), &[info.as_bytes(), &[1]])
}

#[test]
fn keys_grow_from_secrets_by_their_number() {
    for vector in vectors("derived") {
        let info = format!("wayside {} key {}", text(&vector, "kind"), vector["number"]);
        let seed = hkdf(&bytes(text(&vector, "secret")), &info);
        assert_eq!(seed, bytes(text(&vector, "seed")), "{}", vector["name"]);
        let public = key(text(&vector, "seed")).public();
        assert_eq!(public.to_multikey(), text(&vector, "multikey"), "{}", vector["name"]);
    }
}

#[test]
fn proofs_of_the_browser_stand() {
    for vector in vectors("proofs") {
        let key = key(text(&vector, "seed")).public();
        let proof = Proof::read(&vector["proof"]).unwrap();
        proof.verify(&vector["document"], &key).unwrap();
    }
}

/// A person begins, adds a device, rotates, recovers, moves, and comes to an end.
#[test]
fn the_log_of_the_browser_is_proven_whole() {
    let lines = vectors("log");
    let mut log = String::new();
    for (index, vector) in lines.iter().enumerate() {
        log.push_str(text(vector, "line"));
        log.push('\n');
        let history = History::read(log.as_bytes(), None, NOW);
        let history = history.unwrap_or_else(|error| panic!("{}: {error}", vector["name"]));
        assert_eq!(history.latest().id.number, index + 1);
    }
    let history = History::read(log.as_bytes(), None, NOW).unwrap();
    assert!(history.latest().parameters.deactivated);
    assert_ne!(history.did(), history.versions()[0].document.id());
}
