//! The list of what somebody was told of, found by judging what happened in their rooms.

use std::collections::{HashMap, hash_map::Entry};

use ruma::{OwnedRoomId, UserId, push::Action};
use serde_json::value::RawValue;

use super::{
    Error, Push,
    counting::{Mark, shown_names},
    rules::Who,
};
use crate::{
    services::rooms::{Asker, format::Form, view},
    store::{
        events::{self, StoredEvent},
        rooms::{self, Membership, RoomRow},
    },
};

/// Which notifications are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// All.
    All,
    /// Those that stand out.
    Highlights,
}

/// Something that somebody was told of (client-server API, listing notifications).
#[derive(Debug)]
pub struct Notification {
    /// What their rules wanted done.
    pub actions: Vec<Action>,
    /// The event.
    pub event: Box<RawValue>,
    /// Whether they have read it.
    pub read: bool,
    /// Where it happened.
    pub room_id: OwnedRoomId,
    /// When, in milliseconds since the epoch.
    pub sent_ms: i64,
}

/// A page of them, the newest first.
#[derive(Debug, Default)]
pub struct Notifications {
    /// The page.
    pub list: Vec<Notification>,
    /// Where the next page begins, if there may be one.
    pub next: Option<i64>,
}

/// Events of a person's rooms that are looked at together.
const PAGE: i64 = 200;
/// Pages that one request looks at: what is farther back is found by asking on.
const PAGES: usize = 20;

/// What is known of a room while a page is made.
struct Room {
    row: RoomRow,
    mark: Mark,
    name: Option<String>,
}

impl Push {
    /// What somebody was told of before a position, the newest first, by their rules of now.
    pub async fn notifications(
        &self,
        asker: &Asker,
        before: Option<i64>,
        limit: usize,
        only: Only,
    ) -> Result<Notifications, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let own = asker.user_id.clone();
        let rules = self.rules_of(&mut snapshot, std::slice::from_ref(&own)).await?;
        let Some(rules) = rules.get(&own) else { return Ok(Notifications::default()) };
        let mut known: HashMap<i64, Room> = HashMap::new();
        let mut found = Notifications::default();
        let mut before = before.unwrap_or(i64::MAX);
        for _ in 0..PAGES {
            let page = events::of_person_before(&mut snapshot, &own, before, PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            let end = last.event_no.0;
            for stored in page {
                before = stored.event_no.0;
                let room = match known.entry(stored.room_no) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => {
                        let room = self.room(&mut snapshot, stored.room_no, &own).await?;
                        let Some(room) = room else { continue };
                        place.insert(room)
                    }
                };
                let seen = self.seen(&mut snapshot, &room.row, &stored.event).await?;
                let who = Who { user_id: &own, display_name: room.name.as_deref() };
                let rule = rules.judge(&seen, who).filter(|rule| rule.notifies);
                let rule = rule.filter(|rule| only == Only::All || rule.highlights);
                let Some(rule) = rule else { continue };
                let thread = seen.thread.clone().unwrap_or_default();
                let read = stored.position.is_some_and(|at| at <= room.mark.of_thread(&thread));
                let (actions, row) = (rule.actions.clone(), room.row.clone());
                let shown = self.shown(&mut snapshot, asker, &row, stored).await?;
                let Some((event, sent_ms)) = shown else { continue };
                let room_id = row.room_id;
                found.list.push(Notification { actions, event, read, room_id, sent_ms });
                if found.list.len() == limit {
                    found.next = Some(before);
                    return Ok(found);
                }
            }
            before = end;
        }
        found.next = Some(before);
        Ok(found)
    }

    async fn room(
        &self,
        snapshot: &mut crate::store::Snapshot,
        room_no: i64,
        user_id: &UserId,
    ) -> Result<Option<Room>, Error> {
        let Some(row) = rooms::by_numbers(snapshot, &[room_no]).await?.pop() else {
            return Ok(None);
        };
        let member = rooms::membership(snapshot, room_no, user_id).await?;
        if member.is_none_or(|member| member.membership != Membership::Join) {
            return Ok(None);
        }
        let mark = Mark::of(snapshot, room_no, user_id).await?;
        let own = user_id.to_owned();
        let mut names = shown_names(snapshot, &row, std::slice::from_ref(&own)).await?;
        Ok(Some(Room { row, mark, name: names.remove(&own) }))
    }

    /// The event as the person sees it, if they may, and when it was sent.
    async fn shown(
        &self,
        snapshot: &mut crate::store::Snapshot,
        asker: &Asker,
        row: &RoomRow,
        stored: StoredEvent,
    ) -> Result<Option<(Box<RawValue>, i64)>, Error> {
        let sent_ms =
            i64::try_from(u64::from(stored.event.origin_server_ts().get())).unwrap_or_default();
        let reach = view::reach(snapshot, row, asker).await?;
        let visible = view::visible(snapshot, asker, reach, vec![stored]).await?;
        let ground = &self.ground;
        let form = Form { under_room: true, ..Form::default() };
        let mut shown = view::render(ground, snapshot, asker, &visible, form).await?;
        Ok(shown.pop().map(|shown| (shown.json, sent_ms)))
    }
}
