//! Finding what was said: an index that follows the stream, and questions to it.
//!
//! Speaking does not wait for the index: a duty reads what is new and writes it there in batches, with
//! how far it has come in the same transaction. A question waits for a moment until the index has come
//! to where the store is.

mod ask;
mod index;

use std::sync::Arc;

use tokio::sync::{Notify, watch};

pub use self::ask::{Context, Hit, Hits, SearchAsked};
use super::Ground;

/// The service of finding what was said.
pub struct Search {
    ground: Arc<Ground>,
    /// The number of the last event that was seen to; negative before the first look.
    reached: watch::Sender<i64>,
    /// Somebody waits.
    hurry: Notify,
}

impl Search {
    /// The service on its ground; the duty of [`Search::follow`] must run beside it.
    #[must_use]
    pub fn new(ground: Arc<Ground>) -> Self {
        Self { ground, reached: watch::Sender::new(-1), hurry: Notify::new() }
    }
}
