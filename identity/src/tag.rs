//! Keyed tags: proof that an opaque text that came back is one that went out.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// A tag of 8 bytes over some parts: HMAC-SHA-256 under a key of 32 secret bytes, cut short.
///
/// Each part is preceded by its length in 8 big-endian bytes, so that no two lists of parts read
/// alike. Eight bytes keep a guesser out who must ask this node each time; they do not suit what can
/// be tried offline at leisure.
#[must_use]
pub fn tag(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 8] {
    let mut tag = [0; 8];
    tag.copy_from_slice(&seal(key, parts)[..8]);
    tag
}

/// The same uncut: a seal of 32 bytes, which also suits what can be tried offline.
#[must_use]
pub fn seal(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // A key of 32 bytes stands in a block of 64, the rest zero: what RFC 2104 does with any key
    // that is shorter than a block, said so that it cannot fail.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether a tag belongs to the parts, in constant time; a tag of another length never does.
#[must_use]
pub fn matches(key: &[u8; 32], parts: &[&[u8]], claimed: &[u8]) -> bool {
    tag(key, parts).ct_eq(claimed).into()
}

/// Whether a seal belongs to the parts, in constant time; one of another length never does.
#[must_use]
pub fn is_sealed(key: &[u8; 32], parts: &[&[u8]], claimed: &[u8]) -> bool {
    seal(key, parts).ct_eq(claimed).into()
}

#[cfg(test)]
mod tests {
    use super::{matches, tag};

    #[test]
    fn a_tag_fits_its_key_and_parts_only() {
        let key = [1; 32];
        let mine = tag(&key, &[b"sync", b"42"]);
        assert!(matches(&key, &[b"sync", b"42"], &mine));
        for parts in [
            &[&b"sync"[..], b"43"][..],
            &[b"sync4", b"2"],
            &[b"sync42"],
            &[b"sync", b"42", b""],
            &[],
        ] {
            assert!(!matches(&key, parts, &mine));
        }
        assert!(!matches(&[2; 32], &[b"sync", b"42"], &mine));
        assert!(!matches(&key, &[b"sync", b"42"], &mine[..7]));
        assert!(!matches(&key, &[b"sync", b"42"], &[]));
    }

    #[test]
    fn a_seal_is_a_tag_uncut() {
        let (key, parts): ([u8; 32], [&[u8]; 2]) = ([1; 32], [b"sync", b"42"]);
        let whole = super::seal(&key, &parts);
        let sealed = |key, parts: [&[u8]; 2], seal: &[u8]| super::is_sealed(key, &parts, seal);
        assert!(sealed(&key, parts, &whole) && whole.starts_with(&super::tag(&key, &parts)));
        assert!(!sealed(&key, [b"sync", b"43"], &whole));
        assert!(!sealed(&[2; 32], parts, &whole));
        assert!(!sealed(&key, parts, &whole[..8]));
    }

    /// Computed with Python's `hmac`: databases and clients hold such tags.
    #[test]
    fn tags_stay_as_they_are() {
        assert_eq!(tag(&[1; 32], &[b"sync", b"42"]), EXPECTED);
    }

    const EXPECTED: [u8; 8] = [1, 220, 42, 235, 47, 203, 249, 45];
}
