//! Finding rooms: aliases and the public directory.

use ruma::{
    OwnedRoomAliasId, OwnedRoomId, RoomAliasId, RoomId, RoomOrAliasId, UserId,
    events::StateEventType,
};
use serde_json::{Value, value::RawValue};
use wayside_federation::{auth, state::StateKey};

use super::{
    super::Error, Rooms, append::needed, create::name_room, joined_room, membership::text_of,
};
use crate::store::{
    Reads, Snapshot,
    rooms::{self, RoomRow},
};

/// What is looked for in the public directory.
#[derive(Clone, Debug, Default)]
pub struct DirectoryQuery {
    /// At most so many rooms.
    pub limit: i64,
    /// Behind this place: how many have joined, and the room's number.
    pub behind: Option<(i64, i64)>,
    /// Words that the name, topic or alias must hold.
    pub words: Option<String>,
    /// Only rooms of these types; nothing in it stands for rooms without a type.
    pub kinds: Option<Vec<Option<String>>>,
}

/// A page of the directory.
#[derive(Debug, Default)]
pub struct DirectoryPage {
    /// The rooms.
    pub rooms: Vec<Listed>,
    /// Where the next page begins.
    pub next: Option<(i64, i64)>,
}

/// A room as the directory shows it.
#[derive(Debug)]
pub struct Listed {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its type.
    pub kind: Option<String>,
    /// How many have joined.
    pub joined: i64,
    /// Its name.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// Its picture, an mxc URI.
    pub avatar_url: Option<String>,
    /// Its alias.
    pub alias: Option<String>,
    /// Who may come.
    pub join_rule: Option<String>,
    /// Whether anybody may read it.
    pub world_readable: bool,
    /// Whether guests may come.
    pub guests_can_join: bool,
}

/// Rooms looked at for one page, so that a rare word does not read the whole directory at once.
const LOOKED_AT: i64 = 1_000;

impl Rooms {
    /// The room that a name or id stands for.
    pub async fn resolve(&self, name: &RoomOrAliasId) -> Result<OwnedRoomId, Error> {
        match <&RoomAliasId>::try_from(name) {
            Ok(alias) => self.by_alias(alias).await,
            Err(_) => RoomId::parse(name.as_str())
                .map_err(|_| Error::Invalid("that is no room".to_owned())),
        }
    }

    /// The room that an alias names.
    pub async fn by_alias(&self, alias: &RoomAliasId) -> Result<OwnedRoomId, Error> {
        let unknown = || Error::NotFound(format!("the alias {alias} names no room"));
        let mut snapshot = self.ground.store.snapshot().await?;
        let (room_no, _) = rooms::alias(&mut snapshot, alias).await?.ok_or_else(unknown)?;
        let room = rooms::by_numbers(&mut snapshot, &[room_no]).await?.pop();
        Ok(room.ok_or_else(unknown)?.room_id)
    }

    /// Names a room that the asker is in.
    pub async fn add_alias(
        &self,
        alias: &RoomAliasId,
        room_id: &RoomId,
        by: &UserId,
    ) -> Result<(), Error> {
        self.check_local(alias)?;
        let (alias, room_id, by) = (alias.to_owned(), room_id.to_owned(), by.to_owned());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let room = joined_room(tx, &room_id, &by).await?;
                    name_room(tx, &alias, room.room_no, &by).await
                })
            })
            .await
    }

    /// Takes a name away: whoever gave it may, and whoever may set the room's main alias.
    pub async fn remove_alias(&self, alias: &RoomAliasId, by: &UserId) -> Result<(), Error> {
        let (alias, by) = (alias.to_owned(), by.to_owned());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let unknown = || Error::NotFound(format!("the alias {alias} names no room"));
                    let (room_no, owner) = rooms::alias(tx, &alias).await?.ok_or_else(unknown)?;
                    let room =
                        rooms::by_numbers(tx, &[room_no]).await?.pop().ok_or_else(unknown)?;
                    if owner != by && !may_set_alias(tx, &room, &by).await? {
                        return Err(Error::Forbidden("you did not give this alias".to_owned()));
                    }
                    tx.remove_alias(&alias).await?;
                    Ok(())
                })
            })
            .await
    }

    /// The aliases of a room that the asker is in.
    pub async fn aliases(
        &self,
        room_id: &RoomId,
        asker: &UserId,
    ) -> Result<Vec<OwnedRoomAliasId>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = joined_room(&mut snapshot, room_id, asker).await?;
        Ok(rooms::aliases_of(&mut snapshot, room.room_no).await?)
    }

    /// Whether the public directory lists a room.
    pub async fn is_published(&self, room_id: &RoomId) -> Result<bool, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = rooms::room(&mut snapshot, room_id).await?;
        Ok(room.ok_or_else(|| Error::NotFound("there is no such room".to_owned()))?.published)
    }

    /// Lists a room in the directory or takes it off; for those who may set its main alias.
    pub async fn publish(
        &self,
        room_id: &RoomId,
        by: &UserId,
        published: bool,
    ) -> Result<(), Error> {
        let (room_id, by) = (room_id.to_owned(), by.to_owned());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let room = joined_room(tx, &room_id, &by).await?;
                    if !may_set_alias(tx, &room, &by).await? {
                        return Err(Error::Forbidden(
                            "you may not change how this room is listed".to_owned(),
                        ));
                    }
                    Ok(tx.publish_room(room.room_no, published).await?)
                })
            })
            .await
    }

    /// Lists a room or takes it off, by the word of the operator.
    pub async fn operator_publish(&self, room_id: &RoomId, published: bool) -> Result<(), Error> {
        let room_id = room_id.to_owned();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let room = rooms::room(tx, &room_id).await?;
                    let room =
                        room.ok_or_else(|| Error::NotFound("there is no such room".to_owned()))?;
                    Ok(tx.publish_room(room.room_no, published).await?)
                })
            })
            .await
    }

    /// All rooms of this node behind a number, with their numbers; for operators.
    pub async fn all(&self, after: i64, limit: i64) -> Result<Vec<(i64, Listed)>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut page = Vec::new();
        for room in rooms::all(&mut snapshot, after, limit).await? {
            page.push((room.room_no, listed(&mut snapshot, room).await?));
        }
        Ok(page)
    }

    /// A page of the public directory, the fullest rooms first.
    pub async fn directory(&self, query: &DirectoryQuery) -> Result<DirectoryPage, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut page = DirectoryPage::default();
        let rows = rooms::public(&mut snapshot, query.behind, LOOKED_AT).await?;
        let all = rows.len() as i64;
        let words = query.words.as_deref().map(str::to_lowercase);
        for (looked_at, room) in rows.into_iter().enumerate() {
            let place = (room.joined, room.room_no);
            if let Some(kinds) = &query.kinds
                && !kinds.contains(&room.kind)
            {
                continue;
            }
            let listed = listed(&mut snapshot, room).await?;
            if words.as_deref().is_none_or(|words| listed.holds(words)) {
                page.rooms.push(listed);
            }
            let more = looked_at as i64 + 1 < all || all == LOOKED_AT;
            if page.rooms.len() as i64 >= query.limit {
                page.next = more.then_some(place);
                break;
            }
            if looked_at as i64 + 1 == LOOKED_AT {
                page.next = Some(place);
            }
        }
        Ok(page)
    }

    pub(super) fn local_alias(&self, local: &str) -> Result<OwnedRoomAliasId, Error> {
        let wrong = || Error::Invalid(format!("{local:?} cannot be part of an alias"));
        if local.is_empty()
            || local.contains([':', '#', '\0'])
            || local.chars().any(char::is_whitespace)
        {
            return Err(wrong());
        }
        RoomAliasId::parse(format!("#{local}:{}", self.ground.server_name)).map_err(|_| wrong())
    }

    /// The aliases that a room calls its own must name it.
    pub(super) async fn check_canonical_alias(
        &self,
        room_id: &RoomId,
        value: &RawValue,
    ) -> Result<(), Error> {
        let value: Value = serde_json::from_str(value.get())
            .map_err(|_| Error::BadJson("the content must be an object".to_owned()))?;
        let main = value["alias"].as_str().into_iter();
        let others = value["alt_aliases"].as_array().map(Vec::as_slice).unwrap_or_default();
        let others = others.iter().take(100).filter_map(Value::as_str);
        for alias in main.chain(others) {
            let alias = RoomAliasId::parse(alias)
                .map_err(|_| Error::Invalid(format!("{alias:?} is not an alias")))?;
            if alias.server_name() == self.ground.server_name
                && self.by_alias(&alias).await.ok().as_deref() != Some(room_id)
            {
                return Err(Error::Invalid(format!("the alias {alias} does not name this room")));
            }
        }
        Ok(())
    }

    fn check_local(&self, alias: &RoomAliasId) -> Result<(), Error> {
        if alias.server_name() == self.ground.server_name {
            return Ok(());
        }
        Err(Error::Invalid(format!("aliases made here end in :{}", self.ground.server_name)))
    }
}

impl Listed {
    fn holds(&self, words: &str) -> bool {
        [&self.name, &self.topic, &self.alias]
            .into_iter()
            .flatten()
            .any(|text| text.to_lowercase().contains(words))
    }
}

async fn may_set_alias(from: &mut impl Reads, room: &RoomRow, by: &UserId) -> Result<bool, Error> {
    let create = StateKey::new(StateEventType::RoomCreate, "");
    let levels = StateKey::new(StateEventType::RoomPowerLevels, "");
    let held = needed(from, room, vec![create.clone(), levels.clone()]).await?;
    let Some(create) = held.get(&create) else { return Ok(false) };
    let levels =
        auth::power_levels(room.version, &create.event, held.get(&levels).map(|it| &it.event));
    Ok(levels.user(by) >= levels.event(&"m.room.canonical_alias".into(), true))
}

async fn listed(snapshot: &mut Snapshot, room: RoomRow) -> Result<Listed, Error> {
    let key = |kind: StateEventType| StateKey::new(kind, "");
    let keys = vec![
        key(StateEventType::RoomName),
        key(StateEventType::RoomTopic),
        key(StateEventType::RoomAvatar),
        key(StateEventType::RoomCanonicalAlias),
        key(StateEventType::RoomJoinRules),
        key(StateEventType::RoomHistoryVisibility),
        key(StateEventType::RoomGuestAccess),
    ];
    let held = needed(snapshot, &room, keys).await?;
    let text = |kind: StateEventType, name: &str| {
        held.get(&key(kind)).and_then(|it| text_of(it.event.content(), name))
    };
    let visibility = text(StateEventType::RoomHistoryVisibility, "history_visibility");
    let guests = text(StateEventType::RoomGuestAccess, "guest_access");
    Ok(Listed {
        name: text(StateEventType::RoomName, "name"),
        topic: text(StateEventType::RoomTopic, "topic"),
        avatar_url: text(StateEventType::RoomAvatar, "url"),
        alias: text(StateEventType::RoomCanonicalAlias, "alias"),
        join_rule: text(StateEventType::RoomJoinRules, "join_rule"),
        world_readable: visibility.as_deref() == Some("world_readable"),
        guests_can_join: guests.as_deref() == Some("can_join"),
        room_id: room.room_id,
        kind: room.kind,
        joined: room.joined,
    })
}
