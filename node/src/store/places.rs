//! Where people stood in a world when they were there last.

use ruma::UserId;

use super::{Reads, StoreError, Tx};

/// Where somebody stood, as an encoded pose, if that is remembered.
pub async fn place(
    from: &mut impl Reads,
    room_no: i64,
    user_id: &UserId,
    after_ms: i64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let sql = "SELECT pose FROM places WHERE room_no = $1 AND user_id = $2 AND left_ms > $3";
    let query = from.conn().0.query(sql).bind(room_no).bind(user_id.as_str()).bind(after_ms);
    query.one().await?.map(|row| row.get(0)).transpose()
}

impl Tx {
    /// Remembers where somebody stands.
    pub async fn remember_place(
        &mut self,
        room_no: i64,
        user_id: &UserId,
        pose: &[u8],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO places (room_no, user_id, pose, left_ms) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (room_no, user_id) DO UPDATE SET pose = EXCLUDED.pose, \
                   left_ms = EXCLUDED.left_ms";
        let query = self.query(sql).bind(room_no).bind(user_id.as_str()).bind(pose).bind(now_ms);
        query.run().await.map(drop)
    }

    /// Forgets who left before a time; how many.
    pub async fn forget_places(&mut self, before_ms: i64) -> Result<u64, StoreError> {
        self.query("DELETE FROM places WHERE left_ms <= $1").bind(before_ms).run().await
    }
}
