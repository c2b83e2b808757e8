//! What those who run the node do with accounts and rooms of others: see them, make them, delete them.

mod deleting;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{OwnedUserId, RoomId, UserId};
use serde_json::Value;
use tokio::sync::Semaphore;
use wayside_identity::shared_secret::{self, Wish};
use wayside_specs::Role;

pub use self::deleting::{DeleteWish, Shutdown};
use super::{
    Error, Ground,
    accounts::{Accounts, DeviceWish, Hold, Invited, Registering, SignedIn, Traces},
    affairs::{Affairs, Spread},
    rooms::{Listed, Membership, Rooms},
};
pub use crate::store::{
    deletions::{Deletion, Stage},
    oversight::{RoomCounted, RoomsAsked, UserListed, UsersAsked, Way},
};
use crate::store::{oversight, rooms};

/// How long a nonce is good, in milliseconds.
const NONCE_MS: i64 = 60_000;
/// Nonces that are out at once.
const NONCES: usize = 1_000;
/// An invitation by which an account is made is used at once.
const MOMENT_MS: i64 = 60_000;

/// The service of those who run the node.
pub struct Oversight {
    ground: Arc<Ground>,
    accounts: Arc<Accounts>,
    rooms: Arc<Rooms>,
    affairs: Arc<Affairs>,
    /// Until when each is good.
    nonces: Mutex<HashMap<String, i64>>,
    /// Rooms are deleted one after the other.
    turn: Semaphore,
}

/// Who is to be made by the secret in common with a tool.
pub struct ByTool {
    /// What the node gave out for this one time.
    pub nonce: String,
    /// The name.
    pub username: String,
    /// The name that is shown.
    pub displayname: Option<String>,
    /// The password.
    pub password: String,
    /// Whether they run the node.
    pub admin: bool,
    /// A kind that some tools name.
    pub user_type: Option<String>,
    /// The tag of all that.
    pub tag: Vec<u8>,
}

/// What an operator changes of an account; what is missing stays.
#[derive(Default)]
pub struct Change {
    /// The password, and whether all devices are signed out by it.
    pub password: Option<(String, bool)>,
    /// Fields of the profile: an empty text removes one.
    pub shown: Vec<(&'static str, String)>,
    /// Whether they run the node.
    pub admin: Option<bool>,
    /// Whether they are locked.
    pub locked: Option<bool>,
    /// Whether their account ends.
    pub ends: bool,
}

/// A room as those who run the node see it.
pub struct RoomSeen {
    /// What the directory would show.
    pub listed: Listed,
    /// Whether it does.
    pub published: bool,
    /// What is counted.
    pub counted: RoomCounted,
    /// Who may come, who reads what was said before.
    pub history_visibility: Option<String>,
}

impl Oversight {
    /// The service on its ground and on those below it.
    #[must_use]
    pub fn new(
        ground: Arc<Ground>,
        accounts: Arc<Accounts>,
        rooms: Arc<Rooms>,
        affairs: Arc<Affairs>,
    ) -> Self {
        let (nonces, turn) = (Mutex::default(), Semaphore::new(1));
        Self { ground, accounts, rooms, affairs, nonces, turn }
    }

    /// A nonce for a tool that knows the secret; none where there is no secret.
    pub fn nonce(&self) -> Result<Option<String>, Error> {
        if self.ground.config.registration_shared_secret.is_none() {
            return Ok(None);
        }
        let now_ms = self.ground.clock.now_ms();
        let mut nonces = self.nonces();
        if nonces.len() >= NONCES {
            nonces.retain(|_, until_ms| *until_ms > now_ms);
        }
        if nonces.len() >= NONCES {
            let why = "too many tools make accounts at once".to_owned();
            return Err(Error::Crowded { why, retry_ms: NONCE_MS.unsigned_abs() });
        }
        let nonce = self.ground.clock.random_name(32);
        nonces.insert(nonce.clone(), now_ms + NONCE_MS);
        Ok(Some(nonce))
    }

    /// Makes an account for a tool that knows the secret; nothing where there is no secret.
    pub async fn register(&self, asked: ByTool) -> Result<Option<SignedIn>, Error> {
        let Some(secret) = &self.ground.config.registration_shared_secret else { return Ok(None) };
        // Each is good once, whatever is made of it.
        let until_ms = self.nonces().remove(&asked.nonce);
        let now_ms = self.ground.clock.now_ms();
        if until_ms.is_none_or(|until_ms| until_ms <= now_ms) {
            return Err(Error::Invalid("the nonce is unknown, used or over: ask anew".to_owned()));
        }
        if asked.username.contains('\0') || asked.password.contains('\0') {
            return Err(Error::Invalid("no part holds the character NUL".to_owned()));
        }
        let wish = Wish {
            nonce: &asked.nonce,
            username: &asked.username,
            password: &asked.password,
            admin: asked.admin,
            user_type: asked.user_type.as_deref(),
        };
        if !shared_secret::is_asked_for(secret, &wish, &asked.tag) {
            return Err(Error::Forbidden("the mac is not that of the secret".to_owned()));
        }
        let role = if asked.admin { Role::Operator } else { Role::Member };
        let device = DeviceWish::default();
        let made = self.make(&asked.username, asked.password, role, device).await?;
        if let Some(shown) = asked.displayname {
            self.show(&made.user_id, "displayname", shown).await?;
        }
        Ok(Some(made))
    }

    /// Makes an account by an invitation of one use, so that there is one way to make one.
    async fn make(
        &self,
        name: &str,
        password: String,
        role: Role,
        device: DeviceWish,
    ) -> Result<SignedIn, Error> {
        self.accounts.name_is_free(name).await?;
        let invitation = self.accounts.invite(role, 1, Some(MOMENT_MS), None).await?;
        let wish = Registering {
            name: Some(name.to_owned()),
            password: Some(password),
            invitation: Some(Invited::by(&invitation)?),
            guest: false,
            device,
        };
        self.accounts.register(wish).await
    }

    async fn show(&self, user_id: &UserId, field: &str, text: String) -> Result<(), Error> {
        let value = Some(text).filter(|text| !text.is_empty()).map(Value::from);
        self.affairs.set_profile_field(user_id, field, value, Spread::All).await
    }

    /// The accounts that are looked for, and how many there are of them in all.
    pub async fn users(&self, asked: &UsersAsked) -> Result<(Vec<UserListed>, i64), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(oversight::users(&mut snapshot, asked).await?)
    }

    /// One account, ended or not.
    pub async fn user(&self, user_id: &UserId) -> Result<UserListed, Error> {
        if !self.ground.is_local(user_id) {
            return Err(Error::Invalid(format!("{user_id} does not live on this node")));
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let found = oversight::user(&mut snapshot, user_id).await?;
        found.ok_or_else(|| Error::NotFound(format!("{user_id} has no account here")))
    }

    /// Changes an account, or makes it where there is none; whether it did make it.
    pub async fn change(
        &self,
        by: &UserId,
        user_id: &UserId,
        change: Change,
    ) -> Result<bool, Error> {
        let known = match self.user(user_id).await {
            Ok(user) => Some(user),
            Err(Error::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        if known.as_ref().is_some_and(|user| user.ended) {
            return Err(Error::Invalid(format!("{user_id} has ended for ever")));
        }
        if user_id == by && (change.admin == Some(false) || change.ends) {
            return Err(Error::Invalid("you do not take the node from yourself".to_owned()));
        }
        if known.is_none() {
            let password = change.password.map(|(password, _)| password);
            let password = password
                .ok_or_else(|| Error::Missing("a new account needs a password".to_owned()))?;
            let role = if change.admin == Some(true) { Role::Operator } else { Role::Member };
            let device = DeviceWish { no_device: true, ..DeviceWish::default() };
            self.make(user_id.localpart(), password, role, device).await?;
        } else {
            if let Some((password, sign_out)) = change.password {
                self.accounts.replace_password(user_id, password, sign_out).await?;
            }
            let role = known.as_ref().map(|user| user.role);
            if (change.admin, role) == (Some(false), Some(Role::Operator)) {
                self.accounts.set_role(user_id, Role::Member).await?;
            }
        }
        for (field, text) in change.shown {
            self.show(user_id, field, text).await?;
        }
        // Whoever is to run the node is unlocked before, and nobody who does is locked.
        if let Some(locked) = change.locked {
            self.accounts.hold(user_id, Hold::Locked, locked, true).await?;
        }
        if change.admin == Some(true) && known.is_some() {
            self.accounts.set_role(user_id, Role::Operator).await?;
        }
        if change.ends {
            self.affairs.end_account(user_id, None, Traces::Stay).await?;
        }
        Ok(known.is_none())
    }

    /// Ends an account for ever.
    pub async fn end(&self, user_id: &UserId, traces: Traces) -> Result<(), Error> {
        self.user(user_id).await?;
        self.affairs.end_account(user_id, None, traces).await.map(drop)
    }

    /// The rooms that are looked for, and how many there are of them in all.
    pub async fn rooms(&self, asked: &RoomsAsked) -> Result<(Vec<RoomSeen>, i64), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let (found, total) = oversight::rooms(&mut snapshot, asked).await?;
        drop(snapshot);
        let mut seen = Vec::with_capacity(found.len());
        for counted in found {
            // One that was deleted meanwhile is left out.
            seen.extend(self.seen(counted).await?);
        }
        Ok((seen, total))
    }

    /// One room, and how many devices of this node's people are in it.
    pub async fn room(&self, room_id: &RoomId) -> Result<(RoomSeen, i64), Error> {
        let unknown = || Error::NotFound(format!("this node does not know the room {room_id}"));
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = rooms::room(&mut snapshot, room_id).await?.ok_or_else(unknown)?;
        let counted = oversight::room(&mut snapshot, room.room_no).await?.ok_or_else(unknown)?;
        let devices = oversight::devices_in(&mut snapshot, room.room_no).await?;
        drop(snapshot);
        Ok((self.seen(counted).await?.ok_or_else(unknown)?, devices))
    }

    async fn seen(&self, counted: RoomCounted) -> Result<Option<RoomSeen>, Error> {
        let Some((listed, published)) = self.rooms.listing(&counted.room_id).await? else {
            return Ok(None);
        };
        let history_visibility = self.rooms.history_visibility(&counted.room_id).await?;
        Ok(Some(RoomSeen { listed, published, counted, history_visibility }))
    }

    /// Who is in a room.
    pub async fn members(&self, room_id: &RoomId) -> Result<Vec<OwnedUserId>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = rooms::room(&mut snapshot, room_id).await?;
        let room = room.ok_or_else(|| Error::NotFound(format!("there is no room {room_id}")))?;
        let members = rooms::members(&mut snapshot, room.room_no, Membership::Join).await?;
        Ok(members.into_iter().map(|member| member.user_id).collect())
    }

    fn nonces(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
