//! Puts Pods on nodes.
//!
//! **What.** A Pod goes to the best of the nodes that no filter excludes: cordons, taints, `nodeSelector` and required
//! node affinity, host ports, requests of processors and memory, room for Pods, `topologySpreadConstraints`, required
//! `podAffinity` and `podAntiAffinity`. The best has no taint that the Pod had rather not meet, the fewest of its like where it wishes
//! to be spread, the fewest Pods of its controller on it and in its zone, the fewest Pods, and the first name. A Pod
//! that fits nowhere is told so in kube-scheduler's words, and is tried again when a node or another Pod changes
//! such that it may fit.
//! **Why.** A Pod that asks for no more than room costs a look at the emptiest nodes of each zone; one that asks something else is
//! compared with all nodes, and with the Pods of the namespaces that it speaks of.
//! **Source of the semantics.** S: `pkg/scheduler` of Kubernetes 1.36; each module names its plugin. API-78 for nodes.
//!
//! Deviation: no preemption; the message is that of a Pod that finds no victims. Preferred affinities,
//! volumes, images and dynamic resources are not looked at, and nodes are not scored by what is left of them. A
//! resource that a node does not state is unlimited. Pods are spread by their controller, not by what Services and
//! workloads select. A node that is not Ready counts as tainted before its taint is written. The choice is written as
//! an update of the Pod, where Kubernetes posts a Binding: `PodScheduled` becomes True when the Pod starts, and at
//! once if it was False. Retries need no backoff. An Event tells why a Pod fits nowhere when the reason changes; none tells
//! of a success.

mod cache;
mod demand;
mod footprint;
mod machine;
mod misfit;
mod parked;
mod pass;
mod pod_term;
mod quantity;
mod roster;
mod spread;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use api::{
    Change, Condition, Object, ObjectKey, Pod, Rest, Status, StringMap, WatchEvent, timestamp,
};
use base::SimTime;

use self::cache::{Cache, place};
use self::demand::Demand;
use self::machine::Offer;
use self::parked::Parked;
use self::pass::Pass;
use crate::controller::{Controller, Effect};
use crate::events::Recorder;
use crate::queue::Queue;

const SCHEDULED: &str = "PodScheduled";
/// S: `pkg/registry/core/pod/strategy.go` (applySchedulingGatedCondition).
const GATED: (&str, &str) = (
    "SchedulingGated",
    "Scheduling is blocked due to non-empty scheduling gates",
);
const UNSCHEDULABLE: &str = "Unschedulable";

/// Assigns Pods without a node.
#[derive(Clone, Debug)]
pub struct Scheduler {
    cache: Cache,
    waiting: Queue<ObjectKey>,
    parked: Parked,
    events: Recorder,
}

impl Scheduler {
    /// A scheduler that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cache: Cache::default(),
            waiting: Queue::new(),
            parked: Parked::default(),
            events: Recorder::new("default-scheduler"),
        }
    }

    fn observe_pod(&mut self, key: ObjectKey, pod: &Arc<Pod>, change: Change, now: SimTime) {
        let is_gone = change == Change::Deleted;
        let pod = Some(pod).filter(|_| !is_gone);
        let before = self.cache.set_pod(&key, pod);
        self.tell_others(before.as_deref(), pod.map(|pod| &**pod), now);
        let Some(pod) = pod.filter(|pod| is_wanted(pod)) else {
            if pod.is_none_or(|pod| !pod.spec.node_name.is_empty()) {
                self.take_back(&key, pod.and_then(|pod| place(pod)), now);
                self.waiting.forget(&key);
            }
            self.parked.remove(&key);
            if pod.is_some_and(|pod| denies_its_place(pod)) {
                self.waiting.add(key, now);
            }
            return;
        };
        let asks_the_same = |before: Arc<Pod>| {
            before.spec == pod.spec && before.metadata.labels == pod.metadata.labels
        };
        if self.parked.contains(&key) && before.is_some_and(asks_the_same) {
            return;
        }
        if !self.cache.chosen.contains_key(&key) {
            self.parked.remove(&key);
            self.waiting.add(key, now);
        }
    }

    /// Forgets a choice: if the Pod is elsewhere by now, others may have its room.
    fn take_back(&mut self, key: &ObjectKey, place: Option<&str>, now: SimTime) {
        let chosen = self.cache.take_back(key);
        if chosen.is_some() && chosen.as_deref() != place {
            let helped = self.parked.take_by_departure();
            self.wake(helped, now);
        }
    }

    /// Wakes the Pods that a change of a Pod may help.
    fn tell_others(&mut self, before: Option<&Pod>, after: Option<&Pod>, now: SimTime) {
        fn essence(pod: Option<&Pod>) -> Option<(&str, &StringMap, bool)> {
            let pod = pod?;
            let meta = &pod.metadata;
            Some((place(pod)?, &meta.labels, meta.is_terminating()))
        }
        let (before, after) = (essence(before), essence(after));
        if before == after {
            return;
        }
        if before.is_some() {
            let helped = self.parked.take_by_departure();
            self.wake(helped, now);
        }
        if after.is_some() {
            let helped = self.parked.take_by_arrival();
            self.wake(helped, now);
        }
    }

    fn wake(&mut self, keys: BTreeSet<ObjectKey>, now: SimTime) {
        for key in keys {
            self.waiting.add(key, now);
        }
    }

    fn wake_all(&mut self, now: SimTime) {
        let all = self.parked.take_all();
        self.wake(all, now);
    }

    fn schedule(&mut self, key: ObjectKey, now: SimTime) -> Option<Effect> {
        let pod = Arc::clone(self.cache.pods.get(&key)?);
        if denies_its_place(&pod) {
            return with_condition(&pod, None, now);
        }
        if !is_wanted(&pod) {
            return None;
        }
        self.cache.take_back(&key);
        if is_gated(&pod) {
            self.parked.park(key, false, false);
            let (reason, message) = GATED;
            return with_condition(&pod, Some((reason, message)), now);
        }
        let demand = Demand::of(&pod);
        match Pass::place(&self.cache, &pod, &demand) {
            Ok(node) => {
                let node = node.to_owned();
                let mut placed = Pod::clone(&pod);
                placed.spec.node_name.clone_from(&node);
                self.cache.choose(&key, pod, node);
                Some(Effect::Update(placed.into()))
            }
            Err(misfits) => {
                let by_arrival = demand.minds_arrivals();
                let message = misfits.message(demand.preempts);
                self.parked.park(key, misfits.may_pass(), by_arrival);
                let effect = with_condition(&pod, Some((UNSCHEDULABLE, &message)), now)?;
                let about = Object::Pod(pod);
                self.events.warn(&about, "FailedScheduling", message, now);
                Some(effect)
            }
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
        let is_gone = event.change == Change::Deleted;
        match &event.object {
            Object::Node(node) => {
                let offer = (!is_gone).then(|| Offer::of(node));
                if self.cache.roster.offer(&node.metadata.name, offer) {
                    self.wake_all(now);
                }
            }
            Object::Namespace(namespace) => {
                let meta = &namespace.metadata;
                let labels = Some(&meta.labels).filter(|_| !is_gone);
                if self.cache.set_namespace(&meta.name, labels) {
                    self.wake_all(now);
                }
            }
            Object::Pod(pod) => self.observe_pod(event.object.key(), pod, event.change, now),
            _ => {}
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        let due = [self.waiting.next_due(), self.events.next_due()];
        due.into_iter().flatten().min()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let mut due = self.waiting.take(now);
        due.sort_by_key(|key| Reverse(self.cache.pods.get(key).map_or(0, |pod| priority(pod))));
        let due = due.into_iter();
        let mut effects: Vec<Effect> = due.filter_map(|key| self.schedule(key, now)).collect();
        effects.extend(self.events.take());
        effects
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        if self.events.refused(effect) {
            return;
        }
        let key = match effect {
            Effect::Update(object) => {
                self.take_back(&object.key(), None, now);
                object.key()
            }
            // Gone already.
            Effect::UpdateStatus(_) if status.code == 404 => return,
            Effect::UpdateStatus(object) => object.key(),
            _ => return,
        };
        if self.cache.pods.contains_key(&key) {
            self.parked.remove(&key);
            self.waiting.add_failed(key, now);
        }
    }
}

/// Whether it should run somewhere but runs nowhere.
fn is_wanted(pod: &Pod) -> bool {
    pod.spec.node_name.is_empty() && !pod.is_finished() && !pod.metadata.is_terminating()
}

/// Who comes first of those who wait.
fn priority(pod: &Pod) -> i64 {
    let priority = pod.spec.rest.get("priority");
    priority.and_then(serde_json::Value::as_i64).unwrap_or(0)
}

/// Whether somebody holds it back.
fn is_gated(pod: &Pod) -> bool {
    let gates = pod.spec.rest.get("schedulingGates");
    let gates = gates.and_then(serde_json::Value::as_array);
    gates.is_some_and(|gates| !gates.is_empty())
}

/// Whether it is on a node, and its status still says that it is on none, or why.
fn denies_its_place(pod: &Pod) -> bool {
    let mut conditions = pod.status.conditions.iter();
    place(pod).is_some()
        && !pod.metadata.has_pinned_status()
        && conditions.any(|found| {
            let is_denial = found.status == "False" || found.rest.get("reason").is_some();
            found.condition_type == SCHEDULED && is_denial
        })
}

/// The Pod with `PodScheduled` at True, or at False for a reason with a message; `None` if it is so already.
fn with_condition(pod: &Pod, fault: Option<(&str, &str)>, now: SimTime) -> Option<Effect> {
    let mut condition = Condition {
        condition_type: SCHEDULED.to_owned(),
        status: if fault.is_some() { "False" } else { "True" }.to_owned(),
        last_transition_time: Some(timestamp(now)),
        rest: Rest::default(),
    };
    if let Some((reason, message)) = fault {
        condition.rest.insert("reason", reason.into());
        condition.rest.insert("message", message.into());
    }
    let mut pod = pod.clone();
    let conditions = &mut pod.status.conditions;
    match conditions
        .iter_mut()
        .find(|known| known.condition_type == SCHEDULED)
    {
        Some(known) => {
            if known.status == condition.status {
                condition
                    .last_transition_time
                    .clone_from(&known.last_transition_time);
            }
            if *known == condition {
                return None;
            }
            *known = condition;
        }
        None => conditions.push(condition),
    }
    (!pod.metadata.has_pinned_status()).then(|| Effect::UpdateStatus(pod.into()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use api::{Node, ObjectMeta};
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
        let alive = scheduler
            .cache
            .pods
            .values()
            .filter(|pod| !pod.is_finished());
        let placed = alive
            .map(|pod| &pod.spec.node_name)
            .filter(|node| !node.is_empty());
        let chosen = scheduler.cache.chosen.values().map(|(node, _)| node);
        for node in placed.chain(chosen) {
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

    /// A Pod that is chosen for a node and goes before it gets there makes room as any other.
    #[test]
    fn a_choice_that_fails_frees_its_room() {
        let now = SimTime::ZERO;
        let mut scheduler = Scheduler::new();
        let mut small = node("n0", true, Change::Added);
        if let Object::Node(node) = &mut small.object {
            let room = &mut Arc::make_mut(node).status.allocatable;
            room.insert("pods".to_owned(), 1.into());
        }
        scheduler.observe(&small, now);
        for name in ["a", "b"] {
            scheduler.observe(&pod(name, "", "Pending", Change::Added), now);
        }
        let effects = scheduler.reconcile(now);
        assert!(matches!(
            effects.as_slice(),
            [
                Effect::Update(_),
                Effect::UpdateStatus(_),
                Effect::Create(Object::Event(_))
            ]
        ));
        let gone = pod("a", "", "Pending", Change::Deleted);
        scheduler.refused(&effects[0], &Status::not_found(&gone.object.key()), now);
        scheduler.observe(&gone, now);
        let effects = scheduler.reconcile(now);
        let [Effect::Update(object)] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        assert_eq!(object.meta().name, "b");
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
                            let Effect::Update(object @ Object::Pod(_)) = &effect else {
                                prop_assert!(open.is_empty(), "{effect:?}");
                                continue;
                            };
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
                prop_assert_eq!(&scheduler.cache.roster.counts(), &recounted(&scheduler));
            }
        }
    }
}
