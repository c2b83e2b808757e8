//! Worlds: made, listed, entered; and what somebody meets there who speaks the protocol badly.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};
use wayside_tests::{Client, Engine, Node, Town, Wire};
pub(crate) use wayside_tests::{floor, glb};

use crate::{
    pictures::{crc, png},
    stage::{Deeds, Stage, list, stories},
};

stories! {
    worlds_made_at_once_share_one_space;
}

/// Longer than anything here takes, with room for a machine that does other things.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A visit over WebSocket, spoken in bytes.
pub(crate) struct Visit {
    pub(crate) socket: Socket,
    pub(crate) slot: u16,
    /// The pose of the welcome, as it came.
    pub(crate) pose: Vec<u8>,
    sequence: u16,
}

impl Visit {
    pub(crate) async fn begin(node: &Node, who: &Client, world: &str) -> Result<Self> {
        let ticket = ticket(who, world).await?;
        Self::on(connect(node).await?, &ticket).await
    }

    /// Begins the visit of a ticket on a connection.
    pub(crate) async fn on(mut socket: Socket, ticket: &str) -> Result<Self> {
        socket.send(hello(ticket)).await?;
        let welcome = until(&mut socket, 0x41).await?;
        let slot = u16::from_le_bytes([welcome[2], welcome[3]]);
        Ok(Self { socket, slot, pose: welcome[11..].to_vec(), sequence: 0 })
    }

    pub(crate) async fn send(&mut self, frame: &[u8]) -> Result<()> {
        Ok(self.socket.send(Message::Binary(frame.to_vec().into())).await?)
    }

    /// Says that the body is there, in steps of 1/500 m from where it came in.
    pub(crate) async fn says(&mut self, motion: u8, offset: [i32; 3]) -> Result<()> {
        self.sequence += 1;
        let mut pose = self.pose.clone();
        pose[0] = motion;
        for (axis, offset) in offset.into_iter().enumerate() {
            let at = 1 + axis * 3;
            let units = i32::from_le_bytes([0, pose[at], pose[at + 1], pose[at + 2]]) >> 8;
            pose[at..at + 3].copy_from_slice(&(units + offset).to_le_bytes()[..3]);
        }
        let frame = [&[0x02][..], &self.sequence.to_le_bytes(), &pose].concat();
        self.send(&frame).await
    }

    /// The next frame of a kind.
    pub(crate) async fn next(&mut self, kind: u8) -> Result<Vec<u8>> {
        until(&mut self.socket, kind).await
    }

    /// The next frame of one of these kinds.
    pub(crate) async fn next_of(&mut self, kinds: &[u8]) -> Result<Vec<u8>> {
        until_any(&mut self.socket, kinds).await
    }
}

pub(crate) async fn ticket(who: &Client, world: &str) -> Result<String> {
    let path = format!("/_wayside/v1/worlds/{}/visits", world.replace('#', "%23"));
    let granted = who.post(&path, &json!({})).await?;
    ensure!(granted["transports"][0]["url"] == "/_wayside/v1/realtime", "{granted}");
    Ok(granted["ticket"].as_str().context("no ticket")?.to_owned())
}

pub(crate) async fn connect(node: &Node) -> Result<Socket> {
    let mut url = node.http().join("/_wayside/v1/realtime")?;
    url.set_scheme("ws").expect("http becomes ws");
    Ok(connect_async(url.as_str()).await?.0)
}

pub(crate) fn hello(ticket: &str) -> Message {
    let length = u16::try_from(ticket.len()).expect("a short text").to_le_bytes();
    Message::Binary([&[1, 1][..], &length, ticket.as_bytes()].concat().into())
}

pub(crate) async fn until(socket: &mut Socket, kind: u8) -> Result<Vec<u8>> {
    until_any(socket, &[kind]).await
}

/// The next frame of one of these kinds.
async fn until_any(socket: &mut Socket, kinds: &[u8]) -> Result<Vec<u8>> {
    let is_wanted = |bytes: &[u8]| bytes.first().is_some_and(|kind| kinds.contains(kind));
    let found = timeout(SOON, async {
        while let Some(message) = socket.next().await {
            match message? {
                Message::Binary(bytes) if is_wanted(&bytes) => return Ok(bytes.to_vec()),
                Message::Binary(bytes) if bytes.first() == Some(&0x4b) => {
                    bail!("the visit is over: {bytes:?}")
                }
                _ => {}
            }
        }
        bail!("the connection ended")
    });
    found.await.with_context(|| format!("waiting for a frame of {kinds:#x?}"))?
}

/// The reason for which a visit is over.
pub(crate) async fn over(socket: &mut Socket) -> Result<u8> {
    Ok(until(socket, 0x4b).await?[1])
}

async fn new_world(who: &Client, name: &str) -> Result<String> {
    world_of(who, name, floor(), 3).await
}

/// Makes a world of a scene, and gives its alias.
pub(crate) async fn world_of(
    who: &Client,
    name: &str,
    scene: Vec<u8>,
    capacity: u16,
) -> Result<String> {
    let scene = who.upload("model/gltf-binary", scene).await?;
    let preview = who.upload("image/png", png(16, 9, 3)).await?;
    let wish = json!({
        "name": name, "description": "A floor", "scene": format!("mxc://{}", scene.place()),
        "preview": format!("mxc://{}", preview.place()), "capacity": capacity, "rating": "teen",
    });
    let made = who.post("/_wayside/v1/worlds", &wish).await?;
    ensure!(made["report"]["accepted"] == true, "{made}");
    Ok(made["alias"].as_str().context("no alias")?.to_owned())
}

async fn worlds_made_at_once_share_one_space(stage: &mut Stage) -> Result<()> {
    let mut people = Vec::new();
    for name in ["ann", "bob", "cat", "dan"] {
        people.push(stage.person(name).await?);
    }
    let all = people.iter().map(|who| new_world(who, who.id()));
    futures_util::future::try_join_all(all).await?;
    let named = people[0].get("/_matrix/client/v3/directory/room/%23worlds:a.test").await?;
    let space = named["room_id"].as_str().context("no space")?;
    let tree = people[0].get(&format!("/_matrix/client/v1/rooms/{space}/hierarchy")).await?;
    ensure!(list(&tree["rooms"]).len() == 5, "a space and four worlds: {tree}");
    Ok(())
}

#[tokio::test]
async fn worlds_on_sqlite() -> Result<()> {
    worlds(Engine::Sqlite).await
}

#[tokio::test]
async fn worlds_on_postgres() -> Result<()> {
    worlds(Engine::Postgres).await
}

async fn worlds(engine: Engine) -> Result<()> {
    let Some(town) = Town::found(engine)? else { return Ok(()) };
    let mut node = town.node("a")?.with_first_world().start().await?;
    let ann = Client::register(node.http(), "ann").await?;
    let bob = Client::register(node.http(), "bob").await?;
    the_first_world_is_there(&node, &ann).await?;
    its_scene_goes_out_packed(&node, &ann).await?;
    let alias = new_world(&ann, "The Floor").await?;
    ensure!(alias == "#the-floor:a.test", "{alias}");
    ensure!(new_world(&bob, "The Floor").await? == "#the-floor-2:a.test");
    a_world_is_a_room_of_its_owner(&ann, &bob, &alias).await?;
    people_see_each_other(&node, &ann, &bob, &alias).await?;
    a_ticket_opens_one_visit_once(&node, &ann, &alias).await?;
    who_is_turned_out_leaves(&node, &ann, &bob, &alias).await?;
    a_full_world_says_so(&node, &alias).await?;
    refused_scenes_are_explained(&ann).await?;
    who_floods_is_shown_out_alone(&node, &ann, &alias).await?;
    a_world_whose_scene_is_gone_says_so(&node, &ann).await?;
    node.stop().await?;
    node.restart().await?;
    let about = ann.at(node.http()).get("/_wayside/v1/worlds").await?;
    ensure!(about["worlds"].as_array().is_some_and(|it| it.len() == 1), "{about}");
    node.stop().await?;
    Ok(())
}

async fn the_first_world_is_there(node: &Node, ann: &Client) -> Result<()> {
    let about = Client::nobody(node.http())?.get("/_wayside/v1/node").await?;
    ensure!(about["default_world"] == "#plaza:a.test", "{about}");
    let plaza = ann.get("/_wayside/v1/worlds/%23plaza:a.test").await?;
    ensure!(plaza["people"] == 0 && plaza["capacity"] == 50, "{plaza}");
    let scene = plaza["scene"]["url"].as_str().context("no scene")?;
    let answer = reqwest::get(node.http().join(scene)?).await?.error_for_status()?;
    let kept = answer.headers()["cache-control"].to_str()?.to_owned();
    ensure!(kept.contains("immutable"), "{kept}");
    let bytes = answer.bytes().await?;
    ensure!(bytes.starts_with(b"glTF") && bytes.len() < 4 * 1024 * 1024);
    let part = reqwest::Client::new().get(node.http().join(scene)?).header("range", "bytes=4-7");
    let part = part.send().await?;
    ensure!(part.status() == 206 && part.bytes().await? == bytes.slice(4..8));
    let preview = plaza["preview"].as_str().context("no picture")?;
    let picture = reqwest::get(node.http().join(preview)?).await?.error_for_status()?;
    ensure!(picture.headers()["content-type"] == "image/jpeg");
    Ok(())
}

async fn its_scene_goes_out_packed(node: &Node, ann: &Client) -> Result<()> {
    let plaza = ann.get("/_wayside/v1/worlds/%23plaza:a.test").await?;
    let wire = Wire::to(node.http())?;
    let paths = [plaza["scene"]["url"].as_str(), Some("/_wayside/v1/bodies/00000000000000ff")];
    for path in paths.into_iter().flatten() {
        let ask = async |headers: &[(&str, &str)]| wire.ask("GET", path, headers, b"").await;
        let whole = ask(&[]).await?;
        let tag = whole.header("etag").context("a tag")?.to_owned();
        ensure!(whole.header("content-encoding").is_none(), "{path}: {:?}", whole.headers);
        // Twice: the second is what was kept of the first.
        for _ in 0..2 {
            let packed = ask(&[("accept-encoding", "br, gzip")]).await?;
            let header = |name: &str| packed.header(name).unwrap_or_default();
            ensure!(header("content-encoding") == "gzip", "{path}: {:?}", packed.headers);
            ensure!(header("vary") == "accept-encoding" && header("etag") != tag);
            ensure!(header("content-length") == packed.body.len().to_string());
            ensure!(packed.body.len() < whole.body.len() * 7 / 10, "{path}: {}", packed.body.len());
            // What a gzip file ends with: the sum of what is in it, and its length (RFC 1952).
            let end = packed.body.len() - 8;
            let length = u32::try_from(whole.body.len())?.to_le_bytes();
            let sum = crc(&whole.body).to_le_bytes();
            ensure!(packed.body[end..] == [sum, length].concat(), "{path}: holds something else");
            let known = [("accept-encoding", "gzip"), ("if-none-match", header("etag"))];
            let known = ask(&known).await?;
            ensure!(known.status == 304 && known.header("etag") == packed.header("etag"));
        }
        ensure!(ask(&[("if-none-match", &tag)]).await?.status == 304);
        ensure!(whole.header("vary") == Some("accept-encoding"));
    }
    // A part is one of the file as it is, unless whoever asks has a part of the packed one.
    let path = paths[0].context("no scene")?;
    let ask = async |if_range: &[(&str, &str)]| {
        let headers = [&[("accept-encoding", "gzip"), ("range", "bytes=4-7")], if_range].concat();
        wire.ask("GET", path, &headers, b"").await
    };
    let part = ask(&[]).await?;
    ensure!(part.status == 206 && part.body == 2_u32.to_le_bytes(), "{:?}", part.headers);
    let tag = part.header("etag").context("a tag")?;
    ensure!(ask(&[("if-range", tag)]).await?.status == 206);
    let other = tag.replace('"', "");
    let whole = ask(&[("if-range", &format!("\"{other}-gzip\""))]).await?;
    ensure!(whole.status == 200 && whole.header("content-encoding") == Some("gzip"));
    // Pictures are packed already.
    let preview = plaza["preview"].as_str().context("no picture")?;
    let picture = wire.ask("GET", preview, &[("accept-encoding", "gzip")], b"").await?;
    ensure!(picture.header("content-encoding").is_none() && picture.body.starts_with(b"\xff\xd8"));
    Ok(())
}

async fn a_world_is_a_room_of_its_owner(ann: &Client, bob: &Client, alias: &str) -> Result<()> {
    let path = format!("/_wayside/v1/worlds/{}", alias.replace('#', "%23"));
    let world = bob.get(&path).await?;
    ensure!(world["name"] == "The Floor" && world["rating"] == "teen", "{world}");
    let room = world["room_id"].as_str().context("no room")?;
    let filter = json!({"filter": {"room_types": ["org.matrix.msc3815.world"]}});
    let public = bob.post("/_matrix/client/v3/publicRooms", &filter).await?;
    ensure!(public["chunk"].to_string().contains(room), "{public}");
    ann.post(&format!("/_matrix/client/v3/join/{room}"), &json!({})).await?;
    let name = format!("/_matrix/client/v3/rooms/{room}/state/m.room.name");
    ann.call(reqwest::Method::PUT, &name, Some(&json!({"name": "Ann's Floor"}))).await?;
    ensure!(ann.get(&path).await?["name"] == "Ann's Floor");
    bob.post(&format!("/_matrix/client/v3/join/{room}"), &json!({})).await?;
    let theirs = bob.call(reqwest::Method::PUT, &name, Some(&json!({"name": "Bob's"}))).await;
    ensure!(theirs.is_err(), "whoever rules a world is who made it");
    // However many live in it, whoever has no wish goes to the node's own first world.
    ensure!(bob.get("/_wayside/v1/node").await?["default_world"] == "#plaza:a.test");
    // The space of the node's worlds shows it.
    let space = bob.get("/_matrix/client/v3/directory/room/%23worlds:a.test").await?;
    let space = space["room_id"].as_str().context("no space")?;
    bob.post(&format!("/_matrix/client/v3/join/{space}"), &json!({})).await?;
    let child = format!("/_matrix/client/v3/rooms/{space}/state/m.space.child/{room}");
    ensure!(bob.get(&child).await?["via"] == json!(["a.test"]));
    Ok(())
}

async fn people_see_each_other(node: &Node, ann: &Client, bob: &Client, alias: &str) -> Result<()> {
    let mut near = Visit::begin(node, ann, alias).await?;
    let mut far = Visit::begin(node, bob, alias).await?;
    let entered = near.next(0x43).await?;
    ensure!(u16::from_le_bytes([entered[1], entered[2]]) == near.slot, "oneself first");
    let entered = near.next(0x43).await?;
    ensure!(u16::from_le_bytes([entered[1], entered[2]]) == far.slot);
    let text = String::from_utf8_lossy(&entered);
    ensure!(text.contains("@bob:a.test") && text.contains("/_wayside/v1/bodies/"), "{text}");
    // Bob waves, and walks a little; Ann sees both.
    far.send(&[0x05, 1]).await?;
    ensure!(near.next(0x45).await?[1..4] == [far.slot.to_le_bytes()[0], 0, 1]);
    far.says(1, [50, 0, 0]).await?;
    let told = timeout(SOON, async {
        loop {
            let snapshot = near.next(0x42).await?;
            let walks = snapshot[6..].chunks(16).any(|body| body[0] == 1 && body[2] == 1);
            if walks {
                return Ok::<_, anyhow::Error>(());
            }
        }
    });
    told.await.context("nobody saw the walk")??;
    // Through the floor nobody goes.
    far.says(1, [50, -2_000, 0]).await?;
    far.next(0x46).await?;
    // What is said in the room is shown in the world.
    let world = ann.get(&format!("/_wayside/v1/worlds/{}", alias.replace('#', "%23"))).await?;
    ensure!(world["people"] == 2 && world["names"].to_string().contains("bob"), "{world}");
    let room = wayside_tests::RoomId::known(world["room_id"].as_str().context("no room")?);
    bob.send_text(&room, "t1", "hello over there").await?;
    let event = near.next(0x49).await?;
    let event: Value = serde_json::from_slice(&event[5..])?;
    ensure!(event["content"]["body"] == "hello over there", "{event}");
    ensure!(event["sender"] == "@bob:a.test", "{event}");
    // A seat holds one.
    near.send(&[0x03, 0, 0]).await?;
    near.next(0x47).await?;
    far.send(&[0x03, 0, 0]).await?;
    ensure!(far.next(0x48).await?[1..] == [3, 1]);
    // A second visit takes the place of the first.
    let _again = Visit::begin(node, bob, alias).await?;
    ensure!(over(&mut far.socket).await? == 4);
    // Whoever speaks nonsense is shown out, and nobody else.
    near.send(b"\x99nonsense").await?;
    ensure!(over(&mut near.socket).await? == 2);
    Ok(())
}

async fn a_ticket_opens_one_visit_once(node: &Node, ann: &Client, alias: &str) -> Result<()> {
    let ticket = ticket(ann, alias).await?;
    let mut first = connect(node).await?;
    first.send(hello(&ticket)).await?;
    until(&mut first, 0x41).await?;
    let mut second = connect(node).await?;
    second.send(hello(&ticket)).await?;
    ensure!(over(&mut second).await? == 3);
    let mut made_up = connect(node).await?;
    made_up.send(hello("wvis_nonsense")).await?;
    ensure!(over(&mut made_up).await? == 3);
    let mut silent = connect(node).await?;
    silent.send(Message::Binary(vec![4].into())).await?;
    ensure!(over(&mut silent).await? == 2, "the first frame is a HELLO");
    let mut other = connect(node).await?;
    other.send(Message::Binary(vec![1, 9, 0, 0].into())).await?;
    ensure!(over(&mut other).await? == 10, "another version");
    Ok(())
}

async fn who_is_turned_out_leaves(
    node: &Node,
    ann: &Client,
    bob: &Client,
    alias: &str,
) -> Result<()> {
    let mut visit = Visit::begin(node, bob, alias).await?;
    let world = ann.get(&format!("/_wayside/v1/worlds/{}", alias.replace('#', "%23"))).await?;
    let room = world["room_id"].as_str().context("no room")?;
    let who = json!({"user_id": bob.session().user_id});
    ann.post(&format!("/_matrix/client/v3/rooms/{room}/ban"), &who).await?;
    ensure!(over(&mut visit.socket).await? == 5);
    let path = format!("/_wayside/v1/worlds/{}/visits", alias.replace('#', "%23"));
    let refused = bob.post(&path, &json!({})).await.err().context("the banned come in")?;
    ensure!(refused.errcode() == Some("M_FORBIDDEN"), "{refused}");
    Ok(())
}

async fn a_full_world_says_so(node: &Node, alias: &str) -> Result<()> {
    let mut inside = Vec::new();
    for name in ["eve", "fay", "gus"] {
        let person = Client::register(node.http(), name).await?;
        inside.push(Visit::begin(node, &person, alias).await?);
    }
    let late = Client::register(node.http(), "late").await?;
    let path = format!("/_wayside/v1/worlds/{}/visits", alias.replace('#', "%23"));
    let full = late.post(&path, &json!({})).await.err().context("there is no end of room")?;
    ensure!(full.errcode() == Some("M_LIMIT_EXCEEDED"), "{full}");
    Ok(())
}

async fn refused_scenes_are_explained(ann: &Client) -> Result<()> {
    let broken = ann.upload("model/gltf-binary", floor()[..200].to_vec()).await?;
    let wish = json!({"name": "Broken", "scene": format!("mxc://{}", broken.place())});
    let refused = ann.post("/_wayside/v1/worlds", &wish).await.err();
    let refused = refused.context("half a scene is a world")?.to_string();
    ensure!(refused.contains("report") && refused.contains("issues"), "{refused}");
    Ok(())
}

/// Frames that one client sends as fast as it can.
const FLOOD: usize = 10_000;

async fn who_floods_is_shown_out_alone(node: &Node, ann: &Client, alias: &str) -> Result<()> {
    let dan = Client::register(node.http(), "dan").await?;
    let mut floods = Visit::begin(node, &dan, alias).await?;
    let mut near = Visit::begin(node, ann, alias).await?;
    let sends = async {
        for nonce in 0..FLOOD {
            let nonce = u32::try_from(nonce).expect("a small number").to_le_bytes();
            let frame = [&[0x06][..], &nonce].concat();
            if floods.socket.feed(Message::Binary(frame.into())).await.is_err() {
                break;
            }
        }
        // The node has hung up in the middle of it, or does so now.
        let _hung_up = floods.socket.flush().await;
        match over(&mut floods.socket).await {
            Ok(reason) => ensure!(reason == 7, "shown out for {reason}"),
            // What was sent behind the end has cut the connection before its last word was read.
            Err(error) => ensure!(!format!("{error:#}").contains("waiting"), "{error:#}"),
        }
        anyhow::Ok(())
    };
    let stays_on_time = async {
        for nonce in 0..20_u8 {
            near.send(&[0x06, nonce, 0, 0, 0]).await?;
            let pong = near.next(0x4a).await?;
            ensure!(pong[1] == nonce, "{pong:?}");
        }
        anyhow::Ok(())
    };
    let (sent, stayed) = tokio::join!(sends, stays_on_time);
    sent?;
    stayed?;
    let world = ann.get(&format!("/_wayside/v1/worlds/{}", alias.replace('#', "%23"))).await?;
    ensure!(!world["names"].to_string().contains("dan"), "{world}");
    Ok(())
}

async fn a_world_whose_scene_is_gone_says_so(node: &Node, ann: &Client) -> Result<()> {
    // Every world here but the first has the same floor.
    let world = ann.get("/_wayside/v1/worlds/%23the-floor-2:a.test").await?;
    let hash = world["scene"]["sha256"].as_str().context("no scene")?;
    std::fs::remove_file(node.data().join("blobs").join(&hash[..2]).join(hash))?;
    let path = "/_wayside/v1/worlds/%23the-floor-2:a.test";
    for refused in
        [ann.get(path).await.err(), ann.post(&format!("{path}/visits"), &json!({})).await.err()]
    {
        let refused = refused.context("a world without a scene is entered")?;
        ensure!(refused.errcode() == Some("M_NOT_FOUND"), "{refused}");
        ensure!(refused.to_string().contains("scene"), "{refused}");
    }
    let listed = ann.get("/_wayside/v1/worlds").await?;
    ensure!(listed["worlds"].as_array().is_some_and(|it| it.len() == 1), "{listed}");
    Ok(())
}
