//! What changes a person in many places at once: ending their account, showing another name or picture.
//!
//! Each is a row of transactions, one for each room. Once it has begun it goes on to its end as a
//! task of its own, also when whoever asked for it hangs up. The first transaction says what is
//! wished; the others follow from it and change nothing when they are done twice, so that what a
//! crash leaves undone of an ended account is done at the next start, and the rest by asking again.

use std::sync::Arc;

use ruma::{OwnedUserId, RoomId, UserId};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Error, Ground,
    accounts::{Accounts, Confirmed, Traces},
    federation::Federation,
    identity_servers::IdentityServers,
    rooms::{Membership, Rooms, Step},
    social::Social,
};
use crate::store::accounts;

/// The service of what concerns a person everywhere.
#[derive(Clone)]
pub struct Affairs {
    ground: Arc<Ground>,
    accounts: Arc<Accounts>,
    rooms: Arc<Rooms>,
    federation: Arc<Federation>,
    identity_servers: Arc<IdentityServers>,
    social: Arc<Social>,
}

/// Into which rooms a changed name or picture is written (proposal 4466, `propagate_to`).
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// All.
    #[default]
    All,
    /// Those where nothing else was set.
    Unchanged,
    /// None.
    None,
}

/// What became of what an account that has ended had elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// How many rooms could not be left.
    pub staying: usize,
    /// Whether identity servers have forgotten all addresses that it had bound.
    pub unbound: bool,
}

/// Ended accounts that are looked at together.
const PAGE: i64 = 100;

impl Affairs {
    /// The service on its ground and on those below it.
    #[must_use]
    pub fn new(
        ground: Arc<Ground>,
        accounts: Arc<Accounts>,
        rooms: Arc<Rooms>,
        federation: Arc<Federation>,
        identity_servers: Arc<IdentityServers>,
        social: Arc<Social>,
    ) -> Self {
        Self { ground, accounts, rooms, federation, identity_servers, social }
    }

    /// Ends an account for ever: its devices are signed out, its profile is gone, and the person
    /// leaves every room. Where a password confirmed it, that must still be the account's. Rooms that
    /// could not be left are tried again at the next start.
    pub async fn end_account(
        &self,
        user_id: &UserId,
        confirmed: Option<Confirmed>,
        traces: Traces,
    ) -> Result<Ended, Error> {
        let (affairs, user_id) = (self.clone(), user_id.to_owned());
        self.ground
            .to_its_end(async move {
                affairs.accounts.end(&user_id, confirmed, traces).await?;
                let unbound = affairs.identity_servers.unbind_all(&user_id).await;
                let unbound = unbound.unwrap_or_else(|error| {
                    tracing::warn!(%error, "what somebody has bound who has ended stays so");
                    false
                });
                let staying = affairs.leave_all(&user_id).await?;
                Ok(Ended { staying, unbound })
            })
            .await
    }

    /// Lets those leave their rooms whose accounts have ended and who did not get so far: when the
    /// node was killed meanwhile, or was asked to end.
    pub async fn finish_ended(&self) -> Result<(), Error> {
        let mut after = String::new();
        while !self.ground.stop.is_cancelled() {
            let mut snapshot = self.ground.store.snapshot().await?;
            let page = accounts::ended_in_rooms(&mut snapshot, &after, PAGE).await?;
            drop(snapshot);
            let Some(last) = page.last() else { break };
            after = last.to_string();
            for user_id in page {
                let _tried_again_at_the_next_start = self.leave_all(&user_id).await?;
            }
        }
        Ok(())
    }

    /// Lets somebody leave a room, or turn away from its door, wherever it is.
    pub async fn leave(&self, room_id: &RoomId, user_id: &UserId) -> Result<(), Error> {
        let leave = Step::to(Membership::Leave);
        self.federation.step(room_id, user_id, user_id, leave, &[]).await
    }

    /// Lets somebody leave every room, and gives how many they could not.
    async fn leave_all(&self, user_id: &UserId) -> Result<usize, Error> {
        let there = [Membership::Join, Membership::Invite, Membership::Knock];
        let mut staying = 0;
        for room_id in self.rooms.where_one_is(user_id, &there).await? {
            if let Err(error) = self.leave(&room_id, user_id).await {
                let error = anyhow::Error::from(error);
                tracing::warn!(
                    error = format!("{error:#}"),
                    "somebody who has ended stays in a room"
                );
                staying += 1;
            }
        }
        Ok(staying)
    }

    /// Sets a field of one's profile, or removes it, and shows it in the rooms.
    pub async fn set_profile_field(
        &self,
        user_id: &UserId,
        name: &str,
        value: Option<Value>,
        spread: Spread,
    ) -> Result<(), Error> {
        let (social, rooms) = (self.social.clone(), self.rooms.clone());
        let (user_id, name): (OwnedUserId, String) = (user_id.to_owned(), name.to_owned());
        self.ground
            .to_its_end(async move {
                let before = social.set_profile_field(&user_id, &name, value).await?;
                match spread {
                    _ if !is_shown(&name) => Ok(()),
                    Spread::None => Ok(()),
                    Spread::All => rooms.show_profile(&user_id, &name, None).await,
                    Spread::Unchanged => rooms.show_profile(&user_id, &name, Some(before)).await,
                }
            })
            .await
    }
}

/// Whether member events carry the field.
#[must_use]
pub fn is_shown(name: &str) -> bool {
    name == "displayname" || name == "avatar_url"
}
