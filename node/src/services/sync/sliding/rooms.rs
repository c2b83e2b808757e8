//! A person's rooms in the order of what happened last, and which of them a filter takes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ruma::OwnedRoomId;
use serde::Deserialize;
use serde_json::Value;
use wayside_federation::state::EventNo;

use super::{Round, asked::RoomsWish};
use crate::{
    services::{Error, rooms::view},
    store::{
        events, people,
        rooms::{self, MemberRow, Membership, RoomRow, StateOf},
    },
};

/// A room of the person, with how they stand to it.
pub(super) struct Candidate {
    pub(super) room: RoomRow,
    pub(super) member: MemberRow,
}

/// What filters ask of rooms, looked up when the first of them asks.
#[derive(Default)]
pub(super) struct Facts {
    /// The rooms that are conversations between two, by the person's own word.
    direct: Option<Arc<HashSet<String>>>,
    encrypted: Option<Arc<HashSet<i64>>>,
    tags: Option<Arc<HashMap<i64, HashSet<String>>>>,
    spaces: Spaces,
}

/// The rooms of the person that belong directly to spaces, as far as those were looked up.
#[derive(Default)]
struct Spaces {
    seen: HashSet<i64>,
    /// The spaces of each room.
    above: HashMap<i64, Vec<i64>>,
}

impl Candidate {
    /// The position of the newest that there is to tell.
    pub(super) fn newest(&self) -> i64 {
        match self.member.membership {
            Membership::Join => self.room.last_position.max(self.member.position),
            _ => self.member.position,
        }
    }

    pub(super) fn is_inside(&self) -> bool {
        self.member.membership == Membership::Join
    }
}

impl Round<'_> {
    /// The rooms that the person is in, is asked to or asks to come to, or was shut out of; and those
    /// that they left since they were told of them. The ones first in which something happened last.
    pub(super) async fn candidates(&mut self) -> Result<Vec<Candidate>, Error> {
        let own = self.building.asker.user_id.clone();
        let snapshot = &mut self.building.snapshot;
        let mut members = rooms::memberships_of(snapshot, &own).await?;
        let gone = |row: &MemberRow| matches!(row.membership, Membership::Leave | Membership::Ban);
        let endings: Vec<EventNo> = members
            .iter()
            .filter(|row| gone(row) && !row.forgotten && row.left.is_some())
            .map(|row| row.event_no)
            .collect();
        let endings = events::by_numbers(snapshot, &endings).await?;
        members.retain(|row| {
            let by_others = endings.get(&row.event_no).is_some_and(|it| it.event.sender() != own);
            let untold =
                self.known.rooms.get(&row.room_no).is_some_and(|it| it.upto < row.position);
            !gone(row) || (!row.forgotten && (by_others || untold))
        });
        let numbers: Vec<i64> = members.iter().map(|row| row.room_no).collect();
        let found = rooms::by_numbers(snapshot, &numbers).await?;
        let mut by_number: HashMap<i64, RoomRow> =
            found.into_iter().map(|room| (room.room_no, room)).collect();
        let mut candidates: Vec<Candidate> = members
            .into_iter()
            .filter_map(|member| {
                Some(Candidate { room: by_number.remove(&member.room_no)?, member })
            })
            .collect();
        candidates.sort_by_key(|it| std::cmp::Reverse(it.newest()));
        Ok(candidates)
    }

    /// The rooms that a filter takes, in their order.
    pub(super) async fn matching<'c>(
        &mut self,
        candidates: &'c [Candidate],
        wish: Option<&RoomsWish>,
    ) -> Result<Vec<&'c Candidate>, Error> {
        let Some(wish) = wish else { return Ok(candidates.iter().collect()) };
        let mut kept: Vec<&Candidate> = candidates.iter().collect();
        if let Some(invite) = wish.is_invite {
            kept.retain(|it| (it.member.membership == Membership::Invite) == invite);
        }
        let has_type = |types: &[Option<String>], it: &Candidate| types.contains(&it.room.kind);
        if let Some(types) = &wish.room_types {
            kept.retain(|it| has_type(types, it));
        }
        if let Some(types) = &wish.not_room_types {
            kept.retain(|it| !has_type(types, it));
        }
        if let Some(wanted) = wish.is_dm {
            let direct = self.direct().await?;
            kept.retain(|it| direct.contains(it.room.room_id.as_str()) == wanted);
        }
        if let Some(wanted) = wish.is_encrypted {
            let encrypted = self.encrypted(candidates).await?;
            kept.retain(|it| encrypted.contains(&it.room.room_no) == wanted);
        }
        if wish.tags.is_some() || wish.not_tags.is_some() {
            let tags = self.tags().await?;
            let has = |names: &[String], it: &Candidate| {
                let of_room = tags.get(&it.room.room_no);
                of_room.is_some_and(|tags| names.iter().any(|name| tags.contains(name)))
            };
            kept.retain(|it| {
                wish.tags.as_ref().is_none_or(|names| has(names, it))
                    && !wish.not_tags.as_ref().is_some_and(|names| has(names, it))
            });
        }
        if let Some(spaces) = &wish.spaces {
            let wanted = self.spaces(candidates, spaces).await?;
            let above = &self.facts.spaces.above;
            kept.retain(|it| {
                let of_room = above.get(&it.room.room_no);
                of_room.is_some_and(|spaces| spaces.iter().any(|space| wanted.contains(space)))
            });
        }
        Ok(kept)
    }

    /// The rooms that the person calls conversations between two.
    pub(super) async fn direct(&mut self) -> Result<Arc<HashSet<String>>, Error> {
        if let Some(direct) = &self.facts.direct {
            return Ok(direct.clone());
        }
        let own = &self.building.asker.user_id;
        let item = people::data_item(&mut self.building.snapshot, own, 0, "m.direct").await?;
        // The person may have written anything: what is no list of rooms hides none of the others.
        let by_person: HashMap<String, Value> =
            item.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let rooms = by_person.values().filter_map(Value::as_array).flatten();
        let direct = Arc::new(rooms.filter_map(Value::as_str).map(str::to_owned).collect());
        Ok(self.facts.direct.insert(direct).clone())
    }

    async fn encrypted(&mut self, candidates: &[Candidate]) -> Result<Arc<HashSet<i64>>, Error> {
        if let Some(encrypted) = &self.facts.encrypted {
            return Ok(encrypted.clone());
        }
        let numbers: Vec<i64> = candidates.iter().map(|it| it.room.room_no).collect();
        let found = rooms::encrypted_among(&mut self.building.snapshot, &numbers).await?;
        Ok(self.facts.encrypted.insert(Arc::new(found)).clone())
    }

    async fn tags(&mut self) -> Result<Arc<HashMap<i64, HashSet<String>>>, Error> {
        #[derive(Deserialize)]
        struct Content {
            tags: HashMap<String, Value>,
        }
        if let Some(tags) = &self.facts.tags {
            return Ok(tags.clone());
        }
        let own = &self.building.asker.user_id;
        let items = people::data_of_kind(&mut self.building.snapshot, own, "m.tag").await?;
        let read = |(room_no, text): (i64, String)| {
            let content: Content = serde_json::from_str(&text).ok()?;
            Some((room_no, content.tags.into_keys().collect()))
        };
        let tags = items.into_iter().filter_map(read).collect();
        Ok(self.facts.tags.insert(Arc::new(tags)).clone())
    }

    /// Those of some spaces in which the person is, each looked up once however many lists name it.
    async fn spaces(
        &mut self,
        candidates: &[Candidate],
        named: &[OwnedRoomId],
    ) -> Result<HashSet<i64>, Error> {
        let named: HashSet<&OwnedRoomId> = named.iter().collect();
        let mut found = HashSet::new();
        let inside = candidates.iter().filter(|it| it.is_inside());
        for space in inside.filter(|it| named.contains(&it.room.room_id)) {
            let space_no = space.room.room_no;
            found.insert(space_no);
            if !self.facts.spaces.seen.insert(space_no) {
                continue;
            }
            let snapshot = &mut self.building.snapshot;
            let part = StateOf::Kind("m.space.child");
            let numbers = rooms::state_events(snapshot, space_no, part).await?;
            let children = events::by_numbers(snapshot, &numbers).await?;
            // A child without servers to ask was taken out of the space.
            let below: HashSet<&str> = children
                .values()
                .filter(|child| view::has_field(&child.event, "via"))
                .filter_map(|child| child.event.state_key())
                .collect();
            for child in candidates.iter().filter(|it| below.contains(it.room.room_id.as_str())) {
                self.facts.spaces.above.entry(child.room.room_no).or_default().push(space_no);
            }
        }
        Ok(found)
    }
}
