//! Passwords: signing in with one, changing it, and the turns in which they are hashed.

use ruma::{OwnedUserId, UserId};
use wayside_identity::password;
use wayside_specs::{Role, limits};

use super::{
    Accounts, DeviceWish, Session, SignedIn, confirming::Used, gone, passkeys::Asserted,
    wrong_proof,
};
use crate::{
    services::Error,
    store::{Tx, accounts},
};

/// Somebody who showed their password or a passkey.
///
/// Checking takes long, and the account may change meanwhile. Whatever is done on the strength of
/// it is therefore done only where that still opens an account that lasts.
pub struct Confirmed {
    user_id: OwnedUserId,
    by: Proof,
}

/// What was shown.
enum Proof {
    /// A password, and the hash that it was checked against.
    Password(String),
    /// A passkey, which is used when the thing is done that it was shown for.
    Passkey(Asserted),
    /// What they confirmed on the node's own page, which is used like a passkey.
    Page(Used),
    /// Somebody vouches for them: an application service for its own user, or a provider of identities.
    Vouched,
}

impl Accounts {
    /// Signs a device in by password. Whoever asks learns nothing about which part was wrong.
    pub async fn sign_in(
        &self,
        user_id: &UserId,
        password: String,
        device: DeviceWish,
    ) -> Result<SignedIn, Error> {
        let confirmed = self.known(user_id, password).await?;
        self.admit(confirmed, device).await
    }

    /// Whoever knows an account's password.
    pub async fn known(&self, user_id: &UserId, password: String) -> Result<Confirmed, Error> {
        if let Some(confirmed) = self.confirm(user_id, password).await? {
            return Ok(confirmed);
        }
        let account = self.account(user_id).await?;
        let ended = account.is_some_and(|account| account.ended_ms.is_some());
        Err(if ended { Error::AccountEnded } else { wrong_proof() })
    }

    /// Checks a person's password, for coming in and for confirming what cannot be undone; nothing
    /// where it is another.
    pub async fn confirm(
        &self,
        user_id: &UserId,
        password: String,
    ) -> Result<Option<Confirmed>, Error> {
        let account = self.account(user_id).await?.filter(|account| account.ended_ms.is_none());
        let hash = account.and_then(|account| account.password);
        let right = self.verify(password, hash.clone()).await?;
        let user_id = user_id.to_owned();
        let confirmed = |hash| Confirmed { user_id, by: Proof::Password(hash) };
        Ok(hash.filter(|_| right).map(confirmed))
    }

    /// Uses what somebody showed for a thing that is done elsewhere.
    pub async fn spend(&self, confirmed: Confirmed) -> Result<(), Error> {
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { confirmed.still(tx).await.map(drop) })
        });
        write.await
    }

    pub(super) async fn admit(
        &self,
        confirmed: Confirmed,
        device: DeviceWish,
    ) -> Result<SignedIn, Error> {
        let (device, signed_in) = self.new_device(&confirmed.user_id, device)?;
        let now_ms = self.ground.clock.now_ms();
        let device = device.ok_or_else(wrong_proof)?;
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    confirmed.still(tx).await?;
                    Ok::<_, Error>(tx.sign_in(&confirmed.user_id, &device, now_ms).await?)
                })
            })
            .await?;
        Ok(signed_in)
    }

    /// Sets a new password and, if wished, signs the other devices out.
    pub async fn change_password(
        &self,
        session: &Session,
        confirmed: Confirmed,
        password: String,
        sign_others_out: bool,
    ) -> Result<(), Error> {
        let hash = self.hash(password).await?;
        let device_id = session.device_id.clone();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let account = confirmed.still(tx).await?;
                    if account.role == Role::Guest {
                        return Err(Error::Guest);
                    }
                    let user_id = &account.user_id;
                    tx.set_password(user_id, &hash).await?;
                    if sign_others_out {
                        for device in accounts::devices(tx, user_id).await? {
                            if device.device_id != device_id {
                                let id = device.device_id.as_str();
                                tx.remove_devices(user_id, Some(id)).await?;
                            }
                        }
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Gives a person a new password and, if wished, signs them out everywhere; for operators. A guest becomes
    /// a member by it, for it is by having a password that the two differ.
    pub async fn replace_password(
        &self,
        user_id: &UserId,
        password: String,
        sign_out: bool,
    ) -> Result<(), Error> {
        let hash = self.hash(password).await?;
        let user_id = user_id.to_owned();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    if !tx.keep_guest(&user_id, &hash, Role::Member).await?
                        && !tx.set_password(&user_id, &hash).await?
                    {
                        return Err(gone(&user_id));
                    }
                    if sign_out {
                        tx.remove_devices(&user_id, None).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    pub(in crate::services) async fn hash(&self, password: String) -> Result<String, Error> {
        password::acceptable(&password).map_err(|flaw| Error::WeakPassword(flaw.to_string()))?;
        let salt = self.ground.clock.random();
        self.in_turn(move || password::hash(&password, salt))
            .await?
            .map(|hash| hash.as_str().to_owned())
            .map_err(Error::internal)
    }

    /// Checks a password; where there is none to check against, takes as long all the same.
    async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Error> {
        if password.len() > 4 * limits::NAME_BYTES {
            return Ok(false);
        }
        let salt = self.ground.clock.random();
        self.in_turn(move || {
            if let Some(hash) = hash {
                return password::verify(&password, &hash);
            }
            let _same_effort = password::hash(&password, salt);
            false
        })
        .await
    }

    /// Does the work of hashing off the async threads, few at a time. The turn lasts as long as the
    /// work, also when whoever asked hangs up.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.hashing.clone().acquire_owned().await.map_err(Error::internal)?;
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }
}

impl Confirmed {
    /// What an application service does for its users needs no further proof.
    #[must_use]
    pub fn by_service(session: &Session) -> Option<Self> {
        session.service.as_ref().map(|_| Self::vouched(session.user_id.clone()))
    }

    /// Somebody for whom another vouched just now.
    pub(super) fn vouched(user_id: OwnedUserId) -> Self {
        Self { user_id, by: Proof::Vouched }
    }

    pub(super) fn by_passkey(user_id: OwnedUserId, shown: Asserted) -> Self {
        Self { user_id, by: Proof::Passkey(shown) }
    }

    /// Somebody who confirmed it on the node's own page.
    pub(super) fn on_page(user_id: OwnedUserId, used: Used) -> Self {
        Self { user_id, by: Proof::Page(used) }
    }

    /// Whose account it is.
    pub(super) fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// The account as it is now, unless what was shown does not open it any more. A passkey or a
    /// confirmation is used by this: what it was shown for is done in the same transaction, or neither.
    pub(in crate::services) async fn still(&self, tx: &mut Tx) -> Result<accounts::Account, Error> {
        let account = accounts::account(tx, &self.user_id).await?.ok_or_else(wrong_proof)?;
        if account.ended_ms.is_some() {
            return Err(Error::AccountEnded);
        }
        if account.held.locked {
            return Err(Error::Locked);
        }
        match &self.by {
            // Both are hashes that this store held: how long it takes to compare them tells nothing.
            Proof::Password(hash) if account.password.as_ref() != Some(hash) => Err(wrong_proof()),
            Proof::Passkey(shown) => shown.spend(tx).await.map(|()| account),
            Proof::Page(used) => used.spend(tx).await.map(|()| account),
            Proof::Password(_) | Proof::Vouched => Ok(account),
        }
    }
}
