//! What every service stands on: the store, the clock, the node's name and keys.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedServerName, OwnedUserId, UserId};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wayside_federation::key::{ServerKey, ServerKeys};

use super::app_services::Registered;
use crate::{
    clock::{Clock, matrix_time},
    config::Config,
    outbound::Guarded,
    store::Store,
};

/// How long another server may believe our keys without asking again, in milliseconds.
const KEYS_LAST_MS: i64 = 24 * 60 * 60 * 1000;

/// How the names begin of nodes that have been given none.
pub const TRY_OUT: &str = "localhost:";

/// A key with which this node signed: its id, the public half, and when it ceased to be used.
pub type OldKey = (String, String, MilliSecondsSinceUnixEpoch);

/// Shared by all services; made once by `app`.
pub struct Ground {
    /// Facts.
    pub store: Store,
    /// Time and chance.
    pub clock: Clock,
    /// The settings.
    pub config: Config,
    /// The application services that the operator has registered.
    pub app_services: Registered,
    /// The name of this node in every id.
    pub server_name: OwnedServerName,
    /// Signs this node's events.
    pub server_key: ServerKey,
    /// Those that did before.
    pub old_keys: Vec<OldKey>,
    /// Seals tokens that clients hand back, such as sync tokens.
    pub token_key: [u8; 32],
    /// Calls addresses that strangers name.
    pub outbound: Guarded,
    /// Falls when the node shuts down: whoever waits for news is answered at once.
    pub stop: CancellationToken,
    /// Owns what goes on whether or not anybody waits for it; the end of the node waits for all.
    pub tasks: TaskTracker,
}

impl Ground {
    /// Whether the store answers.
    pub async fn ready(&self) -> Result<(), super::Error> {
        Ok(self.store.ready().await?)
    }

    /// Does a work to its end, also when whoever waits for it goes away.
    pub async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, super::Error>> + Send + 'static,
    ) -> Result<T, super::Error> {
        self.tasks.spawn(work).await.map_err(super::Error::internal)?
    }

    /// The keys of this node as it publishes them, signed (server-server API, publishing keys).
    pub fn published_keys(&self) -> Result<String, super::Error> {
        let until = matrix_time(self.clock.now_ms() + KEYS_LAST_MS);
        let published =
            ServerKeys::publish(&self.server_name, &self.server_key, &self.old_keys, until);
        published.map_err(super::Error::internal)
    }

    /// Whether the node has a name of its own. A command beside it may not be told the name, which is settled.
    #[must_use]
    pub fn has_name(&self) -> bool {
        self.config.server_name.is_some() || !self.server_name.as_str().starts_with(TRY_OUT)
    }

    /// Whether that person lives on this node.
    #[must_use]
    pub fn is_local(&self, user_id: &UserId) -> bool {
        user_id.server_name() == self.server_name
    }

    /// The user id of a local name that has been checked.
    pub fn user_id(&self, localpart: &str) -> Result<OwnedUserId, ruma::IdParseError> {
        UserId::parse(format!("@{localpart}:{}", self.server_name))
    }
}
