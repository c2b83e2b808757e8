//! Those who run a node see how it goes with other servers, and have one tried again.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{Browser, Client, Engine, PASSWORD, Peer, PeerReply, Town};

use crate::{
    abroad::Abroad,
    hostile_servers::Guest,
    stage::{Deeds, comes_true, list, new_txn, refused},
};

const SERVERS: &str = "/_wayside/v1/servers";
const SEND: &str = "/_matrix/federation/v1/send/";

pub(crate) async fn operator(abroad: &Abroad) -> Result<Client> {
    let root = Client::register(abroad.node.http(), "root").await?;
    let done = abroad.node.command(&["user", "role", "root", "--role", "operator"]).await?;
    ensure!(done.status.success(), "{done:?}");
    Ok(root)
}

/// What is said of one server.
pub(crate) async fn standing(root: &Client, server: &str) -> Result<Value> {
    let all = list(&root.get(SERVERS).await?["servers"]);
    let found = all.iter().find(|it| it["server"] == server).cloned();
    Ok(found.unwrap_or_default())
}

/// A peer in a room of the node that takes nothing any more, for which something waits.
async fn failing(abroad: &Abroad) -> Result<Guest> {
    let peer = abroad.town.peer()?.start().await?;
    let room = abroad.ann.create_room(&json!({ "preset": "public_chat" })).await?;
    let guest = Guest::come(peer, &abroad.node, room.as_str(), "12").await?;
    guest.peer.answer(Method::PUT, SEND, |_| PeerReply::refusal(500, "M_UNKNOWN", "no"));
    abroad.ann.say(&room, "waits").await?;
    let path = format!("/_matrix/client/v3/sendToDevice/org.test/{}", new_txn());
    let letter = json!({ "messages": { guest.mallory.as_str(): { "*": { "n": "waits" } } } });
    abroad.ann.put(&path, &letter).await?;
    guest.peer.request(&Method::PUT, SEND).await?;
    Ok(guest)
}

fn well_again(peer: &Peer) {
    peer.answer(Method::PUT, SEND, |_| PeerReply::json(&json!({ "pdus": {} })));
}

#[tokio::test]
async fn who_runs_a_node_sees_how_it_goes_with_servers() -> Result<()> {
    let Some(mut abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let (mut root, ann) = (operator(&abroad).await?, abroad.ann.clone());
    ensure!(list(&root.get(SERVERS).await?["servers"]).is_empty());
    ensure!(root.get("/_wayside/v1/account").await?["role"] == "operator");
    ensure!(ann.get("/_wayside/v1/account").await?["role"] == "member");
    let guest = failing(&abroad).await?;
    let name = guest.peer.server_name().to_owned();
    comes_true("the server is said to fail", async || {
        let found = standing(&root, &name).await?;
        Ok(found["failures"].as_u64().is_some_and(|times| times > 0)
            && found["why"].as_str().is_some_and(|why| why.contains("500"))
            && found["waiting_events"] == 1
            && found["waiting_rooms"] == 0
            && found["waiting_edus"] == 1
            && found["retry_ms"].is_i64()
            && found["failing_ms"].is_i64())
    })
    .await?;
    let metrics = abroad.node.metrics().await?;
    for (metric, value) in [
        ("wayside_servers_failing", 1.0),
        ("wayside_servers_waiting_events", 1.0),
        ("wayside_servers_waiting_rooms", 0.0),
        ("wayside_servers_waiting_edus", 1.0),
        ("wayside_servers_waited_for", 1.0),
        ("wayside_server_waiting", 2.0),
    ] {
        let found = metrics.sum(metric);
        ensure!((found - value).abs() < 0.1, "{metric} is {found}");
    }
    let next_try = metrics.sum("wayside_server_next_try_timestamp_seconds");
    let last_answer = metrics.sum("wayside_server_last_answer_timestamp_seconds");
    ensure!(next_try >= last_answer && last_answer > 1e9, "{last_answer}, and {next_try}");
    // It outlives the process, and so do the words.
    abroad.node.kill().await?;
    abroad.node.restart().await?;
    root = root.at(abroad.node.http());
    let ann = ann.at(abroad.node.http());
    let found = standing(&root, &name).await?;
    ensure!(found["failures"].as_u64().is_some_and(|times| times > 0), "{found}");
    ensure!(found["why"].as_str().is_some_and(|why| why.contains("500")), "{found}");
    let sum = root.get(SERVERS).await?;
    ensure!(sum["waiting_events"] == 1 && sum["waiting_edus"] == 1, "{sum}");
    let again = format!("{SERVERS}/{name}/try");
    refused(ann.get(SERVERS).await, 403, "M_FORBIDDEN")?;
    refused(ann.post(&again, &json!({})).await, 403, "M_FORBIDDEN")?;
    let nobody = Client::nobody(abroad.node.http())?;
    refused(nobody.get(SERVERS).await, 401, "M_MISSING_TOKEN")?;
    for (server, status, code) in
        [("never.test", 404, "M_NOT_FOUND"), ("a%20b", 400, "M_INVALID_PARAM")]
    {
        let path = format!("{SERVERS}/{server}/try");
        refused(root.post(&path, &json!({})).await, status, code).context(server)?;
    }
    refused(root.get(&format!("{SERVERS}?from=a.test")).await, 400, "M_INVALID_PARAM")?;
    // What answers, and refuses, is tried again too.
    let no = || PeerReply::refusal(403, "M_FORBIDDEN", "not that");
    guest.peer.answer(Method::PUT, SEND, move |_| no());
    root.post(&again, &json!({})).await?;
    comes_true("the server is said to refuse", async || {
        let found = standing(&root, &name).await?;
        Ok(found["failures"] == 0 && found["why"].is_string() && found["retry_ms"].is_i64())
    })
    .await?;
    well_again(&guest.peer);
    root.post(&again, &json!({})).await?;
    comes_true("what waited is delivered", async || {
        let found = standing(&root, &name).await?;
        Ok(found["failures"] == 0
            && found["waiting_events"] == 0
            && found["waiting_edus"] == 0
            && found["reached_ms"].is_i64()
            && found["why"].is_null()
            && found["retry_ms"].is_null())
    })
    .await?;
    abroad.end().await
}

#[tokio::test]
async fn client_shows_operators_how_it_goes_with_servers() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("servers.mjs")? else { return Ok(()) };
    let abroad = Abroad::begin_in(town, |options| options).await?;
    let root = operator(&abroad).await?;
    let guest = failing(&abroad).await?;
    let name = guest.peer.server_name().to_owned();
    comes_true("the server is said to fail", async || {
        Ok(standing(&root, &name).await?["why"].is_string())
    })
    .await?;
    let home = abroad.node.http().as_str();
    let given = json!({ "home": home, "password": PASSWORD, "server": name });
    pages.step("arrive", given.clone()).await?;
    well_again(&guest.peer);
    pages.step("again", given.clone()).await?;
    pages.step("member", given).await?;
    pages.close().await?;
    abroad.end().await
}
