//! What servers ask each other once: profiles, aliases, directories; between a node and Synapse, or another node.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::try_join;
use wayside_tests::{CallError, Client, Engine, Wire, verify};

use crate::{
    pair::Pair,
    stage::{Deeds, comes_true, escaped, refused},
};

async fn profile(who: &Client, of: &Client) -> Result<Value, CallError> {
    who.get(&format!("/_matrix/client/v3/profile/{}", escaped(of.id()))).await
}

async fn profiles(pair: &Pair) -> Result<()> {
    for (who, other) in [(&pair.ann, &pair.sam), (&pair.sam, &pair.ann)] {
        let path = format!("/_matrix/client/v3/profile/{}", escaped(who.id()));
        who.put(&format!("{path}/displayname"), &json!({ "displayname": "Somebody" })).await?;
        let worn = json!({ "org.example.avatar": { "url": "mxc://a/b", "did": "did:key:z" } });
        who.put(&format!("{path}/org.example.avatar"), &worn).await?;
        let seen = profile(other, who).await?;
        ensure!(seen["displayname"] == "Somebody", "{seen}");
        ensure!(seen["org.example.avatar"] == worn["org.example.avatar"], "{seen}");
        let field = other.get(&format!("{path}/org.example.avatar")).await?;
        ensure!(field == worn, "{field}");
        if other.id() == pair.ann.id() || pair.other.is_node() {
            // Synapse says of a field that is not there that it is nothing; here nothing is not there.
            let other = other.get(&format!("{path}/org.example.other")).await;
            refused(other, 404, "M_NOT_FOUND")?;
        }
        let nobody = format!("@nobody:{}", who.id().split_once(':').context("an id")?.1);
        let path = format!("/_matrix/client/v3/profile/{}", escaped(&nobody));
        refused(other.get(&path).await, 404, "M_NOT_FOUND")?;
    }
    // Strangers do not make this node call others.
    let nobody = Client::nobody(pair.node.http())?;
    let path = format!("/_matrix/client/v3/profile/{}", escaped(pair.sam.id()));
    refused(nobody.get(&path).await, 401, "M_MISSING_TOKEN")
}

async fn aliases_and_directories(pair: &Pair) -> Result<()> {
    let (a, s) = (pair.node.destination().name, pair.other.server_name());
    for (who, server, other) in [(&pair.ann, &a, &pair.sam), (&pair.sam, &s, &pair.ann)] {
        let request = json!({
            "preset": "public_chat", "visibility": "public", "name": "The Harbour",
            "room_alias_name": "harbour",
        });
        let room = who.create_room(&request).await?;
        let alias = escaped(&format!("#harbour:{server}"));
        let found = other.get(&format!("/_matrix/client/v3/directory/room/{alias}")).await?;
        ensure!(found["room_id"] == room.as_str(), "{found}");
        let servers = found["servers"].as_array().context("servers")?;
        ensure!(servers.contains(&json!(server)), "{found}");
        let none = escaped(&format!("#none:{server}"));
        let none = other.get(&format!("/_matrix/client/v3/directory/room/{none}")).await;
        refused(none, 404, "M_NOT_FOUND")?;

        let path = format!("/_matrix/client/v3/publicRooms?server={}", escaped(server));
        // Synapse counts beside everything else who is in a room, and lists it then.
        comes_true("a listed room", async || {
            Ok(other.get(&path).await?["chunk"].as_array().is_some_and(|it| !it.is_empty()))
        })
        .await?;
        let page = other.get(&path).await?;
        ensure!(page["chunk"][0]["room_id"] == room.as_str(), "{page}");
        ensure!(page["chunk"][0]["name"] == "The Harbour", "{page}");
        for (words, many) in [("harbour", 1), ("mountain", 0)] {
            let wish = json!({ "limit": 5, "filter": { "generic_search_term": words } });
            let page = other.post(&path, &wish).await?;
            ensure!(page["chunk"].as_array().is_some_and(|it| it.len() == many), "{page}");
        }
    }
    Ok(())
}

/// While a server is away it is left alone, and asked again as soon as it has called.
async fn silence_ends_with_a_call(pair: &mut Pair) -> Result<()> {
    pair.other.stop().await?;
    let away = profile(&pair.ann, &pair.sam).await;
    let Err(CallError::Refused { status, body, .. }) = &away else {
        anyhow::bail!("a profile of a server that is away: {away:?}");
    };
    ensure!(*status == 502 && body["error"].as_str().is_some_and(|it| it.contains("reached")));
    // Long enough that nothing but a call of its own ends it within this story.
    for _ in 0..12 {
        let away = profile(&pair.ann, &pair.sam).await;
        ensure!(away.is_err(), "{away:?}");
        let path = format!("/_matrix/client/v3/publicRooms?server={}", pair.other.server_name());
        let away = pair.ann.get(&path).await;
        ensure!(away.is_err(), "{away:?}");
    }
    pair.node.stop().await?;
    pair.node.restart().await?;
    pair.ann = pair.ann.at(pair.node.http());
    pair.other.restart().await?;
    let paused = profile(&pair.ann, &pair.sam).await;
    let Err(CallError::Refused { body, .. }) = &paused else {
        anyhow::bail!("the silence is forgotten: {paused:?}");
    };
    ensure!(body["error"].as_str().is_some_and(|it| it.contains("again in")), "{body}");
    profile(&pair.sam, &pair.ann).await?;
    profile(&pair.ann, &pair.sam).await?;
    Ok(())
}

/// A node that takes another key is believed at once, and still tells of the one before.
async fn keys_are_changed(pair: &mut Pair) -> Result<()> {
    let before = pair.node.command(&["key", "list"]).await?;
    ensure!(before.stdout.starts_with("ed25519:1 ") && before.stdout.contains("in use"));
    let done = pair.node.command(&["key", "rotate"]).await?;
    ensure!(done.status.success() && done.stdout.contains("restart"), "{done:?}");
    pair.node.stop().await?;
    pair.node.restart().await?;
    pair.ann = pair.ann.at(pair.node.http());
    let after = pair.node.command(&["key", "list"]).await?;
    ensure!(after.stdout.starts_with("ed25519:2 ") && after.stdout.contains("ed25519:1 "));
    let nobody = Client::nobody(pair.node.http())?;
    let well_known = nobody.get("/.well-known/matrix/server").await?;
    ensure!(well_known["m.server"] == pair.node.destination().name, "{well_known}");
    // What it signs with the new key Synapse accepts, which has to fetch it for that.
    comes_true("the new key", async || Ok(profile(&pair.ann, &pair.sam).await.is_ok())).await
}

async fn a_notary_tells_of_others(pair: &Pair) -> Result<()> {
    let (a, s) = (pair.node.destination(), pair.other.server_name());
    let wish = json!({ "server_keys": { s.clone(): {}, "nobody.invalid": {} } });
    let nobody = Wire::secure(&a.url, pair.town.authority().pem(), "http/1.1")?;
    let told =
        nobody.ask("POST", "/_matrix/key/v2/query", &[], wish.to_string().as_bytes()).await?;
    let told = told.json();
    let documents = told["server_keys"].as_array().context("documents")?;
    ensure!(documents.len() == 1 && documents[0]["server_name"] == s, "{told}");
    let own = nobody.ask("GET", "/_matrix/key/v2/server", &[], b"").await?.json();
    verify(&signed_by(&documents[0], &a.name), &a.name, &own)?;
    verify(&signed_by(&documents[0], &s), &s, &documents[0])
}

/// A document with the signature of this server alone.
fn signed_by(document: &Value, server: &str) -> Value {
    let mut alone = document.clone();
    alone["signatures"] = json!({ server: document["signatures"][server] });
    alone
}

async fn queries(engine: Engine) -> Result<()> {
    let Some(mut pair) = Pair::meet(engine).await? else { return Ok(()) };
    profiles(&pair).await?;
    aliases_and_directories(&pair).await?;
    a_notary_tells_of_others(&pair).await?;
    keys_are_changed(&mut pair).await?;
    silence_ends_with_a_call(&mut pair).await?;
    try_join!(pair.node.stop(), pair.other.stop())?;
    Ok(())
}

#[tokio::test]
async fn queries_with_a_node() -> Result<()> {
    let Some(pair) = Pair::of_nodes().await? else { return Ok(()) };
    profiles(&pair).await.context("profiles")?;
    aliases_and_directories(&pair).await.context("aliases and directories")?;
    a_notary_tells_of_others(&pair).await.context("a notary")?;
    pair.end().await
}

#[tokio::test]
async fn queries_on_sqlite() -> Result<()> {
    queries(Engine::Sqlite).await
}

#[tokio::test]
async fn queries_on_postgres() -> Result<()> {
    queries(Engine::Postgres).await
}
