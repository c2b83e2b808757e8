//! Making rooms, speaking in them, coming and going.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use ruma::{
    OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, RoomOrAliasId, UserId,
    api::client::{
        knock::knock_room,
        membership::{
            Invite3pid, ban_user, forget_room, invite_user, join_room_by_id,
            join_room_by_id_or_alias, joined_rooms, kick_user, leave_room, unban_user,
        },
        message::send_message_event,
        redact::redact_event,
        room::{Visibility, create_room},
        state::send_state_event,
    },
};
use serde_json::{Map, Value, json, value::RawValue};
use tokio::time::timeout;
use wayside_federation::version::RoomVersion;
use wayside_specs::Role;

use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Asked, Rate, Reply, Route, done, json as reply},
    },
    services::{
        Error,
        federation::Addressed,
        identity_servers::{Named, ThirdPartyId},
        rooms::{Membership, NewRoom, Preset, Request, Step},
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::AtLeast(Role::Member), Rate::Write, create).large(),
        Route::matrix(Access::Account, Rate::Write, send),
        Route::matrix(Access::Account, Rate::Write, set_state),
        Route::matrix(Access::Account, Rate::Write, redact).for_suspended(),
        Route::matrix(Access::Account, Rate::Write, join),
        Route::matrix(Access::Account, Rate::Write, join_by_name),
        Route::matrix(Access::AtLeast(Role::Member), Rate::Write, knock),
        Route::matrix(Access::Account, Rate::Write, leave).for_suspended(),
        Route::matrix(Access::AtLeast(Role::Member), Rate::Write, invite),
        Route::matrix(Access::AtLeast(Role::Member), Rate::Write, kick),
        Route::matrix(Access::AtLeast(Role::Member), Rate::Write, ban),
        Route::matrix(Access::AtLeast(Role::Member), Rate::Write, unban),
        Route::matrix(Access::Account, Rate::Write, forget).for_suspended(),
        Route::matrix(Access::Account, Rate::Read, joined),
    ]
}

async fn create(asked: Asked<create_room::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let by_address: Vec<_> = body
        .invite_3pid
        .iter()
        .map(|invited| addressed(invited, body.is_direct))
        .collect::<Result<_, _>>()?;
    if by_address.len() > ADDRESSES {
        let why = format!("invite_3pid: at most {ADDRESSES} are invited with a new room");
        return Err(Fault::BadParameter(why));
    }
    let version = match &body.room_version {
        None => None,
        Some(id) => {
            let known = RoomVersion::parse(id.as_str());
            Some(known.ok_or_else(|| Error::RoomVersion(id.to_string()))?)
        }
    };
    let published = body.visibility == Visibility::Public;
    let preset = match &body.preset {
        Some(create_room::v3::RoomPreset::PublicChat) => Preset::Public,
        Some(create_room::v3::RoomPreset::TrustedPrivateChat) => Preset::TrustedPrivate,
        Some(create_room::v3::RoomPreset::PrivateChat) => Preset::Private,
        Some(_) => return Err(Fault::BadParameter("the preset is unknown".to_owned())),
        None if published => Preset::Public,
        None => Preset::Private,
    };
    let object = |name: &str| match asked.json.get(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object.clone()),
        Some(_) => Err(Fault::BadJson(format!("{name} is an object"))),
    };
    let initial_state = asked.json.get("initial_state").and_then(Value::as_array);
    let initial_state = initial_state
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(initial)
        .collect::<Result<_, _>>()?;
    let session = asked.session()?;
    for invited in &body.invite {
        asked.app.services.app_services.summon(invited).await?;
        answers(&asked, invited).await?;
    }
    for _ in &by_address {
        asked.app.calls(session)?;
    }
    let room_id = asked
        .app
        .services
        .rooms
        .create(NewRoom {
            creator: Some(session.user_id.clone()),
            version,
            preset,
            creation_content: object("creation_content")?,
            initial_state,
            power_levels: object("power_level_content_override")?,
            name: body.name.clone(),
            topic: body.topic.clone(),
            alias: body.room_alias_name.clone(),
            invite: body.invite.clone(),
            is_direct: body.is_direct,
            published,
            service: session.service.clone(),
        })
        .await
        .map_err(|error| match error {
            Error::AliasTaken(alias) => Fault::AliasInUse(alias),
            other => other.into(),
        })?;
    for invited in body.invite.iter().filter(|it| !asked.app.services.ground.is_local(it)) {
        let mut step = Step::to(Membership::Invite);
        step.is_direct = body.is_direct;
        if let Err(error) = go(&asked, &room_id, invited, step, Vec::new()).await {
            // The room is there: whoever made it sees who has come, and may invite them again.
            tracing::info!(%error, %invited, "an invitation does not reach somebody");
        }
    }
    invite_addresses(&asked, &room_id, by_address).await?;
    Ok(reply(&json!({ "room_id": room_id })))
}

/// People who are invited by an address when a room is made: an identity server is asked for each, of
/// several at once, and it is not waited longer for them.
const ADDRESSES: usize = 20;
const AT_ONCE: usize = 4;
const PATIENCE: Duration = Duration::from_secs(20);

fn addressed(invited: &Invite3pid, is_direct: bool) -> Result<Addressed, Fault> {
    let at = Named::read(&invited.id_server, &invited.id_access_token)?;
    let id = ThirdPartyId::read(invited.medium.as_str(), &invited.address)?;
    Ok(Addressed { at, id, is_direct })
}

/// The room is there: those who cannot be reached in time are invited later, or again.
async fn invite_addresses<T>(
    asked: &Asked<T>,
    room_id: &RoomId,
    by_address: Vec<Addressed>,
) -> Result<(), Fault> {
    let (services, session) = (&asked.app.services, asked.session()?);
    let mut invitations = Vec::new();
    for invited in by_address {
        let federation = services.federation.clone();
        let (room_id, sender) = (room_id.to_owned(), session.user_id.clone());
        invitations.push(async move {
            let done = federation.invite_by_address(&room_id, &sender, invited).await;
            if let Err(error) = done {
                tracing::debug!(%error, "an invitation by an address does not reach somebody");
            }
        });
    }
    let work = async move {
        stream::iter(invitations).buffer_unordered(AT_ONCE).collect::<()>().await;
        Ok(())
    };
    match timeout(PATIENCE, services.ground.to_its_end(work)).await {
        Ok(done) => Ok(done?),
        Err(_goes_on_without_the_client) => Ok(()),
    }
}

/// To its end, also when the client hangs up: the identity server may have written to them already.
async fn invite_by_address<T>(
    asked: &Asked<T>,
    room_id: &RoomId,
    invited: Addressed,
) -> Result<(), Fault> {
    asked.app.calls(asked.session()?)?;
    let services = &asked.app.services;
    let federation = services.federation.clone();
    let (room_id, sender) = (room_id.to_owned(), asked.session()?.user_id.clone());
    let work = async move { federation.invite_by_address(&room_id, &sender, invited).await };
    Ok(services.ground.to_its_end(work).await?)
}

/// Whoever is invited into a room that is not there yet must live on a server that answers: when the room
/// is made, it is too late to say otherwise.
async fn answers<T>(asked: &Asked<T>, invited: &UserId) -> Result<(), Fault> {
    let services = &asked.app.services;
    if services.ground.is_local(invited) {
        return Ok(());
    }
    asked.app.calls(asked.session()?)?;
    match services.servers.profile(invited, None).await {
        Err(error @ Error::NoAnswer(_)) => Err(error.into()),
        // What it shows of them, if anything, is its own affair.
        _ => Ok(()),
    }
}

fn initial(event: &Value) -> Result<(String, String, Box<RawValue>), Fault> {
    let kind = event.get("type").and_then(Value::as_str);
    let kind = kind.ok_or_else(|| Fault::bad_json("each initial_state event has a type"))?;
    let key = match event.get("state_key") {
        None => "",
        Some(key) => key.as_str().ok_or_else(|| Fault::bad_json("a state_key is a text"))?,
    };
    let content = event.get("content").filter(|content| content.is_object());
    let content =
        content.ok_or_else(|| Fault::bad_json("each initial_state event has a content"))?;
    let content = serde_json::value::to_raw_value(content).map_err(Error::internal)?;
    Ok((kind.to_owned(), key.to_owned(), content))
}

async fn send(asked: Asked<send_message_event::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let scope = format!("send {} {}", body.room_id, body.event_type);
    let mut request = request(&asked, scope, body.txn_id.as_str())?;
    request.sent = body.timestamp.filter(|_| asked.service().is_some());
    let content = content(body.body.json())?;
    let kind = body.event_type.to_string().as_str().into();
    let event_id = asked.app.services.rooms.send(&body.room_id, kind, content, request).await?;
    Ok(reply(&json!({ "event_id": event_id })))
}

async fn set_state(asked: Asked<send_state_event::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let content = content(body.body.json())?;
    let kind = body.event_type.to_string().as_str().into();
    let sender = asked.session()?.user_id.clone();
    let (room_id, key) = (body.room_id.clone(), body.state_key.clone());
    let sent = body.timestamp.filter(|_| asked.service().is_some());
    let services = &asked.app.services;
    let federation = services.federation.clone();
    // To its end, also when the client hangs up: another server may have heard of an invitation already.
    let work =
        async move { federation.set_state(&room_id, &sender, kind, key, content, sent).await };
    let event_id = services.ground.to_its_end(work).await?;
    Ok(reply(&json!({ "event_id": event_id })))
}

async fn redact(asked: Asked<redact_event::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let session = asked.session()?;
    if session.held.suspended
        && !asked.app.services.rooms.is_by(&body.event_id, &session.user_id).await?
    {
        return Err(Error::Suspended.into());
    }
    let scope = format!("redact {} {}", body.room_id, body.event_id);
    let request = request(&asked, scope, body.txn_id.as_str())?;
    let reason = body.reason.as_deref();
    let event_id =
        asked.app.services.rooms.redact(&body.room_id, &body.event_id, reason, request).await?;
    Ok(reply(&json!({ "event_id": event_id })))
}

async fn join(asked: Asked<join_room_by_id::v3::Request>) -> Result<Reply, Fault> {
    let to = asked.body.room_id.clone();
    come(&asked, (to, Vec::new()), Membership::Join, asked.body.reason.clone()).await
}

async fn join_by_name(asked: Asked<join_room_by_id_or_alias::v3::Request>) -> Result<Reply, Fault> {
    let to = find(&asked, &asked.body.room_id_or_alias, &asked.body.via).await?;
    come(&asked, to, Membership::Join, asked.body.reason.clone()).await
}

async fn knock(asked: Asked<knock_room::v3::Request>) -> Result<Reply, Fault> {
    let to = find(&asked, &asked.body.room_id_or_alias, &asked.body.via).await?;
    come(&asked, to, Membership::Knock, asked.body.reason.clone()).await
}

/// The room of that name, and servers that may know it.
async fn find<T>(
    asked: &Asked<T>,
    name: &RoomOrAliasId,
    via: &[OwnedServerName],
) -> Result<(OwnedRoomId, Vec<OwnedServerName>), Fault> {
    let services = &asked.app.services;
    if let Ok(alias) = <&RoomAliasId>::try_from(name)
        && alias.server_name() != services.ground.server_name
    {
        asked.app.calls(asked.session()?)?;
        let place = services.servers.alias(alias).await?;
        return Ok((place.room_id, [via, &place.servers].concat()));
    }
    Ok((services.app_services.resolve(name).await?, via.to_vec()))
}

async fn come<T>(
    asked: &Asked<T>,
    (room_id, via): (OwnedRoomId, Vec<OwnedServerName>),
    to: Membership,
    reason: Option<String>,
) -> Result<Reply, Fault> {
    let session = asked.session()?;
    let shown = match asked.json.get("third_party_signed") {
        Some(signed) if to == Membership::Join => show_proof(asked, &room_id, signed).await,
        _ => Ok(()),
    };
    let mut step = Step::to(to).because(reason);
    step.guest = session.role == Role::Guest;
    // Whoever may come without a proof needs none that holds; to the others it says why they may not.
    match go(asked, &room_id, &session.user_id, step, via).await {
        Err(Fault::Service(Error::Forbidden(_))) if shown.is_err() => shown?,
        come => come?,
    }
    Ok(reply(&json!({ "room_id": room_id })))
}

/// Lets whoever comes be invited by what an identity server has proven of them.
async fn show_proof<T>(asked: &Asked<T>, room_id: &RoomId, signed: &Value) -> Result<(), Fault> {
    let session = asked.session()?;
    if session.role == Role::Guest {
        return Err(Error::Guest.into());
    }
    let signed = serde_json::value::to_raw_value(signed).map_err(Error::internal)?;
    asked.app.calls(session)?;
    let services = &asked.app.services;
    let federation = services.federation.clone();
    let (room_id, user_id) = (room_id.to_owned(), session.user_id.clone());
    let work = async move { federation.show_proof(&room_id, &user_id, &signed).await };
    Ok(services.ground.to_its_end(work).await?)
}

async fn leave(asked: Asked<leave_room::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let step = Step::to(Membership::Leave).because(body.reason.clone());
    change(&asked, &body.room_id, &asked.session()?.user_id, step).await
}

async fn invite(asked: Asked<invite_user::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let target = match &body.recipient {
        invite_user::v3::InvitationRecipient::UserId(target) => target,
        invite_user::v3::InvitationRecipient::ThirdPartyId(invited) => {
            let invited = addressed(invited, false)?;
            invite_by_address(&asked, &body.room_id, invited).await?;
            return Ok(done());
        }
        _ => return Err(Fault::bad_json("say whom to invite: user_id, or an address")),
    };
    let step = Step::to(Membership::Invite).because(target.reason.clone());
    asked.app.services.app_services.summon(&target.user_id).await?;
    change(&asked, &body.room_id, &target.user_id, step).await
}

async fn kick(asked: Asked<kick_user::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let mut step = Step::to(Membership::Leave).because(body.reason.clone());
    step.from = Some(&[Membership::Join, Membership::Invite, Membership::Knock]);
    change(&asked, &body.room_id, &body.user_id, step).await
}

async fn ban(asked: Asked<ban_user::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let step = Step::to(Membership::Ban).because(body.reason.clone());
    change(&asked, &body.room_id, &body.user_id, step).await
}

async fn unban(asked: Asked<unban_user::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let mut step = Step::to(Membership::Leave).because(body.reason.clone());
    step.from = Some(&[Membership::Ban]);
    change(&asked, &body.room_id, &body.user_id, step).await
}

async fn change<T>(
    asked: &Asked<T>,
    room_id: &OwnedRoomId,
    target: &UserId,
    step: Step,
) -> Result<Reply, Fault> {
    go(asked, room_id, target, step, Vec::new()).await?;
    Ok(done())
}

/// To its end, also when the client hangs up: another server may have let them in already. Whoever comes
/// into a room in which they were asked to be friends says so by that, whatever program they use.
async fn go<T>(
    asked: &Asked<T>,
    room_id: &RoomId,
    target: &UserId,
    step: Step,
    via: Vec<OwnedServerName>,
) -> Result<(), Fault> {
    let services = &asked.app.services;
    let (federation, friends) = (services.federation.clone(), services.friends.clone());
    let (room_id, sender) = (room_id.to_owned(), asked.session()?.user_id.clone());
    let target = target.to_owned();
    let work = async move {
        let comes = step.to == Membership::Join && sender == target;
        let asking = if comes { friends.asked_in(&target, &room_id).await? } else { None };
        federation.step(&room_id, &sender, &target, step, &via).await?;
        if let Some(asking) = asking
            && let Err(error) = friends.came(&target, &asking, &room_id).await
        {
            // They are in, and may answer by hand.
            tracing::warn!(%error, "whoever came in does not say that they are a friend");
        }
        Ok(())
    };
    Ok(services.ground.to_its_end(work).await?)
}

async fn forget(asked: Asked<forget_room::v3::Request>) -> Result<Reply, Fault> {
    let user_id = &asked.session()?.user_id;
    asked.app.services.rooms.forget(&asked.body.room_id, user_id).await?;
    Ok(done())
}

async fn joined(asked: Asked<joined_rooms::v3::Request>) -> Result<Reply, Fault> {
    let rooms = asked.app.services.rooms.joined(&asked.session()?.user_id).await?;
    Ok(reply(&json!({ "joined_rooms": rooms })))
}

pub(super) fn request<T>(asked: &Asked<T>, scope: String, txn_id: &str) -> Result<Request, Fault> {
    let session = asked.session()?;
    if txn_id.is_empty() || txn_id.len() > wayside_specs::limits::TOKEN_BYTES {
        return Err(Fault::BadParameter("a transaction id has 1 to 255 bytes".to_owned()));
    }
    Ok(Request {
        user_id: session.user_id.clone(),
        device_id: session.device_id.clone(),
        scope,
        txn_id: txn_id.to_owned(),
        sent: None,
    })
}

/// The content as the client wrote it; whether it is canonical is decided when the event is built.
fn content(raw: &RawValue) -> Result<Box<RawValue>, Fault> {
    if !raw.get().trim_start().starts_with('{') {
        return Err(Fault::bad_json("the content of an event is an object"));
    }
    Ok(raw.to_owned())
}
