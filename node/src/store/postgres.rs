//! Connections to PostgreSQL: how they are made, and what the writer's own one holds.

use std::{io, str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::{
    PREPARED, Purpose, READER_WAIT, StoreError,
    db::{Conn, Link},
    dialect::{self, Trouble},
};

/// Connections that read at the same time.
const READERS: u32 = 8;
/// How long the server may take to let a connection in.
const OPENING_WAIT: Duration = Duration::from_secs(5);
/// How long a connection that was read from may take to be as new again.
const RELEASE_WAIT: Duration = Duration::from_secs(5);
/// How long a process that serves may take to let go of the database: one that was killed, whose
/// session the server ends when it notices.
const SERVING_WAIT: Duration = Duration::from_secs(3);
/// How long a new version may take to bring all rows to its form.
const PREPARING_LIMIT: Duration = Duration::from_hours(6);
/// What every session asks of the server, whatever its own settings are. Acknowledged means
/// durable; nobody waits for ever for a statement or a lock; and a session that its process has
/// forgotten, or that lost its client, ends and lets go of what it holds. Times are in milliseconds
/// for statements and in seconds for the network.
const SETTINGS: [(&str, &str); 7] = [
    ("synchronous_commit", "on"),
    ("statement_timeout", "10000"),
    ("lock_timeout", "5000"),
    ("idle_in_transaction_session_timeout", "60000"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

/// A view of one moment.
pub(super) async fn snapshot(pool: &PgPool) -> Result<Transaction<'static, Postgres>, StoreError> {
    let begin = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    match timeout(READER_WAIT, begin).await {
        Ok(begun) => Ok(begun?),
        Err(_) => Err(StoreError::Silent(READER_WAIT.as_secs())),
    }
}

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
        let mut conn = connect(&self.options).await?;
        let migrator = dialect::migrator(true);
        let prepared = migrator.run_direct(None, &mut conn, false);
        match timeout(PREPARING_LIMIT, prepared).await {
            Ok(prepared) => prepared?,
            Err(_) => return Err(StoreError::Silent(PREPARING_LIMIT.as_secs())),
        }
        conn.close().await?;
        Ok(PgPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(READER_WAIT)
            .after_release(|conn, _| Box::pin(as_new(conn)))
            .connect_lazy_with(self.options.clone().options(SETTINGS)))
    }

    /// Opens the writer's connection. The session before it is ended first: the server may not have
    /// noticed that its client is gone, and it may hold locks and a group that is not committed.
    pub(super) async fn open(&mut self) -> Result<Conn, StoreError> {
        let options = self.options.clone().options(SETTINGS);
        let mut conn = Conn::new(Link::Postgres(connect(&options).await?));
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

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    match timeout(OPENING_WAIT, PgConnection::connect_with(options)).await {
        Ok(conn) => Ok(conn?),
        Err(_) => Err(StoreError::Silent(OPENING_WAIT.as_secs())),
    }
}

/// Whether a connection that was read from can be read from again. The end of its view is on its
/// way; one that does not answer is given up, because a slot that waits for it is lost to all.
async fn as_new(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let ended = timeout(RELEASE_WAIT, conn.ping()).await;
    ended.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())).map(|()| true)
}

/// Takes the lock of the one process that serves; it ends with the connection.
async fn serve_alone(conn: &mut Conn) -> Result<(), StoreError> {
    let Link::Postgres(inner) = &mut conn.link else { return Err(StoreError::Unreachable) };
    let wait = format!("SET lock_timeout = {}", SERVING_WAIT.as_millis());
    sqlx::raw_sql(sqlx::AssertSqlSafe(wait)).execute(&mut *inner).await?;
    // It ends with an error of the server's in time, unless the server hangs, which is seen to above.
    let taken = sqlx::raw_sql(dialect::LOCK_SERVING).execute(&mut *inner).await;
    taken.map_err(|error| match &error {
        sqlx::Error::Database(said) if dialect::trouble(said.as_ref()) == Trouble::Locked => {
            StoreError::Served
        }
        _ => error.into(),
    })?;
    conn.batch("RESET lock_timeout").await
}
