//! Certificates that the operator replaces while the node serves.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wayside_tests::{Answer, Engine, Node, Town, Wire};

use crate::stage::comes_true;

const ASKED: &str = "GET /health/live HTTP/1.1\r\nhost: a.test\r\n\r\n";
/// How the node says that it cannot use what lies there.
const COMPLAINT: &str = "cannot be used and the one from before stays";

/// A certificate for this machine that vouches for itself, and its key.
struct Pair {
    certificate: String,
    key: String,
    /// Where whoever trusts it finds it.
    trusted: PathBuf,
}

impl Pair {
    fn make(folder: &Path, name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let made = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.self_signed(&key)?;
        let trusted = folder.join(format!("{name}.pem"));
        fs::write(&trusted, made.pem())?;
        Ok(Self { certificate: made.pem(), key: key.serialize_pem(), trusted })
    }

    /// Whether both encrypted doors serve with it.
    async fn is_served(&self, node: &Node) -> Result<bool> {
        for door in [node.https(), node.federation()] {
            if Wire::secure(door, &self.trusted, "http/1.1")?.open().await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[tokio::test]
async fn certificates_are_replaced_while_the_node_serves() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let folder = town.folder();
    let (first, second) = (Pair::make(folder, "first")?, Pair::make(folder, "second")?);
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&certificate, &first.certificate)?;
    fs::write(&key, &first.key)?;
    let mut node = town
        .node("a")?
        .flag("--tls-cert", certificate.to_str())
        .flag("--tls-key", key.to_str())
        .start()
        .await?;
    ensure!(first.is_served(&node).await? && !second.is_served(&node).await?);
    let ends = node.metrics().await?.sum("wayside_certificate_expiry_seconds");
    ensure!(ends > 1.7e9, "no time in seconds: {ends}");
    let mut standing = Wire::secure(node.https(), &first.trusted, "http/1.1")?.open().await?;
    standing.write_all(ASKED.as_bytes()).await?;
    ensure!(standing.read(&mut [0; 4_096]).await? > 0);

    // The certificate of another key: the old pair stays, and the operator is told once.
    fs::write(&certificate, &second.certificate)?;
    let complained = |node: &Node| node.log().matches(COMPLAINT).count();
    comes_true("a complaint", async || Ok(complained(&node) > 0)).await?;
    ensure!(first.is_served(&node).await? && !second.is_served(&node).await?);
    fs::write(&key, &second.key)?;
    comes_true("the second pair", async || second.is_served(&node).await).await?;
    ensure!(!first.is_served(&node).await?, "the first one is still served");
    let complaints = complained(&node);
    ensure!(complaints == 1, "{complaints} complaints of one state:\n{}", node.log());

    // Whoever came before goes on.
    standing.write_all(ASKED.as_bytes()).await?;
    let mut all = Vec::new();
    while Answer::first(&all).is_err() && standing.read_buf(&mut all).await? > 0 {}
    ensure!(Answer::first(&all)?.status == 200);
    drop(standing);
    node.stop().await?;
    Ok(())
}
