//! When an authority is asked: for the next certificate in time, and after a failure ever more seldom.

use std::{
    ops::Range,
    time::{SystemTime, UNIX_EPOCH},
};

const MINUTE_MS: i64 = 60 * 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The first pause after a failure. Let's Encrypt forgives five failed proofs of a name an hour: with
/// pauses that double, there are four.
const FIRST_MS: i64 = 5 * MINUTE_MS;
/// The longest pause that is taken unasked.
const LAST_MS: i64 = DAY_MS;
/// The longest pause that an authority can ask for: the longest window of the limits of any known one.
pub(super) const LONGEST_MS: i64 = 7 * DAY_MS;
/// The pause after a limit was met, where the authority does not say how long.
const LIMITED_MS: i64 = HOUR_MS;

/// When it is tried again after that many failures in a row, the authority's wish included.
pub(super) fn again_ms(now_ms: i64, failures: u32, wish_ms: Option<i64>, chance: u64) -> i64 {
    let doublings = failures.saturating_sub(1).min(20);
    let pause_ms = FIRST_MS.saturating_mul(1 << doublings).min(LAST_MS);
    // Later only: all nodes that an authority's failure has hit at once shall not come back at once.
    let own_ms = now_ms + pause_ms + part_of(pause_ms / 4, chance);
    wish_ms.map_or(own_ms, |wish_ms| own_ms.max(wish_ms.min(now_ms + LONGEST_MS)))
}

/// When a certificate is replaced: after two thirds of its life, and a little later by chance.
pub(super) fn due_ms(valid_ms: &Range<i64>, chance: u64) -> i64 {
    let life_ms = (valid_ms.end - valid_ms.start).max(0);
    valid_ms.start + life_ms / 3 * 2 + part_of(life_ms / 24, chance)
}

/// How long a certificate stays at least that has taken the place of one because its authority wished so:
/// a wish that never ends shall not bring one after the other.
const WISHED_MS: i64 = DAY_MS;
/// When an authority is asked again for its wishes, at the earliest and the latest, and where it does not
/// say (RFC 9773, 4.3).
const WISHES_MS: (i64, i64, i64) = (MINUTE_MS, DAY_MS, 6 * HOUR_MS);

/// When a certificate is replaced of which its authority wishes that it be within a time, by chance; not
/// so late that it ends before, nor so soon after the last wish.
pub(super) fn wished_ms(
    window_ms: &Range<i64>,
    valid_ms: &Range<i64>,
    last_ms: Option<i64>,
    chance: u64,
) -> i64 {
    let life_ms = (valid_ms.end - valid_ms.start).max(0);
    let length_ms = window_ms.end.saturating_sub(window_ms.start).max(0);
    let wished_ms = window_ms.start.saturating_add(part_of(length_ms, chance));
    let first_ms = last_ms.map_or(i64::MIN, |last_ms| last_ms.saturating_add(WISHED_MS));
    wished_ms.max(first_ms).min(valid_ms.end - life_ms / 12)
}

/// When it is asked again for its wishes.
pub(super) fn wishes_again_ms(now_ms: i64, again_ms: Option<i64>) -> i64 {
    let (first, last, unsaid) = WISHES_MS;
    let wait_ms = again_ms.map_or(unsaid, |again_ms| again_ms.saturating_sub(now_ms));
    now_ms.saturating_add(wait_ms.clamp(first, last))
}

/// When to come back after a limit was met that says nothing of it.
pub(super) fn after_limit_ms(now_ms: i64) -> i64 {
    now_ms + LIMITED_MS
}

/// Reads `Retry-After`: seconds from now, or a date (RFC 9110, 10.2.3).
pub(super) fn retry_after_ms(text: &str, now_ms: i64) -> Option<i64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(now_ms + i64::from(seconds) * 1000);
    }
    let date: SystemTime = httpdate::parse_http_date(text).ok()?;
    i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// A part of `most`, evenly spread over all values of `chance`.
fn part_of(most: i64, chance: u64) -> i64 {
    let part = i128::from(most) * i128::from(chance) / (i128::from(u64::MAX) + 1);
    i64::try_from(part).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some day of 2026.
    const NOW_MS: i64 = 1_780_000_000_000;

    #[test]
    fn pauses_double_from_minutes_to_a_day_and_spread() {
        let minutes = |failures, chance| (again_ms(0, failures, None, chance)) / MINUTE_MS;
        let least: Vec<i64> = (1..=11).map(|failures| minutes(failures, 0)).collect();
        assert_eq!(least, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]);
        assert_eq!(minutes(u32::MAX, 0), 1440);
        assert_eq!(minutes(0, 0), 5);
        assert_eq!([minutes(1, u64::MAX / 2), minutes(1, u64::MAX)], [5, 6]);
        assert_eq!(minutes(20, u64::MAX), 1799, "a quarter more at most");
    }

    #[test]
    fn an_authority_has_a_certificate_replaced_when_it_wishes_within_bounds() {
        let valid = 0..120 * DAY_MS;
        let wished = |window: Range<i64>, last| wished_ms(&window, &valid, last, u64::MAX / 2);
        assert_eq!(wished(10 * DAY_MS..12 * DAY_MS, None) / HOUR_MS, 11 * 24 - 1);
        assert_eq!(wished(-2..0, None), -2);
        assert_eq!(wished(0..2, Some(5 * DAY_MS)), 6 * DAY_MS, "not one after the other");
        for late in [119 * DAY_MS..130 * DAY_MS, i64::MAX - 1..i64::MAX] {
            assert_eq!(wished(late, None), 110 * DAY_MS, "before it ends");
        }
        assert_eq!(wishes_again_ms(NOW_MS, None), NOW_MS + 6 * HOUR_MS);
        for (again_ms, wait_ms) in
            [(0, MINUTE_MS), (NOW_MS, MINUTE_MS), (NOW_MS + HOUR_MS, HOUR_MS), (i64::MAX, DAY_MS)]
        {
            assert_eq!(wishes_again_ms(NOW_MS, Some(again_ms)), NOW_MS + wait_ms);
        }
    }

    #[test]
    fn the_authority_may_ask_for_longer_pauses_but_not_for_ever() {
        let again = |wish_ms| again_ms(NOW_MS, 1, Some(wish_ms), 0) - NOW_MS;
        assert_eq!(again(NOW_MS + HOUR_MS), HOUR_MS);
        for early in [i64::MIN, 0, NOW_MS, NOW_MS + 1000] {
            assert_eq!(again(early), FIRST_MS, "{early}");
        }
        assert_eq!(again(i64::MAX), LONGEST_MS);
    }

    #[test]
    fn certificates_are_due_after_two_thirds_of_their_life() {
        let valid_ms = NOW_MS..NOW_MS + 90 * DAY_MS;
        assert_eq!(due_ms(&valid_ms, 0), NOW_MS + 60 * DAY_MS);
        let latest = due_ms(&valid_ms, u64::MAX);
        assert!((60..64).contains(&((latest - NOW_MS) / DAY_MS)), "{latest}");
        let over = Range { start: NOW_MS, end: NOW_MS - 1 };
        assert_eq!(due_ms(&over, u64::MAX), NOW_MS, "over before it began");
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let read = |text| retry_after_ms(text, NOW_MS);
        assert_eq!(read("120"), Some(NOW_MS + 120_000));
        assert_eq!(read(" 0 "), Some(NOW_MS));
        assert_eq!(read("Fri, 31 Dec 1999 23:59:59 GMT"), Some(946_684_799_000));
        for wrong in ["", "soon", "-1", "1.5", "99999999999999999999", "Fri, 31 Dec 1999"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
