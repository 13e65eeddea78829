//! What a controller has asked for and not seen yet.
//!
//! Until the events of its own creations and deletions have come, a controller that counts would count wrong, and
//! create twice what it has created already.
//! **Source of the semantics.** S: `pkg/controller/controller_utils.go` (UIDTrackingControllerExpectations).
//!
//! Deviation: expectations do not expire after five minutes. Every write is answered, by an event or by a refusal.

use std::collections::{BTreeMap, BTreeSet};

/// Outstanding creations and deletions, by the uid of the owner they are for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expectations {
    outstanding: BTreeMap<String, Outstanding>,
}

#[derive(Clone, Debug, Default)]
struct Outstanding {
    /// Names are the API server's to give, so creations are merely counted.
    creations: usize,
    /// uids.
    deletions: BTreeSet<String>,
}

impl Expectations {
    /// Expects an object to appear.
    pub(crate) fn expect_creation(&mut self, owner: &str) {
        self.of(owner).creations += 1;
    }

    /// Expects an object to go.
    pub(crate) fn expect_deletion(&mut self, owner: &str, uid: &str) {
        self.of(owner).deletions.insert(uid.to_owned());
    }

    /// An object has appeared, or never will.
    pub(crate) fn created(&mut self, owner: &str) {
        self.settle(owner, |outstanding| {
            outstanding.creations = outstanding.creations.saturating_sub(1);
        });
    }

    /// An object goes, or is not going to.
    pub(crate) fn deleted(&mut self, owner: &str, uid: &str) {
        self.settle(owner, |outstanding| {
            outstanding.deletions.remove(uid);
        });
    }

    /// Whether nothing is outstanding.
    pub(crate) fn are_met(&self, owner: &str) -> bool {
        !self.outstanding.contains_key(owner)
    }

    /// Expects nothing any more.
    pub(crate) fn forget(&mut self, owner: &str) {
        self.outstanding.remove(owner);
    }

    fn of(&mut self, owner: &str) -> &mut Outstanding {
        self.outstanding.entry(owner.to_owned()).or_default()
    }

    fn settle(&mut self, owner: &str, settle: impl FnOnce(&mut Outstanding)) {
        let Some(outstanding) = self.outstanding.get_mut(owner) else {
            return;
        };
        settle(outstanding);
        if outstanding.creations == 0 && outstanding.deletions.is_empty() {
            self.outstanding.remove(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_expected_counts() {
        let mut expectations = Expectations::default();
        assert!(expectations.are_met("a"));
        expectations.expect_creation("a");
        expectations.expect_creation("a");
        expectations.expect_deletion("a", "p");
        expectations.created("b");
        expectations.created("a");
        expectations.deleted("a", "q");
        expectations.deleted("a", "p");
        assert!(!expectations.are_met("a"));
        expectations.created("a");
        assert!(expectations.are_met("a"));
        expectations.created("a");
        expectations.expect_creation("a");
        assert!(!expectations.are_met("a"), "nothing is seen in advance");
        expectations.forget("a");
        assert!(expectations.are_met("a"));
    }
}
