//! Servers that send ephemeral data units which they should not: each is passed over, and what stands beside it lands.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{Client, Engine, Node, PeerReply, PeerRequest, RoomId, Town};

use crate::{
    devices_abroad::{letters, until},
    hostile_servers::Guest,
    stage::{Deeds, Ear, comes_true, list, part, typists},
};

const V3: &str = "/_matrix/client/v3";
const DEVICES: &str = "/_matrix/federation/v1/user/devices/";
const QUERY: &str = "/_matrix/federation/v1/user/keys/query";

/// A node with somebody in a room, into which a server has come that means no good.
struct Scene {
    node: Node,
    ann: Client,
    room: RoomId,
    guest: Guest,
    sent: AtomicU32,
    _town: Town,
}

impl Scene {
    async fn set(engine: Engine) -> Result<Option<Self>> {
        let Some(town) = Town::found(engine)? else { return Ok(None) };
        let node = town.server("a")?.start().await?;
        let ann = Client::register(node.http(), "ann").await?;
        let room = ann.create_room(&json!({ "preset": "public_chat" })).await?;
        let guest = Guest::come(town.peer()?.start().await?, &node, room.as_str(), "12").await?;
        let sent = AtomicU32::new(0);
        Ok(Some(Self { node, ann, room, guest, sent, _town: town }))
    }

    /// Sends units in a transaction of their own, which is taken.
    async fn tell(&self, edus: &[Value]) -> Result<()> {
        let txn_id = format!("t{}", self.sent.fetch_add(1, Ordering::Relaxed));
        let answer = self.guest.tell(&txn_id, edus).await?;
        ensure!(answer.status == 200, "{}", answer.short());
        Ok(())
    }

    fn letter(&self, message_id: &str, n: &str) -> Value {
        let messages = json!({ self.ann.id(): { "*": { "n": n } } });
        edu(
            "m.direct_to_device",
            &json!({
                "sender": self.guest.mallory, "type": "org.test", "message_id": message_id,
                "messages": messages,
            }),
        )
    }

    async fn shown(&self, whose: &str) -> Result<Value> {
        let body = json!({ "device_keys": { whose: [] } });
        Ok(self.ann.post(&format!("{V3}/keys/query"), &body).await?)
    }

    /// Waits until exactly these devices of somebody are shown.
    async fn shows(&self, whose: &str, devices: &[&str]) -> Result<()> {
        comes_true(&format!("{devices:?}"), async || {
            let shown = self.shown(whose).await?;
            let found = shown["device_keys"][whose].as_object();
            Ok(found.is_some_and(|it| it.keys().eq(devices.iter())))
        })
        .await
    }

    fn asked(&self, path: &str) -> usize {
        self.guest.peer.requests().iter().filter(|it| it.target().starts_with(path)).count()
    }

    /// Ends the node, in which nothing may have broken.
    async fn end(mut self) -> Result<()> {
        let log = self.node.log();
        let panic = log.lines().find(|line| line.contains("panicked at"));
        ensure!(panic.is_none(), "{panic:?}");
        self.node.stop().await?;
        Ok(())
    }
}

fn edu(kind: &str, content: &Value) -> Value {
    json!({ "edu_type": kind, "content": content })
}

fn with(unit: &Value, name: &str, value: Value) -> Value {
    let mut unit = unit.clone();
    unit["content"][name] = value;
    unit
}

async fn wrong_letters(engine: Engine) -> Result<()> {
    let Some(mut scene) = Scene::set(engine).await? else { return Ok(()) };
    let mut ear = Ear::of(&scene.ann).await?;
    let good = scene.letter("good", "wrong");
    let to_ann = |content: Value| json!({ scene.ann.id(): { "*": content } });
    let wrong = [
        with(&good, "sender", json!(scene.ann.id())),
        with(&good, "sender", json!("@eve:elsewhere.test")),
        with(&good, "sender", json!("nobody")),
        with(&good, "message_id", json!("x".repeat(33))),
        with(&good, "message_id", json!("a\0b")),
        with(&good, "type", json!("x".repeat(300))),
        with(&good, "messages", to_ann(json!({ "n": "wrong", "x": "x".repeat(70_000) }))),
        with(&good, "messages", to_ann(json!(["wrong"]))),
        with(&good, "messages", json!([])),
        with(&good, "messages", json!({ scene.ann.id(): { "a\0b": { "n": "wrong" } } })),
        edu("m.direct_to_device", &json!(5)),
        edu("org.test.unknown", &json!({})),
        json!({}),
        json!("unit"),
    ];
    let all = wrong.into_iter().chain([scene.letter("1", "one")]).collect::<Vec<_>>();
    scene.tell(&all).await?;
    // Neither the same id in another transaction, nor after a crash, leaves anything again.
    scene.tell(&[scene.letter("1", "one again")]).await?;
    scene.node.kill().await?;
    scene.node.restart().await?;
    scene.guest.to = scene.node.destination();
    scene.ann = scene.ann.at(scene.node.http());
    ear.client = scene.ann.clone();
    scene.tell(&[scene.letter("1", "one once more"), scene.letter("2", "two")]).await?;
    let heard = letters(&mut ear, "two").await?;
    ensure!(heard == ["one", "two"], "{heard:?}");
    // One too many is refused whole, also of what would be taken.
    let many: Vec<Value> = (0..101).map(|n| scene.letter(&format!("m{n}"), "many")).collect();
    let answer = scene.guest.tell("many", &many).await?;
    ensure!(answer.status == 413 && answer.errcode() == "M_TOO_LARGE", "{}", answer.short());
    scene.tell(&many[..100]).await?;
    scene.tell(&[scene.letter("3", "three")]).await?;
    let heard = letters(&mut ear, "three").await?;
    ensure!(heard.len() == 101, "{}", heard.len());
    // What nobody has got is not remembered.
    let mut to_nobody = scene.letter("4", "lost");
    let nobody = format!("@nobody:{}", scene.guest.to.name);
    to_nobody["content"]["messages"] = json!({ nobody: { "*": { "n": "lost" } } });
    scene.tell(&[to_nobody]).await?;
    scene.tell(&[scene.letter("4", "four")]).await?;
    let heard = letters(&mut ear, "four").await?;
    ensure!(heard == ["four"], "{heard:?}");
    scene.end().await
}

async fn wrong_moments(engine: Engine) -> Result<()> {
    let Some(scene) = Scene::set(engine).await? else { return Ok(()) };
    let (ann, room) = (&scene.ann, &scene.room);
    let peer_name = scene.guest.peer.server_name();
    let other = ann.create_room(&json!({ "preset": "public_chat" })).await?;
    let event = ann.say(room, "read me").await?;
    let elsewhere = ann.say(&other, "not for them").await?;
    let mallory = scene.guest.mallory.clone();
    let stranger = format!("@stranger:{peer_name}");
    let typing = |room: &RoomId, user: &str| {
        edu("m.typing", &json!({ "room_id": room.as_str(), "user_id": user, "typing": true }))
    };
    let receipt = |room: &RoomId, user: &str, event: &str| {
        let read = json!({ "event_ids": [event], "data": { "ts": 5 } });
        edu("m.receipt", &json!({ room.as_str(): { "m.read": { user: read } } }))
    };
    let present = |user: &str, words: &str| {
        let one = json!({
            "user_id": user, "presence": "online", "last_active_ago": 5, "status_msg": words,
        });
        edu("m.presence", &json!({ "push": [one] }))
    };
    let mut ear = Ear::of(ann).await?;
    let wrong = [
        typing(room, ann.id()),
        typing(room, &stranger),
        typing(&other, &mallory),
        receipt(room, ann.id(), &event),
        receipt(room, &stranger, &event),
        receipt(&other, &mallory, &elsewhere),
        receipt(room, &mallory, &elsewhere),
        receipt(room, &mallory, "$nothing"),
        present(ann.id(), "wrong"),
        present(&stranger, "wrong"),
        present(&mallory, &"x".repeat(5_000)),
    ];
    let right = [typing(room, &mallory), receipt(room, &mallory, &event), present(&mallory, "ok")];
    scene.tell(&wrong.into_iter().chain(right).collect::<Vec<_>>()).await?;
    let (mut read, mut types, mut words) = (Vec::new(), Vec::new(), Vec::new());
    until(&mut ear, "what is right", |answer| {
        for room in [room, &other] {
            read.extend(
                list(part(answer, room, "join/ephemeral"))
                    .into_iter()
                    .filter_map(|it| (it["type"] == "m.receipt").then(|| it["content"].clone())),
            );
            types.extend(typists(answer, room).into_iter().flatten());
        }
        let told = list(&answer["presence"]);
        let told = told.iter().filter(|it| it["sender"] != ann.id());
        words.extend(told.map(|it| it["content"]["status_msg"].clone()));
        (!read.is_empty() && !types.is_empty() && words.contains(&json!("ok"))).then_some(())
    })
    .await?;
    ensure!(types == [json!(mallory)], "{types:?}");
    let expected = json!({ event.as_str(): { "m.read": { mallory.as_str(): { "ts": 5 } } } });
    ensure!(read == [expected], "{read:?}");
    ensure!(words.iter().all(|it| *it == "ok" || it.is_null()), "{words:?}");

    // A server that the room shuts out is not heard in it.
    let stop = json!({ "room_id": room.as_str(), "user_id": mallory, "typing": false });
    scene.tell(&[edu("m.typing", &stop)]).await?;
    until(&mut ear, "an end", |answer| typists(answer, room).filter(Vec::is_empty)).await?;
    let rule = json!({ "allow": ["*"], "deny": [], "allow_ip_literals": false });
    ann.put(&format!("{V3}/rooms/{room}/state/m.room.server_acl/"), &rule).await?;
    let late = ann.say(room, "late").await?;
    let after = present(&mallory, "after");
    scene.tell(&[typing(room, &mallory), receipt(room, &mallory, &late), after]).await?;
    until(&mut ear, "what is of no room", |answer| {
        let ephemeral = list(part(answer, room, "join/ephemeral"));
        assert!(ephemeral.iter().all(|it| it["content"]["user_ids"] == json!([])), "{ephemeral:?}");
        let told = list(&answer["presence"]);
        told.iter().find(|it| it["content"]["status_msg"] == "after").map(|_| ())
    })
    .await?;
    scene.end().await
}

/// The keys of a device as its server tells them.
fn keys(user: &str, device: &str) -> Value {
    json!({
        "user_id": user, "device_id": device, "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
        "keys": { format!("ed25519:{device}"): "e" }, "signatures": {},
    })
}

fn change(user: &str, device: &str, (stream_id, prev): (u64, u64)) -> Value {
    let content = json!({
        "user_id": user, "device_id": device, "stream_id": stream_id, "prev_id": [prev],
        "keys": keys(user, device),
    });
    edu("m.device_list_update", &content)
}

async fn wrong_devices(engine: Engine) -> Result<()> {
    let Some(scene) = Scene::set(engine).await? else { return Ok(()) };
    let mallory = scene.guest.mallory.clone();
    let (peer, user) = (&scene.guest.peer, mallory.as_str());
    let of = mallory.clone();
    peer.answer(Method::POST, QUERY, move |_| {
        let devices = json!({
            "A": keys(&of, "A"), "B": keys("@eve:elsewhere.test", "B"), "C": keys(&of, "D"),
            "E": 5, "": keys(&of, ""),
        });
        let key = json!({ "user_id": of, "usage": ["self_signing"], "keys": { "ed25519:x": "x" } });
        PeerReply::json(&json!({
            "device_keys": { of.as_str(): devices, "@ann:a.test": { "A": keys("@ann:a.test", "A") } },
            "master_keys": { of.as_str(): { "user_id": "@eve:elsewhere.test" } },
            "self_signing_keys": { of.as_str(): key },
        }))
    });
    let shown = scene.shown(user).await?;
    ensure!(shown["device_keys"] == json!({ user: { "A": keys(user, "A") } }), "{shown}");
    ensure!(
        shown["master_keys"] == json!({}) && shown["self_signing_keys"] == json!({}),
        "{shown}"
    );
    scene.shown(user).await?;
    ensure!(scene.asked(QUERY) == 1, "what is kept is asked for again");

    // A change behind others that were missed has the whole list asked for, once; clients are told
    // nothing until then.
    let no = |_: &PeerRequest| PeerReply::refusal(403, "M_FORBIDDEN", "not today");
    peer.answer(Method::POST, QUERY, no);
    let many = Arc::new(AtomicU32::new(1));
    let (number, of) = (many.clone(), mallory.clone());
    peer.answer(Method::GET, DEVICES, move |_| {
        let devices = (0..number.load(Ordering::Relaxed)).map(|n| {
            let device = format!("L{n}");
            json!({ "device_id": device, "keys": keys(&of, &device) })
        });
        let devices = devices.collect::<Vec<_>>();
        PeerReply::json(&json!({ "user_id": of, "stream_id": 10, "devices": devices }))
    });
    scene.tell(&[change(user, "X", (10, 9))]).await?;
    peer.request(&Method::GET, DEVICES).await?;
    scene.shows(user, &["L0"]).await?;
    let asked = scene.asked(QUERY);
    // The next change is applied without asking anybody.
    scene.tell(&[change(user, "M", (11, 10)), change(user, "M", (11, 10))]).await?;
    scene.shows(user, &["L0", "M"]).await?;
    let gone = json!({
        "user_id": user, "device_id": "M", "stream_id": 12, "prev_id": [11], "deleted": true,
    });
    scene.tell(&[edu("m.device_list_update", &gone)]).await?;
    scene.shows(user, &["L0"]).await?;
    ensure!(scene.asked(QUERY) == asked && scene.asked(DEVICES) == 0, "somebody was asked");

    // Of people who are not near, or not theirs, nothing is noted; forged keys are not taken.
    let stranger = format!("@stranger:{}", peer.server_name());
    let mut forged = change(user, "F", (13, 12));
    forged["content"]["keys"] = keys("@eve:elsewhere.test", "F");
    let wrong = [
        change(&stranger, "S", (1, 0)),
        change(scene.ann.id(), "S", (1, 0)),
        with(&change(user, "S", (13, 12)), "stream_id", json!("13")),
        with(&change(user, "S", (13, 12)), "device_id", json!("x".repeat(300))),
        edu("m.signing_key_update", &json!({ "user_id": scene.ann.id() })),
        edu("m.signing_key_update", &json!({ "user_id": user, "master_key": keys(user, "A") })),
        forged,
    ];
    // More devices than anybody has are no list.
    many.store(10_000, Ordering::Relaxed);
    scene.tell(&wrong).await?;
    peer.request(&Method::GET, DEVICES).await?;
    many.store(2, Ordering::Relaxed);
    scene.shows(user, &["L0", "L1"]).await.context("after a list that is too long")?;
    scene.end().await
}

#[tokio::test]
async fn wrong_letters_are_passed_over_on_sqlite() -> Result<()> {
    wrong_letters(Engine::Sqlite).await
}

#[tokio::test]
async fn wrong_letters_are_passed_over_on_postgres() -> Result<()> {
    wrong_letters(Engine::Postgres).await
}

#[tokio::test]
async fn wrong_moments_are_passed_over_on_sqlite() -> Result<()> {
    wrong_moments(Engine::Sqlite).await
}

#[tokio::test]
async fn wrong_moments_are_passed_over_on_postgres() -> Result<()> {
    wrong_moments(Engine::Postgres).await
}

#[tokio::test]
async fn wrong_devices_are_passed_over_on_sqlite() -> Result<()> {
    wrong_devices(Engine::Sqlite).await
}

#[tokio::test]
async fn wrong_devices_are_passed_over_on_postgres() -> Result<()> {
    wrong_devices(Engine::Postgres).await
}
