//! The counter of the stream, and what makes this node itself.

use super::{Reads, Snapshot, StoreError, Tx, db::Conn};

pub(super) async fn position(conn: &mut Conn) -> Result<i64, StoreError> {
    let row = conn.query("SELECT value FROM counters WHERE name = 'position'").one().await?;
    row.ok_or(StoreError::Damaged("the stream's counter is missing"))?.get(0)
}

pub(super) async fn set_position(conn: &mut Conn, position: i64) -> Result<(), StoreError> {
    conn.query("UPDATE counters SET value = $1 WHERE name = 'position'")
        .bind(position)
        .run()
        .await
        .map(drop)
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
