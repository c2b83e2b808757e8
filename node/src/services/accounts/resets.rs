//! New passwords for those who have forgotten theirs: by a link of whoever runs the node, or by a passkey.

use ruma::{OwnedUserId, UserId};
use wayside_identity::token::{Kind, Secret};
use wayside_specs::Role;

use super::{Accounts, Confirmed, gone, may_come, tokens::NO_DEVICE};
use crate::{
    services::Error,
    store::{Tx, accounts, tokens},
};

/// How long such a link is good, in milliseconds.
const RESET_MS: i64 = 24 * 60 * 60_000;

impl Accounts {
    /// The end of a link by which somebody chooses a new password, once and within a day. It is shown
    /// once and stored only as a hash.
    pub async fn reset_link(&self, user_id: &UserId) -> Result<String, Error> {
        let secret = Secret::mint(Kind::Reset, self.ground.clock.random());
        let (hash, user_id) = (secret.hash().0, user_id.to_owned());
        let expires_ms = self.ground.clock.now_ms() + RESET_MS;
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let account = accounts::account(tx, &user_id).await?;
                may_come(Some(account.ok_or_else(|| gone(&user_id))?))?;
                Ok(tx.add_grant(&hash, &user_id, None, expires_ms).await?)
            })
        });
        write.await?;
        Ok(secret.reveal().to_owned())
    }

    /// Whose password such a link changes, while it is good.
    pub async fn reset_of(&self, link: &str) -> Result<OwnedUserId, Error> {
        let hash = hash_of(link)?;
        let now_ms = self.ground.clock.now_ms();
        let mut snapshot = self.ground.store.snapshot().await?;
        let grant = tokens::grant(&mut snapshot, &hash, now_ms).await?;
        let grant = grant.filter(|grant| grant.used_by.is_none()).ok_or_else(over)?;
        Ok(grant.user_id)
    }

    /// Sets the password that somebody chose who holds such a link, and signs them out everywhere: who
    /// has forgotten theirs does not know who else has it.
    pub async fn reset(&self, link: &str, password: String) -> Result<OwnedUserId, Error> {
        // Hashing takes long: it is not done for everybody who asks.
        let user_id = self.reset_of(link).await?;
        let (hash, password) = (hash_of(link)?, self.hash(password).await?);
        let (now_ms, whose) = (self.ground.clock.now_ms(), user_id.clone());
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                tokens::grant(tx, &hash, now_ms).await?.ok_or_else(over)?;
                if !tx.use_grant(&hash, NO_DEVICE).await? {
                    return Err(over());
                }
                may_come(accounts::account(tx, &whose).await?)?;
                replace(tx, &whose, &password).await
            })
        });
        write.await?;
        Ok(user_id)
    }

    /// The same for somebody who showed a passkey for it.
    pub async fn reset_by(
        &self,
        confirmed: Confirmed,
        password: String,
    ) -> Result<OwnedUserId, Error> {
        let password = self.hash(password).await?;
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let account = confirmed.still(tx).await?;
                replace(tx, &account.user_id, &password).await?;
                Ok(account.user_id)
            })
        });
        write.await
    }
}

/// Sets a password that was forgotten, and signs its owner out everywhere. Passkeys stay: they are
/// what nobody could have come by who learnt the old one.
async fn replace(tx: &mut Tx, user_id: &UserId, password: &str) -> Result<(), Error> {
    // A guest becomes a member by having a password.
    if !tx.keep_guest(user_id, password, Role::Member).await? {
        tx.set_password(user_id, password).await?;
    }
    Ok(tx.remove_devices(user_id, None).await?)
}

fn hash_of(link: &str) -> Result<[u8; 32], Error> {
    let secret = Secret::parse(link).filter(|secret| secret.kind() == Kind::Reset);
    Ok(secret.ok_or_else(over)?.hash().0)
}

fn over() -> Error {
    Error::NotFound(
        "this link is used up or over: ask whoever runs the node for a new one".to_owned(),
    )
}
