//! Transactions of other servers: each event received, verified, decided on and written down.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{OwnedEventId, OwnedRoomId, RoomId, ServerName};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use wayside_federation::{
    event::Event,
    outbox::{EDUS, PDUS},
    room::{Missing, Outcome, Standing},
    state::{EventNo, NodeId},
};

use super::{
    super::rooms::{self, Arrival},
    Error, Federation, Ground, admits, known,
};
use crate::store::{
    Tx, events, outgoing,
    rooms::{RoomRow, has_server},
};

/// A transaction of another server (server-server API, `PUT /send/{txnId}`).
#[derive(Deserialize)]
pub struct Told {
    #[serde(default)]
    pdus: Vec<Box<RawValue>>,
    #[serde(default)]
    edus: Vec<Box<RawValue>>,
}

/// Rounds of fetching what an event names, and events fetched for one.
const ROUNDS: usize = 3;
const FETCHED: usize = 100;
/// Events of one taking-in before which the state is asked for: where the graph has a hole.
const BRIDGES: usize = 3;

/// When a server comes again that sends more at once than it may, in milliseconds.
const AGAIN_MS: u64 = 1_000;

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
        let _turn = turns.turn.lock().await;
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
                    Err(why) => json!({ "error": why }),
                };
                results.insert(id, told);
            }
        }
        self.take_units(origin, &told.edus).await?;
        let answer = json!({ "pdus": results }).to_string();
        let (origin, txn_id, kept) = (origin.to_owned(), txn_id.to_owned(), answer.clone());
        let now_ms = self.ground.clock.now_ms();
        let remember = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.remember_answer(&origin, &txn_id, &kept, now_ms).await?) })
        });
        remember.await?;
        Ok(answer)
    }

    /// The events of one room, in their order.
    async fn receive_of(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        texts: Vec<Box<RawValue>>,
    ) -> Result<Vec<(OwnedEventId, Result<(), String>)>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Ok(room) = self.shared(&mut snapshot, room_id, origin).await else {
            // Nothing of a room is taken in that nobody here is in, but who need not wait at its door
            // any more.
            drop(snapshot);
            tracing::debug!(%origin, %room_id, "events of a room that is not shared");
            for text in texts {
                match self.turned_away(origin, room_id, &text).await {
                    Ok(()) => {}
                    Err(error @ (Error::Internal(_) | Error::Unavailable(_) | Error::Full)) => {
                        return Err(error);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "an event of a room elsewhere is refused");
                    }
                }
            }
            return Ok(Vec::new());
        };
        drop(snapshot);
        let mut results = Vec::new();
        for event in self.verified(room.version, texts).await? {
            let event = match event {
                Ok(event) => event,
                Err(why) => {
                    tracing::debug!(%origin, %room_id, why, "an event is refused");
                    continue;
                }
            };
            let id = event.id().to_owned();
            let result = self.take(origin, room_id, event, false).await;
            results.push((
                id,
                match result {
                    Ok(Taken::Stands(Standing::Rejected)) => Err("the rules refuse it".to_owned()),
                    Ok(Taken::Stands(_)) => Ok(()),
                    Ok(Taken::Misses(_)) => Err("what it names could not be had".to_owned()),
                    Err(error @ (Error::Internal(_) | Error::Unavailable(_) | Error::Full)) => {
                        return Err(error);
                    }
                    Err(error) => Err(error.to_string()),
                },
            ));
        }
        Ok(results)
    }

    /// Takes an event in, and first what it names and is not here; `passed_on` tells it to the others.
    pub(super) async fn take(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event: Event,
        passed_on: bool,
    ) -> Result<Taken, Error> {
        let mut taken = self.admit(origin, room_id, event.clone(), passed_on, None).await?;
        if matches!(taken, Taken::Stands(_)) {
            return Ok(taken);
        }
        // What could not be placed, the oldest first.
        let mut waiting = vec![event.clone()];
        for _ in 0..ROUNDS {
            let (Taken::Misses(missing), Some(first)) = (&taken, waiting.first()) else { break };
            let mut found = self.fetch(origin, room_id, first, missing).await?;
            found.retain(|it| waiting.iter().all(|other| other.id() != it.id()));
            found.truncate(FETCHED);
            let Some(oldest) = found.first().cloned() else { break };
            found.append(&mut waiting);
            waiting = found;
            taken = self.admit(origin, room_id, oldest, false, None).await?;
        }
        let mut bridges = BRIDGES;
        for earlier in waiting {
            let is_last = earlier.id() == event.id();
            let told = passed_on && is_last;
            taken = self.admit(origin, room_id, earlier.clone(), told, None).await?;
            if matches!(taken, Taken::Misses(_)) && bridges > 0 {
                bridges -= 1;
                if let Some(state) = self.bridge(origin, room_id, &earlier).await? {
                    taken = self.admit(origin, room_id, earlier, told, Some(state)).await?;
                }
            }
        }
        Ok(taken)
    }

    /// Decides on an event with what is here, and writes it down. `given` is the state before it where
    /// what it names cannot be had.
    pub(super) async fn admit(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event: Event,
        passed_on: bool,
        given: Option<NodeId>,
    ) -> Result<Taken, Error> {
        let (ground, origin, room_id) =
            (self.ground.clone(), origin.to_owned(), room_id.to_owned());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let row = known(tx, &room_id).await?;
                    let own = &ground.server_name;
                    // Looked at where it is written: whoever was last here may just have left.
                    if !has_server(tx, row.room_no, own).await?
                        || !admits(tx, &row, &origin).await?
                    {
                        let why = format!("the room {room_id} is not shared with {origin}");
                        return Err(Error::Forbidden(why));
                    }
                    let sender = event.sender().server_name().to_owned();
                    if sender != origin && !admits(tx, &row, &sender).await? {
                        return Err(Error::Forbidden(
                            "the room does not let its server take part".to_owned(),
                        ));
                    }
                    settle(&ground, tx, row, event, passed_on, given).await
                })
            })
            .await
    }
}

/// Decides on an event of another server and writes it down.
async fn settle(
    ground: &Ground,
    tx: &mut Tx,
    mut row: RoomRow,
    event: Event,
    passed_on: bool,
    given: Option<NodeId>,
) -> Result<Taken, Error> {
    let (number, is_outlier) = match events::by_id(tx, event.id()).await? {
        Some(known) if known.roots.is_some() => {
            return Ok(Taken::Stands(rooms::standing(known.verdict)));
        }
        // States hold it already, by its number.
        Some(known) => (known.event_no, true),
        None => (EventNo(tx.next_number()), false),
    };
    match rooms::decide(tx, &row, &event, number, false, given).await? {
        Outcome::Known => Ok(Taken::Stands(Standing::Accepted)),
        Outcome::Missing(missing) => Ok(Taken::Misses(missing)),
        Outcome::Placed(placed) => {
            let standing = placed.standing;
            if let Some(why) = &placed.refusal {
                tracing::debug!(%why, event_id = %event.id(), "an event is not shown");
            }
            let arrival = Arrival { event, number, is_outlier };
            let stored = rooms::settle(ground, tx, &mut row, arrival, *placed, passed_on).await?;
            if standing == Standing::Accepted {
                rooms::carry_out(tx, &row, &stored).await?;
            }
            tx.move_room(&row).await?;
            Ok(Taken::Stands(standing))
        }
    }
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
