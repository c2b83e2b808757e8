//! With which identity servers people have bound addresses through this node, so that it can be taken back.

use ruma::{OwnedServerName, UserId};

use super::{Reads, StoreError, Tx, db::Row};

/// An address that an identity server holds to be somebody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The identity server.
    pub id_server: OwnedServerName,
    /// The network of the address.
    pub medium: String,
    /// The address.
    pub address: String,
}

/// What somebody has bound; at most `limit`.
pub async fn of_person(
    from: &mut impl Reads,
    user_id: &UserId,
    limit: i64,
) -> Result<Vec<Binding>, StoreError> {
    let sql = "SELECT id_server, medium, address FROM bindings WHERE user_id = $1 \
               ORDER BY id_server, medium, address LIMIT $2";
    let rows = from.conn().0.query(sql).bind(user_id.as_str()).bind(limit).all().await?;
    let read = |row: &Row| {
        let id_server = row.parse(0)?;
        Ok(Binding { id_server, medium: row.get(1)?, address: row.get(2)? })
    };
    rows.iter().map(read).collect()
}

impl Tx {
    /// Keeps that somebody has bound an address.
    pub async fn keep_binding(
        &mut self,
        user_id: &UserId,
        binding: &Binding,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO bindings (user_id, id_server, medium, address) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let Binding { id_server, medium, address } = binding;
        let query = self.query(sql).bind(user_id.as_str()).bind(id_server.as_str());
        query.bind(medium.as_str()).bind(address.as_str()).run().await.map(drop)
    }

    /// Forgets it.
    pub async fn forget_binding(
        &mut self,
        user_id: &UserId,
        binding: &Binding,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM bindings \
                   WHERE user_id = $1 AND id_server = $2 AND medium = $3 AND address = $4";
        let Binding { id_server, medium, address } = binding;
        let query = self.query(sql).bind(user_id.as_str()).bind(id_server.as_str());
        query.bind(medium.as_str()).bind(address.as_str()).run().await.map(drop)
    }
}
