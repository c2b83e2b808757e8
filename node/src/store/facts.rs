//! The counter of the stream, and what makes this node itself.

use super::{
    Reads, Snapshot, StoreError, Tx,
    db::{Conn, Row},
    dialect,
};

/// Reads where the stream stands.
macro_rules! position {
    () => {
        "SELECT value FROM counters WHERE name = 'position'"
    };
}

pub(super) async fn position(conn: &mut Conn) -> Result<i64, StoreError> {
    told(conn.query(position!()).one().await?)
}

/// Begins a transaction in which nobody else writes, and reads where the stream stands.
pub(super) async fn begin(conn: &mut Conn) -> Result<i64, StoreError> {
    let sql = if conn.is_postgres() {
        concat!("BEGIN; ", dialect::lock_writers!(), "; ", position!())
    } else {
        concat!("BEGIN IMMEDIATE; ", position!())
    };
    // The last statement gives the last row.
    told(conn.batch_for(sql).await?.pop())
}

/// Writes down where the stream stands, and commits.
pub(super) async fn commit(conn: &mut Conn, position: i64) -> Result<(), StoreError> {
    let set = format!("UPDATE counters SET value = {position} WHERE name = 'position'; COMMIT");
    conn.batch(set).await
}

fn told(row: Option<Row>) -> Result<i64, StoreError> {
    row.ok_or(StoreError::Damaged("the stream's counter is missing"))?.get(0)
}

impl Snapshot {
    /// A fact of this node by name, such as its signing key.
    pub async fn node_fact(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        read(self, name).await
    }
}

impl Tx {
    /// A fact of this node; `value` becomes it if there is none yet. Facts of a node never change.
    pub async fn settle_node_fact(
        &mut self,
        name: &str,
        value: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        if let Some(settled) = read(self, name).await? {
            return Ok(settled);
        }
        self.query("INSERT INTO node_facts (name, value) VALUES ($1, $2)")
            .bind(name)
            .bind(value)
            .run()
            .await?;
        Ok(value.to_vec())
    }
}

async fn read(from: &mut impl Reads, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let row = from
        .conn()
        .0
        .query("SELECT value FROM node_facts WHERE name = $1")
        .bind(name)
        .one()
        .await?;
    row.map(|row| row.get(0)).transpose()
}
