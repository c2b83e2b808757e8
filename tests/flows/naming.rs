//! How a node comes by its name: settled once, and either everywhere or nowhere.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result, ensure};
use wayside_tests::{Client, Engine, Options, Refusal, Town};

/// What a database URL leads to where nobody listens.
const NOWHERE: &str = "postgres://nobody@127.0.0.1:0/none";

async fn init(data: &Path, name: &str, database: Option<&str>) -> Result<Refusal> {
    let mut command = vec!["init", name];
    command.extend(database.map(|url| ["--database", url]).into_iter().flatten());
    Options::new(data).run(&command).await
}

fn done(init: &Refusal) -> Result<()> {
    ensure!(init.status.success(), "init failed: {}", init.stderr);
    Ok(())
}

/// Nothing says that the node has a name.
fn is_unnamed(data: &Path) -> Result<()> {
    let left: Vec<String> = fs::read_dir(data)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    ensure!(!left.iter().any(|name| name.starts_with("wayside.toml")), "{left:?}");
    Ok(())
}

#[tokio::test]
async fn naming_is_left_to_those_who_start_or_name_a_node() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let data = town.folder().join("new");
    let commands: [&[&str]; 3] = [&["user", "list"], &["invite"], &["room", "list"]];
    for command in commands {
        Options::new(&data).run(command).await?.names("there is no node")?;
    }
    // None of them made a try-out of it, which could never have a name.
    done(&init(&data, "first.test", None).await?)?;
    for command in commands {
        done(&Options::new(&data).run(command).await?)?;
    }
    Ok(())
}

#[tokio::test]
async fn naming_that_fails_can_be_tried_again() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let data = town.folder().join("new");
    init(&data, "first.test", Some(NOWHERE)).await?.names("database")?;
    is_unnamed(&data)?;
    // Where the settings belong there is something else.
    let settings = data.join("wayside.toml");
    fs::create_dir(&settings)?;
    init(&data, "first.test", None).await?.names("wayside.toml")?;
    fs::remove_dir(&settings)?;
    let new = data.join("wayside.toml.new");
    fs::create_dir(&new)?;
    init(&data, "first.test", None).await?.names("wayside.toml")?;
    fs::remove_dir(&new)?;

    // None of that has settled a name.
    done(&init(&data, "second.test", None).await?)?;
    ensure!(fs::read_to_string(&settings)?.starts_with("server_name = \"second.test\"\n"));
    for private in [&data, &settings] {
        let mode = fs::metadata(private)?.permissions().mode();
        ensure!(mode.trailing_zeros() >= 6, "others may look into {}: {mode:o}", private.display());
    }
    // Settled and not yet written is what a power cut may leave: the same name is still the right one.
    fs::remove_file(&settings)?;
    init(&data, "third.test", None).await?.names("second.test")?;
    is_unnamed(&data)?;
    done(&init(&data, "second.test", None).await?)?;
    let mut node = Options::new(&data).start().await?;
    let alice = Client::register(node.http(), "alice").await?;
    ensure!(alice.session().user_id == "@alice:second.test");
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn naming_a_try_out_is_refused_and_leaves_it_one() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let data = town.folder().join("unnamed");
    let mut node = Options::new(&data).start().await?;
    Client::register(node.http(), "alice").await?;
    init(&data, "a.test", None).await?.names("another node serves")?;
    node.stop().await?;
    init(&data, "a.test", None).await?.names("try-out")?;
    is_unnamed(&data)?;
    node.restart().await?;
    Client::login(node.http(), "alice").await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn naming_on_a_database_that_has_a_node_is_refused() -> Result<()> {
    let Some(town) = Town::found(Engine::Postgres)? else { return Ok(()) };
    let database = || Engine::Postgres.database()?.context("PostgreSQL is here");
    let (others, tried, own) = (database()?, database()?, database()?);
    done(&init(&town.folder().join("other"), "other.test", Some(others.url())).await?)?;
    let try_out = town.folder().join("try-out");
    let mut node = Options::new(&try_out).flag("--database", Some(tried.url())).start().await?;
    Client::register(node.http(), "alice").await?;
    node.stop().await?;

    let data = town.folder().join("new");
    init(&data, "a.test", Some(others.url())).await?.names("other.test")?;
    is_unnamed(&data)?;
    init(&data, "a.test", Some(tried.url())).await?.names("try-out")?;
    is_unnamed(&data)?;
    done(&init(&data, "a.test", Some(own.url())).await?)?;
    // The settings say where the name was settled, so that a start cannot make another node of it.
    let mut node = Options::new(&data).start().await?;
    let alice = Client::register(node.http(), "alice").await?;
    ensure!(alice.session().user_id == "@alice:a.test");
    ensure!(!data.join("wayside.db").exists(), "a second store was made");
    node.stop().await?;
    Ok(())
}
