//! The graphs of rooms: which events cite which, and the nodes of their states.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ruma::{EventId, OwnedEventId, events::TimelineEventType};
use wayside_federation::{
    room::CITING,
    state::{EventNo, Node, NodeId},
};

use super::{
    Reads, StoreError, Tx,
    db::{LIST_MOST, Value},
    events::{StoredEvent, Verdict},
};

/// Places that are left before an event whose past is not here, for what may come to be.
pub const PLACES: i64 = 1_000_000;
/// Events of a room that stand closer together than this have no hole between them: what is found in one by
/// itself halves its places, and leaves as many.
pub const APART: i64 = PLACES / 64;
/// Events whose places are looked at in one question.
const STEP: i64 = 1_000;

/// A page of the state events of a room that cite one and were not rejected, the newest first.
pub async fn citing(
    from: &mut impl Reads,
    room_no: i64,
    cited: &EventId,
    page: usize,
) -> Result<Vec<EventNo>, StoreError> {
    let sql = "SELECT event_no FROM auth_edges WHERE room_no = $1 AND cited_id = $2 \
               ORDER BY event_no DESC LIMIT $3 OFFSET $4";
    let many = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let query = from.conn().0.query(sql).bind(room_no).bind(cited.as_str());
    let rows = query.bind(many(CITING)).bind(many(page.saturating_mul(CITING))).all().await?;
    rows.iter().map(|row| Ok(EventNo(row.get(0)?))).collect()
}

/// Those of some events of a room that others name as theirs before, and that are not here.
pub async fn gaps_among(
    from: &mut impl Reads,
    room_no: i64,
    ids: &[&EventId],
) -> Result<HashSet<OwnedEventId>, StoreError> {
    let sql = "SELECT missing_id FROM gaps WHERE room_no = $1 AND missing_id IN (LIST)";
    let mut found = HashSet::new();
    for chunk in ids.chunks(LIST_MOST) {
        let list: Vec<&str> = chunk.iter().map(|id| id.as_str()).collect();
        for row in from.conn().0.query(sql).bind(room_no).list(&list).all().await? {
            found.insert(row.parse(0)?);
        }
    }
    Ok(found)
}

/// A hole in the graph of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hole {
    /// The events that are missing, those first that are named the latest.
    pub missing: Vec<OwnedEventId>,
    /// Where the oldest event above it stands: what fills it has its place below.
    pub floor: i64,
}

/// The newest hole between two positions of a room, both of which count, and at most `limit` of the events
/// that are missing there. The events above it stand so close that `room` others would not fit in between.
pub async fn newest_hole(
    from: &mut impl Reads,
    room_no: i64,
    (after, upto): (i64, i64),
    room: i64,
    limit: i64,
) -> Result<Option<Hole>, StoreError> {
    let sql = "SELECT position FROM gaps WHERE room_no = $1 AND position >= $2 AND position <= $3 \
               ORDER BY position DESC LIMIT 1";
    let query = from.conn().0.query(sql).bind(room_no).bind(after).bind(upto);
    let Some(row) = query.one().await? else { return Ok(None) };
    let top: i64 = row.get(0)?;
    let floor = floor(from, room_no, top, room).await?;
    let sql = "SELECT missing_id FROM gaps WHERE room_no = $1 AND position >= $2 AND position <= $3 \
               ORDER BY position DESC, missing_id LIMIT $4";
    let query = from.conn().0.query(sql).bind(room_no).bind(floor).bind(top).bind(limit);
    let rows = query.all().await?;
    let missing = rows.iter().map(|row| row.parse(0)).collect::<Result<_, _>>()?;
    Ok(Some(Hole { missing, floor }))
}

/// Which of some events of a room's timeline, the newest first, is the newest below which something is
/// missing; behind the last of them comes what was told up to `after`.
pub async fn hole_in(
    from: &mut impl Reads,
    page: &[StoredEvent],
    after: i64,
) -> Result<Option<usize>, StoreError> {
    let places = page.iter().map(|it| it.position.unwrap_or(after)).chain([after]);
    let places: Vec<i64> = places.collect();
    for (at, stored) in page.iter().enumerate() {
        // Places are left there, so that hardly any page asks more than this.
        let is_close = places[at].saturating_sub(places[at + 1]) <= APART;
        if is_close || *stored.event.kind() == TimelineEventType::RoomCreate {
            continue;
        }
        let sql = "SELECT position FROM gaps \
                   WHERE room_no = $1 AND position > $2 AND position <= $3 LIMIT 1";
        let query = from.conn().0.query(sql).bind(stored.room_no).bind(places[at + 1]);
        let query = query.bind(places[at]);
        if query.one().await?.is_some() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// The place of the oldest of the events from `top` downwards between which no `room` others would fit.
pub async fn floor(
    from: &mut impl Reads,
    room_no: i64,
    top: i64,
    room: i64,
) -> Result<i64, StoreError> {
    let sql = "SELECT position FROM events WHERE room_no = $1 AND position < $2 \
               ORDER BY position DESC LIMIT $3";
    let mut floor = top;
    loop {
        let query = from.conn().0.query(sql).bind(room_no).bind(floor).bind(STEP);
        let rows = query.all().await?;
        for row in &rows {
            let next: i64 = row.get(0)?;
            if floor.saturating_sub(next) > room {
                return Ok(floor);
            }
            floor = next;
        }
        if rows.len() < usize::try_from(STEP).unwrap_or(usize::MAX) {
            return Ok(floor);
        }
    }
}

/// The place of the newest event before a position of a room.
pub async fn below(
    from: &mut impl Reads,
    room_no: i64,
    position: i64,
) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT position FROM events WHERE room_no = $1 AND position < $2 \
               ORDER BY position DESC LIMIT 1";
    let row = from.conn().0.query(sql).bind(room_no).bind(position).one().await?;
    row.map(|row| row.get(0)).transpose()
}

/// The redactions of some events of a room that have come before them.
pub async fn early_redactions(
    from: &mut impl Reads,
    room_no: i64,
    ids: &[&EventId],
) -> Result<HashMap<OwnedEventId, Vec<EventNo>>, StoreError> {
    let sql = "SELECT target_id, event_no FROM early_redactions \
               WHERE room_no = $1 AND target_id IN (LIST) ORDER BY event_no";
    let mut found: HashMap<OwnedEventId, Vec<EventNo>> = HashMap::new();
    for chunk in ids.chunks(LIST_MOST) {
        let list: Vec<&str> = chunk.iter().map(|id| id.as_str()).collect();
        for row in from.conn().0.query(sql).bind(room_no).list(&list).all().await? {
            found.entry(row.parse(0)?).or_default().push(EventNo(row.get(1)?));
        }
    }
    Ok(found)
}

impl Tx {
    /// Notes that an event at a place in a room names these, which are not here.
    pub async fn open_gaps(
        &mut self,
        room_no: i64,
        ids: &[OwnedEventId],
        position: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO gaps (room_no, missing_id, position) VALUES ($1, $2, $3) \
                   ON CONFLICT (room_no, missing_id) DO UPDATE SET position = excluded.position \
                   WHERE gaps.position > excluded.position";
        for id in ids {
            self.query(sql).bind(room_no).bind(id.as_str()).bind(position).run().await?;
        }
        Ok(())
    }

    /// Notes that an event is missing no more.
    pub async fn close_gap(&mut self, room_no: i64, id: &EventId) -> Result<(), StoreError> {
        let sql = "DELETE FROM gaps WHERE room_no = $1 AND missing_id = $2";
        self.query(sql).bind(room_no).bind(id.as_str()).run().await.map(drop)
    }

    /// Keeps in mind that a redaction has come before what it redacts.
    pub async fn await_target(
        &mut self,
        room_no: i64,
        target: &EventId,
        event_no: EventNo,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO early_redactions (room_no, target_id, event_no) VALUES ($1, $2, $3) \
                   ON CONFLICT DO NOTHING";
        self.query(sql).bind(room_no).bind(target.as_str()).bind(event_no.0).run().await.map(drop)
    }

    /// Forgets the redactions that came before an event: it is here.
    pub async fn forget_awaited(
        &mut self,
        room_no: i64,
        target: &EventId,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM early_redactions WHERE room_no = $1 AND target_id = $2";
        self.query(sql).bind(room_no).bind(target.as_str()).run().await.map(drop)
    }

    /// Writes nodes of states down, before whatever names them.
    pub async fn put_nodes(&mut self, nodes: &[(NodeId, Arc<Node>)]) -> Result<(), StoreError> {
        // One that is about to be removed stays.
        let sql = "INSERT INTO state_nodes (node_id, body) VALUES (ROWS) \
                   ON CONFLICT (node_id) DO UPDATE SET condemned = 0 WHERE state_nodes.condemned <> 0";
        let row = |(id, node): &(NodeId, Arc<Node>)| [id.0.as_slice().into(), node.encode().into()];
        let rows: Vec<[Value; 2]> = nodes.iter().map(row).collect();
        self.insert(sql, &rows).await?;
        for (id, node) in nodes {
            self.nodes().insert(*id, node.clone());
        }
        Ok(())
    }

    /// Notes what state events cite.
    pub async fn note_cited(&mut self, events: &[StoredEvent]) -> Result<(), StoreError> {
        let sql = "INSERT INTO auth_edges (room_no, cited_id, event_no) VALUES (ROWS) \
                   ON CONFLICT DO NOTHING";
        let cites = |it: &&StoredEvent| it.event.is_state() && it.verdict != Verdict::Rejected;
        let mut rows: Vec<[Value; 3]> = Vec::new();
        for stored in events.iter().filter(cites) {
            let number = stored.event_no.0;
            let row =
                |id: &OwnedEventId| [stored.room_no.into(), id.as_str().into(), number.into()];
            rows.extend(stored.event.auth_events().iter().map(row));
        }
        self.insert(sql, &rows).await
    }
}
