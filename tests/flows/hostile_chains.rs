//! Servers that answer without an end: auth chains as deep as may be, ids that lead to others, answers in drops.

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{Client, Engine, Pdu, Peer, PeerReply, PeerRoom, RoomId, Town, peak_bytes};

use crate::{
    abroad::{Abroad, times, words},
    clients::is_long_round,
    hostile_servers::Guest,
    shared_rooms::state,
    stage::{Deeds, VERSIONS, bodies, comes_true},
};

const SEND_JOIN: &str = "/_matrix/federation/v2/send_join/";
/// Joinings of one person of which each cites the one before; and so many that they take a third of what an
/// answer may hold.
const DEEP: usize = 8_000;
const DEEPEST: usize = 120_000;
/// So many bytes of an answer's body are read by a peer, which takes in a little more with the head.
const READ: usize = 63 * 1024 * 1024;
/// Ids of a state of which nobody has ever heard, and as many as an answer may hold.
const IDS: usize = 100_000;
const MOST_IDS: usize = 1_300_000;
/// Whoever speaks meanwhile waits no longer than this, where both cores have much to do.
const UNDISTURBED: Duration = Duration::from_secs(3);
/// Events that are asked for at once where some are missing.
const ASKED: usize = 20;
/// Memory that such answers may take: a few times their size.
const MEMORY: u64 = 1_000 * 1024 * 1024;

/// A thing that is done, and how long at most it took somebody else meanwhile to say something.
async fn beside<T>(
    who: &Client,
    room: &RoomId,
    deed: impl Future<Output = Result<T>>,
) -> Result<(T, Duration)> {
    let done = Cell::new(false);
    let deed = async {
        let outcome = deed.await;
        done.set(true);
        outcome
    };
    let speaking = async {
        let mut longest = Duration::ZERO;
        while !done.get() {
            let begun = Instant::now();
            who.say(room, "meanwhile").await?;
            longest = longest.max(begun.elapsed());
        }
        Ok(longest)
    };
    let (outcome, longest): (Result<T>, Result<Duration>) = tokio::join!(deed, speaking);
    Ok((outcome?, longest?))
}

/// Somebody else of the node, who speaks in a room of their own meanwhile.
async fn other(abroad: &Abroad) -> Result<(Client, RoomId)> {
    let bob = Client::register(abroad.node.http(), "bob").await?;
    let room = bob.create_room(&json!({ "preset": "public_chat" })).await?;
    Ok((bob, room))
}

fn peak(abroad: &Abroad) -> Result<u64> {
    peak_bytes(abroad.node.pid().context("the node runs")?)
}

/// A room whose owner has come in again and again is come into, spoken in, told to others, and its
/// branches are joined; nobody else notices.
// With threads of its own: making such an answer takes the host a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_as_deep_as_an_answer_is_walked() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let abroad = Abroad::begin_in(town, |options| options).await?;
    let (bob, own) = other(&abroad).await?;
    let host = abroad.town.peer()?.start().await?;
    let mallory = host.user("mallory");
    let room = PeerRoom::create(&host, "12", &mallory)?;
    let first = room.state()[1].id.clone();
    let deep = if is_long_round() { DEEPEST } else { DEEP };
    let begun = Instant::now();
    let chain = room.joinings(&mallory, &first, deep)?;
    eprintln!("{deep} joinings were made in {:?}", begun.elapsed());
    let last = chain.last().context("a chain")?.clone();
    let hosted = host.host(room.clone());
    host.answer(Method::PUT, &format!("{SEND_JOIN}{}/", room.id()), move |request| {
        match room.told_with(&request.json(), &chain) {
            Ok(told) => PeerReply::bytes("application/json", told.into_bytes()),
            Err(error) => PeerReply::refusal(500, "M_UNKNOWN", &error.to_string()),
        }
    });
    let here = {
        let room = hosted.lock().map_err(|_| anyhow::anyhow!("the host failed"))?;
        RoomId::known(room.id())
    };
    let before = peak(&abroad)?;
    let begun = Instant::now();
    let ann = abroad.ann.clone().patient(Duration::from_mins(10))?;
    let comes = ann.join_through(&here, host.server_name());
    let ((), waited) = beside(&bob, &own, comes).await?;
    eprintln!("come in within {:?}; others waited {waited:?}", begun.elapsed());
    ensure!(waited < UNDISTURBED, "others waited {waited:?}");
    let member = state(&abroad.ann, &here, &format!("m.room.member/{mallory}")).await?;
    ensure!(member.is_some_and(|it| it["membership"] == "join"), "the newest joining is not there");
    abroad.ann.say(&here, "heard").await?;
    let heard = host.event(|it| it["content"]["body"] == "heard").await?;

    told_on(&abroad, (&bob, &own), &here, deep).await?;
    let after = peak(&abroad)?;
    eprintln!("memory at most {} MiB, before {} MiB", after >> 20, before >> 20);
    ensure!(after < MEMORY, "{after} bytes");
    // Version 12 looks at whole chains where branches differ (state resolution 2.1), so that this takes as
    // long as the chain is deep; it is not done with the deepest.
    if deep == DEEP {
        let mut told = hosted.lock().map_err(|_| anyhow::anyhow!("the host failed"))?.clone();
        let (id, text) = last;
        told.add(Pdu { id, json: serde_json::from_str(&text)? });
        let heard = told.identify(&heard)?;
        told.add(heard);
        branches(&abroad, (&bob, &own), (&host, &told)).await?;
    }
    abroad.end().await
}

/// Two branches that say different things rest on all of the chain.
async fn branches(
    abroad: &Abroad,
    (bob, own): (&Client, &RoomId),
    (host, told): (&Peer, &PeerRoom),
) -> Result<()> {
    let mallory = host.user("mallory");
    let topic = |n: u8| {
        told.draft(&mallory, "m.room.topic", Some(""), &json!({ "topic": n.to_string() }))
            .and_then(|draft| told.seal(&draft))
    };
    let (one, two) = (topic(1)?, topic(2)?);
    let begun = Instant::now();
    let (to, both) = (abroad.node.destination(), [&one, &two]);
    let sent = host.transact(&to, &both, &[]);
    let (answer, waited) = beside(bob, own, sent).await?;
    eprintln!("branches joined within {:?}; others waited {waited:?}", begun.elapsed());
    let stand = |event: &Pdu| answer.json()["pdus"][&event.id] == json!({});
    ensure!(stand(&one) && stand(&two), "{}", answer.short());
    ensure!(waited < UNDISTURBED, "others waited {waited:?}");
    let topic = state(&abroad.ann, &RoomId::known(told.id()), "m.room.topic/").await?;
    ensure!(topic.is_some(), "neither topic stands");
    Ok(())
}

/// Who comes in by way of the node is told the whole chain.
async fn told_on(
    abroad: &Abroad,
    (bob, own): (&Client, &RoomId),
    room: &RoomId,
    deep: usize,
) -> Result<()> {
    let begun = Instant::now();
    let (to, second) = (abroad.node.destination(), abroad.town.peer()?.start().await?);
    let user = second.user("eve");
    let comes = async {
        let path = format!("/_matrix/federation/v1/make_join/{room}/{user}?ver=12");
        let made = second.ask(&to, Method::GET, &path, None).await?;
        ensure!(made.status == 200, "{}", made.short());
        let empty = PeerRoom::told(&second, "12", room.as_str(), Vec::new())?;
        let join = empty.seal(&made.json()["event"])?;
        let path = format!("{SEND_JOIN}{room}/{}", join.id);
        second.ask(&to, Method::PUT, &path, Some(&join.json)).await
    };
    let (joined, waited) = beside(bob, own, comes).await?;
    eprintln!("told on within {:?}; others waited {waited:?}", begun.elapsed());
    ensure!(joined.status == 200, "{}", joined.short());
    ensure!(waited < UNDISTURBED, "others waited {waited:?}");
    let length = joined.json()["auth_chain"].as_array().map_or(0, Vec::len);
    // Of the deepest, a peer reads the beginning.
    let is_read = length >= deep || joined.body.len() >= READ;
    ensure!(is_read, "{length} of {deep} events are told in {} bytes", joined.body.len());
    Ok(())
}

/// An event that rests on one that rests on one, without an end, is asked after for a while only.
async fn endless_citations(abroad: &Abroad, room: &RoomId, guest: &Guest) -> Result<()> {
    let never = "$neverheardofneverheardofneverheardofneverhea";
    let chain = guest.room.joinings(&guest.mallory, never, 400)?;
    let (id, text) = chain.last().context("a chain")?.clone();
    let last = Pdu { id, json: serde_json::from_str(&text)? };
    let all: Vec<(String, Value)> = chain
        .into_iter()
        .map(|(id, text)| Ok((id, serde_json::from_str(&text)?)))
        .collect::<Result<_>>()?;
    let all = Arc::new(all);
    let one = "/_matrix/federation/v1/event/";
    let told = all.clone();
    guest.peer.answer(Method::GET, one, move |request| {
        let target = request.target();
        match told.iter().find(|(id, _)| target.ends_with(id.as_str())) {
            Some((_, event)) => PeerReply::json(&json!({ "pdus": [event] })),
            None => PeerReply::refusal(404, "M_NOT_FOUND", "no such event"),
        }
    });
    let missed = "/_matrix/federation/v1/get_missing_events/";
    guest.peer.answer(Method::POST, missed, move |request| {
        let latest = request.json()["latest_events"][0].clone();
        let at = all.iter().position(|(id, _)| latest == id.as_str()).unwrap_or(0);
        let before: Vec<&Value> = all[at.saturating_sub(20)..at].iter().map(|it| &it.1).collect();
        PeerReply::json(&json!({ "events": before }))
    });
    let begun = Instant::now();
    let answer = guest.peer.transact(&guest.to, &[&last], &[]).await?;
    ensure!(answer.json()["pdus"][&last.id]["error"].is_string(), "{}", answer.short());
    ensure!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let (ones, lists) = (times(&guest.peer, one), times(&guest.peer, missed));
    ensure!((1..=3).contains(&lists), "asked {lists} times for what is missing");
    ensure!(ones <= 3 * 20 + 3 * 30, "asked for {ones} single events");
    abroad.ann.say(room, "all is well").await?;
    Ok(())
}

/// A state that consists of events nobody has ever heard of is not one, however many they are.
async fn endless_states(abroad: &Abroad, room: &RoomId, guest: &mut Guest) -> Result<()> {
    let (bob, own) = other(abroad).await?;
    let mallory = guest.mallory.clone();
    guest.room.send(&mallory, "m.room.message", None, &json!({ "body": "lost" }))?;
    let behind = guest.room.send(&mallory, "m.room.message", None, &json!({ "body": "behind" }))?;
    let many = if is_long_round() { MOST_IDS } else { IDS };
    let ids: Vec<String> = (0..many).map(|n| format!("${n:043}")).collect();
    let ids = json!({ "pdu_ids": ids, "auth_chain_ids": [] }).to_string();
    let path = "/_matrix/federation/v1/state_ids/";
    guest.peer.answer(Method::POST, "/_matrix/federation/v1/get_missing_events/", |_| {
        PeerReply::json(&json!({ "events": [] }))
    });
    guest.peer.answer(Method::GET, path, move |_| {
        PeerReply::bytes("application/json", ids.clone().into_bytes())
    });
    let before = times(&guest.peer, path);
    let begun = Instant::now();
    let told = [&behind];
    let sent = guest.peer.transact(&guest.to, &told, &[]);
    let (answer, waited) = beside(&bob, &own, sent).await?;
    eprintln!("{many} ids: answered in {:?}; others waited {waited:?}", begun.elapsed());
    ensure!(answer.json()["pdus"][&behind.id]["error"].is_string(), "{}", answer.short());
    ensure!(waited < UNDISTURBED, "others waited {waited:?}");
    let asked = times(&guest.peer, path) - before;
    ensure!(asked == 1, "asked {asked} times");
    abroad.ann.say(room, "all is well").await?;
    let after = peak(abroad)?;
    eprintln!("memory at most {} MiB", after >> 20);
    ensure!(after < MEMORY, "{after} bytes");
    Ok(())
}

#[tokio::test]
async fn what_leads_on_without_an_end_is_left() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let abroad = Abroad::begin_in(town, |options| options).await?;
    let room = abroad.ann.create_room(&json!({ "preset": "public_chat" })).await?;
    let peer = abroad.town.peer()?.start().await?;
    let mut guest = Guest::come(peer, &abroad.node, room.as_str(), "12").await?;
    endless_citations(&abroad, &room, &guest).await.context("citations")?;
    endless_states(&abroad, &room, &mut guest).await.context("states")?;
    abroad.end().await
}

/// What a server tells of what was missed is taken as far as it was asked for: what is good of that lands,
/// and nothing else.
async fn fillings(abroad: &Abroad, version: &str) -> Result<()> {
    let request = json!({ "preset": "public_chat", "room_version": version });
    let room = abroad.ann.create_room(&request).await?;
    let peer = abroad.town.peer()?.start().await?;
    let mut guest = Guest::come(peer, &abroad.node, room.as_str(), version).await?;
    let mallory = guest.mallory.clone();
    let says = |room: &PeerRoom, text: &str| {
        room.draft(&mallory, "m.room.message", None, &json!({ "body": text }))
    };
    let mut foreign = PeerRoom::create(&guest.peer, version, &mallory)?;
    let first = foreign.seal(&says(&foreign, "of another room")?)?;
    foreign.add(first);
    let mut unsigned = guest.room.seal(&says(&guest.room, "unsigned")?)?.json;
    unsigned["signatures"] = json!({});
    let mut loose = says(&guest.room, "behind another room")?;
    loose["prev_events"] = json!([foreign.events()[0].id]);
    let loose = guest.room.seal(&loose)?.json;
    let mut told: Vec<Value> = foreign.events().iter().map(|it| it.json.clone()).collect();
    told.extend([json!(7), unsigned, loose]);
    let mut beyond = Vec::new();
    for number in 0..10 {
        let event = says(&guest.room, &format!("beyond {number}"))?;
        beyond.push(guest.room.seal(&event)?.json);
    }
    let mut wanted = vec!["behind".to_owned()];
    for number in told.len()..ASKED {
        let text = format!("lost {number}");
        let event = guest.room.seal(&says(&guest.room, &text)?)?;
        told.push(event.json.clone());
        guest.room.add(event);
        wanted.push(text);
    }
    told.extend(beyond);
    let behind = guest.room.seal(&says(&guest.room, "behind")?)?;
    let missed = "/_matrix/federation/v1/get_missing_events/";
    let told = json!({ "events": told });
    guest.peer.answer(Method::POST, missed, move |_| PeerReply::json(&told));
    let answer = guest.peer.transact(&guest.to, &[&behind], &[]).await?;
    ensure!(answer.json()["pdus"][&behind.id] == json!({}), "{}", answer.short());
    let asked = guest.peer.request(&Method::POST, missed).await?.json();
    ensure!(asked["limit"] == ASKED, "{asked}");
    let (events, _) = abroad.ann.messages(&room, None, 100).await?;
    let mut seen = bodies(&events);
    seen.sort_unstable();
    wanted.sort_unstable();
    ensure!(seen == wanted, "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn what_was_missed_is_no_more_than_what_was_asked_for() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let abroad = Abroad::begin_in(town, |options| options).await?;
    for version in VERSIONS {
        fillings(&abroad, version).await.with_context(|| format!("version {version}"))?;
    }
    abroad.end().await
}

/// A way not to answer who wants to come in.
type Slowness = fn(PeerReply) -> PeerReply;

/// Answers that are begun and not brought to an end.
const SLOW: [(&str, Slowness); 3] = [
    ("byte by byte", |told| told.dripping(1, Duration::from_millis(200))),
    ("headers and nothing", |told| told.dripping(1, Duration::from_hours(1))),
    ("the first part", |told| told.dripping(900, Duration::from_secs(8))),
];

/// A server that lets somebody into its room in this way, and another that does so as it should.
struct Doors {
    slow: Peer,
    good: Peer,
    room: RoomId,
}

impl Doors {
    async fn open(abroad: &Abroad, slowness: Slowness) -> Result<Self> {
        let (slow, good) = (abroad.town.peer()?.start().await?, abroad.town.peer()?.start().await?);
        let room = PeerRoom::create(&slow, "12", &slow.user("mallory"))?;
        let events: Vec<Value> = room.events().iter().map(|it| it.json.clone()).collect();
        let _hosted = slow.host(room.clone());
        let _other = good.host(PeerRoom::told(&good, "12", room.id(), events)?);
        let here = RoomId::known(room.id());
        slow.answer(Method::PUT, &format!("{SEND_JOIN}{here}/"), move |request| {
            match room.told_with(&request.json(), &[]) {
                Ok(told) => slowness(PeerReply::bytes("application/json", told.into_bytes())),
                Err(error) => PeerReply::refusal(500, "M_UNKNOWN", &error.to_string()),
            }
        });
        Ok(Self { slow, good, room: here })
    }

    fn path(&self, by: &[&Peer]) -> String {
        let via: Vec<String> = by.iter().map(|it| format!("via={}", it.server_name())).collect();
        format!("/_matrix/client/v3/join/{}?{}", self.room, via.join("&"))
    }

    /// The first who comes names both servers; who names the good one alone does not wait for them.
    async fn through(&self, (first, second): (&Client, &Client), what: &str) -> Result<()> {
        let begun = Instant::now();
        let comes = async {
            first.post(&self.path(&[&self.slow, &self.good]), &json!({})).await?;
            Ok::<_, anyhow::Error>(begun.elapsed())
        };
        let other = async {
            self.slow.request(&Method::PUT, SEND_JOIN).await?;
            second.post(&self.path(&[&self.good]), &json!({})).await?;
            Ok(begun.elapsed())
        };
        let (comes, other) = tokio::try_join!(comes, other).with_context(|| what.to_owned())?;
        eprintln!("{what}: in after {comes:?}, the other after {other:?}");
        ensure!(comes < Duration::from_secs(30), "{what}: in after {comes:?}");
        ensure!(other < Duration::from_secs(6), "{what}: the other waited {other:?}");
        first.say(&self.room, "first").await?;
        self.slow.event(|it| it["content"]["body"] == "first").await?;
        Ok(())
    }

    /// Where there is no other server, it is said why nobody comes in.
    async fn nowhere(&self, who: &Client, what: &str, within: Duration) -> Result<()> {
        let begun = Instant::now();
        let who = who.clone().patient(within)?;
        let (status, said) = words(who.post(&self.path(&[&self.slow]), &json!({})).await)?;
        ensure!(begun.elapsed() < within, "{what}: told after {:?}", begun.elapsed());
        ensure!(status == 502 && said.contains(self.slow.server_name()), "{what}: {status} {said}");
        Ok(())
    }
}

#[tokio::test]
async fn who_lets_in_slowly_keeps_nobody_waiting() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let abroad = Abroad::begin_in(town, |options| options).await?;
    let bob = Client::register(abroad.node.http(), "bob").await?;
    let within = Duration::from_secs(25);
    let [drops, nothing, part] = SLOW;
    let both = (&abroad.ann, &bob);
    let through = async |(what, slowness): (&str, Slowness)| {
        Doors::open(&abroad, slowness).await?.through(both, what).await
    };
    let nowhere = async |(what, slowness): (&str, Slowness)| {
        Doors::open(&abroad, slowness).await?.nowhere(&abroad.ann, what, within).await
    };
    tokio::try_join!(
        through(drops),
        through(nothing),
        through(part),
        nowhere(drops),
        nowhere(nothing),
        nowhere(part)
    )?;
    if is_long_round() {
        let never: Slowness = |told| told.after(Duration::from_hours(1));
        let minute = Duration::from_secs(75);
        Doors::open(&abroad, never).await?.nowhere(&abroad.ann, "silence", minute).await?;
    }
    let node = abroad.node.log();
    if let Some(line) = node.lines().find(|it| it.contains("overflow")) {
        bail!("{line}");
    }
    comes_true("they are still answered", async || {
        Ok(bob.get("/_matrix/client/v3/account/whoami").await.is_ok())
    })
    .await?;
    abroad.end().await
}
