//! A node and its kubelet: what it knows, how it fares, and what its heartbeats say.
//!
//! A node without power runs nothing: its Pods lose their networks, and get new ones when it is back, after
//! [`super::KubeletConfig::pod_start`], as after a reboot. A node without an API server goes on with what it has, and catches up
//! afterwards. A node that was away, and that the API says is, says at its next heartbeat that it is back: at once after a
//! reboot. Its Pods' statuses follow, for whoever found the node to be away has written that they are not ready.
//!
//! **Source of the semantics.** API-77, API-78; S: `pkg/kubelet/kubelet_node_status.go`, `pkg/kubelet/nodestatus/setters.go`,
//! `pkg/kubelet/status/status_manager.go` (needsReconcile).
//!
//! Deviation: a node that was never without power or API server leaves its own conditions alone, so that manifests and
//! dumps can say what they like. Of a reboot there is no Event.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::{Change, Condition, Node, Object, ObjectKey, Pod, timestamp};
use base::SimTime;
use ipnet::IpNet;

use super::Kubelet;
use super::sandbox::{Sandbox, Stage};
use crate::controller::Effect;
use crate::events::Telling;
use crate::heartbeat;
use crate::pod_ips::PodIps;

/// What is said of a node whose kubelet is not heard of.
pub(crate) const STATUS_UNKNOWN: &str = "NodeStatusUnknown";

/// What a kubelet says of its node when all is well: type, status, reason, message.
const WELL: [[&str; 4]; 4] = [
    [
        "Ready",
        "True",
        "KubeletReady",
        "kubelet is posting ready status",
    ],
    [
        "MemoryPressure",
        "False",
        "KubeletHasSufficientMemory",
        "kubelet has sufficient memory available",
    ],
    [
        "DiskPressure",
        "False",
        "KubeletHasNoDiskPressure",
        "kubelet has no disk pressure",
    ],
    [
        "PIDPressure",
        "False",
        "KubeletHasSufficientPID",
        "kubelet has sufficient PID available",
    ],
];

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    addresses: Vec<IpAddr>,
    pod_ips: PodIps,
    /// Its object, as it is known.
    node: Option<Arc<Node>>,
    /// The Pods that it has.
    residents: BTreeSet<ObjectKey>,
    is_up: bool,
    is_connected: bool,
    /// Whether it has lost its power and not yet seen which Pods it has.
    has_to_boot: bool,
    /// Whether it has ever been without power or API server.
    was_away: bool,
    /// Whether the API has ever said that it is not Ready.
    was_doubted: bool,
    /// The last change of each Pod that it has not seen.
    missed: BTreeMap<ObjectKey, (Change, Arc<Pod>)>,
}

impl Machine {
    pub(super) fn new(addresses: Vec<IpAddr>, ranges: &[IpNet]) -> Self {
        Self {
            addresses,
            pod_ips: PodIps::new(ranges),
            node: None,
            residents: BTreeSet::new(),
            is_up: true,
            is_connected: true,
            has_to_boot: false,
            was_away: false,
            was_doubted: false,
            missed: BTreeMap::new(),
        }
    }

    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    pub(super) const fn pod_ips(&mut self) -> &mut PodIps {
        &mut self.pod_ips
    }

    pub(super) const fn residents(&mut self) -> &mut BTreeSet<ObjectKey> {
        &mut self.residents
    }

    /// Whether its kubelet runs and reaches the API server.
    pub(super) const fn is_reachable(&self) -> bool {
        self.is_up && self.is_connected
    }

    /// Whether the API says that it is Ready.
    pub(super) fn is_ready(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.is_ready())
    }

    /// Whether it is Ready again, so that what was written of its Pods meanwhile may be wrong.
    pub(super) fn is_ready_again(&self) -> bool {
        self.was_doubted && self.is_ready()
    }

    /// Takes note of a change that it is to see when it can.
    pub(super) fn miss(&mut self, key: ObjectKey, pod: &Arc<Pod>, change: Change) {
        self.missed.insert(key, (change, Arc::clone(pod)));
    }

    /// The node with conditions that say that it is well, if somebody has given it up.
    fn resumed(&self, now: SimTime) -> Option<Node> {
        let node = self
            .node
            .as_ref()
            .filter(|_| self.was_away && self.is_reachable())?;
        if node.metadata.has_pinned_status() || !node.status.conditions.iter().any(is_given_up) {
            return None;
        }
        let mut node = Node::clone(node);
        for condition in node
            .status
            .conditions
            .iter_mut()
            .filter(|found| is_given_up(found))
        {
            let mut well = WELL.iter();
            let Some([_, status, reason, message]) =
                well.find(|[name, ..]| *name == condition.condition_type)
            else {
                continue;
            };
            (*status).clone_into(&mut condition.status);
            condition.last_transition_time = Some(timestamp(now));
            condition.rest.insert("reason", (*reason).into());
            condition.rest.insert("message", (*message).into());
        }
        Some(node)
    }
}

/// Whether a condition of a node says that its kubelet is not heard of.
fn is_given_up(condition: &Condition) -> bool {
    let reason = condition.rest.get("reason");
    condition.status == "Unknown" && reason.is_some_and(|reason| reason == STATUS_UNKNOWN)
}

impl Kubelet {
    pub(super) fn observe_node(&mut self, node: &Arc<Node>, change: Change, now: SimTime) {
        let name = &node.metadata.name;
        let Some(machine) = self.nodes.get_mut(name) else {
            return;
        };
        let was_ready = machine.is_ready();
        machine.node = (change != Change::Deleted).then(|| Arc::clone(node));
        machine.was_doubted |= !machine.is_ready();
        if machine.resumed(now).is_some() {
            self.beats.add(name.clone(), heartbeat::next_from(now));
        } else if !was_ready && machine.is_ready() && machine.is_reachable() {
            self.wake_residents(name, now);
        }
    }

    /// How a node fares from now on.
    pub(super) fn set_condition(
        &mut self,
        name: &str,
        is_up: bool,
        is_connected: bool,
        now: SimTime,
    ) {
        let Some(machine) = self.nodes.get_mut(name) else {
            return;
        };
        let (was_up, was_reachable) = (machine.is_up, machine.is_reachable());
        (machine.is_up, machine.is_connected) = (is_up, is_connected);
        if was_up && !is_up {
            self.lose_power(name, now);
        } else if !was_reachable && is_up && is_connected {
            self.catch_up(name, now);
        }
    }

    /// Nothing runs any more on a node; what was to be done there is not.
    fn lose_power(&mut self, name: &str, now: SimTime) {
        let Some(machine) = self.nodes.get_mut(name) else {
            return;
        };
        (machine.has_to_boot, machine.was_away) = (true, true);
        let residents = machine.residents.clone();
        self.short.remove(name);
        self.beats.forget(&name.to_owned());
        for key in residents {
            self.due.forget(&key);
            self.loops.forget(&key);
            let sandbox = self
                .sandboxes
                .get_mut(&key)
                .expect("a resident has a sandbox");
            for (pod, container, process) in sandbox.containers_mut() {
                process.lose(pod, container, now);
            }
            let stage = match sandbox.stage {
                Stage::Running => Stage::Starting,
                Stage::Resting | Stage::Stopping => Stage::Stopped,
                Stage::Starting | Stage::Booting | Stage::Stopped | Stage::Over => continue,
            };
            let removed = self.take_down(&key, stage, now);
            self.signals.push((now, removed));
        }
        self.short.remove(name);
    }

    /// A node sees what it has missed, and tells how its Pods are.
    fn catch_up(&mut self, name: &str, now: SimTime) {
        let Some(machine) = self.nodes.get_mut(name) else {
            return;
        };
        machine.was_away = true;
        let boots = std::mem::take(&mut machine.has_to_boot);
        for (key, (change, pod)) in std::mem::take(&mut machine.missed) {
            self.see_pod(key, &pod, change, now);
        }
        let machine = &self.nodes[name];
        if machine.resumed(now).is_some() {
            let next = if boots {
                now
            } else {
                heartbeat::next_from(now)
            };
            self.beats.add(name.to_owned(), next);
        }
        if boots {
            let residents = machine.residents.clone();
            residents
                .into_iter()
                .for_each(|key| self.begin_boot(key, now));
        } else if machine.resumed(now).is_none() {
            self.wake_residents(name, now);
        }
    }

    /// A Pod of a node that has its power again.
    fn begin_boot(&mut self, key: ObjectKey, now: SimTime) {
        let sandbox = self
            .sandboxes
            .get_mut(&key)
            .expect("a resident has a sandbox");
        let has_run = !sandbox.processes.is_empty();
        let at_once = sandbox.pod.metadata.has_pinned_status();
        match sandbox.stage {
            Stage::Starting | Stage::Booting if sandbox.is_over() => sandbox.stage = Stage::Over,
            Stage::Starting | Stage::Booting if has_run && !at_once => {
                sandbox.stage = Stage::Booting;
            }
            Stage::Starting | Stage::Booting if !at_once => {
                self.due.add(key, now + self.pod_start);
                return;
            }
            _ => {}
        }
        self.due.add(key, now);
    }

    /// Tells anew how the Pods of a node are.
    fn wake_residents(&mut self, name: &str, now: SimTime) {
        let settled = |sandbox: &Sandbox| {
            matches!(sandbox.stage, Stage::Running | Stage::Stopped | Stage::Over)
        };
        for key in &self.nodes[name].residents {
            if self.sandboxes.get(key).is_some_and(settled) {
                self.due.add(key.clone(), now);
            }
        }
    }

    /// A heartbeat that says that the node is back.
    pub(super) fn beat(&mut self, name: &str, now: SimTime) -> Option<Effect> {
        let node: Object = self.nodes.get(name)?.resumed(now)?.into();
        let telling = Telling {
            reason: "NodeReady",
            message: format!("Node {name} status is now: NodeReady"),
            host: name,
            ..Telling::default()
        };
        self.events.tell(&node, telling, now);
        Some(Effect::UpdateStatus(node))
    }
}
