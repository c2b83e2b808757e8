//! A node: the core, what it holds for good, and what it loses when it falls.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedServerName, OwnedUserId, RoomId, UInt};
use serde_json::{Value, json, value::to_raw_value};
use wayside_federation::{
    auth,
    event::{Draft, Event},
    key::ServerKey,
    outbox::{self, Item, Waiting},
    room::{self, Outcome, Placed, Shelf, Standing},
    state::{NodeId, StateKey},
    version::RoomVersion,
};

use crate::{
    check,
    hostile::Manner,
    job::Job,
    memory::{Memory, Spelled},
    plant::Plant,
    stage::{Ask, Effect, Made, Message, Reply, Stage, Timer, short},
};

/// How long a transaction or a question waits for its answer, in milliseconds.
const PATIENCE: u64 = 900;

pub(crate) struct Node {
    pub(crate) at: usize,
    pub(crate) name: OwnedServerName,
    pub(crate) key: ServerKey,
    /// By how many milliseconds its clock is ahead of a late one.
    pub(crate) skew: u64,
    pub(crate) plant: Option<Plant>,
    /// How it behaves, if it is a hostile one.
    pub(crate) manner: Option<Manner>,
    pub(crate) up: bool,
    /// How often it was started.
    pub(crate) life: u32,
    pub(crate) kept: Kept,
    pub(crate) lost: Lost,
    /// How many nodes there are.
    pub(crate) of: usize,
}

/// What survives a crash: each change of it is made in one step.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) memory: Option<Memory>,
    pub(crate) queues: BTreeMap<usize, Queue>,
    /// The transactions that were answered, by origin and id.
    pub(crate) answered: HashSet<(usize, String)>,
    /// What the application was told of the room, in order.
    pub(crate) shown: Vec<OwnedEventId>,
    /// What the application was told beside it, in order; each once.
    pub(crate) whispers: Vec<String>,
    /// What came out of each origin's queue, in the order in which it was first worked on.
    pub(crate) handed: BTreeMap<usize, Vec<String>>,
    /// Events that are named and not here, for a state after them was believed instead.
    pub(crate) gaps: BTreeSet<OwnedEventId>,
    /// Whether it wants to be in the room.
    pub(crate) wants_in: bool,
    /// When it came in.
    pub(crate) in_since: u64,
}

/// What waits for one destination.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Vec<Waiting>,
    /// All that ever waited.
    pub(crate) all: Vec<String>,
}

/// What a crash takes.
#[derive(Default)]
pub(crate) struct Lost {
    pub(crate) shelf: Shelf,
    pub(crate) jobs: BTreeMap<u64, Job>,
    /// The transaction on its way to each destination.
    flights: BTreeMap<usize, Flight>,
    /// The question by which it wants to be let in, and the joining that it made.
    joining: Option<(u64, Option<Event>)>,
    numbers: u64,
}

struct Flight {
    id: String,
    pdus: Vec<String>,
    edus: Vec<String>,
    upto: i64,
    tries: u32,
}

impl Node {
    /// Somebody of this node.
    pub(crate) fn user(&self, name: &str) -> OwnedUserId {
        OwnedUserId::try_from(format!("@{name}:{}", self.name)).unwrap()
    }

    pub(crate) fn memory(&self) -> Option<&Memory> {
        self.kept.memory.as_ref()
    }

    pub(crate) fn is_tired(&self) -> bool {
        self.manner.as_ref().is_some_and(|manner| manner.is_tired)
    }

    pub(crate) fn crash(&mut self) {
        self.up = false;
        self.lost = Lost::default();
    }

    pub(crate) fn start(&mut self, stage: &mut Stage) {
        self.up = true;
        self.life += 1;
        for to in self.kept.queues.keys().copied().collect::<Vec<_>>() {
            self.push(stage, to);
        }
        if self.kept.wants_in && self.kept.memory.is_none() {
            self.wake(stage, 1, Timer::Join);
        }
    }

    pub(crate) fn wake(&self, stage: &mut Stage, after: u64, timer: Timer) {
        let (node, life) = (self.at, self.life);
        stage.effects.push(Effect::Wake { node, life, after, timer });
    }

    /// A number that no question and no work of this node ever had.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.lost.numbers += 1;
        u64::from(self.life) * 1_000_000 + self.lost.numbers
    }

    pub(crate) fn hear(&mut self, stage: &mut Stage, from: usize, message: Message) {
        match message {
            Message::Transaction { id, pdus, edus } => self.take(stage, from, id, pdus, edus),
            Message::Answer { id } => {
                if self.lost.flights.get(&from).is_some_and(|flight| flight.id == id) {
                    let upto = self.lost.flights.remove(&from).map_or(0, |flight| flight.upto);
                    let queue = self.kept.queues.entry(from).or_default();
                    queue.waiting.retain(|waiting| waiting.position > upto);
                    self.push(stage, from);
                }
            }
            Message::Ask { number, ask } => {
                if let Some(reply) = self.reply(stage, from, ask) {
                    stage.send(self.at, from, Message::Reply { number, reply });
                }
            }
            Message::Reply { number, reply } => {
                if self.lost.joining.as_ref().is_some_and(|(asked, _)| *asked == number) {
                    self.go_in(stage, from, reply);
                } else {
                    self.resume(stage, number, Some(reply));
                }
            }
        }
    }

    pub(crate) fn ring(&mut self, stage: &mut Stage, timer: Timer) {
        match timer {
            Timer::Retry { to } => self.push(stage, to),
            Timer::Silence { number } => self.resume(stage, number, None),
            Timer::Step { job } => self.step(stage, job),
            Timer::Join if self.kept.memory.is_none() && !self.is_tired() => {
                let hosts: Vec<usize> = (0..self.of)
                    .filter(|at| *at != self.at && Some(*at) != stage.hostile)
                    .collect();
                // Mostly the founder, who is there first.
                let host = if stage.chance(50) { 0 } else { *stage.pick(&hosts) };
                let number = self.next_number();
                self.lost.joining = Some((number, None));
                let user = self.user(if self.manner.is_some() { "mallory" } else { "resident" });
                let ask = Ask::MakeJoin { user };
                stage.send(self.at, host, Message::Ask { number, ask });
                self.wake(stage, 2 * PATIENCE, Timer::Join);
            }
            Timer::Join => {}
        }
    }

    /// Asks a question and waits for its reply; the question's number.
    pub(crate) fn ask(&mut self, stage: &mut Stage, whom: usize, ask: Ask) -> u64 {
        let number = self.next_number();
        stage.send(self.at, whom, Message::Ask { number, ask });
        self.wake(stage, PATIENCE, Timer::Silence { number });
        number
    }

    /// Sends the transaction that is due to a destination, again if it was sent before.
    fn push(&mut self, stage: &mut Stage, to: usize) {
        if self.is_tired() {
            return;
        }
        let queue = self.kept.queues.entry(to).or_default();
        if !self.lost.flights.contains_key(&to) {
            let Some(transaction) = outbox::next(&queue.waiting, usize::MAX, &[], [0; 16]) else {
                return;
            };
            let outbox::Transaction { mut id, pdus, edus, upto } = transaction;
            if self.plant == Some(Plant::ReusedTransactionId) {
                self.lost.numbers += 1;
                id = self.lost.numbers.to_string();
            }
            self.lost
                .flights
                .insert(to, Flight { id, pdus, edus, upto: upto.unwrap_or(0), tries: 0 });
        }
        let Some(flight) = self.lost.flights.get_mut(&to) else { return };
        flight.tries += 1;
        let (id, pdus, edus) = (flight.id.clone(), flight.pdus.clone(), flight.edus.clone());
        let wait = PATIENCE * u64::from(flight.tries.min(6));
        stage.send(self.at, to, Message::Transaction { id, pdus, edus });
        self.wake(stage, wait, Timer::Retry { to });
    }

    /// Puts something into the queue of a destination.
    fn enqueue(&mut self, stage: &mut Stage, to: usize, item: Item) {
        let queue = self.kept.queues.entry(to).or_default();
        let (Item::Pdu(text) | Item::Edu(text)) = &item;
        queue.all.push(text.clone());
        let position = i64::try_from(queue.all.len()).unwrap();
        queue.waiting.push(Waiting { position, item });
        if !self.lost.flights.contains_key(&to) {
            self.push(stage, to);
        }
    }

    /// Tells another node something that stands in no room.
    pub(crate) fn whisper(&mut self, stage: &mut Stage, to: usize) {
        let count = self.kept.queues.get(&to).map_or(0, |queue| queue.all.len());
        let text = format!("{{\"message_id\":\"{}-{to}-{count}\"}}", self.at);
        self.enqueue(stage, to, Item::Edu(text));
    }

    /// Makes an event on top of all heads and sends it to everybody; none if it is not allowed.
    pub(crate) fn say(
        &mut self,
        stage: &mut Stage,
        sender: &OwnedUserId,
        kind: &str,
        state_key: Option<&str>,
        content: &Value,
    ) -> Option<Event> {
        let memory = self.kept.memory.as_ref()?;
        let content = to_raw_value(content).unwrap();
        let version = stage.version;
        let keys = auth::auth_keys(version, &kind.into(), sender, state_key, &content).unwrap();
        let cited = keys.iter().filter_map(|key| memory.at(memory.room.state, key));
        let auth = cited.map(|event| event.id().to_owned()).collect();
        let prev = room::prev_events(&memory.room.heads);
        let draft = Draft {
            kind: kind.into(),
            state_key: state_key.map(ToOwned::to_owned),
            sender: sender.clone(),
            content,
            redacts: None,
            origin_server_ts: self.clock(stage),
        };
        let event = draft.seal(version, Some(&memory.room.id), &prev, auth, &self.key).unwrap();
        let Ok(Outcome::Placed(placed)) = memory.decide(&mut self.lost.shelf, &event, None) else {
            return None;
        };
        if placed.standing != Standing::Accepted || placed.refusal.is_some() {
            return None;
        }
        self.publish(stage, &event, *placed, None);
        if self.manner.is_none() {
            stage.made.push(Made { at: stage.now, event: event.clone() });
        }
        Some(event)
    }

    /// Makes a room, and is in it.
    pub(crate) fn found(&mut self, stage: &mut Stage) {
        let founder = self.user("resident");
        let mut content = json!({ "room_version": stage.version.as_str() });
        if stage.version == RoomVersion::V10 {
            content["creator"] = json!(founder);
        }
        let draft = Draft {
            kind: "m.room.create".into(),
            state_key: Some(String::new()),
            sender: founder.clone(),
            content: to_raw_value(&content).unwrap(),
            redacts: None,
            origin_server_ts: self.clock(stage),
        };
        let named = RoomId::parse("!room:n0.example").unwrap();
        let named = (stage.version != RoomVersion::V12).then_some(&*named);
        let create = draft.seal(stage.version, named, &[], Vec::new(), &self.key).unwrap();
        let memory = Memory::new(stage.version, create.room_id().to_owned(), self.plant);
        let decided = memory.decide(&mut self.lost.shelf, &create, None);
        let Ok(Outcome::Placed(placed)) = decided else { panic!("{decided:?}") };
        self.kept.memory = Some(memory);
        self.store(stage, &create, *placed);
        let join = json!({ "membership": "join" });
        self.say(stage, &founder, "m.room.member", Some(founder.as_str()), &join).unwrap();
    }

    fn clock(&self, stage: &Stage) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(UInt::try_from(1_000_000 + stage.now + self.skew).unwrap())
    }

    /// Stores an event that this node answers for, and queues it for all who are in the room.
    fn publish(&mut self, stage: &mut Stage, event: &Event, placed: Placed, but: Option<usize>) {
        let mut to = self.others();
        self.store(stage, event, placed);
        to.extend(self.others());
        to.sort_unstable();
        to.dedup();
        for to in to.into_iter().filter(|to| Some(*to) != but) {
            self.enqueue(stage, to, Item::Pdu(event.json().to_owned()));
        }
    }

    /// The other nodes that have somebody in the room.
    pub(crate) fn others(&self) -> Vec<usize> {
        let Some(memory) = &self.kept.memory else { return Vec::new() };
        let members = check::members(memory);
        let servers: HashSet<&str> = members
            .iter()
            .filter(|(_, membership)| *membership == "join")
            .filter_map(|(user, _)| user.split_once(':').map(|(_, server)| server))
            .collect();
        (0..self.of).filter(|at| *at != self.at && servers.contains(&*server(*at))).collect()
    }

    /// Writes an event down, and tells the application.
    pub(crate) fn store(&mut self, stage: &mut Stage, event: &Event, placed: Placed) {
        let Some(memory) = &mut self.kept.memory else { return };
        let standing = placed.standing;
        stage.note(|| {
            let why = placed.refusal.as_ref().map(ToString::to_string).unwrap_or_default();
            let (id, kind) = (short(event.id()), event.kind());
            format!("n{} stores {id} {kind} by {}: {standing:?} {why}", self.at, event.sender())
        });
        let honest = self.manner.is_none();
        if honest && standing == Standing::Accepted {
            check::may_be_shown(stage, self.at, memory, event);
            self.kept.shown.push(event.id().to_owned());
        }
        let changed = !placed.changed.is_empty();
        let was =
            if stage.is_traced() { memory.spelled(memory.room.state) } else { Spelled::new() };
        memory.store(&mut self.lost.shelf, event, placed);
        stage.note(|| {
            let now = memory.spelled(memory.room.state);
            let keys: BTreeSet<_> = was.keys().chain(now.keys()).collect();
            let other = keys.into_iter().filter(|key| {
                was.get(key) != now.get(key) && now.get(key).is_none_or(|id| id != event.id())
            });
            let line =
                |key: &StateKey| format!("{} {} {:?}", key.kind, key.key, now.get(key).map(short));
            let heads: Vec<String> = memory.room.heads.iter().map(|it| short(&it.id)).collect();
            let moved: Vec<String> = other.map(line).collect();
            format!("n{} now {moved:?} with heads {heads:?}", self.at)
        });
        if honest && changed {
            check::nobody_rose(stage, self.at, memory);
        }
    }

    /// The answer to another node's question; none if it keeps silent.
    fn reply(&mut self, stage: &mut Stage, from: usize, ask: Ask) -> Option<Reply> {
        if let Some(manner) = &self.manner
            && let Some(reply) = manner.reply(stage, self.memory(), &ask)
        {
            return reply;
        }
        let Some(memory) = &self.kept.memory else { return Some(Reply::Refused) };
        let texts =
            |events: Vec<&Event>| events.into_iter().map(|it| it.json().to_owned()).collect();
        Some(match ask {
            Ask::Events { ids, limit } => {
                Reply::Events(texts(memory.backwards(&ids, limit.min(50))))
            }
            Ask::State { before } => match memory.before(&before) {
                Some(root) => {
                    let state = memory.events_of(root);
                    Reply::State { chain: texts(memory.chain(&state)), state: texts(state) }
                }
                None => Reply::Refused,
            },
            Ask::MakeJoin { user } => self.template(stage, &user),
            Ask::SendJoin { pdu } => self.let_in(stage, from, &pdu),
        })
    }

    fn template(&self, stage: &Stage, user: &OwnedUserId) -> Reply {
        let Some(memory) = &self.kept.memory else { return Reply::Refused };
        let content = to_raw_value(&json!({ "membership": "join" })).unwrap();
        let kind = "m.room.member".into();
        let keys = auth::auth_keys(stage.version, &kind, user, Some(user.as_str()), &content);
        let root = memory.room.state;
        let held = |key| memory.at(root, key).map(|event| event.id().to_owned());
        let auth = keys.unwrap().iter().filter_map(held).collect();
        let prev = room::prev_events(&memory.room.heads);
        Reply::Template { room: memory.room.id.clone(), prev, auth }
    }

    fn let_in(&mut self, stage: &mut Stage, from: usize, pdu: &str) -> Reply {
        let Some(event) = stage.receive(pdu) else { return Reply::Refused };
        let Some(memory) = &self.kept.memory else { return Reply::Refused };
        match memory.decide(&mut self.lost.shelf, &event, None) {
            Ok(Outcome::Placed(placed)) if placed.standing == Standing::Accepted => {
                self.publish(stage, &event, *placed, Some(from));
            }
            Ok(Outcome::Known) => {}
            _ => return Reply::Refused,
        }
        self.reply(stage, from, Ask::State { before: event.id().to_owned() })
            .unwrap_or(Reply::Refused)
    }

    /// One step further into the room.
    fn go_in(&mut self, stage: &mut Stage, from: usize, reply: Reply) {
        let Some((_, join)) = self.lost.joining.take() else { return };
        match (reply, join) {
            (Reply::Template { room, prev, auth }, None) => {
                let user = self.user(if self.manner.is_some() { "mallory" } else { "resident" });
                let draft = Draft {
                    kind: "m.room.member".into(),
                    state_key: Some(user.to_string()),
                    sender: user,
                    content: to_raw_value(&json!({ "membership": "join" })).unwrap(),
                    redacts: None,
                    origin_server_ts: self.clock(stage),
                };
                let sealed = draft.seal(stage.version, Some(&room), &prev, auth, &self.key);
                let Ok(event) = sealed else { return };
                let number = self.next_number();
                let ask = Ask::SendJoin { pdu: event.json().to_owned() };
                stage.send(self.at, from, Message::Ask { number, ask });
                self.lost.joining = Some((number, Some(event)));
            }
            (Reply::State { state, chain }, Some(join)) => {
                self.settle(stage, &join, &state, &chain);
            }
            _ => {}
        }
    }

    /// Begins the room as it was told.
    fn settle(&mut self, stage: &mut Stage, join: &Event, state: &[String], chain: &[String]) {
        let state: Vec<Event> = state.iter().filter_map(|text| stage.receive(text)).collect();
        let chain: Vec<Event> = chain.iter().filter_map(|text| stage.receive(text)).collect();
        let Ok(begun) = room::begin(stage.version, join, &state, &chain) else { return };
        let mut memory = Memory::new(stage.version, join.room_id().to_owned(), self.plant);
        self.lost.shelf = Shelf::new();
        let shelf = &mut self.lost.shelf;
        memory.take_outliers(shelf, &begun.events);
        let held: Vec<OwnedEventId> = begun.state.values().cloned().collect();
        let Some(root) = memory.state_of(&held) else { return };
        memory.room.state = root;
        let Ok(Outcome::Placed(placed)) = memory.decide(shelf, join, Some(root)) else { return };
        self.kept.memory = Some(memory);
        self.kept.in_since = stage.now;
        self.store(stage, join, *placed);
        if self.manner.is_none() {
            stage.made.push(Made { at: stage.now, event: join.clone() });
        }
    }

    /// What the core says of an event.
    pub(crate) fn decide(
        &mut self,
        event: &Event,
        given: &HashMap<OwnedEventId, NodeId>,
    ) -> Result<Outcome, String> {
        let memory = self.kept.memory.as_ref().ok_or("there is no such room")?;
        memory.decide(&mut self.lost.shelf, event, given.get(event.id()).copied())
    }
}

/// The name of the server at a place.
pub(crate) fn server(at: usize) -> String {
    format!("n{at}.example")
}
