//! Passwords: which are acceptable, and their Argon2id hashes in PHC form.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use subtle::ConstantTimeEq;

/// Memory of one hash in KiB (OWASP, Password Storage Cheat Sheet: Argon2id with 19 MiB).
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Lanes.
const LANES: u32 = 1;
/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// Most memory that a stored hash may ask for, in KiB.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Most passes that it may ask for.
const PASSES_MAX: u32 = 10;
/// Most lanes that it may ask for.
const LANES_MAX: u32 = 8;
/// Most memory times passes that it may ask for: about a second of work.
const WORK_MAX: u64 = 1024 * 1024;
/// Longest stored hash in bytes.
const PHC_BYTES: usize = 512;

/// Shortest password in characters (NIST SP 800-63B).
pub const CHARS_MIN: usize = 8;
/// Longest password in characters.
pub const CHARS_MAX: usize = 512;

/// Why a password cannot be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFlaw {
    /// Fewer than 8 characters.
    #[error("a password of at least {CHARS_MIN} characters would be right")]
    TooShort,
    /// More than 512 characters.
    #[error("a password of at most {CHARS_MAX} characters would be right")]
    TooLong,
}

/// Why a password could not be hashed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The password is too long to be hashed.
    #[error(transparent)]
    Flaw(#[from] PasswordFlaw),
    /// The hash function gave up: there was no memory.
    #[error("hashing a password: {0}")]
    Argon2(String),
}

/// An Argon2id hash as it is stored: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The PHC string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash")
    }
}

/// Whether a password may be chosen: 8 to 512 characters, any characters.
pub fn acceptable(password: &str) -> Result<(), PasswordFlaw> {
    // A character has at most four bytes: an endless password is not counted to its end.
    if password.len() > 4 * CHARS_MAX {
        return Err(PasswordFlaw::TooLong);
    }
    match password.chars().count() {
        ..CHARS_MIN => Err(PasswordFlaw::TooShort),
        CHARS_MIN..=CHARS_MAX => Ok(()),
        _ => Err(PasswordFlaw::TooLong),
    }
}

/// Hashes a password with 16 fresh random bytes of salt: 19 MiB, two passes, one lane.
///
/// Too short a password is hashed as well, so that a sign-in can be checked after the rules changed;
/// whether one may be chosen is [`acceptable`]'s to say.
pub fn hash(password: &str, salt: [u8; 16]) -> Result<PasswordHash, HashError> {
    if acceptable(password) == Err(PasswordFlaw::TooLong) {
        return Err(PasswordFlaw::TooLong.into());
    }
    let cost = Cost { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES };
    let hash = cost.run(password, &salt, HASH_BYTES).map_err(HashError::Argon2)?;
    Ok(PasswordHash(format!(
        "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}",
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(hash),
    )))
}

/// Whether a password is the one of a stored hash, in constant time over the hash.
///
/// A hash that is not Argon2id version 19 in PHC form, or asks for more than 256 MiB, 10 passes,
/// 8 lanes or 1 GiB of work in all, is nobody's: `false`.
#[must_use]
pub fn verify(password: &str, phc: &str) -> bool {
    if acceptable(password) == Err(PasswordFlaw::TooLong) {
        return false;
    }
    let Some(Stored { cost, salt, hash }) = Stored::parse(phc) else { return false };
    match cost.run(password, &salt, hash.len()) {
        Ok(own) => own.ct_eq(&hash).into(),
        Err(_) => false,
    }
}

/// What a hash costs.
#[derive(Clone, Copy)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    fn run(self, password: &str, salt: &[u8], bytes: usize) -> Result<Vec<u8>, String> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(bytes))
            .map_err(|error| error.to_string())?;
        let mut out = vec![0; bytes];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), salt, &mut out)
            .map_err(|error| error.to_string())?;
        Ok(out)
    }

    /// Reads `m=…,t=…,p=…` within bounds.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(',');
        let mut field = |name: &str| -> Option<u32> {
            let digits = fields.next()?.strip_prefix(name)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let cost = Self { memory_kib: field("m=")?, passes: field("t=")?, lanes: field("p=")? };
        let work = u64::from(cost.memory_kib) * u64::from(cost.passes);
        let bounded = cost.memory_kib <= MEMORY_KIB_MAX
            && cost.passes <= PASSES_MAX
            && cost.lanes <= LANES_MAX
            && work <= WORK_MAX;
        (bounded && fields.next().is_none()).then_some(cost)
    }
}

/// A hash that was read back.
struct Stored {
    cost: Cost,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Stored {
    fn parse(phc: &str) -> Option<Self> {
        if phc.len() > PHC_BYTES {
            return None;
        }
        let mut parts = phc.strip_prefix("$argon2id$v=19$")?.split('$');
        let cost = Cost::parse(parts.next()?)?;
        let salt = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
        let hash = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
        let sound = (8..=64).contains(&salt.len()) && (16..=64).contains(&hash.len());
        (sound && parts.next().is_none()).then_some(Self { cost, salt, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cost, PasswordFlaw, acceptable, hash, verify};

    #[test]
    fn a_password_fits_its_hash_only() {
        let stored = hash("correct horse", [1; 16]).unwrap();
        assert!(stored.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$AQEBAQ"));
        assert!(verify("correct horse", stored.as_str()));
        assert!(!verify("correct horse ", stored.as_str()));
        assert!(!verify("", stored.as_str()));
        assert_ne!(hash("correct horse", [2; 16]).unwrap().as_str(), stored.as_str());
        assert_eq!(format!("{stored:?}"), "PasswordHash");
    }

    /// A figure of the reference implementation (`phc-winner-argon2`, its test for 256 KiB, t=2).
    #[test]
    fn the_reference_hash_is_understood() {
        let phc =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(verify("password", phc));
        assert!(!verify("passwore", phc));
    }

    #[test]
    fn a_hostile_hash_asks_in_vain() {
        let tail = "AQEBAQEBAQEBAQEBAQEBAQ$AQEBAQEBAQEBAQEBAQEBAQ";
        for costs in [
            "m=4294967295,t=1,p=1",
            "m=262145,t=1,p=1",
            "m=262144,t=10,p=1",
            "m=19456,t=4294967295,p=1",
            "m=19456,t=2,p=9",
            "m=0,t=0,p=0",
            "m=+9,t=2,p=1",
            "m=,t=2,p=1",
            "t=2,m=19456,p=1",
            "m=19456,t=2,p=1,x=1",
            "",
        ] {
            assert!(!verify("password", &format!("$argon2id$v=19${costs}${tail}")), "{costs}");
        }
        assert!(Cost::parse("m=262144,t=4,p=8").is_some());
        for phc in [
            "",
            "$",
            "plain",
            "$argon2i$v=19$m=256,t=2,p=1$AQEB$AQEB",
            "$argon2id$v=16$m=256,t=2,p=1$AQEBAQEBAQE$AQEBAQEBAQEBAQEBAQEBAQ",
        ] {
            assert!(!verify("password", phc), "{phc}");
        }
        let good =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(!verify("password", &format!("{good}$")));
        assert!(!verify("password", &good.replace("v=19", "v=18")));
        assert!(!verify("password", &"$".repeat(100_000)));
    }

    #[test]
    fn lengths_count_characters() {
        for (password, answer) in [
            ("", Err(PasswordFlaw::TooShort)),
            ("1234567", Err(PasswordFlaw::TooShort)),
            ("12345678", Ok(())),
            ("пароль12", Ok(())),
            (&"é".repeat(512), Ok(())),
            (&"é".repeat(513), Err(PasswordFlaw::TooLong)),
            (&"x".repeat(1 << 20), Err(PasswordFlaw::TooLong)),
        ] {
            assert_eq!(acceptable(password), answer);
        }
        assert!(hash(&"x".repeat(513), [1; 16]).is_err());
    }
}
