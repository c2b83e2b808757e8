//! The door for other servers (server-server API).

mod copies;
mod devices;
mod keys;
mod media;
mod queries;
mod rooms;
mod spaces;

use http::Method;
use serde_json::json;

use crate::gateway::{
    fault::Fault,
    table::{Access, Call, Rate, Reply, Route, json as reply},
};

pub(in crate::gateway) fn routes() -> Vec<Route> {
    let version = Route::own(
        Method::GET,
        "/_matrix/federation/v1/version",
        Access::Public,
        Rate::Read,
        version,
    );
    let mut all = vec![version];
    all.extend(copies::routes());
    all.extend(devices::routes());
    all.extend(keys::routes());
    all.extend(media::routes());
    all.extend(queries::routes());
    all.extend(rooms::routes());
    all.extend(spaces::routes());
    all
}

async fn version(_: Call<bytes::Bytes>) -> Result<Reply, Fault> {
    Ok(reply(&json!({ "server": { "name": "Wayside", "version": env!("CARGO_PKG_VERSION") } })))
}
