//! Those who open more connections than anybody needs: they are turned away at the door.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Url;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use wayside_tests::{Client, Engine, Node, Town, Wire, skip};

use crate::{serve::authority_of, stage::comes_true};

/// Far longer than a node takes to turn somebody away.
const TURNED_AWAY: Duration = Duration::from_secs(5);

/// Whether the node ends a connection to this door at once.
async fn is_turned_away(door: &Url) -> Result<bool> {
    let address = door.socket_addrs(|| None)?.first().copied().context("an address")?;
    let mut stream = TcpStream::connect(address).await?;
    let ended = timeout(TURNED_AWAY, stream.read(&mut [0; 1])).await;
    Ok(ended.is_ok_and(|read| read.unwrap_or(0) == 0))
}

async fn refused_by(node: &Node) -> Result<f64> {
    Ok(node.metrics().await?.sum("wayside_connections_refused_total"))
}

#[tokio::test]
async fn connections_beyond_all_places_are_closed_at_once() -> Result<()> {
    const PLACES: usize = 5;
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let options = town.node("a")?.flag("--max-connections", Some(&PLACES.to_string()));
    let mut node = options.start().await?;
    let before = node.metrics().await?;
    ensure!(before.sum("wayside_connections_open") > 0.0, "whoever asks is one");

    // Whoever has shaken hands has a place. The connection that asked for the metrics may hold its
    // own for longer than its answer took.
    let authority = authority_of(&node)?;
    let clients = Wire::secure(node.https(), &authority, "http/1.1")?;
    let servers = Wire::secure(node.federation(), &authority, "http/1.1")?;
    let mut here = Vec::new();
    comes_true("all places are taken", async || {
        let wire = if here.len() % 2 == 0 { &clients } else { &servers };
        here.extend(wire.open().await);
        Ok(here.len() == PLACES)
    })
    .await?;
    for door in [node.http(), node.https(), node.federation()] {
        ensure!(is_turned_away(door).await?, "{door} takes one more");
    }
    drop(here);
    comes_true("a place", async || Ok(node.metrics().await.is_ok())).await?;
    ensure!(refused_by(&node).await? >= 3.0, "they were not counted");
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn connections_that_hang_up_are_answered_no_more() -> Result<()> {
    const WAITING: u32 = 3;
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let mut node = town.node("a")?.start().await?;
    let ann = Client::register(node.http(), "ann").await?;
    let (_, since) = ann.sync(None, Duration::ZERO).await?;
    let token = ann.session().token();
    let poll = format!(
        "GET /_matrix/client/v3/sync?since={since}&timeout=60000 HTTP/1.1\r\nhost: a.test\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    // Whoever asks for the metrics is being answered too.
    let in_flight = async || -> Result<f64> {
        Ok(node.metrics().await?.sum("wayside_http_requests_in_flight") - 1.0)
    };
    let door = Wire::to(node.http())?;
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        let mut wire = door.open().await?;
        wire.write_all(poll.as_bytes()).await?;
        waiting.push(wire);
    }
    comes_true("they wait", async || Ok(in_flight().await? > f64::from(WAITING) - 0.5)).await?;
    drop(waiting);
    comes_true("nobody waits", async || Ok(in_flight().await? < 0.5)).await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn connections_of_one_address_leave_places_for_the_others() -> Result<()> {
    const EACH: usize = 3;
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let mut node = town
        .node("a")?
        .flag("--https", Some("0.0.0.0:0"))
        .flag("--max-connections-per-address", Some(&EACH.to_string()))
        .start()
        .await?;
    let log = node.log();
    // On loopback nobody is counted, so the machine speaks to itself over its network.
    let shown = log.lines().find_map(|line| line.trim().strip_prefix("On your network: "));
    let Some(door) = shown.map(Url::parse).transpose()? else {
        node.stop().await?;
        return skip("this machine is in no network");
    };
    let wire = Wire::secure(&door, &authority_of(&node)?, "http/1.1")?;
    let mut here = Vec::new();
    for _ in 0..EACH {
        here.push(wire.open().await?);
    }
    ensure!(is_turned_away(&door).await?, "a fourth from one address");
    ensure!(refused_by(&node).await? > 0.0, "it was not counted");
    // This machine itself, which the metrics were just read from, may have more.
    let near = Wire::to(node.http())?;
    let mut neighbours = Vec::new();
    for _ in 0..=EACH {
        neighbours.push(near.open().await?);
    }
    ensure!(near.ask("GET", "/health/live", &[], b"").await?.status == 200);
    here.pop();
    comes_true("a place", async || Ok(wire.open().await.is_ok())).await?;
    node.stop().await?;
    Ok(())
}
