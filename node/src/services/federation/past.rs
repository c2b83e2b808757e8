//! What was said in a room while this node was not there: fetched when somebody wants to read it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId, ServerName};
use serde_json::value::RawValue;
use wayside_federation::{
    event::Event,
    room::{self, Outcome},
    state::{EventNo, NodeId},
};

use super::{
    super::{
        rooms::{Arrival, Decisions},
        servers::{AskError, Question},
    },
    Error, Federation,
    bridge::Word,
    history, known,
};
use crate::store::{
    events,
    graph::{self, Hole},
    rooms::{self, RoomRow},
};

/// Events that are asked for at once, and those from which servers are asked to look back.
const ASKED: usize = 100;
const FROM: i64 = 20;
/// Places that one answer may need.
pub(super) const ROOM: i64 = 100;
/// Servers that are asked, those with the most people in the room first.
const SERVERS: i64 = 5;
/// Events of one answer before which the state is asked for: where the answer ends.
const BRIDGES: usize = 5;
/// Most bytes of an answer, and how long it may take: somebody waits for it.
const ANSWER: (usize, Duration) = (16 * 1024 * 1024, Duration::from_secs(10));
/// How long somebody waits at most; what is fetched meanwhile is there for whoever asks again.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long a room is left alone of which nobody could tell more, in milliseconds: twice as long each
/// time, up to the second.
const PAUSE_MS: (i64, i64) = (60_000, 3_600_000);

/// Positions between which somebody reads in a room; both count.
type Reading = (i64, i64);

/// How far what was said in a stretch of a room is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// All of it.
    Whole,
    /// More of it has come.
    Came,
    /// There is more, but nobody tells it now.
    Silent,
}

/// Somebody looks back in a room: one at a time.
#[derive(Default)]
pub(super) struct Looking(tokio::sync::Mutex<Rest>);

impl Looking {
    /// Waits until nobody else does.
    pub(super) async fn begin(&self) -> tokio::sync::MutexGuard<'_, Rest> {
        self.0.lock().await
    }
}

/// How long a room is left alone.
#[derive(Default)]
pub(super) struct Rest {
    /// Before then nobody asks again, in milliseconds since the epoch.
    until_ms: i64,
    /// How long that was, in milliseconds.
    pause_ms: i64,
}

impl Rest {
    /// Nobody could tell more.
    fn longer(&mut self, now_ms: i64) {
        let (first, most) = PAUSE_MS;
        self.pause_ms = self.pause_ms.saturating_mul(2).clamp(first, most);
        self.until_ms = now_ms.saturating_add(self.pause_ms);
    }
}

/// An answer, as far as it hangs together with what is here.
struct Told {
    /// What is proven, the oldest first.
    proven: Vec<Event>,
    /// What is there, but signed by nobody whose keys can be had.
    unproven: Vec<Event>,
}

impl Federation {
    /// Fetches some of what is missing in a stretch of a room: of its newest hole.
    pub async fn look_back(
        self: &Arc<Self>,
        room_id: &RoomId,
        reading: Reading,
    ) -> Result<Past, Error> {
        if self.hole_of(room_id, reading).await?.is_none() {
            return Ok(Past::Whole);
        }
        let (this, room_id) = (self.clone(), room_id.to_owned());
        // It goes on where whoever asked has gone away: they come again.
        let looked = self.ground.tasks.spawn(async move {
            let stop = this.ground.stop.clone();
            stop.run_until_cancelled(Box::pin(this.look_back_alone(&room_id, reading))).await
        });
        match tokio::time::timeout(PATIENCE, looked).await {
            Ok(Ok(Some(past))) => past,
            Ok(Ok(None)) | Err(_) => Ok(Past::Silent),
            Ok(Err(error)) => Err(Error::internal(error)),
        }
    }

    /// Who looks back in a room.
    pub(super) fn looking(&self, room_id: &OwnedRoomId) -> Arc<Looking> {
        let nobody = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(looking) = self.looking.get_or_insert_with(room_id, nobody);
        looking
    }

    /// The same, while nobody else does.
    async fn look_back_alone(
        &self,
        room_id: &OwnedRoomId,
        reading: Reading,
    ) -> Result<Past, Error> {
        let looking = self.looking(room_id);
        let before = self.hole_of(room_id, reading).await?;
        let mut rest = looking.0.lock().await;
        let Some((room, hole)) = self.hole_of(room_id, reading).await? else {
            return Ok(Past::Whole);
        };
        if before.is_none_or(|(_, before)| before != hole) {
            // Whoever was there before has fetched it.
            return Ok(Past::Came);
        }
        if self.ground.clock.now_ms() < rest.until_ms {
            return Ok(Past::Silent);
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let own = &self.ground.server_name;
        let servers = rooms::largest_servers(&mut snapshot, room.room_no, own, SERVERS).await?;
        drop(snapshot);
        for server in servers {
            let told = match self.ask_back(&server, &room, &hole.missing).await {
                Ok(told) => told,
                Err(AskError::Node(error)) => return Err(error),
                Err(error) => {
                    tracing::debug!(%server, %error, "what was said before could not be had");
                    continue;
                }
            };
            if self.keep(&server, &room, told, hole.floor).await? {
                *rest = Rest::default();
                return Ok(Past::Came);
            }
        }
        rest.longer(self.ground.clock.now_ms());
        Ok(Past::Silent)
    }

    /// The newest hole in a stretch of a room.
    async fn hole_of(
        &self,
        room_id: &RoomId,
        reading: Reading,
    ) -> Result<Option<(RoomRow, Hole)>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(None) };
        let hole = graph::newest_hole(&mut snapshot, room.room_no, reading, ROOM, FROM).await?;
        Ok(hole.map(|hole| (room, hole)))
    }

    /// What a server tells of before these events.
    async fn ask_back(
        &self,
        server: &ServerName,
        room: &RoomRow,
        ends: &[OwnedEventId],
    ) -> Result<Told, AskError> {
        let path = ["_matrix", "federation", "v1", "backfill", room.room_id.as_str()];
        let limit = ASKED.to_string();
        let mut query: Vec<(&str, &str)> = ends.iter().map(|id| ("v", id.as_str())).collect();
        query.push(("limit", &limit));
        let question = Question::get(&path, &query).bounded(ANSWER.0, ANSWER.1);
        let answer: history::Pdus = self.servers.ask(server, question).await?;
        let read = |text: &RawValue| Event::receive(room.version, text.get()).ok();
        let told = answer.pdus.iter().take(ASKED).filter_map(|text| read(text));
        let told: HashMap<OwnedEventId, Event> = told
            .filter(|event| event.room_id() == room.room_id)
            .map(|event| (event.id().to_owned(), event))
            .collect();
        let ids: Vec<OwnedEventId> = told.keys().cloned().collect();
        let here = self.placed_among(&ids).await?;
        // Only what is named by something that is here: an id says all that its event names. Behind what is
        // here there may be another hole, which has its own place.
        let mut open: Vec<OwnedEventId> = ends.to_vec();
        let mut reached = BTreeMap::new();
        while let Some(id) = open.pop() {
            let Some(event) = told.get(&id).filter(|_| !here.contains(&id)) else { continue };
            if reached.insert(id, event.clone()).is_none() {
                open.extend(event.prev_events().iter().cloned());
            }
        }
        let reached: Vec<Event> = reached.into_values().collect();
        let (mut proven, mut unproven) = (Vec::new(), Vec::new());
        let read = reached.iter().cloned().map(Ok).collect();
        for (event, believed) in reached.into_iter().zip(self.believed(room.version, read).await?) {
            match believed {
                Ok(event) => proven.push(event),
                Err(why) => {
                    tracing::debug!(%why, event_id = %event.id(), "an event of before is refused");
                    unproven.push(event);
                }
            }
        }
        Ok(Told { proven: history::in_order(proven), unproven })
    }

    /// Those of some events that are here and stand before a state.
    async fn placed_among(&self, ids: &[OwnedEventId]) -> Result<HashSet<OwnedEventId>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let here = events::by_ids(&mut snapshot, ids).await?.into_iter();
        let here = here.filter(|it| it.roots.is_some()).map(|it| it.event.id().to_owned());
        Ok(here.collect())
    }

    /// Writes down what was told, below `floor`; whether there is more here now.
    async fn keep(
        &self,
        server: &ServerName,
        room: &RoomRow,
        told: Told,
        floor: i64,
    ) -> Result<bool, Error> {
        let Told { proven, unproven } = told;
        let named: BTreeSet<OwnedEventId> =
            proven.iter().chain(&unproven).flat_map(|it| it.prev_events().to_vec()).collect();
        let named: Vec<OwnedEventId> = named.into_iter().collect();
        let here = self.placed_among(&named).await?;
        let proven = within_reach(&proven, &here);
        let mut coming = Vec::with_capacity(proven.len());
        let mut before = here.clone();
        for event in proven {
            let ends = event.prev_events().iter().any(|id| !before.contains(id));
            let given = if ends {
                let Some(state) = self.bridge(server, &room.room_id, event, Word::Alone).await?
                else {
                    continue;
                };
                Some(state)
            } else {
                None
            };
            before.insert(event.id().to_owned());
            coming.push((event.clone(), given));
        }
        let is_here = |id: &OwnedEventId| before.contains(id);
        let skipped = unproven.into_iter().map(|event| {
            let gaps = event.prev_events().iter().filter(|id| !is_here(id)).cloned().collect();
            (event, gaps)
        });
        self.write_past(&room.room_id, Spot::Below(floor), coming, skipped.collect()).await
    }

    /// Writes down an event from somewhere in the hole below `floor`, which stands before a state that is
    /// given; whether it came to stand.
    pub(super) async fn write_amid(
        &self,
        room_id: &RoomId,
        floor: i64,
        event: Event,
        given: NodeId,
    ) -> Result<bool, Error> {
        self.write_past(room_id, Spot::Amid(floor), vec![(event, Some(given))], Vec::new()).await
    }

    /// The events stand from now on, and of those that are skipped the room goes on behind them.
    async fn write_past(
        &self,
        room_id: &RoomId,
        spot: Spot,
        coming: Vec<(Event, Option<NodeId>)>,
        skipped: Vec<(Event, Vec<OwnedEventId>)>,
    ) -> Result<bool, Error> {
        let room_id = room_id.to_owned();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let row = known(tx, &room_id).await?;
                let mut decisions = Decisions::default();
                let events: Vec<&Event> = coming.iter().map(|(event, _)| event).collect();
                decisions.plan(tx, &row, &events).await?;
                // Others may have put something there meanwhile.
                let (Spot::Below(floor) | Spot::Amid(floor)) = spot;
                let floor = graph::floor(tx, row.room_no, floor, ROOM).await?;
                let below = graph::below(tx, row.room_no, floor).await?;
                // What comes before all that is here comes before all that anybody has been told of.
                let top = if below.is_none() { floor.min(0) } else { floor };
                let mut position = top - places(&coming);
                if let Spot::Amid(_) = spot {
                    // There is as much room behind it as before it, and so much that the holes are seen.
                    let half = below.map_or(graph::PLACES, |below| (top - below) / 2);
                    if half <= graph::APART {
                        return Ok(false);
                    }
                    position -= half;
                }
                let mut came = false;
                for (event, given) in coming {
                    position += 1;
                    let (number, is_outlier) = match decisions.known(event.id()) {
                        Some(known) if known.after.is_some() => continue,
                        Some(known) => (known.number, true),
                        None => (EventNo(tx.next_number()), false),
                    };
                    let way = room::Arrival {
                        given,
                        is_past: true,
                        is_named: true,
                        ..room::Arrival::default()
                    };
                    let placed = match decisions.decide(tx, &row, &event, number, way).await {
                        Ok(Some(Outcome::Placed(placed))) => *placed,
                        Ok(Some(Outcome::Known | Outcome::Missing(_)) | None) => continue,
                        Err(Error::BadJson(why)) => {
                            tracing::debug!(why, event_id = %event.id(), "no place for an event");
                            continue;
                        }
                        Err(error) => return Err(error),
                    };
                    let arrival = Arrival { event, number, is_outlier };
                    decisions.settle_past(tx, &row, arrival, placed, position - 1).await?;
                    came = true;
                }
                for (event, gaps) in skipped {
                    if events::by_id(tx, event.id()).await?.is_some() {
                        continue;
                    }
                    tx.close_gap(row.room_no, event.id()).await?;
                    tx.open_gaps(row.room_no, &gaps, floor).await?;
                    came = true;
                }
                Ok(came)
            })
        });
        write.await
    }
}

/// Where in a hole events come to stand of which it is known above what.
#[derive(Clone, Copy)]
enum Spot {
    /// Directly below it.
    Below(i64),
    /// Somewhere in between, for others may come on both sides.
    Amid(i64),
}

/// How many places events need.
fn places<T>(coming: &[T]) -> i64 {
    i64::try_from(coming.len()).unwrap_or(ROOM)
}

/// The newest of some events, the oldest of them first: so many that the state has to be asked for before
/// few of them only.
fn within_reach<'e>(events: &'e [Event], here: &HashSet<OwnedEventId>) -> &'e [Event] {
    let ends = |part: &[Event]| {
        let inside: HashSet<&EventId> = part.iter().map(Event::id).collect();
        let is_there = |id: &OwnedEventId| inside.contains(&**id) || here.contains(id);
        part.iter().filter(|it| !it.prev_events().iter().all(is_there)).count()
    };
    let parts = (0..events.len()).map(|from| &events[from..]);
    let mut parts = parts.filter(|part| part.len() <= 1 || ends(part) <= BRIDGES);
    parts.next().unwrap_or_default()
}
