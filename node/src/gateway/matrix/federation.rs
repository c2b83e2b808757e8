//! The door for other servers (server-server API): who this node is, and its keys.

use http::Method;
use serde_json::json;
use wayside_federation::key::ServerKeys;

use crate::{
    clock::matrix_time,
    gateway::{
        fault::Fault,
        table::{Access, Call, Rate, Reply, Route, json as reply, json_bytes},
    },
    services::Error,
};

/// How long another server may believe our keys without asking again, in milliseconds.
const KEYS_LAST_MS: i64 = 24 * 60 * 60 * 1000;

pub(in crate::gateway) fn routes() -> Vec<Route> {
    vec![
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/version",
            Access::Public,
            Rate::Read,
            version,
        ),
        Route::own(Method::GET, "/_matrix/key/v2/server", Access::Public, Rate::Read, keys),
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/openid/userinfo",
            Access::Public,
            Rate::Guess,
            userinfo,
        ),
    ]
}

async fn version(_: Call<bytes::Bytes>) -> Result<Reply, Fault> {
    Ok(reply(&json!({ "server": { "name": "Wayside", "version": env!("CARGO_PKG_VERSION") } })))
}

/// Who asked for a token by which they let another service know who they are (server-server API,
/// `OpenID`).
async fn userinfo(call: Call<bytes::Bytes>) -> Result<Reply, Fault> {
    let query = call.request.uri().query().unwrap_or_default();
    let mut fields = url::form_urlencoded::parse(query.as_bytes());
    let token = fields.find(|(name, _)| name == "access_token").ok_or(Fault::MissingToken)?.1;
    let person = call.app.services.accounts.openid_person(&token).await?;
    Ok(reply(&json!({ "sub": person.ok_or(Error::UnknownToken)? })))
}

async fn keys(call: Call<bytes::Bytes>) -> Result<Reply, Fault> {
    let ground = &call.app.services.ground;
    let until = matrix_time(ground.clock.now_ms() + KEYS_LAST_MS);
    let published = ServerKeys::publish(&ground.server_name, &ground.server_key, &[], until);
    Ok(json_bytes(published.map_err(Error::internal)?))
}
