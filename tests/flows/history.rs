//! What of a room's past is shown to whom, by every door to it.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wayside_tests::{Client, RoomId, SyncToken};

use crate::stage::{Deeds, Ear, Stage, VERSIONS, bodies, escaped, list, part, refused, stories};

stories! {
    the_rule_of_the_time_decides;
    who_has_gone_keeps_what_they_saw;
    anybody_reads_what_is_world_readable;
    what_is_forgotten_is_gone;
    state_of_a_hidden_time_is_told_as_state;
    members_of_a_hidden_time_are_hidden;
}

/// Everything said in a room that somebody is shown by `/messages`, the oldest first.
async fn shown(who: &Client, room: &RoomId) -> Result<Vec<String>> {
    let page =
        who.get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=f&limit=100")).await?;
    Ok(bodies(&list(&page["chunk"])))
}

// Operations: getEventContext, getRoomEvents.
async fn the_rule_of_the_time_decides(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    for version in VERSIONS {
        for (rule, expected) in [
            ("world_readable", &["before", "invited", "joined"][..]),
            ("shared", &["before", "invited", "joined"]),
            ("invited", &["invited", "joined"]),
            ("joined", &["joined"]),
        ] {
            let room = ann.create_room(&json!({"room_version": version, "initial_state": [{"type": "m.room.history_visibility", "content": {"history_visibility": rule}}]})).await?;
            let mut events = vec![ann.say(&room, "before").await?];
            ann.deed(&room, "invite", Some(&bob)).await?;
            events.push(ann.say(&room, "invited").await?);
            if rule != "world_readable" {
                // Whoever is only invited reads nothing yet.
                let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b");
                refused(bob.get(&path).await, 403, "M_FORBIDDEN")?;
            }
            bob.join(&room).await?;
            events.push(ann.say(&room, "joined").await?);
            ensure!(shown(&bob, &room).await? == expected, "{rule} in version {version}");
            let (_, answer) = Ear::begin(&bob, "").await?;
            let told = bodies(&list(part(&answer, &room, "join/timeline")));
            let newest: Vec<_> = expected.iter().map(|it| (*it).to_owned()).collect();
            ensure!(newest.ends_with(&told) && !told.is_empty(), "{rule}: sync tells {told:?}");
            let page = bob
                .get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=f&limit=100"))
                .await?;
            for event in list(&page["chunk"]).iter().filter(|it| it["content"]["body"].is_string())
            {
                let stood = match event["content"]["body"].as_str() {
                    Some("before") => "leave",
                    Some("invited") => "invite",
                    _ => "join",
                };
                ensure!(event["unsigned"]["membership"] == stood, "{event}");
            }
            for (event, text) in events.iter().zip(["before", "invited", "joined"]) {
                for door in ["event", "context"] {
                    let answer =
                        bob.get(&format!("/_matrix/client/v3/rooms/{room}/{door}/{event}")).await;
                    if expected.contains(&text) {
                        answer?;
                    } else {
                        refused(answer, 404, "M_NOT_FOUND")?;
                    }
                }
            }
            let around = bob
                .get(&format!("/_matrix/client/v3/rooms/{room}/context/{}?limit=20", events[2]))
                .await?;
            let mut before = bodies(&list(&around["events_before"]));
            before.reverse();
            ensure!(before == expected[..expected.len() - 1], "{rule}: around {around}");
            bob.deed(&room, "leave", None).await?;
        }
        // A rule counts for what is said under it, not for what was said before.
        let room =
            ann.create_room(&json!({"preset": "public_chat", "room_version": version})).await?;
        let rule = |rule: &str| json!({"history_visibility": rule});
        let kind = "m.room.history_visibility";
        ann.set_state(&room, kind, "", &rule("joined")).await?;
        ann.say(&room, "secret").await?;
        ann.set_state(&room, kind, "", &rule("shared")).await?;
        ann.say(&room, "open").await?;
        bob.join(&room).await?;
        ensure!(shown(&bob, &room).await? == ["open"], "version {version}");
    }
    Ok(())
}

// Operations: getMembersByRoom.
async fn who_has_gone_keeps_what_they_saw(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    for version in VERSIONS {
        let room =
            ann.create_room(&json!({"preset": "public_chat", "room_version": version})).await?;
        bob.join(&room).await?;
        ann.say(&room, "seen").await?;
        ann.set_state(&room, "m.room.topic", "", &json!({"topic": "then"})).await?;
        let mut ear = Ear::of(&bob).await?;
        bob.deed(&room, "leave", None).await?;
        let late = ann.say(&room, "unseen").await?;
        ann.set_state(&room, "m.room.topic", "", &json!({"topic": "now"})).await?;
        ann.set_state(&room, "org.example.new", "", &json!({})).await?;
        let check = async |when: &str| -> Result<()> {
            ensure!(shown(&bob, &room).await? == ["seen"], "{when} in version {version}");
            let topic = bob.state(&room, "m.room.topic", "").await?;
            ensure!(topic["topic"] == "then", "{when}: {topic}");
            refused(bob.state(&room, "org.example.new", "").await, 404, "M_NOT_FOUND")?;
            refused(
                bob.get(&format!("/_matrix/client/v3/rooms/{room}/event/{late}")).await,
                404,
                "M_NOT_FOUND",
            )?;
            let members = bob.get(&format!("/_matrix/client/v3/rooms/{room}/members")).await?;
            let own = list(&members["chunk"]).into_iter().find(|it| it["state_key"] == bob.id());
            ensure!(
                own.context("their own member event")?["content"]["membership"] == "leave",
                "{when}"
            );
            Ok(())
        };
        check("after leaving").await?;
        ann.deed(&room, "ban", Some(&bob)).await?;
        check("after a ban").await?;
        ann.deed(&room, "unban", Some(&bob)).await?;
        check("after the ban was lifted").await?;
        ann.deed(&room, "invite", Some(&bob)).await?;
        check("after being invited again").await?;
        bob.deed(&room, "leave", None).await?;
        check("after turning that down").await?;
        let answer = ear.next().await?;
        ensure!(
            !answer.to_string().contains("unseen") && !answer.to_string().contains("now"),
            "{answer}"
        );

        // Coming back opens what was said meanwhile only if the rule does.
        ann.set_state(
            &room,
            "m.room.history_visibility",
            "",
            &json!({"history_visibility": "joined"}),
        )
        .await?;
        bob.join(&room).await?;
        ear.now().await?;
        bob.deed(&room, "leave", None).await?;
        ann.say(&room, "away").await?;
        bob.join(&room).await?;
        ann.say(&room, "back").await?;
        ensure!(shown(&bob, &room).await? == ["seen", "unseen", "back"], "version {version}");
        let answer = ear.next().await?;
        ensure!(bodies(&list(part(&answer, &room, "join/timeline"))) == ["back"], "{answer}");
    }
    Ok(())
}

async fn anybody_reads_what_is_world_readable(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    ann.say(&room, "closed").await?;
    bob.join(&room).await?;
    bob.deed(&room, "leave", None).await?;
    ann.set_state(
        &room,
        "m.room.history_visibility",
        "",
        &json!({"history_visibility": "world_readable"}),
    )
    .await?;
    let event = ann.say(&room, "open").await?;
    let cat = stage.person("cat").await?;
    ensure!(shown(&cat, &room).await? == ["open"]);
    ensure!(
        shown(&bob, &room).await? == ["closed", "open"],
        "who left reads no less than strangers"
    );
    for door in [
        format!("event/{event}"),
        format!("context/{event}"),
        "state".to_owned(),
        "members".to_owned(),
        "aliases".to_owned(),
    ] {
        cat.get(&format!("/_matrix/client/v3/rooms/{room}/{door}"))
            .await
            .with_context(|| door.clone())?;
    }
    refused(cat.send_text(&room, "1", "me too").await, 403, "M_FORBIDDEN")?;
    ann.set_state(&room, "m.room.history_visibility", "", &json!({"history_visibility": "shared"}))
        .await?;
    refused(
        cat.get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=b")).await,
        403,
        "M_FORBIDDEN",
    )
}

// Operations: forgetRoom.
async fn what_is_forgotten_is_gone(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    ann.say(&room, "said").await?;
    bob.join(&room).await?;
    refused(bob.deed(&room, "forget", None).await, 400, "M_UNKNOWN")?;
    bob.deed(&room, "leave", None).await?;
    bob.deed(&room, "forget", None).await?;
    let messages = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b");
    refused(bob.get(&messages).await, 403, "M_FORBIDDEN")?;
    // An invitation does not bring the memory back; joining does what it does for anybody.
    ann.deed(&room, "invite", Some(&bob)).await?;
    refused(bob.get(&messages).await, 403, "M_FORBIDDEN")?;
    bob.join(&room).await?;
    ensure!(shown(&bob, &room).await? == ["said"]);
    // Who speaks comes along where only the speakers are wanted, and nobody else.
    let lazy = escaped(r#"{"lazy_load_members":true,"types":["m.room.message"]}"#);
    let page = bob.get(&format!("{messages}&filter={lazy}")).await?;
    let members = list(&page["state"]);
    ensure!(members.len() == 1 && members[0]["state_key"] == ann.id(), "{page}");
    let said = page["chunk"][0]["event_id"].as_str().context("an id")?;
    let around = |query: &str| format!("/_matrix/client/v3/rooms/{room}/context/{said}?{query}");
    let alone = bob.get(&around(&format!("limit=0&filter={lazy}"))).await?;
    ensure!(
        list(&alone["events_before"]).is_empty() && list(&alone["events_after"]).is_empty(),
        "{alone}"
    );
    ensure!(
        list(&alone["state"])
            .iter()
            .all(|it| it["type"] != "m.room.member" || it["state_key"] == ann.id()),
        "{alone}"
    );
    let two = bob.get(&around("limit=2")).await?;
    ensure!(
        list(&two["events_before"]).len() == 1 && list(&two["events_after"]).len() == 1,
        "{two}"
    );
    // The two ends lead on from where the context stops, without a gap.
    for (end, dir, beside) in [("start", "b", "events_before"), ("end", "f", "events_after")] {
        let from = two[end].as_str().context("a token")?;
        let page = bob
            .get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir={dir}&from={from}"))
            .await?;
        let ids = |value: &serde_json::Value| {
            list(value).iter().map(|it| it["event_id"].clone()).collect::<Vec<_>>()
        };
        let whole = bob
            .get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir={dir}&limit=100"))
            .await?;
        let mut whole = ids(&whole["chunk"]);
        let at =
            whole.iter().position(|it| *it == two["event"]["event_id"]).context("in the room")?;
        ensure!(
            whole.split_off(at + 1) == [ids(&two[beside]), ids(&page["chunk"])].concat(),
            "{dir}"
        );
    }
    let own = bob.state(&room, "m.room.member", &escaped(bob.id())).await?;
    ensure!(own["membership"] == "join");
    refused(bob.post("/_matrix/client/v3/rooms/!none/forget", &json!({})).await, 404, "M_NOT_FOUND")
}

/// What the room became while somebody could not see it is how it stands when they come.
async fn state_of_a_hidden_time_is_told_as_state(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let hidden =
        json!([{"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}]);
    let room = ann.create_room(&json!({"name": "Before", "initial_state": hidden})).await?;
    ann.deed(&room, "invite", Some(&bob)).await?;
    ann.set_state(&room, "m.room.name", "", &json!({"name": "Between"})).await?;
    bob.join(&room).await?;
    let (_, answer) = Ear::begin(&bob, "").await?;
    let known = [part(&answer, &room, "join/state"), part(&answer, &room, "join/timeline")];
    let names: Vec<_> = known
        .iter()
        .flat_map(|part| list(part))
        .filter(|event| event["type"] == "m.room.name")
        .map(|event| event["content"]["name"].clone())
        .collect();
    ensure!(names.last() == Some(&json!("Between")), "bob is told {names:?}");
    Ok(())
}

async fn members_of_a_hidden_time_are_hidden(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let (cat, dan) = (stage.person("cat").await?, stage.person("dan").await?);
    for (rule, before_is_seen) in [("shared", true), ("joined", false)] {
        let room = ann.create_room(&json!({"preset": "public_chat", "initial_state": [{"type": "m.room.history_visibility", "content": {"history_visibility": rule}}]})).await?;
        cat.join(&room).await?;
        let before = Ear::of(&ann).await?.token;
        cat.deed(&room, "leave", None).await?;
        bob.join(&room).await?;
        let within = Ear::of(&ann).await?.token;
        bob.deed(&room, "leave", None).await?;
        dan.join(&room).await?;
        let after = Ear::of(&ann).await?.token;
        let members = async |who: &Client, at: &SyncToken| who.get(&members_at(&room, at)).await;
        let seen = members(&bob, &within).await?;
        ensure!(list(&seen["chunk"]).len() == 2, "{rule}: {seen}");
        let seen = members(&bob, &before).await;
        if before_is_seen {
            ensure!(seen?.to_string().contains(cat.id()), "{rule}");
        } else {
            refused(seen, 403, "M_FORBIDDEN")?;
        }
        refused(members(&bob, &after).await, 403, "M_FORBIDDEN")?;
        ensure!(list(&members(&ann, &after).await?["chunk"]).len() == 2, "{rule}");
        dan.deed(&room, "leave", None).await?;
        let stranger = stage.person(&format!("eve-{rule}")).await?;
        refused(members(&stranger, &within).await, 403, "M_FORBIDDEN")?;
    }
    // Whoever was never in a room that anybody may read sees the times that anybody may.
    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    let hidden = Ear::of(&ann).await?.token;
    let rule = json!({"history_visibility": "world_readable"});
    ann.set_state(&room, "m.room.history_visibility", "", &rule).await?;
    let open = Ear::of(&ann).await?.token;
    refused(bob.get(&members_at(&room, &hidden)).await, 403, "M_FORBIDDEN")?;
    ensure!(list(&bob.get(&members_at(&room, &open)).await?["chunk"]).len() == 1);
    Ok(())
}

/// Where those are asked for who were in a room at somebody's token. As a page names a position,
/// it is the same for everybody.
fn members_at(room: &RoomId, token: &SyncToken) -> String {
    let position = token.as_str().trim_start_matches('s').split('_').next().unwrap_or_default();
    format!("/_matrix/client/v3/rooms/{room}/members?membership=join&at=t{position}")
}
