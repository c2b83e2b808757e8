//! Whom the node has banned from rooms of worlds because a list says so.

use ruma::{OwnedUserId, UserId};
use wayside_specs::limits;

use super::{Reads, StoreError, Tx};

/// Those who were banned from a room for a list.
pub async fn of_room(from: &mut impl Reads, room_no: i64) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT user_id FROM list_bans WHERE room_no = $1 LIMIT $2";
    let query = from.conn().0.query(sql).bind(room_no).bind(limits::VISITORS);
    query.all().await?.iter().map(|row| row.parse(0)).collect()
}

impl Tx {
    /// Notes that somebody was banned for a list.
    pub async fn note_list_ban(
        &mut self,
        room_no: i64,
        user_id: &UserId,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO list_bans (room_no, user_id) VALUES ($1, $2) \
                   ON CONFLICT (room_no, user_id) DO NOTHING";
        self.query(sql).bind(room_no).bind(user_id.as_str()).run().await.map(drop)
    }

    /// Notes that somebody is banned for a list no more.
    pub async fn forget_list_ban(
        &mut self,
        room_no: i64,
        user_id: &UserId,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM list_bans WHERE room_no = $1 AND user_id = $2";
        self.query(sql).bind(room_no).bind(user_id.as_str()).run().await.map(drop)
    }
}
