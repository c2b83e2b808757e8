//! One seed: its nodes, its calamities and its peace, as a queue of what happens when.

use std::collections::BTreeMap;

use wayside_federation::{key::ServerKey, version::RoomVersion};

use crate::{
    check, hostile,
    hostile::Manner,
    link::Links,
    node::{Kept, Lost, Node, server},
    plant::Plant,
    stage::{Counts, Effect, Message, Stage, Timer},
    workload,
};

/// How long the trouble lasts, in milliseconds.
const TROUBLE: u64 = 40_000;
/// Happenings after which a seed is given up: it would never be quiet.
const MOST: u64 = 60_000;

enum Happening {
    Arrive { from: usize, to: usize, message: Message },
    Ring { node: usize, life: u32, timer: Timer },
    Act { node: usize },
    Attack { node: usize },
    Fall { node: usize },
    Rise { node: usize },
    Part { nodes: Vec<usize> },
    Meet,
}

struct World {
    stage: Stage,
    nodes: Vec<Node>,
    links: Links,
    coming: BTreeMap<(u64, u64), Happening>,
    scheduled: u64,
}

/// What came of a seed.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) broken: Vec<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) counts: Counts,
}

/// Runs a seed to its end. With a plant, one honest node or all of them carry it.
pub(crate) fn run(seed: u64, plant: Option<Plant>, traced: bool) -> Report {
    let mut world = World::new(seed, plant, traced);
    world.trouble();
    world.peace();
    check::at_the_end(&mut world.stage, &world.nodes);
    let mut stage = world.stage;
    stage.counts.events = world.nodes[0].memory().map_or(0, |memory| memory.placed.len() as u64);
    let (broken, counts) = (std::mem::take(&mut stage.broken), stage.counts.clone());
    Report { broken, counts, trace: stage.trace() }
}

impl World {
    fn new(seed: u64, plant: Option<Plant>, traced: bool) -> Self {
        let version = RoomVersion::ALL[usize::try_from(seed % 3).unwrap()];
        let mut stage = Stage::new(seed, version, traced);
        let honest = 3 + stage.roll(2);
        let of = honest + usize::from(stage.chance(75));
        stage.hostile = (of > honest).then_some(honest);
        let everywhere = stage.chance(30);
        let mut nodes = Vec::new();
        for at in 0..of {
            let name = server(at).as_str().try_into().unwrap();
            let key = ServerKey::from_seed([u8::try_from(at).unwrap() + 1; 32], "k").unwrap();
            stage.trust(&name, &key);
            let is_hostile = stage.hostile == Some(at);
            let manner = is_hostile.then(|| Manner::drawn(&mut stage));
            nodes.push(Node {
                at,
                name,
                key,
                skew: stage.dice.between(0, 20_000),
                plant: plant.filter(|_| !is_hostile && (everywhere || at == 1)),
                manner,
                up: true,
                life: 1,
                kept: Kept::default(),
                lost: Lost::default(),
                of,
            });
        }
        let links = Links::drawn(&mut stage.dice);
        Self { stage, nodes, links, coming: BTreeMap::new(), scheduled: 0 }
    }

    fn at(&mut self, time: u64, happening: Happening) {
        self.scheduled += 1;
        self.coming.insert((time, self.scheduled), happening);
    }

    /// Draws everything that will go wrong, and lets it happen.
    fn trouble(&mut self) {
        let honest = self.nodes.iter().filter(|node| node.manner.is_none()).count();
        workload::open(&mut self.stage, &mut self.nodes[0], honest);
        for at in 1..self.nodes.len() {
            let late = self.stage.chance(30) && self.nodes[at].manner.is_none();
            let time = if late { self.stage.dice.between(0, TROUBLE / 2) } else { 1 };
            self.nodes[at].kept.wants_in = true;
            let life = self.nodes[at].life;
            self.at(time, Happening::Ring { node: at, life, timer: Timer::Join });
        }
        for _ in 0..self.stage.dice.between(40, 90) {
            let (time, node) = (self.stage.dice.between(500, TROUBLE), self.stage.roll(honest));
            self.at(time, Happening::Act { node });
        }
        if let Some(node) = self.stage.hostile {
            for _ in 0..self.stage.dice.between(5, 25) {
                let time = self.stage.dice.between(1_000, TROUBLE);
                self.at(time, Happening::Attack { node });
            }
        }
        for _ in 0..self.stage.roll(6) {
            let (time, node) = (self.stage.dice.between(500, TROUBLE), self.stage.roll(honest));
            let back = time + self.stage.dice.between(200, 8_000);
            self.at(time, Happening::Fall { node });
            self.at(back, Happening::Rise { node });
        }
        for _ in 0..self.stage.roll(4) {
            let time = self.stage.dice.between(500, TROUBLE);
            let nodes = (0..self.nodes.len()).filter(|_| self.stage.chance(50)).collect();
            self.at(time, Happening::Part { nodes });
            let back = time + self.stage.dice.between(1_000, 12_000);
            self.at(back, Happening::Meet);
        }
        while self.coming.first_key_value().is_some_and(|((time, _), _)| *time < TROUBLE) {
            self.happen();
        }
    }

    /// Lets everything be heard, and every honest node say something, until the branches are one.
    fn peace(&mut self) {
        self.links.heal();
        self.stage.note(|| "all is healed".to_owned());
        self.coming
            .retain(|_, what| !matches!(what, Happening::Act { .. } | Happening::Attack { .. }));
        for node in &mut self.nodes {
            if let Some(manner) = &mut node.manner {
                manner.is_tired = true;
            }
            if !node.up {
                node.start(&mut self.stage);
            }
        }
        self.quiet();
        workload::open_door(&mut self.stage, &mut self.nodes[0]);
        self.quiet();
        let honest: Vec<usize> =
            (0..self.nodes.len()).filter(|at| Some(*at) != self.stage.hostile).collect();
        for at in &honest {
            workload::join_up(&mut self.stage, &mut self.nodes[*at]);
        }
        self.quiet();
        for _ in 0..4 {
            for at in &honest {
                workload::join_up(&mut self.stage, &mut self.nodes[*at]);
                self.quiet();
            }
            let one = |node: &Node| node.memory().is_none_or(|it| it.room.heads.len() == 1);
            if self.nodes.iter().filter(|node| node.manner.is_none()).all(one) {
                break;
            }
        }
    }

    fn quiet(&mut self) {
        self.spread();
        while !self.coming.is_empty() {
            if self.scheduled > MOST {
                self.stage.blame("it never becomes quiet".to_owned());
                self.coming.clear();
                return;
            }
            self.happen();
        }
    }

    /// The next thing happens.
    fn happen(&mut self) {
        let Some(((time, _), what)) = self.coming.pop_first() else { return };
        self.stage.now = self.stage.now.max(time);
        let stage = &mut self.stage;
        match what {
            Happening::Arrive { from, to, message } => {
                if self.nodes[to].up {
                    self.nodes[to].hear(stage, from, message);
                }
            }
            Happening::Ring { node, life, timer } => {
                let node = &mut self.nodes[node];
                if node.up && node.life == life {
                    node.ring(stage, timer);
                }
            }
            Happening::Act { node } if self.nodes[node].up => {
                workload::act(stage, &mut self.nodes[node]);
            }
            Happening::Attack { node } => {
                hostile::bring(stage, &mut self.nodes[node]);
                hostile::attack(stage, &mut self.nodes[node]);
            }
            Happening::Fall { node } if self.nodes[node].up => {
                stage.note(|| format!("n{node} falls"));
                self.nodes[node].crash();
            }
            Happening::Rise { node } if !self.nodes[node].up => {
                stage.note(|| format!("n{node} rises"));
                self.nodes[node].start(stage);
            }
            Happening::Part { nodes } => {
                stage.note(|| format!("{nodes:?} are apart"));
                self.links.apart = nodes.into_iter().collect();
            }
            Happening::Meet => self.links.apart.clear(),
            Happening::Act { .. } | Happening::Fall { .. } | Happening::Rise { .. } => {}
        }
        self.spread();
    }

    /// Gives what was sent to the links, and what is waited for to the queue.
    fn spread(&mut self) {
        for effect in std::mem::take(&mut self.stage.effects) {
            let now = self.stage.now;
            match effect {
                Effect::Wake { node, life, after, timer } => {
                    self.at(now + after, Happening::Ring { node, life, timer });
                }
                Effect::Send { from, to, message } => {
                    for delay in self.links.carry(from, to, &mut self.stage.dice) {
                        let message = message.clone();
                        self.at(now + delay, Happening::Arrive { from, to, message });
                    }
                }
            }
        }
    }
}
