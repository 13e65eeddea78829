//! Removes what a deleted Service leaves behind.
//!
//! An object goes when every one of its owners is a Service that no longer exists under that uid.
//! **Source of the semantics.** API-65, EP-25, EP-86; S: `pkg/controller/garbagecollector`.
//!
//! Deviation: owners of other kinds are taken to exist for ever; nothing here deletes them yet.

use std::collections::{BTreeMap, BTreeSet};

use api::{Change, DeleteOptions, Kind, ObjectKey, OwnerReference, Status, WatchEvent};
use base::SimTime;

use crate::controller::{Controller, Effect};
use crate::queue::Queue;

/// Deletes objects whose owning Services are gone.
#[derive(Clone, Debug)]
pub struct GarbageCollector {
    /// uids of the Services that exist.
    owners: BTreeSet<String>,
    dependents: BTreeMap<ObjectKey, Dependent>,
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
            owners: BTreeSet::new(),
            dependents: BTreeMap::new(),
            orphans: Queue::new(),
        }
    }

    /// Events come in the order of the log, so an owner that is unknown is gone and not just late.
    fn is_orphan(&self, dependent: &Dependent) -> bool {
        let gone =
            |owner: &OwnerReference| owner.kind == "Service" && !self.owners.contains(&owner.uid);
        dependent.owners.iter().all(gone)
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
        if key.kind == Kind::Service {
            if event.change == Change::Deleted {
                self.owners.remove(&meta.uid);
                let owned = |dependent: &Dependent| {
                    dependent.owners.iter().any(|owner| owner.uid == meta.uid)
                };
                let orphans = self
                    .dependents
                    .iter()
                    .filter(|(_, dependent)| owned(dependent));
                for (orphan, _) in orphans {
                    self.orphans.add(orphan.clone(), now);
                }
            } else {
                self.owners.insert(meta.uid.clone());
            }
        }
        if event.change == Change::Deleted || meta.owner_references.is_empty() {
            self.dependents.remove(&key);
            self.orphans.forget(&key);
            return;
        }
        let dependent = Dependent {
            uid: meta.uid.clone(),
            owners: meta.owner_references.clone(),
        };
        if self.is_orphan(&dependent) {
            self.orphans.add(key.clone(), now);
        }
        self.dependents.insert(key, dependent);
    }

    fn next_due(&self) -> Option<SimTime> {
        self.orphans.next_due(|_| true)
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let mut effects = Vec::new();
        for key in self.orphans.take(now, |_| true) {
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
