//! What the next rooms of an answer need, read for all of them together.

use std::collections::HashMap;

use wayside_federation::state::EventNo;

use super::{
    super::{
        Error,
        rooms::{Membership, view::Known},
    },
    build::Building,
};
use crate::store::{
    ahead,
    events::{self, StoredEvent},
    people::Receipt,
    rooms::{self, MemberRow, RoomRow},
};
/// Rooms that are read together: where the answer is full before the last of them, the rest was read
/// for nothing.
pub(super) const ROOMS: usize = 64;

/// What was read ahead. What is not here is asked for room by room.
#[derive(Default)]
pub(super) struct Ahead {
    /// The rooms themselves.
    pub(super) rooms: HashMap<i64, RoomRow>,
    /// The newest events of rooms that are new to the client, one more than it wants.
    pub(super) pages: HashMap<i64, Vec<StoredEvent>>,
    /// The events of their states; without those of members where these come one by one.
    pub(super) states: HashMap<i64, Vec<EventNo>>,
    /// Their receipts.
    pub(super) receipts: HashMap<i64, Vec<Receipt>>,
    /// What belongs beside the events of their pages.
    pub(super) known: Known,
}

impl Building<'_> {
    /// Reads what these rooms need.
    pub(super) async fn look_ahead(&mut self, members: &[MemberRow]) -> Result<(), Error> {
        let numbers: Vec<i64> = members.iter().map(|member| member.room_no).collect();
        let rooms = rooms::by_numbers(&mut self.snapshot, &numbers).await?;
        self.ahead = Ahead::default();
        self.ahead.rooms = rooms.into_iter().map(|room| (room.room_no, room)).collect();
        let fresh: Vec<i64> =
            members.iter().filter(|it| self.is_fresh(it)).map(|it| it.room_no).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let lazy = self.asked.filter.room.state.lazy_load_members;
        let wanted = self.page_and_one();
        let snapshot = &mut self.snapshot;
        self.ahead.pages = ahead::newest(snapshot, &fresh, wanted).await?;
        self.ahead.states = ahead::states(snapshot, &fresh, !lazy).await?;
        self.ahead.receipts = ahead::receipts(snapshot, &fresh, &self.asker.user_id).await?;
        // These are remembered by the snapshot.
        let held: Vec<EventNo> = self.ahead.states.values().flatten().copied().collect();
        events::by_numbers(snapshot, &held).await?;
        let pages = self.ahead.pages.values().flatten();
        self.ahead.known = Known::of(snapshot, self.asker, pages).await?;
        Ok(())
    }

    /// Whether somebody is in a room of which the client knows nothing.
    fn is_fresh(&self, member: &MemberRow) -> bool {
        let Some(room) = self.ahead.rooms.get(&member.room_no) else { return false };
        member.membership == Membership::Join
            && self.asked.filter.room.takes(room.room_id.as_str())
            && self.told.is_none_or(|token| token.position_of(member.room_no) == 0)
    }
}
