//! SQLite's log of changes (WAL): moved into the database beside the writer, and kept from growing.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{Row as _, SqlitePool};
use tokio::task::JoinHandle;

use super::{StoreError, db::Conn};

const MEBIBYTE: i64 = 1024 * 1024;
/// Bytes of one frame of the log: a page of the database, and what stands before it.
const FRAME: i64 = 4096 + 24;
/// So many frames that are only in the log are copied into the database. SQLite would do it for every
/// thousand, inside a commit whose callers wait. The more there are, the more of them are of the same
/// few pages, which are copied once.
const COPY: i64 = 16 * MEBIBYTE / FRAME;
/// How often one copy goes on with what was written meanwhile, to meet the end of the log.
const ROUNDS: usize = 4;
/// Of a longer log the writer copies the rest itself, if nobody waits, so that it begins anew.
const LONG: i64 = 32 * MEBIBYTE / FRAME;
/// Of a longer one it copies all, though somebody waits.
const TOO_LONG: i64 = 4 * LONG;
/// A longer one is told to the operator.
const TOLD: i64 = 2 * TOO_LONG;
/// What the file keeps of its length when the log begins anew, in bytes: more than it needs where
/// nobody reads for long. To cut a file can take fifty milliseconds, inside a commit, and to write
/// behind its end takes longer than to write over what is there.
pub(super) const KEPT: i64 = 48 * MEBIBYTE;
/// How often the engine is asked how long the log is: as much as comes meanwhile does not matter.
const LOOK: Duration = Duration::from_millis(20);
/// A pause after a copy that left much: as long as somebody reads what is older, none gets further.
const PAUSE: Duration = Duration::from_millis(250);
/// A pause after one that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(5);

/// The log beside a database file.
#[derive(Debug)]
pub(super) struct Wal {
    readers: SqlitePool,
    copying: Option<JoinHandle<Result<(), sqlx::Error>>>,
    try_at: Instant,
    /// Whether it was said already that it grows.
    told: bool,
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

impl Wal {
    pub(super) fn new(readers: SqlitePool, now: Instant) -> Self {
        Self { readers, copying: None, try_at: now, told: false }
    }

    /// Has the log copied, or copies the rest of it, if it is time to: after a group, with or without
    /// others waiting, or when there has been nothing to do for a while. Once all of it was copied and
    /// nobody reads what is older, SQLite begins it anew by itself with the next change.
    pub(super) async fn tend(
        &mut self,
        conn: &mut Conn,
        turn: Turn,
        now: Instant,
    ) -> Result<(), StoreError> {
        if now < self.try_at || self.copying.as_ref().is_some_and(|task| !task.is_finished()) {
            return Ok(());
        }
        let copied_just_now = match self.copying.take() {
            Some(task) => match task.await {
                Ok(Err(error)) => {
                    self.try_at = now + FAILED_PAUSE;
                    return Err(error.into());
                }
                _ => true,
            },
            None => false,
        };
        self.try_at = now + LOOK;
        let (frames, left) = checkpoint(conn, "PRAGMA wal_checkpoint(NOOP)").await?;
        let many = if turn == Turn::Idle { 1 } else { COPY };
        // Behind a copy, little is left to be waited for.
        let is_time = copied_just_now && turn != Turn::Awaited;
        if left >= many && !copied_just_now {
            self.copying = Some(tokio::spawn(copy(self.readers.clone())));
        } else if frames > TOO_LONG || frames > LONG && is_time {
            let (_, left) = checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)").await?;
            if left > 0 {
                self.try_at = now + PAUSE;
            }
        } else if left >= many {
            self.try_at = now + PAUSE;
        }
        if frames > TOLD && !self.told {
            let bytes = frames * FRAME;
            tracing::warn!(bytes, "the log of changes grows, because somebody reads for long");
        }
        self.told = frames > TOLD;
        Ok(())
    }
}

/// Bytes of the log beside the database in a folder.
pub(super) fn bytes(folder: &Path) -> u64 {
    fs::metadata(folder.join("wayside.db-wal")).map_or(0, |file| file.len())
}

/// How many frames the log holds, and how many of them are in the log alone.
async fn checkpoint(conn: &mut Conn, sql: &'static str) -> Result<(i64, i64), StoreError> {
    let row = conn.query(sql).one().await?;
    let row = row.ok_or(StoreError::Damaged("a checkpoint gave no row"))?;
    let (frames, copied): (i64, i64) = (row.get(1)?, row.get(2)?);
    Ok((frames, frames - copied))
}

/// Copies what no reader needs from the log into the database. Writers and readers go on meanwhile.
async fn copy(readers: SqlitePool) -> Result<(), sqlx::Error> {
    let mut conn = readers.acquire().await?;
    for _ in 0..ROUNDS {
        let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut *conn).await?;
        if row.try_get::<i64, _>(1)? == row.try_get::<i64, _>(2)? {
            break;
        }
    }
    Ok(())
}
