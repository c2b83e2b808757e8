//! Devices of people of two servers: their keys, messages from one to another, and what is of the moment.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::try_join;
use wayside_tests::{Client, Engine, RoomId};

use crate::{
    encryption::{device_keys, publish, query},
    pair::Pair,
    stage::{Deeds, Ear, comes_true, list, new_txn, part, send, typists},
};

/// The longest that news of another server may take.
const NEWS: Duration = Duration::from_secs(20);
const V3: &str = "/_matrix/client/v3";

/// Listens until something is heard; answers in between that say something else are fine.
pub(crate) async fn until<T>(
    ear: &mut Ear,
    what: &str,
    mut find: impl FnMut(&Value) -> Option<T>,
) -> Result<T> {
    let limit = Instant::now() + NEWS;
    loop {
        let answer = ear.wait(Duration::from_secs(1)).await?;
        ear.token = wayside_tests::SyncToken::known(
            answer["next_batch"].as_str().context("an answer of sync has a token")?,
        );
        if let Some(found) = find(&answer) {
            return Ok(found);
        }
        ensure!(Instant::now() < limit, "{what}: not after {NEWS:?}");
    }
}

/// The texts of the messages to a device, up to and with the one that says `last`.
pub(crate) async fn letters(ear: &mut Ear, last: &str) -> Result<Vec<String>> {
    let mut heard = Vec::new();
    until(ear, last, |answer| {
        let events = list(&answer["to_device"]);
        heard.extend(events.iter().filter_map(|it| Some(it["content"]["n"].as_str()?.to_owned())));
        heard.iter().any(|it| it == last).then_some(())
    })
    .await?;
    Ok(heard)
}

async fn post_letter(who: &Client, txn: &str, to: &Client, device: &str, text: &str) -> Result<()> {
    let path = format!("{V3}/sendToDevice/org.test/{txn}");
    let body = json!({ "messages": { to.id(): { device: { "n": text } } } });
    who.put(&path, &body).await?;
    Ok(())
}

async fn publish_device(who: &Client, one_time: &[&str]) -> Result<()> {
    let keys: serde_json::Map<String, Value> = one_time
        .iter()
        .map(|name| {
            let key = json!({ "key": *name, "signatures": { who.id(): { "ed25519:X": "s" } } });
            (format!("signed_curve25519:{name}"), key)
        })
        .collect();
    let body = json!({ "device_keys": device_keys(who), "one_time_keys": keys });
    publish(who, &body).await.map(drop)
}

/// The devices of somebody that another is shown.
async fn devices(asker: &Client, whose: &Client) -> Result<BTreeSet<String>> {
    let shown = query(asker, whose).await?;
    let devices = shown["device_keys"][whose.id()].as_object();
    Ok(devices.into_iter().flat_map(|it| it.keys().cloned()).collect())
}

fn changed(answer: &Value, who: &Client) -> Option<()> {
    let names = list(&answer["device_lists"]["changed"]);
    names.contains(&json!(who.id())).then_some(())
}

async fn claim(who: &Client, whose: &Client) -> Result<Option<String>> {
    let device = &whose.session().device_id;
    let body = json!({ "one_time_keys": { whose.id(): { device: "signed_curve25519" } } });
    let answer = who.post(&format!("{V3}/keys/claim"), &body).await?;
    let keys = answer["one_time_keys"][whose.id()][device].as_object();
    Ok(keys.and_then(|keys| keys.keys().next().cloned()))
}

async fn encrypted_room(pair: &Pair) -> Result<RoomId> {
    let encryption = json!({
        "type": "m.room.encryption", "state_key": "",
        "content": { "algorithm": "m.megolm.v1.aes-sha2" },
    });
    let request = json!({ "preset": "public_chat", "initial_state": [encryption] });
    let room = pair.ann.create_room(&request).await?;
    pair.sam.join_through(&room, &pair.node.destination().name).await?;
    // Their server comes in without the people first; it answers this when it knows them too.
    pair.sam.get(&format!("{V3}/rooms/{room}/members")).await?;
    Ok(room)
}

/// Keys are shown to those of the other server, given away once each, and it is heard when they change.
async fn keys(pair: &Pair) -> Result<()> {
    let (ann, sam) = (&pair.ann, &pair.sam);
    publish_device(ann, &["A1", "A2"]).await?;
    publish_device(sam, &["S1", "S2"]).await?;
    let room = encrypted_room(pair).await?;
    let (mut ann_hears, mut sam_hears) = try_join!(Ear::of(ann), Ear::of(sam))?;
    for (asker, whose) in [(ann, sam), (sam, ann)] {
        let device = whose.session().device_id.clone();
        comes_true("a device", async || Ok(devices(asker, whose).await?.contains(&device))).await?;
        let shown = query(asker, whose).await?;
        let keys = &shown["device_keys"][whose.id()][&device]["keys"];
        ensure!(*keys == device_keys(whose)["keys"], "{shown}");
        let given = [claim(asker, whose).await?, claim(asker, whose).await?];
        ensure!(given[0].is_some() && given[1].is_some() && given[0] != given[1], "{given:?}");
        ensure!(claim(asker, whose).await?.is_none(), "a key is given away twice");
    }
    // A further device is heard of, shown, and heard of again when it is gone.
    for (asker, ear, whose, base) in [
        (ann, &mut ann_hears, sam, pair.other.http()),
        (sam, &mut sam_hears, ann, pair.node.http()),
    ] {
        let name = whose.id().trim_start_matches('@').split(':').next().unwrap_or_default();
        let other = Client::login(base, name).await?;
        publish_device(&other, &[]).await?;
        let device = other.session().device_id.clone();
        until(ear, "a new device", |answer| changed(answer, whose)).await?;
        comes_true("it", async || Ok(devices(asker, whose).await?.contains(&device))).await?;
        other.post(&format!("{V3}/logout"), &json!({})).await?;
        until(ear, "a device that is gone", |answer| changed(answer, whose)).await?;
        comes_true("it", async || Ok(!devices(asker, whose).await?.contains(&device))).await?;
    }
    // Whoever leaves the last encrypted room is followed no longer.
    sam.deed(&room, "leave", None).await?;
    until(&mut ann_hears, "a leaving", |answer| {
        list(&answer["device_lists"]["left"]).contains(&json!(sam.id())).then_some(())
    })
    .await
}

/// Messages to one device and to all, once each.
async fn messages(pair: &Pair) -> Result<()> {
    let (ann, sam) = (&pair.ann, &pair.sam);
    let (mut ann_hears, mut sam_hears) = try_join!(Ear::of(ann), Ear::of(sam))?;
    for (from, to, ear) in [(ann, sam, &mut sam_hears), (sam, ann, &mut ann_hears)] {
        let device = to.session().device_id.clone();
        let txn = new_txn();
        for _again in 0..2 {
            post_letter(from, &txn, to, &device, "to one").await?;
        }
        post_letter(from, &new_txn(), to, "NONE", "to none").await?;
        post_letter(from, &new_txn(), to, "*", "to all").await?;
        let heard = letters(ear, "to all").await?;
        ensure!(heard == ["to one", "to all"], "{heard:?}");
    }
    Ok(())
}

/// What is of the moment in a room: who types, how far somebody has read, who is there.
async fn moments(pair: &Pair) -> Result<()> {
    let room = encrypted_room(pair).await?;
    let (ann, sam) = (&pair.ann, &pair.sam);
    let (mut ann_hears, mut sam_hears) = try_join!(Ear::of(ann), Ear::of(sam))?;
    for (who, other, ear) in [(ann, sam, &mut sam_hears), (sam, ann, &mut ann_hears)] {
        let typing = format!("{V3}/rooms/{room}/typing/{}", who.id());
        for (now, names) in [(true, vec![json!(who.id())]), (false, Vec::new())] {
            let body = if now {
                json!({ "typing": true, "timeout": 20_000 })
            } else {
                json!({ "typing": false })
            };
            who.put(&typing, &body).await?;
            until(ear, "typing", |answer| {
                typists(answer, &room).filter(|heard| *heard == names).map(drop)
            })
            .await?;
        }
        let read_me = json!({ "msgtype": "m.text", "body": "read me" });
        let event = send(other, &room, "m.room.message", &read_me).await?;
        comes_true("the message", async || {
            let path = format!("{V3}/rooms/{room}/event/{event}");
            Ok(who.get(&path).await.is_ok())
        })
        .await?;
        for (kind, body) in [
            ("m.read.private", json!({ "thread_id": "main" })),
            ("m.read", json!({})),
            ("m.read", json!({ "thread_id": "main" })),
        ] {
            who.post(&format!("{V3}/rooms/{room}/receipt/{kind}/{event}"), &body).await?;
        }
        let (mut whole, mut in_main) = (false, false);
        until(ear, "receipts", |answer| {
            for receipt in list(part(answer, &room, "join/ephemeral")) {
                let read = &receipt["content"][&event]["m.read"][who.id()];
                whole |= read.is_object() && read.get("thread_id").is_none();
                in_main |= read["thread_id"] == "main";
            }
            (whole && in_main).then_some(())
        })
        .await?;
        let presence = json!({ "presence": "unavailable", "status_msg": "by the fire" });
        who.put(&format!("{V3}/presence/{}/status", who.id()), &presence).await?;
        until(ear, "presence", |answer| {
            let told = list(&answer["presence"]);
            let is_it = |it: &&Value| {
                it["sender"] == who.id() && it["content"]["status_msg"] == "by the fire"
            };
            told.iter().find(is_it).map(|_| ())
        })
        .await?;
    }
    Ok(())
}

/// What happens while Synapse is away, or while this node is killed, is neither lost nor told twice.
async fn outages(pair: &mut Pair) -> Result<()> {
    let room = encrypted_room(pair).await?;
    let ann = pair.ann.clone();
    let mut sam_hears = Ear::of(&pair.sam).await?;
    devices(&pair.sam, &ann).await?;
    pair.other.stop().await?;
    let mut all = Vec::new();
    for n in 0..30 {
        let text = format!("meanwhile {n}");
        post_letter(&ann, &new_txn(), &pair.sam, "*", &text).await?;
        all.push(text);
    }
    let other = Client::login(pair.node.http(), "ann").await?;
    publish_device(&other, &[]).await?;
    let device = other.session().device_id.clone();
    for n in 0..30 {
        let path = format!("{V3}/devices/{device}");
        other.put(&path, &json!({ "display_name": format!("desk {n}") })).await?;
    }
    // Of those of whom nothing is kept the other server must be asked, which is not there.
    let nobody = format!("@nobody:{}", pair.other.server_name());
    let asked = json!({ "device_keys": { nobody.as_str(): [] } });
    let shown = ann.post(&format!("{V3}/keys/query"), &asked).await?;
    ensure!(shown["failures"][pair.other.server_name()].is_object(), "{shown}");
    pair.node.kill().await?;
    pair.node.restart().await?;
    pair.ann = pair.ann.at(pair.node.http());
    pair.other.restart().await?;
    pair.sam.say(&room, "back").await?;
    let mut heard = Vec::new();
    let (mut told, mut is_all) = (false, false);
    until(&mut sam_hears, "all of it", |answer| {
        let events = list(&answer["to_device"]);
        heard.extend(events.iter().filter_map(|it| Some(it["content"]["n"].as_str()?.to_owned())));
        is_all |= all.iter().all(|text| heard.contains(text));
        told |= changed(answer, &ann).is_some();
        (is_all && told).then_some(())
    })
    .await?;
    comes_true("the new device", async || Ok(devices(&pair.sam, &ann).await?.contains(&device)))
        .await?;
    post_letter(&pair.ann, &new_txn(), &pair.sam, "*", "last").await?;
    heard.extend(letters(&mut sam_hears, "last").await?);
    all.push("last".to_owned());
    ensure!(heard == all, "{heard:?}");
    Ok(())
}

/// All that needs no more than two servers that run.
async fn together(pair: &Pair) -> Result<()> {
    messages(pair).await.context("messages")?;
    keys(pair).await.context("keys")?;
    moments(pair).await.context("moments")
}

async fn abroad(engine: Engine) -> Result<()> {
    let Some(mut pair) = Pair::meet(engine).await? else { return Ok(()) };
    together(&pair).await?;
    outages(&mut pair).await.context("outages")?;
    try_join!(pair.node.stop(), pair.other.stop())?;
    Ok(())
}

#[tokio::test]
async fn devices_abroad_with_a_node() -> Result<()> {
    let Some(pair) = Pair::of_nodes().await? else { return Ok(()) };
    together(&pair).await?;
    pair.end().await
}

#[tokio::test]
async fn devices_abroad_on_sqlite() -> Result<()> {
    abroad(Engine::Sqlite).await
}

#[tokio::test]
async fn devices_abroad_on_postgres() -> Result<()> {
    abroad(Engine::Postgres).await
}
