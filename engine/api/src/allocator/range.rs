//! A range of numbers of which the first part, the static band, is kept for those who ask for a number.
//!
//! **Source of the semantics.** ALLOC-8, ALLOC-9, ALLOC-12 … ALLOC-16, ALLOC-49; S: `ipallocator/ipallocator.go`,
//! `allocator/bitmap.go` (randomScanStrategyWithOffset).

use base::Rng;

use super::runs::Runs;

/// The numbers `first ..= last`, never none; the static band is the first `band` of them and leaves at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u128,
    pub(super) last: u128,
    pub(super) band: u128,
}

/// The size of the static band: `size / share`, at least 16 and at most `max`; none in a small range (ALLOC-8,
/// ALLOC-47).
pub(super) fn band(size: u128, share: u128, max: u128) -> u128 {
    if size <= 16 {
        0
    } else {
        (size / share).clamp(16, max)
    }
}

impl Range {
    pub(super) fn contains(&self, number: u128) -> bool {
        (self.first..=self.last).contains(&number)
    }

    /// A free number: from the dynamic band while it has one, then from the static band.
    pub(super) fn pick(&self, taken: &Runs, rng: &mut Rng) -> Option<u128> {
        let dynamic = self.first + self.band;
        let in_dynamic = free_from_random(taken, dynamic, self.last, rng);
        in_dynamic.or_else(|| {
            let in_static = || free_from_random(taken, self.first, dynamic - 1, rng);
            (self.band > 0).then(in_static).flatten()
        })
    }
}

/// Walks upward from a random start, once around.
fn free_from_random(taken: &Runs, first: u128, last: u128, rng: &mut Rng) -> Option<u128> {
    let count = u64::try_from(last - first + 1).expect("ranges are capped at 63 bits");
    let start = first + u128::from(rng.below(count));
    let below = || start.checked_sub(1).filter(|end| *end >= first);
    taken
        .first_free(start, last)
        .or_else(|| taken.first_free(first, below()?))
}

#[cfg(test)]
mod tests {
    use base::Seed;

    use super::*;

    /// From each of ten starts the walk goes upward: five of them end behind the run of five.
    #[test]
    fn alloc_13_14_the_number_behind_a_run_is_the_likeliest() {
        let range = Range {
            first: 10,
            last: 19,
            band: 0,
        };
        let mut taken = Runs::default();
        for number in 12..17 {
            taken.insert(number);
        }
        let mut rng = Seed::new(7).split("range");
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            let picked = range.pick(&taken, &mut rng).unwrap();
            counts[usize::try_from(picked - 10).unwrap()] += 1;
        }
        assert!((5_700..6_300).contains(&counts[7]), "{counts:?}");
        for free in [0, 1, 8, 9] {
            assert!((900..1_100).contains(&counts[free]), "{counts:?}");
        }
        assert!(counts[2..7].iter().all(|count| *count == 0), "{counts:?}");
    }
}
