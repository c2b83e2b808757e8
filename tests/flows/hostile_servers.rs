//! Servers that send what they should not into a room that they are in.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{
    Answer, Client, Destination, Engine, Node, Pdu, Peer, PeerReply, PeerRequest, PeerRoom, Town,
};

use crate::{
    abroad,
    stage::{Deeds, Ear, VERSIONS, bodies, escaped, list, one, part},
};

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
    let mut of_a_stranger = guest.say("of a stranger")?;
    of_a_stranger["sender"] = json!("@eve:stranger.test");
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
        ("of a stranger", sealed(&of_a_stranger)?),
        ("without power", sealed(&topic)?),
        ("elsewhere", sealed(&elsewhere)?),
        ("large", large),
        ("uncited", sealed(&uncited)?),
        ("lost", sealed(&lost)?),
        ("no object", json!("pdu")),
        ("empty", json!({})),
    ])
}

/// What of these must never be seen.
const WRONG: [&str; 7] = [
    "unsigned",
    "forged",
    "in the name of another",
    "of a stranger",
    "elsewhere",
    "uncited",
    "behind nothing",
];
/// Those of which it cannot be told what they are called: of a room whose version nobody here knows, too
/// large to be read, and no events.
const NAMELESS: [&str; 4] = ["elsewhere", "large", "no object", "empty"];

/// Each event has a result of its own, if it can be told what it is called: here one beside a good one.
fn results(guest: &Guest, what: &str, pdu: &Value, answer: &Value) -> Result<()> {
    let told = answer["pdus"].as_object().context("results")?;
    if NAMELESS.contains(&what) {
        ensure!(told.len() == 1, "{what}: {answer}");
        return Ok(());
    }
    let id = guest.room.identify(pdu)?.id;
    let why = told.get(&id).and_then(|told| told["error"].as_str());
    ensure!(why.is_some_and(|why| !why.is_empty()) && told.len() == 2, "{what}: {answer}");
    Ok(())
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
        results(&guest, what, &pdu, &answer)?;
        guest.room.add(good);
        let said = seen(ann, &room).await?;
        ensure!(said.contains(&format!("beside {what}")), "{what}: {said:?}");
        ensure!(!said.iter().any(|it| WRONG.contains(&it.as_str())), "{what}: {said:?}");
    }
    let topic = ann.state(&room, "m.room.topic", "").await;
    ensure!(topic.is_err(), "somebody without power set the topic: {topic:?}");

    // What does not match its hash comes without its content, and its id stays.
    let mut changed = guest.room.seal(&guest.say("true")?)?;
    changed.json["content"]["body"] = json!("false");
    let Pdu { id, json } = changed;
    let answer = guest.send(&format!("changed-{version}"), &[&json]).await?.json();
    ensure!(answer["pdus"][&id] == json!({}), "{answer}");
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
    let answer = guest.send(&format!("late-{version}"), &[&late.json]).await?.json();
    ensure!(answer["pdus"][&late.id]["error"].is_string(), "{answer}");
    ensure!(!seen(ann, &room).await?.contains(&"shut out".to_owned()));
    let backfill = format!("/_matrix/federation/v1/backfill/{}?limit=5", escaped(room.as_str()));
    let backfill = guest.peer.ask(&guest.to, Method::GET, &backfill, None).await?;
    ensure!(backfill.status == 403, "{}", backfill.short());
    Ok(())
}

/// What is handed over as the coming, the knocking or the going of somebody of the peer and is something
/// else, and the event itself.
fn crooked_steps(
    peer: &Peer,
    room: &PeerRoom,
    template: &Value,
) -> Result<(Vec<(&'static str, Pdu)>, Pdu)> {
    let right = room.seal(template)?;
    let with = |field: &str, value: Value| {
        let mut draft = template.clone();
        draft[field] = value;
        draft
    };
    let mut of_another = with("sender", json!("@eve:elsewhere.test"));
    of_another["state_key"] = json!("@eve:elsewhere.test");
    let mut about_nobody = template.clone();
    about_nobody.as_object_mut().context("an event is an object")?.remove("state_key");
    let lost = json!(["$neverheardofneverheardofneverheardofneverhea"]);
    let mut steps = Vec::new();
    for (what, draft) in [
        ("of another room", with("room_id", json!("!other:a.test"))),
        ("another standing", with("content", json!({ "membership": "invite" }))),
        ("no standing", with("content", json!({}))),
        ("by another server's", of_another),
        ("by somebody else", with("sender", json!(peer.user("trudy")))),
        ("about somebody else", with("state_key", json!(peer.user("trudy")))),
        ("about nobody", about_nobody),
        ("of another kind", with("type", json!("m.room.message"))),
        ("behind nothing", with("prev_events", lost)),
    ] {
        steps.push((what, room.seal(&draft)?));
    }
    let other = room.seal(&with("origin_server_ts", json!(1)))?;
    let mut unsigned = right.clone();
    unsigned.json["signatures"] = json!({});
    let mut forged = right.clone();
    forged.json["signatures"] = other.json["signatures"].clone();
    // Under the id of the right one, which it has not.
    let renamed = Pdu { id: right.id.clone(), json: other.json };
    steps.extend([("unsigned", unsigned), ("forged", forged), ("under another id", renamed)]);
    Ok((steps, right))
}

/// At each door only what belongs there changes the room.
async fn doors(town: &Town, node: &Node, ann: &Client, version: &str) -> Result<()> {
    let request = json!({ "preset": "public_chat", "room_version": version });
    let open = ann.create_room(&request).await?;
    let rule = json!([{
        "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": "knock" },
    }]);
    let request = json!({ "room_version": version, "initial_state": rule });
    let lodge = ann.create_room(&request).await?;
    let (peer, to) = (town.peer()?.start().await?, node.destination());
    let mallory = peer.user("mallory");
    let mut ear = Ear::of(ann).await?;
    for (room, api, step) in [
        (&open, "v2", "join"),
        (&lodge, "v1", "knock"),
        (&lodge, "v2", "leave"),
        (&open, "v2", "leave"),
    ] {
        let (place, who) = (escaped(room.as_str()), escaped(&mallory));
        let path = format!("/_matrix/federation/v1/make_{step}/{place}/{who}?ver={version}");
        let made = peer.ask(&to, Method::GET, &path, None).await?;
        ensure!(made.status == 200, "{step}: {}", made.short());
        let seen = PeerRoom::told(&peer, version, room.as_str(), Vec::new())?;
        let (steps, right) = crooked_steps(&peer, &seen, &made.json()["event"])?;
        let hand = async |pdu: &Pdu| -> Result<Answer> {
            let id = escaped(&pdu.id);
            let path = format!("/_matrix/federation/{api}/send_{step}/{place}/{id}");
            peer.ask(&to, Method::PUT, &path, Some(&pdu.json)).await
        };
        for (what, pdu) in &steps {
            let answer = hand(pdu).await?;
            let is_refused = answer.status == 400 && answer.errcode().starts_with("M_");
            ensure!(is_refused, "{step}, {what}: {}", answer.short());
            ear.hears_nothing().await.with_context(|| format!("{step}, {what}"))?;
        }
        let answer = hand(&right).await?;
        ensure!(answer.status == 200, "{step}: {}", answer.short());
        ear.hear(|news| {
            let timeline = list(part(news, room, "join/timeline"));
            let member = one(&timeline, "m.room.member", Some(&mallory))?;
            (member["content"]["membership"] == step).then_some(())
        })
        .await
        .with_context(|| format!("waiting for a {step}"))?;
    }
    Ok(())
}

/// A room that all people of the node have left, and of which it remembers much: what goes on there is
/// nothing to it.
async fn left_behind(town: &Town, node: &Node, ann: &Client, version: &str) -> Result<()> {
    let request = json!({ "preset": "public_chat", "room_version": version });
    let room = ann.create_room(&request).await?;
    let mut guest = Guest::come(town.peer()?.start().await?, node, room.as_str(), version).await?;
    ann.say(&room, "good bye").await?;
    ann.deed(&room, "leave", None).await?;
    for what in ["good bye", "leave"] {
        let is_it =
            |it: &Value| it["content"]["body"] == what || it["content"]["membership"] == what;
        let told = guest.peer.event(is_it).await?;
        let told = guest.room.identify(&told)?;
        guest.room.add(told);
    }
    let mut ear = Ear::of(ann).await?;
    let (mallory, before) = (guest.mallory.clone(), seen(ann, &room).await?);
    let shown = json!({ "membership": "join", "displayname": "Mallory the Last" });
    let alone = [
        guest.room.send(&mallory, "m.room.message", None, &json!({ "body": "alone" }))?,
        guest.room.send(&mallory, "m.room.member", Some(&mallory), &shown)?,
        guest.room.send(&mallory, "m.room.message", None, &json!({ "body": "at last" }))?,
    ];
    let events: Vec<&Value> = alone.iter().map(|it| &it.json).collect();
    let answer = guest.send(&format!("alone-{version}"), &events).await?;
    ensure!(answer.status == 200, "{}", answer.short());
    for event in &alone {
        let told = answer.json()["pdus"][&event.id].clone();
        ensure!(told["error"].is_string(), "{}", answer.short());
    }
    ear.hears_nothing().await?;
    let after = seen(ann, &room).await?;
    ensure!(after == before, "{after:?}");
    let path = format!("/_matrix/client/v3/rooms/{room}/event/{}", alone[0].id);
    ensure!(ann.get(&path).await.is_err(), "it is shown to who was there before");
    // Whoever is told nothing asks for nothing.
    let asked = guest.peer.requests();
    let asked: Vec<String> =
        asked.iter().filter(|it| it.method != Method::PUT).map(PeerRequest::line).collect();
    ensure!(
        !asked.iter().any(|it| it.contains("missing_events") || it.contains("/state")),
        "{asked:?}"
    );
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

#[tokio::test]
async fn what_servers_hand_over_at_a_door_has_to_belong_there() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let mut node = town.server("a")?.start().await?;
    let ann = Client::register(node.http(), "ann").await?;
    for version in VERSIONS {
        doors(&town, &node, &ann, version).await.with_context(|| format!("in {version}"))?;
    }
    abroad::end(&mut node).await
}

#[tokio::test]
async fn what_servers_send_of_a_room_that_all_have_left_is_not_heard() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let mut node = town.server("a")?.start().await?;
    let ann = Client::register(node.http(), "ann").await?;
    for version in VERSIONS {
        left_behind(&town, &node, &ann, version).await.with_context(|| format!("in {version}"))?;
    }
    abroad::end(&mut node).await
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
