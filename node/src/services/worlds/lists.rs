//! Keeping to ban lists: their rooms are joined, and whoever they cover is shut out of worlds.
//!
//! Whoever is covered does not come in, and is banned from the room of a world as soon as they are in it, so that
//! its chat is closed to them too on whatever server they are. When no list says so any more, the node takes that
//! back, and no other ban.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ruma::{
    OwnedRoomId, OwnedRoomOrAliasId, OwnedServerName, OwnedUserId, RoomId, RoomOrAliasId, UserId,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use wayside_federation::bans::{Rule, Rules};
use wayside_world::realtime::Bye;

use super::{
    super::{
        Error,
        bans::{self, InForce},
        rooms::{Membership, Step, WORLD},
    },
    Worlds,
    follow::surely,
};
use crate::store::{events, list_bans, rooms, visitors};

/// How often lists are looked for that could not be read.
const AGAIN: Duration = Duration::from_mins(10);
/// Between two looks: what lists say more meanwhile is looked at together.
const PAUSE: Duration = Duration::from_secs(1);
/// DIDs of one account that are looked at.
const NAMES: usize = 8;
/// Those who came into rooms of worlds that are looked at one by one; of more, everybody is.
const CAME: usize = 10_000;

/// What the keeping to lists has to look at.
#[derive(Default)]
pub(super) struct Watch {
    ring: Notify,
    /// Lists say something else, or a world keeps to another one.
    changed: AtomicBool,
    /// Those who came into rooms of worlds.
    came: Mutex<Vec<(OwnedRoomId, OwnedUserId)>>,
}

impl Watch {
    /// Has all lists looked at.
    pub(super) fn look(&self) {
        self.changed.store(true, Ordering::Release);
        self.ring.notify_one();
    }

    /// Has it looked whether somebody is covered who came into a room.
    fn comes(&self, room_id: &RoomId, user_id: &UserId) {
        let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
        if came.len() < CAME {
            came.push((room_id.to_owned(), user_id.to_owned()));
        } else {
            self.changed.store(true, Ordering::Release);
        }
        self.ring.notify_one();
    }

    fn take(&self) -> Vec<(OwnedRoomId, OwnedUserId)> {
        std::mem::take(&mut *self.came.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is remembered from look to look.
#[derive(Default)]
struct Looked {
    /// The rooms of lists that the settings name.
    of_node: HashMap<OwnedRoomOrAliasId, OwnedRoomId>,
    /// When it was tried to join a list, in milliseconds since the epoch.
    tried: HashMap<OwnedRoomId, i64>,
    /// By which rules each world was looked through.
    by: HashMap<OwnedRoomId, Vec<Arc<Rules>>>,
}

impl Worlds {
    /// Joins the rooms of lists and keeps to what they say, until the node ends.
    pub async fn keep_to_lists(self: Arc<Self>) {
        let stop = self.ground.stop.clone();
        let keeping = async {
            let (mut looked, mut due_ms) = (Looked::default(), i64::MIN);
            loop {
                let now_ms = self.ground.clock.now_ms();
                if now_ms >= due_ms {
                    due_ms = now_ms + i64::try_from(AGAIN.as_millis()).unwrap_or(i64::MAX);
                    self.find_lists_of_node(&mut looked).await;
                    self.watch.look();
                }
                for (room_id, user_id) in self.watch.take() {
                    if let Err(error) = self.shut_out(&room_id, &user_id).await {
                        tracing::warn!(%error, %room_id, %user_id, "a ban list is not kept to");
                    }
                }
                if self.watch.changed.swap(false, Ordering::AcqRel)
                    && let Err(error) = self.keep_worlds_to_lists(&mut looked).await
                {
                    tracing::warn!(%error, "not all ban lists are kept to; it is tried again");
                }
                // What this look itself has missed is looked for later.
                let _missed = self.bans.are_wanted();
                sleep(PAUSE).await;
                let _again = timeout(AGAIN, self.watch.ring.notified()).await;
            }
        };
        let _ended = stop.run_until_cancelled(Box::pin(keeping)).await;
    }

    /// Finds and joins the lists that the settings name. One that was found once is kept to though whoever named
    /// it does not answer any more.
    async fn find_lists_of_node(&self, looked: &mut Looked) {
        let names = &self.ground.config.ban_lists;
        for name in names {
            match self.found_list(name).await {
                Ok((room_id, via)) => {
                    looked.of_node.insert(name.clone(), room_id.clone());
                    self.join_list(looked, &room_id, &via).await;
                }
                Err(error) => tracing::warn!(%error, %name, "a ban list is not found"),
            }
            let is_whole = names.iter().all(|name| looked.of_node.contains_key(name));
            self.bans.keep_to(looked.of_node.values().cloned().collect(), is_whole);
        }
        if names.is_empty() {
            self.bans.keep_to(BTreeSet::new(), true);
        }
    }

    /// Joins the lists to which worlds keep, and shuts out whom any covers.
    async fn keep_worlds_to_lists(&self, looked: &mut Looked) -> Result<(), Error> {
        let user_id = self.service_user()?;
        let mut used = BTreeSet::new();
        let worlds = self.rooms.of_kind(WORLD, &user_id, Membership::Join).await?;
        looked.by.retain(|room_id, _| worlds.iter().any(|world| world.room_id == *room_id));
        for world in worlds {
            let mut snapshot = self.ground.store.snapshot().await?;
            let room = rooms::room(&mut snapshot, &world.room_id).await?;
            let Some(room) = room else { continue };
            let lists = bans::of_world(&mut snapshot, room.room_no).await?;
            drop(snapshot);
            for list in lists {
                self.join_list(looked, &list.room_id, &list.via).await;
                used.insert(list.room_id);
            }
            let in_force =
                self.bans.in_force(&mut self.ground.store.snapshot().await?, room.room_no).await?;
            let is_same = |by: &Vec<Arc<Rules>>| {
                let mut pairs = by.iter().zip(&in_force.rules);
                by.len() == in_force.rules.len() && pairs.all(|(a, b)| Arc::ptr_eq(a, b))
            };
            if looked.by.get(&world.room_id).is_some_and(is_same) {
                continue;
            }
            // What one world does not let the node do keeps no other from its lists.
            match self.shut_out_all(&world.room_id, &in_force).await {
                Ok(()) => drop(looked.by.insert(world.room_id, in_force.rules)),
                Err(error) => tracing::warn!(%error, "a world does not keep to its ban lists"),
            }
        }
        self.bans.forget_but(&used);
        Ok(())
    }

    /// The room of a list that the settings name, and servers by which it is found.
    async fn found_list(
        &self,
        name: &RoomOrAliasId,
    ) -> Result<(OwnedRoomId, Vec<OwnedServerName>), Error> {
        match <&ruma::RoomAliasId>::try_from(name) {
            Ok(alias) if alias.server_name() != self.ground.server_name => {
                let place = self.servers.alias(alias).await?;
                Ok((place.room_id, place.servers))
            }
            _ => Ok((self.rooms.resolve(name).await?, Vec::new())),
        }
    }

    /// Joins the room of a list, for the node to read it; not again soon where that failed.
    async fn join_list(&self, looked: &mut Looked, room_id: &RoomId, via: &[OwnedServerName]) {
        let now_ms = self.ground.clock.now_ms();
        let again_ms = i64::try_from(AGAIN.as_millis()).unwrap_or(i64::MAX);
        looked.tried.retain(|_, at_ms| now_ms - *at_ms < again_ms);
        if looked.tried.contains_key(room_id) {
            return;
        }
        let joined = async {
            let user_id = self.service_user()?;
            if self.rooms.standing(room_id, &user_id).await? == Some(Membership::Join) {
                return Ok(());
            }
            looked.tried.insert(room_id.to_owned(), now_ms);
            let join = Step::to(Membership::Join);
            self.federation.step(room_id, &user_id, &user_id, join, via).await
        };
        if let Err(error) = joined.await {
            tracing::warn!(%error, %room_id, "a ban list cannot be read: is it open to everybody?");
        }
    }

    /// By which rule of a list somebody is shut out of a world.
    pub(super) async fn listed(
        &self,
        room_no: i64,
        user_id: &UserId,
    ) -> Result<Option<Rule>, Error> {
        // Nobody lets a list shut out whoever makes the rooms of worlds.
        if *user_id == self.service_user()? {
            return Ok(None);
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut names = visitors::subjects_of(&mut snapshot, user_id).await?;
        names.truncate(NAMES);
        let mut rule = self.bans.judge(&mut snapshot, room_no, user_id, &names).await?;
        // Nor does another account of theirs help them.
        for name in &names {
            for other in visitors::accounts_of(&mut snapshot, name).await? {
                if rule.is_none() {
                    rule = self.bans.judge(&mut snapshot, room_no, &other, &[]).await?;
                }
            }
        }
        Ok(rule)
    }

    /// The same for whoever stands at the door: a list that cannot be read is looked for because of them.
    pub(super) async fn listed_at_door(
        &self,
        room_no: i64,
        user_id: &UserId,
    ) -> Result<Option<Rule>, Error> {
        let rule = self.listed(room_no, user_id).await?;
        if self.bans.are_wanted() {
            self.watch.look();
        }
        Ok(rule)
    }

    /// What a change in a room means to lists: what is said in one concerns all worlds, and whoever comes into
    /// the room of a world may be covered. Nobody waits here for what follows from it.
    pub(super) async fn check_lists(
        &self,
        room_id: &RoomId,
        members: &[OwnedUserId],
    ) -> Result<(), Error> {
        if members.is_empty() && !self.bans.is_list(room_id) || !self.bans.are_any() {
            return Ok(());
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        if self.bans.is_stale(&mut snapshot, room_id).await? {
            self.watch.look();
        }
        if members.is_empty() {
            return Ok(());
        }
        let room = rooms::room(&mut snapshot, room_id).await?;
        if room.is_some_and(|room| room.kind.as_deref() == Some(WORLD)) {
            for member in members {
                self.watch.comes(room_id, member);
            }
        }
        Ok(())
    }

    /// Shuts those out of a world whom a list covers, and lets those in again whom none does any more.
    async fn shut_out_all(&self, room_id: &RoomId, in_force: &InForce) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(()) };
        let banned = list_bans::of_room(&mut snapshot, room.room_no).await?;
        if banned.is_empty() && in_force.rules.is_empty() {
            return Ok(());
        }
        let mut inside = Vec::new();
        for membership in [Membership::Join, Membership::Invite, Membership::Knock] {
            inside.extend(rooms::members(&mut snapshot, room.room_no, membership).await?);
        }
        drop(snapshot);
        for (room, people) in self.instances.all().into_iter().filter(|(room, _)| room == room_id) {
            for user_id in people {
                if self.is_shut_out(&user_id, &room).await? {
                    surely(|| self.instances.remove(&room, &user_id, Bye::Removed)).await;
                }
            }
        }
        for member in inside {
            if let Err(error) = self.shut_out(room_id, &member.user_id).await {
                tracing::warn!(%error, %room_id, "somebody on a ban list stays in the room");
            }
        }
        // A list that cannot be read lets nobody in.
        for user_id in banned.into_iter().filter(|_| in_force.is_whole) {
            if self.listed(room.room_no, &user_id).await?.is_none() {
                self.let_in_again(room.room_no, room_id, &user_id).await?;
            }
        }
        Ok(())
    }

    /// Bans somebody from the room of a world whom a list covers, where they are in it or at its door.
    async fn shut_out(&self, room_id: &RoomId, user_id: &UserId) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(()) };
        let (room_no, by) = (room.room_no, self.service_user()?);
        let rows = rooms::memberships_among(&mut snapshot, room_no, &[user_id, &by]).await?;
        drop(snapshot);
        let standing = |one: &UserId| rows.get(one).map(|row| row.membership);
        let is_near = matches!(
            standing(user_id),
            Some(Membership::Join | Membership::Invite | Membership::Knock)
        );
        if !is_near || standing(&by) != Some(Membership::Join) {
            return Ok(());
        }
        let Some(rule) = self.listed(room_no, user_id).await? else { return Ok(()) };
        let why = match &rule.reason {
            Some(reason) => format!("{} is on a ban list: {reason}", rule.entity),
            None => format!("{} is on a ban list", rule.entity),
        };
        // Noted first: what is noted and was not done is taken back by nobody.
        let noted = user_id.to_owned();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.note_list_ban(room_no, &noted).await?) })
        });
        write.await?;
        let ban = Step::to(Membership::Ban).because(Some(why));
        match self.rooms.step(room_id, &by, user_id, ban).await {
            Err(Error::Forbidden(why)) => {
                tracing::warn!(%room_id, %user_id, why, "somebody on a ban list stays in the room");
                Ok(())
            }
            done => done,
        }
    }

    /// Takes the ban of somebody back whom no list covers any more.
    async fn let_in_again(
        &self,
        room_no: i64,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<(), Error> {
        let by = self.service_user()?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let row = rooms::membership(&mut snapshot, room_no, user_id).await?;
        let row = row.filter(|row| row.membership == Membership::Ban);
        let own = match row {
            Some(row) => {
                let said = events::by_numbers(&mut snapshot, &[row.event_no]).await?;
                said.values().any(|stored| stored.event.sender() == by)
            }
            None => false,
        };
        drop(snapshot);
        // What somebody else has done since is theirs to take back.
        if own {
            let unban = Step { from: Some(&[Membership::Ban]), ..Step::to(Membership::Leave) };
            match self.rooms.step(room_id, &by, user_id, unban).await {
                Ok(()) | Err(Error::Forbidden(_) | Error::Invalid(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let user_id = user_id.to_owned();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.forget_list_ban(room_no, &user_id).await?) })
        });
        write.await
    }
}
