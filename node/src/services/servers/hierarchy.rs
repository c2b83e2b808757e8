//! Rooms as other servers show them, in sum and with what is below them (server-server API, spaces).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use ruma::{OwnedRoomId, OwnedServerName, RoomId, ServerName, UserId};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{Object, Question, Servers};

/// Most bytes of such an answer, and how long it may take.
const ANSWER: (usize, Duration) = (4 * 1024 * 1024, Duration::from_secs(10));
/// Servers that are asked about one room.
const ASKED: usize = 3;
/// Children of one room that are looked at.
const CHILDREN: usize = 500;
/// Servers that one child names.
const VIA: usize = 10;
/// How long what was told is believed, and that nothing was.
const TOLD: Duration = Duration::from_mins(5);
const NOT_TOLD: Duration = Duration::from_mins(1);
/// The longest `order` of a child that counts (client-server API, `m.space.child`).
const ORDER_BYTES: usize = 50;

/// What a server tells of a room.
#[derive(Debug)]
pub struct Told {
    /// The room in sum, as clients know it.
    pub room: Object,
    /// What is below it, in its order.
    pub children: Vec<Below>,
    /// Those below it that this node's people cannot see.
    pub inaccessible: HashSet<OwnedRoomId>,
}

/// A room below another.
#[derive(Debug)]
pub struct Below {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Servers that know it.
    pub via: Vec<OwnedServerName>,
    /// Whether the room above suggests it.
    pub is_suggested: bool,
    /// The event that names it.
    pub event: Box<RawValue>,
    /// It in sum, if the server knows it.
    pub room: Option<Object>,
}

/// What was told, and until when it is believed.
#[derive(Clone)]
pub(super) struct Believed {
    until: Instant,
    told: Option<Arc<Told>>,
}

impl Servers {
    /// What one of these servers tells of a room that is not here; nothing where none does. What each has
    /// told is believed for some minutes, for whoever is sent to that server.
    pub async fn room_elsewhere(
        &self,
        room_id: &RoomId,
        via: &[OwnedServerName],
    ) -> Option<Arc<Told>> {
        let mut seen = HashSet::new();
        let own = &self.ground.server_name;
        let via = via.iter().filter(|server| *server != own && seen.insert((*server).clone()));
        for server in via.take(ASKED) {
            let key = (server.clone(), room_id.to_owned());
            let now = self.ground.clock.instant();
            let believed = self.hierarchies.get(&key).filter(|it| now < it.until);
            let told = if let Some(believed) = believed {
                believed.told
            } else {
                let told = self.ask_for_room(server, room_id).await.map(Arc::new);
                let lasts = if told.is_some() { TOLD } else { NOT_TOLD };
                let until = self.ground.clock.instant() + lasts;
                self.hierarchies.insert(key, Believed { until, told: told.clone() });
                told
            };
            if told.is_some() {
                return told;
            }
        }
        None
    }

    /// Whether asking about a room would call anybody now.
    #[must_use]
    pub fn is_told(&self, room_id: &RoomId, via: &[OwnedServerName]) -> bool {
        let now = self.ground.clock.instant();
        via.iter().take(ASKED).all(|server| {
            let believed = self.hierarchies.get(&(server.clone(), room_id.to_owned()));
            believed.is_some_and(|it| now < it.until)
        })
    }

    async fn ask_for_room(&self, server: &ServerName, room_id: &RoomId) -> Option<Told> {
        let path = ["_matrix", "federation", "v1", "hierarchy", room_id.as_str()];
        let question = Question::get(&path, &[("suggested_only", "false")]);
        match self.ask::<Answer>(server, question.bounded(ANSWER.0, ANSWER.1)).await {
            Ok(answer) => {
                let told = read(room_id, answer);
                if told.is_none() {
                    tracing::debug!(%server, "a server tells of another room than it was asked about");
                }
                told
            }
            Err(error) => {
                tracing::debug!(%error, "a room elsewhere could not be looked at");
                None
            }
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    room: Object,
    #[serde(default)]
    children: Vec<Object>,
    #[serde(default)]
    inaccessible_children: Vec<Value>,
}

/// Reads what is told of a room; nothing where it is another.
fn read(room_id: &RoomId, mut answer: Answer) -> Option<Told> {
    let events = answer.room.remove("children_state");
    let room = summed(answer.room).filter(|(id, _)| id == room_id)?.1;
    let sums = answer.children.into_iter().take(CHILDREN).filter_map(summed);
    let mut sums: HashMap<OwnedRoomId, Object> = sums.collect();
    let Some(Value::Array(events)) = events.or(Some(json!([]))) else { return None };
    let is_space = room.get("room_type").is_some_and(|kind| kind == "m.space");
    let mut children: Vec<_> = events
        .into_iter()
        .take(CHILDREN)
        .filter(|_| is_space)
        .filter_map(|it| child(&it))
        .collect();
    children.sort_by(|one, other| one.0.cmp(&other.0));
    let mut seen = HashSet::new();
    children.retain(|(_, child)| seen.insert(child.room_id.clone()));
    let children = children.into_iter().map(|(_, child)| {
        let room = sums.remove(&child.room_id);
        Below { room, ..child }
    });
    let hidden = answer.inaccessible_children.into_iter().take(CHILDREN);
    let hidden = hidden.filter_map(|id| RoomId::parse(id.as_str()?).ok());
    Some(Told { room, children: children.collect(), inaccessible: hidden.collect() })
}

/// A room in sum, with those fields that clients know and that are what they should be.
fn summed(told: Object) -> Option<(OwnedRoomId, Object)> {
    let room_id = RoomId::parse(told.get("room_id")?.as_str()?).ok()?;
    let is_right = |name: &str, value: &Value| match name {
        "room_id" | "name" | "topic" | "avatar_url" | "canonical_alias" | "join_rule"
        | "room_type" | "room_version" | "encryption" => value.is_string(),
        "num_joined_members" => value.as_u64().is_some(),
        "world_readable" | "guest_can_join" => value.is_boolean(),
        "allowed_room_ids" => {
            let ids = value.as_array();
            ids.is_some_and(|ids| ids.iter().all(Value::is_string))
        }
        _ => false,
    };
    let mut room: Object = told.into_iter().filter(|(name, value)| is_right(name, value)).collect();
    // These are always there for clients.
    room.entry("num_joined_members").or_insert(0.into());
    room.entry("world_readable").or_insert(false.into());
    room.entry("guest_can_join").or_insert(false.into());
    Some((room_id, room))
}

/// Where a child stands among the others: those with an order first, then by age, then by id.
type Place = (bool, String, i64, OwnedRoomId);

fn child(event: &Value) -> Option<(Place, Below)> {
    let room_id = RoomId::parse(event["state_key"].as_str()?).ok()?;
    let sender = UserId::parse(event["sender"].as_str()?).ok()?;
    let content = event["content"].as_object()?;
    if event["type"] != "m.space.child" {
        return None;
    }
    let via = content.get("via")?.as_array()?.iter().filter_map(|it| it.as_str());
    let via = via.filter_map(|name| ServerName::parse(name).ok()).take(VIA);
    let via: Vec<OwnedServerName> = via.collect();
    if via.is_empty() {
        return None;
    }
    let is_order = |order: &&str| {
        order.len() <= ORDER_BYTES && order.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
    };
    let order = content.get("order").and_then(Value::as_str).filter(is_order);
    let sent_ms = event["origin_server_ts"].as_i64().unwrap_or(0);
    let place = (order.is_none(), order.unwrap_or_default().to_owned(), sent_ms, room_id.clone());
    let is_suggested = content.get("suggested") == Some(&Value::Bool(true));
    let told = json!({
        "type": "m.space.child", "state_key": room_id, "sender": sender, "content": content,
        "origin_server_ts": sent_ms,
    });
    let event = serde_json::value::to_raw_value(&told).ok()?;
    Some((place, Below { room_id, via, is_suggested, event, room: None }))
}

#[cfg(test)]
mod tests {
    use ruma::room_id;

    use super::*;

    fn told(answer: Value) -> Option<Told> {
        read(room_id!("!top:a.test"), serde_json::from_value(answer).unwrap())
    }

    fn event(id: &str, content: &Value) -> Value {
        json!({ "type": "m.space.child", "state_key": id, "sender": "@a:a.test", "content": content,
                "origin_server_ts": 5, "room_id": "!other:a.test", "auth_events": [1] })
    }

    #[test]
    fn only_what_clients_know_is_believed_of_a_room() {
        let via = json!({ "via": ["b.test"], "suggested": true });
        let found = told(json!({
            "room": {
                "room_id": "!top:a.test", "room_type": "m.space", "name": 5, "topic": "t", "more": [],
                "allowed_room_ids": [5], "num_joined_members": -1, "world_readable": "yes",
                "children_state": [
                    event("!b:b.test", &via), event("!a:b.test", &json!({ "via": ["b.test"], "order": "a" })),
                    event("!b:b.test", &via), event("none", &via), event("!c:b.test", &json!({})),
                    event("!d:b.test", &json!({ "via": [] })), event("!d:b.test", &json!({ "via": [5, "a b"] })),
                    { "type": "m.room.name" }, 5, null,
                ],
            },
            "children": [{ "room_id": "!b:b.test", "name": "b" }, { "room_id": "!x:b.test" }, {}],
            "inaccessible_children": ["!h:b.test", 5, "x"],
        }));
        let found = found.unwrap();
        let wanted = json!({ "room_id": "!top:a.test", "room_type": "m.space", "topic": "t",
            "num_joined_members": 0, "world_readable": false, "guest_can_join": false });
        assert_eq!(Value::Object(found.room), wanted);
        let ids: Vec<&str> = found.children.iter().map(|it| it.room_id.as_str()).collect();
        assert_eq!(ids, ["!a:b.test", "!b:b.test"]);
        assert!(found.children[1].is_suggested && found.children[1].room.is_some());
        assert!(!found.children[1].event.get().contains("auth_events"));
        assert_eq!(found.inaccessible.len(), 1);
    }

    #[test]
    fn a_server_that_tells_of_another_room_is_not_believed() {
        for room in [json!({ "room_id": "!other:a.test" }), json!({}), json!({ "room_id": 5 })] {
            assert!(told(json!({ "room": room })).is_none(), "{room}");
        }
        let many: Vec<Value> = (0..5_000)
            .map(|number| event(&format!("!{number}:b.test"), &json!({ "via": ["b.test"] })))
            .collect();
        let room =
            json!({ "room_id": "!top:a.test", "room_type": "m.space", "children_state": many });
        assert_eq!(told(json!({ "room": room })).unwrap().children.len(), CHILDREN);
        let room = json!({ "room_id": "!top:a.test", "children_state": many });
        assert!(told(json!({ "room": room })).unwrap().children.is_empty(), "it is no space");
    }
}
