//! The ReplicaSet controller.
//!
//! **What.** It keeps as many Pods of a template as a ReplicaSet asks for: adopts Pods that match its selector and
//! releases those that no longer do, creates what is missing, deletes what is too much, and reports how many there are.
//! **Why.** A Deployment rolls out by telling ReplicaSets their sizes; they alone make Pods.
//! **Source of the semantics.** API-77; S: `pkg/controller/replicaset/replica_set.go`.
//!
//! Until the events of its own creations and deletions have come, a ReplicaSet only reports ([`Expectations`]): a
//! watch that lags makes it slow, never wrong. Writes that meet a newer version are dropped, as its event is on the way.
//!
//! Deviation: Pods are created at once, up to 500, where Kubernetes begins with one and doubles (slow start). A
//! creation that is refused is tried again 15 times, after 1 s and more, where Kubernetes never gives up.

mod ranking;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Change, Kind, Object, ObjectKey, Pod, ReplicaSet, Status, WatchEvent};
use base::SimTime;

use crate::controller::{Controller, Effect};
use crate::expectations::Expectations;
use crate::owned_pods::{available_at, from_template};
use crate::ownership::{Claims, Dependent, Ownership, update};
use crate::pod_state::delete;
use crate::queue::Queue;

/// How many Pods a ReplicaSet creates or deletes at once (S: BurstReplicas).
const BURST: usize = 500;

/// Keeps the Pods of ReplicaSets.
#[derive(Clone, Debug)]
pub struct ReplicaSetController {
    /// ReplicaSets by Deployment.
    sets: Ownership<ReplicaSet>,
    /// Pods by ReplicaSet.
    pods: Ownership<Pod>,
    expectations: Expectations,
    due: Queue<ObjectKey>,
    /// Why the last attempt to make a Pod failed.
    failures: BTreeMap<ObjectKey, String>,
    /// Failures that are still to be reported.
    unreported: BTreeSet<ObjectKey>,
}

impl ReplicaSetController {
    /// A controller that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sets: Ownership::new(Kind::Deployment),
            pods: Ownership::new(Kind::ReplicaSet),
            expectations: Expectations::default(),
            due: Queue::of_workloads(),
            failures: BTreeMap::new(),
            unreported: BTreeSet::new(),
        }
    }

    fn observe_set(&mut self, key: &ObjectKey, set: &Arc<ReplicaSet>, now: SimTime) {
        let known = self.sets.get(key);
        if known.is_some_and(|known| known.metadata.uid != set.metadata.uid) {
            self.forget_set(key);
        }
        self.sets.note(key, Some(set));
        self.pods
            .note_owner(key, &set.metadata, set.spec.selector.as_ref());
        self.due.add(key.clone(), now);
    }

    fn forget_set(&mut self, key: &ObjectKey) {
        if let Some(set) = self.sets.get(key) {
            self.expectations.forget(&set.metadata.uid);
        }
        self.sets.note(key, None);
        self.pods.forget_owner(key);
        self.due.forget(key);
        self.failures.remove(key);
        self.unreported.remove(key);
    }

    fn observe_pod(&mut self, key: &ObjectKey, pod: &Arc<Pod>, change: Change, now: SimTime) {
        let meta = &pod.metadata;
        if let Some(owner) = meta.controller() {
            if change == Change::Added {
                self.expectations.created(&owner.uid);
                self.succeeded(meta);
            }
            if change == Change::Deleted || meta.is_terminating() {
                self.expectations.deleted(&owner.uid, &meta.uid);
            }
        }
        let pod = (change != Change::Deleted).then_some(pod);
        for set in self.pods.note(key, pod) {
            self.due.add(set, now);
        }
    }

    fn succeeded(&mut self, pod: &api::ObjectMeta) {
        if let Some(set) = self.pods.owner_of(pod) {
            self.due.succeeded(&set);
            self.failures.remove(&set);
        }
    }

    /// Brings one ReplicaSet closer to what it asks for.
    fn sync(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let Some(set) = self.sets.get(key).cloned() else {
            return Vec::new();
        };
        let Some(claims) = self.pods.claim(key, &set.metadata) else {
            return Vec::new();
        };
        let mut effects: Vec<Effect> = claims.adopted.iter().map(|pod| update(&**pod)).collect();
        effects.extend(claims.released.iter().map(update));
        let active = claims.kept().filter(|pod| pod.is_active());
        let active: Vec<Arc<Pod>> = active.cloned().collect();
        if self.expectations.are_met(&set.metadata.uid) && !set.metadata.is_terminating() {
            effects.extend(self.manage(key, &set, &active, now));
        }
        effects.extend(self.report(key, &set, &claims, now));
        self.plan_availability(key, &set, &active, now);
        effects
    }

    /// Creates what is missing, or deletes what is too much.
    fn manage(
        &mut self,
        key: &ObjectKey,
        set: &ReplicaSet,
        active: &[Arc<Pod>],
        now: SimTime,
    ) -> Vec<Effect> {
        let wanted = usize::try_from(set.spec.replicas.unwrap_or(1)).unwrap_or(0);
        let uid = &set.metadata.uid;
        let missing = wanted.saturating_sub(active.len()).min(BURST);
        if missing > 0 {
            let pod = from_template(Kind::ReplicaSet, &set.metadata, &set.spec.template);
            let pod = Object::from(pod);
            let created = (0..missing).map(|_| {
                self.expectations.expect_creation(uid);
                Effect::Create(pod.clone())
            });
            return created.collect();
        }
        self.failures.remove(key);
        let excess = active.len().saturating_sub(wanted).min(BURST);
        if excess == 0 {
            return Vec::new();
        }
        let related = self.related(set, active);
        let doomed = ranking::surplus(active, related.iter(), excess, now);
        let deleted = doomed.iter().map(|pod| {
            self.expectations.expect_deletion(uid, &pod.metadata.uid);
            delete(pod)
        });
        deleted.collect()
    }

    /// The Pods of the same Deployment, or those of the set if it has none.
    fn related(&self, set: &ReplicaSet, active: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
        let meta = &set.metadata;
        let Some(owner) = meta.controller() else {
            return active.to_vec();
        };
        let siblings = self.sets.of(&meta.namespace, &owner.uid);
        let pods =
            siblings.flat_map(|sibling| self.pods.of(&meta.namespace, &sibling.metadata.uid));
        pods.filter(|pod| pod.is_active()).cloned().collect()
    }

    /// The status, if it has changed and is not the user's.
    fn report(
        &self,
        key: &ObjectKey,
        set: &ReplicaSet,
        pods: &Claims<Pod>,
        now: SimTime,
    ) -> Option<Effect> {
        let (active, others): (Vec<_>, Vec<_>) =
            pods.kept().cloned().partition(|pod| pod.is_active());
        let terminating = others.iter().filter(|pod| !pod.is_finished()).count();
        let failure = self.failures.get(key).map(String::as_str);
        let status = status::of(set, &active, terminating, failure, now);
        if status == set.status || set.metadata.has_pinned_status() {
            return None;
        }
        let set = ReplicaSet {
            status,
            ..set.clone()
        };
        Some(Effect::UpdateStatus(set.into()))
    }

    /// Reports a failure, without trying again.
    fn report_failure(&mut self, key: &ObjectKey, now: SimTime) -> Option<Effect> {
        let set = Arc::clone(self.sets.get(key)?);
        let pods = self.pods.claim(key, &set.metadata)?;
        self.report(key, &set, &pods, now)
    }

    /// Looks again when the next Pod has been ready for long enough.
    fn plan_availability(
        &mut self,
        key: &ObjectKey,
        set: &ReplicaSet,
        active: &[Arc<Pod>],
        now: SimTime,
    ) {
        let min_ready = set.spec.min_ready_seconds;
        let pending = active.iter().filter_map(|pod| available_at(pod, min_ready));
        if let Some(next) = pending.filter(|at| *at > now).min() {
            self.due.add(key.clone(), next);
        }
    }

    /// A Pod was not to be had. In a namespace that goes, nothing is missing.
    fn not_created(&mut self, pod: &Pod, status: &Status, now: SimTime) {
        let Some(owner) = pod.metadata.controller() else {
            return;
        };
        self.expectations.created(&owner.uid);
        let Some(key) = self.pods.owner_of(&pod.metadata) else {
            return;
        };
        if status.is_namespace_terminating() {
            return;
        }
        // Of a burst of creations, all are refused for one reason.
        if self.expectations.are_met(&owner.uid) {
            self.failures.insert(key.clone(), status.message.clone());
            self.unreported.insert(key.clone());
            self.due.add_failed(key, now);
        }
    }

    /// A Pod is not going to go.
    fn not_deleted(&mut self, key: &ObjectKey) -> Option<ObjectKey> {
        let pod = &self.pods.get(key)?.metadata;
        let owner = pod.controller()?;
        self.expectations.deleted(&owner.uid, &pod.uid);
        self.pods.owner_of(pod)
    }
}

impl Default for ReplicaSetController {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for ReplicaSetController {
    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        let key = event.object.key();
        match &event.object {
            Object::ReplicaSet(_) if event.change == Change::Deleted => self.forget_set(&key),
            Object::ReplicaSet(set) => self.observe_set(&key, set, now),
            Object::Pod(pod) => self.observe_pod(&key, pod, event.change, now),
            _ => {}
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        if self.unreported.is_empty() {
            self.due.next_due()
        } else {
            Some(SimTime::ZERO)
        }
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let mut effects = Vec::new();
        for key in self.due.take(now) {
            effects.extend(self.sync(&key, now));
        }
        for key in std::mem::take(&mut self.unreported) {
            effects.extend(self.report_failure(&key, now));
        }
        effects
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        if let Effect::Create(Object::Pod(pod)) = effect {
            return self.not_created(pod, status, now);
        }
        // Gone already, or newer by now: its event is on the way, and awaited if it is that of a deletion.
        if matches!(status.code, 404 | 409) {
            return;
        }
        let failed = match effect {
            Effect::Delete(key, _) => self.not_deleted(key),
            Effect::Update(Object::Pod(pod)) => self.pods.owner_of(&pod.metadata),
            Effect::UpdateStatus(object) => Some(object.key()),
            _ => None,
        };
        if let Some(key) = failed {
            self.due.add_failed(key, now);
        }
    }
}
