//! The writer task: gathers the use cases that wait into one transaction and syncs once for all of them.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    StoreError,
    bus::{Bus, Commit},
    db::Conn,
    dialect, facts,
    postgres::Line,
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

type Job = Box<dyn UseCase>;

/// The writer task's state.
pub(super) struct Groups {
    tx: Tx,
    queue: mpsc::Receiver<Job>,
    /// The way by which a database on a network is reached again after it was lost.
    line: Option<Line>,
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
        line: Option<Line>,
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
                () = sleep_until(self.look_at.into()) => {
                    self.look().await;
                    continue;
                }
                job = self.queue.recv() => job,
                () = stop.cancelled() => {
                    self.queue.close();
                    self.queue.recv().await
                }
            };
            let Some(job) = job else { break };
            if self.tx.conn.is_lost() {
                job.refuse(self.refusal.clone());
                continue;
            }
            self.look_at = self.clock.instant() + LOOK;
            if let Err(error) = self.group(job).await {
                tracing::error!(%error, "a group of changes was not committed");
                self.recover().await;
            }
        }
    }

    /// One transaction: this use case and those that wait behind it.
    async fn group(&mut self, first: Job) -> Result<(), StoreError> {
        let mut answers = Vec::new();
        self.committing = false;
        let result = self.fill(first, &mut answers).await;
        let result = match result {
            Ok(0) => self.tx.conn.batch("ROLLBACK").await,
            Ok(kept) => self.commit(kept).await,
            Err(error) => Err(error),
        };
        self.last_group = answers.len();
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
                let full = matches!(error, StoreError::Full);
                for deliver in answers {
                    deliver(Err(if full {
                        StoreError::Full
                    } else {
                        StoreError::Stopped("the database did not take the change")
                    }));
                }
                if full { self.tx.conn.batch("ROLLBACK").await.or(Ok(())) } else { Err(error) }
            }
        }
    }

    async fn fill(&mut self, first: Job, answers: &mut Vec<Deliver>) -> Result<usize, StoreError> {
        self.open_group().await?;
        let mut kept = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            kept += usize::from(self.one(job, answers).await?);
            next = if answers.len() < GROUP { self.next(answers.len()).await } else { None };
        }
        Ok(kept)
    }

    /// Begins a transaction in which nobody else writes, and reads where the stream stands.
    async fn open_group(&mut self) -> Result<(), StoreError> {
        let postgres = self.tx.conn.is_postgres();
        self.tx.conn.batch(dialect::begin(postgres)).await?;
        if postgres {
            self.tx.conn.batch(dialect::LOCK_WRITERS).await?;
        }
        self.catch_up().await
    }

    /// Tells that changes were lost, if the stream has gone on without this process: another one,
    /// such as `wayside user end`, wrote, or a commit was kept whose answer never came.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let stored = facts::position(&mut self.tx.conn).await?;
        // What was given out is never given out again, so the position never goes back here.
        self.tx.position = self.tx.position.max(stored);
        if stored > self.told {
            self.told = stored;
            self.tell_lost(self.tx.position);
        }
        Ok(())
    }

    fn tell_lost(&self, position: i64) {
        self.bus.publish(Commit { position, changes: Vec::new(), lost: true });
    }

    /// Runs one use case inside a savepoint, so that its failure undoes nothing but itself.
    async fn one(&mut self, job: Job, answers: &mut Vec<Deliver>) -> Result<bool, StoreError> {
        self.tx.conn.batch("SAVEPOINT use_case").await?;
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
        if kept {
            self.tx.conn.batch("RELEASE use_case").await?;
        } else {
            self.tx.changes.truncate(mark);
            self.tx.conn.batch("ROLLBACK TO use_case").await?;
            self.tx.conn.batch("RELEASE use_case").await?;
        }
        Ok(kept)
    }

    /// The next use case that waits. When the last group was larger than this one, its callers are
    /// likely to be back soon: waiting a part of a sync's time for them saves a whole sync.
    async fn next(&mut self, gathered: usize) -> Option<Job> {
        if let Ok(job) = self.queue.try_recv() {
            return Some(job);
        }
        if gathered >= self.last_group {
            return None;
        }
        timeout(self.sync_time / 2, self.queue.recv()).await.ok().flatten()
    }

    async fn commit(&mut self, kept: usize) -> Result<(), StoreError> {
        let position = self.tx.position;
        facts::set_position(&mut self.tx.conn, position).await?;
        let begin = self.clock.instant();
        self.committing = true;
        self.tx.conn.batch("COMMIT").await?;
        self.sync_time = (self.sync_time * 7 + begin.elapsed()) / 8;
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.counters.transactions.fetch_add(kept as u64, Ordering::Relaxed);
        Ok(())
    }

    /// After a failed group: undo what is open, or reach a database again that was lost.
    async fn recover(&mut self) {
        // There may be no transaction to undo, which is as good.
        let _none_open = self.tx.conn.batch("ROLLBACK").await;
        if !self.tx.conn.answers().await {
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
        if let Err(error) = self.catch_up().await {
            tracing::warn!(%error, "looking after the database failed");
            self.recover().await;
        }
    }

    async fn reopen(&mut self) {
        self.tx.conn = Conn::Lost;
        let Some(line) = &mut self.line else { return };
        match line.open().await {
            Ok(conn) => {
                self.tx.conn = conn;
                // Under the writers' lock, which no group of the lost session holds any more: what
                // it did or did not commit is certain from here on.
                let seen = self.open_group().await;
                if seen.is_ok() && self.tx.conn.batch("ROLLBACK").await.is_ok() {
                    tracing::info!("the database was reached again");
                    self.look_at = self.clock.instant() + LOOK;
                    return;
                }
                self.tx.conn = Conn::Lost;
                self.refusal = StoreError::Unreachable;
            }
            Err(error) => {
                tracing::warn!(%error, "the database cannot be written to; it is tried again");
                self.refusal = error;
            }
        }
        self.look_at = self.clock.instant() + BEFORE_REOPENING;
    }
}
