//! What somebody takes along as files, for those who run nodes: out of the one, and into the other.
//!
//! It is a copy as friends' servers keep one, whose luggage nobody opens but its person, and beside it their bodies and
//! their uploads. Who comes by it still moves in by their own words: what was brought is found on the new node itself.

use std::sync::Arc;

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use wayside_specs::limits;

use super::{Error, Moving, copies, seal};
use crate::store::{
    assets,
    media::{self, MediaRow},
    moving::CopyRow,
};

/// The version of the format.
const VERSION: u64 = 1;
/// Uploads that are looked up together.
const PAGE: i64 = 500;

/// Somebody as they leave a node.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Exported {
    version: u64,
    /// By what they are compared.
    scid: String,
    /// The account that they leave.
    pub account: OwnedUserId,
    log: String,
    seal_key: String,
    sealed: String,
    packed_ms: i64,
}

/// An upload of somebody.
#[derive(Debug, Serialize)]
pub struct Upload {
    /// Its id on the node that it is left on.
    pub media_id: String,
    /// The hash of its bytes.
    pub sha256: String,
    /// What it is.
    pub content_type: Option<String>,
    /// What its person called it.
    pub file_name: Option<String>,
    #[serde(skip)]
    blob: [u8; 32],
}

impl Moving {
    /// What somebody takes along who has saved the words by which they come back.
    pub async fn export(&self, user_id: &UserId) -> Result<Exported, Error> {
        let none = || Error::NotFound(format!("{user_id} has no identity of their own here"));
        let carried = self.beneath.persons.carried(user_id).await?.ok_or_else(none)?;
        let scid = carried.scid.clone();
        let copy = self.packed(user_id, carried).await?;
        let (Some(seal_key), Some(sealed)) = (copy.seal_key, copy.sealed) else {
            let why = "they have not saved the words by which they come back: nothing could be sealed for them";
            return Err(Error::Forbidden(why.to_owned()));
        };
        let (account, log, packed_ms) = (copy.account, copy.log, copy.packed_ms);
        Ok(Exported { version: VERSION, scid, account, log, seal_key, sealed, packed_ms })
    }

    /// The hashes of somebody's bodies.
    pub async fn bodies_of(&self, user_id: &UserId) -> Result<Vec<[u8; 32]>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let all = assets::avatars_of(&mut snapshot, user_id).await?;
        Ok(all.into_iter().map(|it| it.blob).collect())
    }

    /// The uploads of somebody behind one of them.
    pub async fn uploads_of(&self, user_id: &UserId, behind: &str) -> Result<Vec<Upload>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let rows = media::uploads_of(&mut snapshot, user_id, behind, PAGE).await?;
        let told = |(media_id, row): (String, MediaRow)| Upload {
            media_id,
            sha256: hex::encode(row.blob),
            content_type: row.content_type,
            file_name: row.file_name,
            blob: row.blob,
        };
        Ok(rows.into_iter().map(told).collect())
    }

    /// Keeps what somebody took along from another node, until they come and move in.
    pub async fn import(&self, exported: Exported) -> Result<(), Error> {
        let Exported { version, scid, account, log, seal_key, sealed, packed_ms } = exported;
        let refuse = |why: &str| Err(Error::Invalid(why.to_owned()));
        if version != VERSION {
            return refuse("it was written by another release of Wayside: take a later one");
        }
        if self.ground.is_local(&account) {
            return refuse("that account lives here");
        }
        seal::key(&seal_key)?;
        if sealed.len() > copies::SEALED_LETTERS {
            let most = limits::LUGGAGE_BYTES;
            return Err(Error::TooLarge(format!("luggage has at most {most} bytes")));
        }
        if !(0..=self.ground.clock.now_ms() + limits::CLOCK_SKEW_MS).contains(&packed_ms) {
            return refuse("packed_ms is no time, or is still to come");
        }
        if self.beneath.persons.of_scid(&scid).await?.is_some() {
            return refuse("that person lives here already, or did");
        }
        let history = self.names(&log, &scid, &account).await?;
        let log = log.into_bytes();
        let copy = CopyRow { scid, user_id: account, log, seal_key, sealed, packed_ms };
        self.keep(Arc::clone(&history), copy).await
    }
}

impl Upload {
    /// The hash of its bytes.
    #[must_use]
    pub fn hash(&self) -> &[u8; 32] {
        &self.blob
    }
}
