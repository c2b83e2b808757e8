//! The one writer: gathers the use cases that wait into one transaction and syncs once for all of them.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    ConnRef, Reads, StoreError,
    bus::{Bus, Change, Commit},
    db::Conn,
    dialect, facts,
    state::NodeCache,
};
use crate::clock::Clock;

/// Use cases that may wait for the writer; more of them wait at the door of [`super::Store::write`].
const QUEUE: usize = 1_024;
/// Use cases of one transaction, so that no caller waits for an endless group.
const GROUP: usize = 256;

/// A pause before a lost database is tried again, so that its absence does not spin.
const BEFORE_REOPENING: Duration = Duration::from_millis(200);

type Job = Box<dyn for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Done> + Send>;

/// Tells the caller of a use case how it ended.
type Deliver = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What a use case left behind: whether its changes stay, and how to answer its caller.
struct Done {
    kept: bool,
    deliver: Deliver,
}

/// How much the writer has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriterCounts {
    /// Use cases whose changes were committed.
    pub transactions: u64,
    /// Commits, each of which is one sync to disk.
    pub commits: u64,
}

#[derive(Debug, Default)]
struct Counters {
    transactions: AtomicU64,
    commits: AtomicU64,
}

/// The handle by which use cases reach the writer task.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    counters: Arc<Counters>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
    stop: Arc<tokio::sync::Notify>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// A use case's access to the store: reads like a snapshot, and writes.
pub struct Tx {
    conn: Conn,
    nodes: NodeCache,
    position: i64,
    changes: Vec<Change>,
}

impl Reads for Tx {
    fn conn(&mut self) -> ConnRef<'_> {
        ConnRef(&mut self.conn)
    }

    fn nodes(&self) -> &NodeCache {
        &self.nodes
    }
}

impl Tx {
    pub(super) fn query(&mut self, sql: &'static str) -> super::db::Query<'_> {
        self.conn.query(sql)
    }

    /// The next number of the node's one sequence. Numbers are never used twice, not even those of
    /// use cases that failed while the process lives, so that caches by number cannot lie.
    pub fn next_number(&mut self) -> i64 {
        self.position += 1;
        self.position
    }

    /// Lets everybody who listens know of this change, once it is committed.
    pub fn announce(&mut self, change: Change) {
        self.changes.push(change);
    }
}

impl Writer {
    pub(super) async fn start(
        mut conn: Conn,
        reopen: Option<String>,
        bus: Bus,
        nodes: NodeCache,
    ) -> Result<Self, StoreError> {
        let position = facts::position(&mut conn).await?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let stop = Arc::new(tokio::sync::Notify::new());
        let state = Loop {
            tx: Tx { conn, nodes, position, changes: Vec::new() },
            queue,
            reopen,
            bus,
            counters: counters.clone(),
            stop: stop.clone(),
            last_group: 1,
            sync_time: Duration::from_millis(1),
        };
        let task = Arc::new(Mutex::new(Some(tokio::spawn(state.run()))));
        Ok(Self { jobs, counters, task, stop })
    }

    pub(super) async fn write<T, E>(
        &self,
        case: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            Box::pin(async move {
                let result = case(tx).await;
                let kept = result.is_ok();
                let deliver = Box::new(move |commit: Result<(), StoreError>| {
                    // A caller that has gone away needs no answer.
                    let _gone = answer.send(match commit {
                        Err(error) if kept => Err(E::from(error)),
                        _ => result,
                    });
                });
                Done { kept, deliver }
            })
        });
        let stopped = || E::from(StoreError::Stopped("the node is shutting down"));
        self.jobs.send(job).await.map_err(|_| stopped())?;
        match answered.await {
            Ok(result) => result,
            Err(_) => Err(E::from(StoreError::Stopped("the change broke off and was undone"))),
        }
    }

    pub(super) fn counts(&self) -> WriterCounts {
        WriterCounts {
            transactions: self.counters.transactions.load(Ordering::Relaxed),
            commits: self.counters.commits.load(Ordering::Relaxed),
        }
    }

    /// Lets what was accepted finish, and waits for it.
    pub(super) async fn close(&self) {
        self.stop.notify_one();
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the writer task broke off");
        }
    }
}

struct Loop {
    tx: Tx,
    queue: mpsc::Receiver<Job>,
    /// The URL under which a database on a network is reached again after it was lost.
    reopen: Option<String>,
    bus: Bus,
    counters: Arc<Counters>,
    stop: Arc<tokio::sync::Notify>,
    /// How many use cases the group before this one held.
    last_group: usize,
    /// How long a commit takes here, smoothed.
    sync_time: Duration,
}

impl Loop {
    async fn run(mut self) {
        let stop = self.stop.clone();
        loop {
            let job = tokio::select! {
                biased;
                job = self.queue.recv() => job,
                () = stop.notified() => {
                    self.queue.close();
                    self.queue.recv().await
                }
            };
            let Some(job) = job else { break };
            if let Err(error) = self.group(job).await {
                tracing::error!(%error, "a group of changes was not committed");
                self.recover().await;
            }
        }
    }

    /// One transaction: this use case and those that wait behind it.
    async fn group(&mut self, first: Job) -> Result<(), StoreError> {
        let mut answers = Vec::new();
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
                self.bus.publish(Commit { position: self.tx.position, changes });
                for deliver in answers {
                    deliver(Ok(()));
                }
                Ok(())
            }
            Err(error) => {
                self.tx.changes.clear();
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
        let postgres = self.tx.conn.is_postgres();
        self.tx.conn.batch(dialect::begin(postgres)).await?;
        if postgres {
            self.tx.conn.batch(dialect::LOCK_WRITERS).await?;
        }
        // Another process, such as `wayside user add`, may have moved the counter; it never goes back here.
        self.tx.position = self.tx.position.max(facts::position(&mut self.tx.conn).await?);
        let mut kept = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            kept += usize::from(self.one(job, answers).await?);
            next = if answers.len() < GROUP { self.next(answers.len()).await } else { None };
        }
        Ok(kept)
    }

    /// Runs one use case inside a savepoint, so that its failure undoes nothing but itself.
    async fn one(&mut self, job: Job, answers: &mut Vec<Deliver>) -> Result<bool, StoreError> {
        self.tx.conn.batch("SAVEPOINT use_case").await?;
        let mark = self.tx.changes.len();
        let done = AssertUnwindSafe(job(&mut self.tx)).catch_unwind().await;
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
        let begin = Clock.instant();
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
        if self.tx.conn.answers().await {
            return;
        }
        let Some(url) = &self.reopen else { return };
        tokio::time::sleep(BEFORE_REOPENING).await;
        match super::reopen_postgres(url).await {
            Ok(conn) => self.tx.conn = conn,
            Err(error) => tracing::warn!(%error, "the database cannot be reached"),
        }
    }
}
