//! Rooms that are shared with other servers: what they send, what is sent to them, who comes in.
//!
//! What others say of a room passes [`Federation::receive`] and `intake`: received and verified; `admit`
//! has it decided on by the pure federation crate, and written down by `rooms`. What is said here waits
//! in the store until each server has answered for it ([`send`], `catch_up`); what is of the moment waits
//! in memory (`moments`).

mod admit;
mod bridge;
mod catch_up;
mod edus;
mod enter;
mod found;
mod history;
mod intake;
mod invite;
mod join;
mod moments;
mod past;
mod policy;
mod refusals;
mod seek;
mod send;
mod spaces;
mod third_party;
mod verify;
mod workers;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use quick_cache::sync::Cache;
use ruma::{OwnedRoomId, OwnedServerName, RoomId, ServerName, events::StateEventType};
use tokio::sync::{Notify, Semaphore};
use wayside_federation::{acl::ServerAcl, moments::Moments, policy::Policy, state::StateKey};
use wayside_specs::limits;

pub use self::{
    history::{Missed, StateAt},
    intake::Told,
    invite::Invitation,
    join::{Joined, Wish},
    past::Past,
    spaces::Hierarchy,
    third_party::{Addressed, Bound, Exchange},
};
use super::{
    Error, Ground,
    encryption::Encryption,
    identity_servers::IdentityServers,
    live::Live,
    rooms::{Rooms, admits},
    servers::Servers,
};
use crate::store::{
    Reads, Tx, outgoing,
    rooms::{self, RoomRow},
};

/// Servers whose transactions wait for their turn that are remembered.
const TURNS: usize = 10_000;
/// Rooms elsewhere whose doors are remembered.
const DOORS: usize = 1_000;

/// The service of shared rooms.
pub struct Federation {
    ground: Arc<Ground>,
    rooms: Arc<Rooms>,
    servers: Arc<Servers>,
    identity_servers: Arc<IdentityServers>,
    encryption: Arc<Encryption>,
    live: Arc<Live>,
    /// What of the moment is to be told to each server.
    moments: Mutex<HashMap<OwnedServerName, Moments>>,
    /// Rung when there is something new among it.
    moved: Notify,
    /// Where people of this node stand who come into rooms elsewhere.
    doors: Cache<OwnedRoomId, Arc<Door>>,
    /// The transactions of one server are taken in one after the other.
    turns: Cache<OwnedServerName, Arc<Turns>>,
    /// Whoever has it joins large branches of a room.
    joining: Semaphore,
    /// Whoever has it hears of an address that was bound.
    telling: Semaphore,
    /// People look back in a room one after the other.
    looking: Cache<OwnedRoomId, Arc<past::Looking>>,
}

/// Where people of this node come into one room elsewhere.
struct Door {
    /// Those who ask to be let in: whoever comes behind them finds the room here. More than one, for the
    /// servers that one of them names may take their time, and are not those that another names.
    asking: Semaphore,
    /// What the room is like is written down by one of them.
    writing: tokio::sync::Mutex<()>,
}

/// People who ask at the same time to be let into one room: each of them may be told all of it.
const ASKING: usize = 2;

impl Default for Door {
    fn default() -> Self {
        Self { asking: Semaphore::new(ASKING), writing: tokio::sync::Mutex::default() }
    }
}

/// Transactions of one server that are under way.
struct Turns {
    /// Whoever has it takes one in.
    turn: tokio::sync::Mutex<intake::Course>,
    /// Those that may wait for it.
    waiting: Semaphore,
}

/// Transactions of one server that may wait while another is taken in: it should send one at a time, and
/// repeats one at most that takes long.
const WAITING: usize = 3;

impl Default for Turns {
    fn default() -> Self {
        Self { turn: tokio::sync::Mutex::default(), waiting: Semaphore::new(WAITING) }
    }
}

impl Federation {
    /// The service on its ground.
    #[must_use]
    pub fn new(
        ground: Arc<Ground>,
        rooms: Arc<Rooms>,
        servers: Arc<Servers>,
        identity_servers: Arc<IdentityServers>,
        encryption: Arc<Encryption>,
        live: Arc<Live>,
    ) -> Self {
        Self {
            ground,
            rooms,
            servers,
            identity_servers,
            encryption,
            live,
            moments: Mutex::default(),
            moved: Notify::new(),
            doors: Cache::new(DOORS),
            turns: Cache::new(TURNS),
            joining: Semaphore::new(1),
            telling: Semaphore::new(third_party::TELLING),
            looking: Cache::new(DOORS),
        }
    }

    /// Where people of this node come into a room elsewhere.
    fn door(&self, room_id: &RoomId) -> Arc<Door> {
        let new = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(door) = self.doors.get_or_insert_with(room_id, new);
        door
    }

    /// Forgets the answers that no server asks for again; to be called now and then.
    pub async fn forget_answers(&self) {
        let before_ms = self.ground.clock.now_ms() - limits::TRANSACTION_MS;
        let store = &self.ground.store;
        let forget =
            store.forget(move |tx| Box::pin(async move { tx.forget_answers(before_ms).await }));
        let oldest = async {
            let mut snapshot = self.ground.store.snapshot().await?;
            // Looked at first, so that a node at rest writes nothing.
            match outgoing::oldest_answer(&mut snapshot).await? {
                Some(oldest_ms) if oldest_ms < before_ms => forget.await,
                _ => Ok(()),
            }
        };
        if let Err(error) = oldest.await {
            tracing::warn!(%error, "forgetting old answers failed; it is tried again");
        }
    }

    /// A room that somebody of this node is in, for a server that its rules let take part.
    async fn shared(
        &self,
        from: &mut impl Reads,
        room_id: &RoomId,
        origin: &ServerName,
    ) -> Result<RoomRow, Error> {
        Ok(self.shared_by(from, room_id, origin).await?.0)
    }

    /// The same with its rules.
    async fn shared_by(
        &self,
        from: &mut impl Reads,
        room_id: &RoomId,
        origin: &ServerName,
    ) -> Result<(RoomRow, Rules), Error> {
        let unknown = || Error::NotFound(format!("nobody here is in the room {room_id}"));
        let room = rooms::room(from, room_id).await?.ok_or_else(unknown)?;
        if !rooms::has_server(from, room.room_no, &self.ground.server_name).await? {
            return Err(unknown());
        }
        let rules = Rules::of(from, &self.ground, &room).await?;
        if !rules.admit(origin) {
            return Err(Error::Forbidden(format!("the room does not let {origin} take part")));
        }
        Ok((room, rules))
    }

    /// The same for a server whose people are in it.
    async fn inside(
        &self,
        from: &mut impl Reads,
        room_id: &RoomId,
        origin: &ServerName,
    ) -> Result<RoomRow, Error> {
        let room = self.shared(from, room_id, origin).await?;
        if rooms::has_server(from, room.room_no, origin).await? {
            return Ok(room);
        }
        Err(Error::Forbidden(format!("nobody of {origin} is in the room")))
    }
}

/// A room as it is written, for whoever changes it; nobody may have been in it since it was looked at.
async fn known(tx: &mut Tx, room_id: &RoomId) -> Result<RoomRow, Error> {
    let row = rooms::room(tx, room_id).await?;
    row.ok_or_else(|| Error::NotFound(format!("nobody here is in the room {room_id}")))
}

/// What a room demands of what servers say in it.
#[derive(Debug)]
struct Rules {
    /// Which servers may take part (client-server API, `m.room.server_acl`).
    acl: Option<ServerAcl>,
    /// Which of them looks over what is said (`m.room.policy`).
    policy: Option<Policy>,
}

impl Rules {
    /// Those of a room as it is now: one question, and another where a policy server is named.
    async fn of(from: &mut impl Reads, ground: &Ground, room: &RoomRow) -> Result<Self, Error> {
        let acl = StateKey::new(StateEventType::RoomServerAcl, "");
        let policy = Policy::state_key();
        let held = super::rooms::needed(from, room, vec![acl.clone(), policy.clone()]).await?;
        let named = held.get(&policy);
        Ok(Self {
            acl: held.get(&acl).map(|it| ServerAcl::read(it.event.content())),
            policy: super::rooms::in_force(from, ground, room, named).await?,
        })
    }

    fn admit(&self, server: &ServerName) -> bool {
        self.acl.as_ref().is_none_or(|rule| rule.admits(server))
    }
}
