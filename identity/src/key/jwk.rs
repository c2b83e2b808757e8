//! Public keys as JSON Web Keys (RFC 7517, 7518 and 8037).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{KeyKind, NoKey, PublicKey, UnparsedPublicKey};

/// Curves of points with two coordinates, by their names.
const CURVES: [(&str, KeyKind); 4] = [
    ("P-256", KeyKind::P256),
    ("P-384", KeyKind::P384),
    ("P-521", KeyKind::P521),
    ("secp256k1", KeyKind::Secp256k1),
];
/// Curves whose keys are one string of bytes.
const OCTETS: [(&str, KeyKind); 6] = [
    ("Ed25519", KeyKind::Ed25519),
    ("X25519", KeyKind::X25519),
    ("BLS12381_G1", KeyKind::Bls12381G1),
    ("BLS12381_G2", KeyKind::Bls12381G2),
    ("BLS12381G1", KeyKind::Bls12381G1),
    ("BLS12381G2", KeyKind::Bls12381G2),
];

impl PublicKey {
    /// Reads a JSON Web Key. One that holds a secret is refused: whoever published it lost it.
    pub fn from_jwk(jwk: &Value) -> Result<Self, NoKey> {
        let members = jwk.as_object().ok_or(NoKey("a JSON Web Key must be an object"))?;
        if ["d", "p", "q", "k"].iter().any(|secret| members.contains_key(*secret)) {
            return Err(NoKey("it holds a secret"));
        }
        let said = |name: &str| members.get(name).and_then(Value::as_str);
        match said("kty") {
            Some("RSA") => {
                let (n, e) = (member(members, "n")?, member(members, "e")?);
                Self::new(KeyKind::Rsa, pkcs1(&n, &e))
            }
            Some("EC" | "OKP") => {
                let curve = said("crv").ok_or(NoKey("it names no curve"))?;
                let x = member(members, "x")?;
                if let Some((_, kind)) = OCTETS.iter().find(|(name, _)| *name == curve) {
                    return Self::new(*kind, x);
                }
                let known = CURVES.iter().find(|(name, _)| *name == curve);
                let (_, kind) = known.ok_or(NoKey("its curve is not known here"))?;
                point(*kind, &x, &member(members, "y")?)
            }
            _ => Err(NoKey("it is of no type that is known here")),
        }
    }

    /// The key as a JSON Web Key, where RFC 8037 has one of that form: keys of one string of bytes.
    #[must_use]
    pub fn to_jwk(&self) -> Option<Value> {
        let (curve, _) = OCTETS.iter().find(|(_, kind)| *kind == self.kind)?;
        Some(json!({"kty": "OKP", "crv": curve, "x": URL_SAFE_NO_PAD.encode(&self.bytes)}))
    }
}

fn member(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, NoKey> {
    let text = members.get(name).and_then(Value::as_str);
    let text = text.filter(|text| text.len() <= super::TEXT_BYTES);
    let text = text.ok_or(NoKey("a part of it is missing"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NoKey("a part of it is not in base64url"))
}

/// A point by both coordinates, which must lie on the curve.
fn point(kind: KeyKind, x: &[u8], y: &[u8]) -> Result<PublicKey, NoKey> {
    let curve = kind.ecdsa().ok_or(NoKey("its curve has no such points"))?;
    if x.len() != curve.coordinate || y.len() != curve.coordinate {
        return Err(NoKey("a coordinate has not the length of its curve"));
    }
    let whole = [&[4], x, y].concat();
    if UnparsedPublicKey::new(curve.fixed, &whole).parse().is_err() {
        return Err(NoKey("its point is not on the curve"));
    }
    let odd = y.last().is_some_and(|last| last & 1 == 1);
    PublicKey::new(kind, [&[if odd { 3 } else { 2 }], x].concat())
}

/// Modulus and exponent as a sequence of two whole numbers in DER (RFC 8017, appendix A.1.1).
fn pkcs1(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let mut numbers = der_number(modulus);
    numbers.extend(der_number(exponent));
    der(0x30, &numbers)
}

fn der_number(bytes: &[u8]) -> Vec<u8> {
    let leading = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut digits = bytes[leading..].to_vec();
    // The first bit is the sign, and the number has none.
    if digits.first().is_none_or(|first| first & 0x80 != 0) {
        digits.insert(0, 0);
    }
    der(0x02, &digits)
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut bytes = vec![tag];
    match length {
        [] => bytes.push(0),
        [short] if *short < 0x80 => bytes.push(*short),
        long => {
            bytes.push(0x80 | u8::try_from(long.len()).expect("a length has at most eight bytes"));
            bytes.extend_from_slice(long);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}
