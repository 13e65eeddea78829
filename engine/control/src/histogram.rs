//! How durations are spread, in bounded memory.
//!
//! Each is kept with three decimal digits, so that there are at most 900 values for each power of ten, and a
//! percentile is wrong by at most half a percent. The least and the greatest are exact to the nanosecond.

use std::collections::BTreeMap;
use std::time::Duration;

/// Counts of durations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: BTreeMap<u64, u64>,
    total: u64,
    least: Option<Duration>,
    most: Option<Duration>,
}

impl Histogram {
    /// Counts one more.
    pub fn add(&mut self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        *self.counts.entry(three_digits(nanos)).or_default() += 1;
        self.total += 1;
        self.least = Some(self.least.map_or(span, |least| least.min(span)));
        self.most = Some(self.most.map_or(span, |most| most.max(span)));
    }

    /// Counts those of another one too.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (value, count) in &other.counts {
            *self.counts.entry(*value).or_default() += count;
        }
        self.total += other.total;
        self.least = self.least.into_iter().chain(other.least).min();
        self.most = self.most.max(other.most);
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.total
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The value of nearest rank that so many hundredths do not exceed; `None` of nothing.
    #[must_use]
    pub fn percentile(&self, hundredths: u64) -> Option<Duration> {
        let rank = (self.total * hundredths).div_ceil(100);
        if rank >= self.total {
            return self.most;
        }
        let mut seen = 0;
        let reached = self.counts.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        let value = Duration::from_nanos(*reached?.0);
        // Rounding may lead out of what there is.
        Some(value.clamp(self.least?, self.most?))
    }
}

/// The nearest number with three digits that count.
const fn three_digits(nanos: u64) -> u64 {
    let mut unit = 1;
    while nanos / unit >= 1000 {
        unit *= 10;
    }
    match nanos.checked_add(unit / 2) {
        Some(above) => above / unit * unit,
        None => nanos / unit * unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        for (nanos, kept) in [
            (0, 0),
            (999, 999),
            (1000, 1000),
            (1234, 1230),
            (1235, 1240),
            (400_000, 400_000),
            (9_999_999, 10_000_000),
            (u64::MAX, 18_400_000_000_000_000_000),
        ] {
            assert_eq!(three_digits(nanos), kept, "{nanos}");
        }
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50), None);
        (1..=10).for_each(|millis| histogram.add(Duration::from_millis(millis)));
        let millis = |rank| histogram.percentile(rank).unwrap().as_millis();
        assert_eq!([50, 90, 99, 100].map(millis), [5, 9, 10, 10]);
        assert_eq!(histogram.len(), 10);
    }

    #[test]
    fn the_ends_are_exact() {
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_nanos(12_345));
        assert_eq!(histogram.percentile(50), Some(Duration::from_nanos(12_345)));
        histogram.add(Duration::from_nanos(98_765));
        assert_eq!(histogram.percentile(1), Some(Duration::from_nanos(12_345)));
        assert_eq!(
            histogram.percentile(100),
            Some(Duration::from_nanos(98_765))
        );
    }
}
