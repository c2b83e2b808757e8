//! Who is told nothing of whom.

use std::collections::{BTreeMap, BTreeSet};

use super::Slot;

/// Pairs of slots that are parted. Each of a pair stands under the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Partings(BTreeMap<Slot, BTreeSet<Slot>>);

impl Partings {
    /// Whether nobody is parted.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From whom somebody is parted, if from anybody.
    pub(super) fn of(&self, slot: Slot) -> Option<&BTreeSet<Slot>> {
        self.0.get(&slot)
    }

    /// Whether two are parted.
    pub(super) fn are(&self, a: Slot, b: Slot) -> bool {
        self.of(a).is_some_and(|others| others.contains(&b))
    }

    pub(super) fn part(&mut self, a: Slot, b: Slot) {
        for (slot, other) in [(a, b), (b, a)] {
            self.0.entry(slot).or_default().insert(other);
        }
    }

    pub(super) fn meet(&mut self, a: Slot, b: Slot) {
        for (slot, other) in [(a, b), (b, a)] {
            let Some(others) = self.0.get_mut(&slot) else { continue };
            others.remove(&other);
            if others.is_empty() {
                self.0.remove(&slot);
            }
        }
    }

    /// Lets go of a slot that somebody else may have next.
    pub(super) fn forget(&mut self, slot: Slot) {
        for other in self.0.get(&slot).cloned().unwrap_or_default() {
            self.meet(slot, other);
        }
    }
}
