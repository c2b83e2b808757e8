//! Bytes named by their SHA-256, on disk: whole or not there at all.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
};

use super::StoreError;
use crate::clock::Clock;

/// Where blobs are kept.
#[derive(Clone, Debug)]
pub enum Blob {
    /// Files below a folder, by the first two digits of their names.
    Disk(PathBuf),
}

/// A blob that is wholly on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// SHA-256 of the bytes.
    pub hash: [u8; 32],
    /// How many bytes.
    pub size: u64,
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
    pub async fn disk(folder: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(folder.join("unfinished")).await?;
        Ok(Self::Disk(folder.to_owned()))
    }

    /// Removes what unfinished uploads of an earlier process left behind; only for the one process
    /// that serves, before it takes uploads in.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let Self::Disk(folder) = self;
        let mut left = fs::read_dir(folder.join("unfinished")).await?;
        while let Some(entry) = left.next_entry().await? {
            fs::remove_file(entry.path()).await?;
        }
        Ok(())
    }

    /// Writes what the stream gives while hashing it, at most `limit` bytes: under a temporary name,
    /// synced, then renamed, then the folder synced, so that a crash leaves the whole blob or none.
    pub async fn write<E>(
        &self,
        mut bytes: impl Stream<Item = Result<Bytes, E>> + Unpin,
        limit: u64,
    ) -> Result<Written, WriteError> {
        let Self::Disk(folder) = self;
        let unfinished = Unfinished(folder.join("unfinished").join(Clock.random_name(24)));
        let written = receive(&unfinished.0, &mut bytes, limit).await?;
        self.keep(&unfinished.0, &written.hash).await?;
        Ok(written)
    }

    /// Writes bytes that are in memory.
    pub async fn write_whole(&self, bytes: Vec<u8>) -> Result<Written, WriteError> {
        let limit = bytes.len() as u64;
        let stream = futures_util::stream::iter([Ok::<_, io::Error>(Bytes::from(bytes))]);
        self.write(stream, limit).await
    }

    /// The file of a blob, opened for reading, with its size.
    pub async fn open(&self, hash: &[u8; 32]) -> Result<Option<(File, u64)>, StoreError> {
        let file = match File::open(self.path(hash)).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let size = file.metadata().await?.len();
        Ok(Some((file, size)))
    }

    /// All bytes of a blob.
    pub async fn read(&self, hash: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        match fs::read(self.path(hash)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn keep(&self, unfinished: &Path, hash: &[u8; 32]) -> Result<(), WriteError> {
        let place = self.path(hash);
        let shelf = place.parent().expect("a blob's path has a folder above it");
        fs::create_dir_all(shelf).await.map_err(StoreError::from)?;
        fs::rename(unfinished, &place).await.map_err(StoreError::from)?;
        for folder in [Some(shelf), shelf.parent()].into_iter().flatten() {
            let opened = File::open(folder).await.map_err(StoreError::from)?;
            opened.sync_all().await.map_err(StoreError::from)?;
        }
        Ok(())
    }

    fn path(&self, hash: &[u8; 32]) -> PathBuf {
        let Self::Disk(folder) = self;
        let name = hex::encode(hash);
        folder.join(&name[..2]).join(name)
    }
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
    path: &Path,
    bytes: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    limit: u64,
) -> Result<Written, WriteError> {
    let mut file = File::create_new(path).await.map_err(StoreError::from)?;
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
        let blob = Blob::disk(folder.path()).await.unwrap();
        let written = blob.write(chunks(&[Ok(b"hello "), Ok(b"world")]), 11).await.unwrap();
        assert_eq!(written.size, 11);
        assert_eq!(blob.read(&written.hash).await.unwrap().unwrap(), b"hello world");
        let over = blob.write(chunks(&[Ok(b"hello "), Ok(b"world!")]), 11).await;
        assert!(matches!(over, Err(WriteError::TooLarge { limit: 11 })));
        let broken = blob.write(chunks(&[Ok(b"hel"), Err(())]), 11).await;
        assert!(matches!(broken, Err(WriteError::BrokenOff)));
        let left = std::fs::read_dir(folder.path().join("unfinished")).unwrap().count();
        assert_eq!(left, 0, "refused uploads leave nothing behind");
        assert!(blob.read(&[0; 32]).await.unwrap().is_none());

        let under_way = folder.path().join("unfinished/under-way");
        std::fs::write(&under_way, "half").unwrap();
        let beside = Blob::disk(folder.path()).await.unwrap();
        assert!(under_way.exists(), "opening beside a node that serves takes nothing away");
        beside.sweep().await.unwrap();
        assert!(!under_way.exists());
    }
}
