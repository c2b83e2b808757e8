//! One node of a state tree and its encoding.

use sha2::{Digest, Sha256};

use super::{EventNo, KeyHash, NodeId, first_half};

/// Most entries of a leaf; a subtree of more is a branch.
pub const LEAF_ENTRIES: usize = 16;

const LEAF: u8 = 1;
const BRANCH: u8 = 2;
const ENTRY_BYTES: usize = 24;
const CHILD_BYTES: usize = 20;

/// A node: some entries, or up to 16 subtrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// One to [`LEAF_ENTRIES`] entries, sorted by key, each key once.
    Leaf(Vec<(KeyHash, EventNo)>),
    /// Subtrees that together have more than [`LEAF_ENTRIES`] entries.
    Branch(Branch),
}

/// The subtrees of a branch, one for each value of four bits of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branch(Box<[Option<Child>; 16]>);

/// A subtree as its parent knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its node.
    pub id: NodeId,
    /// How many entries it has, so that a branch knows when it must become a leaf.
    pub entries: u32,
}

/// Why bytes are not a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The bytes end early, go on too long, or begin with no known kind.
    #[error("decoding a state node: it has the wrong length or kind")]
    Shape,
    /// The node is well-formed but not canonical: no or too many entries, out of order, or a branch
    /// small enough to be a leaf.
    #[error("decoding a state node: it is not in canonical form")]
    NotCanonical,
}

impl Branch {
    /// The subtree in a slot (0 to 15).
    #[must_use]
    pub fn child(&self, slot: usize) -> Option<Child> {
        self.0.get(slot).copied().flatten()
    }

    /// The subtrees with their slots, in order.
    pub fn children(&self) -> impl Iterator<Item = (usize, Child)> + '_ {
        self.0.iter().enumerate().filter_map(|(slot, child)| child.map(|child| (slot, child)))
    }

    /// How many entries lie below.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.children().map(|(_, child)| u64::from(child.entries)).sum()
    }

    /// Puts a subtree into a slot, or empties it.
    pub(super) fn set(&mut self, slot: usize, child: Option<Child>) {
        if let Some(place) = self.0.get_mut(slot) {
            *place = child;
        }
    }
}

impl Node {
    /// The name of this node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        NodeId(first_half(&Sha256::digest(self.encode())))
    }

    /// How many entries lie in and below it.
    #[must_use]
    pub fn entries(&self) -> u32 {
        match self {
            Self::Leaf(entries) => u32::try_from(entries.len()).unwrap_or(u32::MAX),
            Self::Branch(branch) => u32::try_from(branch.entries()).unwrap_or(u32::MAX),
        }
    }

    /// Its subtrees with their slots; none for a leaf.
    pub fn children(&self) -> impl Iterator<Item = (usize, Child)> + '_ {
        let branch = match self {
            Self::Branch(branch) => Some(branch),
            Self::Leaf(_) => None,
        };
        branch.into_iter().flat_map(Branch::children)
    }

    /// The bytes to store: a leaf is `1`, the number of entries, then per entry 16 bytes of key and
    /// the event number in 8 big-endian bytes; a branch is `2`, two big-endian bytes with bit *i*
    /// set if slot *i* is taken, then per child 16 bytes of id and 4 big-endian bytes of entries.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Leaf(entries) => {
                let mut bytes = Vec::with_capacity(2 + entries.len() * ENTRY_BYTES);
                bytes.extend([LEAF, u8::try_from(entries.len()).unwrap_or(u8::MAX)]);
                for (key, event) in entries {
                    bytes.extend(key.0);
                    bytes.extend(event.0.to_be_bytes());
                }
                bytes
            }
            Self::Branch(branch) => {
                let mut bytes = Vec::with_capacity(3 + 16 * CHILD_BYTES);
                let taken = branch.children().fold(0_u16, |bits, (slot, _)| bits | (1 << slot));
                bytes.push(BRANCH);
                bytes.extend(taken.to_be_bytes());
                for (_, child) in branch.children() {
                    bytes.extend(child.id.0);
                    bytes.extend(child.entries.to_be_bytes());
                }
                bytes
            }
        }
    }

    /// Reads what [`Node::encode`] wrote; refuses everything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, NodeError> {
        match bytes {
            [LEAF, count, rest @ ..] => decode_leaf(usize::from(*count), rest),
            [BRANCH, high, low, rest @ ..] => {
                decode_branch(u16::from_be_bytes([*high, *low]), rest)
            }
            _ => Err(NodeError::Shape),
        }
    }
}

fn decode_leaf(count: usize, rest: &[u8]) -> Result<Node, NodeError> {
    let (chunks, tail) = rest.as_chunks::<ENTRY_BYTES>();
    if !tail.is_empty() || chunks.len() != count {
        return Err(NodeError::Shape);
    }
    let entries: Vec<_> = chunks
        .iter()
        .map(|chunk| {
            let (key, event) = split::<16, 8>(chunk);
            (KeyHash(key), EventNo(i64::from_be_bytes(event)))
        })
        .collect();
    let sorted = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if entries.is_empty() || entries.len() > LEAF_ENTRIES || !sorted {
        return Err(NodeError::NotCanonical);
    }
    Ok(Node::Leaf(entries))
}

fn decode_branch(taken: u16, rest: &[u8]) -> Result<Node, NodeError> {
    let (chunks, tail) = rest.as_chunks::<CHILD_BYTES>();
    if !tail.is_empty() || chunks.len() != taken.count_ones() as usize {
        return Err(NodeError::Shape);
    }
    let mut branch = Branch::default();
    let slots = (0..16).filter(|slot| taken & (1 << slot) != 0);
    for (slot, chunk) in slots.zip(chunks) {
        let (id, entries) = split::<16, 4>(chunk);
        let child = Child { id: NodeId(id), entries: u32::from_be_bytes(entries) };
        if child.entries == 0 || child.id == NodeId::EMPTY {
            return Err(NodeError::NotCanonical);
        }
        branch.set(slot, Some(child));
    }
    if branch.entries() <= LEAF_ENTRIES as u64 {
        return Err(NodeError::NotCanonical);
    }
    Ok(Node::Branch(branch))
}

/// Cuts a chunk into its two fields, of `A` and `B` bytes.
fn split<const A: usize, const B: usize>(chunk: &[u8]) -> ([u8; A], [u8; B]) {
    let (mut a, mut b) = ([0; A], [0; B]);
    a.copy_from_slice(&chunk[..A]);
    b.copy_from_slice(&chunk[A..]);
    (a, b)
}
