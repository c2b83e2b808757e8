//! Friends: who asks whom, who are friends, whom somebody blocks, and in which world friends are.
//!
//! A friendship is a conversation between two in which both say so, by state of their own (specs/social.md): so
//! it works with every server of Matrix, is as durable as the room, and outlives the node of either. What each
//! says is signed as a credential by the DID of whoever says it; which of these prove themselves is remembered
//! here, so that a friend is known as the same person wherever they move.

mod blocks;
mod following;
mod places;
mod records;
mod words;

use std::sync::Arc;

use quick_cache::sync::Cache;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId, events::TimelineEventType};
use serde_json::{json, value::RawValue};
use tokio::sync::{Semaphore, broadcast};
use wayside_federation::version::RoomVersion;
use wayside_identity::friend;
use wayside_specs::{Did, limits};

use self::words::{MESSAGE_BYTES, Wish, all_between, bonds, refusal, spoken_in, wished_in};
pub use self::{
    places::{NewPlace, PLACE_MS},
    words::{Bond, Standing},
};
use super::{
    Error, Ground,
    federation::Federation,
    live::{Live, Present},
    persons::Persons,
    rooms::{Ignored, Membership, NewRoom, Preset, Rooms, Step},
    social::Social,
};
use crate::store::{
    accounts,
    bus::{Change, Commit},
};

/// Records that are looked into at once.
const CHECKED_AT_ONCE: usize = 4;
/// People who were looked into of late, and are not again so soon; and those who ask.
const LOOKED_INTO: usize = 10_000;

/// What friends stand on.
pub struct Beneath {
    /// Their conversations.
    pub rooms: Arc<Rooms>,
    /// With those of other servers too.
    pub federation: Arc<Federation>,
    /// Their own data.
    pub social: Arc<Social>,
    /// Who is there.
    pub live: Arc<Live>,
    /// Their DIDs.
    pub persons: Arc<Persons>,
}

/// The service of friends.
pub struct Friends {
    ground: Arc<Ground>,
    beneath: Beneath,
    /// Turns to look into records and people of elsewhere.
    checking: Arc<Semaphore>,
    /// When somebody was looked into last, for whom, in milliseconds since the epoch.
    looked_into: Cache<String, i64>,
    /// Invitations that may be those of friends who have moved are looked into one after the other.
    following: Semaphore,
    /// Whoever asks does so once at a time: nobody begins two conversations with one.
    asking: Cache<OwnedUserId, Arc<tokio::sync::Mutex<()>>>,
}

/// A friend as they are shown to a friend.
pub struct Known {
    /// What is between the two.
    pub bond: Bond,
    /// The other one's DID, where what they have signed proves itself.
    pub did: Option<Did>,
    /// How they are present, and where.
    pub present: Option<Present>,
}

/// Whom somebody blocks.
pub struct Blocked {
    /// Who.
    pub user_id: OwnedUserId,
    /// By what their DID is compared, as far as it is known here.
    pub did: Option<String>,
}

/// Everybody whom somebody knows.
pub struct Acquaintance {
    /// Friends, and those who ask or were asked.
    pub friends: Vec<Known>,
    /// Whom they block.
    pub blocked: Vec<Blocked>,
    /// Who is told in which world they are.
    pub tell: &'static str,
}

impl Friends {
    /// The service on its ground, with what it stands on.
    #[must_use]
    pub fn new(ground: Arc<Ground>, beneath: Beneath) -> Self {
        let checking = Arc::new(Semaphore::new(CHECKED_AT_ONCE));
        let (looked_into, asking) = (Cache::new(LOOKED_INTO), Cache::new(LOOKED_INTO));
        Self { ground, beneath, checking, looked_into, following: Semaphore::new(1), asking }
    }

    /// Everybody whom somebody knows: friends, those who ask, those who were asked, those who are blocked.
    pub async fn all(self: &Arc<Self>, user_id: &UserId) -> Result<Acquaintance, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let ignored = Ignored::of(&mut snapshot, user_id).await?;
        let mut bonds = bonds(&mut snapshot, user_id).await?;
        bonds.retain(|bond| !ignored.has(&bond.user_id));
        let blocked = blocks::all(&mut snapshot, &ignored).await?;
        let tell = places::tell(&mut snapshot, user_id).await?.as_str();
        let dids = records::dids(&mut snapshot, &bonds).await?;
        drop(snapshot);
        let mut friends = Vec::with_capacity(bonds.len());
        for (bond, known) in bonds.into_iter().zip(dids) {
            let is_friend = bond.standing == Standing::Friend;
            let is_local = self.ground.is_local(&bond.user_id);
            // Whoever has moved to this node, too, is who they were.
            if !is_local || !bond.formerly.is_empty() {
                self.look_into(user_id, &bond, known.as_ref());
            }
            if let Some(known) = &known {
                self.follow_up(user_id, &bond, known);
            }
            let did = if is_local {
                self.beneath.persons.identity(&bond.user_id).await?.did
            } else {
                known.and_then(|known| known.did)
            };
            let present = is_friend.then(|| self.beneath.live.presence(&bond.user_id)).flatten();
            friends.push(Known { bond, did, present });
        }
        for one in blocked.iter().filter(|one| one.did.is_none()) {
            self.learn_of(&one.user_id);
        }
        Ok(Acquaintance { friends, blocked, tell })
    }

    /// Asks somebody to be friends, or accepts where they have asked.
    pub async fn ask(
        self: &Arc<Self>,
        user_id: &UserId,
        other: &UserId,
        message: Option<String>,
    ) -> Result<(Standing, OwnedRoomId), Error> {
        let message = message.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        if message.as_ref().is_some_and(|it| it.len() > MESSAGE_BYTES) {
            let why = format!("a message to a friend has at most {MESSAGE_BYTES} bytes");
            return Err(Error::TooLarge(why));
        }
        if user_id == other {
            return Err(Error::Invalid("everybody is a friend of their own already".to_owned()));
        }
        let (friends, user_id, other) = (self.clone(), user_id.to_owned(), other.to_owned());
        // A room that has begun is not left half made.
        self.ground
            .to_its_end(
                async move { friends.wish(&user_id, &other, message.as_deref(), &[]).await },
            )
            .await
    }

    async fn wish(
        self: &Arc<Self>,
        user_id: &UserId,
        other: &UserId,
        message: Option<&str>,
        formerly: &[OwnedUserId],
    ) -> Result<(Standing, OwnedRoomId), Error> {
        let new = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(turn) = self.asking.get_or_insert_with(user_id, new);
        let _turn = turn.lock().await;
        let mut snapshot = self.ground.store.snapshot().await?;
        if Ignored::of(&mut snapshot, user_id).await?.has(other) {
            let why = format!("you have blocked {other}: take that back first");
            return Err(Error::Forbidden(why));
        }
        let bonds = bonds(&mut snapshot, user_id).await?;
        let before = spoken_in(&mut snapshot, user_id, other).await?;
        let known = accounts::account(&mut snapshot, other).await?;
        drop(snapshot);
        if let Some(bond) = bonds.iter().find(|bond| bond.user_id == other) {
            if bond.standing == Standing::Asking {
                self.accept(user_id, bond).await?;
                return Ok((Standing::Friend, bond.room_id.clone()));
            }
            return Ok((bond.standing, bond.room_id.clone()));
        }
        let open = bonds.iter().filter(|bond| bond.standing == Standing::Asked).count();
        // Whoever has moved asks all of their friends at once.
        if formerly.is_empty() && open >= limits::FRIENDS_ASKED
            || bonds.len() >= usize::try_from(limits::FRIENDS).unwrap_or(0)
        {
            let why = "you have asked as many people as one may: take a question back first";
            return Err(Error::Forbidden(why.to_owned()));
        }
        if self.ground.is_local(other) && known.is_none_or(|it| it.ended_ms.is_some()) {
            return Err(Error::NotFound(format!("there is nobody called {other} here")));
        }
        let record = self.record(user_id, other).await?;
        if let Some((room_id, refused)) = before {
            let wish = Wish { with: other, record, message, refused: refused.as_deref(), formerly };
            let said = wish.said(self.ground.clock.now_ms())?;
            self.say(&room_id, user_id, said).await?;
            return Ok((Standing::Asked, room_id));
        }
        let wish = Wish { with: other, record, message, refused: None, formerly };
        let said = wish.said(self.ground.clock.now_ms())?;
        let room_id = self.begin(user_id, other, said).await?;
        self.note_direct(user_id, other, &room_id).await;
        Ok((Standing::Asked, room_id))
    }

    /// Makes the room of a conversation, in which somebody asks, and invites whom they ask.
    async fn begin(
        &self,
        user_id: &UserId,
        other: &UserId,
        said: Box<RawValue>,
    ) -> Result<OwnedRoomId, Error> {
        let encrypted = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
        let encrypted = serde_json::value::to_raw_value(&encrypted).map_err(Error::internal)?;
        let of_room = (friend::EVENT.to_owned(), user_id.to_string(), said);
        // The other one may say so too; who asks can take it back, which among equals nobody can.
        let users = json!({ other.as_str(): 100 });
        let new = NewRoom {
            creator: Some(user_id.to_owned()),
            version: Some(RoomVersion::V12),
            preset: Preset::Private,
            power_levels: [("users".to_owned(), users)].into_iter().collect(),
            initial_state: vec![
                ("m.room.encryption".to_owned(), String::new(), encrypted),
                of_room,
            ],
            invite: vec![other.to_owned()],
            is_direct: true,
            ..NewRoom::default()
        };
        let room_id = self.beneath.rooms.create(new).await?;
        if self.ground.is_local(other) {
            return Ok(room_id);
        }
        let mut step = Step::to(Membership::Invite);
        step.is_direct = true;
        let invited = self.beneath.federation.step(&room_id, user_id, other, step, &[]).await;
        if let Err(error) = invited {
            // Nobody wants a conversation with somebody who does not hear of it.
            self.leave(&room_id, user_id).await;
            return Err(error);
        }
        Ok(room_id)
    }

    /// Somebody who was asked says so too.
    async fn accept(self: &Arc<Self>, user_id: &UserId, bond: &Bond) -> Result<(), Error> {
        let Bond { user_id: other, room_id, at_door, .. } = bond;
        if *at_door {
            let via = [other.server_name().to_owned()];
            let join = Step::to(Membership::Join);
            self.beneath.federation.step(room_id, user_id, user_id, join, &via).await?;
        }
        self.answer(user_id, other, room_id).await
    }

    /// Says in a room that somebody is the friend of who has asked there.
    async fn answer(
        self: &Arc<Self>,
        user_id: &UserId,
        other: &UserId,
        room_id: &RoomId,
    ) -> Result<(), Error> {
        let record = self.record(user_id, other).await?;
        let wish = Wish { with: other, record, message: None, refused: None, formerly: &[] };
        let said = wish.said(self.ground.clock.now_ms())?;
        self.say(room_id, user_id, said).await?;
        self.note_direct(user_id, other, room_id).await;
        self.retell(user_id).await
    }

    /// Whom somebody accepts as a friend who comes into a room by whatever program: whoever asks them there.
    pub async fn asked_in(
        &self,
        user_id: &UserId,
        room_id: &RoomId,
    ) -> Result<Option<OwnedUserId>, Error> {
        let bonds = bonds(&mut self.ground.store.snapshot().await?, user_id).await?;
        let here = |bond: &Bond| {
            bond.at_door && bond.standing == Standing::Asking && bond.room_id == room_id
        };
        Ok(bonds.into_iter().find(here).map(|bond| bond.user_id))
    }

    /// Somebody came into the room in which they were asked: that is their answer.
    pub async fn came(
        self: &Arc<Self>,
        user_id: &UserId,
        other: &UserId,
        room_id: &RoomId,
    ) -> Result<(), Error> {
        let (friends, user_id) = (self.clone(), user_id.to_owned());
        let (other, room_id) = (other.to_owned(), room_id.to_owned());
        self.ground
            .to_its_end(async move { friends.answer(&user_id, &other, &room_id).await })
            .await
    }

    /// Ends a friendship, refuses a question, or takes one back.
    pub async fn end(self: &Arc<Self>, user_id: &UserId, other: &UserId) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let all = all_between(&mut snapshot, user_id, other).await?;
        let wished = wished_in(&mut snapshot, user_id, other).await?;
        drop(snapshot);
        if all.is_empty() && wished.is_empty() {
            return Err(Error::NotFound(format!("there is nothing between you and {other}")));
        }
        let (friends, user_id) = (self.clone(), user_id.to_owned());
        self.ground
            .to_its_end(async move {
                // What they have said in several rooms ends in each; a word that is left alone would hold again
                // as soon as the other one comes back.
                for bond in &all {
                    friends.part(&user_id, bond).await?;
                }
                let others = wished.iter().filter(|room| all.iter().all(|it| it.room_id != **room));
                for room_id in others {
                    friends.say(room_id, &user_id, refusal(None)?).await?;
                }
                friends.retell(&user_id).await
            })
            .await
    }

    async fn part(self: &Arc<Self>, user_id: &UserId, bond: &Bond) -> Result<(), Error> {
        let Bond { user_id: other, room_id, standing, at_door, theirs, .. } = bond;
        if *at_door {
            let leave = Step::to(Membership::Leave);
            return self.beneath.federation.step(room_id, user_id, user_id, leave, &[]).await;
        }
        self.say(room_id, user_id, refusal(theirs.as_deref())?).await?;
        self.retell(user_id).await?;
        let is_inside =
            self.beneath.rooms.standing(room_id, other).await? == Some(Membership::Join);
        if *standing == Standing::Asked && !is_inside {
            // Nobody else will ever come to that conversation.
            let back = Step::to(Membership::Leave);
            self.beneath.federation.step(room_id, user_id, other, back, &[]).await?;
            self.leave(room_id, user_id).await;
        }
        Ok(())
    }

    async fn say(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        said: Box<RawValue>,
    ) -> Result<(), Error> {
        let kind = TimelineEventType::from(friend::EVENT);
        let key = user_id.to_string();
        self.beneath.rooms.set_state(room_id, user_id, kind, key, said, None).await.map(drop)
    }

    async fn leave(&self, room_id: &RoomId, user_id: &UserId) {
        let leave = Step::to(Membership::Leave);
        let left = self.beneath.federation.step(room_id, user_id, user_id, leave, &[]).await;
        if let Err(error) = left {
            tracing::warn!(%error, "a conversation that nobody comes to stays");
        }
    }

    /// Tells those who may know where people are as soon as other people may, until the node ends.
    pub async fn follow(self: Arc<Self>, mut commits: broadcast::Receiver<Arc<Commit>>) {
        let stop = self.ground.stop.clone();
        let following = async {
            loop {
                let commit = match commits.recv().await {
                    Ok(commit) => commit,
                    // Whoever is missed is told anew with their next word of where they are.
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                for change in &commit.changes {
                    match change {
                        Change::Person { user_id, .. } => {
                            if let Err(error) = self.retell(user_id).await {
                                tracing::warn!(%error, "whom somebody lets see where they are changes late");
                            }
                        }
                        Change::Event { room_no, members, .. } => {
                            self.look_at_doors(*room_no, members);
                        }
                        _ => {}
                    }
                }
            }
        };
        let _ended = stop.run_until_cancelled(Box::pin(following)).await;
    }

    /// Lets programs show the room as a conversation between two (client-server API, direct messaging).
    async fn note_direct(&self, user_id: &UserId, other: &UserId, room_id: &RoomId) {
        if let Err(error) = self.beneath.social.note_direct(user_id, other, room_id).await {
            tracing::warn!(%error, "a conversation is not noted as one between two");
        }
    }
}
