//! Puts Pods on nodes.
//!
//! Deviation: a thin scheduler. A Pod goes to the Ready, schedulable node with the fewest Pods, the first by
//! name among equals; requests, affinity, taints and spreading constraints are not looked at. The choice is
//! written as an update of the Pod, where Kubernetes posts a Binding.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Change, Object, ObjectKey, Pod, Status, WatchEvent};
use base::SimTime;

use crate::controller::{Controller, Effect};
use crate::queue::Queue;

/// Assigns Pods without a node.
#[derive(Clone, Debug)]
pub struct Scheduler {
    /// Names of the nodes that take Pods.
    nodes: BTreeMap<String, bool>,
    pods: BTreeMap<ObjectKey, Arc<Pod>>,
    /// Choices that no event has confirmed yet.
    chosen: BTreeMap<ObjectKey, String>,
    waiting: Queue<ObjectKey>,
}

impl Scheduler {
    /// A scheduler that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            chosen: BTreeMap::new(),
            waiting: Queue::new(),
        }
    }

    fn observe_pod(&mut self, key: ObjectKey, pod: &Arc<Pod>, change: Change, now: SimTime) {
        if change == Change::Deleted {
            self.pods.remove(&key);
            self.chosen.remove(&key);
            self.waiting.forget(&key);
            return;
        }
        let assigned = !pod.spec.node_name.is_empty();
        self.pods.insert(key.clone(), Arc::clone(pod));
        if assigned {
            self.chosen.remove(&key);
            self.waiting.forget(&key);
        } else if !self.chosen.contains_key(&key) && is_wanted(pod) {
            self.waiting.add(key, now);
        }
    }

    /// The node with the fewest Pods; `load` counts them.
    fn choose(&self, load: &BTreeMap<&str, usize>) -> Option<String> {
        let open = self.nodes.iter().filter(|(_, takes_pods)| **takes_pods);
        let best = open.min_by_key(|(name, _)| load.get(name.as_str()).copied().unwrap_or(0));
        best.map(|(name, _)| name.clone())
    }

    fn load(&self) -> BTreeMap<&str, usize> {
        let mut load = BTreeMap::new();
        let alive = self.pods.values().filter(|pod| !pod.is_finished());
        let nodes = alive.map(|pod| pod.spec.node_name.as_str());
        for node in nodes.chain(self.chosen.values().map(String::as_str)) {
            *load.entry(node).or_insert(0) += 1;
        }
        load
    }

    fn has_nodes(&self) -> bool {
        self.nodes.values().any(|takes_pods| *takes_pods)
    }
}

impl Default for Scheduler {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for Scheduler {
    fn name(&self) -> &'static str {
        "scheduler"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        match &event.object {
            Object::Node(node) if event.change == Change::Deleted => {
                self.nodes.remove(&node.metadata.name);
            }
            Object::Node(node) => {
                let closed = node
                    .spec
                    .rest
                    .get("unschedulable")
                    .is_some_and(|flag| flag == true);
                self.nodes
                    .insert(node.metadata.name.clone(), node.is_ready() && !closed);
            }
            Object::Pod(pod) => self.observe_pod(event.object.key(), pod, event.change, now),
            _ => {}
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        self.waiting.next_due(|_| self.has_nodes())
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        if !self.has_nodes() {
            return Vec::new();
        }
        let mut effects = Vec::new();
        for key in self.waiting.take(now, |_| true) {
            let Some(pod) = self.pods.get(&key).filter(|pod| is_wanted(pod)) else {
                continue;
            };
            let node = self
                .choose(&self.load())
                .expect("there are nodes that take Pods");
            let mut pod = Pod::clone(pod);
            pod.spec.node_name.clone_from(&node);
            self.chosen.insert(key, node);
            effects.push(Effect::Update(pod.into()));
        }
        effects
    }

    fn refused(&mut self, effect: &Effect, _status: &Status, now: SimTime) {
        if let Effect::Update(object) = effect {
            let key = object.key();
            self.chosen.remove(&key);
            if self.pods.contains_key(&key) {
                self.waiting.add_failed(key, now);
            }
        }
    }
}

/// Whether it should run somewhere but runs nowhere.
fn is_wanted(pod: &Pod) -> bool {
    pod.spec.node_name.is_empty() && !pod.is_finished() && !pod.metadata.is_terminating()
}
