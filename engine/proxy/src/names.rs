//! Names that many objects have in common.
//!
//! **Why.** A cluster of 150,000 endpoints has 5,000 names of nodes and few of namespaces. Held once, they cost little,
//! and two equal ones are told by their place.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// One copy of each name that was asked for.
///
/// Never iterated but to forget those that nobody holds any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    known: HashTable<Arc<str>>,
    /// How many there may be before that.
    sweep_at: usize,
}

impl Names {
    const SWEEP_AT_LEAST: usize = 1024;

    /// The copy of a name.
    pub(crate) fn of(&mut self, name: &str) -> Arc<str> {
        let hash = hash_of(name);
        if let Some(known) = self.known.find(hash, |known| **known == *name) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.sweep_at.max(Self::SWEEP_AT_LEAST) {
            self.known.retain(|name| Arc::strong_count(name) > 1);
            // So that sweeping costs the same per name, however many are held.
            self.sweep_at = self.known.len() * 2;
        }
        let name: Arc<str> = name.into();
        self.known
            .insert_unique(hash, Arc::clone(&name), |name| hash_of(name));
        name
    }
}

/// Cheaper than that of `str`, whose end is marked.
fn hash_of(name: &str) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(name.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_one() {
        let mut names = Names::default();
        let first = names.of("node-1");
        assert!(Arc::ptr_eq(&first, &names.of("node-1")));
        assert!(!Arc::ptr_eq(&first, &names.of("node-2")));
    }

    #[test]
    fn names_that_nobody_holds_are_forgotten() {
        let mut names = Names::default();
        let held = names.of("held");
        for number in 0..Names::SWEEP_AT_LEAST * 3 {
            names.of(&number.to_string());
            assert!(names.known.len() <= Names::SWEEP_AT_LEAST);
        }
        assert!(Arc::ptr_eq(&held, &names.of("held")));
    }
}
