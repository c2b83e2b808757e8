//! The graphs of rooms: which events cite which, and the nodes of their states.

use std::sync::Arc;

use ruma::EventId;
use wayside_federation::{
    room::CITING,
    state::{EventNo, Node, NodeId},
};

use super::{
    Reads, StoreError, Tx,
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

impl Tx {
    /// Writes nodes of states down, before whatever names them.
    pub async fn put_nodes(&mut self, nodes: &[(NodeId, Arc<Node>)]) -> Result<(), StoreError> {
        let sql = "INSERT INTO state_nodes (node_id, body) VALUES ($1, $2) ON CONFLICT (node_id) DO NOTHING";
        for (id, node) in nodes {
            self.query(sql).bind(id.0.as_slice()).bind(node.encode()).run().await?;
            self.nodes().insert(*id, node.clone());
        }
        Ok(())
    }

    /// Notes what a state event cites.
    pub async fn note_cited(&mut self, stored: &StoredEvent) -> Result<(), StoreError> {
        if !stored.event.is_state() || stored.verdict == Verdict::Rejected {
            return Ok(());
        }
        let sql = "INSERT INTO auth_edges (room_no, cited_id, event_no) VALUES ($1, $2, $3) \
                   ON CONFLICT DO NOTHING";
        for cited in stored.event.auth_events() {
            let query = self.query(sql).bind(stored.room_no).bind(cited.as_str());
            query.bind(stored.event_no.0).run().await?;
        }
        Ok(())
    }
}
