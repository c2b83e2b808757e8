//! Animations: times that rise, and as many values as they ask for.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Parts,
    accessor::{Accessor, Component},
    index, list, number,
    report::Issues,
};

/// Checks all animations.
pub(super) fn check(parts: &Parts<'_>, issues: &mut Issues) {
    // An accessor is read once for its purpose, however many channels share it.
    let (mut timed, mut turned) = (BTreeSet::new(), BTreeSet::new());
    for (at, animation) in list(&parts.root, "animations").iter().enumerate() {
        let pointer = format!("/animations/{at}");
        for (number, sampler) in list(animation, "samplers").iter().enumerate() {
            if index(sampler, "input").is_some_and(|input| timed.insert(input)) {
                times(parts, sampler, &format!("{pointer}/samplers/{number}/input"), issues);
            }
        }
        for (at, channel) in list(animation, "channels").iter().enumerate() {
            let pointer = format!("{pointer}/channels/{at}");
            let sampler = &animation["samplers"][number(channel, "sampler")];
            values(parts, sampler, &channel["target"], &pointer, issues);
            let turns = channel["target"]["path"] == "rotation";
            if turns && index(sampler, "output").is_some_and(|output| turned.insert(output)) {
                rotations(parts, sampler, &pointer, issues);
            }
        }
    }
}

fn accessor<'a>(parts: &'a Parts<'_>, sampler: &Value, name: &str) -> Option<&'a Accessor> {
    parts.accessors.get(index(sampler, name)?)
}

fn times(parts: &Parts<'_>, sampler: &Value, pointer: &str, issues: &mut Issues) {
    let Some(input) = accessor(parts, sampler, "input") else { return };
    if !input.is(Component::F32, 1) {
        issues.error("ANIMATION_TIMES", pointer, "single floats would be right");
        return;
    }
    let (mut last, mut rises) = (-1.0, true);
    input.written(parts.bin, |_, time| {
        rises &= time[0] >= 0.0 && time[0] > last;
        last = time[0];
    });
    if !rises {
        issues.warn("ANIMATION_TIMES", pointer, "rising times from zero on would be right");
    }
}

fn values(parts: &Parts<'_>, sampler: &Value, target: &Value, pointer: &str, issues: &mut Issues) {
    let input = accessor(parts, sampler, "input");
    let (Some(input), Some(output)) = (input, accessor(parts, sampler, "output")) else { return };
    let path = target["path"].as_str().unwrap_or_default();
    let width = match path {
        "rotation" => 4,
        "weights" => 1,
        _ => 3,
    };
    if output.width() != width || output.is_matrix() || output.component == Component::U32 {
        let message = format!("values of {width} numbers would be right");
        issues.error("ANIMATION_VALUES", pointer, message);
        return;
    }
    let Some(node) = index(target, "node").map(|node| &parts.root["nodes"][node]) else { return };
    let each = match (path, index(node, "mesh")) {
        ("weights", Some(mesh)) => super::geometry::targets(&parts.root["meshes"][mesh]),
        ("weights", None) => 0,
        _ => 1,
    };
    let points = if sampler["interpolation"] == "CUBICSPLINE" { 3 } else { 1 };
    if output.count as u64 != input.count as u64 * points * each as u64 {
        let message = format!("{} values for {} times", output.count, input.count);
        issues.error("ANIMATION_VALUES", pointer, message);
    }
    if path != "weights" && node.get("matrix").is_some() {
        let message = "a node with translation, rotation and scale would be right";
        issues.warn("ANIMATION_OF_MATRIX", pointer, message);
    }
}

fn rotations(parts: &Parts<'_>, sampler: &Value, pointer: &str, issues: &mut Issues) {
    let Some(output) = accessor(parts, sampler, "output") else { return };
    // Of three points of a spline the middle one is a rotation.
    let spline = sampler["interpolation"] == "CUBICSPLINE";
    let mut wrong = false;
    output.written(parts.bin, |element, turn| {
        let length = turn.iter().map(|part| part * part).sum::<f32>();
        wrong |= (!spline || element % 3 == 1) && (length - 1.0).abs() > 0.02;
    });
    if wrong {
        issues.warn("ANIMATION_VALUES", pointer, "quaternions of length 1 would be right");
    }
}
