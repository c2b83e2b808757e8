//! The file of a motion: the skeleton in T-pose and a track for every joint that turns.

use super::Motion;
use super::pose::{Pose, Stage};
use crate::glb::Builder;
use crate::vector::{Turn, V3, real, whole};
use serde_json::{Map, Value, json};

/// Keys a second.
const RATE: f32 = 30.0;

/// A motion as keys: times, and a pose for each.
pub(super) fn keys(motion: Motion, stage: &Stage) -> (Vec<f32>, Vec<Pose>) {
    let seconds = motion.seconds();
    let count = whole((seconds * RATE).round());
    let times: Vec<f32> = (0..=count).map(|number| seconds * real(number) / real(count)).collect();
    let mut poses: Vec<Pose> = times.iter().map(|at| motion.pose(stage, *at)).collect();
    if motion.repeats() {
        // The end is the beginning, to the last digit.
        poses[count] = poses[0].clone();
    }
    (times, poses)
}

pub(super) fn write(motion: Motion) -> Vec<u8> {
    let stage = Stage::new();
    let (times, poses) = keys(motion, &stage);
    let mut builder = Builder::new();
    let bones = &stage.rig.bones;
    for (number, bone) in bones.iter().enumerate() {
        let from = bone.parent.map(|parent| bones[parent].at).unwrap_or_default();
        let children: Vec<usize> =
            (0..bones.len()).filter(|child| bones[*child].parent == Some(number)).collect();
        let mut node = json!({ "name": bone.name, "translation": (bone.at - from).array() });
        if !children.is_empty() {
            node["children"] = children.into();
        }
        builder.add("nodes", node);
    }
    animate(&mut builder, motion, &times, &poses);
    // Eyes are left to whoever looks: a motion that held them would stare.
    let named: Map<String, Value> = bones
        .iter()
        .enumerate()
        .filter(|(_, bone)| !bone.name.ends_with("Eye"))
        .map(|(number, bone)| (bone.name.clone(), json!({ "node": number })))
        .collect();
    builder.extend(
        "VRMC_vrm_animation",
        json!({ "specVersion": "1.0", "humanoid": { "humanBones": named } }),
    );
    let mut extras = json!({
        "name": motion.name(),
        "repeats": motion.repeats(),
        "hips_height_m": stage.hips_at_rest().y,
    });
    if let Some(speed) = motion.speed_mps() {
        extras["speed_mps"] = speed.into();
    }
    builder.describe(extras);
    builder.finish(&[0], motion.name())
}

fn animate(builder: &mut Builder, motion: Motion, times: &[f32], poses: &[Pose]) {
    let single: Vec<[f32; 1]> = times.iter().map(|at| [*at]).collect();
    let input = builder.numbers(&single, true);
    let ends = [[0.0], [motion.seconds()]];
    let held = builder.numbers(&ends, true);
    let mut samplers = Vec::new();
    let mut channels = Vec::new();
    let mut track = |input: usize, output: usize, node: usize, path: &str| {
        let sampler = samplers.len();
        samplers.push(json!({ "input": input, "output": output, "interpolation": "LINEAR" }));
        channels.push(json!({ "sampler": sampler, "target": { "node": node, "path": path } }));
    };
    let places: Vec<[f32; 3]> = poses.iter().map(|pose| pose.hips).map(V3::array).collect();
    track(input, builder.numbers(&places, false), 0, "translation");
    for bone in 0..poses[0].turns.len() {
        let turns = steady(poses.iter().map(|pose| pose.turns[bone]));
        let first = turns[0];
        let moves = turns
            .iter()
            .any(|turn| turn.iter().zip(&first).any(|(now, then)| (now - then).abs() > 1e-5));
        // A joint that never turns needs no track; one that is held needs its ends only.
        if moves {
            track(input, builder.numbers(&turns, false), bone, "rotation");
        } else if first[3] < 1.0 - 1e-7 {
            track(held, builder.numbers(&[first, first], false), bone, "rotation");
        }
    }
    builder.add(
        "animations",
        json!({ "name": motion.name(), "samplers": samplers, "channels": channels }),
    );
}

/// Turns written so that neighbours are near each other in number too.
fn steady(turns: impl Iterator<Item = Turn>) -> Vec<[f32; 4]> {
    let mut out: Vec<[f32; 4]> = Vec::new();
    for turn in turns {
        let mut now = turn.normal().array();
        if let Some(last) = out.last() {
            let same: f32 = now.iter().zip(last).map(|(now, last)| now * last).sum();
            if same < 0.0 {
                now = now.map(|number| -number);
            }
        }
        out.push(now);
    }
    out
}
