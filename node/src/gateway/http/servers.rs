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
    services::servers::{Rank, Standing},
};

/// Servers of a page.
const PAGE: usize = 100;
/// Servers that the metrics name at most.
const NAMED: i64 = 20;
/// How the marks of places begin, of servers that are ill and of the others.
const ILL: char = '!';
const WELL: char = '.';

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
    let behind = fields.find(|(name, _)| name == "from").map(|(_, value)| rank(&value));
    let behind = behind.transpose()?.unwrap_or(Rank::FIRST);
    let servers = &call.app.services.servers;
    let wanted = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
    let mut found = servers.standings(&behind, wanted).await?;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let next = found.last().filter(|_| more).map(|last| mark(&last.rank));
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

/// What the metrics say of single servers: of those that fail, or for which something waits.
pub(super) async fn named(
    call: &Call<Bytes>,
) -> Result<Vec<(String, Option<i64>, Option<i64>, i64)>, Fault> {
    let found = call.app.services.servers.standings(&Rank::FIRST, NAMED).await?;
    let named = found.into_iter().filter_map(|one| {
        let waiting = one.queued.events + one.queued.rooms + one.queued.edus;
        let seconds = |ms: i64| ms / 1_000;
        let (answered, next_try) = (one.gone.reached_ms.map(seconds), one.retry_ms.map(seconds));
        let is_named = one.rank.is_ill || waiting > 0;
        is_named.then(|| (one.server.to_string(), answered, next_try, waiting))
    });
    Ok(named.collect())
}

fn told(standing: Standing) -> Value {
    let Standing { server, gone, queued, retry_ms, .. } = standing;
    json!({
        "server": server,
        "reached_ms": gone.reached_ms,
        "failures": gone.failures,
        "failing_ms": gone.failing_ms,
        "retry_ms": retry_ms,
        "waiting_events": queued.events,
        "waiting_rooms": queued.rooms,
        "waiting_edus": queued.edus,
        "why": gone.why,
    })
}

/// A place among servers, as the page after it is asked for.
fn mark(rank: &Rank) -> String {
    format!("{}{}", if rank.is_ill { ILL } else { WELL }, rank.server)
}

fn rank(mark: &str) -> Result<Rank, Fault> {
    let found = [(ILL, true), (WELL, false)].into_iter().find_map(|(sign, is_ill)| {
        let server = mark.strip_prefix(sign)?.to_owned();
        Some(Rank { is_ill, server })
    });
    found.ok_or_else(|| Fault::BadParameter(format!("{mark:?} is no `next` of a page")))
}

async fn try_now(call: Call<Bytes>) -> Result<Reply, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    let server = ServerName::parse(text)
        .map_err(|_| Fault::BadParameter(format!("{text:?} is no name of a server")))?;
    call.app.services.servers.try_now(&server).await?;
    Ok(done())
}
