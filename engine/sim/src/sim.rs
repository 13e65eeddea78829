//! Two event loops as one.
//!
//! Whatever is due first runs first; at one instant the control plane comes before packets, and packets before
//! the clients' deadlines.

use std::collections::BTreeMap;

use api::{ObjectKey, Status};
use base::SimTime;
use control::{ClusterConfig, Control, ReferenceError, Source};
use controllers::PodSignal;
use dns::ResolvConf;
use netfilter::SeededChooser;
use plane::{HostId, NodeId, NodeSpec, OutsideSpec, Plane, PlaneConfig, PlaneEvent, SocketId};
use ruleset::Protocol;

use crate::app::{self, App};
use crate::clients::Clients;
use crate::evidence::Evidence;
use crate::faults::Troubles;
use crate::fleet::Fleet;
use crate::resolver::Resolver;
use crate::tables::TableCache;

/// A simulated cluster.
pub struct Sim {
    pub(crate) control: Control,
    pub(crate) plane: Plane,
    pub(crate) tables: TableCache,
    pub(crate) nodes: BTreeMap<String, NodeId>,
    pub(crate) outside: BTreeMap<String, HostId>,
    pub(crate) fleet: Fleet,
    pub(crate) evidence: Evidence,
    /// What is wrong with the network.
    pub(crate) troubles: Troubles,
    /// Unfinished requests of servers, by socket.
    inboxes: BTreeMap<SocketId, Inbox>,
    /// How many lookups have begun: each has a random stream of its own.
    lookups: u64,
}

/// A server's end of a connection.
struct Inbox {
    app: App,
    greeting: Vec<u8>,
    bytes: Vec<u8>,
}

impl Sim {
    /// Builds a cluster at time zero.
    ///
    /// # Errors
    /// When the API server refuses an object that the configuration calls for.
    pub fn new(config: ClusterConfig) -> Result<Self, Status> {
        let mut plane = Plane::new(PlaneConfig {
            same_node: config.network.same_node,
            same_zone: config.network.same_zone,
            cross_zone: config.network.cross_zone,
            mtu: config.network.mtu,
            hairpin: config.network.hairpin,
            seed: config.seed,
        });
        let mut tables = TableCache::default();
        let mut nodes = BTreeMap::new();
        for node in &config.nodes {
            let id = plane.add_node(NodeSpec {
                name: node.name.clone(),
                zone: node.zone.clone().unwrap_or_default(),
                addresses: node.addresses.clone(),
                pod_cidrs: node.pod_cidrs.clone(),
            });
            tables.add_node(id, &node.name);
            nodes.insert(node.name.clone(), id);
        }
        let mut outside = BTreeMap::new();
        for host in &config.outside {
            let via = |(net, node): &(_, String)| nodes.get(node).map(|id| (*net, *id));
            let id = plane.add_outside(OutsideSpec {
                name: format!("outside/{}", host.name),
                addresses: vec![host.address],
                routes: host.routes.iter().filter_map(via).collect(),
            });
            outside.insert(host.name.clone(), id);
        }
        Ok(Self {
            control: Control::new(config)?,
            plane,
            tables,
            nodes,
            outside,
            fleet: Fleet::default(),
            evidence: Evidence::default(),
            troubles: Troubles::default(),
            inboxes: BTreeMap::new(),
            lookups: 0,
        })
    }

    /// The control plane, to be read.
    #[must_use]
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// Records every packet on every interface from now on.
    pub fn enable_capture(&mut self) {
        self.plane.enable_capture();
    }

    /// What was recorded: file names and pcapng contents.
    #[must_use]
    pub fn captures(&self) -> BTreeMap<String, Vec<u8>> {
        self.plane.captures()
    }

    /// When something happens next.
    pub(crate) fn next_due(&self) -> Option<SimTime> {
        let due = [self.control.next_event_at(), self.plane.next_event_at()];
        due.into_iter().flatten().min()
    }

    /// When something happens next that is not merely periodic.
    pub(crate) fn next_pending(&self) -> Option<SimTime> {
        let due = [self.control.next_pending_at(), self.plane.next_event_at()];
        due.into_iter().flatten().min()
    }

    /// Runs everything due up to and including `at`; clients hear of their packets.
    pub(crate) fn run_to(&mut self, at: SimTime, clients: &mut Clients) {
        self.obey_signals();
        while self.next_due().is_some_and(|due| due <= at) {
            self.step(clients);
        }
        self.set_clock(at);
    }

    /// Runs until every client is done.
    pub(crate) fn run_clients(&mut self, clients: &mut Clients) {
        self.obey_signals();
        while let Some(deadline) = clients.next_deadline() {
            if self.next_due().is_some_and(|due| due <= deadline) {
                self.step(clients);
            } else {
                self.set_clock(deadline);
                clients.time_out(deadline, &mut self.plane);
            }
        }
    }

    /// The host that a source stands for.
    pub(crate) fn source_host(&self, source: &Source) -> Result<HostId, ReferenceError> {
        let found = match source {
            Source::Pod(key) => self.fleet.host(key),
            Source::Node(name) => self.nodes.get(name).map(|id| self.plane.node_host(*id)),
            Source::Outside(name) => self.outside.get(name).copied(),
        };
        found.ok_or_else(|| match source {
            Source::Pod(key) => ReferenceError {
                wanted: self.missing_pod(key),
                existing: self.fleet.running().map(ToString::to_string).collect(),
            },
            Source::Node(_) => ReferenceError {
                wanted: source.to_string(),
                existing: self
                    .nodes
                    .keys()
                    .map(|name| format!("node/{name}"))
                    .collect(),
            },
            Source::Outside(_) => ReferenceError {
                wanted: source.to_string(),
                existing: self
                    .outside
                    .keys()
                    .map(|name| format!("outside/{name}"))
                    .collect(),
            },
        })
    }

    /// What is wanted when a Pod has no network, with what its object says of it.
    fn missing_pod(&self, key: &ObjectKey) -> String {
        let namespace = key.namespace.as_deref().unwrap_or("default");
        let Some(pod) = self.control.api().pod(namespace, &key.name) else {
            return key.to_string();
        };
        let phase = match pod.status.phase.as_str() {
            "" => "Pending",
            phase => phase,
        };
        let node = match pod.spec.node_name.as_str() {
            "" => "bound to no node yet".to_owned(),
            node if self.nodes.contains_key(node) => format!("on node {node}"),
            node => format!("bound to node {node}, which does not exist"),
        };
        format!("running {key} (it exists: {phase}, {node})")
    }

    /// Starts a lookup as a source's own resolver would.
    pub(crate) fn start_lookup(
        &mut self,
        source: &Source,
        host: HostId,
        name: &str,
        types: &[dns::RecordType],
    ) -> Result<Resolver, control::Resolution> {
        let conf = self.resolv_conf(source);
        self.lookups += 1;
        let ids = self
            .control
            .config()
            .seed
            .split(&format!("lookup/{}", self.lookups));
        Resolver::start(&mut self.plane, host, conf, name, types, ids)
    }

    /// What stands in a source's resolv.conf.
    ///
    /// Deviation: nodes and outside hosts ask cluster DNS, without a search list; a real one asks whatever its
    /// administrator set. A Pod that uses its node's resolv.conf (`dnsPolicy: Default`, or a host-network Pod
    /// that does not say `ClusterFirstWithHostNet`: DNS-54, DBG-36) asks servers elsewhere, which know no name at
    /// all: there is nobody in its list.
    pub(crate) fn resolv_conf(&self, source: &Source) -> ResolvConf {
        let none = ResolvConf {
            nameservers: Vec::new(),
            ..ResolvConf::plain(std::net::Ipv4Addr::UNSPECIFIED.into())
        };
        let Some(server) = self.control.dns_address() else {
            return none;
        };
        let Source::Pod(key) = source else {
            return ResolvConf::plain(server);
        };
        let cluster_first = match self.fleet.resolver_of(key) {
            Some(("" | "ClusterFirst", on_host_network)) => !on_host_network,
            Some((policy, _)) => policy == "ClusterFirstWithHostNet",
            None => true,
        };
        let namespace = key.namespace.as_deref().unwrap_or("default");
        let zone = &self.control.config().dns_domain;
        if cluster_first {
            ResolvConf::cluster_first(server, namespace, zone)
        } else {
            none
        }
    }

    /// A chooser for read-only questions, the same for each.
    pub(crate) fn bystander(&self) -> SeededChooser {
        SeededChooser(self.control.config().seed.split("trace"))
    }

    fn set_clock(&mut self, at: SimTime) {
        self.control.advance_clock(at);
        self.plane.advance_clock(at);
    }

    fn step(&mut self, clients: &mut Clients) {
        let packets = self.plane.next_event_at();
        let control_first = match (self.control.next_event_at(), packets) {
            (Some(control), Some(packets)) => control <= packets,
            (control, _) => control.is_some(),
        };
        if control_first {
            self.control.step();
            self.plane.advance_clock(self.control.now());
            self.obey_signals();
        } else {
            let events = self.plane.step(&mut self.tables.of(&mut self.control));
            self.control.advance_clock(self.plane.now());
            for event in events {
                self.dispatch(event, clients);
            }
        }
    }

    pub(crate) fn obey_signals(&mut self) {
        self.suffer();
        for (_, signal) in self.control.signals() {
            if let PodSignal::Crashed { pod, .. } | PodSignal::Removed { pod, .. } = &signal {
                self.end_application(pod);
            }
            self.fleet.carry_out(&mut self.plane, &self.nodes, signal);
        }
        for change in self.control.balanced() {
            let node = self.nodes[&*change.node];
            self.plane.balance(change.address, node, change.takes);
        }
        for (node, stale) in self.control.stale_connections() {
            let state = self.plane.node_state_mut(self.nodes[&*node]);
            state.delete(|entry| {
                let (original, reply) = (entry.original(), entry.reply());
                original.protocol() == Protocol::UDP
                    && stale.picks(original.destination_socket(), reply.source_socket())
            });
        }
    }

    /// The processes of a Pod are gone: its host, if it lives on, resets their connections.
    fn end_application(&mut self, pod: &ObjectKey) {
        let sockets = self.inboxes.keys().copied();
        let owned = |socket: &SocketId| {
            let local = self.plane.local_address(*socket);
            self.fleet.owns(pod, socket.host(), local)
        };
        let ended: Vec<SocketId> = sockets.filter(owned).collect();
        for socket in ended {
            self.inboxes.remove(&socket);
            self.plane.abort(socket);
        }
    }

    fn dispatch(&mut self, event: PlaneEvent, clients: &mut Clients) {
        self.evidence.note(&event, &self.plane, &self.control);
        let Some(socket) = socket_of(&event) else {
            return;
        };
        if let Some(event) = clients.dispatch(socket, event, &mut self.plane) {
            self.serve(event);
        }
    }

    /// What servers do.
    fn serve(&mut self, event: PlaneEvent) {
        match event {
            PlaneEvent::Accepted {
                socket,
                host,
                local,
                peer,
            } => {
                let Some((identity, app)) = self.fleet.app(host, Protocol::TCP, local.port())
                else {
                    // The listener was closed while the handshake was under way: its kernel resets it.
                    self.plane.abort(socket);
                    return;
                };
                let greeting = identity.introduce(local, peer);
                let inbox = Inbox {
                    app: *app,
                    greeting,
                    bytes: Vec::new(),
                };
                self.inboxes.insert(socket, inbox);
            }
            PlaneEvent::Data {
                socket,
                bytes,
                from: Some(peer),
            } => {
                self.serve_datagram(socket, &bytes, peer);
            }
            PlaneEvent::Data {
                socket,
                bytes,
                from: None,
            } => self.serve_stream(socket, &bytes),
            PlaneEvent::PeerClosed { socket } => self.plane.close(socket),
            PlaneEvent::Closed { socket } | PlaneEvent::Failed { socket, .. } => {
                self.inboxes.remove(&socket);
            }
            _ => {}
        }
    }

    fn serve_stream(&mut self, socket: SocketId, bytes: &[u8]) {
        let Some(inbox) = self.inboxes.get_mut(&socket) else {
            return;
        };
        let answer = match inbox.app {
            App::Introduce => std::mem::take(&mut inbox.greeting),
            App::Dns if self.troubles.is_dns_down => Vec::new(),
            App::Dns => {
                inbox.bytes.extend_from_slice(bytes);
                app::serve_dns_stream(self.control.zone(), &mut inbox.bytes)
            }
        };
        let done = inbox.app == App::Introduce;
        // A client that has gone away meanwhile misses its answer; that is its own affair.
        let _ = self.plane.send(socket, &answer);
        if done {
            self.plane.close(socket);
        }
    }

    fn serve_datagram(&mut self, socket: SocketId, bytes: &[u8], peer: std::net::SocketAddr) {
        let Some(local) = self.plane.local_address(socket) else {
            return;
        };
        let app = self.fleet.app(socket.host(), Protocol::UDP, local.port());
        let answer = match app {
            Some((_, App::Dns)) if self.troubles.is_dns_down => None,
            Some((_, App::Dns)) => dns::serve(self.control.zone(), bytes, dns::UDP_MAX),
            Some((identity, App::Introduce)) => {
                let address = self.plane.host_addresses(socket.host());
                let ip = address.iter().find(|ip| ip.is_ipv4() == peer.is_ipv4());
                let ip = ip.copied().unwrap_or(local.ip());
                Some(identity.introduce(std::net::SocketAddr::new(ip, local.port()), peer))
            }
            None => None,
        };
        if let Some(answer) = answer {
            let _ = self.plane.send_to(socket, peer, &answer);
        }
    }

    /// The node that a host is on; `None` for a host outside.
    pub(crate) fn node_of(&self, host: HostId) -> Option<NodeId> {
        let own = self
            .nodes
            .values()
            .copied()
            .find(|id| self.plane.node_host(*id) == host);
        own.or_else(|| self.fleet.node_of(host))
    }
}

const fn socket_of(event: &PlaneEvent) -> Option<SocketId> {
    match event {
        PlaneEvent::Connected { socket }
        | PlaneEvent::Accepted { socket, .. }
        | PlaneEvent::Data { socket, .. }
        | PlaneEvent::PeerClosed { socket }
        | PlaneEvent::Closed { socket }
        | PlaneEvent::Failed { socket, .. }
        | PlaneEvent::Echoed { socket, .. }
        | PlaneEvent::EchoFailed { socket, .. } => Some(*socket),
        PlaneEvent::Decision { .. } | PlaneEvent::Lost { .. } => None,
    }
}
