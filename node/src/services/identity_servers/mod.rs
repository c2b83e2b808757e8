//! Identity servers: who stands behind an address, and which addresses people of this node have told them.
//!
//! Clients name them, so they are strangers to the node: each is called at an address that anybody may
//! reach, within bounds, and believed only in what it signs. Whom an address is bound to is known there;
//! here is kept only where somebody has bound one, so that it can be taken back.

mod ask;

use std::sync::Arc;

use futures_util::future::join_all;
use ruma::{OwnedServerName, UserId};

pub use self::ask::{Kept, Named, ThirdPartyId};
use super::{Error, Ground};
use crate::store::{
    accounts,
    bindings::{self, Binding},
};

/// Addresses of one person that are bound at the same time.
const BINDINGS: i64 = 100;

/// The service of identity servers.
pub struct IdentityServers {
    ground: Arc<Ground>,
}

impl IdentityServers {
    /// The service on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>) -> Self {
        Self { ground }
    }

    /// Has an identity server know that an address is somebody's of this node, which they have shown it by
    /// the session of that id; and keeps where, so that it can be taken back.
    pub async fn bind(
        &self,
        at: &Named,
        shown: (&str, &str),
        user_id: &UserId,
    ) -> Result<(), Error> {
        let id = self.bind_there(at, shown, user_id).await?;
        let (owner, binding) = (user_id.to_owned(), bound_at(at.server.clone(), &id));
        let keep = self.ground.store.write(move |tx| {
            Box::pin(async move {
                let account = accounts::account(tx, &owner).await?;
                if account.is_none_or(|account| account.ended_ms.is_some()) {
                    return Err(Error::AccountEnded);
                }
                let known = bindings::of_person(tx, &owner, BINDINGS).await?;
                let is_one_more = !known.contains(&binding);
                if is_one_more && i64::try_from(known.len()).is_ok_and(|count| count >= BINDINGS) {
                    return Err(Error::TooLarge(format!("at most {BINDINGS} addresses are bound")));
                }
                Ok(tx.keep_binding(&owner, &binding).await?)
            })
        });
        let kept = keep.await;
        if kept.is_err()
            && let Err(error) = self.unbind_there(&at.server, &id, user_id).await
        {
            // What is not kept here is never taken back else.
            tracing::warn!(%error, "an address stays bound that was not to be");
        }
        kept
    }

    /// Has identity servers forget that an address is somebody's: the named one, or all with which they
    /// have bound it through this node. Whether all have, and there was one.
    pub async fn unbind(
        &self,
        user_id: &UserId,
        id: &ThirdPartyId,
        id_server: Option<&str>,
    ) -> Result<bool, Error> {
        let named = id_server.map(ask::server).transpose()?;
        let is_meant = |it: &Binding| {
            it.medium == id.medium
                && it.address == id.address
                && named.as_ref().is_none_or(|server| *server == it.id_server)
        };
        let mut meant = self.bound(user_id).await?;
        meant.retain(is_meant);
        if let Some(server) = named.filter(|_| meant.is_empty()) {
            // Bound by the client itself, perhaps: the server knows.
            meant.push(bound_at(server, id));
        }
        let asked = self.ask_all(user_id, meant).await;
        let all = !asked.is_empty() && asked.iter().all(|(_, done)| *done);
        let gone = asked.into_iter().filter(|(_, done)| *done).map(|(binding, _)| binding);
        self.drop_all(user_id, gone.collect()).await?;
        Ok(all)
    }

    /// The same for all that somebody has bound, whose account has ended: nobody tries again.
    pub async fn unbind_all(&self, user_id: &UserId) -> Result<bool, Error> {
        let asked = self.ask_all(user_id, self.bound(user_id).await?).await;
        let all = !asked.is_empty() && asked.iter().all(|(_, done)| *done);
        self.drop_all(user_id, asked.into_iter().map(|(binding, _)| binding).collect()).await?;
        Ok(all)
    }

    async fn bound(&self, user_id: &UserId) -> Result<Vec<Binding>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(bindings::of_person(&mut snapshot, user_id, BINDINGS).await?)
    }

    /// Asks for the end of several bindings at once; which of them have ended.
    async fn ask_all(&self, user_id: &UserId, bound: Vec<Binding>) -> Vec<(Binding, bool)> {
        let asked = bound.into_iter().map(async |binding| {
            let Binding { id_server, medium, address } = &binding;
            let id = ThirdPartyId { medium: medium.clone(), address: address.clone() };
            let done = self.unbind_there(id_server, &id, user_id).await;
            if let Err(error) = &done {
                tracing::debug!(%error, %id_server, "an identity server keeps an address");
            }
            (binding, done.is_ok())
        });
        join_all(asked).await
    }

    async fn drop_all(&self, user_id: &UserId, bindings: Vec<Binding>) -> Result<(), Error> {
        let user_id = user_id.to_owned();
        let forget = self.ground.store.write(move |tx| {
            Box::pin(async move {
                for binding in &bindings {
                    tx.forget_binding(&user_id, binding).await?;
                }
                Ok(())
            })
        });
        forget.await
    }
}

fn bound_at(id_server: OwnedServerName, id: &ThirdPartyId) -> Binding {
    Binding { id_server, medium: id.medium.clone(), address: id.address.clone() }
}
