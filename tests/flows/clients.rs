//! Clients that others wrote live with the node, and through it with each other, encrypted.
//!
//! In full they register, meet, talk, edit, react, send files, verify each other, lose devices and
//! come back on new ones; what exactly is in the scripts of `tests/clients`. A smoke story is a
//! message each way, for the other storage engine and for older rooms.

use std::{env, fs, time::Duration};

use anyhow::Result;
use tokio::try_join;
use wayside_tests::{Engine, Script, Town};

use crate::{pair::Pair, stage::VERSIONS};

/// For a whole story on a machine that does other things; by itself the longest takes a quarter.
const STORY_LIMIT: Duration = Duration::from_secs(100);

/// A client of others: the script that lives through it, and the variables that lead to its packages.
struct Guest {
    script: &'static str,
    packages: &'static [&'static str],
    /// Whether its devices keep their keys in a folder.
    keeps_keys: bool,
}

const NIO: Guest = Guest { script: "nio.py", packages: &["WAYSIDE_PYTHON"], keeps_keys: true };
const SDK: Guest = Guest { script: "sdk/sdk.mjs", packages: &["WAYSIDE_SDK"], keeps_keys: false };
const HYDROGEN: Guest = Guest {
    script: "hydrogen/hydrogen.mjs",
    // Of the other client a device, which makes what this one only uses.
    packages: &["WAYSIDE_HYDROGEN", "WAYSIDE_SDK", "WAYSIDE_BROWSER", "WAYSIDE_CHROMIUM"],
    keeps_keys: false,
};

#[tokio::test]
async fn nio_lives_with_the_node() -> Result<()> {
    lives(&NIO, Engine::Sqlite, "full").await
}

#[tokio::test]
async fn matrix_js_sdk_lives_with_the_node() -> Result<()> {
    lives(&SDK, Engine::Sqlite, "full").await
}

#[tokio::test]
async fn matrix_js_sdk_lives_by_sliding_sync() -> Result<()> {
    lives(&SDK, Engine::Sqlite, "sliding").await
}

#[tokio::test]
async fn hydrogen_lives_with_the_node() -> Result<()> {
    lives(&HYDROGEN, Engine::Sqlite, "full").await
}

#[tokio::test]
async fn nio_lives_on_postgres() -> Result<()> {
    lives(&NIO, Engine::Postgres, on_postgres()).await
}

#[tokio::test]
async fn matrix_js_sdk_lives_on_postgres() -> Result<()> {
    lives(&SDK, Engine::Postgres, on_postgres()).await?;
    if is_long_round() {
        lives(&SDK, Engine::Postgres, "sliding").await?;
    }
    Ok(())
}

#[tokio::test]
async fn hydrogen_lives_on_postgres() -> Result<()> {
    lives(&HYDROGEN, Engine::Postgres, on_postgres()).await
}

/// Two of them encrypt for each other, one on a node and one on Synapse.
#[tokio::test]
async fn nio_talks_across_servers() -> Result<()> {
    let Some(script) = Script::of_client(NIO.script, NIO.packages)? else { return Ok(()) };
    let Some(mut pair) = Pair::meet(Engine::Sqlite).await? else { return Ok(()) };
    for version in VERSIONS {
        let extent = if version == "12" || is_long_round() { "across" } else { "across-smoke" };
        let keys = pair.town.folder().join(format!("keys-{version}"));
        fs::create_dir_all(&keys)?;
        let keys = keys.display().to_string();
        let (here, there) = (pair.node.http().as_str(), pair.other.http().as_str());
        script.run(&[extent, here, &keys, there, version], STORY_LIMIT).await?;
    }
    try_join!(pair.node.stop(), pair.other.stop())?;
    Ok(())
}

/// How much of its story a client lives through on the second engine.
fn on_postgres() -> &'static str {
    if is_long_round() { "full" } else { "smoke" }
}

/// Whether this is `make test-full`, which tries every pair of what can be paired.
pub(crate) fn is_long_round() -> bool {
    env::var("WAYSIDE_TEST_EXTENT").is_ok_and(|extent| extent == "full")
}

async fn lives(guest: &Guest, engine: Engine, extent: &str) -> Result<()> {
    let Some(town) = Town::found(engine)? else { return Ok(()) };
    let Some(script) = Script::of_client(guest.script, guest.packages)? else { return Ok(()) };
    let keys = town.folder().join("keys");
    fs::create_dir_all(&keys)?;
    let keys = keys.display().to_string();

    let mut node = town.node("a")?.start().await?;
    let mut arguments = vec![extent, node.http().as_str()];
    if guest.keeps_keys {
        arguments.push(&keys);
    }
    script.run(&arguments, STORY_LIMIT).await?;
    node.stop().await?;
    Ok(())
}
