//! Three servers in one room, two nodes and a Synapse, of which two lose sight of each other for a while.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::try_join;
use wayside_tests::{Client, Engine, Node, RoomId, Town};

use crate::{
    shared_rooms::{set, state},
    stage::{Deeds, VERSIONS, bodies, comes_true},
};

/// The state of a room as somebody is told it: the ids of its events by type and key.
pub(crate) async fn whole(
    who: &Client,
    room: &RoomId,
) -> Result<BTreeMap<(String, String), String>> {
    let all = who.get(&format!("/_matrix/client/v3/rooms/{room}/state")).await?;
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let entry = |it: &Value| ((text(it, "type"), text(it, "state_key")), text(it, "event_id"));
    Ok(all.as_array().context("a state")?.iter().map(entry).collect())
}

pub(crate) async fn heard(who: &Client, room: &RoomId, text: &str) -> Result<()> {
    comes_true(&format!("{text:?} for {}", who.id()), async || {
        let (events, _) = who.messages(room, None, 100).await?;
        Ok(bodies(&events).contains(&text.to_owned()))
    })
    .await
}

async fn agree(people: [&Client; 3], room: &RoomId) -> Result<()> {
    comes_true("that all three agree", async || {
        let [one, two, three] = people;
        let (one, two, three) = try_join!(whole(one, room), whole(two, room), whole(three, room))?;
        Ok(one == two && two == three)
    })
    .await
}

/// Begins a node anew that does not meet a server, or meets all.
async fn begin_anew(node: &mut Node, shunned: Option<&str>) -> Result<()> {
    node.stop().await?;
    node.change("--never-federate-with", shunned);
    node.restart().await
}

async fn split(engine: Engine, versions: &[&str]) -> Result<()> {
    let Some(town) = Town::found(engine)? else { return Ok(()) };
    let Some(synapse) = town.synapse("s")? else { return Ok(()) };
    let (mut a, mut b, mut synapse) =
        try_join!(town.server("a")?.start(), town.server("b")?.start(), synapse.start())?;
    let mut ann = Client::register(a.http(), "ann").await?;
    let mut bob = Client::register(b.http(), "bob").await?;
    let sam = Client::register(synapse.http(), "sam").await?;
    let host = |node: &Node| -> Result<String> {
        let host = node.federation().host_str().map(str::to_owned);
        host.context("a node has an address")
    };
    let (host_a, host_b) = (host(&a)?, host(&b)?);
    let mut rooms = Vec::new();
    // Each of the three makes one, and the others come.
    for (at, version) in versions.iter().enumerate() {
        let people = [
            (&ann, a.destination().name),
            (&bob, b.destination().name),
            (&sam, synapse.server_name()),
        ];
        let (maker, server) = &people[at % 3];
        let request = json!({ "preset": "public_chat", "room_version": version });
        let room = maker.create_room(&request).await?;
        for (person, _) in people.iter().filter(|(person, _)| person.id() != maker.id()) {
            person.join_through(&room, server).await?;
        }
        let mut levels = state(maker, &room, "m.room.power_levels/").await?.context("levels")?;
        for (person, _) in people.iter().filter(|(person, _)| person.id() != maker.id()) {
            levels["users"][person.id()] = 50.into();
        }
        set(maker, &room, "m.room.power_levels", levels).await?;
        for (person, _) in &people {
            person.say(&room, &format!("{} is here", person.id())).await?;
        }
        for (person, _) in &people {
            for (other, _) in &people {
                heard(person, &room, &format!("{} is here", other.id())).await?;
            }
        }
        agree([&ann, &bob, &sam], &room).await.with_context(|| format!("version {version}"))?;
        rooms.push(room);
    }

    begin_anew(&mut a, Some(&host_b)).await?;
    begin_anew(&mut b, Some(&host_a)).await?;
    (ann, bob) = (ann.at(a.http()), bob.at(b.http()));
    for room in &rooms {
        for (who, word) in [(&ann, "by ann"), (&bob, "by bob")] {
            set(who, room, "m.room.topic", json!({ "topic": word })).await?;
            set(who, room, "m.room.name", json!({ "name": word })).await?;
            who.say(room, word).await?;
        }
        // Sam hears both, and what he says then rests on both.
        heard(&sam, room, "by ann").await?;
        heard(&sam, room, "by bob").await?;
        sam.say(room, "between you").await?;
        heard(&ann, room, "between you").await?;
        heard(&bob, room, "between you").await?;
    }

    begin_anew(&mut a, None).await?;
    begin_anew(&mut b, None).await?;
    (ann, bob) = (ann.at(a.http()), bob.at(b.http()));
    for room in &rooms {
        ann.say(room, "again by ann").await?;
        bob.say(room, "again by bob").await?;
        heard(&ann, room, "again by bob").await?;
        heard(&bob, room, "again by ann").await?;
        for who in [&ann, &bob, &sam] {
            for word in ["by ann", "by bob", "between you"] {
                heard(who, room, word).await?;
            }
        }
        agree([&ann, &bob, &sam], room).await?;
    }
    try_join!(a.stop(), b.stop(), synapse.stop())?;
    Ok(())
}

#[tokio::test]
async fn split_servers_agree_when_they_meet_again_on_sqlite() -> Result<()> {
    split(Engine::Sqlite, &VERSIONS).await
}

#[tokio::test]
async fn split_servers_agree_when_they_meet_again_on_postgres() -> Result<()> {
    split(Engine::Postgres, &VERSIONS[2..]).await
}
