//! Holes in the graph of a room: the state on their other side, by the word of another server.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use ruma::{EventId, OwnedEventId, RoomId, ServerName};
use serde::Deserialize;
use serde_json::value::RawValue;
use wayside_federation::{
    event::Event,
    room::stand,
    state::{NodeId, StateKey},
};

use super::{
    super::servers::{AskError, Question},
    Error, Federation,
};
use crate::store::{events, rooms};

/// Events that are fetched one by one; where more are missing, the whole state is.
const ONE_BY_ONE: usize = 30;
/// Most bytes of the ids of a state, and of its events, and how long each may take.
const IDS: (usize, Duration) = (64 * 1024 * 1024, Duration::from_mins(1));
const STATE: (usize, Duration) = (256 * 1024 * 1024, Duration::from_mins(3));

/// The ids of a state (server-server API, `GET /state_ids`).
#[derive(Deserialize)]
struct Ids {
    #[serde(default)]
    pdu_ids: Vec<OwnedEventId>,
    #[serde(default)]
    auth_chain_ids: Vec<OwnedEventId>,
}

/// A state (`GET /state`).
#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    pdus: Vec<Box<RawValue>>,
    #[serde(default)]
    auth_chain: Vec<Box<RawValue>>,
}

/// One event (`GET /event`).
#[derive(Deserialize)]
struct One {
    pdus: Vec<Box<RawValue>>,
}

impl Federation {
    /// The state before an event whose `prev_events` cannot be had, as a server tells it; its events are
    /// here then. Nothing if it does not tell it, or not all of it.
    pub(super) async fn bridge(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event: &Event,
    ) -> Result<Option<NodeId>, Error> {
        let told = self.ids_of(origin, room_id, event.id()).await;
        let told = match told {
            Ok(told) => told,
            Err(AskError::Node(error)) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "the state behind a hole could not be had");
                return Ok(None);
            }
        };
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(None) };
        let wanted: HashSet<OwnedEventId> =
            told.pdu_ids.iter().chain(&told.auth_chain_ids).cloned().collect();
        let wanted: Vec<OwnedEventId> = wanted.into_iter().collect();
        let found = events::by_ids(&mut snapshot, &wanted).await?;
        drop(snapshot);
        let here: HashMap<OwnedEventId, Event> = found
            .into_iter()
            .filter(|it| it.room_no == room.room_no)
            .map(|it| (it.event.id().to_owned(), it.event))
            .collect();
        let missing: Vec<_> = wanted.into_iter().filter(|id| !here.contains_key(id)).collect();
        let texts = match self.texts_of(origin, room_id, event.id(), &missing).await {
            Ok(texts) => texts,
            Err(AskError::Node(error)) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "the state behind a hole could not be had");
                return Ok(None);
            }
        };
        let proven = self.verified(room.version, texts).await?;
        let missing: HashSet<OwnedEventId> = missing.into_iter().collect();
        let told_of = |it: &Event| it.room_id() == room_id && missing.contains(it.id());
        let fetched: Vec<Event> = proven.into_iter().flatten().filter(told_of).collect();
        let (standing, refused) = stand(room.version, fetched.iter(), |id| here.get(id).cloned());
        if !refused.is_empty() {
            let refused = refused.len();
            tracing::debug!(%origin, %room_id, refused, "events behind a hole do not stand");
        }
        let all: HashMap<&EventId, &Event> =
            here.values().chain(&standing).map(|it| (it.id(), it)).collect();
        let mut state = BTreeMap::new();
        for id in &told.pdu_ids {
            // Without one of its events it is another state, and would undo what that one says.
            let Some(held) = all.get(&**id) else { return Ok(None) };
            let Some(key) = held.state_key().filter(|_| !held.rejected()) else { return Ok(None) };
            let key = StateKey::new(held.kind().to_string().into(), key);
            if state.insert(key, id.clone()).is_some_and(|other| other != *id) {
                return Ok(None);
            }
        }
        self.write_events(room.room_no, standing).await?;
        Ok(Some(self.write_state(room.room_no, state).await?))
    }

    async fn ids_of(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
    ) -> Result<Ids, AskError> {
        let path = ["_matrix", "federation", "v1", "state_ids", room_id.as_str()];
        let question = Question::get(&path, &[("event_id", event_id.as_str())]);
        self.servers.ask(origin, question.bounded(IDS.0, IDS.1)).await
    }

    /// The texts of these events of a state.
    async fn texts_of(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
        missing: &[OwnedEventId],
    ) -> Result<Vec<Box<RawValue>>, AskError> {
        if missing.len() > ONE_BY_ONE {
            let path = ["_matrix", "federation", "v1", "state", room_id.as_str()];
            let question = Question::get(&path, &[("event_id", event_id.as_str())]);
            let whole: Whole = self.servers.ask(origin, question.bounded(STATE.0, STATE.1)).await?;
            return Ok([whole.pdus, whole.auth_chain].concat());
        }
        let mut texts = Vec::with_capacity(missing.len());
        for id in missing {
            let path = ["_matrix", "federation", "v1", "event", id.as_str()];
            let one: One = self.servers.ask(origin, Question::get(&path, &[])).await?;
            texts.extend(one.pdus.into_iter().take(1));
        }
        Ok(texts)
    }
}
