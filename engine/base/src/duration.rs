//! Durations as Kubernetes manifests and scenarios write them: `5ms`, `1.5s`, `1m30s`.
//!
//! The grammar is Go's `time.ParseDuration` without signs: one or more decimal numbers, each with a unit.

use std::fmt::Write as _;
use std::time::Duration;

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationError {
    text: String,
}

impl std::fmt::Display for DurationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} is no duration: expected a number with a unit, such as 5ms, 1.5s or 1m30s (units: ns, us, ms, s, m, h)",
            self.text
        )
    }
}

impl std::error::Error for DurationError {}

const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration; fractions below a nanosecond are cut off.
///
/// # Errors
/// When the text is not a sequence of numbers with units, or does not fit 64 bits of nanoseconds.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let refuse = || DurationError {
        text: text.to_owned(),
    };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let number_len = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(refuse)?;
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let scale = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(refuse)?
            .1;
        let part = scaled(number, scale).ok_or_else(refuse)?;
        nanos = nanos.checked_add(part).ok_or_else(refuse)?;
        rest = tail;
    }
    if text.is_empty() {
        Err(refuse())
    } else {
        Ok(Duration::from_nanos(nanos))
    }
}

/// `number × scale` in integer arithmetic, so that no machine rounds differently.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut total = match whole {
        "" => 0,
        digits => digits.parse::<u64>().ok()?.checked_mul(scale)?,
    };
    let mut place = scale;
    for digit in fraction.chars() {
        place /= 10;
        total = total.checked_add(u64::from(digit.to_digit(10)?) * place)?;
    }
    Some(total)
}

/// Prints a duration in the largest unit that reads well: `0s`, `20us`, `1.005s`, `90s`.
#[must_use]
pub fn format_duration(span: Duration) -> String {
    let nanos = span.as_nanos();
    let (scale, unit) = match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "us"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let mut text = (nanos / scale).to_string();
    let fraction = nanos % scale;
    if fraction > 0 {
        let width = scale.ilog10() as usize;
        let _ = write!(text, ".{fraction:0width$}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text.push_str(unit);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, nanos: u64) {
        assert_eq!(
            parse_duration(text),
            Ok(Duration::from_nanos(nanos)),
            "{text}"
        );
    }

    #[test]
    fn reads_what_go_reads() {
        check("0", 0);
        check("0s", 0);
        check("5ms", 5_000_000);
        check("20us", 20_000);
        check("1.5s", 1_500_000_000);
        check("1m30s", 90_000_000_000);
        check(".5s", 500_000_000);
        check("1h", 3_600_000_000_000);
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "5",
            "ms",
            "5 ms",
            "-1s",
            "1.2.3s",
            ".s",
            "5d",
            "99999999999999999999s",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["0s", "7ns", "20us", "1.5ms", "1.005s", "90s"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }
}
