//! The rows of the Matrix server: the node beside Synapse under the same load, one run after the other.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};
use wayside_tests::{Client, Engine, RoomId};

use crate::{
    ground::{milliseconds, town},
    line::Line,
    process::{cpu_ms, resident_mb},
    rows::{Better, Row},
    seen::{Pair, at, median, next_batch},
};

const RUNS: usize = 3;
const MEMBERS: usize = 100;
const SENDERS: usize = 8;
/// How long messages are sent in one run.
const SENDING: Duration = Duration::from_secs(10);
/// Messages of which it is measured how soon they are seen, in one run: enough for a hundredth of them
/// to be more than one or two.
const SEEN: usize = 520;
const ROOMS: usize = 500;
const MESSAGES_EACH: usize = 5;
/// People who make these rooms, and write in them.
const OWNERS: usize = 5;
/// Answers without news of which the mean is taken.
const QUIET: u32 = 500;
const POLLERS: usize = 2_000;
/// How long a server is left alone before its memory is looked at.
const RESTING: Duration = Duration::from_secs(5);

/// A server with the people and rooms of the load.
struct Field {
    base: Url,
    pid: u32,
    room: RoomId,
    senders: Vec<Client>,
    listener: Client,
    /// Whoever is in all the rooms.
    busy: String,
    folder: PathBuf,
}

/// What one run found.
#[derive(Clone, Copy)]
struct Found {
    per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    control_p99_ms: f64,
    initial_ms: f64,
}

impl Field {
    async fn lay(base: &Url, pid: u32, folder: &Path) -> Result<Self> {
        let owner = Client::register(base, "owner").await?;
        let wish = json!({ "preset": "public_chat", "room_version": "11" });
        let room = owner.create_room(&wish).await?;
        let mut people = vec![owner];
        for number in 1..MEMBERS {
            let member = Client::register(base, &format!("member{number}")).await?;
            member.join(&room).await?;
            people.push(member);
        }
        let listener = people.pop().context("somebody who listens")?;
        people.truncate(SENDERS.max(OWNERS));
        let busy = Client::register(base, "busy").await?;
        let mut rooms = JoinSet::new();
        for (number, owner) in people.iter().take(OWNERS).cloned().enumerate() {
            let busy = busy.clone();
            rooms.spawn(async move { fill(&owner, &busy, number).await });
        }
        while let Some(done) = rooms.join_next().await {
            done??;
        }
        people.truncate(SENDERS);
        let busy = "busy".to_owned();
        let (base, folder) = (base.clone(), folder.to_owned());
        Ok(Self { base, pid, room, senders: people, listener, busy, folder })
    }

    async fn run(&self, run: usize) -> Result<Found> {
        let per_s = self.messages(run).await?;
        let sender = self.senders.first().context("a sender")?;
        let (from, to) = ((&self.base, sender), (&self.base, &self.listener));
        let pair = Pair::of(from, to, &self.room, &self.folder)?;
        let (seen, control) = pair.run(&run.to_string(), SEEN).await?;
        Ok(Found {
            per_s,
            p50_ms: at(&seen, 0.5),
            p99_ms: at(&seen, 0.99),
            control_p99_ms: at(&control, 0.99),
            initial_ms: self.initial().await?,
        })
    }

    /// Messages that are acknowledged in a second, where each sender has one under way.
    async fn messages(&self, run: usize) -> Result<f64> {
        let mut senders = JoinSet::new();
        let begun = Instant::now();
        for (number, sender) in self.senders.iter().enumerate() {
            let mut line = Line::open(&self.base, sender.session().token()).await?;
            let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message", self.room);
            senders.spawn(async move {
                let mut sent = 0_u32;
                while begun.elapsed() < SENDING {
                    let body =
                        format!(r#"{{"msgtype":"m.text","body":"message {sent} of {number}"}}"#);
                    line.ask("PUT", &format!("{path}/r{run}n{sent}"), &body).await?;
                    sent += 1;
                }
                anyhow::Ok(sent)
            });
        }
        let mut all = 0;
        while let Some(sent) = senders.join_next().await {
            all += sent??;
        }
        Ok(f64::from(all) / begun.elapsed().as_secs_f64())
    }

    /// A first sync of a device that has just signed in, in milliseconds; no server has it in a cache.
    async fn initial(&self) -> Result<f64> {
        let device = Client::login(&self.base, &self.busy).await?;
        let mut line = Line::open(&self.base, device.session().token()).await?;
        let begun = Instant::now();
        let answer = line.ask("GET", "/_matrix/client/v3/sync?timeout=0", "").await?;
        let took = milliseconds(begun.elapsed());
        let answer: Value = serde_json::from_slice(&answer)?;
        let joined = answer["rooms"]["join"].as_object().map_or(0, serde_json::Map::len);
        ensure!(joined == ROOMS, "{joined} rooms in a first sync of {ROOMS}");
        Ok(took)
    }

    /// CPU time of the server for one answer without news, in milliseconds.
    async fn quiet(&self) -> Result<f64> {
        let device = Client::login(&self.base, &self.busy).await?;
        let mut line = Line::open(&self.base, device.session().token()).await?;
        let sync = "/_matrix/client/v3/sync?timeout=0";
        let mut since = next_batch(&line.ask("GET", sync, "").await?)?;
        let before = cpu_ms(self.pid)?;
        for _ in 0..QUIET {
            since = next_batch(&line.ask("GET", &format!("{sync}&since={since}"), "").await?)?;
        }
        Ok((cpu_ms(self.pid)? - before) / f64::from(QUIET))
    }
}

/// One owner's share of the rooms in which somebody is who is in many.
async fn fill(owner: &Client, busy: &Client, number: usize) -> Result<()> {
    for room in 0..ROOMS / OWNERS {
        let wish = json!({
            "preset": "public_chat", "room_version": "11", "name": format!("Room {room} of {number}"),
        });
        let id = owner.create_room(&wish).await?;
        busy.join(&id).await?;
        for line in 0..MESSAGES_EACH {
            owner.send_text(&id, &format!("f{line}"), &format!("line {line}")).await?;
        }
    }
    Ok(())
}

/// The node and Synapse, both on SQLite and on the same disk, in turn.
pub(crate) async fn beside_synapse() -> Result<Vec<Row>> {
    let town = town(Engine::Sqlite)?;
    let synapse =
        town.synapse("synapse")?.context("there is no Synapse (make bench sets it up)")?;
    let mut synapse = synapse.log_level("WARNING").start().await?;
    let their_pid = synapse.pid().context("Synapse has ended by itself")?;
    let mut node = town.node("a")?.start().await?;
    let pid = node.pid().context("the node has ended by itself")?;
    eprintln!("  laying out {ROOMS} rooms on the node");
    let ours = Field::lay(node.http(), pid, town.folder()).await?;
    eprintln!("  laying out {ROOMS} rooms on Synapse, which takes minutes");
    let theirs = Field::lay(synapse.http(), their_pid, town.folder()).await?;
    let mut runs = Vec::new();
    for run in 0..RUNS {
        eprintln!("  run {} of {RUNS}", run + 1);
        let found = (ours.run(run).await?, theirs.run(run).await?);
        eprintln!("    {:.0} messages/s beside {:.0}", found.0.per_s, found.1.per_s);
        runs.push(found);
    }
    let (quiet, their_quiet) = (ours.quiet().await?, theirs.quiet().await?);
    // Both are left alone for a moment, so that what was freed can be given back.
    sleep(RESTING).await;
    let (rss, their_rss) = (resident_mb(ours.pid)?, resident_mb(theirs.pid)?);
    node.stop().await?;
    synapse.stop().await?;
    let compared = |name: &str, of: fn(&Found) -> f64, limit: f64, better: Better, unit: &str| {
        let mut ratios: Vec<f64> = runs.iter().map(|(our, their)| of(our) / of(their)).collect();
        let our = median(runs.iter().map(|(our, _)| of(our)).collect());
        let their = median(runs.iter().map(|(_, their)| of(their)).collect());
        ratios.sort_by(f64::total_cmp);
        let note = format!(
            "{our:.2} {unit} beside Synapse's {their:.2}; median of {RUNS} alternating runs"
        );
        Row::new(name, median(ratios), "x", better).limit(limit).note(note)
    };
    let absolute = |name: &str, of: fn(&Found) -> f64, unit: &str, better: Better| {
        Row::new(name, median(runs.iter().map(|(our, _)| of(our)).collect()), unit, better)
    };
    let (lower, higher) = (Better::Lower, Better::Higher);
    Ok(vec![
        compared("matrix.messages_ratio", |it| it.per_s, 20.0, higher, "1/s"),
        absolute("matrix.messages_per_s", |it| it.per_s, "1/s", higher)
            .note(format!("{SENDERS} senders, one room of {MEMBERS}, the load on the same cores")),
        compared("matrix.seen_p50_ratio", |it| it.p50_ms, 0.1, lower, "ms"),
        compared("matrix.seen_p99_ratio", |it| it.p99_ms, 0.1, lower, "ms"),
        absolute("matrix.seen_p50_ms", |it| it.p50_ms, "ms", lower)
            .limit(5.0)
            .note("from sending to the answer of whoever waits for news"),
        absolute("matrix.seen_control_p99_ms", |it| it.control_p99_ms, "ms", lower)
            .note("the disk by itself between these messages: 64 KiB written and synced"),
        compared("matrix.initial_sync_ratio", |it| it.initial_ms, 0.1, lower, "ms"),
        absolute("matrix.initial_sync_ms", |it| it.initial_ms, "ms", lower)
            .note(format!("{ROOMS} rooms of {MESSAGES_EACH} messages")),
        Row::new("matrix.quiet_sync_cpu_ms", quiet, "ms", lower).limit(1.0).note(format!(
            "CPU for an answer without news, {ROOMS} rooms; Synapse's {their_quiet:.2}"
        )),
        Row::new("matrix.rss_ratio", rss / their_rss, "x", lower)
            .limit(0.5)
            .note(format!("{rss:.0} MB after the run beside Synapse's {their_rss:.0}")),
    ])
}

/// The node alone on PostgreSQL, under the same load.
pub(crate) async fn on_postgres() -> Result<Vec<Row>> {
    let town = town(Engine::Postgres)?;
    let mut node = town.node("a")?.start().await?;
    let pid = node.pid().context("the node has ended by itself")?;
    let ours = Field::lay(node.http(), pid, town.folder()).await?;
    let mut runs = Vec::new();
    for run in 0..RUNS {
        runs.push(ours.run(run).await?);
    }
    let quiet = ours.quiet().await?;
    node.stop().await?;
    let row = |name: &str, of: fn(&Found) -> f64, unit: &str, better: Better| {
        let value = median(runs.iter().map(of).collect());
        Row::new(name, value, unit, better).note(format!("median of {RUNS} runs"))
    };
    Ok(vec![
        row("matrix.messages_per_s_postgres", |it| it.per_s, "1/s", Better::Higher),
        row("matrix.seen_p50_ms_postgres", |it| it.p50_ms, "ms", Better::Lower),
        row("matrix.initial_sync_ms_postgres", |it| it.initial_ms, "ms", Better::Lower),
        Row::new("matrix.quiet_sync_cpu_ms_postgres", quiet, "ms", Better::Lower)
            .note("CPU of the node alone"),
    ])
}

/// Many clients that wait for news which do not come.
pub(crate) async fn pollers() -> Result<Vec<Row>> {
    let town = town(Engine::Sqlite)?;
    let mut node = town.node("a")?.start().await?;
    let pid = node.pid().context("the node has ended by itself")?;
    let mut waiting = JoinSet::new();
    for _ in 0..POLLERS {
        let guest = Client::guest(node.http()).await?;
        let mut line = Line::open(node.http(), guest.session().token()).await?;
        let sync = "/_matrix/client/v3/sync?set_presence=offline";
        let since = next_batch(&line.ask("GET", &format!("{sync}&timeout=0"), "").await?)?;
        waiting.spawn(async move {
            // They wait until the node ends, again and again.
            while line.ask("GET", &format!("{sync}&timeout=60000&since={since}"), "").await.is_ok()
            {
            }
        });
    }
    sleep(RESTING).await;
    let resident = resident_mb(pid)?;
    waiting.abort_all();
    node.stop().await?;
    let row = Row::new("matrix.pollers_mb", resident, "MB", Better::Lower).limit(150.0);
    Ok(vec![row.note(format!("resident, with {POLLERS} people who wait for news"))])
}
