//! Choices that follow from a seed: the same ones on every machine.

use crate::vector::{mix, real, whole};

/// A stream of choices (the `SplitMix64` generator).
pub(super) struct Dice {
    state: u64,
}

impl Dice {
    /// The stream of one theme, so that a change in how hair is chosen leaves clothes as they were.
    pub(super) fn new(seed: u64, theme: u64) -> Dice {
        let mut dice = Dice { state: seed ^ theme.wrapping_mul(0xa076_1d64_78bd_642f) };
        // Near seeds part ways only after a step.
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between 0 and 1, without 1.
    pub(super) fn share(&mut self) -> f32 {
        let bits = u16::try_from(self.next() >> 48).expect("16 bits are left");
        f32::from(bits) / 65536.0
    }

    /// Evenly between two numbers.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        mix(low, high, self.share())
    }

    /// Between two numbers, more often in the middle.
    pub(super) fn around(&mut self, low: f32, high: f32) -> f32 {
        mix(low, high, (self.share() + self.share()) * 0.5)
    }

    /// True that often.
    pub(super) fn chance(&mut self, of_one: f32) -> bool {
        self.share() < of_one
    }

    /// One of the given, which are not none.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[whole(self.share() * real(from.len())).min(from.len() - 1)]
    }
}
