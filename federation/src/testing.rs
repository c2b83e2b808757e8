//! A room in memory for tests: it sends events, keeps every state and resolves the slow, full way.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UInt,
    events::{StateEventType, TimelineEventType},
    room_version_rules::StateResolutionVersion,
    state_res::{self, StateMap, utils::event_id_set::EventIdSet},
};
use serde_json::{Value, json, value::to_raw_value};

use crate::{
    auth::{self, Refusal, key_of},
    event::{Draft, Event},
    key::ServerKey,
    state::StateKey,
    version::RoomVersion,
};

pub(crate) type State = BTreeMap<StateKey, OwnedEventId>;

/// The key with which every server of the tests signs.
pub(crate) fn server_key() -> ServerKey {
    ServerKey::from_seed([7; 32], "test").unwrap()
}

pub(crate) fn user(name: &str) -> OwnedUserId {
    OwnedUserId::try_from(format!("@{name}:{name}.example")).unwrap()
}

pub(crate) fn key(kind: &str, key: &str) -> StateKey {
    StateKey::new(StateEventType::from(kind), key)
}

/// A draft at a time in milliseconds.
pub(crate) fn draft(
    sender: &str,
    kind: &str,
    state_key: Option<&str>,
    content: &Value,
    ts: u64,
) -> Draft {
    Draft {
        kind: TimelineEventType::from(kind),
        state_key: state_key.map(ToOwned::to_owned),
        sender: user(sender),
        content: to_raw_value(content).unwrap(),
        redacts: None,
        origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::try_from(ts).unwrap()),
    }
}

pub(crate) struct Room {
    pub(crate) version: RoomVersion,
    pub(crate) id: Option<OwnedRoomId>,
    pub(crate) events: HashMap<OwnedEventId, Event>,
    /// The state after each event.
    pub(crate) after: HashMap<OwnedEventId, State>,
    key: ServerKey,
}

impl Room {
    pub(crate) fn new(version: RoomVersion) -> Self {
        let id =
            (version != RoomVersion::V12).then(|| RoomId::parse("!room:alice.example").unwrap());
        Self { version, id, events: HashMap::new(), after: HashMap::new(), key: server_key() }
    }

    /// A room whose creator is alice, with her create event as its only event.
    pub(crate) fn created(version: RoomVersion, more: &Value) -> (Self, OwnedEventId) {
        let mut room = Self::new(version);
        let mut content = json!({ "room_version": version.as_str() });
        if version == RoomVersion::V10 {
            content["creator"] = json!(user("alice"));
        }
        for (field, value) in more.as_object().unwrap() {
            content[field] = value.clone();
        }
        let create =
            room.send(&draft("alice", "m.room.create", Some(""), &content, 1), &[]).unwrap();
        room.id = Some(room.events[&create].room_id().to_owned());
        (room, create)
    }

    /// Seals an event after `prev`, and keeps it if the state before it allows it.
    pub(crate) fn send(
        &mut self,
        draft: &Draft,
        prev: &[OwnedEventId],
    ) -> Result<OwnedEventId, Refusal> {
        let before = self.resolve_fully(prev);
        let state_key = draft.state_key.as_deref();
        let keys =
            auth::auth_keys(self.version, &draft.kind, &draft.sender, state_key, &draft.content)
                .map_err(|error| Refusal::Rules(error.to_string()))?;
        let cited = keys.iter().filter_map(|key| before.get(key).cloned()).collect();
        let prev: Vec<_> = prev.iter().map(|id| (id.clone(), self.events[id].depth())).collect();
        let event =
            draft.clone().seal(self.version, self.id.as_deref(), &prev, cited, &self.key).unwrap();
        auth::check(self.version, &event, |key| self.at(&before, key))?;
        let mut after = before;
        if let Some(key) = key_of(&event) {
            after.insert(key, event.id().to_owned());
        }
        let id = event.id().to_owned();
        self.after.insert(id.clone(), after);
        self.events.insert(id.clone(), event);
        Ok(id)
    }

    /// The event that a state holds under a key.
    pub(crate) fn at(&self, state: &State, key: &StateKey) -> Option<Event> {
        self.events.get(state.get(key)?).cloned()
    }

    /// The state after several events by ruma's algorithm over whole states and whole chains.
    pub(crate) fn resolve_fully(&self, heads: &[OwnedEventId]) -> State {
        let states: BTreeSet<&State> = heads.iter().map(|id| &self.after[id]).collect();
        match states.len() {
            0 => return State::new(),
            1 => return (*states.first().unwrap()).clone(),
            _ => {}
        }
        let maps: Vec<StateMap<OwnedEventId>> = states.iter().map(|state| to_map(state)).collect();
        let chains: Vec<EventIdSet<OwnedEventId>> = states
            .iter()
            .map(|state| self.chain(state.values().cloned()).into_iter().collect())
            .collect();
        let rules = self.version.rules();
        let StateResolutionVersion::V2(resolution) = &rules.state_res else { unreachable!() };
        let resolved = state_res::resolve(
            &rules.authorization,
            resolution,
            &maps,
            chains,
            |id| self.events.get(id).cloned(),
            |conflicted| Some(self.paths(&conflicted.values().flatten().cloned().collect())),
        );
        resolved
            .unwrap()
            .into_iter()
            .map(|((kind, key), id)| (StateKey { kind, key }, id))
            .collect()
    }

    /// Some events and everything that they reach through `auth_events`.
    pub(crate) fn chain(&self, of: impl Iterator<Item = OwnedEventId>) -> HashSet<OwnedEventId> {
        let mut open: Vec<OwnedEventId> = of.collect();
        let mut seen: HashSet<OwnedEventId> = HashSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id.clone()) {
                open.extend(self.events[&id].auth_events().iter().cloned());
            }
        }
        seen
    }

    /// The conflicted state subgraph by brute force: every pair, every event between.
    fn paths(&self, conflicted: &HashSet<OwnedEventId>) -> EventIdSet<OwnedEventId> {
        let mut found = EventIdSet::new();
        for from in conflicted {
            for between in self.chain([from.clone()].into_iter()) {
                let below = self.chain([between.clone()].into_iter());
                if !below.is_disjoint(conflicted) {
                    found.insert(between);
                }
            }
        }
        found
    }

    /// The state after several events by our reduced resolution, its events handed out only as
    /// they are asked for; with it the number of rounds.
    pub(crate) fn resolve_reduced(&self, heads: &[OwnedEventId]) -> (State, usize) {
        let states: Vec<&State> = heads.iter().map(|id| &self.after[id]).collect();
        let all: BTreeSet<&StateKey> = states.iter().flat_map(|state| state.keys()).collect();
        let (agreed, differing): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|key| states.iter().all(|state| state.get(key) == states[0].get(key)));
        let forks: Vec<Vec<(StateKey, OwnedEventId)>> = states
            .iter()
            .map(|state| {
                let entries = differing.iter().filter_map(|key| state.get_key_value(key));
                entries.map(|(key, id)| (key.clone(), id.clone())).collect()
            })
            .collect();
        let agreed: State =
            agreed.into_iter().map(|key| (key.clone(), states[0][key].clone())).collect();
        let cited = agreed.values().flat_map(|id| self.events[id].auth_events().to_vec());
        let below_agreed = self.chain(cited);
        let mut loaded: HashSet<OwnedEventId> = HashSet::new();
        for round in 0..1_000 {
            let result = crate::resolve::resolve(
                self.version,
                &forks,
                |key| agreed.get(key).cloned(),
                |id: &EventId| self.events.get(id).filter(|_| loaded.contains(id)).cloned(),
                |id| below_agreed.contains(id),
            );
            match result {
                Ok(winners) => {
                    assert!(winners.keys().all(|key| !agreed.contains_key(key)));
                    return (agreed.into_iter().chain(winners).collect(), round);
                }
                Err(crate::resolve::ResolveError::Need(ids)) => {
                    for id in ids {
                        assert!(loaded.insert(id.clone()), "asked twice for {id}");
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("resolution did not come to an end");
    }
}

fn to_map(state: &State) -> StateMap<OwnedEventId> {
    state.iter().map(|(key, id)| ((key.kind.clone(), key.key.clone()), id.clone())).collect()
}

/// A small linear congruential generator: the same rooms on every machine.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides as u64).unwrap()
    }
}

const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// A room in which people act at random after one or two of the last events.
pub(crate) fn random_room(
    version: RoomVersion,
    dice: &mut Dice,
    steps: usize,
) -> (Room, Vec<OwnedEventId>) {
    let (mut room, create) = Room::created(version, &json!({}));
    let mut ids = vec![create.clone()];
    let join = json!({ "membership": "join" });
    let alice = user("alice");
    let mut last = create;
    let opening = [
        ("m.room.member", alice.as_str(), join),
        ("m.room.power_levels", "", levels(version, &[("bob", 100), ("carol", 50)])),
        ("m.room.join_rules", "", json!({ "join_rule": "public" })),
    ];
    for (kind, state_key, content) in opening {
        last = room.send(&draft("alice", kind, Some(state_key), &content, 2), &[last]).unwrap();
        ids.push(last.clone());
    }
    for step in 0..steps {
        let recent = &ids[ids.len().saturating_sub(6).max(3)..];
        let mut prev = vec![recent[dice.roll(recent.len())].clone()];
        let other = recent[dice.roll(recent.len())].clone();
        if dice.roll(3) == 0 && other != prev[0] {
            prev.push(other);
        }
        let (sender, kind, state_key, content) = random_act(version, dice);
        // Clocks are wrong now and then.
        let ts = 10 + u64::try_from(step + dice.roll(12)).unwrap();
        if let Ok(id) = room.send(&draft(sender, kind, Some(&state_key), &content, ts), &prev) {
            ids.push(id);
        }
    }
    (room, ids)
}

fn random_act(
    version: RoomVersion,
    dice: &mut Dice,
) -> (&'static str, &'static str, String, Value) {
    let sender = PEOPLE[dice.roll(5)];
    let target = PEOPLE[dice.roll(5)];
    match dice.roll(10) {
        0..=2 => (sender, "m.room.member", user(sender).into(), json!({ "membership": "join" })),
        3 => (sender, "m.room.member", user(sender).into(), json!({ "membership": "leave" })),
        4 | 5 => {
            let membership = ["ban", "leave", "invite"][dice.roll(3)];
            ("alice", "m.room.member", user(target).into(), json!({ "membership": membership }))
        }
        6 => {
            let rule = ["public", "invite"][dice.roll(2)];
            (sender, "m.room.join_rules", String::new(), json!({ "join_rule": rule }))
        }
        7 => {
            let bob = [0, 50, 100][dice.roll(3)];
            let content = levels(version, &[("bob", bob), (target, 50)]);
            (["alice", "bob"][dice.roll(2)], "m.room.power_levels", String::new(), content)
        }
        8 => (sender, "m.room.topic", String::new(), json!({ "topic": dice.roll(100) })),
        _ => ("carol", "m.room.name", String::new(), json!({ "name": dice.roll(100).to_string() })),
    }
}

/// Power levels in which alice, the creator, stands at the top.
fn levels(version: RoomVersion, users: &[(&str, i64)]) -> Value {
    let mut all: HashMap<String, i64> =
        users.iter().map(|(name, level)| (user(name).into(), *level)).collect();
    all.insert(user("alice").into(), 100);
    if version == RoomVersion::V12 {
        all.remove(user("alice").as_str());
    }
    json!({ "users": all, "events": { "m.room.topic": 0 } })
}
