//! How soon somebody of one server sees what somebody of another says.

use anyhow::Result;
use reqwest::Url;
use serde_json::json;
use tokio::try_join;
use wayside_tests::{Client, Engine, Town};

use super::{VERSION, synapse};
use crate::{
    ground::town,
    rows::{Better, Row},
    seen::{Pair, WARMING, at, median},
};

const RUNS: usize = 3;
/// Messages of a run that count, between nodes and between Synapses.
const OURS: usize = 500;
const THEIRS: usize = 150;

/// Somebody on the first server and somebody on the second, in a room of the first.
async fn pair(town: &Town, first: &Url, name: &str, second: &Url) -> Result<Pair> {
    let (ann, bob) = try_join!(Client::register(first, "ann"), Client::register(second, "bob"))?;
    let wish = json!({ "preset": "public_chat", "room_version": VERSION });
    let room = ann.create_room(&wish).await?;
    bob.join_through(&room, name).await?;
    Pair::of((first, &ann), (second, &bob), &room, town.folder())
}

/// Two nodes and two Synapses, on SQLite and on the same disk, in turn.
pub(crate) async fn seen() -> Result<Vec<Row>> {
    let town = town(Engine::Sqlite)?;
    let (mut s, mut t) = (synapse(&town, "s").await?, synapse(&town, "t").await?);
    let (mut a, mut b) = try_join!(town.server("a")?.start(), town.server("b")?.start())?;
    let ours = pair(&town, a.http(), a.server_name(), b.http()).await?;
    let theirs = pair(&town, s.http(), &s.server_name(), t.http()).await?;
    let (mut found, mut their_found, mut control) = (vec![], vec![], vec![]);
    for run in 0..RUNS {
        let name = run.to_string();
        let (seen, synced) = ours.run(&name, WARMING + OURS).await?;
        let (their_seen, _) = theirs.run(&name, WARMING + THEIRS).await?;
        let times =
            [(at(&seen, 0.5), at(&seen, 0.99)), (at(&their_seen, 0.5), at(&their_seen, 0.99))];
        eprintln!("  run {} of {RUNS}: p50 and p99 in ms, here and Synapse: {times:?}", run + 1);
        found.push(times[0]);
        their_found.push(times[1]);
        control.push(at(&synced, 0.99));
    }
    try_join!(s.stop(), t.stop())?;
    try_join!(a.stop(), b.stop())?;
    let half = |found: &[(f64, f64)]| median(found.iter().map(|it| it.0).collect());
    let tail = |found: &[(f64, f64)]| median(found.iter().map(|it| it.1).collect());
    let row = |name: &str, value: f64, unit: &str| Row::new(name, value, unit, Better::Lower);
    let (p50, p99) = (half(&found), tail(&found));
    let (their_p50, their_p99) = (half(&their_found), tail(&their_found));
    let between = format!("of {OURS} messages, from sending on one node to sync on another");
    let beside = format!("of {THEIRS} messages from Synapse to Synapse");
    Ok(vec![
        row("federation.seen_p50_ms", p50, "ms").limit(15.0).note(between.clone()),
        row("federation.seen_p99_ms", p99, "ms").limit(60.0).note(between),
        row("federation.seen_control_p99_ms", median(control), "ms")
            .note("the disk by itself between these messages: 64 KiB written and synced"),
        row("federation.seen_synapse_p50_ms", their_p50, "ms").note(beside.clone()),
        row("federation.seen_synapse_p99_ms", their_p99, "ms").note(beside),
        row("federation.seen_p50_ratio", p50 / their_p50, "x")
            .note(format!("{p50:.2} ms beside {their_p50:.2}; medians of {RUNS} alternating runs")),
        row("federation.seen_p99_ratio", p99 / their_p99, "x")
            .note(format!("{p99:.2} ms beside {their_p99:.2}; medians of {RUNS} alternating runs")),
    ])
}
