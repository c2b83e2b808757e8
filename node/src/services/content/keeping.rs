//! Files and the rows that name them: both are kept, or neither is.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{sync::Notify, time::sleep};
use tokio_util::task::TaskTracker;

use super::super::{Error, Ground};
use crate::store::{
    Store, StoreError, Tx,
    blob::{Blob, Received, SHELVES},
    media,
};

/// How old a file must be before it is removed because nothing names it, in milliseconds: the one
/// who is about to name it may be another process.
pub(super) const GRACE_MS: i64 = 60 * 60 * 1000;
/// Files that are looked up at once.
const BATCH: usize = 256;
/// A pause between two batches, in which others read and write.
const PAUSE: Duration = Duration::from_millis(20);

/// Keeps files and names them as one deed that nobody halves by hanging up.
#[derive(Clone)]
pub(super) struct Keeper {
    store: Store,
    blob: Blob,
    tasks: TaskTracker,
    /// Wakes downloads that wait for an upload.
    pub(super) arrived: Arc<Notify>,
}

impl Keeper {
    pub(super) fn new(ground: &Ground, blob: Blob) -> Self {
        let (store, tasks) = (ground.store.clone(), ground.tasks.clone());
        Self { store, blob, tasks, arrived: Arc::default() }
    }

    /// Puts a file that was received in its place and has `naming` name it. It goes on to its end
    /// though its caller hangs up, and a file that was not named does not stay.
    pub(super) async fn keep<T: Send + 'static>(
        &self,
        received: Received,
        naming: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let keeper = self.clone();
        let deed = self.tasks.spawn(async move { keeper.settle(received, naming).await });
        deed.await.map_err(Error::internal)?
    }

    async fn settle<T: Send + 'static>(
        &self,
        received: Received,
        naming: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let hash = received.written().hash;
        let named = self.name(received, naming).await;
        if named.is_ok() {
            self.arrived.notify_waiters();
        } else {
            self.discard(vec![hash]).await;
        }
        named
    }

    async fn name<T: Send + 'static>(
        &self,
        received: Received,
        naming: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let kept = self.blob.keep(received).await?;
        let (blob, hash) = (self.blob.clone(), kept.written().hash);
        let case = self.store.write(move |tx| {
            Box::pin(async move {
                // Another process may have swept it before this use case had its turn.
                if !blob.is_there(&hash).await? {
                    return Err(StoreError::Damaged("a file was gone before it was named").into());
                }
                naming(tx).await
            })
        });
        let named = case.await;
        drop(kept);
        named
    }

    /// Removes those of these files that nothing names. What fails is left for the next start.
    pub(super) async fn discard(&self, blobs: Vec<[u8; 32]>) {
        if let Err(error) = self.remove_unnamed(blobs).await {
            tracing::warn!(%error, "a file that nothing names could not be removed");
        }
    }

    /// How many went. Whoever names one writes as well, so nothing is named between look and removal.
    async fn remove_unnamed(&self, blobs: Vec<[u8; 32]>) -> Result<u64, Error> {
        let blob = self.blob.clone();
        let case = self.store.write::<u64, Error>(move |tx| {
            Box::pin(async move {
                let named = media::named(tx, &blobs).await?;
                let mut removed = 0;
                for hash in blobs.into_iter().filter(|hash| !named.contains(hash)) {
                    removed += u64::from(blob.remove(hash).await?);
                }
                Ok(removed)
            })
        });
        case.await
    }

    /// Removes all files that nothing names and that are older than the grace, and the resized
    /// pictures of those that are gone; how many files.
    pub(super) async fn sweep(&self, now_ms: i64) -> Result<u64, Error> {
        while self
            .store
            .write::<u64, Error>(|tx| {
                Box::pin(async move { Ok(tx.remove_left_thumbnails().await?) })
            })
            .await?
            > 0
        {
            sleep(PAUSE).await;
        }
        let mut removed = 0;
        for shelf in SHELVES {
            let found = self.blob.older(shelf, now_ms - GRACE_MS).await?;
            for batch in found.chunks(BATCH) {
                let named = media::named(&mut self.store.snapshot().await?, batch).await?;
                let unnamed = batch.iter().filter(|hash| !named.contains(*hash));
                let unnamed: Vec<[u8; 32]> = unnamed.copied().collect();
                if !unnamed.is_empty() {
                    removed += self.remove_unnamed(unnamed).await?;
                }
                sleep(PAUSE).await;
            }
        }
        Ok(removed)
    }
}
