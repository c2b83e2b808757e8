//! Rooms and what is below them, and moments in rooms (server-server API, spaces, timestamps).

use bytes::Bytes;
use http::Method;
use ruma::RoomId;
use serde_json::json;

use super::queries::{field, needed, number, truth};
use crate::gateway::{
    fault::Fault,
    matrix::client::spaces::{BranchJson, summed},
    table::{Access, Call, Rate, Reply, Route, json as reply},
};

pub(super) fn routes() -> Vec<Route> {
    let (server, rate) = (Access::Server, Rate::Federation);
    vec![
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/hierarchy/{room_id}",
            server,
            rate,
            hierarchy,
        ),
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/timestamp_to_event/{room_id}",
            server,
            rate,
            nearest,
        ),
    ]
}

async fn hierarchy(call: Call<Bytes>) -> Result<Reply, Fault> {
    let room_id = room_of(&call)?;
    let suggested = field(&call, "suggested_only").map(|text| truth(&text)).transpose()?;
    let suggested = suggested.unwrap_or(false);
    let federation = &call.app.services.federation;
    let found = federation.hierarchy(call.origin()?, &room_id, suggested).await?;
    let room = BranchJson { room: summed(found.room), children_state: found.events };
    let children: Vec<_> = found.children.into_iter().map(summed).collect();
    Ok(reply(&json!({
        "room": room, "children": children, "inaccessible_children": found.inaccessible,
    })))
}

async fn nearest(call: Call<Bytes>) -> Result<Reply, Fault> {
    let room_id = room_of(&call)?;
    let at_ms = i64::try_from(number(&needed(&call, "ts")?)?).unwrap_or(i64::MAX);
    let back = match &*needed(&call, "dir")? {
        "f" => false,
        "b" => true,
        _ => return Err(Fault::BadParameter("dir is f or b".to_owned())),
    };
    let federation = &call.app.services.federation;
    let (event_id, sent_ms) = federation.nearest(call.origin()?, &room_id, at_ms, back).await?;
    Ok(reply(&json!({ "event_id": event_id, "origin_server_ts": sent_ms })))
}

fn room_of(call: &Call<Bytes>) -> Result<ruma::OwnedRoomId, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    RoomId::parse(text).map_err(|_| Fault::BadParameter(format!("{text:?} is no id of a room")))
}
