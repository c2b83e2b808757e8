//! Tokens that are taken, and all that is not.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{JoseError, Jws, Kind, TOKEN_BYTES, Token, envelope, sign};
use crate::{
    credential::{
        Credential, CredentialError, Draft, presented,
        tests::{ADA, HOUR_MS, NODE, NOW, document, draft, key},
    },
    json::canonical,
    key::{PublicKey, SigningKey},
    rdf::Contexts,
};

const VECTORS: &str = include_str!("../../../specs/vectors/jose.json");

fn word() -> String {
    format!("{NODE}#word")
}

/// A token of whatever is to stand in it.
fn token(header: &Value, payload: &str, seed: u8) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(&canonical(header)), part(payload));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key(seed).sign(signed.as_bytes())))
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "vc+jwt", "cty": "vc", "kid": word()})
}

fn with(mut value: Value, more: &Value) -> Value {
    for (name, member) in more.as_object().unwrap() {
        value[name] = member.clone();
    }
    value
}

/// What becomes of the draft under another header and with other claims.
fn verified(header_more: &Value, claims: &Value) -> Result<(), CredentialError> {
    let payload = canonical(&with(draft().value(), claims));
    judged(&token(&with(header(), header_more), &payload, 1))
}

fn judged(token: &str) -> Result<(), CredentialError> {
    Credential::read(&json!(token))?.verify(&document(), NOW)
}

#[test]
fn vectors_of_tokens() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let examples =
        json!({ "@context": { "@vocab": "https://www.w3.org/ns/credentials/examples#" } });
    let contexts =
        Contexts::from([("https://www.w3.org/ns/credentials/examples/v2".to_owned(), examples)]);
    for vector in vectors["tokens"].as_array().unwrap() {
        let (name, text) = (&vector["name"], vector["jws"].as_str().unwrap());
        let key = PublicKey::from_jwk(&vector["jwk"]).unwrap();
        let (_, payload, jws) = Jws::read(text).unwrap();
        jws.verify(&key).unwrap_or_else(|error| panic!("{name}: {error}"));
        let value = json!(text);
        match vector["holds"].as_str().unwrap() {
            "credential" => {
                let credential = Credential::read_with(&value, &contexts).unwrap();
                assert_eq!(credential.value(), &crate::json::read(&payload).unwrap(), "{name}");
            }
            "presentation" => {
                Token::read(text, Kind::Presentation).unwrap();
                let other = Credential::read_with(&value, &contexts);
                assert!(other.is_err(), "{name} is no credential");
            }
            _ => assert!(Token::read(text, Kind::Credential).is_err(), "{name} holds none"),
        }
        let torn = format!("{} ", String::from_utf8_lossy(&payload));
        let (head, end) = (text.split('.').next().unwrap(), text.rsplit('.').next().unwrap());
        let changed = format!("{head}.{}.{end}", URL_SAFE_NO_PAD.encode(torn));
        let (_, _, changed) = Jws::read(&changed).unwrap();
        assert_eq!(changed.verify(&key), Err(JoseError::BadSignature), "{name}");
        println!("{name}: ok");
    }
}

/// RFC 8037, appendix A.4: the key of its appendix A.1 signs to the very same text.
#[test]
fn a_signature_is_made_as_others_make_it() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let text = vectors["tokens"][0]["jws"].as_str().unwrap();
    let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let key = SigningKey::from_seed(seed.try_into().unwrap());
    let (signed, signature) = text.rsplit_once('.').unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())), signature);
}

/// In the Recommendation an envelope holds its token twice, as it was printed (example 2): that is none. In its
/// sources it holds it once.
#[test]
fn an_envelope_holds_one_token() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let text = |at: usize| vectors["tokens"][at]["jws"].as_str().unwrap();
    let (presentation, _) = Token::read(text(3), Kind::Presentation).unwrap();
    let printed = &presentation["verifiableCredential"][0];
    assert!(Token::within(printed, Kind::Credential).is_err());
    let (_, once) = Token::within(&envelope(text(4), Kind::Credential), Kind::Credential)
        .unwrap()
        .expect("an envelope is found");
    once.verify(&PublicKey::from_jwk(&vectors["tokens"][4]["jwk"]).unwrap()).unwrap();
}

#[test]
fn a_credential_in_a_token_is_believed_as_any_other() {
    let token = draft().token(&word(), &key(1));
    for value in [json!(token), envelope(&token, Kind::Credential)] {
        let credential = Credential::read(&value).unwrap();
        assert_eq!(credential.verify(&document(), NOW), Ok(()));
        assert_eq!(credential.value(), &draft().value());
        assert!(credential.is("urn:wayside:HomeMembership") && credential.is_plain());
        let late = credential.verify(&document(), NOW.plus_ms(2 * HOUR_MS));
        assert!(matches!(late, Err(CredentialError::Late(_))));
    }
    for (more, claims) in [
        (json!({"alg": "Ed25519"}), json!({})),
        (json!({"typ": "application/VC+JWT", "cty": "application/vc"}), json!({})),
        (json!({"iss": NODE}), json!({"iss": NODE, "jti": "x", "unheard": [1]})),
        (json!({"kid": "#word"}), json!({"iss": NODE})),
        (json!({"x5t": "x", "unheard": {}}), json!({"iat": 1_700_000_000, "exp": 1_700_000_000.5})),
    ] {
        assert_eq!(verified(&more, &claims), Ok(()), "{more} {claims}");
    }
}

#[test]
fn a_token_around_a_presentation_shows_its_envelopes() {
    let token = draft().token(&word(), &key(1));
    let shown = json!({
        "@context": ["https://www.w3.org/ns/credentials/v2"], "type": "VerifiablePresentation", "holder": ADA,
        "verifiableCredential": [envelope(&token, Kind::Credential), draft().signed(&word(), &key(1))],
    });
    let around = sign(&shown, Kind::Presentation, &format!("{ADA}#own"), &key(4));
    for value in [&shown, &json!(around), &envelope(&around, Kind::Presentation)] {
        let credentials = presented(value, &Contexts::new()).unwrap();
        assert_eq!(credentials.len(), 2);
        for credential in &credentials {
            Credential::read(credential).unwrap().verify(&document(), NOW).unwrap();
        }
    }
    let other = sign(&shown, Kind::Credential, &word(), &key(1));
    assert!(presented(&json!(other), &Contexts::new()).is_err());
}

#[test]
fn a_token_that_could_be_read_in_two_ways_is_refused() {
    for more in [
        json!({"crit": ["exp"], "exp": 1}),
        json!({"crit": []}),
        json!({"b64": false, "crit": ["b64"]}),
        json!({"b64": false}),
        json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "eA"}}),
        json!({"x5c": ["x"]}),
        json!({"jku": "https://e.example/keys"}),
        json!({"x5u": "https://e.example/x"}),
        json!({"kid": 1}),
        json!({"kid": null}),
        json!({"alg": null}),
        json!({"iss": 1}),
        json!({"unheard": "x".repeat(4_096)}),
    ] {
        let refused = verified(&more, &json!({}));
        assert!(matches!(refused, Err(CredentialError::Token(JoseError::Malformed(_)))), "{more}");
    }
    for claims in [
        json!({"vc": {"type": "VerifiableCredential"}}),
        json!({"vp": {}}),
        json!({"exp": "1700000000"}),
        json!({"iat": -1}),
        json!({"nbf": 1e300}),
        json!({"exp": null}),
        json!({"aud": ["a.example", "b.example"]}),
        json!({"aud": []}),
        json!({"aud": "a.example"}),
        json!({"aud": "a".repeat(2_049)}),
        json!({"aud": ["a".repeat(2_049)]}),
        json!({"iss": "a".repeat(2_049)}),
        json!({"nonce": 1}),
    ] {
        let refused = verified(&json!({}), &claims);
        assert!(
            matches!(refused, Err(CredentialError::Token(JoseError::Malformed(_)))),
            "{claims}"
        );
    }
    let good = draft().token(&word(), &key(1));
    let [head, body, end]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let twice = canonical(&draft().value()).replacen('{', "{\"issuer\":\"did:web:e.example\",", 1);
    let padded = format!("{end}{}", "=".repeat(2));
    // The last letter of 64 bytes carries four bits that say nothing.
    let loose = format!("{}{}", &end[..85], if end.ends_with('A') { 'B' } else { 'z' });
    for text in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{head}.{body}"),
        format!("{head}.{body}."),
        format!("{good}.{end}"),
        format!("{good}~"),
        format!("{head}..{end}"),
        format!("{head}.{body}.{padded}"),
        format!("{head}.{body}.{loose}"),
        format!(" {good}"),
        format!("{good}\n"),
        token(&header(), "[]", 1),
        token(&header(), "Example", 1),
        token(&header(), &twice, 1),
        token(&json!([]), "{}", 1),
        format!("{head}.{}.{end}", "A".repeat(TOKEN_BYTES)),
        canonical(&json!({"payload": body, "signatures": [{"protected": head, "signature": end}]})),
    ] {
        let refused = judged(&text);
        assert!(matches!(refused, Err(CredentialError::Token(_))), "{text:.80}: {refused:?}");
    }
}

#[test]
fn a_token_of_another_algorithm_or_type_is_refused() {
    for name in ["none", "None", "HS256", "ES512", "RS256", "eddsa", ""] {
        let refused = verified(&json!({"alg": name}), &json!({}));
        let unknown = JoseError::UnknownAlgorithm(name.to_owned());
        assert_eq!(refused, Err(CredentialError::Token(unknown)), "{name}");
    }
    let unsigned = token(&with(header(), &json!({"alg": "none"})), &canonical(&draft().value()), 1);
    let (signed, _) = unsigned.rsplit_once('.').unwrap();
    assert!(judged(&format!("{signed}.")).is_err());
    for name in ["ES256", "ES384"] {
        let refused = verified(&json!({"alg": name}), &json!({}));
        assert_eq!(refused, Err(CredentialError::Token(JoseError::OtherKind)), "{name}");
    }
    for more in [
        json!({"typ": "vp+jwt"}),
        json!({"typ": "JWT"}),
        json!({"typ": "vc+ld+jwt"}),
        json!({"typ": "vc+sd-jwt"}),
        json!({"typ": "text/vc+jwt"}),
        json!({"cty": "vp"}),
        json!({"cty": "JWT"}),
    ] {
        let refused = verified(&more, &json!({}));
        let is_other = matches!(refused, Err(CredentialError::Token(JoseError::OtherType { .. })));
        assert!(is_other, "{more}: {refused:?}");
    }
    let token = draft().token(&word(), &key(1));
    for (more, kind) in [
        (json!({"id": format!("data:application/vc+sd-jwt,{token}")}), Kind::Credential),
        (json!({"id": token}), Kind::Credential),
        (json!({"id": null}), Kind::Credential),
        (json!({"id": format!("data:application/vc+jwt;base64,{token}")}), Kind::Credential),
        (json!({}), Kind::Presentation),
    ] {
        let changed = with(envelope(&token, kind), &more);
        assert!(Credential::read(&changed).is_err(), "{changed}");
    }
}

#[test]
fn a_token_by_another_key_or_issuer_is_refused() {
    for (method, seed) in [("door", 2), ("eve", 3), ("nobody", 4), ("", 1)] {
        let refused = judged(&draft().token(&format!("{NODE}#{method}"), &key(seed)));
        assert!(matches!(refused, Err(CredentialError::OtherKey(_))), "{method}: {refused:?}");
    }
    for kid in ["#word", "did:web:a.example:more#word", "did:web:a.example", "word"] {
        let refused = verified(&json!({"kid": kid}), &json!({}));
        assert!(matches!(refused, Err(CredentialError::OtherKey(_))), "{kid}: {refused:?}");
    }
    let stolen = judged(&draft().token(&word(), &key(2)));
    assert_eq!(stolen, Err(JoseError::BadSignature.into()));
    for (more, claims) in [
        (json!({"iss": "did:web:e.example"}), json!({})),
        (json!({}), json!({"iss": "did:web:e.example"})),
        (json!({"iss": NODE}), json!({"iss": ADA})),
    ] {
        let refused = verified(&more, &claims);
        let is_other = matches!(refused, Err(CredentialError::Token(JoseError::OtherIssuer(_))));
        assert!(is_other, "{more} {claims}: {refused:?}");
    }
    let foreign = Draft { issuer: json!("did:web:e.example"), ..draft() };
    let refused = judged(&foreign.token(&word(), &key(1)));
    assert!(matches!(refused, Err(CredentialError::OtherIssuer(_))), "{refused:?}");
    let changed = draft().token(&word(), &key(1));
    let [head, _, end]: [&str; 3] = changed.split('.').collect::<Vec<_>>().try_into().unwrap();
    let other = Draft { until: None, ..draft() }.token(&word(), &key(1));
    let body = other.split('.').nth(1).unwrap();
    assert_eq!(judged(&format!("{head}.{body}.{end}")), Err(JoseError::BadSignature.into()));
}

#[test]
fn a_token_is_good_in_its_time_alone() {
    let seconds = |minutes: i64| NOW.0 / 1_000 + minutes * 60;
    for name in ["iat", "nbf"] {
        assert_eq!(verified(&json!({}), &json!({name: seconds(4)})), Ok(()));
        let early = verified(&json!({}), &json!({name: seconds(6)}));
        let is_early = matches!(early, Err(CredentialError::Token(JoseError::Early(_))));
        assert!(is_early, "{name}: {early:?}");
    }
    assert_eq!(verified(&json!({}), &json!({"exp": seconds(-4)})), Ok(()));
    let late = verified(&json!({}), &json!({"exp": seconds(-6)}));
    assert!(matches!(late, Err(CredentialError::Token(JoseError::Expired(_)))), "{late:?}");
}

#[test]
fn a_proof_inside_a_token_has_to_stand_too() {
    let signed = draft().signed(&word(), &key(1));
    assert_eq!(judged(&sign(&signed, Kind::Credential, &word(), &key(1))), Ok(()));
    let stolen = draft().signed(&word(), &key(2));
    let refused = judged(&sign(&stolen, Kind::Credential, &word(), &key(1)));
    assert!(matches!(refused, Err(CredentialError::Proof(_))), "{refused:?}");
}

#[test]
fn damaged_and_random_tokens_are_refused_and_never_panic() {
    let good = draft().token(&word(), &key(1));
    bolero::check!().with_type::<(u16, u8, Vec<u8>)>().for_each(|(at, byte, random)| {
        let mut damaged = good.clone().into_bytes();
        let at = usize::from(*at) % damaged.len();
        damaged[at] = *byte;
        let damaged = String::from_utf8_lossy(&damaged);
        assert!(damaged == good || judged(&damaged).is_err(), "{at} {byte}");
        let random = String::from_utf8_lossy(random);
        let part = URL_SAFE_NO_PAD.encode(random.as_bytes());
        let [head, body, end]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
        for text in [
            random.to_string(),
            format!("{part}.{body}.{end}"),
            format!("{head}.{part}.{end}"),
            format!("{head}.{body}.{part}"),
        ] {
            assert!(text == good || judged(&text).is_err());
            let _read = Token::read(&text, Kind::Presentation);
        }
    });
}
