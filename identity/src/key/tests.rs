//! Keys in every form, and what is none.

use serde_json::json;

use super::{KeyKind, PublicKey, SigningKey, base58, varint};

fn signer() -> SigningKey {
    SigningKey::from_seed([7; 32])
}

#[test]
fn what_a_key_signed_verifies_by_it_alone() {
    let (mine, other) = (signer(), SigningKey::from_seed([8; 32]));
    let signature = mine.sign(b"message");
    assert_eq!(mine.public().verify(b"message", &signature), Ok(()));
    assert!(mine.public().verify(b"massage", &signature).is_err());
    assert!(other.public().verify(b"message", &signature).is_err());
    assert!(mine.public().verify(b"message", &signature[..63]).is_err());
    assert!(mine.public().verify(b"message", &[]).is_err());
    assert!(mine.public().to_x25519().unwrap().verify(b"message", &signature).is_err());
}

#[test]
fn a_key_is_the_same_in_every_form() {
    let key = signer().public();
    assert_eq!(PublicKey::from_multikey(&key.to_multikey()).unwrap(), key);
    assert_eq!(PublicKey::from_jwk(&key.to_jwk().unwrap()).unwrap(), key);
    assert_eq!(SigningKey::from_seed(signer().reveal()).public(), key);
}

#[test]
fn what_is_no_key_is_refused() {
    let key = signer().public();
    let multikey = key.to_multikey();
    for text in [
        "",
        "z",
        "u",
        &multikey[1..],
        &multikey[..multikey.len() - 1],
        &format!("m{}", &multikey[1..]),
        &format!("z0{}", &multikey[1..]),
        &format!("z{}", "z".repeat(100_000)),
        // A kind that nobody knows, a number without an end, and one that is longer than it need be.
        &format!("z{}", base58(&[0x01, 0x02])),
        &format!("z{}", base58(&[0xff; 40])),
        &format!("z{}", base58(&[&[0xed, 0x81, 0x00], key.bytes()].concat())),
    ] {
        assert!(PublicKey::from_multikey(text).is_err(), "{text:.80}");
    }
    // No point of the curve, and points whose signatures stand over every message.
    let mut low_order = [0; 32];
    assert!(PublicKey::new(KeyKind::Ed25519, low_order.to_vec()).is_err());
    low_order[0] = 1;
    assert!(PublicKey::new(KeyKind::Ed25519, low_order.to_vec()).is_err());
    assert!(PublicKey::new(KeyKind::Ed25519, vec![2; 32]).is_err());
    assert!(PublicKey::new(KeyKind::P256, vec![2; 33]).is_ok());
    assert!(PublicKey::new(KeyKind::P256, vec![9; 33]).is_err());
    assert!(PublicKey::new(KeyKind::Rsa, vec![0x30, 0]).is_err());
    assert_eq!(varint(&[0x80]), None);
    assert_eq!(varint(&[0x80, 0]), None);
}

#[test]
fn jwks_that_are_none_or_tell_too_much_are_refused() {
    let good = json!({"kty": "EC", "crv": "P-256",
        "x": "igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns",
        "y": "efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIM"});
    assert!(PublicKey::from_jwk(&good).is_ok());
    for (member, value) in [
        ("d", json!("gPh-VvVS8MbvKQ9LSVVmfnxnKjHn4Tqj0bmbpehRlpc")),
        ("y", json!("efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIQ")),
        ("y", json!("")),
        ("x", json!(7)),
        ("x", json!("***")),
        ("crv", json!("P-257")),
        ("kty", json!("oct")),
    ] {
        let mut jwk = good.clone();
        jwk[member] = value;
        assert!(PublicKey::from_jwk(&jwk).is_err(), "{jwk}");
    }
    for jwk in [json!(null), json!([]), json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"})] {
        assert!(PublicKey::from_jwk(&jwk).is_err(), "{jwk}");
    }
}
