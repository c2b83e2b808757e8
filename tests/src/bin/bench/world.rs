//! The rows of worlds: what people who walk cost the node and a browser, and what files cost.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::{process::Command as Program, time::sleep};
use wayside_tests::{Browser, Client, Engine, Metrics, Node, Town};

use crate::{
    ground::pure,
    rows::{Better, Row},
    seen::at,
};

const BOTS: f64 = 50.0;
/// For how long they walk.
const WALK: Duration = Duration::from_secs(30);
/// The part of it that is measured, when all have come in.
const MEASURED: Duration = Duration::from_secs(15);
/// How often a loop that does nothing wakes up before, at the pace of the node's.
const EMPTY: u32 = 300;
const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / 30);

/// How often somebody comes in with nothing in their cache.
const FIRST_STEPS: u32 = 5;
/// Bodies that are drawn at once.
const CROWD: u32 = 20;

/// What files cost: a bench of the room that reads and makes them.
pub(crate) fn files() -> Result<Vec<Row>> {
    pure("wayside-world", "costs")
}

/// Fifty bots in one instance: the node on the first core, the bots on the second.
pub(crate) async fn bots() -> Result<Vec<Row>> {
    let town = Town::found(Engine::Sqlite)?.context("SQLite is always here")?;
    let mut node = town.node("a")?.with_first_world().start().await?;
    let pid = node.pid().context("the node has ended by itself")?;
    keep_to_core(pid, 0)?;
    let ann = Client::register(node.http(), "ann").await?;
    let invitation = json!({"role": "guest", "uses": 60});
    let made = ann.post("/_wayside/v1/invitations", &invitation).await?;
    let link = made["invitation"].as_str().context("no invitation")?.to_owned();
    let empty = tokio::task::spawn_blocking(empty_loop).await?;
    let program = std::env::var("WAYSIDE_BIN").context("WAYSIDE_BIN names the program")?;
    let seconds = WALK.as_secs().to_string();
    let bots = Program::new("taskset")
        .args(["-c", "1", &program, "bots", "--url", node.http().as_str(), "--count", "50"])
        .args(["--invitation", &link, "--seconds", &seconds])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting the bots")?;
    wait_for_people(&node).await?;
    let (before, cpu_before) = (node.metrics().await?, cpu_s(pid)?);
    sleep(MEASURED).await;
    let (after, cpu_after) = (node.metrics().await?, cpu_s(pid)?);
    let walked = Ticks::between(&before, &after);
    let told = bots.wait_with_output().await?;
    ensure!(told.status.success(), "the bots broke off");
    let seen: Value = serde_json::from_slice(&told.stdout).context("reading what bots saw")?;
    ensure!(seen["stayed"] == 50, "not all stayed: {seen}");
    node.stop().await?;
    let measured = MEASURED.as_secs_f64();
    let cpu = (cpu_after - cpu_before) / BOTS / measured * 1_000.0;
    let number = |name: &str| seen[name].as_f64().unwrap_or_default();
    let per_body = number("bytes") / number("seconds") / (BOTS - 1.0);
    let note = format!(
        "{} ticks; an empty loop before is {:.0} us late at p50, {:.0} at p99",
        walked.count,
        at(&empty, 0.5) * 1_000.0,
        at(&empty, 0.99) * 1_000.0,
    );
    let us = |name, value| Row::new(name, value, "us", Better::Lower).note(note.clone());
    Ok(vec![
        Row::new("world.bot_cpu_ms_per_s", cpu, "ms/s", Better::Lower)
            .note("CPU of the whole node for each of 50 bots that walk at 30 Hz, WebSocket"),
        Row::new("world.body_bytes_per_s", per_body, "B/s", Better::Lower)
            .note(format!("for each visible body; {} corrections", number("corrections"))),
        us("world.tick_late_p50_us", walked.late(0.5)),
        us("world.tick_late_p99_us", walked.late(0.99)),
        us("world.tick_work_p99_us", walked.work(0.99)),
    ])
}

/// A browser: how soon somebody has taken a step, and what a crowd costs it.
pub(crate) async fn pages() -> Result<Vec<Row>> {
    let town = Town::found(Engine::Sqlite)?.context("SQLite is always here")?;
    let mut node = town.node("a")?.with_first_world().start().await?;
    let ann = Client::register(node.http(), "ann").await?;
    let invitation = json!({"role": "guest", "uses": 100});
    let made = ann.post("/_wayside/v1/invitations", &invitation).await?;
    let invitation = made["invitation"].as_str().context("no invitation")?.to_owned();
    let link = node.http().join("/join/")?.join(&invitation)?;
    let mut browser = Browser::open("bench.mjs")?.context("there is no browser")?;
    let (mut times, mut weight) = (Vec::new(), 0.0_f64);
    for number in 0..FIRST_STEPS {
        let asked = json!({"link": link.as_str(), "number": number});
        let step = browser.step("firstStep", asked).await?;
        times.push(step["ms"].as_f64().context("no time")? / 1_000.0);
        weight = weight.max(step["bytes"].as_f64().context("no weight")?);
    }
    times.sort_by(f64::total_cmp);
    let alone = browser.step("watch", json!({"link": link.as_str()})).await?;
    let program = std::env::var("WAYSIDE_BIN").context("WAYSIDE_BIN names the program")?;
    let mut bots = Program::new(program)
        .args(["bots", "--url", node.http().as_str(), "--count", "20", "--seconds", "600"])
        .args(["--invitation", &invitation])
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("starting the bots")?;
    let crowd = browser.step("crowd", json!({"bodies": CROWD})).await?;
    bots.kill().await?;
    browser.close().await?;
    node.stop().await?;
    let number = |of: &Value, name: &str| of[name].as_f64().context("no number");
    let (empty_ms, full_ms) = (number(&alone, "frameMs")?, number(&crowd, "frameMs")?);
    let note = format!(
        "{empty_ms:.0} ms a frame alone, {full_ms:.0} with {CROWD} bodies; drawn by the processor"
    );
    Ok(vec![
        Row::new("world.first_step_s", times[times.len() / 2], "s", Better::Lower)
            .limit(5.0)
            .note(format!("from the click, cold cache; median of {FIRST_STEPS}")),
        Row::new("world.page_mb", weight / 1e6, "MB", Better::Lower)
            .limit(1.5)
            .note("compressed, what is loaded before the scene"),
        Row::new("world.frame_ratio", full_ms / empty_ms, "", Better::Lower).note(note),
        Row::new("world.script_ms", number(&crowd, "scriptMs")?, "ms", Better::Lower)
            .limit(8.0)
            .note(format!("CPU of all scripts of the main thread, a frame with {CROWD} bodies")),
    ])
}

/// How late a thread wakes up here that waits for one deadline after the other, in order.
fn empty_loop() -> Vec<Duration> {
    let mut due = Instant::now();
    let late = (0..EMPTY).map(|_| {
        due += PERIOD;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due.elapsed()
    });
    let mut late: Vec<Duration> = late.collect();
    late.sort_unstable();
    late
}

/// Ticks that were counted between two readings.
struct Ticks {
    count: f64,
    late: Vec<(f64, f64)>,
    work: Vec<(f64, f64)>,
}

impl Ticks {
    fn between(before: &Metrics, after: &Metrics) -> Self {
        let of = |name: &str| -> Vec<(f64, f64)> {
            let (first, last) = (before.buckets(name), after.buckets(name));
            let before = |end: f64| first.iter().find(|it| it.0 >= end).map_or(0.0, |it| it.1);
            last.into_iter().map(|(end, count)| (end, count - before(end))).collect()
        };
        let late = of("wayside_world_tick_lateness_seconds");
        let count = late.last().map_or(0.0, |it| it.1);
        Self { count, late, work: of("wayside_world_tick_duration_seconds") }
    }

    fn late(&self, share: f64) -> f64 {
        quantile(&self.late, share)
    }

    fn work(&self, share: f64) -> f64 {
        quantile(&self.work, share)
    }
}

/// The time in microseconds below which that share lies, between the ends of its bucket.
fn quantile(buckets: &[(f64, f64)], share: f64) -> f64 {
    let wanted = buckets.last().map_or(0.0, |it| it.1) * share;
    let (mut floor, mut below) = (0.0, 0.0);
    for (end, count) in buckets {
        if *count >= wanted && *count > below {
            let part = (wanted - below) / (count - below);
            return (floor + (end.min(0.1) - floor) * part) * 1e6;
        }
        (floor, below) = (*end, *count);
    }
    floor * 1e6
}

async fn wait_for_people(node: &Node) -> Result<()> {
    for _ in 0..100 {
        if node.metrics().await?.sum("wayside_world_people") >= BOTS {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("not all bots came in")
}

fn keep_to_core(pid: u32, core: u32) -> Result<()> {
    let status = Command::new("taskset")
        .args(["-apc", &core.to_string(), &pid.to_string()])
        .stdout(Stdio::null())
        .status()
        .context("running taskset")?;
    ensure!(status.success(), "the node cannot be kept to one core");
    Ok(())
}

/// The CPU time of a process so far, in seconds, with that of tasks which have ended.
fn cpu_s(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name, which may hold anything, in hundredths of a second (proc(5)).
    let fields = stat.rsplit_once(')').context("no process")?.1;
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}
