//! Ceremonies under way: what the node must know again when a challenge is answered, kept by whoever asked.
//!
//! A page begins a ceremony before it knows whether anybody will answer, and asks anew every few
//! minutes. What is kept for that would be kept for strangers; so they keep it themselves, under the
//! node's seal. Of answers the node remembers only that they were given.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use wayside_identity::tag;
use wayside_specs::limits;

use crate::services::Error;

/// How long somebody may take over a ceremony, in milliseconds.
pub const CEREMONY_MS: i64 = 5 * 60_000;
/// Tells these seals from all others under the same key.
const LABEL: &[u8] = b"passkey ceremony";

/// What a ceremony is for. An answer for one thing is good for no other, and for nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::services::accounts) enum Purpose {
    /// To sign in, or let a program in.
    SignIn,
    /// To choose a new password.
    Password,
    /// To confirm what somebody does who is signed in.
    Confirm(OwnedUserId),
    /// To add a passkey to an account.
    Add(OwnedUserId),
}

/// A ceremony as it is sealed.
#[derive(Serialize, Deserialize)]
struct Ceremony<S> {
    purpose: Purpose,
    state: S,
    expires_ms: i64,
}

/// A challenge that was answered in time, and for what it was asked.
pub(super) struct Answered<S> {
    /// What the node must know of it.
    pub(super) state: S,
    /// What tells it from all others.
    pub(super) hash: [u8; 32],
    /// Until when the answer must not be taken again.
    pub(super) expires_ms: i64,
}

/// Seals a ceremony that begins now.
pub(super) fn seal<S: Serialize>(
    key: &[u8; 32],
    purpose: Purpose,
    state: S,
    now_ms: i64,
) -> Result<String, Error> {
    let ceremony = Ceremony { purpose, state, expires_ms: now_ms + CEREMONY_MS };
    let text = serde_json::to_vec(&ceremony).map_err(Error::internal)?;
    let seal = tag::seal(key, &[LABEL, &text]);
    Ok(format!("{}.{}", URL_SAFE_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(seal)))
}

/// Opens a ceremony that is answered now.
pub(super) fn open<S: DeserializeOwned>(
    key: &[u8; 32],
    purpose: &Purpose,
    sealed: &str,
    now_ms: i64,
) -> Result<Answered<S>, Error> {
    if sealed.len() > limits::REQUEST_BYTES {
        return Err(over());
    }
    let (text, seal) = sealed.split_once('.').ok_or_else(over)?;
    let text = URL_SAFE_NO_PAD.decode(text).map_err(|_| over())?;
    let seal = URL_SAFE_NO_PAD.decode(seal).map_err(|_| over())?;
    if !tag::is_sealed(key, &[LABEL, &text], &seal) {
        return Err(over());
    }
    // What the node has sealed it can read, unless a newer one did.
    let ceremony: Ceremony<serde_json::Value> =
        serde_json::from_slice(&text).map_err(Error::internal)?;
    if ceremony.purpose != *purpose || ceremony.expires_ms <= now_ms {
        return Err(over());
    }
    let state = serde_json::from_value(ceremony.state).map_err(Error::internal)?;
    let hash = Sha256::digest(&text).into();
    Ok(Answered { state, hash, expires_ms: ceremony.expires_ms })
}

/// One answer for all that is wrong with a ceremony.
pub(super) fn over() -> Error {
    Error::Forbidden("this took too long, was for something else or is used: try again".to_owned())
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn opens(key: &[u8; 32], purpose: &Purpose, sealed: &str, now_ms: i64) -> Option<u32> {
        match open::<u32>(key, purpose, sealed, now_ms) {
            Ok(answered) => Some(answered.state),
            Err(Error::Forbidden(_)) => None,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_ceremony_is_answered_for_what_it_was_begun_and_in_time() {
        let ann = Purpose::Confirm(user_id!("@ann:a.test").to_owned());
        let sealed = seal(&KEY, ann.clone(), 42_u32, 1_000).unwrap();
        assert_eq!(opens(&KEY, &ann, &sealed, 1_000), Some(42));
        assert_eq!(opens(&KEY, &ann, &sealed, 1_000 + CEREMONY_MS - 1), Some(42));
        assert_eq!(opens(&KEY, &ann, &sealed, 1_000 + CEREMONY_MS), None);
        assert_eq!(opens(&[8; 32], &ann, &sealed, 1_000), None);
        for other in [
            Purpose::SignIn,
            Purpose::Password,
            Purpose::Add(user_id!("@ann:a.test").to_owned()),
            Purpose::Confirm(user_id!("@bob:a.test").to_owned()),
        ] {
            assert_eq!(opens(&KEY, &other, &sealed, 1_000), None, "{other:?}");
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(opens(&KEY, &ann, &changed, 1_000), None, "{at}");
        }
    }

    #[test]
    fn what_strangers_make_up_opens_nothing() {
        for junk in ["", ".", "..", "e30.e30", "a.b.c", &"x".repeat(300_000)] {
            assert_eq!(opens(&KEY, &Purpose::SignIn, junk, 0), None);
        }
        bolero::check!().with_type::<String>().for_each(|text| {
            assert_eq!(opens(&KEY, &Purpose::SignIn, text, 0), None);
        });
    }
}
