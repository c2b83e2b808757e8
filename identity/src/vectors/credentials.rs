//! The inputs of the W3C test suite for the data model of credentials: each is one, or is refused.

use std::path::Path;

use serde_json::{Value, json};

use super::{corpus, entries, name, read_json};
use crate::{
    credential::{Credential, CredentialError, presented},
    rdf::Contexts,
};

/// The suite has whoever is tested put their name to what it hands them: so does this.
fn issued(file: &str, mut value: Value) -> Value {
    if file.contains("no-issuer") {
        return value;
    }
    // Of two files the suite writes the dates itself, the one before the other.
    let [early, late] = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"];
    match file {
        "credential-validUntil-validFrom-ok.json" => {
            (value["validFrom"], value["validUntil"]) = (early.into(), late.into());
        }
        "credential-validUntil-validFrom-fail.json" => {
            (value["validFrom"], value["validUntil"]) = (late.into(), early.into());
        }
        _ => {}
    }
    match value.get_mut("issuer") {
        None => value["issuer"] = json!("did:example:issuer"),
        Some(Value::Object(issuer)) if !issuer.contains_key("id") => {
            issuer.insert("id".to_owned(), json!("did:example:issuer"));
        }
        Some(_) => {}
    }
    value
}

fn read(file: &str, path: &Path) -> Result<(), CredentialError> {
    let examples =
        json!({ "@context": { "@vocab": "https://www.w3.org/ns/credentials/examples#" } });
    let contexts =
        Contexts::from([("https://www.w3.org/ns/credentials/examples/v2".to_owned(), examples)]);
    let value = read_json(path);
    if file.starts_with("presentation-") {
        return presented(&value, &contexts).map(drop);
    }
    Credential::read_with(&issued(file, value), &contexts).map(drop)
}

#[test]
fn vectors_of_the_data_model_of_credentials() {
    let Some(folder) = corpus("vc-data-model-2.0-inputs", "the inputs of the data model") else {
        return;
    };
    let (mut taken, mut refused) = (0, 0);
    let below = entries(&folder.join("names-and-descriptions"));
    for path in entries(&folder).into_iter().chain(below) {
        let file = name(&path);
        if path.extension().is_none_or(|kind| kind != "json") {
            continue;
        }
        let result = read(&file, &path);
        // Of three the suite says nothing: whose word it is, is not told by the data model.
        if file.contains("-fail") {
            assert!(result.is_err(), "{file} was taken");
            refused += 1;
        } else {
            assert_eq!(result, Ok(()), "{file}");
            taken += 1;
        }
        println!("{file}: {}", result.err().map_or("taken".to_owned(), |why| why.to_string()));
    }
    assert_eq!((taken, refused), (68, 52));
}
