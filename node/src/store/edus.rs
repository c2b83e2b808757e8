//! What waits for other servers beside events: messages to devices, and whose keys changed.

use ruma::{OwnedDeviceId, OwnedServerName, OwnedUserId, ServerName, UserId};
use wayside_federation::outbox::EDUS;
use wayside_specs::limits;

use super::{Reads, StoreError, Tx, behind::LOOK, bus::Change, db::Row};

/// Changes of one person's devices that wait for one server; beyond, the newest alone does, by which
/// the other notices that it must ask for all of them.
const CHANGES: i64 = 20;
/// Rows that are forgotten in one go.
const FORGOTTEN: i64 = 1_000;

/// Something that waits.
#[derive(Clone, Debug)]
pub struct WaitingEdu {
    /// Its place in the queue, among the events.
    pub position: i64,
    /// What it is about.
    pub about: About,
}

/// What is to be told.
#[derive(Clone, Debug)]
pub enum About {
    /// Messages to devices, as the content of an ephemeral data unit.
    Letters(String),
    /// A device whose keys changed, after the change of that number.
    Device(OwnedUserId, OwnedDeviceId, i64),
    /// A person whose keys changed.
    Person(OwnedUserId),
}

impl About {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let kind: String = row.get(1)?;
        Ok(match kind.as_str() {
            "letters" => Self::Letters(row.get(5)?),
            "device" => Self::Device(row.parse(2)?, row.get::<String>(3)?.into(), row.get(4)?),
            "person" => Self::Person(row.parse(2)?),
            _ => return Err(StoreError::Damaged("what waits for another server is of no kind")),
        })
    }
}

/// What waits first for a server beside events, as much as one transaction takes.
pub async fn waiting(
    from: &mut impl Reads,
    server: &ServerName,
) -> Result<Vec<WaitingEdu>, StoreError> {
    let sql = "SELECT position, kind, user_id, device_id, prev_position, body FROM outgoing_edus \
               WHERE server = $1 ORDER BY position LIMIT $2";
    let most = i64::try_from(EDUS).unwrap_or(i64::MAX);
    let rows = from.conn().0.query(sql).bind(server.as_str()).bind(most).all().await?;
    rows.iter()
        .map(|row| Ok(WaitingEdu { position: row.get(0)?, about: About::read(row)? }))
        .collect()
}

/// The number of the last change of somebody's list of devices; 0 before the first.
pub async fn device_stream(from: &mut impl Reads, user_id: &UserId) -> Result<i64, StoreError> {
    let sql = "SELECT stream_id FROM device_streams WHERE user_id = $1";
    let row = from.conn().0.query(sql).bind(user_id.as_str()).one().await?;
    row.map_or(Ok(0), |row| row.get(0))
}

/// The servers, but this one, that share a room with somebody who lives here.
pub async fn near_servers(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Vec<OwnedServerName>, StoreError> {
    let sql = "SELECT DISTINCT s.server FROM memberships m JOIN room_servers s ON s.room_no = m.room_no \
               WHERE m.user_id = $1 AND m.membership = 'join' AND s.joined > 0 AND s.server <> $2 \
               ORDER BY s.server LIMIT $3";
    let query = from.conn().0.query(sql).bind(user_id.as_str());
    let rows = query.bind(user_id.server_name().as_str()).bind(100_000_i64).all().await?;
    rows.iter().map(|row| row.parse(0)).collect()
}

/// When the oldest message came whose id is still known, in milliseconds since the epoch.
pub async fn oldest_letter(from: &mut impl Reads) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT received_ms FROM incoming_letters ORDER BY received_ms LIMIT 1";
    from.conn().0.query(sql).one().await?.map(|row| row.get(0)).transpose()
}

/// How many messages of somebody wait for a server.
#[cfg(test)]
pub(crate) async fn of_sender(
    from: &mut impl Reads,
    server: &ServerName,
    sender: &UserId,
) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM outgoing_edus WHERE server = $1 AND kind = 'letters' AND user_id = $2";
    let query = from.conn().0.query(sql).bind(server.as_str()).bind(sender.as_str());
    let row = query.one().await?;
    row.ok_or(StoreError::Damaged("a count gave no row"))?.get(0)
}

impl Tx {
    /// Lets messages of somebody wait for a server, as the content of an ephemeral data unit. Gives how
    /// many had to give way, the oldest first: of whoever leaves too many, and where all are too many.
    pub async fn send_letters(
        &mut self,
        server: &ServerName,
        sender: &UserId,
        content: &str,
    ) -> Result<u64, StoreError> {
        let position = self.next_number();
        let sql = "INSERT INTO outgoing_edus (server, position, kind, user_id, device_id, prev_position, body, \
                   bytes, nth) SELECT $1, $2, 'letters', $3, '', 0, $4, $5, 1 + COALESCE((SELECT o.nth \
                   FROM outgoing_edus o WHERE o.server = $1 AND o.kind = 'letters' \
                   ORDER BY o.position DESC LIMIT 1), 0) RETURNING nth";
        let query = self.query(sql).bind(server.as_str()).bind(position).bind(sender.as_str());
        let bytes = i64::try_from(content.len()).unwrap_or(i64::MAX);
        let row = query.bind(content).bind(bytes).one().await?;
        let nth: i64 = row.ok_or(StoreError::Damaged("what was added is not there"))?.get(0)?;
        self.announce(Change::Outgoing { servers: vec![server.to_owned()], position });
        if nth % LOOK == 0 { self.bound_letters(server).await } else { Ok(0) }
    }

    /// Lets the oldest messages for a server go, where there are too many.
    async fn bound_letters(&mut self, server: &ServerName) -> Result<u64, StoreError> {
        let sql = "SELECT user_id FROM outgoing_edus WHERE server = $1 AND kind = 'letters' \
                   GROUP BY user_id HAVING count(*) > $2 OR sum(bytes) > $3";
        let of_sender = (limits::LETTERS_OF_SENDER, limits::LETTER_BYTES_OF_SENDER);
        let query = self.query(sql).bind(server.as_str()).bind(of_sender.0).bind(of_sender.1);
        let mut gone = 0;
        for row in query.all().await? {
            let sender: String = row.get(0)?;
            gone += self.keep_newest(server, &sender, of_sender).await?;
        }
        let of_all = (limits::WAITING_LETTERS, limits::WAITING_LETTER_BYTES);
        Ok(gone + self.keep_newest(server, "", of_all).await?)
    }

    /// Keeps of the messages of somebody, or of all without a name, the newest: so many, of so many bytes.
    async fn keep_newest(
        &mut self,
        server: &ServerName,
        sender: &str,
        (most, bytes): (i64, i64),
    ) -> Result<u64, StoreError> {
        let sql = "SELECT position FROM (SELECT position, row_number() OVER (ORDER BY position DESC) AS nth, \
                   sum(bytes) OVER (ORDER BY position DESC) AS held FROM outgoing_edus WHERE server = $1 \
                   AND kind = 'letters' AND ($2 = '' OR user_id = $2)) AS newest \
                   WHERE nth > $3 OR held > $4 ORDER BY position DESC LIMIT 1";
        let query = self.query(sql).bind(server.as_str()).bind(sender).bind(most).bind(bytes);
        let Some(row) = query.one().await? else { return Ok(0) };
        let upto: i64 = row.get(0)?;
        let sql = "DELETE FROM outgoing_edus WHERE server = $1 AND kind = 'letters' \
                   AND ($2 = '' OR user_id = $2) AND position <= $3";
        self.query(sql).bind(server.as_str()).bind(sender).bind(upto).run().await
    }

    /// Lets the change of a device wait for every server that shares a room with its person.
    pub async fn tell_device(
        &mut self,
        user_id: &UserId,
        device_id: &str,
    ) -> Result<(), StoreError> {
        let (position, before) = (self.next_number(), device_stream(self, user_id).await?);
        let sql = "INSERT INTO device_streams (user_id, stream_id) VALUES ($1, $2) \
                   ON CONFLICT (user_id) DO UPDATE SET stream_id = excluded.stream_id";
        self.query(sql).bind(user_id.as_str()).bind(position).run().await?;
        let sql = "DELETE FROM outgoing_edus WHERE kind = 'device' AND user_id = $1 AND (device_id = $2 \
                   OR server IN (SELECT server FROM outgoing_edus WHERE kind = 'device' \
                   AND user_id = $1 GROUP BY server HAVING count(*) >= $3))";
        self.query(sql).bind(user_id.as_str()).bind(device_id).bind(CHANGES).run().await?;
        let sql = "INSERT INTO outgoing_edus (server, position, kind, user_id, device_id, prev_position, body) \
                   SELECT DISTINCT s.server, $3, 'device', $1, $4, $5, '' FROM memberships m \
                   JOIN room_servers s ON s.room_no = m.room_no WHERE m.user_id = $1 \
                   AND m.membership = 'join' AND s.joined > 0 AND s.server <> $2 RETURNING server";
        let query = self.query(sql).bind(user_id.as_str()).bind(user_id.server_name().as_str());
        let rows = query.bind(position).bind(device_id).bind(before).all().await?;
        self.announce_waiting(&rows, position)
    }

    /// Lets the change of a person's own keys wait for every server that shares a room with them.
    pub async fn tell_person(&mut self, user_id: &UserId) -> Result<(), StoreError> {
        let position = self.next_number();
        let sql = "DELETE FROM outgoing_edus WHERE kind = 'person' AND user_id = $1";
        self.query(sql).bind(user_id.as_str()).run().await?;
        let sql = "INSERT INTO outgoing_edus (server, position, kind, user_id, device_id, prev_position, body) \
                   SELECT DISTINCT s.server, $3, 'person', $1, '', 0, '' FROM memberships m \
                   JOIN room_servers s ON s.room_no = m.room_no WHERE m.user_id = $1 \
                   AND m.membership = 'join' AND s.joined > 0 AND s.server <> $2 RETURNING server";
        let query = self.query(sql).bind(user_id.as_str()).bind(user_id.server_name().as_str());
        let rows = query.bind(position).all().await?;
        self.announce_waiting(&rows, position)
    }

    /// Lets those servers hear of somebody's devices that share a room with them only now, by this one:
    /// a single change, behind those that they have not heard of, has them ask for all.
    pub async fn tell_list_in(&mut self, room_no: i64, user_id: &UserId) -> Result<(), StoreError> {
        let sql = "SELECT device_id FROM device_keys WHERE user_id = $1 ORDER BY device_id LIMIT 1";
        let Some(row) = self.query(sql).bind(user_id.as_str()).one().await? else { return Ok(()) };
        let device_id: String = row.get(0)?;
        let (position, before) = (self.next_number(), device_stream(self, user_id).await?);
        let sql = "INSERT INTO outgoing_edus (server, position, kind, user_id, device_id, prev_position, body) \
                   SELECT s.server, $4, 'device', $1, $5, $6, '' FROM room_servers s WHERE s.room_no = $3 \
                   AND s.joined > 0 AND s.server <> $2 AND NOT EXISTS (SELECT 1 FROM memberships m \
                   JOIN room_servers o ON o.room_no = m.room_no WHERE m.user_id = $1 \
                   AND m.membership = 'join' AND m.room_no <> $3 AND o.server = s.server \
                   AND o.joined > 0) RETURNING server";
        let query = self.query(sql).bind(user_id.as_str()).bind(user_id.server_name().as_str());
        let query = query.bind(room_no).bind(position).bind(device_id.as_str()).bind(before);
        let rows = query.all().await?;
        if rows.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO device_streams (user_id, stream_id) VALUES ($1, $2) \
                   ON CONFLICT (user_id) DO UPDATE SET stream_id = excluded.stream_id";
        self.query(sql).bind(user_id.as_str()).bind(position).run().await?;
        self.announce_waiting(&rows, position)
    }

    fn announce_waiting(&mut self, rows: &[Row], position: i64) -> Result<(), StoreError> {
        let servers = rows.iter().map(|row| row.parse(0)).collect::<Result<Vec<_>, _>>()?;
        if !servers.is_empty() {
            self.announce(Change::Outgoing { servers, position });
        }
        Ok(())
    }

    /// Whether a message of another server, named by it, was left before.
    pub async fn is_left(
        &mut self,
        server: &ServerName,
        message_id: &str,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT received_ms FROM incoming_letters WHERE server = $1 AND message_id = $2";
        Ok(self.query(sql).bind(server.as_str()).bind(message_id).one().await?.is_some())
    }

    /// Remembers that a message of another server was left.
    pub async fn remember_left(
        &mut self,
        server: &ServerName,
        message_id: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO incoming_letters (server, message_id, received_ms) VALUES ($1, $2, $3) \
                   ON CONFLICT DO NOTHING";
        let query = self.query(sql).bind(server.as_str()).bind(message_id);
        query.bind(now_ms).run().await.map(drop)
    }

    /// Forgets the older ids of messages of a server, beyond so many.
    pub async fn bound_left(&mut self, server: &ServerName, most: i64) -> Result<(), StoreError> {
        let sql = "DELETE FROM incoming_letters WHERE server = $1 AND received_ms < (SELECT min(received_ms) \
                   FROM (SELECT received_ms FROM incoming_letters WHERE server = $1 \
                   ORDER BY received_ms DESC LIMIT $2) AS newest)";
        self.query(sql).bind(server.as_str()).bind(most).run().await.map(drop)
    }

    /// Forgets some of the ids of messages of before a time.
    pub async fn forget_letter_ids(&mut self, before_ms: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM incoming_letters WHERE received_ms < $1 AND received_ms <= (SELECT \
                   max(received_ms) FROM (SELECT received_ms FROM incoming_letters \
                   ORDER BY received_ms LIMIT $2) AS oldest)";
        self.query(sql).bind(before_ms).bind(FORGOTTEN).run().await
    }
}
