//! Naming a node, for ever: its settings say so when everything else does.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use ruma::{OwnedServerName, ServerName};
use toml::{Table, Value};
use wayside::{
    app,
    config::{self, Config, FILE_NAME},
    store::Purpose,
};

use crate::commands::lock;

/// Settles the name of a node in its store, and writes it into its settings.
pub(crate) async fn init(mut config: Config, name: &str) -> anyhow::Result<()> {
    let name: OwnedServerName = ServerName::parse(name).with_context(|| {
        format!("{name:?} is no name for a node: a domain such as example.org is")
    })?;
    if let Some(named) = &config.server_name {
        bail!("this node is called {named} already, and a name is for ever");
    }
    let data = config.data.clone();
    app::make_folder(&data)?;
    let _lock = lock(&data)?;
    let path = data.join(FILE_NAME);
    let before = match fs::read_to_string(&path) {
        Ok(before) => before,
        Err(error) if error.kind() == io::ErrorKind::NotFound => config::example(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let text = settings(&name, config.database.as_deref(), &before)?;
    // On disk before the name is settled: there is nothing left then that could still be refused.
    let written = Unfinished::write(&path, &text)
        .with_context(|| format!("writing beside {}", path.display()))?;
    config.server_name = Some(name.clone());
    app::open(config, Purpose::Command).await?.services.ground.store.close().await;
    written.keep(&path).with_context(|| format!("writing {}", path.display()))?;
    println!("This node is called {name}. Its settings are in {}.", path.display());
    println!("Start it with: wayside serve --data {}", data.display());
    Ok(())
}

/// The settings with the name before all else, and with the database in which it was settled: a
/// start that forgot to say so would make another node of that name.
fn settings(name: &ServerName, database: Option<&str>, before: &str) -> anyhow::Result<String> {
    let given: Table = toml::from_str(before).context("reading the settings")?;
    let database = database.filter(|_| !given.contains_key("database"));
    let database = database.map(|url| format!("database = {}\n", Value::String(url.to_owned())));
    let database = database.unwrap_or_default();
    Ok(format!("server_name = \"{name}\"\n{database}\n{before}"))
}

/// A file that is whole and synced, but not yet in its place. It goes when this does; once it has
/// its name there is nothing to remove.
struct Unfinished(PathBuf);

impl Unfinished {
    fn write(path: &Path, text: &str) -> io::Result<Self> {
        // The URL of a database may hold a password.
        let mode = match fs::metadata(path) {
            Ok(there) => there.permissions().mode(),
            Err(_) => 0o600,
        };
        let unfinished = Self(path.with_extension("toml.new"));
        let mut file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(mode)
            .open(&unfinished.0)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(unfinished)
    }

    fn keep(self, path: &Path) -> io::Result<()> {
        fs::rename(&self.0, path)?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // A next try writes it anew.
        let _left_for_next_try = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_keep_what_was_there_and_say_each_thing_once() {
        let name = ServerName::parse("a.test").unwrap();
        let url = "postgres://me:a\"b@host/name";
        let read = |text: &str| toml::from_str::<Table>(text).unwrap();
        let text = settings(&name, Some(url), "log = \"warn\"\n").unwrap();
        let table = read(&text);
        assert_eq!(table["server_name"].as_str(), Some("a.test"));
        assert_eq!(table["database"].as_str(), Some(url));
        assert_eq!(table["log"].as_str(), Some("warn"));
        let text = settings(&name, Some(url), "database = \"postgres://there/a\"\n").unwrap();
        assert_eq!(read(&text)["database"].as_str(), Some("postgres://there/a"));
        let text = settings(&name, None, &config::example()).unwrap();
        assert_eq!(read(&text).len(), 1, "{text:.200}");
    }
}
