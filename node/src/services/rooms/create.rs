//! Making a room: the first events, in the order that the specification gives.

use std::sync::Arc;

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UserId,
    events::{StateEventType, TimelineEventType},
    uint,
};
use serde_json::{Map, Value, json, value::RawValue};
use wayside_federation::{event::Draft, state::NodeId, version::RoomVersion};
use wayside_specs::limits;

use super::{
    super::{Error, Ground},
    Rooms,
    append::{self, Saying},
    content,
    directory::claimed_aliases,
    invitations,
    membership::person,
    place,
    signing::Signings,
};
use crate::store::{
    StoreError, Tx,
    rooms::{self, RoomRow},
};

/// What a new room shall be (client-server API, `POST /createRoom`).
#[derive(Default)]
pub struct NewRoom {
    /// Who makes it.
    pub creator: Option<OwnedUserId>,
    /// The rules it follows; the default version without one.
    pub version: Option<RoomVersion>,
    /// `private_chat`, `trusted_private_chat` or `public_chat`.
    pub preset: Preset,
    /// Further keys of the create event.
    pub creation_content: Map<String, Value>,
    /// State to set: type, key and content.
    pub initial_state: Vec<(String, String, Box<RawValue>)>,
    /// Keys laid over the power levels of the preset.
    pub power_levels: Map<String, Value>,
    /// Its name.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<String>,
    /// The local part of an alias.
    pub alias: Option<String>,
    /// Whom to invite. Those who live elsewhere are invited by their servers when the room is there; a
    /// trusted room counts them among its equals already.
    pub invite: Vec<OwnedUserId>,
    /// Whether the invitations are for a conversation between two.
    pub is_direct: bool,
    /// Whether the public directory lists it.
    pub published: bool,
    /// The application service that makes it, if one does.
    pub service: Option<Arc<str>>,
}

/// What a preset means for a new room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// Those who are invited may come.
    #[default]
    Private,
    /// The same, and they are all equals of the creator.
    TrustedPrivate,
    /// Anybody may come.
    Public,
}

impl Rooms {
    /// Makes a room with its creator in it.
    pub async fn create(&self, new: NewRoom) -> Result<OwnedRoomId, Error> {
        let creator = new.creator.clone();
        let creator = creator.ok_or_else(|| Error::Missing("a room needs a creator".to_owned()))?;
        check(&new)?;
        let alias = match &new.alias {
            Some(local) => Some(self.local_alias(local)?),
            None => None,
        };
        if let Some(alias) = &alias {
            self.ground.app_services.check_alias(alias, new.service.as_deref())?;
        }
        self.check_claims(&new, alias.as_deref())?;
        let ground = self.ground.clone();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let version = new.version.unwrap_or(RoomVersion::DEFAULT);
                    let room_id = fresh_id(&ground, version)?;
                    let at = ground.clock.now();
                    let mut room = begin(&ground, tx, &creator, &new, (room_id, at)).await?;
                    // Nobody of another server is in the room who could look over it.
                    let mut nobody = Signings::default();
                    for saying in first_state(&creator, &new, alias.as_deref(), &room)? {
                        append::append(&ground, tx, &mut nobody, &mut room, &creator, saying)
                            .await
                            .map_err(own_rules)?;
                    }
                    for invited in new.invite.iter().filter(|it| ground.is_local(it)) {
                        let saying = invitation(tx, invited, new.is_direct).await?;
                        append::append(&ground, tx, &mut nobody, &mut room, &creator, saying)
                            .await
                            .map_err(own_rules)?;
                        invitations::accepted(tx, invited).await?;
                    }
                    tx.move_room(&room).await?;
                    if let Some(alias) = &alias {
                        name_room(tx, alias, room.room_no, &creator).await?;
                    }
                    Ok(room.room_id)
                })
            })
            .await
    }

    /// Of this node's aliases a new room can claim only the one that is made with it.
    fn check_claims(&self, new: &NewRoom, alias: Option<&RoomAliasId>) -> Result<(), Error> {
        let is_alias = |kind: &str| kind == "m.room.canonical_alias";
        for (_, _, value) in new.initial_state.iter().filter(|(kind, ..)| is_alias(kind)) {
            for claimed in claimed_aliases(value) {
                let known = RoomAliasId::parse(&claimed)
                    .map_err(|_| Error::Invalid(format!("{claimed:?} is not an alias")))?;
                let is_local = known.server_name() == self.ground.server_name;
                if is_local && alias != Some(&*known) {
                    return Err(Error::BadAlias(claimed));
                }
            }
        }
        Ok(())
    }
}

fn check(new: &NewRoom) -> Result<(), Error> {
    if new.invite.len() > limits::INVITES_PER_CREATE {
        let most = limits::INVITES_PER_CREATE;
        return Err(Error::Invalid(format!("at most {most} people can be invited at once")));
    }
    if new.initial_state.len() > limits::INITIAL_STATE_EVENTS {
        let most = limits::INITIAL_STATE_EVENTS;
        return Err(Error::Invalid(format!("a room begins with at most {most} state events")));
    }
    let reserved =
        |kind: &str| matches!(kind, "m.room.create" | "m.room.member" | "m.room.redaction");
    if let Some((kind, ..)) = new.initial_state.iter().find(|(kind, ..)| reserved(kind)) {
        return Err(Error::RoomState(format!("{kind} is not part of the initial state")));
    }
    Ok(())
}

/// What the room's own rules refuse is the fault of how the room was asked for.
pub(super) fn own_rules(error: Error) -> Error {
    match error {
        Error::Forbidden(why) => Error::RoomState(why),
        other => other,
    }
}

/// The id of a new room, where its rules let it be chosen.
pub(super) fn fresh_id(
    ground: &Ground,
    version: RoomVersion,
) -> Result<Option<OwnedRoomId>, Error> {
    match version {
        RoomVersion::V12 => Ok(None),
        RoomVersion::V10 | RoomVersion::V11 => {
            let name = ground.clock.random_name(18);
            let id = RoomId::parse(format!("!{name}:{}", ground.server_name));
            id.map(Some).map_err(Error::internal)
        }
    }
}

/// The create event, the room's row and the creator's joining. Made again of the same at the same time,
/// the room has the same id, unless such a room is there: then it is a millisecond younger.
pub(super) async fn begin(
    ground: &Ground,
    tx: &mut Tx,
    creator: &UserId,
    new: &NewRoom,
    (room_id, at): (Option<OwnedRoomId>, MilliSecondsSinceUnixEpoch),
) -> Result<RoomRow, Error> {
    let version = new.version.unwrap_or(RoomVersion::DEFAULT);
    let mut create = new.creation_content.clone();
    create.insert("room_version".to_owned(), version.as_str().into());
    create.remove("creator");
    if version == RoomVersion::V10 {
        create.insert("creator".to_owned(), creator.as_str().into());
    }
    if version == RoomVersion::V12 && new.preset == Preset::TrustedPrivate {
        add_creators(&mut create, &new.invite);
    }
    let kind = create.get("type").and_then(Value::as_str).map(str::to_owned);
    let mut draft = Draft {
        kind: TimelineEventType::RoomCreate,
        state_key: Some(String::new()),
        sender: creator.to_owned(),
        content: content(&Value::Object(create))?,
        redacts: None,
        origin_server_ts: at,
    };
    let seal = |draft: &Draft| {
        let (id, key) = (room_id.as_deref(), &ground.server_key);
        draft.clone().seal(version, id, &[], Vec::new(), key)
    };
    let mut event = seal(&draft)?;
    // Where the create event names the room, two that one person makes in one millisecond would be one.
    while room_id.is_none() && rooms::room(tx, event.room_id()).await?.is_some() {
        let MilliSecondsSinceUnixEpoch(at) = draft.origin_server_ts;
        draft.origin_server_ts = MilliSecondsSinceUnixEpoch(at.saturating_add(uint!(1)));
        event = seal(&draft)?;
    }
    wayside_federation::auth::check(version, &event, |_| None)
        .map_err(|it| own_rules(it.into()))?;
    let mut room = RoomRow {
        room_no: tx.next_number(),
        room_id: event.room_id().to_owned(),
        version,
        kind,
        heads: Vec::new(),
        state_root: NodeId::EMPTY,
        last_position: 0,
        joined: 0,
        invited: 0,
        published: new.published,
        others: 0,
        since_depth: 0,
    };
    tx.add_room(&room).await?;
    place::place(ground, tx, &mut room, event).await?;
    let mut joining = person(tx, creator).await?;
    joining.insert("membership".to_owned(), "join".into());
    let joining = Saying::state(
        StateEventType::RoomMember,
        creator.as_str(),
        content(&Value::Object(joining))?,
    );
    let mut nobody = Signings::default();
    let joined = append::append(ground, tx, &mut nobody, &mut room, creator, joining).await;
    joined.map_err(own_rules)?;
    Ok(room)
}

/// The people of a trusted room are its creators beside the one who makes it (room version 12).
fn add_creators(create: &mut Map<String, Value>, invited: &[OwnedUserId]) {
    let entry = create.entry("additional_creators").or_insert_with(|| json!([]));
    if let Some(list) = entry.as_array_mut() {
        for user in invited {
            let user = Value::from(user.as_str());
            if !list.contains(&user) {
                list.push(user);
            }
        }
    }
}

fn first_state(
    creator: &UserId,
    new: &NewRoom,
    alias: Option<&RoomAliasId>,
    room: &RoomRow,
) -> Result<Vec<Saying>, Error> {
    let given =
        |kind: &str| new.initial_state.iter().any(|(k, key, _)| k == kind && key.is_empty());
    let mut list = Vec::new();
    let mut add = |kind: StateEventType, value: Value| -> Result<(), Error> {
        list.push(Saying::state(kind, "", content(&value)?));
        Ok(())
    };
    if !given("m.room.power_levels") {
        add(StateEventType::RoomPowerLevels, power_levels(creator, new, room.version))?;
    }
    if let Some(alias) = alias {
        add(StateEventType::RoomCanonicalAlias, json!({ "alias": alias.as_str() }))?;
    }
    let (rule, guests) = match new.preset {
        Preset::Public => ("public", "forbidden"),
        Preset::Private | Preset::TrustedPrivate => ("invite", "can_join"),
    };
    if !given("m.room.join_rules") {
        add(StateEventType::RoomJoinRules, json!({ "join_rule": rule }))?;
    }
    if !given("m.room.history_visibility") {
        add(StateEventType::RoomHistoryVisibility, json!({ "history_visibility": "shared" }))?;
    }
    if !given("m.room.guest_access") {
        add(StateEventType::RoomGuestAccess, json!({ "guest_access": guests }))?;
    }
    for (kind, key, value) in &new.initial_state {
        let replaced = match kind.as_str() {
            "m.room.name" => new.name.is_some(),
            "m.room.topic" => new.topic.is_some(),
            _ => false,
        };
        if replaced && key.is_empty() {
            continue;
        }
        list.push(Saying::state(kind.as_str().into(), key, value.clone()));
    }
    if let Some(name) = &new.name {
        list.push(Saying::state(StateEventType::RoomName, "", content(&json!({ "name": name }))?));
    }
    if let Some(topic) = &new.topic {
        let value = json!({
            "topic": topic,
            "m.topic": { "m.text": [{ "body": topic, "mimetype": "text/plain" }] },
        });
        list.push(Saying::state(StateEventType::RoomTopic, "", content(&value)?));
    }
    // Power levels given as initial state would otherwise come after events that they forbid.
    list.sort_by_key(|saying| saying.kind != TimelineEventType::RoomPowerLevels);
    Ok(list)
}

fn power_levels(creator: &UserId, new: &NewRoom, version: RoomVersion) -> Value {
    let mut users = Map::new();
    // In version 12 creators stand above all levels and must not be named (room version 12).
    if version != RoomVersion::V12 {
        users.insert(creator.to_string(), 100.into());
        if new.preset == Preset::TrustedPrivate {
            users.extend(new.invite.iter().map(|user| (user.to_string(), 100.into())));
        }
    }
    let tombstone = if version == RoomVersion::V12 { 150 } else { 100 };
    let mut levels = json!({
        "ban": 50,
        "events": {
            "m.room.avatar": 50,
            "m.room.canonical_alias": 50,
            "m.room.encryption": 100,
            "m.room.history_visibility": 100,
            "m.room.name": 50,
            "m.room.power_levels": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": tombstone,
        },
        "events_default": 0,
        "invite": if new.preset == Preset::Public { 50 } else { 0 },
        "kick": 50,
        "notifications": { "room": 50 },
        "redact": 50,
        "state_default": 50,
        "users": users,
        "users_default": 0,
    });
    if let Some(object) = levels.as_object_mut() {
        object.extend(new.power_levels.clone());
    }
    levels
}

async fn invitation(tx: &mut Tx, invited: &UserId, is_direct: bool) -> Result<Saying, Error> {
    let mut value = person(tx, invited).await?;
    value.insert("membership".to_owned(), "invite".into());
    if is_direct {
        value.insert("is_direct".to_owned(), true.into());
    }
    let value = content(&Value::Object(value))?;
    Ok(Saying::state(StateEventType::RoomMember, invited.as_str(), value))
}

pub(super) async fn name_room(
    tx: &mut Tx,
    alias: &RoomAliasId,
    room_no: i64,
    by: &UserId,
) -> Result<(), Error> {
    tx.add_alias(alias, room_no, by).await.map_err(|error| match error {
        StoreError::Taken => Error::AliasTaken(alias.to_string()),
        other => other.into(),
    })
}
