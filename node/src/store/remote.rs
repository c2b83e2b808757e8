//! The devices of people of other servers, as far as their servers told of them.

use std::collections::HashSet;

use ruma::{DeviceId, OwnedUserId, ServerName, UserId};

use super::{
    Reads, StoreError, Tx,
    keys::{DeviceRecord, chunks, read_device},
};

/// What is known of a list of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    /// The change up to which it is known; nothing where the other server did not say.
    pub stream_id: Option<i64>,
    /// Whether it must be asked for again.
    pub stale: bool,
    /// When a change of it was last heard of, as a position.
    pub heard: i64,
}

/// What stood when it was begun to ask for a list.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// When a change of it had last been heard of.
    heard: i64,
    /// Since when it had been known before.
    since: i64,
    /// When it was begun: no change from here on is missed.
    position: i64,
}

/// The list of somebody, if it is kept.
pub async fn list(from: &mut impl Reads, user_id: &UserId) -> Result<Option<List>, StoreError> {
    let sql = "SELECT stream_id, stale, heard FROM remote_lists WHERE user_id = $1";
    let row = from.conn().0.query(sql).bind(user_id.as_str()).one().await?;
    row.map(|row| {
        let stale = row.get::<i64>(1)? != 0;
        Ok(List { stream_id: row.get(0)?, stale, heard: row.get(2)? })
    })
    .transpose()
}

/// Those of `people` whose lists can be believed: of all changes since they were asked for word has
/// come, because they have been in a room with the asker all the time.
pub async fn believed(
    from: &mut impl Reads,
    asker: &UserId,
    people: &[&UserId],
) -> Result<HashSet<OwnedUserId>, StoreError> {
    let sql = "SELECT r.user_id FROM remote_lists r WHERE r.stale = 0 AND EXISTS (SELECT 1 \
               FROM memberships a JOIN memberships b ON b.room_no = a.room_no WHERE a.user_id = $1 \
               AND a.membership = 'join' AND a.position <= r.since AND b.user_id = r.user_id \
               AND b.membership = 'join' AND b.position <= r.since) AND r.user_id IN (LIST)";
    let mut found = HashSet::new();
    for names in chunks(people) {
        for row in from.conn().0.query(sql).bind(asker.as_str()).list(&names).all().await? {
            found.insert(row.parse(0)?);
        }
    }
    Ok(found)
}

/// Whether somebody of another server shares a room with anybody of this one.
pub async fn is_near(
    from: &mut impl Reads,
    user_id: &UserId,
    own: &ServerName,
) -> Result<bool, StoreError> {
    let sql = "SELECT m.room_no FROM memberships m JOIN room_servers s ON s.room_no = m.room_no \
               WHERE m.user_id = $1 AND m.membership = 'join' AND s.server = $2 AND s.joined > 0 LIMIT 1";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(own.as_str());
    Ok(query.one().await?.is_some())
}

/// The kept devices of these people.
pub async fn devices(
    from: &mut impl Reads,
    people: &[&UserId],
) -> Result<Vec<DeviceRecord>, StoreError> {
    let sql = "SELECT user_id, device_id, record, name FROM remote_devices WHERE user_id IN (LIST)";
    let mut found = Vec::new();
    for names in chunks(people) {
        for row in from.conn().0.query(sql).list(&names).all().await? {
            found.push(read_device(&row)?);
        }
    }
    Ok(found)
}

/// People whose lists must be asked for again; at most `limit`.
pub async fn stale(from: &mut impl Reads, limit: i64) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT user_id FROM remote_lists WHERE stale = 1 ORDER BY user_id LIMIT $1";
    let rows = from.conn().0.query(sql).bind(limit).all().await?;
    rows.iter().map(|row| row.parse(0)).collect()
}

impl Tx {
    /// Begins to keep the list of somebody, whose server is to be asked for it then.
    pub async fn begin_list(&mut self, user_id: &UserId) -> Result<Begun, StoreError> {
        let position = self.next_number();
        let sql = "INSERT INTO remote_lists (user_id, since, stale, heard) VALUES ($1, $2, 1, $2) \
                   ON CONFLICT (user_id) DO UPDATE SET stale = remote_lists.stale RETURNING heard, since";
        let row = self.query(sql).bind(user_id.as_str()).bind(position).one().await?;
        let row = row.ok_or(StoreError::Damaged("a list of devices gave no row"))?;
        Ok(Begun { heard: row.get(0)?, since: row.get(1)?, position })
    }

    /// Keeps what was answered, unless a change was heard of since it was begun; whether it is kept.
    /// Where the answer does not say up to which change it is known, it gives way to any other.
    pub async fn keep_list(
        &mut self,
        user_id: &UserId,
        begun: Begun,
        stream_id: Option<i64>,
        devices: &[DeviceRecord],
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE remote_lists SET stream_id = $4, since = $3, stale = 0 \
                   WHERE user_id = $1 AND heard = $2 AND ($5 = 1 OR since = $6)";
        let query = self.query(sql).bind(user_id.as_str()).bind(begun.heard).bind(begun.position);
        let query = query.bind(stream_id).bind(stream_id.is_some()).bind(begun.since);
        if query.run().await? == 0 {
            return Ok(false);
        }
        let sql = "DELETE FROM remote_devices WHERE user_id = $1";
        self.query(sql).bind(user_id.as_str()).run().await?;
        for device in devices {
            self.put_remote_device(device).await?;
        }
        Ok(true)
    }

    /// Notes that a change of somebody's list was heard of: the next after what is known, up to which
    /// it is known then, or one behind others that were missed.
    pub async fn hear_of_list(
        &mut self,
        user_id: &UserId,
        known_upto: Option<i64>,
    ) -> Result<(), StoreError> {
        let position = self.next_number();
        let sql = "UPDATE remote_lists SET heard = $2, stream_id = $3, \
                   stale = CASE WHEN $4 = 1 THEN stale ELSE 1 END WHERE user_id = $1";
        let query = self.query(sql).bind(user_id.as_str()).bind(position).bind(known_upto);
        query.bind(known_upto.is_some()).run().await.map(drop)
    }

    /// Keeps a device of somebody elsewhere.
    pub async fn put_remote_device(&mut self, device: &DeviceRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO remote_devices (user_id, device_id, record, name) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (user_id, device_id) DO UPDATE SET record = excluded.record, \
                   name = excluded.name";
        let query = self.query(sql).bind(device.user_id.as_str()).bind(device.device_id.as_str());
        query.bind(device.record.as_str()).bind(device.name.as_deref()).run().await.map(drop)
    }

    /// Forgets a device of somebody elsewhere.
    pub async fn remove_remote_device(
        &mut self,
        user_id: &UserId,
        device_id: &DeviceId,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM remote_devices WHERE user_id = $1 AND device_id = $2";
        self.query(sql).bind(user_id.as_str()).bind(device_id.as_str()).run().await.map(drop)
    }

    /// Keeps the list of somebody no longer.
    pub async fn forget_list(&mut self, user_id: &UserId) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM remote_lists WHERE user_id = $1",
            "DELETE FROM remote_devices WHERE user_id = $1",
        ] {
            self.query(sql).bind(user_id.as_str()).run().await?;
        }
        Ok(())
    }
}
