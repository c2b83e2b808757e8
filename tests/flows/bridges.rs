//! Application services: what bridges are told and asked, and what they do for their users.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    slice::from_ref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result, ensure};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use wayside_tests::{CallError, Client, Node, RoomId};

use crate::stage::{Deeds, Stage, bodies, comes_true, escaped, list, refused, stories};

stories! {
    a_service_speaks_for_its_users_and_nobody_else_does;
    a_service_keeps_devices_and_keys_of_its_users;
    what_concerns_a_service_arrives_in_order_over_an_outage_and_a_restart;
    a_service_is_told_what_happens_at_the_moment;
    a_service_makes_what_somebody_asks_for;
    a_service_is_called_by_its_own_wish;
    other_networks_are_looked_up_through_services;
    a_service_lists_rooms_under_its_networks;
    names_of_a_service_are_its_own;
    registrations_that_cannot_be_are_refused_by_line;
}

const V3: &str = "/_matrix/client/v3";
const AS_TOKEN: &str = "bridge-shows-this-to-the-node";
const HS_TOKEN: &str = "node-shows-this-to-the-bridge";

/// What a bridge has heard, and how it answers.
#[derive(Default)]
struct Heard {
    /// Transactions that it took, by their ids, in their order.
    taken: Vec<(String, Value)>,
    /// Those that it refused.
    refused: Vec<(String, Value)>,
    /// All other calls: method and path.
    calls: Vec<String>,
    /// Calls without the right token.
    strangers: usize,
    /// Whether it refuses transactions.
    away: bool,
    /// What it answers to which path; all else it does not know.
    answers: HashMap<String, (u16, Value)>,
    /// For whom it makes an account, and which alias, when it is asked: with a client of its own.
    makes: Option<Client>,
}

/// A bridge of the story's own.
struct Bridge {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bridge {
    async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let heard = Arc::<Mutex<Heard>>::default();
        let router = Router::new().fallback(hear).with_state(heard.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("the bridge broke off: {error}");
            }
        });
        Ok(Self { address, heard, task })
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The events that arrived, in their order.
    fn events(&self) -> Vec<Value> {
        let heard = self.heard();
        heard.taken.iter().flat_map(|(_, body)| list(&body["events"])).collect()
    }

    fn moments(&self) -> Vec<Value> {
        let heard = self.heard();
        heard.taken.iter().flat_map(|(_, body)| list(&body["ephemeral"])).collect()
    }

    fn answers(&self, path: &str, status: u16, body: Value) {
        self.heard().answers.insert(path.to_owned(), (status, body));
    }

    /// Waits for an event of which this is true.
    async fn hears(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
        comes_true(what, async || Ok(self.events().iter().any(&is_so))).await
    }

    async fn hears_text(&self, text: &str) -> Result<()> {
        self.hears(text, |event| event["content"]["body"] == text).await
    }

    async fn feels(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
        comes_true(what, async || Ok(self.moments().iter().any(&is_so))).await
    }

    /// Its registration, with further lines.
    fn registration(&self, more: &str) -> String {
        format!(
            "id: irc\nurl: http://{}\nas_token: {AS_TOKEN}\nhs_token: {HS_TOKEN}\n\
             sender_localpart: _irc_bot\nnamespaces:\n  users:\n    - regex: '@_irc_.*:b\\.test'\n      \
             exclusive: true\n  aliases:\n    - regex: '#_irc_.*:b\\.test'\n      exclusive: true\n  \
             rooms: []\n{more}",
            self.address
        )
    }
}

async fn hear(State(heard): State<Arc<Mutex<Heard>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 16 * 1024 * 1024).await.unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let shown = parts.headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    let known = shown == Some(&format!("Bearer {HS_TOKEN}"));
    let lock = || heard.lock().unwrap_or_else(PoisonError::into_inner);
    if !known {
        lock().strangers += 1;
        return (StatusCode::FORBIDDEN, Json(json!({"errcode": "M_FORBIDDEN"}))).into_response();
    }
    if let Some(txn) = path.strip_prefix("/_matrix/app/v1/transactions/") {
        let mut heard = lock();
        let told = (txn.to_owned(), serde_json::from_slice(&body).unwrap_or_default());
        if heard.away {
            heard.refused.push(told);
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        // One that it has taken before is not taken again.
        if !heard.taken.iter().any(|(id, _)| id == txn) {
            heard.taken.push(told);
        }
        return Json(json!({})).into_response();
    }
    let (answer, makes) = {
        let mut heard = lock();
        heard.calls.push(format!("{} {}", parts.method, parts.uri));
        (heard.answers.get(&path).cloned(), heard.makes.clone())
    };
    if let (Some((200, _)), Some(client)) = (&answer, makes)
        && let Err(error) = make(&client, &path).await
    {
        eprintln!("the bridge could not make {path}: {error:#}");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let (status, body) = answer.unwrap_or((404, json!({"errcode": "IRC_NOT_FOUND"})));
    (StatusCode::from_u16(status).unwrap_or_default(), Json(body)).into_response()
}

/// Makes the user or room that the node asks for.
async fn make(client: &Client, path: &str) -> Result<()> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let name = name.replace("%40", "@").replace("%23", "#").replace("%3A", ":");
    let local = name[1..].split(':').next().unwrap_or_default();
    if path.starts_with("/_matrix/app/v1/users/") {
        puppet(client, local).await?;
    } else if path.starts_with("/_matrix/app/v1/rooms/") {
        let request = json!({"preset": "public_chat", "room_alias_name": local});
        client.create_room(&request).await?;
    }
    Ok(())
}

/// A node with a bridge, and the bridge's own client, which speaks for its bot.
async fn bridged(stage: &Stage, more: &str) -> Result<(Node, Bridge, Client)> {
    let bridge = Bridge::open().await?;
    let file = stage.node.data().with_extension("irc.yaml");
    fs::write(&file, bridge.registration(more))?;
    let file = file.to_str().context("a path that is UTF-8")?.to_owned();
    let node = stage.other("b", |options| options.flag("--app-services", Some(&file))).await?;
    let bot = bot(&node)?;
    Ok((node, bridge, bot))
}

fn bot(node: &Node) -> Result<Client> {
    let session = json!({"user_id": "@_irc_bot:b.test", "device_id": "", "access_token": AS_TOKEN});
    Client::nobody(node.http())?.signed_in(&session)
}

/// Makes a user of the bridge.
async fn puppet(bot: &Client, local: &str) -> Result<String, CallError> {
    let wish = json!({
        "type": "m.login.application_service", "username": local, "inhibit_login": true,
    });
    let made = bot.post(&format!("{V3}/register"), &wish).await?;
    Ok(made["user_id"].as_str().unwrap_or_default().to_owned())
}

/// A path on which the bridge speaks for somebody.
fn speaking(path: &str, user_id: &str) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{V3}{path}{sign}user_id={}", escaped(user_id))
}

/// Says something in the name of a user of the bridge.
async fn say_as(
    bot: &Client,
    room: &RoomId,
    user_id: &str,
    text: &str,
) -> Result<Value, CallError> {
    let path = format!("/rooms/{room}/send/m.room.message/{}", escaped(text));
    bot.put(&speaking(&path, user_id), &json!({"msgtype": "m.text", "body": text})).await
}

async fn a_service_speaks_for_its_users_and_nobody_else_does(stage: &mut Stage) -> Result<()> {
    let (mut node, _bridge, bot) = bridged(stage, "").await?;
    let ann = Client::register(node.http(), "ann").await?;
    let flows = ann.get(&format!("{V3}/login")).await?;
    ensure!(flows.to_string().contains("m.login.application_service"), "{flows}");
    let me = bot.get(&format!("{V3}/account/whoami")).await?;
    ensure!(me == json!({"user_id": "@_irc_bot:b.test", "is_guest": false}), "{me}");
    let cat = puppet(&bot, "_irc_cat").await?;
    ensure!(cat == "@_irc_cat:b.test");
    refused(puppet(&bot, "_irc_cat").await, 400, "M_USER_IN_USE")?;
    refused(puppet(&bot, "dan").await, 400, "M_EXCLUSIVE")?;
    refused(puppet(&bot, "_irc_ dan").await, 400, "M_INVALID_USERNAME")?;
    // Without the token there are no users without passwords.
    let nobody = Client::nobody(node.http())?;
    refused(puppet(&nobody, "_irc_dan").await, 401, "M_MISSING_TOKEN")?;
    refused(puppet(&ann, "_irc_dan").await, 401, "M_MISSING_TOKEN")?;

    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    bot.post(&speaking(&format!("/join/{room}"), &cat), &json!({})).await?;
    // An event may be said to have been sent at another time, by a service alone.
    let told = |who: &Client, path: String| {
        let who = who.clone();
        async move { who.put(&path, &json!({"msgtype": "m.text", "body": "old"})).await }
    };
    let path = format!("/rooms/{room}/send/m.room.message");
    let sent = told(&bot, speaking(&format!("{path}/1?ts=86400000"), &cat)).await?;
    let event = sent["event_id"].as_str().context("an event id")?;
    let event = ann.get(&format!("{V3}/rooms/{room}/event/{event}")).await?;
    ensure!(event["sender"] == *cat && event["origin_server_ts"] == 86_400_000, "{event}");
    let own = told(&ann, format!("{V3}{path}/1?ts=86400000")).await?;
    let own = own["event_id"].as_str().context("an event id")?;
    let own = ann.get(&format!("{V3}/rooms/{room}/event/{own}")).await?;
    ensure!(own["origin_server_ts"].as_i64().is_some_and(|ms| ms > 86_400_000), "{own}");
    for wrong in ["-1", "x", "99999999999999999999"] {
        let answer = told(&bot, speaking(&format!("{path}/2?ts={wrong}"), &cat)).await;
        refused(answer, 400, "M_INVALID_PARAM")?;
    }
    let state = speaking(&format!("/rooms/{room}/state/m.room.member/{cat}?ts=1000"), &cat);
    bot.put(&state, &json!({"membership": "leave"})).await?;
    let all = ann.get(&format!("{V3}/rooms/{room}/messages?dir=b&limit=1")).await?;
    ensure!(all["chunk"][0]["origin_server_ts"] == 1_000, "{all}");
    // The same request is made once.
    bot.post(&speaking(&format!("/join/{room}"), &cat), &json!({})).await?;
    let (one, two) = (say_as(&bot, &room, &cat, "x").await?, say_as(&bot, &room, &cat, "x").await?);
    ensure!(one == two, "{one} {two}");

    for whom in [ann.id(), "@_irc_nobody:b.test", "@_irc_cat:a.test", "@_wayside:b.test"] {
        let answer = bot.get(&speaking("/account/whoami", whom)).await;
        refused(answer, 403, "M_FORBIDDEN")?;
    }
    refused(bot.get(&speaking("/account/whoami", "cat")).await, 400, "M_INVALID_PARAM")?;
    // A user of a service is held as anybody is.
    let done = node.command(&["user", "lock", &cat]).await?;
    ensure!(done.status.success(), "{done:?}");
    refused(say_as(&bot, &room, &cat, "y").await, 401, "M_USER_LOCKED")?;
    node.stop().await?;
    Ok(())
}

async fn a_service_keeps_devices_and_keys_of_its_users(stage: &mut Stage) -> Result<()> {
    let (mut node, _bridge, bot) = bridged(stage, "").await?;
    let cat = puppet(&bot, "_irc_cat").await?;
    let device = |name: &str| speaking(&format!("/devices/{name}"), &cat);
    let put = async |name: &str| {
        let base = node.http().join(&device(name))?;
        let request = reqwest::Client::new().put(base).bearer_auth(AS_TOKEN);
        let answer = request.json(&json!({"display_name": "d"})).send().await?;
        anyhow::Ok(answer.status().as_u16())
    };
    refused(bot.get(&device("ONE")).await, 404, "M_NOT_FOUND")?;
    ensure!(put("ONE").await? == 201, "a new device");
    ensure!(put("ONE").await? == 200, "a known device");
    ensure!(bot.get(&device("ONE")).await?["display_name"] == "d");
    for name in ["device_id", "org.matrix.msc3202.device_id"] {
        let path = speaking(&format!("/account/whoami?{name}=ONE"), &cat);
        ensure!(bot.get(&path).await?["device_id"] == "ONE");
        let path = speaking(&format!("/account/whoami?{name}=NONE"), &cat);
        refused(bot.get(&path).await, 400, "M_UNKNOWN_DEVICE")?;
    }
    // Nobody else makes devices so.
    let ann = Client::register(node.http(), "ann").await?;
    let other = ann.put(&format!("{V3}/devices/NEW"), &json!({"display_name": "d"})).await;
    refused(other, 404, "M_NOT_FOUND")?;

    // It publishes keys on its device, and signs without a password, over and over.
    let keys = json!({"one_time_keys": {"signed_curve25519:A":
        {"key": "k", "signatures": {&cat: {"ed25519:ONE": "s"}}}}});
    let upload = speaking("/keys/upload?device_id=ONE", &cat);
    let counts = bot.post(&upload, &keys).await?;
    ensure!(counts["one_time_key_counts"]["signed_curve25519"] == 1, "{counts}");
    let nowhere = bot.post(&speaking("/keys/upload", &cat), &keys).await;
    refused(nowhere, 400, "M_MISSING_PARAM")?;
    for key in [
        "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE",
        "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI",
    ] {
        let master = json!({"master_key": {
            "user_id": &cat, "usage": ["master"], "keys": {format!("ed25519:{key}"): key},
        }});
        bot.post(&speaking("/keys/device_signing/upload", &cat), &master).await?;
        let asked = json!({"device_keys": {&cat: []}});
        let shown = ann.post(&format!("{V3}/keys/query"), &asked).await?;
        let shown = &shown["master_keys"][&cat]["keys"];
        ensure!(shown == &json!({format!("ed25519:{key}"): key}), "{shown}");
    }

    // A user of it may have a token of its own too.
    let login = json!({"type": "m.login.application_service", "device_id": "TWO",
                       "identifier": {"type": "m.id.user", "user": "_irc_cat"}});
    let answer = bot.post(&format!("{V3}/login"), &login).await?;
    let own = Client::nobody(node.http())?.signed_in(&answer)?;
    ensure!(own.get(&format!("{V3}/account/whoami")).await?["device_id"] == "TWO");
    let mut foreign = login.clone();
    foreign["identifier"]["user"] = "ann".into();
    refused(bot.post(&format!("{V3}/login"), &foreign).await, 400, "M_EXCLUSIVE")?;
    foreign["identifier"]["user"] = "_irc_nobody".into();
    refused(bot.post(&format!("{V3}/login"), &foreign).await, 403, "M_FORBIDDEN")?;
    let nobody = Client::nobody(node.http())?;
    refused(nobody.post(&format!("{V3}/login"), &login).await, 401, "M_MISSING_TOKEN")?;

    // Devices go without a proof.
    bot.delete(&device("ONE")).await?;
    refused(bot.get(&device("ONE")).await, 404, "M_NOT_FOUND")?;
    let both = json!({"devices": ["TWO"]});
    bot.post(&speaking("/delete_devices", &cat), &both).await?;
    refused(own.get(&format!("{V3}/account/whoami")).await, 401, "M_UNKNOWN_TOKEN")?;
    node.stop().await?;
    Ok(())
}

async fn what_concerns_a_service_arrives_in_order_over_an_outage_and_a_restart(
    stage: &mut Stage,
) -> Result<()> {
    let (mut node, bridge, bot) = bridged(stage, "").await?;
    let ann = Client::register(node.http(), "ann").await?;
    let cat = puppet(&bot, "_irc_cat").await?;
    // Of rooms where none of its users is, it hears nothing.
    let other = ann.create_room(&json!({"preset": "public_chat"})).await?;
    ann.say(&other, "not for bridges").await?;
    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    ann.say(&room, "before").await?;
    let invited = ann.create_room(&json!({"invite": [&cat]})).await?;
    bridge
        .hears("the invitation", |event| {
            event["type"] == "m.room.member"
                && event["state_key"] == *cat
                && event["room_id"] == invited.as_str()
        })
        .await?;
    bot.post(&speaking(&format!("/join/{room}"), &cat), &json!({})).await?;
    ann.say(&room, "first").await?;
    bridge.hears_text("first").await?;
    // By an alias of its own, a room concerns it too.
    let named =
        bot.create_room(&json!({"preset": "public_chat", "room_alias_name": "_irc_x"})).await?;
    ann.join(&named).await?;
    bot.deed(&named, "leave", None).await?;
    ann.say(&named, "by the alias").await?;
    bridge.hears_text("by the alias").await?;

    bridge.heard().away = true;
    for number in 0..130 {
        ann.say(&room, &format!("away {number}")).await?;
    }
    comes_true("it is offered something", async || Ok(!bridge.heard().refused.is_empty())).await?;
    // What was offered stays what it is, whatever happens meanwhile.
    let offered = bridge.heard().refused[0].clone();
    node.kill().await?;
    node.restart().await?;
    let (ann, bot) = (ann.at(node.http()), bot.at(node.http()));
    ann.say(&room, "after the restart").await?;
    comes_true("it is offered again", async || Ok(bridge.heard().refused.len() > 1)).await?;
    ensure!(bridge.heard().refused.iter().all(|told| *told == offered), "it changed");
    bridge.heard().away = false;
    // Nobody who is away holds up anybody, and who answers a call is told at once.
    bot.post("/_matrix/client/v1/appservice/irc/ping", &json!({})).await.ok();
    bridge.answers("/_matrix/app/v1/ping", 200, json!({}));
    bot.post("/_matrix/client/v1/appservice/irc/ping", &json!({})).await?;
    bridge.hears_text("after the restart").await?;
    let events = bridge.events();
    let said = bodies(&events);
    let expected: Vec<String> = ["first", "by the alias"]
        .into_iter()
        .map(str::to_owned)
        .chain((0..130).map(|number| format!("away {number}")))
        .chain(["after the restart".to_owned()])
        .collect();
    ensure!(said == expected, "{said:?}");
    let one = events.iter().find(|event| event["content"]["body"] == "first").context("first")?;
    for (name, value) in
        [("room_id", room.as_str()), ("sender", ann.id()), ("type", "m.room.message")]
    {
        ensure!(one[name] == value, "{one}");
    }
    {
        let heard = bridge.heard();
        ensure!(heard.strangers == 0, "{} calls without its token", heard.strangers);
        ensure!(heard.taken.iter().all(|(_, body)| list(&body["events"]).len() <= 100));
        ensure!(heard.taken.contains(&offered), "what was offered came");
    }

    // Whoever leaves is told that, and hears nothing more.
    bot.post(&speaking(&format!("/rooms/{room}/leave"), &cat), &json!({})).await?;
    ann.say(&room, "too late").await?;
    ann.say(&named, "the end").await?;
    bridge.hears_text("the end").await?;
    ensure!(!bodies(&bridge.events()).contains(&"too late".to_owned()));
    let left =
        |event: &Value| event["content"]["membership"] == "leave" && event["state_key"] == *cat;
    ensure!(bridge.events().iter().any(left), "the leaving");
    node.stop().await?;
    Ok(())
}

async fn a_service_is_told_what_happens_at_the_moment(stage: &mut Stage) -> Result<()> {
    let (mut node, bridge, bot) = bridged(stage, "receive_ephemeral: true\n").await?;
    let (ann, bob) =
        (Client::register(node.http(), "ann").await?, Client::register(node.http(), "bob").await?);
    let cat = puppet(&bot, "_irc_cat").await?;
    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    let apart = bob.create_room(&json!({"preset": "public_chat"})).await?;
    bot.post(&speaking(&format!("/join/{room}"), &cat), &json!({})).await?;
    let event = ann.say(&room, "hello").await?;
    let elsewhere = bob.say(&apart, "apart").await?;

    let typing = |room: &RoomId, who: &Client| format!("{V3}/rooms/{room}/typing/{}", who.id());
    let yes = json!({"typing": true, "timeout": 20_000});
    bob.put(&typing(&apart, &bob), &yes).await?;
    ann.put(&typing(&room, &ann), &yes).await?;
    bridge
        .feels("ann types", |it| {
            it["type"] == "m.typing"
                && it["room_id"] == room.as_str()
                && it["content"]["user_ids"] == json!([ann.id()])
        })
        .await?;
    let read = |room: &RoomId, kind: &str, event: &str| {
        format!("{V3}/rooms/{room}/receipt/{kind}/{event}")
    };
    bob.post(&read(&apart, "m.read", &elsewhere), &json!({})).await?;
    ann.post(&read(&room, "m.read.private", &event), &json!({})).await?;
    bot.post(&speaking(&format!("/rooms/{room}/receipt/m.read.private/{event}"), &cat), &json!({}))
        .await?;
    ann.post(&read(&room, "m.read", &event), &json!({"thread_id": "main"})).await?;
    bridge
        .feels("ann has read", |it| {
            let told = &it["content"][&event]["m.read"][ann.id()];
            it["type"] == "m.receipt"
                && it["room_id"] == room.as_str()
                && told["thread_id"] == "main"
        })
        .await?;
    let presence = |who: &Client| format!("{V3}/presence/{}/status", who.id());
    let here = |text: &str| json!({"presence": "online", "status_msg": text});
    bob.put(&presence(&bob), &here("apart")).await?;
    ann.put(&presence(&ann), &here("near")).await?;
    bridge
        .feels("ann is here", |it| {
            it["type"] == "m.presence"
                && it["sender"] == ann.id()
                && it["content"]["status_msg"] == "near"
        })
        .await?;
    let moments = bridge.moments();
    // Private receipts are for its own users; of who shares no room with them it hears nothing.
    let private = |it: &&Value| it["content"][&event].get("m.read.private").is_some();
    let privates: Vec<&Value> = moments.iter().filter(private).collect();
    ensure!(privates.len() == 1 && privates[0].to_string().contains(&cat), "{privates:?}");
    ensure!(!moments.iter().any(|it| it.to_string().contains(bob.id())), "{moments:?}");
    node.stop().await?;
    Ok(())
}

async fn a_service_makes_what_somebody_asks_for(stage: &mut Stage) -> Result<()> {
    let (mut node, bridge, bot) = bridged(stage, "").await?;
    let ann = Client::register(node.http(), "ann").await?;
    bridge.heard().makes = Some(bot.clone());
    let calls = |what: &str| bridge.heard().calls.iter().filter(|call| call.contains(what)).count();
    for (kind, name) in [
        ("users", "@_irc_dan:b.test"),
        ("users", "@_irc_eve:b.test"),
        ("rooms", "#_irc_tea:b.test"),
    ] {
        let path = format!("/_matrix/app/v1/{kind}/{}", escaped(name));
        bridge.answers(&path, 200, json!({}));
    }
    // An invitation and a profile make users, an alias makes a room.
    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    ann.post(&format!("{V3}/rooms/{room}/invite"), &json!({"user_id": "@_irc_dan:b.test"})).await?;
    bot.post(&speaking(&format!("/join/{room}"), "@_irc_dan:b.test"), &json!({})).await?;
    ann.get(&format!("{V3}/profile/@_irc_eve:b.test")).await?;
    ann.get(&format!("{V3}/profile/@_irc_eve:b.test")).await?;
    ensure!(calls("eve") == 1, "who is there is not asked for again");
    let joined = ann.post(&format!("{V3}/join/%23_irc_tea:b.test"), &json!({})).await?;
    let found = ann.get(&format!("{V3}/directory/room/%23_irc_tea:b.test")).await?;
    ensure!(joined["room_id"] == found["room_id"], "{joined} {found}");
    ensure!(calls("tea") == 1, "a room that is there is not asked for again");

    let none = ann.get(&format!("{V3}/profile/@_irc_none:b.test")).await;
    refused(none, 404, "M_NOT_FOUND")?;
    let none = ann.get(&format!("{V3}/profile/@_irc_none:b.test")).await;
    refused(none, 404, "M_NOT_FOUND")?;
    ensure!(calls("none") == 1, "what is not there is not asked for again at once");
    refused(ann.get(&format!("{V3}/directory/room/%23_irc_no:b.test")).await, 404, "M_NOT_FOUND")?;
    // What is none of its names, it is not asked for.
    refused(ann.get(&format!("{V3}/profile/@other:b.test")).await, 404, "M_NOT_FOUND")?;
    refused(ann.get(&format!("{V3}/directory/room/%23other:b.test")).await, 404, "M_NOT_FOUND")?;
    ensure!(calls("other") == 0);
    node.stop().await?;
    Ok(())
}

// Operations: pingAppservice.
async fn a_service_is_called_by_its_own_wish(stage: &mut Stage) -> Result<()> {
    let (mut node, bridge, bot) = bridged(stage, "").await?;
    let ann = Client::register(node.http(), "ann").await?;
    let ping = |id: &str| format!("/_matrix/client/v1/appservice/{id}/ping");
    refused(ann.post(&ping("irc"), &json!({})).await, 403, "M_FORBIDDEN")?;
    refused(bot.post(&ping("other"), &json!({})).await, 403, "M_FORBIDDEN")?;
    bridge.answers("/_matrix/app/v1/ping", 418, json!({"errcode": "IRC_TEAPOT"}));
    let Err(CallError::Refused { status, body, .. }) = bot.post(&ping("irc"), &json!({})).await
    else {
        anyhow::bail!("a bad status is no good one");
    };
    ensure!(status == 502 && body["errcode"] == "M_BAD_STATUS", "{status} {body}");
    ensure!(body["status"] == 418 && body["body"] == r#"{"errcode":"IRC_TEAPOT"}"#, "{body}");
    bridge.answers("/_matrix/app/v1/ping", 200, json!({}));
    let answer = bot.post(&ping("irc"), &json!({"transaction_id": "t"})).await?;
    ensure!(answer["duration_ms"].is_u64(), "{answer}");
    ensure!(bridge.heard().calls.iter().any(|call| call == "POST /_matrix/app/v1/ping"));
    bridge.task.abort();
    comes_true("the bridge is gone", async || {
        let answer = bot.post(&ping("irc"), &json!({})).await;
        Ok(answer.is_err_and(|error| error.errcode() == Some("M_CONNECTION_FAILED")))
    })
    .await?;
    node.stop().await?;

    // One that wants no traffic is not called.
    let file = node.data().with_extension("quiet.yaml");
    let quiet =
        bridge.registration("").replace(&format!("url: http://{}", bridge.address), "url: null");
    fs::write(&file, quiet)?;
    let file = file.to_str().context("UTF-8")?.to_owned();
    let mut node = stage.other("c", |options| options.flag("--app-services", Some(&file))).await?;
    let session = json!({"user_id": "@_irc_bot:c.test", "device_id": "", "access_token": AS_TOKEN});
    let bot = Client::nobody(node.http())?.signed_in(&session)?;
    refused(bot.post(&ping("irc"), &json!({})).await, 400, "M_URL_NOT_SET")?;
    node.stop().await?;
    Ok(())
}

// Operations: queryLocationByAlias, queryLocationByProtocol, getProtocolMetadata, getProtocols,
// queryUserByID, queryUserByProtocol.
async fn other_networks_are_looked_up_through_services(stage: &mut Stage) -> Result<()> {
    let (mut node, bridge, _bot) = bridged(stage, "protocols: [irc]\n").await?;
    let ann = Client::register(node.http(), "ann").await?;
    let third = format!("{V3}/thirdparty");
    let app = "/_matrix/app/v1/thirdparty";
    // Before the bridge says what it leads to, there is nothing.
    ensure!(ann.get(&format!("{third}/protocols")).await? == json!({}));
    refused(ann.get(&format!("{third}/protocol/irc")).await, 404, "M_NOT_FOUND")?;
    let told = json!({
        "user_fields": ["network", "nick"], "location_fields": ["network", "channel"],
        "icon": "mxc://b.test/i", "field_types": {},
        "instances": [{"network_id": "libera", "desc": "Libera", "fields": {"network": "libera"}}],
    });
    bridge.answers(&format!("{app}/protocol/irc"), 200, told.clone());
    let mut expected = told;
    expected["instances"][0]["instance_id"] = "irc|libera".into();
    ensure!(ann.get(&format!("{third}/protocols")).await? == json!({"irc": expected}));
    ensure!(ann.get(&format!("{third}/protocol/irc")).await? == expected);
    refused(ann.get(&format!("{third}/protocol/xmpp")).await, 404, "M_NOT_FOUND")?;

    let place =
        json!({"alias": "#_irc_tea:b.test", "protocol": "irc", "fields": {"channel": "#tea"}});
    let user = json!({"userid": "@_irc_cat:b.test", "protocol": "irc", "fields": {"nick": "cat"}});
    for (kind, by, query, found) in
        [("location", "alias", "channel=%23tea", place), ("user", "userid", "nick=cat", user)]
    {
        let name = found[by].as_str().context("a name")?.to_owned();
        let asked = format!("{third}/{kind}/irc?{query}");
        refused(ann.get(&asked).await, 404, "M_NOT_FOUND")?;
        let junk = json!([found, {"protocol": "irc"}, 7]);
        bridge.answers(&format!("{app}/{kind}/irc"), 200, junk.clone());
        ensure!(ann.get(&asked).await? == json!([found]), "{kind}");
        ensure!(
            bridge.heard().calls.iter().any(|call| call.ends_with(&format!("/{kind}/irc?{query}")))
        );
        refused(ann.get(&format!("{third}/{kind}/xmpp?{query}")).await, 404, "M_NOT_FOUND")?;
        bridge.answers(&format!("{app}/{kind}"), 200, junk);
        let back = ann.get(&format!("{third}/{kind}?{by}={}", escaped(&name))).await?;
        ensure!(back == json!([found]), "{back}");
    }
    refused(ann.get(&format!("{third}/user?userid=@ann:b.test")).await, 404, "M_NOT_FOUND")?;
    node.stop().await?;
    Ok(())
}

// Operations: updateAppserviceRoomDirectoryVisibility.
async fn a_service_lists_rooms_under_its_networks(stage: &mut Stage) -> Result<()> {
    let (mut node, _bridge, bot) = bridged(stage, "protocols: [irc]\n").await?;
    let ann = Client::register(node.http(), "ann").await?;
    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    let open = ann.create_room(&json!({"preset": "public_chat", "visibility": "public"})).await?;
    let path = format!("{V3}/directory/list/appservice/libera/{room}");
    let (public, private) = (json!({"visibility": "public"}), json!({"visibility": "private"}));
    refused(ann.put(&path, &public).await, 403, "M_FORBIDDEN")?;
    let none = format!("{V3}/directory/list/appservice/libera/!none:b.test");
    refused(bot.put(&none, &public).await, 404, "M_NOT_FOUND")?;
    bot.put(&path, &public).await?;
    let rooms = async |asked: Value| {
        let answer = ann.post(&format!("{V3}/publicRooms"), &asked).await?;
        let chunk = answer["chunk"].as_array().cloned().unwrap_or_default();
        let mut ids: Vec<String> =
            chunk.iter().filter_map(|room| room["room_id"].as_str().map(str::to_owned)).collect();
        ids.sort();
        ensure!(answer["total_room_count_estimate"] == ids.len(), "{answer}");
        anyhow::Ok(ids)
    };
    let (room, open) = (room.to_string(), open.to_string());
    let mut both = vec![room.clone(), open.clone()];
    both.sort();
    ensure!(rooms(json!({})).await? == from_ref(&open));
    ensure!(rooms(json!({"third_party_instance_id": "irc|libera"})).await? == from_ref(&room));
    ensure!(rooms(json!({"third_party_instance_id": "irc|other"})).await?.is_empty());
    ensure!(rooms(json!({"third_party_instance_id": "other"})).await?.is_empty());
    ensure!(rooms(json!({"include_all_networks": true})).await? == both);
    // The node's own directory is another matter.
    let shown = ann.get(&format!("{V3}/directory/list/room/{room}")).await?;
    ensure!(shown["visibility"] == "private", "{shown}");
    bot.put(&path, &private).await?;
    ensure!(rooms(json!({"third_party_instance_id": "irc|libera"})).await?.is_empty());
    ensure!(rooms(json!({"include_all_networks": true})).await? == [open]);
    node.stop().await?;
    Ok(())
}

async fn names_of_a_service_are_its_own(stage: &mut Stage) -> Result<()> {
    let (mut node, _bridge, bot) = bridged(stage, "").await?;
    let ann = Client::register(node.http(), "ann").await?;
    let nobody = Client::nobody(node.http())?;
    for name in ["_irc_dan", "_irc_bot"] {
        let wish = json!({"username": name, "password": wayside_tests::PASSWORD, "auth": {"type": "m.login.dummy"}});
        let answer = nobody.post(&format!("{V3}/register"), &wish).await;
        let code = answer.as_ref().err().and_then(CallError::errcode);
        ensure!(matches!(code, Some("M_EXCLUSIVE" | "M_INVALID_USERNAME")), "{answer:?}");
    }
    let room = ann.create_room(&json!({})).await?;
    let own = bot.create_room(&json!({"room_alias_name": "_irc_own"})).await?;
    let alias = |name: &str| format!("{V3}/directory/room/%23{name}:b.test");
    let names = |room: &RoomId| json!({"room_id": room.as_str()});
    refused(ann.put(&alias("_irc_x"), &names(&room)).await, 400, "M_EXCLUSIVE")?;
    let made = ann.post(&format!("{V3}/createRoom"), &json!({"room_alias_name": "_irc_x"})).await;
    refused(made, 400, "M_EXCLUSIVE")?;
    refused(ann.delete(&alias("_irc_own")).await, 400, "M_EXCLUSIVE")?;
    refused(bot.put(&alias("free"), &names(&own)).await, 400, "M_EXCLUSIVE")?;
    bot.put(&alias("_irc_x"), &names(&own)).await?;
    bot.delete(&alias("_irc_x")).await?;
    ann.put(&alias("free"), &names(&room)).await?;
    // A service hears by transactions, and may ask for news all the same, for one of its users.
    let cat = puppet(&bot, "_irc_cat").await?;
    let news = bot.get(&speaking("/sync?timeout=0", &cat)).await?;
    ensure!(news["next_batch"].is_string(), "{news}");
    node.stop().await?;
    Ok(())
}

async fn registrations_that_cannot_be_are_refused_by_line(stage: &mut Stage) -> Result<()> {
    let bridge = Bridge::open().await?;
    let good = bridge.registration("");
    let other = good.replace("irc", "xmpp").replace(AS_TOKEN, "another-token-of-another");
    let write = |name: &str, text: &str| {
        let path = stage.node.data().with_extension(name);
        fs::write(&path, text)?;
        Ok::<_, anyhow::Error>(path.to_str().context("UTF-8")?.to_owned())
    };
    let town = wayside_tests::Town::found(wayside_tests::Engine::Sqlite)?.context("a town")?;
    for (first, second, what) in [
        (good.clone(), other.replace("@_xmpp_.*", "@_i.*"), "1.yaml, line 8: "),
        (good.clone(), other.replace("id: xmpp", "id: irc"), "1.yaml, line 1: "),
        (good.clone(), good.replace("id: irc", "id: x"), "1.yaml, line 1: the as_token"),
        (good.replace("_irc_bot", "'@x y'"), other.clone(), "0.yaml, line 5: sender_localpart"),
        (good.replace("- regex", "- rex"), other.clone(), "0.yaml, line "),
    ] {
        let files = [write("0.yaml", &first)?, write("1.yaml", &second)?].join(",");
        let options = town.node("d")?.flag("--app-services", Some(&files));
        options.start_refused().await?.names(what)?;
    }
    let options = town.node("d")?.flag("--app-services", Some("/nowhere/irc.yaml"));
    options.start_refused().await?.names("/nowhere/irc.yaml")
}
