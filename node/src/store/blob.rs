//! Bytes named by their SHA-256, on disk: whole or not there at all.

use std::{
    collections::HashMap,
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
    task::spawn_blocking,
};

use super::StoreError;
use crate::clock::Clock;

/// Where blobs are kept.
#[derive(Clone, Debug)]
pub enum Blob {
    /// Files below a folder, by the first two digits of their names.
    Disk(Arc<Disk>),
}

/// Blobs on a disk.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    clock: Clock,
    /// Blobs that somebody is about to name, and how many are: none of them is removed.
    held: Mutex<HashMap<[u8; 32], usize>>,
}

/// The folders into which blobs are divided.
pub const SHELVES: std::ops::RangeInclusive<u8> = 0..=u8::MAX;

/// A blob that is wholly on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// SHA-256 of the bytes.
    pub hash: [u8; 32],
    /// How many bytes.
    pub size: u64,
}

/// A file that has come whole and has no name yet; it goes when this does.
pub struct Received {
    unfinished: Unfinished,
    written: Written,
}

/// A blob in its place that nothing may name as yet. While this lives, nobody removes it.
#[derive(Debug)]
pub struct Kept {
    written: Written,
    disk: Arc<Disk>,
}

impl Kept {
    /// What was kept.
    #[must_use]
    pub fn written(&self) -> Written {
        self.written
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut held = self.disk.held();
        if let Some(count) = held.get_mut(&self.written.hash) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.written.hash);
            }
        }
    }
}

/// Why a blob could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// More bytes came than are allowed; what was written is removed.
    #[error("receiving a file: it is larger than {limit} bytes")]
    TooLarge {
        /// The most that is allowed.
        limit: u64,
    },
    /// The sender broke off.
    #[error("receiving a file: the sender broke off")]
    BrokenOff,
    /// The disk did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Blob {
    /// Opens the folder. Others may be at work in it: a command beside the node that serves.
    pub async fn disk(folder: &Path, clock: Clock) -> Result<Self, StoreError> {
        fs::create_dir_all(folder.join("unfinished")).await?;
        let folder = folder.to_owned();
        Ok(Self::Disk(Arc::new(Disk { folder, clock, held: Mutex::default() })))
    }

    /// Removes what unfinished uploads of an earlier process left behind; only for the one process
    /// that serves, before it takes uploads in.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let Self::Disk(disk) = self;
        let mut left = fs::read_dir(disk.folder.join("unfinished")).await?;
        while let Some(entry) = left.next_entry().await? {
            fs::remove_file(entry.path()).await?;
        }
        Ok(())
    }

    /// Takes in what the stream gives while hashing it, at most `limit` bytes, and syncs it.
    pub async fn receive<E>(
        &self,
        mut bytes: impl Stream<Item = Result<Bytes, E>> + Unpin,
        limit: u64,
    ) -> Result<Received, WriteError> {
        let Self::Disk(disk) = self;
        let path = disk.folder.join("unfinished").join(disk.clock.random_name(24));
        // Made together with its guard: were it made by itself, it would appear after whoever hung
        // up meanwhile had removed it.
        let (file, unfinished) = blocking(move || {
            let file = std::fs::File::create_new(&path)?;
            Ok((file, Unfinished(path)))
        })
        .await?;
        let written = receive(File::from_std(file), &mut bytes, limit).await?;
        Ok(Received { unfinished, written })
    }

    /// Takes bytes in that are in memory.
    pub async fn receive_whole(&self, bytes: Vec<u8>) -> Result<Received, WriteError> {
        let limit = bytes.len() as u64;
        let stream = futures_util::stream::iter([Ok::<_, io::Error>(Bytes::from(bytes))]);
        self.receive(stream, limit).await
    }

    /// Puts what was received in its place: renamed, then the folder synced, so that a crash leaves
    /// the whole blob or none. Whoever calls this names it, or has it removed.
    pub async fn keep(&self, received: Received) -> Result<Kept, StoreError> {
        let Self::Disk(disk) = self;
        let Received { unfinished, written } = received;
        *disk.held().entry(written.hash).or_default() += 1;
        let kept = Kept { written, disk: disk.clone() };
        let (shelf, place) = (disk.shelf(written.hash[0]), disk.path(&written.hash));
        fs::create_dir_all(&shelf).await?;
        fs::rename(&unfinished.0, &place).await?;
        for folder in [&shelf, &disk.folder] {
            File::open(folder).await?.sync_all().await?;
        }
        Ok(kept)
    }

    /// The file of a blob, opened for reading, with its size.
    pub async fn open(&self, hash: &[u8; 32]) -> Result<Option<(File, u64)>, StoreError> {
        let Self::Disk(disk) = self;
        let file = match File::open(disk.path(hash)).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let size = file.metadata().await?.len();
        Ok(Some((file, size)))
    }

    /// All bytes of a blob.
    pub async fn read(&self, hash: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        let Self::Disk(disk) = self;
        match fs::read(disk.path(hash)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a blob is in its place.
    pub async fn is_there(&self, hash: &[u8; 32]) -> Result<bool, StoreError> {
        let Self::Disk(disk) = self;
        Ok(fs::try_exists(disk.path(hash)).await?)
    }

    /// Blobs of a shelf that were written before a time, in milliseconds since the epoch.
    pub async fn older(&self, shelf: u8, before_ms: i64) -> Result<Vec<[u8; 32]>, StoreError> {
        let Self::Disk(disk) = self;
        let shelf = disk.shelf(shelf);
        blocking(move || older(&shelf, before_ms)).await
    }

    /// Removes a blob unless somebody is about to name it; whether it did. Only within a use case
    /// of the store that has seen that nothing names it.
    pub async fn remove(&self, hash: [u8; 32]) -> Result<bool, StoreError> {
        let Self::Disk(disk) = self;
        let disk = disk.clone();
        blocking(move || {
            // Held until the file is gone: whoever puts it in its place does so before or after.
            let held = disk.held();
            if held.contains_key(&hash) {
                return Ok(false);
            }
            match std::fs::remove_file(disk.path(&hash)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                done => done.map(|()| true),
            }
        })
        .await
    }
}

impl Disk {
    fn path(&self, hash: &[u8; 32]) -> PathBuf {
        self.shelf(hash[0]).join(hex::encode(hash))
    }

    fn shelf(&self, shelf: u8) -> PathBuf {
        self.folder.join(hex::encode([shelf]))
    }

    fn held(&self) -> MutexGuard<'_, HashMap<[u8; 32], usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Received {
    /// What has come.
    #[must_use]
    pub fn written(&self) -> Written {
        self.written
    }

    /// All its bytes.
    pub async fn read(&self) -> Result<Vec<u8>, StoreError> {
        Ok(fs::read(&self.unfinished.0).await?)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    Ok(spawn_blocking(work).await.map_err(io::Error::other)??)
}

fn older(shelf: &Path, before_ms: i64) -> io::Result<Vec<[u8; 32]>> {
    let entries = match std::fs::read_dir(shelf) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let mut hash = [0; 32];
        // What has no hash for a name is none of ours.
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.len() == 64 && hex::decode_to_slice(name, &mut hash).is_ok());
        if ours && written_ms(&entry.metadata()?)? < before_ms {
            found.push(hash);
        }
    }
    Ok(found)
}

fn written_ms(file: &Metadata) -> io::Result<i64> {
    let since = file.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A file that is still being written. It goes when this does, however that comes: by an error, or
/// because nobody waits for the rest any more. Once it has its name there is nothing to remove.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What cannot be removed now goes at the next start.
        let _left_for_next_start = std::fs::remove_file(&self.0);
    }
}

async fn receive<E>(
    mut file: File,
    bytes: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    limit: u64,
) -> Result<Written, WriteError> {
    let mut digest = Sha256::new();
    let mut size = 0_u64;
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk.map_err(|_| WriteError::BrokenOff)?;
        size += chunk.len() as u64;
        if size > limit {
            return Err(WriteError::TooLarge { limit });
        }
        digest.update(&chunk);
        file.write_all(&chunk).await.map_err(StoreError::from)?;
    }
    file.flush().await.map_err(StoreError::from)?;
    file.sync_all().await.map_err(StoreError::from)?;
    Ok(Written { hash: digest.finalize().into(), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(
        parts: &[Result<&'static [u8], ()>],
    ) -> impl Stream<Item = Result<Bytes, ()>> + Unpin {
        let parts: Vec<_> = parts.iter().map(|part| part.map(Bytes::from_static)).collect();
        futures_util::stream::iter(parts)
    }

    #[tokio::test]
    async fn a_blob_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let blob = Blob::disk(folder.path(), Clock).await.unwrap();
        let received = blob.receive(chunks(&[Ok(b"hello "), Ok(b"world")]), 11).await.unwrap();
        assert!(!blob.is_there(&received.written().hash).await.unwrap());
        let written = blob.keep(received).await.unwrap().written();
        assert_eq!(written.size, 11);
        assert_eq!(blob.read(&written.hash).await.unwrap().unwrap(), b"hello world");
        let over = blob.receive(chunks(&[Ok(b"hello "), Ok(b"world!")]), 11).await;
        assert!(matches!(over, Err(WriteError::TooLarge { limit: 11 })));
        let broken = blob.receive(chunks(&[Ok(b"hel"), Err(())]), 11).await;
        assert!(matches!(broken, Err(WriteError::BrokenOff)));
        let left = std::fs::read_dir(folder.path().join("unfinished")).unwrap().count();
        assert_eq!(left, 0, "refused uploads leave nothing behind");
        assert!(blob.read(&[0; 32]).await.unwrap().is_none());

        let under_way = folder.path().join("unfinished/under-way");
        std::fs::write(&under_way, "half").unwrap();
        let beside = Blob::disk(folder.path(), Clock).await.unwrap();
        assert!(under_way.exists(), "opening beside a node that serves takes nothing away");
        beside.sweep().await.unwrap();
        assert!(!under_way.exists());
    }

    #[tokio::test]
    async fn a_blob_that_is_about_to_be_named_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let blob = Blob::disk(folder.path(), Clock).await.unwrap();
        let keep = async || {
            let received = blob.receive_whole(b"twice".to_vec()).await.unwrap();
            blob.keep(received).await.unwrap()
        };
        let (first, second) = (keep().await, keep().await);
        let hash = first.written().hash;
        drop(first);
        assert!(!blob.remove(hash).await.unwrap(), "the other one is still to be named");
        drop(second);
        let there = blob.older(hash[0], i64::MAX).await.unwrap();
        assert_eq!(there, [hash]);
        assert_eq!(blob.older(hash[0], 0).await.unwrap(), [[0; 32]; 0], "it is too new");
        assert!(blob.remove(hash).await.unwrap());
        assert!(!blob.is_there(&hash).await.unwrap());
        assert!(!blob.remove(hash).await.unwrap(), "it is gone already");
    }
}
