//! Rooms whose graph others branch without end.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{Client, Engine, Pdu, PeerReply, PeerRoom, RoomId, Town};

use crate::{
    hostile_servers::Guest,
    past,
    stage::{Deeds, VERSIONS, bodies, list},
};

/// Events of one transaction that all name the same one.
const FAN: usize = 45;

/// So many events of somebody of the peer, none of which names another.
fn fan(guest: &Guest, name: &str, about: impl Fn(&str) -> (Value, bool)) -> Result<Vec<Pdu>> {
    let one = |number: usize| {
        let (content, is_state) = about(&format!("{name}{number}"));
        let (kind, key) = if is_state {
            ("m.room.member", Some(guest.mallory.as_str()))
        } else {
            ("m.room.message", None)
        };
        guest.room.seal(&guest.room.draft(&guest.mallory, kind, key, &content)?)
    };
    (0..FAN).map(one).collect()
}

fn said(text: &str) -> (Value, bool) {
    (json!({ "body": text }), false)
}

fn named(text: &str) -> (Value, bool) {
    (json!({ "membership": "join", "displayname": text }), true)
}

/// Where somebody of the node may speak, the branches are joined by what they say, which nobody sees.
async fn joined(town: &Town, ann: &Client, node: &wayside_tests::Node, v: &str) -> Result<()> {
    let request = json!({ "preset": "public_chat", "room_version": v });
    let room = ann.create_room(&request).await?;
    let guest = Guest::come(town.peer()?.start().await?, node, room.as_str(), v).await?;
    let events = fan(&guest, "n", said)?;
    let all: Vec<&Pdu> = events.iter().collect();
    let answer = guest.peer.transact(&guest.to, &all, &[]).await?;
    ensure!(answer.status == 200, "{}", answer.short());
    ann.say(&room, "and?").await?;
    let heard = guest.peer.event(|it| it["content"]["body"] == "and?").await?;
    let prev = list(&heard["prev_events"]);
    ensure!(prev.len() <= 20, "{} heads are named", prev.len());
    let is_of_fan = |id: &&Value| events.iter().any(|it| **id == it.id.as_str());
    let joints: Vec<&Value> = prev.iter().filter(|id| !is_of_fan(id)).collect();
    ensure!(!joints.is_empty(), "nothing joins the branches: {prev:?}");
    for joint in joints {
        let id = joint.as_str().unwrap_or_default();
        let path = format!("/_matrix/federation/v1/event/{id}");
        let found = guest.peer.ask(&guest.to, Method::GET, &path, None).await?.json();
        let found = &found["pdus"][0];
        ensure!(found["type"] == "org.matrix.dummy_event" && found["content"] == json!({}), "{id}");
        let joins = list(&found["prev_events"]);
        // One that was made before may be among them.
        let of_fan = joins.iter().filter(|id| is_of_fan(id)).count();
        ensure!(joins.len() == 20 && of_fan >= 19, "{found}");
    }
    let told = guest.peer.requests();
    let is_joint = |text: String| text.contains("org.matrix.dummy_event");
    ensure!(!told.iter().any(|it| is_joint(it.json().to_string())), "a joint was told");
    let shown = past::all(ann, &room, 100).await?;
    ensure!(!shown.iter().any(|it| is_joint(it.to_string())), "a joint is shown");
    ensure!(bodies(&shown).len() == FAN + 1, "{:?}", bodies(&shown));
    Ok(())
}

/// Where nobody may, a room has only so many ends.
async fn bounded(town: &Town, ann: &Client, node: &wayside_tests::Node) -> Result<()> {
    let levels = json!({ "events": { "org.matrix.dummy_event": 150 }, "users_default": 0 });
    let request = json!({
        "preset": "public_chat", "room_version": "11", "power_level_content_override": levels,
    });
    let room = ann.create_room(&request).await?;
    let mut guest = Guest::come(town.peer()?.start().await?, node, room.as_str(), "11").await?;
    let began = Instant::now();
    let mut last = Vec::new();
    for (name, about) in
        [("a", said as fn(&str) -> _), ("b", named), ("c", said), ("d", said), ("e", said)]
    {
        last = fan(&guest, name, about)?;
        let all: Vec<&Pdu> = last.iter().collect();
        let answer = guest.peer.transact(&guest.to, &all, &[]).await?;
        ensure!(answer.status == 200, "{}", answer.short());
    }
    let took = began.elapsed();
    ensure!(took.as_secs() < 30, "it took {took:?}");
    let seen = past::all(ann, &room, 100).await?;
    let seen = bodies(&seen);
    // The first of all named the joining, and so did not add to the ends.
    ensure!(seen.len() == 200 - FAN, "{} are shown", seen.len());
    // Whoever names some of them goes on as ever.
    let mut next =
        guest.room.draft(&guest.mallory, "m.room.message", None, &json!({"body": "on"}))?;
    next["prev_events"] = json!(last.iter().take(20).map(|it| &it.id).collect::<Vec<_>>());
    let next = guest.room.seal(&next)?;
    let answer = guest.peer.transact(&guest.to, &[&next], &[]).await?.json();
    ensure!(answer["pdus"][&next.id] == json!({}), "{answer}");
    guest.room.add(next);
    ensure!(
        bodies(&past::all(ann, &room, 100).await?).contains(&"on".to_owned()),
        "it went no further"
    );
    ann.say(&room, "still here").await?;
    guest.peer.event(|it| it["content"]["body"] == "still here").await?;
    Ok(())
}

/// People of a room, one of whose branches knows nothing of them: more than is joined while others wait.
const CROWD: usize = 1_100;

/// Branches that differ in very much are joined while others write on.
async fn large(town: &Town, ann: &Client, node: &wayside_tests::Node, v: &str) -> Result<()> {
    let peer = town.peer()?.start().await?;
    let owner = peer.user("mallory");
    let mut room = PeerRoom::create(&peer, v, &owner)?;
    let first: Vec<String> = room.events().iter().map(|it| it.id.clone()).collect();
    for number in 0..CROWD {
        let user = peer.user(&format!("m{number}"));
        room.send(&user, "m.room.member", Some(&user), &json!({ "membership": "join" }))?;
    }
    // Behind a hole, the room is as it was at its beginning.
    let body = json!({ "body": "of old" });
    let mut aside = room.draft(&owner, "m.room.message", None, &body)?;
    aside["prev_events"] = json!(["$neverheardofneverheardofneverheardofneverhea"]);
    let aside = room.seal(&aside)?;
    peer.answer(Method::GET, "/_matrix/federation/v1/state_ids/", move |_| {
        PeerReply::json(&json!({ "pdu_ids": first, "auth_chain_ids": first }))
    });
    let id = RoomId::known(room.id());
    let _hosted = peer.host(room);
    let own = ann.create_room(&json!({})).await?;
    ann.join_through(&id, peer.server_name()).await?;
    let people = async || {
        let path = format!("/_matrix/client/v3/rooms/{id}/joined_members");
        let joined = ann.get(&path).await?["joined"].as_object().map(serde_json::Map::len);
        anyhow::Ok(joined.unwrap_or_default())
    };
    ensure!(people().await? == CROWD + 2, "{} came in", people().await?);
    let (to, pdus) = (node.destination(), [&aside]);
    let sent = peer.transact(&to, &pdus, &[]);
    let (answer, slowest) = tokio::join!(sent, async {
        let mut slowest = Duration::ZERO;
        for number in 0..20 {
            let began = Instant::now();
            ann.say(&own, &format!("meanwhile {number}")).await?;
            slowest = slowest.max(began.elapsed());
        }
        anyhow::Ok(slowest)
    });
    let (answer, slowest) = (answer?.json(), slowest?);
    ensure!(answer["pdus"][&aside.id] == json!({}), "{answer}");
    ensure!(slowest < Duration::from_secs(2), "somebody waited for {slowest:?}");
    ensure!(
        node.log().contains("large branches are joined"),
        "they were joined while others waited"
    );
    ensure!(
        bodies(&past::all(ann, &id, 100).await?).contains(&"of old".to_owned()),
        "it is not shown"
    );
    ensure!(people().await? == CROWD + 2, "{} are left", people().await?);
    ann.say(&id, "hello").await?;
    let heard = peer.event(|it| it["content"]["body"] == "hello").await?;
    ensure!(list(&heard["prev_events"]).len() == 2, "{heard}");
    Ok(())
}

#[tokio::test]
async fn large_branches_are_joined_while_others_write() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let options = town.server("a")?.flag("--log", Some("debug"));
    let mut node = options.start().await?;
    let ann = Client::register(node.http(), "ann").await?;
    for version in &VERSIONS[1..] {
        large(&town, &ann, &node, version).await?;
    }
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn branches_are_joined_or_bounded() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let mut node = town.server("a")?.start().await?;
    let ann = Client::register(node.http(), "ann").await?;
    for version in VERSIONS {
        joined(&town, &ann, &node, version).await?;
    }
    bounded(&town, &ann, &node).await?;
    node.stop().await?;
    Ok(())
}
