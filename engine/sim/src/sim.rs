//! Two event loops as one.
//!
//! Whatever is due first runs first; at one instant the control plane comes before packets, and packets before
//! the clients' deadlines.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{ObjectKey, Status};
use base::SimTime;
use control::{ClusterConfig, Control, DetectLocal, ReferenceError, Source};
use controllers::PodSignal;
use dns::{ResolvConf, Transport};
use netfilter::{InterfaceName, SeededChooser};
use plane::{
    Blind, HostId, NodeId, NodeSpec, OutsideSpec, Plane, PlaneConfig, PlaneEvent, SocketId,
};
use ruleset::Protocol;

use crate::app::{self, App};
use crate::clients::{ClientId, Clients};
use crate::evidence::Evidence;
use crate::faults::Troubles;
use crate::fleet::Fleet;
use crate::foresight::Insight;
use crate::inbox::{Answer, Answers, Inbox};
use crate::node_cache::{Asker, NodeCaches};
use crate::resolver::{Resolver, Wanted};
use crate::tables::TableCache;
use crate::traffic::Traffic;

/// A simulated cluster.
pub struct Sim {
    pub(crate) control: Control,
    pub(crate) plane: Plane,
    pub(crate) tables: TableCache,
    pub(crate) nodes: BTreeMap<String, NodeId>,
    pub(crate) outside: BTreeMap<String, HostId>,
    pub(crate) fleet: Fleet,
    pub(crate) evidence: Evidence,
    pub(crate) caches: NodeCaches,
    /// What is wrong with the network.
    pub(crate) troubles: Troubles,
    pub(crate) clients: Clients,
    /// Connections that are held, by their names.
    pub(crate) held: BTreeMap<String, ClientId>,
    pub(crate) traffic: Traffic,
    /// The servers' ends of connections.
    inboxes: BTreeMap<SocketId, Inbox>,
    /// What applications are thinking about.
    answers: Answers,
    /// What came of echo requests and nobody has asked about.
    pub(crate) echoes: Vec<PlaneEvent>,
    /// The list that the plane's events come in.
    events: Vec<PlaneEvent>,
    /// When anything but traffic last happened.
    changed_at: SimTime,
    /// Whether exchanges of traffic are foreseen where they can be.
    foresees: bool,
    /// How many lookups have begun: each has a random stream of its own.
    lookups: u64,
}

impl Sim {
    /// Builds a cluster at time zero.
    ///
    /// # Errors
    /// When the API server refuses an object that the configuration calls for, or one that is there already asks of an
    /// application what it cannot do.
    pub fn new(config: ClusterConfig) -> Result<Self, Status> {
        config.state.iter().try_for_each(app::check_annotations)?;
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
            let proxy = node.proxy.as_deref().unwrap_or(&config.proxy);
            if let Some(interface) = pods_behind(&proxy.detect_local) {
                plane.put_pods_behind(id, interface);
            }
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
        let control = Control::new(config)?;
        let mut sim = Self {
            fleet: Fleet::new(control.resolver_address(), &control.config().dns_domain),
            control,
            plane,
            tables,
            nodes,
            outside,
            evidence: Evidence::default(),
            caches: NodeCaches::default(),
            troubles: Troubles::default(),
            clients: Clients::default(),
            held: BTreeMap::new(),
            traffic: Traffic::default(),
            inboxes: BTreeMap::new(),
            answers: Answers::default(),
            echoes: Vec::new(),
            events: Vec::new(),
            changed_at: SimTime::ZERO,
            foresees: true,
            lookups: 0,
        };
        let nodes: Vec<NodeId> = sim.nodes.values().copied().collect();
        for node in nodes {
            sim.start_cache(node);
        }
        Ok(sim)
    }

    /// The control plane, to be read.
    #[must_use]
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// Whether packets of traffic are left unsent where it is certain what comes of them, which is so at first. Nobody sees
    /// a difference, but for how long it takes.
    pub const fn set_foresight(&mut self, on: bool) {
        self.foresees = on;
    }

    /// How many exchanges of traffic were foreseen.
    #[must_use]
    pub const fn foreseen(&self) -> u64 {
        self.plane.foreseen()
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

    /// When something happens next that is not merely periodic. Neither traffic in the background is a reason to wait
    /// (while there is some, packets do not count) nor what a client repeats to somebody who is silent.
    pub(crate) fn next_pending(&self) -> Option<SimTime> {
        let packets = match self.traffic.is_over() {
            true => [self.plane.next_pending_at(), self.answers.next_at()],
            false => [None; 2],
        };
        let packets = packets.into_iter().flatten();
        packets.chain(self.control.next_pending_at()).min()
    }

    /// Runs everything due up to and including `at`. All that is done by then, so exchanges of traffic may be foreseen.
    pub(crate) fn run_to(&mut self, at: SimTime) {
        self.obey_signals();
        while self.do_next(at, self.foresees) {}
        self.set_clock(at);
    }

    /// Runs until every client that a step waits for is done.
    pub(crate) fn run_clients(&mut self) {
        self.obey_signals();
        while self.clients.awaited() > 0 && self.advance(SimTime::MAX) {}
    }

    /// Does what is due next, unless that is after `limit`; tells whether it did.
    pub(crate) fn advance(&mut self, limit: SimTime) -> bool {
        self.do_next(limit, false)
    }

    /// The same. Packets go on their way until somebody is told of one: nobody else's plans change before. Who goes on to
    /// `limit` in any case may have exchanges of traffic foreseen: conntrack is ahead of the clock by them meanwhile.
    pub(crate) fn do_next(&mut self, limit: SimTime, foresees: bool) -> bool {
        let own = self.next_own().unwrap_or(SimTime::MAX);
        let control = self.control.next_event_at().unwrap_or(SimTime::MAX);
        let packets = self.plane.next_event_at().unwrap_or(SimTime::MAX);
        let first = own.min(control).min(packets);
        if first > limit || first == SimTime::MAX {
            return false;
        }
        if first == control {
            self.step_control();
        } else if first == packets {
            // At one instant the control plane comes first, so packets stop just before it. It is due later than
            // they are, and so not at zero.
            let quiet = limit.min(SimTime::from_nanos(control.as_nanos() - 1));
            self.run_packets(quiet.min(own), foresees.then_some(quiet));
        } else {
            self.set_clock(own);
            self.answers.give(own, &mut self.plane);
            self.clients.time_out(own, &mut self.plane);
            self.wake_misses(own);
            self.run_traffic();
        }
        self.settle_traffic();
        true
    }

    /// When an application acts next of its own accord.
    fn next_own(&self) -> Option<SimTime> {
        let own = [
            self.answers.next_at(),
            self.clients.next_deadline(),
            self.traffic.next_at(),
            self.caches.next_wake(),
        ];
        own.into_iter().flatten().min()
    }

    /// Whether a source exists at this instant.
    ///
    /// # Errors
    /// When it does not; the error names those that do.
    pub fn check_source(&self, source: &Source) -> Result<(), ReferenceError> {
        self.source_host(source).map(drop)
    }

    /// The host that a source stands for.
    pub(crate) fn source_host(&self, source: &Source) -> Result<HostId, ReferenceError> {
        self.find_host(source).ok_or_else(|| match source {
            Source::Pod(key) => ReferenceError {
                wanted: self.missing_pod(key),
                existing: self.fleet.running().map(ToString::to_string).collect(),
            },
            Source::Node(name) => ReferenceError {
                wanted: match self.nodes.contains_key(name) {
                    true => format!("{source} with power (it is without)"),
                    false => source.to_string(),
                },
                existing: self
                    .running_nodes()
                    .map(|(name, _)| format!("node/{name}"))
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

    fn running_nodes(&self) -> impl Iterator<Item = (&String, &NodeId)> {
        let nodes = self.nodes.iter();
        nodes.filter(|(_, id)| !self.troubles.is_down(**id))
    }

    /// The host that a source stands for, if it exists and runs.
    pub(crate) fn find_host(&self, source: &Source) -> Option<HostId> {
        match source {
            Source::Pod(key) => self.fleet.host(key),
            Source::Node(name) => {
                let node = self.nodes.get(name).copied();
                let node = node.filter(|id| !self.troubles.is_down(*id));
                node.map(|id| self.plane.node_host(id))
            }
            Source::Outside(name) => self.outside.get(name).copied(),
        }
    }

    /// What is wanted when a Pod has no network or no process, with what its object says of it.
    fn missing_pod(&self, key: &ObjectKey) -> String {
        let namespace = key.namespace.as_deref().unwrap_or("default");
        let Some(pod) = self.control.api().pod(namespace, &key.name) else {
            return key.to_string();
        };
        let phase = match pod.status.phase.as_str() {
            "" => "Pending",
            phase => phase,
        };
        let node = pod.spec.node_name.as_str();
        let node = match self.nodes.get(node) {
            None if node.is_empty() => "bound to no node yet".to_owned(),
            None => format!("bound to node {node}, which does not exist"),
            Some(id) if self.troubles.is_down(*id) => format!("on node {node}, which has no power"),
            Some(_) => format!("on node {node}"),
        };
        let crashed = match self.fleet.has_crashed(key) {
            true => ", and its containers have crashed",
            false => "",
        };
        format!("running {key} (it exists: {phase}, {node}{crashed})")
    }

    /// Starts a lookup of some types over UDP as a source's own resolver would.
    pub(crate) fn start_lookup(
        &mut self,
        source: &Source,
        host: HostId,
        name: &str,
        types: &[dns::RecordType],
    ) -> Result<Resolver, control::Resolution> {
        let wanted = Wanted {
            name: name.to_owned(),
            types: types.to_vec(),
            transport: Transport::Udp,
        };
        self.start_query(source, host, &wanted)
    }

    /// Starts a lookup as a source's own resolver would.
    pub(crate) fn start_query(
        &mut self,
        source: &Source,
        host: HostId,
        wanted: &Wanted,
    ) -> Result<Resolver, control::Resolution> {
        let conf = self.resolv_conf(source);
        self.lookups += 1;
        let ids = self
            .control
            .config()
            .seed
            .split(&format!("lookup/{}", self.lookups));
        Resolver::start(&mut self.plane, host, conf, wanted, ids)
    }

    /// What stands in a source's resolv.conf: a Pod's as its kubelet wrote it (DNS-53 … DNS-58).
    ///
    /// Deviation: nodes and outside hosts ask cluster DNS, without a search list; a real one asks whatever its
    /// administrator set.
    #[must_use]
    pub fn resolv_conf(&self, source: &Source) -> ResolvConf {
        if let Source::Pod(key) = source {
            let resolver = self.fleet.resolver_of(key);
            return resolver.map_or_else(ResolvConf::default, |known| known.conf.clone());
        }
        let server = self.control.dns_address();
        server.map_or_else(ResolvConf::default, ResolvConf::plain)
    }

    /// What the kubelet complained of when it wrote a Pod's resolv.conf (DNS-56, DNS-57).
    ///
    /// Deviation: a real one writes Events as well.
    #[must_use]
    pub fn resolver_complaints(&self, source: &Source) -> Vec<String> {
        let Source::Pod(key) = source else {
            return Vec::new();
        };
        let complaints = self.fleet.resolver_of(key).map(|known| &known.complaints);
        let complaints = complaints.into_iter().flatten();
        complaints
            .map(|complaint| format!("{}: {}", complaint.reason, complaint.message))
            .collect()
    }

    /// A chooser for read-only questions, the same for each.
    pub(crate) fn bystander(&self) -> SeededChooser {
        SeededChooser(self.control.config().seed.split("trace"))
    }

    fn set_clock(&mut self, at: SimTime) {
        self.control.advance_clock(at);
        self.plane.advance_clock(at);
    }

    fn step_control(&mut self) {
        self.control.step();
        self.plane.advance_clock(self.control.now());
        self.obey_signals();
    }

    /// Has packets travel up to and including an instant, or until somebody is told of one. With foresight up to another
    /// instant, until which nothing but traffic happens.
    fn run_packets(&mut self, until: SimTime, foresight: Option<SimTime>) {
        let mut events = std::mem::take(&mut self.events);
        let plane = &mut self.plane;
        let mut tables = self.tables.of(&mut self.control);
        if let Some(quiet) = foresight {
            let quiet = (self.changed_at, quiet);
            let mut insight = Insight::new(&self.clients, &self.fleet, quiet);
            plane.run_until(until, &mut tables, &mut insight, &mut events);
        } else {
            plane.run_until(until, &mut tables, &mut Blind, &mut events);
        }
        self.control.advance_clock(self.plane.now());
        for event in events.drain(..) {
            self.dispatch(event);
        }
        self.events = events;
    }

    pub(crate) fn obey_signals(&mut self) {
        self.changed_at = self.plane.now();
        self.suffer();
        for (_, signal) in self.control.signals() {
            self.hang_up(&signal);
            if matches!(signal, PodSignal::Started { .. }) {
                self.troubles.note_start();
            }
            self.fleet.carry_out(&mut self.plane, &self.nodes, signal);
        }
        self.suffer();
        for change in self.control.balanced() {
            let node = self.nodes[&*change.node];
            self.plane.balance(change.address, node, change.takes);
        }
        for node in self.control.newly_synced() {
            self.follow_up(&node);
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

    /// What a signal means for connections that stand. Who gets SIGTERM and does not mind, or is killed, says goodbye
    /// to its clients; the host of processes that crashed resets theirs. Clients in a Pod that crashes or goes end with it.
    fn hang_up(&mut self, signal: &PodSignal) {
        let (PodSignal::Terminating { pod, .. }
        | PodSignal::Crashed { pod, .. }
        | PodSignal::Removed { pod, .. }) = signal
        else {
            return;
        };
        let Some((host, are_all_over)) = self.fleet.ends(signal) else {
            return;
        };
        let inboxes = self.inboxes.range(host.sockets());
        let its_own = inboxes.filter(|(_, inbox)| inbox.identity.is(pod));
        let sockets: Vec<SocketId> = its_own.map(|(socket, _)| *socket).collect();
        for socket in &sockets {
            self.inboxes.remove(socket);
            match signal {
                PodSignal::Crashed { .. } => self.plane.abort(*socket),
                _ => self.plane.close(*socket),
            }
        }
        if !are_all_over {
            return;
        }
        if matches!(signal, PodSignal::Removed { .. }) {
            // The kernel sends what closing calls for before the Pod's addresses go.
            let now = self.plane.now();
            while !sockets.is_empty() && self.plane.next_event_at() == Some(now) {
                self.run_packets(now, None);
            }
        }
        self.end_clients(host);
    }

    fn dispatch(&mut self, event: PlaneEvent) {
        self.evidence.note(&event, &self.plane, &self.control);
        let Some(socket) = socket_of(&event) else {
            return;
        };
        if let Some(event) = self.clients.dispatch(socket, event, &mut self.plane)
            && let Some(event) = self.hear_for_cache(event)
        {
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
                let Some((identity, app)) = self.fleet.app(host, Protocol::TCP, local) else {
                    // The listener was closed while the handshake was under way: its kernel resets it.
                    self.plane.abort(socket);
                    return;
                };
                let inbox = Inbox {
                    identity: Arc::clone(identity),
                    app: *app,
                    ends: (local, peer),
                    keeps: None,
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
            PlaneEvent::Echoed { .. } | PlaneEvent::EchoFailed { .. } => self.echoes.push(event),
            _ => {}
        }
    }

    fn serve_stream(&mut self, socket: SocketId, bytes: &[u8]) {
        let Some(inbox) = self.inboxes.get_mut(&socket) else {
            return;
        };
        if inbox.app == App::Dns && self.troubles.is_dns_down {
            return;
        }
        if inbox.bytes.is_empty()
            && let Some(after) = inbox.app.introduces_after(bytes)
        {
            let (count, closes) = inbox.requests(bytes);
            if count == 0 {
                return;
            }
            let (local, peer) = inbox.ends;
            let line = inbox.identity.introduce(local, peer);
            let answer = match count {
                1 => line,
                _ => line.repeat(count),
            };
            return self.answer(after, Answer::of_stream(socket, answer, closes));
        }
        match inbox.app {
            App::Introduce { .. } => {}
            App::Dns => {
                inbox.bytes.extend_from_slice(bytes);
                let answer = app::serve_dns_stream(self.control.zone(), &mut inbox.bytes);
                // A client that has gone away meanwhile misses its answer; that is its own affair.
                let _ = self.plane.send(socket, &answer);
            }
            App::NodeCache => {
                inbox.bytes.extend_from_slice(bytes);
                for query in dns::take_messages(&mut inbox.bytes) {
                    self.ask_cache(Asker { socket, peer: None }, &query);
                }
            }
        }
    }

    /// Gives an answer, at once or after a while.
    fn answer(&mut self, after: Duration, answer: Answer) {
        if after.is_zero() {
            answer.give(&mut self.plane);
        } else {
            self.answers.plan(self.plane.now() + after, answer);
        }
    }

    fn serve_datagram(&mut self, socket: SocketId, bytes: &[u8], peer: SocketAddr) {
        let Some(local) = self.plane.local_address(socket) else {
            return;
        };
        let Some((identity, app)) = self.fleet.app(socket.host(), Protocol::UDP, local) else {
            return;
        };
        if *app == App::Dns && self.troubles.is_dns_down {
            return;
        }
        if let Some(after) = app.introduces_after(bytes) {
            let address = self.plane.host_addresses(socket.host());
            let ip = address.iter().find(|ip| ip.is_ipv4() == peer.is_ipv4());
            let ip = ip.copied().unwrap_or(local.ip());
            let answer = identity.introduce(SocketAddr::new(ip, local.port()), peer);
            return self.answer(after, Answer::datagram(socket, peer, answer));
        }
        match app {
            App::Introduce { .. } => {}
            App::Dns => {
                if let Some(answer) = dns::serve(self.control.zone(), bytes, dns::UDP_MAX) {
                    self.answer(Duration::ZERO, Answer::datagram(socket, peer, answer));
                }
            }
            App::NodeCache => {
                let peer = Some(peer);
                self.ask_cache(Asker { socket, peer }, bytes);
            }
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

pub(crate) const fn socket_of(event: &PlaneEvent) -> Option<SocketId> {
    match event {
        PlaneEvent::Connected { socket }
        | PlaneEvent::Exchanged { socket, .. }
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

/// Where a proxy expects to see its Pods' packets come in, there they do: a network is what its administrator says that it
/// is (PROXY-21).
///
/// Deviation: it stays as the cluster's first configuration says: a proxy that is told another way of detection later (step
/// `proxy`) finds the same network.
/// Deviation: with `InterfaceNamePrefix`, all Pods of a node come by one interface, if their own are not called so.
fn pods_behind(detect: &DetectLocal) -> Option<InterfaceName> {
    match detect {
        DetectLocal::ClusterCidr(_) | DetectLocal::NodeCidr => None,
        DetectLocal::BridgeInterface(bridge) => InterfaceName::new(bridge),
        DetectLocal::InterfaceNamePrefix(prefix) if "veth".starts_with(prefix) => None,
        DetectLocal::InterfaceNamePrefix(prefix) => {
            InterfaceName::new(&format!("{prefix}0")).or_else(|| InterfaceName::new(prefix))
        }
    }
}
