//! Removes what a deleted Service or workload leaves behind, or has it forget its owner.
//!
//! **What.** An object goes when none of its owners exists any more under the uid that it names: with a Deployment go its
//! ReplicaSets, and with these their Pods. An owner that is deleted in the foreground keeps a finalizer and waits until
//! those dependents are gone that block it; one whose dependents are to stay keeps another until none names it any more.
//! **Source of the semantics.** API-65, API-92, EP-25, EP-86; S: `pkg/controller/garbagecollector/garbagecollector.go`
//! (attemptToDeleteItem, processDeletingDependentsItem, attemptToOrphan).
//!
//! Deviation: owners of kinds other than Services and workloads are taken to exist for ever, and so are workloads that were
//! never seen: a dump may hold Pods without their ReplicaSets. Owners that own each other and are deleted in the foreground
//! wait for ever.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    Change, DeleteOptions, Kind, Object, ObjectKey, OwnerReference, Propagation, Status, WatchEvent,
};
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
    /// Objects that have owners.
    dependents: BTreeMap<ObjectKey, Object>,
    /// Dependents by the uid of each of their owners.
    owned: BTreeMap<String, BTreeSet<ObjectKey>>,
    /// Objects whose deletion waits for their dependents, and their keys by uid.
    waiting: BTreeMap<ObjectKey, Object>,
    waiting_uids: BTreeMap<String, ObjectKey>,
    due: Queue<ObjectKey>,
}

/// What an owner is to its dependent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It exists, as far as anybody knows.
    Solid,
    /// It is gone.
    Gone,
    /// It is deleted in the foreground.
    Waiting,
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
            waiting: BTreeMap::new(),
            waiting_uids: BTreeMap::new(),
            due: Queue::new(),
        }
    }

    /// Events come in the order of the log, so a Service that is unknown is gone and not just late.
    fn standing(&self, owner: &OwnerReference) -> Standing {
        let is_service =
            owner.kind == Kind::Service.name() && owner.api_version == Kind::Service.api_version();
        let is_gone =
            is_service && !self.services.contains(&owner.uid) || self.gone.contains(&owner.uid);
        match self.waiting_owner(&owner.uid) {
            _ if is_gone => Standing::Gone,
            Some((_, Propagation::Foreground)) => Standing::Waiting,
            _ => Standing::Solid,
        }
    }

    fn dependents_of(&self, uid: &str) -> impl Iterator<Item = &Object> {
        let keys = self.owned.get(uid).into_iter().flatten();
        keys.filter_map(|key| self.dependents.get(key))
    }

    fn make_due(&mut self, dependents_of: &str, now: SimTime) {
        for key in self.owned.get(dependents_of).into_iter().flatten() {
            self.due.add(key.clone(), now);
        }
    }

    /// Takes note of an object that waits for its dependents, or does no longer.
    fn observe_waiting(&mut self, event: &WatchEvent, now: SimTime) {
        let (key, meta) = (event.object.key(), event.object.meta());
        let waits = event.change != Change::Deleted
            && meta.is_terminating()
            && Propagation::of(meta) != Propagation::Background;
        if !waits {
            if let Some(before) = self.waiting.remove(&key) {
                self.waiting_uids.remove(&before.meta().uid);
            }
            return;
        }
        self.waiting_uids.insert(meta.uid.clone(), key.clone());
        let before = self.waiting.insert(key.clone(), event.object.clone());
        let policy = |object: &Object| Propagation::of(object.meta());
        if before.as_ref().map(policy) != Some(policy(&event.object)) {
            self.make_due(&meta.uid, now);
        }
        self.due.add(key, now);
    }

    /// What becomes of an object that waits for its dependents: those that are to stay forget it, each by a write of its
    /// own. When none is left to wait for, it may go.
    fn release(&self, owner: &Object) -> Vec<Effect> {
        let meta = owner.meta();
        let blocks = |reference: &OwnerReference| {
            reference.uid == meta.uid && reference.block_owner_deletion == Some(true)
        };
        match Propagation::of(meta) {
            Propagation::Foreground => {
                let mut dependents = self.dependents_of(&meta.uid);
                if dependents.any(|one| one.meta().owner_references.iter().any(blocks)) {
                    return Vec::new();
                }
            }
            Propagation::Orphan => {
                let forgetting = self.dependents_of(&meta.uid);
                let forgetting: Vec<Effect> = forgetting
                    .map(|one| without_owners(one, |reference| reference.uid == meta.uid))
                    .collect();
                if !forgetting.is_empty() {
                    return forgetting;
                }
            }
            Propagation::Background => {}
        }
        let mut released = owner.clone();
        Propagation::Background.keep_in(released.meta_mut());
        vec![Effect::Update(released)]
    }

    /// What becomes of an object that has owners.
    fn judge(&self, dependent: &Object) -> Option<Effect> {
        let meta = dependent.meta();
        if meta.is_terminating() || meta.owner_references.is_empty() {
            return None;
        }
        let standings = meta.owner_references.iter().map(|one| self.standing(one));
        let standings: Vec<Standing> = standings.collect();
        if standings.contains(&Standing::Solid) {
            let all_are = standings.iter().all(|one| *one == Standing::Solid);
            let forgotten =
                || without_owners(dependent, |owner| self.standing(owner) != Standing::Solid);
            return (!all_are).then(forgotten);
        }
        let is_waited_for = standings.contains(&Standing::Waiting);
        let propagation = match is_waited_for && self.owned.contains_key(&meta.uid) {
            true => Propagation::Foreground,
            false => Propagation::of(meta),
        };
        let options = DeleteOptions {
            uid: Some(meta.uid.clone()),
            propagation: Some(propagation),
            ..DeleteOptions::default()
        };
        Some(Effect::Delete(dependent.key(), options))
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
            self.make_due(uid, now);
        }
    }

    /// Takes note of an object, which may have been known with other owners; `None` for one that has none or is gone.
    /// An owner that waits looks again when it is no longer its own; one that it was told to forget, when it was the last
    /// to do so, or still has not.
    fn set_dependent(&mut self, key: &ObjectKey, dependent: Option<&Object>, now: SimTime) {
        let before = match dependent {
            Some(dependent) => self.dependents.insert(key.clone(), dependent.clone()),
            None => self.dependents.remove(key),
        };
        let (before, after) = (owners(before.as_ref()), owners(dependent));
        for uid in before.difference(&after) {
            let mut is_last = false;
            if let Some(owned) = self.owned.get_mut(*uid) {
                owned.remove(key);
                is_last = owned.is_empty();
            }
            if is_last {
                self.owned.remove(*uid);
            }
            if let Some((owner, policy)) = self.waiting_owner(uid)
                && (is_last || policy == Propagation::Foreground)
            {
                self.due.add(owner, now);
            }
        }
        for uid in &after {
            if !before.contains(uid) {
                let owned = self.owned.entry((*uid).to_owned()).or_default();
                owned.insert(key.clone());
            }
            if let Some((owner, Propagation::Orphan)) = self.waiting_owner(uid) {
                self.due.add(owner, now);
            }
        }
    }

    /// The owner of this uid, if it waits for its dependents, and for what.
    fn waiting_owner(&self, uid: &str) -> Option<(ObjectKey, Propagation)> {
        let key = self.waiting_uids.get(uid)?;
        let policy = Propagation::of(self.waiting.get(key)?.meta());
        Some((key.clone(), policy))
    }
}

/// uids of an object's owners.
fn owners(object: Option<&Object>) -> BTreeSet<&str> {
    let references = object
        .into_iter()
        .flat_map(|one| &one.meta().owner_references);
    references.map(|reference| reference.uid.as_str()).collect()
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
        self.observe_waiting(event, now);
        if event.change == Change::Deleted || meta.owner_references.is_empty() {
            self.set_dependent(&key, None, now);
            if !self.waiting.contains_key(&key) {
                self.due.forget(&key);
            }
            return;
        }
        self.set_dependent(&key, Some(&event.object), now);
        if self.judge(&event.object).is_some() {
            self.due.add(key, now);
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        self.due.next_due()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let mut effects = Vec::new();
        for key in self.due.take(now) {
            if let Some(owner) = self.waiting.get(&key) {
                effects.extend(self.release(owner));
            }
            if let Some(dependent) = self.dependents.get(&key) {
                effects.extend(self.judge(dependent));
            }
        }
        effects
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        // Gone already, or another object by now: its event is on the way.
        if !matches!(status.code, 404 | 409)
            && let Some(key) = effect.target()
        {
            self.due.add_failed(key, now);
        }
    }
}

/// The write by which an object forgets some of its owners.
fn without_owners(object: &Object, is_forgotten: impl Fn(&OwnerReference) -> bool) -> Effect {
    let mut object = object.clone();
    let references = &mut object.meta_mut().owner_references;
    references.retain(|reference| !is_forgotten(reference));
    Effect::Update(object)
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
            .map(|found| found.meta().owner_references.len())
            .sum();
        let indexed: usize = collector.owned.values().map(BTreeSet::len).sum();
        assert_eq!(indexed, recounted, "the index holds what there is");
        let effects = collector.reconcile(SimTime::ZERO).into_iter();
        effects
            .filter_map(|effect| match effect {
                Effect::Delete(key, _) => Some(key.name),
                Effect::Update(_) => None,
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
