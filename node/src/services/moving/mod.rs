//! Moving house: whoever comes back without their home lives on elsewhere as who they were.
//!
//! What they need for that is kept by the nodes of their friends (specs/identity.md, "Moving").
//!
//! A home hands out copies of the log of everybody's DID, and of luggage (name, friends, blocks) that it seals to a
//! key which grows from the words by which that person recovers: whoever keeps it cannot read it. Another node
//! searches for the copies, the person's own client writes the version of the log that moves them, and unpacks the
//! luggage there; friends are met again by records that their nodes know to be the same person's.

mod arriving;
mod copies;
mod exporting;
mod handing;
mod seal;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ruma::{OwnedServerName, OwnedUserId, UserId};
use tokio::sync::{Notify, Semaphore};
use wayside_identity::{
    luggage::{Given, Known, Luggage},
    time::Moment,
};
use wayside_specs::limits;

pub use self::{
    arriving::{ASKED, Asked, Found, Unpacked, Wanted},
    copies::{Brought, Copy},
    exporting::{Exported, Upload},
};
use super::{
    Error, Ground,
    badges::Badges,
    bodies::Bodies,
    friends::{Friends, Standing},
    persons::{Carried, Identity, Persons},
    servers::Servers,
    social::Social,
};
use crate::store::moving as kept;

/// What moving stands on.
pub struct Beneath {
    /// Whose DID is whose.
    pub persons: Arc<Persons>,
    /// Whom they know.
    pub friends: Arc<Friends>,
    /// What they are called, and whom they do not want to meet.
    pub social: Arc<Social>,
    /// Who keeps copies.
    pub servers: Arc<Servers>,
    /// What they wear.
    pub bodies: Arc<Bodies>,
    /// What they were given.
    pub badges: Arc<Badges>,
}

/// The service of moving.
pub struct Moving {
    ground: Arc<Ground>,
    beneath: Beneath,
    /// Whose copies may be behind, and when to look at them, in milliseconds since the epoch.
    due: Mutex<BTreeMap<OwnedUserId, i64>>,
    /// Rings when somebody is due.
    ring: Notify,
    /// Rings when friends are to be met.
    meeting: Notify,
    /// Turns to prove what servers bring, and to search for somebody.
    holding: Semaphore,
    searching: Semaphore,
}

/// Copies that are proven at once, and searches.
const HELD_AT_ONCE: usize = 4;
const SEARCHES: usize = 2;

impl Moving {
    /// The service on its ground, with what it stands on.
    #[must_use]
    pub fn new(ground: Arc<Ground>, beneath: Beneath) -> Self {
        Self {
            ground,
            beneath,
            due: Mutex::default(),
            ring: Notify::new(),
            meeting: Notify::new(),
            holding: Semaphore::new(HELD_AT_ONCE),
            searching: Semaphore::new(SEARCHES),
        }
    }

    /// What is known of somebody's DID, and which servers have copies of it.
    pub async fn identity(
        &self,
        user_id: &UserId,
    ) -> Result<(Identity, Vec<OwnedServerName>), Error> {
        let identity = self.beneath.persons.identity(user_id).await?;
        let handed = kept::handed_out(&mut self.ground.store.snapshot().await?, user_id).await?;
        let keeps = handed.into_iter().filter(|it| it.hash.len() == handing::HASH_BYTES);
        Ok((identity, keeps.map(|it| it.server).collect()))
    }

    /// Notes that somebody has saved what recovers their DID, with the key to which their luggage is to be sealed.
    pub async fn note_saved(&self, user_id: &UserId, seal_key: Option<&str>) -> Result<(), Error> {
        let seal_key = seal_key.map(seal::key).transpose()?;
        self.beneath.persons.note_saved(user_id, seal_key).await?;
        self.note_due(user_id, self.ground.clock.now_ms());
        Ok(())
    }

    /// Takes in versions that somebody wrote of their DID.
    pub async fn write(&self, user_id: &UserId, lines: &str) -> Result<(), Error> {
        self.beneath.persons.take(user_id, lines).await?;
        self.note_due(user_id, self.ground.clock.now_ms());
        Ok(())
    }

    /// Takes over the DID of somebody who comes to live here.
    pub async fn move_in(&self, user_id: &UserId, log: &str) -> Result<Identity, Error> {
        let identity = self.beneath.persons.move_in(user_id, log).await?;
        self.note_due(user_id, self.ground.clock.now_ms());
        Ok(identity)
    }

    /// What somebody would take along if they left now.
    async fn pack(&self, user_id: &UserId, carried: &Carried) -> Result<Luggage, Error> {
        let profile = self.beneath.social.profile(user_id).await?;
        let all = self.beneath.friends.all(user_id).await?;
        let friends = all.friends.into_iter().filter(|it| it.bond.standing == Standing::Friend);
        let named = |it: super::friends::Known| Known {
            account: it.bond.user_id.to_string(),
            did: it.did.map(|did| did.to_string()),
            name: it.bond.name.filter(|name| name.len() <= NAME_BYTES),
        };
        let blocked = all.blocked.into_iter().map(|it| Known {
            account: it.user_id.to_string(),
            did: it.did,
            name: None,
        });
        let name = profile.get("displayname").and_then(serde_json::Value::as_str);
        let mut friends: Vec<Known> = friends.map(named).collect();
        // Those who are still to be told are friends too.
        let to_meet = kept::to_meet_of(&mut self.ground.store.snapshot().await?, user_id).await?;
        for other in to_meet.iter().map(ToString::to_string) {
            if friends.iter().all(|it| it.account != other) {
                friends.push(Known { account: other, did: None, name: None });
            }
        }
        friends.truncate(usize::try_from(limits::FRIENDS).unwrap_or(0));
        Ok(Luggage {
            scid: carried.scid.clone(),
            account: user_id.to_string(),
            packed: Moment(self.ground.clock.now_ms()),
            name: name.filter(|name| name.len() <= NAME_BYTES).map(str::to_owned),
            avatar: profile.get(wayside_identity::avatar::PROFILE_FIELD).cloned(),
            friends,
            blocked: blocked.collect(),
            credentials: self.packed_credentials(user_id).await?,
        })
    }

    /// What somebody was given that they take along: the newest, as much of it as fits.
    async fn packed_credentials(&self, user_id: &UserId) -> Result<Vec<Given>, Error> {
        let held = self.beneath.badges.held(user_id).await?;
        let mut room = CREDENTIALS_BYTES;
        let mut packed = Vec::new();
        for one in held {
            let credential = one.credential.value().clone();
            let Some(left) = room.checked_sub(credential.to_string().len()) else { break };
            room = left;
            packed.push(Given { credential, shown: one.shown });
        }
        Ok(packed)
    }

    /// Looks at the copies of somebody at that time, or before.
    fn note_due(&self, user_id: &UserId, at_ms: i64) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let at = due.entry(user_id.to_owned()).or_insert(at_ms);
        *at = (*at).min(at_ms);
        drop(due);
        self.ring.notify_one();
    }

    /// Whose copies are to be looked at now.
    fn take_due(&self, now_ms: i64) -> Vec<OwnedUserId> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let now: Vec<_> =
            due.iter().filter(|(_, at)| **at <= now_ms).map(|(one, _)| one.clone()).collect();
        due.retain(|_, at| *at > now_ms);
        now
    }
}

/// Most bytes of credentials that are packed.
const CREDENTIALS_BYTES: usize = 128 * 1024;
/// Longest name that is packed, in bytes.
const NAME_BYTES: usize = 255;
