//! Rooms seen from outside, the trees of spaces, moving to newer rules, and finding a time.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{Client, RoomId};

use crate::stage::{
    Deeds, Ear, Stage, VERSIONS, escaped, list, part, redact, refused, room_of, stories,
};

stories! {
    a_tree_shows_the_rooms_that_one_may_see;
    a_tree_comes_page_by_page;
    a_room_is_summed_up_for_whom_it_may_concern;
    a_room_moves_to_newer_rules;
    a_space_moves_with_its_children;
    who_may_not_upgrade_is_told_so;
    the_event_nearest_to_a_time_is_found;
}

async fn space(who: &Client, name: &str, more: &Value) -> Result<RoomId> {
    let mut asked =
        json!({"preset": "public_chat", "name": name, "creation_content": {"type": "m.space"}});
    if let (Some(asked), Some(more)) = (asked.as_object_mut(), more.as_object()) {
        asked.extend(more.clone());
    }
    who.create_room(&asked).await
}

async fn link(who: &Client, space: &RoomId, child: &RoomId, more: &Value) -> Result<()> {
    let mut content = json!({"via": ["a.test"]});
    if let (Some(content), Some(more)) = (content.as_object_mut(), more.as_object()) {
        content.extend(more.clone());
    }
    who.set_state(space, "m.space.child", child.as_str(), &content).await?;
    Ok(())
}

async fn tree(who: &Client, space: &RoomId, query: &str) -> Result<Value> {
    Ok(who.get(&format!("/_matrix/client/v1/rooms/{space}/hierarchy?{query}")).await?)
}

fn names(tree: &Value) -> Vec<String> {
    let rooms = list(&tree["rooms"]);
    rooms.iter().map(|room| room["name"].as_str().unwrap_or("-").to_owned()).collect()
}

// Operations: getSpaceHierarchy.
async fn a_tree_shows_the_rooms_that_one_may_see(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let top = space(&ann, "top", &json!({})).await?;
    let below = space(&ann, "below", &json!({})).await?;
    let open = ann.create_room(&json!({"preset": "public_chat", "name": "open"})).await?;
    let closed = ann.create_room(&json!({"name": "secret"})).await?;
    let rule = json!({"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": top.as_str()}]});
    let members = ann
        .create_room(&json!({"name": "members", "initial_state": [{"type": "m.room.join_rules", "content": rule}]}))
        .await?;
    let deep = ann.create_room(&json!({"preset": "public_chat", "name": "deep"})).await?;
    link(&ann, &top, &open, &json!({"order": "b", "suggested": true})).await?;
    link(&ann, &top, &below, &json!({"order": "a"})).await?;
    link(&ann, &top, &closed, &json!({})).await?;
    link(&ann, &top, &members, &json!({"order": "\u{e9} is no order"})).await?;
    link(&ann, &below, &deep, &json!({})).await?;
    link(&ann, &below, &top, &json!({})).await?;
    // A child that leads nowhere is none.
    ann.set_state(&top, "m.space.child", "!gone:a.test", &json!({})).await?;
    let all = tree(&ann, &top, "").await?;
    ensure!(names(&all) == ["top", "below", "deep", "open", "secret", "members"], "{all}");
    let seen = tree(&bob, &top, "").await?;
    ensure!(names(&seen) == ["top", "below", "deep", "open"], "{seen}");
    ensure!(!seen.to_string().contains("secret"), "{seen}");
    bob.join(&top).await?;
    ensure!(names(&tree(&bob, &top, "").await?).contains(&"members".to_owned()));
    let first = &seen["rooms"][0];
    ensure!(first["room_type"] == "m.space" && first["num_joined_members"] == 1, "{first}");
    let children = list(&first["children_state"]);
    ensure!(children.len() == 4 && children[0]["state_key"] == below.as_str(), "{first}");
    let keys: Vec<&String> = children[0].as_object().context("an object")?.keys().collect();
    ensure!(keys == ["content", "origin_server_ts", "sender", "state_key", "type"], "{keys:?}");
    ensure!(list(&seen["rooms"][3]["children_state"]).is_empty(), "{seen}");
    ensure!(names(&tree(&ann, &top, "suggested_only=true").await?) == ["top", "open"]);
    ensure!(names(&tree(&bob, &top, "max_depth=1").await?) == ["top", "below", "open", "members"]);
    ensure!(names(&tree(&bob, &top, "max_depth=0").await?) == ["top"]);
    // A room that is no space is a tree of one.
    ensure!(names(&tree(&bob, &open, "").await?) == ["open"]);
    for room in [&closed, &RoomId::known("!none:a.test")] {
        let path = format!("/_matrix/client/v1/rooms/{room}/hierarchy");
        refused(bob.get(&path).await, 403, "M_FORBIDDEN")?;
    }
    Ok(())
}

async fn a_tree_comes_page_by_page(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let top = space(&ann, "top", &json!({})).await?;
    let mut expected = vec!["top".to_owned()];
    for number in 0..5 {
        let name = number.to_string();
        let room = ann.create_room(&json!({"preset": "public_chat", "name": name})).await?;
        link(&ann, &top, &room, &json!({"order": name})).await?;
        expected.push(name);
    }
    let (mut found, mut from) = (Vec::new(), String::new());
    loop {
        let page = tree(&bob, &top, &format!("limit=2{from}")).await?;
        ensure!(list(&page["rooms"]).len() <= 2, "{page}");
        found.extend(names(&page));
        let Some(next) = page["next_batch"].as_str() else { break };
        from = format!("&from={next}");
    }
    ensure!(found == expected, "{found:?}");
    let base = format!("/_matrix/client/v1/rooms/{top}/hierarchy");
    for bad in [
        format!("limit=2{from}&max_depth=1"),
        format!("limit=2{from}&suggested_only=true"),
        "from=junk".to_owned(),
        "from=h2_0000000000000000".to_owned(),
        "limit=0".to_owned(),
    ] {
        refused(bob.get(&format!("{base}?{bad}")).await, 400, "M_INVALID_PARAM")?;
    }
    // The token is good for nobody else.
    refused(ann.get(&format!("{base}?limit=2{from}")).await, 400, "M_INVALID_PARAM")
}

/// Where clients that are in use ask for a summary, as it was proposed (MSC3266).
const PROPOSED_SUMMARY: &str = "/_matrix/client/unstable/im.nheko.summary";

// Operations: getRoomSummary.
async fn a_room_is_summed_up_for_whom_it_may_concern(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let nobody = Client::nobody(stage.node.http())?;
    let secret =
        json!({"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}});
    let open = ann
        .create_room(&json!({"preset": "public_chat", "name": "open", "topic": "t", "room_alias_name": "open", "initial_state": [secret], "room_version": "11"}))
        .await?;
    let summary = |room: &str| format!("/_matrix/client/v1/room_summary/{}", escaped(room));
    for name in [open.as_str(), "#open:a.test"] {
        let seen = nobody.get(&summary(name)).await?;
        ensure!(seen["room_id"] == open.as_str() && seen["name"] == "open", "{seen}");
        ensure!(
            seen["encryption"] == "m.megolm.v1.aes-sha2" && seen["room_version"] == "11",
            "{seen}"
        );
        ensure!(seen["join_rule"] == "public" && seen["world_readable"] == false, "{seen}");
        ensure!(seen.get("membership").is_none() && seen.get("children_state").is_none(), "{seen}");
        for place in ["rooms/{}/summary", "summary/{}"] {
            let place = place.replace("{}", &escaped(name));
            let old = nobody.get(&format!("{PROPOSED_SUMMARY}/{place}")).await?;
            ensure!(old["im.nheko.summary.room_version"] == "11", "{old}");
            ensure!(old["im.nheko.summary.encryption"] == seen["encryption"], "{old}");
            ensure!(old["room_id"] == seen["room_id"], "{old}");
        }
        ensure!(bob.get(&summary(name)).await?["membership"] == "leave");
        ensure!(ann.get(&summary(name)).await?["membership"] == "join");
    }
    let rule = json!({"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": open.as_str()}]});
    let members = ann
        .create_room(&json!({"initial_state": [{"type": "m.room.join_rules", "content": rule}]}))
        .await?;
    for who in [&nobody, &bob] {
        refused(who.get(&summary(members.as_str())).await, 404, "M_NOT_FOUND")?;
    }
    bob.join(&open).await?;
    let seen = bob.get(&summary(members.as_str())).await?;
    ensure!(seen["allowed_room_ids"] == json!([open.as_str()]), "{seen}");
    let closed = ann.create_room(&json!({})).await?;
    refused(bob.get(&summary(closed.as_str())).await, 404, "M_NOT_FOUND")?;
    ann.deed(&closed, "invite", Some(&bob)).await?;
    ensure!(bob.get(&summary(closed.as_str())).await?["membership"] == "invite");
    for name in ["!none:a.test", "#none:a.test"] {
        refused(nobody.get(&summary(name)).await, 404, "M_NOT_FOUND")?;
    }
    // Whoever is shut out is shown what anybody may read, and no more.
    ann.deed(&open, "ban", Some(&bob)).await?;
    refused(bob.get(&summary(open.as_str())).await, 404, "M_NOT_FOUND")
}

async fn upgraded(who: &Client, room: &RoomId, body: &Value) -> Result<RoomId> {
    let answer = who.post(&format!("/_matrix/client/v3/rooms/{room}/upgrade"), body).await?;
    Ok(RoomId::known(answer["replacement_room"].as_str().context("a room")?))
}

// Operations: upgradeRoom.
async fn a_room_moves_to_newer_rules(stage: &mut Stage) -> Result<()> {
    let (ann, bob, cat) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("cat").await?);
    for (at, from) in VERSIONS.into_iter().enumerate() {
        for (to_at, to) in VERSIONS.into_iter().enumerate() {
            let (alias, other) = (format!("a{at}{to_at}"), format!("#o{at}{to_at}:a.test"));
            let state = json!([
                {"type": "m.room.server_acl", "content": {"allow": ["*"], "deny": ["evil.test"]}},
                {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}},
                {"type": "m.room.avatar", "content": {"url": "mxc://a.test/x"}},
                {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}},
                {"type": "m.room.guest_access", "content": {"guest_access": "can_join"}},
            ]);
            let old = ann
                .create_room(&json!({"preset": "public_chat", "room_version": from, "name": "n", "topic": "t", "room_alias_name": alias, "visibility": "public", "initial_state": state, "creation_content": {"m.federate": false}}))
                .await?;
            ann.put(
                &format!("/_matrix/client/v3/directory/room/{}", escaped(&other)),
                &json!({"room_id": old.as_str()}),
            )
            .await?;
            bob.join(&old).await?;
            let mut levels = ann.state(&old, "m.room.power_levels", "").await?;
            levels["users"][bob.id()] = json!(50);
            levels["events"]["org.example.note"] = json!(7);
            ann.set_state(&old, "m.room.power_levels", "", &levels).await?;
            ann.deed(&old, "ban", Some(&cat)).await?;
            let mut ear = Ear::of(&bob).await?;
            let new = upgraded(&ann, &old, &json!({"new_version": to})).await?;
            let what = format!("{from} to {to}");

            let stone = ann.state(&old, "m.room.tombstone", "").await?;
            ensure!(
                stone["replacement_room"] == new.as_str() && stone["body"].is_string(),
                "{what}"
            );
            let answer = ear.next().await?;
            let told = list(part(&answer, &old, "join/timeline"));
            let stone =
                told.iter().find(|it| it["type"] == "m.room.tombstone").context("a stone")?;
            let create = ann.state(&new, "m.room.create", "").await?;
            ensure!(
                create["room_version"] == to && create["m.federate"] == false,
                "{what}: {create}"
            );
            ensure!(create["predecessor"]["room_id"] == old.as_str(), "{what}: {create}");
            let event_id = &create["predecessor"]["event_id"];
            ensure!(
                *event_id == if to == "12" { Value::Null } else { stone["event_id"].clone() },
                "{what}"
            );
            for kind in [
                "m.room.server_acl",
                "m.room.encryption",
                "m.room.name",
                "m.room.topic",
                "m.room.avatar",
                "m.room.join_rules",
                "m.room.history_visibility",
                "m.room.guest_access",
            ] {
                let (before, after) =
                    (ann.state(&old, kind, "").await?, ann.state(&new, kind, "").await?);
                ensure!(before == after, "{what}: {kind}: {before} and {after}");
            }
            let after = ann.state(&new, "m.room.power_levels", "").await?;
            ensure!(
                after["users"][bob.id()] == 50 && after["events"]["org.example.note"] == 7,
                "{what}: {after}"
            );
            let own = if to == "12" { Value::Null } else { json!(100) };
            ensure!(after["users"][ann.id()] == own, "{what}: {after}");
            let quiet = ann.state(&old, "m.room.power_levels", "").await?;
            ensure!(quiet["events_default"] == 50 && quiet["invite"] == 50, "{what}: {quiet}");
            refused(
                cat.post(&format!("/_matrix/client/v3/join/{new}"), &json!({})).await,
                403,
                "M_FORBIDDEN",
            )?;
            // The names name the new room, which calls them its own.
            for name in [format!("#{alias}:a.test"), other] {
                let path = format!("/_matrix/client/v3/directory/room/{}", escaped(&name));
                ensure!(bob.get(&path).await?["room_id"] == new.as_str(), "{what}: {name}");
            }
            let named = ann.state(&new, "m.room.canonical_alias", "").await?;
            ensure!(named["alias"] == format!("#{alias}:a.test"), "{what}: {named}");
            ensure!(ann.state(&old, "m.room.canonical_alias", "").await? == json!({}), "{what}");
            for (room, seen) in [(&old, "private"), (&new, "public")] {
                let path = format!("/_matrix/client/v3/directory/list/room/{room}");
                ensure!(bob.get(&path).await?["visibility"] == seen, "{what}");
            }
            bob.join(&new).await?;
            bob.say(&new, "here").await?;
        }
    }
    Ok(())
}

async fn a_space_moves_with_its_children(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let old = space(&ann, "top", &json!({"room_version": "11"})).await?;
    let child = ann.create_room(&json!({"preset": "public_chat", "name": "child"})).await?;
    link(&ann, &old, &child, &json!({"order": "a"})).await?;
    ann.set_state(&old, "m.space.child", "!gone:a.test", &json!({})).await?;
    let asked = json!({"new_version": "12", "additional_creators": [bob.id()]});
    let new = upgraded(&ann, &old, &asked).await?;
    let create = ann.state(&new, "m.room.create", "").await?;
    ensure!(create["type"] == "m.space", "{create}");
    ensure!(create["additional_creators"] == json!([bob.id()]), "{create}");
    ensure!(names(&tree(&bob, &new, "").await?) == ["top", "child"]);
    bob.join(&new).await?;
    bob.set_state(&new, "m.room.name", "", &json!({"name": "by a creator"})).await?;
    // They are not creators of the room after that unless they are named again.
    let next = upgraded(&bob, &new, &json!({"new_version": "12"})).await?;
    let create = bob.state(&next, "m.room.create", "").await?;
    ensure!(create.get("additional_creators").is_none(), "{create}");
    Ok(())
}

async fn who_may_not_upgrade_is_told_so(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    let path = format!("/_matrix/client/v3/rooms/{room}/upgrade");
    refused(bob.post(&path, &json!({"new_version": "12"})).await, 403, "M_FORBIDDEN")?;
    let cat = stage.person("cat").await?;
    refused(cat.post(&path, &json!({"new_version": "12"})).await, 403, "M_FORBIDDEN")?;
    for version in ["1", "9", "org.example.new", ""] {
        let answer = ann.post(&path, &json!({"new_version": version})).await;
        if version.is_empty() {
            ensure!(answer.is_err());
        } else {
            refused(answer, 400, "M_UNSUPPORTED_ROOM_VERSION")?;
        }
    }
    refused(ann.post(&path, &json!({})).await, 400, "M_MISSING_PARAM")?;
    refused(ann.state(&room, "m.room.tombstone", "").await, 404, "M_NOT_FOUND")
}

// Operations: getEventByTimestamp.
async fn the_event_nearest_to_a_time_is_found(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    let mut said = Vec::new();
    for number in 0..3 {
        said.push(ann.say(&room, &number.to_string()).await?);
    }
    let time = async |id: &str| -> Result<i64> {
        let event = ann.get(&format!("/_matrix/client/v3/rooms/{room}/event/{id}")).await?;
        event["origin_server_ts"].as_i64().context("a time")
    };
    let nearest = async |who: &Client, ms: i64, dir: &str| {
        let path = format!("/_matrix/client/v1/rooms/{room}/timestamp_to_event?ts={ms}&dir={dir}");
        who.get(&path).await
    };
    let last = time(&said[2]).await?;
    for (ms, dir) in [(last, "b"), (last + 1_000, "b")] {
        let found = nearest(&ann, ms, dir).await?;
        ensure!(found["event_id"] == *said[2] && found["origin_server_ts"] == last, "{found}");
    }
    let found = nearest(&ann, 0, "f").await?;
    let first = found["event_id"].as_str().context("an id")?;
    let event = ann.get(&format!("/_matrix/client/v3/rooms/{room}/event/{first}")).await?;
    ensure!(event["type"] == "m.room.create", "{event}");
    refused(nearest(&ann, 0, "b").await, 404, "M_NOT_FOUND")?;
    refused(nearest(&ann, last + 1_000, "f").await, 404, "M_NOT_FOUND")?;
    refused(nearest(&bob, last, "b").await, 403, "M_FORBIDDEN")?;
    // What was said when they could not see it is passed over.
    let rule = json!({"history_visibility": "joined"});
    ann.set_state(&room, "m.room.history_visibility", "", &rule).await?;
    let hidden = ann.say(&room, "hidden").await?;
    bob.join(&room).await?;
    let found = nearest(&bob, time(&hidden).await?, "b").await?;
    ensure!(found["event_id"] != *hidden, "{found}");
    redact(&ann, &room, &said[2]).await?;
    ensure!(
        nearest(&ann, last, "b").await?["event_id"] == *said[2],
        "what is emptied stays in its place"
    );
    for bad in ["ts=x&dir=f", "ts=1", "dir=f", "ts=1&dir=x", "ts=-1&dir=f"] {
        let path = format!("/_matrix/client/v1/rooms/{room}/timestamp_to_event?{bad}");
        ensure!(ann.get(&path).await.is_err(), "{bad}");
    }
    Ok(())
}
