//! The running network: hosts, nodes and packets under way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::SimTime;
use netfilter::{Effects, InterfaceName, NodeState, NodeTables, SeededChooser};
use ruleset::Protocol;

use crate::capture::{Captured, Captures};
use crate::course::Courses;
use crate::host::{Stack, Stacks, Supplies, may_listen};
use crate::network::{Network, Next};
use crate::queue::Queue;
use crate::{
    Blind, Door, Foresight, HostId, HostSpec, ListenError, NodeId, NodeSpec, OutsideSpec,
    PlaneConfig, PlaneEvent, SendError, SocketId,
};

/// Gives a node's tables, as they are when a packet comes by. Asked for every packet on every node, so that
/// rules need not exist before somebody looks.
pub trait TableSource {
    /// Everything that is on the node, of all owners.
    fn tables(&mut self, node: NodeId) -> Arc<NodeTables>;
}

/// A network of nodes, Pods and outside hosts on a virtual clock.
///
/// Nothing happens by itself: the owner asks when something is due ([`Plane::next_event_at`]) and has it done
/// ([`Plane::step`], [`Plane::run_until`]), or lets time pass ([`Plane::advance_clock`]). What sockets are told to do
/// between steps happens in the next steps, at the same instant.
pub struct Plane {
    pub(crate) config: PlaneConfig,
    pub(crate) network: Network,
    pub(crate) now: SimTime,
    /// By node id.
    pub(crate) engines: Vec<Engine>,
    /// Only of hosts that have ever sent or received a packet or opened a socket.
    pub(crate) stacks: Stacks,
    pub(crate) supplies: Supplies,
    /// What hosts without a stack listen on: most hosts of a large network are never talked to.
    pub(crate) asleep: BTreeMap<HostId, BTreeSet<(Protocol, u16)>>,
    /// Hosts that ignore every packet.
    pub(crate) deaf: BTreeSet<HostId>,
    /// The number of the next socket that is asked of a host that is gone.
    pub(crate) next_stillborn: u32,
    pub(crate) due: Queue<Due>,
    /// Sockets that wanted to run while their node was stopped.
    pub(crate) parked: BTreeSet<SocketId>,
    pub(crate) captures: Option<Captures>,
    pub(crate) courses: Courses,
    pub(crate) foreseen: u64,
    pub(crate) logs_decisions: bool,
}

/// What a node has beside its tables and routes.
pub(crate) struct Engine {
    /// Those that the last packet met.
    tables: Arc<NodeTables>,
    pub(crate) state: NodeState,
    pub(crate) chooser: SeededChooser,
    /// With more entries than this, expired ones are looked for.
    sweep_above: usize,
    /// While the table is full, expired ones are not looked for before this.
    sweep_full_at: SimTime,
}

impl Engine {
    /// A sweep costs as much as there are entries, so it waits until as many new ones have come: then it is paid
    /// for. Nobody can see when it happens, since expired entries count for nothing.
    const SWEEP_ABOVE_LEAST: usize = 1024;
    /// `GC_SCAN_INTERVAL_MIN` of Linux `nf_conntrack_core.c`.
    const SWEEP_FULL_EVERY: Duration = Duration::from_secs(1);

    fn new(chooser: SeededChooser) -> Self {
        Self {
            tables: Arc::default(),
            state: NodeState::new(),
            chooser,
            sweep_above: Self::SWEEP_ABOVE_LEAST,
            sweep_full_at: SimTime::ZERO,
        }
    }

    /// Tells of the tables that the next packet meets: what rules that are gone remembered is forgotten with them. A full
    /// connection table is swept, as it is noticed when expired entries take up room.
    ///
    /// Deviation: tables are looked at when a packet comes, so rules that went and came back between two packets
    /// remember what a kernel would have forgotten.
    pub(crate) fn meet(&mut self, tables: &Arc<NodeTables>, now: SimTime) {
        if now >= self.sweep_full_at && self.state.is_full() {
            self.state.expire(now);
            self.sweep_full_at = now + Self::SWEEP_FULL_EVERY;
        }
        if !Arc::ptr_eq(&self.tables, tables) {
            self.state.forget_rules_not_in(tables);
            self.tables = Arc::clone(tables);
        }
    }

    pub(crate) fn commit(&mut self, effects: Effects, now: SimTime) {
        self.state.commit(effects);
        if self.state.len() > self.sweep_above {
            self.state.expire(now);
            self.sweep_above = Self::SWEEP_ABOVE_LEAST.max(self.state.len() * 2);
        }
    }
}

/// Something planned.
pub(crate) enum Due {
    /// A packet gets there.
    Arrival { next: Next, packet: Vec<u8> },
    /// A connection's timer fires.
    Timer(SocketId),
    /// A connection's application has wanted something of it.
    Wake(SocketId),
    /// A connection is over that was foreseen, for the client.
    Over(SocketId),
    /// A socket's owner hears of what was clear at once.
    Report(Box<PlaneEvent>),
}

impl Plane {
    /// A network without anybody in it, at the start of time.
    ///
    /// An MTU below 1280 counts as 1280, the least that IPv6 links must carry.
    #[must_use]
    pub fn new(mut config: PlaneConfig) -> Self {
        config.mtu = config.mtu.clamp(1280, 65_535);
        Self {
            network: Network::new(&config),
            supplies: Supplies::new(config.mtu),
            config,
            now: SimTime::ZERO,
            engines: Vec::new(),
            stacks: Stacks::default(),
            asleep: BTreeMap::new(),
            deaf: BTreeSet::new(),
            next_stillborn: u32::MAX,
            due: Queue::new(),
            parked: BTreeSet::new(),
            captures: None,
            courses: Courses::default(),
            foreseen: 0,
            logs_decisions: false,
        }
    }

    /// Adds a node. Every other node knows at once how to reach its addresses and its Pod ranges.
    pub fn add_node(&mut self, spec: NodeSpec) -> NodeId {
        let stream = format!("plane/node/{}", spec.name);
        let chooser = SeededChooser(self.config.seed.split(&stream));
        self.engines.push(Engine::new(chooser));
        self.network.add_node(spec)
    }

    /// Adds a Pod. When two hosts claim one address, the later has it; when that goes, the earlier has it again.
    ///
    /// # Panics
    /// When the node is not of this network.
    pub fn add_pod(&mut self, spec: HostSpec) -> HostId {
        assert!(
            spec.node.index() < self.engines.len(),
            "the node is of this network"
        );
        self.network.add_pod(spec)
    }

    /// Adds a host outside the cluster. It reaches nodes and other outside hosts, and by its routes more.
    ///
    /// # Panics
    /// When a route leads to a node that is not of this network.
    pub fn add_outside(&mut self, spec: OutsideSpec) -> HostId {
        let known = |node: NodeId| node.index() < self.engines.len();
        assert!(
            spec.routes.iter().all(|(_, node)| known(*node)),
            "routes lead to nodes of this network"
        );
        self.network.add_outside(spec)
    }

    /// Says whether a node takes packets to an address of the load balancer. Those to an address that nobody else has go
    /// to the nodes that take them, each flow to one of them.
    ///
    /// # Panics
    /// When the node is not of this network.
    pub fn balance(&mut self, address: IpAddr, node: NodeId, takes: bool) {
        assert!(
            node.index() < self.engines.len(),
            "the node is of this network"
        );
        self.network.balancer_mut().set(address, node, takes);
    }

    /// Takes a Pod or an outside host away, with its sockets; nobody is told. Packets to it are lost from now on
    /// (DBG-71). A node cannot be removed.
    pub fn remove_host(&mut self, host: HostId) {
        self.network.remove_host(host);
        if self.network.host(host).is_some() {
            return;
        }
        if let Some(stack) = self.stacks.remove(host) {
            stack.alarms().for_each(|alarm| self.silence(alarm));
        }
        self.asleep.remove(&host);
        self.deaf.remove(&host);
        self.parked.retain(|socket| socket.host != host);
    }

    /// The node of a name.
    #[must_use]
    pub fn node_by_name(&self, name: &str) -> Option<NodeId> {
        self.network.node_by_name(name)
    }

    /// The Pod or outside host of a name; for nodes see [`Plane::node_host`].
    #[must_use]
    pub fn host_by_name(&self, name: &str) -> Option<HostId> {
        self.network.host_by_name(name)
    }

    /// The place of processes on a node.
    #[must_use]
    pub fn node_host(&self, node: NodeId) -> HostId {
        self.network.node(node).host
    }

    /// A node's name.
    #[must_use]
    pub fn node_name(&self, node: NodeId) -> &str {
        &self.network.node(node).name
    }

    /// A host's name; `None` once it is removed.
    #[must_use]
    pub fn host_name(&self, host: HostId) -> Option<&str> {
        self.network.host(host).map(|host| &*host.name)
    }

    /// A node's own addresses.
    #[must_use]
    pub fn node_addresses(&self, node: NodeId) -> &[IpAddr] {
        &self.network.node(node).addresses
    }

    /// A host's addresses; none once it is removed.
    #[must_use]
    pub fn host_addresses(&self, host: HostId) -> &[IpAddr] {
        self.network.host(host).map_or(&[], |host| &host.addresses)
    }

    /// A node's connection tracking.
    #[must_use]
    pub fn node_state(&self, node: NodeId) -> &NodeState {
        &self.engines[node.index()].state
    }

    /// A node's connection tracking, to delete entries from it.
    #[must_use]
    pub fn node_state_mut(&mut self, node: NodeId) -> &mut NodeState {
        &mut self.engines[node.index()].state
    }

    /// Lets a host accept TCP connections, or take UDP datagrams, at a port of all its addresses.
    ///
    /// # Errors
    /// When the port is taken, the protocol is neither TCP nor UDP, or the host is gone.
    pub fn listen(
        &mut self,
        host: HostId,
        protocol: Protocol,
        port: u16,
    ) -> Result<(), ListenError> {
        if let Some(stack) = self.stacks.get_mut(host) {
            return stack.listen(protocol, port);
        }
        if self.network.host(host).is_none() {
            return Err(ListenError::NoSuchHost);
        }
        may_listen(protocol, port, self.listens(host, protocol, port))?;
        self.asleep
            .entry(host)
            .or_default()
            .insert((protocol, port));
        Ok(())
    }

    /// Like [`Plane::listen`], but at one of the host's addresses: a loopback address, or one of a node's own.
    ///
    /// # Errors
    /// When the port is taken, at this address or at all, the protocol is neither TCP nor UDP, or the host is gone.
    pub fn listen_at(
        &mut self,
        host: HostId,
        protocol: Protocol,
        at: SocketAddr,
    ) -> Result<(), ListenError> {
        let (stack, _) = self.stack(host).ok_or(ListenError::NoSuchHost)?;
        stack.listen_at(protocol, at)
    }

    /// Lets processes on a node take datagrams, and accept connections, at an address of the node's own that nobody but
    /// the node and its Pods reaches: several nodes may have the same.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn listen_locally(&mut self, node: NodeId, at: SocketAddr) -> Result<(), ListenError> {
        if !self.node_addresses(node).contains(&at.ip()) {
            self.network.add_local_address(node, at.ip());
        }
        let host = self.node_host(node);
        let (stack, _) = self.stack(host).ok_or(ListenError::NoSuchHost)?;
        may_listen(
            Protocol::TCP,
            at.port(),
            stack.listens_at(Protocol::TCP, at),
        )?;
        stack.listen_at(Protocol::UDP, at)?;
        stack.listen_at(Protocol::TCP, at)
    }

    /// Has a node's rules see its Pods' packets come in by this interface, as behind a bridge, and not by each Pod's own.
    pub fn put_pods_behind(&mut self, node: NodeId, interface: InterfaceName) {
        self.network.put_pods_behind(node, interface);
    }

    /// Where a packet from an address enters a node, if no process there sends it: by the link of a Pod that is there, or
    /// might be, or from elsewhere.
    #[must_use]
    pub fn door_of(&self, node: NodeId, address: IpAddr) -> Door {
        self.network.door_of(node, address)
    }

    /// Has a host ignore every packet that reaches it from now on.
    pub fn ignore_all(&mut self, host: HostId) {
        self.deaf.insert(host);
    }

    /// Ends listening at a port of all addresses. TCP connections that stand go on; a UDP socket is gone.
    pub fn unlisten(&mut self, host: HostId, protocol: Protocol, port: u16) {
        if let Some(stack) = self.stacks.get_mut(host) {
            stack.unlisten(protocol, port, None);
        } else if let Some(ports) = self.asleep.get_mut(&host) {
            ports.remove(&(protocol, port));
        }
    }

    /// The same at one address alone.
    pub fn unlisten_at(&mut self, host: HostId, protocol: Protocol, at: SocketAddr) {
        if let Some(stack) = self.stacks.get_mut(host) {
            stack.unlisten(protocol, at.port(), Some(at.ip()));
        }
    }

    /// Whether a host listens at a port, at whatever address.
    #[must_use]
    pub fn listens(&self, host: HostId, protocol: Protocol, port: u16) -> bool {
        match self.stacks.get(host) {
            Some(stack) => stack.listens(protocol, port),
            None => self
                .asleep
                .get(&host)
                .is_some_and(|ports| ports.contains(&(protocol, port))),
        }
    }

    /// Begins a TCP connection from the next free ephemeral port. What comes of it is an event:
    /// [`PlaneEvent::Connected`] or [`PlaneEvent::Failed`].
    pub fn connect(&mut self, host: HostId, remote: SocketAddr) -> SocketId {
        let now = self.now;
        self.open(host, |stack, supplies| stack.connect(now, remote, supplies))
    }

    /// A UDP socket at an ephemeral port, for [`Plane::send_to`].
    pub fn udp_bind(&mut self, host: HostId) -> SocketId {
        self.open(host, |stack, _| stack.udp_socket(None))
    }

    /// A UDP socket at an ephemeral port that talks to one remote end, with [`Plane::send`].
    pub fn udp_connect(&mut self, host: HostId, remote: SocketAddr) -> SocketId {
        self.open(host, |stack, _| stack.udp_socket(Some(remote)))
    }

    /// Sends on a TCP connection (after what was sent before, as windows allow) or a connected UDP socket.
    ///
    /// # Errors
    /// When the socket is closed or gone; for UDP also as [`Plane::send_to`].
    pub fn send(&mut self, socket: SocketId, bytes: &[u8]) -> Result<(), SendError> {
        let now = self.now;
        let stack = self.stacks.get_mut(socket.host).ok_or(SendError::Closed)?;
        stack.send(now, socket, bytes, self.supplies.lend())?;
        self.transmit_all(socket.host);
        self.wake(socket);
        Ok(())
    }

    /// Sends a datagram from a UDP socket, a listening one included.
    ///
    /// # Errors
    /// When the socket is no UDP socket or gone, nothing can be sent to the address from this host, or the
    /// datagram does not fit into a packet.
    pub fn send_to(
        &mut self,
        socket: SocketId,
        to: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), SendError> {
        let now = self.now;
        let stack = self.stacks.get_mut(socket.host).ok_or(SendError::Closed)?;
        stack.send_to(now, socket, to, bytes, self.supplies.lend())?;
        self.transmit_all(socket.host);
        Ok(())
    }

    /// Closes a TCP connection after what it still has to send ([`PlaneEvent::Closed`] says when both sides are
    /// done), or a UDP socket at once. A socket that is gone already is no error.
    pub fn close(&mut self, socket: SocketId) {
        if let Some(stack) = self.stacks.get_mut(socket.host) {
            stack.close(socket);
            self.wake(socket);
        }
    }

    /// Resets a TCP connection, or closes a UDP socket. A socket that is gone already is no error.
    pub fn abort(&mut self, socket: SocketId) {
        if let Some(stack) = self.stacks.get_mut(socket.host) {
            stack.abort(socket);
            self.wake(socket);
        }
    }

    /// Where a socket is bound; `None` once it is gone. A UDP socket without a remote end has the address
    /// `0.0.0.0` of all.
    #[must_use]
    pub fn local_address(&self, socket: SocketId) -> Option<SocketAddr> {
        self.stacks.get(socket.host)?.local_address(socket)
    }

    /// The other end of a socket; `None` once it is gone, and for a UDP socket without one.
    #[must_use]
    pub fn peer_address(&self, socket: SocketId) -> Option<SocketAddr> {
        self.stacks.get(socket.host)?.peer_address(socket)
    }

    /// The number of sockets on a host, listening TCP ports not counted.
    #[must_use]
    pub fn socket_count(&self, host: HostId) -> usize {
        let asleep = || {
            let ports = self.asleep.get(&host).into_iter().flatten();
            ports
                .filter(|(protocol, _)| *protocol == Protocol::UDP)
                .count()
        };
        self.stacks
            .get(host)
            .map_or_else(asleep, Stack::socket_count)
    }

    /// The instant up to which everything has happened.
    #[must_use]
    pub const fn now(&self) -> SimTime {
        self.now
    }

    /// When something is due next; `None` when nothing will happen without a new wish.
    #[must_use]
    pub fn next_event_at(&self) -> Option<SimTime> {
        self.due.next_at()
    }

    /// When something happens next, unless all that is left to happen is that timers fire: who repeats what was lost may do
    /// so in vain, for a quarter of an hour.
    #[must_use]
    pub fn next_pending_at(&self) -> Option<SimTime> {
        let next = self.due.next_at()?;
        let is_under_way = |due: &Due| !matches!(due, Due::Timer(_));
        self.due.any(is_under_way).then_some(next)
    }

    /// Lets time pass, up to `to` or to the next event if that is earlier. Time never goes back.
    pub fn advance_clock(&mut self, to: SimTime) {
        let free = self.due.next_at().unwrap_or(SimTime::MAX);
        self.now = self.now.max(to.min(free));
    }

    /// Has the earliest event happen and moves the clock there; of two at one instant, the one planned first.
    /// Nothing due is no event.
    pub fn step(&mut self, tables: &mut impl TableSource) -> Vec<PlaneEvent> {
        let mut events = Vec::new();
        self.step_into(&mut events, tables, &mut Blind);
        events
    }

    /// Has everything happen in order that is due up to and including an instant, but nothing after the first step that
    /// somebody is told of, in `events`: what that tells may change what happens next. Packets that are foreseen are not
    /// sent.
    pub fn run_until(
        &mut self,
        until: SimTime,
        tables: &mut impl TableSource,
        foresight: &mut impl Foresight,
        events: &mut Vec<PlaneEvent>,
    ) {
        let told_before = events.len();
        while self.due.next_at().is_some_and(|at| at <= until) && events.len() == told_before {
            self.step_into(events, tables, foresight);
        }
    }

    fn step_into<F: Foresight>(
        &mut self,
        events: &mut Vec<PlaneEvent>,
        tables: &mut impl TableSource,
        foresight: &mut F,
    ) {
        let Some((at, due)) = self.due.pop() else {
            return;
        };
        self.now = self.now.max(at);
        match due {
            Due::Report(event) => events.push(*event),
            Due::Timer(socket) => self.run_socket(socket, |alarm| &mut alarm.timer, events),
            Due::Wake(socket) => self.run_socket(socket, |alarm| &mut alarm.wake, events),
            Due::Over(socket) => self.end_exchange(socket),
            Due::Arrival { next, packet } => self.arrive(next, packet, tables, foresight, events),
        }
    }

    /// Begins or ends telling of [`PlaneEvent::Decision`] and [`PlaneEvent::Lost`]. Off at first: whoever
    /// collects nothing need not pay for the rules that every packet matches.
    pub const fn log_decisions(&mut self, on: bool) {
        self.logs_decisions = on;
    }

    /// How many exchanges were foreseen.
    #[must_use]
    pub const fn foreseen(&self) -> u64 {
        self.foreseen
    }

    /// Begins to capture packets on every interface.
    pub fn enable_capture(&mut self) {
        self.captures.get_or_insert_default();
    }

    /// What passed the interfaces of a machine since capturing was enabled or forgotten, in order; a machine is a node by
    /// its name, or a host by its own.
    #[must_use]
    pub fn captured(&self, machine: &str) -> Vec<Captured<'_>> {
        let captures = self.captures.as_ref();
        captures.map_or_else(Vec::new, |captures| captures.of(machine))
    }

    /// Forgets what was captured, and goes on capturing if it was enabled.
    pub fn forget_captures(&mut self) {
        if let Some(captures) = &mut self.captures {
            *captures = Captures::default();
        }
    }

    /// What was captured: pcapng files by name (`<machine>-<interface>.pcapng`). Pods and outside hosts have an
    /// `eth0`; nodes have an `eth0` and a `veth…` for each Pod. Empty unless capturing was enabled.
    #[must_use]
    pub fn captures(&self) -> BTreeMap<String, Vec<u8>> {
        self.captures
            .as_ref()
            .map(Captures::files)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use base::Seed;
    use netfilter::Packet;

    use super::*;
    use crate::{HopOutcome, udp_datagram};

    struct NoRules;

    impl TableSource for NoRules {
        fn tables(&mut self, _: NodeId) -> Arc<NodeTables> {
            Arc::new(NodeTables::empty())
        }
    }

    /// A node with Pods 10.0.0.2 and on, that listen at ports 80 (TCP) and 53 (UDP).
    fn listening(pods: u8) -> (Plane, Vec<HostId>) {
        let mut plane = Plane::new(PlaneConfig::with_seed(Seed::new(7)));
        let node = plane.add_node(NodeSpec {
            name: "node".into(),
            zone: String::new(),
            addresses: vec!["192.168.1.1".parse().unwrap()],
            pod_cidrs: vec!["10.0.0.0/24".parse().unwrap()],
        });
        let pod = |number| {
            let host = plane.add_pod(HostSpec {
                name: format!("pod-{number}"),
                node,
                addresses: vec![[10, 0, 0, number].into()],
            });
            plane.listen(host, Protocol::TCP, 80).unwrap();
            plane.listen(host, Protocol::UDP, 53).unwrap();
            host
        };
        let pods = (2..2 + pods).map(pod).collect();
        (plane, pods)
    }

    #[test]
    fn hosts_get_a_stack_when_they_first_need_one() {
        let (mut plane, pods) = listening(3);
        assert_eq!(plane.stacks.hosts(), [], "listening needs none");
        plane.connect(pods[0], "10.0.0.3:80".parse().unwrap());
        let mut accepted = false;
        while plane.next_event_at().is_some() && !accepted {
            let events = plane.step(&mut NoRules);
            accepted = matches!(events[..], [PlaneEvent::Accepted { host, .. }] if host == pods[1]);
        }
        assert!(accepted);
        assert_eq!(plane.stacks.hosts(), pods[..2]);
        assert_eq!(plane.asleep.keys().copied().collect::<Vec<_>>(), pods[2..]);
    }

    #[test]
    fn an_address_is_listened_at_for_both_protocols_or_for_neither() {
        let (mut plane, _) = listening(0);
        let node = plane.node_by_name("node").unwrap();
        let host = plane.node_host(node);
        plane.listen(host, Protocol::TCP, 80).unwrap();
        plane.listen(host, Protocol::UDP, 53).unwrap();
        for port in [80, 53] {
            let at = SocketAddr::from(([169, 254, 20, 10], port));
            assert!(plane.listen_locally(node, at).is_err(), "{port}");
        }
        assert!(!plane.listens(host, Protocol::UDP, 80));
        assert!(!plane.listens(host, Protocol::TCP, 53));
    }

    /// A server that greets and closes, and clients that close after it: what is told, and when.
    fn told_by(run: impl Fn(&mut Plane) -> Vec<PlaneEvent>) -> Vec<(SimTime, PlaneEvent)> {
        let (mut plane, pods) = listening(3);
        for client in &pods[1..] {
            plane.connect(*client, "10.0.0.2:80".parse().unwrap());
        }
        let mut told = Vec::new();
        while plane.next_event_at().is_some() {
            for event in run(&mut plane) {
                match &event {
                    PlaneEvent::Accepted { socket, .. } => {
                        plane.send(*socket, b"hello").unwrap();
                        plane.close(*socket);
                    }
                    PlaneEvent::PeerClosed { socket } => plane.close(*socket),
                    _ => {}
                }
                told.push((plane.now(), event));
            }
        }
        told
    }

    #[test]
    fn running_until_an_instant_is_stepping_up_to_it() {
        let stepped = told_by(|plane| plane.step(&mut NoRules));
        assert_eq!(stepped.len(), 14, "both connections, from begin to end");
        for span in [1, 7, 1_000_000].map(Duration::from_micros) {
            let run = told_by(|plane| {
                let (until, mut events) = (plane.now() + span, Vec::new());
                plane.run_until(until, &mut NoRules, &mut Blind, &mut events);
                if events.is_empty() {
                    assert!(plane.next_event_at().is_none_or(|next| next > until));
                    plane.advance_clock(until);
                }
                events
            });
            assert_eq!(run, stepped, "{span:?}");
        }
    }

    /// A client gives up at the very instant at which it is answered: the server is told at once.
    #[test]
    fn a_server_hears_that_its_client_gave_up_as_it_answered() {
        for end in [Plane::abort, Plane::close] {
            let (mut plane, pods) = listening(2);
            let socket = plane.connect(pods[0], "10.0.0.3:80".parse().unwrap());
            while plane.socket_count(pods[1]) == 1 {
                plane.step(&mut NoRules);
            }
            // The SYN-ACK is under way: to the node, and from there to the client.
            assert_eq!(plane.step(&mut NoRules), []);
            let answered = plane.next_event_at().unwrap();
            plane.advance_clock(answered);
            assert_eq!(plane.now(), answered);
            end(&mut plane, socket);
            let mut events = Vec::new();
            plane.run_until(answered, &mut NoRules, &mut Blind, &mut events);
            assert_eq!(events, [PlaneEvent::Closed { socket }]);
            let until = answered + Duration::from_millis(1);
            plane.run_until(until, &mut NoRules, &mut Blind, &mut events);
            assert_eq!(events.len(), 1, "the server was told of nothing");
            assert_eq!(plane.socket_count(pods[1]), 1, "the UDP socket");
            assert_eq!(plane.next_event_at(), None);
        }
    }

    #[test]
    fn hosts_without_a_stack_listen_all_the_same() {
        let (mut plane, pods) = listening(2);
        let (tcp, udp) = (Protocol::TCP, Protocol::UDP);
        for awake in [false, true] {
            if awake {
                plane.stack(pods[0]).unwrap();
            }
            assert!(plane.listens(pods[0], tcp, 80) && plane.listens(pods[0], udp, 53));
            assert!(!plane.listens(pods[0], tcp, 53));
            assert_eq!(plane.socket_count(pods[0]), 1, "the UDP socket");
            let (protocol, port) = (udp, 53);
            let in_use = ListenError::InUse { protocol, port };
            assert_eq!(plane.listen(pods[0], udp, 53), Err(in_use));
            let protocol = Protocol::SCTP;
            let unsupported = ListenError::Unsupported { protocol };
            assert_eq!(plane.listen(pods[0], protocol, 80), Err(unsupported));
        }
        plane.unlisten(pods[1], udp, 53);
        plane.stack(pods[1]).unwrap();
        assert!(plane.listens(pods[1], tcp, 80) && !plane.listens(pods[1], udp, 53));
    }

    #[test]
    fn a_trace_is_answered_by_a_host_without_a_stack() {
        let (plane, pods) = listening(2);
        let ends = ["10.0.0.2:40000", "10.0.0.3:53"].map(|end| end.parse().unwrap());
        let question = Packet::new(udp_datagram(ends[0], ends[1], b"question").unwrap());
        let mut chooser = SeededChooser(Seed::new(7).split("trace"));
        let trace = plane.trace(pods[0], question, &mut NoRules, &mut chooser);
        let end = trace.reply.last().expect("an answer");
        assert_eq!(end.outcome, HopOutcome::Received);
        assert_eq!(end.tuple.unwrap().source_socket(), ends[1]);
        assert_eq!(plane.stacks.hosts(), []);
    }
}
