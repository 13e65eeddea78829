//! Pods that fit nowhere, and what may change that.

use std::collections::BTreeSet;

use api::ObjectKey;

/// Pods that fit nowhere. A change of a node may help every one of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Parked {
    all: BTreeSet<ObjectKey>,
    /// Those that another Pod's going may help.
    by_departure: BTreeSet<ObjectKey>,
    /// Those that another Pod's coming may help.
    by_arrival: BTreeSet<ObjectKey>,
}

impl Parked {
    pub(super) fn park(&mut self, key: ObjectKey, by_departure: bool, by_arrival: bool) {
        if by_departure {
            self.by_departure.insert(key.clone());
        }
        if by_arrival {
            self.by_arrival.insert(key.clone());
        }
        self.all.insert(key);
    }

    pub(super) fn contains(&self, key: &ObjectKey) -> bool {
        self.all.contains(key)
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) {
        self.all.remove(key);
        self.by_departure.remove(key);
        self.by_arrival.remove(key);
    }

    /// Takes out all Pods.
    pub(super) fn take_all(&mut self) -> BTreeSet<ObjectKey> {
        std::mem::take(self).all
    }

    /// Takes out the Pods that another's going may help.
    pub(super) fn take_by_departure(&mut self) -> BTreeSet<ObjectKey> {
        let taken = std::mem::take(&mut self.by_departure);
        taken.iter().for_each(|key| self.remove(key));
        taken
    }

    /// Takes out the Pods that another's coming may help.
    pub(super) fn take_by_arrival(&mut self) -> BTreeSet<ObjectKey> {
        let taken = std::mem::take(&mut self.by_arrival);
        taken.iter().for_each(|key| self.remove(key));
        taken
    }
}
