//! Devices of people here and their keys, for other servers (server-server API, device management, end-to-end encryption).

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::json;
use wayside_specs::limits;

use super::queries::person;
use crate::{
    gateway::{
        fault::Fault,
        json::object,
        table::{Access, Call, Rate, Reply, Route, json as reply},
    },
    services::encryption::{Claims, Wanted},
};

pub(super) fn routes() -> Vec<Route> {
    let (server, rate) = (Access::Server, Rate::Federation);
    vec![
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/user/devices/{user_id}",
            server,
            rate,
            devices,
        ),
        Route::own(Method::POST, "/_matrix/federation/v1/user/keys/query", server, rate, query)
            .within(limits::LARGE_REQUEST_BYTES),
        Route::own(Method::POST, "/_matrix/federation/v1/user/keys/claim", server, rate, claim)
            .within(limits::LARGE_REQUEST_BYTES),
    ]
}

async fn devices(call: Call<Bytes>) -> Result<Reply, Fault> {
    let user_id = person(call.path.first().map(String::as_str).unwrap_or_default())?;
    Ok(reply(&json!(call.app.services.encryption.devices_of(&user_id).await?)))
}

async fn query(call: Call<Bytes>) -> Result<Reply, Fault> {
    #[derive(Deserialize)]
    struct Asked {
        device_keys: Wanted,
    }
    let body = object(call.request.body())?;
    let asked = Asked::deserialize(body).map_err(|error| Fault::BadJson(error.to_string()))?;
    let found = call.app.services.encryption.keys_for_server(asked.device_keys).await?;
    Ok(reply(&json!({
        "device_keys": found.device_keys,
        "master_keys": found.master_keys,
        "self_signing_keys": found.self_signing_keys,
    })))
}

async fn claim(call: Call<Bytes>) -> Result<Reply, Fault> {
    #[derive(Deserialize)]
    struct Asked {
        one_time_keys: Claims,
    }
    let body = object(call.request.body())?;
    let asked = Asked::deserialize(body).map_err(|error| Fault::BadJson(error.to_string()))?;
    let given = call.app.services.encryption.claim_here(asked.one_time_keys).await?;
    Ok(reply(&json!({ "one_time_keys": given })))
}
