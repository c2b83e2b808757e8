//! The decision on one event.

use std::{collections::HashSet, sync::Arc};

use ruma::{EventId, OwnedEventId};
use wayside_specs::limits;

use super::{Halt, Head, Known, Room, Shelf, Standing, forks, shelf::Desk};
use crate::{
    auth::{self, Refusal, Verdict, key_of},
    event::Event,
    state::{self, Difference, EventNo, Node, NodeId, StateKey},
    version::RoomVersion,
};

/// Rejected and soft-failed events through which the edges of one event are followed.
const FOLLOWED: usize = 1_000;

/// What is to be done about an event.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Nothing: it was decided before.
    Known,
    /// These events must be had from somebody first.
    Missing(Missing),
    /// This.
    Placed(Box<Placed>),
}

/// Events that an event names and that are not here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Among its `auth_events`.
    pub auth: Vec<OwnedEventId>,
    /// Among its `prev_events`, or there only as outliers.
    pub prev: Vec<OwnedEventId>,
}

/// Where an event stands, and the room after it.
#[derive(Clone, Debug)]
pub struct Placed {
    /// What the checks made of it.
    pub standing: Standing,
    /// Why it does not stand, or is not shown.
    pub refusal: Option<Refusal>,
    /// The state before it.
    pub before: NodeId,
    /// The state after it.
    pub after: NodeId,
    /// The heads of the room from now on.
    pub heads: Vec<Head>,
    /// The state of the room from now on.
    pub state: NodeId,
    /// How that differs from the state of before.
    pub changed: Vec<Difference>,
    /// Nodes of all these states that are to be stored before them.
    pub nodes: Vec<(NodeId, Arc<Node>)>,
    /// Those of its `prev_events` that are not here: the graph of the room has a gap there.
    pub gaps: Vec<OwnedEventId>,
}

/// How an event comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Whether an event of this room that was placed before names it: then it is no head.
    pub is_named: bool,
    /// Whether it was fetched as a part of what was before: then it changes nothing of now, and what is
    /// now does not judge it.
    pub is_past: bool,
    /// The state before it where its `prev_events` cannot be had and somebody has told that state; the
    /// events of that state must be here. Whoever tells it opens a branch by it, which is joined with what
    /// is here as any other.
    pub given: Option<NodeId>,
    /// Whether the policy server of the room does not recommend it: then it is not shown, whatever the
    /// rules say.
    pub is_discouraged: bool,
}

/// Decides on an event that was received and verified (server-server API, "Checks performed on
/// receipt of a PDU", 4 to 7), and what the room is like with it.
///
/// `number` is what the event will be called here: an outlier keeps the number that it has, for states
/// hold it already.
pub fn admit(
    room: &Room,
    event: &Event,
    number: EventNo,
    arrival: Arrival,
    shelf: &Shelf,
) -> Result<Outcome, Halt> {
    let desk = Desk::over(shelf);
    if event.room_id() != room.id {
        return Err(Halt::Failed("it is of another room".to_owned()));
    }
    if desk.event(event.id()).is_some_and(|known| known.after.is_some()) {
        return Ok(Outcome::Known);
    }
    let plan = auth::plan(room.version, event).map_err(|error| Halt::Failed(error.to_string()))?;
    let cited: Vec<(&OwnedEventId, Option<Known>)> =
        plan.auth.iter().map(|id| (id, desk.event(id))).collect();
    let prev: Vec<(&OwnedEventId, Option<NodeId>)> = event
        .prev_events()
        .iter()
        .map(|id| (id, desk.event(id).and_then(|known| known.after)))
        .collect();
    desk.all_there()?;
    let absent = |(id, there): (&OwnedEventId, bool)| (!there).then(|| id.clone());
    let gaps: Vec<_> = prev.iter().filter_map(|(id, it)| absent((id, it.is_some()))).collect();
    let missing = Missing {
        auth: cited.iter().filter_map(|(id, it)| absent((id, it.is_some()))).collect(),
        prev: if arrival.given.is_some() { Vec::new() } else { gaps.clone() },
    };
    if missing != Missing::default() {
        return Ok(Outcome::Missing(missing));
    }
    let before = match arrival.given {
        Some(state) => state,
        None => forks::join(room.version, &desk, prev.iter().filter_map(|(_, after)| *after))?,
    };
    let now = if arrival.is_past { before } else { room.state };
    let verdict = judge(room.version, event, &plan, (before, now), &desk)?;
    let (mut standing, mut refusal) = match verdict {
        Verdict::Accept if arrival.is_discouraged => {
            (Standing::SoftFailed, Some(Refusal::PolicyServer))
        }
        Verdict::Accept => (Standing::Accepted, None),
        Verdict::SoftFail(why) => (Standing::SoftFailed, Some(why)),
        Verdict::Reject(why) => (Standing::Rejected, Some(why)),
    };
    let after = match key_of(event).filter(|_| standing != Standing::Rejected) {
        Some(key) => forks::change(&desk, before, &[(key.hash(), Some(number))])?,
        None => before,
    };
    let event = event.with_rejected(standing == Standing::Rejected);
    let is_head = !arrival.is_named;
    let mut ends = if arrival.is_past {
        room.heads.clone()
    } else {
        heads(room, &event, standing, is_head, after, &desk)?
    };
    // Whoever joins branches lessens them, so that only those are refused who open ever more.
    if ends.len() > limits::FORWARD_EXTREMITIES.max(room.heads.len()) {
        (standing, refusal) = (Standing::SoftFailed, Some(Refusal::TooManyEnds));
        ends.clone_from(&room.heads);
    }
    let heads = ends;
    desk.place(Known { event, number, standing, after: Some(after) });
    let state = if heads == room.heads {
        room.state
    } else {
        forks::join(room.version, &desk, heads.iter().map(|head| head.after))?
    };
    let changed = desk.walked(state::diff(room.state, state, |id| desk.node(id)))?;
    let nodes = desk.made.take().into_iter().collect();
    Ok(Outcome::Placed(Box::new(Placed {
        standing,
        refusal,
        before,
        after,
        heads,
        state,
        changed,
        nodes,
        gaps,
    })))
}

/// Judges an event by the states before it and now.
fn judge(
    version: RoomVersion,
    event: &Event,
    plan: &auth::Plan,
    (before, now): (NodeId, NodeId),
    desk: &Desk<'_>,
) -> Result<Verdict, Halt> {
    let hashes: Vec<_> = plan.state.iter().map(StateKey::hash).collect();
    let read = |root: NodeId| -> Result<Vec<Option<Event>>, Halt> {
        let numbers = desk.walked(state::get(root, &hashes, |id| desk.node(id)))?;
        let event = |number: EventNo| desk.numbered(number).map(|known| known.event);
        Ok(numbers.into_iter().map(|number| number.and_then(event)).collect())
    };
    let (states, now) = (read(before)?, read(now)?);
    desk.all_there()?;
    let entry = |held: &[Option<Event>], key: &StateKey| {
        let at = plan.state.iter().position(|planned| planned == key)?;
        held[at].clone()
    };
    Ok(auth::admit(
        version,
        event,
        |id: &EventId| desk.event(id).map(|known| known.event),
        |key| entry(&states, key),
        |key| entry(&now, key),
    ))
}

/// The heads of the room after an event. Those that it names are none any more, and neither are those
/// that it names by way of events that are not shown.
fn heads(
    room: &Room,
    event: &Event,
    standing: Standing,
    is_head: bool,
    after: NodeId,
    desk: &Desk<'_>,
) -> Result<Vec<Head>, Halt> {
    if standing != Standing::Accepted {
        return Ok(room.heads.clone());
    }
    let mut covered: HashSet<OwnedEventId> = event.prev_events().iter().cloned().collect();
    let mut open: Vec<OwnedEventId> = covered.iter().cloned().collect();
    let mut followed = 0;
    while let Some(id) = open.pop() {
        let Some(known) = desk.event(&id) else { continue };
        if known.standing == Standing::Accepted || followed >= FOLLOWED {
            continue;
        }
        followed += 1;
        for id in known.event.prev_events() {
            if covered.insert(id.clone()) {
                open.push(id.clone());
            }
        }
    }
    desk.all_there()?;
    let mut heads: Vec<Head> =
        room.heads.iter().filter(|head| !covered.contains(&head.id)).cloned().collect();
    if is_head {
        heads.push(Head { id: event.id().to_owned(), depth: event.depth(), after });
    }
    Ok(heads)
}
