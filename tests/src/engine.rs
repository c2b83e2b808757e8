//! The storage engines that a story runs on, and a database of its own for each node.

use std::{
    env,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Url;

use crate::programs::skip;

/// Where a node keeps its facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file in the node's data folder.
    Sqlite,
    /// A database in the server that `WAYSIDE_TEST_POSTGRES` names.
    Postgres,
}

impl Engine {
    /// Whether stories can run on it here; where not, says so under the story's name.
    pub fn is_here(self) -> Result<bool> {
        if self == Self::Sqlite || server().is_some() {
            return Ok(true);
        }
        skip("WAYSIDE_TEST_POSTGRES is not set (.ci/with-postgres sets it)")?;
        Ok(false)
    }

    /// A new and empty database, or `None` where a data folder is enough.
    pub fn database(self) -> Result<Option<Database>> {
        match self {
            Self::Sqlite => Ok(None),
            Self::Postgres => Database::create().map(Some),
        }
    }
}

/// A database on the test server, gone again when this is dropped.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
    url: Url,
}

impl Database {
    /// What a node is given as `--database`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    fn create() -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let Some(server) = server() else { bail!("WAYSIDE_TEST_POSTGRES is not set") };
        // Each test is a process of its own, so its id and a count make the name unique.
        let name =
            format!("wayside_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let mut url =
            Url::parse(&server).context("WAYSIDE_TEST_POSTGRES is not a postgres:// URL")?;
        url.set_path(&name);
        execute(&server, &format!("CREATE DATABASE {name}"))?;
        Ok(Self { server, name, url })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A killed node may still hold a connection for a moment, hence the force.
        if let Err(error) =
            execute(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name))
        {
            eprintln!("dropping {}: {error:#}", self.name);
        }
    }
}

fn server() -> Option<String> {
    env::var("WAYSIDE_TEST_POSTGRES").ok().filter(|url| !url.is_empty())
}

fn execute(server: &str, statement: &str) -> Result<()> {
    let output = Command::new("psql")
        .args([server, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", statement])
        .stdin(Stdio::null())
        .output()
        .context("running psql")?;
    ensure!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
