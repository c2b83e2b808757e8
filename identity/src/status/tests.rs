//! Lists that say what they say, and those that must not be believed.

use std::io::Write;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::{
    Bitstring, Entry, MOST_BYTES, Publication, Status, StatusError, StatusList, StatusPurpose,
};
use crate::{
    credential::{Credential, CredentialError, Draft, secured},
    did::Document,
    jose,
    key::SigningKey,
    rdf::Contexts,
    time::Moment,
};

const NODE: &str = "did:web:a.example";
const OTHER: &str = "did:web:e.example";
const URL: &str = "https://a.example/status/3";
const NOW: Moment = Moment(1_700_000_000_000);
const MINUTE_MS: i64 = 60_000;

fn key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn method(did: &str) -> String {
    format!("{did}#word")
}

fn document(did: &str) -> Document {
    let method = json!({"id": method(did), "type": "Multikey", "controller": did,
        "publicKeyMultibase": key().public().to_multikey()});
    let value = json!({"id": did, "verificationMethod": [method], "assertionMethod": ["#word"]});
    Document::from_value(value).unwrap()
}

fn credential(status: Value) -> Credential {
    let draft = Draft {
        issuer: json!(NODE),
        types: &["HomeMembership"],
        subject: json!({"id": "did:web:a.example:people:ada"}),
        from: NOW,
        until: None,
        status: Some(status),
    };
    Credential::read(&draft.signed(&method(NODE), &key())).unwrap()
}

fn entry(purpose: StatusPurpose, index: usize) -> Entry {
    Entry::new(purpose, index, URL).unwrap()
}

fn revocation(index: usize) -> Entry {
    entry(StatusPurpose::Revocation, index)
}

fn published(did: &str, purpose: StatusPurpose, bits: &Bitstring) -> Value {
    let publication = Publication {
        url: URL,
        issuer: json!(did),
        purpose,
        bits,
        from: NOW,
        until: Some(NOW.plus_ms(60 * MINUTE_MS)),
        ttl_ms: None,
    };
    publication.signed(&method(did), &key())
}

/// A list of which members of the subject are others, signed again.
fn changed(more: Value) -> Value {
    let mut list = published(NODE, StatusPurpose::Revocation, &Bitstring::new(0));
    list.as_object_mut().unwrap().remove("proof");
    let Value::Object(more) = more else { panic!("members") };
    for (name, value) in more {
        list["credentialSubject"][name] = value;
    }
    secured(list, NOW, &method(NODE), &key())
}

fn read(list: &Value) -> Result<StatusList, StatusError> {
    StatusList::read(&Credential::read(list)?, &document(NODE), NOW)
}

fn judged(list: &StatusList, entry: &Entry) -> Result<Status, StatusError> {
    list.judge(entry, &credential(entry.to_value()), NOW)
}

fn packed(bytes: &[u8]) -> String {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    format!("u{}", URL_SAFE_NO_PAD.encode(packed.finish().unwrap()))
}

#[test]
fn what_an_issuer_took_back_is_told() {
    let mut bits = Bitstring::new(0);
    bits.set(94_567, true).unwrap();
    let revoking = read(&published(NODE, StatusPurpose::Revocation, &bits)).unwrap();
    assert_eq!(judged(&revoking, &revocation(94_567)), Ok(Status::Revoked));
    for good in [0, 94_566, 94_568, Bitstring::LEAST - 1] {
        assert_eq!(judged(&revoking, &revocation(good)), Ok(Status::Good), "{good}");
    }
    let suspending = read(&published(NODE, StatusPurpose::Suspension, &bits)).unwrap();
    let suspended = entry(StatusPurpose::Suspension, 94_567);
    assert_eq!(judged(&suspending, &suspended), Ok(Status::Suspended));
    bits.set(94_567, false).unwrap();
    let given_back = read(&published(NODE, StatusPurpose::Suspension, &bits)).unwrap();
    assert_eq!(judged(&given_back, &suspended), Ok(Status::Good));
    let mut bare = published(NODE, StatusPurpose::Suspension, &bits);
    bare.as_object_mut().unwrap().remove("proof");
    let token = jose::sign(&bare, jose::Kind::Credential, &method(NODE), &key());
    assert!(read(&json!(token)).is_ok(), "a list in a token is as good");
}

/// The examples of the Recommendation (sections 2.1 and 2.2).
#[test]
fn examples_of_bitstring_status_lists() {
    let encoded = "uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA";
    let bits = Bitstring::decode(encoded).unwrap();
    assert_eq!(bits, Bitstring::new(Bitstring::LEAST));
    assert_eq!(Bitstring::decode(&bits.encode()), Ok(bits));
    let example = json!({
        "@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/examples/v2"],
        "id": "https://example.com/credentials/23894672394",
        "type": ["VerifiableCredential", "EmployeeIdCredential"],
        "issuer": "did:example:12345",
        "validFrom": "2024-04-05T14:27:42Z",
        "credentialStatus": [{
            "id": "https://example.com/credentials/status/3#94567",
            "type": "BitstringStatusListEntry",
            "statusPurpose": "revocation",
            "statusListIndex": "94567",
            "statusListCredential": "https://example.com/credentials/status/3"
        }, {
            "id": "https://example.com/credentials/status/4#23452",
            "type": "BitstringStatusListEntry",
            "statusPurpose": "suspension",
            "statusListIndex": "23452",
            "statusListCredential": "https://example.com/credentials/status/4"
        }],
        "credentialSubject": {"id": "did:example:6789", "type": "Person", "employeeId": "A-123456"}
    });
    let vocabulary =
        json!({ "@context": { "@vocab": "https://www.w3.org/ns/credentials/examples#" } });
    let contexts =
        Contexts::from([("https://www.w3.org/ns/credentials/examples/v2".to_owned(), vocabulary)]);
    let example = Credential::read_with(&example, &contexts).unwrap();
    let [revoked, suspended]: [Entry; 2] = Entry::all(&example).unwrap().try_into().unwrap();
    assert_eq!((revoked.purpose(), revoked.index), (StatusPurpose::Revocation, 94_567));
    assert_eq!((suspended.purpose(), suspended.index), (StatusPurpose::Suspension, 23_452));
    assert_eq!(revoked.list(), "https://example.com/credentials/status/3");
    assert_eq!(&revoked.to_value(), &example.statuses()[0]);
    let list = json!({
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "id": "https://example.com/credentials/status/3",
        "type": ["VerifiableCredential", "BitstringStatusListCredential"],
        "issuer": NODE,
        "validFrom": "2021-04-05T14:27:40Z",
        "credentialSubject": {
            "id": "https://example.com/status/3#list",
            "type": "BitstringStatusList",
            "statusPurpose": "revocation",
            "encodedList": encoded,
        }
    });
    let list = read(&secured(list, NOW, &method(NODE), &key())).unwrap();
    assert_eq!(judged(&list, &revoked), Ok(Status::Good));
    assert_eq!(list.until(), NOW.plus_ms(5 * MINUTE_MS));
}

#[test]
fn an_entry_that_does_not_say_where_is_refused() {
    let good = revocation(7).to_value();
    assert_eq!(Entry::all(&credential(good.clone())), Ok(vec![revocation(7)]));
    for (member, value) in [
        ("statusListIndex", json!(7)),
        ("statusListIndex", json!("-7")),
        ("statusListIndex", json!("+7")),
        ("statusListIndex", json!("07")),
        ("statusListIndex", json!("")),
        ("statusListIndex", json!("7 ")),
        ("statusListIndex", json!("99999999999999999999999")),
        ("statusListCredential", json!("http://a.example/status/3")),
        ("statusListCredential", json!("https://u@a.example/status/3")),
        ("statusListCredential", json!("https://a.example/status/3#list")),
        ("statusListCredential", json!("did:web:a.example")),
        ("statusListCredential", json!(format!("https://a.example/{}", "x".repeat(9_000)))),
        ("statusListCredential", json!(["https://a.example/status/3"])),
        ("statusPurpose", json!(["revocation"])),
        ("id", json!(URL)),
        ("statusSize", json!(2)),
        ("statusSize", json!("1")),
        ("statusSize", json!(0)),
    ] {
        let mut changed = good.clone();
        changed[member] = value;
        let refused = Entry::all(&credential(changed.clone()));
        assert!(matches!(refused, Err(StatusError::Malformed(_))), "{changed}");
    }
    for member in ["statusListIndex", "statusListCredential", "statusPurpose"] {
        let mut changed = good.clone();
        changed.as_object_mut().unwrap().remove(member);
        assert!(Entry::all(&credential(changed)).is_err(), "{member}");
    }
    for (member, value) in [
        ("type", json!("EnvelopedVerifiableCredential")),
        ("statusPurpose", json!("message")),
        ("statusPurpose", json!("refresh")),
    ] {
        let mut other = good.clone();
        other["statusSize"] = json!(if member == "type" { 1 } else { 2 });
        other[member] = value;
        assert_eq!(Entry::all(&credential(other)), Ok(Vec::new()));
    }
}

#[test]
fn a_list_that_is_none_or_too_large_is_refused() {
    let malformed = |encoded: &str| {
        let refused = Bitstring::decode(encoded);
        assert!(matches!(refused, Err(StatusError::Malformed(_))), "{encoded:.40}: {refused:?}");
    };
    let good = Bitstring::new(0).encode();
    let bytes = URL_SAFE_NO_PAD.decode(&good[1..]).unwrap();
    let again = |bytes: &[u8]| format!("u{}", URL_SAFE_NO_PAD.encode(bytes));
    for text in ["", "u", "H4sI", "zH4sI", "u====", "uAAAA", &good[1..], &good[..good.len() - 4]] {
        malformed(text);
    }
    malformed(&again(&[&bytes[..], b"more"].concat()));
    malformed(&again(&[&bytes[..], &bytes[..]].concat()));
    malformed(&format!("u{}", "A".repeat(23 * 1_024 * 1_024)));
    // A bomb: 16 KiB of text for 16 MiB and one byte of zeroes.
    let bomb = packed(&vec![0; MOST_BYTES + 1]);
    assert!(bomb.len() < 32 * 1_024);
    malformed(&bomb);
    assert!(Bitstring::decode(&packed(&vec![0; MOST_BYTES])).is_ok());
    let least = Bitstring::LEAST / 8;
    assert_eq!(Bitstring::decode(&packed(&vec![0; least - 1])), Err(StatusError::Short));
    assert_eq!(Bitstring::decode(&packed(&[])), Err(StatusError::Short));
    assert!(Bitstring::decode(&packed(&vec![0; least])).is_ok());
    for more in [
        json!({"type": "Person"}),
        json!({"statusPurpose": 1}),
        json!({"statusPurpose": vec!["revocation"; 17]}),
        json!({"ttl": -1}),
        json!({"ttl": "300000"}),
        json!({"encodedList": ["u"]}),
    ] {
        let refused = read(&changed(more.clone()));
        assert!(matches!(refused, Err(StatusError::Malformed(_))), "{more}");
    }
    let word = credential(revocation(7).to_value());
    let refused = StatusList::read(&word, &document(NODE), NOW);
    assert!(matches!(refused, Err(StatusError::Malformed(_))), "a word is no list");
}

#[test]
fn a_list_that_was_not_asked_for_tells_nothing() {
    let bits = Bitstring::new(0);
    let list = read(&published(NODE, StatusPurpose::Revocation, &bits)).unwrap();
    let beyond = Bitstring::LEAST;
    assert_eq!(judged(&list, &revocation(beyond)), Err(StatusError::Beyond(beyond)));
    assert_eq!(judged(&list, &revocation(usize::MAX)), Err(StatusError::Beyond(usize::MAX)));
    let suspended = judged(&list, &entry(StatusPurpose::Suspension, 7));
    assert_eq!(suspended, Err(StatusError::OtherPurpose("suspension")));
    let elsewhere = Entry::new(StatusPurpose::Revocation, 7, "https://a.example/status/4").unwrap();
    assert_eq!(judged(&list, &elsewhere), Err(StatusError::OtherList(URL.to_owned())));
    let several = read(&changed(json!({"statusPurpose": ["suspension", "refresh"]}))).unwrap();
    assert_eq!(judged(&several, &entry(StatusPurpose::Suspension, 7)), Ok(Status::Good));
    assert_eq!(judged(&several, &revocation(7)), Err(StatusError::OtherPurpose("revocation")));

    let foreign = Credential::read(&published(OTHER, StatusPurpose::Revocation, &bits)).unwrap();
    let refused = StatusList::read(&foreign, &document(NODE), NOW).unwrap_err();
    assert!(matches!(refused, StatusError::List(CredentialError::OtherIssuer(_))), "{refused}");
    let foreign = StatusList::read(&foreign, &document(OTHER), NOW).unwrap();
    assert_eq!(judged(&foreign, &revocation(7)), Err(StatusError::OtherIssuer(OTHER.to_owned())));
    let mut torn = published(NODE, StatusPurpose::Revocation, &bits);
    torn["credentialSubject"]["encodedList"] = json!(Bitstring::new(Bitstring::LEAST + 8).encode());
    assert!(matches!(read(&torn), Err(StatusError::List(CredentialError::Proof(_)))));
}

#[test]
fn a_list_is_kept_as_long_as_it_says() {
    let at = |list: &StatusList, minutes: i64| {
        let entry = revocation(7);
        list.judge(&entry, &credential(entry.to_value()), NOW.plus_ms(minutes * MINUTE_MS))
    };
    for (more, minutes) in [
        (json!({}), 5),
        (json!({"ttl": 600_000}), 10),
        (json!({"ttl": 0}), 0),
        // The list itself ends in an hour, by a clock that may be five minutes off.
        (json!({"ttl": i64::MAX / 2_048}), 65),
    ] {
        let list = read(&changed(more.clone())).unwrap();
        assert_eq!(list.until(), NOW.plus_ms(minutes * MINUTE_MS), "{more}");
        assert_eq!(at(&list, minutes), Ok(Status::Good), "{more}");
        let old = at(&list, minutes + 1);
        assert!(matches!(old, Err(StatusError::Old(_))), "{more}: {old:?}");
    }
    let list = Credential::read(&published(NODE, StatusPurpose::Revocation, &Bitstring::new(0)));
    let late = StatusList::read(&list.unwrap(), &document(NODE), NOW.plus_ms(70 * MINUTE_MS));
    assert!(matches!(late, Err(StatusError::List(CredentialError::Late(_)))));
}

#[test]
fn whatever_is_read_as_a_list_never_panics() {
    let good = Bitstring::new(0).encode();
    bolero::check!().with_type::<(u16, u8, Vec<u8>)>().for_each(|(at, byte, random)| {
        let mut damaged = good.clone().into_bytes();
        let at = usize::from(*at) % damaged.len();
        damaged[at] = *byte;
        let _read = Bitstring::decode(&String::from_utf8_lossy(&damaged));
        let _read = Bitstring::decode(&format!("u{}", URL_SAFE_NO_PAD.encode(random)));
        if let Ok(bits) = Bitstring::decode(&packed(random)) {
            assert_eq!(Bitstring::decode(&bits.encode()), Ok(bits));
        }
    });
}
