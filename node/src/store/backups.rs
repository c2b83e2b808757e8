//! Copies of people's keys of rooms, which only they can read.

use ruma::{OwnedRoomId, RoomId, UserId};

use super::{Reads, StoreError, Tx, db::Row};

/// One backup of somebody's keys.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Its number; a newer backup has a higher one.
    pub version: i64,
    /// How it is encrypted.
    pub algorithm: String,
    /// What the algorithm wants kept beside it, a JSON object.
    pub auth_data: String,
    /// Changes with the keys in it.
    pub etag: i64,
    /// How many keys it holds.
    pub keys: i64,
}

/// One key in a backup.
#[derive(Clone, Debug)]
pub struct BackupKey {
    /// Of which room.
    pub room_id: OwnedRoomId,
    /// Of which session in it.
    pub session_id: String,
    /// The first message that it opens.
    pub first_message: i64,
    /// How often it was handed on.
    pub forwarded: i64,
    /// Whether the device that made it was verified.
    pub verified: bool,
    /// The key as its owner wrote it, a JSON object.
    pub body: String,
}

/// Which keys of a backup.
#[derive(Clone, Copy, Debug)]
pub enum Part<'p> {
    /// All.
    All,
    /// Those of a room.
    Room(&'p RoomId),
    /// One.
    Session(&'p RoomId, &'p str),
}

const NEWEST: &str = "SELECT version, algorithm, auth_data, etag, keys FROM backups \
                      WHERE user_id = $1 ORDER BY version DESC LIMIT 1";
const NAMED: &str = "SELECT version, algorithm, auth_data, etag, keys FROM backups \
                     WHERE user_id = $1 AND version = $2";

/// Somebody's newest backup, or the one of that number.
pub async fn backup(
    from: &mut impl Reads,
    user_id: &UserId,
    version: Option<i64>,
) -> Result<Option<Backup>, StoreError> {
    let row = match version {
        None => from.conn().0.query(NEWEST).bind(user_id.as_str()).one().await?,
        Some(version) => {
            from.conn().0.query(NAMED).bind(user_id.as_str()).bind(version).one().await?
        }
    };
    row.map(|row| {
        Ok(Backup {
            version: row.get(0)?,
            algorithm: row.get(1)?,
            auth_data: row.get(2)?,
            etag: row.get(3)?,
            keys: row.get(4)?,
        })
    })
    .transpose()
}

/// A key of a backup.
pub async fn key(
    from: &mut impl Reads,
    user_id: &UserId,
    version: i64,
    room_id: &RoomId,
    session_id: &str,
) -> Result<Option<BackupKey>, StoreError> {
    let sql = "SELECT room_id, session_id, first_message, forwarded, verified, body FROM backup_keys \
               WHERE user_id = $1 AND version = $2 AND room_id = $3 AND session_id = $4";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(version);
    let row = query.bind(room_id.as_str()).bind(session_id).one().await?;
    row.as_ref().map(read).transpose()
}

/// Keys of a backup behind a room and session, in their order, at most `limit`; of all rooms or of one.
pub async fn keys(
    from: &mut impl Reads,
    user_id: &UserId,
    version: i64,
    only: Option<&RoomId>,
    behind: (&str, &str),
    limit: i64,
) -> Result<Vec<BackupKey>, StoreError> {
    let sql = "SELECT room_id, session_id, first_message, forwarded, verified, body FROM backup_keys \
               WHERE user_id = $1 AND version = $2 AND ($3 = '' OR room_id = $3) \
               AND (room_id > $4 OR (room_id = $4 AND session_id > $5)) \
               ORDER BY room_id, session_id LIMIT $6";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(version);
    let query = query.bind(only.map_or("", RoomId::as_str)).bind(behind.0).bind(behind.1);
    query.bind(limit).all().await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<BackupKey, StoreError> {
    Ok(BackupKey {
        room_id: row.parse(0)?,
        session_id: row.get(1)?,
        first_message: row.get(2)?,
        forwarded: row.get(3)?,
        verified: row.get::<i64>(4)? != 0,
        body: row.get(5)?,
    })
}

impl Tx {
    /// Begins a backup, and gives its number.
    pub async fn add_backup(
        &mut self,
        user_id: &UserId,
        algorithm: &str,
        auth_data: &str,
    ) -> Result<i64, StoreError> {
        let version = self.next_number();
        let sql = "INSERT INTO backups (user_id, version, algorithm, auth_data, etag, keys) \
                   VALUES ($1, $2, $3, $4, 0, 0)";
        let query = self.query(sql).bind(user_id.as_str()).bind(version);
        query.bind(algorithm).bind(auth_data).run().await?;
        Ok(version)
    }

    /// Writes down what changed of a backup.
    pub async fn change_backup(
        &mut self,
        user_id: &UserId,
        backup: &Backup,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE backups SET auth_data = $3, etag = $4, keys = $5 \
                   WHERE user_id = $1 AND version = $2";
        let query = self.query(sql).bind(user_id.as_str()).bind(backup.version);
        let query = query.bind(backup.auth_data.as_str()).bind(backup.etag).bind(backup.keys);
        query.run().await.map(drop)
    }

    /// Removes a backup with all that is in it.
    pub async fn remove_backup(
        &mut self,
        user_id: &UserId,
        version: i64,
    ) -> Result<(), StoreError> {
        self.remove_backup_keys(user_id, version, Part::All).await?;
        let sql = "DELETE FROM backups WHERE user_id = $1 AND version = $2";
        self.query(sql).bind(user_id.as_str()).bind(version).run().await.map(drop)
    }

    /// Puts a key into a backup, in place of the one of its name.
    pub async fn put_backup_key(
        &mut self,
        user_id: &UserId,
        version: i64,
        key: &BackupKey,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO backup_keys (user_id, version, room_id, session_id, first_message, \
                   forwarded, verified, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                   ON CONFLICT (user_id, version, room_id, session_id) DO UPDATE SET \
                   first_message = excluded.first_message, forwarded = excluded.forwarded, \
                   verified = excluded.verified, body = excluded.body";
        let query = self.query(sql).bind(user_id.as_str()).bind(version);
        let query = query.bind(key.room_id.as_str()).bind(key.session_id.as_str());
        let query = query.bind(key.first_message).bind(key.forwarded).bind(key.verified);
        query.bind(key.body.as_str()).run().await.map(drop)
    }

    /// Removes keys from a backup; how many.
    pub async fn remove_backup_keys(
        &mut self,
        user_id: &UserId,
        version: i64,
        part: Part<'_>,
    ) -> Result<u64, StoreError> {
        let all = "DELETE FROM backup_keys WHERE user_id = $1 AND version = $2";
        let of_room =
            "DELETE FROM backup_keys WHERE user_id = $1 AND version = $2 AND room_id = $3";
        let one = "DELETE FROM backup_keys WHERE user_id = $1 AND version = $2 AND room_id = $3 \
                   AND session_id = $4";
        let sql = match part {
            Part::All => all,
            Part::Room(_) => of_room,
            Part::Session(..) => one,
        };
        let query = self.query(sql).bind(user_id.as_str()).bind(version);
        match part {
            Part::All => query,
            Part::Room(room_id) => query.bind(room_id.as_str()),
            Part::Session(room_id, session_id) => query.bind(room_id.as_str()).bind(session_id),
        }
        .run()
        .await
    }
}
