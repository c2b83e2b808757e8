//! Holding people back: those who run the node lock and suspend, and look at who is who.

use ruma::UserId;
use wayside_specs::Role;

use super::{Account, Accounts, Hold, gone};
use crate::{
    services::{Error, Ground},
    store::{Reads, accounts},
};

impl Accounts {
    /// The account of somebody who lives here.
    pub async fn resident(&self, user_id: &UserId) -> Result<Account, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        resident(&self.ground, &mut snapshot, user_id).await
    }

    /// Whether somebody who lives here is held in this way; nobody is told of those who run the node
    /// (client-server API, server administration).
    pub async fn is_held(&self, user_id: &UserId, hold: Hold) -> Result<bool, Error> {
        let account = self.resident(user_id).await?;
        ruled(&account)?;
        Ok(account.held.is(hold))
    }

    /// Holds somebody in this way, or no longer. By the word of whoever sits at the node's own
    /// machine anybody is held, by that of another operator nobody who runs the node.
    pub async fn hold(
        &self,
        user_id: &UserId,
        hold: Hold,
        held: bool,
        from_outside: bool,
    ) -> Result<(), Error> {
        let (ground, user_id) = (self.ground.clone(), user_id.to_owned());
        let now_ms = self.ground.clock.now_ms();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let account = resident(&ground, tx, &user_id).await?;
                    if from_outside {
                        ruled(&account)?;
                    }
                    if tx.hold(&user_id, hold, held, now_ms).await? {
                        Ok(())
                    } else {
                        Err(gone(&user_id))
                    }
                })
            })
            .await
    }
}

/// Somebody who lives here, and whose account has not ended.
async fn resident(
    ground: &Ground,
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Account, Error> {
    if !ground.is_local(user_id) {
        return Err(Error::Invalid(format!("{user_id} does not live on this node")));
    }
    let account = accounts::account(from, user_id).await?;
    let lasting = account.filter(|account| account.ended_ms.is_none());
    lasting.ok_or_else(|| Error::NotFound(format!("there is no account {user_id}")))
}

/// Nobody holds those who run the node, themselves among them.
fn ruled(account: &Account) -> Result<(), Error> {
    if account.role == Role::Operator {
        return Err(Error::Forbidden(format!("{} runs this node", account.user_id)));
    }
    Ok(())
}
