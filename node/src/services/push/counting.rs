//! The duty that judges events as they are committed and counts what people have not read.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use ruma::{OwnedUserId, UserId, events::StateEventType, push::Ruleset};
use tokio::{
    sync::broadcast,
    time::{Instant, sleep_until, timeout},
};
use wayside_federation::{
    auth,
    event::Event,
    state::{EventNo, StateKey},
};

use super::{
    Count, PUSH_RULES, Push, Threads, notice, read,
    rules::{Rules, Seen, Who},
};
use crate::{
    services::{
        Error,
        rooms::{Ignored, view},
    },
    store::{
        Reads, Snapshot, StoreError,
        bus::{Change, Commit},
        events::{self, StoredEvent, Stretch, Verdict},
        people, retention,
        rooms::{self, RoomRow},
        state, unread,
    },
};

/// How long what was counted may stay in memory alone.
const WRITTEN_AFTER: Duration = Duration::from_secs(2);
/// How long an answer waits for the counting to catch up with the store.
const CATCH_UP: Duration = Duration::from_millis(100);
/// Events that are judged again when somebody has read only a part of a room; older ones count as
/// read then.
const RECOUNTED: i64 = 1_000;
/// Events read together when the counting has to catch up.
const PAGE: i64 = 500;
/// Rooms whose counts are kept in memory; beyond, those that are written down make room.
const ROOMS: usize = 2_000;
/// People whose rules are kept in memory; beyond, all are looked up again.
const PEOPLE: usize = 100_000;

/// What is known of rooms and people, so that counting an event asks the store for little.
#[derive(Default)]
pub(super) struct Counting {
    rooms: HashMap<i64, Room>,
    rules: HashMap<OwnedUserId, Arc<Rules>>,
    /// Where something that may have been counted is gone since, and for whom.
    stale: HashSet<(i64, OwnedUserId)>,
}

/// A room with those of its people who live here.
#[derive(Default)]
struct Room {
    people: Vec<OwnedUserId>,
    unread: HashMap<OwnedUserId, Threads>,
    /// Whose counts are not written down.
    dirty: HashSet<OwnedUserId>,
}

impl Push {
    /// Follows the store until the node stops.
    pub async fn follow(self: Arc<Self>, mut commits: broadcast::Receiver<Arc<Commit>>) {
        let stop = self.ground.stop.clone();
        let mut caught_up = self.catch_up().await;
        let mut write_at: Option<Instant> = None;
        loop {
            // Without a wish to write, the far future is as good as any time.
            let pause = sleep_until(write_at.unwrap_or_else(|| self.later()));
            tokio::select! {
                () = stop.cancelled() => break,
                () = pause => {
                    if write_at.take().is_some() {
                        self.recount_stale().await;
                        self.write_down().await;
                    }
                    if !caught_up {
                        caught_up = self.catch_up().await;
                    }
                }
                commit = commits.recv() => match commit {
                    Ok(commit) if caught_up && !commit.lost => {
                        caught_up = self.count(&commit).await.is_ok();
                        write_at.get_or_insert_with(|| self.later());
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {
                        caught_up = self.catch_up().await;
                        write_at.get_or_insert_with(|| self.later());
                    }
                    Err(broadcast::error::RecvError::Closed) => break,
                },
            }
        }
        self.recount_stale().await;
        self.write_down().await;
    }

    fn later(&self) -> Instant {
        Instant::from_std(self.ground.clock.instant() + WRITTEN_AFTER)
    }

    /// Waits a little until everything up to a position was counted.
    pub(in crate::services) async fn reach(&self, position: i64) {
        if *self.counted.borrow() >= position {
            return;
        }
        let mut counted = self.counted.subscribe();
        // Counts that come late are told with the next answer.
        let _late = timeout(CATCH_UP, counted.wait_for(|counted| *counted >= position)).await;
    }

    /// What somebody has not read of these rooms; nothing of rooms of which they have read all.
    pub(in crate::services) async fn unread(
        &self,
        from: &mut Snapshot,
        user_id: &UserId,
        rooms: &[i64],
    ) -> Result<HashMap<i64, Threads>, Error> {
        let mut found = HashMap::new();
        let mut elsewhere = Vec::new();
        {
            let counting = self.counting();
            for room_no in rooms {
                match counting.rooms.get(room_no) {
                    Some(room) => {
                        let threads = room.unread.get(user_id).cloned().unwrap_or_default();
                        found.insert(*room_no, threads);
                    }
                    None => elsewhere.push(*room_no),
                }
            }
        }
        found.extend(unread::of_person(from, user_id, &elsewhere).await?);
        Ok(found)
    }

    /// How many events somebody was told of and has not read, in all their rooms together, and up to
    /// where events are counted in it. Nothing where some are counted whose place is still to be told:
    /// then the person is about to be woken.
    pub(super) async fn standing(
        &self,
        from: &mut Snapshot,
        user_id: &UserId,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let mut sums = unread::sums_of_person(from, user_id).await?;
        // Both are read while nothing is counted, so that they fit together.
        let counting = self.counting();
        if self.wakes.lock().is_staged(user_id) {
            return Ok(None);
        }
        for (room_no, room) in &counting.rooms {
            let threads = room.unread.get(user_id);
            // What is in memory is newer than what is written down, also where it is nothing.
            if threads.is_some() || sums.contains_key(room_no) {
                let counts = threads.into_iter().flat_map(|threads| threads.values());
                sums.insert(*room_no, counts.map(|count| count.notified).sum());
            }
        }
        Ok(Some((sums.values().sum(), *self.counted.borrow())))
    }

    /// Counts what was committed since the counting last knew; whether it could.
    async fn catch_up(&self) -> bool {
        match self.try_catch_up().await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "counting unread events broke off; it is tried again");
                false
            }
        }
    }

    async fn try_catch_up(&self) -> Result<(), StoreError> {
        // What is in memory alone is forgotten below. Where it cannot be written down, it is counted again.
        self.write_down().await;
        let mut snapshot = self.ground.store.snapshot().await?;
        let now = snapshot.position().await?;
        let known = *self.counted.borrow();
        let mut reached = if known == 0 || self.counting().has_unwritten() {
            unread::counted(&mut snapshot).await?
        } else {
            known
        };
        let (mut moved, mut thinned) = (Vec::new(), Vec::new());
        if reached < now {
            moved = unread::receipts_moved(&mut snapshot, reached).await?;
            thinned = retention::thinned_after(&mut snapshot, reached).await?;
        }
        // What was changed without word of it may concern who is where and what they want.
        let stale = std::mem::take(&mut self.counting().stale);
        *self.counting() = Counting { stale, ..Counting::default() };
        loop {
            let page = events::after(&mut snapshot, reached, PAGE).await?;
            for stored in &page {
                self.count_event(&mut snapshot, stored).await?;
                reached = stored.event_no.0;
            }
            if i64::try_from(page.len()).is_ok_and(|count| count < PAGE) {
                break;
            }
        }
        for (room_no, user_id) in moved {
            self.recount(&mut snapshot, room_no, &user_id).await?;
        }
        for room_no in thinned {
            self.count_thinned(&mut snapshot, room_no).await?;
        }
        self.counted.send_replace(now);
        self.wakes.ring();
        Ok(())
    }

    async fn count(&self, commit: &Commit) -> Result<(), StoreError> {
        let counted = self.try_count(commit).await;
        if let Err(error) = &counted {
            tracing::warn!(%error, "counting unread events broke off; it is tried again");
        }
        counted
    }

    async fn try_count(&self, commit: &Commit) -> Result<(), StoreError> {
        let known = *self.counted.borrow();
        let numbers: Vec<EventNo> = commit
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::Event { position, .. } if *position > known => Some(EventNo(*position)),
                _ => None,
            })
            .collect();
        let counts =
            |change: &Change| matches!(change, Change::Receipt { .. } | Change::Forgotten { .. });
        if !numbers.is_empty() || commit.changes.iter().any(counts) {
            let mut snapshot = self.ground.store.snapshot().await?;
            let found = events::by_numbers(&mut snapshot, &numbers).await?;
            for change in &commit.changes {
                match change {
                    Change::Event { position, .. } => {
                        if let Some(stored) = found.get(&EventNo(*position)) {
                            self.count_event(&mut snapshot, stored).await?;
                        }
                    }
                    // What people of other servers have not read is counted there.
                    Change::Receipt { room_no, user_id, position, .. }
                        if *position > known && self.ground.is_local(user_id) =>
                    {
                        self.recount(&mut snapshot, *room_no, user_id).await?;
                    }
                    // Also where what was counted meanwhile had been read before it went.
                    Change::Forgotten { room_no, .. } => {
                        self.count_thinned(&mut snapshot, *room_no).await?;
                    }
                    _ => {}
                }
            }
        }
        for change in &commit.changes {
            // Their rules may be what changed.
            if let Change::Person { user_id, .. } = change {
                self.counting().rules.remove(user_id);
            }
        }
        self.counted.send_modify(|counted| *counted = commit.position.max(*counted));
        self.wakes.ring();
        Ok(())
    }

    /// Has a room counted anew of which something was forgotten.
    async fn count_thinned(&self, snapshot: &mut Snapshot, room_no: i64) -> Result<(), StoreError> {
        if let Some(row) = rooms::by_numbers(snapshot, &[room_no]).await?.pop() {
            self.load(snapshot, &row).await?;
            self.counting().doubt(room_no);
        }
        Ok(())
    }

    /// Counts an event for those in its room whose rules say so.
    async fn count_event(
        &self,
        snapshot: &mut Snapshot,
        stored: &StoredEvent,
    ) -> Result<(), StoreError> {
        if stored.verdict != Verdict::Accepted || stored.position.is_none() {
            return Ok(());
        }
        let event = &stored.event;
        let Some(row) = rooms::by_numbers(snapshot, &[stored.room_no]).await?.pop() else {
            return Ok(());
        };
        self.load(snapshot, &row).await?;
        self.follow_member(event, stored.room_no);
        let seen = self.seen(snapshot, &row, event).await?;
        let names = self.names(snapshot, &row).await?;
        let mut counting = self.counting();
        if event.redacts().is_some() {
            counting.doubt(row.room_no);
        }
        let Counting { rooms, rules, .. } = &mut *counting;
        let Some(room) = rooms.get_mut(&row.room_no) else { return Ok(()) };
        let mut wakes = self.wakes.lock();
        if room.has_said(event.sender(), seen.thread.as_deref()) {
            wakes.stage(event.sender());
        }
        if let Some(user_id) = notice::invites(event) {
            wakes.stage(&user_id);
        }
        let common = Rules::common();
        let nobody = ruma::user_id!("@anybody:invalid");
        let others = common.judge(&seen, Who { user_id: nobody, display_name: None });
        let others = others.filter(|rule| rule.notifies).map(|rule| rule.highlights);
        for user_id in &room.people {
            let own = rules.get(user_id).unwrap_or(&common);
            let told = if own.are_common() && !seen.names(user_id) {
                others.filter(|_| event.sender() != user_id)
            } else {
                let who = Who { user_id, display_name: names.get(user_id).map(String::as_str) };
                let rule = own.judge(&seen, who).filter(|rule| rule.notifies);
                rule.map(|rule| rule.highlights)
            };
            if let Some(highlighted) = told {
                let threads = room.unread.entry(user_id.clone()).or_default();
                let thread = seen.thread.clone().unwrap_or_default();
                let count = threads.entry(thread).or_default();
                count.notified += 1;
                count.highlighted += i64::from(highlighted);
                room.dirty.insert(user_id.clone());
                wakes.stage(user_id);
            }
        }
        Ok(())
    }

    /// The event with what counts of its room for judging it.
    pub(super) async fn seen<'e>(
        &self,
        snapshot: &mut Snapshot,
        row: &RoomRow,
        event: &'e Event,
    ) -> Result<Seen<'e>, StoreError> {
        let mut seen = Seen::of(event, row.joined);
        if seen.calls_the_room() {
            let create = StateKey::new(StateEventType::RoomCreate, "");
            let levels = StateKey::new(StateEventType::RoomPowerLevels, "");
            let numbers = state::lookup(snapshot, row.state_root, &[create, levels]).await?;
            let found: Vec<EventNo> = numbers.iter().copied().flatten().collect();
            let held = events::by_numbers(snapshot, &found).await?;
            let at = |at: usize| numbers[at].and_then(|number| held.get(&number));
            if let Some(create) = at(0) {
                let levels = at(1).map(|it| &it.event);
                let levels = auth::power_levels(row.version, &create.event, levels);
                seen.sender_may_notify = levels.user(event.sender()) >= levels.notifications_room();
            }
        }
        Ok(seen)
    }

    /// Has a room and the rules of its people in memory.
    async fn load(&self, snapshot: &mut Snapshot, row: &RoomRow) -> Result<(), StoreError> {
        if !self.counting().rooms.contains_key(&row.room_no) {
            let mut people = Vec::new();
            loop {
                let behind = people.last().map_or("", |user: &OwnedUserId| user.as_str());
                let behind = behind.to_owned();
                let page = 5_000;
                let found =
                    rooms::own_people_in(snapshot, row.room_no, None, &behind, page).await?;
                let full = found.len() == page;
                people.extend(found);
                if !full {
                    break;
                }
            }
            let unread = unread::of_room(snapshot, row.room_no).await?;
            let mut counting = self.counting();
            if counting.rooms.len() >= ROOMS {
                counting.rooms.retain(|_, room| !room.dirty.is_empty());
            }
            let room = Room { people, unread, dirty: HashSet::new() };
            counting.rooms.insert(row.room_no, room);
        }
        let missing: Vec<OwnedUserId> = {
            let mut counting = self.counting();
            if counting.rules.len() > PEOPLE {
                counting.rules.clear();
            }
            let Some(room) = counting.rooms.get(&row.room_no) else { return Ok(()) };
            let unknown = |user: &&OwnedUserId| !counting.rules.contains_key(*user);
            room.people.iter().filter(unknown).cloned().collect()
        };
        if !missing.is_empty() {
            let found = self.rules_of(snapshot, &missing).await?;
            self.counting().rules.extend(found);
        }
        Ok(())
    }

    /// The rules of these people, made ready.
    pub(super) async fn rules_of(
        &self,
        from: &mut Snapshot,
        people: &[OwnedUserId],
    ) -> Result<HashMap<OwnedUserId, Arc<Rules>>, StoreError> {
        let names: Vec<&UserId> = people.iter().map(AsRef::as_ref).collect();
        let mut set = people::data_of_people(from, &names, PUSH_RULES).await?;
        let mut lists = people::data_of_people(from, &names, Ignored::KIND).await?;
        let damaged = |_| StoreError::Damaged("stored push rules do not parse");
        let mut found = HashMap::with_capacity(people.len());
        for user_id in people {
            let (own, list) = (set.remove(user_id), lists.remove(user_id));
            let rules = if own.is_none() && list.is_none() {
                Rules::common()
            } else {
                let common = || Ok(Ruleset::server_default(user_id));
                let ruleset = own.map_or_else(common, |text| read(&text, user_id));
                let ignored = list.map(|text| Ignored::read(&text, user_id)).unwrap_or_default();
                Arc::new(Rules::of(&ruleset.map_err(damaged)?, user_id, ignored))
            };
            found.insert(user_id.clone(), rules);
        }
        Ok(found)
    }

    /// The names that those show in a room whose rules look for them.
    async fn names(
        &self,
        snapshot: &mut Snapshot,
        row: &RoomRow,
    ) -> Result<HashMap<OwnedUserId, String>, StoreError> {
        let wanted: Vec<OwnedUserId> = {
            let counting = self.counting();
            let Some(room) = counting.rooms.get(&row.room_no) else { return Ok(HashMap::new()) };
            let wants = |user: &&OwnedUserId| {
                counting.rules.get(*user).is_some_and(|rules| rules.want_display_name())
            };
            room.people.iter().filter(wants).cloned().collect()
        };
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        shown_names(snapshot, row, &wanted).await
    }

    /// Takes in who comes to a room and who goes.
    fn follow_member(&self, event: &Event, room_no: i64) {
        let user_id = event.state_key().and_then(|key| UserId::parse(key).ok());
        let is_member = event.kind().to_string() == "m.room.member";
        let Some(user_id) = user_id.filter(|user| is_member && self.ground.is_local(user)) else {
            return;
        };
        let mut counting = self.counting();
        let Some(room) = counting.rooms.get_mut(&room_no) else { return };
        let known = room.people.iter().position(|user| *user == user_id);
        match (known, view::is_joined(event)) {
            (None, true) => room.people.push(user_id),
            (Some(at), false) => {
                room.people.swap_remove(at);
                room.unread.remove(&user_id);
                self.wakes.lock().stage(&user_id);
                room.dirty.insert(user_id);
            }
            _ => {}
        }
    }

    /// Counts anew what somebody has not read of a room, after they have read on.
    async fn recount(
        &self,
        snapshot: &mut Snapshot,
        room_no: i64,
        user_id: &UserId,
    ) -> Result<(), StoreError> {
        let Some(row) = rooms::by_numbers(snapshot, &[room_no]).await?.pop() else {
            return Ok(());
        };
        self.load(snapshot, &row).await?;
        let before = {
            let counting = self.counting();
            counting.rooms.get(&room_no).and_then(|room| room.unread.get(user_id).cloned())
        };
        // Reading on never makes more unread.
        let Some(before) = before else { return Ok(()) };
        let mark = Mark::of(snapshot, room_no, user_id).await?;
        let threads = if mark.whole >= row.last_position {
            Threads::new()
        } else {
            let fresh = self.judged(snapshot, &row, user_id, &mark).await?;
            let stays = |(thread, _): &(String, Count)| before.contains_key(thread);
            fresh.into_iter().filter(stays).collect()
        };
        let mut counting = self.counting();
        if let Some(room) = counting.rooms.get_mut(&room_no) {
            room.dirty.insert(user_id.to_owned());
            room.set(user_id, threads);
            self.wakes.lock().stage(user_id);
        }
        Ok(())
    }

    /// Counts anew where something is gone that may have been counted. It comes a while behind, so
    /// that many redactions in a row cost no more than one.
    async fn recount_stale(&self) {
        let stale = std::mem::take(&mut self.counting().stale);
        if stale.is_empty() {
            return;
        }
        let counted = async {
            let mut snapshot = self.ground.store.snapshot().await?;
            for (room_no, user_id) in &stale {
                self.recount(&mut snapshot, *room_no, user_id).await?;
            }
            self.wakes.ring();
            Ok::<_, StoreError>(())
        };
        if let Err(error) = counted.await {
            tracing::warn!(%error, "counting anew what is unread broke off; it is tried again");
            self.counting().stale.extend(stale);
        }
    }

    async fn judged(
        &self,
        snapshot: &mut Snapshot,
        row: &RoomRow,
        user_id: &UserId,
        mark: &Mark,
    ) -> Result<Threads, StoreError> {
        let stretch = Stretch::Back { upto: row.last_position, after: mark.whole };
        let page = events::timeline(snapshot, row.room_no, stretch, RECOUNTED).await?;
        let own = user_id.to_owned();
        let names = shown_names(snapshot, row, std::slice::from_ref(&own)).await?;
        let rules = self.rules_of(snapshot, std::slice::from_ref(&own)).await?;
        let Some(rules) = rules.get(&own) else { return Ok(Threads::new()) };
        let who = Who { user_id, display_name: names.get(&own).map(String::as_str) };
        let mut threads = Threads::new();
        // The newest comes first: what is below a mark of its thread, or below something that the
        // person said there, is read.
        let mut said: HashSet<String> = HashSet::new();
        for stored in page {
            let seen = self.seen(snapshot, row, &stored.event).await?;
            let thread = seen.thread.clone().unwrap_or_default();
            if stored.event.sender() == user_id {
                said.insert(thread);
                continue;
            }
            if stored.redacted_by.is_some() {
                continue;
            }
            let is_read = said.contains(&thread)
                || stored.position.is_none_or(|position| position <= mark.of_thread(&thread));
            let rule = rules.judge(&seen, who).filter(|rule| rule.notifies && !is_read);
            if let Some(rule) = rule {
                let count = threads.entry(thread).or_default();
                count.notified += 1;
                count.highlighted += i64::from(rule.highlights);
            }
        }
        Ok(threads)
    }

    /// Writes down what changed since it was last done, with the position that it holds for.
    async fn write_down(&self) {
        let counted = *self.counted.borrow();
        let mut changed: HashMap<i64, Vec<(OwnedUserId, Threads)>> = HashMap::new();
        let is_dirty = |(_, room): &(&i64, &mut Room)| !room.dirty.is_empty();
        for (room_no, room) in self.counting().rooms.iter_mut().filter(is_dirty) {
            let people = room.dirty.drain().map(|user_id| {
                let threads = room.unread.get(&user_id).cloned().unwrap_or_default();
                (user_id, threads)
            });
            changed.insert(*room_no, people.collect());
        }
        if changed.is_empty() {
            return;
        }
        let changed = Arc::new(changed);
        let writing = changed.clone();
        let written = self.ground.store.write::<(), StoreError>(move |tx| {
            Box::pin(async move {
                for (room_no, people) in &*writing {
                    tx.set_unread(*room_no, people).await?;
                }
                tx.set_counted(counted).await
            })
        });
        if let Err(error) = written.await {
            tracing::warn!(%error, "writing unread counts down failed; it is tried again");
            let mut counting = self.counting();
            for (room_no, people) in &*changed {
                if let Some(room) = counting.rooms.get_mut(room_no) {
                    room.dirty.extend(people.iter().map(|(user_id, _)| user_id.clone()));
                }
            }
        }
    }

    fn counting(&self) -> MutexGuard<'_, Counting> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counting {
    fn has_unwritten(&self) -> bool {
        self.rooms.values().any(|room| !room.dirty.is_empty())
    }

    /// Doubts what was counted in a room, because something is gone from it.
    fn doubt(&mut self, room_no: i64) {
        let people = self.rooms.get(&room_no).into_iter().flat_map(|room| room.unread.keys());
        self.stale.extend(people.map(|user_id| (room_no, user_id.clone())));
    }
}

impl Room {
    /// Whoever says something has read what stands before it in its thread (client-server API,
    /// receiving notifications). Whether that changed what they have not read.
    fn has_said(&mut self, sender: &UserId, thread: Option<&str>) -> bool {
        let threads = self.unread.get_mut(sender);
        let had = threads.is_some_and(|it| it.remove(thread.unwrap_or_default()).is_some());
        if had {
            self.dirty.insert(sender.to_owned());
        }
        had
    }

    fn set(&mut self, user_id: &UserId, threads: Threads) {
        if threads.is_empty() {
            self.unread.remove(user_id);
        } else {
            self.unread.insert(user_id.to_owned(), threads);
        }
    }
}

/// Up to where somebody has read a room.
pub(super) struct Mark {
    whole: i64,
    threads: HashMap<String, i64>,
}

impl Mark {
    /// Reads somebody's receipts.
    pub(super) async fn of(
        from: &mut impl Reads,
        room_no: i64,
        user_id: &UserId,
    ) -> Result<Self, StoreError> {
        let mut mark = Self { whole: 0, threads: HashMap::new() };
        for receipt in people::receipts_of(from, room_no, user_id).await? {
            let read = events::by_id(from, &receipt.event_id).await?;
            let Some(position) = read.and_then(|it| it.position) else { continue };
            match receipt.thread.as_deref() {
                None => mark.whole = mark.whole.max(position),
                Some(thread) => {
                    let thread = if thread == "main" { "" } else { thread };
                    let known = mark.threads.entry(thread.to_owned()).or_default();
                    *known = position.max(*known);
                }
            }
        }
        Ok(mark)
    }

    /// Up to where they have read what belongs to a thread, or to none.
    pub(super) fn of_thread(&self, thread: &str) -> i64 {
        self.threads.get(thread).copied().unwrap_or_default().max(self.whole)
    }
}

/// The names that people show in a room.
pub(super) async fn shown_names(
    from: &mut impl Reads,
    row: &RoomRow,
    people: &[OwnedUserId],
) -> Result<HashMap<OwnedUserId, String>, StoreError> {
    let keys: Vec<StateKey> = people
        .iter()
        .map(|user_id| StateKey::new(StateEventType::RoomMember, user_id.as_str()))
        .collect();
    let numbers = state::lookup(from, row.state_root, &keys).await?;
    let numbers: Vec<EventNo> = numbers.into_iter().flatten().collect();
    let found = events::by_numbers(from, &numbers).await?;
    let named = found.into_values().filter_map(|it| {
        let user_id = UserId::parse(it.event.state_key()?).ok()?;
        Some((user_id, view::text_in(&it.event, "displayname")?))
    });
    Ok(named.collect())
}
