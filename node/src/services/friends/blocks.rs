//! Whom somebody blocks: those whom they ignore by Matrix, under every account that is known to be theirs.

use std::sync::Arc;

use ruma::UserId;
use wayside_identity::blocks::Blocks;
use wayside_specs::limits;

use super::{super::rooms::Ignored, Blocked, Error, Friends};
use crate::store::{Reads, visitors};

/// Everybody whom somebody blocks, by the names under which they did.
pub(super) async fn all(from: &mut impl Reads, ignored: &Ignored) -> Result<Vec<Blocked>, Error> {
    let mut found = Vec::new();
    for user_id in ignored.named() {
        let subjects = visitors::subjects_of(from, user_id).await?;
        found.push(Blocked { user_id: user_id.clone(), did: subjects.into_iter().next() });
    }
    Ok(found)
}

impl Friends {
    /// Blocks somebody, or takes it back. What was between the two ends; nobody is told.
    pub async fn block(
        self: &Arc<Self>,
        user_id: &UserId,
        other: &UserId,
        blocked: bool,
    ) -> Result<(), Error> {
        if user_id == other {
            return Err(Error::Invalid("nobody can block themselves".to_owned()));
        }
        self.beneath.social.ignore(user_id, &[other.to_owned()], blocked).await?;
        if !blocked {
            return Ok(());
        }
        self.learn_of(other);
        self.retell(user_id).await?;
        // What is between the two counts no more in any case; their server may take its time to hear it.
        let (friends, user_id, other) = (self.clone(), user_id.to_owned(), other.to_owned());
        self.ground.tasks.spawn(async move {
            match friends.end(&user_id, &other).await {
                Ok(()) | Err(Error::NotFound(_)) => {}
                Err(error) => {
                    tracing::info!(%error, "a friendship with somebody who is blocked did not end");
                }
            }
        });
        Ok(())
    }

    /// Whom somebody blocks, so that a node which they visit can tell those alone whom it knows.
    pub async fn blocks(&self, user_id: &UserId) -> Result<Blocks, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let ignored = Ignored::of(&mut snapshot, user_id).await?;
        let mut blocks = Blocks::new(self.ground.clock.random());
        for name in ignored.names().take(limits::BLOCKS) {
            blocks.add(name);
        }
        Ok(blocks)
    }
}
