//! What swings: `VRMC_springBone` 1.0 for hair and scarves, kept out of head and chest.

use super::assemble::Body;
use crate::vector::V3;
use serde_json::{Value, json};

/// The extension, or nothing for who wears nothing that swings. The nodes of joints have the numbers
/// of the bones.
pub(super) fn write(body: &Body) -> Option<Value> {
    if body.strands.is_empty() {
        return None;
    }
    let springs: Vec<Value> = body.strands.iter().map(|strand| spring(body, strand)).collect();
    Some(json!({
        "specVersion": "1.0",
        "colliders": colliders(body),
        "colliderGroups": [{ "name": "trunk", "colliders": [0, 1, 2, 3, 4] }],
        "springs": springs,
    }))
}

fn spring(body: &Body, strand: &super::assemble::Strand) -> Value {
    let cloth = strand.name == "scarf";
    let long = strand.name.ends_with("Strand");
    // Cloth hangs, hair keeps its shape; long hair lies between them.
    let (stiffness, gravity, drag) = match (cloth, long) {
        (true, _) => (0.55, 0.35, 0.5),
        (_, true) => (0.9, 0.12, 0.5),
        _ => (0.95, 0.05, 0.42),
    };
    let joints: Vec<Value> = strand
        .joints
        .iter()
        .enumerate()
        .map(|(number, joint)| {
            let softer = 1.0 - 0.16 * crate::vector::real(number);
            json!({
                "node": joint,
                "hitRadius": if number == 0 { 0.0 } else { strand.radius * 0.7 },
                "stiffness": stiffness * softer,
                "gravityPower": gravity,
                "gravityDir": [0.0, -1.0, 0.0],
                "dragForce": drag,
            })
        })
        .collect();
    json!({
        "name": strand.name,
        "joints": joints,
        "colliderGroups": [0],
        "center": body.rig.find("hips"),
    })
}

/// Balls and rods in head, neck and chest, in the frames of their bones.
fn colliders(body: &Body) -> Vec<Value> {
    let (rig, scale) = (&body.rig, body.head.scale);
    let unit = rig.proportions.unit();
    let build = body.looks.build;
    let from = |bone: &str, at: V3| (at - rig.at(bone)).array();
    let ball = |bone: &str, at: V3, radius: f32| {
        json!({
            "node": rig.find(bone),
            "shape": { "sphere": { "offset": from(bone, at), "radius": radius } },
        })
    };
    let rod = |bone: &str, at: V3, to: V3, radius: f32| {
        json!({
            "node": rig.find(bone),
            "shape": { "capsule": {
                "offset": from(bone, at), "tail": from(bone, to), "radius": radius,
            } },
        })
    };
    let (left, right) = (rig.at("leftUpperArm"), rig.at("rightUpperArm"));
    let chest = rig.at("upperChest");
    vec![
        ball("head", body.head.point(0.0, 0.02, -0.004), 0.112 * scale),
        ball("head", body.head.point(0.0, -0.05, 0.02), 0.085 * scale),
        rod("upperChest", left, right, 0.056 * unit),
        ball("upperChest", chest, 0.105 * unit * build),
        ball("chest", rig.at("chest"), 0.1 * unit * build),
    ]
}
