//! Tokens that tell other services who somebody is.

use ruma::{OwnedUserId, UserId};

use super::{Reads, StoreError, Tx};

/// Whom a token speaks of, if it has not ended.
pub async fn person(
    from: &mut impl Reads,
    token_hash: &[u8; 32],
    now_ms: i64,
) -> Result<Option<OwnedUserId>, StoreError> {
    let sql = "SELECT t.user_id FROM openid_tokens t JOIN accounts a ON a.user_id = t.user_id \
               WHERE t.token_hash = $1 AND t.expires_ms > $2 AND a.ended_ms IS NULL";
    let row = from.conn().0.query(sql).bind(token_hash.as_slice()).bind(now_ms).one().await?;
    row.map(|row| row.parse(0)).transpose()
}

impl Tx {
    /// Keeps a token. Those of the person that have ended are forgotten, and the oldest of the others
    /// where there are more than `most`.
    pub async fn add_openid_token(
        &mut self,
        token_hash: &[u8; 32],
        user_id: &UserId,
        (now_ms, expires_ms): (i64, i64),
        most: i64,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM openid_tokens WHERE user_id = $1 AND (expires_ms <= $2 OR expires_ms <= \
                   (SELECT expires_ms FROM openid_tokens WHERE user_id = $1 \
                   ORDER BY expires_ms DESC LIMIT 1 OFFSET $3))";
        self.query(sql).bind(user_id.as_str()).bind(now_ms).bind(most - 1).run().await?;
        let sql = "INSERT INTO openid_tokens (token_hash, user_id, expires_ms) VALUES ($1, $2, $3)";
        let query = self.query(sql).bind(token_hash.as_slice()).bind(user_id.as_str());
        query.bind(expires_ms).run().await.map(drop)
    }
}
