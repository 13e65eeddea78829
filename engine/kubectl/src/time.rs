//! Ages and dates as kubectl writes them.
//!
//! **Source of the semantics.** S: `apimachinery/pkg/util/duration/duration.go`, `HumanDuration`; Go's RFC1123Z.

use api::{EPOCH_UNIX_SECONDS, parse_unix_nanos};
use base::SimTime;

const SECOND: i128 = 1_000_000_000;
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// Go's zero time, which stands for a time that is not set.
const UNSET: &str = "Mon, 01 Jan 0001 00:00:00 +0000";

/// How long ago a timestamp was: `4s`, `7m51s`, `12m`, `2d3h`; `<unknown>` without one.
pub(crate) fn age(since: Option<&str>, now: SimTime) -> String {
    let now = i128::from(EPOCH_UNIX_SECONDS) * SECOND + i128::from(now.as_nanos());
    let since = since.and_then(parse_unix_nanos);
    since.map_or_else(
        || "<unknown>".to_owned(),
        |since| human_duration(now - since),
    )
}

/// A time span with about two digits of precision. Up to two seconds below zero are taken for two clocks that differ.
fn human_duration(nanos: i128) -> String {
    let seconds = nanos / SECOND;
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let two = |large: i128, unit: &str, small: i128, part: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{part}"),
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, "d", hours % 24, "h"),
        _ if years < 2 => format!("{days}d"),
        _ if years < 8 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

/// A timestamp as a date: `Thu, 01 Jan 2026 00:00:00 +0000`.
pub(crate) fn date(timestamp: Option<&str>) -> String {
    let spelled = timestamp.and_then(|text| {
        let days = parse_unix_nanos(text)? / SECOND / 86_400;
        let weekday = DAYS[usize::try_from(days % 7).ok()?];
        let (date, time) = text.split_once('T')?;
        let mut parts = date.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
        let time = time.get(..8)?;
        Some(format!("{weekday}, {day} {month} {year} {time} +0000"))
    });
    spelled.unwrap_or_else(|| UNSET.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seconds: i128, expected: &str) {
        assert_eq!(human_duration(seconds * SECOND), expected);
    }

    #[test]
    fn api_93_ages_lose_precision_as_they_grow() {
        for (seconds, expected) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (471, "7m51s"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * 3600 - 1, "179m"),
            (3 * 3600, "3h"),
            (8 * 3600 - 1, "7h59m"),
            (8 * 3600, "8h"),
            (48 * 3600 - 1, "47h"),
            (51 * 3600, "2d3h"),
            (7 * 86_400, "7d"),
            (8 * 86_400, "8d"),
            (729 * 86_400, "729d"),
            (730 * 86_400, "2y"),
            (731 * 86_400, "2y1d"),
            (8 * 365 * 86_400, "8y"),
        ] {
            check(seconds, expected);
        }
    }

    #[test]
    fn ages_count_from_the_virtual_clock() {
        let now = SimTime::from_nanos(5_900_000_000);
        assert_eq!(age(Some("2026-01-01T00:00:01Z"), now), "4s");
        assert_eq!(age(Some("2025-12-31T00:00:00Z"), now), "24h");
        assert_eq!(age(None, now), "<unknown>");
    }

    #[test]
    fn dates_have_their_weekday() {
        let check = |text, expected| assert_eq!(date(Some(text)), expected);
        check("2026-01-01T00:00:00Z", "Thu, 01 Jan 2026 00:00:00 +0000");
        check("2026-11-22T08:47:33Z", "Sun, 22 Nov 2026 08:47:33 +0000");
        assert_eq!(date(None), UNSET);
    }
}
