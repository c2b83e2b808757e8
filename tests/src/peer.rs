//! A Matrix server of the tests' own, which plays the others: honest by itself, hostile where it is told.

mod call;
mod chain;
mod hosting;
mod looking_over;
mod reply;
mod room;
mod serving;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::{Address, Authority, Destination, Leaf, SigningKey};
pub use call::{Signing, XMatrix};
pub use looking_over::{NO_SPAM, PolicyKey, SIGN};
pub use reply::{PeerReply, PeerRequest};
pub use room::{Pdu, PeerRoom};

/// Longest wait for a request that is to come; far more than it takes, so that only a lost one takes it.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);
/// Where transactions are sent.
const SEND: &str = "/_matrix/federation/v1/send/";
/// For how long others may believe its keys, where a story does not say.
const KEYS_LAST: Duration = Duration::from_hours(24);

/// How a peer is started.
#[derive(Debug)]
pub struct PeerOptions {
    name: String,
    address: Address,
    ports: Vec<u16>,
    leaf: Leaf,
    authority: PathBuf,
    key: Arc<SigningKey>,
}

impl PeerOptions {
    pub(crate) fn new(authority: &Authority) -> Result<Self> {
        let address = Address::claim()?;
        Ok(Self {
            name: address.server_name(),
            ports: vec![address.federation().port()],
            leaf: authority.leaf(&[&address.ip().to_string()])?,
            authority: authority.pem().to_owned(),
            key: Arc::new(SigningKey::generate("peer_1")?),
            address,
        })
    }

    /// Gives it another server name than its address, and a certificate that holds for it.
    #[must_use]
    pub fn named(self, name: &str, leaf: Leaf) -> Self {
        Self { name: name.to_owned(), leaf, ..self }
    }

    /// Lets it serve with another certificate.
    #[must_use]
    pub fn certified(self, leaf: Leaf) -> Self {
        Self { leaf, ..self }
    }

    /// Lets it answer on these ports of its address instead of that of federation.
    #[must_use]
    pub fn on(self, ports: &[u16]) -> Self {
        Self { ports: ports.to_vec(), ..self }
    }

    /// Gives it the key of somebody else.
    #[must_use]
    pub fn keyed(self, key: Arc<SigningKey>) -> Self {
        Self { key, ..self }
    }

    /// Where it will be.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.address.ip().into()
    }

    /// Opens its doors.
    pub async fn start(self) -> Result<Peer> {
        let state = State {
            name: self.name.clone(),
            key: Arc::clone(&self.key),
            keys_end_ms: AtomicU64::new(0),
            handlers: Mutex::default(),
            received: Mutex::default(),
            arrival: Notify::new(),
        };
        let first = self.ports.first().context("a peer has a port")?;
        let url = Url::parse(&format!("https://{}", self.address.port(*first)))?;
        let mut peer = Peer { url, options: self, state: Arc::new(state), doors: JoinSet::new() };
        peer.answer_as_servers_do();
        peer.restart().await?;
        Ok(peer)
    }
}

/// A server of the tests' own. What a story does not let it answer is not known to it.
#[derive(Debug)]
pub struct Peer {
    options: PeerOptions,
    url: Url,
    state: Arc<State>,
    doors: JoinSet<()>,
}

/// What its connections have in common.
#[derive(Debug)]
struct State {
    name: String,
    key: Arc<SigningKey>,
    /// When its keys end; 0 for always a day ahead.
    keys_end_ms: AtomicU64,
    handlers: Mutex<Vec<Handler>>,
    received: Mutex<Vec<PeerRequest>>,
    arrival: Notify,
}

/// What is answered to requests of a method whose target begins so.
#[derive(Clone)]
struct Handler {
    method: Method,
    prefix: String,
    answer: Arc<dyn Fn(&PeerRequest) -> PeerReply + Send + Sync>,
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}", self.method, self.prefix)
    }
}

impl Peer {
    /// Its server name.
    #[must_use]
    pub fn server_name(&self) -> &str {
        &self.state.name
    }

    /// It as other servers know it.
    #[must_use]
    pub fn destination(&self) -> Destination {
        Destination { name: self.server_name().to_owned(), url: self.url.clone() }
    }

    /// The whole id of somebody here.
    #[must_use]
    pub fn user(&self, name: &str) -> String {
        format!("@{name}:{}", self.server_name())
    }

    /// The key by which it signs.
    #[must_use]
    pub fn key(&self) -> &Arc<SigningKey> {
        &self.state.key
    }

    /// Publishes its keys as ending at this time, in milliseconds; a time that has gone by is fine.
    pub fn end_keys_at(&self, end_ms: u64) {
        self.state.keys_end_ms.store(end_ms, Ordering::Relaxed);
    }

    /// Answers requests of a method whose target begins so, in place of what was answered before.
    pub fn answer(
        &self,
        method: Method,
        prefix: &str,
        answer: impl Fn(&PeerRequest) -> PeerReply + Send + Sync + 'static,
    ) {
        let handler = Handler { method, prefix: prefix.to_owned(), answer: Arc::new(answer) };
        locked(&self.state.handlers).push(handler);
    }

    /// The first request of a method whose target begins so, as soon as one has come. Each is given
    /// once.
    pub async fn request(&self, method: &Method, prefix: &str) -> Result<PeerRequest> {
        let fits = |it: &PeerRequest| it.method == *method && it.target().starts_with(prefix);
        let take = |received: &mut Vec<PeerRequest>| {
            let at = received.iter().position(fits);
            at.map(|at| received.remove(at))
        };
        self.wait_for(&format!("{method} {prefix}"), take).await
    }

    /// The first event of a kind that others have handed on in a transaction, as soon as there is
    /// one. The transaction stays among the requests.
    pub async fn event(&self, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        let transactions = |received: &mut Vec<PeerRequest>| {
            let sent = received.iter().filter(|it| it.target().starts_with(SEND));
            let events = sent.filter_map(|it| it.json()["pdus"].as_array().cloned());
            events.flatten().find(|event| is_it(event))
        };
        self.wait_for("event", transactions).await
    }

    /// All requests that have come and were not given by [`Peer::request`], in their order.
    #[must_use]
    pub fn requests(&self) -> Vec<PeerRequest> {
        locked(&self.state.received).clone()
    }

    /// Closes its doors and ends all connections.
    pub async fn stop(&mut self) {
        self.doors.shutdown().await;
    }

    /// Opens its doors again where they were.
    pub async fn restart(&mut self) -> Result<()> {
        for port in &self.options.ports {
            let place: SocketAddr = self.options.address.port(*port);
            let tls = self.options.leaf.server_config()?;
            let door = serving::open(place, tls, Arc::clone(&self.state)).await?;
            self.doors.spawn(door);
        }
        Ok(())
    }

    async fn wait_for<T>(
        &self,
        what: &str,
        mut find: impl FnMut(&mut Vec<PeerRequest>) -> Option<T>,
    ) -> Result<T> {
        let limit = Instant::now() + REQUEST_LIMIT;
        loop {
            let arrival = self.state.arrival.notified();
            if let Some(found) = find(&mut locked(&self.state.received)) {
                return Ok(found);
            }
            timeout_at(limit, arrival).await.with_context(|| {
                let came: Vec<String> = self.requests().iter().map(PeerRequest::line).collect();
                format!("no {what} after {REQUEST_LIMIT:?}; came: {came:?}")
            })?;
        }
    }

    fn answer_as_servers_do(&self) {
        let state = Arc::downgrade(&self.state);
        self.answer(Method::GET, "/_matrix/key/v2/server", move |_| {
            let keys = state.upgrade().map(|state| state.published());
            match keys {
                Some(Ok(keys)) => PeerReply::json(&keys),
                other => PeerReply::refusal(500, "M_UNKNOWN", &format!("{other:?}")),
            }
        });
        let version = json!({ "server": { "name": "Peer", "version": "1" } });
        self.answer(Method::GET, "/_matrix/federation/v1/version", move |_| {
            PeerReply::json(&version)
        });
        self.answer(Method::PUT, SEND, |_| PeerReply::json(&json!({ "pdus": {} })));
    }
}

impl State {
    fn published(&self) -> Result<Value> {
        let end = match self.keys_end_ms.load(Ordering::Relaxed) {
            0 => now_ms()? + u64::try_from(KEYS_LAST.as_millis())?,
            end => end,
        };
        self.key.published(&self.name, end)
    }

    /// Notes a request down and answers it.
    fn reply(&self, request: PeerRequest) -> PeerReply {
        let handler = {
            let (handlers, target) = (locked(&self.handlers), request.target());
            let fits =
                |it: &&Handler| it.method == request.method && target.starts_with(&it.prefix);
            handlers.iter().rev().find(fits).cloned()
        };
        let reply = match handler {
            Some(handler) => (handler.answer)(&request),
            None => PeerReply::refusal(404, "M_UNRECOGNIZED", "not known to this peer"),
        };
        locked(&self.received).push(request);
        self.arrival.notify_waiters();
        reply
    }
}

/// A story that panicked elsewhere has failed already.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Now, as Matrix writes it.
fn now_ms() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}
