//! What a node costs that many servers know, while nothing happens.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::time::sleep;
use wayside_tests::{Client, Engine, Peer, RoomId, Town};

use super::VERSION;
use crate::{
    ground::{milliseconds, town},
    process::Threads,
    rows::{Better, Row},
};

const ROOMS: usize = 200;
const SERVERS: usize = 50;
/// Rooms that a server is in: each room has people of two.
const EACH: usize = 8;
/// Servers that go away, and do not get what is said then.
const GONE: usize = 10;
/// By then the node has tried those that are away six times, each pause twice as long as the one before,
/// a fifth more or less: 63 s, and at most 76.
const SETTLING: Duration = Duration::from_secs(77);
/// For how long nothing happens then: none is tried a seventh time before 101 s.
const MEASURED: Duration = Duration::from_secs(22);

/// What the servers were asked so far.
fn asked(peers: &[Peer]) -> usize {
    peers.iter().map(|peer| peer.requests().len()).sum()
}

/// The rooms of somebody, with people of all these servers in them, some of which have gone since.
async fn settle(town: &Town, base: &reqwest::Url, node: &wayside_tests::Node) -> Result<Vec<Peer>> {
    let ann = Client::register(base, "ann").await?;
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        let wish = json!({ "preset": "public_chat", "room_version": VERSION });
        rooms.push(ann.create_room(&wish).await?);
    }
    let to = node.destination();
    let mut peers = Vec::new();
    for number in 0..SERVERS {
        let peer = town.peer()?.start().await?;
        for place in 0..EACH {
            let room = &rooms[(number * ROOMS / SERVERS + place) % ROOMS];
            peer.enter(&to, room.as_str(), VERSION, &peer.user("guest")).await?;
        }
        peers.push(peer);
    }
    say(&ann, &rooms, "to all").await?;
    for peer in peers.iter_mut().take(GONE) {
        peer.stop().await;
    }
    say(&ann, &rooms, "to those who are there").await?;
    Ok(peers)
}

async fn say(who: &Client, rooms: &[RoomId], words: &str) -> Result<()> {
    for room in rooms {
        who.send_text(room, &words.replace(' ', "-"), words).await?;
    }
    Ok(())
}

/// A node on SQLite that nobody of its own people uses.
pub(crate) async fn idle() -> Result<Vec<Row>> {
    let town = town(Engine::Sqlite)?;
    let mut node = town.server("a")?.start().await?;
    let pid = node.pid().context("the node has ended by itself")?;
    let peers = settle(&town, node.http(), &node).await?;
    ensure!(asked(&peers) >= SERVERS, "the servers hear nothing of the rooms");
    sleep(SETTLING).await;
    let (before, asked_before, begun) = (Threads::of(pid)?, asked(&peers), Instant::now());
    sleep(MEASURED).await;
    let took = Threads::of(pid)?.since(&before);
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    let more = asked(&peers) - asked_before;
    node.stop().await?;
    let what = format!(
        "{ROOMS} rooms, {SERVERS} servers known, {GONE} of them away; {MEASURED:?} after {SETTLING:?}"
    );
    let requests = f64::from(u32::try_from(more)?);
    Ok(vec![
        // A fiftieth of what one core does in a second: what a look at the clock costs now and then.
        Row::new(
            "federation.idle_cpu_ms_per_min",
            milliseconds(took) / minutes,
            "ms",
            Better::Lower,
        )
        .limit(20.0)
        .note(what),
        Row::new("federation.idle_requests", requests, "", Better::Lower)
            .limit(0.0)
            .note("that any server got meanwhile"),
    ])
}
