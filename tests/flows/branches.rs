//! Rooms whose graph others branch without end.

use std::time::Instant;

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{Client, Engine, Pdu, RoomId, Town};

use crate::{
    hostile_servers::Guest,
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

/// What is shown of a room, without what was there at its beginning.
async fn shown(who: &Client, room: &RoomId) -> Result<Vec<Value>> {
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let (page, end) = who.messages(room, from.as_ref(), 100).await?;
        found.extend(page);
        from = end;
        if from.is_none() {
            return Ok(found);
        }
    }
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
    let shown = shown(ann, &room).await?;
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
    let seen = shown(ann, &room).await?;
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
    ensure!(bodies(&shown(ann, &room).await?).contains(&"on".to_owned()), "it went no further");
    ann.say(&room, "still here").await?;
    guest.peer.event(|it| it["content"]["body"] == "still here").await?;
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
