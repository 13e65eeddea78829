//! A set of numbers, kept as the runs that they form.
//!
//! **Why.** The next free number is behind the run that one stands in, so that a stock which is nearly used up is
//! as quick to choose from as an empty one, and a stock that is used up is one run. The map is persistent: a
//! request works on a copy.

use imbl::OrdMap;

/// A set of numbers; finding, adding and removing one costs the logarithm of the number of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs {
    /// The last number of each run by its first; no run touches the next.
    last_by_first: OrdMap<u128, u128>,
}

impl Runs {
    pub(super) fn contains(&self, number: u128) -> bool {
        self.run_of(number).is_some()
    }

    /// Adds a number; whether it was not there.
    pub(super) fn insert(&mut self, number: u128) -> bool {
        if self.contains(number) {
            return false;
        }
        let below = number.checked_sub(1).and_then(|below| self.run_of(below));
        let above = number.checked_add(1).and_then(|above| self.run_of(above));
        if let Some((first, _)) = above {
            self.last_by_first.remove(&first);
        }
        let first = below.map_or(number, |(first, _)| first);
        let last = above.map_or(number, |(_, last)| last);
        self.last_by_first.insert(first, last);
        true
    }

    /// Removes a number; whether it was there.
    pub(super) fn remove(&mut self, number: u128) -> bool {
        let Some((first, last)) = self.run_of(number) else {
            return false;
        };
        if first < number {
            self.last_by_first.insert(first, number - 1);
        } else {
            self.last_by_first.remove(&first);
        }
        if number < last {
            self.last_by_first.insert(number + 1, last);
        }
        true
    }

    /// The least number of `first ..= last` that is not in the set.
    pub(super) fn first_free(&self, first: u128, last: u128) -> Option<u128> {
        let free = match self.run_of(first) {
            Some((_, end)) => end.checked_add(1)?,
            None => first,
        };
        (free <= last).then_some(free)
    }

    /// The numbers, least first.
    pub(super) fn iter(&self) -> impl Iterator<Item = u128> {
        self.last_by_first
            .iter()
            .flat_map(|(first, last)| *first..=*last)
    }

    fn run_of(&self, number: u128) -> Option<(u128, u128)> {
        let (first, last) = self.last_by_first.get_prev(&number)?;
        (number <= *last).then_some((*first, *last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_the_set_and_its_runs_are_apart(
            steps in prop::collection::vec((any::<bool>(), 0..24_u128), 0..120)
        ) {
            let mut runs = Runs::default();
            let mut set = BTreeSet::new();
            for (add, number) in steps {
                if add {
                    prop_assert_eq!(runs.insert(number), set.insert(number));
                } else {
                    prop_assert_eq!(runs.remove(number), set.remove(&number));
                }
                prop_assert!(runs.iter().eq(set.iter().copied()));
                let ends: Vec<(u128, u128)> =
                    runs.last_by_first.iter().map(|(first, last)| (*first, *last)).collect();
                prop_assert!(ends.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{:?}", ends);
                for first in 0..24 {
                    let free = (first..=20).find(|number| !set.contains(number));
                    prop_assert_eq!(runs.first_free(first, 20), free);
                }
            }
        }
    }

    #[test]
    fn holds_the_ends_of_all_numbers() {
        let mut runs = Runs::default();
        for number in [0, u128::MAX, u128::MAX - 1, 1] {
            assert!(runs.insert(number) && !runs.insert(number));
        }
        assert_eq!(runs.first_free(u128::MAX - 1, u128::MAX), None);
        assert_eq!(runs.first_free(0, u128::MAX), Some(2));
        assert!(runs.remove(u128::MAX) && runs.remove(0) && !runs.contains(0));
        assert_eq!(runs.first_free(u128::MAX - 1, u128::MAX), Some(u128::MAX));
    }
}
