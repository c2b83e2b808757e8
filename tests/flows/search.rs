//! Finding what was said, and by whom nothing is found.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{Client, RoomId};

use crate::stage::{Deeds, Stage, bodies, list, redact, refused, room_of, send, stories};

stories! {
    words_are_found_where_they_were_said;
    only_what_one_may_see_is_found;
    hits_come_page_by_page;
    hits_are_told_with_what_stands_around_them;
    no_question_reads_as_the_syntax_of_an_engine;
    the_index_goes_on_after_a_restart;
}

async fn search(who: &Client, criteria: &Value) -> Result<Value> {
    let asked = json!({"search_categories": {"room_events": criteria}});
    let answer = who.post("/_matrix/client/v3/search", &asked).await?;
    Ok(answer["search_categories"]["room_events"].clone())
}

async fn found(who: &Client, text: &str) -> Result<Vec<String>> {
    let answer = search(who, &json!({"search_term": text, "order_by": "recent"})).await?;
    let events: Vec<Value> =
        list(&answer["results"]).iter().map(|hit| hit["result"].clone()).collect();
    Ok(bodies(&events))
}

// Operations: search.
async fn words_are_found_where_they_were_said(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room =
        room_of(&[&ann, &bob], &json!({"preset": "public_chat", "name": "Blue room"})).await?;
    ann.say(&room, "The quick brown fox").await?;
    let second = bob.say(&room, "A QUICK answer, Ärger").await?;
    ann.say(&room, "今日は").await?;
    ensure!(found(&ann, "quick").await? == ["A QUICK answer, Ärger", "The quick brown fox"]);
    ensure!(found(&ann, "Fox quick").await? == ["The quick brown fox"]);
    ensure!(found(&ann, "quick!?").await?.len() == 2 && found(&ann, "quic").await?.is_empty());
    ensure!(found(&ann, "ÄRGER").await?.len() == 1);
    ensure!(found(&ann, "今日").await? == ["今日は"]);
    ensure!(found(&ann, "").await?.is_empty() && found(&ann, "...").await?.is_empty());
    let named = search(&ann, &json!({"search_term": "blue"})).await?;
    ensure!(named["results"][0]["result"]["type"] == "m.room.name", "{named}");
    ensure!(named["highlights"] == json!(["blue"]) && named["count"] == 1, "{named}");
    for (keys, hits) in
        [(json!(["content.body"]), 0), (json!(["content.name", "content.topic"]), 1)]
    {
        let answer = search(&ann, &json!({"search_term": "blue", "keys": keys})).await?;
        ensure!(list(&answer["results"]).len() == hits, "{keys}: {answer}");
    }
    let by_bob = json!({"search_term": "quick", "filter": {"senders": [bob.id()]}});
    let answer = search(&ann, &by_bob).await?;
    ensure!(answer["results"][0]["result"]["event_id"] == *second, "{answer}");
    ensure!(list(&answer["results"]).len() == 1, "{answer}");
    // Whoever says a word more often says more of it.
    ann.say(&room, "fox fox fox").await?;
    let ranked = search(&ann, &json!({"search_term": "fox", "order_by": "rank"})).await?;
    ensure!(ranked["results"][0]["result"]["content"]["body"] == "fox fox fox", "{ranked}");
    let ranks: Vec<i64> =
        list(&ranked["results"]).iter().filter_map(|hit| hit["rank"].as_i64()).collect();
    ensure!(ranks.len() == 2 && ranks[0] >= ranks[1], "{ranked}");
    // What is emptied is not found, and what is encrypted never was.
    redact(&bob, &room, &second).await?;
    ensure!(found(&ann, "quick").await? == ["The quick brown fox"]);
    let secret = json!({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "fox", "body": "fox"});
    send(&ann, &room, "m.room.encrypted", &secret).await?;
    ensure!(found(&ann, "fox").await?.len() == 2);
    Ok(())
}

async fn only_what_one_may_see_is_found(stage: &mut Stage) -> Result<()> {
    let (ann, bob, cat) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("cat").await?);
    let hidden =
        json!([{"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}]);
    let room = ann.create_room(&json!({"preset": "public_chat", "initial_state": hidden})).await?;
    ann.say(&room, "needle before").await?;
    bob.join(&room).await?;
    ann.say(&room, "needle within").await?;
    bob.deed(&room, "leave", None).await?;
    ann.say(&room, "needle after").await?;
    ensure!(found(&ann, "needle").await?.len() == 3);
    ensure!(found(&bob, "needle").await? == ["needle within"]);
    ensure!(found(&cat, "needle").await?.is_empty());
    let elsewhere = json!({"search_term": "needle", "filter": {"rooms": [room.as_str()]}});
    ensure!(list(&search(&cat, &elsewhere).await?["results"]).is_empty());
    ensure!(list(&search(&ann, &elsewhere).await?["results"]).len() == 3);
    let not_there = json!({"search_term": "needle", "filter": {"not_rooms": [room.as_str()]}});
    ensure!(list(&search(&ann, &not_there).await?["results"]).is_empty());
    bob.deed(&room, "forget", None).await?;
    ensure!(found(&bob, "needle").await?.is_empty());
    // Nor what those say who are ignored.
    cat.join(&room).await?;
    cat.say(&room, "needle of cat").await?;
    let path = format!("/_matrix/client/v3/user/{}/account_data/m.ignored_user_list", ann.id());
    ann.put(&path, &json!({"ignored_users": {cat.id(): {}}})).await?;
    ensure!(found(&ann, "needle").await?.len() == 3);
    Ok(())
}

async fn hits_come_page_by_page(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    for number in 0..7 {
        ann.say(&room, &format!("hay {number}")).await?;
    }
    for order in ["recent", "rank"] {
        let criteria = json!({"search_term": "hay", "order_by": order, "filter": {"limit": 3}});
        let asked = json!({"search_categories": {"room_events": criteria}});
        let (mut all, mut query) = (Vec::new(), String::new());
        loop {
            let answer = ann.post(&format!("/_matrix/client/v3/search{query}"), &asked).await?;
            let part = &answer["search_categories"]["room_events"];
            let events: Vec<Value> =
                list(&part["results"]).iter().map(|hit| hit["result"].clone()).collect();
            ensure!(events.len() <= 3, "{part}");
            all.extend(bodies(&events));
            let Some(next) = part["next_batch"].as_str() else { break };
            query = format!("?next_batch={next}");
            // What is said meanwhile moves no page.
            ann.say(&room, "hay again").await?;
        }
        all.retain(|text| text != "hay again");
        all.sort();
        let expected: Vec<String> = (0..7).map(|number| format!("hay {number}")).collect();
        ensure!(all == expected, "{order}: {all:?}");
        let path = format!("/_matrix/client/v3/search{query}");
        refused(bob.post(&path, &asked).await, 400, "M_INVALID_PARAM")?;
        let other = json!({"search_categories": {"room_events": {"search_term": "straw"}}});
        refused(ann.post(&path, &other).await, 400, "M_INVALID_PARAM")?;
        for junk in ["junk", "w1_2", "w1_2_3", ""] {
            let path = format!("/_matrix/client/v3/search?next_batch={junk}");
            refused(ann.post(&path, &asked).await, 400, "M_INVALID_PARAM")?;
        }
    }
    Ok(())
}

async fn hits_are_told_with_what_stands_around_them(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let name = format!("/_matrix/client/v3/profile/{}/displayname", ann.id());
    ann.put(&name, &json!({"displayname": "Ann"})).await?;
    let room = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    let other: RoomId = ann.create_room(&json!({})).await?;
    for text in ["one", "two", "needle", "three", "four"] {
        ann.say(&room, text).await?;
    }
    ann.put(&name, &json!({"displayname": "Anna"})).await?;
    ann.say(&other, "needle").await?;
    let criteria = json!({
        "search_term": "needle", "order_by": "recent", "include_state": true,
        "event_context": {"before_limit": 1, "after_limit": 2, "include_profile": true},
        "groupings": {"group_by": [{"key": "room_id"}, {"key": "sender"}]},
    });
    let answer = search(&ann, &criteria).await?;
    let hit = list(&answer["results"])
        .into_iter()
        .find(|hit| hit["result"]["room_id"] == room.as_str())
        .context("a hit")?;
    let around = &hit["context"];
    ensure!(bodies(&list(&around["events_before"])) == ["two"], "{hit}");
    ensure!(bodies(&list(&around["events_after"])) == ["three", "four"], "{hit}");
    ensure!(around["profile_info"][ann.id()]["displayname"] == "Ann", "{hit}");
    let from = around["start"].as_str().context("a token")?;
    let page = ann
        .get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=1&from={from}"))
        .await?;
    ensure!(bodies(&list(&page["chunk"])) == ["one"], "{page}");
    let groups = &answer["groups"];
    ensure!(groups["room_id"].as_object().context("groups")?.len() == 2, "{groups}");
    ensure!(list(&groups["sender"][ann.id()]["results"]).len() == 2, "{groups}");
    ensure!(answer["state"][room.as_str()].is_array(), "{answer}");
    let plain = search(&ann, &json!({"search_term": "needle"})).await?;
    ensure!(
        plain["results"][0].get("context").is_none() && plain.get("groups").is_none(),
        "{plain}"
    );
    Ok(())
}

async fn no_question_reads_as_the_syntax_of_an_engine(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let room = ann.create_room(&json!({})).await?;
    ann.say(&room, "plain words and or not near").await?;
    for text in [
        "\"",
        "'",
        "words\"",
        "words OR",
        "NOT words",
        "NEAR(words plain, 2)",
        "body:words",
        "wor*",
        "words & !plain",
        "(words",
        "words)",
        "words:*",
        "words <-> plain",
        "\\",
        "^words",
        "{name}: words",
        "room : \"r1\"",
        "'room/1'",
        "words -- ",
        "%",
        "\u{feff}words",
        "words\u{202e}",
    ] {
        let _hits = found(&ann, text).await.with_context(|| text.to_owned())?;
    }
    ensure!(found(&ann, "words AND plain").await?.len() == 1, "AND is a word as any other");
    ensure!(found(&ann, "words OR nothing").await?.is_empty(), "and so is OR");
    for (text, code) in [
        ("x".repeat(600), "M_INVALID_PARAM"),
        ("a b c d e f g h i j k l m n o p q r s t u".to_owned(), "M_INVALID_PARAM"),
    ] {
        let asked = json!({"search_categories": {"room_events": {"search_term": text}}});
        refused(ann.post("/_matrix/client/v3/search", &asked).await, 400, code)?;
    }
    for (name, wrong) in [
        ("keys", json!(["content.other"])),
        ("order_by", json!("age")),
        ("groupings", json!({"group_by": [{"key": "age"}]})),
    ] {
        let mut criteria = json!({"search_term": "words"});
        criteria[name] = wrong;
        let asked = json!({"search_categories": {"room_events": criteria}});
        ensure!(ann.post("/_matrix/client/v3/search", &asked).await.is_err(), "{name}");
    }
    let nothing = ann.post("/_matrix/client/v3/search", &json!({"search_categories": {}})).await?;
    ensure!(nothing == json!({"search_categories": {}}), "{nothing}");
    Ok(())
}

async fn the_index_goes_on_after_a_restart(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let room = ann.create_room(&json!({})).await?;
    ann.say(&room, "needle one").await?;
    ensure!(found(&ann, "needle").await?.len() == 1);
    let two = ann.say(&room, "needle two").await?;
    stage.restart().await?;
    let ann = ann.at(stage.node.http());
    ensure!(found(&ann, "needle").await? == ["needle two", "needle one"]);
    redact(&ann, &room, &two).await?;
    stage.restart().await?;
    let ann = ann.at(stage.node.http());
    ensure!(found(&ann, "needle").await? == ["needle one"]);
    Ok(())
}
