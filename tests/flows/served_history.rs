//! What a node tells other servers of its rooms: what their people may see of the past, and what events rest on.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{Client, Destination, Pdu, Peer, PeerReply, PeerRoom, RoomId};

use crate::{
    abroad::{Abroad, times},
    hostile_servers::Guest,
    shared_rooms::set,
    stage::{Deeds, VERSIONS, bodies, escaped, list, send},
};

const F: &str = "/_matrix/federation/v1";
/// A time far ahead, in milliseconds.
const FAR_MS: u64 = 9_000_000_000_000;

/// What is said before somebody of the peer is invited, before they come, while they are in the room, while
/// they are gone, and when they are back.
const SAID: [&str; 5] = ["before", "invited", "inside", "away", "back"];
/// What of that their server is shown, by what the room says of who may see it.
const SEEN: [(&str, [bool; 5]); 4] = [
    ("world_readable", [true; 5]),
    ("shared", [true; 5]),
    ("invited", [false, true, true, false, true]),
    ("joined", [false, false, true, false, true]),
];
/// The ways in which servers ask for what was said.
const WAYS: [&str; 3] = ["backfill", "get_missing_events", "event"];

/// What the node answers to a question of the peer.
async fn ask(guest: &Guest, path: &str) -> Result<Value> {
    let answer = guest.peer.ask(&guest.to, Method::GET, &format!("{F}/{path}"), None).await?;
    ensure!(answer.status == 200, "{path}: {}", answer.short());
    Ok(answer.json())
}

/// What the peer is told that asks for what it has missed.
async fn missed(guest: &Guest, wish: &Value) -> Result<Vec<Value>> {
    let path = format!("{F}/get_missing_events/{}", escaped(guest.room.id()));
    let answer = guest.peer.ask(&guest.to, Method::POST, &path, Some(wish)).await?;
    ensure!(answer.status == 200, "{wish}: {}", answer.short());
    Ok(list(&answer.json()["events"]))
}

/// What the peer is told of all that lies before an event, or of these events one by one.
async fn told(guest: &Guest, way: &str, ids: &[String], mark: &str) -> Result<Vec<Value>> {
    match way {
        "backfill" => {
            let (room, mark) = (escaped(guest.room.id()), escaped(mark));
            let answer = ask(guest, &format!("backfill/{room}?v={mark}&limit=100")).await?;
            Ok(list(&answer["pdus"]))
        }
        "get_missing_events" => {
            let wish = json!({
                "earliest_events": [], "latest_events": [mark], "limit": 100, "min_depth": 0,
            });
            missed(guest, &wish).await
        }
        _ => {
            let mut all = Vec::new();
            for id in ids {
                let answer = ask(guest, &format!("event/{}", escaped(id))).await?;
                all.extend(list(&answer["pdus"]));
            }
            Ok(all)
        }
    }
}

/// The texts of events, each of which has to be among those that are told; nothing where it comes without
/// its content.
fn texts(room: &PeerRoom, told: &[Value], ids: &[String]) -> Result<Vec<Option<String>>> {
    // What an event is called does not rest on what is taken out of it.
    let told: Vec<Pdu> = told.iter().map(|it| room.identify(it)).collect::<Result<_>>()?;
    let text = |id: &String| -> Result<Option<String>> {
        let found = told.iter().find(|it| it.id == *id);
        let content = &found.with_context(|| format!("{id} is not told"))?.json["content"];
        let body = content["body"].as_str().map(str::to_owned);
        ensure!(body.is_some() || *content == json!({}), "{id}: {content}");
        Ok(body)
    };
    ids.iter().map(text).collect()
}

/// Checks what the peer is shown of what was said, in whatever way it asks.
async fn shows(guest: &Guest, ann: &Client, ids: &[String], seen: &[bool]) -> Result<()> {
    let here = RoomId::known(guest.room.id());
    let content = json!({ "msgtype": "m.text", "body": "mark" });
    let mark = send(ann, &here, "m.room.message", &content).await?;
    let said = SAID.iter().zip(seen).take(ids.len());
    let wanted: Vec<Option<String>> =
        said.map(|(text, is_seen)| is_seen.then(|| (*text).to_owned())).collect();
    for way in WAYS {
        let events = told(guest, way, ids, &mark).await?;
        let shown = texts(&guest.room, &events, ids)?;
        ensure!(shown == wanted, "{way}: {shown:?}");
        // By the state servers follow a room: it comes whole, however old it is.
        let topic = events.iter().find(|it| it["type"] == "m.room.topic");
        let is_whole = topic.is_some_and(|it| it["content"]["topic"] == "of old");
        ensure!(is_whole || way == "event", "{way}: {topic:?}");
    }
    // A time leads to an id and to nothing else, whoever may see what is called so.
    let room = escaped(guest.room.id());
    let near = ask(guest, &format!("timestamp_to_event/{room}?ts={FAR_MS}&dir=b")).await?;
    let told = near.as_object().map_or(0, serde_json::Map::len);
    ensure!(near["event_id"] == mark.as_str() && told == 2, "{near}");
    Ok(())
}

/// A server of which nobody is in the room is told nothing of it, in whatever way it asks.
async fn refuses(peer: &Peer, to: &Destination, room: &str, event: &str) -> Result<()> {
    let wish = json!({
        "earliest_events": [], "latest_events": [event], "limit": 100, "min_depth": 0,
    });
    let (room, event) = (escaped(room), escaped(event));
    for (method, path, content) in [
        (Method::GET, format!("backfill/{room}?v={event}&limit=100"), None),
        (Method::POST, format!("get_missing_events/{room}"), Some(&wish)),
        (Method::GET, format!("event/{event}"), None),
        (Method::GET, format!("timestamp_to_event/{room}?ts=1&dir=f"), None),
        (Method::GET, format!("timestamp_to_event/{room}?ts={FAR_MS}&dir=b"), None),
        (Method::GET, format!("state/{room}?event_id={event}"), None),
        (Method::GET, format!("state_ids/{room}?event_id={event}"), None),
        (Method::GET, format!("event_auth/{room}/{event}"), None),
    ] {
        let answer = peer.ask(to, method, &format!("{F}/{path}"), content).await?;
        let is_refused = answer.status == 403 && answer.errcode() == "M_FORBIDDEN";
        ensure!(is_refused, "{path}: {}", answer.short());
    }
    Ok(())
}

/// Somebody of a peer is invited, comes, goes, and comes back, while things are said.
async fn one_room(
    abroad: &Abroad,
    stranger: &Peer,
    version: &str,
    (visibility, seen): (&str, [bool; 5]),
) -> Result<()> {
    let (ann, to) = (&abroad.ann, abroad.node.destination());
    let rule = json!([{
        "type": "m.room.history_visibility", "state_key": "",
        "content": { "history_visibility": visibility },
    }]);
    let request = json!({
        "preset": "public_chat", "room_version": version, "topic": "of old", "initial_state": rule,
    });
    let room = ann.create_room(&request).await?;
    let peer = abroad.town.peer()?.start().await?;
    peer.take_invitations(version)?;
    let mallory = peer.user("mallory");
    let mut ids = vec![ann.say(&room, SAID[0]).await?];
    let path = format!("/_matrix/client/v3/rooms/{room}/invite");
    ann.post(&path, &json!({ "user_id": mallory })).await?;
    ids.push(ann.say(&room, SAID[1]).await?);
    refuses(&peer, &to, room.as_str(), &ids[1]).await.context("who is invited")?;
    let guest = Guest::come(peer, &abroad.node, room.as_str(), version).await?;
    ids.push(ann.say(&room, SAID[2]).await?);
    shows(&guest, ann, &ids, &seen).await.context("inside")?;
    refuses(stranger, &to, room.as_str(), &ids[2]).await.context("a stranger")?;

    guest.peer.leave(&to, &guest.room, &mallory).await?;
    ids.push(ann.say(&room, SAID[3]).await?);
    refuses(&guest.peer, &to, room.as_str(), &ids[3]).await.context("who is gone")?;
    // Not even of the time when they were there.
    refuses(&guest.peer, &to, room.as_str(), &ids[2]).await.context("who was there")?;

    guest.peer.enter(&to, room.as_str(), version, &mallory).await?;
    ids.push(ann.say(&room, SAID[4]).await?);
    shows(&guest, ann, &ids, &seen).await.context("back")?;
    // Nor was it sent while they were gone.
    guest.peer.event(|it| it["content"]["body"] == SAID[4]).await?;
    let sent = guest.peer.requests().into_iter().map(|it| it.json()["pdus"].to_string());
    let sent: Vec<String> = sent.filter(|pdus| pdus.contains("\"away\"")).collect();
    ensure!(sent.is_empty(), "{sent:?}");
    Ok(())
}

#[tokio::test]
async fn served_history_is_what_the_people_of_a_server_may_see() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let stranger = abroad.town.peer()?.start().await?;
    for version in VERSIONS {
        for rule in SEEN {
            one_room(&abroad, &stranger, version, rule)
                .await
                .with_context(|| format!("{} in version {version}", rule.0))?;
        }
    }
    abroad.end().await
}

/// A room in which people came and went and rules changed; all its events as the peer is told them, the
/// oldest first.
async fn storied(abroad: &Abroad, bob: &Client, version: &str) -> Result<(Guest, Vec<Pdu>)> {
    let ann = &abroad.ann;
    let request = json!({ "preset": "public_chat", "room_version": version, "name": "Harbour" });
    let room = ann.create_room(&request).await?;
    bob.join(&room).await?;
    let raise = async |level: u8| -> Result<()> {
        let mut levels = ann.state(&room, "m.room.power_levels", "").await?;
        levels["users"][bob.id()] = json!(level);
        set(ann, &room, "m.room.power_levels", levels).await
    };
    raise(50).await?;
    let peer = abroad.town.peer()?.start().await?;
    let guest = Guest::come(peer, &abroad.node, room.as_str(), version).await?;
    set(bob, &room, "m.room.topic", json!({ "topic": "by bob" })).await?;
    raise(60).await?;
    ann.say(&room, "between").await?;
    bob.deed(&room, "leave", None).await?;
    set(ann, &room, "m.room.topic", json!({ "topic": "by ann" })).await?;
    bob.join(&room).await?;
    let last = ann.say(&room, "last").await?;
    let mut told = told(&guest, "backfill", &[], &last).await?;
    told.reverse();
    let events = told.iter().map(|it| guest.room.identify(it)).collect::<Result<Vec<_>>>()?;
    let kinds: Vec<&Value> = events.iter().map(|it| &it.json["type"]).collect();
    ensure!(kinds.first().is_some_and(|it| **it == "m.room.create"), "{kinds:?}");
    Ok((guest, events))
}

/// The ids of a list, none of which may stand there twice.
fn of_ids(told: &Value) -> Result<BTreeSet<String>> {
    let ids = list(told);
    let found: BTreeSet<String> = ids.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    ensure!(found.len() == ids.len(), "something is told twice: {told}");
    Ok(found)
}

/// The same of a list of events.
fn of_events(room: &PeerRoom, told: &Value) -> Result<BTreeSet<String>> {
    let ids: Vec<String> =
        list(told).iter().map(|it| Ok(room.identify(it)?.id)).collect::<Result<_>>()?;
    of_ids(&json!(ids))
}

fn cited(event: &Pdu) -> Vec<Value> {
    list(&event.json["auth_events"])
}

/// The ids of all that some events cite, and of what that cites.
fn rests_on(events: &[Pdu], of: &[&Pdu]) -> BTreeSet<String> {
    let mut open: Vec<Value> = of.iter().flat_map(|it| cited(it)).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        let event = events.iter().find(|it| id == it.id.as_str());
        if let Some(event) = event.filter(|it| found.insert(it.id.clone())) {
            open.extend(cited(event));
        }
    }
    found
}

/// Checks what is told of where one of the events stands against what the peer knows of the room.
async fn stands(guest: &Guest, events: &[Pdu], at: usize) -> Result<()> {
    let (event, version) = (&events[at], guest.room.version());
    let (room, id) = (escaped(guest.room.id()), escaped(&event.id));
    let before = events[..at].iter().map(|it| it.json.clone()).collect();
    let before = PeerRoom::told(&guest.peer, version, guest.room.id(), before)?;
    let state: BTreeSet<String> = before.state().iter().map(|it| it.id.clone()).collect();
    // In version 12 no event cites how the room was made, for its id says so: whether that is told among
    // what events rest on is open.
    let but_create = |mut ids: BTreeSet<String>| {
        if version == "12" {
            ids.remove(&events[0].id);
        }
        ids
    };
    let chain = but_create(rests_on(events, &before.state()));
    let ids = ask(guest, &format!("state_ids/{room}?event_id={id}")).await?;
    ensure!(of_ids(&ids["pdu_ids"])? == state, "state_ids: {ids}, not {state:?}");
    let told = but_create(of_ids(&ids["auth_chain_ids"])?);
    ensure!(told == chain, "state_ids: {ids}, not {chain:?}");
    let whole = ask(guest, &format!("state/{room}?event_id={id}")).await?;
    ensure!(of_events(&guest.room, &whole["pdus"])? == state, "state: {whole}");
    let told = but_create(of_events(&guest.room, &whole["auth_chain"])?);
    ensure!(told == chain, "state: {whole}, not {chain:?}");
    let rests = ask(guest, &format!("event_auth/{room}/{id}")).await?;
    let told = but_create(of_events(&guest.room, &rests["auth_chain"])?);
    ensure!(told == but_create(rests_on(events, &[event])), "event_auth: {rests}");
    let one = ask(guest, &format!("event/{id}")).await?;
    let is_it = one["pdus"] == json!([event.json]) && one["origin"] == guest.to.name.as_str();
    ensure!(is_it && one["origin_server_ts"].is_u64(), "event: {one}");
    Ok(())
}

/// Of what lies between two events, as much is told as is asked for: what is nearest to the later one.
async fn between(guest: &Guest, events: &[Pdu]) -> Result<()> {
    let last = events.len() - 1;
    let depth = events[last - 2].json["depth"].as_u64().context("a depth")?;
    for (earliest, limit, min_depth, wanted) in [
        (3, 100, 0, 4..last),
        (3, 2, 0, last - 2..last),
        (3, 0, 0, last..last),
        (3, 100, depth, last - 2..last),
        (last - 1, 100, 0, last..last),
    ] {
        let wish = json!({
            "earliest_events": [events[earliest].id], "latest_events": [events[last].id],
            "limit": limit, "min_depth": min_depth,
        });
        let told = missed(guest, &wish).await?;
        let wanted: Vec<&Value> = events[wanted].iter().map(|it| &it.json).collect();
        ensure!(told.iter().collect::<Vec<_>>() == wanted, "{wish}: {told:?}");
    }
    Ok(())
}

/// An event of another room is none of this one, and the peer hears nothing of it here.
async fn of_another(guest: &Guest, event: &str) -> Result<()> {
    let (room, id) = (escaped(guest.room.id()), escaped(event));
    for (path, status) in [
        (format!("state/{room}?event_id={id}"), 404),
        (format!("state_ids/{room}?event_id={id}"), 404),
        (format!("event_auth/{room}/{id}"), 404),
        (format!("event/{id}"), 403),
    ] {
        let path = format!("{F}/{path}");
        let answer = guest.peer.ask(&guest.to, Method::GET, &path, None).await?;
        ensure!(answer.status == status, "{path}: {}", answer.short());
    }
    for way in ["backfill", "get_missing_events"] {
        let told = told(guest, way, &[], event).await?;
        ensure!(told.is_empty(), "{way}: {told:?}");
    }
    Ok(())
}

#[tokio::test]
async fn served_history_tells_where_each_event_stands_and_no_more() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let bob = Client::register(abroad.node.http(), "bob").await?;
    let other = abroad.ann.create_room(&json!({ "preset": "public_chat" })).await?;
    let other = abroad.ann.say(&other, "elsewhere").await?;
    for version in VERSIONS {
        let (guest, events) = storied(&abroad, &bob, version).await?;
        for (at, event) in events.iter().enumerate() {
            let what = || format!("version {version}, {}", event.json);
            stands(&guest, &events, at).await.with_context(what)?;
        }
        between(&guest, &events).await.with_context(|| format!("version {version}"))?;
        of_another(&guest, &other).await.with_context(|| format!("version {version}"))?;
    }
    abroad.end().await
}

/// State events that the node lacks: more than it fetches one by one.
const MANY: usize = 40;

/// What a peer tells of the state before an event, and whether it is believed.
fn answers(
    peer: &Peer,
    room: &PeerRoom,
    foreign: &PeerRoom,
) -> Result<Vec<(&'static str, PeerReply, bool)>> {
    let jsons = |events: &[&Pdu]| events.iter().map(|it| it.json.clone()).collect::<Vec<_>>();
    let (state, chain) = (jsons(&room.state()), jsons(&room.auth_chain()));
    let last = state.last().context("a state")?.clone();
    let told = |pdus: &[Value]| PeerReply::json(&json!({ "pdus": pdus, "auth_chain": chain }));
    let less = &state[..state.len() - 1];
    let mut unsigned = last.clone();
    unsigned["signatures"] = json!({});
    let mut forged = last.clone();
    forged["sender"] = json!(peer.user("mallory"));
    let strange = [state.clone(), jsons(&foreign.state()), vec![json!(7), last]].concat();
    Ok(vec![
        ("nothing", PeerReply::refusal(404, "M_NOT_FOUND", "no such event"), false),
        ("no lists", PeerReply::json(&json!({ "pdus": "none" })), false),
        ("all but one", told(less), false),
        ("one unsigned", told(&[less, &[unsigned][..]].concat()), false),
        ("one forged", told(&[less, &[forged][..]].concat()), false),
        // What nobody has asked for does no harm.
        ("all and more", told(&strange), true),
    ])
}

/// A hole behind which very much of the state is not here: it is fetched as a whole.
async fn fetched_whole(abroad: &Abroad, version: &str) -> Result<()> {
    let (ann, to) = (&abroad.ann, abroad.node.destination());
    let peer = abroad.town.peer()?.start().await?;
    let owner = peer.user("mallory");
    let room = PeerRoom::create(&peer, version, &owner)?;
    let foreign = PeerRoom::create(&peer, version, &owner)?;
    let here = RoomId::known(room.id());
    let hosted = peer.host(room);
    ann.join_through(&here, peer.server_name()).await?;
    let mut room = hosted.lock().map_err(|_| anyhow::anyhow!("the host failed"))?.clone();
    for number in 0..MANY {
        let user = peer.user(&format!("m{number}"));
        room.send(&user, "m.room.member", Some(&user), &json!({ "membership": "join" }))?;
    }
    let content = json!({ "body": "behind" });
    let behind = room.seal(&room.draft(&owner, "m.room.message", None, &content)?)?;
    let ids = |events: &[&Pdu]| events.iter().map(|it| it.id.clone()).collect::<Vec<_>>();
    let (state, chain) = (ids(&room.state()), ids(&room.auth_chain()));
    let told = json!({ "pdu_ids": state, "auth_chain_ids": chain });
    peer.answer(Method::GET, &format!("{F}/state_ids/"), move |_| PeerReply::json(&told));
    let people = async || -> Result<usize> {
        let path = format!("/_matrix/client/v3/rooms/{here}/joined_members");
        let joined = ann.get(&path).await?["joined"].as_object().map(serde_json::Map::len);
        Ok(joined.unwrap_or_default())
    };
    let answers = answers(&peer, &room, &foreign)?;
    let asked = answers.len();
    for (what, reply, is_believed) in answers {
        peer.answer(Method::GET, &format!("{F}/state/"), move |_| reply.clone());
        let answer = peer.transact(&to, &[&behind], &[]).await?;
        let stands = answer.json()["pdus"][&behind.id] == json!({});
        ensure!(stands == is_believed, "{what}: {}", answer.short());
        let (events, _) = ann.messages(&here, None, 10).await?;
        let is_shown = bodies(&events).contains(&"behind".to_owned());
        ensure!(is_shown == is_believed, "{what}: {:?}", bodies(&events));
        let wanted = if is_believed { MANY + 2 } else { 2 };
        ensure!(people().await? == wanted, "{what}: {} people", people().await?);
    }
    let (whole, single) = (format!("{F}/state/"), format!("{F}/event/"));
    ensure!(times(&peer, &whole) == asked, "asked {} times of {asked}", times(&peer, &whole));
    ensure!(times(&peer, &single) == 0, "asked for {} single events", times(&peer, &single));
    // The room goes on from there.
    ann.say(&here, "heard").await?;
    let heard = peer.event(|it| it["content"]["body"] == "heard").await?;
    ensure!(list(&heard["prev_events"]).contains(&json!(behind.id)), "{heard}");
    Ok(())
}

#[tokio::test]
async fn served_history_may_be_a_whole_state_at_once() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    for version in VERSIONS {
        fetched_whole(&abroad, version).await.with_context(|| format!("version {version}"))?;
    }
    abroad.end().await
}
