//! What the rules of evidence cost, in microseconds of CPU, in a small and in a large room.
//!
//! Standard output gets a JSON object a line for each number that has a limit, for `make bench`;
//! standard error gets all costs, for whoever wants to know where they come from.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot build its room has nothing to measure"
)]

mod room;

use std::{
    collections::{HashMap, HashSet},
    hint::black_box,
    sync::Arc,
};

use ruma::{EventId, OwnedEventId};
use serde_json::json;
use wayside_federation::{
    auth::{Verdict, admit, plan},
    event::Event,
    key::PublicKeys,
    resolve::resolve,
    state::{self, EventNo, Node, NodeId, StateKey},
    version::RoomVersion,
};

use room::{Room, cpu_us, draft, member, row, user};

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

/// Resolving a fork and admitting one event behind it, in a room of so many members.
fn costs(version: RoomVersion, members: usize) -> f64 {
    eprintln!("room version {}, {members} members", version.as_str());
    let room = Room::build(version, members);
    let admitting = events(&room);
    tree(&room);
    admitting + resolution(room)
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
        admit(version, &event, |id| by_id(room, id), at, at)
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
        let winners = resolve(version, &forks, unconflicted, |id| by_id(room, id), chain).unwrap();
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

fn by_id(room: &Room, id: &EventId) -> Option<Event> {
    let number = room.numbers.get(id)?;
    Some(room.events[usize::try_from(number.0).unwrap()].clone())
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
            open.extend(by_id(room, &id).unwrap().auth_events().iter().cloned());
        }
    }
    seen
}
