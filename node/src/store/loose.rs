//! States that nothing names any more, and how their nodes go.
//!
//! A node stays as long as the tree of a state that something names leads to it. One is removed in three
//! steps: it is *condemned*, with all others of states that are loose; then the trees of all states that are
//! named are followed; and what was not met there is removed, unless somebody has written it again since
//! it was condemned. Whoever makes a new state writes its new nodes, and finds the others in one that was
//! named before: so none is removed that a state needs which came to be meanwhile.

use std::collections::HashSet;

use wayside_federation::state::{EventNo, LEAF_ENTRIES, Node, NodeId};

use super::{
    Reads, StoreError, Tx,
    db::{LIST_MOST, Row, Value},
    state,
};

/// The rooms that have states which were loose before a time, at most `limit` of them behind a number.
pub async fn rooms(
    from: &mut impl Reads,
    before_ms: i64,
    behind: i64,
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT DISTINCT room_no FROM loose_states WHERE since_ms < $1 AND room_no > $2 \
               ORDER BY room_no LIMIT $3";
    let query = from.conn().0.query(sql).bind(before_ms).bind(behind).bind(limit);
    query.all().await?.iter().map(|row| row.get(0)).collect()
}

/// The loose states of a room, the oldest first, and since when they are.
pub async fn of_room(
    from: &mut impl Reads,
    room_no: i64,
) -> Result<Vec<(NodeId, i64)>, StoreError> {
    let sql = "SELECT root, since_ms FROM loose_states WHERE room_no = $1 ORDER BY since_ms, root";
    let rows = from.conn().0.query(sql).bind(room_no).all().await?;
    rows.iter().map(|row| Ok((NodeId(row.array(0)?), row.get(1)?))).collect()
}

/// The states that a room and its events name.
pub async fn named(from: &mut impl Reads, room_no: i64) -> Result<HashSet<NodeId>, StoreError> {
    let sql = "SELECT DISTINCT state_before, state_after, room_before, room_after FROM events \
               WHERE room_no = $1";
    let mut named = roots_in(&from.conn().0.query(sql).bind(room_no).all().await?)?;
    let sql = "SELECT state_root FROM rooms WHERE room_no = $1";
    if let Some(row) = from.conn().0.query(sql).bind(room_no).one().await? {
        named.insert(NodeId(row.array(0)?));
    }
    Ok(named)
}

/// The states in rows of four.
fn roots_in(rows: &[Row]) -> Result<HashSet<NodeId>, StoreError> {
    let mut roots = HashSet::new();
    for row in rows {
        for at in 0..4 {
            roots.extend(row.maybe_array(at)?.map(NodeId));
        }
    }
    Ok(roots)
}

/// A walk from the roots of some trees to all their nodes.
#[derive(Debug, Default)]
pub struct Walk {
    /// All that were met; those of which the tree leads to others before these.
    pub met: Vec<NodeId>,
    seen: HashSet<NodeId>,
    /// Branches that are still to be read.
    open: Vec<NodeId>,
    /// Whether one was not there.
    pub lacks: bool,
}

impl Walk {
    /// Begins it.
    #[must_use]
    pub fn from(roots: impl IntoIterator<Item = NodeId>) -> Self {
        let mut walk = Self::default();
        for root in roots {
            walk.meet(root, true);
        }
        walk
    }

    /// Goes some way on; whether it has come to its end.
    pub async fn go_on(&mut self, from: &mut impl Reads) -> Result<bool, StoreError> {
        let part = self.open.split_off(self.open.len().saturating_sub(LIST_MOST));
        let found = state::load(from, &part).await?;
        self.lacks |= found.len() < part.len();
        for (_, node) in found {
            if let Node::Branch(branch) = &*node {
                for (_, child) in branch.children() {
                    // A tree of few entries is a leaf, which leads nowhere.
                    self.meet(child.id, child.entries as usize > LEAF_ENTRIES);
                }
            }
        }
        Ok(self.open.is_empty())
    }

    /// Whether it has met a node.
    #[must_use]
    pub fn has_met(&self, node: NodeId) -> bool {
        self.seen.contains(&node)
    }

    fn meet(&mut self, node: NodeId, leads_on: bool) {
        if node != NodeId::EMPTY && self.seen.insert(node) {
            self.met.push(node);
            if leads_on {
                self.open.push(node);
            }
        }
    }
}

impl Tx {
    /// Notes that perhaps nothing names these states of a room, or not yet.
    pub async fn loosen(
        &mut self,
        room_no: i64,
        roots: impl IntoIterator<Item = NodeId>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let roots: HashSet<NodeId> = roots.into_iter().filter(|it| *it != NodeId::EMPTY).collect();
        let row = |root: &NodeId| [room_no.into(), root.0.as_slice().into(), now_ms.into()];
        let rows: Vec<[Value; 3]> = roots.iter().map(row).collect();
        let sql = "INSERT INTO loose_states (room_no, root, since_ms) VALUES (ROWS) \
                   ON CONFLICT (room_no, root) DO UPDATE SET since_ms = excluded.since_ms";
        self.insert(sql, &rows).await
    }

    /// The same of the states that some events of a room name, which are about to go.
    pub async fn loosen_of(
        &mut self,
        room_no: i64,
        events: &[EventNo],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "SELECT state_before, state_after, room_before, room_after FROM events \
                   WHERE event_no IN (LIST)";
        let numbers: Vec<i64> = events.iter().map(|it| it.0).collect();
        let mut roots = HashSet::new();
        for chunk in numbers.chunks(LIST_MOST) {
            roots.extend(roots_in(&self.query(sql).list(chunk).all().await?)?);
        }
        self.loosen(room_no, roots, now_ms).await
    }

    /// Notes that these states of a room, which were loose before a time, are it no more: something names
    /// them, or they are gone. One that was made again since then stays noted.
    pub async fn fasten(
        &mut self,
        room_no: i64,
        roots: &[NodeId],
        before_ms: i64,
    ) -> Result<(), StoreError> {
        let sql =
            "DELETE FROM loose_states WHERE room_no = $1 AND since_ms < $2 AND root IN (LIST)";
        for chunk in roots.chunks(LIST_MOST) {
            self.query(sql).bind(room_no).bind(before_ms).list(&names(chunk)).run().await?;
        }
        Ok(())
    }

    /// Condemns nodes, in the name of one collection.
    pub async fn condemn(&mut self, nodes: &[NodeId], by: i64) -> Result<(), StoreError> {
        let sql = "UPDATE state_nodes SET condemned = $1 WHERE node_id IN (LIST)";
        for chunk in nodes.chunks(LIST_MOST) {
            self.query(sql).bind(by).list(&names(chunk)).run().await?;
        }
        Ok(())
    }

    /// Removes those of these nodes that are still condemned by that collection; how many it were.
    pub async fn remove_condemned(&mut self, nodes: &[NodeId], by: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM state_nodes WHERE node_id IN (LIST) AND condemned = $1";
        let mut gone = 0;
        for chunk in nodes.chunks(LIST_MOST) {
            gone += self.query(sql).bind(by).list(&names(chunk)).run().await?;
        }
        Ok(gone)
    }
}

fn names(nodes: &[NodeId]) -> Vec<Vec<u8>> {
    nodes.iter().map(|id| id.0.to_vec()).collect()
}
