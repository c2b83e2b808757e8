//! Memory that was freed goes back to the system, also where nothing more happens.

use std::{hint::black_box, time::Duration};

use tokio::time::interval;
use tokio_util::sync::CancellationToken;

/// How often the allocator is given the occasion: it keeps what was freed for a second.
const EVERY: Duration = Duration::from_secs(2);
/// Bytes that the allocator takes for a page of their own, which it looks over when it is freed. Nothing
/// is written to them, so the system never has to find them.
const OCCASION: usize = 4 * 1024 * 1024;

/// Gives the allocator an occasion to give back now and then, until the node ends.
///
/// mimalloc gives memory back a while after it was freed, but looks only when something else is. After a
/// night of passwords and first syncs a node that rests would keep tens of megabytes.
pub async fn give_back(stop: CancellationToken) {
    let mut often = interval(EVERY);
    while stop.run_until_cancelled(often.tick()).await.is_some() {
        drop(black_box(Vec::<u8>::with_capacity(OCCASION)));
    }
}
