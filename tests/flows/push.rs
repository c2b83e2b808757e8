//! People are told of what their rules say, and know how much they have not read.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{Client, RoomId};

use crate::stage::{
    Deeds, Ear, Stage, comes_true, list, one, part, redact, refused, room_of, stories,
};

stories! {
    what_another_process_writes_loses_no_counts;
    push_rules_are_read_and_changed;
    rules_that_make_no_sense_are_refused;
    what_is_unread_is_counted_by_the_rules;
    reading_a_part_leaves_the_rest;
    threads_are_counted_apart;
    counts_outlive_a_restart_and_a_crash;
    notifications_are_listed;
}

const RULES: &str = "/_matrix/client/v3/pushrules/global";

/// How many events an answer of sync calls unread in a room, and how many of them stand out.
fn unread(answer: &Value, room: &RoomId) -> Option<(i64, i64)> {
    counts(part(answer, room, "join/unread_notifications"))
}

fn counts(value: &Value) -> Option<(i64, i64)> {
    Some((value["notification_count"].as_i64()?, value["highlight_count"].as_i64()?))
}

async fn what_another_process_writes_loses_no_counts(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let unread = async |count: i64| {
        let (answer, _) = ann.sync(None, Duration::ZERO).await?;
        Ok(part(&answer, &room, "join/unread_notifications")["notification_count"] == count)
    };
    for count in 1..=3 {
        // Most of it is in memory alone when the node learns that somebody else wrote.
        bob.say(&room, &format!("hello {count}")).await?;
        comes_true("it is counted", async || unread(count).await).await?;
        let role = if count == 1 { "moderator" } else { "member" };
        let done = stage.node.command(&["user", "role", "bob", "--role", role]).await?;
        ensure!(done.status.success(), "{done:?}");
    }
    Ok(())
}

/// What a new client of somebody is told that they have not read.
async fn unread_now(person: &Client, room: &RoomId) -> Result<(i64, i64)> {
    let (_ear, answer) = Ear::begin(person, "").await?;
    unread(&answer, room).with_context(|| format!("no counts of {room} in {answer}"))
}

async fn send(from: &Client, room: &RoomId, txn: &str, content: &Value) -> Result<String> {
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
    let answer = from.put(&path, content).await?;
    Ok(answer["event_id"].as_str().context("an event has an id")?.to_owned())
}

async fn read(person: &Client, room: &RoomId, event: &str, body: &Value) -> Result<()> {
    let path = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{event}");
    person.post(&path, body).await?;
    Ok(())
}

fn rule<'a>(rules: &'a Value, kind: &str, id: &str) -> Option<&'a Value> {
    rules[kind].as_array()?.iter().find(|rule| rule["rule_id"] == id)
}

// Operations: getPushRules, getPushRulesGlobal, deletePushRule, getPushRule, setPushRule,
// getPushRuleActions, setPushRuleActions, isPushRuleEnabled, setPushRuleEnabled.
async fn push_rules_are_read_and_changed(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let phone = Client::login(stage.node.http(), "ann").await?;
    let (mut ear, first) = Ear::begin(&phone, "").await?;
    let told = |answer: &Value| {
        let data = list(&answer["account_data"]);
        one(&data, "m.push_rules", None).map(|it| it["content"]["global"].clone())
    };
    let common = told(&first).context("who begins is told the rules")?;
    ensure!(ann.get("/_matrix/client/v3/pushrules/").await?["global"] == common);
    ensure!(ann.get(&format!("{RULES}/")).await? == common);
    let own = format!("/_matrix/client/v3/user/{}/account_data/m.push_rules", ann.id());
    ensure!(ann.get(&own).await?["global"] == common);
    let master = rule(&common, "override", ".m.rule.master").context("the master rule")?;
    ensure!(master["enabled"] == false, "{master}");
    ensure!(rule(&common, "underride", ".m.rule.message").is_some(), "{common}");

    let body = json!({ "pattern": "tea", "actions": ["notify", { "set_tweak": "highlight" }] });
    ann.put(&format!("{RULES}/content/tea"), &body).await?;
    let other = json!({ "pattern": "cake", "actions": [] });
    ann.put(&format!("{RULES}/content/cake?after=tea"), &other).await?;
    let changed = told(&ear.next().await?).context("the other device hears of it")?;
    let order: Vec<&Value> =
        changed["content"].as_array().into_iter().flatten().map(|rule| &rule["rule_id"]).collect();
    ensure!(order == ["tea", "cake"], "{changed}");
    let found = ann.get(&format!("{RULES}/content/tea")).await?;
    ensure!(found["pattern"] == "tea" && found["enabled"] == true, "{found}");
    ann.put(&format!("{RULES}/content/tea/enabled"), &json!({ "enabled": false })).await?;
    let enabled = ann.get(&format!("{RULES}/content/tea/enabled")).await?;
    ensure!(enabled == json!({ "enabled": false }), "{enabled}");
    ann.put(&format!("{RULES}/content/tea/actions"), &json!({ "actions": ["notify"] })).await?;
    let actions = ann.get(&format!("{RULES}/content/tea/actions")).await?;
    ensure!(actions == json!({ "actions": ["notify"] }), "{actions}");
    // Of the common rules only these two can be changed, and they stay what they are otherwise.
    let message = format!("{RULES}/underride/.m.rule.message");
    ann.put(&format!("{message}/enabled"), &json!({ "enabled": false })).await?;
    ann.put(&format!("{message}/actions"), &json!({ "actions": [] })).await?;
    let found = ann.get(&message).await?;
    let expected = json!({ "enabled": false, "actions": [], "default": true });
    for (name, value) in expected.as_object().into_iter().flatten() {
        ensure!(found[name] == *value, "{found}");
    }
    ann.delete(&format!("{RULES}/content/tea")).await?;
    refused(ann.get(&format!("{RULES}/content/tea")).await, 404, "M_NOT_FOUND")?;
    stage.restart().await?;
    let ann = ann.at(stage.node.http());
    let kept = ann.get(&format!("{RULES}/")).await?;
    ensure!(rule(&kept, "content", "cake").is_some(), "{kept}");
    ensure!(rule(&kept, "underride", ".m.rule.message") == Some(&found), "{kept}");
    Ok(())
}

async fn rules_that_make_no_sense_are_refused(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let body = json!({ "pattern": "tea", "actions": [] });
    for (path, status, code) in [
        ("content/.tea", 400, "M_INVALID_PARAM"),
        ("content/tea?after=none", 404, "M_NOT_FOUND"),
        ("content/tea?before=.m.rule.message", 400, "M_INVALID_PARAM"),
    ] {
        refused(ann.put(&format!("{RULES}/{path}"), &body).await, status, code)?;
    }
    let none = format!("{RULES}/content/none/actions");
    refused(ann.put(&none, &json!({ "actions": [] })).await, 404, "M_NOT_FOUND")?;
    refused(ann.delete(&format!("{RULES}/content/none")).await, 404, "M_NOT_FOUND")?;
    let common = ann.delete(&format!("{RULES}/override/.m.rule.master")).await;
    refused(common, 400, "M_INVALID_PARAM")?;
    let long = json!({ "pattern": "x".repeat(100_000), "actions": [] });
    ann.put(&format!("{RULES}/content/one"), &long).await?;
    ann.put(&format!("{RULES}/content/two"), &long).await?;
    let three = ann.put(&format!("{RULES}/content/three"), &long).await;
    refused(three, 413, "M_TOO_LARGE")?;
    let path = format!("/_matrix/client/v3/user/{}/account_data/m.push_rules", ann.id());
    refused(ann.put(&path, &json!({})).await, 405, "M_BAD_JSON")?;
    Ok(())
}

async fn what_is_unread_is_counted_by_the_rules(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let cleo = stage.person("cleo").await?;
    let room = room_of(&[&ann, &bob, &cleo], &json!({ "preset": "public_chat" })).await?;
    ensure!(unread_now(&bob, &room).await? == (0, 0), "nobody has said anything");
    let mut ear = Ear::of(&bob).await?;
    let text = |body: &str| json!({ "msgtype": "m.text", "body": body });
    let with = |name: &str, value: Value| {
        let mut content = text("hi");
        content[name] = value;
        content
    };
    let mention = with("m.mentions", json!({ "user_ids": [bob.id()] }));
    let everybody = with("m.mentions", json!({ "room": true }));
    let (mut last, mut expected) = (String::new(), (0, 0));
    for (txn, from, content, adds) in [
        ("1", &ann, text("hello"), (1, 0)),
        ("2", &ann, mention.clone(), (1, 1)),
        ("3", &ann, with("msgtype", "m.notice".into()), (0, 0)),
        ("4", &ann, everybody.clone(), (1, 1)),
        // Only who may calls the whole room.
        ("5", &cleo, everybody, (1, 0)),
        ("6", &ann, with("m.mentions", json!({ "user_ids": [cleo.id()] })), (1, 0)),
    ] {
        last = send(from, &room, txn, &content).await?;
        expected = (expected.0 + adds.0, expected.1 + adds.1);
        let answer = ear.next().await?;
        ensure!(unread(&answer, &room) == Some(expected), "{txn}: {answer}");
    }
    ensure!(unread_now(&bob, &room).await? == expected);
    // Whoever speaks has read what was there, and nobody is told of what they said themselves.
    ensure!(unread_now(&ann, &room).await? == (0, 0));
    ensure!(unread_now(&cleo, &room).await? == (1, 1));
    // Reading empties it, and so does saying something.
    read(&bob, &room, &last, &json!({})).await?;
    let answer = ear.next().await?;
    ensure!(unread(&answer, &room) == Some((0, 0)), "{answer}");
    send(&ann, &room, "7", &mention).await?;
    ear.next().await?;
    bob.say(&room, "yes").await?;
    let answer = ear.next().await?;
    ensure!(unread(&answer, &room) == Some((0, 0)), "{answer}");

    // A word to listen for, and a room to be left in peace from.
    let word = json!({ "pattern": "t?a", "actions": ["notify", { "set_tweak": "highlight" }] });
    bob.put(&format!("{RULES}/content/word"), &word).await?;
    let peace = json!({ "actions": [] });
    bob.put(&format!("{RULES}/room/{room}"), &peace).await?;
    ear.next().await?;
    send(&ann, &room, "8", &text("anybody there?")).await?;
    send(&ann, &room, "9", &text("who wants TEA?")).await?;
    comes_true("the word stands out", async || Ok(unread_now(&bob, &room).await? == (1, 1)))
        .await?;
    // Whoever leaves and comes again has missed nothing that counts.
    bob.deed(&room, "leave", None).await?;
    bob.join(&room).await?;
    ensure!(unread_now(&bob, &room).await? == (0, 0));
    Ok(())
}

async fn reading_a_part_leaves_the_rest(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let mut events = Vec::new();
    for n in 0..10 {
        let mut content = json!({ "msgtype": "m.text", "body": "hi" });
        if n % 3 == 0 {
            content["m.mentions"] = json!({ "user_ids": [bob.id()] });
        }
        events.push(send(&ann, &room, &n.to_string(), &content).await?);
    }
    ensure!(unread_now(&bob, &room).await? == (10, 4));
    read(&bob, &room, &events[4], &json!({})).await?;
    ensure!(unread_now(&bob, &room).await? == (5, 2));
    // A private receipt counts as well; and no receipt goes back, nor does the marker.
    let path = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read.private/{}", events[7]);
    bob.post(&path, &json!({})).await?;
    ensure!(unread_now(&bob, &room).await? == (2, 1));
    read(&bob, &room, &events[6], &json!({})).await?;
    read(&bob, &room, &events[5], &json!({})).await?;
    bob.post(&path.replace(&events[7], &events[1]), &json!({})).await?;
    ensure!(unread_now(&bob, &room).await? == (2, 1));
    let markers = format!("/_matrix/client/v3/rooms/{room}/read_markers");
    for at in [3, 2] {
        bob.post(&markers, &json!({ "m.fully_read": events[at] })).await?;
    }
    let marker =
        format!("/_matrix/client/v3/user/{}/rooms/{room}/account_data/m.fully_read", bob.id());
    ensure!(bob.get(&marker).await? == json!({ "event_id": events[3] }));
    let (answer, _) = ann.sync(None, Duration::ZERO).await?;
    let receipts = list(part(&answer, &room, "join/ephemeral"));
    let read = receipts.iter().find(|it| it["type"] == "m.receipt").context("receipts")?;
    ensure!(read["content"][&events[6]]["m.read"][bob.id()].is_object(), "{read}");

    // What is taken back counts no longer, a little later.
    redact(&ann, &room, &events[9]).await?;
    comes_true("it counts no longer", async || Ok(unread_now(&bob, &room).await? == (1, 0))).await
}

async fn threads_are_counted_apart(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let root = ann.say(&room, "a thread begins here").await?;
    let in_thread = |root: &str| {
        json!({
            "msgtype": "m.text", "body": "in it",
            "m.relates_to": { "rel_type": "m.thread", "event_id": root },
        })
    };
    let mut last = String::new();
    for txn in ["1", "2", "3"] {
        last = send(&ann, &room, txn, &in_thread(&root)).await?;
    }
    let main = ann.say(&room, "beside it").await?;
    ensure!(unread_now(&bob, &room).await? == (5, 0), "together where nobody asks for more");
    let filter =
        "%7B%22room%22:%7B%22timeline%22:%7B%22unread_thread_notifications%22:true%7D%7D%7D";
    let query = format!("&filter={filter}");
    let apart = async || -> Result<[Option<(i64, i64)>; 2]> {
        let (_ear, answer) = Ear::begin(&bob, &query).await?;
        let threads = part(&answer, &room, "join/unread_thread_notifications");
        Ok([unread(&answer, &room), counts(&threads[&root])])
    };
    ensure!(apart().await? == [Some((2, 0)), Some((3, 0))], "{:?}", apart().await?);
    read(&bob, &room, &main, &json!({ "thread_id": "main" })).await?;
    ensure!(apart().await? == [Some((0, 0)), Some((3, 0))], "{:?}", apart().await?);
    // Who answers in a thread has read it, and no more than that.
    ann.say(&room, "again beside it").await?;
    send(&bob, &room, "b", &in_thread(&root)).await?;
    ensure!(apart().await? == [Some((1, 0)), None], "{:?}", apart().await?);
    last = send(&ann, &room, "4", &in_thread(&root)).await.unwrap_or(last);
    ensure!(apart().await? == [Some((1, 0)), Some((1, 0))], "{:?}", apart().await?);
    read(&bob, &room, &last, &json!({ "thread_id": root })).await?;
    ensure!(apart().await? == [Some((1, 0)), None], "{:?}", apart().await?);
    read(&bob, &room, &last, &json!({})).await?;
    ensure!(apart().await? == [Some((0, 0)), None], "{:?}", apart().await?);
    // What names no event begins no thread, which could not be written down.
    let long = format!("${}", "x".repeat(300));
    for (n, root) in ["a\0b", "$a\0b", "no event", &long].into_iter().enumerate() {
        send(&ann, &room, &format!("none{n}"), &in_thread(root)).await?;
    }
    let (_ear, answer) = Ear::begin(&bob, &query).await?;
    ensure!(unread(&answer, &room) == Some((4, 0)), "{answer}");
    let threads = part(&answer, &room, "join/unread_thread_notifications");
    ensure!(threads.as_object().is_none_or(serde_json::Map::is_empty), "{threads}");
    Ok(())
}

async fn counts_outlive_a_restart_and_a_crash(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let cleo = stage.person("cleo").await?;
    let room = room_of(&[&ann, &bob, &cleo], &json!({ "preset": "public_chat" })).await?;
    let mention = json!({
        "msgtype": "m.text", "body": "hi", "m.mentions": { "user_ids": [bob.id()] },
    });
    let mut last = String::new();
    for n in 0..5 {
        last = send(&ann, &room, &n.to_string(), &mention).await?;
    }
    stage.restart().await?;
    let [ann, bob, cleo] = [ann, bob, cleo].map(|it| it.at(stage.node.http()));
    ensure!(unread_now(&bob, &room).await? == (5, 5));
    for n in 5..9 {
        send(&ann, &room, &n.to_string(), &mention).await?;
    }
    read(&cleo, &room, &last, &json!({})).await?;
    // Killed before the counts were written down: what was acknowledged is counted again.
    stage.node.kill().await?;
    stage.node.restart().await?;
    let (bob, cleo) = (bob.at(stage.node.http()), cleo.at(stage.node.http()));
    comes_true("all is counted again", async || Ok(unread_now(&bob, &room).await? == (9, 9)))
        .await?;
    ensure!(unread_now(&cleo, &room).await? == (4, 0));
    Ok(())
}

// Operations: getNotifications.
async fn notifications_are_listed(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let mut events = Vec::new();
    let mut rooms = Vec::new();
    for n in 0..2 {
        let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
        for m in 0..3 {
            let mut content = json!({ "msgtype": "m.text", "body": format!("{n}-{m}") });
            if m == 1 {
                content["m.mentions"] = json!({ "user_ids": [bob.id()] });
            }
            events.push(send(&ann, &room, &m.to_string(), &content).await?);
        }
        rooms.push(room);
    }
    bob.say(&rooms[0], "of oneself nobody is told").await?;
    let path = "/_matrix/client/v3/notifications";
    let mut found = Vec::new();
    let mut from = String::new();
    loop {
        let answer = bob.get(&format!("{path}?limit=4{from}")).await?;
        found.extend(list(&answer["notifications"]));
        let Some(next) = answer["next_token"].as_str() else { break };
        from = format!("&from={next}");
    }
    let ids: Vec<String> =
        found.iter().filter_map(|it| it["event"]["event_id"].as_str().map(str::to_owned)).collect();
    let newest_first: Vec<String> = events.iter().rev().cloned().collect();
    ensure!(ids == newest_first, "{found:?}");
    let first = &found[0];
    ensure!(first["room_id"] == rooms[1].as_str() && first["read"] == false, "{first}");
    ensure!(first["actions"][0] == "notify" && first["ts"].is_i64(), "{first}");
    read(&bob, &rooms[1], &events[4], &json!({})).await?;
    let answer = bob.get(&format!("{path}?only=highlight")).await?;
    let marks: Vec<(Value, Value)> = list(&answer["notifications"])
        .iter()
        .map(|it| (it["event"]["event_id"].clone(), it["read"].clone()))
        .collect();
    let expected = [(json!(events[4]), json!(true)), (json!(events[1]), json!(true))];
    ensure!(marks[..1] == expected[..1], "{answer}");
    ensure!(marks.len() == 2 && marks[1].0 == expected[1].0, "{answer}");
    refused(bob.get(&format!("{path}?from=none")).await, 400, "M_INVALID_PARAM")?;
    bob.deed(&rooms[1], "leave", None).await?;
    let answer = bob.get(path).await?;
    ensure!(list(&answer["notifications"]).len() == 3, "{answer}");
    Ok(())
}
