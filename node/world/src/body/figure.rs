//! The body itself: trunk, limbs, hands and head as clay, in the measures of one person.

use super::clay::Clay;
use super::looks::Looks;
use crate::rig::{HEAD_HEIGHT, Rig};
use crate::vector::{V3, mix, v3};

/// A person's measures at hand: what every part of the body is built by.
pub(super) struct Figure<'a> {
    pub(super) looks: &'a Looks,
    pub(super) rig: &'a Rig,
    /// Metres of this body that are a metre of the reference.
    pub(super) unit: f32,
    /// How far what is seen may be from the clay, in metres.
    pub(super) tolerance: f32,
    pub(super) head: Head,
}

/// The head, whose own measures scale apart from the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The middle, between the eyes and inside.
    pub(super) centre: V3,
    pub(super) scale: f32,
}

impl Head {
    /// A point given in metres of the reference from the middle of the head.
    pub(super) fn point(self, x: f32, y: f32, z: f32) -> V3 {
        self.centre + v3(x, y, z) * self.scale
    }
}

impl<'a> Figure<'a> {
    pub(super) fn new(looks: &'a Looks, rig: &'a Rig, tolerance: f32) -> Figure<'a> {
        let unit = rig.proportions.unit();
        let scale = rig.proportions.head * unit;
        // The top of the skull is 14 cm over the middle, the chin the rest below.
        let centre = v3(0.0, rig.proportions.height - (HEAD_HEIGHT - 0.136) * scale, 0.004 * scale);
        Figure { looks, rig, unit, tolerance, head: Head { centre, scale } }
    }

    /// Where a joint is.
    pub(super) fn at(&self, bone: &str) -> V3 {
        self.rig.at(bone)
    }

    /// The height of the thighs' joints.
    pub(super) fn leg_top(&self) -> f32 {
        self.at("leftUpperLeg").y
    }

    /// A share of the way up the trunk: 0 at the joints of the thighs, 1 at the neck.
    pub(super) fn trunk_height(&self, share: f32) -> f32 {
        mix(self.leg_top(), self.at("neck").y, share)
    }

    /// The trunk without neck and limbs, `thicker` by that many metres all around.
    pub(super) fn trunk(&self, thicker: f32) -> Clay {
        let (unit, looks) = (self.unit, self.looks);
        let wide = |x: f32, y: f32, z: f32, build: f32| {
            let build = mix(1.0, looks.build, build);
            v3(x * build * unit + thicker, y * unit + thicker, z * build * unit + thicker)
        };
        let hips = self.rig.proportions.hips;
        let shoulders = self.rig.proportions.shoulders;
        let waist = mix(1.04, 0.9, looks.form);
        let mut clay = Clay::new();
        let pelvis = v3(0.0, self.trunk_height(0.1), -0.006 * unit);
        clay.egg(pelvis, wide(0.138 * hips, 0.11, 0.103, 0.8), 0.03);
        let belly = v3(0.0, self.trunk_height(0.4), 0.002 * unit);
        clay.egg(belly, wide(0.116 * waist, 0.15, 0.088, 1.1), 0.1 * unit);
        let chest = v3(0.0, self.trunk_height(0.72), -0.004 * unit);
        clay.egg(chest, wide(0.134 * shoulders, 0.125, 0.094, 0.7), 0.1 * unit);
        if looks.form > 0.35 {
            let size = smooth_form(looks.form) * 0.05 * unit + thicker;
            clay.both(|clay, sign| {
                let at = v3(0.055 * sign * unit, self.trunk_height(0.64), 0.058 * unit);
                clay.egg(at, v3(size, size, size), 0.05 * unit);
            });
        }
        clay.both(|clay, sign| {
            let tip = self.at(side(sign, "UpperArm"));
            let inner = v3(0.03 * sign * unit, tip.y + 0.012 * unit, tip.z);
            let radii = [0.055 * unit + thicker, 0.047 * unit + thicker];
            clay.cone(inner, tip - v3(0.012 * sign * unit, 0.006 * unit, 0.0), radii, 0.075 * unit);
        });
        clay
    }

    /// One arm, thicker by as much at shoulder, elbow and wrist.
    pub(super) fn arm(&self, sign: f32, thicker: [f32; 3]) -> Clay {
        let unit = self.unit * mix(1.0, self.looks.build, 0.7);
        let points = ["UpperArm", "LowerArm", "Hand"].map(|bone| self.at(side(sign, bone)));
        let radius = |at: usize, base: f32| base * unit + thicker[at];
        let mut clay = Clay::new();
        let bulge = points[1].lerp(points[2], 0.28);
        clay.tube(
            &[
                (points[0], radius(0, 0.047)),
                (points[1], radius(1, 0.037)),
                (bulge, radius(1, 0.038)),
                (points[2], radius(2, 0.0265)),
            ],
            // Wide enough to fill the armpit, which folds where the arm comes down.
            0.04 * unit,
        );
        clay
    }

    /// One leg from hip to ankle.
    pub(super) fn leg(&self, sign: f32, thicker: f32) -> Clay {
        let unit = self.unit * mix(1.0, self.looks.build, 0.75);
        let points = ["UpperLeg", "LowerLeg", "Foot"].map(|bone| self.at(side(sign, bone)));
        let radius = |base: f32| base * unit + thicker;
        let thigh = points[0].lerp(points[1], 0.2);
        let calf = points[1].lerp(points[2], 0.3) - v3(0.0, 0.0, 0.008 * unit);
        let mut clay = Clay::new();
        clay.tube(
            &[
                (points[0] + v3(0.004 * sign, 0.0, 0.0) * unit, radius(0.08)),
                (thigh, radius(0.08)),
                (points[1], radius(0.053)),
                (calf, radius(0.054)),
                (points[2], radius(0.036)),
            ],
            0.03 * unit,
        );
        clay
    }

    /// The left hand with the wrist.
    pub(super) fn hand(&self) -> Clay {
        let unit = self.unit;
        let wrist = self.at("leftHand");
        let mut clay = Clay::new();
        let fore = self.at("leftLowerArm").lerp(wrist, 0.5);
        let arm = mix(1.0, self.looks.build, 0.7) * unit;
        clay.cone(fore, wrist, [0.0325 * arm, 0.0265 * arm], 0.01);
        for finger in ["Index", "Middle", "Ring", "Little"] {
            let at = |part: &str| self.at(&format!("left{finger}{part}"));
            let (knuckle, middle, last) = (at("Proximal"), at("Intermediate"), at("Distal"));
            let small = if finger == "Little" { 0.88 } else { 1.0 };
            let radius = |base: f32| base * small * unit;
            let from = wrist.lerp(knuckle, 0.25);
            clay.cone(from, knuckle, [0.02 * unit, 0.0165 * unit], 0.02 * unit);
            let tip = last + (last - middle).unit() * (0.014 * unit);
            clay.tube(
                &[
                    (knuckle, radius(0.0118)),
                    (middle, radius(0.0112)),
                    (last, radius(0.0105)),
                    (tip, radius(0.0095)),
                ],
                0.006 * unit,
            );
        }
        let at = |part: &str| self.at(&format!("leftThumb{part}"));
        let (root, middle, last) = (at("Metacarpal"), at("Proximal"), at("Distal"));
        let tip = last + (last - middle).unit() * (0.013 * unit);
        let from = wrist.lerp(root, 0.4);
        clay.cone(from, middle, [0.021 * unit, 0.0155 * unit], 0.016 * unit);
        clay.tube(
            &[(middle, 0.0128 * unit), (last, 0.0122 * unit), (tip, 0.0105 * unit)],
            0.008 * unit,
        );
        clay
    }

    /// The skull with cheeks and jaw: what the features of the face are laid on.
    pub(super) fn skull(&self, thicker: f32) -> Clay {
        let head = self.head;
        let features = &self.looks.features;
        let size =
            |x: f32, y: f32, z: f32| v3(x, y, z) * head.scale + v3(thicker, thicker, thicker);
        let mut clay = Clay::new();
        clay.egg(head.point(0.0, 0.028, -0.008), size(0.119, 0.114, 0.122), 0.02);
        let jaw = size(0.083 * features.jaw, 0.068, 0.079);
        clay.egg(head.point(0.0, -0.06, 0.026), jaw, 0.075 * head.scale);
        // A broad, even front gives the eyes a calm ground.
        clay.egg(head.point(0.0, -0.002, 0.034), size(0.102, 0.075, 0.078), 0.05 * head.scale);
        clay.both(|clay, sign| {
            let full = 0.043 * features.cheeks;
            let at = head.point(0.058 * sign, -0.058, 0.046);
            clay.egg(at, size(full, full * 0.92, full), 0.04 * head.scale);
        });
        clay
    }

    /// The head as skin shows it: skull, ears, nose and neck.
    pub(super) fn face(&self) -> Clay {
        let head = self.head;
        let features = &self.looks.features;
        let size = |x: f32, y: f32, z: f32| v3(x, y, z) * head.scale;
        let mut clay = self.skull(0.0);
        let nose = features.nose;
        let tip = head.point(0.0, -0.045, 0.114 + 0.004 * nose);
        clay.egg(tip, size(0.0125 * nose, 0.0105 * nose, 0.0135), 0.016 * head.scale);
        clay.both(|clay, sign| {
            let ear = head.point(0.121 * sign, -0.024, -0.012);
            clay.turned_egg(ear, size(0.017, 0.035, 0.023), -0.25, 0.018 * head.scale);
        });
        let neck = self.at("neck") - v3(0.0, 0.05 * self.unit, 0.004 * self.unit);
        let radius =
            mix(0.05, 0.041, self.looks.form) * mix(1.0, self.looks.build, 0.5) * self.unit;
        let inside = head.point(0.0, -0.06, -0.012);
        clay.cone(neck, inside, [radius * 1.08, radius * 0.96], 0.03 * head.scale);
        clay
    }
}

fn smooth_form(form: f32) -> f32 {
    crate::vector::smooth(0.25, 0.8, form).max(0.5)
}

/// The name of a bone of the left side (+X) or the right.
pub(super) fn side(sign: f32, bone: &'static str) -> &'static str {
    let left = sign > 0.0;
    match bone {
        "UpperArm" => ["rightUpperArm", "leftUpperArm"][usize::from(left)],
        "LowerArm" => ["rightLowerArm", "leftLowerArm"][usize::from(left)],
        "Hand" => ["rightHand", "leftHand"][usize::from(left)],
        "UpperLeg" => ["rightUpperLeg", "leftUpperLeg"][usize::from(left)],
        "LowerLeg" => ["rightLowerLeg", "leftLowerLeg"][usize::from(left)],
        "Foot" => ["rightFoot", "leftFoot"][usize::from(left)],
        "Toes" => ["rightToes", "leftToes"][usize::from(left)],
        other => panic!("{other} is no bone of a limb"),
    }
}
