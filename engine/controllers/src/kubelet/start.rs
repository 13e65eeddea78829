//! How a Pod comes to run, and goes on.

use std::net::IpAddr;
use std::sync::Arc;

use api::{ObjectKey, Pod};
use base::SimTime;

use super::process::{News, Process};
use super::sandbox::{Sandbox, Stage, runs_already};
use super::{Kubelet, field_path, identity, status};
use crate::Application;
use crate::controller::{Effect, PodSignal};
use crate::events::Telling;
use crate::pod_ips::Shortage;

impl Kubelet {
    pub(super) fn begin_start(&mut self, key: ObjectKey, pod: &Arc<Pod>, now: SimTime) {
        // Addresses that the manifest gives are the Pod's from the first moment.
        let addresses = if pod.spec.host_network {
            Vec::new()
        } else {
            pod.addresses()
        };
        for address in &addresses {
            if let Some(machine) = self.machine_of(*address, &pod.spec.node_name) {
                machine.pod_ips().hold(*address);
            }
        }
        if let Some(machine) = self.nodes.get_mut(&pod.spec.node_name) {
            machine.residents().insert(key.clone());
        }
        let sandbox = Sandbox::new(Arc::clone(pod), addresses, now);
        self.sandboxes.insert(key.clone(), sandbox);
        if pod.metadata.is_terminating() {
            self.begin_stop(&key, now);
        } else if pod.metadata.has_pinned_status() || runs_already(pod) {
            self.due.add(key, now);
        } else {
            self.due.add(key, now + self.pod_start);
        }
    }

    /// Nothing runs, for its node was without power: it is told so, and starts as if for the first time.
    pub(super) fn boot(&mut self, key: &ObjectKey, now: SimTime) -> Option<Effect> {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        sandbox.stage = Stage::Starting;
        self.due.add(key.clone(), now + self.pod_start);
        self.report(key, now)
    }

    /// Its network is set up, and its containers start: for the first time, or after its node has lost its power.
    pub(super) fn start(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        if !self.set_up(key, now) {
            return Vec::new();
        }
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        sandbox.stage = Stage::Running;
        let pod = Arc::clone(&sandbox.pod);
        let is_old = pod.metadata.has_pinned_status() || runs_already(&pod);
        let mut delay = Application::of(&pod).start_delay;
        if !sandbox.processes.is_empty() {
            for (pod, container, process) in sandbox.containers_mut() {
                process.restart(pod, container, now);
            }
        } else if is_old {
            sandbox.processes = Process::all_old(&pod, now);
            delay = std::time::Duration::ZERO;
        } else {
            sandbox.processes = Process::all_new(&pod, now);
        }
        sandbox.listens_at = Some(now + delay);
        let after = self.go_on(key, now);
        let mut effects = vec![started(key, &self.sandboxes[key].pod)];
        effects.extend(after);
        effects
    }

    /// Gives a Pod its addresses. False if there are none for it: one of a pinned status has its own or no network, and
    /// others wait until one is free on their node.
    fn set_up(&mut self, key: &ObjectKey, now: SimTime) -> bool {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        let node = &sandbox.pod.spec.node_name;
        let machine = self.nodes.get_mut(node).expect("checked on arrival");
        if sandbox.pod.metadata.has_pinned_status() {
            return !sandbox.pod.addresses().is_empty();
        }
        if sandbox.pod.spec.host_network {
            sandbox.addresses = primary_addresses(machine.addresses());
        } else if sandbox.addresses.is_empty() {
            match machine.pod_ips().allocate() {
                Ok(addresses) => sandbox.addresses = addresses,
                Err(shortage) => {
                    let pod = Arc::clone(&sandbox.pod);
                    let short = self.short.entry(node.clone()).or_default();
                    short.insert(key.clone());
                    self.tell(&pod, no_address(shortage), now);
                    return false;
                }
            }
        }
        true
    }

    /// A Pod that runs comes to `now`: containers end and start again, its application begins to listen, and the status
    /// says so.
    pub(super) fn go_on(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let mut effects = self.advance_containers(key, now);
        if self.sandboxes[key].is_over() {
            effects.push(self.finish(key, now));
        } else {
            effects.extend(self.listen(key, now));
        }
        effects.extend(self.report(key, now));
        let sandbox = &self.sandboxes[key];
        let changes = sandbox.processes.iter();
        let changes = changes.filter_map(|process| process.next_change(now));
        if let Some(next) = changes.chain(sandbox.listens_at).min() {
            let queue = if sandbox.is_looping() {
                &mut self.loops
            } else {
                &mut self.due
            };
            queue.add(key.clone(), next);
        }
        effects
    }

    fn advance_containers(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        let pod = Arc::clone(&sandbox.pod);
        let own = sandbox.addresses.first().copied();
        let alive = |sandbox: &Sandbox| {
            let alive = sandbox.processes.iter();
            alive.filter(|process| process.is_alive()).count()
        };
        let before = alive(sandbox);
        let mut news = Vec::new();
        for (container, process) in pod.serving_containers().zip(&mut sandbox.processes) {
            let told = process.advance(&pod, container, own, now).into_iter();
            news.extend(told.map(|news| (container.name.as_str(), news)));
        }
        let (after, all) = (alive(sandbox), sandbox.processes.len());
        let mut effects = Vec::new();
        if after < before {
            sandbox.listens_at = None;
            let (pod, uid, node) = identity(key, &pod);
            effects.push(Effect::Signal(PodSignal::Crashed { pod, uid, node }));
        } else if after > before && after == all {
            sandbox.listens_at = Some(now + Application::of(&pod).start_delay);
        }
        for (container, news) in news {
            self.tell(&pod, telling(&pod, container, news), now);
        }
        effects
    }

    /// The containers of a Pod end by themselves, if they run.
    pub(super) fn crash(&mut self, key: &ObjectKey, now: SimTime) {
        let running = self.sandboxes.get_mut(key);
        let running = running.filter(|sandbox| sandbox.stage == Stage::Running);
        if let Some(sandbox) = running {
            sandbox.crash(now);
            self.due.add(key.clone(), now);
        }
    }

    /// Its application begins to listen, if it is time.
    fn listen(&mut self, key: &ObjectKey, now: SimTime) -> Option<Effect> {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        sandbox.listens_at.take_if(|at| *at <= now)?;
        let (pod, uid, node) = identity(key, &sandbox.pod);
        Some(Effect::Signal(PodSignal::Serving { pod, uid, node }))
    }
}

fn telling(pod: &Pod, container: &str, news: News) -> Telling<'static> {
    let (is_warning, reason, message) = match news {
        News::Unhealthy(message) => (true, "Unhealthy", message),
        News::Failed(kind) => {
            let mut message = format!(
                "Container {container} failed {} probe",
                kind.to_string().to_lowercase()
            );
            if pod.spec.restart_policy != "Never" {
                message.push_str(", will be restarted");
            }
            (false, "Killing", message)
        }
        News::BacksOff => {
            let pod = status::named(pod);
            let message = format!("Back-off restarting failed container {container} in pod {pod}");
            (true, "BackOff", message)
        }
    };
    Telling {
        is_warning,
        reason,
        message,
        field_path: field_path(pod, container),
        ..Telling::default()
    }
}

/// What a kubelet is told by the network plugin (cni: `host-local`), without the sandbox's number.
fn no_address(shortage: Shortage) -> Telling<'static> {
    Telling {
        is_warning: true,
        reason: "FailedCreatePodSandBox",
        message: format!(
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox: \
             plugin type=\"host-local\" failed (add): {shortage}"
        ),
        ..Telling::default()
    }
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
