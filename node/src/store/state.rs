//! The state trees of rooms: walks the pure trees of `federation::state` over the stored nodes.

use std::{collections::HashMap, sync::Arc};

use quick_cache::sync::Cache;
use wayside_federation::state::{
    self, Difference, EventNo, KeyHash, Missing, Node, NodeId, StateKey,
};

use super::{Reads, StoreError, Tx, db::LIST_MOST};

/// Nodes kept in memory, by their hash: what a hash names never changes, so nothing here grows stale.
pub(super) type NodeCache = Arc<Cache<NodeId, Arc<Node>>>;

/// Nodes in the cache: about 8 MB when full.
const CACHED_NODES: usize = 16_384;

pub(super) fn node_cache() -> NodeCache {
    Arc::new(Cache::new(CACHED_NODES))
}

/// The events that hold these keys in the state named by `root`, in the order of `keys`.
pub async fn lookup(
    from: &mut impl Reads,
    root: NodeId,
    keys: &[StateKey],
) -> Result<Vec<Option<EventNo>>, StoreError> {
    let hashes: Vec<KeyHash> = keys.iter().map(StateKey::hash).collect();
    walk(from, |nodes| state::get(root, &hashes, nodes)).await
}

/// The event that holds one key.
pub async fn at(
    from: &mut impl Reads,
    root: NodeId,
    key: KeyHash,
) -> Result<Option<EventNo>, StoreError> {
    Ok(walk(from, |nodes| state::get(root, &[key], nodes)).await?.pop().flatten())
}

/// Nodes by their names; all of them, or the store is damaged.
pub async fn nodes(
    from: &mut impl Reads,
    ids: &[NodeId],
) -> Result<Vec<(NodeId, Arc<Node>)>, StoreError> {
    let cache = from.nodes().clone();
    let mut found = Vec::with_capacity(ids.len());
    let mut absent = Vec::new();
    for id in ids {
        match cache.get(id) {
            Some(node) => found.push((*id, node)),
            None => absent.push(*id),
        }
    }
    for chunk in absent.chunks(LIST_MOST) {
        let loaded = load(from, chunk).await?;
        if loaded.len() < chunk.len() {
            return Err(StoreError::Damaged("a node of a state tree is missing"));
        }
        for (id, node) in loaded {
            cache.insert(id, node.clone());
            found.push((id, node));
        }
    }
    Ok(found)
}

/// Every entry of a state.
pub async fn entries(
    from: &mut impl Reads,
    root: NodeId,
) -> Result<Vec<(KeyHash, EventNo)>, StoreError> {
    walk(from, |nodes| state::entries(root, nodes)).await
}

/// What differs between two states; the work is in proportion to the answer.
pub async fn difference(
    from: &mut impl Reads,
    left: NodeId,
    right: NodeId,
) -> Result<Vec<Difference>, StoreError> {
    walk(from, |nodes| state::diff(left, right, nodes)).await
}

/// One node of a tree, as it is stored now.
pub(super) async fn node(
    from: &mut impl Reads,
    id: NodeId,
) -> Result<Option<Arc<Node>>, StoreError> {
    Ok(load(from, &[id]).await?.pop().map(|(_, node)| node))
}

impl Tx {
    /// The state that follows from `root` by these changes; writes the few nodes that are new.
    ///
    /// All new nodes are written even where the cache knows them: they may be there from a use
    /// case that was undone.
    pub async fn change_state(
        &mut self,
        root: NodeId,
        changes: &[(KeyHash, Option<EventNo>)],
    ) -> Result<NodeId, StoreError> {
        let applied = walk(self, |nodes| state::apply(root, changes, nodes)).await?;
        let created: Vec<(NodeId, Arc<Node>)> = applied.created.into_iter().collect();
        self.put_nodes(&created).await?;
        Ok(applied.root)
    }
}

async fn walk<T>(
    from: &mut impl Reads,
    step: impl Fn(&dyn Fn(&NodeId) -> Option<Arc<Node>>) -> Result<T, Missing>,
) -> Result<T, StoreError> {
    let cache = from.nodes().clone();
    let mut near: HashMap<NodeId, Arc<Node>> = HashMap::new();
    loop {
        let held = step(&|id| near.get(id).cloned().or_else(|| cache.get(id)));
        let missing = match held {
            Ok(value) => return Ok(value),
            Err(Missing(ids)) => ids,
        };
        near.extend(nodes(from, &missing).await?);
    }
}

/// Those of some nodes that are stored, as they are there.
pub(super) async fn load(
    from: &mut impl Reads,
    ids: &[NodeId],
) -> Result<Vec<(NodeId, Arc<Node>)>, StoreError> {
    let names: Vec<Vec<u8>> = ids.iter().map(|id| id.0.to_vec()).collect();
    let sql = "SELECT node_id, body FROM state_nodes WHERE node_id IN (LIST)";
    let rows = from.conn().0.query(sql).list(&names).all().await?;
    rows.iter()
        .map(|row| {
            let body: Vec<u8> = row.get(1)?;
            let node = Node::decode(&body)
                .map_err(|_| StoreError::Damaged("a node of a state tree does not decode"))?;
            Ok((NodeId(row.array(0)?), Arc::new(node)))
        })
        .collect()
}
