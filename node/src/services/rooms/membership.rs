//! Coming and going: join, invite, leave, kick, ban, unban, knock, forget.

use std::sync::Arc;

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId,
    events::StateEventType,
};
use serde_json::{Map, Value, json, value::RawValue};
use wayside_federation::{auth, state::StateKey};
use wayside_specs::Role;

use super::{
    super::{Error, Ground, servers::Urgency},
    Rooms,
    append::{self, Saying, needed},
    content, invitations,
    signing::Signings,
};
use crate::store::{
    Reads, Tx, accounts, people,
    rooms::{self, Membership, RoomRow},
};

/// What changes between a person and a room.
#[derive(Clone, Debug)]
pub struct Step {
    /// What they shall be.
    pub to: Membership,
    /// Why, in words.
    pub reason: Option<String>,
    /// Whether an invitation is to a conversation between two.
    pub is_direct: bool,
    /// From what they must come, where the deed has a name of its own (kick, unban).
    pub from: Option<&'static [Membership]>,
    /// Whether a guest asks, who may come only where guests are let in.
    pub guest: bool,
    /// What proves that an invitation is of whom the room has pledged one (client-server API,
    /// third-party invites).
    pub proven: Option<Value>,
}

impl Step {
    /// A step to that standing, without more.
    #[must_use]
    pub fn to(membership: Membership) -> Self {
        Self {
            to: membership,
            reason: None,
            is_direct: false,
            from: None,
            guest: false,
            proven: None,
        }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }
}

/// Guests who are turned out of a room in one go.
const GUESTS: usize = 1_000;
/// Rooms that are looked at whose members a room lets in.
const ALLOWED: usize = 100;
/// The field of a member event by which an identity server has proven whom it invites.
pub(super) const PROVEN: &str = "third_party_invite";
/// The field of a member event that names who vouches for somebody (room version 8 on).
const VOUCHER: &str = "join_authorised_via_users_server";

impl Rooms {
    /// Changes how `target` stands to a room, in the name of `sender`.
    pub async fn step(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        target: &UserId,
        step: Step,
    ) -> Result<(), Error> {
        if step.to == Membership::Invite {
            invitations::reachable(&self.ground, target)?;
        }
        let ground = self.ground.clone();
        let (room_id, sender, target) = (room_id.to_owned(), sender.to_owned(), target.to_owned());
        let going = Arc::new((ground, room_id, sender, target, step));
        let write = self.write(Urgency::Awaited, move |tx, signings| {
            let going = going.clone();
            Box::pin(async move {
                let (ground, room_id, sender, target, step) = &*going;
                let mut room = known_room(ground, tx, room_id).await?;
                let now = rooms::membership(tx, room.room_no, target).await?;
                let now = now.map(|row| row.membership);
                if now == Some(step.to) && step.to == Membership::Join && sender == target {
                    return Ok(());
                }
                may_begin(step, now, sender == target)?;
                if let Some(proven) = &step.proven
                    && invitations::redeemed(tx, &room, target, proven).await?.is_some()
                {
                    return Ok(());
                }
                let value = member_content(ground, tx, &room, target, step).await?;
                let saying = Saying::state(StateEventType::RoomMember, target.as_str(), value);
                append::append(ground, tx, signings, &mut room, sender, saying).await?;
                if step.to == Membership::Invite {
                    invitations::accepted(tx, target).await?;
                }
                Ok(tx.move_room(&room).await?)
            })
        });
        write.await
    }

    /// Lets somebody stop seeing a room that they have left.
    pub async fn forget(&self, room_id: &RoomId, user_id: &UserId) -> Result<(), Error> {
        let (room_id, user_id) = (room_id.to_owned(), user_id.to_owned());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let room = any_room(tx, &room_id).await?;
                    let row = rooms::membership(tx, room.room_no, &user_id).await?;
                    match row.map(|row| row.membership) {
                        None | Some(Membership::Leave | Membership::Ban) => {
                            Ok(tx.forget_room(room.room_no, &user_id).await?)
                        }
                        Some(_) => Err(Error::NotLeft),
                    }
                })
            })
            .await
    }

    /// Sets a member event as a client wrote it; its own rules are those of the other ways.
    pub(super) async fn set_member(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        target: &str,
        value: &RawValue,
        sent: Option<MilliSecondsSinceUnixEpoch>,
    ) -> Result<OwnedEventId, Error> {
        let target = UserId::parse(target).map_err(|_| {
            Error::Invalid("the state key of a member event is a user id".to_owned())
        })?;
        let (to, given) = member_given(value)?;
        if to == Membership::Invite {
            invitations::reachable(&self.ground, &target)?;
        }
        let ground = self.ground.clone();
        let (room_id, sender) = (room_id.to_owned(), sender.to_owned());
        let set = Arc::new((ground, room_id, sender, target, given));
        let write = self.write(Urgency::Awaited, move |tx, signings| {
            let set = set.clone();
            Box::pin(async move {
                let (ground, room_id, sender, target, given) = &*set;
                let guest = is_guest(tx, sender).await?;
                let comes_or_goes = matches!(to, Membership::Join | Membership::Leave);
                if guest && (sender != target || !comes_or_goes) {
                    return Err(Error::Guest);
                }
                let mut room = known_room(ground, tx, room_id).await?;
                let mut given = given.clone();
                if to == Membership::Join && sender == target {
                    vouch(ground, tx, &room, target, guest, &mut given).await?;
                }
                let value = content(&Value::Object(given))?;
                let mut saying = Saying::state(StateEventType::RoomMember, target.as_str(), value);
                saying.sent = sent;
                let stored =
                    append::append(ground, tx, signings, &mut room, sender, saying).await?;
                if to == Membership::Invite {
                    invitations::accepted(tx, target).await?;
                }
                tx.move_room(&room).await?;
                Ok(stored.event.id().to_owned())
            })
        });
        write.await
    }

    /// The rooms that somebody is in.
    pub async fn joined(&self, user_id: &UserId) -> Result<Vec<OwnedRoomId>, Error> {
        self.where_one_is(user_id, &[Membership::Join]).await
    }

    /// The rooms to which somebody stands in one of these ways.
    pub async fn where_one_is(
        &self,
        user_id: &UserId,
        standings: &[Membership],
    ) -> Result<Vec<OwnedRoomId>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let mine = rooms::memberships_of(&mut snapshot, user_id).await?;
        let numbers: Vec<i64> = mine
            .iter()
            .filter(|row| standings.contains(&row.membership))
            .map(|row| row.room_no)
            .collect();
        let found = rooms::by_numbers(&mut snapshot, &numbers).await?;
        Ok(found.into_iter().map(|room| room.room_id).collect())
    }

    /// Writes a changed field of a person's profile into the rooms they are in; with `only_where`,
    /// into those where they still showed that value, so that what they set for one room stays.
    pub async fn show_profile(
        &self,
        user_id: &UserId,
        field: &str,
        only_where: Option<Option<Value>>,
    ) -> Result<(), Error> {
        for room_id in self.joined(user_id).await? {
            let (user_id, field) = (user_id.to_owned(), field.to_owned());
            let showing = (self.ground.clone(), room_id, user_id, field, only_where.clone());
            let showing = Arc::new(showing);
            let write = self.write(Urgency::Calm, move |tx, signings| {
                let showing = showing.clone();
                Box::pin(async move {
                    let (ground, room_id, user_id, field, only_where) = &*showing;
                    let Some(mut room) = rooms::room(tx, room_id).await? else { return Ok(()) };
                    let shown = shown_in(tx, &room, user_id).await?;
                    let Some(mut value) = shown else { return Ok(()) };
                    let before = value.remove(field);
                    if only_where.as_ref().is_some_and(|wanted| *wanted != before) {
                        return Ok(());
                    }
                    if let Some(now) = person(tx, user_id).await?.remove(field) {
                        value.insert(field.clone(), now);
                    }
                    let value = content(&Value::Object(value))?;
                    let saying = Saying::state(StateEventType::RoomMember, user_id.as_str(), value);
                    append::append(ground, tx, signings, &mut room, user_id, saying).await?;
                    Ok::<_, Error>(tx.move_room(&room).await?)
                })
            });
            match write.await {
                // What one room's policy server does not want is shown in the other rooms.
                Err(error @ (Error::Policy(_) | Error::NoAnswer(_))) => {
                    tracing::info!(%error, "a profile is not shown in a room");
                }
                done => done?,
            }
        }
        Ok(())
    }
}

/// What a client gives as the content of a member event, and what it makes of somebody. Who vouches for
/// somebody is for this node to say, not for them; and what is proven of somebody is looked at before it
/// is, for the rules let it put whoever is in the room out of it, and whoever was put out back.
pub(super) fn member_given(value: &RawValue) -> Result<(Membership, Map<String, Value>), Error> {
    let mut given: Map<String, Value> = serde_json::from_str(value.get())
        .map_err(|_| Error::BadJson("the content of a member event is an object".to_owned()))?;
    let to = given.get("membership").and_then(Value::as_str).and_then(Membership::parse);
    let to = to.ok_or_else(|| {
        Error::BadJson("membership is invite, join, knock, leave or ban".to_owned())
    })?;
    given.remove(VOUCHER);
    given.remove(PROVEN);
    Ok((to, given))
}

/// Whether somebody is a guest of this node.
pub(super) async fn is_guest(from: &mut impl Reads, user_id: &UserId) -> Result<bool, Error> {
    let account = accounts::account(from, user_id).await?;
    Ok(account.is_some_and(|account| account.role == Role::Guest))
}

/// The content of the member event of somebody who is in a room.
async fn shown_in(
    tx: &mut Tx,
    room: &RoomRow,
    user_id: &UserId,
) -> Result<Option<Map<String, Value>>, Error> {
    let key = StateKey::new(StateEventType::RoomMember, user_id.as_str());
    let held = needed(tx, room, vec![key.clone()]).await?;
    let Some(now) = held.get(&key) else { return Ok(None) };
    if append::membership_of(&now.event) != Some(Membership::Join) {
        return Ok(None);
    }
    let mut value: Map<String, Value> =
        serde_json::from_str(now.event.content().get()).map_err(Error::internal)?;
    value.remove(VOUCHER);
    Ok(Some(value))
}

/// A room whose state this node knows.
pub(super) async fn known_room(
    ground: &Ground,
    tx: &mut Tx,
    room_id: &RoomId,
) -> Result<RoomRow, Error> {
    let room = any_room(tx, room_id).await?;
    if is_elsewhere(tx, &room, &ground.server_name).await? {
        let why = format!("nobody of this node is in the room {room_id}");
        return Err(Error::NotFound(why));
    }
    Ok(room)
}

/// A room that this node has heard of.
async fn any_room(tx: &mut Tx, room_id: &RoomId) -> Result<RoomRow, Error> {
    let room = rooms::room(tx, room_id).await?;
    room.ok_or_else(|| Error::NotFound(format!("this node does not know the room {room_id}")))
}

/// Whether a room goes on without this node, which does not know what it is like now.
pub(in crate::services) async fn is_elsewhere(
    from: &mut impl Reads,
    room: &RoomRow,
    own: &ServerName,
) -> Result<bool, Error> {
    if room.heads.is_empty() {
        return Ok(true);
    }
    Ok(room.others > 0 && !rooms::has_server(from, room.room_no, own).await?)
}

/// What the deed's own name demands, beyond the rules of the room.
fn may_begin(step: &Step, now: Option<Membership>, themselves: bool) -> Result<(), Error> {
    if let Some(from) = step.from
        && !now.is_some_and(|now| from.contains(&now))
    {
        let from: Vec<&str> = from.iter().map(|it| it.as_str()).collect();
        let why = format!("they would have to be in one of these standings: {}", from.join(", "));
        return Err(Error::Forbidden(why));
    }
    if step.to == Membership::Leave
        && themselves
        && !matches!(now, Some(Membership::Join | Membership::Invite | Membership::Knock))
    {
        return Err(Error::Forbidden("you are not in this room".to_owned()));
    }
    Ok(())
}

pub(super) async fn member_content(
    ground: &Ground,
    tx: &mut Tx,
    room: &RoomRow,
    target: &UserId,
    step: &Step,
) -> Result<Box<RawValue>, Error> {
    let mut value = match step.to {
        Membership::Join | Membership::Invite | Membership::Knock => person(tx, target).await?,
        Membership::Leave | Membership::Ban => Map::new(),
    };
    value.insert("membership".to_owned(), step.to.as_str().into());
    if let Some(reason) = &step.reason {
        value.insert("reason".to_owned(), reason.as_str().into());
    }
    if step.is_direct {
        value.insert("is_direct".to_owned(), true.into());
    }
    if let Some(proven) = &step.proven {
        value.insert(PROVEN.to_owned(), proven.clone());
    }
    if step.to == Membership::Join {
        vouch(ground, tx, room, target, step.guest, &mut value).await?;
    }
    content(&Value::Object(value))
}

/// What a room asks of somebody who comes by themselves.
enum Door {
    /// Nothing that this node could give: the rules say whether they may come.
    Open,
    /// That a member lets them in; this one of this node does.
    Kept(OwnedUserId),
    /// They are in none of the rooms whose members it lets in.
    Closed,
    /// That they are in another room, and nobody of this node is in that.
    Unseen,
    /// That a member lets them in, and none of this node may.
    Unkept,
}

/// What somebody needs who comes by themselves: guests a room that lets guests in, the others of a
/// restricted room a member who vouches for them.
async fn door_for(
    ground: &Ground,
    tx: &mut Tx,
    room: &RoomRow,
    target: &UserId,
    guest: bool,
) -> Result<Door, Error> {
    let now = rooms::membership(tx, room.room_no, target).await?.map(|row| row.membership);
    if now == Some(Membership::Join) {
        return Ok(Door::Open);
    }
    if guest && !guests_may_come(tx, room).await? {
        return Err(Error::Guest);
    }
    if matches!(now, Some(Membership::Invite | Membership::Ban)) {
        return Ok(Door::Open);
    }
    door(ground, tx, room, target).await
}

/// Says in an event of somebody of this node who comes, who lets them in, where the room asks for that. Where
/// nobody here may, the rules say so, or another server may.
async fn vouch(
    ground: &Ground,
    tx: &mut Tx,
    room: &RoomRow,
    target: &UserId,
    guest: bool,
    value: &mut Map<String, Value>,
) -> Result<(), Error> {
    if let Door::Kept(keeper) = door_for(ground, tx, room, target, guest).await? {
        value.insert(VOUCHER.to_owned(), keeper.as_str().into());
    }
    Ok(())
}

/// Who of this node lets somebody of another server in, where the room asks for that. An error says
/// whether that server should ask another one (server-server API, `GET /make_join`).
pub(in crate::services) async fn vouch_for(
    ground: &Ground,
    tx: &mut Tx,
    room: &RoomRow,
    target: &UserId,
) -> Result<Option<OwnedUserId>, Error> {
    match door_for(ground, tx, room, target, false).await? {
        Door::Open => Ok(None),
        Door::Kept(keeper) => Ok(Some(keeper)),
        Door::Closed => {
            let why = format!("{target} is in none of the rooms whose members the room lets in");
            Err(Error::Forbidden(why))
        }
        Door::Unseen => Err(Error::UnknownMember(target.to_owned())),
        Door::Unkept => Err(Error::NoVoucher(target.to_owned())),
    }
}

/// Lets the guests of this node leave a room that no longer lets guests in (client-server API,
/// guest access).
pub(super) async fn turn_guests_out(
    ground: &Ground,
    tx: &mut Tx,
    signings: &mut Signings,
    room: &mut RoomRow,
) -> Result<(), Error> {
    if guests_may_come(tx, room).await? {
        return Ok(());
    }
    let mut behind = String::new();
    loop {
        let guests =
            rooms::own_people_in(tx, room.room_no, Some(Role::Guest), &behind, GUESTS).await?;
        for guest in &guests {
            let value = content(&json!({ "membership": "leave" }))?;
            let saying = Saying::state(StateEventType::RoomMember, guest.as_str(), value);
            append::append(ground, tx, signings, room, guest, saying).await?;
        }
        let Some(last) = guests.last().filter(|_| guests.len() == GUESTS) else { return Ok(()) };
        behind = last.to_string();
    }
}

async fn guests_may_come(tx: &mut Tx, room: &RoomRow) -> Result<bool, Error> {
    let key = StateKey::new(StateEventType::RoomGuestAccess, "");
    let held = needed(tx, room, vec![key.clone()]).await?;
    let rule = held.get(&key).and_then(|it| text_of(it.event.content(), "guest_access"));
    Ok(rule.as_deref() == Some("can_join"))
}

/// How a room stands open to somebody who is not invited: where it lets members of other rooms in, by whom.
async fn door(
    ground: &Ground,
    tx: &mut Tx,
    room: &RoomRow,
    target: &UserId,
) -> Result<Door, Error> {
    let rule_key = StateKey::new(StateEventType::RoomJoinRules, "");
    let levels_key = StateKey::new(StateEventType::RoomPowerLevels, "");
    let create_key = StateKey::new(StateEventType::RoomCreate, "");
    let keys = vec![rule_key.clone(), levels_key.clone(), create_key.clone()];
    let held = needed(tx, room, keys).await?;
    let Some(rules) = held.get(&rule_key) else { return Ok(Door::Open) };
    let rules: Value =
        serde_json::from_str(rules.event.content().get()).map_err(Error::internal)?;
    if !matches!(rules["join_rule"].as_str(), Some("restricted" | "knock_restricted")) {
        return Ok(Door::Open);
    }
    match is_in_one_of(ground, tx, target, &rules["allow"]).await? {
        Some(true) => {}
        Some(false) => return Ok(Door::Closed),
        None => return Ok(Door::Unseen),
    }
    let Some(create) = held.get(&create_key) else { return Ok(Door::Unkept) };
    let levels = held.get(&levels_key).map(|it| &it.event);
    let levels = auth::power_levels(room.version, &create.event, levels);
    // Only for somebody who lives here can this node sign.
    let keeper = able(ground, tx, room, &levels, levels.invite()).await?;
    Ok(keeper.map_or(Door::Unkept, Door::Kept))
}

/// Somebody of this node in a room whose level is at least this.
pub(super) async fn able(
    ground: &Ground,
    tx: &mut Tx,
    room: &RoomRow,
    levels: &auth::Levels,
    least: i64,
) -> Result<Option<OwnedUserId>, Error> {
    // Those whom the room itself names come first, so that the size of the room does not matter.
    let named: Vec<(&UserId, i64)> = levels.named().collect();
    let able: Vec<&UserId> = named
        .iter()
        .filter(|(user_id, level)| *level >= least && ground.is_local(user_id))
        .map(|(user_id, _)| *user_id)
        .collect();
    if let Some(user_id) = rooms::joined_among(tx, room.room_no, &able).await?.pop() {
        return Ok(Some(user_id));
    }
    if levels.users_default() < least {
        return Ok(None);
    }
    // One more than are named: if any other is in the room, this finds one.
    let people = rooms::own_people_in(tx, room.room_no, None, "", named.len() + 1).await?;
    let is_named = |user_id: &UserId| named.iter().any(|(other, _)| *other == user_id);
    Ok(people.into_iter().find(|user_id| !is_named(user_id)))
}

/// Whether somebody is in one of the rooms whose members are let in; nothing where none that is known here
/// has them, and there are others.
async fn is_in_one_of(
    ground: &Ground,
    tx: &mut Tx,
    target: &UserId,
    allow: &Value,
) -> Result<Option<bool>, Error> {
    let entries = allow.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut knows_all = entries.len() <= ALLOWED;
    for entry in entries.iter().take(ALLOWED) {
        let by_room = entry["type"].as_str() == Some("m.room_membership");
        let Some(room_id) = entry["room_id"].as_str().filter(|_| by_room) else { continue };
        let Ok(room_id) = RoomId::parse(room_id) else { continue };
        // Of a room that nobody here is in any more, it is not known who is.
        let known = match rooms::room(tx, &room_id).await? {
            Some(other) if rooms::has_server(tx, other.room_no, &ground.server_name).await? => {
                other
            }
            _ => {
                knows_all = false;
                continue;
            }
        };
        let row = rooms::membership(tx, known.room_no, target).await?;
        if row.is_some_and(|row| row.membership == Membership::Join) {
            return Ok(Some(true));
        }
    }
    Ok(knows_all.then_some(false))
}

/// How somebody shows themselves: display name and picture, as member events carry them.
pub(in crate::services) async fn person(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Map<String, Value>, Error> {
    let profile = people::profile(from, user_id).await?;
    let mut shown = Map::new();
    for (name, value) in profile {
        if name == "displayname" || name == "avatar_url" {
            shown.insert(name, serde_json::from_str(&value).map_err(Error::internal)?);
        }
    }
    Ok(shown)
}

/// A text in a content, if it is there and a text.
pub(super) fn text_of(content: &RawValue, name: &str) -> Option<String> {
    let value: Map<String, Value> = serde_json::from_str(content.get()).ok()?;
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}
