//! Writes that have not come back through the watch yet.
//!
//! **What.** Who has written objects for a key leaves that key alone until it has seen them all.
//! **Why.** To decide again from a cache without them would be to write them twice. Kubernetes detects the stale
//! cache instead, and retries (EP-37).

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::Effect;
use crate::name::Name;
use crate::queue::Queue;

/// Names of objects that were written and not seen since, by what they were written for. These keys are held in the
/// queue, which every change takes along.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unseen(BTreeMap<Name, BTreeSet<String>>);

impl Unseen {
    /// Waits until objects are seen that were written for `name`; there are some.
    pub(crate) fn add(&mut self, name: &Name, written: BTreeSet<String>, due: &mut Queue<Name>) {
        due.hold(name);
        self.0.insert(name.clone(), written);
    }

    /// Waits no longer for an object that was written for `name`; says whether it did.
    pub(crate) fn remove(&mut self, name: &Name, object: &str, due: &mut Queue<Name>) -> bool {
        let Some(objects) = self.0.get_mut(name) else {
            return false;
        };
        let was_awaited = objects.remove(object);
        if objects.is_empty() {
            self.0.remove(name);
            due.release(name);
        }
        was_awaited
    }

    /// No event will come of a write; what it was meant for, if it is waited for.
    pub(crate) fn not_written(&mut self, effect: &Effect, due: &mut Queue<Name>) -> Option<Name> {
        let key = effect.target()?;
        let mut waiting = self.0.iter();
        let found = waiting.find(|(name, objects)| {
            key.namespace.as_deref() == Some(&name.namespace) && objects.contains(&key.name)
        });
        let name = found.map(|(name, _)| name.clone())?;
        self.remove(&name, &key.name, due);
        Some(name)
    }
}
