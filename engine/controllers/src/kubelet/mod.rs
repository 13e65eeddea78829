//! The simulated kubelets of all nodes.
//!
//! **What.** A Pod bound to one of the nodes gets addresses, runs after a start delay, and is Ready; a deleted one
//! gets SIGTERM, and a little later its sandbox and then its object go. Containers that end are started again, with a
//! back-off. What happens to processes and packets is told by [`PodSignal`]s.
//! **Why.** One controller for all nodes: nodes differ in names and addresses only, and in how they fare ([`Incident`]).
//! **Source of the semantics.** API-77, API-92, EP-73; S: `pkg/kubelet` (pod workers, status manager, kuberuntime).
//!
//! A Pod is Ready when all its containers pass their probes. A deleted one sleeps as its `preStop` hooks say, at most
//! for its grace period, before SIGTERM; the longest of its containers' hooks counts.
//!
//! Deviation: starting takes a fixed time, and stopping takes [`POD_TEARDOWN`]; both are settings of ours. Hooks other
//! than a `preStop` that sleeps take no time. Readiness gates count as they stand when a status is written.
//! A Pod has one application, which is away while one of its containers or sidecars is. Sidecars start, and get SIGTERM,
//! with the other containers; other init containers have done their work by then, and take no time. A Pod whose manifest gives it the phase Running and an address runs from the moment it is seen, and has
//! passed the probes that it can pass.
//! With `switchboard.dev/status: pinned` the status is the user's and is not written; the Pod is still stopped and
//! removed when it is deleted.
//! A Pod that is removed by force, and created anew on another node, ends on the first one even if that has lost the API
//! server.
//! An Event tells when a probe begins to fail, not of each attempt, and of a back-off when it begins; of a sandbox that gets
//! no address, when it is first tried.

mod backoff;
mod machine;
mod probes;
mod process;
mod sandbox;
mod start;
mod status;
mod stop;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{Change, Object, ObjectKey, Pod, Status, WatchEvent};
use base::SimTime;
use ipnet::IpNet;

use self::machine::Machine;
pub(crate) use self::machine::STATUS_UNKNOWN;
use self::sandbox::{Sandbox, Stage};
use crate::controller::{Controller, Effect, PodSignal};
use crate::events::{Recorder, Telling};
use crate::incident::Incident;
use crate::queue::Queue;

/// From SIGTERM to the end of a Pod's sandbox, when its containers stop at once: our own number, in the range of
/// what a container runtime takes.
pub const POD_TEARDOWN: Duration = Duration::from_secs(1);

/// The nodes that run Pods.
#[derive(Clone, Debug)]
pub struct KubeletConfig {
    /// From the moment a kubelet sees a Pod to the moment its containers run.
    pub pod_start: Duration,
    /// Each node's name, its own addresses (primary first), and the ranges its Pods' addresses come from.
    pub nodes: Vec<(String, Vec<IpAddr>, Vec<IpNet>)>,
}

/// The kubelets of all nodes.
#[derive(Clone, Debug)]
pub struct Kubelet {
    pod_start: Duration,
    nodes: BTreeMap<String, Machine>,
    /// Whose a range of addresses is, by the range's first address.
    ranges: BTreeMap<IpAddr, (IpNet, String)>,
    /// Pods that wait for an address, by their node.
    short: BTreeMap<String, BTreeSet<ObjectKey>>,
    sandboxes: BTreeMap<ObjectKey, Sandbox>,
    /// Pods that are taken to be unready, whether they exist or not.
    unready: BTreeSet<ObjectKey>,
    due: Queue<ObjectKey>,
    /// Pods whose containers go round and round.
    loops: Queue<ObjectKey>,
    /// Nodes whose next heartbeat has something to say.
    beats: Queue<String>,
    /// Signals that wait for the next reconcile.
    signals: Vec<(SimTime, PodSignal)>,
    events: Recorder,
}

impl Kubelet {
    /// Kubelets that know no Pod yet.
    #[must_use]
    pub fn new(config: KubeletConfig) -> Self {
        let owned = config.nodes.iter().flat_map(|(name, _, ranges)| {
            let owned = |range: &IpNet| (range.network(), (*range, name.clone()));
            ranges.iter().map(owned)
        });
        let ranges = owned.collect();
        let nodes = config
            .nodes
            .into_iter()
            .map(|(name, addresses, ranges)| (name, Machine::new(addresses, &ranges)));
        Self {
            pod_start: config.pod_start,
            nodes: nodes.collect(),
            ranges,
            short: BTreeMap::new(),
            sandboxes: BTreeMap::new(),
            unready: BTreeSet::new(),
            due: Queue::new(),
            loops: Queue::new(),
            beats: Queue::new(),
            signals: Vec::new(),
            events: Recorder::new("kubelet"),
        }
    }

    /// A change of a Pod that its node's kubelet sees.
    fn see_pod(&mut self, key: ObjectKey, pod: &Arc<Pod>, change: Change, now: SimTime) {
        let known = self.sandboxes.get(&key);
        let is_other = known.is_some_and(|sandbox| sandbox.pod.metadata.uid != pod.metadata.uid);
        if change == Change::Deleted {
            // A node may see the end of a Pod late, when another one of the name runs elsewhere. Of one that it has itself,
            // before the Pod that ended, it has missed the end.
            let node = &pod.spec.node_name;
            if known.is_some_and(|sandbox| sandbox.pod.spec.node_name == *node) {
                self.forget(&key, now);
            }
            return;
        }
        if is_other {
            self.forget(&key, now);
        }
        if let Some(sandbox) = self.sandboxes.get_mut(&key) {
            let is_contested = sandbox.pod.is_ready() && !pod.is_ready();
            sandbox.pod = Arc::clone(pod);
            if pod.metadata.is_terminating() {
                self.begin_stop(&key, now);
            } else if is_contested && self.nodes[&pod.spec.node_name].is_ready_again() {
                // Somebody has found the node to be away, which it is not.
                self.due.add(key, now);
            }
        } else if !pod.is_finished() {
            self.begin_start(key, pod, now);
        }
    }

    /// Lets a Pod come to `now`. What a kubelet without an API server has to write, it does not.
    fn advance(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let Some(sandbox) = self.sandboxes.get(key) else {
            return Vec::new();
        };
        let node = sandbox.pod.spec.node_name.clone();
        let mut effects = match sandbox.stage {
            Stage::Starting => self.start(key, now),
            Stage::Booting => self.boot(key, now).into_iter().collect(),
            Stage::Running => self.go_on(key, now),
            Stage::Resting => vec![Effect::Signal(self.terminate(key, now))],
            Stage::Stopping => self.tear_down(key, now),
            Stage::Stopped => vec![stop::delete_object(key, &sandbox.pod)],
            Stage::Over => self.report(key, now).into_iter().collect(),
        };
        if !self.nodes[&node].is_reachable() {
            effects.retain(|effect| matches!(effect, Effect::Signal(_)));
        }
        effects
    }

    /// The status that a kubelet reports now. A pinned one is not its business.
    fn report(&mut self, key: &ObjectKey, now: SimTime) -> Option<Effect> {
        let is_unready = self.unready.contains(key);
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        if sandbox.pod.metadata.has_pinned_status() {
            return None;
        }
        let machine = &self.nodes[&sandbox.pod.spec.node_name];
        let pod = status::of(sandbox, machine.addresses(), is_unready, now);
        sandbox.pod = Arc::new(pod);
        Some(Effect::UpdateStatus(Object::Pod(Arc::clone(&sandbox.pod))))
    }

    /// Tells something of a Pod, if its node reaches the API server.
    fn tell<'a>(&mut self, pod: &'a Arc<Pod>, mut telling: Telling<'a>, now: SimTime) {
        let node = &pod.spec.node_name;
        if !self.nodes[node].is_reachable() || pod.metadata.has_pinned_status() {
            return;
        }
        telling.host = node;
        let about = Object::Pod(Arc::clone(pod));
        self.events.tell(&about, telling, now);
    }
}

impl Controller for Kubelet {
    fn name(&self) -> &'static str {
        "kubelet"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        match &event.object {
            Object::Node(node) => self.observe_node(node, event.change, now),
            Object::Pod(pod) => {
                let key = event.object.key();
                let Some(machine) = self.nodes.get_mut(&pod.spec.node_name) else {
                    return;
                };
                if machine.is_reachable() {
                    self.see_pod(key, pod, event.change, now);
                } else {
                    machine.miss(key, pod, event.change);
                }
            }
            _ => {}
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        let told = self.signals.first().map(|(at, _)| *at);
        let due = [
            told,
            self.due.next_due(),
            self.beats.next_due(),
            self.events.next_due(),
        ];
        due.into_iter().flatten().min()
    }

    fn next_periodic(&self) -> Option<SimTime> {
        self.loops.next_due()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let told = std::mem::take(&mut self.signals);
        let mut effects: Vec<Effect> = told
            .into_iter()
            .map(|(_, signal)| Effect::Signal(signal))
            .collect();
        let mut due = self.due.take(now);
        due.extend(self.loops.take(now));
        due.sort_unstable();
        due.dedup();
        for key in due {
            effects.extend(self.advance(&key, now));
        }
        for node in self.beats.take(now) {
            effects.extend(self.beat(&node, now));
        }
        effects.extend(self.events.take());
        effects
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        if self.events.refused(effect) {
            return;
        }
        // Gone already, or another one by now: its event is on the way.
        if matches!(status.code, 404 | 409) {
            return;
        }
        match effect {
            Effect::UpdateStatus(Object::Node(node)) => {
                self.beats.add_failed(node.metadata.name.clone(), now);
            }
            Effect::UpdateStatus(object) => self.due.add_failed(object.key(), now),
            Effect::Delete(key, _) => self.due.add_failed(key.clone(), now),
            _ => {}
        }
    }

    fn works_alone(&self) -> bool {
        true
    }

    fn happen(&mut self, incident: &Incident, now: SimTime) {
        match incident {
            Incident::Node {
                node,
                is_up,
                is_connected,
            } => self.set_condition(node, *is_up, *is_connected, now),
            Incident::PodCrash(pod) => self.crash(pod, now),
            Incident::PodUnready { pod, is_unready } => {
                let changes = if *is_unready {
                    self.unready.insert(pod.clone())
                } else {
                    self.unready.remove(pod)
                };
                let runs = |sandbox: &Sandbox| sandbox.stage == Stage::Running;
                if changes && self.sandboxes.get(pod).is_some_and(runs) {
                    self.due.add(pod.clone(), now);
                }
            }
        }
    }
}

/// A container of a Pod, as Events name it.
fn field_path(pod: &Pod, container: &str) -> String {
    let list = match pod.spec.containers.iter().any(|one| one.name == container) {
        true => "containers",
        false => "initContainers",
    };
    format!("spec.{list}{{{container}}}")
}

fn identity(key: &ObjectKey, pod: &Pod) -> (ObjectKey, String, String) {
    (
        key.clone(),
        pod.metadata.uid.clone(),
        pod.spec.node_name.clone(),
    )
}
