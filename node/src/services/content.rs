//! Uploads and what is made from them.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use ruma::{OwnedMxcUri, OwnedUserId, ServerName, UserId};
use tokio::{
    fs::File,
    sync::{Notify, Semaphore},
    time::{Instant, timeout_at},
};
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
    /// Wakes downloads that wait for an upload.
    arrived: Notify,
    /// The most bytes that uploads under way may still become, by owner.
    under_way: Mutex<HashMap<OwnedUserId, u64>>,
    /// Names whose files are on their way.
    coming: Mutex<HashSet<String>>,
}

/// A file on its way to the name that was kept for it; no second one may be, whose bytes would stay
/// on disk and belong to nobody.
struct Coming<'a> {
    content: &'a Content,
    media_id: &'a str,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.content.coming().remove(self.media_id);
    }
}

/// What the owner of a file says about it.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// What it is.
    pub content_type: Option<String>,
    /// What it is called.
    pub file_name: Option<String>,
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
/// Letters of the id of a file.
const MEDIA_ID_CHARS: usize = 32;
/// Lengths of a side in which thumbnails are made; a wish gets the next longer one.
const SIDES: [u32; 10] = [32, 64, 96, 128, 192, 256, 320, 480, 640, 800];

impl Content {
    /// The service on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>, blob: Blob) -> Self {
        let drawing = Arc::new(Semaphore::new(DRAWING));
        Self {
            ground,
            blob,
            drawing,
            arrived: Notify::new(),
            under_way: Mutex::default(),
            coming: Mutex::default(),
        }
    }

    /// Takes an upload in while it comes, and names it when it is wholly on disk.
    pub async fn upload<E>(
        &self,
        owner: &UserId,
        bytes: impl Stream<Item = Result<Bytes, E>> + Unpin,
        said: Said,
    ) -> Result<OwnedMxcUri, Error> {
        let room = self.make_room(owner).await?;
        let row = self.receive(room.bytes, bytes, said).await?;
        let media_id = self.ground.clock.random_name(MEDIA_ID_CHARS);
        let uri = self.uri(&media_id);
        self.keep(media_id, row, owner, false).await?;
        Ok(uri)
    }

    /// Names a file that is to come, and says until when it is waited for.
    pub async fn reserve(&self, owner: &UserId) -> Result<(OwnedMxcUri, i64), Error> {
        let media_id = self.ground.clock.random_name(MEDIA_ID_CHARS);
        let uri = self.uri(&media_id);
        let owner = owner.to_owned();
        let now_ms = self.ground.clock.now_ms();
        let expires_ms = now_ms + limits::AWAITED_MEDIA_MS;
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let (count, first_ms) = media::awaited_of(tx, &owner, now_ms).await?;
                    if count >= limits::AWAITED_MEDIA_PER_USER {
                        let retry_ms = first_ms.map_or(0, |first| first - now_ms);
                        let retry_ms = u64::try_from(retry_ms).unwrap_or(0);
                        return Err(Error::TooOften { retry_ms });
                    }
                    Ok(tx.await_media(&media_id, &owner, now_ms, expires_ms).await?)
                })
            })
            .await?;
        Ok((uri, expires_ms))
    }

    /// Takes in a file that was named before.
    pub async fn upload_to<E>(
        &self,
        owner: &UserId,
        server: &str,
        media_id: &str,
        bytes: impl Stream<Item = Result<Bytes, E>> + Unpin,
        said: Said,
    ) -> Result<(), Error> {
        if server != self.ground.server_name {
            return Err(unknown());
        }
        let now_ms = self.ground.clock.now_ms();
        let mut snapshot = self.ground.store.snapshot().await?;
        if media::media(&mut snapshot, media_id).await?.is_some() {
            return Err(Error::AlreadyUploaded);
        }
        let awaited = media::awaited(&mut snapshot, media_id, now_ms).await?;
        // A slow upload holds no view of the store open.
        drop(snapshot);
        if awaited.ok_or_else(unknown)? != *owner {
            return Err(Error::Forbidden("this name was given to somebody else".to_owned()));
        }
        if !self.coming().insert(media_id.to_owned()) {
            return Err(Error::AlreadyUploaded);
        }
        let _coming = Coming { content: self, media_id };
        let room = self.make_room(owner).await?;
        let row = self.receive(room.bytes, bytes, said).await?;
        self.keep(media_id.to_owned(), row, owner, true).await?;
        self.arrived.notify_waiters();
        Ok(())
    }

    /// Keeps room for one more upload of a person, as much as may come.
    async fn make_room(&self, owner: &UserId) -> Result<Room<'_>, Error> {
        let kept = media::media_bytes_of(&mut self.ground.store.snapshot().await?, owner).await?;
        let kept = u64::try_from(kept).unwrap_or(0);
        let quota = self.ground.config.media_quota_bytes;
        let mut under_way = self.under_way();
        let coming = under_way.entry(owner.to_owned()).or_default();
        let left = quota.saturating_sub(kept).saturating_sub(*coming);
        let bytes = self.ground.config.max_upload_bytes.min(left);
        *coming += bytes;
        drop(under_way);
        let room = Room { content: self, owner: owner.to_owned(), bytes };
        if bytes == 0 {
            return Err(Error::Forbidden(format!(
                "you keep {kept} bytes here or are sending them, and {quota} is the most"
            )));
        }
        Ok(room)
    }

    fn coming(&self) -> MutexGuard<'_, HashSet<String>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<OwnedUserId, u64>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes bytes to disk, at most so many.
    async fn receive<E>(
        &self,
        limit: u64,
        bytes: impl Stream<Item = Result<Bytes, E>> + Unpin,
        said: Said,
    ) -> Result<MediaRow, Error> {
        for text in [&said.content_type, &said.file_name].into_iter().flatten() {
            if text.len() > limits::NAME_BYTES {
                return Err(Error::TooLarge(
                    "a file's name and type have at most 512 bytes".to_owned(),
                ));
            }
        }
        let written = self.blob.write(bytes, limit).await?;
        Ok(MediaRow {
            blob: written.hash,
            size: i64::try_from(written.size).map_err(Error::internal)?,
            content_type: said.content_type,
            file_name: said.file_name,
        })
    }

    /// Writes an upload down, under a name that was kept for it or a new one.
    async fn keep(
        &self,
        media_id: String,
        row: MediaRow,
        owner: &UserId,
        awaited: bool,
    ) -> Result<(), Error> {
        let owner = owner.to_owned();
        let now_ms = self.ground.clock.now_ms();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    if awaited && !tx.take_awaited(&media_id).await? {
                        let there = media::media(tx, &media_id).await?.is_some();
                        return Err(if there { Error::AlreadyUploaded } else { unknown() });
                    }
                    Ok(tx.add_media(&media_id, &row, &owner, now_ms).await?)
                })
            })
            .await
    }

    fn uri(&self, media_id: &str) -> OwnedMxcUri {
        format!("mxc://{}/{media_id}", self.ground.server_name).into()
    }

    /// An upload, to be sent; one that is still to come is waited for.
    pub async fn download(
        &self,
        server: &ServerName,
        media_id: &str,
        wait: Duration,
    ) -> Result<Served, Error> {
        let row = self.row(server, media_id, wait).await?;
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
        wait: Duration,
    ) -> Result<Served, Error> {
        let row = self.row(server, media_id, wait).await?;
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

    async fn row(
        &self,
        server: &ServerName,
        media_id: &str,
        wait: Duration,
    ) -> Result<MediaRow, Error> {
        if server != self.ground.server_name {
            return Err(Error::NotFound(
                "this file is on a server that cannot be reached from here".to_owned(),
            ));
        }
        let wait = wait.min(Duration::from_millis(limits::DOWNLOAD_WAIT_MS));
        let until = Instant::from_std(self.ground.clock.instant() + wait);
        loop {
            // Listening begins before looking, so that what comes in between is not missed.
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let mut snapshot = self.ground.store.snapshot().await?;
            if let Some(row) = media::media(&mut snapshot, media_id).await? {
                return Ok(row);
            }
            let now_ms = self.ground.clock.now_ms();
            if media::awaited(&mut snapshot, media_id, now_ms).await?.is_none() {
                return Err(unknown());
            }
            drop(snapshot);
            let stopped = self.ground.stop.cancelled();
            let waited = timeout_at(until, async {
                tokio::select! { () = arrived => true, () = stopped => false }
            });
            if !waited.await.unwrap_or(false) {
                return Err(Error::NotYetUploaded);
            }
        }
    }

    /// Removes what uploads of an earlier process left unfinished, before this one takes any.
    pub async fn sweep_unfinished(&self) -> Result<(), Error> {
        Ok(self.blob.sweep().await?)
    }

    async fn draw(&self, key: ThumbnailKey, crop: bool) -> Result<ThumbnailRow, Error> {
        let turn = self.drawing.clone().acquire_owned().await.map_err(Error::internal)?;
        let bytes = self.blob.read(&key.blob).await?.ok_or_else(unknown)?;
        let size = Size { width: key.width, height: key.height };
        let method = if crop { Method::Crop } else { Method::Scale };
        let drawing = move || {
            // The turn lasts as long as the work, also when nobody waits for it any more.
            let _turn = turn;
            picture::thumbnail(&bytes, size, method)
        };
        let made = tokio::task::spawn_blocking(drawing).await.map_err(Error::internal)?.map_err(
            |error| match error {
                PictureError::TooLarge => {
                    Error::TooLarge("the picture has too many pixels".to_owned())
                }
                other => Error::Invalid(format!("no thumbnail can be made: {other}")),
            },
        )?;
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

/// Room that is kept for an upload while it comes, so that many at once cannot outrun the quota.
struct Room<'a> {
    content: &'a Content,
    owner: OwnedUserId,
    bytes: u64,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut under_way = self.content.under_way();
        if let Some(coming) = under_way.get_mut(&self.owner) {
            *coming -= self.bytes;
            if *coming == 0 {
                under_way.remove(&self.owner);
            }
        }
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
