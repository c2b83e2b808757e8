//! What is kept within bounds: how much one answer holds, and how much one person may keep.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{Client, RoomId};

use crate::stage::{
    Deeds, Ear, Stage, bodies, escaped, is_quiet, list, one, part, refused, room_of, stories,
    typists,
};

stories! {
    a_first_answer_too_large_comes_in_parts;
    account_data_has_an_end;
    typing_ends_over_a_restart;
    events_come_in_the_form_asked_for;
}

/// The wish for as many events of each room as there are.
const LONG: &str = r#"{"room":{"timeline":{"limit":100}}}"#;

async fn a_first_answer_too_large_comes_in_parts(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let text = "x".repeat(60_000);
    let mut rooms = Vec::new();
    for number in 0..3 {
        let room = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
        // Two of these rooms are more than one answer holds.
        let said = (0..72).map(|at| {
            let (ann, room, text) = (&ann, &room, &text);
            async move { ann.send_text(room, &format!("{number}-{at}"), text).await }
        });
        futures_util::future::try_join_all(said).await?;
        bob.put(&mine(&bob, &format!("rooms/{room}/account_data/org.mark")), &json!({"n": number}))
            .await?;
        rooms.push(room);
    }
    let joined = |answer: &Value| -> Vec<bool> {
        rooms.iter().map(|room| !part(answer, room, "join").is_null()).collect()
    };
    let (mut ear, first) = Ear::begin(&bob, &format!("&filter={}", escaped(LONG))).await?;
    ensure!(joined(&first) == [true, true, false], "{:?}", joined(&first));
    whole(&first, &rooms[1], 1)?;

    // What happens in between is told once, of the rooms told of and of the one still to come.
    ann.say(&rooms[0], "between one").await?;
    ann.say(&rooms[2], "between three").await?;
    let second = ear.next().await?;
    ensure!(joined(&second) == [true, false, true], "{:?}", joined(&second));
    let news = bodies(&list(part(&second, &rooms[0], "join/timeline")));
    ensure!(news == ["between one"], "{} events", news.len());
    whole(&second, &rooms[2], 2)?;
    let last = bodies(&list(part(&second, &rooms[2], "join/timeline"))).pop();
    ensure!(last.as_deref() == Some("between three"));
    ear.hears_nothing().await?;

    // All state asked for again comes in parts too, and says all of it.
    let path = format!(
        "/_matrix/client/v3/sync?timeout=0&full_state=true&filter={}&since={}",
        escaped(LONG),
        ear.token
    );
    let full = bob.get(&path).await?;
    ensure!(joined(&full) == [true, true, true], "state alone is small: {:?}", joined(&full));
    Ok(())
}

/// Checks that a room is told of as to somebody who knows nothing of it.
fn whole(answer: &Value, room: &RoomId, number: i64) -> Result<()> {
    let timeline = list(part(answer, room, "join/timeline"));
    ensure!(timeline.len() >= 72, "{} events", timeline.len());
    let state = list(part(answer, room, "join/state"));
    let begun = state.iter().chain(&timeline).any(|it| it["type"] == "m.room.create");
    ensure!(begun, "the room's beginning is missing");
    let data = list(part(answer, room, "join/account_data"));
    let mark = one(&data, "org.mark", None).context("account data of the room is missing")?;
    ensure!(mark["content"]["n"] == number, "{mark}");
    Ok(())
}

fn mine(who: &Client, what: &str) -> String {
    format!("/_matrix/client/v3/user/{}/{what}", escaped(who.id()))
}

async fn account_data_has_an_end(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let item = |number: usize| mine(&ann, &format!("account_data/org.example.{number}"));
    let mebibyte = json!({ "text": "x".repeat(1_040_000) });
    for number in 0..8 {
        ann.put(&item(number), &mebibyte).await?;
    }
    refused(ann.put(&item(8), &mebibyte).await, 413, "M_TOO_LARGE")?;
    refused(ann.get(&item(8)).await, 404, "M_NOT_FOUND")?;
    ensure!(ann.get(&item(7)).await? == mebibyte, "what was there stays");
    // Less in its place is taken, and makes room.
    ann.put(&item(0), &json!({})).await?;
    ann.put(&item(8), &mebibyte).await?;
    let bob = stage.person("bob").await?;
    bob.put(&mine(&bob, "account_data/org.example"), &mebibyte).await?;
    Ok(())
}

async fn typing_ends_over_a_restart(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    let mut ear = Ear::of(&bob).await?;
    let typing = format!("/_matrix/client/v3/rooms/{room}/typing/{}", escaped(ann.id()));
    let who = |answer: &Value| typists(answer, &room);
    ann.put(&typing, &json!({"typing": true, "timeout": 120_000})).await?;
    ensure!(ear.hear(who).await? == [json!(ann.id())], "Ann types");
    stage.restart().await?;
    ear.client = ear.client.at(stage.node.http());
    ensure!(ear.hear(who).await?.is_empty(), "nobody types");
    ear.hears_nothing().await
}

async fn events_come_in_the_form_asked_for(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let room = ann.create_room(&json!({"preset": "public_chat", "name": "Form"})).await?;
    let event = ann.say(&room, "hello").await?;
    let told = async |filter: Value| -> Result<(Value, Value)> {
        let query = format!("&filter={}", escaped(&filter.to_string()));
        let (_, answer) = Ear::begin(&ann, &query).await?;
        let timeline = list(part(&answer, &room, "join/timeline"));
        let said = one(&timeline, "m.room.message", None).context("what was said")?.clone();
        let state = list(part(&answer, &room, "join/state"));
        let state = state.first().cloned().unwrap_or_default();
        Ok((said, state))
    };
    let short = json!({"room": {"timeline": {"limit": 1}}});
    let (plain, _) = told(short.clone()).await?;
    ensure!(plain.get("auth_events").is_none() && plain["unsigned"]["age"].is_u64(), "{plain}");

    let mut federation = short.clone();
    federation["event_format"] = "federation".into();
    let (said, state) = told(federation).await?;
    for field in ["auth_events", "prev_events", "hashes", "signatures", "depth", "room_id"] {
        ensure!(!said[field].is_null(), "{field} is missing: {said}");
    }
    ensure!(said["event_id"] == event && said["content"] == plain["content"], "{said}");
    ensure!(said["unsigned"]["membership"] == "join", "{said}");
    ensure!(!state["signatures"].is_null(), "{state}");

    let mut fields = short;
    fields["event_fields"] = json!(["type", "content.body"]);
    let (said, state) = told(fields).await?;
    ensure!(said == json!({"type": "m.room.message", "content": {"body": "hello"}}), "{said}");
    ensure!(state.as_object().is_some_and(|it| it.keys().all(|key| key == "type")), "{state}");

    for wrong in [json!({"event_format": "xml"}), json!({"event_fields": "type"})] {
        let path = format!("/_matrix/client/v3/sync?filter={}", escaped(&wrong.to_string()));
        ensure!(ann.get(&path).await.is_err_and(|it| it.errcode().is_some()), "{wrong} was taken");
    }
    let (mut ear, _) = Ear::begin(&ann, "").await?;
    ensure!(is_quiet(&ear.now().await?), "nothing came");
    Ok(())
}
