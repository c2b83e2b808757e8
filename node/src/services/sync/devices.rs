//! What a device hears that encrypts: messages to it, whose keys changed, how many keys of its own are left.

use std::collections::BTreeSet;

use ruma::{OwnedUserId, UserId, events::StateEventType};
use serde::Serialize;
use serde_json::value::RawValue;
use wayside_federation::state::{NodeId, StateKey};
use wayside_specs::limits;

use super::{
    super::{
        Error,
        rooms::{Asker, view},
    },
    Asked, Events, Sync,
    build::Building,
};
use crate::store::{
    StoreError, events,
    keys::{self, KeyCounts},
    letters::{self, Letter},
    rooms::{self, MemberRow, Membership, RoomRow},
    state,
};

/// Whose keys a client must look at again, and whose no more (client-server API, tracking the device
/// list for a user).
#[derive(Debug, Default, Serialize)]
pub struct DeviceLists {
    changed: BTreeSet<OwnedUserId>,
    left: BTreeSet<OwnedUserId>,
}

impl DeviceLists {
    /// Whether there is nothing in it to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.left.is_empty()
    }
}

impl Sync {
    /// Whose keys changed since one answer, up to another at least.
    pub async fn keys_changed(
        &self,
        asker: &Asker,
        from: &str,
        upto: &str,
    ) -> Result<DeviceLists, Error> {
        let (from, upto) =
            (self.read_token(&asker.user_id, from)?, self.read_token(&asker.user_id, upto)?);
        if from.position > upto.position {
            return Err(Error::Invalid("from is a later answer than to".to_owned()));
        }
        let asked = Asked::default();
        self.building(asker, &asked, Some(from)).await?.device_lists(from.position).await
    }

    /// Forgets the messages up to a position, which a device has shown it has.
    pub(super) fn forget_letters(&self, asker: &Asker, upto: i64) {
        let (store, asker) = (self.ground.store.clone(), asker.clone());
        self.ground.tasks.spawn(async move {
            let forgotten = store.write::<(), StoreError>(move |tx| {
                Box::pin(
                    async move { tx.forget_letters(&asker.user_id, &asker.device_id, upto).await },
                )
            });
            if let Err(error) = forgotten.await {
                tracing::warn!(%error, "forgetting messages that were fetched failed");
            }
        });
    }
}

/// Messages as a client is told of them.
pub(super) fn told(letters: Vec<Letter>) -> Result<Events, Error> {
    let mut events = Vec::with_capacity(letters.len());
    for Letter { kind, sender, content, .. } in letters {
        let kind = serde_json::to_string(&kind).map_err(Error::internal)?;
        let json = format!("{{\"type\":{kind},\"sender\":\"{sender}\",\"content\":{content}}}");
        events.push(RawValue::from_string(json).map_err(Error::internal)?);
    }
    Ok(Events { events })
}

impl Building<'_> {
    /// The messages to the device, the oldest first, and the position of the last of them.
    pub(super) async fn letters(&mut self) -> Result<(Events, Option<i64>), Error> {
        let after = match self.told {
            None => 0,
            // None can be left of before, and none has come since.
            Some(token)
                if token.letters.is_none()
                    && self.changed.as_ref().is_some_and(|changed| !changed.letters) =>
            {
                return Ok((Events::default(), None));
            }
            Some(token) => token.letters.unwrap_or(token.position),
        };
        let Asker { user_id, device_id } = self.asker;
        let most = limits::SYNC_LETTERS;
        let found = letters::letters(&mut self.snapshot, user_id, device_id, after, most).await?;
        let last = found.last().map(|letter| letter.position);
        Ok((told(found)?, last))
    }

    /// How many keys of the device are left to be given away, by algorithm, and the algorithms whose
    /// fallback key is unused.
    pub(super) async fn key_counts(&mut self) -> Result<KeyCounts, Error> {
        let Asker { user_id, device_id } = self.asker;
        Ok(keys::counts(&mut self.snapshot, user_id, device_id).await?)
    }

    /// Whose keys changed after a position, for who shares a room with them; who came to share an
    /// encrypted room; and who no longer does.
    pub(super) async fn device_lists(&mut self, from: i64) -> Result<DeviceLists, Error> {
        let own = self.asker.user_id.clone();
        let published: Vec<OwnedUserId> = match &self.changed {
            Some(changed) => changed.keys.iter().cloned().collect(),
            None => keys::changed_since(&mut self.snapshot, from, &own).await?,
        };
        let names: Vec<&UserId> = published.iter().map(AsRef::as_ref).collect();
        let near = rooms::who_share_a_room(&mut self.snapshot, &own, &names).await?;
        let heard = |user: &OwnedUserId| *user == own || near.contains(user);
        let mut lists = DeviceLists {
            changed: published.into_iter().filter(heard).collect(),
            left: BTreeSet::new(),
        };
        for (room, member) in self.rooms_moved(from).await? {
            self.compare(&room, &member, from, &mut lists).await?;
        }
        if !lists.left.is_empty() {
            let gone: Vec<&UserId> = lists.left.iter().map(AsRef::as_ref).collect();
            let still = rooms::who_share_an_encrypted_room(&mut self.snapshot, &own, &gone).await?;
            lists.left.retain(|user| *user != own && !still.contains(user));
        }
        Ok(lists)
    }

    /// The person's rooms in which somebody may have come or gone, or encryption begun.
    async fn rooms_moved(&mut self, from: i64) -> Result<Vec<(RoomRow, MemberRow)>, Error> {
        let user_id = &self.asker.user_id;
        let members = match &self.changed {
            Some(changed) => {
                let numbers: Vec<i64> = changed.moved.iter().copied().collect();
                rooms::memberships_in(&mut self.snapshot, user_id, &numbers).await?
            }
            None => rooms::memberships_of(&mut self.snapshot, user_id).await?,
        };
        let numbers: Vec<i64> = members.iter().map(|member| member.room_no).collect();
        let mut found = Vec::new();
        for room in rooms::by_numbers(&mut self.snapshot, &numbers).await? {
            let member = members.iter().find(|member| member.room_no == room.room_no);
            if let Some(member) = member.filter(|_| room.last_position > from) {
                found.push((room, member.clone()));
            }
        }
        Ok(found)
    }

    /// Who is in a room beside the person now and was not at a position, and the other way round, as
    /// far as the room was encrypted.
    async fn compare(
        &mut self,
        room: &RoomRow,
        member: &MemberRow,
        from: i64,
        lists: &mut DeviceLists,
    ) -> Result<(), Error> {
        if !self.is_encrypted(room.state_root).await? {
            return Ok(());
        }
        let before = view::root_at(&mut self.snapshot, room, from).await?;
        let own = self.asker.user_id.clone();
        let was_in = self.was_in(before, &own).await? && self.is_encrypted(before).await?;
        let is_in = member.membership == Membership::Join;
        let inside = |rows: Vec<MemberRow>| rows.into_iter().map(|row| row.user_id);
        match (was_in, is_in) {
            (false, false) => {}
            (false, true) => {
                let rows = rooms::members(&mut self.snapshot, room.room_no, Membership::Join);
                lists.changed.extend(inside(rows.await?));
            }
            (true, false) => {
                let rows = rooms::members(&mut self.snapshot, room.room_no, Membership::Join);
                lists.left.extend(inside(rows.await?));
                lists.left.extend(self.moved(room, from).await?);
            }
            (true, true) => {
                for user in self.moved(room, from).await? {
                    let was = self.was_in(before, &user).await?;
                    let row = rooms::membership(&mut self.snapshot, room.room_no, &user).await?;
                    let is = row.is_some_and(|row| row.membership == Membership::Join);
                    if is && !was {
                        lists.changed.insert(user);
                    } else if was && !is {
                        lists.left.insert(user);
                    }
                }
            }
        }
        Ok(())
    }

    async fn moved(&mut self, room: &RoomRow, from: i64) -> Result<Vec<OwnedUserId>, Error> {
        Ok(events::who_moved(&mut self.snapshot, room.room_no, from).await?)
    }

    async fn is_encrypted(&mut self, root: NodeId) -> Result<bool, Error> {
        let key = StateKey::new(StateEventType::RoomEncryption, "");
        Ok(state::lookup(&mut self.snapshot, root, &[key]).await?[0].is_some())
    }

    async fn was_in(&mut self, root: NodeId, user_id: &UserId) -> Result<bool, Error> {
        let key = StateKey::new(StateEventType::RoomMember, user_id.as_str());
        let Some(number) = state::lookup(&mut self.snapshot, root, &[key]).await?[0] else {
            return Ok(false);
        };
        let then = events::by_numbers(&mut self.snapshot, &[number]).await?.remove(&number);
        Ok(then.is_some_and(|it| view::is_joined(&it.event)))
    }
}
