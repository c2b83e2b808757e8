//! Rooms as a server sees them that hears of the events in any order, against the slow, full way.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use ruma::{EventId, OwnedEventId};
use serde_json::json;

use super::*;
use crate::{
    auth::key_of,
    event::Event,
    state::{self, EventNo, KeyHash, Node, StateKey},
    testing::{self, draft, key, user},
};

/// One server's memory of one room.
struct Memory {
    room: super::Room,
    known: HashMap<OwnedEventId, Known>,
    numbers: HashMap<EventNo, OwnedEventId>,
    nodes: HashMap<NodeId, Arc<Node>>,
    /// Events that were named before they came.
    named: HashSet<OwnedEventId>,
    /// Events that the policy server of the room does not recommend.
    discouraged: HashSet<OwnedEventId>,
    rounds: usize,
}

impl Memory {
    fn of(told: &testing::Room) -> Self {
        let id = told.id.clone().unwrap();
        let room =
            super::Room { id, version: told.version, heads: Vec::new(), state: NodeId::EMPTY };
        Self {
            room,
            known: HashMap::new(),
            numbers: HashMap::new(),
            nodes: HashMap::new(),
            named: HashSet::new(),
            discouraged: HashSet::new(),
            rounds: 0,
        }
    }

    /// Puts on the shelf what was missed there, and nothing else.
    fn load(&self, shelf: &mut Shelf, need: Need) {
        let Need { events, numbers, nodes, citing } = need;
        for id in events {
            match self.known.get(&id) {
                Some(known) => shelf.put(known.clone()),
                None => shelf.absent(id),
            }
        }
        for number in numbers {
            shelf.put(self.known[&self.numbers[&number]].clone());
        }
        for id in nodes {
            shelf.put_node(id, self.nodes[&id].clone());
        }
        for (id, page) in citing {
            let cites = |known: &&Known| {
                known.event.is_state()
                    && known.standing != Standing::Rejected
                    && known.event.auth_events().contains(&id)
            };
            let mut found: Vec<EventNo> =
                self.known.values().filter(cites).map(|known| known.number).collect();
            found.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
            let page_of = found.into_iter().skip(page * CITING).take(CITING).collect();
            shelf.put_citing(id, page, page_of);
        }
    }

    fn decide(&mut self, event: &Event) -> Outcome {
        let number = EventNo(i64::try_from(self.known.len()).unwrap() + 1);
        let arrival = Arrival {
            is_named: self.named.contains(event.id()),
            is_discouraged: self.discouraged.contains(event.id()),
            ..Arrival::default()
        };
        let mut shelf = Shelf::new();
        for _ in 0..1_000 {
            match admit(&self.room, event, number, arrival, &shelf) {
                Ok(outcome) => return outcome,
                Err(Halt::Need(need)) => {
                    assert!(!need.is_empty());
                    self.load(&mut shelf, need);
                    self.rounds += 1;
                }
                Err(Halt::Failed(why)) => panic!("{why}"),
            }
        }
        panic!("a decision did not come to an end");
    }

    /// Takes an event in, after those that it names.
    fn take(&mut self, told: &testing::Room, event: &Event) -> Option<Placed> {
        let placed = match self.decide(event) {
            Outcome::Known => return None,
            Outcome::Missing(missing) => {
                for id in missing.auth.iter().chain(&missing.prev) {
                    self.take(told, &told.events[id]);
                }
                return self.take(told, event);
            }
            Outcome::Placed(placed) => *placed,
        };
        self.nodes.extend(placed.nodes.iter().cloned());
        let number = EventNo(i64::try_from(self.known.len()).unwrap() + 1);
        let rejected = placed.standing == Standing::Rejected;
        let known = Known {
            event: event.with_rejected(rejected),
            number,
            standing: placed.standing,
            after: Some(placed.after),
        };
        self.known.insert(event.id().to_owned(), known);
        self.numbers.insert(number, event.id().to_owned());
        self.room.heads.clone_from(&placed.heads);
        self.room.state = placed.state;
        Some(placed)
    }

    /// A state as the slow way writes it.
    fn spelled(&self, root: NodeId) -> testing::State {
        let entries = state::entries(root, |id| self.nodes.get(id).cloned()).unwrap();
        let event = |number: &EventNo| &self.known[&self.numbers[number]].event;
        let entry = |(_, number): &(KeyHash, EventNo)| {
            (key_of(event(number)).unwrap(), event(number).id().to_owned())
        };
        entries.iter().map(entry).collect()
    }
}

/// Every event after those before it, in an order that the dice choose.
fn shuffled(told: &testing::Room, dice: &mut testing::Dice) -> Vec<Event> {
    let mut left: Vec<&Event> = told.events.values().collect();
    left.sort_unstable_by_key(|event| event.id());
    let mut order = Vec::new();
    while !left.is_empty() {
        order.push(left.swap_remove(dice.roll(left.len())).clone());
    }
    order
}

#[test]
fn states_and_heads_are_those_of_the_slow_way_in_any_order() {
    let mut rounds = 0;
    for version in RoomVersion::ALL {
        for seed in 0..30 {
            let mut dice = testing::Dice(seed * 104_729 + 5);
            let (told, _) = testing::random_room(version, &mut dice, 40);
            let mut ends: Vec<testing::State> = Vec::new();
            for _ in 0..3 {
                let mut memory = Memory::of(&told);
                for event in shuffled(&told, &mut dice) {
                    memory.take(&told, &event);
                }
                assert_eq!(memory.known.len(), told.events.len());
                for (id, known) in &memory.known {
                    assert_ne!(known.standing, Standing::Rejected, "seed {seed}: {id}");
                    let after = memory.spelled(known.after.unwrap());
                    assert_eq!(after, told.after[id], "seed {seed} in {version:?}: {id}");
                }
                let heads: Vec<OwnedEventId> =
                    memory.room.heads.iter().map(|head| head.id.clone()).collect();
                assert_eq!(memory.spelled(memory.room.state), told.resolve_fully(&heads));
                // What was soft-failed depends on the order in which it came; all else does not.
                if memory.known.values().all(|known| known.standing == Standing::Accepted) {
                    ends.push(memory.spelled(memory.room.state));
                }
                rounds += memory.rounds;
            }
            assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}");
        }
    }
    println!("{rounds} rounds of loading");
}

/// A room of alice's that anybody may join, and bob in it.
fn public(version: RoomVersion) -> (testing::Room, OwnedEventId) {
    let (mut told, create) = testing::Room::created(version, &json!({}));
    let join = json!({ "membership": "join" });
    let mut last = create;
    for (sender, kind, state_key, content) in [
        ("alice", "m.room.member", user("alice").to_string(), join.clone()),
        ("alice", "m.room.join_rules", String::new(), json!({ "join_rule": "public" })),
        ("bob", "m.room.member", user("bob").to_string(), join),
    ] {
        let draft = draft(sender, kind, Some(&state_key), &content, 2);
        last = told.send(&draft, &[last]).unwrap();
    }
    (told, last)
}

#[test]
fn what_comes_too_late_is_not_shown_and_its_edges_are_followed() {
    for version in RoomVersion::ALL {
        let (mut told, before) = public(version);
        let ban = json!({ "membership": "ban" });
        let bob = user("bob").to_string();
        let ban = draft("alice", "m.room.member", Some(&bob), &ban, 3);
        let ban = told.send(&ban, std::slice::from_ref(&before)).unwrap();
        let say = draft("bob", "m.room.message", None, &json!({ "body": "late" }), 4);
        let late = told.send(&say, std::slice::from_ref(&before)).unwrap();
        let say = draft("alice", "m.room.message", None, &json!({ "body": "on" }), 5);
        // Somebody who did not know of the ban goes on behind what bob said.
        let further = told.send(&say, std::slice::from_ref(&late)).unwrap();
        let mut memory = Memory::of(&told);
        let take =
            |memory: &mut Memory, id: &EventId| memory.take(&told, &told.events[id]).unwrap();
        take(&mut memory, &ban);
        let placed = take(&mut memory, &late);
        assert_eq!(placed.standing, Standing::SoftFailed);
        assert!(matches!(placed.refusal, Some(crate::auth::Refusal::CurrentState(_))));
        assert_eq!((placed.heads[0].id.clone(), placed.changed.len()), (ban.clone(), 0));
        let placed = take(&mut memory, &further);
        assert_eq!(placed.standing, Standing::Accepted);
        let heads: HashSet<&OwnedEventId> = placed.heads.iter().map(|head| &head.id).collect();
        assert_eq!(heads, HashSet::from([&ban, &further]));
        // The ban stands in the room, though not on that branch.
        let now = memory.spelled(memory.room.state);
        assert_eq!(now[&key("m.room.member", &bob)], ban);
        assert!(matches!(memory.decide(&told.events[&late]), Outcome::Known));
    }
}

#[test]
fn what_was_named_before_it_came_is_no_head() {
    let (mut told, before) = public(RoomVersion::V12);
    let say = |n: u64| draft("bob", "m.room.message", None, &json!({ "n": n }), n);
    let first = told.send(&say(3), std::slice::from_ref(&before)).unwrap();
    let second = told.send(&say(4), std::slice::from_ref(&first)).unwrap();
    let mut memory = Memory::of(&told);
    memory.take(&told, &told.events[&before]).unwrap();
    // The state before the second is somebody's word.
    let state = memory.room.state;
    let mut shelf = Shelf::new();
    let placed = loop {
        let arrival = Arrival { given: Some(state), ..Arrival::default() };
        match admit(&memory.room, &told.events[&second], EventNo(9), arrival, &shelf) {
            Ok(Outcome::Placed(placed)) => break placed,
            Err(Halt::Need(need)) => memory.load(&mut shelf, need),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(placed.standing, Standing::Accepted);
    assert_eq!(placed.gaps, std::slice::from_ref(&first));
    // Both branches end, for nobody knows how they hang together.
    let ids: Vec<&OwnedEventId> = placed.heads.iter().map(|head| &head.id).collect();
    assert_eq!(ids, [&before, &second]);
    memory.room.heads = placed.heads.clone();
    memory.named.insert(first.clone());
    let placed = memory.take(&told, &told.events[&first]).unwrap();
    let ids: Vec<&OwnedEventId> = placed.heads.iter().map(|head| &head.id).collect();
    assert_eq!(ids, [&second], "what hangs between them closes the gap");
}

#[test]
fn what_a_policy_server_does_not_recommend_stands_and_is_not_shown() {
    let (mut told, before) = public(RoomVersion::V12);
    let set = draft("alice", "m.room.topic", Some(""), &json!({ "topic": "spam" }), 3);
    let spam = told.send(&set, std::slice::from_ref(&before)).unwrap();
    let say = draft("alice", "m.room.message", None, &json!({}), 5);
    let last = told.send(&say, std::slice::from_ref(&spam)).unwrap();
    let mut memory = Memory::of(&told);
    memory.take(&told, &told.events[&before]).unwrap();
    let (heads, state) = (memory.room.heads.clone(), memory.room.state);
    memory.discouraged.insert(spam.clone());
    let placed = memory.take(&told, &told.events[&spam]).unwrap();
    assert_eq!(placed.standing, Standing::SoftFailed);
    assert_eq!(placed.refusal, Some(crate::auth::Refusal::PolicyServer));
    assert!(placed.heads == heads && placed.state == state && placed.changed.is_empty());
    // Whoever goes on behind it brings its state along, as for all that is not shown.
    let placed = memory.take(&told, &told.events[&last]).unwrap();
    assert_eq!(placed.standing, Standing::Accepted);
    let key = StateKey::new("m.room.topic".into(), "");
    assert_eq!(memory.spelled(memory.room.state).get(&key), Some(&spam));
}

#[test]
fn what_is_missing_is_named_and_other_rooms_are_refused() {
    let (mut told, before) = public(RoomVersion::V11);
    let say = draft("bob", "m.room.message", None, &json!({}), 3);
    let last = told.send(&say, std::slice::from_ref(&before)).unwrap();
    let mut memory = Memory::of(&told);
    let Outcome::Missing(missing) = memory.decide(&told.events[&last]) else { panic!() };
    assert_eq!(missing.prev, std::slice::from_ref(&before));
    assert_eq!(missing.auth.len(), told.events[&last].auth_events().len());
    memory.room.id = ruma::owned_room_id!("!other:alice.example");
    let (event, arrival) = (&told.events[&last], Arrival::default());
    let refused = admit(&memory.room, event, EventNo(1), arrival, &Shelf::new());
    assert!(matches!(refused, Err(Halt::Failed(_))));
}

#[test]
fn a_flood_of_deep_heads_of_one_state_crowds_out_no_other_state() {
    let head = |n: u8, depth: u64, after: u8| Head {
        id: OwnedEventId::try_from(format!("${n:0>43}")).unwrap(),
        depth,
        after: NodeId([after; 16]),
    };
    let mut heads: Vec<Head> = (0..23).map(|n| head(n, (1 << 53) - 1, 1)).collect();
    heads.insert(5, head(100, 7, 2));
    heads.push(head(101, 3, 3));
    let named = prev_events(&heads);
    assert_eq!(named.len(), 20);
    for honest in [&heads[5], heads.last().unwrap()] {
        assert!(named.contains(&(honest.id.clone(), honest.depth)));
    }
    let place = |id: &OwnedEventId| heads.iter().position(|head| head.id == *id);
    assert!(named.is_sorted_by_key(|(id, _)| place(id)), "the order is kept");
    let few = prev_events(&heads[..6]);
    assert_eq!(few.len(), 6);
}

#[test]
fn a_room_of_version_12_begins_whatever_the_hash_of_its_creation() {
    // The create event is cited by none there: its place must not hang on how the ids sort.
    for lot in 0..16 {
        let (mut told, create) = testing::Room::created(RoomVersion::V12, &json!({ "lot": lot }));
        let join = json!({ "membership": "join" });
        let alice = draft("alice", "m.room.member", Some(user("alice").as_str()), &join, 2);
        let first = told.send(&alice, &[create]).unwrap();
        let rule = json!({ "join_rule": "public" });
        let open = draft("alice", "m.room.join_rules", Some(""), &rule, 3);
        let last = told.send(&open, &[first]).unwrap();
        let before = told.after[&last].clone();
        let bob = draft("bob", "m.room.member", Some(user("bob").as_str()), &join, 4);
        let bob = told.send(&bob, &[last]).unwrap();
        let state: Vec<Event> = before.values().map(|id| told.events[id].clone()).collect();
        let begun = begin(RoomVersion::V12, &told.events[&bob], &state, &[]).unwrap();
        assert_eq!(begun.refused, Vec::<OwnedEventId>::new(), "lot {lot}");
    }
}

#[test]
fn the_word_of_a_server_on_its_room_is_checked() {
    for version in RoomVersion::ALL {
        let (mut told, last) = public(version);
        let carol = user("carol").to_string();
        let join = json!({ "membership": "join" });
        let draft = draft("carol", "m.room.member", Some(&carol), &join, 9);
        let before = told.after[&last].clone();
        let join = told.send(&draft, std::slice::from_ref(&last)).unwrap();
        let join = told.events[&join].clone();
        let event = |id: &OwnedEventId| told.events[id].clone();
        let state: Vec<Event> = before.values().map(event).collect();
        let cited: HashSet<OwnedEventId> = told.chain(before.values().cloned());
        let chain: Vec<Event> = cited.iter().map(event).collect();
        let begun = begin(version, &join, &state, &chain).unwrap();
        assert_eq!((begun.state.clone(), begun.refused.len()), (before.clone(), 0));
        let places: HashMap<&EventId, usize> =
            begun.events.iter().enumerate().map(|(at, event)| (event.id(), at)).collect();
        for event in &begun.events {
            assert!(event.auth_events().iter().all(|id| places[&**id] < places[event.id()]));
        }
        // Without the chain, nothing but the creation stands.
        let create = key("m.room.create", "");
        let alone: Vec<Event> =
            state.iter().filter(|event| key_of(event) != Some(create.clone())).cloned().collect();
        let none = begin(version, &join, &alone, &[]);
        assert!(matches!(none, Err(BeginError::NoCreate(_))), "{none:?}");
        // Whoever is not in is not let in by a state that says nothing of them being allowed.
        let rules = key("m.room.join_rules", "");
        let closed: Vec<Event> =
            state.iter().filter(|event| key_of(event) != Some(rules.clone())).cloned().collect();
        let closed = begin(version, &join, &closed, &chain);
        assert!(matches!(closed, Err(BeginError::NotAllowed(_))), "{closed:?}");
        let mut twice = state.clone();
        let levels: BTreeMap<StateKey, OwnedEventId> = before.clone();
        let of_alice = &levels[&key("m.room.member", user("alice").as_str())];
        let named = super::super::testing::draft(
            "alice",
            "m.room.member",
            Some(user("alice").as_str()),
            &json!({ "membership": "join", "displayname": "A" }),
            9,
        );
        let again = told.send(&named, std::slice::from_ref(&last)).unwrap();
        twice.push(told.events[&again].clone());
        let twice = begin(version, &join, &twice, &chain);
        assert!(matches!(twice, Err(BeginError::Twice(_))), "{of_alice}: {twice:?}");
    }
}
