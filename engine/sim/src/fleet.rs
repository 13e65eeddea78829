//! Pods as hosts: what the kubelet's signals mean for the network.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{ObjectKey, Pod};
use controllers::{Application, Manners, OnTerm, PodSignal};
use plane::{HostId, HostSpec, NodeId, Plane};
use ruleset::Protocol;

use crate::app::{self, App, Identity, Listener};

/// All Pods that have a network, and who listens where.
#[derive(Default)]
pub(crate) struct Fleet {
    pods: BTreeMap<ObjectKey, Running>,
    apps: BTreeMap<(HostId, Protocol, u16), (Arc<Identity>, App)>,
}

struct Running {
    uid: String,
    host: HostId,
    node: NodeId,
    on_host_network: bool,
    identity: Arc<Identity>,
    on_term: OnTerm,
    /// Where its application will listen.
    wanted: Vec<Listener>,
    /// Where it listens.
    listeners: Vec<Listener>,
    dns_policy: String,
}

impl Fleet {
    /// Carries out a signal.
    pub(crate) fn carry_out(
        &mut self,
        plane: &mut Plane,
        nodes: &BTreeMap<String, NodeId>,
        signal: PodSignal,
    ) {
        match signal {
            PodSignal::Started {
                pod, node, object, ..
            } => {
                if let Some(node_id) = nodes.get(&node) {
                    self.start(plane, pod, &node, *node_id, &object);
                }
            }
            PodSignal::Serving { pod, uid, .. } => {
                if let Some(running) = self.pods.get_mut(&pod).filter(|r| r.uid == uid) {
                    serve(plane, &mut self.apps, running);
                }
            }
            PodSignal::Terminating { pod, uid, .. } => {
                let known = self.pods.get_mut(&pod).filter(|r| r.uid == uid);
                if let Some(running) = known.filter(|r| r.on_term == OnTerm::Close) {
                    silence(plane, &mut self.apps, running);
                }
            }
            PodSignal::Crashed { pod, uid, .. } => {
                if let Some(running) = self.pods.get_mut(&pod).filter(|r| r.uid == uid) {
                    running.wanted.extend_from_slice(&running.listeners);
                    silence(plane, &mut self.apps, running);
                }
            }
            PodSignal::Removed { pod, uid, .. } => {
                if self
                    .pods
                    .get(&pod)
                    .is_some_and(|running| running.uid == uid)
                {
                    self.remove(plane, &pod);
                }
            }
        }
    }

    /// The host of a running Pod.
    pub(crate) fn host(&self, pod: &ObjectKey) -> Option<HostId> {
        self.pods.get(pod).map(|running| running.host)
    }

    /// Where a signal ends the connections of an application, and whether the host itself ends.
    pub(crate) fn ends(&self, signal: &PodSignal) -> Option<(HostId, bool)> {
        let known = |pod: &ObjectKey, uid: &str| self.pods.get(pod).filter(|r| r.uid == uid);
        match signal {
            PodSignal::Terminating { pod, uid, .. } => {
                let running = known(pod, uid).filter(|r| r.on_term == OnTerm::Close)?;
                Some((running.host, false))
            }
            PodSignal::Removed { pod, uid, .. } => {
                let running = known(pod, uid)?;
                Some((running.host, !running.on_host_network))
            }
            PodSignal::Started { .. } | PodSignal::Serving { .. } | PodSignal::Crashed { .. } => {
                None
            }
        }
    }

    /// The node that a Pod's host is on.
    pub(crate) fn node_of(&self, host: HostId) -> Option<NodeId> {
        self.pods
            .values()
            .find(|running| running.host == host)
            .map(|running| running.node)
    }

    /// Every Pod that has a network, by namespace and name.
    pub(crate) fn running(&self) -> impl Iterator<Item = &ObjectKey> {
        self.pods.keys()
    }

    /// The `dnsPolicy` of a running Pod and whether it shares its node's network.
    pub(crate) fn resolver_of(&self, pod: &ObjectKey) -> Option<(&str, bool)> {
        self.pods
            .get(pod)
            .map(|running| (running.dns_policy.as_str(), running.on_host_network))
    }

    /// Who listens on a port of a host.
    pub(crate) fn app(
        &self,
        host: HostId,
        protocol: Protocol,
        port: u16,
    ) -> Option<&(Arc<Identity>, App)> {
        self.apps.get(&(host, protocol, port))
    }

    fn start(&mut self, plane: &mut Plane, key: ObjectKey, node: &str, id: NodeId, pod: &Pod) {
        if self.pods.contains_key(&key) {
            self.remove(plane, &key);
        }
        let addresses = pod.addresses();
        let on_host_network = pod.spec.host_network;
        let host = if on_host_network {
            plane.node_host(id)
        } else {
            plane.add_pod(HostSpec {
                name: key.to_string(),
                node: id,
                addresses,
            })
        };
        let identity = Arc::new(Identity {
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            node: node.to_owned(),
        });
        let application = Application::of(pod);
        if application.manners == Manners::Blackhole && !on_host_network {
            plane.ignore_all(host);
        }
        let running = Running {
            uid: pod.metadata.uid.clone(),
            host,
            node: id,
            on_host_network,
            identity,
            on_term: application.on_term,
            wanted: app::listeners(pod),
            listeners: Vec::new(),
            dns_policy: pod.spec.dns_policy.clone(),
        };
        self.pods.insert(key, running);
    }

    fn remove(&mut self, plane: &mut Plane, key: &ObjectKey) {
        let mut running = self.pods.remove(key).expect("asked for a Pod that runs");
        silence(plane, &mut self.apps, &mut running);
        if !running.on_host_network {
            plane.remove_host(running.host);
        }
    }
}

/// The application opens its listening sockets. Two Pods on the host's network cannot share a port: the first one has it.
fn serve(
    plane: &mut Plane,
    apps: &mut BTreeMap<(HostId, Protocol, u16), (Arc<Identity>, App)>,
    running: &mut Running,
) {
    let host = running.host;
    for listener in std::mem::take(&mut running.wanted) {
        if plane.listen(host, listener.protocol, listener.port).is_ok() {
            let place = (host, listener.protocol, listener.port);
            apps.insert(place, (Arc::clone(&running.identity), listener.app));
            running.listeners.push(listener);
        }
    }
}

/// The application closes its listening sockets.
fn silence(
    plane: &mut Plane,
    apps: &mut BTreeMap<(HostId, Protocol, u16), (Arc<Identity>, App)>,
    running: &mut Running,
) {
    for listener in running.listeners.drain(..) {
        plane.unlisten(running.host, listener.protocol, listener.port);
        apps.remove(&(running.host, listener.protocol, listener.port));
    }
}
