//! A node asks servers that answer late, too much, nonsense or not at all, and nobody else waits for them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wayside_tests::{Address, CallError, Client, Peer, PeerReply};

use crate::{
    abroad::{Abroad, PROFILE, times, words},
    stage::{comes_true, escaped},
};

/// Questions to one server at the same time.
const AT_ONCE: usize = 16;
/// Far longer than any question waits.
const NEVER: Duration = Duration::from_mins(10);
/// What a profile may take that nobody holds up, on a machine with other work.
const QUICK: Duration = Duration::from_secs(5);

/// What a server answers when it is asked for a profile, and what a client is told then.
struct Answer {
    what: &'static str,
    reply: fn() -> PeerReply,
    status: u16,
    words: &'static str,
    /// For how long the server is left alone then, in milliseconds; 0 for not at all.
    paused_ms: u64,
}

const ANSWER: Answer =
    Answer { what: "", reply: || bytes(b""), status: 502, words: "should not", paused_ms: 0 };
const ANSWERS: &[Answer] = &[
    Answer { what: "a page", reply: || PeerReply::bytes("text/html", b"<p>".to_vec()), ..ANSWER },
    Answer { what: "nothing", ..ANSWER },
    Answer { what: "a list", reply: || bytes(b"[]"), ..ANSWER },
    Answer { what: "a text", reply: || bytes(b"\"{}\""), ..ANSWER },
    Answer { what: "no UTF-8", reply: || bytes(b"{\"displayname\":\"\xff\xfe\"}"), ..ANSWER },
    Answer { what: "half", reply: || bytes(b"{\"displayname\":\"P\""), ..ANSWER },
    Answer { what: "depth", reply: || bytes("{\"a\":".repeat(10_000).as_bytes()), ..ANSWER },
    Answer {
        what: "too much",
        reply: || PeerReply::json(&json!({ "displayname": "x".repeat(1_000_000) })),
        words: "larger than",
        ..ANSWER
    },
    Answer {
        what: "too much without a length",
        reply: || bytes(&b"x".repeat(1_000_000)).dripping(50_000, Duration::ZERO),
        words: "larger than",
        ..ANSWER
    },
    Answer {
        what: "a refusal without words",
        reply: || bytes(b"").status(400),
        words: "status 400",
        ..ANSWER
    },
    Answer {
        what: "a refusal of many words",
        reply: || PeerReply::refusal(400, "M_X", &"no\u{7}\n".repeat(10_000)),
        words: "refuses: nono",
        ..ANSWER
    },
    Answer {
        what: "nobody",
        reply: || PeerReply::refusal(404, "M_NOT_FOUND", "nobody"),
        status: 404,
        words: "nobody",
        ..ANSWER
    },
    Answer {
        what: "a secret",
        reply: || PeerReply::refusal(403, "M_FORBIDDEN", "a secret"),
        status: 403,
        words: "a secret",
        ..ANSWER
    },
    Answer {
        what: "a failure",
        reply: || PeerReply::json(&json!({ "retry_after_ms": 100_000 })).status(500),
        words: "status 500",
        paused_ms: 90_000,
        ..ANSWER
    },
    Answer {
        what: "too often",
        reply: || PeerReply::json(&json!({ "retry_after_ms": 100_000 })).status(429),
        words: "status 429",
        paused_ms: 90_000,
        ..ANSWER
    },
    Answer {
        what: "too often for ever",
        reply: || PeerReply::json(&json!({ "retry_after_ms": u64::MAX })).status(429),
        words: "status 429",
        paused_ms: 3_000_000,
        ..ANSWER
    },
];

fn bytes(body: &[u8]) -> PeerReply {
    PeerReply::bytes("application/json", body.to_vec())
}

/// A peer that answers questions for profiles in one way.
async fn answering(
    abroad: &Abroad,
    reply: impl Fn() -> PeerReply + Send + Sync + 'static,
) -> Result<Peer> {
    let peer = abroad.town.peer()?.start().await?;
    peer.answer(Method::GET, PROFILE, move |_| reply());
    Ok(peer)
}

#[tokio::test]
async fn asking_those_who_answer_badly() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let asked = ANSWERS.iter().map(async |answer| {
        let peer = answering(&abroad, answer.reply).await?;
        let pia = peer.user("pia");
        let (status, said) = words(abroad.profile(&pia).await).context(answer.what)?;
        let right = status == answer.status && said.contains(answer.words) && said.len() < 1_000;
        ensure!(right, "{}: {status} {said}", answer.what);
        ensure!(!said.chars().any(char::is_control), "{}: {said:?}", answer.what);
        let (_, again) = words(abroad.profile(&pia).await).context(answer.what)?;
        let wait = again.split_once("again in ").and_then(|(_, rest)| rest.split(' ').next());
        let wait: u64 = wait.map_or(Ok(0), str::parse)?;
        let most = answer.paused_ms * 2;
        ensure!((answer.paused_ms..=most).contains(&wait), "{}: {again}", answer.what);
        let times = times(&peer, PROFILE);
        ensure!(times == if wait > 0 { 1 } else { 2 }, "{}: asked {times} times", answer.what);
        anyhow::Ok(())
    });
    try_join_all(asked).await?;

    // Fields that clients read as text are text or are not there.
    let profile = json!({ "displayname": { "a": 1 }, "avatar_url": 7, "org.example.a": [1] });
    let peer = answering(&abroad, move || PeerReply::json(&profile)).await?;
    let profile = abroad.profile(&peer.user("pia")).await?;
    ensure!(profile == json!({ "org.example.a": [1] }), "{profile}");

    // Who is led elsewhere does not go there.
    let other = answering(&abroad, || PeerReply::json(&json!({ "displayname": "O" }))).await?;
    let place = format!("https://{}{PROFILE}", other.server_name());
    for status in [301, 302, 303, 307, 308] {
        let reply = bytes(b"").status(status).header("location", &place);
        let peer = answering(&abroad, move || reply.clone()).await?;
        let (told, said) = words(abroad.profile(&peer.user("pia")).await)?;
        ensure!(told == 502 && said.contains(&format!("status {status}")), "{told} {said}");
    }
    ensure!(other.requests().is_empty(), "{:?}", other.requests());
    abroad.end().await
}

#[tokio::test]
async fn asking_nobody_whose_certificate_is_wrong() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let folder = abroad.town.folder().join("elsewhere");
    let stranger = wayside_tests::Authority::found(&folder)?;
    let ours = abroad.town.authority();
    for what in ["right", "expired", "for another", "by a stranger"] {
        let options = abroad.town.peer()?;
        let ip = options.ip().to_string();
        let other = Address::claim()?.ip().to_string();
        let leaf = match what {
            "expired" => ours.expired_leaf(&[&ip])?,
            "for another" => ours.leaf(&[&other, "localhost"])?,
            "by a stranger" => stranger.leaf(&[&ip])?,
            _ => ours.leaf(&[&ip])?,
        };
        let peer = options.certified(leaf).start().await?;
        peer.answer(Method::GET, PROFILE, |_| PeerReply::json(&json!({ "displayname": "P" })));
        let answer = abroad.profile(&peer.user("pia")).await;
        if what == "right" {
            ensure!(answer?["displayname"] == "P");
            continue;
        }
        let (status, said) = words(answer)?;
        ensure!(status == 502 && said.contains("certificate"), "{what}: {status} {said}");
        ensure!(peer.requests().is_empty(), "{what}: {:?}", peer.requests());
    }
    abroad.end().await
}

async fn profile(ann: Client, user_id: String) -> Result<Value, CallError> {
    ann.get(&format!("/_matrix/client/v3/profile/{}", escaped(&user_id))).await
}

/// So many questions and no more reach a server that hangs; the others are told so, and do not wait for
/// it one behind the other. Whoever asks other servers does not notice, and all of it is one failure.
#[tokio::test]
async fn asking_one_who_hangs_holds_nobody_up() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let mut slow = abroad.town.peer()?.start().await?;
    // Whoever drips is given up as soon as those who wait for its place are: `hostile_chains` has it.
    slow.answer(Method::GET, PROFILE, |_| {
        PeerReply::json(&json!({ "displayname": "S" })).after(NEVER)
    });
    let quick = answering(&abroad, || PeerReply::json(&json!({ "displayname": "Q" }))).await?;

    let mut calls = JoinSet::new();
    for at in 0..3 * AT_ONCE {
        calls.spawn(profile(abroad.ann.clone(), slow.user(&format!("sue{at}"))));
    }
    comes_true("16 questions", async || Ok(times(&slow, PROFILE) == AT_ONCE)).await?;
    let begun = Instant::now();
    abroad.profile(&quick.user("pia")).await?;
    ensure!(begun.elapsed() < QUICK, "another server's profile took {:?}", begun.elapsed());

    for _ in 0..2 * AT_ONCE {
        let (status, said) = words(calls.join_next().await.context("a call")??)?;
        ensure!(status == 502 && said.contains("not answered others"), "{status} {said}");
    }
    let asked = times(&slow, PROFILE);
    ensure!(asked == AT_ONCE, "it was asked {asked} times");
    slow.stop().await;
    while let Some(call) = calls.join_next().await {
        let (status, said) = words(call?)?;
        ensure!(status == 502 && said.contains("reached"), "{status} {said}");
    }
    let (_, said) = words(abroad.profile(&slow.user("pia")).await)?;
    let wait = said.split_once("again in ").and_then(|(_, rest)| rest.split(' ').next());
    // On a slow machine it may be over.
    let wait: u64 = wait.map_or(Ok(0), str::parse)?;
    ensure!(wait <= 1_200, "{AT_ONCE} failures at the same time count as more than one: {said}");
    abroad.end().await
}
