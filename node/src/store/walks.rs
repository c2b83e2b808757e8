//! Duties that walk through all events by their numbers, and how far each has come.

use super::{Reads, StoreError, Tx};

/// How far a duty has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The number of the last event that it has seen to.
    pub reached: i64,
    /// The number of the last event that it has to see to, if it ends.
    pub goal: Option<i64>,
}

/// How far the duty of that name has come.
pub async fn walk(from: &mut impl Reads, name: &str) -> Result<Walk, StoreError> {
    let sql = "SELECT reached, goal FROM walks WHERE name = $1";
    let row = from.conn().0.query(sql).bind(name).one().await?;
    let row = row.ok_or(StoreError::Damaged("a duty has no place from which it goes on"))?;
    Ok(Walk { reached: row.get(0)?, goal: row.get(1)? })
}

impl Tx {
    /// Notes how far a duty has come.
    pub async fn walk_on(&mut self, name: &str, reached: i64) -> Result<(), StoreError> {
        let sql = "UPDATE walks SET reached = $2 WHERE name = $1 AND reached < $2";
        self.query(sql).bind(name).bind(reached).run().await.map(drop)
    }

    /// Makes the store what a migration finds: nothing kept beside the events, and every walk ahead.
    #[cfg(test)]
    pub(crate) async fn forget_walks(&mut self) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM relations",
            "DELETE FROM names",
            "DELETE FROM auth_edges",
            "UPDATE rooms SET open = 0",
            "UPDATE walks SET reached = 0, goal = (SELECT max(event_no) FROM events) WHERE goal IS NOT NULL",
        ] {
            self.query(sql).run().await?;
        }
        Ok(())
    }
}
