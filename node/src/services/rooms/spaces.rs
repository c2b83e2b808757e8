//! Rooms as they are shown to those outside: in sum, and as the tree below a space.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use ruma::{OwnedRoomId, OwnedServerName, RoomId, ServerName, UserId};
use serde_json::{Value, value::RawValue};
use wayside_identity::tag;

use super::{
    super::{
        Error,
        servers::{Object, Servers},
    },
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
    /// What is said of it.
    pub room: Shown,
    /// How the asker stands to it, where it is known who asks.
    pub standing: Option<Membership>,
}

/// What is said of a room.
#[derive(Debug)]
pub enum Shown {
    /// What this node's directory would say of it.
    Here(Box<Listed>),
    /// What another server says of it.
    Elsewhere(Object),
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
    /// What is said of it.
    pub room: Shown,
    /// The events that name the rooms below it.
    pub children: Vec<Box<RawValue>>,
}

/// How far down a tree is followed at most.
const DEPTH: usize = 20;
/// Rooms of a tree that are looked at for one page.
const LOOKED_AT: usize = 2_000;
/// Rooms that other servers are asked about for one page, and how long all of that may take.
const ASKS: usize = 20;
const ASKING: Duration = Duration::from_secs(20);
/// Rooms whose members may see another that are looked at, and servers that a child names.
const ALLOWED: usize = 100;
const VIA: usize = 10;
/// The longest `order` of a child that counts (client-server API, `m.space.child`).
const ORDER_BYTES: usize = 50;

impl Rooms {
    /// A room in sum, for somebody or for anybody; whoever may not see it learns nothing of it. Of a room
    /// that is not here, those servers are asked.
    pub async fn summary(
        &self,
        servers: &Servers,
        room_id: &RoomId,
        via: &[OwnedServerName],
        asker: Option<&UserId>,
    ) -> Result<Summary, Error> {
        let unknown = || Error::NotFound("there is no such room, or not for you".to_owned());
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = rooms::room(&mut snapshot, room_id).await?;
        if let Some(room) = room
            && (via.is_empty() || self.is_here(&mut snapshot, &room).await?)
        {
            let room_no = room.room_no;
            let listed = listed(&mut snapshot, room).await?;
            let standing = standing(&mut snapshot, room_no, asker).await?;
            if !is_shown(&mut snapshot, &listed, standing, asker).await? {
                return Err(unknown());
            }
            let standing = asker.map(|_| standing.unwrap_or(Membership::Leave));
            return Ok(Summary { room: Shown::Here(Box::new(listed)), standing });
        }
        drop(snapshot);
        // Nobody has this node call others without saying who they are.
        let asker = asker.ok_or_else(unknown)?;
        let told = servers.room_elsewhere(room_id, via).await.ok_or_else(unknown)?;
        let mut snapshot = self.ground.store.snapshot().await?;
        if !is_shown_elsewhere(&mut snapshot, &told.room, room_id, asker).await? {
            return Err(unknown());
        }
        let standing = match rooms::room(&mut snapshot, room_id).await? {
            Some(room) => standing(&mut snapshot, room.room_no, Some(asker)).await?,
            None => None,
        };
        let standing = Some(standing.unwrap_or(Membership::Leave));
        Ok(Summary { room: Shown::Elsewhere(told.room.clone()), standing })
    }

    /// Whether what this node knows of a room is kept up to date, because somebody here is in it.
    async fn is_here(&self, snapshot: &mut Snapshot, room: &RoomRow) -> Result<bool, Error> {
        Ok(rooms::has_server(snapshot, room.room_no, &self.ground.server_name).await?)
    }

    /// A page of the rooms below a space, each before those below it, in the order that their spaces
    /// give them (client-server API, `GET /hierarchy`). Of rooms that are not here, the servers are asked
    /// that their spaces name; a page may be shorter for that, and the next one goes on.
    pub async fn tree(
        &self,
        servers: &Servers,
        room_id: &RoomId,
        asker: &UserId,
        asked: &TreeAsked,
    ) -> Result<TreePage, Error> {
        let depth = asked.depth.min(DEPTH);
        let skipped = self.skipped(room_id, asker, asked)?;
        let outside = || Error::Forbidden(format!("you may not see the room {room_id}"));
        let until = self.ground.clock.instant() + ASKING;
        let mut walk = Walk { rooms: self, servers, asker, snapshot: None, asks: ASKS, until };
        let via = room_id.server_name().map(ToOwned::to_owned).into_iter().collect();
        let top = Child { room_id: room_id.to_owned(), via, json: None, room: None };
        let mut waiting: Vec<(Child, usize)> = vec![(top, 0)];
        let mut known: HashSet<OwnedRoomId> = HashSet::new();
        let (mut found, mut shown) = (Vec::new(), 0);
        while let Some((next, level)) = waiting.pop() {
            if known.len() >= LOOKED_AT {
                break;
            }
            if !known.insert(next.room_id.clone()) {
                continue;
            }
            let seen = walk.look(&next, asked.suggested_only).await?;
            let is_full = found.len() >= asked.limit;
            let Some((room, children)) = (match seen {
                Look::Seen(room, children) => Some((room, children)),
                Look::Hidden if level == 0 => return Err(outside()),
                Look::Hidden => continue,
                Look::Later => None,
            })
            .filter(|_| !is_full) else {
                let next = self.tree_token(room_id, asker, asked, shown.max(skipped));
                return Ok(TreePage { rooms: found, next: Some(next) });
            };
            shown += 1;
            if shown > skipped {
                let children = children.iter().filter_map(|child| child.json.clone()).collect();
                found.push(Branch { room, children });
            }
            if level < depth {
                waiting.extend(children.into_iter().rev().map(|child| (child, level + 1)));
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

/// A walk through a tree.
struct Walk<'w> {
    rooms: &'w Rooms,
    servers: &'w Servers,
    asker: &'w UserId,
    /// Given back while others are asked.
    snapshot: Option<Snapshot>,
    asks: usize,
    until: Instant,
}

/// What there is to see of a room.
enum Look {
    /// It, and the rooms below it.
    Seen(Shown, Vec<Child>),
    /// Nothing for the asker.
    Hidden,
    /// It is too much for one page to find out.
    Later,
}

impl Walk<'_> {
    async fn snapshot(&mut self) -> Result<&mut Snapshot, Error> {
        if self.snapshot.is_none() {
            self.snapshot = Some(self.rooms.ground.store.snapshot().await?);
        }
        self.snapshot.as_mut().ok_or_else(|| Error::internal(anyhow::anyhow!("no snapshot")))
    }

    async fn look(&mut self, at: &Child, suggested_only: bool) -> Result<Look, Error> {
        let (rooms, asker) = (self.rooms, self.asker);
        let own = &rooms.ground.server_name;
        let via: Vec<OwnedServerName> = at.via.iter().filter(|it| *it != own).cloned().collect();
        let snapshot = self.snapshot().await?;
        if let Some(room) = rooms::room(snapshot, &at.room_id).await?
            && (via.is_empty() || rooms.is_here(snapshot, &room).await?)
        {
            let listed = listed(snapshot, room.clone()).await?;
            let standing = standing(snapshot, room.room_no, Some(asker)).await?;
            if !is_shown(snapshot, &listed, standing, Some(asker)).await? {
                return Ok(Look::Hidden);
            }
            let children = children(snapshot, &room, suggested_only).await?;
            return Ok(Look::Seen(Shown::Here(Box::new(listed)), children));
        }
        // Whoever told of a room that is no space has told all.
        if let Some(room) = &at.room
            && room.get("room_type").is_none_or(|kind| kind != "m.space")
        {
            let shown = is_shown_elsewhere(snapshot, room, &at.room_id, asker).await?;
            let seen = || Look::Seen(Shown::Elsewhere(room.clone()), Vec::new());
            return Ok(if shown { seen() } else { Look::Hidden });
        }
        if via.is_empty() {
            return Ok(Look::Hidden);
        }
        if !self.servers.is_told(&at.room_id, &via) {
            if self.asks == 0 || rooms.ground.clock.instant() >= self.until {
                return Ok(Look::Later);
            }
            self.asks -= 1;
            self.snapshot = None;
        }
        let Some(told) = self.servers.room_elsewhere(&at.room_id, &via).await else {
            return Ok(Look::Hidden);
        };
        let snapshot = self.snapshot().await?;
        if !is_shown_elsewhere(snapshot, &told.room, &at.room_id, asker).await? {
            return Ok(Look::Hidden);
        }
        let below = told.children.iter().filter(|it| it.is_suggested || !suggested_only);
        let children = below.map(|it| Child {
            room_id: it.room_id.clone(),
            // Nobody is asked about what is known to be hidden.
            via: if told.inaccessible.contains(&it.room_id) { Vec::new() } else { it.via.clone() },
            json: Some(it.event.clone()),
            room: it.room.clone(),
        });
        Ok(Look::Seen(Shown::Elsewhere(told.room.clone()), children.collect()))
    }
}

/// Whether a room of which another server has told is shown to somebody here: the server has judged for
/// all people of this node, and this node judges for this one.
async fn is_shown_elsewhere(
    snapshot: &mut Snapshot,
    told: &Object,
    room_id: &RoomId,
    asker: &UserId,
) -> Result<bool, Error> {
    if let Some(room) = rooms::room(snapshot, room_id).await? {
        match standing(snapshot, room.room_no, Some(asker)).await? {
            Some(Membership::Join | Membership::Invite) => return Ok(true),
            Some(Membership::Ban) => return Ok(false),
            Some(Membership::Knock | Membership::Leave) | None => {}
        }
    }
    if told.get("world_readable") == Some(&Value::Bool(true)) {
        return Ok(true);
    }
    match told.get("join_rule").and_then(Value::as_str) {
        None | Some("public" | "knock" | "knock_restricted") => Ok(true),
        Some("restricted") => {
            let allowed = told.get("allowed_room_ids").and_then(Value::as_array);
            let allowed = allowed.into_iter().flatten().take(ALLOWED).filter_map(Value::as_str);
            let allowed: Vec<OwnedRoomId> =
                allowed.filter_map(|id| RoomId::parse(id).ok()).collect();
            is_in_one_of(snapshot, &allowed, asker).await
        }
        Some(_) => Ok(false),
    }
}

async fn is_in_one_of(
    snapshot: &mut Snapshot,
    allowed: &[OwnedRoomId],
    asker: &UserId,
) -> Result<bool, Error> {
    for allowed in allowed {
        let Some(other) = rooms::room(snapshot, allowed).await? else { continue };
        let row = rooms::membership(snapshot, other.room_no, asker).await?;
        if row.is_some_and(|row| row.membership == Membership::Join) {
            return Ok(true);
        }
    }
    Ok(false)
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
        (Some("restricted"), Some(asker)) => is_in_one_of(snapshot, &listed.allowed, asker).await,
        _ => Ok(false),
    }
}

/// A room that a space names.
pub(in crate::services) struct Child {
    /// The room.
    pub(in crate::services) room_id: OwnedRoomId,
    /// Servers that know it, as the space says.
    via: Vec<OwnedServerName>,
    /// The event that names it, but for the top of a tree.
    pub(in crate::services) json: Option<Box<RawValue>>,
    /// It in sum, where the server has told that has told of the space.
    room: Option<Object>,
}

/// The rooms that a space names, in its order; none for a room that is no space.
pub(in crate::services) async fn children(
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
    let via = content["via"].as_array().filter(|via| !via.is_empty())?;
    let via = via.iter().filter_map(|name| ServerName::parse(name.as_str()?).ok());
    let via: Vec<OwnedServerName> = via.take(VIA).collect();
    if suggested_only && content["suggested"] != true {
        return None;
    }
    let is_order = |order: &&str| {
        order.len() <= ORDER_BYTES && order.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
    };
    let order = content["order"].as_str().filter(is_order);
    let place =
        (order.is_none(), order.unwrap_or_default().to_owned(), stored.sent_ms(), room_id.clone());
    let json = Some(format::stripped_child(&stored.event));
    Some((place, Child { room_id, via, json, room: None }))
}
