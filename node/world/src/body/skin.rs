//! How a surface hangs on the skeleton, and the arrays in which all surfaces of a body meet.

use super::mesher::Surface;
use crate::rig::Rig;
use crate::vector::{V3, v3};

/// What holds a point: four joints and their shares of 255, which sum to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) joints: [u8; 4],
    pub(super) weights: [u8; 4],
}

/// A bone as a line that draws points near it.
struct Pull {
    joint: u8,
    from: V3,
    to: V3,
    /// Thick bones reach further than thin ones.
    reach: f32,
}

/// Bones among which points are shared out.
pub(super) struct Holder {
    pulls: Vec<Pull>,
    /// How steeply the pull of a bone falls off with the distance.
    steep: i32,
}

impl Holder {
    pub(super) fn of(rig: &Rig, names: &[&str]) -> Holder {
        let pulls = names.iter().map(|name| {
            let number = rig.find(name);
            let reach = match *name {
                "hips" => 1.35,
                "upperChest" => 1.2,
                name if name.ends_with("Shoulder") => 0.9,
                _ => 1.0,
            };
            Pull { joint: joint(number), from: rig.bones[number].at, to: end(rig, name), reach }
        });
        Holder { pulls: pulls.collect(), steep: 6 }
    }

    /// All bones of the trunk and both upper arms and legs.
    pub(super) fn trunk(rig: &Rig) -> Holder {
        let holder = Holder::of(
            rig,
            &[
                "hips",
                "spine",
                "chest",
                "upperChest",
                "neck",
                "leftShoulder",
                "leftUpperArm",
                "leftLowerArm",
                "rightShoulder",
                "rightUpperArm",
                "rightLowerArm",
                "leftUpperLeg",
                "rightUpperLeg",
            ],
        );
        // Shoulders fold softly where arms come down from the T-pose.
        Holder { steep: 4, ..holder }
    }

    /// Adds a bone of hair or cloth that reaches to a point.
    pub(super) fn with(mut self, number: usize, from: V3, to: V3, reach: f32) -> Holder {
        self.pulls.push(Pull { joint: joint(number), from, to, reach });
        self
    }

    /// Who holds a point: the nearer a bone is, the more, and steeply so.
    pub(super) fn hold(&self, point: V3) -> Hold {
        let mut best = [(0_u8, 0.0_f32); 4];
        for pull in &self.pulls {
            let away = from_line(point, pull.from, pull.to) / pull.reach;
            let strength = (away + 1e-3).powi(-self.steep);
            // The four strongest, in their order.
            let mut entry = (pull.joint, strength);
            for place in &mut best {
                if entry.1 > place.1 {
                    std::mem::swap(place, &mut entry);
                }
            }
        }
        shares(best)
    }
}

/// Wholly one bone's.
pub(super) fn held_by(number: usize) -> Hold {
    Hold { joints: [joint(number), 0, 0, 0], weights: [255, 0, 0, 0] }
}

fn joint(number: usize) -> u8 {
    u8::try_from(number).expect("a body has fewer than 256 joints")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of 255 is a byte"
)]
fn shares(best: [(u8, f32); 4]) -> Hold {
    let sum: f32 = best.iter().map(|(_, strength)| strength).sum();
    let mut hold = Hold { joints: [0; 4], weights: [0; 4] };
    let mut left = 255_u8;
    for at in (1..4).rev() {
        let share = ((best[at].1 / sum * 255.0).round() as u8).min(left);
        // A joint without a share is written as the first, as the validator asks.
        if share > 0 {
            hold.joints[at] = best[at].0;
            hold.weights[at] = share;
            left -= share;
        }
    }
    hold.joints[0] = best[0].0;
    hold.weights[0] = left;
    hold
}

fn from_line(point: V3, from: V3, to: V3) -> f32 {
    let along = to - from;
    let share = ((point - from).dot(along) / along.dot(along).max(1e-9)).clamp(0.0, 1.0);
    (point - from - along * share).length()
}

/// Where a bone ends: at the next joint of its limb, or a little further on.
fn end(rig: &Rig, name: &str) -> V3 {
    let at = rig.at(name);
    let unit = rig.proportions.unit();
    let out = if at.x < 0.0 { -unit } else { unit };
    let next = match name {
        "hips" => "spine",
        "spine" => "chest",
        "chest" => "upperChest",
        "upperChest" => "neck",
        "neck" => "head",
        "head" => return at + v3(0.0, 0.22 * unit, 0.0),
        _ => {
            let side = if at.x < 0.0 { "right" } else { "left" };
            let rest = name.strip_prefix(side).unwrap_or(name);
            let next = match rest {
                "Shoulder" => "UpperArm",
                "UpperArm" => "LowerArm",
                "LowerArm" => "Hand",
                "Hand" => "MiddleProximal",
                "UpperLeg" => "LowerLeg",
                "LowerLeg" => "Foot",
                "Foot" => "Toes",
                "Toes" => return at + v3(0.0, 0.0, 0.07 * unit),
                "ThumbMetacarpal" => "ThumbProximal",
                "ThumbProximal" => "ThumbDistal",
                "ThumbDistal" => return at + v3(0.014 * out, 0.0, 0.014 * unit),
                rest if rest.ends_with("Distal") => return at + v3(0.022 * out, 0.0, 0.0),
                rest => {
                    let stem = rest.trim_end_matches("Proximal").trim_end_matches("Intermediate");
                    let part = if rest.ends_with("Proximal") { "Intermediate" } else { "Distal" };
                    return rig.at(&format!("{side}{stem}{part}"));
                }
            };
            return rig.at(&format!("{side}{next}"));
        }
    };
    rig.at(next)
}

/// The arrays of a skinned mesh.
#[derive(Default)]
pub(super) struct Skinned {
    pub(super) at: Vec<[f32; 3]>,
    pub(super) normal: Vec<[f32; 3]>,
    pub(super) uv: Vec<[f32; 2]>,
    pub(super) joints: Vec<[u8; 4]>,
    pub(super) weights: Vec<[u8; 4]>,
    pub(super) corners: Vec<u32>,
}

impl Skinned {
    /// Adds a surface, coloured and held by functions of its points (and normals).
    pub(super) fn add(
        &mut self,
        surface: &Surface,
        uv: impl Fn(V3, V3) -> [f32; 2],
        hold: impl Fn(V3) -> Hold,
    ) {
        let first = self.at.len();
        for (at, normal) in surface.at.iter().zip(&surface.normal) {
            self.at.push(at.array());
            self.normal.push(normal.array());
            self.uv.push(uv(*at, *normal));
            let hold = hold(*at);
            self.joints.push(hold.joints);
            self.weights.push(hold.weights);
        }
        let shifted = surface.corners.iter().flatten().map(|corner| {
            u32::try_from(first + corner).expect("a body has far fewer points than 2^32")
        });
        self.corners.extend(shifted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Proportions;

    #[test]
    fn a_point_is_held_by_what_is_near() {
        let rig = Rig::new(Proportions::REFERENCE);
        let holder = Holder::trunk(&rig);
        let elbow = rig.at("leftLowerArm");
        let upper = u8::try_from(rig.find("leftUpperArm")).unwrap();
        let hold = holder.hold(elbow - v3(0.1, 0.04, 0.0));
        assert_eq!(hold.joints[0], upper);
        assert!(hold.weights[0] > 240, "{hold:?}");
        let between = holder.hold(elbow + v3(0.0, 0.04, 0.0));
        assert!(between.weights[0] < 150, "{between:?}");
        assert_eq!(between.weights.iter().map(|share| u32::from(*share)).sum::<u32>(), 255);
    }
}
