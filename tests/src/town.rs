//! The town: one folder and one engine, in which the nodes of a story live.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{Engine, Options};

/// The ground of a story. It goes away with all its files when it is dropped, after its nodes.
#[derive(Debug)]
pub struct Town {
    engine: Engine,
    folder: TempDir,
}

impl Town {
    /// Founds a town, or returns `None` with a word on it where the engine is not to be had.
    pub fn found(engine: Engine) -> Result<Option<Self>> {
        if !engine.is_here()? {
            return Ok(None);
        }
        // Not the folder for short-lived files, which may be in memory: a story about losing or
        // keeping data says nothing unless it runs on a disk.
        let folder = tempfile::Builder::new().prefix("wayside-town.").tempdir_in("/var/tmp")?;
        Ok(Some(Self { engine, folder }))
    }

    /// The way in which the node `name` is started: server name `NAME.test`, its own data folder
    /// and, where the engine has one, its own database.
    pub fn node(&self, name: &str) -> Result<Options> {
        let data = self.folder.path().join(name);
        fs::create_dir_all(&data).with_context(|| format!("making {}", data.display()))?;
        let options = Options::new(&data).named(&format!("{name}.test"));
        Ok(match self.engine.database()? {
            Some(database) => options.on(database),
            None => options,
        })
    }

    /// The folder that holds the data of all nodes, each under its name, and their logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
