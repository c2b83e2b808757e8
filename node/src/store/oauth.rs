//! Programs that sign people in, and devices that wait to be let in.

use ruma::{OwnedUserId, UserId};

use super::{Reads, StoreError, Tx, db::Row};

/// A device that waits until somebody lets it in.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The program on it.
    pub client_id: String,
    /// What it asked for, in the words of who keeps it.
    pub scope: String,
    /// What was said to it, where something was.
    pub allowed: Option<bool>,
    /// By whom.
    pub user_id: Option<OwnedUserId>,
    /// When it asked last, in milliseconds since the epoch.
    pub asked_ms: i64,
    /// When it gives up, in milliseconds since the epoch.
    pub expires_ms: i64,
}

const WAITING: &str = "SELECT client_id, scope, allowed, user_id, asked_ms, expires_ms FROM device_grants \
                       WHERE device_hash = $1";
const CODED: &str = "SELECT client_id, scope, allowed, user_id, asked_ms, expires_ms FROM device_grants \
                     WHERE user_code = $1";

/// What a program said of itself.
pub async fn client(from: &mut impl Reads, client_id: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT metadata FROM oauth_clients WHERE client_id = $1";
    let row = from.conn().0.query(sql).bind(client_id).one().await?;
    row.map(|row| row.get(0)).transpose()
}

/// The device that holds this secret.
pub async fn waiting(
    from: &mut impl Reads,
    device_hash: &[u8; 32],
) -> Result<Option<Waiting>, StoreError> {
    let row = from.conn().0.query(WAITING).bind(device_hash.as_slice()).one().await?;
    row.map(|row| read(&row)).transpose()
}

/// The device that shows this code.
pub async fn coded(from: &mut impl Reads, user_code: &str) -> Result<Option<Waiting>, StoreError> {
    let row = from.conn().0.query(CODED).bind(user_code).one().await?;
    row.map(|row| read(&row)).transpose()
}

fn read(row: &Row) -> Result<Waiting, StoreError> {
    let user_id: Option<String> = row.get(3)?;
    Ok(Waiting {
        client_id: row.get(0)?,
        scope: row.get(1)?,
        allowed: row.get::<Option<i64>>(2)?.map(|allowed| allowed != 0),
        user_id: user_id.map(|_| row.parse(3)).transpose()?,
        asked_ms: row.get(4)?,
        expires_ms: row.get(5)?,
    })
}

impl Tx {
    /// Keeps what a program says of itself; where there are `most` already, only if it is known.
    /// Whether it is kept.
    pub async fn add_client(
        &mut self,
        client_id: &str,
        metadata: &str,
        now_ms: i64,
        most: i64,
    ) -> Result<bool, StoreError> {
        if self.note_client(client_id, now_ms).await? {
            return Ok(true);
        }
        let row = self.query("SELECT count(*) FROM oauth_clients").one().await?;
        let count: i64 = row.ok_or(StoreError::Damaged("a count gave no row"))?.get(0)?;
        if count >= most {
            return Ok(false);
        }
        let sql = "INSERT INTO oauth_clients (client_id, metadata, used_ms) VALUES ($1, $2, $3)";
        self.query(sql).bind(client_id).bind(metadata).bind(now_ms).run().await?;
        Ok(true)
    }

    /// Notes that a program is in use; whether it is known.
    pub async fn note_client(&mut self, client_id: &str, now_ms: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE oauth_clients SET used_ms = $2 WHERE client_id = $1";
        Ok(self.query(sql).bind(client_id).bind(now_ms).run().await? > 0)
    }

    /// Keeps a device that waits; false where another shows the same code.
    pub async fn add_waiting(
        &mut self,
        device_hash: &[u8; 32],
        user_code: &str,
        waiting: &Waiting,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO device_grants (device_hash, user_code, client_id, scope, asked_ms, expires_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_code) DO NOTHING";
        let query = self.query(sql).bind(device_hash.as_slice()).bind(user_code);
        let query = query.bind(waiting.client_id.as_str()).bind(waiting.scope.as_str());
        Ok(query.bind(waiting.asked_ms).bind(waiting.expires_ms).run().await? > 0)
    }

    /// Lets in the device that shows a code, or not; false where that was decided before.
    pub async fn decide(
        &mut self,
        user_code: &str,
        user_id: Option<&UserId>,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE device_grants SET allowed = $2, user_id = $3 \
                   WHERE user_code = $1 AND allowed IS NULL AND expires_ms > $4";
        let query = self.query(sql).bind(user_code).bind(user_id.is_some());
        Ok(query.bind(user_id.map(UserId::as_str)).bind(now_ms).run().await? > 0)
    }

    /// Notes when a device that waits asked.
    pub async fn note_waiting(
        &mut self,
        device_hash: &[u8; 32],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE device_grants SET asked_ms = $2 WHERE device_hash = $1";
        self.query(sql).bind(device_hash.as_slice()).bind(now_ms).run().await.map(drop)
    }

    /// Ends the waiting of a device; false where it had ended.
    pub async fn end_waiting(&mut self, device_hash: &[u8; 32]) -> Result<bool, StoreError> {
        let sql = "DELETE FROM device_grants WHERE device_hash = $1";
        Ok(self.query(sql).bind(device_hash.as_slice()).run().await? > 0)
    }

    /// Forgets grants and waiting devices whose time is over, and programs that nobody has used since
    /// a time and that no device was given to.
    pub async fn forget_grants(&mut self, now_ms: i64, unused_ms: i64) -> Result<(), StoreError> {
        let sql = "DELETE FROM login_grants WHERE expires_ms <= $1";
        self.query(sql).bind(now_ms).run().await?;
        let sql = "DELETE FROM device_grants WHERE expires_ms <= $1";
        self.query(sql).bind(now_ms).run().await?;
        let sql = "DELETE FROM oauth_clients WHERE used_ms <= $1 AND NOT EXISTS \
                   (SELECT 1 FROM access_tokens t WHERE t.client_id = oauth_clients.client_id)";
        self.query(sql).bind(unused_ms).run().await.map(drop)
    }
}
