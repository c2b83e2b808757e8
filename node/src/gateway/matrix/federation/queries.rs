//! Single questions of other servers: profiles, aliases, the directory of rooms (server-server API, queries).

use bytes::Bytes;
use http::Method;
use ruma::{OwnedUserId, RoomAliasId, UserId};
use serde_json::{Value, json};

use crate::{
    gateway::{
        fault::Fault,
        json::object,
        matrix::client::directory,
        table::{Access, Call, Rate, Reply, Route, json as reply},
    },
    services::Error,
};

pub(super) fn routes() -> Vec<Route> {
    let (server, rate) = (Access::Server, Rate::Federation);
    vec![
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/openid/userinfo",
            Access::Public,
            Rate::Guess,
            userinfo,
        ),
        Route::own(Method::GET, "/_matrix/federation/v1/query/profile", server, rate, profile),
        Route::own(Method::GET, "/_matrix/federation/v1/query/directory", server, rate, alias),
        Route::own(Method::GET, "/_matrix/federation/v1/publicRooms", server, rate, rooms),
        Route::own(
            Method::POST,
            "/_matrix/federation/v1/publicRooms",
            server,
            rate,
            rooms_filtered,
        )
        .typed(directory::FILTERED),
    ]
}

/// What the query of a request says under a name, each time that it does.
pub(super) fn fields(call: &Call<Bytes>, name: &str) -> Vec<String> {
    let query = call.request.uri().query().unwrap_or_default();
    let fields = url::form_urlencoded::parse(query.as_bytes());
    fields.filter(|(other, _)| other == name).map(|(_, value)| value.into_owned()).collect()
}

pub(super) fn field(call: &Call<Bytes>, name: &str) -> Option<String> {
    fields(call, name).into_iter().next()
}

/// The same, where it must say something.
pub(super) fn needed(call: &Call<Bytes>, name: &str) -> Result<String, Fault> {
    let missing = || Error::Missing(format!("the query names no {name}"));
    Ok(field(call, name).ok_or_else(missing)?)
}

/// The id of a person.
pub(super) fn person(text: &str) -> Result<OwnedUserId, Fault> {
    UserId::parse(text).map_err(|_| Fault::BadParameter(format!("{text:?} is no id of a person")))
}

/// Who asked for a token by which they let another service know who they are (server-server API,
/// `OpenID`).
async fn userinfo(call: Call<Bytes>) -> Result<Reply, Fault> {
    let token = field(&call, "access_token").ok_or(Fault::MissingToken)?;
    let person = call.app.services.accounts.openid_person(&token).await?;
    Ok(reply(&json!({ "sub": person.ok_or(Error::UnknownToken)? })))
}

async fn profile(call: Call<Bytes>) -> Result<Reply, Fault> {
    let user_id = person(&needed(&call, "user_id")?)?;
    if !call.app.services.ground.is_local(&user_id) {
        return Err(Error::NotFound(format!("{user_id} does not live here")).into());
    }
    let mut fields = call.app.services.social.profile(&user_id).await?;
    if let Some(name) = field(&call, "field") {
        fields.retain(|other, _| *other == name);
    }
    Ok(reply(&Value::Object(fields)))
}

async fn alias(call: Call<Bytes>) -> Result<Reply, Fault> {
    let alias = needed(&call, "room_alias")?;
    let alias = RoomAliasId::parse(&alias)
        .map_err(|_| Fault::BadParameter(format!("{alias:?} is no alias of a room")))?;
    let ground = &call.app.services.ground;
    if alias.server_name() != ground.server_name {
        return Err(Error::NotFound(format!("{alias} is no alias of this server")).into());
    }
    let room_id = call.app.services.app_services.resolve((&*alias).into()).await?;
    Ok(reply(&json!({ "room_id": room_id, "servers": [&ground.server_name] })))
}

async fn rooms(call: Call<Bytes>) -> Result<Reply, Fault> {
    let wish = json!({
        "limit": field(&call, "limit").map(|text| number(&text)).transpose()?,
        "since": field(&call, "since"),
        "include_all_networks": field(&call, "include_all_networks").map(|it| truth(&it)).transpose()?,
        "third_party_instance_id": field(&call, "third_party_instance_id"),
    });
    directory::answer_server(&call.app, &wish).await
}

async fn rooms_filtered(call: Call<Bytes>) -> Result<Reply, Fault> {
    let wish = object(call.request.body())?;
    directory::answer_server(&call.app, &wish).await
}

pub(super) fn number(text: &str) -> Result<u64, Fault> {
    text.parse().map_err(|_| Fault::BadParameter(format!("{text:?} is no number")))
}

pub(super) fn truth(text: &str) -> Result<bool, Fault> {
    text.parse().map_err(|_| Fault::BadParameter(format!("{text:?} is neither true nor false")))
}
