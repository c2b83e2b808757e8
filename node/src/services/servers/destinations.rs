//! How it goes with each server, for those who run this node.

use ruma::{OwnedServerName, ServerName};

use super::{Error, Servers};
use crate::store::servers::{self, Destination, DestinationRow};

/// How it goes with a server.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Which.
    pub server: OwnedServerName,
    /// How calls of it have gone.
    pub gone: Destination,
    /// Events that wait for it.
    pub events: i64,
    /// Why it did not answer last, in words, as far as this process knows.
    pub why: Option<String>,
}

/// How it goes with all of them.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// Servers that have not answered lately.
    pub failing: i64,
    /// Events that wait.
    pub events: i64,
    /// Servers for which some do.
    pub servers: i64,
}

impl Servers {
    /// The servers that were called or are to be, by name, behind one.
    pub async fn standings(&self, behind: &str, limit: i64) -> Result<Vec<Standing>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let rows = servers::destinations(&mut snapshot, behind, limit).await?;
        let standing = |DestinationRow { server, gone, events }: DestinationRow| {
            let known = self.known.get(&server).filter(|_| gone.failures > 0);
            Standing { why: known.and_then(|known| known.why()), server, gone, events }
        };
        Ok(rows.into_iter().map(standing).collect())
    }

    /// How it goes with all servers, in sum.
    pub async fn backlog(&self) -> Result<Backlog, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let (failing, events, servers) = servers::backlog(&mut snapshot).await?;
        Ok(Backlog { failing, events, servers })
    }

    /// Has a server tried again at once that is left alone, as if it had called.
    pub async fn try_now(&self, name: &ServerName) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let known = servers::destination(&mut snapshot, name).await?;
        drop(snapshot);
        if known.is_none() {
            return Err(Error::NotFound(format!("the server {name} was never called")));
        }
        self.heard_from(name).await
    }
}
