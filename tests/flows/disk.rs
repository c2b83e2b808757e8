//! The disk runs full under a node: it says so, goes on reading, and recovers without a restart.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::PathBuf,
    process::{Command, Output},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use wayside_tests::{CallError, Client, Engine, EventId, Options, RoomId, Seeded, Town, skip};

use crate::damage::no_damage_in_sqlite;

const DISK_BYTES: u64 = 64 * 1024 * 1024;
/// Long enough that few of them fill what room a log file has left in itself.
const LINE_BYTES: usize = 32 * 1024;
/// A node that still takes lines after this many, 32 MiB, writes them somewhere else.
const MOST_LINES: u64 = 1_000;
const PICTURE_BYTES: usize = 1024 * 1024;
/// How soon after room was made writes must go through again.
const RECOVERY_LIMIT: Duration = Duration::from_secs(10);
/// Words of the inside that no answer may carry.
const INNER_WORDS: [&str; 6] = ["sqlite", "sqlx", "os error", "enospc", "/var/", "panicked"];

#[tokio::test]
async fn disk_runs_full() -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else {
        return Ok(());
    };
    let data = disk.path().join("node");
    fs::create_dir(&data)?;
    let mut node = Options::new(&data).named("a.test").start().await?;
    let alice = Client::register(node.http(), "alice").await?;
    let room = alice.create_room(&json!({"preset": "public_chat"})).await?;
    let mut said = Said { alice, room, events: Vec::new() };
    let picture = Seeded::new(1).bytes(PICTURE_BYTES);
    let kept = said.alice.upload("application/octet-stream", picture.clone()).await?;
    said.line().await?;

    let ballast = disk.fill()?;
    refused_clearly(&said.until_refused().await?)?;
    let upload = said.alice.upload("application/octet-stream", picture.clone()).await;
    refused_clearly(&upload.err().context("an upload of 1 MiB fits on a full disk")?)?;

    said.all_there().await.context("reading while the disk is full")?;
    ensure!(
        said.alice.download(&kept).await? == picture,
        "the picture changed while the disk was full"
    );
    said.alice.sync(None, Duration::ZERO).await.context("syncing while the disk is full")?;

    fs::remove_file(ballast)?;
    said.line_within(RECOVERY_LIMIT).await?;
    let again = said.alice.upload("application/octet-stream", picture.clone()).await?;
    ensure!(said.alice.download(&again).await? == picture, "the picture after recovery is another");

    node.stop().await?;
    no_damage_in_sqlite(node.data()).await?;
    node.restart().await?;
    said.alice = said.alice.at(node.http());
    said.all_there().await.context("after the restart")?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn disk_that_fails_is_not_called_full() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else {
        return Ok(());
    };
    let mut node = town.node("a")?.file_limit(2_048).start().await?;
    let alice = Client::register(node.http(), "alice").await?;
    let room = alice.create_room(&json!({"preset": "public_chat"})).await?;
    let mut said = Said { alice, room, events: Vec::new() };
    let refused = said.until_refused().await?;
    refused_clearly(&refused)?;
    let text = refused.to_string();
    ensure!(!text.contains("full"), "there is room: {text}");
    said.all_there().await.context("reading though the disk failed")?;
    let log = node.log();
    ensure!(log.contains("the disk under the store failed"), "the log does not say so:\n{log}");
    ensure!(!log.contains("disk is full"), "the log says something else:\n{log}");
    node.stop().await?;
    no_damage_in_sqlite(node.data()).await
}

/// A refusal that a client can act on: a Matrix error, of the server's side, that hides the inside.
fn refused_clearly(error: &CallError) -> Result<()> {
    let CallError::Refused { status, body, .. } = error else { bail!("no answer at all: {error}") };
    ensure!(status.is_server_error(), "a full disk is not the client's fault: {error}");
    ensure!(
        body["errcode"].as_str().is_some_and(|code| code.starts_with("M_")),
        "no error code: {error}"
    );
    let text = body["error"].as_str().with_context(|| format!("no text for people: {error}"))?;
    ensure!(text.contains("id "), "no id under which the log tells more: {error}");
    let lower = body.to_string().to_lowercase();
    for inner in INNER_WORDS {
        ensure!(!lower.contains(inner), "shows its inside ({inner}): {error}");
    }
    Ok(())
}

/// What Alice has said and the node has acknowledged.
struct Said {
    alice: Client,
    room: RoomId,
    events: Vec<EventId>,
}

impl Said {
    async fn line(&mut self) -> Result<(), CallError> {
        let number = self.events.len();
        let line = format!("{number}:{}", "x".repeat(LINE_BYTES));
        let event = self.alice.send_text(&self.room, &format!("txn{number}"), &line).await?;
        self.events.push(event);
        Ok(())
    }

    async fn until_refused(&mut self) -> Result<CallError> {
        for _ in 0..MOST_LINES {
            if let Err(error) = self.line().await {
                return Ok(error);
            }
        }
        bail!("{MOST_LINES} lines of {LINE_BYTES} bytes fit on a full disk")
    }

    /// Sends the refused line again, under its transaction id, until it goes through.
    async fn line_within(&mut self, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        while let Err(error) = self.line().await {
            ensure!(
                begun.elapsed() < limit,
                "still refused {limit:?} after room was made: {error}"
            );
        }
        Ok(())
    }

    async fn all_there(&self) -> Result<()> {
        for (number, event) in self.events.iter().enumerate() {
            let path = format!("/_matrix/client/v3/rooms/{}/event/{event}", self.room);
            let body = self.alice.get(&path).await?["content"]["body"].take();
            let right = body.as_str().is_some_and(|text| text.starts_with(&format!("{number}:x")));
            ensure!(right, "line {number} is not what was said");
        }
        Ok(())
    }
}

/// A small file system of its own, unmounted when dropped.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts an ext4 file system in a file, else one in memory; `None` with a word on it where
    /// neither can be mounted.
    fn mount() -> Result<Option<Self>> {
        let folder = tempfile::Builder::new().prefix("wayside-disk.").tempdir_in("/var/tmp")?;
        let (image, place) = (folder.path().join("image"), folder.path().join("mounted"));
        fs::create_dir(&place)?;
        File::create(&image)?.set_len(DISK_BYTES)?;

        let size = format!("size={DISK_BYTES}");
        let place_text = place.display().to_string();
        let image_text = image.display().to_string();
        // No blocks are kept for root: the node may run as root here, and must meet the end too.
        let made = run(&["/sbin/mkfs.ext4", "-q", "-m", "0", &image_text]);
        let on_disk = made.and_then(|()| run(&["mount", "-o", "loop", &image_text, &place_text]));
        let mounted =
            on_disk.or_else(|_| run(&["mount", "-t", "tmpfs", "-o", &size, "tmpfs", &place_text]));
        match mounted {
            Ok(()) => Ok(Some(Self { folder })),
            Err(error) => {
                skip(&format!("no file system can be mounted: {error:#}"))?;
                Ok(None)
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Takes all room that is left, to the last byte, and returns the file that holds it.
    fn fill(&self) -> Result<PathBuf> {
        let path = self.path().join("ballast");
        let mut file = File::create(&path)?;
        // Large pieces first, then small ones for the rest.
        for piece in [1024 * 1024, 4096, 1] {
            let zeros = vec![0; piece];
            let end = loop {
                if let Err(error) = file.write_all(&zeros).and_then(|()| file.sync_data()) {
                    break error;
                }
            };
            ensure!(end.kind() == ErrorKind::StorageFull, "filling the disk: {end}");
        }
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a node that a failing story leaves behind may still hold its files.
        if let Err(error) = run(&["umount", "--lazy", &self.path().display().to_string()]) {
            eprintln!("unmounting: {error:#}");
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    let Output { status, stderr, .. } = Command::new(words[0])
        .args(&words[1..])
        .output()
        .with_context(|| format!("running {}", words[0]))?;
    ensure!(status.success(), "{}: {}", words[0], String::from_utf8_lossy(&stderr).trim());
    Ok(())
}
