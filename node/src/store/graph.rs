//! The graphs of rooms: which events cite which, and the nodes of their states.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ruma::{EventId, OwnedEventId};
use wayside_federation::{
    room::CITING,
    state::{EventNo, Node, NodeId},
};

use super::{
    Reads, StoreError, Tx,
    db::{LIST_MOST, Value},
    events::{StoredEvent, Verdict},
};

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

/// The events that are missing below a depth of a room, the deepest first, at most `limit`.
pub async fn gaps_below(
    from: &mut impl Reads,
    room_no: i64,
    depth: i64,
    limit: i64,
) -> Result<Vec<OwnedEventId>, StoreError> {
    let sql = "SELECT missing_id FROM gaps WHERE room_no = $1 AND depth <= $2 \
               ORDER BY depth DESC, missing_id LIMIT $3";
    let rows = from.conn().0.query(sql).bind(room_no).bind(depth).bind(limit).all().await?;
    rows.iter().map(|row| row.parse(0)).collect()
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
    /// Notes that an event at a depth of a room names these, which are not here.
    pub async fn open_gaps(
        &mut self,
        room_no: i64,
        ids: &[OwnedEventId],
        depth: u64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO gaps (room_no, missing_id, depth) VALUES ($1, $2, $3) \
                   ON CONFLICT (room_no, missing_id) DO UPDATE SET depth = excluded.depth \
                   WHERE gaps.depth < excluded.depth";
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        for id in ids {
            self.query(sql).bind(room_no).bind(id.as_str()).bind(depth).run().await?;
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
        let sql = "INSERT INTO state_nodes (node_id, body) VALUES (ROWS) ON CONFLICT (node_id) DO NOTHING";
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
