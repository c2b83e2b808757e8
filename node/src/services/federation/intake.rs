//! Transactions of other servers: each event received, verified, and taken in with what it names.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, ServerName, events::TimelineEventType,
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::time::timeout;
use wayside_federation::{
    event::Event,
    outbox::{EDUS, PDUS},
    room::{Missing, Standing},
};
use wayside_specs::limits;

use super::{
    ASKING, Error, Federation,
    admit::{Coming, looked_over},
    bridge::Word,
};
use crate::store::{
    outgoing,
    rooms::{self as stored, RoomRow},
};

/// A transaction of another server (server-server API, `PUT /send/{txnId}`).
#[derive(Deserialize)]
pub struct Told {
    #[serde(default)]
    pdus: Vec<Box<RawValue>>,
    #[serde(default)]
    edus: Vec<Box<RawValue>>,
}

/// Rounds of fetching what an event names.
const ROUNDS: usize = 3;
/// Events of one taking-in before which the state is asked for: where the graph has a hole.
const BRIDGES: usize = 3;

/// How often a transaction is put off whose server cannot be reached for what it lacks.
const TIMES: u32 = 3;

/// So much is remembered of a server's transactions before it is looked at again how much that is.
const LOOK: usize = 1_000;

/// When a server comes again that sends more at once than it may, in milliseconds.
const AGAIN_MS: u64 = 1_000;

/// How long what is said in a room waits for those of this node who are coming into it.
const COMING: Duration = Duration::from_secs(10);

/// What became of an event.
pub(super) enum Taken {
    /// It stands here, shown or not.
    Stands(Standing),
    /// It names these, which are not here.
    Misses(Missing),
}

impl Federation {
    /// Takes a transaction in, and says what became of each of its events, as JSON. A repetition of
    /// one that was answered gets the same answer and does nothing.
    pub async fn receive(
        &self,
        origin: &ServerName,
        txn_id: &str,
        told: Told,
    ) -> Result<String, Error> {
        if told.pdus.len() > PDUS || told.edus.len() > EDUS {
            let why = format!("a transaction holds at most {PDUS} events and {EDUS} others");
            return Err(Error::TooLarge(why));
        }
        let whole = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(turns) = self.turns.get_or_insert_with(origin, whole);
        let too_many = |_| Error::TooOften { retry_ms: AGAIN_MS };
        let place = turns.waiting.try_acquire().map_err(too_many)?;
        let mut course = turns.turn.lock().await;
        drop(place);
        let mut snapshot = self.ground.store.snapshot().await?;
        if let Some(answer) = outgoing::answered(&mut snapshot, origin, txn_id).await? {
            return Ok(answer);
        }
        drop(snapshot);
        let mut results: BTreeMap<OwnedEventId, Value> = BTreeMap::new();
        for (room_id, texts) in by_room(told.pdus) {
            for (id, result) in self.receive_of(origin, &room_id, texts).await? {
                let told = match result {
                    Ok(()) => json!({}),
                    // It is gone again before it has told what the event needs: it sends it again.
                    Err(error @ Error::NoAnswer(_)) if course.may_come_again(txn_id) => {
                        return Err(error);
                    }
                    Err(why) => json!({ "error": why.to_string() }),
                };
                results.insert(id, told);
            }
        }
        self.take_units(origin, &told.edus).await?;
        // What left nothing behind may be taken in again; remembering it would cost without end.
        let is_kept = results.values().any(|told| *told == json!({}));
        let answer = json!({ "pdus": results }).to_string();
        let is_much = course.has_left(usize::from(is_kept) + told.edus.len());
        if is_kept || is_much {
            self.remember(origin, txn_id, is_kept.then(|| answer.clone()), is_much).await?;
        }
        Ok(answer)
    }

    /// Remembers how a transaction was answered, and now and then forgets what is remembered beyond what one
    /// server repeats.
    async fn remember(
        &self,
        origin: &ServerName,
        txn_id: &str,
        answer: Option<String>,
        bounds: bool,
    ) -> Result<(), Error> {
        let (origin, txn_id) = (origin.to_owned(), txn_id.to_owned());
        let now_ms = self.ground.clock.now_ms();
        let remember = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                if let Some(answer) = answer {
                    tx.remember_answer(&origin, &txn_id, &answer, now_ms).await?;
                }
                if bounds {
                    tx.bound_answers(&origin, limits::ANSWERS_OF_SERVER).await?;
                    tx.bound_left(&origin, limits::LETTER_IDS_OF_SERVER).await?;
                }
                Ok(())
            })
        });
        remember.await
    }

    /// Waits for those of this node who are just coming into a room: what is said there as soon as they are let
    /// in would be lost if it were taken for that of a room that nobody here is in.
    async fn let_come_in(&self, room_id: &RoomId) {
        let Some(door) = self.doors.get(room_id) else { return };
        if door.asking.available_permits() < ASKING {
            let all = u32::try_from(ASKING).unwrap_or(1);
            let _late = timeout(COMING, door.asking.acquire_many(all)).await;
        }
    }

    /// The events of one room, in their order.
    async fn receive_of(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        texts: Vec<Box<RawValue>>,
    ) -> Result<Vec<(OwnedEventId, Result<(), Error>)>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut shared = self.shared_by(&mut snapshot, room_id, origin).await;
        if let Err(Error::NotFound(_)) = &shared {
            drop(snapshot);
            self.let_come_in(room_id).await;
            snapshot = self.ground.store.snapshot().await?;
            shared = self.shared_by(&mut snapshot, room_id, origin).await;
        }
        let (room, rules) = match shared {
            Ok(shared) => shared,
            Err(error) => {
                let room = stored::room(&mut snapshot, room_id).await?;
                drop(snapshot);
                return self.receive_outside(origin, room, room_id, texts, error).await;
            }
        };
        let (mut read, mut told) = (Vec::with_capacity(texts.len()), Vec::new());
        let mut strangers: HashMap<OwnedServerName, bool> = HashMap::new();
        for text in texts {
            let event = match Event::receive(room.version, text.get()) {
                Ok(event) => event,
                Err(error) => {
                    tracing::debug!(%origin, %room_id, %error, "an event does not read");
                    continue;
                }
            };
            let server = event.sender().server_name();
            let is_stranger = match strangers.get(server) {
                Some(known) => *known,
                None => !stored::knows_server(&mut snapshot, room.room_no, server).await?,
            };
            strangers.insert(server.to_owned(), is_stranger);
            // Nobody's keys are looked for who cannot have said it.
            if is_stranger && *event.kind() != TimelineEventType::RoomMember {
                let why = format!("nobody of {server} was ever in the room");
                told.push((event.id().to_owned(), Err(Error::Forbidden(why))));
            } else {
                read.push(event);
            }
        }
        drop(snapshot);
        let ids: Vec<_> = read.iter().map(|event| event.id().to_owned()).collect();
        let read = read.into_iter().map(Ok).collect();
        let mut events = Vec::with_capacity(ids.len());
        for (id, event) in ids.into_iter().zip(self.believed(room.version, read).await?) {
            match event {
                Ok(event) => events.push(event),
                Err(why) => told.push((id, Err(Error::BadSignature(why)))),
            }
        }
        for (id, why) in &told {
            tracing::debug!(%origin, %room_id, %id, ?why, "an event is refused");
        }
        let ids: Vec<_> = events.iter().map(|event| event.id().to_owned()).collect();
        let coming = looked_over(room.version, rules.policy, events).await?;
        let taken = self.take_all(origin, room_id, coming).await?;
        let result = |taken| match taken {
            Ok(Taken::Stands(Standing::Rejected)) => {
                Err(Error::Forbidden("the rules refuse it".to_owned()))
            }
            Ok(Taken::Stands(_)) => Ok(()),
            Ok(Taken::Misses(_)) => {
                Err(Error::BadJson("what it names could not be had".to_owned()))
            }
            Err(error) => Err(error),
        };
        told.extend(ids.into_iter().zip(taken.into_iter().map(result)));
        Ok(told)
    }

    /// The same of a room in which the server may not take part, or that nobody of this node is in.
    async fn receive_outside(
        &self,
        origin: &ServerName,
        room: Option<RoomRow>,
        room_id: &RoomId,
        texts: Vec<Box<RawValue>>,
        why: Error,
    ) -> Result<Vec<(OwnedEventId, Result<(), Error>)>, Error> {
        match (why, room) {
            (Error::Forbidden(why), Some(room)) => {
                let read = texts.iter().map(|it| Event::receive(room.version, it.get()));
                let refused =
                    |event: Event| (event.id().to_owned(), Err(Error::Forbidden(why.clone())));
                Ok(read.flatten().map(refused).collect())
            }
            (Error::NotFound(_), room) => {
                // Nothing is taken in but who need not wait at the room's door any more.
                tracing::debug!(%origin, %room_id, "events of a room that is not shared");
                // By its version alone it is known what an event is called.
                let Some(room) = room else { return Ok(Vec::new()) };
                let mut told = Vec::new();
                for text in texts {
                    let Ok(event) = Event::receive(room.version, text.get()) else { continue };
                    let id = event.id().to_owned();
                    match self.turned_away(origin, &room, event).await {
                        Err(error) if is_own(&error) => return Err(error),
                        result => told.push((id, result)),
                    }
                }
                Ok(told)
            }
            (why, _) => Err(why),
        }
    }

    /// Takes an event in, and first what it names and is not here; `is_told` tells it to the others.
    pub(super) async fn take(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event: Event,
        is_told: bool,
    ) -> Result<Taken, Error> {
        only(self.take_all(origin, room_id, vec![Coming::of(event, is_told)]).await?)
    }

    /// The same of many, in their order; each stands in its place or says why it does not.
    async fn take_all(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        events: Vec<Coming>,
    ) -> Result<Vec<Result<Taken, Error>>, Error> {
        let mut taken = self.admit_all(origin, room_id, events.clone()).await?;
        for at in 0..events.len() {
            let Ok(Taken::Misses(missing)) = &taken[at] else { continue };
            let missing = missing.clone();
            taken[at] = self.heal(origin, room_id, events[at].clone(), missing).await;
            if taken[at].as_ref().is_err_and(is_own) {
                break;
            }
            // What came along may be what others wait for.
            let misses = |at: &usize| matches!(taken[*at], Ok(Taken::Misses(_)));
            let again: Vec<usize> = (at + 1..events.len()).filter(misses).collect();
            let coming = again.iter().map(|at| events[*at].clone()).collect();
            for (at, now) in again.into_iter().zip(self.admit_all(origin, room_id, coming).await?) {
                taken[at] = now;
            }
        }
        match taken.iter().position(|it| it.as_ref().is_err_and(is_own)) {
            Some(at) => Err(taken.swap_remove(at).err().unwrap_or(Error::Full)),
            None => Ok(taken),
        }
    }

    /// Takes in an event that names what is not here: fetched first, or else with the state before it, as
    /// the server tells it that sent the event.
    async fn heal(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        coming: Coming,
        missing: Missing,
    ) -> Result<Taken, Error> {
        let plain = |event: &Event| {
            if event.id() == coming.event.id() {
                coming.clone()
            } else {
                Coming::of(event.clone(), false)
            }
        };
        // What could not be placed, the oldest first.
        let mut waiting = vec![coming.event.clone()];
        let mut taken = Taken::Misses(missing);
        for _ in 0..ROUNDS {
            let (Taken::Misses(missing), Some(first)) = (&taken, waiting.first()) else { break };
            let mut found = self.fetch(origin, room_id, first, missing).await?;
            found.retain(|it| waiting.iter().all(|other| other.id() != it.id()));
            let Some(oldest) = found.first().map(plain) else { break };
            found.append(&mut waiting);
            waiting = found;
            taken = only(self.admit_all(origin, room_id, vec![oldest]).await?)?;
        }
        for bridges in 0..=BRIDGES {
            let coming = waiting.iter().map(plain).collect();
            let mut all = self.admit_all(origin, room_id, coming).await?;
            let last = all.pop().unwrap_or(Ok(taken));
            let misses = |it: &Result<Taken, Error>| matches!(it, Ok(Taken::Misses(_)));
            let stay = all.iter().map(misses).chain([misses(&last)]).collect::<Vec<_>>();
            taken = last?;
            let mut stay = stay.into_iter();
            waiting.retain(|_| stay.next().unwrap_or_default());
            if waiting.is_empty() || bridges == BRIDGES {
                break;
            }
            let event = waiting.remove(0);
            if let Some(state) = self.bridge(origin, room_id, &event, Word::BorneOut).await? {
                let given = plain(&event).behind(state);
                let now = only(self.admit_all(origin, room_id, vec![given]).await?)?;
                if waiting.is_empty() {
                    taken = now;
                }
            }
            if waiting.is_empty() {
                break;
            }
        }
        Ok(taken)
    }
}

/// How the transactions of one server go.
#[derive(Default)]
pub(super) struct Course {
    /// The one that was broken off last because its server could not be reached, and how often it was.
    txn_id: String,
    times: u32,
    /// What was remembered of them since that was bounded.
    left: usize,
}

impl Course {
    /// Whether it is worth being sent again; in the end its server may go on without what is missing.
    fn may_come_again(&mut self, txn_id: &str) -> bool {
        if self.txn_id != txn_id {
            (self.txn_id, self.times) = (txn_id.to_owned(), 0);
        }
        self.times += 1;
        self.times <= TIMES
    }

    /// Counts what may have to be remembered of one; whether that is to be bounded now.
    fn has_left(&mut self, more: usize) -> bool {
        self.left += more;
        let is_much = self.left >= LOOK;
        if is_much {
            self.left = 0;
        }
        is_much
    }
}

/// What became of the only one.
fn only(mut taken: Vec<Result<Taken, Error>>) -> Result<Taken, Error> {
    taken.pop().unwrap_or_else(|| Err(Error::internal(anyhow::anyhow!("an event was lost"))))
}

/// Whether this node failed, and not the event.
pub(super) fn is_own(error: &Error) -> bool {
    matches!(error, Error::Internal(_) | Error::Unavailable(_) | Error::Full)
}

/// Events by the rooms that they say they are of, in their order.
fn by_room(texts: Vec<Box<RawValue>>) -> BTreeMap<OwnedRoomId, Vec<Box<RawValue>>> {
    #[derive(Deserialize)]
    struct Of {
        room_id: OwnedRoomId,
    }
    let mut rooms: BTreeMap<OwnedRoomId, Vec<Box<RawValue>>> = BTreeMap::new();
    for text in texts {
        if let Ok(of) = serde_json::from_str::<Of>(text.get()) {
            rooms.entry(of.room_id).or_default().push(text);
        }
    }
    rooms
}
