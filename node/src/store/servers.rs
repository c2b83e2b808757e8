//! Other servers: their keys, how calls of them have gone, and the keys by which they know this node.

use ruma::{OwnedServerName, ServerName};

use super::{Reads, StoreError, Tx, behind::Queued, db::Row};

/// Most keys of one server that are kept, those that were fetched last: it publishes fewer at once, but
/// may change them often.
pub const KEYS: usize = 256;
/// Servers that are forgotten in one go.
const FORGOTTEN: i64 = 100;

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// When it last answered, in milliseconds since the epoch.
    pub reached_ms: Option<i64>,
    /// How often it has not answered since.
    pub failures: u32,
    /// When it first did not.
    pub failing_ms: Option<i64>,
    /// When it is tried again.
    pub retry_ms: i64,
    /// Why it did not answer last, or what it refuses though it answers, in words.
    pub why: Option<String>,
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
    let sql = "SELECT reached_ms, failures, failing_ms, retry_ms, why FROM destinations WHERE server = $1";
    let row = from.conn().0.query(sql).bind(server.as_str()).one().await?;
    row.as_ref().map(read_destination).transpose()
}

/// A server that was called or is to be, and what waits for it.
#[derive(Clone, Debug)]
pub struct DestinationRow {
    /// Its name.
    pub server: OwnedServerName,
    /// How calls of it have gone.
    pub gone: Destination,
    /// How much waits for it.
    pub queued: Queued,
}

impl DestinationRow {
    /// Where it stands among the others.
    #[must_use]
    pub fn rank(&self) -> Rank {
        let is_ill = self.gone.failures > 0 || self.gone.why.is_some();
        Rank { is_ill, server: self.server.to_string() }
    }
}

/// A rank among servers: those come first that do not answer or refuse something, and then by name.
#[derive(Clone, Debug)]
pub struct Rank {
    /// Whether it is among those.
    pub is_ill: bool,
    /// Its name.
    pub server: String,
}

impl Rank {
    /// The place before all servers.
    pub const FIRST: Self = Self { is_ill: true, server: String::new() };
}

/// The servers that were called or are to be, those that are ill first, behind a place.
pub async fn destinations(
    from: &mut impl Reads,
    behind: &Rank,
    limit: i64,
) -> Result<Vec<DestinationRow>, StoreError> {
    let sql = "SELECT t.reached_ms, t.failures, t.failing_ms, t.retry_ms, t.why, t.server, \
               (SELECT count(*) FROM outgoing_events o WHERE o.server = t.server), \
               (SELECT count(*) FROM outgoing_rooms r WHERE r.server = t.server), \
               (SELECT count(*) FROM outgoing_edus e WHERE e.server = t.server) FROM (SELECT s.server, \
               d.reached_ms, COALESCE(d.failures, 0) AS failures, d.failing_ms, \
               COALESCE(d.retry_ms, 0) AS retry_ms, d.why, \
               CASE WHEN d.failures > 0 OR d.why IS NOT NULL THEN 1 ELSE 0 END AS ill \
               FROM (SELECT server FROM destinations UNION SELECT server FROM outgoing_events UNION \
               SELECT server FROM outgoing_rooms UNION SELECT server FROM outgoing_edus) s \
               LEFT JOIN destinations d ON d.server = s.server) t \
               WHERE t.ill < $1 OR (t.ill = $1 AND t.server > $2) ORDER BY t.ill DESC, t.server LIMIT $3";
    let query = from.conn().0.query(sql).bind(i64::from(behind.is_ill));
    let rows = query.bind(behind.server.as_str()).bind(limit).all().await?;
    let read = rows.iter().map(|row| {
        Ok(DestinationRow {
            gone: read_destination(row)?,
            server: row.parse(5)?,
            queued: Queued { events: row.get(6)?, rooms: row.get(7)?, edus: row.get(8)? },
        })
    });
    read.collect()
}

/// How many servers have not answered lately.
pub async fn failing(from: &mut impl Reads) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM destinations WHERE failures > 0";
    let row = from.conn().0.query(sql).one().await?;
    row.ok_or(StoreError::Damaged("a count gave no row"))?.get(0)
}

/// Some servers that have never answered, of whom nobody is in a room: first asked before a time, or more of
/// them than may be remembered, the oldest first.
pub async fn never_met(
    from: &mut impl Reads,
    before_ms: i64,
    most: i64,
) -> Result<Vec<OwnedServerName>, StoreError> {
    let sql = "SELECT d.server FROM destinations d WHERE d.reached_ms IS NULL AND (d.failing_ms < $1 \
               OR d.failing_ms < (SELECT min(n.failing_ms) FROM (SELECT failing_ms FROM destinations \
               WHERE reached_ms IS NULL ORDER BY failing_ms DESC LIMIT $3) n)) \
               AND NOT EXISTS (SELECT 1 FROM room_servers s WHERE s.server = d.server AND s.joined > 0) \
               ORDER BY d.failing_ms LIMIT $2";
    let query = from.conn().0.query(sql).bind(before_ms).bind(FORGOTTEN).bind(most);
    query.all().await?.iter().map(|row| row.parse(0)).collect()
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

    /// Forgets the keys of servers of whom nobody was ever in a room: those that were fetched before a time,
    /// and the oldest of more than there may be.
    pub async fn forget_strangers_keys(
        &mut self,
        before_ms: i64,
        most: i64,
    ) -> Result<u64, StoreError> {
        let sql = "DELETE FROM server_keys WHERE NOT EXISTS (SELECT 1 FROM room_servers s \
                   WHERE s.server = server_keys.server) AND (fetched_ms < $1 OR fetched_ms < \
                   (SELECT min(n.fetched_ms) FROM (SELECT k.fetched_ms FROM server_keys k WHERE NOT EXISTS \
                   (SELECT 1 FROM room_servers s WHERE s.server = k.server) \
                   ORDER BY k.fetched_ms DESC LIMIT $2) n))";
        self.query(sql).bind(before_ms).bind(most).run().await
    }

    /// Writes down how calls of a server have gone.
    pub async fn set_destination(
        &mut self,
        server: &ServerName,
        gone: Destination,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO destinations (server, reached_ms, failures, failing_ms, retry_ms, why) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (server) DO UPDATE \
                   SET reached_ms = excluded.reached_ms, failures = excluded.failures, \
                   failing_ms = excluded.failing_ms, retry_ms = excluded.retry_ms, why = excluded.why";
        self.query(sql)
            .bind(server.as_str())
            .bind(gone.reached_ms)
            .bind(i64::from(gone.failures))
            .bind(gone.failing_ms)
            .bind(gone.retry_ms)
            .bind(gone.why)
            .run()
            .await
            .map(drop)
    }

    /// Forgets servers as [`never_met`] gives them, and what waits for them.
    pub async fn forget_never_met(
        &mut self,
        before_ms: i64,
        most: i64,
    ) -> Result<Vec<OwnedServerName>, StoreError> {
        let names = never_met(self, before_ms, most).await?;
        for name in &names {
            for sql in [
                "DELETE FROM outgoing_events WHERE server = $1",
                "DELETE FROM outgoing_rooms WHERE server = $1",
                "DELETE FROM outgoing_edus WHERE server = $1",
                "DELETE FROM destinations WHERE server = $1",
            ] {
                self.query(sql).bind(name.as_str()).run().await?;
            }
        }
        Ok(names)
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
        why: row.get(4)?,
    })
}
