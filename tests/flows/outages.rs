//! Servers that are away for a while, or for long, or refuse what they are told: what they get when they are back.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::try_join;
use wayside_tests::{Client, Engine, Node, Peer, PeerReply, RoomId, SyncToken, Town};

use crate::{
    abroad::Abroad,
    devices_abroad::letters,
    hostile_servers::Guest,
    shared_rooms::{set, state},
    split::{heard, whole},
    stage::{Deeds, Ear, bodies, comes_true, list, new_txn, refused},
    standings::{operator, standing},
};

const SEND: &str = "/_matrix/federation/v1/send/";
/// What may wait singly for a server that is away, and how much more until that is looked at again.
const SINGLY: u64 = 1_000 + 100;
/// Events of three rooms that a server misses which is away for long; fewer where each takes longer.
const MANY: usize = 3_000;
const FEWER: usize = 1_500;
/// Of these so many are read back.
const READ_BACK: usize = 300;
/// Requests at a time.
const AT_ONCE: usize = 32;

/// The transactions that a peer was sent, in their order: their ids, and what is said in them.
fn told(peer: &Peer) -> Vec<(String, Vec<String>)> {
    let all = peer.requests().into_iter().filter(|it| it.target().starts_with(SEND));
    all.map(|it| (it.target()[SEND.len()..].to_owned(), bodies(&list(&it.json()["pdus"]))))
        .collect()
}

/// What a peer has heard, each transaction once.
fn heard_by(peer: &Peer) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    let mut said = Vec::new();
    for (id, bodies) in told(peer) {
        if !ids.contains(&id) {
            ids.push(id);
            said.extend(bodies);
        }
    }
    said
}

async fn post_letter(who: &Client, to: &str, n: &str) -> Result<()> {
    let path = format!("/_matrix/client/v3/sendToDevice/org.test/{}", new_txn());
    who.put(&path, &json!({ "messages": { to: { "*": { "n": n } } } })).await?;
    Ok(())
}

/// A hundred events while a peer is away arrive in order and once, over a crash in the middle of it.
async fn short(engine: Engine) -> Result<()> {
    let Some(town) = Town::found(engine)? else { return Ok(()) };
    let mut node = town.server("a")?.start().await?;
    let mut ann = Client::register(node.http(), "ann").await?;
    let room = ann.create_room(&json!({ "preset": "public_chat" })).await?;
    let peer = town.peer()?.start().await?;
    let mut guest = Guest::come(peer, &node, room.as_str(), "12").await?;
    guest.peer.stop().await;
    let all: Vec<String> = (0..100).map(|n| format!("meanwhile {n}")).collect();
    for text in &all[..60] {
        ann.say(&room, text).await?;
    }
    post_letter(&ann, &guest.mallory, "letter").await?;
    for text in &all[60..] {
        ann.say(&room, text).await?;
    }
    // It takes the first transaction; to the second it has not answered when the node is killed.
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    guest.peer.answer(Method::PUT, SEND, move |_| match seen.fetch_add(1, Ordering::Relaxed) {
        0 => PeerReply::json(&json!({ "pdus": {} })),
        _ => PeerReply::json(&json!({ "pdus": {} })).after(Duration::from_secs(30)),
    });
    guest.peer.restart().await?;
    // Whoever calls is called back at once.
    guest.tell("back", &[]).await?;
    comes_true("two transactions", async || Ok(count.load(Ordering::Relaxed) > 1)).await?;
    node.kill().await?;
    guest.peer.answer(Method::PUT, SEND, |_| PeerReply::json(&json!({ "pdus": {} })));
    node.restart().await?;
    comes_true("it goes on", async || Ok(told(&guest.peer).len() > 2)).await?;
    ann = ann.at(node.http());
    ann.say(&room, "after").await?;
    comes_true("all of it", async || Ok(heard_by(&guest.peer).contains(&"after".to_owned())))
        .await?;
    let told = told(&guest.peer);
    ensure!(told[1] == told[2], "another transaction after the crash: {told:?}");
    let said = heard_by(&guest.peer);
    ensure!(said[..100] == all && said[100..] == ["after"], "{said:?}");
    let letters: Vec<Value> = guest
        .peer
        .requests()
        .iter()
        .flat_map(|it| list(&it.json()["edus"]))
        .filter(|it| it["edu_type"] == "m.direct_to_device")
        .map(|it| it["content"]["message_id"].clone())
        .collect();
    ensure!(!letters.is_empty() && letters.iter().all(|it| *it == letters[0]), "{letters:?}");
    node.stop().await?;
    Ok(())
}

/// Three rooms of somebody in which another is too.
async fn rooms_with(ann: &Client, server: &str, other: &Client) -> Result<Vec<RoomId>> {
    let mut rooms = Vec::new();
    for _ in 0..3 {
        let room = ann.create_room(&json!({ "preset": "public_chat" })).await?;
        other.join_through(&room, server).await?;
        ann.say(&room, "together").await?;
        heard(other, &room, "together").await?;
        rooms.push(room);
    }
    Ok(rooms)
}

/// Says a great deal while a server is away, which does not wait for it as a whole.
async fn much(
    ann: &Client,
    rooms: &[RoomId],
    many: usize,
    (root, server): (&Client, &str),
) -> Result<()> {
    ann.say(&rooms[0], "are you there").await?;
    comes_true("it is away", async || {
        let found = standing(root, server).await?;
        Ok(found["failures"].as_u64().is_some_and(|times| times >= 3))
    })
    .await?;
    let all = (0..many).map(|n| {
        let (room, text) = (&rooms[n % rooms.len()], format!("meanwhile {n}"));
        async move { ann.say(room, &text).await.map(drop) }
    });
    stream::iter(all).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    for (room, n) in rooms.iter().zip(0..) {
        set(ann, room, "m.room.topic", json!({ "topic": format!("meanwhile {n}") })).await?;
        ann.say(room, &format!("newest {n}")).await?;
    }
    let found = standing(root, server).await?;
    let (events, behind) = (found["waiting_events"].as_u64(), found["waiting_rooms"].as_u64());
    ensure!(events.is_some_and(|many| many <= SINGLY), "{found}");
    ensure!(behind.is_some_and(|many| (1..=3).contains(&many)), "{found}");
    Ok(())
}

/// Whoever was away has what is newest, asks for what it misses, agrees, and goes on.
async fn caught_up(ann: &Client, rooms: &[RoomId], other: &Client) -> Result<()> {
    for (room, n) in rooms.iter().zip(0..) {
        heard(other, room, &format!("newest {n}")).await?;
        let topic = format!("meanwhile {n}");
        comes_true("a topic", async || {
            let found = state(other, room, "m.room.topic/").await?;
            Ok(found.is_some_and(|it| it["topic"] == topic.as_str()))
        })
        .await?;
        comes_true("the same state", async || {
            let (one, two) = try_join!(whole(ann, room), whole(other, room))?;
            Ok(one == two)
        })
        .await?;
        let (theirs, ours) =
            try_join!(other.messages(room, None, 10), ann.messages(room, None, 10))?;
        ensure!(bodies(&theirs.0) == bodies(&ours.0), "{:?}", bodies(&theirs.0));
        ann.say(room, &format!("on with {n}")).await?;
        heard(other, room, &format!("on with {n}")).await?;
        other.say(room, &format!("well, {n}")).await?;
        heard(ann, room, &format!("well, {n}")).await?;
    }
    Ok(())
}

/// Another node of ours is away for long, and this one is killed while it tells it what is newest.
async fn long(engine: Engine) -> Result<()> {
    let Some(town) = Town::found(engine)? else { return Ok(()) };
    let (mut a, mut b) = try_join!(town.server("a")?.start(), town.server("b")?.start())?;
    let mut ann = Client::register(a.http(), "ann").await?;
    let mut bob = Client::register(b.http(), "bob").await?;
    let mut root = run_by(&a).await?;
    let rooms = rooms_with(&ann, a.server_name(), &bob).await?;
    let mut ear = Ear::of(&bob).await?;
    b.stop().await?;
    post_letter(&ann, bob.id(), "before").await?;
    let many = if engine == Engine::Sqlite { MANY } else { FEWER };
    much(&ann, &rooms, many, (&root, b.server_name())).await?;
    post_letter(&ann, bob.id(), "after").await?;
    b.restart().await?;
    bob = bob.at(b.http());
    root.post(&format!("/_wayside/v1/servers/{}/try", b.server_name()), &json!({})).await?;
    heard(&bob, &rooms[0], "newest 0").await?;
    a.kill().await?;
    a.restart().await?;
    (ann, root) = (ann.at(a.http()), root.at(a.http()));
    // Whoever was asking when the other died does not ask again until more is said.
    for room in &rooms {
        ann.say(room, "again").await?;
        heard(&bob, room, "again").await?;
    }
    caught_up(&ann, &rooms, &bob).await?;
    ear.client = bob.clone();
    let heard = letters(&mut ear, "after").await?;
    ensure!(heard == ["before", "after"], "{heard:?}");
    comes_true("nothing waits", async || {
        let found = standing(&root, b.server_name()).await?;
        Ok(["waiting_events", "waiting_rooms", "waiting_edus"].iter().all(|it| found[it] == 0))
    })
    .await?;
    try_join!(a.stop(), b.stop())?;
    Ok(())
}

/// Synapse is away for long.
async fn synapse(engine: Engine) -> Result<()> {
    let Some(town) = Town::found(engine)? else { return Ok(()) };
    let Some(options) = town.synapse("s")? else { return Ok(()) };
    let (mut node, mut synapse) = try_join!(town.server("a")?.start(), options.start())?;
    let ann = Client::register(node.http(), "ann").await?;
    let sam = Client::register(synapse.http(), "sam").await?;
    let root = run_by(&node).await?;
    let rooms = rooms_with(&ann, node.server_name(), &sam).await?;
    let mut ear = Ear::of(&sam).await?;
    synapse.stop().await?;
    post_letter(&ann, sam.id(), "letter").await?;
    much(&ann, &rooms, MANY, (&root, &synapse.server_name())).await?;
    synapse.restart().await?;
    root.post(&format!("/_wayside/v1/servers/{}/try", synapse.server_name()), &json!({})).await?;
    caught_up(&ann, &rooms, &sam).await?;
    ensure!(letters(&mut ear, "letter").await? == ["letter"]);
    // What it has missed it fetches when somebody reads back.
    let mut missed = BTreeSet::new();
    let mut from: Option<SyncToken> = None;
    while missed.len() < READ_BACK {
        let (events, next) = sam.messages(&rooms[1], from.as_ref(), 100).await?;
        missed.extend(bodies(&events).into_iter().filter(|it| it.starts_with("meanwhile ")));
        from = Some(next.with_context(|| format!("no more than {}", missed.len()))?);
    }
    try_join!(node.stop(), synapse.stop())?;
    Ok(())
}

/// Somebody who runs a node.
async fn run_by(node: &Node) -> Result<Client> {
    let root = Client::register(node.http(), "root").await?;
    let done = node.command(&["user", "role", "root", "--role", "operator"]).await?;
    ensure!(done.status.success(), "{done:?}");
    Ok(root)
}

#[tokio::test]
async fn short_outages_on_sqlite() -> Result<()> {
    short(Engine::Sqlite).await
}

#[tokio::test]
async fn short_outages_on_postgres() -> Result<()> {
    short(Engine::Postgres).await
}

#[tokio::test]
async fn long_outages_on_sqlite() -> Result<()> {
    long(Engine::Sqlite).await
}

#[tokio::test]
async fn long_outages_on_postgres() -> Result<()> {
    long(Engine::Postgres).await
}

#[tokio::test]
async fn long_outages_of_synapse() -> Result<()> {
    synapse(Engine::Sqlite).await
}

/// Those who are led out of a room that is deleted leave it for servers that are away too.
async fn deleted(engine: Engine) -> Result<()> {
    let Some(town) = Town::found(engine)? else { return Ok(()) };
    let mut node = town.server("a")?.start().await?;
    let (root, ann) = (run_by(&node).await?, Client::register(node.http(), "ann").await?);
    let room = ann.create_room(&json!({ "preset": "public_chat" })).await?;
    let peer = town.peer()?.start().await?;
    let mut guest = Guest::come(peer, &node, room.as_str(), "12").await?;
    guest.peer.stop().await;
    ann.say(&room, "what is deleted").await?;
    let path = format!("/_synapse/admin/v1/rooms/{room}");
    root.call(Method::DELETE, &path, Some(&json!({}))).await?;
    refused(root.get(&path).await, 404, "M_NOT_FOUND")?;
    node.kill().await?;
    node.restart().await?;
    guest.peer.restart().await?;
    guest.tell("back", &[]).await?;
    let left = guest.peer.event(|it| it["content"]["membership"] == "leave").await?;
    ensure!(left["state_key"] == ann.id(), "{left}");
    ensure!(heard_by(&guest.peer).is_empty(), "what was said is told: {:?}", told(&guest.peer));
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn deleted_rooms_are_left_on_sqlite() -> Result<()> {
    deleted(Engine::Sqlite).await
}

#[tokio::test]
async fn deleted_rooms_are_left_on_postgres() -> Result<()> {
    deleted(Engine::Postgres).await
}

/// A peer that refuses what it is told, and would be left in peace for about eight seconds.
async fn refusing(abroad: &Abroad) -> Result<Guest> {
    let peer = abroad.town.peer()?.start().await?;
    let room = abroad.ann.create_room(&json!({ "preset": "public_chat" })).await?;
    let guest = Guest::come(peer, &abroad.node, room.as_str(), "12").await?;
    guest.peer.answer(Method::PUT, SEND, |_| PeerReply::refusal(403, "M_FORBIDDEN", "no"));
    abroad.ann.say(&room, "refused").await?;
    comes_true("it has refused four times", async || Ok(told(&guest.peer).len() == 4)).await?;
    Ok(guest)
}

/// The time until it is told once more.
async fn next_try(guest: &Guest) -> Result<Duration> {
    let begun = Instant::now();
    comes_true("it is told again", async || Ok(told(&guest.peer).len() > 4)).await?;
    Ok(begun.elapsed())
}

#[tokio::test]
async fn who_refuses_is_tried_at_once_where_an_operator_wants_it() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let root = operator(&abroad).await?;
    let guest = refusing(&abroad).await?;
    root.post(&format!("/_wayside/v1/servers/{}/try", guest.peer.server_name()), &json!({}))
        .await?;
    let took = next_try(&guest).await?;
    ensure!(took < Duration::from_secs(3), "{took:?}");
    abroad.end().await
}

#[tokio::test]
async fn who_refuses_is_tried_again_when_it_calls() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let guest = refusing(&abroad).await?;
    let begun = Instant::now();
    // It calls all the time, and is tried once for that, not every time.
    let mut calls = 0;
    while told(&guest.peer).len() == 4 {
        guest.tell(&format!("call{calls}"), &[]).await?;
        calls += 1;
        ensure!(begun.elapsed() < Duration::from_secs(5), "it was not tried after {calls} calls");
    }
    ensure!(calls > 1, "it is tried at every call");
    abroad.end().await
}
