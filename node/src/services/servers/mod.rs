//! Other servers: which of them are met, where they are, what they are asked, and what they sign.
//!
//! Every request to another server passes [`Servers::ask`], and every request of one
//! [`Servers::admit`]. A server that does not answer is left alone for longer and longer, until it
//! calls by itself; what is known of that outlives the process.

mod ask;
mod destinations;
mod files;
mod find;
mod hierarchy;
mod keys;
mod notary;
mod policy;
mod queries;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use ruma::{OwnedRoomId, OwnedServerName, ServerName};
use tokio::sync::{Notify, Semaphore};
use wayside_federation::{
    acl,
    backoff::wait_after,
    request::{Request, RequestError, XMatrix},
};

pub use self::{
    ask::{AskError, Question},
    destinations::{Backlog, Standing},
    files::{Broken, Coming},
    hierarchy::{Below, Told},
    keys::{Keyring, Wanted},
    notary::Wishes,
    policy::{Unsigned, Urgency},
    queries::{Node, Object, Place},
};
use self::{find::Found, hierarchy::Believed, keys::Known};
use super::{Error, Ground};
pub use crate::store::servers::Rank;
use crate::{
    outbound,
    store::servers::{self, Destination},
};

/// Servers of which this process remembers how to reach them; more of them are looked up anew.
const REMEMBERED: usize = 10_000;
/// Rooms of which it remembers what servers have told.
const HIERARCHIES: usize = 1_000;
/// Requests to one server at the same time; further ones wait.
const AT_ONCE: usize = 16;
/// Files that one server sends at the same time.
const FILES_AT_ONCE: usize = 6;
/// Letters of why a server did not answer that are remembered.
const WHY_CHARS: usize = 500;
/// Calls of a server that refuses something count as a reason to try again after this part of the time
/// for which it would be left in peace.
const CALLS_COUNT_AFTER: u32 = 8;
/// That a server answers is written down so often at most, in milliseconds.
const NOTED_MS: i64 = 10 * 60 * 1_000;

/// The service of other servers.
pub struct Servers {
    ground: Arc<Ground>,
    lines: outbound::Servers,
    known: Cache<OwnedServerName, Arc<Server>>,
    /// What servers have told of rooms.
    hierarchies: Cache<(OwnedServerName, OwnedRoomId), Believed>,
    /// How much of what waited for servers was given up since the start.
    given_up: AtomicU64,
    /// Whether keys were fetched since those of strangers were looked through.
    fetched: AtomicBool,
}

/// What this process knows of one server.
struct Server {
    name: OwnedServerName,
    /// Where it was found. Whoever looks for it holds the lock, and the others wait for what is found.
    found: tokio::sync::Mutex<Found>,
    keys: Mutex<Known>,
    /// When it was last asked for them. Whoever asks holds the lock; those who find what they need
    /// among the known keys do not wait for it.
    asked: tokio::sync::Mutex<Option<Instant>>,
    calls: Semaphore,
    /// Files come beside all other answers, which need not wait for them.
    files: Arc<Semaphore>,
    gone: Mutex<Destination>,
    /// Until when what it has refused rests, in milliseconds since the epoch; 0 while nothing does.
    resting_ms: AtomicI64,
    /// Rung when it calls.
    called: Notify,
    /// Rung when those who run this node have it tried.
    tried: Notify,
}

impl Server {
    fn gone(&self) -> Destination {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When it is told again what it has refused, in milliseconds since the epoch, if it has.
    fn rests_until(&self) -> Option<i64> {
        Some(self.resting_ms.load(Ordering::Relaxed)).filter(|until_ms| *until_ms > 0)
    }

    fn keys(&self) -> MutexGuard<'_, Known> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Servers {
    /// The service on its ground and its lines.
    #[must_use]
    pub fn new(ground: Arc<Ground>, lines: outbound::Servers) -> Self {
        let (known, hierarchies) = (Cache::new(REMEMBERED), Cache::new(HIERARCHIES));
        Self {
            ground,
            lines,
            known,
            hierarchies,
            given_up: AtomicU64::new(0),
            fetched: AtomicBool::new(true),
        }
    }

    /// Whether those who run this node let it meet a server.
    #[must_use]
    pub fn meets(&self, server: &ServerName) -> bool {
        let config = &self.ground.config;
        let named =
            |list: &[String]| list.iter().any(|pattern| acl::matches(pattern, server.host()));
        !named(&config.never_federate_with)
            && (config.federate_only_with.is_empty() || named(&config.federate_only_with))
    }

    /// Finds out which server sent a request, by its `Authorization` header. `may_fetch` says whether
    /// whoever asks may make this node call others for the keys.
    pub async fn admit(
        &self,
        header: &str,
        asked: Request<'_>,
        may_fetch: impl FnOnce() -> Result<(), Error> + Send,
    ) -> Result<OwnedServerName, Error> {
        let said = XMatrix::parse(header).map_err(|error| unsigned(&error))?;
        let own = &self.ground.server_name;
        if said.destination.as_ref().is_some_and(|destination| destination != own) {
            return Err(Error::Unsigned(format!("the request is for another server than {own}")));
        }
        if said.origin == *own {
            return Err(Error::Unsigned("nobody but this node signs in its name".to_owned()));
        }
        if !self.meets(&said.origin) {
            return Err(Error::Forbidden("this node does not meet that server".to_owned()));
        }
        let keys = self.request_keys(&said.origin, &said.key_id, may_fetch).await?;
        said.verify(asked, &keys).map_err(|error| match error {
            RequestError::BadBody(error) => Error::BadJson(error.to_string()),
            other => unsigned(&other),
        })?;
        self.heard_from(&said.origin).await?;
        Ok(said.origin)
    }

    /// A server that calls can be called again, however long it has not answered.
    async fn heard_from(&self, name: &ServerName) -> Result<(), Error> {
        let server = self.server(name).await?;
        self.free(&server).await?;
        server.called.notify_waiters();
        Ok(())
    }

    /// Ends the time for which a server is left alone.
    async fn free(&self, server: &Server) -> Result<(), Error> {
        if server.gone().failures == 0 {
            return Ok(());
        }
        self.set_gone(server, |gone| {
            gone.failures = 0;
            gone.retry_ms = 0;
            gone.why = None;
        })
        .await
    }

    /// Waits until a server may be asked again that has not answered: for as long as it is left alone,
    /// or until it calls.
    pub async fn wait_for(&self, name: &ServerName) {
        let Ok(server) = self.server(name).await else { return };
        let called = server.called.notified();
        let wait_ms = server.gone().retry_ms - self.ground.clock.now_ms();
        let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
        // Either way it is asked again.
        let _called = tokio::time::timeout(wait, called).await;
    }

    /// Waits so long before a server is told again what it has refused: or until those who run this node
    /// have it tried, which is said; or until it calls, some time on, for it may call all the time.
    pub async fn rest(&self, name: &ServerName, wait: Duration) -> bool {
        let Ok(server) = self.server(name).await else {
            tokio::time::sleep(wait).await;
            return false;
        };
        let tried = server.tried.notified();
        let called = async {
            tokio::time::sleep(wait / CALLS_COUNT_AFTER).await;
            server.called.notified().await;
        };
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let until_ms = self.ground.clock.now_ms().saturating_add(wait_ms);
        server.resting_ms.store(until_ms, Ordering::Relaxed);
        let is_tried = tokio::select! {
            () = tried => true,
            () = called => false,
            () = tokio::time::sleep(wait) => false,
        };
        server.resting_ms.store(0, Ordering::Relaxed);
        is_tried
    }

    async fn server(&self, name: &ServerName) -> Result<Arc<Server>, Error> {
        let load = async {
            let mut snapshot = self.ground.store.snapshot().await?;
            let gone = servers::destination(&mut snapshot, name).await?.unwrap_or_default();
            let keys = servers::keys(&mut snapshot, name).await?;
            Ok::<_, Error>(Arc::new(Server {
                name: name.to_owned(),
                found: tokio::sync::Mutex::default(),
                keys: Mutex::new(Known::of(keys)),
                asked: tokio::sync::Mutex::default(),
                calls: Semaphore::new(AT_ONCE),
                files: Arc::new(Semaphore::new(FILES_AT_ONCE)),
                gone: Mutex::new(gone),
                resting_ms: AtomicI64::new(0),
                called: Notify::new(),
                tried: Notify::new(),
            }))
        };
        self.known.get_or_insert_async(name, load).await
    }

    /// Notes that a server has answered.
    async fn note_reached(&self, server: &Server) -> Result<(), Error> {
        let now_ms = self.ground.clock.now_ms();
        let gone = server.gone();
        let noted = gone.reached_ms.is_some_and(|reached_ms| now_ms - reached_ms < NOTED_MS);
        if noted && gone.failures == 0 && gone.failing_ms.is_none() {
            return Ok(());
        }
        self.set_gone(server, |gone| {
            // What it refuses is no reason why it did not answer.
            let why = gone.why.take().filter(|_| gone.failures == 0);
            *gone = Destination { reached_ms: Some(now_ms), why, ..Destination::default() };
        })
        .await
    }

    /// Notes what a server refuses that answers, for those who run this node; or that it does so no more.
    pub async fn note_refusal(&self, name: &ServerName, why: Option<&str>) -> Result<(), Error> {
        let server = self.server(name).await?;
        let gone = server.gone();
        let why = why.map(short);
        if gone.failures > 0 || gone.why == why {
            return Ok(());
        }
        self.set_gone(&server, |gone| gone.why = why).await
    }

    /// Counts what a server refuses for good, and is not sent any more.
    pub fn note_given_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a server has not answered, and why, which had failed so often when it was asked; it is
    /// left alone for a while, or for as long as it asks. Of calls at the same time one failure counts.
    async fn note_failed(
        &self,
        server: &Server,
        failures: u32,
        why: &str,
        asks_ms: Option<u64>,
    ) -> Result<(), Error> {
        let now_ms = self.ground.clock.now_ms();
        let lot = u64::from_be_bytes(self.ground.clock.random());
        let why = short(why);
        self.set_gone(server, |gone| {
            gone.why = Some(why);
            let mut wait_ms = asks_ms.unwrap_or(0).min(ASKED_MOST_MS);
            if gone.failures == failures {
                gone.failures = gone.failures.saturating_add(1);
                gone.failing_ms.get_or_insert(now_ms);
                let own_ms = wait_after(gone.failures, lot).as_millis();
                wait_ms = wait_ms.max(u64::try_from(own_ms).unwrap_or(u64::MAX));
            }
            gone.retry_ms = gone.retry_ms.max(now_ms.saturating_add_unsigned(wait_ms));
        })
        .await
    }

    async fn set_gone(
        &self,
        server: &Server,
        change: impl FnOnce(&mut Destination),
    ) -> Result<(), Error> {
        let gone = {
            let mut gone = server.gone.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut gone);
            gone.clone()
        };
        let name = server.name.clone();
        self.ground
            .store
            .write(move |tx| Box::pin(async move { Ok(tx.set_destination(&name, gone).await?) }))
            .await
    }
}

/// The longest that a server may ask to be left alone, in milliseconds.
const ASKED_MOST_MS: u64 = 60 * 60 * 1_000;

/// Words of a server as they are remembered.
fn short(why: &str) -> String {
    why.chars().filter(|it| !it.is_control()).take(WHY_CHARS).collect()
}

fn unsigned(error: &RequestError) -> Error {
    Error::Unsigned(error.to_string())
}
