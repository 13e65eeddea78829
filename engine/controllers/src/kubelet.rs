//! The simulated kubelets of all nodes.
//!
//! **What.** A Pod bound to one of the nodes gets addresses, runs after a start delay, and is Ready; a deleted one
//! gets SIGTERM, and a little later its sandbox and then its object go. What happens to processes and packets is
//! told by [`PodSignal`]s.
//! **Why.** One controller for all nodes: nodes differ in names and addresses only.
//! **Source of the semantics.** API-77, API-92, EP-73; S: `pkg/kubelet` (pod workers, status manager).
//!
//! Deviation: starting takes a fixed time, and stopping takes [`POD_TEARDOWN`]; both are settings of ours. A Pod
//! becomes Ready when it starts: probes are not run, and readiness gates count as they stand at that instant.
//! A Pod whose manifest gives it the phase Running and an address runs from the moment it is seen.
//! With `switchboard.dev/status: pinned` the status is the user's and is not written; the Pod is still stopped and
//! removed when it is deleted.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{
    ANNOTATION_STATUS, Change, Condition, ContainerStatus, DeleteOptions, Object, ObjectKey, Pod,
    PodIp, Status, WatchEvent, timestamp,
};
use base::SimTime;
use ipnet::IpNet;
use serde_json::json;

use crate::controller::{Controller, Effect, PodSignal};
use crate::pod_ips::PodIps;
use crate::queue::Queue;

/// From SIGTERM to the end of a Pod's sandbox, when its containers stop at once: our own number, in the range of
/// what a container runtime takes.
pub const POD_TEARDOWN: Duration = Duration::from_secs(1);
/// How long a kubelet waits when no address is free.
const NO_ADDRESS_RETRY: Duration = Duration::from_secs(1);

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
    sandboxes: BTreeMap<ObjectKey, Sandbox>,
    due: Queue<ObjectKey>,
    /// Signals that wait for the next reconcile.
    signals: Vec<(SimTime, PodSignal)>,
}

#[derive(Clone, Debug)]
struct Machine {
    addresses: Vec<IpAddr>,
    pod_ips: PodIps,
}

/// A Pod on a node.
#[derive(Clone, Debug)]
struct Sandbox {
    pod: Arc<Pod>,
    seen: SimTime,
    /// Its addresses, as far as they are known; they are held in its node's pool unless it uses the node's.
    addresses: Vec<IpAddr>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing runs yet.
    Starting,
    /// Its containers run.
    Running,
    /// Its containers have got SIGTERM.
    Stopping,
    /// Nothing runs any more; its object is to go.
    Stopped,
}

impl Kubelet {
    /// Kubelets that know no Pod yet.
    #[must_use]
    pub fn new(config: KubeletConfig) -> Self {
        let nodes = config.nodes.into_iter().map(|(name, addresses, ranges)| {
            let pod_ips = PodIps::new(&ranges);
            (name, Machine { addresses, pod_ips })
        });
        Self {
            pod_start: config.pod_start,
            nodes: nodes.collect(),
            sandboxes: BTreeMap::new(),
            due: Queue::new(),
            signals: Vec::new(),
        }
    }

    fn observe_pod(&mut self, key: ObjectKey, pod: &Arc<Pod>, now: SimTime) {
        let known = self.sandboxes.get(&key);
        if known.is_some_and(|sandbox| sandbox.pod.metadata.uid != pod.metadata.uid) {
            self.forget(&key, now);
        }
        if let Some(sandbox) = self.sandboxes.get_mut(&key) {
            sandbox.pod = Arc::clone(pod);
            if pod.metadata.is_terminating() {
                self.begin_stop(&key, now);
            }
        } else if self.nodes.contains_key(&pod.spec.node_name) && !pod.is_finished() {
            self.begin_start(key, pod, now);
        }
    }

    fn begin_start(&mut self, key: ObjectKey, pod: &Arc<Pod>, now: SimTime) {
        let machine = self
            .nodes
            .get_mut(&pod.spec.node_name)
            .expect("the caller looked it up");
        // Addresses that the manifest gives are the Pod's from the first moment.
        let addresses = if pod.spec.host_network {
            Vec::new()
        } else {
            pod.addresses()
        };
        for address in &addresses {
            machine.pod_ips.hold(*address);
        }
        let stage = Stage::Starting;
        self.sandboxes.insert(
            key.clone(),
            Sandbox {
                pod: Arc::clone(pod),
                seen: now,
                addresses,
                stage,
            },
        );
        if pod.metadata.is_terminating() {
            self.begin_stop(&key, now);
        } else if is_pinned(pod) || runs_already(pod) {
            self.due.add(key, now);
        } else {
            self.due.add(key, now + self.pod_start);
        }
    }

    /// SIGTERM, once; what never ran needs none and is over at once.
    fn begin_stop(&mut self, key: &ObjectKey, now: SimTime) {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        match sandbox.stage {
            Stage::Starting => {
                sandbox.stage = Stage::Stopped;
                self.due.forget(key);
                self.due.add(key.clone(), now);
            }
            Stage::Running => {
                sandbox.stage = Stage::Stopping;
                let (pod, uid, node) = identity(key, &sandbox.pod);
                self.signals
                    .push((now, PodSignal::Terminating { pod, uid, node }));
                self.due.forget(key);
                self.due.add(key.clone(), now + POD_TEARDOWN);
            }
            Stage::Stopping | Stage::Stopped => {}
        }
    }

    /// The object is gone: so are the containers, however they were doing.
    fn forget(&mut self, key: &ObjectKey, now: SimTime) {
        self.due.forget(key);
        let Some(sandbox) = self.sandboxes.remove(key) else {
            return;
        };
        self.release(&sandbox);
        if matches!(sandbox.stage, Stage::Running | Stage::Stopping) {
            let (pod, uid, node) = identity(key, &sandbox.pod);
            self.signals
                .push((now, PodSignal::Removed { pod, uid, node }));
        }
    }

    fn release(&mut self, sandbox: &Sandbox) {
        if sandbox.pod.spec.host_network {
            return;
        }
        if let Some(machine) = self.nodes.get_mut(&sandbox.pod.spec.node_name) {
            for address in &sandbox.addresses {
                machine.pod_ips.release(*address);
            }
        }
    }

    fn advance(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let Some(sandbox) = self.sandboxes.get(key) else {
            return Vec::new();
        };
        match sandbox.stage {
            Stage::Starting if is_pinned(&sandbox.pod) => self.start_pinned(key),
            Stage::Starting => self.start(key, now),
            // Due again: the API server has refused the status.
            Stage::Running => {
                let pod = self.running(sandbox, now);
                vec![Effect::UpdateStatus(Arc::unwrap_or_clone(pod).into())]
            }
            Stage::Stopping => self.tear_down(key),
            Stage::Stopped => vec![delete_object(key, &sandbox.pod)],
        }
    }

    fn start(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        let machine = self
            .nodes
            .get_mut(&sandbox.pod.spec.node_name)
            .expect("checked on arrival");
        if sandbox.pod.spec.host_network {
            sandbox.addresses = primary_addresses(&machine.addresses);
        } else if sandbox.addresses.is_empty() {
            let Some(addresses) = machine.pod_ips.allocate() else {
                self.due.add(key.clone(), now + NO_ADDRESS_RETRY);
                return Vec::new();
            };
            sandbox.addresses = addresses;
        }
        sandbox.stage = Stage::Running;
        let sandbox = &self.sandboxes[key];
        let pod = self.running(sandbox, now);
        let started = started(key, &pod);
        self.sandboxes.get_mut(key).expect("looked up above").pod = Arc::clone(&pod);
        vec![
            started,
            Effect::UpdateStatus(Arc::unwrap_or_clone(pod).into()),
        ]
    }

    /// A pinned status without an address is that of a Pod without a network: nothing to tell.
    fn start_pinned(&mut self, key: &ObjectKey) -> Vec<Effect> {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        if sandbox.pod.addresses().is_empty() {
            return Vec::new();
        }
        sandbox.stage = Stage::Running;
        vec![started(key, &sandbox.pod)]
    }

    fn tear_down(&mut self, key: &ObjectKey) -> Vec<Effect> {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        sandbox.stage = Stage::Stopped;
        let gone = Sandbox {
            addresses: std::mem::take(&mut sandbox.addresses),
            ..sandbox.clone()
        };
        self.release(&gone);
        let (pod, uid, node) = identity(key, &gone.pod);
        let removed = Effect::Signal(PodSignal::Removed { pod, uid, node });
        vec![removed, delete_object(key, &gone.pod)]
    }

    /// The Pod as its kubelet reports it from now on.
    ///
    /// Its resourceVersion is left out: a kubelet patches the status whatever else has changed.
    fn running(&self, sandbox: &Sandbox, now: SimTime) -> Arc<Pod> {
        let addresses = &sandbox.addresses;
        let mut pod = Pod::clone(&sandbox.pod);
        pod.metadata.resource_version.clear();
        let machine = &self.nodes[&pod.spec.node_name];
        let ready = gates_hold(&pod);
        let status = &mut pod.status;
        "Running".clone_into(&mut status.phase);
        status.host_ip = machine
            .addresses
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        status.pod_ip = addresses
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        status.pod_ips = addresses
            .iter()
            .map(|ip| PodIp { ip: ip.to_string() })
            .collect();
        status
            .start_time
            .get_or_insert_with(|| timestamp(sandbox.seen));
        for (name, holds) in [
            ("PodReadyToStartContainers", true),
            ("Initialized", true),
            ("Ready", ready),
            ("ContainersReady", true),
            ("PodScheduled", true),
        ] {
            set_condition(&mut status.conditions, name, holds, now);
        }
        let containers = pod.spec.containers.iter();
        status.container_statuses = containers
            .map(|container| {
                let mut entry = ContainerStatus {
                    name: container.name.clone(),
                    ready: true,
                    image: container.image.clone(),
                    ..ContainerStatus::default()
                };
                entry.rest.insert("started", true.into());
                entry
                    .rest
                    .insert("state", json!({"running": {"startedAt": timestamp(now)}}));
                entry
            })
            .collect();
        Arc::new(pod)
    }
}

impl Controller for Kubelet {
    fn name(&self) -> &'static str {
        "kubelet"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        let Object::Pod(pod) = &event.object else {
            return;
        };
        let key = event.object.key();
        match event.change {
            Change::Deleted => self.forget(&key, now),
            Change::Added | Change::Modified => self.observe_pod(key, pod, now),
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        let told = self.signals.first().map(|(at, _)| *at);
        told.into_iter().chain(self.due.next_due()).min()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let told = std::mem::take(&mut self.signals);
        let mut effects: Vec<Effect> = told
            .into_iter()
            .map(|(_, signal)| Effect::Signal(signal))
            .collect();
        for key in self.due.take(now) {
            effects.extend(self.advance(&key, now));
        }
        effects
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        let key = match effect {
            Effect::UpdateStatus(object) => object.key(),
            Effect::Delete(key, _) => key.clone(),
            Effect::Create(_)
            | Effect::Update(_)
            | Effect::DeleteContent(_)
            | Effect::Finalize(_)
            | Effect::Signal(_) => return,
        };
        // Gone already, or another Pod by now: its event is on the way.
        if !matches!(status.code, 404 | 409) {
            self.due.add_failed(key, now);
        }
    }
}

fn is_pinned(pod: &Pod) -> bool {
    pod.metadata
        .annotations
        .get(ANNOTATION_STATUS)
        .is_some_and(|value| value == "pinned")
}

/// A Pod whose initial status says so has been running before the scenario began.
fn runs_already(pod: &Pod) -> bool {
    pod.status.phase == "Running" && !pod.addresses().is_empty()
}

fn gates_hold(pod: &Pod) -> bool {
    pod.spec.readiness_gates.iter().all(|gate| {
        let conditions = pod.status.conditions.iter();
        let mut gates = conditions.filter(|found| found.condition_type == gate.condition_type);
        gates.any(|found| found.status == "True")
    })
}

/// Keeps the transition time of a condition that stays as it is.
fn set_condition(conditions: &mut Vec<Condition>, name: &str, holds: bool, now: SimTime) {
    let status = if holds { "True" } else { "False" };
    let place = conditions
        .iter()
        .position(|condition| condition.condition_type == name);
    let place = place.unwrap_or_else(|| {
        let condition = Condition {
            condition_type: name.to_owned(),
            ..Condition::default()
        };
        conditions.push(condition);
        conditions.len() - 1
    });
    let condition = &mut conditions[place];
    if condition.status != status {
        status.clone_into(&mut condition.status);
        condition.last_transition_time = Some(timestamp(now));
    }
}

/// The first address of each family.
fn primary_addresses(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut primary: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if primary
            .iter()
            .all(|other| other.is_ipv4() != address.is_ipv4())
        {
            primary.push(*address);
        }
    }
    primary
}

fn started(key: &ObjectKey, pod: &Arc<Pod>) -> Effect {
    let object = Arc::clone(pod);
    let (pod, uid, node) = identity(key, pod);
    Effect::Signal(PodSignal::Started {
        pod,
        uid,
        node,
        object,
    })
}

fn delete_object(key: &ObjectKey, pod: &Pod) -> Effect {
    let uid = Some(pod.metadata.uid.clone());
    Effect::Delete(
        key.clone(),
        DeleteOptions {
            grace: Some(0),
            uid,
            resource_version: None,
        },
    )
}

fn identity(key: &ObjectKey, pod: &Pod) -> (ObjectKey, String, String) {
    (
        key.clone(),
        pod.metadata.uid.clone(),
        pod.spec.node_name.clone(),
    )
}
