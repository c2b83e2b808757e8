//! What was said long ago, and how it goes: the graph of a room stays whole without it.

use ruma::OwnedEventId;
use wayside_federation::{event::Event, state::EventNo};

use super::{Reads, StoreError, Tx, bus::Change, dialect};

/// A room, and what it says about how long things are kept.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// Its number.
    pub room_no: i64,
    /// Its type.
    pub kind: Option<String>,
    /// The event that says how long, if the room has one.
    pub says: Option<EventNo>,
}

/// Something that was said, old enough to go.
#[derive(Clone, Debug)]
pub struct Old {
    /// Its number.
    pub event_no: EventNo,
    /// Its id.
    pub event_id: OwnedEventId,
    /// Whether it is still shown.
    pub shown: bool,
}

/// Rooms behind a number, in their order, at most `limit`.
pub async fn keepings(
    from: &mut impl Reads,
    behind: i64,
    limit: i64,
) -> Result<Vec<Keeping>, StoreError> {
    let sql = "SELECT r.room_no, r.kind, s.event_no FROM rooms r \
               LEFT JOIN room_state s ON s.room_no = r.room_no \
               AND s.kind = 'm.room.retention' AND s.state_key = '' \
               WHERE r.room_no > $1 ORDER BY r.room_no LIMIT $2";
    let rows = from.conn().0.query(sql).bind(behind).bind(limit).all().await?;
    rows.iter()
        .map(|row| {
            let says: Option<i64> = row.get(2)?;
            Ok(Keeping { room_no: row.get(0)?, kind: row.get(1)?, says: says.map(EventNo) })
        })
        .collect()
}

/// What was said in a room before a time by its senders' clocks, the oldest first, at most `limit`.
/// State is no such thing: without it, nobody could tell what the room is.
pub async fn old(
    from: &mut impl Reads,
    room_no: i64,
    before_ms: i64,
    limit: i64,
) -> Result<Vec<Old>, StoreError> {
    let sql = "SELECT event_no, event_id, position FROM events \
               WHERE room_no = $1 AND state_key IS NULL AND sent_ms < $2 \
               ORDER BY sent_ms, event_no LIMIT $3";
    let rows = from.conn().0.query(sql).bind(room_no).bind(before_ms).bind(limit).all().await?;
    rows.iter()
        .map(|row| {
            let shown = row.get::<Option<i64>>(2)?.is_some();
            Ok(Old { event_no: EventNo(row.get(0)?), event_id: row.parse(1)?, shown })
        })
        .collect()
}

/// The rooms of which something was forgotten after a position.
pub async fn thinned_after(from: &mut impl Reads, position: i64) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT room_no FROM rooms WHERE thinned > $1 AND thinned > 0 ORDER BY room_no";
    from.conn().0.query(sql).bind(position).all().await?.iter().map(|row| row.get(0)).collect()
}

impl Tx {
    /// Tells those who count what is unread that something of a room is gone: those in this process
    /// at once, others when they look.
    pub async fn tell_forgotten(&mut self, room_no: i64) -> Result<(), StoreError> {
        let position = self.next_number();
        let sql = "UPDATE rooms SET thinned = $2 WHERE room_no = $1";
        self.query(sql).bind(room_no).bind(position).run().await?;
        self.announce(Change::Forgotten { room_no, position });
        Ok(())
    }

    /// Takes events out of the store, with what was written down about them: at most
    /// [`LIST_MOST`](super::db::LIST_MOST).
    pub async fn drop_events(&mut self, events: &[EventNo]) -> Result<(), StoreError> {
        self.forget_about(events).await?;
        let numbers: Vec<i64> = events.iter().map(|it| it.0).collect();
        // What is gone is told to nobody any more, unless it was kept for that.
        let sql = "DELETE FROM outgoing_events WHERE event_no IN (LIST) AND pdu IS NULL";
        self.query(sql).list(&numbers).run().await?;
        let sql = "DELETE FROM events WHERE event_no IN (LIST)";
        self.query(sql).list(&numbers).run().await.map(drop)
    }

    /// Leaves of an event only what holds the graph together: it is shown no more.
    pub async fn hollow_event(
        &mut self,
        event_no: EventNo,
        redacted: &Event,
    ) -> Result<(), StoreError> {
        self.forget_about(&[event_no]).await?;
        let sql = "UPDATE events SET pdu = $2, position = NULL WHERE event_no = $1";
        self.query(sql).bind(event_no.0).bind(redacted.json()).run().await.map(drop)
    }

    async fn forget_about(&mut self, events: &[EventNo]) -> Result<(), StoreError> {
        let numbers: Vec<i64> = events.iter().map(|it| it.0).collect();
        let sql = "DELETE FROM relations WHERE event_no IN (LIST)";
        self.query(sql).list(&numbers).run().await?;
        let sql = "DELETE FROM app_service_events WHERE event_no IN (LIST)";
        self.query(sql).list(&numbers).run().await?;
        let sql = dialect::drop_words(self.conn.is_postgres());
        self.query(sql).list(&numbers).run().await.map(drop)
    }
}
