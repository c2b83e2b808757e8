//! What relates to what: edits, threads, references, and who is told of them.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{Client, RoomId};

use crate::stage::{
    Deeds, Ear, Stage, VERSIONS, bodies, list, new_txn, part, redact, refused, room_of, send,
    stories,
};

stories! {
    an_edit_is_told_with_what_it_edits;
    a_thread_is_told_in_sum;
    references_are_told_by_their_ids;
    what_relates_is_listed_page_by_page;
    threads_are_listed_by_their_newest_reply;
    who_cannot_see_an_event_hears_nothing_of_what_relates_to_it;
    who_is_ignored_is_not_heard;
    a_filter_asks_for_what_relates;
}

fn related(target: &str, rel_type: &str, body: &str) -> Value {
    let mut content = json!({
        "msgtype": "m.text", "body": body,
        "m.relates_to": {"rel_type": rel_type, "event_id": target},
    });
    if rel_type == "m.replace" {
        content["m.new_content"] = json!({"msgtype": "m.text", "body": body});
    }
    content
}

async fn event(who: &Client, room: &RoomId, id: &str) -> Result<Value> {
    Ok(who.get(&format!("/_matrix/client/v3/rooms/{room}/event/{id}")).await?)
}

/// What each way to read a room says of what relates to an event.
async fn bundles(who: &Client, room: &RoomId, id: &str) -> Result<Vec<Value>> {
    let base = format!("/_matrix/client/v3/rooms/{room}");
    let page = who.get(&format!("{base}/messages?dir=b&limit=50")).await?;
    let around = who.get(&format!("{base}/context/{id}?limit=0")).await?;
    let (_, first) =
        Ear::begin(who, "&filter=%7B%22room%22:%7B%22timeline%22:%7B%22limit%22:50%7D%7D%7D")
            .await?;
    let timeline = list(part(&first, room, "join/timeline"));
    let of = |events: &[Value]| {
        let found = events.iter().find(|it| it["event_id"] == id);
        found.map(|it| it["unsigned"]["m.relations"].clone()).unwrap_or_default()
    };
    Ok(vec![
        of(&list(&page["chunk"])),
        of(&[around["event"].clone()]),
        of(&timeline),
        of(&[event(who, room, id).await?]),
    ])
}

async fn an_edit_is_told_with_what_it_edits(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    for version in VERSIONS {
        let room =
            room_of(&[&ann, &bob], &json!({"preset": "public_chat", "room_version": version}))
                .await?;
        let said = ann.say(&room, "helo").await?;
        ensure!(event(&bob, &room, &said).await?["unsigned"].get("m.relations").is_none());
        let first =
            send(&ann, &room, "m.room.message", &related(&said, "m.replace", "hello")).await?;
        let second =
            send(&ann, &room, "m.room.message", &related(&said, "m.replace", "hello!")).await?;
        // None of these is an edit: of somebody else, of another type, without new content, of state.
        send(&bob, &room, "m.room.message", &related(&said, "m.replace", "bye")).await?;
        send(&ann, &room, "org.example.note", &related(&said, "m.replace", "bye")).await?;
        let mut bare = related(&said, "m.replace", "bye");
        bare.as_object_mut().context("an object")?.remove("m.new_content");
        send(&ann, &room, "m.room.message", &bare).await?;
        let name = ann.set_state(&room, "m.room.name", "", &json!({"name": "n"})).await?;
        let renamed = json!({"name": "m", "m.new_content": {"name": "m"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": name.as_str()}});
        send(&ann, &room, "m.room.name", &renamed).await?;
        ensure!(
            event(&bob, &room, name.as_str()).await?["unsigned"]["m.relations"].is_null(),
            "state is not edited"
        );
        for bundle in bundles(&bob, &room, &said).await? {
            let edit = &bundle["m.replace"];
            ensure!(edit["event_id"] == *second, "version {version}: {bundle}");
            ensure!(edit["content"]["m.new_content"]["body"] == "hello!", "{bundle}");
            ensure!(edit["sender"] == ann.id() && edit["type"] == "m.room.message", "{bundle}");
            ensure!(edit["origin_server_ts"].is_number(), "{bundle}");
        }
        // An edit of an edit is none.
        send(&ann, &room, "m.room.message", &related(&second, "m.replace", "deep")).await?;
        ensure!(event(&bob, &room, &second).await?["unsigned"]["m.relations"].is_null());
        // The one before it counts again when the newest is emptied; nothing when the event itself is.
        redact(&ann, &room, &second).await?;
        for bundle in bundles(&bob, &room, &said).await? {
            ensure!(bundle["m.replace"]["event_id"] == *first, "version {version}: {bundle}");
        }
        redact(&ann, &room, &said).await?;
        for bundle in bundles(&bob, &room, &said).await? {
            ensure!(bundle["m.replace"].is_null(), "version {version}: {bundle}");
        }
        // What is encrypted says in clear what it replaces.
        let secret = json!({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"});
        let said = send(&ann, &room, "m.room.encrypted", &secret).await?;
        let mut edit = secret.clone();
        edit["m.relates_to"] = json!({"rel_type": "m.replace", "event_id": said});
        let edit = send(&ann, &room, "m.room.encrypted", &edit).await?;
        let told = event(&bob, &room, &said).await?;
        ensure!(told["unsigned"]["m.relations"]["m.replace"]["event_id"] == *edit, "{told}");
    }
    Ok(())
}

async fn a_thread_is_told_in_sum(stage: &mut Stage) -> Result<()> {
    let (ann, bob, cat) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("cat").await?);
    let room = room_of(&[&ann, &bob, &cat], &json!({"preset": "public_chat"})).await?;
    let root = ann.say(&room, "root").await?;
    let one = send(&bob, &room, "m.room.message", &related(&root, "m.thread", "one")).await?;
    let two = send(&bob, &room, "m.room.message", &related(&root, "m.thread", "two")).await?;
    for (who, took_part) in [(&ann, true), (&bob, true), (&cat, false)] {
        for bundle in bundles(who, &room, &root).await? {
            let thread = &bundle["m.thread"];
            ensure!(thread["count"] == 2 && thread["latest_event"]["event_id"] == *two, "{bundle}");
            ensure!(thread["current_user_participated"] == took_part, "{}: {bundle}", who.id());
        }
    }
    // The newest reply is told with its edit, and a sync tells the whole with the reply's room.
    let edit = send(&bob, &room, "m.room.message", &related(&two, "m.replace", "two!")).await?;
    let told = event(&cat, &room, &root).await?;
    let latest = &told["unsigned"]["m.relations"]["m.thread"]["latest_event"];
    ensure!(latest["unsigned"]["m.relations"]["m.replace"]["event_id"] == *edit, "{told}");
    redact(&bob, &room, &two).await?;
    let told = event(&cat, &room, &root).await?;
    let thread = &told["unsigned"]["m.relations"]["m.thread"];
    ensure!(thread["count"] == 1 && thread["latest_event"]["event_id"] == *one, "{told}");
    // What relates in another room counts for nothing.
    let other = cat.create_room(&json!({})).await?;
    send(&cat, &other, "m.room.message", &related(&root, "m.thread", "elsewhere")).await?;
    let again = event(&cat, &room, &root).await?;
    ensure!(again["unsigned"]["m.relations"]["m.thread"]["count"] == 1, "{again}");
    Ok(())
}

async fn references_are_told_by_their_ids(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    let poll = ann.say(&room, "who is coming?").await?;
    let mut votes = Vec::new();
    for who in [&ann, &bob] {
        let vote =
            send(who, &room, "org.example.vote", &related(&poll, "m.reference", "I")).await?;
        votes.push(json!({"event_id": vote}));
    }
    for bundle in bundles(&bob, &room, &poll).await? {
        ensure!(bundle["m.reference"]["chunk"] == json!(votes), "{bundle}");
    }
    // Reactions are not summed up here.
    let sun = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": poll, "key": "+"}});
    let reaction = send(&bob, &room, "m.reaction", &sun).await?;
    // Nobody reacts twice in the same way, but for those who have taken it back.
    let again = format!("/_matrix/client/v3/rooms/{room}/send/m.reaction/{}", new_txn());
    refused(bob.put(&again, &sun).await, 400, "M_DUPLICATE_ANNOTATION")?;
    let other = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": poll, "key": "-"}});
    for (who, content) in [(&bob, &other), (&ann, &sun)] {
        send(who, &room, "m.reaction", content).await?;
    }
    redact(&bob, &room, &reaction).await?;
    bob.put(&again, &sun).await?;
    let told = event(&ann, &room, &poll).await?;
    let summed = told["unsigned"]["m.relations"].as_object().context("sums")?;
    ensure!(summed.keys().eq(["m.reference"]), "{told}");
    Ok(())
}

fn ids(page: &Value) -> Vec<String> {
    let id = |event: &Value| event["event_id"].as_str().map(str::to_owned);
    list(&page["chunk"]).iter().filter_map(id).collect()
}

// Operations: getRelatingEvents, getRelatingEventsWithRelType,
// getRelatingEventsWithRelTypeAndEventType.
async fn what_relates_is_listed_page_by_page(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    let root = ann.say(&room, "root").await?;
    let mut replies = Vec::new();
    for number in 0..5 {
        let text = number.to_string();
        replies
            .push(send(&bob, &room, "m.room.message", &related(&root, "m.thread", &text)).await?);
    }
    let sun =
        json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": replies[0], "key": "+"}});
    let reaction = send(&ann, &room, "m.reaction", &sun).await?;
    let note = send(&ann, &room, "org.example.note", &related(&root, "m.thread", "n")).await?;
    let base = format!("/_matrix/client/v1/rooms/{room}/relations/{root}");
    for back in [true, false] {
        let mut expected = replies.clone();
        if back {
            expected.reverse();
        }
        let dir = if back { "b" } else { "f" };
        let (mut found, mut from) = (Vec::new(), String::new());
        loop {
            let path = format!("{base}/m.thread/m.room.message?dir={dir}&limit=2{from}");
            let page = ann.get(&path).await?;
            ensure!(page.get("recursion_depth").is_none(), "{page}");
            found.extend(ids(&page));
            let Some(next) = page["next_batch"].as_str() else { break };
            from = format!("&from={next}");
        }
        ensure!(found == expected, "{dir}: {found:?}");
    }
    let all = ann.get(&format!("{base}?limit=100")).await?;
    ensure!(ids(&all).len() == 6 && ids(&all)[0] == note, "{all}");
    let typed = ann.get(&format!("{base}/m.thread?limit=100")).await?;
    ensure!(ids(&typed) == ids(&all));
    let deep = ann.get(&format!("{base}?limit=100&recurse=true")).await?;
    ensure!(ids(&deep).len() == 7 && ids(&deep).contains(&reaction), "{deep}");
    ensure!(deep["recursion_depth"].as_u64() >= Some(3), "{deep}");
    ensure!(ids(&ann.get(&format!("{base}/m.annotation")).await?).is_empty());
    let deep = ann.get(&format!("{base}/m.annotation?recurse=true")).await?;
    ensure!(ids(&deep) == [reaction], "{deep}");
    refused(ann.get(&format!("{base}?from=junk")).await, 400, "M_INVALID_PARAM")?;
    refused(ann.get(&format!("{base}?to=s1_2_3")).await, 400, "M_INVALID_PARAM")?;
    let nothing = format!("/_matrix/client/v1/rooms/{room}/relations/$none");
    refused(ann.get(&nothing).await, 404, "M_NOT_FOUND")
}

// Operations: getThreadRoots.
async fn threads_are_listed_by_their_newest_reply(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    let mut roots = Vec::new();
    for number in 0..5 {
        let root = ann.say(&room, &format!("root {number}")).await?;
        let who = if number == 3 { &bob } else { &ann };
        send(who, &room, "m.room.message", &related(&root, "m.thread", "first")).await?;
        roots.push(root);
    }
    // The oldest thread comes first when somebody answers there.
    send(&ann, &room, "m.room.message", &related(&roots[0], "m.thread", "late")).await?;
    let order = [0, 4, 3, 2, 1].map(|at: usize| roots[at].clone());
    let base = format!("/_matrix/client/v1/rooms/{room}/threads");
    let (mut found, mut from) = (Vec::new(), String::new());
    loop {
        let page = ann.get(&format!("{base}?limit=2{from}")).await?;
        for event in list(&page["chunk"]) {
            ensure!(event["unsigned"]["m.relations"]["m.thread"]["count"].is_number(), "{event}");
        }
        found.extend(ids(&page));
        let Some(next) = page["next_batch"].as_str() else { break };
        from = format!("&from={next}");
    }
    ensure!(found == order, "{found:?}");
    let own = bob.get(&format!("{base}?include=participated")).await?;
    ensure!(ids(&own) == [roots[3].clone()], "{own}");
    ensure!(ids(&ann.get(&format!("{base}?include=participated")).await?).len() == 5);
    refused(ann.get(&format!("{base}?from=junk")).await, 400, "M_INVALID_PARAM")?;
    // Whoever has gone knows of the threads as they were.
    bob.deed(&room, "leave", None).await?;
    send(&ann, &room, "m.room.message", &related(&roots[1], "m.thread", "later")).await?;
    let then = bob.get(&base).await?;
    ensure!(ids(&then) == order, "{then}");
    ensure!(!then.to_string().contains("later"), "{then}");
    let cat = stage.person("cat").await?;
    refused(cat.get(&base).await, 403, "M_FORBIDDEN")
}

async fn who_cannot_see_an_event_hears_nothing_of_what_relates_to_it(
    stage: &mut Stage,
) -> Result<()> {
    let (ann, bob, cat) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("cat").await?);
    let room = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    let said = ann.say(&room, "said").await?;
    bob.deed(&room, "leave", None).await?;
    send(&ann, &room, "m.room.message", &related(&said, "m.replace", "secret")).await?;
    send(&ann, &room, "m.room.message", &related(&said, "m.thread", "secret")).await?;
    send(&ann, &room, "m.room.message", &related(&said, "m.reference", "secret")).await?;
    let told = event(&bob, &room, &said).await?;
    ensure!(told["unsigned"].get("m.relations").is_none(), "{told}");
    let page = bob.get(&format!("/_matrix/client/v1/rooms/{room}/relations/{said}")).await?;
    ensure!(list(&page["chunk"]).is_empty(), "{page}");
    let path = format!("/_matrix/client/v1/rooms/{room}/relations/{said}");
    refused(cat.get(&path).await, 404, "M_NOT_FOUND")
}

async fn who_is_ignored_is_not_heard(stage: &mut Stage) -> Result<()> {
    let (ann, bob, cat) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("cat").await?);
    let room = room_of(&[&ann, &bob, &cat], &json!({"preset": "public_chat"})).await?;
    let root = ann.say(&room, "root").await?;
    let heard = send(&cat, &room, "m.room.message", &related(&root, "m.thread", "cat")).await?;
    send(&bob, &room, "m.room.message", &related(&root, "m.thread", "bob")).await?;
    let list_path =
        format!("/_matrix/client/v3/user/{}/account_data/m.ignored_user_list", ann.id());
    ann.put(&list_path, &json!({"ignored_users": {bob.id(): {}}})).await?;
    let mut ear = Ear::of(&ann).await?;
    bob.say(&room, "noise").await?;
    bob.set_state(
        &room,
        "m.room.member",
        bob.id(),
        &json!({"membership": "join", "displayname": "B"}),
    )
    .await?;
    cat.say(&room, "music").await?;
    let answer = ear.next().await?;
    let timeline = list(part(&answer, &room, "join/timeline"));
    ensure!(bodies(&timeline) == ["music"], "{answer}");
    ensure!(timeline.iter().any(|it| it["state_key"] == bob.id()), "state is told: {answer}");
    for path in [
        format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=50"),
        format!("/_matrix/client/v3/rooms/{room}/context/{root}?limit=50"),
        format!("/_matrix/client/v1/rooms/{room}/relations/{root}"),
    ] {
        let answer = ann.get(&path).await?;
        let told = answer.to_string();
        ensure!(!told.contains("noise") && !told.contains("\"bob\""), "{path}: {told}");
    }
    let told = event(&ann, &room, &root).await?;
    let thread = &told["unsigned"]["m.relations"]["m.thread"];
    ensure!(thread["count"] == 1 && thread["latest_event"]["event_id"] == *heard, "{told}");
    // Their receipts and invitations are not shown, and others hear them as before.
    let receipt = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{root}");
    bob.post(&receipt, &json!({})).await?;
    let door = bob.create_room(&json!({"invite": [ann.id(), cat.id()]})).await?;
    cat.say(&room, "more").await?;
    let answer = ear.next().await?;
    ensure!(!answer.to_string().contains("m.read"), "{answer}");
    ensure!(part(&answer, &door, "invite").is_null(), "{answer}");
    let (_, answer) = Ear::begin(&cat, "").await?;
    ensure!(!part(&answer, &door, "invite").is_null(), "{answer}");
    ensure!(answer.to_string().contains("noise"), "{answer}");
    Ok(())
}

async fn a_filter_asks_for_what_relates(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    let (one, two) = (ann.say(&room, "one").await?, ann.say(&room, "two").await?);
    ann.say(&room, "three").await?;
    send(&ann, &room, "m.room.message", &related(&one, "m.thread", "reply")).await?;
    send(&bob, &room, "m.room.message", &related(&two, "m.thread", "reply")).await?;
    for (filter, expected) in [
        (json!({"related_by_rel_types": ["m.thread"]}), &["two", "one"][..]),
        (json!({"related_by_senders": [bob.id()]}), &["two"]),
        (json!({"related_by_rel_types": ["m.reference"]}), &[]),
        (json!({"related_by_rel_types": ["m.thread"], "related_by_senders": [ann.id()]}), &["one"]),
    ] {
        let text = crate::stage::escaped(&filter.to_string());
        let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=50&filter={text}");
        let page = bob.get(&path).await?;
        ensure!(bodies(&list(&page["chunk"])) == expected, "{filter}: {page}");
        let text = json!({"room": {"timeline": filter}}).to_string();
        let query = format!("&filter={}", crate::stage::escaped(&text));
        let (_, first) = Ear::begin(&bob, &query).await?;
        let mut told = bodies(&list(part(&first, &room, "join/timeline")));
        told.reverse();
        ensure!(told == expected, "{filter}: {first}");
    }
    Ok(())
}
