//! Accounts of those for whom a provider of identities vouches: they need no password of this node's.

use ruma::OwnedUserId;
use serde_json::Value;
use wayside_specs::Role;

use super::{Accounts, Confirmed};
use crate::{
    services::Error,
    store::{StoreError, providers},
};

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
                // What a guest has is given up with a tab of a browser.
                if account.role == Role::Guest {
                    return Err(Error::Guest);
                }
                if !tx.link(&known.issuer, &known.subject, &account.user_id, now_ms).await? {
                    return Err(twice());
                }
                // What they showed is used; what they did by it speaks for them.
                let known = Confirmed::vouched(account.user_id.clone());
                Ok((account.user_id, known))
            })
        });
        write.await
    }
}

fn twice() -> Error {
    Error::Forbidden("you have an account here already: begin again to sign in to it".to_owned())
}
