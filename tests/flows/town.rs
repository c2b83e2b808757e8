//! The harness of federation proves itself: servers of ours and of others, certificates, names, peers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout},
    try_join,
};
use wayside_tests::{
    Client, Destination, Engine, Names, PeerReply, PeerRoom, Record, RoomId, Signing, SigningKey,
    Synapse, Town, Wire, verify,
};

use crate::stage::{Deeds, Ear, VERSIONS, bodies, list, part};

/// Where servers ask each other for profiles.
const PROFILE: &str = "/_matrix/federation/v1/query/profile";

/// A Synapse of this town, or nothing where there is none on this machine.
async fn synapse(town: &Town, name: &str) -> Result<Option<Synapse>> {
    match town.synapse(name)? {
        Some(options) => Ok(Some(options.start().await?)),
        None => Ok(None),
    }
}

/// The door of a server for others, by the authority of the town.
fn door(town: &Town, to: &Destination) -> Result<Wire> {
    Wire::secure(&to.url, town.authority().pem(), "http/1.1")
}

/// The keys that a server publishes.
async fn keys_of(town: &Town, to: &Destination) -> Result<Value> {
    let answer = door(town, to)?.ask("GET", "/_matrix/key/v2/server", &[], b"").await?;
    verify(&answer.json(), &to.name, &answer.json())?;
    Ok(answer.json())
}

/// Waits until somebody hears a message.
async fn heard(ear: &mut Ear, room: &RoomId, text: &str) -> Result<()> {
    let is_said = |news: &Value| {
        let said = bodies(&list(part(news, room, "join/timeline")));
        said.contains(&text.to_owned()).then_some(())
    };
    ear.hear(is_said).await.with_context(|| format!("waiting for {text:?}"))
}

#[tokio::test]
async fn two_people_talk_on_synapse_which_keeps_what_they_said() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut server) = synapse(&town, "s").await? else { return Ok(()) };
    let ann = Client::register(server.http(), "ann").await?;
    let bob = Client::register(server.http(), "bob").await?;
    ensure!(ann.id() == format!("@ann:{}", server.server_name()), "{}", ann.id());
    let room = ann.create_room(&json!({ "preset": "public_chat" })).await?;
    bob.join(&room).await?;
    let mut ear = Ear::of(&bob).await?;
    ann.say(&room, "hello").await?;
    heard(&mut ear, &room, "hello").await?;

    // The same data, address and people after it was killed.
    server.kill().await?;
    server.restart().await?;
    let (events, _) = bob.messages(&room, None, 10).await?;
    ensure!(bodies(&events).contains(&"hello".to_owned()), "{events:?}");
    ensure!(server.log().matches("STARTING SERVER").count() == 2, "not two starts are logged");
    server.stop().await
}

#[tokio::test]
async fn two_synapses_of_a_town_federate() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let (a, b) = try_join!(synapse(&town, "s"), synapse(&town, "t"))?;
    let (Some(mut a), Some(mut b)) = (a, b) else { return Ok(()) };
    let ann = Client::register(a.http(), "ann").await?;
    let bob = Client::register(b.http(), "bob").await?;
    let room = ann.create_room(&json!({ "preset": "public_chat" })).await?;
    bob.join_through(&room, &a.server_name()).await?;
    let (mut ann_hears, mut bob_hears) = (Ear::of(&ann).await?, Ear::of(&bob).await?);
    for (who, ear, text) in [(&ann, &mut bob_hears, "to b"), (&bob, &mut ann_hears, "to a")] {
        who.say(&room, text).await?;
        heard(ear, &room, text).await?;
    }
    try_join!(a.stop(), b.stop())?;
    Ok(())
}

#[tokio::test]
async fn a_node_of_a_town_answers_others_at_its_name() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let mut node = town.server("a")?.start().await?;
    let destination = node.destination();
    ensure!(destination.url.as_str() == format!("https://{}/", destination.name));
    let door = door(&town, &destination)?;
    let version = door.ask("GET", "/_matrix/federation/v1/version", &[], b"").await?;
    ensure!(version.json()["server"]["name"] == "Wayside", "{}", version.short());
    let keys = keys_of(&town, &destination).await?;
    ensure!(keys["server_name"] == destination.name, "{keys}");
    let ann = Client::register(node.http(), "ann").await?;
    ensure!(ann.id() == format!("@ann:{}", destination.name), "{}", ann.id());

    // Nobody else's authority vouches for it, and no node of this town has its address.
    let Some(elsewhere) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let stranger = Wire::secure(&destination.url, elsewhere.authority().pem(), "http/1.1")?;
    ensure!(stranger.open().await.is_err(), "a stranger's authority is believed");
    let other = town.server("b")?;
    ensure!(other.server_name() != destination.name, "{}", other.server_name());
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_peer_and_synapse_ask_each_other() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut server) = synapse(&town, "s").await? else { return Ok(()) };
    let peer = town.peer()?.start().await?;
    let ann = Client::register(server.http(), "ann").await?;

    peer.answer(Method::GET, PROFILE, |request| {
        let asks = request.path.contains("user_id=%40pia");
        PeerReply::json(&json!({ "displayname": if asks { "Pia" } else { "nobody" } }))
    });
    let profile = ann.get(&format!("/_matrix/client/v3/profile/{}", peer.user("pia"))).await?;
    ensure!(profile["displayname"] == "Pia", "{profile}");
    let mut request = peer.request(&Method::GET, PROFILE).await?;
    let signed = request.x_matrix()?;
    ensure!(signed.origin == server.server_name(), "{signed:?}");
    ensure!(signed.destination.as_deref() == Some(peer.server_name()), "{signed:?}");
    ensure!(request.host == peer.server_name(), "{request:?}");
    let keys = keys_of(&town, &server.destination()).await?;
    signed.verify(&request, &keys)?;
    request.path.push('x');
    ensure!(signed.verify(&request, &keys).is_err(), "another path passes for signed");

    let (to, stranger) = (server.destination(), SigningKey::generate("other")?);
    let path = format!("{PROFILE}?user_id=@ann:{}", to.name);
    let answer = peer.ask(&to, Method::GET, &path, None).await?;
    ensure!(answer.json()["displayname"] == "ann", "{}", answer.short());
    let wrong = [
        Signing::Missing,
        Signing::Broken,
        Signing::By(&stranger),
        Signing::For("elsewhere.test"),
        Signing::As("elsewhere.test:1"),
    ];
    for signing in wrong {
        let answer = peer.ask_signed(&to, Method::GET, &path, None, signing).await?;
        ensure!(answer.status == 401, "{signing:?}: {}", answer.short());
    }
    let late = town.peer()?.start().await?;
    late.end_keys_at(1_000);
    let answer = late.ask(&to, Method::GET, &path, None).await?;
    ensure!(answer.status == 401, "with keys that have ended: {}", answer.short());
    server.stop().await
}

#[tokio::test]
async fn synapse_calls_nobody_whose_certificate_is_wrong() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut server) = synapse(&town, "s").await? else { return Ok(()) };
    let ann = Client::register(server.http(), "ann").await?;
    let (right, old, foreign) = (town.peer()?, town.peer()?, town.peer()?);
    let expired = town.authority().expired_leaf(&[&old.ip().to_string()])?;
    let other = town.authority().leaf(&["elsewhere.test", "127.0.0.1"])?;
    let peers = [(right, true), (old.certified(expired), false), (foreign.certified(other), false)];
    for (options, is_believed) in peers {
        let peer = options.start().await?;
        peer.answer(Method::GET, PROFILE, |_| PeerReply::json(&json!({ "displayname": "Pia" })));
        let path = format!("/_matrix/client/v3/profile/{}", peer.user("pia"));
        ensure!(ann.get(&path).await.is_ok() == is_believed, "{}", peer.server_name());
        ensure!(peer.requests().is_empty() != is_believed, "{:?}", peer.requests());
    }
    server.stop().await
}

#[tokio::test]
async fn synapse_joins_rooms_that_a_peer_has_made() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut server) = synapse(&town, "s").await? else { return Ok(()) };
    let peer = town.peer()?.start().await?;
    let (pia, to) = (peer.user("pia"), server.destination());
    let ann = Client::register(server.http(), "ann").await?;
    for version in VERSIONS {
        let room = peer.host(PeerRoom::create(&peer, version, &pia)?);
        let id = RoomId::known(room.lock().unwrap().id());
        ann.join_through(&id, peer.server_name()).await.context(version)?;
        let mut ear = Ear::of(&ann).await?;
        let content = json!({ "msgtype": "m.text", "body": version });
        let said = room.lock().unwrap().send(&pia, "m.room.message", None, &content)?;
        let answer = peer.transact(&to, &[&said], &[]).await?;
        ensure!(answer.json()["pdus"][&said.id] == json!({}), "{version}: {}", answer.short());
        heard(&mut ear, &id, version).await?;

        // The other way round: what Synapse says is signed, and lies behind what the peer said.
        let event = ann.say(&id, "back").await?;
        let pdu = peer.event(|it| it["content"]["body"] == "back" && it["room_id"] == id.as_str());
        let pdu = pdu.await?;
        ensure!(room.lock().unwrap().identify(&pdu)?.id == event, "{version}: {pdu}");
        ensure!(pdu["prev_events"] == json!([said.id]), "{version}: {pdu}");
    }
    server.stop().await
}

#[tokio::test]
async fn a_peer_answers_late_and_in_drops_and_is_away() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let (mut late, asker) = (town.peer()?.start().await?, town.peer()?.start().await?);
    let to = late.destination();
    let pause = Duration::from_millis(20);
    late.answer(Method::POST, "/slow", move |request| {
        PeerReply::bytes("text/plain", request.body.to_vec()).after(pause).dripping(1, pause)
    });
    let begun = Instant::now();
    let answer = asker.ask(&to, Method::POST, "/slow", Some(&json!([1]))).await?;
    ensure!(answer.body == b"[1]" && begun.elapsed() >= 4 * pause, "{}", answer.short());
    let came = late.request(&Method::POST, "/slow").await?;
    came.x_matrix()?.verify(&came, &keys_of(&town, &asker.destination()).await?)?;
    ensure!(asker.ask(&to, Method::GET, "/unknown", None).await?.status == 404);
    late.stop().await;
    ensure!(asker.ask(&to, Method::GET, "/unknown", None).await.is_err(), "it is not away");
    late.restart().await?;
    ensure!(asker.ask(&to, Method::GET, "/unknown", None).await?.status == 404);
    Ok(())
}

/// A question for a name, as it travels, with recursion wished for.
fn question(name: &str, kind: u8) -> Vec<u8> {
    let mut message = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("labels are short"));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, kind, 0, 1]);
    message
}

#[tokio::test]
async fn names_are_told_as_the_story_wants_them() -> Result<()> {
    const A: u8 = 1;
    const SRV: u8 = 33;
    let names = Names::open().await?;
    names.add("home.test", Record::A([127, 1, 2, 3].into()));
    names.add("www.Home.test", Record::Cname("home.test".into()));
    let target = "home.test".to_owned();
    let service = Record::Srv { priority: 10, weight: 5, port: 8448, target };
    names.add("_matrix-fed._tcp.home.test", service);
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let ask = async |name: &str, kind: u8| {
        socket.send_to(&question(name, kind), names.place()).await?;
        let mut answer = [0; 512];
        let length = timeout(Duration::from_secs(10), socket.recv(&mut answer)).await??;
        anyhow::Ok(answer[..length].to_vec())
    };
    let code = |answer: &[u8]| answer[3] % 16;
    // The same id, no error, so many answers, and the data at the end.
    let direct = ask("HOME.test", A).await?;
    ensure!(direct[..4] == [7, 9, 0x85, 0x80] && direct[7] == 1, "{direct:?}");
    ensure!(direct.ends_with(&[0, 4, 127, 1, 2, 3]), "{direct:?}");
    let alias = ask("www.home.test", A).await?;
    ensure!(alias[7] == 2 && alias.ends_with(&[0, 4, 127, 1, 2, 3]), "{alias:?}");
    let service = ask("_matrix-fed._tcp.home.test", SRV).await?;
    let data = b"\0\x11\0\x0a\0\x05\x21\x00\x04home\x04test\0";
    ensure!(service[7] == 1 && service.ends_with(data), "{service:?}");
    let (other, unknown) = (ask("home.test", SRV).await?, ask("nowhere.test", A).await?);
    ensure!(code(&other) == 0 && other[7] == 0, "{other:?}");
    ensure!(code(&unknown) == 3 && unknown[7] == 0, "{unknown:?}");

    let mut stream = TcpStream::connect(names.place()).await?;
    let message = question("home.test", A);
    stream.write_u16(u16::try_from(message.len())?).await?;
    stream.write_all(&message).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    ensure!(answer.ends_with(&[0, 4, 127, 1, 2, 3]), "{answer:?}");

    names.forget("home.test");
    ensure!(code(&ask("home.test", A).await?) == 3);
    let asked = names.asked();
    let wanted = ("_matrix-fed._tcp.home.test".to_owned(), "SRV".to_owned());
    ensure!(asked.len() == 7 && asked[2] == wanted, "{asked:?}");
    Ok(())
}
