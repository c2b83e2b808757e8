//! Visits: where people arrive, who has to leave, and what the others see of those who cheat.

use std::{
    fs::File,
    io::Write,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures_util::SinkExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{net::TcpSocket, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, client_async, tungstenite::Message};
use wayside_tests::{Client, Engine, Node, PASSWORD, RoomId, Seeded};

use crate::{
    stage::{Deeds, Stage, refused, stories},
    worlds::{SOON, Socket, Visit, connect, floor, glb, hello, over, ticket, until, world_of},
};

stories! {
    the_owner_moves_where_people_arrive;
    a_world_that_fills_behind_the_ticket_says_so;
    who_is_signed_out_leaves_the_world;
    who_becomes_a_member_is_shown_as_one;
}

const WORLD: &str = "org.matrix.msc3815.world";
/// Reasons of BYE (specs/realtime.md).
const BROKE_PROTOCOL: u8 = 2;
const FULL: u8 = 11;
const SIGNED_OUT: u8 = 12;

/// The room of a world.
async fn room_of(who: &Client, alias: &str) -> Result<RoomId> {
    let world = who.get(&format!("/_wayside/v1/worlds/{}", alias.replace('#', "%23"))).await?;
    Ok(RoomId::known(world["room_id"].as_str().context("no room")?))
}

/// Where a pose on the wire is, in metres.
fn metres(pose: &[u8]) -> [f32; 3] {
    [1, 4, 7].map(|at| {
        let units = i32::from_le_bytes([0, pose[at], pose[at + 1], pose[at + 2]]) >> 8;
        #[expect(clippy::cast_precision_loss, reason = "the worlds of stories are small")]
        let units = units as f32;
        units / 500.0
    })
}

fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
}

/// Where somebody is in a snapshot, if it tells of them: everybody here stands without a headset.
fn told_of(snapshot: &[u8], slot: u16) -> Option<[f32; 3]> {
    let body = snapshot[6..].chunks(16).find(|body| body[..2] == slot.to_le_bytes())?;
    Some(metres(&body[2..]))
}

async fn the_owner_moves_where_people_arrive(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let alias = world_of(&ann, "The Floor", floor(), 20).await?;
    let room = room_of(&ann, &alias).await?;
    ann.join(&room).await?;
    let mut state = ann.state(&room, WORLD, "").await?;
    ensure!(state["spawn"] == json!({"position_mm": [0, 0, 2_000], "yaw_deg": 0}), "{state}");
    let first = Visit::begin(&stage.node, &bob, &alias).await?;
    ensure!(distance(metres(&first.pose), [0.0, 0.0, 2.0]) < 0.1, "{:?}", metres(&first.pose));

    // Whoever rules the world moves it, and nobody else; who comes now arrives there.
    state["spawn"] = json!({"position_mm": [5_000, 0, -5_000], "yaw_deg": 90});
    let path = format!("/_matrix/client/v3/rooms/{room}/state/{WORLD}/");
    refused(bob.put(&path, &state).await, 403, "M_FORBIDDEN")?;
    ann.set_state(&room, WORLD, "", &state).await?;
    let mut there = Vec::new();
    for name in ["cat", "dan"] {
        let visit = Visit::begin(&stage.node, &stage.person(name).await?, &alias).await?;
        let at = metres(&visit.pose);
        ensure!(distance(at, [5.0, 0.0, -5.0]) < 1.5, "{name} arrives at {at:?}");
        ensure!(visit.pose[10..12] == 16_384_u16.to_le_bytes(), "a quarter turn: {:?}", visit.pose);
        there.push(at);
    }
    ensure!(distance(there[0], there[1]) > 0.4, "in one another: {there:?}");
    // Who was there not long ago comes back to where they stood.
    let back = Visit::begin(&stage.node, &bob, &alias).await?;
    ensure!(distance(metres(&back.pose), metres(&first.pose)) < 0.1, "{:?}", metres(&back.pose));

    for (number, spawn) in [
        json!({"position_mm": ["0", "0", "0"], "yaw_deg": 0}),
        json!({"position_mm": [16_777_001, 0, 0]}),
        json!({"position_mm": [50_000, 0, 0]}),
        json!({"position_mm": [5_000, 90_000, -5_000]}),
        json!({"position_mm": [5_000, 0, -5_000], "yaw_deg": 4_000}),
        json!("here"),
        Value::Null,
    ]
    .into_iter()
    .enumerate()
    {
        state["spawn"] = spawn;
        ann.set_state(&room, WORLD, "", &state).await?;
        let person = stage.person(&format!("late{number}")).await?;
        let visit = Visit::begin(&stage.node, &person, &alias).await?;
        let at = metres(&visit.pose);
        ensure!(distance(at, [0.0, 0.0, 2.0]) < 2.5, "{}: arrives at {at:?}", state["spawn"]);
    }
    Ok(())
}

async fn a_world_that_fills_behind_the_ticket_says_so(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let alias = world_of(&ann, "The Floor", floor(), 1).await?;
    let (first, second) = (ticket(&ann, &alias).await?, ticket(&bob, &alias).await?);
    let _inside = Visit::on(connect(&stage.node).await?, &first).await?;
    let mut late = connect(&stage.node).await?;
    late.send(hello(&second)).await?;
    let bye = until(&mut late, 0x4b).await?;
    ensure!(bye[1] == FULL, "{bye:?}");
    let again_ms = u32::from_le_bytes([bye[2], bye[3], bye[4], bye[5]]);
    ensure!((1_000..60_000).contains(&again_ms), "comes again after {again_ms} ms");
    Ok(())
}

/// Ends sessions of somebody, of whom `phone` is in a world and `desk` is not.
type Ending = (&'static str, bool, Method, &'static str, fn() -> Value);

/// What shows that one is `who`.
fn shown(who: &str) -> Value {
    let whose = json!({"type": "m.id.user", "user": who});
    json!({"type": "m.login.password", "identifier": whose, "password": PASSWORD})
}

#[rustfmt::skip]
const ENDINGS: [Ending; 7] = [
    ("out", true, Method::POST, "logout", || json!({})),
    ("all", false, Method::POST, "logout/all", || json!({})),
    ("one", false, Method::DELETE, "devices/PHONE", || json!({"auth": shown("one")})),
    ("some", false, Method::POST, "delete_devices", || json!({"devices": ["NONE", "PHONE"], "auth": shown("some")})),
    ("word", false, Method::POST, "account/password", || json!({"new_password": "another long password", "auth": shown("word")})),
    ("gone", true, Method::POST, "account/deactivate", || json!({"auth": shown("gone")})),
    ("away", false, Method::POST, "account/deactivate", || json!({"auth": shown("away")})),
];

async fn who_is_signed_out_leaves_the_world(stage: &mut Stage) -> Result<()> {
    let node = &stage.node;
    let ann = stage.person("ann").await?;
    let alias = world_of(&ann, "The Floor", floor(), 20).await?;
    let mut near = Visit::begin(node, &ann, &alias).await?;
    for (name, by_phone, method, path, body) in ENDINGS {
        let (phone, desk) = two_devices(node, name).await?;
        let mut visit = Visit::begin(node, &phone, &alias).await?;
        let waiting = ticket(&phone, &alias).await?;
        let by = if by_phone { &phone } else { &desk };
        by.call(method, &format!("/_matrix/client/v3/{path}"), Some(&body())).await?;
        is_signed_out(&mut visit.socket).await.with_context(|| format!("by {path}"))?;
        until_left(&mut near, visit.slot).await?;
        // What was given out before opens nothing any more.
        let mut late = connect(node).await?;
        late.send(hello(&waiting)).await?;
        is_signed_out(&mut late).await.with_context(|| format!("a ticket after {path}"))?;
    }
    // The other device stays, and so does the one from which a password is changed.
    let (phone, desk) = two_devices(node, "bob").await?;
    let mut visit = Visit::begin(node, &phone, &alias).await?;
    desk.post("/_matrix/client/v3/logout", &json!({})).await?;
    let change = json!({"new_password": "another long password", "auth": shown("bob")});
    phone.post("/_matrix/client/v3/account/password", &change).await?;
    answers(&mut visit, 1).await?;
    // An operator does it by commands beside the node, which hears of them a little later.
    let word = node.data().with_extension("word");
    File::create(&word)?.write_all(b"a third long password\n")?;
    let done = node.command_told(&["user", "password", "bob"], File::open(&word)?).await?;
    ensure!(done.status.success(), "{done:?}");
    is_signed_out(&mut visit.socket).await.context("by an operator's new password")?;
    let eve = stage.person("eve").await?;
    let mut visit = Visit::begin(node, &eve, &alias).await?;
    let done = node.command(&["user", "end", "eve"]).await?;
    ensure!(done.status.success(), "{done:?}");
    let why = over(&mut visit.socket).await.context("by an operator who ends the account")?;
    ensure!([5, SIGNED_OUT].contains(&why), "shown out for {why}");
    answers(&mut near, 2).await
}

/// Somebody with two devices.
async fn two_devices(node: &Node, name: &str) -> Result<(Client, Client)> {
    let phone = json!({"username": name, "password": PASSWORD, "device_id": "PHONE", "auth": {"type": "m.login.dummy"}});
    let nobody = Client::nobody(node.http())?;
    let phone = nobody.post("/_matrix/client/v3/register", &phone).await?;
    Ok((nobody.signed_in(&phone)?, Client::login(node.http(), name).await?))
}

async fn is_signed_out(socket: &mut Socket) -> Result<()> {
    let bye = until(socket, 0x4b).await?;
    ensure!(bye[1..] == [SIGNED_OUT, 255, 255, 255, 255], "{bye:?}");
    Ok(())
}

async fn until_left(visit: &mut Visit, slot: u16) -> Result<()> {
    while visit.next(0x44).await?[1..3] != slot.to_le_bytes() {}
    Ok(())
}

/// Whether the instance still answers a visit.
async fn answers(visit: &mut Visit, nonce: u8) -> Result<()> {
    visit.send(&[0x06, nonce, 0, 0, 0]).await?;
    while visit.next(0x4a).await?[1] != nonce {}
    Ok(())
}

async fn who_becomes_a_member_is_shown_as_one(stage: &mut Stage) -> Result<()> {
    let node = &stage.node;
    let ann = stage.person("ann").await?;
    let alias = world_of(&ann, "The Floor", floor(), 20).await?;
    let mut near = Visit::begin(node, &ann, &alias).await?;
    near.next(0x43).await?;
    // By themselves, and by an operator beside the node.
    for by_operator in [false, true] {
        let guest = Client::guest(node.http()).await?;
        let _visit = Visit::begin(node, &guest, &alias).await?;
        let entered = near.next(0x43).await?;
        ensure!(entered[3] & 1 == 1, "a guest comes: {entered:?}");
        if by_operator {
            let name = guest.id().split([':', '@']).nth(1).context("a name")?;
            let done = node.command(&["user", "role", name, "--role", "member"]).await?;
            ensure!(done.status.success(), "{done:?}");
        } else {
            guest.post("/_wayside/v1/account/keep", &json!({"password": PASSWORD})).await?;
        }
        let entered = near.next(0x43).await?;
        ensure!(entered[3] & 1 == 0, "still a guest: {entered:?}");
    }
    Ok(())
}

/// A floor of 20 by 20 m with a wall of 3 m across x = 1; people arrive at z = 2.
fn walled() -> Vec<u8> {
    let corners: [[f32; 3]; 8] = [
        [-10.0, 0.0, -10.0],
        [-10.0, 0.0, 10.0],
        [10.0, 0.0, 10.0],
        [10.0, 0.0, -10.0],
        [1.0, 0.0, -10.0],
        [1.0, 0.0, 10.0],
        [1.0, 3.0, 10.0],
        [1.0, 3.0, -10.0],
    ];
    let indices: [u16; 12] = [0, 1, 2, 0, 2, 3, 4, 5, 6, 4, 6, 7];
    let mut bin: Vec<u8> = corners.iter().flatten().flat_map(|it| it.to_le_bytes()).collect();
    bin.extend(indices.iter().flat_map(|it| it.to_le_bytes()));
    let json = json!({
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"mesh": 0}, {"translation": [0, 0, 2], "extensions": {"OMI_spawn_point": {}}}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 8, "type": "VEC3", "min": [-10, 0, -10], "max": [10, 3, 10]},
            {"bufferView": 1, "componentType": 5123, "count": 12, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 96, "target": 34962},
            {"buffer": 0, "byteOffset": 96, "byteLength": 24, "target": 34963},
        ],
        "buffers": [{"byteLength": bin.len()}],
        "extensionsUsed": ["OMI_spawn_point"],
    });
    glb(&json, &bin)
}

const WALK: u8 = 1;
const AIR: u8 = 3;
const JUMPED: u8 = 1 << 5;

/// What a cheat says: the motion, how far from where it arrived in steps of 1/500 m, and the reason of
/// the correction that it gets.
#[rustfmt::skip]
const CHEATS: [(&str, u8, [i32; 3], u8); 8] = [
    ("runs twenty times as fast", WALK, [0, 0, -2_500], 1),
    ("jumps across the world", WALK | JUMPED, [-4_500, 0, -5_000], 1),
    ("walks through the wall", WALK, [750, 0, 0], 2),
    ("points through the wall", WALK | JUMPED, [2_000, 0, 0], 2),
    ("stands in the wall", WALK, [480, 0, 0], 2),
    ("sinks into the ground", WALK, [0, -1_000, 0], 3),
    ("flies", AIR, [0, 1_500, 0], 4),
    ("leaves the world", AIR, [0, 0, 2_000_000], 5),
];

#[tokio::test]
async fn nobody_sees_a_body_where_it_cannot_be() -> Result<()> {
    Stage::play(Engine::Sqlite, async |stage: &mut Stage| {
        let (ann, mal) = (stage.person("ann").await?, stage.person("mal").await?);
        let alias = world_of(&ann, "The Wall", walled(), 5).await?;
        // Mal comes first and stands where people arrive.
        let mut cheats = Visit::begin(&stage.node, &mal, &alias).await?;
        let start = metres(&cheats.pose);
        let mut near = Visit::begin(&stage.node, &ann, &alias).await?;
        for (deed, motion, offset, reason) in CHEATS {
            cheats.says(motion, offset).await?;
            let correction = cheats.next(0x46).await?;
            ensure!(correction[3] == reason, "{deed}: {correction:?}");
            let at = metres(&correction[4..]);
            ensure!(distance(at, start) < 0.1, "{deed}: is put back to {at:?}");
        }
        // Then an honest step, which the other sees; in all that came before, nothing of the rest.
        cheats.says(WALK, [-50, 0, 0]).await?;
        let last = [start[0] - 0.1, start[1], start[2]];
        let watching = async {
            loop {
                let Some(at) = told_of(&near.next(0x42).await?, cheats.slot) else { continue };
                ensure!(distance(at, start) < 0.2, "was seen at {at:?}");
                if distance(at, last) < 0.01 {
                    return anyhow::Ok(());
                }
            }
        };
        timeout(SOON, watching).await.context("the honest step was not seen")??;
        a_fast_one_is_seen_no_faster_than_running(&mut cheats, &mut near, last).await
    })
    .await
}

/// Small steps that are each possible, and far too many of them.
async fn a_fast_one_is_seen_no_faster_than_running(
    cheats: &mut Visit,
    near: &mut Visit,
    start: [f32; 3],
) -> Result<()> {
    let begun = Instant::now();
    for step in 1..=60 {
        cheats.says(WALK, [-50, 0, -100 * step]).await?;
    }
    ensure!(cheats.next(0x46).await?[3] == 1, "too fast");
    answers(near, 7).await?;
    let mut farthest = 0.0_f32;
    while begun.elapsed() < Duration::from_secs(1) {
        if let Some(at) = told_of(&near.next(0x42).await?, cheats.slot) {
            farthest = farthest.max(distance(at, start));
        }
    }
    // The reserve, and what running makes in the time in which the steps were taken in.
    let most = 2.1 + 6.0 * begun.elapsed().as_secs_f32();
    ensure!((0.2..most).contains(&farthest), "was seen {farthest} m away, twelve were claimed");
    ensure!(farthest < 6.0, "was seen {farthest} m away");
    Ok(())
}

#[tokio::test]
async fn random_frames_end_the_visit_that_sends_them() -> Result<()> {
    Stage::play(Engine::Sqlite, async |stage: &mut Stage| {
        let (ann, mal) = (stage.person("ann").await?, stage.person("mal").await?);
        let alias = world_of(&ann, "The Floor", floor(), 5).await?;
        let mut near = Visit::begin(&stage.node, &ann, &alias).await?;
        let mut seeded = Seeded::from_env(3);
        for round in 0..40_u8 {
            // Of the kinds that there are, and of any; none of these lengths is a frame's.
            let length = usize::try_from(seeded.between(19, 44))?;
            let mut frame = seeded.bytes(length);
            if round % 2 == 0 {
                frame[0] = 1 + round / 2 % 7;
            }
            let mut visit = Visit::begin(&stage.node, &mal, &alias).await?;
            visit.send(&frame).await?;
            ensure!(over(&mut visit.socket).await? == BROKE_PROTOCOL, "{frame:?}");
            let mut door = connect(&stage.node).await?;
            door.send(Message::Binary(frame.clone().into())).await?;
            ensure!(over(&mut door).await? == BROKE_PROTOCOL, "at the door: {frame:?}");
            answers(&mut near, round).await?;
        }
        Ok(())
    })
    .await
}

/// Events that are shown in the world of one who takes none, each of about 60 kB.
const EVENTS: usize = 200;
/// How much larger the node may be then: far below what waits for whoever takes nothing.
const GROWN_BYTES: f64 = 6.0 * 1024.0 * 1024.0;

#[tokio::test]
async fn who_never_reads_is_shown_out_and_nobody_waits() -> Result<()> {
    Stage::play(Engine::Sqlite, async |stage: &mut Stage| {
        let (ann, mal) = (stage.person("ann").await?, stage.person("mal").await?);
        let alias = world_of(&ann, "The Floor", floor(), 5).await?;
        let room = room_of(&ann, &alias).await?;
        let mut near = Visit::begin(&stage.node, &ann, &alias).await?;
        let text = "x".repeat(60_000);
        // What the node needs for so many messages by itself.
        for number in 0..60 {
            ann.send_text(&room, &format!("before-{number}"), &text).await?;
        }
        // The index of what is said comes behind; a question waits for it.
        let question = json!({"search_categories": {"room_events": {"search_term": "x"}}});
        ann.post("/_matrix/client/v3/search", &question).await?;
        let resident = async || {
            let metrics = stage.node.metrics().await?;
            anyhow::Ok(metrics.sum("wayside_process_resident_memory_bytes"))
        };
        let before = resident().await?;
        let path = format!("/_wayside/v1/worlds/{}", alias.replace('#', "%23"));
        let hangs = never_reading(&stage.node, &mal, &alias).await?;
        let (mut left, mut heard) = (false, false);
        let mut grown = 0.0_f64;
        for number in 0..EVENTS {
            ann.send_text(&room, &format!("t{number}"), &text).await?;
            heard |= stays_on_time(&mut near, number, hangs.slot).await?;
            grown = grown.max(resident().await? - before);
            left = ann.get(&path).await?["people"] == 1;
            if left {
                break;
            }
        }
        ensure!(left, "whoever takes nothing is still in after {EVENTS} events");
        ensure!(grown < GROWN_BYTES, "the node has grown by {grown} bytes");
        if !heard {
            until_left(&mut near, hangs.slot).await?;
        }
        answers(&mut near, 9).await?;
        drop(hangs);
        Ok(())
    })
    .await
}

/// A visit on a connection that takes in as little as the system lets it.
async fn never_reading(node: &Node, who: &Client, world: &str) -> Result<Visit> {
    let ticket = ticket(who, world).await?;
    let port = node.http().port().context("a port")?;
    let tcp = TcpSocket::new_v4()?;
    tcp.set_recv_buffer_size(4_096)?;
    let tcp = tcp.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
    let url = format!("ws://127.0.0.1:{port}/_wayside/v1/realtime");
    let (socket, _) = client_async(url, MaybeTlsStream::Plain(tcp)).await?;
    Visit::on(socket, &ticket).await
}

/// A ping is answered soon, and in the tick that it is: the world goes on at 30 ticks a second. Gives
/// whether it was told meanwhile that somebody left a slot.
async fn stays_on_time(visit: &mut Visit, number: usize, slot: u16) -> Result<bool> {
    let nonce = u32::try_from(number)?.to_le_bytes();
    let begun = Instant::now();
    visit.send(&[&[0x06][..], &nonce].concat()).await?;
    let mut left = false;
    loop {
        let frame = visit.next_of(&[0x4a, 0x44]).await?;
        if frame[0] == 0x44 {
            left |= frame[1..3] == slot.to_le_bytes();
        } else if frame[1..5] == nonce {
            break;
        }
    }
    ensure!(begun.elapsed() < Duration::from_secs(2), "answered after {:?}", begun.elapsed());
    Ok(left)
}
