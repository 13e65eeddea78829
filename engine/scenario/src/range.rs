//! Ranges as expectations write them: `30`, `28..30`, `..5`, `5..`, and the same of durations: `..5ms`.
//!
//! Both ends are included, as in the contract's `connected: 28..30`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base::{format_duration, parse_duration};

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no range of {of}: expected one value, or a range with both ends included, such as {example}"
)]
pub struct RangeError {
    text: String,
    of: &'static str,
    example: &'static str,
}

/// What ranges can be made of.
pub trait Bound: Copy + Ord {
    /// What the values are, in the plural.
    const OF: &'static str;
    /// Ranges as a reader may write them.
    const EXAMPLE: &'static str;

    /// Reads one value.
    fn read(text: &str) -> Option<Self>;

    /// Writes one value so that [`Bound::read`] takes it.
    fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl Bound for u64 {
    const OF: &'static str = "counts";
    const EXAMPLE: &'static str = "30, 28..30, ..5 or 5..";

    fn read(text: &str) -> Option<Self> {
        // `u64::from_str` also takes a sign.
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    }

    fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Bound for Duration {
    const OF: &'static str = "durations";
    const EXAMPLE: &'static str = "..5ms, 1ms..5ms or 200us..";

    fn read(text: &str) -> Option<Self> {
        parse_duration(text).ok()
    }

    fn write(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self))
    }
}

/// A range with both ends included; an absent end is open. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<T> {
    least: Option<T>,
    most: Option<T>,
}

impl<T: Bound> Range<T> {
    /// Just this value.
    #[must_use]
    pub const fn exactly(value: T) -> Self {
        Self {
            least: Some(value),
            most: Some(value),
        }
    }

    /// Whether `value` lies in it.
    #[must_use]
    pub fn contains(&self, value: T) -> bool {
        self.least.is_none_or(|least| least <= value) && self.most.is_none_or(|most| value <= most)
    }
}

impl<T: Bound> FromStr for Range<T> {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let refuse = || RangeError {
            text: text.to_owned(),
            of: T::OF,
            example: T::EXAMPLE,
        };
        let end = |part: &str| match part.trim() {
            "" => Ok(None),
            value => T::read(value).map(Some).ok_or_else(refuse),
        };
        let range = match text.split_once("..") {
            None => Self::exactly(T::read(text.trim()).ok_or_else(refuse)?),
            Some((least, most)) => Self {
                least: end(least)?,
                most: end(most)?,
            },
        };
        match (range.least, range.most) {
            (None, None) => Err(refuse()),
            (Some(least), Some(most)) if least > most => Err(refuse()),
            _ => Ok(range),
        }
    }
}

impl<T: Bound> fmt::Display for Range<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least, self.most) {
            (Some(least), Some(most)) if least == most => least.write(f),
            (least, most) => {
                least.map_or(Ok(()), |value| value.write(f))?;
                f.write_str("..")?;
                most.map_or(Ok(()), |value| value.write(f))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_counts(text: &str, inside: &[u64], outside: &[u64]) {
        let range: Range<u64> = text.parse().unwrap();
        assert_eq!(range.to_string(), text);
        assert!(inside.iter().all(|value| range.contains(*value)), "{text}");
        assert!(
            !outside.iter().any(|value| range.contains(*value)),
            "{text}"
        );
    }

    #[test]
    fn both_ends_are_included() {
        check_counts("30", &[30], &[29, 31]);
        check_counts("28..30", &[28, 29, 30], &[27, 31]);
        check_counts("..5", &[0, 5], &[6]);
        check_counts("5..", &[5, u64::MAX], &[4]);
    }

    #[test]
    fn durations_work_alike() {
        let range: Range<Duration> = "200us..1.5ms".parse().unwrap();
        assert!(range.contains(Duration::from_millis(1)));
        assert!(!range.contains(Duration::from_millis(2)));
        assert_eq!(range.to_string(), "200us..1.5ms");
    }

    #[test]
    fn refuses_what_is_no_range() {
        for text in [
            "",
            "..",
            "x",
            "5..x",
            "30..28",
            "1...2",
            "-1",
            "+1",
            "1.5",
            "99999999999999999999",
        ] {
            assert!(text.parse::<Range<u64>>().is_err(), "{text:?}");
        }
        assert!("5..6".parse::<Range<Duration>>().is_err());
    }
}
