//! What the rules of evidence cost, in microseconds of CPU, in a small and in a large room.
//!
//! Standard output gets a JSON object a line for each number that has a limit, for `make bench`;
//! standard error gets all costs, for whoever wants to know where they come from.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot build its room has nothing to measure"
)]

use std::{
    collections::{HashMap, HashSet},
    fs,
    hint::black_box,
    sync::Arc,
};

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, UInt, events::StateEventType,
};
use serde_json::{Value, json, value::to_raw_value};
use wayside_federation::{
    auth::{Verdict, admit, auth_keys, plan},
    event::{Draft, Event},
    key::{PublicKeys, ServerKey},
    resolve::resolve,
    state::{self, EventNo, Node, NodeId, StateKey},
    version::RoomVersion,
};

/// The rooms that are compared: work in proportion to the conflict costs the same in both.
const FEW: usize = 100;
const MANY: usize = 10_000;
/// What resolving and authorising one event may cost, in microseconds of CPU.
const LIMIT_US: f64 = 200.0;
/// What a hundred times more members may cost: the tree of their state is deeper by two nodes.
const GROWTH_LIMIT: f64 = 1.5;

fn main() {
    for version in RoomVersion::ALL {
        let few = costs(version, FEW);
        let many = costs(version, MANY);
        let number = version.as_str();
        let note = format!("v{number}: diff, resolve, admit, apply in a room of {MANY} members");
        row(&format!("ground.state_event_v{number}_us"), many, "us", LIMIT_US, &note);
        let note = format!("v{number}: {many:.1} us at {MANY} members against {few:.1} at {FEW}");
        row(&format!("ground.state_event_v{number}_growth"), many / few, "", GROWTH_LIMIT, &note);
    }
}

fn row(name: &str, value: f64, unit: &str, limit: f64, note: &str) {
    let ok = value <= limit;
    let row = json!({
        "name": name, "value": value, "unit": unit, "limit": limit, "better": "lower", "ok": ok,
        "note": note,
    });
    println!("{row}");
}

/// Resolving a fork and admitting one event behind it, in a room of so many members.
fn costs(version: RoomVersion, members: usize) -> f64 {
    eprintln!("room version {}, {members} members", version.as_str());
    let room = Room::build(version, members);
    let admitting = events(&room);
    tree(&room);
    admitting + resolution(room)
}

fn user(n: usize) -> OwnedUserId {
    OwnedUserId::try_from(format!("@user{n}:node.example")).unwrap()
}

fn member(n: usize) -> StateKey {
    StateKey::new(StateEventType::RoomMember, user(n).as_str())
}

fn draft(sender: usize, kind: &str, state_key: Option<&str>, content: &Value, ts: u64) -> Draft {
    Draft {
        kind: kind.into(),
        state_key: state_key.map(ToOwned::to_owned),
        sender: user(sender),
        content: to_raw_value(content).unwrap(),
        redacts: None,
        origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::try_from(ts).unwrap()),
    }
}

/// A room whose state lies in the tree, its events in a list by number.
struct Room {
    version: RoomVersion,
    key: ServerKey,
    events: Vec<Event>,
    numbers: HashMap<OwnedEventId, EventNo>,
    nodes: HashMap<NodeId, Arc<Node>>,
    root: NodeId,
}

impl Room {
    fn at(&self, root: NodeId, key: &StateKey) -> Option<Event> {
        let found = state::get(root, &[key.hash()], |id| self.nodes.get(id).cloned()).unwrap();
        found[0].map(|number| self.events[usize::try_from(number.0).unwrap()].clone())
    }

    fn by_id(&self, id: &EventId) -> Option<Event> {
        let number = self.numbers.get(id)?;
        Some(self.events[usize::try_from(number.0).unwrap()].clone())
    }

    fn seal(&self, draft: Draft, after: &Event, root: NodeId) -> Event {
        let keys = auth_keys(
            self.version,
            &draft.kind,
            &draft.sender,
            draft.state_key.as_deref(),
            &draft.content,
        );
        let auth: Vec<_> = keys.unwrap().iter().filter_map(|key| self.at(root, key)).collect();
        let auth = auth.iter().map(|event| event.id().to_owned()).collect();
        let prev = [(after.id().to_owned(), after.depth())];
        draft.seal(self.version, Some(after.room_id()), &prev, auth, &self.key).unwrap()
    }

    /// Keeps an event and answers the state after it.
    fn keep(&mut self, event: &Event, root: NodeId) -> NodeId {
        let number = EventNo(i64::try_from(self.events.len()).unwrap());
        self.numbers.insert(event.id().to_owned(), number);
        self.events.push(event.clone());
        let Some(state_key) = event.state_key() else { return root };
        let key = StateKey::new(event.kind().to_string().into(), state_key).hash();
        let applied =
            state::apply(root, &[(key, Some(number))], |id| self.nodes.get(id).cloned()).unwrap();
        self.nodes.extend(applied.created);
        applied.root
    }

    fn build(version: RoomVersion, members: usize) -> Self {
        let key = ServerKey::from_seed([5; 32], "a").unwrap();
        let content = json!({ "room_version": version.as_str(), "creator": user(0) });
        let create = draft(0, "m.room.create", Some(""), &content, 1);
        let id = (version != RoomVersion::V12)
            .then(|| ruma::RoomId::parse("!room:node.example").unwrap());
        let create = create.seal(version, id.as_deref(), &[], vec![], &key).unwrap();
        let (numbers, nodes) = (HashMap::new(), HashMap::new());
        let mut room = Self { version, key, events: vec![], numbers, nodes, root: NodeId::EMPTY };
        let mut state = room.keep(&create, NodeId::EMPTY);
        let mut last = create;
        let mut users = json!({ user(0): 100, user(1): 50, user(2): 50 });
        if version == RoomVersion::V12 {
            users.as_object_mut().unwrap().remove(user(0).as_str());
        }
        let join = json!({ "membership": "join", "displayname": "Somebody" });
        let mut acts = vec![
            draft(0, "m.room.member", Some(user(0).as_str()), &join, 2),
            draft(0, "m.room.power_levels", Some(""), &json!({ "users": users }), 3),
            draft(0, "m.room.join_rules", Some(""), &json!({ "join_rule": "public" }), 4),
            draft(0, "m.room.topic", Some(""), &json!({ "topic": "Plaza" }), 5),
        ];
        acts.extend(
            (1..members).map(|n| draft(n, "m.room.member", Some(user(n).as_str()), &join, 6)),
        );
        for act in acts {
            last = room.seal(act, &last, state);
            state = room.keep(&last, state);
        }
        room.root = state;
        room
    }
}

/// CPU time of one round: the kernel counts it in ticks of milliseconds, so shorter ones say little.
const ROUND_US: f64 = 150_000.0;

/// The least CPU time of three rounds, in microseconds for each piece of work.
fn time<T>(name: &str, mut work: impl FnMut() -> T) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..3 {
        let (begun, mut pieces) = (cpu_us(), 0_u32);
        while cpu_us() - begun < ROUND_US {
            for _ in 0..20 {
                black_box(work());
            }
            pieces += 20;
        }
        best = best.min((cpu_us() - begun) / f64::from(pieces));
    }
    eprintln!("{name:36} {best:9.2} us");
    best
}

/// Time that this thread has been on a core, as the kernel counts it.
fn cpu_us() -> f64 {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedstat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1000.0
}

/// The costs of one event; answers that of admitting it.
fn events(room: &Room) -> f64 {
    let version = room.version;
    let last = room.events.last().unwrap();
    let body = json!({ "msgtype": "m.text", "body": "Good evening, everybody. ".repeat(4) });
    let hello = draft(7, "m.room.message", None, &body, 9);
    let event = room.seal(hello.clone(), last, room.root);
    let auth = event.auth_events().to_vec();
    let prev = [(last.id().to_owned(), last.depth())];
    time("seal", || {
        hello.clone().seal(version, Some(last.room_id()), &prev, auth.clone(), &room.key).unwrap()
    });
    time("from_stored", || {
        Event::from_stored(version, event.id().to_owned(), event.json(), false).unwrap()
    });
    time("receive", || Event::receive(version, event.json()).unwrap());
    let mut keys = PublicKeys::new();
    let public = room.key.public_key_base64();
    keys.insert(user(0).server_name(), room.key.key_id().as_str(), &public).unwrap();
    time("verify", || event.clone().verify(version, &keys).unwrap());
    time("plan", || plan(version, &event).unwrap());
    let verdict = || {
        let at = |key: &StateKey| room.at(room.root, key);
        admit(version, &event, |id| room.by_id(id), at, at)
    };
    assert_eq!(verdict(), Verdict::Accept);
    time("plan + admit, states from the tree", || (plan(version, &event), verdict()))
}

fn tree(room: &Room) {
    let nodes = |id: &NodeId| room.nodes.get(id).cloned();
    let change = [(member(77).hash(), Some(EventNo(1)))];
    let other = state::apply(room.root, &change, nodes).unwrap();
    eprintln!(
        "one change makes {} nodes of {} bytes",
        other.created.len(),
        other.created.iter().map(|(_, node)| node.encode().len()).sum::<usize>()
    );
    time("tree: apply one", || state::apply(room.root, &change, nodes).unwrap());
    let keys = [member(1).hash(), member(2).hash(), member(3).hash(), member(4).hash()];
    time("tree: get four", || state::get(room.root, &keys, nodes).unwrap());
    let all: HashMap<NodeId, Arc<Node>> =
        room.nodes.clone().into_iter().chain(other.created).collect();
    time("tree: diff of one", || state::diff(room.root, other.root, |id| all.get(id).cloned()));
    time("tree: all entries", || state::entries(room.root, nodes).unwrap());
}

/// One of two powerful people sets a topic while another is banned by the creator, and a member
/// who was away changes a name: two states that differ in three entries become one.
fn resolution(mut room: Room) -> f64 {
    let version = room.version;
    let last = room.events.last().unwrap().clone();
    let base = room.root;
    let ban =
        draft(0, "m.room.member", Some(user(9).as_str()), &json!({ "membership": "ban" }), 20);
    let topic = draft(1, "m.room.topic", Some(""), &json!({ "topic": "left" }), 21);
    let name = json!({ "membership": "join", "displayname": "Ninth" });
    let name = draft(9, "m.room.member", Some(user(9).as_str()), &name, 22);
    let other = draft(2, "m.room.topic", Some(""), &json!({ "topic": "right" }), 23);
    let mut heads = Vec::new();
    for acts in [[ban, topic], [name, other]] {
        let (mut head, mut after) = (base, last.clone());
        for act in acts {
            after = room.seal(act, &after, head);
            head = room.keep(&after, head);
        }
        heads.push(head);
    }
    let agreed_chain = agreed_chain(&room, base);
    let room = &room;
    let nodes = |id: &NodeId| room.nodes.get(id).cloned();
    let once = || {
        let differences = state::diff(heads[0], heads[1], nodes).unwrap();
        let entry = |number: Option<EventNo>| {
            let event = &room.events[usize::try_from(number?.0).unwrap()];
            let key = StateKey::new(event.kind().to_string().into(), event.state_key()?);
            Some((key, event.id().to_owned()))
        };
        let forks = [
            differences.iter().filter_map(|d| entry(d.left)).collect(),
            differences.iter().filter_map(|d| entry(d.right)).collect::<Vec<_>>(),
        ];
        let unconflicted = |key: &StateKey| room.at(base, key).map(|event| event.id().to_owned());
        let chain = |id: &EventId| agreed_chain.contains(id);
        let winners = resolve(version, &forks, unconflicted, |id| room.by_id(id), chain).unwrap();
        let changes: Vec<_> =
            winners.iter().map(|(key, id)| (key.hash(), Some(room.numbers[id]))).collect();
        state::apply(heads[0], &changes, nodes).unwrap()
    };
    let resolved = once();
    let all: HashMap<NodeId, Arc<Node>> =
        room.nodes.clone().into_iter().chain(resolved.created).collect();
    let number = state::get(resolved.root, &[member(9).hash()], |id| all.get(id).cloned()).unwrap();
    let winner = &room.events[usize::try_from(number[0].unwrap().0).unwrap()];
    assert!(winner.content().get().contains("ban"));
    time("diff + resolve + apply", once)
}

/// What the entries of a state stand on.
fn agreed_chain(room: &Room, of: NodeId) -> HashSet<OwnedEventId> {
    let entries = state::entries(of, |id| room.nodes.get(id).cloned()).unwrap();
    let mut open: Vec<OwnedEventId> = Vec::new();
    for (_, number) in entries {
        open.extend(room.events[usize::try_from(number.0).unwrap()].auth_events().iter().cloned());
    }
    let mut seen = HashSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id.clone()) {
            open.extend(room.by_id(&id).unwrap().auth_events().iter().cloned());
        }
    }
    seen
}
