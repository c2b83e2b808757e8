//! What it costs to join two branches of a large room that have gone apart for long, in milliseconds of CPU.
//!
//! Standard output gets the row for `make bench`, standard error all costs.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot build its room has nothing to measure"
)]

mod room;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use ruma::{OwnedEventId, OwnedRoomId};
use serde_json::{Value, json};
use wayside_federation::{
    event::{Draft, Event},
    room::{
        Arrival, CITING, Halt, Head, Known, Lookup, Need, Outcome, Placed, Shelf, Standing, admit,
    },
    state::{self, EventNo, NodeId},
    version::RoomVersion,
};

use room::{Room, cpu_us, draft, row, user};

/// Members of the room, its events, and the entries on which its branches differ.
const MEMBERS: usize = 2_000;
const EVENTS: usize = 20_000;
const ENTRIES: usize = 1_000;
/// What joining the branches may cost, in milliseconds of CPU.
const LIMIT_MS: f64 = 50.0;
const ROUNDS: usize = 40;
/// As a node loads: from this round on with what is cited, and so many events at once.
const DEEP: usize = 3;
const DEEP_EVENTS: usize = 2_000;

fn main() {
    let mut all: Vec<_> =
        RoomVersion::ALL.iter().map(|version| (Branches::grow(*version), Cost::NONE_YET)).collect();
    // Taking turns, so that none has all its rounds while the machine is slow.
    for _ in 0..ROUNDS {
        for (branches, cost) in &mut all {
            cost.lower(&branches.cost());
        }
    }
    let mut worst = (0.0, String::new());
    for (branches, cost) in &all {
        let told = branches.told(cost);
        eprintln!("{told}");
        if cost.whole_ms > worst.0 {
            worst = (cost.whole_ms, told);
        }
    }
    let note = format!("CPU, the worst of all versions: {}", worst.1);
    row("federation.resolution_ms", worst.0, "ms", LIMIT_MS, &note);
}

/// What a decision costs.
struct Cost {
    whole_ms: f64,
    /// The last look, at which nothing is missed any more.
    last_ms: f64,
    rounds: usize,
}

impl Cost {
    const NONE_YET: Self = Self { whole_ms: f64::MAX, last_ms: f64::MAX, rounds: 0 };

    /// The lower of both: what is above it, others have cost.
    fn lower(&mut self, other: &Self) {
        self.whole_ms = self.whole_ms.min(other.whole_ms);
        self.last_ms = self.last_ms.min(other.last_ms);
        self.rounds = other.rounds;
    }
}

/// A room with two branches: one is known whole, of the other the newest event comes in.
struct Branches {
    room: Room,
    /// The state after each event of a branch.
    after: HashMap<OwnedEventId, NodeId>,
    /// By the event that is cited, those that cite it, the highest first.
    citing: HashMap<OwnedEventId, Vec<EventNo>>,
    left: Head,
    /// The newest event of the other branch, which names the one before it.
    newest: Event,
}

impl Branches {
    fn grow(version: RoomVersion) -> Self {
        let mut room = Room::build(version, MEMBERS);
        let base = room.root;
        let mut last = room.events.last().unwrap().clone();
        let (left, right) = (left(version), right(version));
        while room.events.len() + left.len() + right.len() < EVENTS {
            let number = room.events.len();
            let said = json!({ "msgtype": "m.text", "body": format!("message {number}") });
            let ts = 10 + u64::try_from(number).unwrap();
            last =
                room.seal(draft(number % MEMBERS, "m.room.message", None, &said, ts), &last, base);
            room.keep(&last, base);
        }
        let mut after = HashMap::from([(last.id().to_owned(), base)]);
        let mut heads = Vec::new();
        for acts in [left, right] {
            let (mut head, mut newest) = (base, last.clone());
            for act in acts {
                newest = room.seal(act, &newest, head);
                head = room.keep(&newest, head);
                after.insert(newest.id().to_owned(), head);
            }
            heads.push((newest, head));
        }
        let ((newest, of_right), (of_left, root)) = (heads.pop().unwrap(), heads.pop().unwrap());
        let differences = state::diff(root, of_right, |id| room.nodes.get(id).cloned()).unwrap();
        assert_eq!(differences.len(), ENTRIES);
        assert_eq!(room.events.len(), EVENTS);
        let left = Head { id: of_left.id().to_owned(), depth: of_left.depth(), after: root };
        // It has not come in yet.
        room.events.pop();
        room.numbers.remove(newest.id());
        let mut citing: HashMap<OwnedEventId, Vec<EventNo>> = HashMap::new();
        for event in room.events.iter().filter(|event| event.is_state()) {
            for id in event.auth_events() {
                citing.entry(id.clone()).or_default().push(room.numbers[event.id()]);
            }
        }
        for numbers in citing.values_mut() {
            numbers.sort_unstable_by_key(|number| Reverse(*number));
        }
        Self { room, after, citing, left, newest }
    }

    /// The cost of one decision on the newest event, with all loading from memory.
    fn cost(&self) -> Cost {
        let begun = cpu_us();
        let (shelf, placed, rounds) = self.decide();
        let whole_ms = (cpu_us() - begun) / 1000.0;
        self.check(&placed);
        let begun = cpu_us();
        assert!(self.admit(&shelf).is_ok());
        Cost { whole_ms, last_ms: (cpu_us() - begun) / 1000.0, rounds }
    }

    fn told(&self, Cost { whole_ms, last_ms, rounds }: &Cost) -> String {
        let version = self.room.version.as_str();
        format!(
            "v{version}: {ENTRIES} entries in a room of {EVENTS} events, {whole_ms:.1} ms with {rounds} rounds of loading, {last_ms:.1} ms with all loaded"
        )
    }

    fn admit(&self, shelf: &Shelf) -> Result<Outcome, Halt> {
        let id: OwnedRoomId = self.newest.room_id().to_owned();
        let (version, heads) = (self.room.version, vec![self.left.clone()]);
        let known = wayside_federation::room::Room { id, version, heads, state: self.left.after };
        let number = EventNo(i64::try_from(self.room.events.len()).unwrap());
        admit(&known, &self.newest, number, Arrival::default(), shelf)
    }

    /// As a node decides: what is missed is loaded, and then it is looked at again.
    fn decide(&self) -> (Shelf, Placed, usize) {
        let (mut shelf, mut rounds) = (Shelf::new(), 0);
        loop {
            match self.admit(&shelf) {
                Ok(Outcome::Placed(placed)) => return (shelf, *placed, rounds),
                Err(Halt::Need(need)) => self.load(&mut shelf, need, rounds >= DEEP),
                other => panic!("{other:?}"),
            }
            rounds += 1;
        }
    }

    fn load(&self, shelf: &mut Shelf, need: Need, deep: bool) {
        let (mut wanted, mut loaded) = (need.events.into_iter().collect::<Vec<_>>(), 0);
        while let Some(id) = wanted.pop() {
            let Some(number) = self.room.numbers.get(&id) else {
                shelf.absent(id);
                continue;
            };
            let known = self.known(*number);
            loaded += 1;
            if deep && loaded < DEEP_EVENTS {
                let cited = known.event.auth_events().iter();
                wanted.extend(
                    cited.filter(|id| matches!(shelf.look(id), Lookup::NotLoaded)).cloned(),
                );
            }
            shelf.put(known);
        }
        for number in need.numbers {
            shelf.put(self.known(number));
        }
        for id in need.nodes {
            shelf.put_node(id, self.room.nodes[&id].clone());
        }
        for (id, page) in need.citing {
            let all = self.citing.get(&id).into_iter().flatten();
            let numbers = all.skip(page * CITING).take(CITING).copied().collect();
            shelf.put_citing(id, page, numbers);
        }
    }

    fn known(&self, number: EventNo) -> Known {
        let event = self.room.events[usize::try_from(number.0).unwrap()].clone();
        let after = Some(self.after.get(event.id()).copied().unwrap_or(self.room.root));
        Known { event, number, standing: Standing::Accepted, after }
    }

    /// Checks that the branches came together as they should: whoever was banned on one is banned.
    fn check(&self, placed: &Placed) {
        assert_eq!((placed.standing, placed.heads.len()), (Standing::Accepted, 2));
        let mut nodes = self.room.nodes.clone();
        nodes.extend(placed.nodes.iter().cloned());
        let get = |n: usize| {
            let key = room::member(n).hash();
            let number = state::get(placed.state, &[key], |id| nodes.get(id).cloned()).unwrap();
            let event = &self.room.events[usize::try_from(number[0].unwrap().0).unwrap()];
            serde_json::from_str::<Value>(event.content().get()).unwrap()
        };
        assert_eq!(get(BANNED.start)["membership"], "ban");
        assert_eq!(get(BANNED.end - 1)["membership"], "ban");
    }
}

/// Whom the first branch bans; the second lets some of them change their names.
const BANNED: std::ops::Range<usize> = 480..530;
/// Whose names change on the first branch, and whose on the second.
const LEFT: std::ops::Range<usize> = 100..480;
const RIGHT: std::ops::Range<usize> = 400..1_097;

/// Two moderators go on without each other, and set levels, names and topics.
fn left(version: RoomVersion) -> Vec<Draft> {
    let mut acts = names(LEFT, "left", 30_000);
    let half = acts.len() / 2;
    acts.insert(half, levels(version, 3, 31_000));
    acts.push(draft(1, "m.room.topic", Some(""), &json!({ "topic": "left" }), 32_000));
    acts.push(draft(1, "m.room.name", Some(""), &json!({ "name": "left" }), 32_001));
    let ban = json!({ "membership": "ban" });
    acts.extend(BANNED.map(|n| draft(1, "m.room.member", Some(user(n).as_str()), &ban, 32_002)));
    acts
}

fn right(version: RoomVersion) -> Vec<Draft> {
    let mut acts = names(RIGHT, "right", 30_500);
    let half = acts.len() / 2;
    acts.insert(half, levels(version, 4, 31_500));
    acts.push(draft(2, "m.room.topic", Some(""), &json!({ "topic": "right" }), 32_500));
    acts.push(draft(2, "m.room.name", Some(""), &json!({ "name": "right" }), 32_501));
    acts
}

fn names(whose: std::ops::Range<usize>, side: &str, ts: u64) -> Vec<Draft> {
    let named = |n: usize| {
        let content = json!({ "membership": "join", "displayname": format!("{n} of {side}") });
        let ts = ts + u64::try_from(n).unwrap();
        draft(n, "m.room.member", Some(user(n).as_str()), &content, ts)
    };
    whose.map(named).collect()
}

/// Somebody more gets power. In version 12 the creator stands above, and not among them.
fn levels(version: RoomVersion, whom: usize, ts: u64) -> Draft {
    let mut users: BTreeMap<String, i64> =
        [1, 2, whom].into_iter().map(|n| (user(n).to_string(), 50)).collect();
    if version != RoomVersion::V12 {
        users.insert(user(0).to_string(), 100);
    }
    draft(0, "m.room.power_levels", Some(""), &json!({ "users": users }), ts)
}
