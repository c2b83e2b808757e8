//! What changes somebody in many rooms at once: it goes on to its end, whoever hangs up and whatever breaks.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use wayside_tests::{CallError, Client, PASSWORD, RoomId, Wire};

use crate::stage::{Deeds, Ear, Stage, comes_true, escaped, list, part, refused, stories};

stories! {
    whoever_ends_their_account_and_hangs_up_leaves_every_room;
    an_account_that_ends_when_the_node_is_killed_leaves_every_room;
    an_operator_ends_an_account_and_the_person_leaves_every_room;
    whoever_changes_their_name_and_hangs_up_shows_it_in_every_room;
    what_somebody_has_erased_is_kept_from_those_who_come_later;
}

/// So many that a change in all of them takes a while.
const ROOMS: usize = 60;

/// Rooms of Bob that Ann is in.
async fn rooms_of(bob: &Client, ann: &Client) -> Result<Vec<RoomId>> {
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        let room = bob.create_room(&json!({"preset": "public_chat"})).await?;
        ann.join(&room).await?;
        rooms.push(room);
    }
    Ok(rooms)
}

/// Asks for this, hears of the first room in which it shows, and hangs up.
async fn hang_up_after_the_first(
    stage: &Stage,
    (ann, bob): (&Client, &Client),
    rooms: &[RoomId],
    (method, path, body): (&str, &str, &Value),
) -> Result<()> {
    let mut ear = Ear::of(bob).await?;
    let (body, token) = (body.to_string(), ann.session().token());
    let mut stream = Wire::to(stage.node.http())?.open().await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    ear.hear(|answer| {
        let is_told = |room| !list(part(answer, room, "join/timeline")).is_empty();
        rooms.iter().any(is_told).then_some(())
    })
    .await?;
    drop(stream);
    Ok(())
}

/// In how many of the rooms Ann's member event is like that.
async fn where_ann(
    bob: &Client,
    ann: &Client,
    rooms: &[RoomId],
    is_so: impl Fn(&Value) -> bool,
) -> Result<usize, CallError> {
    let mut count = 0;
    for room in rooms {
        let member = bob.state(room, "m.room.member", &escaped(ann.id())).await?;
        count += usize::from(is_so(&member));
    }
    Ok(count)
}

fn has_left(member: &Value) -> bool {
    member["membership"] == "leave"
}

fn deactivation() -> (&'static str, &'static str, Value) {
    let proof = json!({"type": "m.login.password", "password": PASSWORD,
        "identifier": {"type": "m.id.user", "user": "ann"}});
    ("POST", "/_matrix/client/v3/account/deactivate", json!({ "auth": proof }))
}

/// The account is over in every way.
async fn is_ended(bob: &Client, ann: &Client, rooms: &[RoomId], base: &reqwest::Url) -> Result<()> {
    comes_true("Ann leaves every room", async || {
        Ok(where_ann(bob, ann, rooms, has_left).await? == rooms.len())
    })
    .await?;
    let nobody = Client::nobody(base)?;
    let login = json!({"type": "m.login.password", "user": "ann", "password": PASSWORD});
    refused(nobody.post("/_matrix/client/v3/login", &login).await, 403, "M_USER_DEACTIVATED")?;
    refused(ann.at(base).get("/_matrix/client/v3/joined_rooms").await, 401, "M_UNKNOWN_TOKEN")?;
    refused(nobody.get("/_matrix/client/v3/profile/@ann:a.test").await, 404, "M_NOT_FOUND")
}

async fn whoever_ends_their_account_and_hangs_up_leaves_every_room(
    stage: &mut Stage,
) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let mut rooms = rooms_of(&bob, &ann).await?;
    rooms.push(bob.create_room(&json!({"invite": [ann.id()]})).await?);
    let (method, path, body) = deactivation();
    hang_up_after_the_first(stage, (&ann, &bob), &rooms, (method, path, &body)).await?;
    is_ended(&bob, &ann, &rooms, stage.node.http()).await
}

async fn an_account_that_ends_when_the_node_is_killed_leaves_every_room(
    stage: &mut Stage,
) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let rooms = rooms_of(&bob, &ann).await?;
    let (method, path, body) = deactivation();
    hang_up_after_the_first(stage, (&ann, &bob), &rooms, (method, path, &body)).await?;
    stage.node.kill().await?;
    stage.node.restart().await?;
    let bob = bob.at(stage.node.http());
    is_ended(&bob, &ann, &rooms, stage.node.http()).await
}

async fn an_operator_ends_an_account_and_the_person_leaves_every_room(
    stage: &mut Stage,
) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let rooms = rooms_of(&bob, &ann).await?;
    for _ in 0..2 {
        // The second time changes nothing, and says the same.
        let ended = stage.node.command(&["user", "end", "ann"]).await?;
        ensure!(ended.status.success(), "{}", ended.stderr);
        let left = where_ann(&bob, &ann, &rooms, has_left).await?;
        ensure!(left == rooms.len(), "left {left} rooms of {}", rooms.len());
    }
    is_ended(&bob, &ann, &rooms, stage.node.http()).await?;
    let nobody = stage.node.command(&["user", "end", "nobody"]).await?;
    nobody.names("no such account")
}

async fn whoever_changes_their_name_and_hangs_up_shows_it_in_every_room(
    stage: &mut Stage,
) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let rooms = rooms_of(&bob, &ann).await?;
    let path = format!("/_matrix/client/v3/profile/{}/displayname", ann.id());
    let shown = |name: &'static str| move |member: &Value| member["displayname"] == name;
    let body = json!({"displayname": "Ann Lee"});
    hang_up_after_the_first(stage, (&ann, &bob), &rooms, ("PUT", &path, &body)).await?;
    comes_true("the name in every room", async || {
        Ok(where_ann(&bob, &ann, &rooms, shown("Ann Lee")).await? == rooms.len())
    })
    .await?;
    // Killed in the middle, it is finished by asking again.
    let body = json!({"displayname": "Ann"});
    hang_up_after_the_first(stage, (&ann, &bob), &rooms, ("PUT", &path, &body)).await?;
    stage.node.kill().await?;
    stage.node.restart().await?;
    let (ann, bob) = (ann.at(stage.node.http()), bob.at(stage.node.http()));
    ann.put(&path, &body).await?;
    let named = where_ann(&bob, &ann, &rooms, shown("Ann")).await?;
    ensure!(named == rooms.len(), "{named} rooms of {}", rooms.len());
    Ok(())
}

async fn what_somebody_has_erased_is_kept_from_those_who_come_later(
    stage: &mut Stage,
) -> Result<()> {
    let (root, ann, bob) =
        (stage.person("root").await?, stage.person("ann").await?, stage.person("bob").await?);
    let open = json!({"preset": "public_chat", "initial_state": [
        {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
    ]});
    let room = root.create_room(&open).await?;
    let (dan, eve) = (stage.person("dan").await?, stage.person("eve").await?);
    for who in [&ann, &bob, &dan, &eve] {
        who.join(&room).await?;
        who.say(&room, &format!("of {}", who.id())).await?;
    }
    // Ann and Dan want it gone, Dan by the operator's word; Bob and Eve do not say so.
    let path = "/_matrix/client/v3/account/deactivate";
    for (who, erase) in [(&ann, Some(true)), (&bob, None)] {
        let proof = json!({
            "type": "m.login.password", "password": PASSWORD,
            "identifier": {"type": "m.id.user", "user": who.id()},
        });
        let mut wish = json!({ "auth": proof });
        if let Some(erase) = erase {
            wish["erase"] = erase.into();
        }
        who.post(path, &wish).await?;
    }
    for (name, erase) in [("dan", true), ("eve", false)] {
        let words = ["user", "end", name, "--erase"];
        let done = stage.node.command(&words[..if erase { 4 } else { 3 }]).await?;
        ensure!(done.status.success(), "{done:?}");
    }
    let cat = stage.person("cat").await?;
    let read = async |who: &Client| {
        let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=100");
        let page = who.get(&path).await?;
        let page = list(&page["chunk"]);
        let said = page.iter().filter(|it| it["type"] == "m.room.message");
        anyhow::Ok(said.map(|it| it["content"]["body"].clone()).collect::<Vec<_>>())
    };
    let all = ["of @eve:a.test", "of @dan:a.test", "of @bob:a.test", "of @ann:a.test"];
    ensure!(read(&root).await? == all, "who was there has it: {:?}", read(&root).await?);
    let kept = json!(["of @eve:a.test", null, "of @bob:a.test", null]);
    ensure!(json!(read(&cat).await?) == kept, "from outside: {:?}", read(&cat).await?);
    cat.join(&room).await?;
    ensure!(json!(read(&cat).await?) == kept, "who came later: {:?}", read(&cat).await?);
    let (answer, _) = cat.sync(None, Duration::ZERO).await?;
    let told = list(part(&answer, &room, "join/timeline"));
    ensure!(!told.is_empty() && !json!(told).to_string().contains("of @ann"), "{told:?}");
    Ok(())
}
