//! Private worlds: whom they are shown to, who comes in, and which of them are encrypted.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{CallError, Client, RoomId};

use crate::{
    stage::{Deeds, Stage, escaped, list, refused, stories},
    worlds::{Visit, floor},
};

stories! {
    a_world_is_open_or_encrypted;
    a_private_world_is_for_who_is_invited;
    what_is_encrypted_is_shown_inside_as_it_is;
    whoever_runs_the_node_makes_one_for_somebody;
}

const KIND: &str = "org.matrix.msc3815.world";
const MEGOLM: &str = "m.megolm.v1.aes-sha2";

/// What the node answers who asks for a world with these wishes.
async fn make(who: &Client, wishes: Value) -> Result<Value, CallError> {
    let scene = who.upload("model/gltf-binary", floor()).await?;
    let mut wish = json!({"name": "Den", "scene": format!("mxc://{}", scene.place())});
    if let (Some(wish), Value::Object(wishes)) = (wish.as_object_mut(), wishes) {
        wish.extend(wishes);
    }
    who.post("/_wayside/v1/worlds", &wish).await
}

async fn private(who: &Client, encrypted: bool) -> Result<RoomId> {
    let made = make(who, json!({"public": false, "encrypted": encrypted})).await?;
    room_of(&made)
}

fn room_of(made: &Value) -> Result<RoomId> {
    Ok(RoomId::known(made["room_id"].as_str().with_context(|| made.to_string())?))
}

async fn worlds(who: &Client) -> Result<Vec<Value>> {
    Ok(list(&who.get("/_wayside/v1/worlds").await?["worlds"]))
}

/// A world as the list shows it, if it does.
async fn shown(who: &Client, room: &RoomId) -> Result<Option<Value>> {
    Ok(worlds(who).await?.into_iter().find(|world| world["room_id"] == room.as_str()))
}

fn one(room: &RoomId) -> String {
    format!("/_wayside/v1/worlds/{room}")
}

fn visits(room: &RoomId) -> String {
    format!("/_wayside/v1/worlds/{room}/visits")
}

async fn set(who: &Client, room: &RoomId, kind: &str, content: Value) -> Result<Value, CallError> {
    let path = format!("/_matrix/client/v3/rooms/{room}/state/{kind}");
    who.put(&path, &content).await
}

async fn a_world_is_open_or_encrypted(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let megolm = json!({"algorithm": MEGOLM});
    for wishes in [json!({"public": true, "encrypted": true}), json!({"encrypted": true})] {
        refused(make(&ann, wishes).await, 400, "M_INVALID_PARAM")?;
    }
    refused(make(&ann, json!({"encrypted": "yes"})).await, 400, "M_BAD_JSON")?;
    // One for everybody is not encrypted later either.
    let open = room_of(&make(&ann, json!({})).await?)?;
    ann.join(&open).await?;
    refused(set(&ann, &open, "m.room.encryption", megolm.clone()).await, 403, "M_FORBIDDEN")?;
    let world = shown(&ann, &open).await?.context("it is listed")?;
    ensure!(world["public"] == true && world["encrypted"] == false, "{world}");
    // One that is encrypted is never for everybody.
    let den = private(&ann, true).await?;
    ann.join(&den).await?;
    ensure!(ann.state(&den, "m.room.encryption", "").await? == megolm);
    ensure!(ann.state(&den, "m.room.guest_access", "").await?["guest_access"] == "forbidden");
    let public = json!({"join_rule": "public"});
    refused(set(&ann, &den, "m.room.join_rules", public.clone()).await, 403, "M_FORBIDDEN")?;
    set(&ann, &den, "m.room.join_rules", json!({"join_rule": "knock"})).await?;
    // One that is neither becomes either, and then not the other.
    for (first, then) in [
        (("m.room.encryption", megolm.clone()), ("m.room.join_rules", public.clone())),
        (("m.room.join_rules", public.clone()), ("m.room.encryption", megolm.clone())),
    ] {
        let room = private(&ann, false).await?;
        ann.join(&room).await?;
        refused(ann.state(&room, "m.room.encryption", "").await, 404, "M_NOT_FOUND")?;
        set(&ann, &room, first.0, first.1).await?;
        refused(set(&ann, &room, then.0, then.1).await, 403, "M_FORBIDDEN")?;
    }
    // However a world is made; any other room may be both.
    let encryption = json!([{"type": "m.room.encryption", "content": megolm}]);
    let mut request = json!({"preset": "public_chat", "initial_state": encryption});
    ann.create_room(&request).await?;
    request["creation_content"] = json!({"type": KIND});
    let made = ann.post("/_matrix/client/v3/createRoom", &request).await;
    refused(made, 400, "M_INVALID_ROOM_STATE")
}

async fn a_private_world_is_for_who_is_invited(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let nobody = Client::nobody(stage.node.http())?;
    let den = private(&ann, false).await?;
    let world = shown(&ann, &den).await?.context("whoever made it is invited")?;
    ensure!(world["invited"] == true && world["public"] == false, "{world}");
    let mut visit = Visit::begin(&stage.node, &ann, den.as_str()).await?;
    ensure!(shown(&ann, &den).await?.context("she is in it")?["invited"] == false);
    let alias = ann.get(&one(&den)).await?["alias"].as_str().context("an alias")?.to_owned();
    // To everybody else there is none of that name, and none at all.
    for who in [&bob, &nobody] {
        ensure!(worlds(who).await?.is_empty());
        for name in [den.as_str(), &escaped(&alias), "%23nowhere:a.test"] {
            let answer = who.get(&format!("/_wayside/v1/worlds/{name}")).await;
            refused(answer, 404, "M_NOT_FOUND")?;
        }
    }
    refused(bob.post(&visits(&den), &json!({})).await, 404, "M_NOT_FOUND")?;
    // Whoever is invited sees it, comes in, and is seen there.
    ann.deed(&den, "invite", Some(&bob)).await?;
    let world = shown(&bob, &den).await?.context("he is invited")?;
    ensure!(world["invited"] == true && world["names"] == json!(["ann"]), "{world}");
    ensure!(bob.get(&one(&den)).await?["invited"] == true);
    let _inside = Visit::begin(&stage.node, &bob, den.as_str()).await?;
    for name in ["ann", "bob"] {
        let entered = visit.next(0x43).await?;
        ensure!(String::from_utf8_lossy(&entered).contains(&format!("@{name}:a.test")));
    }
    // An invitation that is declined or taken back is none, and who goes is a stranger again.
    let eve = stage.person("eve").await?;
    for (who, deed, whom) in [(&eve, "leave", None), (&ann, "kick", Some(&eve))] {
        ann.deed(&den, "invite", Some(&eve)).await?;
        ensure!(shown(&eve, &den).await?.is_some());
        who.deed(&den, deed, whom).await?;
        ensure!(shown(&eve, &den).await?.is_none());
    }
    bob.deed(&den, "leave", None).await?;
    ensure!(worlds(&bob).await?.is_empty());
    refused(bob.post(&visits(&den), &json!({})).await, 404, "M_NOT_FOUND")
}

async fn what_is_encrypted_is_shown_inside_as_it_is(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let den = private(&ann, true).await?;
    let mut visit = Visit::begin(&stage.node, &ann, den.as_str()).await?;
    let sealed = json!({"algorithm": MEGOLM, "ciphertext": "c2VhbGVk", "session_id": "s"});
    let path = format!("/_matrix/client/v3/rooms/{den}/send/m.room.encrypted/t1");
    ann.put(&path, &sealed).await?;
    let event = visit.next(0x49).await?;
    let event: Value = serde_json::from_slice(&event[5..])?;
    ensure!(event["type"] == "m.room.encrypted" && event["content"] == sealed, "{event}");
    Ok(())
}

async fn whoever_runs_the_node_makes_one_for_somebody(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let folder = tempfile::tempdir()?;
    let scene = folder.path().join("den.glb");
    fs::write(&scene, floor())?;
    let scene = scene.to_str().context("a path of letters")?;
    let add = ["world", "add", scene, "--name", "Den", "--owner", "ann"];
    // What anybody may enter is not encrypted, and what nobody owns is not private.
    let open = stage.node.command(&[&add[..], &["--encrypted"]].concat()).await?;
    open.names("--private")?;
    let nobodys = [&add[..5], &["--private", "--encrypted"]].concat();
    stage.node.command(&nobodys).await?.names("--owner")?;
    ensure!(worlds(&ann).await?.is_empty(), "what was refused is there");
    for (more, encrypted) in [(&["--private"][..], false), (&["--private", "--encrypted"], true)] {
        let alias = if encrypted { "sealed" } else { "plain" };
        let made = stage.node.command(&[&add[..], &["--alias", alias], more].concat()).await?;
        ensure!(made.status.success(), "{made:?}");
        let here = worlds(&ann).await?;
        let world = here.iter().find(|it| it["alias"] == format!("#{alias}:a.test"));
        let world = world.with_context(|| format!("{alias} in {here:?}"))?;
        ensure!(world["public"] == false && world["invited"] == true, "{world}");
        ensure!(world["encrypted"] == encrypted, "{world}");
        let room = room_of(world)?;
        ann.join(&room).await?;
        let state = ann.state(&room, "m.room.encryption", "").await;
        ensure!(state.is_ok_and(|it| it["algorithm"] == MEGOLM) == encrypted, "{world}");
    }
    ensure!(worlds(&bob).await?.is_empty(), "they are shown to others");
    Ok(())
}
