//! The vectors of W3C for Data Integrity by `EdDSA`: texts, hashes, signatures, sets and chains.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{corpus, read_json};
use crate::{
    json::canonical,
    key::PublicKey,
    proof::{Cryptosuite, Proof, ProofError},
    rdf::{self, Contexts},
};

/// What only the vectors use: the examples of W3C, and the part of the vocabulary of citizenship that
/// the employment authorisation needs.
fn contexts() -> Contexts {
    const DATE: &str = "http://www.w3.org/2001/XMLSchema#dateTime";
    let schema = |name: &str| format!("https://schema.org/{name}");
    let own = |name: &str| format!("https://w3id.org/citizenship#{name}");
    let person = json!({
        "@protected": true,
        "additionalName": schema("additionalName"), "familyName": schema("familyName"),
        "gender": schema("gender"), "givenName": schema("givenName"),
        "birthCountry": own("birthCountry"),
        "birthDate": { "@id": schema("birthDate"), "@type": DATE },
        "image": { "@id": schema("image"), "@type": "@id" },
    });
    let employable = json!({
        "@protected": true,
        "employmentAuthorizationDocument":
            { "@id": own("employmentAuthorizationDocument"), "@type": "@id" },
        "residentSince": { "@id": own("residentSince"), "@type": DATE },
    });
    let authorisation = json!({
        "@protected": true,
        "identifier": schema("identifier"),
        "lprCategory": own("lprCategory"), "lprNumber": own("lprNumber"),
    });
    let document = own("EmploymentAuthorizationDocument");
    let citizenship = json!({ "@context": {
        "@protected": true,
        "image": { "@id": schema("image"), "@type": "@id" },
        "Person": { "@id": schema("Person"), "@context": person },
        "EmployablePerson": { "@id": own("EmployablePerson"), "@context": employable },
        "EmploymentAuthorizationDocument": { "@id": document, "@context": authorisation },
        "EmploymentAuthorizationDocumentCredential":
            own("EmploymentAuthorizationDocumentCredential"),
    } });
    let examples =
        json!({ "@context": { "@vocab": "https://www.w3.org/ns/credentials/examples#" } });
    Contexts::from([
        ("https://www.w3.org/ns/credentials/examples/v2".to_owned(), examples),
        ("https://w3id.org/citizenship/v4rc1".to_owned(), citizenship),
    ])
}

/// The key that a proof of the vectors names: a did:key with itself behind.
fn key(proof: &Proof) -> PublicKey {
    let method = proof.verification_method();
    PublicKey::from_multikey(method.split_once('#').unwrap().1).unwrap()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn sha256(text: &str) -> String {
    let hash = Sha256::digest(text);
    hash.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from_digit(digit.into(), 16).unwrap())
        .collect()
}

/// A suite with its texts: each of the two halves, their hashes, and the signed document.
fn check(folder: &Path, suffix: &str, unsigned: &str, suite: Cryptosuite) {
    let of = format!("{} {suffix}", folder.display());
    let file = |name: &str| text(&folder.join(format!("{name}{suffix}.txt")));
    let write = |value: &Value| match suite {
        Cryptosuite::EddsaJcs2022 => canonical(value),
        _ => rdf::canonical_with(value, &contexts()).unwrap(),
    };
    let mut bare = read_json(&folder.join(format!("signed{suffix}.json")));
    let proofs = Proof::take_from(&mut bare).unwrap();
    let mut plain = read_json(&folder.join(unsigned));
    // The suite of 2020 brings a context of its own, which its signed document names besides.
    plain["@context"] = bare["@context"].clone();
    assert_eq!(bare, plain, "{of}");
    let options = read_json(&folder.join(format!("proofConfig{suffix}.json")));
    assert_eq!(write(&bare), file("canonDoc"), "{of}");
    assert_eq!(write(&options), file("proofCanon"), "{of}");
    assert_eq!(sha256(&write(&bare)), file("docHash").trim(), "{of}");
    assert_eq!(sha256(&write(&options)), file("proofHash").trim(), "{of}");
    let both = sha256(&write(&options)) + &sha256(&write(&bare));
    assert_eq!(both, file("combinedHash").trim(), "{of}");
    let [proof] = &proofs[..] else { panic!("{of}: one proof") };
    assert_eq!(proof.suite(), suite, "{of}");
    proof.verify_with(&bare, &key(proof), &contexts()).unwrap();
    bare["validFrom"] = json!("2033-01-01T00:00:00Z");
    let changed = proof.verify_with(&bare, &key(proof), &contexts());
    assert_eq!(changed, Err(ProofError::BadSignature), "{of}");
    println!("{of}: ok");
}

fn folder(test: &str) -> Option<PathBuf> {
    corpus("vc-di-eddsa-vectors", test)
}

#[test]
fn vectors_of_eddsa_jcs_2022() {
    let Some(folder) = folder("vectors_of_eddsa_jcs_2022") else { return };
    let suite = Cryptosuite::EddsaJcs2022;
    check(&folder.join("eddsa-jcs-2022"), "JCS", "../unsigned.json", suite);
}

#[test]
fn vectors_of_eddsa_rdfc_2022() {
    let Some(folder) = folder("vectors_of_eddsa_rdfc_2022") else { return };
    let (folder, suite) = (folder.join("eddsa-rdfc-2022"), Cryptosuite::EddsaRdfc2022);
    check(&folder, "DataInt", "../unsigned.json", suite);
    check(&folder.join("employ"), "DataInt", "../../employmentAuth.json", suite);
}

#[test]
fn vectors_of_ed25519_signature_2020() {
    let Some(folder) = folder("vectors_of_ed25519_signature_2020") else { return };
    let suite = Cryptosuite::Ed25519Signature2020;
    check(&folder.join("Ed25519Signature2020"), "EdSig", "../unsigned.json", suite);
}

#[test]
fn vectors_of_proof_sets_and_chains() {
    let Some(folder) = folder("vectors_of_proof_sets_and_chains") else { return };
    for (file, count, chained) in [
        ("signedProofSet1.json", 1, 0),
        ("signedProofSet2.json", 2, 0),
        ("signedProofChain1.json", 3, 1),
        ("signedProofChain2.json", 4, 2),
    ] {
        let mut bare = read_json(&folder.join("proof-set-chain").join(file));
        let proofs = Proof::take_from(&mut bare).unwrap();
        assert_eq!(proofs.len(), count, "{file}");
        let mut alone = 0;
        for proof in &proofs {
            let covered = proof.covered(&bare, &proofs).unwrap();
            proof.verify_with(&covered, &key(proof), &contexts()).unwrap();
            alone += usize::from(covered == bare);
            // Without the proofs that it stands on, it stands on nothing.
            let torn = proof
                .covered(&bare, &[])
                .and_then(|covered| proof.verify_with(&covered, &key(proof), &contexts()));
            assert_eq!(torn.is_ok(), covered == bare, "{file}");
        }
        assert_eq!(count - alone, chained, "{file}");
        println!("{file}: ok");
    }
}
