//! Bodies that people of other nodes wear here, looked into once and kept while they are seen.

use super::{Reads, StoreError, Tx};

/// A body that somebody brought along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroughtRow {
    /// The form in which it is shown; none where it cannot be worn.
    pub blob: Option<[u8; 32]>,
    /// What its file says that its author allows, as JSON.
    pub licence: String,
    /// When it was seen last, in milliseconds since 1970.
    pub used_ms: i64,
}

/// The body that a home names by that hash, if it was looked into before.
pub async fn brought(
    from: &mut impl Reads,
    source: &[u8; 32],
) -> Result<Option<BroughtRow>, StoreError> {
    let sql = "SELECT blob, licence, used_ms FROM brought_bodies WHERE source = $1";
    let row = from.conn().0.query(sql).bind(source.as_slice()).one().await?;
    let read = |row: super::db::Row| {
        Ok(BroughtRow { blob: row.maybe_array(0)?, licence: row.get(1)?, used_ms: row.get(2)? })
    };
    row.map(read).transpose()
}

/// How many bytes all of them take, and how many there are.
pub async fn size(from: &mut impl Reads) -> Result<(i64, i64), StoreError> {
    let sql = "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT), COUNT(*) FROM brought_bodies";
    let row = from.conn().0.query(sql).one().await?;
    row.map_or(Ok((0, 0)), |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Whether somebody brought a body that is kept as this file.
pub async fn is_brought(from: &mut impl Reads, blob: &[u8; 32]) -> Result<bool, StoreError> {
    let sql = "SELECT source FROM brought_bodies WHERE blob = $1 LIMIT 1";
    Ok(from.conn().0.query(sql).bind(blob.as_slice()).one().await?.is_some())
}

impl Tx {
    /// Keeps what was found of a body that a home names by that hash.
    pub async fn keep_brought(
        &mut self,
        source: &[u8; 32],
        size: i64,
        row: &BroughtRow,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO brought_bodies (source, blob, size, licence, used_ms) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (source) DO UPDATE SET \
                   blob = EXCLUDED.blob, size = EXCLUDED.size, licence = EXCLUDED.licence, \
                   used_ms = EXCLUDED.used_ms";
        let query = self.query(sql).bind(source.as_slice());
        let query = query.bind(row.blob.map(|blob| blob.to_vec())).bind(size);
        query.bind(row.licence.as_str()).bind(row.used_ms).run().await.map(drop)
    }

    /// Notes that a body was seen.
    pub async fn see_brought(&mut self, source: &[u8; 32], now_ms: i64) -> Result<(), StoreError> {
        let sql = "UPDATE brought_bodies SET used_ms = $2 WHERE source = $1";
        self.query(sql).bind(source.as_slice()).bind(now_ms).run().await.map(drop)
    }

    /// Forgets so many of those that were seen least lately, and gives the forms in which they were shown.
    pub async fn forget_least_brought(&mut self, most: i64) -> Result<Vec<[u8; 32]>, StoreError> {
        let sql = "SELECT source, blob FROM brought_bodies ORDER BY used_ms, source LIMIT $1";
        let mut away = Vec::new();
        for row in self.query(sql).bind(most).all().await? {
            let (source, blob): ([u8; 32], Option<[u8; 32]>) = (row.array(0)?, row.maybe_array(1)?);
            let sql = "DELETE FROM brought_bodies WHERE source = $1";
            self.query(sql).bind(source.as_slice()).run().await?;
            if let Some(blob) = blob {
                self.remove_left_asset(&blob).await?;
                away.push(blob);
            }
        }
        Ok(away)
    }
}
