//! The events of all rooms, as a graph and as a timeline.

use std::collections::HashMap;

use ruma::{DeviceId, EventId, OwnedEventId, OwnedUserId, UserId};
use wayside_federation::{
    event::Event,
    state::{EventNo, NodeId},
    version::RoomVersion,
};

use super::{
    Reads, StoreError, Tx,
    db::{LIST_MOST, Row, Value},
    text::escape,
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
    /// The states around it; none for an outlier, whose surroundings were never fetched.
    pub roots: Option<Roots>,
    /// The redaction that emptied it.
    pub redacted_by: Option<OwnedEventId>,
}

impl StoredEvent {
    /// When it was sent by its sender's clock, in milliseconds since the epoch.
    #[must_use]
    pub fn sent_ms(&self) -> i64 {
        i64::try_from(u64::from(self.event.origin_server_ts().get())).unwrap_or(i64::MAX)
    }
}

/// The states around an event, by their roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roots {
    /// The state that the events before it in the graph lead to (server-server API, state resolution).
    pub state_before: NodeId,
    /// The same with the event itself.
    pub state_after: NodeId,
    /// The room's state, of all its branches together, before the event joined the timeline.
    pub room_before: NodeId,
    /// The room's state since then.
    pub room_after: NodeId,
}

impl Roots {
    /// The roots where the graph does not fork: the room's state is that beside the event.
    #[must_use]
    pub fn in_line(before: NodeId, after: NodeId) -> Self {
        Self { state_before: before, state_after: after, room_before: before, room_after: after }
    }
}

/// A stretch of a room's timeline, by positions. What was fetched of the time before this node was
/// in the room has negative ones: `i64::MIN` is before all of it.
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

/// Rows of one question; whoever asks for all goes on behind the last.
const PAGE: i64 = 5_000;
const COLUMNS_SINCE: &str = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
    e.state_after, e.room_before, e.room_after, e.redacted_by, e.pdu, r.version FROM events e JOIN rooms r ON r.room_no = e.room_no \
    WHERE e.room_no = $1 AND (e.sent_ms, e.event_no) > ($2, $3) AND +e.position <= $4 \
    AND e.verdict = 0 ORDER BY e.sent_ms ASC, e.event_no ASC LIMIT $5";
const COLUMNS_BEFORE: &str = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
    e.state_after, e.room_before, e.room_after, e.redacted_by, e.pdu, r.version FROM events e JOIN rooms r ON r.room_no = e.room_no \
    WHERE e.room_no = $1 AND (e.sent_ms, e.event_no) < ($2, $3) AND +e.position <= $4 \
    AND e.verdict = 0 ORDER BY e.sent_ms DESC, e.event_no DESC LIMIT $5";

impl Stretch {
    /// What is left of it when it was followed to a place: up to there going back, from there on
    /// going forth.
    #[must_use]
    pub fn from(self, place: i64) -> Self {
        match self {
            Self::Back { after, .. } => Self::Back { upto: place, after },
            Self::Forth { upto, .. } => Self::Forth { after: place, upto },
        }
    }
}

const COLUMNS_BY_NO: &str = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
    e.state_after, e.room_before, e.room_after, e.redacted_by, e.pdu, r.version FROM events e JOIN rooms r ON r.room_no = e.room_no \
    WHERE e.event_no IN (LIST)";
const COLUMNS_BY_ID: &str = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
    e.state_after, e.room_before, e.room_after, e.redacted_by, e.pdu, r.version FROM events e JOIN rooms r ON r.room_no = e.room_no \
    WHERE e.event_id IN (LIST)";
const COLUMNS_BACK: &str = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
    e.state_after, e.room_before, e.room_after, e.redacted_by, e.pdu, r.version FROM events e JOIN rooms r ON r.room_no = e.room_no \
    WHERE e.room_no = $1 AND e.position > $2 AND e.position <= $3 AND e.verdict = 0 \
    ORDER BY e.position DESC LIMIT $4";
const COLUMNS_FORTH: &str = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
    e.state_after, e.room_before, e.room_after, e.redacted_by, e.pdu, r.version FROM events e JOIN rooms r ON r.room_no = e.room_no \
    WHERE e.room_no = $1 AND e.position > $2 AND e.position <= $3 AND e.verdict = 0 \
    ORDER BY e.position ASC LIMIT $4";

const COLUMNS_AT: &str = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
    e.state_after, e.room_before, e.room_after, e.redacted_by, e.pdu, r.version FROM events e JOIN rooms r ON r.room_no = e.room_no \
    WHERE e.room_no = $1 AND e.verdict = 0 AND e.position IN (LIST)";
const COLUMNS_NUMBERED: &str = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
    e.state_after, e.room_before, e.room_after, e.redacted_by, e.pdu, r.version FROM events e JOIN rooms r ON r.room_no = e.room_no \
    WHERE e.event_no > $1 ORDER BY e.event_no LIMIT $2";

/// The events of these numbers, by number; unknown ones are left out.
pub async fn by_numbers(
    from: &mut impl Reads,
    numbers: &[EventNo],
) -> Result<HashMap<EventNo, StoredEvent>, StoreError> {
    let mut found = HashMap::with_capacity(numbers.len());
    let mut asked: Vec<i64> = Vec::new();
    let seen = from.seen();
    for number in numbers {
        if let Some(stored) = seen.as_ref().and_then(|seen| seen.0.get(number)) {
            found.insert(*number, stored.clone());
        } else {
            asked.push(number.0);
        }
    }
    for chunk in asked.chunks(LIST_MOST) {
        for row in from.conn().0.query(COLUMNS_BY_NO).list(chunk).all().await? {
            let stored = read(&row)?;
            remember(from, &stored);
            found.insert(stored.event_no, stored);
        }
    }
    Ok(found)
}

/// Events that a snapshot has shown, by their numbers: one answer looks at many of them more than once.
#[derive(Default)]
pub struct Seen(HashMap<EventNo, StoredEvent>);

/// Events that one snapshot remembers; of what comes behind them it asks again.
const SEEN: usize = 20_000;

pub(super) fn remember(from: &mut impl Reads, stored: &StoredEvent) {
    if let Some(seen) = from.seen().filter(|seen| seen.0.len() < SEEN) {
        seen.0.insert(stored.event_no, stored.clone());
    }
}

/// The event of that id.
pub async fn by_id(from: &mut impl Reads, id: &EventId) -> Result<Option<StoredEvent>, StoreError> {
    let row = from.conn().0.query(COLUMNS_BY_ID).list(&[id.as_str()]).one().await?;
    row.as_ref().map(read).transpose()
}

/// The events of a room's timeline at these positions.
pub async fn at(
    from: &mut impl Reads,
    room_no: i64,
    positions: &[i64],
) -> Result<Vec<StoredEvent>, StoreError> {
    let mut found = Vec::with_capacity(positions.len());
    for chunk in positions.chunks(LIST_MOST) {
        let query = from.conn().0.query(COLUMNS_AT).bind(room_no).list(chunk);
        for row in query.all().await? {
            found.push(read(&row)?);
        }
    }
    Ok(found)
}

/// The number of the newest event; 0 before the first.
pub async fn last_number(from: &mut impl Reads) -> Result<i64, StoreError> {
    let row = from.conn().0.query("SELECT coalesce(max(event_no), 0) FROM events").one().await?;
    row.ok_or(StoreError::Damaged("a maximum gave no row"))?.get(0)
}

/// All events behind a number, by their numbers, at most `limit`.
pub async fn numbered(
    from: &mut impl Reads,
    behind: i64,
    limit: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let query = from.conn().0.query(COLUMNS_NUMBERED).bind(behind).bind(limit);
    query.all().await?.iter().map(read).collect()
}

/// The events of a room's timeline nearest to a time, up to a position: those sent then or later, the
/// first of them first, or those sent then or before, the last first. `beside` is the one that was
/// found before, as its time and number.
pub async fn nearest(
    from: &mut impl Reads,
    room_no: i64,
    back: bool,
    beside: (i64, i64),
    upto: i64,
    limit: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let sql = if back { COLUMNS_BEFORE } else { COLUMNS_SINCE };
    let (sent_ms, number) = beside;
    let query = from.conn().0.query(sql).bind(room_no).bind(sent_ms).bind(number);
    query.bind(upto).bind(limit).all().await?.iter().map(read).collect()
}

/// The rooms and the numbers of those of these events that are here.
pub async fn numbers_of(
    from: &mut impl Reads,
    ids: &[OwnedEventId],
) -> Result<HashMap<OwnedEventId, (i64, EventNo)>, StoreError> {
    let sql = "SELECT event_id, room_no, event_no FROM events WHERE event_id IN (LIST)";
    let mut found = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(LIST_MOST) {
        let list: Vec<&str> = chunk.iter().map(|id| id.as_str()).collect();
        for row in from.conn().0.query(sql).list(&list).all().await? {
            found.insert(row.parse(0)?, (row.get(1)?, EventNo(row.get(2)?)));
        }
    }
    Ok(found)
}

/// The events of these ids in their order; unknown ones are left out.
pub async fn by_ids(
    from: &mut impl Reads,
    ids: &[OwnedEventId],
) -> Result<Vec<StoredEvent>, StoreError> {
    let mut found = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(LIST_MOST) {
        let list: Vec<&str> = chunk.iter().map(|id| id.as_str()).collect();
        for row in from.conn().0.query(COLUMNS_BY_ID).list(&list).all().await? {
            let stored = read(&row)?;
            found.insert(stored.event.id().to_owned(), stored);
        }
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
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
    let found: Vec<StoredEvent> = query.all().await?.iter().map(read).collect::<Result<_, _>>()?;
    for stored in &found {
        remember(from, stored);
    }
    Ok(found)
}

/// Events of the timelines of all rooms whose numbers come behind `after`, in their order.
pub async fn after(
    from: &mut impl Reads,
    after: i64,
    limit: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let sql = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
               e.state_after, e.room_before, e.room_after, e.redacted_by, e.pdu, r.version \
               FROM events e JOIN rooms r ON r.room_no = e.room_no \
               WHERE e.event_no > $1 AND e.position > 0 AND e.verdict = 0 ORDER BY e.event_no LIMIT $2";
    from.conn().0.query(sql).bind(after).bind(limit).all().await?.iter().map(read).collect()
}

/// Events of others in the rooms that somebody is in, whose numbers come before `before`, the newest
/// first.
pub async fn of_person_before(
    from: &mut impl Reads,
    user_id: &UserId,
    before: i64,
    limit: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let sql = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
               e.state_after, e.room_before, e.room_after, e.redacted_by, e.pdu, r.version \
               FROM events e JOIN rooms r ON r.room_no = e.room_no \
               JOIN memberships m ON m.room_no = e.room_no AND m.user_id = $1 AND m.membership = 'join' \
               WHERE e.event_no < $2 AND e.position > 0 AND e.verdict = 0 AND e.sender <> $1 \
               ORDER BY e.event_no DESC LIMIT $3";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(before).bind(limit);
    query.all().await?.iter().map(read).collect()
}

/// The same of those whose numbers come after `after` as well, at most so many.
pub async fn of_person_between(
    from: &mut impl Reads,
    user_id: &UserId,
    (after, before): (i64, i64),
    limit: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let sql = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
               e.state_after, e.room_before, e.room_after, e.redacted_by, e.pdu, r.version \
               FROM events e JOIN rooms r ON r.room_no = e.room_no \
               JOIN memberships m ON m.room_no = e.room_no AND m.user_id = $1 AND m.membership = 'join' \
               WHERE e.event_no > $2 AND e.event_no < $3 AND e.position > 0 AND e.verdict = 0 \
               AND e.sender <> $1 ORDER BY e.event_no DESC LIMIT $4";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(after).bind(before);
    query.bind(limit).all().await?.iter().map(read).collect()
}

/// The position of the newest event of a room that is of one of these types.
pub async fn last_of(
    from: &mut impl Reads,
    room_no: i64,
    kinds: &[&str],
) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT position FROM events WHERE room_no = $1 AND verdict = 0 AND position IS NOT NULL \
               AND kind IN (LIST) ORDER BY position DESC LIMIT 1";
    let query = from.conn().0.query(sql).bind(room_no).list(kinds);
    query.one().await?.map(|row| row.get(0)).transpose()
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

/// Those who came, went or changed in a room after a position.
pub async fn who_moved(
    from: &mut impl Reads,
    room_no: i64,
    after: i64,
) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT DISTINCT state_key FROM events WHERE room_no = $1 AND position > $2 \
               AND kind = 'm.room.member' AND verdict = 0 AND state_key > $3 \
               ORDER BY state_key LIMIT $4";
    let (mut found, mut behind) = (Vec::new(), String::new());
    loop {
        let query = from.conn().0.query(sql).bind(room_no).bind(after);
        let rows = query.bind(behind.as_str()).bind(PAGE).all().await?;
        for row in &rows {
            behind = row.get(0)?;
            // A key that is no user id names nobody who could be in a room.
            found.extend(OwnedUserId::try_from(behind.as_str()).ok());
        }
        if i64::try_from(rows.len()).is_ok_and(|count| count < PAGE) {
            return Ok(found);
        }
    }
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

/// When the oldest request was made that is still known, in milliseconds since the epoch.
pub async fn oldest_request(from: &mut impl Reads) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT created_ms FROM transactions ORDER BY created_ms LIMIT 1";
    from.conn().0.query(sql).one().await?.map(|row| row.get(0)).transpose()
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

impl Verdict {
    /// As it is stored.
    fn number(self) -> i64 {
        match self {
            Self::Accepted => 0,
            Self::SoftFailed => 1,
            Self::Rejected => 2,
        }
    }
}

impl Tx {
    /// Writes new events down, and what they relate to.
    pub async fn add_events(&mut self, events: &[StoredEvent]) -> Result<(), StoreError> {
        let sql = "INSERT INTO events (event_no, event_id, room_no, position, verdict, kind, state_key, sender, \
                   state_before, state_after, room_before, room_after, pdu, sent_ms) VALUES (ROWS)";
        let unlike = |room: NodeId, event: NodeId| (room != event).then(|| room.0.to_vec());
        let row = |stored: &StoredEvent| -> [Value; 14] {
            let (event, roots) = (&stored.event, stored.roots);
            [
                stored.event_no.0.into(),
                event.id().as_str().into(),
                stored.room_no.into(),
                stored.position.into(),
                stored.verdict.number().into(),
                (&*escape(&event.kind().to_string())).into(),
                event.state_key().map(|key| escape(key).into_owned()).into(),
                event.sender().as_str().into(),
                roots.map(|it| it.state_before.0.to_vec()).into(),
                roots.map(|it| it.state_after.0.to_vec()).into(),
                roots.and_then(|it| unlike(it.room_before, it.state_before)).into(),
                roots.and_then(|it| unlike(it.room_after, it.state_after)).into(),
                event.json().into(),
                stored.sent_ms().into(),
            ]
        };
        let rows: Vec<[Value; 14]> = events.iter().map(row).collect();
        self.insert(sql, &rows).await?;
        self.relate(events).await
    }

    /// Writes down where an event stands that was here without that.
    pub async fn stand_event(&mut self, stored: &StoredEvent) -> Result<(), StoreError> {
        let sql = "UPDATE events SET position = $2, verdict = $3, state_before = $4, state_after = $5, \
                   room_before = $6, room_after = $7 WHERE event_no = $1";
        let roots = stored.roots;
        let unlike = |room: NodeId, event: NodeId| (room != event).then(|| room.0.to_vec());
        self.query(sql)
            .bind(stored.event_no.0)
            .bind(stored.position)
            .bind(stored.verdict.number())
            .bind(roots.map(|it| it.state_before.0.to_vec()))
            .bind(roots.map(|it| it.state_after.0.to_vec()))
            .bind(roots.and_then(|it| unlike(it.room_before, it.state_before)))
            .bind(roots.and_then(|it| unlike(it.room_after, it.state_after)))
            .run()
            .await
            .map(drop)
    }

    /// Replaces an event's content by its redacted form, which relates to nothing.
    pub async fn redact_event(&mut self, redacted: &Event, by: &EventId) -> Result<(), StoreError> {
        self.query("UPDATE events SET pdu = $2, redacted_by = $3 WHERE event_id = $1")
            .bind(redacted.id().as_str())
            .bind(redacted.json())
            .bind(by.as_str())
            .run()
            .await?;
        self.unrelate(redacted.id()).await
    }

    /// Forgets the oldest requests of before a time, at most `limit` of them.
    pub async fn forget_requests(&mut self, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
        // Those of one millisecond go together.
        let sql = "DELETE FROM transactions WHERE created_ms <= (SELECT max(created_ms) FROM \
                   (SELECT created_ms FROM transactions WHERE created_ms < $1 ORDER BY created_ms LIMIT $2) \
                   AS oldest)";
        self.query(sql).bind(before_ms).bind(limit).run().await
    }

    /// Notes a request that makes no event; false where it was made before.
    pub async fn is_first(
        &mut self,
        user_id: &UserId,
        device_id: &DeviceId,
        scope: &str,
        txn_id: &str,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO transactions (user_id, device_id, scope, txn_id, event_id, created_ms) \
                   VALUES ($1, $2, $3, $4, '', $5) ON CONFLICT DO NOTHING";
        let query = self.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
        Ok(query.bind(scope).bind(txn_id).bind(now_ms).run().await? > 0)
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

pub(super) fn read(row: &Row) -> Result<StoredEvent, StoreError> {
    let verdict = match row.get::<i64>(4)? {
        0 => Verdict::Accepted,
        1 => Verdict::SoftFailed,
        _ => Verdict::Rejected,
    };
    let version: String = row.get(11)?;
    let version = RoomVersion::parse(&version)
        .ok_or(StoreError::Damaged("a stored room version is unknown"))?;
    let redacted_by: Option<String> = row.get(9)?;
    let pdu: String = row.get(10)?;
    let event = Event::from_stored(version, row.parse(1)?, &pdu, verdict == Verdict::Rejected)
        .map_err(|_| StoreError::Damaged("a stored event does not parse"))?;
    Ok(StoredEvent {
        event,
        event_no: EventNo(row.get(0)?),
        room_no: row.get(2)?,
        position: row.get(3)?,
        verdict,
        roots: read_roots(row)?,
        redacted_by: redacted_by
            .map(|id| {
                id.try_into().map_err(|_| StoreError::Damaged("a stored event id does not parse"))
            })
            .transpose()?,
    })
}

fn read_roots(row: &Row) -> Result<Option<Roots>, StoreError> {
    let root = |index| Ok::<_, StoreError>(row.maybe_array(index)?.map(NodeId));
    let (Some(state_before), Some(state_after)) = (root(5)?, root(6)?) else { return Ok(None) };
    let room_before = root(7)?.unwrap_or(state_before);
    let room_after = root(8)?.unwrap_or(state_after);
    Ok(Some(Roots { state_before, state_after, room_before, room_after }))
}
