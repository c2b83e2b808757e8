//! The town: one folder, one engine and one authority, among which the servers of a story live.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{
    Address, Authority, Engine, IdentityServerOptions, Options, PeerOptions, SynapseOptions,
};

/// The ground of a story. It goes away with all its files when it is dropped, after its nodes.
#[derive(Debug)]
pub struct Town {
    engine: Engine,
    authority: Authority,
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
        let authority = Authority::found(&folder.path().join("authority"))?;
        Ok(Some(Self { engine, authority, folder }))
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

    /// The way in which the node `name` is started as a server among others: with an address of its
    /// own, which is its server name, a certificate of the town for it, and trust in the town's.
    pub fn server(&self, name: &str) -> Result<Options> {
        let address = Address::claim()?;
        let leaf = self.authority.leaf(&[&address.ip().to_string()])?;
        Ok(self
            .node(name)?
            .flag("--tls-cert", leaf.certificate.to_str())
            .flag("--tls-key", leaf.key.to_str())
            .flag("--trust-ca", self.authority.pem().to_str())
            .flag("--allow-private-addresses", None)
            .at(address))
    }

    /// The way in which a Synapse is started as another server, or `None` with a word on it where
    /// there is none on this machine.
    pub fn synapse(&self, name: &str) -> Result<Option<SynapseOptions>> {
        SynapseOptions::find(&self.folder.path().join(name), &self.authority, Address::claim()?)
    }

    /// The same on a folder that is kept beyond the story, at an address that its data name.
    pub fn synapse_on(&self, folder: &Path, address: Address) -> Result<Option<SynapseOptions>> {
        SynapseOptions::find(folder, &self.authority, address)
    }

    /// The way in which an identity server is started that hands its mail to a port of `127.0.0.1`, or
    /// `None` with a word on it where there is none on this machine.
    pub fn identity_server(
        &self,
        name: &str,
        mail_port: u16,
    ) -> Result<Option<IdentityServerOptions>> {
        let folder = self.folder.path().join(name);
        IdentityServerOptions::find(&folder, &self.authority, Address::claim()?, mail_port)
    }

    /// The way in which a server of the tests' own is started, with an address and a certificate of
    /// the town.
    pub fn peer(&self) -> Result<PeerOptions> {
        PeerOptions::new(&self.authority)
    }

    /// Who vouches for the servers of the town.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The folder that holds the data of all nodes, each under its name, and their logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
