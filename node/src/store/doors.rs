//! What is shown of rooms elsewhere to people of this node who stand at their doors.

use ruma::{OwnedServerName, ServerName, UserId};

use super::{Reads, StoreError, Tx};

/// What was shown to somebody of a room: a list of stripped state events, as JSON.
pub async fn shown(
    from: &mut impl Reads,
    room_no: i64,
    user_id: &UserId,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT shown FROM doors WHERE room_no = $1 AND user_id = $2";
    let row = from.conn().0.query(sql).bind(room_no).bind(user_id.as_str()).one().await?;
    row.map(|row| row.get(0)).transpose()
}

/// The server that has shown somebody a room.
pub async fn server(
    from: &mut impl Reads,
    room_no: i64,
    user_id: &UserId,
) -> Result<Option<OwnedServerName>, StoreError> {
    let sql = "SELECT server FROM doors WHERE room_no = $1 AND user_id = $2";
    let row = from.conn().0.query(sql).bind(room_no).bind(user_id.as_str()).one().await?;
    row.map(|row| row.parse(0)).transpose()
}

impl Tx {
    /// Keeps what is shown to somebody of a room, in place of what was shown to them before.
    pub async fn show_at_door(
        &mut self,
        room_no: i64,
        user_id: &UserId,
        server: &ServerName,
        shown: &str,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO doors (room_no, user_id, server, shown) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (room_no, user_id) DO UPDATE SET server = excluded.server, shown = excluded.shown";
        let query = self.query(sql).bind(room_no).bind(user_id.as_str());
        query.bind(server.as_str()).bind(shown).run().await.map(drop)
    }

    /// Lets go of what was shown to somebody who stands at the door no more.
    pub async fn close_door(&mut self, room_no: i64, user_id: &UserId) -> Result<(), StoreError> {
        let sql = "DELETE FROM doors WHERE room_no = $1 AND user_id = $2";
        self.query(sql).bind(room_no).bind(user_id.as_str()).run().await.map(drop)
    }
}
