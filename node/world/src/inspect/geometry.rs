//! Meshes: attributes of the right form, corners that exist, joints that the skin has.

use std::{
    array::from_fn,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::Value;

use super::{
    Parts,
    accessor::{Accessor, Component},
    index,
    limits::Limits,
    list, numbers,
    report::{Counts, Issues},
    scene::{self, apply, instances},
};

/// Morph targets of a mesh: those of its first primitive.
pub(super) fn targets(mesh: &Value) -> usize {
    list(mesh, "primitives").first().map_or(0, |primitive| list(primitive, "targets").len())
}

/// Counts what is drawn, from what is claimed alone; `false` where it is too much to go on.
pub(super) fn count(
    parts: &Parts<'_>,
    limits: &Limits,
    counts: &mut Counts,
    issues: &mut Issues,
) -> bool {
    let times = instances(&parts.root);
    let mut morph_vertices = 0u64;
    for (mesh, times) in list(&parts.root, "meshes").iter().zip(times) {
        counts.morph_targets += targets(mesh) as u64;
        for primitive in list(mesh, "primitives") {
            let elements =
                |name: &str| Some(parts.accessors.get(index(primitive, name)?)?.count as u64);
            let position = index(&primitive["attributes"], "POSITION");
            let vertices =
                position.and_then(|at| parts.accessors.get(at)).map_or(0, |all| all.count as u64);
            let corners = elements("indices").unwrap_or(vertices);
            let triangles = match primitive["mode"].as_u64().unwrap_or(4) {
                4 => corners / 3,
                5 | 6 => corners.saturating_sub(2),
                _ => 0,
            };
            counts.draws += times;
            counts.vertices += times * vertices;
            counts.triangles += times * triangles;
            morph_vertices += vertices * list(primitive, "targets").len() as u64;
        }
    }
    let rows = [
        ("TOO_MANY_TRIANGLES", counts.triangles, limits.triangles, "triangles"),
        ("TOO_MANY_VERTICES", counts.vertices, limits.vertices, "vertices"),
        ("TOO_MANY_DRAWS", counts.draws, limits.draws, "primitives"),
        ("TOO_MANY_MORPHS", counts.morph_targets, limits.morph_targets, "morph targets"),
        ("TOO_MANY_MORPHS", morph_vertices, limits.morph_vertices, "vertices of morph targets"),
    ];
    let mut fits = true;
    for (code, is, most, what) in rows {
        if is > most {
            issues.error(code, "/meshes", format!("{is} {what}; at most {most} would be right"));
            fits = false;
        }
    }
    fits
}

/// What is known of accessors once they were read for a purpose.
#[derive(Default)]
struct Seen {
    /// The highest whole number in an accessor.
    highest: BTreeMap<usize, u32>,
    /// Accessors read for directions, and for weights.
    directions: BTreeSet<usize>,
    weights: BTreeSet<Vec<usize>>,
}

impl Seen {
    fn highest(&mut self, parts: &Parts<'_>, at: usize) -> u32 {
        if let Some(known) = self.highest.get(&at) {
            return *known;
        }
        let mut most = 0;
        parts.accessors[at].wholes(parts.bin, |_, whole| most = most.max(whole));
        self.highest.insert(at, most);
        most
    }
}

/// Checks all meshes, and the skins that they are drawn with.
pub(super) fn check(parts: &Parts<'_>, issues: &mut Issues) {
    let mut seen = Seen::default();
    let quantised = super::uses(&parts.root, "KHR_mesh_quantization");
    for (at, mesh) in list(&parts.root, "meshes").iter().enumerate() {
        let pointer = format!("/meshes/{at}");
        for (number, primitive) in list(mesh, "primitives").iter().enumerate() {
            let pointer = format!("{pointer}/primitives/{number}");
            one(parts, primitive, quantised, &mut seen, &pointer, issues);
            if list(primitive, "targets").len() != targets(mesh) {
                issues.error(
                    "MORPHS_UNEQUAL",
                    format!("{pointer}/targets"),
                    "as many as in the first primitive would be right",
                );
            }
        }
        if mesh.get("weights").is_some() && list(mesh, "weights").len() != targets(mesh) {
            issues.warn(
                "MORPHS_UNEQUAL",
                format!("{pointer}/weights"),
                "a weight for each morph target would be right",
            );
        }
    }
    for (at, node) in list(&parts.root, "nodes").iter().enumerate() {
        let (Some(mesh), Some(skin)) = (index(node, "mesh"), index(node, "skin")) else { continue };
        let joints = list(&parts.root["skins"][skin], "joints").len();
        for primitive in list(&parts.root["meshes"][mesh], "primitives") {
            let attributes = &primitive["attributes"];
            if attributes.get("JOINTS_0").is_none() {
                issues.warn(
                    "SKIN_WITHOUT_JOINTS",
                    format!("/nodes/{at}/skin"),
                    "a mesh with joints and weights would be right",
                );
                break;
            }
            let sets = (0..4).filter_map(|set| index(attributes, &format!("JOINTS_{set}")));
            let most = sets.map(|accessor| seen.highest(parts, accessor)).max().unwrap_or(0);
            if most as usize >= joints {
                issues.error(
                    "JOINT_OUT_OF_RANGE",
                    format!("/nodes/{at}/skin"),
                    format!("a vertex names joint {most} of {joints}"),
                );
                break;
            }
        }
    }
}

fn one(
    parts: &Parts<'_>,
    primitive: &Value,
    quantised: bool,
    seen: &mut Seen,
    pointer: &str,
    issues: &mut Issues,
) {
    let Some(attributes) = primitive["attributes"].as_object() else { return };
    let Some(position) = index(&primitive["attributes"], "POSITION") else {
        issues.warn(
            "NO_POSITION",
            format!("{pointer}/attributes"),
            "without positions nothing is drawn",
        );
        return;
    };
    let vertices = parts.accessors[position].count;
    forms(parts, attributes, (vertices, quantised), pointer, issues);
    let bounded = &parts.root["accessors"][position];
    if bounded.get("min").is_none() || bounded.get("max").is_none() {
        issues.error(
            "BOUNDS_MISSING",
            format!("{pointer}/attributes/POSITION"),
            "positions with min and max would be right",
        );
    }
    for (number, target) in list(primitive, "targets").iter().enumerate() {
        for (name, value) in target.as_object().into_iter().flatten() {
            let accessor = &parts.accessors
                [value.as_u64().and_then(|at| usize::try_from(at).ok()).unwrap_or(0)];
            let right = form_is_right(name, accessor, quantised, true);
            if accessor.count != vertices || !right || !attributes.contains_key(name) {
                let code = if right { "COUNTS_UNEQUAL" } else { "ATTRIBUTE_FORM" };
                issues.error(code, format!("{pointer}/targets/{number}"), format!("one for each of the {vertices} vertices, of the form of the mesh itself, would be right"));
            }
        }
    }
    corners(parts, primitive, vertices, seen, pointer, issues);
    directions(parts, primitive, seen, pointer, issues);
    weights(parts, primitive, seen, pointer, issues);
}

/// Whether every attribute has an element for each vertex, in a form that is allowed.
fn forms(
    parts: &Parts<'_>,
    attributes: &serde_json::Map<String, Value>,
    (vertices, quantised): (usize, bool),
    pointer: &str,
    issues: &mut Issues,
) {
    for (name, value) in attributes {
        let accessor =
            &parts.accessors[value.as_u64().and_then(|at| usize::try_from(at).ok()).unwrap_or(0)];
        let pointer = format!(
            "{pointer}/attributes/{}",
            super::report::token(&name.chars().take(64).collect::<String>())
        );
        if accessor.count != vertices {
            issues.error(
                "COUNTS_UNEQUAL",
                pointer.clone(),
                format!("{} elements for {vertices} vertices", accessor.count),
            );
        }
        if !form_is_right(name, accessor, quantised, false) {
            issues.error(
                "ATTRIBUTE_FORM",
                pointer.clone(),
                "numbers of another kind or count would be right",
            );
        } else if accessor
            .base
            .is_some_and(|base| !base.offset.is_multiple_of(4) || !base.stride.is_multiple_of(4))
        {
            issues.warn(
                "MISALIGNED",
                pointer,
                "elements at multiples of four bytes would be right",
            );
        }
    }
}

/// Whether an attribute is stored in a way that the format allows (3.7.2.1, and quantised).
fn form_is_right(name: &str, accessor: &Accessor, quantised: bool, morph: bool) -> bool {
    use Component::{F32, I8, I16, U8, U16};
    let (component, width) = (accessor.component, accessor.width());
    if accessor.is_matrix() {
        return name.starts_with('_');
    }
    let small = matches!(component, I8 | U8 | I16 | U16);
    let float_or = |also: bool| component == F32 || (small && also);
    let normal = matches!(component, I8 | I16) && accessor.normalised;
    let share = matches!(component, U8 | U16) && accessor.normalised;
    match name.split_once('_').map_or(name, |(base, _)| base) {
        "POSITION" => width == 3 && float_or(quantised),
        "NORMAL" => width == 3 && (component == F32 || quantised && normal),
        "TANGENT" => {
            width == if morph { 3 } else { 4 } && (component == F32 || quantised && normal)
        }
        "TEXCOORD" => width == 2 && (component == F32 || share || quantised && small),
        "COLOR" => (width == 3 || width == 4) && (component == F32 || share),
        "JOINTS" => width == 4 && matches!(component, U8 | U16) && !accessor.normalised,
        "WEIGHTS" => width == 4 && (component == F32 || share),
        "" => true,
        _ => false,
    }
}

fn corners(
    parts: &Parts<'_>,
    primitive: &Value,
    vertices: usize,
    seen: &mut Seen,
    pointer: &str,
    issues: &mut Issues,
) {
    let mode = primitive["mode"].as_u64().unwrap_or(4);
    let Some(at) = index(primitive, "indices") else {
        if mode == 4 && !vertices.is_multiple_of(3) {
            issues.warn(
                "TRIANGLES_INCOMPLETE",
                pointer,
                "three corners for each triangle would be right",
            );
        }
        return;
    };
    let accessor = &parts.accessors[at];
    let pointer = format!("{pointer}/indices");
    let whole = matches!(accessor.component, Component::U8 | Component::U16 | Component::U32);
    if !whole || accessor.width() != 1 || accessor.strided || accessor.sparse.is_some() {
        issues.error(
            "INDICES_FORM",
            pointer,
            "single whole numbers, close together and not sparse, would be right",
        );
        return;
    }
    let most = seen.highest(parts, at);
    if most as usize >= vertices || most == accessor.component.most() {
        issues.error(
            "VERTEX_OUT_OF_RANGE",
            pointer,
            format!("corner {most} of {vertices} vertices"),
        );
    } else if mode == 4 && !accessor.count.is_multiple_of(3) {
        issues.warn(
            "TRIANGLES_INCOMPLETE",
            pointer,
            "three corners for each triangle would be right",
        );
    }
}

fn directions(
    parts: &Parts<'_>,
    primitive: &Value,
    seen: &mut Seen,
    pointer: &str,
    issues: &mut Issues,
) {
    for name in ["NORMAL", "TANGENT"] {
        let Some(at) = index(&primitive["attributes"], name) else { continue };
        if parts.accessors[at].width() < 3 || !seen.directions.insert(at) {
            continue;
        }
        let mut wrong = None;
        parts.accessors[at].written(parts.bin, |element, vector| {
            let length: f32 = vector[..3].iter().map(|part| part * part).sum();
            if wrong.is_none() && (length - 1.0).abs() > 0.05 {
                wrong = Some(element);
            }
        });
        if let Some(element) = wrong {
            issues.warn(
                "NORMAL_LENGTH",
                format!("{pointer}/attributes/{name}"),
                format!("vector {element} is not of length 1"),
            );
        }
    }
}

fn weights(
    parts: &Parts<'_>,
    primitive: &Value,
    seen: &mut Seen,
    pointer: &str,
    issues: &mut Issues,
) {
    let attributes = &primitive["attributes"];
    let pointer = format!("{pointer}/attributes");
    let set = |kind: &str| -> Vec<usize> {
        (0..4).map_while(|set| index(attributes, &format!("{kind}_{set}"))).collect()
    };
    let (joints, weights) = (set("JOINTS"), set("WEIGHTS"));
    if joints.len() != weights.len() {
        issues.error("WEIGHTS_WRONG", pointer, "joints and weights in pairs would be right");
        return;
    }
    if weights.is_empty() || !seen.weights.insert(weights.clone()) {
        return;
    }
    let count = parts.accessors[weights[0]].count;
    if weights
        .iter()
        .any(|at| parts.accessors[*at].count != count || parts.accessors[*at].width() != 4)
    {
        return;
    }
    let mut sums = vec![0.0f32; count];
    let mut negative = false;
    for at in weights {
        for (sum, four) in
            sums.iter_mut().zip(parts.accessors[at].floats(parts.bin).chunks_exact(4))
        {
            negative |= four.iter().any(|weight| *weight < 0.0);
            *sum += four.iter().sum::<f32>();
        }
    }
    if negative {
        issues.error("WEIGHTS_WRONG", pointer, "no weight below zero would be right");
    } else if let Some(vertex) = sums.iter().position(|sum| (sum - 1.0).abs() > 0.02) {
        issues.warn(
            "WEIGHTS_WRONG",
            pointer,
            format!("the weights of vertex {vertex} do not add up to 1"),
        );
    }
}

/// How far from its origin the asset reaches in metres, as its bounds and nodes say; at least so far.
pub(super) fn reach(parts: &Parts<'_>) -> f32 {
    let skins: Vec<(f32, f32)> =
        list(&parts.root, "skins").iter().map(|skin| skinned(parts, skin)).collect();
    let mut reach = 0.0f32;
    for (at, node) in list(&parts.root, "nodes").iter().enumerate() {
        let Some(mesh) = index(node, "mesh").filter(|_| parts.forest.shown[at]) else { continue };
        for primitive in list(&parts.root["meshes"][mesh], "primitives") {
            for corner in corners_of_box(parts, primitive) {
                // The joints place a skinned mesh, not its node.
                let far = match index(node, "skin").and_then(|skin| skins.get(skin)) {
                    Some((scale, moved)) => scale * length(corner) + moved,
                    None => length(apply(&parts.forest.worlds[at], corner)),
                };
                // What is no number is farther than anything.
                reach = if far.is_nan() { f32::INFINITY } else { reach.max(far) };
            }
        }
    }
    reach
}

fn length(vector: [f32; 3]) -> f32 {
    vector.iter().map(|part| part * part).sum::<f32>().sqrt()
}

/// By how much the joints of a skin stretch and move a mesh at most; in its pose of binding by one
/// and by nothing.
fn skinned(parts: &Parts<'_>, skin: &Value) -> (f32, f32) {
    let binds = index(skin, "inverseBindMatrices").and_then(|at| parts.accessors.get(at));
    let binds = binds.filter(|binds| binds.is(Component::F32, 16));
    // Only as many as there are joints, however many the accessor has.
    let count = list(skin, "joints").len();
    let binds = binds.map_or_else(Vec::new, |binds| binds.first(count).floats(parts.bin));
    let (mut scale, mut moved) = (0.0f32, 0.0f32);
    for (at, joint) in list(skin, "joints").iter().enumerate() {
        let node = joint.as_u64().and_then(|joint| usize::try_from(joint).ok()).unwrap_or(0);
        let world = &parts.forest.worlds[node];
        let bind = binds.as_chunks::<4>().0.get(at * 4..at * 4 + 4);
        let bind = bind.map_or(scene::IDENTITY, |four| [four[0], four[1], four[2], four[3]]);
        let whole = scene::multiply(world, &bind);
        for column in &whole[..3] {
            scale = scale.max(length([column[0], column[1], column[2]]));
        }
        moved = moved.max(length([whole[3][0], whole[3][1], whole[3][2]]));
    }
    (scale, moved)
}

/// The corners of the box that a primitive's positions lie in, as their bounds say.
fn corners_of_box(parts: &Parts<'_>, primitive: &Value) -> Vec<[f32; 3]> {
    let Some(position) = index(&primitive["attributes"], "POSITION") else { return Vec::new() };
    let (accessor, json) = (&parts.accessors[position], &parts.root["accessors"][position]);
    let (Some(low), Some(high)) = (numbers::<3>(json, "min"), numbers::<3>(json, "max")) else {
        return Vec::new();
    };
    #[expect(clippy::cast_precision_loss, reason = "at most sixteen bits")]
    let unit = if accessor.normalised { 1.0 / accessor.component.most() as f32 } else { 1.0 };
    let corner = |which: u8| {
        from_fn(|axis| unit * if which >> axis & 1 == 1 { high[axis] } else { low[axis] })
    };
    (0..8).map(corner).collect()
}

/// Positions, and triangles as three of their places each.
pub type Triangles = (Vec<[f32; 3]>, Vec<[u32; 3]>);

/// The corners of a primitive's triangles, with what quantised and sparse accessors store decoded.
pub(super) fn triangles(parts: &Parts<'_>, mesh: usize, primitive: usize) -> Option<Triangles> {
    let primitive = list(list(&parts.root, "meshes").get(mesh)?, "primitives").get(primitive)?;
    let position = parts.accessors.get(index(&primitive["attributes"], "POSITION")?)?;
    if position.width() != 3 {
        return None;
    }
    let points = position.floats(parts.bin).as_chunks().0.to_vec();
    let corners: Vec<u32> = match index(primitive, "indices") {
        Some(at) => {
            let mut corners = Vec::with_capacity(parts.accessors[at].count);
            parts.accessors[at].wholes(parts.bin, |_, corner| corners.push(corner));
            corners
        }
        None => (0..u32::try_from(points.len()).ok()?).collect(),
    };
    let triangles = match primitive["mode"].as_u64().unwrap_or(4) {
        4 => corners.as_chunks().0.to_vec(),
        5 => {
            let turned = |at: usize, three: &[u32]| match at % 2 {
                0 => [three[0], three[1], three[2]],
                _ => [three[1], three[0], three[2]],
            };
            corners.windows(3).enumerate().map(|(at, three)| turned(at, three)).collect()
        }
        6 => match corners.split_first() {
            Some((hub, rim)) => rim.windows(2).map(|two| [*hub, two[0], two[1]]).collect(),
            None => Vec::new(),
        },
        _ => return None,
    };
    Some((points, triangles))
}
