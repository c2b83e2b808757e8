//! What an event does to its room: where it stands, which state it leads to, which heads it leaves.
//!
//! [`admit`] takes an event that was received and verified, and says what becomes of it and of the
//! room. It asks for nothing: it looks at what lies on a [`Shelf`], and names in a [`Need`] what it
//! misses there. The caller loads that and calls again, from a store or from a test's memory, so
//! that both come to the same decision in the same words. [`begin`] does the same for the answer by
//! which a server lets somebody into a room that this node has not seen.

mod admit;
mod begin;
mod forks;
mod shelf;
#[cfg(test)]
mod tests;

use std::{cmp::Reverse, collections::HashSet};

use ruma::{OwnedEventId, OwnedRoomId};
use wayside_specs::limits;

pub use self::{
    admit::{Arrival, Missing, Outcome, Placed, admit},
    begin::{BeginError, Begun, begin, stand},
    shelf::{CITING, Joined, Known, Lookup, Need, Shelf},
};
use crate::{state::NodeId, version::RoomVersion};

/// What the checks on receipt made of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It stands, and is shown.
    Accepted,
    /// It stands in the graph but is neither shown nor a head (server-server API, soft failure).
    SoftFailed,
    /// It does not stand.
    Rejected,
}

/// A forward extremity: an event that no other names yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The event.
    pub id: OwnedEventId,
    /// Its depth.
    pub depth: u64,
    /// The state after it.
    pub after: NodeId,
}

/// The heads that the next event names, with their depths, at most 20: of each state that they lead
/// to the deepest head first, then the deepest of the others; the order given is kept.
///
/// The event then stands in the very state in which it was allowed, as long as the heads lead to no
/// more than 20 different states: by depth alone, somebody could open so many heads, and claim such
/// depths, that honest people would stand before nothing else and might never speak again.
#[must_use]
pub fn prev_events(heads: &[Head]) -> Vec<(OwnedEventId, u64)> {
    let mut by_depth: Vec<usize> = (0..heads.len()).collect();
    by_depth.sort_by_key(|&at| Reverse(heads[at].depth));
    let mut states = HashSet::new();
    let (firsts, others): (Vec<usize>, Vec<usize>) =
        by_depth.into_iter().partition(|&at| states.insert(heads[at].after));
    let mut chosen = [firsts, others].concat();
    chosen.truncate(limits::PREV_EVENTS);
    chosen.sort_unstable();
    chosen.into_iter().map(|at| (heads[at].id.clone(), heads[at].depth)).collect()
}

/// A room as one server sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The room.
    pub id: OwnedRoomId,
    /// Which rules it follows.
    pub version: RoomVersion,
    /// Where its graph ends.
    pub heads: Vec<Head>,
    /// The state to which all heads together lead.
    pub state: NodeId,
}

/// Why there is no decision yet, or none at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// Load these and call again.
    #[error("admitting an event: some of what it needs is not loaded")]
    Need(Need),
    /// What is stored does not allow it.
    #[error("admitting an event: {0}")]
    Failed(String),
}
