//! Letting a device in that has no browser: it shows a code, which its person types elsewhere (RFC 8628).

use serde_json::{Value, json};
use wayside_identity::token::{Kind, Secret};

use super::{Given, Metadata, OAuth, OAuthError, Refusal, Scope, client::DEVICE, may};
use crate::{
    services::{Error, accounts::Confirmed},
    store::oauth::{self, Waiting},
};

/// How long a device waits, in milliseconds.
const WAIT_MS: i64 = 15 * 60_000;
/// How often it may ask, in milliseconds.
const ASK_MS: i64 = 5_000;
/// Letters of a code: no vowels, so that no words come about, and none that looks like another
/// (RFC 8628, 6.1).
const LETTERS: [u8; 20] = *b"BCDFGHJKLMNPQRSTVWXZ";
const CODE_LETTERS: usize = 8;
/// How often another code is tried where a device shows the same already.
const TRIES: usize = 4;

/// What a device is told that begins to wait.
pub struct Begun {
    device_code: String,
    user_code: String,
}

impl Begun {
    /// The answer, where people type the code at this address.
    #[must_use]
    pub fn told(&self, page: &str) -> Value {
        json!({
            "device_code": self.device_code,
            "user_code": shown(&self.user_code),
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?code={}", shown(&self.user_code)),
            "expires_in": WAIT_MS / 1_000,
            "interval": ASK_MS / 1_000,
        })
    }
}

impl OAuth {
    /// Begins the waiting of a device.
    pub async fn begin(&self, client_id: &str, scope: &str) -> Result<Begun, OAuthError> {
        let client = self.client(client_id).await?;
        may(&client, DEVICE)?;
        let scope = Scope::read(scope)?;
        let clock = self.ground.clock;
        let now_ms = clock.now_ms();
        let waiting = Waiting {
            client_id: client_id.to_owned(),
            scope: serde_json::to_string(&scope).map_err(Error::internal)?,
            allowed: None,
            user_id: None,
            // It may ask at once.
            asked_ms: now_ms - ASK_MS,
            expires_ms: now_ms + WAIT_MS,
        };
        for _ in 0..TRIES {
            let secret = Secret::mint(Kind::Device, clock.random());
            let code = new_code(&clock.random::<32>());
            let (hash, user_code, waiting) = (secret.hash().0, code.clone(), waiting.clone());
            let write = self.ground.store.write::<_, Error>(move |tx| {
                Box::pin(async move { Ok(tx.add_waiting(&hash, &user_code, &waiting).await?) })
            });
            if write.await? {
                let device_code = secret.reveal().to_owned();
                return Ok(Begun { device_code, user_code: code });
            }
        }
        let why = "too many devices wait just now: try again in a while";
        Err(Refusal::new("temporarily_unavailable", why).into())
    }

    /// The program on the device that shows a code.
    pub async fn look_at_device(&self, user_code: &str) -> Result<Metadata, OAuthError> {
        let code = read(user_code).ok_or_else(gone)?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let waiting = oauth::coded(&mut snapshot, &code).await?;
        drop(snapshot);
        let now_ms = self.ground.clock.now_ms();
        let open = |it: &Waiting| it.allowed.is_none() && it.expires_ms > now_ms;
        let waiting = waiting.filter(open).ok_or_else(gone)?;
        self.client(&waiting.client_id).await
    }

    /// Lets the device in that shows a code, or, without a proof of who says so, turns it away.
    pub async fn decide(&self, user_code: &str, by: Option<Confirmed>) -> Result<(), OAuthError> {
        let code = read(user_code).ok_or_else(gone)?;
        let now_ms = self.ground.clock.now_ms();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let account = match by {
                    Some(confirmed) => Some(confirmed.still(tx).await?),
                    None => None,
                };
                let user_id = account.as_ref().map(|it| &*it.user_id);
                if tx.decide(&code, user_id, now_ms).await? { Ok(()) } else { Err(gone()) }
            })
        });
        Ok(write.await?)
    }

    /// What a device is told that asks whether it was let in.
    pub async fn ask(&self, client_id: &str, device_code: &str) -> Result<Given, OAuthError> {
        let client = self.client(client_id).await?;
        let over = || {
            Refusal::new("expired_token", "the device has waited too long, or was let in already")
        };
        let secret = Secret::parse(device_code).filter(|secret| secret.kind() == Kind::Device);
        let hash = secret.ok_or_else(over)?.hash().0;
        let now_ms = self.ground.clock.now_ms();
        let mut snapshot = self.ground.store.snapshot().await?;
        let waiting = oauth::waiting(&mut snapshot, &hash).await?;
        drop(snapshot);
        let waiting = waiting.filter(|it| it.expires_ms > now_ms).ok_or_else(over)?;
        if waiting.client_id != client_id {
            return Err(
                Refusal::new("invalid_grant", "the device code is another program's").into()
            );
        }
        let Some(allowed) = waiting.allowed else {
            let soon = now_ms - waiting.asked_ms < ASK_MS;
            let write = self.ground.store.write::<_, Error>(move |tx| {
                Box::pin(async move { Ok(tx.note_waiting(&hash, now_ms).await?) })
            });
            write.await?;
            let (code, why) = if soon {
                ("slow_down", "the device asks more often than every five seconds")
            } else {
                ("authorization_pending", "nobody has decided yet")
            };
            return Err(Refusal::new(code, why).into());
        };
        let ended = self
            .ground
            .store
            .write::<_, Error>(move |tx| Box::pin(async move { Ok(tx.end_waiting(&hash).await?) }));
        // Of two that ask at once, one is let in.
        if !ended.await? {
            return Err(over().into());
        }
        let Some(user_id) = waiting.user_id.filter(|_| allowed) else {
            return Err(
                Refusal::new("access_denied", "the person did not let the device in").into()
            );
        };
        let scope: Scope = serde_json::from_str(&waiting.scope).map_err(Error::internal)?;
        let signed_in = self.sign_in(user_id, client_id, &client, scope.clone(), None).await?;
        let (_, tokens) = signed_in.and_then(|it| it.device).ok_or_else(over)?;
        Ok(Given { tokens, scope: Some(scope) })
    }
}

/// A code of letters that are each as likely as any other.
fn new_code(random: &[u8; 32]) -> String {
    // Bytes beyond the last whole round of the letters would make some of them likelier.
    let fair = random.iter().filter(|byte| **byte < 240);
    let letters = fair.map(|byte| LETTERS[usize::from(*byte) % LETTERS.len()]);
    letters.take(CODE_LETTERS).map(char::from).collect()
}

fn shown(code: &str) -> String {
    let (first, last) = code.split_at(code.len() / 2);
    format!("{first}-{last}")
}

/// The code in what somebody typed, however they wrote it.
fn read(typed: &str) -> Option<String> {
    let letters =
        typed.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_uppercase());
    let code: String = letters.take(CODE_LETTERS + 1).collect();
    let known = |c: u8| LETTERS.contains(&c);
    (code.len() == CODE_LETTERS && code.bytes().all(known)).then_some(code)
}

fn gone() -> Error {
    Error::NotFound("no device waits with this code: look whether it still shows it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_written() {
        for good in ["BCDF-GHJK", "bcdfghjk", " bcdf ghjk ", "B-C-D-F-G-H-J-K"] {
            assert_eq!(read(good).as_deref(), Some("BCDFGHJK"), "{good}");
        }
        for bad in ["", "BCDF-GHJ", "BCDF-GHJKL", "ABCDEFGH", "BCDF_GHJK", "БCDFGHJK"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(shown("BCDFGHJK"), "BCDF-GHJK");
        let code = new_code(&std::array::from_fn(|n| u8::try_from(n * 8).unwrap()));
        assert_eq!(read(&code), Some(code));
    }
}
