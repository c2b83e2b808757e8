//! Moments as documents and proofs write them: RFC 3339, in UTC.

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// A moment, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Moment {
    /// So many milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// Reads a moment; one that is said in another zone than UTC is none here.
#[must_use]
pub fn read(text: &str) -> Option<Moment> {
    parsed(text).filter(|(_, offset)| *offset == UtcOffset::UTC).map(|(moment, _)| moment)
}

/// Reads a moment in whatever zone it is said, as credentials may (VC Data Model 2.0, section 4.9).
#[must_use]
pub fn read_anywhere(text: &str) -> Option<Moment> {
    parsed(text).map(|(moment, _)| moment)
}

fn parsed(text: &str) -> Option<(Moment, UtcOffset)> {
    // The longest has nine digits behind the second.
    let read = OffsetDateTime::parse(text, &Rfc3339).ok().filter(|_| text.len() <= 35)?;
    // The date and the time stand apart by a T, and no minute has 61 seconds, for whoever reads it.
    let letters = text.as_bytes();
    if letters.get(10) != Some(&b'T') || text.ends_with('z') || letters.get(17) == Some(&b'6') {
        return None;
    }
    let ms = read.unix_timestamp_nanos().div_euclid(1_000_000);
    Some((Moment(i64::try_from(ms).ok()?), read.offset()))
}

/// Writes a moment, with parts of a second where it has some.
#[must_use]
pub fn write(moment: Moment) -> String {
    let nanos = i128::from(moment.0) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    let text = time.and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_else(|| "9999-12-31T23:59:59Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Moment, read, read_anywhere, write};

    #[test]
    fn moments_are_read_as_they_are_written() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-01-01T00:00:00Z", 946_684_800_000),
            ("2026-11-28T06:35:07.125Z", 1_795_847_707_125),
        ] {
            assert_eq!(read(text), Some(Moment(ms)));
            assert_eq!(write(Moment(ms)), text);
        }
        assert_eq!(read("2000-01-01T00:00:00+00:00"), Some(Moment(946_684_800_000)));
        let zoned = "2000-01-01T02:30:00+02:30";
        assert_eq!((read(zoned), read_anywhere(zoned)), (None, Some(Moment(946_684_800_000))));
        let far = write(Moment(i64::MAX));
        assert_eq!(far, "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "now",
            "2000-01-01",
            "2000-13-01T00:00:00Z",
            "2000-01-01T00:00:00+01:00",
            "2000-01-01 00:00:00Z",
            "2000-01-01t00:00:00Z",
            "2000-01-01T00:00:00z",
            "2016-12-31T23:59:60Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
