//! Nodes and worlds keep to lists of who is shut out, which others write.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{CallError, Client, RoomId};

use crate::{
    homes::named,
    stage::{Deeds, comes_true},
    visitors::{Journey, answered, visitors_of},
    worlds::{Visit, connect, floor, over, world_of},
};

/// The reason of BYE for those who were turned out (specs/realtime.md).
const REMOVED: u8 = 5;
const RULE: &str = "m.policy.rule.user";
const LIST: &str = "org.wayside.ban_list";

fn rule(entity: &str, reason: &str) -> Value {
    json!({ "entity": entity, "recommendation": "m.ban", "reason": reason })
}

/// Why somebody is refused: the short name, and in words.
fn why(answer: Result<Value, CallError>) -> Result<(String, String)> {
    match answer {
        Err(CallError::Refused { body, .. }) => {
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            Ok((text("org.wayside.reason"), text("error")))
        }
        other => anyhow::bail!("nobody is refused: {other:?}"),
    }
}

/// Asks for a visit of Ada until she is let in, or until she is not.
async fn comes(journey: &Journey, path: &str, wanted: bool) -> Result<Option<Value>> {
    let mut last = None;
    comes_true("the list is kept to", async || {
        let answer = journey.nobody.post(path, &answered(journey, |_| {}).await?).await;
        last = answer.ok();
        Ok(last.is_some() == wanted)
    })
    .await?;
    Ok(last)
}

async fn standing(who: &Client, room: &RoomId, user_id: &str) -> Result<Value> {
    Ok(who.state(room, "m.room.member", user_id).await?["membership"].clone())
}

#[tokio::test]
async fn a_world_keeps_to_a_list_of_another_server() -> Result<()> {
    let Some(mut journey) = Journey::begin().await? else { return Ok(()) };
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let path = visitors_of(&alias);
    let granted = comes(&journey, &path, true).await?.context("a visit")?;
    let ticket = granted["ticket"].as_str().context("a ticket")?;
    let mut visit = Visit::on(connect(&journey.commons).await?, ticket).await?;
    let room = RoomId::known(granted["world"]["room_id"].as_str().context("a room")?);
    journey.homes.ada.join_through(&room, journey.commons.server_name()).await?;
    bob.join(&room).await?;

    let ann = &journey.homes.abroad.ann;
    let open = json!({ "preset": "public_chat", "room_alias_name": "bans" });
    let list = ann.create_room(&open).await?;
    let via = json!({ "via": [journey.homes.abroad.node.server_name()] });
    bob.set_state(&room, LIST, list.as_str(), &via).await?;
    let members = format!("/_matrix/client/v3/rooms/{list}/joined_members");
    let service = format!("@_wayside:{}", journey.commons.server_name());
    comes_true("the node reads the list", async || {
        Ok(ann.get(&members).await?["joined"].get(&service).is_some())
    })
    .await?;
    // Of others it says nothing to her.
    ann.set_state(&list, RULE, "spam", &rule("@spam*:*", "ads")).await?;
    // A person is covered by their DID, wherever they are said to be with it.
    let moved = journey.did.replace("home.test", "old.test");
    ann.set_state(&list, RULE, "ada", &rule(&moved, "shouts")).await?;
    ensure!(over(&mut visit.socket).await? == REMOVED, "she stays");
    let answer = journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await;
    let (reason, words) = why(answer)?;
    ensure!(reason == "listed" && words.ends_with(": shouts"), "{reason} {words}");
    let ada = journey.homes.ada.id().to_owned();
    comes_true("the chat is closed to her too", async || {
        Ok(standing(&bob, &room, &ada).await? == "ban")
    })
    .await?;
    ensure!(standing(&bob, &room, bob.id()).await? == "join", "he is on no list");
    // Also when she has moved.
    let mut elsewhere = named(&journey.homes.abroad, "c", "c.test").await?;
    journey.move_to(&elsewhere).await?;
    let answer = journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await;
    ensure!(why(answer)?.0 == "listed", "she comes in after a move");

    // What is taken back in the list is taken back here, and no other ban.
    let of_list = journey.homes.abroad.node.server_name();
    let (eve, ida) = (format!("@eve:{of_list}"), format!("@ida:{of_list}"));
    let ban = |user_id: &str| json!({ "user_id": user_id });
    bob.post(&format!("/_matrix/client/v3/rooms/{room}/ban"), &ban(&eve)).await?;
    let ann = &journey.homes.abroad.ann;
    ann.set_state(&list, RULE, "ada", &json!({})).await?;
    comes(&journey, &path, true).await?;
    comes_true("the ban is taken back", async || Ok(standing(&bob, &room, &ada).await? == "leave"))
        .await?;
    ensure!(standing(&bob, &room, &eve).await? == "ban", "his own ban stands");
    // Whoever is asked in is put out where a list covers them.
    ann.set_state(&list, RULE, "ida", &rule(&ida, "raids")).await?;
    bob.post(&format!("/_matrix/client/v3/rooms/{room}/invite"), &ban(&ida)).await.ok();
    let server = json!({ "entity": "c.test*", "recommendation": "m.ban" });
    ann.set_state(&list, "m.policy.rule.server", "c", &server).await?;
    comes(&journey, &path, true).await?;
    let name = elsewhere.server_name().split(':').next().context("a host")?.to_owned();
    let server = json!({ "entity": name, "recommendation": "m.ban" });
    ann.set_state(&list, "m.policy.rule.server", "c", &server).await?;
    comes(&journey, &path, false).await?;
    // A world that keeps to it no more lets her in.
    bob.set_state(&room, LIST, list.as_str(), &json!({})).await?;
    comes(&journey, &path, true).await?;
    crate::abroad::end(&mut elsewhere).await?;
    journey.end().await
}

#[tokio::test]
async fn a_node_keeps_to_a_list_in_all_worlds() -> Result<()> {
    let Some(mut journey) = Journey::begin().await? else { return Ok(()) };
    let ann = journey.homes.abroad.ann.clone();
    let open = json!({ "preset": "public_chat", "room_alias_name": "bans" });
    let list = ann.create_room(&open).await?;
    ann.set_state(&list, RULE, "ada", &rule(journey.homes.ada.id(), "shouts")).await?;
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let path = visitors_of(&alias);
    comes(&journey, &path, true).await?;
    let name = format!("#bans:{}", journey.homes.abroad.node.server_name());
    journey.commons.change("--ban-lists", Some(&name));
    journey.commons.stop().await?;
    journey.commons.restart().await?;
    journey.nobody = Client::nobody(journey.commons.http())?;
    comes(&journey, &path, false).await?;
    let answer = journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await;
    let (reason, words) = why(answer)?;
    ensure!(reason == "listed" && words.ends_with(": shouts"), "{reason} {words}");
    journey.end().await
}
