//! Rooms of a node in which people of Synapse are too.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::try_join;
use wayside_tests::{Client, Engine, RoomId};

use crate::{
    pair::Pair,
    shared_elsewhere::{knock, stands},
    stage::{Deeds, Ear, VERSIONS, bodies, comes_true, list, one, part, redact, refused},
};

/// Rules by which a room lets the people of another in; by the second, others may knock.
pub(crate) const LETTING_IN: [&str; 2] = ["restricted", "knock_restricted"];

/// Waits until somebody hears a text in a room.
pub(crate) async fn hears(ear: &mut Ear, room: &RoomId, text: &str) -> Result<()> {
    ear.hear(|news| {
        let said = bodies(&list(part(news, room, "join/timeline")));
        said.contains(&text.to_owned()).then_some(())
    })
    .await
    .with_context(|| format!("waiting for {text:?}"))
}

/// What a room's state says for somebody; nothing where there is no such entry.
pub(crate) async fn state(who: &Client, room: &RoomId, entry: &str) -> Result<Option<Value>> {
    let all = who.get(&format!("/_matrix/client/v3/rooms/{room}/state")).await?;
    let (kind, key) = entry.split_once('/').context("a type and a key")?;
    let found = all.as_array().and_then(|all| one(all, kind, Some(key)).cloned());
    Ok(found.map(|event| event["content"].clone()))
}

pub(crate) async fn set(who: &Client, room: &RoomId, kind: &str, content: Value) -> Result<()> {
    who.put(&format!("/_matrix/client/v3/rooms/{room}/state/{kind}/"), &content).await?;
    Ok(())
}

async fn one_room(pair: &Pair, version: &str) -> Result<()> {
    let (ann, sam) = (&pair.ann, &pair.sam);
    let request = json!({ "preset": "public_chat", "room_version": version, "name": "Harbour" });
    let room = ann.create_room(&request).await?;
    ann.say(&room, "before anybody came").await?;
    let mut ann_hears = Ear::of(ann).await?;
    sam.join_through(&room, &pair.node.destination().name).await?;
    ann_hears
        .hear(|news| {
            let timeline = list(part(news, &room, "join/timeline"));
            one(&timeline, "m.room.member", Some(sam.id())).map(|_| ())
        })
        .await?;
    let mut sam_hears = Ear::of(sam).await?;
    for (who, ear, text) in [(ann, &mut sam_hears, "to s"), (sam, &mut ann_hears, "to a")] {
        who.say(&room, text).await?;
        hears(ear, &room, text).await?;
    }
    // What was said before they came, they fetch.
    comes_true("what was said before", async || {
        let (events, _) = sam.messages(&room, None, 50).await?;
        Ok(bodies(&events).contains(&"before anybody came".to_owned()))
    })
    .await?;

    set(ann, &room, "m.room.topic", json!({ "topic": "by ann" })).await?;
    comes_true("a topic", async || {
        Ok(state(sam, &room, "m.room.topic/").await?.is_some_and(|it| it["topic"] == "by ann"))
    })
    .await?;
    // They have no power over the topic, and then some.
    refused(set_topic(sam, &room).await, 403, "M_FORBIDDEN")?;
    let mut levels = state(ann, &room, "m.room.power_levels/").await?.context("levels")?;
    levels["users"][sam.id()] = 50.into();
    set(ann, &room, "m.room.power_levels", levels).await?;
    comes_true("power", async || Ok(set_topic(sam, &room).await.is_ok())).await?;
    comes_true("a topic of theirs", async || {
        Ok(state(ann, &room, "m.room.topic/").await?.is_some_and(|it| it["topic"] == "by sam"))
    })
    .await?;

    for (who, other, ear, text) in [
        (sam, ann, &mut ann_hears, "taken back by sam"),
        (ann, sam, &mut sam_hears, "taken back by ann"),
    ] {
        let said = who.say(&room, text).await?;
        hears(ear, &room, text).await?;
        redact(who, &room, &said).await?;
        comes_true("a redaction", async || {
            let path = format!("/_matrix/client/v3/rooms/{room}/event/{said}");
            Ok(other.get(&path).await?["content"].get("body").is_none())
        })
        .await
        .context(text)?;
    }

    // Both at once, so that the graph forks and joins again.
    for round in 0..5 {
        let (left, right) = (format!("left {round}"), format!("right {round}"));
        try_join!(ann.say(&room, &left), sam.say(&room, &right))?;
        hears(&mut ann_hears, &room, &right).await?;
        hears(&mut sam_hears, &room, &left).await?;
    }

    ann.deed(&room, "kick", Some(sam)).await?;
    comes_true("being led out", async || {
        let joined = sam.get("/_matrix/client/v3/joined_rooms").await?;
        Ok(!joined["joined_rooms"].as_array().is_some_and(|it| it.contains(&json!(room.as_str()))))
    })
    .await?;
    sam.join_through(&room, &pair.node.destination().name).await?;
    sam.deed(&room, "leave", None).await?;
    comes_true("a leaving", async || {
        let entry = format!("m.room.member/{}", sam.id());
        Ok(state(ann, &room, &entry).await?.is_some_and(|it| it["membership"] == "leave"))
    })
    .await?;
    ann.deed(&room, "ban", Some(sam)).await?;
    let back = sam.join_through(&room, &pair.node.destination().name).await;
    ensure!(back.is_err(), "who is banned comes in");
    Ok(())
}

/// Whoever is in a club may come into a room that lets its people in, and the host vouches; gives the
/// club and the room.
pub(crate) async fn let_in(
    (host, guest): (&Client, &Client),
    server: &str,
    (version, rule): (&str, &str),
) -> Result<(RoomId, RoomId)> {
    let club = json!({ "preset": "public_chat", "creation_content": { "type": "m.space" } });
    let club = host.create_room(&club).await?;
    let content = json!({
        "join_rule": rule,
        "allow": [{ "type": "m.room_membership", "room_id": club.as_str() }],
    });
    let rules = json!([{ "type": "m.room.join_rules", "state_key": "", "content": content }]);
    let room = json!({ "room_version": version, "initial_state": rules });
    let room = host.create_room(&room).await?;
    let outside = guest.join_through(&room, server).await;
    ensure!(outside.is_err(), "who is not in the club comes in");
    let knocked = knock(guest, &room, server).await;
    if rule == "knock_restricted" {
        knocked?;
        stands(host, &room, guest, "knock").await?;
        let outside = guest.join_through(&room, server).await;
        ensure!(outside.is_err(), "who has only knocked comes in");
    } else {
        ensure!(knocked.is_err(), "who is not in the club knocks");
    }
    guest.join_through(&club, server).await?;
    guest.join_through(&room, server).await?;
    let entry = format!("m.room.member/{}", guest.id());
    for who in [host, guest] {
        let member = state(who, &room, &entry).await?.context("a member")?;
        ensure!(member["membership"] == "join", "{}: {member}", who.id());
        let voucher = &member["join_authorised_via_users_server"];
        ensure!(*voucher == host.id(), "{}: {member}", who.id());
    }
    Ok((club, room))
}

/// The same in rooms of this node.
async fn restricted(pair: &Pair, version: &str) -> Result<()> {
    let server = pair.node.destination().name;
    for rule in LETTING_IN {
        let done = let_in((&pair.ann, &pair.sam), &server, (version, rule)).await;
        done.with_context(|| rule.to_owned())?;
    }
    Ok(())
}

async fn set_topic(who: &Client, room: &RoomId) -> Result<Value, wayside_tests::CallError> {
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.topic/");
    who.put(&path, &json!({ "topic": "by sam" })).await
}

/// What is said while Synapse is away, or while this node is killed, is not lost.
async fn outages(pair: &mut Pair) -> Result<()> {
    let room = pair.ann.create_room(&json!({ "preset": "public_chat" })).await?;
    pair.sam.join_through(&room, &pair.node.destination().name).await?;
    pair.other.stop().await?;
    for n in 0..100 {
        pair.ann.say(&room, &format!("meanwhile {n}")).await?;
    }
    pair.node.kill().await?;
    pair.node.restart().await?;
    pair.ann = pair.ann.at(pair.node.http());
    pair.other.restart().await?;
    // Its own word wakes the queue of this node.
    pair.sam.say(&room, "back").await?;
    comes_true("all of it", async || {
        let (events, _) = pair.sam.messages(&room, None, 200).await?;
        let said = bodies(&events);
        Ok((0..100).all(|n| said.contains(&format!("meanwhile {n}"))))
    })
    .await?;
    comes_true("their word", async || {
        let (events, _) = pair.ann.messages(&room, None, 10).await?;
        Ok(bodies(&events).contains(&"back".to_owned()))
    })
    .await
}

async fn shared(engine: Engine) -> Result<()> {
    let Some(mut pair) = Pair::meet(engine).await? else { return Ok(()) };
    for version in VERSIONS {
        one_room(&pair, version).await.with_context(|| format!("version {version}"))?;
        restricted(&pair, version).await.with_context(|| format!("restricted, {version}"))?;
    }
    outages(&mut pair).await?;
    try_join!(pair.node.stop(), pair.other.stop())?;
    Ok(())
}

#[tokio::test]
async fn shared_rooms_with_a_node() -> Result<()> {
    let Some(pair) = Pair::of_nodes().await? else { return Ok(()) };
    one_room(&pair, "12").await.context("one room")?;
    restricted(&pair, "12").await.context("restricted")?;
    pair.end().await
}

#[tokio::test]
async fn shared_rooms_on_sqlite() -> Result<()> {
    shared(Engine::Sqlite).await
}

#[tokio::test]
async fn shared_rooms_on_postgres() -> Result<()> {
    shared(Engine::Postgres).await
}
