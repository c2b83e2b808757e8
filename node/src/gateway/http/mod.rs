//! The doors of our own: the client for people, health for machines, worlds, bodies, invitations.

mod badges;
mod bodies;
mod client;
mod confirm;
mod dids;
mod friends;
mod moving;
mod nodes;
mod paper;
mod persons;
mod plain;
mod servers;
mod worlds;

pub(super) use self::client::{ACCOUNT, ACCOUNT_ACTIONS, RESET_KEYS};
pub(super) use self::nodes::federation_routes;
pub(super) use self::paper::{Paper, escaped, spoken_in};
pub use self::plain::only_https;

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use wayside_specs::Role;

use super::{
    App, Arrival,
    fault::Fault,
    providers,
    table::{Access, Call, Rate, Reply, Route, done, json as reply},
};
use crate::{
    config::{Registration, Visitors},
    services::Error,
};

/// What a node says of itself.
const NODE: &str = "/_wayside/v1/node";

/// The routes.
#[must_use]
pub fn routes() -> Vec<Route> {
    let member = Access::AtLeast(Role::Member);
    let invitation = "/_wayside/v1/invitations/{invitation}";
    let mut all = vec![
        Route::own(Method::GET, "/health/live", Access::Public, Rate::Free, live),
        Route::own(Method::GET, "/health/ready", Access::Public, Rate::Free, ready),
        Route::own(Method::GET, "/metrics", Access::Public, Rate::Free, metrics),
        Route::own(Method::GET, NODE, Access::Public, Rate::Read, about),
        Route::own(Method::GET, invitation, Access::Public, Rate::Read, look_at_invitation),
        Route::own(Method::POST, "/_wayside/v1/invitations", member, Rate::Write, invite),
        Route::own(Method::GET, RESET, Access::Public, Rate::Guess, look_at_reset),
        Route::own(Method::POST, RESET, Access::Public, Rate::Guess, reset),
        Route::own(Method::POST, "/_wayside/v1/account/keep", Access::Account, Rate::Guess, keep),
    ];
    all.extend(client::routes());
    all.extend(confirm::routes());
    all.extend(worlds::routes());
    all.extend(servers::routes());
    all.extend(badges::routes());
    all.extend(bodies::routes());
    all.extend(dids::routes());
    all.extend(persons::routes());
    all.extend(nodes::routes());
    all.extend(friends::routes());
    all.extend(moving::routes());
    all
}

/// What a client must know of a node before anybody has signed in.
async fn about(call: Call<Bytes>) -> Result<Reply, Fault> {
    let ground = &call.app.services.ground;
    let registration = match ground.config.registration {
        Registration::Open => "open",
        Registration::Token => "token",
        Registration::Closed => "closed",
    };
    Ok(reply(&json!({
        "server_name": ground.server_name,
        "name": ground.server_name,
        "version": env!("CARGO_PKG_VERSION"),
        "try_out": ground.config.server_name.is_none(),
        "registration": registration,
        "passkeys": call.app.services.accounts.offers_passkeys(),
        "emails": call.app.services.emails.are_sent(),
        "providers": providers::offered(&call.app),
        "dids": call.app.services.persons.are_here(),
        "visitors_ask": visitors_ask(&call.app),
        "public_url": call.app.places.public,
        "default_world": call.app.services.worlds.first().await?,
    })))
}

/// What this node asks of people of other nodes who visit, where it asks for something.
fn visitors_ask(app: &App) -> Vec<Value> {
    let badges = &app.services.badges;
    match app.services.ground.config.visitors {
        Visitors::Credentials => badges.told(&badges.asked_of_visitors()),
        Visitors::Open | Visitors::Nodes | Visitors::Invited => Vec::new(),
    }
}

/// What an invitation gives; the same answer for one that is used up and one that never was.
async fn look_at_invitation(call: Call<Bytes>) -> Result<Reply, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    let invitation = call.app.services.accounts.invitation(text).await?;
    let invitation = invitation.ok_or_else(|| {
        Error::NotFound("this link is used up or over: ask for a new one".to_owned())
    })?;
    Ok(reply(&json!({ "role": invitation.role.as_str() })))
}

async fn live(_: Call<Bytes>) -> Result<Reply, Fault> {
    Ok(Reply::new("ok\n".into()))
}

async fn ready(call: Call<Bytes>) -> Result<Reply, Fault> {
    let ground = &call.app.services.ground;
    let (status, text) = if ground.stop.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n")
    } else if call.app.health.ready(async || ground.ready().await).await {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n")
    };
    let mut reply = Reply::new(text.into());
    *reply.status_mut() = status;
    Ok(reply)
}

/// Only for this machine: how busy a node is, is nobody else's business.
async fn metrics(call: Call<Bytes>) -> Result<Reply, Fault> {
    let peer =
        call.request.extensions().get::<Arrival>().map(|arrival| arrival.peer.to_canonical());
    // A proxy on this machine asks for somebody else, and says so.
    let headers = call.request.headers();
    let for_another = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
    if for_another || !peer.is_some_and(|peer: IpAddr| peer.is_loopback()) {
        return Err(
            Error::Forbidden("metrics are read on the node's own machine".to_owned()).into()
        );
    }
    // Counted when somebody looks: nothing is counted for nobody.
    let sum = call.app.services.servers.backlog().await?;
    let waiting = [sum.queued.events, sum.queued.rooms, sum.queued.edus];
    call.app.metrics.servers.set(sum.failing, waiting, sum.servers, sum.given_up);
    call.app.metrics.servers.name(servers::named(&call).await?);
    let text = call.app.metrics.text().map_err(Error::internal)?;
    let mut reply = Reply::new(text.into());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(reply)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InviteBody {
    role: String,
    uses: Option<i64>,
    lasts_ms: Option<i64>,
}

/// Most accounts that one invitation makes.
const USES: i64 = 1_000;

/// Makes an invitation: members invite guests, moderators members, operators anybody.
async fn invite(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let body: InviteBody = read(call.request.body())?;
    let role: Role = body
        .role
        .parse()
        .map_err(|_| Fault::bad_json("role is guest, member, moderator or operator"))?;
    let may = match role {
        Role::Guest => session.role >= Role::Member,
        Role::Member => session.role >= Role::Moderator,
        Role::Moderator | Role::Operator => session.role == Role::Operator,
    };
    if !may {
        return Err(Error::Forbidden(format!("you may not invite a {role}")).into());
    }
    let uses = body.uses.unwrap_or(1);
    if !(1..=USES).contains(&uses) || body.lasts_ms.is_some_and(|ms| ms <= 0) {
        return Err(Fault::BadParameter(format!("uses is 1 to {USES}, lasts_ms more than 0")));
    }
    let accounts = &call.app.services.accounts;
    let text = accounts.invite(role, uses, body.lasts_ms, Some(&session.user_id)).await?;
    let link = format!("{}/join/{text}", call.app.places.public);
    Ok(reply(&json!({ "invitation": text, "link": link })))
}

/// A link by which somebody chooses a new password.
const RESET: &str = "/_wayside/v1/resets/{link}";

/// Whose password a link changes.
async fn look_at_reset(call: Call<Bytes>) -> Result<Reply, Fault> {
    let link = call.path.first().map(String::as_str).unwrap_or_default();
    let user_id = call.app.services.accounts.reset_of(link).await?;
    Ok(reply(&json!({ "user_id": user_id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetBody {
    password: String,
}

/// Sets the password that somebody chose.
async fn reset(call: Call<Bytes>) -> Result<Reply, Fault> {
    let link = call.path.first().map(String::as_str).unwrap_or_default();
    let body: ResetBody = read(call.request.body())?;
    let user_id = call.app.services.accounts.reset(link, body.password).await?;
    Ok(reply(&json!({ "user_id": user_id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeepBody {
    password: String,
    invitation: Option<String>,
}

/// Makes a guest's account a lasting one, under the same user id.
async fn keep(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let body: KeepBody = read(call.request.body())?;
    let accounts = &call.app.services.accounts;
    accounts.keep_guest(session, body.password, body.invitation.as_deref()).await?;
    Ok(done())
}

/// A body of this form.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_value(super::json::object(body)?)
        .map_err(|error| Fault::BadJson(format!("the body is not right: {error}")))
}

/// What holds secrets is kept by nobody on the way.
pub(super) fn unkept(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}
