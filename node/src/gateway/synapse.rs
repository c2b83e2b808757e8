//! The part of Synapse's admin API that tools for running a server use (specs/admin-api.md).

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode, Uri};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use wayside_specs::{Role, limits};

use super::{
    fault::Fault,
    table::{Access, Call, Rate, Reply, Route, done, json as reply},
};
use crate::services::{
    Error,
    accounts::{Session, Traces},
    oversight::{
        ByTool, Change, DeleteWish, Deletion, RoomSeen, RoomsAsked, Shutdown, UserListed,
        UsersAsked, Way,
    },
};

/// Entries of a page where nobody names a number, and the most.
const PAGE: (i64, i64) = (100, 1_000);

pub(super) fn routes() -> Vec<Route> {
    let (public, operator) = (Access::Public, Access::AtLeast(Role::Operator));
    let (get, put, post, delete) = (Method::GET, Method::PUT, Method::POST, Method::DELETE);
    let (read, write) = (Rate::Read, Rate::Write);
    let base = "/_synapse/admin";
    let own = |path: &str| format!("{base}{path}");
    let (register, users) = (own("/v1/register"), own("/v2/users"));
    let user = own("/v2/users/{user_id}");
    let (rooms, room) = (own("/v1/rooms"), own("/v1/rooms/{room_id}"));
    let later = own("/v2/rooms/{room_id}");
    let mut all = vec![
        Route::own(get.clone(), &own("/v1/server_version"), public, read, version),
        Route::own(get.clone(), &register, public, Rate::Guess, nonce),
        Route::own(post.clone(), &register, public, Rate::Guess, make),
        Route::own(get.clone(), &users, operator, read, list_users),
        Route::own(get.clone(), &user, operator, read, one_user),
        Route::own(put, &user, operator, write, change_user),
        Route::own(post.clone(), &own("/v1/deactivate/{user_id}"), operator, write, deactivate),
        Route::own(
            post.clone(),
            &own("/v1/media/quarantine/{server}/{media_id}"),
            operator,
            write,
            block,
        )
        .form(),
        Route::own(
            post,
            &own("/v1/media/unquarantine/{server}/{media_id}"),
            operator,
            write,
            unblock,
        )
        .form(),
        Route::own(get.clone(), &rooms, operator, read, list_rooms),
        Route::own(get.clone(), &room, operator, read, one_room),
        Route::own(get.clone(), &own("/v1/rooms/{room_id}/members"), operator, read, members),
        Route::own(get.clone(), &own("/v2/rooms/{room_id}/delete_status"), operator, read, of_room),
        Route::own(get, &own("/v2/rooms/delete_status/{delete_id}"), operator, read, status),
    ];
    for mut route in [
        Route::own(delete.clone(), &room, operator, write, delete_now),
        Route::own(delete, &later, operator, write, delete_later),
    ] {
        route.json = true;
        all.push(route);
    }
    all
}

async fn block(call: Call<Bytes>) -> Result<Reply, Fault> {
    let by = &call.session.as_ref().ok_or(Fault::MissingToken)?.user_id;
    let (server, media_id) = file(&call)?;
    call.app.services.content.block(&server, media_id, by).await?;
    Ok(done())
}

async fn unblock(call: Call<Bytes>) -> Result<Reply, Fault> {
    let (server, media_id) = file(&call)?;
    call.app.services.content.unblock(&server, media_id).await?;
    Ok(done())
}

/// The file that a path names.
fn file(call: &Call<Bytes>) -> Result<(OwnedServerName, &str), Fault> {
    let [server, media_id] = call.path.as_slice() else { return Err(Fault::Unrecognized) };
    let server = ServerName::parse(server)
        .map_err(|_| Fault::BadParameter(format!("{server:?} is no name of a server")))?;
    if media_id.is_empty() || media_id.len() > limits::NAME_BYTES {
        return Err(Fault::BadParameter("the id of a file has 1 to 512 bytes".to_owned()));
    }
    Ok((server, media_id))
}

async fn version(_: Call<Bytes>) -> Result<Reply, Fault> {
    Ok(reply(&json!({ "server_version": concat!("Wayside ", env!("CARGO_PKG_VERSION")) })))
}

async fn nonce(call: Call<Bytes>) -> Result<Reply, Fault> {
    let nonce = call.app.services.oversight.nonce()?.ok_or(Fault::Unrecognized)?;
    Ok(reply(&json!({ "nonce": nonce })))
}

#[derive(Deserialize)]
struct MakeBody {
    nonce: String,
    username: String,
    password: String,
    mac: String,
    admin: Option<bool>,
    displayname: Option<String>,
    user_type: Option<String>,
}

async fn make(call: Call<Bytes>) -> Result<Reply, Fault> {
    let body: MakeBody = body(&call)?;
    let tag = hex::decode(&body.mac)
        .map_err(|_| Fault::BadParameter("mac is written in hexadecimal digits".to_owned()))?;
    let asked = ByTool {
        nonce: body.nonce,
        username: body.username,
        displayname: body.displayname,
        password: body.password,
        admin: body.admin.unwrap_or(false),
        user_type: body.user_type,
        tag,
    };
    let made = call.app.services.oversight.register(asked).await?.ok_or(Fault::Unrecognized)?;
    let mut told = json!({
        "user_id": made.user_id,
        "home_server": made.user_id.server_name(),
    });
    if let Some((device_id, token)) = made.device {
        told["device_id"] = device_id.as_str().into();
        told["access_token"] = token.access.into();
    }
    Ok(reply(&told))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UsersQuery {
    from: Option<i64>,
    limit: Option<i64>,
    name: Option<String>,
    user_id: Option<String>,
    guests: Option<bool>,
    deactivated: Option<bool>,
    locked: Option<bool>,
    admins: Option<bool>,
    order_by: Option<String>,
    dir: Option<String>,
}

/// By what accounts are ordered.
const USER_ORDERS: [&str; 8] = [
    "name",
    "is_guest",
    "admin",
    "deactivated",
    "displayname",
    "avatar_url",
    "creation_ts",
    "last_seen_ts",
];

async fn list_users(call: Call<Bytes>) -> Result<Reply, Fault> {
    let asked: UsersQuery = query(call.request.uri())?;
    let (from, limit) = page(asked.from, asked.limit)?;
    // The id counts only where no name is looked for.
    let user_id = asked.user_id.filter(|_| asked.name.is_none());
    let asked = UsersAsked {
        name: asked.name.map(|it| it.to_lowercase()),
        user_id: user_id.map(|it| it.to_lowercase()),
        guests: asked.guests.unwrap_or(true),
        ended: asked.deactivated.unwrap_or(false),
        locked: asked.locked.unwrap_or(false),
        operators: asked.admins,
        order: order(asked.order_by, &USER_ORDERS)?,
        way: way(asked.dir.as_deref())?,
        from,
        limit,
    };
    let (found, total) = call.app.services.oversight.users(&asked).await?;
    let next = from + i64::try_from(found.len()).unwrap_or(i64::MAX);
    let users: Vec<Value> = found.iter().map(user_json).collect();
    let mut told = json!({ "users": users, "total": total });
    if next < total && !found.is_empty() {
        told["next_token"] = next.to_string().into();
    }
    Ok(reply(&told))
}

fn user_json(user: &UserListed) -> Value {
    let read = |text: &Option<String>| {
        let value = text.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
        value.unwrap_or(Value::Null)
    };
    json!({
        "name": user.user_id,
        "is_guest": user.role == Role::Guest,
        "admin": user.role == Role::Operator,
        "user_type": null,
        "deactivated": user.ended,
        "erased": user.ended,
        "shadow_banned": false,
        "displayname": read(&user.displayname),
        "avatar_url": read(&user.avatar_url),
        "creation_ts": user.created_ms,
        "last_seen_ts": user.seen_ms,
        "locked": user.held.locked,
        "suspended": user.held.suspended,
    })
}

async fn one_user(call: Call<Bytes>) -> Result<Reply, Fault> {
    let user = call.app.services.oversight.user(&named_user(&call)?).await?;
    Ok(reply(&whole_user(&call, &user)))
}

fn whole_user(call: &Call<Bytes>, user: &UserListed) -> Value {
    let mut told = user_json(user);
    let services = call.app.services.ground.app_services.all();
    let service = services.iter().find(|service| service.owns(&user.user_id));
    told["appservice_id"] = service.map(|service| service.id.to_string()).into();
    told["threepids"] = json!([]);
    told["external_ids"] = json!([]);
    told["consent_server_notice_sent"] = Value::Null;
    told["consent_version"] = Value::Null;
    told["consent_ts"] = Value::Null;
    told
}

#[derive(Deserialize)]
struct ChangeBody {
    password: Option<String>,
    logout_devices: Option<bool>,
    displayname: Option<String>,
    avatar_url: Option<String>,
    admin: Option<bool>,
    deactivated: Option<bool>,
    locked: Option<bool>,
    threepids: Option<Vec<Value>>,
    external_ids: Option<Vec<Value>>,
    user_type: Option<String>,
}

async fn change_user(call: Call<Bytes>) -> Result<Reply, Fault> {
    let user_id = named_user(&call)?;
    let body: ChangeBody = body(&call)?;
    let filled = |list: &Option<Vec<Value>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if filled(&body.threepids) || filled(&body.external_ids) || body.user_type.is_some() {
        let why = "threepids, external_ids and user_type are not kept for others here";
        return Err(Fault::BadParameter(why.to_owned()));
    }
    let shown = [("displayname", body.displayname), ("avatar_url", body.avatar_url)];
    let sign_out = body.logout_devices.unwrap_or(true);
    let change = Change {
        password: body.password.map(|password| (password, sign_out)),
        shown: shown.into_iter().filter_map(|(name, text)| Some((name, text?))).collect(),
        admin: body.admin,
        locked: body.locked,
        ends: body.deactivated.unwrap_or(false),
    };
    let by = &session(&call)?.user_id;
    let made = call.app.services.oversight.change(by, &user_id, change).await?;
    let user = call.app.services.oversight.user(&user_id).await?;
    let mut answer = reply(&whole_user(&call, &user));
    if made {
        *answer.status_mut() = StatusCode::CREATED;
    }
    Ok(answer)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EndBody {
    erase: Option<bool>,
}

async fn deactivate(call: Call<Bytes>) -> Result<Reply, Fault> {
    let user_id = named_user(&call)?;
    let wish: EndBody =
        if call.request.body().is_empty() { EndBody::default() } else { body(&call)? };
    if user_id == session(&call)?.user_id {
        return Err(Fault::BadParameter("you do not take the node from yourself".to_owned()));
    }
    call.app.services.oversight.end(&user_id, Traces::of(wish.erase.unwrap_or(false))).await?;
    Ok(reply(&json!({ "id_server_unbind_result": "success" })))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RoomsQuery {
    from: Option<i64>,
    limit: Option<i64>,
    search_term: Option<String>,
    order_by: Option<String>,
    dir: Option<String>,
}

/// By what rooms are ordered.
const ROOM_ORDERS: [&str; 10] = [
    "name",
    "alphabetical",
    "canonical_alias",
    "joined_members",
    "size",
    "joined_local_members",
    "version",
    "creator",
    "public",
    "state_events",
];

async fn list_rooms(call: Call<Bytes>) -> Result<Reply, Fault> {
    let asked: RoomsQuery = query(call.request.uri())?;
    let (from, limit) = page(asked.from, asked.limit)?;
    if asked.search_term.as_deref() == Some("") {
        return Err(Fault::BadParameter("search_term is not empty".to_owned()));
    }
    let asked = RoomsAsked {
        words: asked.search_term.map(|it| it.to_lowercase()),
        order: order(asked.order_by, &ROOM_ORDERS)?,
        way: way(asked.dir.as_deref())?,
        from,
        limit,
    };
    let (found, total) = call.app.services.oversight.rooms(&asked).await?;
    let next = from.saturating_add(limit);
    let rooms: Vec<Value> = found.iter().map(room_json).collect();
    let mut told = json!({ "rooms": rooms, "offset": from, "total_rooms": total });
    if next < total {
        told["next_batch"] = next.into();
    }
    if from > 0 {
        told["prev_batch"] = (from - limit).max(0).into();
    }
    Ok(reply(&told))
}

fn room_json(room: &RoomSeen) -> Value {
    let RoomSeen { listed, published, counted, history_visibility } = room;
    json!({
        "room_id": listed.room_id,
        "name": listed.name,
        "canonical_alias": listed.alias,
        "joined_members": listed.joined,
        "joined_local_members": counted.joined_local,
        "version": listed.version.as_str(),
        "creator": counted.creator,
        "encryption": listed.encryption,
        "federatable": true,
        "public": published,
        "join_rules": listed.join_rule,
        "guest_access": if listed.guests_can_join { "can_join" } else { "forbidden" },
        "history_visibility": history_visibility,
        "state_events": counted.state_events,
        "room_type": listed.kind,
    })
}

async fn one_room(call: Call<Bytes>) -> Result<Reply, Fault> {
    let (room, devices) = call.app.services.oversight.room(&named_room(&call)?).await?;
    let mut told = room_json(&room);
    told["topic"] = room.listed.topic.clone().into();
    told["avatar"] = room.listed.avatar_url.clone().into();
    told["joined_local_devices"] = devices.into();
    told["forgotten"] = (room.counted.joined_local == 0).into();
    Ok(reply(&told))
}

async fn members(call: Call<Bytes>) -> Result<Reply, Fault> {
    let members = call.app.services.oversight.members(&named_room(&call)?).await?;
    Ok(reply(&json!({ "members": members, "total": members.len() })))
}

async fn delete_now(call: Call<Bytes>) -> Result<Reply, Fault> {
    let begun = begin(&call).await?;
    let services = call.app.clone();
    let shutdown = match begun {
        None => Shutdown::default(),
        Some(deletion) => {
            let work = async move { services.services.oversight.delete(deletion).await };
            let done = call.app.services.ground.to_its_end(work).await?;
            if let Some(why) = done.error {
                return Err(Error::Invalid(why).into());
            }
            serde_json::from_str(&done.result).map_err(Error::internal)?
        }
    };
    Ok(reply(&json!(shutdown)))
}

async fn delete_later(call: Call<Bytes>) -> Result<Reply, Fault> {
    let begun = begin(&call).await?;
    let unknown = || Error::NotFound("there is no such room; it is blocked now".to_owned());
    let deletion = begun.ok_or_else(unknown)?;
    let (app, delete_id) = (Arc::clone(&call.app), deletion.delete_id.clone());
    call.app.services.ground.tasks.spawn(async move {
        if let Err(error) = app.services.oversight.delete(deletion).await {
            tracing::warn!(%error, "deleting a room broke off; it goes on at the next start");
        }
    });
    Ok(reply(&json!({ "delete_id": delete_id })))
}

async fn begin(call: &Call<Bytes>) -> Result<Option<Deletion>, Fault> {
    let room_id = named_room(call)?;
    let wish: DeleteWish = body(call)?;
    let by = &session(call)?.user_id;
    Ok(call.app.services.oversight.begin_deletion(&room_id, &wish, by).await?)
}

async fn of_room(call: Call<Bytes>) -> Result<Reply, Fault> {
    let found = call.app.services.oversight.deletions(&named_room(&call)?).await?;
    let results = found.iter().map(deletion_json).collect::<Result<Vec<_>, _>>()?;
    Ok(reply(&json!({ "results": results })))
}

async fn status(call: Call<Bytes>) -> Result<Reply, Fault> {
    let delete_id = call.path.first().map(String::as_str).unwrap_or_default();
    let found = call.app.services.oversight.deletion(delete_id).await?;
    Ok(reply(&deletion_json(&found)?))
}

fn deletion_json(deletion: &Deletion) -> Result<Value, Fault> {
    let shutdown: Value = serde_json::from_str(&deletion.result).map_err(Error::internal)?;
    let mut told = json!({
        "delete_id": deletion.delete_id,
        "room_id": deletion.room_id,
        "status": deletion.stage.as_str(),
        "shutdown_room": shutdown,
        "purged_events": deletion.purged,
    });
    if let Some(error) = &deletion.error {
        told["error"] = error.as_str().into();
    }
    Ok(told)
}

fn session(call: &Call<Bytes>) -> Result<&Session, Fault> {
    call.session.as_ref().ok_or(Fault::MissingToken)
}

fn named_user(call: &Call<Bytes>) -> Result<OwnedUserId, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    let parsed = UserId::parse(text).ok().filter(|user_id| user_id.validate_strict().is_ok());
    parsed.ok_or_else(|| Fault::BadParameter(format!("{text:?} is no user")))
}

fn named_room(call: &Call<Bytes>) -> Result<OwnedRoomId, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    RoomId::parse(text).map_err(|_| Fault::BadParameter(format!("{text:?} is no room")))
}

fn body<T: DeserializeOwned>(call: &Call<Bytes>) -> Result<T, Fault> {
    serde_json::from_value(super::json::object(call.request.body())?).map_err(|error| {
        let text = error.to_string();
        if text.contains("missing field") {
            return Error::Missing(format!("the body is not whole: {text}")).into();
        }
        Fault::BadJson(format!("the body is not right: {text}"))
    })
}

fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Fault> {
    let read = axum::extract::Query::<T>::try_from_uri(uri);
    Ok(read.map_err(|error| Fault::BadParameter(error.body_text()))?.0)
}

fn page(from: Option<i64>, limit: Option<i64>) -> Result<(i64, i64), Fault> {
    let (from, limit) = (from.unwrap_or(0), limit.unwrap_or(PAGE.0));
    if from < 0 || limit < 0 {
        return Err(Fault::BadParameter("from and limit are whole numbers from 0 on".to_owned()));
    }
    Ok((from, limit.clamp(1, PAGE.1)))
}

fn order(wished: Option<String>, known: &[&str]) -> Result<String, Fault> {
    let order = wished.unwrap_or_else(|| "name".to_owned());
    if known.contains(&order.as_str()) {
        return Ok(order);
    }
    Err(Fault::BadParameter(format!("order_by is one of {}", known.join(", "))))
}

fn way(dir: Option<&str>) -> Result<Way, Fault> {
    match dir {
        None | Some("f") => Ok(Way::Forth),
        Some("b") => Ok(Way::Back),
        Some(_) => Err(Fault::BadParameter("dir is f or b".to_owned())),
    }
}
