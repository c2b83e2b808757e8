//! Frames that things stand in, soft steps and noise, and the arithmetic chance that scatters things.

pub(super) use crate::vector::{V3, v3};

/// Straight up.
pub(super) const UP: V3 = v3(0.0, 1.0, 0.0);

/// Where a thing stands, how it is turned about +Y, and how large it is. A yaw of zero faces +Z.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) at: V3,
    pub(super) yaw: f32,
    pub(super) size: f32,
    sine: f32,
    cosine: f32,
}

impl Frame {
    pub(super) fn new(at: V3, yaw: f32) -> Self {
        Self::sized(at, yaw, 1.0)
    }

    pub(super) fn sized(at: V3, yaw: f32, size: f32) -> Self {
        let (sine, cosine) = yaw.sin_cos();
        Self { at, yaw, size, sine, cosine }
    }

    pub(super) fn direction(self, local: V3) -> V3 {
        v3(
            local.x * self.cosine + local.z * self.sine,
            local.y,
            local.z * self.cosine - local.x * self.sine,
        )
    }

    pub(super) fn point(self, local: V3) -> V3 {
        self.at + self.direction(local) * self.size
    }

    /// A frame that is given in this one.
    pub(super) fn within(self, local: V3, yaw: f32) -> Self {
        Self::sized(self.point(local), self.yaw + yaw, self.size)
    }
}

/// The yaw that looks from one place to another.
pub(super) fn yaw_towards(from: V3, to: V3) -> f32 {
    (to.x - from.x).atan2(to.z - from.z)
}

/// A small count as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts of parts are far below 2^24")]
pub(super) fn real(count: usize) -> f32 {
    count as f32
}

/// The part that `at` is of the way through `count` steps, from 0 to below 1.
pub(super) fn part(at: usize, count: usize) -> f32 {
    real(at) / real(count)
}

/// A whole number of steps that are at most so long.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "lengths are positive and of metres"
)]
pub(super) fn steps(length: f32, longest: f32) -> usize {
    ((length / longest).ceil() as usize).max(1)
}

/// 0 before one edge, 1 behind the other, and soft between them; the edges may fall.
pub(super) fn smooth(from: f32, to: f32, value: f32) -> f32 {
    let share = ((value - from) / (to - from)).clamp(0.0, 1.0);
    share * share * (3.0 - 2.0 * share)
}

pub(super) fn mix(from: f32, to: f32, share: f32) -> f32 {
    from + (to - from) * share
}

/// Chance by arithmetic (`SplitMix64`): the same seed scatters the same way on every machine.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 to below 1.
    pub(super) fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bytes = scramble(self.0).to_le_bytes();
        f32::from(u16::from_le_bytes([bytes[0], bytes[1]])) / 65_536.0
    }

    pub(super) fn between(&mut self, least: f32, most: f32) -> f32 {
        mix(least, most, self.unit())
    }

    /// A turn about +Y.
    pub(super) fn yaw(&mut self) -> f32 {
        self.between(-std::f32::consts::PI, std::f32::consts::PI)
    }

    /// A direction, all of them alike.
    pub(super) fn direction(&mut self) -> V3 {
        let (height, turn) = (self.between(-1.0, 1.0), self.yaw());
        let flat = (1.0 - height * height).sqrt();
        v3(flat * turn.sin(), height, flat * turn.cos())
    }
}

fn scramble(seed: u64) -> u64 {
    let mut mixed = seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[expect(clippy::cast_possible_truncation, reason = "places are of a few hundred metres")]
fn cell(value: f32) -> i32 {
    value.floor() as i32
}

/// Soft noise over the plane, from -1 to 1, with one swell per unit of length.
pub(super) fn noise(x: f32, z: f32) -> f32 {
    let corner = |dx: i32, dz: i32| {
        let mut key = [0; 8];
        key[..4].copy_from_slice(&(cell(x) + dx).to_le_bytes());
        key[4..].copy_from_slice(&(cell(z) + dz).to_le_bytes());
        let bytes = scramble(u64::from_le_bytes(key)).to_le_bytes();
        f32::from(u16::from_le_bytes([bytes[2], bytes[3]])) / 32_768.0 - 1.0
    };
    let along_x = smooth(0.0, 1.0, x - x.floor());
    let along_z = smooth(0.0, 1.0, z - z.floor());
    mix(mix(corner(0, 0), corner(1, 0), along_x), mix(corner(0, 1), corner(1, 1), along_x), along_z)
}

/// Noise with finer swells upon the wide ones.
pub(super) fn rough(x: f32, z: f32) -> f32 {
    noise(x, z) * 0.6 + noise(x * 2.3 + 17.0, z * 2.3 - 5.0) * 0.28 + noise(x * 5.1, z * 5.1) * 0.12
}
