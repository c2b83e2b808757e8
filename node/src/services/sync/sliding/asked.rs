//! What a client asks for by sliding sync, parsed and bounded (proposal 4186, in the form that clients send).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{OwnedRoomId, RoomId};
use serde::Deserialize;

use crate::services::filter::object;

/// Most lists of one request, and most entries of each part of one.
const LISTS: usize = 100;
/// Most rooms that one request names.
const SUBSCRIPTIONS: usize = 1_000;
/// Most entries of state that one list or room asks for.
const STATE: usize = 200;
/// Most events of one room in one answer.
pub(super) const TIMELINE: u32 = 100;

/// The body of a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Body {
    /// Which of the device's connections this is.
    pub conn_id: Option<String>,
    /// Stretches of the person's rooms, by names that the client chose.
    #[serde(deserialize_with = "object")]
    pub lists: BTreeMap<String, ListWish>,
    /// Rooms that are always wanted.
    #[serde(deserialize_with = "object")]
    pub room_subscriptions: BTreeMap<OwnedRoomId, RoomWish>,
    /// What is wanted beside rooms.
    #[serde(deserialize_with = "object")]
    pub extensions: Extensions,
}

/// A stretch of the person's rooms, the ones first in which something happened last.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListWish {
    /// From which room to which, both included; all without one.
    pub ranges: Option<Vec<(u32, u32)>>,
    /// The same as one stretch, as the proposal's last text has it.
    pub range: Option<(u32, u32)>,
    /// What is wanted of each room.
    #[serde(flatten)]
    pub room: RoomWish,
    /// Which rooms count.
    #[serde(deserialize_with = "object")]
    pub filters: Option<RoomsWish>,
}

/// What is wanted of a room.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RoomWish {
    /// At most so many events of its timeline.
    pub timeline_limit: u32,
    /// Which of its state.
    pub required_state: StateWish,
}

/// Which rooms count (proposal 4186, `SlidingRoomFilter`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RoomsWish {
    /// Conversations between two, or all others.
    pub is_dm: Option<bool>,
    /// Rooms that belong directly to one of these spaces.
    pub spaces: Option<Vec<OwnedRoomId>>,
    /// Encrypted rooms, or all others.
    pub is_encrypted: Option<bool>,
    /// Invitations, or all others.
    #[serde(alias = "is_invited")]
    pub is_invite: Option<bool>,
    /// Rooms of one of these types.
    pub room_types: Option<Vec<Option<String>>>,
    /// Rooms of none of these types.
    pub not_room_types: Option<Vec<Option<String>>>,
    /// Rooms with one of these tags.
    pub tags: Option<Vec<String>>,
    /// Rooms with none of these tags.
    pub not_tags: Option<Vec<String>>,
}

/// Which state is wanted: pairs of type and key in which `*` stands for any, `$ME` for who asks and
/// `$LAZY` for the members who speak; or the same as elements to take in and to leave out.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum StateWish {
    /// Pairs of type and key.
    Pairs(Vec<(String, String)>),
    /// The form of the proposal's last text.
    Elements(Elements),
}

/// State to take in and to leave out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Elements {
    include: Vec<Element>,
    exclude: Vec<Element>,
    lazy_members: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Element {
    #[serde(rename = "type")]
    kind: Option<String>,
    state_key: Option<String>,
}

impl Default for StateWish {
    fn default() -> Self {
        Self::Pairs(Vec::new())
    }
}

/// What is wanted beside rooms.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Extensions {
    /// Messages to the device.
    #[serde(deserialize_with = "object")]
    pub to_device: Option<LettersWish>,
    /// Whose keys changed, and how many of the device's are left.
    #[serde(deserialize_with = "object")]
    pub e2ee: Option<Wish>,
    /// The person's own data.
    #[serde(deserialize_with = "object")]
    pub account_data: Option<Wish>,
    /// How far others have read.
    #[serde(deserialize_with = "object")]
    pub receipts: Option<Wish>,
    /// Who types.
    #[serde(deserialize_with = "object")]
    pub typing: Option<Wish>,
}

/// Whether something is wanted, and of which rooms.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wish {
    /// Whether it is.
    pub enabled: bool,
    /// Of the rooms of which lists; of all lists without it.
    pub lists: Option<Vec<String>>,
    /// Of which of the rooms that are always wanted; of all of them without it.
    pub rooms: Option<Vec<String>>,
}

/// Which messages to the device are wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LettersWish {
    /// Whether any.
    pub enabled: bool,
    /// Those after the answer whose `next_batch` this is.
    pub since: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

impl Body {
    /// Says what is too much in it, if anything is.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.conn_id.as_ref().is_some_and(|id| id.len() > 255) {
            return Err("conn_id has at most 255 bytes".to_owned());
        }
        if self.lists.len() > LISTS || self.room_subscriptions.len() > SUBSCRIPTIONS {
            return Err(format!("at most {LISTS} lists and {SUBSCRIPTIONS} rooms are followed"));
        }
        let rooms = self.lists.values().map(|list| &list.room);
        for room in rooms.chain(self.room_subscriptions.values()) {
            let count = match &room.required_state {
                StateWish::Pairs(pairs) => pairs.len(),
                StateWish::Elements(all) => all.include.len() + all.exclude.len(),
            };
            if count > STATE {
                return Err(format!("required_state has at most {STATE} entries"));
            }
        }
        let beside = [&self.extensions.account_data, &self.extensions.receipts];
        for wish in beside.into_iter().chain([&self.extensions.typing]).flatten() {
            let many = |list: &Option<Vec<String>>, most| {
                list.as_ref().is_some_and(|list| list.len() > most)
            };
            if many(&wish.lists, LISTS) || many(&wish.rooms, SUBSCRIPTIONS) {
                return Err(format!(
                    "at most {LISTS} lists and {SUBSCRIPTIONS} rooms are followed"
                ));
            }
        }
        for list in self.lists.values() {
            for (first, last) in list.asked() {
                if first > last {
                    return Err("a range ends before it begins".to_owned());
                }
            }
            if list.ranges.as_ref().is_some_and(|ranges| ranges.len() > LISTS) {
                return Err(format!("a list has at most {LISTS} ranges"));
            }
            if list.filters.as_ref().is_some_and(RoomsWish::is_long) {
                return Err(format!("each part of a filter has at most {LISTS} entries"));
            }
        }
        Ok(())
    }
}

impl Extensions {
    /// Whether something is wanted of some of the rooms only.
    pub(super) fn is_scoped(&self) -> bool {
        let wishes = [&self.account_data, &self.receipts, &self.typing];
        wishes.into_iter().flatten().any(|wish| wish.enabled && wish.is_scoped())
    }
}

impl Wish {
    /// Whether it is wanted of some of the rooms only.
    pub(super) fn is_scoped(&self) -> bool {
        let some = |names: &Option<Vec<String>>| names.as_ref().is_some_and(|it| !has_all(it));
        some(&self.lists) || some(&self.rooms)
    }

    /// Whether it is wanted of a room that belongs to some lists, and may be wanted by its id.
    pub(super) fn takes(&self, room_id: &RoomId, lists: &[String], by_id: bool) -> bool {
        let of_list = self
            .lists
            .as_ref()
            .is_none_or(|names| has_all(names) || lists.iter().any(|list| names.contains(list)));
        let of_room = self.rooms.as_ref().is_none_or(|names| {
            has_all(names) || names.iter().any(|name| name == room_id.as_str())
        });
        (of_list && !lists.is_empty()) || (of_room && by_id)
    }
}

/// Whether some names stand for all.
fn has_all(names: &[String]) -> bool {
    names.iter().any(|name| name == "*")
}

impl ListWish {
    /// The stretches, none of which overlaps another; all rooms where none is asked for.
    pub(super) fn stretches(&self) -> Vec<(u32, u32)> {
        let mut asked = self.asked();
        asked.sort_unstable();
        let mut stretches: Vec<(u32, u32)> = Vec::new();
        for (first, last) in asked {
            match stretches.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => stretches.push((first, last)),
            }
        }
        stretches
    }

    fn asked(&self) -> Vec<(u32, u32)> {
        match (&self.ranges, self.range) {
            (Some(ranges), _) => ranges.clone(),
            (None, Some(range)) => vec![range],
            (None, None) => vec![(0, u32::MAX)],
        }
    }
}

impl RoomsWish {
    fn is_long(&self) -> bool {
        let many = |count: Option<usize>| count.is_some_and(|count| count > LISTS);
        many(self.spaces.as_ref().map(Vec::len))
            || many(self.room_types.as_ref().map(Vec::len))
            || many(self.not_room_types.as_ref().map(Vec::len))
            || many(self.tags.as_ref().map(Vec::len))
            || many(self.not_tags.as_ref().map(Vec::len))
    }
}

/// What one rule wants of a room's state.
pub(super) struct Rule {
    parts: Vec<Arc<Part>>,
    lazy: bool,
}

/// Which state is wanted of a room, of all rules together that it falls under.
#[derive(Clone, Debug, Default)]
pub(super) struct Required {
    parts: BTreeSet<Arc<Part>>,
    /// Whether the members who speak are wanted too.
    pub(super) lazy: bool,
}

/// Entries that one rule takes in, without those that it leaves out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    include: BTreeSet<Entry>,
    exclude: BTreeSet<Entry>,
}

/// A type and a key; nothing stands for any.
type Entry = (Option<String>, Option<String>);

impl Rule {
    /// Reads a wish of this person.
    pub(super) fn of(wish: &StateWish, me: &str) -> Self {
        match wish {
            StateWish::Pairs(pairs) => {
                let (mut include, mut lazy) = (BTreeSet::new(), false);
                for (kind, key) in pairs {
                    if key == "$LAZY" {
                        lazy |= kind == "m.room.member" || kind == "*";
                        continue;
                    }
                    let any = |text: &str| (text != "*").then(|| text.to_owned());
                    let key = if key == "$ME" { Some(me.to_owned()) } else { any(key) };
                    include.insert((any(kind), key));
                }
                Self::new(include, BTreeSet::new(), lazy)
            }
            StateWish::Elements(elements) => {
                let entries = |list: &[Element]| {
                    let me = |key: &String| if key == "$ME" { me.to_owned() } else { key.clone() };
                    list.iter().map(|it| (it.kind.clone(), it.state_key.as_ref().map(me))).collect()
                };
                let (include, exclude) = (entries(&elements.include), entries(&elements.exclude));
                Self::new(include, exclude, elements.lazy_members)
            }
        }
    }

    fn new(mut include: BTreeSet<Entry>, exclude: BTreeSet<Entry>, lazy: bool) -> Self {
        let mut parts = Vec::new();
        // With the members who speak, all state is that without the others; those that are named
        // beside it are wanted all the same.
        if lazy && include.remove(&(None, None)) {
            let mut but = exclude.clone();
            but.insert((Some("m.room.member".to_owned()), None));
            parts.push(Arc::new(Part { include: BTreeSet::from([(None, None)]), exclude: but }));
        }
        if !include.is_empty() {
            parts.push(Arc::new(Part { include, exclude }));
        }
        Self { parts, lazy }
    }
}

impl Required {
    /// Takes a rule in beside those that are there.
    pub(super) fn add(&mut self, rule: &Rule) {
        self.parts.extend(rule.parts.iter().cloned());
        self.lazy |= rule.lazy;
    }

    /// What each rule takes in.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Arc<Part>> {
        self.parts.iter()
    }

    /// Whether some rule takes a part in.
    pub(super) fn has(&self, part: &Arc<Part>) -> bool {
        self.parts.contains(part)
    }

    /// Whether an entry of the state is wanted.
    pub(super) fn wants(&self, kind: &str, key: &str) -> bool {
        self.parts.iter().any(|part| part.wants(kind, key))
    }
}

impl Part {
    /// Whether an entry of the state is among it.
    pub(super) fn wants(&self, kind: &str, key: &str) -> bool {
        let fits = |(wanted, of): &Entry| {
            wanted.as_ref().is_none_or(|wanted| wanted == kind)
                && of.as_ref().is_none_or(|of| of == key)
        };
        self.include.iter().any(fits) && !self.exclude.iter().any(fits)
    }

    /// What it takes in, some of which it may leave out.
    pub(super) fn include(&self) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
        self.include.iter().map(|(kind, key)| (kind.as_deref(), key.as_deref()))
    }

    /// Whether it leaves all members out.
    pub(super) fn leaves_members_out(&self) -> bool {
        self.exclude.contains(&(Some("m.room.member".to_owned()), None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(wishes: &[serde_json::Value]) -> Required {
        let mut required = Required::default();
        for wish in wishes {
            let wish = serde_json::from_value(wish.clone()).unwrap();
            required.add(&Rule::of(&wish, "@ann:a.test"));
        }
        required
    }

    #[test]
    fn state_is_wanted_by_pairs_and_by_elements() {
        let pairs = required(&[serde_json::json!([
            ["m.room.name", ""],
            ["m.room.member", "$ME"],
            ["m.room.member", "$LAZY"],
            ["m.space.child", "*"],
        ])]);
        assert!(pairs.lazy && !pairs.parts().any(|it| it.leaves_members_out()));
        for (kind, key, wanted) in [
            ("m.room.name", "", true),
            ("m.room.name", "x", false),
            ("m.room.member", "@ann:a.test", true),
            ("m.room.member", "@bob:a.test", false),
            ("m.space.child", "!any:a.test", true),
            ("m.room.topic", "", false),
        ] {
            assert_eq!(pairs.wants(kind, key), wanted, "{kind} {key}");
        }
        let elements = required(&[serde_json::json!({
            "include": [{}], "exclude": [{ "type": "m.room.create" }], "lazy_members": true,
        })]);
        assert!(elements.lazy && elements.wants("m.room.topic", ""));
        assert!(
            !elements.wants("m.room.create", "") && !elements.wants("m.room.member", "@b:a.test")
        );
    }

    #[test]
    fn what_several_rules_want_is_wanted() {
        let one = serde_json::json!([["m.room.name", ""]]);
        let all = serde_json::json!({ "include": [{}], "exclude": [{ "type": "m.room.name" }] });
        let (alone, both) = (required(std::slice::from_ref(&one)), required(&[one, all]));
        assert!(both.wants("m.room.name", "") && both.wants("m.room.topic", ""));
        let [part] = &alone.parts().collect::<Vec<_>>()[..] else { panic!("{alone:?}") };
        assert!(both.has(part) && both.parts().any(|it| !alone.has(it)));
        assert_eq!(part.include().collect::<Vec<_>>(), [(Some("m.room.name"), Some(""))]);
    }

    #[test]
    fn those_who_speak_leave_out_others_of_their_own_rule_only() {
        let lazy =
            serde_json::json!([["*", "*"], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"],]);
        let alone = required(std::slice::from_ref(&lazy));
        assert!(alone.wants("m.room.topic", "") && alone.wants("m.room.member", "@ann:a.test"));
        assert!(!alone.wants("m.room.member", "@bob:a.test"));
        let all = serde_json::json!([["*", "*"]]);
        for both in [required(&[lazy.clone(), all.clone()]), required(&[all, lazy])] {
            assert!(both.lazy && both.wants("m.room.member", "@bob:a.test"), "{both:?}");
        }
    }

    #[test]
    fn null_counts_as_nothing_and_a_list_as_no_object() {
        let read = |json: serde_json::Value| serde_json::from_value::<Body>(json);
        for part in ["lists", "room_subscriptions", "extensions", "conn_id"] {
            assert!(read(serde_json::json!({ part: null })).is_ok(), "{part}");
            assert!(read(serde_json::json!({ part: [] })).is_err(), "{part}");
        }
        assert!(read(serde_json::json!({ "extensions": { "typing": null } })).is_ok());
        assert!(read(serde_json::json!({ "extensions": { "typing": [true] } })).is_err());
        assert!(read(serde_json::json!({ "lists": { "a": { "filters": null } } })).is_ok());
    }

    #[test]
    fn a_wish_takes_rooms_by_their_lists_and_by_their_ids() {
        let wish = |json: serde_json::Value| serde_json::from_value::<Wish>(json).unwrap();
        let (room, lists) = (ruma::room_id!("!r:a.test"), ["a".to_owned()]);
        for (json, of_list, by_id) in [
            (serde_json::json!({}), true, true),
            (serde_json::json!({ "lists": ["*"], "rooms": ["*"] }), true, true),
            (serde_json::json!({ "lists": ["b", "a"], "rooms": [] }), true, false),
            (serde_json::json!({ "lists": ["b"] }), false, true),
            (serde_json::json!({ "lists": [], "rooms": ["!r:a.test"] }), false, true),
            (serde_json::json!({ "lists": [], "rooms": ["!s:a.test"] }), false, false),
        ] {
            let wish = wish(json);
            assert_eq!(wish.takes(room, &lists, false), of_list, "{wish:?}");
            assert_eq!(wish.takes(room, &[], true), by_id, "{wish:?}");
            assert!(!wish.takes(room, &[], false), "{wish:?}");
            assert!(wish.is_scoped() || (of_list && by_id), "{wish:?}");
        }
    }

    #[test]
    fn stretches_that_overlap_are_one() {
        for (ranges, expected) in [
            (vec![(5, 9), (0, 2), (8, 12)], vec![(0, 2), (5, 12)]),
            (vec![(0, 4), (5, 6), (1, 1)], vec![(0, 6)]),
            (vec![(3, u32::MAX), (0, u32::MAX)], vec![(0, u32::MAX)]),
            (vec![], vec![]),
        ] {
            let list = ListWish { ranges: Some(ranges), ..ListWish::default() };
            assert_eq!(list.stretches(), expected);
        }
    }

    #[test]
    fn everything_has_an_end() {
        let body = |json: serde_json::Value| serde_json::from_value::<Body>(json).unwrap().check();
        assert!(body(serde_json::json!({})).is_ok());
        let pairs = vec![("a", "b"); STATE + 1];
        let wish = serde_json::json!({ "timeline_limit": 1, "required_state": pairs });
        assert!(body(serde_json::json!({ "lists": { "a": wish } })).is_err());
        assert!(body(serde_json::json!({ "room_subscriptions": { "!r:a.test": wish } })).is_err());
        assert!(body(serde_json::json!({ "lists": { "a": { "ranges": [[5, 4]] } } })).is_err());
        assert!(body(serde_json::json!({ "conn_id": "x".repeat(256) })).is_err());
        let many = serde_json::json!({ "filters": { "tags": vec!["t"; LISTS + 1] } });
        assert!(body(serde_json::json!({ "lists": { "a": many } })).is_err());
        for part in ["account_data", "receipts", "typing"] {
            let named =
                serde_json::json!({ part: { "rooms": vec!["!r:a.test"; SUBSCRIPTIONS + 1] } });
            assert!(body(serde_json::json!({ "extensions": named })).is_err(), "{part}");
            let named = serde_json::json!({ part: { "lists": vec!["l"; LISTS + 1] } });
            assert!(body(serde_json::json!({ "extensions": named })).is_err(), "{part}");
        }
        let lists: BTreeMap<String, serde_json::Value> =
            (0..=LISTS).map(|n| (n.to_string(), serde_json::json!({}))).collect();
        assert!(body(serde_json::json!({ "lists": lists })).is_err());
    }
}
