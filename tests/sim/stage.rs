//! What all actors of one seed share: the time, the dice, what is sent, and what is held against them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Display,
};

use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId};
use wayside_federation::{
    event::Event,
    key::{PublicKeys, ServerKey},
    version::RoomVersion,
};
use wayside_tests::Seeded;

/// What one node says to another.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Transaction { id: String, pdus: Vec<String>, edus: Vec<String> },
    Answer { id: String },
    Ask { number: u64, ask: Ask },
    Reply { number: u64, reply: Reply },
}

#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// These events and what lies before them, so many in all.
    Events {
        ids: Vec<OwnedEventId>,
        limit: usize,
    },
    /// The state before an event, with all that it rests on.
    State {
        before: OwnedEventId,
    },
    /// Where somebody's joining would stand.
    MakeJoin {
        user: OwnedUserId,
    },
    SendJoin {
        pdu: String,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Events(Vec<String>),
    State { state: Vec<String>, chain: Vec<String> },
    Template { room: OwnedRoomId, prev: Vec<(OwnedEventId, u64)>, auth: Vec<OwnedEventId> },
    Refused,
}

/// What a node waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timer {
    /// The answer to a transaction.
    Retry { to: usize },
    /// The reply to a question.
    Silence { number: u64 },
    /// The next step of its work on a transaction.
    Step { job: u64 },
    /// To be let into the room.
    Join,
}

/// What an actor wants to happen.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Send { from: usize, to: usize, message: Message },
    Wake { node: usize, life: u32, after: u64, timer: Timer },
}

/// An event that an honest node made, for it was authorised.
pub(crate) struct Made {
    pub(crate) at: u64,
    pub(crate) event: Event,
}

/// How often what happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Events of the rooms.
    pub(crate) events: u64,
    /// Honest events at honest nodes.
    pub(crate) judged: u64,
    /// Those among them that were soft-failed.
    pub(crate) soft_failed: u64,
    /// States that were told and believed.
    pub(crate) given: u64,
    /// Bans that had to hold.
    pub(crate) bans: u64,
    /// Attacks by their names.
    pub(crate) attacks: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.judged += other.judged;
        self.soft_failed += other.soft_failed;
        self.given += other.given;
        self.bans += other.bans;
        for (name, count) in &other.attacks {
            *self.attacks.entry(name).or_default() += count;
        }
    }
}

pub(crate) struct Stage {
    pub(crate) version: RoomVersion,
    pub(crate) now: u64,
    pub(crate) dice: Seeded,
    pub(crate) effects: Vec<Effect>,
    pub(crate) made: Vec<Made>,
    /// The highest level that an honest event ever gave to somebody of the hostile server.
    pub(crate) granted: i64,
    /// Whether a hostile moderator made another, which they may.
    pub(crate) passed_on: bool,
    /// Whether somebody hostile takes part.
    pub(crate) hostile: Option<usize>,
    /// What must not be and was seen.
    pub(crate) broken: Vec<String>,
    pub(crate) counts: Counts,
    keys: PublicKeys,
    /// Reading and verifying are functions of the text alone: each text is verified once.
    read: HashMap<String, Option<Event>>,
    trace: Option<Vec<String>>,
}

impl Stage {
    pub(crate) fn new(seed: u64, version: RoomVersion, traced: bool) -> Self {
        Self {
            version,
            now: 0,
            dice: Seeded::new(seed),
            effects: Vec::new(),
            made: Vec::new(),
            granted: 0,
            passed_on: false,
            hostile: None,
            broken: Vec::new(),
            counts: Counts::default(),
            keys: PublicKeys::new(),
            read: HashMap::new(),
            trace: traced.then(Vec::new),
        }
    }

    pub(crate) fn trust(&mut self, server: &OwnedServerName, key: &ServerKey) {
        self.keys.insert(server, key.key_id().as_str(), &key.public_key_base64()).unwrap();
    }

    /// Checks 1 to 3 on receipt; none of a text that fails them.
    pub(crate) fn receive(&mut self, json: &str) -> Option<Event> {
        if let Some(known) = self.read.get(json) {
            return known.clone();
        }
        let event = Event::receive(self.version, json)
            .and_then(|event| event.verify(self.version, &self.keys))
            .ok();
        self.read.insert(json.to_owned(), event.clone());
        event
    }

    pub(crate) fn send(&mut self, from: usize, to: usize, message: Message) {
        self.effects.push(Effect::Send { from, to, message });
    }

    /// One of so many sides.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        usize::try_from(self.dice.between(0, sides as u64 - 1)).unwrap()
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.dice.between(1, 100) <= percent
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }

    /// Notes something that must not be.
    pub(crate) fn blame(&mut self, what: String) {
        self.note(|| format!("BROKEN {what}"));
        self.broken.push(what);
    }

    /// Writes a line of the trace, if there is one.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>7} {}", self.now, line()));
        }
    }

    pub(crate) fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    pub(crate) fn trace(self) -> Vec<String> {
        self.trace.unwrap_or_default()
    }
}

/// The beginning of an id, which is enough to tell them apart in one room.
pub(crate) fn short(id: impl Display) -> String {
    id.to_string().chars().take(8).collect()
}
