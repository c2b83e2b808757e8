//! What waits for other servers, sent: in order, again and again until each has answered.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::Method;
use ruma::{OwnedServerName, ServerName};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use tokio::sync::{Semaphore, broadcast};
use wayside_federation::{
    backoff::wait_after,
    outbox::{self, Item, Transaction, Waiting},
};

use super::{
    super::servers::{AskError, Question},
    Error, Federation,
};
use crate::store::{
    behind,
    bus::{Change, Commit},
    edus::{self, WaitingEdu},
    outgoing,
};

/// Servers that are told something at the same time.
const AT_ONCE: usize = 256;
/// How long a server may take to answer: it may have to ask others first.
const ANSWER: (usize, Duration) = (1024 * 1024, Duration::from_mins(1));
/// A pause after this node has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// A transaction as it is sent.
#[derive(Serialize)]
struct Content<'c> {
    origin: &'c ServerName,
    origin_server_ts: i64,
    pdus: Vec<Box<RawValue>>,
    edus: Vec<Box<RawValue>>,
}

/// What waits first for a server.
struct First {
    pdus: Vec<Waiting>,
    edus: Vec<Waiting>,
    /// Whether of some rooms only what is newest waits, and nothing else of any.
    is_behind: bool,
}

/// The servers that somebody is telling something now, or waits to.
#[derive(Default)]
struct Busy(Mutex<HashSet<OwnedServerName>>);

impl Busy {
    /// Takes a server, unless somebody has it.
    fn take(&self, server: &ServerName) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(server.to_owned())
    }

    fn leave(&self, server: &ServerName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(server);
    }
}

impl Federation {
    /// Tells other servers what waits for them, until the node ends; `commits` says when there is more.
    pub async fn tell(self: Arc<Self>, mut commits: broadcast::Receiver<Arc<Commit>>) {
        let (busy, places) = (Arc::new(Busy::default()), Arc::new(Semaphore::new(AT_ONCE)));
        let stop = self.ground.stop.clone();
        self.tell_all(&busy, &places).await;
        loop {
            let heard = async {
                tokio::select! {
                    heard = commits.recv() => Some(heard),
                    () = self.moved.notified() => None,
                }
            };
            let Some(heard) = stop.run_until_cancelled(heard).await else { return };
            let Some(heard) = heard else {
                for server in self.with_moments() {
                    self.begin(&server, &busy, &places);
                }
                continue;
            };
            match heard {
                Ok(commit) if !commit.lost => {
                    for change in &commit.changes {
                        let Change::Outgoing { servers, .. } = change else { continue };
                        for server in servers {
                            self.begin(server, &busy, &places);
                        }
                    }
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.tell_all(&busy, &places).await;
                }
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    /// Begins with all for whom something waits.
    async fn tell_all(self: &Arc<Self>, busy: &Arc<Busy>, places: &Arc<Semaphore>) {
        let mut behind = String::new();
        loop {
            let page = async {
                let mut snapshot = self.ground.store.snapshot().await?;
                outgoing::awaiting(&mut snapshot, &behind).await
            };
            match page.await {
                Ok(page) => {
                    let Some(last) = page.last() else { return };
                    behind = last.to_string();
                    for server in &page {
                        self.begin(server, busy, places);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "what waits for other servers could not be read");
                    return;
                }
            }
        }
    }

    fn begin(self: &Arc<Self>, server: &ServerName, busy: &Arc<Busy>, places: &Arc<Semaphore>) {
        if !busy.take(server) {
            return;
        }
        let (this, busy, places) = (self.clone(), busy.clone(), places.clone());
        let server = server.to_owned();
        self.ground.tasks.spawn(async move {
            let stop = this.ground.stop.clone();
            // Boxed: there may be many servers, each with what is built for it.
            let told = Box::pin(this.tell_one(&server, &busy, &places));
            let _ended = stop.run_until_cancelled(told).await;
        });
    }

    /// Tells one server all that waits for it.
    async fn tell_one(&self, server: &ServerName, busy: &Busy, places: &Semaphore) {
        let mut refusals = 0;
        loop {
            match self.tell_next(server, places).await {
                Ok(true) => refusals = 0,
                // Left before it is looked again, so that what comes in between is seen by somebody.
                Ok(false) => {
                    busy.leave(server);
                    let waits = self.waits(server).await.unwrap_or(true);
                    if !waits || !busy.take(server) {
                        return;
                    }
                }
                Err(AskError::Unmet(_)) => {
                    busy.leave(server);
                    return;
                }
                Err(AskError::Node(error)) => {
                    tracing::warn!(%error, "telling another server failed here; it is tried again");
                    self.servers.rest(server, AFTER_FAILURE).await;
                }
                Err(error @ (AskError::Paused { .. } | AskError::Unreached { .. })) => {
                    tracing::debug!(%error, "another server did not take what waits for it");
                    self.drop_moments(server);
                    self.servers.wait_for(server).await;
                }
                // It answers, so nobody leaves it alone for that; what it does not want now it may
                // want later.
                Err(error) => {
                    tracing::debug!(%error, "another server refuses what waits for it");
                    refusals += 1;
                    let lot = u64::from_be_bytes(self.ground.clock.random());
                    if self.servers.rest(server, wait_after(refusals, lot)).await {
                        refusals = 0;
                    }
                }
            }
        }
    }

    async fn waits(&self, server: &ServerName) -> Result<bool, Error> {
        if self.has_moments(server) {
            return Ok(true);
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(!outgoing::waiting(&mut snapshot, server).await?.is_empty()
            || !edus::waiting(&mut snapshot, server).await?.is_empty()
            || behind::is_behind(&mut snapshot, server).await?)
    }

    /// Sends the next transaction; whether there was one.
    async fn tell_next(&self, server: &ServerName, places: &Semaphore) -> Result<bool, AskError> {
        let waiting = self.queue(server).await?;
        let moments = self.take_moments(server);
        let (told, lot) = (moments.edus(), self.ground.clock.random());
        let Some(transaction) = outbox::next(&waiting, &told, lot) else {
            self.return_moments(server, moments);
            return Ok(false);
        };
        let upto = transaction.upto;
        let asked = async {
            let question = self.question(&transaction)?;
            let place = places.acquire().await.map_err(Error::internal)?;
            let answer = self.servers.ask::<Value>(server, question).await;
            drop(place);
            answer
        };
        let answer = match asked.await {
            Ok(answer) => answer,
            Err(error) => {
                self.return_moments(server, moments);
                return Err(error);
            }
        };
        // Those for which there was no place in it wait for the next.
        if !told.is_empty() && transaction.edus.last() != told.last() {
            self.return_moments(server, moments);
        }
        if let Some(refused) = answer["pdus"].as_object() {
            for (event_id, said) in refused.iter().filter(|(_, said)| said["error"].is_string()) {
                tracing::debug!(%server, event_id, why = %said["error"], "an event was refused");
            }
        }
        let Some(upto) = upto else { return Ok(true) };
        let server = server.to_owned();
        let done = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.delivered(&server, upto).await?) })
        });
        done.await?;
        Ok(true)
    }

    /// What waits first for a server on disk.
    async fn queue(&self, server: &ServerName) -> Result<Vec<Waiting>, AskError> {
        let mut first = self.first(server).await?;
        if first.is_behind {
            self.catch_up(server).await?;
            first = self.first(server).await?;
        }
        Ok(outbox::joined(first.pdus, first.edus))
    }

    async fn first(&self, server: &ServerName) -> Result<First, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let pdus = outgoing::waiting(&mut snapshot, server).await?;
        // What waits singly was there first.
        let is_behind = pdus.is_empty() && behind::is_behind(&mut snapshot, server).await?;
        let mut edus = Vec::new();
        for WaitingEdu { position, about } in edus::waiting(&mut snapshot, server).await? {
            let told = self.encryption.told_of(&mut snapshot, position, about).await?;
            edus.push(Waiting { position, item: Item::Edu(told) });
        }
        Ok(First { pdus, edus, is_behind })
    }

    fn question(&self, transaction: &Transaction) -> Result<Question, Error> {
        let raw = |texts: &[String]| {
            let texts = texts.iter().map(|text| RawValue::from_string(text.clone()));
            texts.collect::<Result<Vec<_>, _>>().map_err(Error::internal)
        };
        let content = Content {
            origin: &self.ground.server_name,
            origin_server_ts: self.ground.clock.now_ms(),
            pdus: raw(&transaction.pdus)?,
            edus: raw(&transaction.edus)?,
        };
        let path = ["_matrix", "federation", "v1", "send", &transaction.id];
        let question = Question::get(&path, &[]).with(Method::PUT, &content)?;
        Ok(question.bounded(ANSWER.0, ANSWER.1))
    }
}
