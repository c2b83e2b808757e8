//! Hair, sculpted from clay, with the strands that swing.

use super::clay::{Clay, cut};
use super::dice::Dice;
use super::figure::Figure;
use super::looks::{HairStyle, Headwear};
use crate::vector::{V3, mix, real, v3};

/// Joints that swing: from where they hang to their end, in a row.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    pub(super) points: Vec<V3>,
    pub(super) radius: f32,
}

/// Hair before it is meshed.
pub(super) struct Hair {
    clay: Clay,
    /// The cap of hair on the skull, kept off face and neck.
    cap: Clay,
    window: Clay,
    locks: Clay,
    /// The line below which the cap ends: height in the middle and its rise to the front.
    nape: [f32; 2],
    /// The line of the same form above which a hat hides it.
    rim: Option<[f32; 2]>,
    head: super::figure::Head,
    pub(super) chains: Vec<Chain>,
}

impl Hair {
    pub(super) fn of(figure: &Figure) -> Hair {
        let mut hair = Hair {
            clay: Clay::new(),
            cap: figure.skull(thickness(figure) * figure.head.scale),
            window: Clay::new(),
            locks: Clay::new(),
            nape: [-0.02, 0.5],
            rim: super::headwear::rim(figure.looks.headwear),
            head: figure.head,
            chains: Vec::new(),
        };
        let head = figure.head;
        let tall = if figure.looks.hair == HairStyle::Cropped { 0.112 } else { 0.118 };
        let size = v3(0.098, tall, 0.115) * head.scale;
        hair.window.egg(head.point(0.0, -0.048, 0.128), size, 0.01);
        let covered = figure.looks.headwear != Headwear::Nothing
            && figure.looks.headwear != Headwear::Headphones;
        hair.style(figure, covered);
        hair
    }

    /// The distance to the hair.
    pub(super) fn at(&self, point: V3) -> f32 {
        let scale = self.head.scale;
        let local = point - self.head.centre;
        let line = (self.nape[0] + self.nape[1] * local.z / scale) * scale;
        let cap = cut(self.cap.at(point), -self.window.at(point), 0.014 * scale);
        let cap = cut(cap, (line - local.y) * 0.9, 0.014 * scale);
        let cap = super::clay::melt(cap, self.clay.at(point), 0.022 * scale);
        let hair = super::clay::melt(cap, self.locks.at(point), 0.016 * scale);
        match self.rim {
            // Under a hat it ends, so that no lock sticks out of it.
            Some([high, rise]) => {
                let over = local.y - (high + 0.008 + rise * local.z / scale) * scale;
                cut(hair, over * 0.9, 0.008 * scale)
            }
            None => hair,
        }
    }

    fn style(&mut self, figure: &Figure, covered: bool) {
        let part = figure.looks.part;
        let mut dice = Dice::new(figure.looks.seed, 6);
        match figure.looks.hair {
            HairStyle::Cropped => {}
            HairStyle::Short => self.fringe(part, 0.066, 0.05, covered),
            HairStyle::SidePart => self.sweep(part, covered),
            HairStyle::Spiky => self.spikes(&mut dice),
            HairStyle::Bob => {
                self.fringe(part * 0.3, 0.056, 0.02, covered);
                self.curtain(-0.125, 0.034);
            }
            HairStyle::Long => {
                if figure.looks.part > 0.0 {
                    self.fringe(0.2, 0.057, 0.02, covered);
                } else {
                    self.sweep(part, covered);
                }
                self.curtain(-0.1, 0.031);
                self.mane();
            }
            HairStyle::Ponytail => {
                self.fringe(part, 0.045, 0.05, covered);
                let tail = [
                    (0.0, 0.075, -0.125, 0.036),
                    (0.0, 0.055, -0.182, 0.046),
                    (0.0, -0.03, -0.2, 0.047),
                    (0.0, -0.115, -0.19, 0.036),
                    (0.0, -0.19, -0.168, 0.017),
                ];
                self.tail("ponytail", &tail);
            }
            HairStyle::TwinTails => {
                self.fringe(part * 0.2, 0.055, 0.02, covered);
                for (name, sign) in [("leftTail", 1.0), ("rightTail", -1.0)] {
                    let tail = [
                        (0.106 * sign, 0.075, -0.055, 0.03),
                        (0.152 * sign, 0.06, -0.065, 0.037),
                        (0.178 * sign, -0.02, -0.062, 0.039),
                        (0.18 * sign, -0.1, -0.05, 0.032),
                        (0.168 * sign, -0.175, -0.035, 0.017),
                    ];
                    self.tail(name, &tail);
                }
            }
            HairStyle::Bun => {
                self.fringe(part, 0.045, 0.05, covered);
                self.bun(figure);
            }
            HairStyle::Curly => self.curls(&mut dice),
        }
    }

    fn lock(&mut self, points: &[(f32, f32, f32, f32)]) {
        let head = self.head;
        let points: Vec<(V3, f32)> = points
            .iter()
            .map(|(x, y, z, radius)| (head.point(*x, *y, *z), radius * head.scale))
            .collect();
        self.locks.tube(&points, 0.009 * head.scale);
    }

    /// Locks over the forehead, down to a height, swept to one side by so much.
    fn fringe(&mut self, part: f32, low: f32, sweep: f32, covered: bool) {
        let forward = |x: f32| 0.117 - x * x * 4.2;
        let top = if covered { 0.085 } else { 0.112 };
        for number in 0..6 {
            let across = real(number) / 2.5 - 1.0;
            let x = across * 0.078;
            let from = x * 0.7 + part * 0.02;
            // Outer locks hang lower and frame the face.
            let end = low - across.abs().powi(2) * 0.036 + 0.017;
            let to = x - part * sweep * 0.42 + across * 0.01;
            let middle = mix(from, to, 0.6);
            self.lock(&[
                (from, top, forward(from) - 0.05, 0.021),
                (middle, 0.092, forward(middle) - 0.006, 0.0215),
                (mix(middle, to, 0.6), mix(0.092, end, 0.6), forward(to) + 0.003, 0.017),
                (to, end, forward(to) + 0.003, 0.0105),
            ]);
        }
        for sign in [1.0, -1.0] {
            // One before each ear.
            self.lock(&[
                (0.104 * sign, 0.07, 0.05, 0.02),
                (0.115 * sign, 0.02, 0.048, 0.0165),
                (0.112 * sign, -0.042, 0.05, 0.0095),
            ]);
        }
    }

    /// A broad wave from the parting over to the other side.
    fn sweep(&mut self, part: f32, covered: bool) {
        let lift = if covered { -0.02 } else { 0.0 };
        for (number, low) in [0.0_f32, 0.012, 0.026].into_iter().enumerate() {
            let back = real(number) * 0.022;
            self.lock(&[
                (0.052 * part, 0.124 + lift - low * 0.4, 0.062 - back, 0.02),
                (-0.004 * part, 0.118 + lift - low * 0.6, 0.098 - back * 0.8, 0.03),
                (-0.064 * part, 0.085 - low, 0.094 - back * 0.5, 0.026),
                (-0.108 * part, 0.03 - low, 0.05 - back * 0.3, 0.0135),
            ]);
        }
        self.lock(&[
            (0.056 * part, 0.118 + lift, 0.055, 0.021),
            (0.094 * part, 0.076, 0.062, 0.02),
            (0.112 * part, 0.012, 0.04, 0.0125),
        ]);
    }

    /// Locks that stand up and back.
    fn spikes(&mut self, dice: &mut Dice) {
        let rows = [(0.098, 4, 0.066, 0.9), (0.035, 5, 0.062, 0.35), (-0.05, 5, 0.055, -0.5)];
        for (z, count, length, lean) in rows {
            for number in 0..count {
                let across = (real(number) + 0.5) / real(count) * 2.0 - 1.0;
                let angle = across * 1.25;
                let (sin, cos) = angle.sin_cos();
                let root = (sin * 0.098, 0.028 + cos * 0.09, z * 0.85);
                let long = length * dice.between(0.8, 1.2);
                let tip = (
                    root.0 + sin * long * 0.8 + dice.between(-0.015, 0.015),
                    root.1 + cos * long + dice.between(-0.01, 0.01),
                    root.2 + lean * long * 0.7,
                );
                self.lock(&[
                    (root.0, root.1, root.2, 0.036),
                    (
                        mix(root.0, tip.0, 0.5),
                        mix(root.1, tip.1, 0.55),
                        mix(root.2, tip.2, 0.4),
                        0.025,
                    ),
                    (tip.0, tip.1, tip.2, 0.011),
                ]);
            }
        }
    }

    /// Hair that falls around the sides and the back down to a height.
    fn curtain(&mut self, low: f32, thick: f32) {
        let head = self.head;
        self.nape = [-0.075, 0.12];
        for number in 0..9 {
            let angle = mix(-2.25, 2.25, real(number) / 8.0);
            let (sin, cos) = angle.sin_cos();
            let at = |y: f32, out: f32, radius: f32| {
                (head.point(sin * out, y, -cos * out - 0.006), radius * head.scale)
            };
            // Locks at the front are a little shorter and turn in.
            let end = low + if number == 0 || number == 8 { 0.012 } else { 0.0 };
            let points = [
                at(0.06, 0.098, thick * 0.9),
                at(-0.03, 0.112, thick),
                at(end + 0.03, 0.109, thick * 0.95),
                at(end, 0.098, thick * 0.5),
            ];
            self.clay.tube(&points, 0.02 * head.scale);
        }
    }

    /// Long hair down the back in three strands that swing.
    fn mane(&mut self) {
        let strands = [("leftStrand", 0.062), ("midStrand", 0.0), ("rightStrand", -0.062)];
        for (name, x) in strands {
            let x: f32 = x;
            let inwards = x.abs() * 0.35;
            let strand = [
                (x * 1.1, -0.04, -0.1 + inwards, 0.043),
                (x * 1.25, -0.13, -0.112 + inwards, 0.045),
                (x * 1.25, -0.22, -0.115 + inwards, 0.042),
                (x * 1.1, -0.31, -0.112 + inwards, 0.018),
            ];
            self.tail(name, &strand);
        }
    }

    /// A strand that swings.
    fn tail(&mut self, name: &'static str, points: &[(f32, f32, f32, f32)]) {
        let head = self.head;
        let tube: Vec<(V3, f32)> = points
            .iter()
            .map(|(x, y, z, radius)| (head.point(*x, *y, *z), radius * head.scale))
            .collect();
        self.clay.tube(&tube, 0.025 * head.scale);
        let radius = tube[1].1 * 0.8;
        self.chains.push(Chain { name, points: tube.iter().map(|(at, _)| *at).collect(), radius });
    }

    fn bun(&mut self, figure: &Figure) {
        let head = self.head;
        let round = |size: f32| v3(size, size * 0.92, size) * head.scale;
        if figure.looks.form > 0.6 && figure.looks.part > 0.0 {
            self.clay.both(|clay, sign| {
                clay.egg(head.point(0.078 * sign, 0.142, -0.03), round(0.047), 0.012 * head.scale);
            });
        } else {
            self.clay.egg(head.point(0.0, 0.142, -0.085), round(0.056), 0.012 * head.scale);
        }
    }

    /// Curls all over the skull, in a spiral that leaves the face free.
    fn curls(&mut self, dice: &mut Dice) {
        let head = self.head;
        let size = dice.between(0.036, 0.05);
        for number in 0..46 {
            let up = 1.0 - (real(number) + 0.5) / 46.0 * 1.5;
            let around = real(number) * 2.399_963;
            let flat = (1.0 - up * up).max(0.0).sqrt();
            let (sin, cos) = around.sin_cos();
            let out = v3(sin * flat, up, cos * flat);
            let front = out.z > 0.45 && out.y < 0.56;
            if front || (out.z > 0.1 && out.y < -0.05) {
                continue;
            }
            let radius = size * dice.between(0.8, 1.12);
            let at = head.point(out.x * 0.116, 0.03 + out.y * 0.112, -0.008 + out.z * 0.116);
            self.clay.egg(at, v3(radius, radius, radius) * head.scale, 0.006);
        }
    }
}

fn thickness(figure: &Figure) -> f32 {
    match figure.looks.hair {
        HairStyle::Cropped => 0.0065,
        HairStyle::Ponytail | HairStyle::TwinTails | HairStyle::Bun => 0.0125,
        _ => 0.0175,
    }
}
