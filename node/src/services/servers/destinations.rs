//! How it goes with each server, for those who run this node.

use std::sync::atomic::Ordering;

use ruma::{OwnedServerName, ServerName};
use wayside_specs::limits;

use super::{Error, Servers};
use crate::store::{
    behind::{self, Queued},
    servers::{self, Destination, DestinationRow, Rank},
};

/// How it goes with a server.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Which.
    pub server: OwnedServerName,
    /// How calls of it have gone.
    pub gone: Destination,
    /// How much waits for it.
    pub queued: Queued,
    /// When it is tried again, in milliseconds since the epoch, where it does not answer, or refuses what
    /// waits for it.
    pub retry_ms: Option<i64>,
    /// Where it stands among the others.
    pub rank: Rank,
}

/// How it goes with all of them.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// Servers that have not answered lately.
    pub failing: i64,
    /// How much waits.
    pub queued: Queued,
    /// Servers for which something does.
    pub servers: i64,
    /// What was given up since the start of the node.
    pub given_up: u64,
}

impl Servers {
    /// The servers that were called or are to be, those first that do not answer or refuse something,
    /// behind a place.
    pub async fn standings(&self, behind: &Rank, limit: i64) -> Result<Vec<Standing>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let rows = servers::destinations(&mut snapshot, behind, limit).await?;
        let standing = |row: DestinationRow| {
            let rank = row.rank();
            let DestinationRow { server, gone, queued } = row;
            let rests = || self.known.get(&server).and_then(|it| it.rests_until());
            let retry_ms = if gone.failures > 0 { Some(gone.retry_ms) } else { rests() };
            Standing { server, gone, queued, retry_ms, rank }
        };
        Ok(rows.into_iter().map(standing).collect())
    }

    /// How it goes with all servers, in sum.
    pub async fn backlog(&self) -> Result<Backlog, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let failing = servers::failing(&mut snapshot).await?;
        let (queued, servers) = behind::queued(&mut snapshot).await?;
        let given_up = self.given_up.load(Ordering::Relaxed);
        Ok(Backlog { failing, queued, servers, given_up })
    }

    /// Has a server tried again at once that is left alone, or that has refused what waits for it.
    pub async fn try_now(&self, name: &ServerName) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let known = servers::destination(&mut snapshot, name).await?;
        drop(snapshot);
        if known.is_none() {
            return Err(Error::NotFound(format!("the server {name} was never called")));
        }
        self.heard_from(name).await?;
        self.server(name).await?.tried.notify_waiters();
        Ok(())
    }

    /// Forgets servers that have never answered in a long time and of which nobody is in a room, with what
    /// waits for them, and keys of strangers; to be called now and then.
    pub async fn forget_strangers(&self) {
        let now_ms = self.ground.clock.now_ms();
        if let Err(error) = self.forget_never_met(now_ms - limits::NEVER_MET_MS).await {
            tracing::warn!(%error, "forgetting servers that never answered failed; it is tried again");
        }
        // Only what was fetched since is looked at, so that a node at rest reads nothing.
        if self.fetched.swap(false, Ordering::Relaxed)
            && let Err(error) = self.forget_keys(now_ms - limits::STRANGERS_KEYS_MS).await
        {
            self.fetched.store(true, Ordering::Relaxed);
            tracing::warn!(%error, "forgetting keys of strangers failed; it is tried again");
        }
    }

    async fn forget_keys(&self, before_ms: i64) -> Result<(), Error> {
        let forget = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                Ok(tx.forget_strangers_keys(before_ms, limits::STRANGERS_KEYS).await?)
            })
        });
        forget.await.map(drop)
    }

    async fn forget_never_met(&self, before_ms: i64) -> Result<(), Error> {
        loop {
            let mut snapshot = self.ground.store.snapshot().await?;
            // Looked at first, so that a node at rest writes nothing.
            let found = servers::never_met(&mut snapshot, before_ms, limits::NEVER_MET).await?;
            drop(snapshot);
            if found.is_empty() {
                return Ok(());
            }
            let forget = self.ground.store.write::<_, Error>(move |tx| {
                Box::pin(
                    async move { Ok(tx.forget_never_met(before_ms, limits::NEVER_MET).await?) },
                )
            });
            let forgotten = forget.await?;
            for name in &forgotten {
                // Whoever names it again begins anew.
                self.known.remove(name);
            }
            let servers = forgotten.len();
            tracing::info!(
                servers,
                "servers that never answered are forgotten, with what waited for them"
            );
        }
    }
}
