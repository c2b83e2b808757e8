//! Word of committed changes, for long polls, instances and caches.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId};
use tokio::sync::broadcast;

/// Groups of changes that a slow listener may fall behind before it must look at the store instead.
const BACKLOG: usize = 4_096;

/// Something that was committed.
#[derive(Clone, Debug)]
pub enum Change {
    /// An event joined a room's timeline.
    Event {
        /// The room's number.
        room_no: i64,
        /// The room.
        room_id: OwnedRoomId,
        /// Where in the stream.
        position: i64,
        /// Those whose membership it changes, by itself or by what its branch brings.
        members: Vec<OwnedUserId>,
        /// Whether it may change who encrypts for whom: somebody came or went, or encryption began.
        encrypts: bool,
    },
    /// Events of a room are gone, because nobody keeps them any longer. No client is told of it.
    Forgotten {
        /// The room's number.
        room_no: i64,
        /// Where in the stream.
        position: i64,
    },
    /// A receipt moved in a room.
    Receipt {
        /// The room's number.
        room_no: i64,
        /// Whose.
        user_id: OwnedUserId,
        /// Whether only they hear of it.
        private: bool,
        /// Where in the stream.
        position: i64,
    },
    /// Something that only one person sees changed: account data, a filter.
    Person {
        /// Whose.
        user_id: OwnedUserId,
        /// Where in the stream.
        position: i64,
    },
    /// Keys that somebody publishes changed.
    Keys {
        /// Whose.
        user_id: OwnedUserId,
        /// The one person who hears of it; without one everybody who shares a room with them.
        only: Option<OwnedUserId>,
        /// Where in the stream.
        position: i64,
    },
    /// A message waits for one of somebody's devices.
    Letter {
        /// Whose.
        user_id: OwnedUserId,
        /// Where in the stream.
        position: i64,
    },
    /// Something waits for other servers. No client is told of it.
    Outgoing {
        /// Which.
        servers: Vec<OwnedServerName>,
        /// Where in the stream.
        position: i64,
    },
    /// What an account may do changed, or one of its devices was signed out. No client is told of it
    /// by its sync.
    Account {
        /// Whose.
        user_id: OwnedUserId,
        /// Where in the stream.
        position: i64,
    },
}

/// What one commit changed.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The position that the stream reached by it.
    pub position: i64,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// Whether there were changes up to this position that nobody was told of, because another
    /// process made them or because the engine's answer to a commit was lost. Whoever remembers
    /// what they heard looks into the store instead, as after falling behind.
    pub lost: bool,
}

/// The seam between processes: alone on one machine it is a channel.
#[derive(Clone, Debug)]
pub enum Bus {
    /// Within this process.
    Local {
        /// Carries the commits.
        sender: broadcast::Sender<Arc<Commit>>,
        /// The position up to which all was told, or was there before anybody could listen.
        told: Arc<AtomicI64>,
    },
}

impl Bus {
    /// A bus that reaches no further than this process.
    #[must_use]
    pub fn local() -> Self {
        Self::Local { sender: broadcast::channel(BACKLOG).0, told: Arc::default() }
    }

    /// Hears of everything committed from now on, group by group in commit order.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Arc<Commit>> {
        match self {
            Self::Local { sender, .. } => sender.subscribe(),
        }
    }

    /// The position up to which all was told. Whoever listens first and asks then hears of
    /// everything after it.
    #[must_use]
    pub fn position(&self) -> i64 {
        match self {
            Self::Local { told, .. } => told.load(Ordering::Acquire),
        }
    }

    /// Says where the stream stood before anything could be told.
    pub(super) fn begin(&self, position: i64) {
        match self {
            Self::Local { told, .. } => drop(told.fetch_max(position, Ordering::AcqRel)),
        }
    }

    /// Tells all listeners; nobody listening is no error.
    pub(super) fn publish(&self, commit: Commit) {
        // The position is known before the news: whoever begins to listen in between hears of a
        // commit that they know already, and never misses one.
        self.begin(commit.position);
        match self {
            Self::Local { sender, .. } => {
                let _heard_by = sender.send(Arc::new(commit));
            }
        }
    }
}
