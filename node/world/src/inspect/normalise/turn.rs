//! Turns a body of VRM 0.x, which looks along -Z, by half a turn about Y.
//!
//! Vertices, nodes and bind matrices are all mirrored in x and z. Every local frame is turned with
//! what it holds, so that skins and morph targets fit as before, also where bones are rotated.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::take;
use crate::inspect::{
    Parts,
    accessor::{Accessor, Component},
    index, list, numbers,
    report::Issues,
};

/// The sign that half a turn about Y gives to each axis, and to what a matrix has beyond them.
const SIGNS: [f32; 4] = [-1.0, 1.0, -1.0, 1.0];

/// What must be turned: accessors of positions, of other vectors, and of matrices.
struct Turned {
    positions: BTreeSet<usize>,
    vectors: BTreeSet<usize>,
    matrices: BTreeSet<usize>,
}

fn turned(root: &Value) -> Turned {
    let mut turned =
        Turned { positions: BTreeSet::new(), vectors: BTreeSet::new(), matrices: BTreeSet::new() };
    for primitive in list(root, "meshes").iter().flat_map(|mesh| list(mesh, "primitives")) {
        let sets = list(primitive, "targets").iter().chain([&primitive["attributes"]]);
        for attributes in sets {
            turned.positions.extend(index(attributes, "POSITION"));
            turned.vectors.extend(index(attributes, "NORMAL"));
            turned.vectors.extend(index(attributes, "TANGENT"));
        }
    }
    let skins = list(root, "skins").iter();
    turned.matrices.extend(skins.filter_map(|skin| index(skin, "inverseBindMatrices")));
    turned
}

/// Says where a body cannot be turned in place: numbers without a sign.
pub(in crate::inspect) fn check(parts: &Parts<'_>, issues: &mut Issues) {
    let turned = turned(&parts.root);
    for at in turned.positions.iter().chain(&turned.vectors) {
        if parts.accessors[*at].component != Component::F32 {
            issues.error(
                "NOT_TURNABLE",
                format!("/accessors/{at}"),
                "a VRM 0.x with positions and normals of floats would be right",
            );
        }
    }
}

/// The accessors whose bounds turn with their elements.
pub(super) fn positions(parts: &Parts<'_>) -> BTreeSet<usize> {
    turned(&parts.root).positions
}

/// The BIN chunk with all vectors and matrices turned, each byte once, whoever shares it.
pub(super) fn vertices(parts: &Parts<'_>) -> Vec<u8> {
    let turned = turned(&parts.root);
    let mut bin = parts.bin.to_vec();
    let mut done = vec![false; bin.len() / 4 + 1];
    let mut negate = |at: usize| {
        let Some(four) = bin.get_mut(at..at + 4) else { return };
        // A zero keeps its sign: glTF wants zeros in the last row of a matrix, and readers differ.
        let is_zero = f32::from_le_bytes([four[0], four[1], four[2], four[3]]) == 0.0;
        if !std::mem::replace(&mut done[at / 4], true) && !is_zero {
            four[3] ^= 0x80;
        }
    };
    for at in turned.positions.iter().chain(&turned.vectors) {
        for start in elements(&parts.accessors[*at], parts.bin) {
            negate(start);
            negate(start + 8);
        }
    }
    for at in &turned.matrices {
        for start in elements(&parts.accessors[*at], parts.bin) {
            for (cell, at) in (0..16).zip((start..).step_by(4)) {
                if SIGNS[cell / 4] * SIGNS[cell % 4] < 0.0 {
                    negate(at);
                }
            }
        }
    }
    bin
}

/// Where the elements of an accessor begin, those that are written down.
fn elements<'a>(accessor: &'a Accessor, bin: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let base = accessor.base.into_iter();
    let base =
        base.flat_map(|span| (0..accessor.count).map(move |at| span.offset + at * span.stride));
    let replaced = 0..accessor.sparse.map_or(0, |sparse| sparse.count);
    base.chain(replaced.map(|number| accessor.replaced(bin, number).1))
}

/// Turns the nodes and the bounds, and leaves out what would look the wrong way or move wrongly.
pub(super) fn json(root: &mut Value, positions: &BTreeSet<usize>) {
    let all = turned(root);
    for node in root.get_mut("nodes").and_then(Value::as_array_mut).into_iter().flatten() {
        turn_node(node);
    }
    for at in positions {
        turn_bounds(&mut root["accessors"][*at]);
    }
    for at in all.vectors.iter().chain(&all.matrices) {
        take(&mut root["accessors"][*at], "min");
        take(&mut root["accessors"][*at], "max");
    }
    for name in ["animations", "cameras"] {
        take(root, name);
    }
    if root["extensions"].get("KHR_lights_punctual").is_some() {
        take(&mut root["extensions"], "KHR_lights_punctual");
        for name in ["extensionsUsed", "extensionsRequired"] {
            if let Some(names) = root.get_mut(name).and_then(Value::as_array_mut) {
                names.retain(|name| name != "KHR_lights_punctual");
            }
        }
    }
}

fn turn_node(node: &mut Value) {
    if let Some([x, y, z]) = numbers::<3>(node, "translation") {
        node["translation"] = json!([0.0 - x, y, 0.0 - z]);
    }
    if let Some([x, y, z, w]) = numbers::<4>(node, "rotation") {
        node["rotation"] = json!([0.0 - x, y, 0.0 - z, w]);
    }
    if let Some(mut matrix) = numbers::<16>(node, "matrix") {
        for (cell, number) in matrix.iter_mut().enumerate() {
            *number = *number * SIGNS[cell / 4] * SIGNS[cell % 4] + 0.0;
        }
        node["matrix"] = json!(matrix);
    }
    take(node, "camera");
    if let Some(extensions) = node.get_mut("extensions") {
        take(extensions, "KHR_lights_punctual");
        if extensions.as_object().is_some_and(serde_json::Map::is_empty) {
            take(node, "extensions");
        }
    }
}

fn turn_bounds(accessor: &mut Value) {
    let (low, high) = (numbers::<3>(accessor, "min"), numbers::<3>(accessor, "max"));
    if let (Some(low), Some(high)) = (low, high) {
        accessor["min"] = json!([0.0 - high[0], low[1], 0.0 - high[2]]);
        accessor["max"] = json!([0.0 - low[0], high[1], 0.0 - low[2]]);
    } else {
        take(accessor, "min");
        take(accessor, "max");
    }
}
