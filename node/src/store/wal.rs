//! SQLite's log of changes (WAL): kept from growing without bound.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{StoreError, db::Conn};

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
    try_at: Instant,
    /// Whether it was said already that it cannot be emptied.
    told: bool,
}

impl Wal {
    pub(super) fn new(folder: &Path, now: Instant) -> Self {
        Self { path: path(folder), try_at: now, told: false }
    }

    /// Empties the log if it is time to: after a group, with or without others waiting, or when
    /// there has been nothing to do for a while.
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
        if bytes <= limit || now < self.try_at {
            return Ok(());
        }
        self.try_at = now + PAUSE;
        let emptied = empty(conn).await?;
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

/// Moves all changes into the database and cuts the log to nothing; false where readers still need
/// it. They are not waited for: whoever wants to write would wait with them.
async fn empty(conn: &mut Conn) -> Result<bool, StoreError> {
    conn.batch("PRAGMA busy_timeout = 0").await?;
    let done = conn.query("PRAGMA wal_checkpoint(TRUNCATE)").one().await;
    conn.batch(super::BUSY_AGAIN).await?;
    let row = done?.ok_or(StoreError::Damaged("a checkpoint gave no row"))?;
    Ok(row.get::<i64>(0)? == 0)
}
