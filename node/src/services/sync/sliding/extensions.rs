//! What is told beside rooms: messages to the device, keys, the person's own data, receipts, typing.

use std::collections::BTreeSet;

use ruma::OwnedRoomId;
use serde_json::{Value, json};
use wayside_specs::limits;

use super::{
    Round,
    answer::{Answer, DataPart, KeysPart, LettersPart, MomentsPart},
    asked::{LettersWish, Wish},
};
use crate::{
    services::{
        Error,
        rooms::Asker,
        sync::{
            Sync,
            beside::shown_data,
            devices::{DeviceLists, told},
        },
    },
    store::{
        letters, people,
        rooms::{self, RoomRow},
    },
};

impl Sync {
    /// Forgets the messages that a device has shown it has.
    pub(super) fn forget_shown(&self, asker: &Asker, wish: &LettersWish) -> Result<(), Error> {
        if let Some(upto) = since(wish)? {
            self.forget_letters(asker, upto);
        }
        Ok(())
    }
}

/// Up to where the device has its messages, by the `next_batch` that it was given.
fn since(wish: &LettersWish) -> Result<Option<i64>, Error> {
    let wrong = || Error::Invalid("since is not a next_batch of this node".to_owned());
    let read =
        |text: &String| text.strip_prefix('m').and_then(|rest| rest.parse().ok()).ok_or_else(wrong);
    wish.since.as_ref().filter(|_| wish.enabled).map(read).transpose()
}

impl Round<'_> {
    pub(super) async fn extensions(
        &mut self,
        answer: &mut Answer,
        wanted: &BTreeSet<i64>,
    ) -> Result<(), Error> {
        let wishes = &self.body.extensions;
        let on = |wish: &Option<Wish>| wish.as_ref().is_some_and(|wish| wish.enabled);
        if let Some(wish) = wishes.to_device.as_ref().filter(|wish| wish.enabled) {
            answer.extensions.to_device = Some(self.letters(wish).await?);
        }
        if on(&wishes.e2ee) {
            answer.extensions.e2ee = Some(self.keys().await?);
        }
        if on(&wishes.account_data) {
            answer.extensions.account_data = Some(self.data(answer).await?);
        }
        if on(&wishes.receipts) {
            answer.extensions.receipts = Some(self.receipts(answer, wanted).await?);
        }
        if on(&wishes.typing) {
            answer.extensions.typing = Some(self.typing(answer).await?);
        }
        Ok(())
    }

    async fn letters(&mut self, wish: &LettersWish) -> Result<LettersPart, Error> {
        let after = since(wish)?.unwrap_or(0);
        let wished = wish.limit.map_or(limits::SYNC_LETTERS, i64::from);
        let limit = wished.clamp(1, limits::SYNC_LETTERS);
        let Asker { user_id, device_id } = self.building.asker;
        let snapshot = &mut self.building.snapshot;
        let found = letters::letters(snapshot, user_id, device_id, after, limit).await?;
        let full = i64::try_from(found.len()).is_ok_and(|count| count == limit);
        let last = found.last().filter(|_| full).map(|letter| letter.position);
        // Where none is left, all up to now were told.
        let next = last.unwrap_or(self.building.now.max(after));
        Ok(LettersPart { next_batch: format!("m{next}"), events: told(found)? })
    }

    async fn keys(&mut self) -> Result<KeysPart, Error> {
        let counts = self.building.key_counts().await?;
        let lists = if self.begins {
            DeviceLists::default()
        } else {
            self.building.device_lists(self.known.position).await?
        };
        let (one_time_keys, unused_fallback) = (counts.one_time, counts.unused_fallback);
        Ok(KeysPart { lists, one_time_keys, unused_fallback })
    }

    /// The person's own data that changed, and all of it of rooms that the client is told of anew.
    async fn data(&mut self, answer: &Answer) -> Result<DataPart, Error> {
        let (of_rooms, global) = self.building.account_data().await?;
        let mut part = DataPart { global: global.events, ..DataPart::default() };
        let own = self.building.asker.user_id.clone();
        let filter = &self.building.asked.filter.room.account_data;
        for (room_id, room) in answer.rooms.iter().filter(|(_, room)| room.initial.is_some()) {
            let snapshot = &mut self.building.snapshot;
            let Some(row) = rooms::room(snapshot, room_id).await? else { continue };
            let items = people::data_of_room(snapshot, &own, row.room_no).await?;
            let events = shown_data(&items, filter)?.events;
            if !events.is_empty() && room.invite_state.is_none() {
                part.rooms.insert(room_id.clone(), events);
            }
        }
        // Of what changed only what belongs to rooms that the client knows.
        let numbers: Vec<i64> = of_rooms
            .keys()
            .copied()
            .filter(|room_no| self.known.rooms.contains_key(room_no))
            .collect();
        let mut of_rooms = of_rooms;
        for row in rooms::by_numbers(&mut self.building.snapshot, &numbers).await? {
            if let Some(events) = of_rooms.remove(&row.room_no) {
                part.rooms.entry(row.room_id).or_insert(events.events);
            }
        }
        Ok(part)
    }

    /// The rooms of which receipts or typing may have to be told: those of this answer, and those
    /// that the client knows and in which something moved.
    async fn rows(
        &mut self,
        answer: &Answer,
        moved: impl Iterator<Item = i64>,
    ) -> Result<Vec<RoomRow>, Error> {
        let mut numbers: BTreeSet<i64> = moved.collect();
        numbers.retain(|room_no| self.known.rooms.contains_key(room_no));
        numbers.extend(self.delta.rooms.iter().map(|(room_no, _)| *room_no));
        let numbers: Vec<i64> = numbers.into_iter().collect();
        let mut rows = rooms::by_numbers(&mut self.building.snapshot, &numbers).await?;
        let door = |room_id: &OwnedRoomId| {
            answer.rooms.get(room_id).is_some_and(|room| room.membership != "join")
        };
        rows.retain(|row| !door(&row.room_id));
        Ok(rows)
    }

    async fn receipts(
        &mut self,
        answer: &Answer,
        wanted: &BTreeSet<i64>,
    ) -> Result<MomentsPart, Error> {
        let moved: Vec<i64> = match &self.building.changed {
            Some(changed) => changed.receipts.iter().copied().collect(),
            None => wanted.iter().copied().collect(),
        };
        let mut part = MomentsPart::default();
        let own = self.building.asker.user_id.clone();
        for row in self.rows(answer, moved.into_iter()).await? {
            // Of rooms that it knows the client was told with each answer so far.
            let is_known = self.known.rooms.contains_key(&row.room_no);
            let since = if is_known { self.known.position } else { 0 };
            let snapshot = &mut self.building.snapshot;
            let mut found = people::receipts_since(snapshot, row.room_no, &own, since).await?;
            if since == 0 {
                // Of a room that is new to the client, only those that stand beside what it is shown.
                let shown = answer.rooms.get(&row.room_id);
                let shown: String =
                    shown.into_iter().flat_map(|it| &it.timeline).map(|it| it.get()).collect();
                found.retain(|it| it.user_id == own || shown.contains(it.event_id.as_str()));
            }
            let events = self.building.receipts(found);
            if let Some(event) = merged(events) {
                part.rooms.insert(row.room_id, event);
            }
        }
        Ok(part)
    }

    async fn typing(&mut self, answer: &Answer) -> Result<MomentsPart, Error> {
        let serial = if self.begins { 0 } else { self.known.serial };
        let moved = self.building.sync.live.rooms_typing_since(serial);
        let mut part = MomentsPart::default();
        for row in self.rows(answer, moved.into_iter()).await? {
            let is_new = !self.known.rooms.contains_key(&row.room_no);
            let since = if is_new { 0 } else { serial };
            let typing = self.building.sync.live.typing_since(row.room_no, since);
            let Some(mut users) = typing else { continue };
            users.retain(|user_id| !self.building.ignored.has(user_id));
            if !(is_new && users.is_empty()) {
                let event = json!({ "type": "m.typing", "content": { "user_ids": users } });
                part.rooms.insert(row.room_id, event);
            }
        }
        Ok(part)
    }
}

/// One event of what may be several, of which one for each room has a place.
fn merged(events: Vec<Value>) -> Option<Value> {
    let mut events = events.into_iter();
    let mut whole = events.next()?;
    for event in events {
        let Value::Object(content) = &event["content"] else { continue };
        for (event_id, kinds) in content {
            for (kind, people) in kinds.as_object().into_iter().flatten() {
                for (user_id, told) in people.as_object().into_iter().flatten() {
                    whole["content"][event_id][kind][user_id] = told.clone();
                }
            }
        }
    }
    Some(whole)
}
