//! Writes an accepted avatar anew: VRM 1.0, every optional field filled in, facing +Z.

mod expressions;
mod fill;
mod materials;
pub(super) mod meta;
pub(super) mod springs;
pub(super) mod turn;

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::{Parts, index, list, number, vrm::bones};
use crate::glb::container;

/// The bytes of the avatar as VRM 1.0. The same parts give the same bytes, and what these bytes hold
/// gives them again.
pub(super) fn avatar(parts: Parts<'_>) -> Vec<u8> {
    let mut bin = Cow::Borrowed(parts.bin);
    let mut root = if parts.root["extensions"].get("VRMC_vrm").is_some() {
        parts.root
    } else {
        bin = Cow::Owned(turn::vertices(&parts));
        from_0(parts)
    };
    fill::fill(&mut root);
    canonical(&mut root);
    container(&root.to_string(), bin.into_owned())
}

/// The JSON of a VRM 0.x as that of a VRM 1.0, as its own libraries migrate it.
fn from_0(parts: Parts<'_>) -> Value {
    let turned = turn::positions(&parts);
    let mut root = parts.root;
    let vrm = take(&mut root["extensions"], "VRM");
    // What belongs to 1.0 was not looked at in a file of 0.x.
    take(&mut root["extensions"], "VRMC_springBone");
    turn::json(&mut root, &turned);
    let springs = springs::from_0(&mut root, &vrm);
    let (first_person, look_at) = expressions::views_from_0(&root, &vrm);
    let mut modern = json!({
        "specVersion": "1.0",
        "meta": meta::from_0(&vrm["meta"], &root["textures"]),
        "humanoid": { "humanBones": humanoid(&root, &vrm) },
        "firstPerson": first_person,
        "lookAt": look_at,
        "expressions": expressions::from_0(&root, &vrm),
    });
    modern["meta"]
        .as_object_mut()
        .into_iter()
        .for_each(|meta| meta.retain(|_, value| !value.is_null()));
    materials::from_0(&mut root, &vrm);
    root["extensions"]["VRMC_vrm"] = modern;
    if let Some(springs) = springs {
        root["extensions"]["VRMC_springBone"] = springs;
    }
    for name in ["extensionsUsed", "extensionsRequired"] {
        if let Some(names) = root.get_mut(name).and_then(Value::as_array_mut) {
            names.retain(|name| name != "VRM");
        }
    }
    root
}

fn humanoid(root: &Value, vrm: &Value) -> Value {
    let nodes = list(root, "nodes").len();
    let mut all = Map::new();
    for bone in list(&vrm["humanoid"], "humanBones") {
        let name = bones::named(bones::modern(bone["bone"].as_str().unwrap_or_default()));
        if let (Some(name), Some(node)) = (name, index(bone, "node").filter(|node| *node < nodes)) {
            all.insert(name.to_owned(), json!({ "node": node }));
        }
    }
    all.into()
}

/// Takes a property out of an object.
fn take(value: &mut Value, name: &str) -> Value {
    value.as_object_mut().and_then(|map| map.remove(name)).unwrap_or_default()
}

/// The number of that name, or another.
fn float(value: &Value, name: &str, other: f64) -> f64 {
    value.get(name).and_then(Value::as_f64).unwrap_or(other)
}

/// A vector of Unity's space, in which VRM 0.x thinks, as one of a body that was turned.
fn from_unity(value: &Value) -> Value {
    json!([0.0 - float(value, "x", 0.0), float(value, "y", 0.0), float(value, "z", 0.0)])
}

/// The first node that shows a mesh.
fn node_of_mesh(root: &Value, mesh: usize) -> Option<usize> {
    let shows = |node: &Value| node.get("mesh").is_some() && number(node, "mesh") == mesh;
    list(root, "nodes").iter().position(shows)
}

/// Rounds fractions to 32 bits, as whoever loads the file does: what is written is then what is read
/// back, whatever a parser does to the last bits of longer ones.
fn canonical(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let wide = number.as_f64().unwrap_or_default();
            let most = f64::from(f32::MAX);
            #[expect(clippy::cast_possible_truncation, reason = "clamped to what fits")]
            let narrow = wide.clamp(-most, most) as f32 + 0.0;
            let shortest: f64 = narrow.to_string().parse().unwrap_or_default();
            *value = json!(shortest);
        }
        Value::Array(list) => list.iter_mut().for_each(canonical),
        Value::Object(map) => map.values_mut().for_each(canonical),
        _ => {}
    }
}
