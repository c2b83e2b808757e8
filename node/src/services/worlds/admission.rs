//! Doors that open to whoever holds what a world asks for.
//!
//! Such a world is one that people are invited to, and the node invites whoever shows what its state names. Who came
//! in so is out again when that is over or was taken back: it is looked at when they come, whenever this node takes
//! something back, and now and then.

use std::{sync::Arc, time::Duration};

use ruma::{RoomId, UserId};
use serde_json::Value;
use tokio::time::sleep;
use wayside_identity::{
    badge::{Asks, Wanted},
    credential::Credential,
    json,
};
use wayside_specs::Did;

use super::{
    super::{
        Error, Unproven,
        credentials::Unbelieved,
        rooms::{Listed, Membership, Step},
    },
    World, Worlds,
};
use crate::store::{badges, rooms};

/// Between two looks at all who were let in for what they showed.
const ROUND: Duration = Duration::from_mins(10);
/// What is good for less than that is said anew each time that somebody comes, in milliseconds.
const SHORT_MS: i64 = 60 * 60 * 1_000;
/// Those who are looked at together.
const PAGE: i64 = 100;

/// Somebody at a door, with what they show there.
pub(super) struct AtDoor<'d> {
    /// Their account.
    pub account: &'d UserId,
    /// Their DID; those have none who hold nothing.
    pub did: Option<&'d Did>,
    /// What they show.
    pub shown: &'d [Credential],
}

/// What a world asks of whoever comes; nothing where everybody may, and nothing that could be shown where what its
/// state says cannot be read.
pub(super) fn asks_of(listed: &Listed) -> Asks {
    let said = listed.world.as_ref().and_then(|said| said.get("asks"));
    match said {
        Some(said) if listed.join_rule.as_deref() != Some("public") => {
            Asks::read(said).unwrap_or_default()
        }
        _ => Asks::default(),
    }
}

impl Worlds {
    /// Lets somebody of this node through the door of a world that asks for something, if they hold it.
    pub(super) async fn admit_neighbour(
        &self,
        world: &World,
        user_id: &UserId,
    ) -> Result<(), Error> {
        if world.asks.is_empty() {
            return Ok(());
        }
        let did = match self.persons.did_of(user_id).await {
            Ok(did) => did,
            // Who has no DID holds nothing, and may be invited all the same.
            Err(Error::NotFound(_)) => {
                let who = AtDoor { account: user_id, did: None, shown: &[] };
                return self.admit(world, who).await;
            }
            Err(error) => return Err(error),
        };
        // They show it to the node that keeps it for them.
        let held = self.badges.to_show(user_id, &world.asks).await?;
        let mut shown = [held.others, held.asked].concat();
        if world.asks.all().iter().any(|ask| ask.wanted == Wanted::Home) {
            shown.push(self.persons.membership(user_id).await?);
        }
        let shown: Vec<Credential> =
            shown.iter().filter_map(|it| Credential::read(it).ok()).collect();
        self.admit(world, AtDoor { account: user_id, did: Some(&did), shown: &shown }).await
    }

    /// Lets somebody through the door of a world that asks for something, if they show it or are invited.
    pub(super) async fn admit(&self, world: &World, who: AtDoor<'_>) -> Result<(), Error> {
        let (room_id, account) = (&world.room_id, who.account);
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(()) };
        let row = rooms::membership(&mut snapshot, room.room_no, account).await?;
        let admitted = badges::admitted(&mut snapshot, room.room_no, account).await?;
        drop(snapshot);
        let is_near =
            row.is_some_and(|it| matches!(it.membership, Membership::Join | Membership::Invite));
        if is_near && admitted.is_none() {
            return Ok(());
        }
        let fitting = match who.did {
            Some(did) => self.badges.fitting(&world.asks, who.shown, did).await?,
            None => None,
        };
        match (fitting, is_near) {
            (Some(fitting), true) => self.note_admitted(room.room_no, account, fitting).await,
            (Some(fitting), false) => {
                // Noted first: whoever is in without that was invited.
                self.note_admitted(room.room_no, account, fitting).await?;
                let (by, invite) = (self.service_user()?, Step::to(Membership::Invite));
                let invited = self.federation.step(room_id, &by, account, invite, &[]).await;
                if invited.is_err() {
                    self.forget_admitted(room.room_no, account).await?;
                }
                invited
            }
            (None, true) => {
                self.turn_out(room.room_no, room_id, account).await?;
                Err(Unproven::Lacking.into())
            }
            (None, false) => Err(Unproven::Lacking.into()),
        }
    }

    /// Takes somebody out of a world who came in by what is worth nothing any more.
    async fn turn_out(
        &self,
        room_no: i64,
        room_id: &RoomId,
        account: &UserId,
    ) -> Result<(), Error> {
        let why = "what they came in by is over, or was taken back".to_owned();
        let leave = Step::to(Membership::Leave).because(Some(why));
        self.rooms.step(room_id, &self.service_user()?, account, leave).await?;
        self.forget_admitted(room_no, account).await
    }

    /// Looks at those who were let in for what they showed, until the node ends.
    pub async fn look_after_doors(self: Arc<Self>) {
        let stop = self.ground.stop.clone();
        let looking = async {
            loop {
                tokio::select! {
                    () = self.badges.taken_back() => {}
                    () = sleep(ROUND) => {}
                }
                if let Err(error) = self.look_at_admitted().await {
                    tracing::warn!(%error, "who may stay in worlds that ask for something is not known");
                }
            }
        };
        let _ended = Box::pin(stop.run_until_cancelled(looking)).await;
    }

    async fn look_at_admitted(&self) -> Result<(), Error> {
        let mut after = (0, String::new());
        loop {
            let mut snapshot = self.ground.store.snapshot().await?;
            let page = badges::all_admitted(&mut snapshot, (after.0, &after.1), PAGE).await?;
            drop(snapshot);
            let Some(last) = page.last() else { return Ok(()) };
            after = (last.room_no, last.user_id.to_string());
            for row in page {
                if self.is_over(&row).await? {
                    let mut snapshot = self.ground.store.snapshot().await?;
                    let room = rooms::by_numbers(&mut snapshot, &[row.room_no]).await?.pop();
                    drop(snapshot);
                    let Some(room) = room else { continue };
                    self.turn_out(row.room_no, &room.room_id, &row.user_id).await?;
                }
            }
        }
    }

    /// Whether that by which somebody came in is worth nothing any more. Whoever does not answer says nothing of it.
    async fn is_over(&self, row: &badges::Admitted) -> Result<bool, Error> {
        let now_ms = self.ground.clock.now_ms();
        if row.credential.is_empty() {
            return Ok(false);
        }
        if row.until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            return Ok(true);
        }
        let value: Value = serde_json::from_str(&row.credential).map_err(Error::internal)?;
        let credential = Credential::read(&value).map_err(Error::internal)?;
        match self.badges.stands(&credential).await {
            Ok(()) | Err(Unbelieved::Silent(_)) => Ok(false),
            Err(Unbelieved::Node(error)) => Err(error),
            Err(_) => Ok(true),
        }
    }

    /// Notes for what somebody is in a room.
    async fn note_admitted(
        &self,
        room_no: i64,
        account: &UserId,
        by: &Credential,
    ) -> Result<(), Error> {
        // The word of a home is said anew each time, for minutes: that it is over is no reason to leave.
        let until_ms = by.valid_until().map(|until| until.0);
        let now_ms = self.ground.clock.now_ms();
        let is_short = until_ms.is_some_and(|until_ms| until_ms - now_ms < SHORT_MS);
        let what =
            if is_short { (String::new(), None) } else { (json::canonical(by.value()), until_ms) };
        self.keep_admitted(room_no, account, what).await
    }

    /// Notes that somebody is in a room for what they showed under another account.
    pub(super) async fn keep_admitted(
        &self,
        room_no: i64,
        account: &UserId,
        (credential, until_ms): (String, Option<i64>),
    ) -> Result<(), Error> {
        let account = account.to_owned();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                Ok(tx.note_admitted(room_no, &account, (&credential, until_ms)).await?)
            })
        });
        write.await
    }

    /// Forgets that of somebody who is there no more.
    pub(super) async fn forget_admitted(
        &self,
        room_no: i64,
        account: &UserId,
    ) -> Result<(), Error> {
        let account = account.to_owned();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let row = rooms::membership(tx, room_no, &account).await?;
                let is_near = row.is_some_and(|it| {
                    matches!(it.membership, Membership::Join | Membership::Invite)
                });
                if !is_near {
                    tx.forget_admitted(room_no, &account).await?;
                }
                Ok(())
            })
        });
        write.await
    }
}
