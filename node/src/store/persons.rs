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
    /// The key to which their luggage is sealed, where their client has given one.
    pub seal_key: Option<Vec<u8>>,
}

/// The DID of somebody, if they have one.
pub async fn of_account(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Option<PersonRow>, StoreError> {
    let sql = "SELECT user_id, scid, did, log, saved_ms, seal_key FROM persons WHERE user_id = $1";
    let row = from.conn().0.query(sql).bind(user_id.as_str()).one().await?;
    row.as_ref().map(read).transpose()
}

/// Whose DID has that SCID here.
pub async fn of_scid(from: &mut impl Reads, scid: &str) -> Result<Option<PersonRow>, StoreError> {
    let sql = "SELECT user_id, scid, did, log, saved_ms, seal_key FROM persons WHERE scid = $1";
    let row = from.conn().0.query(sql).bind(scid).one().await?;
    row.as_ref().map(read).transpose()
}

/// Some of those who have a DID here, in the order of their names, behind one of them.
pub async fn all_after(
    from: &mut impl Reads,
    after: &str,
    most: i64,
) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT user_id FROM persons WHERE user_id > $1 ORDER BY user_id LIMIT $2";
    let rows = from.conn().0.query(sql).bind(after).bind(most).all().await?;
    rows.iter().map(|row| row.parse(0)).collect()
}

fn read(row: &Row) -> Result<PersonRow, StoreError> {
    let (user_id, scid, did) = (row.parse(0)?, row.get(1)?, row.parse(2)?);
    let (log, saved_ms, seal_key) = (row.get(3)?, row.get(4)?, row.get(5)?);
    Ok(PersonRow { user_id, scid, did, log, saved_ms, seal_key })
}

impl Tx {
    /// Keeps the log of somebody's DID in place of what was kept. What they saved of another is not said of it.
    pub async fn keep_log(
        &mut self,
        user_id: &UserId,
        (scid, did): (&str, &Did),
        log: &[u8],
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO persons (user_id, scid, did, log) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (user_id) DO UPDATE SET scid = excluded.scid, did = excluded.did, \
                   log = excluded.log, \
                   saved_ms = CASE WHEN persons.scid = excluded.scid THEN persons.saved_ms END, \
                   seal_key = CASE WHEN persons.scid = excluded.scid THEN persons.seal_key END";
        let query = self.query(sql).bind(user_id.as_str()).bind(scid).bind(did.as_str());
        query.bind(log).run().await.map(drop)
    }

    /// Notes that somebody has saved what they need to recover their DID, and the key to which their luggage is
    /// sealed, where that is told; whether they have a DID.
    pub async fn note_saved(
        &mut self,
        user_id: &UserId,
        seal_key: Option<Vec<u8>>,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE persons SET saved_ms = $2, seal_key = COALESCE($3, seal_key) \
                   WHERE user_id = $1";
        let query = self.query(sql).bind(user_id.as_str()).bind(now_ms).bind(seal_key);
        Ok(query.run().await? > 0)
    }

    /// Forgets the DID of somebody.
    pub async fn forget_person(&mut self, user_id: &UserId) -> Result<(), StoreError> {
        let sql = "DELETE FROM persons WHERE user_id = $1";
        self.query(sql).bind(user_id.as_str()).run().await.map(drop)
    }
}
