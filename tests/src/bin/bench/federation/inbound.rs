//! How fast events of another server are taken in: a replayed stream of transactions.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use wayside_tests::{Client, Destination, Engine, Pdu, Peer, PeerRoom, RoomId, Signing, Town};

use super::{VERSION, synapse};
use crate::{
    ground::town,
    line::Line,
    process::cpu_ms,
    rows::{Better, Row},
    seen::median,
};

const RUNS: usize = 3;
/// People of the peer who speak in its room.
const SPEAKERS: usize = 20;
/// Events of a transaction: as many as there may be.
const PDUS: usize = 50;
/// One of so many events is state; the others are messages.
const STATE_EVERY: usize = 25;
/// Transactions by which a server is warm.
const WARMING: usize = 2;
/// Transactions of one run to the node, and of one to Synapse, which takes as long for fewer.
const OURS: usize = 40;
const THEIRS: usize = 10;
/// Servers that send at the same time, each into a room of its own, and their transactions.
const AT_ONCE: usize = 4;
const EACH: usize = 20;
/// How often it is asked whether an event has come that was acknowledged before it was taken in.
const LOOK: Duration = Duration::from_millis(50);
/// The longest that a server may take to take a transaction in.
const LIMIT: Duration = Duration::from_mins(1);

/// A transaction as it goes out: made and signed before anything is measured.
struct Transaction {
    target: String,
    authorization: String,
    body: Bytes,
    /// The id of its last event.
    last: String,
}

/// A room of a peer's, somebody of the measured server in it, and what is to be said there.
struct Stream {
    peer: Peer,
    to: Destination,
    base: Url,
    room: RoomId,
    listener: Client,
    transactions: VecDeque<Transaction>,
}

impl Stream {
    async fn open(
        town: &Town,
        (to, base): (&Destination, &Url),
        name: &str,
        transactions: usize,
    ) -> Result<Self> {
        let peer = town.peer()?.start().await?;
        let creator = peer.user("creator");
        let mut room = PeerRoom::create(&peer, VERSION, &creator)?;
        for number in 0..SPEAKERS {
            let speaker = peer.user(&format!("speaker{number}"));
            let join = json!({ "membership": "join", "displayname": format!("Speaker {number}") });
            room.send(&speaker, "m.room.member", Some(&speaker), &join)?;
        }
        let room = peer.host(room);
        let id = RoomId::known(room.lock().expect("nobody has panicked").id());
        let listener = Client::register(base, name).await?;
        listener.join_through(&id, peer.server_name()).await?;
        let mut after = room.lock().expect("nobody has panicked").clone();
        let mut made = VecDeque::new();
        for number in 0..transactions {
            made.push_back(Transaction::make(&peer, to, &mut after, number)?);
        }
        let (to, base) = (to.clone(), base.clone());
        Ok(Self { peer, to, base, room: id, listener, transactions: made })
    }

    /// Sends as many transactions, one after the other, and waits until all is taken in: events that
    /// are taken in in a second.
    ///
    /// A server may acknowledge first and take in later, as Synapse does. It is not given more than
    /// the transaction after the one that it is at: what runs further ahead it drops and fetches anew.
    async fn run(&mut self, transactions: usize) -> Result<f64> {
        // Those of a run before may have been ended, for nobody has used them for long.
        let mut line = Line::between(&self.peer, &self.to).await?;
        let mut eye = Line::open(&self.base, self.listener.session().token()).await?;
        let begun = Instant::now();
        let mut before = None;
        for _ in 0..transactions {
            let one = self.transactions.pop_front().context("the stream is too short")?;
            let Transaction { target, authorization, body, last } = one;
            let answer = line.ask_as(&authorization, "PUT", &target, body).await?;
            all_taken(&answer)?;
            if let Some(before) = before.replace(last) {
                self.wait_for(&mut eye, &before).await?;
            }
        }
        if let Some(last) = before {
            self.wait_for(&mut eye, &last).await?;
        }
        let took = begun.elapsed().as_secs_f64();
        let asked_back = self.peer.requests().iter().any(|it| it.method == Method::POST);
        ensure!(!asked_back, "the server has asked back for events that it was given");
        Ok(count(transactions) / took)
    }

    async fn wait_for(&self, eye: &mut Line, event: &str) -> Result<()> {
        let target = format!("/_matrix/client/v3/rooms/{}/event/{event}", self.room);
        let wait = async {
            while !eye.has(&target).await? {
                sleep(LOOK).await;
            }
            anyhow::Ok(())
        };
        timeout(LIMIT, wait).await.with_context(|| format!("{event} is not there"))?
    }
}

impl Transaction {
    fn make(peer: &Peer, to: &Destination, room: &mut PeerRoom, number: usize) -> Result<Self> {
        let events = (0..PDUS).map(|place| event(peer, room, number * PDUS + place));
        let events: Vec<Pdu> = events.collect::<Result<_>>()?;
        let last = events.last().context("an event")?.id.clone();
        let pdus: Vec<Value> = events.into_iter().map(|event| event.json).collect();
        let content = json!({
            "origin": peer.server_name(), "origin_server_ts": number, "pdus": pdus, "edus": [],
        });
        let target = format!("/_matrix/federation/v1/send/bench{number}");
        let signed =
            peer.authorization(to, &Method::PUT, &target, Some(&content), Signing::Right)?;
        let authorization = signed.context("a signature")?;
        Ok(Self { target, authorization, body: content.to_string().into(), last })
    }
}

/// An event of the stream: mostly a message, now and then a topic, a name or a change of a profile.
fn event(peer: &Peer, room: &mut PeerRoom, number: usize) -> Result<Pdu> {
    let (creator, speaker) =
        (peer.user("creator"), peer.user(&format!("speaker{}", number % SPEAKERS)));
    if !number.is_multiple_of(STATE_EVERY) {
        let body = format!("Message {number}: good evening, everybody on the plaza.");
        let content = json!({ "msgtype": "m.text", "body": body });
        return room.send(&speaker, "m.room.message", None, &content);
    }
    match number / STATE_EVERY % 3 {
        0 => {
            let topic = json!({ "topic": format!("Topic {number}") });
            room.send(&creator, "m.room.topic", Some(""), &topic)
        }
        1 => {
            let name = json!({ "name": format!("Name {number}") });
            room.send(&creator, "m.room.name", Some(""), &name)
        }
        _ => {
            let name = format!("Speaker since {number}");
            let content = json!({ "membership": "join", "displayname": name });
            room.send(&speaker, "m.room.member", Some(&speaker), &content)
        }
    }
}

/// Checks that no event of a transaction was refused.
fn all_taken(answer: &[u8]) -> Result<()> {
    let answer: Value = serde_json::from_slice(answer)?;
    let results = answer["pdus"].as_object().context("no results of events")?;
    let refused = results.iter().find(|(_, result)| result.get("error").is_some());
    ensure!(refused.is_none(), "an event of the stream is refused: {refused:?}");
    ensure!(results.len() == PDUS, "{} results of {PDUS} events", results.len());
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 events")]
fn count(transactions: usize) -> f64 {
    (transactions * PDUS) as f64
}

/// The node and Synapse, both on SQLite and on the same disk, in turn.
pub(crate) async fn inbound() -> Result<Vec<Row>> {
    let town = town(Engine::Sqlite)?;
    let mut synapse = synapse(&town, "s").await?;
    let mut node = town.server("a")?.start().await?;
    let pid = node.pid().context("the node has ended by itself")?;
    let (to, them) = (node.destination(), synapse.destination());
    let mut ours = Stream::open(&town, (&to, node.http()), "ann", WARMING + RUNS * OURS).await?;
    let mut theirs =
        Stream::open(&town, (&them, synapse.http()), "ann", WARMING + RUNS * THEIRS).await?;
    ours.run(WARMING).await?;
    theirs.run(WARMING).await?;
    let (mut rates, mut their_rates, mut ratios, mut cpu) = (vec![], vec![], vec![], vec![]);
    for run in 0..RUNS {
        let before = cpu_ms(pid)?;
        let rate = ours.run(OURS).await?;
        cpu.push((cpu_ms(pid)? - before) * 1_000.0 / count(OURS));
        let their_rate = theirs.run(THEIRS).await?;
        eprintln!("  run {} of {RUNS}: {rate:.0} events/s beside {their_rate:.0}", run + 1);
        rates.push(rate);
        their_rates.push(their_rate);
        ratios.push(rate / their_rate);
    }
    let many = at_once(&town, &to, node.http()).await?;
    synapse.stop().await?;
    node.stop().await?;
    let (rate, their_rate) = (median(rates), median(their_rates));
    let (lower, higher) = (Better::Lower, Better::Higher);
    Ok(vec![
        Row::new("federation.inbound_ratio", median(ratios), "x", higher).limit(15.0).note(format!(
            "{rate:.0} events/s beside Synapse's {their_rate:.0}; median of {RUNS} alternating runs"
        )),
        Row::new("federation.inbound_per_s", rate, "1/s", higher).note(format!(
            "transactions of {PDUS}, one after the other, by TLS; a room of version {VERSION}; one of {STATE_EVERY} events is state"
        )),
        Row::new("federation.inbound_synapse_per_s", their_rate, "1/s", higher)
            .note("the same stream, until its events can be read"),
        Row::new("federation.inbound_cpu_us", median(cpu), "us", lower)
            .note("CPU of the node for an event"),
        Row::new("federation.inbound_many_per_s", many, "1/s", higher)
            .note(format!("{AT_ONCE} servers at the same time, each into a room of its own")),
    ])
}

/// Events that the node takes in in a second from several servers at the same time.
async fn at_once(town: &Town, to: &Destination, base: &Url) -> Result<f64> {
    let mut streams = Vec::new();
    for number in 0..AT_ONCE {
        let name = format!("listener{number}");
        let mut stream = Stream::open(town, (to, base), &name, WARMING + EACH).await?;
        stream.run(WARMING).await?;
        streams.push(stream);
    }
    let begun = Instant::now();
    let mut sending = JoinSet::new();
    for mut stream in streams {
        sending.spawn(async move { stream.run(EACH).await });
    }
    while let Some(done) = sending.join_next().await {
        done??;
    }
    Ok(count(AT_ONCE * EACH) / begun.elapsed().as_secs_f64())
}
