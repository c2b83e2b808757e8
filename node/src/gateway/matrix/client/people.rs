//! Profiles, account data, typing, receipts, presence.

use bytes::Bytes;
use http::{Method, Uri};
use ruma::{
    UserId,
    api::client::{
        config::{
            get_global_account_data, get_room_account_data, set_global_account_data,
            set_room_account_data,
        },
        presence::{get_presence, set_presence},
        profile::{get_profile, get_profile_field},
        read_marker::set_read_marker,
        receipt::create_receipt,
        typing::create_typing_event,
    },
    events::receipt::ReceiptThread,
    presence::PresenceState,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{read::text, sync::own};
use crate::{
    gateway::{
        App,
        fault::Fault,
        json,
        table::{Access, Asked, Call, Rate, Reply, Route, done, json as reply},
    },
    services::{
        Error,
        accounts::Session,
        affairs::{Spread, is_shown},
        live::Presence,
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Perhaps, Rate::Read, profile),
        Route::matrix(Access::Perhaps, Rate::Read, profile_field),
        Route::own(Method::PUT, FIELD, Access::Account, Rate::Write, set_profile_field),
        Route::own(Method::DELETE, FIELD, Access::Account, Rate::Write, delete_profile_field),
        Route::matrix(Access::Account, Rate::Read, global_data),
        Route::matrix(Access::Account, Rate::Write, set_global_data).large().for_suspended(),
        Route::matrix(Access::Account, Rate::Read, room_data),
        Route::matrix(Access::Account, Rate::Write, set_room_data).large(),
        Route::matrix(Access::Account, Rate::Write, typing),
        Route::matrix(Access::Account, Rate::Write, receipt),
        Route::matrix(Access::Account, Rate::Write, read_marker),
        Route::matrix(Access::Account, Rate::Read, presence),
        Route::matrix(Access::Account, Rate::Write, set_presence),
    ]
}

/// How account data begin that hold a person's own keys, encrypted: suspended people go on to keep
/// and verify those.
const KEYS: [&str; 3] = ["m.cross_signing.", "m.secret_storage.", "m.megolm_backup."];

/// The path of one field of a profile.
const FIELD: &str = "/_matrix/client/v3/profile/{user_id}/{field}";

async fn profile(asked: Asked<get_profile::v3::Request>) -> Result<Reply, Fault> {
    Ok(reply(&Value::Object(fields(&asked, &asked.body.user_id, None).await?)))
}

async fn profile_field(asked: Asked<get_profile_field::v3::Request>) -> Result<Reply, Fault> {
    let name = asked.body.field.to_string();
    let mut profile = fields(&asked, &asked.body.user_id, Some(&name)).await?;
    let value = profile.remove(&name);
    let value = value.ok_or_else(|| Error::NotFound(format!("the profile has no {name}")))?;
    Ok(reply(&json!({ name: value })))
}

/// A profile, of which only one field is needed where it is named. Those of other servers are fetched
/// for whoever is known here.
async fn fields<T>(
    asked: &Asked<T>,
    user_id: &UserId,
    name: Option<&str>,
) -> Result<Map<String, Value>, Fault> {
    let services = &asked.app.services;
    if services.ground.is_local(user_id) {
        services.app_services.summon(user_id).await?;
        return Ok(services.social.profile(user_id).await?);
    }
    asked.app.calls(asked.session()?)?;
    Ok(services.servers.profile(user_id, name).await?)
}

/// Read by hand: a null takes a name or picture away, as clients of before version 1.16 mean it.
async fn set_profile_field(call: Call<Bytes>) -> Result<Reply, Fault> {
    let [user_id, name] = call.path.as_slice() else { return Err(Fault::Unrecognized) };
    let body = json::object(call.request.body())?;
    let value = body.get(name).cloned();
    let value = value.ok_or_else(|| Error::Missing(format!("the body must hold {name}")))?;
    let value = Some(value).filter(|value| !(value.is_null() && is_shown(name)));
    set_field(&call.app, call.session.as_ref(), user_id, name, value, call.request.uri()).await
}

async fn delete_profile_field(call: Call<Bytes>) -> Result<Reply, Fault> {
    let [user_id, name] = call.path.as_slice() else { return Err(Fault::Unrecognized) };
    set_field(&call.app, call.session.as_ref(), user_id, name, None, call.request.uri()).await
}

async fn set_field(
    app: &App,
    session: Option<&Session>,
    user_id: &str,
    name: &str,
    value: Option<Value>,
    uri: &Uri,
) -> Result<Reply, Fault> {
    let own_id = &session.ok_or(Fault::MissingToken)?.user_id;
    own(user_id == own_id.as_str())?;
    let spread = spread(uri)?;
    app.services.affairs.set_profile_field(own_id, name, value, spread).await?;
    Ok(done())
}

/// Into which rooms a changed name or picture is wished to be written.
fn spread(uri: &Uri) -> Result<Spread, Fault> {
    #[derive(Deserialize)]
    struct Wish {
        #[serde(alias = "computer.gingershaped.msc4466.propagate_to", default)]
        propagate_to: Spread,
    }
    let wish = axum::extract::Query::<Wish>::try_from_uri(uri);
    let wrong = |_| Fault::BadParameter("propagate_to is all, unchanged or none".to_owned());
    Ok(wish.map_err(wrong)?.0.propagate_to)
}

async fn global_data(asked: Asked<get_global_account_data::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    own(body.user_id == asked.session()?.user_id)?;
    let kind = body.event_type.to_string();
    text(&asked.app.services.social.data_item(&body.user_id, None, &kind).await?)
}

async fn set_global_data(
    asked: Asked<set_global_account_data::v3::Request>,
) -> Result<Reply, Fault> {
    let body = &asked.body;
    own(body.user_id == asked.session()?.user_id)?;
    let kind = body.event_type.to_string();
    if asked.session()?.held.suspended && !KEYS.iter().any(|begin| kind.starts_with(begin)) {
        return Err(Error::Suspended.into());
    }
    let social = &asked.app.services.social;
    social.set_data_item(&body.user_id, None, &kind, body.data.json()).await?;
    Ok(done())
}

async fn room_data(asked: Asked<get_room_account_data::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    own(body.user_id == asked.session()?.user_id)?;
    let kind = body.event_type.to_string();
    text(&asked.app.services.social.data_item(&body.user_id, Some(&body.room_id), &kind).await?)
}

async fn set_room_data(asked: Asked<set_room_account_data::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    own(body.user_id == asked.session()?.user_id)?;
    let kind = body.event_type.to_string();
    let social = &asked.app.services.social;
    social.set_data_item(&body.user_id, Some(&body.room_id), &kind, body.data.json()).await?;
    Ok(done())
}

async fn typing(asked: Asked<create_typing_event::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    own(body.user_id == asked.session()?.user_id)?;
    let for_ms = match &body.state {
        create_typing_event::v3::Typing::Yes(info) => {
            Some(u64::try_from(info.timeout.as_millis()).unwrap_or(u64::MAX))
        }
        create_typing_event::v3::Typing::No => None,
    };
    asked.app.services.social.type_in(&body.user_id, &body.room_id, for_ms).await?;
    Ok(done())
}

async fn receipt(asked: Asked<create_receipt::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let kind = body.receipt_type.to_string();
    if !matches!(kind.as_str(), "m.read" | "m.read.private" | "m.fully_read") {
        return Err(Fault::BadParameter(format!("{kind:?} is no kind of receipt")));
    }
    let thread = match &body.thread {
        ReceiptThread::Unthreaded => None,
        thread => thread.as_str(),
    };
    let user_id = &asked.session()?.user_id;
    let social = &asked.app.services.social;
    social.read_up_to(user_id, &body.room_id, &kind, thread, &body.event_id).await?;
    Ok(done())
}

async fn read_marker(asked: Asked<set_read_marker::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let user_id = &asked.session()?.user_id;
    let moved = [
        ("m.fully_read", &body.fully_read),
        ("m.read", &body.read_receipt),
        ("m.read.private", &body.private_read_receipt),
    ];
    for (kind, event_id) in moved {
        if let Some(event_id) = event_id {
            let social = &asked.app.services.social;
            social.read_up_to(user_id, &body.room_id, kind, None, event_id).await?;
        }
    }
    Ok(done())
}

async fn presence(asked: Asked<get_presence::v3::Request>) -> Result<Reply, Fault> {
    let asker = &asked.session()?.user_id;
    let present = asked.app.services.social.presence(asker, &asked.body.user_id).await?;
    let now_ms = asked.app.services.ground.clock.now_ms();
    let mut body = json!({
        "presence": present.presence.as_str(),
        "last_active_ago": (now_ms - present.active_ms).max(0),
        "currently_active": present.presence == Presence::Online,
    });
    if let Some(status) = present.status {
        body["status_msg"] = status.into();
    }
    Ok(reply(&body))
}

async fn set_presence(asked: Asked<set_presence::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    own(body.user_id == asked.session()?.user_id)?;
    let presence = match body.presence {
        PresenceState::Online => Presence::Online,
        PresenceState::Unavailable => Presence::Unavailable,
        PresenceState::Offline => Presence::Offline,
        _ => return Err(Fault::bad_json("presence is online, unavailable or offline")),
    };
    asked.app.services.social.set_presence(&body.user_id, presence, body.status_msg.clone())?;
    Ok(done())
}
