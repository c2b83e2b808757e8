//! What one node holds of a room for good, and how the core is asked about it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use ruma::{EventId, OwnedEventId, OwnedRoomId};
use wayside_federation::{
    auth,
    event::Event,
    room::{self, Arrival, CITING, Halt, Known, Need, Outcome, Placed, Room, Shelf, Standing},
    state::{self, EventNo, Node, NodeId, StateKey},
    version::RoomVersion,
};

use crate::plant::Plant;

/// Rounds of loading after which a decision is given up.
const ROUNDS: usize = 2_000;

/// A state as everybody can compare it: no numbers of one node's own.
pub(crate) type Spelled = BTreeMap<StateKey, OwnedEventId>;

pub(crate) struct Memory {
    pub(crate) room: Room,
    known: HashMap<OwnedEventId, Known>,
    /// The id of each number, from 1 on.
    numbers: Vec<OwnedEventId>,
    nodes: HashMap<NodeId, Arc<Node>>,
    /// The state events that cite one and were not rejected, in order of their numbers.
    citing: HashMap<OwnedEventId, Vec<EventNo>>,
    /// What accepted events name, by way of such as are not shown too.
    named: HashSet<OwnedEventId>,
    /// The state before each placed event.
    before: HashMap<OwnedEventId, NodeId>,
    /// The placed events, in the order in which they came.
    pub(crate) placed: Vec<OwnedEventId>,
    plant: Option<Plant>,
}

impl Memory {
    pub(crate) fn new(version: RoomVersion, id: OwnedRoomId, plant: Option<Plant>) -> Self {
        Self {
            room: Room { id, version, heads: Vec::new(), state: NodeId::EMPTY },
            known: HashMap::new(),
            numbers: Vec::new(),
            nodes: HashMap::new(),
            citing: HashMap::new(),
            named: HashSet::new(),
            before: HashMap::new(),
            placed: Vec::new(),
            plant,
        }
    }

    /// Asks the core about an event, and hands it what it misses.
    pub(crate) fn decide(
        &self,
        shelf: &mut Shelf,
        event: &Event,
        given: Option<NodeId>,
    ) -> Result<Outcome, String> {
        let number = self.number_of(event.id());
        let named = self.named.contains(event.id());
        let prev: Vec<Option<NodeId>> =
            event.prev_events().iter().map(|id| self.after(id)).collect();
        let given = given.or_else(|| self.plant.and_then(|plant| plant.before(&prev)));
        let arrival = Arrival { is_named: named, given, ..Arrival::default() };
        for _ in 0..ROUNDS {
            match room::admit(&self.room, event, number, arrival, shelf) {
                Ok(Outcome::Placed(placed)) => {
                    return Ok(Outcome::Placed(Box::new(self.overrule(event, *placed))));
                }
                Ok(outcome) => return Ok(outcome),
                Err(Halt::Need(need)) => self.load(shelf, need),
                Err(Halt::Failed(why)) => return Err(why),
            }
        }
        panic!("a decision on {} did not come to an end", event.id());
    }

    fn overrule(&self, event: &Event, mut placed: Placed) -> Placed {
        if !self.plant.is_some_and(|plant| plant.overrules(placed.standing)) {
            return placed;
        }
        let mut after = placed.before;
        if let Some(key) = key_of(event) {
            let made: HashMap<NodeId, Arc<Node>> = placed.nodes.iter().cloned().collect();
            let change = (key.hash(), Some(self.number_of(event.id())));
            let load = |id: &NodeId| made.get(id).or_else(|| self.nodes.get(id)).cloned();
            let applied = state::apply(after, &[change], load).unwrap();
            placed.nodes.extend(applied.created);
            after = applied.root;
        }
        Plant::accept(&self.room, event, after, &mut placed);
        placed
    }

    fn load(&self, shelf: &mut Shelf, need: Need) {
        let Need { events, numbers, nodes, citing } = need;
        let as_seen = |known: &Known| match self.plant {
            Some(plant) => plant.shelved(self.room.version, known.clone()),
            None => known.clone(),
        };
        for id in events {
            match self.known.get(&id) {
                Some(known) => shelf.put(as_seen(known)),
                None => shelf.absent(id),
            }
        }
        for number in numbers {
            shelf.put(as_seen(self.numbered(number)));
        }
        for id in nodes {
            shelf.put_node(id, self.nodes[&id].clone());
        }
        if !citing.is_empty() {
            // Who asks for one goes on to the next: all at once save as many rounds.
            for id in self.known.keys() {
                self.shelve_citing(shelf, id);
            }
        }
        for (id, page) in citing {
            let numbers = self.page_of_citing(&id, page);
            shelf.put_citing(id, page, numbers);
        }
    }

    fn page_of_citing(&self, id: &EventId, page: usize) -> Vec<EventNo> {
        let all = self.citing.get(id).map(Vec::as_slice).unwrap_or_default();
        all.iter().rev().skip(page * CITING).take(CITING).copied().collect()
    }

    /// Puts all pages of those there that cite an event.
    fn shelve_citing(&self, shelf: &mut Shelf, id: &OwnedEventId) {
        let pages = self.citing.get(id).map_or(0, Vec::len) / CITING;
        for page in 0..=pages {
            shelf.put_citing(id.clone(), page, self.page_of_citing(id, page));
        }
    }

    /// Writes down what was decided.
    pub(crate) fn store(&mut self, shelf: &mut Shelf, event: &Event, placed: Placed) {
        for (id, node) in placed.nodes {
            shelf.put_node(id, node.clone());
            self.nodes.insert(id, node);
        }
        self.before.insert(event.id().to_owned(), placed.before);
        self.placed.push(event.id().to_owned());
        self.keep(shelf, event, placed.standing, Some(placed.after));
        if placed.standing == Standing::Accepted || self.named.contains(event.id()) {
            self.name(event);
        }
        self.room.heads = placed.heads;
        self.room.state = placed.state;
    }

    /// Notes what an event names, and what those name that are not shown.
    fn name(&mut self, event: &Event) {
        let mut open: Vec<OwnedEventId> = event.prev_events().to_vec();
        while let Some(id) = open.pop() {
            let hidden = self.known.get(&id).filter(|it| it.standing != Standing::Accepted);
            let further = hidden.map(|it| it.event.prev_events().to_vec()).unwrap_or_default();
            if self.named.insert(id) {
                open.extend(further);
            }
        }
    }

    fn keep(
        &mut self,
        shelf: &mut Shelf,
        event: &Event,
        standing: Standing,
        after: Option<NodeId>,
    ) {
        let number = self.number_of(event.id());
        let rejected = standing == Standing::Rejected;
        let known = Known { event: event.with_rejected(rejected), number, standing, after };
        if self.known.insert(event.id().to_owned(), known.clone()).is_none() {
            self.numbers.push(event.id().to_owned());
        }
        for id in event.auth_events() {
            let citing = self.citing.entry(id.clone()).or_default();
            citing.retain(|other| *other != number);
            if event.is_state() && !rejected {
                citing.push(number);
                citing.sort_unstable();
            }
        }
        for id in event.auth_events().iter().chain([&event.id().to_owned()]) {
            self.shelve_citing(shelf, id);
        }
        shelf.put(match self.plant {
            Some(plant) => plant.shelved(self.room.version, known),
            None => known,
        });
    }

    /// Takes events whose surroundings are not known, as far as they stand by what they cite.
    pub(crate) fn take_outliers(&mut self, shelf: &mut Shelf, events: &[Event]) {
        let mut left: Vec<&Event> =
            events.iter().filter(|event| !self.known.contains_key(event.id())).collect();
        left.sort_by_key(|event| event.depth());
        loop {
            let (ready, later): (Vec<&Event>, Vec<&Event>) = left.into_iter().partition(|event| {
                event.auth_events().iter().all(|id| self.known.contains_key(id))
            });
            if ready.is_empty() {
                return;
            }
            for event in ready {
                let by_id = |id: &EventId| self.known.get(id).map(|known| known.event.clone());
                let stands = auth::stands_by_cited(self.room.version, event, by_id).is_ok();
                let standing = if stands { Standing::Accepted } else { Standing::Rejected };
                self.keep(shelf, event, standing, None);
            }
            left = later;
        }
    }

    /// Makes a state of events that are here; none if one is not, or two stand at one place.
    pub(crate) fn state_of(&mut self, ids: &[OwnedEventId]) -> Option<NodeId> {
        let mut entries = BTreeMap::new();
        for id in ids {
            let known = self.known.get(id).filter(|it| it.standing != Standing::Rejected)?;
            let key = key_of(&known.event)?.hash();
            if entries.insert(key, Some(known.number)).is_some() {
                return None;
            }
        }
        let entries: Vec<_> = entries.into_iter().collect();
        let applied = state::apply(NodeId::EMPTY, &entries, |id| self.nodes.get(id).cloned());
        let applied = applied.ok()?;
        self.nodes.extend(applied.created);
        Some(applied.root)
    }

    pub(crate) fn known(&self, id: &EventId) -> Option<&Known> {
        self.known.get(id)
    }

    /// The state after a placed event.
    pub(crate) fn after(&self, id: &EventId) -> Option<NodeId> {
        self.known.get(id).and_then(|known| known.after)
    }

    /// The state before a placed event.
    pub(crate) fn before(&self, id: &EventId) -> Option<NodeId> {
        self.before.get(id).copied()
    }

    /// What a state holds for a key.
    pub(crate) fn at(&self, root: NodeId, key: &StateKey) -> Option<&Event> {
        let found = state::get(root, &[key.hash()], |id| self.nodes.get(id).cloned()).unwrap();
        found[0].map(|number| &self.numbered(number).event)
    }

    /// All events of a state.
    pub(crate) fn events_of(&self, root: NodeId) -> Vec<&Event> {
        let entries = state::entries(root, |id| self.nodes.get(id).cloned()).unwrap();
        entries.into_iter().map(|(_, number)| &self.numbered(number).event).collect()
    }

    /// A state in everybody's terms.
    pub(crate) fn spelled(&self, root: NodeId) -> Spelled {
        let entry = |event: &Event| Some((key_of(event)?, event.id().to_owned()));
        self.events_of(root).into_iter().filter_map(entry).collect()
    }

    /// Everything that some events cite, themselves left out.
    pub(crate) fn chain(&self, of: &[&Event]) -> Vec<&Event> {
        let mut open: Vec<&OwnedEventId> = of.iter().flat_map(|it| it.auth_events()).collect();
        let (mut seen, mut chain) = (HashSet::new(), Vec::new());
        while let Some(id) = open.pop() {
            let Some(known) = self.known.get(id) else { continue };
            if seen.insert(known.event.id()) {
                chain.push(&known.event);
                open.extend(known.event.auth_events());
            }
        }
        chain
    }

    /// These events and what lies before them, breadth first, as far as it is here.
    pub(crate) fn backwards(&self, from: &[OwnedEventId], limit: usize) -> Vec<&Event> {
        let (mut found, mut seen): (Vec<&Event>, HashSet<&EventId>) = Default::default();
        let mut level: Vec<&Known> = from.iter().filter_map(|id| self.known.get(id)).collect();
        while !level.is_empty() && found.len() < limit {
            level.retain(|known| seen.insert(known.event.id()));
            level.sort_by_key(|known| Reverse(known.event.depth()));
            found.extend(level.iter().map(|known| &known.event));
            let prev = level.iter().flat_map(|known| known.event.prev_events());
            level = prev.filter_map(|id| self.known.get(id)).collect();
        }
        found.truncate(limit);
        found
    }

    fn number_of(&self, id: &EventId) -> EventNo {
        let next = || EventNo(i64::try_from(self.numbers.len()).unwrap() + 1);
        self.known.get(id).map_or_else(next, |known| known.number)
    }

    fn numbered(&self, number: EventNo) -> &Known {
        &self.known[&self.numbers[usize::try_from(number.0).unwrap() - 1]]
    }
}

/// The place of a state event.
pub(crate) fn key_of(event: &Event) -> Option<StateKey> {
    let key = event.state_key()?;
    Some(StateKey::new(event.kind().to_string().into(), key))
}
