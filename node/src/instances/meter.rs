//! What shards measure of themselves, without a lock: how late ticks begin and how long they take.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

/// Upper ends of the buckets in microseconds; what is longer falls into the last.
const BUCKETS_US: [u64; 20] = [
    10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 8_000,
    13_000, 20_000, 33_000,
];

/// Counts of times by how long they were.
#[derive(Debug, Default)]
pub struct Times {
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Times {
    fn note(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.partition_point(|end| *end < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The sum in seconds, the count, and the counts of each bucket with its end in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "microseconds of years fit into a double")]
    pub fn read(&self) -> Readings {
        let ends = BUCKETS_US.iter().map(|end| *end as f64 / 1e6).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = ends.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        Readings { sum_s: self.sum_us.load(Ordering::Relaxed) as f64 / 1e6, count, buckets }
    }
}

/// What was measured so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Readings {
    /// All times together, in seconds.
    pub sum_s: f64,
    /// How many.
    pub count: u64,
    /// How many up to each end, in seconds, and above the end before.
    pub buckets: Vec<(f64, u64)>,
}

/// The measures of all shards.
#[derive(Debug, Default)]
pub struct Meter {
    /// How late ticks began.
    pub lateness: Times,
    /// How long they took.
    pub work: Times,
    /// Bytes of frames handed to connections.
    pub bytes: AtomicU64,
    /// Frames dropped because a connection did not take them.
    pub dropped: AtomicU64,
    /// Instances that run.
    pub instances: AtomicI64,
    /// People in them.
    pub people: AtomicI64,
}

impl Meter {
    pub(super) fn ticked(&self, late: Duration, work: Duration) {
        self.lateness.note(late);
        self.work.note(work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_falls_into_a_bucket_and_the_last_has_no_end() {
        let meter = Meter::default();
        meter.ticked(Duration::from_micros(10), Duration::from_secs(9));
        let (late, work) = (meter.lateness.read(), meter.work.read());
        assert_eq!((late.buckets[0].1, late.count), (1, 1));
        let last = work.buckets.last().unwrap();
        assert!(last.0.is_infinite() && last.1 == 1, "{last:?}");
        assert!((work.sum_s - 9.0).abs() < 1e-9);
    }
}
