//! Looks for damage in the files of a node that is down.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// Has SQLite check every database file under a data folder.
///
/// It looks at copies: opening the files themselves would repair them, and the repair after a crash
/// is the node's to do.
pub(crate) async fn no_damage_in_sqlite(data: &Path) -> Result<()> {
    let databases: Vec<PathBuf> =
        files_in(data)?.into_iter().filter(|path| is_sqlite(path)).collect();
    ensure!(!databases.is_empty(), "no SQLite database in {}", data.display());
    for database in databases {
        let scratch = tempfile::tempdir()?;
        let copy = scratch.path().join("copy.db");
        for suffix in ["", "-wal"] {
            let file = PathBuf::from(format!("{}{suffix}", database.display()));
            if file.exists() {
                fs::copy(&file, format!("{}{suffix}", copy.display()))?;
            }
        }
        // The module is in every Python; the command-line program of SQLite is not on every machine.
        let script = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchall())";
        let python = std::env::var_os("WAYSIDE_PYTHON").unwrap_or_else(|| "python3".into());
        let output = Command::new(python).args(["-c", script]).arg(&copy).output().await;
        let output = output.context("running python3")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let trouble = String::from_utf8_lossy(&output.stderr);
        ensure!(said.trim() == "[('ok',)]", "{} is damaged: {said}{trouble}", database.display());
    }
    Ok(())
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_in(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

fn is_sqlite(path: &Path) -> bool {
    let mut start = [0; 16];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && &start == b"SQLite format 3\0"
}
