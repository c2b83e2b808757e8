//! Rooms seen from outside, the trees of spaces, and moving a room to newer rules.

use ruma::{
    RoomAliasId, UInt,
    api::client::{
        room::{get_summary, upgrade_room},
        space::get_hierarchy,
    },
};
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};
use wayside_federation::version::RoomVersion;
use wayside_specs::Role;

use super::{directory::listed, read::text};
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Asked, Rate, Reply, Route, json as reply},
    },
    services::{
        Error,
        rooms::{Listed, Shown, TreeAsked, Upgrade},
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Perhaps, Rate::Read, summary),
        Route::matrix(Access::Perhaps, Rate::Read, proposed_summary).at(&[
            "/_matrix/client/unstable/im.nheko.summary/rooms/{room_id_or_alias}/summary",
            "/_matrix/client/unstable/im.nheko.summary/summary/{room_id_or_alias}",
        ]),
        Route::matrix(Access::Account, Rate::Read, hierarchy),
        Route::matrix(Access::AtLeast(Role::Member), Rate::Write, upgrade),
    ]
}

/// Rooms of a page where the client names no number, and the most it gets.
const PAGE: (usize, usize) = (20, 50);

async fn summary(asked: Asked<get_summary::v1::Request>) -> Result<Reply, Fault> {
    Ok(reply(&Value::Object(summary_of(&asked).await?)))
}

/// The summary as it was proposed (MSC3266), under the names that two of its fields had then.
async fn proposed_summary(asked: Asked<get_summary::v1::Request>) -> Result<Reply, Fault> {
    let mut body = summary_of(&asked).await?;
    for name in ["room_version", "encryption"] {
        if let Some(value) = body.get(name).cloned() {
            body.insert(format!("im.nheko.summary.{name}"), value);
        }
    }
    Ok(reply(&Value::Object(body)))
}

async fn summary_of(asked: &Asked<get_summary::v1::Request>) -> Result<Map<String, Value>, Fault> {
    let rooms = &asked.app.services.rooms;
    let servers = &asked.app.services.servers;
    let asker = asked.session().ok().map(|session| &*session.user_id);
    let mut via = asked.body.via.clone();
    let name = &asked.body.room_id_or_alias;
    let own = &asked.app.services.ground.server_name;
    let room_id = match <&RoomAliasId>::try_from(&**name) {
        // Nobody has this node call others without saying who they are.
        Ok(alias) if alias.server_name() != own && asker.is_some() => {
            let place = servers.alias(alias).await?;
            via.extend(place.servers);
            place.room_id
        }
        _ => rooms.resolve(name).await?,
    };
    via.extend(room_id.server_name().map(ToOwned::to_owned));
    via.retain(|server| server != own);
    let found = rooms.summary(servers, &room_id, &via, asker).await?;
    let mut body = shown(found.room);
    if let Some(standing) = found.standing {
        body.insert("membership".to_owned(), standing.as_str().into());
    }
    Ok(body)
}

fn shown(room: Shown) -> Map<String, Value> {
    match room {
        Shown::Here(room) => summed(*room),
        Shown::Elsewhere(told) => told,
    }
}

/// What the directory would say of a room, and what a client wants to know before it joins.
pub(in crate::gateway::matrix) fn summed(room: Listed) -> Map<String, Value> {
    let (version, encryption) = (room.version.as_str(), room.encryption.clone());
    let allowed = room.allowed.clone();
    let mut body = listed(room);
    body.insert("room_version".to_owned(), version.into());
    if let Some(encryption) = encryption {
        body.insert("encryption".to_owned(), encryption.into());
    }
    if !allowed.is_empty() {
        body.insert("allowed_room_ids".to_owned(), json!(allowed));
    }
    body
}

async fn hierarchy(asked: Asked<get_hierarchy::v1::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let number = |wanted: UInt| usize::try_from(u64::from(wanted)).unwrap_or(usize::MAX);
    if body.limit.is_some_and(|limit| limit == UInt::MIN) {
        return Err(Fault::BadParameter("limit is greater than zero".to_owned()));
    }
    let wanted = TreeAsked {
        suggested_only: body.suggested_only,
        depth: body.max_depth.map_or(usize::MAX, number),
        limit: body.limit.map_or(PAGE.0, number).min(PAGE.1),
        from: body.from.clone(),
    };
    let asker = &asked.session()?.user_id;
    let services = &asked.app.services;
    let page = services.rooms.tree(&services.servers, &body.room_id, asker, &wanted).await?;
    let rooms = page
        .rooms
        .into_iter()
        .map(|branch| BranchJson { room: shown(branch.room), children_state: branch.children });
    text(&TreeJson { rooms: rooms.collect(), next_batch: page.next })
}

#[derive(Serialize)]
struct TreeJson {
    rooms: Vec<BranchJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
}

/// A room with the events that name those below it.
#[derive(Serialize)]
pub(in crate::gateway::matrix) struct BranchJson {
    #[serde(flatten)]
    pub(in crate::gateway::matrix) room: Map<String, Value>,
    pub(in crate::gateway::matrix) children_state: Vec<Box<RawValue>>,
}

async fn upgrade(asked: Asked<upgrade_room::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let version = RoomVersion::parse(body.new_version.as_str());
    let version = version.ok_or_else(|| Error::RoomVersion(body.new_version.to_string()))?;
    let wanted = Upgrade { version, creators: body.additional_creators.clone() };
    let by = &asked.session()?.user_id;
    let room_id = asked.app.services.rooms.upgrade(&body.room_id, by, wanted).await?;
    Ok(reply(&json!({ "replacement_room": room_id })))
}
