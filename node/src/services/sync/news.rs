//! What changed lately, and who must be woken for it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ruma::{OwnedUserId, UserId};
use tokio::{
    sync::{broadcast, mpsc, watch},
    time::timeout,
};

use super::super::live::{Live, Moment};
use crate::store::{
    Store, StoreError,
    bus::{Change, Commit},
    rooms::{self, Membership},
};

/// Changes remembered: those who ask from farther back have the store looked through for them.
const REMEMBERED: usize = 32_768;
/// Rooms whose members are remembered, for knowing whom to wake.
const ROOMS: usize = 4_096;
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
}

#[derive(Debug)]
struct Entry {
    position: i64,
    what: What,
}

#[derive(Debug)]
enum What {
    Event(i64),
    Receipt(i64, Option<OwnedUserId>),
    Person(OwnedUserId),
}

#[derive(Debug, Default)]
struct Memory {
    /// Everything after this position is remembered; nothing is, before the following has begun.
    floor: Option<i64>,
    entries: VecDeque<Entry>,
}

/// The memory of recent changes.
pub(super) struct News {
    store: Store,
    live: Arc<Live>,
    memory: Mutex<Memory>,
    reached: watch::Sender<i64>,
}

impl News {
    pub(super) fn new(store: Store, live: Arc<Live>) -> Self {
        Self { store, live, memory: Mutex::default(), reached: watch::Sender::new(0) }
    }

    /// What changed for a person after `since` up to `upto`; nothing where the memory does not
    /// reach and the store must be looked through.
    pub(super) async fn changed(&self, user_id: &UserId, since: i64, upto: i64) -> Option<Changed> {
        let mut reached = self.reached.subscribe();
        let caught_up = timeout(CATCH_UP, reached.wait_for(|reached| *reached >= upto)).await;
        caught_up.ok()?.ok()?;
        let memory = self.memory();
        if memory.floor.is_none_or(|floor| floor > since) {
            return None;
        }
        let first = memory.entries.partition_point(|entry| entry.position <= since);
        let mut changed = Changed::default();
        for entry in memory.entries.range(first..) {
            match &entry.what {
                What::Event(room_no) => drop(changed.rooms.insert(*room_no)),
                What::Receipt(room_no, only) => {
                    if only.as_ref().is_none_or(|only| only == user_id) {
                        changed.receipts.insert(*room_no);
                    }
                }
                What::Person(whose) => changed.own |= whose == user_id,
            }
        }
        Some(changed)
    }

    pub(super) async fn follow(
        self: Arc<Self>,
        mut commits: broadcast::Receiver<Arc<Commit>>,
        mut moments: mpsc::Receiver<Moment>,
    ) {
        let mut members = Members { store: self.store.clone(), rooms: HashMap::new() };
        if let Err(error) = self.begin().await {
            tracing::warn!(%error, "reading where the stream stands failed; the first news come late");
        }
        loop {
            tokio::select! {
                commit = commits.recv() => match commit {
                    Ok(commit) => self.hear(&commit, &mut members).await,
                    Err(broadcast::error::RecvError::Lagged(_)) => self.lost(&mut members),
                    Err(broadcast::error::RecvError::Closed) => break,
                },
                moment = moments.recv() => match moment {
                    Some(moment) => self.feel(moment, &mut members).await,
                    None => break,
                },
            }
        }
    }

    /// Remembers from here on: what the store holds already is looked up there.
    async fn begin(&self) -> Result<(), StoreError> {
        let position = self.store.snapshot().await?.position().await?;
        self.memory().floor = Some(position);
        self.reached.send_replace(position);
        Ok(())
    }

    async fn hear(&self, commit: &Commit, members: &mut Members) {
        if commit.lost {
            self.lost(members);
        }
        self.remember(commit);
        self.reached.send_modify(|reached| *reached = commit.position.max(*reached));
        for change in &commit.changes {
            match change {
                Change::Event { room_no, member, .. } => {
                    if let Some(member) = member {
                        members.rooms.remove(room_no);
                        // Whoever comes or goes does not type.
                        self.live.set_typing(*room_no, member, None);
                        self.live.ring(member);
                    }
                    self.ring_room(*room_no, members).await;
                }
                Change::Receipt { only: Some(only), .. } => self.live.ring(only),
                Change::Receipt { room_no, .. } => self.ring_room(*room_no, members).await,
                Change::Person { user_id, .. } => self.live.ring(user_id),
            }
        }
    }

    /// Some commits were not heard: what is remembered has a hole, so everybody looks for themselves.
    fn lost(&self, members: &mut Members) {
        *self.memory() = Memory::default();
        members.rooms.clear();
        self.live.ring_all(|_| true);
    }

    async fn feel(&self, moment: Moment, members: &mut Members) {
        match moment {
            Moment::Typing(room_no) => self.ring_room(room_no, members).await,
            Moment::Presence(user_id) => match members.rooms_of(&user_id).await {
                Ok(rooms) => {
                    self.live.ring(&user_id);
                    for room_no in rooms {
                        self.ring_room(room_no, members).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "finding whom a presence concerns failed"),
            },
        }
    }

    async fn ring_room(&self, room_no: i64, members: &mut Members) {
        if self.live.waiting_count() == 0 {
            return;
        }
        match members.of(room_no).await {
            Ok(inside) => self.live.ring_all(|user_id| inside.contains(user_id)),
            Err(error) => {
                tracing::warn!(%error, "finding who is in a room failed; everybody is woken");
                self.live.ring_all(|_| true);
            }
        }
    }

    fn remember(&self, commit: &Commit) {
        let mut memory = self.memory();
        // A commit without changes says nothing of what stands at its position.
        let first = commit.changes.iter().map(position_of).min();
        memory.floor.get_or_insert(first.map_or(commit.position, |first| first - 1));
        memory.entries.extend(commit.changes.iter().map(|change| Entry {
            position: position_of(change),
            what: match change {
                Change::Event { room_no, .. } => What::Event(*room_no),
                Change::Receipt { room_no, only, .. } => What::Receipt(*room_no, only.clone()),
                Change::Person { user_id, .. } => What::Person(user_id.clone()),
            },
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
        | Change::Person { position, .. } => *position,
    }
}

/// Who is in which room, loaded when first needed and dropped when it changes.
struct Members {
    store: Store,
    rooms: HashMap<i64, HashSet<OwnedUserId>>,
}

impl Members {
    async fn of(&mut self, room_no: i64) -> Result<&HashSet<OwnedUserId>, StoreError> {
        if self.rooms.len() >= ROOMS && !self.rooms.contains_key(&room_no) {
            self.rooms.clear();
        }
        if !self.rooms.contains_key(&room_no) {
            let mut snapshot = self.store.snapshot().await?;
            let rows = rooms::members(&mut snapshot, room_no, Membership::Join).await?;
            let inside = rows.into_iter().map(|row| row.user_id).collect();
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
