//! What the node keeps: facts in SQLite or PostgreSQL, blobs on disk, and word of each change.
//!
//! Reading happens in a [`Snapshot`], which sees one moment of the store. Writing happens in a use
//! case handed to [`Store::write`]: all use cases pass one writer task, which gathers those that
//! wait into one transaction, so that one sync to disk acknowledges many of them. A use case that
//! fails is undone alone, and nobody hears of a success before it is on disk.

pub mod accounts;
pub mod ahead;
pub mod app_services;
pub mod assets;
pub mod backups;
pub mod badges;
pub mod behind;
pub mod bindings;
pub mod blob;
pub mod brought;
pub mod bus;
pub mod confirmations;
mod db;
pub mod deletions;
mod dialect;
pub mod dids;
pub mod directory;
pub mod doors;
pub mod edus;
pub mod emails;
pub mod events;
mod facts;
pub mod friends;
pub mod graph;
mod group;
pub mod keys;
pub mod letters;
pub mod list_bans;
pub mod loose;
pub mod media;
pub mod moving;
pub mod names;
pub mod oauth;
pub mod openid;
pub mod outgoing;
pub mod oversight;
pub mod passkeys;
pub mod people;
pub mod persons;
pub mod places;
mod postgres;
pub mod providers;
pub mod pushers;
pub mod registrations;
pub mod relations;
pub mod remote;
pub mod remote_media;
pub mod reports;
pub mod retention;
pub mod rooms;
pub mod servers;
pub mod state;
mod text;
pub mod tokens;
pub mod unread;
pub mod visitors;
mod wal;
pub mod walks;
pub mod words;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sqlx::{
    ConnectOptions, Connection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::time::timeout;

pub use self::writer::{Tx, WriterCounts};
use self::{
    bus::Bus,
    db::{Conn, Link},
    dialect::Trouble,
    events::Seen,
    postgres::Line,
    state::NodeCache,
    wal::Wal,
    writer::Writer,
};
use crate::clock::Clock;

/// Why the store could not do what was asked. One cause may be told to many, hence the clones.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk has no room left; nothing was changed.
    #[error("writing to the store: the disk is full; free some space, reading goes on meanwhile")]
    Full,
    /// The disk failed, though it has room; nothing was changed.
    #[error("the disk under the store failed: the system's log may say why")]
    Io(#[source] Arc<sqlx::Error>),
    /// A name that must be unique is taken.
    #[error("writing to the store: the name is taken")]
    Taken,
    /// A text holds a character that not every engine can keep.
    #[error("speaking to the store: a text holds the character NUL")]
    Nul,
    /// A stored fact does not read back as what was written.
    #[error("reading the store: {0}")]
    Damaged(&'static str),
    /// Another process serves the database.
    #[error(
        "another node serves this database, and two would hide their changes from each other: end \
         that one first, or give each a database of its own"
    )]
    Served,
    /// The connection to the database was lost.
    #[error("the database cannot be reached; it is tried again until it can")]
    Unreachable,
    /// The database does not answer.
    #[error("the database has not answered for {0} s: see whether it is stopped or overloaded")]
    Silent(u64),
    /// All connections that read are taken, or cannot be opened.
    #[error("no connection for reading came free in time: see whether the database is overloaded")]
    Busy,
    /// The engine failed.
    #[error("the database failed")]
    Engine(#[source] Arc<sqlx::Error>),
    /// The migrations could not be run.
    #[error("bringing the database to this version's form")]
    Migrate(#[source] Arc<sqlx::migrate::MigrateError>),
    /// Files could not be read or written.
    #[error("working on the files of the store")]
    Files(#[source] Arc<std::io::Error>),
    /// The writer has stopped.
    #[error("the store takes no more writes: the node is shutting down")]
    Stopped,
    /// The use case panicked.
    #[error("changing the store: the change broke off and was undone")]
    BrokenOff,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(inner) = &error {
            match dialect::trouble(inner.as_ref()) {
                Trouble::Full => return Self::Full,
                Trouble::Io => return Self::Io(Arc::new(error)),
                Trouble::Taken => return Self::Taken,
                Trouble::Locked | Trouble::Other => {}
            }
        }
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            other => Self::Engine(Arc::new(other)),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migrate(Arc::new(error))
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull
            || error.kind() == std::io::ErrorKind::QuotaExceeded
        {
            return Self::Full;
        }
        Self::Files(Arc::new(error))
    }
}

impl StoreError {
    /// Whether SQLite may have undone the whole transaction, not only the statement that failed.
    fn may_undo_all(&self) -> bool {
        match self {
            Self::Taken | Self::Nul | Self::Damaged(_) => false,
            Self::Full
            | Self::Io(_)
            | Self::Served
            | Self::Unreachable
            | Self::Silent(_)
            | Self::Busy
            | Self::Engine(_)
            | Self::Migrate(_)
            | Self::Files(_)
            | Self::Stopped
            | Self::BrokenOff => true,
        }
    }
}

/// The engine seam: one of two databases.
#[derive(Clone, Debug)]
enum Db {
    /// The connections that read, and the folder of the file.
    Sqlite(sqlx::SqlitePool, Arc<Path>),
    Postgres(sqlx::PgPool),
}

/// What the store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve people, which one process at a time does. Of SQLite's, the lock on the data folder
    /// sees to that; in PostgreSQL, whose data have no folder, the store does.
    Serving,
    /// For a command, perhaps beside a process that serves.
    Command,
}

/// The store of a node; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    db: Db,
    writer: Writer,
    bus: Bus,
    nodes: NodeCache,
}

/// One moment of the store, for reading.
pub struct Snapshot {
    conn: Conn,
    nodes: NodeCache,
    /// The events that it was asked for: it would show each of them again as it did.
    seen: Seen,
}

/// Connections that read at the same time from SQLite: more would only wait for the two or so cores.
const SQLITE_READERS: u32 = 4;
/// How long a reader waits for a free connection before it says so.
const READER_WAIT: Duration = Duration::from_secs(20);
/// How long an engine that another process has locked is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How long the connections that read may take to end with the store.
const CLOSING_WAIT: Duration = Duration::from_millis(300);
/// Statements kept prepared on each connection.
const PREPARED: usize = 256;

impl Store {
    /// Opens or creates the store: PostgreSQL when `database` is a URL, else SQLite in `folder`.
    pub async fn open(
        folder: &Path,
        database: Option<&str>,
        purpose: Purpose,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let (db, conn, line) = if let Some(url) = database {
            let mut line = Line::new(url, purpose)?;
            let pool = line.prepare().await?;
            let conn = line.open().await?;
            (Db::Postgres(pool), conn, Some(line))
        } else {
            let (db, conn) = open_sqlite(folder).await?;
            (db, conn, None)
        };
        let wal = match &db {
            Db::Sqlite(readers, _) => Some(Wal::new(readers.clone(), clock.instant())),
            Db::Postgres(_) => None,
        };
        let bus = Bus::local();
        let nodes = state::node_cache();
        let writer = Writer::start(conn, (line, wal), bus.clone(), nodes.clone(), clock).await?;
        Ok(Self { db, writer, bus, nodes })
    }

    /// Hears of every change after it was committed.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Runs a use case that changes the store; returns when its changes are on disk.
    ///
    /// The use case sees its own changes and everything committed before. When it answers with an
    /// error, or panics, all that it changed is undone, and the use cases beside it are not touched.
    pub async fn write<T, E>(
        &self,
        case: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.write(case).await
    }

    /// Forgets what is too old, a piece after the other, so that others write in between, until a piece holds
    /// nothing: in a busy time more comes than one of them takes away.
    pub async fn forget(
        &self,
        piece: impl for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<u64, StoreError>>
        + Clone
        + Send
        + 'static,
    ) -> Result<(), StoreError> {
        while self.write(piece.clone()).await? > 0 {}
        Ok(())
    }

    /// A view of one moment: whatever is committed while it is open is not seen.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let conn = match &self.db {
            Db::Sqlite(pool, folder) => match pool.begin().await {
                Ok(begun) => Conn::on_disk(Link::SqliteSnapshot(begun), folder.clone()),
                Err(error) => return Err(db::explained(error.into(), Some(folder)).await),
            },
            Db::Postgres(pool) => {
                Conn::new(Link::PostgresSnapshot(postgres::snapshot(pool).await?))
            }
        };
        Ok(Snapshot { conn, nodes: self.nodes.clone(), seen: Seen::default() })
    }

    /// How many use cases and how many commits the writer has done since the start.
    #[must_use]
    pub fn writer_counts(&self) -> WriterCounts {
        self.writer.counts()
    }

    /// Bytes of SQLite's log of changes, which grows while somebody reads for long.
    #[must_use]
    pub fn wal_bytes(&self) -> Option<u64> {
        match &self.db {
            Db::Sqlite(_, folder) => Some(wal::bytes(folder)),
            Db::Postgres(_) => None,
        }
    }

    /// Whether the engine answers a question now.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.snapshot().await?.position().await.map(drop)
    }

    /// Finishes what was accepted as far as the time allows, refuses the rest, and closes the
    /// engine. It takes less than two seconds, also when the engine hangs.
    pub async fn close(&self) {
        self.writer.close().await;
        let closed = async {
            match &self.db {
                Db::Sqlite(pool, _) => pool.close().await,
                Db::Postgres(pool) => pool.close().await,
            }
        };
        if timeout(CLOSING_WAIT, closed).await.is_err() {
            tracing::warn!("some readers of the store did not end in time and were cut off");
        }
    }
}

impl Snapshot {
    /// The position of the newest change that this view holds.
    pub async fn position(&mut self) -> Result<i64, StoreError> {
        facts::position(&mut self.conn).await
    }
}

/// Both kinds of access give the same questions: a [`Snapshot`] and a [`Tx`] can be read alike.
pub trait Reads: Send {
    #[doc(hidden)]
    fn conn(&mut self) -> ConnRef<'_>;
    #[doc(hidden)]
    fn nodes(&self) -> &NodeCache;
    /// What was read before and cannot have changed since.
    #[doc(hidden)]
    fn seen(&mut self) -> Option<&mut Seen>;
}

/// A borrowed connection; only the store can look inside.
pub struct ConnRef<'c>(&'c mut Conn);

impl Reads for Snapshot {
    fn conn(&mut self) -> ConnRef<'_> {
        ConnRef(&mut self.conn)
    }

    fn nodes(&self) -> &NodeCache {
        &self.nodes
    }

    fn seen(&mut self) -> Option<&mut Seen> {
        Some(&mut self.seen)
    }
}

async fn open_sqlite(folder: &Path) -> Result<(Db, Conn), StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("wayside.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(LOCK_WAIT)
        .statement_cache_capacity(PREPARED)
        .pragma("cache_size", "-4096")
        // The log is copied beside the writer instead, see `wal`.
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", wal::KEPT.to_string())
        .disable_statement_logging();
    let mut conn = sqlx::SqliteConnection::connect_with(&options).await?;
    dialect::migrator(false).run_direct(None, &mut conn, false).await?;
    let pool = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .acquire_timeout(READER_WAIT)
        // A file does not hang up, so nobody asks it before every view whether it is there.
        .test_before_acquire(false)
        .connect_lazy_with(options);
    let folder: Arc<Path> = folder.into();
    Ok((Db::Sqlite(pool, folder.clone()), Conn::on_disk(Link::Sqlite(conn), folder)))
}

#[cfg(test)]
mod tests;
