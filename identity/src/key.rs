//! Public keys as documents name them, and the one kind of key that is signed with here.
//!
//! A [`PublicKey`] is read from a Multikey (Controlled Identifiers 1.0, section 2.2.2), a JSON Web Key
//! (RFC 7517) or the older forms of verification methods, and is equal to another when it is the same
//! key, however it was written. [`SigningKey`] is Ed25519 alone: what nodes and persons sign with.

mod jwk;

use std::fmt;

use aws_lc_rs::signature::{self as lc, UnparsedPublicKey, VerificationAlgorithm};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer, VerifyingKey};

/// What a key is for, by its curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// Signs (RFC 8032).
    Ed25519,
    /// Agrees on secrets (RFC 7748).
    X25519,
    /// Signs (FIPS 186-5), as the others by NIST.
    P256,
    /// Signs.
    P384,
    /// Signs.
    P521,
    /// Signs (SEC 2).
    Secp256k1,
    /// Signs (RFC 8017).
    Rsa,
    /// Signs; such signatures are not verified here, only their keys named.
    Bls12381G1,
    /// The same in the other group.
    Bls12381G2,
    /// Both of these together, as did:key may name them.
    Bls12381G1G2,
}

/// The kinds with their number in the table of multicodec, their length in bytes where it is fixed, and
/// what verifies them beside Ed25519.
const KINDS: [(KeyKind, u64, Option<usize>); 10] = [
    (KeyKind::Ed25519, 0xed, Some(32)),
    (KeyKind::X25519, 0xec, Some(32)),
    (KeyKind::P256, 0x1200, Some(33)),
    (KeyKind::P384, 0x1201, Some(49)),
    (KeyKind::P521, 0x1202, Some(67)),
    (KeyKind::Secp256k1, 0xe7, Some(33)),
    (KeyKind::Rsa, 0x1205, None),
    (KeyKind::Bls12381G1, 0xea, Some(48)),
    (KeyKind::Bls12381G2, 0xeb, Some(96)),
    (KeyKind::Bls12381G1G2, 0xee, Some(144)),
];
/// Longest key in text: one of RSA with 8,192 bits.
const TEXT_BYTES: usize = 1_600;

/// The text names no key, or one that is none.
#[derive(Debug, thiserror::Error)]
#[error("reading a key: {0}")]
pub struct NoKey(&'static str);

/// The signature is not of this key over this message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// A public key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    kind: KeyKind,
    /// As a Multikey holds it: points of curves compressed, RSA as in PKCS #1.
    bytes: Vec<u8>,
}

impl PublicKey {
    /// A key of a kind from the bytes that a Multikey holds behind its number.
    pub fn new(kind: KeyKind, bytes: Vec<u8>) -> Result<Self, NoKey> {
        let (_, _, length) = kind.row();
        if length.is_some_and(|length| bytes.len() != length) {
            return Err(NoKey("it has not the length of its kind"));
        }
        let key = Self { kind, bytes };
        let is_one = match kind {
            KeyKind::Ed25519 => key.ed25519().is_some(),
            KeyKind::Rsa => rsa_is_sound(&key.bytes),
            kind => kind.ecdsa().is_none_or(|curve| {
                UnparsedPublicKey::new(curve.fixed, &key.bytes).parse().is_ok()
            }),
        };
        if is_one { Ok(key) } else { Err(NoKey("it is no key of its kind")) }
    }

    /// Reads a Multikey: multibase over the number of the kind and the key.
    pub fn from_multikey(text: &str) -> Result<Self, NoKey> {
        let bytes = multibase(text)?;
        let (code, rest) = varint(&bytes).ok_or(NoKey("it does not begin with a number"))?;
        let row = KINDS.iter().find(|(_, known, _)| *known == code);
        let (kind, ..) = row.ok_or(NoKey("it is of a kind that is not known here"))?;
        Self::new(*kind, rest.to_vec())
    }

    /// The key as a Multikey, in base 58.
    #[must_use]
    pub fn to_multikey(&self) -> String {
        let &(_, mut code, _) = self.kind.row();
        let mut bytes = Vec::with_capacity(self.bytes.len() + 2);
        while code >= 0x80 {
            bytes.push(code.to_le_bytes()[0] | 0x80);
            code >>= 7;
        }
        bytes.push(code.to_le_bytes()[0]);
        bytes.extend_from_slice(&self.bytes);
        format!("z{}", base58(&bytes))
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The bytes that a Multikey holds behind its number.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a signature of this key stands over a message.
    ///
    /// ECDSA is over the hash that RFC 7518 gives the curve, both numbers in their full length; RSA is
    /// RS256. A signature that different implementations of Ed25519 judge differently is refused.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let verified = match self.kind {
            KeyKind::Ed25519 => {
                let key = self.ed25519().ok_or(BadSignature)?;
                let signature = Signature::from_slice(signature).map_err(|_| BadSignature)?;
                key.verify_strict(message, &signature).is_ok()
            }
            KeyKind::Rsa => UnparsedPublicKey::new(&lc::RSA_PKCS1_2048_8192_SHA256, &self.bytes)
                .verify(message, signature)
                .is_ok(),
            kind => kind.ecdsa().is_some_and(|curve| {
                UnparsedPublicKey::new(curve.fixed, &self.bytes).verify(message, signature).is_ok()
            }),
        };
        if verified { Ok(()) } else { Err(BadSignature) }
    }

    /// The key by which to agree on secrets with whoever signs by this one (did:key, section 3.1.3.2).
    #[must_use]
    pub fn to_x25519(&self) -> Option<Self> {
        let bytes = self.ed25519()?.to_montgomery().to_bytes();
        Self::new(KeyKind::X25519, bytes.to_vec()).ok()
    }

    fn ed25519(&self) -> Option<VerifyingKey> {
        let bytes: &[u8; 32] = self.bytes.as_slice().try_into().ok()?;
        let key = VerifyingKey::from_bytes(bytes).ok()?;
        // A point that could be written otherwise is judged differently by others.
        let is_canonical = key.to_edwards().compress().as_bytes() == bytes;
        (self.kind == KeyKind::Ed25519 && is_canonical && !key.is_weak()).then_some(key)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_multikey())
    }
}

struct Ecdsa {
    fixed: &'static dyn VerificationAlgorithm,
    /// Length of one coordinate in bytes.
    coordinate: usize,
}

impl KeyKind {
    fn row(self) -> &'static (Self, u64, Option<usize>) {
        KINDS.iter().find(|(kind, ..)| *kind == self).expect("every kind has a row")
    }

    fn ecdsa(self) -> Option<Ecdsa> {
        let (fixed, coordinate): (&dyn VerificationAlgorithm, _) = match self {
            Self::P256 => (&lc::ECDSA_P256_SHA256_FIXED, 32),
            Self::P384 => (&lc::ECDSA_P384_SHA384_FIXED, 48),
            Self::P521 => (&lc::ECDSA_P521_SHA512_FIXED, 66),
            Self::Secp256k1 => (&lc::ECDSA_P256K1_SHA256_FIXED, 32),
            _ => return None,
        };
        Some(Ecdsa { fixed, coordinate })
    }
}

/// Keys of 2,048 to 8,192 bits: shorter ones can be broken, longer ones cost whoever verifies by them.
fn rsa_is_sound(pkcs1: &[u8]) -> bool {
    (260..1_100).contains(&pkcs1.len())
        && UnparsedPublicKey::new(&lc::RSA_PKCS1_2048_8192_SHA256, pkcs1).parse().is_ok()
}

/// A key of Ed25519 that signs; its secret is shown to nobody who does not ask by name.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key that grows from 32 secret bytes.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// These bytes again.
    #[must_use]
    pub fn reveal(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// What others verify by.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey { kind: KeyKind::Ed25519, bytes: self.0.verifying_key().to_bytes().to_vec() }
    }

    /// Its signature over a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Bytes in base 58, by the alphabet of Bitcoin.
pub(crate) fn base58(bytes: &[u8]) -> String {
    bs58::encode(bytes).into_string()
}

/// The same read; text that could be no key, signature or hash is not even tried, since the work grows
/// with the square of its length.
pub(crate) fn from_base58(text: &str) -> Result<Vec<u8>, NoKey> {
    if text.len() > TEXT_BYTES {
        return Err(NoKey("it is too long"));
    }
    bs58::decode(text).into_vec().map_err(|_| NoKey("it is not in base 58"))
}

/// Bytes in one of the two bases that Data Integrity knows, told by the first letter.
pub(crate) fn multibase(text: &str) -> Result<Vec<u8>, NoKey> {
    if let Some(text) = text.strip_prefix('z') {
        return from_base58(text);
    }
    let text = text.strip_prefix('u').ok_or(NoKey("it is neither in base 58 nor in base64url"))?;
    if text.len() > TEXT_BYTES {
        return Err(NoKey("it is too long"));
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NoKey("it is not in base64url"))
}

/// A number of multicodec in front of bytes: seven bits a byte, the least first, and no byte too many.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().take(3).position(|byte| byte & 0x80 == 0)?;
    let (digits, rest) = bytes.split_at(end + 1);
    if end > 0 && digits[end] == 0 {
        return None;
    }
    let number = digits.iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f));
    Some((number, rest))
}

#[cfg(test)]
mod tests;
