//! The browser client, part by part: worlds, gamepads, thumbs, installing, headsets, keys, encryption, letting programs in, accounts elsewhere.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{Browser, Client, Engine, Node, PASSWORD, Script, Town};

use crate::clients::is_long_round;

/// Where somebody signs in, and as whom.
async fn member(node: &Node, name: &str) -> Result<Value> {
    Client::register(node.http(), name).await?;
    Ok(json!({"home": node.http().as_str(), "user": name, "password": PASSWORD}))
}

/// Whether a story is told only by `make test-full`: a second round of one that is always told, with
/// another engine or another window.
fn left_to_long_rounds() -> bool {
    let left = !is_long_round();
    if left {
        eprintln!("skipped: a second round of this story is a part of make test-full");
    }
    left
}

#[tokio::test]
async fn client_makes_a_world() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("creating.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.with_first_world().start().await?;
    pages.step("prepare", member(&node, "ann").await?).await?;
    pages.step("refuse", json!({})).await?;
    let room = pages.step("make", json!({})).await?;
    let mut gus = member(&node, "gus").await?;
    gus["room"] = room;
    pages.step("find", gus).await?;
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn client_is_installed_and_speaks_while_the_node_is_away() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("installing.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.start().await?;
    let manifest = pages.step("install", json!({"home": node.http().as_str()})).await?;
    pages.step("icons", json!({"icons": manifest["icons"]})).await?;
    let port = node.http().port().context("a port")?;
    node.stop().await?;
    pages.step("away", json!({})).await?;
    let door = format!("127.0.0.1:{port}");
    let mut node = town.node("a")?.flag("--http", Some(&door)).start().await?;
    pages.step("back", json!({})).await?;
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn client_lets_programs_and_devices_in() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("letting-in.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.start().await?;
    pages.step("arrive", member(&node, "ann").await?).await?;
    for step in ["letIn", "turnAway", "becomeSomebody", "linkDevice"] {
        pages.step(step, json!({})).await?;
    }
    let printed = node.command(&["user", "reset", "ann"]).await?.stdout;
    let code = printed.trim().rsplit('/').next().context("a link is printed")?;
    let link = node.http().join(&format!("/reset/{code}"))?;
    pages.step("forget", json!({"link": link.as_str()})).await?;
    for step in ["goByOldWays", "meetLiars"] {
        pages.step(step, json!({})).await?;
    }
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

/// Somebody with passkeys, in a browser.
async fn passkeys(engine: Engine, steps: &[&str]) -> Result<()> {
    let Some(town) = Town::found(engine)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("passkeys.mjs")? else { return Ok(()) };
    let (door, home) = named(&town).await?;
    let options = town.node("a")?.flag("--http", Some(&door)).flag("--public-url", Some(&home));
    let mut node = options.start().await?;
    let mut ann = member(&node, "ann").await?;
    ann["home"] = json!(home);
    pages.step("arrive", ann).await?;
    for step in steps {
        pages.step(step, json!({})).await?;
    }
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn client_comes_in_by_passkeys() -> Result<()> {
    let before = ["add", "comeIn", "comeInByAutofill", "beginAnew", "letProgramIn", "letDeviceIn"];
    passkeys(Engine::Sqlite, &[&before[..], &["forget", "speakGerman", "remove"]].concat()).await
}

#[tokio::test]
async fn client_comes_in_by_passkeys_on_postgres() -> Result<()> {
    if left_to_long_rounds() {
        return Ok(());
    }
    passkeys(Engine::Postgres, &["add", "comeIn", "beginAnew", "remove"]).await
}

/// What the node shows the provider of these stories.
const SECRET: &str = "a secret of the club";

/// A file that names a provider of identities that has opened, and the folder that keeps it.
fn club(opened: &Value) -> Result<(String, tempfile::TempDir)> {
    let issuer = opened["issuer"].as_str().context("an issuer")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("club.toml");
    let words = format!(
        "id = \"club\"\nname = \"The Club\"\nissuer = \"{issuer}\"\nclient_id = \"wayside\"\n\
         client_secret = \"{SECRET}\"\n"
    );
    fs::write(&file, words)?;
    Ok((file.to_str().context("a path of UTF-8")?.to_owned(), folder))
}

/// The door of a node whose address is a name, which it has to know before it runs; and that address.
async fn named(town: &Town) -> Result<(String, String)> {
    let mut first = town.node("first")?.start().await?;
    let port = first.http().port().context("a port")?;
    first.stop().await?;
    Ok((format!("127.0.0.1:{port}"), format!("http://localhost:{port}")))
}

#[tokio::test]
async fn client_confirms_what_programs_ask_without_a_password() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("confirming.mjs")? else { return Ok(()) };
    let opened = pages.step("open", json!({})).await?;
    let (file, _folder) = club(&opened)?;
    let (door, home) = named(&town).await?;
    let options = town.node("a")?.flag("--http", Some(&door)).flag("--public-url", Some(&home));
    let mut node = options.flag("--identity-providers", Some(&file)).start().await?;
    let place = json!({"home": home, "issuer": opened["issuer"], "secret": SECRET});
    pages.step("arrive", place).await?;
    let by_club = ["confirmByClub", "beginAnew", "beSomebodyElse"];
    for step in [&by_club[..], &["addPasskey", "endLink", "confirmByPasskey", "addLink"]].concat() {
        pages.step(step, json!({})).await?;
    }
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn client_signs_people_in_who_are_known_elsewhere() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("providers.mjs")? else { return Ok(()) };
    let opened = pages.step("open", json!({})).await?;
    let (file, _folder) = club(&opened)?;
    let (issuer, secret) = (&opened["issuer"], SECRET);
    let mut node = town.node("a")?.flag("--identity-providers", Some(&file)).start().await?;
    let place = json!({"home": node.http().as_str(), "issuer": issuer, "secret": secret});
    pages.step("arrive", place).await?;
    for step in ["turnBack", "becomeSomebody", "letIn", "goStraight"] {
        pages.step(step, json!({})).await?;
    }
    pages.step("becomeKnown", member(&node, "bob").await?).await?;
    pages.step("meetThieves", json!({})).await?;
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn client_follows_a_gamepad() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("gamepad.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.with_first_world().start().await?;
    pages.step("arrive", json!({"link": node.http().join("/w/plaza")?.as_str()})).await?;
    for step in ["walk", "look", "jump", "sit", "emote", "rest"] {
        pages.step(step, json!({})).await?;
    }
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn client_is_touched_and_nothing_lies_over_anything() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("touch.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.with_first_world().start().await?;
    let link = node.http().join("/w/plaza")?;
    pages.step("arrive", json!({"link": link.as_str()})).await?;
    for step in ["walk", "act", "talk", "across"] {
        pages.step(step, json!({"line": "from a telephone"})).await?;
    }
    pages.step("windows", json!({"link": link.as_str()})).await?;
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn client_is_worked_by_keys_alone() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("keyboard.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.with_first_world().start().await?;
    let who = member(&node, "ann").await?;
    pages.step("enter", who.clone()).await?;
    pages.step("around", json!({})).await?;
    pages.step("leave", json!({})).await?;
    pages.step("member", who).await?;
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn client_lets_people_look_after_their_accounts() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("account.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.with_first_world().start().await?;
    let mut asked = member(&node, "ann").await?;
    let bob = Client::register(node.http(), "bob").await?;
    asked["other"] = json!(bob.session().device_id);
    for step in [
        "arrive",
        "profile",
        "device",
        "signOut",
        "keys",
        "newPassword",
        "strangers",
        "guest",
        "end",
        "german",
    ] {
        pages.step(step, asked.clone()).await?;
    }
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

/// Everything that was said in a room as the node has it, and that it holds none of these words.
async fn said(who: &Client, room: &str, words: &[&str]) -> Result<(usize, usize)> {
    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=100");
    let page = who.get(&path).await?;
    for text in words {
        ensure!(!page.to_string().contains(text), "the node can read {text}: {page}");
    }
    let events = page["chunk"].as_array().context("events")?;
    let count = |kind: &str| events.iter().filter(|it| it["type"] == kind).count();
    Ok((count("m.room.encrypted"), count("m.room.message")))
}

#[tokio::test]
async fn client_keeps_a_private_world_to_those_in_it() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("private.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.with_first_world().start().await?;
    let ann = Client::register(node.http(), "ann").await?;
    let bob = Client::register(node.http(), "bob").await?;
    Client::register(node.http(), "eve").await?;
    let asked = json!({"home": node.http().as_str(), "password": PASSWORD});
    let den = pages.step("make", asked.clone()).await?;
    let den = den.as_str().context("a room")?;
    let world = ann.get(&format!("/_wayside/v1/worlds/{den}")).await?;
    let place = world["alias"].as_str().context("an alias")?.trim_start_matches('#').to_owned();
    let mut asked = asked;
    asked["link"] = json!(node.http().join(&format!("/w/{place}"))?.as_str());
    asked["room"] = json!(den);
    for step in ["refuse", "invite", "enter"] {
        pages.step(step, asked.clone()).await?;
    }
    let (sealed, plain) = said(&ann, den, &["before", "for us two", "and back"]).await?;
    ensure!(sealed == 3 && plain == 0, "{sealed} sealed, {plain} not");
    pages.step("leave", asked.clone()).await?;
    let (_, plain) = said(&ann, den, &["without", "together"]).await?;
    ensure!(plain == 0, "{plain} in the clear");
    // Another one is not encrypted, until both are in it and Ann has it encrypted.
    let scene = ann.upload("model/gltf-binary", crate::worlds::floor()).await?;
    let wish =
        json!({"name": "Shed", "scene": format!("mxc://{}", scene.place()), "public": false});
    let made = ann.post("/_wayside/v1/worlds", &wish).await?;
    let shed = made["room_id"].as_str().context("a room")?;
    ann.post(&format!("/_matrix/client/v3/join/{shed}"), &json!({})).await?;
    let who = json!({"user_id": bob.session().user_id});
    ann.post(&format!("/_matrix/client/v3/rooms/{shed}/invite"), &who).await?;
    asked["link"] = json!(node.http().join(&format!("/w/{shed}"))?.as_str());
    pages.step("speak", asked.clone()).await?;
    ensure!(said(&ann, shed, &[]).await? == (0, 2));
    pages.step("seal", asked.clone()).await?;
    let (sealed, plain) = said(&ann, shed, &["under the seal", "so be it"]).await?;
    ensure!(sealed == 2 && plain == 2, "{sealed} sealed, {plain} not");
    for step in ["write", "ask", "answer", "forget"] {
        pages.step(step, asked.clone()).await?;
    }
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

/// Somebody on several devices of theirs, one of which runs a client of others.
async fn devices(engine: Engine) -> Result<()> {
    let Some(town) = Town::found(engine)? else { return Ok(()) };
    let Some(_) = Script::of_client("sdk/device.mjs", &["WAYSIDE_SDK"])? else { return Ok(()) };
    let Some(mut pages) = Browser::open("devices.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.start().await?;
    let mut users = json!({});
    for name in ["ann", "bob"] {
        users[name] = json!(Client::register(node.http(), name).await?.session().user_id);
    }
    let asked = json!({"home": node.http().as_str(), "users": users, "password": PASSWORD});
    for step in [
        "arrive",
        "share",
        "decline",
        "answerInOne",
        "goOn",
        "reload",
        "askAndGo",
        "recover",
        "end",
    ] {
        pages.step(step, asked.clone()).await?;
    }
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn client_is_one_device_in_all_tabs_and_knows_its_person_on_others() -> Result<()> {
    devices(Engine::Sqlite).await
}

#[tokio::test]
async fn client_is_one_device_in_all_tabs_on_postgres() -> Result<()> {
    if left_to_long_rounds() {
        return Ok(());
    }
    devices(Engine::Postgres).await
}

/// Every screen of what only members have, by somebody with this language and this machine.
async fn screens(locale: &str, phone: bool) -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(_) = Script::of_client("sdk/device.mjs", &["WAYSIDE_SDK"])? else { return Ok(()) };
    let Some(mut pages) = Browser::open("screens.mjs")? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let mut files = Vec::new();
    for (id, name) in [("club", "The Club"), ("uni", "Friedrich-Schiller-Universität Jena")] {
        // Nobody goes there: it is looked at how the ways in stand on the page.
        let words = format!(
            "id = \"{id}\"\nname = \"{name}\"\nissuer = \"https://{id}.example/\"\n\
             client_id = \"wayside\"\nclient_secret = \"not told\"\n"
        );
        let file = folder.path().join(id);
        fs::write(&file, words)?;
        files.push(file.display().to_string());
    }
    let mut first = town.node("first")?.start().await?;
    let port = first.http().port().context("a port")?;
    first.stop().await?;
    let (door, home) = (format!("127.0.0.1:{port}"), format!("http://localhost:{port}/"));
    let options = town.node("a")?.flag("--http", Some(&door)).flag("--public-url", Some(&home));
    let options = options.flag("--identity-providers", Some(&files.join(",")));
    // Nobody is sent mail: it is looked at how people are asked for their names where some are known by an
    // address.
    let options = options.flag("--smtp", Some("smtp://mail.a.test"));
    let options = options.flag("--mail-from", Some("Node <node@a.test>"));
    let mut node = options.start().await?;
    let mut users = json!({});
    for name in ["ann", "bob"] {
        users[name] = json!(Client::register(node.http(), name).await?.session().user_id);
    }
    let printed = node.command(&["user", "reset", "ann"]).await?.stdout;
    let code = printed.trim().rsplit('/').next().context("a link is printed")?;
    let reset = format!("/reset/{code}");
    let asked = json!({
        "home": home, "users": users, "password": PASSWORD, "locale": locale, "phone": phone,
        "reset": reset,
    });
    for step in ["doors", "talk", "verify", "world", "confirm", "end"] {
        pages.step(step, asked.clone()).await?;
    }
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn client_keeps_nobody_from_its_screens_at_a_desk() -> Result<()> {
    if left_to_long_rounds() {
        return Ok(());
    }
    screens("en-GB", false).await
}

#[tokio::test]
async fn client_keeps_nobody_from_its_screens_on_a_telephone() -> Result<()> {
    screens("de-DE", true).await
}

#[tokio::test]
async fn client_writes_so_that_no_node_reads_along() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("encryption.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.with_first_world().start().await?;
    let ann = Client::register(node.http(), "ann").await?;
    Client::register(node.http(), "bob").await?;
    let asked = json!({
        "home": node.http().as_str(),
        "link": node.http().join("/w/plaza")?.as_str(),
        "users": { "ann": "ann", "bob": "bob" },
        "password": PASSWORD,
        "lines": { "ann": "for you alone", "bob": "and for you" },
        "line": "without the second",
    });
    for step in ["guest", "arrive", "save"] {
        pages.step(step, asked.clone()).await?;
    }
    let room = pages.step("write", asked.clone()).await?;
    let room = room.as_str().context("a room")?;
    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=50");
    let page = ann.get(&path).await?;
    let events = page["chunk"].as_array().context("events")?;
    let count = |kind: &str| events.iter().filter(|it| it["type"] == kind).count();
    ensure!(count("m.room.encrypted") == 2 && count("m.room.message") == 0, "{page}");
    for text in ["for you alone", "and for you"] {
        ensure!(!page.to_string().contains(text), "the node can read: {page}");
    }
    for step in ["verify", "restore", "remove", "leave"] {
        pages.step(step, asked.clone()).await?;
    }
    pages.close().await?;
    node.stop().await?;
    Ok(())
}
