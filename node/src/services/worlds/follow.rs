//! What goes on beside visits: what is committed is shown inside, and where people stand is kept.

use std::{sync::Arc, time::Duration};

use ruma::{RoomId, UserId, events::TimelineEventType};
use tokio::{
    sync::{broadcast, mpsc},
    time::sleep,
};
use wayside_federation::event::Event;
use wayside_specs::Role;
use wayside_world::realtime::Bye;

use super::{
    super::{
        Error,
        bans::LIST,
        rooms::{
            format::{self, Form, Unsigned},
            view::text_in,
        },
    },
    Worlds,
    portals::PORTAL,
    visits::REMEMBERED_MS,
};
use crate::{
    instances::{Changed, Stood},
    store::{
        StoreError, accounts, badges,
        bus::{Change, Commit},
        events::{self, Stretch},
        rooms::{self, MemberRow, Membership},
    },
};

/// Events of one room that are shown at once after news were missed.
const MISSED: i64 = 200;
/// Places that are written in one use case.
const PLACES: usize = 256;
/// When a shard that was too busy is told again: some ticks later.
const AGAIN: Duration = Duration::from_millis(100);

impl Worlds {
    /// Shows what is committed in the rooms of worlds to those inside, until the node ends.
    pub async fn follow(self: Arc<Self>) {
        let mut commits = self.ground.store.bus().listen();
        let mut seen = self.ground.store.bus().position();
        loop {
            let heard = self.ground.stop.run_until_cancelled(commits.recv()).await;
            let done = match heard {
                None | Some(Err(broadcast::error::RecvError::Closed)) => return,
                Some(Ok(commit)) => {
                    let done = if commit.lost {
                        self.catch_up(seen).await
                    } else {
                        self.show(&commit).await
                    };
                    seen = seen.max(commit.position);
                    done
                }
                Some(Err(broadcast::error::RecvError::Lagged(_))) => {
                    let done = self.catch_up(seen).await;
                    seen = self.ground.store.bus().position();
                    done
                }
            };
            if let Err(error) = done {
                tracing::warn!(%error, "what was said in a world could not be shown there");
            }
        }
    }

    /// Keeps where people stand, until there are no instances any more.
    pub async fn remember(self: Arc<Self>, mut stood: mpsc::Receiver<Stood>) {
        let mut batch = Vec::new();
        while stood.recv_many(&mut batch, PLACES).await > 0 {
            if let Err(error) = self.remember_places(std::mem::take(&mut batch)).await {
                tracing::warn!(%error, "where people stand could not be kept");
            }
        }
    }

    /// Forgets where those stood who left long ago; to be called now and then.
    pub async fn forget_places(&self) {
        let before_ms = self.ground.clock.now_ms() - REMEMBERED_MS;
        let forget = self.ground.store.write::<_, StoreError>(move |tx| {
            Box::pin(async move { tx.forget_places(before_ms).await })
        });
        if let Err(error) = forget.await {
            tracing::warn!(%error, "forgetting old places failed; it is tried again");
        }
    }

    async fn remember_places(&self, batch: Vec<Stood>) -> Result<(), Error> {
        let now_ms = self.ground.clock.now_ms();
        let keep = self.ground.store.write::<(), StoreError>(move |tx| {
            Box::pin(async move {
                for Stood { room_id, user_id, pose } in batch {
                    if let Some(room) = rooms::room(tx, &room_id).await? {
                        let pose = pose.encode();
                        tx.remember_place(room.room_no, &user_id, &pose, now_ms).await?;
                    }
                }
                Ok(())
            })
        });
        Ok(keep.await?)
    }

    async fn show(&self, commit: &Commit) -> Result<(), Error> {
        for change in &commit.changes {
            match change {
                Change::Event { room_no, room_id, position, members, .. } => {
                    self.check_lists(room_id, members).await?;
                    if self.instances.crowd(room_id).is_none() {
                        continue;
                    }
                    let stretch = Stretch::Forth { after: position - 1, upto: *position };
                    self.show_stretch(*room_no, room_id, stretch).await?;
                    for member in members {
                        self.check(*room_no, room_id, member).await?;
                    }
                }
                Change::Account { user_id, .. } => self.check_account(user_id).await?,
                // Perhaps whom they block: it is looked up for those who are in a world alone.
                Change::Person { user_id, .. } => self.check_blocks(user_id).await?,
                Change::Receipt { .. }
                | Change::Keys { .. }
                | Change::Letter { .. }
                | Change::Outgoing { .. }
                | Change::Forgotten { .. } => {}
            }
        }
        Ok(())
    }

    /// Shows what was missed, and looks through those inside for who may be there no more.
    async fn catch_up(&self, seen: i64) -> Result<(), Error> {
        for (room_id, people) in self.instances.all() {
            let room = rooms::room(&mut self.ground.store.snapshot().await?, &room_id).await?;
            let Some(room) = room else { continue };
            let stretch = Stretch::Forth { after: seen, upto: i64::MAX };
            self.show_stretch(room.room_no, &room_id, stretch).await?;
            for user_id in people {
                self.check(room.room_no, &room_id, &user_id).await?;
                self.check_account(&user_id).await?;
                if self.ground.is_local(&user_id) {
                    self.check_blocks(&user_id).await?;
                }
            }
        }
        Ok(())
    }

    async fn show_stretch(
        &self,
        room_no: i64,
        room_id: &RoomId,
        stretch: Stretch,
    ) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut doors = false;
        for stored in events::timeline(&mut snapshot, room_no, stretch, MISSED).await? {
            let kind = stored.event.kind();
            // What is encrypted goes in as it is: the node has no key of it, and needs none.
            let is_said = matches!(
                kind,
                TimelineEventType::RoomMessage
                    | TimelineEventType::RoomEncrypted
                    | TimelineEventType::RoomRedaction
                    | TimelineEventType::Reaction
                    | TimelineEventType::Sticker
            );
            if is_list(&stored.event) {
                self.watch.look();
            }
            if is_said || is_portal(&stored.event) {
                let event = format::client_event(&stored, Form::default(), Unsigned::default());
                let sender = stored.event.sender();
                self.instances.show(room_id, sender, event.get().to_owned());
            }
            doors |=
                matches!(kind, TimelineEventType::RoomJoinRules | TimelineEventType::RoomServerAcl);
        }
        drop(snapshot);
        if doors { self.check_visitors(room_id).await } else { Ok(()) }
    }

    /// Visitors whom the rules of a world let in no more leave it: they are no members, whom rules leave alone.
    async fn check_visitors(&self, room_id: &RoomId) -> Result<(), Error> {
        let inside = self.instances.all().into_iter().filter(|(room, _)| room == room_id);
        for user_id in inside.flat_map(|(_, people)| people) {
            if !self.ground.is_local(&user_id) && !self.may_still_visit(&user_id, room_id).await? {
                surely(|| self.instances.remove(room_id, &user_id, Bye::Removed)).await;
            }
        }
        Ok(())
    }

    /// Whoever is signed out or held leaves all worlds, and who is no guest any more is shown so.
    async fn check_account(&self, user_id: &UserId) -> Result<(), Error> {
        if !self.ground.is_local(user_id) {
            // Their home knows of their devices, and lets them show who they are.
            return Ok(());
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let account = accounts::account(&mut snapshot, user_id).await?;
        let devices = accounts::devices(&mut snapshot, user_id).await?;
        let held = account.as_ref().is_some_and(|account| account.held.any());
        let staying = devices.into_iter().filter(|_| !held).map(|device| device.device_id);
        let staying = staying.collect();
        surely(|| self.instances.sign_out(user_id, &staying)).await;
        if account.is_some_and(|account| account.role > Role::Guest) {
            self.instances.change(user_id, &Changed::Kept);
        }
        Ok(())
    }

    /// Those whom somebody blocks by now are parted from them, the others not any more.
    pub(super) async fn check_blocks(&self, user_id: &UserId) -> Result<(), Error> {
        if !self.instances.is_inside(user_id) {
            return Ok(());
        }
        let blocks = self.blocks_of(user_id).await?;
        surely(|| self.instances.block(user_id, &blocks)).await;
        Ok(())
    }

    /// Whoever may not be in a world any more leaves it, and a new name is shown.
    async fn check(&self, room_no: i64, room_id: &RoomId, user_id: &UserId) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let row = rooms::membership(&mut snapshot, room_no, user_id).await?;
        let is_in = |row: &MemberRow| row.membership == Membership::Join;
        // Visitors come in before their home has joined the room, or without.
        let is_coming = row.as_ref().is_none_or(|row| row.membership == Membership::Invite);
        if is_coming && !self.ground.is_local(user_id) {
            return Ok(());
        }
        if row.as_ref().is_some_and(|row| row.membership == Membership::Ban) {
            drop(snapshot);
            // A ban is on the person.
            for other in self.companions(user_id).await? {
                surely(|| self.instances.remove(room_id, &other, Bye::Removed)).await;
            }
            surely(|| self.instances.remove(room_id, user_id, Bye::Removed)).await;
            return Ok(());
        }
        let Some(row) = row.filter(is_in) else {
            // Whoever is invited after they have left is.
            let is_admitted = badges::admitted(&mut snapshot, room_no, user_id).await?.is_some();
            drop(snapshot);
            if is_admitted {
                self.forget_admitted(room_no, user_id).await?;
            }
            surely(|| self.instances.remove(room_id, user_id, Bye::Removed)).await;
            return Ok(());
        };
        let stored = events::by_numbers(&mut snapshot, &[row.event_no]).await?;
        let name = stored.get(&row.event_no).and_then(|it| text_in(&it.event, "displayname"));
        let name = name.unwrap_or_else(|| user_id.localpart().to_owned());
        self.instances.change(user_id, &Changed::Name(name));
        Ok(())
    }
}

fn is_list(event: &Event) -> bool {
    event.state_key().is_some() && event.kind().to_string() == LIST
}

fn is_portal(event: &Event) -> bool {
    event.state_key().is_some() && event.kind().to_string() == PORTAL
}

/// Does what must be done: shards empty their mailboxes in every tick, so that one that is full has room
/// again soon, and everything else may wait for that.
pub(super) async fn surely(deed: impl Fn() -> bool) {
    while !deed() {
        sleep(AGAIN).await;
    }
}
