//! Making events of our own: canonical content, hashes, signature and id in one pass.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId,
    OwnedUserId, RoomId, canonical_json::redact_content_in_place, events::TimelineEventType,
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};
use wayside_specs::limits;

use crate::{
    canonical,
    event::{Event, EventError, Inner, room_of_create},
    key::ServerKey,
    version::RoomVersion,
};

/// Deepest event that canonical JSON can carry.
const DEPTH_MAX: u64 = (1 << 53) - 1;
/// Most `auth_events` of one event (room versions, "Event format").
const AUTH_EVENTS: usize = 10;

/// An event before it is placed in its room, hashed and signed.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its type.
    pub kind: TimelineEventType,
    /// Its state key; `None` for events that are not state.
    pub state_key: Option<String>,
    /// Who sends it: a user of the server whose key seals it.
    pub sender: OwnedUserId,
    /// An object; any JSON text of canonical numbers.
    pub content: Box<RawValue>,
    /// What an `m.room.redaction` redacts; seal puts it where the room version wants it.
    pub redacts: Option<OwnedEventId>,
    /// Now, in milliseconds.
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
}

impl Draft {
    /// Makes the event: canonical content, depth, hashes, the signature of the sender's server, id.
    ///
    /// `room_id` is `None` only for the create event of version 12, which makes its own room.
    /// `prev` are the forward extremities with their depths: more than 20 are cut to the deepest;
    /// the event lies one deeper than the deepest, at most 2^53 − 1. `auth` are the events that
    /// [`crate::auth::auth_keys`] names; the create event of version 12 is left out of them.
    pub fn seal(
        self,
        version: RoomVersion,
        room_id: Option<&RoomId>,
        prev: &[(OwnedEventId, u64)],
        mut auth: Vec<OwnedEventId>,
        key: &ServerKey,
    ) -> Result<Event, EventError> {
        let makes_room = self.kind == TimelineEventType::RoomCreate && version.create_is_room_id();
        if room_id.is_none() != makes_room {
            let rule = "the create event of version 12, and no other, is made without a room id";
            return Err(EventError::BadFormat(rule.into()));
        }
        if let Some(room_id) = room_id.filter(|_| version.create_is_room_id()) {
            auth.retain(|id| id.as_str().get(1..) != Some(room_id.strip_sigil()));
        }
        if auth.len() > AUTH_EVENTS {
            return Err(EventError::BadFormat(format!("auth_events: at most {AUTH_EVENTS}")));
        }
        let (depth, prev) = choose_prev(prev);
        let (content, redacted) = self.contents(version)?;
        let kind = self.kind.to_string();
        let content_redacts = version.rules().redaction.content_field_redacts;
        let parts = Parts {
            kind: &kind,
            state_key: self.state_key.as_deref(),
            sender: self.sender.as_str(),
            room_id,
            depth,
            origin_server_ts: self.origin_server_ts,
            prev: &prev,
            auth: &auth,
            redacts: self.redacts.as_deref().filter(|_| !content_redacts),
        };
        parts.check()?;
        let (id, json) = parts.seal(content.get(), redacted.get(), key);
        if json.len() > limits::EVENT_BYTES {
            return Err(EventError::TooLarge);
        }
        let room_id = match room_id {
            Some(room_id) => room_id.to_owned(),
            None => room_of_create(&id)?,
        };
        Ok(Event::from_inner(Inner {
            id,
            room_id,
            names_room: !makes_room,
            sender: self.sender,
            kind: self.kind,
            state_key: self.state_key,
            content,
            origin_server_ts: self.origin_server_ts,
            depth,
            prev_events: prev,
            auth_events: auth,
            redacts: self.redacts,
            json: json.into_boxed_str(),
            rejected: false,
        }))
    }

    /// The canonical content, whole and redacted.
    fn contents(&self, version: RoomVersion) -> Result<(Box<RawValue>, Box<RawValue>), EventError> {
        let rules = &version.rules().redaction;
        if self.content.get().len() > 8 * limits::EVENT_BYTES {
            return Err(EventError::TooLarge);
        }
        let mut content = canonical::parse_object(self.content.get())?;
        if let Some(redacts) = &self.redacts {
            if self.kind != TimelineEventType::RoomRedaction {
                return Err(EventError::BadFormat("redacts: only in m.room.redaction".into()));
            }
            if rules.content_field_redacts {
                let redacts = CanonicalJsonValue::String(redacts.as_str().to_owned());
                content.insert("redacts".into(), redacts);
            }
        }
        let raw = |object: &CanonicalJsonObject| {
            to_raw_value(object).map_err(|error| EventError::NotJson(error.to_string()))
        };
        let whole = raw(&content)?;
        redact_content_in_place(&mut content, rules, self.kind.to_string());
        Ok((whole, raw(&content)?))
    }
}

/// The deepest extremities and the depth of the event above them; the order given is kept.
fn choose_prev(prev: &[(OwnedEventId, u64)]) -> (u64, Vec<OwnedEventId>) {
    let deepest = prev.iter().map(|(_, depth)| *depth).max();
    let depth = deepest.map_or(1, |depth| depth.saturating_add(1).min(DEPTH_MAX));
    let mut chosen: Vec<usize> = (0..prev.len()).collect();
    if prev.len() > limits::PREV_EVENTS {
        chosen.sort_by_key(|&at| std::cmp::Reverse(prev[at].1));
        chosen.truncate(limits::PREV_EVENTS);
        chosen.sort_unstable();
    }
    (depth, chosen.into_iter().map(|at| prev[at].0.clone()).collect())
}

/// Everything of an event but its content, hashes and signatures.
struct Parts<'a> {
    kind: &'a str,
    state_key: Option<&'a str>,
    sender: &'a str,
    room_id: Option<&'a RoomId>,
    depth: u64,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    prev: &'a [OwnedEventId],
    auth: &'a [OwnedEventId],
    /// Only where the version has it at top level.
    redacts: Option<&'a EventId>,
}

/// What differs between the four texts of one event.
#[derive(Clone, Copy)]
struct Text<'a> {
    content: &'a str,
    hash: Option<&'a str>,
    redacts: Option<&'a EventId>,
    /// Server, key id, signature.
    signature: Option<(&'a str, &'a str, &'a str)>,
}

impl Parts<'_> {
    /// Refuses ids that are too long.
    fn check(&self) -> Result<(), EventError> {
        let texts = [Some(self.kind), self.state_key, Some(self.sender)];
        let room = self.room_id.map(RoomId::as_str);
        if texts.into_iter().chain([room]).flatten().any(|text| text.len() > limits::ID_BYTES) {
            return Err(EventError::TooLarge);
        }
        Ok(())
    }

    /// The id and the whole signed text. The text that is signed and the text whose hash is the id
    /// are the same: redacted, with hashes, without signatures.
    fn seal(&self, content: &str, redacted: &str, key: &ServerKey) -> (OwnedEventId, String) {
        let bare = Text { content, hash: None, redacts: self.redacts, signature: None };
        let hash = STANDARD_NO_PAD.encode(Sha256::digest(self.write(bare)));
        // A redacted event of version 10 keeps no top-level `redacts`.
        let signed = Text { content: redacted, hash: Some(&hash), redacts: None, signature: None };
        let signed = self.write(signed);
        let id = format!("${}", URL_SAFE_NO_PAD.encode(Sha256::digest(&signed)));
        let id = OwnedEventId::try_from(id).expect("a dollar sign and 43 letters are an event id");
        let signature = key.sign_bytes(signed.as_bytes());
        let server = self.sender.split_once(':').map_or("", |(_, server)| server);
        let whole = Text {
            hash: Some(&hash),
            signature: Some((server, key.key_id().as_str(), &signature)),
            ..bare
        };
        (id, self.write(whole))
    }

    /// Writes one of the texts, its keys in canonical order.
    fn write(&self, text: Text<'_>) -> String {
        let mut out = Vec::with_capacity(1_024 + text.content.len());
        put(&mut out, "{\"auth_events\":", &self.auth);
        out.extend_from_slice(b",\"content\":");
        out.extend_from_slice(text.content.as_bytes());
        put(&mut out, ",\"depth\":", &self.depth);
        if let Some(hash) = text.hash {
            put(&mut out, ",\"hashes\":{\"sha256\":", hash);
            out.push(b'}');
        }
        put(&mut out, ",\"origin_server_ts\":", &self.origin_server_ts);
        put(&mut out, ",\"prev_events\":", &self.prev);
        if let Some(redacts) = text.redacts {
            put(&mut out, ",\"redacts\":", redacts.as_str());
        }
        if let Some(room_id) = self.room_id {
            put(&mut out, ",\"room_id\":", room_id.as_str());
        }
        put(&mut out, ",\"sender\":", self.sender);
        if let Some((server, key_id, signature)) = text.signature {
            put(&mut out, ",\"signatures\":{", server);
            put(&mut out, ":{", key_id);
            put(&mut out, ":", signature);
            out.extend_from_slice(b"}}");
        }
        if let Some(state_key) = self.state_key {
            put(&mut out, ",\"state_key\":", state_key);
        }
        put(&mut out, ",\"type\":", self.kind);
        out.push(b'}');
        String::from_utf8(out).expect("JSON of strings is UTF-8")
    }
}

/// Writes a key (or any literal text) and a value after it.
fn put<T: Serialize + ?Sized>(out: &mut Vec<u8>, literal: &str, value: &T) {
    out.extend_from_slice(literal.as_bytes());
    serde_json::to_writer(out, value).expect("strings and integers always serialise");
}
