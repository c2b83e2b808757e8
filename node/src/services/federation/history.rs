//! What was said before: asked for where something is missing, and told to those who may know it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    time::Duration,
};

use http::Method;
use ruma::{EventId, OwnedEventId, RoomId, ServerName, events::StateEventType};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use wayside_federation::{
    event::Event,
    room::Missing,
    state::{EventNo, NodeId, StateKey},
};

use super::{
    super::{
        rooms::{membership_of, needed_at, view::text_in},
        servers::{AskError, Question},
    },
    Error, Federation,
};
use crate::store::{
    Reads,
    events::{self, StoredEvent, Verdict},
    rooms::{self, Membership, RoomRow},
    state,
};

/// Most events of one answer (server-server API, backfilling and retrieving missing events).
const MOST: usize = 100;
/// Events that this node asks for at once.
const ASKED: usize = 20;
/// Most events that are looked at for one answer.
const LOOKED_AT: usize = 1_000;
/// Most bytes of such an answer from another server, and how long it may take.
const ANSWER: (usize, Duration) = (16 * 1024 * 1024, Duration::from_secs(30));

/// What somebody has missed: the events in between, and how many of them are wanted.
#[derive(Debug, Deserialize)]
pub struct Missed {
    /// What is known.
    #[serde(default)]
    pub earliest_events: Vec<OwnedEventId>,
    /// From where to look back.
    pub latest_events: Vec<OwnedEventId>,
    /// How many.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Nothing above this.
    #[serde(default)]
    pub min_depth: u64,
}

/// The state before an event, with all that it rests on.
pub struct StateAt {
    /// The events of the state.
    pub state: Vec<Event>,
    /// What they cite, and what that cites.
    pub chain: Vec<Event>,
}

impl Federation {
    /// Fetches what an event names and is not here; what its server does not tell is left out. Each comes
    /// behind what it names itself, as far as that came along.
    pub(super) async fn fetch(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event: &Event,
        missing: &Missing,
    ) -> Result<Vec<Event>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(Vec::new()) };
        drop(snapshot);
        let mut texts = Vec::new();
        if !missing.prev.is_empty() {
            let known: Vec<_> = room.heads.iter().map(|head| &head.id).collect();
            let wish = json!({
                "earliest_events": known,
                "latest_events": [event.id()],
                "limit": ASKED,
                "min_depth": room.since_depth,
            });
            let path = ["_matrix", "federation", "v1", "get_missing_events", room_id.as_str()];
            let question = Question::get(&path, &[]).with(Method::POST, &wish)?;
            let question = question.bounded(ANSWER.0, ANSWER.1);
            match self.servers.ask::<Events>(origin, question).await {
                Ok(found) => texts.extend(found.events.into_iter().take(ASKED)),
                Err(error) if is_lost(&error) => return Err(error.into()),
                Err(error) => tracing::debug!(%error, "missing events could not be had"),
            }
        }
        for id in missing.auth.iter().take(ASKED) {
            let path = ["_matrix", "federation", "v1", "event", id.as_str()];
            match self.servers.ask::<Pdus>(origin, Question::get(&path, &[])).await {
                Ok(found) => texts.extend(found.pdus.into_iter().take(1)),
                Err(error) if is_lost(&error) => return Err(error.into()),
                Err(error) => {
                    tracing::debug!(%error, "an event that another cites could not be had");
                }
            }
        }
        let verified = self.verified(room.version, texts).await?;
        let found = verified.into_iter().flatten().filter(|it| it.room_id() == room_id);
        Ok(in_order(found.filter(|it| it.id() != event.id()).collect()))
    }

    /// The events between what a server knows and what it has heard of, the oldest first.
    pub async fn missed(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        missed: Missed,
    ) -> Result<Vec<Event>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = self.inside(&mut snapshot, room_id, origin).await?;
        let known: HashSet<OwnedEventId> = missed.earliest_events.into_iter().take(MOST).collect();
        let from = missed.latest_events.into_iter().take(MOST);
        let most = missed.limit.unwrap_or(10).min(MOST);
        let walk = Walk { known, min_depth: missed.min_depth, itself: false, most };
        let mut found = back(&mut snapshot, &room, from, walk).await?;
        found.reverse();
        self.shown(&mut snapshot, &room, origin, found).await
    }

    /// Events of a room from these on backwards, the newest first.
    pub async fn backfill(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        from: Vec<OwnedEventId>,
        most: usize,
    ) -> Result<Vec<Event>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = self.inside(&mut snapshot, room_id, origin).await?;
        let walk = Walk { known: HashSet::new(), min_depth: 0, itself: true, most: most.min(MOST) };
        let found = back(&mut snapshot, &room, from.into_iter().take(MOST), walk).await?;
        self.shown(&mut snapshot, &room, origin, found).await
    }

    /// One event.
    pub async fn event(&self, origin: &ServerName, id: &EventId) -> Result<Event, Error> {
        let unknown = || Error::NotFound(format!("there is no event {id}"));
        let mut snapshot = self.ground.store.snapshot().await?;
        let stored = events::by_id(&mut snapshot, id).await?;
        let stored = stored.filter(|it| it.verdict != Verdict::Rejected).ok_or_else(unknown)?;
        let room = rooms::by_numbers(&mut snapshot, &[stored.room_no]).await?.pop();
        let room_id = room.ok_or_else(unknown)?.room_id;
        let room = self.inside(&mut snapshot, &room_id, origin).await?;
        self.shown(&mut snapshot, &room, origin, vec![stored]).await?.pop().ok_or_else(unknown)
    }

    /// The state of a room before one of its events.
    pub async fn state_at(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        id: &EventId,
    ) -> Result<StateAt, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = self.inside(&mut snapshot, room_id, origin).await?;
        let stored =
            events::by_id(&mut snapshot, id).await?.filter(|it| it.room_no == room.room_no);
        let roots = stored.and_then(|it| it.roots);
        let roots = roots.ok_or_else(|| Error::NotFound(format!("there is no event {id}")))?;
        state_of(&mut snapshot, roots.state_before).await
    }

    /// What an event rests on.
    pub async fn chain_of(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        id: &EventId,
    ) -> Result<Vec<Event>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = self.inside(&mut snapshot, room_id, origin).await?;
        let stored =
            events::by_id(&mut snapshot, id).await?.filter(|it| it.room_no == room.room_no);
        let stored = stored.ok_or_else(|| Error::NotFound(format!("there is no event {id}")))?;
        chain(&mut snapshot, &[stored.event]).await
    }

    /// The events as a server may see them: what was not meant for its people comes without its content,
    /// for the graph has to stay whole.
    async fn shown(
        &self,
        from: &mut impl Reads,
        room: &RoomRow,
        origin: &ServerName,
        found: Vec<StoredEvent>,
    ) -> Result<Vec<Event>, Error> {
        let mut shown = Vec::with_capacity(found.len());
        let mut sights: BTreeMap<[u8; 16], bool> = BTreeMap::new();
        for stored in found {
            let sees = match stored.roots.map(|roots| roots.state_after) {
                None => true,
                Some(root) => {
                    let known = sights.get(&root.0).copied();
                    let sees = match known {
                        Some(sees) => sees,
                        None => sees(from, root, origin).await?,
                    };
                    sights.insert(root.0, sees);
                    sees
                }
            };
            let whole = sees || stored.event.is_state();
            shown.push(if whole { stored.event } else { stored.event.redact(room.version)? });
        }
        Ok(shown)
    }
}

/// Whether it may be had later what could not be had now.
fn is_lost(error: &AskError) -> bool {
    matches!(error, AskError::Node(_) | AskError::Paused { .. } | AskError::Unreached { .. })
}

/// What a server tells of events.
#[derive(Deserialize)]
struct Events {
    #[serde(default)]
    events: Vec<Box<RawValue>>,
}

/// The same in a transaction's form.
#[derive(Deserialize)]
pub(super) struct Pdus {
    #[serde(default)]
    pub(super) pdus: Vec<Box<RawValue>>,
}

/// How far to walk back.
struct Walk {
    known: HashSet<OwnedEventId>,
    min_depth: u64,
    /// Whether those from where it begins are wanted too.
    itself: bool,
    most: usize,
}

/// Walks back through a room from some events, the nearest first.
async fn back(
    from: &mut impl Reads,
    room: &RoomRow,
    begin: impl Iterator<Item = OwnedEventId>,
    walk: Walk,
) -> Result<Vec<StoredEvent>, Error> {
    let begin: Vec<OwnedEventId> = begin.collect();
    let first: HashSet<OwnedEventId> = begin.iter().cloned().collect();
    let mut seen: HashSet<OwnedEventId> = first.clone();
    let mut open: VecDeque<OwnedEventId> = begin.into();
    let (mut found, mut looked_at) = (Vec::new(), 0);
    while found.len() < walk.most && looked_at < LOOKED_AT && !open.is_empty() {
        let layer: Vec<OwnedEventId> = open.drain(..).collect();
        looked_at += layer.len();
        for stored in events::by_ids(from, &layer).await? {
            let event = &stored.event;
            let known = walk.known.contains(event.id());
            if stored.room_no != room.room_no || known || event.depth() < walk.min_depth {
                continue;
            }
            for id in event.prev_events() {
                if seen.insert(id.clone()) {
                    open.push_back(id.clone());
                }
            }
            let wanted = walk.itself || !first.contains(event.id());
            if wanted && stored.verdict != Verdict::Rejected && found.len() < walk.most {
                found.push(stored);
            }
        }
    }
    found.sort_by_key(|stored| std::cmp::Reverse(stored.event.depth()));
    Ok(found)
}

/// Whether the people of a server might see what was said when a room stood so, of which some are in it
/// now (client-server API, room history visibility).
async fn sees(from: &mut impl Reads, root: NodeId, server: &ServerName) -> Result<bool, Error> {
    let key = StateKey::new(StateEventType::RoomHistoryVisibility, "");
    let rule = needed_at(from, root, vec![key.clone()]).await?;
    let rule = rule.get(&key).and_then(|it| text_in(&it.event, "history_visibility"));
    let then: &[Membership] = match rule.as_deref() {
        Some("joined") => &[Membership::Join],
        Some("invited") => &[Membership::Join, Membership::Invite],
        _ => return Ok(true),
    };
    let entries: Vec<EventNo> =
        state::entries(from, root).await?.into_iter().map(|(_, number)| number).collect();
    let of_server = |stored: &StoredEvent| {
        let key = stored
            .event
            .state_key()
            .filter(|_| *stored.event.kind() == ruma::events::TimelineEventType::RoomMember);
        let user_id = key.and_then(|key| ruma::UserId::parse(key).ok());
        user_id.is_some_and(|user_id| user_id.server_name() == server)
            && membership_of(&stored.event).is_some_and(|it| then.contains(&it))
    };
    Ok(events::by_numbers(from, &entries).await?.values().any(of_server))
}

/// A whole state, and what its events rest on.
async fn state_of(from: &mut impl Reads, root: NodeId) -> Result<StateAt, Error> {
    let state = whole(from, root).await?;
    let chain = chain(from, &state).await?;
    Ok(StateAt { state, chain })
}

/// The events of a whole state.
pub(super) async fn whole(from: &mut impl Reads, root: NodeId) -> Result<Vec<Event>, Error> {
    let numbers: Vec<EventNo> =
        state::entries(from, root).await?.into_iter().map(|(_, number)| number).collect();
    let held = events::by_numbers(from, &numbers).await?;
    let mut state: Vec<Event> = held.into_values().map(|stored| stored.event).collect();
    state.sort_by(|a, b| a.id().cmp(b.id()));
    Ok(state)
}

/// Everything that some events cite, and what that cites, each once.
pub(super) async fn chain(from: &mut impl Reads, of: &[Event]) -> Result<Vec<Event>, Error> {
    let mut seen: BTreeSet<OwnedEventId> = BTreeSet::new();
    let mut open: Vec<OwnedEventId> = of.iter().flat_map(|it| it.auth_events().to_vec()).collect();
    let mut found = Vec::new();
    while !open.is_empty() {
        open.retain(|id| seen.insert(id.clone()));
        let layer = events::by_ids(from, &open).await?;
        open = layer.iter().flat_map(|it| it.event.auth_events().to_vec()).collect();
        found.extend(layer.into_iter().map(|stored| stored.event));
    }
    Ok(found)
}

/// Events in such an order that each comes behind those of them that it names.
pub(super) fn in_order(found: Vec<Event>) -> Vec<Event> {
    let mut left: Vec<Event> = found;
    left.sort_by(|a, b| (a.depth(), a.id()).cmp(&(b.depth(), b.id())));
    let mut ids: HashSet<OwnedEventId> = left.iter().map(|it| it.id().to_owned()).collect();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let before = ordered.len();
        let mut later = Vec::new();
        for event in left {
            let named = event.prev_events().iter().chain(event.auth_events());
            if named.into_iter().any(|id| ids.contains(id) && *id != event.id()) {
                later.push(event);
                continue;
            }
            ids.remove(event.id());
            ordered.push(event);
        }
        left = later;
        if ordered.len() == before {
            break;
        }
    }
    ordered
}
