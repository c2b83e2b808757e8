//! Coming into a room of thousands, which a server of the bench's own serves to the node and to Synapse.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use wayside_tests::{Client, Engine, Pdu, Peer, PeerReply, PeerRoom, RoomId, Town};

use super::{VERSION, come_in, synapse};
use crate::{
    ground::town,
    line::Line,
    process::peak_mb,
    rows::{Better, Row},
    seen::{at, median},
};

const MEMBERS: usize = 5_000;
/// One of so many members has changed their name since they came: the joining that this event cites is
/// in the auth chain.
const RENAMED: usize = 10;
/// Nodes that join, one after the other, and Synapses, which take longer.
const OURS: usize = 3;
const THEIRS: usize = 1;
/// Messages by which the node is warm before somebody else joins.
const WARMING: usize = 200;

/// A room of all these members, and the server whose people they are.
struct Village {
    peer: Peer,
    room: RoomId,
    /// All who are in it.
    members: usize,
}

impl Village {
    async fn found(town: &Town) -> Result<Self> {
        let peer = town.peer()?.start().await?;
        let creator = peer.user("creator");
        let mut room = PeerRoom::create(&peer, VERSION, &creator)?;
        room.send(&creator, "m.room.name", Some(""), &json!({ "name": "Village" }))?;
        let shared = json!({ "history_visibility": "shared" });
        room.send(&creator, "m.room.history_visibility", Some(""), &shared)?;
        for number in 1..MEMBERS {
            let user = peer.user(&format!("villager{number}"));
            let mut content = json!({ "membership": "join", "displayname": format!("{number}") });
            room.send(&user, "m.room.member", Some(&user), &content)?;
            if number.is_multiple_of(RENAMED) {
                content["displayname"] = json!(format!("Villager {number}"));
                room.send(&user, "m.room.member", Some(&user), &content)?;
            }
        }
        let id = RoomId::known(room.id());
        // Written once: whoever joins is told the same, and nobody waits until it is written again.
        let texts = |events: Vec<&Pdu>| {
            Value::Array(events.into_iter().map(|event| event.json.clone()).collect()).to_string()
        };
        let (state, chain) = (texts(room.state()), texts(room.auth_chain()));
        let origin = peer.server_name().to_owned();
        drop(peer.host(room));
        let door = format!("/_matrix/federation/v2/send_join/{id}/");
        peer.answer(Method::PUT, &door, move |request| {
            let event = String::from_utf8_lossy(&request.body);
            let told = format!(
                r#"{{"origin":"{origin}","state":{state},"auth_chain":{chain},"event":{event},"members_omitted":false}}"#
            );
            PeerReply::bytes("application/json", told.into_bytes())
        });
        Ok(Self { peer, room: id, members: MEMBERS + 1 })
    }

    async fn joined_by(&self, base: &Url) -> Result<Duration> {
        let ann = Client::register(base, "ann").await?;
        come_in((base, &ann), &self.room, self.peer.server_name(), self.members).await
    }
}

/// How a node did into which nobody else came meanwhile, or in which somebody talked all the time.
struct Joined {
    took_s: f64,
    peak_mb: f64,
    sent: Vec<Duration>,
}

/// Lets somebody of a new node join, while somebody else of it talks in another room if they are to.
async fn join_here(town: &Town, name: &str, village: &Village, talks: bool) -> Result<Joined> {
    let mut node = town.server(name)?.start().await?;
    let pid = node.pid().context("the node has ended by itself")?;
    let bob = Client::register(node.http(), "bob").await?;
    let room = bob.create_room(&json!({ "preset": "public_chat" })).await?;
    let mut line = Line::open(node.http(), bob.session().token()).await?;
    let is_over = Arc::new(AtomicBool::new(!talks));
    let over = Arc::clone(&is_over);
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message");
    let body = r#"{"msgtype":"m.text","body":"meanwhile"}"#;
    for number in 0..WARMING {
        line.ask("PUT", &format!("{path}/w{number}"), body).await?;
    }
    let talk = tokio::spawn(async move {
        let mut sent = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            line.ask("PUT", &format!("{path}/n{}", sent.len()), body).await?;
            sent.push(begun.elapsed());
        }
        anyhow::Ok(sent)
    });
    let took = village.joined_by(node.http()).await;
    is_over.store(true, Ordering::Relaxed);
    let mut sent = talk.await??;
    sent.sort_unstable();
    let joined = Joined { took_s: took?.as_secs_f64(), peak_mb: peak_mb(pid)?, sent };
    node.stop().await?;
    Ok(joined)
}

/// A new node and a new Synapse, both on SQLite and on the same disk, in turn.
pub(crate) async fn large_join() -> Result<Vec<Row>> {
    let town = town(Engine::Sqlite)?;
    eprintln!("  laying out a room of {MEMBERS}");
    let village = Village::found(&town).await?;
    let (mut took, mut peak) = (Vec::new(), Vec::new());
    for run in 0..OURS {
        let joined = join_here(&town, &format!("a{run}"), &village, false).await?;
        eprintln!("  joined in {:.2} s", joined.took_s);
        took.push(joined.took_s);
        peak.push(joined.peak_mb);
    }
    let beside = join_here(&town, "b", &village, true).await?;
    let (mut their_took, mut their_peak) = (Vec::new(), Vec::new());
    for run in 0..THEIRS {
        let mut synapse = synapse(&town, &format!("s{run}")).await?;
        let pid = synapse.pid().context("Synapse has ended by itself")?;
        let joined = village.joined_by(synapse.http()).await?.as_secs_f64();
        eprintln!("  Synapse joined in {joined:.2} s");
        their_took.push(joined);
        their_peak.push(peak_mb(pid)?);
        synapse.stop().await?;
    }
    let (took, their_took) = (median(took), median(their_took));
    let row = |name: &str, value: f64, unit: &str| Row::new(name, value, unit, Better::Lower);
    Ok(vec![
        row("federation.join_5000_ratio", took / their_took, "x").limit(0.2).note(format!(
            "{took:.2} s beside Synapse's {their_took:.2}; median of {OURS} new nodes"
        )),
        row("federation.join_5000_s", took, "s").note(format!(
            "version {VERSION}, all members of one server; from the request until all are listed and a message is accepted"
        )),
        row("federation.join_5000_synapse_s", their_took, "s")
            .note("a new Synapse, told the same whole state"),
        row("federation.join_5000_rss_mb", median(peak), "MB").note("the peak of the node"),
        row("federation.join_5000_synapse_rss_mb", median(their_peak), "MB")
            .note("the peak of Synapse"),
        row("federation.join_5000_local_send_p99_ms", at(&beside.sent, 0.99), "ms")
            .limit(50.0)
            .note(format!(
                "of {} messages, one after the other, that somebody else sends during a join of {:.2} s",
                beside.sent.len(),
                beside.took_s
            )),
    ])
}
