//! What a decision looks at, and what it finds missing there.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use ruma::{EventId, OwnedEventId};

use super::{Halt, Standing};
use crate::{
    event::Event,
    state::{EventNo, Node, NodeId},
};

/// Events that cite one are given in pages of so many.
pub const CITING: usize = 64;

/// An event that this server has.
#[derive(Clone, Debug)]
pub struct Known {
    /// The event; rejected if its standing is.
    pub event: Event,
    /// Its number here.
    pub number: EventNo,
    /// What the checks made of it.
    pub standing: Standing,
    /// The state after it; none for an outlier, whose surroundings were never fetched.
    pub after: Option<NodeId>,
}

/// What is known of an event id.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// Nobody has looked yet.
    NotLoaded,
    /// There is no such event here.
    Absent,
    /// This one.
    Known(Known),
}

/// What must be loaded before there can be a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Events by their ids; those that are not here are noted as [`Shelf::absent`].
    pub events: BTreeSet<OwnedEventId>,
    /// Events by their numbers.
    pub numbers: BTreeSet<EventNo>,
    /// Nodes of states.
    pub nodes: BTreeSet<NodeId>,
    /// The numbers of the state events that cite an event among their `auth_events` and were not
    /// rejected, the highest first: the event and the page, of [`CITING`] each.
    pub citing: BTreeSet<(OwnedEventId, usize)>,
}

impl Need {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.numbers.is_empty()
            && self.nodes.is_empty()
            && self.citing.is_empty()
    }
}

/// The state to which some branches lead together: it follows from their states alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The states of the branches, in their order, each once.
    pub roots: Vec<NodeId>,
    /// The state to which they lead.
    pub state: NodeId,
    /// The nodes that it has beside theirs.
    pub nodes: Vec<(NodeId, Arc<Node>)>,
}

/// What was loaded so far, and what was found on the way.
#[derive(Debug, Default)]
pub struct Shelf {
    joined: RefCell<HashMap<Vec<NodeId>, Joined>>,
    events: HashMap<OwnedEventId, Option<EventNo>>,
    numbered: HashMap<EventNo, Known>,
    nodes: HashMap<NodeId, Arc<Node>>,
    citing: HashMap<(OwnedEventId, usize), Vec<EventNo>>,
}

impl Shelf {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an event there.
    pub fn put(&mut self, known: Known) {
        self.events.insert(known.event.id().to_owned(), Some(known.number));
        self.numbered.insert(known.number, known);
    }

    /// Notes that there is no event of this id.
    pub fn absent(&mut self, id: OwnedEventId) {
        self.events.insert(id, None);
    }

    /// Puts a node of a state there.
    pub fn put_node(&mut self, id: NodeId, node: Arc<Node>) {
        self.nodes.insert(id, node);
    }

    /// Puts a page of the events there that cite one.
    pub fn put_citing(&mut self, id: OwnedEventId, page: usize, numbers: Vec<EventNo>) {
        self.citing.insert((id, page), numbers);
    }

    /// Puts there to what branches lead together, as it was found before.
    pub fn put_joined(&mut self, joined: Joined) {
        self.joined.get_mut().insert(joined.roots.clone(), joined);
    }

    /// To what branches lead together that were joined over it.
    #[must_use]
    pub fn into_joined(self) -> Vec<Joined> {
        self.joined.into_inner().into_values().collect()
    }

    /// How many events are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbered.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbered.is_empty()
    }

    /// Forgets which events cite which: another one has come.
    pub fn forget_citing(&mut self) {
        self.citing.clear();
    }

    /// What is known of an event.
    #[must_use]
    pub fn look(&self, id: &EventId) -> Lookup {
        match self.events.get(id) {
            None => Lookup::NotLoaded,
            Some(None) => Lookup::Absent,
            Some(Some(number)) => {
                self.numbered.get(number).cloned().map_or(Lookup::NotLoaded, Lookup::Known)
            }
        }
    }
}

/// A shelf with the nodes that a decision has made on its way, and the list of what it missed.
pub(super) struct Desk<'s> {
    shelf: &'s Shelf,
    /// The event that is decided on, once it has a place.
    own: RefCell<Option<Known>>,
    pub(super) made: RefCell<HashMap<NodeId, Arc<Node>>>,
    need: RefCell<Need>,
}

impl<'s> Desk<'s> {
    pub(super) fn over(shelf: &'s Shelf) -> Self {
        Self { shelf, own: RefCell::default(), made: RefCell::default(), need: RefCell::default() }
    }

    /// Lets the event that is decided on be seen by what comes after it.
    pub(super) fn place(&self, known: Known) {
        self.own.replace(Some(known));
    }

    /// An event by its id; one that is not loaded is asked for, one that is not here is none.
    pub(super) fn event(&self, id: &EventId) -> Option<Known> {
        if let Some(own) = self.own.borrow().as_ref().filter(|own| own.event.id() == id) {
            return Some(own.clone());
        }
        match self.shelf.look(id) {
            Lookup::Known(known) => Some(known),
            Lookup::Absent => None,
            Lookup::NotLoaded => {
                self.need.borrow_mut().events.insert(id.to_owned());
                None
            }
        }
    }

    /// An event by its number.
    pub(super) fn numbered(&self, number: EventNo) -> Option<Known> {
        if let Some(own) = self.own.borrow().as_ref().filter(|own| own.number == number) {
            return Some(own.clone());
        }
        let known = self.shelf.numbered.get(&number).cloned();
        if known.is_none() {
            self.need.borrow_mut().numbers.insert(number);
        }
        known
    }

    /// A page of the events that cite one.
    pub(super) fn citing(&self, id: &EventId, page: usize) -> Option<&'s [EventNo]> {
        let place = (id.to_owned(), page);
        let found = self.shelf.citing.get(&place);
        if found.is_none() {
            self.need.borrow_mut().citing.insert(place);
        }
        found.map(Vec::as_slice)
    }

    /// A node, made on the way or loaded; the caller reports what it misses.
    pub(super) fn node(&self, id: &NodeId) -> Option<Arc<Node>> {
        self.made.borrow().get(id).or_else(|| self.shelf.nodes.get(id)).cloned()
    }

    /// To what these branches lead together, if they were joined before; its nodes count as made.
    pub(super) fn joined(&self, roots: &[NodeId]) -> Option<NodeId> {
        let joined = self.shelf.joined.borrow();
        let found = joined.get(roots)?;
        self.made.borrow_mut().extend(found.nodes.iter().cloned());
        Some(found.state)
    }

    /// Keeps that for whoever joins them again.
    pub(super) fn keep_joined(&self, joined: Joined) {
        self.made.borrow_mut().extend(joined.nodes.iter().cloned());
        self.shelf.joined.borrow_mut().insert(joined.roots.clone(), joined);
    }

    /// The answer of a walk over a state, or what that missed.
    pub(super) fn walked<T>(&self, answer: Result<T, crate::state::Missing>) -> Result<T, Halt> {
        answer.map_err(|crate::state::Missing(ids)| {
            self.need.borrow_mut().nodes.extend(ids);
            Halt::Need(self.need.borrow().clone())
        })
    }

    /// Goes on only if nothing was missed so far.
    pub(super) fn all_there(&self) -> Result<(), Halt> {
        let need = self.need.borrow();
        if need.is_empty() { Ok(()) } else { Err(Halt::Need(need.clone())) }
    }
}
