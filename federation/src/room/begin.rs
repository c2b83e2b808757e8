//! Reading the state with which a server lets somebody into a room (server-server API, joining rooms).

use std::collections::{BTreeMap, HashMap, HashSet};

use ruma::{EventId, OwnedEventId, events::TimelineEventType};

use crate::{
    auth::{self, create_id, create_key, key_of},
    event::Event,
    state::StateKey,
    version::RoomVersion,
};

/// Why an answer does not let anybody in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// Two events of the state stand at the same place.
    #[error("its state names two events for {0:?}")]
    Twice(StateKey),
    /// The state holds what is no state.
    #[error("its state names the event {0}, which is none of the room's state")]
    NoState(OwnedEventId),
    /// The state has no right create event.
    #[error("its state does not hold how the room was made: {0}")]
    NoCreate(&'static str),
    /// The rules do not allow the joining in that state.
    #[error("its own state does not allow the joining: {0}")]
    NotAllowed(String),
}

/// A room as it was told.
#[derive(Clone, Debug)]
pub struct Begun {
    /// All events that stand by the events that they cite; each comes behind those.
    pub events: Vec<Event>,
    /// The state before the joining.
    pub state: BTreeMap<StateKey, OwnedEventId>,
    /// Events that were told and do not stand.
    pub refused: Vec<OwnedEventId>,
}

/// Checks what was told of a room: `state` and `chain` are events that were received and verified,
/// `join` the event by which somebody of this node came in. What does not stand by its own auth
/// events is left out, and what cites that; without its create event, or in a state that does not
/// allow the joining, nothing is believed.
pub fn begin(
    version: RoomVersion,
    join: &Event,
    state: &[Event],
    chain: &[Event],
) -> Result<Begun, BeginError> {
    let told = chain.iter().chain(state).filter(|event| event.room_id() == join.room_id());
    let (events, refused) = stand(version, told, |_| None);
    let standing: HashMap<&EventId, &Event> = events.iter().map(|it| (it.id(), it)).collect();
    let mut held = BTreeMap::new();
    for event in state.iter().filter(|event| standing.contains_key(event.id())) {
        let key = key_of(event).ok_or_else(|| BeginError::NoState(event.id().to_owned()))?;
        match held.insert(key.clone(), event.id().to_owned()) {
            Some(other) if other != *event.id() => return Err(BeginError::Twice(key)),
            _ => {}
        }
    }
    let create = held.get(&create_key()).and_then(|id| standing.get(&**id).copied());
    let create = create.ok_or(BeginError::NoCreate("there is no such event"))?;
    if !is_of(version, create) {
        return Err(BeginError::NoCreate("it is of another room version"));
    }
    let entry = |key: &StateKey| held.get(key).and_then(|id| standing.get(&**id).copied()).cloned();
    auth::check(version, join, entry).map_err(|error| BeginError::NotAllowed(error.to_string()))?;
    Ok(Begun { events, state: held, refused })
}

/// Those of these events that stand by what they cite, each behind that, and the ids of the others.
/// What they cite may be `known` beside them.
pub fn stand<'e>(
    version: RoomVersion,
    told: impl Iterator<Item = &'e Event>,
    known: impl Fn(&EventId) -> Option<Event>,
) -> (Vec<Event>, Vec<OwnedEventId>) {
    let all: HashMap<&EventId, &Event> = told.map(|event| (event.id(), event)).collect();
    let ordered = in_order(version, &all);
    let mut standing: HashMap<&EventId, &Event> = HashMap::with_capacity(ordered.len());
    let (mut events, mut refused) = (Vec::with_capacity(ordered.len()), Vec::new());
    for event in ordered {
        let cited = |id: &EventId| standing.get(id).copied().cloned().or_else(|| known(id));
        if auth::stands_by_cited(version, event, cited).is_ok() {
            standing.insert(event.id(), event);
            events.push(event.clone());
        } else {
            refused.push(event.id().to_owned());
        }
    }
    (events, refused)
}

/// The events in such an order that each comes behind those that it cites, as far as they are there,
/// and behind the create event, which in version 12 none cites and all rest on.
fn in_order<'e>(version: RoomVersion, all: &HashMap<&'e EventId, &'e Event>) -> Vec<&'e Event> {
    let mut ids: Vec<&EventId> = all.keys().copied().collect();
    // The same order on every run.
    ids.sort_unstable();
    let (mut done, mut ordered) = (HashSet::new(), Vec::with_capacity(all.len()));
    for id in ids {
        let mut open: Vec<(&'e Event, bool)> = vec![(all[id], false)];
        while let Some((event, is_ready)) = open.pop() {
            if is_ready {
                ordered.push(event);
                continue;
            }
            if !done.insert(event.id()) {
                continue;
            }
            open.push((event, true));
            let create = create_id(version, event);
            let cited = event.auth_events().iter().chain(&create);
            let cited = cited.filter_map(|id| all.get(&**id).copied());
            open.extend(cited.filter(|it| !done.contains(it.id())).map(|it| (it, false)));
        }
    }
    ordered
}

/// Whether a create event makes a room of this version.
fn is_of(version: RoomVersion, create: &Event) -> bool {
    #[derive(serde::Deserialize)]
    struct Content {
        room_version: Option<String>,
    }
    let content: Option<Content> = serde_json::from_str(create.content().get()).ok();
    let says = content.and_then(|content| content.room_version);
    *create.kind() == TimelineEventType::RoomCreate && says.as_deref() == Some(version.as_str())
}
