//! The part of Synapse's admin API that tools use: making accounts, seeing and changing them, deleting rooms.

use std::slice::from_ref;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{CallError, Client, PASSWORD, RoomId};

use crate::{
    sliding::{Slide, window},
    stage::{Deeds, Ear, Stage, comes_true, escaped, refused, room_of, stories},
};

stories! {
    tools_make_accounts_by_a_common_secret;
    accounts_are_listed_and_found;
    accounts_are_made_changed_and_ended;
    rooms_are_listed_and_looked_at;
    a_deleted_room_is_gone_and_blocked;
    who_was_away_hears_that_a_room_is_gone;
    a_deleted_room_leads_to_another;
    deleting_a_room_outlives_a_kill;
    only_who_runs_the_node_oversees_it;
}

const ADMIN: &str = "/_synapse/admin";
const V3: &str = "/_matrix/client/v3";
const SECRET: &str = "a secret that tools share";

/// What a tool writes behind its wish: HMAC-SHA-1 of it, by the program that its documentation names.
fn mac(secret: &str, parts: [&str; 4]) -> Result<String> {
    let script = "import hmac,hashlib,sys; print(hmac.new(sys.argv[1].encode(), \
                  b'\\0'.join(a.encode() for a in sys.argv[2:]), hashlib.sha1).hexdigest())";
    let made =
        std::process::Command::new("python3").args(["-c", script, secret]).args(parts).output()?;
    ensure!(made.status.success(), "{made:?}");
    Ok(String::from_utf8(made.stdout)?.trim().to_owned())
}

async fn tools_make_accounts_by_a_common_secret(stage: &mut Stage) -> Result<()> {
    let path = format!("{ADMIN}/v1/register");
    // Without a secret there is no such thing.
    let nobody = Client::nobody(stage.node.http())?;
    refused(nobody.get(&path).await, 404, "M_UNRECOGNIZED")?;
    let empty = json!({"nonce": "n", "username": "u", "password": "p", "mac": "00"});
    refused(nobody.post(&path, &empty).await, 404, "M_UNRECOGNIZED")?;

    let secret = |options: wayside_tests::Options| {
        options
            .flag("--registration-shared-secret", Some(SECRET))
            .flag("--registration", Some("closed"))
    };
    let mut node = stage.other("b", secret).await?;
    let nobody = Client::nobody(node.http())?;
    let nonce = async || {
        let answer = nobody.get(&path).await?;
        anyhow::Ok(answer["nonce"].as_str().context("a nonce")?.to_owned())
    };
    let wish = |nonce: &str, name: &str, admin: bool, secret: &str| {
        let word = if admin { "admin" } else { "notadmin" };
        let mac = mac(secret, [nonce, name, PASSWORD, word])?;
        anyhow::Ok(
            json!({"nonce": nonce, "username": name, "password": PASSWORD, "admin": admin, "mac": mac}),
        )
    };
    let first = nonce().await?;
    let mut asked = wish(&first, "root", true, SECRET)?;
    asked["displayname"] = "The Root".into();
    let made = nobody.post(&path, &asked).await?;
    ensure!(made["user_id"] == "@root:b.test" && made["home_server"] == "b.test", "{made}");
    let root = nobody.clone().signed_in(&made)?;
    let seen = root.get(&format!("{ADMIN}/v2/users/@root:b.test")).await?;
    ensure!(seen["admin"] == true && seen["displayname"] == "The Root", "{seen}");
    // A nonce is good once, and for what was asked with it.
    refused(nobody.post(&path, &wish(&first, "eve", true, SECRET)?).await, 400, "M_INVALID_PARAM")?;
    refused(
        nobody.post(&path, &wish("made up", "eve", true, SECRET)?).await,
        400,
        "M_INVALID_PARAM",
    )?;
    let other = wish(&nonce().await?, "eve", true, "another secret of others")?;
    refused(nobody.post(&path, &other).await, 403, "M_FORBIDDEN")?;
    refused(nobody.post(&path, &other).await, 400, "M_INVALID_PARAM")?;
    let mut raised = wish(&nonce().await?, "eve", false, SECRET)?;
    raised["admin"] = true.into();
    refused(nobody.post(&path, &raised).await, 403, "M_FORBIDDEN")?;
    let taken = wish(&nonce().await?, "root", false, SECRET)?;
    refused(nobody.post(&path, &taken).await, 400, "M_USER_IN_USE")?;
    let plain = nobody.post(&path, &wish(&nonce().await?, "ann", false, SECRET)?).await?;
    ensure!(nobody.clone().signed_in(&plain)?.session().user_id == "@ann:b.test");
    let seen = root.get(&format!("{ADMIN}/v2/users/@ann:b.test")).await?;
    ensure!(seen["admin"] == false, "{seen}");
    node.stop().await?;
    Ok(())
}

/// The names in a list of accounts.
async fn names(root: &Client, query: &str) -> Result<Vec<String>> {
    let answer = root.get(&format!("{ADMIN}/v2/users?{query}")).await?;
    let users = answer["users"].as_array().context("users")?;
    let name = |user: &Value| user["name"].as_str().map(|name| name.replace(":a.test", ""));
    Ok(users.iter().filter_map(name).collect())
}

async fn accounts_are_listed_and_found(stage: &mut Stage) -> Result<()> {
    let root = stage.operator("root").await?;
    for name in ["ann", "bob", "a_b", "gone", "shut"] {
        let person = stage.person(name).await?;
        let shown = format!("{V3}/profile/{}/displayname", person.id());
        person
            .put(&shown, &json!({"displayname": format!("The {} %", name.to_uppercase())}))
            .await?;
    }
    let guest = Client::guest(stage.node.http()).await?;
    for command in [["user", "end", "gone"], ["user", "lock", "shut"]] {
        let done = stage.node.command(&command).await?;
        ensure!(done.status.success(), "{done:?}");
    }
    let guest = guest.id().replace(":a.test", "");
    let all = names(&root, "").await?;
    let mut expected = vec!["@a_b", "@ann", "@bob", guest.as_str(), "@root"];
    expected.sort_unstable();
    ensure!(all == expected, "{all:?}");
    for (query, found) in [
        ("guests=false", vec!["@a_b", "@ann", "@bob", "@root"]),
        ("guests=false&dir=b", vec!["@root", "@bob", "@ann", "@a_b"]),
        ("guests=false&deactivated=true", vec!["@a_b", "@ann", "@bob", "@gone", "@root"]),
        ("guests=false&locked=true", vec!["@a_b", "@ann", "@bob", "@root", "@shut"]),
        ("admins=true", vec!["@root"]),
        ("name=AN", vec!["@ann"]),
        ("name=the+b", vec!["@bob"]),
        ("name=a_b", vec!["@a_b"]),
        ("name=a%25b", vec![]),
        ("name=a.test", vec![]),
        ("guests=false&user_id=b:a.test", vec!["@a_b", "@bob"]),
        ("guests=false&order_by=admin&dir=b", vec!["@root", "@a_b", "@ann", "@bob"]),
        ("guests=false&order_by=creation_ts", vec!["@root", "@ann", "@bob", "@a_b"]),
        ("guests=false&order_by=displayname&dir=b&limit=2", vec!["@bob", "@ann"]),
    ] {
        let got = names(&root, query).await?;
        ensure!(got == found, "{query}: {got:?}");
    }
    // Page by page, with how many there are in all.
    let mut paged = Vec::new();
    let mut from = "0".to_owned();
    loop {
        let page = root.get(&format!("{ADMIN}/v2/users?limit=2&from={from}")).await?;
        ensure!(page["total"] == 5, "{page}");
        paged.extend(names(&root, &format!("limit=2&from={from}")).await?);
        let Some(next) = page["next_token"].as_str() else { break };
        from = next.to_owned();
    }
    ensure!(paged == all, "{paged:?}");
    for wrong in ["from=-1", "limit=x", "order_by=password", "dir=x", "guests=maybe"] {
        let answer = root.get(&format!("{ADMIN}/v2/users?{wrong}")).await;
        refused(answer, 400, "M_INVALID_PARAM")?;
    }
    Ok(())
}

async fn accounts_are_made_changed_and_ended(stage: &mut Stage) -> Result<()> {
    let root = stage.operator("root").await?;
    let user = |name: &str| format!("{ADMIN}/v2/users/{}", escaped(&format!("@{name}:a.test")));
    refused(root.get(&user("ann")).await, 404, "M_NOT_FOUND")?;
    refused(root.put(&user("ann"), &json!({})).await, 400, "M_MISSING_PARAM")?;
    refused(root.put(&user("ann"), &json!({"password": "x"})).await, 400, "M_WEAK_PASSWORD")?;
    let elsewhere = format!("{ADMIN}/v2/users/@ann:b.test");
    refused(root.put(&elsewhere, &json!({"password": PASSWORD})).await, 400, "M_INVALID_PARAM")?;
    let wish = json!({"password": PASSWORD, "displayname": "Ann", "threepids": [], "admin": false});
    let request = reqwest::Client::new().put(stage.node.http().join(&user("ann"))?);
    let answer = request.bearer_auth(root.session().token()).json(&wish).send().await?;
    ensure!(answer.status() == 201, "{answer:?}");
    let ann = Client::login(stage.node.http(), "ann").await?;
    let seen = root.get(&user("ann")).await?;
    for (name, value) in [
        ("name", json!(ann.id())),
        ("displayname", json!("Ann")),
        ("avatar_url", Value::Null),
        ("admin", json!(false)),
        ("is_guest", json!(false)),
        ("deactivated", json!(false)),
        ("locked", json!(false)),
        ("appservice_id", Value::Null),
    ] {
        ensure!(seen[name] == value, "{name}: {seen}");
    }
    ensure!(seen["creation_ts"].as_i64().is_some_and(|ms| ms > 1_700_000_000_000), "{seen}");
    ensure!(seen["last_seen_ts"].is_i64(), "{seen}");

    // A new password signs out, unless it is not to; an empty name takes it away.
    let keeps =
        json!({"password": "another long password", "logout_devices": false, "displayname": ""});
    let changed = root.put(&user("ann"), &keeps).await?;
    ensure!(changed["displayname"].is_null(), "{changed}");
    ann.get(&format!("{V3}/account/whoami")).await?;
    root.put(&user("ann"), &json!({"password": PASSWORD})).await?;
    refused(ann.get(&format!("{V3}/account/whoami")).await, 401, "M_UNKNOWN_TOKEN")?;
    let ann = Client::login(stage.node.http(), "ann").await?;
    root.put(&user("ann"), &json!({"locked": true})).await?;
    refused(ann.get(&format!("{V3}/account/whoami")).await, 401, "M_USER_LOCKED")?;
    root.put(&user("ann"), &json!({"locked": false, "admin": true})).await?;
    ann.get(&user("root")).await?;
    // Whoever runs the node is held by nobody, and does not take it from themselves.
    refused(root.put(&user("ann"), &json!({"locked": true})).await, 403, "M_FORBIDDEN")?;
    refused(root.put(&user("root"), &json!({"admin": false})).await, 400, "M_INVALID_PARAM")?;
    refused(root.put(&user("root"), &json!({"deactivated": true})).await, 400, "M_INVALID_PARAM")?;
    root.put(&user("ann"), &json!({"admin": false})).await?;
    refused(ann.get(&user("root")).await, 403, "M_FORBIDDEN")?;
    for unkept in [
        json!({"user_type": "bot"}),
        json!({"threepids": [{"medium": "email", "address": "a@b.test"}]}),
    ] {
        refused(root.put(&user("ann"), &unkept).await, 400, "M_INVALID_PARAM")?;
    }

    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    root.join(&room).await?;
    let end = |name: &str| format!("{ADMIN}/v1/deactivate/@{name}:a.test");
    refused(root.post(&end("root"), &json!({})).await, 400, "M_INVALID_PARAM")?;
    refused(root.post(&end("nobody"), &json!({})).await, 404, "M_NOT_FOUND")?;
    let ended = root.post(&end("ann"), &json!({"erase": true})).await?;
    ensure!(ended == json!({"id_server_unbind_result": "success"}), "{ended}");
    ensure!(root.get(&user("ann")).await?["deactivated"] == true);
    ensure!(Client::login(stage.node.http(), "ann").await.is_err());
    let member = root.state(&room, "m.room.member", "@ann:a.test").await?;
    ensure!(member["membership"] == "leave", "{member}");
    refused(root.put(&user("ann"), &json!({"deactivated": false})).await, 400, "M_INVALID_PARAM")
}

async fn rooms_are_listed_and_looked_at(stage: &mut Stage) -> Result<()> {
    let root = stage.operator("root").await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let tea = ann
        .create_room(
            &json!({"preset": "public_chat", "name": "Tea", "topic": "t", "visibility": "public",
                             "room_alias_name": "zebra", "room_version": "11"}),
        )
        .await?;
    let cake = ann.create_room(&json!({"name": "cake 100%", "room_version": "12"})).await?;
    let space = bob.create_room(&json!({"creation_content": {"type": "m.space"}})).await?;
    // A name that one engine cannot take out of JSON hides nothing but itself.
    let odd = bob.create_room(&json!({"name": "odd\u{0}name"})).await;
    bob.join(&tea).await?;
    let list = async |query: &str| {
        let answer = root.get(&format!("{ADMIN}/v1/rooms?{query}")).await?;
        let rooms = answer["rooms"].as_array().context("rooms")?;
        let ids = rooms.iter().filter_map(|room| Some(RoomId::known(room["room_id"].as_str()?)));
        anyhow::Ok(ids.collect::<Vec<_>>())
    };
    let all = usize::from(odd.is_ok()) + 3;
    ensure!(list("").await?.len() == all);
    ensure!(list("order_by=joined_members&limit=1").await? == from_ref(&tea));
    ensure!(list("order_by=size&limit=1").await? == from_ref(&tea));
    ensure!(list("order_by=public&limit=1").await? == from_ref(&tea));
    ensure!(list("order_by=version&dir=b&limit=1").await? == from_ref(&tea));
    ensure!(list("order_by=creator&limit=2").await?.contains(&cake));
    ensure!(list("search_term=TEA").await? == from_ref(&tea));
    ensure!(list("search_term=zebra").await? == from_ref(&tea));
    ensure!(list("search_term=100%25").await? == from_ref(&cake));
    ensure!(list("search_term=1_0").await?.is_empty());
    ensure!(list(&format!("search_term={}", escaped(space.as_str()))).await? == from_ref(&space));
    let named = list("order_by=name&dir=b&limit=2").await?;
    ensure!(named.contains(&tea), "{named:?}");
    let page = root.get(&format!("{ADMIN}/v1/rooms?from=1&limit=1")).await?;
    ensure!(page["offset"] == 1 && page["total_rooms"] == all, "{page}");
    ensure!(page["next_batch"] == 2 && page["prev_batch"] == 0, "{page}");
    for wrong in ["order_by=x", "dir=x", "limit=-1", "search_term="] {
        let answer = root.get(&format!("{ADMIN}/v1/rooms?{wrong}")).await;
        refused(answer, 400, "M_INVALID_PARAM")?;
    }

    let seen = root.get(&format!("{ADMIN}/v1/rooms/{tea}")).await?;
    for (name, value) in [
        ("room_id", json!(tea.as_str())),
        ("name", json!("Tea")),
        ("topic", json!("t")),
        ("canonical_alias", json!("#zebra:a.test")),
        ("joined_members", json!(2)),
        ("joined_local_members", json!(2)),
        ("joined_local_devices", json!(2)),
        ("version", json!("11")),
        ("creator", json!(ann.id())),
        ("public", json!(true)),
        ("join_rules", json!("public")),
        ("history_visibility", json!("shared")),
        ("encryption", Value::Null),
        ("room_type", Value::Null),
    ] {
        ensure!(seen[name] == value, "{name}: {seen}");
    }
    ensure!(seen["state_events"].as_i64().is_some_and(|count| count >= 8), "{seen}");
    let kind = root.get(&format!("{ADMIN}/v1/rooms/{space}")).await?;
    ensure!(kind["room_type"] == "m.space", "{kind}");
    let members = root.get(&format!("{ADMIN}/v1/rooms/{tea}/members")).await?;
    ensure!(members == json!({"members": [ann.id(), bob.id()], "total": 2}), "{members}");
    refused(root.get(&format!("{ADMIN}/v1/rooms/!none:a.test")).await, 404, "M_NOT_FOUND")?;
    refused(root.get(&format!("{ADMIN}/v1/rooms/!none:a.test/members")).await, 404, "M_NOT_FOUND")
}

async fn delete(
    who: &Client,
    version: &str,
    room: &RoomId,
    wish: &Value,
) -> Result<Value, CallError> {
    who.call(Method::DELETE, &format!("{ADMIN}/{version}/rooms/{room}"), Some(wish)).await
}

async fn a_deleted_room_is_gone_and_blocked(stage: &mut Stage) -> Result<()> {
    let root = stage.operator("root").await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let asked = json!({"preset": "public_chat", "visibility": "public", "room_alias_name": "bad"});
    let room = room_of(&[&ann, &bob], &asked).await?;
    let event = ann.say(&room, "secret plans").await?;
    ann.deed(&room, "invite", Some(&root)).await?;
    // What is not purged can be read, and nobody comes in.
    let kept = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    let wish = json!({"purge": false, "block": true});
    let done = delete(&root, "v1", &kept, &wish).await?;
    ensure!(done["kicked_users"] == json!([ann.id(), bob.id()]), "{done}");
    refused(ann.deed(&kept, "join", None).await, 403, "M_FORBIDDEN")?;
    let left = ann.get(&format!("{V3}/rooms/{kept}/messages?dir=b&limit=1")).await?;
    ensure!(left["chunk"][0]["content"]["membership"] == "leave", "{left}");

    let done = delete(&root, "v1", &room, &json!({"block": true})).await?;
    ensure!(done["kicked_users"] == json!([ann.id(), bob.id(), root.id()]), "{done}");
    ensure!(done["failed_to_kick_users"] == json!([]) && done["new_room_id"].is_null(), "{done}");
    ensure!(done["local_aliases"] == json!(["#bad:a.test"]), "{done}");
    ensure!(ann.get(&format!("{V3}/rooms/{room}/event/{event}")).await.is_err());
    refused(ann.get(&format!("{V3}/directory/room/%23bad:a.test")).await, 404, "M_NOT_FOUND")?;
    refused(root.get(&format!("{ADMIN}/v1/rooms/{room}")).await, 404, "M_NOT_FOUND")?;
    let words = json!({"search_categories": {"room_events": {"search_term": "plans"}}});
    let found = ann.post(&format!("{V3}/search"), &words).await?;
    ensure!(found["search_categories"]["room_events"]["count"] == 0, "{found}");
    let public = ann.get(&format!("{V3}/publicRooms")).await?;
    ensure!(public["chunk"] == json!([]), "{public}");
    ensure!(ann.deed(&room, "join", None).await.is_err());
    // The alias is free again.
    ann.create_room(&json!({"room_alias_name": "bad"})).await?;
    refused(delete(&root, "v1", &room, &json!({})).await, 404, "M_NOT_FOUND")?;
    // One that is not known here is blocked before it comes.
    let none = RoomId::known("!none:a.test");
    let blocked = delete(&root, "v1", &none, &json!({"block": true})).await?;
    ensure!(blocked["kicked_users"] == json!([]), "{blocked}");
    Ok(())
}

async fn who_was_away_hears_that_a_room_is_gone(stage: &mut Stage) -> Result<()> {
    let root = stage.operator("root").await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let cat = stage.person("cat").await?;
    let asked = json!({"preset": "public_chat", "invite": [cat.id()]});
    let room = room_of(&[&ann, &bob], &asked).await?;
    let (mut anns, mut bobs) = (Ear::of(&ann).await?, Ear::of(&bob).await?);
    let (mut cats, mut slide) = (Ear::of(&cat).await?, Slide::of(&ann, window(9, 1)));
    ensure!(slide.now().await?["rooms"][room.as_str()]["membership"] == "join");
    slide.now().await?;
    bob.deed(&room, "leave", None).await?;
    ensure!(bobs.now().await?["rooms"]["leave"][room.as_str()].is_object());
    delete(&root, "v1", &room, &json!({})).await?;

    let told = slide.now().await?;
    let gone = &told["rooms"][room.as_str()];
    ensure!(gone["membership"] == "leave" && told["lists"]["all"]["count"] == 0, "{told}");
    ensure!(gone["timeline"][0]["content"]["membership"] == "leave", "{told}");
    ensure!(slide.now().await?["rooms"].get(room.as_str()).is_none(), "it is told once");
    // Nobody remembers what was before a start, so the store is asked.
    stage.restart().await?;
    for (ear, whose) in [(&mut anns, &ann), (&mut cats, &cat)] {
        ear.client = whose.at(stage.node.http());
        let told = ear.now().await?;
        let gone = &told["rooms"]["leave"][room.as_str()];
        let event = &gone["timeline"]["events"][0];
        ensure!(event["state_key"] == whose.id(), "{told}");
        ensure!(event["content"]["membership"] == "leave", "{told}");
        ear.hears_nothing().await?;
    }
    bobs.client = bob.at(stage.node.http());
    bobs.hears_nothing().await.context("bob had gone before")?;
    let (_, first) = Ear::begin(&ann.at(stage.node.http()), "").await?;
    ensure!(first["rooms"]["leave"].is_null(), "whoever knows nothing hears nothing: {first}");
    Ok(())
}

async fn a_deleted_room_leads_to_another(stage: &mut Stage) -> Result<()> {
    let root = stage.operator("root").await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let asked = json!({"preset": "public_chat", "room_alias_name": "old"});
    let room = room_of(&[&ann, &bob], &asked).await?;
    let wish =
        json!({"new_room_user_id": root.id(), "room_name": "Closed", "message": "It is closed."});
    let nobody = json!({"new_room_user_id": "@nobody:a.test"});
    refused(delete(&root, "v2", &room, &nobody).await, 404, "M_NOT_FOUND")?;
    let begun = delete(&root, "v2", &room, &wish).await?;
    let id = begun["delete_id"].as_str().context("an id")?.to_owned();
    let status = async || root.get(&format!("{ADMIN}/v2/rooms/delete_status/{id}")).await;
    comes_true("it is deleted", async || Ok(status().await?["status"] == "complete")).await?;
    let done = status().await?;
    ensure!(done["room_id"] == room.as_str() && done["purged_events"].as_i64() > Some(5), "{done}");
    let shut = &done["shutdown_room"];
    ensure!(shut["kicked_users"] == json!([ann.id(), bob.id()]), "{done}");
    let new = RoomId::known(shut["new_room_id"].as_str().context("a new room")?);
    let found = ann.get(&format!("{V3}/directory/room/%23old:a.test")).await?;
    ensure!(found["room_id"] == new.as_str(), "{found}");
    ensure!(ann.state(&new, "m.room.name", "").await?["name"] == "Closed");
    let (said, _) = ann.messages(&new, None, 20).await?;
    ensure!(said.iter().any(|event| event["content"]["body"] == "It is closed."), "{said:?}");
    // There they listen.
    refused(ann.send_text(&new, "1", "why?").await, 403, "M_FORBIDDEN")?;
    let joined = ann.get(&format!("{V3}/joined_rooms")).await?;
    ensure!(joined["joined_rooms"] == json!([new.as_str()]), "{joined}");
    let of_room = root.get(&format!("{ADMIN}/v2/rooms/{room}/delete_status")).await?;
    ensure!(of_room["results"] == json!([done]), "{of_room}");
    refused(root.get(&format!("{ADMIN}/v2/rooms/delete_status/none")).await, 404, "M_NOT_FOUND")?;
    refused(root.get(&format!("{ADMIN}/v2/rooms/{new}/delete_status")).await, 404, "M_NOT_FOUND")
}

async fn deleting_a_room_outlives_a_kill(stage: &mut Stage) -> Result<()> {
    let root = stage.operator("root").await?;
    let ann = stage.person("ann").await?;
    let room = room_of(&[&ann, &root], &json!({"preset": "public_chat"})).await?;
    for number in 0..150 {
        ann.say(&room, &format!("word {number}")).await?;
    }
    let begun = delete(&root, "v2", &room, &json!({})).await?;
    let id = begun["delete_id"].as_str().context("an id")?.to_owned();
    stage.node.kill().await?;
    stage.node.restart().await?;
    let (root, ann) = (root.at(stage.node.http()), ann.at(stage.node.http()));
    let path = format!("{ADMIN}/v2/rooms/delete_status/{id}");
    comes_true("it is deleted", async || Ok(root.get(&path).await?["status"] == "complete"))
        .await?;
    ensure!(root.get(&format!("{ADMIN}/v1/rooms")).await?["total_rooms"] == 0);
    ensure!(ann.get(&format!("{V3}/joined_rooms")).await?["joined_rooms"] == json!([]));
    Ok(())
}

async fn only_who_runs_the_node_oversees_it(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let room = ann.create_room(&json!({})).await?;
    let done = stage.node.command(&["user", "role", "ann", "--role", "moderator"]).await?;
    ensure!(done.status.success(), "{done:?}");
    for path in [
        "/v2/users".to_owned(),
        format!("/v2/users/{}", ann.id()),
        "/v1/rooms".to_owned(),
        format!("/v1/rooms/{room}"),
        format!("/v1/rooms/{room}/members"),
        format!("/v2/rooms/{room}/delete_status"),
        "/v2/rooms/delete_status/x".to_owned(),
    ] {
        refused(ann.get(&format!("{ADMIN}{path}")).await, 403, "M_FORBIDDEN")?;
    }
    for version in ["v1", "v2"] {
        refused(delete(&ann, version, &room, &json!({})).await, 403, "M_FORBIDDEN")?;
    }
    let path = format!("{ADMIN}/v2/users/{}", ann.id());
    refused(ann.put(&path, &json!({"admin": true})).await, 403, "M_FORBIDDEN")?;
    let path = format!("{ADMIN}/v1/deactivate/{}", ann.id());
    refused(ann.post(&path, &json!({})).await, 403, "M_FORBIDDEN")?;
    ann.say(&room, "still here").await?;
    Ok(())
}
