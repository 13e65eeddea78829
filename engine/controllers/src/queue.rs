//! Keys that are due, and when failed ones are tried again.
//!
//! **Source of the semantics.** EP-37: 1 s, doubling to 1000 s, at most 15 times; S:
//! `pkg/controller/endpointslice/endpointslice_controller.go` (defaultSyncBackOff, maxSyncBackOff, maxRetries).

use std::collections::BTreeMap;
use std::time::Duration;

use base::SimTime;

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(1000);
const RETRIES_MAX: u32 = 15;

/// A set of keys, each with the time at which it is due.
#[derive(Clone, Debug)]
pub(crate) struct Queue<K> {
    due: BTreeMap<K, SimTime>,
    failures: BTreeMap<K, u32>,
}

impl<K: Ord + Clone> Queue<K> {
    pub(crate) fn new() -> Self {
        Self {
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Makes `key` due at `at`, or earlier if it already is.
    pub(crate) fn add(&mut self, key: K, at: SimTime) {
        let due = self.due.entry(key).or_insert(at);
        *due = at.min(*due);
    }

    /// Makes `key` due after its backoff; gives up on it after the last try.
    pub(crate) fn add_failed(&mut self, key: K, now: SimTime) {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        *failures += 1;
        if *failures <= RETRIES_MAX {
            let factor = 1_u32.checked_shl(*failures - 1).unwrap_or(u32::MAX);
            let backoff = BACKOFF_MIN.saturating_mul(factor).min(BACKOFF_MAX);
            self.add(key, now + backoff);
        } else {
            self.forget(&key);
        }
    }

    /// Forgets how often `key` has failed.
    pub(crate) fn succeeded(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// Forgets `key`.
    pub(crate) fn forget(&mut self, key: &K) {
        self.due.remove(key);
        self.failures.remove(key);
    }

    /// The earliest due time of a key that `ready` allows.
    pub(crate) fn next_due(&self, ready: impl Fn(&K) -> bool) -> Option<SimTime> {
        self.due
            .iter()
            .filter(|(key, _)| ready(key))
            .map(|(_, due)| *due)
            .min()
    }

    /// Takes out the keys that are due and that `ready` allows, in order.
    pub(crate) fn take(&mut self, now: SimTime, ready: impl Fn(&K) -> bool) -> Vec<K> {
        let due = self
            .due
            .iter()
            .filter(|(key, due)| **due <= now && ready(key));
        let keys: Vec<K> = due.map(|(key, _)| key.clone()).collect();
        for key in &keys {
            self.due.remove(key);
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ep_37_backoff_doubles_and_ends() {
        let mut queue = Queue::new();
        let mut now = SimTime::ZERO;
        let mut waits = Vec::new();
        for _ in 0..=RETRIES_MAX {
            queue.add_failed("web", now);
            let Some(due) = queue.next_due(|_| true) else {
                break;
            };
            waits.push(due.since(now).as_secs());
            now = due;
            assert_eq!(queue.take(now, |_| true), ["web"]);
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
        assert_eq!(queue.next_due(|_| true), Some(SimTime::from_nanos(5)));
        assert_eq!(
            queue.next_due(|key| *key == "db"),
            Some(SimTime::from_nanos(7))
        );
        assert!(queue.take(SimTime::from_nanos(4), |_| true).is_empty());
        assert_eq!(
            queue.take(SimTime::from_nanos(7), |key| *key != "web"),
            ["db"]
        );
    }
}
