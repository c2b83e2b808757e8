//! A dance of eight beats: four with a step to the side and back, four with both arms in the air.

use super::pose::{Pose, Side, Stage};
use super::rest::fists;
use crate::vector::{Turn, mix, smooth, v3};
use std::f32::consts::TAU;

/// The pose at a number of beats from 0 to 8.
pub(super) fn dance(stage: &Stage, beat: f32) -> Pose {
    let mut pose = stage.pose();
    let beat = beat.rem_euclid(8.0);
    // How much of the second half there is; it goes over within half a beat.
    let high = smooth(3.6, 4.1, beat) * (1.0 - smooth(7.6, 8.1, beat)) + part_after(beat);
    // Down on every beat, up between them.
    let bounce = (beat * TAU).cos();
    // From side to side in two beats; in the second half the hips go twice as often as before.
    let side = (beat * TAU * 0.25).sin() * (1.0 - high) + (beat * TAU * 0.5).sin() * high;
    let place = (beat * TAU * 0.125 * 2.0).sin() * 0.075 * (1.0 - 0.6 * high);
    pose.hips = pose.hips + v3(place + 0.035 * side, -0.05 - 0.026 * bounce, 0.008 * bounce);
    let twist = 0.2 * (beat * TAU * 0.25).cos();
    pose.turn(stage, "hips", Turn::y(twist) * Turn::z(0.13 * side) * Turn::x(0.04));
    pose.turn(
        stage,
        "spine",
        Turn::y(-twist * 0.4) * Turn::z(-0.1 * side) * Turn::x(0.03 * bounce),
    );
    pose.turn(
        stage,
        "chest",
        Turn::y(-twist * 0.5) * Turn::z(-0.11 * side) * Turn::x(0.03 * bounce),
    );
    pose.turn(stage, "upperChest", Turn::y(-twist * 0.4) * Turn::z(-0.05 * side));
    pose.turn(stage, "neck", Turn::x(0.07 * bounce) * Turn::z(0.05 * side));
    pose.turn(
        stage,
        "head",
        Turn::x(0.09 * bounce - 0.05) * Turn::z(0.12 * side) * Turn::y(twist * 0.3),
    );
    for of in Side::BOTH {
        feet(stage, &mut pose, of, beat, high);
        arms(stage, &mut pose, of, beat, high, bounce);
    }
    pose
}

/// The end of the cross-over at the seam of the loop, at its beginning.
fn part_after(beat: f32) -> f32 {
    if beat < 0.1 { 1.0 - smooth(7.6, 8.1, beat + 8.0) } else { 0.0 }
}

/// The foot of the side that is danced to stays, the other one comes along and taps.
fn feet(stage: &Stage, pose: &mut Pose, of: Side, beat: f32, high: f32) {
    let sign = of.sign();
    let sway = (beat * TAU * 0.25).sin() * sign;
    // A foot is free while the weight is on the other side.
    let free = smooth(0.15, 0.85, -sway);
    let lift = (free * (1.0 - free) * 4.0).powi(2) * 0.03 + free * 0.012;
    let tap = free * (1.0 - high * 0.6);
    let ankle = stage.ankle(of)
        + v3(sign * (0.07 - 0.075 * tap), lift + 0.045 * free, -0.02 * free + 0.02 * (1.0 - free));
    let heel = 0.5 * free;
    pose.plant(stage, of, ankle, Turn::y(sign * 0.3) * Turn::x(heel));
    pose.turn_side(stage, of, "Toes", Turn::x(-heel * 0.8));
}

fn arms(stage: &Stage, pose: &mut Pose, of: Side, beat: f32, high: f32, bounce: f32) {
    let sign = of.sign();
    let swing = (beat * TAU * 0.25).sin() * sign;
    let pump = (beat * TAU * 0.5).cos();
    // Low: elbows bent, swinging past each other. High: hands up, waving with the hips.
    let wave = (beat * TAU * 0.5).sin() * sign;
    pose.turn_side(stage, of, "Shoulder", Turn::z(mix(-0.03, 0.28, high)));
    let front = mix(0.2 + 0.5 * pump * sign, 0.25, high);
    let raise = mix(-1.05 + 0.22 * swing, 0.62 + 0.24 * wave + 0.06 * bounce, high);
    let roll = mix(-0.25, -1.15, high);
    let upper =
        Turn::x(-front * (1.0 - high)) * Turn::y(-0.35 * high) * Turn::z(raise) * Turn::x(roll);
    pose.turn_side(stage, of, "UpperArm", upper);
    let elbow = mix(1.35 + 0.25 * pump * sign, 0.8 - 0.35 * wave, high);
    pose.turn_side(stage, of, "LowerArm", Turn::y(-elbow));
    pose.turn_side(stage, of, "Hand", Turn::y(mix(0.1 * pump, 0.2 * wave, high)) * Turn::z(-0.1));
    // Held, as thirty joints that move would double the file.
    fists(stage, pose, of, 0.5);
}
