//! News: what a client is told, when, and once.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{Client, SyncToken};

use crate::stage::{
    Deeds, Ear, Stage, VERSIONS, bodies, escaped, is_quiet, list, one, part, refused, room_of,
    stories, typists,
};

stories! {
    everything_wakes_a_long_poll;
    a_gap_can_be_filled_exactly;
    rooms_come_and_go;
    filters_leave_out;
    state_arrives_in_every_form;
    events_carry_what_belongs_to_them;
    ephemeral_things_are_told_once;
    nothing_is_lost_or_told_twice;
    rooms_without_a_name_have_heroes;
}

const OPEN: fn() -> Value = || json!({ "preset": "public_chat" });

async fn everything_wakes_a_long_poll(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &OPEN()).await?;
    let other = ann.create_room(&json!({})).await?;
    let event = ann.say(&room, "first").await?;
    let mut ear = Ear::of(&bob).await?;
    ear.now().await?;
    let phone = Client::login(stage.node.http(), "bob").await?;

    let (rooms, bob_id) = (format!("/_matrix/client/v3/rooms/{room}"), escaped(bob.id()));
    let (ann_id, mine) = (escaped(ann.id()), format!("/_matrix/client/v3/user/{bob_id}"));
    let invite = format!("/_matrix/client/v3/rooms/{other}/invite");
    let cases = [
        (&ann, "PUT", format!("{rooms}/send/m.room.message/w1"), json!({"body": "hi"}), "timeline"),
        (
            &ann,
            "PUT",
            format!("{rooms}/typing/{ann_id}"),
            json!({"typing": true, "timeout": 30_000}),
            "m.typing",
        ),
        (&ann, "POST", format!("{rooms}/receipt/m.read/{event}"), json!({}), "m.receipt"),
        (
            &phone,
            "POST",
            format!("{rooms}/receipt/m.read.private/{event}"),
            json!({}),
            "m.read.private",
        ),
        (&phone, "PUT", format!("{mine}/account_data/org.example"), json!({"a": 1}), "org.example"),
        (
            &phone,
            "PUT",
            format!("{mine}/rooms/{room}/account_data/org.room"),
            json!({"a": 1}),
            "org.room",
        ),
        (
            &ann,
            "PUT",
            format!("/_matrix/client/v3/presence/{ann_id}/status"),
            json!({"presence": "unavailable", "status_msg": "away"}),
            "away",
        ),
        (&ann, "POST", invite, json!({"user_id": bob.id()}), "invite_state"),
        (&ann, "POST", format!("{rooms}/kick"), json!({"user_id": bob.id()}), "leave"),
    ];
    for (who, method, path, body, news) in cases {
        ear.now().await?;
        let call = async {
            tokio::task::yield_now().await;
            anyhow::Ok(who.call(method.parse()?, &path, Some(&body)).await?)
        };
        let (heard, called) =
            tokio::join!(ear.hear(|it| it.to_string().contains(news).then_some(())), call);
        let _: Value = called.with_context(|| path.clone())?;
        heard.with_context(|| format!("{news} after {path}"))?;
    }

    let before = ear.token.clone();
    let path = format!("/_matrix/client/v3/sync?timeout=20&since={before}");
    let answer = bob.get(&path).await?;
    ensure!(is_quiet(&answer) && answer["next_batch"].is_string(), "news at the end: {answer}");
    refused(bob.get("/_matrix/client/v3/sync?since=s1_1_1_nonsense").await, 400, "M_INVALID_PARAM")
}

async fn a_gap_can_be_filled_exactly(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &OPEN()).await?;
    let other = room_of(&[&ann, &bob], &OPEN()).await?;
    let mut ear = Ear::of(&bob).await?;
    let since = ear.token.clone();
    let mut said = Vec::new();
    for number in 0..25 {
        said.push(ann.say(&room, &format!("m{number}")).await?);
        // What happens elsewhere lies between in the stream and shall not matter.
        ann.say(&other, &format!("o{number}")).await?;
        if number == 7 {
            ann.set_state(&room, "m.room.topic", "", &json!({"topic": "in the gap"})).await?;
        }
    }
    let answer = ear.next().await?;
    let timeline = part(&answer, &room, "join/timeline");
    let shown = ids(&list(timeline));
    ensure!(timeline["limited"] == true && shown == said[15..], "not the newest ten: {timeline}");
    let state = list(part(&answer, &room, "join/state"));
    ensure!(one(&state, "m.room.topic", None).is_some(), "the gap's state is missing: {state:?}");
    ensure!(state.len() == 1, "state that did not change: {state:?}");

    let gap_end = SyncToken::known(timeline["prev_batch"].as_str().context("prev_batch")?);
    for page_size in [4, 100] {
        let mut found = Vec::new();
        let mut from = Some(gap_end.clone());
        while let Some(at) = from {
            let path = format!(
                "/_matrix/client/v3/rooms/{room}/messages?dir=b&limit={page_size}&from={at}&to={since}"
            );
            let page = bob.get(&path).await?;
            found.extend(ids(&list(&page["chunk"])));
            from = page["end"].as_str().map(SyncToken::known);
        }
        found.reverse();
        let texts: Vec<&String> = found.iter().filter(|id| said.contains(id)).collect();
        ensure!(texts.iter().copied().eq(&said[..15]), "the gap is not filled exactly: {found:?}");
        ensure!(found.len() == 16, "there is more than the gap: {found:?}");
    }
    let path =
        format!("/_matrix/client/v3/rooms/{room}/messages?dir=f&limit=7&from={since}&to={gap_end}");
    let mut page = bob.get(&path).await?;
    let mut forward = ids(&list(&page["chunk"]));
    while let Some(end) = page["end"].as_str() {
        let path = format!(
            "/_matrix/client/v3/rooms/{room}/messages?dir=f&limit=7&from={end}&to={gap_end}"
        );
        page = bob.get(&path).await?;
        forward.extend(ids(&list(&page["chunk"])));
    }
    forward.retain(|id| said.contains(id));
    ensure!(forward == said[..15], "forward is not the gap: {forward:?}");
    let page =
        bob.get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=500")).await?;
    ensure!(page.get("end").is_none(), "there is nothing before the beginning: {}", page["end"]);
    Ok(())
}

fn ids(events: &[Value]) -> Vec<String> {
    events.iter().filter_map(|it| it["event_id"].as_str().map(str::to_owned)).collect()
}

// Operations: leaveRoom.
async fn rooms_come_and_go(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    for version in VERSIONS {
        let room = ann.create_room(&json!({"preset": "private_chat", "room_version": version, "name": "Den", "invite": [bob.id()], "is_direct": true})).await?;
        let (mut ear, first) = Ear::begin(&bob, "").await?;
        let door = list(part(&first, &room, "invite/invite_state"));
        for kind in ["m.room.create", "m.room.name", "m.room.join_rules"] {
            let shown =
                one(&door, kind, Some("")).with_context(|| format!("{kind} in {door:?}"))?;
            ensure!(shown["sender"] == ann.id() && shown["content"].is_object(), "{shown}");
        }
        let own = one(&door, "m.room.member", Some(bob.id())).context("the invitation itself")?;
        ensure!(
            own["content"]["membership"] == "invite" && own["content"]["is_direct"] == true,
            "{own}"
        );

        bob.deed(&room, "leave", None).await?;
        let answer = ear.next().await?;
        let events = list(part(&answer, &room, "leave/timeline"));
        ensure!(events.len() == 1 && events[0]["content"]["membership"] == "leave", "{answer}");
        ensure!(part(&answer, &room, "invite").is_null(), "{answer}");

        ann.deed(&room, "invite", Some(&bob)).await?;
        bob.join(&room).await?;
        let answer = ear.next().await?;
        let all =
            [list(part(&answer, &room, "join/state")), list(part(&answer, &room, "join/timeline"))]
                .concat();
        for kind in ["m.room.create", "m.room.name", "m.room.power_levels", "m.room.join_rules"] {
            ensure!(one(&all, kind, Some("")).is_some(), "{kind} is missing: {answer}");
        }

        ann.say(&room, "before").await?;
        ann.deed(&room, "kick", Some(&bob)).await?;
        ann.say(&room, "after").await?;
        let answer = ear.next().await?;
        let events = list(part(&answer, &room, "leave/timeline"));
        ensure!(bodies(&events) == ["before"], "{answer}");
        ensure!(events.last().is_some_and(|it| it["state_key"] == bob.id()), "{answer}");

        ann.deed(&room, "ban", Some(&bob)).await?;
        let answer = ear.next().await?;
        let events = list(part(&answer, &room, "leave/timeline"));
        ensure!(events.len() == 1 && events[0]["content"]["membership"] == "ban", "{answer}");
        ensure!(!answer.to_string().contains("after"), "{answer}");
        ann.deed(&room, "unban", Some(&bob)).await?;
        ann.deed(&room, "invite", Some(&bob)).await?;
        bob.join(&room).await?;
        let answer =
            ear.hear(|it| (!part(it, &room, "join").is_null()).then(|| it.clone())).await?;
        ensure!(part(&answer, &room, "leave").is_null(), "{answer}");

        let knock = ann.create_room(&json!({"room_version": version, "initial_state": [{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}]})).await?;
        bob.post(&format!("/_matrix/client/v3/knock/{knock}"), &json!({"reason": "please"}))
            .await?;
        let answer =
            ear.hear(|it| (!part(it, &knock, "knock").is_null()).then(|| it.clone())).await?;
        let door = list(part(&answer, &knock, "knock/knock_state"));
        ensure!(
            one(&door, "m.room.member", Some(bob.id()))
                .is_some_and(|it| it["content"]["reason"] == "please"),
            "{answer}"
        );
        bob.deed(&knock, "leave", None).await?;
        ear.hear(|it| (!part(it, &knock, "leave").is_null()).then_some(())).await?;
        bob.deed(&room, "leave", None).await?;
        let filter = escaped(r#"{"room":{"include_leave":true}}"#);
        let (_, with) = Ear::begin(&bob, &format!("&filter={filter}")).await?;
        let (_, without) = Ear::begin(&bob, "").await?;
        ensure!(!part(&with, &room, "leave").is_null(), "include_leave: {with}");
        ensure!(part(&without, &room, "leave").is_null(), "left rooms uninvited: {without}");
        bob.deed(&room, "forget", None).await?;
        let (_, with) = Ear::begin(&bob, &format!("&filter={filter}")).await?;
        ensure!(part(&with, &room, "leave").is_null(), "forgotten: {with}");
    }
    Ok(())
}

// Operations: defineFilter, getFilter.
async fn filters_leave_out(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &OPEN()).await?;
    let other = room_of(&[&ann, &bob], &OPEN()).await?;
    for who in [&ann, &bob] {
        who.say(&room, &format!("{} here", &who.id()[1..4])).await?;
    }
    ann.set_state(&room, "org.example.kind", "", &json!({"url": "mxc://a.test/x"})).await?;
    let texts = |answer: &Value| bodies(&list(part(answer, &room, "join/timeline")));
    let timeline = |filter: Value| json!({"room": {"timeline": filter}});
    let cases: [(Value, &[&str]); 6] = [
        (timeline(json!({"types": ["m.room.message"]})), &["ann here", "bob here"]),
        (timeline(json!({"not_types": ["m.room.mess*"]})), &[]),
        (timeline(json!({"senders": [bob.id()]})), &["bob here"]),
        (timeline(json!({"not_senders": [bob.id()], "types": ["m.room.*"]})), &["ann here"]),
        (timeline(json!({"limit": 1, "types": ["m.room.message"]})), &["bob here"]),
        (timeline(json!({"contains_url": true})), &[]),
    ];
    for (filter, expected) in cases {
        let (_, answer) =
            Ear::begin(&bob, &format!("&filter={}", escaped(&filter.to_string()))).await?;
        ensure!(texts(&answer) == expected, "{filter}: {answer}");
        let query = escaped(&filter["room"]["timeline"].to_string());
        let page = bob
            .get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=2&filter={query}"))
            .await?;
        let mut page = bodies(&list(&page["chunk"]));
        page.reverse();
        let wanted = if filter["room"]["timeline"].get("limit").is_some() {
            &["ann here", "bob here"][..]
        } else {
            expected
        };
        ensure!(page == wanted, "/messages with {filter}: {page:?}");
    }
    for (filter, code) in [
        (r#"{"room":{"timeline":{"limit":5000000000}}}"#, ""),
        (r#"{"room":{"timeline":{"limit":-1}}}"#, "M_INVALID_PARAM"),
        (r#"{"room":"#, "M_INVALID_PARAM"),
    ] {
        let answer = bob.get(&format!("/_matrix/client/v3/sync?filter={}", escaped(filter))).await;
        if code.is_empty() {
            ensure!(texts(&answer?) == ["ann here", "bob here"], "{filter}");
        } else {
            refused(answer, 400, code).context(filter)?;
        }
    }
    let user = escaped(bob.id());
    let stored = bob.post(&format!("/_matrix/client/v3/user/{user}/filter"), &json!({"room": {"rooms": [room.as_str()], "not_rooms": []}, "presence": {"types": []}})).await?;
    let id = stored["filter_id"].as_str().context("filter_id")?;
    let read = bob.get(&format!("/_matrix/client/v3/user/{user}/filter/{id}")).await?;
    ensure!(read["room"]["rooms"][0] == room.as_str(), "{read}");
    let (mut ear, answer) = Ear::begin(&bob, &format!("&filter={id}")).await?;
    ensure!(
        part(&answer, &other, "join").is_null() && !part(&answer, &room, "join").is_null(),
        "{answer}"
    );
    ensure!(answer.get("presence").is_none(), "{answer}");
    ann.say(&other, "not for him").await?;
    ear.hears_nothing().await?;

    // A state event that the filter keeps out of the timeline still reaches the state.
    let only_talk = escaped(r#"{"room":{"timeline":{"types":["m.room.message"]}}}"#);
    let (mut ear, _) = Ear::begin(&bob, &format!("&filter={only_talk}")).await?;
    ann.say(&room, "one").await?;
    ann.set_state(&room, "m.room.name", "", &json!({"name": "New"})).await?;
    ann.say(&room, "two").await?;
    let answer = ear.next().await?;
    ensure!(bodies(&list(part(&answer, &room, "join/timeline"))) == ["one", "two"], "{answer}");
    ensure!(
        one(&list(part(&answer, &room, "join/state")), "m.room.name", None).is_some(),
        "{answer}"
    );

    refused(
        bob.get(&format!("/_matrix/client/v3/user/{user}/filter/none")).await,
        404,
        "M_NOT_FOUND",
    )?;
    refused(
        ann.get(&format!("/_matrix/client/v3/user/{user}/filter/{id}")).await,
        403,
        "M_FORBIDDEN",
    )
}

async fn state_arrives_in_every_form(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let cat = stage.person("cat").await?;
    let room = room_of(&[&ann, &bob, &cat], &OPEN()).await?;
    for number in 0..12 {
        ann.say(&room, &format!("a{number}")).await?;
    }
    let lazy = escaped(r#"{"room":{"state":{"lazy_load_members":true}}}"#);
    let (mut ear, answer) = Ear::begin(&bob, &format!("&filter={lazy}")).await?;
    let members: HashSet<String> = list(part(&answer, &room, "join/state"))
        .iter()
        .filter(|it| it["type"] == "m.room.member")
        .filter_map(|it| it["state_key"].as_str().map(str::to_owned))
        .collect();
    ensure!(members.contains(ann.id()) && members.contains(bob.id()), "{members:?}");
    // Cat stands for the room without a name, so her member event is there too.
    let heroes = part(&answer, &room, "join/summary")["m.heroes"].clone();
    ensure!(
        list(&heroes).iter().all(|hero| members.contains(hero.as_str().unwrap_or_default())),
        "{heroes}"
    );

    // In a gap also those who do not speak are told of (client-server API, sync).
    cat.deed(&room, "leave", None).await?;
    for number in 0..12 {
        ann.say(&room, &format!("b{number}")).await?;
    }
    let answer = ear.next().await?;
    let state = list(part(&answer, &room, "join/state"));
    ensure!(
        one(&state, "m.room.member", Some(cat.id()))
            .is_some_and(|it| it["content"]["membership"] == "leave"),
        "{answer}"
    );
    ensure!(part(&answer, &room, "join/summary")["m.joined_member_count"] == 2, "{answer}");

    // A speaker's member event is there although it did not change.
    ann.say(&room, "again").await?;
    let answer = ear.next().await?;
    ensure!(
        one(&list(part(&answer, &room, "join/state")), "m.room.member", Some(ann.id())).is_some(),
        "{answer}"
    );

    let (mut ear, _) = Ear::begin(&bob, "&use_state_after=true").await?;
    ann.set_state(&room, "m.room.topic", "", &json!({"topic": "after"})).await?;
    let answer = ear.next().await?;
    let joined = part(&answer, &room, "join");
    ensure!(joined.get("state").is_none(), "{joined}");
    ensure!(one(&list(&joined["state_after"]), "m.room.topic", None).is_some(), "{joined}");

    let token = ear.token.clone();
    let full = bob
        .get(&format!("/_matrix/client/v3/sync?full_state=true&timeout=30000&since={token}"))
        .await?;
    ensure!(
        one(&list(part(&full, &room, "join/state")), "m.room.create", None).is_some(),
        "{full}"
    );
    ensure!(
        list(part(&full, &room, "join/timeline")).is_empty(),
        "what is known is told again: {full}"
    );

    let (_, none) =
        Ear::begin(&bob, &format!("&filter={}", escaped(r#"{"room":{"timeline":{"limit":0}}}"#)))
            .await?;
    ensure!(list(part(&none, &room, "join/timeline")).is_empty(), "{none}");
    ensure!(one(&list(part(&none, &room, "join/state")), "m.room.topic", None).is_some(), "{none}");
    Ok(())
}

// Operations: getOneRoomEvent.
async fn events_carry_what_belongs_to_them(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let phone = Client::login(stage.node.http(), "ann").await?;
    for version in VERSIONS {
        let room =
            room_of(&[&ann, &bob], &json!({"preset": "public_chat", "room_version": version}))
                .await?;
        let mut ears = [Ear::of(&ann).await?, Ear::of(&phone).await?, Ear::of(&bob).await?];
        let event = ann.send_text(&room, "mine", "hello").await?;
        for (ear, expected) in ears.iter_mut().zip([json!("mine"), Value::Null, Value::Null]) {
            let answer =
                ear.hear(|it| (!part(it, &room, "join").is_null()).then(|| it.clone())).await?;
            let events = list(part(&answer, &room, "join/timeline"));
            ensure!(events[0]["unsigned"]["transaction_id"] == expected, "{events:?}");
            ensure!(events[0]["unsigned"]["membership"] == "join", "{events:?}");
            ensure!(
                events[0]["unsigned"]["age"].is_u64() && events[0].get("room_id").is_none(),
                "{events:?}"
            );
        }
        let first = ann.set_state(&room, "m.room.name", "", &json!({"name": "One"})).await?;
        ann.set_state(&room, "m.room.name", "", &json!({"name": "Two"})).await?;
        let redaction = ann
            .put(
                &format!("/_matrix/client/v3/rooms/{room}/redact/{event}/r1"),
                &json!({"reason": "typo"}),
            )
            .await?;
        let answer = ears[2].next().await?;
        let events = list(part(&answer, &room, "join/timeline"));
        let named: Vec<&Value> = events.iter().filter(|it| it["type"] == "m.room.name").collect();
        ensure!(named[1]["unsigned"]["prev_content"]["name"] == "One", "{events:?}");
        ensure!(named[1]["unsigned"]["replaces_state"] == first.as_str(), "{events:?}");
        let told = one(&events, "m.room.redaction", None).context("the redaction is told")?;
        // Clients of before and after version 11 look in different places; both find it.
        ensure!(
            told["redacts"] == event.as_str() && told["content"]["redacts"] == event.as_str(),
            "{told}"
        );

        let read = bob.get(&format!("/_matrix/client/v3/rooms/{room}/event/{event}")).await?;
        let because = &read["unsigned"]["redacted_because"];
        ensure!(read["content"] == json!({}), "{read}");
        ensure!(
            because["event_id"] == redaction["event_id"]
                && because["content"]["reason"] == "typo"
                && because["sender"] == ann.id(),
            "{read}"
        );
    }
    Ok(())
}

// Operations: setReadMarker, postReceipt, setTyping.
async fn ephemeral_things_are_told_once(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let cat = stage.person("cat").await?;
    let room = room_of(&[&ann, &bob], &OPEN()).await?;
    let event = ann.say(&room, "hello").await?;
    let (mut ear, mut stranger) = (Ear::of(&bob).await?, Ear::of(&cat).await?);
    let typing = format!("/_matrix/client/v3/rooms/{room}/typing/{}", escaped(ann.id()));
    let who = |answer: &Value| typists(answer, &room);
    ann.put(&typing, &json!({"typing": true, "timeout": 60_000})).await?;
    ensure!(ear.hear(who).await? == [json!(ann.id())], "Ann types");
    ear.hears_nothing().await?;
    ann.put(&typing, &json!({"typing": false})).await?;
    ensure!(ear.hear(who).await?.is_empty(), "Ann does not type");
    // Typing that is not renewed ends by itself.
    ann.put(&typing, &json!({"typing": true, "timeout": 1})).await?;
    while !ear.hear(who).await?.is_empty() {}
    refused(bob.put(&typing, &json!({"typing": true, "timeout": 1000})).await, 403, "M_FORBIDDEN")?;
    let own = format!("/_matrix/client/v3/rooms/{room}/typing/{}", escaped(cat.id()));
    refused(cat.put(&own, &json!({"typing": true, "timeout": 1000})).await, 403, "M_FORBIDDEN")?;

    // Two receipts on one event, of the whole room and of the main thread, do not hide each other.
    let read = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{event}");
    ann.post(&read, &json!({})).await?;
    ann.post(&read, &json!({"thread_id": "main"})).await?;
    let (_, answer) = Ear::begin(&bob, "").await?;
    let receipts = list(part(&answer, &room, "join/ephemeral"));
    let threads: Vec<&Value> = receipts
        .iter()
        .filter(|it| it["type"] == "m.receipt")
        .map(|it| &it["content"][&event]["m.read"][ann.id()]["thread_id"])
        .collect();
    ensure!(threads.contains(&&Value::Null) && threads.contains(&&json!("main")), "{receipts:?}");
    ear.next().await?;
    ear.hears_nothing().await?;

    // A private receipt is its owner's alone, on all their devices.
    let mut phone = Ear::of(&Client::login(stage.node.http(), "ann").await?).await?;
    ann.post(
        &format!("/_matrix/client/v3/rooms/{room}/receipt/m.read.private/{event}"),
        &json!({}),
    )
    .await?;
    phone.hear(|it| it.to_string().contains("m.read.private").then_some(())).await?;
    ear.hears_nothing().await?;
    for (kind, thread) in
        [("m.read", json!("")), ("m.read", json!("else")), ("m.fully_read", json!("main"))]
    {
        let path = format!("/_matrix/client/v3/rooms/{room}/receipt/{kind}/{event}");
        refused(ann.post(&path, &json!({"thread_id": thread})).await, 400, "M_INVALID_PARAM")?;
    }
    ann.post(
        &format!("/_matrix/client/v3/rooms/{room}/read_markers"),
        &json!({"m.fully_read": event, "m.read": event}),
    )
    .await?;
    phone.hear(|it| it.to_string().contains("m.fully_read").then_some(())).await?;

    // Presence is for those who share a room.
    let status = format!("/_matrix/client/v3/presence/{}/status", escaped(ann.id()));
    ann.put(&status, &json!({"presence": "online", "status_msg": "here"})).await?;
    ear.hear(|it| it["presence"].to_string().contains("here").then_some(())).await?;
    ensure!(!stranger.now().await?.to_string().contains("here"), "Cat knows Ann's presence");
    ensure!(bob.get(&status).await?["status_msg"] == "here");
    refused(cat.get(&status).await, 403, "M_FORBIDDEN")?;
    refused(bob.put(&status, &json!({"presence": "online"})).await, 403, "M_FORBIDDEN")
}

/// Messages of each writer in each round.
const SAID: usize = 12;
/// How many write at once.
const WRITERS: usize = 6;

// Operations: sync.
async fn nothing_is_lost_or_told_twice(stage: &mut Stage) -> Result<()> {
    let reader = stage.person("reader").await?;
    let room = reader.create_room(&OPEN()).await?;
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let writer = stage.person(&format!("writer{number}")).await?;
        writer.join(&room).await?;
        writers.push(writer);
    }
    let (mut ear, _) = Ear::begin(
        &reader,
        &format!("&filter={}", escaped(r#"{"room":{"timeline":{"limit":100}}}"#)),
    )
    .await?;
    let mut heard: Vec<String> = Vec::new();
    for round in 0..2 {
        let mut talk = tokio::task::JoinSet::new();
        for writer in &writers {
            let (writer, room) = (writer.at(stage.node.http()), room.clone());
            talk.spawn(async move {
                for number in 0..SAID {
                    writer.say(&room, &format!("{} {round} {number}", writer.id())).await?;
                }
                anyhow::Ok(())
            });
        }
        let wanted = SAID * WRITERS * (round + 1);
        // The second half of the first round is heard after the restart only.
        let stop_at = if round == 0 { wanted / 2 } else { wanted };
        while heard.len() < stop_at {
            let answer = ear.next().await?;
            let timeline = part(&answer, &room, "join/timeline");
            ensure!(timeline["limited"] != true, "more than a hundred at once: {answer}");
            heard.extend(bodies(&list(timeline)));
        }
        while let Some(writer) = talk.join_next().await {
            writer??;
        }
        stage.restart().await?;
        ear.client = reader.at(stage.node.http());
    }
    ear.hears_nothing().await?;
    let page = ear
        .client
        .get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=500"))
        .await?;
    let mut told = bodies(&list(&page["chunk"]));
    told.reverse();
    ensure!(heard.len() == SAID * WRITERS * 2, "{} events were heard", heard.len());
    ensure!(heard == told, "the order differs from that of the room");
    for writer in &writers {
        let own: Vec<&String> = heard.iter().filter(|it| it.starts_with(writer.id())).collect();
        let expected: Vec<String> = (0..2)
            .flat_map(|round| (0..SAID).map(move |number| (round, number)))
            .map(|(round, number)| format!("{} {round} {number}", writer.id()))
            .collect();
        ensure!(own.into_iter().eq(&expected), "{} was heard out of order", writer.id());
    }
    // A token of somebody else, and waiting with nothing to come.
    let stranger = writers[0].at(stage.node.http());
    refused(
        stranger.get(&format!("/_matrix/client/v3/sync?since={}", ear.token)).await,
        400,
        "M_INVALID_PARAM",
    )?;
    let (answer, _) = ear.client.sync(Some(&ear.token), Duration::from_millis(10)).await?;
    ensure!(is_quiet(&answer), "{answer}");
    Ok(())
}

async fn rooms_without_a_name_have_heroes(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let room = ann.create_room(&OPEN()).await?;
    let mut others = Vec::new();
    for name in ["bob", "cat", "dan", "eve", "fay", "gus"] {
        let other = stage.person(name).await?;
        other.join(&room).await?;
        others.push(other);
    }
    let (mut ear, answer) = Ear::begin(&ann, "").await?;
    let summary = part(&answer, &room, "join/summary");
    let expected: Vec<Value> = others[..5].iter().map(|it| json!(it.id())).collect();
    ensure!(list(&summary["m.heroes"]) == expected, "{summary}");
    ensure!(
        summary["m.joined_member_count"] == 7 && summary["m.invited_member_count"] == 0,
        "{summary}"
    );
    ann.set_state(&room, "m.room.name", "", &json!({"name": "Named"})).await?;
    let answer = ear.next().await?;
    ensure!(part(&answer, &room, "join/summary").get("m.heroes").is_none(), "{answer}");
    // An empty name is none.
    ann.set_state(&room, "m.room.name", "", &json!({"name": ""})).await?;
    for other in &others {
        other.deed(&room, "leave", None).await?;
    }
    let answer = ear.next().await?;
    let summary = part(&answer, &room, "join/summary");
    ensure!(
        list(&summary["m.heroes"]) == expected && summary["m.joined_member_count"] == 1,
        "{answer}"
    );
    Ok(())
}
