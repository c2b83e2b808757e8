//! Finding rooms: aliases and the public directory.

use ruma::{
    OwnedRoomAliasId, OwnedRoomId, RoomAliasId, RoomId, RoomOrAliasId, UserId,
    events::StateEventType,
};
use serde_json::{Value, value::RawValue};
use wayside_federation::{auth, state::StateKey, version::RoomVersion};

use super::{
    super::Error, Rooms, append::needed, create::name_room, joined_room, membership::text_of,
    networks::Network,
};
use crate::store::{
    Reads, Snapshot, directory,
    rooms::{self, Membership, RoomRow},
};

/// What is looked for in the public directory.
#[derive(Clone, Debug, Default)]
pub struct DirectoryQuery {
    /// At most so many rooms.
    pub limit: usize,
    /// Where the page lies.
    pub place: DirectoryPlace,
    /// Words that the name, topic or alias must hold.
    pub words: Option<String>,
    /// Only rooms of these types; nothing in it stands for rooms without a type.
    pub kinds: Option<Vec<Option<String>>>,
    /// Whose directory.
    pub network: Network,
}

/// Where a page of the directory lies. A room's place is how many have joined, and its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DirectoryPlace {
    /// At the beginning.
    #[default]
    First,
    /// After that room.
    Behind(i64, i64),
    /// Before that room.
    Before(i64, i64),
}

/// A page of the directory.
#[derive(Debug, Default)]
pub struct DirectoryPage {
    /// The rooms.
    pub rooms: Vec<Listed>,
    /// Where the page before it lies.
    pub before: Option<DirectoryPlace>,
    /// Where the next page lies.
    pub next: Option<DirectoryPlace>,
    /// How many rooms the whole directory has, whatever is looked for.
    pub all: i64,
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
    /// What the room says of itself as a world, as it stands there.
    pub world: Option<Value>,
    /// Which rules it follows.
    pub version: RoomVersion,
    /// How what is said there is encrypted, if it is.
    pub encryption: Option<String>,
    /// The rooms whose members may come, where it is restricted to those.
    pub allowed: Vec<OwnedRoomId>,
}

/// The type of rooms that are worlds, and of the state that says what they show (MSC3815).
pub const WORLD: &str = "org.matrix.msc3815.world";

/// Rooms looked at for one page, so that a rare word does not read the whole directory at once.
const LOOKED_AT: i64 = 1_000;
/// Other aliases of one room that are looked at.
const ALIASES: usize = 100;
/// Other rooms whose members are let in that are looked at.
const ALLOWED: usize = 100;

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
        let (room_no, _) = directory::alias(&mut snapshot, alias).await?.ok_or_else(unknown)?;
        let room = rooms::by_numbers(&mut snapshot, &[room_no]).await?.pop();
        Ok(room.ok_or_else(unknown)?.room_id)
    }

    /// Names a room that the asker is in, for whom perhaps an application service speaks.
    pub async fn add_alias(
        &self,
        alias: &RoomAliasId,
        room_id: &RoomId,
        by: &UserId,
        service: Option<&str>,
    ) -> Result<(), Error> {
        self.check_local(alias)?;
        self.ground.app_services.check_alias(alias, service)?;
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
    pub async fn remove_alias(
        &self,
        alias: &RoomAliasId,
        by: &UserId,
        service: Option<&str>,
    ) -> Result<(), Error> {
        self.ground.app_services.check_alias(alias, service)?;
        let (alias, by) = (alias.to_owned(), by.to_owned());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let unknown = || Error::NotFound(format!("the alias {alias} names no room"));
                    let (room_no, owner) =
                        directory::alias(tx, &alias).await?.ok_or_else(unknown)?;
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

    /// The aliases of a room that the asker is in, or that anybody may read.
    pub async fn aliases(
        &self,
        room_id: &RoomId,
        asker: &UserId,
    ) -> Result<Vec<OwnedRoomAliasId>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let outside = || Error::Forbidden(format!("you are not in the room {room_id}"));
        let room = rooms::room(&mut snapshot, room_id).await?.ok_or_else(outside)?;
        let row = rooms::membership(&mut snapshot, room.room_no, asker).await?;
        let inside = row.is_some_and(|row| row.membership == Membership::Join);
        if !inside && !listed(&mut snapshot, room.clone()).await?.world_readable {
            return Err(outside());
        }
        Ok(directory::aliases_of(&mut snapshot, room.room_no).await?)
    }

    /// What the directory would show of a room, whether it lists it or not, and whether it does.
    pub async fn listing(&self, room_id: &RoomId) -> Result<Option<(Listed, bool)>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(None) };
        let published = room.published;
        Ok(Some((listed(&mut snapshot, room).await?, published)))
    }

    /// Who reads what was said in a room, as its state says.
    pub async fn history_visibility(&self, room_id: &RoomId) -> Result<Option<String>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(None) };
        let key = StateKey::new(StateEventType::RoomHistoryVisibility, "");
        let held = needed(&mut snapshot, &room, vec![key.clone()]).await?;
        Ok(held.get(&key).and_then(|it| text_of(it.event.content(), "history_visibility")))
    }

    /// The rooms of a type to which somebody stands in that way, as the directory would show them.
    pub async fn of_kind(
        &self,
        kind: &str,
        user_id: &UserId,
        membership: Membership,
    ) -> Result<Vec<Listed>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let mine = rooms::memberships_of(&mut snapshot, user_id).await?;
        let wanted = mine.iter().filter(|row| row.membership == membership);
        let numbers: Vec<i64> = wanted.map(|row| row.room_no).collect();
        let mut found = Vec::new();
        for room in rooms::by_numbers(&mut snapshot, &numbers).await? {
            if room.kind.as_deref() == Some(kind) {
                found.push(listed(&mut snapshot, room).await?);
            }
        }
        Ok(found)
    }

    /// How somebody stands to a room.
    pub async fn standing(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Option<Membership>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(None) };
        let row = rooms::membership(&mut snapshot, room.room_no, user_id).await?;
        Ok(row.map(|row| row.membership))
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
        let network = &query.network;
        let all = directory::public_count(&mut snapshot, network).await?;
        let rows = match query.place {
            DirectoryPlace::First => {
                directory::public(&mut snapshot, network, None, LOOKED_AT).await?
            }
            DirectoryPlace::Behind(joined, number) => {
                let behind = Some((joined, number));
                directory::public(&mut snapshot, network, behind, LOOKED_AT).await?
            }
            DirectoryPlace::Before(joined, number) => {
                directory::public_before(&mut snapshot, network, (joined, number), LOOKED_AT)
                    .await?
            }
        };
        let found = rows.len();
        let words = query.words.as_deref().map(str::to_lowercase);
        let mut kept = Vec::new();
        let (mut first, mut last, mut looked_at) = (None, None, 0);
        for room in rows {
            let place = (room.joined, room.room_no);
            first.get_or_insert(place);
            last = Some(place);
            looked_at += 1;
            if query.kinds.as_ref().is_some_and(|kinds| !kinds.contains(&room.kind)) {
                continue;
            }
            let listed = listed(&mut snapshot, room).await?;
            if words.as_deref().is_none_or(|words| listed.holds(words)) {
                kept.push(listed);
            }
            if kept.len() >= query.limit {
                break;
            }
        }
        let more = looked_at < found || i64::try_from(found) == Ok(LOOKED_AT);
        let behind = |place: Option<(i64, i64)>| place.map(|it| DirectoryPlace::Behind(it.0, it.1));
        let before = |place: Option<(i64, i64)>| place.map(|it| DirectoryPlace::Before(it.0, it.1));
        Ok(match query.place {
            // A page before another has that one behind it.
            DirectoryPlace::Before(..) => {
                kept.reverse();
                let earlier = before(last).filter(|_| more);
                DirectoryPage { rooms: kept, before: earlier, next: behind(first), all }
            }
            DirectoryPlace::Behind(..) => {
                let next = behind(last).filter(|_| more);
                DirectoryPage { rooms: kept, before: before(first), next, all }
            }
            DirectoryPlace::First => {
                let next = behind(last).filter(|_| more);
                DirectoryPage { rooms: kept, before: None, next, all }
            }
        })
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

    /// The aliases that a room newly calls its own must name it; those that it called its own
    /// before stay (client-server API, `PUT /state`).
    pub(super) async fn check_canonical_alias(
        &self,
        room_id: &RoomId,
        value: &RawValue,
    ) -> Result<(), Error> {
        let claimed = claimed_aliases(value);
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(()) };
        let key = StateKey::new(StateEventType::RoomCanonicalAlias, "");
        let held = needed(&mut snapshot, &room, vec![key.clone()]).await?;
        let known = held.get(&key).map(|it| claimed_aliases(it.event.content()));
        let known = known.unwrap_or_default();
        for alias in claimed.into_iter().filter(|alias| !known.contains(alias)) {
            let alias = RoomAliasId::parse(&alias)
                .map_err(|_| Error::Invalid(format!("{alias:?} is not an alias")))?;
            let named = directory::alias(&mut snapshot, &alias).await?.map(|(room_no, _)| room_no);
            if alias.server_name() == self.ground.server_name && named != Some(room.room_no) {
                return Err(Error::BadAlias(alias.to_string()));
            }
        }
        Ok(())
    }

    fn check_local(&self, alias: &RoomAliasId) -> Result<(), Error> {
        if alias.server_name() == self.ground.server_name {
            return self.local_alias(alias.alias()).map(drop);
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

/// The main alias and the others in the content of an `m.room.canonical_alias` event.
pub(super) fn claimed_aliases(content: &RawValue) -> Vec<String> {
    let value: Value = serde_json::from_str(content.get()).unwrap_or_default();
    let others = value["alt_aliases"].as_array().map(Vec::as_slice).unwrap_or_default();
    let all = std::iter::once(&value["alias"]).chain(others.iter().take(ALIASES));
    all.filter_map(Value::as_str).filter(|alias| !alias.is_empty()).map(str::to_owned).collect()
}

async fn may_set_alias(from: &mut impl Reads, room: &RoomRow, by: &UserId) -> Result<bool, Error> {
    may_set(from, room, by, "m.room.canonical_alias").await
}

/// Whether somebody who is in a room has the power to set that kind of its state.
pub(super) async fn may_set(
    from: &mut impl Reads,
    room: &RoomRow,
    by: &UserId,
    kind: &str,
) -> Result<bool, Error> {
    let create = StateKey::new(StateEventType::RoomCreate, "");
    let levels = StateKey::new(StateEventType::RoomPowerLevels, "");
    let held = needed(from, room, vec![create.clone(), levels.clone()]).await?;
    let Some(create) = held.get(&create) else { return Ok(false) };
    let levels =
        auth::power_levels(room.version, &create.event, held.get(&levels).map(|it| &it.event));
    Ok(levels.user(by) >= levels.event(&kind.into(), true))
}

/// The rooms whose members a room lets in, by its rule for joining (room version 8 on).
fn allowed(rules: &RawValue) -> Vec<OwnedRoomId> {
    let rules: Value = serde_json::from_str(rules.get()).unwrap_or_default();
    if !matches!(rules["join_rule"].as_str(), Some("restricted" | "knock_restricted")) {
        return Vec::new();
    }
    let entries = rules["allow"].as_array().map(Vec::as_slice).unwrap_or_default();
    let by_room = |entry: &&Value| entry["type"].as_str() == Some("m.room_membership");
    let named = entries.iter().take(ALLOWED).filter(by_room);
    named.filter_map(|entry| RoomId::parse(entry["room_id"].as_str()?).ok()).collect()
}

pub(in crate::services) async fn listed(
    snapshot: &mut Snapshot,
    room: RoomRow,
) -> Result<Listed, Error> {
    let key = |kind: StateEventType| StateKey::new(kind, "");
    let world = key(WORLD.into());
    let keys = vec![
        world.clone(),
        key(StateEventType::RoomName),
        key(StateEventType::RoomTopic),
        key(StateEventType::RoomAvatar),
        key(StateEventType::RoomCanonicalAlias),
        key(StateEventType::RoomJoinRules),
        key(StateEventType::RoomHistoryVisibility),
        key(StateEventType::RoomGuestAccess),
        key(StateEventType::RoomEncryption),
    ];
    let held = needed(snapshot, &room, keys).await?;
    let text = |kind: StateEventType, name: &str| {
        held.get(&key(kind)).and_then(|it| text_of(it.event.content(), name))
    };
    let visibility = text(StateEventType::RoomHistoryVisibility, "history_visibility");
    let guests = text(StateEventType::RoomGuestAccess, "guest_access");
    let rules = held.get(&key(StateEventType::RoomJoinRules));
    Ok(Listed {
        version: room.version,
        encryption: text(StateEventType::RoomEncryption, "algorithm"),
        allowed: rules.map(|it| allowed(it.event.content())).unwrap_or_default(),
        name: text(StateEventType::RoomName, "name"),
        topic: text(StateEventType::RoomTopic, "topic"),
        avatar_url: text(StateEventType::RoomAvatar, "url"),
        alias: text(StateEventType::RoomCanonicalAlias, "alias"),
        join_rule: text(StateEventType::RoomJoinRules, "join_rule"),
        world_readable: visibility.as_deref() == Some("world_readable"),
        guests_can_join: guests.as_deref() == Some("can_join"),
        world: held.get(&world).and_then(|it| serde_json::from_str(it.event.content().get()).ok()),
        room_id: room.room_id,
        kind: room.kind,
        joined: room.joined,
    })
}
