//! How many events people were told of and have not read, as it stood when it was last written down.

use std::collections::HashMap;

use ruma::{OwnedUserId, UserId};
use serde_json::{Value, json};

use super::{
    Reads, StoreError, Tx,
    db::{LIST_MOST, Row},
    dialect,
};

/// What somebody has not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Events that they were told of.
    pub notified: i64,
    /// Those among them that stand out.
    pub highlighted: i64,
}

/// By thread; the empty text stands for what belongs to none.
pub type Threads = HashMap<String, Count>;

/// Rows of one question; whoever asks for all goes on behind the last.
const PAGE: i64 = 5_000;

/// Up to where in the stream unread events were counted.
pub async fn counted(from: &mut impl Reads) -> Result<i64, StoreError> {
    let sql = "SELECT value FROM counters WHERE name = 'counted'";
    let row = from.conn().0.query(sql).one().await?;
    row.ok_or(StoreError::Damaged("the counter of unread events is missing"))?.get(0)
}

/// What everybody has not read of a room.
pub async fn of_room(
    from: &mut impl Reads,
    room_no: i64,
) -> Result<HashMap<OwnedUserId, Threads>, StoreError> {
    let sql = "SELECT user_id, thread, notified, highlighted FROM unread WHERE room_no = $1 \
               AND (user_id > $2 OR (user_id = $2 AND thread > $3)) ORDER BY user_id, thread LIMIT $4";
    let mut found: HashMap<OwnedUserId, Threads> = HashMap::new();
    let mut behind = (String::new(), String::new());
    loop {
        let query = from.conn().0.query(sql).bind(room_no);
        let query = query.bind(behind.0.as_str()).bind(behind.1.as_str());
        let rows = query.bind(PAGE).all().await?;
        for row in &rows {
            behind = (row.get(0)?, row.get(1)?);
            let of_person = found.entry(row.parse(0)?).or_default();
            of_person.insert(behind.1.clone(), read(row, 2)?);
        }
        if i64::try_from(rows.len()).is_ok_and(|count| count < PAGE) {
            return Ok(found);
        }
    }
}

/// What somebody has not read of these rooms.
pub async fn of_person(
    from: &mut impl Reads,
    user_id: &UserId,
    rooms: &[i64],
) -> Result<HashMap<i64, Threads>, StoreError> {
    let sql = "SELECT room_no, thread, notified, highlighted FROM unread \
               WHERE user_id = $1 AND room_no IN (LIST)";
    let mut found: HashMap<i64, Threads> = HashMap::new();
    for chunk in rooms.chunks(LIST_MOST) {
        for row in from.conn().0.query(sql).bind(user_id.as_str()).list(chunk).all().await? {
            found.entry(row.get(0)?).or_default().insert(row.get(1)?, read(&row, 2)?);
        }
    }
    Ok(found)
}

/// How many events somebody was told of and has not read, by room.
pub async fn sums_of_person(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<HashMap<i64, i64>, StoreError> {
    let sql = "SELECT room_no, CAST(SUM(notified) AS BIGINT) FROM unread \
               WHERE user_id = $1 AND room_no > $2 GROUP BY room_no ORDER BY room_no LIMIT $3";
    let mut found = HashMap::new();
    let mut behind = i64::MIN;
    loop {
        let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(behind);
        let rows = query.bind(PAGE).all().await?;
        for row in &rows {
            behind = row.get(0)?;
            found.insert(behind, row.get(1)?);
        }
        if i64::try_from(rows.len()).is_ok_and(|count| count < PAGE) {
            return Ok(found);
        }
    }
}

fn read(row: &Row, at: usize) -> Result<Count, StoreError> {
    Ok(Count { notified: row.get(at)?, highlighted: row.get(at + 1)? })
}

/// Who moved a receipt after a position, and in which room. It looks through all receipts.
pub async fn receipts_moved(
    from: &mut impl Reads,
    after: i64,
) -> Result<Vec<(i64, OwnedUserId)>, StoreError> {
    let sql = "SELECT DISTINCT room_no, user_id FROM receipts WHERE position > $1 \
               AND (room_no > $2 OR (room_no = $2 AND user_id > $3)) ORDER BY room_no, user_id LIMIT $4";
    let mut found: Vec<(i64, OwnedUserId)> = Vec::new();
    loop {
        let (room_no, user) = found.last().map_or((0, ""), |(room, user)| (*room, user.as_str()));
        let query = from.conn().0.query(sql).bind(after).bind(room_no).bind(user);
        let rows = query.bind(PAGE).all().await?;
        for row in &rows {
            found.push((row.get(0)?, row.parse(1)?));
        }
        if i64::try_from(rows.len()).is_ok_and(|count| count < PAGE) {
            return Ok(found);
        }
    }
}

impl Tx {
    /// Writes down what people have not read of a room, in place of what stood there.
    pub async fn set_unread(
        &mut self,
        room_no: i64,
        people: &[(OwnedUserId, Threads)],
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM unread WHERE room_no = $1 AND user_id IN (LIST)";
        for some in people.chunks(LIST_MOST) {
            let whose: Vec<&str> = some.iter().map(|(user_id, _)| user_id.as_str()).collect();
            self.query(sql).bind(room_no).list(&whose).run().await?;
        }
        let counts = people.iter().flat_map(|(user_id, threads)| {
            threads.iter().map(move |(thread, count)| {
                json!([user_id, thread, count.notified, count.highlighted])
            })
        });
        let counts: Value = counts.collect();
        let sql = dialect::add_unread(self.conn.is_postgres());
        self.query(sql).bind(counts.to_string()).bind(room_no).run().await.map(drop)
    }

    /// Notes up to where unread events were counted.
    pub async fn set_counted(&mut self, position: i64) -> Result<(), StoreError> {
        let sql = "UPDATE counters SET value = $1 WHERE name = 'counted' AND value < $1";
        self.query(sql).bind(position).run().await.map(drop)
    }
}
