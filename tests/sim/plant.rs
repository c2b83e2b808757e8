//! Bugs that are planted between the core and a node's memory, to prove that the simulator finds such.

use std::collections::HashSet;

use ruma::OwnedEventId;
use wayside_federation::{
    event::Event,
    room::{Head, Known, Placed, Room, Standing},
    state::NodeId,
    version::RoomVersion,
};

/// What a planted node does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// It takes rejected events for accepted ones.
    SkippedAuthCheck,
    /// It forgets all `prev_events` of an event but the first.
    LostEdge,
    /// It orders events of equal power by their clocks the other way round.
    WrongTieBreak,
    /// It takes soft-failed events for accepted ones.
    DroppedSoftFail,
    /// It numbers its transactions, and begins anew after a crash.
    ReusedTransactionId,
    /// It takes any node's word for the state before an event.
    BelievedAlone,
}

impl Plant {
    /// An event as it is handed to the core.
    pub(crate) fn shelved(self, version: RoomVersion, known: Known) -> Known {
        if self != Self::WrongTieBreak {
            return known;
        }
        let mut json: serde_json::Value = serde_json::from_str(known.event.json()).unwrap();
        let ts = json["origin_server_ts"].as_u64().unwrap();
        json["origin_server_ts"] = (9_000_000_000_000_u64.saturating_sub(ts)).into();
        let (id, rejected) = (known.event.id().to_owned(), known.event.rejected());
        let event = Event::from_stored(version, id, &json.to_string(), rejected).unwrap();
        Known { event, ..known }
    }

    /// The state before an event, where the node does not leave that to the core.
    pub(crate) fn before(self, prev: &[Option<NodeId>]) -> Option<NodeId> {
        let all_there = prev.iter().all(Option::is_some);
        prev.first().copied().flatten().filter(|_| self == Self::LostEdge && all_there)
    }

    /// Whether the node takes this for an accepted event.
    pub(crate) fn overrules(self, standing: Standing) -> bool {
        match self {
            Self::SkippedAuthCheck => standing == Standing::Rejected,
            Self::DroppedSoftFail => standing == Standing::SoftFailed,
            Self::LostEdge
            | Self::WrongTieBreak
            | Self::ReusedTransactionId
            | Self::BelievedAlone => false,
        }
    }

    /// Makes an accepted event of one that is not; `after` is the state with it.
    pub(crate) fn accept(room: &Room, event: &Event, after: NodeId, placed: &mut Placed) {
        let covered: HashSet<&OwnedEventId> = event.prev_events().iter().collect();
        placed.standing = Standing::Accepted;
        placed.after = after;
        placed.heads = room.heads.iter().filter(|it| !covered.contains(&it.id)).cloned().collect();
        placed.heads.push(Head { id: event.id().to_owned(), depth: event.depth(), after });
        if placed.heads.len() == 1 {
            placed.state = after;
        }
    }
}
