//! Visits: who may come in gets a ticket, and the ticket begins a visit.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{OwnedRoomId, OwnedUserId, RoomOrAliasId, UserId};
use wayside_identity::token::{Kind, Secret};
use wayside_specs::Role;
use wayside_world::{
    realtime::{Bye, Pose, Visitor},
    scene::Scene,
};

use super::{
    super::{
        Error,
        accounts::Session,
        rooms::{Membership, Step},
    },
    World, Worlds,
};
use crate::{
    instances::{Changed, Closed, Over, Visit},
    store::{places, rooms},
};

/// How long a ticket is good, in milliseconds.
const TICKET_MS: i64 = 30_000;
/// Most tickets that are out at once.
const TICKETS: usize = 16_384;
/// How long it is remembered where somebody stood, in milliseconds.
pub(super) const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1_000;
/// When to ask again at the door of a full world, in milliseconds.
const CROWDED_MS: u64 = 5_000;

/// Tickets that nobody has used yet, by the hash of their secret.
#[derive(Default)]
pub(super) struct Tickets(Mutex<HashMap<[u8; 32], Ticket>>);

struct Ticket {
    room_id: OwnedRoomId,
    scene: Arc<Scene>,
    capacity: u16,
    user_id: OwnedUserId,
    who: Visitor,
    ends_ms: i64,
}

/// A visit that may begin.
pub struct Granted {
    /// What begins it, once.
    pub ticket: String,
    /// How long that works, in milliseconds.
    pub lasts_ms: i64,
    /// Where.
    pub world: World,
}

impl Tickets {
    fn all(&self) -> MutexGuard<'_, HashMap<[u8; 32], Ticket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worlds {
    /// Lets somebody into a world: into its room at once, into its instance with the ticket.
    pub async fn grant(&self, session: &Session, name: &RoomOrAliasId) -> Result<Granted, Error> {
        let user_id = &session.user_id;
        let world = self.get(name, Some(user_id)).await?;
        let inside = self.instances.crowd(&world.room_id);
        if inside.is_some_and(|crowd| crowd.count() >= world.capacity.into()) {
            return Err(crowded("the world is full"));
        }
        let mut step = Step::to(Membership::Join);
        step.guest = session.role == Role::Guest;
        self.rooms.step(&world.room_id, user_id, user_id, step).await?;
        let scene = self.scene(world.scene).await?;
        let wearing = self.bodies.of(user_id).await?;
        let who = Visitor {
            user_id: user_id.to_string(),
            name: self.name_of(user_id).await?,
            avatar: wearing.avatar(),
            fallback: wearing.fallback(),
            guest: session.role == Role::Guest,
        };
        let secret = Secret::mint(Kind::Visit, self.ground.clock.random());
        let now_ms = self.ground.clock.now_ms();
        let ticket = Ticket {
            room_id: world.room_id.clone(),
            scene,
            capacity: world.capacity,
            user_id: user_id.clone(),
            who,
            ends_ms: now_ms + TICKET_MS,
        };
        let mut tickets = self.tickets.all();
        if tickets.len() >= TICKETS {
            tickets.retain(|_, ticket| ticket.ends_ms > now_ms);
        }
        if tickets.len() >= TICKETS {
            return Err(crowded("too many people come in at once"));
        }
        tickets.insert(secret.hash().0, ticket);
        Ok(Granted { ticket: secret.reveal().to_owned(), lasts_ms: TICKET_MS, world })
    }

    /// Begins the visit of a ticket.
    pub async fn begin(&self, ticket: &str) -> Result<Visit, Over> {
        let secret = Secret::parse(ticket).filter(|secret| secret.kind() == Kind::Visit);
        let secret = secret.ok_or(Over::of(Bye::Ticket))?;
        let taken = self.tickets.all().remove(&secret.hash().0);
        let now_ms = self.ground.clock.now_ms();
        let ticket = taken.filter(|it| it.ends_ms > now_ms).ok_or(Over::of(Bye::Ticket))?;
        let failed = |error: Error| {
            tracing::warn!(%error, "a visit could not begin");
            Over::of(Bye::Broken)
        };
        // They may have been turned out since they were let in.
        if !self.is_member(&ticket.room_id, &ticket.user_id).await.map_err(failed)? {
            return Err(Over::of(Bye::Removed));
        }
        let at = self.stood(&ticket.room_id, &ticket.user_id, now_ms).await.map_err(failed)?;
        let Ticket { room_id, scene, capacity, user_id, who, .. } = ticket;
        let begun = self.instances.visit(&room_id, &scene, capacity, &user_id, who, at).await;
        begun.map_err(|closed| match closed {
            Closed::Full | Closed::Busy => Over { why: Bye::Ending, again_ms: 5_000 },
        })
    }

    /// Shows those around a guest that they have made their account a lasting one.
    pub fn kept(&self, user_id: &UserId) {
        self.instances.change(user_id, &Changed::Kept);
    }

    /// Where somebody stood in a world not long ago.
    async fn stood(
        &self,
        room_id: &OwnedRoomId,
        user_id: &UserId,
        now_ms: i64,
    ) -> Result<Option<Pose>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(None) };
        let after_ms = now_ms - REMEMBERED_MS;
        let pose = places::place(&mut snapshot, room.room_no, user_id, after_ms).await?;
        Ok(pose.and_then(|bytes| Pose::decode(&bytes).ok()))
    }
}

fn crowded(why: &str) -> Error {
    Error::Crowded { why: why.to_owned(), retry_ms: CROWDED_MS }
}
