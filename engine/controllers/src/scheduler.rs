//! Puts Pods on nodes.
//!
//! Deviation: a thin scheduler. A Pod goes to the Ready, schedulable node with the fewest Pods, the first by
//! name among equals; requests, affinity, taints and spreading constraints are not looked at. The choice is
//! written as an update of the Pod, where Kubernetes posts a Binding.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Change, Object, ObjectKey, Pod, Status, WatchEvent};
use base::SimTime;

use crate::controller::{Controller, Effect};
use crate::queue::Queue;

/// Assigns Pods without a node.
#[derive(Clone, Debug)]
pub struct Scheduler {
    /// Pods that are on a node, or chosen for one, are counted here.
    loads: Loads,
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
            loads: Loads::default(),
            pods: BTreeMap::new(),
            chosen: BTreeMap::new(),
            waiting: Queue::new(),
        }
    }

    fn observe_pod(&mut self, key: ObjectKey, pod: &Arc<Pod>, change: Change, now: SimTime) {
        let before = match change {
            Change::Deleted => self.pods.remove(&key),
            Change::Added | Change::Modified => {
                self.loads.add(place(pod));
                self.pods.insert(key.clone(), Arc::clone(pod))
            }
        };
        self.loads.remove(before.as_deref().and_then(place));
        let assigned = !pod.spec.node_name.is_empty();
        if assigned || change == Change::Deleted {
            self.take_back(&key);
            self.waiting.forget(&key);
        } else if !self.chosen.contains_key(&key) && is_wanted(pod) {
            self.waiting.add(key, now);
        }
    }

    /// Forgets a choice.
    fn take_back(&mut self, key: &ObjectKey) {
        let node = self.chosen.remove(key);
        self.loads.remove(node.as_deref());
    }
}

/// How many Pods each node has, and which nodes take more.
#[derive(Clone, Debug, Default)]
struct Loads {
    /// Nodes without Pods are left out.
    pods: BTreeMap<String, usize>,
    /// The nodes that take Pods, those with the fewest first.
    open: BTreeSet<(usize, String)>,
}

impl Loads {
    fn add(&mut self, node: Option<&str>) {
        if let Some(node) = node {
            self.set(node, self.of(node) + 1);
        }
    }

    fn remove(&mut self, node: Option<&str>) {
        if let Some(node) = node {
            self.set(node, self.of(node) - 1);
        }
    }

    fn set_open(&mut self, node: &str, open: bool) {
        let entry = (self.of(node), node.to_owned());
        if open {
            self.open.insert(entry);
        } else {
            self.open.remove(&entry);
        }
    }

    /// The node with the fewest Pods, the first by name among equals.
    fn least(&self) -> Option<&str> {
        self.open.first().map(|(_, node)| node.as_str())
    }

    fn of(&self, node: &str) -> usize {
        self.pods.get(node).copied().unwrap_or(0)
    }

    fn set(&mut self, node: &str, pods: usize) {
        if self.open.remove(&(self.of(node), node.to_owned())) {
            self.open.insert((pods, node.to_owned()));
        }
        if pods == 0 {
            self.pods.remove(node);
        } else {
            self.pods.insert(node.to_owned(), pods);
        }
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
                self.loads.set_open(&node.metadata.name, false);
            }
            Object::Node(node) => {
                let closed = node
                    .spec
                    .rest
                    .get("unschedulable")
                    .is_some_and(|flag| flag == true);
                self.loads
                    .set_open(&node.metadata.name, node.is_ready() && !closed);
            }
            Object::Pod(pod) => self.observe_pod(event.object.key(), pod, event.change, now),
            _ => {}
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        self.loads.least()?;
        self.waiting.next_due()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        if self.loads.least().is_none() {
            return Vec::new();
        }
        let mut effects = Vec::new();
        for key in self.waiting.take(now) {
            let Some(pod) = self.pods.get(&key).filter(|pod| is_wanted(pod)) else {
                continue;
            };
            let node = self.loads.least().expect("there are nodes that take Pods");
            let node = node.to_owned();
            let mut pod = Pod::clone(pod);
            pod.spec.node_name.clone_from(&node);
            self.take_back(&key);
            self.loads.add(Some(&node));
            self.chosen.insert(key, node);
            effects.push(Effect::Update(pod.into()));
        }
        effects
    }

    fn refused(&mut self, effect: &Effect, _status: &Status, now: SimTime) {
        if let Effect::Update(object) = effect {
            let key = object.key();
            self.take_back(&key);
            if self.pods.contains_key(&key) {
                self.waiting.add_failed(key, now);
            }
        }
    }
}

/// The node that a Pod takes room on.
fn place(pod: &Pod) -> Option<&str> {
    let node = Some(pod.spec.node_name.as_str());
    node.filter(|node| !node.is_empty() && !pod.is_finished())
}

/// Whether it should run somewhere but runs nowhere.
fn is_wanted(pod: &Pod) -> bool {
    pod.spec.node_name.is_empty() && !pod.is_finished() && !pod.metadata.is_terminating()
}

#[cfg(test)]
mod tests {
    use api::{Condition, Node, ObjectMeta};
    use proptest::prelude::*;

    use super::*;

    fn event(object: Object, change: Change) -> WatchEvent {
        WatchEvent {
            revision: 0,
            at: SimTime::ZERO,
            change,
            object,
            previous: None,
        }
    }

    fn node(name: &str, ready: bool, change: Change) -> WatchEvent {
        let mut node = Node {
            metadata: ObjectMeta::named("", name),
            ..Node::default()
        };
        node.status.conditions.push(Condition {
            condition_type: "Ready".to_owned(),
            status: if ready { "True" } else { "False" }.to_owned(),
            ..Condition::default()
        });
        event(node.into(), change)
    }

    fn pod(name: &str, node: &str, phase: &str, change: Change) -> WatchEvent {
        let mut pod = Pod {
            metadata: ObjectMeta::named("default", name),
            ..Pod::default()
        };
        node.clone_into(&mut pod.spec.node_name);
        phase.clone_into(&mut pod.status.phase);
        event(pod.into(), change)
    }

    /// Pods by node, counted one by one.
    fn recounted(scheduler: &Scheduler) -> BTreeMap<String, usize> {
        let mut load = BTreeMap::new();
        let alive = scheduler.pods.values().filter(|pod| !pod.is_finished());
        let placed = alive
            .map(|pod| &pod.spec.node_name)
            .filter(|node| !node.is_empty());
        for node in placed.chain(scheduler.chosen.values()) {
            *load.entry(node.clone()).or_insert(0) += 1;
        }
        load
    }

    /// Each Pod of many is one more than before: it would take minutes if each counted all others.
    #[test]
    fn many_pods_are_spread_evenly() {
        let mut scheduler = Scheduler::new();
        for index in 0..50 {
            let name = format!("n{index}");
            scheduler.observe(&node(&name, true, Change::Added), SimTime::ZERO);
        }
        for index in 0..20_000 {
            let pod = pod(&format!("p{index}"), "", "Pending", Change::Added);
            scheduler.observe(&pod, SimTime::ZERO);
        }
        assert_eq!(scheduler.reconcile(SimTime::ZERO).len(), 20_000);
        let load = recounted(&scheduler);
        assert_eq!((load.len(), load.values().max()), (50, Some(&400)));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Node {
            name: u8,
            ready: bool,
            gone: bool,
        },
        /// On a node that exists or not, or on none.
        Pod {
            name: u8,
            node: u8,
            finished: bool,
            gone: bool,
        },
        Schedule {
            refused: bool,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..4_u8, any::<bool>(), prop::bool::weighted(0.2))
                .prop_map(|(name, ready, gone)| Step::Node { name, ready, gone }),
            (
                0..8_u8,
                0..6_u8,
                prop::bool::weighted(0.2),
                prop::bool::weighted(0.2)
            )
                .prop_map(|(name, node, finished, gone)| Step::Pod {
                    name,
                    node,
                    finished,
                    gone
                }),
            any::<bool>().prop_map(|refused| Step::Schedule { refused }),
        ]
    }

    fn change(gone: bool) -> Change {
        if gone {
            Change::Deleted
        } else {
            Change::Modified
        }
    }

    proptest! {
        #[test]
        fn counts_are_those_of_the_pods(steps in prop::collection::vec(step(), 0..60)) {
            let mut scheduler = Scheduler::new();
            let mut open = BTreeSet::new();
            let now = SimTime::ZERO;
            for step in steps {
                match step {
                    Step::Node { name, ready, gone } => {
                        let name = format!("n{name}");
                        scheduler.observe(&node(&name, ready, change(gone)), now);
                        open.remove(&name);
                        open.extend(Some(name).filter(|_| ready && !gone));
                    }
                    Step::Pod { name, node, finished, gone } => {
                        let node = if node == 5 { String::new() } else { format!("n{node}") };
                        let phase = if finished { "Succeeded" } else { "Running" };
                        let pod = pod(&format!("p{name}"), &node, phase, change(gone));
                        scheduler.observe(&pod, now);
                    }
                    Step::Schedule { refused } => {
                        let mut load = recounted(&scheduler);
                        for effect in scheduler.reconcile(now) {
                            let Effect::Update(object) = &effect else { panic!("{effect:?}") };
                            let to = object.as_pod().unwrap().spec.node_name.clone();
                            let count = |node: &String| load.get(node).copied().unwrap_or(0);
                            let best = open.iter().min_by_key(|node| count(node));
                            prop_assert_eq!(Some(&to), best);
                            *load.entry(to).or_insert(0) += 1;
                            if refused {
                                let status = Status::not_found(&object.key());
                                scheduler.refused(&effect, &status, now);
                            }
                        }
                    }
                }
                prop_assert_eq!(&scheduler.loads.pods, &recounted(&scheduler));
            }
        }
    }
}
