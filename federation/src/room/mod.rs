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

use ruma::{OwnedEventId, OwnedRoomId};

pub use self::{
    admit::{Missing, Outcome, Placed, admit},
    begin::{BeginError, Begun, begin},
    shelf::{CITING, Known, Lookup, Need, Shelf},
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
