//! The events of all rooms, as a graph and as a timeline.

use std::collections::HashMap;

use ruma::{DeviceId, EventId, OwnedEventId, UserId};
use wayside_federation::{
    event::Event,
    state::{EventNo, NodeId},
    version::RoomVersion,
};

use super::{
    Reads, StoreError, Tx,
    db::{LIST_MOST, Row},
};

/// What the checks on receipt decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stands, and is shown.
    Accepted,
    /// It stands in the graph but is not shown (server-server API, soft failure).
    SoftFailed,
    /// It does not stand.
    Rejected,
}

/// An event with its place in this node's store.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// The event itself; in its redacted form once it was redacted.
    pub event: Event,
    /// The number by which states name it.
    pub event_no: EventNo,
    /// The room's number.
    pub room_no: i64,
    /// Its place in the stream; none for what was never in the timeline.
    pub position: Option<i64>,
    /// What the checks decided.
    pub verdict: Verdict,
    /// The room's state before it.
    pub state_before: NodeId,
    /// The room's state after it.
    pub state_after: NodeId,
    /// The redaction that emptied it.
    pub redacted_by: Option<OwnedEventId>,
}

/// A stretch of a room's timeline, by positions.
#[derive(Clone, Copy, Debug)]
pub enum Stretch {
    /// The newest first, from just before (or at) this position backwards, down to `after` exclusively.
    Back {
        /// The newest position that counts.
        upto: i64,
        /// Nothing at or before this position counts.
        after: i64,
    },
    /// The oldest first, from just after this position on, up to `upto` inclusively.
    Forth {
        /// Nothing at or before this position counts.
        after: i64,
        /// The newest position that counts.
        upto: i64,
    },
}

const COLUMNS_BY_NO: &str = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
    e.state_after, e.redacted_by, e.pdu, r.version FROM events e JOIN rooms r ON r.room_no = e.room_no \
    WHERE e.event_no IN (LIST)";
const COLUMNS_BY_ID: &str = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
    e.state_after, e.redacted_by, e.pdu, r.version FROM events e JOIN rooms r ON r.room_no = e.room_no \
    WHERE e.event_id IN (LIST)";
const COLUMNS_BACK: &str = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
    e.state_after, e.redacted_by, e.pdu, r.version FROM events e JOIN rooms r ON r.room_no = e.room_no \
    WHERE e.room_no = $1 AND e.position > $2 AND e.position <= $3 AND e.verdict = 0 \
    ORDER BY e.position DESC LIMIT $4";
const COLUMNS_FORTH: &str = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
    e.state_after, e.redacted_by, e.pdu, r.version FROM events e JOIN rooms r ON r.room_no = e.room_no \
    WHERE e.room_no = $1 AND e.position > $2 AND e.position <= $3 AND e.verdict = 0 \
    ORDER BY e.position ASC LIMIT $4";

/// The events of these numbers, by number; unknown ones are left out.
pub async fn by_numbers(
    from: &mut impl Reads,
    numbers: &[EventNo],
) -> Result<HashMap<EventNo, StoredEvent>, StoreError> {
    let mut found = HashMap::with_capacity(numbers.len());
    for chunk in numbers.chunks(LIST_MOST) {
        let list: Vec<i64> = chunk.iter().map(|number| number.0).collect();
        for row in from.conn().0.query(COLUMNS_BY_NO).list(&list).all().await? {
            let stored = read(&row)?;
            found.insert(stored.event_no, stored);
        }
    }
    Ok(found)
}

/// The event of that id.
pub async fn by_id(from: &mut impl Reads, id: &EventId) -> Result<Option<StoredEvent>, StoreError> {
    let row = from.conn().0.query(COLUMNS_BY_ID).list(&[id.as_str()]).one().await?;
    row.as_ref().map(read).transpose()
}

/// A stretch of a room's timeline in the stretch's own order, at most `limit` events.
pub async fn timeline(
    from: &mut impl Reads,
    room_no: i64,
    stretch: Stretch,
    limit: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let (sql, after, upto) = match stretch {
        Stretch::Back { upto, after } => (COLUMNS_BACK, after, upto),
        Stretch::Forth { after, upto } => (COLUMNS_FORTH, after, upto),
    };
    let query = from.conn().0.query(sql).bind(room_no).bind(after).bind(upto).bind(limit);
    query.all().await?.iter().map(read).collect()
}

/// Whether anybody came, went or changed in a room after a position.
pub async fn members_moved(
    from: &mut impl Reads,
    room_no: i64,
    after: i64,
) -> Result<bool, StoreError> {
    let sql = "SELECT event_no FROM events WHERE room_no = $1 AND position > $2 \
               AND kind = 'm.room.member' AND verdict = 0 LIMIT 1";
    Ok(from.conn().0.query(sql).bind(room_no).bind(after).one().await?.is_some())
}

/// The event that this request of this device has made before, if it has.
pub async fn made_by(
    from: &mut impl Reads,
    user_id: &UserId,
    device_id: &DeviceId,
    scope: &str,
    txn_id: &str,
) -> Result<Option<OwnedEventId>, StoreError> {
    let sql = "SELECT event_id FROM transactions \
               WHERE user_id = $1 AND device_id = $2 AND scope = $3 AND txn_id = $4";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
    let row = query.bind(scope).bind(txn_id).one().await?;
    row.map(|row| row.parse(0)).transpose()
}

/// The transaction ids under which a device made these events, for those that it made.
pub async fn txn_ids(
    from: &mut impl Reads,
    user_id: &UserId,
    device_id: &DeviceId,
    events: &[OwnedEventId],
) -> Result<HashMap<OwnedEventId, String>, StoreError> {
    let mut found = HashMap::new();
    for chunk in events.chunks(LIST_MOST) {
        let ids: Vec<&str> = chunk.iter().map(|id| id.as_str()).collect();
        let sql = "SELECT event_id, txn_id FROM transactions \
                   WHERE user_id = $1 AND device_id = $2 AND event_id IN (LIST)";
        let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
        for row in query.list(&ids).all().await? {
            found.insert(row.parse(0)?, row.get(1)?);
        }
    }
    Ok(found)
}

impl Tx {
    /// Writes a new event down.
    pub async fn add_event(&mut self, stored: &StoredEvent) -> Result<(), StoreError> {
        let event = &stored.event;
        let verdict = match stored.verdict {
            Verdict::Accepted => 0,
            Verdict::SoftFailed => 1,
            Verdict::Rejected => 2,
        };
        let sql = "INSERT INTO events (event_no, event_id, room_no, position, verdict, kind, state_key, sender, \
                   state_before, state_after, pdu) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        self.query(sql)
            .bind(stored.event_no.0)
            .bind(event.id().as_str())
            .bind(stored.room_no)
            .bind(stored.position)
            .bind(verdict)
            .bind(event.kind().to_string())
            .bind(event.state_key())
            .bind(event.sender().as_str())
            .bind(stored.state_before.0.as_slice())
            .bind(stored.state_after.0.as_slice())
            .bind(event.json())
            .run()
            .await
            .map(drop)
    }

    /// Replaces an event's content by its redacted form.
    pub async fn redact_event(&mut self, redacted: &Event, by: &EventId) -> Result<(), StoreError> {
        self.query("UPDATE events SET pdu = $2, redacted_by = $3 WHERE event_id = $1")
            .bind(redacted.id().as_str())
            .bind(redacted.json())
            .bind(by.as_str())
            .run()
            .await
            .map(drop)
    }

    /// Remembers which request made an event.
    pub async fn remember_request(
        &mut self,
        user_id: &UserId,
        device_id: &DeviceId,
        scope: &str,
        txn_id: &str,
        event_id: &EventId,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO transactions (user_id, device_id, scope, txn_id, event_id, created_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        self.query(sql)
            .bind(user_id.as_str())
            .bind(device_id.as_str())
            .bind(scope)
            .bind(txn_id)
            .bind(event_id.as_str())
            .bind(now_ms)
            .run()
            .await
            .map(drop)
    }
}

fn read(row: &Row) -> Result<StoredEvent, StoreError> {
    let verdict = match row.get::<i64>(4)? {
        0 => Verdict::Accepted,
        1 => Verdict::SoftFailed,
        _ => Verdict::Rejected,
    };
    let version: String = row.get(9)?;
    let version = RoomVersion::parse(&version)
        .ok_or(StoreError::Damaged("a stored room version is unknown"))?;
    let redacted_by: Option<String> = row.get(7)?;
    let pdu: String = row.get(8)?;
    let event = Event::from_stored(version, row.parse(1)?, &pdu, verdict == Verdict::Rejected)
        .map_err(|_| StoreError::Damaged("a stored event does not parse"))?;
    Ok(StoredEvent {
        event,
        event_no: EventNo(row.get(0)?),
        room_no: row.get(2)?,
        position: row.get(3)?,
        verdict,
        state_before: NodeId(row.array(5)?),
        state_after: NodeId(row.array(6)?),
        redacted_by: redacted_by
            .map(|id| {
                id.try_into().map_err(|_| StoreError::Damaged("a stored event id does not parse"))
            })
            .transpose()?,
    })
}
