//! Friends, blocks, and in which world somebody is (specs/social.md).

use bytes::Bytes;
use http::Method;
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};
use wayside_specs::{Did, Role};

use super::{read, unkept};
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Call, Rate, Reply, Route, done, json as reply},
    },
    services::{
        friends::{Blocked, Known, NewPlace, PLACE_MS},
        place::Place,
    },
};

pub(super) fn routes() -> Vec<Route> {
    let member = Access::AtLeast(Role::Member);
    let (friends, one) = ("/_wayside/v1/friends", "/_wayside/v1/friends/{user_id}");
    let (blocks, blocked) = ("/_wayside/v1/blocks", "/_wayside/v1/blocks/{user_id}");
    let place = "/_wayside/v1/place";
    vec![
        Route::own(Method::GET, friends, member, Rate::Read, all),
        Route::own(Method::PUT, one, member, Rate::Outside, ask),
        Route::own(Method::DELETE, one, member, Rate::Write, end),
        Route::own(Method::GET, blocks, member, Rate::Read, told),
        Route::own(Method::PUT, blocked, member, Rate::Write, block),
        Route::own(Method::DELETE, blocked, member, Rate::Write, unblock),
        Route::own(Method::PUT, place, member, Rate::Write, be),
        Route::own(Method::DELETE, place, member, Rate::Write, leave),
    ]
}

async fn all(call: Call<Bytes>) -> Result<Reply, Fault> {
    let known = call.app.services.friends.all(asker(&call)?).await?;
    let now_ms = call.app.services.ground.clock.now_ms();
    let asker = asker(&call)?;
    let friends: Vec<Value> =
        known.friends.iter().map(|friend| shown(asker, friend, now_ms)).collect();
    let blocked: Vec<Value> = known.blocked.iter().map(of_blocked).collect();
    let told = json!({ "friends": friends, "blocked": blocked, "tell": known.tell });
    Ok(unkept(reply(&told)))
}

fn shown(asker: &UserId, friend: &Known, now_ms: i64) -> Value {
    let Known { bond, did, present } = friend;
    let mut told = json!({
        "user_id": bond.user_id,
        "standing": bond.standing.as_str(),
        "name": bond.name.as_deref().unwrap_or(bond.user_id.localpart()),
        "room_id": bond.room_id,
        "since_ms": bond.since_ms,
        "did": did.as_ref().map(Did::as_str),
        "avatar_url": bond.avatar_url,
        "message": bond.message,
    });
    if let Some(present) = present {
        told["presence"] = present.presence.as_str().into();
        told["active_ms"] = present.active_ms.min(now_ms).into();
        let whereabouts = present.whereabouts.as_ref();
        told["place"] = whereabouts.and_then(|it| it.for_one(asker)).map(Place::told).into();
    }
    if let Some(told) = told.as_object_mut() {
        told.retain(|_, value| !value.is_null());
    }
    told
}

fn of_blocked(blocked: &Blocked) -> Value {
    let mut told = json!({ "user_id": blocked.user_id });
    if let Some(did) = &blocked.did {
        told["did"] = did.as_str().into();
    }
    told
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskBody {
    message: Option<String>,
}

async fn ask(call: Call<Bytes>) -> Result<Reply, Fault> {
    let AskBody { message } = read(call.request.body())?;
    let friends = &call.app.services.friends;
    let (standing, room_id) = friends.ask(asker(&call)?, &named(&call)?, message).await?;
    Ok(reply(&json!({ "standing": standing.as_str(), "room_id": room_id })))
}

async fn end(call: Call<Bytes>) -> Result<Reply, Fault> {
    call.app.services.friends.end(asker(&call)?, &named(&call)?).await?;
    Ok(done())
}

/// Whom somebody blocks, for a node that they visit: it learns of nobody whom it does not know.
async fn told(call: Call<Bytes>) -> Result<Reply, Fault> {
    let blocks = call.app.services.friends.blocks(asker(&call)?).await?;
    Ok(unkept(reply(&blocks.to_json())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockBody {}

async fn block(call: Call<Bytes>) -> Result<Reply, Fault> {
    let BlockBody {} = read(call.request.body())?;
    call.app.services.friends.block(asker(&call)?, &named(&call)?, true).await?;
    Ok(done())
}

async fn unblock(call: Call<Bytes>) -> Result<Reply, Fault> {
    call.app.services.friends.block(asker(&call)?, &named(&call)?, false).await?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceBody {
    world: String,
    server: String,
    name: String,
    public: bool,
}

async fn be(call: Call<Bytes>) -> Result<Reply, Fault> {
    let PlaceBody { world, server, name, public } = read(call.request.body())?;
    let new = NewPlace { world, server, name, public };
    call.app.services.friends.set_place(asker(&call)?, new).await?;
    Ok(reply(&json!({ "lasts_ms": PLACE_MS })))
}

async fn leave(call: Call<Bytes>) -> Result<Reply, Fault> {
    call.app.services.friends.leave_place(asker(&call)?);
    Ok(done())
}

fn asker(call: &Call<Bytes>) -> Result<&UserId, Fault> {
    Ok(&call.session.as_ref().ok_or(Fault::MissingToken)?.user_id)
}

/// The person whom the path names.
fn named(call: &Call<Bytes>) -> Result<OwnedUserId, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    UserId::parse(text).map_err(|_| Fault::BadParameter(format!("{text:?} is no user id")))
}
