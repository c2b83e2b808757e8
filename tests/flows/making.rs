//! Making rooms: what a request makes of a room, and what it cannot.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{Client, RoomId};

use crate::stage::{Deeds, Stage, VERSIONS, escaped, list, one, refused, stories};

stories! {
    a_room_begins_as_it_was_asked_for;
    a_room_that_cannot_be_is_refused;
    creators_of_version_12_stand_above_all;
}

/// All events of a room, the oldest first.
async fn events(who: &Client, room: &RoomId) -> Result<Vec<Value>> {
    let page =
        who.get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=f&limit=100")).await?;
    Ok(list(&page["chunk"]))
}

/// What a preset says: its join rule, guest access, and the level that inviting needs.
const PRESETS: [(&str, &str, &str, i64); 3] = [
    ("private_chat", "invite", "can_join", 0),
    ("trusted_private_chat", "invite", "can_join", 0),
    ("public_chat", "public", "forbidden", 50),
];

// Operations: createRoom.
async fn a_room_begins_as_it_was_asked_for(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    for version in VERSIONS {
        for preset in PRESETS {
            begins_right(&ann, &bob, version, preset).await?;
        }
    }
    // What the visibility says where there is no preset, and the version where none is named.
    for (visibility, rule) in [("public", "public"), ("private", "invite")] {
        let room = ann.create_room(&json!({"visibility": visibility})).await?;
        ensure!(ann.state(&room, "m.room.join_rules", "").await?["join_rule"] == rule);
        ensure!(ann.state(&room, "m.room.create", "").await?["room_version"] == "12");
        let listed = ann.get(&format!("/_matrix/client/v3/directory/list/room/{room}")).await?;
        ensure!(listed["visibility"] == visibility, "{listed}");
    }
    // Initial state wins over the preset, wherever it comes from.
    let room = ann.create_room(&json!({"room_version": "11", "preset": "public_chat", "initial_state": [
        {"type": "m.room.join_rules", "content": {"join_rule": "knock"}},
        {"type": "m.room.power_levels", "content": {"users": {ann.id(): 77}, "state_default": 60}}]})).await?;
    ensure!(ann.state(&room, "m.room.join_rules", "").await?["join_rule"] == "knock");
    ensure!(ann.state(&room, "m.room.power_levels", "").await?["users"][ann.id()] == 77);
    Ok(())
}

async fn begins_right(
    ann: &Client,
    bob: &Client,
    version: &str,
    (preset, rule, guests, invite): (&str, &str, &str, i64),
) -> Result<()> {
    let alias = format!("{preset}-{version}");
    let room = ann.create_room(&json!({
        "preset": preset, "room_version": version, "room_alias_name": alias,
        "name": "Den", "topic": "Talk", "invite": [bob.id()], "is_direct": true,
        "creation_content": {"m.federate": false, "type": "org.example.world", "creator": "@eve:a.test", "room_version": "1"},
        "initial_state": [{"type": "org.example.first", "content": {"n": 1}}, {"type": "m.room.name", "content": {"name": "Lost"}}, {"type": "org.example.second", "state_key": "k", "content": {"n": 2}}],
        "power_level_content_override": {"events_default": 5, "users_default": 5},
    })).await?;
    let events = events(ann, &room).await?;
    let kinds: Vec<&str> = events.iter().filter_map(|it| it["type"].as_str()).collect();
    let expected = [
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.canonical_alias",
        "m.room.join_rules",
        "m.room.history_visibility",
        "m.room.guest_access",
        "org.example.first",
        "org.example.second",
        "m.room.name",
        "m.room.topic",
        "m.room.member",
    ];
    ensure!(kinds == expected, "{preset} {version}: {kinds:?}");
    let content =
        |kind: &str| one(&events, kind, None).map(|it| it["content"].clone()).unwrap_or_default();
    let create = content("m.room.create");
    ensure!(
        create["room_version"] == version
            && create["m.federate"] == false
            && create["type"] == "org.example.world",
        "{create}"
    );
    ensure!(
        create["creator"] == if version == "10" { json!(ann.id()) } else { Value::Null },
        "{create}"
    );
    ensure!(content("m.room.join_rules")["join_rule"] == rule, "{preset}");
    ensure!(content("m.room.guest_access")["guest_access"] == guests, "{preset}");
    ensure!(content("m.room.history_visibility")["history_visibility"] == "shared", "{preset}");
    ensure!(content("m.room.canonical_alias")["alias"] == format!("#{alias}:a.test"), "{preset}");
    ensure!(
        content("m.room.name")["name"] == "Den" && content("m.room.topic")["topic"] == "Talk",
        "{preset}"
    );
    levels_are_right(
        &content("m.room.power_levels"),
        &create,
        (ann, bob),
        version,
        (preset, invite),
    )?;
    let invited = one(&events, "m.room.member", Some(bob.id())).context("Bob is invited")?;
    ensure!(
        invited["content"]["is_direct"] == true && invited["content"]["membership"] == "invite",
        "{invited}"
    );
    let found = ann
        .get(&format!("/_matrix/client/v3/directory/room/{}", escaped(&format!("#{alias}:a.test"))))
        .await?;
    ensure!(found["room_id"] == room.as_str(), "{found}");
    Ok(())
}

fn levels_are_right(
    levels: &Value,
    create: &Value,
    (ann, bob): (&Client, &Client),
    version: &str,
    (preset, invite): (&str, i64),
) -> Result<()> {
    ensure!(
        levels["events_default"] == 5
            && levels["users_default"] == 5
            && levels["invite"] == invite
            && levels["ban"] == 50,
        "{levels}"
    );
    let trusted = preset == "trusted_private_chat";
    let (users, tombstone) = match (version, trusted) {
        ("12", _) => (json!({}), 150),
        (_, true) => (json!({ann.id(): 100, bob.id(): 100}), 100),
        (_, false) => (json!({ann.id(): 100}), 100),
    };
    ensure!(
        levels["users"] == users && levels["events"]["m.room.tombstone"] == tombstone,
        "{levels}"
    );
    ensure!(
        create.get("additional_creators").is_some() == (version == "12" && trusted),
        "{create}"
    );
    Ok(())
}

// Operations: getJoinedRooms.
async fn a_room_that_cannot_be_is_refused(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    ann.create_room(&json!({"room_alias_name": "taken"})).await?;
    let cases = [
        (json!({"room_version": "1"}), "M_UNSUPPORTED_ROOM_VERSION"),
        (json!({"room_version": "org.example.99"}), "M_UNSUPPORTED_ROOM_VERSION"),
        (json!({"room_alias_name": "taken"}), "M_ROOM_IN_USE"),
        (json!({"room_alias_name": "two words"}), "M_INVALID_PARAM"),
        (json!({"preset": "org.example"}), "M_INVALID_PARAM"),
        (json!({"invite": ["nobody"]}), "M_BAD_JSON"),
        (json!({"initial_state": [{"content": {}}]}), "M_BAD_JSON"),
        (
            json!({"initial_state": [{"type": "m.room.create", "content": {}}]}),
            "M_INVALID_ROOM_STATE",
        ),
        (
            json!({"room_version": "11", "name": "x", "power_level_content_override": {"users": {ann.id(): 10}}}),
            "M_INVALID_ROOM_STATE",
        ),
        (
            json!({"room_version": "11", "power_level_content_override": {"ban": "50"}}),
            "M_INVALID_ROOM_STATE",
        ),
        (
            json!({"room_version": "12", "power_level_content_override": {"users": {ann.id(): 100}}}),
            "M_INVALID_ROOM_STATE",
        ),
        (
            json!({"room_version": "12", "creation_content": {"additional_creators": "@bob:a.test"}}),
            "M_INVALID_ROOM_STATE",
        ),
    ];
    for (request, code) in cases {
        let answer = ann.post("/_matrix/client/v3/createRoom", &request).await;
        refused(answer, 400, code).with_context(|| request.to_string())?;
    }
    // Whatever was refused left nothing behind.
    let joined = ann.get("/_matrix/client/v3/joined_rooms").await?;
    ensure!(list(&joined["joined_rooms"]).len() == 1, "{joined}");
    Ok(())
}

async fn creators_of_version_12_stand_above_all(stage: &mut Stage) -> Result<()> {
    let (ann, bob, cat) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("cat").await?);
    let room = ann
        .create_room(&json!({"room_version": "12", "preset": "trusted_private_chat",
        "invite": [bob.id()], "creation_content": {"additional_creators": [cat.id(), bob.id()]}}))
        .await?;
    ensure!(!room.as_str().contains(':'), "the room's id is a hash: {room}");
    let create =
        one(&events(&ann, &room).await?, "m.room.create", None).cloned().context("create")?;
    ensure!(create["event_id"].as_str() == Some(&room.as_str().replacen('!', "$", 1)), "{create}");
    ensure!(create["content"]["additional_creators"] == json!([cat.id(), bob.id()]), "{create}");
    bob.join(&room).await?;
    // A creator raises others, whom nobody can raise to creators, and is raised by nobody.
    let mut levels = bob.state(&room, "m.room.power_levels", "").await?;
    levels["users"] = json!({"@dan:a.test": 9_000});
    bob.set_state(&room, "m.room.power_levels", "", &levels).await?;
    levels["users"] = json!({ann.id(): 50});
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.power_levels");
    refused(ann.put(&path, &levels).await, 403, "M_FORBIDDEN")?;
    refused(bob.deed(&room, "kick", Some(&ann)).await, 403, "M_FORBIDDEN")?;
    let version_10 = ann.create_room(&json!({"room_version": "10"})).await?;
    ensure!(version_10.as_str().ends_with(":a.test"), "{version_10}");
    Ok(())
}
