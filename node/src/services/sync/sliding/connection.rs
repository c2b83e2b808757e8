//! What a client has been told on each of its connections.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    convert::Infallible,
    sync::{self, Arc, PoisonError},
};

use quick_cache::sync::Cache;
use ruma::{OwnedDeviceId, OwnedUserId};
use tokio::sync::Mutex;

use super::{answer::ListPart, told::ToldState};
use crate::{
    clock::Clock,
    services::{
        Error,
        rooms::Asker,
        sync::{answer::UnreadPart, token},
    },
};

/// Devices whose connections are remembered: of more, the ones go that were used last longest ago.
const DEVICES: usize = 4_000;
/// Connections of one device that are remembered: of more, the ones go that began longest ago. Clients
/// have one for their list of rooms, and perhaps one for notifications and one for what is open.
const CONNECTIONS: usize = 8;

/// Answers of one connection that are remembered while none of them has come back: of more, the ones
/// are forgotten that were given longest ago.
const PROMISES: usize = 4;

/// All connections, by person and device.
pub(in crate::services::sync) struct Connections(Cache<Key, Arc<sync::Mutex<OfDevice>>>);

type Key = (OwnedUserId, OwnedDeviceId);

/// The connections of one device in the order in which they began, by the names that it chose.
type OfDevice = VecDeque<(String, Arc<Mutex<Connection>>)>;

/// One connection.
#[derive(Default)]
pub(super) struct Connection {
    /// What the client has shown it knows.
    pub(super) known: Known,
    /// The `pos` of the answer that told it so; none at the beginning.
    pos: Option<String>,
    /// The answers that were given since, each with its `pos`. A client that gave a request up and
    /// asks anew may have got either of them.
    next: VecDeque<(String, Delta)>,
}

/// What a client knows.
#[derive(Default)]
pub(super) struct Known {
    /// Up to where in the stream; 0 at the beginning.
    pub(super) position: i64,
    /// The count of moments up to where.
    pub(super) serial: u64,
    /// What it asked for.
    pub(super) digest: u64,
    /// How many rooms its lists hold.
    pub(super) lists: BTreeMap<String, ListPart>,
    /// What it was told of rooms.
    pub(super) rooms: HashMap<i64, Sent>,
    /// What it was not told of them, because it wanted that of other rooms only.
    pub(super) withheld: Withheld,
}

/// What stands beside rooms and was not told, because the client did not want it or not of these.
#[derive(Clone, Debug, Default)]
pub(super) struct Withheld {
    /// What it did not want of any.
    pub(super) paused: Paused,
    /// Receipts, by the position from where on.
    pub(super) receipts: HashMap<i64, i64>,
    /// Typing, by the count of moments from where on.
    pub(super) typing: HashMap<i64, u64>,
    /// The person's own data.
    pub(super) data: HashSet<i64>,
}

/// The extensions that were off with the answer before, by where in the stream they were told last;
/// 0 is before everything.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paused {
    pub(super) keys: Option<i64>,
    pub(super) data: Option<i64>,
    pub(super) receipts: Option<i64>,
    /// By the count of moments.
    pub(super) typing: Option<u64>,
}

/// What a client was told of a room.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// Up to where in the stream.
    pub(super) upto: i64,
    /// Whether the person was in it then.
    pub(super) inside: bool,
    /// So many of the newest events of then.
    pub(super) limit: u32,
    /// Which of its state.
    pub(super) state: ToldState,
    /// The members whose events it was given because they spoke.
    pub(super) members: HashSet<OwnedUserId>,
    /// Whether the person called it a conversation between two.
    pub(super) direct: bool,
    /// How much of it was unread.
    pub(super) unread: UnreadPart,
    /// Whether that may be another count by now, because of what nobody was told of.
    pub(super) recount: bool,
}

/// What one answer adds to what a client knows.
#[derive(Default)]
pub(super) struct Delta {
    pub(super) position: i64,
    pub(super) serial: u64,
    pub(super) digest: u64,
    pub(super) lists: BTreeMap<String, ListPart>,
    pub(super) rooms: Vec<(i64, Sent)>,
    pub(super) withheld: Withheld,
}

impl Default for Connections {
    fn default() -> Self {
        Self(Cache::new(DEVICES))
    }
}

impl Connections {
    /// A connection that begins, in place of one of the same name.
    pub(super) fn begin(&self, asker: &Asker, conn_id: &str) -> Arc<Mutex<Connection>> {
        let connection = Arc::default();
        let begun = (conn_id.to_owned(), Arc::clone(&connection));
        let made = self.0.get_or_insert_with(&key(asker), || Ok::<_, Infallible>(Arc::default()));
        let Ok(of_device) = made;
        let mut of_device = of_device.lock().unwrap_or_else(PoisonError::into_inner);
        of_device.retain(|(name, _)| name != conn_id);
        if of_device.len() == CONNECTIONS {
            of_device.pop_front();
        }
        of_device.push_back(begun);
        connection
    }

    /// A connection that goes on.
    pub(super) fn find(&self, asker: &Asker, conn_id: &str) -> Option<Arc<Mutex<Connection>>> {
        let of_device = self.0.get(&key(asker))?;
        let of_device = of_device.lock().unwrap_or_else(PoisonError::into_inner);
        let found = of_device.iter().find(|(name, _)| name == conn_id);
        found.map(|(_, connection)| Arc::clone(connection))
    }
}

fn key(asker: &Asker) -> Key {
    (asker.user_id.clone(), asker.device_id.clone())
}

impl Connection {
    /// Takes in that the client has the answer of this `pos`: one of those that were given last, or
    /// the one before them, where they were lost.
    pub(super) fn shown(&mut self, pos: Option<&str>) -> Result<(), Error> {
        if pos == self.pos.as_deref() {
            return Ok(());
        }
        let found = self.next.iter().position(|(given, _)| Some(given.as_str()) == pos);
        let (given, delta) = found.and_then(|at| self.next.remove(at)).ok_or(Error::UnknownPos)?;
        self.pos = Some(given);
        self.known.take_in(delta);
        // The others told of the same time.
        self.next.clear();
        Ok(())
    }

    /// Keeps what an answer tells until the client shows that it has it; gives its `pos`.
    pub(super) fn promise(&mut self, clock: Clock, delta: Delta) -> String {
        let pos = token::pos(delta.position, &clock.random_name(16));
        if self.next.len() == PROMISES {
            self.next.pop_front();
        }
        self.next.push_back((pos.clone(), delta));
        pos
    }
}

impl Known {
    /// Whether the client was told of a room as one that the person is in.
    pub(super) fn has(&self, room_no: i64) -> bool {
        self.rooms.get(&room_no).is_some_and(|sent| sent.inside)
    }

    fn take_in(&mut self, delta: Delta) {
        self.position = delta.position;
        self.serial = delta.serial;
        self.digest = delta.digest;
        self.lists = delta.lists;
        self.rooms.extend(delta.rooms);
        self.withheld = delta.withheld;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(position: i64) -> Delta {
        let sent = Sent {
            upto: position,
            inside: true,
            limit: 1,
            state: ToldState::default(),
            members: HashSet::new(),
            direct: false,
            unread: UnreadPart::default(),
            recount: false,
        };
        Delta { position, rooms: vec![(position, sent)], ..Delta::default() }
    }

    #[test]
    fn an_answer_counts_when_its_pos_comes_back() {
        let mut connection = Connection::default();
        connection.shown(None).unwrap();
        let lost = connection.promise(Clock, delta(1));
        connection.shown(None).unwrap();
        assert_eq!(connection.known.position, 0);
        let first = connection.promise(Clock, delta(2));
        connection.shown(Some(&first)).unwrap();
        assert!(connection.shown(Some(&lost)).is_err(), "another answer was taken in its place");
        assert_eq!((connection.known.position, connection.known.rooms.len()), (2, 1));
        let second = connection.promise(Clock, delta(3));
        connection.shown(Some(&first)).unwrap();
        assert_eq!(connection.known.position, 2, "the answer was lost and is asked for again");
        connection.shown(Some(&second)).unwrap();
        assert!(connection.shown(Some(&first)).is_err(), "what is long past");
        assert!(connection.shown(None).is_err());
        assert_eq!((connection.known.position, connection.known.rooms.len()), (3, 2));
    }

    #[test]
    fn a_device_crowds_out_its_own_connections_alone() {
        let connections = Connections::default();
        let asker = |device: &str| Asker {
            user_id: ruma::user_id!("@ann:a.test").to_owned(),
            device_id: device.into(),
        };
        connections.begin(&asker("LAPTOP"), "0");
        for name in 0..=CONNECTIONS {
            connections.begin(&asker("PHONE"), &name.to_string());
        }
        let known = |device: &str, name: usize| {
            connections.find(&asker(device), &name.to_string()).is_some()
        };
        assert!(!known("PHONE", 0) && (1..=CONNECTIONS).all(|name| known("PHONE", name)));
        assert!(known("LAPTOP", 0));
        // One that begins anew takes its own place.
        connections.begin(&asker("PHONE"), "3");
        assert!((1..=CONNECTIONS).all(|name| known("PHONE", name)));
    }

    #[test]
    fn any_of_the_last_answers_may_be_the_one_that_was_got() {
        for got in 0..=PROMISES {
            let mut connection = Connection::default();
            let given: Vec<String> =
                (0..=PROMISES).map(|_| connection.promise(Clock, delta(1))).collect();
            assert_eq!(connection.next.len(), PROMISES);
            assert_eq!(connection.shown(Some(&given[got])).is_ok(), got > 0, "{got}");
        }
    }
}
