//! Visits: who may come in gets a ticket, and the ticket begins a visit.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{OwnedRoomId, RoomOrAliasId, UserId};
use tokio::task::JoinHandle;
use wayside_identity::{
    blocks::Blocks,
    token::{Kind, Secret},
};
use wayside_specs::Role;
use wayside_world::realtime::{Bye, Pose, Visitor};

use super::{
    super::{
        Error,
        accounts::Session,
        rooms::{Ignored, Membership, Step},
    },
    World, Worlds,
    follow::surely,
    found::RATINGS,
    movers::Mover,
};
use crate::{
    instances::{self, Changed, Closed, Coming, Meeting, Mirror, Over, Visit, Worn},
    store::{accounts, places, rooms, visitors},
};

/// How long a ticket is good, in milliseconds.
const TICKET_MS: i64 = 30_000;
/// Most tickets that are out at once.
const TICKETS: usize = 16_384;
/// How long it is remembered where somebody stood, in milliseconds.
pub(super) const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1_000;
/// When to ask again at the door of a full world, in milliseconds.
const CROWDED_MS: u64 = 5_000;
/// The rating of worlds for violence and sexual acts as well.
const MATURE: &str = RATINGS[2];
/// When to come again to a node that has too much to do, in milliseconds.
const BUSY_MS: u32 = 5_000;

/// Tickets that nobody has used yet, by the hash of their secret.
#[derive(Default)]
pub(super) struct Tickets(Mutex<HashMap<[u8; 32], Ticket>>);

struct Ticket {
    world: instances::World,
    coming: Coming,
    brings: Brings,
    ends_ms: i64,
}

/// A body of elsewhere that comes: how it is shown, or why it is not.
pub(super) type Bringing = JoinHandle<Result<Worn, &'static str>>;

/// What somebody brings along, and what is looked into while their client gets the scene.
#[derive(Default)]
pub(super) struct Brings {
    /// Their body.
    pub body: Option<Bringing>,
    /// Their badges, by whom they were given and what they are called.
    pub badges: Option<JoinHandle<Vec<(String, String)>>>,
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
        self.let_neighbour_follow(user_id, name).await?;
        let world = self.get(name, Some(user_id)).await?;
        self.is_not_full(&world)?;
        self.must_not_be_shut_out(user_id, &world.room_id).await?;
        Box::pin(self.admit_neighbour(&world, user_id)).await?;
        let mut step = Step::to(Membership::Join);
        step.guest = session.role == Role::Guest;
        self.rooms.step(&world.room_id, user_id, user_id, step).await?;
        let wearing = self.bodies.of(user_id).await?;
        let who = Visitor {
            user_id: user_id.to_string(),
            name: self.name_of(user_id).await?,
            fallback: wearing.fallback(),
            avatar: wearing.avatar,
            guest: session.role == Role::Guest,
            badges: Vec::new(),
        };
        let (user_id, device_id) = (user_id.clone(), session.device_id.clone());
        let unfit = wearing.unfit;
        let meeting = self.meeting(&user_id).await?;
        let coming = Coming { user_id, device_id, who, meeting, unfit, unworn: None, at: None };
        let brings = Brings { body: None, badges: Some(self.badges_of(&coming.user_id)) };
        self.hand_out(world, coming, brings).await
    }

    /// The badges that somebody of this node shows to everybody.
    fn badges_of(&self, user_id: &UserId) -> JoinHandle<Vec<(String, String)>> {
        let (badges, user_id) = (self.badges.clone(), user_id.to_owned());
        let worn = async move {
            badges.worn_by(&user_id).await.unwrap_or_else(|error| {
                tracing::warn!(%error, %user_id, "somebody is seen without their badges");
                Vec::new()
            })
        };
        self.ground.tasks.spawn(worn)
    }

    /// Gives somebody who has moved to this node what they had in a world of it.
    async fn let_neighbour_follow(
        &self,
        user_id: &UserId,
        name: &RoomOrAliasId,
    ) -> Result<(), Error> {
        // Most people have one account, and nobody looks at their logs.
        if self.companions(user_id).await?.is_empty() {
            return Ok(());
        }
        let Some(carried) = self.persons.carried(user_id).await? else { return Ok(()) };
        let subject = format!("did:webvh:{}", carried.scid);
        let mover = Mover { account: user_id, subject: &subject, formerly: &carried.formerly };
        let room_id = match self.rooms.resolve(name).await {
            Ok(room_id) => room_id,
            Err(Error::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.must_not_be_shut_out(user_id, &room_id).await?;
        if let Err(error) = self.follow_mover(mover, &room_id).await {
            tracing::warn!(%error, %user_id, "somebody who has moved has less than before");
        }
        Ok(())
    }

    /// By what names somebody of this node is known, and whom they do not want to meet.
    async fn meeting(&self, user_id: &UserId) -> Result<Meeting, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut names = visitors::subjects_of(&mut snapshot, user_id).await?;
        names.push(user_id.to_string());
        drop(snapshot);
        let blocks = self.blocks_of(user_id).await?;
        Ok(Meeting { names, blocks, keeps_own: false })
    }

    /// Whom somebody of this node does not want to meet.
    pub(super) async fn blocks_of(&self, user_id: &UserId) -> Result<Arc<Blocks>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let ignored = Ignored::of(&mut snapshot, user_id).await?;
        let mut blocks = Blocks::new(self.ground.clock.random());
        ignored.names().for_each(|name| blocks.add(name));
        Ok(Arc::new(blocks))
    }

    pub(super) fn is_not_full(&self, world: &World) -> Result<(), Error> {
        let inside = self.instances.crowd(&world.room_id);
        if inside.is_some_and(|crowd| crowd.count() >= world.capacity.into()) {
            return Err(crowded("the world is full"));
        }
        Ok(())
    }

    /// Gives a ticket to somebody who may come.
    pub(super) async fn hand_out(
        &self,
        world: World,
        coming: Coming,
        brings: Brings,
    ) -> Result<Granted, Error> {
        let secret = Secret::mint(Kind::Visit, self.ground.clock.random());
        let now_ms = self.ground.clock.now_ms();
        let ticket = Ticket {
            world: instances::World {
                room_id: world.room_id.clone(),
                scene: self.scene(world.scene).await?,
                capacity: world.capacity,
                spawn: world.spawn,
                mature: world.rating == MATURE,
            },
            coming,
            brings,
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
        let Ticket { world, mut coming, brings, .. } = ticket;
        let Brings { body, badges } = brings;
        let bringing = dressed(&mut coming, body).await.map_err(failed)?;
        let badges = adorned(&mut coming, badges).await;
        // They may have been turned out or signed out since they were let in.
        self.check_coming(&world, &coming).await.map_err(failed)??;
        coming.at = self.stood(&world.room_id, &coming.user_id, now_ms).await.map_err(failed)?;
        // One person is here once, whatever they are called.
        for other in self.companions(&coming.user_id).await.map_err(failed)? {
            let _full = self.instances.remove(&world.room_id, &other, Bye::Replaced);
        }
        let begun = self.instances.visit(&world, &coming).await;
        let visit = begun.map_err(|closed| match closed {
            Closed::Full => Over::of(Bye::Full),
            Closed::Busy => Over { why: Bye::Ending, again_ms: BUSY_MS },
        })?;
        // From here on it is heard of inside; what came in between is looked for once more.
        self.check_coming(&world, &coming).await.map_err(failed)??;
        if self.ground.is_local(&coming.user_id) {
            self.check_blocks(&coming.user_id).await.map_err(failed)?;
        }
        if let Some(bringing) = bringing {
            self.dress(visit.mirror(), bringing);
        }
        if let Some(badges) = badges {
            self.adorn(visit.mirror(), badges);
        }
        Ok(visit)
    }

    /// Shows somebody in their own body as soon as it is there.
    fn dress(&self, mirror: Mirror, bringing: Bringing) {
        self.ground.tasks.spawn(async move {
            // What broke off shows them as they are.
            let Ok(brought) = bringing.await else { return };
            let changed = brought.map_or_else(Changed::Unworn, Changed::Avatar);
            surely(|| mirror.change(changed.clone())).await;
        });
    }

    /// Shows the badges of somebody as soon as their issuers have stood by them.
    fn adorn(&self, mirror: Mirror, badges: JoinHandle<Vec<(String, String)>>) {
        self.ground.tasks.spawn(async move {
            // What broke off shows them as they are.
            let Ok(badges) = badges.await else { return };
            if !badges.is_empty() {
                surely(|| mirror.change(Changed::Badges(badges.clone()))).await;
            }
        });
    }

    /// Whether somebody who was let in still may come in, or why not.
    async fn check_coming(
        &self,
        world: &instances::World,
        coming: &Coming,
    ) -> Result<Result<(), Over>, Error> {
        if !self.ground.is_local(&coming.user_id) {
            let may = self.may_still_visit(&coming.user_id, &world.room_id).await?;
            return Ok(if may { Ok(()) } else { Err(Over::of(Bye::Removed)) });
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let device = coming.device_id.as_str();
        let account = accounts::account(&mut snapshot, &coming.user_id).await?;
        if account.is_none_or(|account| account.held.any())
            || !accounts::is_signed_in(&mut snapshot, &coming.user_id, device).await?
        {
            return Ok(Err(Over::of(Bye::SignedOut)));
        }
        drop(snapshot);
        let is_member = self.is_member(&world.room_id, &coming.user_id).await?
            && !self.is_shut_out(&coming.user_id, &world.room_id).await?;
        Ok(if is_member { Ok(()) } else { Err(Over::of(Bye::Removed)) })
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

/// Shows somebody in their own body from the beginning, if it is there; gives it back where it still comes.
async fn dressed(
    coming: &mut Coming,
    bringing: Option<Bringing>,
) -> Result<Option<Bringing>, Error> {
    let Some(bringing) = bringing else { return Ok(None) };
    if !bringing.is_finished() {
        return Ok(Some(bringing));
    }
    match bringing.await.map_err(Error::internal)? {
        Ok(Worn { avatar, unfit }) => {
            coming.who.avatar = avatar;
            coming.unfit = unfit;
        }
        Err(why) => coming.unworn = Some(why),
    }
    Ok(None)
}

/// Shows somebody with their badges from the beginning, where they were looked into; gives them back where they are
/// not yet.
async fn adorned(
    coming: &mut Coming,
    badges: Option<JoinHandle<Vec<(String, String)>>>,
) -> Option<JoinHandle<Vec<(String, String)>>> {
    let badges = badges?;
    if !badges.is_finished() {
        return Some(badges);
    }
    // What broke off shows them as they are.
    coming.who.badges = badges.await.unwrap_or_default();
    None
}

fn crowded(why: &str) -> Error {
    Error::Crowded { why: why.to_owned(), retry_ms: CROWDED_MS }
}
