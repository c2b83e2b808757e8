//! Transactions: the events that wait for other servers, and what of theirs was answered.

use ruma::{OwnedServerName, ServerName};
use wayside_federation::{
    outbox::{Item, PDUS, Waiting},
    state::EventNo,
};

use super::{Reads, StoreError, Tx, bus::Change, db::Row};

/// Servers that are read in one go.
const PAGE: i64 = 1_000;
/// Answers that are forgotten in one go.
const FORGOTTEN: i64 = 1_000;

/// The events that wait first for a server, as many as one transaction takes.
pub async fn waiting(
    from: &mut impl Reads,
    server: &ServerName,
) -> Result<Vec<Waiting>, StoreError> {
    // An event that was let go of meanwhile is told to nobody any more.
    let sql = "SELECT e.event_no, e.pdu FROM outgoing o JOIN events e ON e.event_no = o.event_no \
               WHERE o.server = $1 ORDER BY o.event_no LIMIT $2";
    let most = i64::try_from(PDUS).unwrap_or(i64::MAX);
    let rows = from.conn().0.query(sql).bind(server.as_str()).bind(most).all().await?;
    let waiting = |row: &Row| Ok(Waiting { position: row.get(0)?, item: Item::Pdu(row.get(1)?) });
    rows.iter().map(waiting).collect()
}

/// The servers for which something waits, by name, behind one.
pub async fn awaiting(
    from: &mut impl Reads,
    behind: &str,
) -> Result<Vec<OwnedServerName>, StoreError> {
    let sql = "SELECT server FROM outgoing WHERE server > $1 UNION SELECT server FROM outgoing_edus \
               WHERE server > $1 ORDER BY server LIMIT $2";
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
        let sql = "INSERT INTO outgoing (server, event_no) \
                   SELECT server, $3 FROM room_servers WHERE room_no = $1 AND joined > 0 AND server <> $2 \
                   ON CONFLICT DO NOTHING RETURNING server";
        let query = self.query(sql).bind(room_no).bind(own.as_str()).bind(event_no.0);
        let rows = query.all().await?;
        let servers = rows.iter().map(|row| row.parse(0)).collect::<Result<Vec<_>, _>>()?;
        if !servers.is_empty() {
            self.announce(Change::Outgoing { servers, position: event_no.0 });
        }
        Ok(())
    }

    /// Lets an event wait for one server.
    pub async fn tell_server(
        &mut self,
        server: &ServerName,
        event_no: EventNo,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO outgoing (server, event_no) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.query(sql).bind(server.as_str()).bind(event_no.0).run().await?;
        self.announce(Change::Outgoing { servers: vec![server.to_owned()], position: event_no.0 });
        Ok(())
    }

    /// Lets go of what a server has answered, up to a place in the queue.
    pub async fn delivered(&mut self, server: &ServerName, upto: i64) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM outgoing WHERE server = $1 AND event_no <= $2",
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

    /// Forgets some of the answers of before a time.
    pub async fn forget_answers(&mut self, before_ms: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM incoming WHERE answered_ms < $1 AND answered_ms <= (SELECT max(answered_ms) FROM \
                   (SELECT answered_ms FROM incoming ORDER BY answered_ms LIMIT $2) AS oldest)";
        self.query(sql).bind(before_ms).bind(FORGOTTEN).run().await
    }
}
