//! What changed lately, so that most answers need not look through the store.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ruma::{OwnedUserId, UserId};
use tokio::{
    sync::{broadcast, watch},
    time::timeout,
};

use super::ringing::Bells;
use crate::store::bus::{Change, Commit};

/// Changes remembered: those who ask from farther back have the store looked through for them.
const REMEMBERED: usize = 32_768;
/// How long an answer waits for the memory to catch up with the store.
const CATCH_UP: Duration = Duration::from_millis(100);

/// The rooms that changed in a stretch of the stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// Rooms with new events.
    pub(super) rooms: HashSet<i64>,
    /// Rooms with moved receipts.
    pub(super) receipts: HashSet<i64>,
    /// Whether something of the person's own changed.
    pub(super) own: bool,
    /// Rooms in which it may have changed who encrypts for whom.
    pub(super) moved: HashSet<i64>,
    /// Those whose keys changed.
    pub(super) keys: HashSet<OwnedUserId>,
    /// Whether a message came for one of the person's devices.
    pub(super) letters: bool,
}

#[derive(Debug)]
struct Entry {
    position: i64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A room, and whether it may have changed who encrypts for whom.
    Event(i64, bool),
    Receipt(i64, Option<OwnedUserId>),
    Person(OwnedUserId),
    /// Whose keys changed, and who alone is to hear of it.
    Keys(OwnedUserId, Option<OwnedUserId>),
    Letter(OwnedUserId),
}

#[derive(Debug, Default)]
struct Memory {
    /// Everything after this position is remembered; nothing is, before the following has begun.
    floor: Option<i64>,
    entries: VecDeque<Entry>,
}

/// The memory of recent changes.
#[derive(Debug)]
pub(super) struct News {
    memory: Mutex<Memory>,
    /// The position up to which everything was heard of.
    reached: watch::Sender<i64>,
}

impl Default for News {
    fn default() -> Self {
        Self { memory: Mutex::default(), reached: watch::Sender::new(0) }
    }
}

impl News {
    /// Remembers from here on: what the store holds already is looked up there.
    pub(super) fn begin(&self, position: i64) {
        self.memory().floor = Some(position);
        self.reached.send_replace(position);
    }

    /// Whether everything up to a position was heard of.
    pub(super) fn has_reached(&self, position: i64) -> bool {
        *self.reached.borrow() >= position
    }

    /// Waits a little until everything up to a position was heard of; whether it was.
    pub(super) async fn reach(&self, position: i64) -> bool {
        let mut reached = self.reached.subscribe();
        timeout(CATCH_UP, reached.wait_for(|reached| *reached >= position))
            .await
            .is_ok_and(|reached| reached.is_ok())
    }

    /// What changed for a person after `since` up to `upto`; nothing where the memory does not
    /// reach and the store must be looked through.
    pub(super) fn changed(&self, user_id: &UserId, since: i64, upto: i64) -> Option<Changed> {
        if !self.has_reached(upto) {
            return None;
        }
        let memory = self.memory();
        if memory.floor.is_none_or(|floor| floor > since) {
            return None;
        }
        let first = memory.entries.partition_point(|entry| entry.position <= since);
        let mut changed = Changed::default();
        for entry in memory.entries.range(first..) {
            match &entry.what {
                What::Event(room_no, encrypts) => {
                    changed.rooms.insert(*room_no);
                    if *encrypts {
                        changed.moved.insert(*room_no);
                    }
                }
                What::Receipt(room_no, only) => {
                    if only.as_ref().is_none_or(|only| only == user_id) {
                        changed.receipts.insert(*room_no);
                    }
                }
                What::Person(whose) => changed.own |= whose == user_id,
                What::Keys(whose, only) => {
                    if only.as_ref().is_none_or(|only| only == user_id) {
                        changed.keys.insert(whose.clone());
                    }
                }
                What::Letter(whose) => changed.letters |= whose == user_id,
            }
        }
        Some(changed)
    }

    /// Remembers what is committed, then has those woken whom it concerns. It waits for nothing but
    /// the next commit, because whoever asks for news waits for it.
    pub(super) async fn follow(
        self: Arc<Self>,
        mut commits: broadcast::Receiver<Arc<Commit>>,
        bells: Bells,
    ) {
        loop {
            match commits.recv().await {
                Ok(commit) => {
                    self.remember(&commit);
                    self.reached.send_modify(|reached| *reached = commit.position.max(*reached));
                    bells.ring_for(commit);
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    *self.memory() = Memory::default();
                    bells.ring_everybody();
                }
                Err(broadcast::error::RecvError::Closed) => break,
            }
        }
    }

    fn remember(&self, commit: &Commit) {
        let mut memory = self.memory();
        if commit.lost {
            // What is remembered has a hole, so everybody looks for themselves.
            *memory = Memory::default();
        }
        // A commit without changes says nothing of what stands at its position.
        let first = commit.changes.iter().map(position_of).min();
        memory.floor.get_or_insert(first.map_or(commit.position, |first| first - 1));
        memory.entries.extend(commit.changes.iter().filter_map(|change| {
            let what = match change {
                Change::Event { room_no, encrypts, .. } => What::Event(*room_no, *encrypts),
                Change::Receipt { room_no, user_id, private, .. } => {
                    What::Receipt(*room_no, private.then(|| user_id.clone()))
                }
                Change::Person { user_id, .. } => What::Person(user_id.clone()),
                Change::Keys { user_id, only, .. } => What::Keys(user_id.clone(), only.clone()),
                Change::Letter { user_id, .. } => What::Letter(user_id.clone()),
                Change::Account { .. } | Change::Forgotten { .. } | Change::Outgoing { .. } => {
                    return None;
                }
            };
            Some(Entry { position: position_of(change), what })
        }));
        while memory.entries.len() > REMEMBERED {
            if let Some(entry) = memory.entries.pop_front() {
                memory.floor = Some(entry.position);
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn position_of(change: &Change) -> i64 {
    match change {
        Change::Event { position, .. }
        | Change::Receipt { position, .. }
        | Change::Person { position, .. }
        | Change::Keys { position, .. }
        | Change::Letter { position, .. }
        | Change::Account { position, .. }
        | Change::Outgoing { position, .. }
        | Change::Forgotten { position, .. } => *position,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ruma::user_id;
    use tokio::task::JoinSet;

    use super::{
        super::{super::live::Live, ringing::Ringing},
        *,
    };
    use crate::{
        clock::Clock,
        store::{Purpose, Store, StoreError},
    };

    /// A store that is followed, and somebody who waits.
    struct Scene {
        store: Store,
        news: Arc<News>,
        live: Arc<Live>,
        folder: tempfile::TempDir,
        duties: JoinSet<()>,
    }

    impl Scene {
        async fn set() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = open(folder.path()).await;
            let (live, moments) = Live::new(1);
            let (live, news) = (Arc::new(live), Arc::new(News::default()));
            let (bells, ringing) = Ringing::new(store.clone(), live.clone());
            let commits = store.bus().listen();
            news.begin(store.bus().position());
            let mut duties = JoinSet::new();
            duties.spawn(news.clone().follow(commits, bells));
            duties.spawn(ringing.follow(moments));
            Self { store, news, live, folder, duties }
        }
    }

    async fn open(folder: &Path) -> Store {
        Store::open(folder, None, Purpose::Serving, Clock).await.unwrap()
    }

    async fn receipt(store: &Store, room_no: i64) -> i64 {
        let case = store.write::<i64, StoreError>(move |tx| {
            Box::pin(async move {
                let position = tx.next_number();
                let (user_id, private) = (user_id!("@bob:a.test").to_owned(), false);
                tx.announce(Change::Receipt { room_no, user_id, private, position });
                Ok(position)
            })
        });
        case.await.unwrap()
    }

    #[tokio::test]
    async fn remembering_waits_for_nobody_who_reads() {
        let mut scene = Scene::set().await;
        let ann = user_id!("@ann:a.test");
        let _waits = scene.live.bell(ann);
        let since = scene.store.bus().position();
        let mut readers = Vec::new();
        for _ in 0..4 {
            readers.push(scene.store.snapshot().await.unwrap());
        }
        let mut position = since;
        for room_no in 1..=20 {
            position = receipt(&scene.store, room_no).await;
        }
        assert!(
            scene.news.reach(position).await,
            "every reader is taken, and nobody gives one back"
        );
        let changed = scene.news.changed(ann, since, position).unwrap();
        assert_eq!(changed.receipts, (1..=20).collect());
        drop(readers);
        scene.duties.shutdown().await;
    }

    #[tokio::test]
    async fn what_another_process_changed_is_looked_up() {
        let mut scene = Scene::set().await;
        let ann = user_id!("@ann:a.test");
        let bell = scene.live.bell(ann);
        let since = receipt(&scene.store, 1).await;
        let other = open(scene.folder.path()).await;
        receipt(&other, 2).await;
        other.close().await;
        let rung = bell.rung();
        let position = receipt(&scene.store, 3).await;
        assert!(scene.news.reach(position).await);
        assert_eq!(scene.news.changed(ann, since, position), None, "room 2 was not heard of");
        let here = scene.news.changed(ann, position, position).unwrap();
        assert_eq!(here, Changed::default(), "from here on all is heard of again");
        timeout(Duration::from_secs(20), rung).await.expect("everybody looks for themselves");
        scene.duties.shutdown().await;
    }
}
