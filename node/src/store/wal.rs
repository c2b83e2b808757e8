//! SQLite's log of changes (WAL): moved into the database beside the writer, and kept from growing.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sqlx::SqlitePool;
use tokio::task::JoinHandle;

use super::{StoreError, db::Conn};

/// What the log may grow before its changes are copied into the database, in bytes: a thousand pages,
/// as SQLite has it, which would do it inside a commit and let that one's callers wait.
const COPY: u64 = 4 * 1024 * 1024;

/// A log that is longer is emptied as soon as nobody waits, in bytes.
const LIMIT: u64 = 16 * 1024 * 1024;
/// A log that is longer than so many times the limit is emptied though somebody waits.
const TIMES: u64 = 4;
/// A log that is longer is emptied when nothing else is to do, in bytes.
const IDLE_LIMIT: u64 = 1024 * 1024;
/// A pause before the next attempt: as long as somebody reads what is older, none succeeds.
const PAUSE: Duration = Duration::from_secs(1);

/// The log beside a database file.
#[derive(Debug)]
pub(super) struct Wal {
    path: PathBuf,
    readers: SqlitePool,
    /// How long the log was when it was copied last.
    copied: u64,
    copying: Option<JoinHandle<()>>,
    try_at: Instant,
    /// Whether it was said already that it cannot be emptied.
    told: bool,
}

impl Wal {
    pub(super) fn new(folder: &Path, readers: SqlitePool, now: Instant) -> Self {
        let path = path(folder);
        Self { path, readers, copied: 0, copying: None, try_at: now, told: false }
    }

    /// Has the log copied, or empties it, if it is time to: after a group, with or without others
    /// waiting, or when there has been nothing to do for a while. Emptying keeps the writer from
    /// all else, so it comes after a copy, when little is left to be moved.
    pub(super) async fn tend(
        &mut self,
        conn: &mut Conn,
        turn: Turn,
        now: Instant,
    ) -> Result<(), StoreError> {
        let limit = match turn {
            Turn::Awaited => LIMIT * TIMES,
            Turn::Free => LIMIT,
            Turn::Idle => IDLE_LIMIT,
        };
        let bytes = length(&self.path);
        let copying = self.copying.as_ref().is_some_and(|task| !task.is_finished());
        if bytes >= self.copied + COPY && !copying {
            self.copied = bytes;
            self.copying = Some(tokio::spawn(copy(self.readers.clone())));
            return Ok(());
        }
        if bytes <= limit || now < self.try_at || copying && turn != Turn::Awaited {
            return Ok(());
        }
        self.try_at = now + PAUSE;
        let emptied = empty(conn).await?;
        if emptied {
            self.copied = 0;
        }
        if !emptied && bytes > LIMIT && !self.told {
            tracing::warn!(bytes, "the log of changes grows, because somebody reads for long");
        }
        self.told = !emptied && bytes > LIMIT;
        Ok(())
    }
}

/// What else there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Use cases wait.
    Awaited,
    /// None does.
    Free,
    /// None has for a while.
    Idle,
}

/// Bytes of the log beside the database in a folder.
pub(super) fn bytes(folder: &Path) -> u64 {
    length(&path(folder))
}

fn path(folder: &Path) -> PathBuf {
    folder.join("wayside.db-wal")
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// Copies what no reader needs from the log into the database. Writers and readers go on meanwhile.
async fn copy(readers: SqlitePool) {
    let copied = async {
        let mut conn = readers.acquire().await?;
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut *conn).await
    };
    if let Err(error) = copied.await {
        // What cannot be read or written is told to whoever asks next, and it is tried again.
        tracing::warn!(%error, "copying the log of changes into the database failed");
    }
}

/// Moves all changes into the database and cuts the log to nothing; false where readers still need
/// it. They are not waited for: whoever wants to write would wait with them.
async fn empty(conn: &mut Conn) -> Result<bool, StoreError> {
    conn.batch("PRAGMA busy_timeout = 0").await?;
    let done = conn.query("PRAGMA wal_checkpoint(TRUNCATE)").one().await;
    conn.batch(super::BUSY_AGAIN).await?;
    let row = done?.ok_or(StoreError::Damaged("a checkpoint gave no row"))?;
    Ok(row.get::<i64>(0)? == 0)
}
