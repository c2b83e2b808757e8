//! Holes in the graph of a room: the state on their other side, by the word of another server.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use futures_util::future::join_all;
use ruma::{EventId, OwnedEventId, OwnedServerName, RoomId, ServerName};
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
use crate::store::{
    events,
    rooms::{self, RoomRow},
};

/// Events that are fetched one by one; where more are missing, the whole state is.
const ONE_BY_ONE: usize = 30;
/// Most bytes of the ids of a state, and of its events, and how long each may take.
const IDS: (usize, Duration) = (64 * 1024 * 1024, Duration::from_mins(1));
const STATE: (usize, Duration) = (256 * 1024 * 1024, Duration::from_mins(3));

/// Other servers that are asked whether a state is the one that one of them tells, those with the most people
/// in the room.
const WITNESSES: i64 = 3;
/// How long they are given each time to hear of the event themselves: they are told of it at the same time.
const LATER: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// How far a server's word is taken for a state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Alone: what stands behind it is shown, and nothing rests on it.
    Alone,
    /// Only if another server of the room gives the same, where one answers: the room goes on from it, and
    /// somebody who told each server something else could split it.
    BorneOut,
}

/// What the other servers of a room say of a state.
enum Witness {
    /// One tells the same, or there is none that answers.
    Bears,
    /// They do not know the event yet.
    Unaware,
    /// They tell something else.
    Denies,
}

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
        word: Word,
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
        if word == Word::BorneOut {
            drop(snapshot);
            if !self.is_borne_out(origin, &room, event.id(), &told).await? {
                tracing::info!(%origin, %room_id, "nobody else tells the state behind a hole");
                return Ok(None);
            }
            snapshot = self.ground.store.snapshot().await?;
        }
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

    /// Whether another server of the room tells the same state. Where none of them answers, the one that
    /// tells it is believed alone.
    async fn is_borne_out(
        &self,
        origin: &ServerName,
        room: &RoomRow,
        event_id: &EventId,
        told: &Ids,
    ) -> Result<bool, Error> {
        let own = &self.ground.server_name;
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut others =
            rooms::largest_servers(&mut snapshot, room.room_no, own, WITNESSES + 1).await?;
        drop(snapshot);
        others.retain(|it| it != origin);
        others.truncate(usize::try_from(WITNESSES).unwrap_or(usize::MAX));
        for wait in LATER.into_iter().map(Some).chain([None]) {
            match self.witness(&others, &room.room_id, event_id, told).await? {
                Witness::Bears => return Ok(true),
                Witness::Denies => return Ok(false),
                Witness::Unaware => {}
            }
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
        }
        Ok(false)
    }

    async fn witness(
        &self,
        others: &[OwnedServerName],
        room_id: &RoomId,
        event_id: &EventId,
        told: &Ids,
    ) -> Result<Witness, Error> {
        let state: HashSet<&OwnedEventId> = told.pdu_ids.iter().collect();
        let asked = others.iter().map(|server| self.ids_of(server, room_id, event_id));
        let (mut unaware, mut denied) = (false, false);
        for word in join_all(asked).await {
            match word {
                Ok(other) if other.pdu_ids.iter().collect::<HashSet<_>>() == state => {
                    return Ok(Witness::Bears);
                }
                Ok(_) => denied = true,
                Err(AskError::Node(error)) => return Err(error),
                Err(AskError::Refused { .. } | AskError::BadAnswer { .. }) => unaware = true,
                Err(error) => tracing::debug!(%error, "nobody to bear a state out"),
            }
        }
        Ok(match (unaware, denied) {
            (true, _) => Witness::Unaware,
            (false, true) => Witness::Denies,
            (false, false) => Witness::Bears,
        })
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
