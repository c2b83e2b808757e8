//! Moving a room to newer rules: a room in its place, and a stone where it was.
//!
//! All of it is one transaction (client-server API, room upgrades).

use std::sync::Arc;

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, OwnedUserId, RoomId, UserId, events::StateEventType,
};
use serde_json::{Map, Value, json, value::RawValue};
use wayside_federation::{
    state::{EventNo, StateKey},
    version::RoomVersion,
};
use wayside_specs::limits;

use super::{
    super::{Error, Ground, servers::Urgency},
    NewRoom, Rooms, WORLD,
    append::{self, Saying, needed},
    content,
    create::{begin, fresh_id, own_rules},
    directory::{claimed_aliases, may_set},
    joined_room,
    signing::Signings,
};
use crate::store::{
    Tx, directory,
    events::{self, StoredEvent},
    rooms::{self, Membership, RoomRow, StateOf},
};

/// What is asked of the new room.
#[derive(Clone, Debug)]
pub struct Upgrade {
    /// The rules it follows.
    pub version: RoomVersion,
    /// Who counts as a creator of it beside who asks, where its rules know of that.
    pub creators: Vec<OwnedUserId>,
}

/// State that the new room begins with, as it was in the old one. Power levels come last of all, so
/// that none of it is forbidden by them.
const CARRIED: [StateEventType; 8] = [
    StateEventType::RoomServerAcl,
    StateEventType::RoomEncryption,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomGuestAccess,
    StateEventType::RoomHistoryVisibility,
    StateEventType::RoomJoinRules,
];
/// Keys of a create event that are not carried over: each room has its own.
const OWN_KEYS: [&str; 4] = ["room_version", "creator", "additional_creators", "predecessor"];
/// Bans and children of a space that are carried over at most; whoever has more sets the rest anew.
const MOST: usize = 2_000;
/// The power that speaking in the old room needs from then on.
const QUIET: i64 = 50;

impl Rooms {
    /// Puts a new room in the place of one, and gives its id.
    pub async fn upgrade(
        &self,
        room_id: &RoomId,
        by: &UserId,
        asked: Upgrade,
    ) -> Result<OwnedRoomId, Error> {
        if asked.creators.len() > limits::INVITES_PER_CREATE {
            let most = limits::INVITES_PER_CREATE;
            return Err(Error::Invalid(format!("a room has at most {most} further creators")));
        }
        let ground = self.ground.clone();
        let (room_id, by) = (room_id.to_owned(), by.to_owned());
        // Chosen once, for the stone that the old room's policy server signs names the new room.
        let (chosen, at) = (fresh_id(&ground, asked.version)?, ground.clock.now());
        let upgrade = Arc::new((ground, room_id, by, asked, chosen));
        let write = self.write(Urgency::Awaited, move |tx, signings| {
            let upgrade = upgrade.clone();
            Box::pin(async move {
                let (ground, room_id, by, asked, chosen) = &*upgrade;
                let mut old = joined_room(tx, room_id, by).await?;
                if !may_set(tx, &old, by, "m.room.tombstone").await? {
                    return Err(Error::Forbidden("you may not upgrade this room".to_owned()));
                }
                let mut moving = Moving { ground, tx, signings, by, asked, at };
                moving.all(&mut old, chosen.clone()).await
            })
        });
        write.await
    }
}

/// What a room is moved with.
struct Moving<'a> {
    ground: &'a Ground,
    tx: &'a mut Tx,
    signings: &'a mut Signings,
    by: &'a UserId,
    asked: &'a Upgrade,
    /// When the new room is made.
    at: MilliSecondsSinceUnixEpoch,
}

impl Moving<'_> {
    /// Where the new room's id can be chosen, it begins behind the stone, and says so. Else its id is not
    /// known before it has begun.
    async fn all(
        &mut self,
        old: &mut RoomRow,
        chosen: Option<OwnedRoomId>,
    ) -> Result<OwnedRoomId, Error> {
        let carried = self.carried(old).await?;
        let mut predecessor = json!({ "room_id": old.room_id });
        if let Some(id) = &chosen {
            let stone = self.tombstone(old, id).await?;
            predecessor["event_id"] = stone.event.id().as_str().into();
        }
        let mut new = self.begin(old, predecessor, chosen.clone()).await?;
        for saying in carried {
            self.append(&mut new, saying).await.map_err(own_rules)?;
        }
        self.aliases(old, &mut new).await?;
        if let Some(levels) = self.levels(old).await? {
            let saying = Saying::state(StateEventType::RoomPowerLevels, "", levels);
            self.append(&mut new, saying).await.map_err(own_rules)?;
        }
        if chosen.is_none() {
            self.tombstone(old, &new.room_id).await?;
        }
        self.quieten(old).await?;
        self.tx.move_room(&new).await?;
        self.tx.move_room(old).await?;
        if old.published {
            self.tx.publish_room(new.room_no, true).await?;
            self.tx.publish_room(old.room_no, false).await?;
        }
        Ok(new.room_id)
    }

    async fn append(&mut self, room: &mut RoomRow, saying: Saying) -> Result<StoredEvent, Error> {
        append::append(self.ground, self.tx, self.signings, room, self.by, saying).await
    }

    /// The same for what is good to have but not for everybody who may upgrade to set.
    async fn append_if_allowed(&mut self, room: &mut RoomRow, saying: Saying) -> Result<(), Error> {
        match self.append(room, saying).await {
            Ok(_) | Err(Error::Forbidden(_) | Error::Policy(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }

    async fn tombstone(&mut self, old: &mut RoomRow, to: &RoomId) -> Result<StoredEvent, Error> {
        let said = json!({ "body": "This room has been replaced", "replacement_room": to });
        let saying = Saying::state(StateEventType::RoomTombstone, "", content(&said)?);
        self.append(old, saying).await
    }

    async fn begin(
        &mut self,
        old: &RoomRow,
        predecessor: Value,
        room_id: Option<OwnedRoomId>,
    ) -> Result<RoomRow, Error> {
        let mut create = self.object(old, StateEventType::RoomCreate).await?.unwrap_or_default();
        create.retain(|key, _| !OWN_KEYS.contains(&key.as_str()));
        create.insert("predecessor".to_owned(), predecessor);
        let creators: Vec<&OwnedUserId> =
            self.asked.creators.iter().filter(|user| *user != self.by).collect();
        if self.asked.version == RoomVersion::V12 && !creators.is_empty() {
            create.insert("additional_creators".to_owned(), json!(creators));
        }
        let new = NewRoom {
            version: Some(self.asked.version),
            creation_content: create,
            ..NewRoom::default()
        };
        begin(self.ground, self.tx, self.by, &new, (room_id, self.at)).await
    }

    /// What the new room begins with, but for aliases and power levels.
    async fn carried(&mut self, old: &RoomRow) -> Result<Vec<Saying>, Error> {
        let mut kinds = CARRIED.to_vec();
        if old.kind.as_deref() == Some(WORLD) {
            kinds.push(WORLD.into());
        }
        let keys: Vec<StateKey> = kinds.into_iter().map(|kind| StateKey::new(kind, "")).collect();
        let mut held = needed(self.tx, old, keys.clone()).await?;
        let mut carried: Vec<Saying> =
            keys.iter().filter_map(|key| held.remove(key)).map(|it| repeated(&it)).collect();
        if old.kind.as_deref() == Some("m.space") {
            let children =
                rooms::state_events(self.tx, old.room_no, StateOf::Kind("m.space.child")).await?;
            let children = self.events(&children).await?;
            let there = children.iter().filter(|it| it.event.content().get() != "{}");
            carried.extend(there.take(MOST).map(repeated));
        }
        let banned = rooms::members(self.tx, old.room_no, Membership::Ban).await?;
        let banned: Vec<EventNo> = banned.iter().take(MOST).map(|row| row.event_no).collect();
        carried.extend(self.events(&banned).await?.iter().map(repeated));
        Ok(carried)
    }

    async fn events(&mut self, numbers: &[EventNo]) -> Result<Vec<StoredEvent>, Error> {
        let found = events::by_numbers(self.tx, numbers).await?;
        let mut found: Vec<StoredEvent> = found.into_values().collect();
        found.sort_by_key(|it| it.event_no);
        Ok(found)
    }

    /// Lets the aliases of this node name the new room, which calls those its own that the old one did.
    async fn aliases(&mut self, old: &mut RoomRow, new: &mut RoomRow) -> Result<(), Error> {
        self.tx.move_aliases(old.room_no, new.room_no).await?;
        let key = StateKey::new(StateEventType::RoomCanonicalAlias, "");
        let held = needed(self.tx, old, vec![key.clone()]).await?;
        let Some(held) = held.get(&key) else { return Ok(()) };
        let claimed = held.event.content().to_owned();
        let moved: Vec<String> = directory::aliases_of(self.tx, new.room_no)
            .await?
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut kept: Vec<String> =
            claimed_aliases(&claimed).into_iter().filter(|alias| moved.contains(alias)).collect();
        kept.dedup();
        if kept.is_empty() {
            return Ok(());
        }
        let mut said = json!({});
        let main: Value = serde_json::from_str(claimed.get()).unwrap_or_default();
        if let Some(alias) =
            main["alias"].as_str().filter(|alias| moved.iter().any(|it| it == alias))
        {
            said["alias"] = alias.into();
            kept.retain(|it| it != alias);
        }
        if !kept.is_empty() {
            said["alt_aliases"] = json!(kept);
        }
        let kind = StateEventType::RoomCanonicalAlias;
        self.append(new, Saying::state(kind.clone(), "", content(&said)?)).await?;
        self.append_if_allowed(old, Saying::state(kind, "", content(&json!({}))?)).await
    }

    /// The power levels of the new room. In version 12 creators stand above all of them and must not
    /// be named; before it, who stood above all by having made the room must be.
    async fn levels(&mut self, old: &RoomRow) -> Result<Option<Box<RawValue>>, Error> {
        let Some(mut levels) = self.object(old, StateEventType::RoomPowerLevels).await? else {
            return Ok(None);
        };
        let entry = levels.entry("users").or_insert_with(|| json!({}));
        if let Some(users) = entry.as_object_mut() {
            if self.asked.version == RoomVersion::V12 {
                let is_creator = |user: &str| {
                    user == self.by || self.asked.creators.iter().any(|creator| creator == user)
                };
                users.retain(|user, _| !is_creator(user));
            } else if old.version == RoomVersion::V12 {
                users.entry(self.by.to_string()).or_insert_with(|| json!(100));
            }
        }
        Ok(Some(content(&Value::Object(levels))?))
    }

    /// Lets nobody but moderators speak and invite in the old room.
    async fn quieten(&mut self, old: &mut RoomRow) -> Result<(), Error> {
        let Some(mut levels) = self.object(old, StateEventType::RoomPowerLevels).await? else {
            return Ok(());
        };
        let level = |name: &str, otherwise: i64| {
            levels.get(name).and_then(Value::as_i64).unwrap_or(otherwise)
        };
        let quiet = QUIET.max(level("users_default", 0).saturating_add(1));
        let changed: Vec<(&str, i64)> = ["events_default", "invite"]
            .into_iter()
            .map(|name| (name, level(name, 0).max(quiet)))
            .collect();
        for (name, level) in changed {
            levels.insert(name.to_owned(), level.into());
        }
        let value = content(&Value::Object(levels))?;
        let saying = Saying::state(StateEventType::RoomPowerLevels, "", value);
        self.append_if_allowed(old, saying).await
    }

    /// The content of a state of the old room.
    async fn object(
        &mut self,
        old: &RoomRow,
        kind: StateEventType,
    ) -> Result<Option<Map<String, Value>>, Error> {
        let key = StateKey::new(kind, "");
        let held = needed(self.tx, old, vec![key.clone()]).await?;
        let Some(held) = held.get(&key) else { return Ok(None) };
        serde_json::from_str(held.event.content().get()).map(Some).map_err(Error::internal)
    }
}

/// A state event said again.
fn repeated(stored: &StoredEvent) -> Saying {
    let event = &stored.event;
    Saying {
        kind: event.kind().clone(),
        state_key: event.state_key().map(str::to_owned),
        content: event.content().to_owned(),
        redacts: None,
        sent: None,
    }
}
