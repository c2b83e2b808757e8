//! Reading a room: its events, its state, its members, page by page.

use std::collections::{BTreeMap, HashSet};

use ruma::{
    EventId, OwnedEventId, OwnedUserId, RoomId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::{Value, value::RawValue};
use wayside_federation::state::{EventNo, NodeId, StateKey};

use super::{
    super::{Error, filter::EventFilter},
    Rooms,
    append::membership_of,
    format::Form,
    ignored::Ignored,
    related,
    view::{self, Asker, Reach, Rendered},
};
use crate::store::{
    Snapshot,
    events::{self, StoredEvent, Stretch},
    rooms::{self, Membership, RoomRow, StateOf},
    state,
};

/// Which page of a room's timeline is asked for.
#[derive(Clone, Debug)]
pub struct PageAsked {
    /// Where to begin; without it at the end that the direction starts from.
    pub from: Option<i64>,
    /// Where to stop.
    pub to: Option<i64>,
    /// Whether to go back in time.
    pub back: bool,
    /// At most so many events.
    pub limit: i64,
    /// What to leave out; with lazy members, those who speak are added instead.
    pub filter: EventFilter,
}

/// A page of a room's timeline.
#[derive(Debug)]
pub struct Page {
    /// The events in the order asked for.
    pub events: Vec<Rendered>,
    /// The position at which it begins.
    pub start: i64,
    /// Where the next page begins, if there is one.
    pub end: Option<i64>,
    /// Member events of those who speak, where asked for.
    pub members: Vec<Box<RawValue>>,
}

/// An event with what stands around it.
#[derive(Debug)]
pub struct Around {
    /// The event.
    pub event: Rendered,
    /// What came before, the newest first.
    pub before: Vec<Rendered>,
    /// What came after, the oldest first.
    pub after: Vec<Rendered>,
    /// The state after the last event shown.
    pub state: Vec<Box<RawValue>>,
    /// Where a page going back begins.
    pub start: i64,
    /// Where a page going on begins.
    pub end: i64,
}

/// Which members are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct MembersAsked {
    /// Only these.
    pub only: Option<Membership>,
    /// All but these.
    pub not: Option<Membership>,
    /// As the room was at this position.
    pub at: Option<i64>,
}

/// How many times a page is looked for where a filter or the room's rules take much away.
const LOOKS: usize = 8;
/// Events near a time that are looked at together.
const NEAR: i64 = 50;

impl Rooms {
    /// One event.
    pub async fn event(
        &self,
        asker: &Asker,
        room_id: &RoomId,
        id: &EventId,
    ) -> Result<Rendered, Error> {
        let unknown =
            || Error::NotFound("there is no such event, or it is not for you to see".to_owned());
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = rooms::room(&mut snapshot, room_id).await?.ok_or_else(unknown)?;
        let seen = self.seen(&mut snapshot, asker, &room, id).await?.ok_or_else(unknown)?;
        let mut rendered =
            view::render(&self.ground, &mut snapshot, asker, &[seen], Form::default()).await?;
        rendered.pop().ok_or_else(unknown)
    }

    /// Whether there is such an event in a room that the asker is in, and can see it.
    pub async fn event_within(
        &self,
        asker: &Asker,
        room_id: &RoomId,
        id: &EventId,
    ) -> Result<(), Error> {
        let unknown =
            || Error::NotFound("there is no such event, or it is not for you to see".to_owned());
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = rooms::room(&mut snapshot, room_id).await?.ok_or_else(unknown)?;
        if view::reach(&mut snapshot, &room, asker).await? != Reach::Now {
            return Err(unknown());
        }
        self.seen(&mut snapshot, asker, &room, id).await?.map(drop).ok_or_else(unknown)
    }

    /// A page of the timeline.
    pub async fn page(
        &self,
        asker: &Asker,
        room_id: &RoomId,
        asked: PageAsked,
    ) -> Result<Page, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let (room, reach) = self.readable(&mut snapshot, asker, room_id).await?;
        let newest = self.newest_seen(&mut snapshot, asker, &room, reach).await?;
        let ignored = Ignored::of(&mut snapshot, &asker.user_id).await?;
        let start = asked.from.unwrap_or(if asked.back { newest } else { i64::MIN });
        let mut stretch = if asked.back {
            Stretch::Back { upto: start.min(newest), after: asked.to.unwrap_or(i64::MIN) }
        } else {
            Stretch::Forth { after: start, upto: asked.to.unwrap_or(i64::MAX).min(newest) }
        };
        let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
        let mut kept = Vec::new();
        let mut end = None;
        for _ in 0..LOOKS {
            // One more than wanted tells whether there is anything behind the page.
            let found =
                events::timeline(&mut snapshot, room.room_no, stretch, asked.limit + 1).await?;
            let more = found.len() > limit;
            let ends = |it: &StoredEvent| {
                it.position.map(|position| if asked.back { position - 1 } else { position })
            };
            let last = found.get(..limit).and_then(<[_]>::last).and_then(ends);
            let found: Vec<StoredEvent> = found.into_iter().take(limit).collect();
            let seen = view::visible(&mut snapshot, asker, reach, found).await?;
            let fit = related::taken(&mut snapshot, &asked.filter, ignored.heard(seen)).await?;
            let mut fit = fit.into_iter();
            let wanted = limit - kept.len();
            kept.extend(fit.by_ref().take(wanted));
            if fit.next().is_some() {
                end = kept.last().and_then(ends);
                break;
            }
            end = last.filter(|_| more);
            let Some(end) = end.filter(|_| kept.len() < limit) else { break };
            stretch = stretch.from(end);
        }
        let members = if asked.filter.lazy_load_members {
            let root = root_seen(&mut snapshot, &room, reach).await?;
            speakers(&mut snapshot, root, &kept).await?
        } else {
            Vec::new()
        };
        let events =
            view::render(&self.ground, &mut snapshot, asker, &kept, Form::default()).await?;
        Ok(Page { events, start: start.min(room.last_position), end, members })
    }

    /// An event with those around it, `limit` in all.
    pub async fn around(
        &self,
        asker: &Asker,
        room_id: &RoomId,
        id: &EventId,
        limit: i64,
        filter: &EventFilter,
    ) -> Result<Around, Error> {
        let unknown =
            || Error::NotFound("there is no such event, or it is not for you to see".to_owned());
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = rooms::room(&mut snapshot, room_id).await?.ok_or_else(unknown)?;
        let seen = self.seen(&mut snapshot, asker, &room, id).await?.ok_or_else(unknown)?;
        let position = seen.position.ok_or_else(unknown)?;
        let reach = view::reach(&mut snapshot, &room, asker).await?;
        let back = Stretch::Back { upto: position - 1, after: i64::MIN };
        let forth = Stretch::Forth { after: position, upto: i64::MAX };
        let before = events::timeline(&mut snapshot, room.room_no, back, limit / 2).await?;
        let after = events::timeline(&mut snapshot, room.room_no, forth, limit - limit / 2).await?;
        let start = before.last().and_then(|it| it.position).unwrap_or(position) - 1;
        let end = after.last().and_then(|it| it.position).unwrap_or(position);
        let before = view::visible(&mut snapshot, asker, reach, before).await?;
        let after = view::visible(&mut snapshot, asker, reach, after).await?;
        let ignored = Ignored::of(&mut snapshot, &asker.user_id).await?;
        let before = related::taken(&mut snapshot, filter, ignored.heard(before)).await?;
        let after = related::taken(&mut snapshot, filter, ignored.heard(after)).await?;
        let root = after.last().unwrap_or(&seen).roots.map_or(NodeId::EMPTY, |it| it.room_after);
        let entries = state::entries(&mut snapshot, root).await?;
        let numbers: Vec<EventNo> = entries.into_iter().map(|(_, number)| number).collect();
        let mut state = in_order(events::by_numbers(&mut snapshot, &numbers).await?.into_values());
        if filter.lazy_load_members {
            let shown = before.iter().chain(&after).chain([&seen]);
            let speakers: HashSet<&str> = shown.map(|it| it.event.sender().as_str()).collect();
            state.retain(|it| {
                *it.event.kind() != TimelineEventType::RoomMember
                    || it.event.state_key().is_some_and(|key| speakers.contains(key))
            });
        }
        let state = view::plain(&mut snapshot, &state, Form::default()).await?;
        let mut event =
            view::render(&self.ground, &mut snapshot, asker, &[seen], Form::default()).await?;
        Ok(Around {
            event: event.pop().ok_or_else(unknown)?,
            before: view::render(&self.ground, &mut snapshot, asker, &before, Form::default())
                .await?,
            after: view::render(&self.ground, &mut snapshot, asker, &after, Form::default())
                .await?,
            state,
            start,
            end,
        })
    }

    /// The event of a room nearest to a time that the asker may see: sent then or later, or going
    /// back, then or before. Gives its id and when it was sent.
    pub async fn nearest(
        &self,
        asker: &Asker,
        room_id: &RoomId,
        at_ms: i64,
        back: bool,
    ) -> Result<(OwnedEventId, i64), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let (room, reach) = self.readable(&mut snapshot, asker, room_id).await?;
        let upto = self.newest_seen(&mut snapshot, asker, &room, reach).await?;
        let ignored = Ignored::of(&mut snapshot, &asker.user_id).await?;
        let mut beside = (at_ms, if back { i64::MAX } else { i64::MIN });
        for _ in 0..LOOKS {
            let found =
                events::nearest(&mut snapshot, room.room_no, back, beside, upto, NEAR).await?;
            let Some(last) = found.last() else { break };
            beside = (last.sent_ms(), last.event_no.0);
            let seen = view::visible(&mut snapshot, asker, reach, found).await?;
            if let Some(first) = ignored.heard(seen).first() {
                return Ok((first.event.id().to_owned(), first.sent_ms()));
            }
        }
        Err(Error::NotFound("there is no such event, or none that you may see".to_owned()))
    }

    /// The whole state: of now for those inside, of when they left for those who left.
    pub async fn state(
        &self,
        asker: &Asker,
        room_id: &RoomId,
    ) -> Result<Vec<Box<RawValue>>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let (room, reach) = self.readable(&mut snapshot, asker, room_id).await?;
        let root = root_seen(&mut snapshot, &room, reach).await?;
        let state = state_of(&mut snapshot, &room, root, None).await?;
        view::plain(&mut snapshot, &state, Form::default()).await
    }

    /// One entry of the state.
    pub async fn state_event(
        &self,
        asker: &Asker,
        room_id: &RoomId,
        kind: StateEventType,
        key: &str,
    ) -> Result<Box<RawValue>, Error> {
        let unknown = || Error::NotFound("the room has no such state".to_owned());
        let mut snapshot = self.ground.store.snapshot().await?;
        let (room, reach) = self.readable(&mut snapshot, asker, room_id).await?;
        let root = root_seen(&mut snapshot, &room, reach).await?;
        let found = state::lookup(&mut snapshot, root, &[StateKey::new(kind, key)]).await?;
        let number = found[0].ok_or_else(unknown)?;
        let stored = events::by_numbers(&mut snapshot, &[number]).await?.remove(&number);
        let stored = stored.ok_or_else(unknown)?;
        let mut plain = view::plain(&mut snapshot, &[stored], Form::default()).await?;
        plain.pop().ok_or_else(unknown)
    }

    /// The member events of a room.
    pub async fn members(
        &self,
        asker: &Asker,
        room_id: &RoomId,
        asked: MembersAsked,
    ) -> Result<Vec<Box<RawValue>>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let (room, reach) = self.readable(&mut snapshot, asker, room_id).await?;
        let root = match asked.at {
            None => root_seen(&mut snapshot, &room, reach).await?,
            Some(at) => {
                let root = view::root_at(&mut snapshot, &room, at).await?;
                if !view::may_see_state(&mut snapshot, asker, reach, at, root).await? {
                    let why = "you may not see who was in the room then".to_owned();
                    return Err(Error::Forbidden(why));
                }
                root
            }
        };
        let found = state_of(&mut snapshot, &room, root, Some("m.room.member")).await?;
        let wanted = |stored: &StoredEvent| {
            let is = membership_of(&stored.event);
            asked.only.is_none_or(|only| is == Some(only))
                && asked.not.is_none_or(|not| is != Some(not))
        };
        let found: Vec<StoredEvent> = found.into_iter().filter(wanted).collect();
        view::plain(&mut snapshot, &found, Form::default()).await
    }

    /// Who is in a room, with the names and pictures they show there.
    pub async fn joined_members(
        &self,
        asker: &Asker,
        room_id: &RoomId,
    ) -> Result<BTreeMap<OwnedUserId, (Option<String>, Option<String>)>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = super::joined_room(&mut snapshot, room_id, &asker.user_id).await?;
        let rows = rooms::members(&mut snapshot, room.room_no, Membership::Join).await?;
        let numbers: Vec<EventNo> = rows.iter().map(|row| row.event_no).collect();
        let events = events::by_numbers(&mut snapshot, &numbers).await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let content = events
                    .get(&row.event_no)
                    .and_then(|it| serde_json::from_str::<Value>(it.event.content().get()).ok());
                let text = |name: &str| {
                    content.as_ref().and_then(|it| it[name].as_str()).map(str::to_owned)
                };
                (row.user_id, (text("displayname"), text("avatar_url")))
            })
            .collect())
    }

    /// A room that the asker may read something of, and how far.
    pub(super) async fn readable(
        &self,
        snapshot: &mut Snapshot,
        asker: &Asker,
        room_id: &RoomId,
    ) -> Result<(RoomRow, Reach), Error> {
        let outside = || Error::Forbidden(format!("you are not in the room {room_id}"));
        let room = rooms::room(snapshot, room_id).await?.ok_or_else(outside)?;
        let reach = view::reach(snapshot, &room, asker).await?;
        if reach == Reach::Never && !view::is_world_readable(snapshot, &room, asker).await? {
            return Err(outside());
        }
        Ok((room, reach))
    }

    pub(super) async fn seen(
        &self,
        snapshot: &mut Snapshot,
        asker: &Asker,
        room: &RoomRow,
        id: &EventId,
    ) -> Result<Option<StoredEvent>, Error> {
        let stored = events::by_id(snapshot, id).await?;
        let Some(stored) = stored.filter(|it| it.room_no == room.room_no) else { return Ok(None) };
        let reach = view::reach(snapshot, room, asker).await?;
        Ok(view::visible(snapshot, asker, reach, vec![stored]).await?.pop())
    }

    /// The newest position that somebody may see something at.
    pub(super) async fn newest_seen(
        &self,
        snapshot: &mut Snapshot,
        asker: &Asker,
        room: &RoomRow,
        reach: Reach,
    ) -> Result<i64, Error> {
        Ok(match reach {
            // What anybody may read, those who left may read too.
            Reach::Until(left) if !view::is_world_readable(snapshot, room, asker).await? => left,
            _ => room.last_position,
        })
    }
}

/// The state of the room as far as somebody reaches: now, or when they left.
async fn root_seen(snapshot: &mut Snapshot, room: &RoomRow, reach: Reach) -> Result<NodeId, Error> {
    match reach {
        Reach::Until(left) => view::root_at(snapshot, room, left).await,
        Reach::Now | Reach::Never => Ok(room.state_root),
    }
}

/// The events of a state of the room: all of them, or those of one type.
async fn state_of(
    snapshot: &mut Snapshot,
    room: &RoomRow,
    root: NodeId,
    kind: Option<&str>,
) -> Result<Vec<StoredEvent>, Error> {
    let numbers = if root == room.state_root {
        let part = kind.map_or(StateOf::All, StateOf::Kind);
        rooms::state_events(snapshot, room.room_no, part).await?
    } else {
        state::entries(snapshot, root).await?.into_iter().map(|(_, number)| number).collect()
    };
    let found = events::by_numbers(snapshot, &numbers).await?.into_values();
    let found = found.filter(|it| kind.is_none_or(|kind| it.event.kind().to_string() == kind));
    Ok(in_order(found))
}

/// Member events of those who speak in a page.
async fn speakers(
    snapshot: &mut Snapshot,
    root: NodeId,
    page: &[StoredEvent],
) -> Result<Vec<Box<RawValue>>, Error> {
    let senders: HashSet<&ruma::UserId> = page.iter().map(|it| it.event.sender()).collect();
    let keys: Vec<StateKey> = senders
        .into_iter()
        .map(|it| StateKey::new(StateEventType::RoomMember, it.as_str()))
        .collect();
    let numbers = state::lookup(snapshot, root, &keys).await?;
    let numbers: Vec<EventNo> = numbers.into_iter().flatten().collect();
    let found = in_order(events::by_numbers(snapshot, &numbers).await?.into_values());
    view::plain(snapshot, &found, Form::default()).await
}

fn in_order(found: impl Iterator<Item = StoredEvent>) -> Vec<StoredEvent> {
    let mut found: Vec<StoredEvent> = found.collect();
    found.sort_by_key(|it| it.event_no);
    found
}
