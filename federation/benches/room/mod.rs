//! A room of so many members, its state in the tree, for benches to work in.

use std::{collections::HashMap, fs, sync::Arc, thread};

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, UInt, events::StateEventType};
use serde_json::{Value, json, value::to_raw_value};
use wayside_federation::{
    auth::auth_keys,
    event::{Draft, Event},
    key::ServerKey,
    state::{self, EventNo, Node, NodeId, StateKey},
    version::RoomVersion,
};

/// Tells `make bench` a number that should stay below a limit.
pub(crate) fn row(name: &str, value: f64, unit: &str, limit: f64, note: &str) {
    let ok = value <= limit;
    let row = json!({
        "name": name, "value": value, "unit": unit, "limit": limit, "better": "lower", "ok": ok,
        "note": note,
    });
    println!("{row}");
}

/// Time that this thread has been on a core, as the kernel counts it.
pub(crate) fn cpu_us() -> f64 {
    // Who is on a core is counted at a tick of the clock, every four milliseconds, or when it might give way.
    thread::yield_now();
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedstat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1000.0
}

pub(crate) fn user(n: usize) -> OwnedUserId {
    OwnedUserId::try_from(format!("@user{n}:node.example")).unwrap()
}

pub(crate) fn member(n: usize) -> StateKey {
    StateKey::new(StateEventType::RoomMember, user(n).as_str())
}

pub(crate) fn draft(
    sender: usize,
    kind: &str,
    state_key: Option<&str>,
    content: &Value,
    ts: u64,
) -> Draft {
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
pub(crate) struct Room {
    pub(crate) version: RoomVersion,
    pub(crate) key: ServerKey,
    pub(crate) events: Vec<Event>,
    pub(crate) numbers: HashMap<OwnedEventId, EventNo>,
    pub(crate) nodes: HashMap<NodeId, Arc<Node>>,
    pub(crate) root: NodeId,
}

impl Room {
    pub(crate) fn at(&self, root: NodeId, key: &StateKey) -> Option<Event> {
        let found = state::get(root, &[key.hash()], |id| self.nodes.get(id).cloned()).unwrap();
        found[0].map(|number| self.events[usize::try_from(number.0).unwrap()].clone())
    }

    pub(crate) fn seal(&self, draft: Draft, after: &Event, root: NodeId) -> Event {
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
    pub(crate) fn keep(&mut self, event: &Event, root: NodeId) -> NodeId {
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

    pub(crate) fn build(version: RoomVersion, members: usize) -> Self {
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
