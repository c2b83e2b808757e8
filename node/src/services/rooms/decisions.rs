//! Decisions on events of rooms: what they look at is loaded until there is one.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use ruma::{EventId, OwnedEventId};
use wayside_federation::{
    event::Event,
    room::{self, Halt, Joined, Known, Need, Outcome, Shelf, Standing},
    state::{EventNo, NodeId},
};

use super::super::{Error, Ground};
use crate::store::{
    Reads,
    events::{self, StoredEvent, Verdict},
    graph,
    rooms::RoomRow,
    state,
};

/// Events that decisions may look at, and rounds of loading for one, while others wait for the writer.
const FEW: (usize, usize) = (1_000, 64);
/// The same beside it; what takes more is given up, for it would be somebody's attack.
const MANY: (usize, usize) = (300_000, 2_000);
/// How long a decision may take beside the writer.
const PATIENCE: Duration = Duration::from_mins(1);
/// From this round on, events are loaded with what they cite: branches are being joined.
const DEEP: usize = 3;
/// Events that are loaded in this way at once.
const DEEP_EVENTS: usize = 2_000;

/// Decisions on events of one room that are written together: what was loaded for one of them is there
/// for the next.
#[derive(Default)]
pub(in crate::services) struct Decisions {
    pub(super) shelf: Shelf,
    /// Those that events here name, and that were not here.
    pub(super) gaps: HashSet<OwnedEventId>,
    /// Redactions that have come before what they redact.
    pub(super) early: HashMap<OwnedEventId, Vec<EventNo>>,
}

impl Decisions {
    /// With what is known already of where branches lead together.
    pub(in crate::services) fn with(joined: &[Joined]) -> Self {
        let mut decisions = Self::default();
        for joined in joined {
            decisions.shelf.put_joined(joined.clone());
        }
        decisions
    }

    /// Loads what some events name, and those of them that are here already, in one question.
    pub(in crate::services) async fn plan(
        &mut self,
        from: &mut impl Reads,
        room: &RoomRow,
        events: &[&Event],
    ) -> Result<(), Error> {
        let mut need = Need::default();
        for event in events {
            need.events.insert(event.id().to_owned());
            need.events.extend(event.prev_events().iter().chain(event.auth_events()).cloned());
        }
        load(from, room, &mut self.shelf, need, false).await?;
        let ids: Vec<&EventId> = events.iter().map(|event| event.id()).collect();
        self.gaps = graph::gaps_among(from, room.room_no, &ids).await?;
        self.early = graph::early_redactions(from, room.room_no, &ids).await?;
        Ok(())
    }

    /// What is known of an event that was planned.
    pub(in crate::services) fn known(&self, id: &EventId) -> Option<Known> {
        match self.shelf.look(id) {
            room::Lookup::Known(known) => Some(known),
            room::Lookup::Absent | room::Lookup::NotLoaded => None,
        }
    }

    /// Decides on an event, with what the store holds; nothing where that takes longer than others should
    /// wait for the writer.
    pub(in crate::services) async fn decide(
        &mut self,
        from: &mut impl Reads,
        room: &RoomRow,
        event: &Event,
        number: EventNo,
        mut arrival: room::Arrival,
    ) -> Result<Option<Outcome>, Error> {
        let decided = room.decided();
        arrival.is_named |= self.gaps.contains(event.id());
        let (events, rounds) = FEW;
        for round in 0..rounds {
            match room::admit(&decided, event, number, arrival, &self.shelf) {
                Ok(outcome) => return Ok(Some(outcome)),
                Err(Halt::Need(need)) => {
                    load(from, room, &mut self.shelf, need, round >= DEEP).await?;
                }
                Err(Halt::Failed(why)) => return Err(Error::BadJson(why)),
            }
            if self.shelf.len() > events {
                break;
            }
        }
        Ok(None)
    }
}

/// Finds out, while the writer does other things, where the branches of a room lead together that an event
/// would join. It is to be decided on by that number then, with which states name it.
pub(in crate::services) async fn join_beside(
    ground: &Ground,
    room: &RoomRow,
    event: &Event,
    number: EventNo,
    arrival: room::Arrival,
) -> Result<Vec<Joined>, Error> {
    let until = ground.clock.instant() + PATIENCE;
    let mut shelf = Shelf::new();
    let (events, rounds) = MANY;
    for round in 0..rounds {
        let (decided, event) = (room.decided(), event.clone());
        let look = move || (room::admit(&decided, &event, number, arrival, &shelf), shelf);
        let looked = tokio::task::spawn_blocking(look).await.map_err(Error::internal)?;
        shelf = looked.1;
        match looked.0 {
            Ok(_) => return Ok(shelf.into_joined()),
            Err(Halt::Need(need)) => {
                // One for each round, so that none is held for long.
                let mut snapshot = ground.store.snapshot().await?;
                load(&mut snapshot, room, &mut shelf, need, round >= DEEP).await?;
            }
            Err(Halt::Failed(why)) => return Err(Error::BadJson(why)),
        }
        if shelf.len() > events || ground.clock.instant() > until {
            break;
        }
    }
    Err(Error::BadJson("its branches hang together in more ways than are followed".to_owned()))
}

/// Puts on the shelf what was missed there.
async fn load(
    from: &mut impl Reads,
    room: &RoomRow,
    shelf: &mut Shelf,
    need: Need,
    deep: bool,
) -> Result<(), Error> {
    let mut wanted: Vec<_> = need.events.into_iter().collect();
    let mut loaded = 0;
    while !wanted.is_empty() {
        let found = events::by_ids(from, &wanted).await?;
        let mut cited = Vec::new();
        for stored in found {
            loaded += 1;
            wanted.retain(|id| *id != stored.event.id());
            if deep && loaded < DEEP_EVENTS {
                cited.extend(stored.event.auth_events().iter().cloned());
            }
            put(shelf, stored);
        }
        for id in wanted {
            shelf.absent(id);
        }
        cited.sort_unstable();
        cited.dedup();
        cited.retain(|id| matches!(shelf.look(id), room::Lookup::NotLoaded));
        wanted = cited;
    }
    let numbers: Vec<EventNo> = need.numbers.into_iter().collect();
    for stored in events::by_numbers(from, &numbers).await?.into_values() {
        put(shelf, stored);
    }
    let nodes: Vec<NodeId> = need.nodes.into_iter().collect();
    for (id, node) in state::nodes(from, &nodes).await? {
        shelf.put_node(id, node);
    }
    for (id, page) in need.citing {
        let numbers = graph::citing(from, room.room_no, &id, page).await?;
        shelf.put_citing(id, page, numbers);
    }
    Ok(())
}

pub(super) fn put(shelf: &mut Shelf, stored: StoredEvent) {
    let standing = standing(stored.verdict);
    let after = stored.roots.map(|roots| roots.state_after);
    shelf.put(Known { event: stored.event, number: stored.event_no, standing, after });
}

/// What was made of an event, in the words of decisions.
fn standing(verdict: Verdict) -> Standing {
    match verdict {
        Verdict::Accepted => Standing::Accepted,
        Verdict::SoftFailed => Standing::SoftFailed,
        Verdict::Rejected => Standing::Rejected,
    }
}
