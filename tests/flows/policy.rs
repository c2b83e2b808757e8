//! Rooms with a policy server: what is said there is signed by it first, or comes to nobody.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::try_join;
use wayside_tests::{
    CallError, Client, Engine, NO_SPAM, Node, Pdu, PeerReply, PolicyKey, RoomId, SIGN, Town,
};

use crate::{
    abroad::{self, times},
    hostile_servers::Guest,
    pair::Pair,
    shared_rooms::{hears, set, state},
    stage::{Deeds, Ear, VERSIONS, bodies, comes_true, escaped, list, part, redact, refused},
};

/// The type of the event that names a policy server.
const POLICY: &str = "m.room.policy";

/// A room of a node in which two servers of the tests' own are: one looks over what is said, and one
/// says what it likes.
struct Watched {
    node: Node,
    ann: Client,
    room: RoomId,
    version: &'static str,
    watcher: Guest,
    key: PolicyKey,
    guest: Guest,
    town: Town,
}

impl Watched {
    async fn begin(engine: Engine, version: &'static str) -> Result<Option<Self>> {
        let Some(town) = Town::found(engine)? else { return Ok(None) };
        let node = town.server("a")?.start().await?;
        let ann = Client::register(node.http(), "ann").await?;
        let request = json!({ "preset": "public_chat", "room_version": version });
        let room = ann.create_room(&request).await?;
        let peer = town.peer()?.start().await?;
        let key = peer.look_over(version)?;
        let watcher = Guest::come(peer, &node, room.as_str(), version).await?;
        set(&ann, &room, POLICY, key.policy()).await?;
        ensure!(times(&watcher.peer, SIGN) == 0, "it is asked before it looks over the room");
        // Whoever comes now is looked over.
        let guest = Guest::come(town.peer()?.start().await?, &node, room.as_str(), version).await?;
        ensure!(times(&watcher.peer, SIGN) == 1, "it is not asked about who comes");
        Ok(Some(Self { node, ann, room, version, watcher, key, guest, town }))
    }

    fn asked(&self) -> usize {
        times(&self.watcher.peer, SIGN)
    }

    async fn seen(&self) -> Result<Vec<String>> {
        Ok(bodies(&self.ann.messages(&self.room, None, 100).await?.0))
    }

    /// Something that the guest says without asking anybody.
    fn said(&self, text: &str) -> Result<Pdu> {
        let Guest { room, mallory, .. } = &self.guest;
        room.seal(&room.draft(mallory, "m.room.message", None, &json!({ "body": text }))?)
    }

    /// The guest hands over events, and each is taken in.
    async fn hand_over(&self, pdus: &[&Pdu]) -> Result<()> {
        let answer = self.guest.peer.transact(&self.guest.to, pdus, &[]).await?;
        for pdu in pdus {
            let told = answer.json();
            ensure!(told["pdus"][&pdu.id] == json!({}), "{}", answer.short());
        }
        Ok(())
    }

    /// An event as the node tells it to other servers.
    async fn told(&self, id: &str) -> Result<Value> {
        let path = format!("/_matrix/federation/v1/event/{}", escaped(id));
        let answer = self.guest.peer.ask(&self.guest.to, Method::GET, &path, None).await?;
        ensure!(answer.status == 200, "{}", answer.short());
        Ok(answer.json()["pdus"][0].clone())
    }

    async fn end(mut self) -> Result<()> {
        abroad::end(&mut self.node).await
    }
}

fn is_said(text: &str) -> impl Fn(&Value) -> bool {
    move |event: &Value| event["content"]["body"] == text
}

/// Checks that a call was refused in the policy server's own words.
fn unwanted<T: std::fmt::Debug>(answer: Result<T, CallError>) -> Result<()> {
    if let Err(CallError::Refused { body, .. }) = &answer {
        ensure!(body["error"] == NO_SPAM, "{body}");
    }
    refused(answer, 400, "M_FORBIDDEN")
}

async fn try_set(
    who: &Client,
    room: &RoomId,
    place: &str,
    content: &Value,
) -> Result<Value, CallError> {
    who.put(&format!("/_matrix/client/v3/rooms/{room}/state/{place}"), content).await
}

async fn say(who: &Client, room: &RoomId, text: &str, txn: &str) -> Result<Value, CallError> {
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
    who.put(&path, &json!({ "msgtype": "m.text", "body": text })).await
}

/// What people of the node say and do.
async fn spoken_here(watched: &Watched) -> Result<()> {
    let Watched { node, ann, room, version, watcher, key, guest, town } = watched;
    ann.say(room, "ham").await?;
    for peer in [&watcher.peer, &guest.peer] {
        key.check(version, &peer.event(is_said("ham")).await?)?;
    }
    unwanted(say(ann, room, "buy spam", "s").await)?;
    // Asked for again, it is asked about again, and one that was signed is one for ever.
    unwanted(say(ann, room, "buy spam", "s").await)?;
    let once = say(ann, room, "once", "o").await?;
    let asked = watched.asked();
    ensure!(say(ann, room, "once", "o").await? == once, "a repeated request says it twice");
    ensure!(watched.asked() == asked, "what was said is asked about again");
    ensure!(watched.seen().await? == ["once", "ham"], "{:?}", watched.seen().await?);

    // All that is not the policy itself: state, redactions, coming and going, being shown.
    set(ann, room, "m.room.topic", json!({ "topic": "boats" })).await?;
    unwanted(try_set(ann, room, "m.room.topic/", &json!({ "topic": "spam" })).await)?;
    let topic = state(ann, room, "m.room.topic/").await?.context("a topic")?;
    ensure!(topic["topic"] == "boats", "{topic}");
    let said = ann.say(room, "regretted").await?;
    redact(ann, room, &said).await?;
    let is_of = |kind: &'static str| move |it: &Value| it["type"] == kind;
    for kind in ["m.room.topic", "m.room.redaction"] {
        key.check(version, &guest.peer.event(is_of(kind)).await?)?;
    }
    let bob = Client::register(node.http(), &format!("bob{version}")).await?;
    let unwelcome = json!({ "reason": "spam" });
    unwanted(bob.post(&format!("/_matrix/client/v3/rooms/{room}/join"), &unwelcome).await)?;
    ensure!(bob.messages(room, None, 5).await.is_err(), "who is refused is in the room");
    bob.join(room).await?;
    let bobs = |membership: &'static str| {
        let bob = bob.id().to_owned();
        move |it: &Value| it["state_key"] == bob && it["content"]["membership"] == membership
    };
    key.check(version, &guest.peer.event(bobs("join")).await?)?;
    let name = format!("/_matrix/client/v3/profile/{}/displayname", bob.id());
    bob.put(&name, &json!({ "displayname": "spam bob" })).await?;
    let shown = state(ann, room, &format!("m.room.member/{}", bob.id())).await?;
    ensure!(shown.is_some_and(|it| it["displayname"] != "spam bob"), "a name is shown");
    bob.put(&name, &json!({ "displayname": "Bob" })).await?;
    let shown = state(ann, room, &format!("m.room.member/{}", bob.id())).await?;
    ensure!(shown.is_some_and(|it| it["displayname"] == "Bob"), "a name is not shown");
    ann.deed(room, "kick", Some(&bob)).await?;
    key.check(version, &guest.peer.event(bobs("leave")).await?)?;
    let asked = watched.asked();
    set(ann, room, POLICY, {
        let mut same = key.policy();
        same["more"] = json!(1);
        same
    })
    .await?;
    ensure!(watched.asked() == asked, "it is asked about its own naming");
    let elsewhere = json!({ "any": "spam" });
    let keyed = try_set(ann, room, "m.room.policy/other", &elsewhere).await;
    unwanted(keyed).context("a policy under another key")?;

    // People of another node of ours, which has the rules from this one.
    let mut b = town.server("b")?.start().await?;
    let cat = Client::register(b.http(), "cat").await?;
    cat.join_through(room, &node.destination().name).await?;
    let mut ann_hears = Ear::of(ann).await?;
    unwanted(say(&cat, room, "their spam", "c").await)?;
    let said = cat.say(room, "their ham").await?;
    hears(&mut ann_hears, room, "their ham").await?;
    key.check(version, &watched.told(&said).await?)?;
    b.stop().await?;

    let sent = guest.peer.requests();
    let spam = sent.iter().find(|it| String::from_utf8_lossy(&it.body).contains("spam"));
    ensure!(spam.is_none(), "others hear of it: {spam:?}");
    Ok(())
}

/// A room that moves away: the stone is signed for what it says.
async fn moved(watched: &Watched, to: &str) -> Result<()> {
    let Watched { ann, room, version, key, guest, .. } = watched;
    let path = format!("/_matrix/client/v3/rooms/{room}/upgrade");
    let moved = ann.post(&path, &json!({ "new_version": to })).await?;
    let stone = guest.peer.event(|it| it["type"] == "m.room.tombstone").await?;
    key.check(version, &stone)?;
    ensure!(stone["content"]["replacement_room"] == moved["replacement_room"], "{stone}");
    let new = RoomId::known(moved["replacement_room"].as_str().context("a room")?);
    // Nobody of another server is there yet.
    ann.say(&new, "spam").await?;
    Ok(())
}

/// What another server says without asking, or as if it had asked.
async fn spoken_elsewhere(watched: &mut Watched) -> Result<()> {
    let version = watched.version;
    let (ham, spam) = (watched.said("their ham")?, watched.said("their spam")?);
    let asked = watched.asked();
    watched.hand_over(&[&ham, &spam]).await?;
    ensure!(watched.asked() == asked + 2, "asked {} times", watched.asked() - asked);
    let seen = watched.seen().await?;
    ensure!(seen.contains(&"their ham".to_owned()), "{seen:?}");
    ensure!(!seen.iter().any(|it| it.contains("spam")), "{seen:?}");
    // It goes on to others with the signature that was had for it.
    watched.key.check(version, &watched.told(&ham.id).await?)?;
    let after = watched.ann.say(&watched.room, "after").await?;
    let after = watched.told(&after).await?;
    let before = after["prev_events"].to_string();
    ensure!(before.contains(&ham.id) && !before.contains(&spam.id), "{after}");

    let sign = |pdu: Pdu, key: &PolicyKey| -> Result<Pdu> {
        Ok(Pdu { json: key.signed(version, &pdu.json)?, ..pdu })
    };
    // Signed, nobody is asked, whatever it says.
    let asked = watched.asked();
    let signed = sign(watched.said("spam that it wants")?, &watched.key)?;
    watched.hand_over(&[&signed]).await?;
    ensure!(watched.asked() == asked, "it is asked about what it has signed");
    ensure!(watched.seen().await?.contains(&"spam that it wants".to_owned()));
    // By another key of it, or in its name alone, it is not signed.
    let forger = PolicyKey::generate(watched.watcher.peer.server_name())?;
    let forged =
        [sign(watched.said("forged ham")?, &forger)?, sign(watched.said("forged spam")?, &forger)?];
    watched.hand_over(&[&forged[0], &forged[1]]).await?;
    ensure!(watched.asked() == asked + 2, "a forged signature is believed");
    let seen = watched.seen().await?;
    ensure!(seen.contains(&"forged ham".to_owned()), "{seen:?}");
    ensure!(!seen.contains(&"forged spam".to_owned()), "{seen:?}");
    watched.key.check(version, &watched.told(&forged[0].id).await?)?;
    // What the rules refuse anyway is not worth a question.
    let Guest { room, mallory, .. } = &watched.guest;
    let topic = room.draft(mallory, "m.room.topic", Some(""), &json!({ "topic": "mine" }))?;
    let asked = watched.asked();
    watched.guest.peer.transact(&watched.guest.to, &[&room.seal(&topic)?], &[]).await?;
    ensure!(watched.asked() == asked, "it is asked about what the rules refuse");
    Ok(())
}

/// As many as a transaction holds are asked about beside each other.
async fn many_at_once(watched: &mut Watched) -> Result<()> {
    let (key, version, asked) = (watched.key.clone(), watched.version, watched.asked());
    watched.watcher.peer.answer(Method::POST, SIGN, move |request| {
        match key.sign(version, &request.json()) {
            Ok(signature) => PeerReply::json(&signature).after(Duration::from_millis(300)),
            Err(error) => PeerReply::refusal(400, "M_BAD_JSON", &format!("{error:#}")),
        }
    });
    let mut pdus = Vec::new();
    for n in 0..50 {
        let pdu = watched.said(&format!("one of many {n}"))?;
        watched.guest.room.add(pdu.clone());
        pdus.push(pdu);
    }
    let begun = Instant::now();
    watched.hand_over(&pdus.iter().collect::<Vec<_>>()).await?;
    // One after the other they would take 15 s.
    ensure!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    ensure!(watched.asked() == asked + 50, "each is asked about once");
    let seen = watched.seen().await?;
    ensure!(seen.iter().filter(|it| it.starts_with("one of many")).count() == 50, "{seen:?}");
    watched.watcher.peer.sign_by(&watched.key, version);
    Ok(())
}

/// While it is away nobody speaks, but whoever wants may go, until somebody with power over the room says that it has none.
async fn away(watched: &mut Watched) -> Result<()> {
    let sign = |watched: &Watched, text: &str| -> Result<Pdu> {
        let pdu = watched.said(text)?;
        Ok(Pdu { json: watched.key.signed(watched.version, &pdu.json)?, ..pdu })
    };
    let (signed, unsigned) = (sign(watched, "signed before")?, watched.said("never signed")?);
    let (http, version) = (watched.node.http(), watched.version);
    let dan = Client::register(http, &format!("dan{version}")).await?;
    dan.join(&watched.room).await?;
    watched.watcher.peer.stop().await;
    // Nobody is held by it.
    dan.post(&format!("/_matrix/client/v3/rooms/{}/leave", watched.room), &json!({})).await?;
    let shown = state(&watched.ann, &watched.room, &format!("m.room.member/{}", dan.id())).await?;
    ensure!(shown.is_some_and(|it| it["membership"] == "leave"), "somebody could not go");
    watched.hand_over(&[&signed, &unsigned]).await?;
    let seen = watched.seen().await?;
    ensure!(seen.contains(&"signed before".to_owned()), "{seen:?}");
    ensure!(!seen.contains(&"never signed".to_owned()), "{seen:?}");
    refused(say(&watched.ann, &watched.room, "anybody?", "a").await, 502, "M_UNKNOWN")?;
    set(&watched.ann, &watched.room, POLICY, json!({})).await?;
    watched.ann.say(&watched.room, "by ourselves").await?;
    let unsigned = watched.said("by themselves")?;
    watched.hand_over(&[&unsigned]).await?;
    let seen = watched.seen().await?;
    ensure!(seen[..2] == ["by themselves", "by ourselves"], "{seen:?}");
    // It is asked again at once when somebody here waits for it, however long it was away.
    watched.watcher.peer.restart().await?;
    set(&watched.ann, &watched.room, POLICY, watched.key.policy()).await?;
    let back = watched.ann.say(&watched.room, "it is back").await?;
    watched.key.check(watched.version, &watched.told(&back).await?)
}

/// Who is not in the room does not look over it, and neither does one that is not named properly.
async fn none(watched: &mut Watched) -> Result<()> {
    let stranger = watched.town.peer()?.start().await?;
    let strange = stranger.look_over(watched.version)?;
    let via = watched.watcher.peer.server_name().to_owned();
    let own = watched.node.destination().name;
    let key = watched.key.policy()["public_keys"]["ed25519"].clone();
    let asked = watched.asked();
    for (at, policy) in [
        strange.policy(),
        json!({ "via": via }),
        json!({ "via": via, "public_keys": {} }),
        json!({ "via": via, "public_keys": { "ed25519": 5 } }),
        json!({ "via": via, "public_keys": [key] }),
        json!({ "via": [via], "public_keys": { "ed25519": key } }),
        json!({ "via": "no server at all", "public_keys": { "ed25519": key } }),
        json!({ "public_keys": { "ed25519": key } }),
        json!({ "via": own, "public_keys": { "ed25519": key } }),
    ]
    .into_iter()
    .enumerate()
    {
        set(&watched.ann, &watched.room, POLICY, policy.clone()).await?;
        let text = format!("spam {at}");
        watched.ann.say(&watched.room, &text).await.with_context(|| policy.to_string())?;
        let pdu = watched.said(&format!("their spam {at}"))?;
        watched.hand_over(&[&pdu]).await?;
        let seen = watched.seen().await?;
        ensure!(seen[..2] == [format!("their spam {at}"), text], "{policy}: {seen:?}");
    }
    ensure!(watched.asked() == asked && stranger.requests().is_empty(), "somebody is asked");
    // A key that is none signs nothing, so nothing is said.
    let policy = json!({ "via": via, "public_keys": { "ed25519": "none" } });
    set(&watched.ann, &watched.room, POLICY, policy).await?;
    refused(say(&watched.ann, &watched.room, "ham", "k").await, 502, "M_UNKNOWN")?;
    // It goes, and does not look over the room any more.
    set(&watched.ann, &watched.room, POLICY, watched.key.policy()).await?;
    let Guest { peer, to, room, mallory, .. } = &watched.watcher;
    let leave = json!({ "membership": "leave" });
    let leave = room.seal(&room.draft(mallory, "m.room.member", Some(mallory), &leave)?)?;
    let answer = peer.transact(to, &[&leave], &[]).await?;
    ensure!(answer.json()["pdus"][&leave.id] == json!({}), "{}", answer.short());
    let asked = watched.asked();
    watched.ann.say(&watched.room, "spam for all").await?;
    ensure!(watched.asked() == asked, "one that has left is asked");
    Ok(())
}

async fn looked_over(engine: Engine, version: &'static str) -> Result<()> {
    let Some(mut watched) = Watched::begin(engine, version).await? else { return Ok(()) };
    spoken_here(&watched).await.context("spoken here")?;
    spoken_elsewhere(&mut watched).await.context("spoken elsewhere")?;
    many_at_once(&mut watched).await.context("many at once")?;
    away(&mut watched).await.context("away")?;
    none(&mut watched).await.context("none")?;
    set(&watched.ann, &watched.room, POLICY, json!({})).await?;
    watched.end().await
}

#[tokio::test]
async fn a_policy_server_looks_over_rooms_of_version_10() -> Result<()> {
    looked_over(Engine::Sqlite, "10").await
}

#[tokio::test]
async fn a_policy_server_looks_over_rooms_of_version_11() -> Result<()> {
    looked_over(Engine::Sqlite, "11").await
}

#[tokio::test]
async fn a_policy_server_looks_over_rooms_on_postgres() -> Result<()> {
    looked_over(Engine::Postgres, "12").await
}

#[tokio::test]
async fn a_room_with_a_policy_server_moves_to_newer_rules() -> Result<()> {
    for (version, to) in [("10", "12"), ("11", "10"), ("12", "12")] {
        let watched = Watched::begin(Engine::Sqlite, version).await?;
        let Some(watched) = watched else { return Ok(()) };
        moved(&watched, to).await.with_context(|| format!("from {version} to {to}"))?;
        watched.end().await?;
    }
    Ok(())
}

/// Whatever a policy server answers, its room is not broken by it, and nothing is said unsigned.
#[tokio::test]
async fn hostile_policy_servers_are_endured() -> Result<()> {
    let Some(watched) = Watched::begin(Engine::Sqlite, "12").await? else { return Ok(()) };
    let (peer, ann, room) = (&watched.watcher.peer, &watched.ann, &watched.room);
    let (name, other) = (peer.server_name().to_owned(), watched.town.peer()?.start().await?);
    let stolen = PolicyKey::generate(&name)?.sign("12", &watched.said("ham")?.json)?;
    let odd = |value: Value| PeerReply::json(&json!({ &name: { "ed25519:policy_server": value } }));
    let landing = format!("{}{SIGN}", other.destination().url.as_str().trim_end_matches('/'));
    let redirect = |to: &str| PeerReply::json(&json!({})).status(307).header("location", to);
    let refusal = |status, code| PeerReply::refusal(status, code, "no");
    let cases = [
        ("empty", PeerReply::json(&json!({})), 403, "M_FORBIDDEN"),
        ("no object", PeerReply::json(&json!([])), 502, "M_UNKNOWN"),
        ("no JSON", PeerReply::bytes("application/json", b"{\"a".to_vec()), 502, "M_UNKNOWN"),
        ("giant", odd(json!("A".repeat(1_000_000))), 502, "M_UNKNOWN"),
        ("a number", odd(json!(5)), 403, "M_FORBIDDEN"),
        ("no base64", odd(json!("?")), 502, "M_UNKNOWN"),
        ("short", odd(json!("AAAA")), 502, "M_UNKNOWN"),
        ("by another key", PeerReply::json(&stolen), 502, "M_UNKNOWN"),
        ("signing out", refusal(401, "M_UNKNOWN_TOKEN"), 502, "M_UNKNOWN"),
        ("signing out, differently", refusal(400, "M_UNKNOWN_TOKEN"), 403, "M_FORBIDDEN"),
        ("unknown", refusal(404, "M_UNRECOGNIZED"), 502, "M_UNKNOWN"),
        ("failing", refusal(500, "M_FORBIDDEN"), 502, "M_UNKNOWN"),
        ("slow down", refusal(429, "M_LIMIT_EXCEEDED"), 429, "M_LIMIT_EXCEEDED"),
        ("elsewhere", redirect(&landing), 502, "M_UNKNOWN"),
        ("into the machine", redirect("http://localhost/"), 502, "M_UNKNOWN"),
    ];
    for (what, reply, status, code) in cases {
        peer.answer(Method::POST, SIGN, move |_| reply.clone());
        let told = say(ann, room, what, &escaped(what)).await;
        refused(told, status, code).context(what)?;
        let seen = watched.seen().await?;
        ensure!(seen.is_empty(), "{what}: {seen:?}");
    }
    ensure!(other.requests().is_empty(), "a policy server sends this node elsewhere");
    // One that drips holds up neither people nor other servers for ever.
    peer.answer(Method::POST, SIGN, |_| {
        let body = b"{\"slow\": \"answers take all the time that they are given\"}".to_vec();
        PeerReply::bytes("application/json", body).dripping(1, Duration::from_secs(1))
    });
    let begun = Instant::now();
    watched.hand_over(&[&watched.said("dripped")?]).await?;
    ensure!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    ensure!(watched.seen().await?.is_empty());
    peer.sign_by(&watched.key, "12");
    ann.say(room, "all is well").await?;
    // The node itself is none, and says so.
    let (to, event) = (&watched.guest.to, watched.said("ham")?.json);
    let asked = peer.ask(to, Method::POST, SIGN, Some(&event)).await?;
    ensure!(asked.status == 404 && asked.errcode() == "M_UNRECOGNIZED", "{}", asked.short());
    let known = ann.get("/.well-known/matrix/policy_server").await;
    refused(known, 404, "M_UNRECOGNIZED")?;
    watched.end().await
}

/// Waits until somebody is invited.
async fn invited(ear: &mut Ear, room: &RoomId) -> Result<()> {
    comes_true("an invitation", async || {
        let news = ear.now().await?;
        Ok(!list(part(&news, room, "invite/invite_state")).is_empty())
    })
    .await
}

/// Waits until somebody is shown what was said.
async fn reads(who: &Client, room: &RoomId, text: &str) -> Result<()> {
    comes_true(text, async || {
        Ok(bodies(&who.messages(room, None, 50).await?.0).contains(&text.to_owned()))
    })
    .await
}

/// Synapse asks too, and both believe what was signed for the other.
async fn among_others(pair: &Pair, version: &'static str) -> Result<()> {
    let Pair { node, ann, sam, town, .. } = pair;
    let request = json!({ "preset": "private_chat", "room_version": version });
    let room = ann.create_room(&request).await?;
    let rule = json!({ "join_rule": "public" });
    set(ann, &room, "m.room.join_rules", rule).await?;
    let peer = town.peer()?.start().await?;
    let key = peer.look_over(version)?;
    let watcher = Guest::come(peer, node, room.as_str(), version).await?;
    set(ann, &room, POLICY, key.policy()).await?;
    // An invitation that a client writes as state is one: signed by the policy server and by Synapse.
    let mut sam_hears = Ear::of(sam).await?;
    let member = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{}", sam.id());
    unwanted(ann.put(&member, &json!({ "membership": "invite", "reason": "spam" })).await)?;
    let invitation = json!({ "membership": "invite", "displayname": "Sam", "reason": "why not" });
    let made = ann.put(&member, &invitation).await?;
    invited(&mut sam_hears, &room).await?;
    let told = watcher.peer.event(|it| it["state_key"] == sam.id()).await?;
    key.check(version, &told)?;
    ensure!(told["signatures"].get(pair.other.server_name()).is_some(), "{told}");
    ensure!(told["content"] == invitation, "{told}");
    ensure!(ann.put(&member, &invitation).await? == made, "the same is another invitation");
    sam.join_through(&room, &node.destination().name).await?;
    for (who, whom, text) in [(ann, sam, "to s"), (sam, ann, "to a")] {
        who.say(&room, text).await?;
        reads(whom, &room, text).await?;
        key.check(version, &watcher.peer.event(is_said(text)).await?)?;
    }
    for who in [ann, sam] {
        unwanted(say(who, &room, "spam", "s").await).with_context(|| who.id().to_owned())?;
    }
    // What is signed by nobody it does not show either: both soft-fail the same.
    let Guest { peer, room: graph, mallory, .. } = &watcher;
    let spam = json!({ "body": "spam" });
    let spam = graph.seal(&graph.draft(mallory, "m.room.message", None, &spam)?)?;
    for to in [node.destination(), pair.other.destination()] {
        peer.transact(&to, &[&spam], &[]).await?;
    }
    ann.say(&room, "at last").await?;
    for who in [ann, sam] {
        reads(who, &room, "at last").await?;
        let seen = bodies(&who.messages(&room, None, 50).await?.0);
        ensure!(!seen.contains(&"spam".to_owned()), "{}: {seen:?}", who.id());
    }
    Ok(())
}

#[tokio::test]
async fn a_policy_server_among_other_servers() -> Result<()> {
    let Some(mut pair) = Pair::meet(Engine::Sqlite).await? else { return Ok(()) };
    for version in VERSIONS {
        among_others(&pair, version).await.with_context(|| format!("version {version}"))?;
    }
    try_join!(pair.node.stop(), pair.other.stop())?;
    Ok(())
}
