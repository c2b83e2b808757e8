//! State resolution 2 (versions 10, 11) and 2.1 (version 12), with work in proportion to the conflict.
//!
//! The algorithm itself is ruma's. This module finds the few events that it is about: the forks give
//! only the entries on which they differ (from [`crate::state::diff`]), and everything they agree on
//! is asked for by key, and only where the rules look at it.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    rc::Rc,
};

use ruma::{
    EventId, OwnedEventId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::{StateResolutionV2Rules, StateResolutionVersion},
    state_res::{self, StateMap, utils::event_id_set::EventIdSet},
};

use crate::{
    auth::{auth_keys, create_id, key_of},
    event::Event,
    state::StateKey,
    version::RoomVersion,
};

/// Why a state could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Load these events and call again. Loading them together with their auth chains saves rounds.
    /// An event that cannot be had ends the attempt: an id is asked for until it is there.
    #[error("resolving a state: {} events are not loaded", .0.len())]
    Need(
        /// Their ids, each once, at least one.
        Vec<OwnedEventId>,
    ),
    /// The events themselves do not allow it: one is malformed, or is no state event.
    #[error("resolving a state: {0}")]
    Failed(String),
}

/// Resolves forks of one room's state (room versions, "State resolution").
///
/// * `forks`: per fork its entries for the keys on which the forks differ; a key that a fork has not
///   is missing from its list. Keys on which all agree may be given, but count for nothing.
/// * `unconflicted`: the entry that every fork has for a key, if they all have the same one. It is
///   asked for the keys of the events in the auth chains of the conflicted ones, for what their
///   authorisation reads (create, power levels, join rules, members, third-party tokens), and for
///   the keys of the events that result. A caller that does not have an entry at hand notes the key,
///   answers `None`, throws the result away and calls again when it has loaded it.
/// * `events`: an event by id; the ones that are missing come back in [`ResolveError::Need`].
/// * `in_unconflicted_chain`: whether an event is in the auth chain of an entry on which all forks
///   agree. Such an event is in the auth chain of every fork, so it is not in the auth difference;
///   an exact answer makes the difference exact. It is asked for the few events that some but not
///   all forks reach from their conflicted entries, deepest first, and not for those below an event
///   for which it was true. An agreed entry itself counts as part of every fork's chain.
///
/// The result holds the winners of the conflicted keys, and entries for keys that no fork has but
/// whose events came back through the auth difference. A conflicted key that is missing from it has
/// no entry in the resolved state. What all forks agree on is not repeated.
pub fn resolve(
    version: RoomVersion,
    forks: &[Vec<(StateKey, OwnedEventId)>],
    unconflicted: impl Fn(&StateKey) -> Option<OwnedEventId>,
    events: impl Fn(&EventId) -> Option<Event>,
    in_unconflicted_chain: impl Fn(&EventId) -> bool,
) -> Result<BTreeMap<StateKey, OwnedEventId>, ResolveError> {
    let StateResolutionVersion::V2(rules) = &version.rules().state_res else {
        return Err(ResolveError::Failed("want state resolution 2 or 2.1".into()));
    };
    let conflict = Conflict::between(forks);
    if conflict.keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let graph = Graph::of(events);
    let agreed = |event: &Event| {
        key_of(event).is_some_and(|key| {
            !conflict.keys.contains(&key) && unconflicted(&key).as_deref() == Some(event.id())
        })
    };
    let whole_chains = rules.consider_conflicted_state_subgraph;
    let starts: Vec<Vec<usize>> = conflict
        .forks
        .iter()
        .map(|fork| fork.iter().map(|(_, id)| graph.place(id)).collect())
        .collect();
    let chains: Vec<Marks> =
        starts.iter().map(|of| graph.chain(of, |event| whole_chains || !agreed(event))).collect();
    graph.all_found()?;
    let conflicted: Marks = starts.iter().flatten().copied().collect();
    let difference = auth_difference(&graph, &conflicted, &chains, agreed, in_unconflicted_chain);
    let subgraph = if whole_chains { subgraph(&graph, &conflicted, &chains) } else { Vec::new() };
    let mut full = Marks::default();
    let all = starts.iter().flatten().chain(&difference).chain(&subgraph);
    let full: Vec<usize> = all.copied().filter(|at| full.add(*at)).collect();
    let mut base = StateMap::new();
    if !rules.begin_iterative_auth_checks_with_empty_state_map {
        base = read_by_rules(version, &full, &graph, |key| {
            if conflict.keys.contains(key) { None } else { unconflicted(key) }
        });
    }
    prefetch(version, &full, &base, &graph);
    graph.all_found()?;
    let resolved = run(version, *rules, &conflict, &base, &difference, &subgraph, &graph);
    graph.all_found()?;
    let resolved = resolved?.into_iter().map(|((kind, key), id)| (StateKey { kind, key }, id));
    Ok(resolved
        .filter(|(key, _)| conflict.keys.contains(key) || unconflicted(key).is_none())
        .collect())
}

/// The entries on which the forks differ.
struct Conflict<'f> {
    keys: HashSet<&'f StateKey>,
    /// Per fork, only those, in the order in which they were given.
    forks: Vec<Vec<&'f (StateKey, OwnedEventId)>>,
}

impl<'f> Conflict<'f> {
    fn between(forks: &'f [Vec<(StateKey, OwnedEventId)>]) -> Self {
        let maps: Vec<HashMap<&StateKey, &OwnedEventId>> =
            forks.iter().map(|fork| fork.iter().map(|(key, id)| (key, id)).collect()).collect();
        let differs = |key: &&StateKey| {
            let first = maps.first().and_then(|fork| fork.get(key));
            maps.iter().any(|fork| fork.get(key) != first)
        };
        let keys: HashSet<&StateKey> =
            maps.iter().flat_map(|fork| fork.keys().copied()).filter(differs).collect();
        let of = |fork: &'f Vec<(StateKey, OwnedEventId)>| {
            fork.iter().filter(|(key, _)| keys.contains(key)).collect()
        };
        let forks = forks.iter().map(of).collect();
        Self { keys, forks }
    }
}

/// The events that the question touches, each with a place of its own: the same ids are met again and again,
/// and are compared by their places.
struct Graph<F> {
    events: F,
    places: RefCell<HashMap<OwnedEventId, usize>>,
    found: RefCell<Vec<Option<Event>>>,
    /// The places of what each cites, where that was asked for.
    cited: RefCell<Vec<Option<Rc<[usize]>>>>,
    missing: RefCell<BTreeSet<OwnedEventId>>,
}

impl<F: Fn(&EventId) -> Option<Event>> Graph<F> {
    fn of(events: F) -> Self {
        Self {
            events,
            places: RefCell::default(),
            found: RefCell::default(),
            cited: RefCell::default(),
            missing: RefCell::default(),
        }
    }

    /// The place of an event, which is looked for when it is met first.
    fn place(&self, id: &EventId) -> usize {
        if let Some(place) = self.places.borrow().get(id) {
            return *place;
        }
        let event = (self.events)(id);
        if event.is_none() {
            self.missing.borrow_mut().insert(id.to_owned());
        }
        let place = self.found.borrow().len();
        self.places.borrow_mut().insert(id.to_owned(), place);
        self.found.borrow_mut().push(event);
        self.cited.borrow_mut().push(None);
        place
    }

    fn at(&self, place: usize) -> Option<Event> {
        self.found.borrow()[place].clone()
    }

    fn event(&self, id: &EventId) -> Option<Event> {
        self.at(self.place(id))
    }

    /// What an event cites.
    fn cited_by(&self, place: usize) -> Rc<[usize]> {
        if let Some(known) = &self.cited.borrow()[place] {
            return Rc::clone(known);
        }
        let event = self.at(place);
        let ids = event.iter().flat_map(Event::auth_events);
        let cited: Rc<[usize]> = ids.map(|id| self.place(id)).collect();
        self.cited.borrow_mut()[place] = Some(Rc::clone(&cited));
        cited
    }

    /// Everything that some events reach through `auth_events`, themselves included.
    ///
    /// The walk goes on only below events for which `go_on` is true: in resolution 2 an agreed entry ends
    /// it, for what lies below it is in every fork's chain.
    fn chain(&self, from: &[usize], go_on: impl Fn(&Event) -> bool) -> Marks {
        let mut seen: Marks = from.iter().copied().collect();
        let mut open = from.to_vec();
        while let Some(place) = open.pop() {
            if !self.at(place).is_some_and(|event| go_on(&event)) {
                continue;
            }
            open.extend(self.cited_by(place).iter().filter(|cited| seen.add(**cited)));
        }
        seen
    }

    fn all_found(&self) -> Result<(), ResolveError> {
        let missing = self.missing.borrow();
        if missing.is_empty() {
            return Ok(());
        }
        Err(ResolveError::Need(missing.iter().cloned().collect()))
    }
}

/// A set of places.
#[derive(Default)]
struct Marks(Vec<bool>);

impl Marks {
    /// Marks a place; whether it was not before.
    fn add(&mut self, place: usize) -> bool {
        if place >= self.0.len() {
            self.0.resize(place + 1, false);
        }
        !std::mem::replace(&mut self.0[place], true)
    }

    fn has(&self, place: usize) -> bool {
        self.0.get(place).copied().unwrap_or_default()
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter_map(|(place, marked)| marked.then_some(place))
    }
}

impl FromIterator<usize> for Marks {
    fn from_iter<T: IntoIterator<Item = usize>>(places: T) -> Self {
        let mut marks = Self::default();
        for place in places {
            marks.add(place);
        }
        marks
    }
}

/// The events that are in the auth chain of some fork but not of every one.
fn auth_difference<F: Fn(&EventId) -> Option<Event>>(
    graph: &Graph<F>,
    conflicted: &Marks,
    chains: &[Marks],
    agreed: impl Fn(&Event) -> bool,
    in_unconflicted_chain: impl Fn(&EventId) -> bool,
) -> Vec<usize> {
    let reached: Marks = chains.iter().flat_map(Marks::all).collect();
    let mut events: Vec<(usize, Event)> =
        reached.all().filter_map(|place| Some((place, graph.at(place)?))).collect();
    // Depth only saves questions: what the sender claims cannot make the answer wrong.
    events.sort_by_key(|(_, event)| Reverse(event.depth()));
    let (mut common, mut difference) = (Marks::default(), Vec::new());
    for (place, event) in events {
        let some_only = !chains.iter().all(|chain| chain.has(place));
        let candidate = some_only && !conflicted.has(place);
        if common.has(place) || agreed(&event) || (candidate && in_unconflicted_chain(event.id())) {
            for cited in &*graph.cited_by(place) {
                common.add(*cited);
            }
        } else if candidate {
            difference.push(place);
        }
    }
    difference
}

/// The conflicted state subgraph of resolution 2.1: all events on a path through `auth_events` from
/// one conflicted event to another. These are the events above which and below which lies one.
fn subgraph<F: Fn(&EventId) -> Option<Event>>(
    graph: &Graph<F>,
    conflicted: &Marks,
    chains: &[Marks],
) -> Vec<usize> {
    let below: Marks = chains.iter().flat_map(Marks::all).collect();
    let mut citing: Vec<Vec<usize>> = Vec::new();
    for place in below.all() {
        for cited in &*graph.cited_by(place) {
            if *cited >= citing.len() {
                citing.resize(cited + 1, Vec::new());
            }
            citing[*cited].push(place);
        }
    }
    let (mut found, mut open): (Marks, Vec<usize>) =
        (conflicted.all().collect(), conflicted.all().collect());
    while let Some(place) = open.pop() {
        let above = citing.get(place).into_iter().flatten();
        open.extend(above.filter(|above| found.add(**above)));
    }
    found.all().collect()
}

/// The agreed entries that the rules read when they judge the events, and the power levels, from
/// which the mainline hangs.
fn read_by_rules<F: Fn(&EventId) -> Option<Event>>(
    version: RoomVersion,
    full: &[usize],
    graph: &Graph<F>,
    unconflicted: impl Fn(&StateKey) -> Option<OwnedEventId>,
) -> StateMap<OwnedEventId> {
    let mut keys = BTreeSet::from([StateKey::new(StateEventType::RoomPowerLevels, "")]);
    for event in full.iter().filter_map(|place| graph.at(*place)) {
        // A malformed event names no keys; the algorithm skips it as well.
        let (sender, key) = (event.sender(), event.state_key());
        keys.extend(
            auth_keys(version, event.kind(), sender, key, event.content()).unwrap_or_default(),
        );
    }
    keys.into_iter()
        .filter_map(|key| Some((unconflicted(&key)?, key)))
        .map(|(id, key)| ((key.kind, key.key), id))
        .collect()
}

/// Loads what the algorithm will read, so that as much as possible is asked for at once.
fn prefetch<F: Fn(&EventId) -> Option<Event>>(
    version: RoomVersion,
    full: &[usize],
    base: &StateMap<OwnedEventId>,
    graph: &Graph<F>,
) {
    let is_levels = |place: usize| graph.at(place).as_ref().is_some_and(is_levels);
    let mut seen = Marks::default();
    let mut open = full.to_vec();
    open.extend(base.values().map(|id| graph.place(id)).filter(|place| is_levels(*place)));
    while let Some(place) = open.pop() {
        let Some(event) = graph.at(place).filter(|_| seen.add(place)) else { continue };
        if let Some(create) = create_id(version, &event) {
            graph.place(&create);
        }
        // The mainline runs from power levels to the power levels before them.
        open.extend(graph.cited_by(place).iter().filter(|cited| is_levels(**cited)));
    }
}

fn is_levels(event: &Event) -> bool {
    *event.kind() == TimelineEventType::RoomPowerLevels && event.state_key() == Some("")
}

/// Hands the reduced question to ruma.
fn run<F: Fn(&EventId) -> Option<Event>>(
    version: RoomVersion,
    rules: StateResolutionV2Rules,
    conflict: &Conflict<'_>,
    base: &StateMap<OwnedEventId>,
    difference: &[usize],
    subgraph: &[usize],
    graph: &Graph<F>,
) -> Result<StateMap<OwnedEventId>, ResolveError> {
    let maps: Vec<StateMap<OwnedEventId>> = conflict
        .forks
        .iter()
        .map(|fork| {
            let own =
                fork.iter().map(|(key, id)| ((key.kind.clone(), key.key.clone()), id.clone()));
            base.clone().into_iter().chain(own).collect()
        })
        .collect();
    // ruma subtracts what all chains share: one that has everything and one that has nothing
    // leave the difference as it is.
    let ids = |places: &[usize]| -> EventIdSet<OwnedEventId> {
        let events = places.iter().filter_map(|place| graph.at(*place));
        events.map(|event| event.id().to_owned()).collect()
    };
    let chains = vec![ids(difference), EventIdSet::new()];
    state_res::resolve(
        &version.rules().authorization,
        &rules,
        &maps,
        chains,
        |id| graph.event(id),
        |_| Some(ids(subgraph)),
    )
    .map_err(|error| ResolveError::Failed(error.to_string()))
}

#[cfg(test)]
mod tests;
