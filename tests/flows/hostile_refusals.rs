//! Servers that take a transaction by no means: what is at fault is found, and all else is delivered.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{Client, Engine, Peer, PeerReply, RoomId, Town};

use crate::{
    abroad::Abroad,
    hostile_servers::Guest,
    stage::{Deeds, bodies, comes_true, list, new_txn},
    standings::{operator, standing},
};

const SEND: &str = "/_matrix/federation/v1/send/";
/// What a server does not take.
const POISON: &str = "poison";

/// What came to a server.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Came>>);

#[derive(Default)]
struct Came {
    /// The events and the units of data of every transaction, by its id.
    all: BTreeMap<String, (Value, Value)>,
    /// The transactions that were taken, in their order.
    taken: Vec<Value>,
}

impl Heard {
    /// Listens at a peer, which takes no transaction that is refused here.
    fn at(
        peer: &Peer,
        refuses: impl Fn(&Value) -> Option<PeerReply> + Send + Sync + 'static,
    ) -> Self {
        let heard = Self::default();
        let noted = heard.clone();
        peer.answer(Method::PUT, SEND, move |request| {
            let (id, told) = (request.target(), request.json());
            let held = (told["pdus"].clone(), told["edus"].clone());
            let mut came = noted.came();
            let known = came.all.entry(id).or_insert_with(|| held.clone());
            if *known != held {
                return PeerReply::refusal(500, "M_UNKNOWN", "one id for two transactions");
            }
            if let Some(refusal) = refuses(&told) {
                return refusal;
            }
            came.taken.push(told);
            PeerReply::json(&json!({ "pdus": {} }))
        });
        heard
    }

    fn came(&self) -> MutexGuard<'_, Came> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was said in what was taken.
    fn said(&self) -> Vec<String> {
        self.came().taken.iter().flat_map(|told| bodies(&list(&told["pdus"]))).collect()
    }

    /// The messages to devices in what was taken.
    fn letters(&self) -> Vec<Value> {
        let came = self.came();
        let units = came.taken.iter().flat_map(|told| list(&told["edus"]));
        let letters = units.filter(|it| it["edu_type"] == "m.direct_to_device");
        letters.map(|it| it["content"].clone()).collect()
    }

    /// How many transactions that hold nothing came, and how many in all.
    fn counted(&self) -> (usize, usize) {
        let came = self.came();
        let empty = came.all.values().filter(|it| **it == (json!([]), json!([]))).count();
        (empty, came.all.len())
    }
}

/// A node, who runs it, and a peer in a room of it that is away.
struct Away {
    abroad: Abroad,
    root: Client,
    room: RoomId,
    guest: Guest,
}

impl Away {
    async fn begin() -> Result<Option<Self>> {
        let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(None) };
        let abroad = Abroad::begin_in(town, |options| options).await?;
        let root = operator(&abroad).await?;
        let room = abroad.ann.create_room(&json!({ "preset": "public_chat" })).await?;
        let peer = abroad.town.peer()?.start().await?;
        let mut guest = Guest::come(peer, &abroad.node, room.as_str(), "12").await?;
        guest.peer.stop().await;
        Ok(Some(Self { abroad, root, room, guest }))
    }

    async fn post_letter(&self, n: &str) -> Result<()> {
        let path = format!("/_matrix/client/v3/sendToDevice/org.test/{}", new_txn());
        let to = self.guest.mallory.as_str();
        self.abroad.ann.put(&path, &json!({ "messages": { to: { "*": { "n": n } } } })).await?;
        Ok(())
    }

    /// Has the peer tried now, which ends every pause.
    async fn hurry(&self) -> Result<()> {
        let path = format!("/_wayside/v1/servers/{}/try", self.guest.peer.server_name());
        self.root.post(&path, &json!({})).await?;
        Ok(())
    }

    async fn standing(&self) -> Result<Value> {
        standing(&self.root, self.guest.peer.server_name()).await
    }
}

#[tokio::test]
async fn what_is_refused_for_good_is_given_up_and_nothing_else() -> Result<()> {
    let Some(mut away) = Away::begin().await? else { return Ok(()) };
    let mut poison = String::new();
    for n in 0..30 {
        if n == 17 {
            poison = away.abroad.ann.say(&away.room, POISON).await?;
            away.post_letter("before").await?;
            away.post_letter(POISON).await?;
            away.post_letter("after").await?;
        }
        away.abroad.ann.say(&away.room, &n.to_string()).await?;
    }
    let heard = Heard::at(&away.guest.peer, |told| {
        told.to_string()
            .contains(POISON)
            .then(|| PeerReply::refusal(400, "M_BAD_JSON", "it tastes wrong"))
    });
    away.guest.peer.restart().await?;
    let all: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    comes_true("all else is delivered", async || {
        away.hurry().await?;
        let found = away.standing().await?;
        Ok(heard.said().len() >= all.len()
            && found["waiting_events"] == 0
            && found["waiting_edus"] == 0)
    })
    .await?;
    ensure!(heard.said() == all, "not all once and in order: {:?}", heard.said());
    let letters = heard.letters();
    let told = json!(letters).to_string();
    ensure!(told.contains("before") && told.contains("after"), "{told}");
    let found = away.standing().await?;
    ensure!(found["failures"] == 0, "{found}");
    let why = found["why"].as_str().context("no reason is given")?;
    ensure!(why.contains("given up") && why.contains("it tastes wrong"), "{why}");
    let given_up = away.abroad.node.metrics().await?.sum("wayside_servers_given_up_total");
    ensure!((given_up - 2.0).abs() < 0.1, "{given_up} are given up");
    let log = away.abroad.node.log();
    ensure!(log.contains(&poison), "the event that was given up is not named:\n{log}");
    // What comes then goes its way at once.
    away.abroad.ann.say(&away.room, "later").await?;
    away.guest.peer.event(|it| it["content"]["body"] == "later").await?;
    away.abroad.end().await
}

#[tokio::test]
async fn who_takes_nothing_at_all_loses_nothing() -> Result<()> {
    let Some(mut away) = Away::begin().await? else { return Ok(()) };
    for n in 0..10 {
        away.abroad.ann.say(&away.room, &n.to_string()).await?;
    }
    let no = |_: &Value| Some(PeerReply::refusal(400, "M_UNKNOWN", "no plain HTTP here"));
    let heard = Heard::at(&away.guest.peer, no);
    away.guest.peer.restart().await?;
    comes_true("it is asked whether it takes anything", async || {
        away.hurry().await?;
        Ok(heard.counted().0 > 2)
    })
    .await?;
    let found = away.standing().await?;
    ensure!(found["waiting_events"] == 10, "something was given up: {found}");
    ensure!(found["why"].as_str().is_some_and(|why| why.contains("no plain HTTP")), "{found}");
    let (_, came) = heard.counted();
    ensure!(came < 60, "{came} transactions came");
    let heard = Heard::at(&away.guest.peer, |_| None);
    let all: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    comes_true("all is delivered", async || {
        away.hurry().await?;
        Ok(heard.said().len() >= all.len())
    })
    .await?;
    ensure!(heard.said() == all, "not all once and in order: {:?}", heard.said());
    comes_true("all is well", async || Ok(away.standing().await?["why"].is_null())).await?;
    let given_up = away.abroad.node.metrics().await?.sum("wayside_servers_given_up_total");
    ensure!(given_up < 0.1, "{given_up} are given up");
    away.abroad.end().await
}
