//! Proofs made and verified, and all that breaks them.

use serde_json::{Value, json};

use super::{Claims, Cryptosuite, Proof, ProofError, Purpose};
use crate::{key::SigningKey, time::Moment};

fn key() -> SigningKey {
    SigningKey::from_seed([3; 32])
}

fn claims() -> Claims<'static> {
    Claims {
        verification_method: "did:web:example.org#key",
        purpose: Purpose::Authentication,
        created: Moment(1_000_000),
        expires: Some(Moment(2_000_000)),
        domain: Some("example.org"),
        challenge: Some("abc"),
    }
}

fn document() -> Value {
    json!({"@context": ["https://www.w3.org/ns/credentials/v2"], "name": "Ada", "born": 1815})
}

#[test]
fn a_proof_stands_over_its_document_by_its_key() {
    let signed = Proof::sign(&document(), &claims(), &key());
    let proof = Proof::read(&signed).unwrap();
    assert_eq!(proof.verify(&document(), &key().public()), Ok(()));
    assert_eq!((proof.domain(), proof.challenge()), (Some("example.org"), Some("abc")));
    assert_eq!(proof.purpose(), Purpose::Authentication);
    assert_eq!(proof.verification_method(), "did:web:example.org#key");
    let other = SigningKey::from_seed([4; 32]).public();
    assert_eq!(proof.verify(&document(), &other), Err(ProofError::BadSignature));
    let agreeing = key().public().to_x25519().unwrap();
    assert_eq!(proof.verify(&document(), &agreeing), Err(ProofError::OtherKind));
}

#[test]
fn whatever_changes_breaks_it() {
    let signed = Proof::sign(&document(), &claims(), &key());
    let mut changed = document();
    changed["born"] = 1816.into();
    let verify = |proof: &Value, document: &Value| {
        Proof::read(proof).and_then(|proof| proof.verify(document, &key().public()))
    };
    assert_eq!(verify(&signed, &changed), Err(ProofError::BadSignature));
    for (member, value) in [
        ("created", json!("1970-01-01T00:16:41Z")),
        ("expires", json!("1970-01-02T00:00:00Z")),
        ("domain", json!("example.com")),
        ("challenge", json!("abd")),
        ("verificationMethod", json!("did:web:example.com#key")),
        ("proofPurpose", json!("assertionMethod")),
        ("nonce", json!("more")),
        // A signature of the right length, though nobody's.
        ("proofValue", json!(format!("z{}", "1".repeat(64)))),
    ] {
        let mut signed = signed.clone();
        signed[member] = value;
        assert_eq!(verify(&signed, &document()), Err(ProofError::BadSignature), "{member}");
    }
}

#[test]
fn contexts_may_come_after_those_of_the_proof_alone() {
    let signed = Proof::sign(&document(), &claims(), &key());
    let proof = Proof::read(&signed).unwrap();
    let with = |context: Value| {
        let mut document = document();
        document["@context"] = context;
        proof.verify(&document, &key().public())
    };
    let v2 = "https://www.w3.org/ns/credentials/v2";
    assert_eq!(with(json!([v2])), Ok(()));
    assert_eq!(with(json!([v2, "https://example.org/later"])), Ok(()));
    for context in [json!(["https://example.org/earlier", v2]), json!([]), json!({"a": v2})] {
        assert_eq!(with(context), Err(ProofError::OtherContext));
    }
    let mut without = document();
    without.as_object_mut().unwrap().remove("@context");
    assert_eq!(proof.verify(&without, &key().public()), Err(ProofError::OtherContext));
}

#[test]
fn its_time_is_between_its_dates() {
    let proof = Proof::read(&Proof::sign(&document(), &claims(), &key())).unwrap();
    for (now, skew, current) in [
        (1_000_000, 0, true),
        (2_000_000, 0, true),
        (2_000_001, 0, false),
        (2_000_001, 1, true),
        (999_999, 0, false),
        (999_999, 1, true),
    ] {
        assert_eq!(proof.is_current(Moment(now), skew).is_ok(), current, "{now} {skew}");
    }
}

#[test]
fn suites_over_rdf_sign_what_is_defined_alone() {
    let mut credential = json!({
        "@context": ["https://www.w3.org/ns/credentials/v2", "https://w3id.org/security/data-integrity/v2"],
        "type": ["VerifiableCredential"],
        "issuer": "did:web:a.example",
        "credentialSubject": {"id": "did:web:b.example"},
    });
    let suite = Cryptosuite::EddsaRdfc2022;
    let signed = Proof::sign_rdf(suite, &credential, &claims(), &key()).unwrap();
    let proof = Proof::read(&signed).unwrap();
    assert_eq!(proof.suite(), suite);
    assert_eq!(proof.verify(&credential, &key().public()), Ok(()));
    credential["issuer"] = json!("did:web:c.example");
    assert_eq!(proof.verify(&credential, &key().public()), Err(ProofError::BadSignature));
    // The same statement under a name that no reader looks for.
    let key = key();
    for (name, value) in [
        ("https://www.w3.org/2018/credentials#validUntil", json!("2027-01-01T00:00:00Z")),
        ("@id", json!("urn:x:1")),
    ] {
        let mut hidden = credential.clone();
        hidden[name] = value;
        let signed = Proof::sign_rdf(suite, &hidden, &claims(), &key);
        assert!(matches!(signed, Err(ProofError::Malformed(_))), "{name}: {signed:?}");
    }
    credential["friends"] = json!(7);
    let undefined = Proof::sign_rdf(suite, &credential, &claims(), &key);
    assert!(matches!(undefined, Err(ProofError::NotRdf(_))), "{undefined:?}");
}

#[test]
fn what_is_no_proof_is_refused() {
    let good = Proof::sign(&document(), &claims(), &key());
    for (member, value) in [
        ("type", json!("Ed25519Signature2020")),
        ("cryptosuite", json!("ecdsa-rdfc-2019")),
        ("cryptosuite", json!(["eddsa-jcs-2022"])),
        ("proofPurpose", json!("friendship")),
        ("proofValue", json!("z")),
        ("proofValue", json!("uAAAA")),
        ("created", json!("yesterday")),
        ("expires", json!(7)),
        ("verificationMethod", json!("a".repeat(3_000))),
        ("verificationMethod", Value::Null),
    ] {
        let mut proof = good.clone();
        proof[member] = value;
        assert!(Proof::read(&proof).is_err(), "{proof}");
    }
    for member in ["type", "cryptosuite", "proofPurpose", "proofValue", "verificationMethod"] {
        let mut proof = good.clone();
        proof.as_object_mut().unwrap().remove(member);
        assert!(Proof::read(&proof).is_err(), "{member}");
    }
    for proof in [json!([]), json!("x"), Value::Null, json!(vec![good.clone(); 17])] {
        let mut document = document();
        document["proof"] = proof;
        assert!(Proof::take_from(&mut document).is_err());
    }
    for proof in [good.clone(), json!([good.clone(), good])] {
        let mut whole = document();
        whole["proof"] = proof;
        assert!(!Proof::take_from(&mut whole).unwrap().is_empty());
        assert_eq!(whole, document());
    }
}
