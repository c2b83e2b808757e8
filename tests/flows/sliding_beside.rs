//! Sliding sync's extensions: what stands beside rooms is told once, and to those who want it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use wayside_tests::{Client, RoomId};

use crate::{
    sliding::{Slide, ids, names, told, window},
    stage::{Deeds, Stage, list, one, refused, room_of, stories},
};

stories! {
    what_stands_beside_rooms_is_told_once;
    what_stands_beside_rooms_is_told_of_those_wanted;
    what_an_extension_missed_while_it_was_off_is_told;
    nothing_is_told_beside_a_room_to_who_is_outside;
    messages_are_forgotten_for_the_device_that_has_them;
}

async fn what_stands_beside_rooms_is_told_once(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let said = ann.say(&room, "hello").await?;
    let on = json!({ "enabled": true });
    let mut body = window(9, 5);
    body["extensions"] = json!({
        "to_device": on, "e2ee": on, "account_data": on, "receipts": on, "typing": on,
        "org.example.unknown": on,
    });
    let data = format!("/_matrix/client/v3/user/{}", bob.id());
    bob.put(&format!("{data}/account_data/org.example.a"), &json!({ "a": 1 })).await?;
    bob.put(&format!("{data}/rooms/{room}/account_data/org.example.b"), &json!({ "b": 1 })).await?;
    let letter = json!({ "messages": { bob.id(): { "*": { "body": "psst" } } } });
    ann.put("/_matrix/client/v3/sendToDevice/org.example.note/1", &letter).await?;
    let read = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{said}");
    ann.post(&read, &json!({})).await?;

    let mut bobs = Slide::of(&bob, body);
    let first = bobs.now().await?["extensions"].clone();
    let letters = list(&first["to_device"]["events"]);
    ensure!(letters.len() == 1 && letters[0]["content"]["body"] == "psst", "{first}");
    ensure!(first["e2ee"]["device_one_time_keys_count"]["signed_curve25519"] == 0, "{first}");
    let global = list(&first["account_data"]["global"]);
    ensure!(one(&global, "org.example.a", None).is_some(), "{first}");
    ensure!(one(&global, "m.push_rules", None).is_some(), "{first}");
    let of_room = list(&first["account_data"]["rooms"][room.as_str()]);
    ensure!(one(&of_room, "org.example.b", None).is_some(), "{first}");
    let receipt = &first["receipts"]["rooms"][room.as_str()]["content"][&said]["m.read"];
    ensure!(receipt[ann.id()].is_object(), "{first}");
    let since = first["to_device"]["next_batch"].as_str().context("a token")?.to_owned();
    bobs.body["extensions"]["to_device"]["since"] = since.into();

    let quiet = bobs.now().await?["extensions"].clone();
    for (part, list_of) in [("to_device", "events"), ("account_data", "global")] {
        ensure!(list(&quiet[part][list_of]).is_empty(), "told twice: {quiet}");
    }
    ensure!(quiet["receipts"]["rooms"] == json!({}), "{quiet}");
    // Each of them wakes whoever waits.
    let typing = format!("/_matrix/client/v3/rooms/{room}/typing/{}", ann.id());
    ann.put(&typing, &json!({ "typing": true, "timeout": 30_000 })).await?;
    let answer = bobs.next().await?["extensions"].clone();
    let typists = &answer["typing"]["rooms"][room.as_str()]["content"]["user_ids"];
    ensure!(*typists == json!([ann.id()]), "{answer}");
    ann.put("/_matrix/client/v3/sendToDevice/org.example.note/2", &letter).await?;
    let answer = bobs.next().await?["extensions"].clone();
    ensure!(list(&answer["to_device"]["events"]).len() == 1, "{answer}");
    bob.put(&format!("{data}/account_data/org.example.a"), &json!({ "a": 2 })).await?;
    let answer = bobs.next().await?["extensions"].clone();
    let global = list(&answer["account_data"]["global"]);
    ensure!(global.len() == 1 && global[0]["content"]["a"] == 2, "{answer}");
    let keys = crate::encryption::device_keys(&ann);
    crate::encryption::publish(&ann, &json!({ "device_keys": keys })).await?;
    let answer = bobs.next().await?["extensions"].clone();
    ensure!(answer["e2ee"]["device_lists"]["changed"] == json!([ann.id()]), "{answer}");
    // Reading on is told as a count that falls.
    let own = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read.private/{said}");
    bob.post(&own, &json!({})).await?;
    for _ in 0..5 {
        let answer = bobs.next().await?;
        if told(&answer, &room)["notification_count"] == 0 {
            return Ok(());
        }
    }
    bail!("the count never fell")
}

async fn what_stands_beside_rooms_is_told_of_those_wanted(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let mut rooms = Vec::new();
    for _ in 0..3 {
        rooms.push(room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?);
    }
    let (listed, named, aside) = (&rooms[2], &rooms[1], &rooms[0]);
    let data = format!("/_matrix/client/v3/user/{}/rooms", bob.id());
    let stir = async |nth: u32| -> Result<()> {
        for room in &rooms {
            let said = ann.say(room, &format!("{nth}")).await?;
            let read = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{said}");
            ann.post(&read, &json!({})).await?;
            let item = format!("{data}/{room}/account_data/org.example.note");
            bob.put(&item, &json!({ "nth": nth })).await?;
            let typing = format!("/_matrix/client/v3/rooms/{room}/typing/{}", ann.id());
            ann.put(&typing, &json!({ "typing": true, "timeout": 60_000 })).await?;
        }
        Ok(())
    };
    let wish =
        |lists: Value, rooms: Value| json!({ "enabled": true, "lists": lists, "rooms": rooms });
    let beside = |wish: Value| json!({ "receipts": wish, "typing": wish, "account_data": wish });
    let told_of = |answer: &Value| -> Vec<Vec<String>> {
        let names = |part: &str| names(&answer["extensions"][part]);
        ["receipts", "typing", "account_data"].into_iter().map(names).collect()
    };
    let three = |rooms: &[&RoomId]| vec![ids(rooms); 3];
    let mut body = json!({ "lists": {
        "one": { "ranges": [[0, 0]], "timeline_limit": 1, "required_state": [] },
        "all": { "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [] },
    } });
    let room_wish = json!({ "timeline_limit": 1, "required_state": [] });
    body["room_subscriptions"] = json!({ named.as_str(): room_wish, aside.as_str(): room_wish });
    stir(1).await?;
    for (lists, of_rooms, expected) in [
        (json!(["one"]), json!([named.as_str()]), vec![listed, named]),
        (json!([]), json!(["*"]), vec![named, aside]),
        (json!(["*"]), json!([]), vec![listed, named, aside]),
        (Value::Null, json!([]), vec![listed, named, aside]),
        (json!(["none"]), json!(["!none:a.test"]), vec![]),
    ] {
        body["extensions"] = beside(wish(lists, of_rooms));
        let answer = Slide::of(&bob, body.clone()).now().await?;
        ensure!(told_of(&answer) == three(&expected), "{}: {answer}", body["extensions"]);
        ensure!(names(&answer).len() == 3, "rooms are told all the same: {answer}");
    }
    // What was not wanted of a room is told when it is.
    body["extensions"] = beside(wish(json!([]), json!([named.as_str()])));
    let mut bobs = Slide::of(&bob, body);
    ensure!(told_of(&bobs.now().await?) == three(&[named]));
    ensure!(told_of(&bobs.now().await?) == three(&[]));
    stir(2).await?;
    let answer = bobs.now().await?;
    ensure!(
        told_of(&answer)[0] == ids(&[named]) && told_of(&answer)[2] == ids(&[named]),
        "{answer}"
    );
    bobs.body["extensions"] = beside(wish(json!(["*"]), json!(["*"])));
    let answer = bobs.next().await?;
    ensure!(told_of(&answer) == three(&[listed, aside]), "{answer}");
    let note = &answer["extensions"]["account_data"]["rooms"][aside.as_str()];
    ensure!(note[0]["content"]["nth"] == 2, "{answer}");
    ensure!(told_of(&bobs.now().await?) == three(&[]), "told twice");
    Ok(())
}

async fn what_an_extension_missed_while_it_was_off_is_told(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let asked = json!({ "preset": "public_chat", "initial_state": [{
        "type": "m.room.encryption", "content": { "algorithm": "m.megolm.v1.aes-sha2" },
    }]});
    let room = room_of(&[&ann, &bob], &asked).await?;
    let said = ann.say(&room, "hello").await?;
    let (on, off) = (json!({ "enabled": true }), json!({ "enabled": false }));
    let all = |wish: &Value| json!({ "e2ee": wish, "account_data": wish, "receipts": wish, "typing": wish });
    let mut body = window(9, 5);
    body["extensions"] = all(&on);
    let mut bobs = Slide::of(&bob, body.clone());
    // One that never had them knows no more than one that begins.
    (body["extensions"], body["conn_id"]) = (json!({}), json!("late"));
    let mut late = Slide::of(&bob, body);
    for slide in [&mut bobs, &mut late] {
        slide.now().await?;
        slide.now().await?;
    }
    bobs.body["extensions"] = all(&off);
    bobs.now().await?;

    let data = format!("/_matrix/client/v3/user/{}", bob.id());
    bob.put(&format!("{data}/account_data/org.example.a"), &json!({ "a": 1 })).await?;
    bob.put(&format!("{data}/rooms/{room}/account_data/org.example.b"), &json!({ "b": 1 })).await?;
    let read = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{said}");
    ann.post(&read, &json!({})).await?;
    let typing = format!("/_matrix/client/v3/rooms/{room}/typing/{}", ann.id());
    ann.put(&typing, &json!({ "typing": true, "timeout": 60_000 })).await?;
    let keys = crate::encryption::device_keys(&ann);
    crate::encryption::publish(&ann, &json!({ "device_keys": keys })).await?;
    for _ in 0..2 {
        let answer = bobs.now().await?;
        ensure!(answer["extensions"] == json!({}), "{answer}");
    }

    for slide in [&mut bobs, &mut late] {
        slide.body["extensions"] = all(&on);
        let answer = slide.now().await?["extensions"].clone();
        let global = list(&answer["account_data"]["global"]);
        ensure!(one(&global, "org.example.a", None).is_some(), "{answer}");
        let of_room = list(&answer["account_data"]["rooms"][room.as_str()]);
        ensure!(one(&of_room, "org.example.b", None).is_some(), "{answer}");
        let receipt = &answer["receipts"]["rooms"][room.as_str()]["content"][&said]["m.read"];
        ensure!(receipt[ann.id()].is_object(), "{answer}");
        let typists = &answer["typing"]["rooms"][room.as_str()]["content"]["user_ids"];
        ensure!(*typists == json!([ann.id()]), "{answer}");
        let again = slide.now().await?["extensions"].clone();
        ensure!(list(&again["account_data"]["global"]).is_empty(), "told twice: {again}");
        for part in ["receipts", "typing"] {
            ensure!(again[part]["rooms"] == json!({}), "told twice: {again}");
        }
    }
    // Whose keys changed is news only to who had them before.
    bobs.body["extensions"] = all(&off);
    bobs.now().await?;
    crate::encryption::publish(
        &bob,
        &json!({ "device_keys": crate::encryption::device_keys(&bob) }),
    )
    .await?;
    bobs.now().await?;
    bobs.body["extensions"] = all(&on);
    let answer = bobs.now().await?["extensions"].clone();
    ensure!(answer["e2ee"]["device_lists"]["changed"] == json!([bob.id()]), "{answer}");
    Ok(())
}

async fn nothing_is_told_beside_a_room_to_who_is_outside(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = ann.create_room(&json!({ "invite": [bob.id()] })).await?;
    let said = ann.say(&room, "hello").await?;
    let read = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{said}");
    let typing = format!("/_matrix/client/v3/rooms/{room}/typing/{}", ann.id());
    let stir = async || -> Result<()> {
        ann.post(&read, &json!({})).await?;
        ann.put(&typing, &json!({ "typing": true, "timeout": 60_000 })).await?;
        Ok(())
    };
    let beside = |answer: &Value| -> Vec<Vec<String>> {
        ["receipts", "typing"].map(|part| names(&answer["extensions"][part])).to_vec()
    };
    let on = json!({ "enabled": true });
    let mut body = window(9, 9);
    body["extensions"] = json!({ "receipts": on, "typing": on });
    let mut bobs = Slide::of(&bob, body);
    stir().await?;
    let answer = bobs.now().await?;
    ensure!(told(&answer, &room)["membership"] == "invite", "{answer}");
    ensure!(beside(&answer) == [ids(&[]), ids(&[])], "{answer}");
    bobs.now().await?;
    // Who comes in is told what stands beside what they are shown, also of the time before.
    bob.join(&room).await?;
    let answer = bobs.now().await?;
    ensure!(beside(&answer) == [ids(&[&room]), ids(&[&room])], "{answer}");
    bobs.now().await?;
    ann.put(&typing, &json!({ "typing": false })).await?;
    bobs.now().await?;
    ann.deed(&room, "kick", Some(&bob)).await?;
    bobs.now().await?;
    let said = ann.say(&room, "he is gone").await?;
    ann.post(&format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{said}"), &json!({})).await?;
    stir().await?;
    let answer = bobs.now().await?;
    ensure!(beside(&answer) == [ids(&[]), ids(&[])], "{answer}");
    Ok(())
}

async fn messages_are_forgotten_for_the_device_that_has_them(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let phone = Client::login(stage.node.http(), "bob").await?;
    let letters = |since: Option<&str>| {
        let mut wish = json!({ "enabled": true });
        if let Some(since) = since {
            wish["since"] = since.into();
        }
        json!({ "extensions": { "to_device": wish } })
    };
    let (ask, bob) = (letters, &bob);
    let of = async |client: &Client, since: Option<&str>| -> Result<(usize, String)> {
        let answer = Slide::of(client, ask(since)).now().await?;
        let part = &answer["extensions"]["to_device"];
        let next = part["next_batch"].as_str().context("a token")?.to_owned();
        Ok((list(&part["events"]).len(), next))
    };
    let write = async |txn: &str| {
        let letter = json!({ "messages": { bob.id(): { "*": { "body": "psst" } } } });
        ann.put(&format!("/_matrix/client/v3/sendToDevice/org.example.note/{txn}"), &letter).await
    };
    let (_, before) = of(bob, None).await?;
    write("1").await?;
    let (count, anns) = of(&ann, None).await?;
    ensure!(count == 0);
    let (count, phones) = of(&phone, None).await?;
    ensure!(count == 1);
    // Neither from the future, nor of another device or person, nor what nobody gave.
    let digits = before.trim_start_matches('m').split('_').next().context("a place")?.len();
    let raised = format!("m{}", "9".repeat(digits + 1));
    let forged = anns.replacen('m', "m9", 1);
    let long = format!("m1_{}", "0".repeat(4_000));
    for wrong in
        [raised.as_str(), "m9999999999", &anns, &phones, &forged, &long, "m-5", "m1_x", "m", "1"]
    {
        refused(Slide::of(bob, letters(Some(wrong))).ask(0).await, 400, "M_INVALID_PARAM")?;
    }
    // A connection that is not known has nothing forgotten either.
    let (count, mine) = of(bob, None).await?;
    ensure!(count == 1, "a message is lost");
    let lost = Slide { pos: Some("none".to_owned()), ..Slide::of(bob, letters(Some(&mine))) };
    refused(lost.ask(0).await, 400, "M_UNKNOWN_POS")?;
    ensure!(of(bob, None).await?.0 == 1, "a message is lost");
    // What has no seal is answered, and has nothing forgotten.
    ensure!(of(bob, Some("m0")).await?.0 == 1);
    ensure!(of(bob, Some(&before)).await?.0 == 1);
    ensure!(of(bob, Some(&mine)).await?.0 == 0);
    write("2").await?;
    ensure!(of(bob, Some(&mine)).await?.0 == 1);
    ensure!(of(&phone, Some(&phones)).await?.0 == 1, "each device has its own");
    Ok(())
}
