//! What the next rooms of an answer need, read for all of them together.

use std::collections::BTreeMap;

use wayside_federation::state::EventNo;

use super::{Round, Wanted, rooms::Candidate};
use crate::{
    services::{Error, rooms::view::Known, sync::ahead::Ahead},
    store::{ahead, events},
};

impl Round<'_> {
    /// Reads what these rooms need, as far as they are new to the client.
    pub(super) async fn look_ahead(&mut self, next: &[(&Candidate, &Wanted)]) -> Result<(), Error> {
        let mut by_limit: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
        for (candidate, wanted) in next {
            let room_no = candidate.room.room_no;
            if candidate.is_inside() && !self.known.has(room_no) {
                by_limit.entry(wanted.limit).or_default().push(room_no);
            }
        }
        let building = &mut self.building;
        building.ahead = Ahead::default();
        let fresh: Vec<i64> = by_limit.values().flatten().copied().collect();
        // One room is read as quickly by itself.
        if fresh.len() < 2 {
            return Ok(());
        }
        let snapshot = &mut building.snapshot;
        for (limit, rooms) in by_limit {
            let found = ahead::newest(snapshot, &rooms, i64::from(limit) + 1).await?;
            building.ahead.pages.extend(found);
        }
        // These are remembered by the snapshot: what is wanted and what stands for a room as a whole
        // are most of the state beside its members.
        building.ahead.states = ahead::states(snapshot, &fresh, false).await?;
        let held: Vec<EventNo> = building.ahead.states.values().flatten().copied().collect();
        events::by_numbers(snapshot, &held).await?;
        let pages = building.ahead.pages.values().flatten();
        building.ahead.known = Known::of(snapshot, building.asker, pages).await?;
        Ok(())
    }
}
