//! People: profiles, account data, filters, receipts, typing, presence.

use std::sync::Arc;

use ruma::{EventId, OwnedEventId, OwnedUserId, RoomId, UserId};
use serde_json::{Map, Value, json, value::RawValue};
use wayside_identity::avatar::{self, Body, Uploaded};
use wayside_specs::limits;

use super::{
    Error, Ground,
    content::body_uri,
    live::{Live, Presence, Present},
    push::{PUSH_RULES, common_account_data},
    rooms::Ignored,
};
use crate::store::{
    Reads, Snapshot, Tx, accounts, assets, events,
    people::{self, DataItem},
    rooms::{self, Membership},
};

/// The service of people.
pub struct Social {
    ground: Arc<Ground>,
    live: Arc<Live>,
}

/// Account data that has ways of its own to be set (client-server API, client config).
const KEPT_KINDS: [&str; 2] = ["m.fully_read", PUSH_RULES];

/// The account data of a room that holds its tags.
const TAGS: &str = "m.tag";
/// Most tags that somebody gives one room.
const TAGS_OF_A_ROOM: usize = 100;

impl Social {
    /// The service on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>, live: Arc<Live>) -> Self {
        Self { ground, live }
    }

    /// All fields of a person's profile.
    pub async fn profile(&self, user_id: &UserId) -> Result<Map<String, Value>, Error> {
        let unknown = || Error::NotFound(format!("{user_id} has no profile here"));
        let mut snapshot = self.ground.store.snapshot().await?;
        let account = accounts::account(&mut snapshot, user_id).await?;
        if account.is_none_or(|account| account.ended_ms.is_some()) {
            return Err(unknown());
        }
        let fields = people::profile(&mut snapshot, user_id).await?;
        let read = fields.into_iter().map(|(name, value)| {
            Ok((name, serde_json::from_str(&value).map_err(Error::internal)?))
        });
        let mut profile: Map<String, Value> = read.collect::<Result<_, Error>>()?;
        if let Some(body) = self.body(&mut snapshot, user_id).await? {
            profile.insert(avatar::PROFILE_FIELD.to_owned(), body.told());
        }
        Ok(profile)
    }

    /// What somebody wears, as other nodes are told; nothing where that is what they think anyway.
    async fn body(&self, from: &mut Snapshot, user_id: &UserId) -> Result<Option<Body>, Error> {
        let Some(worn) = assets::worn(from, user_id).await? else { return Ok(None) };
        let Some(blob) = worn.blob else {
            let variant = u32::try_from(worn.variant).map_err(Error::internal)?;
            return Ok((variant > 0).then_some(Body::Generated { variant }));
        };
        let mine = assets::avatars_of(from, user_id).await?;
        let licence = mine.into_iter().find(|row| row.blob == blob).and_then(|row| row.licence);
        let licence = licence.map(|text| serde_json::from_str(&text)).transpose();
        Ok(Some(Body::Uploaded(Uploaded {
            url: body_uri(&self.ground.server_name, &blob).to_string(),
            sha256: blob,
            licence: licence.map_err(Error::internal)?,
        })))
    }

    /// Sets a field of one's profile, or removes it; gives what it was before.
    pub async fn set_profile_field(
        &self,
        user_id: &UserId,
        name: &str,
        value: Option<Value>,
    ) -> Result<Option<Value>, Error> {
        check_field_name(name)?;
        if [super::persons::PROFILE_FIELD, avatar::PROFILE_FIELD].contains(&name) {
            return Err(Error::KeptByNode(name.to_owned()));
        }
        if let Some(value) = &value {
            check_shown(name, value)?;
        }
        let text = value.as_ref().map(ToString::to_string);
        let (user_id, name) = (user_id.to_owned(), name.to_owned());
        let before = self
            .ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let mut fields = people::profile(tx, &user_id).await?;
                    let at = fields.iter().position(|(other, _)| *other == name);
                    let before = at.map(|at| fields.swap_remove(at).1);
                    // The commas and quotes around a field count too.
                    let bytes = |name: &str, value: &str| name.len() + value.len() + 4;
                    let size: usize = fields.iter().map(|(name, value)| bytes(name, value)).sum();
                    let added = text.as_ref().map_or(0, |text| bytes(&name, text));
                    if added > 0 && size + added + 2 > limits::PROFILE_BYTES {
                        return Err(Error::ProfileTooLarge);
                    }
                    tx.set_profile_field(&user_id, &name, text.as_deref()).await?;
                    Ok(before)
                })
            })
            .await?;
        before.map(|text| serde_json::from_str(&text).map_err(Error::internal)).transpose()
    }

    /// One item of account data, of the account or of a room.
    pub async fn data_item(
        &self,
        user_id: &UserId,
        room_id: Option<&RoomId>,
        kind: &str,
    ) -> Result<Box<RawValue>, Error> {
        let unknown = || Error::NotFound("there is no such account data".to_owned());
        let mut snapshot = self.ground.store.snapshot().await?;
        let room_no = match room_id {
            Some(room_id) => {
                rooms::room(&mut snapshot, room_id).await?.ok_or_else(unknown)?.room_no
            }
            None => 0,
        };
        let item = people::data_item(&mut snapshot, user_id, room_no, kind).await?;
        let common = || (room_no == 0 && kind == PUSH_RULES).then(|| common_account_data(user_id));
        let item = item.or_else(common);
        RawValue::from_string(item.ok_or_else(unknown)?).map_err(Error::internal)
    }

    /// All account data of a person of one room, as events.
    pub async fn data_of_room(
        &self,
        user_id: &UserId,
        room_id: &RoomId,
    ) -> Result<Vec<Box<RawValue>>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, room_id).await? else { return Ok(Vec::new()) };
        let items = people::data_of_room(&mut snapshot, user_id, room.room_no).await?;
        items.iter().map(DataItem::event).map(|event| event.map_err(Error::internal)).collect()
    }

    /// Sets one item of account data.
    pub async fn set_data_item(
        &self,
        user_id: &UserId,
        room_id: Option<&RoomId>,
        kind: &str,
        content: &RawValue,
    ) -> Result<(), Error> {
        if KEPT_KINDS.contains(&kind) {
            return Err(Error::KeptByNode(kind.to_owned()));
        }
        if kind.len() > limits::ID_BYTES {
            return Err(Error::TooLarge("a type has at most 255 bytes".to_owned()));
        }
        if !content.get().trim_start().starts_with('{') {
            return Err(Error::BadJson("account data is a JSON object".to_owned()));
        }
        self.put(user_id, room_id, kind, content.get().to_owned()).await
    }

    /// The tags that somebody gave a room (client-server API, room tagging).
    pub async fn tags(&self, user_id: &UserId, room_id: &RoomId) -> Result<Value, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let room_no = place_of(&mut snapshot, user_id, Some(room_id)).await?;
        let item = people::data_item(&mut snapshot, user_id, room_no, TAGS).await?;
        Ok(json!({ "tags": item.map(|text| tags_in(&text)).unwrap_or_default() }))
    }

    /// Gives a room a tag with what belongs to it, or takes it away where that is nothing: whoever
    /// changes another tag at the same time loses nothing.
    pub async fn set_tag(
        &self,
        user_id: &UserId,
        room_id: &RoomId,
        tag: &str,
        told: Option<Map<String, Value>>,
    ) -> Result<(), Error> {
        if tag.is_empty() || tag.len() > limits::ID_BYTES || tag.contains('\0') {
            return Err(Error::Invalid("a tag has 1 to 255 bytes, and none is NUL".to_owned()));
        }
        if let Some(order) = told.as_ref().and_then(|told| told.get("order")) {
            let order = order.as_f64();
            if !order.is_some_and(|order| (0.0..=1.0).contains(&order)) {
                return Err(Error::Invalid("the order of a tag is a number of 0 to 1".to_owned()));
            }
        }
        let (user_id, room_id, tag) = (user_id.to_owned(), room_id.to_owned(), tag.to_owned());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let room_no = place_of(tx, &user_id, Some(&room_id)).await?;
                    let item = people::data_item(tx, &user_id, room_no, TAGS).await?;
                    let mut tags = item.map(|text| tags_in(&text)).unwrap_or_default();
                    let before = tags.clone();
                    match told {
                        Some(told) => tags.insert(tag, told.into()),
                        None => tags.remove(&tag),
                    };
                    if tags.len() > TAGS_OF_A_ROOM {
                        let why = format!("a room has at most {TAGS_OF_A_ROOM} tags");
                        return Err(Error::TooLarge(why));
                    }
                    if tags == before {
                        return Ok(());
                    }
                    let content = json!({ "tags": tags }).to_string();
                    let kind = TAGS.to_owned();
                    put_item(tx, &user_id, &DataItem { room_no, kind, content }).await
                })
            })
            .await
    }

    /// Lets somebody ignore somebody, or hear them again (client-server API, ignoring users).
    pub async fn ignore(
        &self,
        user_id: &UserId,
        others: &[OwnedUserId],
        ignored: bool,
    ) -> Result<(), Error> {
        let others = others.to_vec();
        let change = move |content: &mut Map<String, Value>| {
            let list = content.entry("ignored_users").or_insert_with(|| json!({}));
            if !list.is_object() {
                *list = json!({});
            }
            let Some(list) = list.as_object_mut() else { return Ok(()) };
            for other in &others {
                if !ignored {
                    list.remove(other.as_str());
                } else if list.len() >= limits::BLOCKS && !list.contains_key(other.as_str()) {
                    let why = format!("at most {} people are blocked", limits::BLOCKS);
                    return Err(Error::TooLarge(why));
                } else {
                    list.entry(other.to_string()).or_insert_with(|| json!({}));
                }
            }
            Ok(())
        };
        self.change_item(user_id, Ignored::KIND, change).await
    }

    /// Notes that a room is a conversation with somebody (client-server API, direct messaging).
    pub async fn note_direct(
        &self,
        user_id: &UserId,
        other: &UserId,
        room_id: &RoomId,
    ) -> Result<(), Error> {
        let (other, room_id) = (other.to_string(), room_id.to_string());
        let change = move |content: &mut Map<String, Value>| {
            let rooms = content.entry(other).or_insert_with(|| json!([]));
            if let Some(rooms) = rooms.as_array_mut()
                && !rooms.contains(&room_id.as_str().into())
            {
                rooms.push(room_id.into());
            }
            Ok(())
        };
        self.change_item(user_id, "m.direct", change).await
    }

    /// Changes an item of somebody's account data, which whoever changes it at the same time leaves in it.
    async fn change_item(
        &self,
        user_id: &UserId,
        kind: &'static str,
        change: impl FnOnce(&mut Map<String, Value>) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let user_id = user_id.to_owned();
        let write = self.ground.store.write(move |tx| {
            Box::pin(async move {
                let before = people::data_item(tx, &user_id, 0, kind).await?;
                let read = before.as_deref().and_then(|text| serde_json::from_str(text).ok());
                let mut content: Map<String, Value> = read.unwrap_or_default();
                change(&mut content)?;
                let content = Value::Object(content).to_string();
                if before.as_deref() == Some(&*content) {
                    return Ok(());
                }
                let (room_no, kind) = (0, kind.to_owned());
                put_item(tx, &user_id, &DataItem { room_no, kind, content }).await
            })
        });
        write.await
    }

    async fn put(
        &self,
        user_id: &UserId,
        room_id: Option<&RoomId>,
        kind: &str,
        content: String,
    ) -> Result<(), Error> {
        let (user_id, kind) = (user_id.to_owned(), kind.to_owned());
        let room_id = room_id.map(RoomId::to_owned);
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let room_no = place_of(tx, &user_id, room_id.as_deref()).await?;
                    put_item(tx, &user_id, &DataItem { room_no, kind, content }).await
                })
            })
            .await
    }

    /// Stores a filter and names it; equal filters of one person have one name.
    pub async fn add_filter(&self, user_id: &UserId, body: &RawValue) -> Result<String, Error> {
        let tag = wayside_identity::tag::tag(&[0; 32], &[body.get().as_bytes()]);
        let filter_id = hex::encode(tag);
        let (user, id, body) = (user_id.to_owned(), filter_id.clone(), body.get().to_owned());
        let now_ms = self.ground.clock.now_ms();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(
                    async move { Ok::<_, Error>(tx.add_filter(&user, &id, &body, now_ms).await?) },
                )
            })
            .await?;
        Ok(filter_id)
    }

    /// A filter stored before.
    pub async fn filter(&self, user_id: &UserId, filter_id: &str) -> Result<Box<RawValue>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let body = people::filter(&mut snapshot, user_id, filter_id).await?;
        let body =
            body.ok_or_else(|| Error::NotFound(format!("there is no filter {filter_id:?}")))?;
        RawValue::from_string(body).map_err(Error::internal)
    }

    /// Moves a receipt: `m.read`, `m.read.private`, or the marker `m.fully_read`. None goes back: a
    /// device that has not yet heard how far another one has read changes nothing.
    pub async fn read_up_to(
        &self,
        user_id: &UserId,
        room_id: &RoomId,
        kind: &str,
        thread: Option<&str>,
        event_id: &EventId,
    ) -> Result<(), Error> {
        let known = |thread: &str| thread == "main" || EventId::parse(thread).is_ok();
        if thread.is_some_and(|thread| kind == "m.fully_read" || !known(thread)) {
            let why = "thread_id is an event id or main, and has no part in m.fully_read";
            return Err(Error::Invalid(why.to_owned()));
        }
        let room_no = self.inside(user_id, room_id, Some(event_id)).await?;
        if kind == "m.fully_read" {
            let mut snapshot = self.ground.store.snapshot().await?;
            let item = people::data_item(&mut snapshot, user_id, room_no, kind).await?;
            let before = item.and_then(|item| marked(&item));
            if !reads_on(&mut snapshot, before.as_deref(), event_id).await? {
                return Ok(());
            }
            let content = json!({ "event_id": event_id.as_str() }).to_string();
            return self.put(user_id, Some(room_id), kind, content).await;
        }
        let (user_id, room_id, event_id) =
            (user_id.to_owned(), room_id.to_owned(), event_id.to_owned());
        let (kind, thread) = (kind.to_owned(), thread.map(str::to_owned));
        let now_ms = self.ground.clock.now_ms();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let Some(room) = rooms::room(tx, &room_id).await? else { return Ok(()) };
                    let thread = thread.as_deref();
                    let of = (&*user_id, &*kind, thread);
                    let before = people::receipt(tx, room.room_no, of).await?;
                    if !reads_on(tx, before.as_deref(), &event_id).await? {
                        return Ok(());
                    }
                    Ok(tx
                        .set_receipt(room.room_no, &user_id, &kind, thread, &event_id, now_ms)
                        .await?)
                })
            })
            .await
    }

    /// Notes that somebody types, for that long or no longer.
    pub async fn type_in(
        &self,
        user_id: &UserId,
        room_id: &RoomId,
        for_ms: Option<u64>,
    ) -> Result<(), Error> {
        let room_no = self.inside(user_id, room_id, None).await?;
        let now_ms = self.ground.clock.now_ms();
        let lasts = |ms: u64| i64::try_from(ms.min(limits::TYPING_MS)).unwrap_or(0);
        let until_ms = for_ms.map(|ms| now_ms + lasts(ms));
        self.live.set_typing(room_no, user_id, until_ms);
        Ok(())
    }

    /// Sets one's presence.
    pub fn set_presence(
        &self,
        user_id: &UserId,
        presence: Presence,
        status: Option<String>,
    ) -> Result<(), Error> {
        if status.as_ref().is_some_and(|status| status.len() > limits::STATUS_BYTES) {
            return Err(Error::TooLarge("a status message has at most 1024 bytes".to_owned()));
        }
        self.live.set_presence(user_id, presence, Some(status), self.ground.clock.now_ms());
        Ok(())
    }

    /// How somebody is present; only those who share a room with them may know.
    pub async fn presence(&self, asker: &UserId, user_id: &UserId) -> Result<Present, Error> {
        if asker != user_id {
            let mut snapshot = self.ground.store.snapshot().await?;
            if rooms::who_share_a_room(&mut snapshot, asker, &[user_id]).await?.is_empty() {
                let why = "only those who share a room with somebody see their presence";
                return Err(Error::Forbidden(why.to_owned()));
            }
        }
        let unknown =
            || Error::NotFound(format!("{user_id} has not been here since the last start"));
        self.live.presence(user_id).ok_or_else(unknown)
    }

    /// The number of a room that somebody is in, and that holds an event where one is named.
    async fn inside(
        &self,
        user_id: &UserId,
        room_id: &RoomId,
        event_id: Option<&EventId>,
    ) -> Result<i64, Error> {
        let outside = || Error::Forbidden(format!("you are not in the room {room_id}"));
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = rooms::room(&mut snapshot, room_id).await?.ok_or_else(outside)?;
        let row = rooms::membership(&mut snapshot, room.room_no, user_id).await?;
        if row.is_none_or(|row| row.membership != Membership::Join) {
            return Err(outside());
        }
        if let Some(event_id) = event_id {
            let stored = events::by_id(&mut snapshot, event_id).await?;
            if stored.is_none_or(|it| it.room_no != room.room_no) {
                return Err(Error::NotFound(format!("there is no event {event_id} in this room")));
            }
        }
        Ok(room.room_no)
    }
}

/// Whether an event is further on in its room than where somebody had read to.
pub(super) async fn reads_on(
    from: &mut impl Reads,
    before: Option<&EventId>,
    event_id: &EventId,
) -> Result<bool, Error> {
    let Some(before) = before else { return Ok(true) };
    let before = events::by_id(from, before).await?.and_then(|it| it.position);
    let now = events::by_id(from, event_id).await?.and_then(|it| it.position);
    Ok(before.is_none() || now > before)
}

/// The event that the content of a marker names.
fn marked(content: &str) -> Option<OwnedEventId> {
    let content: Value = serde_json::from_str(content).ok()?;
    content["event_id"].as_str()?.try_into().ok()
}

/// The number of a room that somebody has to do with; 0 for their account as a whole.
async fn place_of(
    from: &mut impl Reads,
    user_id: &UserId,
    room_id: Option<&RoomId>,
) -> Result<i64, Error> {
    let Some(room_id) = room_id else { return Ok(0) };
    let unknown = || Error::NotFound(format!("there is no room {room_id}"));
    let room_no = rooms::room(from, room_id).await?.ok_or_else(unknown)?.room_no;
    rooms::membership(from, room_no, user_id).await?.ok_or_else(unknown)?;
    Ok(room_no)
}

async fn put_item(tx: &mut Tx, user_id: &UserId, item: &DataItem) -> Result<(), Error> {
    tx.set_data_item(user_id, item).await?;
    let (items, bytes) = people::data_size(tx, user_id).await?;
    if items > limits::ACCOUNT_DATA_ITEMS || bytes > limits::ACCOUNT_DATA_BYTES {
        let why = "an account keeps at most 8 MiB of account data in 20000 items";
        return Err(Error::TooLarge(why.to_owned()));
    }
    Ok(())
}

/// The tags in account data; what does not read as such has none.
fn tags_in(content: &str) -> Map<String, Value> {
    let content: Value = serde_json::from_str(content).unwrap_or_default();
    content.get("tags").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The names that profile fields may have (client-server API, profiles, and the appendices' common
/// namespaced identifiers).
fn check_field_name(name: &str) -> Result<(), Error> {
    if name.len() > limits::ID_BYTES {
        return Err(Error::ProfileKeyTooLarge);
    }
    let allowed =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(allowed) {
        let why = "the name of a profile field begins with a-z and holds only a-z, 0-9 and . _ -";
        return Err(Error::Invalid(why.to_owned()));
    }
    Ok(())
}

/// The two fields that member events carry have a form of their own.
fn check_shown(name: &str, value: &Value) -> Result<(), Error> {
    let text = value.as_str();
    match name {
        "displayname" => match text {
            Some(text) if text.len() <= limits::NAME_BYTES => Ok(()),
            _ => Err(Error::BadJson("displayname is a text of at most 512 bytes".to_owned())),
        },
        "avatar_url" => match text {
            Some(text)
                if text.len() <= limits::NAME_BYTES
                    && (text.is_empty() || text.starts_with("mxc://")) =>
            {
                Ok(())
            }
            _ => Err(Error::BadJson("avatar_url is an mxc:// URI".to_owned())),
        },
        _ => Ok(()),
    }
}
