//! Uploads and what is made from them.

mod assets;
mod blocking;
mod drawing;
mod elsewhere;
mod keeping;
mod packing;
mod previewed;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use ruma::{OwnedMxcUri, OwnedUserId, ServerName, UserId};
use tokio::{
    fs::File,
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use wayside_specs::limits;

pub use self::{
    assets::{BODY_TYPE, NewAsset, asset_path, body_uri},
    packing::Forms,
};
use self::{elsewhere::Elsewhere, keeping::Keeper, packing::Packing};
use super::{Error, Ground, servers::Servers};
use crate::store::{
    blob::{Blob, Received},
    media::{self, MediaRow},
    remote_media,
};

/// The service of content.
pub struct Content {
    ground: Arc<Ground>,
    blob: Blob,
    keeper: Keeper,
    elsewhere: Arc<Elsewhere>,
    drawing: Arc<Semaphore>,
    packing: Packing,
    under_way: UnderWay,
}

/// The most bytes that uploads under way may still become, by owner.
type UnderWay = Arc<Mutex<HashMap<OwnedUserId, u64>>>;

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
    /// Whether it moves, where the picture does.
    pub animated: bool,
}

/// Pictures resized at the same time; each may take tens of megabytes.
const DRAWING: usize = 2;
/// Letters of the id of a file.
const MEDIA_ID_CHARS: usize = 32;
impl Content {
    /// The service on its ground, beside other servers.
    #[must_use]
    pub fn new(ground: Arc<Ground>, servers: Arc<Servers>, blob: Blob) -> Self {
        let keeper = Keeper::new(&ground, blob.clone());
        let elsewhere = Elsewhere::new(ground.clone(), servers, blob.clone(), keeper.clone());
        let elsewhere = Arc::new(elsewhere);
        let drawing = Arc::new(Semaphore::new(DRAWING));
        let (packing, under_way) = (Packing::new(), UnderWay::default());
        Self { ground, blob, keeper, elsewhere, drawing, packing, under_way }
    }

    /// Takes an upload in while it comes, and names it when it is wholly on disk.
    pub async fn upload<E>(
        &self,
        owner: &UserId,
        bytes: impl Stream<Item = Result<Bytes, E>> + Unpin,
        said: Said,
    ) -> Result<OwnedMxcUri, Error> {
        let room = self.make_room(owner).await?;
        let (received, row) = self.receive(room.bytes, bytes, said).await?;
        let media_id = self.ground.clock.random_name(MEDIA_ID_CHARS);
        let uri = self.uri(&media_id);
        self.keep(received, (media_id, row), room, false).await?;
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
        // Two may come at once: the first that is whole takes the name, and the other is removed.
        let room = self.make_room(owner).await?;
        let (received, row) = self.receive(room.bytes, bytes, said).await?;
        self.keep(received, (media_id.to_owned(), row), room, true).await
    }

    /// Keeps room for one more upload of a person, as much as may come.
    async fn make_room(&self, owner: &UserId) -> Result<Room, Error> {
        let kept = media::media_bytes_of(&mut self.ground.store.snapshot().await?, owner).await?;
        let kept = u64::try_from(kept).unwrap_or(0);
        let quota = self.ground.config.media_quota_bytes;
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let coming = under_way.entry(owner.to_owned()).or_default();
        let left = quota.saturating_sub(kept).saturating_sub(*coming);
        let bytes = self.ground.config.max_upload_bytes.min(left);
        *coming += bytes;
        drop(under_way);
        let room = Room { under_way: self.under_way.clone(), owner: owner.to_owned(), bytes };
        if bytes == 0 {
            return Err(Error::Forbidden(format!(
                "you keep {kept} bytes here or are sending them, and {quota} is the most"
            )));
        }
        Ok(room)
    }

    /// Writes bytes to disk, at most so many.
    async fn receive<E>(
        &self,
        limit: u64,
        bytes: impl Stream<Item = Result<Bytes, E>> + Unpin,
        said: Said,
    ) -> Result<(Received, MediaRow), Error> {
        for text in [&said.content_type, &said.file_name].into_iter().flatten() {
            if text.len() > limits::NAME_BYTES {
                return Err(Error::TooLarge(
                    "a file's name and type have at most 512 bytes".to_owned(),
                ));
            }
        }
        let received = self.blob.receive(bytes, limit).await?;
        let written = received.written();
        let row = MediaRow {
            blob: written.hash,
            size: i64::try_from(written.size).map_err(Error::internal)?,
            content_type: said.content_type,
            file_name: said.file_name,
        };
        Ok((received, row))
    }

    /// Keeps an upload and writes it down, under a name that was kept for it or a new one.
    async fn keep(
        &self,
        received: Received,
        (media_id, row): (String, MediaRow),
        room: Room,
        awaited: bool,
    ) -> Result<(), Error> {
        let now_ms = self.ground.clock.now_ms();
        let naming = self.keeper.keep(received, move |tx| {
            Box::pin(async move {
                if awaited && !tx.take_awaited(&media_id).await? {
                    let there = media::media(tx, &media_id).await?.is_some();
                    return Err(if there { Error::AlreadyUploaded } else { unknown() });
                }
                // The room goes with the use case: from here on the row counts instead.
                Ok(tx.add_media(&media_id, &row, &room.owner, now_ms).await?)
            })
        });
        naming.await
    }

    fn uri(&self, media_id: &str) -> OwnedMxcUri {
        format!("mxc://{}/{media_id}", self.ground.server_name).into()
    }

    /// A file, to be sent; one that is still to come is waited for, and one of another server is fetched.
    pub async fn download(
        &self,
        server: &ServerName,
        media_id: &str,
        wait: Duration,
    ) -> Result<Served, Error> {
        let mut row = self.row(server, media_id, wait).await?;
        let mut opened = self.blob.open(&row.blob).await?;
        if opened.is_none() {
            // A copy may have gone between the two.
            row = self.row(server, media_id, wait).await?;
            opened = self.blob.open(&row.blob).await?;
        }
        let (file, size) = opened.ok_or_else(unknown)?;
        Ok(Served {
            file,
            size,
            content_type: row.content_type,
            file_name: row.file_name,
            hash: row.blob,
        })
    }

    async fn row(
        &self,
        server: &ServerName,
        media_id: &str,
        wait: Duration,
    ) -> Result<MediaRow, Error> {
        let wait = wait.min(Duration::from_millis(limits::DOWNLOAD_WAIT_MS));
        let mut snapshot = self.ground.store.snapshot().await?;
        if remote_media::is_blocked(&mut snapshot, server, media_id).await? {
            return Err(unknown());
        }
        drop(snapshot);
        if server != self.ground.server_name {
            return self.elsewhere.row(server, media_id, wait).await;
        }
        let until = Instant::from_std(self.ground.clock.instant() + wait);
        loop {
            // Listening begins before looking, so that what comes in between is not missed.
            let arrived = self.keeper.arrived.notified();
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

    /// Removes files that nothing names, such as those of uploads that a crash cut off between the
    /// file and its row: a duty beside the node, from its start until it is done.
    pub fn sweep_unnamed(&self) -> impl Future<Output = ()> + Send + use<> {
        let (keeper, ground) = (self.keeper.clone(), self.ground.clone());
        async move {
            let now_ms = ground.clock.now_ms();
            match ground.stop.run_until_cancelled(keeper.sweep(now_ms)).await {
                None | Some(Ok(0)) => {}
                Some(Ok(removed)) => tracing::info!(removed, "files that nothing names are gone"),
                Some(Err(error)) => {
                    tracing::warn!(%error, "removing files that nothing names failed");
                }
            }
        }
    }
}

/// Room that is kept for an upload while it comes, so that many at once cannot outrun the quota.
struct Room {
    under_way: UnderWay,
    owner: OwnedUserId,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(coming) = under_way.get_mut(&self.owner) {
            *coming -= self.bytes;
            if *coming == 0 {
                under_way.remove(&self.owner);
            }
        }
    }
}

fn unknown() -> Error {
    Error::NotFound("there is no such file".to_owned())
}

#[cfg(test)]
mod tests;
