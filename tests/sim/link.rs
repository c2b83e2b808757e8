//! Links that lose, delay, reorder and repeat, and that fall apart for a while.

use std::collections::BTreeSet;

use wayside_tests::Seeded;

pub(crate) struct Links {
    /// Of a hundred messages.
    loss: u64,
    /// Of a hundred messages.
    twice: u64,
    /// Of a hundred messages, those that take seconds.
    slow: u64,
    /// Nodes that hear nothing of the others, nor these of them.
    pub(crate) apart: BTreeSet<usize>,
}

impl Links {
    pub(crate) fn drawn(dice: &mut Seeded) -> Self {
        let loss = [0, 5, 15, 30][usize::try_from(dice.between(0, 3)).unwrap()];
        let (twice, slow) = (dice.between(0, 20), dice.between(0, 15));
        Self { loss, twice, slow, apart: BTreeSet::new() }
    }

    /// From now on nothing is lost.
    pub(crate) fn heal(&mut self) {
        *self = Self { loss: 0, twice: 0, slow: 0, apart: BTreeSet::new() };
    }

    /// After how many milliseconds each copy of a message arrives.
    pub(crate) fn carry(&self, from: usize, to: usize, dice: &mut Seeded) -> Vec<u64> {
        if self.apart.contains(&from) != self.apart.contains(&to) {
            return Vec::new();
        }
        let copies = if dice.between(1, 100) <= self.twice { 2 } else { 1 };
        let mut arrivals = Vec::new();
        for _ in 0..copies {
            if dice.between(1, 100) <= self.loss {
                continue;
            }
            let is_slow = dice.between(1, 100) <= self.slow;
            arrivals.push(if is_slow { dice.between(500, 6_000) } else { dice.between(5, 200) });
        }
        arrivals
    }
}
