//! The versioned store and its log.
//!
//! **What.** Objects by key, one counter of revisions, and an append-only log of every change.
//! **Why.** A reader is a position in the log: thousands of watches cost one number each, and any instant of the
//! past can be looked at again.
//! **Source of the semantics.** API-83 (one counter, an update without a change is none), API-87, API-89 (a
//! deletion carries the last state with the revision of the deletion).

mod labels;

use std::num::NonZeroU64;
use std::time::Duration;

use base::SimTime;
use imbl::OrdMap;

use self::labels::LabelIndex;
use crate::object::{Kind, Object, ObjectKey, StringMap};
use crate::selector::Selector;

/// How far back a watch may begin: what etcd keeps by default (API-91).
pub(crate) const HISTORY: Duration = Duration::from_secs(300);

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It has a new state.
    Modified,
    /// It is gone; the event carries its last state.
    Deleted,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// The counter after this change; also the object's resourceVersion.
    pub revision: u64,
    /// When it happened.
    pub at: SimTime,
    /// What happened.
    pub change: Change,
    /// The object's state.
    pub object: Object,
    /// The revision of its state before; `None` if it is new.
    pub previous: Option<NonZeroU64>,
}

/// Objects, the counter and the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    objects: OrdMap<ObjectKey, Object>,
    labels: LabelIndex,
    log: Vec<WatchEvent>,
}

impl Store {
    /// The counter: how many writes there were.
    pub(crate) fn revision(&self) -> u64 {
        u64::try_from(self.log.len()).expect("a log fits memory")
    }

    /// Everything that happened after `revision`, oldest first.
    ///
    /// Event number n has revision n + 1: the log is its own index.
    pub(crate) fn events_after(&self, revision: u64) -> &[WatchEvent] {
        let start = usize::try_from(revision).unwrap_or(usize::MAX);
        self.log.get(start..).unwrap_or_default()
    }

    pub(crate) fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Objects of a kind by namespace and name; of all namespaces when `namespace` is `None`.
    pub(crate) fn list(
        &self,
        kind: Kind,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &Object> {
        let namespace = namespace
            .filter(|_| kind.is_namespaced())
            .map(str::to_owned);
        let start = ObjectKey {
            namespace: namespace.clone(),
            ..ObjectKey::new(kind, "", "")
        };
        let inside = move |key: &ObjectKey| {
            key.kind == kind && (namespace.is_none() || key.namespace == namespace)
        };
        let rest = self.objects.range(start..);
        rest.take_while(move |(key, _)| inside(key))
            .map(|(_, object)| object)
    }

    /// The objects among those of [`Store::list`] whose labels satisfy `selector`; costs what it finds where the
    /// selector asks for a label.
    pub(crate) fn select(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Vec<&Object> {
        let namespace = namespace.filter(|_| kind.is_namespaced());
        let matches = |object: &&Object| selector.matches(&object.meta().labels);
        match self.labels.candidates(kind, namespace, selector) {
            Some(keys) => {
                let found = keys.iter().filter_map(|key| self.objects.get(key));
                found.filter(matches).collect()
            }
            None => self.list(kind, namespace).filter(matches).collect(),
        }
    }

    /// The state of an object before an event.
    pub(crate) fn before(&self, event: &WatchEvent) -> Option<&Object> {
        let place = usize::try_from(event.previous?.get() - 1).ok()?;
        self.log.get(place).map(|before| &before.object)
    }

    /// The oldest revision that a reader may go on from at `now`: events are visible for [`HISTORY`].
    pub(crate) fn oldest(&self, now: SimTime) -> u64 {
        let hidden = self.log.partition_point(|event| event.at + HISTORY < now);
        u64::try_from(hidden).expect("a log fits memory")
    }

    /// The store as it was at a revision.
    pub(crate) fn at(&self, revision: u64) -> Self {
        let length = usize::try_from(revision).unwrap_or(usize::MAX);
        let mut then = Self::default();
        for event in self.log.iter().take(length) {
            let key = event.object.key();
            match event.change {
                Change::Deleted => drop(then.take(&key)),
                Change::Added | Change::Modified => then.set(key, event.object.clone()),
            }
            then.log.push(event.clone());
        }
        then
    }

    /// Stores a new state and logs it; the object comes back with its resourceVersion.
    pub(crate) fn put(&mut self, mut object: Object, at: SimTime) -> Object {
        let key = object.key();
        let previous = self.objects.get(&key).and_then(revision_of);
        let change = match previous {
            Some(_) => Change::Modified,
            None => Change::Added,
        };
        self.append(&mut object, change, previous, at);
        self.set(key, object.clone());
        object
    }

    /// Removes an object and logs it; `None` if there is no such object.
    pub(crate) fn remove(&mut self, key: &ObjectKey, at: SimTime) -> Option<Object> {
        let mut object = self.take(key)?;
        let previous = revision_of(&object);
        self.append(&mut object, Change::Deleted, previous, at);
        Some(object)
    }

    fn set(&mut self, key: ObjectKey, object: Object) {
        let before = self.objects.get(&key).map(|before| &before.meta().labels);
        let nothing = StringMap::new();
        self.labels
            .change(&key, before.unwrap_or(&nothing), &object.meta().labels);
        self.objects.insert(key, object);
    }

    fn take(&mut self, key: &ObjectKey) -> Option<Object> {
        let object = self.objects.remove(key)?;
        self.labels
            .change(key, &object.meta().labels, &StringMap::new());
        Some(object)
    }

    fn append(
        &mut self,
        object: &mut Object,
        change: Change,
        previous: Option<NonZeroU64>,
        at: SimTime,
    ) {
        let revision = self.revision() + 1;
        object.meta_mut().resource_version = revision.to_string();
        self.log.push(WatchEvent {
            revision,
            at,
            change,
            object: object.clone(),
            previous,
        });
    }
}

/// The revision of a stored object's last write.
fn revision_of(object: &Object) -> Option<NonZeroU64> {
    object.meta().resource_version.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Node, ObjectMeta, Pod};

    fn pod(namespace: &str, name: &str) -> Object {
        Pod {
            metadata: ObjectMeta::named(namespace, name),
            ..Pod::default()
        }
        .into()
    }

    #[test]
    fn lists_are_ordered_and_bounded() {
        let mut store = Store::default();
        for (namespace, name) in [("b", "1"), ("a", "2"), ("a", "1"), ("ab", "0")] {
            store.put(pod(namespace, name), SimTime::ZERO);
        }
        store.put(Node::default().into(), SimTime::ZERO);
        let names = |namespace| -> Vec<String> {
            store
                .list(Kind::Pod, namespace)
                .map(|object| object.key().to_string())
                .collect()
        };
        assert_eq!(names(None), ["pod/a/1", "pod/a/2", "pod/ab/0", "pod/b/1"]);
        assert_eq!(names(Some("a")), ["pod/a/1", "pod/a/2"]);
        assert!(names(Some("c")).is_empty());
        assert_eq!(store.list(Kind::Node, None).count(), 1);
        assert_eq!(store.list(Kind::Service, None).count(), 0);
    }

    #[test]
    fn api_89_a_deletion_carries_the_last_state_and_its_own_revision() {
        let mut store = Store::default();
        store.put(pod("a", "1"), SimTime::ZERO);
        store.put(pod("a", "1"), SimTime::from_nanos(1));
        store
            .remove(&pod("a", "1").key(), SimTime::from_nanos(2))
            .unwrap();
        let log: Vec<_> = store
            .events_after(0)
            .iter()
            .map(|event| (event.revision, event.change))
            .collect();
        assert_eq!(
            log,
            [
                (1, Change::Added),
                (2, Change::Modified),
                (3, Change::Deleted)
            ]
        );
        let last = &store.events_after(2)[0];
        assert_eq!(
            (
                last.object.meta().resource_version.as_str(),
                last.at.as_nanos()
            ),
            ("3", 2)
        );
        assert!(store.events_after(3).is_empty() && store.events_after(u64::MAX).is_empty());
        assert!(store.get(&pod("a", "1").key()).is_none());
    }
}
