//! Virtual time as Kubernetes writes time: RFC 3339 in UTC.

use base::SimTime;

/// Days from 1970-01-01 to 2026-01-01, where every scenario's clock starts.
///
/// The reference for what is simulated is Kubernetes 1.36, of 2026.
const EPOCH_DAYS: u64 = 20_454;

/// Seconds from 1970-01-01 to [`SimTime::ZERO`], as [`timestamp`] writes it.
pub const EPOCH_UNIX_SECONDS: u64 = EPOCH_DAYS * 86_400;

/// An instant to the second: `2026-01-01T00:00:05Z` (metav1.Time).
#[must_use]
pub fn timestamp(at: SimTime) -> String {
    written(EPOCH_UNIX_SECONDS + at.as_nanos() / 1_000_000_000)
}

/// Seconds since 1970 as a time.
fn written(unix_seconds: u64) -> String {
    let (year, month, day) = civil(unix_seconds / 86_400);
    let seconds = unix_seconds % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A time some seconds earlier, with the fraction that it has; `None` for what would be before 1970, is in another zone,
/// or no time at all.
#[must_use]
pub fn earlier_timestamp(text: &str, seconds: u64) -> Option<String> {
    let unix_seconds = parse_unix_nanos(text)?.div_euclid(1_000_000_000);
    let mut earlier = written(u64::try_from(unix_seconds).ok()?.checked_sub(seconds)?);
    if let Some((_, fraction)) = text.split_once('.') {
        earlier.pop();
        earlier.extend(['.'].into_iter().chain(fraction.chars()));
    }
    Some(earlier)
}

/// An instant to the nanosecond, trailing zeros left out as Go's RFC3339Nano does: `2026-01-01T00:00:05.25Z`.
#[must_use]
pub fn timestamp_nanos(at: SimTime) -> String {
    let mut text = timestamp(at);
    let nanos = at.as_nanos() % 1_000_000_000;
    if nanos > 0 {
        text.truncate(text.len() - 1);
        let fraction = format!(".{nanos:09}");
        text.push_str(fraction.trim_end_matches('0'));
        text.push('Z');
    }
    text
}

/// Reads what [`timestamp`] and [`timestamp_nanos`] write; `None` for what is before [`SimTime::ZERO`], in another zone, or
/// no time at all.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<SimTime> {
    let since_epoch = parse_unix_nanos(text)? - i128::from(EPOCH_UNIX_SECONDS) * 1_000_000_000;
    u64::try_from(since_epoch).ok().map(SimTime::from_nanos)
}

/// Nanoseconds from 1970-01-01 to a time in UTC; `None` for what is before, in another zone, or no time at all.
#[must_use]
pub fn parse_unix_nanos(text: &str) -> Option<i128> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let is_time = hour < 24 && minute < 60 && second < 60;
    let is_fraction = fraction.len() <= 9 && fraction.bytes().all(|digit| digit.is_ascii_digit());
    if !is_time || !is_fraction || !(1970..=9999).contains(&year) {
        return None;
    }
    let days = days(year, month, day)?;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    let nanos: u32 = format!("{fraction:0<9}").parse().ok()?;
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let parts: Option<Vec<u64>> = text
        .split(separator)
        .map(|part| part.parse().ok())
        .collect();
    parts?.try_into().ok()
}

/// Year, month and day of a count of days since 1970-01-01 (the proleptic Gregorian calendar, in eras of 400
/// years that begin on 1 March).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The count of days that [`civil`] takes apart; `None` where the calendar has no such day.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year_from_march = year - u64::from(month <= 2);
    let (era, year_of_era) = (year_from_march / 400, year_from_march % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seconds: u64, expected: &str) {
        assert_eq!(
            timestamp(SimTime::from_nanos(seconds * 1_000_000_000)),
            expected
        );
    }

    #[test]
    fn follows_the_calendar() {
        check(0, "2026-01-01T00:00:00Z");
        check(59 * 86_400 - 1, "2026-02-28T23:59:59Z");
        check(59 * 86_400, "2026-03-01T00:00:00Z");
        check((365 + 365 + 59) * 86_400 + 3_661, "2028-02-29T01:01:01Z");
    }

    #[test]
    fn nanoseconds_drop_their_zeros() {
        assert_eq!(
            timestamp_nanos(SimTime::from_nanos(5_250_000_000)),
            "2026-01-01T00:00:05.25Z"
        );
        assert_eq!(timestamp_nanos(SimTime::ZERO), "2026-01-01T00:00:00Z");
        assert_eq!(
            timestamp_nanos(SimTime::from_nanos(7)),
            "2026-01-01T00:00:00.000000007Z"
        );
    }

    #[test]
    fn reads_what_it_writes() {
        for nanos in [0, 7, 5_250_000_000, 68_172_909_000_000_000, 1 << 62] {
            let at = SimTime::from_nanos(nanos);
            assert_eq!(parse_timestamp(&timestamp_nanos(at)), Some(at), "{nanos}");
        }
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+01:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00.+1Z",
            "2025-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z",
            "2026-01-01T00:00Z",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
