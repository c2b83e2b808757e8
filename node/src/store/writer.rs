//! The one writer, as use cases see it: they hand themselves in and hear how they ended.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    ConnRef, Reads, StoreError,
    bus::{Bus, Change},
    db::{Conn, Value},
    events::Seen,
    group::Groups,
    postgres::Line,
    state::NodeCache,
    wal::Wal,
};
use crate::clock::Clock;

/// Use cases that may wait for the writer; more of them wait at the door of [`super::Store::write`].
const QUEUE: usize = 1_024;

/// How long the group under way and those that were accepted may take when the store closes.
const CLOSE_LIMIT: Duration = Duration::from_millis(1_300);

/// A use case that waits for its turn, without its types.
pub(super) trait UseCase: Send {
    /// Does it.
    fn run(self: Box<Self>, tx: &mut Tx) -> BoxFuture<'_, Done>;
    /// Tells its caller that it cannot be done.
    fn refuse(self: Box<Self>, why: StoreError);
}

/// Tells the caller of a use case how it ended.
pub(super) type Deliver = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What a use case left behind: whether its changes stay, and how to answer its caller.
pub(super) struct Done {
    pub(super) kept: bool,
    pub(super) deliver: Deliver,
}

/// A use case with the caller who waits for its answer. One that has gone away needs none.
struct Asked<T, E, C> {
    case: C,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, C> UseCase for Asked<T, E, C>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    C: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
{
    fn run(self: Box<Self>, tx: &mut Tx) -> BoxFuture<'_, Done> {
        Box::pin(async move {
            let result = (self.case)(tx).await;
            let kept = result.is_ok();
            let answer = self.answer;
            let deliver = Box::new(move |commit: Result<(), StoreError>| {
                let _gone = answer.send(match commit {
                    Err(error) if kept => Err(E::from(error)),
                    _ => result,
                });
            });
            Done { kept, deliver }
        })
    }

    fn refuse(self: Box<Self>, why: StoreError) {
        let _gone = self.answer.send(Err(E::from(why)));
    }
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
pub(super) struct Counters {
    pub(super) transactions: AtomicU64,
    pub(super) commits: AtomicU64,
}

/// The handle by which use cases reach the writer task.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Box<dyn UseCase>>,
    counters: Arc<Counters>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
    stop: CancellationToken,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// A use case's access to the store: reads like a snapshot, and writes.
pub struct Tx {
    pub(super) conn: Conn,
    pub(super) nodes: NodeCache,
    pub(super) position: i64,
    pub(super) changes: Vec<Change>,
}

impl Reads for Tx {
    fn conn(&mut self) -> ConnRef<'_> {
        ConnRef(&mut self.conn)
    }

    fn nodes(&self) -> &NodeCache {
        &self.nodes
    }

    /// Nothing: a use case changes what it reads.
    fn seen(&mut self) -> Option<&mut Seen> {
        None
    }
}

impl Tx {
    pub(super) fn query(&mut self, sql: &'static str) -> super::db::Query<'_> {
        self.conn.query(sql)
    }

    pub(super) async fn insert<const N: usize>(
        &mut self,
        sql: &'static str,
        rows: &[[Value; N]],
    ) -> Result<(), StoreError> {
        self.conn.insert(sql, rows).await
    }

    /// The next number of the node's one sequence. Numbers are never used twice, not even those of
    /// use cases that failed while the process lives, so that caches by number cannot lie.
    pub fn next_number(&mut self) -> i64 {
        self.position += 1;
        self.position
    }

    /// The number that was given out last.
    #[must_use]
    pub fn last_number(&self) -> i64 {
        self.position
    }

    /// A number that leaves many before it unused: the places of what may come to stand there.
    pub fn next_number_behind(&mut self, places: i64) -> i64 {
        self.position += places;
        self.next_number()
    }

    /// Lets everybody who listens know of this change, once it is committed.
    pub fn announce(&mut self, change: Change) {
        self.changes.push(change);
    }
}

impl Writer {
    /// Starts the writer on its connection; it tends the way to a database on a network, or the log
    /// beside one on disk.
    pub(super) async fn start(
        conn: Conn,
        tended: (Option<Line>, Option<Wal>),
        bus: Bus,
        nodes: NodeCache,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let stop = CancellationToken::new();
        let tx = Tx { conn, nodes, position: 0, changes: Vec::new() };
        let groups =
            Groups::begin(tx, queue, tended, bus, counters.clone(), stop.clone(), clock).await?;
        let task = Arc::new(Mutex::new(Some(tokio::spawn(groups.run()))));
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
        let job = Box::new(Asked { case, answer });
        let stopped = || E::from(StoreError::Stopped);
        self.jobs.send(job).await.map_err(|_| stopped())?;
        match answered.await {
            Ok(result) => result,
            // Cut off at the end of the node, or it panicked.
            Err(_) if self.stop.is_cancelled() => Err(stopped()),
            Err(_) => Err(E::from(StoreError::BrokenOff)),
        }
    }

    pub(super) fn counts(&self) -> WriterCounts {
        WriterCounts {
            transactions: self.counters.transactions.load(Ordering::Relaxed),
            commits: self.counters.commits.load(Ordering::Relaxed),
        }
    }

    /// Lets what was accepted finish, as far as the time allows.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        let Some(mut task) = self.task.lock().await.take() else { return };
        match timeout(CLOSE_LIMIT, &mut task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the writer task broke off"),
            // Nobody was told that the group is kept, and the engine undoes it.
            Err(_) => {
                tracing::warn!("a group of changes did not end in time and was cut off");
                task.abort();
            }
        }
    }
}
