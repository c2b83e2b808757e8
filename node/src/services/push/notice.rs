//! What gateways are told: the events that somebody's rules want told, and how they are written.

use std::collections::{HashMap, hash_map::Entry};

use ruma::{
    OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType},
    push::Action,
};
use serde_json::{Map, Value, json};
use wayside_federation::{
    event::Event,
    state::{EventNo, StateKey},
};

use super::{
    Error, Push, Pusher, Threads,
    counting::{Mark, shown_names},
    pushers::EVENT_ID_ONLY,
    rules::{Rules, Who},
};
use crate::{
    services::rooms::view,
    store::{
        Snapshot, StoreError,
        events::{self, StoredEvent},
        rooms::{self, Membership, RoomRow},
        state,
    },
};

/// Most notices that wait for one pusher: of more, the oldest are told by the count alone.
const WAITING: usize = 100;
/// Events looked at together at first, and at most: mostly what is new is new for this pusher.
const PAGE: (i64, i64) = (16, 256);
/// Pages that are looked at: what lies further back is told by the count alone.
const PAGES: usize = 20;

/// An event that a gateway is to be told of.
pub(super) struct Notice {
    stored: StoredEvent,
    row: RoomRow,
    actions: Vec<Action>,
}

/// What is known of a room while notices are looked for.
struct Room {
    row: RoomRow,
    mark: Mark,
    unread: Threads,
    name: Option<String>,
}

impl Notice {
    /// The place of its event in the stream.
    pub(super) fn place(&self) -> i64 {
        self.stored.event_no.0
    }
}

impl Push {
    /// What a pusher's gateway has not been told of, up to a position, the oldest first. What its
    /// person has read by now is not told any more.
    pub(super) async fn notices(
        &self,
        snapshot: &mut Snapshot,
        pusher: &Pusher,
        upto: i64,
    ) -> Result<Vec<Notice>, Error> {
        let own = &pusher.key.user_id;
        let rules = self.rules_of(snapshot, std::slice::from_ref(own)).await?;
        let Some(rules) = rules.get(own) else { return Ok(Vec::new()) };
        let mut known: HashMap<i64, Option<Room>> = HashMap::new();
        let mut found = self.invitations(snapshot, pusher, upto, rules).await?;
        let (mut before, mut size) = (upto.saturating_add(1), PAGE.0);
        for _ in 0..PAGES {
            let between = (pusher.reached, before);
            let page = events::of_person_between(snapshot, own, between, size).await?;
            let is_full = i64::try_from(page.len()) == Ok(size);
            for stored in page {
                before = stored.event_no.0;
                let room = match known.entry(stored.room_no) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => {
                        place.insert(self.told_room(snapshot, stored.room_no, own).await?)
                    }
                };
                let Some(room) = room else { continue };
                found.extend(self.notice(snapshot, room, stored, own, rules).await?);
            }
            if !is_full || found.len() >= WAITING {
                break;
            }
            size = (size * 4).min(PAGE.1);
        }
        found.sort_by_key(Notice::place);
        found.drain(..found.len().saturating_sub(WAITING));
        Ok(found)
    }

    /// Invitations to rooms, which nobody counts: who is invited is not in the room.
    async fn invitations(
        &self,
        snapshot: &mut Snapshot,
        pusher: &Pusher,
        upto: i64,
        rules: &std::sync::Arc<Rules>,
    ) -> Result<Vec<Notice>, Error> {
        let own = &pusher.key.user_id;
        let most = i64::try_from(WAITING).unwrap_or(i64::MAX);
        let invited = rooms::invited_after(snapshot, own, pusher.reached, most).await?;
        let invited = invited.into_iter().filter(|it| it.position <= upto);
        let numbers: Vec<EventNo> = invited.map(|it| it.event_no).collect();
        let mut found = Vec::new();
        for stored in events::by_numbers(snapshot, &numbers).await?.into_values() {
            let row = rooms::by_numbers(snapshot, &[stored.room_no]).await?.pop();
            let Some(row) = row else { continue };
            let seen = self.seen(snapshot, &row, &stored.event).await?;
            let who = Who { user_id: own, display_name: None };
            let rule = rules.judge(&seen, who).filter(|rule| rule.notifies);
            if let Some(rule) = rule {
                found.push(Notice { actions: rule.actions.clone(), row, stored });
            }
        }
        Ok(found)
    }

    async fn told_room(
        &self,
        snapshot: &mut Snapshot,
        room_no: i64,
        own: &OwnedUserId,
    ) -> Result<Option<Room>, Error> {
        let Some(row) = rooms::by_numbers(snapshot, &[room_no]).await?.pop() else {
            return Ok(None);
        };
        let mut unread = self.unread(snapshot, own, &[room_no]).await?;
        let Some(unread) = unread.remove(&room_no).filter(|threads| !threads.is_empty()) else {
            return Ok(None);
        };
        let mark = Mark::of(snapshot, room_no, own).await?;
        let mut names = shown_names(snapshot, &row, std::slice::from_ref(own)).await?;
        Ok(Some(Room { row, mark, unread, name: names.remove(own) }))
    }

    async fn notice(
        &self,
        snapshot: &mut Snapshot,
        room: &Room,
        stored: StoredEvent,
        own: &UserId,
        rules: &Rules,
    ) -> Result<Option<Notice>, Error> {
        if stored.redacted_by.is_some() {
            return Ok(None);
        }
        let seen = self.seen(snapshot, &room.row, &stored.event).await?;
        let who = Who { user_id: own, display_name: room.name.as_deref() };
        let Some(rule) = rules.judge(&seen, who).filter(|rule| rule.notifies) else {
            return Ok(None);
        };
        let thread = seen.thread.as_deref().unwrap_or_default();
        let is_read = !room.unread.contains_key(thread)
            || stored.position.is_none_or(|position| position <= room.mark.of_thread(thread));
        if is_read || !was_there(snapshot, &stored, own).await? {
            return Ok(None);
        }
        let actions = rule.actions.clone();
        drop(seen);
        Ok(Some(Notice { stored, row: room.row.clone(), actions }))
    }

    /// A notice as a gateway is told it (push gateway API, `POST /_matrix/push/v1/notify`).
    pub(super) async fn notification(
        &self,
        snapshot: &mut Snapshot,
        pusher: &Pusher,
        data: &Map<String, Value>,
        notice: &Notice,
        unread: i64,
    ) -> Result<Value, Error> {
        let event = &notice.stored.event;
        let tweaks = tweaks(&notice.actions)?;
        let mut counts = json!({});
        if unread > 0 {
            counts["unread"] = unread.into();
        }
        // What may concern the person alone wakes their device; of what is encrypted nobody can say.
        let loud = ["sound", "highlight"].iter().any(|name| tweaks.contains_key(*name));
        let is_encrypted = *event.kind() == TimelineEventType::RoomEncrypted;
        let mut told = json!({
            "event_id": event.id(),
            "room_id": event.room_id(),
            "prio": if loud || is_encrypted { "high" } else { "low" },
            "counts": counts,
            "devices": [device(pusher, data, Some(tweaks))],
        });
        if data.get("format").is_some_and(|format| format == EVENT_ID_ONLY) {
            return Ok(json!({ "notification": told }));
        }
        told["type"] = event.kind().to_string().into();
        told["sender"] = event.sender().as_str().into();
        told["content"] = serde_json::from_str(event.content().get()).map_err(Error::internal)?;
        if *event.kind() == TimelineEventType::RoomMember {
            let target = event.state_key() == Some(pusher.key.user_id.as_str());
            told["user_is_target"] = target.into();
        }
        let sender = event.sender().to_owned();
        let mut names = shown_names(snapshot, &notice.row, std::slice::from_ref(&sender)).await?;
        if let Some(name) = names.remove(&sender) {
            told["sender_display_name"] = name.into();
        }
        for (kind, field, name) in [
            (StateEventType::RoomName, "name", "room_name"),
            (StateEventType::RoomCanonicalAlias, "alias", "room_alias"),
        ] {
            let holder = state_of(snapshot, &notice.row, kind).await?;
            let text = holder.and_then(|it| view::text_in(&it.event, field));
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                told[name] = text.into();
            }
        }
        Ok(json!({ "notification": told }))
    }
}

/// The count of unread events alone, as a gateway is told it. A count of nothing is said: gateways keep
/// what they showed where it is left out.
pub(super) fn badge(pusher: &Pusher, data: &Map<String, Value>, unread: i64) -> Value {
    json!({ "notification": {
        "prio": "low",
        "counts": { "unread": unread },
        "devices": [device(pusher, data, None)],
    }})
}

fn device(pusher: &Pusher, data: &Map<String, Value>, tweaks: Option<Map<String, Value>>) -> Value {
    let mut data = data.clone();
    data.remove("url");
    let mut device = json!({
        "app_id": pusher.key.app_id,
        "pushkey": pusher.key.pushkey,
        "pushkey_ts": pusher.set_ms / 1_000,
        "data": data,
    });
    if let Some(tweaks) = tweaks {
        device["tweaks"] = tweaks.into();
    }
    device
}

/// How the rules want a notification to look and sound.
fn tweaks(actions: &[Action]) -> Result<Map<String, Value>, Error> {
    let mut tweaks = Map::new();
    for action in actions {
        let action = serde_json::to_value(action).map_err(Error::internal)?;
        let Some(name) = action.get("set_tweak").and_then(Value::as_str) else { continue };
        let value = action.get("value").cloned();
        // Whoever sets this one without a value means that it holds (client-server API, actions).
        let value = value.or_else(|| (name == "highlight").then(|| true.into()));
        match value {
            Some(Value::Bool(false)) if name == "highlight" => {}
            Some(value) => drop(tweaks.insert(name.to_owned(), value)),
            None => {}
        }
    }
    Ok(tweaks)
}

/// Whether somebody was in the room when an event was sent: what came before they did is not told.
async fn was_there(
    snapshot: &mut Snapshot,
    stored: &StoredEvent,
    user_id: &UserId,
) -> Result<bool, StoreError> {
    let Some(roots) = stored.roots else { return Ok(false) };
    let key = StateKey::new(StateEventType::RoomMember, user_id.as_str());
    let Some(number) = state::lookup(snapshot, roots.state_after, &[key]).await?[0] else {
        return Ok(false);
    };
    let held = events::by_numbers(snapshot, &[number]).await?;
    Ok(held.get(&number).is_some_and(|it| view::is_joined(&it.event)))
}

async fn state_of(
    snapshot: &mut Snapshot,
    row: &RoomRow,
    kind: StateEventType,
) -> Result<Option<StoredEvent>, StoreError> {
    let number = state::lookup(snapshot, row.state_root, &[StateKey::new(kind, "")]).await?[0];
    let Some(number) = number else { return Ok(None) };
    Ok(events::by_numbers(snapshot, &[number]).await?.remove(&number))
}

/// Whether an event invites somebody.
pub(super) fn invites(event: &Event) -> Option<OwnedUserId> {
    let is_member = *event.kind() == TimelineEventType::RoomMember;
    let invites =
        view::text_in(event, "membership").as_deref() == Some(Membership::Invite.as_str());
    let user_id = event.state_key().and_then(|key| UserId::parse(key).ok());
    user_id.filter(|_| is_member && invites)
}
