//! Servers that let a node into their rooms, and lie about them.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{Address, Engine, Pdu, Peer, PeerReply, PeerRoom, RoomId, Town};

use crate::{
    abroad::Abroad,
    hostile_servers::Guest,
    shared_rooms::state,
    stage::{Deeds, VERSIONS, bodies, comes_true},
};

/// Servers that say nothing, and less than it would take to wait for four of them one after the other.
const SILENT: usize = 24;
const ALL_SILENT: Duration = Duration::from_secs(30);

/// What a host makes of a true answer.
type Lie = Box<dyn Fn(&mut Value) + Send + Sync>;

/// Comes into the room by way of the peer.
async fn come(
    abroad: &Abroad,
    peer: &Peer,
    room: &PeerRoom,
) -> Result<(), wayside_tests::CallError> {
    let path = format!("/_matrix/client/v3/join/{}?via={}", room.id(), peer.server_name());
    abroad.ann.post(&path, &json!({})).await.map(drop)
}

/// A room of somebody of the peer, who has given it a topic.
fn cabin(peer: &Peer, version: &str, who: &str) -> Result<PeerRoom> {
    let owner = peer.user(who);
    let mut room = PeerRoom::create(peer, version, &owner)?;
    room.send(&owner, "m.room.topic", Some(""), &json!({ "topic": "true" }))?;
    Ok(room)
}

fn jsons(events: &[&Pdu]) -> Vec<Value> {
    events.iter().map(|event| event.json.clone()).collect()
}

/// How a host answers `send_join`, bent by a lie.
fn bent(peer: &Peer, room: &PeerRoom, lie: impl Fn(&mut Value) + Send + Sync + 'static) {
    let (state, chain) = (jsons(&room.state()), jsons(&room.auth_chain()));
    let origin = peer.server_name().to_owned();
    let door = format!("/_matrix/federation/v2/send_join/{}/", room.id());
    peer.answer(Method::PUT, &door, move |request| {
        let mut answer = json!({
            "origin": origin, "state": state, "auth_chain": chain, "event": request.json(),
            "members_omitted": false,
        });
        lie(&mut answer);
        PeerReply::json(&answer)
    });
}

/// What no room may be begun by: nobody comes in, and nothing of it is kept that others would see.
async fn false_rooms(abroad: &Abroad, version: &str) -> Result<()> {
    let peer = abroad.town.peer()?.start().await?;
    let room = cabin(&peer, version, "mallory")?;
    let _hosted = peer.host(PeerRoom::told(
        &peer,
        version,
        room.id(),
        room.events().iter().map(|it| it.json.clone()).collect(),
    )?);
    let second = room.seal(&room.draft(
        &peer.user("mallory"),
        "m.room.join_rules",
        Some(""),
        &json!({ "join_rule": "public", "second": true }),
    )?)?;
    let closed = room.seal(&room.draft(
        &peer.user("mallory"),
        "m.room.join_rules",
        Some(""),
        &json!({ "join_rule": "invite" }),
    )?)?;
    let of_kind = |kind: &'static str| move |it: &Value| it["type"] == kind;
    let without = move |answer: &mut Value, list: &str, is_it: &dyn Fn(&Value) -> bool| {
        if let Some(list) = answer[list].as_array_mut() {
            list.retain(|it| !is_it(it));
        }
    };
    let lies: Vec<(&str, Lie)> = vec![
        (
            "without how it was made",
            Box::new(move |answer| {
                without(answer, "state", &of_kind("m.room.create"));
                without(answer, "auth_chain", &of_kind("m.room.create"));
            }),
        ),
        ("no state", Box::new(|answer| answer["state"] = json!([]))),
        ("no lists", Box::new(|answer| answer["state"] = json!("none"))),
        (
            "two entries for one place",
            Box::new(move |answer| {
                let list = answer["state"].as_array_mut().into_iter();
                list.for_each(|list| list.push(second.json.clone()));
            }),
        ),
        (
            "a state that lets nobody in",
            Box::new(move |answer| {
                without(answer, "state", &of_kind("m.room.join_rules"));
                let list = answer["state"].as_array_mut().into_iter();
                list.for_each(|list| list.push(closed.json.clone()));
            }),
        ),
        ("without its members", Box::new(|answer| answer["members_omitted"] = json!(true))),
        ("by another event", Box::new(|answer| answer["event"] = answer["state"][0].clone())),
        (
            "unsigned",
            Box::new(|answer| {
                for list in ["state", "auth_chain"] {
                    for event in answer[list].as_array_mut().into_iter().flatten() {
                        event["signatures"] = json!({});
                    }
                }
            }),
        ),
    ];
    for (what, lie) in lies {
        bent(&peer, &room, lie);
        ensure!(come(abroad, &peer, &room).await.is_err(), "{what}: it is believed");
        let joined = abroad.ann.get("/_matrix/client/v3/joined_rooms").await?;
        ensure!(!joined.to_string().contains(room.id()), "{what}: {joined}");
    }
    Ok(())
}

/// Templates that say something else than what was asked for.
async fn false_templates(abroad: &Abroad, version: &'static str) -> Result<()> {
    let peer = abroad.town.peer()?.start().await?;
    let room = cabin(&peer, version, "mallory")?;
    let ann = abroad.ann.id().to_owned();
    let right = room.draft(&ann, "m.room.member", Some(&ann), &json!({ "membership": "join" }))?;
    let path = format!("/_matrix/federation/v1/make_join/{}/", room.id());
    let changes: Vec<(&str, Value)> = vec![
        ("sender", json!(peer.user("mallory"))),
        ("state_key", json!(peer.user("mallory"))),
        ("room_id", json!("!another:room.test")),
        ("type", json!("m.room.message")),
        ("content", json!({ "membership": "ban" })),
        ("content", json!("none")),
        ("prev_events", json!([])),
        ("prev_events", json!(vec!["$x"; 30])),
        ("auth_events", json!(vec!["$x"; 30])),
        ("depth", json!(0)),
        ("depth", json!(-5)),
        ("depth", json!("deep")),
    ];
    for (field, value) in changes {
        let mut event = right.clone();
        event[field] = value.clone();
        peer.answer(Method::GET, &path, move |_| {
            PeerReply::json(&json!({ "room_version": version, "event": event }))
        });
        ensure!(come(abroad, &peer, &room).await.is_err(), "{field} {value}: it is signed");
        let sent = peer.requests().iter().any(|it| it.target().contains("send_join"));
        ensure!(!sent, "{field} {value}: it was handed on");
    }
    for unknown in [json!("99"), json!("1"), json!(null), json!(12)] {
        let event = right.clone();
        let told = unknown.clone();
        peer.answer(Method::GET, &path, move |_| {
            PeerReply::json(&json!({ "room_version": told, "event": event }))
        });
        ensure!(come(abroad, &peer, &room).await.is_err(), "version {unknown}");
    }
    peer.answer(Method::GET, &path, |_| PeerReply::bytes("application/json", vec![b' '; 1 << 20]));
    ensure!(come(abroad, &peer, &room).await.is_err(), "a megabyte of nothing");
    Ok(())
}

/// What does not prove itself is left out, and the rest of the room stands.
async fn half_true(abroad: &Abroad, version: &str) -> Result<()> {
    let peer = abroad.town.peer()?.start().await?;
    let room = cabin(&peer, version, "mallory")?;
    let events = room.events().iter().map(|it| it.json.clone()).collect();
    let _hosted = peer.host(PeerRoom::told(&peer, version, room.id(), events)?);
    let foreign = cabin(&peer, version, "eve")?;
    let foreign = foreign.seal(&foreign.draft(
        &peer.user("eve"),
        "m.room.name",
        Some(""),
        &json!({ "name": "of another room" }),
    )?)?;
    bent(&peer, &room, move |answer| {
        for event in answer["state"].as_array_mut().into_iter().flatten() {
            if event["type"] == "m.room.topic" {
                event["signatures"] = json!({});
            }
        }
        let list = answer["state"].as_array_mut().into_iter();
        list.for_each(|list| list.push(foreign.json.clone()));
    });
    come(abroad, &peer, &room).await?;
    let here = RoomId::known(room.id());
    ensure!(state(&abroad.ann, &here, "m.room.topic/").await?.is_none(), "an unsigned topic");
    ensure!(state(&abroad.ann, &here, "m.room.name/").await?.is_none(), "a name of another room");
    ensure!(state(&abroad.ann, &here, "m.room.join_rules/").await?.is_some(), "no rule");
    abroad.ann.say(&here, "heard").await?;
    peer.event(|it| it["content"]["body"] == "heard").await?;
    Ok(())
}

/// A room of the node with a peer in it, who has said two things one after the other and told neither.
async fn broken(abroad: &Abroad, version: &str) -> Result<(RoomId, Guest, [Pdu; 2])> {
    let request = json!({ "preset": "public_chat", "room_version": version });
    let room = abroad.ann.create_room(&request).await?;
    let peer = abroad.town.peer()?.start().await?;
    let mut guest = Guest::come(peer, &abroad.node, room.as_str(), version).await?;
    let mallory = guest.peer.user("mallory");
    let lost = guest.room.send(&mallory, "m.room.message", None, &json!({ "body": "lost" }))?;
    let behind = guest.room.send(&mallory, "m.room.message", None, &json!({ "body": "behind" }))?;
    Ok((room, guest, [lost, behind]))
}

/// An event behind a hole that nobody fills stands by the state that its server tells, if that proves
/// itself.
async fn holes(abroad: &Abroad, version: &str) -> Result<()> {
    let (room, guest, [lost, behind]) = broken(abroad, version).await?;
    let to = abroad.node.destination();
    let seen = async |text: &str| -> Result<bool> {
        let (events, _) = abroad.ann.messages(&room, None, 100).await?;
        Ok(bodies(&events).contains(&text.to_owned()))
    };
    // Nobody tells anything: it waits for nothing, and is not shown.
    let answer = guest.peer.transact(&to, &[&behind], &[]).await?;
    ensure!(answer.json()["pdus"][&behind.id]["error"].is_string(), "{}", answer.short());
    ensure!(!seen("behind").await?, "it stands before nothing");
    // A state that names what nobody has is none.
    let ids = |events: &[&Pdu]| events.iter().map(|it| it.id.clone()).collect::<Vec<_>>();
    let (state, chain) = (ids(&guest.room.state()), ids(&guest.room.auth_chain()));
    let path = "/_matrix/federation/v1/state_ids/";
    let never = "$neverheardofneverheardofneverheardofneverhea";
    for (what, false_ids) in [
        ("unknown events", [state.clone(), vec![never.to_owned()]].concat()),
        (
            "what is no state",
            [state.clone(), vec![guest.room.events()[0].id.clone(), lost.id.clone()]].concat(),
        ),
    ] {
        let told = json!({ "pdu_ids": false_ids, "auth_chain_ids": chain });
        guest.peer.answer(Method::GET, path, move |_| PeerReply::json(&told));
        let answer = guest.peer.transact(&to, &[&behind], &[]).await?;
        ensure!(answer.status == 200, "{}", answer.short());
        ensure!(!seen("behind").await?, "{what}: it is believed");
    }
    let told = json!({ "pdu_ids": state, "auth_chain_ids": chain });
    guest.peer.answer(Method::GET, path, move |_| PeerReply::json(&told));
    guest.peer.transact(&to, &[&behind], &[]).await?;
    comes_true("what lies behind the hole", async || seen("behind").await).await?;
    // What was lost comes late, and is shown too.
    guest.peer.transact(&to, &[&lost], &[]).await?;
    comes_true("what was lost", async || seen("lost").await).await?;
    let said = abroad.ann.say(&room, "after it").await?;
    let heard = guest.peer.event(|it| it["content"]["body"] == "after it").await?;
    ensure!(heard["prev_events"].as_array().is_some_and(|it| !it.is_empty()), "{said}: {heard}");
    Ok(())
}

/// What one server tells of the state behind a hole, another has to bear out that is in the room: nobody is
/// told something else than the others.
async fn borne_out(abroad: &Abroad, version: &str) -> Result<()> {
    let (room, guest, [_, behind]) = broken(abroad, version).await?;
    let peer = abroad.town.peer()?.start().await?;
    let witness = Guest::come(peer, &abroad.node, room.as_str(), version).await?;
    let to = abroad.node.destination();
    let path = "/_matrix/federation/v1/state_ids/";
    let told = |of: &PeerRoom| {
        let ids = |events: Vec<&Pdu>| events.iter().map(|it| it.id.clone()).collect::<Vec<_>>();
        json!({ "pdu_ids": ids(of.state()), "auth_chain_ids": ids(of.auth_chain()) })
    };
    let seen = async || -> Result<bool> {
        let (events, _) = abroad.ann.messages(&room, None, 100).await?;
        Ok(bodies(&events).contains(&"behind".to_owned()))
    };
    // The one does not know that the other has come.
    let (one, other) = (told(&guest.room), told(&witness.room));
    ensure!(one != other, "both tell the same");
    let says = one.clone();
    guest.peer.answer(Method::GET, path, move |_| PeerReply::json(&says));
    witness.peer.answer(Method::GET, path, move |_| PeerReply::json(&other));
    let answer = guest.peer.transact(&to, &[&behind], &[]).await?;
    ensure!(answer.json()["pdus"][&behind.id]["error"].is_string(), "{}", answer.short());
    ensure!(!seen().await?, "one is believed whom another denies");
    // Whoever has not heard of the event yet is asked again.
    let asked = AtomicU32::new(0);
    witness.peer.answer(Method::GET, path, move |_| {
        if asked.fetch_add(1, Ordering::Relaxed) == 0 {
            return PeerReply::refusal(404, "M_NOT_FOUND", "not yet");
        }
        PeerReply::json(&one)
    });
    let answer = guest.peer.transact(&to, &[&behind], &[]).await?;
    ensure!(answer.json()["pdus"][&behind.id] == json!({}), "{}", answer.short());
    ensure!(seen().await?, "it is not shown");
    Ok(())
}

/// A server that is gone before it has told what its event needs: it is not the event's fault, and the
/// transaction may come again.
async fn gone_again(abroad: &Abroad, version: &str) -> Result<()> {
    let (room, mut guest, [lost, behind]) = broken(abroad, version).await?;
    let to = abroad.node.destination();
    let content = json!({
        "origin": guest.peer.server_name(), "origin_server_ts": 1, "pdus": [behind.json],
    });
    let path = format!("/_matrix/federation/v1/send/again{version}");
    guest.peer.stop().await;
    for _ in 0..2 {
        let answer = guest.peer.ask(&to, Method::PUT, &path, Some(&content)).await?;
        ensure!(answer.status == 502, "{}", answer.short());
    }
    guest.peer.restart().await?;
    let told = json!({ "events": [lost.json] });
    guest.peer.answer(Method::POST, "/_matrix/federation/v1/get_missing_events/", move |_| {
        PeerReply::json(&told)
    });
    let answer = guest.peer.ask(&to, Method::PUT, &path, Some(&content)).await?;
    ensure!(answer.json()["pdus"][&behind.id] == json!({}), "{}", answer.short());
    let (events, _) = abroad.ann.messages(&room, None, 2).await?;
    ensure!(bodies(&events) == ["behind", "lost"], "{:?}", bodies(&events));
    let mallory = guest.peer.user("mallory");
    // One that is never reached holds up its own events no longer than that.
    guest.room.send(&mallory, "m.room.message", None, &json!({ "body": "never told" }))?;
    let fourth = guest.room.send(&mallory, "m.room.message", None, &json!({ "body": "fourth" }))?;
    let content = json!({
        "origin": guest.peer.server_name(), "origin_server_ts": 1, "pdus": [fourth.json],
    });
    let path = format!("/_matrix/federation/v1/send/never{version}");
    guest.peer.stop().await;
    for status in [502, 502, 502, 200] {
        let answer = guest.peer.ask(&to, Method::PUT, &path, Some(&content)).await?;
        ensure!(answer.status == status, "{status}: {}", answer.short());
    }
    Ok(())
}

/// Servers that take connections and say nothing hold nobody up, however many of them have people in a
/// room: their keys are waited for together.
async fn silent_members(abroad: &Abroad) -> Result<()> {
    let peer = abroad.town.peer()?.start().await?;
    let mut room = cabin(&peer, "12", "mallory")?;
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let address = Address::claim()?;
        silent.push((TcpListener::bind((address.ip(), 8448))?, address));
    }
    for (_, address) in &silent {
        let member = format!("@somebody:{}:8448", address.ip());
        let content = json!({ "membership": "join" });
        room.send(&member, "m.room.member", Some(&member), &content)?;
    }
    let events = room.events().iter().map(|it| it.json.clone()).collect();
    let _hosted = peer.host(PeerRoom::told(&peer, "12", room.id(), events)?);
    let begun = Instant::now();
    come(abroad, &peer, &room).await?;
    let took = begun.elapsed();
    ensure!(took < ALL_SILENT, "{took:?}");
    let path = format!("/_matrix/client/v3/rooms/{}/joined_members", room.id());
    let members = abroad.ann.get(&path).await?;
    let there = members["joined"].as_object().context("members")?;
    ensure!(there.len() == 2, "who proves nothing is in the room: {members}");
    Ok(())
}

#[tokio::test]
async fn hosts_of_silent_servers_keep_nobody_waiting() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let abroad = Abroad::begin_in(town, |options| options).await?;
    silent_members(&abroad).await?;
    abroad.end().await
}

#[tokio::test]
async fn hosts_that_lie_let_nobody_in() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let abroad = Abroad::begin_in(town, |options| options).await?;
    for version in VERSIONS {
        let of = |what: &str| format!("{what}, version {version}");
        false_rooms(&abroad, version).await.with_context(|| of("false rooms"))?;
        false_templates(&abroad, version).await.with_context(|| of("false templates"))?;
        half_true(&abroad, version).await.with_context(|| of("half true"))?;
    }
    abroad.end().await
}

#[tokio::test]
async fn holes_are_bridged_by_what_proves_itself() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let abroad = Abroad::begin_in(town, |options| options).await?;
    for version in VERSIONS {
        holes(&abroad, version).await.with_context(|| format!("version {version}"))?;
        borne_out(&abroad, version).await.with_context(|| format!("witnesses, {version}"))?;
        gone_again(&abroad, version).await.with_context(|| format!("gone, {version}"))?;
    }
    abroad.end().await
}
