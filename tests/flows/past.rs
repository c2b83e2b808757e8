//! What was said in a room of another server before anybody of this node was in it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::try_join;
use wayside_tests::{Client, Engine, Pdu, Peer, PeerReply, PeerRoom, RoomId, Town};

use crate::{
    abroad::Abroad,
    pair::Pair,
    stage::{Deeds, VERSIONS, bodies, comes_true, list},
};

/// Messages before anybody of the node comes: more than one answer of a server holds.
const SAID: usize = 130;

/// All that somebody is shown of a room, the newest first, page by page.
pub(crate) async fn all(who: &Client, room: &RoomId, limit: usize) -> Result<Vec<Value>> {
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let (page, end) = who.messages(room, from.as_ref(), limit).await?;
        let is_empty = page.is_empty();
        found.extend(page);
        from = end;
        if from.is_none() || is_empty {
            return Ok(found);
        }
    }
}

/// A room of Synapse with a past, read by people of the node who come later.
async fn read_back(pair: &Pair, version: &str) -> Result<()> {
    let (ann, sam) = (&pair.ann, &pair.sam);
    let request = json!({ "preset": "public_chat", "room_version": version, "name": "Old" });
    let room = sam.create_room(&request).await?;
    let mut regretted = None;
    for number in 0..SAID {
        let said = sam.say(&room, &format!("n{number}")).await?;
        if number == 7 {
            regretted = Some(said);
        }
        if number == SAID / 2 {
            let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.topic");
            sam.put(&path, &json!({ "topic": "in the middle" })).await?;
        }
    }
    let regretted = regretted.context("it was said")?;
    let path = format!("/_matrix/client/v3/rooms/{room}/redact/{regretted}/r");
    sam.put(&path, &json!({})).await?;
    ann.join_through(&room, &pair.other.server_name()).await?;
    let seen = all(ann, &room, 40).await?;
    let mut said: Vec<String> = (0..SAID).map(|number| format!("n{number}")).collect();
    said.retain(|text| text != "n7");
    said.reverse();
    ensure!(bodies(&seen) == said, "{:?}", bodies(&seen));
    let last = seen.last().context("an event")?;
    ensure!(last["type"] == "m.room.create", "{last}");
    let emptied = seen.iter().find(|it| it["event_id"] == regretted.as_str());
    let emptied = emptied.context("the event that was redacted")?;
    ensure!(emptied["content"] == json!({}), "{emptied}");
    let topic = seen.iter().position(|it| it["type"] == "m.room.topic").context("a topic")?;
    let middle = seen.iter().position(|it| it["content"]["body"] == format!("n{}", SAID / 2));
    ensure!(middle.is_some_and(|middle| middle == topic + 1), "the topic stands elsewhere");
    // It is here now, in the same order and for everybody.
    let bob = Client::register(pair.node.http(), &format!("bob{version}")).await?;
    bob.join(&room).await?;
    let ids = |events: &[Value]| events.iter().map(|it| it["event_id"].clone()).collect::<Vec<_>>();
    let again = all(&bob, &room, 100).await?;
    ensure!(ids(&again)[1..] == ids(&seen)[..], "another past: {:?}", bodies(&again));
    // What is said from now on stands at the other end.
    let now = ann.say(&room, "now").await?;
    let (newest, _) = bob.messages(&room, None, 1).await?;
    ensure!(newest[0]["event_id"] == now.as_str(), "{newest:?}");
    // Around something of before there is what was around it.
    let path = format!("/_matrix/client/v3/rooms/{room}/context/{regretted}?limit=4");
    let around = ann.get(&path).await?;
    ensure!(bodies(&list(&around["events_after"])) == ["n8", "n9"], "{around}");
    ensure!(bodies(&list(&around["events_before"])) == ["n6", "n5"], "{around}");
    Ok(())
}

/// A room whose past is only for those who were in it.
async fn kept_from_who_comes_later(pair: &Pair) -> Result<()> {
    let request = json!({
        "preset": "public_chat", "room_version": "12",
        "initial_state": [{
            "type": "m.room.history_visibility", "state_key": "",
            "content": { "history_visibility": "joined" },
        }],
    });
    let room = pair.sam.create_room(&request).await?;
    for text in ["secret 1", "secret 2"] {
        pair.sam.say(&room, text).await?;
    }
    pair.ann.join_through(&room, &pair.other.server_name()).await?;
    pair.ann.say(&room, "hello").await?;
    let seen = all(&pair.ann, &room, 10).await?;
    ensure!(bodies(&seen) == ["hello"], "{:?}", bodies(&seen));
    Ok(())
}

/// A room that everybody of the node leaves for a while: what was said meanwhile stands where it was said.
async fn came_back(pair: &Pair, version: &str) -> Result<()> {
    let (ann, sam) = (&pair.ann, &pair.sam);
    let own = ann.session().user_id.as_str();
    let request = json!({ "preset": "public_chat", "room_version": version });
    let room = sam.create_room(&request).await?;
    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=1");
    ann.join_through(&room, &pair.other.server_name()).await?;
    let first = sam.say(&room, "first").await?;
    comes_true("ann hears of it", async || {
        Ok(ann.get(&path).await?["chunk"][0]["event_id"] == first.as_str())
    })
    .await?;
    let synced = ann.get("/_matrix/client/v3/sync?timeout=0").await?;
    let since = synced["next_batch"].as_str().context("a token")?.to_owned();
    ann.post(&format!("/_matrix/client/v3/rooms/{room}/leave"), &json!({})).await?;
    comes_true("sam hears that ann is gone", async || {
        let members = sam.get(&format!("/_matrix/client/v3/rooms/{room}/joined_members")).await?;
        Ok(members["joined"].as_object().is_some_and(|joined| joined.len() == 1))
    })
    .await?;
    let mut said: Vec<String> = (0..SAID).map(|number| format!("m{number}")).collect();
    for text in &said {
        sam.say(&room, text).await?;
    }
    ann.join_through(&room, &pair.other.server_name()).await?;
    ann.say(&room, "last").await?;
    said.insert(0, "first".to_owned());
    said.push("last".to_owned());
    said.reverse();
    // What is told of the room ends where something is missing, so that it is asked for from there.
    let path = format!("/_matrix/client/v3/sync?timeout=0&since={since}");
    let synced = ann.get(&path).await?;
    let timeline = &synced["rooms"]["join"][room.as_str()]["timeline"];
    ensure!(timeline["limited"] == true, "{timeline}");
    let told = list(&timeline["events"]);
    ensure!(bodies(&told) == ["last"], "{timeline}");
    ensure!(told[0]["state_key"] == own, "{timeline}");
    let from = timeline["prev_batch"].as_str().context("a token")?;
    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=3&from={from}");
    let page = ann.get(&path).await?;
    ensure!(bodies(&list(&page["chunk"])) == said[1..4], "{page}");
    let seen = all(ann, &room, 40).await?;
    ensure!(bodies(&seen) == said, "{:?}", bodies(&seen));
    let goings = seen.iter().filter(|it| it["state_key"] == own);
    let goings: Vec<&str> = goings.filter_map(|it| it["content"]["membership"].as_str()).collect();
    ensure!(goings == ["join", "leave", "join"], "{goings:?}");
    Ok(())
}

async fn past_of_synapse(engine: Engine, versions: &[&str]) -> Result<()> {
    let Some(mut pair) = Pair::meet(engine).await? else { return Ok(()) };
    for version in versions {
        read_back(&pair, version).await.with_context(|| format!("version {version}"))?;
        came_back(&pair, version).await.with_context(|| format!("version {version}"))?;
    }
    kept_from_who_comes_later(&pair).await?;
    try_join!(pair.node.stop(), pair.other.stop())?;
    Ok(())
}

#[tokio::test]
async fn who_comes_later_reads_what_was_said_before_on_sqlite() -> Result<()> {
    past_of_synapse(Engine::Sqlite, &VERSIONS).await
}

#[tokio::test]
async fn who_comes_later_reads_what_was_said_before_on_postgres() -> Result<()> {
    past_of_synapse(Engine::Postgres, &VERSIONS[2..]).await
}

/// A room of a peer in which something was said, as the peer tells it.
pub(crate) struct Told {
    pub(crate) peer: Arc<Peer>,
    pub(crate) version: &'static str,
    pub(crate) id: String,
    pub(crate) events: Vec<Value>,
}

impl Told {
    fn of(peer: Arc<Peer>, version: &'static str, messages: usize) -> Result<(Self, PeerRoom)> {
        let owner = peer.user("mallory");
        let mut room = PeerRoom::create(&peer, version, &owner)?;
        for number in 0..messages {
            let content = json!({ "body": format!("n{number}") });
            room.send(&owner, "m.room.message", None, &content)?;
        }
        let events = room.events().iter().map(|it| it.json.clone()).collect();
        Ok((Self { peer, version, id: room.id().to_owned(), events }, room))
    }

    /// The room as it was with its first events only.
    fn until(&self, count: usize) -> Result<PeerRoom> {
        let events = self.events.iter().take(count).cloned().collect();
        PeerRoom::told(&self.peer, self.version, &self.id, events)
    }

    /// Has the peer tell the state before any of its events, truly.
    pub(crate) fn tell_states(self: &Arc<Self>) -> Result<()> {
        let ids: Vec<String> =
            self.until(self.events.len())?.events().iter().map(|it| it.id.clone()).collect();
        let told = Arc::clone(self);
        self.peer.answer(Method::GET, "/_matrix/federation/v1/state_ids/", move |request| {
            let query = request.path.split('?').nth(1).unwrap_or_default();
            // Without its first letter, which is escaped there.
            let Some(at) = ids.iter().position(|id| query.contains(&id[1..])) else {
                return PeerReply::refusal(404, "M_NOT_FOUND", "no such event");
            };
            let Ok(before) = told.until(at) else {
                return PeerReply::refusal(500, "M_UNKNOWN", "no such room");
            };
            let ids = |events: Vec<&Pdu>| events.iter().map(|it| it.id.clone()).collect::<Vec<_>>();
            PeerReply::json(&json!({
                "pdu_ids": ids(before.state()), "auth_chain_ids": ids(before.auth_chain()),
            }))
        });
        Ok(())
    }

    /// Has it answer whoever asks for what was before.
    pub(crate) fn tell_past(&self, pdus: Vec<Value>) {
        self.peer.answer(Method::GET, "/_matrix/federation/v1/backfill/", move |_| {
            PeerReply::json(&json!({ "origin": "o", "origin_server_ts": 1, "pdus": pdus }))
        });
    }
}

/// A past in which a peer lies: what is no part of the room is not shown, and the room goes on.
async fn doubtful(abroad: &Abroad, version: &'static str) -> Result<()> {
    let peer = Arc::new(abroad.town.peer()?.start().await?);
    let (told, room) = Told::of(Arc::clone(&peer), version, 12)?;
    let (foreign, _) = Told::of(Arc::clone(&peer), version, 3)?;
    let told = Arc::new(told);
    let loose = room.seal(&room.draft(
        &peer.user("mallory"),
        "m.room.message",
        None,
        &json!({ "body": "named by nobody" }),
    )?)?;
    let _hosted = peer.host(room);
    let ann = &abroad.ann;
    let here = RoomId::known(&told.id);
    ann.join_through(&here, peer.server_name()).await?;
    told.tell_states()?;
    let newest: Vec<Value> = told.events[told.events.len() - 4..].to_vec();
    told.tell_past([newest, foreign.events, vec![loose.json, json!(7)]].concat());
    let seen = all(ann, &here, 3).await?;
    ensure!(bodies(&seen) == ["n11", "n10", "n9", "n8"], "{:?}", bodies(&seen));
    ann.say(&here, "goes on").await?;
    peer.event(|it| it["content"]["body"] == "goes on").await?;
    Ok(())
}

/// An answer in which something is not proven.
async fn unproven(abroad: &Abroad, version: &'static str) -> Result<()> {
    for (what, shown) in [
        ("a content that is not the event's", vec!["n5", "n4", "n3", "n2", "n1", "n0"]),
        ("no signature", vec!["n6", "n4", "n3", "n2", "n1", "n0"]),
    ] {
        let peer = Arc::new(abroad.town.peer()?.start().await?);
        let (told, room) = Told::of(Arc::clone(&peer), version, 7)?;
        let told = Arc::new(told);
        let _hosted = peer.host(room);
        let here = RoomId::known(&told.id);
        abroad.ann.join_through(&here, peer.server_name()).await?;
        told.tell_states()?;
        let mut events = told.events.clone();
        let count = events.len();
        match what {
            "no signature" => events[count - 2]["signatures"] = json!({}),
            _ => events[count - 1]["content"]["body"] = json!("forged"),
        }
        told.tell_past(events);
        let seen = all(&abroad.ann, &here, 4).await?;
        ensure!(bodies(&seen) == shown, "{what}: {:?}", bodies(&seen));
    }
    Ok(())
}

/// A peer that tells nothing is not asked all the time; what is here is shown.
async fn silent(abroad: &Abroad, version: &'static str) -> Result<()> {
    let peer = Arc::new(abroad.town.peer()?.start().await?);
    let (told, room) = Told::of(Arc::clone(&peer), version, 2)?;
    let _hosted = peer.host(room);
    let here = RoomId::known(&told.id);
    abroad.ann.join_through(&here, peer.server_name()).await?;
    peer.answer(Method::GET, "/_matrix/federation/v1/backfill/", |_| {
        PeerReply::refusal(500, "M_UNKNOWN", "no")
    });
    for _ in 0..3 {
        let (seen, end) = abroad.ann.messages(&here, None, 10).await?;
        ensure!(seen.len() == 1 && end.is_some(), "{seen:?}");
    }
    let asked = peer.requests();
    let asked = asked.iter().filter(|it| it.target().contains("/backfill/")).count();
    ensure!(asked == 1, "asked {asked} times");
    Ok(())
}

#[tokio::test]
async fn what_a_server_tells_of_before_has_to_prove_itself() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    for version in VERSIONS {
        doubtful(&abroad, version).await.with_context(|| format!("doubtful, {version}"))?;
        unproven(&abroad, version).await.with_context(|| format!("unproven, {version}"))?;
        silent(&abroad, version).await.with_context(|| format!("silent, {version}"))?;
    }
    abroad.end().await
}

/// A redaction that comes before what it redacts.
#[tokio::test]
async fn what_was_taken_back_before_it_came_comes_empty() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let abroad = Abroad::begin_in(town, |options| options).await?;
    for version in VERSIONS {
        let request = json!({ "preset": "public_chat", "room_version": version });
        let room = abroad.ann.create_room(&request).await?;
        let peer = abroad.town.peer()?.start().await?;
        let mut guest =
            crate::hostile_servers::Guest::come(peer, &abroad.node, room.as_str(), version).await?;
        let mallory = guest.peer.user("mallory");
        let join = guest.join.id.clone();
        let said = guest.room.send(&mallory, "m.room.message", None, &json!({ "body": "oh" }))?;
        let redacts = match version {
            "10" => json!({}),
            _ => json!({ "redacts": said.id }),
        };
        let mut taken = guest.room.draft(&mallory, "m.room.redaction", None, &redacts)?;
        if version == "10" {
            taken["redacts"] = json!(said.id);
        }
        // On a branch of its own, so that it can be here before what it is about.
        taken["prev_events"] = json!([join]);
        let taken = guest.room.seal(&taken)?;
        let to = abroad.node.destination();
        for event in [&taken, &said] {
            let answer = guest.peer.transact(&to, &[event], &[]).await?;
            ensure!(answer.json()["pdus"][&event.id] == json!({}), "{}", answer.short());
        }
        comes_true("it is here and empty", async || {
            let (events, _) = abroad.ann.messages(&room, None, 10).await?;
            let found = events.iter().find(|it| it["event_id"] == said.id);
            Ok(found.is_some_and(|it| it["content"] == json!({})))
        })
        .await?;
    }
    abroad.end().await
}
