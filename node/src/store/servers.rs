//! Other servers: their keys, how calls of them have gone, and the keys by which they know this node.

use ruma::{OwnedServerName, ServerName};

use super::{Reads, StoreError, Tx, db::Row};

/// Most keys of one server that are kept, those that were fetched last: it publishes fewer at once, but
/// may change them often.
pub const KEYS: usize = 256;

/// A key with which this node signs, or signed.
#[derive(Clone)]
pub struct SigningKey {
    /// Its id, such as `ed25519:1`.
    pub key_id: String,
    /// What it is made from.
    pub seed: [u8; 32],
    /// Whether another is to take its place.
    pub retiring: bool,
    /// When it ceased to be used, in milliseconds since the epoch; nothing for the one in use.
    pub expired_ms: Option<i64>,
}

/// A key of another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id.
    pub key_id: String,
    /// The key in base64.
    pub public: String,
    /// When it ceased to be used, in milliseconds since the epoch.
    pub expired_ms: Option<i64>,
    /// Until when the document may be believed, as it says.
    pub valid_until_ms: i64,
    /// When it was fetched.
    pub fetched_ms: i64,
    /// The document, as the server signed it.
    pub document: String,
}

/// How calls of a server have gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// When it last answered, in milliseconds since the epoch.
    pub reached_ms: Option<i64>,
    /// How often it has not answered since.
    pub failures: u32,
    /// When it first did not.
    pub failing_ms: Option<i64>,
    /// When it is tried again.
    pub retry_ms: i64,
}

/// The keys of this node, the newest first.
pub async fn signing_keys(from: &mut impl Reads) -> Result<Vec<SigningKey>, StoreError> {
    let sql = "SELECT key_id, seed, retiring, expired_ms FROM signing_keys \
               ORDER BY created_ms DESC, key_id DESC LIMIT $1";
    let rows = from.conn().0.query(sql).bind(many()).all().await?;
    rows.iter()
        .map(|row| {
            Ok(SigningKey {
                key_id: row.get(0)?,
                seed: row.array(1)?,
                retiring: row.get::<i64>(2)? != 0,
                expired_ms: row.get(3)?,
            })
        })
        .collect()
}

/// The known keys of a server, those that were fetched last first.
pub async fn keys(from: &mut impl Reads, server: &ServerName) -> Result<Vec<KeyRow>, StoreError> {
    let sql = "SELECT key_id, public, expired_ms, valid_until_ms, fetched_ms, document FROM server_keys \
               WHERE server = $1 ORDER BY fetched_ms DESC, key_id LIMIT $2";
    let rows = from.conn().0.query(sql).bind(server.as_str()).bind(many()).all().await?;
    rows.iter().map(read_key).collect()
}

/// How calls of a server have gone, if it was ever called.
pub async fn destination(
    from: &mut impl Reads,
    server: &ServerName,
) -> Result<Option<Destination>, StoreError> {
    let sql =
        "SELECT reached_ms, failures, failing_ms, retry_ms FROM destinations WHERE server = $1";
    let row = from.conn().0.query(sql).bind(server.as_str()).one().await?;
    row.as_ref().map(read_destination).transpose()
}

/// A server that was called or is to be, and how many events wait for it.
#[derive(Clone, Debug)]
pub struct DestinationRow {
    /// Its name.
    pub server: OwnedServerName,
    /// How calls of it have gone.
    pub gone: Destination,
    /// Events that wait for it.
    pub events: i64,
}

/// The servers that were called or are to be, by name, behind one.
pub async fn destinations(
    from: &mut impl Reads,
    behind: &str,
    limit: i64,
) -> Result<Vec<DestinationRow>, StoreError> {
    let sql = "SELECT d.reached_ms, COALESCE(d.failures, 0), d.failing_ms, COALESCE(d.retry_ms, 0), s.server, \
               (SELECT count(*) FROM outgoing o WHERE o.server = s.server) \
               FROM (SELECT server FROM destinations UNION SELECT server FROM outgoing) s \
               LEFT JOIN destinations d ON d.server = s.server \
               WHERE s.server > $1 ORDER BY s.server LIMIT $2";
    let rows = from.conn().0.query(sql).bind(behind).bind(limit).all().await?;
    let read = rows.iter().map(|row| {
        Ok(DestinationRow {
            gone: read_destination(row)?,
            server: row.parse(4)?,
            events: row.get(5)?,
        })
    });
    read.collect()
}

/// How many servers have not answered lately, how many events wait, and for how many servers.
pub async fn backlog(from: &mut impl Reads) -> Result<(i64, i64, i64), StoreError> {
    let sql = "SELECT (SELECT count(*) FROM destinations WHERE failures > 0), \
               (SELECT count(*) FROM outgoing), (SELECT count(DISTINCT server) FROM outgoing)";
    let row = from.conn().0.query(sql).one().await?;
    let row = row.ok_or(StoreError::Damaged("a count gave no row"))?;
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

impl Tx {
    /// Begins to sign with another key; the one from before has expired at this time.
    pub async fn begin_signing(
        &mut self,
        key_id: &str,
        seed: [u8; 32],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.query("UPDATE signing_keys SET expired_ms = $1 WHERE expired_ms IS NULL")
            .bind(now_ms)
            .run()
            .await?;
        let sql =
            "INSERT INTO signing_keys (key_id, seed, created_ms, retiring) VALUES ($1, $2, $3, 0)";
        self.query(sql).bind(key_id).bind(seed.as_slice()).bind(now_ms).run().await.map(drop)
    }

    /// Lets the next start take another key.
    pub async fn retire_signing_key(&mut self) -> Result<(), StoreError> {
        let sql = "UPDATE signing_keys SET retiring = 1 WHERE expired_ms IS NULL";
        self.query(sql).run().await.map(drop)
    }

    /// Writes down what a server published of its keys.
    pub async fn keep_keys(
        &mut self,
        server: &ServerName,
        rows: &[KeyRow],
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO server_keys (server, key_id, public, expired_ms, valid_until_ms, fetched_ms, \
                   document) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (server, key_id) DO UPDATE \
                   SET public = excluded.public, expired_ms = excluded.expired_ms, \
                   valid_until_ms = excluded.valid_until_ms, fetched_ms = excluded.fetched_ms, \
                   document = excluded.document";
        for row in rows {
            self.query(sql)
                .bind(server.as_str())
                .bind(&*row.key_id)
                .bind(&*row.public)
                .bind(row.expired_ms)
                .bind(row.valid_until_ms)
                .bind(row.fetched_ms)
                .bind(&*row.document)
                .run()
                .await?;
        }
        let sql = "DELETE FROM server_keys WHERE server = $1 AND key_id NOT IN (SELECT key_id \
                   FROM server_keys WHERE server = $1 ORDER BY fetched_ms DESC, key_id LIMIT $2)";
        self.query(sql).bind(server.as_str()).bind(many()).run().await.map(drop)
    }

    /// Writes down how calls of a server have gone.
    pub async fn set_destination(
        &mut self,
        server: &ServerName,
        gone: Destination,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO destinations (server, reached_ms, failures, failing_ms, retry_ms) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (server) DO UPDATE \
                   SET reached_ms = excluded.reached_ms, failures = excluded.failures, \
                   failing_ms = excluded.failing_ms, retry_ms = excluded.retry_ms";
        self.query(sql)
            .bind(server.as_str())
            .bind(gone.reached_ms)
            .bind(i64::from(gone.failures))
            .bind(gone.failing_ms)
            .bind(gone.retry_ms)
            .run()
            .await
            .map(drop)
    }
}

/// As a bound of a list.
fn many() -> i64 {
    i64::try_from(KEYS).unwrap_or(i64::MAX)
}

fn read_key(row: &Row) -> Result<KeyRow, StoreError> {
    Ok(KeyRow {
        key_id: row.get(0)?,
        public: row.get(1)?,
        expired_ms: row.get(2)?,
        valid_until_ms: row.get(3)?,
        fetched_ms: row.get(4)?,
        document: row.get(5)?,
    })
}

fn read_destination(row: &Row) -> Result<Destination, StoreError> {
    let failures: i64 = row.get(1)?;
    Ok(Destination {
        reached_ms: row.get(0)?,
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        failing_ms: row.get(2)?,
        retry_ms: row.get(3)?,
    })
}
