//! What is told of a room as a whole: how many are in it, and who stands for its name.

use ruma::{
    OwnedUserId,
    events::{StateEventType, TimelineEventType},
};
use wayside_federation::state::{EventNo, StateKey};

use super::{
    super::{Error, rooms::view},
    answer::SummaryPart,
    build::Building,
};
use crate::store::{
    events::{self, StoredEvent},
    rooms::{self, RoomRow},
    state,
};

impl Building<'_> {
    pub(super) async fn summary(
        &mut self,
        room: &RoomRow,
        page: &[StoredEvent],
        new: bool,
        limited: bool,
    ) -> Result<SummaryPart, Error> {
        let tells = |it: &StoredEvent| {
            let kind = it.event.kind();
            *kind == TimelineEventType::RoomMember
                || *kind == TimelineEventType::RoomName
                || *kind == TimelineEventType::RoomCanonicalAlias
        };
        let filtered = !self.asked.filter.room.timeline.takes_all();
        let told = new
            || self.asked.full_state
            || page.iter().any(tells)
            || ((limited || filtered)
                && events::members_moved(&mut self.snapshot, room.room_no, self.since).await?);
        if !told {
            return Ok(SummaryPart::default());
        }
        let heroes = if self.is_named(room).await? { None } else { Some(self.heroes(room).await?) };
        Ok(SummaryPart { heroes, joined: Some(room.joined), invited: Some(room.invited) })
    }

    /// Whether the room has a name or a main alias, and not an empty one.
    pub(super) async fn is_named(&mut self, room: &RoomRow) -> Result<bool, Error> {
        let names =
            [(StateEventType::RoomName, "name"), (StateEventType::RoomCanonicalAlias, "alias")];
        let keys = names.clone().map(|(kind, _)| StateKey::new(kind, ""));
        let numbers = state::lookup(&mut self.snapshot, room.state_root, &keys).await?;
        let numbers: Vec<EventNo> = numbers.into_iter().flatten().collect();
        let held = events::by_numbers(&mut self.snapshot, &numbers).await?;
        Ok(held.values().any(|it| {
            let kind = it.event.kind().to_string();
            let field = names.iter().find(|(named, _)| named.to_string() == kind);
            let text = field.and_then(|(_, field)| view::text_in(&it.event, field));
            text.is_some_and(|text| !text.is_empty())
        }))
    }

    /// Those who stand for a room without a name.
    pub(super) async fn heroes(&mut self, room: &RoomRow) -> Result<Vec<OwnedUserId>, Error> {
        let own = &self.asker.user_id;
        Ok(rooms::heroes(&mut self.snapshot, room.room_no, own).await?)
    }
}
