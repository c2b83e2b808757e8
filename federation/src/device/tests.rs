//! Keys and signatures are judged by pairs that the tests make.

use ruma::{
    signatures::{Ed25519KeyPair, sign_json},
    user_id,
};
use serde_json::json;

use super::*;

/// A key pair whose public half is known.
struct Pair {
    seed: [u8; 32],
    public: String,
}

impl Pair {
    fn of(seed: u8) -> Self {
        let seed = [seed; 32];
        let pair = Self::pair(seed, "x");
        let public = Base64::<ruma::serde::base64::Standard, _>::new(pair.public_key()).encode();
        Self { seed, public }
    }

    fn pair(seed: [u8; 32], name: &str) -> Ed25519KeyPair {
        // RFC 8410: version 0, algorithm 1.3.101.112, the seed as a nested octet string.
        let mut document =
            b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        document.extend(seed);
        Ed25519KeyPair::from_der(&document, name.to_owned()).unwrap()
    }

    /// The record signed by this key under a name.
    fn sign(&self, signer: &UserId, name: &str, record: &serde_json::Value) -> String {
        let mut object = canonical::parse_object(&record.to_string()).unwrap();
        sign_json(signer.as_str(), &Self::pair(self.seed, name), &mut object).unwrap();
        canonical::to_string(&object)
    }
}

fn key_of(pair: &Pair, usage: &str) -> serde_json::Value {
    let id = format!("ed25519:{}", pair.public);
    json!({ "user_id": "@ann:a.test", "usage": [usage], "keys": { id: pair.public } })
}

#[test]
fn a_key_counts_when_the_master_key_signed_it_and_not_otherwise() {
    let ann = user_id!("@ann:a.test");
    let (master, own, other) = (Pair::of(1), Pair::of(2), Pair::of(3));
    let top = PersonKey::read(&key_of(&master, "master").to_string(), ann, Usage::Master).unwrap();
    assert_eq!(top.public_key, master.public);
    let below = |signer: &Pair, name: &str| {
        let json = signer.sign(ann, name, &key_of(&own, "self_signing"));
        PersonKey::read(&json, ann, Usage::SelfSigning).unwrap()
    };
    below(&master, &master.public).must_be_signed_by(ann, &top).unwrap();
    let wrong = Err(RecordError::BadSignature("the person's master key"));
    assert_eq!(below(&other, &master.public).must_be_signed_by(ann, &top), wrong);
    assert_eq!(below(&master, &other.public).must_be_signed_by(ann, &top), wrong);
    let unsigned = key_of(&own, "self_signing").to_string();
    let unsigned = PersonKey::read(&unsigned, ann, Usage::SelfSigning).unwrap();
    assert_eq!(unsigned.must_be_signed_by(ann, &top), wrong);
}

#[test]
fn a_key_of_a_person_is_one_key_named_by_itself_for_what_it_is_sent_for() {
    let ann = user_id!("@ann:a.test");
    let pair = Pair::of(1);
    let good = key_of(&pair, "master");
    let with = |name: &str, value: serde_json::Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    let id = format!("ed25519:{}", pair.public);
    let other = Pair::of(2).public;
    let bad = [
        with("user_id", "@bob:a.test".into()),
        with("usage", json!(["self_signing"])),
        with("usage", "master".into()),
        with("keys", json!({})),
        with("keys", json!({ id.clone(): other })),
        with("keys", json!({ "ed25519:x": "x" })),
        with("keys", json!({ id.clone(): pair.public, "ed25519:x": "x" })),
        with("keys", json!([])),
        with("keys", json!({ "curve25519:x": pair.public })),
        json!([]),
    ];
    for key in bad {
        assert!(PersonKey::read(&key.to_string(), ann, Usage::Master).is_err(), "{key}");
    }
    assert!(PersonKey::read(&good.to_string(), ann, Usage::Master).is_ok());
    let long = with("more", "x".repeat(RECORD_BYTES).into()).to_string();
    assert!(PersonKey::read(&long, ann, Usage::Master).is_err());
}

#[test]
fn a_device_gains_signatures_and_stays_what_it_is() {
    let ann = user_id!("@ann:a.test");
    let (device, own) = (Pair::of(1), Pair::of(2));
    let plain = json!({
        "user_id": ann, "device_id": "PHONE", "algorithms": ["m.megolm.v1.aes-sha2"],
        "keys": { "ed25519:PHONE": device.public },
    });
    let stored = Record::read_device(&device.sign(ann, "PHONE", &plain), ann, "PHONE").unwrap();
    assert!(stored.is_signed_by(ann, "PHONE", stored.device_key("PHONE").unwrap()));
    let again = Record::read(&own.sign(ann, &own.public, &plain), ann).unwrap();
    assert!(again.says_the_same(&stored));
    assert_eq!(again.signed_with(ann).collect::<Vec<_>>(), [own.public.as_str()]);
    assert!(again.is_signed_by(ann, &own.public, &own.public));
    let signature = again.signature(ann, &own.public).unwrap();
    let both = stored.clone().signed([(ann, own.public.as_str(), signature)]);
    assert!(both.is_signed_by(ann, &own.public, &own.public));
    assert!(both.is_signed_by(ann, "PHONE", &device.public));
    let named = both.with_device_name(Some("my phone"));
    assert!(named.json().contains(r#""unsigned":{"device_display_name":"my phone"}"#));
    assert!(named.is_signed_by(ann, "PHONE", &device.public), "what is unsigned is not signed");
    let mut changed = plain;
    changed["algorithms"] = json!([]);
    assert!(!Record::read(&changed.to_string(), ann).unwrap().says_the_same(&stored));
    assert!(Record::read_device(&stored.json(), ann, "DESK").is_err());
    assert!(Record::read_device(&stored.json(), user_id!("@bob:a.test"), "PHONE").is_err());
}

#[test]
fn a_key_to_be_given_away_has_its_form() {
    for good in [
        r#""abc""#,
        r#"{"key":"abc"}"#,
        r#"{"key":"abc","fallback":true,"signatures":{"@ann:a.test":{"ed25519:X":"s"}}}"#,
    ] {
        check_one_time_key(good).unwrap();
    }
    for bad in [
        "7",
        "[]",
        "{}",
        r#"{"key":7}"#,
        r#"{"key":"abc","fallback":"yes"}"#,
        r#"{"key":"abc","more":1.5}"#,
        r#"{"key":"abc","signatures":[]}"#,
        r#"{"key":"abc","signatures":{"@ann:a.test":"s"}}"#,
        r#"{"key":"abc","signatures":{"@ann:a.test":{"ed25519:X":7}}}"#,
    ] {
        assert!(check_one_time_key(bad).is_err(), "{bad}");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let ann = user_id!("@ann:a.test");
    bolero::check!().with_type::<(String, String, u8)>().for_each(|(text, name, kind)| {
        let usage = Usage::ALL[usize::from(kind % 3)];
        for json in [
            text.clone(),
            json!({ "user_id": ann, "keys": { name: text }, "signatures": { ann: { name: text } } })
                .to_string(),
            json!({ "user_id": ann, "keys": text, "signatures": { ann: text }, "unsigned": text })
                .to_string(),
        ] {
            let _whatever_it_is = (PersonKey::read(&json, ann, usage), check_one_time_key(&json));
            if let Ok(record) = Record::read(&json, ann) {
                let _whatever_it_is = record.is_signed_by(ann, name, text);
                let signed = record.signed([(ann, name.as_str(), text.as_str())]);
                assert!(!signed.with_device_name(Some(text)).json().is_empty());
            }
        }
    });
}
