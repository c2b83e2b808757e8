//! How it goes with other servers, for those who run the node, and who that is.

use bytes::Bytes;
use http::Method;
use ruma::ServerName;
use serde_json::{Value, json};
use wayside_specs::Role;

use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Call, Rate, Reply, Route, done, json as reply},
    },
    services::servers::Standing,
};

/// Servers of a page.
const PAGE: usize = 100;

pub(super) fn routes() -> Vec<Route> {
    let operator = Access::AtLeast(Role::Operator);
    let (list, again) = ("/_wayside/v1/servers", "/_wayside/v1/servers/{server}/try");
    let account = "/_wayside/v1/account";
    vec![
        Route::own(Method::GET, account, Access::Account, Rate::Read, own_account),
        Route::own(Method::GET, list, operator, Rate::Read, standings),
        Route::own(Method::POST, again, operator, Rate::Outside, try_now).form(),
    ]
}

/// What somebody may do here, so that their client shows them that and no more.
async fn own_account(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    Ok(reply(&json!({ "role": session.role.as_str() })))
}

async fn standings(call: Call<Bytes>) -> Result<Reply, Fault> {
    let query = call.request.uri().query().unwrap_or_default();
    let mut fields = url::form_urlencoded::parse(query.as_bytes());
    let behind = fields.find(|(name, _)| name == "from").map(|(_, value)| value.into_owned());
    let servers = &call.app.services.servers;
    let wanted = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
    let mut found = servers.standings(&behind.unwrap_or_default(), wanted).await?;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let next = found.last().filter(|_| more).map(|last| last.server.clone());
    let sum = servers.backlog().await?;
    Ok(reply(&json!({
        "servers": found.into_iter().map(told).collect::<Vec<_>>(),
        "next": next,
        "failing": sum.failing,
        "waiting_events": sum.queued.events,
        "waiting_rooms": sum.queued.rooms,
        "waiting_edus": sum.queued.edus,
        "now_ms": call.app.services.ground.clock.now_ms(),
    })))
}

fn told(standing: Standing) -> Value {
    let Standing { server, gone, queued } = standing;
    json!({
        "server": server,
        "reached_ms": gone.reached_ms,
        "failures": gone.failures,
        "failing_ms": gone.failing_ms,
        "retry_ms": if gone.failures > 0 { Some(gone.retry_ms) } else { None },
        "waiting_events": queued.events,
        "waiting_rooms": queued.rooms,
        "waiting_edus": queued.edus,
        "why": gone.why,
    })
}

async fn try_now(call: Call<Bytes>) -> Result<Reply, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    let server = ServerName::parse(text)
        .map_err(|_| Fault::BadParameter(format!("{text:?} is no name of a server")))?;
    call.app.services.servers.try_now(&server).await?;
    Ok(done())
}
