//! Walking and running: feet that roll over the ground, and a trunk that follows.

use super::pose::{Pose, Side, Stage};
use super::rest::fists;
use crate::vector::{Turn, V3, mix, smooth, v3};
use std::f32::consts::TAU;

/// What makes a gait. A cycle is two steps and begins as the left heel comes down.
pub(super) struct Gait {
    pub(super) seconds: f32,
    pub(super) speed: f32,
    /// The share of the cycle that a foot is on the ground.
    stance: f32,
    /// How far in front of the hips a foot comes down, in metres.
    ahead: f32,
    /// Angles of the sole in radians, toes down above 0: coming down, and leaving.
    strike: f32,
    leave: f32,
    /// When in the stance the sole lies flat, and when the heel rises, as shares of it.
    flat: [f32; 2],
    /// How high an ankle is lifted in the swing, and when.
    lift: f32,
    lift_at: f32,
    /// The most that toes point down in the swing.
    droop: f32,
    /// The hips: how much lower than at rest, how far up and down and sideways, in metres.
    sink: f32,
    bob: f32,
    /// When in a step the hips are highest, as a share of the cycle.
    highest: f32,
    sway: f32,
    /// Turns of the hips about +Y and +Z, and the lean to the front.
    twist: f32,
    tilt: f32,
    lean: f32,
    /// Arms: how far they hang away, swing, and bend at the elbow at least and more.
    out: f32,
    swing: f32,
    swing_ahead: f32,
    elbow: [f32; 2],
    /// How far feet are from the middle, as a share of where they stand.
    narrow: f32,
}

pub(super) const WALK: Gait = Gait {
    seconds: 0.9,
    speed: 1.5,
    stance: 0.58,
    ahead: 0.335,
    strike: -0.36,
    leave: 1.0,
    flat: [0.16, 0.5],
    lift: 0.055,
    lift_at: 0.32,
    droop: 0.0,
    sink: 0.034,
    bob: 0.017,
    highest: 0.3,
    sway: 0.018,
    twist: 0.13,
    tilt: 0.055,
    lean: 0.035,
    out: 1.28,
    swing: 0.5,
    swing_ahead: 0.06,
    elbow: [0.2, 0.26],
    narrow: 0.72,
};

pub(super) const RUN: Gait = Gait {
    seconds: 0.62,
    speed: 4.0,
    stance: 0.31,
    ahead: 0.25,
    strike: -0.12,
    leave: 1.05,
    flat: [0.14, 0.46],
    lift: 0.3,
    lift_at: 0.36,
    droop: 0.55,
    sink: 0.062,
    bob: 0.034,
    highest: 0.41,
    sway: 0.008,
    twist: 0.2,
    tilt: 0.05,
    lean: 0.17,
    out: 1.22,
    swing: 0.75,
    swing_ahead: -0.02,
    elbow: [1.35, 0.4],
    narrow: 0.5,
};

/// A foot at a moment: its ankle, the angle of its sole, and how far its toes bend up against it.
struct Step {
    ankle: V3,
    pitch: f32,
    toes: f32,
}

/// The pose at a share of the cycle.
pub(super) fn pose(stage: &Stage, gait: &Gait, share: f32) -> Pose {
    let mut pose = stage.pose();
    let turn = share * TAU;
    // The left foot is ahead at 0: that side of the hips too.
    let ahead = turn.cos();
    pose.hips.y += -gait.sink + gait.bob * ((share - gait.highest) * 2.0 * TAU).cos();
    // The weight is over the foot that stands.
    let over = ((share - gait.stance * 0.5) * TAU).cos();
    pose.hips.x += gait.sway * over;
    let hips = Turn::y(-gait.twist * ahead) * Turn::x(gait.lean * 0.5) * Turn::z(gait.tilt * over);
    pose.turn(stage, "hips", hips);
    trunk(stage, gait, &mut pose, ahead, over, share);
    for side in Side::BOTH {
        let offset = if side == Side::Left { 0.0 } else { 0.5 };
        let step = step(stage, gait, side, (share + offset).rem_euclid(1.0));
        let toe_out = Turn::y(side.sign() * 0.09);
        pose.plant(stage, side, step.ankle, toe_out * Turn::x(step.pitch));
        pose.turn_side(stage, side, "Toes", Turn::x(-step.toes));
        arm(stage, gait, &mut pose, side, (share + offset) * TAU);
    }
    pose
}

/// The trunk turns against the hips, and the head looks ahead through it all.
fn trunk(stage: &Stage, gait: &Gait, pose: &mut Pose, ahead: f32, over: f32, share: f32) {
    let against = gait.twist * ahead;
    let nod = gait.bob * 1.4 * ((share - gait.highest - 0.06) * 2.0 * TAU).cos();
    let spine = Turn::y(against * 0.6) * Turn::z(-gait.tilt * over * 0.55);
    pose.turn(stage, "spine", spine * Turn::x(gait.lean * 0.3));
    let chest = Turn::y(against * 0.75) * Turn::z(-gait.tilt * over * 0.35);
    pose.turn(stage, "chest", chest * Turn::x(gait.lean * 0.3 + nod * 0.4));
    pose.turn(stage, "upperChest", Turn::y(against * 0.55) * Turn::x(nod * 0.4));
    pose.turn(stage, "neck", Turn::y(-against * 0.5) * Turn::x(-gait.lean * 0.45 - nod * 0.5));
    pose.turn(stage, "head", Turn::y(-against * 0.4) * Turn::x(-gait.lean * 0.45 - nod * 0.6));
}

/// An arm swings against the leg of its side, `phase` being that of the leg.
fn arm(stage: &Stage, gait: &Gait, pose: &mut Pose, side: Side, phase: f32) {
    // The arm comes a little late, as what hangs does.
    let back = (phase - 0.25).cos();
    let swing = gait.swing * back * 0.5 - gait.swing_ahead;
    let shoulder = Turn::y(0.1 * back) * Turn::z(-0.06);
    pose.turn_side(stage, side, "Shoulder", shoulder);
    let upper = Turn::x(swing) * Turn::z(-gait.out) * Turn::x(-0.12);
    pose.turn_side(stage, side, "UpperArm", upper);
    let bend = gait.elbow[0] + gait.elbow[1] * (0.5 - 0.5 * (phase - 0.5).cos());
    pose.turn_side(stage, side, "LowerArm", Turn::y(-bend));
    pose.turn_side(stage, side, "Hand", Turn::y(0.08 * back) * Turn::z(-0.06));
    fists(stage, pose, side, if gait.elbow[0] > 1.0 { 1.05 } else { 0.5 });
}

/// Where a foot is at a share of its own cycle, which begins as its heel comes down.
fn step(stage: &Stage, gait: &Gait, side: Side, share: f32) -> Step {
    if share < gait.stance {
        return standing(stage, gait, side, share);
    }
    // Through the air, from how it left the ground to how it comes down, with the speed of the ground
    // at both ends.
    let way = (share - gait.stance) / (1.0 - gait.stance);
    let (from, to) = (standing(stage, gait, side, gait.stance), standing(stage, gait, side, 0.0));
    let seconds = gait.seconds * (1.0 - gait.stance);
    let push = -gait.speed * seconds;
    let z = hermite(from.ankle.z, to.ankle.z, push * 0.75, push * 0.45, way);
    // Up fast and down slowly: the highest point is before the middle.
    let bent = way.powf(0.5_f32.ln() / gait.lift_at.ln());
    let bump = (bent * std::f32::consts::PI).sin().powi(2) * gait.lift;
    let y = mix(from.ankle.y, to.ankle.y, smooth(0.0, 1.0, way)) + bump;
    let x = mix(from.ankle.x, to.ankle.x, way);
    let droop = gait.droop * (bent * std::f32::consts::PI).sin();
    let pitch = mix(from.pitch, to.pitch, smooth(0.0, 0.92, way)) + droop;
    Step { ankle: v3(x, y, z), pitch, toes: from.toes * (1.0 - smooth(0.0, 0.25, way)) }
}

/// A foot on the ground: it comes down on its heel, lies flat, and rolls off over its toes.
fn standing(stage: &Stage, gait: &Gait, side: Side, share: f32) -> Step {
    let rest = stage.ankle(side);
    let toes = stage.rig.at(&side.bone("Toes"));
    let way = share / gait.stance;
    // Where the ankle of the flat foot would be: it goes back as fast as the ground does.
    let flat = v3(rest.x * gait.narrow, rest.y, gait.ahead - gait.speed * gait.seconds * share);
    let out = Turn::y(side.sign() * 0.09);
    let roll = |pivot: V3, pitch: f32| {
        let arm = out.back().apply(flat - pivot);
        pivot + out.apply(Turn::x(pitch).apply(arm))
    };
    if way < gait.flat[0] {
        let pitch = gait.strike * (1.0 - smooth(0.0, gait.flat[0], way));
        let heel = flat + out.apply(v3(0.0, -rest.y, HEEL));
        return Step { ankle: roll(heel, pitch), pitch, toes: 0.0 };
    }
    let rise = ((way - gait.flat[1]) / (1.0 - gait.flat[1])).max(0.0);
    let pitch = gait.leave * rise.powf(1.7);
    let ball = flat + out.apply(v3(0.0, toes.y - rest.y, toes.z - rest.z));
    // The toes stay flat until they leave.
    Step { ankle: roll(ball, pitch), pitch, toes: pitch * 0.9 }
}

/// The heel behind the ankle, in metres.
pub(super) const HEEL: f32 = -0.05;

/// From `a` to `b` with the speeds (per whole way) at both ends.
fn hermite(a: f32, b: f32, out: f32, into: f32, t: f32) -> f32 {
    let (t2, t3) = (t * t, t * t * t);
    a * (2.0 * t3 - 3.0 * t2 + 1.0)
        + out * (t3 - 2.0 * t2 + t)
        + b * (3.0 * t2 - 2.0 * t3)
        + into * (t3 - t2)
}
