//! Keys that are due, and when failed ones are tried again.
//!
//! **Source of the semantics.** EP-37: 1 s, doubling to 1000 s, at most 15 times; S:
//! `pkg/controller/endpointslice/endpointslice_controller.go` (defaultSyncBackOff, maxSyncBackOff, maxRetries).
//! Controllers that wait otherwise say so ([`Queue::with_backoff`]).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use base::SimTime;

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(1000);
const RETRIES_MAX: u32 = 15;

/// A set of keys, each with the time at which it is due.
#[derive(Clone, Debug)]
pub(crate) struct Queue<K> {
    due: BTreeMap<K, SimTime>,
    /// The same, earliest first, without the keys that are held.
    order: BTreeSet<(SimTime, K)>,
    held: BTreeSet<K>,
    failures: BTreeMap<K, u32>,
    backoff: RangeInclusive<Duration>,
}

impl<K: Ord + Clone> Queue<K> {
    pub(crate) fn new() -> Self {
        Self::with_backoff(BACKOFF_MIN..=BACKOFF_MAX)
    }

    /// A queue of workloads, whose failed keys wait as client-go's default rate limiter has it.
    pub(crate) fn of_workloads() -> Self {
        Self::with_backoff(Duration::from_millis(5)..=BACKOFF_MAX)
    }

    /// A queue whose failed keys wait the first of these spans, then twice as long each time, up to the last.
    pub(crate) fn with_backoff(backoff: RangeInclusive<Duration>) -> Self {
        Self {
            backoff,
            due: BTreeMap::new(),
            order: BTreeSet::new(),
            held: BTreeSet::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Makes `key` due at `at`, or earlier if it already is.
    pub(crate) fn add(&mut self, key: K, at: SimTime) {
        let before = self.due.get(&key).copied();
        if before.is_some_and(|before| before <= at) {
            return;
        }
        if let Some(before) = before {
            self.order.remove(&(before, key.clone()));
        }
        if !self.held.contains(&key) {
            self.order.insert((at, key.clone()));
        }
        self.due.insert(key, at);
    }

    /// Keeps `key` from being taken, however due it is, until it is released.
    pub(crate) fn hold(&mut self, key: &K) {
        self.held.insert(key.clone());
        if let Some(at) = self.due.get(key) {
            self.order.remove(&(*at, key.clone()));
        }
    }

    /// Ends holding `key`.
    pub(crate) fn release(&mut self, key: &K) {
        self.held.remove(key);
        if let Some(at) = self.due.get(key) {
            self.order.insert((*at, key.clone()));
        }
    }

    /// Makes `key` due after its backoff; gives up on it after the last try.
    pub(crate) fn add_failed(&mut self, key: K, now: SimTime) {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        *failures += 1;
        if *failures <= RETRIES_MAX {
            let factor = 1_u32.checked_shl(*failures - 1).unwrap_or(u32::MAX);
            let backoff = self.backoff.start().saturating_mul(factor);
            let backoff = backoff.min(*self.backoff.end());
            self.add(key, now + backoff);
        } else {
            self.forget(&key);
        }
    }

    /// Forgets how often `key` has failed.
    pub(crate) fn succeeded(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// Forgets `key`. If it is held, it still is.
    pub(crate) fn forget(&mut self, key: &K) {
        if let Some(at) = self.due.remove(key) {
            self.order.remove(&(at, key.clone()));
        }
        self.failures.remove(key);
    }

    /// The earliest due time of a key that is not held.
    pub(crate) fn next_due(&self) -> Option<SimTime> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out the keys that are due and not held, in their own order.
    pub(crate) fn take(&mut self, now: SimTime) -> Vec<K> {
        let mut keys = Vec::new();
        while self.next_due().is_some_and(|at| at <= now) {
            let (_, key) = self.order.pop_first().expect("it has just been looked at");
            self.due.remove(&key);
            keys.push(key);
        }
        keys.sort_unstable();
        keys
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ep_37_backoff_doubles_and_ends() {
        let mut queue = Queue::new();
        let mut now = SimTime::ZERO;
        let mut waits = Vec::new();
        for _ in 0..=RETRIES_MAX {
            queue.add_failed("web", now);
            let Some(due) = queue.next_due() else {
                break;
            };
            waits.push(due.since(now).as_secs());
            now = due;
            assert_eq!(queue.take(now), ["web"]);
        }
        assert_eq!(
            waits,
            [
                1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000, 1000, 1000, 1000
            ]
        );
    }

    #[test]
    fn the_earlier_time_wins() {
        let mut queue = Queue::new();
        queue.add("web", SimTime::from_nanos(5));
        queue.add("web", SimTime::from_nanos(9));
        queue.add("db", SimTime::from_nanos(7));
        assert_eq!(queue.next_due(), Some(SimTime::from_nanos(5)));
        queue.hold(&"web");
        assert_eq!(queue.next_due(), Some(SimTime::from_nanos(7)));
        assert!(queue.take(SimTime::from_nanos(4)).is_empty());
        assert_eq!(queue.take(SimTime::from_nanos(7)), ["db"]);
        queue.release(&"web");
        assert_eq!(queue.take(SimTime::from_nanos(7)), ["web"]);
    }

    /// A queue that is looked at and emptied key by key: it would take minutes if each look cost its length.
    #[test]
    fn long_queues_are_fast() {
        let mut queue = Queue::new();
        for key in 0..50_000_u64 {
            queue.add(key, SimTime::from_nanos(key % 1000 * 1000 + key / 1000));
        }
        let mut taken = 0;
        while let Some(at) = queue.next_due() {
            taken += queue.take(at).len();
        }
        assert_eq!(taken, 50_000);
    }

    /// What a queue does to a key.
    #[derive(Clone, Debug)]
    enum Step {
        Add(u8, u64),
        Hold(u8),
        Release(u8),
        Forget(u8),
        Take(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..6_u8, 0..20_u64).prop_map(|(key, at)| Step::Add(key, at)),
            1 => (0..6_u8).prop_map(Step::Hold),
            1 => (0..6_u8).prop_map(Step::Release),
            1 => (0..6_u8).prop_map(Step::Forget),
            2 => (0..20_u64).prop_map(Step::Take),
        ]
    }

    proptest! {
        #[test]
        fn a_queue_is_a_list_that_is_searched(steps in prop::collection::vec(step(), 0..60)) {
            let mut queue = Queue::new();
            let mut list: BTreeMap<u8, u64> = BTreeMap::new();
            let mut held = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Add(key, at) => {
                        queue.add(key, SimTime::from_nanos(at));
                        let due = list.entry(key).or_insert(at);
                        *due = at.min(*due);
                    }
                    Step::Hold(key) => {
                        queue.hold(&key);
                        held.insert(key);
                    }
                    Step::Release(key) => {
                        queue.release(&key);
                        held.remove(&key);
                    }
                    Step::Forget(key) => {
                        queue.forget(&key);
                        list.remove(&key);
                    }
                    Step::Take(now) => {
                        let is_taken = |(key, at): &(&u8, &u64)| **at <= now && !held.contains(*key);
                        let expected: Vec<u8> =
                            list.iter().filter(is_taken).map(|(key, _)| *key).collect();
                        prop_assert_eq!(queue.take(SimTime::from_nanos(now)), expected.clone());
                        list.retain(|key, _| !expected.contains(key));
                    }
                }
                let free = list.iter().filter(|(key, _)| !held.contains(*key));
                let next = free.map(|(_, at)| SimTime::from_nanos(*at)).min();
                prop_assert_eq!(queue.next_due(), next);
            }
        }
    }
}
