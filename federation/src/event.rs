//! Events as servers exchange them: read, checked, hashed, redacted (room versions, "Event format").

use std::{fmt, sync::Arc};

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId,
    OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId,
    canonical_json::redact_in_place,
    events::TimelineEventType,
    signatures::{JsonError, Verified, reference_hash, verify_event},
    state_res::check_pdu_format,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use wayside_specs::limits;

use crate::{
    canonical::{self, CanonicalError},
    key::{PublicKeys, ServerKey},
    version::RoomVersion,
};

pub use crate::seal::Draft;

/// Most bytes of an event's text before it is made canonical: every byte written as `\u00XX`, and
/// room for `unsigned`.
const RAW_BYTES: usize = 8 * limits::EVENT_BYTES;

/// Why an event could not be read, made or trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The text does not parse as JSON, or nests too deeply. Drop it.
    #[error("reading an event: {0}")]
    NotJson(String),
    /// Fractions, exponents or integers beyond ±(2^53 − 1). Drop it, or tell the client
    /// `M_BAD_JSON`.
    #[error("reading an event: {0}")]
    NotCanonical(String),
    /// A field is missing or has a shape that the room version does not know. Drop it.
    #[error("reading an event: {0}")]
    BadFormat(String),
    /// The event exceeds 65,535 bytes, or one of its ids, type or state key 255 (`M_TOO_LARGE`).
    #[error(
        "an event of at most {} bytes, its ids, type and state key of at most {}, would be right",
        limits::EVENT_BYTES,
        limits::ID_BYTES
    )]
    TooLarge,
    /// A required signature is missing, by an unknown key, or wrong. Drop it, or fetch the key.
    #[error("verifying an event: {0}")]
    BadSignature(String),
}

impl From<CanonicalError> for EventError {
    fn from(error: CanonicalError) -> Self {
        match error {
            CanonicalError::NotJson(text) => Self::NotJson(text),
            CanonicalError::NotCanonical(text) => Self::NotCanonical(text),
        }
    }
}

impl From<JsonError> for EventError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::PduTooLarge => Self::TooLarge,
            other => Self::BadFormat(other.to_string()),
        }
    }
}

/// An immutable, checked PDU of room version 10 to 12. Cloning copies a pointer.
#[derive(Clone)]
pub struct Event(Arc<Inner>);

/// What an event says, taken out of its JSON once.
#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) id: OwnedEventId,
    pub(crate) room_id: OwnedRoomId,
    /// Whether the JSON itself names a room: the create event of version 12 must not.
    pub(crate) names_room: bool,
    pub(crate) sender: OwnedUserId,
    pub(crate) kind: TimelineEventType,
    pub(crate) state_key: Option<String>,
    pub(crate) content: Box<RawValue>,
    pub(crate) origin_server_ts: MilliSecondsSinceUnixEpoch,
    pub(crate) depth: u64,
    pub(crate) prev_events: Vec<OwnedEventId>,
    pub(crate) auth_events: Vec<OwnedEventId>,
    pub(crate) redacts: Option<OwnedEventId>,
    pub(crate) json: Box<str>,
    pub(crate) rejected: bool,
}

impl Event {
    /// Reads an event that this node stored before: no rehash, no canonicalisation, no size check.
    ///
    /// `json` must be what [`Event::json`] gave, `event_id` its id, `rejected` whether the checks on
    /// receipt refused it.
    pub fn from_stored(
        version: RoomVersion,
        event_id: OwnedEventId,
        json: &str,
        rejected: bool,
    ) -> Result<Self, EventError> {
        let fields: Fields<'_> = serde_json::from_str(json).map_err(|error| {
            if error.is_data() {
                EventError::BadFormat(error.to_string())
            } else {
                EventError::NotJson(error.to_string())
            }
        })?;
        let redacts = fields.redacts(version);
        let is_create = fields.kind == TimelineEventType::RoomCreate;
        let names_room = fields.room_id.is_some();
        let room_id = match fields.room_id {
            _ if is_create && version.create_is_room_id() => room_of_create(&event_id)?,
            Some(room_id) => room_id,
            None => return Err(EventError::BadFormat("room_id: missing".into())),
        };
        Ok(Self(Arc::new(Inner {
            id: event_id,
            room_id,
            names_room,
            sender: fields.sender,
            kind: fields.kind,
            state_key: fields.state_key,
            content: fields.content.to_owned(),
            origin_server_ts: fields.origin_server_ts,
            depth: fields.depth,
            prev_events: fields.prev_events,
            auth_events: fields.auth_events,
            redacts,
            json: json.into(),
            rejected,
        })))
    }

    /// Reads an event of a stranger: check 1 on receipt of a PDU (server-server API), and its id.
    ///
    /// Checks that the text is JSON of canonical numbers, nests at most 127 deep, has at most 65,535
    /// bytes in canonical form without `unsigned` (which strangers may write at will and is cut
    /// off), that ids, type and state key have at most 255 bytes, and the format of the room
    /// version. Nothing is believed yet: call [`Event::verify`].
    pub fn receive(version: RoomVersion, json: &str) -> Result<Self, EventError> {
        if json.len() > RAW_BYTES {
            return Err(EventError::TooLarge);
        }
        let mut object = canonical::parse_object(json)?;
        object.remove("unsigned");
        Self::from_object(version, &object)
    }

    /// Checks 2 and 3 on receipt of a PDU: the signatures of the sender's server (and of the server
    /// that vouches for a restricted join), then the content hash. An event whose hash does not
    /// match its content comes back redacted, with the same id.
    ///
    /// An invitation that carries the proof of an identity server needs no signature of its sender's
    /// server. What of it is left without that proof is any invitation, and needs one: else anybody
    /// could invite in anybody's name, by a proof that redaction takes away.
    pub fn verify(self, version: RoomVersion, keys: &PublicKeys) -> Result<Self, EventError> {
        let object = canonical::parse_object(&self.0.json)?;
        let verify = |object: &CanonicalJsonObject| {
            verify_event(keys.as_map(), object, version.rules())
                .map_err(|error| EventError::BadSignature(error.to_string()))
        };
        if verify(&object)? == Verified::All {
            return Ok(self);
        }
        let redacted = self.redact(version)?;
        verify(&canonical::parse_object(&redacted.0.json)?)?;
        Ok(redacted)
    }

    /// Checks that a server other than the sender's has signed the event too: an invitation is signed
    /// by the server of whom it invites.
    pub fn signed_by(
        &self,
        version: RoomVersion,
        server: &ServerName,
        keys: &PublicKeys,
    ) -> Result<(), EventError> {
        let object = canonical::parse_object(self.redact(version)?.json())?;
        let checked = keys.verify_json(server, &object);
        checked.map_err(|error| EventError::BadSignature(error.to_string()))
    }

    /// The event without what the redaction algorithm of the room version strips; the id stays.
    pub fn redact(&self, version: RoomVersion) -> Result<Self, EventError> {
        let mut object = canonical::parse_object(&self.0.json)?;
        redact_in_place(&mut object, &version.rules().redaction, None)
            .map_err(|error| EventError::BadFormat(error.to_string()))?;
        let json = canonical::to_string(&object);
        Self::from_stored(version, self.0.id.clone(), &json, self.0.rejected)
    }

    /// The event with `server`'s signature added: invites and restricted joins need a second one
    /// (server-server API, "Inviting to a room", "Restricted rooms"). The id stays.
    pub fn cosign(
        &self,
        version: RoomVersion,
        server: &ServerName,
        key: &ServerKey,
    ) -> Result<Self, EventError> {
        let object = canonical::parse_object(&self.0.json)?;
        self.signed_as(object, version, server, key)
    }

    /// The event with `server`'s signature alone: whoever carries out what an identity server has proven
    /// signs in its own name, for somebody of another server (server-server API, "Validating hashes and
    /// signatures on received events"). The id stays.
    pub fn sign_instead(
        &self,
        version: RoomVersion,
        server: &ServerName,
        key: &ServerKey,
    ) -> Result<Self, EventError> {
        let mut object = canonical::parse_object(&self.0.json)?;
        object.remove("signatures");
        self.signed_as(object, version, server, key)
    }

    fn signed_as(
        &self,
        mut object: CanonicalJsonObject,
        version: RoomVersion,
        server: &ServerName,
        key: &ServerKey,
    ) -> Result<Self, EventError> {
        key.sign_event(version, server, &mut object)
            .map_err(|error| EventError::BadFormat(error.to_string()))?;
        let signed = Self::from_object(version, &object)?;
        Ok(signed.with_rejected(self.0.rejected))
    }

    /// The event with a signature that somebody has given for it, in place of an older one by the same
    /// key. The id stays; whether the signature holds is for the caller to check.
    pub fn with_signature(
        &self,
        version: RoomVersion,
        server: &ServerName,
        key_id: &str,
        signature: &str,
    ) -> Result<Self, EventError> {
        let mut object = canonical::parse_object(&self.0.json)?;
        let mut place = &mut object;
        for name in ["signatures", server.as_str()] {
            let entry = place.entry(name.to_owned());
            let entry = entry.or_insert_with(|| CanonicalJsonObject::new().into());
            let CanonicalJsonValue::Object(inner) = entry else {
                return Err(EventError::BadFormat(format!("{name}: want an object")));
            };
            place = inner;
        }
        place.insert(key_id.to_owned(), CanonicalJsonValue::String(signature.to_owned()));
        let signed = Self::from_object(version, &object)?;
        Ok(signed.with_rejected(self.0.rejected))
    }

    /// Checks the format, computes the id and takes the fields out.
    fn from_object(version: RoomVersion, object: &CanonicalJsonObject) -> Result<Self, EventError> {
        let rules = version.rules();
        let json = canonical::to_string(object);
        if json.len() > limits::EVENT_BYTES || has_long_id(object) {
            return Err(EventError::TooLarge);
        }
        check_pdu_format(object, &rules.event_format).map_err(EventError::BadFormat)?;
        if object.get("content").and_then(CanonicalJsonValue::as_object).is_none() {
            return Err(EventError::BadFormat("content: want an object".into()));
        }
        let id = OwnedEventId::try_from(format!("${}", reference_hash(object, rules)?))
            .map_err(|error| EventError::BadFormat(error.to_string()))?;
        Self::from_stored(version, id, &json, false)
    }

    /// Wraps fields that belong together; for the sealer.
    pub(crate) fn from_inner(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The id: `$` and the reference hash in URL-safe base64.
    #[must_use]
    pub fn id(&self) -> &EventId {
        &self.0.id
    }

    /// The room; for the create event of version 12 the one that it makes (`!` and its hash).
    #[must_use]
    pub fn room_id(&self) -> &RoomId {
        &self.0.room_id
    }

    /// Who sent it.
    #[must_use]
    pub fn sender(&self) -> &UserId {
        &self.0.sender
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> &TimelineEventType {
        &self.0.kind
    }

    /// Its state key; `None` for events that are not state.
    #[must_use]
    pub fn state_key(&self) -> Option<&str> {
        self.0.state_key.as_deref()
    }

    /// Whether it is a state event.
    #[must_use]
    pub fn is_state(&self) -> bool {
        self.0.state_key.is_some()
    }

    /// Its content, an object of canonical JSON.
    #[must_use]
    pub fn content(&self) -> &RawValue {
        &self.0.content
    }

    /// When its server says that it was made, in milliseconds; not to be believed.
    #[must_use]
    pub fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.0.origin_server_ts
    }

    /// Its depth, at most 2^53 − 1; not to be believed.
    #[must_use]
    pub fn depth(&self) -> u64 {
        self.0.depth
    }

    /// The events before it, at most 20.
    #[must_use]
    pub fn prev_events(&self) -> &[OwnedEventId] {
        &self.0.prev_events
    }

    /// The events that allow it, at most 10.
    #[must_use]
    pub fn auth_events(&self) -> &[OwnedEventId] {
        &self.0.auth_events
    }

    /// What a redaction event redacts: top level in version 10, `content.redacts` from 11 on.
    #[must_use]
    pub fn redacts(&self) -> Option<&EventId> {
        self.0.redacts.as_deref()
    }

    /// The PDU in canonical JSON with hashes and signatures, without `unsigned`.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.0.json
    }

    /// Whether the checks on receipt refused it.
    #[must_use]
    pub fn rejected(&self) -> bool {
        self.0.rejected
    }

    /// The same event with that verdict.
    #[must_use]
    pub fn with_rejected(&self, rejected: bool) -> Self {
        if self.0.rejected == rejected {
            return self.clone();
        }
        Self(Arc::new(Inner { rejected, ..(*self.0).clone() }))
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Event({} {})", self.0.id, self.0.kind)
    }
}

impl PartialEq for Event {
    /// Events are the same if their ids are; a redacted event equals the whole one.
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Event {}

impl ruma::state_res::Event for Event {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.0.id
    }

    fn room_id(&self) -> Option<&RoomId> {
        self.0.names_room.then_some(&self.0.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.0.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.0.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.0.kind
    }

    fn content(&self) -> &RawValue {
        &self.0.content
    }

    fn state_key(&self) -> Option<&str> {
        self.0.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.0.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.0.auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        self.0.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.0.rejected
    }
}

/// The fields that every PDU has, borrowed where that saves work.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(rename = "type")]
    kind: TimelineEventType,
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    state_key: Option<String>,
    #[serde(borrow)]
    content: &'a RawValue,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    depth: u64,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    #[serde(borrow)]
    redacts: Option<&'a RawValue>,
}

impl Fields<'_> {
    /// What the event redacts; nothing if the field is no event id, for such an event redacts
    /// nothing but is not thereby ill-formed.
    fn redacts(&self, version: RoomVersion) -> Option<OwnedEventId> {
        #[derive(Deserialize)]
        struct Content {
            redacts: OwnedEventId,
        }
        if self.kind != TimelineEventType::RoomRedaction {
            return None;
        }
        if version.rules().redaction.content_field_redacts {
            let content: Content = serde_json::from_str(self.content.get()).ok()?;
            Some(content.redacts)
        } else {
            serde_json::from_str(self.redacts?.get()).ok()
        }
    }
}

/// The room that a create event of version 12 makes.
pub(crate) fn room_of_create(create: &EventId) -> Result<OwnedRoomId, EventError> {
    let hash = create.as_str().trim_start_matches('$');
    OwnedRoomId::try_from(format!("!{hash}"))
        .map_err(|error| EventError::BadFormat(format!("room_id: {error}")))
}

/// Whether a field that carries an id, a type or a state key exceeds 255 bytes.
fn has_long_id(object: &CanonicalJsonObject) -> bool {
    ["sender", "room_id", "type", "state_key", "event_id"].iter().any(|field| {
        object
            .get(*field)
            .and_then(CanonicalJsonValue::as_str)
            .is_some_and(|text| text.len() > limits::ID_BYTES)
    })
}

#[cfg(test)]
mod tests;
