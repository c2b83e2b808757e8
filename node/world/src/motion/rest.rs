//! Standing and sitting, and what is done from there with hands or with a leap.

use super::pose::{Pose, Side, Stage};
use crate::vector::{Turn, mix, smooth, v3};
use std::f32::consts::TAU;

/// Seconds from the leap to the landing: up at 4.6 m/s and down again.
pub(super) const FLIGHT: f32 = 0.94;

/// Curls the fingers of a hand: 0 straight, 1 a loose fist.
pub(super) fn fists(stage: &Stage, pose: &mut Pose, side: Side, curl: f32) {
    for (number, finger) in ["Index", "Middle", "Ring", "Little"].into_iter().enumerate() {
        finger_curl(stage, pose, side, finger, curl * (0.85 + 0.08 * crate::vector::real(number)));
    }
    thumb_curl(stage, pose, side, curl);
}

fn finger_curl(stage: &Stage, pose: &mut Pose, side: Side, finger: &str, curl: f32) {
    for (part, angle) in [("Proximal", 0.75), ("Intermediate", 0.95), ("Distal", 0.6)] {
        let turn = Turn::z(-angle * curl);
        pose.turn_side(stage, side, &format!("{finger}{part}"), turn);
    }
}

fn thumb_curl(stage: &Stage, pose: &mut Pose, side: Side, curl: f32) {
    // The thumb comes in under the fingers.
    pose.turn_side(stage, side, "ThumbMetacarpal", Turn::x(0.35 * curl) * Turn::z(-0.1 * curl));
    pose.turn_side(stage, side, "ThumbProximal", Turn::y(0.4 * curl) * Turn::z(-0.2 * curl));
    pose.turn_side(stage, side, "ThumbDistal", Turn::y(0.35 * curl));
}

/// An arm that hangs at the side, swung to the front by an angle and away from the body by another.
fn hang(stage: &Stage, pose: &mut Pose, side: Side, front: f32, out: f32, elbow: f32) {
    pose.turn_side(stage, side, "Shoulder", Turn::z(-0.07));
    let upper = Turn::x(-front) * Turn::z(-1.33 + out) * Turn::x(-0.15);
    pose.turn_side(stage, side, "UpperArm", upper);
    pose.turn_side(stage, side, "LowerArm", Turn::y(-elbow));
    pose.turn_side(stage, side, "Hand", Turn::z(-0.08) * Turn::y(-0.05));
    fists(stage, pose, side, 0.42);
}

/// Both feet on the ground a little apart, toes out.
fn stand(stage: &Stage, pose: &mut Pose) {
    for side in Side::BOTH {
        let sign = side.sign();
        let ankle =
            stage.ankle(side) + v3(0.012 * sign, 0.0, if sign > 0.0 { 0.012 } else { -0.012 });
        pose.plant(stage, side, ankle, Turn::y(sign * 0.16));
    }
}

/// Breath and shifting weight, shared by all that stand.
fn breathe(stage: &Stage, pose: &mut Pose, breath: f32, shift: f32) {
    pose.hips =
        pose.hips + v3(0.014 * shift, -0.012 - 0.003 * shift.abs() + 0.0015 * breath, 0.004);
    pose.turn(stage, "hips", Turn::z(0.022 * shift) * Turn::y(0.02 * shift));
    pose.turn(stage, "spine", Turn::z(-0.018 * shift) * Turn::x(0.012 - 0.008 * breath));
    pose.turn(stage, "chest", Turn::z(-0.012 * shift) * Turn::x(-0.016 * breath));
    pose.turn(stage, "upperChest", Turn::x(0.014 - 0.014 * breath) * Turn::y(-0.02 * shift));
    pose.turn(stage, "neck", Turn::x(0.012 * breath + 0.01));
}

/// Standing at ease, two breaths long.
pub(super) fn idle(stage: &Stage, share: f32) -> Pose {
    let mut pose = stage.pose();
    let turn = share * TAU;
    let breath = (turn * 2.0).sin();
    let shift = turn.sin() + 0.18 * (turn * 3.0 + 0.7).sin();
    breathe(stage, &mut pose, breath, shift);
    let look = 0.07 * (turn + 1.1).sin() + 0.03 * (turn * 2.0).cos();
    pose.turn(
        stage,
        "head",
        Turn::y(look) * Turn::x(0.008 * breath - 0.01) * Turn::z(0.025 * shift),
    );
    for side in Side::BOTH {
        let drift = 0.02 * (turn + side.sign()).sin();
        hang(stage, &mut pose, side, 0.03 + drift, 0.012 * breath, 0.24 + drift);
    }
    stand(stage, &mut pose);
    pose
}

/// Sitting upright, the hands on the thighs.
pub(super) fn sit(stage: &Stage, share: f32) -> Pose {
    let mut pose = stage.pose();
    let turn = share * TAU;
    let breath = turn.sin();
    // The seat is 0.45 m high, and so much of the body is below the joints of the thighs.
    let thighs = 0.45 + 0.075;
    let rest = stage.hips_at_rest().y - stage.rig.at("leftUpperLeg").y;
    pose.hips = v3(0.0, thighs + rest, 0.0);
    pose.turn(stage, "hips", Turn::x(-0.1));
    pose.turn(stage, "spine", Turn::x(0.08));
    pose.turn(stage, "chest", Turn::x(0.05 - 0.014 * breath));
    pose.turn(stage, "upperChest", Turn::x(0.03 - 0.012 * breath));
    pose.turn(stage, "neck", Turn::x(0.01 + 0.012 * breath));
    let look = 0.09 * (turn + 0.6).sin();
    pose.turn(stage, "head", Turn::y(look) * Turn::x(-0.03 + 0.01 * breath) * Turn::z(0.02 * look));
    let thigh = (stage.rig.at("leftUpperLeg") - stage.rig.at("leftLowerLeg")).length();
    for side in Side::BOTH {
        let ankle = stage.ankle(side);
        let at = v3(ankle.x + 0.012 * side.sign(), ankle.y, thigh + 0.012);
        pose.plant(stage, side, at, Turn::y(side.sign() * 0.12));
        pose.turn_side(stage, side, "Shoulder", Turn::z(-0.07 + 0.012 * breath));
        let lap = v3(0.098 * side.sign(), thighs + 0.098 + 0.002 * breath, 0.165);
        pose.hand(stage, side, lap, v3(side.sign() * 0.55, -0.25, -1.0));
        let inwards = Turn::y(-side.sign() * 1.1) * Turn::z(-side.sign() * 0.16);
        pose.face(stage, &side.bone("Hand"), inwards);
        fists(stage, &mut pose, side, 0.3);
    }
    pose
}

/// A leap: out of the knees, through the air, and down into them again.
pub(super) fn jump(stage: &Stage, at: f32) -> Pose {
    let end = super::Motion::Jump.seconds();
    // How far each of the phases has come and gone.
    let leave = smooth(0.0, 0.13, at);
    let air = smooth(0.08, 0.34, at) * (1.0 - smooth(0.6, FLIGHT, at));
    let landing = smooth(FLIGHT - 0.05, FLIGHT + 0.09, at) * (1.0 - smooth(FLIGHT + 0.09, end, at));
    let start = 1.0 - leave;
    let mut pose = idle(stage, 0.0);
    let standing = pose.clone();
    let crouch = 0.1 * start * smooth(-0.01, 0.02, at) + 0.13 * landing;
    pose.hips = standing.hips + v3(0.0, -crouch, -0.02 * landing);
    let bow = 0.22 * start * smooth(-0.01, 0.02, at) + 0.3 * landing - 0.1 * air;
    pose.turn(stage, "hips", Turn::x(bow * 0.5));
    pose.turn(stage, "spine", Turn::x(bow * 0.4));
    pose.turn(stage, "chest", Turn::x(bow * 0.3 - 0.06 * air));
    pose.turn(stage, "neck", Turn::x(-bow * 0.5));
    pose.turn(stage, "head", Turn::x(-bow * 0.4 - 0.06 * air));
    let off = leave * (1.0 - smooth(FLIGHT - 0.16, FLIGHT - 0.02, at));
    for side in Side::BOTH {
        let sign = side.sign();
        // One knee leads, so that the leap has a direction.
        let lead = if side == Side::Left { 1.0 } else { 0.35 };
        let ankle = stage.ankle(side)
            + v3(0.012 * sign, 0.17 * air * lead + 0.075 * off, 0.02 + 0.06 * air * (lead - 0.75));
        let point = 0.55 * off * mix(1.0, 0.75, lead * air);
        pose.plant(stage, side, ankle, Turn::y(sign * 0.14) * Turn::x(point));
        pose.turn_side(stage, side, "Toes", Turn::x(0.0));
        let lift = leave * (1.0 - smooth(0.55, FLIGHT + 0.1, at));
        let front = mix(mix(-0.45 * start, 0.5, lift), 0.35, landing) * smooth(-0.01, 0.02, at);
        hang(stage, &mut pose, side, front, 1.0 * lift + 0.3 * landing, 0.3 + 0.5 * lift);
    }
    blend(&standing, &pose, 1.0 - smooth(end - 0.2, end, at))
}

/// From one pose to another.
fn blend(from: &Pose, to: &Pose, share: f32) -> Pose {
    let turns = from.turns.iter().zip(&to.turns).map(|(from, to)| {
        // The nearer of the two ways to write a turn.
        let same = from.axis.dot(to.axis) + from.w * to.w;
        let sign = if same < 0.0 { -1.0 } else { 1.0 };
        let axis = from.axis.lerp(to.axis * sign, share);
        Turn { axis, w: mix(from.w, to.w * sign, share) }.normal()
    });
    Pose { hips: from.hips.lerp(to.hips, share), turns: turns.collect() }
}

/// How far a gesture of that length is there: in, held, and out again.
fn presence(at: f32, seconds: f32, into: f32, out: f32) -> f32 {
    smooth(0.0, into, at) * (1.0 - smooth(seconds - out, seconds, at))
}

/// Waves with the right hand, and leans into it.
pub(super) fn wave(stage: &Stage, at: f32) -> Pose {
    let seconds = super::Motion::Wave.seconds();
    let standing = idle(stage, 0.0);
    let mut pose = standing.clone();
    let beat = ((at - 0.4) * TAU * 1.75).sin();
    pose.turn(stage, "spine", Turn::z(0.05) * Turn::x(0.01));
    pose.turn(stage, "chest", Turn::z(0.04 + 0.012 * beat) * Turn::y(0.05));
    pose.turn(stage, "upperChest", Turn::z(0.03));
    pose.turn(stage, "neck", Turn::z(-0.06));
    pose.turn(stage, "head", Turn::z(-0.12 + 0.015 * beat) * Turn::x(-0.04));
    let side = Side::Right;
    pose.turn_side(stage, side, "Shoulder", Turn::z(0.2));
    // The upper arm out and a little up, the forearm straight up, the palm to the front.
    let upper = Turn::y(-0.3) * Turn::z(0.12 + 0.05 * beat) * Turn::x(-1.5);
    pose.turn_side(stage, side, "UpperArm", upper);
    pose.turn_side(stage, side, "LowerArm", Turn::y(-1.5 + 0.34 * beat));
    let late = ((at - 0.47) * TAU * 1.75).sin();
    pose.turn_side(stage, side, "Hand", Turn::y(0.24 * late) * Turn::x(-0.1));
    fists(stage, &mut pose, side, 0.06);
    blend(&standing, &pose, presence(at, seconds, 0.42, 0.5))
}

/// Points ahead with the right hand.
pub(super) fn point(stage: &Stage, at: f32) -> Pose {
    let seconds = super::Motion::Point.seconds();
    let standing = idle(stage, 0.0);
    let mut pose = standing.clone();
    let there = presence(at, seconds, 0.38, 0.5);
    // A thrust that goes a little too far and comes back gives the gesture its point.
    let thrust = 0.08 * smooth(0.2, 0.4, at) * (1.0 - smooth(0.4, 0.62, at));
    pose.turn(stage, "spine", Turn::y(0.08) * Turn::x(0.03));
    pose.turn(stage, "chest", Turn::y(0.1) * Turn::x(0.02 + thrust * 0.4));
    pose.turn(stage, "upperChest", Turn::y(0.08));
    pose.turn(stage, "neck", Turn::y(-0.12));
    pose.turn(stage, "head", Turn::y(-0.14) * Turn::x(-0.02));
    let side = Side::Right;
    pose.turn_side(stage, side, "Shoulder", Turn::y(-0.16) * Turn::z(0.04));
    let upper = Turn::y(-1.28) * Turn::z(0.06 + thrust) * Turn::x(-0.35);
    pose.turn_side(stage, side, "UpperArm", upper);
    pose.turn_side(stage, side, "LowerArm", Turn::y(-0.1 + thrust));
    pose.turn_side(stage, side, "Hand", Turn::y(-0.02));
    fists(stage, &mut pose, side, 1.25);
    finger_curl(stage, &mut pose, side, "Index", 0.02);
    blend(&standing, &pose, there)
}
