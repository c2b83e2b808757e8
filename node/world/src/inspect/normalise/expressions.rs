//! The blend shapes, views and gazes of VRM 0.x as those of 1.0.

use serde_json::{Map, Value, json};

use super::{float, from_unity, materials::linear, node_of_mesh};
use crate::inspect::{geometry, index, list, vrm::PRESETS};

/// The name in 1.0 of a preset of 0.x.
fn preset(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "a" => "aa",
        "i" => "ih",
        "u" => "ou",
        "e" => "ee",
        "o" => "oh",
        "joy" => "happy",
        "angry" => "angry",
        "sorrow" => "sad",
        "fun" => "relaxed",
        "blink" => "blink",
        "blink_l" => "blinkLeft",
        "blink_r" => "blinkRight",
        "lookup" => "lookUp",
        "lookdown" => "lookDown",
        "lookleft" => "lookLeft",
        "lookright" => "lookRight",
        "neutral" => "neutral",
        _ => return None,
    })
}

/// The expressions of VRM 1.0.
pub(super) fn from_0(root: &Value, vrm: &Value) -> Value {
    let (mut presets, mut custom) = (Map::new(), Map::new());
    for group in list(&vrm["blendShapeMaster"], "blendShapeGroups") {
        let expression = expression(root, group);
        let name = preset(group["presetName"].as_str().unwrap_or_default());
        if let Some(name) = name.filter(|name| !presets.contains_key(*name)) {
            presets.insert(name.to_owned(), expression);
            continue;
        }
        let mut name = group["name"].as_str().unwrap_or_default().to_owned();
        if name.is_empty() {
            continue;
        }
        // A custom expression may not bear the name of a preset, and no name may stand twice.
        if PRESETS.contains(&name.as_str()) {
            name.push('_');
        }
        custom.entry(name).or_insert(expression);
    }
    json!({ "preset": presets, "custom": custom })
}

fn expression(root: &Value, group: &Value) -> Value {
    let mut made = json!({ "isBinary": group["isBinary"].as_bool().unwrap_or(false) });
    let morphs = list(group, "binds").iter().filter_map(|bind| {
        let mesh = index(bind, "mesh")?;
        let targets = geometry::targets(list(root, "meshes").get(mesh)?);
        let at = index(bind, "index").filter(|at| *at < targets)?;
        let weight = (float(bind, "weight", 100.0) / 100.0).clamp(0.0, 1.0);
        Some(json!({ "node": node_of_mesh(root, mesh)?, "index": at, "weight": weight }))
    });
    let morphs: Vec<Value> = morphs.collect();
    let (mut colours, mut transforms) = (Vec::new(), Vec::new());
    for value in list(group, "materialValues") {
        let named = |material: &Value| {
            material.get("name").is_some_and(|name| *name == value["materialName"])
        };
        let Some(material) = list(root, "materials").iter().position(named) else { continue };
        let target: Vec<f64> =
            list(value, "targetValue").iter().filter_map(Value::as_f64).collect();
        let Ok([x, y, z, w]) = <[f64; 4]>::try_from(target) else { continue };
        let colour = match value["propertyName"].as_str().unwrap_or_default() {
            "_Color" => "color",
            "_EmissionColor" => "emissionColor",
            "_RimColor" => "rimColor",
            "_OutlineColor" => "outlineColor",
            "_ShadeColor" => "shadeColor",
            "_MainTex_ST" => {
                transforms.push(json!({
                    "material": material, "scale": [x, y], "offset": [z, 1.0 - w - y],
                }));
                continue;
            }
            _ => continue,
        };
        let rgb = if colour == "emissionColor" { [x, y, z] } else { [x, y, z].map(linear) };
        colours.push(json!({
            "material": material, "type": colour, "targetValue": [rgb[0], rgb[1], rgb[2], w],
        }));
    }
    let parts = [
        ("morphTargetBinds", morphs),
        ("materialColorBinds", colours),
        ("textureTransformBinds", transforms),
    ];
    for (name, binds) in parts.into_iter().filter(|(_, binds)| !binds.is_empty()) {
        made[name] = binds.into();
    }
    made
}

/// What is hidden from the wearer, and how the eyes follow: `firstPerson` and `lookAt` of VRM 1.0.
pub(super) fn views_from_0(root: &Value, vrm: &Value) -> (Value, Value) {
    let old = &vrm["firstPerson"];
    let annotations = list(old, "meshAnnotations").iter().filter_map(|annotation| {
        let kind = match annotation["firstPersonFlag"].as_str()?.to_ascii_lowercase().as_str() {
            "both" => "both",
            "thirdpersononly" => "thirdPersonOnly",
            "firstpersononly" => "firstPersonOnly",
            _ => "auto",
        };
        Some(json!({ "node": node_of_mesh(root, index(annotation, "mesh")?)?, "type": kind }))
    });
    let annotations: Vec<Value> = annotations.collect();
    let by_shapes =
        old["lookAtTypeName"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("blendshape"));
    let range = |name: &str| {
        json!({
            "inputMaxValue": float(&old[name], "xRange", 90.0).clamp(0.0, 180.0),
            "outputScale": float(&old[name], "yRange", if by_shapes { 1.0 } else { 10.0 }),
        })
    };
    let look_at = json!({
        "offsetFromHeadBone": from_unity(&old["firstPersonBoneOffset"]),
        "type": if by_shapes { "expression" } else { "bone" },
        "rangeMapHorizontalInner": range("lookAtHorizontalInner"),
        "rangeMapHorizontalOuter": range("lookAtHorizontalOuter"),
        "rangeMapVerticalDown": range("lookAtVerticalDown"),
        "rangeMapVerticalUp": range("lookAtVerticalUp"),
    });
    let first_person =
        if annotations.is_empty() { json!({}) } else { json!({ "meshAnnotations": annotations }) };
    (first_person, look_at)
}
