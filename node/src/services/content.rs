//! Uploads and what is made from them.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use ruma::{OwnedMxcUri, ServerName, UserId};
use tokio::{fs::File, sync::Semaphore};
use wayside_specs::limits;
use wayside_world::picture::{self, Method, PictureError, Size};

use super::{Error, Ground};
use crate::store::{
    blob::Blob,
    media::{self, MediaRow, ThumbnailKey, ThumbnailRow},
};

/// The service of content.
pub struct Content {
    ground: Arc<Ground>,
    blob: Blob,
    drawing: Arc<Semaphore>,
}

/// A file to be sent.
pub struct Served {
    /// Opened for reading.
    pub file: File,
    /// Its size in bytes.
    pub size: u64,
    /// What it is said to be.
    pub content_type: Option<String>,
    /// What it is called.
    pub file_name: Option<String>,
    /// SHA-256 of its bytes.
    pub hash: [u8; 32],
}

/// A wanted thumbnail.
#[derive(Clone, Copy, Debug)]
pub struct ThumbnailWish {
    /// In pixels.
    pub width: u64,
    /// In pixels.
    pub height: u64,
    /// Whether to cut it to the wanted shape.
    pub crop: bool,
}

/// Pictures resized at the same time; each may take tens of megabytes.
const DRAWING: usize = 2;
/// Lengths of a side in which thumbnails are made; a wish gets the next longer one.
const SIDES: [u32; 10] = [32, 64, 96, 128, 192, 256, 320, 480, 640, 800];

impl Content {
    /// The service on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>, blob: Blob) -> Self {
        Self { ground, blob, drawing: Arc::new(Semaphore::new(DRAWING)) }
    }

    /// Takes an upload in while it comes, and names it when it is wholly on disk.
    pub async fn upload<E>(
        &self,
        owner: &UserId,
        bytes: impl Stream<Item = Result<Bytes, E>> + Unpin,
        content_type: Option<String>,
        file_name: Option<String>,
    ) -> Result<OwnedMxcUri, Error> {
        for text in [&content_type, &file_name].into_iter().flatten() {
            if text.len() > limits::NAME_BYTES {
                return Err(Error::TooLarge(
                    "a file's name and type have at most 512 bytes".to_owned(),
                ));
            }
        }
        let kept = media::media_bytes_of(&mut self.ground.store.snapshot().await?, owner).await?;
        let quota = self.ground.config.media_quota_bytes;
        let left = quota.saturating_sub(u64::try_from(kept).unwrap_or(0));
        if left == 0 {
            return Err(Error::Forbidden(format!(
                "you keep {kept} bytes here, and {quota} is the most"
            )));
        }
        let limit = self.ground.config.max_upload_bytes.min(left);
        let written = self.blob.write(bytes, limit).await?;
        let media_id = self.ground.clock.random_name(32);
        let row = MediaRow {
            blob: written.hash,
            size: i64::try_from(written.size).map_err(Error::internal)?,
            content_type,
            file_name,
        };
        let uri = format!("mxc://{}/{media_id}", self.ground.server_name);
        let owner = owner.to_owned();
        let now_ms = self.ground.clock.now_ms();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    Ok::<_, Error>(tx.add_media(&media_id, &row, &owner, now_ms).await?)
                })
            })
            .await?;
        Ok(uri.into())
    }

    /// An upload, to be sent.
    pub async fn download(&self, server: &ServerName, media_id: &str) -> Result<Served, Error> {
        let row = self.row(server, media_id).await?;
        let (file, size) = self.blob.open(&row.blob).await?.ok_or_else(unknown)?;
        Ok(Served {
            file,
            size,
            content_type: row.content_type,
            file_name: row.file_name,
            hash: row.blob,
        })
    }

    /// A picture made smaller; made once and kept.
    pub async fn thumbnail(
        &self,
        server: &ServerName,
        media_id: &str,
        wish: ThumbnailWish,
    ) -> Result<Served, Error> {
        let row = self.row(server, media_id).await?;
        let (width, height) = next_size(wish)?;
        let crop = wish.crop;
        let method = if crop { "crop" } else { "scale" };
        let key = ThumbnailKey { blob: row.blob, width, height, method };
        let known = media::thumbnail(&mut self.ground.store.snapshot().await?, &key).await?;
        let made = match known {
            Some(made) => made,
            None => self.draw(key, crop).await?,
        };
        let (file, size) = self.blob.open(&made.blob).await?.ok_or_else(unknown)?;
        let content_type = Some(made.content_type);
        Ok(Served { file, size, content_type, file_name: row.file_name, hash: made.blob })
    }

    async fn row(&self, server: &ServerName, media_id: &str) -> Result<MediaRow, Error> {
        if server != self.ground.server_name {
            return Err(Error::NotFound(
                "this file is on a server that cannot be reached from here".to_owned(),
            ));
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        media::media(&mut snapshot, media_id).await?.ok_or_else(unknown)
    }

    async fn draw(&self, key: ThumbnailKey, crop: bool) -> Result<ThumbnailRow, Error> {
        let _turn = self.drawing.acquire().await.map_err(Error::internal)?;
        let bytes = self.blob.read(&key.blob).await?.ok_or_else(unknown)?;
        let size = Size { width: key.width, height: key.height };
        let method = if crop { Method::Crop } else { Method::Scale };
        let made = tokio::task::spawn_blocking(move || picture::thumbnail(&bytes, size, method))
            .await
            .map_err(Error::internal)?
            .map_err(|error| match error {
                PictureError::TooLarge => {
                    Error::TooLarge("the picture has too many pixels".to_owned())
                }
                other => Error::Invalid(format!("no thumbnail can be made: {other}")),
            })?;
        let size = i64::try_from(made.bytes.len()).map_err(Error::internal)?;
        let written = self.blob.write_whole(made.bytes).await?;
        let row =
            ThumbnailRow { blob: written.hash, size, content_type: made.content_type.to_owned() };
        let kept = row.clone();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move { Ok::<_, Error>(tx.add_thumbnail(&key, &kept).await?) })
            })
            .await?;
        Ok(row)
    }
}

/// Few lengths serve all wishes, so that nobody can fill the disk with sizes (client-server API, thumbnails).
fn next_size(wish: ThumbnailWish) -> Result<(u32, u32), Error> {
    if wish.width == 0 || wish.height == 0 {
        return Err(Error::Invalid("width and height must be at least 1".to_owned()));
    }
    let next = |wanted: u64| {
        let longer = SIDES.into_iter().find(|side| u64::from(*side) >= wanted);
        longer.unwrap_or(SIDES[SIDES.len() - 1])
    };
    Ok((next(wish.width), next(wish.height)))
}

fn unknown() -> Error {
    Error::NotFound("there is no such file".to_owned())
}
