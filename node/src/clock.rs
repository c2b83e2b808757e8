//! The one place that reads the time and the operating system's randomness.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::Rng;
use ruma::{MilliSecondsSinceUnixEpoch, UInt};

/// Where time and chance come from; handed to whoever needs them, so that nobody else asks the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// The same instant in Matrix's type.
    #[must_use]
    pub fn now(self) -> MilliSecondsSinceUnixEpoch {
        matrix_time(self.now_ms())
    }

    /// A point of the monotonic clock, for measuring durations.
    #[must_use]
    pub fn instant(self) -> Instant {
        Instant::now()
    }

    /// Bytes that nobody can guess.
    #[must_use]
    pub fn random<const N: usize>(self) -> [u8; N] {
        let mut bytes = [0; N];
        rand::rng().fill_bytes(&mut bytes);
        bytes
    }

    /// A short name out of `length` letters and digits that nobody can guess.
    #[must_use]
    pub fn random_name(self, length: usize) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz2345679";
        let mut bytes = vec![0; length];
        rand::rng().fill_bytes(&mut bytes);
        bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
    }
}

/// Milliseconds of the store as Matrix's time; what lies before the epoch becomes the epoch.
#[must_use]
pub fn matrix_time(ms: i64) -> MilliSecondsSinceUnixEpoch {
    let ms = u64::try_from(ms).unwrap_or(0);
    MilliSecondsSinceUnixEpoch(UInt::new_saturating(ms))
}
