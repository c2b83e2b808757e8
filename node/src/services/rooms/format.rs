//! Events as clients see them.

use std::{borrow::Cow, fmt::Write};

use ruma::{EventId, OwnedEventId};
use serde_json::{Map, Value, value::RawValue};
use wayside_federation::event::Event;

use super::super::filter::Fields;
use crate::store::events::StoredEvent;

/// What a client is told beside an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsigned<'a> {
    /// The id under which the asking device sent it.
    pub transaction_id: Option<&'a str>,
    /// Its age in milliseconds.
    pub age_ms: Option<i64>,
    /// How the asker stood to the room when it was sent.
    pub membership: Option<&'a str>,
    /// The content that the event's state key had before.
    pub prev_content: Option<&'a RawValue>,
    /// The event that the state key held before.
    pub replaces_state: Option<&'a EventId>,
    /// The redaction that emptied it, as clients see it.
    pub redacted_because: Option<&'a RawValue>,
    /// What relates to it.
    pub related: Option<&'a Bundle>,
}

/// What is told with an event of what relates to it (client-server API, aggregations of child events).
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    /// Its newest edit, as clients see it.
    pub edit: Option<Box<RawValue>>,
    /// The thread that begins with it.
    pub thread: Option<Thread>,
    /// The events that refer to it.
    pub references: Vec<OwnedEventId>,
}

/// A thread in sum.
#[derive(Clone, Debug)]
pub struct Thread {
    /// The newest reply, as clients see it.
    pub latest: Box<RawValue>,
    /// How many replies there are.
    pub count: i64,
    /// Whether the asker took part.
    pub own: bool,
}

/// How a client wants its events written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Form<'a> {
    /// Without the room's id, as inside `/sync`, where it stands above.
    pub under_room: bool,
    /// As servers send them to each other (client-server API, filtering, `event_format`).
    pub federation: bool,
    /// Only these parts.
    pub fields: Option<&'a Fields>,
}

impl Form<'_> {
    /// The same with all parts, for an event that stands within another.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { fields: None, ..self }
    }
}

/// The form of an event in timelines and state (client-server API, `ClientEvent`).
#[must_use]
pub fn client_event(stored: &StoredEvent, form: Form<'_>, unsigned: Unsigned<'_>) -> Box<RawValue> {
    let json = if form.federation {
        federation_json(&stored.event, unsigned)
    } else {
        client_json(&stored.event, form.under_room, unsigned)
    };
    raw(form.fields.map_or(json.as_str().into(), |fields| fields.of(&json)).into_owned())
}

/// The event as it is signed, with its id and what belongs beside it.
fn federation_json(event: &Event, unsigned: Unsigned<'_>) -> String {
    let mut json = event.json().to_owned();
    let closed = json.pop();
    debug_assert_eq!(closed, Some('}'), "an event is an object");
    text(&mut json, "event_id", event.id().as_str());
    field(&mut json, "unsigned", &unsigned_json(unsigned));
    json.push('}');
    json
}

fn client_json(event: &Event, under_room: bool, unsigned: Unsigned<'_>) -> String {
    let mut json = String::with_capacity(event.content().get().len() + 384);
    json.push('{');
    field(&mut json, "content", &content_json(event));
    text(&mut json, "event_id", event.id().as_str());
    field(&mut json, "origin_server_ts", &event.origin_server_ts().get().to_string());
    if !under_room {
        text(&mut json, "room_id", event.room_id().as_str());
    }
    text(&mut json, "sender", event.sender().as_str());
    if let Some(state_key) = event.state_key() {
        text(&mut json, "state_key", state_key);
    }
    text(&mut json, "type", &event.kind().to_string());
    if let Some(redacts) = event.redacts() {
        // Clients of before room version 11 look for it here (client-server API, redactions).
        text(&mut json, "redacts", redacts.as_str());
    }
    let around = unsigned_json(unsigned);
    if around.len() > 2 {
        field(&mut json, "unsigned", &around);
    }
    json.push('}');
    json
}

/// The form of state shown to those who are not in the room (client-server API, stripped state).
#[must_use]
pub fn stripped(event: &Event) -> Box<RawValue> {
    raw(stripped_json(event, None))
}

/// The same with the time at which it was set, as a tree of spaces shows its children.
#[must_use]
pub fn stripped_child(event: &Event) -> Box<RawValue> {
    raw(stripped_json(event, Some(event.origin_server_ts().get().into())))
}

fn stripped_json(event: &Event, sent_ms: Option<u64>) -> String {
    let mut json = String::with_capacity(event.content().get().len() + 200);
    json.push('{');
    field(&mut json, "content", event.content().get());
    if let Some(sent_ms) = sent_ms {
        field(&mut json, "origin_server_ts", &sent_ms.to_string());
    }
    text(&mut json, "sender", event.sender().as_str());
    text(&mut json, "state_key", event.state_key().unwrap_or_default());
    text(&mut json, "type", &event.kind().to_string());
    json.push('}');
    json
}

/// The content; in a redaction of before room version 11 with the event that it names, where newer
/// clients look for it (client-server API, `m.room.redaction`).
fn content_json(event: &Event) -> Cow<'_, str> {
    let content = event.content().get();
    let Some(target) = event.redacts() else { return content.into() };
    let Ok(mut object) = serde_json::from_str::<Map<String, Value>>(content) else {
        return content.into();
    };
    object.entry("redacts").or_insert_with(|| target.as_str().into());
    Value::Object(object).to_string().into()
}

fn unsigned_json(unsigned: Unsigned<'_>) -> String {
    let mut json = String::from("{");
    if let Some(age_ms) = unsigned.age_ms {
        field(&mut json, "age", &age_ms.max(0).to_string());
    }
    if let Some(id) = unsigned.transaction_id {
        text(&mut json, "transaction_id", id);
    }
    if let Some(membership) = unsigned.membership {
        text(&mut json, "membership", membership);
    }
    if let Some(content) = unsigned.prev_content {
        field(&mut json, "prev_content", content.get());
    }
    if let Some(replaced) = unsigned.replaces_state {
        text(&mut json, "replaces_state", replaced.as_str());
    }
    if let Some(because) = unsigned.redacted_because {
        field(&mut json, "redacted_because", because.get());
    }
    if let Some(bundle) = unsigned.related {
        field(&mut json, "m.relations", &bundle_json(bundle));
    }
    json.push('}');
    json
}

fn bundle_json(bundle: &Bundle) -> String {
    let mut json = String::from("{");
    if let Some(edit) = &bundle.edit {
        field(&mut json, "m.replace", edit.get());
    }
    if let Some(thread) = &bundle.thread {
        let Thread { latest, count, own } = thread;
        let told = format!(
            "{{\"latest_event\":{},\"count\":{count},\"current_user_participated\":{own}}}",
            latest.get()
        );
        field(&mut json, "m.thread", &told);
    }
    if !bundle.references.is_empty() {
        let ids = bundle.references.iter().map(|id| serde_json::json!({ "event_id": id }));
        let chunk = serde_json::json!({ "chunk": ids.collect::<Vec<_>>() });
        field(&mut json, "m.reference", &chunk.to_string());
    }
    json.push('}');
    json
}

fn text(json: &mut String, name: &str, value: &str) {
    let quoted = serde_json::to_string(value).expect("a string is always JSON");
    field(json, name, &quoted);
}

fn field(json: &mut String, name: &str, value: &str) {
    if !json.ends_with('{') {
        json.push(',');
    }
    write!(json, "\"{name}\":{value}").expect("writing to a string does not fail");
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("the parts of the event are JSON")
}
