//! Messages from device to device, which wait here until they were fetched.

use ruma::{DeviceId, OwnedUserId, UserId};

use super::{Reads, StoreError, Tx, bus::Change};

/// A message to one device.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its place in the stream.
    pub position: i64,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// Its type.
    pub kind: String,
    /// Its content, a JSON object.
    pub content: String,
}

/// The messages to a device that came after a position, the oldest first.
pub async fn letters(
    from: &mut impl Reads,
    user_id: &UserId,
    device_id: &DeviceId,
    after: i64,
    limit: i64,
) -> Result<Vec<Letter>, StoreError> {
    let sql = "SELECT position, sender, kind, content FROM letters WHERE user_id = $1 \
               AND device_id = $2 AND position > $3 ORDER BY position LIMIT $4";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
    let rows = query.bind(after).bind(limit).all().await?;
    rows.iter()
        .map(|row| {
            Ok(Letter {
                position: row.get(0)?,
                sender: row.parse(1)?,
                kind: row.get(2)?,
                content: row.get(3)?,
            })
        })
        .collect()
}

/// Devices for which more than so many messages wait, with the position up to which they are too many.
pub async fn overfull(
    from: &mut impl Reads,
    most: i64,
) -> Result<Vec<(OwnedUserId, String, i64)>, StoreError> {
    let sql = "SELECT user_id, device_id FROM letters GROUP BY user_id, device_id \
               HAVING count(*) > $1 LIMIT 100";
    let rows = from.conn().0.query(sql).bind(most).all().await?;
    let mut found = Vec::new();
    for row in rows {
        let (user_id, device_id): (OwnedUserId, String) = (row.parse(0)?, row.get(1)?);
        let sql = "SELECT position FROM letters WHERE user_id = $1 AND device_id = $2 \
                   ORDER BY position DESC LIMIT 1 OFFSET $3";
        let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
        if let Some(row) = query.bind(most).one().await? {
            found.push((user_id, device_id, row.get(0)?));
        }
    }
    Ok(found)
}

impl Tx {
    /// Leaves a message for a device.
    pub async fn add_letter(
        &mut self,
        user_id: &UserId,
        device_id: &DeviceId,
        sender: &UserId,
        kind: &str,
        content: &str,
    ) -> Result<(), StoreError> {
        let position = self.next_number();
        let sql = "INSERT INTO letters (user_id, device_id, position, sender, kind, content) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let query = self.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
        query.bind(position).bind(sender.as_str()).bind(kind).bind(content).run().await?;
        self.announce(Change::Letter { user_id: user_id.to_owned(), position });
        Ok(())
    }

    /// Forgets the messages to a device up to a position.
    pub async fn forget_letters(
        &mut self,
        user_id: &UserId,
        device_id: &DeviceId,
        upto: i64,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM letters WHERE user_id = $1 AND device_id = $2 AND position <= $3";
        let query = self.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
        query.bind(upto).run().await.map(drop)
    }
}
