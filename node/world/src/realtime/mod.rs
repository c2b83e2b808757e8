//! The frames of the real-time protocol (specs/realtime.md), read and written.
//!
//! Decoders take bytes of strangers: whatever comes, they answer with a value or a [`Broken`], and
//! ask for no more memory than the frame has bytes.

mod frame;
mod pose;
mod reader;

pub use self::{
    frame::{
        Bye, FromClient, FromNode, NO_SEAT, Reason, Refused, Visitor, end_snapshot, is_snapshot,
        snapshot, snapshot_without,
    },
    pose::{HEAD, LEFT_HAND, Motion, Part, Pose, RIGHT_HAND, Tracked, UNITS_PER_METRE},
    reader::Broken,
};

/// The version of the protocol that is spoken here.
pub const VERSION: u8 = 1;
/// Ticks of an instance in a second.
pub const TICK_HZ: u8 = 30;
/// Most bytes of an unreliable frame: what every path carries in one datagram.
pub const DATAGRAM_BYTES: usize = 1_200;
/// Bytes of the salt and of each hash of BLOCKS.
pub const BLOCK_BYTES: usize = 16;
/// Most bytes of a frame from a client: BLOCKS with as many hashes as it may hold.
pub const CLIENT_FRAME_BYTES: usize = 3 + BLOCK_BYTES * (1 + wayside_specs::limits::BLOCKS);

#[cfg(test)]
mod tests;
