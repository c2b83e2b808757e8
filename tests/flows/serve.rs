//! What an operator is promised of the program itself: how it starts, refuses, shows its health and ends.

use std::{
    ffi::OsString,
    fs,
    net::TcpListener,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use reqwest::{Certificate, StatusCode};
use serde_json::json;
use wayside_tests::{Client, Engine, Node, Options, Town, resident_bytes};

use crate::stage::comes_true;

/// Memory of one hash of a password (OWASP: 19 MiB).
const HASH_BYTES: u64 = 19 * 1024 * 1024;

#[tokio::test]
async fn serve_ends_on_sigterm_though_a_client_waits_in_a_long_poll() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else {
        return Ok(());
    };
    let mut node = town.node("a")?.start().await?;
    let alice = Client::register(node.http(), "alice").await?;
    let (_, since) = alice.sync(None, Duration::ZERO).await?;

    let waiting = tokio::spawn({
        let (alice, since) = (alice.clone(), since.clone());
        async move { alice.sync(Some(&since), Duration::from_secs(30)).await }
    });
    // A call that comes after it is answered, so by now the long poll has most likely begun; if it
    // has not, the story is easier, not wrong.
    alice.get("/_matrix/client/v3/account/whoami").await?;
    let begun = Instant::now();
    // Fails by itself if the node takes longer than promised.
    node.stop().await?;
    let answer = waiting.await?;
    ensure!(begun.elapsed() < Duration::from_secs(5), "the long poll outlived the node");
    if let Ok((_, token)) = answer {
        ensure!(token == since, "an answer at the end may not skip anything");
    }
    Ok(())
}

#[tokio::test]
async fn serve_refuses_what_cannot_be_right() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else {
        return Ok(());
    };

    let options = town.node("flag")?.flag("--frobnicate", None);
    options.start_refused().await?.names("--frobnicate")?;

    let options = town.node("value")?.flag("--registration", Some("perhaps"));
    options.start_refused().await?.names("perhaps")?;

    let options = town.node("key")?;
    fs::write(options.data().join("wayside.toml"), "sever_name = \"a.test\"\n")?;
    options.start_refused().await?.names("sever_name")?;

    let options = town.node("variable")?.variable("WAYSIDE_MAX_UPLOAD_BYTES", "plenty");
    options.start_refused().await?.names("WAYSIDE_MAX_UPLOAD_BYTES")?;
    let no_text = OsString::from_vec(vec![b'a', 0xff]);
    let options = town.node("no-text")?.variable("WAYSIDE_LOG", no_text);
    options.start_refused().await?.names("WAYSIDE_LOG")?;

    // A file where the folder should be: refused to root too, whom permissions do not stop.
    let file = town.folder().join("file");
    fs::write(&file, "not a folder")?;
    Options::new(&file)
        .named("a.test")
        .start_refused()
        .await?
        .names(&file.display().to_string())?;

    // Whatever else a file of certificates is, it is no authority to trust.
    for (name, holds) in [("none.pem", None), ("text.pem", Some("not a certificate"))] {
        let authority = town.folder().join(name);
        if let Some(holds) = holds {
            fs::write(&authority, holds)?;
        }
        let authority = authority.display().to_string();
        let options = town.node(&format!("trusting-{name}"))?;
        let options = options.flag("--trust-ca", Some(&authority));
        options.start_refused().await?.names(name)?;
    }

    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let options = town.node("port")?.flag("--http", Some(&address));
    options.start_refused().await?.names(&address)?;
    Ok(())
}

#[tokio::test]
async fn serve_refuses_a_data_folder_that_another_node_uses() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else {
        return Ok(());
    };
    let mut node = town.node("a")?.start().await?;
    let second = Options::new(node.data()).named("a.test");
    second.start_refused().await?.names("another")?;
    // And the first one has not suffered.
    Client::register(node.http(), "alice").await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn serve_refuses_a_database_that_another_node_serves() -> Result<()> {
    let Some(town) = Town::found(Engine::Postgres)? else {
        return Ok(());
    };
    let database = Engine::Postgres.database()?.context("PostgreSQL has databases")?;
    let on = |name: &str| -> Result<Options> {
        let data = town.folder().join(name);
        fs::create_dir(&data)?;
        // The URL is a setting of the folder, so that commands beside the node find it too.
        fs::write(data.join("wayside.toml"), format!("database = \"{}\"\n", database.url()))?;
        Ok(Options::new(&data).named("a.test"))
    };
    let mut node = on("first")?.start().await?;
    let alice = Client::register(node.http(), "alice").await?;
    let second = on("second")?;
    second.start_refused().await?.names("another node serves this database")?;

    let said = second.run(&["user", "role", "alice", "--role", "operator"]).await?;
    ensure!(said.status.success(), "a command beside the node is refused: {}", said.stderr);
    alice.create_room(&json!({})).await.context("the node has suffered")?;
    // Killed, not ended: the next one must not be kept waiting by a session that nobody holds.
    node.kill().await?;
    let mut next = second.start().await?;
    alice.at(next.http()).create_room(&json!({})).await?;
    next.stop().await?;
    Ok(())
}

#[tokio::test]
async fn serve_shows_its_health_and_metrics() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else {
        return Ok(());
    };
    let mut node = town.node("a")?.start().await?;
    for path in ["/health/live", "/health/ready"] {
        let answer = reqwest::get(node.http().join(path)?).await?;
        ensure!(answer.status() == StatusCode::OK, "{path}: {}", answer.status());
    }

    // A proxy on this machine asks for somebody who is not on it.
    let asking = reqwest::Client::new().get(node.http().join("/metrics")?);
    let answer = asking.header("x-forwarded-for", "192.0.2.7").send().await?;
    ensure!(answer.status() == StatusCode::FORBIDDEN, "metrics for others: {}", answer.status());

    let before = node.metrics().await?;
    let alice = Client::register(node.http(), "alice").await?;
    alice.create_room(&json!({})).await?;
    let after = node.metrics().await?;
    ensure!(
        after.names().all(|name| name.starts_with("wayside_") || name.starts_with("process_")),
        "foreign metrics"
    );
    for name in ["wayside_store_commits_total", "wayside_store_transactions_total"] {
        ensure!(after.sum(name) > before.sum(name), "{name} did not count an account and a room");
    }
    for name in ["wayside_store_wal_bytes", "wayside_process_resident_memory_bytes"] {
        ensure!(after.sum(name) > 0.0, "{name} is not told");
    }
    node.stop().await?;
    Ok(())
}

/// Hashing passwords takes much memory for a moment. Then nothing more happens at the node.
#[tokio::test]
async fn memory_goes_back_though_nothing_more_happens() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else {
        return Ok(());
    };
    let mut node = town.node("a")?.start().await?;
    let pid = node.pid().context("the node has ended by itself")?;
    let before = resident_bytes(pid)?;
    let (ann, bob) =
        tokio::join!(Client::register(node.http(), "ann"), Client::register(node.http(), "bob"));
    ann.and(bob)?;
    let hashed = resident_bytes(pid)?;
    ensure!(hashed > before + HASH_BYTES, "{before} bytes before, {hashed} after two passwords");
    comes_true("what was freed goes back", async || Ok(resident_bytes(pid)? < hashed - HASH_BYTES))
        .await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn serve_speaks_https_with_the_authority_in_its_data_folder() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else {
        return Ok(());
    };
    let mut node = town.node("a")?.start().await?;
    let versions = node.https().join("/_matrix/client/versions")?;

    let stranger = reqwest::Client::new().get(versions.clone()).send().await;
    ensure!(stranger.is_err(), "a client that does not know the authority trusts it");

    let authority = Certificate::from_pem(&fs::read(authority_of(&node)?)?)?;
    let neighbour = reqwest::Client::builder().tls_certs_only([authority.clone()]).build()?;
    let answer = neighbour.get(versions).send().await?.error_for_status()?;
    let versions: serde_json::Value = answer.json().await?;
    ensure!(versions["versions"].is_array(), "not the versions: {versions}");

    // Who has trusted the authority once must not be asked again after a restart.
    node.stop().await?;
    node.restart().await?;
    neighbour
        .get(node.https().join("/_matrix/client/versions")?)
        .send()
        .await?
        .error_for_status()?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn serve_without_a_name_says_that_it_is_a_try_out() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else {
        return Ok(());
    };
    let data = town.folder().join("unnamed");
    fs::create_dir(&data)?;
    let mut node = Options::new(&data).start().await?;
    node.stop().await?;
    let log = node.log().to_lowercase();
    ensure!(log.contains("try-out") && log.contains("wayside init"), "does not say so:\n{log}");
    Ok(())
}

#[tokio::test]
async fn serve_keeps_the_name_that_init_gave_for_ever() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else {
        return Ok(());
    };
    let data = town.folder().join("named");
    fs::create_dir(&data)?;
    let unnamed = Options::new(&data);
    let init = unnamed.run(&["init", "first.test"]).await?;
    ensure!(init.status.success(), "init failed: {}", init.stderr);
    let again = unnamed.run(&["init", "second.test"]).await?;
    again.names("first.test")?;

    let other = Options::new(&data).named("second.test");
    other.start_refused().await?.names("first.test")?;

    let mut node = unnamed.start().await?;
    let alice = Client::register(node.http(), "alice").await?;
    let user_id = &alice.session().user_id;
    ensure!(
        user_id == "@alice:first.test",
        "init named the node first.test, and Alice is {user_id}"
    );
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn config_check_tells_right_from_wrong() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else {
        return Ok(());
    };
    let options = town.node("a")?;
    let file = options.data().join("wayside.toml");

    fs::write(&file, "server_name = \"a.test\"\nregistration = \"closed\"\n")?;
    let right = options.run(&["config", "check"]).await?;
    ensure!(right.status.success(), "a right file is refused: {}", right.stderr);

    for name in ["cert.pem", "key.pem"] {
        fs::write(town.folder().join(name), "no PEM")?;
    }
    let pem = |name: &str| town.folder().join(name).display().to_string();
    let pair = format!("tls_cert = {:?}\ntls_key = {:?}\n", pem("cert.pem"), pem("key.pem"));
    let trusted = format!("trust_ca = {:?}\n", pem("cert.pem"));
    for (wrong, named) in [
        (&*pair, "in PEM"),
        (&*trusted, "cert.pem"),
        ("registraton = \"closed\"\n", "registraton"),
        ("registration = \"perhaps\"\n", "registration"),
        ("database = \"mysql://localhost/wayside\"\n", "database"),
        ("tls_cert = \"cert.pem\"\n", "tls_key"),
        ("server_name = \n", "wayside.toml"),
    ] {
        fs::write(&file, wrong)?;
        options
            .run(&["config", "check"])
            .await?
            .names(named)
            .with_context(|| format!("for {wrong:?}"))?;
        // How it would be right is shown all the same.
        let example = options.run(&["config", "example"]).await?;
        ensure!(
            example.status.success() && example.stdout.contains("#server_name = "),
            "{wrong:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn serve_ends_at_once_when_nobody_is_there() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else {
        return Ok(());
    };
    let mut node = town.node("a")?.start().await?;
    let took = node.stop().await?;
    ensure!(took < Duration::from_secs(1), "an idle node took {took:?} to end");
    Ok(())
}

/// The certificate of the node's own authority: the one certificate in its data folder that says
/// it is an authority by its name.
pub(crate) fn authority_of(node: &Node) -> Result<PathBuf> {
    let found = find(node.data(), "ca.pem")?;
    found.with_context(|| format!("no ca.pem in {}", node.data().display()))
}

fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, name)? {
                return Ok(Some(found));
            }
        } else if path.file_name().is_some_and(|file| file == name) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
