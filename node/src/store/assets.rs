//! Files that anybody may fetch who knows their hash: scenes, their pictures, bodies.

use ruma::UserId;

use super::{Reads, StoreError, Tx};

/// A file that is fetched by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetRow {
    /// SHA-256 of its bytes.
    pub blob: [u8; 32],
    /// Its size in bytes.
    pub size: i64,
    /// What it is.
    pub content_type: String,
    /// Whether it may be shown and not given on.
    pub lent: bool,
}

/// A body that somebody has uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvatarRow {
    /// SHA-256 of its bytes, as it was accepted.
    pub blob: [u8; 32],
    /// Its size in bytes.
    pub size: i64,
    /// What its owner calls it.
    pub name: String,
    /// What was found when it was looked into, as JSON.
    pub report: String,
    /// By what licence they wear it beside the file's own, as JSON.
    pub licence: Option<String>,
}

/// The body that somebody wears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worn {
    /// Which of the generated ones.
    pub variant: i64,
    /// The upload that they wear instead, if they do.
    pub blob: Option<[u8; 32]>,
}

/// The file of that hash.
pub async fn asset(from: &mut impl Reads, blob: &[u8; 32]) -> Result<Option<AssetRow>, StoreError> {
    let sql = "SELECT blob, size, content_type, lent FROM assets WHERE blob = $1";
    let row = from.conn().0.query(sql).bind(blob.as_slice()).one().await?;
    let read = |row: super::db::Row| {
        let lent = row.get::<i64>(3)? != 0;
        Ok(AssetRow { blob: row.array(0)?, size: row.get(1)?, content_type: row.get(2)?, lent })
    };
    row.map(read).transpose()
}

/// Whether somebody here has uploaded a body of that hash.
pub async fn is_avatar(from: &mut impl Reads, blob: &[u8; 32]) -> Result<bool, StoreError> {
    let sql = "SELECT name FROM avatars WHERE blob = $1 LIMIT 1";
    Ok(from.conn().0.query(sql).bind(blob.as_slice()).one().await?.is_some())
}

/// The bodies that somebody has uploaded, the newest first.
pub async fn avatars_of(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Vec<AvatarRow>, StoreError> {
    let sql = "SELECT a.blob, f.size, a.name, a.report, a.licence FROM avatars a \
               JOIN assets f ON f.blob = a.blob WHERE a.user_id = $1 \
               ORDER BY a.created_ms DESC, a.blob LIMIT 1000";
    let rows = from.conn().0.query(sql).bind(user_id.as_str()).all().await?;
    let read = rows.iter().map(|row| {
        Ok(AvatarRow {
            blob: row.array(0)?,
            size: row.get(1)?,
            name: row.get(2)?,
            report: row.get(3)?,
            licence: row.get(4)?,
        })
    });
    read.collect()
}

/// What somebody wears, if they ever chose.
pub async fn worn(from: &mut impl Reads, user_id: &UserId) -> Result<Option<Worn>, StoreError> {
    let sql = "SELECT variant, blob FROM worn WHERE user_id = $1";
    let row = from.conn().0.query(sql).bind(user_id.as_str()).one().await?;
    row.map(|row| Ok(Worn { variant: row.get(0)?, blob: row.maybe_array(1)? })).transpose()
}

impl Tx {
    /// Lets a file be fetched by its hash, whose blob is on disk already.
    pub async fn add_asset(&mut self, asset: &AssetRow, now_ms: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO assets (blob, size, content_type, lent, created_ms) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (blob) DO NOTHING";
        let query = self.query(sql).bind(asset.blob.as_slice()).bind(asset.size);
        let query = query.bind(asset.content_type.as_str()).bind(i64::from(asset.lent));
        query.bind(now_ms).run().await.map(drop)
    }

    /// Gives somebody a body that was accepted; the same again only changes its name.
    pub async fn add_avatar(
        &mut self,
        user_id: &UserId,
        avatar: &AvatarRow,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO avatars (user_id, blob, name, report, created_ms) \
                   VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (user_id, blob) DO UPDATE SET name = EXCLUDED.name";
        let query = self.query(sql).bind(user_id.as_str()).bind(avatar.blob.as_slice());
        let query = query.bind(avatar.name.as_str()).bind(avatar.report.as_str());
        query.bind(now_ms).run().await.map(drop)
    }

    /// Keeps the licence by which somebody wears a body, or lets it go; false where they have none of
    /// that hash.
    pub async fn license_avatar(
        &mut self,
        user_id: &UserId,
        blob: &[u8; 32],
        licence: Option<&str>,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE avatars SET licence = $3 WHERE user_id = $1 AND blob = $2";
        let query = self.query(sql).bind(user_id.as_str()).bind(blob.as_slice());
        Ok(query.bind(licence.map(str::to_owned)).run().await? > 0)
    }

    /// Takes a body away from somebody, who then wears a generated one if it was worn; false where
    /// they had none of that hash.
    pub async fn remove_avatar(
        &mut self,
        user_id: &UserId,
        blob: &[u8; 32],
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE worn SET blob = NULL WHERE user_id = $1 AND blob = $2";
        self.query(sql).bind(user_id.as_str()).bind(blob.as_slice()).run().await?;
        let sql = "DELETE FROM avatars WHERE user_id = $1 AND blob = $2";
        Ok(self.query(sql).bind(user_id.as_str()).bind(blob.as_slice()).run().await? > 0)
    }

    /// Lets files be fetched no more that were bodies and that nobody has any more, unless an
    /// upload of the same bytes is kept.
    pub async fn remove_left_asset(&mut self, blob: &[u8; 32]) -> Result<(), StoreError> {
        let sql = "DELETE FROM assets WHERE blob = $1 \
                   AND blob NOT IN (SELECT blob FROM avatars WHERE blob = $1) \
                   AND blob NOT IN (SELECT blob FROM brought_bodies WHERE blob = $1) \
                   AND blob NOT IN (SELECT blob FROM media WHERE blob = $1)";
        self.query(sql).bind(blob.as_slice()).run().await.map(drop)
    }

    /// Has somebody wear a body.
    pub async fn wear(&mut self, user_id: &UserId, worn: Worn) -> Result<(), StoreError> {
        let sql = "INSERT INTO worn (user_id, variant, blob) VALUES ($1, $2, $3) \
                   ON CONFLICT (user_id) DO UPDATE SET variant = EXCLUDED.variant, \
                   blob = EXCLUDED.blob";
        let query = self.query(sql).bind(user_id.as_str()).bind(worn.variant);
        query.bind(worn.blob.map(|blob| blob.to_vec())).run().await.map(drop)
    }
}
