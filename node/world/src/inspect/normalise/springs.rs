//! The springs of VRM 0.x, which name roots of hair and cloth, as the chains of VRM 1.0.

use serde_json::{Value, json};

use super::{float, from_unity};
use crate::inspect::{Parts, index, list, numbers};

/// How far beyond the last bone VRM 0.x lets a spring reach, in metres; 1.0 wants a node there.
const TAIL_METRES: f32 = 0.07;

/// Nodes of a spring from its root on.
struct Chain {
    nodes: Vec<usize>,
    /// Whether the last node has no child, so that one must be made.
    ends: bool,
}

/// The chains below a root: one goes on through first children, and each other child begins one.
fn chains(nodes: &[Value], root: usize, taken: &mut [bool]) -> Vec<Chain> {
    let (mut chains, mut starts) = (Vec::new(), vec![root]);
    while let Some(start) = starts.pop() {
        let mut chain = Chain { nodes: Vec::new(), ends: false };
        let mut at = start;
        // A node that another spring moves already ends this one.
        while !taken[at] {
            taken[at] = true;
            chain.nodes.push(at);
            let children = list(&nodes[at], "children").iter();
            let mut children = children.filter_map(|child| usize::try_from(child.as_u64()?).ok());
            let Some(first) = children.next() else {
                chain.ends = true;
                break;
            };
            starts.extend(children.collect::<Vec<_>>().into_iter().rev());
            at = first;
        }
        if !chain.ends && !chain.nodes.is_empty() {
            chain.nodes.push(at);
        }
        if !chain.nodes.is_empty() {
            chains.push(chain);
        }
    }
    chains
}

/// The groups of springs, each with its chains.
fn groups<'a>(nodes: &[Value], vrm: &'a Value) -> Vec<(&'a Value, Vec<Chain>)> {
    let mut taken = vec![false; nodes.len()];
    let mut groups = Vec::new();
    for group in list(&vrm["secondaryAnimation"], "boneGroups") {
        let roots = list(group, "bones").iter();
        let roots = roots.filter_map(|root| usize::try_from(root.as_u64()?).ok());
        let all = roots.filter(|root| *root < nodes.len());
        groups.push((group, all.flat_map(|root| chains(nodes, root, &mut taken)).collect()));
    }
    groups
}

/// How many joints the springs will have.
pub(in crate::inspect) fn joints_of_0(parts: &Parts<'_>, vrm: &Value) -> u64 {
    let groups = groups(list(&parts.root, "nodes"), vrm);
    let chains = groups.iter().flat_map(|(_, chains)| chains);
    chains.map(|chain| (chain.nodes.len() + usize::from(chain.ends)) as u64).sum()
}

/// Writes the springs as `VRMC_springBone`, and adds the nodes that they end in.
pub(super) fn from_0(root: &mut Value, vrm: &Value) -> Option<Value> {
    let (colliders, groups_of_colliders, places) = colliders(root, vrm);
    let nodes = root.get_mut("nodes").and_then(Value::as_array_mut)?;
    let count = nodes.len();
    let mut springs = Vec::new();
    for (group, chains) in groups(&nodes.clone(), vrm) {
        let positive = |name: &str, other: f64| float(group, name, other).max(0.0);
        let gravity = match group.get("gravityDir") {
            Some(direction) => from_unity(direction),
            None => json!([0.0, -1.0, 0.0]),
        };
        let joint = |node: usize| {
            json!({
                "node": node,
                "hitRadius": positive("hitRadius", 0.02),
                "stiffness": positive("stiffiness", 1.0),
                "gravityPower": positive("gravityPower", 0.0),
                "gravityDir": gravity,
                "dragForce": positive("dragForce", 0.4).min(1.0),
            })
        };
        let known = list(group, "colliderGroups").iter();
        let known = known.filter_map(|at| *places.get(usize::try_from(at.as_u64()?).ok()?)?);
        let known: Vec<usize> = known.collect();
        for mut chain in chains {
            if chain.ends
                && let Some(last) = chain.nodes.last().copied()
            {
                chain.nodes.push(nodes.len());
                end(nodes, last);
            }
            let joints: Vec<Value> = chain.nodes.iter().map(|node| joint(*node)).collect();
            let mut spring =
                json!({ "name": group["comment"].as_str().unwrap_or_default(), "joints": joints });
            if !known.is_empty() {
                spring["colliderGroups"] = json!(known);
            }
            if let Some(center) = index(group, "center").filter(|center| *center < count) {
                spring["center"] = center.into();
            }
            springs.push(spring);
        }
    }
    if springs.is_empty() {
        return None;
    }
    Some(json!({
        "specVersion": "1.0",
        "colliders": colliders,
        "colliderGroups": groups_of_colliders,
        "springs": springs,
    }))
}

/// Adds a node that goes on where a bone points.
fn end(nodes: &mut Vec<Value>, last: usize) {
    let along = numbers::<3>(&nodes[last], "translation").unwrap_or([0.0; 3]);
    let length = along.iter().map(|part| part * part).sum::<f32>().sqrt();
    let along = if length > 1e-6 {
        along.map(|part| part / length * TAIL_METRES)
    } else {
        [0.0, -TAIL_METRES, 0.0]
    };
    let name = format!("{}_end", nodes[last]["name"].as_str().unwrap_or("spring"));
    let added = nodes.len();
    nodes.push(json!({ "name": name, "translation": along }));
    nodes[last]["children"] = json!([added]);
}

/// The colliders, their groups, and at which place each group of the old file is now.
fn colliders(root: &Value, vrm: &Value) -> (Vec<Value>, Vec<Value>, Vec<Option<usize>>) {
    let nodes = list(root, "nodes").len();
    let (mut colliders, mut groups, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for group in list(&vrm["secondaryAnimation"], "colliderGroups") {
        let node = index(group, "node").filter(|node| *node < nodes);
        let all = list(group, "colliders");
        let Some(node) = node.filter(|_| !all.is_empty()) else {
            places.push(None);
            continue;
        };
        let first = colliders.len();
        colliders.extend(all.iter().map(|collider| {
            let sphere = json!({
                "offset": from_unity(&collider["offset"]),
                "radius": float(collider, "radius", 0.0).max(0.0),
            });
            json!({ "node": node, "shape": { "sphere": sphere } })
        }));
        places.push(Some(groups.len()));
        let inside: Vec<usize> = (first..colliders.len()).collect();
        groups.push(json!({ "name": format!("colliders of node {node}"), "colliders": inside }));
    }
    (colliders, groups, places)
}
