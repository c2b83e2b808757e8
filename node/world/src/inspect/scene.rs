//! Nodes, scenes and skins: that they are trees, that their transforms are such, and where they stand.

use std::{array::from_fn, collections::BTreeSet};

use serde_json::Value;

use super::{
    Parts, accessor::Component, index, limits::Limits, list, number, numbers, report::Issues,
};

/// A matrix of four columns, as glTF stores it.
pub type Matrix = [[f32; 4]; 4];

/// The matrix that changes nothing.
pub(super) const IDENTITY: Matrix =
    [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];

/// The nodes of an asset, which are known to be trees.
#[derive(Debug, Default)]
pub(super) struct Forest {
    /// The parent of each node.
    pub(super) parents: Vec<Option<usize>>,
    /// Where each node stands, from the root of its tree.
    pub(super) worlds: Vec<Matrix>,
    /// Whether the scene that is shown holds the node.
    pub(super) shown: Vec<bool>,
}

impl Forest {
    /// Whether a node stands somewhere below another.
    pub(super) fn is_below(&self, node: usize, ancestor: usize) -> bool {
        let mut at = self.parents.get(node).copied().flatten();
        while let Some(parent) = at {
            if parent == ancestor {
                return true;
            }
            at = self.parents[parent];
        }
        false
    }

    /// Where a node stands.
    pub(super) fn position(&self, node: usize) -> [f32; 3] {
        self.worlds.get(node).map_or([0.0; 3], |world| [world[3][0], world[3][1], world[3][2]])
    }
}

/// The point that a matrix makes of another.
pub(super) fn apply(matrix: &Matrix, point: [f32; 3]) -> [f32; 3] {
    from_fn(|row| {
        let sum: f32 = (0..3).map(|column| matrix[column][row] * point[column]).sum();
        sum + matrix[3][row]
    })
}

pub(super) fn multiply(left: &Matrix, right: &Matrix) -> Matrix {
    from_fn(|column| from_fn(|row| (0..4).map(|step| left[step][row] * right[column][step]).sum()))
}

/// The transform of a node from its own JSON.
fn local(node: &Value) -> Matrix {
    if let Some(matrix) = numbers::<16>(node, "matrix") {
        return from_fn(|column| from_fn(|row| matrix[column * 4 + row]));
    }
    let move_by = numbers::<3>(node, "translation").unwrap_or([0.0; 3]);
    let [x, y, z, w] = numbers::<4>(node, "rotation").unwrap_or([0.0, 0.0, 0.0, 1.0]);
    let scale = numbers::<3>(node, "scale").unwrap_or([1.0; 3]);
    let turn = [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + z * w), 2.0 * (x * z - y * w)],
        [2.0 * (x * y - z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + x * w)],
        [2.0 * (x * z + y * w), 2.0 * (y * z - x * w), 1.0 - 2.0 * (x * x + y * y)],
    ];
    let column = |at: usize| {
        [turn[at][0] * scale[at], turn[at][1] * scale[at], turn[at][2] * scale[at], 0.0]
    };
    [column(0), column(1), column(2), [move_by[0], move_by[1], move_by[2], 1.0]]
}

/// Checks the nodes and scenes, and says where the nodes stand; `None` where they are no trees.
pub(super) fn forest(root: &Value, limits: &Limits, issues: &mut Issues) -> Option<Forest> {
    let nodes = list(root, "nodes");
    if nodes.len() as u64 > limits.nodes {
        issues.error(
            "TOO_MANY_NODES",
            "/nodes",
            format!("{} nodes; at most {} would be right", nodes.len(), limits.nodes),
        );
        return None;
    }
    let mut parents = vec![None; nodes.len()];
    for (parent, node) in nodes.iter().enumerate() {
        for (at, child) in list(node, "children").iter().enumerate() {
            let Some(child) = child.as_u64().and_then(|child| usize::try_from(child).ok()) else {
                continue;
            };
            let pointer = || format!("/nodes/{parent}/children/{at}");
            match parents.get_mut(child) {
                Some(place @ None) => *place = Some(parent),
                Some(Some(_)) => issues.error(
                    "NODE_TWO_PARENTS",
                    pointer(),
                    format!("node {child} has a parent already"),
                ),
                None => {}
            }
        }
        transform(node, parent, issues);
    }
    let order = in_order(nodes, &parents, limits, issues)?;
    let mut forest =
        Forest { worlds: vec![IDENTITY; nodes.len()], shown: vec![false; nodes.len()], parents };
    for node in &order {
        let own = local(&nodes[*node]);
        forest.worlds[*node] = match forest.parents[*node] {
            Some(parent) => multiply(&forest.worlds[parent], &own),
            None => own,
        };
        if !forest.worlds[*node].as_flattened().iter().all(|number| number.is_finite()) {
            issues.error(
                "NOT_FINITE",
                format!("/nodes/{node}"),
                "the node stands infinitely far away",
            );
        }
    }
    scenes(root, &mut forest, &order, issues);
    if issues.refused() { None } else { Some(forest) }
}

fn transform(node: &Value, at: usize, issues: &mut Issues) {
    let parts = ["translation", "rotation", "scale"];
    if node.get("matrix").is_some() && parts.iter().any(|part| node.get(part).is_some()) {
        issues.error(
            "MATRIX_AND_PARTS",
            format!("/nodes/{at}/matrix"),
            "either a matrix, or translation, rotation and scale, would be right",
        );
    }
    let is_affine = |matrix: [f32; 16]| {
        let last = [matrix[3], matrix[7], matrix[11], matrix[15] - 1.0];
        last.iter().all(|number| number.abs() < f32::EPSILON)
    };
    if numbers::<16>(node, "matrix").is_some_and(|matrix| !is_affine(matrix)) {
        issues.error(
            "MATRIX_WRONG",
            format!("/nodes/{at}/matrix"),
            "0, 0, 0, 1 in its last row would be right",
        );
    }
    if let Some(turn) = numbers::<4>(node, "rotation") {
        let length = turn.iter().map(|part| part * part).sum::<f32>().sqrt();
        if length < 0.5 {
            issues.error(
                "ROTATION_WRONG",
                format!("/nodes/{at}/rotation"),
                "a quaternion of length 1 would be right",
            );
        } else if (length - 1.0).abs() > 0.005 {
            issues.warn(
                "ROTATION_WRONG",
                format!("/nodes/{at}/rotation"),
                "a quaternion of length 1 would be right",
            );
        }
    }
}

/// The nodes with parents before children; `None` where some are their own ancestors or too deep.
fn in_order(
    nodes: &[Value],
    parents: &[Option<usize>],
    limits: &Limits,
    issues: &mut Issues,
) -> Option<Vec<usize>> {
    if issues.refused() {
        return None;
    }
    let mut order: Vec<usize> = (0..nodes.len()).filter(|node| parents[*node].is_none()).collect();
    let mut depths = vec![0u64; nodes.len()];
    let mut at = 0;
    while let Some(node) = order.get(at).copied() {
        at += 1;
        for child in list(&nodes[node], "children") {
            let child = child.as_u64().and_then(|child| usize::try_from(child).ok()).unwrap_or(0);
            depths[child] = depths[node] + 1;
            order.push(child);
        }
    }
    if order.len() < nodes.len() {
        let reached: BTreeSet<usize> = order.iter().copied().collect();
        let first = (0..nodes.len()).find(|node| !reached.contains(node)).unwrap_or(0);
        issues.error("NODE_CYCLE", format!("/nodes/{first}"), "the node is its own ancestor");
        return None;
    }
    if let Some(node) = order.iter().find(|node| depths[**node] > limits.node_depth) {
        issues.error(
            "NODES_TOO_DEEP",
            format!("/nodes/{node}"),
            format!("at most {} levels would be right", limits.node_depth),
        );
        return None;
    }
    Some(order)
}

fn scenes(root: &Value, forest: &mut Forest, order: &[usize], issues: &mut Issues) {
    let scenes = list(root, "scenes");
    let shown = index(root, "scene").unwrap_or(0);
    for (number, scene) in scenes.iter().enumerate() {
        let mut seen = BTreeSet::new();
        for (at, node) in list(scene, "nodes").iter().enumerate() {
            let Some(node) = node.as_u64().and_then(|node| usize::try_from(node).ok()) else {
                continue;
            };
            let pointer = format!("/scenes/{number}/nodes/{at}");
            if !seen.insert(node) {
                issues.error(
                    "SCENE_NODE_TWICE",
                    pointer,
                    format!("node {node} is in the scene already"),
                );
            } else if forest.parents[node].is_some() {
                issues.error(
                    "SCENE_NODE_NOT_ROOT",
                    pointer,
                    format!("node {node} has a parent; a root would be right"),
                );
            } else if number == shown {
                forest.shown[node] = true;
            }
        }
    }
    if scenes.is_empty() && !list(root, "nodes").is_empty() {
        issues.warn("NO_SCENE", "", "there is no scene, so nothing of it is shown");
    }
    for node in order {
        if let Some(parent) = forest.parents[*node] {
            forest.shown[*node] = forest.shown[parent];
        }
    }
}

/// Checks the skins.
pub(super) fn skins(parts: &Parts<'_>, issues: &mut Issues) {
    let skins = list(&parts.root, "skins");
    // An accessor is read once, however many skins share it.
    let mut read = BTreeSet::new();
    for (at, skin) in skins.iter().enumerate() {
        let joints = list(skin, "joints");
        let mut seen = BTreeSet::new();
        if !joints.iter().filter_map(Value::as_u64).all(|joint| seen.insert(joint)) {
            issues.error(
                "SKIN_JOINT_TWICE",
                format!("/skins/{at}/joints"),
                "each joint once would be right",
            );
        }
        if let Some(skeleton) = index(skin, "skeleton") {
            let below = |joint: usize| joint == skeleton || parts.forest.is_below(joint, skeleton);
            if !seen.iter().all(|joint| usize::try_from(*joint).is_ok_and(below)) {
                issues.warn(
                    "SKIN_SKELETON",
                    format!("/skins/{at}/skeleton"),
                    "an ancestor of all joints would be right",
                );
            }
        }
        let Some(accessor) =
            index(skin, "inverseBindMatrices").and_then(|at| parts.accessors.get(at))
        else {
            continue;
        };
        let pointer = format!("/skins/{at}/inverseBindMatrices");
        if !accessor.is(Component::F32, 16) || accessor.strided || accessor.sparse.is_some() {
            issues.error(
                "SKIN_MATRICES",
                pointer,
                "an accessor of type MAT4 of floats would be right",
            );
        } else if accessor.count < joints.len() {
            issues.error(
                "SKIN_MATRICES",
                pointer,
                format!("{} matrices for {} joints", accessor.count, joints.len()),
            );
        } else if read.insert(index(skin, "inverseBindMatrices")) {
            let mut wrong = false;
            accessor.written(parts.bin, |_, matrix| {
                let last = [matrix[3], matrix[7], matrix[11], matrix[15]];
                wrong |= last
                    .iter()
                    .zip([0.0, 0.0, 0.0, 1.0])
                    .any(|(is, right)| (is - right).abs() > 1e-5);
            });
            if wrong {
                issues.warn(
                    "SKIN_MATRICES",
                    pointer,
                    "0, 0, 0, 1 in the last row of each would be right",
                );
            }
        }
    }
    for (at, node) in list(&parts.root, "nodes").iter().enumerate() {
        if node.get("skin").is_some() && node.get("mesh").is_none() {
            issues.warn(
                "SKIN_WITHOUT_MESH",
                format!("/nodes/{at}/skin"),
                "a node with a skin and no mesh",
            );
        }
    }
}

/// Nodes that are joints, and the joints of all skins, which may share them.
pub(super) fn joints(root: &Value) -> (u64, u64) {
    let all = list(root, "skins").iter().flat_map(|skin| list(skin, "joints"));
    let all: Vec<u64> = all.filter_map(Value::as_u64).collect();
    let nodes: BTreeSet<u64> = all.iter().copied().collect();
    (nodes.len() as u64, all.len() as u64)
}

/// How often each mesh is drawn: at least once, as somebody may load it.
pub(super) fn instances(root: &Value) -> Vec<u64> {
    let mut times = vec![0; list(root, "meshes").len()];
    for node in list(root, "nodes").iter().filter(|node| node.get("mesh").is_some()) {
        if let Some(times) = times.get_mut(number(node, "mesh")) {
            *times += 1;
        }
    }
    times.iter().map(|times| (*times).max(1)).collect()
}
