//! Registrations that wait until a newcomer has shown on the node's own pages what they have to show.
//!
//! A program that does not know a stage opens its page (client-server API, user-interactive
//! authentication, fallback), and asks again with the session alone. Anybody may ask for an account: so
//! whoever asked keeps the session, under the node's seal, and only what was shown is kept here.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use wayside_identity::tag;

use super::{Accounts, Invited};
use crate::{
    services::Error,
    store::{StoreError, registrations},
};

pub use crate::store::registrations::Shown as ShownByNewcomer;

/// How long a newcomer may take, in milliseconds: as long as an address may be proven.
const WAIT_MS: i64 = 2 * 60 * 60_000;
/// Longest session.
const SESSION_BYTES: usize = 128;
/// Tell these seals from all others under the same key.
const SESSION: &[u8] = b"registration session";
const SECRET: &[u8] = b"registration secret";

impl Accounts {
    /// A session for somebody who asks for an account: the one that they show, if that is still good.
    #[must_use]
    pub fn registration_session(&self, shown: Option<&str>) -> String {
        if let Some(shown) = shown.filter(|shown| self.is_registration(shown)) {
            return shown.to_owned();
        }
        let random = URL_SAFE_NO_PAD.encode(self.ground.clock.random::<16>());
        let body = format!("{random}.{}", self.ground.clock.now_ms() + WAIT_MS);
        let seal = tag::seal(&self.ground.token_key, &[SESSION, body.as_bytes()]);
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(seal))
    }

    /// Whether this is a session of a registration that may still be shown something.
    #[must_use]
    pub fn is_registration(&self, session: &str) -> bool {
        self.ends_ms(session).is_some()
    }

    /// The secret with which the node's page has an address proven for a session.
    #[must_use]
    pub fn registration_secret(&self, session: &str) -> String {
        let seal = tag::seal(&self.ground.token_key, &[SECRET, session.as_bytes()]);
        URL_SAFE_NO_PAD.encode(seal)
    }

    /// Keeps what somebody showed for their registration. False where the session is none, or over.
    pub async fn keep_shown(&self, session: &str, shown: ShownByNewcomer) -> Result<bool, Error> {
        let Some(ends_ms) = self.ends_ms(session) else { return Ok(false) };
        let hash = hash(session);
        let keeping = self.ground.store.write::<(), StoreError>(move |tx| {
            Box::pin(async move { tx.keep_registration(&hash, &shown, ends_ms).await })
        });
        keeping.await?;
        Ok(true)
    }

    /// What somebody showed for their registration, if they did.
    pub async fn shown_for(&self, session: &str) -> Result<Option<ShownByNewcomer>, Error> {
        if !self.is_registration(session) {
            return Ok(None);
        }
        let (hash, now_ms) = (hash(session), self.ground.clock.now_ms());
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(registrations::shown(&mut snapshot, &hash, now_ms).await?)
    }

    /// Forgets a session whose account is made. What was shown in it counts its own uses.
    pub async fn forget_shown(&self, session: &str) -> Result<(), Error> {
        let hash = hash(session);
        let forgetting = self.ground.store.write::<(), StoreError>(move |tx| {
            Box::pin(async move { tx.drop_registration(&hash).await })
        });
        Ok(forgetting.await?)
    }

    /// What is kept of an invitation that somebody shows, if it still gives anything.
    pub async fn shown_invitation(&self, text: &str) -> Result<Option<ShownByNewcomer>, Error> {
        if !self.invitation_is_good(text).await? {
            return Ok(None);
        }
        Ok(Invited::by(text).ok().map(|Invited(hash)| ShownByNewcomer::Invitation(hash)))
    }

    /// Until when a session is good, if it is one.
    fn ends_ms(&self, session: &str) -> Option<i64> {
        ends_ms(&self.ground.token_key, session).filter(|end| *end > self.ground.clock.now_ms())
    }
}

fn ends_ms(key: &[u8; 32], session: &str) -> Option<i64> {
    if session.len() > SESSION_BYTES {
        return None;
    }
    let (body, seal) = session.rsplit_once('.')?;
    let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
    let is_sealed = tag::is_sealed(key, &[SESSION, body.as_bytes()], &seal);
    is_sealed.then(|| body.split_once('.')?.1.parse().ok())?
}

fn hash(session: &str) -> [u8; 32] {
    Sha256::digest(session).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_the_nodes_own_and_unchanged() {
        let key = [7; 32];
        let seal = |body: &str| {
            let seal = tag::seal(&key, &[SESSION, body.as_bytes()]);
            format!("{body}.{}", URL_SAFE_NO_PAD.encode(seal))
        };
        let session = seal("random.1000");
        assert_eq!(ends_ms(&key, &session), Some(1_000));
        assert_eq!(ends_ms(&[8; 32], &session), None);
        for at in 0..session.len() {
            let mut changed = session.clone().into_bytes();
            changed[at] ^= 1;
            assert_eq!(ends_ms(&key, &String::from_utf8(changed).unwrap()), None, "{at}");
        }
        for junk in ["", ".", "..", "random.1000", &"x".repeat(100_000)] {
            assert_eq!(ends_ms(&key, junk), None);
        }
        bolero::check!().with_type::<String>().for_each(|text| {
            assert_eq!(ends_ms(&key, text), None);
        });
    }
}
