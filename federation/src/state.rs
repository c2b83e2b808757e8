//! The state of a room as a persistent tree: each state shares all but a few nodes with the one before.
//!
//! The tree is a 16-way trie over [`KeyHash`] in canonical form: a subtree of at most 16 entries is
//! one leaf, a larger one a branch on the next four bits. So equal contents have equal roots,
//! whatever the order in which they came, and a change makes as many nodes as the tree is deep
//! (four at 10,000 members).
//!
//! Nodes live elsewhere. Every operation asks for them through a closure and answers
//! [`Missing`] with all the ids that it knows to need: load them and call again.

mod node;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::events::StateEventType;
use sha2::{Digest, Sha256};

pub use self::node::{Branch, Child, LEAF_ENTRIES, Node, NodeError};

/// The key of a state entry: event type and state key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey {
    /// The event's type.
    pub kind: StateEventType,
    /// The event's state key.
    pub key: String,
}

impl StateKey {
    /// Joins a type and a state key.
    #[must_use]
    pub fn new(kind: StateEventType, key: impl Into<String>) -> Self {
        Self { kind, key: key.into() }
    }

    /// The key in the tree: the first 16 bytes of SHA-256 over the type, a zero byte, the state key.
    ///
    /// A type that itself holds a zero byte would make the place of the separator doubtful: before
    /// it stand the byte 0xFF, with which no text begins, and its length in 8 bytes, big-endian.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        let kind = self.kind.to_string();
        let mut hasher = Sha256::new();
        if kind.contains('\0') {
            hasher.update([0xFF]);
            hasher.update((kind.len() as u64).to_be_bytes());
        }
        hasher.update(kind);
        hasher.update([0]);
        hasher.update(&self.key);
        KeyHash(first_half(&hasher.finalize()))
    }
}

/// The number that this node gave to an event; it means nothing elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventNo(pub i64);

/// Where an entry stands in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub [u8; 16]);

impl KeyHash {
    /// The four bits on which a branch at this depth (0 to 31) decides.
    fn nibble(self, depth: usize) -> usize {
        let byte = self.0.get(depth / 2).copied().unwrap_or_default();
        usize::from(if depth.is_multiple_of(2) { byte >> 4 } else { byte & 15 })
    }
}

/// The name of a node: the first 16 bytes of SHA-256 over its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 16]);

impl NodeId {
    /// The root of the empty state; no node has this id.
    pub const EMPTY: Self = Self([0; 16]);
}

/// Nodes that an operation needs and did not get: load them, then call it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("walking a state: {} nodes are not loaded", .0.len())]
pub struct Missing(
    /// Their ids, each once, at least one.
    pub Vec<NodeId>,
);

/// A new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its root.
    pub root: NodeId,
    /// The nodes that it has and the old state had not: store them before the root.
    pub created: Vec<(NodeId, Arc<Node>)>,
}

/// One key on which two states differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub key: KeyHash,
    /// The entry of the first state.
    pub left: Option<EventNo>,
    /// The entry of the second state.
    pub right: Option<EventNo>,
}

/// Looks keys up; the answers stand in the order of the keys.
pub fn get(
    root: NodeId,
    keys: &[KeyHash],
    nodes: impl Fn(&NodeId) -> Option<Arc<Node>>,
) -> Result<Vec<Option<EventNo>>, Missing> {
    let loader = Loader::new(nodes);
    let found = keys.iter().map(|key| look_up(root, *key, &loader)).collect();
    loader.finish(found)
}

/// Sets (`Some`) and removes (`None`) entries; of several changes to one key the last counts.
pub fn apply(
    root: NodeId,
    changes: &[(KeyHash, Option<EventNo>)],
    nodes: impl Fn(&NodeId) -> Option<Arc<Node>>,
) -> Result<Applied, Missing> {
    let sorted: BTreeMap<KeyHash, Option<EventNo>> = changes.iter().copied().collect();
    let sorted: Vec<_> = sorted.into_iter().collect();
    let mut editor =
        Editor { loader: Loader::new(nodes), made: BTreeMap::new(), seen: BTreeSet::new() };
    let new_root = editor.edit(root, 0, &sorted).map_or(NodeId::EMPTY, |child| child.id);
    let Editor { loader, mut made, seen } = editor;
    // Nodes made on the way may have been swallowed by a leaf above them, or be old ones.
    let mut created = Vec::new();
    let mut open = vec![new_root];
    while let Some(id) = open.pop() {
        if let Some(node) = made.remove(&id).filter(|_| !seen.contains(&id)) {
            open.extend(node.children().map(|(_, child)| child.id));
            created.push((id, node));
        }
    }
    loader.finish(Applied { root: new_root, created })
}

/// The entries on which two states differ, in order of their keys. Equal subtrees are not walked,
/// so the work is in proportion to the difference.
pub fn diff(
    a: NodeId,
    b: NodeId,
    nodes: impl Fn(&NodeId) -> Option<Arc<Node>>,
) -> Result<Vec<Difference>, Missing> {
    let loader = Loader::new(nodes);
    let mut found = Vec::new();
    if a == b {
        return Ok(found);
    }
    compare(&Side::of(a, &loader), &Side::of(b, &loader), 0, &loader, &mut found);
    loader.finish(found)
}

/// Every entry, in order of the keys.
pub fn entries(
    root: NodeId,
    nodes: impl Fn(&NodeId) -> Option<Arc<Node>>,
) -> Result<Vec<(KeyHash, EventNo)>, Missing> {
    let loader = Loader::new(nodes);
    let mut all = Vec::new();
    collect(root, 0, &loader, &mut all);
    loader.finish(all)
}

/// Deepest node that a key of 128 bits can lead to.
const DEPTH: usize = 32;

/// The caller's nodes, and a list of those it did not have.
struct Loader<F> {
    nodes: F,
    missing: std::cell::RefCell<BTreeSet<NodeId>>,
}

impl<F: Fn(&NodeId) -> Option<Arc<Node>>> Loader<F> {
    fn new(nodes: F) -> Self {
        Self { nodes, missing: std::cell::RefCell::default() }
    }

    /// A node, or `None` for the empty root and for one that is then asked for.
    fn load(&self, id: NodeId) -> Option<Arc<Node>> {
        if id == NodeId::EMPTY {
            return None;
        }
        let node = (self.nodes)(&id);
        if node.is_none() {
            self.missing.borrow_mut().insert(id);
        }
        node
    }

    /// The result, unless nodes were missing on the way to it.
    fn finish<T>(self, result: T) -> Result<T, Missing> {
        let missing = self.missing.into_inner();
        if missing.is_empty() { Ok(result) } else { Err(Missing(missing.into_iter().collect())) }
    }
}

fn look_up<F>(root: NodeId, key: KeyHash, loader: &Loader<F>) -> Option<EventNo>
where
    F: Fn(&NodeId) -> Option<Arc<Node>>,
{
    let mut id = root;
    for depth in 0..=DEPTH {
        match loader.load(id)?.as_ref() {
            Node::Leaf(entries) => {
                let at = entries.binary_search_by_key(&key, |(key, _)| *key).ok()?;
                return Some(entries[at].1);
            }
            Node::Branch(branch) => id = branch.child(key.nibble(depth))?.id,
        }
    }
    None
}

fn collect<F>(id: NodeId, depth: usize, loader: &Loader<F>, into: &mut Vec<(KeyHash, EventNo)>)
where
    F: Fn(&NodeId) -> Option<Arc<Node>>,
{
    match loader.load(id).as_deref() {
        Some(Node::Leaf(entries)) => into.extend_from_slice(entries),
        Some(Node::Branch(branch)) if depth < DEPTH => {
            for (_, child) in branch.children() {
                collect(child.id, depth + 1, loader, into);
            }
        }
        // Not loaded, or deeper than any key leads: such a tree was never built here.
        None | Some(Node::Branch(_)) => {}
    }
}

/// A subtree while two states are compared: a node, or part of a leaf whose other side is a branch.
enum Side<'a> {
    Leaf(&'a [(KeyHash, EventNo)]),
    Node(NodeId, Option<Arc<Node>>),
}

impl Side<'_> {
    fn of<F: Fn(&NodeId) -> Option<Arc<Node>>>(id: NodeId, loader: &Loader<F>) -> Self {
        Self::Node(id, loader.load(id))
    }

    /// The entries, if the subtree is a leaf or empty.
    fn as_leaf(&self) -> Option<&[(KeyHash, EventNo)]> {
        match self {
            Side::Leaf(entries) => Some(entries),
            Side::Node(_, Some(node)) => match node.as_ref() {
                Node::Leaf(entries) => Some(entries),
                Node::Branch(_) => None,
            },
            Side::Node(_, None) => Some(&[]),
        }
    }

    /// The part of the subtree below one child.
    fn below<F>(&self, slot: usize, depth: usize, loader: &Loader<F>) -> Side<'_>
    where
        F: Fn(&NodeId) -> Option<Arc<Node>>,
    {
        if let Side::Node(_, Some(node)) = self
            && let Node::Branch(branch) = node.as_ref()
        {
            return Side::of(branch.child(slot).map_or(NodeId::EMPTY, |child| child.id), loader);
        }
        let entries = self.as_leaf().unwrap_or_default();
        let from = entries.partition_point(|(key, _)| key.nibble(depth) < slot);
        let to = entries.partition_point(|(key, _)| key.nibble(depth) <= slot);
        Side::Leaf(&entries[from..to])
    }

    /// What stands in a slot of a branch ([`NodeId::EMPTY`] for nothing), to skip equal subtrees
    /// before they are loaded; `None` for a leaf.
    fn child(&self, slot: usize) -> Option<NodeId> {
        let Side::Node(_, Some(node)) = self else { return None };
        let Node::Branch(branch) = node.as_ref() else { return None };
        Some(branch.child(slot).map_or(NodeId::EMPTY, |child| child.id))
    }
}

fn compare<F>(
    a: &Side<'_>,
    b: &Side<'_>,
    depth: usize,
    loader: &Loader<F>,
    into: &mut Vec<Difference>,
) where
    F: Fn(&NodeId) -> Option<Arc<Node>>,
{
    if let (Side::Node(left, _), Side::Node(right, _)) = (a, b)
        && left == right
    {
        return;
    }
    if let (Some(left), Some(right)) = (a.as_leaf(), b.as_leaf()) {
        merge(left, right, into);
        return;
    }
    if depth >= DEPTH {
        return;
    }
    for slot in 0..16 {
        let (left, right) = (a.child(slot), b.child(slot));
        if left.is_some() && left == right {
            continue;
        }
        compare(
            &a.below(slot, depth, loader),
            &b.below(slot, depth, loader),
            depth + 1,
            loader,
            into,
        );
    }
}

fn merge(left: &[(KeyHash, EventNo)], right: &[(KeyHash, EventNo)], into: &mut Vec<Difference>) {
    let mut keys: BTreeMap<KeyHash, (Option<EventNo>, Option<EventNo>)> = BTreeMap::new();
    for (key, event) in left {
        keys.entry(*key).or_default().0 = Some(*event);
    }
    for (key, event) in right {
        keys.entry(*key).or_default().1 = Some(*event);
    }
    into.extend(
        keys.into_iter()
            .filter(|(_, (left, right))| left != right)
            .map(|(key, (left, right))| Difference { key, left, right }),
    );
}

/// One change on its way into the tree.
type Change = (KeyHash, Option<EventNo>);

/// Builds the new tree beside the old one.
struct Editor<F> {
    loader: Loader<F>,
    /// What was built, needed or not.
    made: BTreeMap<NodeId, Arc<Node>>,
    /// Nodes of the old tree that were met.
    seen: BTreeSet<NodeId>,
}

impl<F: Fn(&NodeId) -> Option<Arc<Node>>> Editor<F> {
    /// Changes the subtree `id` at `depth`; `changes` are sorted and belong there.
    fn edit(&mut self, id: NodeId, depth: usize, changes: &[Change]) -> Option<Child> {
        self.seen.insert(id);
        let node = self.loader.load(id);
        match node.as_deref() {
            Some(Node::Branch(branch)) if depth < DEPTH => self.edit_branch(branch, depth, changes),
            Some(Node::Leaf(entries)) => {
                let mut merged: BTreeMap<KeyHash, EventNo> = entries.iter().copied().collect();
                replace(&mut merged, changes);
                self.build(&merged.into_iter().collect::<Vec<_>>(), depth)
            }
            _ => {
                let mut merged = BTreeMap::new();
                replace(&mut merged, changes);
                self.build(&merged.into_iter().collect::<Vec<_>>(), depth)
            }
        }
    }

    fn edit_branch(&mut self, old: &Branch, depth: usize, changes: &[Change]) -> Option<Child> {
        let mut branch = old.clone();
        self.seen.extend(old.children().map(|(_, child)| child.id));
        let mut rest = changes;
        while let Some((key, _)) = rest.first() {
            let slot = key.nibble(depth);
            let (here, after) =
                rest.split_at(rest.partition_point(|(key, _)| key.nibble(depth) <= slot));
            let id = branch.child(slot).map_or(NodeId::EMPTY, |child| child.id);
            let child = self.edit(id, depth + 1, here);
            branch.set(slot, child);
            rest = after;
        }
        if branch.entries() > LEAF_ENTRIES as u64 {
            return Some(self.keep(Node::Branch(branch)));
        }
        let mut entries = Vec::with_capacity(LEAF_ENTRIES);
        for (_, child) in branch.children() {
            let node = self.made.get(&child.id).cloned().or_else(|| self.loader.load(child.id));
            if let Some(Node::Leaf(of_child)) = node.as_deref() {
                entries.extend_from_slice(of_child);
            }
        }
        self.build(&entries, depth)
    }

    /// Builds a subtree of sorted entries from nothing.
    fn build(&mut self, entries: &[(KeyHash, EventNo)], depth: usize) -> Option<Child> {
        if entries.is_empty() {
            return None;
        }
        if entries.len() <= LEAF_ENTRIES || depth >= DEPTH {
            return Some(self.keep(Node::Leaf(entries.to_vec())));
        }
        let mut branch = Branch::default();
        let mut rest = entries;
        while let Some((key, _)) = rest.first() {
            let slot = key.nibble(depth);
            let (here, after) =
                rest.split_at(rest.partition_point(|(key, _)| key.nibble(depth) <= slot));
            let child = self.build(here, depth + 1);
            branch.set(slot, child);
            rest = after;
        }
        Some(self.keep(Node::Branch(branch)))
    }

    fn keep(&mut self, node: Node) -> Child {
        let child = Child { id: node.id(), entries: node.entries() };
        self.made.entry(child.id).or_insert_with(|| Arc::new(node));
        child
    }
}

fn replace(entries: &mut BTreeMap<KeyHash, EventNo>, changes: &[Change]) {
    for (key, event) in changes {
        match event {
            Some(event) => entries.insert(*key, *event),
            None => entries.remove(key),
        };
    }
}

/// The first 16 bytes of a SHA-256.
fn first_half(hash: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}
