//! What those who run the node do with accounts and rooms of others: see them, make them, delete them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::TimelineEventType};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use wayside_identity::shared_secret::{self, Wish};
use wayside_specs::Role;

use super::{
    Error, Ground,
    accounts::{Accounts, DeviceWish, Hold, Invited, Registering, SignedIn, Traces},
    affairs::{Affairs, Spread},
    rooms::{Listed, Membership, NewRoom, Preset, Request, Rooms, Step},
};
use crate::store::{StoreError, deletions, oversight, rooms};
pub use crate::store::{
    deletions::{Deletion, Stage},
    oversight::{RoomCounted, RoomsAsked, UserListed, UsersAsked, Way},
};

/// How long a nonce is good, in milliseconds.
const NONCE_MS: i64 = 60_000;
/// Nonces that are out at once.
const NONCES: usize = 1_000;
/// Events that are purged in one go, so that nobody waits long behind it.
const PURGED_AT_ONCE: i64 = 50;
/// People after whose leaving it is noted how far a deletion is.
const NOTED_AFTER: usize = 50;
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

/// What is to be done with a room.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default)]
pub struct DeleteWish {
    /// Who makes a room to which everybody is led; nobody is led anywhere without one.
    pub new_room_user_id: Option<OwnedUserId>,
    /// What that room is called.
    pub room_name: Option<String>,
    /// What is said there.
    pub message: Option<String>,
    /// Let nobody come into the old one any more.
    pub block: bool,
    /// Remove all that is kept of it.
    pub purge: bool,
    /// Also where somebody could not leave it.
    pub force_purge: bool,
}

impl Default for DeleteWish {
    fn default() -> Self {
        Self {
            new_room_user_id: None,
            room_name: None,
            message: None,
            block: false,
            purge: true,
            force_purge: false,
        }
    }
}

/// What became of those in a room.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Shutdown {
    /// Who was led out.
    pub kicked_users: Vec<OwnedUserId>,
    /// Who could not be.
    pub failed_to_kick_users: Vec<OwnedUserId>,
    /// The names of it that were taken away or moved.
    pub local_aliases: Vec<OwnedRoomAliasId>,
    /// The room to which they were led.
    pub new_room_id: Option<OwnedRoomId>,
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

    /// Begins to delete a room; nothing where it is unknown here and only blocked. The work is done
    /// by [`Oversight::delete`].
    pub async fn begin_deletion(
        &self,
        room_id: &RoomId,
        wish: &DeleteWish,
        by: &UserId,
    ) -> Result<Option<Deletion>, Error> {
        if let Some(user_id) = &wish.new_room_user_id {
            self.accounts.resident(user_id).await?;
        }
        let text = serde_json::to_string(wish).map_err(Error::internal)?;
        let result = serde_json::to_string(&Shutdown::default()).map_err(Error::internal)?;
        let delete_id = self.ground.clock.random_name(16);
        let (room_id, by, block) = (room_id.to_owned(), by.to_owned(), wish.block);
        let now_ms = self.ground.clock.now_ms();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let room = rooms::room(tx, &room_id).await?;
                    if block {
                        tx.block_room(&room_id, &by, now_ms).await?;
                    }
                    let Some(room) = room else {
                        let why = || Error::NotFound(format!("there is no room {room_id}"));
                        return if block { Ok(None) } else { Err(why()) };
                    };
                    let works = deletions::deletions(tx, Some(&room_id)).await?;
                    if works.iter().any(|work| work.stage == Stage::Active) {
                        return Err(Error::Invalid("the room is being deleted already".to_owned()));
                    }
                    let deletion = Deletion {
                        delete_id,
                        room_id,
                        room_no: room.room_no,
                        wish: text,
                        stage: Stage::Active,
                        error: None,
                        result,
                        purged: 0,
                    };
                    tx.begin_deletion(&deletion, now_ms).await?;
                    Ok(Some(deletion))
                })
            })
            .await
    }

    /// Deletes a room as it was begun, and gives what became of those inside. What it has done when
    /// the node ends, stays done, and the rest is done at the next start.
    pub async fn delete(&self, mut deletion: Deletion) -> Result<Deletion, Error> {
        let _turn = self.turn.acquire().await.map_err(Error::internal)?;
        match self.try_delete(&mut deletion).await {
            Ok(true) => deletion.stage = Stage::Complete,
            // The node ends.
            Ok(false) => return Ok(deletion),
            Err(error @ Error::Unavailable(_)) => return Err(error),
            Err(error) => {
                deletion.stage = Stage::Failed;
                deletion.error = Some(error.to_string());
                let error = anyhow::Error::from(error);
                tracing::warn!(error = format!("{error:#}"), "a room could not be deleted");
            }
        }
        self.note(&deletion).await?;
        Ok(deletion)
    }

    /// Goes on with the deletions that an earlier process had begun.
    pub async fn resume(&self) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let works = deletions::deletions(&mut snapshot, None).await?;
        drop(snapshot);
        for work in works {
            self.delete(work).await?;
        }
        Ok(())
    }

    /// The deletion of that name.
    pub async fn deletion(&self, delete_id: &str) -> Result<Deletion, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let found = deletions::deletion(&mut snapshot, delete_id).await?;
        found.ok_or_else(|| Error::NotFound("there is no such deletion".to_owned()))
    }

    /// The deletions of a room.
    pub async fn deletions(&self, room_id: &RoomId) -> Result<Vec<Deletion>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let found = deletions::deletions(&mut snapshot, Some(room_id)).await?;
        if found.is_empty() {
            return Err(Error::NotFound("this room was not deleted".to_owned()));
        }
        Ok(found)
    }

    /// Does what is left of a deletion; false where the node ends before.
    async fn try_delete(&self, deletion: &mut Deletion) -> Result<bool, Error> {
        let wish: DeleteWish = serde_json::from_str(&deletion.wish).map_err(Error::internal)?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let known = rooms::room(&mut snapshot, &deletion.room_id).await?;
        drop(snapshot);
        let room_no = deletion.room_no;
        if known.is_some_and(|room| room.room_no == room_no) {
            if !self.shut_down(deletion, &wish).await? {
                return Ok(false);
            }
            if !wish.purge {
                return Ok(true);
            }
            let remove = self.ground.store.write::<_, StoreError>(move |tx| {
                Box::pin(async move { tx.remove_room(room_no).await })
            });
            remove.await?;
        }
        loop {
            if self.ground.stop.is_cancelled() {
                return Ok(false);
            }
            let purge = self.ground.store.write::<_, StoreError>(move |tx| {
                Box::pin(async move { tx.purge_events(room_no, PURGED_AT_ONCE).await })
            });
            let (purged, done) = purge.await?;
            deletion.purged += purged;
            if done {
                break;
            }
            self.note(deletion).await?;
        }
        Ok(true)
    }

    /// Leads all who live here out of a room, to another one where that is wished; false where the
    /// node ends before.
    async fn shut_down(&self, deletion: &mut Deletion, wish: &DeleteWish) -> Result<bool, Error> {
        let mut done: Shutdown = serde_json::from_str(&deletion.result).map_err(Error::internal)?;
        let (room_id, room_no) = (deletion.room_id.clone(), deletion.room_no);
        let mut snapshot = self.ground.store.snapshot().await?;
        let aliases = rooms::aliases_of(&mut snapshot, room_no).await?;
        let mut people = Vec::new();
        for standing in [Membership::Join, Membership::Invite, Membership::Knock] {
            let rows = rooms::members(&mut snapshot, room_no, standing).await?;
            people.extend(rows.into_iter().map(|row| (row.user_id, standing)));
        }
        drop(snapshot);
        people.retain(|(user_id, _)| self.ground.is_local(user_id));
        if let (Some(host), None) = (&wish.new_room_user_id, &done.new_room_id) {
            done.new_room_id = Some(self.new_room(host, wish).await?);
        }
        done.failed_to_kick_users.clear();
        for (at, (user_id, standing)) in people.into_iter().enumerate() {
            if self.ground.stop.is_cancelled() {
                return Ok(false);
            }
            let leave = Step::to(Membership::Leave);
            if let Err(error) = self.rooms.step(&room_id, &user_id, &user_id, leave).await {
                let error = anyhow::Error::from(error);
                tracing::warn!(
                    error = format!("{error:#}"),
                    "somebody stays in a room that is deleted"
                );
                done.failed_to_kick_users.push(user_id);
                continue;
            }
            if let (Some(new), Membership::Join) = (&done.new_room_id, standing) {
                let join = Step::to(Membership::Join);
                self.rooms.step(new, &user_id, &user_id, join).await?;
            }
            done.kicked_users.push(user_id);
            if at % NOTED_AFTER == 0 {
                self.note_people(deletion, &done).await?;
            }
        }
        let new = done.new_room_id.clone();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    tx.publish_room(room_no, false).await?;
                    let new = match &new {
                        Some(new) => rooms::room(tx, new).await?,
                        None => None,
                    };
                    match new {
                        Some(new) => tx.move_aliases(room_no, new.room_no).await?,
                        None => tx.remove_aliases(room_no).await?,
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await?;
        done.local_aliases.extend(aliases);
        self.note_people(deletion, &done).await?;
        if wish.purge && !wish.force_purge && !done.failed_to_kick_users.is_empty() {
            return Err(Error::Invalid("not everybody could leave: see who".to_owned()));
        }
        Ok(true)
    }

    /// The room to which those are led who were in one that is deleted: they listen there.
    async fn new_room(&self, host: &UserId, wish: &DeleteWish) -> Result<OwnedRoomId, Error> {
        let name = wish.room_name.clone();
        let new = NewRoom {
            creator: Some(host.to_owned()),
            preset: Preset::Public,
            name: Some(name.unwrap_or_else(|| "Content Violation Notification".to_owned())),
            power_levels: serde_json::Map::from_iter([("users_default".to_owned(), json!(-10))]),
            ..NewRoom::default()
        };
        let room_id = self.rooms.create(new).await?;
        let message = wish.message.clone().unwrap_or_else(|| {
            "The room you were in is closed: its content is not allowed on this server.".to_owned()
        });
        let content = json!({ "msgtype": "m.text", "body": message });
        let content = serde_json::value::to_raw_value(&content).map_err(Error::internal)?;
        let request = Request {
            user_id: host.to_owned(),
            device_id: "".into(),
            scope: format!("delete {room_id}"),
            txn_id: "message".to_owned(),
            sent: None,
        };
        self.rooms.send(&room_id, TimelineEventType::RoomMessage, content, request).await?;
        Ok(room_id)
    }

    async fn note_people(&self, deletion: &mut Deletion, done: &Shutdown) -> Result<(), Error> {
        deletion.result = serde_json::to_string(done).map_err(Error::internal)?;
        self.note(deletion).await
    }

    async fn note(&self, deletion: &Deletion) -> Result<(), Error> {
        let deletion = deletion.clone();
        let note = self.ground.store.write::<_, StoreError>(move |tx| {
            Box::pin(async move { tx.note_deletion(&deletion).await })
        });
        Ok(note.await?)
    }

    fn nonces(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::{app, config::Config, store::Purpose};

    /// A node with Ann on it.
    async fn node(folder: &std::path::Path) -> crate::services::Services {
        let config = Config {
            data: folder.to_owned(),
            registration: crate::config::Registration::Open,
            ..Config::default()
        };
        app::open(config, Purpose::Serving).await.unwrap().services
    }

    async fn traces(services: &crate::services::Services, room_no: i64) -> (i64, i64) {
        let ground = services.ground.clone();
        let count = ground.store.write::<_, StoreError>(move |tx| {
            Box::pin(async move { tx.traces_of_room(room_no).await })
        });
        count.await.unwrap()
    }

    /// A room of hers with everything in it that hangs on a room.
    async fn furnished(services: &crate::services::Services, ann: &UserId) -> (OwnedRoomId, i64) {
        let new = NewRoom {
            creator: Some(ann.to_owned()),
            preset: Preset::Public,
            alias: Some("furnished".to_owned()),
            published: true,
            ..NewRoom::default()
        };
        let room_id = services.rooms.create(new).await.unwrap();
        let mut last = None;
        for number in 0..60 {
            let mut content = json!({ "msgtype": "m.text", "body": format!("word {number}") });
            if let Some(event_id) = &last {
                content["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": event_id });
            }
            let request = Request {
                user_id: ann.to_owned(),
                device_id: "D".into(),
                scope: "send".to_owned(),
                txn_id: number.to_string(),
                sent: None,
            };
            let content = to_raw_value(&content).unwrap();
            let kind = TimelineEventType::RoomMessage;
            let sent = services.rooms.send(&room_id, kind, content, request).await.unwrap();
            last.get_or_insert(sent);
            let (topic, key) = (json!({ "topic": number }), format!("k{number}"));
            let kind = "org.example.state".into();
            let topic = to_raw_value(&topic).unwrap();
            services.rooms.set_state(&room_id, ann, kind, key, topic, None).await.unwrap();
        }
        let event_id = last.unwrap();
        let social = &services.social;
        social.read_up_to(ann, &room_id, "m.read", None, &event_id).await.unwrap();
        let data = to_raw_value(&json!({})).unwrap();
        social.set_data_item(ann, Some(&room_id), "org.example.a", &data).await.unwrap();
        let network = services.rooms.list_on_network("irc", "n", &room_id, true);
        network.await.unwrap();
        let mut snapshot = services.ground.store.snapshot().await.unwrap();
        let room = rooms::room(&mut snapshot, &room_id).await.unwrap().unwrap();
        (room_id, room.room_no)
    }

    #[tokio::test]
    async fn of_a_deleted_room_nothing_is_left_and_of_others_everything() {
        let folder = tempfile::tempdir().unwrap();
        let services = node(folder.path()).await;
        let ann = services.ground.user_id("ann").unwrap();
        let wish = Registering {
            name: Some("ann".to_owned()),
            password: Some("correct horse battery staple".to_owned()),
            invitation: None,
            guest: false,
            device: DeviceWish { no_device: true, ..DeviceWish::default() },
        };
        services.accounts.register(wish).await.unwrap();
        let other = NewRoom { creator: Some(ann.clone()), ..NewRoom::default() };
        let other = services.rooms.create(other).await.unwrap();
        let (_, nodes) = traces(&services, 0).await;
        let (room_id, room_no) = furnished(&services, &ann).await;
        let (rows, more) = traces(&services, room_no).await;
        assert!(rows > 200 && more > nodes + 60, "{rows} rows, {more} nodes");

        let wish = DeleteWish::default();
        let begun =
            services.oversight.begin_deletion(&room_id, &wish, &ann).await.unwrap().unwrap();
        let twice = services.oversight.begin_deletion(&room_id, &wish, &ann).await;
        assert!(matches!(twice, Err(Error::Invalid(_))));
        let done = services.oversight.delete(begun).await.unwrap();
        assert_eq!((done.stage, done.error), (Stage::Complete, None));
        assert!(done.purged > 120, "{}", done.purged);
        assert_eq!(traces(&services, room_no).await, (0, nodes));
        // What is not the room's stays and can be read.
        assert!(services.rooms.listing(&other).await.unwrap().is_some());
        let history = services.rooms.history_visibility(&other).await.unwrap();
        assert_eq!(history.as_deref(), Some("shared"));
    }
}
