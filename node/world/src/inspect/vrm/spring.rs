//! Springs and constraints of VRM 1.0: chains that go downwards, and no rotation that waits for itself.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::inspect::{
    Parts, index,
    limits::Limits,
    list,
    report::{Counts, Issues},
};

/// Checks `VRMC_springBone`, whose indices are in range.
pub(super) fn check(parts: &Parts<'_>, springs: &Value, counts: &mut Counts, issues: &mut Issues) {
    const AT: &str = "/extensions/VRMC_springBone";
    for (at, collider) in list(springs, "colliders").iter().enumerate() {
        let shape = &collider["shape"];
        if shape.get("sphere").is_some() == shape.get("capsule").is_some() {
            issues.error(
                "COLLIDER_SHAPE",
                format!("{AT}/colliders/{at}/shape"),
                "either a sphere or a capsule would be right",
            );
        }
    }
    let mut moved = BTreeSet::new();
    for (number, spring) in list(springs, "springs").iter().enumerate() {
        let mut above: Option<usize> = None;
        let mut broken = false;
        for (at, joint) in list(spring, "joints").iter().enumerate() {
            let Some(node) = index(joint, "node") else { continue };
            let pointer = || format!("{AT}/springs/{number}/joints/{at}");
            // The last joint is only what the one before it points at.
            let moves = at + 1 < list(spring, "joints").len();
            if moves && !moved.insert(node) {
                issues.warn(
                    "SPRING_JOINT_TWICE",
                    pointer(),
                    format!("another spring moves node {node} already"),
                );
            }
            if !broken && above.is_some_and(|above| !parts.forest.is_below(node, above)) {
                issues.error(
                    "SPRING_NOT_A_CHAIN",
                    pointer(),
                    "a joint below the one before it would be right",
                );
                broken = true;
            }
            above = Some(node);
        }
        if list(spring, "joints").len() == 1 {
            issues.warn(
                "SPRING_TOO_SHORT",
                format!("{AT}/springs/{number}"),
                "a spring of two joints or more would be right",
            );
        }
    }
    counts.spring_joints =
        list(springs, "springs").iter().map(|spring| list(spring, "joints").len() as u64).sum();
    too_many(counts, AT, issues);
}

pub(super) fn too_many(counts: &Counts, pointer: &str, issues: &mut Issues) {
    let most = Limits::AVATAR.spring_joints;
    if counts.spring_joints > most {
        issues.error(
            "TOO_MANY_SPRINGS",
            pointer,
            format!("{} joints; at most {most} would be right", counts.spring_joints),
        );
    }
}

/// The node that a node's constraint looks at.
fn source(node: &Value) -> Option<usize> {
    let constraint = node.pointer("/extensions/VRMC_node_constraint/constraint")?;
    ["roll", "aim", "rotation"].iter().find_map(|kind| index(constraint.get(kind)?, "source"))
}

/// Checks the constraints of nodes: none may wait for its own outcome.
pub(super) fn constraints(parts: &Parts<'_>, issues: &mut Issues) {
    let sources: Vec<Option<usize>> = list(&parts.root, "nodes").iter().map(source).collect();
    // 0: not looked at; otherwise the walk in which a node was reached.
    let mut reached = vec![0usize; sources.len()];
    for start in 0..sources.len() {
        let (mut at, walk) = (start, start + 1);
        while reached[at] == 0 {
            reached[at] = walk;
            let Some(next) = sources[at] else { break };
            at = next;
            if reached[at] == walk {
                issues.error(
                    "CONSTRAINT_CYCLE",
                    format!("/nodes/{at}/extensions/VRMC_node_constraint"),
                    "the constraint waits for its own outcome",
                );
                break;
            }
        }
    }
}
