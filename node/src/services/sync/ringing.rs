//! Who must be woken for a change: a duty of its own, because it may have to ask the store.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ruma::{OwnedUserId, UserId};
use tokio::sync::mpsc;

use super::super::live::{Live, Moment};
use crate::store::{
    Store, StoreError,
    bus::{Change, Commit},
    rooms::{self, Membership},
};

/// Commits that may wait to be rung for. When it is full, everybody who waits is woken instead.
const QUEUE: usize = 1_024;
/// People remembered as being in rooms, over all rooms: about 16 MB. Beyond, all are forgotten and
/// looked up again.
const PEOPLE: usize = 131_072;

/// Has people woken for what was committed; never waits.
pub(super) struct Bells {
    live: Arc<Live>,
    queue: mpsc::Sender<Arc<Commit>>,
    /// Whether commits were passed over, so that who is in which room must be looked up again.
    overrun: Arc<AtomicBool>,
}

/// The duty that wakes them.
pub(super) struct Ringing {
    live: Arc<Live>,
    queue: mpsc::Receiver<Arc<Commit>>,
    overrun: Arc<AtomicBool>,
    members: Members,
}

impl Bells {
    /// Has those woken whom a commit concerns.
    pub(super) fn ring_for(&self, commit: Arc<Commit>) {
        for change in &commit.changes {
            if let Change::Event { room_no, members, .. } = change {
                // Whoever comes or goes does not type.
                for member in members {
                    self.live.set_typing(*room_no, member, None);
                }
            }
        }
        if self.queue.try_send(commit).is_err() {
            self.ring_everybody();
        }
    }

    /// Wakes everybody who waits: something was passed over, and they look for themselves.
    pub(super) fn ring_everybody(&self) {
        self.overrun.store(true, Ordering::Release);
        self.live.ring_all(|_| true);
    }
}

impl Ringing {
    /// The duty, and what gives it work.
    pub(super) fn new(store: Store, live: Arc<Live>) -> (Bells, Self) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let overrun = Arc::new(AtomicBool::new(false));
        let bells = Bells { live: live.clone(), queue: sender, overrun: overrun.clone() };
        let members = Members::new(store, PEOPLE);
        (bells, Self { live, queue, overrun, members })
    }

    pub(super) async fn follow(mut self, mut moments: mpsc::Receiver<Moment>) {
        loop {
            tokio::select! {
                commit = self.queue.recv() => match commit {
                    Some(commit) => self.hear(&commit).await,
                    None => break,
                },
                moment = moments.recv() => match moment {
                    Some(moment) => self.feel(moment).await,
                    None => break,
                },
            }
        }
    }

    async fn hear(&mut self, commit: &Commit) {
        if commit.lost {
            self.members.forget_all();
            self.live.ring_all(|_| true);
        }
        for change in &commit.changes {
            match change {
                Change::Event { room_no, members, .. } => {
                    for member in members {
                        self.members.forget(*room_no);
                        self.live.ring(member);
                    }
                    self.ring_room(*room_no).await;
                }
                Change::Receipt { room_no, private: false, .. } => self.ring_room(*room_no).await,
                Change::Receipt { user_id, .. }
                | Change::Person { user_id, .. }
                | Change::Letter { user_id, .. }
                | Change::Keys { only: Some(user_id), .. }
                // Whoever was signed out or locked waits no longer.
                | Change::Account { user_id, .. } => self.live.ring(user_id),
                Change::Keys { user_id, .. } => self.ring_near(user_id).await,
                Change::Forgotten { .. } | Change::Outgoing { .. } => {}
            }
        }
    }

    async fn feel(&mut self, moment: Moment) {
        match moment {
            Moment::Typing(room_no) => self.ring_room(room_no).await,
            Moment::Presence(user_id) => self.ring_near(&user_id).await,
        }
    }

    /// Wakes somebody and all who share a room with them.
    async fn ring_near(&mut self, user_id: &UserId) {
        self.live.ring(user_id);
        match self.members.rooms_of(user_id).await {
            Ok(rooms) => {
                for room_no in rooms {
                    self.ring_room(room_no).await;
                }
            }
            Err(error) => tracing::warn!(%error, "finding whom a change concerns failed"),
        }
    }

    async fn ring_room(&mut self, room_no: i64) {
        if self.overrun.swap(false, Ordering::AcqRel) {
            self.members.forget_all();
        }
        if self.live.waiting_count() == 0 {
            return;
        }
        match self.members.of(room_no).await {
            Ok(Inside::These(inside)) => self.live.ring_all(|user_id| inside.contains(user_id)),
            Ok(Inside::TooMany) => self.live.ring_all(|_| true),
            Err(error) => {
                tracing::warn!(%error, "finding who is in a room failed; everybody is woken");
                self.live.ring_all(|_| true);
            }
        }
    }
}

/// Who is in a room.
#[derive(Debug, PartialEq, Eq)]
enum Inside {
    These(HashSet<OwnedUserId>),
    /// More than are remembered: whoever waits is taken to be inside.
    TooMany,
}

impl Inside {
    fn count(&self) -> usize {
        match self {
            Self::These(people) => people.len() + 1,
            Self::TooMany => 1,
        }
    }
}

/// Who is in which room, loaded when first needed and forgotten when it changes.
struct Members {
    store: Store,
    rooms: HashMap<i64, Inside>,
    /// All people in `rooms` and the rooms themselves.
    count: usize,
    most: usize,
}

impl Members {
    fn new(store: Store, most: usize) -> Self {
        Self { store, rooms: HashMap::new(), count: 0, most }
    }

    fn forget(&mut self, room_no: i64) {
        // A room of too many stays one: looking all of them up for each who comes costs more than
        // waking some for nothing.
        if self.rooms.get(&room_no).is_some_and(|inside| *inside != Inside::TooMany)
            && let Some(inside) = self.rooms.remove(&room_no)
        {
            self.count -= inside.count();
        }
    }

    fn forget_all(&mut self) {
        self.rooms.clear();
        self.count = 0;
    }

    async fn of(&mut self, room_no: i64) -> Result<&Inside, StoreError> {
        if !self.rooms.contains_key(&room_no) {
            let mut snapshot = self.store.snapshot().await?;
            let rows = rooms::members(&mut snapshot, room_no, Membership::Join).await?;
            drop(snapshot);
            let inside = if rows.len() < self.most {
                Inside::These(rows.into_iter().map(|row| row.user_id).collect())
            } else {
                Inside::TooMany
            };
            if self.count + inside.count() > self.most {
                self.forget_all();
            }
            self.count += inside.count();
            self.rooms.insert(room_no, inside);
        }
        Ok(&self.rooms[&room_no])
    }

    async fn rooms_of(&self, user_id: &UserId) -> Result<Vec<i64>, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let rows = rooms::memberships_of(&mut snapshot, user_id).await?;
        let joined = rows.into_iter().filter(|row| row.membership == Membership::Join);
        Ok(joined.map(|row| row.room_no).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use wayside_federation::state::EventNo;

    use super::*;
    use crate::{
        clock::Clock,
        store::{Purpose, rooms::MemberRow},
    };

    /// A store in which rooms have so many people.
    async fn peopled(folder: &Path, rooms: &[(i64, i64)]) -> Store {
        let store = Store::open(folder, None, Purpose::Serving, Clock).await.unwrap();
        let rooms = rooms.to_vec();
        let case = store.write::<(), StoreError>(move |tx| {
            Box::pin(async move {
                for (room_no, person) in
                    rooms.iter().flat_map(|(room, count)| (0..*count).map(|n| (*room, n)))
                {
                    let member = MemberRow {
                        user_id: format!("@p{person}:a.test").try_into().unwrap(),
                        room_no,
                        membership: Membership::Join,
                        event_no: EventNo(1),
                        position: 1,
                        left: None,
                        forgotten: false,
                    };
                    tx.set_memberships(&[member]).await?;
                }
                Ok(())
            })
        });
        case.await.unwrap();
        store
    }

    #[tokio::test]
    async fn no_more_people_are_remembered_than_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let sizes = [(1, 2), (2, 3), (3, 7), (4, 8), (5, 200)];
        let store = peopled(folder.path(), &sizes).await;
        let mut members = Members::new(store, 8);
        for (room_no, size) in [&sizes[..], &sizes[..2], &sizes[..]].concat() {
            let inside = members.of(room_no).await.unwrap();
            match inside {
                Inside::These(people) => assert_eq!(people.len(), usize::try_from(size).unwrap()),
                // Nobody is left out in silence: such a room concerns everybody.
                Inside::TooMany => assert!(size >= 8, "room {room_no}"),
            }
            let held: usize = members.rooms.values().map(Inside::count).sum();
            assert_eq!(held, members.count);
            assert!(held <= 8, "{held} people are held after room {room_no}");
        }
        members.forget(5);
        members.forget(1);
        members.forget_all();
        assert_eq!(members.count, 0);
    }
}
