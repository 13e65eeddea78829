//! The StatefulSet controller.
//!
//! **What.** Each Pod of a set has a number, a name made of it that stays, and volume claims of its own. Pods come up
//! in the order of their numbers, each when those before it are available, and go in reverse; `Parallel` does not
//! wait. A new template is rolled out from the highest number down to the partition.
//! **Why.** With a headless Service the names are DNS names (EP-15), so peers find each other.
//! **Source of the semantics.** EP-15, API-77; S: `pkg/controller/statefulset/stateful_set_control.go`,
//! `stateful_set_utils.go`, `pkg/controller/statefulset/stateful_pod_control.go`.
//!
//! Deviation: volume claims are created and never bound, and they are never deleted, whatever
//! `persistentVolumeClaimRetentionPolicy` says. A Pod that is not what its name calls for is not mended. At most
//! [`BURST`] Pods are created at once, where Kubernetes tries 1, 2, 4 … of them.

mod identity;
mod plan;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{
    Change, Kind, LabelSelector, Object, ObjectKey, ObjectMeta, Pod, StatefulSet, Status,
    WatchEvent,
};
use base::SimTime;

use self::identity::ordinal_of;
use crate::controller::{Controller, Effect};
use crate::pod_state::revision_of;
use crate::revision::{self, Owner, Revision};
use crate::set_cache::{Family, PodSet, SetCache};

/// The label of a revision that carries its hash.
const LABEL_HASH: &str = "controller.kubernetes.io/hash";
/// How many Pods are created at once.
const BURST: usize = 500;

/// Keeps the Pods of StatefulSets.
#[derive(Clone, Debug)]
pub struct StatefulSetController {
    cache: SetCache<StatefulSet>,
    /// The volume claims that exist.
    claims: BTreeSet<ObjectKey>,
}

/// What a set's Pods are made of and held against.
struct State {
    set: Arc<StatefulSet>,
    /// By number; Pods without one do not count.
    pods: BTreeMap<i64, Arc<Pod>>,
    /// What the Pods are of that the rolling update has not come to.
    current: Revision,
    /// The template of today.
    update: Revision,
}

impl PodSet for StatefulSet {
    const KIND: Kind = Kind::StatefulSet;

    fn of(object: &Object) -> Option<&Arc<Self>> {
        object.as_stateful_set()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn selector(&self) -> Option<&LabelSelector> {
        self.spec.selector.as_ref()
    }

    fn may_own(&self, pod: &str) -> bool {
        ordinal_of(&self.metadata.name, pod).is_some()
    }
}

impl StatefulSetController {
    /// A controller that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cache: SetCache::new(),
            claims: BTreeSet::new(),
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
        let known: Vec<Revision> = family
            .revisions
            .iter()
            .cloned()
            .map(Revision::new)
            .collect();
        let (state, write) = State::new(&family, &known);
        let mut effects = Vec::from_iter(write);
        if !state.set.metadata.is_terminating() {
            effects.extend(plan::plan(&state, &self.claims, now));
        }
        let status = status::of(&state, now);
        if status.newest != state.set.status {
            effects.push(status::write(&state.set, status.newest));
        }
        if let Some(wake) = status.wake {
            self.cache.add(key, wake);
        }
        effects.extend(state.cleanup(&known));
        effects
    }
}

impl Default for StatefulSetController {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The state of a set, and the write of its newest revision if it is to be written.
    fn new(family: &Family<StatefulSet>, known: &[Revision]) -> (Self, Option<Effect>) {
        let set = &family.set;
        let observed = set.status.observed_generation;
        let is_settled = observed.is_some() && observed == set.metadata.generation;
        let name = set.status.rest.typed::<String>("updateRevision");
        let hash = name.as_deref().and_then(|name| {
            let hash = name.strip_prefix(set.metadata.name.as_str())?;
            hash.strip_prefix('-')
        });
        let owner = Owner {
            hash: hash.filter(|_| is_settled && known.is_empty()),
            kind: Kind::StatefulSet,
            meta: &set.metadata,
            template: &set.spec.template,
            hash_label: LABEL_HASH,
        };
        let (update, write) = revision::of_today(owner, known);
        let current = set.status.rest.typed::<String>("currentRevision");
        let current = current.and_then(|name| known.iter().find(|known| known.name() == name));
        let pods = family.pods.iter().filter_map(|pod| {
            let ordinal = ordinal_of(&set.metadata.name, &pod.metadata.name)?;
            Some((ordinal, Arc::clone(pod)))
        });
        let state = Self {
            set: Arc::clone(set),
            pods: pods.collect(),
            current: current.unwrap_or(&update).clone(),
            update,
        };
        (state, write)
    }

    /// The first number, and the one after the last.
    fn range(&self) -> (i64, i64) {
        let spec = &self.set.spec;
        let start = spec
            .rest
            .get("ordinals")
            .and_then(|found| found.get("start"));
        let start = start.and_then(serde_json::Value::as_i64).unwrap_or(0);
        let start = start.clamp(0, i32::MAX.into());
        (start, start + i64::from(self.replicas()))
    }

    /// How many Pods there should be.
    fn replicas(&self) -> i32 {
        self.set.spec.replicas.unwrap_or(1).max(0)
    }

    /// Whether a new template is rolled out by the controller.
    fn is_rolling(&self) -> bool {
        self.set.spec.update_strategy.strategy_type != "OnDelete"
    }

    fn cleanup(&self, known: &[Revision]) -> Vec<Effect> {
        let mut live: BTreeSet<&str> = self.pods.values().map(|pod| revision_of(pod)).collect();
        live.extend([self.current.name(), self.update.name()]);
        revision::cleanup(known, &live, self.set.spec.revision_history_limit)
    }
}

impl Controller for StatefulSetController {
    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        let key = event.object.key();
        if event.object.is_inert() && Some(key.kind) == identity::claim_kind() {
            if event.change == Change::Deleted {
                self.claims.remove(&key);
            } else {
                self.claims.insert(key);
            }
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
