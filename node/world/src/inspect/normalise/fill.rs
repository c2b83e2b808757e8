//! Fills in what VRM 1.0 lets a file leave out, because there are clients that do not.

use serde_json::{Map, Value, json};

use super::{meta, take};
use crate::inspect::{list, vrm::bones};

/// Completes the extensions of VRM in a file.
pub(super) fn fill(root: &mut Value) {
    take(&mut root["extensions"], "VRM");
    let meshes: Vec<usize> = list(root, "nodes")
        .iter()
        .enumerate()
        .filter_map(|(at, node)| node.get("mesh").map(|_| at))
        .collect();
    vrm(&mut root["extensions"]["VRMC_vrm"], &meshes);
    let hips = root["extensions"]["VRMC_vrm"]["humanoid"]["humanBones"]["hips"]["node"].clone();
    if let Some(all) = root["extensions"].get_mut("VRMC_springBone") {
        springs(all, &hips);
        if list(all, "springs").is_empty() {
            take(&mut root["extensions"], "VRMC_springBone");
        }
    }
    for material in root.get_mut("materials").and_then(Value::as_array_mut).into_iter().flatten() {
        let toon =
            material.get_mut("extensions").and_then(|all| all.get_mut("VRMC_materials_mtoon"));
        if let Some(toon) = toon.and_then(Value::as_object_mut) {
            self::toon(toon);
        }
    }
    for node in root.get_mut("nodes").and_then(Value::as_array_mut).into_iter().flatten() {
        let pointer = "/extensions/VRMC_node_constraint";
        if let Some(constraint) = node.pointer_mut(pointer).and_then(Value::as_object_mut) {
            default(constraint, &[("specVersion", json!("1.0"))]);
            for kind in ["roll", "aim", "rotation"] {
                let of_kind = constraint.get_mut("constraint").and_then(|all| all.get_mut(kind));
                if let Some(one) = of_kind.and_then(Value::as_object_mut) {
                    default(one, &[("weight", json!(1.0))]);
                }
            }
        }
    }
    declare(root);
}

fn default(map: &mut Map<String, Value>, defaults: &[(&str, Value)]) {
    for (name, value) in defaults {
        map.entry(*name).or_insert_with(|| value.clone());
    }
}

/// The object of that name, made where it is missing.
fn object<'a>(map: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    map.entry(name).or_insert_with(|| json!({})).as_object_mut()
}

fn vrm(vrm: &mut Value, meshes: &[usize]) {
    vrm["specVersion"] = "1.0".into();
    meta::fill(&mut vrm["meta"]);
    if let Some(all) = vrm["humanoid"]["humanBones"].as_object_mut() {
        humanoid(all);
    }
    let Some(vrm) = vrm.as_object_mut() else { return };
    if let Some(view) = object(vrm, "firstPerson") {
        let given = view
            .get("meshAnnotations")
            .and_then(Value::as_array)
            .is_some_and(|all| !all.is_empty());
        if !given {
            let all = meshes.iter().map(|node| json!({ "node": node, "type": "auto" }));
            view.insert("meshAnnotations".into(), all.collect());
        }
        // A body without meshes has nothing to say here, and an empty list is not allowed.
        if meshes.is_empty() && !given {
            view.remove("meshAnnotations");
        }
    }
    if let Some(look_at) = object(vrm, "lookAt") {
        default(
            look_at,
            &[("offsetFromHeadBone", json!([0.0, 0.06, 0.0])), ("type", json!("bone"))],
        );
        let scale = if look_at["type"] == "expression" { 1.0 } else { 10.0 };
        for name in ["HorizontalInner", "HorizontalOuter", "VerticalDown", "VerticalUp"] {
            if let Some(range) = object(look_at, &format!("rangeMap{name}")) {
                default(range, &[("inputMaxValue", json!(90.0)), ("outputScale", json!(scale))]);
            }
        }
    }
    if let Some(expressions) = object(vrm, "expressions") {
        for group in ["preset", "custom"] {
            for expression in object(expressions, group).into_iter().flat_map(Map::values_mut) {
                if let Some(expression) = expression.as_object_mut() {
                    self::expression(expression);
                }
            }
        }
    }
}

fn expression(expression: &mut Map<String, Value>) {
    default(
        expression,
        &[
            ("isBinary", json!(false)),
            ("overrideBlink", json!("none")),
            ("overrideLookAt", json!("none")),
            ("overrideMouth", json!("none")),
        ],
    );
    for name in ["morphTargetBinds", "materialColorBinds", "textureTransformBinds"] {
        if expression.get(name).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            expression.remove(name);
        }
    }
    for bind in expression
        .get_mut("textureTransformBinds")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(bind) = bind.as_object_mut() {
            default(bind, &[("scale", json!([1.0, 1.0])), ("offset", json!([0.0, 0.0]))]);
        }
    }
}

/// Keeps the bones that VRM 1.0 knows, under their names.
fn humanoid(all: &mut Map<String, Value>) {
    let old = bones::has_old_thumbs(&Value::Object(all.clone()));
    let given = std::mem::take(all);
    for (name, bone) in given {
        let modern = if old { bones::modern(&name) } else { &name };
        if let Some(known) = bones::named(modern) {
            all.insert(known.to_owned(), bone);
        }
    }
}

fn springs(springs: &mut Value, hips: &Value) {
    springs["specVersion"] = "1.0".into();
    let Some(map) = springs.as_object_mut() else { return };
    // Neither list may be empty, and there are clients that want both: a point that no spring meets.
    for (name, point) in [
        ("colliders", json!({ "node": hips, "shape": { "sphere": {} } })),
        ("colliderGroups", json!({ "name": "none", "colliders": [0] })),
    ] {
        let given = map.get(name).and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        if !given {
            map.insert(name.into(), json!([point]));
        }
    }
    let zero = json!([0.0, 0.0, 0.0]);
    for collider in map.get_mut("colliders").and_then(Value::as_array_mut).into_iter().flatten() {
        for shape in ["sphere", "capsule"] {
            if let Some(shape) = collider["shape"].get_mut(shape).and_then(Value::as_object_mut) {
                default(shape, &[("offset", zero.clone()), ("radius", json!(0.0))]);
            }
        }
        if let Some(capsule) = collider["shape"].get_mut("capsule").and_then(Value::as_object_mut) {
            default(capsule, &[("tail", zero.clone())]);
        }
    }
    for name in ["colliderGroups", "springs"] {
        for named in map.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(named) = named.as_object_mut() {
                default(named, &[("name", json!(""))]);
            }
        }
    }
    for spring in map.get_mut("springs").and_then(Value::as_array_mut).into_iter().flatten() {
        if spring.get("colliderGroups").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            take(spring, "colliderGroups");
        }
        for joint in spring.get_mut("joints").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(joint) = joint.as_object_mut() {
                default(
                    joint,
                    &[
                        ("hitRadius", json!(0.0)),
                        ("stiffness", json!(1.0)),
                        ("gravityPower", json!(0.0)),
                        ("gravityDir", json!([0.0, -1.0, 0.0])),
                        ("dragForce", json!(0.5)),
                    ],
                );
            }
        }
    }
}

fn toon(toon: &mut Map<String, Value>) {
    default(
        toon,
        &[
            ("specVersion", json!("1.0")),
            ("transparentWithZWrite", json!(false)),
            ("renderQueueOffsetNumber", json!(0)),
            ("shadeColorFactor", json!([1.0, 1.0, 1.0])),
            ("shadingShiftFactor", json!(0.0)),
            ("shadingToonyFactor", json!(0.9)),
            ("giEqualizationFactor", json!(0.9)),
            ("matcapFactor", json!([1.0, 1.0, 1.0])),
            ("parametricRimColorFactor", json!([0.0, 0.0, 0.0])),
            ("parametricRimFresnelPowerFactor", json!(5.0)),
            ("parametricRimLiftFactor", json!(0.0)),
            ("rimLightingMixFactor", json!(1.0)),
            ("outlineWidthMode", json!("none")),
            ("outlineWidthFactor", json!(0.0)),
            ("outlineColorFactor", json!([0.0, 0.0, 0.0])),
            ("outlineLightingMixFactor", json!(1.0)),
            ("uvAnimationScrollXSpeedFactor", json!(0.0)),
            ("uvAnimationScrollYSpeedFactor", json!(0.0)),
            ("uvAnimationRotationSpeedFactor", json!(0.0)),
        ],
    );
    // Clients want the shade's picture with the transform that it may have, and its shift in full.
    if let Some(shade) = toon.get_mut("shadeMultiplyTexture").and_then(Value::as_object_mut)
        && let Some(extensions) = object(shade, "extensions")
        && let Some(transform) = object(extensions, "KHR_texture_transform")
    {
        default(transform, &[("offset", json!([0.0, 0.0])), ("scale", json!([1.0, 1.0]))]);
    }
    if let Some(shift) = toon.get_mut("shadingShiftTexture").and_then(Value::as_object_mut) {
        default(shift, &[("texCoord", json!(0)), ("scale", json!(1.0))]);
    }
}

/// Declares what the file uses, because clients look there first.
fn declare(root: &mut Value) {
    let missing = in_use(root);
    let springs = root["extensions"].get("VRMC_springBone").is_some();
    let keep = |name: &&Value| **name != "VRM" && (springs || **name != "VRMC_springBone");
    let kept = |list: &[Value]| list.iter().filter(keep).cloned().collect::<Vec<Value>>();
    let mut used = kept(list(root, "extensionsUsed"));
    for name in missing {
        if !used.iter().any(|known| known == name) {
            used.push(name.into());
        }
    }
    let required = kept(list(root, "extensionsRequired"));
    root["extensionsUsed"] = used.into();
    if required.is_empty() {
        take(root, "extensionsRequired");
    } else {
        root["extensionsRequired"] = required.into();
    }
}

/// The extensions that what was written here may need.
fn in_use(root: &Value) -> Vec<&'static str> {
    let (materials, nodes) = (list(root, "materials"), list(root, "nodes"));
    let any = |all: &[Value], pointers: &[&str]| {
        let has = |one: &Value| pointers.iter().any(|pointer| one.pointer(pointer).is_some());
        all.iter().any(has)
    };
    let moved = [
        "/pbrMetallicRoughness/baseColorTexture/extensions/KHR_texture_transform",
        "/normalTexture/extensions/KHR_texture_transform",
        "/emissiveTexture/extensions/KHR_texture_transform",
        "/extensions/VRMC_materials_mtoon/shadeMultiplyTexture",
    ];
    let springs = root["extensions"].get("VRMC_springBone").is_some();
    [
        ("VRMC_vrm", true),
        ("VRMC_springBone", springs),
        ("VRMC_materials_mtoon", any(materials, &["/extensions/VRMC_materials_mtoon"])),
        ("KHR_texture_transform", any(materials, &moved)),
        ("KHR_materials_unlit", any(materials, &["/extensions/KHR_materials_unlit"])),
        ("VRMC_node_constraint", any(nodes, &["/extensions/VRMC_node_constraint"])),
    ]
    .into_iter()
    .filter_map(|(name, used)| used.then_some(name))
    .collect()
}
