//! The rules of VRM: what a humanoid must have, in 1.0 and in 0.x.

pub(super) mod bones;
pub(super) mod licence;
mod spring;
pub(super) mod tables;

use serde_json::Value;

use self::bones::Bones;
use super::{
    Parts, geometry, index, list, number,
    report::{Counts, Issues, Licence, token},
    schema::{Checker, Kind},
};

/// Expressions that VRM 1.0 names.
pub(super) const PRESETS: [&str; 18] = [
    "happy",
    "angry",
    "sad",
    "relaxed",
    "surprised",
    "aa",
    "ih",
    "ou",
    "ee",
    "oh",
    "blink",
    "blinkLeft",
    "blinkRight",
    "lookUp",
    "lookDown",
    "lookLeft",
    "lookRight",
    "neutral",
];

/// Checks that a sound GLB is an avatar, and reads what its author allows.
pub(super) fn check(
    parts: &Parts<'_>,
    counts: &mut Counts,
    issues: &mut Issues,
) -> Option<Licence> {
    let extensions = &parts.root["extensions"];
    if let Some(vrm) = extensions.get("VRMC_vrm") {
        return one(parts, vrm, counts, issues);
    }
    if let Some(vrm) = extensions.get("VRM") {
        return zero(parts, vrm, counts, issues);
    }
    issues.error("NOT_A_VRM", "/extensions", "the extension VRMC_vrm or VRM would be right");
    None
}

fn one(
    parts: &Parts<'_>,
    vrm: &Value,
    counts: &mut Counts,
    issues: &mut Issues,
) -> Option<Licence> {
    const AT: &str = "/extensions/VRMC_vrm";
    let root = &parts.root;
    Checker::new(root, issues).check(vrm, &Kind::Object(&tables::VRM_1), AT);
    let springs = root["extensions"].get("VRMC_springBone");
    if let Some(springs) = springs {
        let kind = Kind::Object(&tables::SPRING_BONE);
        Checker::new(root, issues).check(springs, &kind, "/extensions/VRMC_springBone");
    }
    match vrm["specVersion"].as_str() {
        Some("1.0") | None => {}
        Some("1.0-beta") => issues.warn(
            "VRM_VERSION",
            format!("{AT}/specVersion"),
            "version 1.0 would be right; it is read as that",
        ),
        Some(_) => {
            issues.error("VRM_VERSION", format!("{AT}/specVersion"), "version 1.0 would be right");
        }
    }
    if issues.refused() {
        return None;
    }
    if !super::uses(root, "VRMC_vrm") {
        issues.warn("EXTENSION_UNDECLARED", "/extensionsUsed", "VRMC_vrm is used but not declared");
    }
    let bones = Bones::of_1(vrm, issues);
    bones.check(parts, &format!("{AT}/humanoid/humanBones"), issues);
    let licence = licence::of_1(&vrm["meta"], issues);
    expressions(parts, vrm, issues);
    for (at, annotation) in list(&vrm["firstPerson"], "meshAnnotations").iter().enumerate() {
        if root["nodes"][number(annotation, "node")].get("mesh").is_none() {
            let pointer = format!("{AT}/firstPerson/meshAnnotations/{at}/node");
            issues.warn("NODE_WITHOUT_MESH", pointer, "a node with a mesh would be right");
        }
    }
    if let Some(springs) = springs {
        spring::check(parts, springs, counts, issues);
    }
    spring::constraints(parts, issues);
    Some(licence)
}

fn expressions(parts: &Parts<'_>, vrm: &Value, issues: &mut Issues) {
    for group in ["preset", "custom"] {
        for (name, expression) in vrm["expressions"][group].as_object().into_iter().flatten() {
            let name: String = name.chars().take(64).collect();
            let pointer = format!("/extensions/VRMC_vrm/expressions/{group}/{}", token(&name));
            if PRESETS.contains(&name.as_str()) != (group == "preset") {
                issues.warn(
                    "EXPRESSION_NAME",
                    pointer.clone(),
                    "only the presets of VRM, and no custom ones, bear such names",
                );
            }
            for (at, bind) in list(expression, "morphTargetBinds").iter().enumerate() {
                let node = &parts.root["nodes"][number(bind, "node")];
                let targets = index(node, "mesh")
                    .map_or(0, |mesh| geometry::targets(&parts.root["meshes"][mesh]));
                if number(bind, "index") >= targets {
                    let pointer = format!("{pointer}/morphTargetBinds/{at}/index");
                    issues.error(
                        "MORPH_OUT_OF_RANGE",
                        pointer,
                        format!("the mesh of the node has {targets} morph targets"),
                    );
                }
            }
        }
    }
}

fn zero(
    parts: &Parts<'_>,
    vrm: &Value,
    counts: &mut Counts,
    issues: &mut Issues,
) -> Option<Licence> {
    const AT: &str = "/extensions/VRM";
    Checker::new(&parts.root, issues).check(vrm, &Kind::Object(&tables::VRM_0), AT);
    if issues.refused() {
        return None;
    }
    issues.tell("VRM_CONVERTED", AT, "it is of VRM 0.x and becomes VRM 1.0");
    let nodes = list(&parts.root, "nodes").len();
    let bones = Bones::of_0(vrm, nodes, issues);
    bones.check(parts, &format!("{AT}/humanoid/humanBones"), issues);
    let licence = licence::of_0(&vrm["meta"], issues);
    stale(parts, vrm, issues);
    super::normalise::turn::check(parts, issues);
    counts.spring_joints = super::normalise::springs::joints_of_0(parts, vrm);
    spring::too_many(counts, AT, issues);
    Some(licence)
}

/// Names what the file points at and does not have: it is left out of what becomes of it.
fn stale(parts: &Parts<'_>, vrm: &Value, issues: &mut Issues) {
    let meshes = list(&parts.root, "meshes");
    for (group, shape) in list(&vrm["blendShapeMaster"], "blendShapeGroups").iter().enumerate() {
        for (at, bind) in list(shape, "binds").iter().enumerate() {
            let mesh = index(bind, "mesh").and_then(|mesh| meshes.get(mesh));
            let targets = mesh.map_or(0, geometry::targets);
            if index(bind, "index").is_none_or(|index| index >= targets) {
                let pointer =
                    format!("/extensions/VRM/blendShapeMaster/blendShapeGroups/{group}/binds/{at}");
                issues.warn(
                    "MORPH_OUT_OF_RANGE",
                    pointer,
                    "there is no such morph target; it is left out",
                );
            }
        }
    }
    let textures = list(&parts.root, "textures").len();
    for (at, material) in list(vrm, "materialProperties").iter().enumerate() {
        for (name, value) in material["textureProperties"].as_object().into_iter().flatten() {
            if value.as_u64().is_none_or(|texture| texture >= textures as u64) {
                let name: String = name.chars().take(64).collect();
                let pointer = format!(
                    "/extensions/VRM/materialProperties/{at}/textureProperties/{}",
                    token(&name)
                );
                issues.warn(
                    "INDEX_OUT_OF_RANGE",
                    pointer,
                    "there is no such texture; it is left out",
                );
            }
        }
    }
    let secondary = &vrm["secondaryAnimation"];
    let (nodes, groups) =
        (list(&parts.root, "nodes").len(), list(secondary, "colliderGroups").len());
    for (at, spring) in list(secondary, "boneGroups").iter().enumerate() {
        for (name, most) in [("bones", nodes), ("colliderGroups", groups)] {
            let wrong = |value: &Value| value.as_u64().is_none_or(|index| index >= most as u64);
            if list(spring, name).iter().any(wrong) {
                let pointer = format!("/extensions/VRM/secondaryAnimation/boneGroups/{at}/{name}");
                issues.warn("INDEX_OUT_OF_RANGE", pointer, "what is not there is left out");
            }
        }
    }
}
