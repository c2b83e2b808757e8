//! How long to leave a server alone that does not answer.

use std::time::Duration;

/// After the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// However often it has failed.
const MOST: Duration = Duration::from_hours(1);

/// How long to wait after so many failures in a row. `lot` is any number: it shifts the time by a
/// fifth at most, so that those who wait for the same server do not come back all at once.
#[must_use]
pub fn wait_after(failures: u32, lot: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let whole = FIRST.saturating_mul(1 << doublings).min(MOST);
    let parts = u32::try_from(lot % 1_000).unwrap_or(0);
    whole * 4 / 5 + whole * 2 * parts / 5_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_give_or_take_a_fifth() {
        for (failures, seconds) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (11, 1_024),
            (12, 2_048),
            (13, 3_600),
            (u32::MAX, 3_600),
        ] {
            let whole = Duration::from_secs(seconds);
            for lot in [0, 1, 499, 999, u64::MAX] {
                let wait = wait_after(failures, lot);
                assert!(
                    wait >= whole * 4 / 5 && wait <= whole * 6 / 5,
                    "{failures} {lot}: {wait:?}"
                );
            }
        }
        assert_ne!(wait_after(5, 0), wait_after(5, 999));
    }
}
