//! The humanoid skeleton in its T-pose: what bodies are hung on and motions are made for.

use crate::vector::{V3, v3};

/// What makes one skeleton differ from the next; 1 is the reference for all but the height.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proportions {
    /// From the ground to the top of the skull, in metres.
    pub(crate) height: f32,
    pub(crate) head: f32,
    pub(crate) legs: f32,
    pub(crate) arms: f32,
    pub(crate) shoulders: f32,
    pub(crate) hips: f32,
}

impl Proportions {
    pub(crate) const REFERENCE: Proportions =
        Proportions { height: 1.6, head: 1.0, legs: 1.0, arms: 1.0, shoulders: 1.0, hips: 1.0 };

    /// How many metres of this body are a metre of the reference.
    pub(crate) fn unit(&self) -> f32 {
        self.height / Self::REFERENCE.height
    }
}

/// From the chin to the top of the skull, in metres of the reference.
pub(crate) const HEAD_HEIGHT: f32 = 0.278;

/// A joint with its place in the T-pose; every one of them points as the world does.
#[derive(Clone, Debug)]
pub(crate) struct Bone {
    /// The name of the humanoid bone in VRM 1.0, or our own for what is none.
    pub(crate) name: String,
    pub(crate) parent: Option<usize>,
    pub(crate) at: V3,
    /// Whether VRM knows it as a humanoid bone.
    pub(crate) humanoid: bool,
}

/// The joints, each after its parent.
#[derive(Clone, Debug)]
pub(crate) struct Rig {
    pub(crate) bones: Vec<Bone>,
    pub(crate) proportions: Proportions,
}

impl Rig {
    pub(crate) fn new(proportions: Proportions) -> Rig {
        let mut rig = Rig { bones: Vec::with_capacity(80), proportions };
        rig.spine();
        for (side, sign) in [("left", 1.0), ("right", -1.0)] {
            rig.leg(side, sign);
            rig.arm(side, sign);
        }
        rig
    }

    /// The place in the order of bones.
    ///
    /// # Panics
    /// When no bone has that name, which is a slip in this crate.
    pub(crate) fn find(&self, name: &str) -> usize {
        self.bones
            .iter()
            .position(|bone| bone.name == name)
            .unwrap_or_else(|| panic!("the rig has no bone {name}"))
    }

    /// Where the joint of that name is.
    pub(crate) fn at(&self, name: &str) -> V3 {
        self.bones[self.find(name)].at
    }

    /// Adds a joint that VRM does not know as humanoid: of hair or cloth.
    pub(crate) fn hang(&mut self, name: String, parent: usize, at: V3) -> usize {
        self.bones.push(Bone { name, parent: Some(parent), at, humanoid: false });
        self.bones.len() - 1
    }

    fn add(&mut self, name: &str, parent: Option<usize>, at: V3) -> usize {
        self.bones.push(Bone { name: name.to_owned(), parent, at, humanoid: true });
        self.bones.len() - 1
    }

    fn spine(&mut self) {
        let unit = self.proportions.unit();
        let chin = self.proportions.height - HEAD_HEIGHT * self.proportions.head * unit;
        let hips = self.leg_top() + 0.05 * unit;
        let neck = chin - 0.03 * unit;
        let mut parent = self.add("hips", None, v3(0.0, hips, 0.0));
        let shares = [("spine", 0.2), ("chest", 0.45), ("upperChest", 0.7), ("neck", 1.0)];
        for (name, share) in shares {
            // The back is a little behind the neck, which leans to the front.
            let behind = if name == "neck" { -0.012 } else { -0.006 };
            let at = v3(0.0, hips + (neck - hips) * share, behind * unit);
            parent = self.add(name, Some(parent), at);
        }
        let head = self.add("head", Some(parent), v3(0.0, chin + 0.022 * unit, 0.0));
        let scale = self.proportions.head * unit;
        for (name, sign) in [("leftEye", 1.0), ("rightEye", -1.0)] {
            // Deep behind the surface, so that the iris slides along it.
            let at = v3(0.047 * sign * scale, chin + 0.118 * scale, 0.052 * scale);
            self.add(name, Some(head), at);
        }
    }

    /// How high the joints of the thighs are.
    fn leg_top(&self) -> f32 {
        0.487 * self.proportions.legs * self.proportions.height
    }

    fn leg(&mut self, side: &str, sign: f32) {
        let unit = self.proportions.unit();
        let top = self.leg_top();
        let ankle = 0.078 * unit;
        let knee = ankle + (top - ankle) * 0.49;
        let out = 0.08 * self.proportions.hips * unit * sign;
        let hips = self.find("hips");
        // The knee stands a little in front of the line from hip to ankle: that is how it bends.
        let upper = self.add(&format!("{side}UpperLeg"), Some(hips), v3(out, top, 0.0));
        let lower = self.add(&format!("{side}LowerLeg"), Some(upper), v3(out, knee, 0.006 * unit));
        let foot = self.add(&format!("{side}Foot"), Some(lower), v3(out, ankle, -0.012 * unit));
        self.add(&format!("{side}Toes"), Some(foot), v3(out, 0.022 * unit, 0.088 * unit));
    }

    fn arm(&mut self, side: &str, sign: f32) {
        let unit = self.proportions.unit();
        let reach = unit * self.proportions.arms;
        let chest = self.find("upperChest");
        let height = self.at("neck").y - 0.052 * unit;
        let out = 0.142 * self.proportions.shoulders * unit;
        let point = |x: f32, y: f32, z: f32| v3(x * sign, height + y, z);
        let name = |bone: &str| format!("{side}{bone}");
        let shoulder = self.add(&name("Shoulder"), Some(chest), point(0.035 * unit, 0.008, -0.01));
        let upper = self.add(&name("UpperArm"), Some(shoulder), point(out, 0.0, -0.01));
        let elbow = out + 0.222 * reach;
        let lower = self.add(&name("LowerArm"), Some(upper), point(elbow, 0.0, -0.012));
        let wrist = elbow + 0.202 * reach;
        let hand = self.add(&name("Hand"), Some(lower), point(wrist, 0.0, -0.01));
        // Fingers from the front to the back of the T-pose, palms down.
        let fingers = [
            ("Index", 0.027, 0.078, 1.0),
            ("Middle", 0.0085, 0.082, 1.08),
            ("Ring", -0.0095, 0.079, 1.0),
            ("Little", -0.027, 0.071, 0.84),
        ];
        for (finger, across, from, length) in fingers {
            let mut parent = hand;
            let mut x = wrist + from * unit;
            // They spread a little.
            let mut z = -0.01 + across * unit;
            let steps = [("Proximal", 0.0), ("Intermediate", 0.031), ("Distal", 0.023)];
            for (part, step) in steps {
                x += step * length * unit;
                z += across * step * 3.0 * length;
                parent =
                    self.add(&name(&format!("{finger}{part}")), Some(parent), point(x, 0.0, z));
            }
        }
        let thumb = [
            ("ThumbMetacarpal", 0.022, -0.004, 0.02),
            ("ThumbProximal", 0.045, -0.008, 0.043),
            ("ThumbDistal", 0.063, -0.009, 0.06),
        ];
        let mut parent = hand;
        for (part, x, y, z) in thumb {
            let at = point(wrist + x * unit, y * unit, -0.01 + z * unit);
            parent = self.add(&name(part), Some(parent), at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rig_is_ordered_and_has_two_equal_sides() {
        let rig = Rig::new(Proportions::REFERENCE);
        for (at, bone) in rig.bones.iter().enumerate() {
            assert!(bone.parent.is_none_or(|parent| parent < at), "{}", bone.name);
            if let Some(rest) = bone.name.strip_prefix("left") {
                assert_eq!(rig.at(&format!("right{rest}")), bone.at.mirrored());
            }
        }
        assert!((rig.at("hips").y - 0.829).abs() < 0.01);
    }
}
