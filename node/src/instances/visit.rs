//! One visit as its connection holds it: frames in, batches out, and an end.

use std::sync::{
    Arc, OnceLock,
    mpsc::{SyncSender, TrySendError},
};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wayside_world::realtime::{Bye, FromClient};

use super::{
    Changed, may_be_lost,
    shard::{Command, Number},
};

/// Batches that wait for a connection: about two seconds of them.
const BATCHES: usize = 64;

/// The frames of one tick for one visit.
pub type Batch = Vec<Bytes>;
/// Where a visit's batches come out; nothing more once it is over.
pub type Batches = mpsc::Receiver<Batch>;

/// Why a visit is over, and how long to wait before another, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// Why.
    pub why: Bye,
    /// In milliseconds; the highest number where it is not to be tried again by itself.
    pub again_ms: u32,
}

impl Over {
    /// How long to wait after an end of that kind.
    #[must_use]
    pub fn of(why: Bye) -> Self {
        let again_ms = match why {
            Bye::Gone | Bye::Replaced | Bye::Removed | Bye::Version | Bye::SignedOut => u32::MAX,
            Bye::Ending | Bye::Ticket => 500,
            Bye::Broken | Bye::Slow | Bye::Protocol => 1_000,
            Bye::Full => 5_000,
            Bye::Flood => 10_000,
        };
        Self { why, again_ms }
    }
}

/// The shard's side of a visit's end.
#[derive(Debug)]
pub(super) struct Ending {
    over: Arc<OnceLock<Over>>,
    ended: CancellationToken,
}

impl Ending {
    pub(super) fn new() -> (Self, Ended) {
        let (over, ended) = (Arc::new(OnceLock::new()), CancellationToken::new());
        let near = Ended { over: over.clone(), ended: ended.clone() };
        (Self { over, ended }, near)
    }

    /// Says why; only the first time counts.
    pub(super) fn end(&self, why: Bye) {
        let _first = self.over.set(Over::of(why));
        self.ended.cancel();
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // A visit that nobody ended was in an instance that broke off.
        self.end(Bye::Broken);
    }
}

/// The connection's side of a visit's end.
#[derive(Debug)]
pub(super) struct Ended {
    over: Arc<OnceLock<Over>>,
    ended: CancellationToken,
}

pub(super) fn mailbox() -> (mpsc::Sender<Batch>, Batches) {
    mpsc::channel(BATCHES)
}

/// One visit. Dropping it ends it.
#[derive(Debug)]
pub struct Visit {
    instance: usize,
    number: Number,
    mailbox: SyncSender<Command>,
    batches: Option<Batches>,
    ended: Ended,
}

impl Visit {
    pub(super) fn new(
        instance: usize,
        number: Number,
        mailbox: SyncSender<Command>,
        batches: Batches,
        ended: Ended,
    ) -> Self {
        Self { instance, number, mailbox, batches: Some(batches), ended }
    }

    /// Hands in a frame for the next tick; `Err` where the shard has no room for one that counts.
    pub fn put(&self, frame: FromClient) -> Result<(), Bye> {
        let lossy = may_be_lost(&frame);
        let command = Command::Frame { instance: self.instance, visit: self.number, frame };
        match self.mailbox.try_send(command) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) if lossy => Ok(()),
            Err(TrySendError::Full(_)) => Err(Bye::Slow),
            Err(TrySendError::Disconnected(_)) => Err(Bye::Ending),
        }
    }

    /// The way to change what the others are told of this visit alone, also while its connection has it.
    #[must_use]
    pub fn mirror(&self) -> Mirror {
        let Self { instance, number, mailbox, .. } = self;
        Mirror { instance: *instance, number: *number, mailbox: mailbox.clone() }
    }

    /// Where the frames of each tick come out; whoever asks first gets them all.
    pub fn batches(&mut self) -> Batches {
        self.batches.take().unwrap_or_else(|| mailbox().1)
    }

    /// Falls when the visit is over, also while its frames are not taken.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.ended.ended.clone()
    }

    /// Why it is over.
    #[must_use]
    pub fn over(&self) -> Over {
        self.ended.over.get().copied().unwrap_or(Over::of(Bye::Broken))
    }
}

/// What the others are told of one visit.
#[derive(Debug)]
pub struct Mirror {
    instance: usize,
    number: Number,
    mailbox: SyncSender<Command>,
}

impl Mirror {
    /// Changes it, where the visit goes on; false while its shard has no room for the word.
    #[must_use]
    pub fn change(&self, changed: Changed) -> bool {
        let Self { instance, number: visit, .. } = *self;
        let told = self.mailbox.try_send(Command::Dress { instance, visit, changed });
        !matches!(told, Err(TrySendError::Full(_)))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let (instance, visit, frame) = (self.instance, self.number, FromClient::Go);
        // Where the mailbox is full the shard finds the closed channel at its next batch instead.
        let _full = self.mailbox.try_send(Command::Frame { instance, visit, frame });
    }
}
