//! A pose of the humanoid: how its joints turn, and how limbs reach for a place.

use crate::rig::{Proportions, Rig};
use crate::vector::{Turn, V3, v3};

/// The left side of a body (+X) or the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

impl Side {
    pub(super) const BOTH: [Side; 2] = [Side::Left, Side::Right];

    /// +1 on the left, -1 on the right.
    pub(super) fn sign(self) -> f32 {
        match self {
            Side::Left => 1.0,
            Side::Right => -1.0,
        }
    }

    pub(super) fn bone(self, rest: &str) -> String {
        match self {
            Side::Left => format!("left{rest}"),
            Side::Right => format!("right{rest}"),
        }
    }
}

/// The skeleton that poses are made on.
pub(super) struct Stage {
    pub(super) rig: Rig,
}

impl Stage {
    pub(super) fn new() -> Stage {
        Stage { rig: Rig::new(Proportions::REFERENCE) }
    }

    pub(super) fn hips_at_rest(&self) -> V3 {
        self.rig.at("hips")
    }

    /// Where an ankle is when standing.
    pub(super) fn ankle(&self, side: Side) -> V3 {
        self.rig.at(&side.bone("Foot"))
    }

    /// A pose in which nothing is turned.
    pub(super) fn pose(&self) -> Pose {
        Pose { hips: self.hips_at_rest(), turns: vec![Turn::NONE; self.rig.bones.len()] }
    }
}

/// Where the hips are, and how every joint turns in the frame of its parent.
#[derive(Clone, Debug)]
pub(super) struct Pose {
    pub(super) hips: V3,
    pub(super) turns: Vec<Turn>,
}

/// Where a joint is in the world, and how it is turned there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) at: V3,
    pub(super) turn: Turn,
}

impl Pose {
    pub(super) fn turn(&mut self, stage: &Stage, bone: &str, turn: Turn) {
        self.turns[stage.rig.find(bone)] = turn;
    }

    /// A bone of one side, by a turn given for the left one and mirrored for the right.
    pub(super) fn turn_side(&mut self, stage: &Stage, side: Side, bone: &str, turn: Turn) {
        let turn = match side {
            Side::Left => turn,
            Side::Right => Turn { axis: v3(turn.axis.x, -turn.axis.y, -turn.axis.z), w: turn.w },
        };
        self.turn(stage, &side.bone(bone), turn);
    }

    /// Where a joint is (forward kinematics).
    pub(super) fn place(&self, stage: &Stage, bone: usize) -> Place {
        let rig = &stage.rig;
        match rig.bones[bone].parent {
            None => Place { at: self.hips, turn: self.turns[bone] },
            Some(parent) => {
                let above = self.place(stage, parent);
                let offset = rig.bones[bone].at - rig.bones[parent].at;
                Place {
                    at: above.at + above.turn.apply(offset),
                    turn: above.turn * self.turns[bone],
                }
            }
        }
    }

    /// Puts an ankle at a place with the foot turned so in the world, the knee to the front.
    pub(super) fn plant(&mut self, stage: &Stage, side: Side, ankle: V3, foot: Turn) {
        let names = ["UpperLeg", "LowerLeg", "Foot"];
        let ahead = foot.apply(v3(0.0, 0.0, 1.0));
        // The knee looks where the toes do, also while they point down.
        let pole = v3(ahead.x + side.sign() * 0.06, 0.0, ahead.z.max(0.5));
        self.reach(stage, side, names, ankle, pole, v3(1.0, 0.0, 0.0));
        self.face(stage, &side.bone("Foot"), foot);
    }

    /// Puts a wrist at a place, the elbow towards `pole`.
    pub(super) fn hand(&mut self, stage: &Stage, side: Side, wrist: V3, pole: V3) {
        let bend = v3(0.0, -side.sign(), 0.0);
        self.reach(stage, side, ["UpperArm", "LowerArm", "Hand"], wrist, pole, bend);
    }

    /// Turns a joint so that it stands in the world as given.
    pub(super) fn face(&mut self, stage: &Stage, bone: &str, turn: Turn) {
        let number = stage.rig.find(bone);
        let parent = stage.rig.bones[number].parent.expect("limbs hang on something");
        let above = self.place(stage, parent).turn;
        self.turns[number] = (above.back() * turn).normal();
    }

    /// Bends a limb of two bones about its own `axis` so that its end comes to `target`.
    fn reach(
        &mut self,
        stage: &Stage,
        side: Side,
        names: [&str; 3],
        target: V3,
        pole: V3,
        axis: V3,
    ) {
        let [root, middle, end] = names.map(|name| stage.rig.find(&side.bone(name)));
        let at = |bone: usize| stage.rig.bones[bone].at;
        let (upper, lower) = (at(middle) - at(root), at(end) - at(middle));
        let parent = stage.rig.bones[root].parent.expect("limbs hang on something");
        let above = self.place(stage, parent);
        let start = above.at + above.turn.apply(at(root) - at(parent));
        let away = target - start;
        let bend = bend_for(upper, lower, away.length(), axis);
        let knee = Turn::about(axis, bend);
        let straight = upper + knee.apply(lower);
        let mut turn = between(straight, away);
        // Roll about the line to the target until the middle joint looks towards the pole.
        let line = away.unit();
        let flat = |along: V3| along - line * along.dot(line);
        let (now, wanted) = (flat(turn.apply(upper)), flat(pole));
        if now.length() > 1e-5 && wanted.length() > 1e-5 {
            let (now, wanted) = (now.unit(), wanted.unit());
            let angle = line.dot(now.cross(wanted)).atan2(now.dot(wanted));
            turn = Turn::about(line, angle) * turn;
        }
        self.turns[root] = (above.turn.back() * turn).normal();
        self.turns[middle] = knee;
    }
}

/// How far a limb bends so that its ends are that far apart.
fn bend_for(upper: V3, lower: V3, distance: f32, axis: V3) -> f32 {
    // The distance shrinks steadily as the limb bends: halving finds it.
    let (mut low, mut high) = (0.0_f32, 2.7_f32);
    for _ in 0..24 {
        let middle = (low + high) * 0.5;
        if (upper + Turn::about(axis, middle).apply(lower)).length() > distance {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// The shortest turn from one direction to another.
fn between(from: V3, to: V3) -> Turn {
    let (from, to) = (from.unit(), to.unit());
    let w = 1.0 + from.dot(to);
    if w < 1e-6 {
        return Turn::x(std::f32::consts::PI);
    }
    Turn { axis: from.cross(to), w }.normal()
}
