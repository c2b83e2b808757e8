//! Memory that was freed goes back to the system, also where nothing more happens.

use std::{fs, hint::black_box, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How often the allocator is given the occasion: it keeps what was freed for a second. While the node
/// neither takes nor gives back any memory, it is given twice as seldom each time, up to the second.
const EVERY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));
/// Bytes of a change that counts.
const CHANGE: i64 = 1024 * 1024;
/// Bytes that the allocator takes for a page of their own, which it looks over when it is freed. Nothing
/// is written to them, so the system never has to find them.
const OCCASION: usize = 4 * 1024 * 1024;

/// Gives the allocator an occasion to give back now and then, until the node ends.
///
/// mimalloc gives memory back a while after it was freed, but looks only when something else is. After a
/// night of passwords and first syncs a node that rests would keep tens of megabytes.
pub async fn give_back(stop: CancellationToken) {
    let (mut pause, mut before) = (EVERY.0, 0);
    while stop.run_until_cancelled(sleep(pause)).await.is_some() {
        drop(black_box(Vec::<u8>::with_capacity(OCCASION)));
        let now = resident_bytes();
        pause = next(pause, now - before);
        before = now;
    }
}

/// The pause after one that has changed so much.
fn next(pause: Duration, changed: i64) -> Duration {
    if changed.abs() > CHANGE { EVERY.0 } else { (pause * 2).min(EVERY.1) }
}

/// Resident memory in bytes; 0 where the system does not tell.
pub(super) fn resident_bytes() -> i64 {
    const PAGE: i64 = 4096;
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|text| text.parse::<i64>().ok());
    pages.unwrap_or(0) * PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_rests_is_looked_at_seldom() {
        let pauses = |changed: i64| {
            let next = |pause: &Duration| Some(next(*pause, changed));
            std::iter::successors(Some(EVERY.0), next).take(8).collect::<Vec<_>>()
        };
        assert_eq!(pauses(CHANGE).last(), Some(&EVERY.1));
        assert!(pauses(0).is_sorted() && pauses(0)[1] == EVERY.0 * 2);
        for changed in [CHANGE + 1, -CHANGE - 1] {
            assert!(pauses(changed).iter().all(|it| *it == EVERY.0), "{changed}");
        }
        assert!(resident_bytes() > 0, "this system tells how much memory there is");
    }
}
