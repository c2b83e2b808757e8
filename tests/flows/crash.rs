//! The node is killed again and again while people talk; nothing that it acknowledged may be lost.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::{sync::Notify, task::JoinSet, time::timeout};
use wayside_tests::{
    CallError, Client, Engine, EventId, MediaUri, RoomId, Seeded, SyncToken, Town,
};

use crate::damage::no_damage_in_sqlite;

const SENDERS: usize = 8;
const ROOMS: usize = 2;
const PICTURE_BYTES: usize = 48 * 1024;
/// A round ends after this many acknowledgements, chosen from the seed.
const ACKNOWLEDGED_BEFORE_KILL: (u64, u64) = (5, 120);
/// How long a round may take to come to them.
const LOAD_LIMIT: Duration = Duration::from_secs(15);
const PAGE: usize = 100;

#[tokio::test]
async fn crash_on_sqlite() -> Result<()> {
    crash(Engine::Sqlite, 50).await
}

#[tokio::test]
async fn crash_on_postgres() -> Result<()> {
    crash(Engine::Postgres, 10).await
}

async fn crash(engine: Engine, rounds: u64) -> Result<()> {
    let Some(town) = Town::found(engine)? else {
        return Ok(());
    };
    let full = std::env::var("WAYSIDE_TEST_EXTENT").is_ok_and(|extent| extent == "full");
    let rounds = if full { rounds * 4 } else { rounds };
    let mut seeded = Seeded::from_env(1);

    let mut node = town.node("a")?.start().await?;
    let mut crowd =
        Crowd::gather(&Client::register(node.http(), "host").await?, node.http()).await?;
    let mut ledger = Ledger::new();
    for round in 0..rounds {
        let load = crowd.load(round, &mut seeded);
        let target = seeded.between(ACKNOWLEDGED_BEFORE_KILL.0, ACKNOWLEDGED_BEFORE_KILL.1);
        load.count.reach(target).await.with_context(|| format!("round {round}"))?;
        node.kill().await?;
        let done = load.finish().await.with_context(|| format!("round {round}"))?;
        if engine == Engine::Sqlite && round % 10 == 0 {
            no_damage_in_sqlite(node.data()).await?;
        }

        node.restart().await?;
        crowd.follow(node.http());
        ledger.check(&crowd, done).await.with_context(|| format!("round {round}"))?;
    }

    ledger.check_all(&crowd).await?;
    let events: usize = ledger.rooms.iter().map(|(lines, _)| lines.len()).sum();
    println!("{rounds} rounds, {events} lines and {} media kept", ledger.media.len());
    node.stop().await?;
    if engine == Engine::Sqlite {
        no_damage_in_sqlite(node.data()).await?;
    }
    Ok(())
}

/// What was said by whom: unique, so that it shows when something is there twice.
type Line = String;

/// The people who put load on the node.
struct Crowd {
    senders: Vec<Client>,
    rooms: Vec<RoomId>,
}

impl Crowd {
    async fn gather(host: &Client, base: &reqwest::Url) -> Result<Self> {
        let mut rooms = Vec::new();
        for _ in 0..ROOMS {
            rooms.push(host.create_room(&json!({"preset": "public_chat"})).await?);
        }
        let mut senders = Vec::new();
        for number in 0..SENDERS {
            let sender = Client::register(base, &format!("sender{number}")).await?;
            for room in &rooms {
                sender.join(room).await?;
            }
            senders.push(sender);
        }
        Ok(Self { senders, rooms })
    }

    fn follow(&mut self, base: &reqwest::Url) {
        for sender in &mut self.senders {
            *sender = sender.at(base);
        }
    }

    fn room_of(&self, sender: usize) -> &RoomId {
        &self.rooms[sender % ROOMS]
    }

    fn load(&self, round: u64, seeded: &mut Seeded) -> Load {
        let count = Arc::new(Count::default());
        let mut tasks = JoinSet::new();
        for (number, client) in self.senders.iter().enumerate() {
            let talk =
                talk(client.clone(), self.room_of(number).clone(), number, round, count.clone());
            tasks.spawn(talk);
        }
        tasks.spawn(show(self.senders[0].clone(), seeded.number(), count.clone()));
        Load { count, tasks }
    }
}

/// Counts acknowledgements and wakes who waits for them.
#[derive(Default)]
struct Count {
    acknowledged: AtomicU64,
    changed: Notify,
}

impl Count {
    fn one_more(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    async fn reach(&self, target: u64) -> Result<()> {
        let reached = async {
            while self.acknowledged.load(Ordering::Relaxed) < target {
                self.changed.notified().await;
            }
        };
        let so_far = || self.acknowledged.load(Ordering::Relaxed);
        timeout(LOAD_LIMIT, reached).await.with_context(|| {
            format!("{} of {target} acknowledgements after {LOAD_LIMIT:?}", so_far())
        })
    }
}

/// A round of load under way.
struct Load {
    count: Arc<Count>,
    tasks: JoinSet<Result<Done>>,
}

impl Load {
    /// Waits until everybody has noticed that the node is gone.
    async fn finish(mut self) -> Result<Vec<Done>> {
        let mut done = Vec::new();
        while let Some(task) = self.tasks.join_next().await {
            done.push(task??);
        }
        Ok(done)
    }
}

/// What one task did in a round.
enum Done {
    Said { sender: usize, acknowledged: Vec<(Line, EventId)>, in_flight: Line },
    Showed { acknowledged: Vec<(MediaUri, u64)>, in_flight: Option<(MediaUri, u64)> },
}

/// Says line after line until the node is gone.
async fn talk(
    client: Client,
    room: RoomId,
    sender: usize,
    round: u64,
    count: Arc<Count>,
) -> Result<Done> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let line = format!("r{round}-s{sender}-n{number}");
        match client.send_text(&room, &line, &line).await {
            Ok(event) => acknowledged.push((line, event)),
            Err(CallError::Unanswered { .. }) => {
                return Ok(Done::Said { sender, acknowledged, in_flight: line });
            }
            Err(refused) => bail!(refused),
        }
        count.one_more();
    }
    unreachable!("the loop has no end of its own")
}

/// Uploads medium after medium until the node is gone: one under a name that was asked for before,
/// so that it is known what may be half there, and one without.
async fn show(client: Client, seed: u64, count: Arc<Count>) -> Result<Done> {
    let mut acknowledged = Vec::new();
    for seed in seed.. {
        let in_flight = match client.reserve_media().await {
            Ok(uri) => uri,
            Err(error) if is_unanswered(&error) => {
                return Ok(Done::Showed { acknowledged, in_flight: None });
            }
            Err(error) => return Err(error),
        };
        match client.upload_to(&in_flight, picture(seed)).await {
            Ok(()) => acknowledged.push((in_flight, seed)),
            Err(CallError::Unanswered { .. }) => {
                return Ok(Done::Showed { acknowledged, in_flight: Some((in_flight, seed)) });
            }
            Err(refused) => bail!(refused),
        }
        count.one_more();
        match client.upload("application/octet-stream", picture(!seed)).await {
            Ok(uri) => acknowledged.push((uri, !seed)),
            Err(CallError::Unanswered { .. }) => {
                return Ok(Done::Showed { acknowledged, in_flight: None });
            }
            Err(refused) => bail!(refused),
        }
        count.one_more();
    }
    unreachable!("the loop has no end of its own")
}

fn is_unanswered(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(CallError::Unanswered { .. }))
}

fn picture(seed: u64) -> Vec<u8> {
    Seeded::new(seed).bytes(PICTURE_BYTES)
}

/// The lines of a room by the event that carries each.
type Lines = BTreeMap<EventId, Line>;

/// Everything that the node has acknowledged in all rounds.
struct Ledger {
    /// For each room of the crowd its lines, and the newest event that was checked.
    rooms: Vec<(Lines, Option<EventId>)>,
    media: BTreeMap<MediaUri, u64>,
}

impl Ledger {
    fn new() -> Self {
        Self { rooms: vec![(Lines::new(), None); ROOMS], media: BTreeMap::new() }
    }

    /// Checks a round after the restart: what was in flight is sent again under its old transaction
    /// id or name, then every line must be there exactly once and every medium whole.
    async fn check(&mut self, crowd: &Crowd, done: Vec<Done>) -> Result<()> {
        let mut said = vec![Lines::new(); ROOMS];
        for each in done {
            match each {
                Done::Said { sender, acknowledged, in_flight } => {
                    let lines = said_by(crowd, sender, acknowledged, in_flight).await?;
                    said[sender % ROOMS].extend(lines);
                }
                Done::Showed { acknowledged, in_flight } => {
                    self.check_media(&crowd.senders[0], acknowledged, in_flight).await?;
                }
            }
        }
        for ((room, said), (lines, newest)) in crowd.rooms.iter().zip(said).zip(&mut self.rooms) {
            let (found, now_newest) = lines_since(&crowd.senders[0], room, newest.as_ref()).await?;
            same_lines(room, &found, &said)?;
            lines.extend(said);
            *newest = Some(now_newest);
        }
        Ok(())
    }

    async fn check_media(
        &mut self,
        client: &Client,
        acknowledged: Vec<(MediaUri, u64)>,
        in_flight: Option<(MediaUri, u64)>,
    ) -> Result<()> {
        for (uri, seed) in acknowledged {
            whole(client, &uri, seed).await?;
            self.media.insert(uri, seed);
        }
        if let Some((uri, seed)) = in_flight {
            if !is_there_whole(client, &uri, seed).await? {
                client.upload_to(&uri, picture(seed)).await?;
                whole(client, &uri, seed).await?;
            }
            self.media.insert(uri, seed);
        }
        Ok(())
    }

    /// Checks the whole of every round once more: a later crash may not take from an earlier one.
    async fn check_all(&self, crowd: &Crowd) -> Result<()> {
        let client = &crowd.senders[0];
        for (room, (lines, _)) in crowd.rooms.iter().zip(&self.rooms) {
            let (found, _) = lines_since(client, room, None).await?;
            same_lines(room, &found, lines)?;
        }
        for (uri, seed) in &self.media {
            whole(client, uri, *seed).await?;
        }
        Ok(())
    }
}

/// Sends what was in flight again, and the last acknowledged line too, which must keep its event.
/// Returns all that the sender has said in this round.
async fn said_by(
    crowd: &Crowd,
    sender: usize,
    acknowledged: Vec<(Line, EventId)>,
    in_flight: Line,
) -> Result<Lines> {
    let (client, room) = (&crowd.senders[sender], crowd.room_of(sender));
    if let Some((line, event)) = acknowledged.last() {
        let again = client.send_text(room, line, line).await?;
        ensure!(again == *event, "{line} was {event} and became {again} when sent again");
    }
    let event = client.send_text(room, &in_flight, &in_flight).await?;
    let lines = acknowledged.into_iter().map(|(line, event)| (event, line));
    Ok(lines.chain([(event, in_flight)]).collect())
}

/// Pages back through a room as far as the event `until`. Returns its lines and its newest event.
async fn lines_since(
    client: &Client,
    room: &RoomId,
    until: Option<&EventId>,
) -> Result<(Lines, EventId)> {
    let mut found = Lines::new();
    let mut newest = None;
    let mut from: Option<SyncToken> = None;
    'pages: loop {
        let (events, end) = client.messages(room, from.as_ref(), PAGE).await?;
        for event in &events {
            let id = EventId::of_event(event)?;
            newest.get_or_insert_with(|| id.clone());
            if until == Some(&id) {
                break 'pages;
            }
            if let Some(line) = line_of(event) {
                ensure!(found.insert(id, line).is_none(), "an event is on two pages of {room}");
            }
        }
        let Some(end) = end else { break };
        from = Some(end);
    }
    Ok((found, newest.with_context(|| format!("{room} is empty"))?))
}

/// Nothing lost, nothing twice, nothing that nobody said. A line that a reused transaction id made
/// twice shows here as an event that nobody was told of.
fn same_lines(room: &RoomId, found: &Lines, said: &Lines) -> Result<()> {
    let lost: Vec<_> = said.iter().filter(|(event, _)| !found.contains_key(*event)).collect();
    let strange: Vec<_> = found.iter().filter(|(event, _)| !said.contains_key(*event)).collect();
    ensure!(
        found == said,
        "{room}: acknowledged and lost {lost:?}, there but never acknowledged {strange:?}"
    );
    Ok(())
}

fn line_of(event: &Value) -> Option<Line> {
    event["content"]["body"].as_str().map(str::to_owned)
}

async fn whole(client: &Client, uri: &MediaUri, seed: u64) -> Result<()> {
    let bytes = client.download(uri).await?;
    ensure!(bytes == picture(seed), "{uri} came back as {} other bytes", bytes.len());
    Ok(())
}

/// Whether a medium is there; half of it must never be.
async fn is_there_whole(client: &Client, uri: &MediaUri, seed: u64) -> Result<bool> {
    match client.download(uri).await {
        Ok(bytes) => {
            ensure!(bytes == picture(seed), "half of {uri} is served: {} bytes", bytes.len());
            Ok(true)
        }
        Err(error) => {
            let is_absent = matches!(error.errcode(), Some("M_NOT_FOUND" | "M_NOT_YET_UPLOADED"));
            ensure!(is_absent, "neither there nor absent: {error}");
            Ok(false)
        }
    }
}
