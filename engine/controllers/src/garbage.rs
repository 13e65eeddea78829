//! Removes what a deleted Service or workload leaves behind.
//!
//! An object goes when none of its owners exists any more under the uid that it names: with a Deployment go its
//! ReplicaSets, and with these their Pods.
//! **Source of the semantics.** API-65, EP-25, EP-86; S: `pkg/controller/garbagecollector`.
//!
//! Deviation: all deletions are in the background (owners first); foreground deletion and orphaning are not there.
//! Owners of kinds other than Services and workloads are taken to exist for ever, and so are workloads that were never
//! seen: a dump may hold Pods without their ReplicaSets.

use std::collections::{BTreeMap, BTreeSet};

use api::{Change, DeleteOptions, Kind, ObjectKey, OwnerReference, Status, WatchEvent};
use base::SimTime;

use crate::controller::{Controller, Effect};
use crate::queue::Queue;

/// The workloads, whose objects take others with them as Services do.
const WORKLOADS: [Kind; 4] = [
    Kind::Deployment,
    Kind::ReplicaSet,
    Kind::StatefulSet,
    Kind::DaemonSet,
];

/// Deletes objects whose owners are gone.
#[derive(Clone, Debug)]
pub struct GarbageCollector {
    /// uids of the Services that exist.
    services: BTreeSet<String>,
    /// uids of the workloads that have gone.
    gone: BTreeSet<String>,
    dependents: BTreeMap<ObjectKey, Dependent>,
    /// Dependents by the uid of each of their owners.
    owned: BTreeMap<String, BTreeSet<ObjectKey>>,
    orphans: Queue<ObjectKey>,
}

#[derive(Clone, Debug)]
struct Dependent {
    uid: String,
    owners: Vec<OwnerReference>,
}

impl GarbageCollector {
    /// A collector that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            services: BTreeSet::new(),
            gone: BTreeSet::new(),
            dependents: BTreeMap::new(),
            owned: BTreeMap::new(),
            orphans: Queue::new(),
        }
    }

    /// Events come in the order of the log, so a Service that is unknown is gone and not just late.
    fn is_orphan(&self, dependent: &Dependent) -> bool {
        let is_gone = |owner: &OwnerReference| {
            let is_service = owner.kind == Kind::Service.name()
                && owner.api_version == Kind::Service.api_version();
            is_service && !self.services.contains(&owner.uid) || self.gone.contains(&owner.uid)
        };
        dependent.owners.iter().all(is_gone)
    }

    /// Takes note of what may own others.
    fn observe_owner(&mut self, kind: Kind, uid: &str, change: Change, now: SimTime) {
        match (kind, change) {
            (Kind::Service, Change::Deleted) => {
                self.services.remove(uid);
            }
            (Kind::Service, _) => {
                self.services.insert(uid.to_owned());
            }
            (kind, Change::Deleted) if WORKLOADS.contains(&kind) => {
                self.gone.insert(uid.to_owned());
            }
            _ => return,
        }
        if change == Change::Deleted {
            for orphan in self.owned.get(uid).into_iter().flatten() {
                self.orphans.add(orphan.clone(), now);
            }
        }
    }

    /// Takes note of an object, which may have been known with other owners; `None` for one that has none or is
    /// gone.
    fn set_dependent(&mut self, key: &ObjectKey, dependent: Option<Dependent>) {
        for owner in self
            .dependents
            .remove(key)
            .into_iter()
            .flat_map(|former| former.owners)
        {
            if let Some(owned) = self.owned.get_mut(&owner.uid) {
                owned.remove(key);
                if owned.is_empty() {
                    self.owned.remove(&owner.uid);
                }
            }
        }
        let Some(dependent) = dependent else {
            return;
        };
        for owner in &dependent.owners {
            let owned = self.owned.entry(owner.uid.clone()).or_default();
            owned.insert(key.clone());
        }
        self.dependents.insert(key.clone(), dependent);
    }
}

impl Default for GarbageCollector {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for GarbageCollector {
    fn name(&self) -> &'static str {
        "garbage-collector"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        let (key, meta) = (event.object.key(), event.object.meta());
        self.observe_owner(key.kind, &meta.uid, event.change, now);
        if event.change == Change::Deleted || meta.owner_references.is_empty() {
            self.set_dependent(&key, None);
            self.orphans.forget(&key);
            return;
        }
        let dependent = Dependent {
            uid: meta.uid.clone(),
            owners: meta.owner_references.clone(),
        };
        if !meta.is_terminating() && self.is_orphan(&dependent) {
            self.orphans.add(key.clone(), now);
        }
        self.set_dependent(&key, Some(dependent));
    }

    fn next_due(&self) -> Option<SimTime> {
        self.orphans.next_due()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let mut effects = Vec::new();
        for key in self.orphans.take(now) {
            let Some(dependent) = self.dependents.get(&key) else {
                continue;
            };
            if self.is_orphan(dependent) {
                let uid = Some(dependent.uid.clone());
                effects.push(Effect::Delete(
                    key,
                    DeleteOptions {
                        uid,
                        ..DeleteOptions::default()
                    },
                ));
            }
        }
        effects
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        if let Effect::Delete(key, _) = effect {
            // Gone already, or another object by now: its event is on the way.
            if !matches!(status.code, 404 | 409) {
                self.orphans.add_failed(key.clone(), now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use api::{EndpointSlice, ObjectMeta, Service};

    use super::*;

    /// What the log says of a Service, its uid being its name.
    fn service(name: &str, change: Change) -> WatchEvent {
        let metadata = ObjectMeta {
            uid: name.to_owned(),
            ..ObjectMeta::named("default", name)
        };
        event(
            Service {
                metadata,
                ..Service::default()
            }
            .into(),
            change,
        )
    }

    fn slice(name: &str, owners: &[&str], change: Change) -> WatchEvent {
        let owner = |uid: &&str| OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Service".to_owned(),
            uid: (*uid).to_owned(),
            ..OwnerReference::default()
        };
        let metadata = ObjectMeta {
            owner_references: owners.iter().map(owner).collect(),
            ..ObjectMeta::named("default", name)
        };
        event(
            EndpointSlice {
                metadata,
                ..EndpointSlice::default()
            }
            .into(),
            change,
        )
    }

    fn event(object: api::Object, change: Change) -> WatchEvent {
        WatchEvent {
            revision: 0,
            at: SimTime::ZERO,
            change,
            object,
            previous: None,
        }
    }

    /// Names of the objects that are deleted after these events.
    fn deleted(events: &[WatchEvent]) -> Vec<String> {
        let mut collector = GarbageCollector::new();
        for event in events {
            collector.observe(event, SimTime::ZERO);
        }
        let recounted: usize = collector
            .dependents
            .values()
            .map(|found| found.owners.len())
            .sum();
        let indexed: usize = collector.owned.values().map(BTreeSet::len).sum();
        assert_eq!(indexed, recounted, "the index holds what there is");
        let effects = collector.reconcile(SimTime::ZERO).into_iter();
        effects
            .map(|effect| match effect {
                Effect::Delete(key, _) => key.name,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn api_65_objects_go_with_their_last_owner() {
        use Change::{Added, Deleted, Modified};
        let [a, b] = ["a", "b"].map(|name| service(name, Added));
        let [a_gone, b_gone] = ["a", "b"].map(|name| service(name, Deleted));
        let shared = slice("shared", &["a", "b"], Added);
        let only_a = slice("only", &["a"], Added);
        let handed_over = slice("only", &["b"], Modified);
        let freed = slice("only", &[], Modified);
        let gone = slice("only", &["a"], Deleted);
        let table: [(&[&WatchEvent], &[&str]); 6] = [
            (&[&a, &b, &shared, &only_a, &a_gone], &["only"]),
            (&[&a, &b, &shared, &a_gone, &b_gone], &["shared"]),
            (&[&a, &b, &only_a, &handed_over, &a_gone], &[]),
            (&[&a, &b, &only_a, &handed_over, &b_gone], &["only"]),
            (&[&a, &only_a, &freed, &a_gone], &[]),
            (&[&a, &only_a, &gone, &a_gone], &[]),
        ];
        for (index, (events, expected)) in table.into_iter().enumerate() {
            let events: Vec<WatchEvent> = events.iter().map(|event| (*event).clone()).collect();
            assert_eq!(deleted(&events), expected, "row {index}");
        }
    }

    /// Each of many Services goes with its slice: it would take minutes if each looked at all slices.
    #[test]
    fn many_services_go_fast() {
        let names: Vec<String> = (0..20_000).map(|index| format!("s{index:05}")).collect();
        let mut events = Vec::new();
        for name in &names {
            events.push(service(name, Change::Added));
            events.push(slice(name, &[name], Change::Added));
        }
        events.extend(names.iter().map(|name| service(name, Change::Deleted)));
        assert_eq!(deleted(&events), names);
    }
}
