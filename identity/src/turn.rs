//! Names and passwords for TURN servers, which know a secret in common with this node.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// What a client shows to a TURN server.
pub struct Credentials {
    /// When it ends, in seconds since the epoch, and for whom it is.
    pub username: String,
    /// HMAC-SHA-1 of that under the common secret, in base64.
    pub password: String,
}

/// Credentials for somebody up to a time in seconds since the epoch, in the way that coturn calls
/// `use-auth-secret` (draft-uberti-behave-turn-rest). SHA-1 is what those servers know; as a keyed tag
/// it still holds.
///
/// # Panics
/// Never: HMAC takes keys of any length.
#[must_use]
pub fn credentials(secret: &str, user: &str, until_seconds: u64) -> Credentials {
    let username = format!("{until_seconds}:{user}");
    let mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes());
    let mut mac = mac.expect("HMAC takes keys of any length");
    mac.update(username.as_bytes());
    let password = STANDARD.encode(mac.finalize().into_bytes());
    Credentials { username, password }
}

#[cfg(test)]
mod tests {
    use super::credentials;

    /// Computed with Python's `hmac`.
    #[test]
    fn a_turn_server_that_knows_the_secret_computes_the_same() {
        let made = credentials("secret", "@user:example.com", 1_443_779_631);
        assert_eq!(made.username, "1443779631:@user:example.com");
        assert_eq!(made.password, "Xm0lErj7sx/fpxQLH9q1I3FF0uw=");
    }
}
