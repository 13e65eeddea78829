//! A DaemonSet's Pods, node by node, and which of them are missing or too many.
//!
//! **Source of the semantics.** S: `pkg/controller/daemon/daemon_controller.go` (podsShouldBeOnNode, manage,
//! syncNodes).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{DaemonSet, Kind, Node, ObjectMeta, OwnerReference, Pod, generate_name};
use base::{Rng, SimTime};

use crate::controller::Effect;
use crate::daemon_nodes::{Demands, Verdict, node_of, tie};
use crate::owned_pods::available_at;
use crate::pod_state::{LABEL_REVISION, delete, revision_of};
use crate::revision::Revision;

const LABEL_GENERATION: &str = "pod-template-generation";
/// How many Pods are created or deleted at once (S: BurstReplicas).
const BURST: usize = 250;

/// A DaemonSet, and what there is for it.
pub(super) struct State<'a> {
    pub(super) set: &'a DaemonSet,
    pub(super) update: &'a Revision,
    pub(super) now: SimTime,
    /// What each node means to it.
    pub(super) nodes: BTreeMap<&'a str, Verdict>,
    /// Its Pods by node, the oldest first; nodes that are gone are among them.
    pub(super) pods: BTreeMap<String, Vec<Arc<Pod>>>,
}

/// What is to be created, by node, and deleted.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) create: Vec<String>,
    pub(super) delete: Vec<Arc<Pod>>,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.create.is_empty() && self.delete.is_empty()
    }
}

impl<'a> State<'a> {
    pub(super) fn new(
        set: &'a DaemonSet,
        nodes: &'a BTreeMap<String, Arc<Node>>,
        owned: &[Arc<Pod>],
        update: &'a Revision,
        now: SimTime,
    ) -> Self {
        let demands = Demands::of(&set.spec.template.spec);
        let verdicts = nodes
            .iter()
            .map(|(name, node)| (name.as_str(), demands.verdict(node)));
        let mut pods: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in owned {
            // One that is tied to no node is on none, and is treated as one of a node that is gone.
            let node = node_of(pod).unwrap_or_default();
            pods.entry(node).or_default().push(Arc::clone(pod));
        }
        for on_node in pods.values_mut() {
            on_node.sort_by_cached_key(|pod| {
                let meta = &pod.metadata;
                (
                    pod.spec.node_name.is_empty(),
                    meta.creation_timestamp.clone(),
                    meta.name.clone(),
                )
            });
        }
        Self {
            set,
            update,
            now,
            nodes: verdicts.collect(),
            pods,
        }
    }

    /// Creates what is missing, and deletes what is too much or has failed.
    pub(super) fn manage(&self) -> Plan {
        let mut plan = Plan::default();
        for (node, verdict) in &self.nodes {
            match self.pods.get(*node) {
                None if verdict.should_run => plan.create.push((*node).to_owned()),
                Some(pods) if verdict.may_stay => plan.delete.extend(self.surplus(pods)),
                Some(pods) => plan.delete.extend(pods.iter().cloned()),
                None => {}
            }
        }
        // Those that run on a node that is gone, or was never seen, are not this controller's business.
        for (node, pods) in &self.pods {
            if !self.nodes.contains_key(node.as_str()) {
                let unbound = pods.iter().filter(|pod| pod.spec.node_name.is_empty());
                plan.delete.extend(unbound.cloned());
            }
        }
        plan.delete.retain(|pod| !pod.metadata.is_terminating());
        plan
    }

    /// The Pods of one node that must go: finished ones, and all but the oldest. While a new Pod comes up beside an
    /// old one, the oldest of each stays.
    fn surplus(&self, pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
        let staying = pods.iter().filter(|pod| !pod.metadata.is_terminating());
        let (mut surplus, running): (Vec<_>, Vec<_>) =
            staying.cloned().partition(|pod| pod.is_finished());
        if self.max_surge() == 0 {
            surplus.extend(running.into_iter().skip(1));
            return surplus;
        }
        let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|pod| self.is_new(pod));
        let has_successor = new.first().is_some_and(|pod| self.is_available(pod));
        surplus.extend(new.into_iter().skip(1));
        surplus.extend(old.into_iter().skip(usize::from(!has_successor)));
        surplus
    }

    /// The Pods of a node that are not on their way out.
    pub(super) fn staying(&self, node: &str) -> impl Iterator<Item = &Arc<Pod>> {
        let pods = self.pods.get(node).into_iter().flatten();
        pods.filter(|pod| !pod.metadata.is_terminating())
    }

    /// Whether a Pod is of today's template.
    pub(super) fn is_new(&self, pod: &Pod) -> bool {
        revision_of(pod) == self.update.hash(LABEL_REVISION)
    }

    /// Whether a Pod has been ready for long enough.
    pub(super) fn is_available(&self, pod: &Pod) -> bool {
        let since = available_at(pod, self.set.spec.min_ready_seconds);
        since.is_some_and(|since| since <= self.now)
    }

    /// When the next ready Pod will have been so for long enough.
    pub(super) fn next_available(&self) -> Option<SimTime> {
        let pods = self.pods.values().flatten();
        let times = pods.filter_map(|pod| available_at(pod, self.set.spec.min_ready_seconds));
        times.filter(|since| *since > self.now).min()
    }

    /// How many nodes should run a Pod.
    pub(super) fn desired(&self) -> usize {
        let wanted = self.nodes.values().filter(|verdict| verdict.should_run);
        wanted.count()
    }

    /// The revisions that its Pods are of.
    pub(super) fn live_hashes(&self) -> BTreeSet<&str> {
        let pods = self.pods.values().flatten();
        pods.map(|pod| revision_of(pod)).collect()
    }

    /// The writes of a plan, as many as are made at once.
    pub(super) fn effects(&self, plan: &Plan, names: &mut Rng) -> Vec<Effect> {
        let create = plan.create.iter().take(BURST);
        let create = create.map(|node| Effect::Create(self.pod(node, names).into()));
        let delete = plan.delete.iter().take(BURST).map(|pod| delete(pod));
        create.chain(delete).collect()
    }

    /// A new Pod for a node.
    fn pod(&self, node: &str, names: &mut Rng) -> Pod {
        let meta = &self.set.metadata;
        let template = self.set.spec.template.clone();
        let mut labels = template.metadata.labels;
        let hash = self.update.hash(LABEL_REVISION);
        labels.insert(LABEL_REVISION.to_owned(), hash.to_owned());
        labels.insert(
            LABEL_GENERATION.to_owned(),
            self.update.number().to_string(),
        );
        let prefix = format!("{}-", meta.name);
        let mut pod = Pod {
            metadata: ObjectMeta {
                generate_name: prefix.clone(),
                labels,
                annotations: template.metadata.annotations,
                finalizers: template.metadata.finalizers,
                owner_references: vec![OwnerReference::to_controller(Kind::DaemonSet, meta)],
                ..ObjectMeta::named(&meta.namespace, &generate_name(&prefix, names))
            },
            spec: template.spec,
            ..Pod::default()
        };
        tie(&mut pod.spec, node);
        pod
    }
}
