//! Sockets, ports and demultiplexing of one host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base::SimTime;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ruleset::Protocol;
use smoltcp::iface::{Interface, SocketSet};
use smoltcp::wire::IpAddress;

use super::echo::Echoes;
use super::error::{ListenError, SendError};
use super::path::Paths;
use super::supplies::Supplies;
use super::tcp::{Alarm, Cause, Connection, Progress};
use super::udp::Endpoint;
use super::wire::{Wire, instant};
use crate::icmp::Icmp;
use crate::segment::{Flow, Segment, echo_request, udp_datagram};
use crate::{HostId, PingSpec, PlaneEvent, SocketError, SocketId};

/// `net.ipv4.ip_local_port_range`.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32768..=60999;

/// What a stack asks of the plane, beside the packets that it sends and the events that it tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Reaction {
    #[default]
    Nothing,
    /// The TCP socket that ran wants to run again at this instant (`None`: not of its own accord).
    Waits(SocketId, Option<SimTime>),
    /// A connection is over, and its alarm is of no use.
    Over(Alarm),
}

/// Where a stack puts what it tells.
type Events = Vec<PlaneEvent>;

/// Where a socket takes packets: a port, and the address at which alone it does. Nobody else is at a port that somebody
/// has at all addresses.
type Bound = (u16, Option<IpAddr>);

/// Both places where packets to an address are taken.
const fn bounds(local: SocketAddr) -> [Bound; 2] {
    [(local.port(), None), (local.port(), Some(local.ip()))]
}

/// The stack.
pub(crate) struct Stack {
    host: HostId,
    addresses: Vec<IpAddr>,
    mtu: usize,
    interface: Interface,
    paths: Paths,
    /// By number. Never iterated in an order that matters.
    connections: HashMap<u32, Box<Connection>, FixedState>,
    /// The connection of every TCP flow. Never iterated.
    flows: HashMap<Flow, u32, FixedState>,
    tcp_listeners: BTreeSet<Bound>,
    /// UDP sockets by where they are bound.
    endpoints: BTreeMap<Bound, Endpoint>,
    /// Where every UDP socket is bound.
    endpoints_bound: BTreeMap<u32, Bound>,
    echoes: Echoes,
    next_serial: u32,
    next_port: u16,
}

impl Stack {
    pub(crate) fn new(host: HostId, addresses: Vec<IpAddr>, mtu: usize, random_seed: u64) -> Self {
        let interface = Wire::new(mtu).interface(random_seed);
        Self {
            host,
            addresses,
            mtu,
            interface,
            paths: Paths::new(random_seed),
            connections: HashMap::default(),
            flows: HashMap::default(),
            tcp_listeners: BTreeSet::new(),
            endpoints: BTreeMap::new(),
            endpoints_bound: BTreeMap::new(),
            echoes: Echoes::default(),
            next_serial: 0,
            next_port: *EPHEMERAL.start(),
        }
    }

    /// The number of sockets, listening TCP ports not counted.
    pub(crate) fn socket_count(&self) -> usize {
        self.connections.len() + self.endpoints.len() + self.echoes.len()
    }

    /// Whether somebody listens at a port, at whatever address.
    pub(crate) fn listens(&self, protocol: Protocol, port: u16) -> bool {
        match protocol {
            Protocol::TCP => self.has_listener(port),
            Protocol::UDP => self.has_endpoint(port),
            _ => false,
        }
    }

    /// Whether who would listen at an address finds somebody there.
    pub(crate) fn listens_at(&self, protocol: Protocol, at: SocketAddr) -> bool {
        let mut bounds = bounds(at).into_iter();
        match protocol {
            Protocol::TCP => bounds.any(|bound| self.tcp_listeners.contains(&bound)),
            Protocol::UDP => bounds.any(|bound| self.endpoints.contains_key(&bound)),
            _ => false,
        }
    }

    fn has_listener(&self, port: u16) -> bool {
        let first = self.tcp_listeners.range((port, None)..).next();
        first.is_some_and(|(first, _)| *first == port)
    }

    fn has_endpoint(&self, port: u16) -> bool {
        let first = self.endpoints.range((port, None)..).next();
        first.is_some_and(|((first, _), _)| *first == port)
    }

    pub(crate) fn listen(&mut self, protocol: Protocol, port: u16) -> Result<(), ListenError> {
        may_listen(protocol, port, self.listens(protocol, port))?;
        self.open(protocol, (port, None));
        Ok(())
    }

    /// Listens at one address alone.
    pub(crate) fn listen_at(
        &mut self,
        protocol: Protocol,
        at: SocketAddr,
    ) -> Result<(), ListenError> {
        may_listen(protocol, at.port(), self.listens_at(protocol, at))?;
        self.open(protocol, (at.port(), Some(at.ip())));
        Ok(())
    }

    fn open(&mut self, protocol: Protocol, bound: Bound) {
        if protocol == Protocol::TCP {
            self.tcp_listeners.insert(bound);
        } else {
            self.add_endpoint(bound, None);
        }
    }

    /// Ends listening at a port: at one address, or at all. Connections that stand go on.
    pub(crate) fn unlisten(&mut self, protocol: Protocol, port: u16, at: Option<IpAddr>) {
        let bound = (port, at);
        match protocol {
            Protocol::TCP => {
                self.tcp_listeners.remove(&bound);
            }
            Protocol::UDP => {
                if let Some(endpoint) = self.endpoints.remove(&bound) {
                    self.endpoints_bound.remove(&endpoint.id().serial);
                }
            }
            _ => {}
        }
    }

    /// When a TCP connection runs next; `None` for other sockets.
    pub(crate) fn alarm(&mut self, socket: SocketId) -> Option<&mut Alarm> {
        let connection = self.connections.get_mut(&socket.serial)?;
        Some(&mut connection.alarm)
    }

    /// Those of all connections, in no order.
    pub(crate) fn alarms(&self) -> impl Iterator<Item = Alarm> {
        self.connections.values().map(|connection| connection.alarm)
    }

    /// Whether a SYN of this flow begins a connection, along which nothing is narrower than the host's own link.
    pub(crate) fn would_accept(&self, now: SimTime, flow: &Flow) -> bool {
        self.is_awaited(flow)
            && !self.flows.contains_key(flow)
            && self.paths.mtu(now, flow.remote.ip()).is_none()
    }

    /// Whether somebody listens for a flow.
    fn is_awaited(&self, flow: &Flow) -> bool {
        flow.remote.port() != 0 && self.listens_at(Protocol::TCP, flow.local)
    }

    /// The socket of a flow whose SYN has been sent, and when that was; `None` also where the application has asked for
    /// more since, or something on the way is narrower than the host's own link.
    pub(crate) fn dialling(&self, now: SimTime, flow: &Flow) -> Option<(SocketId, SimTime)> {
        let connection = self.connections.get(self.flows.get(flow)?)?;
        let is_narrow = self.paths.mtu(now, flow.remote.ip()).is_some();
        let since = connection.dialling_since().filter(|_| !is_narrow)?;
        Some((connection.id(), since))
    }

    /// Leaves those to come as they would be had a connection of this flow been accepted: with the next socket's number, and
    /// the next first sequence number.
    pub(crate) fn pass_over(&mut self, flow: &Flow, supplies: &mut Supplies) {
        let id = self.next_socket();
        let spare = supplies.spares.take();
        // Both ends draw one random number.
        let drawn = Connection::connect(id, *flow, SimTime::ZERO, &mut self.interface, spare);
        if let Ok(connection) = drawn {
            supplies.spares.put(connection.into_socket());
        }
    }

    /// Begins a TCP connection; the SYN leaves when the connection is run.
    pub(crate) fn connect(
        &mut self,
        now: SimTime,
        remote: SocketAddr,
        supplies: &mut Supplies,
    ) -> (SocketId, Result<(), SocketError>) {
        let id = self.next_socket();
        let begun = self.client_flow(remote).and_then(|flow| {
            let spare = supplies.spares.take();
            let connection = Connection::connect(id, flow, now, &mut self.interface, spare)
                .map_err(|_| SocketError::Unreachable)?;
            self.connections.insert(id.serial, Box::new(connection));
            self.flows.insert(flow, id.serial);
            Ok(())
        });
        (id, begun)
    }

    /// A UDP socket at a free port; `Err` when there is none.
    pub(crate) fn udp_socket(
        &mut self,
        remote: Option<SocketAddr>,
    ) -> (SocketId, Result<(), SocketError>) {
        match self.free_port(|stack, port| !stack.has_endpoint(port)) {
            Some(port) => (self.add_endpoint((port, None), remote), Ok(())),
            None => (self.next_socket(), Err(SocketError::PortsExhausted)),
        }
    }

    /// An echo request, and the socket that waits for what comes of it.
    pub(crate) fn ping(
        &mut self,
        now: SimTime,
        ping: PingSpec,
    ) -> Result<(SocketId, Vec<u8>), SendError> {
        let PingSpec {
            to,
            ttl,
            payload_len,
        } = ping;
        let source = self
            .source_for(to)
            .filter(|_| IpAddress::from(to).is_unicast());
        let source = source.ok_or(SendError::Unreachable)?;
        self.check_length(now, to, payload_len)?;
        let id = self.next_echo()?;
        let packet = echo_request(source, to, id, ttl, payload_len)
            .expect("the source was chosen for the destination's family");
        let socket = self.next_socket();
        self.echoes.begin(id, socket);
        Ok((socket, packet))
    }

    /// Queues bytes on a connection, or sends a datagram of a connected UDP socket at once.
    pub(crate) fn send(
        &mut self,
        now: SimTime,
        socket: SocketId,
        bytes: &[u8],
        supplies: &mut Supplies,
    ) -> Result<(), SendError> {
        if let Some(connection) = self.connections.get_mut(&socket.serial) {
            if !connection.may_send() {
                return Err(SendError::Closed);
            }
            connection.send(bytes);
            return Ok(());
        }
        let endpoint = self.endpoint(socket).ok_or(SendError::Closed)?;
        let remote = endpoint.remote().ok_or(SendError::Destination)?;
        self.send_datagram(now, socket, remote, bytes, supplies)
    }

    /// Sends a datagram at once, from the host's primary address of the family, as a Linux socket bound to none does.
    pub(crate) fn send_to(
        &mut self,
        now: SimTime,
        socket: SocketId,
        to: SocketAddr,
        bytes: &[u8],
        supplies: &mut Supplies,
    ) -> Result<(), SendError> {
        if self.connections.contains_key(&socket.serial) {
            return Err(SendError::Destination);
        }
        self.send_datagram(now, socket, to, bytes, supplies)
    }

    /// Closes a connection after what it has queued, or a UDP socket at once.
    pub(crate) fn close(&mut self, socket: SocketId) {
        match self.connections.get_mut(&socket.serial) {
            Some(connection) => connection.close(),
            None => self.close_endpoint(socket),
        }
    }

    /// Resets a connection, or closes a UDP socket.
    pub(crate) fn abort(&mut self, socket: SocketId) {
        match self.connections.get_mut(&socket.serial) {
            Some(connection) => connection.abort(),
            None => self.close_endpoint(socket),
        }
    }

    /// Has nobody listen or read any more; returns the connections, which have to be run.
    pub(crate) fn orphan_all(&mut self) -> Vec<SocketId> {
        self.tcp_listeners.clear();
        self.endpoints.clear();
        self.endpoints_bound.clear();
        self.echoes = Echoes::default();
        let host = self.host;
        let orphan = |(serial, connection): (&u32, &mut Box<Connection>)| {
            connection.orphan();
            SocketId {
                host,
                serial: *serial,
            }
        };
        let mut orphans: Vec<SocketId> = self.connections.iter_mut().map(orphan).collect();
        orphans.sort_unstable();
        orphans
    }

    /// Where a socket is bound. A UDP socket without a remote end is bound to no address (`0.0.0.0`).
    pub(crate) fn local_address(&self, socket: SocketId) -> Option<SocketAddr> {
        if let Some(connection) = self.connections.get(&socket.serial) {
            return Some(connection.flow().local);
        }
        let endpoint = self.endpoint(socket)?;
        let address = match endpoint.remote() {
            Some(remote) => self.source_for(remote.ip())?,
            None => endpoint.bound().unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
        };
        Some(SocketAddr::new(address, endpoint.port()))
    }

    /// The other end of a socket.
    pub(crate) fn peer_address(&self, socket: SocketId) -> Option<SocketAddr> {
        match self.connections.get(&socket.serial) {
            Some(connection) => Some(connection.flow().remote),
            None => self.endpoint(socket)?.remote(),
        }
    }

    /// Lets a connection do what it can without a packet.
    pub(crate) fn run(
        &mut self,
        now: SimTime,
        socket: SocketId,
        supplies: &mut Supplies,
        events: &mut Events,
    ) -> Reaction {
        self.run_connection(now, socket.serial, Cause::Timer, supplies, events)
    }

    /// Takes in a packet that was routed to this host.
    pub(crate) fn receive(
        &mut self,
        now: SimTime,
        packet: Vec<u8>,
        supplies: &mut Supplies,
        events: &mut Events,
    ) -> Reaction {
        if let Some(icmp) = Icmp::parse(&packet) {
            return self.hear(now, icmp, supplies, events);
        }
        let Some(segment) = Segment::parse(&packet) else {
            return self.receive_stray(now, packet, supplies);
        };
        match segment.flow.protocol {
            Protocol::TCP => self.receive_tcp(now, segment, packet, supplies, events),
            _ => self.receive_udp(now, segment, packet, supplies, events),
        }
    }

    /// What a host with this stack's listeners answers to a packet that begins something (UDP: an empty datagram).
    /// Called on a fresh stand-in, because a stack cannot be copied.
    pub(crate) fn answer(
        &mut self,
        original: Option<&Self>,
        now: SimTime,
        packet: Vec<u8>,
    ) -> Option<Vec<u8>> {
        if let Some(original) = original {
            self.tcp_listeners.clone_from(&original.tcp_listeners);
            let datagram = Segment::parse(&packet).map(|segment| segment.flow);
            let takes = |flow: &Flow| original.bound_for(*flow).is_some();
            if let Some(flow) = datagram.filter(takes) {
                return udp_datagram(flow.local, flow.remote, &[]).ok();
            }
        }
        let mut supplies = Supplies::new(self.mtu);
        self.receive(now, packet, &mut supplies, &mut Vec::new());
        supplies.take_packets().into_iter().next()
    }

    fn receive_tcp(
        &mut self,
        now: SimTime,
        segment: Segment,
        packet: Vec<u8>,
        supplies: &mut Supplies,
        events: &mut Events,
    ) -> Reaction {
        let known = self.flows.get(&segment.flow).copied();
        let Some(serial) = known.or_else(|| self.accept(now, segment, supplies)) else {
            return self.receive_stray(now, packet, supplies);
        };
        let reset = segment.flags.rst;
        self.run_connection(
            now,
            serial,
            Cause::Arrival { packet, reset },
            supplies,
            events,
        )
    }

    fn receive_udp(
        &mut self,
        now: SimTime,
        segment: Segment,
        packet: Vec<u8>,
        supplies: &mut Supplies,
        events: &mut Events,
    ) -> Reaction {
        let bound = self.bound_for(segment.flow);
        let Some(endpoint) = bound.and_then(|bound| self.endpoints.get_mut(&bound)) else {
            return self.receive_stray(now, packet, supplies);
        };
        let (interface, wire) = (&mut self.interface, &mut supplies.wire);
        endpoint.receive(now, packet, interface, wire, events);
        Reaction::Nothing
    }

    /// What no socket takes smoltcp answers: echo replies, resets, port unreachable.
    fn receive_stray(
        &mut self,
        now: SimTime,
        packet: Vec<u8>,
        supplies: &mut Supplies,
    ) -> Reaction {
        let wire = &mut supplies.wire;
        wire.deliver(packet);
        let mut none = SocketSet::new(Vec::new());
        self.interface.poll(instant(now), wire, &mut none);
        Reaction::Nothing
    }

    fn accept(&mut self, now: SimTime, segment: Segment, supplies: &mut Supplies) -> Option<u32> {
        let flow = segment.flow;
        if !segment.is_opening() || !self.is_awaited(&flow) {
            return None;
        }
        let id = self.next_socket();
        let connection = Connection::accept(id, flow, now, supplies.spares.take())?;
        self.connections.insert(id.serial, Box::new(connection));
        self.flows.insert(flow, id.serial);
        Some(id.serial)
    }

    fn run_connection(
        &mut self,
        now: SimTime,
        serial: u32,
        cause: Cause,
        supplies: &mut Supplies,
        events: &mut Events,
    ) -> Reaction {
        let Some(connection) = self.connections.get_mut(&serial) else {
            return Reaction::Nothing;
        };
        let narrow = self.paths.interface(now, connection.flow().remote.ip());
        let interface = narrow.unwrap_or(&mut self.interface);
        match connection.run(now, cause, interface, &mut supplies.wire, events) {
            Progress::Waits(until) => Reaction::Waits(connection.id(), until),
            Progress::Over => self.forget(serial, supplies),
            Progress::OverBefore(packet) => {
                let over = self.forget(serial, supplies);
                self.receive_stray(now, packet, supplies);
                over
            }
        }
    }

    /// Tells the socket that it concerns of an ICMP message.
    fn hear(
        &mut self,
        now: SimTime,
        icmp: Icmp,
        supplies: &mut Supplies,
        events: &mut Events,
    ) -> Reaction {
        let answer = match icmp {
            Icmp::Error { flow, error } => return self.fail(flow, error, supplies, events),
            Icmp::TooBig { flow, mtu } => {
                self.paths.narrow(now, flow.remote.ip(), mtu, self.mtu);
                None
            }
            Icmp::Echoed { id, from, ttl } => {
                let socket = self.echoes.take(id);
                socket.map(|socket| PlaneEvent::Echoed { socket, from, ttl })
            }
            Icmp::EchoFailed { id, from, error } => {
                let socket = self.echoes.take(id);
                socket.map(|socket| PlaneEvent::EchoFailed {
                    socket,
                    from,
                    error,
                })
            }
            Icmp::Ignored => None,
        };
        events.extend(answer);
        Reaction::Nothing
    }

    /// Tells the socket that sent a packet of this flow.
    fn fail(
        &mut self,
        flow: Flow,
        error: SocketError,
        supplies: &mut Supplies,
        events: &mut Events,
    ) -> Reaction {
        if let Some(serial) = self.flows.get(&flow).copied() {
            let connection = self.connections.get(&serial);
            let Some(connection) = connection.filter(|connection| connection.fails_on_icmp())
            else {
                return Reaction::Nothing;
            };
            if connection.is_client() {
                let socket = connection.id();
                events.push(PlaneEvent::Failed { socket, error });
            }
            return self.forget(serial, supplies);
        }
        let bound = self.bound_for(flow);
        if let Some(endpoint) = bound.and_then(|bound| self.endpoints.get(&bound)) {
            let socket = endpoint.id();
            events.push(PlaneEvent::Failed { socket, error });
        }
        Reaction::Nothing
    }

    /// Forgets a connection that is over.
    pub(crate) fn forget(&mut self, serial: u32, supplies: &mut Supplies) -> Reaction {
        let Some(connection) = self.connections.remove(&serial) else {
            return Reaction::Nothing;
        };
        self.flows.remove(&connection.flow());
        let alarm = connection.alarm;
        supplies.spares.put(connection.into_socket());
        Reaction::Over(alarm)
    }

    fn send_datagram(
        &mut self,
        now: SimTime,
        socket: SocketId,
        to: SocketAddr,
        bytes: &[u8],
        supplies: &mut Supplies,
    ) -> Result<(), SendError> {
        self.check_length(now, to.ip(), bytes.len())?;
        let source = self.source_for(to.ip()).filter(|_| is_sendable(to));
        let bound = self.endpoints_bound.get(&socket.serial);
        let bound = bound.ok_or(SendError::Closed)?;
        let endpoint = self.endpoints.get_mut(bound).ok_or(SendError::Closed)?;
        let source = source.ok_or(SendError::Unreachable)?;
        let source = endpoint.bound().unwrap_or(source);
        let (interface, wire) = (&mut self.interface, &mut supplies.wire);
        endpoint.send(now, source, to, bytes, interface, wire);
        Ok(())
    }

    /// Whether a UDP datagram or an echo of so many bytes fits a packet.
    ///
    /// Deviation: Linux fragments what does not fit; hosts here never do, as with `IP_PMTUDISC_DO`.
    fn check_length(&self, now: SimTime, to: IpAddr, bytes: usize) -> Result<(), SendError> {
        let mtu = self.paths.mtu(now, to).unwrap_or(self.mtu);
        let most = mtu - if to.is_ipv4() { 28 } else { 48 };
        match bytes > most {
            true => Err(SendError::TooLong { bytes, most }),
            false => Ok(()),
        }
    }

    fn next_echo(&mut self) -> Result<u16, SendError> {
        self.echoes.free_id().ok_or(SendError::Busy)
    }

    fn endpoint(&self, socket: SocketId) -> Option<&Endpoint> {
        self.endpoints
            .get(self.endpoints_bound.get(&socket.serial)?)
    }

    /// Where the UDP socket is bound that takes what comes by a flow.
    fn bound_for(&self, flow: Flow) -> Option<Bound> {
        let takes = |bound: &Bound| {
            let endpoint = self.endpoints.get(bound);
            endpoint.is_some_and(|endpoint| endpoint.takes(flow))
        };
        bounds(flow.local).into_iter().find(takes)
    }

    fn add_endpoint(&mut self, bound: Bound, remote: Option<SocketAddr>) -> SocketId {
        let id = self.next_socket();
        let endpoint = Endpoint::new(id, bound, remote, self.mtu);
        self.endpoints.insert(bound, endpoint);
        self.endpoints_bound.insert(id.serial, bound);
        id
    }

    fn close_endpoint(&mut self, socket: SocketId) {
        self.echoes.end(socket);
        if let Some(bound) = self.endpoints_bound.remove(&socket.serial) {
            self.endpoints.remove(&bound);
        }
    }

    fn next_socket(&mut self) -> SocketId {
        let serial = self.next_serial;
        self.next_serial = serial
            .checked_add(1)
            .expect("a host makes fewer than 2^32 sockets");
        SocketId {
            host: self.host,
            serial,
        }
    }

    /// A flow to `remote` that no socket has yet.
    fn client_flow(&mut self, remote: SocketAddr) -> Result<Flow, SocketError> {
        let source = self.source_for(remote.ip()).filter(|_| is_sendable(remote));
        let source = source.ok_or(SocketError::Unreachable)?;
        let flow = |port| Flow {
            protocol: Protocol::TCP,
            local: SocketAddr::new(source, port),
            remote,
        };
        self.free_port(|stack, port| {
            !stack.has_listener(port) && !stack.flows.contains_key(&flow(port))
        })
        .map(flow)
        .ok_or(SocketError::PortsExhausted)
    }

    /// The next ephemeral port that is free, in turn: a port rests as long as possible before it is used again.
    fn free_port(&mut self, is_free: impl Fn(&Self, u16) -> bool) -> Option<u16> {
        for _ in EPHEMERAL {
            let port = self.next_port;
            self.next_port = if port == *EPHEMERAL.end() {
                *EPHEMERAL.start()
            } else {
                port + 1
            };
            if is_free(self, port) {
                return Some(port);
            }
        }
        None
    }

    /// The address that packets to `remote` come from: the primary one of its family.
    fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        if remote.is_loopback() {
            return Some(match remote {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let same_family = |address: &&IpAddr| address.is_ipv4() == remote.is_ipv4();
        self.addresses.iter().find(same_family).copied()
    }
}

/// Whether a host may listen at a port where something does already, or not.
pub(crate) fn may_listen(protocol: Protocol, port: u16, in_use: bool) -> Result<(), ListenError> {
    match protocol {
        _ if port == 0 => Err(ListenError::PortZero),
        Protocol::TCP | Protocol::UDP if in_use => Err(ListenError::InUse { protocol, port }),
        Protocol::TCP | Protocol::UDP => Ok(()),
        _ => Err(ListenError::Unsupported { protocol }),
    }
}

/// smoltcp asserts that destinations are unicast.
fn is_sendable(to: SocketAddr) -> bool {
    IpAddress::from(to.ip()).is_unicast() && to.port() != 0
}

#[cfg(test)]
mod tests;
