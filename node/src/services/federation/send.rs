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
    moments::Moments,
    outbox::{self, Item, Transaction, Waiting},
};

use super::{
    super::servers::{AskError, Question},
    Error, Federation,
    refusals::{Refusals, Step},
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
        let mut refusals = Refusals::default();
        loop {
            match self.tell_next(server, places, &mut refusals).await {
                Ok(true) => {}
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
                    self.forget_typing(server);
                    self.servers.wait_for(server).await;
                }
                // It answers, so nobody leaves it alone for that.
                Err(error) => {
                    tracing::debug!(%error, "another server refuses what waits for it");
                    if let Err(error) = self.refused(server, places, &mut refusals, &error).await {
                        tracing::warn!(%error, "noting a refusal failed here; it is tried again");
                        self.servers.rest(server, AFTER_FAILURE).await;
                    }
                }
            }
        }
    }

    /// What a server has refused is told again later, for it may want then what it does not want now; in
    /// parts, where a part may be at fault, and without what is found to be.
    async fn refused(
        &self,
        server: &ServerName,
        places: &Semaphore,
        refusals: &mut Refusals,
        error: &AskError,
    ) -> Result<(), Error> {
        self.servers.note_refusal(server, Some(&error.to_string())).await?;
        let status = match error {
            AskError::Refused { status, .. } => Some(*status),
            _ => None,
        };
        let times = match (refusals.refused(status), refusals.upto()) {
            (Step::Less, _) => return Ok(()),
            (Step::GiveUp, Some(upto)) => {
                refusals.gives_up();
                return self.give_up(server, upto, error).await;
            }
            (Step::GiveUp, None) => 1,
            (Step::Later(times), _) => times,
            (Step::Nothing(times), _) => {
                // Where it takes nothing at all, the fault is not in what is sent.
                let nothing = outbox::nothing(self.lot());
                if self.hand_over(server, places, &nothing).await.is_ok() {
                    refusals.takes_others();
                    return Ok(());
                }
                times
            }
        };
        let lot = u64::from_be_bytes(self.ground.clock.random());
        if self.servers.rest(server, wait_after(times, lot)).await {
            refusals.hurry();
        }
        Ok(())
    }

    /// Lets go of what is first in a server's queue, which it refuses for good.
    async fn give_up(&self, server: &ServerName, upto: i64, error: &AskError) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let event_id = outgoing::event_at(&mut snapshot, server, upto).await?;
        drop(snapshot);
        let what = event_id.map_or_else(|| "a unit of data".to_owned(), |id| format!("event {id}"));
        self.delivered(server, upto).await?;
        self.servers.note_given_up();
        tracing::warn!(
            %server, what, %error,
            "another server refuses for good what waited for it first, and goes without it"
        );
        let why = format!("{what} was given up: {error}");
        self.servers.note_refusal(server, Some(&why)).await
    }

    fn lot(&self) -> [u8; 16] {
        self.ground.clock.random()
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
    async fn tell_next(
        &self,
        server: &ServerName,
        places: &Semaphore,
        refusals: &mut Refusals,
    ) -> Result<bool, AskError> {
        let waiting = self.queue(server).await?;
        if waiting.is_empty() && refusals.in_parts() && refusals.ended() {
            self.servers.note_refusal(server, None).await?;
        }
        // What is of the moment is not looked for among what is at fault.
        let moments =
            if refusals.in_parts() { Moments::default() } else { self.take_moments(server) };
        let told = moments.edus();
        let Some(transaction) = outbox::next(&waiting, refusals.most(), &told, self.lot()) else {
            self.return_moments(server, moments);
            return Ok(false);
        };
        let upto = transaction.upto;
        let held = waiting.iter().take_while(|it| Some(it.position) <= upto).count();
        refusals.sends(held, upto);
        let answer = match self.hand_over(server, places, &transaction).await {
            Ok(answer) => answer,
            Err(error) => {
                if !refusals.are_lasting() {
                    self.return_moments(server, moments);
                }
                return Err(error);
            }
        };
        if refusals.taken() {
            self.servers.note_refusal(server, None).await?;
        }
        // Those for which there was no place in it wait for the next.
        if !told.is_empty() && transaction.edus.last() != told.last() {
            self.return_moments(server, moments);
        }
        if let Some(refused) = answer["pdus"].as_object() {
            for (event_id, said) in refused.iter().filter(|(_, said)| said["error"].is_string()) {
                tracing::debug!(%server, event_id, why = %said["error"], "an event was refused");
            }
        }
        if let Some(upto) = upto {
            self.delivered(server, upto).await?;
        }
        Ok(true)
    }

    /// Sends a transaction, where there is a place beside those that are sent to others.
    async fn hand_over(
        &self,
        server: &ServerName,
        places: &Semaphore,
        transaction: &Transaction,
    ) -> Result<Value, AskError> {
        let question = self.question(transaction)?;
        let _place = places.acquire().await.map_err(Error::internal)?;
        self.servers.ask::<Value>(server, question).await
    }

    /// Nothing up to a place in its queue waits for a server any more.
    async fn delivered(&self, server: &ServerName, upto: i64) -> Result<(), Error> {
        let server = server.to_owned();
        let done = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.delivered(&server, upto).await?) })
        });
        done.await
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
