//! The rows of the ground that everything stands on: starting, memory, size, and writing to disk.

use std::{
    env,
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};
use wayside_tests::{Client, Engine, Metrics, Node, Town, resident_bytes};

use crate::rows::{Better, Row};

const WRITERS: u32 = 8;
const EVENTS: u32 = 10_000;
const RESTARTS: usize = 7;
/// After this an untouched node has done all that it does after a start.
const SETTLING: Duration = Duration::from_secs(3);
const FLOOR_TIME: Duration = Duration::from_secs(2);

/// What authorising an event and resolving a fork cost: a bench of the room that does it.
pub(crate) fn rules() -> Result<Vec<Row>> {
    pure("wayside-federation", "costs")
}

/// The rows of a bench of a pure room, which tells them on standard output, one a line.
pub(crate) fn pure(package: &str, bench: &str) -> Result<Vec<Row>> {
    let output = Command::new("cargo")
        .args(["bench", "--quiet", "--locked", "-p", package, "--bench", bench])
        .output()
        .with_context(|| format!("running the bench {bench} of {package}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the bench {bench} of {package} failed: {told}");
    let lines = String::from_utf8(output.stdout)?;
    lines
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("{line:?} is no row")))
        .collect()
}

/// The size of the program as it is shipped.
pub(crate) fn binary() -> Result<Vec<Row>> {
    let path = env::var("WAYSIDE_BIN").context("WAYSIDE_BIN names the program to measure")?;
    let bytes = fs::metadata(&path).with_context(|| format!("looking at {path}"))?.len();
    Ok(vec![Row::new("ground.binary_mb", megabytes(bytes), "MB", Better::Lower).limit(40.0)])
}

/// What the disk itself allows: the floor under every number about writing.
pub(crate) fn disk() -> Result<Vec<Row>> {
    let town = town(Engine::Sqlite)?;
    let mut file = File::create(town.folder().join("floor"))?;
    let block = [0x5a; 4096];
    let mut syncs = 0_u32;
    let begun = Instant::now();
    while begun.elapsed() < FLOOR_TIME {
        file.write_all(&block)?;
        file.sync_data()?;
        syncs += 1;
        if syncs.is_multiple_of(1024) {
            // A log is written over and over, not grown for ever.
            file.seek(SeekFrom::Start(0))?;
        }
    }
    let rate = f64::from(syncs) / begun.elapsed().as_secs_f64();
    let row = Row::new("ground.fsync_floor_per_s", rate, "1/s", Better::Higher);
    Ok(vec![row.note("4 KiB and fdatasync, one after the other")])
}

/// A node on SQLite: how fast it takes events, then how it starts on what it has taken.
pub(crate) async fn sqlite() -> Result<Vec<Row>> {
    let town = town(Engine::Sqlite)?;
    let mut node = town.node("a")?.start().await?;
    let load = Load::run(&node).await?;
    node.stop().await?;

    let mut starts = Vec::new();
    for _ in 0..RESTARTS {
        node.restart().await?;
        starts.push(node.ready_in());
        node.stop().await?;
    }
    node.restart().await?;
    sleep(SETTLING).await;
    let resident = resident_bytes(node.pid().context("the node has ended by itself")?)?;
    node.stop().await?;

    let control = median((0..RESTARTS).map(|_| spawn_true()).collect::<Result<_>>()?);
    let start_note = format!(
        "median of {RESTARTS} with {EVENTS} events; starting /bin/true takes {:.1} ms",
        milliseconds(control)
    );
    Ok(vec![
        load.events_per_s("ground.events_per_s_sqlite"),
        load.transactions_per_sync()?,
        Row::new("ground.restart_ready_ms", milliseconds(median(starts)), "ms", Better::Lower)
            .limit(1000.0)
            .note(start_note),
        Row::new("ground.rss_idle_mb", megabytes(resident), "MB", Better::Lower)
            .limit(60.0)
            .note(format!("{SETTLING:?} after a start with {EVENTS} events")),
    ])
}

/// A node on PostgreSQL under the same load.
pub(crate) async fn postgres() -> Result<Vec<Row>> {
    let town = town(Engine::Postgres)?;
    let mut node = town.node("a")?.start().await?;
    let load = Load::run(&node).await?;
    node.stop().await?;
    Ok(vec![load.events_per_s("ground.events_per_s_postgres")])
}

/// What the standard load did: eight people, each in a room of their own and each with one event
/// under way at a time, until all events are acknowledged.
struct Load {
    took: Duration,
    before: Metrics,
    after: Metrics,
}

impl Load {
    async fn run(node: &Node) -> Result<Self> {
        let mut writers = Vec::new();
        for number in 0..WRITERS {
            let client = Client::register(node.http(), &format!("writer{number}")).await?;
            let room = client.create_room(&json!({})).await?;
            writers.push((client, room));
        }
        let before = node.metrics().await?;
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for (client, room) in writers {
            tasks.spawn(async move {
                for number in 0..EVENTS / WRITERS {
                    let line = format!("event {number}");
                    client.send_text(&room, &format!("txn{number}"), &line).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        Ok(Self { took: begun.elapsed(), before, after: node.metrics().await? })
    }

    fn events_per_s(&self, name: &str) -> Row {
        let rate = f64::from(EVENTS) / self.took.as_secs_f64();
        let note = format!("{WRITERS} writers in {WRITERS} rooms, the load on the same cores");
        Row::new(name, rate, "1/s", Better::Higher).note(note)
    }

    fn transactions_per_sync(&self) -> Result<Row> {
        let grown = |name: &str| self.after.sum(name) - self.before.sum(name);
        let commits = grown("wayside_store_commits_total");
        let transactions = grown("wayside_store_transactions_total");
        ensure!(commits > 0.0, "no commit was counted under load");
        let row = Row::new("ground.tx_per_fsync", transactions / commits, "", Better::Higher);
        Ok(row.limit(4.0).note(format!("{transactions} transactions in {commits} commits")))
    }
}

pub(crate) fn town(engine: Engine) -> Result<Town> {
    Town::found(engine)?.with_context(|| format!("{engine:?} is not to be had here"))
}

fn spawn_true() -> Result<Duration> {
    let begun = Instant::now();
    ensure!(Command::new("true").status()?.success(), "true failed");
    Ok(begun.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "sizes here stay far below 2^52 bytes")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
