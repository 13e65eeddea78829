//! A sorted map whose copies share what is equal.
//!
//! **What.** [`Sorted`] holds its entries in runs of some dozens, and the runs in a persistent map, each by a key that none of
//! its entries is below. **Why.** A node's tables have a hundred thousand elements, and a change touches a few. Finding what
//! differs has to cost what differs, and a change one run; but tables that are made from nothing are given sorted, and are
//! then taken in a run at a time instead of being looked up one by one.

use std::cmp::Ordering;
use std::fmt;
use std::iter;
use std::mem;
use std::slice;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::{self, DiffItem};
use imbl::shared_ptr::DefaultSharedPtr;

/// A map in the order of its keys. Copies are cheap and share what is equal.
#[derive(Clone)]
pub struct Sorted<K, V> {
    /// Each by a key that none of its entries is below, and all of earlier runs are. No run is empty.
    runs: OrdMap<K, Run<K, V>>,
    len: usize,
}

/// Neighbours, in order.
struct Run<K, V>(Arc<Vec<(K, V)>>);

/// A run that is longer becomes two: a change copies one, and from nothing each is put in by itself. In tests they are short, so
/// that some hundreds of entries make a tree of runs.
const RUN_MAX: usize = if cfg!(test) { 4 } else { 64 };

/// How long runs are that are made from a list.
const RUN_LENGTH: usize = RUN_MAX / 2;

/// A key, what it led to, and what it leads to now.
pub type Change<'e, K, V> = (&'e K, Option<&'e V>, Option<&'e V>);

impl<K: Ord + Clone, V: Clone> Sorted<K, V> {
    /// Without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks one up.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let (_, run) = self.runs.get_prev(key)?;
        let place = run.find(key).ok()?;
        Some(&run.0[place].1)
    }

    /// Looks one up, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (_, run) = self.runs.get_prev_mut(key)?;
        let place = run.find(key).ok()?;
        Some(&mut Arc::make_mut(&mut run.0)[place].1)
    }

    /// Puts one in, in place of the one of that key, which is returned.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.runs.get_min().is_none_or(|(bound, _)| key < *bound) {
            self.lower_the_bound(key.clone());
        }
        let (_, run) = self.runs.get_prev_mut(&key).expect("no bound is above it");
        let place = run.find(&key);
        let entries = Arc::make_mut(&mut run.0);
        match place {
            Ok(place) => return Some(mem::replace(&mut entries[place].1, value)),
            Err(place) => entries.insert(place, (key, value)),
        }
        self.len += 1;
        if entries.len() > RUN_MAX {
            let rest = entries.split_off(RUN_LENGTH);
            self.runs.insert(rest[0].0.clone(), Run(Arc::new(rest)));
        }
        None
    }

    /// Takes one out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (bound, run) = self.runs.get_prev(key)?;
        let place = run.find(key).ok()?;
        self.len -= 1;
        if run.0.len() == 1 {
            let bound = bound.clone();
            let run = self.runs.remove(&bound)?;
            return Some(run.0[0].1.clone());
        }
        let (_, run) = self.runs.get_prev_mut(key)?;
        Some(Arc::make_mut(&mut run.0).remove(place).1)
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// All entries, in order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter {
            run: [].iter(),
            rest: self.runs.values(),
            len: self.len,
        }
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// What they lead to, in their order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Has a key that is below all bounds have a run.
    fn lower_the_bound(&mut self, key: K) {
        let first = self.runs.get_min().map(|(bound, _)| bound.clone());
        let run = first.and_then(|bound| self.runs.remove(&bound));
        let run = run.unwrap_or_else(|| Run(Arc::default()));
        self.runs.insert(key, run);
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> Sorted<K, V> {
    /// What differs from a later one, in order. Runs that both share are not looked at.
    pub fn diff<'e>(&'e self, later: &'e Self) -> impl Iterator<Item = Change<'e, K, V>> {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for item in self.runs.diff(&later.runs) {
            let (before, after) = match item {
                DiffItem::Remove(_, run) => (Some(run), None),
                DiffItem::Add(_, run) => (None, Some(run)),
                DiffItem::Update { old, new } => (Some(old.1), Some(new.1)),
            };
            old.extend(before.into_iter().flat_map(|run| &*run.0));
            new.extend(after.into_iter().flat_map(|run| &*run.0));
        }
        // What is in a run that only one has may be in another run of the other.
        let both = Merged {
            old: old.into_iter().peekable(),
            new: new.into_iter().peekable(),
        };
        both.filter(|(_, before, after)| before != after)
    }
}

impl<K: Ord, V> Run<K, V> {
    /// Where a key is, or where it would be.
    fn find(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(one, _)| one.cmp(key))
    }
}

impl<K, V> Clone for Run<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Run<K, V> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> PartialEq for Sorted<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.diff(other).next().is_none()
    }
}

impl<K: Ord + Clone, V: Clone + Eq> Eq for Sorted<K, V> {}

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self {
            runs: OrdMap::new(),
            len: 0,
        }
    }
}

impl<K: Ord + Clone + fmt::Debug, V: Clone + fmt::Debug> fmt::Debug for Sorted<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Of several with one key, the last counts. Fast when keys come in order.
impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Sorted<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut builder = SortedBuilder::default();
        for (key, value) in entries {
            builder.push(key, value);
        }
        builder.build()
    }
}

/// A [`Sorted`] in the making: fast where a key is above all before, or not far below.
pub struct SortedBuilder<K, V> {
    done: Sorted<K, V>,
    /// The last run, above all that is done.
    last: Vec<(K, V)>,
}

impl<K: Ord + Clone, V: Clone> SortedBuilder<K, V> {
    /// Puts one in, in place of one of that key.
    pub fn push(&mut self, key: K, value: V) {
        match self.last.last() {
            Some((last, _)) if last.cmp(&key).is_ge() => self.push_below(key, value),
            _ => self.last.push((key, value)),
        }
        self.close_full_run();
    }

    /// The same for a key that is above all before.
    ///
    /// # Panics
    /// Sooner or later when it is not: debug builds look at once, others where a run ends.
    pub fn push_last(&mut self, key: K, value: V) {
        debug_assert!(self.last.last().is_none_or(|(last, _)| *last < key));
        self.last.push((key, value));
        self.close_full_run();
    }

    fn close_full_run(&mut self) {
        if self.last.len() > RUN_LENGTH {
            // The last entry says what is in order.
            let entry = self.last.pop();
            self.close_run();
            self.last.reserve_exact(RUN_LENGTH + 1);
            self.last.extend(entry);
        }
    }

    /// Puts in what is not above the last one.
    fn push_below(&mut self, key: K, value: V) {
        match self.last.binary_search_by(|(one, _)| one.cmp(&key)) {
            Ok(place) => self.last[place].1 = value,
            Err(0) => {
                self.done.insert(key, value);
            }
            Err(place) => self.last.insert(place, (key, value)),
        }
    }

    /// What has been put in.
    #[must_use]
    pub fn build(mut self) -> Sorted<K, V> {
        self.close_run();
        self.done
    }

    fn close_run(&mut self) {
        let run = mem::take(&mut self.last);
        if let Some((bound, _)) = run.first() {
            let before = self.done.runs.get_max();
            let before = before.and_then(|(_, run)| run.0.last());
            assert!(
                before.is_none_or(|(before, _)| before < bound),
                "keys that were said to be in order are"
            );
            self.done.len += run.len();
            self.done.runs.insert(bound.clone(), Run(Arc::new(run)));
        }
    }
}

impl<K, V> Default for SortedBuilder<K, V> {
    fn default() -> Self {
        Self {
            done: Sorted::default(),
            last: Vec::new(),
        }
    }
}

impl<'e, K: Ord + Clone, V: Clone> IntoIterator for &'e Sorted<K, V> {
    type Item = (&'e K, &'e V);
    type IntoIter = Iter<'e, K, V>;

    fn into_iter(self) -> Iter<'e, K, V> {
        self.iter()
    }
}

/// The entries of a [`Sorted`], in order.
pub struct Iter<'e, K, V> {
    run: slice::Iter<'e, (K, V)>,
    rest: ordmap::Values<'e, K, Run<K, V>, DefaultSharedPtr>,
    len: usize,
}

impl<'e, K: Ord, V> Iterator for Iter<'e, K, V> {
    type Item = (&'e K, &'e V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.run.next() {
                self.len -= 1;
                return Some((key, value));
            }
            self.run = self.rest.next()?.0.iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl<K: Ord, V> ExactSizeIterator for Iter<'_, K, V> {}

/// Two sorted lists, key by key.
struct Merged<'e, K, V> {
    old: iter::Peekable<std::vec::IntoIter<&'e (K, V)>>,
    new: iter::Peekable<std::vec::IntoIter<&'e (K, V)>>,
}

impl<'e, K: Ord, V> Iterator for Merged<'e, K, V> {
    type Item = Change<'e, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.old.peek(), self.new.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.0.cmp(&new.0),
        };
        let old = self.old.next_if(|_| order.is_le());
        let new = self.new.next_if(|_| order.is_ge());
        let (key, _) = old.or(new)?;
        Some((key, old.map(|old| &old.1), new.map(|new| &new.1)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Entries = Vec<(u16, u8)>;

    /// Keys and values are few, so that histories meet them again; a value of 0 is taken out.
    fn history() -> impl Strategy<Value = Entries> {
        proptest::collection::vec((0..400_u16, 0..4_u8), 0..900)
    }

    /// Every so-many-th key, in order.
    fn start() -> impl Strategy<Value = Entries> {
        (0..400_u16, 1..4_usize).prop_map(|(end, step)| {
            let keys = (0..end).step_by(step);
            keys.map(|key| (key, 1)).collect()
        })
    }

    /// What is made at once, and what it is to be.
    fn built(start: &Entries) -> (Sorted<u16, u8>, BTreeMap<u16, u8>) {
        let entries = || start.iter().copied();
        (entries().collect(), entries().collect())
    }

    fn follow(sorted: &mut Sorted<u16, u8>, model: &mut BTreeMap<u16, u8>, history: &[(u16, u8)]) {
        for (key, value) in history {
            match value {
                0 => assert_eq!(sorted.remove(key), model.remove(key)),
                3 => {
                    let (found, expected) = (sorted.get_mut(key), model.get_mut(key));
                    assert_eq!(found, expected);
                    for one in [found, expected].into_iter().flatten() {
                        *one = one.wrapping_mul(5);
                    }
                }
                _ => assert_eq!(sorted.insert(*key, *value), model.insert(*key, *value)),
            }
        }
    }

    fn check_is(sorted: &Sorted<u16, u8>, model: &BTreeMap<u16, u8>) {
        assert!(sorted.iter().eq(model));
        assert_eq!(sorted.len(), model.len());
        for key in 0..400 {
            assert_eq!(sorted.get(&key), model.get(&key));
        }
        let mut above = None;
        for (bound, run) in &sorted.runs {
            assert!(!run.0.is_empty() && run.0.len() <= RUN_MAX);
            assert!(run.0[0].0 >= *bound && above.is_none_or(|above| above < *bound));
            above = run.0.last().map(|(key, _)| *key);
        }
    }

    proptest! {
        #[test]
        fn is_what_a_map_is_whatever_its_history(
            start in start(),
            first in history(),
            then in history(),
        ) {
            let (mut before, mut model) = built(&start);
            check_is(&before, &model);
            follow(&mut before, &mut model, &first);
            check_is(&before, &model);
            let (mut after, was) = (before.clone(), model.clone());
            follow(&mut after, &mut model, &then);
            check_is(&after, &model);
            check_is(&before, &was);
            let at_once: Sorted<_, _> = model.clone().into_iter().collect();
            check_is(&at_once, &model);
            prop_assert_eq!(&at_once, &after);
            prop_assert_eq!(before == after, was == model);
        }

        #[test]
        fn what_differs_is_found(
            start in start(),
            first in history(),
            then in proptest::collection::vec((0..400_u16, 0..4_u8), 0..40),
        ) {
            let (mut before, mut was) = built(&start);
            follow(&mut before, &mut was, &first);
            let (mut after, mut is) = (before.clone(), was.clone());
            follow(&mut after, &mut is, &then);
            let apart: Sorted<_, _> = is.clone().into_iter().collect();
            for after in [&after, &apart] {
                let keys: Vec<u16> = before.diff(after).map(|(key, ..)| *key).collect();
                prop_assert!(keys.is_sorted());
                let differs = |key: &u16| was.get(key) != is.get(key);
                prop_assert_eq!(keys, (0..400).filter(differs).collect::<Vec<_>>());
                for (key, old, new) in before.diff(after) {
                    prop_assert_eq!((old, new), (was.get(key), is.get(key)));
                }
            }
        }

        #[test]
        fn keys_in_order_need_not_be_looked_up(
            entries in proptest::collection::btree_map(0..400_u16, 0..4_u8, 0..400),
        ) {
            let mut builder = SortedBuilder::default();
            for (key, value) in &entries {
                builder.push_last(*key, *value);
            }
            let sorted = builder.build();
            check_is(&sorted, &entries);
            let pushed: Sorted<_, _> = entries.into_iter().collect();
            prop_assert_eq!(sorted, pushed);
        }

        #[test]
        fn of_entries_in_any_order_the_last_of_a_key_counts(
            start in start(),
            rest in history(),
            end in start(),
        ) {
            let end = end.into_iter().map(|(key, _)| (key, 2));
            let entries: Entries = start.into_iter().chain(rest).chain(end).collect();
            let (sorted, model) = built(&entries);
            check_is(&sorted, &model);
        }
    }

    #[test]
    #[should_panic(expected = "keys that were said to be in order are")]
    fn a_run_that_is_below_the_one_before_is_refused() {
        let mut builder = SortedBuilder::default();
        builder.last.push((2, 0));
        builder.close_run();
        builder.last.push((1, 0));
        let _ = builder.build();
    }
}
