//! Seals that nobody opens but who has the words by which a person comes back (HPKE, RFC 9180, base mode).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_128,
    hpke::{Hpke, HpkePublicKey},
};
use wayside_identity::luggage::INFO;

use super::Error;

/// Bytes of such a key.
pub(super) const KEY_BYTES: usize = 32;

/// Seals something to a key for a person, as base64url of the encapsulated secret and what is sealed.
pub(super) fn sealed(key: &[u8], scid: &str, content: &[u8]) -> Result<String, Error> {
    let hpke = DH_KEM_X25519_HKDF_SHA256_AES_128;
    let sealed = hpke.seal(INFO, scid.as_bytes(), content, &HpkePublicKey(key.to_vec()));
    let (secret, sealed) = sealed.map_err(Error::internal)?;
    Ok(URL_SAFE_NO_PAD.encode([secret.0, sealed].concat()))
}

/// A key as text.
pub(super) fn text(key: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// Reads a key that a client gives, where something can be sealed to it.
pub(super) fn key(text: &str) -> Result<[u8; KEY_BYTES], Error> {
    let wrong = || Error::Invalid("seal_key is no public key of X25519 in base64url".to_owned());
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    let key: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| wrong())?;
    // One of small order would open to anybody.
    sealed(&key, "", b"").map_err(|_| wrong())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use rustls::crypto::hpke::{EncapsulatedSecret, HpkePrivateKey};
    use serde_json::Value;
    use wayside_identity::luggage::Luggage;

    use super::*;

    #[test]
    fn what_is_sealed_opens_by_its_key_alone() {
        let hpke = DH_KEM_X25519_HKDF_SHA256_AES_128;
        let (public, private) = hpke.generate_key_pair().unwrap();
        let sealed =
            URL_SAFE_NO_PAD.decode(sealed(&public.0, "QmAda", b"luggage").unwrap()).unwrap();
        let open = |scid: &str, private: &HpkePrivateKey| {
            let secret = EncapsulatedSecret(sealed[..32].to_vec());
            hpke.open(&secret, INFO, scid.as_bytes(), &sealed[32..], private)
        };
        assert_eq!(open("QmAda", &private).unwrap(), b"luggage");
        assert!(open("QmBob", &private).is_err(), "it is of another person");
        let (_, other) = hpke.generate_key_pair().unwrap();
        assert!(open("QmAda", &other).is_err(), "it is for somebody else");
    }

    #[test]
    fn vectors_of_luggage() {
        let vectors = include_str!("../../../../specs/vectors/luggage.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        for vector in vectors["sealed"].as_array().unwrap() {
            let text = |name: &str| vector[name].as_str().unwrap();
            let private = HpkePrivateKey::from(hex::decode(text("private_key")).unwrap());
            let sealed = URL_SAFE_NO_PAD.decode(text("sealed")).unwrap();
            let secret = EncapsulatedSecret(sealed[..32].to_vec());
            let hpke = DH_KEM_X25519_HKDF_SHA256_AES_128;
            let scid = text("scid").as_bytes();
            let opened = hpke.open(&secret, INFO, scid, &sealed[32..], &private).unwrap();
            let opened: Value = serde_json::from_slice(&opened).unwrap();
            assert_eq!(opened, vector["luggage"], "{}", vector["name"]);
            assert_eq!(Luggage::read(&opened).unwrap().scid, text("scid"));
            assert!(key(text("seal_key")).is_ok());
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let (public, _) = DH_KEM_X25519_HKDF_SHA256_AES_128.generate_key_pair().unwrap();
        assert_eq!(key(&URL_SAFE_NO_PAD.encode(&public.0)).unwrap()[..], public.0[..]);
        let small = URL_SAFE_NO_PAD.encode([0; 32]);
        for bad in ["", "AAAA", "no key", &small, &"A".repeat(44)] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }
}
