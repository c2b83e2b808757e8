//! What is true only now and is told to another server: who types, how far somebody read, who is there.
//!
//! Of each the newest counts, and all of it is bounded. A server that was away is not told who typed meanwhile, but
//! how far people have read and who is there: it would believe for long what it heard last (server-server API,
//! typing, receipts and presence).

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde_json::{Value, json};

use crate::outbox::EDUS;

/// Most people who begin or cease to type that wait to be told.
const TYPISTS: usize = EDUS / 2;
/// Most threads in which receipts wait to be told: each is a unit of its own.
const THREADS: usize = EDUS / 4;
/// Most receipts that wait to be told.
const RECEIPTS: usize = 500;
/// Most people whose presence waits to be told.
const PRESENT: usize = 500;

/// How far somebody has read, in a room or in a thread of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reader {
    /// The thread, `main`, or nothing for the room as a whole.
    pub thread: Option<String>,
    /// The room.
    pub room_id: OwnedRoomId,
    /// Who.
    pub user_id: OwnedUserId,
}

/// What waits for one server. What does not fit is not told.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    typing: BTreeMap<(OwnedRoomId, OwnedUserId), bool>,
    receipts: BTreeMap<Reader, (OwnedEventId, i64)>,
    presence: BTreeMap<OwnedUserId, Value>,
}

impl Moments {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.typing.is_empty() && self.receipts.is_empty() && self.presence.is_empty()
    }

    /// Somebody begins to type, or ceases to.
    pub fn types(&mut self, room_id: OwnedRoomId, user_id: OwnedUserId, typing: bool) {
        let key = (room_id, user_id);
        if self.typing.contains_key(&key) || self.typing.len() < TYPISTS {
            self.typing.insert(key, typing);
        }
    }

    /// Somebody has read up to an event, at a time in milliseconds since the epoch.
    pub fn reads(&mut self, reader: Reader, event_id: OwnedEventId, at_ms: i64) {
        let is_known = self.receipts.contains_key(&reader);
        if is_known
            || (self.receipts.len() < RECEIPTS && self.has_room_for(reader.thread.as_deref()))
        {
            self.receipts.insert(reader, (event_id, at_ms));
        }
    }

    /// Somebody is there or not, as an entry of `m.presence`.
    pub fn is_present(&mut self, user_id: OwnedUserId, entry: Value) {
        if self.presence.contains_key(&user_id) || self.presence.len() < PRESENT {
            self.presence.insert(user_id, entry);
        }
    }

    /// The server is away: who types now does so no more when it is back.
    pub fn forget_typing(&mut self) {
        self.typing.clear();
    }

    /// Lets what was not told wait again, where nothing newer does.
    pub fn put_back(&mut self, untold: Self) {
        for ((room_id, user_id), typing) in untold.typing {
            if !self.typing.contains_key(&(room_id.clone(), user_id.clone())) {
                self.types(room_id, user_id, typing);
            }
        }
        for (user_id, entry) in untold.presence {
            if !self.presence.contains_key(&user_id) {
                self.is_present(user_id, entry);
            }
        }
        for (reader, (event_id, at_ms)) in untold.receipts {
            if !self.receipts.contains_key(&reader) {
                self.reads(reader, event_id, at_ms);
            }
        }
    }

    /// All that waits as ephemeral data units, of which one transaction has room for all.
    #[must_use]
    pub fn edus(&self) -> Vec<String> {
        let edu = |kind: &str, content: Value| {
            json!({ "edu_type": kind, "content": content }).to_string()
        };
        let mut all = Vec::new();
        for ((room_id, user_id), typing) in &self.typing {
            let content = json!({ "room_id": room_id, "user_id": user_id, "typing": typing });
            all.push(edu("m.typing", content));
        }
        let mut threads: BTreeMap<&Option<String>, Value> = BTreeMap::new();
        for (Reader { thread, room_id, user_id }, (event_id, at_ms)) in &self.receipts {
            let mut data = json!({ "ts": at_ms });
            if let Some(thread) = thread {
                data["thread_id"] = thread.as_str().into();
            }
            let content = threads.entry(thread).or_insert_with(|| json!({}));
            let read = json!({ "event_ids": [event_id], "data": data });
            content[room_id.as_str()]["m.read"][user_id.as_str()] = read;
        }
        all.extend(threads.into_values().map(|content| edu("m.receipt", content)));
        if !self.presence.is_empty() {
            let push: Vec<&Value> = self.presence.values().collect();
            all.push(edu("m.presence", json!({ "push": push })));
        }
        all
    }

    fn has_room_for(&self, thread: Option<&str>) -> bool {
        let threads: BTreeSet<Option<&str>> =
            self.receipts.keys().map(|reader| reader.thread.as_deref()).collect();
        threads.contains(&thread) || threads.len() < THREADS
    }
}

#[cfg(test)]
mod tests {
    use ruma::{event_id, room_id, user_id};

    use super::*;

    fn reader(thread: Option<&str>) -> Reader {
        Reader {
            thread: thread.map(str::to_owned),
            room_id: room_id!("!r:a.test").to_owned(),
            user_id: user_id!("@ann:a.test").to_owned(),
        }
    }

    fn contents(moments: &Moments) -> Vec<Value> {
        moments.edus().iter().map(|edu| serde_json::from_str(edu).unwrap()).collect()
    }

    #[test]
    fn the_newest_of_each_counts() {
        let mut moments = Moments::default();
        let (room, ann) = (room_id!("!r:a.test"), user_id!("@ann:a.test"));
        moments.types(room.to_owned(), ann.to_owned(), true);
        moments.types(room.to_owned(), ann.to_owned(), false);
        moments.reads(reader(None), event_id!("$a").to_owned(), 1);
        moments.reads(reader(None), event_id!("$b").to_owned(), 2);
        moments.reads(reader(Some("main")), event_id!("$a").to_owned(), 3);
        moments.is_present(ann.to_owned(), json!({ "presence": "online" }));
        moments.is_present(ann.to_owned(), json!({ "presence": "offline" }));
        let read = |event: &str, data: Value| {
            let read = json!({ "event_ids": [event], "data": data });
            json!({ "!r:a.test": { "m.read": { "@ann:a.test": read } } })
        };
        let all = [
            ("m.typing", json!({ "room_id": room, "user_id": ann, "typing": false })),
            ("m.receipt", read("$b", json!({ "ts": 2 }))),
            ("m.receipt", read("$a", json!({ "ts": 3, "thread_id": "main" }))),
            ("m.presence", json!({ "push": [{ "presence": "offline" }] })),
        ];
        let all = all.map(|(kind, content)| json!({ "edu_type": kind, "content": content }));
        assert_eq!(contents(&moments), all);
    }

    #[test]
    fn who_is_away_is_not_told_who_typed() {
        let mut untold = Moments::default();
        untold.types(room_id!("!r:a.test").to_owned(), user_id!("@ann:a.test").to_owned(), true);
        untold.reads(reader(None), event_id!("$a").to_owned(), 1);
        untold.reads(reader(Some("main")), event_id!("$a").to_owned(), 1);
        let mut moments = Moments::default();
        moments.reads(reader(None), event_id!("$b").to_owned(), 2);
        moments.put_back(untold);
        moments.is_present(user_id!("@ann:a.test").to_owned(), json!({ "presence": "online" }));
        moments.is_present(user_id!("@ann:a.test").to_owned(), json!({ "presence": "offline" }));
        moments.forget_typing();
        let found = contents(&moments);
        let kinds: Vec<_> = found.iter().map(|edu| edu["edu_type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["m.receipt", "m.receipt", "m.presence"]);
        assert_eq!(found[2]["content"]["push"], json!([{ "presence": "offline" }]));
        let whole = &found[0]["content"]["!r:a.test"]["m.read"]["@ann:a.test"]["event_ids"];
        assert_eq!(*whole, json!(["$b"]));
    }

    #[test]
    fn however_much_there_is_it_fits_into_one_transaction() {
        let mut moments = Moments::default();
        for n in 0..10_000 {
            let user_id: OwnedUserId = format!("@p{n}:a.test").parse().unwrap();
            moments.types(room_id!("!r:a.test").to_owned(), user_id.clone(), true);
            moments.is_present(user_id, json!({}));
            moments.reads(reader(Some(&format!("$t{n}"))), event_id!("$a").to_owned(), 1);
        }
        assert!(moments.edus().len() <= EDUS);
        assert_eq!(moments.presence.len(), PRESENT);
    }
}
