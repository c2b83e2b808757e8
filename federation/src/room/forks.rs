//! The state to which several branches lead together.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ruma::{EventId, OwnedEventId};

use super::{CITING, Halt, Joined, shelf::Desk};
use crate::{
    auth::key_of,
    event::Event,
    resolve::{self, ResolveError},
    state::{self, EventNo, KeyHash, NodeId, StateKey},
    version::RoomVersion,
};

/// Most events that are looked at in one answer: beyond it the branches are somebody's attack.
const EVENTS: usize = 200_000;

/// Changes a state, and keeps the nodes that come of it.
pub(super) fn change(
    desk: &Desk<'_>,
    root: NodeId,
    changes: &[(KeyHash, Option<EventNo>)],
) -> Result<NodeId, Halt> {
    let applied = desk.walked(state::apply(root, changes, |id| desk.node(id)))?;
    desk.made.borrow_mut().extend(applied.created);
    Ok(applied.root)
}

/// Joins the states of some branches.
pub(super) fn join(
    version: RoomVersion,
    desk: &Desk<'_>,
    roots: impl IntoIterator<Item = NodeId>,
) -> Result<NodeId, Halt> {
    let roots: Vec<NodeId> = roots.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let (base, others) = match roots.as_slice() {
        [] => return Ok(NodeId::EMPTY),
        [only] => return Ok(*only),
        [base, others @ ..] => (*base, others),
    };
    if let Some(state) = desk.joined(&roots) {
        return Ok(state);
    }
    let mut hashes: BTreeSet<KeyHash> = BTreeSet::new();
    for other in others {
        let differences = desk.walked(state::diff(base, *other, |id| desk.node(id)))?;
        hashes.extend(differences.into_iter().map(|it| it.key));
    }
    let hashes: Vec<KeyHash> = hashes.into_iter().collect();
    let mut forks = Vec::with_capacity(roots.len());
    for root in &roots {
        let numbers = desk.walked(state::get(*root, &hashes, |id| desk.node(id)))?;
        let entry = |number: EventNo| {
            let event = desk.numbered(number)?.event;
            Some((key_of(&event)?, event.id().to_owned()))
        };
        let fork: Vec<(StateKey, OwnedEventId)> =
            numbers.into_iter().flatten().filter_map(entry).collect();
        forks.push(fork);
    }
    desk.all_there()?;
    let conflicted: HashSet<KeyHash> = hashes.iter().copied().collect();
    let agreed = Agreed { desk, base, conflicted: &conflicted };
    let resolved = resolve::resolve(
        version,
        &forks,
        |key| agreed.entry(key).map(|event| event.id().to_owned()),
        |id| desk.event(id).map(|known| known.event),
        |id| agreed.rests_on(id),
    );
    agreed.desk.all_there()?;
    let winners = resolved.map_err(|error| match error {
        // What was asked for and is not loaded was noted above: these are not here at all.
        ResolveError::Need(ids) => {
            Halt::Failed(format!("{} events of auth chains are not here", ids.len()))
        }
        ResolveError::Failed(why) => Halt::Failed(why),
    })?;
    let mut changes: BTreeMap<KeyHash, Option<EventNo>> =
        hashes.into_iter().map(|hash| (hash, None)).collect();
    for (key, id) in winners {
        let known = desk.event(&id);
        changes.insert(key.hash(), known.map(|known| known.number));
    }
    desk.all_there()?;
    let changes: Vec<_> = changes.into_iter().collect();
    let applied = desk.walked(state::apply(base, &changes, |id| desk.node(id)))?;
    let nodes = applied.created.into_iter().collect();
    desk.keep_joined(Joined { roots, state: applied.root, nodes });
    Ok(applied.root)
}

/// What all branches agree on.
struct Agreed<'d, 's> {
    desk: &'d Desk<'s>,
    /// Any of them.
    base: NodeId,
    conflicted: &'d HashSet<KeyHash>,
}

impl Agreed<'_, '_> {
    /// The entry that all have for a key.
    fn entry(&self, key: &StateKey) -> Option<Event> {
        let hash = key.hash();
        if self.conflicted.contains(&hash) {
            return None;
        }
        let found = self.desk.walked(state::get(self.base, &[hash], |id| self.desk.node(id)));
        // A walk that missed something has noted it, and the whole is thrown away.
        let number = found.ok()?.into_iter().next().flatten()?;
        self.desk.numbered(number).map(|known| known.event)
    }

    /// Whether an event lies in the auth chain of an entry on which all agree: looked for upwards,
    /// from event to those that cite it, the newest first, for they are likeliest to stand now.
    fn rests_on(&self, id: &EventId) -> bool {
        let mut seen: HashSet<OwnedEventId> = HashSet::from([id.to_owned()]);
        let mut open: Vec<(OwnedEventId, usize)> = vec![(id.to_owned(), 0)];
        while let Some((id, page)) = open.pop() {
            let Some(numbers) = self.desk.citing(&id, page) else { continue };
            if numbers.len() == CITING && seen.len() < EVENTS {
                open.push((id, page + 1));
            }
            for number in numbers.iter().rev() {
                let Some(event) = self.desk.numbered(*number).map(|known| known.event) else {
                    continue;
                };
                let stands = key_of(&event)
                    .and_then(|key| self.entry(&key))
                    .is_some_and(|entry| entry.id() == event.id());
                if stands {
                    return true;
                }
                if seen.insert(event.id().to_owned()) {
                    open.push((event.id().to_owned(), 0));
                }
            }
        }
        false
    }
}
