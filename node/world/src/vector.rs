//! Points, directions and turns in metres, right-handed, with +Y up.

use std::ops::{Add, Mul, Neg, Sub};

/// A point or a direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct V3 {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) z: f32,
}

/// Short for a point, as there are many of them in a body.
pub(crate) const fn v3(x: f32, y: f32, z: f32) -> V3 {
    V3 { x, y, z }
}

impl V3 {
    pub(crate) fn dot(self, other: V3) -> f32 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub(crate) fn cross(self, other: V3) -> V3 {
        v3(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    pub(crate) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The same direction with length one; upwards where there is no direction.
    pub(crate) fn unit(self) -> V3 {
        let length = self.length();
        if length > 1e-9 { self * (1.0 / length) } else { v3(0.0, 1.0, 0.0) }
    }

    pub(crate) fn lerp(self, other: V3, share: f32) -> V3 {
        self + (other - self) * share
    }

    /// Each number times its counterpart.
    pub(crate) fn times(self, other: V3) -> V3 {
        v3(self.x * other.x, self.y * other.y, self.z * other.z)
    }

    /// The other side of the body.
    pub(crate) fn mirrored(self) -> V3 {
        v3(-self.x, self.y, self.z)
    }

    pub(crate) fn array(self) -> [f32; 3] {
        [self.x, self.y, self.z]
    }
}

impl Add for V3 {
    type Output = V3;
    fn add(self, other: V3) -> V3 {
        v3(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl Sub for V3 {
    type Output = V3;
    fn sub(self, other: V3) -> V3 {
        v3(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Mul<f32> for V3 {
    type Output = V3;
    fn mul(self, factor: f32) -> V3 {
        v3(self.x * factor, self.y * factor, self.z * factor)
    }
}

impl Neg for V3 {
    type Output = V3;
    fn neg(self) -> V3 {
        v3(-self.x, -self.y, -self.z)
    }
}

/// A turn, as a unit quaternion in the order of glTF.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Turn {
    pub(crate) axis: V3,
    pub(crate) w: f32,
}

impl Turn {
    pub(crate) const NONE: Turn = Turn { axis: v3(0.0, 0.0, 0.0), w: 1.0 };

    /// About an axis of length one, by an angle in radians.
    pub(crate) fn about(axis: V3, angle: f32) -> Turn {
        let (sin, cos) = (angle * 0.5).sin_cos();
        Turn { axis: axis * sin, w: cos }
    }

    /// About +X: a positive angle nods what points upwards to the front.
    pub(crate) fn x(angle: f32) -> Turn {
        Turn::about(v3(1.0, 0.0, 0.0), angle)
    }

    /// About +Y: a positive angle turns what looks along +Z to the left of the body, +X.
    pub(crate) fn y(angle: f32) -> Turn {
        Turn::about(v3(0.0, 1.0, 0.0), angle)
    }

    /// About +Z: a positive angle raises what points along +X.
    pub(crate) fn z(angle: f32) -> Turn {
        Turn::about(v3(0.0, 0.0, 1.0), angle)
    }

    /// The turn back.
    pub(crate) fn back(self) -> Turn {
        Turn { axis: -self.axis, w: self.w }
    }

    pub(crate) fn apply(self, to: V3) -> V3 {
        let twice = self.axis.cross(to) * 2.0;
        to + twice * self.w + self.axis.cross(twice)
    }

    /// The numbers x, y, z, w.
    pub(crate) fn array(self) -> [f32; 4] {
        [self.axis.x, self.axis.y, self.axis.z, self.w]
    }

    /// The same turn with numbers that make length one again.
    pub(crate) fn normal(self) -> Turn {
        let length = (self.axis.dot(self.axis) + self.w * self.w).sqrt();
        Turn { axis: self.axis * (1.0 / length), w: self.w / length }
    }
}

/// `a * b` turns by `b` first.
impl Mul for Turn {
    type Output = Turn;
    fn mul(self, other: Turn) -> Turn {
        Turn {
            axis: other.axis * self.w + self.axis * other.w + self.axis.cross(other.axis),
            w: self.w * other.w - self.axis.dot(other.axis),
        }
    }
}

/// From `a` to `b`, by a share between 0 and 1.
pub(crate) fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

/// 0 below `from`, 1 above `to`, and a soft step between.
pub(crate) fn smooth(from: f32, to: f32, at: f32) -> f32 {
    let share = ((at - from) / (to - from)).clamp(0.0, 1.0);
    share * share * (3.0 - 2.0 * share)
}

/// A count as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^24")]
pub(crate) fn real(count: usize) -> f32 {
    count as f32
}

/// A number as a count, rounded down; 0 for what is negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast keeps to the range of its target"
)]
pub(crate) fn whole(number: f32) -> usize {
    number as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_compose_from_right_to_left() {
        let quarter = std::f32::consts::FRAC_PI_2;
        let at = (Turn::y(quarter) * Turn::z(quarter)).apply(v3(1.0, 0.0, 0.0));
        assert!((at - v3(0.0, 1.0, 0.0)).length() < 1e-6);
        let forward = Turn::y(quarter).apply(v3(0.0, 0.0, 1.0));
        assert!((forward - v3(1.0, 0.0, 0.0)).length() < 1e-6);
        let back = Turn::x(0.7).back().apply(Turn::x(0.7).apply(v3(1.0, 2.0, 3.0)));
        assert!((back - v3(1.0, 2.0, 3.0)).length() < 1e-6);
    }
}
