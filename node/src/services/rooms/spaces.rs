//! Rooms as they are shown to those outside: in sum, and as the tree below a space.

use std::collections::HashSet;

use ruma::{OwnedRoomId, RoomId, UserId};
use serde_json::{Value, value::RawValue};
use wayside_identity::tag;

use super::{
    super::Error,
    Rooms,
    directory::{Listed, listed},
    format,
};
use crate::store::{
    Snapshot,
    events::{self, StoredEvent},
    rooms::{self, Membership, RoomRow, StateOf},
};

/// A room in sum.
#[derive(Debug)]
pub struct Summary {
    /// What the directory would say of it.
    pub listed: Listed,
    /// How the asker stands to it, where it is known who asks.
    pub standing: Option<Membership>,
}

/// Which part of the tree below a space is asked for.
#[derive(Clone, Debug, Default)]
pub struct TreeAsked {
    /// Only rooms that their space suggests.
    pub suggested_only: bool,
    /// How far down.
    pub depth: usize,
    /// At most so many rooms.
    pub limit: usize,
    /// The token of the page before.
    pub from: Option<String>,
}

/// A page of the tree.
#[derive(Debug)]
pub struct TreePage {
    /// The rooms, each before those below it.
    pub rooms: Vec<Branch>,
    /// The token of the next page, if there is one.
    pub next: Option<String>,
}

/// A room of the tree.
#[derive(Debug)]
pub struct Branch {
    /// What the directory would say of it.
    pub listed: Listed,
    /// The events that name the rooms below it.
    pub children: Vec<Box<RawValue>>,
}

/// How far down a tree is followed at most.
const DEPTH: usize = 20;
/// Rooms of a tree that are looked at for one page.
const LOOKED_AT: usize = 2_000;
/// The longest `order` of a child that counts (client-server API, `m.space.child`).
const ORDER_BYTES: usize = 50;

impl Rooms {
    /// A room in sum, for somebody or for anybody; whoever may not see it learns nothing of it.
    pub async fn summary(
        &self,
        room_id: &RoomId,
        asker: Option<&UserId>,
    ) -> Result<Summary, Error> {
        let unknown = || Error::NotFound("there is no such room, or not for you".to_owned());
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = rooms::room(&mut snapshot, room_id).await?.ok_or_else(unknown)?;
        let room_no = room.room_no;
        let listed = listed(&mut snapshot, room).await?;
        let standing = standing(&mut snapshot, room_no, asker).await?;
        if !is_shown(&mut snapshot, &listed, standing, asker).await? {
            return Err(unknown());
        }
        let standing = asker.map(|_| standing.unwrap_or(Membership::Leave));
        Ok(Summary { listed, standing })
    }

    /// A page of the rooms below a space, each before those below it, in the order that their spaces
    /// give them (client-server API, `GET /hierarchy`).
    pub async fn tree(
        &self,
        room_id: &RoomId,
        asker: &UserId,
        asked: &TreeAsked,
    ) -> Result<TreePage, Error> {
        let depth = asked.depth.min(DEPTH);
        let skipped = self.skipped(room_id, asker, asked)?;
        let outside = || Error::Forbidden(format!("you may not see the room {room_id}"));
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut waiting: Vec<(OwnedRoomId, usize)> = vec![(room_id.to_owned(), 0)];
        let mut known: HashSet<OwnedRoomId> = HashSet::new();
        let (mut found, mut shown) = (Vec::new(), 0);
        while let Some((id, level)) = waiting.pop() {
            if known.len() >= LOOKED_AT {
                break;
            }
            if !known.insert(id.clone()) {
                continue;
            }
            let Some((listed, room)) = below(&mut snapshot, &id, asker).await? else {
                if level == 0 {
                    return Err(outside());
                }
                continue;
            };
            if found.len() >= asked.limit {
                let next = self.tree_token(room_id, asker, asked, shown);
                return Ok(TreePage { rooms: found, next: Some(next) });
            }
            let children = children(&mut snapshot, &room, asked.suggested_only).await?;
            if level < depth {
                let below = children.iter().rev().map(|child| (child.room_id.clone(), level + 1));
                waiting.extend(below);
            }
            shown += 1;
            if shown > skipped {
                let children = children.into_iter().map(|child| child.json).collect();
                found.push(Branch { listed, children });
            }
        }
        Ok(TreePage { rooms: found, next: None })
    }

    /// How many rooms the pages before have shown: a token is good for the same question only.
    fn skipped(&self, room_id: &RoomId, asker: &UserId, asked: &TreeAsked) -> Result<usize, Error> {
        let Some(text) = asked.from.as_deref() else { return Ok(0) };
        let shown = text.strip_prefix('h').and_then(|rest| rest.split_once('_'));
        let shown = shown.and_then(|(shown, _)| shown.parse().ok());
        shown.filter(|shown| self.tree_token(room_id, asker, asked, *shown) == text).ok_or_else(|| {
            let why = "from is no token of this node, or of another question: suggested_only and \
                       max_depth stay the same from page to page";
            Error::Invalid(why.to_owned())
        })
    }

    fn tree_token(
        &self,
        room_id: &RoomId,
        asker: &UserId,
        asked: &TreeAsked,
        shown: usize,
    ) -> String {
        let depth = asked.depth.min(DEPTH);
        let place = format!("{} {depth} {shown}", asked.suggested_only);
        let parts = [b"tree", room_id.as_bytes(), asker.as_bytes(), place.as_bytes()];
        format!("h{shown}_{}", hex::encode(tag::tag(&self.ground.token_key, &parts)))
    }
}

async fn standing(
    snapshot: &mut Snapshot,
    room_no: i64,
    asker: Option<&UserId>,
) -> Result<Option<Membership>, Error> {
    let Some(asker) = asker else { return Ok(None) };
    Ok(rooms::membership(snapshot, room_no, asker).await?.map(|row| row.membership))
}

/// A room of a tree, if the asker may be shown it.
async fn below(
    snapshot: &mut Snapshot,
    room_id: &RoomId,
    asker: &UserId,
) -> Result<Option<(Listed, RoomRow)>, Error> {
    let Some(room) = rooms::room(snapshot, room_id).await? else { return Ok(None) };
    let listed = listed(snapshot, room.clone()).await?;
    let standing = standing(snapshot, room.room_no, Some(asker)).await?;
    let shown = is_shown(snapshot, &listed, standing, Some(asker)).await?;
    Ok(shown.then_some((listed, room)))
}

/// Whether a room is shown to somebody who perhaps is outside: they are in it, could come, or could
/// read it (client-server API, `GET /hierarchy`).
async fn is_shown(
    snapshot: &mut Snapshot,
    listed: &Listed,
    standing: Option<Membership>,
    asker: Option<&UserId>,
) -> Result<bool, Error> {
    if listed.world_readable {
        return Ok(true);
    }
    match standing {
        Some(Membership::Join | Membership::Invite) => return Ok(true),
        Some(Membership::Ban) => return Ok(false),
        Some(Membership::Knock | Membership::Leave) | None => {}
    }
    match (listed.join_rule.as_deref(), asker) {
        (Some("public" | "knock" | "knock_restricted"), _) => Ok(true),
        (Some("restricted"), Some(asker)) => {
            for allowed in &listed.allowed {
                let Some(other) = rooms::room(snapshot, allowed).await? else { continue };
                let row = rooms::membership(snapshot, other.room_no, asker).await?;
                if row.is_some_and(|row| row.membership == Membership::Join) {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Ok(false),
    }
}

/// A room that a space names.
struct Child {
    room_id: OwnedRoomId,
    json: Box<RawValue>,
}

/// The rooms that a space names, in its order; none for a room that is no space.
async fn children(
    snapshot: &mut Snapshot,
    room: &RoomRow,
    suggested_only: bool,
) -> Result<Vec<Child>, Error> {
    if room.kind.as_deref() != Some("m.space") {
        return Ok(Vec::new());
    }
    let numbers =
        rooms::state_events(snapshot, room.room_no, StateOf::Kind("m.space.child")).await?;
    let found = events::by_numbers(snapshot, &numbers).await?.into_values();
    let mut children: Vec<_> = found.filter_map(|it| child(&it, suggested_only)).collect();
    children.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(children.into_iter().map(|(_, child)| child).collect())
}

/// Where a child stands among the others: those with an order first, then by age, then by id.
type Place = (bool, String, i64, OwnedRoomId);

fn child(stored: &StoredEvent, suggested_only: bool) -> Option<(Place, Child)> {
    let room_id = RoomId::parse(stored.event.state_key()?).ok()?;
    let content: Value = serde_json::from_str(stored.event.content().get()).ok()?;
    let leads = content["via"].as_array().is_some_and(|via| !via.is_empty());
    if !leads || (suggested_only && content["suggested"] != true) {
        return None;
    }
    let is_order = |order: &&str| {
        order.len() <= ORDER_BYTES && order.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
    };
    let order = content["order"].as_str().filter(is_order);
    let place =
        (order.is_none(), order.unwrap_or_default().to_owned(), stored.sent_ms(), room_id.clone());
    Some((place, Child { room_id, json: format::stripped_child(&stored.event) }))
}
