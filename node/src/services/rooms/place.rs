//! Where an event comes to stand, and what that does to the books of its room.

use std::collections::HashMap;

use ruma::{
    OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType},
};
use wayside_federation::{
    auth,
    event::Event,
    room::{self, Halt, Head, Known, Need, Outcome, Placed, Shelf, Standing},
    state::{Difference, EventNo, NodeId, StateKey},
};

use super::{
    super::{Error, Ground},
    append::{membership_of, needed},
    membership::text_of,
};
use crate::store::{
    Tx,
    bus::Change,
    events::{self, Roots, StoredEvent, Verdict},
    graph,
    rooms::{self, MemberRow, Membership, RoomRow},
    state,
};

/// Rounds of loading after which a decision is given up: it would be somebody's attack.
const ROUNDS: usize = 2_000;
/// From this round on, events are loaded with what they cite: branches are being joined.
const DEEP: usize = 3;
/// Events that are loaded in this way at once.
const DEEP_EVENTS: usize = 2_000;

/// Stores an event of this node as its room's newest.
pub(super) async fn place(
    ground: &Ground,
    tx: &mut Tx,
    room: &mut RoomRow,
    event: Event,
) -> Result<StoredEvent, Error> {
    let number = EventNo(tx.next_number());
    let placed = if room.heads.iter().all(|head| event.prev_events().contains(&head.id)) {
        at_the_end(tx, room, &event, number).await?
    } else {
        match decide(tx, room, &event, number, false, None).await? {
            Outcome::Placed(placed) => allowed(*placed)?,
            Outcome::Known | Outcome::Missing(_) => {
                return Err(Error::internal(anyhow::anyhow!(
                    "an own event names what is not here"
                )));
            }
        }
    };
    settle(ground, tx, room, event, number, placed, false).await
}

/// Whoever says something is told where it does not stand: an event that names only some of many heads
/// stands before another state than the room's.
fn allowed(placed: Placed) -> Result<Placed, Error> {
    match placed.refusal {
        Some(why) => Err(why.into()),
        None => Ok(placed),
    }
}

/// The decision on an event that names all heads and was checked against the room's state.
async fn at_the_end(
    tx: &mut Tx,
    room: &RoomRow,
    event: &Event,
    number: EventNo,
) -> Result<Placed, Error> {
    let before = room.state_root;
    let (mut after, mut changed) = (before, Vec::new());
    if let Some(key) = event.state_key() {
        let key = StateKey::new(event.kind().to_string().into(), key).hash();
        let left = state::at(tx, before, key).await?;
        after = tx.change_state(before, &[(key, Some(number))]).await?;
        changed.push(Difference { key, left, right: Some(number) });
    }
    let head = Head { id: event.id().to_owned(), depth: event.depth(), after };
    Ok(Placed {
        standing: Standing::Accepted,
        refusal: None,
        before,
        after,
        heads: vec![head],
        state: after,
        changed,
        nodes: Vec::new(),
    })
}

/// Decides on an event, with what the store holds.
pub(in crate::services) async fn decide(
    tx: &mut Tx,
    room: &RoomRow,
    event: &Event,
    number: EventNo,
    named: bool,
    given: Option<NodeId>,
) -> Result<Outcome, Error> {
    let decided = room.decided();
    let mut shelf = Shelf::new();
    for round in 0..ROUNDS {
        match room::admit(&decided, event, number, named, given, &shelf) {
            Ok(outcome) => return Ok(outcome),
            Err(Halt::Need(need)) => load(tx, room, &mut shelf, need, round >= DEEP).await?,
            Err(Halt::Failed(why)) => return Err(Error::BadJson(why)),
        }
    }
    Err(Error::BadJson("its branches hang together in more ways than are followed".to_owned()))
}

/// Puts on the shelf what was missed there.
async fn load(
    tx: &mut Tx,
    room: &RoomRow,
    shelf: &mut Shelf,
    need: Need,
    deep: bool,
) -> Result<(), Error> {
    let mut wanted: Vec<_> = need.events.into_iter().collect();
    let mut loaded = 0;
    while !wanted.is_empty() {
        let found = events::by_ids(tx, &wanted).await?;
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
    for stored in events::by_numbers(tx, &numbers).await?.into_values() {
        put(shelf, stored);
    }
    let nodes: Vec<NodeId> = need.nodes.into_iter().collect();
    for (id, node) in state::nodes(tx, &nodes).await? {
        shelf.put_node(id, node);
    }
    for (id, page) in need.citing {
        let numbers = graph::citing(tx, room.room_no, &id, page).await?;
        shelf.put_citing(id, page, numbers);
    }
    Ok(())
}

fn put(shelf: &mut Shelf, stored: StoredEvent) {
    let standing = standing(stored.verdict);
    let after = stored.roots.map(|roots| roots.state_after);
    shelf.put(Known { event: stored.event, number: stored.event_no, standing, after });
}

/// Writes down what was decided on an event, and moves `room` on. The caller writes the room's row when
/// it has placed all that it wants to. An event of another server that is `passed_on` is told to those
/// that are in the room already, as this node's own are.
pub(in crate::services) async fn settle(
    ground: &Ground,
    tx: &mut Tx,
    room: &mut RoomRow,
    event: Event,
    number: EventNo,
    placed: Placed,
    passed_on: bool,
) -> Result<StoredEvent, Error> {
    let (verdict, shown) = match placed.standing {
        Standing::Accepted => (Verdict::Accepted, true),
        Standing::SoftFailed => (Verdict::SoftFailed, false),
        Standing::Rejected => (Verdict::Rejected, false),
    };
    tx.put_nodes(&placed.nodes).await?;
    let roots = Roots {
        state_before: placed.before,
        state_after: placed.after,
        room_before: room.state_root,
        room_after: placed.state,
    };
    let stored = StoredEvent {
        event,
        event_no: number,
        room_no: room.room_no,
        position: shown.then_some(number.0),
        verdict,
        roots: Some(roots),
        redacted_by: None,
    };
    let own = shown && ground.is_local(stored.event.sender());
    if (own || (shown && passed_on)) && room.others > 0 {
        // Also those hear of it whose last person it leads out of the room, and those it lets in.
        tx.tell_servers(room.room_no, number, &ground.server_name).await?;
    }
    let turn = turn(ground, tx, room, &stored, &placed.changed).await?;
    if own && !turn.members.is_empty() && room.others > 0 {
        tx.tell_servers(room.room_no, number, &ground.server_name).await?;
    }
    tx.add_event(&stored).await?;
    tx.note_cited(&stored).await?;
    room.heads = placed.heads;
    room.state_root = placed.state;
    if turn.opened {
        note_openness(tx, room).await?;
    }
    if shown {
        room.last_position = number.0;
        tx.announce(Change::Event {
            room_no: room.room_no,
            room_id: room.room_id.clone(),
            position: number.0,
            members: turn.members,
            encrypts: turn.encrypts,
        });
    }
    Ok(stored)
}

/// Carries out what a redaction of another server asks for, where it may and the event is here.
pub(in crate::services) async fn carry_out(
    tx: &mut Tx,
    room: &RoomRow,
    redaction: &StoredEvent,
) -> Result<(), Error> {
    let Some(target) = redaction.event.redacts() else { return Ok(()) };
    let target = events::by_id(tx, target).await?.filter(|it| it.room_no == room.room_no);
    let is_whole = |it: &StoredEvent| {
        it.redacted_by.is_none() && *it.event.kind() != TimelineEventType::RoomCreate
    };
    let Some(target) = target.filter(is_whole) else { return Ok(()) };
    let create = StateKey::new(StateEventType::RoomCreate, "");
    let levels = StateKey::new(StateEventType::RoomPowerLevels, "");
    let held = needed(tx, room, vec![create, levels]).await?;
    let state = |key: &StateKey| held.get(key).map(|it| it.event.clone());
    if !auth::may_redact(room.version, &redaction.event, &target.event, state) {
        return Ok(());
    }
    let redacted = target.event.redact(room.version)?;
    Ok(tx.redact_event(&redacted, redaction.event.id()).await?)
}

/// What was made of an event, in the words of decisions.
pub(in crate::services) fn standing(verdict: Verdict) -> Standing {
    match verdict {
        Verdict::Accepted => Standing::Accepted,
        Verdict::SoftFailed => Standing::SoftFailed,
        Verdict::Rejected => Standing::Rejected,
    }
}

/// What a change of a room's state means beside it.
#[derive(Default)]
struct Turn {
    /// Those whose membership changed.
    members: Vec<OwnedUserId>,
    /// Whether it may have changed who encrypts for whom.
    encrypts: bool,
    /// Whether it may have changed who may come in or read.
    opened: bool,
}

/// Writes a change of a room's state into what is asked about it.
async fn turn(
    ground: &Ground,
    tx: &mut Tx,
    room: &mut RoomRow,
    stored: &StoredEvent,
    changed: &[Difference],
) -> Result<Turn, Error> {
    let others = changed.iter().filter(|it| it.right != Some(stored.event_no));
    let numbers: Vec<EventNo> = others.filter_map(|it| it.right.or(it.left)).collect();
    let mut held: HashMap<EventNo, StoredEvent> = events::by_numbers(tx, &numbers).await?;
    held.insert(stored.event_no, stored.clone());
    let mut turn = Turn::default();
    for change in changed {
        let Some(holder) = change.right.or(change.left).and_then(|it| held.get(&it)) else {
            continue;
        };
        let event = &holder.event;
        let (kind, Some(key)) = (event.kind().to_string(), event.state_key()) else { continue };
        match change.right {
            Some(number) => tx.set_state(room.room_no, &kind, key, number).await?,
            None => tx.unset_state(room.room_no, &kind, key).await?,
        }
        turn.opened |= matches!(
            event.kind(),
            TimelineEventType::RoomJoinRules | TimelineEventType::RoomHistoryVisibility
        );
        let moves = *event.kind() == TimelineEventType::RoomMember;
        turn.encrypts |= moves || *event.kind() == TimelineEventType::RoomEncryption;
        if moves {
            let says = change.right.map(|_| event);
            let (user_id, places) = (UserId::parse(key), (holder.event_no, stored.event_no.0));
            let Ok(user_id) = user_id else { continue };
            if move_member(ground, tx, room, &user_id, says, places).await? {
                turn.members.push(user_id);
            }
        }
    }
    Ok(turn)
}

/// Moves somebody to where the state says that they are: out of the room where it says nothing. What it
/// says stands in one event, and counts from a position on; whether it says anything.
async fn move_member(
    ground: &Ground,
    tx: &mut Tx,
    room: &mut RoomRow,
    user_id: &UserId,
    says: Option<&Event>,
    (event_no, position): (EventNo, i64),
) -> Result<bool, Error> {
    let membership = match says {
        Some(event) => membership_of(event),
        None => Some(Membership::Leave),
    };
    let Some(membership) = membership else { return Ok(false) };
    let before = rooms::membership(tx, room.room_no, user_id).await?;
    let was = before.as_ref().map(|row| row.membership);
    let leaves = was == Some(Membership::Join) && membership != Membership::Join;
    let left = if leaves { Some(position) } else { before.and_then(|row| row.left) };
    let count = |wanted| i64::from(membership == wanted) - i64::from(was == Some(wanted));
    let joined = count(Membership::Join);
    room.joined += joined;
    room.invited += count(Membership::Invite);
    if joined != 0 {
        let there = tx.count_server(room.room_no, user_id.server_name(), joined).await?;
        let is_first = joined > 0 && there == joined;
        if !ground.is_local(user_id) && (is_first || there == 0) {
            room.others += joined;
        }
    }
    tx.set_membership(&MemberRow {
        user_id: user_id.to_owned(),
        room_no: room.room_no,
        membership,
        event_no,
        position,
        left,
        forgotten: false,
    })
    .await?;
    if joined > 0 {
        tx.note_name(user_id).await?;
    }
    Ok(true)
}

/// Notes whether anybody may come into a room or read it, as its state says now.
pub(super) async fn note_openness(tx: &mut Tx, room: &RoomRow) -> Result<(), Error> {
    let rule = StateKey::new(StateEventType::RoomJoinRules, "");
    let sight = StateKey::new(StateEventType::RoomHistoryVisibility, "");
    let held = needed(tx, room, vec![rule.clone(), sight.clone()]).await?;
    let says = |key: &StateKey, field: &str, word: &str| {
        let said = held.get(key).and_then(|it| text_of(it.event.content(), field));
        said.as_deref() == Some(word)
    };
    let open =
        says(&rule, "join_rule", "public") || says(&sight, "history_visibility", "world_readable");
    Ok(tx.open_room(room.room_no, open).await?)
}
