//! Where the instances of worlds run: on threads of their own, reached by bounded mailboxes.
//!
//! A shard is one thread with many instances. It waits for an absolute deadline, takes what has come
//! for its instances, lets a tick pass, and hands each visit one batch of frames. Whoever holds a
//! [`Visit`] puts frames into the shard's mailbox and takes batches out of its own; neither ever makes
//! the shard wait. Nothing here is the only copy of anything: an instance that is gone is opened again
//! by the next visit.

mod meter;
mod shard;
mod visit;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    thread::JoinHandle,
};

use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wayside_identity::blocks::Blocks;
use wayside_world::realtime::{Bye, FromClient, Pose};

pub use self::{
    meter::{Meter, Readings},
    shard::{Coming, World},
    visit::{Batch, Batches, Mirror, Over, Visit},
};
use self::{
    shard::{Command, Entering},
    visit::Ending,
};
use crate::clock::Clock;

/// Commands that wait for the next tick of a shard; what comes when as many wait is refused.
const MAILBOX: usize = 16_384;
/// How many instances there are on one node at most.
const INSTANCES: usize = 1_024;

/// The instances of this process.
pub struct Instances {
    shards: Vec<Shard>,
    open: Mutex<HashMap<OwnedRoomId, Opened>>,
    numbers: AtomicUsize,
    meter: Arc<Meter>,
}

struct Shard {
    mailbox: SyncSender<Command>,
    stop: CancellationToken,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// An instance as those see it who look from outside.
#[derive(Clone)]
struct Opened {
    number: usize,
    shard: usize,
    crowd: Arc<Crowd>,
}

/// Who is in an instance, shared with its shard, which alone changes it.
#[derive(Debug, Default)]
pub struct Crowd {
    people: Mutex<HashMap<OwnedUserId, String>>,
    count: AtomicUsize,
    gone: AtomicUsize,
}

impl Crowd {
    /// How many are in.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// What some of them are called.
    #[must_use]
    pub fn names(&self, most: usize) -> Vec<String> {
        self.people().values().take(most).cloned().collect()
    }

    /// Whether the instance has ended.
    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire) > 0
    }

    fn end(&self) {
        self.gone.store(1, Ordering::Release);
        self.people().clear();
        self.count.store(0, Ordering::Relaxed);
    }

    fn put(&self, user_id: OwnedUserId, name: String) {
        let mut people = self.people();
        people.insert(user_id, name);
        self.count.store(people.len(), Ordering::Relaxed);
    }

    fn remove(&self, user_id: &UserId) {
        let mut people = self.people();
        people.remove(user_id);
        self.count.store(people.len(), Ordering::Relaxed);
    }

    fn people(&self) -> MutexGuard<'_, HashMap<OwnedUserId, String>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body that somebody wears.
#[derive(Clone, Debug)]
pub struct Worn {
    /// Reference to it.
    pub avatar: String,
    /// Why it is not shown in a world that is for violence and sexual acts as well, by its short name.
    pub unfit: Option<&'static str>,
}

/// Whom somebody meets: nobody whom they block, and nobody who blocks them.
#[derive(Clone, Debug, Default)]
pub struct Meeting {
    /// All names by which they are known: of their account and of their person.
    pub names: Vec<String>,
    /// Whom they block.
    pub blocks: Arc<Blocks>,
    /// Whether their client says whom they block from now on, since this node does not know.
    pub keeps_own: bool,
}

impl Meeting {
    /// Whether two people are kept from each other.
    #[must_use]
    pub fn parts(&self, other: &Self) -> bool {
        self.blocks_any(&other.names) || other.blocks_any(&self.names)
    }

    fn blocks_any(&self, names: &[String]) -> bool {
        !self.blocks.is_empty() && names.iter().any(|name| self.blocks.has(name))
    }
}

/// What changed of somebody.
#[derive(Clone, Debug)]
pub enum Changed {
    /// What they are called.
    Name(String),
    /// The body that they wear.
    Avatar(Worn),
    /// Their own body is not shown, by the short name of why; they alone are told.
    Unworn(&'static str),
    /// They are no guest any more.
    Kept,
    /// The badges that they show, by whom they were given and what they are called.
    Badges(Vec<(String, String)>),
}

/// Where somebody stands, to be remembered for when they come back.
#[derive(Clone, Debug)]
pub struct Stood {
    /// In which world.
    pub room_id: OwnedRoomId,
    /// Who.
    pub user_id: OwnedUserId,
    /// Where.
    pub pose: Pose,
}

/// An instance cannot take anybody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// As many are in as may be.
    #[error("the world is full")]
    Full,
    /// The node ends, or has more to do than it can.
    #[error("this node cannot let anybody in just now")]
    Busy,
}

impl Instances {
    /// Starts so many threads; without any nobody can visit. They say through `stood` where people
    /// are, now and then and when they leave; the channel closes when all have ended.
    pub fn start(shards: usize, clock: Clock, stood: &mpsc::Sender<Stood>) -> io::Result<Self> {
        let meter = Arc::new(Meter::default());
        let start = |number| shard::start(number, clock, meter.clone(), stood.clone());
        let shards = (0..shards).map(start).collect::<io::Result<_>>()?;
        Ok(Self { shards, open: Mutex::default(), numbers: AtomicUsize::new(0), meter })
    }

    /// What the shards measure of themselves.
    #[must_use]
    pub fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }

    /// Who is in a world just now, if it runs.
    #[must_use]
    pub fn crowd(&self, room_id: &RoomId) -> Option<Arc<Crowd>> {
        let opened = self.open().get(room_id).cloned()?;
        (!opened.crowd.is_gone()).then_some(opened.crowd)
    }

    /// All worlds that run, with those inside.
    #[must_use]
    pub fn all(&self) -> Vec<(OwnedRoomId, Vec<OwnedUserId>)> {
        let inside = |crowd: &Crowd| crowd.people().keys().cloned().collect();
        self.open().iter().map(|(room, opened)| (room.clone(), inside(&opened.crowd))).collect()
    }

    /// Begins a visit in the world's instance, which is opened where none runs.
    pub async fn visit(&self, world: &World, coming: &Coming) -> Result<Visit, Closed> {
        // The instance may end between finding it and coming in: then another is opened, once.
        for _ in 0..2 {
            let opened = self.opened(world)?;
            let shard = &self.shards[opened.shard];
            let (ending, over) = Ending::new();
            let (frames, batches) = visit::mailbox();
            let (entered, answer) = tokio::sync::oneshot::channel();
            let entering =
                Entering { coming: coming.clone(), spawn: world.spawn, frames, ending, entered };
            let command = Command::Enter { instance: opened.number, entering: Box::new(entering) };
            shard.mailbox.try_send(command).map_err(|_| Closed::Busy)?;
            match answer.await {
                Ok(Ok(number)) => {
                    let mailbox = shard.mailbox.clone();
                    return Ok(Visit::new(opened.number, number, mailbox, batches, over));
                }
                Ok(Err(closed)) => return Err(closed),
                Err(_) => self.forget(&world.room_id, opened.number),
            }
        }
        Err(Closed::Busy)
    }

    /// Shows an event of its room to everybody in a world who does not block who has sent it.
    pub fn show(&self, room_id: &RoomId, sender: &UserId, event: String) {
        let sender = sender.to_owned();
        self.tell(room_id, |instance| Command::Show { instance, sender, event });
    }

    /// Whether somebody is in any world.
    #[must_use]
    pub fn is_inside(&self, user_id: &UserId) -> bool {
        self.open().values().any(|opened| opened.crowd.people().contains_key(user_id))
    }

    /// Parts somebody from those whom they block, wherever they are; false while a shard has no room for
    /// the word.
    #[must_use]
    pub fn block(&self, user_id: &UserId, blocks: &Arc<Blocks>) -> bool {
        let told = self.rooms().into_iter().filter(|room_id| {
            let (user_id, blocks) = (user_id.to_owned(), blocks.clone());
            !self.tell(room_id, |instance| Command::Block { instance, user_id, blocks })
        });
        told.count() == 0
    }

    /// Ends somebody's visit in a world; false while its shard has no room for the word.
    #[must_use]
    pub fn remove(&self, room_id: &RoomId, user_id: &UserId, why: Bye) -> bool {
        let user_id = user_id.to_owned();
        self.tell(room_id, |instance| Command::Remove { instance, user_id, why })
    }

    /// Tells everybody how somebody's name or body changed, wherever they are.
    pub fn change(&self, user_id: &UserId, changed: &Changed) {
        for room_id in self.rooms() {
            let (user_id, changed) = (user_id.to_owned(), changed.clone());
            self.tell(&room_id, |instance| Command::Change { instance, user_id, changed });
        }
    }

    /// Ends the visits of somebody's devices, wherever they are, but of those that are still signed
    /// in; false while a shard has no room for the word.
    #[must_use]
    pub fn sign_out(&self, user_id: &UserId, staying: &Arc<[OwnedDeviceId]>) -> bool {
        let told = self.rooms().into_iter().filter(|room_id| {
            let (user_id, staying) = (user_id.to_owned(), staying.clone());
            !self.tell(room_id, |instance| Command::SignOut { instance, user_id, staying })
        });
        told.count() == 0
    }

    fn rooms(&self) -> Vec<OwnedRoomId> {
        self.open().keys().cloned().collect()
    }

    /// Ends all instances: everybody is told to come again, and the threads end.
    pub fn end(&self) {
        for shard in &self.shards {
            shard.stop.cancel();
            // One that sleeps; who finds the mailbox full does not.
            let _awake = shard.mailbox.try_send(Command::Look);
        }
        for shard in &self.shards {
            let thread = shard.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if thread.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("a shard broke off");
            }
        }
    }

    /// Whether there is an instance no more, or it was told.
    fn tell(&self, room_id: &RoomId, command: impl FnOnce(usize) -> Command) -> bool {
        let Some(opened) = self.open().get(room_id).cloned() else { return true };
        let told = self.shards[opened.shard].mailbox.try_send(command(opened.number));
        let full = matches!(told, Err(TrySendError::Full(_)));
        if full {
            tracing::warn!("a shard is too busy to be told of a change");
        }
        !full
    }

    fn opened(&self, world: &World) -> Result<Opened, Closed> {
        if self.shards.is_empty() {
            return Err(Closed::Busy);
        }
        let mut open = self.open();
        if let Some(opened) = open.get(&world.room_id).filter(|opened| !opened.crowd.is_gone()) {
            return Ok(opened.clone());
        }
        open.retain(|_, opened| !opened.crowd.is_gone());
        if open.len() >= INSTANCES {
            return Err(Closed::Busy);
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let opened = Opened { number, shard: number % self.shards.len(), crowd: Arc::default() };
        let crowd = opened.crowd.clone();
        let command = Command::Open { instance: number, world: world.clone(), crowd };
        let mailbox = &self.shards[opened.shard].mailbox;
        mailbox.try_send(command).map_err(|_| Closed::Busy)?;
        open.insert(world.room_id.clone(), opened.clone());
        Ok(opened)
    }

    fn forget(&self, room_id: &RoomId, number: usize) {
        let mut open = self.open();
        if open.get(room_id).is_some_and(|opened| opened.number == number) {
            open.remove(room_id);
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<OwnedRoomId, Opened>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a frame may be dropped when there is no room for it.
fn may_be_lost(frame: &FromClient) -> bool {
    matches!(frame, FromClient::Input { .. } | FromClient::Ping { .. })
}

#[cfg(test)]
mod tests;
