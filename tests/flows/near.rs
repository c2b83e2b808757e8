//! Who is near: people found by their names, rooms shared with one of them, tags of one's own rooms.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{Client, RoomId};

use crate::stage::{Deeds, Ear, Stage, bodies, escaped, list, part, refused, room_of, stories};

stories! {
    people_are_found_by_their_names;
    shared_rooms_are_listed;
    tags_are_changed_one_by_one;
    a_first_look_into_a_room_shows_it;
}

async fn found(who: &Client, text: &str, limit: usize) -> Result<(Vec<String>, bool)> {
    let asked = json!({"search_term": text, "limit": limit});
    let answer = who.post("/_matrix/client/v3/user_directory/search", &asked).await?;
    let ids = list(&answer["results"])
        .iter()
        .filter_map(|it| it["user_id"].as_str().map(str::to_owned))
        .collect();
    Ok((ids, answer["limited"].as_bool().context("limited")?))
}

async fn call_oneself(who: &Client, name: &str) -> Result<()> {
    let path = format!("/_matrix/client/v3/profile/{}/displayname", who.id());
    who.put(&path, &json!({"displayname": name})).await?;
    Ok(())
}

// Operations: searchUserDirectory.
async fn people_are_found_by_their_names(stage: &mut Stage) -> Result<()> {
    let (ann, bob, cat) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("cat").await?);
    call_oneself(&bob, "Élodie 100%").await?;
    ensure!(found(&ann, "bob", 10).await?.0.is_empty(), "nobody is near");
    let room = ann.create_room(&json!({"invite": [bob.id()]})).await?;
    bob.join(&room).await?;
    for text in ["BOB", "élodie", "ÉLO", "100%", bob.id()] {
        ensure!(found(&ann, text, 10).await?.0 == [bob.id()], "{text}");
        ensure!(found(&cat, text, 10).await?.0.is_empty(), "{text} by a stranger");
    }
    for text in ["0%0", "b_b", "%", "~", "'", "\"", "ann"] {
        let expected: &[&str] = if text == "%" { &[bob.id()] } else { &[] };
        ensure!(found(&ann, text, 10).await?.0 == expected, "{text}");
    }
    let answer = ann
        .post("/_matrix/client/v3/user_directory/search", &json!({"search_term": "bob"}))
        .await?;
    ensure!(answer["results"][0]["display_name"] == "Élodie 100%", "{answer}");
    call_oneself(&bob, "Robert").await?;
    ensure!(found(&ann, "élodie", 10).await?.0.is_empty());
    ensure!(found(&ann, "robert", 10).await?.0 == [bob.id()]);
    // Whoever is in a room that is open to all is found by all, until it closes or they leave.
    let open = bob.create_room(&json!({"preset": "public_chat"})).await?;
    ensure!(found(&cat, "robert", 10).await?.0 == [bob.id()]);
    bob.set_state(&open, "m.room.join_rules", "", &json!({"join_rule": "invite"})).await?;
    ensure!(found(&cat, "robert", 10).await?.0.is_empty());
    let seen = json!({"history_visibility": "world_readable"});
    bob.set_state(&open, "m.room.history_visibility", "", &seen).await?;
    ensure!(found(&cat, "robert", 10).await?.0 == [bob.id()]);
    bob.deed(&open, "leave", None).await?;
    ensure!(found(&cat, "robert", 10).await?.0.is_empty());
    // There may be more than are shown; those whose id begins with the text come first.
    let square = ann.create_room(&json!({"preset": "public_chat"})).await?;
    for name in ["xdora", "dora1", "dora2"] {
        stage.person(name).await?.join(&square).await?;
    }
    let (first, limited) = found(&cat, "dora", 2).await?;
    ensure!(first.iter().all(|id| id.starts_with("@dora")) && first.len() == 2 && limited);
    ensure!(found(&cat, "dora", 3).await?.0.len() == 3);
    let long = "x".repeat(600);
    let asked = json!({"search_term": long});
    refused(
        ann.post("/_matrix/client/v3/user_directory/search", &asked).await,
        400,
        "M_INVALID_PARAM",
    )
}

// Operations: getMutualRooms.
async fn shared_rooms_are_listed(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let mut rooms = Vec::new();
    for _ in 0..103 {
        rooms.push(room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?);
    }
    let left = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    bob.deed(&left, "leave", None).await?;
    ann.create_room(&json!({"invite": [bob.id()]})).await?;
    let base = format!("/_matrix/client/v1/mutual_rooms?user_id={}", escaped(bob.id()));
    let first = ann.get(&base).await?;
    ensure!(first["count"] == 103 && list(&first["joined"]).len() == 100, "{first}");
    let next = first["next_batch"].as_str().context("a token")?;
    let rest = ann.get(&format!("{base}&from={next}")).await?;
    ensure!(rest.get("next_batch").is_none(), "{rest}");
    let both = [list(&first["joined"]), list(&rest["joined"])].concat();
    let expected: Vec<Value> = rooms.iter().map(|room| room.as_str().into()).collect();
    ensure!(both == expected);
    let own = format!("/_matrix/client/v1/mutual_rooms?user_id={}", escaped(ann.id()));
    refused(ann.get(&own).await, 400, "M_INVALID_PARAM")?;
    for bad in ["", "?user_id=bob", "?user_id=@", "?user_id=@b:b&from=junk"] {
        let path = format!("/_matrix/client/v1/mutual_rooms{bad}");
        refused(ann.get(&path).await, 400, "M_INVALID_PARAM")?;
    }
    let none = ann.get("/_matrix/client/v1/mutual_rooms?user_id=@no:b.test").await?;
    ensure!(none["count"] == 0 && list(&none["joined"]).is_empty(), "{none}");
    Ok(())
}

// Operations: getRoomTags, deleteRoomTag, setRoomTag.
async fn tags_are_changed_one_by_one(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let room = ann.create_room(&json!({})).await?;
    let base = format!("/_matrix/client/v3/user/{}/rooms/{room}/tags", ann.id());
    ensure!(ann.get(&base).await? == json!({"tags": {}}));
    let mut ear = Ear::of(&ann).await?;
    let all = (0..10).map(|number| {
        let (ann, path) = (&ann, format!("{base}/u.{number}"));
        async move { ann.put(&path, &json!({"order": 0.5, "org.mine": number})).await }
    });
    futures_util::future::try_join_all(all).await?;
    let tags = ann.get(&base).await?;
    ensure!(tags["tags"].as_object().is_some_and(|tags| tags.len() == 10), "{tags}");
    ensure!(tags["tags"]["u.3"] == json!({"order": 0.5, "org.mine": 3}), "{tags}");
    let told = ear
        .hear(|answer| {
            let data = list(part(answer, &room, "join/account_data"));
            let last = data.into_iter().rfind(|it| it["type"] == "m.tag")?;
            (last["content"]["tags"].as_object()?.len() == 10).then_some(last)
        })
        .await?;
    ensure!(told["content"]["tags"] == tags["tags"], "{told}");
    ann.delete(&format!("{base}/u.3")).await?;
    ensure!(ann.get(&base).await?["tags"].get("u.3").is_none());
    for order in [json!(2), json!(-0.1), json!("0.5")] {
        let answer = ann.put(&format!("{base}/u.x"), &json!({"order": order})).await;
        ensure!(answer.is_err(), "{order}: {answer:?}");
    }
    let long = "x".repeat(300);
    refused(ann.put(&format!("{base}/{long}"), &json!({})).await, 400, "M_INVALID_PARAM")?;
    let elsewhere = format!("/_matrix/client/v3/user/{}/rooms/!none:a.test/tags/u.x", ann.id());
    refused(ann.put(&elsewhere, &json!({})).await, 404, "M_NOT_FOUND")?;
    refused(ann.get(elsewhere.trim_end_matches("/u.x")).await, 404, "M_NOT_FOUND")?;
    let bob = stage.person("bob").await?;
    refused(bob.get(&base).await, 403, "M_FORBIDDEN")
}

// Operations: roomInitialSync.
async fn a_first_look_into_a_room_shows_it(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let seen = json!([{"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}]);
    let asked = json!({"preset": "public_chat", "initial_state": seen, "visibility": "public"});
    let room: RoomId = ann.create_room(&asked).await?;
    for number in 0..25 {
        ann.say(&room, &number.to_string()).await?;
    }
    let path = format!("/_matrix/client/v3/rooms/{room}/initialSync");
    let look = bob.get(&path).await?;
    ensure!(look["membership"] == "leave" && look["visibility"] == "public", "{look}");
    let told = bodies(&list(&look["messages"]["chunk"]));
    ensure!(told.first().map(String::as_str) == Some("5") && told.len() == 20, "{told:?}");
    ensure!(list(&look["state"]).iter().any(|it| it["type"] == "m.room.create"), "{look}");
    let from = look["messages"]["start"].as_str().context("a token")?;
    let before = bob
        .get(&format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=1&from={from}"))
        .await?;
    ensure!(bodies(&list(&before["chunk"])) == ["4"], "{before}");
    let tag = format!("/_matrix/client/v3/user/{}/rooms/{room}/tags/u.x", ann.id());
    ann.put(&tag, &json!({})).await?;
    let look = ann.get(&path).await?;
    ensure!(look["account_data"][0]["type"] == "m.tag" && look["membership"] == "join", "{look}");
    let closed = ann.create_room(&json!({})).await?;
    let path = format!("/_matrix/client/v3/rooms/{closed}/initialSync");
    refused(bob.get(&path).await, 403, "M_FORBIDDEN")
}
