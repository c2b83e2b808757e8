//! The humanoid of VRM: which bones there are, which must be, and what stands below what.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::inspect::{
    Parts, index, list, numbers,
    report::{Issues, token},
};

/// A bone: its name in VRM 1.0, the bone above it, whether it must be, whether the one above must.
type Row = (&'static str, &'static str, bool, bool);

/// All bones of VRM 1.0, parents before children, in the order of its specification.
pub(in crate::inspect) const BONES: [Row; 55] = [
    ("hips", "", true, false),
    ("spine", "hips", true, false),
    ("chest", "spine", false, false),
    ("upperChest", "chest", false, true),
    ("neck", "upperChest", false, false),
    ("head", "neck", true, false),
    ("leftEye", "head", false, false),
    ("rightEye", "head", false, false),
    ("jaw", "head", false, false),
    ("leftUpperLeg", "hips", true, false),
    ("leftLowerLeg", "leftUpperLeg", true, false),
    ("leftFoot", "leftLowerLeg", true, false),
    ("leftToes", "leftFoot", false, false),
    ("rightUpperLeg", "hips", true, false),
    ("rightLowerLeg", "rightUpperLeg", true, false),
    ("rightFoot", "rightLowerLeg", true, false),
    ("rightToes", "rightFoot", false, false),
    ("leftShoulder", "upperChest", false, false),
    ("leftUpperArm", "leftShoulder", true, false),
    ("leftLowerArm", "leftUpperArm", true, false),
    ("leftHand", "leftLowerArm", true, false),
    ("rightShoulder", "upperChest", false, false),
    ("rightUpperArm", "rightShoulder", true, false),
    ("rightLowerArm", "rightUpperArm", true, false),
    ("rightHand", "rightLowerArm", true, false),
    ("leftThumbMetacarpal", "leftHand", false, false),
    ("leftThumbProximal", "leftThumbMetacarpal", false, true),
    ("leftThumbDistal", "leftThumbProximal", false, true),
    ("leftIndexProximal", "leftHand", false, false),
    ("leftIndexIntermediate", "leftIndexProximal", false, true),
    ("leftIndexDistal", "leftIndexIntermediate", false, true),
    ("leftMiddleProximal", "leftHand", false, false),
    ("leftMiddleIntermediate", "leftMiddleProximal", false, true),
    ("leftMiddleDistal", "leftMiddleIntermediate", false, true),
    ("leftRingProximal", "leftHand", false, false),
    ("leftRingIntermediate", "leftRingProximal", false, true),
    ("leftRingDistal", "leftRingIntermediate", false, true),
    ("leftLittleProximal", "leftHand", false, false),
    ("leftLittleIntermediate", "leftLittleProximal", false, true),
    ("leftLittleDistal", "leftLittleIntermediate", false, true),
    ("rightThumbMetacarpal", "rightHand", false, false),
    ("rightThumbProximal", "rightThumbMetacarpal", false, true),
    ("rightThumbDistal", "rightThumbProximal", false, true),
    ("rightIndexProximal", "rightHand", false, false),
    ("rightIndexIntermediate", "rightIndexProximal", false, true),
    ("rightIndexDistal", "rightIndexIntermediate", false, true),
    ("rightMiddleProximal", "rightHand", false, false),
    ("rightMiddleIntermediate", "rightMiddleProximal", false, true),
    ("rightMiddleDistal", "rightMiddleIntermediate", false, true),
    ("rightRingProximal", "rightHand", false, false),
    ("rightRingIntermediate", "rightRingProximal", false, true),
    ("rightRingDistal", "rightRingIntermediate", false, true),
    ("rightLittleProximal", "rightHand", false, false),
    ("rightLittleIntermediate", "rightLittleProximal", false, true),
    ("rightLittleDistal", "rightLittleIntermediate", false, true),
];

/// The bone of that name.
pub(in crate::inspect) fn named(name: &str) -> Option<&'static str> {
    BONES.iter().map(|(known, ..)| *known).find(|known| *known == name)
}

/// The name in VRM 1.0 of a thumb's bone in 0.x, where they were counted from the tip.
pub(in crate::inspect) fn modern(name: &str) -> &str {
    match name {
        "leftThumbProximal" => "leftThumbMetacarpal",
        "leftThumbIntermediate" => "leftThumbProximal",
        "rightThumbProximal" => "rightThumbMetacarpal",
        "rightThumbIntermediate" => "rightThumbProximal",
        other => other,
    }
}

/// Whether the thumbs of a 1.0 file are named as in its beta, which is as in 0.x.
pub(in crate::inspect) fn has_old_thumbs(bones: &Value) -> bool {
    ["leftThumbIntermediate", "rightThumbIntermediate"].iter().any(|name| bones.get(name).is_some())
}

/// The bones of a humanoid by name, with their nodes.
#[derive(Default)]
pub(in crate::inspect) struct Bones {
    pub(in crate::inspect) nodes: BTreeMap<&'static str, usize>,
}

impl Bones {
    /// Reads those of VRM 1.0.
    pub(super) fn of_1(vrm: &Value, issues: &mut Issues) -> Self {
        const AT: &str = "/extensions/VRMC_vrm/humanoid/humanBones";
        let mut bones = Self::default();
        let all = &vrm["humanoid"]["humanBones"];
        let old = has_old_thumbs(all);
        for (name, bone) in all.as_object().into_iter().flatten() {
            let pointer = || format!("{AT}/{}", token(&name.chars().take(64).collect::<String>()));
            let modern = if old { modern(name) } else { name };
            match (named(modern), index(bone, "node")) {
                (Some(known), Some(node)) => bones.add(known, node, &pointer(), issues),
                _ => issues.warn(
                    "BONE_UNKNOWN",
                    pointer(),
                    "no humanoid has such a bone; it is left out",
                ),
            }
        }
        bones
    }

    /// Reads those of VRM 0.x.
    pub(super) fn of_0(vrm: &Value, nodes: usize, issues: &mut Issues) -> Self {
        const AT: &str = "/extensions/VRM/humanoid/humanBones";
        let mut bones = Self::default();
        for (at, bone) in list(&vrm["humanoid"], "humanBones").iter().enumerate() {
            let pointer = format!("{AT}/{at}");
            let name = bone["bone"].as_str().unwrap_or_default();
            // A node of -1 says that there is no such bone.
            if bone["node"].as_f64().is_some_and(|node| node < 0.0) {
                continue;
            }
            let Some(node) = index(bone, "node").filter(|node| *node < nodes) else {
                issues.error(
                    "INDEX_OUT_OF_RANGE",
                    format!("{pointer}/node"),
                    format!("an index below {nodes}, how many nodes there are, would be right"),
                );
                continue;
            };
            match named(modern(name)) {
                Some(known) => bones.add(known, node, &pointer, issues),
                None => issues.warn(
                    "BONE_UNKNOWN",
                    pointer,
                    "no humanoid has such a bone; it is left out",
                ),
            }
        }
        bones
    }

    fn add(&mut self, name: &'static str, node: usize, pointer: &str, issues: &mut Issues) {
        if let Some((other, _)) = self.nodes.iter().find(|(_, used)| **used == node) {
            issues.error("BONE_NODE_TWICE", pointer, format!("the node is the {other} already"));
        } else if self.nodes.insert(name, node).is_some() {
            issues.error("BONE_TWICE", pointer, format!("there is a {name} already"));
        }
    }

    /// The nearest bone above one that this humanoid has.
    fn above(&self, name: &str) -> Option<(&'static str, usize)> {
        let parent = |name: &str| BONES.iter().find(|row| row.0 == name).map(|row| row.1);
        let mut above = parent(name)?;
        loop {
            if let Some(node) = self.nodes.get(above) {
                return Some((above, *node));
            }
            above = parent(above)?;
        }
    }

    /// Checks that the bones make a body.
    pub(super) fn check(&self, parts: &Parts<'_>, pointer: &str, issues: &mut Issues) {
        let missing = BONES.iter().filter(|row| row.2 && !self.nodes.contains_key(row.0));
        let missing: Vec<&str> = missing.map(|row| row.0).collect();
        if !missing.is_empty() {
            let message = format!("every humanoid has these bones: {}", missing.join(", "));
            issues.error("BONE_MISSING", pointer, message);
        }
        for (name, parent, _, needs_parent) in BONES {
            let Some(node) = self.nodes.get(name).copied() else { continue };
            if needs_parent && !self.nodes.contains_key(parent) {
                issues.warn("BONE_WITHOUT_PARENT", pointer, format!("{name} without {parent}"));
            }
            let at = format!("/nodes/{node}");
            if !parts.forest.shown[node] {
                issues.error(
                    "BONE_OUTSIDE_SCENE",
                    at,
                    format!("{name} is not in the scene that is shown"),
                );
                continue;
            }
            if let Some((above, parent)) = self.above(name)
                && !parts.forest.is_below(node, parent)
            {
                issues.error("BONE_HIERARCHY", at.clone(), format!("{name} is not below {above}"));
            }
            let json = &parts.root["nodes"][node];
            if let Some(scale) = numbers::<3>(json, "scale") {
                if scale.iter().any(|part| *part <= 0.0) {
                    issues.error(
                        "BONE_SCALE",
                        format!("{at}/scale"),
                        "a scale above zero would be right",
                    );
                } else if scale.iter().any(|part| (part - scale[0]).abs() > 1e-3 * scale[0]) {
                    issues.warn(
                        "BONE_SCALE",
                        format!("{at}/scale"),
                        "the same scale for all three axes would be right",
                    );
                }
            }
        }
        if !issues.refused() {
            self.pose(parts, pointer, issues);
        }
    }

    /// Looks whether the body stands as it should: upright, arms out, looking along +Z (1.0) or -Z (0.x).
    fn pose(&self, parts: &Parts<'_>, pointer: &str, issues: &mut Issues) {
        let at = |name: &str| self.nodes.get(name).map(|node| parts.forest.position(*node));
        let (Some(left), Some(right), Some(hips), Some(head)) =
            (at("leftUpperArm"), at("rightUpperArm"), at("hips"), at("head"))
        else {
            return;
        };
        // A body that looks along +Z has its left at +X.
        let side = left[0] - right[0];
        let back = if pointer.contains("VRMC_vrm") { side < 0.0 } else { side > 0.0 };
        if back {
            issues.warn(
                "POSE_BACKWARDS",
                pointer,
                "the body looks backwards: its left is where its right should be",
            );
        }
        for side in ["left", "right"] {
            let (Some(upper), Some(hand)) =
                (at(&format!("{side}UpperArm")), at(&format!("{side}Hand")))
            else {
                continue;
            };
            let (fall, reach) = (hand[1] - upper[1], (hand[0] - upper[0]).abs());
            if fall.abs() > 0.5 * reach {
                issues.warn(
                    "POSE_NOT_T",
                    pointer,
                    format!("the {side} arm does not point sideways; a T-pose would be right"),
                );
            }
        }
        if head[1] <= hips[1] {
            issues.warn(
                "POSE_NOT_T",
                pointer,
                "the head is not above the hips; a T-pose would be right",
            );
        }
        if !(0.2..=5.0).contains(&head[1]) {
            issues.warn(
                "SIZE_UNUSUAL",
                pointer,
                format!("the head is {:.2} metres above the floor", head[1]),
            );
        }
    }
}
