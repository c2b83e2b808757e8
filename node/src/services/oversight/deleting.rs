//! Rooms that are deleted: everybody is led out, names and traces go, and the work outlives the node.

use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::TimelineEventType};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    super::{
        Error,
        rooms::{
            Membership, NewRoom, Preset, Request, Step,
            format::{self, Form, Unsigned},
        },
    },
    Oversight,
};
use crate::store::{
    StoreError, Tx,
    deletions::{self, Deletion, Gone, Stage},
    directory, events,
    rooms::{self, MemberRow},
};

/// Events that are purged in one go, so that nobody waits long behind it.
const PURGED_AT_ONCE: i64 = 50;
/// People after whose leaving it is noted how far a deletion is.
const NOTED_AFTER: usize = 50;

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

impl Oversight {
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
            self.note_gone(&deletion.room_id, room_no).await?;
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
        let aliases = directory::aliases_of(&mut snapshot, room_no).await?;
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
            if let Err(error) = self.affairs.leave(&room_id, &user_id).await {
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

    /// Writes down for those who live here and stood in a room that it is gone, each with the event
    /// that led them out: whoever is away meanwhile would go on believing that they are inside. A few
    /// at a time, so that nobody waits long behind it; nothing of it counts while the room is there.
    async fn note_gone(&self, room_id: &RoomId, room_no: i64) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut members = Vec::new();
        for standing in [
            Membership::Leave,
            Membership::Ban,
            Membership::Join,
            Membership::Invite,
            Membership::Knock,
        ] {
            members.extend(rooms::members(&mut snapshot, room_no, standing).await?);
        }
        drop(snapshot);
        members.retain(|row| !row.forgotten && self.ground.is_local(&row.user_id));
        for members in members.chunks(NOTED_AFTER) {
            let (members, room_id) = (members.to_vec(), room_id.to_owned());
            let note = self.ground.store.write::<_, StoreError>(move |tx| {
                Box::pin(async move { note_gone(tx, &room_id, &members).await })
            });
            note.await?;
        }
        Ok(())
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
}

async fn note_gone(tx: &mut Tx, room_id: &RoomId, members: &[MemberRow]) -> Result<(), StoreError> {
    let endings: Vec<_> = members.iter().map(|row| row.event_no).collect();
    let endings = events::by_numbers(tx, &endings).await?;
    let form = Form { under_room: true, ..Form::default() };
    for member in members {
        let is_out = matches!(member.membership, Membership::Leave | Membership::Ban);
        let ending = endings.get(&member.event_no).filter(|_| is_out);
        let event = ending.map(|it| format::client_event(it, form, Unsigned::default()));
        // Who could not be led out learns of it here first.
        let position = if is_out { member.position } else { tx.next_number() };
        let gone = Gone { room_no: member.room_no, room_id: room_id.to_owned(), position, event };
        tx.note_gone(&member.user_id, &gone).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::{
        app,
        config::Config,
        services::accounts::{DeviceWish, Registering},
        store::Purpose,
    };

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
