//! How a node ends: within the time that a service manager is promised, whatever its clients do.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use reqwest::Certificate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wayside_tests::{Client, Engine, Seeded, Town, Wire};

use crate::serve::authority_of;

/// More than any buffer between a node and its client holds.
const LARGE: usize = 16 * 1024 * 1024;

#[tokio::test]
async fn ending_cuts_off_whoever_reads_slowly_sends_slowly_or_waits() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let mut node = town.node("a")?.start().await?;
    let alice = Client::register(node.http(), "alice").await?;
    let bytes = Seeded::from_env(8).bytes(LARGE);
    let large = alice.upload("application/octet-stream", bytes).await?;
    let token = alice.session().token();
    let path = format!("/_matrix/client/v1/media/download/{}", large.place());

    // Somebody who reads the beginning of a file and then no more, by each protocol.
    let wire = Wire::to(node.http())?;
    let mut reader = wire.open().await?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n");
    reader.write_all(head.as_bytes()).await?;
    ensure!(reader.read(&mut [0; 1_024]).await? > 0);
    let authority = Certificate::from_pem(&fs::read(authority_of(&node)?)?)?;
    let second = reqwest::Client::builder().tls_certs_only([authority]).build()?;
    let asking = second.get(node.https().join(&path)?).bearer_auth(token);
    let mut other_reader = asking.send().await?.error_for_status()?;
    ensure!(other_reader.version() == reqwest::Version::HTTP_2);
    ensure!(other_reader.chunk().await?.is_some());

    // Somebody in the middle of an upload, who was asked to go on.
    let mut writer = wire.open().await?;
    let head = format!(
        "POST /_matrix/media/v3/upload HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
         expect: 100-continue\r\ncontent-length: {LARGE}\r\n\r\n"
    );
    writer.write_all(head.as_bytes()).await?;
    ensure!(writer.read(&mut [0; 1_024]).await? > 0);
    writer.write_all(&vec![0; LARGE / 2]).await?;

    // Somebody who waits for news, and somebody who began to shake hands.
    let (_, since) = alice.sync(None, Duration::ZERO).await?;
    let waiting = tokio::spawn({
        let alice = alice.clone();
        async move { alice.sync(Some(&since), Duration::from_secs(30)).await }
    });
    let mut stranger = Wire::to(node.https())?.open().await?;
    stranger.write_all(&[0x16, 3, 1, 2]).await?;
    alice.get("/_matrix/client/v3/account/whoami").await?;

    // Fails by itself if the node takes longer than promised.
    node.stop().await?;
    let log = node.log();
    ensure!(log.contains("are cut off"), "nobody was cut off:\n{log}");
    ensure!(!log.contains("go on though") && !log.contains("did not close in time"), "{log}");
    // All of them learn that it is over.
    let _cut_off_or_answered = waiting.await?;
    for mut stream in [reader, writer, stranger] {
        let _reset_counts_too = stream.read_to_end(&mut Vec::new()).await;
    }
    while let Ok(Some(_)) = other_reader.chunk().await {}
    node.restart().await?;
    let whole = alice.at(node.http()).download(&large).await?;
    ensure!(whole.len() == LARGE, "{} bytes are left", whole.len());
    node.stop().await?;
    Ok(())
}
