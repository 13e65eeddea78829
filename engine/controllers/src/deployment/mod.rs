//! The Deployment controller.
//!
//! **What.** For the present template of a Deployment it keeps a ReplicaSet, and moves Pods to it from the ReplicaSets of
//! former templates by telling each how many Pods to have: step by step within bounds, or all at once. A template
//! that was there before brings its ReplicaSet back, as a new revision.
//! **Why.** It never touches a Pod. What a ReplicaSet is told is a promise that holds however late it is kept, so the
//! bounds do as well.
//! **Source of the semantics.** S: `pkg/controller/deployment` (Kubernetes 1.36); each module names its files.
//!
//! Writes that meet a newer version are dropped, as its event is on the way.
//!
//! Deviation: a Deployment whose ReplicaSets have been written is left alone until these writes have come back through
//! the watch. Kubernetes goes on with what it has, and two changes of mind in a row can make it exceed the surge. No
//! Events are written, and the annotation `deprecated.deployment.rollback.to` does nothing.

mod figures;
mod member;
mod progress;
mod recreate;
mod revision;
mod rolling;
mod rollout;
mod scaling;
mod template;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{
    Change, Deployment, Kind, Object, ObjectKey, Pod, Reason, ReplicaSet, Status, WatchEvent,
};
use base::SimTime;

use self::member::Member;
use self::rollout::Rollout;
use crate::controller::{Controller, Effect};
use crate::ownership::{Claims, Ownership, update};
use crate::queue::Queue;

/// Rolls out Deployments.
#[derive(Clone, Debug)]
pub struct DeploymentController {
    deployments: BTreeMap<ObjectKey, Arc<Deployment>>,
    sets: Ownership<ReplicaSet>,
    /// Pods of ReplicaSets.
    pods: Ownership<Pod>,
    due: Queue<ObjectKey>,
    /// ReplicaSets that were written and not seen since, with their Deployments, which are held in `due`.
    unseen: BTreeMap<ObjectKey, ObjectKey>,
    /// How many of these each of the Deployments has.
    waiting: BTreeMap<ObjectKey, usize>,
    /// Deployments whose ReplicaSet could not be created because its name is another one's.
    collided: BTreeSet<ObjectKey>,
    /// Why a Deployment's ReplicaSet could not be created otherwise.
    failures: BTreeMap<ObjectKey, String>,
}

impl DeploymentController {
    /// A controller that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            deployments: BTreeMap::new(),
            sets: Ownership::new(Kind::Deployment),
            pods: Ownership::new(Kind::ReplicaSet),
            due: Queue::of_workloads(),
            unseen: BTreeMap::new(),
            waiting: BTreeMap::new(),
            collided: BTreeSet::new(),
            failures: BTreeMap::new(),
        }
    }

    fn observe_deployment(&mut self, key: ObjectKey, deployment: &Arc<Deployment>, now: SimTime) {
        let selector = deployment.spec.selector.as_ref();
        self.sets.note_owner(&key, &deployment.metadata, selector);
        self.deployments.insert(key.clone(), Arc::clone(deployment));
        self.due.add(key, now);
    }

    fn forget_deployment(&mut self, key: &ObjectKey) {
        self.deployments.remove(key);
        self.sets.forget_owner(key);
        self.due.release(key);
        self.due.forget(key);
        if self.waiting.remove(key).is_some() {
            self.unseen.retain(|_, deployment| deployment != key);
        }
        self.collided.remove(key);
        self.failures.remove(key);
    }

    fn observe_set(&mut self, key: &ObjectKey, set: Option<&Arc<ReplicaSet>>, now: SimTime) {
        if let Some(deployment) = self.seen(key) {
            self.due.succeeded(&deployment);
        }
        for deployment in self.sets.note(key, set) {
            self.due.add(deployment, now);
        }
    }

    /// Waits for the event of a write. As writes say what they are based on, the next event is its own.
    fn wait_for(&mut self, set: ObjectKey, deployment: &ObjectKey) {
        if self.unseen.insert(set, deployment.clone()).is_none() {
            *self.waiting.entry(deployment.clone()).or_insert(0) += 1;
            self.due.hold(deployment);
        }
    }

    /// Waits no longer for the event of a ReplicaSet; gives the Deployment that did.
    fn seen(&mut self, set: &ObjectKey) -> Option<ObjectKey> {
        let deployment = self.unseen.remove(set)?;
        let waiting = self.waiting.get_mut(&deployment)?;
        *waiting -= 1;
        if *waiting == 0 {
            self.waiting.remove(&deployment);
            self.due.release(&deployment);
        }
        Some(deployment)
    }

    /// Only who recreates has to know when the last Pod is gone.
    fn observe_pod(&mut self, key: &ObjectKey, pod: &Arc<Pod>, change: Change, now: SimTime) {
        let is_owned = pod.metadata.controller().is_some();
        let is_there = change != Change::Deleted && is_owned;
        self.pods.note(key, is_there.then_some(pod));
        if change != Change::Deleted || !is_owned {
            return;
        }
        let deployment = self.deployment_of(pod);
        let recreates = |key: &ObjectKey| {
            let deployment = self.deployments.get(key);
            deployment.is_some_and(|found| found.spec.strategy.strategy_type == "Recreate")
        };
        if let Some(deployment) = deployment.filter(recreates) {
            self.due.add(deployment, now);
        }
    }

    fn deployment_of(&self, pod: &Pod) -> Option<ObjectKey> {
        let owner = pod.metadata.controller()?;
        let key = ObjectKey::new(Kind::ReplicaSet, &pod.metadata.namespace, &owner.name);
        let set = &self.sets.get(&key)?.metadata;
        if set.uid == owner.uid {
            self.sets.owner_of(set)
        } else {
            None
        }
    }

    /// Takes a Deployment one step further.
    fn sync(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let Some(deployment) = self.deployments.get(key).cloned() else {
            return Vec::new();
        };
        let Some(claims) = self.sets.claim(key, &deployment.metadata) else {
            return Vec::new();
        };
        let mut effects: Vec<Effect> = claims.released.iter().map(update).collect();
        let mut rollout = Rollout::new(deployment, self.members(claims), now);
        rollout.old_pods_run = self.old_pods_run(&rollout);
        if self.collided.remove(key) {
            rollout.count_collision();
        }
        if let Some(message) = self.failures.remove(key) {
            rollout.note_failure(&message);
        }
        let outcome = rollout.run();
        for effect in &outcome.effects {
            if let Effect::Create(set) | Effect::Update(set) = effect {
                self.wait_for(set.key(), key);
            }
        }
        if let Some(again) = outcome.again {
            self.due.add(key.clone(), again);
        }
        effects.extend(outcome.effects);
        effects
    }

    fn members(&self, claims: Claims<ReplicaSet>) -> Vec<Member> {
        let own = claims.own.into_iter().map(|set| {
            let stored = Some(Arc::clone(&set));
            Member::new(set, stored)
        });
        let adopted = claims.adopted.into_iter().filter_map(|set| {
            let meta = &set.metadata;
            let key = ObjectKey::new(Kind::ReplicaSet, &meta.namespace, &meta.name);
            let stored = self.sets.get(&key).cloned();
            stored.map(|stored| Member::new(set, Some(stored)))
        });
        own.chain(adopted).collect()
    }

    fn old_pods_run(&self, rollout: &Rollout) -> bool {
        let old = rollout.old.iter().map(|member| &member.set.metadata);
        let mut pods = old.flat_map(|set| self.pods.of(&set.namespace, &set.uid));
        !rollout.figures.is_rolling && pods.any(|pod| !pod.is_finished())
    }

    /// A ReplicaSet was not to be had: its name is taken, or something is wrong with it.
    fn not_created(&mut self, set: &Object, status: &Status, now: SimTime) {
        let Some(key) = self.seen(&set.key()) else {
            return;
        };
        if status.is_namespace_terminating() {
            return;
        }
        if status.reason != Reason::AlreadyExists {
            let name = &set.meta().name;
            let message = format!(
                "Failed to create new replica set {name:?}: {}",
                status.message
            );
            self.failures.insert(key.clone(), message);
        } else if self.sets.get(&set.key()).is_some() {
            self.collided.insert(key.clone());
            self.due.add(key, now);
            return;
        }
        self.due.add_failed(key, now);
    }
}

impl Default for DeploymentController {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for DeploymentController {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        let key = event.object.key();
        let is_gone = event.change == Change::Deleted;
        match &event.object {
            Object::Deployment(_) if is_gone => self.forget_deployment(&key),
            Object::Deployment(deployment) => self.observe_deployment(key, deployment, now),
            Object::ReplicaSet(set) => {
                self.observe_set(&key, (!is_gone).then_some(set), now);
            }
            Object::Pod(pod) => self.observe_pod(&key, pod, event.change, now),
            _ => {}
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        self.due.next_due()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let keys = self.due.take(now).into_iter();
        keys.flat_map(|key| self.sync(&key, now)).collect()
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        let key = match effect {
            Effect::Create(set) => return self.not_created(set, status, now),
            Effect::Update(set) => self.seen(&set.key()),
            Effect::Delete(key, _) => {
                let set = self.sets.get(key);
                set.and_then(|set| self.sets.owner_of(&set.metadata))
            }
            Effect::UpdateStatus(object) => Some(object.key()),
            _ => None,
        };
        // Gone already, or newer by now: its event is on the way.
        if let Some(key) = key.filter(|_| !matches!(status.code, 404 | 409)) {
            self.due.add_failed(key, now);
        }
    }

    fn unchanged(&mut self, effect: &Effect, _now: SimTime) {
        if let Effect::Update(set) = effect {
            self.seen(&set.key());
        }
    }
}
