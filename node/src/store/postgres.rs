//! Connections to PostgreSQL: how they are made, and what the writer's own one holds.

use std::{str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    PREPARED, Purpose, READER_WAIT, StoreError,
    db::Conn,
    dialect::{self, Trouble},
};

/// Connections that read at the same time.
const READERS: u32 = 8;
/// How long a process that serves may take to let go of the database: one that was killed, whose
/// session the server ends when it notices.
const SERVING_WAIT: Duration = Duration::from_secs(3);

/// The way to a database, by which the writer's connection is opened, and again after it was lost.
pub(super) struct Line {
    options: PgConnectOptions,
    purpose: Purpose,
    /// The session that the writer had last.
    session: Option<Session>,
}

/// A session of the server, told from all others by when it began.
struct Session {
    pid: i64,
    begun: String,
}

impl Line {
    pub(super) fn new(url: &str, purpose: Purpose) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)?
            .application_name("wayside")
            .statement_cache_capacity(PREPARED)
            .disable_statement_logging();
        Ok(Self { options, purpose, session: None })
    }

    /// Brings the database to this version's form, and returns the connections that read.
    pub(super) async fn prepare(&self) -> Result<PgPool, StoreError> {
        let mut conn = PgConnection::connect_with(&self.options).await?;
        dialect::migrator(true).run_direct(None, &mut conn, false).await?;
        conn.close().await?;
        Ok(PgPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(READER_WAIT)
            .connect_lazy_with(self.options.clone()))
    }

    /// Opens the writer's connection. The session before it is ended first: the server may not have
    /// noticed that its client is gone, and it may hold locks and a group that is not committed.
    pub(super) async fn open(&mut self) -> Result<Conn, StoreError> {
        let mut conn = Conn::Postgres(PgConnection::connect_with(&self.options).await?);
        if let Some(before) = &self.session {
            let end = conn.query(dialect::END_SESSION).bind(before.pid);
            end.bind(before.begun.as_str()).one().await?;
        }
        if self.purpose == Purpose::Serving {
            serve_alone(&mut conn).await?;
        }
        let row = conn.query(dialect::THIS_SESSION).one().await?;
        let row = row.ok_or(StoreError::Damaged("the database does not know this session"))?;
        self.session = Some(Session { pid: row.get(0)?, begun: row.get(1)? });
        Ok(conn)
    }
}

/// Takes the lock of the one process that serves; it ends with the connection.
async fn serve_alone(conn: &mut Conn) -> Result<(), StoreError> {
    let Conn::Postgres(inner) = conn else { return Err(StoreError::Unreachable) };
    let wait = format!("SET lock_timeout = {}", SERVING_WAIT.as_millis());
    sqlx::raw_sql(sqlx::AssertSqlSafe(wait)).execute(&mut *inner).await?;
    let taken = sqlx::raw_sql(dialect::LOCK_SERVING).execute(&mut *inner).await;
    taken.map_err(|error| match &error {
        sqlx::Error::Database(said) if dialect::trouble(said.as_ref()) == Trouble::Locked => {
            StoreError::Served
        }
        _ => error.into(),
    })?;
    conn.batch("RESET lock_timeout").await
}
