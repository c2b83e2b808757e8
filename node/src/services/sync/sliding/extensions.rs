//! What is told beside rooms: messages to the device, keys, the person's own data, receipts, typing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};
use wayside_identity::tag;
use wayside_specs::limits;

use super::{
    Round, Wanted,
    answer::{Answer, DataPart, KeysPart, LettersPart, MomentsPart},
    asked::{Extensions, LettersWish, Wish},
    connection::Paused,
};
use crate::{
    services::{
        Error,
        rooms::Asker,
        sync::{
            Sync,
            ahead::ROOMS,
            beside::shown_data,
            devices::{DeviceLists, told},
        },
    },
    store::{
        ahead, letters, people,
        rooms::{self, Membership, RoomRow},
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

impl<'r> Round<'r> {
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
        wanted: &BTreeMap<i64, Wanted>,
    ) -> Result<(), Error> {
        let wishes: &'r Extensions = &self.body.extensions;
        let on = |wish: &'r Option<Wish>| wish.as_ref().filter(|wish| wish.enabled);
        if let Some(wish) = wishes.to_device.as_ref().filter(|wish| wish.enabled) {
            answer.extensions.to_device = Some(self.letters(wish).await?);
        }
        self.pause(wishes);
        if on(&wishes.e2ee).is_some() {
            answer.extensions.e2ee = Some(self.keys().await?);
        }
        if let Some(wish) = on(&wishes.account_data) {
            answer.extensions.account_data = Some(self.data(answer, wanted, wish).await?);
        }
        if let Some(wish) = on(&wishes.receipts) {
            answer.extensions.receipts = Some(self.receipts(answer, wanted, wish).await?);
        }
        if let Some(wish) = on(&wishes.typing) {
            answer.extensions.typing = Some(self.typing(wanted, wish).await?);
        }
        Ok(())
    }

    /// Remembers which extensions are off, and since when: what happens meanwhile is told when they
    /// are on again. Messages to the device wait for it anyway.
    fn pause(&mut self, wishes: &Extensions) {
        let is_off = |wish: &Option<Wish>| wish.as_ref().is_none_or(|wish| !wish.enabled);
        let (was, position) = (self.known.withheld.paused, self.known.position);
        let serial = if self.begins { 0 } else { self.known.serial };
        self.delta.withheld.paused = Paused {
            keys: is_off(&wishes.e2ee).then(|| was.keys.unwrap_or(position)),
            data: is_off(&wishes.account_data).then(|| was.data.unwrap_or(position)),
            receipts: is_off(&wishes.receipts).then(|| was.receipts.unwrap_or(position)),
            typing: is_off(&wishes.typing).then(|| was.typing.unwrap_or(serial)),
        };
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
        let paused = self.known.withheld.paused.keys;
        let since = paused.unwrap_or(self.known.position);
        let lists = if since == 0 {
            DeviceLists::default()
        } else {
            // What is remembered as changed changed since the answer before.
            let changed = self.building.changed.take_if(|_| paused.is_some());
            let lists = self.building.device_lists(since).await?;
            self.building.changed = self.building.changed.take().or(changed);
            lists
        };
        let (one_time_keys, unused_fallback) = (counts.one_time, counts.unused_fallback);
        Ok(KeysPart { lists, one_time_keys, unused_fallback })
    }

    /// The person's own data that changed, and all of it of rooms that the client is told of anew or
    /// of which it was told none so far.
    async fn data(
        &mut self,
        answer: &Answer,
        wanted: &BTreeMap<i64, Wanted>,
        wish: &Wish,
    ) -> Result<DataPart, Error> {
        let (mut of_rooms, global) = match self.known.withheld.paused.data {
            Some(since) => {
                let before = (self.building.since, self.building.changed.take());
                self.building.since = since;
                let found = self.building.account_data().await?;
                (self.building.since, self.building.changed) = before;
                found
            }
            None => self.building.account_data().await?,
        };
        let mut part = DataPart { global: global.events, ..DataPart::default() };
        let own = self.building.asker.user_id.clone();
        let filter = &self.building.asked.filter.room.account_data;
        // Of what changed only what belongs to rooms that the client knows.
        let mut numbers: BTreeSet<i64> = of_rooms.keys().copied().collect();
        numbers.retain(|room_no| self.known.rooms.contains_key(room_no));
        numbers.extend(self.known.withheld.data.iter().copied());
        numbers.extend(self.delta.rooms.iter().map(|(room_no, _)| *room_no));
        let numbers: Vec<i64> = numbers.into_iter().collect();
        for row in rooms::by_numbers(&mut self.building.snapshot, &numbers).await? {
            let room_no = row.room_no;
            let told = answer.rooms.get(&row.room_id);
            let anew = told.is_some_and(|it| it.initial.is_some() && it.invite_state.is_none())
                || self.known.withheld.data.contains(&room_no);
            let changed = of_rooms.remove(&room_no);
            if !takes(wish, wanted, &row) {
                if anew || changed.is_some() {
                    self.delta.withheld.data.insert(room_no);
                }
                continue;
            }
            self.delta.withheld.data.remove(&room_no);
            // To who begins all that there is has just been read.
            let events = if anew && !self.begins {
                let snapshot = &mut self.building.snapshot;
                let items = people::data_of_room(snapshot, &own, room_no).await?;
                shown_data(&items, filter)?.events
            } else {
                changed.unwrap_or_default().events
            };
            if !events.is_empty() {
                part.rooms.insert(row.room_id, events);
            }
        }
        Ok(part)
    }

    /// The rooms of which receipts or typing may have to be told: those of this answer, those that
    /// the client knows and in which something moved, and those of which something was withheld; of
    /// all these only those that the person is in now.
    async fn rows(
        &mut self,
        moved: impl Iterator<Item = i64>,
        withheld: Vec<i64>,
    ) -> Result<Vec<RoomRow>, Error> {
        let mut numbers: BTreeSet<i64> = moved.collect();
        numbers.retain(|room_no| self.known.has(*room_no));
        numbers.extend(withheld);
        numbers.extend(self.delta.rooms.iter().map(|(room_no, _)| *room_no));
        let numbers: Vec<i64> = numbers.into_iter().collect();
        let own = &self.building.asker.user_id;
        let members = rooms::memberships_in(&mut self.building.snapshot, own, &numbers).await?;
        let inside = members.iter().filter(|row| row.membership == Membership::Join);
        let inside: Vec<i64> = inside.map(|row| row.room_no).collect();
        Ok(rooms::by_numbers(&mut self.building.snapshot, &inside).await?)
    }

    async fn receipts(
        &mut self,
        answer: &Answer,
        wanted: &BTreeMap<i64, Wanted>,
        wish: &Wish,
    ) -> Result<MomentsPart, Error> {
        let paused = self.known.withheld.paused.receipts;
        let moved: Vec<i64> = match &self.building.changed {
            _ if paused.is_some() => self.known.rooms.keys().copied().collect(),
            Some(changed) => changed.receipts.iter().copied().collect(),
            None => wanted.keys().copied().collect(),
        };
        let withheld = self.known.withheld.receipts.keys().copied().collect();
        let mut part = MomentsPart::default();
        let own = self.building.asker.user_id.clone();
        let rows = self.rows(moved.into_iter(), withheld).await?;
        let mut ahead = HashMap::new();
        for (at, row) in rows.iter().enumerate() {
            if at % ROOMS == 0 {
                let next = rows[at..].iter().take(ROOMS).map(|it| it.room_no);
                let fresh: Vec<i64> = next.filter(|room_no| !self.known.has(*room_no)).collect();
                ahead = ahead::receipts(&mut self.building.snapshot, &fresh, &own).await?;
            }
            // Of rooms that it knows the client was told with each answer so far.
            let is_known = self.known.has(row.room_no);
            let withheld = self.known.withheld.receipts.get(&row.room_no).copied();
            let told = paused.unwrap_or(self.known.position);
            let since = withheld.unwrap_or(if is_known { told } else { 0 });
            if !takes(wish, wanted, row) {
                self.delta.withheld.receipts.insert(row.room_no, since);
                continue;
            }
            self.delta.withheld.receipts.remove(&row.room_no);
            let snapshot = &mut self.building.snapshot;
            let mut found = match ahead.remove(&row.room_no) {
                Some(found) => found,
                None => people::receipts_since(snapshot, row.room_no, &own, since).await?,
            };
            if !is_known {
                // Of a room that is new to the client, only those that stand beside what it is shown.
                let shown = answer.rooms.get(&row.room_id);
                let shown: String =
                    shown.into_iter().flat_map(|it| &it.timeline).map(|it| it.get()).collect();
                found.retain(|it| it.user_id == own || shown.contains(it.event_id.as_str()));
            }
            let events = self.building.receipts(found);
            if let Some(event) = merged(events) {
                part.rooms.insert(row.room_id.clone(), event);
            }
        }
        Ok(part)
    }

    async fn typing(
        &mut self,
        wanted: &BTreeMap<i64, Wanted>,
        wish: &Wish,
    ) -> Result<MomentsPart, Error> {
        let serial = if self.begins { 0 } else { self.known.serial };
        let serial = self.known.withheld.paused.typing.unwrap_or(serial);
        let moved = self.building.sync.live.rooms_typing_since(serial);
        let withheld = self.known.withheld.typing.keys().copied().collect();
        let mut part = MomentsPart::default();
        for row in self.rows(moved.into_iter(), withheld).await? {
            let is_known = self.known.has(row.room_no);
            let withheld = self.known.withheld.typing.get(&row.room_no).copied();
            let since = withheld.unwrap_or(if is_known { serial } else { 0 });
            if !takes(wish, wanted, &row) {
                self.delta.withheld.typing.insert(row.room_no, since);
                continue;
            }
            self.delta.withheld.typing.remove(&row.room_no);
            let typing = self.building.sync.live.typing_since(row.room_no, since);
            let Some(mut users) = typing else { continue };
            users.retain(|user_id| !self.building.ignored.has(user_id));
            if since > 0 || !users.is_empty() {
                let event = json!({ "type": "m.typing", "content": { "user_ids": users } });
                part.rooms.insert(row.room_id, event);
            }
        }
        Ok(part)
    }
}

/// Whether something that stands beside rooms is wanted of this one.
fn takes(wish: &Wish, wanted: &BTreeMap<i64, Wanted>, room: &RoomRow) -> bool {
    !wish.is_scoped()
        || wanted
            .get(&room.room_no)
            .is_some_and(|it| wish.takes(&room.room_id, &it.lists, it.by_id))
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
