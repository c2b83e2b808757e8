//! Servers that send what they should not into a room that they are in.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{
    Answer, Client, Destination, Engine, Node, Pdu, Peer, PeerReply, PeerRequest, PeerRoom, Town,
};

use crate::stage::{Deeds, VERSIONS, bodies, escaped};

/// A peer that is in a room of a node, and what it knows of that.
pub(crate) struct Guest {
    pub(crate) peer: Peer,
    pub(crate) to: Destination,
    pub(crate) room: PeerRoom,
    pub(crate) mallory: String,
    /// How it came in.
    pub(crate) join: Pdu,
}

impl Guest {
    /// Comes into a room as any server does.
    pub(crate) async fn come(peer: Peer, node: &Node, room: &str, version: &str) -> Result<Self> {
        let to = node.destination();
        let mallory = peer.user("mallory");
        let (room, join) = peer.enter(&to, room, version, &mallory).await?;
        Ok(Self { peer, to, room, mallory, join })
    }

    fn say(&self, text: &str) -> Result<Value> {
        self.room.draft(&self.mallory, "m.room.message", None, &json!({ "body": text }))
    }

    /// Sends ephemeral data units in a transaction.
    pub(crate) async fn tell(&self, txn_id: &str, edus: &[Value]) -> Result<Answer> {
        let content = json!({
            "origin": self.peer.server_name(), "origin_server_ts": 1, "pdus": [], "edus": edus,
        });
        let path = format!("/_matrix/federation/v1/send/{txn_id}");
        self.peer.ask(&self.to, Method::PUT, &path, Some(&content)).await
    }

    async fn send(&self, txn_id: &str, pdus: &[&Value]) -> Result<Answer> {
        let content = json!({
            "origin": self.peer.server_name(), "origin_server_ts": 1, "pdus": pdus, "edus": [],
        });
        let path = format!("/_matrix/federation/v1/send/{txn_id}");
        self.peer.ask(&self.to, Method::PUT, &path, Some(&content)).await
    }
}

/// What somebody of the node sees in the room.
async fn seen(who: &Client, room: &wayside_tests::RoomId) -> Result<Vec<String>> {
    let (events, _) = who.messages(room, None, 100).await?;
    Ok(bodies(&events))
}

/// Each of these is refused for itself, and what stands beside it lands.
fn crooked(guest: &Guest) -> Result<Vec<(&'static str, Value)>> {
    let sealed = |draft: &Value| guest.room.seal(draft).map(|pdu| pdu.json);
    let mut unsigned = sealed(&guest.say("unsigned")?)?;
    unsigned["signatures"] = json!({});
    let mut forged = sealed(&guest.say("forged")?)?;
    forged["signatures"] = sealed(&guest.say("what was signed")?)?["signatures"].clone();
    let mut of_another = guest.say("in the name of another")?;
    of_another["sender"] = json!(format!("@ann:{}", guest.to.name));
    let topic = json!({ "topic": "mine" });
    let topic = guest.room.draft(&guest.mallory, "m.room.topic", Some(""), &topic)?;
    let mut elsewhere = guest.say("elsewhere")?;
    elsewhere["room_id"] = json!("!other:a.test");
    let mut large = guest.say("large")?;
    large["content"]["filling"] = json!("x".repeat(70_000));
    let mut uncited = guest.say("uncited")?;
    uncited["auth_events"] = json!([]);
    let mut lost = guest.say("behind nothing")?;
    lost["prev_events"] = json!(["$neverheardofneverheardofneverheardofneverhea"]);
    Ok(vec![
        ("unsigned", unsigned),
        ("forged", forged),
        ("of another", sealed(&of_another)?),
        ("without power", sealed(&topic)?),
        ("elsewhere", sealed(&elsewhere)?),
        ("large", large),
        ("uncited", sealed(&uncited)?),
        ("lost", sealed(&lost)?),
        ("no object", json!("pdu")),
        ("empty", json!({})),
    ])
}

async fn one_version(town: &Town, node: &Node, ann: &Client, version: &str) -> Result<()> {
    let request = json!({ "preset": "public_chat", "room_version": version });
    let room = ann.create_room(&request).await?;
    let mut guest = Guest::come(town.peer()?.start().await?, node, room.as_str(), version).await?;
    for (what, pdu) in crooked(&guest)? {
        let good = guest.room.seal(&guest.say(&format!("beside {what}"))?)?;
        let answer =
            guest.send(&format!("{what}-{version}").replace(' ', "-"), &[&pdu, &good.json]).await?;
        ensure!(answer.status == 200, "{what}: {}", answer.short());
        let answer = answer.json();
        ensure!(answer["pdus"][&good.id] == json!({}), "{what}: {answer}");
        guest.room.add(good);
        let said = seen(ann, &room).await?;
        ensure!(said.contains(&format!("beside {what}")), "{what}: {said:?}");
        let wrong = ["unsigned", "forged", "in the name of another", "elsewhere", "uncited"];
        ensure!(!said.iter().any(|it| wrong.contains(&it.as_str())), "{what}: {said:?}");
    }
    let topic = ann.state(&room, "m.room.topic", "").await;
    ensure!(topic.is_err(), "somebody without power set the topic: {topic:?}");

    // What does not match its hash comes without its content, and its id stays.
    let mut changed = guest.room.seal(&guest.say("true")?)?;
    changed.json["content"]["body"] = json!("false");
    let Pdu { id, json } = changed;
    guest.send(&format!("changed-{version}"), &[&json]).await?;
    let found = ann.get(&format!("/_matrix/client/v3/rooms/{room}/event/{id}")).await?;
    ensure!(found["content"] == json!({}), "{found}");
    let known = guest.room.identify(&json)?;
    guest.room.add(known);

    // The same transaction again does nothing, whatever it holds; one too many is refused whole.
    let (once, other) =
        (guest.room.seal(&guest.say("once")?)?, guest.room.seal(&guest.say("never")?)?);
    let txn_id = format!("twice-{version}");
    let first = guest.send(&txn_id, &[&once.json]).await?.json();
    let again = guest.send(&txn_id, &[&other.json]).await?.json();
    ensure!(first == again && first["pdus"][&once.id] == json!({}), "{first} {again}");
    ensure!(!seen(ann, &room).await?.contains(&"never".to_owned()));
    guest.room.add(once);
    let many = (0..51).map(|n| guest.room.seal(&guest.say(&format!("many {n}"))?));
    let many = many.collect::<Result<Vec<_>>>()?;
    let many: Vec<&Value> = many.iter().map(|pdu| &pdu.json).collect();
    let refused = guest.send(&format!("many-{version}"), &many).await?;
    ensure!(refused.status == 413 && refused.errcode() == "M_TOO_LARGE", "{}", refused.short());
    ensure!(!seen(ann, &room).await?.iter().any(|it| it.starts_with("many")));

    // A server that the room does not let take part is not heard, whatever it was before.
    let rule = json!({ "allow": ["*"], "deny": [], "allow_ip_literals": false });
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.server_acl/");
    ann.put(&path, &rule).await?;
    let late = guest.room.seal(&guest.say("shut out")?)?;
    guest.send(&format!("late-{version}"), &[&late.json]).await?;
    ensure!(!seen(ann, &room).await?.contains(&"shut out".to_owned()));
    let backfill = format!("/_matrix/federation/v1/backfill/{}?limit=5", escaped(room.as_str()));
    let backfill = guest.peer.ask(&guest.to, Method::GET, &backfill, None).await?;
    ensure!(backfill.status == 403, "{}", backfill.short());
    Ok(())
}

/// A server that knows nothing of a room is told nothing of it, and brings nobody in who may not come.
async fn strangers(town: &Town, node: &Node, ann: &Client) -> Result<()> {
    let room = ann.create_room(&json!({ "preset": "private_chat" })).await?;
    let event = ann.say(&room, "secret").await?;
    let (peer, to) = (town.peer()?.start().await?, node.destination());
    let (room, event, mallory) =
        (escaped(room.as_str()), escaped(&event), escaped(&peer.user("mallory")));
    for (path, status) in [
        (format!("make_join/{room}/{mallory}?ver=12"), 403),
        (format!("make_join/{room}/{mallory}?ver=1"), 400),
        (format!("make_join/{room}/{}?ver=12", escaped(ann.id())), 403),
        (format!("backfill/{room}?v={event}&limit=5"), 403),
        (format!("event/{event}"), 403),
        (format!("state/{room}?event_id={event}"), 403),
        (format!("state_ids/{room}?event_id={event}"), 403),
        (format!("event_auth/{room}/{event}"), 403),
        (format!("make_join/%21none%3Aa.test/{mallory}?ver=12"), 404),
        ("event/%24none".to_owned(), 404),
        (format!("backfill/{room}?v={event}&limit=many"), 400),
        (format!("backfill/{room}?v=none&limit=5"), 400),
    ] {
        let asked = format!("/_matrix/federation/v1/{path}");
        let answer = peer.ask(&to, Method::GET, &asked, None).await?;
        ensure!(answer.status == status, "{path}: {}", answer.short());
        ensure!(!String::from_utf8_lossy(&answer.body).contains("secret"), "{path}");
    }
    Ok(())
}

/// A server that takes nothing is tried again, each time later, and gets all of it once it does.
#[tokio::test]
async fn who_refuses_what_is_sent_is_not_asked_all_the_time() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let mut node = town.server("a")?.start().await?;
    let ann = Client::register(node.http(), "ann").await?;
    let room = ann.create_room(&json!({ "preset": "public_chat" })).await?;
    let peer = town.peer()?.start().await?;
    let guest = Guest::come(peer, &node, room.as_str(), "12").await?;
    let send = "/_matrix/federation/v1/send/";
    let no = |_: &PeerRequest| PeerReply::refusal(403, "M_FORBIDDEN", "not today");
    guest.peer.answer(Method::PUT, send, no);
    let said = [ann.say(&room, "one").await?, ann.say(&room, "two").await?];
    let begun = Instant::now();
    for _ in 0..3 {
        guest.peer.request(&Method::PUT, send).await?;
    }
    // A second and two, each a fifth less at most.
    ensure!(begun.elapsed() > Duration::from_secs(2), "three within {:?}", begun.elapsed());
    let waits = guest.peer.requests().iter().filter(|it| it.target().starts_with(send)).count();
    ensure!(waits == 0, "{waits} more at once");
    guest.peer.answer(Method::PUT, send, |_| PeerReply::json(&json!({ "pdus": {} })));
    let taken = guest.peer.request(&Method::PUT, send).await?.json();
    let texts: Vec<&Value> = taken["pdus"].as_array().context("events")?.iter().collect();
    let bodies: Vec<&Value> = texts.iter().map(|it| &it["content"]["body"]).collect();
    ensure!(bodies == ["one", "two"], "{bodies:?} of {said:?}");
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_servers_should_not_send_is_refused_and_the_rest_lands() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let mut node = town.server("a")?.start().await?;
    let ann = Client::register(node.http(), "ann").await?;
    for version in VERSIONS {
        one_version(&town, &node, &ann, version).await.with_context(|| format!("in {version}"))?;
    }
    strangers(&town, &node, &ann).await?;
    let log = node.log();
    let panic = log.lines().find(|line| line.contains("panicked at"));
    ensure!(panic.is_none(), "{panic:?}");
    node.stop().await?;
    Ok(())
}
