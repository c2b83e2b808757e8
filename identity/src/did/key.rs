//! did:key and did:jwk: documents that follow from a key which the DID itself holds.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use wayside_specs::Did;

use super::{DidError, Document, document};
use crate::{
    json,
    key::{KeyKind, NoKey, PublicKey},
};

/// The document of a did:key (did-method-key, section 3.1).
pub(super) fn document(did: &Did) -> Result<Document, DidError> {
    let key = PublicKey::from_multikey(did.id())?;
    if key.to_multikey() != did.id() {
        return Err(DidError::BadDid("its key must be in base 58"));
    }
    let mut methods = Vec::new();
    for key in parts(&key)? {
        let multikey = key.to_multikey();
        methods.push((format!("{did}#{multikey}"), key));
    }
    let mut signs: Vec<&str> = Vec::new();
    let mut agrees: Vec<&str> = Vec::new();
    for (id, key) in &methods {
        if key.kind() != KeyKind::X25519 {
            signs.push(id);
        }
        if agrees_too(key.kind()) {
            agrees.push(id);
        }
    }
    let described = methods.iter().map(|(id, key)| {
        json!({"id": id, "type": "Multikey", "controller": did.as_str(),
            "publicKeyMultibase": key.to_multikey()})
    });
    let mut value = json!({
        "@context": document::CONTEXT,
        "id": did.as_str(),
        "verificationMethod": described.collect::<Vec<_>>(),
    });
    relate(&mut value, &signs, &agrees);
    Document::from_value(value)
}

/// The keys that a key stands for: two that were written as one, and the one to agree by.
fn parts(key: &PublicKey) -> Result<Vec<PublicKey>, NoKey> {
    Ok(match key.kind() {
        KeyKind::Bls12381G1G2 => {
            let (first, second) = key.bytes().split_at(48);
            vec![
                PublicKey::new(KeyKind::Bls12381G1, first.to_vec())?,
                PublicKey::new(KeyKind::Bls12381G2, second.to_vec())?,
            ]
        }
        KeyKind::Ed25519 => {
            let agreeing = key.to_x25519().into_iter();
            std::iter::once(key.clone()).chain(agreeing).collect()
        }
        _ => vec![key.clone()],
    })
}

fn agrees_too(kind: KeyKind) -> bool {
    match kind {
        KeyKind::X25519
        | KeyKind::P256
        | KeyKind::P384
        | KeyKind::P521
        | KeyKind::Secp256k1
        | KeyKind::Rsa
        | KeyKind::Bls12381G1
        | KeyKind::Bls12381G2 => true,
        KeyKind::Ed25519 | KeyKind::Bls12381G1G2 => false,
    }
}

fn relate(document: &mut Value, signs: &[&str], agrees: &[&str]) {
    if !signs.is_empty() {
        for relationship in
            ["assertionMethod", "authentication", "capabilityInvocation", "capabilityDelegation"]
        {
            document[relationship] = json!(signs);
        }
    }
    if !agrees.is_empty() {
        document["keyAgreement"] = json!(agrees);
    }
}

/// The document of a did:jwk (did:jwk, "Read").
pub(super) fn jwk_document(did: &Did) -> Result<Document, DidError> {
    let bytes = URL_SAFE_NO_PAD.decode(did.id());
    let bytes = bytes.map_err(|_| DidError::BadDid("its key must be in base64url"))?;
    let jwk = json::read(&bytes)?;
    let key = PublicKey::from_jwk(&jwk)?;
    let id = format!("{did}#0");
    let mut value = json!({
        "@context": document::CONTEXT,
        "id": did.as_str(),
        "verificationMethod": [{"id": id, "type": "JsonWebKey2020", "controller": did.as_str(),
            "publicKeyJwk": jwk}],
    });
    let said_use = jwk.get("use").and_then(Value::as_str);
    let signs = said_use != Some("enc") && key.kind() != KeyKind::X25519;
    let agrees = said_use != Some("sig") && key.kind() != KeyKind::Ed25519;
    let id = [id.as_str()];
    relate(&mut value, if signs { &id } else { &[] }, if agrees { &id } else { &[] });
    Document::from_value(value)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::{Value, json};

    use crate::{
        did::{Document, Plan, plan},
        key::SigningKey,
        proof::Purpose,
    };

    fn resolve(did: &str) -> Option<Document> {
        match plan(&did.parse().ok()?) {
            Ok(Plan::Known(document)) => Some(*document),
            _ => None,
        }
    }

    fn of_jwk(jwk: &Value) -> String {
        format!("did:jwk:{}", URL_SAFE_NO_PAD.encode(jwk.to_string()))
    }

    #[test]
    fn a_did_jwk_is_its_key_for_what_the_key_is_for() {
        let key = SigningKey::from_seed([1; 32]).public();
        let did = of_jwk(&key.to_jwk().unwrap());
        let document = resolve(&did).unwrap();
        let id = format!("{did}#0");
        assert_eq!(document.key(&id, Purpose::Authentication), Some(&key));
        assert_eq!(document.key(&id, Purpose::KeyAgreement), None);
        let point = json!({"kty": "EC", "crv": "P-256", "use": "enc",
            "x": "igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns",
            "y": "efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIM"});
        let did = of_jwk(&point);
        let document = resolve(&did).unwrap();
        assert!(document.key(&format!("{did}#0"), Purpose::KeyAgreement).is_some());
        assert!(document.key(&format!("{did}#0"), Purpose::AssertionMethod).is_none());
    }

    #[test]
    fn dids_whose_key_is_none_are_refused() {
        let key = SigningKey::from_seed([1; 32]).public().to_multikey();
        assert!(resolve(&format!("did:key:{key}")).is_some());
        for did in [
            format!("did:key:{key}z"),
            format!("did:key:u{key}"),
            "did:key:z".to_owned(),
            "did:jwk:z".to_owned(),
            "did:jwk:e30".to_owned(),
            format!("did:jwk:{}", URL_SAFE_NO_PAD.encode(r#"{"kty":"OKP","kty":"OKP"}"#)),
            of_jwk(&json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"})),
        ] {
            assert!(resolve(&did).is_none(), "{did}");
        }
    }
}
