//! Rooms that are shared: transactions, coming in, and what was said before (server-server API).

use bytes::Bytes;
use http::Method;
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use wayside_federation::event::Event;
use wayside_specs::limits;

use super::queries::{field, fields, needed, person};
use crate::{
    gateway::{
        fault::Fault,
        json::Kind,
        table::{Access, Call, Rate, Reply, Route, json as reply, json_bytes},
    },
    services::{
        federation::{Bound, Exchange, Invitation, Missed, Told, Wish},
        rooms::Membership,
    },
};

pub(super) fn routes() -> Vec<Route> {
    let (server, rate) = (Access::Server, Rate::Federation);
    vec![
        Route::own(Method::PUT, "/_matrix/federation/v1/send/{txn_id}", server, rate, send)
            .within(limits::TRANSACTION_BYTES),
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/make_join/{room_id}/{user_id}",
            server,
            rate,
            make_join,
        ),
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/make_knock/{room_id}/{user_id}",
            server,
            rate,
            make_knock,
        ),
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/make_leave/{room_id}/{user_id}",
            server,
            rate,
            make_leave,
        ),
        Route::own(
            Method::PUT,
            "/_matrix/federation/v2/send_join/{room_id}/{event_id}",
            server,
            rate,
            send_join,
        ),
        Route::own(
            Method::PUT,
            "/_matrix/federation/v1/send_knock/{room_id}/{event_id}",
            server,
            rate,
            send_knock,
        ),
        Route::own(
            Method::PUT,
            "/_matrix/federation/v2/send_leave/{room_id}/{event_id}",
            server,
            rate,
            send_leave,
        ),
        Route::own(
            Method::PUT,
            "/_matrix/federation/v2/invite/{room_id}/{event_id}",
            server,
            rate,
            invite,
        )
        .large(),
        Route::own(
            Method::PUT,
            "/_matrix/federation/v1/exchange_third_party_invite/{room_id}",
            server,
            rate,
            exchange,
        ),
        on_bind(Method::PUT),
        // As Sydent says it.
        on_bind(Method::POST),
        Route::own(
            Method::POST,
            "/_matrix/federation/v1/get_missing_events/{room_id}",
            server,
            rate,
            missing,
        ),
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/backfill/{room_id}",
            server,
            rate,
            backfill,
        ),
        Route::own(Method::GET, "/_matrix/federation/v1/event/{event_id}", server, rate, event),
        Route::own(Method::GET, "/_matrix/federation/v1/state/{room_id}", server, rate, state),
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/state_ids/{room_id}",
            server,
            rate,
            state_ids,
        ),
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/event_auth/{room_id}/{event_id}",
            server,
            rate,
            event_auth,
        ),
    ]
}

/// Whoever calls it may make this node call others.
fn on_bind(method: Method) -> Route {
    let (path, public) = ("/_matrix/federation/v1/3pid/onbind", Access::Public);
    let said = &[("medium", Kind::Text), ("address", Kind::Text)];
    Route::own(method, path, public, Rate::Outside, bound).large().typed(said)
}

/// Events that another server names in one query.
const NAMED: usize = 50;

fn room_of(call: &Call<Bytes>) -> Result<OwnedRoomId, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    RoomId::parse(text).map_err(|_| Fault::BadParameter(format!("{text:?} is no id of a room")))
}

fn event_id(text: &str) -> Result<OwnedEventId, Fault> {
    EventId::parse(text).map_err(|_| Fault::BadParameter(format!("{text:?} is no id of an event")))
}

fn event_in_path(call: &Call<Bytes>, at: usize) -> Result<OwnedEventId, Fault> {
    event_id(call.path.get(at).map(String::as_str).unwrap_or_default())
}

fn parsed<'b, T: Deserialize<'b>>(body: &'b Bytes) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        if error.is_data() { Fault::BadJson(error.to_string()) } else { Fault::not_json(&error) }
    })
}

async fn send(call: Call<Bytes>) -> Result<Reply, Fault> {
    let origin = call.origin()?.to_owned();
    let txn_id = call.path.first().cloned().unwrap_or_default();
    if txn_id.is_empty() || txn_id.len() > limits::TOKEN_BYTES {
        return Err(Fault::BadParameter("a transaction id has 1 to 255 bytes".to_owned()));
    }
    let told: Told = parsed(call.request.body())?;
    let services = call.app.services.federation.clone();
    // To its end, also when the other server hangs up: it comes again with the same.
    let ground = &call.app.services.ground;
    let work = async move { services.receive(&origin, &txn_id, told).await };
    Ok(json_bytes(ground.to_its_end(work).await?))
}

async fn make_join(call: Call<Bytes>) -> Result<Reply, Fault> {
    make(&call, Membership::Join).await
}

async fn make_knock(call: Call<Bytes>) -> Result<Reply, Fault> {
    make(&call, Membership::Knock).await
}

async fn make_leave(call: Call<Bytes>) -> Result<Reply, Fault> {
    make(&call, Membership::Leave).await
}

async fn make(call: &Call<Bytes>, to: Membership) -> Result<Reply, Fault> {
    let room_id = room_of(call)?;
    let user_id = person(call.path.get(1).map(String::as_str).unwrap_or_default())?;
    let mut versions = fields(call, "ver");
    if versions.is_empty() {
        // Whoever names none knows only the first.
        versions.push("1".to_owned());
    }
    let wish = Wish { to, origin: call.origin()?, room_id: &room_id, user_id: &user_id, versions };
    Ok(reply(&call.app.services.federation.make(wish).await?))
}

async fn send_knock(call: Call<Bytes>) -> Result<Reply, Fault> {
    let shown = put_in(&call, Membership::Knock).await?;
    Ok(json_bytes(format!(r#"{{"knock_room_state":{}}}"#, list(&shown))))
}

async fn send_leave(call: Call<Bytes>) -> Result<Reply, Fault> {
    put_in(&call, Membership::Leave).await?;
    Ok(reply(&json!({})))
}

async fn put_in(call: &Call<Bytes>, to: Membership) -> Result<Vec<Event>, Fault> {
    let (room_id, event_id) = (room_of(call)?, event_in_path(call, 1)?);
    let origin = call.origin()?.to_owned();
    let text: Box<RawValue> = parsed(call.request.body())?;
    let services = call.app.services.federation.clone();
    let work = async move { services.send(to, &origin, &room_id, &event_id, text).await };
    Ok(call.app.services.ground.to_its_end(work).await?)
}

async fn invite(call: Call<Bytes>) -> Result<Reply, Fault> {
    let (room_id, event_id) = (room_of(&call)?, event_in_path(&call, 1)?);
    let origin = call.origin()?.to_owned();
    let invitation: Invitation = parsed(call.request.body())?;
    let services = call.app.services.federation.clone();
    let work = async move { services.invited(&origin, &room_id, &event_id, invitation).await };
    let signed = call.app.services.ground.to_its_end(work).await?;
    Ok(json_bytes(format!(r#"{{"event":{}}}"#, signed.json())))
}

async fn exchange(call: Call<Bytes>) -> Result<Reply, Fault> {
    let room_id = room_of(&call)?;
    let origin = call.origin()?.to_owned();
    let wish: Exchange = parsed(call.request.body())?;
    let services = call.app.services.federation.clone();
    let work = async move { services.exchange(&origin, &room_id, wish).await };
    call.app.services.ground.to_its_end(work).await?;
    Ok(reply(&json!({})))
}

async fn bound(call: Call<Bytes>) -> Result<Reply, Fault> {
    let bound: Bound = parsed(call.request.body())?;
    let services = call.app.services.federation.clone();
    let work = async move { services.bound(bound).await };
    call.app.services.ground.to_its_end(work).await?;
    Ok(reply(&json!({})))
}

async fn send_join(call: Call<Bytes>) -> Result<Reply, Fault> {
    let (room_id, event_id) = (room_of(&call)?, event_in_path(&call, 1)?);
    let origin = call.origin()?.to_owned();
    let text: Box<RawValue> = parsed(call.request.body())?;
    let omit_members = match field(&call, "omit_members").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            return Err(Fault::BadParameter(format!(
                "omit_members: {other:?} is not true or false"
            )));
        }
    };
    let services = call.app.services.federation.clone();
    let ground = &call.app.services.ground;
    let work =
        async move { services.send_join(&origin, &room_id, &event_id, text, omit_members).await };
    let joined = ground.to_its_end(work).await?;
    let servers = json!(joined.servers);
    Ok(json_bytes(format!(
        r#"{{"auth_chain":{},"event":{},"members_omitted":{},"origin":{},"servers_in_room":{servers},"state":{}}}"#,
        list(&joined.state.chain),
        joined.event.json(),
        joined.members_omitted,
        json!(ground.server_name),
        list(&joined.state.state),
    )))
}

async fn missing(call: Call<Bytes>) -> Result<Reply, Fault> {
    let room_id = room_of(&call)?;
    let missed: Missed = parsed(call.request.body())?;
    let found = call.app.services.federation.missed(call.origin()?, &room_id, missed).await?;
    Ok(json_bytes(format!(r#"{{"events":{}}}"#, list(&found))))
}

async fn backfill(call: Call<Bytes>) -> Result<Reply, Fault> {
    let room_id = room_of(&call)?;
    let from = fields(&call, "v").into_iter().take(NAMED);
    let from = from.map(|text| event_id(&text)).collect::<Result<Vec<_>, _>>()?;
    let limit = needed(&call, "limit")?;
    let limit =
        limit.parse().map_err(|_| Fault::BadParameter(format!("limit: {limit:?} is no number")))?;
    let federation = &call.app.services.federation;
    let found = federation.backfill(call.origin()?, &room_id, from, limit).await?;
    Ok(transaction(&call, &found))
}

async fn event(call: Call<Bytes>) -> Result<Reply, Fault> {
    let id = event_in_path(&call, 0)?;
    let found = call.app.services.federation.event(call.origin()?, &id).await?;
    Ok(transaction(&call, &[found]))
}

async fn state(call: Call<Bytes>) -> Result<Reply, Fault> {
    let (room_id, id) = (room_of(&call)?, event_id(&needed(&call, "event_id")?)?);
    let found = call.app.services.federation.state_at(call.origin()?, &room_id, &id).await?;
    let (pdus, chain) = (list(&found.state), list(&found.chain));
    Ok(json_bytes(format!(r#"{{"auth_chain":{chain},"pdus":{pdus}}}"#)))
}

async fn state_ids(call: Call<Bytes>) -> Result<Reply, Fault> {
    let (room_id, id) = (room_of(&call)?, event_id(&needed(&call, "event_id")?)?);
    let found = call.app.services.federation.state_at(call.origin()?, &room_id, &id).await?;
    let ids = |events: &[Event]| events.iter().map(|it| it.id().to_owned()).collect::<Vec<_>>();
    Ok(reply(&json!({ "auth_chain_ids": ids(&found.chain), "pdu_ids": ids(&found.state) })))
}

async fn event_auth(call: Call<Bytes>) -> Result<Reply, Fault> {
    let (room_id, id) = (room_of(&call)?, event_in_path(&call, 1)?);
    let found = call.app.services.federation.chain_of(call.origin()?, &room_id, &id).await?;
    Ok(json_bytes(format!(r#"{{"auth_chain":{}}}"#, list(&found))))
}

/// Events as the specification wants those that nobody has asked to be told: in a transaction's form.
fn transaction(call: &Call<Bytes>, events: &[Event]) -> Reply {
    let ground = &call.app.services.ground;
    let (origin, now) = (json!(ground.server_name), ground.clock.now_ms());
    let pdus = list(events);
    json_bytes(format!(r#"{{"origin":{origin},"origin_server_ts":{now},"pdus":{pdus}}}"#))
}

fn list(events: &[Event]) -> String {
    let texts: Vec<&str> = events.iter().map(Event::json).collect();
    format!("[{}]", texts.join(","))
}
