//! What people need to come back without their home.
//!
//! Copies that are held for others, copies that others hold, and friends who are still to be told that somebody has
//! moved.

use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};

use super::{Reads, StoreError, Tx, db::Row};

/// A copy that is held here for somebody whose home is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyRow {
    /// By what they are compared wherever they live.
    pub scid: String,
    /// Their account, as the last version of the log names it.
    pub user_id: OwnedUserId,
    /// The log of their DID.
    pub log: Vec<u8>,
    /// The key to which their luggage is sealed, as text: whoever knows it may have the copy.
    pub seal_key: String,
    /// Their luggage, sealed, as text.
    pub sealed: String,
    /// When it was packed, in milliseconds since the epoch.
    pub packed_ms: i64,
}

/// A copy that a server has of somebody of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOut {
    /// Which server.
    pub server: OwnedServerName,
    /// Of which person.
    pub scid: String,
    /// The hash of what it has.
    pub hash: Vec<u8>,
}

/// A friend who is still to be told that somebody has moved here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToMeet {
    /// Who has moved.
    pub user_id: OwnedUserId,
    /// Their friend.
    pub other: OwnedUserId,
    /// How often it was tried.
    pub tries: i64,
}

/// What is held of a person.
pub async fn copy_of(from: &mut impl Reads, scid: &str) -> Result<Option<CopyRow>, StoreError> {
    let sql = "SELECT scid, user_id, log, seal_key, sealed, packed_ms FROM copies WHERE scid = $1";
    from.conn().0.query(sql).bind(scid).one().await?.as_ref().map(read).transpose()
}

/// What is held of whoever has an account.
pub async fn copy_of_account(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Option<CopyRow>, StoreError> {
    let sql =
        "SELECT scid, user_id, log, seal_key, sealed, packed_ms FROM copies WHERE user_id = $1";
    from.conn().0.query(sql).bind(user_id.as_str()).one().await?.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<CopyRow, StoreError> {
    let (scid, user_id, log) = (row.get(0)?, row.parse(1)?, row.get(2)?);
    let (seal_key, sealed, packed_ms) = (row.get(3)?, row.get(4)?, row.get(5)?);
    Ok(CopyRow { scid, user_id, log, seal_key, sealed, packed_ms })
}

/// The copies of somebody of this node that servers have.
pub async fn handed_out(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Vec<HandedOut>, StoreError> {
    let sql = "SELECT server, scid, hash FROM copies_out WHERE user_id = $1 ORDER BY server";
    let rows = from.conn().0.query(sql).bind(user_id.as_str()).all().await?;
    let read =
        |row: &Row| Ok(HandedOut { server: row.parse(0)?, scid: row.get(1)?, hash: row.get(2)? });
    rows.iter().map(read).collect()
}

/// Those of whom servers have copies, in the order of their names, behind one of them.
pub async fn handed_out_after(
    from: &mut impl Reads,
    after: &str,
    most: i64,
) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql =
        "SELECT DISTINCT user_id FROM copies_out WHERE user_id > $1 ORDER BY user_id LIMIT $2";
    let rows = from.conn().0.query(sql).bind(after).bind(most).all().await?;
    rows.iter().map(|row| row.parse(0)).collect()
}

/// Friends of somebody who are still to be told.
pub async fn to_meet_of(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT other FROM friends_to_meet WHERE user_id = $1 ORDER BY other";
    let rows = from.conn().0.query(sql).bind(user_id.as_str()).all().await?;
    rows.iter().map(|row| row.parse(0)).collect()
}

/// Friends whom it is time to tell that somebody has moved here, one of each who has: nobody waits for all those of
/// somebody else.
pub async fn to_meet(
    from: &mut impl Reads,
    now_ms: i64,
    most: i64,
) -> Result<Vec<ToMeet>, StoreError> {
    let sql = "SELECT user_id, MIN(next_ms) FROM friends_to_meet WHERE next_ms <= $1 \
               GROUP BY user_id ORDER BY MIN(next_ms), user_id LIMIT $2";
    let movers = from.conn().0.query(sql).bind(now_ms).bind(most).all().await?;
    let sql = "SELECT other, tries FROM friends_to_meet WHERE user_id = $1 AND next_ms <= $2 \
               ORDER BY next_ms, other LIMIT 1";
    let mut found = Vec::new();
    for mover in &movers {
        let user_id: OwnedUserId = mover.parse(0)?;
        let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(now_ms);
        if let Some(row) = query.one().await? {
            found.push(ToMeet { user_id, other: row.parse(0)?, tries: row.get(1)? });
        }
    }
    Ok(found)
}

impl Tx {
    /// Holds a copy in place of what was held of the same person, or of the same account; not where what is held of
    /// both was packed later.
    pub async fn keep_copy(&mut self, copy: &CopyRow) -> Result<(), StoreError> {
        let sql = "DELETE FROM copies WHERE user_id = $1 AND scid <> $2";
        let query = self.query(sql).bind(copy.user_id.as_str()).bind(copy.scid.as_str());
        query.run().await?;
        let sql = "INSERT INTO copies (scid, user_id, log, seal_key, sealed, packed_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (scid) DO UPDATE SET \
                   user_id = excluded.user_id, log = excluded.log, \
                   seal_key = excluded.seal_key, sealed = excluded.sealed, \
                   packed_ms = excluded.packed_ms \
                   WHERE copies.user_id <> excluded.user_id OR copies.packed_ms <= excluded.packed_ms";
        let query = self.query(sql).bind(copy.scid.as_str()).bind(copy.user_id.as_str());
        let query = query.bind(copy.log.as_slice()).bind(copy.seal_key.as_str());
        query.bind(copy.sealed.as_str()).bind(copy.packed_ms).run().await.map(drop)
    }

    /// Holds a copy no more that is of an account of a server; whether there was one.
    pub async fn forget_copy(&mut self, scid: &str, user_id: &UserId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM copies WHERE scid = $1 AND user_id = $2";
        Ok(self.query(sql).bind(scid).bind(user_id.as_str()).run().await? > 0)
    }

    /// Notes that a server has a copy.
    pub async fn note_handed_out(
        &mut self,
        user_id: &UserId,
        handed: &HandedOut,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO copies_out (user_id, server, scid, hash) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (user_id, server) DO UPDATE SET \
                   scid = excluded.scid, hash = excluded.hash";
        let query = self.query(sql).bind(user_id.as_str()).bind(handed.server.as_str());
        query.bind(handed.scid.as_str()).bind(handed.hash.as_slice()).run().await.map(drop)
    }

    /// Notes that a server has a copy no more.
    pub async fn forget_handed_out(
        &mut self,
        user_id: &UserId,
        server: &ServerName,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM copies_out WHERE user_id = $1 AND server = $2";
        self.query(sql).bind(user_id.as_str()).bind(server.as_str()).run().await.map(drop)
    }

    /// Notes that a friend is to be told that somebody has moved here, where that is not noted yet.
    pub async fn note_to_meet(
        &mut self,
        user_id: &UserId,
        other: &UserId,
        next_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO friends_to_meet (user_id, other, next_ms) VALUES ($1, $2, $3) \
                   ON CONFLICT (user_id, other) DO NOTHING";
        let query = self.query(sql).bind(user_id.as_str()).bind(other.as_str());
        query.bind(next_ms).run().await.map(drop)
    }

    /// Notes when a friend is to be told again.
    pub async fn later_to_meet(&mut self, meet: &ToMeet, next_ms: i64) -> Result<(), StoreError> {
        let sql = "UPDATE friends_to_meet SET tries = $3, next_ms = $4 \
                   WHERE user_id = $1 AND other = $2";
        let query = self.query(sql).bind(meet.user_id.as_str()).bind(meet.other.as_str());
        query.bind(meet.tries).bind(next_ms).run().await.map(drop)
    }

    /// Notes that a friend was told, or never will be.
    pub async fn forget_to_meet(
        &mut self,
        user_id: &UserId,
        other: &UserId,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM friends_to_meet WHERE user_id = $1 AND other = $2";
        self.query(sql).bind(user_id.as_str()).bind(other.as_str()).run().await.map(drop)
    }
}
