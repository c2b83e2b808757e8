//! The writer task: gathers the use cases that wait into one transaction and syncs once for all of them.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    StoreError,
    bus::{Bus, Commit},
    db::{Conn, Link},
    facts,
    postgres::Line,
    wal::{Turn, Wal},
    writer::{Counters, Deliver, Tx, UseCase},
};
use crate::clock::Clock;

/// Use cases of one transaction, so that no caller waits for an endless group.
const GROUP: usize = 256;
/// A pause before a lost database is tried again, so that its absence does not spin.
const BEFORE_REOPENING: Duration = Duration::from_millis(500);
/// How often a writer without work looks whether the database is there and what others wrote to it:
/// a change made by a command reaches those who wait for news so late at most.
const LOOK: Duration = Duration::from_secs(5);
/// How long a group may take on a database that may be out of reach, from its begin to its commit.
const GROUP_LIMIT: Duration = Duration::from_secs(20);
/// How long use cases that were accepted may still take when the node ends.
const DRAIN: Duration = Duration::from_millis(500);
/// How long one attempt to reach a lost database may take.
const REOPENING_LIMIT: Duration = Duration::from_secs(10);

type Job = Box<dyn UseCase>;

/// The writer task's state.
pub(super) struct Groups {
    tx: Tx,
    queue: mpsc::Receiver<Job>,
    /// The way by which a database on a network is reached again after it was lost.
    line: Option<Line>,
    /// The log beside a database on disk.
    wal: Option<Wal>,
    bus: Bus,
    counters: Arc<Counters>,
    stop: CancellationToken,
    clock: Clock,
    /// The position up to which every change was told on the bus.
    told: i64,
    /// Whether a COMMIT is on its way: if it fails, nobody knows what it did.
    committing: bool,
    /// Why nothing is written at the moment, while the connection is lost.
    refusal: StoreError,
    /// When the writer looks after the database next.
    look_at: Instant,
    /// How many use cases the group before this one held.
    last_group: usize,
    /// How long a commit takes here, smoothed.
    sync_time: Duration,
}

impl Groups {
    pub(super) async fn begin(
        mut tx: Tx,
        queue: mpsc::Receiver<Job>,
        (line, wal): (Option<Line>, Option<Wal>),
        bus: Bus,
        counters: Arc<Counters>,
        stop: CancellationToken,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let told = facts::position(&mut tx.conn).await?;
        tx.position = told;
        bus.begin(told);
        Ok(Self {
            tx,
            queue,
            line,
            wal,
            bus,
            counters,
            stop,
            clock,
            told,
            committing: false,
            refusal: StoreError::Unreachable,
            look_at: clock.instant() + LOOK,
            last_group: 1,
            sync_time: Duration::from_millis(1),
        })
    }

    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            let job = tokio::select! {
                biased;
                // The end comes first: where many write, somebody always waits.
                () = stop.cancelled() => break,
                () = sleep_until(self.look_at.into()) => {
                    self.look().await;
                    continue;
                }
                job = self.queue.recv() => job,
            };
            let Some(job) = job else { break };
            self.serve(job).await;
        }
        self.end().await;
    }

    /// Does a use case and those that wait behind it, or refuses it.
    async fn serve(&mut self, job: Job) {
        if self.tx.conn.is_lost() {
            job.refuse(self.refusal.clone());
            return;
        }
        self.look_at = self.clock.instant() + LOOK;
        if let Err(error) = self.group(job).await {
            tracing::error!(%error, "a group of changes was not committed");
            self.recover(&error).await;
        } else {
            self.tend(if self.queue.is_empty() { Turn::Free } else { Turn::Awaited }).await;
        }
    }

    async fn tend(&mut self, turn: Turn) {
        let Some(wal) = &mut self.wal else { return };
        if let Err(error) = wal.tend(&mut self.tx.conn, turn, self.clock.instant()).await {
            tracing::warn!(%error, "copying the log of changes into the database failed");
        }
    }

    /// Takes nothing more, does what was accepted while there is time, and refuses the rest.
    async fn end(&mut self) {
        self.queue.close();
        let until = self.clock.instant() + DRAIN;
        while let Some(job) = self.queue.recv().await {
            if self.clock.instant() < until {
                self.serve(job).await;
            } else {
                job.refuse(StoreError::Stopped);
            }
        }
    }

    /// One transaction: this use case and those that wait behind it.
    async fn group(&mut self, first: Job) -> Result<(), StoreError> {
        let mut jobs = self.gather(first).await;
        let mut answers = Vec::new();
        self.committing = false;
        // SQLite is in this process and out of nobody's reach.
        let limit = if self.line.is_some() { GROUP_LIMIT } else { Duration::MAX };
        let result = match timeout(limit, self.transact(&mut jobs, &mut answers)).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Silent(GROUP_LIMIT.as_secs())),
        };
        self.last_group = answers.len() + jobs.len();
        match result {
            Ok(()) => {
                // Listeners hear before the callers do: who acts on the answer finds the news there.
                let changes = std::mem::take(&mut self.tx.changes);
                self.bus.publish(Commit { position: self.tx.position, changes, lost: false });
                if self.committing {
                    self.told = self.tx.position;
                }
                for deliver in answers {
                    deliver(Ok(()));
                }
                Ok(())
            }
            Err(error) => {
                self.tx.changes.clear();
                if self.committing {
                    // The engine may have kept the group although nobody heard it say so.
                    self.tell_lost(self.tx.position);
                }
                for deliver in answers {
                    deliver(Err(error.clone()));
                }
                for job in jobs {
                    job.refuse(error.clone());
                }
                Err(error)
            }
        }
    }

    /// The use cases that wait now. When the last group was larger, its callers are likely to be
    /// back soon: waiting a part of a sync's time for them saves a whole sync. It comes before the
    /// transaction begins, so that no other writer is kept waiting by it.
    async fn gather(&mut self, first: Job) -> VecDeque<Job> {
        let mut jobs = VecDeque::from([first]);
        let until = self.clock.instant() + self.sync_time / 2;
        while jobs.len() < GROUP {
            if let Ok(job) = self.queue.try_recv() {
                jobs.push_back(job);
                continue;
            }
            if jobs.len() >= self.last_group {
                break;
            }
            match timeout_at(until.into(), self.queue.recv()).await {
                Ok(Some(job)) => jobs.push_back(job),
                _ => break,
            }
        }
        jobs
    }

    /// Does the use cases that were gathered, and those that come meanwhile, and commits them.
    async fn transact(
        &mut self,
        jobs: &mut VecDeque<Job>,
        answers: &mut Vec<Deliver>,
    ) -> Result<(), StoreError> {
        self.open_group().await?;
        let mut kept = 0;
        for _ in 0..GROUP {
            let Some(job) = jobs.pop_front().or_else(|| self.queue.try_recv().ok()) else { break };
            // Of the first, all that there is to be undone is the transaction.
            let first = answers.is_empty() && kept == 0;
            kept += usize::from(self.one(job, answers, first).await?);
        }
        if kept == 0 { self.tx.conn.batch("ROLLBACK").await } else { self.commit(kept).await }
    }

    /// Begins a transaction in which nobody else writes, and reads where the stream stands. Use
    /// cases take their positions from there, so the lock holds from this reading to the commit.
    async fn open_group(&mut self) -> Result<(), StoreError> {
        // What went wrong in the group before was told to those whom it concerned.
        self.tx.conn.take_cause();
        let stored = facts::begin(&mut self.tx.conn).await?;
        self.catch_up(stored);
        Ok(())
    }

    /// Tells that changes were lost, if the stream has gone on without this process: another one,
    /// such as `wayside user end`, wrote, or a commit was kept whose answer never came.
    fn catch_up(&mut self, stored: i64) {
        // What was given out is never given out again, so the position never goes back here.
        self.tx.position = self.tx.position.max(stored);
        if stored > self.told {
            self.told = stored;
            self.tell_lost(self.tx.position);
        }
    }

    fn tell_lost(&self, position: i64) {
        self.bus.publish(Commit { position, changes: Vec::new(), lost: true });
    }

    /// Runs one use case, so that its failure undoes nothing but itself: inside a savepoint, or as the
    /// first of its transaction, which then begins anew.
    async fn one(
        &mut self,
        job: Job,
        answers: &mut Vec<Deliver>,
        first: bool,
    ) -> Result<bool, StoreError> {
        if !first {
            self.tx.conn.batch("SAVEPOINT use_case").await?;
        }
        let mark = self.tx.changes.len();
        let done = AssertUnwindSafe(job.run(&mut self.tx)).catch_unwind().await;
        let kept = match done {
            Ok(done) => {
                answers.push(done.deliver);
                done.kept
            }
            Err(_panic) => {
                tracing::error!("a use case panicked; its changes are undone");
                false
            }
        };
        // The first failure is what everybody of the group is told: what comes after it only says
        // that the engine has undone more than it was asked to.
        let cause = self.tx.conn.take_cause();
        let ended = if kept {
            if let Some(cause) = cause {
                return Err(cause);
            }
            if first { Ok(()) } else { self.tx.conn.batch("RELEASE use_case").await }
        } else {
            self.tx.changes.truncate(mark);
            if first {
                self.begin_anew().await
            } else {
                self.tx.conn.batch("ROLLBACK TO use_case; RELEASE use_case").await
            }
        };
        ended.map_err(|error| cause.unwrap_or(error)).map(|()| kept)
    }

    async fn begin_anew(&mut self) -> Result<(), StoreError> {
        self.tx.conn.batch("ROLLBACK").await?;
        self.open_group().await
    }

    async fn commit(&mut self, kept: usize) -> Result<(), StoreError> {
        let begin = self.clock.instant();
        self.committing = true;
        facts::commit(&mut self.tx.conn, self.tx.position).await?;
        self.sync_time = (self.sync_time * 7 + begin.elapsed()) / 8;
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.counters.transactions.fetch_add(kept as u64, Ordering::Relaxed);
        Ok(())
    }

    /// After a failed group: undo what is open, or reach a database again that was lost.
    async fn recover(&mut self, error: &StoreError) {
        // A connection that hung may still be in the middle of something: it is not asked again.
        let hung = matches!(error, StoreError::Silent(_));
        // SQLite may have undone the transaction by itself, and has nothing to be reached again by.
        let undone = !hung && self.tx.conn.batch("ROLLBACK").await.is_ok();
        if !undone && self.line.is_some() {
            self.reopen().await;
        }
    }

    /// Looks after a database that nobody has asked anything for a while.
    async fn look(&mut self) {
        if self.tx.conn.is_lost() {
            self.reopen().await;
            return;
        }
        self.look_at = self.clock.instant() + LOOK;
        match facts::position(&mut self.tx.conn).await {
            Ok(stored) => self.catch_up(stored),
            Err(error) => {
                tracing::warn!(%error, "looking after the database failed");
                self.recover(&error).await;
                return;
            }
        }
        self.tend(Turn::Idle).await;
    }

    async fn reopen(&mut self) {
        self.tx.conn = Conn::new(Link::Lost);
        let reached = match timeout(REOPENING_LIMIT, self.reach()).await {
            Ok(reached) => reached,
            Err(_) => Err(StoreError::Silent(REOPENING_LIMIT.as_secs())),
        };
        let pause = match reached {
            Ok(()) => {
                tracing::info!("the database was reached again");
                LOOK
            }
            Err(error) => {
                tracing::warn!(%error, "the database cannot be written to; it is tried again");
                self.tx.conn = Conn::new(Link::Lost);
                self.refusal = error;
                BEFORE_REOPENING
            }
        };
        self.look_at = self.clock.instant() + pause;
    }

    async fn reach(&mut self) -> Result<(), StoreError> {
        let line = self.line.as_mut().ok_or(StoreError::Unreachable)?;
        self.tx.conn = line.open().await?;
        // Under the writers' lock, which no group of the lost session holds any more: what it did or
        // did not commit is certain from here on.
        self.open_group().await?;
        self.tx.conn.batch("ROLLBACK").await
    }
}
