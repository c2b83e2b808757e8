//! Events found by a time at which nobody of the node was in the room: others name them, and they are fetched.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::try_join;
use wayside_tests::{CallError, Client, Engine, Peer, PeerReply, PeerRoom, RoomId};

use crate::{
    abroad::{Abroad, times},
    pair::Pair,
    past::{Told, all},
    stage::{Deeds, VERSIONS, bodies, comes_true, escaped, list, refused},
};

/// Messages before anybody of the node comes.
const SAID: usize = 40;
/// When the first message of a peer's room was sent, and how far apart they are.
const BEGUN_MS: i64 = 1_600_000_000_000;
const APART_MS: i64 = 60_000;

/// The event of a room nearest to a time, as somebody is told it.
async fn near(who: &Client, room: &RoomId, at_ms: i64, dir: &str) -> Result<Value, CallError> {
    let path = format!("/_matrix/client/v1/rooms/{room}/timestamp_to_event?ts={at_ms}&dir={dir}");
    who.get(&path).await
}

/// What is said there by an event, as it is shown with what is around it.
async fn around(who: &Client, room: &RoomId, id: &Value) -> Result<Value> {
    let id = escaped(id.as_str().context("an id")?);
    Ok(who.get(&format!("/_matrix/client/v3/rooms/{room}/context/{id}?limit=4")).await?)
}

/// A room of Synapse with a past, in which people of the node look for what was said at a time.
async fn beside_synapse(pair: &Pair, version: &str) -> Result<()> {
    let (ann, sam) = (&pair.ann, &pair.sam);
    let request = json!({ "preset": "public_chat", "room_version": version });
    let room = sam.create_room(&request).await?;
    let mut said = Vec::new();
    for number in 0..SAID {
        said.push(sam.say(&room, &format!("n{number}")).await?);
    }
    let mut sent = Vec::new();
    for id in &said {
        let path = format!("/_matrix/client/v3/rooms/{room}/event/{}", escaped(id));
        sent.push(sam.get(&path).await?["origin_server_ts"].as_i64().context("a time")?);
    }
    ann.join_through(&room, &pair.other.server_name()).await?;
    for (at, at_ms, dir) in [
        (10, sent[10], "b"),
        (30, sent[30], "f"),
        (20, sent[20], "f"),
        (20, sent[21] - 1, "b"),
        (25, sent[24] + 1, "f"),
    ] {
        let found = near(ann, &room, at_ms, dir).await?;
        ensure!(found["event_id"] == said[at].as_str(), "{at} {dir}: {found} of {said:?}");
        ensure!(found["origin_server_ts"] == sent[at], "{at} {dir}: {found}");
        let shown = around(ann, &room, &found["event_id"]).await?;
        ensure!(shown["event"]["content"]["body"] == format!("n{at}"), "{shown}");
    }
    // What lies in between is fetched when it is read, and stands where it was said.
    ann.say(&room, "last").await?;
    let mut expected: Vec<String> = (0..SAID).map(|number| format!("n{number}")).collect();
    expected.push("last".to_owned());
    expected.reverse();
    let seen = all(ann, &room, 7).await?;
    ensure!(bodies(&seen) == expected, "{:?}", bodies(&seen));
    let shown = around(ann, &room, &json!(said[20])).await?;
    ensure!(bodies(&list(&shown["events_after"])) == ["n21", "n22"], "{shown}");
    ensure!(bodies(&list(&shown["events_before"])) == ["n19", "n18"], "{shown}");
    Ok(())
}

async fn times_of_synapse(engine: Engine, versions: &[&str]) -> Result<()> {
    let Some(mut pair) = Pair::meet(engine).await? else { return Ok(()) };
    for version in versions {
        beside_synapse(&pair, version).await.with_context(|| format!("version {version}"))?;
    }
    try_join!(pair.node.stop(), pair.other.stop())?;
    Ok(())
}

#[tokio::test]
async fn what_was_said_at_a_time_is_found_elsewhere_on_sqlite() -> Result<()> {
    times_of_synapse(Engine::Sqlite, &VERSIONS).await
}

#[tokio::test]
async fn what_was_said_at_a_time_is_found_elsewhere_on_postgres() -> Result<()> {
    times_of_synapse(Engine::Postgres, &VERSIONS[2..]).await
}

/// A room of a peer in which something was said at known times.
fn dated(peer: &Arc<Peer>, version: &'static str) -> Result<(Arc<Told>, PeerRoom)> {
    let owner = peer.user("mallory");
    let mut room = PeerRoom::create(peer, version, &owner)?;
    let mut at_ms = BEGUN_MS;
    for number in 0..8 {
        let content = json!({ "body": format!("n{number}") });
        let mut draft = room.draft(&owner, "m.room.message", None, &content)?;
        draft["origin_server_ts"] = json!(at_ms);
        at_ms += APART_MS;
        let sealed = room.seal(&draft)?;
        room.add(sealed);
    }
    let events = room.events().iter().map(|it| it.json.clone()).collect();
    let id = room.id().to_owned();
    Ok((Arc::new(Told { peer: Arc::clone(peer), version, id, events }), room))
}

/// A peer that names for a time what it should not: nobody is told that, and nothing of it is kept.
async fn named_wrongly(abroad: &Abroad, version: &'static str) -> Result<()> {
    let peer = Arc::new(abroad.town.peer()?.start().await?);
    let (told, room) = dated(&peer, version)?;
    let (_, foreign) = dated(&peer, version)?;
    let id_of = |room: &PeerRoom, body: &str| -> Result<(String, Value)> {
        let found = room.events().iter().find(|it| it.json["content"]["body"] == body);
        found.map(|it| (it.id.clone(), it.json.clone())).context("it was said")
    };
    let (third, third_json) = id_of(&room, "n3")?;
    let (sixth, sixth_json) = id_of(&room, "n6")?;
    let (fourth, fourth_json) = id_of(&room, "n4")?;
    let (other, other_json) = id_of(&foreign, "n3")?;
    let mut unsigned = third_json.clone();
    unsigned["signatures"] = json!({});
    let ann = &abroad.ann;
    let here = RoomId::known(&told.id);
    let _hosted = peer.host(room);
    ann.join_through(&here, peer.server_name()).await?;
    told.tell_states()?;
    let at_ms = BEGUN_MS + 3 * APART_MS + 1_000;
    let true_ms = BEGUN_MS + 3 * APART_MS;
    let path = "/_matrix/federation/v1/timestamp_to_event/";
    let answers = |id: &str, ms: Value, event: Option<&Value>| {
        let said = json!({ "event_id": id, "origin_server_ts": ms });
        peer.answer(Method::GET, path, move |_| PeerReply::json(&said));
        let event = event.cloned();
        peer.answer(Method::GET, "/_matrix/federation/v1/event/", move |_| match &event {
            Some(event) => PeerReply::json(&json!({ "pdus": [event] })),
            None => PeerReply::refusal(404, "M_NOT_FOUND", "no such event"),
        });
    };
    let never = "$neverheardofneverheardofneverheardofneverhea";
    for (what, id, ms, event) in [
        ("of another room", other.as_str(), json!(true_ms), Some(&other_json)),
        ("in the wrong direction", &sixth, json!(true_ms), Some(&sixth_json)),
        ("a time behind it", &third, json!(at_ms + 1), Some(&third_json)),
        ("unsigned", &third, json!(true_ms), Some(&unsigned)),
        ("another than it names", &third, json!(true_ms), Some(&fourth_json)),
        ("that nobody has", never, json!(true_ms), None),
        ("no event", &third, json!(true_ms), Some(&json!([]))),
        ("no id", "third", json!(true_ms), Some(&third_json)),
        ("no time", &third, json!("then"), Some(&third_json)),
    ] {
        let before = times(&peer, path);
        answers(id, ms, event);
        refused(near(ann, &here, at_ms, "b").await, 404, "M_NOT_FOUND").context(what)?;
        ensure!(times(&peer, path) == before + 1, "{what}: it was not asked");
        let path = format!("/_matrix/client/v3/rooms/{here}/event/{}", escaped(id));
        ensure!(ann.get(&path).await.is_err(), "{what}: it is kept");
    }
    answers(&third, json!(true_ms), Some(&third_json));
    let found = near(ann, &here, at_ms, "b").await?;
    ensure!(found == json!({ "event_id": third, "origin_server_ts": true_ms }), "{found}");
    let shown = around(ann, &here, &found["event_id"]).await?;
    ensure!(shown["event"]["content"]["body"] == "n3", "{shown}");
    // It is here now: who asks for its very time asks nobody else.
    let before = times(&peer, path);
    ensure!(near(ann, &here, true_ms, "f").await?["event_id"] == third.as_str());
    ensure!(times(&peer, path) == before, "asked again");
    answers(&fourth, json!(true_ms + APART_MS), Some(&fourth_json));
    let found = near(ann, &here, at_ms, "f").await?;
    ensure!(found["event_id"] == fourth.as_str(), "{found}");
    // Whatever is read then stands in its order, and once.
    told.tell_past(told.events.clone());
    let seen = all(ann, &here, 3).await?;
    let expected: Vec<String> = (0..8).rev().map(|number| format!("n{number}")).collect();
    ensure!(bodies(&seen) == expected, "{:?}", bodies(&seen));
    Ok(())
}

/// A peer that fails answers nobody; what is here is told.
async fn says_nothing(abroad: &Abroad, version: &'static str) -> Result<()> {
    let peer = Arc::new(abroad.town.peer()?.start().await?);
    let (told, room) = dated(&peer, version)?;
    let here = RoomId::known(&told.id);
    let _hosted = peer.host(room);
    abroad.ann.join_through(&here, peer.server_name()).await?;
    let path = "/_matrix/federation/v1/timestamp_to_event/";
    peer.answer(Method::GET, path, |_| PeerReply::refusal(500, "M_UNKNOWN", "no"));
    refused(near(&abroad.ann, &here, BEGUN_MS, "b").await, 404, "M_NOT_FOUND")?;
    let found = near(&abroad.ann, &here, BEGUN_MS, "f").await?;
    comes_true("the joining", async || {
        Ok(around(&abroad.ann, &here, &found["event_id"]).await?["event"]["type"]
            == "m.room.member")
    })
    .await
}

#[tokio::test]
async fn what_others_name_for_a_time_has_to_prove_itself() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    for version in VERSIONS {
        named_wrongly(&abroad, version).await.with_context(|| format!("named, {version}"))?;
        says_nothing(&abroad, version).await.with_context(|| format!("silent, {version}"))?;
    }
    abroad.end().await
}
