//! Whom somebody blocks, told so that a node recognises those whom it meets and learns of nobody else.
//!
//! Somebody who visits a world of another node wants not to meet whom they block at home, and that node is not
//! to learn whom that is. So it gets hashes of their names with a salt that is made anew for each visit: it can
//! tell whether somebody who is there is one of them, and neither compare two visits nor look up a list of names
//! that it has not asked for one by one.
//!
//! A name is an account (`@a:b`) or a person by the name that no move changes ([`wayside_specs::Did::subject`]).
//!
//! ```
//! use wayside_identity::blocks::{Blocks, BlocksError};
//!
//! let mut blocks = Blocks::new([7; 16]);
//! blocks.add("@eve:e.example");
//! let told = Blocks::read(&blocks.to_json())?;
//! assert!(told.has("@eve:e.example") && !told.has("@ada:a.example"));
//! # Ok::<(), BlocksError>(())
//! ```

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wayside_specs::limits;

/// Bytes of the salt, and of each hash.
pub const BYTES: usize = 16;
/// Most names that are told of.
pub const MOST: usize = limits::BLOCKS;
/// What sets these hashes apart from all others.
const DOMAIN: &[u8] = b"wayside block\0";

/// Why something tells of no blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlocksError {
    /// It is of another shape.
    #[error("reading blocks: {0}")]
    Malformed(&'static str),
    /// There are too many.
    #[error("reading blocks: there may be at most {MOST} hashes")]
    TooMany,
}

/// Whom somebody blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    salt: [u8; BYTES],
    hashes: BTreeSet<[u8; BYTES]>,
}

impl Blocks {
    /// Nobody, with a salt that is random and used for this alone.
    #[must_use]
    pub fn new(salt: [u8; BYTES]) -> Self {
        Self { salt, hashes: BTreeSet::new() }
    }

    /// Those of whom these are the hashes, of which the caller has no more than it wants to keep.
    #[must_use]
    pub fn from_parts(salt: [u8; BYTES], hashes: impl IntoIterator<Item = [u8; BYTES]>) -> Self {
        Self { salt, hashes: hashes.into_iter().collect() }
    }

    /// Reads what [`Self::to_json`] writes, of [`MOST`] names at most.
    pub fn read(value: &Value) -> Result<Self, BlocksError> {
        let broken = BlocksError::Malformed;
        let members = value.as_object().filter(|members| members.len() == 2);
        let members = members.ok_or(broken("they are an object with salt and hashes"))?;
        let salt = members.get("salt").and_then(bytes);
        let salt = salt.ok_or(broken("the salt must be 16 bytes in unpadded base64"))?;
        let hashes = members.get("hashes").and_then(Value::as_array);
        let hashes = hashes.ok_or(broken("the hashes must be a list"))?;
        if hashes.len() > MOST {
            return Err(BlocksError::TooMany);
        }
        let hashes: Option<Vec<_>> = hashes.iter().map(bytes).collect();
        let hashes = hashes.ok_or(broken("each hash must be 16 bytes in unpadded base64"))?;
        Ok(Self::from_parts(salt, hashes))
    }

    /// The salt and the hashes, each in base64 without padding.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let hashes: Vec<_> = self.hashes().map(|hash| STANDARD_NO_PAD.encode(hash)).collect();
        json!({ "salt": STANDARD_NO_PAD.encode(self.salt), "hashes": hashes })
    }

    /// Adds somebody by a name of theirs. Whoever is to tell of them adds [`MOST`] at most: one list of somebody
    /// at home may be longer, and is kept whole.
    pub fn add(&mut self, name: &str) {
        self.hashes.insert(self.hash(name));
    }

    /// Whether somebody of that name is among them.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        // Most people block nobody, and the question is asked for everybody whom they meet.
        !self.is_empty() && self.hashes.contains(&self.hash(name))
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The salt.
    #[must_use]
    pub fn salt(&self) -> &[u8; BYTES] {
        &self.salt
    }

    /// The hashes, the smallest first, so that their order tells nothing of when each was added.
    #[must_use]
    pub fn hashes(&self) -> impl ExactSizeIterator<Item = &[u8; BYTES]> {
        self.hashes.iter()
    }

    fn hash(&self, name: &str) -> [u8; BYTES] {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(self.salt)
            .chain_update(name)
            .finalize()
            .into();
        let (hash, _rest) = digest.split_first_chunk().expect("32 bytes begin with 16");
        *hash
    }
}

fn bytes(text: &Value) -> Option<[u8; BYTES]> {
    STANDARD_NO_PAD.decode(text.as_str()?).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; BYTES] = [7; BYTES];

    fn numbered(number: usize) -> [u8; BYTES] {
        let mut hash = [0; BYTES];
        hash[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
        hash
    }

    #[test]
    fn who_is_blocked_is_recognised_and_nobody_else() {
        let mut blocks = Blocks::new(SALT);
        assert!(blocks.is_empty() && !blocks.has("@eve:e.example"));
        for name in ["@eve:e.example", "did:webvh:QmX", "did:web:f.example", "@eve:e.example"] {
            blocks.add(name);
        }
        assert_eq!(blocks.len(), 3);
        for name in ["@eve:e.example", "did:webvh:QmX", "did:web:f.example"] {
            assert!(blocks.has(name), "{name}");
        }
        for name in ["", "@eve:e.exampl", "@Eve:e.example", "did:webvh:QmX:a.example", "QmX"] {
            assert!(!blocks.has(name), "{name}");
        }
        let mut other = Blocks::new([8; BYTES]);
        other.add("@eve:e.example");
        assert!(blocks.hashes().all(|hash| !other.hashes().any(|it| it == hash)));
    }

    #[test]
    fn blocks_are_told_and_read_again() {
        let mut blocks = Blocks::new(SALT);
        for name in ["", "@eve:e.example", "@mallory:m.example"] {
            blocks.add(name);
            assert_eq!(Blocks::read(&blocks.to_json()).as_ref(), Ok(&blocks));
            let parts = Blocks::from_parts(*blocks.salt(), blocks.hashes().copied());
            assert_eq!(parts, blocks);
        }
        let sorted: Vec<_> = blocks.hashes().collect();
        assert!(sorted.is_sorted());
        let nobody = json!({ "salt": "BwcHBwcHBwcHBwcHBwcHBw", "hashes": [] });
        assert_eq!(Blocks::read(&nobody), Ok(Blocks::new(SALT)));
        assert_eq!(Blocks::new(SALT).to_json(), nobody);
    }

    #[test]
    fn what_tells_of_no_blocks_is_refused() {
        let ok = "BwcHBwcHBwcHBwcHBwcHBw";
        assert!(Blocks::read(&json!({ "salt": ok, "hashes": [ok, ok] })).is_ok());
        for wrong in [
            json!(null),
            json!([ok, []]),
            json!({ "salt": ok }),
            json!({ "hashes": [] }),
            json!({ "salt": ok, "hashes": [], "names": [] }),
            json!({ "salt": ok, "hashes": {} }),
            json!({ "salt": ok, "hashes": ok }),
            json!({ "salt": vec![7; 16], "hashes": [] }),
            json!({ "salt": "", "hashes": [] }),
            json!({ "salt": "BwcHBwcHBwcHBwcHBwcHBw==", "hashes": [] }),
            // Bits behind the last byte: one salt has one text.
            json!({ "salt": "BwcHBwcHBwcHBwcHBwcHBx", "hashes": [] }),
            json!({ "salt": "BwcHBwcHBwcHBwcHBwcH", "hashes": [] }),
            json!({ "salt": "BwcHBwcHBwcHBwcHBwcHBwcH", "hashes": [] }),
            json!({ "salt": "_-cHBwcHBwcHBwcHBwcHBw", "hashes": [] }),
            json!({ "salt": ok, "hashes": [ok, null] }),
            json!({ "salt": ok, "hashes": [ok, "é"] }),
            json!({ "salt": ok, "hashes": [[7]] }),
        ] {
            let read = Blocks::read(&wrong);
            assert!(matches!(read, Err(BlocksError::Malformed(_))), "{wrong}: {read:?}");
        }
        bolero::check!().with_type::<String>().for_each(|text| {
            let read = Blocks::read(&json!({ "salt": text, "hashes": [text] }));
            assert!(read.is_err() || text.len() == 22);
        });
    }

    #[test]
    fn no_more_are_read_than_are_told() {
        let mut blocks = Blocks::from_parts(SALT, (0..MOST).map(numbered));
        assert_eq!(Blocks::read(&blocks.to_json()).as_ref(), Ok(&blocks));
        let again = Blocks::from_parts(SALT, (0..MOST).chain(0..MOST).map(numbered));
        assert_eq!(again, blocks);
        blocks.add("@eve:e.example");
        assert_eq!((blocks.len(), blocks.has("@eve:e.example")), (MOST + 1, true));
        assert_eq!(Blocks::read(&blocks.to_json()), Err(BlocksError::TooMany));
    }
}
