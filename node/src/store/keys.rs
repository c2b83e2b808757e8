//! The keys that people and their devices publish, and who must hear when they change.

use std::collections::BTreeMap;

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use wayside_federation::device::Usage;
use wayside_specs::limits;

use super::{
    Reads, StoreError, Tx,
    bus::Change,
    db::{LIST_MOST, Row},
};

/// What one device has published.
#[derive(Clone, Debug)]
pub struct DeviceRecord {
    /// Whose it is.
    pub user_id: OwnedUserId,
    /// Which.
    pub device_id: OwnedDeviceId,
    /// Its keys as it signed them.
    pub record: String,
    /// What its person calls it.
    pub name: Option<String>,
}

/// A key of a person.
#[derive(Clone, Debug)]
pub struct PersonRecord {
    /// Whose it is.
    pub user_id: OwnedUserId,
    /// What it is for.
    pub usage: Usage,
    /// The key itself in base64.
    pub public_key: String,
    /// The key as it was published.
    pub record: String,
}

/// A signature that came after what it signs.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Whose key is signed.
    pub user_id: OwnedUserId,
    /// Which: a device's id, or a person's public key.
    pub key_name: String,
    /// Who signed.
    pub signer: OwnedUserId,
    /// With which key: a device's id, or a person's public key.
    pub signer_key: String,
    /// The signature in base64.
    pub signature: String,
}

/// How many keys of a device are left to be given away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCounts {
    /// Of one-time keys, by algorithm. The one that all clients use is named also where none is
    /// left: a client that hears nothing of it makes no new ones.
    pub one_time: BTreeMap<String, i64>,
    /// The algorithms whose fallback key nobody has been given yet.
    pub unused_fallback: Vec<String>,
}

/// Rows of one question; whoever asks for all goes on behind the last.
const PAGE: i64 = 5_000;

/// What the devices of these people have published.
pub async fn device_records(
    from: &mut impl Reads,
    people: &[&UserId],
) -> Result<Vec<DeviceRecord>, StoreError> {
    let sql = "SELECT k.user_id, k.device_id, k.record, d.name FROM device_keys k JOIN devices d \
               ON d.user_id = k.user_id AND d.device_id = k.device_id WHERE k.user_id IN (LIST)";
    let mut found = Vec::new();
    for names in chunks(people) {
        for row in from.conn().0.query(sql).list(&names).all().await? {
            found.push(read_device(&row)?);
        }
    }
    Ok(found)
}

/// What one device has published.
pub async fn device_record(
    from: &mut impl Reads,
    user_id: &UserId,
    device_id: &DeviceId,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT record FROM device_keys WHERE user_id = $1 AND device_id = $2";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
    query.one().await?.map(|row| row.get(0)).transpose()
}

/// The keys of these people.
pub async fn person_records(
    from: &mut impl Reads,
    people: &[&UserId],
) -> Result<Vec<PersonRecord>, StoreError> {
    let sql = "SELECT user_id, usage, public_key, record FROM person_keys WHERE user_id IN (LIST)";
    let mut found = Vec::new();
    for names in chunks(people) {
        for row in from.conn().0.query(sql).list(&names).all().await? {
            let usage: String = row.get(1)?;
            let usage = Usage::parse(&usage)
                .ok_or(StoreError::Damaged("the use of a stored key is unknown"))?;
            let (public_key, record) = (row.get(2)?, row.get(3)?);
            found.push(PersonRecord { user_id: row.parse(0)?, usage, public_key, record });
        }
    }
    Ok(found)
}

/// The later signatures over keys of these people that the asker may see: their own, and the asker's;
/// another server asks for nobody.
pub async fn signatures(
    from: &mut impl Reads,
    people: &[&UserId],
    asker: Option<&UserId>,
) -> Result<Vec<Signature>, StoreError> {
    let sql = "SELECT user_id, key_name, signer, signer_key, signature FROM key_signatures \
               WHERE (signer = user_id OR signer = $1) AND user_id IN (LIST)";
    let mut found = Vec::new();
    for names in chunks(people) {
        let query = from.conn().0.query(sql).bind(asker.map_or("", UserId::as_str));
        for row in query.list(&names).all().await? {
            found.push(Signature {
                user_id: row.parse(0)?,
                key_name: row.get(1)?,
                signer: row.parse(2)?,
                signer_key: row.get(3)?,
                signature: row.get(4)?,
            });
        }
    }
    Ok(found)
}

/// A device's record: whose, which, the record, what it is called.
pub(super) fn read_device(row: &Row) -> Result<DeviceRecord, StoreError> {
    Ok(DeviceRecord {
        user_id: row.parse(0)?,
        device_id: row.get::<String>(1)?.into(),
        record: row.get(2)?,
        name: row.get(3)?,
    })
}

pub(super) fn chunks<'p>(people: &'p [&UserId]) -> impl Iterator<Item = Vec<&'p str>> {
    people.chunks(LIST_MOST).map(|chunk| chunk.iter().map(|it| it.as_str()).collect())
}

/// How many keys of a device are left.
pub async fn counts(
    from: &mut impl Reads,
    user_id: &UserId,
    device_id: &DeviceId,
) -> Result<KeyCounts, StoreError> {
    let sql = "SELECT algorithm, count(*) FROM one_time_keys WHERE user_id = $1 AND device_id = $2 \
               GROUP BY algorithm UNION ALL SELECT algorithm, -1 FROM fallback_keys \
               WHERE user_id = $1 AND device_id = $2 AND used = 0 LIMIT 100";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
    let one_time = BTreeMap::from([("signed_curve25519".to_owned(), 0)]);
    let mut counts = KeyCounts { one_time, unused_fallback: Vec::new() };
    for row in query.all().await? {
        match row.get(1)? {
            -1_i64 => counts.unused_fallback.push(row.get(0)?),
            count => drop(counts.one_time.insert(row.get(0)?, count)),
        }
    }
    Ok(counts)
}

/// A one-time key of that name, if the device has uploaded it and nobody was given it yet.
pub async fn one_time_key(
    from: &mut impl Reads,
    user_id: &UserId,
    device_id: &DeviceId,
    algorithm: &str,
    key_id: &str,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT body FROM one_time_keys WHERE user_id = $1 AND device_id = $2 \
               AND algorithm = $3 AND key_id = $4";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
    query.bind(algorithm).bind(key_id).one().await?.map(|row| row.get(0)).transpose()
}

/// Those whose keys changed after a position, as far as one person is to hear of it.
pub async fn changed_since(
    from: &mut impl Reads,
    position: i64,
    asker: &UserId,
) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT user_id, position FROM key_changes WHERE position > $1 \
               AND (seen_by = '' OR seen_by = $2) ORDER BY position LIMIT $3";
    let mut found = Vec::new();
    let mut after = position;
    loop {
        let query = from.conn().0.query(sql).bind(after).bind(asker.as_str()).bind(PAGE);
        let rows = query.all().await?;
        for row in &rows {
            found.push(row.parse(0)?);
            after = row.get(1)?;
        }
        if i64::try_from(rows.len()).is_ok_and(|count| count < PAGE) {
            return Ok(found);
        }
    }
}

impl Tx {
    /// Publishes the keys of a device.
    pub async fn set_device_record(
        &mut self,
        user_id: &UserId,
        device_id: &DeviceId,
        record: &str,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO device_keys (user_id, device_id, record) VALUES ($1, $2, $3) \
                   ON CONFLICT (user_id, device_id) DO UPDATE SET record = excluded.record";
        let query = self.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
        query.bind(record).run().await.map(drop)
    }

    /// Takes in a one-time key; [`StoreError::Taken`] where the device has one of that name.
    pub async fn add_one_time_key(
        &mut self,
        user_id: &UserId,
        device_id: &DeviceId,
        algorithm: &str,
        key_id: &str,
        body: &str,
    ) -> Result<(), StoreError> {
        let number = self.next_number();
        let sql = "INSERT INTO one_time_keys (user_id, device_id, algorithm, number, key_id, body) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let query = self.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
        query.bind(algorithm).bind(number).bind(key_id).bind(body).run().await.map(drop)
    }

    /// Sets the fallback key of an algorithm, which nobody has been given yet.
    pub async fn set_fallback_key(
        &mut self,
        user_id: &UserId,
        device_id: &DeviceId,
        algorithm: &str,
        key_id: &str,
        body: &str,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO fallback_keys (user_id, device_id, algorithm, key_id, body, used) \
                   VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT (user_id, device_id, algorithm) \
                   DO UPDATE SET used = CASE WHEN fallback_keys.key_id = excluded.key_id \
                   AND fallback_keys.body = excluded.body THEN fallback_keys.used ELSE 0 END, \
                   key_id = excluded.key_id, body = excluded.body";
        let query = self.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
        query.bind(algorithm).bind(key_id).bind(body).run().await.map(drop)
    }

    /// Gives a key of a device away: the oldest one-time key, which is gone then, or the fallback
    /// key, which is marked as used. Its name and body.
    pub async fn claim_key(
        &mut self,
        user_id: &UserId,
        device_id: &DeviceId,
        algorithm: &str,
    ) -> Result<Option<(String, String)>, StoreError> {
        let sql = "SELECT number, key_id, body FROM one_time_keys WHERE user_id = $1 \
                   AND device_id = $2 AND algorithm = $3 ORDER BY number LIMIT 1";
        let query = self.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
        if let Some(row) = query.bind(algorithm).one().await? {
            let sql = "DELETE FROM one_time_keys WHERE user_id = $1 AND device_id = $2 \
                       AND algorithm = $3 AND number = $4";
            let query = self.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
            query.bind(algorithm).bind(row.get::<i64>(0)?).run().await?;
            return Ok(Some((row.get(1)?, row.get(2)?)));
        }
        let sql = "UPDATE fallback_keys SET used = 1 WHERE user_id = $1 AND device_id = $2 \
                   AND algorithm = $3 RETURNING key_id, body";
        let query = self.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
        let row = query.bind(algorithm).one().await?;
        row.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
    }

    /// Publishes a key of a person.
    pub async fn set_person_record(
        &mut self,
        user_id: &UserId,
        usage: Usage,
        public_key: &str,
        record: &str,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO person_keys (user_id, usage, public_key, record) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (user_id, usage) DO UPDATE \
                   SET public_key = excluded.public_key, record = excluded.record";
        let query = self.query(sql).bind(user_id.as_str()).bind(usage.as_str());
        query.bind(public_key).bind(record).run().await.map(drop)
    }

    /// Forgets the keys of a person, what was signed of them, and their backups.
    pub(super) async fn forget_person_keys(&mut self, user_id: &UserId) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM key_signatures WHERE user_id = $1 OR signer = $1",
            "DELETE FROM backup_keys WHERE user_id = $1",
            "DELETE FROM backups WHERE user_id = $1",
        ] {
            self.query(sql).bind(user_id.as_str()).run().await?;
        }
        let sql = "DELETE FROM person_keys WHERE user_id = $1";
        if self.query(sql).bind(user_id.as_str()).run().await? > 0 {
            self.note_key_change(user_id, None).await?;
            self.tell_person(user_id).await?;
        }
        Ok(())
    }

    /// Forgets a key of a person that is no more signed by their master key.
    pub async fn remove_person_record(
        &mut self,
        user_id: &UserId,
        usage: Usage,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM person_keys WHERE user_id = $1 AND usage = $2";
        self.query(sql).bind(user_id.as_str()).bind(usage.as_str()).run().await.map(drop)
    }

    /// Keeps a signature over a key.
    pub async fn add_signature(&mut self, made: &Signature) -> Result<(), StoreError> {
        let sql = "INSERT INTO key_signatures (user_id, key_name, signer, signer_key, signature) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (user_id, key_name, signer, signer_key) \
                   DO UPDATE SET signature = excluded.signature";
        let query = self.query(sql).bind(made.user_id.as_str()).bind(made.key_name.as_str());
        let query = query.bind(made.signer.as_str()).bind(made.signer_key.as_str());
        query.bind(made.signature.as_str()).run().await.map(drop)
    }

    /// Forgets the signatures over a key that is no more what was signed.
    pub async fn forget_signatures(
        &mut self,
        user_id: &UserId,
        key_name: &str,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM key_signatures WHERE user_id = $1 AND key_name = $2";
        self.query(sql).bind(user_id.as_str()).bind(key_name).run().await.map(drop)
    }

    /// Lets those hear whom it concerns that somebody's keys changed: everybody who shares a room
    /// with them, or the one person who signed them.
    pub async fn note_key_change(
        &mut self,
        user_id: &UserId,
        seen_by: Option<&UserId>,
    ) -> Result<(), StoreError> {
        let position = self.next_number();
        let sql = "INSERT INTO key_changes (user_id, seen_by, position) VALUES ($1, $2, $3) \
                   ON CONFLICT (user_id, seen_by) DO UPDATE SET position = excluded.position";
        let seer = seen_by.map_or("", UserId::as_str);
        self.query(sql).bind(user_id.as_str()).bind(seer).bind(position).run().await?;
        let only = seen_by.map(ToOwned::to_owned);
        self.announce(Change::Keys { user_id: user_id.to_owned(), only, position });
        Ok(())
    }

    /// Forgets what a device published and what waits for it.
    pub(super) async fn forget_device(
        &mut self,
        user_id: &UserId,
        device_id: &str,
    ) -> Result<(), StoreError> {
        let published = "DELETE FROM device_keys WHERE user_id = $1 AND device_id = $2";
        let others = [
            "DELETE FROM one_time_keys WHERE user_id = $1 AND device_id = $2",
            "DELETE FROM fallback_keys WHERE user_id = $1 AND device_id = $2",
            "DELETE FROM letters WHERE user_id = $1 AND device_id = $2",
            "DELETE FROM key_signatures WHERE user_id = $1 AND key_name = $2",
        ];
        let had = self.query(published).bind(user_id.as_str()).bind(device_id).run().await? > 0;
        for sql in others {
            self.query(sql).bind(user_id.as_str()).bind(device_id).run().await?;
        }
        if had {
            self.note_key_change(user_id, None).await?;
            self.tell_device(user_id, device_id).await?;
        }
        Ok(())
    }
}

/// Whether a device may have further one-time keys.
pub async fn has_room_for_keys(
    from: &mut impl Reads,
    user_id: &UserId,
    device_id: &DeviceId,
) -> Result<bool, StoreError> {
    let sql = "SELECT number FROM one_time_keys WHERE user_id = $1 AND device_id = $2 LIMIT $3";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(device_id.as_str());
    let rows = query.bind(limits::ONE_TIME_KEYS_PER_DEVICE).all().await?;
    Ok(i64::try_from(rows.len()).is_ok_and(|count| count < limits::ONE_TIME_KEYS_PER_DEVICE))
}
