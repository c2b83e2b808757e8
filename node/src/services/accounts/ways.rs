//! The ways into an account: by which of them its owner can show who they are, and that one always stays.

use std::sync::Arc;

use ruma::UserId;
use wayside_specs::limits;

use super::Accounts;
use crate::{
    services::Error,
    store::{Reads, StoreError, accounts, passkeys, providers},
};

/// By what the owner of an account can show who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ways {
    /// A password.
    pub password: bool,
    /// A passkey, where this node takes them.
    pub passkey: bool,
    /// The word of a provider of identities that this node knows.
    pub link: bool,
}

impl Ways {
    /// Whether there is any.
    #[must_use]
    pub fn any(self) -> bool {
        self.password || self.passkey || self.link
    }
}

/// Which ways this node takes, beside passwords.
#[derive(Clone)]
pub(super) struct Taken {
    passkeys: bool,
    issuers: Arc<[String]>,
}

impl Taken {
    /// The ways into an account as they are now.
    pub(super) async fn ways(
        &self,
        from: &mut impl Reads,
        user_id: &UserId,
    ) -> Result<Ways, StoreError> {
        let account = accounts::account(from, user_id).await?;
        let password = account.is_some_and(|account| account.password.is_some());
        let passkey = self.passkeys && !passkeys::of_person(from, user_id, 1).await?.is_empty();
        let links = providers::of_person(from, user_id, limits::LINKS_PER_USER).await?;
        let link = links.iter().any(|link| self.issuers.contains(&link.issuer));
        Ok(Ways { password, passkey, link })
    }

    /// Refuses to leave an account without any.
    pub(super) async fn check(&self, from: &mut impl Reads, user_id: &UserId) -> Result<(), Error> {
        if self.ways(from, user_id).await?.any() {
            return Ok(());
        }
        let why = "nothing else opens this account: set a password, or add another way first";
        Err(Error::Forbidden(why.to_owned()))
    }
}

impl Accounts {
    /// Takes the word of these providers, which are settled before the doors open.
    pub fn take_word_of(&self, issuers: impl Iterator<Item = String>) {
        let _settled = self.issuers.get_or_init(|| issuers.collect());
    }

    /// By what the owner of an account can show who they are.
    pub async fn ways(&self, user_id: &UserId) -> Result<Ways, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(self.taken().ways(&mut snapshot, user_id).await?)
    }

    pub(super) fn taken(&self) -> Taken {
        let issuers = self.issuers.get().cloned().unwrap_or_default();
        Taken { passkeys: self.offers_passkeys(), issuers }
    }
}
