//! The event of a room nearest to a time at which this node was not there (client-server API, `timestamp_to_event`).

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, RoomId};
use serde::Deserialize;
use wayside_federation::event::Event;

use super::{
    super::{
        rooms::Asker,
        servers::{AskError, Question},
    },
    Error, Federation,
    bridge::Word,
    history, past,
};
use crate::store::{
    events,
    graph::{self, Hole},
    rooms::{self, RoomRow},
};

/// Events sent after a time that are looked at for a hole below them.
const NEAR: i64 = 10;
/// Servers that are asked, those with the most people in the room.
const SERVERS: i64 = 5;
/// Events that are fetched at most, those first that are said to be the nearest.
const FETCHED: usize = 3;
/// Most bytes of such an answer, and how long it may take: somebody waits for it.
const ANSWER: (usize, Duration) = (64 * 1024, Duration::from_secs(10));
/// How long somebody waits at most; what is fetched meanwhile is there for whoever asks again.
const PATIENCE: Duration = Duration::from_secs(25);

/// A time from which an event is looked for.
#[derive(Clone, Copy)]
struct Moment {
    at_ms: i64,
    /// Whether it was sent then or before, and not then or later.
    back: bool,
    /// When the event was sent that is here.
    here_ms: Option<i64>,
}

/// What a server answers (server-server API, `GET /timestamp_to_event/{roomId}`).
#[derive(Deserialize)]
struct Near {
    event_id: OwnedEventId,
    origin_server_ts: i64,
}

impl Moment {
    /// How far from it something is that was sent at a time, if it is nearer than what is here.
    fn distance(&self, sent_ms: i64) -> Option<i64> {
        let far = |sent_ms: i64| {
            let (from, to) = if self.back { (sent_ms, self.at_ms) } else { (self.at_ms, sent_ms) };
            to.checked_sub(from).filter(|far| *far >= 0)
        };
        let here = self.here_ms.and_then(far).unwrap_or(i64::MAX);
        far(sent_ms).filter(|far| *far < here)
    }
}

impl Federation {
    /// The event of a room nearest to a time that the asker may see: its id, and when it was sent. Others
    /// are asked where something is missing here at that time, and what they name is fetched.
    pub async fn nearest_seen(
        self: &Arc<Self>,
        asker: &Asker,
        room_id: &RoomId,
        at_ms: i64,
        back: bool,
    ) -> Result<(OwnedEventId, i64), Error> {
        let here = self.rooms.nearest(asker, room_id, at_ms, back).await;
        let here_ms = match &here {
            Ok((_, sent_ms)) => Some(*sent_ms),
            Err(Error::NotFound(_)) => None,
            Err(_) => return here,
        };
        let moment = Moment { at_ms, back, here_ms };
        if here_ms == Some(at_ms) || self.hole_at(room_id, at_ms).await?.is_none() {
            return here;
        }
        let (this, in_room) = (self.clone(), room_id.to_owned());
        // It goes on where whoever asked has gone away: they come again.
        let sought = self.ground.tasks.spawn(async move {
            let stop = this.ground.stop.clone();
            stop.run_until_cancelled(Box::pin(this.seek(&in_room, moment))).await
        });
        match tokio::time::timeout(PATIENCE, sought).await {
            Ok(Ok(Some(Ok(true)))) => self.rooms.nearest(asker, room_id, at_ms, back).await,
            Ok(Ok(Some(Err(error)))) => Err(error),
            Ok(Ok(Some(Ok(false)) | None)) | Err(_) => here,
            Ok(Err(error)) => Err(Error::internal(error)),
        }
    }

    /// The hole of a room in which something may be missing that was sent before what was sent at a time
    /// or soon after it.
    async fn hole_at(
        &self,
        room_id: &RoomId,
        at_ms: i64,
    ) -> Result<Option<(RoomRow, Hole)>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(None) };
        let beside = (at_ms, i64::MIN);
        let later = events::nearest(&mut snapshot, room.room_no, false, beside, i64::MAX, NEAR);
        for position in later.await?.into_iter().filter_map(|it| it.position) {
            let there = (position, position);
            let hole =
                graph::newest_hole(&mut snapshot, room.room_no, there, past::ROOM, 1).await?;
            if let Some(hole) = hole {
                return Ok(Some((room, hole)));
            }
        }
        Ok(None)
    }

    /// Fetches what others name as the nearest; whether there is more here now.
    async fn seek(&self, room_id: &OwnedRoomId, moment: Moment) -> Result<bool, Error> {
        let looking = self.looking(room_id);
        let _one_at_a_time = looking.begin().await;
        // Whoever was there before may have fetched it.
        let Some((room, hole)) = self.hole_at(room_id, moment.at_ms).await? else {
            return Ok(true);
        };
        let mut snapshot = self.ground.store.snapshot().await?;
        let own = &self.ground.server_name;
        let servers = rooms::largest_servers(&mut snapshot, room.room_no, own, SERVERS).await?;
        drop(snapshot);
        let asked = servers.iter().map(|server| self.ask_near(server, &room, moment));
        let mut told: Vec<(i64, OwnedServerName, OwnedEventId)> = Vec::new();
        for (answer, server) in join_all(asked).await.into_iter().zip(&servers) {
            match answer {
                Ok(near) => {
                    if let Some(distance) = moment.distance(near.origin_server_ts) {
                        told.push((distance, server.clone(), near.event_id));
                    }
                }
                Err(AskError::Node(error)) => return Err(error),
                Err(error) => tracing::debug!(%server, %error, "it names no event of that time"),
            }
        }
        told.sort();
        let mut seen = std::collections::HashSet::new();
        told.retain(|(_, _, id)| seen.insert(id.clone()));
        for (_, server, id) in told.into_iter().take(FETCHED) {
            let mut snapshot = self.ground.store.snapshot().await?;
            let known = events::by_id(&mut snapshot, &id).await?;
            drop(snapshot);
            if known.is_some_and(|known| known.roots.is_some()) {
                continue;
            }
            let Some(event) = self.fetch_near(&server, &room, &id, moment).await? else { continue };
            let Some(state) = self.bridge(&server, room_id, &event, Word::Alone).await? else {
                continue;
            };
            if self.write_amid(room_id, hole.floor, event, state).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn ask_near(
        &self,
        server: &OwnedServerName,
        room: &RoomRow,
        moment: Moment,
    ) -> Result<Near, AskError> {
        let room_id = room.room_id.as_str();
        let path = ["_matrix", "federation", "v1", "timestamp_to_event", room_id];
        let (at, dir) = (moment.at_ms.to_string(), if moment.back { "b" } else { "f" });
        let question = Question::get(&path, &[("ts", &at), ("dir", dir)]);
        self.servers.ask(server, question.bounded(ANSWER.0, ANSWER.1)).await
    }

    /// An event that a server names, if it proves itself and was sent when it should have been.
    async fn fetch_near(
        &self,
        server: &OwnedServerName,
        room: &RoomRow,
        id: &OwnedEventId,
        moment: Moment,
    ) -> Result<Option<Event>, Error> {
        let path = ["_matrix", "federation", "v1", "event", id.as_str()];
        let question = Question::get(&path, &[]).bounded(2 * ANSWER.0, ANSWER.1);
        let told: history::Pdus = match self.servers.ask(server, question).await {
            Ok(told) => told,
            Err(AskError::Node(error)) => return Err(error),
            Err(error) => {
                tracing::debug!(%server, %error, "an event of another time could not be had");
                return Ok(None);
            }
        };
        let Some(text) = told.pdus.first() else { return Ok(None) };
        let Ok(event) = Event::receive(room.version, text.get()) else { return Ok(None) };
        let sent_ms = i64::try_from(u64::from(event.origin_server_ts().get())).unwrap_or(i64::MAX);
        if event.id() != id || event.room_id() != room.room_id || moment.distance(sent_ms).is_none()
        {
            tracing::debug!(%server, event_id = %event.id(), "it names an event for another");
            return Ok(None);
        }
        match self.believe(room.version, event).await? {
            Ok(event) => Ok(Some(event)),
            Err(why) => {
                tracing::debug!(%server, why, event_id = %id, "an event of another time is refused");
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_nearer_than_what_is_here_counts() {
        let moment = |back, here_ms| Moment { at_ms: 100, back, here_ms };
        for (moment, sent_ms, distance) in [
            (moment(true, None), 100, Some(0)),
            (moment(true, None), 90, Some(10)),
            (moment(true, None), 101, None),
            (moment(true, None), i64::MIN, None),
            (moment(true, Some(90)), 95, Some(5)),
            (moment(true, Some(90)), 90, None),
            (moment(true, Some(90)), 80, None),
            (moment(false, None), 99, None),
            (moment(false, None), 100, Some(0)),
            (moment(false, None), i64::MAX, Some(i64::MAX - 100)),
            (moment(false, Some(110)), 105, Some(5)),
            (moment(false, Some(110)), 110, None),
            (moment(false, Some(110)), 120, None),
        ] {
            assert_eq!(moment.distance(sent_ms), distance, "{sent_ms}");
        }
    }
}
