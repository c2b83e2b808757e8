//! May this event happen? The authorisation rules and the checks on receipt of a PDU (server-server API).

use std::collections::BTreeMap;

use ruma::{
    EventId, Int, OwnedEventId, OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType},
    state_res::{
        auth_types_for_event, check_state_dependent_auth_rules, check_state_independent_auth_rules,
        events::{RoomCreateEvent, RoomPowerLevelsEvent, RoomPowerLevelsIntField},
    },
};
use serde_json::value::RawValue;

use crate::{
    event::{Event, EventError},
    state::StateKey,
    version::RoomVersion,
};

/// Why the rules refuse an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The events that it cites do not allow it (check 4).
    #[error("refused by its own auth events: {0}")]
    AuthEvents(String),
    /// The state before it does not allow it (check 5).
    #[error("refused by the state before it: {0}")]
    StateBefore(String),
    /// The state of now does not allow it (check 6).
    #[error("refused by the current state: {0}")]
    CurrentState(String),
    /// The policy server of the room does not recommend it (check 7).
    #[error("not signed by the policy server of the room")]
    PolicyServer,
    /// The graph of its room ends at more events already than are followed.
    #[error("refused because the graph of the room has too many ends")]
    TooManyEnds,
    /// The given state does not allow it.
    #[error("refused by the authorisation rules: {0}")]
    Rules(String),
}

/// What becomes of an event (server-server API, "Checks performed on receipt of a PDU").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stands.
    Accept,
    /// It stands in history but is neither shown to clients nor made an extremity.
    SoftFail(Refusal),
    /// It is kept, marked, and has no effect on state.
    Reject(Refusal),
}

/// What [`admit`] will ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The entries that it looks up in the state before the event and in the state of now, the
    /// create event among them.
    pub state: Vec<StateKey>,
    /// The events that it looks up by id: the event's `auth_events`, and in version 12 the create
    /// event that the room id names. One that cannot be had makes it reject.
    pub auth: Vec<OwnedEventId>,
}

/// The entries of the state that become an event's `auth_events` (server-server API, "Auth events
/// selection"). In version 12 the create event is not among them.
pub fn auth_keys(
    version: RoomVersion,
    kind: &TimelineEventType,
    sender: &UserId,
    state_key: Option<&str>,
    content: &RawValue,
) -> Result<Vec<StateKey>, EventError> {
    let rules = &version.rules().authorization;
    let keys = auth_types_for_event(kind, sender, state_key, content, rules)
        .map_err(EventError::BadFormat)?;
    Ok(keys.into_iter().map(|(kind, key)| StateKey { kind, key }).collect())
}

/// The entries of the state that [`check`] looks up: [`auth_keys`] and the create event.
pub fn needed_state(
    version: RoomVersion,
    kind: &TimelineEventType,
    sender: &UserId,
    state_key: Option<&str>,
    content: &RawValue,
) -> Result<Vec<StateKey>, EventError> {
    let mut keys = auth_keys(version, kind, sender, state_key, content)?;
    let create = create_key();
    if *kind != TimelineEventType::RoomCreate && !keys.contains(&create) {
        keys.push(create);
    }
    Ok(keys)
}

/// What to load before [`admit`].
pub fn plan(version: RoomVersion, event: &Event) -> Result<Plan, EventError> {
    let state =
        needed_state(version, event.kind(), event.sender(), event.state_key(), event.content())?;
    let mut auth = event.auth_events().to_vec();
    auth.extend(
        create_id(version, event).filter(|_| *event.kind() != TimelineEventType::RoomCreate),
    );
    Ok(Plan { state, auth })
}

/// Checks an event against a state (rules that depend on state; room versions, "Authorization
/// rules"). `state` answers for the entries that [`needed_state`] names.
pub fn check(
    version: RoomVersion,
    event: &Event,
    state: impl Fn(&StateKey) -> Option<Event>,
) -> Result<(), Refusal> {
    against(version, event, state).map_err(Refusal::Rules)
}

/// Check 4 alone: whether an event stands by the events that it cites, whatever the state of the room.
/// `by_id` answers for those, and in version 12 for the create event.
pub fn stands_by_cited(
    version: RoomVersion,
    event: &Event,
    by_id: impl Fn(&EventId) -> Option<Event>,
) -> Result<(), Refusal> {
    cited(version, event, by_id).map_err(Refusal::AuthEvents)
}

/// Checks 4 to 6 on receipt of a PDU, after [`Event::receive`] and [`Event::verify`] did 1 to 3.
///
/// `by_id` answers for the ids and `before` and `current` for the entries that [`plan`] names:
/// `before` in the state before the event (resolved over its `prev_events`), `current` in the state
/// of the room now.
pub fn admit(
    version: RoomVersion,
    event: &Event,
    by_id: impl Fn(&EventId) -> Option<Event>,
    before: impl Fn(&StateKey) -> Option<Event>,
    current: impl Fn(&StateKey) -> Option<Event>,
) -> Verdict {
    if let Err(text) = cited(version, event, by_id) {
        return Verdict::Reject(Refusal::AuthEvents(text));
    }
    if let Err(text) = against(version, event, before) {
        return Verdict::Reject(Refusal::StateBefore(text));
    }
    match against(version, event, current) {
        Ok(()) => Verdict::Accept,
        Err(text) => Verdict::SoftFail(Refusal::CurrentState(text)),
    }
}

/// Whether a redaction that was accepted is to be carried out (room version 3 on, "Handling
/// redactions"): both events are of one room, and the redaction's sender is of the same server as
/// the target's or has the power to redact. `state` answers for create and power levels.
pub fn may_redact(
    version: RoomVersion,
    redaction: &Event,
    target: &Event,
    state: impl Fn(&StateKey) -> Option<Event>,
) -> bool {
    if redaction.room_id() != target.room_id() || redaction.redacts() != Some(target.id()) {
        return false;
    }
    if redaction.sender().server_name() == target.sender().server_name() {
        return true;
    }
    let Some(create) = state(&create_key()) else { return false };
    let levels = state(&StateKey::new(StateEventType::RoomPowerLevels, ""));
    let levels = power_levels(version, &create, levels.as_ref());
    levels.user(redaction.sender()) >= levels.redact()
}

/// Check 4: the events that the event cites, and what they allow.
fn cited(
    version: RoomVersion,
    event: &Event,
    by_id: impl Fn(&EventId) -> Option<Event>,
) -> Result<(), String> {
    let rules = &version.rules().authorization;
    check_state_independent_auth_rules(rules, event, &by_id)?;
    let create = create_id(version, event);
    let cited: BTreeMap<StateKey, Event> = event
        .auth_events()
        .iter()
        .chain(&create)
        .filter_map(|id| by_id(id))
        .filter_map(|event| Some((key_of(&event)?, event)))
        .collect();
    against(version, event, |key| cited.get(key).cloned())
}

/// The rules that depend on state.
fn against(
    version: RoomVersion,
    event: &Event,
    state: impl Fn(&StateKey) -> Option<Event>,
) -> Result<(), String> {
    check_state_dependent_auth_rules(&version.rules().authorization, event, |kind, key| {
        state(&StateKey::new(kind.clone(), key))
    })
}

/// The key under which a state event stands.
pub(crate) fn key_of(event: &Event) -> Option<StateKey> {
    let key = event.state_key()?;
    Some(StateKey::new(StateEventType::from(event.kind().to_string()), key))
}

/// The key of the create event.
pub(crate) fn create_key() -> StateKey {
    StateKey::new(StateEventType::RoomCreate, "")
}

/// The create event of the event's room, where the room id names it.
pub(crate) fn create_id(version: RoomVersion, event: &Event) -> Option<OwnedEventId> {
    if !version.create_is_room_id() {
        return None;
    }
    OwnedEventId::try_from(format!("${}", event.room_id().strip_sigil())).ok()
}

/// Who may do what in a room, read once (client-server API, `m.room.power_levels`).
///
/// A field of the wrong shape counts as absent, for a state holds none: the rules refuse such an
/// event.
#[derive(Clone, Debug)]
pub struct Levels {
    /// Creators of version 12, whom no level reaches.
    creators: Vec<OwnedUserId>,
    users: BTreeMap<OwnedUserId, i64>,
    users_default: i64,
    events: BTreeMap<TimelineEventType, i64>,
    events_default: i64,
    state_default: i64,
    invite: i64,
    kick: i64,
    ban: i64,
    redact: i64,
    notifications_room: i64,
}

/// Reads the levels from the create event and the power levels event, if the room has one.
#[must_use]
pub fn power_levels(version: RoomVersion, create: &Event, levels: Option<&Event>) -> Levels {
    let rules = &version.rules().authorization;
    let creators = RoomCreateEvent::new(create).creators(rules).unwrap_or_default();
    let event = levels.map(RoomPowerLevelsEvent::new);
    let field = |field: RoomPowerLevelsIntField| {
        let set = event.as_ref().and_then(|event| event.get_as_int(field, rules).ok().flatten());
        i64::from(set.unwrap_or_else(|| field.default_value()))
    };
    let mut users: BTreeMap<OwnedUserId, i64> = match &event {
        Some(event) => widen(event.users(rules).ok().flatten().cloned()),
        // A room without levels is its creator's.
        None => creators.iter().map(|creator| (creator.clone(), 100)).collect(),
    };
    let infinite = rules.explicitly_privilege_room_creators;
    if infinite {
        users.retain(|user, _| !creators.contains(user));
    }
    let events = widen(event.as_ref().and_then(|event| event.events(rules).ok().flatten()));
    let notifications: BTreeMap<String, i64> =
        widen(event.as_ref().and_then(|event| event.notifications(rules).ok().flatten()));
    Levels {
        creators: if infinite { creators.into_iter().collect() } else { Vec::new() },
        users,
        users_default: field(RoomPowerLevelsIntField::UsersDefault),
        events,
        events_default: field(RoomPowerLevelsIntField::EventsDefault),
        state_default: field(RoomPowerLevelsIntField::StateDefault),
        invite: field(RoomPowerLevelsIntField::Invite),
        kick: field(RoomPowerLevelsIntField::Kick),
        ban: field(RoomPowerLevelsIntField::Ban),
        redact: field(RoomPowerLevelsIntField::Redact),
        notifications_room: notifications.get("room").copied().unwrap_or(50),
    }
}

impl Levels {
    /// A user's level; `i64::MAX` for the creators of a room of version 12.
    #[must_use]
    pub fn user(&self, user: &UserId) -> i64 {
        if self.creators.iter().any(|creator| creator == user) {
            return i64::MAX;
        }
        self.users.get(user).copied().unwrap_or(self.users_default)
    }

    /// The level of whoever is not [named](Self::named).
    #[must_use]
    pub fn users_default(&self) -> i64 {
        self.users_default
    }

    /// Those whom the room gives a level of their own, the creators of version 12 among them.
    pub fn named(&self) -> impl Iterator<Item = (&UserId, i64)> {
        let creators = self.creators.iter().map(|creator| (&**creator, i64::MAX));
        creators.chain(self.users.iter().map(|(user, level)| (&**user, *level)))
    }

    /// The level that sending an event of this type needs.
    #[must_use]
    pub fn event(&self, kind: &TimelineEventType, is_state: bool) -> i64 {
        let default = if is_state { self.state_default } else { self.events_default };
        self.events.get(kind).copied().unwrap_or(default)
    }

    /// The level that inviting needs.
    #[must_use]
    pub fn invite(&self) -> i64 {
        self.invite
    }

    /// The level that kicking needs.
    #[must_use]
    pub fn kick(&self) -> i64 {
        self.kick
    }

    /// The level that banning needs.
    #[must_use]
    pub fn ban(&self) -> i64 {
        self.ban
    }

    /// The level that redacting events of others needs.
    #[must_use]
    pub fn redact(&self) -> i64 {
        self.redact
    }

    /// The level that notifying the whole room needs.
    #[must_use]
    pub fn notifications_room(&self) -> i64 {
        self.notifications_room
    }
}

/// Levels as plain integers.
fn widen<K: Ord>(map: Option<BTreeMap<K, Int>>) -> BTreeMap<K, i64> {
    map.unwrap_or_default().into_iter().map(|(key, level)| (key, i64::from(level))).collect()
}

#[cfg(test)]
mod tests;
