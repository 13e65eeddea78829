//! The simulated kubelets of all nodes.
//!
//! **What.** A Pod bound to one of the nodes gets addresses, runs after a start delay, and is Ready; a deleted one
//! gets SIGTERM, and a little later its sandbox and then its object go. What happens to processes and packets is
//! told by [`PodSignal`]s.
//! **Why.** One controller for all nodes: nodes differ in names and addresses only.
//! **Source of the semantics.** API-77, API-92, EP-73; S: `pkg/kubelet` (pod workers, status manager).
//!
//! A Pod is Ready when all its containers pass their probes. A deleted one sleeps as its `preStop` hooks say, at most
//! for its grace period, before SIGTERM; the longest of its containers' hooks counts.
//!
//! Deviation: starting takes a fixed time, and stopping takes [`POD_TEARDOWN`]; both are settings of ours. Hooks other
//! than a `preStop` that sleeps take no time. Readiness gates count as they stand when a status is written.
//! A Pod whose manifest gives it the phase Running and an address runs from the moment it is seen, and has passed the
//! probes that it can pass.
//! With `switchboard.dev/status: pinned` the status is the user's and is not written; the Pod is still stopped and
//! removed when it is deleted.

mod probes;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{Change, DeleteOptions, Object, ObjectKey, Pod, Status, WatchEvent};
use base::SimTime;
use ipnet::IpNet;

use self::probes::Health;
use crate::application::{Application, OnTerm};
use crate::controller::{Controller, Effect, PodSignal};
use crate::pod_ips::PodIps;
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
    /// Since when its containers run; meaningless before they do.
    runs_since: SimTime,
    /// Of each container; none before they run.
    health: Vec<Health>,
    /// When its application begins to listen; `None` once it does, or before it runs.
    listens_at: Option<SimTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing runs yet.
    Starting,
    /// Its containers run.
    Running,
    /// It is to stop, and its `preStop` hooks run.
    Resting,
    /// Its containers have got SIGTERM.
    Stopping,
    /// Nothing runs any more; its object is to go.
    Stopped,
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
        let nodes = config.nodes.into_iter().map(|(name, addresses, ranges)| {
            let pod_ips = PodIps::new(&ranges);
            (name, Machine { addresses, pod_ips })
        });
        Self {
            pod_start: config.pod_start,
            nodes: nodes.collect(),
            ranges,
            short: BTreeMap::new(),
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
        // Addresses that the manifest gives are the Pod's from the first moment.
        let addresses = if pod.spec.host_network {
            Vec::new()
        } else {
            pod.addresses()
        };
        for address in &addresses {
            if let Some(machine) = self.machine_of(*address, &pod.spec.node_name) {
                machine.pod_ips.hold(*address);
            }
        }
        let stage = Stage::Starting;
        self.sandboxes.insert(
            key.clone(),
            Sandbox {
                pod: Arc::clone(pod),
                seen: now,
                addresses,
                stage,
                runs_since: now,
                health: Vec::new(),
                listens_at: None,
            },
        );
        if pod.metadata.is_terminating() {
            self.begin_stop(&key, now);
        } else if pod.metadata.has_pinned_status() || runs_already(pod) {
            self.due.add(key, now);
        } else {
            self.due.add(key, now + self.pod_start);
        }
    }

    /// SIGTERM, once and after the hooks; what never ran needs none and is over at once.
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
                let rest = pre_stop(&sandbox.pod);
                self.due.forget(key);
                if rest.is_zero() {
                    let told = self.terminate(key, now);
                    self.signals.push((now, told));
                } else {
                    sandbox.stage = Stage::Resting;
                    self.due.add(key.clone(), now + rest);
                }
            }
            Stage::Resting | Stage::Stopping | Stage::Stopped => {}
        }
    }

    /// SIGTERM.
    fn terminate(&mut self, key: &ObjectKey, now: SimTime) -> PodSignal {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        sandbox.stage = Stage::Stopping;
        let end = now + stopping_time(&sandbox.pod);
        self.due.add(key.clone(), end);
        let (pod, uid, node) = identity(key, &sandbox.pod);
        PodSignal::Terminating { pod, uid, node }
    }

    /// The object is gone: so are the containers, however they were doing.
    fn forget(&mut self, key: &ObjectKey, now: SimTime) {
        self.due.forget(key);
        let Some(sandbox) = self.sandboxes.remove(key) else {
            return;
        };
        if let Some(short) = self.short.get_mut(&sandbox.pod.spec.node_name) {
            short.remove(key);
        }
        self.release(&sandbox, now);
        if matches!(
            sandbox.stage,
            Stage::Running | Stage::Resting | Stage::Stopping
        ) {
            let (pod, uid, node) = identity(key, &sandbox.pod);
            self.signals
                .push((now, PodSignal::Removed { pod, uid, node }));
        }
    }

    /// Whose pool an address is in: that of the node with its range, or of `node`.
    fn machine_of(&mut self, address: IpAddr, node: &str) -> Option<&mut Machine> {
        let range = self.ranges.range(..=address).next_back();
        let owner = range.filter(|(_, (range, _))| range.contains(&address));
        let owner = owner.map_or(node, |(_, (_, owner))| owner.as_str());
        self.nodes.get_mut(owner)
    }

    /// Gives a Pod's addresses back; those who wait for one on its node try again.
    fn release(&mut self, sandbox: &Sandbox, now: SimTime) {
        if sandbox.pod.spec.host_network {
            return;
        }
        let node = &sandbox.pod.spec.node_name;
        for address in &sandbox.addresses {
            if let Some(machine) = self.machine_of(*address, node) {
                machine.pod_ips.release(*address);
            }
        }
        for key in self.short.remove(node).into_iter().flatten() {
            self.due.add(key, now);
        }
    }

    fn advance(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let Some(sandbox) = self.sandboxes.get(key) else {
            return Vec::new();
        };
        match sandbox.stage {
            Stage::Starting if sandbox.pod.metadata.has_pinned_status() => {
                self.start_pinned(key, now)
            }
            Stage::Starting => self.start(key, now),
            // Due again: it listens, a probe has passed, or the API server has refused the status.
            Stage::Running => {
                let mut effects: Vec<Effect> = self.listen(key, now).into_iter().collect();
                effects.extend(self.report(key, now));
                effects
            }
            Stage::Resting => vec![Effect::Signal(self.terminate(key, now))],
            Stage::Stopping => self.tear_down(key, now),
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
                let node = sandbox.pod.spec.node_name.clone();
                self.short.entry(node).or_default().insert(key.clone());
                return Vec::new();
            };
            sandbox.addresses = addresses;
        }
        sandbox.stage = Stage::Running;
        sandbox.runs_since = now;
        let delay = Application::of(&sandbox.pod).start_delay;
        (sandbox.health, sandbox.listens_at) = match runs_already(&sandbox.pod) {
            true => (Health::of_old(&sandbox.pod, now), Some(now)),
            false => (Health::of(&sandbox.pod, now), Some(now + delay)),
        };
        let report = self.report(key, now);
        let mut effects = vec![started(key, &self.sandboxes[key].pod)];
        effects.extend(self.listen(key, now));
        effects.extend(report);
        effects
    }

    /// Its application begins to listen, if it is time; else it is due again.
    fn listen(&mut self, key: &ObjectKey, now: SimTime) -> Option<Effect> {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        let at = sandbox.listens_at?;
        if at > now {
            self.due.add(key.clone(), at);
            return None;
        }
        sandbox.listens_at = None;
        let (pod, uid, node) = identity(key, &sandbox.pod);
        Some(Effect::Signal(PodSignal::Serving { pod, uid, node }))
    }

    /// The status that a kubelet reports now; it is due again when that changes. A pinned one is not its business.
    fn report(&mut self, key: &ObjectKey, now: SimTime) -> Option<Effect> {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        if sandbox.pod.metadata.has_pinned_status() {
            return None;
        }
        let machine = &self.nodes[&sandbox.pod.spec.node_name];
        sandbox.pod = Arc::new(status::running(sandbox, &machine.addresses, now));
        let changes = sandbox.health.iter();
        if let Some(next) = changes.filter_map(|one| one.next_change(now)).min() {
            self.due.add(key.clone(), next);
        }
        Some(Effect::UpdateStatus(Object::Pod(Arc::clone(&sandbox.pod))))
    }

    /// A pinned status without an address is that of a Pod without a network: nothing to tell.
    fn start_pinned(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        if sandbox.pod.addresses().is_empty() {
            return Vec::new();
        }
        sandbox.stage = Stage::Running;
        sandbox.listens_at = Some(now);
        let mut effects = vec![started(key, &sandbox.pod)];
        effects.extend(self.listen(key, now));
        effects
    }

    fn tear_down(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        sandbox.stage = Stage::Stopped;
        let gone = Sandbox {
            addresses: std::mem::take(&mut sandbox.addresses),
            ..sandbox.clone()
        };
        self.release(&gone, now);
        let (pod, uid, node) = identity(key, &gone.pod);
        let removed = Effect::Signal(PodSignal::Removed { pod, uid, node });
        vec![removed, delete_object(key, &gone.pod)]
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

/// From SIGTERM to the end of a Pod's sandbox. An application that goes on is killed when its grace period is over, of
/// which two seconds are left at least.
fn stopping_time(pod: &Pod) -> Duration {
    if Application::of(pod).on_term == OnTerm::Close {
        return POD_TEARDOWN;
    }
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
    grace
        .saturating_sub(pre_stop(pod))
        .max(Duration::from_secs(2))
}

/// How long the `preStop` hooks of a Pod sleep before its containers get SIGTERM.
fn pre_stop(pod: &Pod) -> Duration {
    let sleeps = pod.serving_containers().filter_map(|container| {
        let hook = container.lifecycle.as_ref()?.pre_stop.as_ref()?;
        u64::try_from(hook.sleep.as_ref()?.seconds).ok()
    });
    let grace = pod.metadata.deletion_grace_period_seconds;
    let grace = grace.map_or(u64::MAX, |grace| u64::try_from(grace).unwrap_or(0));
    Duration::from_secs(sleeps.max().unwrap_or(0).min(grace))
}

/// A Pod whose initial status says so has been running before the scenario began.
fn runs_already(pod: &Pod) -> bool {
    pod.status.phase == "Running" && !pod.addresses().is_empty()
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
