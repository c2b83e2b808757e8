//! The tree against a plain map: the same answers, whatever the order, and no more nodes than needed.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bolero::{check, generator::TypeGenerator};

use super::{EventNo, KeyHash, Missing, Node, NodeId, apply, diff, entries, get};

/// All nodes ever made, as a database keeps them.
#[derive(Default)]
struct Shelf {
    nodes: HashMap<NodeId, Arc<Node>>,
    reads: Cell<usize>,
}

impl Shelf {
    fn read(&self, id: &NodeId) -> Option<Arc<Node>> {
        self.reads.set(self.reads.get() + 1);
        self.nodes.get(id).cloned()
    }

    /// Applies changes, checks what was created, stores it; answers the root and how many nodes.
    fn apply(&mut self, root: NodeId, changes: &[(KeyHash, Option<EventNo>)]) -> (NodeId, usize) {
        let applied = apply(root, changes, |id| self.read(id)).unwrap();
        let old = self.reachable(root);
        for (id, node) in &applied.created {
            assert!(!old.contains_key(id), "a node of the old state was created again");
            assert_eq!(node.id(), *id);
            assert_eq!(Node::decode(&node.encode()).as_ref(), Ok(node.as_ref()));
        }
        let count = applied.created.len();
        self.nodes.extend(applied.created);
        let new = self.reachable(applied.root);
        assert_eq!(new.keys().filter(|id| !old.contains_key(id)).count(), count);
        (applied.root, count)
    }

    fn reachable(&self, root: NodeId) -> HashMap<NodeId, Arc<Node>> {
        let mut found = HashMap::new();
        let mut open = vec![root];
        while let Some(id) = open.pop() {
            if id != NodeId::EMPTY {
                let node = self.nodes[&id].clone();
                open.extend(node.children().map(|(_, child)| child.id));
                found.insert(id, node);
            }
        }
        found
    }
}

/// A change of the fuzzer; keys share long prefixes, so that trees grow deep.
#[derive(Clone, Debug, TypeGenerator)]
struct Step {
    prefix: u8,
    tail: u8,
    event: Option<u8>,
}

impl Step {
    fn change(&self) -> (KeyHash, Option<EventNo>) {
        let mut key = [0; 16];
        // Few values of the first bytes, so that many keys go the same way; all of the last.
        key[0] = self.prefix & 0x83;
        key[9] = self.prefix & 0x0c;
        key[15] = self.tail;
        (KeyHash(key), self.event.map(|event| EventNo(i64::from(event))))
    }
}

fn model(steps: &[Step]) -> BTreeMap<KeyHash, EventNo> {
    let mut map = BTreeMap::new();
    for (key, event) in steps.iter().map(Step::change) {
        match event {
            Some(event) => map.insert(key, event),
            None => map.remove(&key),
        };
    }
    map
}

#[test]
fn behaves_like_a_map_in_any_order() {
    check!().with_type::<(Vec<Step>, Vec<Step>)>().for_each(|(first, second)| {
        let mut shelf = Shelf::default();
        let (mut root, mut old) = (NodeId::EMPTY, NodeId::EMPTY);
        for (at, batch) in [first, second].into_iter().enumerate() {
            old = root;
            if at == 0 {
                let changes: Vec<_> = batch.iter().map(Step::change).collect();
                (root, _) = shelf.apply(root, &changes);
            } else {
                for step in batch {
                    (root, _) = shelf.apply(root, &[step.change()]);
                }
            }
        }
        let before = model(first);
        let after = model(&[first.clone(), second.clone()].concat());
        let all: Vec<_> = after.iter().map(|(key, event)| (*key, *event)).collect();
        assert_eq!(entries(root, |id| shelf.read(id)).unwrap(), all);

        // The same entries in another order make the same tree.
        let mut again = NodeId::EMPTY;
        for (key, event) in all.iter().rev() {
            (again, _) = shelf.apply(again, &[(*key, Some(*event))]);
        }
        assert_eq!(again, root);

        let keys: Vec<KeyHash> = first.iter().chain(second).map(|step| step.change().0).collect();
        let found = get(root, &keys, |id| shelf.read(id)).unwrap();
        let expected: Vec<_> = keys.iter().map(|key| after.get(key).copied()).collect();
        assert_eq!(found, expected);

        let differences = diff(old, root, |id| shelf.read(id)).unwrap();
        let all: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let expected: Vec<_> =
            all.into_iter().filter(|key| before.get(key) != after.get(key)).copied().collect();
        assert_eq!(differences.iter().map(|d| d.key).collect::<Vec<_>>(), expected);
        for difference in differences {
            assert_eq!(difference.left, before.get(&difference.key).copied());
            assert_eq!(difference.right, after.get(&difference.key).copied());
        }
    });
}

/// A key that is spread like a hash.
fn spread(n: u64) -> KeyHash {
    super::StateKey::new("m.room.member".into(), format!("@u{n}:example")).hash()
}

#[test]
fn a_change_costs_its_path_and_a_diff_its_difference() {
    let mut shelf = Shelf::default();
    let all: Vec<_> =
        (0..10_000_u32).map(|n| (spread(n.into()), Some(EventNo(n.into())))).collect();
    let applied = apply(NodeId::EMPTY, &all, |id| shelf.read(id)).unwrap();
    assert!(applied.created.len() < 6_000, "{} nodes", applied.created.len());
    shelf.nodes.extend(applied.created);
    let root = applied.root;

    for change in
        [(spread(5), Some(EventNo(-1))), (spread(10_001), Some(EventNo(1))), (spread(7), None)]
    {
        shelf.reads.set(0);
        let applied = apply(root, &[change], |id| shelf.read(id)).unwrap();
        assert!(applied.created.len() <= 6, "{} nodes for one change", applied.created.len());
        assert!(shelf.reads.get() <= 22, "{} reads for one change", shelf.reads.get());
        shelf.nodes.extend(applied.created);
        shelf.reads.set(0);
        assert_eq!(diff(root, applied.root, |id| shelf.read(id)).unwrap().len(), 1);
        assert!(shelf.reads.get() <= 16, "{} reads for one difference", shelf.reads.get());
    }
    let removed: Vec<_> = all.iter().map(|(key, _)| (*key, None)).collect();
    assert_eq!(apply(root, &removed, |id| shelf.read(id)).unwrap().root, NodeId::EMPTY);
}

#[test]
fn missing_nodes_are_asked_for_a_level_at_a_time() {
    let mut shelf = Shelf::default();
    let all: Vec<_> = (0..3_000_u32).map(|n| (spread(n.into()), Some(EventNo(n.into())))).collect();
    let (root, _) = shelf.apply(NodeId::EMPTY, &all);
    let mut loaded: HashMap<NodeId, Arc<Node>> = HashMap::new();
    for round in 0.. {
        let result = entries(root, |id| loaded.get(id).cloned());
        let Err(Missing(ids)) = result else {
            assert_eq!(result.unwrap().len(), all.len());
            assert!(round <= 5, "{round} rounds");
            break;
        };
        for id in ids {
            assert!(loaded.insert(id, shelf.nodes[&id].clone()).is_none(), "asked twice");
        }
    }
    let nothing = |_: &NodeId| None;
    let wanted = Missing(vec![root]);
    assert_eq!(apply(root, &[(spread(1), None)], nothing), Err(wanted.clone()));
    assert_eq!(diff(root, NodeId::EMPTY, nothing), Err(wanted.clone()));
    assert_eq!(get(root, &[spread(1), spread(2)], nothing), Err(wanted));
    assert_eq!(get(NodeId::EMPTY, &[spread(1)], nothing), Ok(vec![None]));
    assert_eq!(diff(root, root, nothing), Ok(vec![]));
    assert_eq!(apply(NodeId::EMPTY, &[], nothing).unwrap().root, NodeId::EMPTY);
}

#[test]
fn decode_takes_only_what_encode_gives() {
    let mut shelf = Shelf::default();
    let all: Vec<_> = (0..40_u32).map(|n| (spread(n.into()), Some(EventNo(n.into())))).collect();
    let (root, _) = shelf.apply(NodeId::EMPTY, &all);
    // Databases hold this encoding; the seeds were written by another program.
    let seeds = [
        include_bytes!("../../vectors/seeds/node/branch.bin").to_vec(),
        include_bytes!("../../vectors/seeds/node/leaf.bin").to_vec(),
    ];
    assert_eq!(shelf.nodes[&root].encode(), seeds[0]);
    assert_eq!(u128::from_be_bytes(root.0), 0x3d11_8ce3_ec7d_68dd_d57d_80a7_72a3_8763);
    for seed in &seeds {
        assert!(Node::decode(&seed[..seed.len() - 1]).is_err());
        assert!(Node::decode(&[seed.as_slice(), &[0]].concat()).is_err());
    }
    check!().with_type::<(usize, usize, u8, Vec<u8>)>().for_each(|(pick, at, byte, bytes)| {
        let mut damaged = seeds[pick % seeds.len()].clone();
        let at = at % damaged.len();
        damaged[at] = *byte;
        for bytes in [bytes, &damaged] {
            if let Ok(node) = Node::decode(bytes) {
                assert_eq!(&node.encode(), bytes);
            }
        }
    });
}

#[test]
fn the_hash_of_a_key_is_fixed() {
    // SHA-256 of "m.room.member", 0x00, "@a:b": a database depends on it.
    let hash = super::StateKey::new("m.room.member".into(), "@a:b").hash();
    assert_eq!(u128::from_be_bytes(hash.0), EXPECTED_HASH);
}

const EXPECTED_HASH: u128 = 0x7397_d30a_15a9_1e40_edb7_15ca_ff57_1dd2;

#[test]
fn no_two_keys_are_one_whatever_characters_they_hold() {
    let keys =
        [("a\0b", "c"), ("a", "b\0c"), ("a\0b\0c", ""), ("a", "b"), ("a\0", "b"), ("\0", "")];
    let hash = |(kind, key): &(&str, &str)| super::StateKey::new((*kind).into(), *key).hash();
    let hashes: std::collections::BTreeSet<_> = keys.iter().map(hash).collect();
    assert_eq!(hashes.len(), keys.len());
}
