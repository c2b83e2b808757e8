//! Moving house: somebody finds what was kept of them, brings their DID, and unpacks what they took along.

use bytes::Bytes;
use http::Method;
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};
use serde::Deserialize;
use serde_json::{Value, json};
use wayside_identity::luggage::Luggage;
use wayside_specs::{Did, Role, limits};

use super::{persons::told, read};
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Call, Rate, Reply, Route, json as reply},
    },
    services::moving::{ASKED, Wanted},
};

pub(super) fn routes() -> Vec<Route> {
    let member = Access::AtLeast(Role::Member);
    let at = |name: &str| format!("/_wayside/v1/identity/{name}");
    // A whole log, and what JSON escapes of it: every quotation mark.
    let whole = 2 * limits::DID_LOG_BYTES;
    vec![
        Route::own(Method::POST, &at("search"), member, Rate::Outside, search),
        Route::own(Method::PUT, &at("moved"), member, Rate::Write, moved).within(whole),
        Route::own(Method::POST, &at("luggage"), member, Rate::Write, unpack)
            .within(2 * limits::LUGGAGE_BYTES),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchBody {
    did: Option<String>,
    account: Option<OwnedUserId>,
    seal_key: Option<String>,
    #[serde(default)]
    at: Vec<String>,
}

async fn search(call: Call<Bytes>) -> Result<Reply, Fault> {
    let body: SearchBody = read(call.request.body())?;
    let wanted = match (body.did, body.account) {
        (Some(did), None) => Wanted::Did(read_did(&did)?),
        (None, Some(account)) => Wanted::Account(account),
        _ => return Err(Fault::BadParameter("name did or account, and not both".to_owned())),
    };
    if body.at.len() > ASKED {
        return Err(Fault::BadParameter(format!("at names at most {ASKED} servers or accounts")));
    }
    let servers = body.at.iter().map(|text| server_of(text)).collect::<Result<Vec<_>, _>>()?;
    let moving = &call.app.services.moving;
    let found = moving.search(&wanted, body.seal_key.as_deref(), &servers).await?;
    let asked = found.asked.iter().map(|it| match &it.why {
        Some(why) => json!({ "server": it.server, "found": false, "why": why }),
        None => json!({ "server": it.server, "found": true }),
    });
    let asked: Vec<Value> = asked.collect();
    Ok(reply(&json!({ "log": found.log, "sealed": found.sealed, "asked": asked })))
}

fn read_did(text: &str) -> Result<Did, Fault> {
    text.parse().map_err(|error| Fault::BadParameter(format!("{error}")))
}

/// The server that somebody names, by itself or by an account on it.
fn server_of(text: &str) -> Result<OwnedServerName, Fault> {
    let wrong = || Fault::BadParameter(format!("{text:?} is neither a server nor an account"));
    if text.starts_with('@') {
        return Ok(UserId::parse(text).map_err(|_| wrong())?.server_name().to_owned());
    }
    ServerName::parse(text).map_err(|_| wrong())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MovedBody {
    log: String,
}

async fn moved(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let body: MovedBody = read(call.request.body())?;
    let moving = &call.app.services.moving;
    let identity = moving.move_in(&session.user_id, &body.log).await?;
    Ok(reply(&told(identity, &[])))
}

async fn unpack(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let body: Value = read(call.request.body())?;
    let luggage = Luggage::read(&body).map_err(|error| Fault::BadJson(error.to_string()))?;
    let unpacked = call.app.services.moving.unpack(&session.user_id, &luggage).await?;
    Ok(reply(&json!({
        "friends": unpacked.friends,
        "blocked": unpacked.blocked,
        "credentials": unpacked.credentials,
        "avatar": unpacked.avatar,
        "failed": unpacked.failed,
    })))
}
