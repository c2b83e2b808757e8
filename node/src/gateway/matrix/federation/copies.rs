//! Copies of what people need to come back without their home, left with the servers of their friends.
//!
//! See specs/identity.md, "Moving".

use bytes::Bytes;
use http::Method;
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::json;
use wayside_specs::limits;

use super::queries::{field, needed, person};
use crate::gateway::{
    fault::Fault,
    json::object,
    table::{Access, Call, Rate, Reply, Route, done, json as reply},
};

/// Where they are, by the SCID of a person, or `-` where somebody is looked for by an account alone.
const COPIES: &str = "/_matrix/federation/unstable/org.wayside/copies/{scid}";

pub(super) fn routes() -> Vec<Route> {
    let (server, rate) = (Access::Server, Rate::Federation);
    // A whole log and luggage, and what JSON escapes of them.
    let whole = 2 * (limits::DID_LOG_BYTES + limits::LUGGAGE_BYTES);
    vec![
        Route::own(Method::GET, COPIES, server, rate, give),
        Route::own(Method::PUT, COPIES, server, rate, hold).within(whole),
        Route::own(Method::DELETE, COPIES, server, rate, release),
    ]
}

fn scid(call: &Call<Bytes>) -> &str {
    call.path.first().map(String::as_str).unwrap_or_default()
}

async fn give(call: Call<Bytes>) -> Result<Reply, Fault> {
    let account = field(&call, "account").map(|text| person(&text)).transpose()?;
    let scid = Some(scid(&call)).filter(|scid| *scid != "-");
    let key = needed(&call, "key")?;
    let copy = call.app.services.moving.copy(scid, account.as_deref(), &key).await?;
    Ok(reply(&json!(copy)))
}

async fn hold(call: Call<Bytes>) -> Result<Reply, Fault> {
    let body = object(call.request.body())?;
    let brought = Deserialize::deserialize(body)
        .map_err(|error: serde_json::Error| Fault::BadJson(error.to_string()))?;
    let kept = call.app.services.moving.hold(call.origin()?, scid(&call), brought).await?;
    Ok(reply(&json!({ "kept": kept })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Released {
    account: OwnedUserId,
}

async fn release(call: Call<Bytes>) -> Result<Reply, Fault> {
    let body = object(call.request.body())?;
    let Released { account } = Deserialize::deserialize(body)
        .map_err(|error: serde_json::Error| Fault::BadJson(error.to_string()))?;
    call.app.services.moving.release(call.origin()?, scid(&call), &account).await?;
    Ok(done())
}
