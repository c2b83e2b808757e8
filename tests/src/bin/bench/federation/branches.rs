//! What joining two branches costs that differ in very much, by itself and for a node beside its people.

use std::time::Instant;

use anyhow::{Context, Result};
use wayside_tests::Engine;

use super::{
    VERSION,
    talk::Talk,
    village::{MEMBERS, Village},
};
use crate::{
    ground::{milliseconds, pure, town},
    line::Line,
    process::{cpu_ms, peak_mb},
    rows::{Better, Row},
    seen::{at, median},
};

/// Branches that come, each after the ones before were joined.
const RUNS: usize = 3;
/// Messages that are sent while nothing else is done: the control of those that are sent meanwhile.
const CONTROL: usize = 200;

/// What joining two branches costs in memory: a bench of the room that does it.
pub(crate) fn conflicts() -> Result<Vec<Row>> {
    pure("wayside-federation", "conflicts")
}

/// A node in a room of thousands, which is told of events at which none of them was there yet.
pub(crate) async fn branches() -> Result<Vec<Row>> {
    let town = town(Engine::Sqlite)?;
    let village = Village::found(&town).await?;
    let mut node = town.server("a")?.start().await?;
    let (pid, to) = (node.pid().context("the node has ended by itself")?, node.destination());
    let talk = Talk::begin(node.http()).await?;
    let (ann, _) = village.joined_by(node.http()).await?;
    let mut line = Line::open(node.http(), ann.session().token()).await?;
    let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message", village.id());
    let body = r#"{"msgtype":"m.text","body":"And now?"}"#;
    let (mut took, mut cpu) = (Vec::new(), Vec::new());
    let (mut sent, mut control) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let (begun, before) = (Instant::now(), cpu_ms(pid)?);
        village.say_of_old(&to, 2 * run).await?;
        took.push(milliseconds(begun.elapsed()));
        cpu.push(cpu_ms(pid)? - before);
        // The next branch is joined with what these lead to.
        line.ask("PUT", &format!("{path}/on{}", 2 * run), body).await?;
        control.extend(talk.say(&format!("c{run}n"), |said| said < CONTROL).await?);
        let coming = village.say_of_old(&to, 2 * run + 1);
        let ((), meanwhile) = talk.during(&format!("m{run}n"), coming).await?;
        eprintln!("  joined in {:.0} ms; {} messages meanwhile", took[run], meanwhile.len());
        sent.extend(meanwhile);
        line.ask("PUT", &format!("{path}/on{}", 2 * run + 1), body).await?;
    }
    let peak = peak_mb(pid)?;
    node.stop().await?;
    sent.sort_unstable();
    control.sort_unstable();
    let row = |name: &str, value: f64, unit: &str| Row::new(name, value, unit, Better::Lower);
    Ok(vec![
        row("federation.branches_ms", median(took), "ms").note(format!(
            "until an event is taken in that knows none of {MEMBERS} members; version {VERSION}; median of {RUNS}"
        )),
        row("federation.branches_cpu_ms", median(cpu), "ms").note("CPU of the node for it"),
        row("federation.branches_local_send_p99_ms", at(&sent, 0.99), "ms").limit(50.0).note(
            format!("of {} messages that somebody else sends meanwhile", sent.len()),
        ),
        row("federation.branches_control_p99_ms", at(&control, 0.99), "ms")
            .note(format!("of {} messages while nothing else is done", control.len())),
        row("federation.branches_rss_mb", peak, "MB").note("the peak of the node"),
    ])
}
