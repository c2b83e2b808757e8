//! What clients need to encrypt: keys are published, asked for and given away, messages go from device to device.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wayside_tests::{Client, RoomId};

use crate::stage::{Deeds, Ear, Stage, list, refused, room_of, stories};

stories! {
    keys_are_published_and_shown;
    keys_are_given_away_once_each;
    letters_reach_each_device_once;
    letters_come_in_pieces_and_outlive_a_restart;
    it_is_heard_whose_keys_changed;
    it_is_heard_who_comes_to_share_an_encrypted_room;
    a_device_that_goes_takes_its_keys_along;
}

const V3: &str = "/_matrix/client/v3";

/// The keys of somebody's device, as a client writes them.
pub(crate) fn device_keys(client: &Client) -> Value {
    let (user, device) = (client.id(), client.session().device_id.as_str());
    json!({
        "user_id": user,
        "device_id": device,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": { format!("curve25519:{device}"): "c", format!("ed25519:{device}"): "e" },
        "signatures": { user: { format!("ed25519:{device}"): "s" } },
    })
}

/// Publishes what is given for a device.
pub(crate) async fn publish(client: &Client, body: &Value) -> Result<Value> {
    Ok(client.post(&format!("{V3}/keys/upload"), body).await?)
}

async fn publish_device(client: &Client) -> Result<()> {
    publish(client, &json!({ "device_keys": device_keys(client) })).await.map(drop)
}

pub(crate) async fn query(asker: &Client, whose: &Client) -> Result<Value> {
    let body = json!({ "device_keys": { whose.id(): [] } });
    Ok(asker.post(&format!("{V3}/keys/query"), &body).await?)
}

async fn encrypted_room(people: &[&Client]) -> Result<RoomId> {
    let encryption = json!({
        "type": "m.room.encryption", "state_key": "",
        "content": { "algorithm": "m.megolm.v1.aes-sha2" },
    });
    room_of(people, &json!({ "preset": "public_chat", "initial_state": [encryption] })).await
}

/// Those whose keys changed, or who left, by an answer of sync.
fn device_list(answer: &Value, part: &str) -> BTreeSet<String> {
    let names = list(&answer["device_lists"][part]);
    names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn names(people: &[&Client]) -> BTreeSet<String> {
    people.iter().map(|it| it.id().to_owned()).collect()
}

// Operations: queryKeys, uploadKeys.
async fn keys_are_published_and_shown(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let keys = device_keys(&ann);
    let given = json!({
        "device_keys": keys,
        "one_time_keys": {
            "signed_curve25519:AA": { "key": "a", "signatures": { ann.id(): { "ed25519:X": "s" } } },
            "signed_curve25519:AB": { "key": "b" },
            "curve25519:AC": "c",
        },
        "fallback_keys": { "signed_curve25519:FA": { "key": "f", "fallback": true } },
    });
    let counts = json!({ "signed_curve25519": 2, "curve25519": 1 });
    for _again in 0..2 {
        let answer = publish(&ann, &given).await?;
        ensure!(answer["one_time_key_counts"] == counts, "{answer}");
    }
    let (_ear, heard) = Ear::begin(&ann, "").await?;
    ensure!(heard["device_one_time_keys_count"] == counts, "{heard}");
    ensure!(heard["device_unused_fallback_key_types"] == json!(["signed_curve25519"]), "{heard}");
    let (_ear, heard) = Ear::begin(&bob, "").await?;
    let none = json!({ "signed_curve25519": 0 });
    ensure!(heard["device_one_time_keys_count"] == none, "{heard}");

    let device = ann.session().device_id.clone();
    ann.put(&format!("{V3}/devices/{device}"), &json!({ "display_name": "Ann's desk" })).await?;
    let shown = query(&bob, &ann).await?;
    let mut of_ann = shown["device_keys"][ann.id()].clone();
    let beside = of_ann[&device]["unsigned"].take();
    ensure!(beside == json!({ "device_display_name": "Ann's desk" }), "{beside}");
    if let Some(record) = of_ann[&device].as_object_mut() {
        record.remove("unsigned");
    }
    ensure!(of_ann == json!({ device.clone(): keys }), "{of_ann}");
    let asked = json!({ "device_keys": { ann.id(): ["NONE"], "@nobody:elsewhere.test": [] } });
    let shown = bob.post(&format!("{V3}/keys/query"), &asked).await?;
    ensure!(shown["device_keys"] == json!({ ann.id(): {} }), "{shown}");
    ensure!(shown["failures"]["elsewhere.test"].is_object(), "{shown}");

    let other = json!({ "one_time_keys": { "signed_curve25519:AA": { "key": "z" } } });
    refused(ann.post(&format!("{V3}/keys/upload"), &other).await, 400, "M_INVALID_PARAM")?;
    for (name, value) in [("user_id", bob.id()), ("device_id", "OTHER")] {
        let mut foreign = keys.clone();
        foreign[name] = value.into();
        let body = json!({ "device_keys": foreign });
        refused(ann.post(&format!("{V3}/keys/upload"), &body).await, 400, "M_INVALID_PARAM")?;
    }
    let many: serde_json::Map<String, Value> =
        (0..600).map(|n| (format!("signed_curve25519:M{n}"), json!({ "key": "m" }))).collect();
    let body = json!({ "one_time_keys": many });
    refused(ann.post(&format!("{V3}/keys/upload"), &body).await, 413, "M_TOO_LARGE")?;
    let answer = publish(&ann, &json!({})).await?;
    ensure!(answer["one_time_key_counts"] == counts, "what was refused left something: {answer}");
    Ok(())
}

// Operations: claimKeys.
async fn keys_are_given_away_once_each(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let device = ann.session().device_id.clone();
    let keys: serde_json::Map<String, Value> = (0..20)
        .map(|n| (format!("signed_curve25519:K{n:02}"), json!({ "key": format!("{n}") })))
        .collect();
    let fallback = json!({ "signed_curve25519:F": { "key": "f", "fallback": true } });
    publish(
        &ann,
        &json!({
            "device_keys": device_keys(&ann), "one_time_keys": keys, "fallback_keys": fallback,
        }),
    )
    .await?;
    let wanted = json!({ "one_time_keys": { ann.id(): { &device: "signed_curve25519" } } });
    let claim = format!("{V3}/keys/claim");
    let given = |answer: &Value| -> Result<String> {
        let keys = answer["one_time_keys"][ann.id()][&device].as_object();
        let keys = keys.with_context(|| format!("no key in {answer}"))?;
        ensure!(keys.len() == 1, "{answer}");
        Ok(keys.keys().next().cloned().unwrap_or_default())
    };
    let mut claims = JoinSet::new();
    for _ in 0..20 {
        let (bob, claim, wanted) = (bob.clone(), claim.clone(), wanted.clone());
        claims.spawn(async move { bob.post(&claim, &wanted).await });
    }
    let mut all = BTreeSet::new();
    while let Some(answer) = claims.join_next().await {
        ensure!(all.insert(given(&answer??)?), "a key was given away twice");
    }
    let every: BTreeSet<String> = keys.keys().cloned().collect();
    ensure!(all == every, "{all:?}");
    let (mut ear, heard) = Ear::begin(&ann, "").await?;
    ensure!(heard["device_one_time_keys_count"]["signed_curve25519"] == 0, "{heard}");
    for _again in 0..2 {
        let last = given(&bob.post(&claim, &wanted).await?)?;
        ensure!(last == "signed_curve25519:F", "{last}");
    }
    let heard = ear.now().await?;
    ensure!(heard["device_unused_fallback_key_types"] == json!([]), "{heard}");
    // The same again is still used; another is not.
    publish(&ann, &json!({ "fallback_keys": fallback })).await?;
    let heard = ear.now().await?;
    ensure!(heard["device_unused_fallback_key_types"] == json!([]), "{heard}");
    publish(&ann, &json!({ "fallback_keys": { "signed_curve25519:G": { "key": "g" } } })).await?;
    let heard = ear.now().await?;
    ensure!(heard["device_unused_fallback_key_types"] == json!(["signed_curve25519"]), "{heard}");

    // The oldest goes first, and who has none gives none.
    for n in [3, 1, 2] {
        let key = json!({ format!("signed_curve25519:N{n}"): { "key": "n" } });
        publish(&ann, &json!({ "one_time_keys": key })).await?;
    }
    for expected in ["N3", "N1", "N2"] {
        let key = given(&bob.post(&claim, &wanted).await?)?;
        ensure!(key == format!("signed_curve25519:{expected}"), "{key}");
    }
    let wanted = json!({ "one_time_keys": {
        ann.id(): { &device: "curve25519", "NONE": "signed_curve25519" },
        "@nobody:elsewhere.test": { "X": "signed_curve25519" },
    } });
    let answer = bob.post(&claim, &wanted).await?;
    ensure!(answer["one_time_keys"] == json!({}), "{answer}");
    ensure!(answer["failures"]["elsewhere.test"].is_object(), "{answer}");
    Ok(())
}

/// The messages to a device in an answer of sync, by their bodies.
fn letters(answer: &Value) -> Vec<String> {
    let body = |letter: &Value| letter["content"]["body"].as_str().map(str::to_owned);
    list(&answer["to_device"]).iter().filter_map(body).collect()
}

async fn write(from: &Client, txn: &str, to: &Value) -> Result<()> {
    let path = format!("{V3}/sendToDevice/org.example.note/{txn}");
    from.put(&path, &json!({ "messages": to })).await?;
    Ok(())
}

// Operations: sendToDevice.
async fn letters_reach_each_device_once(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let phone = Client::login(stage.node.http(), "bob").await?;
    let mut ears = [Ear::of(&bob).await?, Ear::of(&phone).await?];
    let to = |device: &str, body: &str| json!({ bob.id(): { device: { "body": body } } });
    write(&ann, "1", &to(&bob.session().device_id, "desk")).await?;
    write(&ann, "2", &to("*", "both")).await?;
    write(&ann, "2", &to("*", "a repeated request says nothing new")).await?;
    write(&ann, "3", &to("NONE", "nobody")).await?;
    write(&ann, "4", &json!({ "@nobody:elsewhere.test": { "*": { "body": "far" } } })).await?;
    let mut heard = Vec::new();
    for ear in &mut ears {
        let answer = ear.next().await?;
        let first = list(&answer["to_device"]).first().cloned().unwrap_or_default();
        ensure!(first["sender"] == ann.id() && first["type"] == "org.example.note", "{answer}");
        heard.push(letters(&answer));
    }
    ensure!(heard == [vec!["desk", "both"], vec!["both"]], "{heard:?}");
    for ear in &mut ears {
        let answer = ear.now().await?;
        ensure!(letters(&answer).is_empty(), "told twice: {answer}");
    }
    // Whoever waits is woken, and who loses an answer asks again with the token of before.
    let before = ears[1].token.clone();
    let late = to("*", "late");
    let (woken, written) = tokio::join!(ears[1].next(), write(&ann, "5", &late));
    written?;
    ensure!(letters(&woken?) == ["late"]);
    let (again, _) = phone.sync(Some(&before), std::time::Duration::ZERO).await?;
    ensure!(letters(&again) == ["late"], "{again}");
    // A device that begins anew is told what waits for it, and what it has shown it has is gone.
    let (mut desk, answer) = Ear::begin(&bob, "").await?;
    ensure!(letters(&answer) == ["late"], "{answer}");
    desk.now().await?;
    crate::stage::comes_true("what was fetched is forgotten", async || {
        Ok(letters(&Ear::begin(&bob, "").await?.1).is_empty())
    })
    .await?;
    let path = format!("{V3}/sendToDevice/org.example.note/6");
    let list_of = json!({ "messages": { bob.id(): { "*": [] } } });
    refused(ann.put(&path, &list_of).await, 400, "M_BAD_JSON")?;
    let large = json!({ "messages": { bob.id(): { "*": { "body": "x".repeat(70_000) } } } });
    refused(ann.put(&path, &large).await, 413, "M_TOO_LARGE")?;
    Ok(())
}

async fn letters_come_in_pieces_and_outlive_a_restart(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let mut ear = Ear::of(&bob).await?;
    let to = |body: &str| json!({ bob.id(): { "*": { "body": body } } });
    let bodies: Vec<String> = (0..250).map(|n| format!("{n}")).collect();
    for body in &bodies {
        write(&ann, body, &to(body)).await?;
    }
    let first = letters(&ear.next().await?);
    ensure!(first == bodies[..100], "{first:?}");
    stage.restart().await?;
    ear.client = bob.at(stage.node.http());
    let ann = ann.at(stage.node.http());
    let second = letters(&ear.now().await?);
    ensure!(second == bodies[100..200], "{second:?}");
    write(&ann, "more", &to("more")).await?;
    write(&ann, "0", &to("a request of before the restart")).await?;
    let mut rest = letters(&ear.now().await?);
    rest.extend(letters(&ear.now().await?));
    let mut expected = bodies[200..].to_vec();
    expected.push("more".to_owned());
    ensure!(rest == expected, "{rest:?}");
    Ok(())
}

// Operations: getKeysChanges.
async fn it_is_heard_whose_keys_changed(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let (cleo, dan) = (stage.person("cleo").await?, stage.person("dan").await?);
    let _room = room_of(&[&ann, &bob, &cleo], &json!({ "preset": "public_chat" })).await?;
    let mut ears = [Ear::of(&ann).await?, Ear::of(&bob).await?, Ear::of(&dan).await?];
    let begin = ears[0].token.clone();
    publish_device(&bob).await?;
    for (ear, expected) in ears.iter_mut().zip([names(&[&bob]), names(&[&bob]), names(&[])]) {
        let answer = if expected.is_empty() { ear.now().await? } else { ear.next().await? };
        ensure!(device_list(&answer, "changed") == expected, "{}: {answer}", ear.client.id());
    }
    // The same again is no change; a name beside the keys is one.
    publish_device(&bob).await?;
    let quiet = ears[0].now().await?;
    ensure!(device_list(&quiet, "changed").is_empty(), "{quiet}");
    let device = bob.session().device_id.clone();
    bob.put(&format!("{V3}/devices/{device}"), &json!({ "display_name": "desk" })).await?;
    let answer = ears[0].next().await?;
    ensure!(device_list(&answer, "changed") == names(&[&bob]), "{answer}");

    // After a restart nobody remembers what changed, and it is told all the same.
    publish_device(&cleo).await?;
    publish_device(&dan).await?;
    stage.restart().await?;
    let ann = ann.at(stage.node.http());
    ears[0].client = ann.clone();
    let answer = ears[0].now().await?;
    ensure!(device_list(&answer, "changed") == names(&[&cleo]), "{answer}");
    let changes = format!("{V3}/keys/changes?from={begin}&to={}", ears[0].token);
    let answer = ann.get(&changes).await?;
    let changed = device_list(&json!({ "device_lists": answer }), "changed");
    ensure!(changed == names(&[&bob, &cleo]), "{answer}");
    let back = format!("{V3}/keys/changes?from={}&to={begin}", ears[0].token);
    refused(ann.get(&back).await, 400, "M_INVALID_PARAM")?;
    let foreign = format!("{V3}/keys/changes?from={}&to={begin}", ears[1].token);
    refused(ann.get(&foreign).await, 400, "M_INVALID_PARAM")?;
    Ok(())
}

async fn it_is_heard_who_comes_to_share_an_encrypted_room(stage: &mut Stage) -> Result<()> {
    let (ann, bob, cleo) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("cleo").await?);
    let room = encrypted_room(&[&ann]).await?;
    let plain = room_of(&[&ann, &cleo], &json!({ "preset": "public_chat" })).await?;
    let mut ear = Ear::of(&ann).await?;
    let mut bobs = Ear::of(&bob).await?;
    bob.join(&room).await?;
    let answer = ear.next().await?;
    ensure!(device_list(&answer, "changed") == names(&[&bob]), "{answer}");
    let answer = bobs.next().await?;
    ensure!(device_list(&answer, "changed") == names(&[&ann, &bob]), "{answer}");
    // Another name is no coming; and who shares only what is not encrypted is not followed.
    bob.put(&format!("{V3}/profile/{}/displayname", bob.id()), &json!({ "displayname": "B" }))
        .await?;
    let answer = ear.next().await?;
    ensure!(answer.get("device_lists").is_none(), "{answer}");
    bob.join(&plain).await?;
    let answer = ear.next().await?;
    ensure!(answer.get("device_lists").is_none(), "{answer}");
    // A second encrypted room keeps those in view who leave the first.
    let second = encrypted_room(&[&ann, &bob]).await?;
    ear.next().await?;
    bob.deed(&room, "leave", None).await?;
    let answer = ear.next().await?;
    ensure!(device_list(&answer, "left").is_empty(), "{answer}");
    bob.deed(&second, "leave", None).await?;
    let answer = ear.next().await?;
    ensure!(device_list(&answer, "left") == names(&[&bob]), "{answer}");
    let answer = bobs.now().await?;
    ensure!(device_list(&answer, "left") == names(&[&ann]), "{answer}");
    // Encryption that begins makes everybody inside somebody to encrypt for.
    let encryption = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    ann.set_state(&plain, "m.room.encryption", "", &encryption).await?;
    let answer = ear.next().await?;
    ensure!(device_list(&answer, "changed") == names(&[&ann, &bob, &cleo]), "{answer}");
    Ok(())
}

async fn a_device_that_goes_takes_its_keys_along(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let _room = encrypted_room(&[&ann, &bob]).await?;
    let phone = Client::login(stage.node.http(), "bob").await?;
    let device = phone.session().device_id.clone();
    let keys = json!({ "signed_curve25519:A": { "key": "a" } });
    publish(&bob, &json!({ "device_keys": device_keys(&bob) })).await?;
    publish(
        &phone,
        &json!({
            "device_keys": device_keys(&phone), "one_time_keys": keys, "fallback_keys": keys,
        }),
    )
    .await?;
    write(&ann, "1", &json!({ bob.id(): { &device: { "body": "too late" } } })).await?;
    let mut ear = Ear::of(&ann).await?;
    phone.post(&format!("{V3}/logout"), &json!({})).await?;
    let answer = ear.next().await?;
    ensure!(device_list(&answer, "changed") == names(&[&bob]), "{answer}");
    let shown = query(&ann, &bob).await?;
    let left: Vec<&String> = shown["device_keys"][bob.id()]
        .as_object()
        .map(|devices| devices.keys().collect())
        .unwrap_or_default();
    ensure!(left == [&bob.session().device_id], "{shown}");
    let wanted = json!({ "one_time_keys": { bob.id(): { &device: "signed_curve25519" } } });
    let answer = ann.post(&format!("{V3}/keys/claim"), &wanted).await?;
    ensure!(answer["one_time_keys"] == json!({}), "{answer}");
    // A new device of the old one's id begins with nothing.
    let login = json!({
        "type": "m.login.password", "device_id": device, "password": wayside_tests::PASSWORD,
        "identifier": { "type": "m.id.user", "user": "bob" },
    });
    let nobody = Client::nobody(stage.node.http())?;
    let answer = nobody.post(&format!("{V3}/login"), &login).await?;
    let phone = nobody.signed_in(&answer)?;
    let (_ear, heard) = Ear::begin(&phone, "").await?;
    ensure!(letters(&heard).is_empty(), "{heard}");
    ensure!(heard["device_one_time_keys_count"]["signed_curve25519"] == 0, "{heard}");
    Ok(())
}
