//! Where an event comes to stand, and what that does to the books of its room.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use ruma::{
    EventId, OwnedEventId, OwnedServerName, OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType},
};
use wayside_federation::{
    auth,
    event::Event,
    room::{self, Head, Outcome, Placed, Standing},
    state::{Difference, EventNo, Node, NodeId, StateKey},
};

use super::{
    super::{Error, Ground},
    append::{membership_of, needed},
    decisions::{Decisions, put},
    heads::JOINT,
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

/// Nodes of states by their names.
type Nodes = Vec<(NodeId, Arc<Node>)>;

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
        let arrival = room::Arrival::default();
        match Decisions::default().decide(tx, room, &event, number, arrival).await? {
            Some(Outcome::Placed(placed)) => allowed(*placed)?,
            Some(Outcome::Known | Outcome::Missing(_)) => {
                return Err(Error::internal(anyhow::anyhow!(
                    "an own event names what is not here"
                )));
            }
            None => {
                let why = "the room's history has too many branches to say anything there now";
                return Err(Error::Forbidden(why.to_owned()));
            }
        }
    };
    let is_told = *event.kind() != TimelineEventType::from(JOINT);
    settle(ground, tx, room, Arrival { event, number, is_outlier: false }, placed, is_told).await
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
        gaps: Vec::new(),
    })
}

impl Decisions {
    /// Writes down what was decided on an event, moves `room` on, and carries out what it asks for; the
    /// caller writes the room's row.
    pub(in crate::services) async fn settle(
        &mut self,
        ground: &Ground,
        tx: &mut Tx,
        room: &mut RoomRow,
        arrival: Arrival,
        placed: Placed,
        is_told: bool,
    ) -> Result<(), Error> {
        let (nodes, gaps) = (placed.nodes.clone(), placed.gaps.clone());
        let stored = settle(ground, tx, room, arrival, placed, is_told).await?;
        self.note(tx, room, stored, nodes, gaps).await
    }

    /// Writes down what was decided on an event of before, which stands at a position before all that
    /// is here.
    pub(in crate::services) async fn settle_past(
        &mut self,
        tx: &mut Tx,
        room: &RoomRow,
        arrival: Arrival,
        placed: Placed,
        position: i64,
    ) -> Result<(), Error> {
        let (verdict, shown) = verdict(&arrival.event, &placed);
        tx.put_nodes(&placed.nodes).await?;
        let Arrival { event, number, is_outlier } = arrival;
        let stored = StoredEvent {
            event,
            event_no: number,
            room_no: room.room_no,
            position: shown.then_some(position),
            verdict,
            roots: Some(Roots::in_line(placed.before, placed.after)),
            redacted_by: None,
        };
        write(tx, &stored, is_outlier, &placed.gaps).await?;
        self.note(tx, room, stored, placed.nodes, placed.gaps).await
    }

    /// Closes the gap in which an event was placed, and lets the next decision see it.
    async fn note(
        &mut self,
        tx: &mut Tx,
        room: &RoomRow,
        stored: StoredEvent,
        nodes: Nodes,
        gaps: Vec<OwnedEventId>,
    ) -> Result<(), Error> {
        if self.gaps.remove(stored.event.id()) {
            tx.close_gap(room.room_no, stored.event.id()).await?;
        }
        self.gaps.extend(gaps);
        if stored.verdict == Verdict::Accepted
            && let Some(target) = stored.event.redacts()
        {
            carry_out(tx, room, &stored, target).await?;
            self.early.entry(target.to_owned()).or_default().push(stored.event_no);
        }
        if let Some(numbers) = self.early.remove(stored.event.id()) {
            for redaction in events::by_numbers(tx, &numbers).await?.into_values() {
                carry_out(tx, room, &redaction, stored.event.id()).await?;
            }
            tx.forget_awaited(room.room_no, stored.event.id()).await?;
        }
        for (id, node) in nodes {
            self.shelf.put_node(id, node);
        }
        if stored.event.is_state() {
            self.shelf.forget_citing();
        }
        put(&mut self.shelf, stored);
        Ok(())
    }
}

/// An event that comes to stand.
pub(in crate::services) struct Arrival {
    /// The event.
    pub(in crate::services) event: Event,
    /// Its number here.
    pub(in crate::services) number: EventNo,
    /// Whether it was here before, and only not known where.
    pub(in crate::services) is_outlier: bool,
}

/// Writes down what was decided on an event, and moves `room` on. The caller writes the room's row when
/// it has placed all that it wants to. An event that `is_told` waits for the servers that are in the
/// room already: what is said here, and what others have handed to this node for them.
pub(in crate::services) async fn settle(
    ground: &Ground,
    tx: &mut Tx,
    room: &mut RoomRow,
    arrival: Arrival,
    placed: Placed,
    is_told: bool,
) -> Result<StoredEvent, Error> {
    let (verdict, shown) = verdict(&arrival.event, &placed);
    tx.put_nodes(&placed.nodes).await?;
    let roots = Roots {
        state_before: placed.before,
        state_after: placed.after,
        room_before: room.state_root,
        room_after: placed.state,
    };
    let Arrival { event, number, is_outlier } = arrival;
    let position = match placed.gaps.as_slice() {
        // People hear of it only now, whatever number states know it by.
        [] if is_outlier || number.0 < tx.last_number() => tx.next_number(),
        [] => number.0,
        _ => tx.next_number_behind(graph::PLACES),
    };
    let stored = StoredEvent {
        event,
        event_no: number,
        room_no: room.room_no,
        position: shown.then_some(position),
        verdict,
        roots: Some(roots),
        redacted_by: None,
    };
    let is_told = shown && is_told;
    if is_told && room.others > 0 {
        // Also those hear of it whose last person it leads out of the room, and those it lets in.
        tx.tell_servers(room.room_no, number, &ground.server_name).await?;
    }
    let turn = turn(ground, tx, room, Some(&stored), position, &placed.changed).await?;
    let is_own = ground.is_local(stored.event.sender());
    if is_told && is_own && !turn.members.is_empty() {
        if room.others > 0 {
            tx.tell_servers(room.room_no, number, &ground.server_name).await?;
        }
        if let Some(outside) = turned_away(ground, &stored.event) {
            tx.tell_server(outside.server_name(), room.room_no, number).await?;
        }
    }
    write(tx, &stored, is_outlier, &placed.gaps).await?;
    room.heads = placed.heads;
    room.state_root = placed.state;
    if turn.opened {
        note_openness(tx, room).await?;
    }
    if shown {
        room.last_position = position;
        tx.announce(Change::Event {
            room_no: room.room_no,
            room_id: room.room_id.clone(),
            position,
            members: turn.members,
            encrypts: turn.encrypts,
        });
    }
    Ok(stored)
}

/// Writes an event down, and what of that which it names is not here.
async fn write(
    tx: &mut Tx,
    stored: &StoredEvent,
    is_outlier: bool,
    gaps: &[OwnedEventId],
) -> Result<(), Error> {
    if is_outlier {
        tx.stand_event(stored).await?;
    } else {
        let one = std::slice::from_ref(stored);
        tx.add_events(one).await?;
        tx.note_cited(one).await?;
    }
    let position = stored.position.unwrap_or(stored.event_no.0);
    Ok(tx.open_gaps(stored.room_no, gaps, position).await?)
}

/// What was made of an event as it is stored, and whether it is shown.
fn verdict(event: &Event, placed: &Placed) -> (Verdict, bool) {
    match placed.standing {
        // One that only joins others is for nobody to see, unless it is by it that the state changes.
        Standing::Accepted => {
            let is_joint = *event.kind() == TimelineEventType::from(JOINT);
            (Verdict::Accepted, !is_joint || !placed.changed.is_empty())
        }
        Standing::SoftFailed => (Verdict::SoftFailed, false),
        Standing::Rejected => (Verdict::Rejected, false),
    }
}

/// Moves a room in which nobody of this node is towards the state that another server has told, by some
/// of its entries; their events are here. No event of the room stands there, so nobody hears of it.
pub(in crate::services) async fn shift(
    ground: &Ground,
    tx: &mut Tx,
    room: &mut RoomRow,
    part: &[Difference],
) -> Result<(), Error> {
    let changes: Vec<_> = part.iter().map(|it| (it.key, it.right)).collect();
    room.state_root = tx.change_state(room.state_root, &changes).await?;
    let position = tx.next_number();
    if turn(ground, tx, room, None, position, part).await?.opened {
        note_openness(tx, room).await?;
    }
    Ok(())
}

/// Moves somebody of this node by an event about them in a room that nobody of it is in: there is no
/// state that it could change. They hear of it.
pub(in crate::services) async fn move_outside(
    ground: &Ground,
    tx: &mut Tx,
    room: &mut RoomRow,
    event: Event,
) -> Result<(), Error> {
    let Some(user_id) = event.state_key().and_then(|key| UserId::parse(key).ok()) else {
        return Err(Error::BadJson("the event names nobody".to_owned()));
    };
    let number = if let Some(known) = events::by_id(tx, event.id()).await? {
        known.event_no
    } else {
        let numbers = add_outliers(tx, room.room_no, [event.clone()]).await?;
        let lost = || Error::internal(anyhow::anyhow!("an event was lost"));
        numbers.first().copied().ok_or_else(lost)?
    };
    let position = tx.next_number();
    let says = Says { membership: membership_of(&event), event_no: number };
    move_members(ground, tx, room, vec![(user_id.clone(), says)], position).await?;
    room.last_position = position;
    tx.announce(Change::Event {
        room_no: room.room_no,
        room_id: room.room_id.clone(),
        position,
        members: vec![user_id],
        encrypts: false,
    });
    Ok(())
}

/// Stores events that stand by what they cite, but of which it is not known where they stand in the
/// graph of their room; their numbers, in their order.
pub(in crate::services) async fn add_outliers(
    tx: &mut Tx,
    room_no: i64,
    events: impl IntoIterator<Item = Event>,
) -> Result<Vec<EventNo>, Error> {
    let mut outlier = |event| StoredEvent {
        event,
        event_no: EventNo(tx.next_number()),
        room_no,
        position: None,
        verdict: Verdict::Accepted,
        roots: None,
        redacted_by: None,
    };
    let stored: Vec<StoredEvent> = events.into_iter().map(&mut outlier).collect();
    tx.add_events(&stored).await?;
    tx.note_cited(&stored).await?;
    Ok(stored.into_iter().map(|it| it.event_no).collect())
}

/// Somebody of another server who waits at the door no more: their server has to hear of it, also where
/// nobody of it is in the room.
fn turned_away(ground: &Ground, event: &Event) -> Option<OwnedUserId> {
    let goes = *event.kind() == TimelineEventType::RoomMember
        && matches!(membership_of(event), Some(Membership::Leave | Membership::Ban));
    let whom = UserId::parse(event.state_key().filter(|_| goes)?).ok()?;
    (!ground.is_local(&whom)).then_some(whom)
}

/// Carries out what a redaction of another server asks for, where it may; it waits for what is not here.
async fn carry_out(
    tx: &mut Tx,
    room: &RoomRow,
    redaction: &StoredEvent,
    target: &EventId,
) -> Result<(), Error> {
    let Some(target) = events::by_id(tx, target).await? else {
        return Ok(tx.await_target(room.room_no, target, redaction.event_no).await?);
    };
    let is_whole = target.redacted_by.is_none()
        && target.room_no == room.room_no
        && *target.event.kind() != TimelineEventType::RoomCreate;
    if !is_whole {
        return Ok(());
    }
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

/// Writes a change of a room's state into what is asked about it. The change counts from `position` on;
/// the newest event, where it makes the change, is not in the store yet.
async fn turn(
    ground: &Ground,
    tx: &mut Tx,
    room: &mut RoomRow,
    newest: Option<&StoredEvent>,
    position: i64,
    changed: &[Difference],
) -> Result<Turn, Error> {
    let newest_no = newest.map(|it| it.event_no);
    let others = changed.iter().filter(|it| newest_no.is_none() || it.right != newest_no);
    let numbers: Vec<EventNo> = others.filter_map(|it| it.right.or(it.left)).collect();
    let mut held: HashMap<EventNo, StoredEvent> = events::by_numbers(tx, &numbers).await?;
    held.extend(newest.map(|it| (it.event_no, it.clone())));
    let (mut turn, mut entries, mut moves) = (Turn::default(), Vec::new(), Vec::new());
    for change in changed {
        let Some(holder) = change.right.or(change.left).and_then(|it| held.get(&it)) else {
            continue;
        };
        let event = &holder.event;
        let (kind, Some(key)) = (event.kind().to_string(), event.state_key()) else { continue };
        match change.right {
            Some(number) => entries.push((kind, key, number)),
            None => tx.unset_state(room.room_no, &kind, key).await?,
        }
        turn.opened |= matches!(
            event.kind(),
            TimelineEventType::RoomJoinRules | TimelineEventType::RoomHistoryVisibility
        );
        let moves_somebody = *event.kind() == TimelineEventType::RoomMember;
        turn.encrypts |= moves_somebody || *event.kind() == TimelineEventType::RoomEncryption;
        if let Some(user_id) = UserId::parse(key).ok().filter(|_| moves_somebody) {
            let membership = match change.right {
                Some(_) => membership_of(event),
                // Where the state says nothing of them they are out of the room.
                None => Some(Membership::Leave),
            };
            moves.push((user_id, Says { membership, event_no: holder.event_no }));
        }
    }
    tx.set_state(room.room_no, &entries).await?;
    turn.members = move_members(ground, tx, room, moves, position).await?;
    Ok(turn)
}

/// What a state says of somebody.
struct Says {
    /// How they stand to the room; nothing where the event says nothing that can be.
    membership: Option<Membership>,
    /// The event that says it.
    event_no: EventNo,
}

/// Moves people to where the state says that they are, each once; it counts from a position on. Those of
/// whom it says something.
async fn move_members(
    ground: &Ground,
    tx: &mut Tx,
    room: &mut RoomRow,
    moves: Vec<(OwnedUserId, Says)>,
    position: i64,
) -> Result<Vec<OwnedUserId>, Error> {
    let ids: Vec<&UserId> = moves.iter().map(|(user_id, _)| user_id.as_ref()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut before = rooms::memberships_among(tx, room.room_no, &ids).await?;
    let (mut rows, mut came) = (Vec::with_capacity(moves.len()), Vec::new());
    let mut servers: BTreeMap<OwnedServerName, i64> = BTreeMap::new();
    for (user_id, Says { membership, event_no }) in moves {
        let Some(membership) = membership else { continue };
        let before = before.remove(&user_id);
        let was = before.as_ref().map(|row| row.membership);
        let leaves = was == Some(Membership::Join) && membership != Membership::Join;
        let left = if leaves { Some(position) } else { before.and_then(|row| row.left) };
        let count = |wanted| i64::from(membership == wanted) - i64::from(was == Some(wanted));
        let joined = count(Membership::Join);
        room.joined += joined;
        room.invited += count(Membership::Invite);
        if joined != 0 {
            *servers.entry(user_id.server_name().to_owned()).or_default() += joined;
        }
        if joined > 0 {
            came.push(user_id.clone());
        }
        let (room_no, forgotten) = (room.room_no, false);
        rows.push(MemberRow { user_id, room_no, membership, event_no, position, left, forgotten });
    }
    for (server, more) in servers.into_iter().filter(|(_, more)| *more != 0) {
        let there = tx.count_server(room.room_no, &server, more).await?;
        if server != ground.server_name {
            room.others += i64::from(there > 0) - i64::from(there - more > 0);
        }
    }
    tx.set_memberships(&rows).await?;
    if room.others > 0 {
        for user_id in came.iter().filter(|it| ground.is_local(it)) {
            tx.tell_list_in(room.room_no, user_id).await?;
        }
    }
    tx.note_names(&came.iter().map(AsRef::as_ref).collect::<Vec<_>>()).await?;
    Ok(rows.into_iter().map(|row| row.user_id).collect())
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
