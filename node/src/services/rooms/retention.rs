//! How long what was said is kept (proposal 1763, `m.room.retention`), and how it goes.
//!
//! What is old enough goes out of the store. State stays, because the room is made of it; and what the
//! room's next event will stand on stays as the hollow form in which it is hashed (server-server API,
//! reference hash), until others have come after it. So the graph never breaks.

use std::collections::HashSet;

use ruma::{OwnedEventId, RoomId};

use super::{super::Error, Rooms, WORLD};
use crate::store::{
    Reads, events,
    retention::{self, Keeping, Old},
    rooms,
};

/// Rooms that are looked at in one go.
const ROOMS: i64 = 100;
/// Events that go at once, so that nobody waits long behind it.
const AT_ONCE: i64 = 200;
const DAY_MS: i64 = 24 * 60 * 60_000;

impl Rooms {
    /// Lets go of what is older, in each room, than the room or the node keeps it; how much it was.
    pub async fn forget_old(&self, now_ms: i64) -> Result<u64, Error> {
        let (mut behind, mut gone) = (0, 0);
        loop {
            let mut snapshot = self.ground.store.snapshot().await?;
            let page = retention::keepings(&mut snapshot, behind, ROOMS).await?;
            let Some(last) = page.last() else { return Ok(gone) };
            behind = last.room_no;
            let mut due = Vec::new();
            for room in page {
                if let Some(kept_ms) = self.kept_ms(&mut snapshot, &room).await? {
                    due.push((room.room_no, now_ms.saturating_sub(kept_ms)));
                }
            }
            drop(snapshot);
            for (room_no, before_ms) in due {
                gone += self.forget_before(room_no, before_ms).await?;
            }
        }
    }

    /// Lets go of what was said in a room before a time; for operators.
    pub async fn operator_forget(&self, room_id: &RoomId, before_ms: i64) -> Result<u64, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = rooms::room(&mut snapshot, room_id).await?;
        drop(snapshot);
        let room = room.ok_or_else(|| Error::NotFound(format!("there is no room {room_id}")))?;
        self.forget_before(room.room_no, before_ms).await
    }

    /// How long things are kept in a room: as it says itself, or else as the node does for its kind.
    async fn kept_ms(&self, from: &mut impl Reads, room: &Keeping) -> Result<Option<i64>, Error> {
        if let Some(says) = room.says {
            let says = events::by_numbers(from, &[says]).await?.remove(&says);
            let kept_ms = says.and_then(|it| said_ms(it.event.json()));
            if kept_ms.is_some() {
                return Ok(kept_ms);
            }
        }
        let config = &self.ground.config;
        let is_world = room.kind.as_deref() == Some(WORLD);
        let days = if is_world { config.world_retention_days } else { config.retention_days };
        Ok((days > 0).then(|| i64::from(days) * DAY_MS))
    }

    async fn forget_before(&self, room_no: i64, before_ms: i64) -> Result<u64, Error> {
        let (mut gone, clock) = (0, self.ground.clock);
        while !self.ground.stop.is_cancelled() {
            // Looked at first, so that a node with nothing to let go of writes nothing.
            let mut snapshot = self.ground.store.snapshot().await?;
            let heads = heads_of(&mut snapshot, room_no).await?;
            let some = 1 + i64::try_from(heads.len()).unwrap_or(AT_ONCE);
            let old = retention::old(&mut snapshot, room_no, before_ms, some).await?;
            drop(snapshot);
            if !old.iter().any(|it| goes(it, &heads)) {
                break;
            }
            let now_ms = clock.now_ms();
            let write = self.ground.store.write::<_, Error>(move |tx| {
                Box::pin(async move {
                    // Read where it is written: what the room stands on may be another by now.
                    let heads = heads_of(tx, room_no).await?;
                    let old = retention::old(tx, room_no, before_ms, AT_ONCE).await?;
                    let (stay, go): (Vec<Old>, Vec<Old>) =
                        old.into_iter().partition(|it| heads.contains(&it.event_id));
                    let numbers: Vec<_> = go.iter().map(|it| it.event_no).collect();
                    tx.loosen_of(room_no, &numbers, now_ms).await?;
                    tx.drop_events(&numbers).await?;
                    let mut gone = go.len();
                    for head in stay.iter().filter(|it| it.shown) {
                        let Some(stored) = events::by_id(tx, &head.event_id).await? else {
                            continue;
                        };
                        let room = rooms::by_numbers(tx, &[room_no]).await?.pop();
                        let Some(room) = room else { continue };
                        let hollow = stored.event.redact(room.version)?;
                        tx.hollow_event(head.event_no, &hollow).await?;
                        gone += 1;
                    }
                    if gone > 0 {
                        tx.tell_forgotten(room_no).await?;
                    }
                    Ok(gone)
                })
            });
            let now_gone = write.await? as u64;
            gone += now_gone;
            // Somebody else was quicker, or all that is old is what the room stands on.
            if now_gone == 0 {
                break;
            }
        }
        Ok(gone)
    }
}

/// Whether there is still something to do about an old event.
fn goes(old: &Old, heads: &HashSet<OwnedEventId>) -> bool {
    old.shown || !heads.contains(&old.event_id)
}

/// What the next event of a room will stand on.
async fn heads_of(from: &mut impl Reads, room_no: i64) -> Result<HashSet<OwnedEventId>, Error> {
    let room = rooms::by_numbers(from, &[room_no]).await?.pop();
    Ok(room.into_iter().flat_map(|room| room.heads).map(|head| head.id).collect())
}

/// How long the content of `m.room.retention` wants things kept, in milliseconds.
fn said_ms(event: &str) -> Option<i64> {
    let event: serde_json::Value = serde_json::from_str(event).ok()?;
    event["content"]["max_lifetime"].as_i64().filter(|kept_ms| *kept_ms > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_time_says_how_long() {
        let says = |content: &str| said_ms(&format!("{{\"content\":{content}}}"));
        assert_eq!(says("{\"max_lifetime\":86400000}"), Some(DAY_MS));
        for none in [
            "{}",
            "{\"max_lifetime\":0}",
            "{\"max_lifetime\":-1}",
            "{\"max_lifetime\":\"1\"}",
            "[]",
        ] {
            assert_eq!(says(none), None, "{none}");
        }
    }
}
