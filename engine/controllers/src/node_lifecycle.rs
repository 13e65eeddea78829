//! What becomes of nodes that are in trouble, and of the Pods on them.
//!
//! **What.** A node's conditions and its cordon become taints. Pods of a node that is not Ready are not Ready either,
//! at once; those that do not bear its `NoExecute` taints are deleted, those that bear them for some seconds
//! afterwards. A node that comes back loses its taints, and its Pods are Ready again.
//! **Why.** One controller for what kube-controller-manager does in two, `node-lifecycle-controller` and
//! `taint-eviction-controller`: both look at the same nodes and Pods.
//! **Source of the semantics.** API-77, API-78; S: `pkg/controller/nodelifecycle/node_lifecycle_controller.go`,
//! `pkg/controller/tainteviction/taint_eviction.go`, `pkg/controller/util/node/controller_utils.go`.
//!
//! The 300 s for which a Pod without tolerations of its own bears an absent node are given to it by the API server
//! (DefaultTolerationSeconds).
//!
//! Deviation: there are no heartbeats: a node is away when its condition `Ready` says False or Unknown, and one
//! without that condition is left alone. Taints and evictions are not rate-limited, and a zone that is away as a
//! whole is not spared. A deleted Pod goes even if its node is away, for the simulated kubelet goes on working. When
//! the node comes back, its Pods' `Ready` is written here, where Kubernetes leaves it to the kubelet. A `Ready` of
//! False gets no reason, as in Kubernetes, where an event says `NodeNotReady`; no event is recorded here. A wait that
//! has begun is cut short when a taint comes that is borne for less. Pods of a pinned status keep it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::{
    Change, Condition, DeleteOptions, Node, Object, ObjectKey, Pod, Rest, Status, Taint,
    WatchEvent, timestamp,
};
use base::SimTime;
use serde_json::json;

use crate::controller::{Controller, Effect};
use crate::queue::Queue;
use crate::tolerations::{
    NO_EXECUTE, NO_SCHEDULE, NOT_READY, UNREACHABLE, UNSCHEDULABLE, bears, is_cordoned, taint,
    taints, tolerations,
};

/// Each condition, the status in which it is a trouble, and the taint that tells of it.
/// How long the Pods of a deleted node stay (S: `pkg/controller/podgc/gc_controller.go`, quarantineTime).
const QUARANTINE: Duration = Duration::from_secs(40);

const TROUBLES: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    (
        "MemoryPressure",
        "True",
        "node.kubernetes.io/memory-pressure",
    ),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    (
        "NetworkUnavailable",
        "True",
        "node.kubernetes.io/network-unavailable",
    ),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

/// Taints nodes in trouble, and evicts the Pods that do not bear it.
#[derive(Clone, Debug)]
pub struct NodeLifecycleController {
    nodes: BTreeMap<String, Arc<Node>>,
    /// Nodes that were there and are not any more.
    gone: BTreeSet<String>,
    pods: BTreeMap<ObjectKey, Arc<Pod>>,
    /// Pods by the name of their node, which may not exist.
    residents: BTreeMap<String, BTreeSet<ObjectKey>>,
    /// Pods on a node with `NoExecute` taints, and since when.
    strained: BTreeMap<ObjectKey, SimTime>,
    /// Pods that are not Ready because their node is not.
    marked: BTreeSet<ObjectKey>,
    /// Nodes whose taints are to be written.
    tainting: Queue<String>,
    /// Pods whose `Ready` is to be written.
    marking: Queue<ObjectKey>,
    /// Pods that are to be deleted.
    evictions: Queue<ObjectKey>,
}

impl NodeLifecycleController {
    /// A controller that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            nodes: BTreeMap::new(),
            gone: BTreeSet::new(),
            pods: BTreeMap::new(),
            residents: BTreeMap::new(),
            strained: BTreeMap::new(),
            marked: BTreeSet::new(),
            tainting: Queue::new(),
            marking: Queue::new(),
            evictions: Queue::new(),
        }
    }

    fn observe_node(&mut self, node: &Arc<Node>, change: Change, now: SimTime) {
        let name = &node.metadata.name;
        let before = if change == Change::Deleted {
            self.tainting.forget(name);
            self.gone.insert(name.clone());
            // From now on they wait for something else.
            for key in self.residents.get(name).into_iter().flatten() {
                self.strained.remove(key);
            }
            self.nodes.remove(name)
        } else {
            self.gone.remove(name);
            if wanted_taints(node, now).is_some() {
                self.tainting.add(name.clone(), now);
            }
            self.nodes.insert(name.clone(), Arc::clone(node))
        };
        let after = self.nodes.get(name);
        if before.map(|node| burden(&node)) != after.map(|node| burden(node)) {
            let residents = self.residents.get(name).cloned().unwrap_or_default();
            for key in residents {
                self.judge(key, now);
            }
        }
    }

    fn observe_pod(&mut self, key: ObjectKey, pod: &Arc<Pod>, change: Change, now: SimTime) {
        if let Some(before) = self.pods.remove(&key) {
            if before.metadata.uid != pod.metadata.uid {
                self.strained.remove(&key);
                self.marked.remove(&key);
            }
            self.set_resident(&key, &before.spec.node_name, false);
        }
        if change == Change::Deleted {
            self.strained.remove(&key);
            self.marked.remove(&key);
            self.marking.forget(&key);
            self.evictions.forget(&key);
            return;
        }
        self.set_resident(&key, &pod.spec.node_name, true);
        self.pods.insert(key.clone(), Arc::clone(pod));
        self.judge(key, now);
    }

    fn set_resident(&mut self, key: &ObjectKey, node: &str, is_there: bool) {
        if node.is_empty() {
            return;
        }
        let residents = self.residents.entry(node.to_owned()).or_default();
        if is_there {
            residents.insert(key.clone());
        } else {
            residents.remove(key);
            if residents.is_empty() {
                self.residents.remove(node);
            }
        }
    }

    /// Decides what is to be done about a Pod, and when.
    fn judge(&mut self, key: ObjectKey, now: SimTime) {
        let Some(pod) = self.pods.get(&key) else {
            return;
        };
        let node = self.nodes.get(&pod.spec.node_name);
        if pod.is_ready() && node.and_then(|node| readiness(node)) == Some(true) {
            self.marked.remove(&key);
        }
        let patience = match node {
            Some(node) => Patience::of(pod, node),
            None if self.gone.contains(&pod.spec.node_name) => Patience::Lasts(QUARANTINE),
            // It may run on a node that was not dumped.
            None => Patience::Endless,
        };
        if self.wanted_readiness(&key, pod).is_some() {
            self.marking.add(key.clone(), now);
        }
        self.evictions.forget(&key);
        match patience {
            Patience::Endless => drop(self.strained.remove(&key)),
            Patience::Lasts(span) => {
                let since = *self.strained.entry(key.clone()).or_insert(now);
                self.evictions.add(key, since + span);
            }
        }
    }

    /// What a Pod's `Ready` should say, if it says something else.
    fn wanted_readiness(&self, key: &ObjectKey, pod: &Pod) -> Option<bool> {
        let node = self.nodes.get(&pod.spec.node_name)?;
        match readiness(node)? {
            _ if pod.metadata.has_pinned_status() => None,
            false => pod.is_ready().then_some(false),
            true => {
                let is_back = self.marked.contains(key) && !pod.is_ready() && may_be_ready(pod);
                is_back.then_some(true)
            }
        }
    }

    fn write_taints(&self, name: &str, now: SimTime) -> Option<Effect> {
        let node = self.nodes.get(name)?;
        let taints = wanted_taints(node, now)?;
        let mut node = Node::clone(node);
        if taints.is_empty() {
            node.spec.rest.remove("taints");
        } else {
            node.spec.rest.insert("taints", json!(taints));
        }
        Some(Effect::Update(node.into()))
    }

    fn mark(&mut self, key: &ObjectKey, now: SimTime) -> Option<Effect> {
        let pod = self.pods.get(key)?;
        let ready = self.wanted_readiness(key, pod)?;
        let mut pod = Pod::clone(pod);
        let mut conditions = pod.status.conditions.iter_mut();
        let condition = conditions.find(|found| found.condition_type == "Ready")?;
        if ready {
            "True".clone_into(&mut condition.status);
        } else {
            "False".clone_into(&mut condition.status);
            self.marked.insert(key.clone());
        }
        condition.last_transition_time = Some(timestamp(now));
        Some(Effect::UpdateStatus(pod.into()))
    }

    /// The Pod is told why it goes, and goes.
    fn evict(&self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let Some(pod) = self.pods.get(key) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        if !pod.metadata.has_pinned_status() {
            effects.push(Effect::UpdateStatus(with_disruption(pod, now).into()));
        }
        let is_orphan = self.gone.contains(&pod.spec.node_name);
        let options = DeleteOptions {
            uid: Some(pod.metadata.uid.clone()),
            grace: is_orphan.then_some(0),
            ..DeleteOptions::default()
        };
        effects.push(Effect::Delete(key.clone(), options));
        effects
    }
}

impl Default for NodeLifecycleController {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for NodeLifecycleController {
    fn name(&self) -> &'static str {
        "node-lifecycle"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        match &event.object {
            Object::Node(node) => self.observe_node(node, event.change, now),
            Object::Pod(pod) => self.observe_pod(event.object.key(), pod, event.change, now),
            _ => {}
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        let queues = [
            self.tainting.next_due(),
            self.marking.next_due(),
            self.evictions.next_due(),
        ];
        queues.into_iter().flatten().min()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let mut effects = Vec::new();
        for name in self.tainting.take(now) {
            effects.extend(self.write_taints(&name, now));
        }
        for key in self.marking.take(now) {
            effects.extend(self.mark(&key, now));
        }
        for key in self.evictions.take(now) {
            effects.extend(self.evict(&key, now));
        }
        effects
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        // Gone already, or changed in the meantime: its event is on the way.
        if matches!(status.code, 404 | 409) {
            return;
        }
        match effect {
            Effect::Update(object) => {
                let name = object.meta().name.clone();
                self.tainting.add_failed(name, now);
            }
            Effect::UpdateStatus(object) => self.marking.add_failed(object.key(), now),
            Effect::Delete(key, _) => self.evictions.add_failed(key.clone(), now),
            _ => {}
        }
    }
}

/// How long a Pod bears its node's `NoExecute` taints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Endless,
    Lasts(Duration),
}

impl Patience {
    /// The shortest of the tolerations that bear the taints; none at all if a taint is not borne.
    fn of(pod: &Pod, node: &Node) -> Self {
        let taints = expelling_taints(node);
        if taints.is_empty() || pod.metadata.is_terminating() {
            return Self::Endless;
        }
        let tolerations = tolerations(pod);
        let mut shortest = None;
        for taint in &taints {
            let mut used = tolerations
                .iter()
                .filter(|one| bears(one, taint))
                .peekable();
            if used.peek().is_none() {
                return Self::Lasts(Duration::ZERO);
            }
            let seconds = used.filter_map(|one| one.toleration_seconds);
            let seconds = seconds.map(|seconds| u64::try_from(seconds).unwrap_or(0));
            shortest = shortest.into_iter().chain(seconds).min();
        }
        shortest.map_or(Self::Endless, |seconds| {
            Self::Lasts(Duration::from_secs(seconds))
        })
    }
}

/// What a node does to its Pods.
fn burden(node: &Node) -> (Option<bool>, Vec<Taint>) {
    (readiness(node), expelling_taints(node))
}

/// Whether it is Ready; `None` if it says nothing of it.
fn readiness(node: &Node) -> Option<bool> {
    let mut conditions = node.status.conditions.iter();
    let ready = conditions.find(|found| found.condition_type == "Ready")?;
    Some(ready.status == "True")
}

fn expelling_taints(node: &Node) -> Vec<Taint> {
    let mut taints = taints(node);
    taints.retain(|taint| taint.effect == NO_EXECUTE);
    taints
}

/// The taints that a node should have, if it has others.
fn wanted_taints(node: &Node, now: SimTime) -> Option<Vec<Taint>> {
    let wanted = own_taints(node);
    let same = |left: &Taint, right: &Taint| left.key == right.key && left.effect == right.effect;
    let present = taints(node);
    let stays =
        |taint: &Taint| !is_own(taint, node) || wanted.iter().any(|wanted| same(wanted, taint));
    let mut next: Vec<Taint> = present
        .iter()
        .filter(|taint| stays(taint))
        .cloned()
        .collect();
    for mut taint in wanted {
        if !present.iter().any(|known| same(known, &taint)) {
            taint.time_added = Some(timestamp(now));
            next.push(taint);
        }
    }
    (next != present).then_some(next)
}

/// The taints that tell of a node's troubles.
fn own_taints(node: &Node) -> Vec<Taint> {
    let has = |kind: &str, status: &str| {
        let mut conditions = node.status.conditions.iter();
        conditions.any(|found| found.condition_type == kind && found.status == status)
    };
    let troubles = TROUBLES
        .iter()
        .filter(|(kind, status, _)| has(kind, status));
    let keys: Vec<&str> = troubles.map(|(_, _, key)| *key).collect();
    let mut wanted: Vec<Taint> = keys.iter().map(|key| taint(key, NO_SCHEDULE)).collect();
    if is_cordoned(node) {
        wanted.push(taint(UNSCHEDULABLE, NO_SCHEDULE));
    }
    let away = keys.iter().filter(|key| is_absence(key));
    wanted.extend(away.map(|key| taint(key, NO_EXECUTE)));
    wanted
}

/// Whether a taint is this controller's to remove: it is nobody's business while a node does not say whether it is
/// Ready.
fn is_own(taint: &Taint, node: &Node) -> bool {
    let key = taint.key.as_str();
    let tells_trouble = || key == UNSCHEDULABLE || TROUBLES.iter().any(|(_, _, own)| *own == key);
    match taint.effect.as_str() {
        _ if is_absence(key) && readiness(node).is_none() => false,
        NO_SCHEDULE => tells_trouble(),
        NO_EXECUTE => is_absence(key),
        _ => false,
    }
}

fn is_absence(key: &str) -> bool {
    matches!(key, NOT_READY | UNREACHABLE)
}

/// Whether its containers are ready, and so are its readiness gates (API-77).
fn may_be_ready(pod: &Pod) -> bool {
    let is_at = |name: &str, status: &str| {
        let mut conditions = pod.status.conditions.iter();
        conditions.any(|found| found.condition_type == name && found.status == status)
    };
    let mut gates = pod.spec.readiness_gates.iter();
    !is_at("ContainersReady", "False") && gates.all(|gate| is_at(&gate.condition_type, "True"))
}

fn with_disruption(pod: &Pod, now: SimTime) -> Pod {
    let mut rest = Rest::default();
    rest.insert("reason", "DeletionByTaintManager".into());
    rest.insert(
        "message",
        "Taint manager: deleting due to NoExecute taint".into(),
    );
    let mut pod = pod.clone();
    let conditions = &mut pod.status.conditions;
    conditions.retain(|found| found.condition_type != "DisruptionTarget");
    conditions.push(Condition {
        condition_type: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        last_transition_time: Some(timestamp(now)),
        rest,
    });
    pod
}
