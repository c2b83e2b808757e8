//! Telling other services who somebody is (client-server API, `OpenID`).

use ruma::{OwnedUserId, UserId};
use wayside_identity::token::{Kind, Secret};

use super::{super::Error, Accounts};
use crate::store::openid;

/// How long such a token is good, in seconds.
pub const OPENID_SECONDS: i64 = 60 * 60;
/// Tokens of one person that are good at the same time.
const TOKENS: i64 = 20;

impl Accounts {
    /// A token by which another service can ask this node who they are; it opens nothing else.
    pub async fn openid_token(&self, user_id: &UserId) -> Result<Secret, Error> {
        let secret = Secret::mint(Kind::OpenId, self.ground.clock.random());
        let (hash, user_id) = (secret.hash().0, user_id.to_owned());
        let now_ms = self.ground.clock.now_ms();
        let lasts = (now_ms, now_ms + OPENID_SECONDS * 1_000);
        self.ground
            .store
            .write::<_, Error>(move |tx| {
                Box::pin(
                    async move { Ok(tx.add_openid_token(&hash, &user_id, lasts, TOKENS).await?) },
                )
            })
            .await?;
        Ok(secret)
    }

    /// Who made a token, while it is good and they live here.
    pub async fn openid_person(&self, token: &str) -> Result<Option<OwnedUserId>, Error> {
        let secret = Secret::parse(token).filter(|secret| secret.kind() == Kind::OpenId);
        let Some(secret) = secret else { return Ok(None) };
        let now_ms = self.ground.clock.now_ms();
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(openid::person(&mut snapshot, &secret.hash().0, now_ms).await?)
    }
}
