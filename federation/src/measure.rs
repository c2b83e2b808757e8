//! What the rules of evidence cost in a room of 10,000 members; prints microseconds.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap, HashSet},
    hint::black_box,
    sync::Arc,
    time::Instant,
};

use crate::{
    auth::{Verdict, admit, auth_keys, plan},
    event::{Draft, Event},
    key::{PublicKeys, ServerKey},
    resolve::resolve,
    state::{self, EventNo, Node, NodeId, StateKey},
    version::RoomVersion,
};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, UInt, events::StateEventType,
};
use serde_json::{Value, json, value::to_raw_value};

const MEMBERS: usize = 10_000;

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

    fn build(version: RoomVersion) -> Self {
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
            (1..MEMBERS).map(|n| draft(n, "m.room.member", Some(user(n).as_str()), &join, 6)),
        );
        for act in acts {
            last = room.seal(act, &last, state);
            state = room.keep(&last, state);
        }
        room.root = state;
        room
    }
}

fn time<T>(name: &str, runs: u32, mut work: impl FnMut() -> T) -> f64 {
    for _ in 0..runs / 10 {
        black_box(work());
    }
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..runs {
            black_box(work());
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(runs));
    }
    println!("{name:32} {best:9.2} us");
    best
}

#[test]
#[ignore = "takes seconds and measures the machine"]
fn costs_at_ten_thousand_members() {
    for version in RoomVersion::ALL {
        println!("room version {}", version.as_str());
        let room = Room::build(version);
        events(&room);
        tree(&room);
        resolution(room);
    }
}

fn events(room: &Room) {
    let version = room.version;
    let last = room.events.last().unwrap();
    let body = json!({ "msgtype": "m.text", "body": "Good evening, everybody. ".repeat(4) });
    let hello = draft(7, "m.room.message", None, &body, 9);
    let event = room.seal(hello.clone(), last, room.root);
    let auth = event.auth_events().to_vec();
    let prev = [(last.id().to_owned(), last.depth())];
    time("seal", 2_000, || {
        hello.clone().seal(version, Some(last.room_id()), &prev, auth.clone(), &room.key).unwrap()
    });
    time("from_stored", 5_000, || {
        Event::from_stored(version, event.id().to_owned(), event.json(), false).unwrap()
    });
    time("receive", 2_000, || Event::receive(version, event.json()).unwrap());
    let mut keys = PublicKeys::new();
    let public = room.key.public_key_base64();
    keys.insert(user(0).server_name(), room.key.key_id().as_str(), &public).unwrap();
    time("verify", 1_000, || event.clone().verify(version, &keys).unwrap());
    time("plan", 5_000, || plan(version, &event).unwrap());
    let verdict = || {
        let at = |key: &StateKey| room.at(room.root, key);
        admit(version, &event, |id| room.by_id(id), at, at)
    };
    assert_eq!(verdict(), Verdict::Accept);
    time("admit, states from the tree", 2_000, verdict);
}

fn tree(room: &Room) {
    let nodes = |id: &NodeId| room.nodes.get(id).cloned();
    let change = [(member(77).hash(), Some(EventNo(1)))];
    let other = state::apply(room.root, &change, nodes).unwrap();
    println!(
        "one change makes {} nodes of {} bytes",
        other.created.len(),
        other.created.iter().map(|(_, node)| node.encode().len()).sum::<usize>()
    );
    time("tree: apply one", 5_000, || state::apply(room.root, &change, nodes).unwrap());
    let keys = [member(1).hash(), member(2).hash(), member(3).hash(), member(4).hash()];
    time("tree: get four", 5_000, || state::get(room.root, &keys, nodes).unwrap());
    let all: HashMap<NodeId, Arc<Node>> =
        room.nodes.clone().into_iter().chain(other.created).collect();
    time("tree: diff of one", 5_000, || {
        state::diff(room.root, other.root, |id| all.get(id).cloned())
    });
    time("tree: all entries", 20, || state::entries(room.root, nodes).unwrap());
}

/// One of two powerful people sets a topic while another is banned by the creator, and a member
/// who was away changes a name: two states that differ in three entries become one.
fn resolution(mut room: Room) {
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
    let asked = RefCell::new(BTreeSet::new());
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
        let chain = |id: &EventId| {
            asked.borrow_mut().insert(id.to_owned());
            agreed_chain.contains(id)
        };
        let winners = resolve(version, &forks, unconflicted, |id| room.by_id(id), chain).unwrap();
        let changes: Vec<_> =
            winners.iter().map(|(key, id)| (key.hash(), Some(room.numbers[id]))).collect();
        state::apply(heads[0], &changes, nodes).unwrap()
    };
    let resolved = once();
    println!("{} questions about agreed chains", asked.borrow().len());
    let all: HashMap<NodeId, Arc<Node>> =
        room.nodes.clone().into_iter().chain(resolved.created).collect();
    let number = state::get(resolved.root, &[member(9).hash()], |id| all.get(id).cloned()).unwrap();
    let winner = &room.events[usize::try_from(number[0].unwrap().0).unwrap()];
    assert!(winner.content().get().contains("ban"));
    time("diff + resolve + apply", 500, once);
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
