//! Transactions: the events that wait for other servers, and what of theirs was answered.

use ruma::{OwnedEventId, OwnedServerName, ServerName};
use wayside_federation::{
    outbox::{Item, PDUS, Waiting},
    state::EventNo,
};

use super::{Reads, StoreError, Tx, behind::LOOK, bus::Change, db::Row};

/// Servers that are read in one go.
const PAGE: i64 = 1_000;
/// Answers that are forgotten in one go.
const FORGOTTEN: i64 = 1_000;

/// The events that wait first for a server, as many as one transaction takes.
pub async fn waiting(
    from: &mut impl Reads,
    server: &ServerName,
) -> Result<Vec<Waiting>, StoreError> {
    let sql = "SELECT o.position, COALESCE(o.pdu, e.pdu) FROM outgoing_events o \
               LEFT JOIN events e ON e.event_no = o.event_no WHERE o.server = $1 \
               AND COALESCE(o.pdu, e.pdu) IS NOT NULL ORDER BY o.position LIMIT $2";
    let most = i64::try_from(PDUS).unwrap_or(i64::MAX);
    let rows = from.conn().0.query(sql).bind(server.as_str()).bind(most).all().await?;
    let waiting = |row: &Row| Ok(Waiting { position: row.get(0)?, item: Item::Pdu(row.get(1)?) });
    rows.iter().map(waiting).collect()
}

/// The event that waits for a server at a place in its queue, if it is one and still here.
pub async fn event_at(
    from: &mut impl Reads,
    server: &ServerName,
    position: i64,
) -> Result<Option<OwnedEventId>, StoreError> {
    let sql = "SELECT e.event_id FROM outgoing_events o JOIN events e ON e.event_no = o.event_no \
               WHERE o.server = $1 AND o.position = $2 LIMIT 1";
    let row = from.conn().0.query(sql).bind(server.as_str()).bind(position).one().await?;
    row.map(|row| row.parse(0)).transpose()
}

/// The servers for which something waits, by name, behind one.
pub async fn awaiting(
    from: &mut impl Reads,
    behind: &str,
) -> Result<Vec<OwnedServerName>, StoreError> {
    let sql = "SELECT server FROM outgoing_events WHERE server > $1 UNION SELECT server FROM outgoing_rooms \
               WHERE server > $1 UNION SELECT server FROM outgoing_edus WHERE server > $1 \
               ORDER BY server LIMIT $2";
    let rows = from.conn().0.query(sql).bind(behind).bind(PAGE).all().await?;
    rows.iter().map(|row| row.parse(0)).collect()
}

/// How a transaction of a server was answered, if it was.
pub async fn answered(
    from: &mut impl Reads,
    server: &ServerName,
    txn_id: &str,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT answer FROM incoming WHERE server = $1 AND txn_id = $2";
    let row = from.conn().0.query(sql).bind(server.as_str()).bind(txn_id).one().await?;
    row.map(|row| row.get(0)).transpose()
}

/// When the oldest answer was given that is still known, in milliseconds since the epoch.
pub async fn oldest_answer(from: &mut impl Reads) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT answered_ms FROM incoming ORDER BY answered_ms LIMIT 1";
    from.conn().0.query(sql).one().await?.map(|row| row.get(0)).transpose()
}

impl Tx {
    /// Lets an event wait for every server that is in a room now, but this one's own.
    pub async fn tell_servers(
        &mut self,
        room_no: i64,
        event_no: EventNo,
        own: &ServerName,
    ) -> Result<(), StoreError> {
        let position = self.next_number();
        let sql = "UPDATE outgoing_rooms SET event_no = $3, position = $4 WHERE room_no = $1 AND server IN \
                   (SELECT server FROM room_servers WHERE room_no = $1 AND joined > 0 AND server <> $2) \
                   RETURNING server";
        let query = self.query(sql).bind(room_no).bind(own.as_str());
        let behind = query.bind(event_no.0).bind(position).all().await?;
        let sql = "INSERT INTO outgoing_events (server, position, room_no, event_no, nth) \
                   SELECT s.server, $4, $1, $3, 1 + COALESCE((SELECT o.nth FROM outgoing_events o \
                   WHERE o.server = s.server ORDER BY o.position DESC LIMIT 1), 0) FROM room_servers s \
                   WHERE s.room_no = $1 AND s.joined > 0 AND s.server <> $2 AND NOT EXISTS \
                   (SELECT 1 FROM outgoing_rooms r WHERE r.room_no = $1 AND r.server = s.server) \
                   ON CONFLICT DO NOTHING RETURNING server, nth";
        let query = self.query(sql).bind(room_no).bind(own.as_str());
        let added = query.bind(event_no.0).bind(position).all().await?;
        let servers = behind.iter().chain(&added).map(|row| row.parse(0));
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        self.look_after(&added).await?;
        if !servers.is_empty() {
            self.announce(Change::Outgoing { servers, position });
        }
        Ok(())
    }

    /// Lets an event of a room wait for one server.
    pub async fn tell_server(
        &mut self,
        server: &ServerName,
        room_no: i64,
        event_no: EventNo,
    ) -> Result<(), StoreError> {
        let position = self.next_number();
        let sql = "UPDATE outgoing_rooms SET event_no = $3, position = $4 WHERE room_no = $1 AND server = $2";
        let query = self.query(sql).bind(room_no).bind(server.as_str());
        if query.bind(event_no.0).bind(position).run().await? == 0 {
            let sql = "INSERT INTO outgoing_events (server, position, room_no, event_no, nth) \
                       SELECT $2, $4, $1, $3, 1 + COALESCE((SELECT o.nth FROM outgoing_events o \
                       WHERE o.server = $2 ORDER BY o.position DESC LIMIT 1), 0) WHERE 1 = 1 \
                       ON CONFLICT DO NOTHING RETURNING server, nth";
            let query = self.query(sql).bind(room_no).bind(server.as_str());
            let added = query.bind(event_no.0).bind(position).all().await?;
            self.look_after(&added).await?;
        }
        self.announce(Change::Outgoing { servers: vec![server.to_owned()], position });
        Ok(())
    }

    /// Keeps an event of a room that is deleted here for those for whom it waits, if it says that somebody
    /// is in the room no more; what was said in it is told to nobody any more.
    pub(super) async fn keep_waiting(&mut self, event_no: EventNo) -> Result<(), StoreError> {
        let sql = "UPDATE outgoing_events SET pdu = (SELECT e.pdu FROM events e WHERE e.event_no = $1 \
                   AND e.kind = 'm.room.member') WHERE event_no = $1";
        self.query(sql).bind(event_no.0).run().await.map(drop)
    }

    /// Looks at the queues of servers for which something was added, each once in a while.
    async fn look_after(&mut self, added: &[Row]) -> Result<(), StoreError> {
        for row in added {
            if row.get::<i64>(1)? % LOOK == 0 {
                let server: OwnedServerName = row.parse(0)?;
                self.bound_events(&server).await?;
            }
        }
        Ok(())
    }

    /// Lets go of what a server has answered, up to a place in the queue: all that waited so far was in the
    /// transaction, for what comes is put at the end.
    pub async fn delivered(&mut self, server: &ServerName, upto: i64) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM outgoing_events WHERE server = $1 AND position <= $2",
            "DELETE FROM outgoing_edus WHERE server = $1 AND position <= $2",
        ] {
            self.query(sql).bind(server.as_str()).bind(upto).run().await?;
        }
        Ok(())
    }

    /// Remembers how a transaction of a server was answered.
    pub async fn remember_answer(
        &mut self,
        server: &ServerName,
        txn_id: &str,
        answer: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO incoming (server, txn_id, answer, answered_ms) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT DO NOTHING";
        let query = self.query(sql).bind(server.as_str()).bind(txn_id);
        query.bind(answer).bind(now_ms).run().await.map(drop)
    }

    /// Forgets the older answers to a server, beyond so many.
    pub async fn bound_answers(
        &mut self,
        server: &ServerName,
        most: i64,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM incoming WHERE server = $1 AND answered_ms < (SELECT min(answered_ms) FROM \
                   (SELECT answered_ms FROM incoming WHERE server = $1 ORDER BY answered_ms DESC LIMIT $2) \
                   AS newest)";
        self.query(sql).bind(server.as_str()).bind(most).run().await.map(drop)
    }

    /// Forgets some of the answers of before a time.
    pub async fn forget_answers(&mut self, before_ms: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM incoming WHERE answered_ms < $1 AND answered_ms <= (SELECT max(answered_ms) FROM \
                   (SELECT answered_ms FROM incoming ORDER BY answered_ms LIMIT $2) AS oldest)";
        self.query(sql).bind(before_ms).bind(FORGOTTEN).run().await
    }
}
