//! Moving house: whoever comes to live here brings their DID, and whoever has gone is found where they went.

use std::sync::Arc;

use ruma::{OwnedServerName, OwnedUserId, UserId};
use serde_json::Value;
use wayside_identity::{
    did::webvh::{History, Place},
    json,
};
use wayside_specs::{Did, limits};

use super::{Identity, Persons, is_at, lines_of, own_log, shown::account_of};
use crate::{services::Error, store::persons};

/// What a person of this node needs to come back without it.
#[derive(Clone, Debug)]
pub struct Carried {
    /// By what they are compared, wherever they live.
    pub scid: String,
    /// The log of their DID.
    pub log: Vec<u8>,
    /// The key to which their luggage is sealed, if their client has given one.
    pub seal_key: Option<Vec<u8>>,
    /// The accounts that they have left, as the log names them.
    pub formerly: Vec<OwnedUserId>,
}

impl Persons {
    /// Takes over the DID of somebody who comes to live here by an account that they have made: the whole log, of
    /// which the last version names this place. It replaces the DID that the account was given when it was made.
    pub async fn move_in(&self, user_id: &UserId, lines: &str) -> Result<Identity, Error> {
        let before = persons::of_account(&mut self.ground.store.snapshot().await?, user_id).await?;
        let mut log = lines.trim_end_matches('\n').as_bytes().to_vec();
        log.push(b'\n');
        let history = Arc::new(self.dids.proven(log.clone()).await?);
        if !self.judge(user_id, &history, 0)? {
            return Err(Error::Invalid("the log does not lead to this node".to_owned()));
        }
        self.keep(user_id, before, (history, log), true).await?;
        self.identity(user_id).await
    }

    /// Takes in that somebody has moved who lived here, as their new home tells it: their log proves itself. Whether
    /// they lived here at all.
    pub async fn moved_away(&self, history: &Arc<History>, log: &[u8]) -> Result<bool, Error> {
        let row =
            persons::of_scid(&mut self.ground.store.snapshot().await?, history.scid()).await?;
        let Some(row) = row else { return Ok(false) };
        let user_id = row.user_id.clone();
        if self.judge(&user_id, history, lines_of(&row.log))? {
            return Err(Error::Invalid("by that log they live here still".to_owned()));
        }
        self.keep(&user_id, Some(row), (history.clone(), log.to_vec()), false).await?;
        Ok(true)
    }

    /// A log that somebody else brings, proven.
    pub async fn proven(&self, log: Vec<u8>) -> Result<Arc<History>, Error> {
        self.dids.proven(log).await.map(Arc::new)
    }

    /// The log of a did:webvh as its own place has it, proven, and the server of the account that it names; nothing
    /// where nobody answers there.
    pub async fn published(
        &self,
        did: &Did,
    ) -> Result<Option<(String, Option<OwnedServerName>)>, Error> {
        let Ok(place) = Place::of(did) else { return Ok(None) };
        let log = match self.dids.published(place.log(), limits::DID_LOG_BYTES).await {
            Ok(log) => log.to_vec(),
            Err(why) if why.is_absence() => return Ok(None),
            Err(why) => return Err(Error::Invalid(why.to_string())),
        };
        // Whoever holds the name of a home that is dead may answer anything there.
        let proven = self.dids.proven(log.clone()).await;
        let is_theirs = proven.is_ok_and(|history| history.did().subject() == did.subject());
        let server = accounts_in(&log).first().map(|account| account.server_name().to_owned());
        Ok(String::from_utf8(log).ok().filter(|_| is_theirs).map(|log| (log, server)))
    }

    /// What somebody who lives here needs to come back without this node; nothing where they have no DID of their
    /// own, or do not live here any more.
    pub async fn carried(&self, user_id: &UserId) -> Result<Option<Carried>, Error> {
        let row = persons::of_account(&mut self.ground.store.snapshot().await?, user_id).await?;
        let Some(row) = row else { return Ok(None) };
        if !own_log(self.site.get(), user_id).is_some_and(|own| is_at(&row.did, &own)) {
            return Ok(None);
        }
        let mut formerly = accounts_in(&row.log);
        formerly.retain(|one| one != user_id);
        Ok(Some(Carried { scid: row.scid, log: row.log, seal_key: row.seal_key, formerly }))
    }

    /// Who lives here, or did, of whom somebody asks by their SCID, and the log that is here.
    pub async fn of_scid(&self, scid: &str) -> Result<Option<(OwnedUserId, Vec<u8>)>, Error> {
        let row = persons::of_scid(&mut self.ground.store.snapshot().await?, scid).await?;
        Ok(row.map(|row| (row.user_id, row.log)))
    }

    /// Whether somebody has a DID that was written here, wherever they are now.
    pub async fn has_log(&self, user_id: &UserId) -> Result<bool, Error> {
        let row = persons::of_account(&mut self.ground.store.snapshot().await?, user_id).await?;
        Ok(row.is_some())
    }
}

/// The accounts that the versions of a log name, the latest first. It was proven when it was taken in.
fn accounts_in(log: &[u8]) -> Vec<OwnedUserId> {
    let mut found = Vec::new();
    for line in log.split(|byte| *byte == b'\n').rev() {
        let Ok(entry) = json::read(line) else { continue };
        let names = entry["state"]["alsoKnownAs"].as_array().into_iter().flatten();
        for account in names.filter_map(Value::as_str).filter_map(account_of) {
            if !found.contains(&account) {
                found.push(account);
            }
        }
    }
    found
}
