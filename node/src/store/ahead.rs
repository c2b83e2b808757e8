//! What many rooms need at the same time, for answers that tell of all of them.

use std::collections::{HashMap, HashSet};

use ruma::{OwnedEventId, UserId};
use wayside_federation::state::EventNo;

use super::{
    Reads, StoreError,
    db::{LIST_MOST, Row},
    events::{self, StoredEvent},
    people::{self, Receipt},
};

/// Rows of one question. Rooms of which they do not hold everything are left out.
const ROWS: usize = 5_000;
#[expect(clippy::cast_possible_wrap, reason = "a small number")]
const MOST: i64 = ROWS as i64;

/// The newest events of each of these rooms, the newest first, at most `limit` of each.
pub async fn newest(
    from: &mut impl Reads,
    rooms: &[i64],
    limit: i64,
) -> Result<HashMap<i64, Vec<StoredEvent>>, StoreError> {
    // The rooms come first, and in each the walk begins at the place where it shall end.
    let sql = "SELECT e.event_no, e.event_id, e.room_no, e.position, e.verdict, e.state_before, \
               e.state_after, e.room_before, e.room_after, e.redacted_by, e.pdu, r.version \
               FROM rooms r CROSS JOIN events e \
               WHERE r.room_no IN (LIST) AND e.room_no = r.room_no AND e.verdict = 0 \
               AND e.position >= coalesce((SELECT x.position FROM events x \
               WHERE x.room_no = r.room_no AND x.verdict = 0 AND x.position IS NOT NULL \
               ORDER BY x.position DESC LIMIT 1 OFFSET $1), $2) ORDER BY e.room_no, e.position DESC";
    let mut found: HashMap<i64, Vec<StoredEvent>> =
        rooms.iter().map(|room_no| (*room_no, Vec::new())).collect();
    for chunk in rooms.chunks(LIST_MOST) {
        let query = from.conn().0.query(sql).bind(limit - 1).bind(i64::MIN).list(chunk);
        for row in query.all().await? {
            let stored = events::read(&row)?;
            events::remember(from, &stored);
            found.entry(stored.room_no).or_default().push(stored);
        }
    }
    Ok(found)
}

/// The events of the current states of these rooms, with or without those of their members. Large
/// states are left out.
pub async fn states(
    from: &mut impl Reads,
    rooms: &[i64],
    members: bool,
) -> Result<HashMap<i64, Vec<EventNo>>, StoreError> {
    let sql = "SELECT room_no, event_no FROM room_state \
               WHERE room_no IN (LIST) AND ($1 = 1 OR kind <> 'm.room.member') ORDER BY room_no LIMIT $2";
    let read = |row: &Row| Ok(EventNo(row.get(1)?));
    let mut found = HashMap::new();
    for chunk in rooms.chunks(LIST_MOST) {
        let query = from.conn().0.query(sql).bind(i64::from(members)).bind(MOST).list(chunk);
        found.extend(whole(chunk, &query.all().await?, 0, read)?);
    }
    Ok(found)
}

/// All receipts in these rooms that are for `asker` to know. Rooms with many are left out.
pub async fn receipts(
    from: &mut impl Reads,
    rooms: &[i64],
    asker: &UserId,
) -> Result<HashMap<i64, Vec<Receipt>>, StoreError> {
    let sql = "SELECT user_id, kind, thread, event_id, sent_ms, room_no FROM receipts \
               WHERE room_no IN (LIST) AND (kind <> 'm.read.private' OR user_id = $1) \
               ORDER BY room_no LIMIT $2";
    let mut found = HashMap::new();
    for chunk in rooms.chunks(LIST_MOST) {
        let query = from.conn().0.query(sql).bind(asker.as_str()).bind(MOST).list(chunk);
        found.extend(whole(chunk, &query.all().await?, 5, people::read_receipt)?);
    }
    found.retain(|_, receipts: &mut Vec<Receipt>| {
        i64::try_from(receipts.len()).is_ok_and(|count| count < people::RECEIPTS)
    });
    Ok(found)
}

/// Those of these events to which anything relates.
pub async fn related(
    from: &mut impl Reads,
    events: &[OwnedEventId],
) -> Result<HashSet<OwnedEventId>, StoreError> {
    let sql = "SELECT e.event_id FROM events e WHERE e.event_id IN (LIST) \
               AND EXISTS (SELECT 1 FROM relations r WHERE r.target = e.event_id)";
    let mut found = HashSet::new();
    for chunk in events.chunks(LIST_MOST) {
        let ids: Vec<&str> = chunk.iter().map(|id| id.as_str()).collect();
        for row in from.conn().0.query(sql).list(&ids).all().await? {
            found.insert(row.parse(0)?);
        }
    }
    Ok(found)
}

/// The rows of each room, by the column that names it; where there may be more rows than these, only
/// of those rooms that come before the last.
fn whole<T>(
    rooms: &[i64],
    rows: &[Row],
    column: usize,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<HashMap<i64, Vec<T>>, StoreError> {
    let mut found: HashMap<i64, Vec<T>> =
        rooms.iter().map(|room_no| (*room_no, Vec::new())).collect();
    for row in rows {
        found.entry(row.get(column)?).or_default().push(read(row)?);
    }
    if rows.len() == ROWS {
        let last: i64 = rows[rows.len() - 1].get(column)?;
        found.retain(|room_no, _| *room_no < last);
    }
    Ok(found)
}
