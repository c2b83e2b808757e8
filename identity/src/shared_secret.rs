//! Making accounts by a secret in common with this node, as Synapse's tools do it.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Who is to be made.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// What the node gave out for this one time.
    pub nonce: &'a str,
    /// The name.
    pub username: &'a str,
    /// The password.
    pub password: &'a str,
    /// Whether they run the node.
    pub admin: bool,
    /// A kind that some tools name.
    pub user_type: Option<&'a str>,
}

/// Whether a tag is that of a wish under the secret, compared in constant time
/// (Synapse, shared-secret registration). SHA-1 is what those tools know; as a keyed tag it still
/// holds.
///
/// # Panics
/// Never: HMAC takes keys of any length.
#[must_use]
pub fn is_asked_for(secret: &str, wish: &Wish<'_>, tag: &[u8]) -> bool {
    let mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes());
    let mut mac = mac.expect("HMAC takes keys of any length");
    let admin = if wish.admin { "admin" } else { "notadmin" };
    let parts =
        [Some(wish.nonce), Some(wish.username), Some(wish.password), Some(admin), wish.user_type];
    for (at, part) in parts.into_iter().flatten().enumerate() {
        if at > 0 {
            mac.update(&[0]);
        }
        mac.update(part.as_bytes());
    }
    mac.verify_slice(tag).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac`.
    #[test]
    fn only_the_tag_of_the_very_wish_counts() {
        let wish = Wish {
            nonce: "thisisanonce",
            username: "pepper_roni",
            password: "pizza",
            admin: true,
            user_type: None,
        };
        let tag: &[u8] = &[
            0x48, 0x71, 0x58, 0x42, 0xad, 0x67, 0xd5, 0xdc, 0x9a, 0x9e, 0xe9, 0x38, 0xa3, 0xbd,
            0xa4, 0xfc, 0xfa, 0xe8, 0xd7, 0xc7,
        ];
        assert!(is_asked_for("shared_secret", &wish, tag));
        assert!(!is_asked_for("other_secret", &wish, tag));
        for other in [
            Wish { admin: false, ..wish },
            Wish { nonce: "another", ..wish },
            Wish { user_type: Some("bot"), ..wish },
            Wish { password: "pizz", ..wish },
        ] {
            assert!(!is_asked_for("shared_secret", &other, tag));
        }
        assert!(!is_asked_for("shared_secret", &wish, b""));
        assert!(!is_asked_for("shared_secret", &wish, &tag[..19]));
    }
}
