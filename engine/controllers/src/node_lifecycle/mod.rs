//! What becomes of nodes that are in trouble, and of the Pods on them.
//!
//! **What.** A node that is not heard of for too long is not Ready. A node's conditions and its cordon become taints. Pods of a
//! node that is not Ready are not Ready either,
//! at once; those that do not bear its `NoExecute` taints are deleted, those that bear them for some seconds
//! afterwards. A node that comes back loses its taints, and its kubelet says that its Pods are Ready again.
//! **Why.** One controller for what kube-controller-manager does in two, `node-lifecycle-controller` and
//! `taint-eviction-controller`: both look at the same nodes and Pods.
//! **Source of the semantics.** API-77, API-78; S: `pkg/controller/nodelifecycle/node_lifecycle_controller.go`,
//! `pkg/controller/tainteviction/taint_eviction.go`, `pkg/controller/util/node/controller_utils.go`.
//!
//! The 300 s for which a Pod without tolerations of its own bears an absent node are given to it by the API server
//! (DefaultTolerationSeconds).
//!
//! Deviation: taints and evictions are not rate-limited, and a zone that is away as a
//! whole is not spared. A node that does not say whether it is Ready is left alone. A `Ready` of a Pod that is False gets no
//! reason, as in Kubernetes. A wait that has begun is cut short when a taint comes that is borne for less; no Event tells
//! that one is called off. Pods and nodes of a pinned status keep it.

mod silence;
mod taints;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::{
    Change, Condition, DeleteOptions, Node, Object, ObjectKey, Pod, Rest, Status, Taint,
    WatchEvent, timestamp,
};
use base::SimTime;
use serde_json::json;

use self::silence::Silence;
use self::taints::wanted_taints;
use crate::controller::{Controller, Effect};
use crate::events::Recorder;
use crate::incident::Incident;
use crate::queue::Queue;
use crate::tolerations::{NO_EXECUTE, bears, taints, tolerations};

const NODE_NOT_READY: &str = "NodeNotReady";
/// How long the Pods of a deleted node stay (S: `pkg/controller/podgc/gc_controller.go`, quarantineTime).
const QUARANTINE: Duration = Duration::from_secs(40);

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
    /// Nodes whose taints are to be written.
    tainting: Queue<String>,
    /// Pods whose `Ready` is to be written.
    marking: Queue<ObjectKey>,
    /// Pods that are to be deleted.
    evictions: Queue<ObjectKey>,
    silence: Silence,
    events: Recorder,
    evicting: Recorder,
}

impl NodeLifecycleController {
    /// A controller that knows nothing yet, and waits for as long as `node_grace` for a node that it does not hear of.
    #[must_use]
    pub fn new(node_grace: Duration) -> Self {
        Self {
            silence: Silence::new(node_grace),
            events: Recorder::new("node-controller"),
            evicting: Recorder::new("taint-eviction-controller"),
            nodes: BTreeMap::new(),
            gone: BTreeSet::new(),
            pods: BTreeMap::new(),
            residents: BTreeMap::new(),
            strained: BTreeMap::new(),
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
            if is_trusted(node) {
                self.silence.doubt(name, now);
            }
            self.nodes.insert(name.clone(), Arc::clone(node))
        };
        self.tell_of_absence(before.as_deref(), node, now);
        let after = self.nodes.get(name);
        if before.map(|node| burden(&node)) != after.map(|node| burden(node)) {
            let residents = self.residents.get(name).cloned().unwrap_or_default();
            for key in residents {
                self.judge(key, now);
            }
        }
    }

    /// Tells of a node that was Ready and is not any more.
    fn tell_of_absence(&mut self, before: Option<&Node>, node: &Arc<Node>, now: SimTime) {
        let name = &node.metadata.name;
        let was_ready = before.and_then(readiness) == Some(true);
        let after = self.nodes.get(name);
        if was_ready && after.and_then(|node| readiness(node)) == Some(false) {
            let message = format!("Node {name} status is now: {NODE_NOT_READY}");
            let about = Object::Node(Arc::clone(node));
            self.events.note(&about, NODE_NOT_READY, message, now);
        }
    }

    fn observe_pod(&mut self, key: ObjectKey, pod: &Arc<Pod>, change: Change, now: SimTime) {
        if let Some(before) = self.pods.remove(&key) {
            if before.metadata.uid != pod.metadata.uid {
                self.strained.remove(&key);
            }
            self.set_resident(&key, &before.spec.node_name, false);
        }
        if change == Change::Deleted {
            self.strained.remove(&key);
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
        let patience = match node {
            Some(node) => Patience::of(pod, node),
            None if self.gone.contains(&pod.spec.node_name) => Patience::Lasts(QUARANTINE),
            // It may run on a node that was not dumped.
            None => Patience::Endless,
        };
        if self.is_wrongly_ready(pod) {
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

    /// Whether a Pod is Ready though its node is not.
    fn is_wrongly_ready(&self, pod: &Pod) -> bool {
        let node = self.nodes.get(&pod.spec.node_name);
        let is_away = node.is_some_and(|node| readiness(node) == Some(false));
        is_away && pod.is_ready() && !pod.metadata.has_pinned_status()
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
        let pod = self
            .pods
            .get(key)
            .filter(|pod| self.is_wrongly_ready(pod))?;
        let mut marked = Pod::clone(pod);
        let mut conditions = marked.status.conditions.iter_mut();
        let condition = conditions.find(|found| found.condition_type == "Ready")?;
        "False".clone_into(&mut condition.status);
        condition.last_transition_time = Some(timestamp(now));
        let about = Object::Pod(Arc::clone(pod));
        let message = "Node is not ready".to_owned();
        self.events.warn(&about, NODE_NOT_READY, message, now);
        Some(Effect::UpdateStatus(marked.into()))
    }

    /// A node is not heard of: what its kubelet said of it is not known any more.
    fn give_up(&self, name: &str, now: SimTime) -> Option<Effect> {
        let node = self.nodes.get(name).filter(|node| is_trusted(node))?;
        Some(Effect::UpdateStatus(silence::given_up(node, now).into()))
    }

    /// The Pod is told why it goes, and goes.
    fn evict(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let Some(pod) = self.pods.get(key) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        let is_orphan = self.gone.contains(&pod.spec.node_name);
        if !is_orphan {
            let (meta, about) = (&pod.metadata, Object::Pod(Arc::clone(pod)));
            let message = format!("Marking for deletion Pod {}/{}", meta.namespace, meta.name);
            self.evicting
                .note(&about, "TaintManagerEviction", message, now);
        }
        if !pod.metadata.has_pinned_status() {
            effects.push(Effect::UpdateStatus(with_disruption(pod, now).into()));
        }
        let options = DeleteOptions {
            uid: Some(pod.metadata.uid.clone()),
            grace: is_orphan.then_some(0),
            ..DeleteOptions::default()
        };
        effects.push(Effect::Delete(key.clone(), options));
        effects
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
            self.silence.next_due(),
            self.events.next_due(),
            self.evicting.next_due(),
        ];
        queues.into_iter().flatten().min()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let mut effects = Vec::new();
        for name in self.silence.take(now) {
            effects.extend(self.give_up(&name, now));
        }
        for name in self.tainting.take(now) {
            effects.extend(self.write_taints(&name, now));
        }
        for key in self.marking.take(now) {
            effects.extend(self.mark(&key, now));
        }
        for key in self.evictions.take(now) {
            effects.extend(self.evict(&key, now));
        }
        effects.extend(self.events.take());
        effects.extend(self.evicting.take());
        effects
    }

    fn happen(&mut self, incident: &Incident, now: SimTime) {
        if let Incident::Node {
            node,
            is_up,
            is_connected,
        } = incident
        {
            self.silence.set(node, !(*is_up && *is_connected), now);
        }
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        if self.events.refused(effect) || self.evicting.refused(effect) {
            return;
        }
        // Gone already, or changed in the meantime: its event is on the way.
        if matches!(status.code, 404 | 409) {
            return;
        }
        match effect {
            Effect::Update(object) => {
                let name = object.meta().name.clone();
                self.tainting.add_failed(name, now);
            }
            Effect::UpdateStatus(Object::Node(node)) => {
                self.silence.retry(node.metadata.name.clone(), now);
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

/// Whether it says of itself how it is.
fn is_trusted(node: &Node) -> bool {
    let mut conditions = node.status.conditions.iter();
    let ready = conditions.find(|found| found.condition_type == "Ready");
    ready.is_some_and(|ready| ready.status != "Unknown") && !node.metadata.has_pinned_status()
}

fn expelling_taints(node: &Node) -> Vec<Taint> {
    let mut taints = taints(node);
    taints.retain(|taint| taint.effect == NO_EXECUTE);
    taints
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
