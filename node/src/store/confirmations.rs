//! What people confirmed on the node's own page, for requests that wait for it.

use ruma::UserId;

use super::{Reads, StoreError, Tx};

/// How far it is with what somebody may confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Nobody has.
    Open,
    /// They have, and nothing has used it yet.
    Waits,
    /// It was used.
    Used,
}

/// How far it is with a session.
pub async fn stand(
    from: &mut impl Reads,
    session_hash: &[u8; 32],
    now_ms: i64,
) -> Result<Stand, StoreError> {
    let sql = "SELECT used FROM confirmations WHERE session_hash = $1 AND expires_ms > $2";
    let query = from.conn().0.query(sql).bind(session_hash.as_slice()).bind(now_ms);
    match query.one().await? {
        None => Ok(Stand::Open),
        Some(row) if row.get::<i64>(0)? == 0 => Ok(Stand::Waits),
        Some(_) => Ok(Stand::Used),
    }
}

impl Tx {
    /// Keeps what somebody confirmed, and no more than `most` of one person: the oldest give way. False
    /// where they confirmed it before.
    pub async fn add_confirmation(
        &mut self,
        session_hash: &[u8; 32],
        user_id: &UserId,
        expires_ms: i64,
        most: i64,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO confirmations (session_hash, user_id, expires_ms, used) \
                   VALUES ($1, $2, $3, 0) ON CONFLICT (session_hash) DO NOTHING";
        let query = self.query(sql).bind(session_hash.as_slice()).bind(user_id.as_str());
        if query.bind(expires_ms).run().await? == 0 {
            return Ok(false);
        }
        let sql = "DELETE FROM confirmations WHERE user_id = $1 AND session_hash <> $2 \
                   AND expires_ms <= (SELECT expires_ms FROM confirmations WHERE user_id = $1 \
                   ORDER BY expires_ms DESC LIMIT 1 OFFSET $3)";
        let query = self.query(sql).bind(user_id.as_str()).bind(session_hash.as_slice());
        query.bind(most).run().await?;
        Ok(true)
    }

    /// Uses a confirmation; false where there is none that waits.
    pub async fn use_confirmation(
        &mut self,
        session_hash: &[u8; 32],
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE confirmations SET used = 1 \
                   WHERE session_hash = $1 AND expires_ms > $2 AND used = 0";
        Ok(self.query(sql).bind(session_hash.as_slice()).bind(now_ms).run().await? > 0)
    }

    /// Forgets confirmations that are over, a few at once; how many.
    pub async fn forget_confirmations(
        &mut self,
        now_ms: i64,
        limit: i64,
    ) -> Result<u64, StoreError> {
        let sql = "DELETE FROM confirmations WHERE session_hash IN \
                   (SELECT session_hash FROM confirmations WHERE expires_ms <= $1 \
                   ORDER BY expires_ms LIMIT $2)";
        self.query(sql).bind(now_ms).bind(limit).run().await
    }

    /// Forgets all that somebody confirmed whose account has ended.
    pub(super) async fn drop_confirmations(&mut self, user_id: &UserId) -> Result<(), StoreError> {
        let sql = "DELETE FROM confirmations WHERE user_id = $1";
        self.query(sql).bind(user_id.as_str()).run().await.map(drop)
    }
}
