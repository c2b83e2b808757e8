//! Messages from device to device, which wait here until they were fetched.

use ruma::{DeviceId, OwnedUserId, UserId};

use super::{Reads, StoreError, Tx, bus::Change};

/// Rows of one question; whoever asks for all goes on behind the last.
const PAGE: i64 = 1_000;

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

/// What waits for devices and is too much, up to which place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overfull {
    /// For whom it waits.
    pub user_id: OwnedUserId,
    /// For which of their devices.
    pub device_id: String,
    /// Of whom; of everybody without one.
    pub sender: Option<OwnedUserId>,
    /// The newest that is too much.
    pub upto: i64,
}

/// Devices for which more waits than may: of one sender by number and bytes, and of all by number.
pub async fn overfull(
    from: &mut impl Reads,
    (of_sender, bytes): (i64, i64),
    of_all: i64,
) -> Result<Vec<Overfull>, StoreError> {
    let sql = "SELECT user_id, device_id, sender FROM letters GROUP BY user_id, device_id, sender \
               HAVING count(*) > $1 OR sum(octet_length(content)) > $2 LIMIT 100";
    let rows = from.conn().0.query(sql).bind(of_sender).bind(bytes).all().await?;
    let mut found = Vec::new();
    for row in rows {
        let (user_id, device_id, sender) = (row.parse(0)?, row.get(1)?, row.parse(2)?);
        let mut over = Overfull { user_id, device_id, sender: Some(sender), upto: 0 };
        if let Some(upto) = beyond(from, &over, of_sender, bytes).await? {
            over.upto = upto;
            found.push(over);
        }
    }
    let sql = "SELECT user_id, device_id FROM letters GROUP BY user_id, device_id \
               HAVING count(*) > $1 LIMIT 100";
    for row in from.conn().0.query(sql).bind(of_all).all().await? {
        let (user_id, device_id) = (row.parse(0)?, row.get(1)?);
        let mut over = Overfull { user_id, device_id, sender: None, upto: 0 };
        if let Some(upto) = beyond(from, &over, of_all, i64::MAX).await? {
            over.upto = upto;
            found.push(over);
        }
    }
    Ok(found)
}

/// The newest message behind those that may stay, which are the newest of all.
async fn beyond(
    from: &mut impl Reads,
    of: &Overfull,
    most: i64,
    bytes: i64,
) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT position, CAST(octet_length(content) AS BIGINT) FROM letters WHERE user_id = $1 \
               AND device_id = $2 AND ($3 = '' OR sender = $3) AND position < $4 \
               ORDER BY position DESC LIMIT $5";
    let (mut before, mut count, mut held) = (i64::MAX, 0, 0);
    loop {
        let query = from.conn().0.query(sql).bind(of.user_id.as_str()).bind(&*of.device_id);
        let query = query.bind(of.sender.as_deref().map_or("", UserId::as_str)).bind(before);
        let rows = query.bind(PAGE).all().await?;
        for row in &rows {
            before = row.get(0)?;
            count += 1;
            held += row.get::<i64>(1)?;
            if count > most || held > bytes {
                return Ok(Some(before));
            }
        }
        if i64::try_from(rows.len()).is_ok_and(|count| count < PAGE) {
            return Ok(None);
        }
    }
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

    /// Forgets what waits for a device and is too much.
    pub async fn forget_overfull(&mut self, over: &Overfull) -> Result<(), StoreError> {
        let sql = "DELETE FROM letters WHERE user_id = $1 AND device_id = $2 \
                   AND ($3 = '' OR sender = $3) AND position <= $4";
        let query = self.query(sql).bind(over.user_id.as_str()).bind(&*over.device_id);
        let query = query.bind(over.sender.as_deref().map_or("", UserId::as_str));
        query.bind(over.upto).run().await.map(drop)
    }
}
