//! Empties namespaces that are being terminated, and lets them go when they are empty.
//!
//! **What.** Everything in a terminating Namespace is deleted, Pods gracefully; when the last object is gone, the
//! Namespace is finalized.
//! **Why.** Nothing can be created in a terminating Namespace, so one deletion of its content is enough; what is left
//! then goes in its own time, and the last event tells.
//! **Source of the semantics.** API-13, API-79, API-92; S: `pkg/controller/namespace/deletion`.
//!
//! Deviation: the conditions that say what a Namespace is waiting for are not written into its status.

use std::collections::{BTreeMap, BTreeSet};

use api::{Change, Kind, Object, ObjectKey, Status, WatchEvent};
use base::SimTime;

use crate::controller::{Controller, Effect};
use crate::queue::Queue;

/// Ends namespaces.
#[derive(Clone, Debug)]
pub struct NamespaceController {
    /// How many objects each namespace holds; those without any are left out.
    content: BTreeMap<String, usize>,
    terminating: BTreeSet<String>,
    due: Queue<String>,
}

impl NamespaceController {
    /// A controller that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            content: BTreeMap::new(),
            terminating: BTreeSet::new(),
            due: Queue::new(),
        }
    }

    fn note_content(&mut self, namespace: &str, change: Change, now: SimTime) {
        match (self.content.get_mut(namespace), change) {
            (_, Change::Modified) | (None, Change::Deleted) => {}
            (Some(count), Change::Added) => *count += 1,
            (None, Change::Added) => {
                self.content.insert(namespace.to_owned(), 1);
            }
            (Some(count), Change::Deleted) if *count > 1 => *count -= 1,
            (Some(_), Change::Deleted) => {
                self.content.remove(namespace);
                if self.terminating.contains(namespace) {
                    self.due.add(namespace.to_owned(), now);
                }
            }
        }
    }
}

impl Default for NamespaceController {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for NamespaceController {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        let meta = event.object.meta();
        if !matches!(event.object, Object::Namespace(_)) {
            if !meta.namespace.is_empty() {
                self.note_content(&meta.namespace, event.change, now);
            }
        } else if event.change == Change::Deleted {
            self.terminating.remove(&meta.name);
            self.due.forget(&meta.name);
        } else if meta.is_terminating() {
            self.terminating.insert(meta.name.clone());
            self.due.add(meta.name.clone(), now);
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        self.due.next_due()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let next = |name: String| {
            if self.content.contains_key(&name) {
                Effect::DeleteContent(name)
            } else {
                Effect::Finalize(ObjectKey::new(Kind::Namespace, "", &name))
            }
        };
        self.due.take(now).into_iter().map(next).collect()
    }

    /// Only a Namespace that is gone is refused.
    fn refused(&mut self, _effect: &Effect, _status: &Status, _now: SimTime) {}
}

#[cfg(test)]
mod tests {
    use api::{Namespace, ObjectMeta, Pod};

    use super::*;

    fn event(object: Object, change: Change) -> WatchEvent {
        WatchEvent {
            revision: 0,
            at: SimTime::ZERO,
            change,
            object,
            previous: None,
        }
    }

    fn namespace(terminating: bool, change: Change) -> WatchEvent {
        let metadata = ObjectMeta {
            deletion_timestamp: terminating.then(String::new),
            ..ObjectMeta::named("", "shop")
        };
        event(
            Namespace {
                metadata,
                ..Namespace::default()
            }
            .into(),
            change,
        )
    }

    fn pod(namespace: &str, name: &str, change: Change) -> WatchEvent {
        let metadata = ObjectMeta::named(namespace, name);
        event(
            Pod {
                metadata,
                ..Pod::default()
            }
            .into(),
            change,
        )
    }

    #[test]
    fn api_79_content_goes_first_and_the_namespace_when_it_is_empty() {
        use Change::{Added, Deleted, Modified};
        let mut controller = NamespaceController::new();
        let mut after = |events: &[WatchEvent]| {
            for event in events {
                controller.observe(event, SimTime::ZERO);
            }
            controller.reconcile(SimTime::ZERO)
        };
        let content = [pod("shop", "a", Added), pod("shop", "b", Added)];
        assert_eq!(after(&[namespace(false, Added)]), []);
        assert_eq!(after(&content), []);
        assert_eq!(after(&[pod("other", "a", Added)]), []);
        let empty = Effect::DeleteContent("shop".to_owned());
        assert_eq!(after(&[namespace(true, Modified)]), [empty]);
        assert_eq!(after(&[pod("shop", "a", Modified)]), []);
        assert_eq!(after(&[pod("shop", "a", Deleted)]), []);
        let end = Effect::Finalize(ObjectKey::new(Kind::Namespace, "", "shop"));
        assert_eq!(after(&[pod("shop", "b", Deleted)]), [end]);
        assert_eq!(after(&[namespace(true, Deleted)]), []);
        let again = [namespace(false, Added), pod("shop", "a", Added)];
        assert_eq!(after(&again), []);
        assert_eq!(after(&[pod("shop", "a", Deleted)]), []);
    }
}
