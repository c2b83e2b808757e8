//! Two people talk through a client that others wrote, and the node is restarted in between.

use std::time::Duration;

use anyhow::Result;
use wayside_tests::{Engine, Script, Town};

const PHASE_LIMIT: Duration = Duration::from_mins(1);

#[tokio::test]
async fn talk_on_sqlite() -> Result<()> {
    talk(Engine::Sqlite).await
}

#[tokio::test]
async fn talk_on_postgres() -> Result<()> {
    talk(Engine::Postgres).await
}

async fn talk(engine: Engine) -> Result<()> {
    let Some(town) = Town::found(engine)? else {
        return Ok(());
    };
    let Some(script) = Script::find("talk.py")? else {
        return Ok(());
    };
    let state = town.folder().join("talk.json").display().to_string();

    let mut node = town.node("a")?.start().await?;
    script.run(&["before", &state, node.http().as_str()], PHASE_LIMIT).await?;
    node.stop().await?;
    node.restart().await?;
    script.run(&["after", &state, node.http().as_str()], PHASE_LIMIT).await?;
    node.stop().await?;
    Ok(())
}
