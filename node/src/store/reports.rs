//! What people reported to those who run the node.

use ruma::{OwnedUserId, UserId};

use super::{Reads, StoreError, Tx, db::Row};

/// Something that somebody found wrong.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its number.
    pub report_no: i64,
    /// Who reported it.
    pub reporter: OwnedUserId,
    /// The room it is about, if it is about one.
    pub room_id: Option<String>,
    /// The event, if it is about one.
    pub event_id: Option<String>,
    /// The person, if it is about one.
    pub user_id: Option<String>,
    /// Why, in the reporter's words.
    pub reason: String,
    /// When, in milliseconds since the epoch.
    pub reported_ms: i64,
}

/// Reports by their numbers, starting behind one.
pub async fn page(
    from: &mut impl Reads,
    behind: i64,
    limit: i64,
) -> Result<Vec<Report>, StoreError> {
    let sql = "SELECT report_no, reporter, room_id, event_id, user_id, reason, reported_ms FROM reports \
               WHERE report_no > $1 ORDER BY report_no LIMIT $2";
    let rows = from.conn().0.query(sql).bind(behind).bind(limit).all().await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Report, StoreError> {
    Ok(Report {
        report_no: row.get(0)?,
        reporter: row.parse(1)?,
        room_id: row.get(2)?,
        event_id: row.get(3)?,
        user_id: row.get(4)?,
        reason: row.get(5)?,
        reported_ms: row.get(6)?,
    })
}

/// How many reports somebody made since a time.
pub async fn count_since(
    from: &mut impl Reads,
    reporter: &UserId,
    since_ms: i64,
) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM reports WHERE reporter = $1 AND reported_ms > $2";
    let row = from.conn().0.query(sql).bind(reporter.as_str()).bind(since_ms).one().await?;
    row.ok_or(StoreError::Damaged("a count gave no row"))?.get(0)
}

impl Tx {
    /// Keeps a report, under a number of its own.
    pub async fn add_report(&mut self, report: &Report) -> Result<(), StoreError> {
        let number = self.next_number();
        let sql = "INSERT INTO reports (report_no, reporter, room_id, event_id, user_id, reason, reported_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        self.query(sql)
            .bind(number)
            .bind(report.reporter.as_str())
            .bind(report.room_id.as_deref())
            .bind(report.event_id.as_deref())
            .bind(report.user_id.as_deref())
            .bind(report.reason.as_str())
            .bind(report.reported_ms)
            .run()
            .await
            .map(drop)
    }
}
