//! Documents that have a canonical text, and those that must not.

use super::{Contexts, Error, MAX_DEPTH, bundled, canonical, canonical_with};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const V2: &str = "https://www.w3.org/ns/credentials/v2";
const DATE: &str = "http://www.w3.org/2001/XMLSchema#dateTime";

fn credential() -> Value {
    json!({
        "@context": [V2],
        "id": "urn:uuid:1",
        "type": ["VerifiableCredential"],
        "issuer": "did:example:issuer",
        "validFrom": "2026-01-01T00:00:00Z",
        "credentialSubject": { "id": "did:example:subject", "https://e.test/age": 42 },
    })
}

fn with(member: &str, value: Value) -> Result<String, Error> {
    let mut document = credential();
    document[member] = value;
    canonical(&document)
}

/// Nodes without an id, each linked with those that `links` names.
fn nodes(count: usize, links: impl Fn(usize) -> Vec<usize>) -> Value {
    let node = |n: usize| json!({ "@id": format!("_:n{n}") });
    let linked = |n| {
        let mut one = node(n);
        one["https://e.test/knows"] = links(n).into_iter().map(node).collect();
        one
    };
    json!({ "@id": "https://e.test/", "https://e.test/all": (0..count).map(linked).collect::<Value>() })
}

#[test]
fn a_credential_has_its_text() {
    let vc = "https://www.w3.org/2018/credentials#";
    let kind = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>";
    let expected = [
        "<did:example:subject> <https://e.test/age> \"42\"^^<http://www.w3.org/2001/XMLSchema#integer> .\n".to_owned(),
        format!("<urn:uuid:1> {kind} <{vc}VerifiableCredential> .\n"),
        format!("<urn:uuid:1> <{vc}credentialSubject> <did:example:subject> .\n"),
        format!("<urn:uuid:1> <{vc}issuer> <did:example:issuer> .\n"),
        format!("<urn:uuid:1> <{vc}validFrom> \"2026-01-01T00:00:00Z\"^^<{DATE}> .\n"),
    ];
    assert_eq!(canonical(&credential()).unwrap(), expected.concat());
}

#[test]
fn every_bundled_context_is_read() {
    for address in bundled().keys() {
        let document = json!({ "@context": address, "id": "urn:x:1", "type": "https://e.test/T" });
        let context = &bundled()[address]["@context"];
        canonical(&document).unwrap();
        // And each that a type brings.
        for (term, meaning) in context.as_object().unwrap() {
            if meaning["@context"].is_object() && meaning["@type"].is_null() && term != "cnf" {
                let document = json!({ "@context": address, "id": "urn:x:1", "type": term });
                canonical(&document).unwrap_or_else(|error| panic!("{term}: {error}"));
            }
        }
    }
}

#[test]
fn a_context_is_bundled_or_refused() {
    let address = "https://e.test/context".to_owned();
    let named = json!([V2, address]);
    let unknown = Error::UnknownContext(address.clone());
    assert_eq!(with("@context", named.clone()), Err(unknown));
    for inline in
        [json!({}), json!(null), json!([V2, { "name": "https://e.test/name" }]), json!([1])]
    {
        assert_eq!(with("@context", inline), Err(Error::InlineContext));
    }
    let more = Contexts::from([(address, json!({ "@context": { "age": "https://e.test/age" } }))]);
    let mut document = credential();
    document["@context"] = named;
    document["age"] = json!(1);
    assert!(
        canonical_with(&document, &more).unwrap().contains("<urn:uuid:1> <https://e.test/age>")
    );
}

#[test]
fn contexts_must_agree_on_protected_terms() {
    let address = "https://e.test/context".to_owned();
    let more = Contexts::from([(
        address.clone(),
        json!({ "@context": { "name": "https://e.test/name" } }),
    )]);
    let mut document = credential();
    document["@context"] = json!([V2, address]);
    let conflict = Err(Error::Conflict("name".to_owned()));
    assert_eq!(canonical_with(&document, &more), conflict);
}

#[test]
fn a_context_that_goes_in_circles_is_refused() {
    let address = "https://e.test/context".to_owned();
    let circle = json!({ "@context": { "a": "b:x", "b": "a:x" } });
    let more = Contexts::from([(address.clone(), circle)]);
    let document = json!({ "@context": address, "@id": "https://e.test/" });
    assert!(matches!(canonical_with(&document, &more), Err(Error::BadContext(_))));
}

#[test]
fn a_term_that_no_context_defines_is_refused() {
    let undefined = |term: &str| Err(Error::UndefinedTerm(term.to_owned()));
    assert_eq!(with("nickname", json!("x")), undefined("nickname"));
    assert_eq!(with("type", json!(["VerifiableCredential", "Nickname"])), undefined("Nickname"));
    assert_eq!(with("evidence", json!({ "nickname": 1 })), undefined("nickname"));
    // A type's terms end where the next node begins.
    assert_eq!(with("evidence", json!({ "validFrom": "2026" })), undefined("validFrom"));
    assert_eq!(with("_:p", json!(1)), undefined("_:p"));
    assert_eq!(with("", json!(1)), undefined(""));
}

#[test]
fn what_says_nothing_is_refused() {
    for value in [json!(null), json!([]), json!([null]), json!({ "@value": null })] {
        let dropped = Err(Error::Dropped("name".to_owned()));
        assert_eq!(with("name", value), dropped);
    }
    for id in ["relative", "", "#key", "a b:c", "did:x> <a:b> <a:c"] {
        assert!(matches!(with("id", json!(id)), Err(Error::NotAnIri(_))), "{id}");
    }
    // A presentation that names a credential without showing it would not cover it.
    let presentation = json!({
        "@context": V2, "type": "VerifiablePresentation",
        "verifiableCredential": "https://e.test/credential",
    });
    assert!(matches!(canonical(&presentation), Err(Error::Dropped(_))));
    assert!(matches!(canonical(&json!({ "@id": "https://e.test/" })), Err(Error::Dropped(_))));
}

#[test]
fn what_is_not_read_is_refused() {
    for keyword in ["@graph", "@included", "@index", "@list", "@nest", "@reverse", "@set", "@Foo"] {
        let answer = with("name", json!({ keyword: "x" }));
        assert_eq!(answer, Err(Error::Unsupported(keyword.to_owned())));
    }
    for document in [json!(null), json!([]), json!("x")] {
        assert!(matches!(canonical(&document), Err(Error::Malformed(_))));
    }
    let large = json!(9_007_199_254_740_993_u64);
    assert!(matches!(with("name", large), Err(Error::Malformed(_))));
}

#[test]
fn values_are_spelt_as_in_rdf() {
    let xsd = "http://www.w3.org/2001/XMLSchema#";
    let cases = [
        (json!(1.0), format!("\"1\"^^<{xsd}integer>")),
        (json!(-0.0), format!("\"0\"^^<{xsd}integer>")),
        (json!(5.25), format!("\"5.25E0\"^^<{xsd}double>")),
        (json!(1e30), format!("\"1.0E30\"^^<{xsd}double>")),
        (json!(2.5e-7), format!("\"2.5E-7\"^^<{xsd}double>")),
        (json!(true), format!("\"true\"^^<{xsd}boolean>")),
        (json!("a\"\\\n\u{1}\u{7f}é"), r#""a\"\\\n\u0001\u007Fé""#.to_owned()),
        (json!({ "@value": "x", "@language": "de-AT" }), "\"x\"@de-at".to_owned()),
        (json!({ "@value": "1", "@type": DATE }), format!("\"1\"^^<{DATE}>")),
    ];
    for (value, expected) in cases {
        let text = with("name", value).unwrap();
        assert!(text.contains(&format!("<https://schema.org/name> {expected} .\n")), "{text}");
    }
    let schema = json!({ "type": "JsonSchema", "jsonSchema": { "b": [1, null, {}], "a": "\n" } });
    let text = with("credentialSchema", schema).unwrap();
    let json = r#"> "{\"a\":\"\\n\",\"b\":[1,null,{}]}"^^<http://www.w3.org/1999/02/22-rdf-syntax-ns#JSON> ."#;
    assert!(text.contains(json), "{text}");
}

#[test]
fn a_presentation_holds_its_credentials_in_graphs() {
    let presentation = json!({
        "@context": V2, "type": "VerifiablePresentation",
        "verifiableCredential": [credential()],
    });
    let text = canonical(&presentation).unwrap();
    assert!(
        text.contains("<https://www.w3.org/2018/credentials#issuer> <did:example:issuer> _:c14n")
    );
}

#[test]
fn the_order_of_keys_and_items_and_labels_do_not_matter() {
    let parse = |text: &str| canonical(&serde_json::from_str(text).unwrap()).unwrap();
    let one = r#"{"@id":"_:a","https://e.test/p":[{"@id":"_:b","https://e.test/q":1},{"https://e.test/q":2}]}"#;
    let two = r#"{"https://e.test/p":[{"https://e.test/q":2},{"https://e.test/q":1,"@id":"_:x"}],"@id":"_:b"}"#;
    assert_eq!(parse(one), parse(two));
    let ring = |step: usize| canonical(&nodes(12, |n| vec![(n + step) % 12])).unwrap();
    assert_eq!(ring(1), ring(5));
    assert_eq!(ring(1), ring(11));
    assert_ne!(ring(1), ring(2));
}

/// Two graphs in which first-degree hashes tell nothing: told apart, and each always the same.
#[test]
fn two_rings_are_not_one() {
    let two = canonical(&nodes(6, |n| vec![n / 3 * 3 + (n + 1) % 3])).unwrap();
    let again = canonical(&nodes(6, |n| vec![(n + 2) % 6])).unwrap();
    let one = canonical(&nodes(6, |n| vec![(n + 1) % 6])).unwrap();
    assert_eq!(two, again);
    assert_ne!(two, one);
}

#[test]
fn a_poison_graph_is_refused_quickly() {
    let begun = Instant::now();
    for count in [8, 10, 40] {
        let clique = nodes(count, |n| (0..count).filter(|other| *other != n).collect());
        assert_eq!(canonical(&clique), Err(Error::TooTangled));
    }
    assert_eq!(canonical(&nodes(900, |n| vec![(n + 1) % 900])), Err(Error::TooTangled));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let many = json!({ "@id": "https://e.test/", "https://e.test/p": vec![json!({}); 10_000] });
    assert_eq!(canonical(&many).unwrap().lines().count(), 10_000);
}

#[test]
fn what_is_too_deep_or_too_large_is_refused() {
    let nest = |depth| {
        (0..depth)
            .fold(json!({ "https://e.test/p": 1 }), |inner, _| json!({ "https://e.test/p": inner }))
    };
    assert!(canonical(&nest(MAX_DEPTH - 1)).is_ok());
    assert_eq!(canonical(&nest(MAX_DEPTH)), Err(Error::TooDeep));
    assert_eq!(with("name", json!("x".repeat(65_536))), Err(Error::TooLarge));
    assert_eq!(with("@context", json!(vec![V2; 257])), Err(Error::TooLarge));
    // A long identifier is written once for each statement about it.
    let (id, items) = (format!("urn:x:{}", "x".repeat(30_000)), (0..40).collect::<Vec<_>>());
    let wide = json!({ "@id": id, "https://e.test/p": items });
    assert_eq!(canonical(&wide), Err(Error::TooLarge));
}
