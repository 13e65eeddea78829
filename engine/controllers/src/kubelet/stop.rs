//! How a Pod comes to an end.

use std::net::IpAddr;
use std::sync::Arc;

use api::{DeleteOptions, ObjectKey, Pod};
use base::SimTime;

use super::machine::Machine;
use super::sandbox::{Stage, pre_stop, stopping_time};
use super::{Kubelet, field_path, identity};
use crate::controller::{Effect, PodSignal};
use crate::events::Telling;

impl Kubelet {
    /// SIGTERM, once and after the hooks; what does not run needs none and is over at once.
    pub(super) fn begin_stop(&mut self, key: &ObjectKey, now: SimTime) {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        match sandbox.stage {
            Stage::Starting | Stage::Booting | Stage::Over => {
                sandbox.stage = Stage::Stopped;
                self.due.forget(key);
                self.due.add(key.clone(), now);
            }
            Stage::Running => {
                let rest = pre_stop(&sandbox.pod);
                self.due.forget(key);
                self.loops.forget(key);
                if rest.is_zero() {
                    let told = self.terminate(key, now);
                    self.signals.push((now, told));
                } else {
                    sandbox.stage = Stage::Resting;
                    self.due.add(key.clone(), now + rest);
                }
                self.tell_of_stop(key, now);
            }
            // A second deletion may have left less time.
            Stage::Resting => {
                let rest = pre_stop(&sandbox.pod);
                self.due.add(key.clone(), now + rest);
            }
            Stage::Stopping => {
                let end = now + stopping_time(&sandbox.pod);
                self.due.add(key.clone(), end);
            }
            Stage::Stopped => {}
        }
    }

    fn tell_of_stop(&mut self, key: &ObjectKey, now: SimTime) {
        let sandbox = &self.sandboxes[key];
        let pod = Arc::clone(&sandbox.pod);
        let alive = sandbox
            .containers()
            .filter(|(_, process)| process.is_alive());
        let names: Vec<String> = alive.map(|(container, _)| container.name.clone()).collect();
        for name in names {
            let telling = Telling {
                reason: "Killing",
                message: format!("Stopping container {name}"),
                field_path: field_path(&pod, &name),
                ..Telling::default()
            };
            self.tell(&pod, telling, now);
        }
    }

    /// SIGTERM.
    pub(super) fn terminate(&mut self, key: &ObjectKey, now: SimTime) -> PodSignal {
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

    pub(super) fn tear_down(&mut self, key: &ObjectKey, now: SimTime) -> Vec<Effect> {
        let removed = self.take_down(key, Stage::Stopped, now);
        let deleted = delete_object(key, &self.sandboxes[key].pod);
        vec![Effect::Signal(removed), deleted]
    }

    /// Its containers have ended for good, and its sidecars with them: nothing is left but the object.
    pub(super) fn finish(&mut self, key: &ObjectKey, now: SimTime) -> Effect {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        let processes = sandbox.processes.iter_mut();
        processes.for_each(|process| process.finish(now));
        Effect::Signal(self.take_down(key, Stage::Over, now))
    }

    /// Its network goes, and with it whatever still runs.
    pub(super) fn take_down(&mut self, key: &ObjectKey, stage: Stage, now: SimTime) -> PodSignal {
        let sandbox = self
            .sandboxes
            .get_mut(key)
            .expect("the caller looked it up");
        sandbox.stage = stage;
        sandbox.listens_at = None;
        let pod = Arc::clone(&sandbox.pod);
        let addresses = std::mem::take(&mut sandbox.addresses);
        self.release(&pod, &addresses, now);
        let (pod, uid, node) = identity(key, &pod);
        PodSignal::Removed { pod, uid, node }
    }

    /// The object is gone: so are the containers, however they were doing.
    pub(super) fn forget(&mut self, key: &ObjectKey, now: SimTime) {
        self.due.forget(key);
        self.loops.forget(key);
        let Some(sandbox) = self.sandboxes.remove(key) else {
            return;
        };
        let node = &sandbox.pod.spec.node_name;
        if let Some(short) = self.short.get_mut(node) {
            short.remove(key);
        }
        if let Some(machine) = self.nodes.get_mut(node) {
            machine.residents().remove(key);
        }
        self.release(&sandbox.pod, &sandbox.addresses, now);
        if sandbox.is_up() {
            let (pod, uid, node) = identity(key, &sandbox.pod);
            self.signals
                .push((now, PodSignal::Removed { pod, uid, node }));
        }
    }

    /// Whose pool an address is in: that of the node with its range, or of `node`.
    pub(super) fn machine_of(&mut self, address: IpAddr, node: &str) -> Option<&mut Machine> {
        let range = self.ranges.range(..=address).next_back();
        let owner = range.filter(|(_, (range, _))| range.contains(&address));
        let owner = owner.map_or(node, |(_, (_, owner))| owner.as_str());
        self.nodes.get_mut(owner)
    }

    /// Gives a Pod's addresses back; those who wait for one on its node try again.
    fn release(&mut self, pod: &Pod, addresses: &[IpAddr], now: SimTime) {
        if pod.spec.host_network {
            return;
        }
        let node = &pod.spec.node_name;
        for address in addresses {
            if let Some(machine) = self.machine_of(*address, node) {
                machine.pod_ips().release(*address);
            }
        }
        for key in self.short.remove(node).into_iter().flatten() {
            self.due.add(key, now);
        }
    }
}

pub(super) fn delete_object(key: &ObjectKey, pod: &Pod) -> Effect {
    let uid = Some(pod.metadata.uid.clone());
    Effect::Delete(
        key.clone(),
        DeleteOptions {
            grace: Some(0),
            uid,
            ..DeleteOptions::default()
        },
    )
}
