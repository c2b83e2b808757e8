//! What was said long ago goes, and rooms go on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::Client;

use crate::stage::{
    Deeds, Ear, Stage, bodies, comes_true, list, one, part, refused, room_of, send, stories,
};

stories! {
    what_is_let_go_of_is_gone_and_the_room_goes_on;
    a_room_says_how_long_it_keeps_things;
}

const V3: &str = "/_matrix/client/v3";

async fn history(who: &Client, room: &str) -> Result<Vec<Value>> {
    let answer = who.get(&format!("{V3}/rooms/{room}/messages?dir=b&limit=100")).await?;
    Ok(list(&answer["chunk"]))
}

async fn found(who: &Client, word: &str) -> Result<i64> {
    let asked = json!({ "search_categories": { "room_events": { "search_term": word } } });
    let answer = who.post(&format!("{V3}/search"), &asked).await?;
    answer["search_categories"]["room_events"]["count"].as_i64().context("no count")
}

async fn what_is_let_go_of_is_gone_and_the_room_goes_on(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat", "name": "Hall" })).await?;
    let other = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    ann.say(&other, "lantern elsewhere").await?;
    let root = ann.say(&room, "lantern one").await?;
    let reaction =
        json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": root, "key": "+" } });
    send(&bob, &room, "m.reaction", &reaction).await?;
    let last = bob.say(&room, "lantern two").await?;
    comes_true("all words are found", async || Ok(found(&ann, "lantern").await? == 3)).await?;

    let unread = async |ann: &Client, count: i64| {
        let (answer, _) = ann.sync(None, Duration::ZERO).await?;
        Ok(part(&answer, &room, "join/unread_notifications")["notification_count"] == count)
    };
    comes_true("what bob said is unread", async || unread(&ann, 1).await).await?;
    // What is unread is written down when the node stops.
    stage.restart().await?;
    let (ann, bob) = (ann.at(stage.node.http()), bob.at(stage.node.http()));
    let mut bobs = Ear::of(&bob).await?;
    let done = stage.node.command(&["room", "forget", room.as_str(), "--days", "0"]).await?;
    ensure!(done.status.success() && done.stdout.starts_with("3 events"), "{done:?}");
    for event in [&root, &last] {
        let path = format!("{V3}/rooms/{room}/event/{event}");
        refused(ann.get(&path).await, 404, "M_NOT_FOUND")?;
        let path = format!("{V3}/rooms/{room}/context/{event}");
        refused(ann.get(&path).await, 404, "M_NOT_FOUND")?;
    }
    let left = history(&ann, room.as_str()).await?;
    ensure!(bodies(&left).is_empty() && one(&left, "m.reaction", None).is_none(), "{left:?}");
    ensure!(one(&left, "m.room.name", Some("")).is_some(), "state stays: {left:?}");
    ensure!(found(&ann, "lantern").await? == 1, "of the other room alone");
    comes_true("and is unread no longer", async || unread(&ann, 0).await).await?;
    ensure!(bodies(&history(&ann, other.as_str()).await?) == ["lantern elsewhere"]);

    // The room stands on what was let go of, and goes on.
    let next = ann.say(&room, "after").await?;
    let heard = bobs.hear(|news| {
        let timeline = list(&news["rooms"]["join"][room.as_str()]["timeline"]["events"]);
        timeline.into_iter().find(|it| it["event_id"] == next.as_str())
    });
    ensure!(heard.await?["content"]["body"] == "after");
    // What was the newest then is no more than any other now.
    let again = stage.node.command(&["room", "forget", room.as_str(), "--days", "1"]).await?;
    ensure!(again.status.success() && again.stdout.starts_with("0 events"), "{again:?}");
    ensure!(bodies(&history(&bob, room.as_str()).await?) == ["after"]);
    stage.restart().await?;
    let (ann, bob) = (ann.at(stage.node.http()), bob.at(stage.node.http()));
    ann.put(&format!("{V3}/rooms/{room}/state/m.room.name"), &json!({ "name": "Yard" })).await?;
    bob.say(&room, "and on").await?;
    ensure!(bodies(&history(&bob, room.as_str()).await?) == ["and on", "after"]);
    let unknown = stage.node.command(&["room", "forget", "!no:a.test", "--days", "0"]).await?;
    unknown.names("!no:a.test")
}

async fn a_room_says_how_long_it_keeps_things(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let lasting = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    for room in [&room, &lasting] {
        ann.say(room, "old").await?;
    }
    let path = format!("{V3}/rooms/{room}/state/m.room.retention");
    let refusal = bob.call(Method::PUT, &path, Some(&json!({ "max_lifetime": 1 }))).await;
    refused(refusal, 403, "M_FORBIDDEN")?;
    ann.put(&path, &json!({ "max_lifetime": 1 })).await?;
    let unread = async |bob: &Client, count: i64| {
        let (answer, _) = bob.sync(None, Duration::ZERO).await?;
        Ok(part(&answer, &room, "join/unread_notifications")["notification_count"] == count)
    };
    comes_true("it is unread", async || unread(&bob, 1).await).await?;
    // It is looked for at each start, and every ten minutes.
    stage.restart().await?;
    let ann = ann.at(stage.node.http());
    let gone = async || Ok(bodies(&history(&ann, room.as_str()).await?).is_empty());
    comes_true("what is older goes", gone).await?;
    let bob = bob.at(stage.node.http());
    comes_true("and is unread no longer", async || unread(&bob, 0).await).await?;
    ensure!(bodies(&history(&ann, lasting.as_str()).await?) == ["old"]);
    Ok(())
}
