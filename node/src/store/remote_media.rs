//! Copies of other servers' files, and which files nobody is to have; the bytes are blobs.

use ruma::{ServerName, UserId};

use super::{Reads, StoreError, Tx, media::MediaRow};

/// A copy, and when it was used last.
#[derive(Clone, Debug)]
pub struct RemoteRow {
    /// The file.
    pub media: MediaRow,
    /// When somebody had it, in milliseconds since the epoch; it is noted now and then.
    pub used_ms: i64,
}

/// The copy of a file of another server.
pub async fn copy(
    from: &mut impl Reads,
    server: &ServerName,
    media_id: &str,
) -> Result<Option<RemoteRow>, StoreError> {
    let sql = "SELECT blob, size, content_type, file_name, used_ms FROM remote_media \
               WHERE server = $1 AND media_id = $2";
    let row = from.conn().0.query(sql).bind(server.as_str()).bind(media_id).one().await?;
    row.map(|row| {
        let (blob, size) = (row.array(0)?, row.get(1)?);
        let media = MediaRow { blob, size, content_type: row.get(2)?, file_name: row.get(3)? };
        Ok(RemoteRow { media, used_ms: row.get(4)? })
    })
    .transpose()
}

/// How many bytes all copies take, and those of them that were used least lately: server, id, blob, size.
pub async fn least_used(
    from: &mut impl Reads,
    limit: i64,
) -> Result<(i64, Vec<(String, String, [u8; 32], i64)>), StoreError> {
    let sql = "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM remote_media";
    let row = from.conn().0.query(sql).one().await?;
    let bytes = row.ok_or(StoreError::Damaged("a sum gave no row"))?.get(0)?;
    let sql = "SELECT server, media_id, blob, size FROM remote_media \
               ORDER BY used_ms, server, media_id LIMIT $1";
    let rows = from.conn().0.query(sql).bind(limit).all().await?;
    let read = rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?, row.array(2)?, row.get(3)?)));
    Ok((bytes, read.collect::<Result<_, StoreError>>()?))
}

/// Whether nobody is to have a file.
pub async fn is_blocked(
    from: &mut impl Reads,
    server: &ServerName,
    media_id: &str,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM blocked_media WHERE server = $1 AND media_id = $2";
    let row = from.conn().0.query(sql).bind(server.as_str()).bind(media_id).one().await?;
    Ok(row.is_some())
}

impl Tx {
    /// Writes a copy down whose blob is on disk already, unless there is one.
    pub async fn add_copy(
        &mut self,
        server: &ServerName,
        media_id: &str,
        media: &MediaRow,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO remote_media (server, media_id, blob, size, content_type, file_name, used_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (server, media_id) DO NOTHING";
        self.query(sql)
            .bind(server.as_str())
            .bind(media_id)
            .bind(media.blob.as_slice())
            .bind(media.size)
            .bind(media.content_type.as_deref())
            .bind(media.file_name.as_deref())
            .bind(now_ms)
            .run()
            .await
            .map(drop)
    }

    /// Notes that somebody had a copy.
    pub async fn use_copy(
        &mut self,
        server: &ServerName,
        media_id: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE remote_media SET used_ms = $3 WHERE server = $1 AND media_id = $2";
        let query = self.query(sql).bind(server.as_str()).bind(media_id).bind(now_ms);
        query.run().await.map(drop)
    }

    /// Takes a copy away.
    pub async fn remove_copy(&mut self, server: &str, media_id: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM remote_media WHERE server = $1 AND media_id = $2";
        self.query(sql).bind(server).bind(media_id).run().await.map(drop)
    }

    /// Lets nobody have a file any more.
    pub async fn block_media(
        &mut self,
        server: &ServerName,
        media_id: &str,
        by: &UserId,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO blocked_media (server, media_id, blocked_by, blocked_ms) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (server, media_id) DO NOTHING";
        let query = self.query(sql).bind(server.as_str()).bind(media_id).bind(by.as_str());
        query.bind(now_ms).run().await.map(drop)
    }

    /// Lets people have a file again.
    pub async fn unblock_media(
        &mut self,
        server: &ServerName,
        media_id: &str,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM blocked_media WHERE server = $1 AND media_id = $2";
        self.query(sql).bind(server.as_str()).bind(media_id).run().await.map(drop)
    }
}
