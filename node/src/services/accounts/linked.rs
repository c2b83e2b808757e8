//! Accounts of those for whom a provider of identities vouches: they need no password of this node's.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{OwnedUserId, UserId};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wayside_specs::{Role, limits};

use super::{Account, Accounts, Confirmed, may_come};
use crate::{
    services::Error,
    store::{
        Reads, StoreError, Tx, accounts,
        providers::{self, LinkRow},
    },
};

/// Bytes of the short name of a link, before they are written as letters.
const ID_BYTES: usize = 12;

/// The name by which a provider knows somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whose name it is.
    pub issuer: String,
    /// The name.
    pub subject: String,
}

impl Accounts {
    /// Whose name this is with a provider, who vouches for them just now.
    pub async fn vouched(&self, known: &Known) -> Result<Option<(OwnedUserId, Confirmed)>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let user_id = providers::linked(&mut snapshot, &known.issuer, &known.subject).await?;
        Ok(user_id.map(|user_id| (user_id.clone(), Confirmed::vouched(user_id))))
    }

    /// Makes an account for somebody whom a provider knows.
    pub async fn register_known(
        &self,
        known: Known,
        name: &str,
        displayname: Option<String>,
    ) -> Result<(OwnedUserId, Confirmed), Error> {
        let user_id = self.checked_name(name)?;
        let now_ms = self.ground.clock.now_ms();
        let whose = user_id.clone();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let name = whose.localpart().to_owned();
                let made = tx.add_account(&whose, None, Role::Member, now_ms).await;
                made.map_err(|error| match error {
                    StoreError::Taken => Error::NameTaken(name),
                    other => other.into(),
                })?;
                if !tx.link(&known.issuer, &known.subject, &whose, now_ms).await? {
                    return Err(twice());
                }
                if let Some(displayname) = displayname {
                    let text = Value::String(displayname).to_string();
                    tx.set_profile_field(&whose, "displayname", Some(&text)).await?;
                }
                Ok(())
            })
        });
        write.await?;
        let confirmed = Confirmed::vouched(user_id.clone());
        Ok((user_id, confirmed))
    }

    /// Lets a provider vouch for somebody who has an account here, and has just proven it.
    pub async fn link(
        &self,
        known: Known,
        confirmed: Confirmed,
    ) -> Result<(OwnedUserId, Confirmed), Error> {
        let now_ms = self.ground.clock.now_ms();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let account = confirmed.still(tx).await?;
                add(tx, &known, &account, now_ms).await?;
                // What they showed is used; what they did by it speaks for them.
                let known = Confirmed::vouched(account.user_id.clone());
                Ok((account.user_id, known))
            })
        });
        write.await
    }

    /// Refuses whoever may not let one more provider vouch for them, and uses what they showed.
    pub async fn begin_linking(&self, confirmed: Confirmed) -> Result<OwnedUserId, Error> {
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let account = confirmed.still(tx).await?;
                room_for_one(tx, &account).await?;
                Ok(account.user_id)
            })
        });
        write.await
    }

    /// Lets a provider vouch for somebody who confirmed it before they went there.
    pub async fn finish_linking(&self, known: Known, user_id: &UserId) -> Result<(), Error> {
        let (user_id, now_ms) = (user_id.to_owned(), self.ground.clock.now_ms());
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let account = accounts::account(tx, &user_id).await?;
                may_come(account.clone())?;
                match account {
                    Some(account) => add(tx, &known, &account, now_ms).await,
                    None => Err(Error::AccountEnded),
                }
            })
        });
        write.await
    }

    /// By which names with providers somebody is known, the oldest first.
    pub async fn links(&self, user_id: &UserId) -> Result<Vec<LinkRow>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(providers::of_person(&mut snapshot, user_id, limits::LINKS_PER_USER).await?)
    }

    /// Lets a provider vouch no longer for somebody, unless nothing else opens their account.
    pub async fn unlink(
        &self,
        user_id: &UserId,
        id: &str,
        confirmed: Confirmed,
    ) -> Result<(), Error> {
        let (user_id, id, taken) = (user_id.to_owned(), id.to_owned(), self.taken());
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                confirmed.still(tx).await?;
                let links = providers::of_person(tx, &user_id, limits::LINKS_PER_USER).await?;
                let link = links.into_iter().find(|link| link_id(link) == id);
                let gone = || Error::NotFound("there is no such link".to_owned());
                let LinkRow { issuer, subject, .. } = link.ok_or_else(gone)?;
                if !tx.unlink(&issuer, &subject, &user_id).await? {
                    return Err(gone());
                }
                taken.check(tx, &user_id).await
            })
        });
        write.await
    }
}

/// The short name of a link: what the provider calls its person concerns nobody else.
#[must_use]
pub fn link_id(LinkRow { issuer, subject, .. }: &LinkRow) -> String {
    let whole = Sha256::new().chain_update(issuer).chain_update([0]).chain_update(subject);
    URL_SAFE_NO_PAD.encode(&whole.finalize()[..ID_BYTES])
}

async fn add(tx: &mut Tx, known: &Known, account: &Account, now_ms: i64) -> Result<(), Error> {
    room_for_one(tx, account).await?;
    let user_id = &account.user_id;
    if tx.link(&known.issuer, &known.subject, user_id, now_ms).await? {
        Ok(())
    } else {
        Err(twice())
    }
}

async fn room_for_one(from: &mut impl Reads, account: &Account) -> Result<(), Error> {
    // What a guest has is given up with a tab of a browser.
    if account.role == Role::Guest {
        return Err(Error::Guest);
    }
    let most = limits::LINKS_PER_USER;
    let known = providers::of_person(from, &account.user_id, most).await?;
    if i64::try_from(known.len()).is_ok_and(|count| count >= most) {
        let why =
            format!("at most {most} accounts elsewhere are known: end one of the links first");
        return Err(Error::TooLarge(why));
    }
    Ok(())
}

fn twice() -> Error {
    Error::Forbidden(
        "this account elsewhere opens an account here already: begin again to sign in by it"
            .to_owned(),
    )
}
