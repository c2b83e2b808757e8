//! Which uploads there are, and the resized pictures made from them; the bytes are blobs.

use std::collections::HashSet;

use ruma::{OwnedUserId, UserId};

use super::{Reads, StoreError, Tx, db::LIST_MOST};

/// Most resized pictures that are kept of one picture, and most that move.
pub const THUMBNAILS_OF_ONE: usize = 10;
/// Pictures that are gone whose resized ones are removed at once.
const GONE_AT_ONCE: i64 = 100;

/// An upload.
#[derive(Clone, Debug)]
pub struct MediaRow {
    /// SHA-256 of its bytes.
    pub blob: [u8; 32],
    /// Its size in bytes.
    pub size: i64,
    /// What its owner says it is.
    pub content_type: Option<String>,
    /// What its owner calls it.
    pub file_name: Option<String>,
}

/// Which resized picture is meant.
#[derive(Clone, Copy, Debug)]
pub struct ThumbnailKey {
    /// SHA-256 of the picture it is made from.
    pub blob: [u8; 32],
    /// Wanted width in pixels.
    pub width: u32,
    /// Wanted height in pixels.
    pub height: u32,
    /// `crop` or `scale`, with `animated ` before it where it moves if the picture does.
    pub method: &'static str,
}

/// A resized picture.
#[derive(Clone, Debug)]
pub struct ThumbnailRow {
    /// SHA-256 of its bytes.
    pub blob: [u8; 32],
    /// Its size in bytes.
    pub size: i64,
    /// What it is.
    pub content_type: String,
}

/// The upload of that id.
pub async fn media(from: &mut impl Reads, media_id: &str) -> Result<Option<MediaRow>, StoreError> {
    let sql = "SELECT blob, size, content_type, file_name FROM media WHERE media_id = $1";
    let row = from.conn().0.query(sql).bind(media_id).one().await?;
    row.map(|row| {
        Ok(MediaRow {
            blob: row.array(0)?,
            size: row.get(1)?,
            content_type: row.get(2)?,
            file_name: row.get(3)?,
        })
    })
    .transpose()
}

/// The uploads of a person behind one of them, in the order of their ids.
pub async fn uploads_of(
    from: &mut impl Reads,
    user_id: &UserId,
    behind: &str,
    most: i64,
) -> Result<Vec<(String, MediaRow)>, StoreError> {
    let sql = "SELECT media_id, blob, size, content_type, file_name FROM media \
               WHERE uploaded_by = $1 AND media_id > $2 ORDER BY media_id LIMIT $3";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(behind).bind(most);
    let read = |row: &super::db::Row| {
        let found = MediaRow {
            blob: row.array(1)?,
            size: row.get(2)?,
            content_type: row.get(3)?,
            file_name: row.get(4)?,
        };
        Ok((row.get(0)?, found))
    };
    query.all().await?.iter().map(read).collect()
}

/// Who is to upload a file of that id that has not come yet.
pub async fn awaited(
    from: &mut impl Reads,
    media_id: &str,
    now_ms: i64,
) -> Result<Option<OwnedUserId>, StoreError> {
    let sql = "SELECT reserved_by FROM awaited_media WHERE media_id = $1 AND expires_ms > $2";
    let row = from.conn().0.query(sql).bind(media_id).bind(now_ms).one().await?;
    row.map(|row| row.parse(0)).transpose()
}

/// How many files of a person have not come yet, and when the first of them is given up.
pub async fn awaited_of(
    from: &mut impl Reads,
    user_id: &UserId,
    now_ms: i64,
) -> Result<(i64, Option<i64>), StoreError> {
    let sql = "SELECT count(*), MIN(expires_ms) FROM awaited_media \
               WHERE reserved_by = $1 AND expires_ms > $2";
    let row = from.conn().0.query(sql).bind(user_id.as_str()).bind(now_ms).one().await?;
    let row = row.ok_or(StoreError::Damaged("a count gave no row"))?;
    Ok((row.get(0)?, row.get(1)?))
}

/// How many bytes of uploads a person keeps here.
pub async fn media_bytes_of(from: &mut impl Reads, user_id: &UserId) -> Result<i64, StoreError> {
    let sql = "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM media WHERE uploaded_by = $1";
    let row = from.conn().0.query(sql).bind(user_id.as_str()).one().await?;
    row.ok_or(StoreError::Damaged("a sum gave no row"))?.get(0)
}

/// A picture of a page that people link to.
#[derive(Clone, Debug)]
pub struct PreviewedRow {
    /// Its id.
    pub media_id: String,
    /// SHA-256 of its bytes.
    pub blob: [u8; 32],
    /// Its size in bytes.
    pub size: i64,
    /// When it was kept, in milliseconds since the epoch.
    pub kept_ms: i64,
}

/// How many bytes all pictures of pages take, and those of them that were kept first.
pub async fn oldest_previewed(
    from: &mut impl Reads,
    limit: i64,
) -> Result<(i64, Vec<PreviewedRow>), StoreError> {
    let sql = "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM previewed_media";
    let row = from.conn().0.query(sql).one().await?;
    let bytes = row.ok_or(StoreError::Damaged("a sum gave no row"))?.get(0)?;
    let sql = "SELECT p.media_id, m.blob, p.size, p.kept_ms FROM previewed_media p \
               JOIN media m ON m.media_id = p.media_id ORDER BY p.kept_ms, p.media_id LIMIT $1";
    let rows = from.conn().0.query(sql).bind(limit).all().await?;
    let read = rows.iter().map(|row| {
        let (media_id, blob) = (row.get(0)?, row.array(1)?);
        Ok(PreviewedRow { media_id, blob, size: row.get(2)?, kept_ms: row.get(3)? })
    });
    Ok((bytes, read.collect::<Result<_, StoreError>>()?))
}

/// The resized pictures of a picture, with their width, height and method.
pub async fn thumbnails(
    from: &mut impl Reads,
    blob: &[u8; 32],
) -> Result<Vec<(i64, i64, String, ThumbnailRow)>, StoreError> {
    let sql = "SELECT width, height, method, made_blob, size, content_type FROM thumbnails \
               WHERE blob = $1 ORDER BY width, height, method LIMIT 1000";
    let rows = from.conn().0.query(sql).bind(blob.as_slice()).all().await?;
    let read = rows.iter().map(|row| {
        let made =
            ThumbnailRow { blob: row.array(3)?, size: row.get(4)?, content_type: row.get(5)? };
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, made))
    });
    read.collect()
}

/// Which of these blobs anything here names.
pub async fn named(
    from: &mut impl Reads,
    blobs: &[[u8; 32]],
) -> Result<HashSet<[u8; 32]>, StoreError> {
    let mut named = HashSet::new();
    for chunk in blobs.chunks(LIST_MOST) {
        let chunk: Vec<Vec<u8>> = chunk.iter().map(|blob| blob.to_vec()).collect();
        for sql in [
            "SELECT DISTINCT blob FROM media WHERE blob IN (LIST)",
            "SELECT DISTINCT blob FROM remote_media WHERE blob IN (LIST)",
            "SELECT DISTINCT made_blob FROM thumbnails WHERE made_blob IN (LIST)",
            "SELECT blob FROM assets WHERE blob IN (LIST)",
        ] {
            for row in from.conn().0.query(sql).list(&chunk).all().await? {
                named.insert(row.array(0)?);
            }
        }
    }
    Ok(named)
}

impl Tx {
    /// Keeps a name for a file that is to come, and gives up those that did not come in time.
    pub async fn await_media(
        &mut self,
        media_id: &str,
        owner: &UserId,
        now_ms: i64,
        expires_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM awaited_media WHERE expires_ms <= $1";
        self.query(sql).bind(now_ms).run().await?;
        let sql =
            "INSERT INTO awaited_media (media_id, reserved_by, expires_ms) VALUES ($1, $2, $3)";
        let query = self.query(sql).bind(media_id).bind(owner.as_str()).bind(expires_ms);
        query.run().await.map(drop)
    }

    /// Takes a name that was kept; false where none of that id is kept any more.
    pub async fn take_awaited(&mut self, media_id: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM awaited_media WHERE media_id = $1";
        Ok(self.query(sql).bind(media_id).run().await? > 0)
    }

    /// Writes an upload down whose blob is on disk already.
    pub async fn add_media(
        &mut self,
        media_id: &str,
        media: &MediaRow,
        owner: &UserId,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO media (media_id, blob, size, content_type, file_name, uploaded_by, created_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        self.query(sql)
            .bind(media_id)
            .bind(media.blob.as_slice())
            .bind(media.size)
            .bind(media.content_type.as_deref())
            .bind(media.file_name.as_deref())
            .bind(owner.as_str())
            .bind(now_ms)
            .run()
            .await
            .map(drop)
    }

    /// Writes down a picture of a page, which is nobody's upload, and whose blob is on disk already.
    pub async fn add_previewed(
        &mut self,
        media_id: &str,
        media: &MediaRow,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO media (media_id, blob, size, content_type, file_name, uploaded_by, created_ms) \
                   VALUES ($1, $2, $3, $4, NULL, '', $5)";
        let query = self.query(sql).bind(media_id).bind(media.blob.as_slice()).bind(media.size);
        query.bind(media.content_type.as_deref()).bind(now_ms).run().await?;
        let sql = "INSERT INTO previewed_media (media_id, size, kept_ms) VALUES ($1, $2, $3)";
        let query = self.query(sql).bind(media_id).bind(media.size).bind(now_ms);
        query.run().await.map(drop)
    }

    /// Takes a picture of a page away.
    pub async fn remove_previewed(&mut self, media_id: &str) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM previewed_media WHERE media_id = $1",
            "DELETE FROM media WHERE media_id = $1",
        ] {
            self.query(sql).bind(media_id).run().await?;
        }
        Ok(())
    }

    /// Takes an upload away; nobody can as yet, but what is left then must go.
    #[cfg(test)]
    pub(crate) async fn forget_media(&mut self, media_id: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM media WHERE media_id = $1";
        self.query(sql).bind(media_id).run().await.map(drop)
    }

    /// Removes resized pictures whose picture is gone, a few at once; how many.
    pub async fn remove_left_thumbnails(&mut self) -> Result<u64, StoreError> {
        let sql = "DELETE FROM thumbnails WHERE blob IN (SELECT DISTINCT blob FROM thumbnails \
                   WHERE blob NOT IN (SELECT blob FROM media) \
                   AND blob NOT IN (SELECT blob FROM remote_media) ORDER BY blob LIMIT $1)";
        self.query(sql).bind(GONE_AT_ONCE).run().await
    }

    /// Writes a resized picture down whose blob is on disk already.
    pub async fn add_thumbnail(
        &mut self,
        key: &ThumbnailKey,
        made: &ThumbnailRow,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO thumbnails (blob, width, height, method, made_blob, content_type, size) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (blob, width, height, method) DO NOTHING";
        self.query(sql)
            .bind(key.blob.as_slice())
            .bind(i64::from(key.width))
            .bind(i64::from(key.height))
            .bind(key.method)
            .bind(made.blob.as_slice())
            .bind(made.content_type.as_str())
            .bind(made.size)
            .run()
            .await
            .map(drop)
    }
}
