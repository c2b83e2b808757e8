//! One way to speak SQL to both engines: the same text, the same values, the same rows.

use std::{borrow::Cow, time::Duration};

use sqlx::{
    AssertSqlSafe, PgConnection, Postgres, Row as _, Sqlite, SqliteConnection, Transaction,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};

use tokio::time::timeout;

use super::StoreError;

/// How long PostgreSQL may take to answer one statement. It breaks its statements off earlier by
/// itself: one that takes longer hangs, or cannot be reached.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// One connection to either engine.
pub(super) enum Conn {
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
/// The most values of one list; callers cut longer ones.
pub(super) const LIST_MOST: usize = 256;

impl Conn {
    /// Begins a statement; `sql` is the same for both engines.
    pub(super) fn query(&mut self, sql: &'static str) -> Query<'_> {
        Query { conn: self, sql: Cow::Borrowed(sql), values: Vec::new() }
    }

    /// Sends a text without values, such as BEGIN.
    pub(super) async fn batch(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let sql = sqlx::raw_sql(sql);
        match self {
            Self::Sqlite(conn) => sql.execute(&mut *conn).await?.rows_affected(),
            Self::Postgres(conn) => answered(sql.execute(&mut *conn)).await?.rows_affected(),
            Self::SqliteSnapshot(conn) => sql.execute(&mut **conn).await?.rows_affected(),
            Self::PostgresSnapshot(conn) => {
                answered(sql.execute(&mut **conn)).await?.rows_affected()
            }
            Self::Lost => return Err(StoreError::Unreachable),
        };
        Ok(())
    }

    pub(super) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_) | Self::PostgresSnapshot(_))
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost)
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

    /// PostgreSQL holds no text with a NUL in it, so neither engine is given one.
    fn check(&self) -> Result<(), StoreError> {
        let has_nul =
            |value: &Value| matches!(value, Value::Text(Some(text)) if text.contains('\0'));
        if self.values.iter().any(has_nul) { Err(StoreError::Nul) } else { Ok(()) }
    }

    /// Runs a statement that changes rows and says how many.
    pub(super) async fn run(self) -> Result<u64, StoreError> {
        self.check()?;
        let Self { conn, sql, values } = self;
        let sql = AssertSqlSafe(sql);
        Ok(match conn {
            Conn::Sqlite(conn) => sqlite(sql, values).execute(&mut *conn).await?.rows_affected(),
            Conn::Postgres(conn) => {
                answered(postgres(sql, values).execute(&mut *conn)).await?.rows_affected()
            }
            Conn::SqliteSnapshot(conn) => {
                sqlite(sql, values).execute(&mut **conn).await?.rows_affected()
            }
            Conn::PostgresSnapshot(conn) => {
                answered(postgres(sql, values).execute(&mut **conn)).await?.rows_affected()
            }
            Conn::Lost => return Err(StoreError::Unreachable),
        })
    }

    /// All rows; the text itself carries the LIMIT.
    pub(super) async fn all(self) -> Result<Vec<Row>, StoreError> {
        self.check()?;
        let Self { conn, sql, values } = self;
        let sql = AssertSqlSafe(sql);
        Ok(match conn {
            Conn::Sqlite(conn) => {
                wrap(sqlite(sql, values).fetch_all(&mut *conn).await?, Row::Sqlite)
            }
            Conn::Postgres(conn) => {
                wrap(answered(postgres(sql, values).fetch_all(&mut *conn)).await?, Row::Postgres)
            }
            Conn::SqliteSnapshot(conn) => {
                wrap(sqlite(sql, values).fetch_all(&mut **conn).await?, Row::Sqlite)
            }
            Conn::PostgresSnapshot(conn) => {
                wrap(answered(postgres(sql, values).fetch_all(&mut **conn)).await?, Row::Postgres)
            }
            Conn::Lost => return Err(StoreError::Unreachable),
        })
    }

    /// The first row, if any.
    pub(super) async fn one(self) -> Result<Option<Row>, StoreError> {
        Ok(self.all().await?.into_iter().next())
    }
}

type SqliteQuery = sqlx::query::Query<'static, Sqlite, SqliteArguments>;
type PostgresQuery = sqlx::query::Query<'static, Postgres, PgArguments>;

fn sqlite(sql: AssertSqlSafe<Cow<'static, str>>, values: Vec<Value>) -> SqliteQuery {
    values.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
    })
}

fn postgres(sql: AssertSqlSafe<Cow<'static, str>>, values: Vec<Value>) -> PostgresQuery {
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
