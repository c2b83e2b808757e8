//! What is told beside rooms: messages to the device, keys, the person's own data, receipts, typing.

use std::collections::BTreeSet;

use ruma::OwnedRoomId;
use serde_json::{Value, json};
use wayside_identity::tag;
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

/// Longest `since` that is read, in bytes; those of this node are shorter by far.
const SINCE: usize = 100;

/// Up to where a device says that it has its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    upto: i64,
    /// Whether this node told that device so. What proves nothing has nothing forgotten.
    proven: bool,
}

impl Sync {
    /// Up to where a device has its messages, by the `next_batch` that it was given; those up to
    /// there are forgotten for it, so that what was given to anybody else is refused.
    pub(super) fn shown(&self, asker: &Asker, wish: &LettersWish) -> Result<Option<Shown>, Error> {
        let Some(text) = wish.since.as_deref().filter(|_| wish.enabled) else { return Ok(None) };
        let read = Shown::read(&self.ground.token_key, asker, text);
        read.map(Some).ok_or_else(|| wrong("it was not given to this device by this node"))
    }

    /// Forgets the messages that a device has shown it has.
    pub(super) fn forget_shown(&self, asker: &Asker, shown: Shown) {
        if shown.proven {
            self.forget_letters(asker, shown.upto);
        }
    }
}

fn wrong(why: &str) -> Error {
    Error::Invalid(format!("since is no next_batch of the messages: {why}"))
}

impl Shown {
    /// The text for a client: `m<position>_<seal>`.
    fn seal(key: &[u8; 32], asker: &Asker, upto: i64) -> String {
        let body = format!("m{upto}");
        let seal = tag::tag(key, &Self::sealed(asker, &body));
        format!("{body}_{}", hex::encode(seal))
    }

    fn read(key: &[u8; 32], asker: &Asker, text: &str) -> Option<Self> {
        if text.len() > SINCE {
            return None;
        }
        let (body, seal) = text.split_once('_').map_or((text, None), |(it, seal)| (it, Some(seal)));
        let upto = body.strip_prefix('m')?.parse().ok().filter(|upto| *upto >= 0)?;
        // Devices may still hold those of the time before there were seals.
        let Some(seal) = seal else { return Some(Self { upto, proven: false }) };
        let mut claimed = [0; 8];
        hex::decode_to_slice(seal, &mut claimed).ok()?;
        let proven = tag::matches(key, &Self::sealed(asker, body), &claimed);
        proven.then_some(Self { upto, proven })
    }

    fn sealed<'s>(asker: &'s Asker, body: &'s str) -> [&'s [u8]; 4] {
        let device_id = asker.device_id.as_str().as_bytes();
        [b"letters", asker.user_id.as_bytes(), device_id, body.as_bytes()]
    }
}

impl Round<'_> {
    /// Refuses to believe that a device has messages of a time that has not come.
    pub(super) fn check_shown(&self) -> Result<(), Error> {
        match self.shown {
            Some(shown) if shown.upto > self.building.now => {
                Err(wrong("it is from a future that this node does not know"))
            }
            _ => Ok(()),
        }
    }

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
        // After what proves nothing, all that wait are told: some twice rather than one never.
        let after = self.shown.filter(|it| it.proven).map_or(0, |it| it.upto);
        let wished = wish.limit.map_or(limits::SYNC_LETTERS, i64::from);
        let limit = wished.clamp(1, limits::SYNC_LETTERS);
        let asker = self.building.asker;
        let snapshot = &mut self.building.snapshot;
        let found =
            letters::letters(snapshot, &asker.user_id, &asker.device_id, after, limit).await?;
        let full = i64::try_from(found.len()).is_ok_and(|count| count == limit);
        let last = found.last().filter(|_| full).map(|letter| letter.position);
        // Where none is left, all up to now were told.
        let next = last.unwrap_or(self.building.now.max(after));
        let next_batch = Shown::seal(&self.building.sync.ground.token_key, asker, next);
        Ok(LettersPart { next_batch, events: told(found)? })
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

#[cfg(test)]
mod tests {
    use ruma::{owned_device_id, owned_user_id};

    use super::*;

    fn ann() -> Asker {
        Asker { user_id: owned_user_id!("@ann:a.test"), device_id: owned_device_id!("PHONE") }
    }

    #[test]
    fn what_was_given_to_a_device_reads_back_for_it_alone() {
        let key = [7; 32];
        let text = Shown::seal(&key, &ann(), 42);
        let read = |key: &[u8; 32], asker: &Asker, text: &str| Shown::read(key, asker, text);
        assert_eq!(read(&key, &ann(), &text), Some(Shown { upto: 42, proven: true }));
        let other = Asker { device_id: owned_device_id!("TABLET"), ..ann() };
        let bob = Asker { user_id: owned_user_id!("@bob:a.test"), ..ann() };
        assert_eq!(read(&key, &other, &text), None);
        assert_eq!(read(&key, &bob, &text), None);
        assert_eq!(read(&[8; 32], &ann(), &text), None);
        assert_eq!(read(&key, &ann(), &text.replacen("m42", "m43", 1)), None);
        // What has no seal is read and proves nothing.
        assert_eq!(read(&key, &ann(), "m42"), Some(Shown { upto: 42, proven: false }));
        for wrong in ["", "m", "m-1", "42", "m42_", "s42", "m99999999999999999999"] {
            assert_eq!(read(&key, &ann(), wrong), None, "{wrong}");
        }
        assert_eq!(read(&key, &ann(), &format!("m{}", "0".repeat(SINCE))), None);
    }

    #[test]
    fn no_text_makes_it_panic() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            for text in [text.to_string(), format!("m{text}"), format!("m1_{text}")] {
                let read = Shown::read(&[7; 32], &ann(), &text);
                assert!(read.is_none_or(|it| !it.proven && it.upto >= 0));
            }
        });
    }
}
