//! Gateways are told of what people's rules want told, whatever the gateways do.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::timeout};
use wayside_tests::{Client, PASSWORD, RoomId};

use crate::stage::{Deeds, Stage, comes_true, refused, room_of, send, stories};

stories! {
    a_gateway_is_told_what_the_rules_say;
    a_gateway_is_told_no_more_than_it_wants;
    reading_is_told_as_a_count;
    a_gateway_that_fails_is_told_again_in_order;
    a_pusher_that_a_gateway_rejects_is_gone;
    a_slow_gateway_holds_nobody_else_up;
    pushers_go_with_the_device_that_set_them;
    pushers_that_make_no_sense_are_refused;
}

const PUSHERS: &str = "/_matrix/client/v3/pushers";
const SET: &str = "/_matrix/client/v3/pushers/set";
/// The longest that a notification may take, rests after failures included.
const TOLD: Duration = Duration::from_secs(20);

/// How a gateway takes what it is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Takes,
    Fails,
    Rejects,
    Hangs,
}

struct Inside {
    mood: Mutex<Mood>,
    told: mpsc::UnboundedSender<Value>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

/// A push gateway.
struct Gateway {
    url: String,
    inside: Arc<Inside>,
    told: mpsc::UnboundedReceiver<Value>,
    serving: JoinHandle<()>,
}

impl Gateway {
    async fn open(mood: Mood) -> Result<Self> {
        let (sender, told) = mpsc::unbounded_channel();
        let inside = Arc::new(Inside {
            mood: Mutex::new(mood),
            told: sender,
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/_matrix/push/v1/notify", socket.local_addr()?);
        let router = Router::new().route("/_matrix/push/v1/notify", post(notify));
        let router = router.with_state(inside.clone());
        let serving = tokio::spawn(async move {
            // It ends with the story.
            let _ended = axum::serve(socket, router).await;
        });
        Ok(Self { url, inside, told, serving })
    }

    fn turns(&self, mood: Mood) {
        *self.inside.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// What it is told next.
    async fn next(&mut self) -> Result<Value> {
        let told = timeout(TOLD, self.told.recv()).await.context("the gateway is told nothing")?;
        let told = told.context("the gateway is open")?;
        Ok(told["notification"].clone())
    }

    /// The next event that it is told of.
    async fn next_event(&mut self) -> Result<String> {
        let told = self.next().await?;
        let event = told["event_id"].as_str().with_context(|| format!("no event in {told}"))?;
        Ok(event.to_owned())
    }

    fn heard_nothing(&mut self) -> Result<()> {
        let heard = self.told.try_recv();
        ensure!(heard.is_err(), "there is something: {heard:?}");
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A call, until it is answered or its caller hangs up.
struct UnderWay(Arc<Inside>);

impl UnderWay {
    fn begin(inside: &Arc<Inside>) -> Self {
        let under_way = inside.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        inside.most.fetch_max(under_way, Ordering::SeqCst);
        Self(inside.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn notify(
    State(inside): State<Arc<Inside>>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let _under_way = UnderWay::begin(&inside);
    let key = body["notification"]["devices"][0]["pushkey"].clone();
    let mood = *inside.mood.lock().unwrap_or_else(PoisonError::into_inner);
    // A story that has ended listens no more.
    let _heard = inside.told.send(body);
    let answer = match mood {
        Mood::Takes => (StatusCode::OK, json!({ "rejected": [] })),
        Mood::Fails => (StatusCode::BAD_GATEWAY, json!({ "rejected": [key] })),
        Mood::Rejects => (StatusCode::OK, json!({ "rejected": ["another", key] })),
        Mood::Hangs => std::future::pending().await,
    };
    (answer.0, Json(answer.1))
}

/// Puts the stage on a node that may call gateways on this machine.
async fn calling(stage: &mut Stage) -> Result<()> {
    stage.node.stop().await?;
    stage.node = stage.other("p", |it| it.flag("--allow-private-addresses", None)).await?;
    Ok(())
}

fn pusher(gateway: &Gateway, key: &str) -> Value {
    json!({
        "app_id": "org.example.app", "pushkey": key, "kind": "http", "lang": "en",
        "app_display_name": "App", "device_display_name": "Telephone",
        "data": { "url": gateway.url },
    })
}

async fn listed(person: &Client) -> Result<Vec<Value>> {
    let answer = person.get(PUSHERS).await?;
    Ok(answer["pushers"].as_array().context("pushers are a list")?.clone())
}

async fn named_room(people: &[&Client]) -> Result<RoomId> {
    room_of(people, &json!({ "preset": "public_chat", "name": "Tea" })).await
}

async fn text(from: &Client, room: &RoomId, body: &str) -> Result<String> {
    send(from, room, "m.room.message", &json!({ "msgtype": "m.text", "body": body })).await
}

// Operations: getPushers.
async fn a_gateway_is_told_what_the_rules_say(stage: &mut Stage) -> Result<()> {
    calling(stage).await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let name = format!("/_matrix/client/v3/profile/{}/displayname", ann.id());
    ann.put(&name, &json!({ "displayname": "Ann of the Tea" })).await?;
    // Where two are alone, all is told aloud.
    let cleo = stage.person("cleo").await?;
    let room = named_room(&[&ann, &bob, &cleo]).await?;
    text(&ann, &room, "before the pusher").await?;
    let mut gateway = Gateway::open(Mood::Takes).await?;
    let mut wish = pusher(&gateway, "k1");
    wish["profile_tag"] = "tag".into();
    wish["data"]["custom"] = json!({ "a": [1] });
    bob.post(SET, &wish).await?;
    let mut expected = wish.clone();
    expected.as_object_mut().context("an object")?.remove("append");
    ensure!(listed(&bob).await? == [expected], "{:?}", listed(&bob).await?);
    // What was said before is told by its count alone.
    let first = gateway.next().await?;
    ensure!(
        first["counts"] == json!({ "unread": 1 }) && first.get("event_id").is_none(),
        "{first}"
    );

    let event = text(&ann, &room, "hello").await?;
    let told = gateway.next().await?;
    for (field, value) in [
        ("event_id", json!(event)),
        ("room_id", json!(room.as_str())),
        ("type", json!("m.room.message")),
        ("sender", json!(ann.id())),
        ("sender_display_name", json!("Ann of the Tea")),
        ("room_name", json!("Tea")),
        ("prio", json!("low")),
        ("content", json!({ "msgtype": "m.text", "body": "hello" })),
        ("counts", json!({ "unread": 2 })),
    ] {
        ensure!(told[field] == value, "{field}: {told}");
    }
    let device = &told["devices"][0];
    ensure!(device["app_id"] == "org.example.app" && device["pushkey"] == "k1", "{told}");
    ensure!(device["data"] == json!({ "custom": { "a": [1] } }), "{told}");
    ensure!(device["tweaks"] == json!({}) && device["pushkey_ts"].is_i64(), "{told}");
    ensure!(told.get("user_is_target").is_none() && told.get("room_alias").is_none(), "{told}");

    // What the rules leave quiet is not told, nor what the person says; a mention is told aloud.
    let notice = json!({ "msgtype": "m.notice", "body": "quiet" });
    send(&ann, &room, "m.room.message", &notice).await?;
    let mention = json!({
        "msgtype": "m.text", "body": "you", "m.mentions": { "user_ids": [bob.id()] },
    });
    let event = send(&ann, &room, "m.room.message", &mention).await?;
    let told = gateway.next().await?;
    ensure!(told["event_id"] == event && told["prio"] == "high", "{told}");
    ensure!(told["devices"][0]["tweaks"]["highlight"] == true, "{told}");
    ensure!(told["counts"] == json!({ "unread": 3 }), "{told}");
    // What is encrypted is told as it is.
    let sealed = json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x" });
    let event = send(&ann, &room, "m.room.encrypted", &sealed).await?;
    let told = gateway.next().await?;
    ensure!(told["event_id"] == event && told["type"] == "m.room.encrypted", "{told}");
    ensure!(told["prio"] == "high" && told["content"] == sealed, "{told}");
    // An invitation means the person themselves.
    let other = ann.create_room(&json!({ "name": "Cake", "invite": [bob.id()] })).await?;
    let told = gateway.next().await?;
    ensure!(told["room_id"] == other.as_str() && told["type"] == "m.room.member", "{told}");
    ensure!(told["user_is_target"] == true && told["room_name"] == "Cake", "{told}");
    gateway.heard_nothing()
}

async fn a_gateway_is_told_no_more_than_it_wants(stage: &mut Stage) -> Result<()> {
    calling(stage).await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = named_room(&[&ann, &bob]).await?;
    let mut gateway = Gateway::open(Mood::Takes).await?;
    let mut wish = pusher(&gateway, "k1");
    wish["data"]["format"] = "event_id_only".into();
    bob.post(SET, &wish).await?;
    let event = text(&ann, &room, "a secret").await?;
    let told = gateway.next().await?;
    let names: Vec<&String> = told.as_object().context("an object")?.keys().collect();
    ensure!(names == ["counts", "devices", "event_id", "prio", "room_id"], "{told}");
    ensure!(told["event_id"] == event && told["room_id"] == room.as_str(), "{told}");
    ensure!(told["devices"][0]["data"] == json!({ "format": "event_id_only" }), "{told}");
    Ok(())
}

async fn reading_is_told_as_a_count(stage: &mut Stage) -> Result<()> {
    calling(stage).await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = named_room(&[&ann, &bob]).await?;
    let mut gateway = Gateway::open(Mood::Takes).await?;
    bob.post(SET, &pusher(&gateway, "k1")).await?;
    let mut events = Vec::new();
    for body in ["one", "two", "three"] {
        events.push(text(&ann, &room, body).await?);
        ensure!(gateway.next_event().await? == events[events.len() - 1]);
    }
    for (read, unread) in [(&events[0], 2), (&events[2], 0)] {
        let path = format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{read}");
        bob.post(&path, &json!({})).await?;
        let told = gateway.next().await?;
        ensure!(told["counts"] == json!({ "unread": unread }), "{told}");
        ensure!(told.get("event_id").is_none() && told.get("room_id").is_none(), "{told}");
        ensure!(told["devices"][0]["pushkey"] == "k1", "{told}");
    }
    // Whoever answers has read what was there.
    text(&ann, &room, "four").await?;
    gateway.next_event().await?;
    text(&bob, &room, "yes").await?;
    ensure!(gateway.next().await?["counts"] == json!({ "unread": 0 }));
    // A restart tells nothing twice.
    stage.restart().await?;
    let ann = ann.at(stage.node.http());
    let event = text(&ann, &room, "five").await?;
    ensure!(gateway.next_event().await? == event);
    gateway.heard_nothing()
}

async fn a_gateway_that_fails_is_told_again_in_order(stage: &mut Stage) -> Result<()> {
    calling(stage).await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = named_room(&[&ann, &bob]).await?;
    let mut gateway = Gateway::open(Mood::Fails).await?;
    bob.post(SET, &pusher(&gateway, "k1")).await?;
    let mut events = Vec::new();
    for body in ["one", "two", "three"] {
        events.push(text(&ann, &room, body).await?);
    }
    // It is told of the first again and again, and of no other.
    for _ in 0..3 {
        ensure!(gateway.next_event().await? == events[0]);
    }
    stage.restart().await?;
    let (ann, bob) = (ann.at(stage.node.http()), bob.at(stage.node.http()));
    ensure!(gateway.next_event().await? == events[0], "after a restart too");
    ensure!(listed(&bob).await?.len() == 1, "who fails rejects nobody");
    gateway.turns(Mood::Takes);
    // It may have been told of the first once more meanwhile.
    let mut told = vec![gateway.next_event().await?];
    while told.last() != events.last() {
        told.push(gateway.next_event().await?);
    }
    told.dedup();
    ensure!(told == events, "{told:?}");
    // Killed, the node goes on where it was.
    stage.node.kill().await?;
    stage.node.restart().await?;
    let event = text(&ann.at(stage.node.http()), &room, "four").await?;
    let mut told = gateway.next_event().await?;
    if told == events[2] {
        // Killed between the answer of the gateway and the note of it.
        told = gateway.next_event().await?;
    }
    ensure!(told == event, "{told}");
    gateway.heard_nothing()
}

async fn a_pusher_that_a_gateway_rejects_is_gone(stage: &mut Stage) -> Result<()> {
    calling(stage).await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = named_room(&[&ann, &bob]).await?;
    let mut rejecting = Gateway::open(Mood::Rejects).await?;
    let mut other = Gateway::open(Mood::Takes).await?;
    bob.post(SET, &pusher(&rejecting, "k1")).await?;
    bob.post(SET, &pusher(&other, "k2")).await?;
    let event = text(&ann, &room, "one").await?;
    ensure!(rejecting.next_event().await? == event);
    ensure!(other.next_event().await? == event);
    comes_true("the pusher is gone", async || Ok(listed(&bob).await?.len() == 1)).await?;
    ensure!(listed(&bob).await?[0]["pushkey"] == "k2");
    let event = text(&ann, &room, "two").await?;
    ensure!(other.next_event().await? == event);
    rejecting.heard_nothing()
}

async fn a_slow_gateway_holds_nobody_else_up(stage: &mut Stage) -> Result<()> {
    calling(stage).await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let mut slow = Gateway::open(Mood::Hangs).await?;
    let mut good = Gateway::open(Mood::Takes).await?;
    let mut people = vec![ann.clone(), bob.clone()];
    for n in 0..6 {
        let person = stage.person(&format!("slow{n}")).await?;
        person.post(SET, &pusher(&slow, &format!("s{n}"))).await?;
        people.push(person);
    }
    bob.post(SET, &pusher(&good, "k1")).await?;
    let people: Vec<&Client> = people.iter().collect();
    let room = named_room(&people).await?;
    for n in 0..5 {
        let event = text(&ann, &room, &n.to_string()).await?;
        ensure!(good.next_event().await? == event);
    }
    let first = slow.next_event().await?;
    for _ in 0..3 {
        ensure!(slow.next_event().await? == first, "each pusher waits for its first");
    }
    let most = slow.inside.most.load(Ordering::SeqCst);
    ensure!(most <= 4, "{most} calls under way");
    Ok(())
}

// Operations: postPusher.
async fn pushers_go_with_the_device_that_set_them(stage: &mut Stage) -> Result<()> {
    calling(stage).await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let gateway = Gateway::open(Mood::Takes).await?;
    let phone = Client::login(stage.node.http(), "bob").await?;
    let tablet = Client::login(stage.node.http(), "bob").await?;
    for (client, key) in [(&bob, "desk"), (&phone, "phone"), (&tablet, "tablet")] {
        client.post(SET, &pusher(&gateway, key)).await?;
    }
    let keys = async |person: &Client| -> Result<Vec<String>> {
        let listed = listed(person).await?;
        Ok(listed.iter().filter_map(|it| it["pushkey"].as_str().map(str::to_owned)).collect())
    };
    ensure!(keys(&bob).await? == ["desk", "phone", "tablet"], "{:?}", keys(&bob).await?);
    phone.post("/_matrix/client/v3/logout", &json!({})).await?;
    ensure!(keys(&bob).await? == ["desk", "tablet"], "{:?}", keys(&bob).await?);
    let mut change = json!({
        "new_password": "another long enough password", "logout_devices": false,
        "auth": {
            "type": "m.login.password", "password": PASSWORD,
            "identifier": { "type": "m.id.user", "user": bob.id() },
        },
    });
    bob.post("/_matrix/client/v3/account/password", &change).await?;
    ensure!(keys(&bob).await? == ["desk", "tablet"], "{:?}", keys(&bob).await?);
    change["auth"]["password"] = change["new_password"].clone();
    change["logout_devices"] = true.into();
    bob.post("/_matrix/client/v3/account/password", &change).await?;
    ensure!(keys(&bob).await? == ["desk"], "{:?}", keys(&bob).await?);

    // The same place may be another person's too, but only where they say so.
    let mut wish = pusher(&gateway, "desk");
    wish["append"] = true.into();
    ann.post(SET, &wish).await?;
    ensure!(keys(&ann).await? == ["desk"] && keys(&bob).await? == ["desk"]);
    ann.post(SET, &pusher(&gateway, "desk")).await?;
    ensure!(keys(&ann).await? == ["desk"] && keys(&bob).await?.is_empty());
    wish["device_display_name"] = "Another".into();
    ann.post(SET, &wish).await?;
    ensure!(listed(&ann).await?[0]["device_display_name"] == "Another");
    let gone = json!({ "app_id": "org.example.app", "pushkey": "desk", "kind": null });
    ann.post(SET, &gone).await?;
    ensure!(keys(&ann).await?.is_empty());
    ann.post(SET, &gone).await?;
    Ok(())
}

async fn pushers_that_make_no_sense_are_refused(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let right = json!({
        "app_id": "a".repeat(64), "pushkey": "k".repeat(512), "kind": "http", "lang": "en",
        "app_display_name": "App", "device_display_name": "Telephone",
        "data": { "url": "https://push.example.org/_matrix/push/v1/notify" },
    });
    ann.post(SET, &right).await?;
    for (pointer, value, code) in [
        ("/app_id", json!("a".repeat(65)), "M_INVALID_PARAM"),
        ("/app_id", json!(""), "M_INVALID_PARAM"),
        ("/pushkey", json!("k".repeat(513)), "M_INVALID_PARAM"),
        ("/pushkey", json!(""), "M_INVALID_PARAM"),
        ("/kind", json!("email"), "M_INVALID_PARAM"),
        ("/kind", json!("smoke"), "M_INVALID_PARAM"),
        ("/lang", json!("l".repeat(256)), "M_INVALID_PARAM"),
        ("/data/url", json!("http://push.example.org/_matrix/push/v1/notify"), "M_INVALID_PARAM"),
        ("/data/url", json!("https://push.example.org/notify"), "M_INVALID_PARAM"),
        (
            "/data/url",
            json!("https://a:b@push.example.org/_matrix/push/v1/notify"),
            "M_INVALID_PARAM",
        ),
        ("/data/url", json!("https://127.0.0.1/_matrix/push/v1/notify"), "M_INVALID_PARAM"),
        ("/data/url", json!("https://[::ffff:10.0.0.1]/_matrix/push/v1/notify"), "M_INVALID_PARAM"),
        ("/data/url", json!("nowhere"), "M_INVALID_PARAM"),
    ] {
        let mut wrong = right.clone();
        *wrong.pointer_mut(pointer).context("a part of it")? = value;
        refused(ann.post(SET, &wrong).await, 400, code)?;
    }
    for missing in ["kind", "lang", "app_display_name", "device_display_name", "pushkey", "app_id"]
    {
        let mut wrong = right.clone();
        wrong.as_object_mut().context("an object")?.remove(missing);
        refused(ann.post(SET, &wrong).await, 400, "M_MISSING_PARAM")?;
    }
    let mut formless = right.clone();
    formless["data"]["format"] = "all_of_it".into();
    refused(ann.post(SET, &formless).await, 400, "M_INVALID_PARAM")?;
    let mut large = right.clone();
    large["data"]["more"] = "x".repeat(20_000).into();
    refused(ann.post(SET, &large).await, 413, "M_TOO_LARGE")?;
    for n in 1..50 {
        let mut another = right.clone();
        another["pushkey"] = n.to_string().into();
        ann.post(SET, &another).await?;
    }
    let mut more = right.clone();
    more["pushkey"] = "more".into();
    refused(ann.post(SET, &more).await, 413, "M_TOO_LARGE")?;
    ann.post(SET, &right).await?;
    Ok(())
}
