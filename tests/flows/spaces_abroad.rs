//! Trees, sums and moments of rooms that are on other servers, and those of ours for others.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{Client, Engine, Peer, PeerReply, RoomId};

use crate::{
    abroad::{Abroad, times},
    hostile_servers::Guest,
    pair::Pair,
    stage::{Deeds, escaped, list, refused},
};

const HIERARCHY: &str = "/_matrix/federation/v1/hierarchy/";

async fn space(who: &Client, name: &str) -> Result<RoomId> {
    let kind = json!({ "type": "m.space" });
    let asked = json!({ "preset": "public_chat", "name": name, "creation_content": kind });
    who.create_room(&asked).await
}

async fn link(who: &Client, space: &RoomId, child: &str, via: &str, suggested: bool) -> Result<()> {
    let content = json!({ "via": [via], "suggested": suggested });
    who.set_state(space, "m.space.child", child, &content).await?;
    Ok(())
}

async fn tree(who: &Client, space: &RoomId, query: &str) -> Result<Value> {
    let path = format!("/_matrix/client/v1/rooms/{}/hierarchy{query}", escaped(space.as_str()));
    Ok(who.get(&path).await?)
}

fn names(tree: &Value) -> Vec<String> {
    let name = |room: &Value| room["name"].as_str().unwrap_or("-").to_owned();
    let mut names: Vec<String> = list(&tree["rooms"]).iter().map(name).collect();
    names.sort();
    names
}

async fn both_ways(pair: Option<Pair>) -> Result<()> {
    let Some(pair) = pair else { return Ok(()) };
    let (here, there) = (pair.node.server_name().to_owned(), pair.other.server_name());
    for (who, other, own, others) in
        [(&pair.ann, &pair.sam, &here, &there), (&pair.sam, &pair.ann, &there, &here)]
    {
        // A space of one server holds one of the other, which holds rooms of its own.
        let below = space(other, "below").await?;
        let open = json!({ "preset": "public_chat", "name": "open", "topic": "for all" });
        let open = other.create_room(&open).await?;
        let closed = other.create_room(&json!({ "preset": "private_chat", "name": "no" })).await?;
        let rule = json!({ "join_rule": "restricted",
            "allow": [{ "type": "m.room_membership", "room_id": below.as_str() }] });
        let rule = json!({ "type": "m.room.join_rules", "content": rule });
        let members = json!({ "name": "members", "initial_state": [rule] });
        let members = other.create_room(&members).await?;
        link(other, &below, open.as_str(), others, true).await?;
        link(other, &below, closed.as_str(), others, false).await?;
        link(other, &below, members.as_str(), others, false).await?;
        let top = space(who, "top").await?;
        link(who, &top, below.as_str(), others, true).await?;
        let mine = json!({ "preset": "public_chat", "name": "mine" });
        let mine = who.create_room(&mine).await?;
        link(who, &top, mine.as_str(), own, false).await?;
        let found = tree(who, &top, "").await?;
        ensure!(names(&found) == ["below", "mine", "open", "top"], "{own}: {found}");
        let rooms = list(&found["rooms"]);
        let is_below = |room: &&Value| room["name"] == "below";
        let shown = rooms.iter().find(is_below).context("below")?;
        ensure!(list(&shown["children_state"]).len() == 3, "{shown}");
        let suggested = tree(who, &top, "?suggested_only=true").await?;
        ensure!(names(&suggested) == ["below", "open", "top"], "{own}: {suggested}");

        // Page by page it is the same, each room once.
        let (mut paged, mut from) = (Vec::new(), String::new());
        loop {
            let page = tree(who, &top, &format!("?limit=1{from}")).await?;
            paged.extend(names(&page));
            let Some(next) = page["next_batch"].as_str() else { break };
            from = format!("&from={}", escaped(next));
        }
        paged.sort();
        ensure!(paged == ["below", "mine", "open", "top"], "{own}: {paged:?}");

        let path = format!("/_matrix/client/v1/room_summary/{}", escaped(open.as_str()));
        let summed = who.get(&format!("{path}?via={}", escaped(others))).await?;
        ensure!(summed["name"] == "open" && summed["topic"] == "for all", "{own}: {summed}");
        ensure!(summed["num_joined_members"] == 1, "{own}: {summed}");
        let path = format!("/_matrix/client/v1/room_summary/{}", escaped(closed.as_str()));
        let hidden = who.get(&format!("{path}?via={}", escaped(others))).await;
        ensure!(hidden.is_err(), "{own}: {hidden:?}");
    }
    pair.end().await
}

#[tokio::test]
async fn spaces_of_other_servers_are_looked_into_on_sqlite() -> Result<()> {
    both_ways(Pair::meet(Engine::Sqlite).await?).await
}

#[tokio::test]
async fn spaces_of_other_servers_are_looked_into_on_postgres() -> Result<()> {
    both_ways(Pair::meet(Engine::Postgres).await?).await
}

#[tokio::test]
async fn spaces_are_looked_into_with_a_node() -> Result<()> {
    both_ways(Pair::of_nodes().await?).await
}

/// What a peer tells of a space with these children.
fn tells(peer: &Peer, id: &str, children: &[String], more: &Value) {
    let (name, via) = (peer.server_name().to_owned(), json!({ "via": [peer.server_name()] }));
    let event = |child: &String| {
        json!({ "type": "m.space.child", "state_key": child, "sender": format!("@a:{name}"),
                "content": via, "origin_server_ts": 1 })
    };
    let events: Vec<Value> = children.iter().map(event).collect();
    let mut room = json!({ "room_id": id, "room_type": "m.space", "join_rule": "public", "name": id,
        "num_joined_members": 1, "world_readable": false, "guest_can_join": false,
        "children_state": events });
    if let (Some(room), Some(more)) = (room.as_object_mut(), more.as_object()) {
        room.extend(more.clone());
    }
    let answer = json!({ "room": room, "children": [], "inaccessible_children": [] });
    peer.answer(Method::GET, &format!("{HIERARCHY}{id}"), move |_| PeerReply::json(&answer));
}

#[tokio::test]
async fn hostile_spaces_of_other_servers_are_bounded() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let peer = abroad.town.peer()?.start().await?;
    let (ann, name) = (&abroad.ann, peer.server_name().to_owned());
    let id = |local: &str| format!("!{local}:{name}");
    // One that holds itself and its parent, one that tells of another room, of none, or nothing.
    tells(&peer, &id("self"), &[id("self"), id("other"), id("self")], &json!({}));
    tells(&peer, &id("other"), &[id("self")], &json!({}));
    tells(&peer, &id("liar"), &[], &json!({ "room_id": id("self") }));
    tells(&peer, &id("closed"), &[], &json!({ "join_rule": "invite" }));
    tells(&peer, &id("typed"), &[], &json!({ "name": 5, "topic": [], "join_rule": "public" }));
    let restricted = json!({ "join_rule": "restricted", "allowed_room_ids": ["!x:y", 5] });
    tells(&peer, &id("restricted"), &[], &restricted);
    peer.answer(Method::GET, &format!("{HIERARCHY}{}", id("garbage")), |_| {
        PeerReply::bytes("application/json", b"[".to_vec())
    });
    peer.answer(Method::GET, &format!("{HIERARCHY}{}", id("huge")), |_| {
        PeerReply::bytes("application/json", vec![b' '; 8 * 1024 * 1024])
    });
    let top = space(ann, "top").await?;
    for child in ["self", "liar", "closed", "typed", "restricted", "garbage", "huge", "none"] {
        link(ann, &top, &id(child), &name, false).await?;
    }
    let found = tree(ann, &top, "").await?;
    let mut wanted = vec![id("other"), id("self"), "-".to_owned(), "top".to_owned()];
    wanted.sort();
    ensure!(names(&found) == wanted, "{found}");
    ensure!(times(&peer, &format!("{HIERARCHY}{}", id("self"))) == 1, "{:?}", peer.requests());
    let asked = times(&peer, HIERARCHY);
    ensure!(names(&tree(ann, &top, "").await?) == wanted);
    ensure!(times(&peer, HIERARCHY) == asked, "what was told is not remembered");

    // Spaces without end are looked into a few at a time; thousands of children are not all taken.
    let many: Vec<String> = (0..3_000).map(|number| id(&format!("many{number}"))).collect();
    tells(&peer, &id("wide"), &many, &json!({}));
    let wide = space(ann, "wide").await?;
    link(ann, &wide, &id("wide"), &name, false).await?;
    let before = times(&peer, HIERARCHY);
    let page = tree(ann, &wide, "").await?;
    ensure!(names(&page).len() == 2, "{page}");
    let asked = times(&peer, HIERARCHY) - before;
    ensure!(asked <= 20, "{asked} rooms were asked about for one page");
    let next = page["next_batch"].as_str().context("a further page")?;
    tree(ann, &wide, &format!("?from={}", escaped(next))).await?;
    ensure!(times(&peer, HIERARCHY) - before <= 40, "{}", times(&peer, HIERARCHY));

    // A sum is told to those who say who they are.
    let path = format!("/_matrix/client/v1/room_summary/{}", escaped(&id("typed")));
    let nobody = Client::nobody(abroad.node.http())?;
    refused(nobody.get(&path).await, 404, "M_NOT_FOUND")?;
    let summed = ann.get(&path).await?;
    ensure!(summed["room_type"] == "m.space" && summed["membership"] == "leave", "{summed}");
    for hidden in ["closed", "liar", "restricted", "none"] {
        let path = format!("/_matrix/client/v1/room_summary/{}", escaped(&id(hidden)));
        refused(ann.get(&path).await, 404, "M_NOT_FOUND").with_context(|| hidden.to_owned())?;
    }
    abroad.end().await
}

#[tokio::test]
async fn servers_are_told_of_rooms_and_moments_that_are_theirs_to_know() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let (peer, other) = (abroad.town.peer()?.start().await?, abroad.town.peer()?.start().await?);
    let (ann, to) = (&abroad.ann, abroad.node.destination());
    let top = space(ann, "top").await?;
    let open = ann.create_room(&json!({ "preset": "public_chat", "name": "open" })).await?;
    let closed = ann.create_room(&json!({ "preset": "private_chat", "name": "closed" })).await?;
    for (child, suggested) in [(open.as_str(), true), (closed.as_str(), false), ("!n:n.test", true)]
    {
        link(ann, &top, child, &to.name, suggested).await?;
    }
    let guest = Guest::come(peer, &abroad.node, open.as_str(), "12").await?;
    let peer = &guest.peer;
    let ask = async |by: &Peer, path: String| {
        let path = format!("/_matrix/federation/v1/{path}");
        anyhow::Ok(by.ask(&to, Method::GET, &path, None).await?)
    };
    let answer = ask(&other, format!("hierarchy/{}", escaped(top.as_str()))).await?;
    let found = answer.json();
    ensure!(found["room"]["name"] == "top", "{}", answer.short());
    ensure!(list(&found["room"]["children_state"]).len() == 3, "{found}");
    ensure!(list(&found["children"]).len() == 1, "{found}");
    ensure!(found["children"][0]["room_id"] == open.as_str(), "{found}");
    ensure!(found["inaccessible_children"] == json!([closed.as_str()]), "{found}");
    let path = format!("hierarchy/{}?suggested_only=true", escaped(top.as_str()));
    let found = ask(&other, path).await?.json();
    ensure!(list(&found["room"]["children_state"]).len() == 2, "{found}");
    let tops = escaped(top.as_str());
    let refusals = [
        (format!("hierarchy/{}", escaped(closed.as_str())), 404, "M_NOT_FOUND"),
        ("hierarchy/%21none%3An.test".to_owned(), 404, "M_NOT_FOUND"),
        ("hierarchy/none".to_owned(), 400, "M_INVALID_PARAM"),
        (format!("hierarchy/{tops}?suggested_only=perhaps"), 400, "M_INVALID_PARAM"),
        (format!("timestamp_to_event/{tops}?ts=1&dir=f"), 403, "M_FORBIDDEN"),
        ("timestamp_to_event/%21none%3An.test?ts=1&dir=f".to_owned(), 404, "M_NOT_FOUND"),
    ];
    for (path, status, code) in refusals {
        let answer = ask(&other, path.clone()).await?;
        let right = answer.status == status && answer.errcode() == code;
        ensure!(right, "{path}: {}", answer.short());
    }

    let rooms = escaped(open.as_str());
    let said = ann.say(&open, "now").await?;
    let path = format!("/_matrix/client/v3/rooms/{rooms}/event/{said}");
    let sent_ms = ann.get(&path).await?["origin_server_ts"].as_i64().context("a time")?;
    let found = ask(peer, format!("timestamp_to_event/{rooms}?ts={sent_ms}&dir=b")).await?;
    ensure!(found.json()["event_id"] == *said, "{}", found.short());
    ensure!(found.json()["origin_server_ts"] == sent_ms, "{}", found.short());
    let later = sent_ms + 1_000_000;
    let wrong = [
        (format!("ts={later}&dir=f"), 404),
        ("ts=0&dir=b".to_owned(), 404),
        ("ts=x&dir=b".to_owned(), 400),
        ("ts=-1&dir=b".to_owned(), 400),
        ("ts=1".to_owned(), 400),
        ("dir=b".to_owned(), 400),
        ("ts=1&dir=x".to_owned(), 400),
    ];
    for (query, status) in wrong {
        let answer = ask(peer, format!("timestamp_to_event/{rooms}?{query}")).await?;
        ensure!(answer.status == status, "{query}: {}", answer.short());
    }
    // Who is kept out by the room's rule learns nothing of it.
    let acl = json!({ "allow": ["*"], "deny": [peer.server_name().split(':').next()] });
    ann.set_state(&open, "m.room.server_acl", "", &acl).await?;
    for path in [format!("hierarchy/{rooms}"), format!("timestamp_to_event/{rooms}?ts=1&dir=f")] {
        let answer = ask(peer, path.clone()).await?;
        ensure!(matches!(answer.status, 403 | 404), "{path}: {}", answer.short());
    }
    abroad.end().await
}
