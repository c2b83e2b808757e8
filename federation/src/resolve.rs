//! State resolution 2 (versions 10, 11) and 2.1 (version 12), with work in proportion to the conflict.
//!
//! The algorithm itself is ruma's. This module finds the few events that it is about: the forks give
//! only the entries on which they differ (from [`crate::state::diff`]), and everything they agree on
//! is asked for by key, and only where the rules look at it.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
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
    if conflict.ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let loader = Loader::new(events);
    let agreed = |event: &Event| {
        key_of(event).is_some_and(|key| {
            !conflict.keys.contains(&key) && unconflicted(&key).as_deref() == Some(event.id())
        })
    };
    let whole_chains = rules.consider_conflicted_state_subgraph;
    let chains: Vec<Chain> = conflict
        .forks
        .iter()
        .map(|fork| Chain::walk(fork, &loader, |event| whole_chains || !agreed(event)))
        .collect();
    loader.all_found()?;
    let difference = auth_difference(&conflict, &chains, &loader, agreed, in_unconflicted_chain);
    let subgraph =
        if whole_chains { subgraph(&conflict, &chains, &loader) } else { HashSet::new() };
    let full: BTreeSet<&OwnedEventId> =
        conflict.ids.iter().chain(&difference).chain(&subgraph).collect();
    let mut base = StateMap::new();
    if !rules.begin_iterative_auth_checks_with_empty_state_map {
        base = read_by_rules(version, &full, &loader, |key| {
            if conflict.keys.contains(key) { None } else { unconflicted(key) }
        });
    }
    prefetch(version, &full, &base, &loader);
    loader.all_found()?;
    let resolved = run(version, *rules, &conflict, &base, difference, &subgraph, &loader);
    loader.all_found()?;
    let resolved = resolved?.into_iter().map(|((kind, key), id)| (StateKey { kind, key }, id));
    Ok(resolved
        .filter(|(key, _)| conflict.keys.contains(key) || unconflicted(key).is_none())
        .collect())
}

/// The entries on which the forks differ.
struct Conflict {
    keys: BTreeSet<StateKey>,
    ids: BTreeSet<OwnedEventId>,
    /// Per fork, only those.
    forks: Vec<BTreeMap<StateKey, OwnedEventId>>,
}

impl Conflict {
    fn between(forks: &[Vec<(StateKey, OwnedEventId)>]) -> Self {
        let mut forks: Vec<BTreeMap<StateKey, OwnedEventId>> =
            forks.iter().map(|fork| fork.iter().cloned().collect()).collect();
        let all: BTreeSet<StateKey> = forks.iter().flat_map(|fork| fork.keys().cloned()).collect();
        let (mut keys, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for key in all {
            let first = forks.first().and_then(|fork| fork.get(&key));
            if forks.iter().all(|fork| fork.get(&key) == first) {
                for fork in &mut forks {
                    fork.remove(&key);
                }
                continue;
            }
            ids.extend(forks.iter().filter_map(|fork| fork.get(&key).cloned()));
            keys.insert(key);
        }
        Self { keys, ids, forks }
    }
}

/// The caller's events, those seen so far, and those it did not have.
struct Loader<F> {
    events: F,
    found: RefCell<HashMap<OwnedEventId, Event>>,
    missing: RefCell<BTreeSet<OwnedEventId>>,
}

impl<F: Fn(&EventId) -> Option<Event>> Loader<F> {
    fn new(events: F) -> Self {
        Self { events, found: RefCell::default(), missing: RefCell::default() }
    }

    fn load(&self, id: &EventId) -> Option<Event> {
        if let Some(event) = self.found.borrow().get(id) {
            return Some(event.clone());
        }
        let event = (self.events)(id);
        match &event {
            Some(event) => {
                self.found.borrow_mut().insert(id.to_owned(), event.clone());
            }
            None => {
                self.missing.borrow_mut().insert(id.to_owned());
            }
        }
        event
    }

    fn all_found(&self) -> Result<(), ResolveError> {
        let missing = self.missing.borrow();
        if missing.is_empty() {
            return Ok(());
        }
        Err(ResolveError::Need(missing.iter().cloned().collect()))
    }
}

/// Everything that one fork's conflicted entries reach through `auth_events`, themselves included.
struct Chain(HashSet<OwnedEventId>);

impl Chain {
    /// Walks on only below events for which `go_on` is true: in resolution 2 an agreed entry ends
    /// the walk, for what lies below it is in every fork's chain.
    fn walk<F: Fn(&EventId) -> Option<Event>>(
        fork: &BTreeMap<StateKey, OwnedEventId>,
        loader: &Loader<F>,
        go_on: impl Fn(&Event) -> bool,
    ) -> Self {
        let mut seen: HashSet<OwnedEventId> = fork.values().cloned().collect();
        let mut open: Vec<OwnedEventId> = seen.iter().cloned().collect();
        while let Some(id) = open.pop() {
            let Some(event) = loader.load(&id).filter(|event| go_on(event)) else { continue };
            for id in event.auth_events() {
                if seen.insert(id.clone()) {
                    open.push(id.clone());
                }
            }
        }
        Self(seen)
    }
}

/// The events that are in the auth chain of some fork but not of every one.
fn auth_difference<F: Fn(&EventId) -> Option<Event>>(
    conflict: &Conflict,
    chains: &[Chain],
    loader: &Loader<F>,
    agreed: impl Fn(&Event) -> bool,
    in_unconflicted_chain: impl Fn(&EventId) -> bool,
) -> HashSet<OwnedEventId> {
    let mut reached: BTreeMap<&OwnedEventId, usize> = BTreeMap::new();
    for id in chains.iter().flat_map(|chain| &chain.0) {
        *reached.entry(id).or_default() += 1;
    }
    let mut events: Vec<Event> = reached.keys().filter_map(|id| loader.load(id)).collect();
    // Depth only saves questions: what the sender claims cannot make the answer wrong.
    events.sort_by_key(|event| Reverse(event.depth()));
    let mut common: HashSet<OwnedEventId> = HashSet::new();
    let mut difference = HashSet::new();
    for event in events {
        let some_only = reached.get(&event.id().to_owned()).is_some_and(|n| *n < chains.len());
        let candidate = some_only && !conflict.ids.contains(event.id());
        if common.contains(event.id())
            || agreed(&event)
            || (candidate && in_unconflicted_chain(event.id()))
        {
            common.extend(event.auth_events().iter().cloned());
        } else if candidate {
            difference.insert(event.id().to_owned());
        }
    }
    difference
}

/// The conflicted state subgraph of resolution 2.1: all events on a path through `auth_events` from
/// one conflicted event to another. These are the events above which and below which lies one.
fn subgraph<F: Fn(&EventId) -> Option<Event>>(
    conflict: &Conflict,
    chains: &[Chain],
    loader: &Loader<F>,
) -> HashSet<OwnedEventId> {
    let mut cited_by: HashMap<OwnedEventId, Vec<OwnedEventId>> = HashMap::new();
    let below: HashSet<&OwnedEventId> = chains.iter().flat_map(|chain| &chain.0).collect();
    for event in below.into_iter().filter_map(|id| loader.load(id)) {
        for id in event.auth_events() {
            cited_by.entry(id.clone()).or_default().push(event.id().to_owned());
        }
    }
    let mut found: HashSet<OwnedEventId> = conflict.ids.iter().cloned().collect();
    let mut open: Vec<OwnedEventId> = conflict.ids.iter().cloned().collect();
    while let Some(id) = open.pop() {
        for above in cited_by.get(&id).into_iter().flatten() {
            if found.insert(above.clone()) {
                open.push(above.clone());
            }
        }
    }
    found
}

/// The agreed entries that the rules read when they judge the events, and the power levels, from
/// which the mainline hangs.
fn read_by_rules<F: Fn(&EventId) -> Option<Event>>(
    version: RoomVersion,
    full: &BTreeSet<&OwnedEventId>,
    loader: &Loader<F>,
    unconflicted: impl Fn(&StateKey) -> Option<OwnedEventId>,
) -> StateMap<OwnedEventId> {
    let mut keys = BTreeSet::from([StateKey::new(StateEventType::RoomPowerLevels, "")]);
    for event in full.iter().filter_map(|id| loader.load(id)) {
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
    full: &BTreeSet<&OwnedEventId>,
    base: &StateMap<OwnedEventId>,
    loader: &Loader<F>,
) {
    let mut seen: HashSet<OwnedEventId> = HashSet::new();
    let mut open: Vec<OwnedEventId> = full.iter().map(|id| (*id).clone()).collect();
    open.extend(
        base.values().filter(|id| loader.load(id).as_ref().is_some_and(is_levels)).cloned(),
    );
    while let Some(id) = open.pop() {
        let Some(event) = loader.load(&id).filter(|_| seen.insert(id)) else { continue };
        if let Some(create) = create_id(version, &event) {
            loader.load(&create);
        }
        for id in event.auth_events() {
            // The mainline runs from power levels to the power levels before them.
            if loader.load(id).as_ref().is_some_and(is_levels) {
                open.push(id.clone());
            }
        }
    }
}

fn is_levels(event: &Event) -> bool {
    *event.kind() == TimelineEventType::RoomPowerLevels && event.state_key() == Some("")
}

/// Hands the reduced question to ruma.
fn run<F: Fn(&EventId) -> Option<Event>>(
    version: RoomVersion,
    rules: StateResolutionV2Rules,
    conflict: &Conflict,
    base: &StateMap<OwnedEventId>,
    difference: HashSet<OwnedEventId>,
    subgraph: &HashSet<OwnedEventId>,
    loader: &Loader<F>,
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
    let chains = vec![difference.into_iter().collect::<EventIdSet<_>>(), EventIdSet::new()];
    state_res::resolve(
        &version.rules().authorization,
        &rules,
        &maps,
        chains,
        |id| loader.load(id),
        |_| Some(subgraph.iter().cloned().collect()),
    )
    .map_err(|error| ResolveError::Failed(error.to_string()))
}

#[cfg(test)]
mod tests;
