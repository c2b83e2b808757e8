//! The DIDs of people of this node, by the logs that they wrote.

use ruma::{OwnedUserId, UserId};
use wayside_specs::Did;

use super::{Reads, StoreError, Tx, db::Row};

/// The DID of somebody of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRow {
    /// Whose.
    pub user_id: OwnedUserId,
    /// What proves itself, wherever they move.
    pub scid: String,
    /// What the last version calls the DID.
    pub did: Did,
    /// The log, as it stands in `did.jsonl`.
    pub log: Vec<u8>,
    /// When they said that they have saved what they need to recover it.
    pub saved_ms: Option<i64>,
}

/// The DID of somebody, if they have one.
pub async fn of_account(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Option<PersonRow>, StoreError> {
    let sql = "SELECT user_id, scid, did, log, saved_ms FROM persons WHERE user_id = $1";
    let row = from.conn().0.query(sql).bind(user_id.as_str()).one().await?;
    row.as_ref().map(read).transpose()
}

/// Whose DID has that SCID here.
pub async fn of_scid(from: &mut impl Reads, scid: &str) -> Result<Option<PersonRow>, StoreError> {
    let sql = "SELECT user_id, scid, did, log, saved_ms FROM persons WHERE scid = $1";
    let row = from.conn().0.query(sql).bind(scid).one().await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<PersonRow, StoreError> {
    let (user_id, scid, did) = (row.parse(0)?, row.get(1)?, row.parse(2)?);
    Ok(PersonRow { user_id, scid, did, log: row.get(3)?, saved_ms: row.get(4)? })
}

impl Tx {
    /// Keeps the log of somebody's DID in place of what was kept.
    pub async fn keep_log(
        &mut self,
        user_id: &UserId,
        (scid, did): (&str, &Did),
        log: &[u8],
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO persons (user_id, scid, did, log) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (user_id) DO UPDATE SET scid = excluded.scid, did = excluded.did, \
                   log = excluded.log";
        let query = self.query(sql).bind(user_id.as_str()).bind(scid).bind(did.as_str());
        query.bind(log).run().await.map(drop)
    }

    /// Notes that somebody has saved what they need to recover their DID; whether they have one.
    pub async fn note_saved(&mut self, user_id: &UserId, now_ms: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE persons SET saved_ms = $2 WHERE user_id = $1";
        let changed = self.query(sql).bind(user_id.as_str()).bind(now_ms).run().await?;
        Ok(changed > 0)
    }

    /// Forgets the DID of somebody.
    pub async fn forget_person(&mut self, user_id: &UserId) -> Result<(), StoreError> {
        let sql = "DELETE FROM persons WHERE user_id = $1";
        self.query(sql).bind(user_id.as_str()).run().await.map(drop)
    }
}
