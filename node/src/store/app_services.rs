//! What waits for application services, and since when each is known.

use super::{Reads, StoreError, Tx};

/// A transaction that a service has been offered, and that stays as it is until it has taken it.
#[derive(Clone, Debug)]
pub struct Sending {
    /// Its id: no other transaction of this node has it.
    pub txn_no: i64,
    /// The last event in it.
    pub upto: i64,
    /// The body, as it is sent.
    pub body: String,
}

/// Since when the oldest of the services is known, as a position; 0 where there is none.
pub async fn oldest(from: &mut impl Reads) -> Result<i64, StoreError> {
    let sql = "SELECT coalesce(min(since), 0) FROM app_services";
    let row = from.conn().0.query(sql).one().await?;
    row.ok_or(StoreError::Damaged("a minimum gave no row"))?.get(0)
}

/// The transaction that a service has not taken yet.
pub async fn sending(from: &mut impl Reads, service: &str) -> Result<Option<Sending>, StoreError> {
    let sql = "SELECT txn_no, upto, body FROM app_services WHERE service = $1 AND body IS NOT NULL";
    let row = from.conn().0.query(sql).bind(service).one().await?;
    row.map(|row| Ok(Sending { txn_no: row.get(0)?, upto: row.get(1)?, body: row.get(2)? }))
        .transpose()
}

/// The oldest events that wait for a service, by their numbers.
pub async fn queued(
    from: &mut impl Reads,
    service: &str,
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    let sql =
        "SELECT event_no FROM app_service_events WHERE service = $1 ORDER BY event_no LIMIT $2";
    let rows = from.conn().0.query(sql).bind(service).bind(limit).all().await?;
    rows.iter().map(|row| row.get(0)).collect()
}

impl Tx {
    /// Knows these services and no others: what waited for the others is dropped, and what was said
    /// before is not for those that are new.
    pub async fn keep_app_services(&mut self, known: &[&str]) -> Result<(), StoreError> {
        let rows = self.query("SELECT service FROM app_services LIMIT 10000").all().await?;
        let mut before: Vec<String> = Vec::new();
        for row in &rows {
            before.push(row.get(0)?);
        }
        for gone in before.iter().filter(|service| !known.contains(&service.as_str())) {
            for sql in [
                "DELETE FROM app_service_events WHERE service = $1",
                "DELETE FROM app_services WHERE service = $1",
            ] {
                self.query(sql).bind(gone.as_str()).run().await?;
            }
        }
        for new in known.iter().filter(|service| !before.iter().any(|it| it == *service)) {
            let sql = "INSERT INTO app_services (service, since) VALUES ($1, $2)";
            let since = self.next_number();
            self.query(sql).bind(*new).bind(since).run().await?;
        }
        Ok(())
    }

    /// Has an event wait for a service, unless it was said before the service was known.
    pub async fn queue_event(&mut self, service: &str, event_no: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO app_service_events (service, event_no) \
                   SELECT service, $2 FROM app_services WHERE service = $1 AND since < $2 \
                   ON CONFLICT (service, event_no) DO NOTHING";
        self.query(sql).bind(service).bind(event_no).run().await.map(drop)
    }

    /// Drops the oldest of what waits for a service, beyond so many; gives how many were dropped.
    pub async fn trim_queue(&mut self, service: &str, most: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM app_service_events WHERE service = $1 AND event_no <= \
                   (SELECT event_no FROM app_service_events WHERE service = $1 \
                   ORDER BY event_no DESC LIMIT 1 OFFSET $2)";
        self.query(sql).bind(service).bind(most).run().await
    }

    /// Offers a service a transaction with the events up to one.
    pub async fn begin_sending(
        &mut self,
        service: &str,
        upto: i64,
        body: String,
    ) -> Result<Sending, StoreError> {
        let txn_no = self.next_number();
        let sql = "UPDATE app_services SET txn_no = $2, upto = $3, body = $4 WHERE service = $1";
        let query = self.query(sql).bind(service).bind(txn_no).bind(upto);
        query.bind(body.as_str()).run().await?;
        Ok(Sending { txn_no, upto, body })
    }

    /// Notes that a service has taken what it was offered.
    pub async fn end_sending(&mut self, service: &str, upto: i64) -> Result<(), StoreError> {
        let sql = "DELETE FROM app_service_events WHERE service = $1 AND event_no <= $2";
        self.query(sql).bind(service).bind(upto).run().await?;
        let sql = "UPDATE app_services SET body = NULL WHERE service = $1";
        self.query(sql).bind(service).run().await.map(drop)
    }
}
