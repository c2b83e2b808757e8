//! Rooms shown to servers that are perhaps outside, and moments found for those that are inside.

use ruma::{OwnedEventId, OwnedRoomId, RoomId, ServerName};
use serde_json::value::RawValue;

use super::{
    super::rooms::{Listed, children, listed},
    Error, Federation, admits,
};
use crate::store::{
    Snapshot,
    events::{self, Verdict},
    rooms::{self, RoomRow},
};

/// Children of one room that are told of.
const CHILDREN: usize = 500;
/// Events that are looked at for one that is near a time.
const NEAR: i64 = 50;

/// A room as it is told to other servers.
pub struct Hierarchy {
    /// The room.
    pub room: Listed,
    /// The events that name those below it.
    pub events: Vec<Box<RawValue>>,
    /// Those below it that the server may see.
    pub children: Vec<Listed>,
    /// Those that it may not.
    pub inaccessible: Vec<OwnedRoomId>,
}

impl Federation {
    /// A room, and the rooms below it, for a server whose people could see or enter it (server-server
    /// API, spaces).
    pub async fn hierarchy(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        suggested_only: bool,
    ) -> Result<Hierarchy, Error> {
        let unknown = || Error::NotFound("there is no such room, or not for you".to_owned());
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(row) = self.known_here(&mut snapshot, room_id).await? else {
            return Err(unknown());
        };
        let room = shown(&mut snapshot, &row, origin).await?.ok_or_else(unknown)?;
        let below = children(&mut snapshot, &row, suggested_only).await?;
        let (mut events, mut found, mut inaccessible) = (Vec::new(), Vec::new(), Vec::new());
        for child in below.into_iter().take(CHILDREN) {
            events.extend(child.json);
            // Of what is not known here, others are asked.
            let Some(row) = self.known_here(&mut snapshot, &child.room_id).await? else { continue };
            match shown(&mut snapshot, &row, origin).await? {
                Some(listed) => found.push(listed),
                None => inaccessible.push(child.room_id),
            }
        }
        Ok(Hierarchy { room, events, children: found, inaccessible })
    }

    /// The event of a room that was sent at a time or next to it, for a server that is in it: its id and
    /// its time.
    pub async fn nearest(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        at_ms: i64,
        back: bool,
    ) -> Result<(OwnedEventId, i64), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = self.inside(&mut snapshot, room_id, origin).await?;
        let beside = (at_ms, if back { i64::MAX } else { i64::MIN });
        let (room_no, upto) = (room.room_no, i64::MAX);
        let found = events::nearest(&mut snapshot, room_no, back, beside, upto, NEAR).await?;
        let found = found.into_iter().find(|it| it.verdict == Verdict::Accepted);
        let found =
            found.ok_or_else(|| Error::NotFound("there is no event near that time".to_owned()))?;
        Ok((found.event.id().to_owned(), found.sent_ms()))
    }

    async fn known_here(
        &self,
        snapshot: &mut Snapshot,
        room_id: &RoomId,
    ) -> Result<Option<RoomRow>, Error> {
        let Some(room) = rooms::room(snapshot, room_id).await? else { return Ok(None) };
        let is_here = rooms::has_server(snapshot, room.room_no, &self.ground.server_name).await?;
        Ok(is_here.then_some(room))
    }
}

/// A room in sum, if people of a server are in it, could come, or could read it.
async fn shown(
    snapshot: &mut Snapshot,
    room: &RoomRow,
    origin: &ServerName,
) -> Result<Option<Listed>, Error> {
    if !admits(snapshot, room, origin).await? {
        return Ok(None);
    }
    let listed = listed(snapshot, room.clone()).await?;
    let is_open = listed.world_readable
        || matches!(listed.join_rule.as_deref(), Some("public" | "knock" | "knock_restricted"));
    if is_open || rooms::has_server(snapshot, room.room_no, origin).await? {
        return Ok(Some(listed));
    }
    if listed.join_rule.as_deref() == Some("restricted") {
        for allowed in &listed.allowed {
            let Some(other) = rooms::room(snapshot, allowed).await? else { continue };
            if rooms::has_server(snapshot, other.room_no, origin).await? {
                return Ok(Some(listed));
            }
        }
    }
    Ok(None)
}
