//! Rooms that other servers let this node into: believed as far as they prove themselves, and written down.

use std::collections::BTreeMap;

use ruma::{OwnedEventId, RoomId, ServerName, events::TimelineEventType};
use serde_json::value::RawValue;
use wayside_federation::{
    event::Event,
    room::{Begun, Head, Placed, Standing, begin},
    state::{self as tree, Difference, EventNo, KeyHash, NodeId, StateKey},
    version::RoomVersion,
};

use super::{
    super::{
        rooms::{self, Arrival},
        servers::AskError,
    },
    Error, Federation,
    enter::{LetIn, heard_of},
    intake::Taken,
};
use crate::store::{
    events,
    rooms::{self as stored, RoomRow},
    state,
};

/// Events, or entries of a state, that are written in one go: whoever writes in between waits for two of
/// these at most, the one under way and the one that stands behind them in the same group.
const AT_ONCE: usize = 128;

/// An entry of a state.
type Entry = (KeyHash, Option<EventNo>);

impl Federation {
    /// Comes into a room by an event that a server has let in, with what it tells of the room.
    pub(super) async fn come_in(
        &self,
        server: &ServerName,
        version: RoomVersion,
        join: Event,
        told: LetIn,
    ) -> Result<(), AskError> {
        let wrong = |why: String| AskError::BadAnswer { server: server.to_string(), why };
        if told.members_omitted {
            return Err(wrong("it leaves members out, though it was asked for all".to_owned()));
        }
        let LetIn { state, auth_chain, event, .. } = told;
        let join = self.signed_by_all(server, version, join, event).await?;
        let room_id = join.room_id().to_owned();
        if self.is_here(&room_id).await? {
            return self.come_beside(server, join).await;
        }
        let (state, chain) =
            (self.proven(version, state).await?, self.proven(version, auth_chain).await?);
        let check = move || {
            let begun = begin(version, &join, &state, &chain);
            begun.map(|begun| (begun, join))
        };
        // A large room takes a while, and nobody waits for it on these threads.
        let begun = tokio::task::spawn_blocking(check).await.map_err(Error::internal)?;
        let (begun, join) = begun.map_err(|error| wrong(error.to_string()))?;
        if !begun.refused.is_empty() {
            let refused = begun.refused.len();
            tracing::info!(%server, %room_id, refused, "events of a room do not stand by themselves");
        }
        let door = self.door(&room_id);
        let _writes = door.writing.lock().await;
        // Somebody else of this node may have come in by another server meanwhile.
        if self.is_here(&room_id).await? {
            return self.come_beside(server, join).await;
        }
        Ok(self.write_room(version, begun, join).await?)
    }

    /// Whether somebody of this node is in a room.
    async fn is_here(&self, room_id: &RoomId) -> Result<bool, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = stored::room(&mut snapshot, room_id).await? else { return Ok(false) };
        Ok(!rooms::is_elsewhere(&mut snapshot, &room, &self.ground.server_name).await?)
    }

    /// Comes into a room that is here, by an event that another server has let in: perhaps because only
    /// somebody there vouches for them.
    async fn come_beside(&self, server: &ServerName, join: Event) -> Result<(), AskError> {
        let room_id = join.room_id().to_owned();
        match self.take(server, &room_id, join, false).await? {
            Taken::Stands(Standing::Accepted) => Ok(()),
            _ => Err(AskError::BadAnswer {
                server: server.to_string(),
                why: "what it lets in does not stand in the room".to_owned(),
            }),
        }
    }

    /// The joining as the server has let it in: it is the same event, perhaps with a signature more.
    async fn signed_by_all(
        &self,
        server: &ServerName,
        version: RoomVersion,
        join: Event,
        told: Option<Box<RawValue>>,
    ) -> Result<Event, AskError> {
        let wrong = |why: String| AskError::BadAnswer { server: server.to_string(), why };
        let event = match told {
            Some(text) => {
                let told = Event::receive(version, text.get());
                let told = told.map_err(|error| wrong(error.to_string()))?;
                if told.id() != join.id() {
                    return Err(wrong("it lets another event in than it was given".to_owned()));
                }
                told
            }
            None => join,
        };
        self.believe(version, event).await?.map_err(wrong)
    }

    /// Those of these events that prove themselves.
    async fn proven(
        &self,
        version: RoomVersion,
        texts: Vec<Box<RawValue>>,
    ) -> Result<Vec<Event>, Error> {
        let mut proven = Vec::with_capacity(texts.len());
        for event in self.verified(version, texts).await? {
            match event {
                Ok(event) => proven.push(event),
                Err(why) => tracing::debug!(why, "an event of a room does not prove itself"),
            }
        }
        Ok(proven)
    }

    /// Writes a room down, a piece after the other. Nobody of this node is in it before the last: what a
    /// crash leaves is the beginning of what the next joining writes.
    async fn write_room(
        &self,
        version: RoomVersion,
        begun: Begun,
        join: Event,
    ) -> Result<(), Error> {
        let room_id = join.room_id().to_owned();
        let create = StateKey::new(ruma::events::StateEventType::RoomCreate, "");
        let create = begun.state.get(&create).cloned();
        let kind = begun.events.iter().find(|it| Some(it.id()) == create.as_deref());
        let kind = kind.and_then(|it| rooms::view::text_in(it, "type"));
        let (events, state) = (begun.events, begun.state);
        let room_no = {
            let room_id = room_id.clone();
            let write = self.ground.store.write::<_, Error>(move |tx| {
                Box::pin(async move {
                    let mut room = heard_of(tx, &room_id, version, kind.clone()).await?;
                    if room.version != version {
                        let why = format!("the room {room_id} is of another version than is said");
                        return Err(Error::BadJson(why));
                    }
                    if room.kind != kind {
                        room.kind = kind;
                        tx.set_nature(&room).await?;
                    }
                    Ok(room.room_no)
                })
            });
            write.await?
        };
        self.write_events(room_no, events).await?;
        let entries = self.entries(room_no, state).await?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = stored::room(&mut snapshot, &room_id).await?;
        drop(snapshot);
        let root = room.map_or(NodeId::EMPTY, |room| room.state_root);
        let left = if root == NodeId::EMPTY {
            let new = |(key, right)| Difference { key, left: None, right };
            entries.into_iter().map(new).collect()
        } else {
            let target = self.write_tree(room_no, entries).await?;
            let mut snapshot = self.ground.store.snapshot().await?;
            state::difference(&mut snapshot, root, target).await?
        };
        let target = self.write_entries(&room_id, root, left).await?;
        self.write_join(&room_id, target, join).await
    }

    /// The events on which the room rests, as far as they are not here.
    pub(super) async fn write_events(&self, room_no: i64, told: Vec<Event>) -> Result<(), Error> {
        for part in told.chunks(AT_ONCE) {
            let part = part.to_vec();
            let write = self.ground.store.write::<_, Error>(move |tx| {
                Box::pin(async move {
                    let ids: Vec<OwnedEventId> = part.iter().map(|it| it.id().to_owned()).collect();
                    let known = events::numbers_of(tx, &ids).await?;
                    let is_here = |event: &Event| known.contains_key(event.id());
                    let new: Vec<Event> = part.into_iter().filter(|it| !is_here(it)).collect();
                    rooms::add_outliers(tx, room_no, new).await.map(drop)
                })
            });
            write.await?;
        }
        Ok(())
    }

    /// The tree of a state whose events are here.
    pub(super) async fn write_state(
        &self,
        room_no: i64,
        told: BTreeMap<StateKey, OwnedEventId>,
    ) -> Result<NodeId, Error> {
        let entries = self.entries(room_no, told).await?;
        self.write_tree(room_no, entries).await
    }

    /// The entries of a state whose events are here, in the order of their keys.
    async fn entries(
        &self,
        room_no: i64,
        told: BTreeMap<StateKey, OwnedEventId>,
    ) -> Result<Vec<Entry>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let ids: Vec<OwnedEventId> = told.values().cloned().collect();
        let numbers = events::numbers_of(&mut snapshot, &ids).await?;
        let number = |id: &OwnedEventId| {
            let (here, number) = numbers.get(id)?;
            (*here == room_no).then_some(*number)
        };
        let entry = |(key, id): (&StateKey, &OwnedEventId)| Some((key.hash(), Some(number(id)?)));
        let mut entries: Vec<Entry> = told.iter().filter_map(entry).collect();
        entries.sort_unstable();
        Ok(entries)
    }

    async fn write_tree(&self, room_no: i64, entries: Vec<Entry>) -> Result<NodeId, Error> {
        let plant = move || tree::apply(NodeId::EMPTY, &entries, |_| None);
        let planted = tokio::task::spawn_blocking(plant).await.map_err(Error::internal)?;
        let planted = planted
            .map_err(|_| Error::internal(anyhow::anyhow!("a tree of nothing lacks something")))?;
        // What a node names is there before it.
        let nodes: Vec<_> = planted.created.into_iter().rev().collect();
        for part in nodes.chunks(AT_ONCE) {
            let (part, now_ms) = (part.to_vec(), self.ground.clock.now_ms());
            let write = self.ground.store.write::<_, Error>(move |tx| {
                Box::pin(async move {
                    // Nothing names it yet, and perhaps nothing ever does.
                    tx.loosen(room_no, [planted.root], now_ms).await?;
                    Ok(tx.put_nodes(&part).await?)
                })
            });
            write.await?;
        }
        Ok(planted.root)
    }

    /// Moves the room on from a state by entries; the state to which that leads.
    async fn write_entries(
        &self,
        room_id: &RoomId,
        mut root: NodeId,
        left: Vec<Difference>,
    ) -> Result<NodeId, Error> {
        for part in left.chunks(AT_ONCE) {
            let (ground, room_id) = (self.ground.clone(), room_id.to_owned());
            let (part, now_ms) = (part.to_vec(), self.ground.clock.now_ms());
            let write = self.ground.store.write::<_, Error>(move |tx| {
                Box::pin(async move {
                    let mut room = elsewhere(tx, &room_id, &ground.server_name).await?;
                    if room.state_root != root {
                        return Err(Error::internal(anyhow::anyhow!(
                            "the room has moved meanwhile"
                        )));
                    }
                    rooms::shift(&ground, tx, &mut room, &part).await?;
                    // The next step leaves it behind.
                    tx.loosen(room.room_no, [room.state_root], now_ms).await?;
                    tx.move_room(&room).await?;
                    Ok(room.state_root)
                })
            });
            root = write.await?;
        }
        Ok(root)
    }

    /// The joining, which stands behind that state.
    async fn write_join(&self, room_id: &RoomId, target: NodeId, join: Event) -> Result<(), Error> {
        let (ground, room_id) = (self.ground.clone(), room_id.to_owned());
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let mut room = elsewhere(tx, &room_id, &ground.server_name).await?;
                if room.state_root != target {
                    return Err(Error::internal(anyhow::anyhow!("the room has moved meanwhile")));
                }
                let user_id = join.sender().to_owned();
                let key = StateKey::new(
                    TimelineEventType::RoomMember.to_string().into(),
                    user_id.as_str(),
                );
                let key = key.hash();
                let number = EventNo(tx.next_number());
                let left = state::at(tx, target, key).await?;
                let after = tx.change_state(target, &[(key, Some(number))]).await?;
                let head = Head { id: join.id().to_owned(), depth: join.depth(), after };
                let placed = Placed {
                    standing: Standing::Accepted,
                    refusal: None,
                    before: target,
                    after,
                    heads: vec![head],
                    state: after,
                    changed: vec![Difference { key, left, right: Some(number) }],
                    nodes: Vec::new(),
                    // What was before is asked for when somebody wants to read it.
                    gaps: join.prev_events().to_vec(),
                };
                room.since_depth = i64::try_from(join.depth()).unwrap_or(i64::MAX);
                tx.close_door(room.room_no, &user_id).await?;
                // Whoever has let them in tells the others.
                let arrival = Arrival { event: join, number, is_outlier: false };
                rooms::settle(&ground, tx, &mut room, arrival, placed, false).await?;
                Ok(tx.move_room(&room).await?)
            })
        });
        write.await
    }
}

/// A room that this node is about to come into.
async fn elsewhere(
    tx: &mut crate::store::Tx,
    room_id: &RoomId,
    own: &ServerName,
) -> Result<RoomRow, Error> {
    let room = super::known(tx, room_id).await?;
    if !rooms::is_elsewhere(tx, &room, own).await? {
        return Err(Error::internal(anyhow::anyhow!("somebody is in the room meanwhile")));
    }
    Ok(room)
}
