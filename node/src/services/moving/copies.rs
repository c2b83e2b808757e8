//! Copies that are kept here for people whose friends live here, and given to whoever asks for them.

use std::sync::Arc;

use ruma::{OwnedUserId, ServerName, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wayside_identity::did::webvh::History;
use wayside_specs::limits;

use super::{Carried, Error, Moving, kept, seal};
use crate::{
    services::dids,
    store::{moving::CopyRow, visitors},
};

/// Largest luggage that is sealed, as text: what it is sealed with, and four letters for three bytes.
pub(super) const SEALED_LETTERS: usize = (limits::LUGGAGE_BYTES + PADDED_BYTES + 64) * 4 / 3 + 4;
/// Luggage is as long as a multiple of this.
const PADDED_BYTES: usize = 16 * 1024;
/// When to come again to a server that has enough to prove, in milliseconds.
const CROWDED_MS: u64 = 10_000;

/// A copy as another server brings it (specs/api.md, "Copies").
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Brought {
    /// The account that the log names.
    pub account: OwnedUserId,
    /// The log of the DID, a line for each version.
    pub log: String,
    /// The key to which the luggage is sealed. It is told to nobody but who keeps a copy: whoever knows it has the
    /// words, or the word of who has. A home of before is told without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal_key: Option<String>,
    /// The luggage, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// When that was packed.
    pub packed_ms: i64,
}

/// What is given to whoever asks: the same, of whoever lives here, or did when it was brought.
pub type Copy = Brought;

impl Moving {
    /// Keeps a copy that the home of somebody brings who is a friend of somebody here; or hears from it that
    /// somebody has moved there who lived here. Whether it is kept.
    pub async fn hold(
        &self,
        origin: &ServerName,
        scid: &str,
        brought: Brought,
    ) -> Result<bool, Error> {
        let refuse = |why: &str| Err(Error::Invalid(why.to_owned()));
        // Each is proven, which takes its time: whoever brings many waits, and nobody waits with them.
        let Ok(_turn) = self.holding.try_acquire() else {
            let why = "this server has enough copies to prove".to_owned();
            return Err(Error::Crowded { why, retry_ms: CROWDED_MS });
        };
        let Brought { account, log, seal_key, sealed, packed_ms } = brought;
        seal_key.as_deref().map(seal::key).transpose()?;
        if account.server_name() != origin {
            return Err(Error::Forbidden(format!("{account} does not live on {origin}")));
        }
        if sealed.as_ref().is_some_and(|it| it.len() > SEALED_LETTERS) {
            return Err(Error::TooLarge(format!(
                "luggage has at most {} bytes",
                limits::LUGGAGE_BYTES
            )));
        }
        if !(0..=self.ground.clock.now_ms() + limits::CLOCK_SKEW_MS).contains(&packed_ms) {
            return refuse("packed_ms is no time, or is still to come");
        }
        // Nobody proves logs for people whom nobody here knows.
        let known = self.beneath.persons.of_scid(scid).await?;
        let lived_here = known.as_ref().is_some_and(|(_, known)| log.as_bytes().starts_with(known));
        if known.is_some() && !lived_here {
            return refuse("the log does not go on from the one that is here");
        }
        let is_friend = self.beneath.friends.has_friend(&account).await?;
        if !lived_here && !is_friend {
            return Err(Error::Forbidden(format!("nobody here is a friend of {account}")));
        }
        let history = self.names(&log, scid, &account).await?;
        if lived_here {
            match self.beneath.persons.moved_away(&history, log.as_bytes()).await {
                // Whose account has ended here is told of nowhere any more.
                Ok(_) | Err(Error::AccountEnded) => {}
                Err(error) => return Err(error),
            }
        }
        if let (true, Some(seal_key), Some(sealed)) = (is_friend, seal_key, sealed) {
            let (scid, log) = (scid.to_owned(), log.into_bytes());
            let copy = CopyRow { scid, user_id: account, log, seal_key, sealed, packed_ms };
            self.keep(history, copy).await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// A log that proves itself, is that of a DID, and names an account.
    pub(super) async fn names(
        &self,
        log: &str,
        scid: &str,
        account: &UserId,
    ) -> Result<Arc<History>, Error> {
        let refuse = |why: &str| Err(Error::Invalid(why.to_owned()));
        let history = self.beneath.persons.proven(log.as_bytes().to_vec()).await?;
        if history.scid() != scid {
            return refuse("the log is that of another DID");
        }
        let names = history.latest().document.also_known_as();
        if !names.contains(&account.matrix_uri(false).to_string()) {
            return refuse("the log does not name that account");
        }
        Ok(history)
    }

    pub(super) async fn keep(&self, history: Arc<History>, copy: CopyRow) -> Result<(), Error> {
        let now_ms = self.ground.clock.now_ms();
        let subject = history.did().subject().to_owned();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                if !dids::keep(tx, &history, now_ms).await? {
                    let why = "the log leaves out or changes what was seen of this DID before";
                    return Err(Error::Invalid(why.to_owned()));
                }
                if visitors::is_of_another(tx, &copy.user_id, &subject).await? {
                    let why = "that account is known here as that of another person";
                    return Err(Error::Forbidden(why.to_owned()));
                }
                // The account names the DID by bringing its log, as the log names the account.
                tx.keep_subject(&subject, &copy.user_id, now_ms).await?;
                Ok(tx.keep_copy(&copy).await?)
            })
        });
        write.await
    }

    /// Keeps a copy no more, for a home that says so.
    pub async fn release(
        &self,
        origin: &ServerName,
        scid: &str,
        account: &UserId,
    ) -> Result<(), Error> {
        if account.server_name() != origin {
            return Err(Error::Forbidden(format!("{account} does not live on {origin}")));
        }
        let (scid, account) = (scid.to_owned(), account.to_owned());
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.forget_copy(&scid, &account).await?) })
        });
        write.await.map(drop)
    }

    /// What is known here of a person whom somebody looks for who moves: of those who live here, and of those whose
    /// copies are kept.
    pub async fn copy(
        &self,
        scid: Option<&str>,
        account: Option<&UserId>,
        seal_key: &str,
    ) -> Result<Copy, Error> {
        // Whoever does not know the key learns nothing, not even whose friends live here.
        let none = || Error::NotFound("no copy is kept here of that person".to_owned());
        let mut local = account.filter(|it| self.ground.is_local(it)).map(UserId::to_owned);
        if let Some(scid) = scid {
            local = self.beneath.persons.of_scid(scid).await?.map(|(user_id, _)| user_id);
        }
        if let Some(user_id) = local
            && let Some(carried) = self.beneath.persons.carried(&user_id).await?
        {
            let opens = |key: &Vec<u8>| same(&seal::text(key), seal_key);
            if !carried.seal_key.as_ref().is_some_and(opens) {
                return Err(none());
            }
            return self.packed(&user_id, carried).await;
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let row = match (scid, account) {
            (Some(scid), _) => kept::copy_of(&mut snapshot, scid).await?,
            (None, Some(account)) => kept::copy_of_account(&mut snapshot, account).await?,
            (None, None) => None,
        };
        let row = row.filter(|row| same(&row.seal_key, seal_key)).ok_or_else(none)?;
        let log = String::from_utf8(row.log).map_err(Error::internal)?;
        let CopyRow { user_id: account, seal_key, sealed, packed_ms, .. } = row;
        Ok(Copy { account, log, seal_key: Some(seal_key), sealed: Some(sealed), packed_ms })
    }

    /// What somebody who lives here would be given now; without luggage, where they have no words by which they come
    /// back.
    pub(super) async fn packed(&self, user_id: &UserId, carried: Carried) -> Result<Copy, Error> {
        let luggage = self.pack(user_id, &carried).await?;
        let mut told = luggage.told().to_string();
        // How long it is says how many somebody knows or blocks: it is so only roughly.
        let padded = told.len().next_multiple_of(PADDED_BYTES);
        told.extend(std::iter::repeat_n(' ', padded - told.len()));
        let seal = |key: &Vec<u8>| seal::sealed(key, &carried.scid, told.as_bytes());
        let sealed = carried.seal_key.as_ref().map(seal).transpose()?;
        let seal_key = carried.seal_key.as_deref().map(seal::text);
        let log = String::from_utf8(carried.log).map_err(Error::internal)?;
        let packed_ms = luggage.packed.0;
        Ok(Copy { account: user_id.to_owned(), log, seal_key, sealed, packed_ms })
    }
}

/// Whether two keys are the same, in a time that tells nothing of either: their hashes are.
fn same(one: &str, other: &str) -> bool {
    Sha256::digest(one) == Sha256::digest(other)
}
