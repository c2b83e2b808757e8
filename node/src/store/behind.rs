//! Servers for which too much waits: of the rooms in which they have missed it, the newest alone does.
//!
//! So a server that is away for long costs no more than one that was away for an hour. How much waits is
//! looked at whenever some has been added to it, so a queue is longer than it may be by less than that.

use ruma::ServerName;
use wayside_federation::state::EventNo;
use wayside_specs::limits;

use super::{Reads, StoreError, Tx};

/// So many are added to a queue before it is looked at again.
pub(super) const LOOK: i64 = 100;
/// A server that has not answered so often in a row is away: others are only slow.
const AWAY: i64 = 3;

/// How much waits for other servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// Events.
    pub events: i64,
    /// Rooms of which the newest event alone does.
    pub rooms: i64,
    /// Ephemeral data units.
    pub edus: i64,
}

/// Whether there are rooms of which a server gets only what is newest.
pub async fn is_behind(from: &mut impl Reads, server: &ServerName) -> Result<bool, StoreError> {
    let sql = "SELECT room_no FROM outgoing_rooms WHERE server = $1 LIMIT 1";
    Ok(from.conn().0.query(sql).bind(server.as_str()).one().await?.is_some())
}

/// How much waits for all servers, and for how many.
pub async fn queued(from: &mut impl Reads) -> Result<(Queued, i64), StoreError> {
    let sql = "SELECT (SELECT count(*) FROM outgoing_events), (SELECT count(*) FROM outgoing_rooms), \
               (SELECT count(*) FROM outgoing_edus), (SELECT count(*) FROM (SELECT server FROM outgoing_events \
               UNION SELECT server FROM outgoing_rooms UNION SELECT server FROM outgoing_edus) AS awaited)";
    let row = from.conn().0.query(sql).one().await?;
    let row = row.ok_or(StoreError::Damaged("a count gave no row"))?;
    let queued = Queued { events: row.get(0)?, rooms: row.get(1)?, edus: row.get(2)? };
    Ok((queued, row.get(3)?))
}

impl Tx {
    /// Takes out the rooms in which a server has missed something, as many as may be, those first of which
    /// it has missed it longest; of each the last event that it should have had.
    pub async fn take_behind(
        &mut self,
        server: &ServerName,
        most: usize,
    ) -> Result<Vec<(i64, EventNo)>, StoreError> {
        let sql = "SELECT room_no, event_no, position FROM outgoing_rooms WHERE server = $1 \
                   ORDER BY position LIMIT $2";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self.query(sql).bind(server.as_str()).bind(most).all().await?;
        let Some(last) = rows.last() else { return Ok(Vec::new()) };
        let upto: i64 = last.get(2)?;
        let sql = "DELETE FROM outgoing_rooms WHERE server = $1 AND position <= $2";
        self.query(sql).bind(server.as_str()).bind(upto).run().await?;
        rows.iter().map(|row| Ok((row.get(0)?, EventNo(row.get(1)?)))).collect()
    }

    /// Leaves of the events that wait for a server the newest of each room, where there are too many.
    pub(super) async fn bound_events(&mut self, server: &ServerName) -> Result<(), StoreError> {
        let sql = "SELECT (SELECT count(*) FROM outgoing_events WHERE server = $1), \
                   (SELECT count(*) FROM destinations WHERE server = $1 AND failures >= $2)";
        let row = self.query(sql).bind(server.as_str()).bind(AWAY).one().await?;
        let row = row.ok_or(StoreError::Damaged("a count gave no row"))?;
        let (waiting, is_away): (i64, i64) = (row.get(0)?, row.get(1)?);
        let most = if is_away > 0 { limits::WAITING_EVENTS } else { limits::WAITING_EVENTS_MOST };
        if waiting <= most {
            return Ok(());
        }
        let sql = "INSERT INTO outgoing_rooms (room_no, server, position, event_no) \
                   SELECT o.room_no, o.server, o.position, o.event_no FROM (SELECT max(position) AS position \
                   FROM outgoing_events WHERE server = $1 GROUP BY room_no) n \
                   JOIN outgoing_events o ON o.server = $1 AND o.position = n.position WHERE o.server = $1 \
                   ON CONFLICT (room_no, server) DO UPDATE \
                   SET position = excluded.position, event_no = excluded.event_no";
        self.query(sql).bind(server.as_str()).run().await?;
        let sql = "DELETE FROM outgoing_events WHERE server = $1";
        self.query(sql).bind(server.as_str()).run().await?;
        // Anybody may lead people of a server out of any number of rooms in which they never were.
        let sql = "DELETE FROM outgoing_rooms WHERE server = $1 AND room_no IN (SELECT r.room_no \
                   FROM outgoing_rooms r WHERE r.server = $1 AND NOT EXISTS (SELECT 1 FROM room_servers s \
                   WHERE s.room_no = r.room_no AND s.server = $1 AND s.joined > 0) \
                   ORDER BY r.position DESC LIMIT $2 OFFSET $3)";
        let query = self.query(sql).bind(server.as_str()).bind(i64::from(i32::MAX));
        query.bind(limits::WAITING_ROOMS_LEFT).run().await.map(drop)
    }
}
