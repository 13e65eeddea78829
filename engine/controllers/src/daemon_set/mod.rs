//! The DaemonSet controller.
//!
//! **What.** Keeps one Pod of each set on every node that the set is meant for, and replaces them node by node when the
//! template changes.
//! **Why.** Proxies, DNS caches and network agents are daemons: a Service with the internal policy Local finds one on every
//! node.
//! **Source of the semantics.** API-77, API-78; S: `pkg/controller/daemon/daemon_controller.go`,
//! `pkg/controller/daemon/update.go`.
//!
//! Deviation: the label `pod-template-generation` gives the number of the revision, which counts the same changes.
//! A failed Pod is replaced at once, without backoff. Pods of a node that is gone are deleted here, where
//! Kubernetes leaves those that ran to its Pod garbage collector.

mod pods;
mod rollout;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{
    Change, DaemonSet, Kind, LabelSelector, Node, Object, ObjectKey, ObjectMeta, Pod, Status,
    WatchEvent,
};
use base::{Rng, Seed, SimTime};

use self::pods::State;
use crate::controller::{Controller, Effect};
use crate::daemon_nodes::{Demands, are_alike};
use crate::pod_state::{LABEL_REVISION, revision_of};
use crate::revision::{self, Owner, Revision};
use crate::set_cache::{PodSet, SetCache};

/// Keeps the Pods of DaemonSets.
#[derive(Clone, Debug)]
pub struct DaemonSetController {
    cache: SetCache<DaemonSet>,
    nodes: BTreeMap<String, Arc<Node>>,
    names: Rng,
}

impl PodSet for DaemonSet {
    const KIND: Kind = Kind::DaemonSet;

    fn of(object: &Object) -> Option<&Arc<Self>> {
        object.as_daemon_set()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn selector(&self) -> Option<&LabelSelector> {
        self.spec.selector.as_ref()
    }
}

impl DaemonSetController {
    /// A controller that knows nothing yet.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self {
            cache: SetCache::new(),
            nodes: BTreeMap::new(),
            names: seed.split("controllers/daemonset"),
        }
    }

    /// The sets to which a node means something else than before are due.
    fn observe_node(&mut self, node: &Arc<Node>, change: Change, now: SimTime) {
        let name = &node.metadata.name;
        let is_gone = change == Change::Deleted;
        let before = if is_gone {
            self.nodes.remove(name)
        } else {
            self.nodes.insert(name.clone(), Arc::clone(node))
        };
        let after = (!is_gone).then_some(node);
        if let (Some(before), Some(after)) = (&before, after)
            && are_alike(before, after)
        {
            return;
        }
        let concerned = self.cache.sets().filter(|(_, set)| {
            let demands = Demands::of(&set.spec.template.spec);
            let of = |node: &Arc<Node>| demands.verdict(node);
            before.as_ref().map(of) != after.map(of)
        });
        let concerned: Vec<ObjectKey> = concerned.map(|(key, _)| key.clone()).collect();
        for set in concerned {
            self.cache.add(&set, now);
        }
    }

    /// The writes that bring one set a step further.
    fn sync(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let Some(family) = self.cache.family(key) else {
            return Vec::new();
        };
        if !family.handovers.is_empty() {
            return family.handovers;
        }
        let set = &family.set;
        let observed: Option<i64> = set.status.rest.typed("observedGeneration");
        let is_settled = observed.is_some() && observed == set.metadata.generation;
        let owner = Owner {
            hash: common_hash(&family.pods).filter(|_| is_settled && family.revisions.is_empty()),
            kind: Kind::DaemonSet,
            meta: &set.metadata,
            template: &set.spec.template,
            hash_label: LABEL_REVISION,
        };
        let known: Vec<Revision> = family
            .revisions
            .iter()
            .cloned()
            .map(Revision::new)
            .collect();
        let (update, write) = revision::of_today(owner, &known);
        let mut effects = Vec::from_iter(write);
        let state = State::new(set, &self.nodes, &family.pods, &update, now);
        if !set.metadata.is_terminating() {
            let mut plan = state.manage();
            if plan.is_empty() {
                plan = state.roll();
            }
            effects.extend(state.effects(&plan, &mut self.names));
        }
        let status = state.status();
        if status != set.status {
            effects.push(status::write(set, status));
        }
        if let Some(wake) = state.next_available() {
            self.cache.add(key, wake);
        }
        let live = state.live_hashes();
        let live = known
            .iter()
            .filter(|known| live.contains(known.hash(LABEL_REVISION)));
        let live: BTreeSet<&str> = live.map(Revision::name).chain([update.name()]).collect();
        effects.extend(revision::cleanup(
            &known,
            &live,
            set.spec.revision_history_limit,
        ));
        effects
    }
}

impl Controller for DaemonSetController {
    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        if let Object::Node(node) = &event.object {
            self.observe_node(node, event.change, now);
        }
        self.cache.observe(event, now);
    }

    fn next_due(&self) -> Option<SimTime> {
        self.cache.next_due()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let mut all = Vec::new();
        for key in self.cache.take(now) {
            let effects = self.sync(&key, now);
            self.cache.sent(&key, &effects);
            all.extend(effects);
        }
        all
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        self.cache.refused(effect, status, now);
    }

    fn unchanged(&mut self, effect: &Effect, _now: SimTime) {
        self.cache.unchanged(effect);
    }
}

/// The hash that all Pods of a set have.
fn common_hash(pods: &[Arc<Pod>]) -> Option<&str> {
    let mut hashes = pods.iter().map(|pod| revision_of(pod));
    let first = hashes.next().filter(|hash| !hash.is_empty())?;
    hashes.all(|hash| hash == first).then_some(first)
}
