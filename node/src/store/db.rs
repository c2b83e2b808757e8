//! One way to speak SQL to both engines: the same text, the same values, the same rows.

use std::{borrow::Cow, fs::File, io::Write, path::Path, sync::Arc, time::Duration};

use sqlx::{
    AssertSqlSafe, PgConnection, Postgres, Row as _, Sqlite, SqliteConnection, Transaction,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};

use tokio::{task::spawn_blocking, time::timeout};

use super::StoreError;

/// How long PostgreSQL may take to answer one statement. It breaks its statements off earlier by
/// itself: one that takes longer hangs, or cannot be reached.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// Bytes that must find room on a disk that is not full.
const PROBE_BYTES: usize = 256 * 1024;

/// One connection, with what became of it.
pub(super) struct Conn {
    pub(super) link: Link,
    /// Where the files are, for asking the disk why it failed.
    folder: Option<Arc<Path>>,
    /// The first failure that may have undone more than its own statement. Nothing more is done
    /// until whoever began the transaction has taken notice: after some failures SQLite has undone
    /// all of it, and what came then would stand outside of it, where nobody undoes it.
    cause: Option<StoreError>,
}

/// A connection to either engine.
pub(super) enum Link {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    SqliteSnapshot(Transaction<'static, Sqlite>),
    PostgresSnapshot(Transaction<'static, Postgres>),
    /// None for now: it was lost and is being opened again.
    Lost,
}

/// A value bound to a statement; the type stands even where the value is missing, as PostgreSQL wants it.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

/// One row of an answer.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// A statement with its values, waiting for its connection.
pub(super) struct Query<'c> {
    conn: &'c mut Conn,
    sql: Cow<'static, str>,
    values: Vec<Value>,
}

/// Where a list of values stands in the text of a statement; it must come after all single values.
const LIST: &str = "(LIST)";
/// Lists are filled up to these lengths, so that the engines see few different texts.
const LIST_SIZES: [usize; 5] = [1, 4, 16, 64, 256];
/// Where the rows of an insertion stand in the text of a statement.
const ROWS: &str = "(ROWS)";
/// Many rows are written in statements of so many, for the same reason.
const ROW_COUNTS: [usize; 4] = [64, 16, 4, 1];
/// The most values of one list; callers cut longer ones.
pub(super) const LIST_MOST: usize = 256;

impl Conn {
    /// A connection to an engine elsewhere, or to none.
    pub(super) fn new(link: Link) -> Self {
        Self { link, folder: None, cause: None }
    }

    /// A connection to files in a folder.
    pub(super) fn on_disk(link: Link, folder: Arc<Path>) -> Self {
        Self { link, folder: Some(folder), cause: None }
    }

    /// Begins a statement; `sql` is the same for both engines.
    pub(super) fn query(&mut self, sql: &'static str) -> Query<'_> {
        Query { conn: self, sql: Cow::Borrowed(sql), values: Vec::new() }
    }

    /// Sends a text without values that begins or ends a transaction or a part of one. All of it goes
    /// at once, as each way to the engine and back takes as long as a whole statement.
    pub(super) async fn batch(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
    ) -> Result<(), StoreError> {
        self.batch_for(sql).await.map(drop)
    }

    /// The same, with what its statements found.
    pub(super) async fn batch_for(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
    ) -> Result<Vec<Row>, StoreError> {
        match self.link.batch(AssertSqlSafe(sql.into())).await {
            Ok(rows) => Ok(rows),
            Err(error) => Err(explained(error, self.folder.as_ref()).await),
        }
    }

    /// The first failure that may have undone everything, if there was one; it is no longer known
    /// then.
    pub(super) fn take_cause(&mut self) -> Option<StoreError> {
        self.cause.take()
    }

    pub(super) fn is_postgres(&self) -> bool {
        matches!(self.link, Link::Postgres(_) | Link::PostgresSnapshot(_))
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.link, Link::Lost)
    }

    /// Inserts many rows, where `sql` says `(ROWS)`, in few statements: each takes a way to the engine
    /// and back. No two rows of a statement that updates may be about the same one.
    pub(super) async fn insert<const N: usize>(
        &mut self,
        sql: &'static str,
        rows: &[[Value; N]],
    ) -> Result<(), StoreError> {
        let mut left = rows;
        for count in ROW_COUNTS {
            while let Some((part, rest)) = left.split_at_checked(count) {
                self.query(sql).rows(part).run().await?;
                left = rest;
            }
        }
        Ok(())
    }

    async fn noted<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let Err(error) = done else { return done };
        let error = explained(error, self.folder.as_ref()).await;
        if error.may_undo_all() {
            self.cause.get_or_insert_with(|| error.clone());
        }
        Err(error)
    }

    fn check(&self) -> Result<(), StoreError> {
        self.cause.clone().map_or(Ok(()), Err)
    }
}

/// SQLite says of many failures only that the disk had one. Whether it is full, the disk is asked.
pub(super) async fn explained(error: StoreError, folder: Option<&Arc<Path>>) -> StoreError {
    let (StoreError::Io(_), Some(folder)) = (&error, folder) else { return error };
    let folder = folder.clone();
    let full = spawn_blocking(move || matches!(try_disk(&folder), Err(StoreError::Full)));
    if full.await.unwrap_or(false) { StoreError::Full } else { error }
}

fn try_disk(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join("probe");
    let write = || {
        let mut file = File::create(&path)?;
        file.write_all(&vec![0; PROBE_BYTES])?;
        file.sync_all()
    };
    let written = write();
    // What cannot be removed is overwritten by the next one.
    let _left = std::fs::remove_file(&path);
    Ok(written?)
}

impl Link {
    async fn batch(&mut self, sql: Sql) -> Result<Vec<Row>, StoreError> {
        let sql = sqlx::raw_sql(sql);
        Ok(match self {
            Self::Sqlite(conn) => wrap(sql.fetch_all(&mut *conn).await?, Row::Sqlite),
            Self::Postgres(conn) => wrap(answered(sql.fetch_all(&mut *conn)).await?, Row::Postgres),
            Self::SqliteSnapshot(conn) => wrap(sql.fetch_all(&mut **conn).await?, Row::Sqlite),
            Self::PostgresSnapshot(conn) => {
                wrap(answered(sql.fetch_all(&mut **conn)).await?, Row::Postgres)
            }
            Self::Lost => return Err(StoreError::Unreachable),
        })
    }

    async fn run(&mut self, sql: Sql, values: Vec<Value>) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(conn) => sqlite(sql, values).execute(&mut *conn).await?.rows_affected(),
            Self::Postgres(conn) => {
                answered(postgres(sql, values).execute(&mut *conn)).await?.rows_affected()
            }
            Self::SqliteSnapshot(conn) => {
                sqlite(sql, values).execute(&mut **conn).await?.rows_affected()
            }
            Self::PostgresSnapshot(conn) => {
                answered(postgres(sql, values).execute(&mut **conn)).await?.rows_affected()
            }
            Self::Lost => return Err(StoreError::Unreachable),
        })
    }

    async fn all(&mut self, sql: Sql, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite(conn) => {
                wrap(sqlite(sql, values).fetch_all(&mut *conn).await?, Row::Sqlite)
            }
            Self::Postgres(conn) => {
                wrap(answered(postgres(sql, values).fetch_all(&mut *conn)).await?, Row::Postgres)
            }
            Self::SqliteSnapshot(conn) => {
                wrap(sqlite(sql, values).fetch_all(&mut **conn).await?, Row::Sqlite)
            }
            Self::PostgresSnapshot(conn) => {
                wrap(answered(postgres(sql, values).fetch_all(&mut **conn)).await?, Row::Postgres)
            }
            Self::Lost => return Err(StoreError::Unreachable),
        })
    }
}

/// What PostgreSQL answers, if it does in time.
async fn answered<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    match timeout(ANSWER_WAIT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(StoreError::Silent(ANSWER_WAIT.as_secs())),
    }
}

impl Query<'_> {
    /// Adds the next value: `$1` first.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Puts `items` where the text says `(LIST)`. An empty list matches nothing; at most [`LIST_MOST`] count.
    pub(super) fn list<T: Into<Value> + Clone>(mut self, items: &[T]) -> Self {
        let items = &items[..items.len().min(LIST_MOST)];
        let size = LIST_SIZES.into_iter().find(|size| *size >= items.len()).unwrap_or(LIST_MOST);
        let first = self.values.len() + 1;
        let marks: Vec<String> = (first..first + size).map(|n| format!("${n}")).collect();
        self.sql = Cow::Owned(self.sql.replacen(LIST, &format!("({})", marks.join(",")), 1));
        let Some(last) = items.last() else {
            self.sql =
                Cow::Owned(self.sql.replacen(&format!("({})", marks.join(",")), "(NULL)", 1));
            return self;
        };
        self.values.extend(items.iter().cloned().map(Into::into));
        let padding = size - items.len();
        self.values.extend(std::iter::repeat_n(last.clone().into(), padding));
        self
    }

    /// Puts `rows` where the text says `(ROWS)`; it has no other values.
    fn rows<const N: usize>(mut self, rows: &[[Value; N]]) -> Self {
        // SQLite looks for the name of each value among the names of all: without names it looks for none.
        let is_named = self.conn.is_postgres();
        let mark = |n: usize| if is_named { format!("${n}") } else { "?".to_owned() };
        let row = |at: usize| {
            let marks: Vec<String> = (1..=N).map(|n| mark(at * N + n)).collect();
            format!("({})", marks.join(","))
        };
        let marks: Vec<String> = (0..rows.len()).map(row).collect();
        self.sql = Cow::Owned(self.sql.replacen(ROWS, &marks.join(","), 1));
        self.values.extend(rows.iter().flatten().cloned());
        self
    }

    /// PostgreSQL holds no text with a NUL in it, so neither engine is given one.
    fn check(&self) -> Result<(), StoreError> {
        self.conn.check()?;
        let has_nul =
            |value: &Value| matches!(value, Value::Text(Some(text)) if text.contains('\0'));
        if self.values.iter().any(has_nul) { Err(StoreError::Nul) } else { Ok(()) }
    }

    /// Runs a statement that changes rows and says how many.
    pub(super) async fn run(self) -> Result<u64, StoreError> {
        self.check()?;
        let Self { conn, sql, values } = self;
        let done = conn.link.run(AssertSqlSafe(sql), values).await;
        conn.noted(done).await
    }

    /// All rows; the text itself carries the LIMIT.
    pub(super) async fn all(self) -> Result<Vec<Row>, StoreError> {
        self.check()?;
        let Self { conn, sql, values } = self;
        let done = conn.link.all(AssertSqlSafe(sql), values).await;
        conn.noted(done).await
    }

    /// The first row, if any.
    pub(super) async fn one(self) -> Result<Option<Row>, StoreError> {
        Ok(self.all().await?.into_iter().next())
    }
}

type Sql = AssertSqlSafe<Cow<'static, str>>;
type SqliteQuery = sqlx::query::Query<'static, Sqlite, SqliteArguments>;
type PostgresQuery = sqlx::query::Query<'static, Postgres, PgArguments>;

fn sqlite(sql: Sql, values: Vec<Value>) -> SqliteQuery {
    values.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
    })
}

fn postgres(sql: Sql, values: Vec<Value>) -> PostgresQuery {
    values.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
    })
}

fn wrap<R>(rows: Vec<R>, kind: fn(R) -> Row) -> Vec<Row> {
    rows.into_iter().map(kind).collect()
}

/// What a column may hold on both engines.
pub(super) trait Column:
    for<'r> sqlx::Decode<'r, Sqlite>
    + sqlx::Type<Sqlite>
    + for<'r> sqlx::Decode<'r, Postgres>
    + sqlx::Type<Postgres>
{
}

impl Column for i64 {}
impl Column for String {}
impl Column for Vec<u8> {}
impl Column for Option<i64> {}
impl Column for Option<String> {}
impl Column for Option<Vec<u8>> {}

impl Row {
    /// The value of the column at `index`, counted from 0 in the order of the statement.
    pub(super) fn get<T: Column>(&self, index: usize) -> Result<T, StoreError> {
        match self {
            Self::Sqlite(row) => row.try_get(index),
            Self::Postgres(row) => row.try_get(index),
        }
        .map_err(StoreError::from)
    }

    /// A column that holds a fixed number of bytes.
    pub(super) fn array<const N: usize>(&self, index: usize) -> Result<[u8; N], StoreError> {
        let bytes: Vec<u8> = self.get(index)?;
        bytes.try_into().map_err(|_| StoreError::Damaged("a stored hash has the wrong length"))
    }

    /// A column that holds a fixed number of bytes, or nothing.
    pub(super) fn maybe_array<const N: usize>(
        &self,
        index: usize,
    ) -> Result<Option<[u8; N]>, StoreError> {
        if self.get::<Option<Vec<u8>>>(index)?.is_none() {
            return Ok(None);
        }
        self.array(index).map(Some)
    }

    /// A column that holds something with a textual form.
    pub(super) fn parse<T: std::str::FromStr>(&self, index: usize) -> Result<T, StoreError> {
        let text: String = self.get(index)?;
        text.parse().map_err(|_| StoreError::Damaged("a stored name does not parse"))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(Some(i64::from(value)))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(value: Option<Vec<u8>>) -> Self {
        Self::Bytes(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(value))
    }
}
