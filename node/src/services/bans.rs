//! Ban lists: rooms whose state says who is shut out, shared by those who run nodes and worlds.
//!
//! They are those of the client-server API ("Moderation policy lists").
//!
//! The node keeps to some in all of its worlds, a world to others besides. What a list says is read from the
//! state of its room, as far as that is known here, and kept while the state is the same.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ruma::{OwnedRoomId, OwnedServerName, RoomId, ServerName, UserId};
use serde_json::Value;
use wayside_federation::{
    bans::{KINDS, MOST, Rule, Rules},
    state::{EventNo, NodeId},
};

use super::Error;
use crate::store::{
    Reads, events,
    rooms::{self, StateOf},
};

/// The state by which a world keeps to a list: its key is the room of the list.
pub const LIST: &str = "org.wayside.ban_list";
/// Most lists of one world.
const LISTS: usize = 16;
/// Most servers that are named as those by which a list is found.
const VIA: usize = 10;
/// Rules that are read at once.
const PAGE: usize = 500;

/// A list to which a world keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Its room.
    pub room_id: OwnedRoomId,
    /// Servers by which it is found.
    pub via: Vec<OwnedServerName>,
}

/// What lists say.
#[derive(Default)]
pub struct Bans {
    of_node: Mutex<OfNode>,
    read: Mutex<HashMap<OwnedRoomId, Known>>,
    /// Whether one was to be read that is not known here.
    wanted: AtomicBool,
}

/// The lists of the node.
#[derive(Clone, Default)]
struct OfNode {
    lists: BTreeSet<OwnedRoomId>,
    /// Whether all are known that its settings name.
    is_whole: bool,
}

/// A list as it was read.
#[derive(Clone)]
struct Known {
    /// In what state of its room.
    root: NodeId,
    /// By which events.
    numbers: Vec<EventNo>,
    rules: Arc<Rules>,
}

/// The rules to which a world keeps.
#[derive(Debug, Default)]
pub struct InForce {
    /// Those that could be read.
    pub rules: Vec<Arc<Rules>>,
    /// Whether these are all: what cannot be read may say anything, so nobody is let in by it.
    pub is_whole: bool,
}

impl Bans {
    /// From now on the node keeps to these in all of its worlds; to others too, where these are not all.
    pub fn keep_to(&self, lists: BTreeSet<OwnedRoomId>, is_whole: bool) {
        *self.of_node() = OfNode { lists, is_whole };
    }

    /// Whether a room is a list that was read.
    #[must_use]
    pub fn is_list(&self, room_id: &RoomId) -> bool {
        self.read().contains_key(room_id)
    }

    /// Whether something else than was read stands in a list, or may.
    pub async fn is_stale(&self, from: &mut impl Reads, room_id: &RoomId) -> Result<bool, Error> {
        let Some(root) = self.read().get(room_id).map(|known| known.root) else {
            return Ok(false);
        };
        let room = rooms::room(from, room_id).await?;
        Ok(room.is_some_and(|room| room.state_root != root))
    }

    /// Lets go of lists to which nobody keeps any more.
    pub fn forget_but(&self, used: &BTreeSet<OwnedRoomId>) {
        let of_node = self.of_node().lists.clone();
        self.read().retain(|room_id, _| used.contains(room_id) || of_node.contains(room_id));
    }

    /// Whether any list was read.
    #[must_use]
    pub fn are_any(&self) -> bool {
        !self.read().is_empty()
    }

    /// Whether one was to be read since this was asked last that is not known here.
    #[must_use]
    pub fn are_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }

    /// By which rule somebody is shut out of a world; by all names that are known of them.
    pub async fn judge(
        &self,
        from: &mut impl Reads,
        room_no: i64,
        user_id: &UserId,
        names: &[String],
    ) -> Result<Option<Rule>, Error> {
        for rules in self.in_force(from, room_no).await?.rules {
            if let Some(rule) = rules.judge_user(user_id, names) {
                return Ok(Some(rule.clone()));
            }
        }
        Ok(None)
    }

    /// The rules to which a world keeps.
    pub async fn in_force(&self, from: &mut impl Reads, room_no: i64) -> Result<InForce, Error> {
        let OfNode { mut lists, is_whole } = self.of_node().clone();
        lists.extend(of_world(from, room_no).await?.into_iter().map(|list| list.room_id));
        let mut found = InForce { rules: Vec::new(), is_whole };
        for list in lists {
            if let Some(rules) = self.rules(from, &list).await? {
                found.rules.push(rules);
            } else {
                found.is_whole = false;
                self.wanted.store(true, Ordering::Relaxed);
            }
        }
        Ok(found)
    }

    /// What a list says, where it is known here.
    async fn rules(
        &self,
        from: &mut impl Reads,
        list: &RoomId,
    ) -> Result<Option<Arc<Rules>>, Error> {
        let Some(room) = rooms::room(from, list).await? else { return Ok(None) };
        let known = self.read().get(list).cloned();
        if let Some(known) = known.as_ref().filter(|known| known.root == room.state_root) {
            return Ok(Some(known.rules.clone()));
        }
        let mut numbers = Vec::new();
        for kind in KINDS {
            numbers.extend(rooms::state_events(from, room.room_no, StateOf::Kind(kind)).await?);
        }
        numbers.truncate(MOST);
        // Whoever comes and goes changes the state of the room, and no rule.
        let same = known.filter(|known| known.numbers == numbers).map(|known| known.rules);
        let rules = match same {
            Some(rules) => rules,
            None => Arc::new(read_rules(from, list, &numbers).await?),
        };
        let known = Known { root: room.state_root, numbers, rules: rules.clone() };
        self.read().insert(list.to_owned(), known);
        Ok(Some(rules))
    }

    fn of_node(&self) -> MutexGuard<'_, OfNode> {
        self.of_node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> MutexGuard<'_, HashMap<OwnedRoomId, Known>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads rules by the events that say them.
async fn read_rules(
    from: &mut impl Reads,
    list: &RoomId,
    numbers: &[EventNo],
) -> Result<Rules, Error> {
    let mut rules = Rules::default();
    for some in numbers.chunks(PAGE) {
        for stored in events::by_numbers(from, some).await?.into_values() {
            let (kind, key) = (stored.event.kind().to_string(), stored.event.state_key());
            let put = rules.put(&kind, key.unwrap_or_default(), stored.event.content());
            if let Err(full) = put {
                tracing::warn!(%list, "{full}");
                return Ok(rules);
            }
        }
    }
    Ok(rules)
}

/// The lists to which a world keeps besides those of the node.
pub async fn of_world(from: &mut impl Reads, room_no: i64) -> Result<Vec<List>, Error> {
    let mut numbers = rooms::state_events(from, room_no, StateOf::Kind(LIST)).await?;
    numbers.sort_unstable();
    let stored = events::by_numbers(from, &numbers[..numbers.len().min(4 * LISTS)]).await?;
    let mut found: Vec<(_, List)> = stored
        .into_iter()
        .filter_map(|(number, stored)| {
            let key = stored.event.state_key()?;
            Some((number, read(key, stored.event.content().get())?))
        })
        .collect();
    found.sort_unstable_by_key(|(number, _)| *number);
    Ok(found.into_iter().take(LISTS).map(|(_, list)| list).collect())
}

/// Reads the state by which a world keeps to a list; nothing where it keeps to it no more.
fn read(key: &str, content: &str) -> Option<List> {
    let content: Value = serde_json::from_str(content).ok()?;
    let via = content.get("via")?.as_array()?.iter().take(VIA).filter_map(Value::as_str);
    let via = via.filter_map(|server| ServerName::parse(server).ok()).collect();
    Some(List { room_id: RoomId::parse(key).ok()?, via })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_world_keeps_to_what_names_a_room() {
        let list = read("!bans:a.test", r#"{"via":["a.test",7,"b.test"]}"#).unwrap();
        assert_eq!((list.room_id.as_str(), list.via.len()), ("!bans:a.test", 2));
        for (key, content) in [
            ("", r#"{"via":[]}"#),
            ("#bans:a.test", r#"{"via":[]}"#),
            ("!bans:a.test", "{}"),
            ("!bans:a.test", "[]"),
            ("!bans:a.test", r#"{"via":"a.test"}"#),
        ] {
            assert_eq!(read(key, content), None, "{key} {content}");
        }
    }
}
