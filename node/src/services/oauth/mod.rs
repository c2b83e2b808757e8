//! Letting programs in without showing them a password, on the node's own page (OAuth 2.0 as Matrix has it).
//!
//! A program introduces itself, sends its person to the sign-in page, and is sent back with a code
//! that it exchanges for tokens of one device. All that lasts is in the store.

mod client;
mod device;
mod redirect;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use wayside_identity::token::{Kind, Secret};

use self::client::{CODE, REFRESH};
pub use self::{client::Metadata, device::Begun, redirect::Authorization};
use super::{
    Error, Ground,
    accounts::{Accounts, Confirmed, DeviceWish, SignedIn, Tokens, may_come},
};
use crate::store::{accounts, oauth, tokens};

/// How long a code waits for the program to fetch what it stands for, in milliseconds.
const CODE_MS: i64 = 2 * 60_000;
/// Most programs that are known.
const CLIENTS: i64 = 100_000;
/// A program that let nobody in is forgotten after so long, in milliseconds.
const UNUSED_MS: i64 = 24 * 60 * 60_000;

/// The device scopes and those of the whole API, as they are written and were before they were stable.
const SCOPES: [(&str, &str); 2] = [
    ("urn:matrix:client:api:*", "urn:matrix:client:device:"),
    ("urn:matrix:org.matrix.msc2967.client:api:*", "urn:matrix:org.matrix.msc2967.client:device:"),
];

/// A program is refused, in the words of OAuth 2.0 (RFC 6749, 5.2; RFC 7591; RFC 8628).
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// The code.
    pub code: &'static str,
    /// The reason, for those who write the program.
    pub why: String,
}

/// What did not work.
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// The program did something wrong.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The node refuses, or failed.
    #[error(transparent)]
    Node(#[from] Error),
}

impl Refusal {
    fn new(code: &'static str, why: &str) -> Self {
        Self { code, why: why.to_owned() }
    }
}

impl From<crate::store::StoreError> for OAuthError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Node(error.into())
    }
}

/// The service.
pub struct OAuth {
    ground: Arc<Ground>,
    accounts: Arc<Accounts>,
}

/// What a program was let have: one device, and the words in which it asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The device.
    pub device_id: String,
    /// The words.
    pub text: String,
}

/// What a code stands for.
#[derive(Serialize, Deserialize)]
struct Asked {
    client_id: String,
    redirect_uri: String,
    challenge: String,
    scope: Scope,
}

/// The tokens of a program.
pub struct Given {
    /// The tokens.
    pub tokens: Tokens,
    /// What they open; nothing new where they were renewed.
    pub scope: Option<Scope>,
}

impl Scope {
    /// Reads what a program asks for: the whole API on one device. What this node does not know is
    /// left out (RFC 6749, 3.3).
    fn read(text: &str) -> Result<Self, Refusal> {
        let wrong = |why| Refusal::new("invalid_scope", why);
        let mut words = Vec::new();
        let mut device_id = None;
        let mut api = false;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            if SCOPES.iter().any(|(whole, _)| word == *whole) {
                api = true;
            } else if let Some(id) = SCOPES.iter().find_map(|(_, device)| word.strip_prefix(device))
            {
                if device_id.is_some_and(|known| known != id) {
                    return Err(wrong("scope names two devices"));
                }
                device_id = Some(id);
            } else {
                continue;
            }
            words.push(word);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        let device_id =
            device_id.filter(|id| (1..=255).contains(&id.len()) && id.chars().all(plain));
        match device_id {
            Some(id) if api => Ok(Self { device_id: id.to_owned(), text: words.join(" ") }),
            _ => Err(wrong(
                "scope holds urn:matrix:client:api:* and urn:matrix:client:device: with an id of 1 to 255 \
                 letters, digits and - . _ ~",
            )),
        }
    }
}

impl OAuth {
    /// The service on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>, accounts: Arc<Accounts>) -> Self {
        Self { ground, accounts }
    }

    /// Takes in what a program says of itself; gives its id, and what of it is understood.
    pub async fn register(&self, said: Metadata) -> Result<(String, Metadata), OAuthError> {
        let metadata = said.checked()?;
        let (client_id, text) = metadata.client_id().map_err(Error::internal)?;
        let (id, now_ms) = (client_id.clone(), self.ground.clock.now_ms());
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.add_client(&id, &text, now_ms, CLIENTS).await?) })
        });
        if !write.await? {
            let why = "this node knows too many programs just now: try again tomorrow";
            return Err(Refusal::new("temporarily_unavailable", why).into());
        }
        Ok((client_id, metadata))
    }

    /// What a program said of itself.
    pub async fn client(&self, client_id: &str) -> Result<Metadata, OAuthError> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let text = oauth::client(&mut snapshot, client_id).await?;
        let unknown =
            || Refusal::new("invalid_client", "this program is unknown here: it registers first");
        let text = text.ok_or_else(unknown)?;
        Ok(serde_json::from_str(&text).map_err(Error::internal)?)
    }

    /// What somebody must be shown before they let a program in.
    pub async fn look(&self, asked: &Authorization) -> Result<Metadata, OAuthError> {
        let client = self.client(&asked.client_id).await?;
        asked.target(&client)?;
        Ok(client)
    }

    /// Lets a program in, if what it asks is in order; gives the address to go to, with a code or with
    /// what was wrong.
    pub async fn allow(
        &self,
        asked: &Authorization,
        confirmed: Confirmed,
        issuer: &str,
    ) -> Result<String, OAuthError> {
        let client = self.client(&asked.client_id).await?;
        let target = asked.target(&client)?;
        let (scope, challenge) = match asked.checked(&client) {
            Ok(checked) => checked,
            Err(refusal) => return Ok(target.refused(&refusal, issuer)),
        };
        let wanted = Asked {
            client_id: asked.client_id.clone(),
            redirect_uri: asked.redirect_uri.clone(),
            challenge,
            scope,
        };
        let text = serde_json::to_string(&wanted).map_err(Error::internal)?;
        let secret = Secret::mint(Kind::Code, self.ground.clock.random());
        let (hash, now_ms) = (secret.hash().0, self.ground.clock.now_ms());
        let client_id = wanted.client_id;
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let account = confirmed.still(tx).await?;
                tx.note_client(&client_id, now_ms).await?;
                Ok(tx.add_grant(&hash, &account.user_id, Some(&text), now_ms + CODE_MS).await?)
            })
        });
        write.await?;
        Ok(target.with(&[("code", secret.reveal())], issuer))
    }

    /// Where to go when somebody does not let a program in.
    pub async fn deny(&self, asked: &Authorization, issuer: &str) -> Result<String, OAuthError> {
        let client = self.client(&asked.client_id).await?;
        let refusal = Refusal::new("access_denied", "the person did not let the program in");
        Ok(asked.target(&client)?.refused(&refusal, issuer))
    }

    /// Gives a program the tokens that a code stands for.
    pub async fn exchange(
        &self,
        client_id: &str,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
    ) -> Result<Given, OAuthError> {
        let client = self.client(client_id).await?;
        let wrong = || {
            Refusal::new("invalid_grant", "the code is unknown, used, over or another program's")
        };
        let secret = Secret::parse(code).filter(|secret| secret.kind() == Kind::Code);
        let hash = secret.ok_or_else(wrong)?.hash().0;
        let now_ms = self.ground.clock.now_ms();
        let mut snapshot = self.ground.store.snapshot().await?;
        let grant = tokens::grant(&mut snapshot, &hash, now_ms).await?.ok_or_else(wrong)?;
        drop(snapshot);
        let asked = grant.asked.as_deref().ok_or_else(wrong)?;
        let asked: Asked = serde_json::from_str(asked).map_err(Error::internal)?;
        let shown = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let proves = bool::from(shown.as_bytes().ct_eq(asked.challenge.as_bytes()));
        if asked.client_id != client_id || asked.redirect_uri != redirect_uri || !proves {
            return Err(wrong().into());
        }
        let signed_in = self
            .sign_in(grant.user_id, client_id, &client, asked.scope.clone(), Some(hash))
            .await?;
        let (_, tokens) = signed_in.and_then(|it| it.device).ok_or_else(wrong)?;
        Ok(Given { tokens, scope: Some(asked.scope) })
    }

    /// Makes a program's device; nothing where the grant that lets it was used before, which ends
    /// what was given for it then (RFC 6749, 4.1.2).
    async fn sign_in(
        &self,
        user_id: OwnedUserId,
        client_id: &str,
        client: &Metadata,
        scope: Scope,
        grant: Option<[u8; 32]>,
    ) -> Result<Option<SignedIn>, Error> {
        let renewable = client.may(REFRESH);
        let wish = DeviceWish {
            device_id: Some(scope.device_id.into()),
            name: Some(client.name().chars().take(100).collect()),
            renewable,
            client_id: Some(client_id.to_owned()),
            ..DeviceWish::default()
        };
        let (device, signed_in) = self.accounts.new_device(&user_id, wish)?;
        let now_ms = self.ground.clock.now_ms();
        let client_id = client_id.to_owned();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let Some(device) = device else { return Ok(false) };
                may_come(accounts::account(tx, &user_id).await?)?;
                if let Some(hash) = grant {
                    let Some(grant) = tokens::grant(tx, &hash, now_ms).await? else {
                        return Ok(false);
                    };
                    if let Some(device_id) = grant.used_by {
                        tx.lock_device(&grant.user_id, &device_id).await?;
                        return Ok(false);
                    }
                    tx.use_grant(&hash, device.device_id.as_str()).await?;
                }
                tx.note_client(&client_id, now_ms).await?;
                tx.sign_in(&user_id, &device, now_ms).await?;
                Ok(true)
            })
        });
        Ok(write.await?.then_some(signed_in))
    }

    /// Renews the tokens of a program.
    pub async fn renew(&self, client_id: &str, token: &str) -> Result<Given, OAuthError> {
        self.client(client_id).await?;
        match self.accounts.renew(token, Some(client_id)).await {
            Ok(tokens) => Ok(Given { tokens, scope: None }),
            Err(Error::SoftLogout) => {
                let why = "the refresh token is unknown, replaced or another program's";
                Err(Refusal::new("invalid_grant", why).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Signs a program's device out by one of its tokens (RFC 7009).
    pub async fn revoke(&self, client_id: Option<&str>, token: &str) -> Result<(), OAuthError> {
        match self.accounts.revoke(token, client_id).await {
            Err(Error::Forbidden(why)) => Err(Refusal::new("invalid_client", &why).into()),
            done => Ok(done?),
        }
    }

    /// Where to go back to with a login token, for somebody who signed in for a client of before OAuth
    /// (client-server API, `m.login.sso`).
    pub async fn sign_on(&self, redirect: &str, confirmed: Confirmed) -> Result<String, Error> {
        let target = redirect::plain(redirect)?;
        let token = self.accounts.login_token(confirmed).await?;
        Ok(redirect::with_login_token(target, &token))
    }

    /// The host or program to which a login token would go.
    pub fn sign_on_target(&self, redirect: &str) -> Result<String, Error> {
        redirect::plain(redirect).map(|url| redirect::shown(&url))
    }

    /// Forgets what has lasted too long.
    pub async fn forget(&self) {
        let now_ms = self.ground.clock.now_ms();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.forget_grants(now_ms, now_ms - UNUSED_MS).await?) })
        });
        if let Err(error) = write.await {
            tracing::warn!(%error, "forgetting codes that were not fetched failed; it is tried again");
        }
    }
}

/// Whether a program may use a grant.
fn may(client: &Metadata, grant: &str) -> Result<(), Refusal> {
    if client.may(grant) {
        return Ok(());
    }
    Err(Refusal::new("unauthorized_client", &format!("the program did not register for {grant}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_the_api_on_one_device() {
        let read = |text: &str| Scope::read(text).map(|it| (it.device_id, it.text)).ok();
        let stable = "urn:matrix:client:api:* urn:matrix:client:device:ABC-1._~";
        assert_eq!(read(stable), Some(("ABC-1._~".to_owned(), stable.to_owned())));
        let before = "urn:matrix:org.matrix.msc2967.client:device:AB urn:matrix:org.matrix.msc2967.client:api:*";
        assert_eq!(read(&format!("openid {before}")), Some(("AB".to_owned(), before.to_owned())));
        for bad in [
            "",
            "urn:matrix:client:api:*",
            "urn:matrix:client:device:AB",
            "urn:matrix:client:api:* urn:matrix:client:device:",
            "urn:matrix:client:api:* urn:matrix:client:device:A/B",
            "urn:matrix:client:api:* urn:matrix:client:device:A urn:matrix:client:device:B",
            &format!("urn:matrix:client:api:* urn:matrix:client:device:{}", "x".repeat(256)),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
