//! Pods as hosts: what the kubelet's signals mean for the network.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::{ObjectKey, Pod};
use controllers::{Application, Manners, OnTerm, PodSignal};
use dns::{ClusterDns, PodResolver, ResolvConf};
use plane::{HostId, HostSpec, NodeId, Plane};
use ruleset::Protocol;

use crate::app::{self, App, Identity, Listener};

/// All Pods that have a network, and who listens where.
pub(crate) struct Fleet {
    /// The servers of cluster DNS that kubelets know of.
    dns_servers: Vec<IpAddr>,
    dns_domain: String,
    pods: BTreeMap<ObjectKey, Running>,
    apps: Apps,
    /// How many signals have been carried out.
    revision: u64,
}

/// By where they listen: at a port of a host's, of all its addresses or of one alone.
type Apps = BTreeMap<(HostId, Protocol, u16, Option<IpAddr>), (Arc<Identity>, App)>;

struct Running {
    uid: String,
    host: HostId,
    node: NodeId,
    on_host_network: bool,
    /// Whether its processes have crashed and are not back.
    has_crashed: bool,
    identity: Arc<Identity>,
    on_term: OnTerm,
    /// Where its application will listen.
    wanted: Vec<Listener>,
    /// Where it listens.
    listeners: Vec<Listener>,
    /// Written when it started, and never again (DNS-58).
    resolver: PodResolver,
}

impl Fleet {
    /// No Pods yet, on nodes whose kubelets know this of DNS.
    pub(crate) fn new(dns_server: Option<IpAddr>, dns_domain: &str) -> Self {
        Self {
            dns_servers: dns_server.into_iter().collect(),
            dns_domain: dns_domain.to_owned(),
            pods: BTreeMap::new(),
            apps: BTreeMap::new(),
            revision: 0,
        }
    }

    /// While this stays, every Pod has the host that it had.
    pub(crate) const fn revision(&self) -> u64 {
        self.revision
    }

    /// Carries out a signal.
    pub(crate) fn carry_out(
        &mut self,
        plane: &mut Plane,
        nodes: &BTreeMap<String, NodeId>,
        signal: PodSignal,
    ) {
        self.revision += 1;
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
                    running.has_crashed = false;
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
                    running.has_crashed = true;
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

    /// The host of a Pod whose processes run.
    pub(crate) fn host(&self, pod: &ObjectKey) -> Option<HostId> {
        let running = self.pods.get(pod).filter(|running| !running.has_crashed);
        running.map(|running| running.host)
    }

    /// The ends of a Pod's link to its node; `None` for one that has no network of its own.
    pub(crate) fn link_of(&self, pod: &ObjectKey) -> Option<(HostId, NodeId)> {
        let running = self.pods.get(pod)?;
        (!running.on_host_network).then_some((running.host, running.node))
    }

    /// Whether a Pod's processes have crashed and are not back.
    pub(crate) fn has_crashed(&self, pod: &ObjectKey) -> bool {
        self.pods
            .get(pod)
            .is_some_and(|running| running.has_crashed)
    }

    /// Where a signal ends the connections of an application, and whether every process on that host ends.
    pub(crate) fn ends(&self, signal: &PodSignal) -> Option<(HostId, bool)> {
        let known = |pod: &ObjectKey, uid: &str| self.pods.get(pod).filter(|r| r.uid == uid);
        match signal {
            PodSignal::Terminating { pod, uid, .. } => {
                let running = known(pod, uid).filter(|r| r.on_term == OnTerm::Close)?;
                Some((running.host, false))
            }
            PodSignal::Crashed { pod, uid, .. } | PodSignal::Removed { pod, uid, .. } => {
                let running = known(pod, uid)?;
                Some((running.host, !running.on_host_network))
            }
            PodSignal::Started { .. } | PodSignal::Serving { .. } => None,
        }
    }

    /// The node that a Pod's host is on.
    pub(crate) fn node_of(&self, host: HostId) -> Option<NodeId> {
        self.pods
            .values()
            .find(|running| running.host == host)
            .map(|running| running.node)
    }

    /// Every Pod whose processes run, by namespace and name.
    pub(crate) fn running(&self) -> impl Iterator<Item = &ObjectKey> {
        let running = self.pods.iter().filter(|(_, running)| !running.has_crashed);
        running.map(|(pod, _)| pod)
    }

    /// The resolver of a running Pod.
    pub(crate) fn resolver_of(&self, pod: &ObjectKey) -> Option<&PodResolver> {
        self.pods.get(pod).map(|running| &running.resolver)
    }

    /// Puts an application that belongs to no Pod where it listens, at one address alone.
    pub(crate) fn add_app(
        &mut self,
        (host, protocol, at): (HostId, Protocol, SocketAddr),
        identity: &Arc<Identity>,
        app: App,
    ) {
        let place = (host, protocol, at.port(), Some(at.ip()));
        self.apps.insert(place, (Arc::clone(identity), app));
    }

    /// Who listens at an address of a host, or at its port of all addresses.
    pub(crate) fn app(
        &self,
        host: HostId,
        protocol: Protocol,
        local: SocketAddr,
    ) -> Option<&(Arc<Identity>, App)> {
        let at = |only_at| self.apps.get(&(host, protocol, local.port(), only_at));
        at(None).or_else(|| at(Some(local.ip())))
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
        let metadata = &pod.metadata;
        let identity = Identity::new(&metadata.name, &metadata.namespace, node);
        let application = Application::of(pod);
        if application.manners == Manners::Blackhole && !on_host_network {
            plane.ignore_all(host);
        }
        let running = Running {
            uid: pod.metadata.uid.clone(),
            host,
            node: id,
            on_host_network,
            has_crashed: false,
            identity: Arc::new(identity),
            on_term: application.on_term,
            wanted: app::listeners(pod),
            listeners: Vec::new(),
            resolver: self.resolver(pod),
        };
        self.pods.insert(key, running);
    }

    /// What the kubelet of a Pod that starts writes into its resolv.conf.
    ///
    /// Deviation: a node's own resolv.conf names servers elsewhere, which know no name at all: there is nobody in it.
    fn resolver(&self, pod: &Pod) -> PodResolver {
        let cluster = ClusterDns {
            servers: &self.dns_servers,
            domain: &self.dns_domain,
            node: &ResolvConf::default(),
        };
        PodResolver::of(&pod.metadata.namespace, &pod.spec, &cluster)
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
fn serve(plane: &mut Plane, apps: &mut Apps, running: &mut Running) {
    let host = running.host;
    for listener in std::mem::take(&mut running.wanted) {
        let opened = match listener.only_at {
            Some(address) => {
                plane.listen_at(host, listener.protocol, (address, listener.port).into())
            }
            None => plane.listen(host, listener.protocol, listener.port),
        };
        if opened.is_ok() {
            let place = (host, listener.protocol, listener.port, listener.only_at);
            apps.insert(place, (Arc::clone(&running.identity), listener.app));
            running.listeners.push(listener);
        }
    }
}

/// The application closes its listening sockets.
fn silence(plane: &mut Plane, apps: &mut Apps, running: &mut Running) {
    for listener in running.listeners.drain(..) {
        let (host, protocol, port) = (running.host, listener.protocol, listener.port);
        match listener.only_at {
            Some(address) => plane.unlisten_at(host, protocol, (address, port).into()),
            None => plane.unlisten(host, protocol, port),
        }
        apps.remove(&(host, protocol, port, listener.only_at));
    }
}
